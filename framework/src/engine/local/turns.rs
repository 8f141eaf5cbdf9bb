//! One rank at a time: how a world is run so that its orders can be explored.
//!
//! Ranks take turns. A rank goes on until it comes to a call that cannot end, or that could end in several ways; then it is
//! the next one's turn. Once nobody can go on, what each could do is complete, and one of these alternatives is decided for
//! ([`Decide`]). Who decides, and in what order, is `testing`'s business; an ordinary world has no turns.

use super::World;
use crate::engine::{Fault, Outcome};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How a call may end, or a started receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// The receive that the rank has started as this one of all takes the message of this rank of its communicator.
    Posted(u64, u32),
    /// A receive or probe finds the message of this rank of the communicator.
    From(u32),
    /// One of many requests is given back: its place among them.
    Give(usize),
    /// All of many requests that are complete are given back.
    GiveAll,
    /// A request is said to be complete.
    Yes,
    /// A call that does not wait says that there is nothing yet.
    No,
    /// As `No`, where the framework itself asks: it is told so only if nothing else can happen.
    NotYet,
    /// A window's part is read, if nothing else can happen.
    Read,
    /// A lock is granted.
    Lock,
}

/// Something that can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alternative {
    /// The rank of the world that does it.
    pub rank: usize,
    /// Which of the rank's calls, from 1; 0 for a started receive.
    pub call: u64,
    pub act: Act,
}

/// Why a run does not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Nobody can go on.
    Stuck,
    /// Ranks ask again and again for what does not come.
    Polling,
    /// Who decides wants no more of it.
    Abandoned,
    /// It goes down for another reason.
    Down,
}

/// Who decides what happens next.
pub(crate) trait Decide: Send {
    /// The index of one of the alternatives, of which there is at least one. `entangled`: ranks reach into each other's
    /// memory, so what different ranks do next may depend on each other.
    fn decide(&mut self, alternatives: &[Alternative], entangled: bool) -> Result<usize, Stop>;

    /// Ranks only ask for what is not there: whether to go on all the same.
    fn in_vain(&mut self) -> Result<(), Stop>;

    /// The run stops, for a reason that is not its own.
    fn stopped(&mut self, stop: Stop);
}

/// How often in a row a rank is told `No` where something else could happen, too.
const REFUSALS: u32 = 1;

/// How often ranks are told `No` with nothing else happening.
const VAIN: u32 = 10_000;

/// How many reads of a window, one after the other, count as one of those.
const READS: u32 = 100;

/// After so many of those somebody looks whether the others are stuck.
const LOOK: u32 = 16;

/// What a look at a call shows.
pub(super) enum Look {
    /// It can go on, and nobody need decide how.
    Go,
    Blocked,
    /// It can end in these ways.
    Open(Vec<Act>),
}

/// Whose turn it is.
pub(crate) struct Turns {
    state: Mutex<State>,
    changed: Condvar,
    /// A rank looks whether its call can go on: what it calls meanwhile takes no turns.
    looking: AtomicBool,
    /// A look has changed something for others.
    stirred: AtomicBool,
    entangled: AtomicBool,
}

struct State {
    turn: usize,
    /// What was decided for whose turn it is.
    decided: Option<Act>,
    ranks: Vec<Rank>,
    /// How many looks in a row have shown that nobody can go on.
    idle: usize,
    /// So often nobody could do anything but ask or read, and how many reads are left over.
    vain: u32,
    reads: u32,
    down: bool,
    decide: Box<dyn Decide>,
}

#[derive(Clone, Default)]
struct Rank {
    gone: bool,
    calls: u64,
    acts: Vec<Act>,
    refusals: u32,
}

