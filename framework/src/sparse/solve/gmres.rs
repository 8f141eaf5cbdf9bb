//! GMRES(m) (Saad and Schultz 1986), preconditioned from the right, so that residuals are those of the system itself.
//!
//! The basis is made orthogonal by classical Gram–Schmidt done twice: two reductions a step for that, however long the basis is, and as
//! orthogonal as rounding allows (Giraud, Langou, Rozložník, van den Eshof 2005).

use super::{Operator, Outcome, Preconditioner, Solution, Solver};
use crate::error::Result;
use crate::sparse::{Value, Vector};
use std::panic::Location;

/// A new direction that is so small against A·v has nothing of its own: the space is whole.
const WHOLE: f64 = 1e-14;

impl Solver {
    /// Solves A·x = b with GMRES, begun anew every `restart` iterations: for any A. `x` holds the start, and the solution afterwards. It
    /// keeps `restart` + 1 vectors. Every rank calls it: four reductions an iteration, and what A and M send. Residuals never grow,
    /// but may stay where they are if `restart` is small.
    ///
    /// It breaks down where the space that A spans is whole without a solution in it: then A is singular, or rounding keeps the
    /// residual above what was asked for.
    ///
    /// # Errors
    /// A `restart` of 0; else as [`Solver::cg`].
    #[track_caller]
    pub fn gmres<T: Value>(
        &self,
        restart: usize,
        mut a: impl Operator<T>,
        m: &impl Preconditioner<T>,
        b: &Vector<T>,
        x: &mut Vector<T>,
    ) -> Result<Solution> {
        let rows = a.rows().clone();
        if restart == 0 {
            let help = "give the number of vectors to keep, 30 for example";
            return Err(rows.comm().usage("gmres", Location::caller(), "restart 0".to_string(), help));
        }
        let mut r = Vector::zeros(&rows);
        let mut watch = self.begin("gmres", &mut a, b, x, &mut r)?;
        let mut basis: Vec<Vector<T>> = Vec::new();
        let (mut z, mut w) = (r.clone(), r.clone());
        let mut small = Small::new(restart);
        let mut norm = watch.history[0];
        let mut outcome = watch.over();
        let outcome = loop {
            if let Some(outcome) = outcome {
                break outcome;
            }
            small.begin(norm);
            set(&mut basis, 0, &r, norm);
            let mut steps = 0;
            let mut whole = false;
            while steps < restart && outcome.is_none() && !whole {
                m.apply(&basis[steps], &mut z)?;
                a.apply(&z, &mut w)?;
                let before = self.sums().norm(&w)?;
                let column = small.column(steps);
                for _ in 0..2 {
                    let (coefficients, rest) = small.again.split_at_mut(steps + 1);
                    rest.fill(T::default());
                    self.sums().dots(&basis[..=steps], &w, coefficients)?;
                    for (coefficient, v) in coefficients.iter().zip(&basis) {
                        w.axpy(-*coefficient, v)?;
                    }
                    coefficients.iter().enumerate().for_each(|(at, &more)| small.h[column + at] += more);
                }
                let next = self.sums().norm(&w)?;
                // Of which nothing is left but rounding, or which is zero.
                whole = next <= WHOLE * before;
                let residual = small.rotate(steps, if whole { 0.0 } else { next });
                steps += 1;
                if !whole {
                    set(&mut basis, steps, &w, next);
                }
                outcome = watch.push(if next.is_finite() { residual } else { f64::NAN });
            }
            if outcome == Some(Outcome::NotFinite) {
                break Outcome::NotFinite;
            }
            let solved = small.solve(steps);
            // x += M⁻¹·V·y
            w.fill(T::default());
            for (v, &y) in basis.iter().zip(&small.y[..steps]) {
                w.axpy(y, v)?;
            }
            if solved {
                m.apply(&w, &mut z)?;
                x.axpy(T::of(1.0), &z)?;
            }
            norm = super::residual(self, &mut a, b, x, &mut r)?;
            match () {
                () if !norm.is_finite() => break Outcome::NotFinite,
                () if whole && outcome.is_none_or(|outcome| !solved || outcome != Outcome::Converged) => {
                    if norm <= watch.target {
                        break Outcome::Converged;
                    }
                    break Outcome::Breakdown("the space is whole, and holds nothing that is good enough");
                }
                // Rounding made it look smaller than it is: on from where it is.
                () if outcome == Some(Outcome::Converged) && norm > watch.target * 1.01 => {
                    if norm >= watch.history[watch.history.len() - 1 - steps] {
                        break Outcome::Breakdown("rounding keeps the residual above what was asked for");
                    }
                    if watch.history.len() > watch.limit {
                        break Outcome::Limit;
                    }
                    outcome = None;
                }
                () => {}
            }
        };
        self.end(watch, outcome, &mut a, b, x, &mut r)
    }
}

