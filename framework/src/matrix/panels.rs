//! Block columns and block rows, sent along the rows and columns of the process grid.
//!
//! The panels of a product are `multiply`'s, which are wider than a block.

use super::Matrix;
use crate::comm::Element;
use crate::error::Result;
use ndarray::{ArrayView2, ShapeBuilder};
use std::panic::Location;

impl<T: Element> Matrix<T> {
    /// Sends the blocks of a block column to all ranks of their row: `panel` is filled, and returned as this rank's
    /// rows by the block's columns. Collective; only ranks of one row exchange messages.
    ///
    /// ```
    /// use rankine::matrix::{BlockCyclic, Matrix, ProcessGrid};
    /// rankine::testing::ranks([1, 2, 4], |world| {
    ///     let layout = BlockCyclic::new(&ProcessGrid::new(world)?, [8, 8], [2, 3])?;
    ///     let a = Matrix::from_fn(&layout, |[i, j]| (10 * i + j) as f64)?;
    ///     let mut panel = Vec::new();
    ///     let last = a.block_column(2, &mut panel)?;                // columns 6 and 7
    ///     assert_eq!(last.dim(), (a.local_shape()[0], 2));
    ///     let rows = (0..8).filter(|i| layout.grid().place()[0] == i / 2 % layout.grid().shape()[0]);
    ///     for (i, row) in rows.zip(last.rows()) {
    ///         assert_eq!(row.to_vec(), [(10 * i + 6) as f64, (10 * i + 7) as f64]);
    ///     }
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// A block column that is not there; a failure of the engine.
    #[track_caller]
    pub fn block_column<'p>(&self, number: usize, panel: &'p mut Vec<T>) -> Result<ArrayView2<'p, T>> {
        let range = self.block_range("Matrix::block_column", 1, number)?;
        let (axis, grid, rows) = (self.layout.axes()[1], self.layout.grid(), self.local_shape()[0]);
        let owner = axis.owner(range.start);
        panel.clear();
        if owner == grid.place()[1] {
            let first = axis.local(range.start);
            panel.extend_from_slice(&self.local[first * rows..(first + range.len()) * rows]);
        } else {
            panel.resize(rows * range.len(), T::zeroed());
        }
        grid.row().bcast(panel, owner)?;
        Ok(ArrayView2::from_shape((rows, range.len()).f(), &panel[..]).expect("it has as many entries"))
    }

    /// Sends the blocks of a block row to all ranks of their column: `panel` is filled, and returned as the block's rows
    /// by this rank's columns. Collective; only ranks of one column exchange messages.
    ///
    /// # Errors
    /// A block row that is not there; a failure of the engine.
    #[track_caller]
    pub fn block_row<'p>(&self, number: usize, panel: &'p mut Vec<T>) -> Result<ArrayView2<'p, T>> {
        let range = self.block_range("Matrix::block_row", 0, number)?;
        let (axis, grid, [rows, columns]) = (self.layout.axes()[0], self.layout.grid(), self.local_shape());
        let owner = axis.owner(range.start);
        panel.clear();
        if owner == grid.place()[0] {
            let first = axis.local(range.start);
            for column in self.local.chunks_exact(rows) {
                panel.extend_from_slice(&column[first..first + range.len()]);
            }
        } else {
            panel.resize(columns * range.len(), T::zeroed());
        }
        grid.column().bcast(panel, owner)?;
        Ok(ArrayView2::from_shape((range.len(), columns).f(), &panel[..]).expect("it has as many entries"))
    }

    #[track_caller]
    fn block_range(&self, call: &str, n: usize, number: usize) -> Result<std::ops::Range<usize>> {
        let axis = self.layout.axes()[n];
        let blocks = axis.len.div_ceil(axis.block);
        if number >= blocks {
            let what = format!("number {number} of {blocks} in {:?}", self.layout);
            let help = "block rows and columns are counted from 0";
            return Err(self.layout.grid().comm().usage(call, Location::caller(), what, help));
        }
        Ok(number * axis.block..((number + 1) * axis.block).min(axis.len))
    }
}
