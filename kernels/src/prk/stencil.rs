//! `stencil`: a discrete divergence applied to a square grid again and again.
//!
//! `out += W * in` on all points at least the radius away from the edge, then `in += 1` everywhere, so that halos change and have
//! to be exchanged. The weights of a star of radius R are ±1/(2kR) at distance k along each axis; a compact stencil has
//! the whole square around a point. Since `in` starts as x + y, each iteration adds 2 to every point of `out`.

use super::{at_least_one, bytes};
use rankine::kernel::{Check, Kernel, Quoted, Timed, Verdict, Work};
use rankine::{Comm, Error, Field, Grid, Near, Result, Stencil as Reach, Wall, op};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// A stencil on a square grid: its parameters.
#[derive(Clone, Debug, PartialEq, clap::Args, Serialize, Deserialize)]
pub struct Stencil {
    /// Timed iterations, after one that is not
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub iterations: u64,
    /// Points along each side of the grid
    #[arg(long, value_name = "N", default_value_t = 4000)]
    pub size: usize,
    /// How far the stencil reaches
    #[arg(long, value_name = "R", default_value_t = 2)]
    pub radius: usize,
    /// Along the axes only, or the whole square
    #[arg(long, value_enum, default_value_t)]
    pub shape: Shape,
}

/// Which points a stencil has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Those along the axes.
    #[default]
    Star,
    /// Those of the square around a point.
    Compact,
}

/// The two grids.
pub struct Grids {
    input: Field<f64, 2>,
    pub(super) output: Field<f64, 2>,
    terms: Vec<Term>,
    done: u64,
}

/// A point and the one opposite, whose weight is the negative.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    offset: [isize; 2],
    pub weight: f64,
}

/// Terms that one pass over a row sums up, and points that it sums in registers.
const TERMS: usize = 8;
const POINTS: usize = 32;

impl Kernel for Stencil {
    const NAME: &'static str = "stencil";
    const ABOUT: &'static str = "star or compact stencil on a square grid (Parallel Research Kernels)";
    const VERIFIES: &'static str = "the mean of |out| against 2 (iterations + 1)";
    const MAY_CHANGE: &'static [&'static str] = &["iterations"];
    type Data = Grids;

    fn check(&self, _: usize) -> Result<()> {
        at_least_one(self.iterations)?;
        let Stencil { size, radius, .. } = *self;
        if radius == 0 || radius > 64 {
            return Err(Error::usage(format!("--radius {radius}")).help("give 1 to 64"));
        }
        if size < 2 * radius + 1 {
            let what = format!(
                "--size {size}: smaller than a stencil of --radius {radius}, {} points wide",
                2 * radius + 1
            );
            return Err(Error::usage(what).help("give a larger grid, or a smaller radius"));
        }
        Ok(())
    }

    fn bytes_per_rank(&self, ranks: usize) -> Option<u64> {
        let (n, halo) = (self.size as u128, 2 * self.radius as u128);
        bytes((n.div_ceil(ranks as u128) + halo).saturating_mul(16 * (n + halo)))
    }

    fn init(&self, comm: &Comm) -> Result<Grids> {
        let reach = if self.shape == Shape::Star { Reach::Star } else { Reach::Box };
        let grid = Grid::over(comm, [self.size; 2]).halo(self.radius).stencil(reach).build()?;
        // Nothing reads beyond the edge.
        let input = Field::from_fn(&grid, |[y, x]| (x + y) as f64)?.walls([[Wall::Given; 2]; 2]);
        let output = Field::new(&grid, 0.0)?.walls([[Wall::Given; 2]; 2]);
        Ok(Grids { input, output, terms: self.terms(), done: 0 })
    }

    fn steps(&self) -> Option<u64> {
        Some(self.iterations + 1)
    }

    fn warm_up(&self) -> u64 {
        1
    }

    fn step(&self, _: &Comm, grids: &mut Grids) -> Result<ControlFlow<()>> {
        sweep(&mut grids.input, &mut grids.output, self.radius, &grids.terms)?;
        grids.done += 1;
        Ok(ControlFlow::Continue(()))
    }

    fn verify(&self, _: &Comm, grids: &mut Grids) -> Result<Verdict> {
        let norm = grids.output.reduce(f64::abs, op::Sum)? / self.active();
        let error = (norm - 2.0 * grids.done as f64).abs();
        Ok(Verdict::of([Check::new("L1 norm of out, error", error, 1e-8)]))
    }

    fn checksum(&self, _: &Comm, grids: &Grids) -> Result<Option<u64>> {
        grids.output.checksum().map(Some)
    }

    fn work(&self, _: &Grids) -> Work {
        // In and out are both read and written.
        Work::of(self.active(), "points").flops_each(self.flops()).bytes_each(32.0)
    }

    fn quoted(&self, _: &Grids, timed: Timed) -> Vec<Quoted> {
        vec![Quoted::per_step("MFlops/s", 1e-6 * self.flops() * self.active(), timed)]
    }
}

