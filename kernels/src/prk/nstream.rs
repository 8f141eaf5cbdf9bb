//! `nstream`: the bandwidth of memory, by the triad `a += b + 3 c` on long vectors.
//!
//! Nothing is communicated. Each iteration reads three vectors and writes one: 32 bytes an element, which is what the rate
//! counts. After n iterations and the first, every element of `a` is 8 (n + 1).

use super::{at_least_one, bytes, part, share};
use rankine::kernel::{Check, Kernel, Quoted, Timed, Verdict, Work};
use rankine::{Comm, Error, Memory, Result, op};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// The triad: its parameters.
#[derive(Clone, Debug, PartialEq, clap::Args, Serialize, Deserialize)]
pub struct Nstream {
    /// Timed iterations, after one that is not
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub iterations: u64,
    /// Elements of each vector, over all ranks
    #[arg(long, value_name = "N", default_value_t = 1 << 24)]
    pub length: usize,
    /// Elements between one vector and the next in memory
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub offset: usize,
}

/// The three vectors, one behind the other.
pub struct Vectors {
    pub(super) memory: Memory<f64>,
    own: usize,
    done: u64,
}

const SCALAR: f64 = 3.0;

impl Kernel for Nstream {
    const NAME: &'static str = "nstream";
    const ABOUT: &'static str = "memory bandwidth: a += b + 3 c (Parallel Research Kernels)";
    const VERIFIES: &'static str = "the sum of a against 8 (iterations + 1) an element";
    const MAY_CHANGE: &'static [&'static str] = &["iterations"];
    type Data = Vectors;

    fn check(&self, ranks: usize) -> Result<()> {
        at_least_one(self.iterations)?;
        if self.length < ranks {
            let what = format!("--length {}: fewer elements than the {ranks} ranks", self.length);
            return Err(Error::usage(what).help("give longer vectors, or fewer ranks"));
        }
        Ok(())
    }

    fn bytes_per_rank(&self, ranks: usize) -> Option<u64> {
        bytes(8 * (3 * self.length.div_ceil(ranks) as u128 + 2 * self.offset as u128))
    }

    fn init(&self, comm: &Comm) -> Result<Vectors> {
        let own = part(self.length, comm.rank(), comm.size()).len();
        let mut vectors = Vectors { memory: Memory::zeroed(3 * own + 2 * self.offset)?, own, done: 0 };
        let (_, b, c) = vectors.split(self.offset);
        b.fill(2.0);
        c.fill(2.0);
        Ok(vectors)
    }

    fn steps(&self) -> Option<u64> {
        Some(self.iterations + 1)
    }

    fn warm_up(&self) -> u64 {
        1
    }

    fn step(&self, _: &Comm, vectors: &mut Vectors) -> Result<ControlFlow<()>> {
        let share = share(vectors.own);
        let (a, b, c) = vectors.split(self.offset);
        let pieces = a.par_chunks_mut(share).zip(b.par_chunks(share)).zip(c.par_chunks(share));
        pieces.for_each(|((a, b), c)| {
            for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
                *a += b + SCALAR * c;
            }
        });
        vectors.done += 1;
        Ok(ControlFlow::Continue(()))
    }

    fn verify(&self, comm: &Comm, vectors: &mut Vectors) -> Result<Verdict> {
        let expected = (2.0 + SCALAR * 2.0) * vectors.done as f64 * self.length as f64;
        let found = comm.allreduce(vectors.split(self.offset).0.iter().sum::<f64>(), op::Sum)?;
        Ok(Verdict::of([Check::new("sum of a, relative error", (found - expected).abs() / expected, 1e-8)]))
    }

    fn work(&self, _: &Vectors) -> Work {
        Work::of(self.length as f64, "elements").flops_each(3.0).bytes_each(32.0)
    }

    fn quoted(&self, _: &Vectors, timed: Timed) -> Vec<Quoted> {
        vec![Quoted::per_step("MB/s", 32e-6 * self.length as f64, timed)]
    }
}

impl Vectors {
    fn split(&mut self, offset: usize) -> (&mut [f64], &mut [f64], &mut [f64]) {
        let (a, rest) = self.memory.split_at_mut(self.own);
        let (b, rest) = rest[offset..].split_at_mut(self.own);
        (a, b, &mut rest[offset..])
    }
}
