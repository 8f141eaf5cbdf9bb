//! A [`Reporter`] for people at a terminal and for logs: a bar where it can move, lines where it cannot, and the
//! report at the end. It writes where it is told to; which streams those are is decided by whoever makes it.

use super::report::{Progress, Reporter, Summary};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Writes progress and the report.
pub struct Terminal {
    report: Mutex<Box<dyn Write + Send>>,
    progress: Mutex<Watched>,
    json: bool,
}

/// How progress is shown.
enum Watched {
    Not,
    /// With what it says of the rate, and of a rank that others wait for.
    Bar(ProgressBar, String, String),
    Lines {
        to: Box<dyn Write + Send>,
        interval: Duration,
        last: Option<Instant>,
        late: bool,
    },
}

impl Terminal {
    /// The report goes to `report`, as text; progress is not shown.
    pub fn new(report: impl Write + Send + 'static) -> Terminal {
        Terminal { report: Mutex::new(Box::new(report)), progress: Mutex::new(Watched::Not), json: false }
    }

    /// The report is one JSON object on one line.
    pub fn json(mut self, json: bool) -> Terminal {
        self.json = json;
        self
    }

    /// Shows progress as lines in `to`, the first after `interval`, the last at the end.
    pub fn lines(mut self, to: impl Write + Send + 'static, interval: Duration) -> Terminal {
        self.progress = Mutex::new(Watched::Lines { to: Box::new(to), interval, last: None, late: false });
        self
    }

    /// Shows progress as a bar on the terminal that is standard error.
    pub fn bar(mut self) -> Terminal {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        self.progress = Mutex::new(Watched::Bar(bar, String::new(), String::new()));
        self
    }
}

/// A panic elsewhere does not make the streams unusable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reporter for Terminal {
    fn progress(&self, progress: &Progress) {
        let ended = progress.state != "running";
        match &mut *lock(&self.progress) {
            Watched::Not => {}
            Watched::Bar(bar, said, late) => {
                if bar.length() != progress.steps || bar.position() == 0 {
                    let template = match progress.steps {
                        Some(_) => "{prefix} {wide_bar} {percent:>3}%  {msg}",
                        None => "{prefix} step {pos}  {msg}",
                    };
                    // A template that does not parse leaves indicatif's own, which will do.
                    bar.set_style(
                        ProgressStyle::with_template(template)
                            .unwrap_or_else(|_| ProgressStyle::default_bar()),
                    );
                    bar.set_prefix(progress.kernel);
                    if let Some(steps) = progress.steps {
                        bar.set_length(steps);
                    }
                }
                let left = progress.seconds_left.map(super::rate::duration);
                let left = left.map(|left| format!(", {left} left")).unwrap_or_default();
                *said = format!("{}{}", progress.rate, if ended { "" } else { &left });
                bar.set_message(format!("{said}{late}"));
                bar.set_position(progress.step);
                if ended {
                    bar.finish_and_clear();
                }
            }
            Watched::Lines { to, interval, last, .. } => {
                let now = Instant::now();
                let since = *last.get_or_insert(now);
                if ended || now.duration_since(since) >= *interval {
                    *last = Some(now);
                    // Nothing can be done about a stream that is closed.
                    let _ = to.write_all(format!("{progress}\n").as_bytes()).and_then(|()| to.flush());
                }
            }
        }
    }

    fn warning(&self, text: &str) {
        match &mut *lock(&self.progress) {
            // The bar makes room for it.
            Watched::Bar(bar, ..) => bar.suspend(|| crate::launch::warn(text)),
            Watched::Lines { to, .. } => {
                let mark = if text.starts_with('(') { "" } else { ":" };
                // Nothing can be done about a stream that is closed.
                let _ = to.write_all(format!("warning{mark} {text}\n").as_bytes()).and_then(|()| to.flush());
            }
            Watched::Not => crate::launch::warn(text),
        }
    }

    fn late(&self, note: Option<&str>) {
        match &mut *lock(&self.progress) {
            Watched::Not => {}
            Watched::Bar(bar, said, late) => {
                *late = note.map(|note| format!("; {note}")).unwrap_or_default();
                bar.set_message(format!("{said}{late}"));
            }
            Watched::Lines { to, late, .. } => {
                // Once: a log need not have every look at it.
                if let (Some(note), false) = (note, *late) {
                    // Nothing can be done about a stream that is closed.
                    let _ = to.write_all(format!("{note}\n").as_bytes()).and_then(|()| to.flush());
                }
                *late = note.is_some();
            }
        }
    }

    fn finished(&self, summary: &Summary) {
        let text = if self.json {
            match serde_json::to_string(summary) {
                Ok(text) => text + "\n",
                Err(error) => format!("{{\"error\": {:?}}}\n", error.to_string()),
            }
        } else {
            summary.to_string()
        };
        let mut to = lock(&self.report);
        let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
    }
}
