//! `amr`: a star stencil on a square grid, parts of which are refined in turn.
//!
//! Every iteration adds the stencil of `in` to `out` and then 1 to `in`, on the background grid and, several times over, on the
//! refinement that is alive. There are four of those, one at each corner; with every period the next comes to life, filled
//! from the background by bilinear interpolation, for some iterations. As `in` is linear at first, `out` grows by 2 in every
//! sweep of a grid; the weights of a refinement are as much larger as its points are closer. How the work is balanced
//! is a parameter.

use super::stencil::{Shape, Stencil, Term, sweep};
use super::{at_least_one, bytes};
use rankine::kernel::{Check, Kernel, Quoted, Timed, Verdict, Work};
use rankine::op::Max;
use rankine::{Block, Comm, Error, Field, Grid, Norm, Ordered, Refinement, Result, Wall};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// A grid with refinements: its parameters.
#[derive(Clone, Debug, PartialEq, clap::Args, Serialize, Deserialize)]
pub struct Amr {
    /// Timed iterations, after one that is not
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub iterations: u64,
    /// Points along each side of the background grid
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub size: usize,
    /// Points of the background grid along each side of a refinement
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub refined_size: usize,
    /// How many times the intervals of a refinement are halved
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub refine_level: u32,
    /// Iterations from one refinement to the next
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub period: u64,
    /// Iterations that a refinement lives
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub duration: u64,
    /// Sweeps of a refinement in each iteration
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub sub_iterations: u64,
    /// Which ranks have the refinements
    #[arg(long, value_enum, default_value_t)]
    pub balance: Balance,
    /// How many ranks fine_grain deals a refinement to, if not all
    #[arg(long, value_name = "RANKS")]
    pub spread: Option<usize>,
    /// How far the stencil reaches along each axis
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub radius: usize,
}

/// Which ranks have the refinements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[clap(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// All ranks, or the first few: a refinement is dealt evenly
    #[default]
    FineGrain,
    /// Those that have the background points there: almost nothing is sent
    NoTalk,
    /// Others than the background, in proportion to the work
    HighWater,
}

/// What a rank has of all grids.
pub struct Hierarchy {
    pub(super) background: Option<Level>,
    pub(super) refined: Vec<Refined>,
    done: u64,
}

/// A refinement, and its points if this rank has some.
pub struct Refined {
    plan: Refinement<f64, 2>,
    pub(super) level: Option<Level>,
}

/// The two fields of a grid, and its stencil.
pub struct Level {
    pub(super) input: Field<f64, 2>,
    pub(super) output: Field<f64, 2>,
    terms: Vec<Term>,
}

