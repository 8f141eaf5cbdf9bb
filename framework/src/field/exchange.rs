//! Halos brought up to date by themselves: of one field, of several at once, and what the author puts beyond an edge.
//!
//! What a sweep exchanges meanwhile is in `update` and `in_place`; the messages are `crate::halo`'s.

use super::walls::Ghosts;
use super::{Field, Wall};
use crate::comm::Element;
use crate::error::{Error, Result};
use crate::grid::{Grid, Side, Stencil};
use crate::halo::together::sealed::Planes;
use crate::halo::{self, AnyField, Beyond, Layout, Progress, Which, together};
use std::panic::Location;

impl<T: Element, const D: usize> Field<T, D> {
    /// Fills all ghost cells: with the neighbours' cells, and by the walls. On a grid of
    /// [`Stencil::Star`](crate::Stencil::Star) those of edges and corners are not brought up to date. Every rank calls
    /// it. [`update_from`](Field::update_from) does it by itself.
    ///
    /// # Errors
    /// A failure of the engine, or another rank's.
    #[track_caller]
    pub fn exchange(&mut self) -> Result<()> {
        self.exchange_as(self.grid.stencil())
    }

    /// As [`exchange`](Field::exchange), with or without edges and corners whatever the grid says.
    #[track_caller]
    pub(crate) fn exchange_as(&mut self, stencil: Stencil) -> Result<()> {
        self.fill_ghosts();
        self.exchange_part(stencil, Which::All, |_, _| Ok(()))
    }

