//! A job's state as `scontrol show job -o` tells it. It reads text and runs nothing. The text is not to be
//! trusted: the job's name, comment and paths are whatever their author chose, spaces and `Key=value` included.

use std::fmt;

/// Where a job is in its life, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobState {
    /// Slurm's word for it.
    pub state: State,
    /// The batch script's exit code; of a job that has not ended, 0.
    pub exit_code: u8,
    /// The signal that ended the batch script, or 0.
    pub signal: u8,
    /// Why the job is waiting or was ended, in Slurm's words (`Resources`, `TimeLimit`), or `None`.
    pub reason: String,
}

/// A job's state in Slurm's words.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Waiting in the queue.
    Pending,
    /// Has its nodes, which are getting ready.
    Configuring,
    /// Running.
    Running,
    /// Stopped, and will go on.
    Suspended,
    /// Ended; its nodes are cleaning up.
    Completing,
    /// Ended with exit code 0.
    Completed,
    /// Ended with another exit code, or by a signal.
    Failed,
    /// Ended at its time limit.
    Timeout,
    /// Ended by somebody's `scancel`.
    Cancelled,
    /// Ended because a node failed.
    NodeFail,
    /// Ended in favour of another job.
    Preempted,
    /// Ended because its nodes did not start.
    BootFail,
    /// Ended at its deadline.
    Deadline,
    /// Ended for its use of memory.
    OutOfMemory,
    /// Any other word.
    Other(String),
}

const WORDS: [(&str, State); 14] = [
    ("PENDING", State::Pending),
    ("CONFIGURING", State::Configuring),
    ("RUNNING", State::Running),
    ("SUSPENDED", State::Suspended),
    ("COMPLETING", State::Completing),
    ("COMPLETED", State::Completed),
    ("FAILED", State::Failed),
    ("TIMEOUT", State::Timeout),
    ("CANCELLED", State::Cancelled),
    ("NODE_FAIL", State::NodeFail),
    ("PREEMPTED", State::Preempted),
    ("BOOT_FAIL", State::BootFail),
    ("DEADLINE", State::Deadline),
    ("OUT_OF_MEMORY", State::OutOfMemory),
];

impl State {
    /// Whether nothing more will happen to the job. Words this crate does not know count as not ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        use State::{
            BootFail, Cancelled, Completed, Deadline, Failed, NodeFail, OutOfMemory, Preempted, Timeout,
        };
        matches!(
            self,
            Completed
                | Failed
                | Timeout
                | Cancelled
                | NodeFail
                | Preempted
                | BootFail
                | Deadline
                | OutOfMemory
        )
    }

    fn from_word(word: &str) -> State {
        let known = WORDS.iter().find(|(name, _)| *name == word);
        known.map_or_else(|| State::Other(word.to_owned()), |(_, state)| state.clone())
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Other(word) => f.write_str(word),
            state => f.write_str(WORDS.iter().find(|(_, s)| s == state).map_or("?", |(name, _)| name)),
        }
    }
}

