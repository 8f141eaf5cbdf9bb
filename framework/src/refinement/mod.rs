//! `Refinement`: a box of a grid's points made finer, on ranks of its own choice, and filled from the coarse ones.
//!
//! This file is what an author calls, and decides where the parts are. Which points lie below which is in `part`, the values
//! between them in `interpolate`, the messages are `crate::redistribute`'s. Whole grids of twice the cells are
//! `grid::levels`.

mod interpolate;
mod part;

use crate::comm::{Comm, Element};
use crate::error::{Error, ErrorKind, Result};
use crate::field::{Field, Scaled};
use crate::grid::{Block, Grid, Stencil, by};
use crate::redistribute::{Arrays, Cut, Exchange, PIECE, Pieces, Place, Redistribution, fits, place};
use interpolate::Stages;
use part::Part;
use std::ops::Range;
use std::panic::Location;
use std::rc::Rc;

/// A box of the points of a coarse grid with `2^level` intervals for each of theirs along every axis, as adaptive methods put
/// where they need them, and the plan to fill it from the coarse values.
///
/// The values lie on the grids' points: coarse point `start + i` is fine point `i · 2^level`, and the last one is the last,
/// so `n` coarse points become `(n - 1) · 2^level + 1`. The fine points are a [`Grid`] as any other, with walls on all sides, on
/// some of the ranks:
///
/// | | the fine points are | messages when it is filled |
/// |---|---|---|
/// | [`in_place`](Refinement::in_place) | where the coarse ones are | the coarse points next to cuts through it |
/// | [`dealt`](Refinement::dealt) | dealt evenly to some ranks, which may have coarse points or not | the coarse points that are elsewhere |
/// | [`over`](Refinement::over) | on any grid of the author's | those too |
///
/// A plan is made once, which is collective, and used often, without allocating anything: what comes to life again and again
/// is filled by [`prolong`](Refinement::prolong), and what moves from some ranks to others by a [`migration`](Refinement::migration).
///
/// ```
/// use rankine::{Block, Field, Grid, Refinement};
/// rankine::testing::ranks([1, 2, 3, 4], |world| {
///     let coarse = Grid::new(world, [16, 16])?;
///     let part = Block { start: [4, 10], shape: [5, 3] };
///     let mut refinement = Refinement::dealt(world, Some(&coarse), part, 2, 0..world.size())?;
///     let slope = Field::from_fn(&coarse, |[y, x]| (y + 2 * x) as f64)?;
///     let mut fine = refinement.fine().map(|grid| Field::new(grid, 0.0)).transpose()?;
///     refinement.prolong(Some(&slope), fine.as_mut())?;
///     for ([y, x], value) in fine.iter().flat_map(|fine| fine.iter()) {
///         assert_eq!(value, 4.0 + y as f64 / 4.0 + 2.0 * (10.0 + x as f64 / 4.0));
///     }
///     Ok(())
/// });
/// ```
pub struct Refinement<T: Element, const D: usize> {
    part: Part<D>,
    coarse: Option<Grid<D>>,
    fine: Option<Grid<D>>,
    exchange: Exchange<T, D>,
    stages: Stages<T, D>,
}

impl<T: Element, const D: usize> Refinement<T, D> {
    /// The points of `part` (by global indices of `coarse`) refined `level` times, each piece on the rank that has the coarse
    /// points: cuts are in the middle between two of them. The fine grid has the coarse one's halo, stencil and
    /// coordinates. Collective over the coarse grid's ranks.
    ///
    /// # Errors
    /// As [`over`](Refinement::over); a piece with fewer points along an axis than the halo is wide. Every rank gets an error.
    #[track_caller]
    pub fn in_place(coarse: &Grid<D>, part: Block<D>, level: u32) -> Result<Self> {
        let plan = Plan::agreed(coarse.comm(), Some(coarse), part, level, 0..0, Location::caller())?;
        let pieces = plan.in_place()?;
        let team = plan.comm.split(coarse.own().intersect(&part).map(|_| 0), 0)?;
        let fine = team.map(|team| plan.grid(&team, Some(pieces))).transpose();
        plan.finish(fine)
    }

