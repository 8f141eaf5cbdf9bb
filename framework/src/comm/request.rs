//! Handles of nonblocking operations: waiting gives the buffer back.
//!
//! [`Request`] is on a buffer borrowed by a scope; [`OwnedSend`] and [`OwnedRecv`] own theirs. The calls that
//! start borrowed ones are in `scope`.

use super::many;
use super::matched::Message;
use super::p2p::{Source, Status, Tag, named, whole};
use super::scope::Table;
use super::watched::Trace;
use super::{Comm, Element, Inner};
use crate::engine::{self, Envelope, Fault, Mode, Outcome, Place};
use crate::error::Result;
use crate::watch::Name;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::ptr::NonNull;
use std::rc::Rc;

/// A borrowed buffer that an operation may hold: `&[T]` to send from, `&mut [T]` to receive into; a collective holds
/// nothing, one buffer `(&mut [T],)`, or one of each.
pub trait Buffer: sealed::Sealed + Sized {
    /// What waiting gives back: the buffer, with the [`Status`] of a receive.
    type Done;
    #[doc(hidden)]
    type Raw;
    /// Keeps only the address: no reference may live while an engine writes.
    #[doc(hidden)]
    fn lay_down(self) -> Self::Raw;
    /// # Safety
    /// The operation on `raw` is complete and nobody else uses the buffer.
    #[doc(hidden)]
    unsafe fn pick_up(raw: Self::Raw, envelope: sealed::Arrived) -> Result<Self::Done, sealed::Failed>;
    #[doc(hidden)]
    fn element() -> (&'static str, usize);
}

pub(crate) mod sealed {
    /// Keeps [`super::Buffer`] to the types of this file.
    pub trait Sealed {}
    impl<T> Sealed for &[T] {}
    impl<T> Sealed for &mut [T] {}
    impl Sealed for () {}
    impl<T> Sealed for (&mut [T],) {}
    impl<T> Sealed for (&[T], &mut [T]) {}
    /// The engine's envelope, unnamed outside.
    pub struct Arrived(pub(crate) crate::engine::Envelope);
    /// The engine's fault, unnamed outside.
    pub struct Failed(pub(crate) crate::engine::Fault);
}

impl<'s, T: Element> Buffer for &'s [T] {
    type Done = &'s [T];
    type Raw = (NonNull<T>, usize);
    fn lay_down(self) -> Self::Raw {
        (NonNull::from(self).cast(), self.len())
    }
    unsafe fn pick_up(raw: Self::Raw, _: sealed::Arrived) -> Result<Self::Done, sealed::Failed> {
        // SAFETY: the parts of a `&'s [T]`.
        Ok(unsafe { std::slice::from_raw_parts(raw.0.as_ptr(), raw.1) })
    }
    fn element() -> (&'static str, usize) {
        named::<T>()
    }
}

impl<'s, T: Element> Buffer for &'s mut [T] {
    type Done = (&'s mut [T], Status);
    type Raw = (NonNull<T>, usize);
    fn lay_down(self) -> Self::Raw {
        let len = self.len();
        (NonNull::from(self).cast(), len)
    }
    unsafe fn pick_up(raw: Self::Raw, arrived: sealed::Arrived) -> Result<Self::Done, sealed::Failed> {
        let envelope = whole::<T>(arrived.0).map_err(sealed::Failed)?;
        // SAFETY: the parts of a `&'s mut [T]` that nobody else uses any more.
        let buffer = unsafe { std::slice::from_raw_parts_mut(raw.0.as_ptr(), raw.1) };
        Ok((buffer, Status::of::<T>(envelope)))
    }
    fn element() -> (&'static str, usize) {
        named::<T>()
    }
}

impl Buffer for () {
    type Done = ();
    type Raw = ();
    fn lay_down(self) {}
    unsafe fn pick_up(_: (), _: sealed::Arrived) -> Result<(), sealed::Failed> {
        Ok(())
    }
    fn element() -> (&'static str, usize) {
        ("", 1)
    }
}

impl<'s, T: Element> Buffer for (&'s mut [T],) {
    type Done = &'s mut [T];
    type Raw = (NonNull<T>, usize);
    fn lay_down(self) -> Self::Raw {
        self.0.lay_down()
    }
    unsafe fn pick_up(raw: Self::Raw, _: sealed::Arrived) -> Result<Self::Done, sealed::Failed> {
        // SAFETY: the parts of a `&'s mut [T]` that nobody else uses any more.
        Ok(unsafe { std::slice::from_raw_parts_mut(raw.0.as_ptr(), raw.1) })
    }
    fn element() -> (&'static str, usize) {
        named::<T>()
    }
}

impl<'s, T: Element> Buffer for (&'s [T], &'s mut [T]) {
    type Done = Self;
    type Raw = [(NonNull<T>, usize); 2];
    fn lay_down(self) -> Self::Raw {
        [self.0.lay_down(), self.1.lay_down()]
    }
    unsafe fn pick_up([send, recv]: Self::Raw, _: sealed::Arrived) -> Result<Self::Done, sealed::Failed> {
        // SAFETY: the parts of a `&'s [T]` and of a `&'s mut [T]` that nobody else uses any more.
        Ok(unsafe {
            (
                std::slice::from_raw_parts(send.0.as_ptr(), send.1),
                std::slice::from_raw_parts_mut(recv.0.as_ptr(), recv.1),
            )
        })
    }
    fn element() -> (&'static str, usize) {
        named::<T>()
    }
}

