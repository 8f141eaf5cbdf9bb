//! The entries of a matrix on their rank: by global index, by closures, in blocks, as arrays.
//!
//! Nothing here communicates.

use super::Matrix;
use crate::comm::Element;
use crate::error::Result;
use crate::grid::Block;
use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder, s};
use rayon::prelude::*;
use std::ops::Range;
use std::panic::Location;

impl<T: Element> Matrix<T> {
    /// The entry at a global row and column, where this rank has it. Local.
    pub fn get(&self, entry: [usize; 2]) -> Option<T> {
        self.position(entry).map(|at| self.local[at])
    }

    /// Sets an entry if this rank has it, and says whether it does. Local.
    pub fn set(&mut self, entry: [usize; 2], value: T) -> bool {
        let Some(at) = self.position(entry) else { return false };
        self.local[at] = value;
        true
    }

    fn position(&self, entry: [usize; 2]) -> Option<usize> {
        let [i, j] = self.layout.local(entry)?;
        Some(i + j * self.local_shape()[0])
    }

    /// `value` everywhere. Local.
    pub fn fill(&mut self, value: T) {
        self.local.fill(value);
    }

    /// This rank's entries, column after column.
    pub fn storage(&self) -> &[T] {
        &self.local
    }

    /// As [`Matrix::storage`], to be changed. A rank may do so alone.
    pub fn storage_mut(&mut self) -> &mut [T] {
        &mut self.local
    }

    /// This rank's entries, as an array of local rows and columns.
    pub fn local(&self) -> ArrayView2<'_, T> {
        let [rows, columns] = self.local_shape();
        ArrayView2::from_shape((rows, columns).f(), &self.local).expect("the storage has the layout's shape")
    }

    /// As [`Matrix::local`], to be changed. A rank may do so alone.
    pub fn local_mut(&mut self) -> ArrayViewMut2<'_, T> {
        let [rows, columns] = self.local_shape();
        ArrayViewMut2::from_shape((rows, columns).f(), &mut self.local)
            .expect("the storage has the layout's shape")
    }

    /// What this rank has of a part of the matrix, in order. Local.
    ///
    /// ```
    /// use rankine::matrix::{BlockCyclic, Matrix, ProcessGrid};
    /// rankine::testing::ranks([1, 2, 4], |world| {
    ///     let layout = BlockCyclic::new(&ProcessGrid::new(world)?, [9, 9], [2, 2])?;
    ///     let mut a = Matrix::zeros(&layout)?;
    ///     a.part_mut(3..7, 0..9)?.fill(1.0);
    ///     assert_eq!(a.sum()?, 36.0);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// A range that does not lie in the matrix.
    #[track_caller]
    pub fn part(&self, rows: Range<usize>, columns: Range<usize>) -> Result<ArrayView2<'_, T>> {
        let [rows, columns] = self.local_ranges("Matrix::part", [rows, columns])?;
        Ok(self.local().slice_move(s![rows, columns]))
    }

    /// As [`Matrix::part`], to be changed. A rank may do so alone.
    ///
    /// # Errors
    /// As [`Matrix::part`].
    #[track_caller]
    pub fn part_mut(&mut self, rows: Range<usize>, columns: Range<usize>) -> Result<ArrayViewMut2<'_, T>> {
        let [rows, columns] = self.local_ranges("Matrix::part_mut", [rows, columns])?;
        Ok(self.local_mut().slice_move(s![rows, columns]))
    }

    #[track_caller]
    fn local_ranges(&self, call: &str, ranges: [Range<usize>; 2]) -> Result<[Range<usize>; 2]> {
        let ([m, n], [rows, columns]) = (self.shape(), &ranges);
        if rows.start > rows.end || rows.end > m || columns.start > columns.end || columns.end > n {
            let what = format!("rows {rows:?} and columns {columns:?} of {m}x{n}");
            let help = "give ranges inside the matrix";
            return Err(self.layout.grid().comm().usage(call, Location::caller(), what, help));
        }
        let (axes, [r, c]) = (self.layout.axes(), self.layout.grid().place());
        Ok([axes[0].within(r, rows.clone()), axes[1].within(c, columns.clone())])
    }

    /// The blocks of this rank, one column of blocks after the other: which entries each has, and they themselves.
    pub fn blocks(&self) -> impl Iterator<Item = (Block<2>, ArrayView2<'_, T>)> {
        let (axes, [r, c]) = (self.layout.axes(), self.layout.grid().place());
        let ends = |local: usize, step: usize, count: usize| local..(local + step).min(count);
        let [rows, columns] = self.local_shape();
        (0..columns).step_by(axes[1].block).flat_map(move |j| {
            (0..rows).step_by(axes[0].block).map(move |i| {
                let (own_rows, own_columns) = (ends(i, axes[0].block, rows), ends(j, axes[1].block, columns));
                let start = [axes[0].global(r, i), axes[1].global(c, j)];
                let block = Block { start, shape: [own_rows.len(), own_columns.len()] };
                (block, self.local().slice_move(s![own_rows, own_columns]))
            })
        })
    }

    /// Calls `change` with every block of this rank, in the order of [`Matrix::blocks`]. Local.
    pub fn each_block_mut(&mut self, mut change: impl FnMut(Block<2>, ArrayViewMut2<'_, T>)) {
        let shapes: Vec<Block<2>> = self.blocks().map(|(block, _)| block).collect();
        let axes = self.layout.axes();
        for block in shapes {
            let [i, j] = [0, 1].map(|n| axes[n].local(block.start[n]));
            let part = s![i..i + block.shape[0], j..j + block.shape[1]];
            change(block, self.local_mut().slice_move(part));
        }
    }

    /// This rank's entries with their global row and column, column after column.
    pub fn iter(&self) -> impl Iterator<Item = ([usize; 2], T)> {
        let (axes, [r, c], rows) = (self.layout.axes(), self.layout.grid().place(), self.local_shape()[0]);
        self.local
            .iter()
            .enumerate()
            .map(move |(at, &value)| ([axes[0].global(r, at % rows), axes[1].global(c, at / rows)], value))
    }

    /// Calls `change` with every entry of this rank and its global row and column. Local; called on the rank's threads.
    pub fn each_mut(&mut self, change: impl Fn([usize; 2], &mut T) + Sync) {
        let (axes, [r, c], [rows, columns]) =
            (self.layout.axes(), self.layout.grid().place(), self.local_shape());
        let one = |j: usize, column: &mut [T]| {
            let global = axes[1].global(c, j);
            for stretch in axes[0].stretches(r) {
                for (i, entry) in (stretch.global..).zip(&mut column[stretch.local..][..stretch.len]) {
                    change([i, global], entry);
                }
            }
        };
        if rows == 0 || columns == 0 {
            return;
        }
        if rayon::current_num_threads() == 1 {
            self.local.chunks_exact_mut(rows).enumerate().for_each(|(j, column)| one(j, column));
        } else {
            self.local.par_chunks_exact_mut(rows).enumerate().for_each(|(j, column)| one(j, column));
        }
    }
}
