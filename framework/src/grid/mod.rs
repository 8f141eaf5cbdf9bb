//! `Grid`: a box of cells split in blocks over ranks.
//!
//! It holds no values (`field` does) and sends no messages but those that make sure that all ranks mean the same grid.
//! How the ranks stand is decided in `choose`, who owns what is `partition`, where values lie on the cells `points`,
//! options are given to `builder`, coarser and finer grids are made in `levels`.

mod block;
mod builder;
mod choose;
pub(crate) mod levels;
mod partition;
pub(crate) mod points;

pub use block::{Block, Side};
pub use builder::GridBuilder;
pub use levels::Levels;

use crate::comm::{Comm, Element, Op};
use crate::error::Result;
use crate::halo::together::Parcels;
use crate::halo::{Beyond, Layout};
use partition::Partition;
use points::Points;
use std::cell::RefCell;
use std::rc::Rc;

/// Which ghost cells an exchange brings up to date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stencil {
    /// Those of faces: as far as the halo is wide, along one axis at a time. At most two messages an axis.
    #[default]
    Star,
    /// Those of edges and corners too. A rank sends to every rank that its block touches: in three dimensions up to 26.
    Box,
}

/// A box of cells of 1 to 4 dimensions, split in blocks over the ranks of a communicator.
///
/// Axes are in C order: the last is contiguous in memory. Cloning is cheap; clones are the same grid.
///
/// ```
/// use rankine::Grid;
/// rankine::testing::ranks([1, 2, 6], |world| {
///     let grid = Grid::new(world, [12, 10])?;
///     assert_eq!(grid.len(), 120);
///     assert_eq!(grid.dims().iter().product::<usize>(), world.size());
///     assert!(grid.own().len() >= 120 / world.size());
///
///     let ring = Grid::over(world, [100]).halo(2).periodic([true]).build()?;
///     assert_eq!(ring.neighbor(0, rankine::Side::High), Some((world.rank() + 1) % world.size()));
///     Ok(())
/// });
/// ```
pub struct Grid<const D: usize>(Rc<Inner<D>>);

struct Inner<const D: usize> {
    comm: Rc<Comm>,
    /// The ranks that own cells, where that is not all of them; `None` on the others.
    team: Option<Option<Comm>>,
    partition: Partition<D>,
    /// This rank's place among the blocks.
    coords: Option<[usize; D]>,
    shape: Shape<D>,
    beyond: [[Beyond; 2]; 4],
    centers: Rc<Points<D>>,
    parcels: RefCell<Parcels>,
}

/// What an author says of a grid besides its cells and its blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Shape<const D: usize> {
    halo: usize,
    periodic: [bool; D],
    stencil: Stencil,
    origin: [f64; D],
    spacing: [f64; D],
}

impl<const D: usize> Clone for Grid<D> {
    fn clone(&self) -> Self {
        Grid(self.0.clone())
    }
}

impl<const D: usize> Grid<D> {
    /// A grid with a halo of one cell and walls on every side. Collective; see [`GridBuilder::build`] for errors.
    pub fn new(comm: &Comm, cells: [usize; D]) -> Result<Grid<D>> {
        Grid::over(comm, cells).build()
    }

