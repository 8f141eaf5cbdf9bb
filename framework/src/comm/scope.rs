//! Nonblocking calls on borrowed buffers: a scope that no operation outlives.
//!
//! The scope keeps the engine's record of every operation, so that one whose handle is forgotten is completed (or
//! cancelled) all the same before the borrow ends. Owned buffers are in `request`.

use super::matched::Message;
use super::p2p::{Source, Tag, named};
use super::request::{Buffer, Request};
use super::view::Deferred;
use super::watched::Trace;
use super::{Comm, Element, Kind};
use crate::engine::{self, Engine, Envelope, Mode, Outcome, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::timing::Doing;
use crate::watch::Name;
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::panic::Location;

/// The operations of one [`Comm::scope`].
pub(crate) struct Table<'c> {
    pub comm: &'c Comm,
    entries: RefCell<Vec<Option<Entry>>>,
    /// How many entries are still under way.
    open: Cell<usize>,
}

/// An operation, and what the watch knows of it.
pub(crate) struct Entry {
    request: engine::Request,
    trace: Trace,
}

/// The index of an operation that was over when it was started, and has no entry.
const OVER: usize = usize::MAX;

impl<'c> Table<'c> {
    #[inline]
    fn add(&self, request: engine::Request, trace: Trace) -> usize {
        let mut entries = self.entries.borrow_mut();
        if entries.capacity() == 0 {
            // Those of a scope that has ended, unless all are in use.
            *entries = self.comm.inner.tables.borrow_mut().pop().unwrap_or_default();
        }
        entries.push(Some(Entry { request, trace }));
        self.open.set(self.open.get() + 1);
        entries.len() - 1
    }

    #[inline]
    fn close(&self, entry: &mut Option<Entry>) {
        *entry = None;
        self.open.set(self.open.get() - 1);
    }

