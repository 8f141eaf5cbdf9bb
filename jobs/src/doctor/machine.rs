//! The machine: cores against ranks and threads, memory, and the HDF5 library.

use super::{Finding, Wanted};

/// Looks at them.
pub fn look(wanted: Wanted) -> Vec<Finding> {
    vec![
        hdf5(rankine::output::hdf5_library(), rankine::launch::mpi_library().is_some()),
        cores_for(cores(), online(), wanted),
    ]
}

/// The cores this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The cores the machine has, where it tells.
fn online() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    Some(text.lines().filter(|line| line.starts_with("processor")).count()).filter(|&count| count > 0)
}

fn hdf5(library: Option<String>, mpi: bool) -> Finding {
    const WHAT: &str = "HDF5";
    match library {
        Some(library) if mpi && !library.contains("parallel") => Finding::warn(
            WHAT,
            format!("{library}: under MPI the ranks write one after the other"),
            "install parallel HDF5 of the same MPI (Debian: libhdf5-openmpi-dev) and build with `make`",
        ),
        Some(library) => Finding::ok(WHAT, library),
        None => Finding::warn(
            WHAT,
            "none: no --input, no fields and no checkpoints; pictures and JSON are written",
            "build with `make`, or cargo's --features hdf5 where the library is installed",
        ),
    }
}

fn cores_for(usable: usize, online: Option<usize>, wanted: Wanted) -> Finding {
    const WHAT: &str = "cores";
    let bound = match online {
        Some(online) if online > usable => {
            format!("{usable} of {online}: this process is bound to fewer than there are")
        }
        _ => format!("{usable}"),
    };
    let variable = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<usize>().ok());
    let threads =
        wanted.threads.or_else(|| variable("SLURM_CPUS_PER_TASK")).or_else(|| variable("OMP_NUM_THREADS"));
    let (ranks, threads) = (wanted.ranks.unwrap_or(1), threads.unwrap_or(1));
    let needed = ranks.saturating_mul(threads);
    if needed > usable {
        return Finding::warn(
            WHAT,
            format!("{bound}; {ranks} x {threads} (ranks x threads) share them: right, but slow"),
            format!(
                "give at most {usable} ranks times threads, or (mpirun) --bind-to none if they are bound"
            ),
        );
    }
    Finding::ok(WHAT, bound)
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn more_ranks_than_cores_are_named() {
        let wanted = |ranks, threads| Wanted { ranks: Some(ranks), threads: Some(threads) };
        assert_eq!(cores_for(4, Some(4), wanted(2, 2)).state, State::Ok);
        let few = cores_for(4, Some(8), wanted(4, 2));
        assert!(
            few.state == State::Warn && few.found.contains("4 of 8") && few.found.contains("4 x 2"),
            "{few:?}"
        );
    }

    #[test]
    fn which_hdf5() {
        assert_eq!(hdf5(None, true).state, State::Warn);
        assert_eq!(hdf5(Some("HDF5 1.10.8, serial".into()), true).state, State::Warn);
        assert_eq!(hdf5(Some("HDF5 1.10.8, serial".into()), false).state, State::Ok);
        assert_eq!(hdf5(Some("HDF5 1.10.8, parallel".into()), true).state, State::Ok);
    }
}
