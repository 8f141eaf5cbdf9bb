//! The command line of one kernel: `main` of a program whose kernel is its author's own.
//!
//! The only file here that names standard output and standard error; what is written there is `terminal`'s business.

use super::entry::{Asked, Entry, Job};
use super::report::{Progress, Reporter, Summary};
use super::terminal::Terminal;
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::launch::{exit, is_first_process};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

/// The whole `main` of a program that runs the kernel `K`: flags, job file, help, run, report, exit code.
///
/// ```no_run
/// # use rankine::{Comm, Result, kernel::Kernel};
/// # use std::ops::ControlFlow;
/// # #[derive(Clone, clap::Args, serde::Serialize, serde::Deserialize)]
/// # struct MyKernel {}
/// # impl Kernel for MyKernel {
/// #     const NAME: &'static str = "mine";
/// #     const ABOUT: &'static str = "mine";
/// #     type Data = ();
/// #     fn init(&self, _: &Comm) -> Result<()> { Ok(()) }
/// #     fn step(&self, _: &Comm, _: &mut ()) -> Result<ControlFlow<()>> { Ok(ControlFlow::Break(())) }
/// # }
/// fn main() -> std::process::ExitCode {
///     rankine::main::<MyKernel>()
/// }
/// ```
pub fn main<K: Kernel>() -> ExitCode {
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_else(|| K::NAME.into());
    let program = std::path::Path::new(&program).file_name().unwrap_or(program.as_os_str()).to_string_lossy();
    once(Entry::of::<K>().ask(&program, words, |command| command).and_then(run))
}

/// Does what was asked: shows a text, or runs the job with a report on standard output and progress on standard error.
///
/// # Errors
/// As [`Job::launch`].
pub fn run(asked: Asked) -> Result<()> {
    match asked {
        Asked::Text(text) => {
            show(&text);
            Ok(())
        }
        Asked::Job(job) => {
            let make = reporter(&job);
            job.launch(make)
        }
    }
}

/// Writes to standard output, from the first process of a job only.
pub fn show(text: &str) {
    if is_first_process() {
        let mut out = std::io::stdout().lock();
        // A reader that has gone has read enough.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// As [`exit`], but an error that every process of a job meets before its ranks are known is told by the first one
/// alone.
pub fn once(result: Result<()>) -> ExitCode {
    match result {
        Err(error) if !is_first_process() => {
            // A launcher may end the first one with this one, before it has spoken.
            std::thread::sleep(Duration::from_secs(2));
            ExitCode::from(error.exit_code())
        }
        result => exit(result),
    }
}

fn reporter(job: &Job) -> impl Fn() -> Box<dyn Reporter> + Send + Sync + use<> {
    let (quiet, json) = (job.quiet(), job.json());
    let interval = Duration::from_secs_f64(job.options().progress.min(1e9));
    move || {
        if quiet && !json {
            return Box::new(Warning(None));
        }
        let terminal = Terminal::new(std::io::stdout()).json(json);
        Box::new(Warning(Some(match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => terminal,
            (false, true) => terminal.bar(),
            (false, false) => terminal.lines(std::io::stderr(), interval),
        })))
    }
}

/// Warns on standard error, and leaves the rest to a terminal, if there is one.
struct Warning(Option<Terminal>);

impl Reporter for Warning {
    fn progress(&self, progress: &Progress) {
        self.0.iter().for_each(|terminal| terminal.progress(progress));
    }

    fn warning(&self, text: &str) {
        match &self.0 {
            Some(terminal) => terminal.warning(text),
            None => crate::launch::warn(text),
        }
    }

    fn late(&self, note: Option<&str>) {
        self.0.iter().for_each(|terminal| terminal.late(note));
    }

    fn finished(&self, summary: &Summary) {
        self.0.iter().for_each(|terminal| terminal.finished(summary));
    }
}

/// clap's error as one of ours: what is wrong and the nearest right thing, in one paragraph.
pub fn usage(error: &clap::Error, help: &str) -> Error {
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n").map(|part| {
        part.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
    });
    let what = paragraphs.next().unwrap_or_default();
    let what = what.strip_prefix("error: ").unwrap_or(&what).to_string();
    let tips: Vec<String> =
        paragraphs.filter_map(|part| part.strip_prefix("tip: ").map(str::to_string)).collect();
    let all = format!("`{help}` shows all flags");
    Error::usage(what).help(if tips.is_empty() { all } else { format!("{}; {all}", tips.join("; ")) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, Command, value_parser};

    #[test]
    fn what_clap_says_becomes_one_paragraph() {
        let command = Command::new("p").arg(Arg::new("steps").long("steps").value_parser(value_parser!(u32)));
        let said = |line: &[&str]| {
            usage(&command.clone().try_get_matches_from(line).unwrap_err(), "p --help").to_string()
        };
        let unknown = said(&["p", "--stesp", "3"]);
        assert!(unknown.starts_with("unexpected argument '--stesp' found\n  help: "), "{unknown}");
        assert!(
            unknown.contains("'--steps'") && unknown.ends_with("`p --help` shows all flags"),
            "{unknown}"
        );
        let wrong = said(&["p", "--steps", "many"]);
        assert!(wrong.contains("invalid value 'many' for '--steps <steps>'"), "{wrong}");
        assert!(!wrong.contains("\n\n"));
    }
}
