//! Requests under way: testing, waiting, taking back.
//!
//! A receive that stays without its message is looked into by `diagnose`.

use super::patience::Patience;
use super::session::is_initialised;
use super::status::{SUCCESS, blank, bytes, check, class, failure};
use super::tag::Pattern;
use super::work::Work;
use super::{Mpi, tag};
use crate::engine::{Envelope, Fault, Outcome};
use mpi::ffi;
use std::ffi::c_int;
use std::mem::ManuallyDrop;
use std::time::{Duration, Instant};

/// A nonblocking operation. Dropping it neither completes nor cancels it.
pub(crate) struct Request {
    /// What MPI is asked about next; a collective may have more behind it.
    pub(super) raw: ffi::MPI_Request,
    pub(super) role: Role,
    pub(super) turn: Turn,
}

/// Whether the operation comes once or is a plan, and whether that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Once,
    Idle(At),
    Running(At),
}

/// Where a plan's buffer is.
pub(super) type At = *mut u8;

impl Request {
    /// One that is started once.
    #[inline]
    pub(super) fn once(raw: ffi::MPI_Request, role: Role) -> Request {
        Request { raw, role, turn: Turn::Once }
    }

    /// MPI has said that the operation is over: a plan's next turn may come.
    #[inline]
    pub(super) fn over(&mut self) {
        if let Turn::Running(at) = self.turn {
            self.turn = Turn::Idle(at);
        }
    }
}

/// What the operation is, for its envelope and for diagnoses.
pub(super) enum Role {
    Send(Envelope),
    Receive {
        pattern: Pattern,
        kind: u32,
        capacity: usize,
        tests: u32,
    },
    /// Leaked when the request is dropped, because MPI may be using what is in it. `None` once complete.
    Collective(Option<ManuallyDrop<Box<Work>>>),
}

/// Tests without success before the first diagnosis, and between two later ones.
const TESTS: u32 = 16_384;

/// How long `cancel` gives a send to complete.
pub(super) const GRACE: Duration = Duration::from_secs(1);

impl Mpi {
    /// See [`Engine::test`](crate::engine::Engine::test).
    #[inline]
    pub fn test(&self, request: &mut Request) -> Outcome<Option<Envelope>> {
        if let Some(envelope) = self.poll(request)? {
            return Ok(Some(envelope));
        }
        if let Role::Receive { tests, .. } = &mut request.role {
            *tests = tests.wrapping_add(1);
            if tests.is_multiple_of(TESTS) {
                return self.diagnose(request);
            }
        }
        Ok(None)
    }

    /// See [`Engine::wait`](crate::engine::Engine::wait).
    #[inline]
    pub fn wait(&self, request: &mut Request) -> Outcome<Envelope> {
        for _ in 0..self.tight() {
            if let Some(envelope) = self.poll(request)? {
                return Ok(envelope);
            }
        }
        self.wait_long(request)
    }

    #[cold]
    #[inline(never)]
    pub(super) fn wait_long(&self, request: &mut Request) -> Outcome<Envelope> {
        let mut patience = Patience::new();
        loop {
            if let Some(envelope) = self.poll(request)? {
                return Ok(envelope);
            }
            if patience.is_over()
                && let Some(envelope) = self.diagnose(request)?
            {
                return Ok(envelope);
            }
        }
    }

    /// One MPI_Test. After `Some` or an error the buffer is the caller's again.
    #[inline]
    pub(super) fn poll(&self, request: &mut Request) -> Outcome<Option<Envelope>> {
        let (mut status, mut flag) = (blank(), 0);
        // SAFETY: the request was made by MPI_Isend or MPI_Irecv and is not complete.
        let code = unsafe { ffi::MPI_Test(&mut request.raw, &mut flag, &mut status) };
        if code != SUCCESS {
            return Err(self.failed(request, "MPI_Test", code, &status));
        }
        if flag == 0 { Ok(None) } else { self.after(request, &status) }
    }

    /// What it means that the call of MPI is complete.
    #[inline]
    pub(super) fn after(&self, request: &mut Request, status: &ffi::MPI_Status) -> Outcome<Option<Envelope>> {
        request.over();
        match &mut request.role {
            Role::Collective(work) => self.advance(&mut request.raw, work, status),
            _ => self.completed(request, status).map(Some),
        }
    }

    /// What a completed operation's status means.
    #[inline]
    pub(super) fn completed(&self, request: &Request, status: &ffi::MPI_Status) -> Outcome<Envelope> {
        match request.role {
            Role::Collective(_) => Ok(self.nothing()),
            Role::Send(envelope) => Ok(envelope),
            Role::Receive { kind, .. } => self.received(kind, status),
        }
    }

