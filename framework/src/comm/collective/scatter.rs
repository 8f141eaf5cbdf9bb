//! `scatter`: one rank's data, dealt out in blocks of one length.

use super::raw::Part;
use super::{CollectivePlan, Comm, Element, OwnedCollective, Result, Site, bcast};
use crate::comm::{Request, Scope};
use crate::engine::Call;

#[inline]
pub(super) fn part<'b, 'l, T: Element>(
    comm: &Comm,
    site: Site,
    send: &'b [T],
    recv: &'b mut [T],
    root: usize,
) -> Result<Part<'b, 'l, T>> {
    comm.check_root(site, root)?;
    let part = Part::new(Call::Scatter).root(root).reads(send).writes(recv).take();
    if comm.rank() != root {
        return Ok(part);
    }
    let len = part.room();
    comm.check_len(site, "send", send.len(), comm.total::<T>(site, len)?)?;
    Ok(part.bring_each(len, comm.size()))
}

fn in_place<'b, 'l, T: Element>(
    comm: &Comm,
    site: Site,
    data: &'b mut [T],
    root: usize,
) -> Result<Part<'b, 'l, T>> {
    comm.check_root(site, root)?;
    let part = Part::new(Call::Scatter).root(root).writes(data);
    if comm.rank() != root {
        return Ok(part.take());
    }
    let len = comm.share(site, "data", part.room())?;
    Ok(part.reads_what_it_writes().bring_each(len, comm.size()).take_in_place())
}

impl Comm {
    /// Deals `send` of `root` out, in rank order and in equal blocks; elsewhere `send` is ignored and may be empty. The
    /// root tells the ranks the length first; where they know it, [`Comm::scatter_into`] saves that.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let deck: Vec<usize> = if world.rank() == 0 { (0..2 * world.size()).collect() } else { Vec::new() };
    ///     let mine = world.scatter(&deck, 0)?;
    ///     assert_eq!(mine, [2 * world.rank(), 2 * world.rank() + 1]);
    ///     Ok(())
    /// });
    /// ```
    #[track_caller]
    pub fn scatter<T: Element>(&self, send: &[T], root: usize) -> Result<Vec<T>> {
        let site = Site::of("scatter");
        let mut len = [0];
        if self.rank() == root {
            len = [self.share(site, "send", send.len())?];
        }
        self.perform(site, &bcast::part(self, site, &mut len, root)?)?;
        let mut mine = vec![T::zeroed(); len[0]];
        self.perform(site, &part(self, site, send, &mut mine, root)?)?;
        Ok(mine)
    }

    /// As [`Comm::scatter`], into `recv`; on `root`, `send` has `recv.len() * size()` elements.
    #[track_caller]
    #[inline]
    pub fn scatter_into<T: Element>(&self, send: &[T], recv: &mut [T], root: usize) -> Result<()> {
        let site = Site::of("scatter_into");
        self.perform(site, &part(self, site, send, recv, root)?)
    }

    /// As [`Comm::scatter`], in one buffer: on `root`, `data` has a block for every rank and the root's own stays where
    /// it is; elsewhere `data` is filled with the rank's block.
    #[track_caller]
    pub fn scatter_in_place<T: Element>(&self, data: &mut [T], root: usize) -> Result<()> {
        let site = Site::of("scatter_in_place");
        self.perform(site, &in_place(self, site, data, root)?)
    }

    /// As [`Comm::scatter_into`], nonblocking, on vectors that [`OwnedCollective::wait`] gives back.
    #[track_caller]
    pub fn iscatter_owned<T: Element>(
        &self,
        send: Vec<T>,
        recv: Vec<T>,
        root: usize,
    ) -> Result<OwnedCollective<(Vec<T>, Vec<T>)>> {
        let site = Site::of("iscatter_owned");
        self.post_owned(site, (send, recv), |(send, recv), _| part(self, site, send, recv, root))
    }

    /// As [`Comm::iscatter_owned`], to be started again and again on the plan's own vectors.
    #[track_caller]
    pub fn plan_scatter<T: Element>(
        &self,
        send: Vec<T>,
        recv: Vec<T>,
        root: usize,
    ) -> Result<CollectivePlan<(Vec<T>, Vec<T>)>> {
        let site = Site::of("plan_scatter");
        self.store(site, (send, recv), |(send, recv), _| part(self, site, send, recv, root))
    }
}

impl<'scope> Scope<'scope, '_> {
    /// As [`Comm::scatter_into`], nonblocking; waiting gives the buffers back.
    #[track_caller]
    pub fn iscatter<T: Element>(
        &'scope self,
        send: &'scope [T],
        recv: &'scope mut [T],
        root: usize,
    ) -> Result<Request<'scope, (&'scope [T], &'scope mut [T])>> {
        let site = Site::of("iscatter");
        self.post_two(site, part(self.comm(), site, send, recv, root)?)
    }

    /// As [`Comm::scatter_in_place`], nonblocking; waiting gives the buffer back.
    #[track_caller]
    pub fn iscatter_in_place<T: Element>(
        &'scope self,
        data: &'scope mut [T],
        root: usize,
    ) -> Result<Request<'scope, (&'scope mut [T],)>> {
        let site = Site::of("iscatter_in_place");
        self.post_one(site, in_place(self.comm(), site, data, root)?)
    }
}