impl Kernel for Amr {
    const NAME: &'static str = "amr";
    const ABOUT: &'static str =
        "star stencil on a grid with refinements that come and go (Parallel Research Kernels)";
    const VERIFIES: &'static str =
        "norms of both fields of the background and of every refinement against their growth";
    const MAY_CHANGE: &'static [&'static str] = &["iterations"];
    type Data = Hierarchy;

    fn check(&self, ranks: usize) -> Result<()> {
        let Amr { size, refined_size, period, duration, radius, .. } = *self;
        let refused = |what: String, help: &str| Err(Error::usage(what).help(help));
        at_least_one(self.iterations)?;
        if size < 2 || refined_size < 2 || radius < 1 || self.sub_iterations < 1 || period < 1 {
            let what = format!(
                "--size {size} --refined-size {refined_size} --radius {radius} --sub-iterations {} --period {period}",
                self.sub_iterations
            );
            return refused(what, "give sizes of at least 2 and all others at least 1");
        }
        if refined_size > size {
            let what = format!("--refined-size {refined_size}: more points than --size {size}");
            return refused(what, "a refinement is a part of the background grid");
        }
        if duration < 1 || duration > period {
            let what = format!("--duration {duration}: not from 1 to --period {period}");
            return refused(what, "a refinement lives until the next one at most");
        }
        let fine = self.fine();
        if fine.checked_mul(fine).is_none() {
            let what =
                format!("--refine-level {}: the points of a refinement cannot be counted", self.refine_level);
            return refused(what, "refine fewer times");
        }
        if (size.min(fine) - 1) / 2 < radius {
            let what =
                format!("--radius {radius}: the stencil is wider than a grid of {} points", size.min(fine));
            return refused(what, "take a smaller radius, or larger grids");
        }
        if self.balance == Balance::HighWater && ranks == 1 {
            return refused(
                "--balance high_water on 1 rank".to_string(),
                "it gives background and refinements different ranks: take 2 or more, or another balance",
            );
        }
        match self.spread {
            Some(spread) if self.balance != Balance::FineGrain => {
                let what = format!("--spread {spread} without --balance fine_grain");
                return refused(what, "only fine_grain deals refinements to some of the ranks");
            }
            Some(spread) if spread < 1 || spread > ranks => {
                let what = format!("--spread {spread} on {ranks} ranks");
                return refused(what, "give at least 1 and at most the number of ranks");
            }
            _ => {}
        }
        let most = (size / radius) as u128;
        if self.background_ranks(ranks) as u128 > most * most {
            let what =
                format!("--size {size} on {ranks} ranks: there are not {radius} rows and columns for each");
            return refused(what, "give a larger grid, or fewer ranks");
        }
        Ok(())
    }

    fn bytes_per_rank(&self, ranks: usize) -> Option<u64> {
        let square = |n: usize| (n as u128 + 2 * self.radius as u128).saturating_pow(2);
        let background = self.background_ranks(ranks);
        let coarse = square(self.size).div_ceil(background as u128);
        // Two fields, and what is between them and the background while they are filled.
        let all = 4 * square(self.fine());
        let fine = 24
            * match self.balance {
                Balance::FineGrain => all.div_ceil(self.spread.unwrap_or(ranks) as u128),
                Balance::HighWater => all.div_ceil((ranks - background) as u128),
                Balance::NoTalk if ranks == 1 => all,
                // Two corners may be one rank's, and no more of them than it has points below.
                Balance::NoTalk => (all / 2).min(coarse.saturating_mul(4u128 << (2 * self.refine_level))),
            };
        let coarse = coarse.saturating_mul(16);
        bytes(if background < ranks { fine.max(coarse) } else { fine.saturating_add(coarse) })
    }

    fn init(&self, comm: &Comm) -> Result<Hierarchy> {
        let background = self.background_ranks(comm.size());
        let team = comm.split((comm.rank() < background).then_some(0), 0)?;
        let grid = |team| Grid::over(&team, [self.size; 2]).halo(self.radius).leave_idle().build();
        let grid = comm.agree(team.map(grid).transpose())?;
        let far = self.size - self.refined_size;
        let mut plans = Vec::new();
        for start in [[0, 0], [far, far], [far, 0], [0, far]] {
            let part = Block { start, shape: [self.refined_size; 2] };
            let level = self.refine_level;
            plans.push(match (self.balance, &grid) {
                (Balance::NoTalk, Some(grid)) => {
                    Refinement::in_place(grid, part, level).map_err(|error| {
                        error.help("take another number of ranks or --refine-level, or --balance fine_grain")
                    })?
                }
                (Balance::HighWater, grid) => {
                    Refinement::dealt(comm, grid.as_ref(), part, level, background..comm.size())?
                }
                (_, grid) => {
                    let spread = self.spread.unwrap_or(comm.size());
                    Refinement::dealt(comm, grid.as_ref(), part, level, 0..spread)?
                }
            });
        }
        let level = |grid: &Grid<2>, factor: usize, value: fn([usize; 2]) -> f64| -> Result<Level> {
            let mut terms = self.stencil(self.size).terms();
            terms.iter_mut().for_each(|term| term.weight *= factor as f64);
            // Nothing reads beyond the edge.
            let walls = [[Wall::Given; 2]; 2];
            let [input, output] =
                [Field::from_fn(grid, value)?, Field::new(grid, 0.0)?].map(|field| field.walls(walls));
            Ok(Level { input, output, terms })
        };
        let refined = plans.into_iter().map(|plan| {
            let points = plan.fine().map(|grid| level(grid, plan.factor(), |_| 0.0)).transpose()?;
            Ok(Refined { plan, level: points })
        });
        let refined = comm.agree(refined.collect())?;
        let background = grid.map(|grid| level(&grid, 1, |[y, x]| (y + x) as f64)).transpose();
        Ok(Hierarchy { refined, background: comm.agree(background)?, done: 0 })
    }

    fn steps(&self) -> Option<u64> {
        Some(self.iterations.saturating_add(1))
    }

    fn warm_up(&self) -> u64 {
        1
    }

    fn step(&self, _: &Comm, hierarchy: &mut Hierarchy) -> Result<ControlFlow<()>> {
        let Hierarchy { background, refined, done } = hierarchy;
        let (turn, age) = (*done / self.period % 4, *done % self.period);
        let Refined { plan, level } = &mut refined[turn as usize];
        if age == 0 {
            let coarse = background.as_ref().map(|level| &level.input);
            plan.prolong(coarse, level.as_mut().map(|level| &mut level.input))?;
        }
        let sweep = |Level { input, output, terms }: &mut Level| sweep(input, output, self.radius, terms);
        if let Some(level) = level.as_mut().filter(|_| age < self.duration) {
            (0..self.sub_iterations).try_for_each(|_| sweep(level))?;
        }
        background.iter_mut().try_for_each(sweep)?;
        *done += 1;
        Ok(ControlFlow::Continue(()))
    }

    fn verify(&self, comm: &Comm, hierarchy: &mut Hierarchy) -> Result<Verdict> {
        let done = hierarchy.done;
        let norms = hierarchy.told(comm, |field| field.norm(Norm::L1))?;
        // What each is a sum over, and the mean that it should come to.
        let active = [self.size, self.fine()].map(|size| self.stencil(size).active());
        let all = [self.size, self.fine()].map(|size| (size as f64).powi(2));
        let mut expected =
            vec![(active[0], 2.0 * done as f64), (all[0], (self.size - 1) as f64 + done as f64)];
        for (turn, refined) in (0..).zip(&hierarchy.refined) {
            expected.push((active[1], 2.0 * self.sweeps(turn, done)));
            let start: usize = refined.plan.part().start.iter().sum();
            let filled = self.last_birth(turn, done).map_or(0.0, |born| {
                let since = (done - born).min(self.duration) as f64 * self.sub_iterations as f64;
                (start + self.refined_size - 1) as f64 + born as f64 + since
            });
            expected.push((all[1], filled));
        }
        let grids = ["background", "refinement 0", "refinement 1", "refinement 2", "refinement 3"];
        let names = grids.iter().flat_map(|grid| [format!("out, {grid}"), format!("in, {grid}")]);
        let checks = names.zip(norms).zip(expected).map(|((name, norm), (points, expected))| {
            Check::new(format!("mean of {name}"), (norm / points - expected).abs(), 1e-8)
        });
        Ok(Verdict::of(checks))
    }

    fn checksum(&self, comm: &Comm, hierarchy: &Hierarchy) -> Result<Option<u64>> {
        let sums = hierarchy.told(comm, Field::checksum)?;
        Ok(Some(sums.iter().fold(0, |all, &sum| u64::wrapping_add(all.rotate_left(7), sum))))
    }

    fn work(&self, _: &Hierarchy) -> Work {
        let (updates, flops) = self.counted();
        Work::of(updates, "points").flops_each(flops / updates)
    }

    fn quoted(&self, _: &Hierarchy, timed: Timed) -> Vec<Quoted> {
        vec![Quoted::per_step("MFlops/s", 1e-6 * self.counted().1, timed)]
    }
}

