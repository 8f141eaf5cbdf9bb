//! `Levels`: a grid and the one with half as many cells along each axis, for multilevel methods.
//!
//! It decides which cells a coarse grid has and which rank holds them. Values go from one to the other in
//! `field::transfer`.

use super::partition::Partition;
use super::{Block, Grid, Shape, points};
use crate::error::{Error, Result};
use std::panic::Location;

/// A block thinner than this, along an axis that is split, costs more in messages than it saves: two are merged.
const THIN: usize = 4;

/// Two grids over the same ranks, of which the coarse one has half as many cells along some axes, or all; from
/// [`Grid::coarsen`] or [`Grid::refine`].
///
/// Coarse cell `i` covers the fine cells `2i` and `2i + 1`; on an axis that is staggered coarse face `i` is fine face
/// `2i`. A coarse cell belongs to the rank that owns the first of its fine ones, or, where blocks would become thin, to
/// that of the first of two such ranks. The others have no cells of the coarse grid then; they hold empty fields
/// on it and take part in what is collective. [`Grid::team`] are those that have.
pub struct Levels<const D: usize> {
    pub(crate) fine: Grid<D>,
    pub(crate) coarse: Grid<D>,
    pub(crate) halved: [bool; D],
    /// How many blocks of the fine grid make one of the coarse.
    merged: [usize; D],
}

/// A part of the coarse grid: what lies below the fine block of a rank.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Below<const D: usize> {
    /// Who holds its coarse points.
    pub holder: usize,
    /// The coarse points, by their global indices.
    pub points: Block<D>,
}

impl<const D: usize> Grid<D> {
    /// This grid and one with half the cells along every axis that has an even number of them, and at least twice as
    /// many as the halo is wide; `None` if there is no such axis. Collective.
    ///
    /// ```
    /// # use rankine::{Field, Grid, Prolongation};
    /// rankine::testing::ranks([1, 2, 3, 4, 7], |world| {
    ///     let fine = Grid::new(world, [32, 28])?;
    ///     let levels = fine.coarsen()?.expect("even numbers of cells");
    ///     assert_eq!(levels.coarse().cells(), [16, 14]);
    ///     let mut u = Field::from_fn(&fine, |[y, x]| (y + x) as f64)?;
    ///     let mut coarse = Field::new(levels.coarse(), 0.0)?;
    ///     levels.restrict(&mut u, &mut coarse)?;
    ///     assert_eq!(coarse.get([2, 3]).unwrap_or(11.0), 11.0);
    ///     levels.prolong(&mut coarse, &mut u, Prolongation::Constant)?;
    ///     assert_eq!(u.get([5, 6]).unwrap_or(11.0), 11.0);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// A grid without a halo; a failure of the engine.
    #[track_caller]
    pub fn coarsen(&self) -> Result<Option<Levels<D>>> {
        self.check_halo("coarsen")?;
        let (cells, fine) = (self.cells(), &self.0.partition);
        let halved = cells.map(|n| n.is_multiple_of(2) && n / 2 >= self.halo());
        if halved == [false; D] {
            return Ok(None);
        }
        let (coarse, merged) = fine.halved(halved, (self.halo() + 1).max(THIN));
        let mut shape = self.0.shape;
        for (spacing, halved) in shape.spacing.iter_mut().zip(halved) {
            *spacing *= if halved { 2.0 } else { 1.0 };
        }
        let coarse = Grid::of(self.0.comm.clone(), coarse, shape)?;
        Ok(Some(Levels { fine: self.clone(), coarse, halved, merged }))
    }

    /// This grid and one with twice the cells along every axis, on the same ranks. Collective.
    ///
    /// # Errors
    /// A grid without a halo; more cells than can be counted.
    #[track_caller]
    pub fn refine(&self) -> Result<Levels<D>> {
        self.check_halo("refine")?;
        let partition = self.0.partition.doubled().ok_or_else(|| {
            Error::usage(format!("refine: {self:?}: twice the cells cannot be counted"))
                .on_rank(self.comm().rank())
                .at(Location::caller())
        })?;
        let shape = Shape { spacing: self.0.shape.spacing.map(|width| width / 2.0), ..self.0.shape };
        let fine = Grid::of(self.0.comm.clone(), partition, shape)?;
        Ok(Levels { fine, coarse: self.clone(), halved: [true; D], merged: [1; D] })
    }

