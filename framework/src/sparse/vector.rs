//! `Vector`: a number at every index of a distribution, and the few operations that solvers are made of.
//!
//! It has no halo; what a multiplication needs of other ranks is the matrix's business (`gather`). Collections of
//! things that are no numbers are `collection`'s.

use super::{Distribution, Value};
use crate::comm::Element;
use crate::error::Result;
use crate::op::Sum;
use crate::output::{Partitioned, PartitionedMut, Piece};
use crate::{Field, Grid, Memory};
use ndarray::{Dim, Dimension, IntoDimension};
use std::panic::Location;

/// A distributed vector.
///
/// ```
/// use rankine::sparse::{Distribution, Vector};
/// rankine::testing::ranks([1, 2, 3], |world| {
///     let rows = Distribution::even(world, 5)?;
///     let x = Vector::from_fn(&rows, |i| i as f64);
///     let mut y = Vector::filled(&rows, 1.0);
///     y.axpy(2.0, &x)?;
///     assert_eq!(x.dot(&y)?, 70.0);
///     assert_eq!(y.gather()?, [1.0, 3.0, 5.0, 7.0, 9.0]);
///     Ok(())
/// });
/// ```
#[derive(Clone, Debug)]
pub struct Vector<T: Element> {
    rows: Distribution,
    local: Memory<T>,
}

/// Sums are made in so many chains, which the processor works on at once.
const LANES: usize = 8;

impl<T: Value> Vector<T> {
    /// Zeros. Local.
    pub fn zeros(rows: &Distribution) -> Self {
        Vector::filled(rows, T::default())
    }

    /// `value` everywhere. Local.
    pub fn filled(rows: &Distribution, value: T) -> Self {
        Vector { rows: rows.clone(), local: Memory::filled(rows.len(), value) }
    }

    /// A value for each global index. Local.
    pub fn from_fn(rows: &Distribution, value: impl FnMut(usize) -> T) -> Self {
        let mut vector = Vector::zeros(rows);
        vector.local.iter_mut().zip(rows.range().map(value)).for_each(|(to, value)| *to = value);
        vector
    }

    /// With this rank's values. Local.
    ///
    /// # Errors
    /// Another number of them than the rank has indices.
    #[track_caller]
    pub fn from_local(rows: &Distribution, local: Vec<T>) -> Result<Self> {
        if local.len() != rows.len() {
            let what = format!("{} values for {} indices", local.len(), rows.len());
            let help = "give one for each index of Distribution::range";
            return Err(rows.comm().usage("Vector::from_local", Location::caller(), what, help));
        }
        Ok(Vector { rows: rows.clone(), local: Memory::from(local) })
    }

    /// Which rank has which indices.
    pub fn rows(&self) -> &Distribution {
        &self.rows
    }

    /// This rank's values: those at [`Distribution::range`].
    pub fn local(&self) -> &[T] {
        &self.local
    }

    /// As [`Vector::local`], to be changed. A rank may do so alone.
    pub fn local_mut(&mut self) -> &mut [T] {
        &mut self.local
    }

    /// The value at a global index, where this rank has it.
    pub fn get(&self, index: usize) -> Option<T> {
        let range = self.rows.range();
        range.contains(&index).then(|| self.local[index - range.start])
    }

    /// `value` everywhere. Local.
    pub fn fill(&mut self, value: T) {
        self.local.fill(value);
    }

    /// The values of `other`. Local.
    ///
    /// # Errors
    /// Vectors of different distributions.
    #[track_caller]
    pub fn copy_from(&mut self, other: &Vector<T>) -> Result<()> {
        self.check("copy_from", other)?;
        self.local.copy_from_slice(&other.local);
        Ok(())
    }

    /// Adds `a` times `x`. Local.
    ///
    /// # Errors
    /// Vectors of different distributions.
    #[track_caller]
    pub fn axpy(&mut self, a: T, x: &Vector<T>) -> Result<()> {
        self.check("axpy", x)?;
        self.local.iter_mut().zip(&x.local[..]).for_each(|(y, &x)| *y += a * x);
        Ok(())
    }

    /// `x` plus `a` times what was there. Local.
    ///
    /// # Errors
    /// Vectors of different distributions.
    #[track_caller]
    pub fn aypx(&mut self, a: T, x: &Vector<T>) -> Result<()> {
        self.check("aypx", x)?;
        self.local.iter_mut().zip(&x.local[..]).for_each(|(y, &x)| *y = x + a * *y);
        Ok(())
    }

    /// Times `a`. Local.
    pub fn scale(&mut self, a: T) {
        self.local.iter_mut().for_each(|x| *x = a * *x);
    }

    /// The sum of conj(self)·other, the same on every rank. Its last bits depend on the number of ranks. Collective.
    ///
    /// # Errors
    /// Vectors of different distributions; a failure of the engine.
    #[track_caller]
    pub fn dot(&self, other: &Vector<T>) -> Result<T> {
        self.check("dot", other)?;
        self.rows.comm().allreduce(dot(&self.local, &other.local), Sum)
    }

    /// As [`Vector::dot`], the exact sum of the products, rounded once: the same bits for any number of ranks.
    ///
    /// # Errors
    /// As [`Vector::dot`].
    #[track_caller]
    pub fn dot_reproducible(&self, other: &Vector<T>) -> Result<T> {
        self.check("dot_reproducible", other)?;
        self.rows.comm().dot_reproducible(&self.local, &other.local)
    }

