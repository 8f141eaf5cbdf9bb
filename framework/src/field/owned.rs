//! The owned cells of a field in pieces, as reductions go through them on the rank's threads.
//!
//! A piece is a plane; of a field on one axis a stretch of fixed length. Pieces depend on the block alone, never on the number
//! of threads: what is combined in their order is the same for any number of them. What is combined is in `reduce`,
//! `norms` and `locate`.

use super::Field;
use super::reduce::RUN;
use crate::comm::Element;
use crate::halo::Layout;
use rayon::prelude::*;
use std::ops::Range;

/// Cells of a piece on one axis: runs by a power of two, so that halves of a piece are halves of the whole.
const STRETCH: usize = 128 * RUN;

/// The owned planes in memory, for threads to read.
#[derive(Clone, Copy)]
pub(super) struct Owned<'f, T, const D: usize> {
    layout: Layout,
    cells: &'f [T],
}

impl<T: Element, const D: usize> Field<T, D> {
    pub(super) fn owned(&self) -> Owned<'_, T, D> {
        let layout = self.points.layout;
        Owned { layout, cells: &self.storage()[layout.planes(0..layout.cells[0])] }
    }
}

impl<'f, T: Element, const D: usize> Owned<'f, T, D> {
    /// Calls `each` with the cells of every row of some planes, and where its first one is among the block's; on one axis with
    /// all of them at once.
    pub fn rows(&self, planes: Range<usize>, mut each: impl FnMut([usize; 4], &'f [T])) {
        let (layout, pitch) = (self.layout, self.layout.plane());
        let part = &self.cells[planes.start * pitch..planes.end * pitch];
        if D == 1 {
            return each([planes.start, 0, 0, 0], part);
        }
        for (z, plane) in planes.zip(part.chunks_exact(pitch)) {
            layout.rows_of_plane().for_each(|([w, y], cells)| each([z, w, y, 0], &plane[cells]));
        }
    }

    /// As [`rows`](Owned::rows), of two fields on the same points.
    pub fn pairs(&self, other: &Self, planes: Range<usize>, mut each: impl FnMut(&'f [T], &'f [T])) {
        let (layout, pitch) = (self.layout, self.layout.plane());
        let part = planes.start * pitch..planes.end * pitch;
        let (a, b) = (&self.cells[part.clone()], &other.cells[part]);
        if D == 1 {
            return each(a, b);
        }
        for (a, b) in a.chunks_exact(pitch).zip(b.chunks_exact(pitch)) {
            layout.rows_of_plane().for_each(|(_, cells)| each(&a[cells.clone()], &b[cells]));
        }
    }

    /// Gives `each` what `of` makes of the planes of every piece, from the first piece to the last.
    pub fn in_order<U: Send>(&self, of: impl Fn(Range<usize>) -> U + Sync, each: impl FnMut(U)) {
        let (planes, wide) = (self.layout.cells[0], if D == 1 { STRETCH } else { 1 });
        let piece = |number: usize| number * wide..((number + 1) * wide).min(planes);
        let pieces = planes.div_ceil(wide);
        if rayon::current_num_threads() == 1 || pieces < 2 {
            (0..pieces).map(|number| of(piece(number))).for_each(each);
        } else {
            let all: Vec<U> = (0..pieces).into_par_iter().map(|number| of(piece(number))).collect();
            all.into_iter().for_each(each);
        }
    }

    /// What `add` gathers of all planes, where it does not matter in which order.
    pub fn in_any_order<A: Send>(
        &self,
        start: impl Fn() -> A + Sync,
        add: impl Fn(&mut A, Range<usize>) + Sync,
        merge: impl Fn(A, A) -> A + Sync,
    ) -> A {
        let (planes, threads) = (self.layout.cells[0], rayon::current_num_threads());
        let of_part = |planes: Range<usize>| {
            let mut gathered = start();
            add(&mut gathered, planes);
            gathered
        };
        let each = planes.div_ceil(threads).max(1);
        // A few cells are not worth waking others.
        if threads == 1 || planes < 2 || self.cells.len() < STRETCH {
            return of_part(0..planes);
        }
        let parts = (0..planes.div_ceil(each)).into_par_iter();
        let parts = parts.map(|part| of_part(part * each..((part + 1) * each).min(planes)));
        parts.reduce_with(&merge).unwrap_or_else(start)
    }
}