/// What a test found: the operation's result, or the handle to ask again.
pub enum Test<D, R> {
    /// Complete.
    Done(D),
    /// Not yet.
    Pending(R),
}

/// An operation under way on a buffer that a [`Scope`](super::Scope) borrowed.
///
/// It can be waited for once:
///
/// ```compile_fail,E0382
/// rankine::testing::ranks([1], |world| {
///     let data = [1.0];
///     world.scope(|s| {
///         let t = s.isend(&data, 0, 1)?;
///         t.wait()?;
///         t.wait().map(drop)
///     })
/// });
/// ```
///
/// and in its scope only:
///
/// ```compile_fail
/// rankine::testing::ranks([1], |world| {
///     let data = [1.0];
///     let t = world.scope(|s| s.isend(&data, 0, 1))?;
///     t.wait().map(drop)
/// });
/// ```
///
/// One that nobody waits for is complete when its scope ends; the compiler warns of it:
///
/// ```compile_fail
/// #![deny(unused_must_use)]
/// rankine::testing::ranks([2], |world| {
///     let mut ghost = [0.0];
///     world.scope(|s| {
///         s.irecv(&mut ghost, 1 - world.rank(), 1)?;
///         world.send(&[1.0], 1 - world.rank(), 1)
///     })
/// });
/// ```
#[must_use = "the buffer comes back from wait()"]
pub struct Request<'s, B: Buffer> {
    table: &'s Table<'s>,
    index: usize,
    raw: B::Raw,
    place: Place,
    buffer: PhantomData<B>,
}

impl<'s, B: Buffer> Request<'s, B> {
    pub(crate) fn new(table: &'s Table<'s>, index: usize, raw: B::Raw, place: Place) -> Self {
        Request { table, index, raw, place, buffer: PhantomData }
    }

    /// Blocks until the operation is complete and gives the buffer back; a receive's with its [`Status`].
    ///
    /// # Errors
    /// Those of [`Comm::send`] and [`Comm::recv`].
    #[track_caller]
    pub fn wait(self) -> Result<B::Done> {
        self.wait_in(&"wait", Location::caller())
    }

    /// As the part of another call.
    pub(crate) fn wait_in(self, call: Name, place: Place) -> Result<B::Done> {
        let comm = self.table.comm;
        self.table
            .wait(self.index, call, place)
            .and_then(|envelope| {
                // SAFETY: the engine said that the operation is complete.
                unsafe { B::pick_up(self.raw, sealed::Arrived(envelope)) }.map_err(|f| f.0)
            })
            .map_err(|fault| comm.fault(call, place, fault, B::element()))
    }

