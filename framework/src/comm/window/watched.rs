//! What the watch is told of a window: which epochs and locks its ranks wait for.
//!
//! A window has a context of its own. To post is to send a token to each origin, to complete one to each target; a lock is
//! counted by who holds it.

use super::Raw;
use crate::comm::Comm;
use crate::comm::create::fingerprint;
use crate::comm::watched::Within;
use crate::engine::Place;
use crate::watch::{Class, EXCLUSIVE, Key, Listed, Name, Need, SHARED, What};

/// Tags of the tokens.
const POSTED: i32 = 1;
const COMPLETED: i32 = 2;

impl Comm {
    /// Where the watch has a new window of this communicator.
    pub(super) fn window_context(&self, place: Place) -> u32 {
        let id = fingerprint(&(self.next_child(), "window"));
        self.inner.watch.board().add_context(id, self.inner.members(), Some((&"a window", place)))
    }
}

impl Raw {
    fn token(&self, class: Class, peer: usize, tag: i32) -> Key {
        Key::new(class, self.context, Some(peer), Some(tag))
    }

    fn give(&self, whom: &[usize], tag: i32, place: Place) {
        for &peer in whom {
            self.comm.inner.watch.count(self.token(Class::Sent, peer, tag), 0, place);
        }
    }

    fn expect(&self, whom: &[usize], tag: i32, place: Place, needs: &mut Vec<Listed>) {
        for &peer in whom {
            let key = self.token(Class::Wanted, peer, tag);
            let number = self.comm.inner.watch.count(key, 0, place);
            needs.push(Listed { need: Need::new(What::Message, key, number), origin: place });
        }
    }

    fn needing(&self, needs: &[Listed], place: Place) -> Within<'_> {
        let within = self.comm.inner.within(&"post_start", place, Need::NOTHING);
        if !needs.is_empty() {
            self.comm.inner.watch.needs(What::All, needs);
        }
        within
    }

    /// This rank's part is open to `origins`, and it waits for those of `targets` to be open.
    pub(super) fn posting(&self, origins: &[usize], targets: &[usize], place: Place) -> Within<'_> {
        self.give(origins, POSTED, place);
        let mut needs = Vec::new();
        self.expect(targets, POSTED, place, &mut needs);
        self.needing(&needs, place)
    }

    /// This rank is through with `targets`, and waits for `origins` to be.
    pub(super) fn completing(&self, origins: &[usize], targets: &[usize], place: Place) -> Within<'_> {
        self.give(targets, COMPLETED, place);
        let mut needs = Vec::new();
        self.expect(origins, COMPLETED, place, &mut needs);
        self.needing(&needs, place)
    }

    fn lock_need(&self, target: usize, exclusive: bool, place: Place) -> Listed {
        let what = if exclusive { What::ExclusiveLock } else { What::SharedLock };
        let key = Key::new(Class::Held, self.context, Some(target), None);
        Listed { need: Need::new(what, key, 0), origin: place }
    }

    /// This rank waits for a lock of `target`'s part.
    pub(super) fn locking(&self, call: Name, target: usize, exclusive: bool, place: Place) -> Within<'_> {
        self.comm.inner.within(call, place, self.lock_need(target, exclusive, place).need)
    }

    /// This rank waits for shared locks of all parts.
    pub(super) fn locking_all(&self, place: Place) -> Within<'_> {
        let within = self.comm.inner.within(&"lock_all", place, Need::NOTHING);
        let all: Vec<Listed> = (0..self.comm.size()).map(|t| self.lock_need(t, false, place)).collect();
        self.comm.inner.watch.needs(What::All, &all);
        within
    }

    fn held_key(&self, target: usize, exclusive: bool) -> Key {
        Key::new(Class::Held, self.context, Some(target), Some(if exclusive { EXCLUSIVE } else { SHARED }))
    }

    /// It has one.
    pub(super) fn locked(&self, target: usize, exclusive: bool, place: Place) {
        if exclusive {
            self.exclusive.borrow_mut().push(target);
        }
        self.comm.inner.watch.count(self.held_key(target, exclusive), 0, place);
    }

    /// It has released one, or all.
    pub(super) fn unlocked(&self, target: Option<usize>, place: Place) {
        let release = |target| {
            let mut exclusive = self.exclusive.borrow_mut();
            let at = exclusive.iter().position(|&other| other == target);
            let was_exclusive = at.map(|at| exclusive.swap_remove(at)).is_some();
            self.comm.inner.watch.uncount(self.held_key(target, was_exclusive), place);
        };
        match target {
            Some(target) => release(target),
            None => (0..self.comm.size()).for_each(release),
        }
    }
}
