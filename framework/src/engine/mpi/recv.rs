//! Receives into a given buffer: blocking and nonblocking.
//!
//! A blocking one is MPI_Irecv and polling, which costs a few nanoseconds more than MPI_Recv and lets us see why
//! nothing comes. Completion is in `request`.

use super::Mpi;
use super::count::Extent;
use super::request::{Request, Role};
use super::status::{SUCCESS, blank, check};
use super::tag::Pattern;
use crate::comm::element::Kind;
use crate::engine::{Envelope, From, Outcome, Tagged};
use mpi::ffi;
use std::ffi::c_int;

impl Mpi {
    #[inline]
    pub fn recv(&self, data: &mut [u8], kind: Kind, from: From, tag: Tagged) -> Outcome<Envelope> {
        let pattern = self.pattern(from, tag, kind);
        // SAFETY: `data` is borrowed mutably until MPI or one of the calls below says that the receive is complete:
        // with success or error, the buffer is ours again.
        let mut raw = unsafe { self.post(data.as_mut_ptr(), data.len(), pattern) }?;
        let (mut status, mut flag, mut code) = (blank(), 0, SUCCESS);
        for _ in 0..self.tight() {
            // SAFETY: the request was made by MPI_Irecv and is not complete.
            code = unsafe { ffi::MPI_Test(&mut raw, &mut flag, &mut status) };
            if flag != 0 || code != SUCCESS {
                break;
            }
        }
        if flag != 0 && code == SUCCESS {
            return self.received(kind.code().into(), &status);
        }
        let role = Role::Receive { pattern, kind: kind.code().into(), capacity: data.len(), tests: 0 };
        self.recv_on(Request::once(raw, role), code, &status)
    }

    /// The rest of a blocking receive that has failed or waits long.
    #[cold]
    #[inline(never)]
    fn recv_on(&self, mut request: Request, code: c_int, status: &ffi::MPI_Status) -> Outcome<Envelope> {
        match code {
            SUCCESS => self.wait_long(&mut request),
            code => Err(self.failed(&mut request, "MPI_Test", code, status)),
        }
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
        let pattern = self.pattern(from, tag, kind);
        // SAFETY: the caller's promise is passed on.
        let raw = unsafe { self.post(data, len, pattern) }?;
        Ok(Request::once(raw, Role::Receive { pattern, kind: kind.code().into(), capacity: len, tests: 0 }))
    }

    /// # Safety
    /// As [`Mpi::irecv`].
    #[inline]
    unsafe fn post(&self, data: *mut u8, len: usize, pattern: Pattern) -> Outcome<ffi::MPI_Request> {
        let Extent { count, datatype, .. } = &Extent::of(len, self.byte)?;
        let Pattern { source, tag } = pattern;
        let mut raw = self.constants().request_null;
        // SAFETY: the caller keeps `data` for MPI until the request is complete or cancelled; the extent describes it.
        let code =
            unsafe { ffi::MPI_Irecv(data.cast(), *count, *datatype, source, tag, self.comm, &mut raw) };
        check("MPI_Irecv", code)?;
        Ok(raw)
    }

    #[inline]
    pub(super) fn pattern(&self, from: From, tag: Tagged, kind: Kind) -> Pattern {
        let constants = self.constants();
        Pattern::of(from, tag, kind.code(), constants.any_source, constants.any_tag)
    }
}
