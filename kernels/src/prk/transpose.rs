//! `transpose`: a square matrix is transposed and added to another again and again.
//!
//! `B += Aᵀ`, then `A += 1`, with both matrices cut into blocks of whole rows (the specification's columns, in the order of C).
//! What a rank does not have it gets from every other: an exchange of all with all. `A[r][c]` starts as n·r + c. The rate counts
//! one read and one write of each entry.

use super::{at_least_one, bytes, share};
use rankine::kernel::{Check, Kernel, Quoted, Timed, Verdict, Work};
use rankine::{Block, Comm, Ends, Error, Grid, Memory, Redistribution, Result, op};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::{ControlFlow, Range};

/// A transposition: its parameters.
#[derive(Clone, Debug, PartialEq, clap::Args, Serialize, Deserialize)]
pub struct Transpose {
    /// Timed iterations, after one that is not
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub iterations: u64,
    /// Rows and columns of the matrices
    #[arg(long, value_name = "N", default_value_t = 4096)]
    pub order: usize,
    /// Rows and columns of the tiles that are transposed at a time; 0 for none
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub tile: usize,
}

/// This rank's rows of both matrices.
pub struct Matrices {
    plan: Redistribution<f64, 2>,
    a: Memory<f64>,
    pub(super) b: Memory<f64>,
    own: Range<usize>,
    pitch: usize,
    done: u64,
}

impl Kernel for Transpose {
    const NAME: &'static str = "transpose";
    const ABOUT: &'static str = "transposition of a distributed matrix (Parallel Research Kernels)";
    const VERIFIES: &'static str = "every entry of B against its formula, to 1e-8 in all";
    const MAY_CHANGE: &'static [&'static str] = &["iterations"];
    type Data = Matrices;

    fn check(&self, ranks: usize) -> Result<()> {
        at_least_one(self.iterations)?;
        if self.order < ranks {
            let what = format!("--order {}: fewer rows than the {ranks} ranks", self.order);
            return Err(Error::usage(what).help("give a larger matrix, or fewer ranks"));
        }
        Ok(())
    }

    fn bytes_per_rank(&self, ranks: usize) -> Option<u64> {
        let order = self.order as u128;
        bytes(order.div_ceil(ranks as u128).saturating_mul(16 * (order + 16)))
    }

    fn init(&self, comm: &Comm) -> Result<Matrices> {
        let n = self.order;
        let rows = Grid::over(comm, [n; 2]).halo(0).dims([comm.size(), 1]).build()?;
        let plan = Redistribution::permuted(&rows, &rows, [1, 0])?;
        let own = rows.own().start[0]..rows.own().start[0] + rows.own().shape[0];
        let pitch = pitch(n);
        let mut a = Memory::zeroed(own.len() * pitch)?;
        for (row, values) in own.clone().zip(a.chunks_exact_mut(pitch)) {
            (0..n).for_each(|column| values[column] = (n * row + column) as f64);
        }
        Ok(Matrices { plan, a, b: Memory::zeroed(own.len() * pitch)?, own, pitch, done: 0 })
    }

    fn steps(&self) -> Option<u64> {
        Some(self.iterations + 1)
    }

    fn warm_up(&self) -> u64 {
        1
    }

    fn step(&self, _: &Comm, matrices: &mut Matrices) -> Result<ControlFlow<()>> {
        let Matrices { plan, a, b, own, pitch, done } = matrices;
        let tile = if self.tile == 0 { self.order } else { self.tile };
        plan.run_between(&mut Between { a, b, first: own.start, pitch: *pitch, tile })?;
        *done += 1;
        Ok(ControlFlow::Continue(()))
    }

    fn verify(&self, comm: &Comm, Matrices { b, own, pitch, done, .. }: &mut Matrices) -> Result<Verdict> {
        let (n, times) = (self.order, *done as f64);
        let added = times * (times - 1.0) / 2.0;
        let expected = |row: usize, column: usize| (n * column + row) as f64 * times + added;
        let rows = own.clone().zip(b.chunks_exact(*pitch));
        let errors =
            rows.map(|(row, b)| (0..n).map(|column| (b[column] - expected(row, column)).abs()).sum::<f64>());
        let error = comm.allreduce(errors.sum::<f64>(), op::Sum)?;
        Ok(Verdict::of([Check::new("sum of the errors of B", error, 1e-8)]))
    }

    fn work(&self, _: &Matrices) -> Work {
        // Both matrices are both read and written.
        Work::of((self.order as f64).powi(2), "entries").flops_each(2.0).bytes_each(32.0)
    }

    fn quoted(&self, _: &Matrices, timed: Timed) -> Vec<Quoted> {
        vec![Quoted::per_step("MB/s", 16e-6 * (self.order as f64).powi(2), timed)]
    }
}

/// Entries from one row to the next: whole cache lines, and no multiple of a page, since the rows of a tile would then
/// compete for the same few lines of the cache.
fn pitch(order: usize) -> usize {
    let pitch = order.next_multiple_of(8);
    if pitch.is_multiple_of(512) { pitch + 8 } else { pitch }
}

