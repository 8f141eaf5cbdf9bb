//! Checked slices become the raw parts that engines take: the only `unsafe` of this folder.
//!
//! A [`Part`] borrows its buffers, so nobody else can use them while it lives; whoever starts something that outlives
//! the part keeps them otherwise ([`Scope`], [`OwnedCollective`]). What lengths a call needs is checked in its own file;
//! here only that no layout reaches beyond its buffer.

use super::blocks::{Scratch, Spans};
use super::owned::OwnedCollective;
use super::plan::CollectivePlan;
use super::{Comm, Element, Result, Site, named};
use crate::comm::op::Op;
use crate::comm::request::{Owned, Request};
use crate::comm::scope::Scope;
use crate::comm::watched::Trace;
use crate::engine::{self, Call, Collective, Layout, Reduction, Side, Span};
use crate::timing::Doing;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// The raw parts of a slice.
pub(crate) type Slice<T> = (NonNull<T>, usize);

/// One rank's part in a collective, on buffers borrowed for `'b` and layouts for `'l`.
pub(crate) struct Part<'b, 'l, T: Element> {
    call: Call,
    root: Option<usize>,
    op: Option<Reduction>,
    read: Slice<T>,
    from: Layout<'l>,
    write: Slice<T>,
    into: Layout<'l>,
    buffers: PhantomData<(&'b [T], &'b mut [T])>,
}

impl<'b, 'l, T: Element> Part<'b, 'l, T> {
    /// A part that brings and takes nothing.
    #[inline]
    pub fn new(call: Call) -> Self {
        Part {
            call,
            root: None,
            op: None,
            read: (NonNull::dangling(), 0),
            from: Layout::Absent,
            write: (NonNull::dangling(), 0),
            into: Layout::Absent,
            buffers: PhantomData,
        }
    }

    #[inline]
    pub fn root(self, root: usize) -> Self {
        Part { root: Some(root), ..self }
    }

    #[inline]
    pub fn op<O: Op<T>>(self, op: O) -> Self {
        Part { op: Some(Reduction::of::<T, O>(op)), ..self }
    }

    /// The buffer to read from. Nothing is read of it until a layout is given.
    #[inline]
    pub fn reads(self, data: &'b [T]) -> Self {
        Part { read: (NonNull::from(data).cast(), data.len()), ..self }
    }

    /// The buffer to write to. Nothing is written to it until a layout is given.
    #[inline]
    pub fn writes(self, data: &'b mut [T]) -> Self {
        let len = data.len();
        Part { write: (NonNull::from(data).cast(), len), ..self }
    }

    /// How many elements the buffer to write to has.
    #[inline]
    pub fn room(&self) -> usize {
        self.write.1
    }

    /// The buffer to write to is also the one to read from: that of a call in place.
    #[inline]
    pub fn reads_what_it_writes(self) -> Self {
        Part { read: self.write, ..self }
    }

    /// Brings the whole buffer, as one block.
    #[inline]
    pub fn bring(self) -> Self {
        Part { from: Layout::One(self.read.1 * size_of::<T>()), ..self }
    }

    /// Brings a block of `len` elements for every one of `size` ranks.
    #[inline]
    pub fn bring_each(self, len: usize, size: usize) -> Self {
        Part { from: each::<T>(len, size, self.read.1), ..self }
    }

    #[inline]
    pub fn bring_spans(self, spans: Spans<'l>) -> Self {
        Part { from: within(spans, self.read), ..self }
    }

    /// Brings what lies in the buffer written to, where MPI has it.
    #[inline]
    pub fn bring_in_place(self) -> Self {
        Part { from: Layout::InPlace, ..self }
    }

    /// Takes one block, the whole buffer.
    #[inline]
    pub fn take(self) -> Self {
        Part { into: Layout::One(self.write.1 * size_of::<T>()), ..self }
    }

    /// Takes a block of `len` elements of every one of `size` ranks.
    #[inline]
    pub fn take_each(self, len: usize, size: usize) -> Self {
        Part { into: each::<T>(len, size, self.write.1), ..self }
    }

    #[inline]
    pub fn take_spans(self, spans: Spans<'l>) -> Self {
        Part { into: within(spans, self.write), ..self }
    }

    /// Leaves what this rank would take where it lies in the buffer read from.
    #[inline]
    pub fn take_in_place(self) -> Self {
        Part { into: Layout::InPlace, ..self }
    }

