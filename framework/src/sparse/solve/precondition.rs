//! Preconditioners: approximate inverses that are cheap to apply.
//!
//! All of these are local: a rank needs nothing of another's to apply its part.

use crate::error::Result;
use crate::sparse::{SparseMatrix, Value, Vector};
use std::panic::Location;

/// An approximate inverse of an operator. For conjugate gradients it must be Hermitian and positive definite.
pub trait Preconditioner<T: Value> {
    /// z = M⁻¹·r. Every rank calls it.
    ///
    /// # Errors
    /// Its own; every rank gets one.
    fn apply(&self, r: &Vector<T>, z: &mut Vector<T>) -> Result<()>;
}

/// No preconditioner: z = r.
#[derive(Clone, Copy, Debug)]
pub struct Identity;

impl<T: Value> Preconditioner<T> for Identity {
    fn apply(&self, r: &Vector<T>, z: &mut Vector<T>) -> Result<()> {
        z.copy_from(r)
    }
}

/// Division by the diagonal. The same whatever the number of ranks.
#[derive(Clone, Debug)]
pub struct Jacobi<T: Value>(Vector<T>);

impl<T: Value> Jacobi<T> {
    /// Of a square matrix. Collective.
    ///
    /// # Errors
    /// A zero on the diagonal, or something that is not finite; a matrix whose rows and columns are dealt differently.
    #[track_caller]
    pub fn new(a: &SparseMatrix<T>) -> Result<Self> {
        Jacobi::of_diagonal(diagonal("Jacobi", a)?)
    }

    /// Of the diagonal alone, for operators without a matrix. Collective.
    ///
    /// # Errors
    /// A zero, or something that is not finite.
    #[track_caller]
    pub fn of_diagonal(mut diagonal: Vector<T>) -> Result<Self> {
        check_diagonal("Jacobi", &diagonal)?;
        diagonal.local_mut().iter_mut().for_each(|d| *d = T::of(1.0) / *d);
        Ok(Jacobi(diagonal))
    }
}

impl<T: Value> Preconditioner<T> for Jacobi<T> {
    fn apply(&self, r: &Vector<T>, z: &mut Vector<T>) -> Result<()> {
        self.0.check("Jacobi", r)?;
        self.0.check("Jacobi", z)?;
        let of = self.0.local().iter().zip(r.local());
        z.local_mut().iter_mut().zip(of).for_each(|(z, (&d, &r))| *z = d * r);
        Ok(())
    }
}

/// A forward and a backward sweep of Gauss–Seidel over each rank's own rows and columns, M = (D + L)·D⁻¹·(D + U) there.
///
/// Entries in other ranks' columns are left out, so it is block Jacobi over ranks: exact symmetric Gauss–Seidel on one rank,
/// and weaker the more ranks there are. Hermitian and positive definite where the matrix is.
#[derive(Clone, Debug)]
pub struct SymmetricGaussSeidel<T: Value> {
    inverse: Vector<T>,
    below: Triangle<T>,
    above: Triangle<T>,
}

/// Rows of own columns beside the diagonal.
#[derive(Clone, Debug)]
struct Triangle<T> {
    starts: Vec<u32>,
    columns: Vec<u32>,
    values: Vec<T>,
}

impl<T: Value> Triangle<T> {
    fn new() -> Self {
        Triangle { starts: vec![0], columns: Vec::new(), values: Vec::new() }
    }

    /// The row's product with `z`.
    #[inline]
    fn times(&self, row: usize, z: &[T]) -> T {
        let range = self.starts[row] as usize..self.starts[row + 1] as usize;
        let mut sum = T::default();
        for (&column, &value) in self.columns[range.clone()].iter().zip(&self.values[range]) {
            sum += value * z[column as usize];
        }
        sum
    }
}

impl<T: Value> SymmetricGaussSeidel<T> {
    /// Of a square matrix, whose values are copied. Collective.
    ///
    /// # Errors
    /// As [`Jacobi::new`].
    #[track_caller]
    pub fn new(a: &SparseMatrix<T>) -> Result<Self> {
        let mut inverse = diagonal("SymmetricGaussSeidel", a)?;
        check_diagonal("SymmetricGaussSeidel", &inverse)?;
        inverse.local_mut().iter_mut().for_each(|d| *d = T::of(1.0) / *d);
        let own = a.rows().range();
        let (mut below, mut above) = (Triangle::new(), Triangle::new());
        for row in own.clone() {
            for (column, value) in a.row(row).into_iter().flatten().filter(|entry| own.contains(&entry.0)) {
                let side = match column.cmp(&row) {
                    std::cmp::Ordering::Less => &mut below,
                    std::cmp::Ordering::Greater => &mut above,
                    std::cmp::Ordering::Equal => continue,
                };
                side.columns.push((column - own.start) as u32);
                side.values.push(value);
            }
            for side in [&mut below, &mut above] {
                side.starts.push(side.values.len() as u32);
            }
        }
        Ok(SymmetricGaussSeidel { inverse, below, above })
    }
}

impl<T: Value> Preconditioner<T> for SymmetricGaussSeidel<T> {
    fn apply(&self, r: &Vector<T>, z: &mut Vector<T>) -> Result<()> {
        self.inverse.check("SymmetricGaussSeidel", r)?;
        self.inverse.check("SymmetricGaussSeidel", z)?;
        let (inverse, r, z) = (self.inverse.local(), r.local(), z.local_mut());
        for row in 0..z.len() {
            z[row] = (r[row] - self.below.times(row, z)) * inverse[row];
        }
        for row in (0..z.len()).rev() {
            let above = self.above.times(row, z);
            z[row] -= above * inverse[row];
        }
        Ok(())
    }
}

#[track_caller]
fn diagonal<T: Value>(call: &str, a: &SparseMatrix<T>) -> Result<Vector<T>> {
    a.rows().check(call, "the matrix's columns", a.columns())?;
    Ok(a.diagonal())
}

#[track_caller]
fn check_diagonal<T: Value>(call: &str, diagonal: &Vector<T>) -> Result<()> {
    let rows = diagonal.rows();
    let bad = |d: &T| *d == T::default() || !d.is_finite();
    let found = match diagonal.local().iter().position(bad) {
        None => Ok(()),
        Some(at) => {
            let what =
                format!("row {} has {:?} on the diagonal", rows.range().start + at, diagonal.local()[at]);
            let help = "it divides by the diagonal: order the rows anew, or use another preconditioner";
            Err(rows.comm().usage(call, Location::caller(), what, help))
        }
    };
    rows.comm().agree(found)
}
