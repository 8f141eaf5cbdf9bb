//! One task of a job array, `17_3`: its state, and its end. An array as a whole is a job like others.

use crate::command::slurm;
use crate::error::quoted;
use crate::{Error, JobId, JobState};
use std::time::Duration;

/// As for other commands.
const DEADLINE: Duration = Duration::from_secs(100);

/// The state of a task now; of one that has not begun, that of all that wait.
///
/// # Errors
/// As [`Slurm::state`](crate::Slurm::state).
pub fn task_state(job: JobId, task: usize) -> Result<JobState, Error> {
    let done = slurm("scontrol", &["show", "job", "-o", &format!("{job}_{task}")], "", &[], DEADLINE)?;
    if !done.status.success() || done.stdout.contains("No jobs in the system") {
        return Err(Error::UnknownJob { job });
    }
    line(&done.stdout).map_err(|why| Error::Unreadable {
        command: "scontrol show job -o".to_owned(),
        why,
        said: quoted(&done.stdout),
    })
}

/// Of a task Slurm writes one line, under a number of its own.
fn line(text: &str) -> Result<JobState, String> {
    let number = text.split_whitespace().next().and_then(|word| word.strip_prefix("JobId="));
    let number = number.and_then(|number| number.parse().ok()).ok_or("no line that begins with JobId=")?;
    JobState::parse(text, number)
}

/// Ends a task that waits or runs, and no other.
///
/// # Errors
/// As [`Slurm::cancel`](crate::Slurm::cancel).
pub fn cancel_task(job: JobId, task: usize) -> Result<(), Error> {
    let done = slurm("scancel", &[&format!("{job}_{task}")], "", &[], DEADLINE)?;
    if done.status.success() && !done.stderr.contains("Invalid job id") {
        return Ok(());
    }
    Err(Error::UnknownJob { job })
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn a_task_is_read_under_its_own_number() {
        let text = "JobId=19 ArrayJobId=17 ArrayTaskId=3 JobName=x QOS=(null) JobState=RUNNING Reason=None ExitCode=0:0\n";
        assert_eq!(line(text).unwrap().to_string(), "RUNNING");
        assert!(line("").is_err() && line("JobId=x").is_err());
    }
}
