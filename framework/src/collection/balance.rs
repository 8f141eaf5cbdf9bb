//! Dealing items to ranks by where they stand: evenly, or by weight, in the order they have.

use super::{DistVec, Way};
use crate::error::Result;
use crate::op::Sum;
use std::ops::Range;

/// The items of a rank where `total` are dealt evenly; the first ranks have the remainder.
pub(super) fn share(total: usize, ranks: usize, rank: usize) -> Range<usize> {
    let (each, more) = (total / ranks, total % ranks);
    let start = rank * each + rank.min(more);
    start..start + each + usize::from(rank < more)
}

/// The rank whose share an item is in.
fn sharer(total: usize, ranks: usize, item: usize) -> usize {
    let (each, more) = (total / ranks, total % ranks);
    match item.checked_sub(more * (each + 1)) {
        None => item / (each + 1),
        Some(behind) => more + behind / each.max(1),
    }
}

impl<T, W: Way<T>> DistVec<T, W> {
    /// Deals the items evenly, so that no rank has more than one more than another; their order stays. Only those that
    /// must move do. Collective.
    ///
    /// ```
    /// use rankine::DistVec;
    /// rankine::testing::ranks([1, 2, 3, 4], |world| {
    ///     // All of them on the last rank.
    ///     let last = world.rank() + 1 == world.size();
    ///     let all = DistVec::new(world, if last { 0..100 } else { 0..0 })?.balance()?;
    ///     assert!(all.local().len().abs_diff(100 / world.size()) <= 1);
    ///     assert_eq!(all.to_vec()?, (0..100).collect::<Vec<_>>());
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// A failure of the engine; items that cannot be written or read.
    #[track_caller]
    pub fn balance(mut self) -> Result<Self> {
        let (ranks, total, start) = (self.comm.size(), self.len()?, self.start()?);
        let mut messages = Vec::new();
        let mut items = std::mem::take(&mut self.items).into_iter();
        let mut at = start;
        while items.len() > 0 {
            let to = sharer(total, ranks, at);
            let some: Vec<T> = items.by_ref().take(share(total, ranks, to).end - at).collect();
            at += some.len();
            messages.push((to, some));
        }
        let items = W::exchange(&self.comm, messages)?;
        Ok(self.with(items))
    }

    /// Deals the items so that all ranks have about as much weight; their order stays. Weights are sums of the
    /// given ones, which must not be negative; where all are zero, all items count alike. Collective.
    ///
    /// # Errors
    /// A weight that is negative, NaN or infinite; a failure of the engine; items that cannot be written or read.
    #[track_caller]
    pub fn balance_by_weight(mut self, mut weight: impl FnMut(&T) -> f64) -> Result<Self> {
        let weights: Vec<f64> = self.items.iter().map(&mut weight).collect();
        let bad = weights.iter().find(|weight| !(**weight >= 0.0 && weight.is_finite()));
        let checked = match bad {
            None => Ok(()),
            Some(bad) => Err(self.comm.usage(
                "balance_by_weight",
                std::panic::Location::caller(),
                format!("a weight of {bad}"),
                "give weights that are not negative and not infinite",
            )),
        };
        self.comm.agree(checked)?;
        let mine: f64 = weights.iter().sum();
        let [total, most] = self.comm.allreduce([mine, 0.0], Sum)?;
        if total <= most {
            return self.balance();
        }
        let before = self.comm.exscan(mine, Sum)?.unwrap_or(0.0);
        let ranks = self.comm.size();
        let mut messages: Vec<(usize, Vec<T>)> = Vec::new();
        let (mut sum, mut last) = (before, 0);
        for (item, weight) in std::mem::take(&mut self.items).into_iter().zip(weights) {
            // By the middle of its weight; rounding must not turn the order round.
            let to = ((sum + 0.5 * weight) / total * ranks as f64) as usize;
            last = to.min(ranks - 1).max(last);
            sum += weight;
            match messages.last_mut() {
                Some((to, items)) if *to == last => items.push(item),
                _ => messages.push((last, vec![item])),
            }
        }
        let items = W::exchange(&self.comm, messages)?;
        Ok(self.with(items))
    }
}
