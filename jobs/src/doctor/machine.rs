//! The machine: cores against ranks and threads, and the HDF5 library.

use super::{Doctor, Finding};
use rustix::thread::{CpuSet, sched_getaffinity};

/// Looks at them.
pub fn look(wanted: &Doctor) -> Vec<Finding> {
    let ranks = wanted.ranks.unwrap_or(1);
    vec![
        hdf5(rankine::output::hdf5_library(), rankine::launch::mpi_library().is_some()),
        cores_for(&cores(), online(), ranks, threads(wanted)),
    ]
}

/// The threads a rank is to have, as runs take them: said, or from the environment, or one.
pub fn threads(wanted: &Doctor) -> usize {
    let variable = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<usize>().ok());
    let said = wanted.threads.or_else(|| variable("SLURM_CPUS_PER_TASK"));
    said.or_else(|| variable("OMP_NUM_THREADS")).unwrap_or(1)
}

/// The cores that this process may use, by their numbers.
pub fn cores() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect()
}

/// The cores the machine has, where it tells.
fn online() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    Some(text.lines().filter(|line| line.starts_with("processor")).count()).filter(|&count| count > 0)
}

/// Cores as taskset writes them: `0-3,8`.
pub fn ranges(cores: &[usize]) -> String {
    let pieces = cores.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [one] => one.to_string(),
        run => format!("{}-{}", run[0], run[run.len() - 1]),
    });
    pieces.collect::<Vec<_>>().join(",")
}

fn hdf5(library: Option<String>, mpi: bool) -> Finding {
    const WHAT: &str = "HDF5";
    match library {
        Some(library) if mpi && !library.contains("parallel") => Finding::warn(
            WHAT,
            format!("{library}: under MPI the ranks write one after the other"),
            "install parallel HDF5 of the same MPI (Debian: libhdf5-openmpi-dev) and build again",
        )
        .by("make build"),
        Some(library) => Finding::ok(WHAT, library),
        None => Finding::warn(
            WHAT,
            "none: no --input, no fields and no checkpoints; pictures and JSON are written",
            "build with HDF5, or cargo's --features hdf5 where the library is installed",
        )
        .by("make build"),
    }
}

fn cores_for(cores: &[usize], online: Option<usize>, ranks: usize, threads: usize) -> Finding {
    const WHAT: &str = "cores";
    let usable = cores.len();
    let all = online.unwrap_or(usable);
    let narrow = all > usable;
    let bound = if narrow {
        format!("{usable} of {all}: this process is bound to fewer than there are ({})", ranges(cores))
    } else {
        format!("{usable}")
    };
    let needed = ranks.saturating_mul(threads);
    if needed <= usable {
        return Finding::ok(WHAT, bound);
    }
    let found = format!("{bound}; {ranks} x {threads} (ranks x threads) share them: right, but slow");
    if narrow && needed <= all {
        let wider = "let this shell use all cores, or (Slurm) ask for them: --cpus-per-task";
        return Finding::warn(WHAT, found, wider).by(format!("taskset -cp 0-{} $$", all - 1));
    }
    let fewer = if threads > 1 && ranks > 1 { "fewer ranks or threads" } else { "fewer of them" };
    Finding::warn(WHAT, found, format!("give at most {usable} ranks times threads ({fewer}), or more nodes"))
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn more_ranks_than_cores_are_named() {
        assert_eq!(cores_for(&[0, 1, 2, 3], Some(4), 2, 2).state, State::Ok);
        let few = cores_for(&[0, 1, 2, 5], Some(8), 4, 2);
        assert!(
            few.state == State::Warn && few.found.contains("4 of 8") && few.found.contains("4 x 2"),
            "{few:?}"
        );
        assert!(few.found.contains("(0-2,5)"), "{few:?}");
        assert_eq!(few.command.as_deref(), Some("taskset -cp 0-7 $$"));
    }

    #[test]
    fn which_hdf5() {
        assert_eq!(hdf5(None, true).state, State::Warn);
        assert_eq!(hdf5(Some("HDF5 1.10.8, serial".into()), true).state, State::Warn);
        assert_eq!(hdf5(Some("HDF5 1.10.8, serial".into()), false).state, State::Ok);
        assert_eq!(hdf5(Some("HDF5 1.10.8, parallel".into()), true).state, State::Ok);
    }
}
