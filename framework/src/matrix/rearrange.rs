//! Transposes, and matrices brought to another layout.
//!
//! Which entries two ranks share is `axis`'s arithmetic: stretches of rows times stretches of columns. The messages, in pieces that
//! stay in the cache, are those of every redistribution (`crate::redistribute`).

use super::axis::{Run, total};
use super::{BlockCyclic, Matrix};
use crate::comm::Element;
use crate::error::{Error, ErrorKind, Result};
use crate::grid::Block;
use crate::redistribute::{Cut, Ends, Exchange, PIECE, Pieces, Place, copy};
use std::panic::Location;

/// Brings matrices from one layout to another, or to the layout of a transpose; planned once, run often.
///
/// A run is one exchange, in which every pair of ranks sends each other what they share, and allocates nothing from the
/// second one on. The process grids may differ; both must be of the same ranks in the same order.
///
/// ```
/// use rankine::matrix::{BlockCyclic, Matrix, ProcessGrid, Rearrangement};
/// rankine::testing::ranks([1, 2, 4], |world| {
///     let (square, wide) = (ProcessGrid::new(world)?, ProcessGrid::with_shape(world, 1, world.size())?);
///     let from = BlockCyclic::new(&square, [12, 9], [2, 4])?;
///     let to = BlockCyclic::new(&wide, [12, 9], [5, 9])?;
///     let a = Matrix::from_fn(&from, |[i, j]| (10 * i + j) as f64)?;
///     let mut b = Matrix::zeros(&to)?;
///     let mut plan = Rearrangement::new(&from, &to)?;
///     plan.run(&a, &mut b)?;
///     assert!(b.iter().all(|([i, j], value)| value == (10 * i + j) as f64));
///     Ok(())
/// });
/// ```
pub struct Rearrangement<T: Element> {
    from: BlockCyclic,
    to: BlockCyclic,
    transposes: bool,
    exchange: Exchange<T, 2>,
    shared: Shared,
}

/// What this rank shares with the ranks of every row and column of the other side's process grid, by the source's rows and
/// columns.
struct Shared {
    send: [Vec<Vec<Run>>; 2],
    recv: [Vec<Vec<Run>>; 2],
}

impl<T: Element> Rearrangement<T> {
    /// From one layout to another of the same shape. Collective.
    ///
    /// # Errors
    /// Layouts of other shapes or on other ranks; every rank gets one.
    #[track_caller]
    pub fn new(from: &BlockCyclic, to: &BlockCyclic) -> Result<Self> {
        Self::plan(from, to, false)
    }

    /// From one layout to that of a transpose: entry (i, j) becomes (j, i). Collective.
    ///
    /// # Errors
    /// As [`Rearrangement::new`].
    #[track_caller]
    pub fn transposing(from: &BlockCyclic, to: &BlockCyclic) -> Result<Self> {
        Self::plan(from, to, true)
    }

    #[track_caller]
    fn plan(from: &BlockCyclic, to: &BlockCyclic, transposes: bool) -> Result<Self> {
        let (place, comm) = (Location::caller(), from.grid().shared_comm());
        let [m, n] = from.shape();
        let wrong = |what: String, help| {
            Err(Error::new(ErrorKind::Mismatch, format!("rearrangement: {what}"))
                .help(help)
                .on_rank(comm.rank())
                .at(place))
        };
        let fits = if to.shape() != if transposes { [n, m] } else { [m, n] } {
            let how = if transposes { "the transpose of " } else { "" };
            wrong(format!("from {how}{from:?} to {to:?}"), "give layouts of the same entries")
        } else if !from.grid().same_ranks(to.grid()) {
            wrong(
                format!("from {from:?} to {to:?}, on other ranks"),
                "make both process grids of one communicator",
            )
        } else {
            Ok(())
        };
        comm.agree(fits)?;
        // The axes of the target that the source's rows and columns become.
        let axes = if transposes { [1, 0] } else { [0, 1] };
        let [here, there] = [from.grid().place(), to.grid().place()];
        let (source, target) = (from.axes(), to.axes());
        let send = [0, 1].map(|n| {
            let axis = target[axes[n]];
            (0..axis.ranks).map(|rank| source[n].shared(here[n], axis, rank)).collect()
        });
        let recv = [0, 1].map(|n| {
            let (axis, rank) = (target[axes[n]], there[axes[n]]);
            (0..source[n].ranks).map(|other| source[n].shared(other, axis, rank)).collect()
        });
        let shared = Shared { send, recv };
        let me = comm.rank();
        // By columns and rows of the source, so that its rows are the contiguous ones.
        let block = |sender: usize, receiver: usize| {
            let [rows, columns] = match sender == me {
                true => shared.sent(to, axes, receiver),
                false => shared.received(from, sender),
            };
            let shape = [total(columns), total(rows)];
            (!shape.contains(&0)).then_some(Block { start: [0, 0], shape })
        };
        let cells = PIECE / size_of::<T>().max(1) * rayon::current_num_threads();
        let cut = Cut { cells: cells.max(1), contiguous: if transposes { 0 } else { 1 } };
        let pieces = Pieces::of(me, comm.size(), block, cut);
        let exchange = Exchange::new(comm, pieces);
        Ok(Rearrangement { from: from.clone(), to: to.clone(), transposes, exchange, shared })
    }

