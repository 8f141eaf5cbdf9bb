//! Receives into a given buffer: blocking and nonblocking.
//!
//! A blocking one is MPI_Irecv and polling, which costs a few nanoseconds more than MPI_Recv and lets us see why
//! nothing comes. Completion is in `request`.

use super::Mpi;
use super::count::Extent;
use super::request::{Request, Role};
use super::status::check;
use super::tag::Pattern;
use crate::comm::element::Kind;
use crate::engine::{Envelope, From, Outcome, Tagged};
use mpi::ffi;

impl Mpi {
    #[inline]
    pub fn recv(&self, data: &mut [u8], kind: Kind, from: From, tag: Tagged) -> Outcome<Envelope> {
        // SAFETY: `data` is borrowed mutably until `wait` says that the receive is complete: with success or error,
        // the buffer is ours again.
        let mut request = unsafe { self.irecv(data.as_mut_ptr(), data.len(), kind, from, tag) }?;
        self.wait(&mut request)
    }

    /// # Safety
    /// `data` is valid for writes of `len` bytes, and nobody else touches them, until the request is complete or
    /// cancelled.
    #[inline]
    pub unsafe fn irecv(
        &self,
        data: *mut u8,
        len: usize,
        kind: Kind,
        from: From,
        tag: Tagged,
    ) -> Outcome<Request> {
        let extent = Extent::of(len, self.byte)?;
        let pattern = self.pattern(from, tag, kind);
        let mut raw = self.constants().request_null;
        // SAFETY: the caller keeps `data` for MPI until the request is complete or cancelled; `extent` describes it.
        let code = unsafe {
            ffi::MPI_Irecv(
                data.cast(),
                extent.count,
                extent.datatype,
                pattern.source,
                pattern.tag,
                self.comm,
                &mut raw,
            )
        };
        check("MPI_Irecv", code)?;
        Ok(Request::once(raw, Role::Receive { pattern, kind: kind.code().into(), capacity: len, tests: 0 }))
    }

    #[inline]
    pub(super) fn pattern(&self, from: From, tag: Tagged, kind: Kind) -> Pattern {
        let constants = self.constants();
        Pattern::of(from, tag, kind.code(), constants.any_source, constants.any_tag)
    }
}
