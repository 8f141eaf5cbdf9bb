//! `ProcessGrid`: the ranks of a communicator as a rectangle, with a communicator for each row and column.
//!
//! Which rank has which entries of a matrix is in `layout`. Grids of cells are `crate::grid`'s.

use crate::comm::{Comm, Comparison};
use crate::error::{Error, ErrorKind, Result};
use crate::op::Max;
use std::panic::Location;
use std::rc::Rc;

/// Ranks in rows and columns, rank after rank along a row (as the BLACS do by default). Cloning is cheap; clones are the
/// same grid.
///
/// ```
/// use rankine::matrix::ProcessGrid;
/// rankine::testing::ranks([1, 2, 6, 7], |world| {
///     let grid = ProcessGrid::new(world)?;
///     let [rows, columns] = grid.shape();
///     assert_eq!(rows * columns, world.size());
///     if world.size() == 6 {
///         assert_eq!(grid.shape(), [3, 2]);
///     }
///     assert_eq!(grid.row().size(), columns);
///     let [r, c] = grid.place();
///     assert_eq!(grid.rank_of([r, c]), Some(world.rank()));
///     Ok(())
/// });
/// ```
#[derive(Clone)]
pub struct ProcessGrid(Rc<Inner>);

struct Inner {
    comm: Rc<Comm>,
    shape: [usize; 2],
    row: Comm,
    column: Comm,
}

impl ProcessGrid {
    /// As near to a square as the number of ranks allows, not wider than high: a product packs its panel of A anew for as
    /// many columns as a rank has, so blocks that are wide are multiplied faster than high ones (by a tenth, on 2 ranks). A
    /// prime number of ranks is one column. Collective.
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn new(comm: &Comm) -> Result<ProcessGrid> {
        let size = comm.size();
        let columns = (1..=size.isqrt()).rev().find(|columns| size.is_multiple_of(*columns)).unwrap_or(1);
        Self::with_shape(comm, size / columns, columns)
    }

    /// So many rows and columns. Collective.
    ///
    /// # Errors
    /// Another number of places than ranks; ranks that disagree. Every rank gets one.
    #[track_caller]
    pub fn with_shape(comm: &Comm, rows: usize, columns: usize) -> Result<ProcessGrid> {
        let place = Location::caller();
        same_everywhere(comm, "ProcessGrid", &[rows, columns], place)?;
        if rows.checked_mul(columns) != Some(comm.size()) {
            let what = format!("{rows} rows and {columns} columns for {} ranks", comm.size());
            let help =
                "rows times columns must be the number of ranks; split the communicator to leave some out";
            return Err(comm.usage("ProcessGrid", place, what, help));
        }
        let comm = comm.dup()?;
        let [r, c] = [comm.rank() / columns, comm.rank() % columns];
        let part = |color: usize, key: usize| comm.split(Some(color as u32), key as i64);
        let (row, column) = (part(r, c)?, part(c, r)?);
        let missing = || Error::new(ErrorKind::Engine, "a split gave no communicator").on_rank(comm.rank());
        let (row, column) = (row.ok_or_else(missing)?, column.ok_or_else(missing)?);
        Ok(ProcessGrid(Rc::new(Inner { comm: Rc::new(comm), shape: [rows, columns], row, column })))
    }

    /// All ranks, on a communicator of the grid's own, in the order of the one it was made of.
    pub fn comm(&self) -> &Comm {
        &self.0.comm
    }

    pub(super) fn shared_comm(&self) -> Rc<Comm> {
        self.0.comm.clone()
    }

    /// The ranks of this rank's row; a rank's number in it is its column.
    pub fn row(&self) -> &Comm {
        &self.0.row
    }

    /// The ranks of this rank's column; a rank's number in it is its row.
    pub fn column(&self) -> &Comm {
        &self.0.column
    }

    /// Rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        self.0.shape
    }

    /// This rank's row and column.
    pub fn place(&self) -> [usize; 2] {
        self.split_rank(self.0.comm.rank())
    }

    pub(super) fn split_rank(&self, rank: usize) -> [usize; 2] {
        [rank / self.0.shape[1], rank % self.0.shape[1]]
    }

    /// The rank at a row and column; `None` outside.
    pub fn rank_of(&self, place: [usize; 2]) -> Option<usize> {
        (place[0] < self.0.shape[0] && place[1] < self.0.shape[1])
            .then(|| place[0] * self.0.shape[1] + place[1])
    }

    /// The row and column of a rank; `None` if there is no such rank.
    pub fn place_of(&self, rank: usize) -> Option<[usize; 2]> {
        (rank < self.0.comm.size()).then(|| self.split_rank(rank))
    }

    /// Whether both have the same ranks in the same places. Local.
    pub fn same(&self, other: &ProcessGrid) -> bool {
        Rc::ptr_eq(&self.0, &other.0) || self.0.shape == other.0.shape && self.same_ranks(other)
    }

    /// Whether both have the same ranks in the same order, in whatever rectangle.
    pub(super) fn same_ranks(&self, other: &ProcessGrid) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
            || matches!(self.0.comm.compare(&other.0.comm), Ok(Comparison::Identical | Comparison::Congruent))
    }
}

impl std::fmt::Debug for ProcessGrid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{} ranks", self.0.shape[0], self.0.shape[1])
    }
}

/// That all ranks give the same numbers; at most eight. Collective.
pub(super) fn same_everywhere(
    comm: &Comm,
    call: &str,
    words: &[usize],
    place: &'static Location<'static>,
) -> Result<()> {
    let mut bounds = [0u64; 16];
    for (pair, &word) in bounds.chunks_exact_mut(2).zip(words) {
        pair.copy_from_slice(&[word as u64, !(word as u64)]);
    }
    comm.allreduce_in_place(&mut bounds, Max)?;
    if bounds.chunks_exact(2).zip(words).all(|(pair, _)| pair[0] == !pair[1]) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Mismatch, format!("{call}: {words:?} here, other sizes on another rank"))
        .help("every rank must give the same sizes")
        .on_rank(comm.rank())
        .at(place))
}