    /// The Euclidean norm. Collective.
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn norm(&self) -> Result<f64> {
        Ok(self.rows.comm().allreduce(squares(&self.local), Sum)?.sqrt())
    }

    /// As [`Vector::norm`], with the same bits for any number of ranks.
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn norm_reproducible(&self) -> Result<f64> {
        Ok(self.rows.comm().dot_reproducible(&self.local, &self.local)?.parts().0.sqrt())
    }

    /// All values in the order of their indices, on every rank: for small vectors and tests. Collective.
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn gather(&self) -> Result<Vec<T>> {
        let comm = self.rows.comm();
        let counts: Vec<usize> =
            (0..comm.size()).map(|rank| self.rows.range_of(rank).map_or(0, |range| range.len())).collect();
        let mut all = vec![T::default(); self.rows.total()];
        comm.allgatherv_into(&self.local, &mut all, &counts)?;
        Ok(all)
    }

    #[track_caller]
    pub(super) fn check(&self, call: &str, other: &Vector<T>) -> Result<()> {
        self.rows.check(call, "the vector", &other.rows)
    }
}

impl Distribution {
    /// The cells of a grid: each rank's own ones, in C order of its block. So a vector may hold the cells of a
    /// [`Field`]; [`Vector::copy_from_field`] and [`Vector::copy_to_field`] copy. Collective.
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn of_grid<const D: usize>(grid: &Grid<D>) -> Result<Distribution> {
        Distribution::of_local(grid.comm(), grid.own().len())
    }

    #[track_caller]
    pub(super) fn check(&self, call: &str, what: &str, given: &Distribution) -> Result<()> {
        if self.same(given) {
            return Ok(());
        }
        let what = format!("{what} has {given:?}; this needs {self:?}");
        let help = "make both of one Distribution, or of equal ones";
        Err(self.comm().usage(call, Location::caller(), what, help))
    }
}

impl<T: Value> Vector<T> {
    /// Takes the owned cells of a field, of a grid that [`Distribution::of_grid`] was made of. Local.
    ///
    /// # Errors
    /// A field with another number of cells here.
    #[track_caller]
    pub fn copy_from_field<const D: usize>(&mut self, field: &Field<T, D>) -> Result<()>
    where
        Dim<[usize; D]>: Dimension,
        [usize; D]: IntoDimension<Dim = Dim<[usize; D]>>,
    {
        self.check_cells("copy_from_field", field.grid())?;
        let width = field.grid().own().shape[D - 1].max(1);
        for (out, row) in self.local.chunks_exact_mut(width).zip(field.view().rows()) {
            out.iter_mut().zip(row).for_each(|(out, &cell)| *out = cell);
        }
        Ok(())
    }

    /// Gives the owned cells of such a field their values. Local.
    ///
    /// # Errors
    /// A field with another number of cells here.
    #[track_caller]
    pub fn copy_to_field<const D: usize>(&self, field: &mut Field<T, D>) -> Result<()>
    where
        Dim<[usize; D]>: Dimension,
        [usize; D]: IntoDimension<Dim = Dim<[usize; D]>>,
    {
        self.check_cells("copy_to_field", field.grid())?;
        let width = field.grid().own().shape[D - 1].max(1);
        for (values, mut row) in self.local.chunks_exact(width).zip(field.view_mut().rows_mut()) {
            row.iter_mut().zip(values).for_each(|(cell, &value)| *cell = value);
        }
        Ok(())
    }

    #[track_caller]
    fn check_cells<const D: usize>(&self, call: &str, grid: &Grid<D>) -> Result<()> {
        if self.local.len() == grid.own().len() {
            return Ok(());
        }
        let what = format!("{} values, but {} cells here", self.local.len(), grid.own().len());
        let help = "make the vector of Distribution::of_grid of the field's grid";
        Err(self.rows.comm().usage(call, Location::caller(), what, help))
    }
}

/// As a file and a checkpoint see it: an array of one axis, in the order of the indices.
impl<T: Value> Partitioned for Vector<T> {
    type Item = T;

    fn global_shape(&self) -> Vec<usize> {
        vec![self.rows.total()]
    }

    fn pieces(&self) -> Vec<Piece> {
        vec![Piece::packed(vec![self.rows.range().start], vec![self.local.len()], 0)]
    }

    fn elements(&self) -> &[T] {
        &self.local
    }
}

impl<T: Value> PartitionedMut for Vector<T> {
    fn elements_mut(&mut self) -> &mut [T] {
        &mut self.local
    }
}

/// The sum of conj(a)·b.
pub(super) fn dot<T: Value>(a: &[T], b: &[T]) -> T {
    let mut lanes = [T::default(); LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (mut rest, last) = (T::default(), a.remainder().iter().zip(b.remainder()));
    last.for_each(|(&a, &b)| rest += a.conj() * b);
    for (a, b) in a.zip(b) {
        for lane in 0..LANES {
            lanes[lane] += a[lane].conj() * b[lane];
        }
    }
    lanes.into_iter().fold(rest, |sum, lane| sum + lane)
}

fn squares<T: Value>(values: &[T]) -> f64 {
    let mut lanes = [0.0; LANES];
    let groups = values.chunks_exact(LANES);
    let rest: f64 = groups.remainder().iter().map(|value| value.abs_squared()).sum();
    for group in groups {
        for lane in 0..LANES {
            lanes[lane] += group[lane].abs_squared();
        }
    }
    lanes.into_iter().fold(rest, |sum, lane| sum + lane)
}
