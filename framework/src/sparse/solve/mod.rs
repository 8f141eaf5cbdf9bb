//! Iterative solvers of A·x = b: conjugate gradients, BiCGStab, GMRES(m); operators and preconditioners for them.
//!
//! This file says when an iteration ends and what it leaves behind. Each method has a file of its own; `operator` is what they
//! ask of A, `precondition` what they ask of an approximate inverse.
//!
//! **What depends on the number of ranks.** A multiplication by a [`SparseMatrix`](super::SparseMatrix) does not, nor do the Jacobi
//! preconditioner and sums of vectors. Dot products do, in their last bits; with [`Solver::reproducible`] they do not, and
//! then the whole iteration is the same to the bit on any number of ranks. Without it iterations differ by rounding,
//! which on ill-conditioned systems may move the end by an iteration or a few. [`SymmetricGaussSeidel`] works on each
//! rank's own block, so it is another preconditioner on another number of ranks, and weaker on more.

mod bicgstab;
mod cg;
mod gmres;
mod operator;
mod precondition;
mod sums;

pub use operator::{MatrixFree, Operator};
pub use precondition::{Identity, Jacobi, Preconditioner, SymmetricGaussSeidel};

use super::{Value, Vector};
use crate::error::{Error, ErrorKind, Result};
use std::panic::Location;
use sums::Sums;

/// When to stop, and how to sum. Every rank gives the same.
#[derive(Clone, Copy, Debug)]
#[must_use = "cg, bicgstab or gmres solves"]
pub struct Solver {
    relative: f64,
    absolute: f64,
    limit: usize,
    reproducible: bool,
}

/// How an iteration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The residual is as small as was asked for.
    Converged,
    /// The limit of iterations was reached first.
    Limit,
    /// The method cannot go on; the words say at what.
    Breakdown(&'static str),
    /// A NaN or an infinity came up: in the operator, the preconditioner, the right-hand side or the start, or by overflow.
    NotFinite,
}

/// What a solver leaves beside the solution.
#[derive(Clone, Debug)]
pub struct Solution {
    method: &'static str,
    outcome: Outcome,
    history: Vec<f64>,
    target: f64,
    residual: f64,
}

impl Default for Solver {
    fn default() -> Self {
        Solver::new()
    }
}

impl Solver {
    /// A residual of 10⁻⁸ of the right-hand side's norm, in at most 1000 iterations.
    pub fn new() -> Solver {
        Solver { relative: 1e-8, absolute: 0.0, limit: 1000, reproducible: false }
    }

    /// Converged where the residual's norm is at most so much of the right-hand side's. (Of a right-hand side of zeros the
    /// solution is zero, whatever the start.)
    pub fn relative(mut self, tolerance: f64) -> Self {
        self.relative = tolerance;
        self
    }

    /// Converged, too, where the residual's norm is at most this.
    pub fn absolute(mut self, tolerance: f64) -> Self {
        self.absolute = tolerance;
        self
    }

    /// At most so many iterations.
    pub fn limit(mut self, iterations: usize) -> Self {
        self.limit = iterations;
        self
    }

    /// Dot products as exact sums: the same bits, and so the same iteration, on any number of ranks. They take about
    /// as long as plain ones, their reductions are of 280 bytes instead of 8.
    pub fn reproducible(mut self, reproducible: bool) -> Self {
        self.reproducible = reproducible;
        self
    }

    fn sums(&self) -> Sums {
        Sums { reproducible: self.reproducible }
    }

