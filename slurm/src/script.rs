//! The exact batch script of a hybrid job, ranks × threads. It renders text and runs nothing;
//! [`submit`](mod@crate::submit) hands it to Slurm.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::quote::command_line;
use crate::resources::invalid;
use crate::{Error, Resources};

/// What starts the ranks inside the allocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Launcher {
    /// Slurm itself, with the process-management interface `mpi` (one of `srun --mpi=list`).
    Srun {
        /// `pmix` for Open MPI, `pmi2` for MPICH.
        mpi: String,
    },
    /// The `mpirun` on PATH in the job, which finds Slurm and starts its daemons through it.
    Mpirun,
}

impl Default for Launcher {
    fn default() -> Self {
        Launcher::Srun { mpi: "pmix".to_owned() }
    }
}

/// Which CPUs a rank's threads may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Binding {
    /// What is safe with the launcher. `srun` gives each rank the cores of its own CPUs. `mpirun` is left its own
    /// default for ranks of one thread; ranks of several threads are not bound within the allocation, since Open MPI 4
    /// binds two ranks or fewer to one core each, and `slot:PE=N` fails where Slurm counts hardware threads.
    #[default]
    Auto,
    /// Each rank to as many cores as it has threads, or the job fails.
    Cores,
    /// No binding within the allocation.
    None,
}

/// A job: what it needs, how it is launched, and its program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Job {
    /// What it asks of the cluster.
    pub resources: Resources,
    /// What starts the ranks.
    pub launcher: Launcher,
    /// Which CPUs each rank may use.
    pub binding: Binding,
    /// The program and its arguments, each passed on exactly as it is.
    pub program: Vec<String>,
    /// Whether root submits. Open MPI's `mpirun` runs for root only if told so twice.
    pub as_root: bool,
}

impl Job {
    /// A job of one rank that runs `program` with every choice at its default.
    pub fn new(program: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Job { program: program.into_iter().map(Into::into).collect(), ..Job::default() }
    }

    /// The batch script. Its exit code is that of the launched program.
    ///
    /// # Errors
    /// [`Error::Invalid`] as from [`Resources::check`], or for a program that is empty or holds a NUL.
    pub fn script(&self) -> Result<String, Error> {
        let launch = self.launch()?;
        let mut out = String::from("#!/bin/bash\n");
        for directive in self.directives()? {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "#SBATCH --{directive}");
        }
        out.push_str("\nset -euo pipefail\n");
        let threads = self.resources.threads;
        let _ = writeln!(out, "export OMP_NUM_THREADS={threads} RAYON_NUM_THREADS={threads}");
        match self.launcher {
            Launcher::Srun { .. } => {
                out.push_str("# Since Slurm 22.05, srun does not take this from the allocation.\n");
                let _ = writeln!(out, "export SRUN_CPUS_PER_TASK={threads}");
            }
            Launcher::Mpirun => {
                out.push_str(
                    "# mpirun starts one daemon a node through srun: this would leave it one rank's CPUs.\n",
                );
                out.push_str("unset SRUN_CPUS_PER_TASK\n");
                if self.as_root {
                    out.push_str("export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1\n");
                }
            }
        }
        let _ = write!(out, "\n{launch}\n");
        Ok(out)
    }

    /// The line of the script that starts the ranks, quoted for bash.
    ///
    /// # Errors
    /// As [`script`](Job::script).
    pub fn launch(&self) -> Result<String, Error> {
        if self.program.first().is_none_or(String::is_empty) {
            return Err(invalid("program", "", "there is nothing to run; give a program and its arguments"));
        }
        if let Some(word) = self.program.iter().find(|word| word.contains('\0')) {
            return Err(invalid("program", word, "an argument cannot hold a NUL character"));
        }
        if self.program[0].starts_with('-') {
            return Err(invalid(
                "program",
                &self.program[0],
                "the launcher would take it for an option; write ./ before it",
            ));
        }
        let Resources { ranks, threads, .. } = self.resources;
        let mut words = match &self.launcher {
            Launcher::Srun { mpi } => {
                if mpi.is_empty() || !mpi.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                    return Err(invalid("mpi", mpi, "not the name of an interface; see `srun --mpi=list`"));
                }
                let bind = if self.binding == Binding::None { "none" } else { "cores" };
                // A cluster may kill the other ranks when one ends badly; the job would then report the
                // signal that killed them (143) instead of the program's exit code.
                vec![
                    "srun".to_owned(),
                    format!("--mpi={mpi}"),
                    format!("--ntasks={ranks}"),
                    format!("--cpus-per-task={threads}"),
                    format!("--cpu-bind={bind}"),
                    "--kill-on-bad-exit=0".to_owned(),
                ]
            }
            Launcher::Mpirun => {
                if self.program.iter().any(|word| word == ":") {
                    let help = "mpirun takes an argument that is just a colon for the start of another program; use srun";
                    return Err(invalid("program", ":", help));
                }
                let bind = match (self.binding, threads) {
                    (Binding::Auto, 1) => String::new(),
                    (Binding::Auto, _) | (Binding::None, _) => " --bind-to none".to_owned(),
                    (Binding::Cores, 1) => " --bind-to core".to_owned(),
                    (Binding::Cores, threads) => format!(" --map-by slot:PE={threads} --bind-to core"),
                };
                format!("mpirun -n {ranks}{bind}").split(' ').map(str::to_owned).collect()
            }
        };
        words.extend(self.program.iter().cloned());
        Ok(command_line(words.iter().map(String::as_str)))
    }

    fn directives(&self) -> Result<Vec<String>, Error> {
        let wanted = &self.resources;
        wanted.check()?;
        let mut lines = Vec::new();
        let mut option = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                let space = value.contains(char::is_whitespace);
                lines.push(if space { format!("{name}=\"{value}\"") } else { format!("{name}={value}") });
            }
        };
        option("job-name", wanted.job_name.as_deref());
        option("partition", wanted.partition.as_deref());
        option("account", wanted.account.as_deref());
        option("qos", wanted.qos.as_deref());
        option("constraint", wanted.constraint.as_deref());
        option("time", wanted.time.as_deref());
        option("nodes", wanted.nodes.map(|n| n.to_string()).as_deref());
        option("ntasks", Some(&wanted.ranks.to_string()));
        option("cpus-per-task", Some(&wanted.threads.to_string()));
        option("mem-per-cpu", wanted.mem_per_cpu.as_deref());
        option("mem", wanted.mem_per_node.as_deref());
        option("output", wanted.output.as_deref());
        if wanted.exclusive {
            lines.push("exclusive".to_owned());
        }
        if wanted.requeue {
            lines.push("requeue".to_owned());
            // The second start must not wipe out what the first one wrote.
            lines.push("open-mode=append".to_owned());
        } else {
            lines.push("no-requeue".to_owned());
        }
        Ok(lines)
    }
}
