//! One rank's block of a distributed array, as output sees it: a slice and where its cells belong.
//!
//! Nothing here owns or moves data, and nothing communicates.

use super::partitioned::{Partitioned, PartitionedMut, Piece};
use crate::comm::Element;
use crate::error::{Error, Result};
use crate::field::Field;
use crate::grid::Grid;
use std::ops::Range;

/// A number format as files name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[allow(missing_docs)]
pub enum Format {
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F32,
    F64,
}

impl Format {
    /// All there are.
    #[cfg(feature = "hdf5")]
    pub(super) const ALL: [Format; 10] = [
        Format::I8,
        Format::I16,
        Format::I32,
        Format::I64,
        Format::U8,
        Format::U16,
        Format::U32,
        Format::U64,
        Format::F32,
        Format::F64,
    ];

    /// Bytes a number takes.
    pub const fn bytes(self) -> usize {
        match self {
            Format::I8 | Format::U8 => 1,
            Format::I16 | Format::U16 => 2,
            Format::I32 | Format::U32 | Format::F32 => 4,
            Format::I64 | Format::U64 | Format::F64 => 8,
        }
    }
}

/// A number that can be written to and read from files. Sealed.
pub trait Numeric: Element + private::Sealed {
    /// Its format.
    const FORMAT: Format;
    /// The number as `f64`, rounded where it must be.
    fn to_f64(self) -> f64;
}

mod private {
    pub trait Sealed {}
}

macro_rules! numeric {
    ($($type:ty, $format:ident;)*) => {$(
        impl private::Sealed for $type {}
        impl Numeric for $type {
            const FORMAT: Format = Format::$format;
            fn to_f64(self) -> f64 {
                self as f64
            }
        }
    )*};
}

numeric! {
    i8, I8;
    i16, I16;
    i32, I32;
    i64, I64;
    u8, U8;
    u16, U16;
    u32, U32;
    u64, U64;
    f32, F32;
    f64, F64;
}

/// Where a rank's block lies in the whole array and in its storage.
///
/// Arrays are row-major (C order): the last axis is the fastest. The storage holds the block with `halo` cells more
/// on every side of every axis; files and pictures never contain the halo. A rank that owns no cells has a shape
/// with a zero in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout<const D: usize> {
    cells: [usize; D],
    start: [usize; D],
    shape: [usize; D],
    offset: [usize; D],
    padded: [usize; D],
}

impl<const D: usize> Layout<D> {
    /// The block of `shape` cells from global index `start` of an array of `cells`, stored with `halo` cells on
    /// every side.
    ///
    /// # Errors
    /// No axes or more than eight, an axis without cells, a block that reaches beyond the array, sizes that no
    /// memory can hold.
    pub fn new(cells: [usize; D], start: [usize; D], shape: [usize; D], halo: usize) -> Result<Self> {
        let mut padded = [0; D];
        for axis in 0..D {
            padded[axis] = halo.checked_mul(2).and_then(|both| both.checked_add(shape[axis])).unwrap_or(0);
        }
        Self::with_storage(cells, start, shape, [halo; D], padded)
    }

    /// As [`Layout::new`], for storage of shape `padded` whose first owned cell is at index `offset`.
    ///
    /// # Errors
    /// As [`Layout::new`]; a block that does not fit in its storage.
    pub fn with_storage(
        cells: [usize; D],
        start: [usize; D],
        shape: [usize; D],
        offset: [usize; D],
        padded: [usize; D],
    ) -> Result<Self> {
        let bad = |what: String| Err(Error::usage(format!("layout of an array: {what}")));
        if !(1..=8).contains(&D) {
            return bad(format!("{D} axes; 1 to 8 are possible"));
        }
        for axis in 0..D {
            if cells[axis] == 0 {
                return bad(format!("axis {axis} has no cells"));
            }
            if start[axis].checked_add(shape[axis]).is_none_or(|end| end > cells[axis]) {
                return bad(format!(
                    "axis {axis}: the block starts at {} and has {} cells; the array has {}",
                    start[axis], shape[axis], cells[axis]
                ));
            }
            if offset[axis].checked_add(shape[axis]).is_none_or(|end| end > padded[axis]) {
                return bad(format!(
                    "axis {axis}: {} cells at {} do not fit in storage of {}",
                    shape[axis], offset[axis], padded[axis]
                ));
            }
        }
        if product(&padded).is_none() || product(&cells).is_none() {
            return bad(format!("{cells:?} cells are more than can be counted"));
        }
        Ok(Layout { cells, start, shape, offset, padded })
    }

