//! What one can ask of a run, whatever the kernel: flags and keys of a job file's `[run]`.

use super::logs::LogLevel;
use crate::checkpoint::{Every, Span};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The options of a run.
#[derive(Clone, Debug, PartialEq, clap::Args, Serialize, Deserialize)]
pub struct Options {
    /// Ranks, as threads of this process [default: 1]; under mpirun or srun the launcher says how many
    #[arg(long, value_name = "N")]
    pub ranks: Option<usize>,
    /// Threads of each rank [default: SLURM_CPUS_PER_TASK, OMP_NUM_THREADS or 1]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Write output every N steps, beside the start and the end
    #[arg(long, value_name = "N")]
    pub every: Option<u64>,
    /// Directory of the run [default: runs/KERNEL-TIME, in UTC]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace an earlier run in that directory
    #[arg(long)]
    pub overwrite: bool,
    /// Write no files at all
    #[arg(long)]
    pub no_output: bool,
    /// Save the run every N steps (100), every so often (10min), or auto (needs --mtbf)
    #[arg(long, value_name = "INTERVAL")]
    pub checkpoint_every: Option<Every>,
    /// Mean time between failures of the machine, such as 24h: --checkpoint-every auto loses least
    #[arg(long, value_name = "TIME")]
    pub mtbf: Option<Span>,
    /// Save the run and stop (exit code 75) before so much time has passed [default: Slurm's limit]
    #[arg(long, value_name = "TIME")]
    pub time_limit: Option<Span>,
    /// Go on with the run in that directory, with its parameters; begin it there if there is none
    #[arg(long, value_name = "DIR")]
    pub resume: Option<PathBuf>,
    /// Seconds between progress lines in a log, and between updates of progress.json
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    pub progress: f64,
    /// What each rank says goes to log/rank-0000.txt and so on, from this level up
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<LogLevel>,
    /// Seconds a rank may be blocked before the watch asks why [default: RANKINE_PATIENCE or 5]
    #[arg(long, value_name = "SECONDS")]
    pub patience: Option<f64>,
    /// Do not look for ranks that wait for ever
    #[arg(long)]
    pub no_watch: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            ranks: None,
            threads: None,
            every: None,
            out: None,
            overwrite: false,
            no_output: false,
            checkpoint_every: None,
            mtbf: None,
            time_limit: None,
            resume: None,
            progress: 10.0,
            log: None,
            patience: None,
            no_watch: false,
        }
    }
}

impl Options {
    /// Whether these options can be.
    pub(super) fn check(&self) -> Result<()> {
        if self.ranks == Some(0) {
            return Err(Error::usage("--ranks 0: nobody would compute").help("give one rank or more"));
        }
        if self.threads == Some(0) {
            return Err(Error::usage("--threads 0: nobody would compute").help("give one thread or more"));
        }
        if self.every == Some(0) {
            return Err(Error::usage("--every 0: there is no such interval")
                .help("give one step or more; without --every, output is written at the start and the end"));
        }
        if !(self.progress > 0.0 && self.progress.is_finite()) {
            return Err(Error::usage(format!("--progress {}: no interval", self.progress))
                .help("give a number of seconds above zero"));
        }
        if let Some(patience) = self.patience
            && std::time::Duration::try_from_secs_f64(patience).is_err()
        {
            return Err(Error::usage(format!("--patience {patience}: no time"))
                .help("give a number of seconds, such as 5 or 0.5"));
        }
        if self.no_output && self.out.is_some() {
            return Err(Error::usage("--out and --no-output contradict each other").help("give one of them"));
        }
        if self.no_output && self.log.is_some_and(|level| level != LogLevel::Off) {
            return Err(Error::usage("--log and --no-output contradict each other")
                .help("the files are in the run's directory: give one of them"));
        }
        if self.resume.is_some() && (self.no_output || self.overwrite || self.out.is_some()) {
            let other = match (&self.out, self.overwrite) {
                (Some(_), _) => "--out",
                (None, true) => "--overwrite",
                (None, false) => "--no-output",
            };
            return Err(Error::usage(format!("--resume and {other} contradict each other"))
                .help("a run goes on in its own directory: give only --resume"));
        }
        if self.checkpoint_every == Some(Every::Auto) && self.mtbf.is_none() {
            return Err(Error::usage("--checkpoint-every auto: how often does the machine fail?")
                .help("give the mean time between failures, such as --mtbf 24h, or an interval"));
        }
        Ok(())
    }

    /// What of it makes the same run again: neither where it was written nor how it was watched.
    pub(super) fn reproducing(&self, ranks: usize, threads: usize) -> Options {
        Options {
            ranks: Some(ranks),
            threads: Some(threads),
            every: self.every,
            progress: self.progress,
            log: self.log,
            checkpoint_every: self.checkpoint_every,
            mtbf: self.mtbf,
            time_limit: self.time_limit,
            ..Options::default()
        }
    }
}

/// How the command line is answered: these are no keys of a job file.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
pub(super) struct Answer {
    /// Read parameters and options from a TOML file; flags override it
    #[arg(long, value_name = "FILE")]
    pub job: Option<PathBuf>,
    /// Put a value over the job file's: a parameter or option (steps=50), or with its table (slurm.time=30)
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Neither progress nor a report, only errors
    #[arg(long)]
    pub quiet: bool,
    /// The report as one JSON object
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(Options::default().check().is_ok());
        for options in [
            Options { ranks: Some(0), ..Options::default() },
            Options { threads: Some(0), ..Options::default() },
            Options { every: Some(0), ..Options::default() },
            Options { progress: f64::NAN, ..Options::default() },
            Options { patience: Some(-1.0), ..Options::default() },
            Options { patience: Some(f64::INFINITY), ..Options::default() },
            Options { no_output: true, out: Some("x".into()), ..Options::default() },
            Options { resume: Some("x".into()), out: Some("x".into()), ..Options::default() },
            Options { resume: Some("x".into()), overwrite: true, ..Options::default() },
            Options { resume: Some("x".into()), no_output: true, ..Options::default() },
            Options { checkpoint_every: Some(Every::Auto), ..Options::default() },
        ] {
            assert_eq!(options.check().unwrap_err().exit_code(), 2, "{options:?}");
        }
    }
}