    #[track_caller]
    pub(super) fn exchange_links(
        &mut self,
        which: Which,
        meanwhile: impl FnOnce(&[T], &mut Progress<'_, T>) -> Result<()>,
    ) -> Result<()> {
        self.exchange_part(self.grid.stencil(), which, meanwhile)
    }

    #[track_caller]
    fn exchange_part(
        &mut self,
        stencil: Stencil,
        which: Which,
        meanwhile: impl FnOnce(&[T], &mut Progress<'_, T>) -> Result<()>,
    ) -> Result<()> {
        let Field { grid, points, storage, buffers, .. } = self;
        let (comm, links) = (grid.comm().backstage(), points.links(grid, stencil));
        let what = halo::Exchange { comm, layout: &points.layout, links, which };
        halo::exchange(what, storage.as_mut_slice(), &mut buffers[stencil as usize], meanwhile)
    }

    /// The rules for the ghost cells that this rank fills by itself.
    pub(super) fn ghosts(&self) -> Ghosts<T> {
        Ghosts::new(&self.walls, self.grid.beyond(), &self.points)
    }

    pub(super) fn fill_ghosts(&mut self) {
        if !self.ghosts_filled {
            self.ghosts().fill(&self.points.layout, self.storage.as_mut_slice());
            self.ghosts_filled = true;
        }
    }

    /// Sets the ghost cells beyond an edge of the domain, whose wall is [`Wall::Given`], to a function of their index
    /// (below 0, or from the field's shape on) and of the owned cell that mirrors them. Local; on ranks whose block is
    /// not at that edge it does nothing. They stay until they are set again.
    ///
    /// ```
    /// # use rankine::{Field, Grid, Side, Wall};
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let grid = Grid::new(world, [6, 4])?;
    ///     let mut u = Field::new(&grid, 1.0)?.walls([[Wall::Given, Wall::Mirror], [Wall::Mirror; 2]]);
    ///     u.set_edge(0, Side::Low, |[_, x], inside| 2.0 * x as f64 - inside)?;
    ///     u.update_with_neighbors(|out, rows| out.copy_from_slice(rows.at([-1, 0])))?;
    ///     assert_eq!(u.get([0, 3]).unwrap_or(5.0), 5.0);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// There is no such axis, it is periodic, or its wall is another.
    #[track_caller]
    pub fn set_edge(&mut self, axis: usize, side: Side, value: impl Fn([isize; D], T) -> T) -> Result<()> {
        let bad = |what: String, help: &str| {
            Err(Error::usage(format!("set_edge: {what}"))
                .help(help)
                .on_rank(self.grid.comm().rank())
                .at(Location::caller()))
        };
        if axis >= D {
            return bad(format!("axis {axis} of a field of {D}"), "axes count from 0");
        }
        if self.grid.periodic()[axis] {
            return bad(format!("axis {axis} is periodic"), "it has no edge");
        }
        if !matches!(self.walls.0[axis][side as usize], Wall::Given) {
            return bad(
                format!("the wall on side {side:?} of axis {axis} is not the author's"),
                "give the field Wall::Given there",
            );
        }
        let (layout, to) = (self.points.layout, Layout::axis::<D>(axis));
        if self.grid.beyond()[to][side as usize] != Beyond::Wall || self.own().is_empty() {
            return Ok(());
        }
        self.fill_ghosts();
        let (start, skip) = (self.points.own.start, usize::from(self.points.staggered[axis]));
        let (width, n) = (layout.halo[to], layout.cells[to]);
        let strides = layout.strides();
        let extent = [0, 1, 2, 3].map(|axis| layout.cells[axis] + 2 * layout.halo[axis]);
        let storage = self.storage.as_mut_slice();
        for k in 0..width {
            let (ghost, inside) = match side {
                Side::Low => (width - 1 - k, width + k + skip),
                Side::High => (width + n + k, width + n - 1 - k - skip),
            };
            let mut range = extent;
            range[to] = 1;
            for z in 0..range[0] {
                for w in 0..range[1] {
                    for y in 0..range[2] {
                        for x in 0..range[3] {
                            let mut place = [z, w, y, x];
                            let at = |place: [usize; 4]| (0..4).map(|axis| place[axis] * strides[axis]).sum();
                            place[to] = inside;
                            let mirrored: usize = at(place);
                            place[to] = ghost;
                            let index = std::array::from_fn(|axis| {
                                let to = Layout::axis::<D>(axis);
                                (start[axis] + place[to]) as isize - layout.halo[to] as isize
                            });
                            let ghost: usize = at(place);
                            storage[ghost] = value(index, storage[mirrored]);
                        }
                    }
                }
            }
        }
        // Ghost cells of earlier axes repeat these.
        self.ghosts_filled = false;
        Ok(())
    }
}

impl<const D: usize> Grid<D> {
    /// Brings the halos of several fields on this grid up to date, with one message to each neighbour for all of them:
    /// worth it where messages are small. Fields whose planes are 64 KiB or more have messages of their own, which take
    /// less time than to pack them. They may hold different types and lie on different points. Every rank calls
    /// it, with the same fields in the same order.
    ///
    /// ```
    /// # use rankine::{Field, Grid};
    /// rankine::testing::ranks([1, 2, 3, 4], |world| {
    ///     let grid = Grid::over(world, [12, 12]).periodic([true, true]).build()?;
    ///     let mut density = Field::new(&grid, 1.0)?;
    ///     let mut phase = Field::new(&grid, 3u8)?;
    ///     let mut flux = Field::staggered(&grid, [true, false], [0.0f32; 2])?;
    ///     grid.exchange_all([&mut density, &mut phase, &mut flux])
    /// });
    /// ```
    ///
    /// # Errors
    /// A field on another grid; a failure of the engine, or another rank's.
    #[track_caller]
    pub fn exchange_all<const N: usize>(&self, mut fields: [&mut dyn AnyField<D>; N]) -> Result<()> {
        if let Some(other) = fields.iter().find(|field| !self.same(field.on())) {
            return Err(Error::usage(format!("exchange_all on {self:?}: a field is on {:?}", other.on()))
                .help("make all fields on the grid that exchanges them")
                .on_rank(self.comm().rank())
                .at(Location::caller()));
        }
        let mut parcels = self.parcels().borrow_mut();
        together::exchange_together(self.comm().backstage(), &mut parcels, &mut fields)
    }
}

impl<T: Element, const D: usize> AnyField<D> for Field<T, D> {
    fn on(&self) -> &Grid<D> {
        &self.grid
    }
}

impl<T: Element, const D: usize> together::sealed::Part for Field<T, D> {
    fn prepare(&mut self) {
        self.fill_ghosts();
    }

    fn links(&self) -> usize {
        self.points.links(&self.grid, self.grid.stencil()).all.len()
    }

    fn peer(&self, link: usize) -> (usize, i32, i32) {
        let link = &self.points.links(&self.grid, self.grid.stencil()).all[link];
        (link.rank, link.out_tag, link.in_tag)
    }

    fn bytes(&self, link: usize) -> (usize, usize) {
        let link = &self.points.links(&self.grid, self.grid.stencil()).all[link];
        (link.send.len() * size_of::<T>(), link.recv.len() * size_of::<T>())
    }

    fn pack(&self, link: usize, into: &mut [u8]) {
        let link = &self.points.links(&self.grid, self.grid.stencil()).all[link];
        link.send.pack_bytes(&self.points.layout, self.storage.as_slice(), into);
    }

    fn unpack(&mut self, link: usize, from: &[u8]) {
        let link = &self.points.links(&self.grid, self.grid.stencil()).all[link];
        link.recv.unpack_bytes(&self.points.layout, self.storage.as_mut_slice(), from);
    }

    fn is_alone(&self, link: usize) -> bool {
        let link = &self.points.links(&self.grid, self.grid.stencil()).all[link];
        link.planes.is_some() && link.send.len() * size_of::<T>() >= together::ALONE
    }

    fn planes(&mut self) -> Planes<'_> {
        let Field { grid, points, storage, .. } = self;
        let links = points.links(grid, grid.stencil());
        let width = points.layout.halo[0] * points.layout.plane();
        let on = |side: usize| {
            let link = links.all.iter().position(|link| link.planes == Some(side))?;
            (links.all[link].send.len() * size_of::<T>() >= together::ALONE).then_some(link)
        };
        let [low, high] = [on(0), on(1)];
        let coming = |link: Option<usize>| if link.is_some() { width } else { 0 };
        let (below, rest) = storage.as_mut_slice().split_at_mut(coming(low));
        let (quiet, above) = rest.split_at_mut(rest.len() - coming(high));
        let quiet = &*quiet;
        let edge = |cells| bytemuck::cast_slice::<T, u8>(cells);
        [
            low.map(|link| (link, edge(&quiet[..width]), bytemuck::cast_slice_mut(below))),
            high.map(|link| (link, edge(&quiet[quiet.len() - width..]), bytemuck::cast_slice_mut(above))),
        ]
    }
}
