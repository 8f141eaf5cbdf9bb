//! Whether each rank may use as many cores as it has threads. It asks the system and warns; binding is the launcher's.

use crate::comm::Comm;
use crate::error::Result;

/// The fewest cores that a rank may use, and on rank 0 a warning if some rank has more threads than that. Collective.
///
/// Cores of ranks that are threads of one process are that process's.
pub(super) fn check(comm: &Comm, threads: usize) -> Result<(usize, Option<String>)> {
    // Affinity mask and control group both count.
    let cores = std::thread::available_parallelism().map_or(usize::MAX, usize::from);
    let all = comm.allgather(&[cores])?;
    let fewest = all.iter().copied().min().unwrap_or(cores);
    Ok((fewest, if comm.rank() == 0 { warning(&all, threads, comm.engine_name() == "local") } else { None }))
}

fn warning(cores: &[usize], threads: usize, one_process: bool) -> Option<String> {
    let short: Vec<usize> = (0..cores.len()).filter(|&rank| cores[rank] < threads).collect();
    let first = *short.first()?;
    let who = match short.len() {
        1 => format!("rank {first} has"),
        n if n == cores.len() => "all ranks have".to_string(),
        n => format!("{n} ranks (rank {first} is the first) have"),
    };
    let fewest = short.iter().map(|&rank| cores[rank]).min().unwrap_or(0);
    let each = if fewest == 1 { "1 core".to_string() } else { format!("{fewest} cores") };
    let help = match one_process {
        true => "give fewer threads, or a wider mask (taskset)".to_string(),
        false => format!(
            "srun: --cpus-per-task={threads} --cpu-bind=cores; Open MPI: mpirun --bind-to none, or \
             --map-by slot:PE={threads}; MPICH: mpirun -bind-to core:{threads}"
        ),
    };
    Some(format!("{who} {threads} threads but may use {each} only, so threads take turns\n  help: {help}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_cores_than_threads_are_named() {
        assert_eq!(warning(&[2, 4, 3], 2, false), None);
        let one = warning(&[4, 1, 4], 4, false).unwrap();
        assert!(one.starts_with("rank 1 has 4 threads but may use 1 core only"), "{one}");
        assert!(one.contains("--cpus-per-task=4") && one.contains("slot:PE=4"), "{one}");
        let some = warning(&[1, 2, 4], 4, false).unwrap();
        assert!(
            some.starts_with("2 ranks (rank 0 is the first) have 4 threads but may use 1 core"),
            "{some}"
        );
        let all = warning(&[2, 2], 3, true).unwrap();
        assert!(
            all.starts_with("all ranks have 3 threads but may use 2 cores") && all.contains("taskset"),
            "{all}"
        );
    }

    #[test]
    fn one_rank_tells() {
        crate::testing::ranks([1, 2, 3], |world| {
            let (cores, none) = check(world, 1)?;
            assert!(cores >= 1 && none.is_none());
            let (_, told) = check(world, usize::MAX)?;
            assert_eq!(told.is_some(), world.rank() == 0);
            Ok(())
        });
    }
}