    /// Starts a send and gives its index. One function for all types, so that no request is handed up through them.
    ///
    /// # Safety
    /// `data` stays as it is until the operation is complete or cancelled.
    #[inline(never)]
    #[allow(clippy::too_many_arguments, reason = "those of the call, and what its errors need")]
    unsafe fn start_send(
        &self,
        call: &str,
        mode: Mode,
        data: &[u8],
        kind: Kind,
        (dest, tag): (usize, i32),
        place: Place,
        element: fn() -> (&'static str, usize),
    ) -> Result<usize> {
        self.comm.check_dest(call, dest, tag, place)?;
        let _timed = self.comm.inner.clock.communicating(Doing::Sending);
        let trace = self.comm.inner.sending(mode, data.len(), kind, dest, tag, place);
        // SAFETY: the caller's promise is passed on.
        match unsafe { self.comm.engine().isend(mode, data.as_ptr(), data.len(), kind, dest, tag) } {
            Ok(None) => Ok(OVER),
            Ok(Some(request)) => Ok(self.add(request, trace)),
            Err(fault) => {
                self.comm.inner.taken_back(&trace);
                Err(self.comm.fault(call, place, fault, element()))
            }
        }
    }

    /// Starts a receive and gives its index, as [`Table::start_send`].
    ///
    /// # Safety
    /// The bytes are valid for writes, and nobody else touches them, until the operation is complete or cancelled.
    #[inline(never)]
    unsafe fn start_recv(
        &self,
        (data, len): (*mut u8, usize),
        kind: Kind,
        (source, tag): (Source, Tag),
        place: Place,
        element: fn() -> (&'static str, usize),
    ) -> Result<usize> {
        let (from, tagged) = self.comm.check_source("irecv", source, tag, place)?;
        let _timed = self.comm.inner.clock.communicating(Doing::Sending);
        let trace = self.comm.inner.receiving(kind, from, tagged, place);
        // SAFETY: the caller's promise is passed on.
        match unsafe { self.comm.engine().irecv(data, len, kind, from, tagged) } {
            Ok(request) => {
                self.comm.inner.left_open(&trace, &request);
                Ok(self.add(request, trace))
            }
            Err(fault) => Err(self.comm.fault("irecv", place, fault, element())),
        }
    }

    pub fn wait(&self, index: usize, call: Name, place: Place) -> Outcome<Envelope> {
        if index == OVER {
            return Ok(engine::exchange::OVER);
        }
        let entry = &mut self.entries.borrow_mut()[index];
        let Entry { request, trace } = entry.as_mut().expect("a handle is used once");
        let outcome = {
            let _in = self.comm.inner.waiting(call, place, trace);
            self.comm.engine().wait(request)
        };
        self.comm.inner.arrived(trace, &outcome);
        if !matches!(outcome, Err(engine::Fault::Aborted)) {
            self.close(entry);
        }
        outcome
    }

    pub fn test(&self, index: usize) -> Outcome<Option<Envelope>> {
        if index == OVER {
            return Ok(Some(engine::exchange::OVER));
        }
        let entry = &mut self.entries.borrow_mut()[index];
        let Entry { request, trace } = entry.as_mut().expect("a handle is used once");
        let outcome = self.comm.engine().test(request);
        if let Some(outcome) = outcome.clone().transpose() {
            self.comm.inner.arrived(trace, &outcome);
        }
        if !matches!(outcome, Ok(None) | Err(engine::Fault::Aborted)) {
            self.close(entry);
        }
        outcome
    }

    pub fn look(&self, index: usize, look: &mut dyn FnMut(&Engine, &mut engine::Request)) {
        if index == OVER {
            return look(self.comm.engine(), &mut self.comm.engine().over());
        }
        let entry = &mut self.entries.borrow_mut()[index];
        look(self.comm.engine(), &mut entry.as_mut().expect("a handle is used once").request);
    }

    /// Notes what the engine said of an operation.
    pub fn conclude(&self, index: usize, outcome: Outcome<Envelope>) -> Outcome<Envelope> {
        if index == OVER {
            return outcome;
        }
        let entry = &mut self.entries.borrow_mut()[index];
        if let Some(Entry { trace, .. }) = entry {
            self.comm.inner.arrived(trace, &outcome);
        }
        if !matches!(outcome, Err(engine::Fault::Aborted)) {
            self.close(entry);
        }
        outcome
    }

    /// What waiting for an operation waits for.
    pub fn trace(&self, index: usize) -> Option<Trace> {
        self.entries.borrow().get(index).and_then(|entry| entry.as_ref().map(|entry| entry.trace))
    }

    /// Of a receive, which is never over when it is started.
    pub fn cancel_recv(&self, index: usize) -> Outcome<Option<Envelope>> {
        let entry = &mut self.entries.borrow_mut()[index];
        let Entry { request, trace } = entry.as_mut().expect("a handle is used once");
        let outcome = self.comm.engine().cancel_recv(request);
        match outcome.clone().transpose() {
            Some(outcome) => self.comm.inner.arrived(trace, &outcome),
            None => self.comm.inner.taken_back(trace),
        }
        if !matches!(outcome, Err(engine::Fault::Aborted)) {
            self.close(entry);
        }
        outcome
    }

    /// Completes everything that is still under way.
    fn finish(&self, place: Place) -> Result<()> {
        if self.open.get() == 0 {
            return Ok(());
        }
        let mut first = Ok(());
        let entries = self.entries.borrow().len();
        for index in 0..entries {
            let open = self.entries.borrow()[index].is_some();
            if open && let Err(fault) = self.wait(index, &"scope", place) {
                let error = self.comm.fault("scope", place, fault, ("elements", 1));
                first = first.and(Err(error));
            }
        }
        first
    }

    /// Takes everything back that is still under way; what cannot be taken back brings the job down, because its
    /// buffer is about to go.
    fn cancel(&self, why: &Error) {
        for entry in self.entries.borrow_mut().iter_mut() {
            if let Some(Entry { request, trace }) = entry {
                if !self.comm.engine().cancel(request) {
                    self.comm.engine().bring_down(why.clone());
                }
                self.comm.inner.taken_back(trace);
                self.close(entry);
            }
        }
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        if self.open.get() != 0 {
            // Only a panic in the scope's closure or a failed completion comes here.
            let why = Error::new(ErrorKind::Panic, "panicked with nonblocking operations under way")
                .on_rank(self.comm.rank());
            self.cancel(&why);
        }
        let entries = self.entries.get_mut();
        if entries.capacity() > 0 {
            // The next scope writes its records where these were.
            entries.clear();
            self.comm.inner.tables.borrow_mut().push(std::mem::take(entries));
        }
    }
}

/// Empty tables of scopes that have ended.
pub(crate) type Spares = RefCell<Vec<Vec<Option<Entry>>>>;

/// Starts nonblocking operations on buffers that outlive the scope; from [`Comm::scope`].
pub struct Scope<'scope, 'env: 'scope> {
    table: Table<'env>,
    /// Operations on views that had to be packed.
    pub(super) deferred: Deferred<'env>,
    /// Invariant in both, as std's thread scopes are: a buffer must live for the whole scope.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

impl Comm {
    /// Runs `f`, which may start nonblocking operations on borrowed buffers; when it returns, all of them are
    /// complete, also those whose handle was forgotten.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let (right, left) = ((world.rank() + 1) % world.size(), (world.rank() + world.size() - 1) % world.size());
    ///     let (edge, mut ghost) = ([world.rank() as f64], [0.0]);
    ///     world.scope(|s| {
    ///         let r = s.irecv(&mut ghost, left, 1)?;
    ///         let t = s.isend(&edge, right, 1)?;
    ///         // work that needs neither buffer
    ///         let (ghost, status) = r.wait()?;
    ///         assert_eq!((ghost[0], status.source), (left as f64, left));
    ///         t.wait()?;
    ///         Ok(())
    ///     })?;
    ///     assert_eq!(ghost[0], left as f64);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// If `f` fails, what is under way is taken back. A receive always can be; a send that MPI cannot take back
    /// ends the job with the error, since its buffer could not be given back safely.
    ///
    /// A buffer under way cannot be touched:
    ///
    /// ```compile_fail,E0503
    /// rankine::testing::ranks([1], |world| {
    ///     let mut ghost = [0.0];
    ///     world.scope(|s| {
    ///         let r = s.irecv(&mut ghost, 0, 1)?;
    ///         ghost[0] = 1.0;
    ///         r.wait()?;
    ///         Ok(())
    ///     })
    /// });
    /// ```
    ///
    /// nor be given to two operations, unless both only read it:
    ///
    /// ```compile_fail,E0499
    /// rankine::testing::ranks([2], |world| {
    ///     let (mut ghost, other) = ([0.0], 1 - world.rank());
    ///     world.scope(|s| {
    ///         let one = s.irecv(&mut ghost, other, 1)?;
    ///         let two = s.irecv(&mut ghost, other, 2)?;
    ///         one.wait()?;
    ///         two.wait().map(drop)
    ///     })
    /// });
    /// ```
    #[track_caller]
    pub fn scope<'env, R>(
        &'env self,
        f: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> Result<R>,
    ) -> Result<R> {
        let place = Location::caller();
        let table = Table { comm: self, entries: RefCell::default(), open: Cell::new(0) };
        let scope = Scope { table, deferred: Deferred::default(), scope: PhantomData, env: PhantomData };
        match f(&scope) {
            Ok(value) => {
                scope.table.finish(place)?;
                scope.deferred.finish(place)?;
                Ok(value)
            }
            Err(error) => {
                scope.table.cancel(&error);
                Err(error)
            }
        }
    }
}

impl<'scope, 'env> Scope<'scope, 'env> {
    pub(crate) fn comm(&self) -> &'env Comm {
        self.table.comm
    }

