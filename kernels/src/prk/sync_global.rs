//! `sync_global`: global synchronisation, by strings that nobody can continue with before everybody has sent.
//!
//! In each iteration all strings, one of every thread of every rank, are brought together on every rank, and each thread then takes a
//! string of its own from every P-th character. So characters are permuted and their sum stays what it was.

use super::{at_least_one, bytes, part};
use rankine::kernel::{Check, Kernel, Quoted, Timed, Verdict, Work};
use rankine::{Comm, Error, Result, op};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// Global synchronisation: its parameters.
#[derive(Clone, Debug, PartialEq, clap::Args, Serialize, Deserialize)]
pub struct SyncGlobal {
    /// Iterations
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub iterations: u64,
    /// Characters of all strings together
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub length: usize,
}

/// The strings of this rank's threads one behind the other, and all ranks' ones.
pub struct Strings {
    own: Vec<u8>,
    pub(super) all: Vec<u8>,
    lengths: Vec<usize>,
    /// Threads of each rank.
    threads: usize,
    sum: u64,
    done: u64,
}

const DIGITS: &[u8] = b"27638472638746283742712311207892";

/// Iterations between two looks of the runner, which would take as long as they do.
const BATCH: u64 = 100;

impl Kernel for SyncGlobal {
    const NAME: &'static str = "sync_global";
    const ABOUT: &'static str = "global synchronisation by strings (Parallel Research Kernels)";
    const VERIFIES: &'static str = "the sum of all digits, which a permutation keeps";
    const MAY_CHANGE: &'static [&'static str] = &["iterations"];
    type Data = Strings;

    fn check(&self, ranks: usize) -> Result<()> {
        at_least_one(self.iterations)?;
        if self.length < ranks {
            let what = format!("--length {}: fewer characters than the {ranks} ranks", self.length);
            return Err(Error::usage(what).help("give longer strings, or fewer ranks"));
        }
        Ok(())
    }

    fn bytes_per_rank(&self, _: usize) -> Option<u64> {
        bytes(2 * self.length as u128)
    }

    fn init(&self, comm: &Comm) -> Result<Strings> {
        let threads = comm.allreduce(rayon::current_num_threads(), op::Min)?;
        let strings = comm.size() * threads;
        let of = |string: usize| part(self.length, string, strings).len();
        let strings_of = |rank: usize| (rank * threads..(rank + 1) * threads).map(of);
        let lengths: Vec<usize> = (0..comm.size()).map(|rank| strings_of(rank).sum()).collect();
        let own = strings_of(comm.rank()).flat_map(|length| DIGITS.iter().copied().cycle().take(length));
        let own: Vec<u8> = own.collect();
        let sum = comm.allreduce(digits(&own), op::Sum)?;
        Ok(Strings { own, all: vec![b'9'; self.length], lengths, threads, sum, done: 0 })
    }

    fn steps(&self) -> Option<u64> {
        Some(self.iterations.div_ceil(BATCH))
    }

    fn step(
        &self,
        comm: &Comm,
        Strings { own, all, lengths, threads, done, .. }: &mut Strings,
    ) -> Result<ControlFlow<()>> {
        let even = lengths.iter().all(|&length| length == lengths[0]);
        let (threads, strings) = (*threads, *threads * comm.size());
        for _ in 0..BATCH.min(self.iterations - *done) {
            match even {
                true => comm.allgather_into(own, all)?,
                false => comm.allgatherv_into(own, all, &lengths[..])?,
            }
            let first = comm.rank() * threads;
            if threads == 1 {
                pick(own, all, first, strings);
            } else {
                let mut rest = &mut own[..];
                let mut own = Vec::with_capacity(threads);
                for string in first..first + threads {
                    own.push(
                        rest.split_off_mut(..part(self.length, string, strings).len()).unwrap_or_default(),
                    );
                }
                own.par_iter_mut()
                    .enumerate()
                    .for_each(|(thread, own)| pick(own, all, first + thread, strings));
            }
            *done += 1;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn verify(&self, comm: &Comm, strings: &mut Strings) -> Result<Verdict> {
        let error = comm.allreduce(digits(&strings.all).abs_diff(strings.sum), op::Max)?;
        Ok(Verdict::of([Check::new("sum of the digits, error", error as f64, 0.0)]))
    }

    fn work(&self, _: &Strings) -> Work {
        Work::of(BATCH.min(self.iterations) as f64, "synchronisations")
    }

    fn quoted(&self, _: &Strings, timed: Timed) -> Vec<Quoted> {
        vec![Quoted::in_all("synch/s", self.iterations as f64, timed.seconds)]
    }
}

/// Every `of`-th character, from the one with number `first` on.
fn pick(own: &mut [u8], all: &[u8], first: usize, of: usize) {
    /// With a number that the compiler knows there are instructions for it.
    fn known<const OF: usize>(own: &mut [u8], all: &[u8], first: usize) {
        let groups = all.as_chunks::<OF>().0;
        own.iter_mut().zip(groups).for_each(|(own, group)| *own = group[first]);
    }
    match of {
        1 => own.copy_from_slice(all),
        2 if all.len().is_multiple_of(2) => known::<2>(own, all, first),
        4 if all.len().is_multiple_of(4) => known::<4>(own, all, first),
        _ => {
            let every = all[first..].iter().step_by(of);
            own.iter_mut().zip(every).for_each(|(own, &character)| *own = character);
        }
    }
}

fn digits(string: &[u8]) -> u64 {
    string.iter().map(|&digit| u64::from(digit.wrapping_sub(b'0'))).sum()
}
