//! What a sweep's closure sees: the piece of a row that is being computed, and the rows of fields around it.
//!
//! Nothing here computes or communicates; `update` and `in_place` hand these out.

use crate::comm::Element;
use std::panic::Location;

/// One contiguous piece of a row that is being computed: which points it has; an argument of the closure of
/// [`Field::update`](super::Field::update).
#[derive(Clone, Copy)]
pub struct Span<'a, const D: usize> {
    pub(super) len: usize,
    /// The piece's first point, by its global index.
    pub(super) start: [usize; D],
    pub(super) frame: &'a Frame<D>,
}

/// Where the points of a field are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<const D: usize> {
    /// Of the point with index 0.
    pub first: [f64; D],
    pub spacing: [f64; D],
}

/// The cells around one contiguous piece of a row of the field that is being computed; an argument of the closure
/// of [`Field::update_from`](super::Field::update_from).
pub struct Rows<'a, T, const D: usize> {
    pub(super) now: Reader<'a, T, D>,
    /// Where in `now` the cell of the piece's first one is.
    pub(super) first: usize,
    pub(super) span: Span<'a, D>,
}

/// The storage of a field as threads may read it, from [`Field::reader`](super::Field::reader).
pub struct Reader<'a, T, const D: usize> {
    pub(super) cells: &'a [T],
    /// How far apart in storage neighbours on each axis are.
    pub(super) strides: [usize; D],
    pub(super) halo: usize,
    /// Whether halos have edges and corners.
    pub(super) corners: bool,
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

impl<const D: usize> Span<'_, D> {
    /// The piece's points in another field on the same grid: element `i` is at the point of `out[i]`. Of a field on
    /// other points of the grid it is the value with the same global index: cell `i` lies above its low face `i`.
    ///
    /// # Panics
    /// If `other` is on another grid and has no such points.
    #[inline(always)]
    #[track_caller]
    pub fn of<'b, U: Element>(&self, other: &Reader<'b, U, D>) -> &'b [U] {
        self.of_at(other, [0; D])
    }

    /// As [`of`](Span::of), the points `offset` away. The other field's halos are as its last
    /// [`exchange`](super::Field::exchange) or [`update`](super::Field::update) left them.
    ///
    /// # Panics
    /// As [`Rows::at`], or if `other` is on another grid.
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

    /// How many points are to be computed.
    #[expect(clippy::len_without_is_empty, reason = "a piece has at least one cell")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The global index of the point of `out[0]`; the others follow on the last axis.
    pub fn start(&self) -> [usize; D] {
        self.start
    }

    /// Where the point of `out[i]` is.
    pub fn coordinates(&self, i: usize) -> [f64; D] {
        let mut index = self.start;
        index[D - 1] += i;
        self.frame.coordinates(index)
    }
}

impl<const D: usize> Frame<D> {
    pub fn coordinates(&self, index: [usize; D]) -> [f64; D] {
        std::array::from_fn(|axis| self.first[axis] + index[axis] as f64 * self.spacing[axis])
    }
}

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
    /// If the offset is wider than the halo, or along more than one axis on a grid of
    /// [`Stencil::Star`](crate::Stencil::Star), whose halos hold the cells of faces only.
    #[inline(always)]
    #[track_caller]
    pub fn at(&self, offset: [isize; D]) -> &'a [T] {
        self.now.piece(self.first, self.span.len, offset)
    }

    /// As [`Span::of`].
    #[inline(always)]
    #[track_caller]
    pub fn of<'b, U: Element>(&self, other: &Reader<'b, U, D>) -> &'b [U] {
        self.span.of(other)
    }

    /// As [`Span::of_at`].
    #[inline(always)]
    #[track_caller]
    pub fn of_at<'b, U: Element>(&self, other: &Reader<'b, U, D>, offset: [isize; D]) -> &'b [U] {
        self.span.of_at(other, offset)
    }

    /// How many cells are to be computed.
    #[expect(clippy::len_without_is_empty, reason = "a piece has at least one cell")]
    pub fn len(&self) -> usize {
        self.span.len
    }

    /// The global index of the cell of `out[0]`; the others follow on the last axis.
    pub fn start(&self) -> [usize; D] {
        self.span.start
    }

    /// As [`Span::coordinates`].
    pub fn coordinates(&self, i: usize) -> [f64; D] {
        self.span.coordinates(i)
    }
}

impl<'a, T: Element, const D: usize> Reader<'a, T, D> {
    #[inline(always)]
    #[track_caller]
    fn piece(&self, first: usize, len: usize, offset: [isize; D]) -> &'a [T] {
        reach(&offset, self.halo, self.corners);
        let mut from = first;
        for (far, stride) in offset.iter().zip(self.strides) {
            from = from.wrapping_add_signed(far.wrapping_mul(stride as isize));
        }
        &self.cells[from..][..len]
    }
}

/// Panics if there are no cells at `offset`.
#[inline(always)]
#[track_caller]
pub(super) fn reach<const D: usize>(offset: &[isize; D], halo: usize, corners: bool) {
    let mut along = 0;
    for far in offset {
        along += usize::from(*far != 0);
        if far.unsigned_abs() > halo {
            too_far(offset, halo, Location::caller());
        }
    }
    if along > 1 && !corners {
        too_far(offset, halo, Location::caller());
    }
}

#[cold]
#[inline(never)]
fn too_far(offset: &[isize], halo: usize, place: &Location<'_>) -> ! {
    panic!(
        "no row at offset {offset:?} ({place}): a halo of {halo} reaches {halo} cells, along one axis at a time \
         unless the grid is made with Stencil::Box"
    )
}
