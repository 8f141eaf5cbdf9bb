//! `Layout`: a rank's block in memory, with its halo.
//!
//! Nothing here moves anything.

use std::ops::Range;

/// Cells of eight bytes in a cache line.
const LINE: usize = 8;

/// Planes of sheets of rows of cells, with `halo` ghost cells on both ends of every axis.
///
/// A 1-dimensional block is planes of one cell, so that its edges are sent like any plane; a 2-dimensional one planes
/// of one row, a 3-dimensional one planes of one sheet. Axes that are not there have one cell and no halo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Owned cells on each axis.
    pub cells: [usize; 4],
    /// Ghost cells on each end of each axis.
    pub halo: [usize; 4],
    /// The shape of the storage: both together, the last axis rounded up.
    pub padded: [usize; 4],
}

impl Layout {
    /// That of a rank without cells: no planes.
    pub const EMPTY: Layout = Layout { cells: [0, 1, 1, 1], halo: [0; 4], padded: [0, 1, 1, 1] };

    /// `None` if the cells cannot be counted.
    pub fn new<const D: usize>(shape: [usize; D], width: usize) -> Option<Layout> {
        let (mut cells, mut halo) = ([1; 4], [0; 4]);
        for axis in 0..D {
            cells[Self::axis::<D>(axis)] = shape[axis];
            halo[Self::axis::<D>(axis)] = width;
        }
        let mut padded = [0; 4];
        for axis in 0..4 {
            padded[axis] = halo[axis].checked_mul(2)?.checked_add(cells[axis])?;
        }
        // Rows start on a cache line where they are stored in one (`field::storage`), so they are whole lines apart.
        if D > 1 && width > 0 {
            padded[3] = padded[3].checked_next_multiple_of(LINE)?;
        }
        padded.iter().try_fold(1usize, |product, &n| product.checked_mul(n))?;
        Some(Layout { cells, halo, padded })
    }

    /// Which of the four axes here a field's axis is: the first, and the last ones.
    pub const fn axis<const D: usize>(axis: usize) -> usize {
        if axis == 0 { 0 } else { 4 - D + axis }
    }

    /// Cells from one row to the next: a padded row, and what brings the next one to the start of a cache line.
    pub fn row(&self) -> usize {
        self.padded[3]
    }

    /// Cells of a padded sheet.
    pub fn sheet(&self) -> usize {
        self.padded[2] * self.padded[3]
    }

    /// Cells of a padded plane.
    pub fn plane(&self) -> usize {
        self.padded[1] * self.sheet()
    }

    /// Cells of the whole storage.
    pub fn len(&self) -> usize {
        self.padded[0] * self.plane()
    }

    /// How far apart in storage neighbours on each axis are.
    pub fn strides(&self) -> [usize; 4] {
        [self.plane(), self.sheet(), self.row(), 1]
    }

    /// The storage of an owned sheet within its padded plane, counted from the owned ones.
    pub fn sheet_of_plane(&self, sheet: usize) -> Range<usize> {
        let start = (self.halo[1] + sheet) * self.sheet();
        start..start + self.sheet()
    }

    /// The owned cells of a row within its padded sheet, counted from the owned ones.
    pub fn cells_of_row(&self, row: usize) -> Range<usize> {
        let start = (self.halo[2] + row) * self.row() + self.halo[3];
        start..start + self.cells[3]
    }

    /// The storage of the owned planes.
    pub fn planes(&self, planes: Range<usize>) -> Range<usize> {
        (self.halo[0] + planes.start) * self.plane()..(self.halo[0] + planes.end) * self.plane()
    }

    /// The owned rows of one padded plane: their sheet and row, and where their cells lie in the plane.
    pub fn rows_of_plane(&self) -> impl Iterator<Item = ([usize; 2], Range<usize>)> + use<> {
        let layout = *self;
        (0..layout.cells[1]).flat_map(move |sheet| {
            let above = layout.sheet_of_plane(sheet).start;
            (0..layout.cells[2]).map(move |row| {
                let cells = layout.cells_of_row(row);
                ([sheet, row], above + cells.start..above + cells.end)
            })
        })
    }
}
