//! How the cells of a rectangle or box are split over ranks: `Grid` and `Block`.
//!
//! This file decides who owns which cells and who is whose neighbour. It holds no values (`field` does) and sends
//! no messages but those that make sure that all ranks mean the same grid.

use crate::comm::Comm;
use crate::error::{Error, ErrorKind, Result};
use crate::halo::{Beyond, Layout};
use crate::op::Max;
use std::rc::Rc;

/// What a cell of a face costs against a cell of axis 0's faces. Those are one contiguous piece, sent from where
/// they lie. Faces of a middle axis are rows that are packed and unpacked. Those of the last axis touch a cache line
/// for each `halo` cells, and no part of a row can be computed well before they are there.
const FACE: f64 = 1.0;
const FACE_OF_ROWS: f64 = 1.2;
const FACE_OF_CELLS: f64 = 4.0;

/// What a cell of a face costs to send and receive against a cell to compute: a handful of memory accesses each.
const SENT: f64 = 3.0;

/// A box of cells, by global indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block<const D: usize> {
    /// The lowest index on each axis.
    pub start: [usize; D],
    /// How many cells on each axis.
    pub shape: [usize; D],
}

impl<const D: usize> Block<D> {
    /// How many cells.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no cell in it.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// Whether the cell is in it.
    pub fn contains(&self, cell: [usize; D]) -> bool {
        (0..D).all(|axis| cell[axis] >= self.start[axis] && cell[axis] - self.start[axis] < self.shape[axis])
    }

    /// The cells that are in both, if there are any.
    pub fn intersect(&self, other: &Block<D>) -> Option<Block<D>> {
        let mut both = Block { start: [0; D], shape: [0; D] };
        for axis in 0..D {
            let start = self.start[axis].max(other.start[axis]);
            let end = (self.start[axis] + self.shape[axis]).min(other.start[axis] + other.shape[axis]);
            both.start[axis] = start;
            both.shape[axis] = end.checked_sub(start).filter(|&cells| cells > 0)?;
        }
        Some(both)
    }
}

/// One of the two ends of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Towards index 0.
    Low,
    /// Towards the last index.
    High,
}

impl Side {
    /// Both, low first.
    pub const BOTH: [Side; 2] = [Side::Low, Side::High];
}

/// A 1-, 2- or 3-dimensional box of cells, split in blocks over the ranks of a communicator.
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
    comm: Comm,
    cells: [usize; D],
    halo: usize,
    periodic: [bool; D],
    dims: [usize; D],
    own: Block<D>,
    beyond: [[Beyond; 2]; 3],
    layout: Layout,
}

impl<const D: usize> Clone for Grid<D> {
    fn clone(&self) -> Self {
        Grid(self.0.clone())
    }
}

/// A [`Grid`] in the making; from [`Grid::over`].
#[must_use = "build() makes the grid"]
pub struct GridBuilder<'c, const D: usize> {
    comm: &'c Comm,
    cells: [usize; D],
    halo: usize,
    periodic: [bool; D],
    dims: Option<[usize; D]>,
}