impl Turns {
    /// For so many ranks; it is rank 0's turn.
    pub fn new(ranks: usize, decide: Box<dyn Decide>) -> Turns {
        let state = State {
            turn: 0,
            decided: None,
            ranks: vec![Rank::default(); ranks],
            idle: 0,
            vain: 0,
            reads: 0,
            down: false,
            decide,
        };
        Turns {
            state: Mutex::new(state),
            changed: Condvar::new(),
            looking: AtomicBool::new(false),
            stirred: AtomicBool::new(false),
            entangled: AtomicBool::new(false),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the rank's first turn.
    pub fn enter(&self, me: usize) {
        let mut state = self.state();
        while state.turn != me && !state.down {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.idle = 0;
    }

    /// The rank has returned, and takes no more turns.
    pub fn leave(&self, me: usize) {
        let mut state = self.state();
        state.ranks[me].gone = true;
        state.idle = 0;
        if state.turn == me {
            state.turn = state.next(me);
        }
        self.changed.notify_all();
    }

    /// Nobody waits for turns any more.
    pub fn end(&self) {
        self.state().down = true;
        self.changed.notify_all();
    }

    /// Ranks reach into each other's memory from now on.
    pub fn entangle(&self) {
        self.entangled.store(true, Ordering::Relaxed);
    }

    /// Something has changed for others than the rank whose turn it is.
    pub fn stir(&self) {
        self.stirred.store(true, Ordering::Relaxed);
    }

    /// Whether this is within a look.
    pub fn is_looking(&self) -> bool {
        self.looking.load(Ordering::Relaxed)
    }

    fn look(&self, look: &mut dyn FnMut() -> Look) -> Look {
        struct Looking<'t>(&'t AtomicBool);
        impl Drop for Looking<'_> {
            fn drop(&mut self) {
                self.0.store(false, Ordering::Relaxed);
            }
        }
        self.looking.store(true, Ordering::Relaxed);
        let _looking = Looking(&self.looking);
        look()
    }

    /// The rank's call goes on.
    fn goes_on(&self) {
        let mut state = self.state();
        (state.idle, state.vain) = (0, 0);
    }

    /// Gives the turn away, and waits for the next one; then, what was decided, if it was.
    fn pass(&self, me: usize, acts: Vec<Act>) -> Result<Option<Act>, Stop> {
        let mut state = self.state();
        if state.down {
            return Err(Stop::Down);
        }
        if self.stirred.swap(false, Ordering::Relaxed) {
            state.idle = 0;
        }
        state.ranks[me].acts = acts;
        state.idle += 1;
        let living = state.ranks.iter().filter(|rank| !rank.gone).count();
        // In the first round a look may have done something that others see in the second.
        if state.idle >= 2 * living {
            let decided = state.decide(self.entangled.load(Ordering::Relaxed));
            if let Err(stop) = decided {
                state.decide.stopped(stop);
                return Err(stop);
            }
        } else {
            state.turn = state.next(me);
        }
        self.changed.notify_all();
        while state.turn != me && !state.down {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.down { Err(Stop::Down) } else { Ok(state.decided.take()) }
    }
}

impl State {
    /// Whose turn comes after that of `rank`.
    fn next(&self, rank: usize) -> usize {
        let n = self.ranks.len();
        (1..n).map(|ahead| (rank + ahead) % n).find(|&other| !self.ranks[other].gone).unwrap_or(rank)
    }

    /// Nobody can go on: decides what happens.
    fn decide(&mut self, entangled: bool) -> Result<(), Stop> {
        let (mut open, mut last) = (Vec::new(), Vec::new());
        for (rank, about) in self.ranks.iter().enumerate().filter(|(_, about)| !about.gone) {
            for &act in &about.acts {
                let call = if matches!(act, Act::Posted(..)) { 0 } else { about.calls };
                let late = match act {
                    Act::NotYet | Act::Read => true,
                    Act::No => about.refusals >= REFUSALS,
                    _ => false,
                };
                if late { &mut last } else { &mut open }.push(Alternative { rank, call, act });
            }
        }
        let next = if !open.is_empty() {
            open[self.decide.decide(&open, entangled)?]
        } else if last.is_empty() {
            return Err(Stop::Stuck);
        } else if self.vain >= VAIN {
            return Err(Stop::Polling);
        } else {
            self.late(&last)?
        };
        match next.act {
            Act::No => self.ranks[next.rank].refusals += 1,
            Act::NotYet | Act::Read => {}
            Act::Posted(..) => self.vain = 0,
            _ => (self.ranks[next.rank].refusals, self.vain) = (0, 0),
        }
        (self.turn, self.decided, self.idle) = (next.rank, Some(next.act), 0);
        Ok(())
    }

    /// One of those that can only ask or read, in turn.
    fn late(&mut self, those: &[Alternative]) -> Result<Alternative, Stop> {
        let next = those[(self.vain + self.reads) as usize % those.len()];
        if next.act == Act::Read && self.reads < READS {
            self.reads += 1;
            return Ok(next);
        }
        if self.vain.is_multiple_of(LOOK) {
            self.decide.in_vain()?;
        }
        self.reads = 0;
        self.vain += 1;
        Ok(next)
    }
}

impl World {
    /// Takes turns with the others until rank `me`'s call can go on: as was decided, if somebody had to decide. Meanwhile
    /// the rank's messages are sorted.
    pub(super) fn in_turn(
        &self,
        turns: &Turns,
        me: usize,
        look: &mut dyn FnMut() -> Look,
    ) -> Outcome<Option<Act>> {
        turns.state().ranks[me].calls += 1;
        let inbox = &self.inboxes[me];
        loop {
            if self.aborted() {
                return Err(Fault::Aborted);
            }
            let mut acts = {
                let mut sorted = inbox.lock();
                sorted.drain_all(self, inbox);
                sorted.undecided()
            };
            match turns.look(look) {
                Look::Go => {
                    turns.goes_on();
                    return Ok(None);
                }
                Look::Blocked => {}
                Look::Open(more) => acts.extend(more),
            }
            match turns.pass(me, acts) {
                Ok(None) => {}
                Ok(Some(Act::Posted(number, source))) => inbox.lock().fill(self, inbox, number, source),
                Ok(decided) => return Ok(decided),
                Err(_) => {
                    self.abort();
                    return Err(Fault::Aborted);
                }
            }
        }
    }
}