/// basis[at] = v / norm
fn set<T: Value>(basis: &mut Vec<Vector<T>>, at: usize, v: &Vector<T>, norm: f64) {
    match basis.get_mut(at) {
        Some(place) => place.local_mut().copy_from_slice(v.local()),
        None => basis.push(v.clone()),
    }
    basis[at].scale(T::of(1.0 / norm));
}

/// The small problem that every rank has: the Hessenberg matrix made upper triangular by Givens rotations.
struct Small<T> {
    restart: usize,
    /// By columns of `restart` + 1.
    h: Vec<T>,
    cosines: Vec<f64>,
    sines: Vec<T>,
    /// The right-hand side, rotated.
    g: Vec<T>,
    y: Vec<T>,
    again: Vec<T>,
}

impl<T: Value> Small<T> {
    fn new(restart: usize) -> Self {
        // Longer spaces than are used cost nothing.
        Small {
            restart,
            h: Vec::new(),
            cosines: Vec::new(),
            sines: Vec::new(),
            g: Vec::new(),
            y: Vec::new(),
            again: Vec::new(),
        }
    }

    fn begin(&mut self, norm: f64) {
        self.h.clear();
        self.cosines.clear();
        self.sines.clear();
        self.g.clear();
        self.g.push(T::of(norm));
    }

    /// Where column `step` begins, which is made of zeros.
    fn column(&mut self, step: usize) -> usize {
        let at = step * (step + 1) / 2;
        self.h.resize(at + step + 1, T::default());
        if self.again.len() <= step {
            self.again.resize((2 * step + 8).min(self.restart + 1).max(step + 1), T::default());
        }
        at
    }

    /// Rotates column `step`, whose element below the diagonal is `below`; the new norm of the residual.
    fn rotate(&mut self, step: usize, below: f64) -> f64 {
        let at = step * (step + 1) / 2;
        for row in 0..step {
            let (c, s) = (T::of(self.cosines[row]), self.sines[row]);
            let (upper, lower) = (self.h[at + row], self.h[at + row + 1]);
            self.h[at + row] = c * upper + s * lower;
            self.h[at + row + 1] = -s.conj() * upper + c * lower;
        }
        let diagonal = self.h[at + step];
        let length = diagonal.abs().hypot(below);
        let (c, s) = match (diagonal.abs(), length) {
            (_, 0.0) => (1.0, T::default()),
            (0.0, _) => (0.0, T::of(1.0)),
            // s = (d/|d|)·below/length, so that the rotated element is real up to d's own phase.
            (size, _) => (size / length, diagonal * T::of(below / (size * length))),
        };
        self.h[at + step] = T::of(c) * diagonal + s * T::of(below);
        let g = self.g[step];
        self.g[step] = T::of(c) * g;
        self.g.push(-s.conj() * g);
        self.cosines.push(c);
        self.sines.push(s);
        self.g[step + 1].abs()
    }

    /// Solves the triangle of `steps` columns; whether it can be solved.
    fn solve(&mut self, steps: usize) -> bool {
        self.y.clear();
        self.y.extend_from_slice(&self.g[..steps]);
        for row in (0..steps).rev() {
            let diagonal = self.h[row * (row + 1) / 2 + row];
            if diagonal == T::default() {
                return false;
            }
            let y = self.y[row] / diagonal;
            self.y[row] = y;
            for above in 0..row {
                let h = self.h[row * (row + 1) / 2 + above];
                self.y[above] -= h * y;
            }
        }
        self.y[..steps].iter().all(|y| y.is_finite())
    }
}
