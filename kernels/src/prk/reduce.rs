//! `reduce`: vectors of all ranks are added up element by element.
//!
//! Every rank has two vectors, so there is something to add on one rank too: the second, all ones, is added to the first, and then the
//! first ones of all ranks are reduced to rank 0's. After n iterations and the first, an element there is
//! n + 2 + (n² + 5n + 4)(P - 1)/2. Both parts go through the vector piece by piece, so that what is reduced is still in the cache.

use super::{at_least_one, bytes, share};
use rankine::kernel::{Check, Kernel, Quoted, Timed, Verdict, Work};
use rankine::{Comm, Error, Memory, Result, op};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// A reduction of vectors: its parameters.
#[derive(Clone, Debug, PartialEq, clap::Args, Serialize, Deserialize)]
pub struct Reduce {
    /// Timed iterations, after one that is not
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub iterations: u64,
    /// Elements of each vector
    #[arg(long, value_name = "N", default_value_t = 2_000_000)]
    pub length: usize,
}

/// The two vectors.
pub struct Vectors {
    pub(super) vector: Memory<f64>,
    ones: Memory<f64>,
    ranks: usize,
    done: u64,
}

/// Elements of a piece for each thread.
const PIECE: usize = 1 << 14;

impl Kernel for Reduce {
    const NAME: &'static str = "reduce";
    const ABOUT: &'static str = "element by element sum of vectors over ranks (Parallel Research Kernels)";
    const VERIFIES: &'static str = "every element on rank 0 against its formula";
    const MAY_CHANGE: &'static [&'static str] = &["iterations"];
    type Data = Vectors;

    fn check(&self, _: usize) -> Result<()> {
        at_least_one(self.iterations)?;
        if self.length == 0 {
            return Err(Error::usage("--length 0: vectors without elements").help("give 1 or more"));
        }
        Ok(())
    }

    fn bytes_per_rank(&self, _: usize) -> Option<u64> {
        bytes(16 * self.length as u128)
    }

    fn init(&self, comm: &Comm) -> Result<Vectors> {
        let ones = || Memory::from_fn(self.length, |_| 1.0);
        Ok(Vectors { vector: ones()?, ones: ones()?, ranks: comm.size(), done: 0 })
    }

    fn steps(&self) -> Option<u64> {
        Some(self.iterations + 1)
    }

    fn warm_up(&self) -> u64 {
        1
    }

    fn step(&self, comm: &Comm, Vectors { vector, ones, done, .. }: &mut Vectors) -> Result<ControlFlow<()>> {
        let piece = if comm.size() == 1 { self.length } else { PIECE * rayon::current_num_threads() };
        for (vector, ones) in vector.chunks_mut(piece).zip(ones.chunks(piece)) {
            let share = share(vector.len());
            vector.par_chunks_mut(share).zip(ones.par_chunks(share)).for_each(|(vector, ones)| {
                vector.iter_mut().zip(ones).for_each(|(element, one)| *element += one);
            });
            if comm.size() > 1 {
                comm.reduce_in_place(vector, op::Sum, 0)?;
            }
        }
        *done += 1;
        Ok(ControlFlow::Continue(()))
    }

    fn verify(&self, comm: &Comm, Vectors { vector, done, .. }: &mut Vectors) -> Result<Verdict> {
        let (n, others) = (*done as f64 - 1.0, comm.size() as f64 - 1.0);
        let expected = n + 2.0 + (n * n + 5.0 * n + 4.0) * others / 2.0;
        let mut worst = [vector.iter().fold(0.0f64, |worst, element| worst.max((element - expected).abs()))];
        comm.bcast(&mut worst, 0)?;
        Ok(Verdict::of([Check::new("largest error of an element on rank 0", worst[0], 1e-8)]))
    }

    fn work(&self, _: &Vectors) -> Work {
        Work::of(self.length as f64, "elements").bytes_each(24.0)
    }

    fn quoted(&self, vectors: &Vectors, timed: Timed) -> Vec<Quoted> {
        let adds = (2 * vectors.ranks - 1) as f64 * self.length as f64;
        vec![Quoted::per_step("MFlops/s", 1e-6 * adds, timed)]
    }
}
