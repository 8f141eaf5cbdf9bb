//! What a stencil sees: the rows of a field around the one that is being computed.
//!
//! Nothing here computes or communicates; `update` hands these out.

use crate::comm::Element;
use std::panic::Location;

/// The cells around one contiguous piece of a row of the field that is being computed; an argument of the closure
/// of [`Field::update_from`](super::Field::update_from).
pub struct Rows<'a, T, const D: usize> {
    pub(super) now: Reader<'a, T, D>,
    /// Where in `now` the cell of the piece's first one is.
    pub(super) first: usize,
    pub(super) len: usize,
    /// The piece's first cell, by its global index.
    pub(super) start: [usize; D],
}

/// The storage of a field as threads may read it, from [`Field::reader`](super::Field::reader).
pub struct Reader<'a, T, const D: usize> {
    pub(super) cells: &'a [T],
    /// How far apart in storage neighbours on each axis are.
    pub(super) strides: [usize; D],
    pub(super) halo: usize,
    /// Where in `cells` the cell with the global index `origin` is.
    pub(super) base: usize,
    pub(super) origin: [usize; D],
}

impl<T, const D: usize> Clone for Reader<'_, T, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, const D: usize> Copy for Reader<'_, T, D> {}

impl<'a, T: Element, const D: usize> Rows<'a, T, D> {
    /// The cells `offset` away, as many as are to be computed: its element `i` is the neighbour at `offset` of the
    /// cell of `out[i]`.
    ///
    /// ```
    /// # use rankine::{Field, Grid};
    /// # rankine::testing::ranks([1, 2], |world| {
    /// # let grid = Grid::new(world, [8, 8])?;
    /// # let mut now = Field::from_fn(&grid, |[y, x]| (y + x) as f64)?;
    /// # let mut next = Field::new(&grid, 0.0)?;
    /// next.update_from(&mut now, |out, rows| {
    ///     let (centre, up, right) = (rows.at([0, 0]), rows.at([-1, 0]), rows.at([0, 1]));
    ///     for i in 0..out.len() {
    ///         out[i] = up[i] + right[i] - 2.0 * centre[i];
    ///     }
    /// })?;
    /// # assert_eq!(next.get([3, 3]).unwrap_or(0.0), 0.0);
    /// # Ok(()) });
    /// ```
    ///
    /// # Panics
    /// If the offset is wider than the halo, or is along more than one axis: halos hold the cells of faces only,
    /// not those of edges and corners.
    #[inline(always)]
    #[track_caller]
    pub fn at(&self, offset: [isize; D]) -> &'a [T] {
        self.now.piece(self.first, self.len, offset)
    }

    /// The piece's cells in another field on the same grid: element `i` is at the cell of `out[i]`.
    ///
    /// # Panics
    /// If `other` is on another grid and has no such cells.
    #[inline(always)]
    #[track_caller]
    pub fn of<'b, U: Element>(&self, other: &Reader<'b, U, D>) -> &'b [U] {
        self.of_at(other, [0; D])
    }

    /// As [`at`](Rows::at), in another field on the same grid. Its halos are as its last
    /// [`exchange`](super::Field::exchange) left them.
    ///
    /// # Panics
    /// As [`at`](Rows::at), or if `other` is on another grid.
    #[inline(always)]
    #[track_caller]
    pub fn of_at<'b, U: Element>(&self, other: &Reader<'b, U, D>, offset: [isize; D]) -> &'b [U] {
        let mut first = other.base;
        for axis in 0..D {
            // Both count from the same block if the grids are the same; if not, the slice below says so or the
            // cells are others, but they are cells.
            let behind = self.start[axis].wrapping_sub(other.origin[axis]);
            first = first.wrapping_add(behind.wrapping_mul(other.strides[axis]));
        }
        other.piece(first, self.len, offset)
    }

    /// How many cells are to be computed.
    #[expect(clippy::len_without_is_empty, reason = "a piece has at least one cell")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The global index of the cell of `out[0]`; the others follow on the last axis.
    pub fn start(&self) -> [usize; D] {
        self.start
    }
}

impl<'a, T: Element, const D: usize> Reader<'a, T, D> {
    #[inline(always)]
    #[track_caller]
    fn piece(&self, first: usize, len: usize, offset: [isize; D]) -> &'a [T] {
        let (mut from, mut along) = (first, 0);
        for axis in 0..D {
            from = from.wrapping_add_signed(offset[axis].wrapping_mul(self.strides[axis] as isize));
            along += usize::from(offset[axis] != 0);
            if offset[axis].unsigned_abs() > self.halo {
                too_far(&offset, self.halo, Location::caller());
            }
        }
        if along > 1 {
            too_far(&offset, self.halo, Location::caller());
        }
        &self.cells[from..][..len]
    }
}

#[cold]
#[inline(never)]
fn too_far(offset: &[isize], halo: usize, place: &Location<'_>) -> ! {
    panic!(
        "no row at offset {offset:?} ({place}): a halo of {halo} reaches {halo} cells, along one axis at a time"
    )
}
