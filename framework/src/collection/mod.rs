//! `DistVec`: a collection whose items are dealt to ranks, in one order over all of them.
//!
//! The order is that of the ranks, and within a rank that of its items. What is done with a collection keeps it or makes a new
//! one, the same on any number of ranks; where an item lies is the collection's business. Vectors to compute with are in
//! `sparse`, arrays on grids in `field`.
//!
//! `way` is how items travel; `sort` and `by_key` are what moves them by what they are, `balance` what moves them by where
//! they stand.

mod balance;
mod by_key;
mod sort;
mod store;
mod way;

pub use way::{Plain, Serde, Way};

use crate::comm::Comm;
use crate::error::Result;
use crate::op::Sum;
use std::marker::PhantomData;
use std::rc::Rc;

/// Items of type `T`, some on every rank, in one order over all.
///
/// They travel as plain [`Element`](crate::Element)s, in bulk ([`Plain`], as if not said), or as anything serde can write ([`Serde`]).
///
/// ```
/// use rankine::DistVec;
/// rankine::testing::ranks([1, 2, 3, 4], |world| {
///     let squares = DistVec::generate(world, 10, |i| (i * i) as u64)?;
///     let odd = squares.filter(|x| x % 2 == 1).map(|x| 1000 - x);
///     let sorted = odd.sort_by_key(|x| *x)?;
///     assert_eq!(sorted.to_vec()?, [919, 951, 975, 991, 999]);
///
///     // Words are no plain elements; serde writes them.
///     let words = DistVec::generate_values(world, 6, |i| ["the", "cat", "the", "dog", "the", "end"][i].to_string())?;
///     let counts = words
///         .map(|word| (word, 1))
///         .reduce_by_key(|pair| pair.0.clone(), |a, b| (a.0, a.1 + b.1))?;
///     let expected = [("cat", 1), ("dog", 1), ("end", 1), ("the", 3)].map(|(word, n)| (word.to_string(), n));
///     assert_eq!(counts.to_vec()?, expected);
///     Ok(())
/// });
/// ```
pub struct DistVec<T, W = Plain> {
    comm: Rc<Comm>,
    items: Vec<T>,
    way: PhantomData<W>,
}

impl<T> DistVec<T, Plain>
where
    Plain: Way<T>,
{
    /// This rank's items. Collective, on a communicator of its own.
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn new(comm: &Comm, items: impl IntoIterator<Item = T>) -> Result<Self> {
        DistVec::over(comm, items)
    }

    /// Items 0 to `total`, dealt evenly. Collective: every rank gives the same total.
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn generate(comm: &Comm, total: usize, item: impl FnMut(usize) -> T) -> Result<Self> {
        DistVec::over(comm, balance::share(total, comm.size(), comm.rank()).map(item))
    }
}

impl<T> DistVec<T, Serde>
where
    Serde: Way<T>,
{
    /// As [`DistVec::new`], of items that serde writes.
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn of_values(comm: &Comm, items: impl IntoIterator<Item = T>) -> Result<Self> {
        DistVec::over(comm, items)
    }

    /// As [`DistVec::generate`], of items that serde writes.
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn generate_values(comm: &Comm, total: usize, item: impl FnMut(usize) -> T) -> Result<Self> {
        DistVec::over(comm, balance::share(total, comm.size(), comm.rank()).map(item))
    }
}

impl<T, W: Way<T>> DistVec<T, W> {
    #[track_caller]
    fn over(comm: &Comm, items: impl IntoIterator<Item = T>) -> Result<Self> {
        Ok(DistVec { comm: Rc::new(comm.dup()?), items: items.into_iter().collect(), way: PhantomData })
    }

    fn with<U, V: Way<U>>(self, items: Vec<U>) -> DistVec<U, V> {
        DistVec { comm: self.comm, items, way: PhantomData }
    }

    /// The ranks that it is dealt to.
    pub fn comm(&self) -> &Comm {
        &self.comm
    }

