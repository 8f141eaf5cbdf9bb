//! `BlockCyclic`: which rank has which entries of a dense matrix.
//!
//! Two axes of `axis`, over the rows and the columns of a process grid. It owns no entries; a `Matrix` does.

use super::ProcessGrid;
use super::axis::Axis;
use super::process::same_everywhere;
use crate::error::Result;
use std::panic::Location;
use std::rc::Rc;

/// The layout of ScaLAPACK: blocks of `block` entries are dealt to the rows and columns of a process grid in turn.
/// Cloning is cheap.
///
/// Entry (i, j) of blocks of mb×nb belongs to the process in row (s + ⌊i/mb⌋) mod P, s being the source's row, and is there
/// in local row mb·⌊i/(mb·P)⌋ + i mod mb; columns alike (ScaLAPACK Users' Guide, Blackford et al., SIAM 1997, §4.3). All
/// indices begin at 0.
///
/// ```
/// use rankine::matrix::{BlockCyclic, ProcessGrid};
/// rankine::testing::ranks([1, 2, 4], |world| {
///     let layout = BlockCyclic::new(&ProcessGrid::new(world)?, [10, 7], [3, 2])?;
///     let [rows, columns] = layout.local_shape();
///     for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
///         let entry = layout.global([i, j]).expect("it is here");
///         assert_eq!((layout.owner(entry), layout.local(entry)), (Some(world.rank()), Some([i, j])));
///     }
///     Ok(())
/// });
/// ```
#[derive(Clone)]
pub struct BlockCyclic(Rc<Inner>);

struct Inner {
    grid: ProcessGrid,
    axes: [Axis; 2],
}

impl BlockCyclic {
    /// Blocks of `block` entries, the first at row 0 and column 0 of the grid. Collective.
    ///
    /// # Errors
    /// Blocks without entries, more entries than can be counted, ranks that disagree. Every rank gets one.
    #[track_caller]
    pub fn new(grid: &ProcessGrid, shape: [usize; 2], block: [usize; 2]) -> Result<BlockCyclic> {
        Self::from_source(grid, shape, block, [0, 0])
    }

    /// As [`BlockCyclic::new`], with the first block at row and column `source` of the grid. Collective.
    ///
    /// # Errors
    /// As [`BlockCyclic::new`]; a source outside the grid.
    #[track_caller]
    pub fn from_source(
        grid: &ProcessGrid,
        shape: [usize; 2],
        block: [usize; 2],
        source: [usize; 2],
    ) -> Result<BlockCyclic> {
        let (place, comm) = (Location::caller(), grid.comm());
        let words = [shape[0], shape[1], block[0], block[1], source[0], source[1]];
        same_everywhere(comm, "BlockCyclic", &words, place)?;
        let refused = |what: String, help| Err(comm.usage("BlockCyclic", place, what, help));
        if block.contains(&0) {
            return refused(
                format!("blocks of {}x{} entries", block[0], block[1]),
                "give a row and a column or more",
            );
        }
        if grid.rank_of(source).is_none() {
            return refused(
                format!("the source {source:?} in {grid:?}"),
                "give a row and a column of the grid",
            );
        }
        // So that no index, no sum of two and no number of bytes overflows.
        let most = 1usize << (usize::BITS - 6);
        if shape[0].checked_mul(shape[1]).is_none_or(|entries| entries > most)
            || shape.iter().any(|&side| side > most)
        {
            return refused(
                format!("{} by {} entries", shape[0], shape[1]),
                "give no more than can be counted",
            );
        }
        let axis = |n: usize| Axis {
            len: shape[n],
            // A larger block is no other layout.
            block: block[n].min(shape[n].max(1)),
            source: source[n],
            ranks: grid.shape()[n],
        };
        Ok(Self::of(grid, [axis(0), axis(1)]))
    }

