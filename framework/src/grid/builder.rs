//! `GridBuilder`: the options of a grid, and the check that all ranks gave the same.
//!
//! What the options come to is decided in `choose`.

use super::choose::{Wanted, decide};
use super::{Grid, Shape, Stencil, by};
use crate::comm::Comm;
use crate::error::{Error, ErrorKind, Result};
use crate::op::Max;
use std::rc::Rc;

/// A [`Grid`] in the making; from [`Grid::over`].
#[must_use = "build() makes the grid"]
pub struct GridBuilder<'c, const D: usize> {
    comm: &'c Comm,
    wanted: Wanted<D>,
    stencil: Stencil,
    origin: [f64; D],
    spacing: [f64; D],
}

impl<'c, const D: usize> GridBuilder<'c, D> {
    pub(super) fn new(comm: &'c Comm, cells: [usize; D]) -> Self {
        let wanted = Wanted { cells, halo: 1, periodic: [false; D], dims: None, blocks: None, idle: false };
        GridBuilder { comm, wanted, stencil: Stencil::Star, origin: [0.0; D], spacing: [1.0; D] }
    }

    /// How many cells of its neighbours a rank sees on each side; 1 if not said. 0 is for fields without stencils.
    pub fn halo(mut self, cells: usize) -> Self {
        self.wanted.halo = cells;
        self
    }

    /// Whether halos have edges and corners, as stencils with diagonal neighbours need; [`Stencil::Star`], which
    /// sends less, if not said.
    pub fn stencil(mut self, stencil: Stencil) -> Self {
        self.stencil = stencil;
        self
    }

    /// The axes on which the last cell is the first one's neighbour; none if not said.
    pub fn periodic(mut self, axes: [bool; D]) -> Self {
        self.wanted.periodic = axes;
        self
    }

    /// How many ranks along each axis, instead of the choice that communicates least.
    pub fn dims(mut self, ranks: [usize; D]) -> Self {
        self.wanted.dims = Some(ranks);
        self
    }

    /// The sizes of the blocks along each axis, low ones first, instead of even ones.
    ///
    /// ```
    /// # use rankine::Grid;
    /// rankine::testing::ranks([2], |world| {
    ///     let grid = Grid::over(world, [10, 4]).blocks([vec![7, 3], vec![4]]).build()?;
    ///     assert_eq!(grid.own().shape, [[7, 4], [3, 4]][world.rank()]);
    ///     Ok(())
    /// });
    /// ```
    pub fn blocks(mut self, sizes: [Vec<usize>; D]) -> Self {
        self.wanted.blocks = Some(sizes);
        self
    }

    /// Leaves ranks without cells where there are more of them than can be placed, instead of an error. They hold
    /// empty fields and take part in what is collective.
    pub fn leave_idle(mut self) -> Self {
        self.wanted.idle = true;
        self
    }

    /// Where the low corner of cell 0 is; 0 if not said.
    pub fn origin(mut self, corner: [f64; D]) -> Self {
        self.origin = corner;
        self
    }

    /// How wide cells are along each axis; 1 if not said.
    pub fn spacing(mut self, width: [f64; D]) -> Self {
        self.spacing = width;
        self
    }

    /// Makes the grid, on a communicator of its own. Collective: every rank gives the same numbers.
    ///
    /// # Errors
    /// No cells, or more than can be counted; more ranks than can be placed; a block narrower than the halo; blocks
    /// that are not the ranks' number, or not the cells'; a cell without width; ranks that disagree.
    pub fn build(self) -> Result<Grid<D>> {
        let decided = decide(self.comm.size(), &self.wanted).and_then(|partition| {
            let numbers = self.origin.iter().chain(&self.spacing).all(|number| number.is_finite());
            match numbers && self.spacing.iter().all(|&width| width > 0.0) {
                true => Ok(partition),
                false => Err(Error::usage(format!(
                    "a grid from {:?} with cells of {:?}",
                    self.origin, self.spacing
                ))
                .help("give a finite origin and widths above zero")),
            }
        });
        let comm = self.comm.dup()?;
        self.agree(&comm)?;
        let partition = decided.map_err(|error| error.on_rank(comm.rank()))?;
        let Wanted { halo, periodic, .. } = self.wanted;
        let shape =
            Shape { halo, periodic, stencil: self.stencil, origin: self.origin, spacing: self.spacing };
        Grid::of(Rc::new(comm), partition, shape)
    }

    /// Every rank must have asked for the same grid, or messages would be waited for that nobody sends.
    fn agree(&self, comm: &Comm) -> Result<()> {
        let Wanted { cells, halo, periodic, dims, blocks, idle } = &self.wanted;
        let mut key = 0xcbf2_9ce4_8422_2325_u64;
        let mut word = |word: u64| {
            key = (key ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        };
        cells.iter().chain([halo]).for_each(|&n| word(n as u64));
        periodic.iter().chain([idle]).for_each(|&flag| word(u64::from(flag)));
        dims.iter().flatten().for_each(|&n| word(n as u64));
        word(u64::from(dims.is_some()) << 1 | u64::from(blocks.is_some()));
        for sizes in blocks.iter().flatten() {
            word(sizes.len() as u64);
            sizes.iter().for_each(|&size| word(size as u64));
        }
        word(self.stencil as u64);
        self.origin.iter().chain(&self.spacing).for_each(|number| word(number.to_bits()));
        let [largest, smallest] = comm.allreduce([key, !key], Max)?;
        if largest == !smallest {
            return Ok(());
        }
        let text = format!(
            "the ranks do not agree about a grid; here it has {} cells and a halo of {halo}",
            by(*cells)
        );
        Err(Error::new(ErrorKind::Mismatch, text)
            .help("every rank must give the same cells, halo, periodic axes, dims, blocks, stencil and coordinates")
            .on_rank(comm.rank()))
    }
}
