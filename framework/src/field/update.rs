//! Stencil sweeps: one field computed from another, while its halo is on the way.
//!
//! The order is that of `update_from`. What a stencil may read is in `rows`, the messages are in `halo`.

use super::rows::{Reader, Rows};
use super::walls::Ghosts;
use super::{Field, global};
use crate::comm::Element;
use crate::error::Result;
use crate::halo::{Layout, Progress};
use rayon::prelude::*;
use std::ops::Range;

/// The part of the last cache level that a sweep may count on for each core: the planes that a cell's neighbours
/// are in stay there until the next one has been computed. Pieces that fit the second level instead were slower
/// (256³ cells, Zen 4): the memory's streams are then cut too short for the processor to fetch ahead.
const CACHE: usize = 4 << 20;

/// Cells computed between two looks at the messages: some 100 µs.
const POLL: usize = 1 << 17;

impl<T: Element, const D: usize> Field<T, D> {
    /// Computes every cell from the cells around it in `now`: one sweep of a stencil. Every rank calls it.
    ///
    /// `stencil` is called once for each contiguous piece of a row, with the cells to compute and the rows of `now`
    /// around them; `out` holds this field's former values. It is called on the rank's threads, in no particular
    /// order, and sees the same neighbours whatever the number of ranks, so the answer is the same to the bit.
    /// The stencil is a star: it reaches as far as the halo is wide, along one axis at a time.
    ///
    /// The cells that need no other rank's are computed while `now`'s halo is on its way. The field takes over the
    /// walls of `now`.
    ///
    /// # Errors
    /// Fields on different grids; a failure of the engine, or another rank's.
    #[track_caller]
    pub fn update_from<F>(&mut self, now: &mut Field<T, D>, stencil: F) -> Result<()>
    where
        F: Fn(&mut [T], &Rows<'_, T, D>) + Sync,
    {
        self.check_grid("update_from", now.grid())?;
        self.walls = now.walls;
        self.ghosts_filled = false;
        now.fill_ghosts();

        let grid = self.grid.clone();
        let (layout, beyond) = (*grid.layout(), *grid.beyond());
        // No row is whole without its ends, so they come first and nothing can be computed meanwhile.
        if beyond[2].iter().any(|side| side.rank().is_some()) {
            now.exchange_axes([false, false, true], |_, _| Ok(()))?;
        }
        let core = |axis: usize| {
            let (n, width) = (layout.cells[axis], layout.halo[axis]);
            let margin = |side: usize| if beyond[axis][side].rank().is_some() { width } else { 0 };
            let start = margin(0).min(n);
            start..(n - margin(1)).max(start)
        };
        let (planes, rows) = (core(0), core(1));

        let reader = now.reader();
        let (strides, base, origin) = (reader.strides, reader.base, reader.origin);
        let sweep = Sweep::<T, F, D> { stencil: &stencil, layout, ghosts: self.ghosts(), strides, origin };
        let out = &mut self.storage.elements_mut()[layout.planes(0..layout.cells[0])];
        now.exchange_axes([true, true, false], |quiet, progress| {
            // Without the ghost planes that are on their way.
            let coming = if beyond[0][0].rank().is_some() { layout.halo[0] * layout.plane() } else { 0 };
            sweep.region(out, planes.clone(), rows.clone(), quiet, base - coming, Some(progress))
        })?;

        // The shell, from the end at which the core's last planes are still in the cache.
        let now = now.storage();
        let (n, ny) = (layout.cells[0], layout.cells[1]);
        sweep.region(out, planes.end..n, 0..ny, now, base, None)?;
        sweep.region(out, 0..planes.start, 0..ny, now, base, None)?;
        sweep.region(out, planes.clone(), 0..rows.start, now, base, None)?;
        sweep.region(out, planes, rows.end..ny, now, base, None)?;

        sweep.ghosts.fill_planes(&layout, self.storage.elements_mut());
        self.ghosts_filled = true;
        Ok(())
    }
}

/// What stays the same during a sweep.
struct Sweep<'f, T, F, const D: usize> {
    stencil: &'f F,
    layout: Layout,
    ghosts: Ghosts<T>,
    strides: [usize; D],
    origin: [usize; D],
}

