//! When a run should stop or be saved before it is done: signals, a file, a time; and that all ranks do so at one step.
//!
//! What is done then is `run`'s business. Signals are caught only while a run listens: before and after, they end the
//! process as ever.

use crate::comm::{Comm, OwnedCollective};
use crate::error::{Error, ErrorKind, Result};
use crate::op::Max;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::{SigId, flag, low_level};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// What a rank wishes for, or all ranks have agreed on; the greatest wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wish {
    /// To go on.
    #[default]
    Nothing,
    /// To be saved and go on.
    Save,
    /// To be saved and stop.
    Stop(Reason),
}

/// Why a run stops before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The wall-clock limit is near.
    TimeLimit,
    /// There is a file `STOP` in the run's directory.
    StopFile,
    /// A rank got SIGUSR1.
    Usr1,
    /// A rank got SIGTERM.
    Term,
    /// Somebody pressed Ctrl-C: a rank got SIGINT.
    Interrupt,
    /// The terminal has gone: a rank got SIGHUP.
    Hangup,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Reason::TimeLimit => "the time limit is near",
            Reason::StopFile => "the file STOP",
            Reason::Usr1 => "SIGUSR1",
            Reason::Term => "SIGTERM",
            Reason::Interrupt => "SIGINT (Ctrl-C)",
            Reason::Hangup => "SIGHUP (the terminal has gone)",
        })
    }
}

const REASONS: [Reason; 6] =
    [Reason::TimeLimit, Reason::StopFile, Reason::Usr1, Reason::Term, Reason::Interrupt, Reason::Hangup];

/// The signals that ask a run to stop.
const SIGNALS: [(i32, Reason); 4] =
    [(SIGUSR1, Reason::Usr1), (SIGTERM, Reason::Term), (SIGINT, Reason::Interrupt), (SIGHUP, Reason::Hangup)];

impl Wish {
    fn code(self) -> u64 {
        match self {
            Wish::Nothing => 0,
            Wish::Save => 1,
            Wish::Stop(reason) => 2 + reason as u64,
        }
    }

    fn of(code: u64) -> Wish {
        match code {
            0 => Wish::Nothing,
            1 => Wish::Save,
            code => Wish::Stop(REASONS[(code - 2).min(REASONS.len() as u64 - 1) as usize]),
        }
    }
}

/// While it lives, [`SIGNALS`] are noted instead of ending the process; a second Ctrl-C ends it at once.
pub(crate) struct Signals {
    heard: Arc<AtomicUsize>,
    ids: Vec<SigId>,
    /// Whether they are still noted when nobody listens any more.
    stay: bool,
}

/// Whether the process ends when its run does.
static ENDS_WITH_ITS_RUN: AtomicBool = AtomicBool::new(false);

/// Says that this process ends when its run does: a second signal to a run that has been saved and stopped does not end it
/// with another exit code on its way out.
pub(crate) fn ends_with_its_run() {
    ENDS_WITH_ITS_RUN.store(true, Ordering::Relaxed);
}

/// Whoever listens in this process, and whether nobody does; and to what.
static LISTENERS: Mutex<usize> = Mutex::new(0);
static IDLE: OnceLock<(Arc<AtomicBool>, Caught)> = OnceLock::new();
/// Signals that are heard, and what each asks for.
type Caught = Vec<(i32, Reason)>;

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// A system that lets nobody catch signals.
    pub fn listen() -> Result<Signals> {
        let failed =
            |error: std::io::Error| Error::new(ErrorKind::Setup, format!("cannot catch signals: {error}"));
        let mut listeners = LISTENERS.lock().unwrap_or_else(PoisonError::into_inner);
        let (idle, caught) = match IDLE.get() {
            Some(known) => known,
            None => {
                let (idle, caught) = (Arc::new(AtomicBool::new(true)), not_ignored());
                for (signal, _) in &caught {
                    flag::register_conditional_default(*signal, idle.clone()).map_err(failed)?;
                }
                IDLE.get_or_init(|| (idle, caught))
            }
        };
        let heard = Arc::new(AtomicUsize::new(0));
        let mut signals = Signals { heard: heard.clone(), ids: Vec::new(), stay: false };
        *listeners += 1;
        idle.store(false, Ordering::SeqCst);
        drop(listeners);
        for (signal, reason) in caught {
            // What was registered first is done first: only the second one finds that there was one.
            if *signal == SIGINT {
                let again = Arc::new(AtomicBool::new(false));
                signals.ids.push(flag::register_conditional_default(SIGINT, again.clone()).map_err(failed)?);
                signals.ids.push(flag::register(SIGINT, again).map_err(failed)?);
            }
            let code = Wish::Stop(*reason).code() as usize;
            signals.ids.push(flag::register_usize(*signal, heard.clone(), code).map_err(failed)?);
        }
        Ok(signals)
    }

    fn wish(&self) -> Wish {
        Wish::of(self.heard.load(Ordering::Relaxed) as u64)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        if self.stay {
            return;
        }
        for id in self.ids.drain(..) {
            low_level::unregister(id);
        }
        let mut listeners = LISTENERS.lock().unwrap_or_else(PoisonError::into_inner);
        *listeners -= 1;
        if let (0, Some((idle, _))) = (*listeners, IDLE.get()) {
            idle.store(true, Ordering::SeqCst);
        }
    }
}

