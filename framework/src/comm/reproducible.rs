//! Sums with the same bits for any number of ranks, any order and either engine: each is the exact sum, rounded once.
//!
//! How an exact sum is kept is in `op/exact`, which numbers have one in `op/summable`.

use super::Comm;
use super::op::{Exact, Max, Sum, Summable};
use crate::error::{Error, ErrorKind, Result};
use std::panic::Location;

/// Elements that `allreduce_reproducible` works on at a time, so that its buffers stay in the cache.
const PIECE: usize = 16 * 1024;

/// The fewest of them for one rank, so that messages between many ranks do not become tiny.
const LEAST: usize = 256;

impl Comm {
    /// The sum of all elements of all ranks, rounded once: the same bits however the elements lie on how many ranks,
    /// in any order, on either engine. Lengths may differ. Collective; every rank gets the answer.
    ///
    /// NaN, infinities, zeros: as [`Exact::value`]. It costs about as much as a plain sum of the elements, and the
    /// reduction of 280 bytes (560 for complex numbers) instead of 8.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3, 4], |world| {
    ///     // A hundred numbers, of which every rank has some.
    ///     let mine: Vec<f64> = (0..100).skip(world.rank()).step_by(world.size()).map(|i| 0.1 * i as f64).collect();
    ///     assert_eq!(world.sum_reproducible(&mine)?, 495.0);
    ///     // Nothing is lost where a plain sum loses everything.
    ///     let mine = if world.rank() == 0 { vec![1e300, 1.0, -1e300] } else { vec![] };
    ///     assert_eq!(world.sum_reproducible(&mine)?, 1.0);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// As [`Comm::allreduce`].
    #[track_caller]
    pub fn sum_reproducible<T: Summable>(&self, values: &[T]) -> Result<T> {
        let mut sums = [Exact::new(); 2];
        T::add_all(values, &mut sums);
        self.summed(&mut sums)
    }

    /// The dot product of `a` and `b` over all ranks (of complex numbers with `a` conjugated), with the same bits
    /// however the pairs lie on how many ranks, in any order, on either engine. Lengths may differ between ranks.
    /// Collective; every rank gets the answer.
    ///
    /// It is the exact one, rounded once, unless a product of two `f64` is so small (below 10⁻²⁹¹) that its last bits
    /// are no `f64`, or too large for one.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let (a, b) = ([1e8 + 1.0, 1.0, 1e8], [1e8 - 1.0, 1.0, -1e8]);
    ///     let mine = if world.rank() == world.size() - 1 { 0..3 } else { 0..0 };
    ///     assert_eq!(world.dot_reproducible(&a[mine.clone()], &b[mine])?, 0.0);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// `a` and `b` of different lengths; else as [`Comm::allreduce`].
    #[track_caller]
    pub fn dot_reproducible<T: Summable>(&self, a: &[T], b: &[T]) -> Result<T> {
        self.same_len("dot_reproducible", a.len(), b.len())?;
        let mut sums = [Exact::new(); 2];
        T::add_products(a, b, &mut sums);
        self.summed(&mut sums)
    }

    /// Sums `values` of all ranks, all of one length, element by element, and leaves the answer in it on every rank:
    /// each the exact sum, rounded once, so the same bits in any order of the ranks and on either engine. Collective.
    ///
    /// Every rank sums its share of the elements, so that as much travels as for an ordinary `allreduce`.
    ///
    /// ```
    /// rankine::testing::ranks([3], |world| {
    ///     let mut values = [[1e300, 0.1], [1.0, 0.2], [-1e300, 0.3]][world.rank()];
    ///     world.allreduce_reproducible(&mut values)?;
    ///     assert_eq!(values, [1.0, 0.6]);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// Ranks with different lengths ([`ErrorKind::Mismatch`], on every rank, before anything is summed); those of
    /// [`Comm::alltoall`].
    #[track_caller]
    pub fn allreduce_reproducible<T: Summable>(&self, values: &mut [T]) -> Result<()> {
        let (size, len) = (self.size(), values.len());
        // Shares are rounded up, so lengths that differ need not show in them.
        let [longest, shortest] = self.allreduce([len, !len], Max)?;
        if longest != !shortest {
            let what = format!(
                "allreduce_reproducible: {len} elements given; the ranks give {} to {longest}",
                !shortest
            );
            return Err(Error::new(ErrorKind::Mismatch, what)
                .help("every rank must give the same number of elements")
                .on_rank(self.rank())
                .at(Location::caller()));
        }
        if len == 0 {
            return Ok(());
        }
        let share = len.div_ceil(size).min((PIECE / size).max(LEAST));
        let mut mine = vec![T::zeroed(); share * size];
        let (mut all, mut sums) = (mine.clone(), vec![T::zeroed(); share]);
        for piece in values.chunks_mut(share * size) {
            let (used, unused) = mine.split_at_mut(piece.len());
            used.copy_from_slice(piece);
            unused.fill(T::zeroed());
            self.alltoall_into(&mine, &mut all)?;
            T::sum_columns(&all, &mut sums);
            self.allgather_into(&sums, &mut mine)?;
            piece.copy_from_slice(&mine[..piece.len()]);
        }
        Ok(())
    }

    #[track_caller]
    fn summed<T: Summable>(&self, sums: &mut [Exact; 2]) -> Result<T> {
        self.allreduce_in_place(&mut sums[..T::PARTS], Sum)?;
        Ok(T::rounded(&sums[..T::PARTS]))
    }

    #[track_caller]
    fn same_len(&self, call: &str, a: usize, b: usize) -> Result<()> {
        if a == b {
            return Ok(());
        }
        let what = format!("a has {a} elements, b has {b}");
        Err(self.usage(call, Location::caller(), what, "give both the same number of elements"))
    }
}
