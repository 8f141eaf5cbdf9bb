//! A small sparse matrix from a dense one and back: for tests and examples.
//!
//! Here alone in this folder every rank holds all of a matrix.

use super::{Distribution, SparseMatrix, Value};
use crate::error::Result;
use ndarray::{Array2, ArrayView2};
use std::panic::Location;

impl<T: Value> SparseMatrix<T> {
    /// Of the entries of a dense matrix that are not zero; every rank gives the whole matrix. Collective.
    ///
    /// # Errors
    /// Another shape than the distributions have; those of [`SparseMatrix::from_triplets`].
    #[track_caller]
    pub fn from_dense(rows: &Distribution, columns: &Distribution, dense: ArrayView2<'_, T>) -> Result<Self> {
        let comm = rows.comm();
        let fits = match dense.dim() == (rows.total(), columns.total()) {
            true => Ok(()),
            false => {
                let what = format!(
                    "{:?} given for {} rows and {} columns",
                    dense.dim(),
                    rows.total(),
                    columns.total()
                );
                Err(comm.usage(
                    "SparseMatrix::from_dense",
                    Location::caller(),
                    what,
                    "give all of the matrix",
                ))
            }
        };
        comm.agree(fits)?;
        let own = rows.range().flat_map(|row| (0..columns.total()).map(move |column| (row, column)));
        let triplets = own.map(|(row, column)| (row, column, dense[[row, column]]));
        Self::from_triplets(rows, columns, triplets.filter(|entry| entry.2 != T::default()))
    }

    /// The whole matrix, on every rank. Collective.
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn to_dense(&self) -> Result<Array2<T>> {
        let comm = self.rows.comm();
        let (places, values): (Vec<[usize; 2]>, Vec<T>) =
            self.iter().map(|(row, column, value)| ([row, column], value)).unzip();
        let (places, _) = comm.allgatherv(&places)?;
        let (values, _) = comm.allgatherv(&values)?;
        let mut dense = Array2::from_elem((self.rows.total(), self.columns.total()), T::default());
        places.into_iter().zip(values).for_each(|(place, value)| dense[place] = value);
        Ok(dense)
    }
}
