//! `rankine submit KERNEL`: the batch script of a run, shown or handed to Slurm. Needs no MPI.
//!
//! It puts a run's words and resources together; the script is `rankine-slurm`'s business.

use crate::cli::kernel_of;
use clap::{Args, Command, FromArgMatches};
use rankine::run::{Asked, Job, merge, show};
use rankine::{Error, ErrorKind, Result};
use rankine_slurm::{Binding, Launcher, Resources, Slurm};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::Path;

/// Flags of a submission, and keys of `[slurm]` in a job file.
#[derive(Clone, Debug, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Slurm")]
struct Wanted {
    /// Nodes to spread the ranks over [default: as many as they need]
    #[arg(long, value_name = "N")]
    nodes: Option<u32>,
    /// Time limit: minutes, HH:MM:SS or D-HH:MM:SS
    #[arg(long)]
    time: Option<String>,
    /// Partition, or several with commas
    #[arg(long)]
    partition: Option<String>,
    /// Account to charge
    #[arg(long)]
    account: Option<String>,
    /// Quality of service
    #[arg(long)]
    qos: Option<String>,
    /// Features the nodes must have
    #[arg(long)]
    constraint: Option<String>,
    /// Memory for each CPU, such as 2G
    #[arg(long, value_name = "SIZE")]
    mem_per_cpu: Option<String>,
    /// Memory on each node, such as 64G
    #[arg(long, value_name = "SIZE")]
    mem_per_node: Option<String>,
    /// Share the nodes with no other job
    #[arg(long)]
    exclusive: bool,
    /// The job's name in the queue [default: the kernel's]
    #[arg(long, value_name = "NAME")]
    job_name: Option<String>,
    /// File for what the job writes to its terminal [default: slurm-%j.log]
    #[arg(long, value_name = "FILE")]
    log: Option<String>,
    /// What starts the ranks: srun (with --mpi) or mpirun
    #[arg(long, default_value = "srun", value_parser = ["srun", "mpirun"])]
    launcher: String,
    /// srun's process-management interface: pmix for Open MPI, pmi2 for MPICH
    #[arg(long, value_name = "TYPE", default_value = "pmix")]
    mpi: String,
}

/// What is no key of a job file.
#[derive(Clone, Debug, Args)]
struct How {
    /// Show the script and submit nothing
    #[arg(long)]
    dry_run: bool,
}

/// Submits, or shows the script.
///
/// # Errors
/// Words or resources that cannot be, parameters that the kernel refuses, and whatever Slurm says.
pub fn submit(words: Vec<OsString>) -> Result<()> {
    let Some((entry, words)) = kernel_of(words, "submit")? else {
        show(
            "Submit a run to Slurm\n\nUsage: rankine submit KERNEL [FLAGS] [--dry-run]\n\n`rankine submit KERNEL --help` shows all flags.\n",
        );
        return Ok(());
    };
    let program = format!("rankine submit {}", entry.name);
    let job = match entry
        .ask(&program, words, |command: Command| How::augment_args(Wanted::augment_args(command)))?
    {
        Asked::Text(text) => {
            show(&text);
            return Ok(());
        }
        Asked::Job(job) => job,
    };
    let wanted: Wanted = merge(job.matches(), job.file().map(|file| (file, "slurm")))?;
    let how = How::from_arg_matches(job.matches())
        .map_err(|error| rankine::run::usage(&error, &format!("{program} --help")))?;
    let ranks = job.options().ranks.unwrap_or(1);
    job.check(ranks)?;
    let script = script(entry.name, &job, ranks, wanted)?;
    if how.dry_run {
        show(&script);
        return Ok(());
    }
    let id = Slurm::new().submit(&script).map_err(slurm)?;
    show(&format!("submitted job {id}; `squeue -j {id}` shows it, `scancel {id}` ends it\n"));
    Ok(())
}

/// The batch script.
fn script(kernel: &str, job: &Job, ranks: usize, wanted: Wanted) -> Result<String> {
    let number = |what: &str, n: usize| {
        u32::try_from(n)
            .map_err(|_| Error::usage(format!("--{what} {n}")).help("that is more than Slurm can count"))
    };
    let program = std::env::current_exe()
        .map_err(|error| Error::io(format!("cannot find this program's own path: {error}")))?;
    let mut words = vec![text(program.as_os_str())?, "run".to_string(), kernel.to_string()];
    // The launcher says how many ranks and threads.
    for word in job.given(&["ranks", "threads"]) {
        words.push(text(&word)?);
    }
    let mut batch = rankine_slurm::Job::new(words);
    batch.resources = Resources {
        nodes: wanted.nodes,
        ranks: number("ranks", ranks)?,
        threads: number("threads", job.options().threads.unwrap_or(1))?,
        mem_per_cpu: wanted.mem_per_cpu,
        mem_per_node: wanted.mem_per_node,
        time: wanted.time,
        partition: wanted.partition,
        account: wanted.account,
        qos: wanted.qos,
        constraint: wanted.constraint,
        exclusive: wanted.exclusive,
        job_name: Some(wanted.job_name.unwrap_or_else(|| kernel.to_string())),
        output: Some(wanted.log.unwrap_or_else(|| "slurm-%j.log".to_string())),
        requeue: false,
    };
    batch.launcher = match wanted.launcher.as_str() {
        "mpirun" => Launcher::Mpirun,
        _ => Launcher::Srun { mpi: wanted.mpi },
    };
    batch.binding = Binding::Auto;
    batch.as_root = is_root();
    batch.script().map_err(slurm)
}

fn text(word: &std::ffi::OsStr) -> Result<String> {
    word.to_str().map(str::to_string).ok_or_else(|| {
        Error::usage(format!("{}: not UTF-8, so no batch script can hold it", Path::new(word).display()))
            .help("rename the file")
    })
}

/// Whose process this is, by the owner of its entry in /proc.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn slurm(error: rankine_slurm::Error) -> Error {
    let kind = match error {
        rankine_slurm::Error::Invalid { .. } => ErrorKind::Usage,
        _ => ErrorKind::Setup,
    };
    Error::new(kind, error.to_string())
}
