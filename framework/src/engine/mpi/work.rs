//! A collective under way: the calls of MPI it is made of, and what must live until the last of them is complete.
//!
//! Most collectives are one call. Long ones are cut, those with uneven blocks are messages, and the checked mode adds
//! an agreement. All of them are started at once and in the same order on every rank; here they are waited for, one
//! after the other, which is enough because MPI makes progress with all of them. MPI cannot take a collective back,
//! so a work that did not end well is leaked, or if MPI may still use memory of the author's, the job ends.

use super::Mpi;
use super::agree::Agreement;
use super::operator::{UserFunction, panics_continue};
use super::request::{GRACE, Request, Role};
use super::status::{SUCCESS, blank, bytes, check, class};
use crate::engine::{Envelope, Fault, Outcome};
use mpi::ffi;
use std::cell::RefCell;
use std::ffi::c_int;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::time::Instant;

#[derive(Default)]
pub(super) struct Work {
    /// In the order in which they were started.
    pub pending: Vec<Pending>,
    /// How many of them are complete.
    done: usize,
    /// Counts and displacements that MPI reads until the end.
    pub counts: Vec<c_int>,
    /// Stand-ins for the author's buffers; see `detour`.
    pub pads: [Pad; 2],
    /// What to copy where at the end, last first.
    pub moves: Vec<Move>,
    /// The operator, if it is not one of MPI's.
    pub function: Option<UserFunction>,
    /// Whether MPI was given only memory of this struct, so that it can be leaked as a whole.
    pub closed: bool,
    /// The tag of its messages.
    pub tag: c_int,
    /// Bytes of an element, for words; 0 if unknown.
    pub unit: usize,
    pub agreement: Agreement,
}

/// Bytes, aligned for every number.
pub(super) type Pad = Vec<MaybeUninit<u128>>;

/// A copy to be made at the end; the two may overlap.
pub(super) struct Move {
    pub from: *const u8,
    pub to: *mut u8,
    pub len: usize,
}

/// A request of MPI's and what it is.
pub(super) struct Pending {
    pub raw: ffi::MPI_Request,
    pub what: What,
}

#[derive(Clone, Copy)]
pub(super) enum What {
    /// A call or a send, by its name: when it is over there is nothing to look at.
    Call(&'static str),
    /// A message that should have so many bytes.
    Message { source: usize, len: usize },
    /// All ranks' signatures.
    Signatures,
    /// What each rank has for this one and expects of it.
    Lengths,
}

/// The most stand-in memory that an idle work keeps.
const KEPT: usize = 4096;

/// The most idle works.
const IDLE: usize = 64;

/// Works to be used again, so that a collective in a loop allocates nothing.
#[derive(Default)]
#[allow(clippy::vec_box, reason = "requests hold boxes, and those are to be used again")]
pub(super) struct Pool(RefCell<Vec<Box<Work>>>);

impl Pool {
    pub fn take(&self) -> Box<Work> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a work that MPI is done with.
    pub fn give(&self, mut work: Box<Work>) {
        let mut idle = self.0.borrow_mut();
        if idle.len() >= IDLE {
            return;
        }
        work.pending.clear();
        work.counts.clear();
        work.moves.clear();
        for pad in work.pads.iter_mut().filter(|pad| !pad.is_empty()) {
            pad.clear();
            pad.shrink_to(KEPT / size_of::<u128>());
        }
        work.agreement.clear();
        (work.done, work.function, work.closed, work.tag, work.unit) = (0, None, false, 0, 0);
        idle.push(work);
    }
}

impl Mpi {
    /// A request for what has been started.
    pub(super) fn request(&self, work: Box<Work>) -> Request {
        let raw = work.pending.first().map_or(self.constants().request_null, |first| first.raw);
        Request::once(raw, Role::Collective(Some(ManuallyDrop::new(work))))
    }

