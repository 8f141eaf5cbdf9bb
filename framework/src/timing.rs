//! Where a rank's time goes: compute, communication, output.
//!
//! The clock counts only between [`Clock::start`] and the end of the run, so that messaging that nobody times
//! pays one branch a call. What is written of it is `run`'s business.

use serde::Serialize;
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// One rank's clock. The runner starts it; `Comm` and `Field` add to it.
#[derive(Debug, Default)]
pub struct Clock {
    running: Cell<bool>,
    /// Depth of nested timed sections: only the outermost counts.
    depth: Cell<u32>,
    /// By [`Doing`].
    spent: [Cell<Duration>; 4],
    sent: [Cell<u64>; 3],
}

/// What a section of a rank's time is spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// Putting messages together and taking them apart.
    Constructing,
    /// Calls that send, or start something.
    Sending,
    /// Calls that receive, wait or need other ranks.
    Waiting,
    /// Output.
    Output,
}

/// What a clock has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Putting messages together and taking them apart, outside of calls of `Comm`.
    pub constructing: Duration,
    /// Inside calls of `Comm` that send, or start something.
    pub sending: Duration,
    /// Inside calls of `Comm` that receive, wait for something or need other ranks.
    pub waiting: Duration,
    /// Inside sections marked as output, communication for it included.
    pub output: Duration,
    /// What was sent in all of them.
    pub traffic: Traffic,
}

/// What a rank has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Messages to one rank, the framework's own included.
    pub messages: u64,
    /// Collective calls.
    pub collectives: u64,
    /// The bytes of both, as the rank gave them: what a library makes of a collective it knows alone.
    pub bytes: u64,
}

impl Spent {
    /// All of it that is communication.
    pub fn communication(&self) -> Duration {
        self.constructing + self.sending + self.waiting
    }

    /// What has come since.
    pub(crate) fn since(&self, before: &Spent) -> Spent {
        Spent {
            constructing: self.constructing.saturating_sub(before.constructing),
            sending: self.sending.saturating_sub(before.sending),
            waiting: self.waiting.saturating_sub(before.waiting),
            output: self.output.saturating_sub(before.output),
            traffic: Traffic {
                messages: self.traffic.messages - before.traffic.messages,
                collectives: self.traffic.collectives - before.traffic.collectives,
                bytes: self.traffic.bytes - before.traffic.bytes,
            },
        }
    }
}

impl Clock {
    /// Starts counting.
    pub fn start(&self) {
        self.running.set(true);
    }

    /// What was counted so far.
    pub fn spent(&self) -> Spent {
        let [constructing, sending, waiting, output] = self.spent.each_ref().map(Cell::get);
        let [messages, collectives, bytes] = self.sent.each_ref().map(Cell::get);
        Spent { constructing, sending, waiting, output, traffic: Traffic { messages, collectives, bytes } }
    }

    /// Counts the time of `f` as output, whatever it calls.
    pub fn output<R>(&self, f: impl FnOnce() -> R) -> R {
        let _section = self.section(Doing::Output);
        f()
    }

    /// Counts the time of `f` as putting messages together.
    #[inline]
    pub(crate) fn constructing<R>(&self, f: impl FnOnce() -> R) -> R {
        let _section = self.communicating(Doing::Constructing);
        f()
    }

    #[inline]
    pub(crate) fn communicating(&self, doing: Doing) -> Option<Section<'_>> {
        if self.running.get() { self.section(doing) } else { None }
    }

    pub(crate) fn communicating_owned(self: Rc<Self>, doing: Doing) -> Option<OwnedSection> {
        (self.running.get() && self.depth.get() == 0).then(|| OwnedSection(self, doing, Instant::now()))
    }

    /// A message of so many bytes goes to one rank.
    #[inline(always)]
    pub(crate) fn message(&self, bytes: usize) {
        self.count(0, bytes);
    }

    /// This rank gives so many bytes to a collective.
    #[inline(always)]
    pub(crate) fn collective(&self, bytes: usize) {
        self.count(1, bytes);
    }

    #[inline(always)]
    fn count(&self, what: usize, bytes: usize) {
        self.sent[what].set(self.sent[what].get() + 1);
        self.sent[2].set(self.sent[2].get() + bytes as u64);
    }

    fn section(&self, doing: Doing) -> Option<Section<'_>> {
        if !self.running.get() {
            return None;
        }
        let outermost = self.depth.get() == 0;
        self.depth.set(self.depth.get() + 1);
        Some(Section { clock: self, sum: &self.spent[doing as usize], since: outermost.then(Instant::now) })
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
pub(crate) struct OwnedSection(Rc<Clock>, Doing, Instant);

impl Drop for OwnedSection {
    fn drop(&mut self) {
        let sum = &self.0.spent[self.1 as usize];
        sum.set(sum.get() + self.2.elapsed());
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
            let _inner = clock.communicating(Doing::Waiting);
            std::thread::sleep(Duration::from_millis(2));
        });
        let spent = clock.spent();
        assert!(spent.output >= Duration::from_millis(2));
        assert_eq!(spent.communication(), Duration::ZERO);
    }
}
