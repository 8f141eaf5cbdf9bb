//! One kernel in several forms: ranks that send messages, threads in one address space, both. Each is a job of its own that this
//! command starts, so that nothing of one is in the other's way.
//!
//! What is measured is in the run's own report; what is made of it is the caller's business.

use crate::submit::is_root;
use rankine::launch::Launcher;
use rankine::{Error, ErrorKind, Result};
use serde::Serialize;
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Who computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Form {
    pub engine: Engine,
    pub ranks: usize,
    pub threads: usize,
}

/// What carries its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    Local,
    Mpi,
}

/// What a run of a form came to.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// By the kernel's own formula where it has one, else units a second.
    pub rate: f64,
    pub unit: String,
    /// Seconds of a step, or of what the kernel's formula calls one.
    pub step: f64,
    /// Of the whole timed part.
    pub seconds: f64,
    pub constructing: f64,
    pub sending: f64,
    pub waiting: f64,
    pub messages: u64,
    pub collectives: u64,
    pub bytes: u64,
    pub memory: Option<u64>,
    pub flops_per_second: Option<f64>,
    pub bytes_per_second: Option<f64>,
}

impl Form {
    pub fn local(ranks: usize, threads: usize) -> Form {
        Form { engine: Engine::Local, ranks, threads }
    }

    pub fn mpi(ranks: usize, threads: usize) -> Form {
        Form { engine: Engine::Mpi, ranks, threads }
    }

    pub fn workers(&self) -> usize {
        self.ranks * self.threads
    }

    /// Runs a kernel with these words behind its name.
    ///
    /// # Errors
    /// The run fails or does not verify.
    pub fn run(&self, kernel: &str, words: &[String]) -> Result<Measured> {
        let program = std::env::current_exe().map_err(|error| {
            Error::new(ErrorKind::Setup, format!("this program is not to be found: {error}"))
        })?;
        let mut command = match self.engine {
            Engine::Local => Command::new(&program),
            Engine::Mpi => {
                let mut command = launcher(self.ranks, self.threads);
                command.arg(&program);
                command
            }
        };
        command.args(["run", kernel]).args(words).args(["--json", "--no-output"]);
        command.args(["--threads", &self.threads.to_string()]);
        if self.engine == Engine::Local {
            command.args(["--ranks", &self.ranks.to_string()]);
        }
        let said = output(command, &format!("rankine run {kernel} {} on {self}", words.join(" ")))?;
        let report = said.lines().rev().find(|line| line.starts_with('{')).unwrap_or_default();
        Measured::read(report).ok_or_else(|| {
            Error::new(
                ErrorKind::Setup,
                format!("rankine run {kernel} on {self} reports nothing that can be read: {said}"),
            )
        })
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranks = if self.ranks == 1 { "1 rank".to_string() } else { format!("{} ranks", self.ranks) };
        let threads = if self.threads > 1 { format!(" x {} threads", self.threads) } else { String::new() };
        let engine = if self.engine == Engine::Mpi { ", MPI" } else { "" };
        write!(f, "{ranks}{threads}{engine}")
    }
}

impl Measured {
    fn read(report: &str) -> Option<Measured> {
        let report: serde_json::Value = serde_json::from_str(report).ok()?;
        let mean = |phase: &str| report["times"][phase]["mean"].as_f64();
        let steps = report["steps"].as_u64()?.max(1);
        let (seconds, rate) = (report["times"]["steps"].as_f64()?, &report["rate"]);
        let quoted = &report["quoted"][0];
        let (value, unit, step) = match (quoted["rate"].as_f64(), quoted["label"].as_str()) {
            (Some(value), Some(label)) => {
                let unit = label.split(['(', ')']).nth(1).unwrap_or(label);
                (value, unit.to_string(), quoted["time"].as_f64()?)
            }
            _ => {
                let unit = format!("M{}/s", rate["unit"].as_str()?);
                (rate["units_per_second"].as_f64()? / 1e6, unit, seconds / steps as f64)
            }
        };
        Some(Measured {
            rate: value,
            unit,
            step,
            seconds,
            constructing: mean("constructing")?,
            sending: mean("sending")?,
            waiting: mean("waiting")?,
            messages: report["traffic"]["messages"].as_u64()?,
            collectives: report["traffic"]["collectives"].as_u64()?,
            bytes: report["traffic"]["bytes"].as_u64()?,
            memory: report["peak_memory"].as_u64(),
            flops_per_second: rate["flops_per_second"].as_f64(),
            bytes_per_second: rate["bytes_per_second"].as_f64(),
        })
    }
}

/// Whether ranks can be processes: this program knows MPI and there is a launcher.
pub fn has_mpi() -> bool {
    let mut words = launcher_words().into_iter();
    let program = words.next().unwrap_or_default();
    cfg!(feature = "mpi")
        && Command::new(program)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .is_ok_and(|said| said.status.success())
}