    /// The call that `raw` stands for is complete: goes on to the next ones.
    pub(super) fn advance(
        &self,
        raw: &mut ffi::MPI_Request,
        slot: &mut Option<ManuallyDrop<Box<Work>>>,
        status: &ffi::MPI_Status,
    ) -> Outcome<Option<Envelope>> {
        let Some(work) = slot else { return Ok(Some(self.nothing())) };
        let (mut status, mut flag) = (*status, 1);
        while work.done < work.pending.len() {
            if flag == 0 {
                return Ok(None);
            }
            let at = work.done;
            work.pending[at].raw = *raw;
            if let Err(fault) = self.look(work, &status) {
                return Err(self.end(slot, fault));
            }
            work.done += 1;
            let Some(next) = work.pending.get(work.done) else { break };
            *raw = next.raw;
            // SAFETY: the request is under way.
            let code = unsafe { ffi::MPI_Test(raw, &mut flag, &mut status) };
            if code != SUCCESS {
                return Err(self.stopped(*raw, slot, code, &status));
            }
        }
        if let Some(work) = slot.take() {
            self.conclude(ManuallyDrop::into_inner(work));
        }
        Ok(Some(self.nothing()))
    }

    /// Blocks until all of it is complete.
    pub(super) fn complete(&self, work: Box<Work>) -> Outcome<()> {
        let mut slot = Some(ManuallyDrop::new(work));
        while let Some(work) = &mut slot {
            let done = work.done;
            let Some(pending) = work.pending.get_mut(done) else { break };
            let (mut status, mut flag) = (blank(), c_int::from(!self.crowded));
            let code = loop {
                // SAFETY: the request is under way.
                let code = unsafe {
                    match self.crowded {
                        true => ffi::MPI_Test(&mut pending.raw, &mut flag, &mut status),
                        false => ffi::MPI_Wait(&mut pending.raw, &mut status),
                    }
                };
                if code != SUCCESS || flag != 0 {
                    break code;
                }
                std::thread::yield_now();
            };
            if code != SUCCESS {
                let raw = pending.raw;
                return Err(self.stopped(raw, &mut slot, code, &status));
            }
            if let Err(fault) = self.look(work, &status) {
                return Err(self.end(&mut slot, fault));
            }
            work.done += 1;
        }
        if let Some(work) = slot.take() {
            self.conclude(ManuallyDrop::into_inner(work));
        }
        Ok(())
    }

    /// MPI is done: the last copies, and the operator's panic if it had one.
    fn conclude(&self, work: Box<Work>) {
        for Move { from, to, len } in work.moves.iter().rev() {
            // SAFETY: both are in the author's buffers, which are ours until the request is complete, or in the pads.
            unsafe { std::ptr::copy(*from, *to, *len) };
        }
        let function = work.function;
        self.shared.works.give(work);
        if let Some(function) = function {
            panics_continue(function);
        }
    }

    /// What the completed call says.
    fn look(&self, work: &Work, status: &ffi::MPI_Status) -> Outcome<()> {
        match work.pending[work.done].what {
            What::Call(_) => Ok(()),
            What::Message { source, len } => match self.length(status) {
                Some(sent) if sent == len => Ok(()),
                sent => Err(wrong_length(source, sent, len, work.unit)),
            },
            What::Signatures => work.agreement.signatures(self.rank),
            What::Lengths => work.agreement.lengths(self.size, work.unit),
        }
    }

    /// A work's only message has failed, or has another length than it should have.
    #[cold]
    pub(super) fn message_failed(
        &self,
        work: Box<Work>,
        raw: ffi::MPI_Request,
        code: c_int,
        status: &ffi::MPI_Status,
    ) -> Fault {
        if code == SUCCESS
            && let Err(fault) = self.look(&work, status)
        {
            return self.give_up_work(work, fault);
        }
        self.stopped(raw, &mut Some(ManuallyDrop::new(work)), code, status)
    }

