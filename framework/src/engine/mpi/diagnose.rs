//! Why a receive stays without its message: is one of another element type there instead?
//!
//! Asked rarely, after a millisecond without success; it costs some 200 probes. That a message never comes at all is
//! the watch's question, not this file's.

use super::Mpi;
use super::parcel::Arrived;
use super::request::{Request, Role};
use super::tag::{self, Pattern};
use crate::engine::{Envelope, Fault, Outcome};
use std::ffi::c_int;

impl Mpi {
    /// Looks for a message of the same source and tag but of another kind. If one is there and ours is not, takes
    /// the receive back, consumes that message and says so. `Some`: the receive was complete after all.
    #[cold]
    #[inline(never)]
    pub(super) fn diagnose(&self, request: &mut Request) -> Outcome<Option<Envelope>> {
        let Role::Receive { pattern, .. } = request.role else { return Ok(None) };
        if self.stranger(pattern)?.is_none() {
            return Ok(None);
        }
        // Probing let MPI make progress, so our message may have come meanwhile: then it counts.
        if let Some(envelope) = self.recall(request)? {
            return Ok(Some(envelope));
        }
        Err(self.turn_away(pattern)?.unwrap_or(Fault::Library {
            call: "MPI_Iprobe",
            text: "a message that was there is gone".to_string(),
        }))
    }

    /// Consumes a message of the pattern's source and tag but of another kind, if there is one.
    pub(super) fn turn_away(&self, pattern: Pattern) -> Outcome<Option<Fault>> {
        let Some(stranger) = self.stranger(pattern)? else { return Ok(None) };
        let exactly =
            Pattern { source: stranger.source as c_int, tag: tag::encode(stranger.tag, stranger.kind as u8) };
        match self.take_next(exactly)? {
            Some(arrived) => self.reject(arrived).map(Some),
            None => Ok(None),
        }
    }

    /// Consumes a message that is of the wrong kind.
    pub(super) fn reject(&self, arrived: Arrived) -> Outcome<Fault> {
        let Envelope { source, tag, kind, .. } = arrived.envelope;
        self.unpack::<u8>(arrived)?;
        Ok(Fault::WrongKind { source, tag, sent: kind })
    }

    /// A message of the pattern's source and tag but of another kind. A receive of any tag has no strangers.
    pub(super) fn stranger(&self, pattern: Pattern) -> Outcome<Option<Envelope>> {
        if pattern.tag == self.constants().any_tag {
            return Ok(None);
        }
        let (user, kind) = (tag::user(pattern.tag), tag::kind(pattern.tag));
        self.find(pattern.source, user, |code| code != kind)
    }
}
