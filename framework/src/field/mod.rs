//! `Field`: a distributed array of 1, 2 or 3 dimensions, one value for each cell of a grid.
//!
//! This file makes fields and gives access to their cells. Sweeps are in `update`, reductions in `reduce`, memory in
//! `storage`, what is beyond the edges in `walls` and `crate::halo`, who owns which cells in `crate::grid`.

mod reduce;
mod rows;
mod slab;
mod storage;
mod update;
mod walls;

pub use rows::{Reader, Rows};
pub use walls::{Wall, Walls};

use crate::comm::Element;
use crate::error::{Error, Result};
use crate::grid::Grid;
use crate::halo::{self, Buffers, Layout};
use ndarray::{ArrayView, ArrayViewMut, Dim, Dimension, IntoDimension, Slice};
use rayon::prelude::*;
use storage::Storage;
use walls::Ghosts;

/// One value of type `T` for each cell of a [`Grid`]: a rank holds those of its block, and around them copies of
/// the cells that its neighbours hold (the halo).
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
    storage: Storage<T>,
    buffers: Buffers<T>,
    walls: Walls<T, D>,
    /// Whether the ghost cells that this rank fills by itself agree with the owned ones. Those that others send
    /// are never trusted: a write on one rank alone would leave the ranks of two minds about who has to send.
    ghosts_filled: bool,
}

impl<T: Element, const D: usize> Field<T, D> {
    /// A field that is `value` everywhere, with [`Wall::Mirror`] on all walls. Local.
    ///
    /// # Errors
    /// More cells than this rank's memory can hold.
    pub fn new(grid: &Grid<D>, value: T) -> Result<Field<T, D>> {
        let mut field = Field::zeroed(grid)?;
        let plane = grid.layout().plane();
        // By the threads that will compute the planes: memory is placed near the core that touches it first.
        in_slabs(field.storage.elements_mut(), plane, |_, slab| slab.fill(value));
        Ok(field)
    }

    /// A field whose value at each cell is a function of the cell's global index. Local; `value` is called on the
    /// rank's threads, once for each of its cells.
    ///
    /// # Errors
    /// As [`Field::new`].
    pub fn from_fn(grid: &Grid<D>, value: impl Fn([usize; D]) -> T + Sync) -> Result<Field<T, D>> {
        let mut field = Field::zeroed(grid)?;
        field.fill_with(value);
        Ok(field)
    }

    /// Another field on the same grid with the same values and walls. Local.
    ///
    /// # Errors
    /// As [`Field::new`].
    pub fn duplicate(&self) -> Result<Field<T, D>> {
        let mut field = Field::zeroed(&self.grid)?;
        field.copy_from(self)?;
        field.walls = self.walls;
        Ok(field)
    }

