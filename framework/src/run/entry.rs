//! Kernels behind one type: what a command that knows many of them needs of each.
//!
//! [`Entry::of`] forgets a kernel's type, [`Entry::ask`] turns words of a command line into a [`Job`]. Streams and
//! exit codes are `command`'s and the caller's business.

use super::directory::RUN;
use super::execute::Run;
use super::jobfile::{JobFile, is_job_file, meant};
use super::options::{Answer, Options};
use super::report::Reporter;
use super::schema::schema_of;
use super::{command, parameters};
use crate::comm::Comm;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::Kernel;
use crate::launch::Launch;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A kernel whose type is forgotten.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// What its verification compares with.
    pub verifies: &'static str,
    augment: fn(Command) -> Command,
    supplied: fn(Command, &JobFile) -> Command,
    parse: Parse,
    given: fn(&ArgMatches) -> Vec<OsString>,
    ids: fn() -> Vec<String>,
    schema: fn() -> serde_json::Value,
}

/// Makes a kernel's parameters of a command line and a job file.
type Parse = fn(&ArgMatches, Option<&JobFile>) -> Result<Arc<dyn Erased>>;

/// A kernel's parameters behind a pointer.
trait Erased: Send + Sync {
    fn check(&self, ranks: usize) -> Result<()>;
    fn bytes_per_rank(&self, ranks: usize) -> Option<u64>;
    /// Whether it is done, and not stopped before.
    fn run(&self, comm: &Comm, options: Options, reporter: Box<dyn Reporter>) -> Result<bool>;
}

impl<K: Kernel> Erased for K {
    fn check(&self, ranks: usize) -> Result<()> {
        Kernel::check(self, ranks)
    }

    fn bytes_per_rank(&self, ranks: usize) -> Option<u64> {
        Kernel::bytes_per_rank(self, ranks)
    }

    fn run(&self, comm: &Comm, options: Options, reporter: Box<dyn Reporter>) -> Result<bool> {
        let summary = Run::new(self.clone()).options(options).reporter(reporter).on(comm)?;
        summary.verified(comm.rank())?;
        Ok(summary.stopped.is_none())
    }
}

/// What a command line asks for.
pub enum Asked {
    /// A text to be shown: help or a version.
    Text(String),
    /// A run.
    Job(Box<Job>),
}

/// One parameter of a kernel, for people.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Parameter {
    /// The flag with its value's name.
    pub flag: String,
    /// What it says.
    pub help: String,
    /// Its default, where it has one.
    pub default: Option<String>,
}

impl Entry {
    /// The kernel `K`.
    pub const fn of<K: Kernel>() -> Entry {
        Entry {
            name: K::NAME,
            about: K::ABOUT,
            verifies: K::VERIFIES,
            augment: |command| parameters::augment::<K>(command, "Parameters"),
            supplied: |command, file| parameters::supplied::<K>(command, file, "parameters"),
            parse: |matches, file| {
                let kernel: K = parameters::merge(matches, file.map(|file| (file, "parameters")))?;
                Ok(Arc::new(kernel))
            },
            given: parameters::given::<K>,
            ids: || {
                let command = K::augment_args(Command::new(""));
                command.get_arguments().map(|arg| arg.get_id().to_string()).collect()
            },
            schema: schema_of::<K>,
        }
    }

    /// What `[parameters]` of a job file for it may hold, as a JSON schema.
    pub fn schema(&self) -> serde_json::Value {
        (self.schema)()
    }

    /// Its whole command line, for completions and manuals; `program` is what is typed before the flags.
    ///
    /// # Errors
    /// A parameter that has the name of an option of every run.
    pub fn command_line(&self, program: &str) -> Result<Command> {
        self.command(program, |command| command)
    }

    /// Its parameters, in the order of the help.
    pub fn parameters(&self) -> Vec<Parameter> {
        let command = (self.augment)(Command::new(self.name));
        let parameter = |arg: &clap::Arg| {
            let flag = arg.get_long().unwrap_or_else(|| arg.get_id().as_str());
            let value = arg.get_value_names().map(|names| names.join(" "));
            let value = value.filter(|_| arg.get_action().takes_values());
            let defaults: Vec<_> =
                arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
            Parameter {
                flag: value.map_or(format!("--{flag}"), |value| format!("--{flag} <{value}>")),
                help: arg.get_help().map(ToString::to_string).unwrap_or_default(),
                default: (!defaults.is_empty() && arg.get_action().takes_values())
                    .then(|| defaults.join(",")),
            }
        };
        command.get_arguments().map(parameter).collect()
    }