    /// Looks whether the operation is complete, and helps it along.
    #[track_caller]
    pub fn test(self) -> Result<Test<B::Done, Self>> {
        let (comm, place) = (self.table.comm, Location::caller());
        match self.table.test(self.index) {
            Ok(None) => Ok(Test::Pending(self)),
            // SAFETY: the engine said that the operation is complete.
            Ok(Some(envelope)) => match unsafe { B::pick_up(self.raw, sealed::Arrived(envelope)) } {
                Ok(done) => Ok(Test::Done(done)),
                Err(failed) => Err(comm.fault("test", place, failed.0, B::element())),
            },
            Err(fault) => Err(comm.fault("test", place, fault, B::element())),
        }
    }

    /// The source line that started the operation.
    pub fn started_at(&self) -> &'static Location<'static> {
        self.place
    }
}

impl<'s, T: Element> Request<'s, &'s mut [T]> {
    /// Takes the receive back, without waiting for anybody, and gives the buffer back. It may have been complete
    /// already: then with its status, as [`Request::wait`].
    ///
    /// # Errors
    /// It was complete with an error.
    #[track_caller]
    pub fn cancel(self) -> Result<Cancel<&'s mut [T]>> {
        let (comm, place) = (self.table.comm, Location::caller());
        let done = self.table.cancel_recv(self.index).and_then(|envelope| match envelope {
            // SAFETY: the engine said that the operation is complete.
            Some(envelope) => unsafe { <&mut [T]>::pick_up(self.raw, sealed::Arrived(envelope)) }
                .map(|(buffer, status)| Cancel::Done(buffer, status))
                .map_err(|failed| failed.0),
            // SAFETY: the parts of a `&'s mut [T]`, and the engine said that nobody else uses it any more.
            None => Ok(Cancel::Cancelled(unsafe {
                std::slice::from_raw_parts_mut(self.raw.0.as_ptr(), self.raw.1)
            })),
        });
        done.map_err(|fault| comm.fault("cancel", place, fault, named::<T>()))
    }
}

impl<B: Buffer> many::sealed::Pending for Request<'_, B> {
    type Done = B::Done;
    fn maker(&self) -> many::sealed::Maker {
        many::sealed::Maker(self.table.comm.inner.clone())
    }
    fn look(&mut self, look: many::sealed::Look<'_>) {
        self.table.look(self.index, look.0);
    }
    fn trace(&self) -> Option<many::sealed::Traced> {
        self.table.trace(self.index).map(many::sealed::Traced)
    }
    fn conclude(self, how: many::sealed::How) -> Result<B::Done, many::sealed::Failed> {
        let envelope = self.table.conclude(self.index, how.0).map_err(many::sealed::Failed)?;
        // SAFETY: the engine said that the operation is complete.
        unsafe { B::pick_up(self.raw, sealed::Arrived(envelope)) }
    }
    fn element() -> (&'static str, usize) {
        B::element()
    }
}

/// What became of a receive that was taken back.
#[derive(Debug, PartialEq, Eq)]
pub enum Cancel<B> {
    /// It was complete: what waiting would have given.
    Done(B, Status),
    /// It was not, and never will be: its buffer.
    Cancelled(B),
}

/// An operation under way on buffers of its own. A forgotten one leaks them; a dropped one is cancelled if the engine
/// can, and leaks them if not.
pub(crate) struct Owned<B> {
    pub comm: Rc<Inner>,
    /// `None` once complete.
    request: Option<engine::Request>,
    pub trace: Trace,
    /// Where the watch keeps that it must be ended.
    open: usize,
    /// `None` once given back.
    data: Option<ManuallyDrop<B>>,
}

impl<B> Owned<B> {
    /// `request` works on `data`, whose contents stay where they are when `data` itself is moved.
    pub fn new(comm: Rc<Inner>, (request, trace): (engine::Request, Trace), data: B) -> Self {
        let open = comm.watch.opened(&"a request", trace.place());
        Owned { comm, request: Some(request), trace, open, data: Some(ManuallyDrop::new(data)) }
    }

    pub fn comm(&self) -> Comm {
        Comm { inner: self.comm.clone() }
    }

