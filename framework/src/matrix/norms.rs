//! Norms, sums and the checksum of matrices.
//!
//! What a reproducible sum is, is in `comm::op::exact`.

use super::Matrix;
use crate::comm::Element;
use crate::comm::Number;
use crate::error::Result;
use crate::field::Magnitude;
use crate::op::{Exact, Max, Sum, Summable};
use crate::output::Partitioned;

/// How a matrix is measured (LAPACK's DLANGE).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatrixNorm {
    /// The largest absolute value of an entry (which is no consistent norm).
    Max,
    /// The largest sum of absolute values in a column.
    One,
    /// The largest sum of absolute values in a row.
    Infinity,
    /// The root of the sum of the squares.
    Frobenius,
}

/// Exact sums that are reduced at a time: each has 280 bytes.
const EXACT: usize = 256;

impl<T: Element> Matrix<T> {
    /// A norm, in double precision; the same on every rank, and NaN if an entry is. 0 of a matrix without entries. Its last
    /// bits depend on the layout, but for [`MatrixNorm::Max`]. Collective.
    ///
    /// ```
    /// use rankine::matrix::{BlockCyclic, Matrix, MatrixNorm, ProcessGrid};
    /// rankine::testing::ranks([1, 2, 3, 4], |world| {
    ///     let layout = BlockCyclic::new(&ProcessGrid::new(world)?, [2, 3], [1, 1])?;
    ///     let a = Matrix::from_fn(&layout, |[i, j]| [[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]][i][j])?;
    ///     assert_eq!(a.norm(MatrixNorm::Max)?, 6.0);
    ///     assert_eq!(a.norm(MatrixNorm::One)?, 9.0);
    ///     assert_eq!(a.norm(MatrixNorm::Infinity)?, 15.0);
    ///     assert_eq!(a.norm(MatrixNorm::Frobenius)?, 91.0f64.sqrt());
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn norm(&self, norm: MatrixNorm) -> Result<f64>
    where
        T: Magnitude,
    {
        let (grid, [rows, _]) = (self.layout.grid(), self.local_shape());
        let columns = self.local.chunks_exact(rows.max(1));
        let largest = match norm {
            MatrixNorm::Max => largest(self.local.iter().map(|value| value.magnitude())),
            MatrixNorm::One => {
                let mut sums: Vec<f64> =
                    columns.map(|column| column.iter().map(|value| value.magnitude()).sum()).collect();
                // A rank without rows has as many columns all the same.
                sums.resize(self.local_shape()[1], 0.0);
                grid.column().allreduce_in_place(&mut sums, Sum)?;
                largest(sums)
            }
            MatrixNorm::Infinity => {
                let mut sums = vec![0.0; rows];
                columns.for_each(|column| {
                    sums.iter_mut().zip(column).for_each(|(sum, value)| *sum += value.magnitude());
                });
                grid.row().allreduce_in_place(&mut sums, Sum)?;
                largest(sums)
            }
            MatrixNorm::Frobenius => {
                let square = |column: &[T]| column.iter().map(|value| value.square()).sum::<f64>();
                return grid.comm().allreduce(columns.map(square).sum::<f64>(), Sum).map(f64::sqrt);
            }
        };
        grid.comm().allreduce(largest, Max)
    }

    /// As [`Matrix::norm`], with the same bits in any layout on any number of ranks: each absolute value or square is rounded
    /// by itself, and their exact sum once. Collective.
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn norm_reproducible(&self, norm: MatrixNorm) -> Result<f64>
    where
        T: Magnitude,
    {
        let (grid, view) = (self.layout.grid(), self.local());
        let mut numbers = Vec::new();
        let mut summed = |values: &mut dyn Iterator<Item = f64>, sum: &mut Exact| {
            numbers.clear();
            numbers.extend(values);
            sum.add_all(&numbers);
        };
        let (lines, across) = match norm {
            MatrixNorm::Max => return self.norm(norm),
            MatrixNorm::Frobenius => {
                let mut sum = Exact::new();
                for column in view.columns() {
                    summed(&mut column.iter().map(|value| value.square()), &mut sum);
                }
                return grid.comm().allreduce(sum, Sum).map(|sum| sum.value().sqrt());
            }
            MatrixNorm::One => (view.reversed_axes(), grid.column()),
            MatrixNorm::Infinity => (view, grid.row()),
        };
        let mut most = 0.0;
        for first in (0..lines.nrows()).step_by(EXACT) {
            let mut sums = vec![Exact::new(); EXACT.min(lines.nrows() - first)];
            for (line, sum) in (first..).zip(&mut sums) {
                summed(&mut lines.row(line).iter().map(|value| value.magnitude()), sum);
            }
            across.allreduce_in_place(&mut sums, Sum)?;
            most = largest(sums.iter().map(Exact::value).chain([most]));
        }
        grid.comm().allreduce(most, Max)
    }

    /// The sum of all entries; the same on every rank. Its last bits depend on the layout. Collective.
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn sum(&self) -> Result<T>
    where
        T: Number,
    {
        let rows = self.local_shape()[0].max(1);
        let columns =
            self.local.chunks_exact(rows).map(|column| column.iter().copied().fold(T::zeroed(), T::plus));
        self.layout.grid().comm().allreduce(columns.fold(T::zeroed(), T::plus), Sum)
    }

    /// As [`Matrix::sum`], the exact sum, rounded once: the same bits in any layout on any number of ranks. Collective.
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn sum_reproducible(&self) -> Result<T>
    where
        T: Summable,
    {
        self.layout.grid().comm().sum_reproducible(&self.local)
    }

    /// A number that depends on the bits of every entry and its row and column, and on nothing else: it is the same in any
    /// layout on any number of ranks, and that of a [`Field`](crate::Field) with the same values. Not a cryptographic
    /// one. Collective.
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn checksum(&self) -> Result<u64> {
        let columns = self.global_shape()[1] as u64;
        let sum = self.iter().fold(0u64, |sum, ([i, j], value)| {
            let index = i as u64 * columns + j as u64;
            sum.wrapping_add(crate::field::mixed(index, bytemuck::bytes_of(&value)))
        });
        self.layout.grid().comm().allreduce(sum, Sum)
    }
}

/// The largest, of numbers that are not negative; NaN if there is one.
fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, |most, value| if value > most || value.is_nan() { value } else { most })
}
