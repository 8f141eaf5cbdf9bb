//! When communicators and windows are freed.
//!
//! Dropping one is local; MPI_Comm_free is collective, and ranks drop in any order. So a dropped communicator only
//! notes its end, and is freed when its parent makes the next one: that call is collective, and with one small
//! reduction the ranks agree which children all of them have dropped; windows are such children too. One with children of
//! its own goes with the last of them. At the end of the job windows go that nobody has dropped as well, and those that a
//! panic has left in an epoch: MPICH over UCX does not end with a vector in its hands.
//!
//! A communicator of some ranks that the others know nothing of (`create_group`) is nobody's child: it is freed when the
//! same ranks make the next one, or at the end of the job.

use super::status::check;
use super::{Constants, Mpi};
use crate::comm::element::Scalar;
use crate::comm::op::Builtin;
use crate::engine::Outcome;
use crate::engine::window::Block;
use mpi::ffi;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::mem::ManuallyDrop;
use std::rc::Rc;

/// What is known of a communicator beyond its handle in [`Mpi`]; or of a window, which is a child as well.
pub(super) struct Life {
    window: RefCell<Option<LiveWindow>>,
    /// What a window's rank is in the middle of.
    pub open: RefCell<Open>,
    /// Null for a `split` that left this rank out.
    comm: ffi::MPI_Comm,
    /// Its twin for the framework's own messages.
    shadow: ffi::MPI_Comm,
    ended: Cell<bool>,
    /// Made from this one and not freed yet. Every rank of this communicator has as many, in the same order.
    children: RefCell<Vec<Rc<Life>>>,
}

impl Life {
    pub fn new(comm: ffi::MPI_Comm, shadow: ffi::MPI_Comm) -> Life {
        Life {
            window: RefCell::default(),
            open: RefCell::default(),
            comm,
            shadow,
            ended: Cell::new(false),
            children: RefCell::default(),
        }
    }

    /// A window that all ranks have just made together, in memory of its own or in this.
    pub fn add_window(&self, win: ffi::MPI_Win, memory: Option<Block>, comm_null: ffi::MPI_Comm) -> Rc<Life> {
        let life = Rc::new(Life::new(comm_null, comm_null));
        *life.window.borrow_mut() = Some(LiveWindow { win, memory: memory.map(ManuallyDrop::new) });
        self.children.borrow_mut().push(life.clone());
        life
    }

    /// Frees a window now and hands its memory back. Collective over this communicator.
    pub fn free_window(&self, child: &Rc<Life>) -> Outcome<Option<Block>> {
        self.children.borrow_mut().retain(|other| !Rc::ptr_eq(other, child));
        let window = child.window.borrow_mut().take();
        window.map_or(Ok(None), LiveWindow::free)
    }

    /// The handle was dropped.
    pub fn end(&self) {
        self.ended.set(true);
    }

    /// Frees the children that every rank has dropped, and at the end of the job what can be freed besides, down to
    /// children's children. Collective over this communicator.
    pub fn reap(&self, constants: &Constants, when: When) -> Outcome<()> {
        reap(&mut self.children.borrow_mut(), self.comm, constants, when)
    }

    /// Whether this rank has no more use for it.
    fn may_go(&self, when: When) -> bool {
        match (&*self.window.borrow(), when) {
            // A vector stays where it is if its handle does; MPI's own memory would not.
            (Some(window), When::AtTheEnd) => self.ended.get() || window.memory.is_some(),
            (Some(_), When::InPassing) => self.ended.get() && !self.open.borrow().any(),
            (None, _) => self.ended.get() && self.children.borrow().iter().all(|child| child.may_go(when)),
        }
    }

    /// Collective over this communicator, which no rank uses any more; a window's over its parent `comm`. `calm`: no rank is
    /// among partners.
    fn free(&self, comm: ffi::MPI_Comm, constants: &Constants, when: When, calm: bool) -> Outcome<()> {
        if let Some(window) = self.window.borrow_mut().take() {
            let open = self.open.take();
            if !calm && !open.partners_match(comm, constants)? {
                // Some rank would wait for one that never came: the window is not freed.
                return Ok(());
            }
            open.end(window.win, constants)?;
            let memory = window.free()?;
            if !self.ended.get() {
                std::mem::forget(memory);
            }
            return Ok(());
        }
        if self.comm == constants.comm_null {
            return Ok(());
        }
        self.reap(constants, when)?;
        for mut comm in [self.shadow, self.comm] {
            // SAFETY: the communicator is live, no handle of it is left on any rank, and operations still under way
            // keep what they need of it.
            check("MPI_Comm_free", unsafe { ffi::MPI_Comm_free(&mut comm) })?;
        }
        Ok(())
    }
}

