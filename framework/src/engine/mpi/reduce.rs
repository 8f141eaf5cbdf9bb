//! Reductions: MPI's own operators where it computes what we do, ours otherwise.
//!
//! How ours get into MPI is in `operator`.

use super::Mpi;
use super::collective::{read, write};
use super::count::{BLOCK, pieces};
use super::operator::during;
use crate::engine::{Outcome, Place, Reduction};
use mpi::ffi;
use std::ffi::c_int;
use std::ops::Range;
use std::ptr;

/// A reduction in MPI's words.
struct Plan {
    op: ffi::MPI_Op,
    datatype: ffi::MPI_Datatype,
    /// The bytes of one count.
    unit: usize,
    ours: bool,
}

impl Plan {
    /// Runs `call` with each range of bytes and its count.
    fn run(
        &self,
        bytes: usize,
        reduction: &Reduction,
        mut call: impl FnMut(Range<usize>, c_int) -> Outcome<()>,
    ) -> Outcome<()> {
        let mut every = || {
            pieces(bytes / self.unit, BLOCK)
                .try_for_each(|r| call(r.start * self.unit..r.end * self.unit, r.len() as c_int))
        };
        if self.ours { during(reduction, every) } else { every() }
    }
}

impl Mpi {
    fn plan(&self, reduction: &Reduction) -> Outcome<Plan> {
        let constants = self.constants();
        if let Some((builtin, scalar)) = reduction.known_to_mpi() {
            let unit = crate::engine::signature::size_of_scalar(scalar).max(1);
            return Ok(Plan {
                op: constants.op(builtin),
                datatype: constants.datatype(scalar),
                unit,
                ours: false,
            });
        }
        let operators = &self.shared.operators;
        let unit = reduction.element_size.max(1);
        let datatype = operators.datatype(unit, self.byte)?;
        Ok(Plan { op: operators.handle(reduction), datatype, unit, ours: true })
    }

    pub fn reduce(
        &self,
        send: &[u8],
        recv: Option<&mut [u8]>,
        op: &Reduction,
        root: usize,
        place: Place,
    ) -> Outcome<()> {
        self.agree("reduce", Some(root), Some((send.len(), op.kind)), Some(op.name), place)?;
        let plan = self.plan(op)?;
        let mut recv = recv;
        plan.run(send.len(), op, |range, count| {
            let to = recv.as_deref_mut().map_or(ptr::null_mut(), |recv| write(&mut recv[range.clone()]));
            let from = read(&send[range]);
            // SAFETY: `from` is valid for reads of `count` elements; on the root `to` is valid for writes of as
            // many and does not overlap, elsewhere MPI ignores it.
            self.check_collective("MPI_Reduce", unsafe {
                ffi::MPI_Reduce(from, to, count, plan.datatype, plan.op, root as c_int, self.comm)
            })
        })
    }

    pub fn allreduce(&self, data: &mut [u8], op: &Reduction, place: Place) -> Outcome<()> {
        self.agree("allreduce", None, Some((data.len(), op.kind)), Some(op.name), place)?;
        let plan = self.plan(op)?;
        let in_place = self.constants().in_place;
        plan.run(data.len(), op, |range, count| {
            let to = write(&mut data[range]);
            // SAFETY: `to` is valid for reads and writes of `count` elements.
            self.check_collective("MPI_Allreduce", unsafe {
                ffi::MPI_Allreduce(in_place, to, count, plan.datatype, plan.op, self.comm)
            })
        })
    }

    pub fn allreduce_into(&self, send: &[u8], recv: &mut [u8], op: &Reduction, place: Place) -> Outcome<()> {
        self.agree("allreduce", None, Some((send.len(), op.kind)), Some(op.name), place)?;
        let plan = self.plan(op)?;
        plan.run(send.len(), op, |range, count| {
            let (from, to) = (read(&send[range.clone()]), write(&mut recv[range]));
            // SAFETY: `from` is valid for reads and `to` for writes of `count` elements; they do not overlap.
            self.check_collective("MPI_Allreduce", unsafe {
                ffi::MPI_Allreduce(from, to, count, plan.datatype, plan.op, self.comm)
            })
        })
    }
}