impl<T: Element, F, const D: usize> Sweep<'_, T, F, D>
where
    F: Fn(&mut [T], &Rows<'_, T, D>) + Sync,
{
    /// Computes rows `rows` of planes `planes` in pieces that fit the cache, on the rank's threads. `out` has the
    /// owned planes; the first owned cell is element `base` of `now`.
    fn region(
        &self,
        out: &mut [T],
        planes: Range<usize>,
        rows: Range<usize>,
        now: &[T],
        base: usize,
        mut progress: Option<&mut Progress<'_, T>>,
    ) -> Result<()> {
        if planes.is_empty() || rows.is_empty() {
            return Ok(());
        }
        let threads = rayon::current_num_threads();
        let (rows_each, cells_each) = self.piece();
        for cells in ranges(0..self.layout.cells[2], cells_each) {
            for rows in ranges(rows.clone(), rows_each) {
                let slab = (POLL / (rows.len() * cells.len())).max(1) * threads;
                for planes in ranges(planes.clone(), slab) {
                    let pitch = self.layout.plane();
                    let out = &mut out[planes.start * pitch..planes.end * pitch];
                    self.slabs(threads, out, planes, &rows, &cells, now, base);
                    if let Some(progress) = &mut progress {
                        progress.poll()?;
                    }
                }
            }
        }
        Ok(())
    }

    /// How many rows and cells of each plane to compute from the first plane to the last before going on to the
    /// next ones.
    fn piece(&self) -> (usize, usize) {
        let [_, height, length] = self.layout.cells;
        // The planes that a cell's neighbours are in, and the one that is written.
        let planes = 2 * self.layout.halo[0] + 2;
        let most = CACHE / (planes * size_of::<T>().max(1));
        let rows = (most / length).clamp(8.min(height), height);
        (rows, (most / rows).clamp(64, length.max(64)))
    }

    #[expect(clippy::too_many_arguments, reason = "the ranges of three axes")]
    fn slabs(
        &self,
        threads: usize,
        out: &mut [T],
        planes: Range<usize>,
        rows: &Range<usize>,
        cells: &Range<usize>,
        now: &[T],
        base: usize,
    ) {
        if threads == 1 || planes.len() == 1 {
            return self.planes(out, planes.start, rows.clone(), cells.clone(), now, base);
        }
        let each = planes.len().div_ceil(threads);
        out.par_chunks_mut(each * self.layout.plane()).enumerate().for_each(|(slab, out)| {
            self.planes(out, planes.start + slab * each, rows.clone(), cells.clone(), now, base);
        });
    }

    /// Computes a part of the planes in `out`, the first of which is plane `first`.
    fn planes(
        &self,
        out: &mut [T],
        first: usize,
        rows: Range<usize>,
        cells: Range<usize>,
        now: &[T],
        base: usize,
    ) {
        let (layout, pitch) = (&self.layout, self.layout.plane());
        // A 1-dimensional block is planes of one cell, but all of them are one row.
        if D == 1 {
            return self.row(out, now, base + first, global(self.origin, [first, 0, 0]));
        }
        for (z, plane) in (first..).zip(out.chunks_exact_mut(pitch)) {
            for y in rows.clone() {
                let row = layout.cells_of_row(y).start;
                let at = base + z * pitch + y * layout.row() + cells.start;
                let start = global(self.origin, [z, y, cells.start]);
                self.row(&mut plane[row + cells.start..][..cells.len()], now, at, start);
                self.ghosts.fill_from_row(layout, plane, y, cells.clone());
            }
        }
    }

    /// Computes one piece of a row; `at` is its first cell's place in `now`.
    ///
    /// A function of its own, so that the compiler knows that `out` overlaps with nothing, and does not carry the
    /// addresses of all the rows through the loops around it.
    #[inline(never)]
    fn row(&self, out: &mut [T], now: &[T], at: usize, start: [usize; D]) {
        let len = out.len();
        let halo = self.layout.halo[Layout::axis::<D>(0)];
        let now = Reader { cells: now, strides: self.strides, halo, base: at, origin: start };
        (self.stencil)(out, &Rows { now, first: at, len, start });
    }
}

/// `range` in pieces of `each`; the last may be shorter.
fn ranges(range: Range<usize>, each: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(each.max(1)).map(move |start| start..(start + each).min(end))
}
