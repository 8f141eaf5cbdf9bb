//! `alltoallv`: every rank sends every rank a block, of any length.

use super::blocks::{Blocks, Scratch, Shelf};
use super::raw::Part;
use super::{CollectivePlan, Comm, Element, OwnedCollective, Result, Site, alltoall};
use crate::comm::{Request, Scope};
use crate::engine::Call;

#[inline(always)]
fn part<'b, 'l, T: Element>(
    comm: &Comm,
    site: Site,
    send: &'b [T],
    sent: Blocks<'_>,
    recv: &'b mut [T],
    received: Blocks<'_>,
    scratch: &'l mut Scratch,
) -> Result<Part<'b, 'l, T>> {
    let from = Shelf { what: "send", len: send.len() };
    let sent = comm.spans::<T>(site, from, sent, &mut scratch.send)?;
    let into = Shelf { what: "recv", len: recv.len() };
    let received = comm.apart::<T>(site, into, received, &mut scratch.recv, &mut scratch.order)?;
    let own = sent.spans[comm.rank()].len / size_of::<T>().max(1);
    comm.check_own::<T>(site, "recv", received, own)?;
    Ok(Part::new(Call::Alltoallv).reads(send).bring_spans(sent).writes(recv).take_spans(received))
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
    Ok(Part::new(Call::Alltoallv).writes(data).bring_in_place().take_spans(spans))
}

/// As [`part`], on a vector that is made to fit.
fn vectors<'b, 'l, T: Element>(
    comm: &Comm,
    site: Site,
    send: &'b [T],
    sent: Blocks<'_>,
    recv: &'b mut Vec<T>,
    received: Blocks<'_>,
    scratch: &'l mut Scratch,
) -> Result<Part<'b, 'l, T>> {
    comm.grow(site, recv, received)?;
    part(comm, site, send, sent, recv, received, scratch)
}

impl Comm {
    /// Sends block r of `send` to rank r, for every rank, and gives back what came, in rank order, with how many elements
    /// came from each. The ranks tell each other the lengths first; where they know them, [`Comm::alltoallv_into`]
    /// saves that.
    ///
    /// ```
    /// rankine::testing::ranks([3], |world| {
    ///     // Rank r sends r elements to rank 0, one to rank 1 and none to rank 2.
    ///     let me = world.rank();
    ///     let (got, counts) = world.alltoallv(&vec![me; me + 1], &[me, 1, 0])?;
    ///     assert_eq!(got, [vec![1, 2, 2], vec![0, 1, 2], vec![]][me]);
    ///     assert_eq!(counts, [[0, 1, 2], [1, 1, 1], [0, 0, 0]][me]);
    ///     Ok(())
    /// });
    /// ```
    #[track_caller]
    pub fn alltoallv<'a, T: Element>(
        &self,
        send: &[T],
        blocks: impl Into<Blocks<'a>>,
    ) -> Result<(Vec<T>, Vec<usize>)> {
        let (site, sent) = (Site::of("alltoallv"), blocks.into());
        let shelf = Shelf { what: "send", len: send.len() };
        self.scratch(|scratch| self.spans::<T>(site, shelf, sent, &mut scratch.send).map(drop))?;
        let mut counts = self.room(site, 1)?;
        self.perform(site, &alltoall::part(self, site, sent.counts, &mut counts)?)?;
        let received = Blocks::packed(&counts);
        let mut recv = vec![T::zeroed(); self.extent::<T>(site, "recv", received)?];
        self.scratch(|scratch| {
            self.perform(site, &part(self, site, send, sent, &mut recv, received, scratch)?)
        })?;
        Ok((recv, counts))
    }

    /// As [`Comm::alltoallv`], into the blocks `received` of `recv`. What lies between blocks is untouched.
    #[track_caller]
    pub fn alltoallv_into<'a, 'c, T: Element>(
        &self,
        send: &[T],
        sent: impl Into<Blocks<'a>>,
        recv: &mut [T],
        received: impl Into<Blocks<'c>>,
    ) -> Result<()> {
        let (site, sent, received) = (Site::of("alltoallv_into"), sent.into(), received.into());
        self.scratch(|scratch| self.perform(site, &part(self, site, send, sent, recv, received, scratch)?))
    }

    /// As [`Comm::alltoallv`], in one buffer: what came from rank r takes the place of what was sent to it, so between two
    /// ranks both blocks have one length.
    #[track_caller]
    pub fn alltoallv_in_place<'a, T: Element>(
        &self,
        data: &mut [T],
        blocks: impl Into<Blocks<'a>>,
    ) -> Result<()> {
        let (site, blocks) = (Site::of("alltoallv_in_place"), blocks.into());
        self.scratch(|scratch| self.perform(site, &in_place(self, site, data, blocks, scratch)?))
    }

    /// As [`Comm::alltoallv_into`], nonblocking, on vectors that [`OwnedCollective::wait`] gives back. `recv` grows if it
    /// is too short for its blocks.
    #[track_caller]
    pub fn ialltoallv_owned<'a, 'c, T: Element>(
        &self,
        send: Vec<T>,
        sent: impl Into<Blocks<'a>>,
        recv: Vec<T>,
        received: impl Into<Blocks<'c>>,
    ) -> Result<OwnedCollective<(Vec<T>, Vec<T>)>> {
        let (site, sent, received) = (Site::of("ialltoallv_owned"), sent.into(), received.into());
        self.post_owned(site, (send, recv), |(send, recv), scratch| {
            vectors(self, site, send, sent, recv, received, scratch)
        })
    }

    /// As [`Comm::ialltoallv_owned`], to be started again and again on the plan's own vectors.
    #[track_caller]
    pub fn plan_alltoallv<'a, 'c, T: Element>(
        &self,
        send: Vec<T>,
        sent: impl Into<Blocks<'a>>,
        recv: Vec<T>,
        received: impl Into<Blocks<'c>>,
    ) -> Result<CollectivePlan<(Vec<T>, Vec<T>)>> {
        let (site, sent, received) = (Site::of("plan_alltoallv"), sent.into(), received.into());
        self.store(site, (send, recv), |(send, recv), scratch| {
            vectors(self, site, send, sent, recv, received, scratch)
        })
    }
}

impl<'scope> Scope<'scope, '_> {
    /// As [`Comm::alltoallv_into`], nonblocking; waiting gives the buffers back.
    #[track_caller]
    pub fn ialltoallv<'a, 'c, T: Element>(
        &'scope self,
        send: &'scope [T],
        sent: impl Into<Blocks<'a>>,
        recv: &'scope mut [T],
        received: impl Into<Blocks<'c>>,
    ) -> Result<Request<'scope, (&'scope [T], &'scope mut [T])>> {
        let (comm, site) = (self.comm(), Site::of("ialltoallv"));
        let (sent, received) = (sent.into(), received.into());
        comm.scratch(|scratch| self.post_two(site, part(comm, site, send, sent, recv, received, scratch)?))
    }

    /// As [`Comm::alltoallv_in_place`], nonblocking; waiting gives the buffer back.
    #[track_caller]
    pub fn ialltoallv_in_place<'a, T: Element>(
        &'scope self,
        data: &'scope mut [T],
        blocks: impl Into<Blocks<'a>>,
    ) -> Result<Request<'scope, (&'scope mut [T],)>> {
        let (comm, site, blocks) = (self.comm(), Site::of("ialltoallv_in_place"), blocks.into());
        comm.scratch(|scratch| self.post_one(site, in_place(comm, site, data, blocks, scratch)?))
    }
}