    pub(super) fn of(grid: &ProcessGrid, axes: [Axis; 2]) -> BlockCyclic {
        BlockCyclic(Rc::new(Inner { grid: grid.clone(), axes }))
    }

    pub(super) fn axes(&self) -> [Axis; 2] {
        self.0.axes
    }

    /// The process grid.
    pub fn grid(&self) -> &ProcessGrid {
        &self.0.grid
    }

    /// Rows and columns of the whole matrix.
    pub fn shape(&self) -> [usize; 2] {
        self.0.axes.map(|axis| axis.len)
    }

    /// Rows and columns of a block; of one that was larger than the matrix, the matrix's.
    pub fn block(&self) -> [usize; 2] {
        self.0.axes.map(|axis| axis.block)
    }

    /// The row and column of the process that has the first block.
    pub fn source(&self) -> [usize; 2] {
        self.0.axes.map(|axis| axis.source)
    }

    /// Rows and columns of this rank (NUMROC); either may be 0. Local.
    pub fn local_shape(&self) -> [usize; 2] {
        self.shape_at(self.0.grid.place())
    }

    /// Rows and columns of a rank; `None` if there is no such rank. Local.
    pub fn local_shape_of(&self, rank: usize) -> Option<[usize; 2]> {
        self.0.grid.place_of(rank).map(|place| self.shape_at(place))
    }

    fn shape_at(&self, place: [usize; 2]) -> [usize; 2] {
        [0, 1].map(|n| self.0.axes[n].count(place[n]))
    }

    /// The rank that has an entry (INDXG2P); `None` outside the matrix. Local.
    pub fn owner(&self, entry: [usize; 2]) -> Option<usize> {
        let inside = (0..2).all(|n| entry[n] < self.0.axes[n].len);
        inside.then(|| self.0.grid.rank_of([0, 1].map(|n| self.0.axes[n].owner(entry[n]))))?
    }

    /// Where this rank has an entry (INDXG2L); `None` if it does not. Local.
    pub fn local(&self, entry: [usize; 2]) -> Option<[usize; 2]> {
        let place = self.0.grid.place();
        let here =
            (0..2).all(|n| entry[n] < self.0.axes[n].len && self.0.axes[n].owner(entry[n]) == place[n]);
        here.then(|| [0, 1].map(|n| self.0.axes[n].local(entry[n])))
    }

    /// Which entry this rank has at a local row and column (INDXL2G); `None` outside its part. Local.
    pub fn global(&self, local: [usize; 2]) -> Option<[usize; 2]> {
        let (place, shape) = (self.0.grid.place(), self.local_shape());
        (local[0] < shape[0] && local[1] < shape[1])
            .then(|| [0, 1].map(|n| self.0.axes[n].global(place[n], local[n])))
    }

    /// The layout of the transpose in which every block stays on its rank's row and column, exchanged: blocks of nb×mb.
    /// Where the grid has not as many columns as rows, the source is (0, 0). Local.
    pub fn transposed(&self) -> BlockCyclic {
        let [r, c] = self.0.axes;
        let ranks = self.0.grid.shape();
        let turn = |axis: Axis, n: usize| Axis {
            source: if ranks[0] == ranks[1] { axis.source } else { 0 },
            ranks: ranks[n],
            ..axis
        };
        Self::of(&self.0.grid, [turn(c, 0), turn(r, 1)])
    }

    /// Whether every rank has the same entries in the same places in both. Local.
    pub fn same(&self, other: &BlockCyclic) -> bool {
        Rc::ptr_eq(&self.0, &other.0) || self.0.axes == other.0.axes && self.0.grid.same(&other.0.grid)
    }
}

impl std::fmt::Debug for BlockCyclic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ([m, n], [mb, nb]) = (self.shape(), self.block());
        write!(f, "{m}x{n} in blocks of {mb}x{nb} on {:?}", self.0.grid)?;
        match self.source() {
            [0, 0] => Ok(()),
            [r, c] => write!(f, " from ({r}, {c})"),
        }
    }
}
