//! `reduce_scatter`: the answer of a reduction, dealt out in blocks of any length.

use super::blocks::{Blocks, Scratch, Shelf, Spans};
use super::raw::Part;
use super::{CollectivePlan, Comm, Element, OwnedCollective, Result, Site};
use crate::comm::{Op, Request, Scope};
use crate::engine::{Call, Span};

fn part<'b, 'l, T: Element, O: Op<T>>(
    comm: &Comm,
    site: Site,
    send: &'b [T],
    recv: &'b mut [T],
    counts: &[usize],
    op: O,
    scratch: &'l mut Scratch,
) -> Result<Part<'b, 'l, T>> {
    let spans = dealt::<T>(comm, site, Shelf { what: "send", len: send.len() }, counts, &mut scratch.send)?;
    comm.check_len(site, "recv", recv.len(), counts[comm.rank()])?;
    Ok(Part::new(Call::ReduceScatter).op(op).reads(send).bring_spans(spans).writes(recv).take())
}

fn in_place<'b, 'l, T: Element, O: Op<T>>(
    comm: &Comm,
    site: Site,
    data: &'b mut [T],
    counts: &[usize],
    op: O,
    scratch: &'l mut Scratch,
) -> Result<Part<'b, 'l, T>> {
    let spans = dealt::<T>(comm, site, Shelf { what: "data", len: data.len() }, counts, &mut scratch.recv)?;
    Ok(Part::new(Call::ReduceScatter).op(op).writes(data).bring_in_place().take_spans(spans))
}

/// The blocks of a buffer that is dealt out to its last element.
fn dealt<'l, T>(
    comm: &Comm,
    site: Site,
    shelf: Shelf<'_>,
    counts: &[usize],
    spans: &'l mut Vec<Span>,
) -> Result<Spans<'l>> {
    let blocks = Blocks::packed(counts);
    let total = comm.extent::<T>(site, shelf.what, blocks)?;
    comm.check_len(site, shelf.what, shelf.len, total)?;
    comm.spans::<T>(site, shelf, blocks, spans)
}

/// As [`part`], on a vector that is made to fit.
fn vectors<'b, 'l, T: Element, O: Op<T>>(
    comm: &Comm,
    site: Site,
    send: &'b [T],
    recv: &'b mut Vec<T>,
    counts: &[usize],
    op: O,
    scratch: &'l mut Scratch,
) -> Result<Part<'b, 'l, T>> {
    recv.resize(own(comm, counts, send.len()), T::zeroed());
    part(comm, site, send, recv, counts, op, scratch)
}

impl Comm {
    /// Combines `send` of all ranks, element by element, and gives rank r block r of the answer, of `counts[r]` elements;
    /// the blocks lie one after the other, and every rank gives the same counts.
    ///
    /// ```
    /// rankine::testing::ranks([3], |world| {
    ///     let mine = world.reduce_scatter(&[1, 10, 100, 1000], &[2, 0, 2], rankine::op::Sum)?;
    ///     assert_eq!(mine, [vec![3, 30], vec![], vec![300, 3000]][world.rank()]);
    ///     Ok(())
    /// });
    /// ```
    #[track_caller]
    pub fn reduce_scatter<T: Element, O: Op<T>>(
        &self,
        send: &[T],
        counts: &[usize],
        op: O,
    ) -> Result<Vec<T>> {
        let site = Site::of("reduce_scatter");
        let len = own(self, counts, send.len());
        let mut recv = vec![T::zeroed(); len];
        self.scratch(|scratch| self.perform(site, &part(self, site, send, &mut recv, counts, op, scratch)?))?;
        Ok(recv)
    }

    /// As [`Comm::reduce_scatter`], into `recv` of `counts[rank()]` elements.
    #[track_caller]
    pub fn reduce_scatter_into<T: Element, O: Op<T>>(
        &self,
        send: &[T],
        recv: &mut [T],
        counts: &[usize],
        op: O,
    ) -> Result<()> {
        let site = Site::of("reduce_scatter_into");
        self.scratch(|scratch| self.perform(site, &part(self, site, send, recv, counts, op, scratch)?))
    }

    /// As [`Comm::reduce_scatter`], in one buffer: the answer comes at the start of `data`, wherever the rank's block is.
    /// What the rest holds afterwards is not said.
    #[track_caller]
    pub fn reduce_scatter_in_place<T: Element, O: Op<T>>(
        &self,
        data: &mut [T],
        counts: &[usize],
        op: O,
    ) -> Result<()> {
        let site = Site::of("reduce_scatter_in_place");
        self.scratch(|scratch| self.perform(site, &in_place(self, site, data, counts, op, scratch)?))
    }

    /// As [`Comm::reduce_scatter`], nonblocking, on vectors that [`OwnedCollective::wait`] gives back. `recv` is made as
    /// long as it must be, whatever it held.
    #[track_caller]
    pub fn ireduce_scatter_owned<T: Element, O: Op<T>>(
        &self,
        send: Vec<T>,
        recv: Vec<T>,
        counts: &[usize],
        op: O,
    ) -> Result<OwnedCollective<(Vec<T>, Vec<T>)>> {
        let site = Site::of("ireduce_scatter_owned");
        self.post_owned(site, (send, recv), |(send, recv), scratch| {
            vectors(self, site, send, recv, counts, op, scratch)
        })
    }

    /// As [`Comm::ireduce_scatter_owned`], to be started again and again on the plan's own vectors.
    #[track_caller]
    pub fn plan_reduce_scatter<T: Element, O: Op<T>>(
        &self,
        send: Vec<T>,
        recv: Vec<T>,
        counts: &[usize],
        op: O,
    ) -> Result<CollectivePlan<(Vec<T>, Vec<T>)>> {
        let site = Site::of("plan_reduce_scatter");
        self.store(site, (send, recv), |(send, recv), scratch| {
            vectors(self, site, send, recv, counts, op, scratch)
        })
    }
}

/// This rank's count, if it can be one; what is wrong with it is found by [`dealt`].
fn own(comm: &Comm, counts: &[usize], most: usize) -> usize {
    counts.get(comm.rank()).copied().filter(|&len| len <= most).unwrap_or(0)
}

impl<'scope> Scope<'scope, '_> {
    /// As [`Comm::reduce_scatter_into`], nonblocking; waiting gives the buffers back.
    #[track_caller]
    pub fn ireduce_scatter<T: Element, O: Op<T>>(
        &'scope self,
        send: &'scope [T],
        recv: &'scope mut [T],
        counts: &[usize],
        op: O,
    ) -> Result<Request<'scope, (&'scope [T], &'scope mut [T])>> {
        let (comm, site) = (self.comm(), Site::of("ireduce_scatter"));
        comm.scratch(|scratch| self.post_two(site, part(comm, site, send, recv, counts, op, scratch)?))
    }

    /// As [`Comm::reduce_scatter_in_place`], nonblocking; waiting gives the buffer back.
    #[track_caller]
    pub fn ireduce_scatter_in_place<T: Element, O: Op<T>>(
        &'scope self,
        data: &'scope mut [T],
        counts: &[usize],
        op: O,
    ) -> Result<Request<'scope, (&'scope mut [T],)>> {
        let (comm, site) = (self.comm(), Site::of("ireduce_scatter_in_place"));
        comm.scratch(|scratch| self.post_one(site, in_place(comm, site, data, counts, op, scratch)?))
    }
}
