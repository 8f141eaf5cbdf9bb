//! Where a rank's time goes: compute, communication, output.
//!
//! The clock counts only between [`Clock::start`] and the end of the run, so that messaging that nobody times
//! pays one branch a call. What is written of it is `run`'s business.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// One rank's clock. The runner starts it; `Comm` and `Field` add to it.
#[derive(Debug, Default)]
pub struct Clock {
    running: Cell<bool>,
    /// Depth of nested timed sections: only the outermost counts.
    depth: Cell<u32>,
    communication: Cell<Duration>,
    output: Cell<Duration>,
}

/// What a clock has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Inside calls of `Comm` and waiting in them.
    pub communication: Duration,
    /// Inside sections marked as output, communication for it included.
    pub output: Duration,
}

impl Clock {
    /// Starts counting.
    pub fn start(&self) {
        self.running.set(true);
    }

    /// What was counted so far.
    pub fn spent(&self) -> Spent {
        Spent { communication: self.communication.get(), output: self.output.get() }
    }

    /// Counts the time of `f` as output, whatever it calls.
    pub fn output<R>(&self, f: impl FnOnce() -> R) -> R {
        let _section = self.section(&self.output);
        f()
    }

    #[inline]
    pub(crate) fn communicating(&self) -> Option<Section<'_>> {
        if self.running.get() { self.section(&self.communication) } else { None }
    }

    pub(crate) fn communicating_owned(self: Rc<Self>) -> Option<OwnedSection> {
        (self.running.get() && self.depth.get() == 0).then(|| OwnedSection(self, Instant::now()))
    }

    fn section<'c>(&'c self, sum: &'c Cell<Duration>) -> Option<Section<'c>> {
        if !self.running.get() {
            return None;
        }
        let outermost = self.depth.get() == 0;
        self.depth.set(self.depth.get() + 1);
        Some(Section { clock: self, sum, since: outermost.then(Instant::now) })
    }
}

/// A section being timed, until it is dropped.
pub(crate) struct Section<'c> {
    clock: &'c Clock,
    sum: &'c Cell<Duration>,
    since: Option<Instant>,
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        self.clock.depth.set(self.clock.depth.get() - 1);
        if let Some(since) = self.since {
            self.sum.set(self.sum.get() + since.elapsed());
        }
    }
}

/// As [`Section`], for communication whose handle outlives any borrow of the clock.
pub(crate) struct OwnedSection(Rc<Clock>, Instant);

impl Drop for OwnedSection {
    fn drop(&mut self) {
        self.0.communication.set(self.0.communication.get() + self.1.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_not_counted_as_communication_too() {
        let clock = Clock::default();
        clock.start();
        clock.output(|| {
            let _inner = clock.communicating();
            std::thread::sleep(Duration::from_millis(2));
        });
        let spent = clock.spent();
        assert!(spent.output >= Duration::from_millis(2));
        assert_eq!(spent.communication, Duration::ZERO);
    }
}