    /// The memory of one rank at the defaults, where the kernel tells and has defaults for everything.
    pub fn default_bytes(&self) -> Option<u64> {
        let matches = (self.augment)(Command::new(self.name)).try_get_matches_from([self.name]).ok()?;
        (self.parse)(&matches, None).ok()?.bytes_per_rank(1)
    }

    /// What `words` ask of this kernel; `program` is what was typed before them. A first word that is a job file is
    /// one with `--job` before it. `extra` adds flags of the caller's own, to be found in [`Job::matches`].
    ///
    /// # Errors
    /// Unknown flags, values that cannot be, a job file that cannot be read.
    pub fn ask(
        &self,
        program: &str,
        words: impl IntoIterator<Item = OsString>,
        extra: fn(Command) -> Command,
    ) -> Result<Asked> {
        let mut words = parameters::joined([program.into()].into_iter().chain(words));
        if let Some(named) = words.get(1).filter(|word| is_job_file(word)) {
            let flag = |word: &OsString| word == "--job" || word.as_encoded_bytes().starts_with(b"--job=");
            if words.iter().any(flag) {
                return Err(Error::usage(format!("{}, and another one with --job", named.display()))
                    .help("a run has one job file: let one include the other (include = [\"base.toml\"])"));
            }
            words.insert(1, "--job".into());
        }
        let help = format!("{program} --help");
        let matches = |command: Command| match command.try_get_matches_from(&words) {
            Ok(matches) => Ok(Ok(matches)),
            Err(error) if !error.use_stderr() => Ok(Err(error.render().to_string())),
            Err(error) => Err(command::usage(&error, &help)),
        };
        let command = self.command(program, extra)?;
        // Flags that are required may be in the job file: first find that.
        let ids = (self.ids)();
        let lenient = ids.iter().fold(command.clone(), |c, id| c.mut_arg(id, |arg| arg.required(false)));
        let first = match matches(lenient)? {
            Ok(first) => first,
            Err(text) => return Ok(Asked::Text(text)),
        };
        let answer = Answer::from_arg_matches(&first).map_err(|error| command::usage(&error, &help))?;
        // A run that goes on has its own parameters.
        let resumed =
            first.get_one::<PathBuf>("resume").map(|run| run.join(RUN)).filter(|file| file.is_file());
        let mut file = resumed.as_deref().or(answer.job.as_deref()).map(JobFile::read).transpose()?;
        if !answer.set.is_empty() {
            let file = file.get_or_insert_with(JobFile::none);
            answer.set.iter().try_for_each(|words| file.set(words, |key| home(&ids, key)))?;
        }
        if let Some(file) = &file
            && let Some(kernel) = file.kernel().filter(|kernel| *kernel != self.name)
        {
            return Err(Error::usage(format!(
                "{} is a job for the kernel {kernel}, not {}",
                file.path().display(),
                self.name
            ))
            .help(format!("run {kernel} with it, or give another file")));
        }
        let command = file.iter().fold(command, |command, file| (self.supplied)(command, file));
        let matches = match matches(command)? {
            Ok(matches) => matches,
            Err(text) => return Ok(Asked::Text(text)),
        };
        let options = parameters::merge::<Options>(&matches, file.as_ref().map(|file| (file, "run")))?;
        options.check()?;
        Ok(Asked::Job(Box::new(Job {
            entry: *self,
            kernel: (self.parse)(&matches, file.as_ref())?,
            ranks_by_hand: matches.value_source("ranks") == Some(clap::parser::ValueSource::CommandLine),
            options,
            answer,
            file,
            matches,
        })))
    }

    fn command(&self, program: &str, extra: fn(Command) -> Command) -> Result<Command> {
        let command = Command::new(program.to_string())
            .bin_name(program.to_string())
            .after_help(format!("Verified: {}.", self.verifies))
            .args_override_self(true)
            .max_term_width(100);
        let command = parameters::augment::<Options>((self.augment)(command), "Run");
        // Structs of flags bring the first line of their docs along.
        let command = extra(Answer::augment_args(command.next_help_heading("Run"))).about(self.about);
        let mut ids: Vec<&str> = command.get_arguments().map(|arg| arg.get_id().as_str()).collect();
        ids.sort_unstable();
        match ids.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Error::usage(format!(
                "kernel {}: its parameter `{}` has the name of an option of every run",
                self.name, pair[0]
            ))
            .help("give the field another name")),
            None => Ok(command),
        }
    }
}