    /// What a completed receive's status means.
    #[inline]
    pub(super) fn received(&self, kind: u32, status: &ffi::MPI_Status) -> Outcome<Envelope> {
        let envelope = self.envelope(status)?;
        if envelope.kind != kind {
            // Only a receive of any tag takes messages of other kinds.
            let Envelope { source, tag, kind: sent, .. } = envelope;
            return Err(Fault::WrongKind { source, tag, sent });
        }
        Ok(envelope)
    }

    /// Finds words for a request that failed, and makes sure that MPI is done with its buffer.
    #[cold]
    #[inline(never)]
    pub(super) fn failed(
        &self,
        request: &mut Request,
        call: &'static str,
        code: c_int,
        status: &ffi::MPI_Status,
    ) -> Fault {
        let fault = match &mut request.role {
            Role::Collective(work) => return self.stopped(request.raw, work, code, status),
            &mut Role::Receive { kind, capacity, .. } if class(code) == self.constants().err_truncate => {
                let (source, tag, sent) =
                    (status.MPI_SOURCE as usize, tag::user(status.MPI_TAG), tag::kind(status.MPI_TAG));
                // Some libraries count what was sent, others what fitted.
                let length = bytes(status, self.byte).filter(|&length| length > capacity);
                self.survive_truncation(source, tag, length, capacity);
                match sent == kind {
                    true => Fault::Truncated { source, tag, sent: length, capacity },
                    false => Fault::WrongKind { source, tag, sent },
                }
            }
            _ => failure(call, code),
        };
        // A plan whose turn failed is idle.
        request.over();
        if request.raw != self.constants().request_null && !self.cancel(request) {
            // The library still holds the buffer and our caller is about to take it back.
            let error = crate::Error::new(crate::ErrorKind::Engine, format!("{fault:?}")).on_rank(self.rank);
            crate::launch::bring_down(&error);
        }
        fault
    }

    /// See [`Engine::cancel`](crate::engine::Engine::cancel). MPI can take a receive back without the other side,
    /// but not a send or a collective: those get a second to complete.
    pub fn cancel(&self, request: &mut Request) -> bool {
        if !is_initialised() {
            // Its handle outlived the job.
            return false;
        }
        match &mut request.role {
            Role::Collective(work) => self.take_back(request.raw, work),
            _ if request.raw == self.constants().request_null || matches!(request.turn, Turn::Idle(_)) => {
                true
            }
            Role::Receive { .. } => self.withdraw(request).is_ok(),
            Role::Send(_) => self.outlast(request),
        }
    }

    /// Takes a receive back; the status says whether it was cancelled or completed after all.
    pub(super) fn withdraw(&self, request: &mut Request) -> Outcome<ffi::MPI_Status> {
        let mut status = blank();
        // SAFETY: the request is one of MPI_Irecv's and not complete.
        check("MPI_Cancel", unsafe { ffi::MPI_Cancel(&mut request.raw) })?;
        // SAFETY: as above; waiting for a receive that is being cancelled is local.
        let code = unsafe { ffi::MPI_Wait(&mut request.raw, &mut status) };
        if code != SUCCESS && request.raw != self.constants().request_null && request.turn == Turn::Once {
            return Err(failure("MPI_Wait", code));
        }
        request.over();
        status.MPI_ERROR = code;
        Ok(status)
    }

    /// The envelope of what is no message.
    #[inline]
    pub(super) fn nothing(&self) -> Envelope {
        Envelope { source: self.rank, tag: 0, kind: 0, bytes: 0 }
    }

    /// Takes a receive back; what became of it if that came too late.
    pub(super) fn recall(&self, request: &mut Request) -> Outcome<Option<Envelope>> {
        let status = self.withdraw(request)?;
        let mut cancelled: c_int = 0;
        // SAFETY: the status was filled by MPI_Wait.
        let code = unsafe { ffi::MPI_Test_cancelled(&status, &mut cancelled) };
        check("MPI_Test_cancelled", code)?;
        if status.MPI_ERROR != SUCCESS {
            return Err(self.failed(request, "MPI_Wait", status.MPI_ERROR, &status));
        }
        if cancelled != 0 { Ok(None) } else { self.completed(request, &status).map(Some) }
    }

    /// See [`Engine::cancel_recv`](crate::engine::Engine::cancel_recv).
    pub fn cancel_recv(&self, request: &mut Request) -> Outcome<Option<Envelope>> {
        self.recall(request)
    }

    fn outlast(&self, request: &mut Request) -> bool {
        let start = Instant::now();
        loop {
            let (mut status, mut flag) = (blank(), 0);
            // SAFETY: the request is one of MPI_Isend's and not complete.
            let code = unsafe { ffi::MPI_Test(&mut request.raw, &mut flag, &mut status) };
            if request.raw == self.constants().request_null || (code == SUCCESS && flag != 0) {
                request.over();
                return true;
            }
            if code != SUCCESS || start.elapsed() > GRACE {
                return false;
            }
            std::thread::yield_now();
        }
    }
}
