//! `allgather`: every rank's data, all of one length, on every rank.

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
) -> Result<Part<'b, 'l, T>> {
    comm.check_len(site, "recv", recv.len(), comm.total::<T>(site, send.len())?)?;
    Ok(Part::new(Call::Allgather).reads(send).bring().writes(recv).take_each(send.len(), comm.size()))
}

fn in_place<'b, 'l, T: Element>(comm: &Comm, site: Site, data: &'b mut [T]) -> Result<Part<'b, 'l, T>> {
    let len = comm.share(site, "data", data.len())?;
    Ok(Part::new(Call::Allgather).writes(data).bring_in_place().take_each(len, comm.size()))
}

/// As [`part`], on a vector that is made to fit.
fn vectors<'b, 'l, T: Element>(
    comm: &Comm,
    site: Site,
    send: &'b [T],
    recv: &'b mut Vec<T>,
) -> Result<Part<'b, 'l, T>> {
    comm.fit(site, recv, send.len())?;
    part(comm, site, send, recv)
}

impl Comm {
    /// Brings `send` of every rank, all of one length, to every rank in rank order.
    #[track_caller]
    pub fn allgather<T: Element>(&self, send: &[T]) -> Result<Vec<T>> {
        let site = Site::of("allgather");
        let mut all = self.room(site, send.len())?;
        self.perform(site, &part(self, site, send, &mut all)?)?;
        Ok(all)
    }

    /// As [`Comm::allgather`], into `recv` of `send.len() * size()` elements.
    #[track_caller]
    #[inline]
    pub fn allgather_into<T: Element>(&self, send: &[T], recv: &mut [T]) -> Result<()> {
        let site = Site::of("allgather_into");
        self.perform(site, &part(self, site, send, recv)?)
    }

    /// As [`Comm::allgather`], in one buffer that has a block for every rank; this rank's is in its place already.
    #[track_caller]
    pub fn allgather_in_place<T: Element>(&self, data: &mut [T]) -> Result<()> {
        let site = Site::of("allgather_in_place");
        self.perform(site, &in_place(self, site, data)?)
    }

    /// As [`Comm::allgather`], nonblocking, on vectors that [`OwnedCollective::wait`] gives back. `recv` is made as long
    /// as it must be, whatever it held.
    #[track_caller]
    pub fn iallgather_owned<T: Element>(
        &self,
        send: Vec<T>,
        recv: Vec<T>,
    ) -> Result<OwnedCollective<(Vec<T>, Vec<T>)>> {
        let site = Site::of("iallgather_owned");
        self.post_owned(site, (send, recv), |(send, recv), _| vectors(self, site, send, recv))
    }

    /// As [`Comm::iallgather_owned`], to be started again and again on the plan's own vectors.
    #[track_caller]
    pub fn plan_allgather<T: Element>(
        &self,
        send: Vec<T>,
        recv: Vec<T>,
    ) -> Result<CollectivePlan<(Vec<T>, Vec<T>)>> {
        let site = Site::of("plan_allgather");
        self.store(site, (send, recv), |(send, recv), _| vectors(self, site, send, recv))
    }
}

impl<'scope> Scope<'scope, '_> {
    /// As [`Comm::allgather_into`], nonblocking; waiting gives the buffers back.
    #[track_caller]
    pub fn iallgather<T: Element>(
        &'scope self,
        send: &'scope [T],
        recv: &'scope mut [T],
    ) -> Result<Request<'scope, (&'scope [T], &'scope mut [T])>> {
        let site = Site::of("iallgather");
        self.post_two(site, part(self.comm(), site, send, recv)?)
    }

    /// As [`Comm::allgather_in_place`], nonblocking; waiting gives the buffer back.
    #[track_caller]
    pub fn iallgather_in_place<T: Element>(
        &'scope self,
        data: &'scope mut [T],
    ) -> Result<Request<'scope, (&'scope mut [T],)>> {
        let site = Site::of("iallgather_in_place");
        self.post_one(site, in_place(self.comm(), site, data)?)
    }
}
