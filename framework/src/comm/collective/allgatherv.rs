//! `allgatherv`: every rank's data, each of its own length, on every rank.

use super::blocks::{Blocks, Scratch, Shelf};
use super::raw::Part;
use super::{CollectivePlan, Comm, Element, OwnedCollective, Result, Site, allgather};
use crate::comm::{Request, Scope};
use crate::engine::Call;

#[inline(always)]
fn part<'b, 'l, T: Element>(
    comm: &Comm,
    site: Site,
    send: &'b [T],
    recv: &'b mut [T],
    blocks: Blocks<'_>,
    scratch: &'l mut Scratch,
) -> Result<Part<'b, 'l, T>> {
    let shelf = Shelf { what: "recv", len: recv.len() };
    let spans = comm.apart::<T>(site, shelf, blocks, &mut scratch.recv, &mut scratch.order)?;
    comm.check_own::<T>(site, "recv", spans, send.len())?;
    Ok(Part::new(Call::Allgatherv).reads(send).bring().writes(recv).take_spans(spans))
}

fn in_place<'b, 'l, T: Element>(
    comm: &Comm,
    site: Site,
    data: &'b mut [T],
    blocks: Blocks<'_>,
    scratch: &'l mut Scratch,
) -> Result<Part<'b, 'l, T>> {
    let shelf = Shelf { what: "data", len: data.len() };
    let spans = comm.apart::<T>(site, shelf, blocks, &mut scratch.recv, &mut scratch.order)?;
    Ok(Part::new(Call::Allgatherv).writes(data).bring_in_place().take_spans(spans))
}

/// As [`part`], on a vector that is made to fit.
fn vectors<'b, 'l, T: Element>(
    comm: &Comm,
    site: Site,
    send: &'b [T],
    recv: &'b mut Vec<T>,
    blocks: Blocks<'_>,
    scratch: &'l mut Scratch,
) -> Result<Part<'b, 'l, T>> {
    comm.grow(site, recv, blocks)?;
    part(comm, site, send, recv, blocks, scratch)
}

impl Comm {
    /// Brings `send` of every rank, of any length, to every rank in rank order, with how many elements came from each. The
    /// ranks tell each other their lengths first; where they know them, [`Comm::allgatherv_into`] saves that.
    ///
    /// ```
    /// rankine::testing::ranks([3], |world| {
    ///     let mine = vec![world.rank() as u8; world.rank()];
    ///     assert_eq!(world.allgatherv(&mine)?, (vec![1, 2, 2], vec![0, 1, 2]));
    ///     Ok(())
    /// });
    /// ```
    #[track_caller]
    pub fn allgatherv<T: Element>(&self, send: &[T]) -> Result<(Vec<T>, Vec<usize>)> {
        let site = Site::of("allgatherv");
        let mut counts = self.room(site, 1)?;
        self.perform(site, &allgather::part(self, site, &[send.len()], &mut counts)?)?;
        let blocks = Blocks::packed(&counts);
        let mut all = vec![T::zeroed(); self.extent::<T>(site, "recv", blocks)?];
        self.scratch(|scratch| self.perform(site, &part(self, site, send, &mut all, blocks, scratch)?))?;
        Ok((all, counts))
    }

    /// As [`Comm::allgatherv`], into the `blocks` of `recv`. What lies between blocks is untouched.
    #[track_caller]
    pub fn allgatherv_into<'a, T: Element>(
        &self,
        send: &[T],
        recv: &mut [T],
        blocks: impl Into<Blocks<'a>>,
    ) -> Result<()> {
        let (site, blocks) = (Site::of("allgatherv_into"), blocks.into());
        self.scratch(|scratch| self.perform(site, &part(self, site, send, recv, blocks, scratch)?))
    }

    /// As [`Comm::allgatherv_into`], in one buffer: this rank's block of `data` is in its place already.
    #[track_caller]
    pub fn allgatherv_in_place<'a, T: Element>(
        &self,
        data: &mut [T],
        blocks: impl Into<Blocks<'a>>,
    ) -> Result<()> {
        let (site, blocks) = (Site::of("allgatherv_in_place"), blocks.into());
        self.scratch(|scratch| self.perform(site, &in_place(self, site, data, blocks, scratch)?))
    }

    /// As [`Comm::allgatherv_into`], nonblocking, on vectors that [`OwnedCollective::wait`] gives back. `recv` grows if it
    /// is too short for its blocks.
    #[track_caller]
    pub fn iallgatherv_owned<'a, T: Element>(
        &self,
        send: Vec<T>,
        recv: Vec<T>,
        blocks: impl Into<Blocks<'a>>,
    ) -> Result<OwnedCollective<(Vec<T>, Vec<T>)>> {
        let (site, blocks) = (Site::of("iallgatherv_owned"), blocks.into());
        self.post_owned(site, (send, recv), |(send, recv), scratch| {
            vectors(self, site, send, recv, blocks, scratch)
        })
    }

    /// As [`Comm::iallgatherv_owned`], to be started again and again on the plan's own vectors.
    #[track_caller]
    pub fn plan_allgatherv<'a, T: Element>(
        &self,
        send: Vec<T>,
        recv: Vec<T>,
        blocks: impl Into<Blocks<'a>>,
    ) -> Result<CollectivePlan<(Vec<T>, Vec<T>)>> {
        let (site, blocks) = (Site::of("plan_allgatherv"), blocks.into());
        self.store(site, (send, recv), |(send, recv), scratch| {
            vectors(self, site, send, recv, blocks, scratch)
        })
    }
}

impl<'scope> Scope<'scope, '_> {
    /// As [`Comm::allgatherv_into`], nonblocking; waiting gives the buffers back.
    #[track_caller]
    pub fn iallgatherv<'a, T: Element>(
        &'scope self,
        send: &'scope [T],
        recv: &'scope mut [T],
        blocks: impl Into<Blocks<'a>>,
    ) -> Result<Request<'scope, (&'scope [T], &'scope mut [T])>> {
        let (comm, site, blocks) = (self.comm(), Site::of("iallgatherv"), blocks.into());
        comm.scratch(|scratch| self.post_two(site, part(comm, site, send, recv, blocks, scratch)?))
    }

    /// As [`Comm::allgatherv_in_place`], nonblocking; waiting gives the buffer back.
    #[track_caller]
    pub fn iallgatherv_in_place<'a, T: Element>(
        &'scope self,
        data: &'scope mut [T],
        blocks: impl Into<Blocks<'a>>,
    ) -> Result<Request<'scope, (&'scope mut [T],)>> {
        let (comm, site, blocks) = (self.comm(), Site::of("iallgatherv_in_place"), blocks.into());
        comm.scratch(|scratch| self.post_one(site, in_place(comm, site, data, blocks, scratch)?))
    }
}
