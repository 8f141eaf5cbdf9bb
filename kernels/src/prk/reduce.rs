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
    /// A piece of the sum of the rank's vectors, where they stay what they are.
    sum: Vec<f64>,
    /// Threads of all ranks.
    threads: usize,
    done: u64,
}

/// Elements of a piece for each thread: for smaller ones, ranks meet too often; larger ones fall out of the cache.
const PIECE: usize = 1 << 16;

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
        Ok(Vectors {
            vectors: ones()?,
            ones: ones()?,
            sum: Vec::new(),
            threads: comm.allreduce(own, op::Sum)?,
            done: 0,
        })
    }

    fn steps(&self) -> Option<u64> {
        Some(self.iterations + 1)
    }

    fn warm_up(&self) -> u64 {
        1
    }

    fn step(&self, comm: &Comm, data: &mut Vectors) -> Result<ControlFlow<()>> {
        let Vectors { vectors, ones, sum, done, .. } = data;
        let piece = if comm.size() == 1 { self.length } else { PIECE * vectors.len() };
        // Other ranks' vectors stay what they are: several of them are added up elsewhere.
        let aside = comm.rank() > 0 && vectors.len() > 1;
        sum.resize(if aside { piece } else { 0 }, 0.0);
        for first in (0..self.length).step_by(piece) {
            let piece = first..(first + piece).min(self.length);
            let [vector, others @ ..] = &mut vectors[..] else { break };
            let (vector, sum) = (&mut vector[piece.clone()], &mut sum[..if aside { piece.len() } else { 0 }]);
            let share = share(vector.len());
            let mut shares: Vec<Share<'_>> = vector.chunks_mut(share).map(Share::new).collect();
            shares.iter_mut().zip(sum.chunks_mut(share)).for_each(|(share, sum)| share.sum = Some(sum));
            for others in others {
                let others = others[piece.clone()].chunks_mut(share);
                shares.iter_mut().zip(others).for_each(|(share, other)| share.others.push(other));
            }
            for ones in ones.iter() {
                let ones = ones[piece.clone()].chunks(share);
                shares.iter_mut().zip(ones).for_each(|(share, ones)| share.ones.push(ones));
            }
            shares.par_iter_mut().for_each(Share::add);
            drop(shares);
            if comm.size() > 1 {
                comm.reduce_in_place(if aside { sum } else { vector }, op::Sum, 0)?;
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
struct Share<'a> {
    vector: &'a mut [f64],
    others: Vec<&'a mut [f64]>,
    ones: Vec<&'a [f64]>,
    /// Where all of them are added up, if not in the first.
    sum: Option<&'a mut [f64]>,
}

impl<'a> Share<'a> {
    fn new(vector: &'a mut [f64]) -> Self {
        Share { vector, others: Vec::new(), ones: Vec::new(), sum: None }
    }

    /// Adds its ones to each vector, and then all of them up.
    fn add(&mut self) {
        let Some((ones, others)) = self.ones.split_first() else { return };
        self.vector.iter_mut().zip(*ones).for_each(|(element, one)| *element += one);
        let sum = match &mut self.sum {
            Some(sum) => {
                sum.copy_from_slice(self.vector);
                &mut **sum
            }
            None => &mut *self.vector,
        };
        for (other, ones) in self.others.iter_mut().zip(others) {
            for ((sum, other), one) in sum.iter_mut().zip(other.iter_mut()).zip(*ones) {
                *other += one;
                *sum += *other;
            }
        }
    }
}
