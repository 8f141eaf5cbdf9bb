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
    /// How many updates this rank makes in a round.
    updates: u64,
    /// Batches in a round: as many as the rank with most updates needs.
    batches: usize,
    step: usize,
    /// For each thread that makes numbers.
    streams: Vec<Streams>,
    /// On several ranks.
    pub(super) buckets: Option<Buckets<u64>>,
}

/// The numbers that come next, of 1,024 places in the sequence.
#[derive(Clone)]
struct Streams([u64; LOOKAHEAD]);

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
        if !self.update_ratio.is_power_of_two() {
            return refused(
                format!("--update-ratio {}: no power of two", self.update_ratio),
                "give 1, 2, 4, 8, ...",
            );
        }
        if self.log2_size == 0 || self.log2_size.saturating_add(self.update_ratio.ilog2()) > 60 {
            let what = format!("--log2-size {} with --update-ratio {}", self.log2_size, self.update_ratio);
            return refused(what, "give 1 or more, and no more than 2^60 updates in all");
        }
        if u128::from(self.updates()) < ranks as u128 * LOOKAHEAD as u128 {
            let what = format!(
                "--log2-size {}: {} updates, fewer than 1024 for each of the {ranks} ranks",
                self.log2_size,
                self.updates()
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
        let own = cut(self.size(), rank, ranks);
        let rounds = |rank| cut(self.updates() / 2, rank, ranks);
        let most = (0..ranks).map(|rank| rounds(rank).end - rounds(rank).start).max().unwrap_or(0);
        let batches = most.div_ceil(LOOKAHEAD as u64) as usize;
        let makers = if ranks == 1 { rayon::current_num_threads() } else { 1 };
        Ok(Table {
            elements: Memory::from_fn((own.end - own.start) as usize, |at| own.start + at as u64)?,
            first: own.start,
            updates: rounds(rank).end - rounds(rank).start,
            batches,
            step: 0,
            streams: vec![Streams([0; LOOKAHEAD]); makers],
            buckets: if ranks > 1 { Some(comm.buckets(LOOKAHEAD)?) } else { None },
        })
    }

    fn steps(&self) -> Option<u64> {
        Some((self.updates() / STEP).max(2))
    }

    fn step(&self, comm: &Comm, table: &mut Table) -> Result<ControlFlow<()>> {
        let (steps, last) = ((self.updates() / STEP).max(2) as usize, 2 * table.batches);
        let batches = part(last, table.step, steps);
        table.step += 1;
        match table.buckets.take() {
            None => self.alone(table, batches),
            Some(mut buckets) => {
                for batch in batches {
                    let numbers = table.streams[0].batch(batch, table.batches, table.updates, table.first);
                    for &number in numbers {
                        buckets.put(self.owner(number, comm.size()), number);
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
        let expected = table.first..;
        let wrong = table.elements.iter().zip(expected).filter(|&(&found, index)| found != index).count();
        let wrong = comm.allreduce(wrong, op::Sum)?;
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

    /// The rank that has its element: the one whose `cut` the index is in.
    fn owner(&self, number: u64, ranks: usize) -> usize {
        ((self.index(number) * ranks as u64) >> self.log2_size) as usize
    }

    /// The batches of a rank that has all of the table.
    fn alone(&self, table: &mut Table, batches: Range<usize>) {
        let (each, first, updates, all) =
            (share(table.elements.len()), table.first, table.updates, table.batches);
        if let [streams] = &mut table.streams[..] {
            for batch in batches {
                self.update(&mut table.elements, first, streams.batch(batch, all, updates, first));
            }
            return;
        }
        let parts = table.elements.par_chunks_mut(each).zip(&mut table.streams).enumerate();
        parts.for_each(|(thread, (part, streams))| {
            let start = first + (thread * each) as u64;
            for batch in batches.clone() {
                self.update_some(part, start, streams.batch(batch, all, updates, first));
            }
        });
    }

    /// Updates this rank's elements by numbers that are all for them.
    fn apply<'n>(
        &self,
        table: &mut Table,
        numbers: impl Iterator<Item = (usize, &'n [u64])> + Clone + Send + Sync,
    ) {
        if rayon::current_num_threads() == 1 {
            return numbers.for_each(|(_, numbers)| self.update(&mut table.elements, table.first, numbers));
        }
        let each = share(table.elements.len());
        table.elements.par_chunks_mut(each).enumerate().for_each(|(thread, part)| {
            let start = table.first + (thread * each) as u64;
            numbers.clone().for_each(|(_, numbers)| self.update_some(part, start, numbers));
        });
    }

    /// Numbers that are all for these elements, of which the first has index `first`.
    fn update(&self, elements: &mut [u64], first: u64, numbers: &[u64]) {
        for &number in numbers {
            if let Some(element) = elements.get_mut(self.index(number).wrapping_sub(first) as usize) {
                *element ^= number;
            }
        }
    }

    /// Numbers of which some are for these elements: those are picked out first, without a branch that nobody can predict.
    fn update_some(&self, elements: &mut [u64], first: u64, numbers: &[u64]) {
        let mut picked = [0; LOOKAHEAD];
        for numbers in numbers.chunks(LOOKAHEAD) {
            let mut count = 0;
            for &number in numbers {
                picked[count % LOOKAHEAD] = number;
                count += usize::from(self.index(number).wrapping_sub(first) < elements.len() as u64);
            }
            self.update(elements, first, &picked[..count]);
        }
    }
}

impl Streams {
    /// The numbers of a batch, of which `all` are a round and a rank makes `updates` numbers; the rank's sequence is as far
    /// from the seed as its table's `first` index.
    fn batch(&mut self, batch: usize, all: usize, updates: u64, first: u64) -> &[u64] {
        let batch = (batch % all) as u64;
        if batch == 0 {
            let (start, between) = ((SEED + first) % PERIOD, 2 * updates / LOOKAHEAD as u64);
            let (mut at, between) = (power(start), power(between));
            for stream in &mut self.0 {
                *stream = at;
                at = times(at, between);
            }
        }
        let left = updates.saturating_sub(batch * LOOKAHEAD as u64);
        let numbers = &mut self.0[..left.min(LOOKAHEAD as u64) as usize];
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
