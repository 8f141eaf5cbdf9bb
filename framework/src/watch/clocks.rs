//! Since when the ranks of this process have been doing what they do.

use super::board::Board;
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
}

impl Clocks {
    pub fn new(boards: &[Arc<Board>]) -> Clocks {
        let since = Instant::now();
        let clock =
            |board: &Arc<Board>| Clock { rank: board.rank, epoch: board.epoch(), since, asked: false };
        Clocks(boards.iter().map(clock).collect())
    }

    /// Looks at the boards. Whether a rank has now been blocked for as long as `patience`, and was not before.
    pub fn tick(&mut self, boards: &[Arc<Board>], patience: Duration) -> bool {
        let now = Instant::now();
        let mut trouble = false;
        for (clock, board) in self.0.iter_mut().zip(boards) {
            let epoch = board.epoch();
            if epoch != clock.epoch {
                (clock.epoch, clock.since, clock.asked) = (epoch, now, false);
            } else if !clock.asked && now - clock.since >= patience && board.is_blocked() {
                clock.asked = true;
                trouble = true;
            }
        }
        trouble
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