    pub fn finish(&mut self, outcome: Outcome<Envelope>) -> Outcome<(B, Envelope)> {
        if matches!(outcome, Err(Fault::Aborted)) {
            return Err(Fault::Aborted);
        }
        self.comm.arrived(&self.trace, &outcome);
        self.request = None;
        let envelope = outcome?;
        let data = self.data.take().expect("given back once");
        Ok((ManuallyDrop::into_inner(data), envelope))
    }

    /// Takes a receive back; its envelope if it was complete.
    fn cancel_recv(&mut self) -> Outcome<(B, Option<Envelope>)> {
        let request = self.request.as_mut().expect("used until it is complete");
        let cancelled = self.comm.engine.cancel_recv(request);
        let none = Envelope { source: 0, tag: 0, kind: 0, bytes: 0 };
        let complete = matches!(cancelled, Ok(Some(_)));
        if matches!(cancelled, Ok(None)) {
            self.comm.taken_back(&self.trace);
            self.trace = Trace::of_nothing(self.trace.place());
        }
        let (data, envelope) = self.finish(cancelled.map(|envelope| envelope.unwrap_or(none)))?;
        Ok((data, complete.then_some(envelope)))
    }

    pub fn look(&mut self, look: &mut dyn FnMut(&engine::Engine, &mut engine::Request)) {
        look(&self.comm.engine, self.request.as_mut().expect("used until it is complete"));
    }

    pub fn wait(&mut self, call: Name, place: Place) -> Outcome<(B, Envelope)> {
        let request = self.request.as_mut().expect("waited once");
        let outcome = {
            let _in = self.comm.waiting(call, place, &self.trace);
            self.comm.engine.wait(request)
        };
        self.finish(outcome)
    }

    pub fn test(&mut self) -> Outcome<Option<(B, Envelope)>> {
        let request = self.request.as_mut().expect("used until it is complete");
        match self.comm.engine.test(request).transpose() {
            None => Ok(None),
            Some(outcome) => self.finish(outcome).map(Some),
        }
    }
}

impl<B> Drop for Owned<B> {
    fn drop(&mut self) {
        let idle = match &mut self.request {
            None => true,
            Some(request) => {
                let back = self.comm.engine.cancel(request);
                if back {
                    self.comm.taken_back(&self.trace);
                }
                back
            }
        };
        self.comm.watch.ended(self.open);
        if idle {
            // The engine no longer touches them.
            self.data.take().map(ManuallyDrop::into_inner);
        }
    }
}

/// A send under way that owns its data; from [`Comm::isend_owned`].
///
/// Its vector is elsewhere until it comes back from [`OwnedSend::wait`]:
///
/// ```compile_fail,E0382
/// rankine::testing::ranks([1], |world| {
///     let mut data = vec![1.0];
///     let send = world.isend_owned(data, 0, 1)?;
///     data[0] = 2.0;
///     send.wait().map(drop)
/// });
/// ```
#[must_use = "the vector comes back from wait()"]
pub struct OwnedSend<T: Element>(Owned<Vec<T>>);

/// A receive under way that owns its buffer; from [`Comm::irecv_owned`].
#[must_use = "the vector comes back from wait()"]
pub struct OwnedRecv<T: Element>(Owned<Vec<T>>);

impl<T: Element> OwnedSend<T> {
    /// Blocks until the vector may be reused and gives it back.
    #[track_caller]
    pub fn wait(self) -> Result<Vec<T>> {
        self.wait_at(Location::caller())
    }

    pub(crate) fn wait_at(mut self, place: Place) -> Result<Vec<T>> {
        match self.0.wait(&"wait", place) {
            Ok((data, _)) => Ok(data),
            Err(fault) => Err(self.0.comm().fault("wait", place, fault, named::<T>())),
        }
    }

    /// Looks whether the send is complete.
    #[track_caller]
    pub fn test(mut self) -> Result<Test<Vec<T>, Self>> {
        match self.0.test() {
            Ok(Some((data, _))) => Ok(Test::Done(data)),
            Ok(None) => Ok(Test::Pending(self)),
            Err(fault) => Err(self.0.comm().fault("test", Location::caller(), fault, named::<T>())),
        }
    }
}

