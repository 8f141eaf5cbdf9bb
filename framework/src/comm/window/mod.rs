//! One-sided communication: memory into which other ranks reach while its owner does something else.
//!
//! A [`Window`] is a part on every rank. Between epochs a rank uses its own part as a slice; during an epoch everybody
//! reaches into everybody's. Epochs are closures, so none can be forgotten: `epoch` has them and the accesses are in
//! `access`; those of one epoch that conflict are found in `conflict`. Windows of a node's shared memory are in `shared`; which elements can be combined at the target is in
//! `merge`.

mod access;
mod conflict;
mod epoch;
mod merge;
mod shared;
mod watched;

pub use access::{Access, Active, Epoch, Locked, Passive};
pub use epoch::{Lock, Sharing};
pub use merge::{Atomic, Merge, NoOp, Replace, Swap};
pub use shared::{Parts, SharedWindow};

use super::p2p::named;
use super::{Comm, Element};
use crate::engine::window::{self as engine, Block, Memory, Step};
use crate::engine::{Fault, Outcome, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::watch::Name;
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::panic::Location;

/// Memory of every rank of a communicator into which all of them reach: put, get, accumulate, fetch and compare. Made
/// by [`Comm::window`] and [`Comm::window_over`].
///
/// Between epochs each rank's part is an ordinary slice, [`Window::local`]. In an epoch, which all ranks begin and end
/// together, it is open to the others: [`Window::fence`] for accesses that everybody makes at once,
/// [`Window::share`] for accesses under locks. The two exclude each other by borrowing, so what would be a race does
/// not compile:
///
/// ```compile_fail,E0502
/// rankine::testing::ranks([1], |world| {
///     let mut window = world.window::<f64>(10)?;
///     let mine = window.local()?;
///     window.fence(|epoch| epoch.put(&[1.0], 0, 0))?;
///     assert_eq!(mine[0], 0.0);
///     Ok(())
/// });
/// ```
///
/// Nor do accesses outside of an epoch, or an epoch within another:
///
/// ```compile_fail,E0599
/// rankine::testing::ranks([1], |world| world.window::<f64>(10)?.put(&[1.0], 0, 0));
/// ```
///
/// ```compile_fail
/// rankine::testing::ranks([1], |world| {
///     let mut window = world.window::<f64>(10)?;
///     window.fence(|_| window.fence(|_| Ok(())))
/// });
/// ```
///
/// When a window is dropped its memory lasts until no rank can reach it any more. Under MPI that is when all
/// ranks have dropped it and their communicator makes another communicator or window, or at the end of the job; after a panic
/// in an epoch it is at the end of the job.
pub struct Window<T: Element> {
    raw: Raw,
    element: PhantomData<T>,
}

/// A window without its element type.
struct Raw {
    comm: Comm,
    engine: engine::Window,
    /// Of an element: its name and size.
    element: (&'static str, usize),
    phase: Cell<Phase>,
    held: RefCell<Held>,
    /// Those of them that are exclusive.
    exclusive: RefCell<Vec<usize>>,
    /// The accesses of the epoch that goes on, where they are compared.
    log: RefCell<Option<Vec<conflict::Entry>>>,
    /// Where the watch has the window.
    context: u32,
}

/// Whether other ranks may reach into this rank's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Between epochs: they may not.
    Quiet,
    /// They may; or an epoch did not come to its end, and nobody knows.
    Open,
    Closed,
}

/// The locks this rank holds.
#[derive(Default)]
struct Held {
    all: bool,
    targets: Vec<usize>,
}

impl Comm {
    /// Makes a window with `len` elements of zeroes on this rank; other ranks may have other lengths. Collective.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let mut window = world.window::<usize>(world.size())?;
    ///     let me = world.rank();
    ///     window.fence(|epoch| {
    ///         // An element of mine to everybody.
    ///         (0..world.size()).try_for_each(|rank| epoch.put(std::slice::from_ref(&me), rank, me))
    ///     })?;
    ///     assert_eq!(window.local()?, (0..world.size()).collect::<Vec<_>>());
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// On every rank: the elements are of different types, or a rank has no memory for its part.
    #[track_caller]
    pub fn window<T: Element>(&self, len: usize) -> Result<Window<T>> {
        let raw = Raw::new::<T>(self, &"window", len, Memory::Fresh(Block::zeroed::<T>), Location::caller())?;
        Ok(Window { raw, element: PhantomData })
    }

    /// Makes a window over the elements of `data`, which [`Window::into_vec`] gives back. Collective.
    ///
    /// # Errors
    /// As for [`Comm::window`].
    #[track_caller]
    pub fn window_over<T: Element>(&self, data: Vec<T>) -> Result<Window<T>> {
        let (len, memory) = (data.len(), Memory::Owned(Block::new(data)));
        let raw = Raw::new::<T>(self, &"window_over", len, memory, Location::caller())?;
        Ok(Window { raw, element: PhantomData })
    }
}

impl Raw {
    fn new<T: Element>(comm: &Comm, call: Name, len: usize, memory: Memory, place: Place) -> Result<Raw> {
        let _in = comm.inner.collective(call, place);
        let part = engine::Part { kind: T::KIND, size: size_of::<T>(), align: align_of::<T>(), len, memory };
        let engine = comm
            .engine()
            .window(part, place)
            .map_err(|fault| comm.fault(call, place, fault, named::<T>()))?;
        Ok(Raw {
            comm: Comm { inner: comm.inner.clone() },
            engine,
            element: named::<T>(),
            phase: Cell::new(Phase::Quiet),
            held: RefCell::default(),
            exclusive: RefCell::default(),
            log: RefCell::default(),
            context: comm.window_context(place),
        })
    }

    fn len(&self, rank: usize) -> Option<usize> {
        self.engine.lens().get(rank).copied()
    }

    /// An error unless this rank's part is its own.
    fn quiet(&self, call: &str, place: Place) -> Result<()> {
        match self.phase.get() {
            Phase::Quiet => Ok(()),
            Phase::Open | Phase::Closed => Err(self.comm.usage(
                call,
                place,
                "an epoch of this window did not come to its end".to_string(),
                "after a panic or a failure inside an epoch nothing is known of a window's memory: make a new one",
            )),
        }
    }

    #[cold]
    fn fault(&self, call: &str, place: Place, fault: Fault) -> Error {
        self.comm.fault_in(self.context, call, place, fault, self.element)
    }

    /// Begins an epoch. Nobody is in it where all ranks learn that they disagree about it.
    fn begin(&self, call: &str, place: Place, begin: impl FnOnce() -> Outcome<()>) -> Result<()> {
        self.quiet(call, place)?;
        self.phase.set(Phase::Open);
        begin().map_err(|fault| {
            if matches!(fault, Fault::Mismatch(_)) {
                self.phase.set(Phase::Quiet);
            }
            self.fault(call, place, fault)
        })
    }

    fn step(&self, call: Name, step: Step, place: Place) -> Outcome<()> {
        let outcome = {
            let _in = self.comm.inner.collective_in(self.context, call, place);
            self.engine.step(step, place)
        };
        if matches!(outcome, Err(Fault::Mismatch(_))) {
            // Ranks were in different windows, perhaps: where they meet next, all have come as often.
            self.comm.inner.not_entered(self.context, place);
        }
        outcome
    }

    /// Ends the epoch after its closure, which may have failed: its error comes first.
    fn end<R>(&self, call: &str, place: Place, result: Result<R>, end: Outcome<()>) -> Result<R> {
        match end {
            Ok(()) => {
                self.phase.set(Phase::Quiet);
                result
            }
            Err(fault) => result.and(Err(self.fault(call, place, fault))),
        }
    }

    /// # Safety
    /// The window is one of `T`, and no rank writes to this rank's part during `'a`.
    unsafe fn slice<'a, T: Element>(&self, rank: usize) -> &'a [T] {
        // SAFETY: the part has so many elements, initialised when the window was made, of which any bytes are some.
        unsafe { std::slice::from_raw_parts(self.engine.base(rank).cast(), self.engine.lens()[rank]) }
    }

    /// # Safety
    /// The window is one of `T`, and nobody else touches this rank's part during `'a`.
    #[allow(clippy::mut_from_ref, reason = "the caller has the part to itself")]
    unsafe fn slice_mut<'a, T: Element>(&self) -> &'a mut [T] {
        let rank = self.comm.rank();
        // SAFETY: as for `slice`.
        unsafe { std::slice::from_raw_parts_mut(self.engine.base(rank).cast(), self.engine.lens()[rank]) }
    }

    fn close(&self, call: Name, place: Place) -> Result<Option<Block>> {
        self.quiet(call, place)?;
        self.phase.set(Phase::Closed);
        let _in = self.comm.inner.collective_in(self.context, call, place);
        self.engine.close(place).map_err(|fault| self.fault(call, place, fault))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.comm.inner.watch.board().end_context(self.context);
        // Also in an epoch that did not end: accesses of this rank that were under way would have ended the job.
        self.engine.release();
    }
}

impl<T: Element> Window<T> {
    /// How many elements rank `rank` has, if there is such a rank. Local.
    pub fn len(&self, rank: usize) -> Option<usize> {
        self.raw.len(rank)
    }

    /// This rank's part. Local.
    ///
    /// # Errors
    /// An epoch was left by a panic or could not be ended: other ranks may still reach into the part.
    #[track_caller]
    pub fn local(&self) -> Result<&[T]> {
        self.raw.quiet("local", Location::caller())?;
        // SAFETY: no rank is in an epoch with this one, since that would need `&mut self` or have left its mark.
        Ok(unsafe { self.raw.slice(self.raw.comm.rank()) })
    }

    /// This rank's part, to write to. Local.
    ///
    /// # Errors
    /// As for [`Window::local`].
    #[track_caller]
    pub fn local_mut(&mut self) -> Result<&mut [T]> {
        self.raw.quiet("local_mut", Location::caller())?;
        // SAFETY: as in `local`, and the borrow is exclusive.
        Ok(unsafe { self.raw.slice_mut() })
    }

    /// Ends the window and frees its memory at once. Collective.
    ///
    /// # Errors
    /// As for [`Window::local`], or the ranks do not all close it.
    #[track_caller]
    pub fn close(self) -> Result<()> {
        self.raw.close(&"close", Location::caller()).map(drop)
    }

    /// Ends the window and gives this rank's part back: the vector itself where it was made of one. Collective.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let mut window = world.window_over(vec![1.5; 4])?;
    ///     let next = (world.rank() + 1) % world.size();
    ///     window.fence(|epoch| epoch.put(&[2.5], next, 3))?;
    ///     assert_eq!(window.into_vec()?, [1.5, 1.5, 1.5, 2.5]);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// As for [`Window::close`].
    #[track_caller]
    pub fn into_vec(self) -> Result<Vec<T>> {
        let place = Location::caller();
        self.raw.quiet("into_vec", place)?;
        // MPI's own memory goes with the window.
        // SAFETY: as in `local`.
        let copy =
            (!self.raw.engine.keeps()).then(|| unsafe { self.raw.slice(self.raw.comm.rank()) }.to_vec());
        match self.raw.close(&"into_vec", place)?.and_then(Block::into_vec::<T>).or(copy) {
            Some(data) => Ok(data),
            None => Err(Error::new(ErrorKind::Engine, "into_vec: the window has no vector")),
        }
    }
}

impl<T: Element> std::fmt::Debug for Window<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Window({} on {:?}, {:?})", self.raw.element.0, self.raw.comm, self.raw.phase.get())
    }
}
