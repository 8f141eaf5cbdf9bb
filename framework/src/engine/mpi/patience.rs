//! How a blocked call waits: as tightly as it can at first, then looking up now and then.
//!
//! What it does when it looks up is the caller's affair.

use std::time::{Duration, Instant};

/// Polls before the first look at a clock: about a millisecond.
pub(super) const TIGHT: u32 = 8192;

/// Polls between two looks at the clock afterwards.
const ROUND: u32 = 64;

/// The longest time between two diagnoses.
const LONGEST: Duration = Duration::from_millis(50);

/// Says when it is time to ask why nothing comes.
pub(super) struct Patience {
    polls: u32,
    /// When to ask next, and how long after the time before.
    next: Option<(Instant, Duration)>,
}

impl Patience {
    pub fn new() -> Patience {
        Patience { polls: 0, next: None }
    }

    /// After a poll without success beyond the tight ones: whether to make a diagnosis now.
    pub fn is_over(&mut self) -> bool {
        self.polls = self.polls.wrapping_add(1);
        if !self.polls.is_multiple_of(ROUND) {
            return false;
        }
        // Whoever we wait for may share our core.
        std::thread::yield_now();
        self.at(Instant::now())
    }

    fn at(&mut self, now: Instant) -> bool {
        match self.next {
            None => {
                // The tight polls took the first millisecond.
                self.next = Some((now, Duration::from_millis(1)));
                false
            }
            Some((at, _)) if now < at => false,
            Some((_, pause)) => {
                self.next = Some((now + pause, (2 * pause).min(LONGEST)));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagnoses_become_rarer() {
        let mut patience = Patience::new();
        let start = Instant::now();
        let mut asked = Vec::new();
        for micros in (0..200_000).step_by(100) {
            if patience.at(start + Duration::from_micros(micros)) {
                asked.push(micros / 1000);
            }
        }
        assert_eq!(asked, [0, 1, 3, 7, 15, 31, 63, 113, 163]);
    }
}