/// Those of [`SIGNALS`] that count: whoever started this process may have said that a terminal's do not (`nohup`, a shell's `&`).
fn not_ignored() -> Caught {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let counts = |signal: i32| ![SIGINT, SIGHUP].contains(&signal) || mask & (1 << (signal - 1)) == 0;
    SIGNALS.into_iter().filter(|(signal, _)| counts(*signal)).collect()
}

/// What one rank looks at to know what it wishes.
pub(crate) struct Lookout {
    /// `None` on ranks that share their process with one that listens.
    signals: Option<Signals>,
    /// On rank 0: the file, and when to look for it next.
    file: Option<(PathBuf, Instant)>,
    /// On rank 0: when the job will be ended from outside.
    pub limit: Option<Instant>,
}

/// Between two looks for the file.
const LOOK: Duration = Duration::from_millis(250);

impl Lookout {
    /// Looks for signals, and for `file`; only rank 0 looks for the latter. Collective.
    pub fn new(comm: &Comm, file: &Path, limit: Option<Instant>) -> Result<Lookout> {
        let first = comm.rank() == 0;
        let listens = first || comm.engine_name() != "local";
        let signals = comm.agree(if listens { Signals::listen().map(Some) } else { Ok(None) })?;
        Ok(Lookout {
            signals,
            file: first.then(|| (file.to_path_buf(), Instant::now())),
            limit: limit.filter(|_| first),
        })
    }

    /// The run has been saved and stops. Where its process ends with it, signals stay noted; a second Ctrl-C still counts.
    pub fn over(&mut self) {
        if let Some(signals) = &mut self.signals {
            signals.stay = ENDS_WITH_ITS_RUN.load(Ordering::Relaxed);
        }
    }

    /// What this rank has seen; `margin` is what it takes to stop.
    pub fn wish(&mut self, margin: Duration) -> Wish {
        let mut wish = self.signals.as_ref().map_or(Wish::Nothing, Signals::wish);
        let now = Instant::now();
        if self.limit.is_some_and(|limit| now + margin >= limit) {
            wish = wish.max(Wish::Stop(Reason::TimeLimit));
        }
        if let Some((file, next)) = &mut self.file
            && now >= *next
        {
            *next = now + LOOK;
            if file.exists() {
                wish = wish.max(Wish::Stop(Reason::StopFile));
            }
        }
        wish
    }
}

/// Brings the ranks' wishes together, so that all act at the same step, at the price of one small nonblocking
/// reduction about every [`PERIOD`]: it is started after some step and waited for so many steps later, when it has
/// long been done.
pub(crate) struct Agreement {
    comm: Comm,
    under_way: Option<OwnedCollective<Vec<u64>>>,
    /// The step at which there is something to do.
    next: u64,
    /// Steps between two of them.
    period: u64,
    /// Whether ranks agree at once.
    slow: bool,
    since: (u64, Instant),
}

/// About how often ranks agree.
const PERIOD: Duration = Duration::from_millis(20);
/// Where a step takes that long, ranks agree after each, and at once.
const SLOW: Duration = Duration::from_millis(50);

impl Agreement {
    /// The first step that will be looked at is `step`. Collective.
    pub fn new(comm: &Comm, step: u64) -> Result<Agreement> {
        let since = (step, Instant::now());
        Ok(Agreement { comm: comm.dup()?, under_way: None, next: step, period: 1, slow: false, since })
    }

    /// How long a wish may take to be agreed on.
    pub fn delay(&self) -> Duration {
        2 * PERIOD.max(self.since.1.elapsed())
    }

    /// After `step` steps: what all ranks do now. `wish` is asked when it counts. Every rank calls it after every step.
    #[inline]
    pub fn at(&mut self, step: u64, wish: impl FnOnce() -> Wish) -> Result<Wish> {
        if step < self.next { Ok(Wish::Nothing) } else { self.agree(step, wish()) }
    }

