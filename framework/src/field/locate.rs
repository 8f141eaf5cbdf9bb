//! Where the extremes of a field are, and how its values are spread.
//!
//! The extremes alone are in `reduce`.

use super::{Field, global};
use crate::comm::{Element, Op};
use crate::error::{Error, Result};
use crate::op::{Located, Max, MaxLoc, MinLoc, Sum};
use crate::output::Numeric;
use std::ops::Range;
use std::panic::Location;

/// How many values of a field are where; from [`Field::histogram`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Values in each bin, from the lowest on. A bin has its lower edge and not its upper one.
    pub bins: Vec<u64>,
    /// Values below the range.
    pub below: u64,
    /// Values from the end of the range on.
    pub above: u64,
    /// Values that are no numbers.
    pub nan: u64,
}

impl<T: Element, const D: usize> Field<T, D> {
    /// The smallest value and the global index of its point: the lowest index, in C order, among equals; a NaN goes
    /// before all numbers. The same on any number of ranks. Collective.
    ///
    /// ```
    /// # use rankine::{Field, Grid};
    /// rankine::testing::ranks([1, 2, 3, 4], |world| {
    ///     let field = Field::from_fn(&Grid::new(world, [5, 6])?, |[y, x]| (y + x) % 4)?;
    ///     assert_eq!(field.max_at()?, (3, [0, 3]));
    ///     assert_eq!(field.min_at()?, (0, [0, 0]));
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// As [`Field::reduce`].
    #[track_caller]
    pub fn min_at(&self) -> Result<(T, [usize; D])>
    where
        T: PartialOrd,
    {
        self.located(MinLoc)
    }

    /// The largest value and where it is; as [`min_at`](Field::min_at). Collective.
    ///
    /// # Errors
    /// As [`Field::reduce`].
    #[track_caller]
    pub fn max_at(&self) -> Result<(T, [usize; D])>
    where
        T: PartialOrd,
    {
        self.located(MaxLoc)
    }

    #[track_caller]
    fn located<O: Op<Located<T>>>(&self, op: O) -> Result<(T, [usize; D])>
    where
        T: PartialOrd,
    {
        let (owned, start, points) = (self.owned(), self.own().start, self.points());
        let add = |best: &mut Option<Located<T>>, planes| {
            owned.rows(planes, |place, row| {
                let first = global(start, place);
                let index = (0..D).fold(0, |index, axis| index * points[axis] + first[axis]);
                for (at, &value) in (index..).zip(row) {
                    let here = Located::new(value, at);
                    *best = Some(best.map_or(here, |best| op.combine(best, here)));
                }
            });
        };
        // Of equal values the lowest index counts, so any order gives the same.
        let merge = |a: Option<Located<T>>, b| match (a, b) {
            (Some(a), Some(b)) => Some(op.combine(a, b)),
            (a, b) => a.or(b),
        };
        let best = owned.in_any_order(|| None, add, merge);
        let best = self.grid().allreduce(best.unwrap_or(Located::new(T::zeroed(), usize::MAX)), op)?;
        let (mut index, mut rest) = ([0; D], best.at());
        for axis in (0..D).rev() {
            index[axis] = rest % points[axis];
            rest /= points[axis];
        }
        Ok((best.value(), index))
    }

    /// How many values there are in each of `bins` parts of a range, all of one width. Counts do not depend on the number
    /// of ranks. Collective; every rank gives the same range and number.
    ///
    /// ```
    /// # use rankine::{Field, Grid};
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let field = Field::from_fn(&Grid::new(world, [10])?, |[x]| x as f64)?;
    ///     let histogram = field.histogram(2.0..8.0, 3)?;
    ///     assert_eq!((histogram.below, &histogram.bins[..], histogram.above), (2, &[2, 2, 2][..], 2));
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// No bins, or a range that is not one of numbers; ranks that give different ones; a failure of the engine.
    #[track_caller]
    pub fn histogram(&self, range: Range<f64>, bins: usize) -> Result<Histogram>
    where
        T: Numeric,
    {
        let place = Location::caller();
        let comm = self.grid().comm();
        let key = [range.start.to_bits(), range.end.to_bits(), bins as u64];
        let known = comm.allreduce([key, key.map(|word| !word)], Max)?;
        let bad = |what: String, help: &str| {
            Err(Error::usage(format!("histogram: {what}")).help(help).on_rank(comm.rank()).at(place))
        };
        if known[0] != known[1].map(|word| !word) {
            return bad(
                format!("{bins} bins of {range:?} on this rank, others elsewhere"),
                "every rank must give the same range and number of bins",
            );
        }
        if !((range.end - range.start).is_finite() && range.start < range.end) {
            return bad(format!("a range {range:?}"), "give two numbers, the smaller one first");
        }
        if bins == 0 || bins > 1 << 24 {
            return bad(format!("{bins} bins"), "give 1 to 2^24 bins");
        }
        // Below, above, and what is no number come last.
        let (owned, width) = (self.owned(), range.end - range.start);
        let add = |counts: &mut Vec<u64>, planes| {
            owned.rows(planes, |_, row| {
                for &value in row {
                    let value = value.to_f64();
                    let at = if value.is_nan() {
                        bins + 2
                    } else if value < range.start {
                        bins
                    } else if value >= range.end {
                        bins + 1
                    } else {
                        // Rounding may lift a value just below the end to it.
                        (((value - range.start) / width * bins as f64) as usize).min(bins - 1)
                    };
                    counts[at] += 1;
                }
            })
        };
        let merge = |mut a: Vec<u64>, b: Vec<u64>| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            a
        };
        let mut counts = owned.in_any_order(|| vec![0u64; bins + 3], add, merge);
        comm.allreduce_in_place(&mut counts, Sum)?;
        let (below, above, nan) = (counts[bins], counts[bins + 1], counts[bins + 2]);
        counts.truncate(bins);
        Ok(Histogram { bins: counts, below, above, nan })
    }
}
