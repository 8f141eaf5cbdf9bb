//! What stands beyond the edges of the domain, and the ghost cells that a rank fills by itself.
//!
//! Those at walls, and those of a periodic axis that is not split. The ones that other ranks fill are in `halo`. Axes
//! are filled from the last to the first, ghost cells of those before included; so in edges and corners, where walls
//! meet, a fixed value of the earlier axis counts.

use crate::comm::Element;
use crate::grid::points::Points;
use crate::halo::{Beyond, Layout};

/// What a stencil sees beyond an edge of the domain, on an axis that is not periodic.
#[derive(Clone, Copy, Debug)]
pub enum Wall<T> {
    /// The same value everywhere.
    Fixed(T),
    /// The block's own cells, mirrored at the edge, the nearest first: nothing flows through (insulated). Along a
    /// staggered axis the outermost point is on the edge and is not repeated.
    Mirror,
    /// As [`Mirror`](Wall::Mirror), each value passed through a function: `|u| -u` is zero on the edge between cells,
    /// `|u| 2.0 * hot - u` is `hot` there, to second order.
    Mapped(fn(T) -> T),
    /// What the author has put there with [`Field::set_edge`](super::Field::set_edge). A sweep reads it and does not
    /// carry it over to the field that it computes.
    Given,
}

impl<T: PartialEq> PartialEq for Wall<T> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Wall::Fixed(a), Wall::Fixed(b)) => a == b,
            (Wall::Mapped(a), Wall::Mapped(b)) => std::ptr::fn_addr_eq(*a, *b),
            (Wall::Mirror, Wall::Mirror) | (Wall::Given, Wall::Given) => true,
            _ => false,
        }
    }
}

/// The walls of every side: `walls[axis][side]`, low side first. One [`Wall`] alone is for all sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Walls<T, const D: usize>(pub [[Wall<T>; 2]; D]);

impl<T: Copy, const D: usize> From<Wall<T>> for Walls<T, D> {
    fn from(wall: Wall<T>) -> Self {
        Walls([[wall; 2]; D])
    }
}

impl<T, const D: usize> From<[[Wall<T>; 2]; D]> for Walls<T, D> {
    fn from(walls: [[Wall<T>; 2]; D]) -> Self {
        Walls(walls)
    }
}

/// How the ghost cells beyond one side come about.
#[derive(Clone, Copy, Debug)]
enum Rule<T> {
    /// Another rank sends them, or the author sets them.
    Left,
    Fixed(T),
    Mirror,
    Mapped(fn(T) -> T),
    /// From the other side of the same block.
    Wrap,
}

/// What a mirrored value is passed through, if it is.
type Map<T> = Option<fn(T) -> T>;

/// The rules for one axis of a [`Layout`].
#[derive(Clone, Copy, Debug)]
struct Axis<T> {
    rules: [Rule<T>; 2],
    /// Owned cells and ghost cells on each end.
    n: usize,
    width: usize,
    /// 1 where the outermost points are on the edge, and a mirror leaves them out.
    on_edge: usize,
}

impl<T: Copy> Axis<T> {
    /// The place of the ghost `k` beyond a side, among padded ones.
    fn ghost(&self, side: usize, k: usize) -> usize {
        if side == 0 { self.width - 1 - k } else { self.width + self.n + k }
    }

    /// The place it is copied from, and what it is passed through.
    fn source(&self, side: usize, k: usize) -> Option<(usize, Map<T>)> {
        let from_low = |k: usize| self.width + k;
        let from_high = |k: usize| self.width + self.n - 1 - k;
        let mirrored = |k: usize| if side == 0 { from_low(k) } else { from_high(k) };
        match self.rules[side] {
            Rule::Left | Rule::Fixed(_) => None,
            Rule::Mirror => Some((mirrored(k + self.on_edge), None)),
            Rule::Mapped(map) => Some((mirrored(k + self.on_edge), Some(map))),
            Rule::Wrap => Some((if side == 0 { from_high(k) } else { from_low(k) }, None)),
        }
    }
}

/// The rules for all sides, by the axes of a [`Layout`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Ghosts<T>([Axis<T>; 4]);

