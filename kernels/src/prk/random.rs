//! `random`: updates at random places of a large table, the test of memory and network at their worst (GUPS).
//!
//! Each number of a pseudo-random sequence is combined by exclusive or with the element of the table that its low bits name.
//! A rank has 1,024 streams, of which every batch takes one number each: no more may be made before they are sent to the
//! owners of their elements. A batch travels while the one before is applied; on one rank nothing is sent. All updates are
//! done twice, which restores the table: element i is i. The clock runs from the first update, with no warm-up.
//!
//! Threads of a rank have a part of the table each. On one rank each makes all numbers and applies those of its part, so
//! none waits for another.

use super::{bytes, part, share};
use rankine::kernel::{Check, Kernel, Quoted, Timed, Verdict, Work};
use rankine::{Buckets, Comm, Error, Memory, Result, op};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::{ControlFlow, Range};

/// Random updates: the parameters.
#[derive(Clone, Debug, PartialEq, clap::Args, Serialize, Deserialize)]
pub struct Random {
    /// Updates for each element of the table, in both rounds together: a power of two
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub update_ratio: u64,
    /// The table has two to this power of elements, over all ranks
    #[arg(long, value_name = "N", default_value_t = 23)]
    pub log2_size: u32,
}

/// A rank's part of the table, and the numbers that it makes.
pub struct Table {
    pub(super) elements: Memory<u64>,
    /// The index of the first.
    first: u64,
    step: usize,
    /// For each thread that makes numbers.
    streams: Vec<Streams>,
    /// On several ranks.
    pub(super) buckets: Option<Buckets<u64>>,
}

/// The numbers of a rank.
#[derive(Clone)]
struct Streams {
    /// Those that came last, of 1,024 places in the sequence.
    last: [u64; LOOKAHEAD],
    /// Of the sequence's powers of x, the rank's first.
    start: u64,
    /// How many updates the rank makes in a round.
    updates: u64,
    /// Batches in a round: as many as the rank with most updates needs.
    batches: usize,
}

/// Numbers that a rank may make before it sends them.
const LOOKAHEAD: usize = 1024;

/// The sequence starts at this power of x.
pub(super) const SEED: u64 = 834_568_137_686_317_453;

/// The powers of x repeat after so many: (2^63 - 1) / 7.
pub(super) const PERIOD: u64 = 1_317_624_576_693_539_401;

/// About so many updates of all ranks are a step.
const STEP: u64 = 1 << 20;

