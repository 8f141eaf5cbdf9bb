//! Memory that the ranks of a node have in common, as slices.
//!
//! Two phases, told apart by borrowing: a rank writes its own part through a slice, or all ranks read all parts. Other
//! accesses are those of ordinary windows, in `access`.

use super::{Element, Raw};
use crate::comm::Comm;
use crate::engine::window::{Block, Memory, Step};
use crate::error::Result;
use std::marker::PhantomData;
use std::panic::Location;

/// A window whose parts all its ranks read as their own memory; from [`Comm::shared_window`].
pub struct SharedWindow<T: Element> {
    raw: Raw,
    element: PhantomData<T>,
}

/// The parts of all ranks, while nobody writes; from [`SharedWindow::read`].
pub struct Parts<'read, T: Element> {
    raw: &'read Raw,
    element: PhantomData<&'read T>,
}

impl Comm {
    /// Makes a window of `len` elements of zeroes on this rank that the other ranks can read as slices. All ranks are
    /// on one node. Collective.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3], |node| {
    ///     let mut table = node.shared_window::<f64>(2)?;
    ///     table.local_mut()?.fill(node.rank() as f64);
    ///     let sum = table.read(|parts| Ok((0..node.size()).flat_map(|rank| parts.of(rank)).sum::<f64>()))?;
    ///     assert_eq!(sum, (0..node.size()).map(|rank| 2.0 * rank as f64).sum::<f64>());
    ///     Ok(())
    /// });
    /// ```
    ///
    /// A part cannot be written while it is read:
    ///
    /// ```compile_fail,E0502
    /// rankine::testing::ranks([1], |node| {
    ///     let mut table = node.shared_window::<f64>(2)?;
    ///     let mine = table.local_mut()?;
    ///     table.read(|parts| Ok(parts.of(0)[0]))?;
    ///     mine[0] = 1.0;
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// On every rank: the ranks are not all on one node, the elements are of different types, or a rank has no memory
    /// for its part.
    #[track_caller]
    pub fn shared_window<T: Element>(&self, len: usize) -> Result<SharedWindow<T>> {
        let memory = Memory::Shared(Block::zeroed::<T>);
        let raw = Raw::new::<T>(self, &"shared_window", len, memory, Location::caller())?;
        Ok(SharedWindow { raw, element: PhantomData })
    }
}

impl<T: Element> SharedWindow<T> {
    /// How many elements rank `rank` has, if there is such a rank. Local.
    pub fn len(&self, rank: usize) -> Option<usize> {
        self.raw.len(rank)
    }

    /// This rank's part. Local.
    ///
    /// # Errors
    /// A read was left by a panic or could not be ended.
    #[track_caller]
    pub fn local(&self) -> Result<&[T]> {
        self.raw.quiet("local", Location::caller())?;
        // SAFETY: only this rank writes its part, through an exclusive borrow.
        Ok(unsafe { self.raw.slice(self.raw.comm.rank()) })
    }

    /// This rank's part, to write to. Local.
    ///
    /// # Errors
    /// As for [`SharedWindow::local`].
    #[track_caller]
    pub fn local_mut(&mut self) -> Result<&mut [T]> {
        self.raw.quiet("local_mut", Location::caller())?;
        // SAFETY: no rank reads, since a read begins and ends with all ranks, and this one is in none.
        Ok(unsafe { self.raw.slice_mut() })
    }

    /// Waits until all ranks have written, runs `f` on the parts of all, and returns when every rank's `f` has.
    /// Collective.
    ///
    /// If `f` fails the read ends all the same, with the others', and the error is returned then.
    ///
    /// # Errors
    /// Those of `f`; the ranks do not all begin a read of this window; an earlier read did not come to its end.
    #[track_caller]
    pub fn read<R>(&mut self, f: impl FnOnce(&Parts<'_, T>) -> Result<R>) -> Result<R> {
        let (raw, place) = (&self.raw, Location::caller());
        raw.begin("read", place, || raw.step(&"read", Step::ReadBegins, place))?;
        let result = f(&Parts { raw, element: PhantomData });
        raw.end("read", place, result, raw.step(&"read", Step::ReadEnds, place))
    }

    /// Ends the window and frees its memory at once. Collective.
    ///
    /// # Errors
    /// As for [`SharedWindow::local`], or the ranks do not all close it.
    #[track_caller]
    pub fn close(self) -> Result<()> {
        self.raw.close(&"close", Location::caller()).map(drop)
    }
}

impl<'read, T: Element> Parts<'read, T> {
    /// The part of rank `rank`, as memory; without elements if there is no such rank. Local.
    pub fn of(&self, rank: usize) -> &'read [T] {
        if rank >= self.raw.comm.size() {
            return &[];
        }
        // SAFETY: from the beginning to the end of a read no rank can have a slice to write to.
        unsafe { self.raw.slice(rank) }
    }
}

impl<T: Element> std::fmt::Debug for SharedWindow<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SharedWindow({} on {:?}, {:?})", self.raw.element.0, self.raw.comm, self.raw.phase.get())
    }
}
