//! Sorting over all ranks: sample sort by regular sampling (Shi and Schaeffer 1992), stable, and balanced whatever the keys are.
//!
//! A sample is a key with the place of its item, so no two are equal: splitters cut also where all keys are the same.

use super::{DistVec, Way};
use crate::comm::Comm;
use crate::error::Result;
use crate::op::Sum;

/// Samples for each pair of ranks, and at most so many in all: the buckets differ by a part of a rank's share.
const OVERSAMPLED: usize = 4;
const MOST_SAMPLES: usize = 1 << 16;

impl<T, W: Way<T>> DistVec<T, W> {
    /// Sorts by a key, all ranks' items together; those of one key keep their order. Every rank has the same number of items
    /// afterwards, but for one. Collective.
    ///
    /// Each item travels to its bucket and, as far as the buckets differ, a little further. [`f64`]s have no order of keys:
    /// [`ordered`](super::ordered) makes one of their bits.
    ///
    /// ```
    /// use rankine::DistVec;
    /// rankine::testing::ranks([1, 2, 3, 4], |world| {
    ///     let digits = DistVec::generate(world, 12, |i| [(i * 7 % 3) as u32, i as u32])?;
    ///     let sorted = digits.sort_by_key(|item| item[0])?.map(|item| item[1]);
    ///     assert_eq!(sorted.to_vec()?, [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// A failure of the engine; items or keys that cannot be written or read.
    #[track_caller]
    pub fn sort_by_key<K: Ord + Clone>(mut self, key: impl Fn(&T) -> K) -> Result<Self>
    where
        W: Way<K>,
    {
        self.items.sort_by_key(&key);
        if self.comm.size() == 1 {
            return Ok(self);
        }
        let buckets = self.split(&key, true)?;
        let mut items = W::exchange(&self.comm, buckets)?;
        // What came are sorted runs in the order of their ranks, which this sort finds.
        items.sort_by_key(&key);
        self.with::<T, W>(items).balance()
    }

    /// Sorts the items themselves; as [`DistVec::sort_by_key`].
    ///
    /// # Errors
    /// As [`DistVec::sort_by_key`].
    #[track_caller]
    pub fn sort(self) -> Result<Self>
    where
        T: Ord + Clone,
    {
        self.sort_by_key(T::clone)
    }

    /// This rank's items, which are sorted, by the rank they go to. Items of one key may go to different ranks only where
    /// `apart` is.
    #[track_caller]
    pub(super) fn split<K: Ord + Clone>(
        &mut self,
        key: &impl Fn(&T) -> K,
        apart: bool,
    ) -> Result<Vec<(usize, Vec<T>)>>
    where
        W: Way<K>,
    {
        let splitters = splitters::<T, K, W>(&self.comm, &self.items, key)?;
        let (rank, mut items) = (self.comm.rank(), std::mem::take(&mut self.items));
        let mut buckets = Vec::with_capacity(splitters.len() + 1);
        for (bucket, splitter) in splitters.iter().enumerate().rev() {
            let cut = partition_point(items.len(), |at| match apart {
                true => (&key(&items[at]), rank, at) < (&splitter.0, splitter.1, splitter.2),
                false => key(&items[at]) < splitter.0,
            });
            buckets.push((bucket + 1, items.split_off(cut)));
        }
        buckets.push((0, items));
        Ok(buckets)
    }
}

/// As the slices' own, over indices.
fn partition_point(len: usize, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

/// A key, and the rank and place of its item.
type Sample<K> = (K, usize, usize);

/// One fewer than there are ranks, in ascending order; the same on every rank.
#[track_caller]
fn splitters<T, K: Ord + Clone, W: Way<K>>(
    comm: &Comm,
    items: &[T],
    key: &impl Fn(&T) -> K,
) -> Result<Vec<Sample<K>>> {
    let ranks = comm.size();
    let total = comm.allreduce(items.len(), Sum)?;
    let wanted = (OVERSAMPLED * ranks * ranks).min(MOST_SAMPLES.max(ranks)).min(total.max(1));
    let step = total.div_ceil(wanted).max(1);
    // The middle of every step.
    let places: Vec<usize> = (0..items.len()).skip(step / 2).step_by(step).collect();
    let keys = W::allgather(comm, places.iter().map(|&at| key(&items[at])).collect())?;
    let (places, counts) = comm.allgatherv(&places)?;
    let of_rank = counts.iter().enumerate().flat_map(|(rank, &count)| std::iter::repeat_n(rank, count));
    let mut samples: Vec<Sample<K>> =
        keys.into_iter().zip(of_rank).zip(places).map(|((key, rank), at)| (key, rank, at)).collect();
    samples.sort();
    let cut = |bucket: usize| samples.get(bucket * samples.len() / ranks).cloned();
    Ok((1..ranks).filter_map(cut).collect())
}
