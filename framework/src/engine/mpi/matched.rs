//! Matched probes: a message taken from the queue by one call, received by another.

use super::Mpi;
use super::count::Extent;
use super::parcel::Arrived;
use super::request::{Request, Role};
use super::session::is_initialised;
use super::status::check;
use crate::comm::element::{Element, Kind};
use crate::engine::{Envelope, From, Outcome, Tagged};
use mpi::ffi;

/// A message that is taken from the queue and not received yet. Dropping it leaves it so for ever.
pub(crate) struct Matched {
    arrived: Arrived,
    pub envelope: Envelope,
}

impl Mpi {
    pub fn mprobe(&self, from: From, tag: Tagged, kind: Kind) -> Outcome<Matched> {
        let arrived = self.take(self.pattern(from, tag, kind))?;
        self.matched(arrived, kind)
    }

    pub fn improbe(&self, from: From, tag: Tagged, kind: Kind) -> Outcome<Option<Matched>> {
        let pattern = self.pattern(from, tag, kind);
        if let Some(arrived) = self.take_next(pattern)? {
            return self.matched(arrived, kind).map(Some);
        }
        self.turn_away(pattern)?.map_or(Ok(None), Err)
    }

    /// Only a receive of any tag takes messages of other kinds.
    fn matched(&self, arrived: Arrived, kind: Kind) -> Outcome<Matched> {
        if !kind.is(arrived.envelope.kind) {
            return Err(self.reject(arrived)?);
        }
        let envelope = arrived.envelope;
        Ok(Matched { arrived, envelope })
    }

    /// # Safety
    /// As [`Engine::imrecv`](crate::engine::Engine::imrecv).
    pub unsafe fn imrecv(&self, matched: Matched, data: *mut u8, len: usize, kind: Kind) -> Outcome<Request> {
        let Matched { mut arrived, envelope } = matched;
        if envelope.bytes > len {
            // The library is not asked to cut a long message: see `overrun`.
            let Envelope { source, tag, bytes, .. } = envelope;
            self.unpack::<u8>(arrived)?;
            return Err(crate::engine::Fault::Truncated { source, tag, sent: Some(bytes), capacity: len });
        }
        let extent = Extent::of(len, self.byte)?;
        let mut raw = self.constants().request_null;
        // SAFETY: the caller keeps `data` for MPI until the request is complete or cancelled; `extent` describes it;
        // the message was matched and not received yet.
        check("MPI_Imrecv", unsafe {
            ffi::MPI_Imrecv(data.cast(), extent.count, extent.datatype, &mut arrived.message, &mut raw)
        })?;
        let exactly = self.pattern(From::Rank(envelope.source), Tagged::Tag(envelope.tag), kind);
        Ok(Request::once(
            raw,
            Role::Receive { pattern: exactly, kind: kind.code().into(), capacity: len, tests: 0 },
        ))
    }

    pub fn mrecv_parcel<T: Element>(&self, matched: Matched) -> Outcome<(Vec<T>, Envelope)> {
        Ok((self.unpack(matched.arrived)?, matched.envelope))
    }

    /// MPI has no other end for a matched message than to receive it.
    pub fn discard(&self, matched: Matched) -> Outcome<()> {
        if !is_initialised() {
            // Its handle outlived the job.
            return Ok(());
        }
        self.unpack::<u8>(matched.arrived).map(drop)
    }
}
