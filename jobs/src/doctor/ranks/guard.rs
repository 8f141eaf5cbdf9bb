//! Sees to it that this process ends, whatever MPI does: at the deadline, or when the launcher ends it, what was found until
//! then is shown, and what it waited for.

use super::super::{Finding, Report};
use rankine::run::show;
use signal_hook::consts::SIGTERM;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What the ranks' own thread and the guard share.
pub struct Guard {
    report: Mutex<Report>,
    stage: Mutex<String>,
    /// Whether the report has been shown, or is no business of this process.
    shown: AtomicBool,
    ended: AtomicBool,
    as_json: bool,
}

impl Guard {
    /// Starts to look at the clock. `speaks`: whether this process shows the report.
    pub fn start(report: Report, as_json: bool, speaks: bool, patience: Duration) -> Arc<Guard> {
        let guard = Arc::new(Guard {
            report: Mutex::new(report),
            stage: Mutex::new("MPI starts".to_string()),
            shown: AtomicBool::new(!speaks),
            ended: AtomicBool::new(false),
            as_json,
        });
        let told = Arc::new(AtomicBool::new(false));
        // Without it, it only stays unsaid what was found until then.
        let _ = signal_hook::flag::register(SIGTERM, told.clone());
        // Whoever speaks comes first: its end is the others'.
        let deadline = Instant::now() + patience + Duration::from_secs(if speaks { 0 } else { 2 });
        let watched = guard.clone();
        std::thread::spawn(move || watched.watch(deadline, &told));
        guard
    }

    fn watch(&self, deadline: Instant, told: &AtomicBool) {
        while !self.ended.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(20));
            let stage = || self.stage.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let found = if told.load(Ordering::Acquire) {
                format!("the launcher ended the job while {}", stage())
            } else if Instant::now() > deadline {
                format!("no end in time while {}", stage())
            } else {
                continue;
            };
            let fix = "see whether all nodes reach each other by the network that MPI chose (Open MPI: --mca \
                       btl_tcp_if_include INTERFACE); a slow machine: --deadline SECONDS";
            self.with(|report| report.add(Finding::fault("answers", found, fix)));
            self.show();
            // What is to run at the end of a process may wait for MPI.
            std::thread::spawn(|| {
                std::thread::sleep(Duration::from_secs(2));
                std::process::abort();
            });
            std::process::exit(i32::from(rankine::ErrorKind::Setup.exit_code()));
        }
    }

    /// What is done now, in words that follow "while".
    pub fn at(&self, stage: impl Into<String>) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage.into();
    }

    pub fn with<T>(&self, work: impl FnOnce(&mut Report) -> T) -> T {
        work(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows the report, once. Gives the faults.
    pub fn show(&self) -> usize {
        self.with(|report| {
            let text = report.shown(self.as_json);
            if !self.shown.swap(true, Ordering::AcqRel) {
                show(&text);
            }
            report.faults
        })
    }

    /// Nothing is left that could hang.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }
}
