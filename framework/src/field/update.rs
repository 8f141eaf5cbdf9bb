//! Stencil sweeps: one field computed from another, or from itself, while its halo is on the way.
//!
//! The halo is read, so it is sent first: start, core, finish, shell. A sweep that reads other fields only is in
//! `in_place`. How rows are computed is in `sweep`, what a stencil may read in `rows`, the messages are in `halo`.

use super::rows::{Frame, Reader, Rows, Span};
use super::sweep::{Region, Sweep};
use super::{Field, storage};
use crate::comm::Element;
use crate::error::Result;
use crate::halo::{Buffers, Which};

impl<T: Element, const D: usize> Field<T, D> {
    /// Computes every cell from the cells around it in `now`: one sweep of a stencil. Every rank calls it.
    ///
    /// `stencil` is called once for each contiguous piece of a row, with the cells to compute and the rows of `now`
    /// around them; `out` holds this field's former values. It is called on the rank's threads, in no particular
    /// order, and sees the same neighbours whatever the number of ranks, so the answer is the same to the bit.
    /// The stencil reaches as far as the halo is wide: along one axis at a time, or anywhere on a grid of
    /// [`Stencil::Box`](crate::Stencil::Box).
    ///
    /// The cells that need no other rank's are computed while `now`'s halo is on its way. The field takes over the
    /// walls of `now`.
    ///
    /// # Errors
    /// Fields on different grids or on other points of one; a failure of the engine, or another rank's.
    #[track_caller]
    pub fn update_from<F>(&mut self, now: &mut Field<T, D>, stencil: F) -> Result<()>
    where
        F: Fn(&mut [T], &Rows<'_, T, D>) + Sync,
    {
        self.check_points("update_from", now)?;
        self.walls = now.walls;
        self.ghosts_filled = false;
        now.fill_ghosts();

        let grid = self.grid.clone();
        let (layout, beyond) = (self.points.layout, *grid.beyond());
        // No row is whole without its ends, so they come first and nothing can be computed meanwhile.
        let across = beyond[3].iter().any(|side| side.is_rank());
        if across {
            now.exchange_links(Which::Across, |_, _| Ok(()))?;
        }
        let core = Region::core(&layout, &beyond);
        let Reader { strides, halo, corners, base, .. } = now.reader();
        let frame = self.frame();
        let sweep = Sweep { layout, ghosts: self.ghosts(), origin: self.points.own.start };
        let around = Around { stencil: &stencil, strides, halo, corners, frame };
        let out = &mut self.storage.as_mut_slice()[layout.planes(0..layout.cells[0])];
        let along = if across { Which::Along } else { Which::All };
        now.exchange_links(along, |quiet, progress| {
            // Without the ghost planes that are on their way.
            let coming = if beyond[0][0].is_rank() { layout.halo[0] * layout.plane() } else { 0 };
            sweep.region((0, out), &core, &around.row(quiet, base - coming), Some(progress))
        })?;

        let row = around.row(now.storage(), base);
        core.shell(&layout).iter().try_for_each(|region| sweep.region((0, out), region, &row, None))?;

        sweep.ghosts.fill_outer(&layout, self.storage.as_mut_slice());
        self.ghosts_filled = true;
        Ok(())
    }

    /// Computes every cell from the cells around it in the field itself, as they were: one sweep of a stencil with
    /// the field's own second storage, made the first time. Every rank calls it.
    ///
    /// As [`update_from`](Field::update_from), but what `out` holds before is nothing in particular.
    ///
    /// ```
    /// # use rankine::{Field, Grid};
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let ring = Grid::over(world, [12]).periodic([true]).build()?;
    ///     let mut wave = Field::from_fn(&ring, |[x]| f64::from(x == 0))?;
    ///     for _ in 0..12 {
    ///         wave.update_with_neighbors(|out, rows| out.copy_from_slice(rows.at([-1])))?;
    ///     }
    ///     assert_eq!(wave.get([0]).unwrap_or(1.0), 1.0);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// No memory for the second storage; a failure of the engine, or another rank's.
    #[track_caller]
    pub fn update_with_neighbors<F>(&mut self, stencil: F) -> Result<()>
    where
        F: Fn(&mut [T], &Rows<'_, T, D>) + Sync,
    {
        let second = match self.spare.take() {
            Some(spare) => spare,
            None => storage(&self.grid, &self.points.layout)?,
        };
        let mut next = Field {
            grid: self.grid.clone(),
            points: self.points.clone(),
            storage: second,
            spare: None,
            buffers: [Buffers::default(), Buffers::default()],
            kept: super::transfer::Kept::default(),
            walls: self.walls,
            ghosts_filled: false,
        };
        let done = next.update_from(self, stencil);
        if done.is_ok() {
            std::mem::swap(&mut self.storage, &mut next.storage);
            self.ghosts_filled = next.ghosts_filled;
        }
        self.spare = Some(next.storage);
        done
    }
}

/// A stencil and all that it sees but the cells.
struct Around<'a, F, const D: usize> {
    stencil: &'a F,
    strides: [usize; D],
    halo: usize,
    corners: bool,
    frame: Frame<D>,
}

impl<F, const D: usize> Around<'_, F, D> {
    /// What computes a piece of a row from `now`, where the block's first cell is at `base`. It has one type wherever it
    /// is made, so that the stencil is called from one place: only then is it inlined there, where its rows are seen
    /// to be as long as `out`, and compiled without checks of bounds (a fifth faster, 256³ cells in memory).
    fn row<'b, T: Element>(
        &'b self,
        now: &'b [T],
        base: usize,
    ) -> impl Fn(&mut [T], usize, [usize; D]) + Sync + 'b
    where
        F: Fn(&mut [T], &Rows<'_, T, D>) + Sync,
    {
        move |out, offset, start| {
            let (first, len) = (base + offset, out.len());
            let Around { stencil, strides, halo, corners, ref frame } = *self;
            let now = Reader { cells: now, strides, halo, corners, base: first, origin: start };
            stencil(out, &Rows { now, first, span: Span { len, start, frame } });
        }
    }
}
