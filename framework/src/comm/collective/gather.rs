//! `gather`: every rank's data, all of one length, on one rank.

use super::raw::Part;
use super::{CollectivePlan, Comm, Element, OwnedCollective, Result, Site};
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
    let part = Part::new(Call::Gather).root(root).reads(send).bring().writes(recv);
    if comm.rank() != root {
        return Ok(part);
    }
    comm.check_len(site, "recv", part.room(), comm.total::<T>(site, send.len())?)?;
    Ok(part.take_each(send.len(), comm.size()))
}

fn in_place<'b, 'l, T: Element>(
    comm: &Comm,
    site: Site,
    data: &'b mut [T],
    root: usize,
) -> Result<Part<'b, 'l, T>> {
    comm.check_root(site, root)?;
    let part = Part::new(Call::Gather).root(root).writes(data);
    if comm.rank() != root {
        return Ok(part.reads_what_it_writes().bring());
    }
    let len = comm.share(site, "data", part.room())?;
    Ok(part.bring_in_place().take_each(len, comm.size()))
}

/// As [`part`], on a vector that is made to fit.
fn vectors<'b, 'l, T: Element>(
    comm: &Comm,
    site: Site,
    send: &'b [T],
    recv: &'b mut Vec<T>,
    root: usize,
) -> Result<Part<'b, 'l, T>> {
    if comm.rank() == root {
        comm.fit(site, recv, send.len())?;
    }
    part(comm, site, send, recv, root)
}

impl Comm {
    /// Brings `send` of every rank, all of one length, to `root` in rank order; the others get `None`.
    #[track_caller]
    pub fn gather<T: Element>(&self, send: &[T], root: usize) -> Result<Option<Vec<T>>> {
        let site = Site::of("gather");
        let mut all = if self.rank() == root { self.room(site, send.len())? } else { Vec::new() };
        self.perform(site, &part(self, site, send, &mut all, root)?)?;
        Ok((self.rank() == root).then_some(all))
    }

    /// As [`Comm::gather`], into `recv` on `root`, of `send.len() * size()` elements; elsewhere it may be empty.
    #[track_caller]
    #[inline]
    pub fn gather_into<T: Element>(&self, send: &[T], recv: &mut [T], root: usize) -> Result<()> {
        let site = Site::of("gather_into");
        self.perform(site, &part(self, site, send, recv, root)?)
    }

    /// As [`Comm::gather`], in one buffer: on `root`, `data` has a block for every rank and the root's own is in its
    /// place already; elsewhere it is what the rank brings, and stays as it is.
    #[track_caller]
    pub fn gather_in_place<T: Element>(&self, data: &mut [T], root: usize) -> Result<()> {
        let site = Site::of("gather_in_place");
        self.perform(site, &in_place(self, site, data, root)?)
    }

    /// As [`Comm::gather`], nonblocking, on vectors that [`OwnedCollective::wait`] gives back. On `root`, `recv` is made
    /// as long as it must be, whatever it held; elsewhere it is left alone and may be empty.
    #[track_caller]
    pub fn igather_owned<T: Element>(
        &self,
        send: Vec<T>,
        recv: Vec<T>,
        root: usize,
    ) -> Result<OwnedCollective<(Vec<T>, Vec<T>)>> {
        let site = Site::of("igather_owned");
        self.post_owned(site, (send, recv), |(send, recv), _| vectors(self, site, send, recv, root))
    }

    /// As [`Comm::igather_owned`], to be started again and again on the plan's own vectors.
    #[track_caller]
    pub fn plan_gather<T: Element>(
        &self,
        send: Vec<T>,
        recv: Vec<T>,
        root: usize,
    ) -> Result<CollectivePlan<(Vec<T>, Vec<T>)>> {
        let site = Site::of("plan_gather");
        self.store(site, (send, recv), |(send, recv), _| vectors(self, site, send, recv, root))
    }
}

impl<'scope> Scope<'scope, '_> {
    /// As [`Comm::gather_into`], nonblocking; waiting gives the buffers back.
    #[track_caller]
    pub fn igather<T: Element>(
        &'scope self,
        send: &'scope [T],
        recv: &'scope mut [T],
        root: usize,
    ) -> Result<Request<'scope, (&'scope [T], &'scope mut [T])>> {
        let site = Site::of("igather");
        self.post_two(site, part(self.comm(), site, send, recv, root)?)
    }

    /// As [`Comm::gather_in_place`], nonblocking; waiting gives the buffer back.
    #[track_caller]
    pub fn igather_in_place<T: Element>(
        &'scope self,
        data: &'scope mut [T],
        root: usize,
    ) -> Result<Request<'scope, (&'scope mut [T],)>> {
        let site = Site::of("igather_in_place");
        self.post_one(site, in_place(self.comm(), site, data, root)?)
    }
}
