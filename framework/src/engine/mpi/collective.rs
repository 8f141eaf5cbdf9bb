//! Collectives: where all of them enter, and those with even blocks that compute nothing.
//!
//! Uneven blocks are in `exchange`, reductions in `reduce`, what a nonblocking one leaves behind in `work`.

use super::count::{self, Extent, pieces};
use super::operator::panics_continue;
use super::work::{Pending, Work};
use super::{Mpi, Request, agree, tag};
use crate::engine::{Call, Collective, Fault, Layout, Outcome, Place, Side};
use mpi::ffi;
use std::ffi::{c_int, c_void};

/// Two addresses for buffers without contents: an empty slice of Rust's may have the address 1, which is Open MPI's
/// MPI_IN_PLACE, and null for both would look like one buffer given twice.
static NOTHING: [u8; 2] = [0; 2];

/// No memory lies below; an address there is that of an empty slice.
const FIRST: usize = 4096;

/// The address of a buffer that a collective reads.
#[inline]
pub(super) fn read(data: *const u8) -> *const c_void {
    if data.addr() < FIRST { (&raw const NOTHING[0]).cast() } else { data.cast() }
}

/// The address of a buffer that a collective writes; nothing is written to one without contents.
#[inline]
pub(super) fn write(data: *mut u8) -> *mut c_void {
    if data.addr() < FIRST { (&raw const NOTHING[1]).cast_mut().cast() } else { data.cast() }
}

/// Where a call that may be nonblocking leaves what it started; `None`: it blocks.
pub(super) type Later<'w> = Option<&'w mut Vec<Pending>>;

/// Makes a call of MPI, or starts its nonblocking twin, with the same arguments. Unsafe as these are.
macro_rules! issue {
    ($engine:expr, $later:expr, $now:ident / $started:ident, $($argument:expr),* $(,)?) => {
        match $later {
            None => {
                let code = ffi::$now($($argument),*);
                $engine.check_collective(stringify!($now), code)
            }
            Some(pending) => {
                let mut raw = $engine.constants().request_null;
                let code = ffi::$started($($argument),*, &mut raw);
                let outcome = $crate::engine::mpi::status::check(stringify!($started), code);
                if outcome.is_ok() {
                    let what = $crate::engine::mpi::work::What::Call(stringify!($started));
                    pending.push($crate::engine::mpi::work::Pending { raw, what });
                }
                outcome
            }
        }
    };
}
pub(super) use issue;

impl Mpi {
    /// # Safety
    /// As [`Engine::collective`](crate::engine::Engine::collective).
    #[inline(never)]
    pub unsafe fn collective(&self, part: &Collective<'_>, place: Place) -> Outcome<()> {
        if self.checks() {
            self.agree_on(part, place)?;
        }
        if self.crowded {
            // SAFETY: the caller's promise is passed on.
            return unsafe { self.at_once(part) };
        }
        // SAFETY: the caller's promise is passed on.
        unsafe {
            match part.call {
                Call::Reduce | Call::Allreduce | Call::Scan | Call::Exscan => {
                    let outcome = self.reduction(part, None);
                    if let Some(op) = part.op {
                        panics_continue(op.user_function);
                    }
                    outcome
                }
                Call::Barrier
                | Call::Bcast
                | Call::Gather
                | Call::Scatter
                | Call::Allgather
                | Call::Alltoall => self.even(part, None),
                Call::Gatherv | Call::Scatterv | Call::Alltoallv => self.messages_now(part),
                Call::Allgatherv => self.allgatherv_now(part),
                Call::ReduceScatter | Call::ReduceScatterBlock => self.at_once(part),
            }
        }
    }

    /// # Safety
    /// As [`Engine::start`](crate::engine::Engine::start).
    pub unsafe fn start(&self, part: &Collective<'_>, place: Place) -> Outcome<Request> {
        let mut work = self.shared.works.take();
        work.unit = agree::unit(part.kind);
        // SAFETY: the caller's promise is passed on; a work that did not start well is ended.
        match unsafe { self.begin(part, place, &mut work) } {
            Ok(()) => Ok(self.request(work)),
            Err(fault) => Err(self.give_up_work(work, fault)),
        }
    }

    /// # Safety
    /// As [`Mpi::start`], until the work is concluded or ended.
    unsafe fn begin(&self, part: &Collective<'_>, place: Place, work: &mut Work) -> Outcome<()> {
        if !self.checks() {
            // SAFETY: the caller's promise is passed on.
            return unsafe { self.issue(part, work, false) };
        }
        work.closed = true;
        self.begin_to_agree(work, part, place)?;
        // Messages that an abandoned collective leaves behind must not be taken for those of a later one.
        let started = self.started.get();
        self.started.set((started + 1) % crate::comm::TAG_MAX);
        work.tag = tag::encode(started + 1, 0);
        let mut places = Default::default();
        // SAFETY: the caller's promise is passed on.
        unsafe {
            let part = work.detour(part, self.size, &mut places);
            self.issue(&part, work, false)
        }
    }

    /// A blocking call that needs a work, or that must not keep its core.
    ///
    /// # Safety
    /// As [`Mpi::collective`].
    pub(super) unsafe fn at_once(&self, part: &Collective<'_>) -> Outcome<()> {
        let mut work = self.shared.works.take();
        work.unit = agree::unit(part.kind);
        // SAFETY: the caller's promise is passed on; the work is completed or ended before this returns.
        match unsafe { self.issue(part, &mut work, !self.crowded) } {
            Ok(()) => self.complete(work),
            Err(fault) => Err(self.give_up_work(work, fault)),
        }
    }