    /// The checks that all methods begin with, the first residual r = b - A·x, and what to reach.
    #[track_caller]
    fn begin<T: Value, A: Operator<T>>(
        &self,
        method: &'static str,
        a: &mut A,
        b: &Vector<T>,
        x: &mut Vector<T>,
        r: &mut Vector<T>,
    ) -> Result<Watch> {
        let rows = a.rows().clone();
        rows.check(method, "b", b.rows())?;
        rows.check(method, "x", x.rows())?;
        let fine = |tolerance: f64| tolerance >= 0.0 && tolerance.is_finite();
        if !fine(self.relative) || !fine(self.absolute) {
            let what = format!("tolerances {} and {}", self.relative, self.absolute);
            let help = "give numbers that are not negative";
            return Err(rows.comm().usage(method, Location::caller(), what, help));
        }
        let norm_b = self.sums().norm(b)?;
        if norm_b == 0.0 {
            // The only solution that is small against nothing.
            x.fill(T::default());
        }
        let target = (self.relative * norm_b).max(self.absolute);
        let norm = residual(self, a, b, x, r)?;
        let mut watch = Watch { method, target, limit: self.limit, history: Vec::new() };
        watch.history.reserve(self.limit.min(1 << 16) + 1);
        watch.history.push(norm);
        Ok(watch)
    }

    /// The residual as it is, not as the iteration kept it.
    #[track_caller]
    fn end<T: Value, A: Operator<T>>(
        &self,
        watch: Watch,
        outcome: Outcome,
        a: &mut A,
        b: &Vector<T>,
        x: &Vector<T>,
        r: &mut Vector<T>,
    ) -> Result<Solution> {
        let residual = residual(self, a, b, x, r)?;
        let Watch { method, target, history, .. } = watch;
        Ok(Solution { method, outcome, history, target, residual })
    }
}

#[track_caller]
fn residual<T: Value, A: Operator<T>>(
    solver: &Solver,
    a: &mut A,
    b: &Vector<T>,
    x: &Vector<T>,
    r: &mut Vector<T>,
) -> Result<f64> {
    a.apply(x, r)?;
    r.aypx(-T::of(1.0), b)?;
    solver.sums().norm(r)
}

/// Follows the residual.
struct Watch {
    method: &'static str,
    target: f64,
    limit: usize,
    history: Vec<f64>,
}

impl Watch {
    /// Whether the last residual ends the iteration.
    fn over(&self) -> Option<Outcome> {
        let norm = self.history[self.history.len() - 1];
        match () {
            () if !norm.is_finite() || !self.target.is_finite() => Some(Outcome::NotFinite),
            () if norm <= self.target => Some(Outcome::Converged),
            () if self.history.len() > self.limit => Some(Outcome::Limit),
            () => None,
        }
    }

    fn push(&mut self, norm: f64) -> Option<Outcome> {
        self.history.push(norm);
        self.over()
    }
}

impl Solution {
    /// How it ended.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// How many iterations were made.
    pub fn iterations(&self) -> usize {
        self.history.len() - 1
    }

    /// The norm of the residual before the first iteration and after each, as the iteration kept it.
    pub fn history(&self) -> &[f64] {
        &self.history
    }

    /// The norm of b - A·x, computed anew at the end: rounding may have led the iteration's own astray.
    pub fn residual(&self) -> f64 {
        self.residual
    }

    /// What the residual was to reach.
    pub fn target(&self) -> f64 {
        self.target
    }

    /// Itself, if it converged. Local: all ranks have the same.
    ///
    /// # Errors
    /// [`ErrorKind::Verification`] if it did not, with how it ended.
    #[track_caller]
    pub fn converged(self) -> Result<Solution> {
        let (why, help) = match self.outcome {
            Outcome::Converged => return Ok(self),
            Outcome::Limit => ("reached the limit of iterations", "raise the limit, or precondition better"),
            Outcome::Breakdown(why) => (why, "try another method or start"),
            Outcome::NotFinite => {
                ("met a NaN or an infinity", "look at the operator, the right-hand side and the start")
            }
        };
        let (method, iterations, residual) = (self.method, self.iterations(), self.residual);
        let what = format!(
            "{method}: {why} after {iterations} iterations; the residual is {residual:e}, to reach {:e}",
            self.target
        );
        Err(Error::new(ErrorKind::Verification, what).help(help).at(Location::caller()))
    }
}