    #[track_caller]
    fn check_halo(&self, call: &str) -> Result<()> {
        if self.halo() > 0 {
            return Ok(());
        }
        Err(Error::usage(format!("{call}: {self:?}"))
            .help("make the grid with a halo of at least one cell: transfers between levels read neighbours")
            .on_rank(self.comm().rank())
            .at(Location::caller()))
    }
}

impl<const D: usize> Partition<D> {
    /// The blocks of half the cells along some axes, and how many of these blocks became one. Blocks of fewer than
    /// `thin` cells are merged.
    fn halved(&self, halved: [bool; D], thin: usize) -> (Partition<D>, [usize; D]) {
        let (mut coarse, mut merged) = (self.clone(), [1; D]);
        for axis in (0..D).filter(|&axis| halved[axis]) {
            let cuts = &mut coarse.cuts[axis];
            cuts.iter_mut().for_each(|cut| *cut = cut.div_ceil(2));
            while cuts.len() > 2 && cuts.windows(2).any(|pair| pair[1] - pair[0] < thin) {
                let end = cuts[cuts.len() - 1];
                *cuts = cuts[..cuts.len() - 1].iter().copied().step_by(2).chain([end]).collect();
                coarse.step[axis] *= 2;
                merged[axis] *= 2;
            }
        }
        (coarse, merged)
    }

    /// The same blocks of twice the cells.
    fn doubled(&self) -> Option<Partition<D>> {
        let mut fine = self.clone();
        for cut in fine.cuts.iter_mut().flatten() {
            *cut = cut.checked_mul(2)?;
        }
        fine.cells().iter().try_fold(1usize, |all, &n| all.checked_mul(n)).map(|_| fine)
    }
}

impl<const D: usize> Levels<D> {
    /// The grid with more cells.
    pub fn fine(&self) -> &Grid<D> {
        &self.fine
    }

    /// The grid with fewer cells.
    pub fn coarse(&self) -> &Grid<D> {
        &self.coarse
    }

    /// Along which axes it has half as many.
    pub fn halved(&self) -> [bool; D] {
        self.halved
    }

    /// What lies below the block of the fine grid at a place, in fields staggered along some axes.
    fn below_place(&self, place: [usize; D], staggered: [bool; D]) -> Below<D> {
        let inner = &self.fine.0;
        let mut points = points::block(&inner.partition, Some(place), inner.shape.periodic, staggered);
        for axis in (0..D).filter(|&axis| self.halved[axis]) {
            let end = (points.start[axis] + points.shape[axis]).div_ceil(2);
            points.start[axis] = points.start[axis].div_ceil(2);
            points.shape[axis] = end - points.start[axis];
        }
        let above = std::array::from_fn(|axis| place[axis] / self.merged[axis]);
        Below { holder: self.coarse.0.partition.rank(above), points }
    }

    /// What lies below this rank's block of the fine grid, if it has one.
    pub(crate) fn below(&self, staggered: [bool; D]) -> Option<Below<D>> {
        self.fine.0.coords.map(|place| self.below_place(place, staggered))
    }

    /// The other ranks whose blocks of the fine grid this rank's block of the coarse one is below, and the parts of it.
    pub(crate) fn others(&self, staggered: [bool; D]) -> impl Iterator<Item = (usize, Below<D>)> + '_ {
        let fine = &self.fine.0.partition;
        let (dims, me) = (fine.dims(), self.fine.comm().rank());
        let count = self.coarse.0.coords.map_or(0, |_| self.merged.iter().product());
        let coords = self.coarse.0.coords.unwrap_or([0; D]);
        (0..count).filter_map(move |mut code| {
            let mut place = [0; D];
            for axis in (0..D).rev() {
                place[axis] = coords[axis] * self.merged[axis] + code % self.merged[axis];
                code /= self.merged[axis];
            }
            let rank = fine.rank(place);
            let is = (0..D).all(|axis| place[axis] < dims[axis]) && rank != me;
            is.then(|| (rank, self.below_place(place, staggered)))
        })
    }
}

impl<const D: usize> std::fmt::Debug for Levels<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Levels({:?}, {:?})", self.fine, self.coarse)
    }
}