    /// Fills `to` with the entries of `from`. Collective.
    ///
    /// # Errors
    /// Matrices of other layouts than the plan's, on every rank; a failure of the engine.
    #[track_caller]
    pub fn run(&mut self, from: &Matrix<T>, to: &mut Matrix<T>) -> Result<()> {
        let comm = self.exchange.comm();
        let fits = if from.layout.same(&self.from) && to.layout.same(&self.to) {
            Ok(())
        } else {
            let what = format!("from {:?} to {:?}; the plan is {self:?}", from.layout, to.layout);
            let help = "give matrices of the plan's layouts";
            Err(comm.usage("Rearrangement::run", Location::caller(), what, help))
        };
        comm.agree(fits)?;
        let [rows, _] = from.local_shape();
        let [height, _] = to.local_shape();
        let mut ends = Sides {
            shared: &self.shared,
            layouts: [&self.from, &self.to],
            axes: if self.transposes { [1, 0] } else { [0, 1] },
            me: comm.rank(),
            from: &from.local,
            pitch: rows,
            to: &mut to.local,
            strides: if self.transposes { [1, height] } else { [height, 1] },
        };
        self.exchange.run(&mut ends)
    }

    /// How many entries this rank sends to other ranks in a run. Local.
    pub fn sent(&self) -> usize {
        self.exchange.sent()
    }
}

impl<T: Element> std::fmt::Debug for Rearrangement<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let how = if self.transposes { " transposed" } else { "" };
        write!(f, "from {:?}{how} to {:?}", self.from, self.to)
    }
}

impl Shared {
    /// Rows and columns that go to a rank.
    fn sent(&self, to: &BlockCyclic, axes: [usize; 2], receiver: usize) -> [&[Run]; 2] {
        let place = to.grid().split_rank(receiver);
        [0, 1].map(|n| &self.send[n][place[axes[n]]][..])
    }

    /// Rows and columns that come from a rank.
    fn received(&self, from: &BlockCyclic, sender: usize) -> [&[Run]; 2] {
        let place = from.grid().split_rank(sender);
        [0, 1].map(|n| &self.recv[n][place[n]][..])
    }
}

/// The two matrices of a run.
struct Sides<'a, T> {
    shared: &'a Shared,
    layouts: [&'a BlockCyclic; 2],
    axes: [usize; 2],
    me: usize,
    from: &'a [T],
    pitch: usize,
    to: &'a mut [T],
    /// From one column of the source to the next in the target, and from one row to the next.
    strides: [usize; 2],
}

impl<T: Element> Ends<T, 2> for Sides<'_, T> {
    fn pack(&mut self, peer: usize, block: &Block<2>, message: &mut [T]) {
        let [rows, columns] = self.shared.sent(self.layouts[1], self.axes, peer);
        let pitch = block.shape[1];
        boxes(rows, columns, block, |row, column, shape| {
            let at = Place { base: column.from * self.pitch + row.from, strides: [self.pitch, 1] };
            let into = Place { base: column.at * pitch + row.at, strides: [pitch, 1] };
            copy(self.from, at, message, into, shape);
        });
    }

    fn unpack(&mut self, peer: usize, block: &Block<2>, message: &[T]) {
        let [rows, columns] = self.shared.received(self.layouts[0], peer);
        let (pitch, strides) = (block.shape[1], self.strides);
        boxes(rows, columns, block, |row, column, shape| {
            let at = Place { base: column.at * pitch + row.at, strides: [pitch, 1] };
            let into = Place { base: column.to * strides[0] + row.to * strides[1], strides };
            copy(message, at, self.to, into, shape);
        });
    }

    fn keep(&mut self, block: &Block<2>) {
        let [rows, columns] = self.shared.sent(self.layouts[1], self.axes, self.me);
        let strides = self.strides;
        boxes(rows, columns, block, |row, column, shape| {
            let at = Place { base: column.from * self.pitch + row.from, strides: [self.pitch, 1] };
            let into = Place { base: column.to * strides[0] + row.to * strides[1], strides };
            copy(self.from, at, self.to, into, shape);
        });
    }
}

/// Calls `each` with the runs of rows and of columns in a block of shared columns and rows; `at` of them counts from the
/// block's start.
fn boxes(rows: &[Run], columns: &[Run], block: &Block<2>, mut each: impl FnMut(Run, Run, [usize; 2])) {
    for column in inside(columns, block.start[0], block.shape[0]) {
        for row in inside(rows, block.start[1], block.shape[1]) {
            each(row, column, [column.len, row.len]);
        }
    }
}

/// What of the runs lies in `len` shared indices from `start` on.
pub(super) fn inside(runs: &[Run], start: usize, len: usize) -> impl Iterator<Item = Run> {
    let first = runs.partition_point(|run| run.at + run.len <= start);
    runs[first..].iter().take_while(move |run| run.at < start + len).map(move |run| {
        let skipped = start.saturating_sub(run.at);
        let end = (run.at + run.len).min(start + len);
        Run {
            from: run.from + skipped,
            to: run.to + skipped,
            len: end - run.at - skipped,
            at: run.at + skipped - start,
        }
    })
}

impl<T: Element> Matrix<T> {
    /// The matrix in another layout. Collective.
    ///
    /// # Errors
    /// As [`Rearrangement::new`] and [`Matrix::zeros`].
    #[track_caller]
    pub fn redistribute(&self, layout: &BlockCyclic) -> Result<Matrix<T>> {
        let mut plan = Rearrangement::new(&self.layout, layout)?;
        let mut matrix = Matrix::zeros(layout)?;
        plan.run(self, &mut matrix)?;
        Ok(matrix)
    }

    /// The transpose, in the layout [`BlockCyclic::transposed`]. Collective.
    ///
    /// # Errors
    /// As [`Matrix::zeros`].
    #[track_caller]
    pub fn transpose(&self) -> Result<Matrix<T>> {
        let layout = self.layout.transposed();
        let mut plan = Rearrangement::transposing(&self.layout, &layout)?;
        let mut matrix = Matrix::zeros(&layout)?;
        plan.run(self, &mut matrix)?;
        Ok(matrix)
    }
}
