//! Reductions that have a name of their own, because everybody writes them: all, any, and extremes with their rank.
//!
//! Each is one `allreduce`; reproducible sums are in `reproducible`.

use super::op::{And, Located, MaxLoc, MinLoc, Or};
use super::{Comm, Element};
use crate::error::Result;

impl Comm {
    /// Whether `flag` is true on every rank. Collective.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     assert!(world.all(world.rank() < world.size())?);
    ///     assert_eq!(world.all(world.rank() == 0)?, world.size() == 1);
    ///     assert!(world.any(world.rank() == 0)?);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// As [`Comm::allreduce`].
    #[track_caller]
    pub fn all(&self, flag: bool) -> Result<bool> {
        Ok(self.allreduce(u8::from(flag), And)? != 0)
    }

    /// Whether `flag` is true on at least one rank. Collective.
    ///
    /// # Errors
    /// As [`Comm::allreduce`].
    #[track_caller]
    pub fn any(&self, flag: bool) -> Result<bool> {
        Ok(self.allreduce(u8::from(flag), Or)? != 0)
    }

    /// The smallest `value` of all ranks and the rank that has it: the lowest among equals, the lowest with a NaN if
    /// there is one. Collective. [`MinLoc`] finds other places than ranks.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let (smallest, owner) = world.allreduce_minloc(-(world.rank() as f64))?;
    ///     assert_eq!((smallest, owner), (1.0 - world.size() as f64, world.size() - 1));
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// As [`Comm::allreduce`].
    #[track_caller]
    pub fn allreduce_minloc<T: Element + PartialOrd>(&self, value: T) -> Result<(T, usize)> {
        let found = self.allreduce(Located::new(value, self.rank()), MinLoc)?;
        Ok((found.value(), found.at()))
    }

    /// The largest `value` of all ranks and the rank that has it; as [`Comm::allreduce_minloc`].
    ///
    /// # Errors
    /// As [`Comm::allreduce`].
    #[track_caller]
    pub fn allreduce_maxloc<T: Element + PartialOrd>(&self, value: T) -> Result<(T, usize)> {
        let found = self.allreduce(Located::new(value, self.rank()), MaxLoc)?;
        Ok((found.value(), found.at()))
    }
}
