//! `sync_global`: global synchronisation, by strings that nobody can continue with before everybody has sent.
//!
//! In each iteration all ranks' strings are brought together on every rank, which then takes a string of its own from every P-th
//! character. So characters are permuted and their sum stays what it was.

use super::{at_least_one, part};
use rankine::kernel::{Check, Kernel, Quoted, Timed, Verdict, Work};
use rankine::{Comm, Error, Result, op};
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

/// This rank's string, and all of them one behind the other.
pub struct Strings {
    own: Vec<u8>,
    pub(super) all: Vec<u8>,
    lengths: Vec<usize>,
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
        (2 * self.length as u128).try_into().ok()
    }

    fn init(&self, comm: &Comm) -> Result<Strings> {
        let lengths: Vec<usize> =
            (0..comm.size()).map(|rank| part(self.length, rank, comm.size()).len()).collect();
        let own: Vec<u8> = DIGITS.iter().copied().cycle().take(lengths[comm.rank()]).collect();
        let sum = comm.allreduce(digits(&own), op::Sum)?;
        Ok(Strings { own, all: vec![b'9'; self.length], lengths, sum, done: 0 })
    }

    fn steps(&self) -> Option<u64> {
        Some(self.iterations.div_ceil(BATCH))
    }

    fn step(
        &self,
        comm: &Comm,
        Strings { own, all, lengths, done, .. }: &mut Strings,
    ) -> Result<ControlFlow<()>> {
        let even = self.length.is_multiple_of(comm.size());
        for _ in 0..BATCH.min(self.iterations - *done) {
            match even {
                true => comm.allgather_into(own, all)?,
                false => comm.allgatherv_into(own, all, &lengths[..])?,
            }
            let every = all[comm.rank()..].iter().step_by(comm.size());
            own.iter_mut().zip(every).for_each(|(own, &character)| *own = character);
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

fn digits(string: &[u8]) -> u64 {
    string.iter().map(|&digit| u64::from(digit.wrapping_sub(b'0'))).sum()
}