    fn zeroed(grid: &Grid<D>) -> Result<Field<T, D>> {
        let layout = grid.layout();
        Ok(Field {
            grid: grid.clone(),
            storage: Storage::new(layout.len(), layout.halo[2])
                .map_err(|error| error.on_rank(grid.comm().rank()))?,
            buffers: Buffers::new(layout, grid.beyond()),
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

    /// The value at a global index, if this rank owns the cell. Local.
    pub fn get(&self, cell: [usize; D]) -> Option<T> {
        self.position(cell).map(|at| self.storage.elements()[at])
    }

    /// Sets the value at a global index if this rank owns the cell, and says whether it does. Local.
    pub fn set(&mut self, cell: [usize; D], value: T) -> bool {
        let Some(at) = self.position(cell) else { return false };
        self.storage_mut()[at] = value;
        true
    }

    fn position(&self, cell: [usize; D]) -> Option<usize> {
        let own = self.grid.own();
        own.contains(cell).then(|| {
            let reader = self.reader();
            (0..D).fold(reader.base, |at, axis| at + (cell[axis] - own.start[axis]) * reader.strides[axis])
        })
    }

    /// Sets every owned cell to `value`. Local.
    pub fn fill(&mut self, value: T) {
        self.fill_with(|_| value);
    }

    /// Sets every owned cell to a function of its global index. Local; called on the rank's threads.
    pub fn fill_with(&mut self, value: impl Fn([usize; D]) -> T + Sync) {
        self.each_mut(|index, cell| *cell = value(index));
    }

    /// Calls `change` with every owned cell and its global index. Local; called on the rank's threads.
    pub fn each_mut(&mut self, change: impl Fn([usize; D], &mut T) + Sync) {
        self.ghosts_filled = false;
        let (layout, start) = (*self.grid.layout(), self.grid.own().start);
        let owned = &mut self.storage.elements_mut()[layout.planes(0..layout.cells[0])];
        in_slabs(owned, layout.plane(), |first, slab| {
            for (z, plane) in slab.chunks_exact_mut(layout.plane()).enumerate() {
                for y in 0..layout.cells[1] {
                    let mut index = global(start, [first + z, y, 0]);
                    for cell in &mut plane[layout.cells_of_row(y)] {
                        change(index, cell);
                        index[D - 1] += 1;
                    }
                }
            }
        });
    }

    /// Copies the owned cells of another field on the same grid. Local.
    ///
    /// # Errors
    /// A field on another grid.
    #[track_caller]
    pub fn copy_from(&mut self, other: &Field<T, D>) -> Result<()> {
        self.check_grid("copy_from", other.grid())?;
        self.ghosts_filled = false;
        let (layout, from) = (*self.grid.layout(), other.storage());
        in_slabs(self.storage.elements_mut(), layout.plane(), |first, slab| {
            slab.copy_from_slice(&from[first * layout.plane()..][..slab.len()]);
        });
        Ok(())
    }

    /// The owned cells with their global indices, in C order. Local.
    pub fn iter(&self) -> impl Iterator<Item = ([usize; D], T)> {
        let (layout, start) = (*self.grid.layout(), self.grid.own().start);
        let planes = self.storage.elements()[layout.planes(0..layout.cells[0])].chunks_exact(layout.plane());
        planes.enumerate().flat_map(move |(z, plane)| {
            (0..layout.cells[1]).flat_map(move |y| {
                let row = &plane[layout.cells_of_row(y)];
                row.iter().enumerate().map(move |(x, &value)| {
                    let mut index = global(start, [z, y, 0]);
                    index[D - 1] += x;
                    (index, value)
                })
            })
        })
    }

    /// All memory of the field: the owned cells with `halo` ghost cells on both ends of every axis, in C order and
    /// of shape [`padded_shape`](Field::padded_shape). What the ghost cells hold is settled by
    /// [`exchange`](Field::exchange) only, and those of edges and corners never.
    pub fn storage(&self) -> &[T] {
        self.storage.elements()
    }

    /// As [`storage`](Field::storage), to write the owned cells.
    pub fn storage_mut(&mut self) -> &mut [T] {
        self.ghosts_filled = false;
        self.storage.elements_mut()
    }

    /// The shape of [`storage`](Field::storage): that of the rank's block and twice the halo on each axis; rows, where
    /// there are several, are padded further to whole cache lines.
    pub fn padded_shape(&self) -> [usize; D] {
        self.grid.padded_shape()
    }

    /// The ghost cells on each end of every axis.
    pub fn halo(&self) -> usize {
        self.grid.halo()
    }

    /// The storage as threads may read it: for sweeps that read other fields beside the one they update.
    pub fn reader(&self) -> Reader<'_, T, D> {
        let (shape, halo) = (self.padded_shape(), self.grid.halo());
        let mut strides = [1; D];
        for axis in (1..D).rev() {
            strides[axis - 1] = strides[axis] * shape[axis];
        }
        let base = strides.iter().map(|stride| stride * halo).sum();
        Reader { cells: self.storage(), strides, halo, base, origin: self.grid.own().start }
    }

    /// Fills all ghost cells but those of edges and corners: with the neighbours' cells, and by the walls. Every
    /// rank calls it. [`update_from`](Field::update_from) does it by itself.
    ///
    /// # Errors
    /// A failure of the engine, or another rank's.
    #[track_caller]
    pub fn exchange(&mut self) -> Result<()> {
        self.fill_ghosts();
        self.exchange_axes([true; 3], |_, _| Ok(()))
    }

    #[track_caller]
    fn exchange_axes(
        &mut self,
        axes: [bool; 3],
        meanwhile: impl FnOnce(&[T], &mut halo::Progress<'_, T>) -> Result<()>,
    ) -> Result<()> {
        let (grid, storage) = (&self.grid, self.storage.elements_mut());
        let (layout, beyond) = (grid.layout(), grid.beyond());
        halo::exchange(grid.comm(), layout, beyond, axes, storage, &mut self.buffers, meanwhile)
    }

    /// The rules for the ghost cells that this rank fills by itself.
    fn ghosts(&self) -> Ghosts<T> {
        Ghosts::new(&self.walls, self.grid.beyond())
    }

    fn fill_ghosts(&mut self) {
        if !self.ghosts_filled {
            self.ghosts().fill(self.grid.layout(), self.storage.elements_mut());
            self.ghosts_filled = true;
        }
    }

    #[track_caller]
    fn check_grid(&self, call: &str, other: &Grid<D>) -> Result<()> {
        if self.grid.same(other) {
            return Ok(());
        }
        let place = std::panic::Location::caller();
        Err(Error::usage(format!("{call}: the fields are on {:?} and on {other:?}", self.grid))
            .help("make both fields on the same grid")
            .on_rank(self.grid.comm().rank())
            .at(place))
    }
}

impl<T: Element, const D: usize> Field<T, D>
where
    Dim<[usize; D]>: Dimension,
    [usize; D]: IntoDimension<Dim = Dim<[usize; D]>>,
{
    /// The owned cells as an array of the shape of the rank's block. Local.
    pub fn view(&self) -> ArrayView<'_, T, Dim<[usize; D]>> {
        let (shape, own) = (self.padded_shape(), self.grid.own().shape);
        let halo = self.grid.halo();
        let mut view = ArrayView::from_shape(shape.into_dimension(), self.storage())
            .expect("storage has its padded shape");
        view.slice_each_axis_inplace(|axis| Slice::from(halo..halo + own[axis.axis.index()]));
        view
    }

    /// As [`view`](Field::view), to write. A rank may do so alone: halos are brought up to date when they are read.
    pub fn view_mut(&mut self) -> ArrayViewMut<'_, T, Dim<[usize; D]>> {
        let (shape, own) = (self.padded_shape(), self.grid.own().shape);
        let halo = self.grid.halo();
        let mut view = ArrayViewMut::from_shape(shape.into_dimension(), self.storage_mut())
            .expect("storage has its padded shape");
        view.slice_each_axis_inplace(|axis| Slice::from(halo..halo + own[axis.axis.index()]));
        view
    }
}

impl<T: Element, const D: usize> std::fmt::Debug for Field<T, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Field<{}> on {:?}", std::any::type_name::<T>(), self.grid)
    }
}

/// The global index of a place in a block, of planes, rows and cells as [`Layout`] has them.
fn global<const D: usize>(start: [usize; D], place: [usize; 3]) -> [usize; D] {
    std::array::from_fn(|axis| start[axis] + place[Layout::axis::<D>(axis)])
}

/// Calls `each` with parts of `planes` and the number of their first plane, on the rank's threads.
fn in_slabs<T: Element>(planes: &mut [T], plane: usize, each: impl Fn(usize, &mut [T]) + Sync) {
    let (count, threads) = (planes.len() / plane, rayon::current_num_threads());
    if threads == 1 || count < 2 {
        return each(0, planes);
    }
    let planes_each = count.div_ceil(threads);
    planes
        .par_chunks_mut(planes_each * plane)
        .enumerate()
        .for_each(|(slab, planes)| each(slab * planes_each, planes));
}