impl<T: Element> OwnedRecv<T> {
    /// Blocks until the message is there; gives the vector back with as many elements as came.
    #[track_caller]
    pub fn wait(self) -> Result<(Vec<T>, Status)> {
        self.wait_at(Location::caller())
    }

    pub(crate) fn wait_at(mut self, place: Place) -> Result<(Vec<T>, Status)> {
        match self.0.wait(&"wait", place).and_then(received) {
            Ok(done) => Ok(done),
            Err(fault) => Err(self.0.comm().fault("wait", place, fault, named::<T>())),
        }
    }

    /// Looks whether the message is there.
    #[track_caller]
    pub fn test(mut self) -> Result<Test<(Vec<T>, Status), Self>> {
        match self.0.test().and_then(|done| done.map(received).transpose()) {
            Ok(Some(done)) => Ok(Test::Done(done)),
            Ok(None) => Ok(Test::Pending(self)),
            Err(fault) => Err(self.0.comm().fault("test", Location::caller(), fault, named::<T>())),
        }
    }
}

impl<T: Element> OwnedRecv<T> {
    /// Takes the receive back, without waiting for anybody, and gives the vector back, empty. It may have been complete
    /// already: then as [`OwnedRecv::wait`].
    ///
    /// # Errors
    /// It was complete with an error.
    #[track_caller]
    pub fn cancel(mut self) -> Result<Cancel<Vec<T>>> {
        let done = self.0.cancel_recv().and_then(|(data, envelope)| match envelope {
            Some(envelope) => received((data, envelope)).map(|(data, status)| Cancel::Done(data, status)),
            None => Ok(Cancel::Cancelled(data)),
        });
        done.map_err(|fault| self.0.comm().fault("cancel", Location::caller(), fault, named::<T>()))
    }
}

impl<T: Element> many::sealed::Pending for OwnedSend<T> {
    type Done = Vec<T>;
    fn maker(&self) -> many::sealed::Maker {
        many::sealed::Maker(self.0.comm.clone())
    }
    fn look(&mut self, look: many::sealed::Look<'_>) {
        self.0.look(look.0);
    }
    fn trace(&self) -> Option<many::sealed::Traced> {
        Some(many::sealed::Traced(self.0.trace))
    }
    fn conclude(mut self, how: many::sealed::How) -> Result<Vec<T>, many::sealed::Failed> {
        self.0.finish(how.0).map(|(data, _)| data).map_err(many::sealed::Failed)
    }
    fn element() -> (&'static str, usize) {
        named::<T>()
    }
}

impl<T: Element> many::sealed::Pending for OwnedRecv<T> {
    type Done = (Vec<T>, Status);
    fn maker(&self) -> many::sealed::Maker {
        many::sealed::Maker(self.0.comm.clone())
    }
    fn look(&mut self, look: many::sealed::Look<'_>) {
        self.0.look(look.0);
    }
    fn trace(&self) -> Option<many::sealed::Traced> {
        Some(many::sealed::Traced(self.0.trace))
    }
    fn conclude(mut self, how: many::sealed::How) -> Result<(Vec<T>, Status), many::sealed::Failed> {
        self.0.finish(how.0).and_then(received).map_err(many::sealed::Failed)
    }
    fn element() -> (&'static str, usize) {
        named::<T>()
    }
}

fn received<T: Element>((mut data, envelope): (Vec<T>, Envelope)) -> Outcome<(Vec<T>, Status)> {
    let status = Status::of::<T>(whole::<T>(envelope)?);
    debug_assert!(status.len <= data.capacity());
    // SAFETY: the engine wrote `status.len` elements into the vector's capacity, and any bytes are a `T`.
    unsafe { data.set_len(status.len) };
    Ok((data, status))
}

impl Comm {
    /// Starts sending `data`; [`OwnedSend::wait`] gives it back. No scope is needed.
    #[track_caller]
    pub fn isend_owned<T: Element>(&self, data: Vec<T>, dest: usize, tag: i32) -> Result<OwnedSend<T>> {
        self.isend_owned_as("isend_owned", Mode::Standard, data, dest, tag, Location::caller())
    }

