//! `dgemm`: `C += A B` with dense matrices on a grid of ranks.
//!
//! A and B have their column's number in every entry, so the sum of C is n³ (n-1)² / 4 after each multiplication. The rate counts
//! 2 n³ operations. The product is the framework's SUMMA, the local one a well-kept crate's.

use super::{at_least_one, bytes};
use rankine::kernel::{Check, Kernel, Quoted, Timed, Verdict, Work};
use rankine::matrix::{Form, Product};
use rankine::{BlockCyclic, Comm, Error, Matrix, ProcessGrid, Result, op};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// A matrix product: its parameters.
#[derive(Clone, Debug, PartialEq, clap::Args, Serialize, Deserialize)]
pub struct Dgemm {
    /// Timed iterations, after one that is not
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub iterations: u64,
    /// Rows and columns of the matrices
    #[arg(long, value_name = "N", default_value_t = 2048)]
    pub order: usize,
    /// Rows and columns of the blocks that are dealt to the ranks; 0 for one block each
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub block: usize,
}

/// The three matrices.
pub struct Factors {
    a: Matrix<f64>,
    b: Matrix<f64>,
    pub(super) c: Matrix<f64>,
    product: Product<f64>,
    done: u64,
}

impl Kernel for Dgemm {
    const NAME: &'static str = "dgemm";
    const ABOUT: &'static str = "dense matrix product C += A B (Parallel Research Kernels)";
    const VERIFIES: &'static str = "the sum of C against n³ (n-1)² / 4 a multiplication";
    const MAY_CHANGE: &'static [&'static str] = &["iterations"];
    type Data = Factors;

    fn check(&self, ranks: usize) -> Result<()> {
        at_least_one(self.iterations)?;
        if self.order < ranks.max(2) {
            let what = format!("--order {}: fewer rows than the {ranks} ranks, or less than 2", self.order);
            return Err(Error::usage(what).help("give larger matrices, or fewer ranks"));
        }
        Ok(())
    }

    fn bytes_per_rank(&self, ranks: usize) -> Option<u64> {
        let order = self.order as u128;
        // Three matrices, and the panels under way.
        let panels = if ranks > 1 { 4 * 256 * order } else { 0 };
        bytes(
            (3 * order)
                .saturating_mul(order)
                .div_ceil(ranks as u128)
                .saturating_add(panels)
                .saturating_mul(8),
        )
    }

    fn init(&self, comm: &Comm) -> Result<Factors> {
        let grid = ProcessGrid::new(comm)?;
        let whole = grid.shape().map(|ranks| self.order.div_ceil(ranks));
        let block = if self.block == 0 { whole } else { [self.block.min(self.order); 2] };
        let layout = BlockCyclic::new(&grid, [self.order; 2], block)?;
        let columns = || Matrix::from_fn(&layout, |[_, column]| column as f64);
        let product = Product::plan((&layout, Form::Plain), (&layout, Form::Plain), &layout)?;
        Ok(Factors { a: columns()?, b: columns()?, c: Matrix::zeros(&layout)?, product, done: 0 })
    }

    fn steps(&self) -> Option<u64> {
        Some(self.iterations + 1)
    }

    fn warm_up(&self) -> u64 {
        1
    }

    fn step(&self, _: &Comm, factors: &mut Factors) -> Result<ControlFlow<()>> {
        let Factors { a, b, c, product, done } = factors;
        product.run(1.0, a, b, 1.0, c)?;
        *done += 1;
        Ok(ControlFlow::Continue(()))
    }

    fn verify(&self, comm: &Comm, factors: &mut Factors) -> Result<Verdict> {
        let n = self.order as f64;
        let expected = 0.25 * n.powi(3) * (n - 1.0).powi(2) * factors.done as f64;
        let found = comm.allreduce(factors.c.iter().map(|(_, entry)| entry).sum::<f64>(), op::Sum)?;
        Ok(Verdict::of([Check::new("sum of C, relative error", ((found - expected) / expected).abs(), 1e-5)]))
    }

    fn work(&self, _: &Factors) -> Work {
        let order = self.order as f64;
        Work::of(order.powi(2), "entries").flops_each(2.0 * order)
    }

    fn quoted(&self, _: &Factors, timed: Timed) -> Vec<Quoted> {
        vec![Quoted::per_step("MFlops/s", 2e-6 * (self.order as f64).powi(3), timed)]
    }
}