    /// The points of `part` (by global indices of the coarse grid) refined `level` times and dealt evenly to the ranks `to` of
    /// `comm`; where they are too few for all of those, the last ones have none. A rank without coarse points gives `None`,
    /// if the coarse grid is not made over all ranks. The fine grid has the coarse one's halo, stencil and coordinates. Collective
    /// over `comm`.
    ///
    /// # Errors
    /// As [`over`](Refinement::over); no such ranks.
    #[track_caller]
    pub fn dealt(
        comm: &Comm,
        coarse: Option<&Grid<D>>,
        part: Block<D>,
        level: u32,
        to: Range<usize>,
    ) -> Result<Self> {
        let plan = Plan::agreed(comm, coarse, part, level, to.clone(), Location::caller())?;
        if to.is_empty() || to.end > comm.size() {
            return Err(plan.refused(
                ErrorKind::Usage,
                format!("dealt to ranks {to:?} of {}", comm.size()),
                "give at least one of the communicator's ranks, and no others",
            ));
        }
        let team = plan.comm.split(to.contains(&comm.rank()).then_some(0), 0)?;
        let fine = team.map(|team| plan.grid(&team, None)).transpose();
        plan.finish(fine)
    }

    /// The points of `part` (by global indices of the coarse grid) refined `level` times on a grid of the author's, of as many
    /// cells as there are fine points. A rank gives those of the two grids that it is part of. Collective over `comm`.
    ///
    /// # Errors
    /// A part that is empty or not within the coarse grid; more fine points than can be counted; a fine grid of other cells;
    /// ranks of a grid that are not in `comm`; ranks that disagree. Every rank gets the same error.
    #[track_caller]
    pub fn over(
        comm: &Comm,
        coarse: Option<&Grid<D>>,
        part: Block<D>,
        level: u32,
        fine: Option<&Grid<D>>,
    ) -> Result<Self> {
        Plan::agreed(comm, coarse, part, level, 0..0, Location::caller())?.finish(Ok(fine.cloned()))
    }

    /// The grid of the fine points, on the ranks that are part of it.
    pub fn fine(&self) -> Option<&Grid<D>> {
        self.fine.as_ref()
    }

    /// The coarse points that are refined, by their global indices.
    pub fn part(&self) -> Block<D> {
        self.part.coarse
    }

    /// Fine intervals in a coarse one, along each axis.
    pub fn factor(&self) -> usize {
        self.part.factor()
    }

    /// Fills the owned points of the fine field by (bi-, tri-)linear interpolation between the owned points of the coarse one; a
    /// fine point that is a coarse one gets its value. Every value has the same bits on any number of ranks. A rank gives
    /// the fields whose grids it is part of. Every rank of the plan calls it; it sends what is not on the rank that needs
    /// it, and reads and writes no halo.
    ///
    /// # Errors
    /// Fields on other grids than the plan's, one that is missing or one too many; a failure of the engine, or another
    /// rank's.
    #[track_caller]
    pub fn prolong(&mut self, coarse: Option<&Field<T, D>>, fine: Option<&mut Field<T, D>>) -> Result<()>
    where
        T: Scaled,
    {
        let (here, rank) = (Location::caller(), self.exchange.comm().rank());
        fits("refinement: coarse", coarse, self.coarse.as_ref(), rank, here)?;
        fits("refinement: fine", fine.as_deref(), self.fine.as_ref(), rank, here)?;
        let (at, at_start) = coarse.map_or((Place::dense([0; D]), [0; D]), place);
        let mut fine = fine;
        let (to, into, into_start) = self.stages.patch(fine.as_deref_mut());
        let from = coarse.map_or(&[][..], Field::storage);
        self.exchange.run(&mut Arrays { from, at, at_start, to, into, into_start })?;
        if let Some(fine) = fine {
            self.stages.interpolate(fine);
        }
        Ok(())
    }

    /// The plan that moves fields from this refinement's ranks to those of another one of as many points: from where they were
    /// filled to where the work is balanced, and back. Collective over the ranks that this plan was made over;
    /// [`Redistribution::run_parts`] then moves the fields.
    ///
    /// # Errors
    /// As [`Redistribution::over`].
    #[track_caller]
    pub fn migration(&self, to: &Refinement<T, D>) -> Result<Redistribution<T, D>> {
        let axes = std::array::from_fn(|axis| axis);
        Redistribution::over(self.exchange.comm(), self.fine(), to.fine(), axes)
    }

    /// How many coarse points this rank sends to others in a [`prolong`](Refinement::prolong). Local.
    pub fn sent(&self) -> usize {
        self.exchange.sent()
    }
}

impl<T: Element, const D: usize> std::fmt::Debug for Refinement<T, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Part { coarse, level } = self.part;
        write!(f, "Refinement of {} points from {:?}, level {level}", by(coarse.shape), coarse.start)
    }
}