impl JobState {
    /// Whether the job ended, by itself and with exit code 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.state == State::Completed && self.exit_code == 0 && self.signal == 0
    }

    /// Reads the line of job `id` out of what `scontrol show job -o` wrote.
    ///
    /// # Errors
    /// A sentence on what is missing, or that a job's name imitates Slurm's own fields so that two readings
    /// are possible.
    pub fn parse(text: &str, id: u64) -> Result<JobState, String> {
        let head = format!("JobId={id}");
        let mut found = text.lines().filter(|line| line.split_whitespace().next() == Some(&head));
        let line = found.next().ok_or_else(|| format!("no line that begins with {head}"))?;
        if found.next().is_some() {
            return Err(format!("more than one line begins with {head}"));
        }
        let words: Vec<_> = line.split_whitespace().collect();
        // The name stands before the state, comment and paths behind it. Only the neighbours that Slurm itself
        // writes tell a state from an imitation; a name that imitates those too makes two, which is refused.
        let mut places = words.windows(3).enumerate().filter_map(|(i, w)| {
            let before = w[0].starts_with("QOS=") || w[0].starts_with("WCKey=");
            let value = w[1].strip_prefix("JobState=")?;
            let reason = w[2].strip_prefix("Reason=")?;
            before.then_some((i, value, reason))
        });
        let (place, word, reason) = places.next().ok_or("no JobState= between QOS= and Reason=")?;
        if places.next().is_some() {
            return Err("two JobState= fields: a name or comment of the job imitates them".to_owned());
        }
        let is_word = |c: char| c.is_ascii_uppercase() || c == '_';
        if word.is_empty() || !word.chars().all(is_word) {
            return Err(format!("{word:?} is no job state"));
        }
        let code = words[place..].iter().find_map(|word| word.strip_prefix("ExitCode="));
        let code = code.ok_or("no ExitCode= behind JobState=")?;
        let pair =
            code.split_once(':').and_then(|(code, signal)| Some((code.parse().ok()?, signal.parse().ok()?)));
        let (exit_code, signal) = pair.ok_or_else(|| format!("{code:?} is no exit code"))?;
        Ok(JobState { state: State::from_word(word), exit_code, signal, reason: reason.to_owned() })
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.state)?;
        if self.reason != "None" && !self.reason.is_empty() {
            write!(f, " ({})", self.reason)?;
        }
        if self.state.has_ended() {
            write!(f, ", exit code {}", self.exit_code)?;
        }
        if self.signal != 0 {
            write!(f, ", signal {}", self.signal)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, state: &str, code: &str, comment: &str) -> String {
        format!(
            "JobId=7 JobName={name} UserId=root(0) GroupId=root(0) MCS_label=N/A Priority=1 Nice=0 Account=(null) \
             QOS=(null) JobState={state} Reason=None Dependency=(null) Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 \
             ExitCode={code} RunTime=00:00:01 Command=/x/a.sh WorkDir=/x {comment}\n"
        )
    }

    #[test]
    fn reads_what_slurm_writes() {
        let seen = JobState::parse(&line("x", "FAILED", "3:0", ""), 7).unwrap();
        assert_eq!((seen.state.clone(), seen.exit_code, seen.signal), (State::Failed, 3, 0));
        assert!(seen.state.has_ended() && !seen.is_success());
        assert_eq!(seen.to_string(), "FAILED, exit code 3");
        assert!(JobState::parse(&line("x", "COMPLETED", "0:0", ""), 7).unwrap().is_success());
        let odd = JobState::parse(&line("x", "STAGE_OUT", "0:0", ""), 7).unwrap();
        assert!(!odd.state.has_ended());
        assert_eq!(odd.state.to_string(), "STAGE_OUT");
        let with_key = line("x", "RUNNING", "0:0", "").replace("QOS=(null)", "QOS=(null) WCKey=*k");
        assert_eq!(JobState::parse(&with_key, 7).unwrap().state, State::Running);
        let derived = line("x", "FAILED", "1:9", "").replace(" ExitCode", " DerivedExitCode=5:0 ExitCode");
        assert_eq!(JobState::parse(&derived, 7).unwrap().signal, 9);
        for (name, state) in WORDS {
            assert_eq!(State::from_word(name), state);
            assert_eq!(state.to_string(), name);
        }
    }

    #[test]
    fn picks_the_line_of_the_job() {
        let two = line("a", "RUNNING", "0:0", "").replace("JobId=7 ", "JobId=77 ")
            + &line("b", "FAILED", "2:0", "");
        assert_eq!(JobState::parse(&two, 7).unwrap().exit_code, 2);
        assert!(JobState::parse(&two, 8).is_err());
    }

    #[test]
    fn hostile_names_and_comments_never_change_the_answer() {
        let names = [
            "a b c",
            "JobState=COMPLETED",
            "x JobState=COMPLETED Reason=None ExitCode=0:0",
            "x ExitCode=0:0 QOS=a",
            "JobId=8 JobState=COMPLETED Reason=None",
            "=====",
            "ExitCode=",
            "ünïcödé \u{202e}",
            "x QOS=a JobState=",
        ];
        for name in names {
            for comment in ["", "Comment=JobState=COMPLETED Reason=None ExitCode=0:0", "Comment=\u{fffd}=="] {
                let seen = JobState::parse(&line(name, "FAILED", "3:0", comment), 7).unwrap();
                assert_eq!((seen.state, seen.exit_code), (State::Failed, 3), "{name} / {comment}");
            }
        }
    }

    #[test]
    fn imitations_and_garbage_are_refused() {
        let imitation = "x QOS=a JobState=COMPLETED Reason=None ExitCode=0:0";
        let broken_line = "x\nJobId=7 JobName=y QOS=a JobState=COMPLETED Reason=None ExitCode=0:0";
        let bad = [
            line(imitation, "FAILED", "3:0", ""),
            line("x", "FAILED", "3:0", imitation),
            line(broken_line, "FAILED", "3:0", ""),
            line("x", "completed", "0:0", ""),
            line("x", "", "0:0", ""),
            line("x", "FAILED", "3", ""),
            line("x", "FAILED", "999:0", ""),
            line("x", "FAILED", "-1:0", ""),
            line("x", "FAILED", ":", ""),
            line("x", "FAILED", "3:0", "").replace("ExitCode", "Exit"),
            String::new(),
            "JobId=7".to_owned(),
            "JobId=7\0".to_owned(),
            "JobId=7 ".repeat(10_000),
            "slurm_load_jobs error: Invalid job id specified".to_owned(),
        ];
        for text in bad {
            assert!(JobState::parse(&text, 7).is_err(), "{:.200}", text);
        }
    }
}