impl<T: Element> Ghosts<T> {
    pub fn new<const D: usize>(
        walls: &Walls<T, D>,
        beyond: &[[Beyond; 2]; 4],
        points: &Points<D>,
    ) -> Ghosts<T> {
        let Layout { cells, halo, .. } = points.layout;
        let axis =
            |axis: usize| Axis { rules: [Rule::Left; 2], n: cells[axis], width: halo[axis], on_edge: 0 };
        let mut axes = [0, 1, 2, 3].map(axis);
        for axis in 0..D {
            let to = Layout::axis::<D>(axis);
            axes[to].on_edge = usize::from(points.staggered[axis]);
            for side in [0, 1] {
                axes[to].rules[side] = match (beyond[to][side], walls.0[axis][side]) {
                    (Beyond::Rank(_), _) | (Beyond::Wall, Wall::Given) => Rule::Left,
                    (Beyond::Own, _) => Rule::Wrap,
                    (Beyond::Wall, Wall::Fixed(value)) => Rule::Fixed(value),
                    (Beyond::Wall, Wall::Mirror) => Rule::Mirror,
                    (Beyond::Wall, Wall::Mapped(map)) => Rule::Mapped(map),
                };
            }
        }
        Ghosts(axes)
    }

    /// Fills them all, from the owned cells.
    pub fn fill(&self, layout: &Layout, storage: &mut [T]) {
        for plane in storage[layout.planes(0..layout.cells[0])].chunks_exact_mut(layout.plane()) {
            for sheet in 0..layout.cells[1] {
                let sheet = &mut plane[layout.sheet_of_plane(sheet)];
                for row in 0..layout.cells[2] {
                    self.fill_from_row(layout, sheet, row);
                }
            }
        }
        self.fill_outer(layout, storage);
    }

    /// Fills what a computed row settles: its own ends, and at the edges of the sheet the ghost rows that repeat it.
    #[inline]
    pub fn fill_from_row(&self, layout: &Layout, sheet: &mut [T], row: usize) {
        let [.., rows, cells] = &self.0;
        let start = (rows.width + row) * layout.row();
        fill_ends(cells, &mut sheet[start..start + cells.n + 2 * cells.width]);
        if row < rows.width + rows.on_edge || row + rows.width + rows.on_edge >= rows.n {
            self.fill_rows(layout, sheet, row);
        }
    }

    /// The ghost rows that come from a row.
    #[cold]
    fn fill_rows(&self, layout: &Layout, sheet: &mut [T], row: usize) {
        let (axis, length) = (&self.0[2], self.0[3].n + 2 * self.0[3].width);
        let at = |row: usize| row * layout.row()..row * layout.row() + length;
        for (side, last) in [(0, 0), (1, axis.n - 1)] {
            for k in 0..axis.width {
                let ghost = axis.ghost(side, k);
                if let Rule::Fixed(value) = axis.rules[side] {
                    if row == last {
                        sheet[at(ghost)].fill(value);
                    }
                } else if let Some((from, map)) =
                    axis.source(side, k).filter(|source| source.0 == axis.width + row)
                {
                    sheet.copy_within(at(from), at(ghost).start);
                    mapped(map, &mut sheet[at(ghost)]);
                }
            }
        }
    }

    /// The ghost sheets of each plane, and the ghost planes.
    pub fn fill_outer(&self, layout: &Layout, storage: &mut [T]) {
        if layout.halo[1] > 0 {
            for plane in storage[layout.planes(0..layout.cells[0])].chunks_exact_mut(layout.plane()) {
                fill_pieces(&self.0[1], layout.sheet(), plane);
            }
        }
        fill_pieces(&self.0[0], layout.plane(), storage);
    }
}

/// The ghosts of an axis whose cells are pieces of `pitch` elements.
fn fill_pieces<T: Element>(axis: &Axis<T>, pitch: usize, storage: &mut [T]) {
    let at = |piece: usize| piece * pitch..(piece + 1) * pitch;
    for side in [0, 1] {
        for k in 0..axis.width {
            let ghost = axis.ghost(side, k);
            if let Rule::Fixed(value) = axis.rules[side] {
                storage[at(ghost)].fill(value);
            } else if let Some((from, map)) = axis.source(side, k) {
                storage.copy_within(at(from), at(ghost).start);
                mapped(map, &mut storage[at(ghost)]);
            }
        }
    }
}

fn mapped<T: Copy>(map: Map<T>, cells: &mut [T]) {
    if let Some(map) = map {
        cells.iter_mut().for_each(|cell| *cell = map(*cell));
    }
}

/// The ghost cells at the ends of a padded row. Each side's rule is looked at once: a sweep does this for every row.
#[inline]
fn fill_ends<T: Element>(axis: &Axis<T>, row: &mut [T]) {
    for side in [0, 1] {
        let map = match axis.rules[side] {
            Rule::Left => continue,
            Rule::Fixed(value) => {
                let start = if side == 0 { 0 } else { axis.width + axis.n };
                row[start..start + axis.width].fill(value);
                continue;
            }
            Rule::Mapped(map) => Some(map),
            Rule::Mirror | Rule::Wrap => None,
        };
        for k in 0..axis.width {
            if let Some((from, _)) = axis.source(side, k) {
                row[axis.ghost(side, k)] = map.map_or(row[from], |map| map(row[from]));
            }
        }
    }
}