    /// The calling rank's block of a grid, as the grid's fields keep it.
    ///
    /// # Errors
    /// As [`Layout::new`].
    pub fn of(grid: &Grid<D>) -> Result<Self> {
        let own = grid.own();
        let points = grid.centers();
        let halo = points.layout.halo[0];
        Self::with_storage(grid.cells(), own.start, own.shape, [halo; D], points.padded_shape())
    }

    /// The whole array on one rank, without a halo.
    ///
    /// # Errors
    /// As [`Layout::new`].
    pub fn whole(cells: [usize; D]) -> Result<Self> {
        Self::new(cells, [0; D], cells, 0)
    }

    /// Cells of the whole array.
    pub fn cells(&self) -> [usize; D] {
        self.cells
    }

    /// Global index of the block's first cell.
    pub fn start(&self) -> [usize; D] {
        self.start
    }

    /// Cells of the block.
    pub fn shape(&self) -> [usize; D] {
        self.shape
    }

    /// Where in the storage the block's first cell is.
    pub fn offset(&self) -> [usize; D] {
        self.offset
    }

    /// The shape of the storage.
    pub fn padded(&self) -> [usize; D] {
        self.padded
    }

    /// Whether the block has no cells.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// Position in the storage of the cell with this index in the block.
    pub(super) fn position(&self, local: [usize; D]) -> usize {
        let mut at = 0;
        for (axis, index) in local.iter().enumerate() {
            at = at * self.padded[axis] + self.offset[axis] + index;
        }
        at
    }

    /// The same in words that do not know the number of axes at compile time.
    pub fn piece(&self) -> Piece {
        Piece {
            start: self.start.to_vec(),
            shape: self.shape.to_vec(),
            base: 0,
            offset: self.offset.to_vec(),
            padded: self.padded.to_vec(),
        }
    }

    /// The block's rows along the last axis: the global index of each row's first cell, and where it is stored.
    pub(super) fn rows(&self) -> impl Iterator<Item = ([usize; D], Range<usize>)> + use<D> {
        let layout = *self;
        let count = if self.is_empty() { 0 } else { self.shape[..D - 1].iter().product() };
        (0..count).map(move |row| {
            let (mut local, mut rest) = ([0; D], row);
            for axis in (0..D - 1).rev() {
                local[axis] = rest % layout.shape[axis];
                rest /= layout.shape[axis];
            }
            let first = layout.position(local);
            let mut global = layout.start;
            for axis in 0..D {
                global[axis] += local[axis];
            }
            (global, first..first + layout.shape[D - 1])
        })
    }
}

/// The product of sizes, if it can be counted in memory of 16-byte elements.
pub(super) fn product(sizes: &[usize]) -> Option<usize> {
    let all = sizes.iter().try_fold(1usize, |all, &size| all.checked_mul(size))?;
    all.checked_mul(16).filter(|&bytes| bytes <= isize::MAX as usize).map(|_| all)
}

impl<T: Element, const D: usize> Partitioned for Slab<'_, T, D> {
    type Item = T;

    fn global_shape(&self) -> Vec<usize> {
        self.layout.cells.to_vec()
    }

    fn pieces(&self) -> Vec<Piece> {
        vec![self.layout.piece()]
    }

    fn elements(&self) -> &[T] {
        self.storage
    }
}

impl<T: Element, const D: usize> Partitioned for SlabMut<'_, T, D> {
    type Item = T;

    fn global_shape(&self) -> Vec<usize> {
        self.layout.cells.to_vec()
    }

    fn pieces(&self) -> Vec<Piece> {
        vec![self.layout.piece()]
    }

    fn elements(&self) -> &[T] {
        self.storage
    }
}

