//! Sweeps without neighbours of the field's own: every point computed from itself and from other fields.
//!
//! Nothing waits for the field's halo, so what its neighbours need of it is computed first: shell, start, core, finish.
//! A sweep that reads the field's own neighbours is in `update`.

use super::Field;
use super::rows::Span;
use super::sweep::{Region, Sweep};
use crate::comm::Element;
use crate::error::Result;
use crate::grid::Stencil;
use crate::halo::{self, Which};

impl<T: Element, const D: usize> Field<T, D> {
    /// Computes every point in place, from its former value and from other fields, and brings the field's halo up to
    /// date meanwhile. Every rank calls it.
    ///
    /// `compute` is called once for each contiguous piece of a row, on the rank's threads, in no particular order; `out`
    /// holds the former values. It reads other fields through [`Reader`](super::Reader)s, with neighbours as far as
    /// their halos go. The points that other ranks see are computed first, and the rest while they are on their way.
    ///
    /// ```
    /// use rankine::{Field, Grid};
    /// // Sound in a closed pipe: pressure in the cells, velocity on the faces between them and on both walls.
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let grid = Grid::new(world, [30])?;
    ///     let mut p = Field::from_fn(&grid, |[i]| f64::from(i < 10))?;
    ///     let mut u = Field::staggered(&grid, [true], 0.0)?;
    ///     p.exchange()?;
    ///     for _ in 0..20 {
    ///         let pressure = p.reader();
    ///         u.update(|out, at| {
    ///             let (left, right) = (at.of_at(&pressure, [-1]), at.of(&pressure));
    ///             (0..out.len()).for_each(|i| out[i] -= 0.5 * (right[i] - left[i]));
    ///         })?;
    ///         let velocity = u.reader();
    ///         p.update(|out, at| {
    ///             let (low, high) = (at.of(&velocity), at.of_at(&velocity, [1]));
    ///             (0..out.len()).for_each(|i| out[i] -= 0.5 * (high[i] - low[i]));
    ///         })?;
    ///     }
    ///     assert!((p.sum()? - 10.0).abs() < 1e-12);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// A failure of the engine, or another rank's.
    #[track_caller]
    pub fn update<F>(&mut self, compute: F) -> Result<()>
    where
        F: Fn(&mut [T], &Span<'_, D>) + Sync,
    {
        self.ghosts_filled = false;
        let grid = self.grid.clone();
        let (points, stencil, frame) = (self.points.clone(), grid.stencil(), self.frame());
        let (layout, beyond) = (points.layout, *grid.beyond());
        let sweep = Sweep { layout, ghosts: self.ghosts(), origin: points.own.start };
        let row = |out: &mut [T], _: usize, start: [usize; D]| {
            compute(out, &Span { len: out.len(), start, frame: &frame });
        };
        let mut core = Region::core(&layout, &beyond);
        // The ends of every row are sent: all of it is shell.
        let across = beyond[3].iter().any(|side| side.is_rank()) && layout.halo[3] > 0;
        if across {
            core.0[0].end = core.0[0].start;
        }
        let out = &mut self.storage.as_mut_slice()[layout.planes(0..layout.cells[0])];
        core.shell(&layout).iter().try_for_each(|region| sweep.region((0, out), region, &row, None))?;
        // Edges and corners beyond a wall are sent with those before it. Each row has filled its own ends and ghost rows.
        if stencil == Stencil::Box {
            sweep.ghosts.fill_outer(&layout, self.storage.as_mut_slice());
        }
        let Field { storage, buffers, .. } = self;
        let links = points.links(&grid, stencil);
        let what =
            halo::Exchange { comm: grid.comm().backstage(), layout: &layout, links, which: Which::All };
        halo::exchange_around(
            what,
            storage.as_mut_slice(),
            &mut buffers[stencil as usize],
            |between, first, progress| {
                if between.is_empty() {
                    Ok(())
                } else {
                    sweep.region((first, between), &core, &row, Some(progress))
                }
            },
        )?;
        // Once more: planes beyond a wall repeat ones of the core, and what came.
        sweep.ghosts.fill_outer(&layout, self.storage.as_mut_slice());
        self.ghosts_filled = true;
        Ok(())
    }
}
