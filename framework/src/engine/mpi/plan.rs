//! Plans: MPI's persistent sends and receives. Between their turns they are idle requests.

use super::count::Extent;
use super::request::{Request, Role, Turn};
use super::session::is_initialised;
use super::status::check;
use super::tag::Pattern;
use super::{Mpi, tag};
use crate::comm::element::Kind;
use crate::engine::{Envelope, From, Mode, Outcome, Tagged};
use mpi::ffi;
use std::ffi::c_int;

impl Mpi {
    /// MPI only notes the address. A ready or buffered plan is a standard one: whoever has a plan has a buffer already.
    pub fn plan_send(
        &self,
        mode: Mode,
        data: *const u8,
        len: usize,
        kind: Kind,
        dest: usize,
        tag: i32,
    ) -> Outcome<Request> {
        let extent = Extent::of(len, self.byte)?;
        let coded = tag::encode(tag, kind.code());
        let mut raw = self.constants().request_null;
        let (buffer, to) = (data.cast(), dest as c_int);
        // The same choice as in `isend`.
        let (call, code) = if self.checked || mode == Mode::Synchronous || dest == self.rank {
            // SAFETY: MPI reads the buffer only in the plan's turns, for which `restart` has a promise.
            ("MPI_Ssend_init", unsafe {
                ffi::MPI_Ssend_init(buffer, extent.count, extent.datatype, to, coded, self.comm, &mut raw)
            })
        } else {
            // SAFETY: as above.
            ("MPI_Send_init", unsafe {
                ffi::MPI_Send_init(buffer, extent.count, extent.datatype, to, coded, self.comm, &mut raw)
            })
        };
        check(call, code)?;
        let sent = Envelope { source: self.rank, tag, kind: kind.code().into(), bytes: len };
        Ok(Request { raw, role: Role::Send(sent), turn: Turn::Idle(data.cast_mut()) })
    }

    pub fn plan_recv(
        &self,
        data: *mut u8,
        len: usize,
        kind: Kind,
        from: From,
        tag: Tagged,
    ) -> Outcome<Request> {
        let pattern = self.pattern(from, tag, kind);
        let role = Role::Receive { pattern, kind: kind.code().into(), capacity: len, tests: 0 };
        Ok(Request { raw: self.receive_init(data, len, pattern)?, role, turn: Turn::Idle(data) })
    }

    fn receive_init(&self, data: *mut u8, len: usize, pattern: Pattern) -> Outcome<ffi::MPI_Request> {
        let extent = Extent::of(len, self.byte)?;
        let mut raw = self.constants().request_null;
        let (buffer, source, tag) = (data.cast(), pattern.source, pattern.tag);
        // SAFETY: MPI writes the buffer only in the plan's turns, for which `restart` has a promise.
        check("MPI_Recv_init", unsafe {
            ffi::MPI_Recv_init(buffer, extent.count, extent.datatype, source, tag, self.comm, &mut raw)
        })?;
        Ok(raw)
    }

    /// # Safety
    /// As [`Engine::restart`](crate::engine::Engine::restart).
    pub unsafe fn restart(&self, request: &mut Request) -> Outcome<()> {
        let Turn::Idle(at) = request.turn else { return Ok(()) };
        if request.raw == self.constants().request_null
            && let Role::Receive { pattern, capacity, .. } = request.role
        {
            // Open MPI frees a plan whose turn failed.
            request.raw = self.receive_init(at, capacity, pattern)?;
        }
        // SAFETY: the request is persistent and idle; the buffer is the caller's promise.
        check("MPI_Start", unsafe { ffi::MPI_Start(&mut request.raw) })?;
        request.turn = Turn::Running(at);
        Ok(())
    }

    /// Ends an idle plan. A failure leaks a small record.
    pub fn release(&self, mut request: Request) {
        // A plan that outlived the job went with it.
        let live = request.raw != self.constants().request_null;
        if live && matches!(request.turn, Turn::Idle(_)) && is_initialised() {
            // SAFETY: the request is live and idle, and this is its end.
            let _ = unsafe { ffi::MPI_Request_free(&mut request.raw) };
        }
    }
}
