//! `reduce_scatter_block`: the answer of a reduction, dealt out in blocks of one length.

use super::raw::Part;
use super::{CollectivePlan, Comm, Element, OwnedCollective, Result, Site};
use crate::comm::{Op, Request, Scope};
use crate::engine::Call;

#[inline]
fn part<'b, 'l, T: Element, O: Op<T>>(
    comm: &Comm,
    site: Site,
    send: &'b [T],
    recv: &'b mut [T],
    op: O,
) -> Result<Part<'b, 'l, T>> {
    let len = recv.len();
    comm.check_len(site, "send", send.len(), comm.total::<T>(site, len)?)?;
    let part = Part::new(Call::ReduceScatterBlock).op(op);
    Ok(part.reads(send).bring_each(len, comm.size()).writes(recv).take())
}

fn in_place<'b, 'l, T: Element, O: Op<T>>(
    comm: &Comm,
    site: Site,
    data: &'b mut [T],
    op: O,
) -> Result<Part<'b, 'l, T>> {
    let len = comm.share(site, "data", data.len())?;
    let part = Part::new(Call::ReduceScatterBlock).op(op);
    Ok(part.writes(data).bring_in_place().take_each(len, comm.size()))
}

/// As [`part`], on a vector that is made to fit.
fn vectors<'b, 'l, T: Element, O: Op<T>>(
    comm: &Comm,
    site: Site,
    send: &'b [T],
    recv: &'b mut Vec<T>,
    op: O,
) -> Result<Part<'b, 'l, T>> {
    recv.resize(comm.share(site, "send", send.len())?, T::zeroed());
    part(comm, site, send, recv, op)
}

impl Comm {
    /// Combines `send` of all ranks, element by element, and gives rank r block r of the answer; the blocks have one
    /// length.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let send: Vec<_> = (0..world.size()).flat_map(|block| [block, 1]).collect();
    ///     let mine = world.reduce_scatter_block(&send, rankine::op::Sum)?;
    ///     assert_eq!(mine, [world.rank() * world.size(), world.size()]);
    ///     Ok(())
    /// });
    /// ```
    #[track_caller]
    pub fn reduce_scatter_block<T: Element, O: Op<T>>(&self, send: &[T], op: O) -> Result<Vec<T>> {
        let site = Site::of("reduce_scatter_block");
        let mut recv = vec![T::zeroed(); self.share(site, "send", send.len())?];
        self.perform(site, &part(self, site, send, &mut recv, op)?)?;
        Ok(recv)
    }

    /// As [`Comm::reduce_scatter_block`], into `recv`; `send` has `recv.len() * size()` elements.
    #[track_caller]
    #[inline]
    pub fn reduce_scatter_block_into<T: Element, O: Op<T>>(
        &self,
        send: &[T],
        recv: &mut [T],
        op: O,
    ) -> Result<()> {
        let site = Site::of("reduce_scatter_block_into");
        self.perform(site, &part(self, site, send, recv, op)?)
    }

    /// As [`Comm::reduce_scatter_block`], in one buffer: the answer comes in the first block, wherever the rank's is. What
    /// the others hold afterwards is not said.
    #[track_caller]
    pub fn reduce_scatter_block_in_place<T: Element, O: Op<T>>(&self, data: &mut [T], op: O) -> Result<()> {
        let site = Site::of("reduce_scatter_block_in_place");
        self.perform(site, &in_place(self, site, data, op)?)
    }

    /// As [`Comm::reduce_scatter_block`], nonblocking, on vectors that [`OwnedCollective::wait`] gives back. `recv` is
    /// made as long as it must be, whatever it held.
    #[track_caller]
    pub fn ireduce_scatter_block_owned<T: Element, O: Op<T>>(
        &self,
        send: Vec<T>,
        recv: Vec<T>,
        op: O,
    ) -> Result<OwnedCollective<(Vec<T>, Vec<T>)>> {
        let site = Site::of("ireduce_scatter_block_owned");
        self.post_owned(site, (send, recv), |(send, recv), _| vectors(self, site, send, recv, op))
    }

    /// As [`Comm::ireduce_scatter_block_owned`], to be started again and again on the plan's own vectors.
    #[track_caller]
    pub fn plan_reduce_scatter_block<T: Element, O: Op<T>>(
        &self,
        send: Vec<T>,
        recv: Vec<T>,
        op: O,
    ) -> Result<CollectivePlan<(Vec<T>, Vec<T>)>> {
        let site = Site::of("plan_reduce_scatter_block");
        self.store(site, (send, recv), |(send, recv), _| vectors(self, site, send, recv, op))
    }
}

impl<'scope> Scope<'scope, '_> {
    /// As [`Comm::reduce_scatter_block_into`], nonblocking; waiting gives the buffers back.
    #[track_caller]
    pub fn ireduce_scatter_block<T: Element, O: Op<T>>(
        &'scope self,
        send: &'scope [T],
        recv: &'scope mut [T],
        op: O,
    ) -> Result<Request<'scope, (&'scope [T], &'scope mut [T])>> {
        let site = Site::of("ireduce_scatter_block");
        self.post_two(site, part(self.comm(), site, send, recv, op)?)
    }

    /// As [`Comm::reduce_scatter_block_in_place`], nonblocking; waiting gives the buffer back.
    #[track_caller]
    pub fn ireduce_scatter_block_in_place<T: Element, O: Op<T>>(
        &'scope self,
        data: &'scope mut [T],
        op: O,
    ) -> Result<Request<'scope, (&'scope mut [T],)>> {
        let site = Site::of("ireduce_scatter_block_in_place");
        self.post_one(site, in_place(self.comm(), site, data, op)?)
    }
}
