//! The handle of a nonblocking collective that owns its buffers.
//!
//! What starts one is in the file of each family; the engine's side of it is `Owned` in `comm/request`.

use super::Vectors;
use crate::comm::many::sealed::{Failed, How, Look, Maker, Pending, Traced};
use crate::comm::request::{Owned, Test};
use crate::error::Result;
use std::panic::Location;

/// A collective under way that owns its buffers, from calls like [`Comm::iallreduce_owned`](crate::Comm::iallreduce_owned).
///
/// Waiting gives back what went in: one vector, two (the one sent from and the one received into), or `()`. Drop it and it
/// is taken back where the engine can, else its vectors leak: memory that an engine may still write is never freed. The
/// other ranks then wait for this one's part, so drop one only when giving up.
#[must_use = "the vectors come back from wait()"]
pub struct OwnedCollective<B: Vectors>(Owned<B>);

impl<B: Vectors> OwnedCollective<B> {
    pub(crate) fn new(owned: Owned<B>) -> Self {
        OwnedCollective(owned)
    }

    /// Blocks until this rank's part is done and gives the buffers back.
    #[track_caller]
    pub fn wait(mut self) -> Result<B> {
        let place = Location::caller();
        match self.0.wait(&"wait", place) {
            Ok((data, _)) => Ok(data),
            Err(fault) => Err(self.0.comm().fault("wait", place, fault, ("elements", 1))),
        }
    }

    /// Looks whether this rank's part is done, and helps it along.
    #[track_caller]
    pub fn test(mut self) -> Result<Test<B, Self>> {
        match self.0.test() {
            Ok(Some((data, _))) => Ok(Test::Done(data)),
            Ok(None) => Ok(Test::Pending(self)),
            Err(fault) => Err(self.0.comm().fault("test", Location::caller(), fault, ("elements", 1))),
        }
    }
}

impl<B: Vectors> Pending for OwnedCollective<B> {
    type Done = B;
    fn maker(&self) -> Maker {
        Maker(self.0.comm.clone())
    }
    fn look(&mut self, look: Look<'_>) {
        self.0.look(look.0);
    }
    fn trace(&self) -> Option<Traced> {
        Some(Traced(self.0.trace))
    }
    fn conclude(mut self, how: How) -> Result<B, Failed> {
        self.0.finish(how.0).map(|(data, _)| data).map_err(Failed)
    }
    fn element() -> (&'static str, usize) {
        ("elements", 1)
    }
}
