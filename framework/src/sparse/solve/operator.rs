//! `Operator`: what a solver asks of A. Matrices are operators, and so is anything that can be applied to a vector.

use crate::error::Result;
use crate::sparse::{Distribution, SparseMatrix, Value, Vector};

/// A linear map of vectors of one distribution to vectors of the same.
pub trait Operator<T: Value> {
    /// The distribution of the vectors.
    fn rows(&self) -> &Distribution;

    /// y = A·x. Every rank calls it.
    ///
    /// # Errors
    /// Its own; every rank gets one.
    fn apply(&mut self, x: &Vector<T>, y: &mut Vector<T>) -> Result<()>;
}

impl<T: Value> Operator<T> for &SparseMatrix<T> {
    fn rows(&self) -> &Distribution {
        SparseMatrix::rows(self)
    }
    fn apply(&mut self, x: &Vector<T>, y: &mut Vector<T>) -> Result<()> {
        self.multiply(x, y)
    }
}

impl<T: Value, A: Operator<T>> Operator<T> for &mut A {
    fn rows(&self) -> &Distribution {
        A::rows(self)
    }
    fn apply(&mut self, x: &Vector<T>, y: &mut Vector<T>) -> Result<()> {
        A::apply(self, x, y)
    }
}

/// An operator that is a function, with no matrix anywhere.
///
/// ```
/// use rankine::sparse::{Distribution, Identity, MatrixFree, Solver, Vector};
/// use rankine::{Field, Grid};
/// rankine::testing::ranks([1, 2, 3, 4], |world| {
///     // Five points of Poisson's equation between walls of zero, as a stencil.
///     let grid = Grid::new(world, [12, 10])?;
///     let rows = Distribution::of_grid(&grid)?;
///     let (mut now, mut next) = (Field::new(&grid, 0.0)?.walls(rankine::Wall::Fixed(0.0)), Field::new(&grid, 0.0)?);
///     let mut stencil = MatrixFree::new(&rows, move |x: &Vector<f64>, y: &mut Vector<f64>| {
///         x.copy_to_field(&mut now)?;
///         next.update_from(&mut now, |out, rows| {
///             let (u, n, s) = (rows.at([0, 0]), rows.at([-1, 0]), rows.at([1, 0]));
///             let (w, e) = (rows.at([0, -1]), rows.at([0, 1]));
///             for i in 0..out.len() {
///                 out[i] = 4.0 * u[i] - n[i] - s[i] - w[i] - e[i];
///             }
///         })?;
///         y.copy_from_field(&next)
///     });
///     let (b, mut x) = (Vector::filled(&rows, 1.0), Vector::zeros(&rows));
///     let solution = Solver::new().cg(&mut stencil, &Identity, &b, &mut x)?.converged()?;
///     assert!(solution.residual() <= 1.1 * solution.target());
///     Ok(())
/// });
/// ```
pub struct MatrixFree<F> {
    rows: Distribution,
    apply: F,
}

impl<F> MatrixFree<F> {
    /// `apply` computes its second argument of its first. Local.
    pub fn new<T: Value>(rows: &Distribution, apply: F) -> Self
    where
        F: FnMut(&Vector<T>, &mut Vector<T>) -> Result<()>,
    {
        MatrixFree { rows: rows.clone(), apply }
    }
}

impl<T: Value, F: FnMut(&Vector<T>, &mut Vector<T>) -> Result<()>> Operator<T> for MatrixFree<F> {
    fn rows(&self) -> &Distribution {
        &self.rows
    }
    fn apply(&mut self, x: &Vector<T>, y: &mut Vector<T>) -> Result<()> {
        (self.apply)(x, y)
    }
}
