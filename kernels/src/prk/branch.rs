//! `branch`: what branches in inner loops cost, measured by the same work with and without them.
//!
//! Integers that fit into a cache, and four kinds of branches: two in loops that could be vectorised, one in a loop that
//! could not, and one into forty functions that do not fit into the instruction cache together. Nothing is communicated but the
//! start of the two measurements; each rank has a vector of the full length.

use super::{at_least_one, bytes, share};
use rankine::kernel::{Check, Kernel, Quoted, Timed, Verdict, Work};
use rankine::{Comm, Error, Result, op};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::ops::{ControlFlow, Range};
use std::time::Instant;

/// Branches: the parameters.
#[derive(Clone, Debug, PartialEq, clap::Args, Serialize, Deserialize)]
pub struct Branch {
    /// Times that each loop is run; an even number
    #[arg(long, value_name = "N", default_value_t = 40_000)]
    pub iterations: u64,
    /// Elements of each rank's vector
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub length: usize,
    /// What the branches are
    #[arg(long, value_enum, default_value_t)]
    pub kind: Branching,
}

/// What the branches are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Branching {
    /// They keep a loop from being vectorised.
    VectorStop,
    /// They may become selections in a vectorised loop.
    #[default]
    VectorGo,
    /// They are in a loop that cannot be vectorised.
    NoVector,
    /// Each leads to one of forty large functions.
    InsHeavy,
}

/// A rank's vector, and what has been measured.
pub struct Branched {
    memory: Vec<i32>,
    /// Where in the memory the vector is: it starts on a cache line, or stores would straddle two.
    within: Range<usize>,
    /// Each thread's part counts from 0.
    index: Vec<u32>,
    /// Pairs of iterations done, with branches and without.
    done: [u64; 2],
    /// What they took; on the slowest rank, once verified.
    seconds: [f64; 2],
    /// Elements that were not what they should be after the branches.
    wrong: u64,
    ranks: usize,
}

/// Operations of a step, about: enough that taking the time costs nothing, and little enough that a run can be stopped.
const STEP: u64 = 20_000_000;

/// The values come again after so many elements.
const PERIOD: usize = 8;

/// Elements of a cache line, of which a thread's part has whole ones; a multiple of the period.
const LINE: usize = 16;