/// A run that was asked for and can be started.
pub struct Job {
    entry: Entry,
    kernel: Arc<dyn Erased>,
    options: Options,
    ranks_by_hand: bool,
    answer: Answer,
    file: Option<JobFile>,
    matches: ArgMatches,
}

impl Job {
    /// The options, the job file's included.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The options, to change them.
    pub fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }

    /// The parsed command line, for flags of the caller's own.
    pub fn matches(&self) -> &ArgMatches {
        &self.matches
    }

    /// The job file, if there is one.
    pub fn file(&self) -> Option<&JobFile> {
        self.file.as_ref()
    }

    /// The job file that was named, unless a run that goes on has its own.
    pub fn named(&self) -> Option<&JobFile> {
        self.file.as_ref().filter(|file| Some(file.path()) == self.answer.job.as_deref())
    }

    /// Whether progress and the report are not wanted.
    pub fn quiet(&self) -> bool {
        self.answer.quiet
    }

    /// Whether the report is wanted as JSON.
    pub fn json(&self) -> bool {
        self.answer.json
    }

    /// Whether the kernel would accept its parameters on that many ranks.
    ///
    /// # Errors
    /// Why it would not.
    pub fn check(&self, ranks: usize) -> Result<()> {
        self.kernel.check(ranks)
    }

    /// The memory of one rank of so many, in bytes, by the kernel's own estimate.
    pub fn bytes_per_rank(&self, ranks: usize) -> Option<u64> {
        self.kernel.bytes_per_rank(ranks)
    }

    /// The words that ask for the kernel's parameters and the run's options again, without those of `without`.
    pub fn given(&self, without: &[&str]) -> Vec<OsString> {
        let mut words = (self.entry.given)(&self.matches);
        words.extend(parameters::given::<Options>(&self.matches));
        words.extend(parameters::given::<Answer>(&self.matches));
        let name = |word: &OsString| {
            let word = word.to_string_lossy();
            word.split('=').next().unwrap_or_default().trim_start_matches("--").to_string()
        };
        words.retain(|word| !without.contains(&name(word).as_str()));
        words
    }

    /// Starts the ranks and runs the kernel on them; `reporter` is made on the rank that tells.
    ///
    /// # Errors
    /// As [`Run::on`]; [`ErrorKind::Verification`] for a wrong answer, [`ErrorKind::Stopped`] for a run that was saved and
    /// stopped before it was done.
    pub fn launch(self, reporter: impl Fn() -> Box<dyn Reporter> + Send + Sync + 'static) -> Result<()> {
        let mut launch = Launch::new();
        // A job file's number of ranks is that of the laptop; a launcher knows better.
        if let Some(ranks) = self.options.ranks
            && (self.ranks_by_hand || !under_launcher())
        {
            launch = launch.ranks(ranks);
        }
        if let Some(threads) = self.options.threads {
            launch = launch.threads(threads);
        }
        if let Some(patience) = self.options.patience {
            launch = launch.patience(Duration::try_from_secs_f64(patience).unwrap_or(Duration::MAX));
        }
        if self.options.no_watch {
            launch = launch.watch(false);
        }
        crate::stop::ends_with_its_run();
        let (kernel, options) = (self.kernel, self.options);
        let stopped = Arc::new(AtomicBool::new(false));
        let noted = stopped.clone();
        launch.run(move |comm| {
            let reporter = if comm.rank() == 0 { reporter() } else { Box::new(super::Silent) };
            if !kernel.run(&comm, options.clone(), reporter)? {
                noted.store(true, Ordering::Relaxed);
            }
            Ok(())
        })?;
        if stopped.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Stopped, "the run was saved and has stopped")
                .help("go on with it: --resume and its directory"));
        }
        Ok(())
    }
}

/// The table of a job file that has a key; what was probably meant, where none has.
fn home(ids: &[String], key: &str) -> std::result::Result<&'static str, String> {
    let options = parameters::names::<Options>();
    if ids.iter().any(|id| id == key) {
        Ok("parameters")
    } else if options.iter().any(|id| id == key) {
        Ok("run")
    } else {
        let known: Vec<&str> = ids.iter().chain(&options).map(String::as_str).collect();
        Err(meant(key, known.iter().copied()))
    }
}

fn under_launcher() -> bool {
    matches!(crate::launch::Launcher::detect(|name| std::env::var(name).ok()), Ok(Some(_)))
}
