//! What belongs together by a key: brought to one rank, or combined to one item.

use super::{DistVec, Way};
use crate::error::Result;
use std::hash::{DefaultHasher, Hash, Hasher};

impl<T, W: Way<T>> DistVec<T, W> {
    /// Brings all items of one key to one rank, which a hash of the key chooses; those of one key keep their order. Collective.
    ///
    /// Which rank has a key depends on the number of ranks, and so does the order of items of different keys; keys
    /// with many items weigh on one rank.
    ///
    /// # Errors
    /// A failure of the engine; items that cannot be written or read.
    #[track_caller]
    pub fn shuffle_by_key<K: Hash>(mut self, key: impl Fn(&T) -> K) -> Result<Self> {
        let ranks = self.comm.size();
        let mut messages: Vec<(usize, Vec<T>)> = (0..ranks).map(|rank| (rank, Vec::new())).collect();
        for item in std::mem::take(&mut self.items) {
            let mut hasher = DefaultHasher::new();
            key(&item).hash(&mut hasher);
            messages[(hasher.finish() % ranks as u64) as usize].1.push(item);
        }
        let items = W::exchange(&self.comm, messages)?;
        Ok(self.with(items))
    }

    /// Combines all items of one key to one, in their order, with an associative operator that keeps the key. The answer is sorted by
    /// key and dealt evenly. Collective.
    ///
    /// Each rank combines its own first, so at most one item a key and rank travels, however many there are. Floating-point
    /// sums depend on the number of ranks in their last bits; sums of [`Exact`](crate::op::Exact) do not.
    ///
    /// # Errors
    /// A failure of the engine; items or keys that cannot be written or read.
    #[track_caller]
    pub fn reduce_by_key<K: Ord + Clone>(
        mut self,
        key: impl Fn(&T) -> K,
        mut op: impl FnMut(T, T) -> T,
    ) -> Result<Self>
    where
        W: Way<K>,
    {
        self.items.sort_by_key(&key);
        combine(&mut self.items, &key, &mut op);
        if self.comm.size() == 1 {
            return Ok(self);
        }
        let buckets = self.split(&key, false)?;
        let mut items = W::exchange(&self.comm, buckets)?;
        items.sort_by_key(&key);
        combine(&mut items, &key, &mut op);
        self.with::<T, W>(items).balance()
    }
}

/// Makes one of neighbours of one key.
fn combine<T, K: Ord>(items: &mut Vec<T>, key: &impl Fn(&T) -> K, op: &mut impl FnMut(T, T) -> T) {
    let mut combined: Vec<T> = Vec::new();
    for item in items.drain(..) {
        let item = match combined.pop() {
            Some(last) if key(&last) == key(&item) => op(last, item),
            Some(last) => {
                combined.push(last);
                item
            }
            None => item,
        };
        combined.push(item);
    }
    *items = combined;
}
