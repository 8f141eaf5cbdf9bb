//! `allreduce`: one answer of all ranks' data, on every rank.

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
    Ok(Part::new(Call::Allreduce).reads(send).bring().writes(recv).take().op(op))
}

#[inline]
fn in_place<'b, 'l, T: Element, O: Op<T>>(data: &'b mut [T], op: O) -> Part<'b, 'l, T> {
    Part::new(Call::Allreduce).writes(data).bring_in_place().take().op(op)
}

impl Comm {
    /// Combines one element of each rank; every rank gets the same answer, to the bit.
    ///
    /// ```
    /// use rankine::op::{Max, Sum};
    /// rankine::testing::ranks([1, 2, 3, 4], |world| {
    ///     let n = world.size();
    ///     assert_eq!(world.allreduce(world.rank(), Sum)?, n * (n - 1) / 2);
    ///     assert_eq!(world.allreduce([world.rank() as f64, -1.0], Max)?, [n as f64 - 1.0, -1.0]);
    ///     Ok(())
    /// });
    /// ```
    #[track_caller]
    #[inline]
    pub fn allreduce<T: Element, O: Op<T>>(&self, value: T, op: O) -> Result<T> {
        let mut answer = [value];
        self.perform(Site::of("allreduce"), &in_place(&mut answer, op))?;
        Ok(answer[0])
    }

    /// Combines `send` of all ranks, element by element, into `recv` on every rank.
    #[track_caller]
    #[inline]
    pub fn allreduce_into<T: Element, O: Op<T>>(&self, send: &[T], recv: &mut [T], op: O) -> Result<()> {
        let site = Site::of("allreduce_into");
        self.perform(site, &part(self, site, send, recv, op)?)
    }

    /// Combines `data` of all ranks, element by element, and leaves the answer in it on every rank.
    #[track_caller]
    #[inline]
    pub fn allreduce_in_place<T: Element, O: Op<T>>(&self, data: &mut [T], op: O) -> Result<()> {
        self.perform(Site::of("allreduce_in_place"), &in_place(data, op))
    }

    /// As [`Comm::allreduce_in_place`], nonblocking, on a vector that [`OwnedCollective::wait`] gives back.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let sum = world.iallreduce_owned(vec![1, world.rank()], rankine::op::Sum)?;
    ///     // work that does not need the sum
    ///     assert_eq!(sum.wait()?[0], world.size());
    ///     Ok(())
    /// });
    /// ```
    #[track_caller]
    pub fn iallreduce_owned<T: Element, O: Op<T>>(
        &self,
        data: Vec<T>,
        op: O,
    ) -> Result<OwnedCollective<Vec<T>>> {
        self.post_owned(Site::of("iallreduce_owned"), data, |data, _| Ok(in_place(data, op)))
    }

    /// As [`Comm::allreduce_in_place`], to be started again and again on the plan's own vector; see [`CollectivePlan`].
    #[track_caller]
    pub fn plan_allreduce<T: Element, O: Op<T>>(
        &self,
        data: Vec<T>,
        op: O,
    ) -> Result<CollectivePlan<Vec<T>>> {
        self.store(Site::of("plan_allreduce"), data, |data, _| Ok(in_place(data, op)))
    }
}

impl<'scope> Scope<'scope, '_> {
    /// As [`Comm::allreduce_into`], nonblocking; waiting gives the buffers back.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let (mine, mut sum) = ([1.0, world.rank() as f64], [0.0; 2]);
    ///     world.scope(|s| {
    ///         let r = s.iallreduce(&mine, &mut sum, rankine::op::Sum)?;
    ///         // work that does not need the sum
    ///         let (_, sum) = r.wait()?;
    ///         assert_eq!(sum[0], world.size() as f64);
    ///         Ok(())
    ///     })
    /// });
    /// ```
    #[track_caller]
    pub fn iallreduce<T: Element, O: Op<T>>(
        &'scope self,
        send: &'scope [T],
        recv: &'scope mut [T],
        op: O,
    ) -> Result<Request<'scope, (&'scope [T], &'scope mut [T])>> {
        let site = Site::of("iallreduce");
        self.post_two(site, part(self.comm(), site, send, recv, op)?)
    }

    /// As [`Comm::allreduce_in_place`], nonblocking; waiting gives the buffer back.
    #[track_caller]
    pub fn iallreduce_in_place<T: Element, O: Op<T>>(
        &'scope self,
        data: &'scope mut [T],
        op: O,
    ) -> Result<Request<'scope, (&'scope mut [T],)>> {
        self.post_one(Site::of("iallreduce_in_place"), in_place(data, op))
    }
}
