//! The watch of a process whose threads are all the ranks.

use super::board::Board;
use super::look::{Answer, Finding, Panel, Query, RankLook, examine};
use super::{Settings, report};
use crate::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// All boards are at hand.
pub(super) struct Boards<'b> {
    pub boards: &'b [Arc<Board>],
    pub clocks: &'b Clocks,
}

impl Panel for Boards<'_> {
    fn looks(&mut self) -> Vec<RankLook> {
        let now = Instant::now();
        self.boards.iter().map(|board| board.look(self.clocks.since(board, now))).collect()
    }

    fn ask(&mut self, queries: &[(u32, Query)]) -> Vec<Answer> {
        queries.iter().map(|&(rank, query)| self.boards[rank as usize].answer(query)).collect()
    }

    fn epochs(&mut self, ranks: &[u32]) -> Vec<Option<u64>> {
        ranks.iter().map(|&rank| self.boards.get(rank as usize).map(|board| board.epoch())).collect()
    }
}

/// Since when each board has said the same.
pub(super) struct Clocks(Vec<Clock>);

struct Clock {
    epoch: u64,
    since: Instant,
    /// Whether it has been asked about.
    asked: bool,
}

impl Clocks {
    pub fn new(boards: &[Arc<Board>]) -> Clocks {
        let since = Instant::now();
        Clocks(boards.iter().map(|board| Clock { epoch: board.epoch(), since, asked: false }).collect())
    }

    /// Looks at the boards. Whether a rank has now been blocked for as long as `patience`, and was not before.
    pub fn tick(&mut self, boards: &[Arc<Board>], patience: Duration) -> bool {
        let now = Instant::now();
        let mut trouble = false;
        for (clock, board) in self.0.iter_mut().zip(boards) {
            let epoch = board.epoch();
            if epoch != clock.epoch {
                *clock = Clock { epoch, since: now, asked: false };
            } else if !clock.asked && now - clock.since >= patience && board.is_blocked() {
                clock.asked = true;
                trouble = true;
            }
        }
        trouble
    }

    fn since(&self, board: &Board, now: Instant) -> Duration {
        match self.0.get(board.rank) {
            Some(clock) if clock.epoch == board.epoch() => now - clock.since,
            _ => Duration::ZERO,
        }
    }
}

/// How often boards are looked at.
pub(super) fn pace(patience: Duration) -> Duration {
    (patience / 8).clamp(Duration::from_millis(1), Duration::from_millis(250))
}

/// How long after a look that has shown nothing there is another one, while ranks stay blocked: for what may have been
/// unknown then.
const AGAIN: Duration = Duration::from_secs(20);

/// The thread; it ends when this is dropped.
pub(crate) struct LocalWatch {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl LocalWatch {
    /// Starts watching the boards of all ranks; `stuck` gets the error if they wait for ever. `None` if it is off.
    pub fn start(
        boards: Arc<[Arc<Board>]>,
        settings: Settings,
        stuck: impl Fn(Error) + Send + 'static,
    ) -> Option<LocalWatch> {
        if !settings.on {
            return None;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let watch = move || watch(&boards, settings, &told, stuck);
        let thread = std::thread::Builder::new().name("watch".to_string()).spawn(watch).ok()?;
        Some(LocalWatch { thread: Some(thread), stop })
    }
}

impl Drop for LocalWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn watch(boards: &[Arc<Board>], settings: Settings, stop: &AtomicBool, stuck: impl Fn(Error)) {
    let mut clocks = Clocks::new(boards);
    let mut again = None;
    loop {
        std::thread::park_timeout(pace(settings.patience));
        if stop.load(Ordering::Acquire) {
            return;
        }
        let trouble = clocks.tick(boards, settings.patience);
        if !trouble && again.is_none_or(|at| Instant::now() < at) {
            continue;
        }
        match examine(&mut Boards { boards, clocks: &clocks }) {
            Finding::Nothing => again = Some(Instant::now() + AGAIN.max(settings.patience)),
            Finding::Moving => again = Some(Instant::now()),
            Finding::Stuck(found) => return stuck(report::deadlock(&found)),
        }
    }
}
