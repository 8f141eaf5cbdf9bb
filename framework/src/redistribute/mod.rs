//! `Redistribution`: the same global array moved from one decomposition to another, planned once and run often.
//!
//! This file is what an author calls, and decides what a plan needs to know. Which cells go where is in `pieces`, the
//! messages are in `exchange`, copies in memory in `strided`. How cells are split is `crate::grid`'s business.

mod exchange;
mod pieces;
mod strided;

pub use exchange::Ends;
pub(crate) use exchange::Exchange;
pub(crate) use pieces::{Cut, Pieces};
pub(crate) use strided::{Place, copy, transpose};

use crate::comm::{Comm, Element};
use crate::error::{Error, ErrorKind, Result};
use crate::field::Field;
use crate::grid::{Block, Grid, by};
use std::panic::Location;
use std::rc::Rc;

/// Bytes of a message, about: two of them in each direction stay in a core's second-level cache while they are packed,
/// sent and unpacked.
pub(crate) const PIECE: usize = 128 << 10;

/// Moves fields from one grid to another: between slabs, pencils and blocks, grids with other halos, other numbers of ranks;
/// and, if asked, with the axes in another order, so that another one is contiguous.
///
/// Setting up the plan is collective; it finds out which cells this rank has to send to whom. [`run`](Redistribution::run)
/// sends just those, in pieces that stay in the cache, and allocates nothing from the second time on. The cells that
/// stay on their rank are copied once. Every rank holds the blocks of all ranks while the plan is made, and after that its own pieces.
///
/// ```
/// use rankine::{Field, Grid, Redistribution};
/// rankine::testing::ranks([1, 2, 3, 4], |world| {
///     let p = world.size();
///     let slabs = Grid::over(world, [12, 10, 7]).dims([p, 1, 1]).build()?;
///     let columns = Grid::over(world, [12, 10, 7]).halo(0).dims([1, p, 1]).build()?;
///     let a = Field::from_fn(&slabs, |[z, y, x]| (100 * z + 10 * y + x) as f64)?;
///     let mut b = Field::new(&columns, 0.0)?;
///     let mut turn = Redistribution::new(&slabs, &columns)?;
///     turn.run(&a, &mut b)?;
///     assert!(b.iter().all(|([z, y, x], value)| value == (100 * z + 10 * y + x) as f64));
///
///     // The first axis last, where it is contiguous: axes [1, 2, 0] of the first grid.
///     let turned = Grid::over(world, [10, 7, 12]).halo(0).dims([p, 1, 1]).build()?;
///     let mut c = Field::new(&turned, 0.0)?;
///     Redistribution::permuted(&slabs, &turned, [1, 2, 0])?.run(&a, &mut c)?;
///     assert!(c.iter().all(|([y, x, z], value)| value == (100 * z + 10 * y + x) as f64));
///     Ok(())
/// });
/// ```
pub struct Redistribution<T: Element, const D: usize> {
    exchange: Exchange<T, D>,
    from: Option<Grid<D>>,
    to: Option<Grid<D>>,
    /// Axis i of the target is axis `axes[i]` of the source.
    axes: [usize; D],
}

impl<T: Element, const D: usize> Redistribution<T, D> {
    /// A plan from one grid to another of the same cells and on the same ranks. Collective.
    ///
    /// # Errors
    /// Grids of other cells; ranks that disagree; ranks of one grid that are not in the other (see
    /// [`over`](Redistribution::over)). Every rank gets the same error.
    #[track_caller]
    pub fn new(from: &Grid<D>, to: &Grid<D>) -> Result<Self> {
        Self::permuted(from, to, std::array::from_fn(|axis| axis))
    }

    /// As [`new`](Redistribution::new), to a grid whose axis i is axis `axes[i]` of `from`: its cells, too, are in that
    /// order.
    ///
    /// # Errors
    /// As [`new`](Redistribution::new); axes that are not each axis once.
    #[track_caller]
    pub fn permuted(from: &Grid<D>, to: &Grid<D>, axes: [usize; D]) -> Result<Self> {
        Self::over(from.comm(), Some(from), Some(to), axes)
    }

