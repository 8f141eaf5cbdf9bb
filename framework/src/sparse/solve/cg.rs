//! Conjugate gradients (Hestenes and Stiefel 1952), preconditioned; Saad, Iterative Methods for Sparse Linear Systems,
//! algorithm 9.1.

use super::{Operator, Outcome, Preconditioner, Solution, Solver};
use crate::error::Result;
use crate::sparse::{Value, Vector};

impl Solver {
    /// Solves A·x = b with conjugate gradients: for a Hermitian, positive definite A and such a preconditioner. `x` holds the start,
    /// and the solution afterwards. Every rank calls it: two reductions an iteration, and what A and M send.
    ///
    /// It breaks down where a direction has no positive energy: then A or M is not positive definite.
    ///
    /// # Errors
    /// Vectors of other distributions than A's; tolerances that cannot be; those of A and M. How the iteration ended
    /// is in [`Solution::outcome`].
    #[track_caller]
    pub fn cg<T: Value>(
        &self,
        mut a: impl Operator<T>,
        m: &impl Preconditioner<T>,
        b: &Vector<T>,
        x: &mut Vector<T>,
    ) -> Result<Solution> {
        let mut r = Vector::zeros(a.rows());
        let mut watch = self.begin("cg", &mut a, b, x, &mut r)?;
        let (mut z, mut q) = (r.clone(), r.clone());
        let mut outcome = watch.over();
        if outcome.is_none() {
            m.apply(&r, &mut z)?;
        }
        let (mut p, mut rz) = (z.clone(), self.sums().pairs([(&r, &z)])?[0].parts().0);
        let outcome = loop {
            if let Some(outcome) = outcome {
                break outcome;
            }
            a.apply(&p, &mut q)?;
            let energy = self.sums().pairs([(&p, &q)])?[0].parts().0;
            match () {
                () if !energy.is_finite() || !rz.is_finite() => break Outcome::NotFinite,
                () if rz <= 0.0 => break Outcome::Breakdown("the preconditioner is not positive definite"),
                () if energy <= 0.0 => break Outcome::Breakdown("the operator is not positive definite"),
                () => {}
            }
            let alpha = T::of(rz / energy);
            x.axpy(alpha, &p)?;
            r.axpy(-alpha, &q)?;
            m.apply(&r, &mut z)?;
            let [rr, next] = self.sums().pairs([(&r, &r), (&r, &z)])?.map(|sum| sum.parts().0);
            p.aypx(T::of(next / rz), &z)?;
            rz = next;
            outcome = watch.push(rr.sqrt());
        };
        self.end(watch, outcome, &mut a, b, x, &mut r)
    }
}
