//! The exact batch script of a hybrid job, ranks × threads. It renders text and runs nothing;
//! [`submit`](mod@crate::submit) hands it to Slurm.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::quote::{command_line, quote};
use crate::resources::invalid;
use crate::{Error, Points, Resources, Template, again};

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
    /// Why it is this launcher, for a comment in the script.
    pub why: Option<String>,
    /// Which CPUs each rank may use.
    pub binding: Binding,
    /// The program and its arguments, each passed on exactly as it is.
    pub program: Vec<String>,
    /// Whether root submits. Open MPI's `mpirun` runs for root only if told so twice.
    pub as_root: bool,
    /// The run's directory, for the template; of a sweep, the folder of its runs.
    pub run: Option<String>,
    /// With `resources.requeue`: how often the job may be started again by its own script, which gives it back to
    /// Slurm where the program ends with exit code 75, and where a node has failed.
    pub most_requeues: u32,
    /// The points of a sweep, each a job of an array.
    pub points: Option<Points>,
    /// The frame of the script.
    pub template: Template,
}

impl Job {
    /// A job of one rank that runs `program` with every choice at its default.
    pub fn new(program: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Job { program: program.into_iter().map(Into::into).collect(), most_requeues: 100, ..Job::default() }
    }

    /// The batch script. Its exit code is that of the launched program, if the template leaves it so.
    ///
    /// # Errors
    /// [`Error::Invalid`] as from [`Resources::check`], or for a program that is empty or holds a NUL;
    /// [`Error::Template`] for a template that cannot requeue where that is asked for.
    pub fn script(&self) -> Result<String, Error> {
        if self.resources.requeue && !self.template.has("requeue") {
            return Err(Error::Template {
                place: "the template".to_owned(),
                what: "there is no {{requeue}} in it, so the job could not be given back to Slurm".to_owned(),
                help: "put {{requeue}} on a line after {{launch}}, or leave --requeue out".to_owned(),
            });
        }
        let (launch, environment) = (self.start()?, self.environment());
        let directives: String =
            self.directives()?.iter().map(|directive| format!("#SBATCH {directive}\n")).collect();
        let requeue = if self.resources.requeue { again::lines(self) } else { String::new() };
        let Resources { nodes, ranks, threads, job_name, .. } = &self.resources;
        Ok(self.template.fill(|place| match place {
            "directives" => directives.clone(),
            "environment" => environment.clone(),
            "launch" => launch.clone(),
            "requeue" => requeue.clone(),
            "job_name" => quote(job_name.as_deref().unwrap_or_default()),
            "nodes" => nodes.map(|nodes| nodes.to_string()).unwrap_or_default(),
            "ranks" => ranks.to_string(),
            "threads" => threads.to_string(),
            "run" => quote(self.run.as_deref().unwrap_or_default()),
            "program" => quote(self.program.first().map_or("", String::as_str)),
            _ => String::new(),
        }))
    }

    fn environment(&self) -> String {
        let threads = self.resources.threads;
        let mut out = format!("export OMP_NUM_THREADS={threads} RAYON_NUM_THREADS={threads}\n");
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
        out
    }

    /// The lines that start the ranks and leave their exit code in `$code`.
    fn start(&self) -> Result<String, Error> {
        let mut out = String::new();
        let mut launch = self.launch()?;
        if let Some(points) = &self.points {
            out.push_str(&points.lines(self.launcher == Launcher::Mpirun)?);
            launch.push_str(points.words());
        }
        if let Some(why) = &self.why {
            // A comment is one line, whatever is said.
            let why: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let name = if self.launcher == Launcher::Mpirun { "mpirun" } else { "srun" };
            let _ = writeln!(out, "# {name}: {why}.");
        }
        let line = format!("{launch} || code=$?\n");
        match (self.resources.requeue, &self.launcher) {
            (true, Launcher::Mpirun) => out.push_str(&again::start(self, &again::pass_on(&launch))),
            (true, Launcher::Srun { .. }) => out.push_str(&again::start(self, &line)),
            (false, _) => {
                let _ = write!(out, "code=0\n{line}");
            }
        }
        Ok(out)
    }

    /// The command that starts the ranks, quoted for bash; of a sweep, without the words of its points.
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

    /// The options of the script, without `#SBATCH`.
    fn directives(&self) -> Result<Vec<String>, Error> {
        let wanted = &self.resources;
        wanted.check()?;
        let mut lines = Vec::new();
        let mut option = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                let space = value.contains(char::is_whitespace);
                lines.push(if space { format!("--{name}=\"{value}\"") } else { format!("--{name}={value}") });
            }
        };
        let number = |number: Option<u32>| number.map(|number| number.to_string());
        option("job-name", wanted.job_name.as_deref());
        option("partition", wanted.partition.as_deref());
        option("account", wanted.account.as_deref());
        option("qos", wanted.qos.as_deref());
        option("constraint", wanted.constraint.as_deref());
        option("time", wanted.time.as_deref());
        option("nodes", number(wanted.nodes).as_deref());
        option("ntasks", Some(&wanted.ranks.to_string()));
        option("ntasks-per-node", number(wanted.ranks_per_node).as_deref());
        option("cpus-per-task", Some(&wanted.threads.to_string()));
        option("mem-per-cpu", wanted.mem_per_cpu.as_deref());
        option("mem", wanted.mem_per_node.as_deref());
        option("array", self.points.as_ref().map(Points::array).as_deref());
        option("dependency", wanted.dependency()?.as_deref());
        option("mail-user", wanted.mail.as_deref());
        option("mail-type", wanted.mail.as_ref().map(|_| "END,FAIL,REQUEUE"));
        option("chdir", wanted.chdir.as_deref());
        option("output", wanted.output.as_deref());
        // A job that is started again must not wipe out what it wrote before.
        option("open-mode", wanted.output.as_ref().map(|_| "append"));
        if wanted.exclusive {
            lines.push("--exclusive".to_owned());
        }
        if wanted.requeue {
            lines.push("--requeue".to_owned());
            let margin = again::margin(wanted.time_limit_seconds()?);
            let to = if self.launcher == Launcher::Mpirun { "B:" } else { "" };
            lines.push(format!("--signal={to}USR1@{margin}"));
        } else {
            lines.push("--no-requeue".to_owned());
        }
        lines.extend(wanted.extra_lines()?);
        Ok(lines)
    }
}
