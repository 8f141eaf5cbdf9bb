//! In which decompositions the axes of a transform are whole on a rank, one after the other.
//!
//! Arithmetic on numbers of ranks: no messages and no transforms.

use crate::grid::{Block, Grid};

/// A decomposition of some cells, dealt evenly as grids do it unless told otherwise. Unlike a grid it may leave ranks without
/// cells: the last ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split<const D: usize> {
    pub cells: [usize; D],
    pub dims: [usize; D],
}

impl<const D: usize> Split<D> {
    pub fn of(grid: &Grid<D>) -> Split<D> {
        Split { cells: grid.cells(), dims: grid.dims() }
    }

    /// The cells of a rank, in the order of ranks that grids have.
    pub fn block(&self, rank: usize) -> Block<D> {
        let (mut block, mut rest) = (Block { start: [0; D], shape: [0; D] }, rank);
        if rank >= self.dims.iter().product() {
            return block;
        }
        for axis in (0..D).rev() {
            let (cells, ranks, coord) = (self.cells[axis], self.dims[axis], rest % self.dims[axis]);
            rest /= ranks;
            let (each, more) = (cells / ranks, cells % ranks);
            block.start[axis] = coord * each + coord.min(more);
            block.shape[axis] = each + usize::from(coord < more);
        }
        block
    }

    /// Whether a grid deals its cells like this.
    pub fn deals(&self, grid: &Grid<D>) -> bool {
        (0..grid.comm().size()).all(|rank| {
            let (here, there) = (self.block(rank), grid.block_of(rank));
            there.is_some_and(|there| here == there || here.is_empty() && there.is_empty())
        })
    }

    /// Which axes are whole.
    pub fn whole(&self) -> [bool; D] {
        self.dims.map(|ranks| ranks == 1)
    }

    /// Whether a grid can be split like this over so many ranks: each has a cell.
    pub fn is_grid(&self, ranks: usize) -> bool {
        self.dims.iter().product::<usize>() == ranks && (0..D).all(|axis| self.dims[axis] <= self.cells[axis])
    }

    /// The decomposition in which the last of the axes that are `left` is whole, with its ranks along another axis: one that is
    /// done if there is one, the outermost for the longest runs of contiguous cells. If no axis has so many cells, some
    /// ranks have none.
    pub fn next(&self, left: [bool; D]) -> Option<Split<D>> {
        let axis = (0..D).rev().find(|&axis| left[axis])?;
        let mut dims = self.dims;
        let ranks = std::mem::replace(&mut dims[axis], 1);
        let takes = |other: &usize| *other != axis && dims[*other] * ranks <= self.cells[*other];
        let mut others = (0..D).filter(|&other| other != axis).collect::<Vec<_>>();
        others.sort_by_key(|&other| (left[other], dims[other] > 1, other));
        let fits = others.iter().copied().find(takes);
        // Where none has room for all of them, the roomiest is filled.
        if let Some(other) =
            fits.or_else(|| others.iter().copied().max_by_key(|&other| self.cells[other] / dims[other]))
        {
            dims[other] = (dims[other] * ranks).min(self.cells[other]);
        }
        Some(Split { dims, ..*self })
    }
}

/// From `first` on, the decompositions in which the axes of `wanted` become whole, each with those that are transformed in it.
pub(super) fn stages<const D: usize>(first: Split<D>, wanted: [bool; D]) -> Vec<(Split<D>, [bool; D])> {
    let (mut stages, mut now, mut left) = (Vec::new(), first, wanted);
    loop {
        let whole = now.whole();
        stages.push((now, std::array::from_fn(|axis| left[axis] && whole[axis])));
        left = std::array::from_fn(|axis| left[axis] && !whole[axis]);
        match now.next(left) {
            Some(next) => now = next,
            None => return stages,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(cells: [usize; 3], dims: [usize; 3]) -> Vec<([usize; 3], [bool; 3])> {
        let first = Split { cells, dims };
        let stages = stages(first, [true; 3]);
        stages.into_iter().map(|(split, axes)| (split.dims, axes)).collect()
    }

    #[test]
    fn slabs_take_one_exchange_and_pencils_two() {
        assert_eq!(
            plan([8, 8, 8], [4, 1, 1]),
            [([4, 1, 1], [false, true, true]), ([1, 4, 1], [true, false, false])]
        );
        let pencils = plan([8, 8, 8], [2, 3, 1]);
        assert_eq!(
            pencils.iter().map(|stage| stage.0).collect::<Vec<_>>(),
            [[2, 3, 1], [2, 1, 3], [1, 2, 3]]
        );
        assert_eq!(plan([8, 8, 8], [1, 1, 1]), [([1, 1, 1], [true; 3])]);
    }

    #[test]
    fn every_axis_is_transformed_once_and_every_cell_has_one_owner() {
        for cells in [[7, 3, 2], [1, 7, 1], [2, 2, 2], [5, 9, 4]] {
            for dims in [[7, 1, 1], [1, 7, 1], [2, 2, 2], [1, 1, 2], [5, 1, 1], [1, 3, 2]] {
                if (0..3).any(|axis| dims[axis] > cells[axis]) {
                    continue;
                }
                let first = Split { cells, dims };
                let ranks = dims.iter().product::<usize>();
                let stages = stages(first, [true; 3]);
                for axis in 0..3 {
                    assert_eq!(stages.iter().filter(|(_, axes)| axes[axis]).count(), 1);
                }
                for (split, axes) in &stages {
                    assert!((0..3).all(|axis| !axes[axis] || split.dims[axis] == 1));
                    let owned: usize = (0..ranks).map(|rank| split.block(rank).len()).sum();
                    assert_eq!(owned, cells.iter().product::<usize>(), "{split:?}");
                }
            }
        }
    }
}
