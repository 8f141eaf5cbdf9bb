//! Products of a matrix and a vector, with the exchange behind them.
//!
//! The messages are in `gather`, the inner loops in `kernel`. Inner rows are multiplied while values of other ranks are on their way,
//! rows of the edge thereafter, each whole: so the order of a sum never depends on which rank has what.

use super::gather::Gather;
use super::matrix::{Moving, Run};
use super::{SparseMatrix, Value, Vector, kernel};
use crate::error::Result;
use rayon::prelude::*;

/// Entries that are multiplied between two looks at the messages: some 50 µs.
const POLL: usize = 1 << 16;

impl<T: Value> SparseMatrix<T> {
    /// y = A·x. The same bits for any number of ranks and threads. Every rank calls it; it allocates nothing.
    ///
    /// # Errors
    /// An `x` that is not of the columns' distribution or a `y` that is not of the rows'; a failure of the engine.
    #[track_caller]
    pub fn multiply(&self, x: &Vector<T>, y: &mut Vector<T>) -> Result<()> {
        self.product::<false>("multiply", x, y)
    }

    /// y += A·x: as [`SparseMatrix::multiply`], each row's sum added to what was there.
    ///
    /// ```
    /// use rankine::sparse::{Distribution, SparseMatrix, Vector};
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let rows = Distribution::even(world, 4)?;
    ///     let a = SparseMatrix::from_rows(&rows, &rows, |row, entries| entries.push((3 - row, 2.0)))?;
    ///     let (x, mut y) = (Vector::from_fn(&rows, |i| i as f64), Vector::filled(&rows, 1.0));
    ///     a.multiply_add(&x, &mut y)?;
    ///     assert_eq!(y.gather()?, [7.0, 5.0, 3.0, 1.0]);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// As [`SparseMatrix::multiply`].
    #[track_caller]
    pub fn multiply_add(&self, x: &Vector<T>, y: &mut Vector<T>) -> Result<()> {
        self.product::<true>("multiply_add", x, y)
    }

    #[track_caller]
    fn product<const ADD: bool>(&self, call: &str, x: &Vector<T>, y: &mut Vector<T>) -> Result<()> {
        self.columns.check(call, "x", x.rows())?;
        self.rows.check(call, "y", y.rows())?;
        let (x, y) = (x.local(), y.local_mut());
        let Moving { gather, work } = &mut *self.moving.borrow_mut();
        gather.start(x)?;
        let (near, ghosts) = work.split_at_mut(self.near.len());
        kernel::pick(near, x, &self.near, POLL, || gather.poll())?;
        let inner = if self.packed { &*near } else { x };
        for run in self.runs.iter().filter(|run| !run.edge) {
            self.pieces::<ADD>(run, inner, y, Some(&mut *gather))?;
        }
        gather.finish(ghosts)?;
        for run in self.runs.iter().filter(|run| run.edge) {
            self.pieces::<ADD>(run, work, y, None)?;
        }
        Ok(())
    }

    /// y = Aᵀ·x: `x` is of the rows' distribution, `y` of the columns'. Sums of several ranks' parts are made in the order
    /// of the ranks, so their last bits depend on how many there are. Every rank calls it; the first call sets up messages.
    ///
    /// # Errors
    /// As [`SparseMatrix::multiply`].
    #[track_caller]
    pub fn multiply_transposed(&self, x: &Vector<T>, y: &mut Vector<T>) -> Result<()> {
        self.transposed("multiply_transposed", x, y, false)
    }

    /// y = Aᴴ·x, of the conjugate transpose; as [`SparseMatrix::multiply_transposed`].
    ///
    /// # Errors
    /// As [`SparseMatrix::multiply`].
    #[track_caller]
    pub fn multiply_adjoint(&self, x: &Vector<T>, y: &mut Vector<T>) -> Result<()> {
        self.transposed("multiply_adjoint", x, y, true)
    }

    #[track_caller]
    fn transposed(&self, call: &str, x: &Vector<T>, y: &mut Vector<T>, conjugate: bool) -> Result<()> {
        self.rows.check(call, "x", x.rows())?;
        self.columns.check(call, "y", y.rows())?;
        let (x, y) = (x.local(), y.local_mut());
        let Moving { gather, work } = &mut *self.moving.borrow_mut();
        work.fill(T::default());
        y.fill(T::default());
        let add = |run: &Run, to: &mut [T]| {
            let starts = &self.starts[run.rows.start..=run.rows.end];
            kernel::multiply_transposed(
                starts,
                &self.numbers,
                &self.values,
                &x[run.rows.clone()],
                to,
                conjugate,
            );
        };
        self.runs.iter().filter(|run| run.edge).for_each(|run| add(run, work));
        gather.start_back(&work[self.near.len()..])?;
        let (near, _) = work.split_at_mut(self.near.len());
        self.runs.iter().filter(|run| !run.edge).for_each(|run| add(run, if self.packed { near } else { y }));
        self.near.iter().zip(&*near).for_each(|(&column, &value)| y[column as usize] += value);
        gather.finish_back(y)
    }

    /// Multiplies a run of rows, in pieces between which the messages are looked at.
    #[track_caller]
    fn pieces<const ADD: bool>(
        &self,
        run: &Run,
        x: &[T],
        y: &mut [T],
        mut messages: Option<&mut Gather<T>>,
    ) -> Result<()> {
        let threads = rayon::current_num_threads();
        let (numbers, values) = (&self.numbers[..], &self.values[..]);
        let mut at = run.rows.start;
        while at < run.rows.end {
            let most = (self.starts[at] as usize).saturating_add(POLL * threads);
            let fit = self.starts[at + 1..=run.rows.end].partition_point(|&end| end as usize <= most);
            let end = at + fit.max(1);
            let (starts, y) = (&self.starts[at..=end], &mut y[at..end]);
            if threads == 1 {
                kernel::multiply::<T, ADD>(starts, numbers, values, x, y);
            } else {
                let each = y.len().div_ceil(threads);
                y.par_chunks_mut(each).enumerate().for_each(|(part, y)| {
                    let starts = &starts[part * each..=part * each + y.len()];
                    kernel::multiply::<T, ADD>(starts, numbers, values, x, y);
                });
            }
            if let Some(messages) = &mut messages {
                messages.poll()?;
            }
            at = end;
        }
        Ok(())
    }
}