    /// As [`permuted`](Redistribution::permuted), between grids that stand on some of the ranks of `comm` only: each rank
    /// gives those of the two that it is part of. Every rank of `comm` calls it, also one that is part of neither, and
    /// then [`run_parts`](Redistribution::run_parts).
    ///
    /// # Errors
    /// As [`permuted`](Redistribution::permuted); a rank of a grid that is not in `comm`.
    #[track_caller]
    pub fn over(comm: &Comm, from: Option<&Grid<D>>, to: Option<&Grid<D>>, axes: [usize; D]) -> Result<Self> {
        let place = Location::caller();
        let comm = Rc::new(comm.dup()?);
        let parts = Parts::gather(&comm, from, to, axes)?;
        parts.check().map_err(|what| {
            Error::new(ErrorKind::Mismatch, format!("redistribution: {what}"))
                .help("give grids of the same cells (in the order of the axes), whose ranks are all in the communicator, \
                       and the same axes on every rank")
                .on_rank(comm.rank())
                .at(place)
        })?;
        let cut = Cut {
            cells: PIECE / size_of::<T>().max(1) * rayon::current_num_threads(),
            contiguous: axes[D - 1],
        };
        let pieces =
            Pieces::new(comm.rank(), comm.size(), |rank| parts.from(rank), |rank| parts.to(rank), cut);
        let exchange = Exchange::new(comm, pieces);
        Ok(Redistribution { exchange, from: from.cloned(), to: to.cloned(), axes })
    }

    /// Fills the owned cells of `to` with those of `from`. Every rank of the plan calls it.
    ///
    /// # Errors
    /// Fields on other grids than the plan's; a failure of the engine, or another rank's.
    #[track_caller]
    pub fn run(&mut self, from: &Field<T, D>, to: &mut Field<T, D>) -> Result<()> {
        self.run_parts(Some(from), Some(to))
    }

    /// As [`run`](Redistribution::run), where a rank may be part of one grid, of both or of neither: it gives the fields that
    /// it has.
    ///
    /// # Errors
    /// As [`run`](Redistribution::run); a field that is missing, or one too many.
    #[track_caller]
    pub fn run_parts(&mut self, from: Option<&Field<T, D>>, to: Option<&mut Field<T, D>>) -> Result<()> {
        let (here, rank) = (Location::caller(), self.exchange.comm().rank());
        fits("redistribution: from", from, self.from.as_ref(), rank, here)?;
        fits("redistribution: to", to.as_deref(), self.to.as_ref(), rank, here)?;
        let [source, target] = [from.map(place), to.as_deref().map(place)]
            .map(|array| array.unwrap_or((Place { base: 0, strides: [0; D] }, [0; D])));
        // The target's strides in the order of the source's axes.
        let (mut into, mut start) = (Place { base: target.0.base, strides: [0; D] }, [0; D]);
        for axis in 0..D {
            into.strides[self.axes[axis]] = target.0.strides[axis];
            start[self.axes[axis]] = target.1[axis];
        }
        let mut arrays = Arrays {
            from: from.map_or(&[], |field| field.storage()),
            at: source.0,
            at_start: source.1,
            to: to.map_or(&mut [], |field| field.storage_mut()),
            into,
            into_start: start,
        };
        self.exchange.run(&mut arrays)
    }

