//! `Distribution`: how the indices of vectors, and the rows and columns of matrices, are dealt to ranks.
//!
//! Every rank has one range of them, of any length, in the order of the ranks. Cells of a grid are dealt in blocks, by
//! `grid`.

use crate::comm::Comm;
use crate::error::{Error, ErrorKind, Result};
use crate::op::Max;
use std::ops::Range;
use std::panic::Location;
use std::rc::Rc;

/// The indices `0..total`, a range of them for every rank. Cloning is cheap; clones are the same distribution.
///
/// ```
/// use rankine::sparse::Distribution;
/// rankine::testing::ranks([1, 2, 3], |world| {
///     let even = Distribution::even(world, 10)?;
///     assert!(even.range().len() >= 10 / world.size());
///     // Rank r has r indices: rank 0 has none.
///     let steps = Distribution::of_local(world, world.rank())?;
///     assert_eq!(steps.total(), world.size() * (world.size() - 1) / 2);
///     assert_eq!(steps.owner(0), (world.size() > 1).then_some(1));
///     Ok(())
/// });
/// ```
#[derive(Clone)]
pub struct Distribution(Rc<Inner>);

struct Inner {
    comm: Comm,
    /// Where each rank's range begins, and the end of the last.
    starts: Vec<usize>,
}

impl Distribution {
    /// Ranges that differ by one index at most, the longer ones first. Collective, on a communicator of its own.
    ///
    /// # Errors
    /// Ranks that give different totals.
    #[track_caller]
    pub fn even(comm: &Comm, total: usize) -> Result<Distribution> {
        let [largest, smallest] = comm.allreduce([total as u64, !(total as u64)], Max)?;
        if largest != !smallest {
            let what = format!(
                "Distribution::even: {total} indices here; the ranks give {} to {largest}",
                !smallest
            );
            return Err(Error::new(ErrorKind::Mismatch, what)
                .help("every rank must give the same total; of_local takes each rank's own share")
                .on_rank(comm.rank())
                .at(Location::caller()));
        }
        let (each, more) = (total / comm.size(), total % comm.size());
        let starts = (0..=comm.size()).map(|rank| rank * each + rank.min(more)).collect();
        Ok(Distribution(Rc::new(Inner { comm: comm.dup()?, starts })))
    }

    /// Each rank's range is as long as it says. Collective, on a communicator of its own.
    ///
    /// # Errors
    /// More indices than can be counted.
    #[track_caller]
    pub fn of_local(comm: &Comm, len: usize) -> Result<Distribution> {
        let lens = comm.allgather(&[len])?;
        let mut starts = Vec::with_capacity(lens.len() + 1);
        starts.push(0usize);
        for len in lens {
            let Some(end) = starts[starts.len() - 1].checked_add(len) else {
                return Err(Error::usage("Distribution::of_local: more indices than can be counted")
                    .help("give fewer on each rank")
                    .on_rank(comm.rank())
                    .at(Location::caller()));
            };
            starts.push(end);
        }
        Ok(Distribution(Rc::new(Inner { comm: comm.dup()?, starts })))
    }

    /// How many indices all ranks have together.
    pub fn total(&self) -> usize {
        self.0.starts[self.0.starts.len() - 1]
    }

    /// This rank's indices.
    pub fn range(&self) -> Range<usize> {
        let rank = self.0.comm.rank();
        self.0.starts[rank]..self.0.starts[rank + 1]
    }

    /// How many indices this rank has.
    #[expect(clippy::len_without_is_empty, reason = "is_empty would say nothing of the other ranks")]
    pub fn len(&self) -> usize {
        self.range().len()
    }

    /// The indices of rank `rank`; `None` if there is no such rank. Local.
    pub fn range_of(&self, rank: usize) -> Option<Range<usize>> {
        Some(*self.0.starts.get(rank)?..*self.0.starts.get(rank.checked_add(1)?)?)
    }

    /// The rank that has an index; `None` beyond the last. Local.
    pub fn owner(&self, index: usize) -> Option<usize> {
        (index < self.total()).then(|| self.0.starts.partition_point(|&start| start <= index) - 1)
    }

    /// Its own communicator: the ranks it was made over, in the same order.
    pub fn comm(&self) -> &Comm {
        &self.0.comm
    }

    /// Whether every rank has the same indices in both.
    pub fn same(&self, other: &Distribution) -> bool {
        Rc::ptr_eq(&self.0, &other.0) || self.0.starts == other.0.starts
    }
}

impl std::fmt::Debug for Distribution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Distribution({} indices, {:?} here)", self.total(), self.range())
    }
}
