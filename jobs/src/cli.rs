//! The verbs and how they are written; what they do is in a file each.

use crate::{bench, cancel, compare, doctor, info, list, log, report, resume, run, status, submit, sweep, top};
use clap::Parser;
use rankine::run::{Entry, JobFile, nearest, show};
use rankine::{Error, Result};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Rank-based SPMD computing: one kernel on threads, under mpirun and under Slurm
#[derive(Debug, Parser)]
#[command(name = "rankine", version, subcommand_required = true, max_term_width = 100)]
#[command(
    after_help = "Under a launcher: mpirun -n 4 rankine run heat3d, or srun -n 4 --mpi=pmix rankine run heat3d.\n\
    Exit codes: 0 ok, 1 verification failed, 2 usage, 3 MPI or launcher, 4 input or output, 5 a hang or \
    mismatched calls, \
    6 a rank failed, 75 saved and stopped, to be resumed."
)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// What one can ask for.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// The kernels there are
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// A kernel's parameters, verification and memory
    Info {
        /// The kernel
        kernel: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Run a kernel: rankine run KERNEL --help shows its flags
    #[command(disable_help_flag = true)]
    Run {
        /// The kernel (or --job FILE.toml that names it), then its flags
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "KERNEL [FLAGS]")]
        words: Vec<OsString>,
    },
    /// Submit a run to Slurm, or show its batch script with --dry-run
    #[command(disable_help_flag = true)]
    Submit {
        /// The kernel (or JOB.toml that names it), then its flags and Slurm's
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "KERNEL [FLAGS]")]
        words: Vec<OsString>,
    },
    /// Measure what this machine and its MPI can do
    Bench {
        /// What to measure
        #[command(subcommand)]
        what: bench::Bench,
    },
    /// What differs between two runs; or when messages are worth it: a kernel as ranks, as threads and as both, over a sweep of sizes
    Compare(compare::Compare),
    /// What each rank of a running job is doing, those in trouble first
    Top {
        /// The run's directory [default: the newest in runs/]
        run: Option<PathBuf>,
        /// Look once instead of again and again
        #[arg(long)]
        once: bool,
        /// As JSON, once
        #[arg(long)]
        json: bool,
        /// Seconds between two looks
        #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
        every: f64,
    },
    Doctor(doctor::Doctor),
    /// The runs of a sweep: their results in one table, the failed ones once more
    Sweep {
        /// What to do
        #[command(subcommand)]
        what: sweep::Sweep,
    },
    /// The runs there are: what each is doing, how far it is, how long it still takes
    Status {
        /// Runs, by their directories or the beginnings of their names in runs/, or directories of runs [default: runs/]
        #[arg(value_name = "RUN|DIR")]
        runs: Vec<PathBuf>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// What a run has told, and with -f what it tells from now on
    Log(log::Log),
    /// Ask a run to be saved and to stop, or end it at once with --now
    Cancel {
        /// The run's directory, or the beginning of its name in runs/ [default: the newest]
        run: Option<PathBuf>,
        /// End it at once, without saving it
        #[arg(long)]
        now: bool,
    },
    /// Go on with a run from its last checkpoint, as it was started: rankine resume --help
    #[command(disable_help_flag = true)]
    Resume {
        /// The run (its directory or the beginning of its name in runs/), then flags of `rankine run`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "RUN [FLAGS]")]
        words: Vec<OsString>,
    },
    /// A run as one HTML page: parameters, verdict, progress, times, messages, memory, pictures
    Report {
        /// The run's directory, or the beginning of its name in runs/ [default: the newest]
        run: Option<PathBuf>,
        /// Where the page goes [default: report.html in the run's directory]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// The command line of this process.
///
/// # Errors
/// A verb or flag that does not exist.
pub fn parse() -> Result<Command> {
    match Line::try_parse() {
        Ok(line) => Ok(line.command),
        Err(text) if !text.use_stderr() => {
            show(&text.render().to_string());
            std::process::exit(0)
        }
        Err(error) => Err(rankine::run::usage(&error, "rankine --help")),
    }
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Those of the verb.
    pub fn execute(self) -> Result<()> {
        match self {
            Command::List { json } => list::list(json),
            Command::Info { kernel, json } => info::info(&find(&kernel)?, json),
            Command::Run { words } => run::run(words),
            Command::Submit { words } => submit::submit(words),
            Command::Bench { what } => bench::bench(what),
            Command::Compare(wanted) => compare::compare(&wanted),
            Command::Top { run, once, json, every } => top::top(run, once, json, every),
            Command::Doctor(wanted) => doctor::doctor(&wanted),
            Command::Sweep { what } => sweep::sweep(what),
            Command::Status { runs, json } => status::status(&runs, json),
            Command::Log(wanted) => log::log(&wanted),
            Command::Cancel { run, now } => cancel::cancel(run.as_deref(), now),
            Command::Resume { words } => resume::resume(words),
            Command::Report { run, output } => report::report(run.as_deref(), output),
        }
    }
}

/// The kernel of that name.
///
/// # Errors
/// There is none: the nearest name is suggested.
pub fn find(name: &str) -> Result<Entry> {
    let all = rankine_kernels::all();
    all.iter().find(|entry| entry.name == name).copied().ok_or_else(|| {
        let help = match nearest(name, all.iter().map(|entry| entry.name)) {
            Some(near) => format!("did you mean {near}? `rankine list` shows all kernels"),
            None => "`rankine list` shows all kernels".to_string(),
        };
        Error::usage(format!("there is no kernel {name:?}")).help(help)
    })
}

/// The kernel that the words after a verb begin with, or that their `--job` file names, and the words left;
/// `None` if they ask for help.
///
/// # Errors
/// No kernel is named, or none of that name is there.
pub fn kernel_of(words: Vec<OsString>, verb: &str) -> Result<Option<(Entry, Vec<OsString>)>> {
    let first = words.first().map(|word| word.to_string_lossy().into_owned());
    match first.as_deref() {
        Some(name) if !name.starts_with('-') => return Ok(Some((find(name)?, words[1..].to_vec()))),
        Some("--help" | "-h") => return Ok(None),
        _ => {}
    }
    // A run that goes on says what it is, too.
    let run = value_of(&words, "--resume").map(|run| Path::new(&run).join("run.toml").display().to_string());
    let Some(path) = run.or_else(|| value_of(&words, "--job")) else {
        return Err(Error::usage(format!("rankine {verb}: no kernel is named"))
            .help(format!("write `rankine {verb} KERNEL`; `rankine list` shows all kernels")));
    };
    let file = JobFile::read(Path::new(&path))?;
    match file.kernel() {
        Some(kernel) => Ok(Some((find(kernel)?, words))),
        None => Err(Error::usage(format!("{path} names no kernel")).help(format!(
            "add a line such as `kernel = \"heat3d\"`, or write `rankine {verb} KERNEL --job {path}`"
        ))),
    }
}

/// The value of a flag among words, written in either way.
fn value_of(words: &[OsString], flag: &str) -> Option<String> {
    let mut rest = words.iter().map(|word| word.to_string_lossy());
    let value = rest.find_map(|word| match word.strip_prefix(flag) {
        Some("") => Some(None),
        Some(value) => value.strip_prefix('=').map(|value| Some(value.to_string())),
        None => None,
    });
    value.and_then(|value| value.or_else(|| rest.next().map(|value| value.into_owned())))
}
