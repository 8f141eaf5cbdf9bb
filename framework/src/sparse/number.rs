//! What a product reads by: where each column's value lies when rows are multiplied.
//!
//! Rows of the edge read from `work`, where own values and other ranks' stand one behind the other; inner rows read the
//! vector itself. Where rows jump about in the vector, but some way on others jump to the same places, all of them read from
//! `work`, and values stand there in the order of their first use: so one pass that jumps, over the values, replaces one over
//! the entries. It is worth it if a small cache would miss less in the end. What is summed in which order is the same.

use super::matrix::Run;
use super::{Distribution, Value};

/// What `work` has.
pub(super) struct Numbering {
    pub packed: bool,
    pub near: Vec<u32>,
    pub ghosts: Vec<usize>,
}

/// Makes numbers of codes, in place. `met` has the other ranks' columns that codes from `own` on stand for.
pub(super) fn number<T: Value>(
    codes: &mut [u32],
    starts: &[u32],
    runs: &[Run],
    own: usize,
    met: &[usize],
    columns: &Distribution,
) -> Numbering {
    if runs.iter().all(|run| !run.edge) && own * size_of::<T>() <= CACHE {
        return Numbering { packed: false, near: Vec::new(), ghosts: Vec::new() };
    }
    let entries = |run: &Run| starts[run.rows.start] as usize..starts[run.rows.end] as usize;

    // By first use: which of all columns is used how early.
    let mut first_use = vec![UNUSED; own + met.len()];
    let mut used = Vec::new();
    for &code in &*codes {
        let place = &mut first_use[code as usize];
        if *place == UNUSED {
            *place = used.len() as u32;
            used.push(code);
        }
    }
    let per_line = LINE / size_of::<T>();
    let packed = (own + met.len()) * size_of::<T>() > CACHE && {
        let by_column = misses(codes, |code| code as usize / per_line);
        let by_use = misses(codes, |code| first_use[code as usize] as usize / per_line);
        by_column > 2 * (by_use + used.len())
    };
    drop(first_use);

    let in_work: Vec<u32> = if packed {
        used
    } else {
        // In ascending order of the codes, which for own columns is theirs.
        drop(used);
        let mut of_edge = vec![false; own + met.len()];
        for run in runs.iter().filter(|run| run.edge) {
            codes[entries(run)].iter().for_each(|&code| of_edge[code as usize] = true);
        }
        (0..of_edge.len() as u32).filter(|&code| of_edge[code as usize]).collect()
    };
    let (mut near, mut ghosts): (Vec<u32>, Vec<u32>) =
        in_work.into_iter().partition(|&code| (code as usize) < own);
    let column = |code: u32| met[code as usize - own];
    match packed {
        true => {
            ghosts.sort_by_cached_key(|&code| columns.owner(column(code)));
            (near, ghosts) = (spaced::<T>(&near), spaced::<T>(&ghosts));
        }
        false => ghosts.sort_unstable_by_key(|&code| column(code)),
    }
    let mut number_of = vec![UNUSED; own + met.len()];
    for (number, &code) in near.iter().chain(&ghosts).enumerate() {
        let number_of = &mut number_of[code as usize];
        *number_of = (number as u32).min(*number_of);
    }
    for run in runs.iter().filter(|run| run.edge || packed) {
        codes[entries(run)].iter_mut().for_each(|code| *code = number_of[*code as usize]);
    }
    Numbering { packed, near, ghosts: ghosts.into_iter().map(column).collect() }
}

/// After each page so many lines are left unused. Else what lies a power of two apart, as rows of a grid often do, would have
/// the same few places in the first cache: an odd number, so that it gets all of them.
const GAP: usize = 7 * LINE;

const PAGE: usize = 4096;

/// With gaps, in which the column before them is repeated.
fn spaced<T>(codes: &[u32]) -> Vec<u32> {
    let (page, gap) = (PAGE / size_of::<T>(), GAP / size_of::<T>());
    let mut spaced = Vec::with_capacity(codes.len() + codes.len() / page * gap);
    for codes in codes.chunks(page) {
        spaced.extend_from_slice(codes);
        if let (true, Some(&last)) = (codes.len() == page, codes.last()) {
            spaced.extend(std::iter::repeat_n(last, gap));
        }
    }
    spaced
}

const UNUSED: u32 = u32::MAX;

/// Bytes of a cache line.
const LINE: usize = 64;

/// Bytes of a cache that reading from costs little: a vector no larger is left as it is.
const CACHE: usize = 512 << 10;

/// How often a cache of that size, in which a line has one place, would have to fetch one.
fn misses(codes: &[u32], line: impl Fn(u32) -> usize) -> usize {
    let mut cached = vec![usize::MAX; CACHE / LINE];
    let mut misses = 0;
    for &code in codes {
        let line = line(code);
        let there = &mut cached[line % (CACHE / LINE)];
        misses += usize::from(*there != line);
        *there = line;
    }
    misses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    /// Of `n` rows, each with 6 entries that `column` gives.
    fn is_packed(n: usize, column: fn(usize, usize, usize) -> usize) -> bool {
        let mut codes = Vec::new();
        for row in 0..n {
            let mut columns: Vec<u32> = (0..6).map(|k| column(n, row, k) as u32).collect();
            columns.sort();
            codes.extend(columns);
        }
        let starts: Vec<u32> = (0..=n as u32).map(|row| 6 * row).collect();
        let packed = AtomicBool::new(false);
        testing::ranks([1], |world| {
            let columns = Distribution::even(world, n)?;
            let (mut numbers, runs) = (codes.clone(), [Run { rows: 0..n, edge: false }]);
            let numbering = number::<f64>(&mut numbers, &starts, &runs, n, &[], &columns);
            assert!(numbering.ghosts.is_empty());
            match numbering.packed {
                true => numbers.iter_mut().for_each(|number| *number = numbering.near[*number as usize]),
                false => assert!(numbering.near.is_empty()),
            }
            assert!(numbers == codes);
            packed.store(numbering.packed, Relaxed);
            Ok(())
        });
        packed.into_inner()
    }

    #[test]
    fn only_scattered_columns_that_are_read_again_are_packed() {
        // In one row what is scattered in another far away.
        let scattered = |n: usize, row: usize, k: usize| (row + 5000 * k) % n * 30_011 % n;
        assert!(is_packed(200_000, scattered));
        // So few that a cache holds them.
        assert!(!is_packed(20_000, scattered));
        // Scattered, and read again while it is still there.
        assert!(!is_packed(200_000, |n, row, k| (row + k) % n * 30_011 % n));
        // Near the diagonal.
        assert!(!is_packed(200_000, |n, row, k| (row + k * k * 1000) % n));
        // Scattered, and never again in the same order.
        assert!(!is_packed(200_000, |n, row, k| {
            ((row * 6 + k)
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .rotate_left(29)
                .wrapping_mul(0x2545_F491_4F6C_DD1D)
                >> 20)
                % n
        }));
    }
}