    /// Makes (`now`) or starts the calls that a part consists of.
    ///
    /// # Safety
    /// As [`Mpi::start`], until the work is concluded or ended.
    unsafe fn issue(&self, part: &Collective<'_>, work: &mut Work, now: bool) -> Outcome<()> {
        if let Some(op) = part.op
            && op.known_to_mpi().is_none()
        {
            work.function = Some(op.user_function);
        }
        let later = (!now).then_some(&mut work.pending);
        // SAFETY: the caller's promise is passed on.
        unsafe {
            match part.call {
                Call::Reduce | Call::Allreduce | Call::Scan | Call::Exscan => self.reduction(part, later),
                Call::Barrier
                | Call::Bcast
                | Call::Gather
                | Call::Scatter
                | Call::Allgather
                | Call::Alltoall => self.even(part, later),
                Call::Gatherv | Call::Scatterv | Call::Alltoallv => self.messages(part, work, now),
                Call::Allgatherv => self.allgatherv(part, work, now),
                Call::ReduceScatter | Call::ReduceScatterBlock => self.reduce_scatter(part, work, now),
            }
        }
    }

    /// # Safety
    /// As [`Mpi::start`].
    #[inline(always)]
    unsafe fn even(&self, part: &Collective<'_>, later: Later<'_>) -> Outcome<()> {
        let root = part.root.unwrap_or(0) as c_int;
        match part.call {
            // SAFETY: the communicator is live.
            Call::Barrier => unsafe { issue!(self, later, MPI_Barrier / MPI_Ibarrier, self.comm) },
            // SAFETY: the caller's promise is passed on.
            Call::Bcast => unsafe {
                self.bcast_bytes(part.recv.data, part.recv.layout.reach(self.size), root, later)
            },
            call => {
                let (from, to) = (self.source(part.send), self.target(part.recv));
                let bytes = match (part.send.layout, part.recv.layout) {
                    (Layout::One(bytes) | Layout::Each(bytes), _) => bytes,
                    (_, Layout::One(bytes) | Layout::Each(bytes)) => bytes,
                    _ => 0,
                };
                if self.size == 1 {
                    // Nothing has to travel; and in MPICH 4.0.2 over UCX it may not arrive while a wildcard waits.
                    let in_place = self.constants().in_place;
                    if from != in_place.cast_const() && to != in_place {
                        // SAFETY: the caller's promise: one block on each side, and they do not overlap.
                        unsafe { from.cast::<u8>().copy_to_nonoverlapping(to.cast(), bytes) };
                    }
                    return Ok(());
                }
                let Extent { count, datatype, .. } = &Extent::of(bytes, self.byte)?;
                let (count, datatype) = (*count, *datatype);
                // SAFETY: the caller's promise; the extent describes a block, of which each side has as many as
                // MPI's call of that name takes.
                unsafe {
                    match call {
                        Call::Gather => issue!(
                            self,
                            later,
                            MPI_Gather / MPI_Igather,
                            from,
                            count,
                            datatype,
                            to,
                            count,
                            datatype,
                            root,
                            self.comm
                        ),
                        Call::Scatter => issue!(
                            self,
                            later,
                            MPI_Scatter / MPI_Iscatter,
                            from,
                            count,
                            datatype,
                            to,
                            count,
                            datatype,
                            root,
                            self.comm
                        ),
                        Call::Allgather => issue!(
                            self,
                            later,
                            MPI_Allgather / MPI_Iallgather,
                            from,
                            count,
                            datatype,
                            to,
                            count,
                            datatype,
                            self.comm
                        ),
                        _ => issue!(
                            self,
                            later,
                            MPI_Alltoall / MPI_Ialltoall,
                            from,
                            count,
                            datatype,
                            to,
                            count,
                            datatype,
                            self.comm
                        ),
                    }
                }
            }
        }
    }

    /// # Safety
    /// As [`Mpi::start`], with `bytes` at `data`.
    unsafe fn bcast_bytes(
        &self,
        data: *mut u8,
        bytes: usize,
        root: c_int,
        mut later: Later<'_>,
    ) -> Outcome<()> {
        for range in pieces(bytes, count::block()) {
            let later = later.as_deref_mut();
            // SAFETY: the piece is in the caller's buffer.
            unsafe {
                let (data, count) = (write(data.wrapping_add(range.start)), range.len() as c_int);
                issue!(self, later, MPI_Bcast / MPI_Ibcast, data, count, self.byte, root, self.comm)
            }?;
        }
        Ok(())
    }

    /// What MPI is given as the send buffer.
    #[inline]
    pub(super) fn source(&self, side: Side<'_, *const u8>) -> *const c_void {
        if matches!(side.layout, Layout::InPlace) { self.constants().in_place } else { read(side.data) }
    }

    /// What MPI is given as the receive buffer.
    #[inline]
    pub(super) fn target(&self, side: Side<'_, *mut u8>) -> *mut c_void {
        if matches!(side.layout, Layout::InPlace) { self.constants().in_place } else { write(side.data) }
    }
}

/// A part that the layouts of its call do not allow; `comm` makes none.
#[cold]
pub(super) fn malformed(part: &Collective<'_>) -> Fault {
    Fault::Library { call: part.call.name(), text: "this rank's part is not well formed".to_string() }
}
