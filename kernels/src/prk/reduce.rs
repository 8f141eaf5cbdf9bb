//! `reduce`: vectors of all ranks are added up element by element.
//!
//! Every thread of every rank has two vectors, so there is something to add for one alone too: the second, all ones, is added to the
//! first, and then the first ones of all P threads are reduced to one of rank 0's. After n iterations and the first, an element there is
//! n + 2 + (n² + 5n + 4)(P - 1)/2. Both parts go through the vectors piece by piece, so that what is reduced is still in the cache.

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

/// The two vectors of each of the rank's threads.
pub struct Vectors {
    pub(super) vectors: Vec<Memory<f64>>,
    ones: Vec<Memory<f64>>,
    /// Threads of all ranks.
    threads: usize,
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
        bytes((16 * self.length as u128).saturating_mul(rayon::current_num_threads() as u128))
    }

    fn init(&self, comm: &Comm) -> Result<Vectors> {
        let own = rayon::current_num_threads();
        let ones = || (0..own).map(|_| Memory::from_fn(self.length, |_| 1.0)).collect::<Result<_>>();
        Ok(Vectors { vectors: ones()?, ones: ones()?, threads: comm.allreduce(own, op::Sum)?, done: 0 })
    }

    fn steps(&self) -> Option<u64> {
        Some(self.iterations + 1)
    }

    fn warm_up(&self) -> u64 {
        1
    }

    fn step(
        &self,
        comm: &Comm,
        Vectors { vectors, ones, done, .. }: &mut Vectors,
    ) -> Result<ControlFlow<()>> {
        let piece = if comm.size() == 1 { self.length } else { PIECE * vectors.len() };
        for first in (0..self.length).step_by(piece) {
            let piece = first..(first + piece).min(self.length);
            let share = share(piece.len());
            let [vector, others @ ..] = &mut vectors[..] else { break };
            let vector = &mut vector[piece.clone()];
            let mut pieces: Vec<Piece<'_>> = vector.chunks_mut(share).map(Piece::new).collect();
            for others in others {
                pieces
                    .iter_mut()
                    .zip(others[piece.clone()].chunks_mut(share))
                    .for_each(|(p, other)| p.others.push(other));
            }
            for ones in ones.iter() {
                pieces
                    .iter_mut()
                    .zip(ones[piece.clone()].chunks(share))
                    .for_each(|(p, ones)| p.ones.push(ones));
            }
            pieces.par_iter_mut().for_each(Piece::add);
            drop(pieces);
            if comm.size() > 1 {
                comm.reduce_in_place(vector, op::Sum, 0)?;
            }
        }
        *done += 1;
        Ok(ControlFlow::Continue(()))
    }

    fn verify(&self, comm: &Comm, Vectors { vectors, threads, done, .. }: &mut Vectors) -> Result<Verdict> {
        let (n, others) = (*done as f64 - 1.0, *threads as f64 - 1.0);
        let expected = n + 2.0 + (n * n + 5.0 * n + 4.0) * others / 2.0;
        let mut worst =
            [vectors[0].iter().fold(0.0f64, |worst, element| worst.max((element - expected).abs()))];
        comm.bcast(&mut worst, 0)?;
        Ok(Verdict::of([Check::new("largest error of an element on rank 0", worst[0], 1e-8)]))
    }

    fn work(&self, vectors: &Vectors) -> Work {
        Work::of(self.length as f64 * vectors.threads as f64, "elements").bytes_each(24.0)
    }

    fn quoted(&self, vectors: &Vectors, timed: Timed) -> Vec<Quoted> {
        let adds = (2 * vectors.threads - 1) as f64 * self.length as f64;
        vec![Quoted::per_step("MFlops/s", 1e-6 * adds, timed)]
    }
}

/// The same elements of all vectors of a rank.
struct Piece<'a> {
    vector: &'a mut [f64],
    others: Vec<&'a mut [f64]>,
    ones: Vec<&'a [f64]>,
}

impl<'a> Piece<'a> {
    fn new(vector: &'a mut [f64]) -> Self {
        Piece { vector, others: Vec::new(), ones: Vec::new() }
    }

    /// Adds its ones to each vector, and then all of them to the first.
    fn add(&mut self) {
        let add = |vector: &mut [f64], ones: &[f64]| {
            vector.iter_mut().zip(ones).for_each(|(element, one)| *element += one);
        };
        let Some((ones, others)) = self.ones.split_first() else { return };
        add(self.vector, ones);
        for (other, ones) in self.others.iter_mut().zip(others) {
            for ((element, other), one) in self.vector.iter_mut().zip(other.iter_mut()).zip(*ones) {
                *other += one;
                *element += *other;
            }
        }
    }
}
