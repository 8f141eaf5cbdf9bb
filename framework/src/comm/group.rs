//! Communicators from communicators: `split` and `dup`.

use super::Comm;
use crate::error::Result;
use std::panic::Location;

impl Comm {
    /// Ranks that give the same colour get a communicator together, ordered by `key`, then by their rank here;
    /// `None` gets none. Collective.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3, 4], |world| {
    ///     let half = world.split(Some((world.rank() % 2) as u32), 0)?.unwrap();
    ///     assert_eq!(half.rank(), world.rank() / 2);
    ///     Ok(())
    /// });
    /// ```
    #[track_caller]
    pub fn split(&self, color: Option<u32>, key: i64) -> Result<Option<Comm>> {
        let place = Location::caller();
        let part = self
            .engine()
            .split(color, key, place)
            .map_err(|fault| self.fault("split", place, fault, ("", 1)))?;
        Ok(part.map(|engine| Comm::new(engine, self.inner.clock.clone())))
    }

    /// The same ranks in a communicator of their own: its messages never meet those of this one. Collective.
    ///
    /// A library that gets a `Comm` from its caller sends on a duplicate.
    #[track_caller]
    pub fn dup(&self) -> Result<Comm> {
        let place = Location::caller();
        let engine = self.engine().dup(place).map_err(|fault| self.fault("dup", place, fault, ("", 1)))?;
        Ok(Comm::new(engine, self.inner.clock.clone()))
    }
}
