//! `alltoall`: every rank sends every rank a block, all of one length.

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
    let (len, size) = (comm.share(site, "send", send.len())?, comm.size());
    comm.check_len(site, "recv", recv.len(), send.len())?;
    Ok(Part::new(Call::Alltoall).reads(send).bring_each(len, size).writes(recv).take_each(len, size))
}

fn in_place<'b, 'l, T: Element>(comm: &Comm, site: Site, data: &'b mut [T]) -> Result<Part<'b, 'l, T>> {
    let len = comm.share(site, "data", data.len())?;
    Ok(Part::new(Call::Alltoall).writes(data).bring_in_place().take_each(len, comm.size()))
}

/// As [`part`], on a vector that is made to fit.
fn vectors<'b, 'l, T: Element>(
    comm: &Comm,
    site: Site,
    send: &'b [T],
    recv: &'b mut Vec<T>,
) -> Result<Part<'b, 'l, T>> {
    recv.resize(send.len(), T::zeroed());
    part(comm, site, send, recv)
}

impl Comm {
    /// Sends block r of `send` to rank r, for every rank, and gives back what came: block r is from rank r. All blocks of
    /// all ranks have one length.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3, 4], |world| {
    ///     let send: Vec<_> = (0..world.size()).map(|to| [world.rank(), to]).collect();
    ///     let recv = world.alltoall(&send)?;
    ///     assert!(recv.iter().enumerate().all(|(from, &x)| x == [from, world.rank()]));
    ///     Ok(())
    /// });
    /// ```
    #[track_caller]
    pub fn alltoall<T: Element>(&self, send: &[T]) -> Result<Vec<T>> {
        let site = Site::of("alltoall");
        let mut recv = vec![T::zeroed(); send.len()];
        self.perform(site, &part(self, site, send, &mut recv)?)?;
        Ok(recv)
    }

    /// As [`Comm::alltoall`], into `recv`, which is as long as `send`.
    #[track_caller]
    #[inline]
    pub fn alltoall_into<T: Element>(&self, send: &[T], recv: &mut [T]) -> Result<()> {
        let site = Site::of("alltoall_into");
        self.perform(site, &part(self, site, send, recv)?)
    }

    /// As [`Comm::alltoall`], in one buffer: what came from rank r takes the place of what was sent to it.
    #[track_caller]
    pub fn alltoall_in_place<T: Element>(&self, data: &mut [T]) -> Result<()> {
        let site = Site::of("alltoall_in_place");
        self.perform(site, &in_place(self, site, data)?)
    }

    /// As [`Comm::alltoall`], nonblocking, on vectors that [`OwnedCollective::wait`] gives back. `recv` is made as long as
    /// `send`, whatever it held.
    #[track_caller]
    pub fn ialltoall_owned<T: Element>(
        &self,
        send: Vec<T>,
        recv: Vec<T>,
    ) -> Result<OwnedCollective<(Vec<T>, Vec<T>)>> {
        let site = Site::of("ialltoall_owned");
        self.post_owned(site, (send, recv), |(send, recv), _| vectors(self, site, send, recv))
    }

    /// As [`Comm::ialltoall_owned`], to be started again and again on the plan's own vectors.
    #[track_caller]
    pub fn plan_alltoall<T: Element>(
        &self,
        send: Vec<T>,
        recv: Vec<T>,
    ) -> Result<CollectivePlan<(Vec<T>, Vec<T>)>> {
        let site = Site::of("plan_alltoall");
        self.store(site, (send, recv), |(send, recv), _| vectors(self, site, send, recv))
    }
}

impl<'scope> Scope<'scope, '_> {
    /// As [`Comm::alltoall_into`], nonblocking; waiting gives the buffers back.
    #[track_caller]
    pub fn ialltoall<T: Element>(
        &'scope self,
        send: &'scope [T],
        recv: &'scope mut [T],
    ) -> Result<Request<'scope, (&'scope [T], &'scope mut [T])>> {
        let site = Site::of("ialltoall");
        self.post_two(site, part(self.comm(), site, send, recv)?)
    }

    /// As [`Comm::alltoall_in_place`], nonblocking; waiting gives the buffer back.
    #[track_caller]
    pub fn ialltoall_in_place<T: Element>(
        &'scope self,
        data: &'scope mut [T],
    ) -> Result<Request<'scope, (&'scope mut [T],)>> {
        let site = Site::of("ialltoall_in_place");
        self.post_one(site, in_place(self.comm(), site, data)?)
    }
}
