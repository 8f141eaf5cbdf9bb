//! `gatherv`: every rank's data, each of its own length, on one rank.

use super::blocks::{Blocks, Scratch, Shelf};
use super::raw::Part;
use super::{CollectivePlan, Comm, Element, OwnedCollective, Result, Site, gather};
use crate::comm::{Request, Scope};
use crate::engine::Call;

#[inline(always)]
fn part<'b, 'l, T: Element>(
    comm: &Comm,
    site: Site,
    send: &'b [T],
    recv: &'b mut [T],
    blocks: Blocks<'_>,
    root: usize,
    scratch: &'l mut Scratch,
) -> Result<Part<'b, 'l, T>> {
    comm.check_root(site, root)?;
    let part = Part::new(Call::Gatherv).root(root).reads(send).bring().writes(recv);
    if comm.rank() != root {
        return Ok(part);
    }
    let recv = Shelf { what: "recv", len: part.room() };
    let spans = comm.apart::<T>(site, recv, blocks, &mut scratch.recv, &mut scratch.order)?;
    comm.check_own::<T>(site, "recv", spans, send.len())?;
    Ok(part.take_spans(spans))
}

fn in_place<'b, 'l, T: Element>(
    comm: &Comm,
    site: Site,
    data: &'b mut [T],
    blocks: Blocks<'_>,
    root: usize,
    scratch: &'l mut Scratch,
) -> Result<Part<'b, 'l, T>> {
    comm.check_root(site, root)?;
    let part = Part::new(Call::Gatherv).root(root).writes(data);
    if comm.rank() != root {
        return Ok(part.reads_what_it_writes().bring());
    }
    let data = Shelf { what: "data", len: part.room() };
    let spans = comm.apart::<T>(site, data, blocks, &mut scratch.recv, &mut scratch.order)?;
    Ok(part.bring_in_place().take_spans(spans))
}

/// As [`part`], on a vector that is made to fit.
fn vectors<'b, 'l, T: Element>(
    comm: &Comm,
    site: Site,
    send: &'b [T],
    recv: &'b mut Vec<T>,
    blocks: Blocks<'_>,
    root: usize,
    scratch: &'l mut Scratch,
) -> Result<Part<'b, 'l, T>> {
    if comm.rank() == root {
        comm.grow(site, recv, blocks)?;
    }
    part(comm, site, send, recv, blocks, root, scratch)
}

impl Comm {
    /// Brings `send` of every rank, of any length, to `root`, which gets all of it in rank order and how many elements
    /// came from each rank; the others get `None`. The ranks tell the root their lengths first; where it knows them,
    /// [`Comm::gatherv_into`] saves that.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let mine = vec![world.rank() as u8; world.rank()];
    ///     if let Some((all, counts)) = world.gatherv(&mine, 0)? {
    ///         assert_eq!((&all[..], &counts[..]), (&[1, 2, 2][..world.size() * (world.size() - 1) / 2], &[0, 1, 2][..world.size()]));
    ///     }
    ///     Ok(())
    /// });
    /// ```
    #[track_caller]
    pub fn gatherv<T: Element>(&self, send: &[T], root: usize) -> Result<Option<(Vec<T>, Vec<usize>)>> {
        let site = Site::of("gatherv");
        let mut counts = if self.rank() == root { self.room(site, 1)? } else { Vec::new() };
        self.perform(site, &gather::part(self, site, &[send.len()], &mut counts, root)?)?;
        let blocks = Blocks::packed(&counts);
        let total = if self.rank() == root { self.extent::<T>(site, "recv", blocks)? } else { 0 };
        let mut all = vec![T::zeroed(); total];
        self.scratch(|scratch| {
            self.perform(site, &part(self, site, send, &mut all, blocks, root, scratch)?)
        })?;
        Ok((self.rank() == root).then_some((all, counts)))
    }

    /// As [`Comm::gatherv`], into the `blocks` of `recv` on `root`; elsewhere both are ignored and may be empty.
    #[track_caller]
    pub fn gatherv_into<'a, T: Element>(
        &self,
        send: &[T],
        recv: &mut [T],
        blocks: impl Into<Blocks<'a>>,
        root: usize,
    ) -> Result<()> {
        let (site, blocks) = (Site::of("gatherv_into"), blocks.into());
        self.scratch(|scratch| self.perform(site, &part(self, site, send, recv, blocks, root, scratch)?))
    }

    /// As [`Comm::gatherv_into`], in one buffer: on `root`, its own block of `data` is in its place already; elsewhere
    /// `data` is what the rank brings, and stays as it is.
    #[track_caller]
    pub fn gatherv_in_place<'a, T: Element>(
        &self,
        data: &mut [T],
        blocks: impl Into<Blocks<'a>>,
        root: usize,
    ) -> Result<()> {
        let (site, blocks) = (Site::of("gatherv_in_place"), blocks.into());
        self.scratch(|scratch| self.perform(site, &in_place(self, site, data, blocks, root, scratch)?))
    }

    /// As [`Comm::gatherv_into`], nonblocking, on vectors that [`OwnedCollective::wait`] gives back. On `root`, `recv`
    /// grows if it is too short for its blocks.
    #[track_caller]
    pub fn igatherv_owned<'a, T: Element>(
        &self,
        send: Vec<T>,
        recv: Vec<T>,
        blocks: impl Into<Blocks<'a>>,
        root: usize,
    ) -> Result<OwnedCollective<(Vec<T>, Vec<T>)>> {
        let (site, blocks) = (Site::of("igatherv_owned"), blocks.into());
        self.post_owned(site, (send, recv), |(send, recv), scratch| {
            vectors(self, site, send, recv, blocks, root, scratch)
        })
    }

    /// As [`Comm::igatherv_owned`], to be started again and again on the plan's own vectors.
    #[track_caller]
    pub fn plan_gatherv<'a, T: Element>(
        &self,
        send: Vec<T>,
        recv: Vec<T>,
        blocks: impl Into<Blocks<'a>>,
        root: usize,
    ) -> Result<CollectivePlan<(Vec<T>, Vec<T>)>> {
        let (site, blocks) = (Site::of("plan_gatherv"), blocks.into());
        self.store(site, (send, recv), |(send, recv), scratch| {
            vectors(self, site, send, recv, blocks, root, scratch)
        })
    }
}

impl<'scope> Scope<'scope, '_> {
    /// As [`Comm::gatherv_into`], nonblocking; waiting gives the buffers back.
    #[track_caller]
    pub fn igatherv<'a, T: Element>(
        &'scope self,
        send: &'scope [T],
        recv: &'scope mut [T],
        blocks: impl Into<Blocks<'a>>,
        root: usize,
    ) -> Result<Request<'scope, (&'scope [T], &'scope mut [T])>> {
        let (comm, site, blocks) = (self.comm(), Site::of("igatherv"), blocks.into());
        comm.scratch(|scratch| self.post_two(site, part(comm, site, send, recv, blocks, root, scratch)?))
    }

    /// As [`Comm::gatherv_in_place`], nonblocking; waiting gives the buffer back.
    #[track_caller]
    pub fn igatherv_in_place<'a, T: Element>(
        &'scope self,
        data: &'scope mut [T],
        blocks: impl Into<Blocks<'a>>,
        root: usize,
    ) -> Result<Request<'scope, (&'scope mut [T],)>> {
        let (comm, site, blocks) = (self.comm(), Site::of("igatherv_in_place"), blocks.into());
        comm.scratch(|scratch| self.post_one(site, in_place(comm, site, data, blocks, root, scratch)?))
    }
}
