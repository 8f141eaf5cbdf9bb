//! When the job will be ended from outside: what the command line says, or Slurm.

use crate::checkpoint::Span;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Slurm's commands wait for its daemons for a minute and more; a job does not.
const PATIENCE: Duration = Duration::from_secs(5);

/// When the job ends: `asked` after `began`, or when Slurm ends it, whichever is sooner. Asked on rank 0 alone.
pub(super) fn of(asked: Option<Span>, began: Instant) -> Option<Instant> {
    let asked = asked.and_then(|span| began.checked_add(span.duration()));
    let slurm =
        left(|name| std::env::var(name).ok(), squeue).and_then(|left| Instant::now().checked_add(left));
    match (asked, slurm) {
        (Some(asked), Some(slurm)) => Some(asked.min(slurm)),
        (asked, slurm) => asked.or(slurm),
    }
}

/// The time that Slurm leaves this job, if it is one of Slurm's and has a limit: told in the environment by newer
/// versions, by `squeue` otherwise.
fn left(
    variable: impl Fn(&str) -> Option<String>,
    squeue: impl FnOnce(&str) -> Option<String>,
) -> Option<Duration> {
    let job = variable("SLURM_JOB_ID")?;
    if let Some(end) = variable("SLURM_JOB_END_TIME").and_then(|text| text.trim().parse::<u64>().ok()) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        return Some(Duration::from_secs(end).saturating_sub(now));
    }
    // 29:59, 3:00:00, 1-00:00:00; or UNLIMITED, INVALID, NOT_SET.
    squeue(&job)?.trim().parse::<Span>().ok().map(Span::duration)
}

fn squeue(job: &str) -> Option<String> {
    let mut child = Command::new("squeue")
        .args(["--noheader", "--jobs", job, "--format", "%L"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let began = Instant::now();
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status.success(),
            Ok(None) if began.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(10)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                break false;
            }
        }
    };
    let mut text = String::new();
    child.stdout.take()?.read_to_string(&mut text).ok()?;
    ended.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slurm_tells_in_either_way() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let end = (now + 100).to_string();
        let environment = |known: &[(&str, &str)], name: &str| {
            known.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string())
        };
        let never = |_: &str| -> Option<String> { panic!("squeue is not needed") };
        assert_eq!(left(|_| None, never), None);
        let told =
            left(|name| environment(&[("SLURM_JOB_ID", "7"), ("SLURM_JOB_END_TIME", &end)], name), never);
        assert!((98..=100).contains(&told.unwrap().as_secs()), "{told:?}");
        let past = [("SLURM_JOB_ID", "7"), ("SLURM_JOB_END_TIME", "1000")];
        assert_eq!(left(|name| environment(&past, name), never), Some(Duration::ZERO));
        for (said, seconds) in [
            (Some("29:59\n"), Some(1799)),
            (Some("1-00:00:01"), Some(86401)),
            (Some("UNLIMITED"), None),
            (Some("INVALID"), None),
            (None, None),
        ] {
            let told = left(
                |name| environment(&[("SLURM_JOB_ID", "7")], name),
                |job| {
                    assert_eq!(job, "7");
                    said.map(str::to_string)
                },
            );
            assert_eq!(told, seconds.map(Duration::from_secs), "{said:?}");
        }
    }

    #[test]
    fn the_sooner_limit_counts() {
        let began = Instant::now();
        if std::env::var("SLURM_JOB_ID").is_err() {
            assert_eq!(of(None, began), None);
        }
        let limit = of(Some("90s".parse().unwrap()), began).unwrap();
        assert!(limit <= began + Duration::from_secs(90));
    }
}