/// What all ranks of a refinement in the making have told each other.
struct Plan<const D: usize> {
    comm: Rc<Comm>,
    place: &'static Location<'static>,
    part: Part<D>,
    points: [usize; D],
    coarse: Option<Grid<D>>,
    /// The coarse block of every rank.
    blocks: Vec<Block<D>>,
    /// Of the coarse grid, which not every rank needs to have: halo, stencil, the first coarse point's place and how far
    /// apart they are.
    halo: usize,
    stencil: Stencil,
    center: [f64; D],
    spacing: [f64; D],
}

impl<const D: usize> Plan<D> {
    /// Collective. Every rank gets the same error.
    fn agreed(
        comm: &Comm,
        coarse: Option<&Grid<D>>,
        part: Block<D>,
        level: u32,
        to: Range<usize>,
        place: &'static Location<'static>,
    ) -> Result<Plan<D>> {
        let comm = Rc::new(comm.dup()?);
        let common = 2 * D + 3;
        let mut mine: Vec<u64> = Vec::with_capacity(common + 5 * D + 2);
        mine.extend(part.start.iter().chain(&part.shape).map(|&n| n as u64));
        mine.extend([u64::from(level), to.start as u64, to.end as u64]);
        let (own, cells) = coarse.map_or((Block::EMPTY, [0; D]), |grid| (grid.own(), grid.cells()));
        mine.extend(cells.iter().chain(&own.start).chain(&own.shape).map(|&n| n as u64));
        let (center, spacing) =
            coarse.map_or(([0.0; D], [0.0; D]), |grid| (grid.center(part.start), grid.spacing()));
        mine.extend(center.iter().chain(&spacing).map(|number| number.to_bits()));
        mine.extend(coarse.map_or([0; 2], |grid| [grid.halo() as u64, grid.stencil() as u64]));
        let (words, each) = (comm.allgather(&mine)?, mine.len());
        let of = |rank: usize| &words[rank * each..(rank + 1) * each];
        let indices = |rank: usize, at: usize| -> [usize; D] {
            std::array::from_fn(|axis| of(rank)[common + at * D + axis] as usize)
        };
        let numbers = |rank: usize, at: usize| -> [f64; D] {
            std::array::from_fn(|axis| f64::from_bits(of(rank)[common + at * D + axis]))
        };
        let ranks = 0..comm.size();
        let part = Part { coarse: part, level };
        let teller = ranks.clone().find(|&rank| indices(rank, 0) != [0; D]).unwrap_or(0);
        let [halo, stencil] = [of(teller)[each - 2], of(teller)[each - 1]];
        let plan = Plan {
            place,
            part,
            points: part.points().unwrap_or([0; D]),
            coarse: coarse.cloned(),
            blocks: ranks
                .clone()
                .map(|rank| Block { start: indices(rank, 1), shape: indices(rank, 2) })
                .collect(),
            halo: halo as usize,
            stencil: if stencil == Stencil::Box as u64 { Stencil::Box } else { Stencil::Star },
            center: numbers(teller, 3),
            spacing: numbers(teller, 4),
            comm,
        };
        if let Some(rank) = ranks.clone().find(|&rank| of(rank)[..common] != of(0)[..common]) {
            return Err(plan.refused(
                ErrorKind::Mismatch,
                format!("rank {rank} refines other points than rank 0, at another level or for other ranks"),
                "every rank must give the same part, level and ranks",
            ));
        }
        let cells = ranks.map(|rank| indices(rank, 0));
        plan.check_covered("coarse", cells.collect(), &plan.blocks)?;
        let Block { start, shape } = part.coarse;
        let cells = indices(teller, 0);
        let inside = |axis: usize| start[axis].checked_add(shape[axis]).is_some_and(|end| end <= cells[axis]);
        if shape.contains(&0) || !(0..D).all(inside) {
            return Err(plan.refused(
                ErrorKind::Usage,
                format!("{} points from {start:?} of {} coarse ones", by(shape), by(cells)),
                "refine at least one point, and only points of the coarse grid",
            ));
        }
        if plan.points == [0; D] {
            return Err(plan.refused(
                ErrorKind::Usage,
                format!("{} points at level {level}: the fine points cannot be counted", by(shape)),
                "refine fewer points, or at a lower level",
            ));
        }
        Ok(plan)
    }