    #[inline(always)]
    fn raw(&self) -> Collective<'_> {
        Collective {
            call: self.call,
            root: self.root,
            kind: (self.call != Call::Barrier).then_some(T::KIND),
            send: Side { data: self.read.0.as_ptr().cast(), layout: self.from },
            recv: Side { data: self.write.0.as_ptr().cast(), layout: self.into },
            op: self.op.as_ref(),
        }
    }
}

#[inline]
fn each<'l, T>(len: usize, size: usize, have: usize) -> Layout<'l> {
    assert!(len.checked_mul(size).is_some_and(|total| total <= have), "blocks inside the buffer");
    Layout::Each(len * size_of::<T>())
}

#[inline]
fn within<'l, T>(spans: Spans<'l>, buffer: Slice<T>) -> Layout<'l> {
    assert!(spans.reach <= buffer.1 * size_of::<T>(), "blocks inside the buffer");
    Layout::Spans(spans.spans)
}

impl Comm {
    /// Takes part and returns when this rank is done.
    // Always in its caller, so that the part never lies in memory: what is called is the same for all types.
    #[inline(always)]
    pub(super) fn perform<T: Element>(&self, site: Site, part: &Part<'_, '_, T>) -> Result<()> {
        // SAFETY: the part borrows its buffers, one for reads and one for writes, and its layouts stay inside them; in
        // place, the one written to is both.
        unsafe { self.perform_raw(site, &part.raw(), named::<T>) }
    }

    /// # Safety
    /// As `Engine::collective`.
    #[inline(never)]
    unsafe fn perform_raw(
        &self,
        site: Site,
        part: &Collective<'_>,
        element: fn() -> (&'static str, usize),
    ) -> Result<()> {
        let trace = self.inner.entering(part, site.place);
        let _in = self.inner.within(part.call.name_of(), site.place, trace.need());
        // SAFETY: as the caller vouches.
        unsafe { self.engine().collective(part, site.place) }
            .map_err(|fault| self.fault(site.call, site.place, fault, element()))
    }

    /// Starts a collective.
    ///
    /// # Safety
    /// The part's buffers stay as they are, and nobody touches them, until the request is complete or cancelled.
    pub(super) unsafe fn post<T: Element>(
        &self,
        site: Site,
        part: &Part<'_, '_, T>,
    ) -> Result<(engine::Request, Trace)> {
        let _timed = self.inner.clock.communicating(Doing::Sending);
        let part = part.raw();
        let trace = self.inner.starting(&part, site.place);
        // SAFETY: as in `perform`; for how long, the caller vouches.
        unsafe { self.engine().start(&part, site.place) }
            .map(|request| (request, trace))
            .map_err(|fault| self.fault(site.call, site.place, fault, named::<T>()))
    }

    /// Starts a collective on buffers of its own.
    pub(super) fn post_owned<B: Vectors>(
        &self,
        site: Site,
        mut buffers: B,
        part: impl for<'b, 'l> FnOnce(&'b mut B, &'l mut Scratch) -> Result<Part<'b, 'l, B::Item>>,
    ) -> Result<OwnedCollective<B>> {
        let request = self.scratch(|scratch| {
            let part = part(&mut buffers, scratch)?;
            // SAFETY: what the buffers hold stays where it is and untouched in `Owned`, until the operation is complete,
            // cancelled or leaked.
            unsafe { self.post(site, &part) }
        })?;
        Ok(OwnedCollective::new(Owned::new(self.inner.clone(), request, buffers)))
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Starts a collective without buffers.
    pub(super) fn post_none(
        &'scope self,
        site: Site,
        part: Part<'scope, '_, u8>,
    ) -> Result<Request<'scope, ()>> {
        // SAFETY: the scope completes or cancels what is started in it; the part's borrow lasts as long.
        unsafe { Ok(self.adopt(self.comm().post(site, &part)?, (), site.place)) }
    }

    /// Starts a collective on one buffer, the one it writes to.
    pub(super) fn post_one<T: Element>(
        &'scope self,
        site: Site,
        part: Part<'scope, '_, T>,
    ) -> Result<Request<'scope, (&'scope mut [T],)>> {
        // SAFETY: as above; the part's raw slice is the `&'scope mut [T]` that it was given.
        unsafe { Ok(self.adopt(self.comm().post(site, &part)?, part.write, site.place)) }
    }

    /// Starts a collective on two buffers.
    pub(super) fn post_two<T: Element>(
        &'scope self,
        site: Site,
        part: Part<'scope, '_, T>,
    ) -> Result<Request<'scope, (&'scope [T], &'scope mut [T])>> {
        // SAFETY: as above; the part's raw slices are the ones that it was given.
        unsafe { Ok(self.adopt(self.comm().post(site, &part)?, [part.read, part.write], site.place)) }
    }
}

