//! When to tell how far a run is, and `progress.json`. Rank 0 alone does it, without a message to anybody.

use super::directory::PROGRESS;
use super::provenance::now;
use super::rate::Rate;
use super::report::{Progress, Reporter};
use crate::error::Result;
use crate::kernel::Work;
use crate::output::files::{read_json, write_json, write_json_beside};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The shortest time between two tellings.
const TELL: Duration = Duration::from_millis(100);

/// Who runs it, for whoever wants to look at it or to end it.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Holder {
    /// The process of rank 0, on that node.
    pub pid: u32,
    pub node: String,
    /// Whether it is saved and stops when it is asked to.
    pub saves: bool,
}

/// What `progress.json` holds.
#[derive(Serialize)]
struct Written<'p> {
    #[serde(flatten)]
    progress: &'p Progress,
    process: &'p Holder,
}

/// Counts steps and tells of them.
pub(super) struct Ticker<'r> {
    kernel: &'static str,
    work: Work,
    /// The steps that were done before.
    from: u64,
    steps: Option<u64>,
    reporter: &'r dyn Reporter,
    file: Option<PathBuf>,
    holder: Holder,
    interval: Duration,
    began: Instant,
    told: Instant,
    written: Instant,
}

impl<'r> Ticker<'r> {
    pub fn new(
        kernel: &'static str,
        work: Work,
        (from, steps): (u64, Option<u64>),
        reporter: &'r dyn Reporter,
        (directory, holder): (Option<&Path>, Holder),
        interval: Duration,
    ) -> Ticker<'r> {
        let began = Instant::now();
        let file = directory.map(|directory| directory.join(PROGRESS));
        Ticker {
            kernel,
            work,
            from,
            steps,
            reporter,
            file,
            holder,
            interval,
            began,
            told: began,
            written: began,
        }
    }

    /// After `step` steps: tells, writes, or does nothing.
    #[inline]
    pub fn after(&mut self, step: u64) {
        let now = Instant::now();
        if now.duration_since(self.told) < TELL {
            return;
        }
        self.told = now;
        let progress = self.progress(step, "running");
        self.reporter.progress(&progress);
        if now.duration_since(self.written) >= self.interval {
            self.written = now;
            // A disk that is full is an error when the results are written; not being able to say so is none.
            let _ = self.write(&progress);
        }
    }

    /// At the beginning.
    pub fn begin(&self) -> Result<()> {
        let progress = self.progress(self.from, "running");
        self.reporter.progress(&progress);
        self.write(&progress)
    }

    /// At the end of the time loop.
    pub fn end(&self, step: u64, state: &'static str) -> Result<()> {
        let progress = self.progress(step, state);
        self.reporter.progress(&progress);
        self.write(&progress)
    }

    /// When the run has failed; best effort.
    pub fn fail(&self, step: u64) {
        let _ = self.write(&self.progress(step, "failed"));
    }

    fn write(&self, progress: &Progress) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        // A directory that somebody has taken away is not made again.
        write_json(file, &Written { progress, process: &self.holder })
    }

    fn progress(&self, step: u64, state: &'static str) -> Progress {
        let seconds = self.began.elapsed().as_secs_f64();
        let done = step - self.from;
        let left = |steps: u64| (done > 0).then(|| seconds / done as f64 * steps.saturating_sub(step) as f64);
        Progress {
            kernel: self.kernel,
            state,
            step,
            steps: self.steps,
            seconds,
            seconds_left: self.steps.and_then(left),
            rate: Rate::new(self.work, done, seconds),
            at: now(),
        }
    }
}

/// Notes in the file that the run has failed, from a rank other than 0, which may be gone before it can, or write the
/// same at the same time; best effort.
pub(super) fn failed(directory: &Path, rank: usize) {
    let file = directory.join(PROGRESS);
    let Ok(mut progress) = read_json::<serde_json::Map<String, serde_json::Value>>(&file) else { return };
    progress.insert("state".to_string(), "failed".into());
    let _ = write_json_beside(file, rank, &progress);
}

#[cfg(test)]
mod tests {
    use super::super::report::Silent;
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Heard(Mutex<Vec<Progress>>);

    impl Reporter for Heard {
        fn progress(&self, progress: &Progress) {
            self.0.lock().unwrap().push(progress.clone());
        }
    }

    #[test]
    fn tells_now_and_then_and_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let heard = Heard::default();
        let mut ticker = Ticker::new(
            "k",
            Work::of(10.0, "cells"),
            (0, Some(1000)),
            &heard,
            (Some(folder.path()), Holder::default()),
            Duration::from_secs(60),
        );
        ticker.begin().unwrap();
        for step in 1..=999 {
            ticker.after(step);
        }
        std::thread::sleep(TELL);
        ticker.after(1000);
        ticker.end(1000, "finished").unwrap();
        let heard = heard.0.into_inner().unwrap();
        assert!((3..10).contains(&heard.len()), "{}", heard.len());
        let last = heard.last().unwrap();
        assert_eq!((last.step, last.state, last.fraction()), (1000, "finished", Some(1.0)));
        assert!(last.to_string().starts_with("k: step 1000 of 1000 (100%), "), "{last}");
        let file = std::fs::read_to_string(folder.path().join(PROGRESS)).unwrap();
        assert!(file.contains("\"finished\"") && file.contains("\"step\": 1000"), "{file}");
    }

    #[test]
    fn ranks_that_fail_together_leave_one_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let begin = || {
            Ticker::new(
                "k",
                Work::of(10.0, "cells"),
                (0, Some(1000)),
                &Silent,
                (Some(folder.path()), Holder::default()),
                Duration::from_secs(60),
            )
        };
        for _ in 0..100 {
            begin().begin().unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| begin().fail(7));
                scope.spawn(|| failed(folder.path(), 1));
                scope.spawn(|| failed(folder.path(), 2));
            });
            let file: serde_json::Value = read_json(&folder.path().join(PROGRESS)).unwrap();
            assert_eq!((&file["state"], &file["steps"]), (&"failed".into(), &1000.into()), "{file}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half-written stays");
        }
    }
}