/// Both matrices during a transposition. Messages hold blocks that are transposed already.
struct Between<'a> {
    a: &'a mut [f64],
    b: &'a mut [f64],
    /// The first of the rank's rows.
    first: usize,
    pitch: usize,
    tile: usize,
}

impl Between<'_> {
    /// The rows of A that a block has, and its columns.
    fn of_a(&mut self, block: &Block<2>) -> (&mut [f64], Range<usize>) {
        let first = block.start[0] - self.first;
        let rows = &mut self.a[first * self.pitch..(first + block.shape[0]) * self.pitch];
        (rows, block.start[1]..block.start[1] + block.shape[1])
    }

    /// The part of B that a block of A goes to, row by row.
    fn of_b<'b>(
        b: &'b mut [f64],
        pitch: usize,
        first: usize,
        block: &Block<2>,
    ) -> impl Iterator<Item = &'b mut [f64]> {
        let ([column, row], [length, rows]) = (block.start, block.shape);
        let rows = &mut b[(row - first) * pitch..][..rows * pitch];
        rows.chunks_exact_mut(pitch).map(move |row| &mut row[column..column + length])
    }
}

impl Ends<f64, 2> for Between<'_> {
    fn pack(&mut self, _: usize, block: &Block<2>, message: &mut [f64]) {
        let (pitch, tile) = (self.pitch, self.tile);
        let (a, columns) = self.of_a(block);
        transpose(a, pitch, columns, message.chunks_exact_mut(block.shape[0]), tile, |to, value| *to = value);
    }

    fn unpack(&mut self, _: usize, block: &Block<2>, message: &[f64]) {
        let rows = Self::of_b(self.b, self.pitch, self.first, block);
        for (to, from) in rows.zip(message.chunks_exact(block.shape[0])) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        }
    }

    fn keep(&mut self, block: &Block<2>) {
        let Between { a, b, first, pitch, tile } = self;
        let rows = &mut a[(block.start[0] - *first) * *pitch..][..block.shape[0] * *pitch];
        let columns = block.start[1]..block.start[1] + block.shape[1];
        transpose(rows, *pitch, columns, Self::of_b(b, *pitch, *first, block), *tile, |to, value| {
            *to += value
        });
    }
}

/// Puts the columns of rows of A to the rows of `to`, and adds 1 to them, on the rank's threads: each takes some rows of A.
fn transpose<'b>(
    a: &mut [f64],
    pitch: usize,
    columns: Range<usize>,
    to: impl Iterator<Item = &'b mut [f64]>,
    tile: usize,
    put: impl Fn(&mut f64, f64) + Sync,
) {
    let share = share(a.len() / pitch).next_multiple_of(SIDE);
    if share >= a.len() / pitch {
        return tiles(a, pitch, columns, &mut to.collect::<Vec<_>>(), tile, &put);
    }
    let mut parts: Vec<Vec<&mut [f64]>> = Vec::new();
    parts.resize_with((a.len() / pitch).div_ceil(share), Vec::new);
    to.for_each(|row| row.chunks_mut(share).zip(&mut parts).for_each(|(piece, part)| part.push(piece)));
    let work = a.par_chunks_mut(share * pitch).zip(&mut parts);
    work.for_each(|(a, to)| tiles(a, pitch, columns.clone(), to, tile, &put));
}

/// Rows and columns that are transposed in registers.
const SIDE: usize = 4;

fn tiles(
    a: &mut [f64],
    pitch: usize,
    columns: Range<usize>,
    to: &mut [&mut [f64]],
    tile: usize,
    put: &impl Fn(&mut f64, f64),
) {
    let (rows, tile) = (a.len() / pitch, tile.next_multiple_of(SIDE));
    for left in (0..columns.len()).step_by(tile) {
        let right = (left + tile).min(columns.len());
        for top in (0..rows).step_by(tile) {
            let bottom = (top + tile).min(rows);
            for row in (top..bottom).step_by(SIDE) {
                for column in (left..right).step_by(SIDE) {
                    let a = &mut a[row * pitch + columns.start + column..];
                    if row + SIDE <= bottom && column + SIDE <= right {
                        square(a, pitch, &mut to[column..column + SIDE], row, put);
                        continue;
                    }
                    for (r, c) in (row..bottom.min(row + SIDE))
                        .flat_map(|r| (column..right.min(column + SIDE)).map(move |c| (r, c)))
                    {
                        let entry = &mut a[(r - row) * pitch + c - column];
                        put(&mut to[c][r], *entry);
                        *entry += 1.0;
                    }
                }
            }
        }
    }
}

/// One square of A, whose first entry is that of `a`, to one of `to` that starts at element `at` of its rows.
#[inline(always)]
fn square(a: &mut [f64], pitch: usize, to: &mut [&mut [f64]], at: usize, put: &impl Fn(&mut f64, f64)) {
    let mut entries = [[0.0; SIDE]; SIDE];
    for (row, entries) in a.chunks_mut(pitch).zip(&mut entries) {
        let row = &mut row[..SIDE];
        entries.copy_from_slice(row);
        row.iter_mut().for_each(|entry| *entry += 1.0);
    }
    for (column, to) in to.iter_mut().enumerate() {
        let to = &mut to[at..at + SIDE];
        (0..SIDE).for_each(|row| put(&mut to[row], entries[row][column]));
    }
}
