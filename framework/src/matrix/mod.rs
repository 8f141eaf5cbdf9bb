//! Dense matrices dealt to ranks in blocks, and their products.
//!
//! A [`ProcessGrid`] has ranks in rows and columns, a [`BlockCyclic`] layout says which rank has which entries, a
//! [`Matrix`] has them, a [`Product`] multiplies. The layout is ScaLAPACK's. Sparse matrices are `crate::sparse`'s, arrays with
//! halos fields; the multiplication of what is on one rank is the crate `faer`'s.
//!
//! ```
//! use rankine::matrix::{BlockCyclic, Matrix, ProcessGrid};
//! rankine::testing::ranks([1, 2, 3, 4], |world| {
//!     let grid = ProcessGrid::new(world)?;
//!     let a = Matrix::from_fn(&BlockCyclic::new(&grid, [30, 20], [8, 8])?, |[i, j]| (i + 2 * j) as f64)?;
//!     let mut c = Matrix::zeros(&BlockCyclic::new(&grid, [20, 20], [8, 8])?)?;
//!     c.multiply(1.0, a.t(), &a, 0.0)?;                            // C = Aᵀ A, on all ranks
//!     let expected = |i: usize, j: usize| (0..30).map(|k| ((k + 2 * i) * (k + 2 * j)) as f64).sum::<f64>();
//!     assert!(c.iter().all(|([i, j], value)| value == expected(i, j)));
//!     Ok(())
//! });
//! ```

mod access;
mod axis;
mod file;
mod gemm;
mod layout;
mod multiply;
mod norms;
mod panels;
mod process;
mod rearrange;

pub use gemm::{Entry, Factor, Form};
pub use layout::BlockCyclic;
pub use multiply::Product;
pub use norms::MatrixNorm;
pub use process::ProcessGrid;
pub use rearrange::Rearrangement;

use crate::comm::Element;
use crate::error::{Error, Result};
use std::panic::Location;

/// A dense matrix over a [`BlockCyclic`] layout.
///
/// Every rank has its entries in column-major order, as LAPACK and ScaLAPACK do, without gaps: entry (i, j) of the local part
/// is element `i + j * local_shape()[0]` of [`storage`](Matrix::storage). In files a matrix is row-major, as NumPy and
/// h5py show it; any writer and reader takes it ([`Partitioned`](crate::output::Partitioned)).
pub struct Matrix<T: Element> {
    layout: BlockCyclic,
    local: Vec<T>,
}

impl<T: Element> Matrix<T> {
    /// Of zeros: elements whose bits are all 0. Collective.
    ///
    /// # Errors
    /// More entries than a rank's memory can hold, on every rank.
    #[track_caller]
    pub fn zeros(layout: &BlockCyclic) -> Result<Self> {
        let comm = layout.grid().comm();
        let [rows, columns] = layout.local_shape();
        // The layout vouches for the product.
        let (len, mut local) = (rows * columns, Vec::new());
        let place = Location::caller();
        let reserved = local.try_reserve_exact(len).map_err(|_| {
            Error::usage(format!("no memory for {rows}x{columns} entries of {layout:?}"))
                .help("use more ranks or a smaller matrix")
                .on_rank(comm.rank())
                .at(place)
        });
        comm.agree(reserved)?;
        local.resize(len, T::zeroed());
        Ok(Matrix { layout: layout.clone(), local })
    }

    /// An entry for each global row and column; `value` is called on the rank's threads, for the entries of the rank.
    /// Collective.
    ///
    /// # Errors
    /// As [`Matrix::zeros`].
    #[track_caller]
    pub fn from_fn(layout: &BlockCyclic, value: impl Fn([usize; 2]) -> T + Sync) -> Result<Self> {
        let mut matrix = Self::zeros(layout)?;
        matrix.each_mut(|entry, at| *at = value(entry));
        Ok(matrix)
    }

    /// With this rank's entries, column after column. Collective.
    ///
    /// # Errors
    /// A rank with another number of entries than the layout gives it, on every rank.
    #[track_caller]
    pub fn from_local(layout: &BlockCyclic, local: Vec<T>) -> Result<Self> {
        let comm = layout.grid().comm();
        let [rows, columns] = layout.local_shape();
        let fits = if local.len() == rows * columns {
            Ok(())
        } else {
            let what = format!("{} entries for a local part of {rows}x{columns}", local.len());
            let help = "give one for each local row and column, column after column";
            Err(comm.usage("Matrix::from_local", Location::caller(), what, help))
        };
        comm.agree(fits)?;
        Ok(Matrix { layout: layout.clone(), local })
    }

    /// Another matrix of the same layout and entries. Collective.
    ///
    /// # Errors
    /// As [`Matrix::zeros`].
    #[track_caller]
    pub fn duplicate(&self) -> Result<Self> {
        let mut other = Self::zeros(&self.layout)?;
        other.local.copy_from_slice(&self.local);
        Ok(other)
    }

    /// Which rank has which entries.
    pub fn layout(&self) -> &BlockCyclic {
        &self.layout
    }

    /// Rows and columns of the whole.
    pub fn shape(&self) -> [usize; 2] {
        self.layout.shape()
    }

    /// Rows and columns of this rank.
    pub fn local_shape(&self) -> [usize; 2] {
        self.layout.local_shape()
    }
}

impl<T: Element> std::fmt::Debug for Matrix<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Matrix<{}> of {:?}", std::any::type_name::<T>(), self.layout)
    }
}
