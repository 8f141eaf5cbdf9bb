//! The inner loops of a sparse multiplication, on one rank's compressed rows.
//!
//! They know no ranks. The order of a row's sum depends on the row alone, so the answer is the same to the bit however
//! rows are dealt to ranks and threads.

use super::Value;

use crate::error::Result;
use rayon::prelude::*;

/// So many values are worth a thread.
const MANY: usize = 1 << 14;

/// Values are picked at so many places at once. One place alone would often wait for one set of the first cache, where picks
/// lie a power of two apart; and several may find theirs in one line.
const PLACES: usize = 4;

/// Copies the values at `picks`, and calls `between` every `often` values.
pub(super) fn pick<T: Value>(
    to: &mut [T],
    from: &[T],
    picks: &[u32],
    often: usize,
    mut between: impl FnMut() -> Result<()>,
) -> Result<()> {
    let threads = rayon::current_num_threads();
    if threads > 1 && to.len() >= MANY {
        let each = to.len().div_ceil(threads);
        to.par_chunks_mut(each).zip(picks.par_chunks(each)).for_each(|(to, picks)| {
            let (mut to, picks, whole) = places(to, picks);
            pick_some(&mut to, from, &picks, 0..whole);
        });
        return between();
    }
    let (mut to, picks, whole) = places(to, picks);
    for start in (0..whole).step_by(often.div_ceil(PLACES)) {
        pick_some(&mut to, from, &picks, start..whole.min(start + often.div_ceil(PLACES)));
        between()?;
    }
    Ok(())
}

/// Cuts them into places; the first is as long as any.
fn places<'a, T>(to: &'a mut [T], picks: &'a [u32]) -> ([&'a mut [T]; PLACES], [&'a [u32]; PLACES], usize) {
    let each = to.len().div_ceil(PLACES);
    let (mut to, mut picks) = (to.chunks_mut(each.max(1)), picks.chunks(each.max(1)));
    let to = std::array::from_fn(|_| to.next().unwrap_or_default());
    (to, std::array::from_fn(|_| picks.next().unwrap_or_default()), each)
}

fn pick_some<T: Value>(
    to: &mut [&mut [T]; PLACES],
    from: &[T],
    picks: &[&[u32]; PLACES],
    range: std::ops::Range<usize>,
) {
    let all = range.start.max(range.end.min(picks.iter().map(|picks| picks.len()).min().unwrap_or(0)));
    for at in range.start..all {
        for place in 0..PLACES {
            to[place][at] = from[picks[place][at] as usize];
        }
    }
    for (to, picks) in to.iter_mut().zip(picks) {
        for at in all..range.end.min(picks.len()) {
            to[at] = from[picks[at] as usize];
        }
    }
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
    let (columns, values) = (columns.chunks_exact(4), values.chunks_exact(4));
    let rest = columns.remainder().iter().zip(values.remainder());
    // Unrolled, in the same order.
    for (columns, values) in columns.zip(values) {
        sum += values[0] * x[columns[0] as usize];
        sum += values[1] * x[columns[1] as usize];
        sum += values[2] * x[columns[2] as usize];
        sum += values[3] * x[columns[3] as usize];
    }
    for (&column, &value) in rest {
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
