//! Which launcher started this process, and as one of how many, told from its environment.
//!
//! It reads names and numbers only; MPI is not asked here.

use crate::error::{Error, ErrorKind, Result};

/// A launcher that has announced itself in the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launcher {
    /// For messages: `mpirun (Open MPI)`, `srun`, ….
    pub name: &'static str,
    /// How many ranks it started.
    pub ranks: usize,
    /// Which of them this process is, where the launcher says so.
    pub rank: Option<usize>,
}

/// Launcher, variable of its number of ranks, variable of the rank.
const KNOWN: [(&str, &str, &str); 7] = [
    ("mpirun (Open MPI)", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("mpirun (MVAPICH)", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
    // Inside an srun step PMI_SIZE may be there as well (pmi2), so srun comes first.
    ("srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
    ("mpirun (PMI)", "PMI_SIZE", "PMI_RANK"),
    ("aprun or PALS", "PALS_NRANKS", "PALS_RANKID"),
    ("jsrun", "JSM_NAMESPACE_SIZE", "JSM_NAMESPACE_RANK"),
    ("flux", "FLUX_JOB_SIZE", "FLUX_TASK_RANK"),
];

impl Launcher {
    /// The launcher of this process; `variable` looks up the environment.
    ///
    /// # Errors
    /// A variable of a launcher that holds no number.
    pub fn detect(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Launcher>> {
        let number = |name: &str| -> Result<Option<usize>> {
            let Some(text) = variable(name) else { return Ok(None) };
            match text.trim().parse::<usize>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(Error::new(ErrorKind::Setup, format!("{name}={text:?} is no number"))
                    .help(format!("unset {name}, or start the program with mpirun or srun"))),
            }
        };
        for (name, size, rank) in KNOWN {
            if name == "srun" && !is_step(&variable) {
                continue;
            }
            if let Some(ranks) = number(size)? {
                return Ok(Some(Launcher { name, ranks: ranks.max(1), rank: number(rank)? }));
            }
        }
        Ok(None)
    }
}

/// The batch script of sbatch and the shell of salloc have Slurm's variables too, but are no step of tasks.
fn is_step(variable: &impl Fn(&str) -> Option<String>) -> bool {
    match variable("SLURM_STEP_ID").or_else(|| variable("SLURM_STEPID")) {
        // 0xfffffffb is the batch script, 0xfffffffa an interactive step; both may be shown as a number.
        Some(id) => id.parse::<u64>().is_ok_and(|id| id < 0xffff_fff0),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(environment: &[(&str, &str)]) -> Result<Option<Launcher>> {
        Launcher::detect(|name| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string())
        })
    }

    #[test]
    fn nothing_said_is_no_launcher() {
        assert_eq!(detect(&[("PATH", "/bin")]).unwrap(), None);
    }

    #[test]
    fn each_launcher_is_known_by_its_variables() {
        for (name, size, rank) in KNOWN {
            let found = detect(&[(size, "4"), (rank, "3"), ("SLURM_STEP_ID", "0")]).unwrap().unwrap();
            assert_eq!(found, Launcher { name, ranks: 4, rank: Some(3) });
        }
    }

    #[test]
    fn a_batch_script_is_no_step() {
        let batch = [("SLURM_STEP_NUM_TASKS", "8"), ("SLURM_PROCID", "0")];
        assert_eq!(detect(&batch).unwrap(), None);
        assert_eq!(detect(&[batch[0], batch[1], ("SLURM_STEP_ID", "4294967291")]).unwrap(), None);
    }

    #[test]
    fn mpirun_inside_a_slurm_step_is_mpirun() {
        let found =
            detect(&[("SLURM_STEP_ID", "1"), ("SLURM_STEP_NUM_TASKS", "2"), ("OMPI_COMM_WORLD_SIZE", "8")]);
        assert_eq!(found.unwrap().unwrap().ranks, 8);
    }

    #[test]
    fn words_for_numbers_are_named() {
        let error = detect(&[("PMI_SIZE", "four")]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Setup);
        assert!(error.to_string().contains("PMI_SIZE"), "{error}");
    }
}
