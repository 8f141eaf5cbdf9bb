//! The watch: what every rank is doing, who waits for whom, and the proof that nobody can go on.
//!
//! Each rank writes on a board, a store or two a call. A thread of each process looks at the boards now and then. Once
//! a rank has been blocked longer than the patience it looks at all of them (`look`), turns what the ranks need into a
//! graph (`graph`), and reduces it: whoever runs, and whoever's message is under way, releases those who wait for it.
//! Whom nothing can release is looked at a second time; if none of them has moved meanwhile, that is a proof, and
//! `report` says it so that a person can act on it. `waits` says what each rank needs. README.md beside this file explains why the proof holds.
//!
//! Nothing here knows of an engine. How boards of other processes are read is in `net`.

mod board;
mod clocks;
mod fixed;
pub(crate) mod graph;
mod key;
mod leftovers;
mod look;
mod near;
mod need;
mod net;
mod recall;
mod report;
mod tally;
mod view;
mod waits;

pub use board::Life;
pub(crate) use board::{Board, Listed, Members, Name};
pub(crate) use key::{Class, Key};
use leftovers::leftovers;
pub(crate) use near::{doing, why_stuck};
pub(crate) use need::{Need, What, Who};
pub use net::Endpoint;
pub(crate) use net::{Hub, Listener, Outlets};
#[cfg(feature = "mpi")]
pub(crate) use net::{Member, Secret, own_addresses};
pub use view::RankView;
pub(crate) use waits::{EXCLUSIVE, SHARED};

use crate::engine::{Catch, Place};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

/// How the watch works: whether it does, and how long a rank may be blocked before somebody asks why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub on: bool,
    pub patience: Duration,
}

/// How long a rank may be blocked before somebody asks why, unless another time is given.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

impl Default for Settings {
    fn default() -> Self {
        Settings { on: true, patience: PATIENCE }
    }
}

/// A board for each of so many ranks.
pub(crate) fn boards(ranks: usize) -> Arc<[Arc<Board>]> {
    (0..ranks).map(|rank| Arc::new(Board::new(rank))).collect()
}

/// Who looks at a rank's board.
pub(crate) enum Lookout {
    /// This process looks at all ranks.
    Hub(Arc<Hub>),
    /// Somebody else does, now and then.
    Elsewhere,
}

/// One rank's side of the watch: it belongs to the rank's thread.
pub(crate) struct Watch {
    board: Arc<Board>,
    on: bool,
    hub: Option<Arc<Hub>>,
    /// How deep calls are nested: only the outermost is shown, with what the innermost needs.
    depth: Cell<u32>,
    /// What outer calls need, to come back to after nested ones.
    outer: RefCell<Vec<Need>>,
    open: RefCell<Open>,
}

/// Handles of things that must be ended, by where they were made.
#[derive(Default)]
struct Open {
    handles: Vec<Option<(Name, Place)>>,
    free: Vec<usize>,
}

impl Watch {
    /// A rank's, that writes on its board if there is somebody who looks at it.
    pub fn new(board: Arc<Board>, lookout: Option<Lookout>) -> Watch {
        Watch {
            board,
            on: lookout.is_some(),
            hub: match lookout {
                Some(Lookout::Hub(hub)) => Some(hub),
                _ => None,
            },
            depth: Cell::new(0),
            outer: RefCell::default(),
            open: RefCell::default(),
        }
    }

    #[inline(always)]
    pub fn is_on(&self) -> bool {
        self.on
    }

    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Lets people look at the job, if this process sees all of it: where they find it.
    pub fn listen_for_late_ranks(&self, listener: Option<Listener>) {
        if let Some(hub) = &self.hub {
            hub.listen_for_late_ranks(listener);
        }
    }

    pub fn open_door(&self) -> Option<std::io::Result<Endpoint>> {
        self.hub.as_ref().map(|hub| hub.open_door())
    }

