//! `Field`: a distributed array of 1 to 4 dimensions, one value for each cell of a grid, or for each face or edge.
//!
//! This file makes fields and says where they lie. Their values are reached in `access`, their halos in `exchange` and
//! `walls`; sweeps are in `update`, `in_place` and `sweep`, reductions in `reduce`, `norms` and `locate` on `owned`, other levels in `transfer`, memory in `storage`. Who owns which
//! cells is in `crate::grid`.

mod access;
mod behind;
mod exchange;
mod in_place;
mod locate;
mod norms;
mod owned;
mod reduce;
mod rows;
mod slab;
mod sweep;
mod transfer;
mod update;
mod walls;

pub use behind::Near;
pub use locate::Histogram;
pub use norms::{Magnitude, Norm};
pub(crate) use reduce::mixed;
pub use rows::{Reader, Rows, Span};
pub use transfer::{Prolongation, Scaled};
pub use walls::{Wall, Walls};

use crate::comm::Element;
use crate::error::{Error, Result};
use crate::grid::points::Points;
use crate::grid::{Block, Grid};
use crate::halo::{Buffers, Layout};
use crate::memory::Memory;
use rayon::prelude::*;
use rows::Frame;
use std::rc::Rc;

/// One value of type `T` for each cell of a [`Grid`]: a rank holds those of its block, and around them copies of
/// the cells that its neighbours hold (the halo). The values lie in the middle of cells, or on faces between them
/// ([`Field::staggered`]).
///
/// Row-major (C order): the last axis is contiguous. On an edge of the domain the halo holds what the field's
/// [`Wall`] says. Every value is at first what its constructor gives, halos included once a sweep needs them.
///
/// ```
/// use rankine::{Field, Grid};
/// rankine::testing::ranks([1, 2, 3, 4], |world| {
///     let grid = Grid::over(world, [16, 16]).periodic([true, true]).build()?;
///     let mut now = Field::from_fn(&grid, |[y, x]| f64::from(y == 8 && x == 8))?;
///     let mut next = Field::new(&grid, 0.0)?;
///     for _ in 0..10 {
///         next.update_from(&mut now, |out, rows| {
///             let c = rows.at([0, 0]);
///             let (n, s) = (rows.at([-1, 0]), rows.at([1, 0]));
///             let (w, e) = (rows.at([0, -1]), rows.at([0, 1]));
///             for i in 0..out.len() {
///                 out[i] = c[i] + 0.2 * (n[i] + s[i] + w[i] + e[i] - 4.0 * c[i]);
///             }
///         })?;
///         std::mem::swap(&mut now, &mut next);
///     }
///     assert!((now.sum()? - 1.0).abs() < 1e-14);
///     Ok(())
/// });
/// ```
pub struct Field<T: Element, const D: usize> {
    grid: Grid<D>,
    points: Rc<Points<D>>,
    storage: Memory<T>,
    /// That of a field which was computed from itself.
    spare: Option<Memory<T>>,
    /// What is packed for an exchange, for each stencil.
    buffers: [Buffers<T>; 2],
    /// Of transfers between levels.
    kept: transfer::Kept<T>,
    walls: Walls<T, D>,
    /// Whether the ghost cells that this rank fills by itself agree with the owned ones. Those that others send
    /// are never trusted: a write on one rank alone would leave the ranks of two minds about who has to send.
    ghosts_filled: bool,
}

impl<T: Element, const D: usize> Field<T, D> {
    /// A field that is `value` in every cell, with [`Wall::Mirror`] on all walls. Local.
    ///
    /// # Errors
    /// More cells than this rank's memory can hold.
    pub fn new(grid: &Grid<D>, value: T) -> Result<Field<T, D>> {
        Field::on_points(grid, grid.centers().clone(), value)
    }

    /// A field that is `value` everywhere, on the low faces of cells along the axes that are `true`: with one of them on
    /// the faces of that axis, with two on edges, with all on corners. Local.
    ///
    /// There is a point more than cells along such an axis, on the face of the last cell at the wall; on a periodic axis
    /// that is face 0, and there are as many points as cells. A point belongs to the rank that owns the cell above it,
    /// the last one to that of the last cell. All else is as with cells: halos, walls, reductions, files.
    ///
    /// ```
    /// # use rankine::{Field, Grid};
    /// rankine::testing::ranks([1, 2, 4], |world| {
    ///     let grid = Grid::new(world, [8, 6])?;
    ///     let flux = Field::staggered(&grid, [false, true], 1.0)?;
    ///     assert_eq!(flux.points(), [8, 7]);
    ///     assert_eq!(flux.sum()?, 56.0);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// As [`Field::new`]; along such an axis a first block without a cell more than the halo is wide, on every rank.
    pub fn staggered(grid: &Grid<D>, axes: [bool; D], value: T) -> Result<Field<T, D>> {
        Field::on_points(grid, grid.staggered(axes)?, value)
    }

    fn on_points(grid: &Grid<D>, points: Rc<Points<D>>, value: T) -> Result<Field<T, D>> {
        let mut field = Field::zeroed(grid, points)?;
        let plane = field.points.layout.plane();
        // By the threads that will compute the planes: memory is placed near the core that touches it first.
        in_slabs(field.storage.as_mut_slice(), plane, |_, slab| slab.fill(value));
        Ok(field)
    }

    /// A field whose value at each cell is a function of the cell's global index. Local; `value` is called on the
    /// rank's threads, once for each of its cells.
    ///
    /// # Errors
    /// As [`Field::new`].
    pub fn from_fn(grid: &Grid<D>, value: impl Fn([usize; D]) -> T + Sync) -> Result<Field<T, D>> {
        let mut field = Field::zeroed(grid, grid.centers().clone())?;
        field.fill_with(value);
        Ok(field)
    }

