//! A sweep that computes one field from neighbours in another and changes that other one behind itself.
//!
//! Two sweeps would bring the second field from memory twice. A plane may be changed once all that read it are done, so the
//! change follows the sweep at the distance of the halo; planes that are sent, or that two threads read, are changed last.

use super::rows::{Frame, Reader, Span};
use super::{Field, global};
use crate::comm::Element;
use crate::error::Result;
use crate::halo::{self, Layout, Progress, Which};
use std::ops::Range;

/// Cells computed between two looks at the messages: some 100 µs.
const POLL: usize = 1 << 17;

/// The cells around one contiguous piece of a row, of a field that is changed behind the sweep; an argument of the closure of
/// [`Field::update_behind`].
pub struct Near<'a, T, const D: usize> {
    /// The storage in three parts, the first of which starts at `start`.
    parts: [&'a [T]; 3],
    start: usize,
    /// Where the piece's first cell is in storage.
    first: usize,
    around: &'a Around<D>,
    span: Span<'a, D>,
}

/// What all pieces have in common.
struct Around<const D: usize> {
    layout: Layout,
    origin: [usize; D],
    strides: [usize; D],
    halo: usize,
    corners: bool,
    frame: Frame<D>,
}

impl<'a, T: Element, const D: usize> Near<'a, T, D> {
    /// The cells `offset` away, as many as are to be computed, before the change. As [`Rows::at`](super::Rows::at).
    ///
    /// # Panics
    /// If the offset is wider than the halo, or along more than one axis on a grid of
    /// [`Stencil::Star`](crate::Stencil::Star).
    #[inline(always)]
    #[track_caller]
    pub fn at(&self, offset: [isize; D]) -> &'a [T] {
        let Around { strides, halo, corners, .. } = *self.around;
        super::rows::reach(&offset, halo, corners);
        let mut from = self.first - self.start;
        for (far, stride) in offset.iter().zip(strides) {
            from = from.wrapping_add_signed(far.wrapping_mul(stride as isize));
        }
        let [low, middle, high] = self.parts;
        let part = if from < low.len() {
            low
        } else if from < low.len() + middle.len() {
            from -= low.len();
            middle
        } else {
            from -= low.len() + middle.len();
            high
        };
        &part[from..][..self.span.len]
    }

    /// As [`Span::of`].
    #[inline(always)]
    #[track_caller]
    pub fn of<'b, U: Element>(&self, other: &Reader<'b, U, D>) -> &'b [U] {
        self.span.of(other)
    }

    /// The global index of the cell of `out[0]`; the others follow on the last axis.
    pub fn start(&self) -> [usize; D] {
        self.span.start
    }

    /// As [`Span::coordinates`].
    pub fn coordinates(&self, i: usize) -> [f64; D] {
        self.span.coordinates(i)
    }
}

