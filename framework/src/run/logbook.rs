//! What a run tells, kept in its directory beside whoever else is told: `log/run.txt`, as a log has it, appended to by
//! every job of the run, and `log/progress.csv`, how far it was when. On rank 0 alone.

use super::directory::{LOG, PROGRESS_LOG, RUN_LOG};
use super::report::{Progress, Reporter, Summary};
use super::terminal::Terminal;
use crate::error::{Error, Result};
use crate::output::files::failure;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells somebody, and keeps it.
pub(super) struct Logbook {
    told: Arc<dyn Reporter>,
    kept: Option<Kept>,
}

struct Kept {
    text: Terminal,
    plain: Mutex<Appended>,
    points: Mutex<(Appended, Option<Duration>)>,
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
            let empty = file.and_then(|file| file.metadata()).map(|about| about.len() == 0);
            empty
                .map(|empty| (Appended(path.clone()), empty))
                .map_err(|error| failure("write", &path, &error))
        };
        let (text, _) = open(RUN_LOG)?;
        let (mut points, empty) = open(PROGRESS_LOG)?;
        if empty {
            points.write_all(b"at,step,seconds\n").map_err(|error| failure("write", &points.0, &error))?;
        }
        let kept = Kept {
            text: Terminal::new(text.clone()).lines(text.clone(), interval),
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
}

/// Why the run has failed, by the rank that knows: rank 0 may be gone before it hears of it. Others are told elsewhere.
pub(super) fn failed(directory: &Path, error: &Error) {
    // A directory that is gone is not made again, and a log that cannot be written changes nothing.
    let file = File::options().append(true).open(directory.join(LOG).join(RUN_LOG));
    let _ = file.and_then(|mut file| file.write_all(format!("error: {error}\n").as_bytes()));
}

/// A file that is open only while something is added to it: one that stays open would keep its disk from being unmounted or
/// made read-only, for as long as the run takes. One that is gone is not made again.
#[derive(Clone)]
struct Appended(PathBuf);

impl Write for Appended {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        File::options().append(true).open(&self.0)?.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
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

#[cfg(test)]
mod tests {
    use crate::comm::Comm;
    use crate::error::{Error, Result};
    use crate::kernel::Kernel;
    use crate::run::{LogLevel, Options, Reporter, Run};
    use crate::testing::ranks;
    use std::ops::ControlFlow;
    use std::sync::{Arc, Mutex};

    /// Warns in some places, and fails if it is told to.
    #[derive(Clone, clap::Args, serde::Serialize, serde::Deserialize)]
    struct Grumbler {
        #[arg(long)]
        fails: bool,
    }

    impl Kernel for Grumbler {
        const NAME: &'static str = "grumbler";
        const ABOUT: &'static str = "warns";
        type Data = u64;

        fn init(&self, _: &Comm) -> Result<u64> {
            tracing::warn!("there is little to do");
            Ok(0)
        }
        fn step(&self, comm: &Comm, n: &mut u64) -> Result<ControlFlow<()>> {
            *n += 1;
            if comm.rank() > 0 {
                tracing::warn!(limit = 3, "a step is too long");
            }
            if self.fails && *n == 3 {
                return comm.agree(Err(Error::io("fell")));
            }
            Ok(if *n == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        }
    }

    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<String>>>);

    impl Reporter for Told {
        fn warning(&self, text: &str) {
            self.0.lock().unwrap().push(text.to_string());
        }
    }

    #[test]
    fn what_a_run_tells_is_kept_and_warnings_are_folded() {
        let root = tempfile::tempdir().unwrap();
        ranks([1, 2, 3, 4], |world| {
            for fails in [false, true] {
                let path = root.path().join(format!("{}-{fails}", world.size()));
                let told = Told::default();
                let options =
                    Options { out: Some(path.clone()), log: Some(LogLevel::Debug), ..Options::default() };
                let ran =
                    Run::new(Grumbler { fails }).options(options).reporter(Box::new(told.clone())).on(world);
                assert_eq!(ran.is_err(), fails);
                if world.rank() > 0 {
                    assert!(told.0.lock().unwrap().is_empty());
                    continue;
                }
                let log = std::fs::read_to_string(path.join("log/run.txt")).unwrap();
                assert!(log.starts_with("grumbler: begins "), "{log}");
                let (all, some) = match world.size() {
                    1 => ("(rank 0)", None),
                    2 => ("(all 2 ranks)", Some("(rank 1)")),
                    3 => ("(all 3 ranks)", Some("(ranks 1-2)")),
                    _ => ("(all 4 ranks)", Some("(ranks 1-3)")),
                };
                let mut wanted = vec![format!("{all}: there is little to do (")];
                // Of a run that fails, the others cannot be asked any more.
                wanted.extend(
                    some.filter(|_| !fails).map(|some| format!("{some}: a step is too long limit=3 (")),
                );
                let told = told.0.lock().unwrap();
                assert_eq!(told.len(), wanted.len(), "{told:?}");
                for (told, wanted) in told.iter().zip(&wanted) {
                    assert!(told.starts_with(wanted), "{told}");
                    assert_eq!(log.matches(&format!("warning {wanted}")).count(), 1, "{log}");
                }
                assert_eq!(log.contains("error: rank 0: fell"), fails, "{log}");
                assert_eq!(log.contains("verdict"), !fails, "{log}");
                let points = std::fs::read_to_string(path.join("log/progress.csv")).unwrap();
                assert!(
                    points.starts_with("at,step,seconds\n") && (points.lines().count() > 2 || fails),
                    "{points}"
                );
                // The last rank's file has what it said, and what the runner said of it.
                let last = path.join(format!("log/rank-{:04}.txt", world.size() - 1));
                let said = std::fs::read_to_string(last).unwrap();
                assert!(said.contains("begins grumbler"), "{said}");
                assert!(
                    world.size() == 1 || said.contains("WARN") && said.contains("a step is too long"),
                    "{said}"
                );
            }
            world.barrier()
        });
    }
}