impl<const D: usize> GridBuilder<'_, D> {
    /// How many cells of its neighbours a rank sees on each side; 1 if not said. 0 is for fields without stencils.
    pub fn halo(mut self, cells: usize) -> Self {
        self.halo = cells;
        self
    }

    /// The axes on which the last cell is the first one's neighbour; none if not said.
    pub fn periodic(mut self, axes: [bool; D]) -> Self {
        self.periodic = axes;
        self
    }

    /// How many ranks along each axis, instead of the choice that communicates least.
    pub fn dims(mut self, ranks: [usize; D]) -> Self {
        self.dims = Some(ranks);
        self
    }

    /// Makes the grid, on a communicator of its own. Collective: every rank gives the same numbers.
    ///
    /// # Errors
    /// No cells, or more than can be counted; more ranks than can be placed; a block narrower than the halo; ranks
    /// that disagree.
    pub fn build(self) -> Result<Grid<D>> {
        let GridBuilder { comm, cells, halo, periodic, dims } = self;
        let decided = decide(comm.size(), cells, halo, periodic, dims);
        let comm = comm.dup()?;
        agree(&comm, cells, halo, periodic, dims)?;
        let dims = decided.map_err(|error| error.on_rank(comm.rank()))?;
        let own = block(cells, dims, comm.rank());
        let layout = Layout::new(own.shape, halo).ok_or_else(|| {
            Error::usage(format!("a block of {} cells with a halo of {halo}", by(own.shape)))
                .help("that is more than memory can hold: give fewer cells or more ranks")
        })?;
        let mut beyond = [[Beyond::Wall; 2]; 3];
        for axis in 0..D {
            for side in Side::BOTH {
                beyond[Layout::axis::<D>(axis)][side as usize] =
                    match neighbor(dims, periodic, comm.rank(), axis, side) {
                        None => Beyond::Wall,
                        Some(rank) if rank == comm.rank() => Beyond::Own,
                        Some(rank) => Beyond::Rank(rank),
                    };
            }
        }
        Ok(Grid(Rc::new(Inner { comm, cells, halo, periodic, dims, own, beyond, layout })))
    }
}

impl<const D: usize> Grid<D> {
    /// A grid with a halo of one cell and walls on every side. Collective; see [`GridBuilder::build`] for errors.
    pub fn new(comm: &Comm, cells: [usize; D]) -> Result<Grid<D>> {
        Grid::over(comm, cells).build()
    }

    /// A grid over the ranks of `comm`, with options to follow.
    pub fn over(comm: &Comm, cells: [usize; D]) -> GridBuilder<'_, D> {
        GridBuilder { comm, cells, halo: 1, periodic: [false; D], dims: None }
    }

    /// The shape of the whole grid.
    pub fn cells(&self) -> [usize; D] {
        self.0.cells
    }

    /// How many cells the whole grid has.
    #[expect(clippy::len_without_is_empty, reason = "a grid has at least one cell")]
    pub fn len(&self) -> usize {
        self.0.cells.iter().product()
    }

    /// The cells of this rank: at least one.
    pub fn own(&self) -> Block<D> {
        self.0.own
    }

    /// The cells of rank `rank`; `None` if there is no such rank. Local.
    pub fn block_of(&self, rank: usize) -> Option<Block<D>> {
        (rank < self.0.comm.size()).then(|| block(self.0.cells, self.0.dims, rank))
    }

    /// The rank that owns a cell; `None` outside the grid. Local.
    pub fn owner(&self, cell: [usize; D]) -> Option<usize> {
        let mut rank = 0;
        for (axis, index) in cell.into_iter().enumerate() {
            let (cells, ranks) = (self.0.cells[axis], self.0.dims[axis]);
            if index >= cells {
                return None;
            }
            let (each, more) = (cells / ranks, cells % ranks);
            let coord = match index.checked_sub(more * (each + 1)) {
                None => index / (each + 1),
                Some(behind) => more + behind / each,
            };
            rank = rank * ranks + coord;
        }
        Some(rank)
    }

    /// How many ranks stand along each axis.
    pub fn dims(&self) -> [usize; D] {
        self.0.dims
    }

    /// Where this rank stands among [`dims`](Grid::dims); the last axis runs fastest.
    pub fn coords(&self) -> [usize; D] {
        coords(self.0.dims, self.0.comm.rank())
    }

    /// The rank beyond a side of this rank's block: itself on a periodic axis that is not split, `None` at a wall.
    pub fn neighbor(&self, axis: usize, side: Side) -> Option<usize> {
        if axis >= D {
            return None;
        }
        neighbor(self.0.dims, self.0.periodic, self.0.comm.rank(), axis, side)
    }

    /// Which axes are periodic.
    pub fn periodic(&self) -> [bool; D] {
        self.0.periodic
    }

    /// How many cells of its neighbours a rank sees on each side.
    pub fn halo(&self) -> usize {
        self.0.halo
    }

    /// The grid's own communicator: the ranks it was made over, in the same order, but no message of theirs is met.
    pub fn comm(&self) -> &Comm {
        &self.0.comm
    }

    pub(crate) fn beyond(&self) -> &[[Beyond; 2]; 3] {
        &self.0.beyond
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.0.layout
    }

    /// The shape in which fields store the rank's block.
    pub(crate) fn padded_shape(&self) -> [usize; D] {
        std::array::from_fn(|axis| self.layout().padded[Layout::axis::<D>(axis)])
    }

    /// Whether fields on both have their cells at the same places.
    pub(crate) fn same(&self, other: &Grid<D>) -> bool {
        let key = |grid: &Inner<D>| (grid.cells, grid.halo, grid.periodic, grid.dims, grid.own);
        Rc::ptr_eq(&self.0, &other.0) || key(&self.0) == key(&other.0)
    }
}

