//! Hands a script to Slurm, waits for a job, ends one. It works through Slurm's own commands on PATH, so it
//! needs no library of Slurm's and no accounting database; it does not read what the job wrote.

use std::ffi::OsString;
use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use crate::command::{Finished, slurm};
use crate::error::quoted;
use crate::{Error, JobState};

/// A command of Slurm's that has not ended by then never will: its own patience is about a minute.
const DEADLINE: Duration = Duration::from_secs(100);

/// A job's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The Slurm that this process's environment points to, or another one.
#[derive(Debug, Clone, Default)]
pub struct Slurm {
    env: Vec<(OsString, OsString)>,
}

impl Slurm {
    /// The Slurm that this process's environment points to.
    #[must_use]
    pub fn new() -> Self {
        Slurm::default()
    }

    /// Sets a variable (`SLURM_CONF`, `PATH`) for the commands that are run, over this process's own. Jobs
    /// inherit it as they inherit the rest of the environment.
    #[must_use]
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Queues a batch script, as from this process's working directory.
    ///
    /// # Errors
    /// There is no `sbatch`, it knows of no cluster, the cluster does not answer, or it refused.
    pub fn submit(&self, script: &str) -> Result<JobId, Error> {
        self.submit_with(script, &[])
    }

    /// As [`submit`](Slurm::submit), with options that go before those of the script.
    ///
    /// # Errors
    /// As [`submit`](Slurm::submit).
    pub fn submit_with(&self, script: &str, options: &[&str]) -> Result<JobId, Error> {
        let words: Vec<&str> = ["--parsable"].into_iter().chain(options.iter().copied()).collect();
        let done = self.run("sbatch", &words, script)?;
        if !done.status.success() {
            return Err(refused("sbatch", &done));
        }
        // "17", or "17;cluster" in a federation; a site's plugin may write lines before it.
        let last = done.stdout.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        let number = last.trim().split(';').next().and_then(|number| number.parse().ok());
        number.filter(|&id| id > 0).map(JobId).ok_or_else(|| Error::Unreadable {
            command: "sbatch --parsable".to_owned(),
            why: "no job number".to_owned(),
            said: quoted(&done.stdout),
        })
    }

    /// Asks Slurm about a script without queueing it: whether it could run, and in Slurm's words when and where.
    ///
    /// # Errors
    /// As [`submit`](Slurm::submit); [`Error::Refused`] if it could not.
    pub fn test(&self, script: &str) -> Result<String, Error> {
        let done = self.run("sbatch", &["--test-only"], script)?;
        if !done.status.success() {
            return Err(refused("sbatch --test-only", &done));
        }
        Ok(done.said())
    }

    /// The jobs of this user that Slurm has in its queue, waiting or running, of an array `job`: their numbers in it.
    ///
    /// # Errors
    /// As [`submit`](Slurm::submit).
    pub fn queued_of_array(&self, job: JobId) -> Result<Vec<usize>, Error> {
        let done =
            self.run("squeue", &["--noheader", "--array", &format!("--jobs={job}"), "--format=%K"], "")?;
        // A job that is long gone is no error here.
        if !done.status.success() && !done.stderr.contains("Invalid job id") {
            return Err(refused("squeue", &done));
        }
        Ok(done.stdout.lines().filter_map(|line| line.trim().parse().ok()).collect())
    }

    /// The job's state now. Slurm forgets a job some minutes after its end.
    ///
    /// # Errors
    /// As [`submit`](Slurm::submit), and [`Error::UnknownJob`] for a job Slurm does not know.
    pub fn state(&self, job: JobId) -> Result<JobState, Error> {
        let done = self.run("scontrol", &["show", "job", "-o", &job.to_string()], "")?;
        if done.stderr.contains("Invalid job id") || done.stdout.contains("No jobs in the system") {
            return Err(Error::UnknownJob { job });
        }
        if !done.status.success() {
            return Err(refused("scontrol show job", &done));
        }
        JobState::parse(&done.stdout, job.0).map_err(|why| Error::Unreadable {
            command: "scontrol show job -o".to_owned(),
            why,
            said: quoted(&done.stdout),
        })
    }

    /// Waits until the job has ended and says how. Asks seldom when the wait is long, and bears with a
    /// controller that is away for a while.
    ///
    /// # Errors
    /// [`Error::Timeout`] once `timeout` has passed (the job goes on), else as [`state`](Slurm::state).
    pub fn wait(&self, job: JobId, timeout: Duration) -> Result<JobState, Error> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(100);
        loop {
            let last = match self.state(job) {
                Ok(seen) if seen.state.has_ended() => return Ok(seen),
                Ok(seen) => seen.to_string(),
                Err(error @ (Error::NoController { .. } | Error::NoAnswer { .. })) => error.to_string(),
                Err(error) => return Err(error),
            };
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(Error::Timeout { job, after: timeout, last });
            }
            thread::sleep(pause.min(left));
            // Polling is the controller's heaviest load on a big cluster.
            pause = (pause * 5 / 4).min(Duration::from_secs(15));
        }
    }

    /// Ends a job that waits or runs; one that has ended already is left as it is.
    ///
    /// # Errors
    /// As [`submit`](Slurm::submit), and [`Error::UnknownJob`] for a job Slurm does not know.
    pub fn cancel(&self, job: JobId) -> Result<(), Error> {
        let done = self.run("scancel", &[&job.to_string()], "")?;
        if done.stderr.contains("Invalid job id") {
            return Err(Error::UnknownJob { job });
        }
        if done.status.success() { Ok(()) } else { Err(refused("scancel", &done)) }
    }

    pub(crate) fn environment(&self) -> &[(OsString, OsString)] {
        &self.env
    }

    fn run(&self, program: &str, args: &[&str], input: &str) -> Result<Finished, Error> {
        slurm(program, args, input, &self.env, DEADLINE)
    }
}

pub(crate) fn refused(command: &str, done: &Finished) -> Error {
    Error::Refused { command: command.to_owned(), status: done.status.to_string(), said: done.said() }
}

/// Queues a batch script with the Slurm of this process's environment; see [`Slurm::submit`].
///
/// # Errors
/// As [`Slurm::submit`].
pub fn submit(script: &str) -> Result<JobId, Error> {
    Slurm::new().submit(script)
}

/// Waits until a job has ended; see [`Slurm::wait`].
///
/// # Errors
/// As [`Slurm::wait`].
pub fn wait(job: JobId, timeout: Duration) -> Result<JobState, Error> {
    Slurm::new().wait(job, timeout)
}

/// Ends a job; see [`Slurm::cancel`].
///
/// # Errors
/// As [`Slurm::cancel`].
pub fn cancel(job: JobId) -> Result<(), Error> {
    Slurm::new().cancel(job)
}
