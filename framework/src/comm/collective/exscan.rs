//! `exscan`: each rank gets the combination of the ranks below itself.

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
    comm.check_len(site, "recv", recv.len(), send.len())?;
    Ok(Part::new(Call::Exscan).reads(send).bring().writes(recv).take().op(op))
}

#[inline]
fn in_place<'b, 'l, T: Element, O: Op<T>>(data: &'b mut [T], op: O) -> Part<'b, 'l, T> {
    Part::new(Call::Exscan).writes(data).bring_in_place().take().op(op)
}

impl Comm {
    /// Combines one element of each rank below this one; rank 0, which has none below, gets `None`.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3, 4], |world| {
    ///     let (me, mine) = (world.rank(), world.rank() + 1);
    ///     // Where this rank's share of a list begins, when rank r has r + 1 items.
    ///     assert_eq!(world.exscan(mine, rankine::op::Sum)?.unwrap_or(0), me * (me + 1) / 2);
    ///     Ok(())
    /// });
    /// ```
    #[track_caller]
    #[inline]
    pub fn exscan<T: Element, O: Op<T>>(&self, value: T, op: O) -> Result<Option<T>> {
        let mut answer = [value];
        self.perform(Site::of("exscan"), &in_place(&mut answer, op))?;
        Ok((self.rank() > 0).then_some(answer[0]))
    }

    /// Combines `send` of the ranks below this one, element by element, into `recv`. On rank 0 `recv` keeps
    /// what it had.
    #[track_caller]
    #[inline]
    pub fn exscan_into<T: Element, O: Op<T>>(&self, send: &[T], recv: &mut [T], op: O) -> Result<()> {
        let site = Site::of("exscan_into");
        self.perform(site, &part(self, site, send, recv, op)?)
    }

    /// Combines `data` of the ranks below this one, element by element, and leaves the answer in it. On rank 0 `data`
    /// keeps what it had.
    #[track_caller]
    #[inline]
    pub fn exscan_in_place<T: Element, O: Op<T>>(&self, data: &mut [T], op: O) -> Result<()> {
        self.perform(Site::of("exscan_in_place"), &in_place(data, op))
    }

    /// As [`Comm::exscan_in_place`], nonblocking, on a vector that [`OwnedCollective::wait`] gives back.
    #[track_caller]
    pub fn iexscan_owned<T: Element, O: Op<T>>(
        &self,
        data: Vec<T>,
        op: O,
    ) -> Result<OwnedCollective<Vec<T>>> {
        self.post_owned(Site::of("iexscan_owned"), data, |data, _| Ok(in_place(data, op)))
    }

    /// As [`Comm::exscan_in_place`], to be started again and again on the plan's own vector.
    #[track_caller]
    pub fn plan_exscan<T: Element, O: Op<T>>(&self, data: Vec<T>, op: O) -> Result<CollectivePlan<Vec<T>>> {
        self.store(Site::of("plan_exscan"), data, |data, _| Ok(in_place(data, op)))
    }
}

impl<'scope> Scope<'scope, '_> {
    /// As [`Comm::exscan_into`], nonblocking; waiting gives the buffers back.
    #[track_caller]
    pub fn iexscan<T: Element, O: Op<T>>(
        &'scope self,
        send: &'scope [T],
        recv: &'scope mut [T],
        op: O,
    ) -> Result<Request<'scope, (&'scope [T], &'scope mut [T])>> {
        let site = Site::of("iexscan");
        self.post_two(site, part(self.comm(), site, send, recv, op)?)
    }

    /// As [`Comm::exscan_in_place`], nonblocking; waiting gives the buffer back.
    #[track_caller]
    pub fn iexscan_in_place<T: Element, O: Op<T>>(
        &'scope self,
        data: &'scope mut [T],
        op: O,
    ) -> Result<Request<'scope, (&'scope mut [T],)>> {
        self.post_one(Site::of("iexscan_in_place"), in_place(data, op))
    }
}