    pub(crate) fn isend_owned_as<T: Element>(
        &self,
        call: &str,
        mode: Mode,
        data: Vec<T>,
        dest: usize,
        tag: i32,
        place: Place,
    ) -> Result<OwnedSend<T>> {
        self.check_dest(call, dest, tag, place)?;
        let trace = self.inner.sending(mode, size_of_val(&data[..]), T::KIND, dest, tag, place);
        // SAFETY: the vector is kept, untouched, in `Owned` until the operation is complete, cancelled or leaked.
        let started = unsafe {
            self.engine().isend(mode, data.as_ptr().cast(), size_of_val(&data[..]), T::KIND, dest, tag)
        };
        match started {
            Ok(request) => {
                let request = request.unwrap_or_else(|| self.engine().over());
                Ok(OwnedSend(Owned::new(self.inner.clone(), (request, trace), data)))
            }
            Err(fault) => {
                self.inner.taken_back(&trace);
                Err(self.fault(call, place, fault, named::<T>()))
            }
        }
    }

    /// Starts receiving at most `buffer.capacity()` elements into `buffer`, whose contents are discarded.
    ///
    /// ```
    /// rankine::testing::ranks([2], |world| {
    ///     if world.rank() == 0 {
    ///         let r = world.irecv_owned(Vec::with_capacity(10), 1, 3)?;
    ///         let (data, status) = r.wait()?;
    ///         assert_eq!((data, status.source), (vec![4u8, 5], 1));
    ///     } else {
    ///         world.isend_owned(vec![4u8, 5], 0, 3)?.wait()?;
    ///     }
    ///     Ok(())
    /// });
    /// ```
    #[track_caller]
    pub fn irecv_owned<T: Element>(
        &self,
        mut buffer: Vec<T>,
        source: impl Into<Source>,
        tag: impl Into<Tag>,
    ) -> Result<OwnedRecv<T>> {
        let place = Location::caller();
        let (from, tagged) = self.check_source("irecv_owned", source.into(), tag.into(), place)?;
        buffer.clear();
        let bytes = room(&buffer);
        let trace = self.inner.receiving(T::KIND, from, tagged, place);
        // SAFETY: the vector's capacity is kept, untouched, in `Owned` until the operation is complete, cancelled
        // or leaked.
        let started =
            unsafe { self.engine().irecv(buffer.as_mut_ptr().cast(), bytes, T::KIND, from, tagged) };
        match started {
            Ok(request) => {
                self.inner.left_open(&trace, &request);
                Ok(OwnedRecv(Owned::new(self.inner.clone(), (request, trace), buffer)))
            }
            Err(fault) => Err(self.fault("irecv_owned", place, fault, named::<T>())),
        }
    }
}

/// The bytes of a vector's capacity.
fn room<T>(buffer: &Vec<T>) -> usize {
    match size_of::<T>() {
        0 => 0,
        size => buffer.capacity() * size,
    }
}

impl<T: Element> Message<T> {
    /// Starts receiving it into `buffer`, whose contents are discarded.
    ///
    /// # Errors
    /// The buffer's capacity is less than the message, which is lost then.
    #[track_caller]
    pub fn irecv_owned(self, mut buffer: Vec<T>) -> Result<OwnedRecv<T>> {
        let (comm, place) = (self.comm(), Location::caller());
        buffer.clear();
        let (at, bytes) = (buffer.as_mut_ptr().cast(), room(&buffer));
        // SAFETY: the vector's capacity is kept, untouched, in `Owned` until the operation is complete, cancelled
        // or leaked.
        let started = unsafe { comm.engine().imrecv(self.hand_on(), at, bytes, T::KIND) };
        match started {
            Ok(request) => Ok(OwnedRecv(Owned::new(comm.inner, (request, Trace::of_nothing(place)), buffer))),
            Err(fault) => Err(comm.fault("irecv_owned", place, fault, named::<T>())),
        }
    }
}
