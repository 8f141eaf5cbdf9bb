//! The verbs and how they are written; what they do is in a file each.

use crate::{
    bench, cancel, compare, completions, doctor, info, list, log, man, report, resume, run, schema, status,
    submit, sweep, top,
};
use clap::Parser;
use rankine::run::{Entry, JobFile, is_job_file, nearest, show};
use rankine::{Error, Result};
use std::ffi::{OsStr, OsString};
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
pub struct Line {
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
        /// What a job file for it may hold, as a JSON schema
        #[arg(long, conflicts_with = "json")]
        schema: bool,
    },
    /// Run a kernel: rankine run KERNEL --help shows its flags
    #[command(disable_help_flag = true)]
    Run {
        /// The kernel, or a job file that names it, then its flags
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "KERNEL|JOB.toml [FLAGS]")]
        words: Vec<OsString>,
    },
    /// Submit a run to Slurm, or show its batch script with --dry-run
    #[command(disable_help_flag = true)]
    Submit {
        /// The kernel, or a job file that names it, then its flags and Slurm's
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "KERNEL|JOB.toml [FLAGS]")]
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
        /// The run's directory, or the beginning of its name in runs/ [default: the newest]
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
    /// What a job file may hold, as a JSON schema for editors
    Schema {
        /// For this kernel alone [default: for all, by what the file names]
        kernel: Option<String>,
    },
    /// A script that lets a shell complete verbs, kernels and flags
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Manual pages, one for each verb and kernel
    Man {
        /// The page to show, such as: run heat3d [default: that of rankine]
        words: Vec<String>,
        /// Write all pages into this folder instead
        #[arg(long, value_name = "DIR", conflicts_with = "words")]
        out: Option<PathBuf>,
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
            Command::Info { kernel, schema: true, .. } => schema::schema(Some(find(&kernel)?)),
            Command::Info { kernel, json, .. } => info::info(&find(&kernel)?, json),
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
            Command::Schema { kernel } => schema::schema(kernel.as_deref().map(find).transpose()?),
            Command::Completions { shell } => completions::completions(shell),
            Command::Man { words, out } => man::man(&words, out.as_deref()),
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

/// The kernel that the words after a verb begin with, or that the job file names which they begin with or give as
/// `--job`, and the words left;
/// `None` if they ask for help.
///
/// # Errors
/// No kernel is named, or none of that name is there.
pub fn kernel_of(words: Vec<OsString>, verb: &str) -> Result<Option<(Entry, Vec<OsString>)>> {
    let first = words.first().map(|word| word.to_string_lossy().into_owned());
    let named = words.first().filter(|word| is_job_file(word) && !is_kernel(word)).cloned();
    match first.as_deref() {
        Some(name) if !name.starts_with('-') && named.is_none() => {
            return Ok(Some((find(name)?, words[1..].to_vec())));
        }
        Some("--help" | "-h") => return Ok(None),
        _ => {}
    }
    // A run that goes on says what it is, too.
    let run = value_of(&words, "--resume").map(|run| Path::new(&run).join("run.toml"));
    let job = named.map(PathBuf::from).or_else(|| value_of(&words, "--job").map(PathBuf::from));
    let path = match (run, job) {
        (Some(run), Some(job)) => Some(if run.is_file() { run } else { job }),
        (run, job) => run.or(job),
    };
    let Some(path) = path else {
        return Err(Error::usage(format!("rankine {verb}: no kernel is named")).help(format!(
            "write `rankine {verb} KERNEL`, or name a job file; `rankine list` shows all kernels"
        )));
    };
    let given = path.display();
    let file = JobFile::read(&path)?;
    match file.kernel() {
        Some(kernel) => Ok(Some((find(kernel)?, words))),
        None => Err(Error::usage(format!("{given} names no kernel")).help(format!(
            "add a line such as `kernel = \"heat3d\"`, or write `rankine {verb} KERNEL --job {given}`"
        ))),
    }
}

fn is_kernel(word: &OsStr) -> bool {
    rankine_kernels::all().iter().any(|entry| entry.name == word)
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