impl<const D: usize> std::fmt::Debug for Grid<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (cells, dims) = (by(self.0.cells), by(self.0.dims));
        write!(f, "Grid({cells} cells over {dims} ranks, halo {})", self.0.halo)
    }
}

/// `2x3x4`
pub(crate) fn by<const D: usize>(shape: [usize; D]) -> String {
    shape.map(|n| n.to_string()).join("x")
}

/// Cells of one axis, dealt to its ranks; the first ones take the remainder.
fn share(cells: usize, ranks: usize, coord: usize) -> (usize, usize) {
    let (each, more) = (cells / ranks, cells % ranks);
    (coord * each + coord.min(more), each + usize::from(coord < more))
}

fn block<const D: usize>(cells: [usize; D], dims: [usize; D], rank: usize) -> Block<D> {
    let coords = coords(dims, rank);
    let shares: [_; D] = std::array::from_fn(|axis| share(cells[axis], dims[axis], coords[axis]));
    Block { start: shares.map(|share| share.0), shape: shares.map(|share| share.1) }
}

fn coords<const D: usize>(dims: [usize; D], mut rank: usize) -> [usize; D] {
    let mut coords = [0; D];
    for axis in (0..D).rev() {
        coords[axis] = rank % dims[axis];
        rank /= dims[axis];
    }
    coords
}

fn neighbor<const D: usize>(
    dims: [usize; D],
    periodic: [bool; D],
    rank: usize,
    axis: usize,
    side: Side,
) -> Option<usize> {
    let mut coords = coords(dims, rank);
    let ranks = dims[axis];
    coords[axis] = match side {
        Side::Low if coords[axis] > 0 => coords[axis] - 1,
        Side::High if coords[axis] + 1 < ranks => coords[axis] + 1,
        Side::Low if periodic[axis] => ranks - 1,
        Side::High if periodic[axis] => 0,
        _ => return None,
    };
    Some((0..D).fold(0, |rank, axis| rank * dims[axis] + coords[axis]))
}

