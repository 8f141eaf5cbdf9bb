//! When communicators and windows are freed.
//!
//! Dropping one is local; MPI_Comm_free is collective, and ranks drop in any order. So a dropped communicator only
//! notes its end, and is freed when its parent makes the next one: that call is collective, and with one small
//! reduction the ranks agree which children all of them have dropped; windows are such children too. What is left at the
//! end goes with MPI.
//!
//! A communicator of some ranks that the others know nothing of (`create_group`) is nobody's child: it is freed when the
//! same ranks make the next one.

use super::status::check;
use super::{Constants, Mpi};
use crate::comm::element::Scalar;
use crate::comm::op::Builtin;
use crate::engine::Outcome;
use crate::engine::window::Block;
use mpi::ffi;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::c_int;
use std::mem::ManuallyDrop;
use std::rc::Rc;

/// What is known of a communicator beyond its handle in [`Mpi`]; or of a window, which is a child as well.
pub(super) struct Life {
    window: RefCell<Option<LiveWindow>>,
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

    /// Frees the children that every rank has dropped. Collective over this communicator.
    fn reap(&self, constants: &Constants) -> Outcome<()> {
        reap(&mut self.children.borrow_mut(), self.comm, constants)
    }

    /// Collective over this communicator, which no rank uses any more; a window's over its parent.
    fn free(&self, constants: &Constants) -> Outcome<()> {
        if let Some(window) = self.window.borrow_mut().take() {
            return window.free().map(drop);
        }
        if self.comm == constants.comm_null {
            return Ok(());
        }
        self.reap(constants)?;
        for mut comm in [self.shadow, self.comm] {
            // SAFETY: the communicator is live, no handle of it is left on any rank, and operations still under way
            // keep what they need of it.
            check("MPI_Comm_free", unsafe { ffi::MPI_Comm_free(&mut comm) })?;
        }
        Ok(())
    }
}

/// Frees those that every rank of `comm` has dropped; each has as many, in the same order. Collective over `comm`.
fn reap(lives: &mut Vec<Rc<Life>>, comm: ffi::MPI_Comm, constants: &Constants) -> Outcome<()> {
    if lives.is_empty() {
        return Ok(());
    }
    let mut ended = vec![0u64; lives.len().div_ceil(64)];
    for (i, life) in lives.iter().enumerate() {
        ended[i / 64] |= u64::from(life.ended.get()) << (i % 64);
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
    let gone = |i: usize| ended[i / 64] >> (i % 64) & 1 == 1;
    // In order: all ranks of one come to it after the same earlier ones.
    for (_, life) in lives.iter().enumerate().filter(|(i, _)| gone(*i)) {
        life.free(constants)?;
    }
    let mut i = 0..;
    lives.retain(|_| !i.next().is_some_and(gone));
    Ok(())
}

/// Communicators without a parent, by their world ranks in ascending order: those ranks, and no others, have as many
/// under that key, in the same order.
#[derive(Default)]
pub(super) struct Loners(RefCell<ByRanks>);

type ByRanks = HashMap<Box<[usize]>, Vec<Rc<Life>>>;

/// A window that has not been freed. Its memory is MPI's until then: where it never is, the memory leaks.
struct LiveWindow {
    win: ffi::MPI_Win,
    memory: Option<ManuallyDrop<Block>>,
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
        reap(lives, comm, self.constants())?;
        lives.push(new.life.clone());
        Ok(new)
    }

    /// Frees what can be freed; before a communicator is made from this one. Collective.
    pub(super) fn reap(&self) -> Outcome<()> {
        self.life.reap(self.constants())
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
