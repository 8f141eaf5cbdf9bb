//! What a communicator keeps for the framework's own messages: the same ranks in a context of their own, and vectors to
//! pack into.
//!
//! The typed calls of `Comm` work there as everywhere, and meet none of the author's messages, wildcards included.

use super::{Comm, Element};
use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};

/// Tags of the framework's own messages.
pub(crate) mod tags {
    /// Serialized values on their way through a collective.
    pub const VALUES: i32 = 0x1000;
    /// Views of every rank to every rank.
    pub const VIEWS: i32 = 0x1001;
    /// The sparse exchange, and one more.
    pub const SPARSE: i32 = 0x1002;
    /// The first hop over the grid; the second is the next number.
    pub const GRID: i32 = 0x1004;
    /// Views of any type between any ranks.
    pub const PAIRS: i32 = 0x1006;
    /// Accesses to a window that are compared.
    pub const CLAIMS: i32 = 0x1007;
}

/// Made when it is first needed.
#[derive(Default)]
pub(super) struct Backstage {
    comm: OnceCell<Comm>,
    spares: Spares,
    /// Which of its two tags the next sparse exchange has.
    round: Cell<bool>,
}

/// Vectors to pack messages into, kept so that a call that is made again allocates nothing.
#[derive(Default)]
pub(super) struct Spares {
    /// For every element type that was packed, a `Vec<Vec<T>>`.
    shelves: RefCell<Vec<Box<dyn Any>>>,
}

/// Spare vectors of one type; more are given back to the system.
const KEPT: usize = 16;

impl Spares {
    fn shelf<T: Element, R>(&self, f: impl FnOnce(&mut Vec<Vec<T>>) -> R) -> R {
        let mut shelves = self.shelves.borrow_mut();
        let index = shelves.iter().position(|shelf| shelf.is::<Vec<Vec<T>>>()).unwrap_or_else(|| {
            shelves.push(Box::new(Vec::<Vec<T>>::with_capacity(KEPT)));
            shelves.len() - 1
        });
        f(shelves[index].downcast_mut().expect("just seen"))
    }

    /// A vector of any contents.
    pub fn take<T: Element>(&self) -> Vec<T> {
        self.shelf(Vec::pop).unwrap_or_default()
    }

    pub fn put<T: Element>(&self, spare: Vec<T>) {
        self.shelf(|shelf: &mut Vec<Vec<T>>| {
            if shelf.len() < KEPT {
                shelf.push(spare);
            }
        });
    }
}

impl Comm {
    pub(super) fn spares(&self) -> &Spares {
        &self.inner.backstage.spares
    }

    /// 0 and 1 by turns.
    pub(super) fn next_round(&self) -> i32 {
        let round = &self.inner.backstage.round;
        round.replace(!round.get()).into()
    }

    /// The same ranks, for messages that the framework sends on its own account.
    pub(crate) fn backstage(&self) -> &Comm {
        self.inner.backstage.comm.get_or_init(|| {
            let engine = self.inner.engine.private();
            // A private engine has no twin of its own, and nobody asks for it.
            let private = engine.private();
            let id = super::create::fingerprint(&(self.inner.id, "private"));
            let context = self.inner.watch.board().add_context(id, self.inner.members(), None);
            Comm::of(engine, private, self.inner.clock.clone(), self.inner.watch.clone(), context, id)
        })
    }
}
