//! What stands beyond the edges of the domain, and the ghost cells that a rank fills by itself.
//!
//! Those at walls, and those of a periodic axis that is not split. The ones that other ranks fill are in `halo`.

use crate::comm::Element;
use crate::halo::{Beyond, Layout};
use std::ops::Range;

/// What a stencil sees beyond an edge of the domain, on an axis that is not periodic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wall<T> {
    /// The same value everywhere.
    Fixed(T),
    /// The block's own cells, mirrored at the edge, the nearest first: nothing flows through (insulated).
    Mirror,
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
    /// Another rank sends them.
    Sent,
    Fixed(T),
    Mirror,
    /// From the other side of the same block.
    Wrap,
}

/// The rules for all sides, by the axes of a [`Layout`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Ghosts<T>([[Rule<T>; 2]; 3]);

impl<T: Element> Ghosts<T> {
    pub fn new<const D: usize>(walls: &Walls<T, D>, beyond: &[[Beyond; 2]; 3]) -> Ghosts<T> {
        let mut rules = [[Rule::Sent; 2]; 3];
        for axis in 0..D {
            let to = Layout::axis::<D>(axis);
            for side in [0, 1] {
                rules[to][side] = match (beyond[to][side], walls.0[axis][side]) {
                    (Beyond::Rank(_), _) => Rule::Sent,
                    (Beyond::Own, _) => Rule::Wrap,
                    (Beyond::Wall, Wall::Fixed(value)) => Rule::Fixed(value),
                    (Beyond::Wall, Wall::Mirror) => Rule::Mirror,
                };
            }
        }
        Ghosts(rules)
    }

    /// Fills them all, from the owned cells.
    pub fn fill(&self, layout: &Layout, storage: &mut [T]) {
        for plane in storage[layout.planes(0..layout.cells[0])].chunks_exact_mut(layout.plane()) {
            for y in 0..layout.cells[1] {
                self.fill_from_row(layout, plane, y, 0..layout.cells[2]);
            }
        }
        self.fill_planes(layout, storage);
    }

    /// Fills what a computed row settles: its own ends, once its last cell is there, and at the edges of the plane
    /// the ghost rows that repeat it. `cells` of it have just been computed.
    #[inline]
    pub fn fill_from_row(&self, layout: &Layout, plane: &mut [T], y: usize, cells: Range<usize>) {
        let (n, width, pitch) = (layout.cells[1], layout.halo[1], layout.row());
        if y < width || y + width >= n {
            self.fill_rows(layout, plane, y, cells.clone());
        }
        if cells.end == layout.cells[2] {
            let row = &mut plane[(layout.halo[1] + y) * pitch..][..layout.cells[2] + 2 * layout.halo[2]];
            fill_ends(&self.0[2], layout.halo[2], row);
        }
    }

    /// The ghost rows that come from row `y`.
    #[cold]
    fn fill_rows(&self, layout: &Layout, plane: &mut [T], y: usize, cells: Range<usize>) {
        let (n, width) = (layout.cells[1], layout.halo[1]);
        // Padded rows: the owned ones are width..width + n.
        let from_low = (y < width).then_some(y);
        let from_high = (y + width >= n).then(|| n - 1 - y);
        let at = |row: usize| {
            let start = row * layout.row() + layout.halo[2];
            start + cells.start..start + cells.end
        };
        for (side, rule) in self.0[1].into_iter().enumerate() {
            let target = match (rule, side) {
                (Rule::Sent, _) => None,
                (Rule::Fixed(value), _) => {
                    if from_low == Some(0) && side == 0 || from_high == Some(0) && side == 1 {
                        let first = side * (width + n);
                        (first..first + width).for_each(|row| plane[at(row)].fill(value));
                    }
                    None
                }
                // k rows from an edge to k rows beyond it.
                (Rule::Mirror, 0) => from_low.map(|k| width - 1 - k),
                (Rule::Mirror, _) => from_high.map(|k| width + n + k),
                // And beyond the other one.
                (Rule::Wrap, 0) => from_high.map(|k| width - 1 - k),
                (Rule::Wrap, _) => from_low.map(|k| width + n + k),
            };
            if let Some(row) = target {
                plane.copy_within(at(width + y), at(row).start);
            }
        }
    }

    /// The ghost planes of axis 0.
    pub fn fill_planes(&self, layout: &Layout, storage: &mut [T]) {
        let (n, width, pitch) = (layout.cells[0], layout.halo[0], layout.plane());
        let copy = |storage: &mut [T], from: usize, to: usize| {
            storage.copy_within(from * pitch..(from + 1) * pitch, to * pitch);
        };
        for (side, rule) in self.0[0].into_iter().enumerate() {
            match rule {
                Rule::Sent => {}
                Rule::Fixed(value) => {
                    let first = side * (width + n);
                    storage[first * pitch..(first + width) * pitch].fill(value);
                }
                Rule::Mirror | Rule::Wrap => {
                    for k in 0..width {
                        let (low, high) = (width + k, width + n - 1 - k);
                        let mirrored = matches!(rule, Rule::Mirror);
                        let from = if mirrored == (side == 0) { low } else { high };
                        copy(storage, from, if side == 0 { width - 1 - k } else { width + n + k });
                    }
                }
            }
        }
    }
}

/// The ghost cells at the ends of a padded row.
#[inline]
fn fill_ends<T: Element>(rules: &[Rule<T>; 2], width: usize, row: &mut [T]) {
    let n = row.len() - 2 * width;
    for k in 0..width {
        let (low, high) = (row[width + k], row[width + n - 1 - k]);
        match rules[0] {
            Rule::Sent => {}
            Rule::Fixed(value) => row[width - 1 - k] = value,
            Rule::Mirror => row[width - 1 - k] = low,
            Rule::Wrap => row[width - 1 - k] = high,
        }
        match rules[1] {
            Rule::Sent => {}
            Rule::Fixed(value) => row[width + n + k] = value,
            Rule::Mirror => row[width + n + k] = high,
            Rule::Wrap => row[width + n + k] = low,
        }
    }
}