    /// Finds words for a call that failed.
    #[cold]
    pub(super) fn stopped(
        &self,
        raw: ffi::MPI_Request,
        slot: &mut Option<ManuallyDrop<Box<Work>>>,
        code: c_int,
        status: &ffi::MPI_Status,
    ) -> Fault {
        let Some(work) = slot else { return super::status::failure("MPI_Test", code) };
        let at = work.done;
        work.pending[at].raw = raw;
        let fault = match work.pending[at].what {
            What::Message { source, len } if class(code) == self.constants().err_truncate => {
                let sent = bytes(status, self.byte).filter(|&sent| sent > len);
                self.survive_truncation(source, 0, sent, len);
                Err(wrong_length(source, sent, len, work.unit))
            }
            What::Call(call) => self.check_collective(call, code),
            _ => check("MPI_Test", code),
        };
        match fault {
            Ok(()) => Fault::Aborted,
            Err(fault) => self.end(slot, fault),
        }
    }

    /// After a fault the caller takes its buffers back, so MPI must be done with them.
    #[cold]
    fn end(&self, slot: &mut Option<ManuallyDrop<Box<Work>>>, fault: Fault) -> Fault {
        if !self.quiet(slot) {
            let error = crate::Error::new(crate::ErrorKind::Engine, format!("{fault:?}")).on_rank(self.rank);
            crate::launch::bring_down(&error);
        }
        fault
    }

    /// Ends what is left of a work, as far as MPI can. Whether its buffers are the caller's again.
    #[cold]
    fn quiet(&self, slot: &mut Option<ManuallyDrop<Box<Work>>>) -> bool {
        let Some(work) = slot else { return true };
        let (null, start) = (self.constants().request_null, Instant::now());
        let patient = !work.closed;
        let at = work.done;
        let mut left = 0;
        for pending in &mut work.pending[at..] {
            if pending.raw != null && matches!(pending.what, What::Message { .. }) {
                // SAFETY: a receive that is not complete; waiting for one that is being cancelled is local.
                let _ = unsafe {
                    (ffi::MPI_Cancel(&mut pending.raw), ffi::MPI_Wait(&mut pending.raw, &mut blank()))
                };
            }
            while pending.raw != null {
                let mut flag = 0;
                // SAFETY: the request is under way.
                let code = unsafe { ffi::MPI_Test(&mut pending.raw, &mut flag, &mut blank()) };
                if code != SUCCESS || flag != 0 {
                    break;
                }
                if !patient || start.elapsed() > GRACE {
                    left += 1;
                    break;
                }
                std::thread::yield_now();
            }
        }
        let closed = work.closed;
        let Some(work) = slot.take() else { return true };
        if left == 0 {
            self.shared.works.give(ManuallyDrop::into_inner(work));
        }
        // Otherwise it is leaked here.
        left == 0 || closed
    }

    /// See [`Mpi::cancel`].
    pub(super) fn take_back(
        &self,
        raw: ffi::MPI_Request,
        slot: &mut Option<ManuallyDrop<Box<Work>>>,
    ) -> bool {
        if let Some(work) = slot {
            let at = work.done;
            if let Some(pending) = work.pending.get_mut(at) {
                pending.raw = raw;
            }
        }
        self.quiet(slot)
    }

    /// A work whose start failed half-way.
    #[cold]
    pub(super) fn give_up_work(&self, work: Box<Work>, fault: Fault) -> Fault {
        self.end(&mut Some(ManuallyDrop::new(work)), fault)
    }
}

#[cold]
fn wrong_length(source: usize, sent: Option<usize>, expected: usize, unit: usize) -> Fault {
    let sent = sent.map_or_else(|| "more".to_string(), |bytes| super::agree::amount(bytes, unit));
    let expected = super::agree::amount(expected, unit);
    Fault::Mismatch(format!("rank {source} sends {sent}, {expected} expected here"))
}