/// Every rank must have asked for the same grid, or messages would be waited for that nobody sends.
fn agree<const D: usize>(
    comm: &Comm,
    cells: [usize; D],
    halo: usize,
    periodic: [bool; D],
    dims: Option<[usize; D]>,
) -> Result<()> {
    let mut key = 0xcbf2_9ce4_8422_2325_u64;
    let words = cells.into_iter().chain([halo, usize::from(dims.is_some())]).chain(dims.unwrap_or([0; D]));
    for word in words.chain(periodic.map(usize::from)) {
        key = (key ^ word as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
    let [largest, smallest] = comm.allreduce([key, !key], Max)?;
    if largest == !smallest {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Mismatch,
        format!("the ranks do not agree about a grid; here it has {} cells and a halo of {halo}", by(cells)),
    )
    .help("every rank must give the same cells, halo, periodic axes and dims")
    .on_rank(comm.rank()))
}

/// How many ranks stand along each axis, or why they cannot.
fn decide<const D: usize>(
    ranks: usize,
    cells: [usize; D],
    halo: usize,
    periodic: [bool; D],
    given: Option<[usize; D]>,
) -> Result<[usize; D]> {
    let shape = by(cells);
    if !(1..=3).contains(&D) {
        return Err(Error::usage(format!("a grid of {D} axes")).help("a grid has 1, 2 or 3 axes"));
    }
    if cells.contains(&0) {
        return Err(
            Error::usage(format!("a grid of {shape} cells")).help("give at least one cell on every axis")
        );
    }
    if cells.iter().try_fold(1usize, |product, &n| product.checked_mul(n)).is_none() {
        return Err(Error::usage(format!("a grid of {shape} cells"))
            .help(format!("their number must be below {}", usize::MAX)));
    }
    if let Some(axis) = (0..D).find(|&axis| cells[axis] < halo) {
        return Err(Error::usage(format!(
            "{shape} cells with a halo of {halo}: axis {axis} has only {} cells",
            cells[axis]
        ))
        .help("give at least as many cells on every axis as the halo is wide"));
    }
    // A block narrower than the halo would need cells of its neighbour's neighbour.
    let most = cells.map(|n| n / halo.max(1));
    if let Some(dims) = given {
        if dims.iter().try_fold(1usize, |product, &n| product.checked_mul(n)) != Some(ranks) {
            return Err(Error::usage(format!("dims {} on {ranks} ranks", by(dims)))
                .help("the product of the dims is the number of ranks"));
        }
        return match (0..D).find(|&axis| dims[axis] > most[axis]) {
            None => Ok(dims),
            Some(axis) => Err(Error::usage(format!(
                "{} ranks along axis {axis} of {shape} cells: a block would be narrower than {}",
                dims[axis],
                if halo > 1 { format!("the halo of {halo} cells") } else { "one cell".to_string() }
            ))
            .help(format!("put at most {} ranks along axis {axis}", most[axis]))),
        };
    }
    choose(ranks, cells, most, halo, periodic).ok_or_else(|| does_not_fit(ranks, cells, most, halo))
}

/// The factorisation of `ranks` that takes the slowest rank the least time, by the model at the top of this file.
fn choose<const D: usize>(
    ranks: usize,
    cells: [usize; D],
    most: [usize; D],
    halo: usize,
    periodic: [bool; D],
) -> Option<[usize; D]> {
    let mut best: Option<(f64, [usize; D])> = None;
    factorisations(ranks, most, |dims| {
        let cost = cost(cells, dims, halo, periodic);
        // Ties go to the earliest axis, which comes last.
        if best.is_none_or(|(least, _)| cost <= least) {
            best = Some((cost, dims));
        }
    });
    best.map(|(_, dims)| dims)
}

fn cost<const D: usize>(cells: [usize; D], dims: [usize; D], halo: usize, periodic: [bool; D]) -> f64 {
    let shape: [f64; D] = std::array::from_fn(|axis| cells[axis].div_ceil(dims[axis]) as f64);
    let volume: f64 = shape.iter().product();
    let faces: f64 = (0..D)
        .map(|axis| {
            let weight = match axis {
                0 => FACE,
                _ if axis == D - 1 => FACE_OF_CELLS,
                _ => FACE_OF_ROWS,
            };
            // An axis that is not split sends nothing, periodic or not.
            let faces = match dims[axis] {
                1 => 0.0,
                2 if !periodic[axis] => 1.0,
                _ => 2.0,
            };
            faces * weight * volume / shape[axis]
        })
        .sum();
    volume + SENT * halo.max(1) as f64 * faces
}

/// Calls `each` with every way to write `ranks` as a product with at most `most` along each axis.
fn factorisations<const D: usize>(ranks: usize, most: [usize; D], mut each: impl FnMut([usize; D])) {
    fn deal<const D: usize>(
        axis: usize,
        left: usize,
        most: &[usize; D],
        dims: &mut [usize; D],
        each: &mut impl FnMut([usize; D]),
    ) {
        if axis + 1 >= D {
            if left <= most[D - 1] {
                dims[D - 1] = left;
                each(*dims);
            }
            return;
        }
        for factor in (1..=left.min(most[axis])).filter(|factor| left.is_multiple_of(*factor)) {
            dims[axis] = factor;
            deal(axis + 1, left / factor, most, dims, each);
        }
    }
    deal(0, ranks, &most, &mut [1; D], &mut each);
}

#[cold]
fn does_not_fit<const D: usize>(ranks: usize, cells: [usize; D], most: [usize; D], halo: usize) -> Error {
    let fits = |ranks: usize| {
        let mut found = false;
        factorisations(ranks, most, |_| found = true);
        found
    };
    let limit = most.iter().fold(1usize, |product, &n| product.saturating_mul(n));
    let what = if ranks > limit {
        format!("{ranks} ranks, but {} cells", by(cells))
    } else {
        format!("{ranks} ranks cannot be dealt to {} cells", by(cells))
    };
    let narrow = if halo > 1 { format!(" with a halo of {halo}") } else { String::new() };
    let below = (1..ranks).rev().find(|&fewer| fits(fewer)).unwrap_or(1);
    let above = (ranks + 1..=limit.min(ranks.saturating_mul(4))).find(|&more| fits(more));
    let limit = format!("at most {} ranks along the axes{narrow}", by(most));
    Error::usage(format!("{what}: {limit}")).help(match above {
        Some(above) => format!("use {below} or {above} ranks"),
        None => format!("use {below} ranks"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dims<const D: usize>(ranks: usize, cells: [usize; D]) -> [usize; D] {
        decide(ranks, cells, 1, [false; D], None).unwrap()
    }

    #[test]
    fn a_cube_is_cut_where_faces_are_cheap() {
        assert_eq!(dims(2, [256, 256, 256]), [2, 1, 1]);
        assert_eq!(dims(4, [256, 256, 256]), [2, 2, 1]);
        assert_eq!(dims(8, [256, 256, 256]), [4, 2, 1]);
        assert_eq!(dims(64, [256, 256, 256]), [8, 4, 2]);
        assert_eq!(dims(7, [64, 64, 64]), [7, 1, 1]);
    }

    #[test]
    fn long_axes_are_cut_first() {
        assert_eq!(dims(4, [4, 1000, 4]), [1, 4, 1]);
        assert_eq!(dims(4, [4, 4, 100_000]), [1, 1, 4]);
        assert_eq!(dims(2, [1, 100]), [1, 2]);
        assert_eq!(dims(5, [10, 3, 3]), [5, 1, 1]);
    }

    #[test]
    fn few_planes_are_not_dealt_unevenly() {
        // Four ranks along axis 0 would leave one with 2 of 5 planes.
        assert_eq!(dims(4, [5, 400, 40]), [1, 4, 1]);
    }

    fn no<const D: usize>(ranks: usize, cells: [usize; D], halo: usize, given: Option<[usize; D]>) -> Error {
        decide(ranks, cells, halo, [false; D], given).unwrap_err()
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let error = no(7, [1, 2, 3], 1, None);
        assert!(error.to_string().contains("7 ranks, but 1x2x3 cells"), "{error}");
        assert!(error.to_string().contains("use 6 ranks"), "{error}");
        let error = no(7, [5, 5], 1, None);
        assert!(error.to_string().contains("use 6 or 8 ranks"), "{error}");
        let error = no(4, [5, 1], 2, None);
        assert!(error.to_string().contains("axis 1 has only 1 cells"), "{error}");
        let error = no(4, [6, 3], 3, None);
        assert!(error.to_string().contains("with a halo of 3"), "{error}");
        no(1, [usize::MAX, 2], 1, None);
        no(1, [3, 0], 1, None);
        no::<0>(1, [], 1, None);
        no(1, [2; 4], 1, None);
        no(6, [10, 10], 1, Some([2, 2]));
        let error = no(6, [4, 10], 1, Some([6, 1]));
        assert!(error.to_string().contains("at most 4 ranks along axis 0"), "{error}");
    }
}