    /// As [`run`](Redistribution::run), with the caller's own arrays and loops: every cell of the source is asked for once and
    /// brought to where it belongs, in boxes that stay in the cache. Every rank of the plan calls it.
    ///
    /// ```
    /// use rankine::{Block, Ends, Grid, Redistribution};
    /// // The sum of a matrix and its transpose, by rows.
    /// struct Sum<'a> { a: &'a [f64], sum: &'a mut [f64], first: usize, n: usize }
    /// impl Ends<f64, 2> for Sum<'_> {
    ///     fn pack(&mut self, _: usize, block: &Block<2>, message: &mut [f64]) {
    ///         let cells = block.cells().map(|[row, column]| self.a[(row - self.first) * self.n + column]);
    ///         cells.zip(message).for_each(|(value, to)| *to = value);
    ///     }
    ///     fn unpack(&mut self, _: usize, block: &Block<2>, message: &[f64]) {
    ///         for ([row, column], value) in block.cells().zip(message) {
    ///             self.sum[(column - self.first) * self.n + row] += value;
    ///         }
    ///     }
    ///     fn keep(&mut self, block: &Block<2>) {
    ///         for [row, column] in block.cells() {
    ///             self.sum[(column - self.first) * self.n + row] += self.a[(row - self.first) * self.n + column];
    ///         }
    ///     }
    /// }
    /// rankine::testing::ranks([1, 2, 3, 4], |world| {
    ///     let (p, n) = (world.size(), 9);
    ///     let rows = Grid::over(world, [n, n]).halo(0).dims([p, 1]).build()?;
    ///     let own = rows.own();
    ///     let a: Vec<f64> = own.cells().map(|[row, column]| (n * row + column) as f64).collect();
    ///     let mut sum = a.clone();
    ///     let mut plan = Redistribution::permuted(&rows, &rows, [1, 0])?;
    ///     plan.run_between(&mut Sum { a: &a, sum: &mut sum, first: own.start[0], n })?;
    ///     assert!(own.cells().zip(&sum).all(|([row, column], &s)| s == ((n + 1) * (row + column)) as f64));
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// A failure of the engine, or another rank's.
    #[track_caller]
    pub fn run_between(&mut self, ends: &mut impl Ends<T, D>) -> Result<()> {
        self.exchange.run(ends)
    }

    /// How many cells this rank sends to other ranks in a run. Local.
    pub fn sent(&self) -> usize {
        self.exchange.sent()
    }
}

impl<T: Element, const D: usize> std::fmt::Debug for Redistribution<T, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redistribution from {:?} to {:?}, axes {:?}", self.from, self.to, self.axes)
    }
}

/// Whether a field is the one that a plan for cells of `grid` asks for, or its lack.
pub(crate) fn fits<T: Element, const D: usize>(
    what: &str,
    field: Option<&Field<T, D>>,
    grid: Option<&Grid<D>>,
    rank: usize,
    place: &Location<'_>,
) -> Result<()> {
    let is = match (field, grid) {
        (Some(field), Some(grid)) if !field.grid().same(grid) => {
            format!("the field is on {:?}, the plan is for {grid:?}", field.grid())
        }
        (Some(field), Some(_)) if field.staggering() != [false; D] => {
            "the field lies on faces, the plan is for cells".to_string()
        }
        (None, Some(grid)) => format!("no field on {grid:?}"),
        (Some(field), None) => {
            format!("a field on {:?}, of which this rank's plan has none", field.grid())
        }
        _ => return Ok(()),
    };
    Err(Error::usage(format!("{what}: {is}"))
        .help("give a field on the grid that the plan was made for")
        .on_rank(rank)
        .at(place))
}

/// Where the owned cells of a field lie in its storage, and the first one's global index.
pub(crate) fn place<T: Element, const D: usize>(field: &Field<T, D>) -> (Place<D>, [usize; D]) {
    (Place::dense(field.padded_shape()).at([field.halo(); D]), field.grid().own().start)
}

/// Two arrays in memory, by global index of the source's axes.
pub(crate) struct Arrays<'a, T, const D: usize> {
    pub from: &'a [T],
    pub at: Place<D>,
    pub at_start: [usize; D],
    pub to: &'a mut [T],
    pub into: Place<D>,
    pub into_start: [usize; D],
}

