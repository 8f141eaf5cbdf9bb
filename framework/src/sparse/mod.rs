//! Sparse operators: matrices whose rows are dealt to ranks, vectors that fit them, and iterative solvers.
//!
//! A [`Distribution`] says which rank owns which indices, a [`Vector`] has values at them, a [`SparseMatrix`] maps
//! vectors of one distribution to vectors of another. [`market`] reads and writes Matrix Market files in parallel,
//! [`solve`] has conjugate gradients, BiCGStab and GMRES, for matrices and for operators without one. Dense matrices
//! and arrays on grids are elsewhere; how a message travels is `comm`'s business.
//!
//! ```
//! use rankine::sparse::{Distribution, Jacobi, Solver, SparseMatrix, Vector};
//! rankine::testing::ranks([1, 2, 3, 4], |world| {
//!     // -u'' = 1 between two zeros; the second difference of a parabola is exact.
//!     let n = 50;
//!     let rows = Distribution::even(world, n)?;
//!     let triplets = rows.range().flat_map(|i| {
//!         let beside = [i.checked_sub(1), Some(i + 1).filter(|&j| j < n)];
//!         [(i, i, 2.0)].into_iter().chain(beside.into_iter().flatten().map(move |j| (i, j, -1.0)))
//!     });
//!     let a = SparseMatrix::from_triplets(&rows, &rows, triplets)?;
//!     let h = 1.0 / (n + 1) as f64;
//!     let b = Vector::from_fn(&rows, |_| h * h);
//!     let mut x = Vector::zeros(&rows);
//!     let solution = Solver::new().relative(1e-12).cg(&a, &Jacobi::new(&a)?, &b, &mut x)?.converged()?;
//!     assert!(solution.iterations() <= n);
//!     for (i, u) in rows.range().zip(x.local()) {
//!         let at = (i + 1) as f64 * h;
//!         assert!((u - at * (1.0 - at) / 2.0).abs() < 1e-10);
//!     }
//!     Ok(())
//! });
//! ```

mod assemble;
mod compress;
mod dense;
mod distribution;
mod gather;
mod kernel;
pub mod market;
mod matrix;
mod multiply;
mod number;
pub mod solve;
mod store;
mod value;
mod vector;

pub use distribution::Distribution;
pub use matrix::SparseMatrix;
pub use solve::{
    Identity, Jacobi, MatrixFree, Operator, Outcome, Preconditioner, Solution, Solver, SymmetricGaussSeidel,
};
pub use value::Value;
pub use vector::Vector;