/// A part kept without its buffers, to be started on them again and again.
pub(crate) struct Stored<T: Element> {
    call: Call,
    root: Option<usize>,
    op: Option<Reduction>,
    from: Kept,
    into: Kept,
    element: PhantomData<T>,
}

/// A [`Layout`] that owns its spans.
enum Kept {
    Plain(Layout<'static>),
    Spans(Box<[Span]>),
}

impl Kept {
    fn of(layout: Layout<'_>) -> Kept {
        match layout {
            Layout::Spans(spans) => Kept::Spans(spans.into()),
            Layout::Absent => Kept::Plain(Layout::Absent),
            Layout::One(bytes) => Kept::Plain(Layout::One(bytes)),
            Layout::Each(bytes) => Kept::Plain(Layout::Each(bytes)),
            Layout::InPlace => Kept::Plain(Layout::InPlace),
        }
    }

    fn layout(&self) -> Layout<'_> {
        match self {
            Kept::Plain(layout) => *layout,
            Kept::Spans(spans) => Layout::Spans(spans),
        }
    }
}

impl Comm {
    /// Makes a plan of a part on these buffers.
    pub(super) fn store<B: Vectors>(
        &self,
        site: Site,
        mut buffers: B,
        part: impl for<'b, 'l> FnOnce(&'b mut B, &'l mut Scratch) -> Result<Part<'b, 'l, B::Item>>,
    ) -> Result<CollectivePlan<B>> {
        let stored = self.scratch(|scratch| {
            part(&mut buffers, scratch).map(|Part { call, root, op, from, into, .. }| Stored {
                call,
                root,
                op,
                from: Kept::of(from),
                into: Kept::of(into),
                element: PhantomData,
            })
        })?;
        Ok(self.plan(site, stored, buffers))
    }

    /// Starts a stored part on its buffers.
    ///
    /// # Safety
    /// As [`Comm::post`]; the slices have the lengths of those that the part was made of.
    pub(super) unsafe fn restart<T: Element>(
        &self,
        site: Site,
        stored: &Stored<T>,
        [read, write]: [Slice<T>; 2],
    ) -> Result<(engine::Request, Trace)> {
        let Stored { call, root, op, .. } = *stored;
        let (from, into) = (stored.from.layout(), stored.into.layout());
        let part = Part { call, root, op, read, from, write, into, buffers: PhantomData };
        // SAFETY: as the caller vouches.
        unsafe { self.post(site, &part) }
    }
}

/// The vectors that an [`OwnedCollective`] or a [`CollectivePlan`] works on: one, two (sent from and received into), or
/// none.
///
/// # Safety
/// Moving the value does not move what its vectors hold, and `raw` describes that.
pub unsafe trait Vectors: Sized + 'static {
    /// What the vectors hold.
    type Item: Element;
    /// Their elements, lent.
    type Lent<'a>;
    /// Their elements, to read and to fill.
    fn lend(&mut self) -> Self::Lent<'_>;
    /// Where they are: read from, written to.
    #[doc(hidden)]
    fn raw(&mut self) -> [(NonNull<Self::Item>, usize); 2];
}

fn raw<T>(data: &mut [T]) -> Slice<T> {
    let len = data.len();
    (NonNull::from(data).cast(), len)
}

// SAFETY: a vector's elements are on the heap.
unsafe impl<T: Element> Vectors for Vec<T> {
    type Item = T;
    type Lent<'a> = &'a mut [T];
    fn lend(&mut self) -> &mut [T] {
        self
    }
    fn raw(&mut self) -> [Slice<T>; 2] {
        [raw(self); 2]
    }
}

// SAFETY: as above.
unsafe impl<T: Element> Vectors for (Vec<T>, Vec<T>) {
    type Item = T;
    type Lent<'a> = (&'a mut [T], &'a mut [T]);
    fn lend(&mut self) -> (&mut [T], &mut [T]) {
        (&mut self.0, &mut self.1)
    }
    fn raw(&mut self) -> [Slice<T>; 2] {
        [raw(&mut self.0), raw(&mut self.1)]
    }
}

// SAFETY: there is nothing to move.
unsafe impl Vectors for () {
    type Item = u8;
    type Lent<'a> = ();
    fn lend(&mut self) {}
    fn raw(&mut self) -> [Slice<u8>; 2] {
        [(NonNull::dangling(), 0); 2]
    }
}