    /// The handle of an operation that has been started.
    ///
    /// # Safety
    /// The operation works on the buffer behind `raw` only, which is borrowed for all of `'scope`.
    pub(crate) unsafe fn adopt<B: Buffer>(
        &'scope self,
        (request, trace): (engine::Request, Trace),
        raw: B::Raw,
        place: Place,
    ) -> Request<'scope, B> {
        Request::new(&self.table, self.table.add(request, trace), raw, place)
    }

    /// Starts sending `data` to rank `dest`; [`Request::wait`] gives the buffer back.
    #[track_caller]
    pub fn isend<T: Element>(
        &'scope self,
        data: &'scope [T],
        dest: usize,
        tag: i32,
    ) -> Result<Request<'scope, &'scope [T]>> {
        self.isend_as("isend", Mode::Standard, data, dest, tag, Location::caller())
    }

    /// Starts receiving at most `data.len()` elements; [`Request::wait`] gives the buffer back with the status.
    #[track_caller]
    pub fn irecv<T: Element>(
        &'scope self,
        data: &'scope mut [T],
        source: impl Into<Source>,
        tag: impl Into<Tag>,
    ) -> Result<Request<'scope, &'scope mut [T]>> {
        self.irecv_at(data, source.into(), tag.into(), Location::caller())
    }

    pub(crate) fn isend_as<T: Element>(
        &'scope self,
        call: &str,
        mode: Mode,
        data: &'scope [T],
        dest: usize,
        tag: i32,
        place: Place,
    ) -> Result<Request<'scope, &'scope [T]>> {
        let bytes = bytemuck::cast_slice(data);
        // SAFETY: `data` is borrowed for all of 'scope, and the table completes or cancels the operation before
        // 'scope ends, whatever becomes of the handle.
        let index =
            unsafe { self.table.start_send(call, mode, bytes, T::KIND, (dest, tag), place, named::<T>) }?;
        Ok(Request::new(&self.table, index, <&[T]>::lay_down(data), place))
    }

    pub(crate) fn irecv_at<T: Element>(
        &'scope self,
        data: &'scope mut [T],
        source: Source,
        tag: Tag,
        place: Place,
    ) -> Result<Request<'scope, &'scope mut [T]>> {
        let raw = <&mut [T]>::lay_down(data);
        let bytes = (raw.0.as_ptr().cast(), raw.1 * size_of::<T>());
        // SAFETY: `data` is borrowed mutably for all of 'scope and only the raw parts of it are kept until the
        // operation is complete; the table completes or cancels it before 'scope ends.
        let index = unsafe { self.table.start_recv(bytes, T::KIND, (source, tag), place, named::<T>) }?;
        Ok(Request::new(&self.table, index, raw, place))
    }

    /// Starts receiving a message that was matched; as [`Scope::irecv`].
    ///
    /// # Errors
    /// `data` is shorter than the message, which is lost then.
    #[track_caller]
    pub fn irecv_message<T: Element>(
        &'scope self,
        message: Message<T>,
        data: &'scope mut [T],
    ) -> Result<Request<'scope, &'scope mut [T]>> {
        self.irecv_message_at("irecv_message", message, data, Location::caller())
    }

    pub(crate) fn irecv_message_at<T: Element>(
        &'scope self,
        call: &str,
        message: Message<T>,
        data: &'scope mut [T],
        place: Place,
    ) -> Result<Request<'scope, &'scope mut [T]>> {
        // The message's own communicator, which may be another than the scope's: requests may be used with either.
        let comm = message.comm();
        let raw = <&mut [T]>::lay_down(data);
        // SAFETY: as in `irecv_at`.
        let started = unsafe {
            comm.engine().imrecv(message.hand_on(), raw.0.as_ptr().cast(), raw.1 * size_of::<T>(), T::KIND)
        };
        let request = started.map_err(|fault| comm.fault(call, place, fault, named::<T>()))?;
        // The message is here already.
        let trace = Trace::of_nothing(place);
        Ok(Request::new(&self.table, self.table.add(request, trace), raw, place))
    }
}