impl Amr {
    /// Points along each side of a refinement.
    fn fine(&self) -> usize {
        let factor = 1usize.checked_shl(self.refine_level).unwrap_or(usize::MAX);
        (self.refined_size - 1).saturating_mul(factor).saturating_add(1)
    }

    /// What is done on a grid of so many points along each side.
    fn stencil(&self, size: usize) -> Stencil {
        Stencil { iterations: self.iterations, size, radius: self.radius, shape: Shape::Star }
    }

    /// How many ranks, the first ones, have the background.
    fn background_ranks(&self, ranks: usize) -> usize {
        if self.balance != Balance::HighWater {
            return ranks;
        }
        let lives = self.duration as f64 / self.period as f64 * self.sub_iterations as f64;
        let [coarse, fine] = [self.size, self.fine()].map(|size| self.stencil(size).active());
        let slowest =
            |background: usize| (coarse / background as f64).max(fine * lives / (ranks - background) as f64);
        (1..ranks).min_by(|&a, &b| slowest(a).total_cmp(&slowest(b))).unwrap_or(1)
    }

    /// Iterations from a refinement's birth to its next one.
    fn cycle(&self) -> u64 {
        self.period.saturating_mul(4)
    }

    /// How often a refinement has been swept after so many iterations.
    fn sweeps(&self, turn: u64, done: u64) -> f64 {
        let (cycles, left) = (done / self.cycle(), done % self.cycle());
        let left = left.saturating_sub(turn.saturating_mul(self.period)).min(self.duration);
        (cycles * self.duration + left) as f64 * self.sub_iterations as f64
    }

    /// Before which iteration it has been filled last, if it was in the first `done` ones.
    fn last_birth(&self, turn: u64, done: u64) -> Option<u64> {
        let first = turn.saturating_mul(self.period);
        (done > first).then(|| first + (done - 1 - first) / self.cycle() * self.cycle())
    }

    /// Points updated in a timed iteration and floating-point operations, on average, as the specification counts them: of the
    /// untimed iteration it leaves out one sweep of the first refinement, and the interpolation.
    fn counted(&self) -> (f64, f64) {
        let (iterations, fine) = (self.iterations as f64, self.fine() as f64);
        let sweeps = (0..4).map(|turn| self.sweeps(turn, self.iterations.saturating_add(1)));
        let [background, refinement] = [self.size, self.fine()].map(|size| self.stencil(size));
        let updates = background.active() * iterations + refinement.active() * (sweeps.sum::<f64>() - 1.0);
        let births = if self.refine_level > 0 { (self.iterations / self.period) as f64 } else { 0.0 };
        let interpolation = births * 3.0 * fine * (fine + self.refined_size as f64);
        (updates / iterations, (updates * background.flops() + interpolation) / iterations)
    }
}

impl Hierarchy {
    /// What the ranks of each grid find out of its two fields, first `out` and then `in`, on every rank. Collective.
    fn told<T: Ordered + Default>(
        &self,
        comm: &Comm,
        of: impl Fn(&Field<f64, 2>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let levels =
            std::iter::once(&self.background).chain(self.refined.iter().map(|refined| &refined.level));
        let mut found = Vec::new();
        for level in levels {
            // Ranks without a part of the grid have the least there is.
            found.extend(match level {
                Some(level) => [of(&level.output)?, of(&level.input)?],
                None => [T::default(); 2],
            });
        }
        comm.allreduce_in_place(&mut found, Max)?;
        Ok(found)
    }
}