    /// This rank's items.
    pub fn local(&self) -> &[T] {
        &self.items
    }

    /// This rank's items, to be changed. A rank may do so alone.
    pub fn local_mut(&mut self) -> &mut [T] {
        &mut self.items
    }

    /// This rank's items.
    pub fn into_local(self) -> Vec<T> {
        self.items
    }

    /// How many items all ranks have. Collective.
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    #[expect(clippy::len_without_is_empty, reason = "collective: one question is enough")]
    pub fn len(&self) -> Result<usize> {
        self.comm.allreduce(self.items.len(), Sum)
    }

    /// How many items stand before this rank's first one. Collective.
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn start(&self) -> Result<usize> {
        Ok(self.comm.exscan(self.items.len(), Sum)?.unwrap_or(0))
    }

    /// What `f` makes of each item. Local.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> DistVec<U, W>
    where
        W: Way<U>,
    {
        self.map_as(f)
    }

    /// As [`DistVec::map`], of items that travel in another way: `map_as::<_, Serde>(…)`. Local.
    pub fn map_as<U, V: Way<U>>(mut self, f: impl FnMut(T) -> U) -> DistVec<U, V> {
        let items = std::mem::take(&mut self.items).into_iter().map(f).collect();
        self.with(items)
    }

    /// All that `f` makes of each item, one after the other. Local.
    pub fn flat_map<U, I: IntoIterator<Item = U>>(mut self, f: impl FnMut(T) -> I) -> DistVec<U, W>
    where
        W: Way<U>,
    {
        let items = std::mem::take(&mut self.items).into_iter().flat_map(f).collect();
        self.with(items)
    }

    /// The items that `keep` is true for, where they are; [`DistVec::balance`] deals them evenly again. Local.
    pub fn filter(mut self, mut keep: impl FnMut(&T) -> bool) -> Self {
        self.items.retain(|item| keep(item));
        self
    }

    /// What `op` makes of all of them, in order: an associative operator; `None` of nothing. Collective.
    ///
    /// # Errors
    /// A failure of the engine; items that cannot be written or read.
    #[track_caller]
    pub fn reduce(mut self, mut op: impl FnMut(T, T) -> T) -> Result<Option<T>> {
        let mine = std::mem::take(&mut self.items).into_iter().reduce(&mut op);
        let all = W::allgather(&self.comm, mine.into_iter().collect())?;
        Ok(all.into_iter().reduce(op))
    }

    /// All items, in order, on every rank: for small collections. Collective.
    ///
    /// # Errors
    /// A failure of the engine; items that cannot be written or read.
    #[track_caller]
    pub fn to_vec(&self) -> Result<Vec<T>>
    where
        T: Clone,
    {
        W::allgather(&self.comm, self.items.clone())
    }

    /// All items, in order, on one rank; `None` on the others. Collective.
    ///
    /// # Errors
    /// A rank that is not there; a failure of the engine; items that cannot be written or read.
    #[track_caller]
    pub fn gather(mut self, root: usize) -> Result<Option<Vec<T>>> {
        let items = std::mem::take(&mut self.items);
        let bad = root >= self.comm.size();
        let to = if bad {
            Err(crate::Error::usage(format!("DistVec::gather: rank {root} is not there")))
        } else {
            Ok(())
        };
        self.comm.agree(to)?;
        let got = W::exchange(&self.comm, vec![(root, items)])?;
        Ok((self.comm.rank() == root).then_some(got))
    }
}

/// A key that orders floating-point numbers as they are ordered: -NaN, -∞ … -0.0, 0.0 … ∞, NaN.
pub fn ordered(x: f64) -> i64 {
    let bits = x.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

impl<T: Clone, W> Clone for DistVec<T, W> {
    fn clone(&self) -> Self {
        DistVec { comm: self.comm.clone(), items: self.items.clone(), way: PhantomData }
    }
}

impl<T, W> std::fmt::Debug for DistVec<T, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DistVec({} {} here)", self.items.len(), std::any::type_name::<T>())
    }
}
