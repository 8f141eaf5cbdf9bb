//! `scatterv`: one rank's data, dealt out in blocks of any length.

use super::blocks::{Blocks, Scratch, Shelf};
use super::raw::Part;
use super::{CollectivePlan, Comm, Element, OwnedCollective, Result, Site, scatter};
use crate::comm::{Request, Scope};
use crate::engine::Call;

#[inline(always)]
fn part<'b, 'l, T: Element>(
    comm: &Comm,
    site: Site,
    send: &'b [T],
    blocks: Blocks<'_>,
    recv: &'b mut [T],
    root: usize,
    scratch: &'l mut Scratch,
) -> Result<Part<'b, 'l, T>> {
    comm.check_root(site, root)?;
    let part = Part::new(Call::Scatterv).root(root).reads(send).writes(recv).take();
    if comm.rank() != root {
        return Ok(part);
    }
    let spans = comm.spans::<T>(site, Shelf { what: "send", len: send.len() }, blocks, &mut scratch.send)?;
    comm.check_len(site, "recv", part.room(), blocks.counts[root])?;
    Ok(part.bring_spans(spans))
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
    let part = Part::new(Call::Scatterv).root(root).writes(data);
    if comm.rank() != root {
        return Ok(part.take());
    }
    let data = Shelf { what: "data", len: part.room() };
    let spans = comm.spans::<T>(site, data, blocks, &mut scratch.send)?;
    Ok(part.reads_what_it_writes().bring_spans(spans).take_in_place())
}

impl Comm {
    /// Deals the `blocks` of `send` of `root` out, one to each rank; elsewhere both are ignored and may be empty. The root
    /// tells the ranks their lengths first; where they know them, [`Comm::scatterv_into`] saves that.
    ///
    /// ```
    /// rankine::testing::ranks([3], |world| {
    ///     let mine = match world.rank() {
    ///         0 => world.scatterv(&[7, 7, 8], &[2, 1, 0], 0)?,
    ///         _ => world.scatterv(&[], &[], 0)?,
    ///     };
    ///     assert_eq!(mine, [vec![7, 7], vec![8], vec![]][world.rank()]);
    ///     Ok(())
    /// });
    /// ```
    #[track_caller]
    pub fn scatterv<'a, T: Element>(
        &self,
        send: &[T],
        blocks: impl Into<Blocks<'a>>,
        root: usize,
    ) -> Result<Vec<T>> {
        let (site, blocks) = (Site::of("scatterv"), blocks.into());
        if self.rank() == root {
            let send = Shelf { what: "send", len: send.len() };
            self.scratch(|scratch| self.spans::<T>(site, send, blocks, &mut scratch.send).map(drop))?;
        }
        let mut len = [0];
        self.perform(site, &scatter::part(self, site, blocks.counts, &mut len, root)?)?;
        let mut mine = vec![T::zeroed(); len[0]];
        self.scratch(|scratch| {
            self.perform(site, &part(self, site, send, blocks, &mut mine, root, scratch)?)
        })?;
        Ok(mine)
    }

    /// As [`Comm::scatterv`], into `recv`, which is as long as the root's block for this rank.
    #[track_caller]
    pub fn scatterv_into<'a, T: Element>(
        &self,
        send: &[T],
        blocks: impl Into<Blocks<'a>>,
        recv: &mut [T],
        root: usize,
    ) -> Result<()> {
        let (site, blocks) = (Site::of("scatterv_into"), blocks.into());
        self.scratch(|scratch| self.perform(site, &part(self, site, send, blocks, recv, root, scratch)?))
    }

    /// As [`Comm::scatterv`], in one buffer: on `root`, its own block stays where it is in `data`; elsewhere `data` is
    /// filled with the rank's block.
    #[track_caller]
    pub fn scatterv_in_place<'a, T: Element>(
        &self,
        data: &mut [T],
        blocks: impl Into<Blocks<'a>>,
        root: usize,
    ) -> Result<()> {
        let (site, blocks) = (Site::of("scatterv_in_place"), blocks.into());
        self.scratch(|scratch| self.perform(site, &in_place(self, site, data, blocks, root, scratch)?))
    }

    /// As [`Comm::scatterv_into`], nonblocking, on vectors that [`OwnedCollective::wait`] gives back.
    #[track_caller]
    pub fn iscatterv_owned<'a, T: Element>(
        &self,
        send: Vec<T>,
        blocks: impl Into<Blocks<'a>>,
        recv: Vec<T>,
        root: usize,
    ) -> Result<OwnedCollective<(Vec<T>, Vec<T>)>> {
        let (site, blocks) = (Site::of("iscatterv_owned"), blocks.into());
        self.post_owned(site, (send, recv), |(send, recv), scratch| {
            part(self, site, send, blocks, recv, root, scratch)
        })
    }

    /// As [`Comm::iscatterv_owned`], to be started again and again on the plan's own vectors.
    #[track_caller]
    pub fn plan_scatterv<'a, T: Element>(
        &self,
        send: Vec<T>,
        blocks: impl Into<Blocks<'a>>,
        recv: Vec<T>,
        root: usize,
    ) -> Result<CollectivePlan<(Vec<T>, Vec<T>)>> {
        let (site, blocks) = (Site::of("plan_scatterv"), blocks.into());
        self.store(site, (send, recv), |(send, recv), scratch| {
            part(self, site, send, blocks, recv, root, scratch)
        })
    }
}

impl<'scope> Scope<'scope, '_> {
    /// As [`Comm::scatterv_into`], nonblocking; waiting gives the buffers back.
    #[track_caller]
    pub fn iscatterv<'a, T: Element>(
        &'scope self,
        send: &'scope [T],
        blocks: impl Into<Blocks<'a>>,
        recv: &'scope mut [T],
        root: usize,
    ) -> Result<Request<'scope, (&'scope [T], &'scope mut [T])>> {
        let (comm, site, blocks) = (self.comm(), Site::of("iscatterv"), blocks.into());
        comm.scratch(|scratch| self.post_two(site, part(comm, site, send, blocks, recv, root, scratch)?))
    }

    /// As [`Comm::scatterv_in_place`], nonblocking; waiting gives the buffer back.
    #[track_caller]
    pub fn iscatterv_in_place<'a, T: Element>(
        &'scope self,
        data: &'scope mut [T],
        blocks: impl Into<Blocks<'a>>,
        root: usize,
    ) -> Result<Request<'scope, (&'scope mut [T],)>> {
        let (comm, site, blocks) = (self.comm(), Site::of("iscatterv_in_place"), blocks.into());
        comm.scratch(|scratch| self.post_one(site, in_place(comm, site, data, blocks, root, scratch)?))
    }
}