/// When things are freed.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum When {
    InPassing,
    AtTheEnd,
}

/// Frees those that every rank of `comm` has dropped; each has as many, in the same order. Collective over `comm`.
fn reap(lives: &mut Vec<Rc<Life>>, comm: ffi::MPI_Comm, constants: &Constants, when: When) -> Outcome<()> {
    if lives.is_empty() {
        return Ok(());
    }
    // One bit each: whether it may go, and then whether this rank is among no partners in it.
    let words = lives.len().div_ceil(64);
    let mut ended = vec![0u64; 2 * words];
    for (i, life) in lives.iter().enumerate() {
        ended[i / 64] |= u64::from(life.may_go(when)) << (i % 64);
        ended[words + i / 64] |= u64::from(life.open.borrow().calm()) << (i % 64);
    }
    // SAFETY: `ended` is valid for reads and writes of its length, which is the same on every rank.
    check("MPI_Allreduce", unsafe {
        ffi::MPI_Allreduce(
            constants.in_place,
            ended.as_mut_ptr().cast(),
            ended.len() as c_int,
            constants.datatype(Scalar::U64),
            constants.op(Builtin::BitAnd),
            comm,
        )
    })?;
    let bit = |words: &[u64], i: usize| words[i / 64] >> (i % 64) & 1 == 1;
    let gone = |i: usize| bit(&ended, i);
    // In order: all ranks of one come to it after the same earlier ones.
    for (i, life) in lives.iter().enumerate() {
        if gone(i) {
            life.free(comm, constants, when, bit(&ended[words..], i))?;
        } else if when == When::AtTheEnd {
            life.reap(constants, when)?;
        }
    }
    let mut i = 0..;
    lives.retain(|_| !i.next().is_some_and(gone));
    Ok(())
}

/// Communicators without a parent, by their world ranks in ascending order: those ranks, and no others, have as many
/// under that key, in the same order.
#[derive(Default)]
pub(super) struct Loners(RefCell<ByRanks>);

type ByRanks = BTreeMap<Box<[usize]>, Vec<Rc<Life>>>;

impl Loners {
    /// Frees at the end of the job what can be freed. Collective over the job.
    pub fn reap(&self, constants: &Constants) -> Outcome<()> {
        // In the order of the keys: of two sets of ranks, those in both come to the same one first.
        for lives in self.0.borrow_mut().values_mut() {
            if let Some(comm) = lives.last().map(|life| life.comm) {
                reap(lives, comm, constants, When::AtTheEnd)?;
            }
        }
        Ok(())
    }
}

/// A window that has not been freed. Its memory is MPI's until then: where it never is, the memory leaks.
struct LiveWindow {
    win: ffi::MPI_Win,
    memory: Option<ManuallyDrop<Block>>,
}

/// The epoch and the locks that a rank is in; after a panic, that it was left in.
#[derive(Default)]
pub(super) struct Open {
    pub fence: bool,
    /// The ranks that may reach into this one's part, and those into whose parts it may.
    pub origins: Vec<usize>,
    pub targets: Vec<usize>,
    pub all: bool,
    pub locked: Vec<c_int>,
}

impl Open {
    fn any(&self) -> bool {
        self.fence || self.all || !self.locked.is_empty() || !self.calm()
    }

    /// Whether it is among no partners.
    fn calm(&self) -> bool {
        self.origins.is_empty() && self.targets.is_empty()
    }

