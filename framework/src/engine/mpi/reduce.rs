//! Reductions: MPI's own operators where it computes what we do, ours otherwise.
//!
//! How ours get into MPI is in `operator`.

use super::Mpi;
use super::collective::{Later, issue, malformed, read, write};
use super::count;
use super::work::{Move, Work};
use crate::engine::{Call, Collective, Layout, Outcome, Reduction, signature};
use mpi::ffi;
use std::ffi::c_int;

/// A reduction in MPI's words.
#[derive(Clone, Copy)]
struct Plan {
    op: ffi::MPI_Op,
    datatype: ffi::MPI_Datatype,
    /// The bytes of one count.
    unit: usize,
}

impl Plan {
    /// Bytes as a number of elements.
    #[inline]
    fn count(&self, bytes: usize) -> usize {
        // A division costs as much as the rest of the way to MPI, and MPI's own numbers have powers of two.
        if self.unit.is_power_of_two() { bytes >> self.unit.trailing_zeros() } else { bytes / self.unit }
    }
}

impl Mpi {
    #[inline(always)]
    fn plan(&self, reduction: &Reduction) -> Outcome<Plan> {
        let constants = self.constants();
        if let Some((builtin, scalar)) = reduction.known_to_mpi() {
            let unit = signature::size_of_scalar(scalar).max(1);
            let (op, datatype) = (constants.op(builtin), constants.datatype(scalar));
            return Ok(Plan { op, datatype, unit });
        }
        let operators = &self.shared.operators;
        let unit = reduction.element_size.max(1);
        let datatype = operators.datatype(unit, self.byte)?;
        Ok(Plan { op: operators.handle(reduction)?, datatype, unit })
    }

    /// Reduce, allreduce, scan and exscan. An operator's panic is left to the caller, who may have more to do first.
    ///
    /// # Safety
    /// As [`Mpi::start`].
    #[inline(always)]
    pub(super) unsafe fn reduction(&self, part: &Collective<'_>, mut later: Later<'_>) -> Outcome<()> {
        let (Some(op), (Layout::One(bytes), _) | (_, Layout::One(bytes))) =
            (part.op, (part.send.layout, part.recv.layout))
        else {
            return Err(malformed(part));
        };
        let plan = self.plan(op)?;
        let (total, mut done) = (plan.count(bytes), 0);
        loop {
            let count = (total - done).min(count::block());
            // SAFETY: the caller's promise; the piece is within both sides.
            unsafe {
                self.reduce_piece(part, &plan, done * plan.unit, count as c_int, later.as_deref_mut())
            }?;
            done += count;
            if done == total {
                break;
            }
        }
        Ok(())
    }

    /// # Safety
    /// As [`Mpi::start`], for `count` elements from byte `at`.
    #[inline(always)]
    unsafe fn reduce_piece(
        &self,
        part: &Collective<'_>,
        plan: &Plan,
        at: usize,
        count: c_int,
        later: Later<'_>,
    ) -> Outcome<()> {
        let from = match part.send.layout {
            Layout::InPlace => self.constants().in_place,
            _ => read(part.send.data.wrapping_add(at)),
        };
        let to = write(part.recv.data.wrapping_add(at));
        let Plan { op, datatype, .. } = *plan;
        let root = part.root.unwrap_or(0) as c_int;
        // SAFETY: the caller's promise; a side that is absent is not looked at.
        unsafe {
            match part.call {
                Call::Allreduce => {
                    issue!(
                        self,
                        later,
                        MPI_Allreduce / MPI_Iallreduce,
                        from,
                        to,
                        count,
                        datatype,
                        op,
                        self.comm
                    )
                }
                Call::Reduce => {
                    issue!(
                        self,
                        later,
                        MPI_Reduce / MPI_Ireduce,
                        from,
                        to,
                        count,
                        datatype,
                        op,
                        root,
                        self.comm
                    )
                }
                Call::Scan => {
                    issue!(self, later, MPI_Scan / MPI_Iscan, from, to, count, datatype, op, self.comm)
                }
                _ => issue!(self, later, MPI_Exscan / MPI_Iexscan, from, to, count, datatype, op, self.comm),
            }
        }
    }

    /// Reduce_scatter and reduce_scatter_block.
    ///
    /// # Safety
    /// As [`Mpi::start`], until the work is concluded or ended.
    pub(super) unsafe fn reduce_scatter(
        &self,
        part: &Collective<'_>,
        work: &mut Work,
        now: bool,
    ) -> Outcome<()> {
        let Some(op) = part.op else { return Err(malformed(part)) };
        let plan = self.plan(op)?;
        let all = match part.send.layout {
            Layout::InPlace => part.recv.layout,
            layout => layout,
        };
        if plan.count(all.reach(self.size)) > count::limit() {
            // SAFETY: the caller's promise is passed on.
            return unsafe { self.reduce_scatter_by_blocks(part, all, work, now) };
        }
        let (from, to) = (self.source(part.send), write(part.recv.data));
        let Plan { op, datatype, .. } = plan;
        if let Layout::Each(bytes) = all {
            let (count, later) = (plan.count(bytes) as c_int, (!now).then_some(&mut work.pending));
            // SAFETY: the caller's promise: a block for every rank on the side that is sent from.
            return unsafe {
                issue!(
                    self,
                    later,
                    MPI_Reduce_scatter_block / MPI_Ireduce_scatter_block,
                    from,
                    to,
                    count,
                    datatype,
                    op,
                    self.comm
                )
            };
        }
        work.counts.extend((0..self.size).map(|rank| plan.count(all.block(rank).len) as c_int));
        let (counts, later) = (work.counts.as_ptr(), (!now).then_some(&mut work.pending));
        // SAFETY: the caller's promise; the counts live in the work.
        unsafe {
            issue!(
                self,
                later,
                MPI_Reduce_scatter / MPI_Ireduce_scatter,
                from,
                to,
                counts,
                datatype,
                op,
                self.comm
            )
        }
    }

    /// One reduction for each rank's block: for more elements than an int counts.
    ///
    /// # Safety
    /// As [`Mpi::start`], until the work is concluded or ended.
    #[cold]
    unsafe fn reduce_scatter_by_blocks(
        &self,
        part: &Collective<'_>,
        all: Layout<'_>,
        work: &mut Work,
        now: bool,
    ) -> Outcome<()> {
        let in_place = matches!(part.send.layout, Layout::InPlace);
        for root in 0..self.size {
            let (block, mine) = (all.block(root), root == self.rank);
            let (mut send, mut recv) = (part.send, part.recv);
            // In place, the answer replaces this rank's own block first, and goes to the front when all are done.
            let input = if in_place { part.recv.data.cast_const() } else { part.send.data };
            send.data = input.wrapping_add(block.at);
            send.layout = if in_place && mine { Layout::InPlace } else { Layout::One(block.len) };
            if in_place {
                recv.data = part.recv.data.wrapping_add(block.at);
            }
            recv.layout = if mine { Layout::One(block.len) } else { Layout::Absent };
            let one = Collective { call: Call::Reduce, root: Some(root), send, recv, ..*part };
            let later = (!now).then_some(&mut work.pending);
            // SAFETY: the caller's promise, for one block.
            unsafe { self.reduction(&one, later) }?;
        }
        if in_place {
            let block = all.block(self.rank);
            let from = part.recv.data.wrapping_add(block.at).cast_const();
            work.moves.push(Move { from, to: part.recv.data, len: block.len });
        }
        Ok(())
    }
}
