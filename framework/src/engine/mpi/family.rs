//! When communicators are freed.
//!
//! Dropping one is local; MPI_Comm_free is collective, and ranks drop in any order. So a dropped communicator only
//! notes its end, and is freed when its parent makes the next one: that call is collective, and with one small
//! reduction the ranks agree which children all of them have dropped. What is left at the end goes with MPI.

use super::status::check;
use super::{Constants, Mpi};
use crate::comm::element::Scalar;
use crate::comm::op::Builtin;
use crate::engine::Outcome;
use mpi::ffi;
use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::rc::Rc;

/// What is known of a communicator beyond its handle in [`Mpi`].
pub(super) struct Life {
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
        Life { comm, shadow, ended: Cell::new(false), children: RefCell::default() }
    }

    /// The handle was dropped.
    pub fn end(&self) {
        self.ended.set(true);
    }

    /// Frees the children that every rank has dropped. Collective over this communicator.
    fn reap(&self, constants: &Constants) -> Outcome<()> {
        let mut children = self.children.borrow_mut();
        if children.is_empty() {
            return Ok(());
        }
        let mut ended = vec![0u64; children.len().div_ceil(64)];
        for (i, child) in children.iter().enumerate() {
            ended[i / 64] |= u64::from(child.ended.get()) << (i % 64);
        }
        // SAFETY: `ended` is valid for reads and writes of its length; every rank has as many children.
        check("MPI_Allreduce", unsafe {
            ffi::MPI_Allreduce(
                constants.in_place,
                ended.as_mut_ptr().cast(),
                ended.len() as c_int,
                constants.datatype(Scalar::U64),
                constants.op(Builtin::BitAnd),
                self.comm,
            )
        })?;
        let gone = |i: usize| ended[i / 64] >> (i % 64) & 1 == 1;
        // In order: all ranks of a child come to it after the same earlier ones.
        for (_, child) in children.iter().enumerate().filter(|(i, _)| gone(*i)) {
            child.free(constants)?;
        }
        let mut i = 0..;
        children.retain(|_| !i.next().is_some_and(gone));
        Ok(())
    }

    /// Collective over this communicator, which no rank uses any more.
    fn free(&self, constants: &Constants) -> Outcome<()> {
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

impl Mpi {
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