/// Refuses to be one of many processes that would each start jobs.
///
/// # Errors
/// This process was started by a launcher.
pub fn alone(verb: &str) -> Result<()> {
    match Launcher::detect(|name| std::env::var(name).ok())? {
        Some(launcher) if launcher.ranks > 1 => {
            Err(Error::usage(format!("{verb}: started {} times by a launcher", launcher.ranks))
                .help("start it once, without mpirun or srun: it starts its jobs by itself"))
        }
        _ => Ok(()),
    }
}

/// The cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn launcher_words() -> Vec<String> {
    let words = std::env::var("RANKINE_MPIRUN").unwrap_or_else(|_| "mpirun".to_string());
    words.split_whitespace().map(str::to_string).collect()
}

/// Lets Open MPI's launcher run for root, who has started what starts it.
pub fn allow_root(command: &mut Command) {
    if is_root() {
        for name in ["OMPI_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT"] {
            command.env(name, "1").env(format!("{name}_CONFIRM"), "1");
        }
    }
}

/// The launcher, with a core for every rank where there are enough.
pub fn launcher(ranks: usize, threads: usize) -> Command {
    let words = launcher_words();
    let mut command = Command::new(words.first().map_or("mpirun", String::as_str));
    command.args(words.iter().skip(1)).args(["-n", &ranks.to_string()]);
    allow_root(&mut command);
    if words.len() == 1 {
        command.args(["--bind-to", if threads == 1 && ranks <= cores() { "core" } else { "none" }]);
        command.args((ranks > cores()).then_some("--oversubscribe"));
    }
    command
}

/// The rate that another program of the same kernel prints, on so many ranks.
///
/// # Errors
/// It fails, or prints no rate.
pub fn peer(program: &Path, ranks: usize, words: &[&str]) -> Result<f64> {
    let mut command = launcher(ranks, 1);
    command.arg(program).args(words);
    let what = format!("{} {}", program.display(), words.join(" "));
    let said = output(command, &what)?;
    quoted(&said).ok_or_else(|| Error::new(ErrorKind::Setup, format!("{what} prints no rate: {said}")))
}

/// The first figure behind `Rate (…)`; some programs make it negative to say that a run was not by the rules.
fn quoted(said: &str) -> Option<f64> {
    let line = said.lines().find(|line| line.starts_with("Rate ("))?;
    line.split(':').nth(1)?.split([' ', ',']).find(|word| !word.is_empty())?.parse::<f64>().ok().map(f64::abs)
}

fn output(mut command: Command, what: &str) -> Result<String> {
    let failed = |why: String| {
        Error::new(ErrorKind::Setup, format!("{what}: {why}"))
            .help("`rankine doctor` says what is set up; leave what cannot run out")
    };
    let said = command.stdin(Stdio::null()).output().map_err(|error| failed(error.to_string()))?;
    if said.status.success() {
        return Ok(String::from_utf8_lossy(&said.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&said.stderr);
    let words = if words.trim().is_empty() { String::from_utf8_lossy(&said.stdout) } else { words };
    Err(failed(format!("{}: {}", said.status, words.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_the_programs_write_them() {
        let said = "Solution validates\nRate (MFlops/s): 1234.5  Avg time (s): 0.1\n";
        assert_eq!(quoted(said), Some(1234.5));
        assert_eq!(quoted("Rate (MFlops/s): -1800.25 Avg time (s): -0.1"), Some(1800.25));
        assert_eq!(quoted("Rate (GUPS/s): 0.050, Time (s): 2.6"), Some(0.05));
        assert_eq!(quoted("Rate (Mops/s) with branches:    21700.5 time (s): 1.0"), Some(21700.5));
        assert_eq!(quoted("ERROR"), None);
    }

    #[test]
    fn reports_are_read_with_and_without_a_rate_of_their_own() {
        let spread = |mean: f64| serde_json::json!({"min": 0.0, "mean": mean, "max": 1.0});
        let mut report = serde_json::json!({
            "steps": 10, "quoted": [{"label": "Rate (MB/s)", "rate": 5.5, "time_label": "Avg time (s)", "time": 0.25}],
            "rate": {"units_per_second": 2e6, "unit": "cells", "bytes_per_second": 1e9},
            "times": {"steps": 2.0, "constructing": spread(0.1), "sending": spread(0.2), "waiting": spread(0.3)},
            "traffic": {"messages": 3, "collectives": 4, "bytes": 5}, "peak_memory": null,
        });
        let with = Measured::read(&report.to_string()).unwrap();
        assert_eq!((with.rate, with.unit.as_str(), with.step, with.bytes), (5.5, "MB/s", 0.25, 5));
        report["quoted"] = serde_json::json!([]);
        let without = Measured::read(&report.to_string()).unwrap();
        assert_eq!((without.rate, without.unit.as_str(), without.step), (2.0, "Mcells/s", 0.2));
        assert_eq!((without.waiting, without.memory, without.bytes_per_second), (0.3, None, Some(1e9)));
        assert!(Measured::read("").is_none() && Measured::read("{}").is_none());
    }
}
