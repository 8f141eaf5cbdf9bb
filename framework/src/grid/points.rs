//! `Points`: where the values of a field lie on a grid's cells, which of them a rank owns, and how it stores them.
//!
//! In the middle of cells, or, along staggered axes, on their low faces. The rank that owns a cell owns its low face;
//! at a wall the last face, which is no cell's low one, goes with the last cell. So every point has one owner. On a
//! periodic axis the last face is the first, and there are as many faces as cells.

use super::partition::Partition;
use super::{Block, Grid, Shape, Stencil, by};
use crate::error::{Error, Result};
use crate::halo::{Layout, Links};
use std::cell::OnceCell;

/// Where the values of a field lie.
pub(crate) struct Points<const D: usize> {
    /// Along which axes they are on faces.
    pub staggered: [bool; D],
    /// How many there are in all along each axis.
    pub count: [usize; D],
    pub own: Block<D>,
    pub layout: Layout,
    /// What an exchange sends, for each stencil.
    links: [OnceCell<Links>; 2],
}

/// The points of the block at a place.
pub(super) fn block<const D: usize>(
    partition: &Partition<D>,
    place: Option<[usize; D]>,
    periodic: [bool; D],
    staggered: [bool; D],
) -> Block<D> {
    let Some(place) = place else { return Block::EMPTY };
    let (mut block, dims) = (partition.block(place), partition.dims());
    for axis in 0..D {
        let last = place[axis] + 1 == dims[axis];
        block.shape[axis] += usize::from(staggered[axis] && !periodic[axis] && last);
    }
    block
}

impl<const D: usize> Points<D> {
    /// Those of the block at `place`. Local; but that no block is too thin every rank finds alike.
    pub(super) fn new(
        partition: &Partition<D>,
        place: Option<[usize; D]>,
        shape: &Shape<D>,
        staggered: [bool; D],
    ) -> Result<Points<D>> {
        let (periodic, halo) = (shape.periodic, shape.halo);
        let mut count = partition.cells();
        for axis in 0..D {
            count[axis] += usize::from(staggered[axis] && !periodic[axis]);
            // The points beyond a wall mirror those behind the one on it.
            let first = partition.block([0; D]).shape[axis];
            if staggered[axis] && !periodic[axis] && partition.dims()[axis] > 1 && first <= halo {
                return Err(Error::usage(format!(
                    "a field staggered along axis {axis}, where the first block has {first} cells and a halo of {halo}"
                ))
                .help("its first block needs one cell more than the halo is wide: use fewer ranks along this axis"));
            }
        }
        let own = block(partition, place, periodic, staggered);
        let layout = match place {
            None => Layout::EMPTY,
            Some(_) => Layout::new(own.shape, halo).ok_or_else(|| {
                Error::usage(format!("a block of {} cells with a halo of {halo}", by(own.shape)))
                    .help("that is more than memory can hold: give fewer cells or more ranks")
            })?,
        };
        Ok(Points { staggered, count, own, layout, links: Default::default() })
    }

    /// What an exchange of these points sends to whom.
    pub fn links(&self, grid: &Grid<D>, stencil: Stencil) -> &Links {
        self.links[stencil as usize].get_or_init(|| {
            Links::new::<D>(&self.layout, grid.beyond(), stencil, |direction| grid.rank_beside(direction))
        })
    }

    /// Whether both are the same points of their grids.
    pub fn same(&self, other: &Points<D>) -> bool {
        self.staggered == other.staggered && self.layout == other.layout && self.own == other.own
    }

    /// The shape in which fields store the rank's block.
    pub fn padded_shape(&self) -> [usize; D] {
        std::array::from_fn(|axis| self.layout.padded[Layout::axis::<D>(axis)])
    }
}
