//! What a run tells, kept in its directory beside whoever else is told: `log/run.txt`, as a log has it, appended to by
//! every job of the run, and `log/progress.csv`, how far it was when. On rank 0 alone.

use super::directory::{LOG, PROGRESS_LOG, RUN_LOG};
use super::report::{Progress, Reporter, Summary};
use super::terminal::Terminal;
use crate::error::{Error, Result};
use crate::output::files::failure;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells somebody, and keeps it.
pub(super) struct Logbook {
    told: Arc<dyn Reporter>,
    kept: Option<Kept>,
}

struct Kept {
    text: Terminal,
    plain: Mutex<File>,
    points: Mutex<(File, Option<Duration>)>,
    interval: Duration,
}

/// Points are no farther apart than this part of the time so far, so that a short run has some, too.
const PART: u32 = 50;

impl Logbook {
    /// In the run's directory, if there is one, with a line an `interval`; without, it only tells.
    ///
    /// # Errors
    /// A file that cannot be made.
    pub fn open(told: Arc<dyn Reporter>, directory: Option<&Path>, interval: Duration) -> Result<Logbook> {
        let Some(directory) = directory else { return Ok(Logbook { told, kept: None }) };
        let open = |name: &str| {
            let path = directory.join(LOG).join(name);
            let file = File::options().append(true).create(true).open(&path);
            file.map_err(|error| failure("write", &path, &error))
        };
        let copy = |file: &File| file.try_clone().map_err(|error| failure("write", directory, &error));
        let text = open(RUN_LOG)?;
        let mut points = open(PROGRESS_LOG)?;
        if points.metadata().is_ok_and(|about| about.len() == 0) {
            points.write_all(b"at,step,seconds\n").map_err(|error| failure("write", directory, &error))?;
        }
        let kept = Kept {
            text: Terminal::new(copy(&text)?).lines(copy(&text)?, interval),
            plain: Mutex::new(text),
            points: Mutex::new((points, None)),
            interval,
        };
        Ok(Logbook { told, kept: Some(kept) })
    }

    /// A line of the log alone.
    pub fn note(&self, line: &str) {
        if let Some(kept) = &self.kept {
            let mut file = kept.plain.lock().unwrap_or_else(PoisonError::into_inner);
            // A log that cannot be written ends no run.
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
    }

    /// Why the run has failed; others are told elsewhere.
    pub fn failed(&self, error: &Error) {
        self.note(&format!("error: {error}"));
    }
}

impl Kept {
    /// A point of the curve, unless there was one a moment ago.
    fn point(&self, progress: &Progress) {
        let mut points = self.points.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Duration::try_from_secs_f64(progress.seconds).unwrap_or_default();
        let due = points.1.is_none_or(|last| now.saturating_sub(last) >= (now / PART).min(self.interval));
        if due || progress.state != "running" {
            points.1 = Some(now);
            let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            let line = format!("{at:.3},{},{:.3}\n", progress.step, progress.seconds);
            // A log that cannot be written ends no run.
            let _ = points.0.write_all(line.as_bytes());
        }
    }
}

impl Reporter for Logbook {
    fn progress(&self, progress: &Progress) {
        if let Some(kept) = &self.kept {
            kept.text.progress(progress);
            kept.point(progress);
        }
        self.told.progress(progress);
    }

    fn warning(&self, text: &str) {
        self.kept.iter().for_each(|kept| kept.text.warning(text));
        self.told.warning(text);
    }

    fn late(&self, note: Option<&str>) {
        self.kept.iter().for_each(|kept| kept.text.late(note));
        self.told.late(note);
    }

    fn finished(&self, summary: &Summary) {
        self.kept.iter().for_each(|kept| kept.text.finished(summary));
        self.told.finished(summary);
    }
}