impl<T: Element, const D: usize> PartitionedMut for SlabMut<'_, T, D> {
    fn elements_mut(&mut self) -> &mut [T] {
        self.storage
    }
}

/// A rank's block to write or to show.
#[derive(Clone, Copy, Debug)]
pub struct Slab<'a, T, const D: usize> {
    storage: &'a [T],
    layout: Layout<D>,
}

impl<'a, T: Element, const D: usize> Slab<'a, T, D> {
    /// `storage` laid out as `layout` says.
    ///
    /// # Errors
    /// A storage of another length.
    pub fn new(storage: &'a [T], layout: Layout<D>) -> Result<Self> {
        check_len(storage.len(), &layout)?;
        Ok(Slab { storage, layout })
    }

    /// The calling rank's block of a field.
    ///
    /// # Errors
    /// As [`Slab::new`].
    pub fn of(field: &'a Field<T, D>) -> Result<Self> {
        field.slab()
    }

    /// Where the block lies.
    pub fn layout(&self) -> &Layout<D> {
        &self.layout
    }

    /// The storage, halo included.
    pub fn storage(&self) -> &'a [T] {
        self.storage
    }
}

/// A rank's block to read into.
#[derive(Debug)]
pub struct SlabMut<'a, T, const D: usize> {
    storage: &'a mut [T],
    layout: Layout<D>,
}

impl<'a, T: Element, const D: usize> SlabMut<'a, T, D> {
    /// `storage` laid out as `layout` says.
    ///
    /// # Errors
    /// A storage of another length.
    pub fn new(storage: &'a mut [T], layout: Layout<D>) -> Result<Self> {
        check_len(storage.len(), &layout)?;
        Ok(SlabMut { storage, layout })
    }

    /// The calling rank's block of a field.
    ///
    /// # Errors
    /// As [`SlabMut::new`].
    pub fn of(field: &'a mut Field<T, D>) -> Result<Self> {
        field.slab_mut()
    }

    /// Where the block lies.
    pub fn layout(&self) -> &Layout<D> {
        &self.layout
    }

    /// The storage, halo included.
    pub fn storage(&mut self) -> &mut [T] {
        self.storage
    }

    /// The same block, to look at.
    pub fn view(&self) -> Slab<'_, T, D> {
        Slab { storage: self.storage, layout: self.layout }
    }
}

fn check_len<const D: usize>(len: usize, layout: &Layout<D>) -> Result<()> {
    let need: usize = layout.padded.iter().product();
    if len == need {
        return Ok(());
    }
    Err(Error::usage(format!(
        "storage of {len} elements; shape {:?} with its halo needs {need}",
        layout.padded
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_skip_the_halo_and_know_where_they_are() {
        let layout = Layout::new([4, 5, 6], [2, 0, 3], [2, 2, 3], 1).unwrap();
        let rows: Vec<_> = layout.rows().collect();
        assert_eq!(rows.len(), 4);
        assert_eq!(rows[0], ([2, 0, 3], 20 + 5 + 1..20 + 5 + 4));
        assert_eq!(rows[3], ([3, 1, 3], 40 + 10 + 1..40 + 10 + 4));
        assert_eq!(Layout::new([4, 4], [4, 0], [0, 4], 1).unwrap().rows().count(), 0);
        assert_eq!(Layout::new([4], [1], [3], 0).unwrap().rows().collect::<Vec<_>>(), [([1], 0..3)]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(Layout::new([4, 0], [0, 0], [4, 0], 1).is_err());
        assert!(Layout::new([4, 4], [2, 0], [3, 4], 1).is_err());
        assert!(Layout::new([4], [0], [4], usize::MAX).is_err());
        assert!(Layout::new([usize::MAX, 2], [0, 0], [1, 1], 0).is_err());
        assert!(Slab::new(&[0.0; 3], Layout::whole([4]).unwrap()).is_err());
    }
}