impl<T: Element, const D: usize> Field<T, D> {
    /// Computes every cell of `out` from the cells around it in this field, and then changes this field's own cells, in one
    /// pass through memory. Every rank calls it.
    ///
    /// `stencil` is called once for each row, with `out`'s former values and the rows of this field around them as they were
    /// before any change; `change` once for each row of this field. Both are called on the rank's threads, in no particular
    /// order. The halo is exchanged first; where only the first axis is cut, the planes that need none of it are computed
    /// meanwhile. Afterwards neither field's halo is up to date.
    ///
    /// ```
    /// use rankine::{Field, Grid};
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let grid = Grid::new(world, [30, 8])?;
    ///     let mut heights = Field::from_fn(&grid, |[y, _]| y as f64)?;
    ///     let mut rise = Field::new(&grid, 0.0)?;
    ///     for _ in 0..5 {
    ///         heights.update_behind(
    ///             &mut rise,
    ///             |out, near| {
    ///                 let (below, above) = (near.at([-1, 0]), near.at([1, 0]));
    ///                 (0..out.len()).for_each(|i| out[i] += 0.5 * (above[i] - below[i]));
    ///             },
    ///             |heights, _| heights.iter_mut().for_each(|height| *height += 1.0),
    ///         )?;
    ///     }
    ///     assert!(rise.iter().all(|([y, _], sum)| y == 0 || y == 29 || sum == 5.0));
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// Fields on different grids or on other points of one; a failure of the engine, or another rank's.
    #[track_caller]
    pub fn update_behind<F, G>(&mut self, out: &mut Field<T, D>, stencil: F, change: G) -> Result<()>
    where
        F: Fn(&mut [T], &Near<'_, T, D>) + Sync,
        G: Fn(&mut [T], [usize; D]) + Sync,
    {
        self.check_points("update_behind", out)?;
        self.fill_ghosts();
        (self.ghosts_filled, out.ghosts_filled) = (false, false);
        let grid = self.grid.clone();
        let (layout, beyond) = (self.points.layout, *grid.beyond());
        let (cells, width) = (layout.cells[0], layout.halo[0]);
        let Reader { strides, halo, corners, .. } = self.reader();
        let frame = self.frame();
        let around = Around { layout, origin: self.points.own.start, strides, halo, corners, frame };
        let pass = Pass { around: &around, stencil: &stencil, change: &change };
        let out = &mut out.storage.as_mut_slice()[layout.planes(0..cells)];

        let margin = |side: usize| if beyond[0][side].is_rank() { width } else { 0 };
        let core = margin(0)..cells.saturating_sub(margin(1));
        let sides = beyond[1..].iter().flatten().any(|side| side.is_rank());
        if D == 1 || sides || cells < 4 * width || core.len() < 2 * width.max(1) {
            self.exchange_links(Which::All, |_, _| Ok(()))?;
            pass.whole(out, self.storage.as_mut_slice());
            return Ok(());
        }
        let cuts = pass.cuts(core.clone());
        let (below, rest) = out.split_at_mut(core.start * layout.plane());
        let (between, above) = rest.split_at_mut(core.len() * layout.plane());
        let Field { storage, buffers, points, .. } = self;
        let which = Which::All;
        let links = points.links(&grid, grid.stencil());
        let what = halo::Exchange { comm: grid.comm().backstage(), layout: &layout, links, which };
        let buffers = &mut buffers[grid.stencil() as usize];
        halo::exchange_beside(
            what,
            storage.as_mut_slice(),
            buffers,
            core.clone(),
            |[low, high], middle, p| pass.threads(between, &cuts, Window { low, middle, high }, p),
        )?;
        // What needed the planes that came, and then all changes that had to wait.
        let now = storage.as_mut_slice();
        pass.planes(below, 0..core.start, now);
        pass.planes(above, core.end..cells, now);
        let ends = [0..core.start + width, core.end - width..cells];
        let seams = cuts[1..cuts.len() - 1].iter().map(|cut| cut - width..cut + width);
        ends.into_iter().chain(seams).for_each(|planes| pass.change(now, 0, planes));
        Ok(())
    }
}

/// The storage of planes while some of them are changed: those that are only read, those in the middle, again those.
struct Window<'a, T> {
    low: &'a [T],
    middle: &'a mut [T],
    high: &'a [T],
}

struct Pass<'a, F, G, const D: usize> {
    around: &'a Around<D>,
    stencil: &'a F,
    change: &'a G,
}