    /// Another field on the same points of the same grid with the same values and walls. Local.
    ///
    /// # Errors
    /// As [`Field::new`].
    pub fn duplicate(&self) -> Result<Field<T, D>> {
        let mut field = Field::zeroed(&self.grid, self.points.clone())?;
        field.copy_from(self)?;
        field.walls = self.walls;
        Ok(field)
    }

    fn zeroed(grid: &Grid<D>, points: Rc<Points<D>>) -> Result<Field<T, D>> {
        Ok(Field {
            storage: storage(grid, &points.layout)?,
            spare: None,
            grid: grid.clone(),
            points,
            buffers: [Buffers::default(), Buffers::default()],
            kept: transfer::Kept::default(),
            walls: Wall::Mirror.into(),
            ghosts_filled: false,
        })
    }

    /// The field with other walls: one [`Wall`] for all sides, or `[[low, high]; D]`. Those of periodic axes are
    /// ignored.
    ///
    /// ```
    /// # use rankine::{Field, Grid, Wall};
    /// # rankine::testing::ranks([1, 2], |world| {
    /// let grid = Grid::new(world, [32, 64])?;
    /// let hot = Wall::Fixed(100.0);
    /// let plate = Field::new(&grid, 20.0)?.walls([[hot, Wall::Mirror], [Wall::Mirror; 2]]);
    /// # assert_eq!(plate.grid().halo(), 1);
    /// # Ok(()) });
    /// ```
    #[must_use = "the field comes back with the walls"]
    pub fn walls(mut self, walls: impl Into<Walls<T, D>>) -> Self {
        self.set_walls(walls);
        self
    }

    /// Changes the walls, from the next sweep or exchange on. Local, but every rank should say the same.
    pub fn set_walls(&mut self, walls: impl Into<Walls<T, D>>) {
        self.walls = walls.into();
        self.ghosts_filled = false;
    }

    /// The grid the field is on.
    pub fn grid(&self) -> &Grid<D> {
        &self.grid
    }

    /// Along which axes the values lie on faces; none in a field of cells.
    pub fn staggering(&self) -> [bool; D] {
        self.points.staggered
    }

    /// The shape of the whole field: the grid's cells, and one more along staggered axes that are not periodic.
    pub fn points(&self) -> [usize; D] {
        self.points.count
    }

    /// The points of this rank; of a field of cells [`Grid::own`].
    pub fn own(&self) -> Block<D> {
        self.points.own
    }

    /// The points of rank `rank`; `None` if there is no such rank. Local.
    pub fn block_of(&self, rank: usize) -> Option<Block<D>> {
        self.grid.points_of(rank, self.points.staggered)
    }

    /// The rank that owns a point; `None` outside the field. Local.
    pub fn owner(&self, point: [usize; D]) -> Option<usize> {
        if (0..D).any(|axis| point[axis] >= self.points.count[axis]) {
            return None;
        }
        let cells = self.grid.cells();
        self.grid.owner(std::array::from_fn(|axis| point[axis].min(cells[axis] - 1)))
    }

    /// Where a point is, by the grid's origin and spacing: the middle of a cell, or of its low face.
    pub fn coordinates(&self, point: [usize; D]) -> [f64; D] {
        self.frame().coordinates(point)
    }

    fn frame(&self) -> Frame<D> {
        let first = self.grid.coordinates([0; D], self.points.staggered);
        Frame { first, spacing: self.grid.spacing() }
    }

    #[track_caller]
    fn check_points<U: Element>(&self, call: &str, other: &Field<U, D>) -> Result<()> {
        let on = other.grid();
        if self.grid.same(on) && self.points.same(&other.points) {
            return Ok(());
        }
        let place = std::panic::Location::caller();
        let (what, help) = if self.grid.same(on) {
            let (mine, others) = (self.points.staggered, other.points.staggered);
            (
                format!("staggered along {mine:?} and {others:?}"),
                "make both fields on the same points of the grid",
            )
        } else {
            (format!("on {:?} and on {on:?}", self.grid), "make both fields on the same grid")
        };
        Err(Error::usage(format!("{call}: the fields are {what}"))
            .help(help)
            .on_rank(self.grid.comm().rank())
            .at(place))
    }
}

fn storage<T: Element, const D: usize>(grid: &Grid<D>, layout: &Layout) -> Result<Memory<T>> {
    Memory::aligned(layout.len(), layout.halo[3]).map_err(|_| {
        Error::usage(format!("a field of {} cells a rank, of {} bytes each", layout.len(), size_of::<T>()))
            .help("this rank's memory does not hold it: give fewer cells or more ranks")
            .on_rank(grid.comm().rank())
    })
}

impl<T: Element, const D: usize> std::fmt::Debug for Field<T, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Field<{}> on {:?}", std::any::type_name::<T>(), self.grid)
    }
}

/// The global index of a place in a block, of planes, sheets, rows and cells as [`Layout`] has them.
fn global<const D: usize>(start: [usize; D], place: [usize; 4]) -> [usize; D] {
    std::array::from_fn(|axis| start[axis] + place[Layout::axis::<D>(axis)])
}

/// Calls `each` with parts of `planes` and the number of their first plane, on the rank's threads.
pub(crate) fn in_slabs<T: Element>(planes: &mut [T], plane: usize, each: impl Fn(usize, &mut [T]) + Sync) {
    let (count, threads) = (planes.len() / plane.max(1), rayon::current_num_threads());
    if count == 0 {
        return;
    }
    if threads == 1 || count < 2 {
        return each(0, planes);
    }
    let planes_each = count.div_ceil(threads);
    planes
        .par_chunks_mut(planes_each * plane)
        .enumerate()
        .for_each(|(slab, planes)| each(slab * planes_each, planes));
}