impl Kernel for Branch {
    const NAME: &'static str = "branch";
    const ABOUT: &'static str = "branches in inner loops, beside loops without (Parallel Research Kernels)";
    const VERIFIES: &'static str =
        "the sum of the vectors against its formula, and each element after the branches";
    const MAY_CHANGE: &'static [&'static str] = &["iterations"];
    type Data = Branched;

    fn check(&self, _: usize) -> Result<()> {
        at_least_one(self.iterations)?;
        if !self.iterations.is_multiple_of(2) {
            let what = format!("--iterations {}: the values come back after two", self.iterations);
            return Err(Error::usage(what).help("give an even number"));
        }
        if self.length == 0 || i32::try_from(self.length).is_err() {
            let what = format!("--length {}: not from 1 to {}", self.length, i32::MAX);
            return Err(Error::usage(what).help("give a vector that fits into a cache, such as 10000"));
        }
        Ok(())
    }

    fn bytes_per_rank(&self, _: usize) -> Option<u64> {
        bytes(8 * self.length as u128)
    }

    fn init(&self, comm: &Comm) -> Result<Branched> {
        let mut memory = vec![0; self.length + LINE - 1];
        let start = memory.as_ptr().align_offset(LINE * size_of::<i32>()).min(LINE - 1);
        let within = start..start + self.length;
        memory[within.clone()].iter_mut().enumerate().for_each(|(i, v)| *v = value(i));
        let part = share(self.length).next_multiple_of(LINE) as u32;
        let index = (0..self.length as u32).map(|i| i % part).collect();
        let ranks = comm.size();
        Ok(Branched { memory, within, index, done: [0; 2], seconds: [0.0; 2], wrong: 0, ranks })
    }

    fn steps(&self) -> Option<u64> {
        Some(2 * (self.iterations / 2).div_ceil(self.pairs()))
    }

    fn step(&self, comm: &Comm, data: &mut Branched) -> Result<ControlFlow<()>> {
        let all = self.iterations / 2;
        let phase = usize::from(data.done[0] == all);
        if data.done[phase] == 0 {
            comm.barrier()?;
        }
        let pairs = self.pairs().min(all - data.done[phase]);
        let part = share(self.length).next_multiple_of(LINE);
        let start = Instant::now();
        let parts = data.memory[data.within.clone()].par_chunks_mut(part).zip(data.index.par_chunks(part));
        parts.for_each(|(vector, index)| self.kind.run(phase == 0, vector, index, pairs));
        data.seconds[phase] += start.elapsed().as_secs_f64();
        data.done[phase] += pairs;
        if data.done == [all, 0] {
            let wrong = |(i, &found): (usize, &i32)| found != self.kind.after(all, value(i));
            data.wrong = data.vector().iter().enumerate().filter(|item| wrong(*item)).count() as u64;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn verify(&self, comm: &Comm, data: &mut Branched) -> Result<Verdict> {
        comm.allreduce_in_place(&mut data.seconds, op::Max)?;
        let sum = data.vector().iter().map(|&v| i64::from(v)).sum::<i64>();
        let [sum, wrong] = comm.allreduce([sum, data.wrong as i64], op::Sum)?;
        let (length, over) = (self.length as i64, (self.length % PERIOD) as i64);
        let expected = (over * (over - 8) + length) / 2 * data.ranks as i64;
        Ok(Verdict::of([
            Check::new("sum of the vectors, difference", sum.abs_diff(expected) as f64, 0.0),
            Check::new("wrong elements after the branches", wrong as f64, 0.0),
        ]))
    }

    fn work(&self, data: &Branched) -> Work {
        let pairs = self.pairs().min(self.iterations / 2);
        Work::of((2 * pairs * self.operations()) as f64 * data.ranks as f64, "operations")
    }

    fn quoted(&self, data: &Branched, _: Timed) -> Vec<Quoted> {
        let operations = self.iterations as f64 * self.operations() as f64 * data.ranks as f64;
        let rate = |what: &str, seconds: f64| Quoted {
            label: format!("Rate (Mops/s) {what} branches"),
            rate: 1e-6 * operations / seconds,
            time_label: "time (s)",
            time: seconds,
        };
        vec![rate("with", data.seconds[0]), rate("without", data.seconds[1])]
    }
}

impl Branch {
    /// What the specification counts of one rank and iteration.
    fn operations(&self) -> u64 {
        let each = if self.kind == Branching::InsHeavy { ORDER * (ORDER * 19 + 6) } else { 4 };
        self.length as u64 * u64::from(each)
    }

    /// Pairs of iterations of a step.
    fn pairs(&self) -> u64 {
        (STEP / (2 * self.operations())).max(1)
    }
}

impl Branched {
    pub(super) fn vector(&mut self) -> &mut [i32] {
        &mut self.memory[self.within.clone()]
    }
}

/// What element `i` starts with.
fn value(i: usize) -> i32 {
    3 - (i % PERIOD) as i32
}

impl Branching {
    /// What an element that starts as `v` has become after so many pairs with branches.
    fn after(self, pairs: u64, v: i32) -> i32 {
        match self {
            Branching::VectorStop if v > 0 => -3 * v,
            Branching::VectorStop => v,
            Branching::InsHeavy => -v,
            _ if pairs.is_multiple_of(2) => v,
            _ => -3 * v,
        }
    }

    fn run(self, branches: bool, vector: &mut [i32], index: &[u32], pairs: u64) {
        let index = &index[..vector.len()];
        let at = |vector: &[i32], i: usize| vector[index[i] as usize];
        match (self, branches) {
            (Branching::VectorStop, true) => repeat(vector, pairs, |vector, i, sign| {
                vector[i] -= 2 * if at(vector, i) > 0 { vector[i] } else { sign * value(i) };
            }),
            (Branching::VectorGo, true) => repeat(vector, pairs, |vector, i, sign| {
                vector[i] -= 2 * if sign * value(i) > 0 { vector[i] } else { sign * value(i) };
            }),
            (Branching::NoVector, true) => repeat(vector, pairs, |vector, i, sign| {
                vector[i] -= 2 * if sign * value(i) > 0 { at(vector, i) } else { sign * value(i) };
            }),
            (Branching::VectorStop | Branching::VectorGo, false) => {
                repeat(vector, pairs, |vector, i, sign| {
                    vector[i] -= vector[i] + sign * value(i);
                })
            }
            (Branching::NoVector, false) => scattered(vector, index, pairs),
            (Branching::InsHeavy, _) => {
                let mut matrices = Matrices::new();
                repeat(vector, pairs, |vector, i, sign| {
                    let function = if branches { FUNCTIONS[i % FUNCTIONS.len()] } else { function::<0> };
                    vector[i] -= vector[i] + sign * value(function(i as u32, &mut matrices) as usize);
                });
            }
        }
    }
}

/// Runs `body` for each element: with a negative sign in the first iteration of a pair.
#[inline(always)]
fn repeat(vector: &mut [i32], pairs: u64, mut body: impl FnMut(&mut [i32], usize, i32)) {
    for _ in 0..pairs {
        (0..vector.len()).for_each(|i| body(vector, i, -1));
        (0..vector.len()).for_each(|i| body(vector, i, 1));
    }
}

/// What is without branches where elements are read by an index, a whole period at a time.
fn scattered(vector: &mut [i32], index: &[u32], pairs: u64) {
    let cells = Cell::from_mut(vector).as_slice_of_cells();
    let (blocks, rest) = cells.as_chunks::<PERIOD>();
    let (indices, left) = index.as_chunks::<PERIOD>();
    let change = |cell: &Cell<i32>, &at: &u32, k: usize, sign: i32| {
        cell.set(cell.get() - (cells[at as usize].get() + sign * value(k)));
    };
    for sign in (0..pairs).flat_map(|_| [-1, 1]) {
        for (block, index) in blocks.iter().zip(indices) {
            (0..PERIOD).for_each(|k| change(&block[k], &index[k], k, sign));
        }
        rest.iter().zip(left).enumerate().for_each(|(k, (cell, at))| change(cell, at, k, sign));
    }
}

/// The order of the matrices.
const ORDER: u32 = 10;
const SIDE: usize = ORDER as usize;

/// What the functions work on.
pub(super) struct Matrices {
    pub(super) zero: [i32; SIDE],
    pub(super) one: [i32; SIDE],
    pub(super) a: [[i32; SIDE]; SIDE],
    b: [[i32; SIDE]; SIDE],
}

impl Matrices {
    pub(super) fn new() -> Matrices {
        Matrices { zero: [0; SIDE], one: [1; SIDE], a: [[0; SIDE]; SIDE], b: [[0; SIDE]; SIDE] }
    }
}

/// One of the functions: it makes a unit matrix, each element by statements of its own, and gives `index` back if it is one.
#[inline(never)]
fn function<const VERSION: u32>(index: u32, m: &mut Matrices) -> u32 {
    macro_rules! elements {
        ($($row:literal)*) => { $(elements!($row: 0 1 2 3 4 5 6 7 8 9);)* };
        ($row:literal: $($column:literal)*) => { $({
            let mut x1 = (($column + $row) * 48611) % 8389 + index;
            let mut x2 = (($column + 17 + 19 * $row) * 29443) % 77029;
            let mut x3 = (x1 + (VERSION + 1) * x2) % ORDER;
            x1 += (x2 + ORDER - x3) % ORDER;
            x2 += (x1 + 7 * ORDER - 5 * x3) % ORDER;
            x3 = (x1 + 4 * x2) % ORDER;
            m.a[$row][$column] = if $row == $column { m.one[x3 as usize] } else { m.zero[x3 as usize] };
        })* };
    }
    elements!(0 1 2 3 4 5 6 7 8 9);
    let mut error = 0;
    for j in 0..SIDE {
        for i in 0..SIDE {
            m.b[j][i] = (m.a[i][j] + m.a[j][i]) / 2;
            error += (i32::from(i == j) - m.b[j][i]).abs();
        }
    }
    if error == 0 { index } else { 0 }
}

macro_rules! functions {
    ($($version:literal)*) => { [$(function::<$version>),*] };
}

/// Where the branches lead.
pub(super) const FUNCTIONS: [fn(u32, &mut Matrices) -> u32; 40] = functions![
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39
];