impl<F, G, const D: usize> Pass<'_, F, G, D> {
    /// Where the core is cut for the rank's threads, its ends included; each piece is longer than two halos.
    fn cuts(&self, core: Range<usize>) -> Vec<usize> {
        let most = core.len() / (2 * self.around.layout.halo[0] + 1);
        let pieces = rayon::current_num_threads().min(most).max(1);
        (0..=pieces).map(|piece| core.start + core.len() * piece / pieces).collect()
    }

    /// The core, with the changes that need not wait, on the rank's threads. This one looks at the messages meanwhile.
    fn threads<T: Element>(
        &self,
        mut out: &mut [T],
        cuts: &[usize],
        Window { low, middle, high }: Window<'_, T>,
        progress: &mut Progress<'_, T>,
    ) -> Result<()>
    where
        F: Fn(&mut [T], &Near<'_, T, D>) + Sync,
        G: Fn(&mut [T], [usize; D]) + Sync,
    {
        let (width, plane) = (self.around.layout.halo[0], self.around.layout.plane());
        let pieces = cuts.len() - 1;
        rayon::in_place_scope(|threads| {
            let (mut low, mut rest, mut mine) = (low, middle, None);
            for (piece, ends) in cuts.windows(2).enumerate() {
                let (own, others) = std::mem::take(&mut out).split_at_mut((ends[1] - ends[0]) * plane);
                out = others;
                let (middle, above) =
                    std::mem::take(&mut rest).split_at_mut((ends[1] - ends[0] - 2 * width) * plane);
                let seam = if piece + 1 == pieces {
                    high
                } else {
                    let (seam, others) = above.split_at_mut(2 * width * plane);
                    rest = others;
                    &*seam
                };
                let window = Window { low, middle, high: seam };
                low = seam;
                let planes = ends[0]..ends[1];
                if piece == 0 {
                    mine = Some((own, planes, window));
                } else {
                    threads.spawn(move |_| {
                        let _none = self.slab(own, planes, window, || Ok(()));
                    });
                }
            }
            match mine {
                Some((own, planes, window)) => self.slab(own, planes, window, || progress.poll()),
                None => Ok(()),
            }
        })
    }

    /// Planes from the first to the last, each followed by the change of the one that nobody needs any more.
    fn slab<T: Element>(
        &self,
        out: &mut [T],
        planes: Range<usize>,
        now: Window<'_, T>,
        mut look: impl FnMut() -> Result<()>,
    ) -> Result<()>
    where
        F: Fn(&mut [T], &Near<'_, T, D>) + Sync,
        G: Fn(&mut [T], [usize; D]) + Sync,
    {
        let layout = &self.around.layout;
        let width = layout.halo[0];
        let looks = (POLL / layout.plane()).max(1);
        let start = layout.planes(planes.start..planes.end).start - width * layout.plane();
        let changed = planes.start + width..planes.end - width;
        for (done, (plane, out)) in planes.zip(out.chunks_exact_mut(layout.plane())).enumerate() {
            self.plane(out, plane, [now.low, now.middle, now.high], start);
            if plane >= changed.start + width && plane - width < changed.end {
                self.change(now.middle, changed.start + width, plane - width..plane - width + 1);
            }
            if (done + 1).is_multiple_of(looks) {
                look()?;
            }
        }
        // The last plane that may be changed was read by the last plane of all.
        Ok(())
    }

    /// Planes of `out`, from storage that is not changed meanwhile.
    fn planes<T: Element>(&self, out: &mut [T], planes: Range<usize>, now: &[T])
    where
        F: Fn(&mut [T], &Near<'_, T, D>) + Sync,
    {
        for (plane, out) in planes.zip(out.chunks_exact_mut(self.around.layout.plane())) {
            self.plane(out, plane, [now, &[], &[]], 0);
        }
    }

    /// All of it, one after the other.
    fn whole<T: Element>(&self, out: &mut [T], now: &mut [T])
    where
        F: Fn(&mut [T], &Near<'_, T, D>) + Sync,
        G: Fn(&mut [T], [usize; D]) + Sync,
    {
        let layout = &self.around.layout;
        if D == 1 {
            // Planes of one cell: all of them are one row.
            self.row(out, layout.planes(0..1).start, global(self.around.origin, [0; 4]), [now, &[], &[]], 0);
            return (self.change)(&mut now[layout.planes(0..layout.cells[0])], self.around.origin);
        }
        self.planes(out, 0..layout.cells[0], now);
        self.change(now, 0, 0..layout.cells[0]);
    }

    /// Changes planes. `now` starts with the plane `first`, ghost planes counted.
    fn change<T: Element>(&self, now: &mut [T], first: usize, planes: Range<usize>)
    where
        G: Fn(&mut [T], [usize; D]) + Sync,
    {
        let layout = &self.around.layout;
        for plane in planes {
            let above = (plane + layout.halo[0] - first) * layout.plane();
            for ([sheet, row], cells) in layout.rows_of_plane() {
                let index = global(self.around.origin, [plane, sheet, row, 0]);
                (self.change)(&mut now[above + cells.start..above + cells.end], index);
            }
        }
    }

    fn plane<T: Element>(&self, out: &mut [T], plane: usize, parts: [&[T]; 3], start: usize)
    where
        F: Fn(&mut [T], &Near<'_, T, D>) + Sync,
    {
        let layout = &self.around.layout;
        let above = (plane + layout.halo[0]) * layout.plane();
        for ([sheet, row], cells) in layout.rows_of_plane() {
            let index = global(self.around.origin, [plane, sheet, row, 0]);
            self.row(&mut out[cells.clone()], above + cells.start, index, parts, start);
        }
    }

    /// A function of its own, so that the compiler knows that `out` overlaps with nothing.
    #[inline(never)]
    fn row<T: Element>(&self, out: &mut [T], first: usize, index: [usize; D], parts: [&[T]; 3], start: usize)
    where
        F: Fn(&mut [T], &Near<'_, T, D>) + Sync,
    {
        let span = Span { len: out.len(), start: index, frame: &self.around.frame };
        (self.stencil)(out, &Near { parts, start, first, around: self.around, span });
    }
}
