//! Sends: blocking, nonblocking, and of a vector by value.
//!
//! In the checked mode they are synchronous: they end when the receive has begun. But for buffered ones, which are in
//! `buffered`. A ready send is a standard one, as MPI allows: some libraries punish a mistake with it by ending the job.

use super::count::Extent;
use super::request::{Request, Role};
use super::status::check;
use super::{Constants, Mpi, library_version, tag};
use crate::comm::element::{Element, Kind};
use crate::engine::{Envelope, Mode, Outcome};
use mpi::ffi;
use std::ffi::c_int;

/// Up to this many bytes a message to oneself is buffered, as the Local engine does it with any.
const BUFFERED: usize = 64 << 10;

/// Open MPI's request for what was over when it was started: one for all, which needs no completing, so that a short send
/// costs nothing more. A send to nobody gives it. Null, which no send gives, for other libraries: theirs must be completed.
pub(super) fn request_over(constants: &Constants) -> Outcome<ffi::MPI_Request> {
    let null = constants.request_null;
    if !library_version().starts_with("Open MPI") {
        return Ok(null);
    }
    let mut raws = [null; 2];
    let (nothing, byte) = ([0u8; 1], constants.byte);
    for raw in &mut raws {
        // SAFETY: MPI_COMM_SELF is live; nothing is read.
        check("MPI_Isend", unsafe {
            let comm = constants.comm_self;
            ffi::MPI_Isend(nothing.as_ptr().cast(), 0, byte, constants.proc_null, 0, comm, raw)
        })?;
    }
    let over = if raws[0] == raws[1] { raws[0] } else { null };
    for raw in &mut raws {
        // SAFETY: the request is one of MPI_Isend's. Waiting for the shared one does nothing.
        check("MPI_Wait", unsafe { ffi::MPI_Wait(raw, &mut super::status::blank()) })?;
    }
    Ok(over)
}

impl Mpi {
    #[inline]
    pub fn send(&self, mode: Mode, data: &[u8], kind: Kind, dest: usize, tag: i32) -> Outcome<()> {
        if self.crowded && mode != Mode::Buffered && dest != self.rank {
            // SAFETY: `data` is borrowed until the send is complete, or MPI is done with it after a failure.
            let sent = unsafe { self.isend(mode, data.as_ptr(), data.len(), kind, dest, tag) }?;
            return sent.map_or(Ok(()), |mut request| self.wait(&mut request).map(drop));
        }
        let tag = tag::encode(tag, kind.code());
        // MPICH does not buffer what a rank sends itself, however short.
        let to_itself =
            dest == self.rank && data.len() <= BUFFERED && !self.checked && mode != Mode::Synchronous;
        if mode == Mode::Buffered || to_itself {
            return self.send_copy(data, tag, dest);
        }
        let extent = Extent::of(data.len(), self.byte)?;
        let (buffer, dest) = (data.as_ptr().cast(), dest as c_int);
        if self.checked || mode == Mode::Synchronous {
            // SAFETY: `data` is valid for reads of its length, which `extent` describes, until the call returns.
            let code = unsafe { ffi::MPI_Ssend(buffer, extent.count, extent.datatype, dest, tag, self.comm) };
            check("MPI_Ssend", code)
        } else {
            // SAFETY: as above.
            let code = unsafe { ffi::MPI_Send(buffer, extent.count, extent.datatype, dest, tag, self.comm) };
            check("MPI_Send", code)
        }
    }

    /// Between processes the contents are copied; nothing is held afterwards.
    pub fn send_parcel<T: Element>(&self, data: Vec<T>, dest: usize, tag: i32) -> Outcome<()> {
        self.send(Mode::Standard, bytemuck::cast_slice(&data), T::KIND, dest, tag)
    }

    /// A request for a send that was over when it was started.
    pub fn sent(&self) -> Request {
        let sent = self.nothing();
        Request::once(self.constants().request_null, Role::Send(sent))
    }

    /// `None`: over already.
    ///
    /// # Safety
    /// `data` is valid for reads of `len` bytes, and nobody writes them, until the request is complete or cancelled.
    #[inline]
    pub unsafe fn isend(
        &self,
        mode: Mode,
        data: *const u8,
        len: usize,
        kind: Kind,
        dest: usize,
        tag: i32,
    ) -> Outcome<Option<Request>> {
        let coded = tag::encode(tag, kind.code());
        let mut raw = self.constants().request_null;
        if mode == Mode::Buffered {
            // SAFETY: the caller's promise.
            self.send_copy(unsafe { std::slice::from_raw_parts(data, len) }, coded, dest)?;
            return Ok(None);
        }
        let extent = Extent::of(len, self.byte)?;
        let (buffer, dest) = (data.cast(), dest as c_int);
        // Open MPI 4.1.4 loses the error when a short message to oneself meets a posted receive that is too small, but
        // not in the synchronous mode; the standard leaves the choice to us.
        let synchronous = self.checked || mode == Mode::Synchronous || dest == self.rank as c_int;
        let (call, code) = if synchronous {
            // SAFETY: the caller keeps `data` as it is until the request is complete or cancelled.
            ("MPI_Issend", unsafe {
                ffi::MPI_Issend(buffer, extent.count, extent.datatype, dest, coded, self.comm, &mut raw)
            })
        } else {
            // SAFETY: as above.
            ("MPI_Isend", unsafe {
                ffi::MPI_Isend(buffer, extent.count, extent.datatype, dest, coded, self.comm, &mut raw)
            })
        };
        check(call, code)?;
        if raw == self.shared.over {
            return Ok(None);
        }
        let sent = Envelope { source: self.rank, tag, kind: kind.code().into(), bytes: len };
        Ok(Some(Request::once(raw, Role::Send(sent))))
    }
}