    /// Whether all partners of all ranks are still there: whom one rank waits for is about to come. Collective.
    fn partners_match(&self, comm: ffi::MPI_Comm, constants: &Constants) -> Outcome<bool> {
        let mut size = 0;
        // SAFETY: the communicator is live, and the output is valid for writes.
        check("MPI_Comm_size", unsafe { ffi::MPI_Comm_size(comm, &mut size) })?;
        // What this rank is to each other: a target's origin, an origin's target.
        let mine: Vec<[u8; 2]> = (0..size as usize)
            .map(|rank| [self.targets.contains(&rank), self.origins.contains(&rank)].map(u8::from))
            .collect();
        let mut theirs = vec![[0u8; 2]; mine.len()];
        // SAFETY: two bytes for every rank on both sides.
        check("MPI_Alltoall", unsafe {
            let (from, to) = (mine.as_ptr().cast(), theirs.as_mut_ptr().cast());
            ffi::MPI_Alltoall(from, 2, constants.byte, to, 2, constants.byte, comm)
        })?;
        let matched =
            mine.iter().zip(&theirs).all(|(mine, theirs)| mine[0] == theirs[1] && mine[1] == theirs[0]);
        let mut all = u64::from(matched);
        // SAFETY: one word on every rank.
        check("MPI_Allreduce", unsafe {
            let (word, and) = ((&raw mut all).cast(), constants.op(Builtin::BitAnd));
            ffi::MPI_Allreduce(constants.in_place, word, 1, constants.datatype(Scalar::U64), and, comm)
        })?;
        Ok(all == 1)
    }

    /// Ends what a panic has left; all ranks come here. No access is under way: that would have ended the job.
    fn end(self, win: ffi::MPI_Win, constants: &Constants) -> Outcome<()> {
        // SAFETY: the window is live, and these have begun on this rank; a fence has on every rank, or it would not
        // have returned from it; and all partners come here, too.
        unsafe {
            if !self.targets.is_empty() {
                check("MPI_Win_complete", ffi::MPI_Win_complete(win))?;
            }
            if !self.origins.is_empty() {
                check("MPI_Win_wait", ffi::MPI_Win_wait(win))?;
            }
            for target in self.locked {
                check("MPI_Win_unlock", ffi::MPI_Win_unlock(target, win))?;
            }
            if self.all {
                check("MPI_Win_unlock_all", ffi::MPI_Win_unlock_all(win))?;
            }
            if self.fence {
                check("MPI_Win_fence", ffi::MPI_Win_fence(constants.mode_nosucceed, win))?;
            }
        }
        Ok(())
    }
}

impl LiveWindow {
    /// Collective over the window's communicator.
    fn free(mut self) -> Outcome<Option<Block>> {
        // SAFETY: the window is live, no rank is in an epoch of it, and all ranks come here.
        check("MPI_Win_free", unsafe { ffi::MPI_Win_free(&mut self.win) })?;
        Ok(self.memory.map(ManuallyDrop::into_inner))
    }
}

impl Mpi {
    /// Takes over a communicator that its ranks have made without the others. Collective over it.
    pub(super) fn adopt_loner(&self, comm: ffi::MPI_Comm, mut ranks: Vec<usize>) -> Outcome<Mpi> {
        let new = Mpi::new(self.shared.clone(), comm)?;
        ranks.sort_unstable();
        let mut loners = self.shared.loners.0.borrow_mut();
        let lives = loners.entry(ranks.into()).or_default();
        reap(lives, comm, self.constants(), When::InPassing)?;
        lives.push(new.life.clone());
        Ok(new)
    }

    /// Frees what can be freed; before a communicator is made from this one. Collective.
    pub(super) fn reap(&self) -> Outcome<()> {
        self.life.reap(self.constants(), When::InPassing)
    }

    /// Takes over a communicator that all ranks of this one have just made together; null for none.
    pub(super) fn adopt(&self, comm: ffi::MPI_Comm) -> Outcome<Option<Mpi>> {
        if comm != self.constants().comm_null {
            return self.adopt_live(comm).map(Some);
        }
        let nobody = Life::new(comm, comm);
        nobody.end();
        self.life.children.borrow_mut().push(Rc::new(nobody));
        Ok(None)
    }

    /// As [`Mpi::adopt`], of one that every rank is in.
    pub(super) fn adopt_live(&self, comm: ffi::MPI_Comm) -> Outcome<Mpi> {
        let child = Mpi::new(self.shared.clone(), comm)?;
        self.life.children.borrow_mut().push(child.life.clone());
        Ok(child)
    }
}