    fn agree(&mut self, step: u64, mine: Wish) -> Result<Wish> {
        let agreed = match self.under_way.take() {
            Some(under_way) => {
                let agreed = under_way.wait()?;
                Some((Wish::of(agreed[0]), agreed[1]))
            }
            None => None,
        };
        let steps = step.saturating_sub(self.since.0).max(1);
        let each = self.since.1.elapsed().as_nanos() as u64 / steps;
        self.since = (step, Instant::now());
        let before = agreed.map_or(Wish::Nothing, |(wish, _)| wish);
        // Nobody is saved twice for one wish.
        let mine = if before == Wish::Save && mine == Wish::Save { Wish::Nothing } else { mine };
        let mut both = vec![mine.code(), each];
        let slow = SLOW.as_nanos() as u64;
        if self.slow || agreed.is_some_and(|(_, each)| each >= slow) {
            self.comm.allreduce_in_place(&mut both, Max)?;
            self.slow = both[1] >= slow;
            (self.period, self.next) = (1, step + 1);
            return Ok(before.max(Wish::of(both[0])));
        }
        if let Some((_, each)) = agreed {
            let fit = PERIOD.as_nanos() as u64 / each.max(1);
            self.period = fit.clamp(1, 2 * self.period);
        }
        self.under_way = Some(self.comm.iallreduce_owned(both, Max)?);
        self.next = step + self.period;
        Ok(before)
    }

    /// Ends what is under way; after the last step, on every rank.
    pub fn end(&mut self) -> Result<()> {
        match self.under_way.take() {
            Some(under_way) => under_way.wait().map(drop),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ranks;

    #[test]
    fn all_ranks_act_at_one_step_soon_after_one_of_them_wishes() {
        for (pause, soon) in [(Duration::ZERO, 20_000), (Duration::from_millis(1), 80), (SLOW, 3)] {
            ranks([1, 2, 3], |world| {
                let mut agreement = Agreement::new(world, 0)?;
                let last = world.rank() + 1 == world.size();
                let mut acted = None;
                for step in 0..soon + 10 {
                    let wish = || if last && step >= 3 { Wish::Stop(Reason::Usr1) } else { Wish::Nothing };
                    let agreed = agreement.at(step, wish)?;
                    if agreed != Wish::Nothing {
                        assert_eq!(agreed, Wish::Stop(Reason::Usr1));
                        acted = Some(step);
                        break;
                    }
                    if world.rank() == 0 {
                        std::thread::sleep(pause);
                    }
                }
                let acted = acted.expect("agreed in time");
                assert!((3..=3 + soon).contains(&acted), "{acted}");
                let all = world.allgather(&[acted])?;
                assert!(all.iter().all(|step| *step == acted), "{all:?}");
                agreement.end()
            });
        }
    }

    #[test]
    fn one_wish_is_one_save() {
        ranks([2], |world| {
            let mut agreement = Agreement::new(world, 0)?;
            let (mut saves, mut wanted) = (0, true);
            for step in 0..2000 {
                let wish = || if wanted && world.rank() == 0 { Wish::Save } else { Wish::Nothing };
                if agreement.at(step, wish)? == Wish::Save {
                    (saves, wanted) = (saves + 1, false);
                }
            }
            assert_eq!(saves, 1);
            agreement.end()
        });
    }

    #[test]
    fn signals_and_the_file_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("STOP");
        ranks([1], |world| {
            let mut lookout = Lookout::new(world, &file, None)?;
            assert_eq!(lookout.wish(Duration::ZERO), Wish::Nothing);
            std::fs::write(&file, "").unwrap();
            std::thread::sleep(LOOK);
            assert_eq!(lookout.wish(Duration::ZERO), Wish::Stop(Reason::StopFile));
            let me = rustix::process::getpid();
            rustix::process::kill_process(me, rustix::process::Signal::USR1).unwrap();
            let began = Instant::now();
            while lookout.wish(Duration::ZERO) != Wish::Stop(Reason::Usr1) {
                assert!(began.elapsed() < Duration::from_secs(5));
            }
            let soon = Instant::now() + Duration::from_secs(60);
            let mut lookout = Lookout::new(world, &folder.path().join("none"), Some(soon))?;
            assert_eq!(lookout.wish(Duration::from_secs(1)), Wish::Nothing);
            assert_eq!(lookout.wish(Duration::from_secs(61)), Wish::Stop(Reason::TimeLimit));
            Ok(())
        });
    }

    #[test]
    fn codes_come_back() {
        for wish in REASONS.map(Wish::Stop).into_iter().chain([Wish::Nothing, Wish::Save]) {
            assert_eq!(Wish::of(wish.code()), wish);
        }
    }
}
