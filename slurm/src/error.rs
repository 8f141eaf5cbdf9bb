//! What can go wrong between a request for resources and a finished job. Each message says what
//! happened, where, and what to do. How a program inside the job failed is no error here: that is its
//! exit code, in [`JobState`](crate::JobState).

use std::time::Duration;

use crate::submit::JobId;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field of [`Resources`](crate::Resources) or [`Job`](crate::Job) that no script may be made of.
    #[error("{field} = {value:?}: {help}")]
    Invalid {
        /// The field's name, as in a job file.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What is wrong with it and what is allowed.
        help: String,
    },

    /// A template of a batch script that cannot be filled.
    #[error("{place}: {what}: {help}")]
    Template {
        /// The file, and the line where there is one.
        place: String,
        /// What is wrong.
        what: String,
        /// What to do.
        help: String,
    },

    /// A Slurm command is not on PATH.
    #[error(
        "{command} is not on PATH: this machine has no Slurm client; submit from a login node of the cluster, \
         load its Slurm module, or install it (Debian: apt-get install slurm-client)"
    )]
    NoSlurm {
        /// The command that was looked for.
        command: String,
    },

    /// Slurm's commands are there but know of no cluster.
    #[error(
        "{command} is on PATH but Slurm is not configured here: there is no slurm.conf and no cluster in DNS; \
         submit from a login node of the cluster, or point SLURM_CONF to its slurm.conf\n{said}"
    )]
    NotConfigured {
        /// The command that was run.
        command: String,
        /// What it wrote, quoted.
        said: String,
    },

    /// The cluster's controller does not answer.
    #[error(
        "{command}: the Slurm controller does not answer; check with `scontrol ping`, and that SLURM_CONF is \
         the running cluster's\n{said}"
    )]
    NoController {
        /// The command that was run.
        command: String,
        /// What it wrote, quoted.
        said: String,
    },

    /// Slurm answered, and said no.
    #[error("{command} refused ({status}):\n{said}")]
    Refused {
        /// The command that was run.
        command: String,
        /// How it ended.
        status: String,
        /// What it wrote, quoted.
        said: String,
    },

    /// A command neither answered nor ended.
    #[error("{command} did not end within {} s and was stopped; is the Slurm controller overloaded?", after.as_secs())]
    NoAnswer {
        /// The command that was run.
        command: String,
        /// How long it was given.
        after: Duration,
    },

    /// A command could not be started, or its pipes broke.
    #[error("cannot run {command}: {source}")]
    Run {
        /// The command.
        command: String,
        /// What the system said.
        source: std::io::Error,
    },

    /// A command's output that is not of the form its manual promises.
    #[error("cannot understand what {command} wrote: {why}\n{said}")]
    Unreadable {
        /// The command that was run.
        command: String,
        /// What was looked for.
        why: String,
        /// What it wrote, quoted.
        said: String,
    },

    /// Slurm does not know the job (any more).
    #[error(
        "Slurm does not know job {job}: it never was, or ended so long ago that the controller has forgotten it \
         (MinJobAge, usually 5 minutes)"
    )]
    UnknownJob {
        /// The job.
        job: JobId,
    },

    /// The job had not ended in the time given to [`wait`](crate::wait).
    #[error("job {job} has not ended after {} s (last seen {last}); it goes on: `scancel {job}` ends it", after.as_secs())]
    Timeout {
        /// The job.
        job: JobId,
        /// How long was waited.
        after: Duration,
        /// The last state seen, or why none was.
        last: String,
    },

    /// The testbed did not start.
    #[error("the Slurm testbed did not start ({status}):\n{said}")]
    Testbed {
        /// How its script ended.
        status: String,
        /// What it wrote, quoted.
        said: String,
    },
}

/// A command's words, set off from ours and safe for a terminal.
pub(crate) fn quoted(said: &str) -> String {
    const LINES: usize = 30;
    let clean: String =
        said.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect();
    let lines: Vec<_> = clean.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return "  | (it said nothing)".to_owned();
    }
    let skipped = lines.len().saturating_sub(LINES);
    let mut out: Vec<_> = lines[skipped..].iter().map(|line| format!("  | {line}")).collect();
    if skipped > 0 {
        out.insert(0, format!("  | ({skipped} lines before)"));
    }
    out.join("\n")
}
