//! BiCGStab (van der Vorst 1992), preconditioned from the right, so that residuals are those of the system itself.

use super::{Operator, Outcome, Preconditioner, Solution, Solver};
use crate::error::Result;
use crate::sparse::{Value, Vector};

/// What is lost in a product of vectors that are nearly orthogonal, against their norms.
const LOST: f64 = 1e-30;

impl Solver {
    /// Solves A·x = b with BiCGStab: for any A. `x` holds the start, and the solution afterwards. Every rank calls it: four reductions
    /// an iteration, and twice what A and M send. Residuals go up and down.
    ///
    /// It breaks down where the shadow residual is orthogonal to what it is multiplied with; another start or GMRES may help.
    ///
    /// # Errors
    /// As [`Solver::cg`].
    #[track_caller]
    pub fn bicgstab<T: Value>(
        &self,
        mut a: impl Operator<T>,
        m: &impl Preconditioner<T>,
        b: &Vector<T>,
        x: &mut Vector<T>,
    ) -> Result<Solution> {
        let mut r = Vector::zeros(a.rows());
        let mut watch = self.begin("bicgstab", &mut a, b, x, &mut r)?;
        let shadow = r.clone();
        let (mut p, mut v, mut t, mut hat) = (r.clone(), r.clone(), r.clone(), r.clone());
        let mut rho = self.sums().pairs([(&shadow, &r)])?[0];
        let scale = rho.abs();
        let mut outcome = watch.over();
        let outcome = loop {
            if let Some(outcome) = outcome {
                break outcome;
            }
            m.apply(&p, &mut hat)?;
            a.apply(&hat, &mut v)?;
            let [sigma, vv] = self.sums().pairs([(&shadow, &v), (&v, &v)])?;
            match () {
                () if !sigma.is_finite() || !rho.is_finite() => break Outcome::NotFinite,
                () if sigma.abs() <= LOST * (scale * vv.abs()).sqrt() => {
                    break Outcome::Breakdown("the shadow residual is orthogonal to A·p");
                }
                () => {}
            }
            let alpha = rho / sigma;
            x.axpy(alpha, &hat)?;
            r.axpy(-alpha, &v)?;
            // Half an iteration may be enough.
            let norm = self.sums().norm(&r)?;
            if norm <= watch.target || !norm.is_finite() {
                outcome = watch.push(norm);
                continue;
            }
            m.apply(&r, &mut hat)?;
            a.apply(&hat, &mut t)?;
            let [tr, tt] = self.sums().pairs([(&t, &r), (&t, &t)])?;
            match () {
                () if !tr.is_finite() || !tt.is_finite() => break Outcome::NotFinite,
                () if tt == T::default() || tr.abs() <= LOST * norm * tt.abs().sqrt() => {
                    // x has moved by half an iteration.
                    watch.push(norm);
                    break Outcome::Breakdown("the residual is orthogonal to A·r");
                }
                () => {}
            }
            let omega = tr / tt;
            x.axpy(omega, &hat)?;
            r.axpy(-omega, &t)?;
            let [next, rr] = self.sums().pairs([(&shadow, &r), (&r, &r)])?;
            outcome = watch.push(rr.parts().0.sqrt());
            if outcome.is_none() && next.abs() <= LOST * (scale * rr.abs()).sqrt() {
                break Outcome::Breakdown("the shadow residual is orthogonal to the residual");
            }
            let beta = (next / rho) * (alpha / omega);
            rho = next;
            // p = r + beta·(p - omega·v)
            p.axpy(-omega, &v)?;
            p.aypx(beta, &r)?;
        };
        self.end(watch, outcome, &mut a, b, x, &mut r)
    }
}