    /// Goes into a call that needs `need`, until the guard is dropped.
    #[inline(always)]
    pub fn enter(&self, name: Name, place: Place, need: Need) -> Inside<'_> {
        if self.on {
            let depth = self.depth.get();
            self.depth.set(depth + 1);
            match depth {
                0 => self.board.enter(name, place, &need),
                _ => self.enter_nested(need, None),
            }
        }
        Inside { watch: self }
    }

    /// As [`Watch::enter`], of a call that waits for what was started at `origin`.
    #[inline(always)]
    pub fn enter_wait(&self, name: Name, place: Place, need: Need, origin: Place) -> Inside<'_> {
        if self.on {
            let depth = self.depth.get();
            self.depth.set(depth + 1);
            match depth {
                0 => self.board.enter_wait(name, place, &need, origin),
                _ => self.enter_nested(need, Some(origin)),
            }
        }
        Inside { watch: self }
    }

    #[cold]
    #[inline(never)]
    fn enter_nested(&self, need: Need, origin: Option<Place>) {
        self.outer.borrow_mut().push(self.board.needed());
        self.board.change(&need, origin, &[]);
    }

    #[cold]
    #[inline(never)]
    fn leave_nested(&self) {
        let before = self.outer.borrow_mut().pop().unwrap_or(Need::NOTHING);
        // A list is no longer there.
        let before = if before.is_list() { Need::NOTHING } else { before };
        self.board.change(&before, None, &[]);
    }

    /// Says that the call needs all or one of these.
    pub fn needs(&self, what: What, list: &[Listed]) {
        if self.on {
            self.board.change(&Need::list(what), None, list);
        }
    }

    /// Counts one more under a key. Its number, or 0 if that is not known.
    #[inline(always)]
    pub fn count(&self, key: Key, bytes: usize, place: Place) -> u64 {
        if self.on { self.board.tally.add(key, 1, bytes as u64, place) } else { 0 }
    }

    /// Counts one less.
    pub fn uncount(&self, key: Key, place: Place) {
        if self.on {
            self.board.tally.add(key, u64::MAX, 0, place);
        }
    }

    /// A receive with a wildcard is under way: what it has got, if that can be seen.
    #[cold]
    pub fn leave_open(&self, need: Need, catch: Option<Catch>) {
        if let (true, Some(catch)) = (self.on, catch) {
            self.board.leave_open(need, catch);
        }
    }

    /// It is over.
    pub fn no_longer_open(&self, need: Need) {
        if self.on {
            self.board.no_longer_open(need);
        }
    }

    /// Enters the next collective call of a communicator; its number.
    #[inline(always)]
    pub fn enter_collective(&self, context: u32, name: Name, place: Place) -> u64 {
        let number = self.count(Key::new(Class::Entered, context, None, None), 0, place);
        if self.on {
            self.board.remember(context, number, name, place);
        }
        number
    }

    /// A handle of something that must be ended; its number for [`Watch::ended`].
    pub fn opened(&self, name: Name, place: Place) -> usize {
        let open = &mut *self.open.borrow_mut();
        match open.free.pop() {
            Some(number) => {
                open.handles[number] = Some((name, place));
                number
            }
            None => {
                open.handles.push(Some((name, place)));
                open.handles.len() - 1
            }
        }
    }

    pub fn ended(&self, number: usize) {
        let open = &mut *self.open.borrow_mut();
        if open.handles.get_mut(number).and_then(Option::take).is_some() {
            open.free.push(number);
        }
    }

    /// The rank has returned: what it has not ended is left behind. (What was forgotten may keep this alive.)
    pub fn leave(&self) {
        let contexts = self.board.contexts();
        let made = contexts.iter().filter(|context| context.live).filter_map(|context| context.origin);
        let open = self.open.borrow();
        let handles = open.handles.iter().flatten().copied();
        self.board
            .leave_behind(handles.chain(made).map(|(name, place)| format!("{name} ({place})")).collect());
    }
}

/// The time in a call.
#[must_use]
pub(crate) struct Inside<'w> {
    watch: &'w Watch,
}

impl Drop for Inside<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.watch.on {
            let depth = self.watch.depth.get() - 1;
            self.watch.depth.set(depth);
            match depth {
                0 => self.watch.board.leave(),
                _ => self.watch.leave_nested(),
            }
        }
    }
}
