//! Sums, extremes and checksums over all cells of a field.
//!
//! Ghost cells never count. Which cells a thread takes is in `owned`. Operators are in `comm::op`; how ranks' contributions meet is `Comm::allreduce`.

use super::{Field, global};
use crate::comm::{Element, Number, Op, Ordered};
use crate::error::Result;
use crate::op::{Max, Min, Sum};

/// Cells combined one after the other; above, halves are combined, so that rounding grows with the logarithm of
/// the number of cells only.
pub(super) const RUN: usize = 128;

/// Independent chains of a run, for the processor to work on at once.
const LANES: usize = 8;

impl<T: Element, const D: usize> Field<T, D> {
    /// Combines `map` of all cells with `op`; every rank gets the same answer. Collective. Local cells are combined
    /// in pairs of halves and in C order, unless the operator is commutative. On the rank's threads, with the same bits for any
    /// number of them; the bits of a sum depend on the number of ranks.
    ///
    /// ```
    /// # use rankine::{Field, Grid, op::Max};
    /// # rankine::testing::ranks([1, 2, 3], |world| {
    /// let grid = Grid::new(world, [6, 5])?;
    /// let field = Field::from_fn(&grid, |[y, x]| y as f64 - x as f64)?;
    /// assert_eq!(field.reduce(|v| v.abs(), Max)?, 5.0);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// A failure of the engine, or another rank's.
    #[track_caller]
    pub fn reduce<U: Element, O: Op<U>>(&self, map: impl Fn(T) -> U + Sync, op: O) -> Result<U> {
        let owned = self.owned();
        let of_piece = |planes| {
            let mut halves = Halves::new(op);
            owned.rows(planes, |_, row| row.chunks(RUN).for_each(|run| halves.push(of_run(run, &map, op))));
            halves.finish()
        };
        let mut halves = Halves::new(op);
        owned.in_order(of_piece, |value| halves.push(value));
        self.grid().allreduce(halves.finish(), op)
    }

    /// The sum of all cells, by pairs of halves; every rank gets the same answer. Collective.
    ///
    /// # Errors
    /// As [`Field::reduce`].
    #[track_caller]
    pub fn sum(&self) -> Result<T>
    where
        T: Number,
    {
        self.reduce(|value| value, Sum)
    }

    /// The smallest value; NaN if there is one. Collective.
    ///
    /// # Errors
    /// As [`Field::reduce`].
    #[track_caller]
    pub fn min(&self) -> Result<T>
    where
        T: Ordered,
    {
        self.reduce(|value| value, Min)
    }

    /// The largest value; NaN if there is one. Collective.
    ///
    /// # Errors
    /// As [`Field::reduce`].
    #[track_caller]
    pub fn max(&self) -> Result<T>
    where
        T: Ordered,
    {
        self.reduce(|value| value, Max)
    }

    /// A number that depends on the bits of every value and the index of its cell, and on nothing else: it is the
    /// same for any number of ranks. Not a cryptographic one. Collective.
    ///
    /// # Errors
    /// As [`Field::reduce`].
    #[track_caller]
    pub fn checksum(&self) -> Result<u64> {
        let (owned, start, points) = (self.owned(), self.own().start, self.points());
        let add = |sum: &mut u64, planes| {
            owned.rows(planes, |place, row| {
                let first = global(start, place);
                let index = (0..D).fold(0, |index, axis| index * points[axis] + first[axis]) as u64;
                for (index, value) in (index..).zip(row) {
                    *sum = sum.wrapping_add(mixed(index, bytemuck::bytes_of(value)));
                }
            });
        };
        let sum = owned.in_any_order(|| 0, add, u64::wrapping_add);
        self.grid().allreduce(sum, Sum)
    }
}

/// A few cells, in [`LANES`] chains where the order does not matter.
fn of_run<T: Element, U: Element, O: Op<U>>(run: &[T], map: &impl Fn(T) -> U, op: O) -> U {
    if O::COMMUTATIVE && run.len() >= 2 * LANES {
        let (head, rest) = run.split_at(LANES);
        let mut lanes: [U; LANES] = std::array::from_fn(|lane| map(head[lane]));
        let groups = rest.chunks_exact(LANES);
        let last = groups.remainder();
        for group in groups {
            for (lane, &value) in lanes.iter_mut().zip(group) {
                *lane = op.combine(*lane, map(value));
            }
        }
        let mut width = LANES;
        while width > 1 {
            width /= 2;
            for lane in 0..width {
                lanes[lane] = op.combine(lanes[lane], lanes[lane + width]);
            }
        }
        return last.iter().fold(lanes[0], |sum, &value| op.combine(sum, map(value)));
    }
    let first = map(run[0]);
    run[1..].iter().fold(first, |sum, &value| op.combine(sum, map(value)))
}

/// Combines values as they come, always two of the same weight: a binary counter whose digits are partial results.
pub(super) struct Halves<U, O> {
    op: O,
    parts: Vec<U>,
    count: usize,
}

impl<U: Element, O: Op<U>> Halves<U, O> {
    pub fn new(op: O) -> Self {
        Halves { op, parts: Vec::new(), count: 0 }
    }

    pub fn push(&mut self, mut value: U) {
        for _ in 0..self.count.trailing_ones() {
            if let Some(part) = self.parts.pop() {
                value = self.op.combine(part, value);
            }
        }
        self.parts.push(value);
        self.count += 1;
    }

    /// Of at least one value; of none it is nothing that counts.
    pub fn finish(self) -> U {
        let op = self.op;
        self.parts.into_iter().rev().reduce(|right, left| op.combine(left, right)).unwrap_or(U::zeroed())
    }
}

/// A 64-bit hash of a cell (the finaliser of SplitMix64, Steele et al. 2014, over index and value).
#[inline]
pub(crate) fn mixed(index: u64, value: &[u8]) -> u64 {
    let mut hash = mix(index.wrapping_add(0x9e37_79b9_7f4a_7c15));
    for word in value.chunks(8) {
        let mut bytes = [0; 8];
        bytes[..word.len()].copy_from_slice(word);
        hash = mix(hash ^ u64::from_le_bytes(bytes));
    }
    hash
}

#[inline]
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
