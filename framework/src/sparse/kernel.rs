//! The inner loops of a sparse multiplication, on one rank's compressed rows.
//!
//! They know no ranks. The order of a row's sum depends on the row alone, so the answer is the same to the bit however
//! rows are dealt to ranks and threads.

use super::Value;

use rayon::prelude::*;

/// So many values are worth a thread.
const MANY: usize = 1 << 14;

/// Copies the values at `picks`.
pub(super) fn pick<T: Value>(to: &mut [T], from: &[T], picks: &[u32]) {
    let copy = |(to, picks): (&mut [T], &[u32])| {
        to.iter_mut().zip(picks).for_each(|(to, &pick)| *to = from[pick as usize]);
    };
    if rayon::current_num_threads() == 1 || to.len() < MANY {
        return copy((to, picks));
    }
    let each = to.len().div_ceil(rayon::current_num_threads());
    to.par_chunks_mut(each).zip(picks.par_chunks(each)).for_each(copy);
}

/// From this length on a row is summed in four chains.
const LONG: usize = 24;

/// y = A·x, or if `ADD` y += A·x, of rows that begin at `starts` (one more than `y` has elements).
#[inline(never)]
pub(super) fn multiply<T: Value, const ADD: bool>(
    starts: &[u32],
    columns: &[u32],
    values: &[T],
    x: &[T],
    y: &mut [T],
) {
    let mut at = starts[0] as usize;
    for (out, &end) in y.iter_mut().zip(&starts[1..]) {
        let end = end as usize;
        let (columns, values) = (&columns[at..end], &values[at..end]);
        let sum = if columns.len() < LONG { short(columns, values, x) } else { long(columns, values, x) };
        *out = if ADD { *out + sum } else { sum };
        at = end;
    }
}

#[inline(always)]
fn short<T: Value>(columns: &[u32], values: &[T], x: &[T]) -> T {
    let mut sum = T::default();
    for (&column, &value) in columns.iter().zip(values) {
        sum += value * x[column as usize];
    }
    sum
}

#[inline(always)]
fn long<T: Value>(columns: &[u32], values: &[T], x: &[T]) -> T {
    let mut lanes = [T::default(); 4];
    let (columns, values) = (columns.chunks_exact(4), values.chunks_exact(4));
    let rest = short(columns.remainder(), values.remainder(), x);
    for (columns, values) in columns.zip(values) {
        for lane in 0..4 {
            lanes[lane] += values[lane] * x[columns[lane] as usize];
        }
    }
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + rest
}

/// y += Aᵀ·x, or Aᴴ·x, of rows that begin at `starts` (one more than `x` has elements).
#[inline(never)]
pub(super) fn multiply_transposed<T: Value>(
    starts: &[u32],
    columns: &[u32],
    values: &[T],
    x: &[T],
    y: &mut [T],
    conjugate: bool,
) {
    for (ends, &x) in starts.windows(2).zip(x) {
        let row = ends[0] as usize..ends[1] as usize;
        for (&column, &value) in columns[row.clone()].iter().zip(&values[row]) {
            y[column as usize] += if conjugate { value.conj() * x } else { value * x };
        }
    }
}