    /// Whether the ranks have one grid together, all of it.
    fn check_covered(&self, name: &str, cells: Vec<[usize; D]>, blocks: &[Block<D>]) -> Result<()> {
        let Some(&whole) = cells.iter().find(|&&cells| cells != [0; D]) else {
            return Err(self.refused(
                ErrorKind::Mismatch,
                format!("no rank has a {name} grid"),
                "give the grid on the ranks that it was made over",
            ));
        };
        if let Some(rank) = cells.iter().position(|&cells| cells != whole && cells != [0; D]) {
            return Err(self.refused(
                ErrorKind::Mismatch,
                format!("the {name} grid has {} cells and, on rank {rank}, {}", by(whole), by(cells[rank])),
                "give one grid on all ranks that it was made over",
            ));
        }
        let owned: usize = blocks.iter().map(Block::len).sum();
        if owned != whole.iter().product::<usize>() {
            return Err(self.refused(
                ErrorKind::Mismatch,
                format!("the ranks own {owned} cells of a {name} grid of {}", by(whole)),
                "take a communicator with all ranks of the grid, and give the grid on each of them",
            ));
        }
        Ok(())
    }

    /// The sizes of the pieces that are where the coarse points are.
    fn in_place(&self) -> Result<[Vec<usize>; D]> {
        let mut pieces = [const { Vec::new() }; D];
        for (axis, pieces) in pieces.iter_mut().enumerate() {
            let parts = self.blocks.iter().filter_map(|block| block.intersect(&self.part.coarse));
            let mut stretches: Vec<_> =
                parts.map(|part| part.start[axis]..part.start[axis] + part.shape[axis]).collect();
            stretches.sort_unstable_by_key(|stretch| stretch.start);
            stretches.dedup();
            *pieces = self.part.pieces(axis, &stretches);
            if let Some(number) = pieces.iter().position(|&points| points < self.halo.max(1)) {
                return Err(self.refused(
                    ErrorKind::Usage,
                    format!(
                        "the piece below coarse points {:?} of axis {axis} has {} points, fewer than the halo of {}",
                        stretches[number], pieces[number], self.halo
                    ),
                    "deal the points to ranks evenly, refine more of them, or take another number of ranks",
                ));
            }
        }
        Ok(pieces)
    }

    /// The fine grid. Collective over `team`.
    fn grid(&self, team: &Comm, pieces: Option<[Vec<usize>; D]>) -> Result<Grid<D>> {
        let spacing = self.spacing.map(|width| width / self.part.factor() as f64);
        let origin = std::array::from_fn(|axis| self.center[axis] - spacing[axis] / 2.0);
        let grid = Grid::over(team, self.points).halo(self.halo).stencil(self.stencil);
        let grid = grid.origin(origin).spacing(spacing);
        match pieces {
            Some(pieces) => grid.blocks(pieces).build(),
            None => grid.leave_idle().build(),
        }
    }

    /// Collective.
    fn finish<T: Element>(self, fine: Result<Option<Grid<D>>>) -> Result<Refinement<T, D>> {
        let fine = self.comm.agree(fine.map_err(|error| error.at(self.place)))?;
        let (own, cells) = fine.as_ref().map_or((Block::EMPTY, [0; D]), |grid| (grid.own(), grid.cells()));
        let mine: Vec<usize> = cells.into_iter().chain(own.start).chain(own.shape).collect();
        let words = self.comm.allgather(&mine)?;
        let word = |rank: usize, at: usize| -> [usize; D] {
            std::array::from_fn(|axis| words[(rank * 3 + at) * D + axis])
        };
        let ranks = 0..self.comm.size();
        let blocks: Vec<_> =
            ranks.clone().map(|rank| Block { start: word(rank, 1), shape: word(rank, 2) }).collect();
        let cells: Vec<_> = ranks.map(|rank| word(rank, 0)).collect();
        let found = cells.iter().copied().find(|&cells| cells != [0; D]);
        self.check_covered("fine", cells, &blocks)?;
        if found != Some(self.points) {
            return Err(self.refused(
                ErrorKind::Usage,
                format!("{} fine points on a grid of {} cells", by(self.points), by(found.unwrap_or([0; D]))),
                "make the fine grid of (n - 1) 2^level + 1 cells for n coarse points",
            ));
        }
        let below = |rank: usize| self.part.below(&blocks[rank]);
        let cut =
            Cut { cells: PIECE / size_of::<T>().max(1) * rayon::current_num_threads(), contiguous: D - 1 };
        let pieces = Pieces::new(self.comm.rank(), self.comm.size(), |rank| self.blocks[rank], below, cut);
        let stages = Stages::new(self.part, own).map_err(|error| error.on_rank(self.comm.rank()));
        let stages = self.comm.agree(stages)?;
        let exchange = Exchange::new(self.comm, pieces);
        Ok(Refinement { part: self.part, coarse: self.coarse, fine, exchange, stages })
    }

    fn refused(&self, kind: ErrorKind, what: String, help: &str) -> Error {
        let what = format!("refinement: {what}");
        Error::new(kind, what).help(help).on_rank(self.comm.rank()).at(self.place)
    }
}
