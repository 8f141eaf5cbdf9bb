//! `sparse`: products of a sparse matrix and a vector, whose rows read the vector all over.
//!
//! The matrix is that of a star-shaped stencil on a square grid without edges. The points of the grid are numbered twice: rows
//! of the matrix go by them in order, columns by the number with its bits reversed, so that neighbours are far apart. Element
//! (row, column) is 1 / (column + 1). Each iteration adds i + 1 to element i of the vector, which makes each product of an element
//! and the vector the number of iterations so far, and adds the product to the result.
//!
//! Ranks have rows of the grid, any number of them. Parts of the vector that other ranks read travel by the matrix's own plan.

use super::{at_least_one, bytes, part, share};
use rankine::kernel::{Check, Kernel, Quoted, Timed, Verdict, Work};
use rankine::sparse::{Distribution, SparseMatrix, Vector};
use rankine::{Comm, Error, Result, op};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// Products with a scattered matrix: the parameters.
#[derive(Clone, Debug, PartialEq, clap::Args, Serialize, Deserialize)]
pub struct Sparse {
    /// Timed iterations, after one that is not
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub iterations: u64,
    /// The grid has two to this power of points along each side
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub log2_size: u32,
    /// Points that the stencil reaches in each of the four directions
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub radius: usize,
}

/// The matrix and the two vectors.
pub struct Product {
    pub(super) matrix: SparseMatrix<f64>,
    vector: Vector<f64>,
    pub(super) result: Vector<f64>,
    done: u64,
}

impl Kernel for Sparse {
    const NAME: &'static str = "sparse";
    const ABOUT: &'static str = "sparse matrix times vector, scattered (Parallel Research Kernels)";
    const VERIFIES: &'static str = "the sum of the result against that of the iterations' numbers";
    const MAY_CHANGE: &'static [&'static str] = &["iterations"];
    type Data = Product;

    fn check(&self, ranks: usize) -> Result<()> {
        at_least_one(self.iterations)?;
        let refused = |what: String, help: &str| Err(Error::usage(what).help(help));
        if self.log2_size > 30 {
            return refused(format!("--log2-size {}", self.log2_size), "give 30 or less");
        }
        if self.radius >= self.side().div_ceil(2) {
            let what =
                format!("--radius {}: the stencil overlaps itself on {} points", self.radius, self.side());
            return refused(what, "give a smaller radius, or a larger --log2-size");
        }
        if self.side() < ranks {
            let what =
                format!("--log2-size {}: {} rows of the grid for {ranks} ranks", self.log2_size, self.side());
            return refused(what, "give a larger grid, or fewer ranks");
        }
        if self.rows_of(0, ranks) as u128 * self.star() as u128 >= u128::from(u32::MAX) {
            let what =
                format!("--log2-size {} --radius {}: 2^32 entries on a rank", self.log2_size, self.radius);
            return refused(what, "give a smaller grid or radius, or more ranks");
        }
        Ok(())
    }

    fn bytes_per_rank(&self, ranks: usize) -> Option<u64> {
        let (rows, side) = (self.rows_of(0, ranks) as u128, self.side() as u128);
        // What the rank reads of the vector; what of it is not its own it has, asks for, receives and sends as much of.
        let read = (rows + 2 * side * self.radius as u128).min(side * side);
        let sent = if ranks > 1 { read } else { 0 };
        bytes(12 * rows * self.star() as u128 + 20 * rows + 20 * read + 40 * sent)
    }

    fn init(&self, comm: &Comm) -> Result<Product> {
        let points = Distribution::of_local(comm, self.rows_of(comm.rank(), comm.size()))?;
        let matrix = SparseMatrix::from_rows(&points, &points, |point, entries| {
            let (x, y, side) = (point % self.side(), point / self.side(), self.side());
            let mut add = |x, y| {
                let column = self.reversed(y * side + x);
                entries.push((column, 1.0 / (column + 1) as f64));
            };
            add(x, y);
            for r in 1..=self.radius {
                add((x + r) % side, y);
                add((x + side - r) % side, y);
                add(x, (y + r) % side);
                add(x, (y + side - r) % side);
            }
        })?;
        let zeros = || Vector::zeros(&points);
        Ok(Product { matrix, vector: zeros(), result: zeros(), done: 0 })
    }

    fn steps(&self) -> Option<u64> {
        Some(self.iterations + 1)
    }

    fn warm_up(&self) -> u64 {
        1
    }

    fn step(&self, _: &Comm, product: &mut Product) -> Result<ControlFlow<()>> {
        let range = product.vector.rows().range();
        let each = share(range.len());
        product.vector.local_mut().par_chunks_mut(each).enumerate().for_each(|(piece, elements)| {
            let first = range.start + piece * each + 1;
            elements.iter_mut().enumerate().for_each(|(at, element)| *element += (first + at) as f64);
        });
        product.matrix.multiply_add(&product.vector, &mut product.result)?;
        product.done += 1;
        Ok(ControlFlow::Continue(()))
    }

    fn verify(&self, comm: &Comm, product: &mut Product) -> Result<Verdict> {
        let done = product.done as f64;
        let each = self.star() as f64 * done * (done + 1.0) / 2.0;
        // Summed as differences, what is wrong with one row is not lost among all the others.
        let wrong: f64 = product.result.local().iter().map(|found| found - each).sum();
        let wrong = comm.allreduce(wrong, op::Sum)?.abs();
        Ok(Verdict::of([Check::new("sum of the result, error relative to a row's", wrong / each, 1e-8)]))
    }

    fn work(&self, product: &Product) -> Work {
        Work::of(product.matrix.entries() as f64, "entries").flops_each(2.0).bytes_each(12.0)
    }

    fn quoted(&self, product: &Product, timed: Timed) -> Vec<Quoted> {
        vec![Quoted::per_step("MFlops/s", 2e-6 * product.matrix.entries() as f64, timed)]
    }
}

impl Sparse {
    /// Points along a side of the grid.
    fn side(&self) -> usize {
        1 << self.log2_size
    }

    /// Points of the stencil.
    fn star(&self) -> usize {
        4 * self.radius + 1
    }

    /// Rows of the matrix that a rank has: whole rows of the grid.
    fn rows_of(&self, rank: usize, ranks: usize) -> usize {
        part(self.side(), rank, ranks).len() * self.side()
    }

    /// A point's number with its bits in the opposite order.
    fn reversed(&self, point: usize) -> usize {
        (point as u64).reverse_bits().checked_shr(64 - 2 * self.log2_size).unwrap_or(0) as usize
    }
}
