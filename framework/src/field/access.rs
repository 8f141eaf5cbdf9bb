//! The values of a field: by global index, by closures on the rank's threads, as arrays, as bare storage.
//!
//! Nothing here communicates, and every write leaves the halo to the next sweep or exchange.

use super::{Field, Reader, global, in_slabs};
use crate::comm::Element;
use crate::error::Result;
use crate::grid::Stencil;
use crate::halo::Layout;
use ndarray::{ArrayView, ArrayViewMut, Dim, Dimension, IntoDimension, Slice};

impl<T: Element, const D: usize> Field<T, D> {
    /// The value at a global index, if this rank owns the cell. Local.
    pub fn get(&self, cell: [usize; D]) -> Option<T> {
        self.position(cell).map(|at| self.storage.as_slice()[at])
    }

    /// Sets the value at a global index if this rank owns the cell, and says whether it does. Local.
    pub fn set(&mut self, cell: [usize; D], value: T) -> bool {
        let Some(at) = self.position(cell) else { return false };
        self.storage_mut()[at] = value;
        true
    }

    fn position(&self, cell: [usize; D]) -> Option<usize> {
        let own = self.own();
        own.contains(cell).then(|| {
            let reader = self.reader();
            (0..D).fold(reader.base, |at, axis| at + (cell[axis] - own.start[axis]) * reader.strides[axis])
        })
    }

    /// Sets every owned cell to `value`. Local.
    pub fn fill(&mut self, value: T) {
        self.fill_with(|_| value);
    }

    /// Sets every owned point to a function of where it is, by the grid's origin and spacing. Local; called on the rank's
    /// threads.
    ///
    /// ```
    /// # use rankine::{Field, Grid};
    /// rankine::testing::ranks([1, 2], |world| {
    ///     let grid = Grid::over(world, [100]).origin([-1.0]).spacing([0.02]).build()?;
    ///     let mut parabola = Field::new(&grid, 0.0)?;
    ///     parabola.fill_at(|[x]| x * x);
    ///     assert!((parabola.sum()? * 0.02 - 2.0 / 3.0).abs() < 1e-4);
    ///     Ok(())
    /// });
    /// ```
    pub fn fill_at(&mut self, value: impl Fn([f64; D]) -> T + Sync) {
        let frame = self.frame();
        self.each_mut(|index, cell| *cell = value(frame.coordinates(index)));
    }

    /// Sets every owned cell to a function of its global index. Local; called on the rank's threads.
    pub fn fill_with(&mut self, value: impl Fn([usize; D]) -> T + Sync) {
        self.each_mut(|index, cell| *cell = value(index));
    }

    /// Calls `change` with every owned cell and its global index. Local; called on the rank's threads.
    pub fn each_mut(&mut self, change: impl Fn([usize; D], &mut T) + Sync) {
        self.ghosts_filled = false;
        let (layout, start) = (self.points.layout, self.points.own.start);
        let owned = &mut self.storage.as_mut_slice()[layout.planes(0..layout.cells[0])];
        in_slabs(owned, layout.plane(), |first, slab| {
            for (z, plane) in slab.chunks_exact_mut(layout.plane()).enumerate() {
                for ([w, y], cells) in layout.rows_of_plane() {
                    let mut index = global(start, [first + z, w, y, 0]);
                    for cell in &mut plane[cells] {
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
        self.check_points("copy_from", other)?;
        self.ghosts_filled = false;
        let (layout, from) = (self.points.layout, other.storage());
        in_slabs(self.storage.as_mut_slice(), layout.plane(), |first, slab| {
            slab.copy_from_slice(&from[first * layout.plane()..][..slab.len()]);
        });
        Ok(())
    }

    /// The owned cells with their global indices, in C order. Local.
    pub fn iter(&self) -> impl Iterator<Item = ([usize; D], T)> {
        let (layout, start) = (self.points.layout, self.points.own.start);
        let planes = self.storage.as_slice()[layout.planes(0..layout.cells[0])].chunks_exact(layout.plane());
        planes.enumerate().flat_map(move |(z, plane)| {
            layout.rows_of_plane().flat_map(move |([w, y], cells)| {
                plane[cells].iter().enumerate().map(move |(x, &value)| {
                    let mut index = global(start, [z, w, y, 0]);
                    index[D - 1] += x;
                    (index, value)
                })
            })
        })
    }

    /// All memory of the field: the owned cells with `halo` ghost cells on both ends of every axis, in C order and
    /// of shape [`padded_shape`](Field::padded_shape). What the ghost cells hold is settled by
    /// [`exchange`](Field::exchange) only, and those of edges and corners on a grid of
    /// [`Stencil::Box`](crate::Stencil::Box) only.
    pub fn storage(&self) -> &[T] {
        self.storage.as_slice()
    }

    /// As [`storage`](Field::storage), to write the owned cells.
    pub fn storage_mut(&mut self) -> &mut [T] {
        self.ghosts_filled = false;
        self.storage.as_mut_slice()
    }

    /// The shape of [`storage`](Field::storage): that of the rank's block and twice the halo on each axis; rows, where
    /// there are several, are padded further to whole cache lines.
    pub fn padded_shape(&self) -> [usize; D] {
        self.points.padded_shape()
    }

    /// The ghost cells on each end of every axis; none on a rank that owns no cells.
    pub fn halo(&self) -> usize {
        self.points.layout.halo[0]
    }

    /// The storage as threads may read it: for sweeps that read other fields beside the one they update.
    pub fn reader(&self) -> Reader<'_, T, D> {
        let (layout, halo) = (&self.points.layout, self.halo());
        let strides: [usize; D] = std::array::from_fn(|axis| layout.strides()[Layout::axis::<D>(axis)]);
        let base = strides.iter().map(|stride| stride * halo).sum();
        let corners = self.grid.stencil() == Stencil::Box;
        Reader { cells: self.storage(), strides, halo, corners, base, origin: self.points.own.start }
    }
}

impl<T: Element, const D: usize> Field<T, D>
where
    Dim<[usize; D]>: Dimension,
    [usize; D]: IntoDimension<Dim = Dim<[usize; D]>>,
{
    /// The owned cells as an array of the shape of the rank's block. Local.
    pub fn view(&self) -> ArrayView<'_, T, Dim<[usize; D]>> {
        let (shape, own) = (self.padded_shape(), self.own().shape);
        let halo = self.halo();
        let mut view = ArrayView::from_shape(shape.into_dimension(), self.storage())
            .expect("storage has its padded shape");
        view.slice_each_axis_inplace(|axis| Slice::from(halo..halo + own[axis.axis.index()]));
        view
    }

    /// As [`view`](Field::view), to write. A rank may do so alone: halos are brought up to date when they are read.
    pub fn view_mut(&mut self) -> ArrayViewMut<'_, T, Dim<[usize; D]>> {
        let (shape, own) = (self.padded_shape(), self.own().shape);
        let halo = self.halo();
        let mut view = ArrayViewMut::from_shape(shape.into_dimension(), self.storage_mut())
            .expect("storage has its padded shape");
        view.slice_each_axis_inplace(|axis| Slice::from(halo..halo + own[axis.axis.index()]));
        view
    }
}
