//! `barrier`: nobody goes on before everybody has come.

use super::raw::Part;
use super::{CollectivePlan, Comm, OwnedCollective, Result, Site};
use crate::comm::{Request, Scope};
use crate::engine::Call;

impl Comm {
    /// Returns when every rank has entered it.
    #[track_caller]
    #[inline]
    pub fn barrier(&self) -> Result<()> {
        self.perform(Site::of("barrier"), &Part::<u8>::new(Call::Barrier))
    }

    /// Enters a barrier; it is complete once every rank has entered it. No scope is needed.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let everybody = world.ibarrier_owned()?;
    ///     // work that the others need not wait for
    ///     everybody.wait()
    /// });
    /// ```
    #[track_caller]
    pub fn ibarrier_owned(&self) -> Result<OwnedCollective<()>> {
        self.post_owned(Site::of("ibarrier_owned"), (), |(), _| Ok(Part::new(Call::Barrier)))
    }

    /// A barrier to be entered again and again.
    #[track_caller]
    pub fn plan_barrier(&self) -> Result<CollectivePlan<()>> {
        self.store(Site::of("plan_barrier"), (), |(), _| Ok(Part::new(Call::Barrier)))
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Enters a barrier; it is complete once every rank has entered it.
    #[track_caller]
    pub fn ibarrier(&'scope self) -> Result<Request<'scope, ()>> {
        self.post_none(Site::of("ibarrier"), Part::new(Call::Barrier))
    }
}
