//! Since when the ranks of this process have been doing what they do.

use super::board::{Board, Life};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Since when each board has said the same.
pub(super) struct Clocks(Vec<Clock>);

struct Clock {
    rank: usize,
    epoch: u64,
    since: Instant,
    /// Whether it has been asked about.
    asked: bool,
    /// Whether it has returned.
    over: bool,
}

/// What has changed since the last look at the boards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// A rank has been blocked for as long as the patience, and was not before.
    pub blocked: bool,
    /// A rank has returned: who waits for it waits in vain.
    pub over: bool,
}

impl Clocks {
    pub fn new(boards: &[Arc<Board>]) -> Clocks {
        let since = Instant::now();
        let clock = |board: &Arc<Board>| Clock {
            rank: board.rank,
            epoch: board.epoch(),
            since,
            asked: false,
            over: false,
        };
        Clocks(boards.iter().map(clock).collect())
    }

    /// Looks at the boards.
    pub fn tick(&mut self, boards: &[Arc<Board>], patience: Duration) -> Change {
        let now = Instant::now();
        let mut change = Change::default();
        for (clock, board) in self.0.iter_mut().zip(boards) {
            let epoch = board.epoch();
            if epoch != clock.epoch {
                (clock.epoch, clock.since, clock.asked) = (epoch, now, false);
            } else if !clock.asked && now - clock.since >= patience && board.is_blocked() {
                clock.asked = true;
                change.blocked = true;
            }
            if !clock.over && board.life() == Life::Returned {
                clock.over = true;
                change.over = true;
            }
        }
        change
    }

    pub fn since(&self, board: &Board, now: Instant) -> Duration {
        match self.0.iter().find(|clock| clock.rank == board.rank) {
            Some(clock) if clock.epoch == board.epoch() => now - clock.since,
            _ => Duration::ZERO,
        }
    }
}

/// How often boards are looked at.
pub(super) fn pace(patience: Duration) -> Duration {
    (patience / 8).clamp(Duration::from_millis(1), Duration::from_millis(250))
}