impl Kernel for Random {
    const NAME: &'static str = "random";
    const ABOUT: &'static str = "random updates of a large table, GUPS (Parallel Research Kernels)";
    const VERIFIES: &'static str = "every element of the table, which the second round restores";
    const MAY_CHANGE: &'static [&'static str] = &[];
    type Data = Table;

    fn check(&self, ranks: usize) -> Result<()> {
        let refused = |what: String, help: &str| Err(Error::usage(what).help(help));
        let (ratio, size) = (self.update_ratio, self.log2_size);
        if !ratio.is_power_of_two() {
            return refused(format!("--update-ratio {ratio}: no power of two"), "give 1, 2, 4, 8, ...");
        }
        if size == 0 || size.saturating_add(ratio.ilog2()) > 60 {
            let what = format!("--log2-size {size} with --update-ratio {ratio}");
            return refused(what, "give 1 or more, and no more than 2^60 updates in all");
        }
        let updates = self.updates();
        if u128::from(updates) < ranks as u128 * LOOKAHEAD as u128 {
            let what = format!(
                "--log2-size {size}: {updates} updates, fewer than 1024 for each of the {ranks} ranks"
            );
            return refused(what, "give a larger table or ratio, or fewer ranks");
        }
        Ok(())
    }

    fn bytes_per_rank(&self, ranks: usize) -> Option<u64> {
        let buckets = if ranks > 1 { 7 * ranks as u128 * 8 * LOOKAHEAD as u128 } else { 0 };
        bytes((8u128 << self.log2_size).div_ceil(ranks as u128) + buckets)
    }

    fn init(&self, comm: &Comm) -> Result<Table> {
        let (rank, ranks) = (comm.rank(), comm.size());
        let (own, round) = (cut(self.size(), rank, ranks), self.updates() / 2);
        let makes = cut(round, rank, ranks);
        let streams = Streams {
            last: [0; LOOKAHEAD],
            start: (SEED + own.start) % PERIOD,
            updates: makes.end - makes.start,
            batches: round.div_ceil(ranks as u64).div_ceil(LOOKAHEAD as u64) as usize,
        };
        Ok(Table {
            elements: Memory::from_fn((own.end - own.start) as usize, |at| own.start + at as u64)?,
            first: own.start,
            step: 0,
            streams: vec![streams; if ranks == 1 { rayon::current_num_threads() } else { 1 }],
            buckets: if ranks > 1 { Some(comm.buckets(LOOKAHEAD)?) } else { None },
        })
    }

    fn steps(&self) -> Option<u64> {
        Some((self.updates() / STEP).max(2))
    }

    fn step(&self, comm: &Comm, table: &mut Table) -> Result<ControlFlow<()>> {
        let steps = self.steps().unwrap_or(2) as usize;
        let batches = part(2 * table.streams[0].batches, table.step, steps);
        table.step += 1;
        match table.buckets.take() {
            None => self.alone(table, batches),
            Some(mut buckets) => {
                for batch in batches {
                    for &number in table.streams[0].batch(batch) {
                        // The rank whose `cut` the index is in.
                        let owner = (self.index(number) * comm.size() as u64) >> self.log2_size;
                        buckets.put(owner as usize, number);
                    }
                    self.apply(table, buckets.exchange()?);
                }
                if table.step == steps {
                    self.apply(table, buckets.finish()?);
                }
                table.buckets = Some(buckets);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn verify(&self, comm: &Comm, table: &mut Table) -> Result<Verdict> {
        let elements = table.elements.iter().zip(table.first..);
        let wrong = comm.allreduce(elements.filter(|&(&found, index)| found != index).count(), op::Sum)?;
        Ok(Verdict::of([Check::new("wrong elements of the table", wrong as f64, 0.0)]))
    }

    fn work(&self, _: &Table) -> Work {
        Work::of(self.updates() as f64 / self.steps().unwrap_or(1) as f64, "updates").bytes_each(16.0)
    }

    fn quoted(&self, _: &Table, timed: Timed) -> Vec<Quoted> {
        vec![Quoted::in_all("GUPS/s", 1e-9 * self.updates() as f64, timed.seconds)]
    }
}

impl Random {
    fn size(&self) -> u64 {
        1 << self.log2_size
    }
    /// In both rounds, by all ranks.
    fn updates(&self) -> u64 {
        self.update_ratio << self.log2_size
    }
    /// The index that a number updates.
    fn index(&self, number: u64) -> u64 {
        number & (self.size() - 1)
    }

    /// The batches of a rank that has all of the table.
    fn alone(&self, table: &mut Table, batches: Range<usize>) {
        let (each, all) = (share(table.elements.len()), table.streams.len() == 1);
        let parts = table.elements.par_chunks_mut(each).zip(&mut table.streams).enumerate();
        parts.for_each(|(thread, (part, streams))| {
            for batch in batches.clone() {
                self.update(part, (thread * each) as u64, streams.batch(batch), all);
            }
        });
    }

    /// Updates this rank's elements by numbers that are for them.
    fn apply<'n>(&self, table: &mut Table, numbers: impl Iterator<Item = (usize, &'n [u64])> + Clone + Sync) {
        let (each, first) = (share(table.elements.len()), table.first);
        if each == table.elements.len() {
            return numbers.for_each(|(_, numbers)| self.update(&mut table.elements, first, numbers, true));
        }
        table.elements.par_chunks_mut(each).enumerate().for_each(|(thread, part)| {
            let first = first + (thread * each) as u64;
            numbers.clone().for_each(|(_, numbers)| self.update(part, first, numbers, false));
        });
    }

    /// Updates elements, of which the first has index `first`, by those of the numbers that are for them: all, or some, which are
    /// picked out first, without a branch that nobody can predict.
    fn update(&self, elements: &mut [u64], first: u64, numbers: &[u64], all: bool) {
        if all {
            for &number in numbers {
                if let Some(element) = elements.get_mut(self.index(number).wrapping_sub(first) as usize) {
                    *element ^= number;
                }
            }
            return;
        }
        let (mut picked, mut count) = ([0; LOOKAHEAD], 0);
        for &number in numbers {
            picked[count % LOOKAHEAD] = number;
            count += usize::from(self.index(number).wrapping_sub(first) < elements.len() as u64);
        }
        self.update(elements, first, &picked[..count], true);
    }
}

impl Streams {
    /// The numbers of a batch, counted over both rounds.
    fn batch(&mut self, batch: usize) -> &[u64] {
        let done = (batch % self.batches * LOOKAHEAD) as u64;
        if done == 0 {
            let (mut at, between) = (power(self.start), power(2 * self.updates / LOOKAHEAD as u64));
            for stream in &mut self.last {
                *stream = at;
                at = times(at, between);
            }
        }
        let numbers = &mut self.last[..self.updates.saturating_sub(done).min(LOOKAHEAD as u64) as usize];
        numbers.iter_mut().for_each(|number| *number = next(*number));
        numbers
    }
}

/// The part of `of` things that is rank `rank`'s: thing i has the owner ⌊i ranks / of⌋.
pub(super) fn cut(of: u64, rank: usize, ranks: usize) -> Range<u64> {
    let start = |rank: usize| (u128::from(of) * rank as u128).div_ceil(ranks as u128) as u64;
    start(rank)..start(rank + 1)
}

/// Times x, of polynomials over GF(2) modulo x^64 + x^2 + x + 1, whose coefficients are the bits.
pub(super) fn next(number: u64) -> u64 {
    (number << 1) ^ (((number as i64) >> 63) as u64 & 7)
}

fn times(a: u64, b: u64) -> u64 {
    (0..64).rev().fold(0, |product, bit| next(product) ^ (a & 0u64.wrapping_sub(b >> bit & 1)))
}

/// x to this power.
pub(super) fn power(exponent: u64) -> u64 {
    (0..64).rev().fold(1, |power, bit| {
        let square = times(power, power);
        if exponent >> bit & 1 == 1 { next(square) } else { square }
    })
}