impl<T: Element, const D: usize> Ends<T, D> for Arrays<'_, T, D> {
    fn pack(&mut self, _: usize, block: &Block<D>, message: &mut [T]) {
        let at = self.at.at(offset(block, self.at_start));
        copy(self.from, at, message, Place::dense(block.shape), block.shape);
    }
    fn unpack(&mut self, _: usize, block: &Block<D>, message: &[T]) {
        let into = self.into.at(offset(block, self.into_start));
        copy(message, Place::dense(block.shape), self.to, into, block.shape);
    }
    fn keep(&mut self, block: &Block<D>) {
        let (at, into) =
            (self.at.at(offset(block, self.at_start)), self.into.at(offset(block, self.into_start)));
        copy(self.from, at, self.to, into, block.shape);
    }
}

fn offset<const D: usize>(block: &Block<D>, start: [usize; D]) -> [usize; D] {
    std::array::from_fn(|axis| block.start[axis] - start[axis])
}

/// What every rank brings: the cells of both grids and its block in them, and the order of the axes.
struct Parts<const D: usize> {
    /// For each rank: cells, start and shape of the source; the same of the target; the axes.
    words: Vec<usize>,
}

impl<const D: usize> Parts<D> {
    fn gather(
        comm: &Comm,
        from: Option<&Grid<D>>,
        to: Option<&Grid<D>>,
        axes: [usize; D],
    ) -> Result<Parts<D>> {
        let mut mine = Vec::with_capacity(7 * D);
        for grid in [from, to] {
            match grid {
                Some(grid) => {
                    let own = grid.own();
                    mine.extend(grid.cells().into_iter().chain(own.start).chain(own.shape));
                }
                None => mine.extend([0; D].into_iter().chain([0; D]).chain([0; D])),
            }
        }
        mine.extend(axes);
        Ok(Parts { words: comm.allgather(&mine)? })
    }

    fn word(&self, rank: usize, index: usize) -> [usize; D] {
        std::array::from_fn(|axis| self.words[(rank * 7 + index) * D + axis])
    }

    fn from(&self, rank: usize) -> Block<D> {
        Block { start: self.word(rank, 1), shape: self.word(rank, 2) }
    }

    /// In the source's axes.
    fn to(&self, rank: usize) -> Block<D> {
        let axes = self.word(rank, 6);
        let (start, shape) = (self.word(rank, 4), self.word(rank, 5));
        let mut block = Block { start: [0; D], shape: [0; D] };
        for axis in 0..D {
            (block.start[axes[axis]], block.shape[axes[axis]]) = (start[axis], shape[axis]);
        }
        block
    }

    /// What is wrong, the same on every rank.
    fn check(&self) -> Result<(), String> {
        let ranks = self.words.len() / (7 * D);
        let axes = self.word(0, 6);
        if !(0..D).all(|axis| axes.contains(&axis)) {
            return Err(format!("axes {axes:?} are not each of {D} axes once"));
        }
        if let Some(rank) = (0..ranks).find(|&rank| self.word(rank, 6) != axes) {
            return Err(format!("axes {axes:?} on rank 0, {:?} on rank {rank}", self.word(rank, 6)));
        }
        let mut cells = [[0; D]; 2];
        for (side, name) in ["source", "target"].into_iter().enumerate() {
            let mut owned = 0usize;
            for rank in 0..ranks {
                let (here, shape) = (self.word(rank, 3 * side), self.word(rank, 3 * side + 2));
                if here == [0; D] {
                    continue;
                }
                if cells[side] != [0; D] && cells[side] != here {
                    return Err(format!(
                        "the {name} has {} cells and, on rank {rank}, {}",
                        by(cells[side]),
                        by(here)
                    ));
                }
                cells[side] = here;
                owned += shape.iter().product::<usize>();
            }
            if owned != cells[side].iter().product::<usize>() {
                return Err(format!(
                    "the ranks own {owned} cells of a {name} of {}: some of its ranks are not here",
                    by(cells[side])
                ));
            }
        }
        let [from, to] = cells;
        let expected = axes.map(|axis| from[axis]);
        if to != expected {
            return Err(format!("from {} cells to {}, axes {axes:?}", by(from), by(to)));
        }
        Ok(())
    }
}
