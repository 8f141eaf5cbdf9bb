//! What a run tells: how far it is, and what came of it. Who reads it and where is a [`Reporter`]'s business.

use super::rate::{Rate, duration};
use super::times::Times;
use crate::kernel::{Quoted, Verdict};
pub use crate::stop::Reason;
use crate::timing::Traffic;
use serde::Serialize;
use std::path::PathBuf;

/// Is told how a run goes, on rank 0 only and, but for notes, from its thread.
pub trait Reporter: Send + Sync {
    /// How far it is: often, but not more than ten times a second.
    fn progress(&self, progress: &Progress) {
        let _ = progress;
    }

    /// Something that the reader should know at once.
    fn warning(&self, text: &str) {
        let _ = text;
    }

    /// Which rank the others are waiting for, while it computes longer than the patience; `None` once that is over. From
    /// another thread, and repeated now and then.
    fn late(&self, note: Option<&str>) {
        let _ = note;
    }

    /// What came of it; all files are written.
    fn finished(&self, summary: &Summary) {
        let _ = summary;
    }
}

/// A reporter that tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Reporter for Silent {}

/// Where a run stopped before it was done.
#[derive(Clone, Debug, Serialize)]
pub struct Stopped {
    /// Why.
    pub why: Reason,
    /// The steps done.
    pub step: u64,
    /// The checkpoint that was made then, in the run's directory; `None` if the last one was of this step.
    pub checkpoint: Option<PathBuf>,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Progress {
    /// The kernel.
    pub kernel: &'static str,
    /// `running`, `finished`, `stopped` or `failed`.
    pub state: &'static str,
    /// Steps done.
    pub step: u64,
    /// Steps planned, where that is known.
    pub steps: Option<u64>,
    /// Seconds since the first step began.
    pub seconds: f64,
    /// Seconds still to go, where that can be told.
    pub seconds_left: Option<f64>,
    /// The rate since the first step, output included.
    pub rate: Rate,
    /// When this was, UTC.
    pub at: String,
}

impl Progress {
    /// Between 0 and 1, where the number of steps is known.
    pub fn fraction(&self) -> Option<f64> {
        self.steps.map(|steps| if steps == 0 { 1.0 } else { self.step as f64 / steps as f64 })
    }
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: step {}", self.kernel, self.step)?;
        if let (Some(steps), Some(fraction)) = (self.steps, self.fraction()) {
            write!(f, " of {steps} ({:.0}%)", (100.0 * fraction).floor())?;
        }
        write!(f, ", {}", self.rate)?;
        match self.seconds_left {
            Some(left) if self.state == "running" => write!(f, ", {} left", duration(left)),
            _ => Ok(()),
        }
    }
}

/// What came of a run; the same on every rank, but for `files`, which rank 0 alone has all of.
#[derive(Clone, Debug, Serialize)]
#[must_use]
pub struct Summary {
    /// The kernel.
    pub kernel: &'static str,
    /// Whether the answer is right.
    pub verdict: Verdict,
    /// The answer's checksum, 16 hexadecimal digits.
    pub checksum: Option<String>,
    /// Steps done, by an earlier job that was resumed, too.
    pub steps: u64,
    /// Of them, the steps that were done when this job began.
    pub from: u64,
    /// Why the run is not done, if it is not.
    pub stopped: Option<Stopped>,
    /// Ranks that did them.
    pub ranks: usize,
    /// Threads of each.
    pub threads: usize,
    /// `local` or `mpi`.
    pub engine: &'static str,
    /// How fast.
    pub rate: Rate,
    /// The rates that the kernel's specification asks for.
    pub quoted: Vec<Quoted>,
    /// Where the time went.
    pub times: Times,
    /// What all ranks sent in the time loop.
    pub traffic: Traffic,
    /// The most memory that all processes held, in bytes, where the system says it.
    pub peak_memory: Option<u64>,
    /// The run's directory, if it has one.
    pub directory: Option<PathBuf>,
    /// What it wrote, in its directory.
    pub files: Vec<PathBuf>,
    /// What the reader should know beside that.
    pub notes: Vec<String>,
    /// The kernel's parameters.
    pub parameters: toml::Table,
}

/// Files of which there is one for each moment are named once, with how many more there are.
fn shown(files: &[PathBuf]) -> Vec<(&PathBuf, usize)> {
    let stem = |file: &PathBuf| -> Option<String> {
        let (stem, step) = file.to_str()?.strip_suffix(".h5")?.rsplit_once('-')?;
        step.bytes().all(|byte| byte.is_ascii_digit()).then(|| stem.to_string())
    };
    let mut shown: Vec<(&PathBuf, usize)> = Vec::new();
    for file in files {
        match shown.last_mut() {
            Some((last, more)) if stem(file).is_some() && stem(last) == stem(file) => *more += 1,
            _ => shown.push((file, 0)),
        }
    }
    shown
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let many = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let threads = if self.threads > 1 { format!(" of {} threads", self.threads) } else { String::new() };
        let from = if self.from > 0 { format!(" (from {})", self.from) } else { String::new() };
        writeln!(
            f,
            "{}: {}{from} on {}{threads} ({} engine) in {}",
            self.kernel,
            many(self.steps, "step"),
            many(self.ranks as u64, "rank"),
            self.engine,
            duration(self.times.total)
        )?;
        match &self.verdict {
            Verdict::NotChecked(why) => writeln!(f, "  verdict   not checked: {why}")?,
            verdict => writeln!(f, "  verdict   {}", verdict.word())?,
        }
        if let Some(stopped) = &self.stopped {
            writeln!(f, "  stopped   {}: saved at step {}", stopped.why, stopped.step)?;
            if let Some(directory) = &self.directory {
                writeln!(f, "  resume    with --resume {}", directory.display())?;
            }
        }
        for check in self.verdict.checks() {
            writeln!(f, "            {check}")?;
        }
        if let Some(checksum) = &self.checksum {
            writeln!(f, "  checksum  {checksum}")?;
        }
        writeln!(f, "  rate      {}", self.rate)?;
        writeln!(f, "  time      {}", self.times)?;
        for quoted in &self.quoted {
            writeln!(f, "{quoted}")?;
        }
        if let Some(directory) = &self.directory {
            writeln!(f, "  files in  {}", directory.display())?;
            for (file, more) in shown(&self.files) {
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                writeln!(f, "            {}{more}", file.display())?;
            }
        }
        for note in &self.notes {
            writeln!(f, "  note      {note}")?;
        }
        Ok(())
    }
}
