//! `Sweep`: the rows of a part of a block computed on the rank's threads, in pieces that fit the cache.
//!
//! Which parts, and what the messages do meanwhile, is in `update` and `in_place`.

use super::global;
use super::walls::Ghosts;
use crate::comm::Element;
use crate::error::Result;
use crate::halo::{Beyond, Layout, Progress};
use rayon::prelude::*;
use std::ops::Range;

/// The part of the last cache level that a sweep may count on for each core: the planes that a cell's neighbours
/// are in stay there until the next one has been computed. Pieces that fit the second level instead were slower
/// (256³ cells, Zen 4): the memory's streams are then cut too short for the processor to fetch ahead.
const CACHE: usize = 4 << 20;

/// Cells computed between two looks at the messages: some 100 µs.
const POLL: usize = 1 << 17;

/// Whole rows of a block: ranges of its planes, sheets and rows.
#[derive(Clone, Debug)]
pub(super) struct Region(pub [Range<usize>; 3]);

impl Region {
    /// The cells whose neighbours on axes 0 to 2 are all this rank's own, or filled by it.
    pub fn core(layout: &Layout, beyond: &[[Beyond; 2]; 4]) -> Region {
        Region([0, 1, 2].map(|axis| {
            let (n, width) = (layout.cells[axis], layout.halo[axis]);
            let margin = |side: usize| if beyond[axis][side].is_rank() { width } else { 0 };
            let start = margin(0).min(n);
            start..(n - margin(1)).max(start)
        }))
    }

    /// The rest of the block. First come the planes next to the core's last ones, which are still in the cache.
    pub fn shell(&self, layout: &Layout) -> [Region; 6] {
        let [planes, sheets, rows] = self.0.clone();
        let [all_planes, all_sheets, all_rows] = [0, 1, 2].map(|axis| 0..layout.cells[axis]);
        let (above, below) = (planes.end..all_planes.end, 0..planes.start);
        [
            Region([above, all_sheets.clone(), all_rows.clone()]),
            Region([below, all_sheets.clone(), all_rows.clone()]),
            Region([planes.clone(), 0..sheets.start, all_rows.clone()]),
            Region([planes.clone(), sheets.end..all_sheets.end, all_rows.clone()]),
            Region([planes.clone(), sheets.clone(), 0..rows.start]),
            Region([planes, sheets, rows.end..all_rows.end]),
        ]
    }
}

/// What stays the same during a sweep.
pub(super) struct Sweep<T, const D: usize> {
    pub layout: Layout,
    pub ghosts: Ghosts<T>,
    /// The block's first cell.
    pub origin: [usize; D],
}

impl<T: Element, const D: usize> Sweep<T, D> {
    /// Computes a part of the block. `out` has whole planes from number `first` on, all of the part's. `row` gets a
    /// piece of a row, how far its first cell is in storage from the block's, and that cell's index.
    pub fn region<R>(
        &self,
        (first, out): (usize, &mut [T]),
        Region([planes, sheets, rows]): &Region,
        row: &R,
        mut progress: Option<&mut Progress<'_, T>>,
    ) -> Result<()>
    where
        R: Fn(&mut [T], usize, [usize; D]) + Sync,
    {
        if planes.is_empty() || sheets.is_empty() || rows.is_empty() {
            return Ok(());
        }
        let threads = rayon::current_num_threads();
        let (rows_each, cells_each) = self.piece();
        let pitch = self.layout.plane();
        for cells in ranges(0..self.layout.cells[3], cells_each) {
            for rows in ranges(rows.clone(), rows_each) {
                let slab = (POLL / (sheets.len() * rows.len() * cells.len())).max(1) * threads;
                for planes in ranges(planes.clone(), slab) {
                    let out = &mut out[(planes.start - first) * pitch..(planes.end - first) * pitch];
                    let piece = [sheets, &rows, &cells];
                    if threads == 1 || planes.len() == 1 {
                        self.planes(out, planes.start, piece, row);
                    } else {
                        let each = planes.len().div_ceil(threads);
                        let slabs = out.par_chunks_mut(each * pitch).enumerate();
                        slabs
                            .for_each(|(slab, out)| self.planes(out, planes.start + slab * each, piece, row));
                    }
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
        let [_, sheets, height, length] = self.layout.cells;
        // The planes that a cell's neighbours are in, and the one that is written.
        let planes = 2 * self.layout.halo[0] + 2;
        let most = CACHE / (planes * size_of::<T>().max(1));
        let rows = (most / (sheets * length)).clamp(8.min(height), height);
        (rows, (most / (sheets * rows)).clamp(64, length.max(64)))
    }

    /// Computes a part of the planes in `out`, the first of which is plane `first`.
    fn planes<R>(&self, out: &mut [T], first: usize, [sheets, rows, cells]: [&Range<usize>; 3], compute: &R)
    where
        R: Fn(&mut [T], usize, [usize; D]) + Sync,
    {
        let (layout, pitch) = (&self.layout, self.layout.plane());
        // A 1-dimensional block is planes of one cell, but all of them are one row.
        if D == 1 {
            return row(out, first, global(self.origin, [first, 0, 0, 0]), compute);
        }
        for (z, plane) in (first..).zip(out.chunks_exact_mut(pitch)) {
            for w in sheets.clone() {
                let sheet = &mut plane[layout.sheet_of_plane(w)];
                for y in rows.clone() {
                    let start = layout.cells_of_row(y).start + cells.start;
                    let offset = z * pitch + w * layout.sheet() + y * layout.row() + cells.start;
                    let index = global(self.origin, [z, w, y, cells.start]);
                    row(&mut sheet[start..start + cells.len()], offset, index, compute);
                    if cells.end == layout.cells[3] {
                        self.ghosts.fill_from_row(layout, sheet, y);
                    }
                }
            }
        }
    }
}

/// Computes one piece of a row.
///
/// A function of its own, so that the compiler knows that `out` overlaps with nothing, and does not carry the
/// addresses of all the rows through the loops around it.
#[inline(never)]
fn row<T, R, const D: usize>(out: &mut [T], offset: usize, index: [usize; D], compute: &R)
where
    R: Fn(&mut [T], usize, [usize; D]),
{
    compute(out, offset, index);
}

/// `range` in pieces of `each`; the last may be shorter.
fn ranges(range: Range<usize>, each: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(each.max(1)).map(move |start| start..(start + each).min(end))
}