impl Stencil {
    /// Points that have all their neighbours.
    pub(super) fn active(&self) -> f64 {
        ((self.size - 2 * self.radius) as f64).powi(2)
    }

    /// As the specification counts: a multiplication and an addition for each point of the stencil, the one in the middle
    /// included, and the increment.
    pub(super) fn flops(&self) -> f64 {
        let points = match self.shape {
            Shape::Star => 4 * self.radius + 1,
            Shape::Compact => (2 * self.radius + 1).pow(2),
        };
        (2 * points + 1) as f64
    }

    pub(super) fn terms(&self) -> Vec<Term> {
        let radius = self.radius as f64;
        let mut terms = Vec::new();
        for far in 1..=self.radius as isize {
            let k = far as f64;
            match self.shape {
                Shape::Star => {
                    let weight = 1.0 / (2.0 * k * radius);
                    terms.extend([[far, 0], [0, far]].map(|offset| Term { offset, weight }));
                }
                Shape::Compact => {
                    let weight = 1.0 / (4.0 * k * (2.0 * k - 1.0) * radius);
                    for aside in 1 - far..far {
                        terms.extend([[far, aside], [aside, far]].map(|offset| Term { offset, weight }));
                    }
                    terms.push(Term { offset: [far, far], weight: 1.0 / (4.0 * k * radius) });
                }
            }
        }
        terms
    }
}

/// One iteration: adds the terms to `output` wherever they are all within the grid, and then 1 to `input`.
pub(super) fn sweep(
    input: &mut Field<f64, 2>,
    output: &mut Field<f64, 2>,
    radius: usize,
    terms: &[Term],
) -> Result<()> {
    let [rows, columns] = input.points().map(|size| radius..size - radius);
    input.update_behind(
        output,
        |out, near| {
            let [y, x] = near.start();
            let columns = columns.start.saturating_sub(x)..columns.end.saturating_sub(x).min(out.len());
            if rows.contains(&y) && !columns.is_empty() {
                terms
                    .chunks(TERMS)
                    .for_each(|terms| add(&mut out[columns.clone()], columns.start, near, terms));
            }
        },
        |input, _| input.iter_mut().for_each(|value| *value += 1.0),
    )
}

/// Adds up to [`TERMS`] terms to points of a row, the first of which is `skip` behind the row's first.
fn add(out: &mut [f64], skip: usize, near: &Near<'_, f64, 2>, terms: &[Term]) {
    let mut sides = [([].as_slice(), [].as_slice(), 0.0); TERMS];
    for (side, &Term { offset: [y, x], weight }) in sides.iter_mut().zip(terms) {
        *side = (&near.at([y, x])[skip..][..out.len()], &near.at([-y, -x])[skip..][..out.len()], weight);
    }
    let sides = &sides[..terms.len()];
    let mut first = 0;
    let (groups, rest) = out.as_chunks_mut::<POINTS>();
    for out in groups {
        let mut sums = *out;
        for (plus, minus, weight) in sides {
            let (plus, minus) = (&plus[first..][..POINTS], &minus[first..][..POINTS]);
            (0..POINTS).for_each(|i| sums[i] += weight * (plus[i] - minus[i]));
        }
        *out = sums;
        first += POINTS;
    }
    for (i, out) in (first..).zip(rest) {
        *out = sides.iter().fold(*out, |sum, (plus, minus, weight)| sum + weight * (plus[i] - minus[i]));
    }
}