    /// A grid over the ranks of `comm`, with options to follow.
    pub fn over(comm: &Comm, cells: [usize; D]) -> GridBuilder<'_, D> {
        GridBuilder::new(comm, cells)
    }

    /// The grid of these blocks, which all ranks agree about. Collective if some ranks own none.
    fn of(comm: Rc<Comm>, partition: Partition<D>, shape: Shape<D>) -> Result<Grid<D>> {
        let coords = partition.coords(comm.rank());
        let mut beyond = [[Beyond::Wall; 2]; 4];
        for axis in 0..D {
            for side in Side::BOTH {
                beyond[Layout::axis::<D>(axis)][side as usize] =
                    match beside(&partition, coords, shape.periodic, axis, side) {
                        None => Beyond::Wall,
                        Some(rank) if rank == comm.rank() => Beyond::Own,
                        Some(rank) => Beyond::Rank(rank),
                    };
            }
        }
        let centers = Points::new(&partition, coords, &shape, [false; D]);
        // A rank that finds its block too large must not leave the others alone.
        let centers = if partition.owners() == comm.size() {
            centers.map_err(|error| error.on_rank(comm.rank()))?
        } else {
            comm.agree(centers)?
        };
        let team = match partition.owners() == comm.size() {
            true => None,
            false => Some(comm.split(coords.map(|_| 0), 0)?),
        };
        Ok(Grid(Rc::new(Inner {
            comm,
            team,
            partition,
            coords,
            shape,
            beyond,
            centers: Rc::new(centers),
            parcels: RefCell::default(),
        })))
    }

    /// The shape of the whole grid.
    pub fn cells(&self) -> [usize; D] {
        self.0.partition.cells()
    }

    /// How many cells the whole grid has.
    #[expect(clippy::len_without_is_empty, reason = "a grid has at least one cell")]
    pub fn len(&self) -> usize {
        self.cells().iter().product()
    }

    /// The cells of this rank: at least one, unless ranks were left idle ([`GridBuilder::leave_idle`]) or the grid is
    /// a coarse one that fewer ranks hold.
    pub fn own(&self) -> Block<D> {
        self.0.centers.own
    }

    /// The cells of rank `rank`; `None` if there is no such rank. Local.
    pub fn block_of(&self, rank: usize) -> Option<Block<D>> {
        (rank < self.0.comm.size())
            .then(|| self.0.partition.coords(rank).map_or(Block::EMPTY, |at| self.0.partition.block(at)))
    }

    /// The rank that owns a cell; `None` outside the grid. Local.
    pub fn owner(&self, cell: [usize; D]) -> Option<usize> {
        self.0.partition.place(cell).map(|place| self.0.partition.rank(place))
    }

    /// How many blocks there are along each axis; a rank each.
    pub fn dims(&self) -> [usize; D] {
        self.0.partition.dims()
    }

    /// Where this rank's block is among [`dims`](Grid::dims); the last axis runs fastest. All 0 for a rank without
    /// cells.
    pub fn coords(&self) -> [usize; D] {
        self.0.coords.unwrap_or([0; D])
    }

    /// The rank beyond a side of this rank's block: itself on a periodic axis that is not split, `None` at a wall.
    pub fn neighbor(&self, axis: usize, side: Side) -> Option<usize> {
        if axis >= D {
            return None;
        }
        beside(&self.0.partition, self.0.coords, self.0.shape.periodic, axis, side)
    }

    /// Which axes are periodic.
    pub fn periodic(&self) -> [bool; D] {
        self.0.shape.periodic
    }

    /// How many cells of its neighbours a rank sees on each side.
    pub fn halo(&self) -> usize {
        self.0.shape.halo
    }

    /// Whether halos have edges and corners.
    pub fn stencil(&self) -> Stencil {
        self.0.shape.stencil
    }

    /// Where the low corner of cell 0 is; 0 unless said.
    pub fn origin(&self) -> [f64; D] {
        self.0.shape.origin
    }

    /// How wide cells are along each axis; 1 unless said.
    pub fn spacing(&self) -> [f64; D] {
        self.0.shape.spacing
    }

    /// The middle of a cell.
    pub fn center(&self, cell: [usize; D]) -> [f64; D] {
        self.coordinates(cell, [false; D])
    }

    /// Where a point is that lies on the low face of its cell along the axes that are staggered.
    pub(crate) fn coordinates(&self, point: [usize; D], staggered: [bool; D]) -> [f64; D] {
        let Shape { origin, spacing, .. } = &self.0.shape;
        std::array::from_fn(|axis| {
            let shift = if staggered[axis] { 0.0 } else { 0.5 };
            origin[axis] + (point[axis] as f64 + shift) * spacing[axis]
        })
    }

    /// The grid's own communicator: the ranks it was made over, in the same order, but no message of theirs is met.
    pub fn comm(&self) -> &Comm {
        &self.0.comm
    }

    /// The ranks that own cells, on those that do; `None` on the others.
    pub fn team(&self) -> Option<&Comm> {
        match &self.0.team {
            None => Some(&self.0.comm),
            Some(team) => team.as_ref(),
        }
    }

    /// Combines what the ranks with cells have; every rank gets the answer. Collective.
    #[track_caller]
    pub(crate) fn allreduce<U: Element, O: Op<U>>(&self, mine: U, op: O) -> Result<U> {
        match &self.0.team {
            None => self.0.comm.allreduce(mine, op),
            Some(team) => {
                let mut all = [match team {
                    Some(team) => team.allreduce(mine, op)?,
                    None => mine,
                }];
                self.0.comm.bcast(&mut all, self.0.partition.rank([0; D]))?;
                Ok(all[0])
            }
        }
    }

    pub(crate) fn beyond(&self) -> &[[Beyond; 2]; 4] {
        &self.0.beyond
    }

    /// Values in the middle of cells.
    pub(crate) fn centers(&self) -> &Rc<Points<D>> {
        &self.0.centers
    }

    /// Values on the low faces of cells along some axes, and on the last face at a wall.
    pub(crate) fn staggered(&self, staggered: [bool; D]) -> Result<Rc<Points<D>>> {
        if staggered == [false; D] {
            return Ok(self.0.centers.clone());
        }
        let points = Points::new(&self.0.partition, self.0.coords, &self.0.shape, staggered);
        points.map(Rc::new).map_err(|error| error.on_rank(self.0.comm.rank()))
    }

    /// The points of rank `rank`, on a grid with fields staggered along some axes.
    pub(crate) fn points_of(&self, rank: usize, staggered: [bool; D]) -> Option<Block<D>> {
        let place = (rank < self.0.comm.size()).then(|| self.0.partition.coords(rank))?;
        Some(points::block(&self.0.partition, place, self.0.shape.periodic, staggered))
    }

    /// Along which neighbours messages go, and what they bring.
    pub(crate) fn rank_beside(&self, direction: [isize; D]) -> Option<usize> {
        let place = self.0.partition.beside(self.0.coords?, self.0.shape.periodic, direction)?;
        Some(self.0.partition.rank(place))
    }

    pub(crate) fn parcels(&self) -> &RefCell<Parcels> {
        &self.0.parcels
    }

    /// Whether fields on both have their cells at the same places.
    pub(crate) fn same(&self, other: &Grid<D>) -> bool {
        let key = |grid: &Inner<D>| (grid.shape.halo, grid.shape.periodic, grid.shape.stencil, grid.coords);
        Rc::ptr_eq(&self.0, &other.0)
            || key(&self.0) == key(&other.0) && self.0.partition == other.0.partition
    }
}

impl<const D: usize> std::fmt::Debug for Grid<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (cells, dims) = (by(self.cells()), by(self.dims()));
        write!(f, "Grid({cells} cells over {dims} ranks, halo {})", self.halo())
    }
}

/// `2x3x4`
pub(crate) fn by<const D: usize>(shape: [usize; D]) -> String {
    shape.map(|n| n.to_string()).join("x")
}

/// The rank beyond a side of a block.
fn beside<const D: usize>(
    partition: &Partition<D>,
    coords: Option<[usize; D]>,
    periodic: [bool; D],
    axis: usize,
    side: Side,
) -> Option<usize> {
    let mut direction = [0; D];
    direction[axis] = if side == Side::Low { -1 } else { 1 };
    partition.beside(coords?, periodic, direction).map(|place| partition.rank(place))
}
