//! `reduce`: one answer of all ranks' data, on one rank.

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
    root: usize,
) -> Result<Part<'b, 'l, T>> {
    comm.check_root(site, root)?;
    let part = Part::new(Call::Reduce).root(root).op(op).reads(send).bring().writes(recv);
    if comm.rank() != root {
        return Ok(part);
    }
    comm.check_len(site, "recv", part.room(), send.len())?;
    Ok(part.take())
}

#[inline]
fn in_place<'b, 'l, T: Element, O: Op<T>>(
    comm: &Comm,
    site: Site,
    data: &'b mut [T],
    op: O,
    root: usize,
) -> Result<Part<'b, 'l, T>> {
    comm.check_root(site, root)?;
    let part = Part::new(Call::Reduce).root(root).op(op).writes(data);
    Ok(match comm.rank() == root {
        true => part.bring_in_place().take(),
        false => part.reads_what_it_writes().bring(),
    })
}

impl Comm {
    /// Combines one element of each rank; `root` gets the answer, the others `None`.
    #[track_caller]
    #[inline]
    pub fn reduce<T: Element>(&self, value: T, op: impl Op<T>, root: usize) -> Result<Option<T>> {
        let site = Site::of("reduce");
        let mut answer = [value];
        self.perform(site, &in_place(self, site, &mut answer, op, root)?)?;
        Ok((self.rank() == root).then_some(answer[0]))
    }

    /// Combines `send` of all ranks, element by element, into `recv` on `root`; `recv` is ignored elsewhere and may
    /// be empty there.
    #[track_caller]
    #[inline]
    pub fn reduce_into<T: Element>(
        &self,
        send: &[T],
        recv: &mut [T],
        op: impl Op<T>,
        root: usize,
    ) -> Result<()> {
        let site = Site::of("reduce_into");
        self.perform(site, &part(self, site, send, recv, op, root)?)
    }

    /// Combines `data` of all ranks, element by element, and leaves the answer in it on `root`; elsewhere it keeps what
    /// it had.
    #[track_caller]
    #[inline]
    pub fn reduce_in_place<T: Element>(&self, data: &mut [T], op: impl Op<T>, root: usize) -> Result<()> {
        let site = Site::of("reduce_in_place");
        self.perform(site, &in_place(self, site, data, op, root)?)
    }

    /// As [`Comm::reduce_in_place`], nonblocking, on a vector that [`OwnedCollective::wait`] gives back.
    #[track_caller]
    pub fn ireduce_owned<T: Element>(
        &self,
        data: Vec<T>,
        op: impl Op<T>,
        root: usize,
    ) -> Result<OwnedCollective<Vec<T>>> {
        let site = Site::of("ireduce_owned");
        self.post_owned(site, data, |data, _| in_place(self, site, data, op, root))
    }

    /// As [`Comm::reduce_in_place`], to be started again and again on the plan's own vector.
    #[track_caller]
    pub fn plan_reduce<T: Element>(
        &self,
        data: Vec<T>,
        op: impl Op<T>,
        root: usize,
    ) -> Result<CollectivePlan<Vec<T>>> {
        let site = Site::of("plan_reduce");
        self.store(site, data, |data, _| in_place(self, site, data, op, root))
    }
}

impl<'scope> Scope<'scope, '_> {
    /// As [`Comm::reduce_into`], nonblocking; waiting gives the buffers back.
    #[track_caller]
    pub fn ireduce<T: Element>(
        &'scope self,
        send: &'scope [T],
        recv: &'scope mut [T],
        op: impl Op<T>,
        root: usize,
    ) -> Result<Request<'scope, (&'scope [T], &'scope mut [T])>> {
        let site = Site::of("ireduce");
        self.post_two(site, part(self.comm(), site, send, recv, op, root)?)
    }

    /// As [`Comm::reduce_in_place`], nonblocking; waiting gives the buffer back.
    #[track_caller]
    pub fn ireduce_in_place<T: Element>(
        &'scope self,
        data: &'scope mut [T],
        op: impl Op<T>,
        root: usize,
    ) -> Result<Request<'scope, (&'scope mut [T],)>> {
        let site = Site::of("ireduce_in_place");
        self.post_one(site, in_place(self.comm(), site, data, op, root)?)
    }
}
