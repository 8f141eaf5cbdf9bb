//! `bcast`: one rank's data on every rank.

use super::raw::Part;
use super::{CollectivePlan, Comm, Element, OwnedCollective, Result, Site};
use crate::comm::{Request, Scope};
use crate::engine::Call;

#[inline]
pub(super) fn part<'b, 'l, T: Element>(
    comm: &Comm,
    site: Site,
    data: &'b mut [T],
    root: usize,
) -> Result<Part<'b, 'l, T>> {
    comm.check_root(site, root)?;
    Ok(Part::new(Call::Bcast).root(root).writes(data).take())
}

impl Comm {
    /// Copies `data` of rank `root` into `data` of all others; every rank gives the same length.
    #[track_caller]
    #[inline]
    pub fn bcast<T: Element>(&self, data: &mut [T], root: usize) -> Result<()> {
        let site = Site::of("bcast");
        self.perform(site, &part(self, site, data, root)?)
    }

    /// As [`Comm::bcast`], nonblocking, on a vector that [`OwnedCollective::wait`] gives back.
    #[track_caller]
    pub fn ibcast_owned<T: Element>(&self, data: Vec<T>, root: usize) -> Result<OwnedCollective<Vec<T>>> {
        let site = Site::of("ibcast_owned");
        self.post_owned(site, data, |data, _| part(self, site, data, root))
    }

    /// As [`Comm::bcast`], to be started again and again on the plan's own vector.
    #[track_caller]
    pub fn plan_bcast<T: Element>(&self, data: Vec<T>, root: usize) -> Result<CollectivePlan<Vec<T>>> {
        let site = Site::of("plan_bcast");
        self.store(site, data, |data, _| part(self, site, data, root))
    }
}

impl<'scope> Scope<'scope, '_> {
    /// As [`Comm::bcast`], nonblocking; waiting gives the buffer back.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let mut parameters = [if world.rank() == 0 { 0.5 } else { 0.0 }; 4];
    ///     world.scope(|s| {
    ///         let sent = s.ibcast(&mut parameters, 0)?;
    ///         // work that needs no parameters
    ///         assert_eq!(sent.wait()?, [0.5; 4]);
    ///         Ok(())
    ///     })
    /// });
    /// ```
    ///
    /// Until then nobody can touch it:
    ///
    /// ```compile_fail,E0503
    /// rankine::testing::ranks([1], |world| {
    ///     let mut parameters = [0.5];
    ///     world.scope(|s| {
    ///         let sent = s.ibcast(&mut parameters, 0)?;
    ///         parameters[0] = 1.0;
    ///         sent.wait().map(drop)
    ///     })
    /// });
    /// ```
    #[track_caller]
    pub fn ibcast<T: Element>(
        &'scope self,
        data: &'scope mut [T],
        root: usize,
    ) -> Result<Request<'scope, (&'scope mut [T],)>> {
        let site = Site::of("ibcast");
        self.post_one(site, part(self.comm(), site, data, root)?)
    }
}
