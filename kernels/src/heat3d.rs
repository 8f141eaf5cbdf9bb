//! `heat3d`: the heat equation in a box, explicit in time, with the 7-point stencil.
//!
//! With diffusion numbers `r = α dt / h²` for each axis a step is
//!
//! ```text
//! u' = u + Σ r (u[-1] - 2 u + u[+1])            stable for dt ≤ 1 / (2 α Σ 1/h²), that is Σ 2r ≤ 1
//! ```
//!
//! Within that limit u' is a convex combination of u and its neighbours, so no new extremes appear (the maximum
//! principle); with insulated or periodic walls the sum is conserved. A product of sine (or cosine) modes is multiplied
//! by exactly `1 - 4 Σ r sin²(θ/2)` a step, θ being the mode's phase between neighbouring cells (LeVeque, *Finite
//! Difference Methods*, 2007, §9.6). All three are verified. The expression is the same for every cell, whoever
//! computes it, so the answer is the same to the bit on every number of ranks, threads, and on every engine.

use crate::triple::Triple;
use rankine::checkpoint::State;
use rankine::kernel::{Check, Kernel, Verdict, Work};
use rankine::output::{InputSpec, Reader};
use rankine::run::Output;
use rankine::{Comm, Error, Field, Grid, Result, Wall};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;
use std::ops::ControlFlow;

/// The heat equation in a box: its parameters.
#[derive(Clone, Debug, PartialEq, clap::Args, Serialize, Deserialize)]
pub struct Heat3d {
    /// Cells along each axis, or one number for a cube [default: 64, or the shape of --input]
    #[arg(long, value_name = "Z,Y,X")]
    pub cells: Option<Triple<usize>>,
    /// Time steps
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub steps: u64,
    /// Thermal diffusivity, in spacing units squared a time unit
    #[arg(long, value_name = "ALPHA", default_value_t = 1.0)]
    pub diffusivity: f64,
    /// Time step [default: 0.9 of the stability limit]
    #[arg(long)]
    pub dt: Option<f64>,
    /// Distance of neighbouring cells along each axis, or one number [default: 1, or `spacing_mm` of --input]
    #[arg(long, value_name = "Z,Y,X")]
    pub spacing: Option<Triple<f64>>,
    /// What is beyond the box: a fixed temperature, insulation, or its other side
    #[arg(long, value_enum, default_value_t)]
    pub walls: Walls,
    /// Temperature of fixed walls, and of what --init adds to
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    pub wall_value: f64,
    /// The start, unless --input gives it
    #[arg(long, value_enum, default_value_t)]
    pub init: Initial,
    /// Half waves along each axis with --init sine (whole waves with periodic walls)
    #[arg(long, value_name = "K", default_value_t = Triple([1; 3]))]
    pub mode: Triple<usize>,
    /// Start from a dataset of three axes and any number type
    #[arg(long, value_name = "FILE.h5:/dataset")]
    pub input: Option<InputSpec>,
    /// What `prepare` found in the input file; neither a flag nor a key.
    #[arg(skip)]
    #[serde(skip)]
    pub found: Option<Found>,
}

impl Default for Heat3d {
    fn default() -> Self {
        Heat3d {
            cells: None,
            steps: 100,
            diffusivity: 1.0,
            dt: None,
            spacing: None,
            walls: Walls::default(),
            wall_value: 0.0,
            init: Initial::default(),
            mode: Triple([1; 3]),
            input: None,
            found: None,
        }
    }
}

/// The box of an input file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Its shape.
    pub cells: [usize; 3],
    /// Its attribute `spacing_mm`.
    pub spacing: Option<[f64; 3]>,
}

/// What is beyond the box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Walls {
    /// A fixed temperature, one cell beyond the outermost.
    #[default]
    Fixed,
    /// Nothing flows.
    Insulated,
    /// The other side.
    Periodic,
}

/// How the temperature starts: a product of one function for each axis, added to the wall's temperature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Initial {
    /// An eigenmode of the walls, whose decay is known exactly.
    #[default]
    Sine,
    /// A bell in the middle, an eighth of the box wide.
    Gaussian,
    /// One in the middle third of each axis, zero elsewhere.
    HotCube,
}

/// The state of a rank: two fields, nothing else of any size.
pub struct Heat {
    now: Field<f64, 3>,
    next: Field<f64, 3>,
    /// Diffusion numbers `α dt / h²`.
    r: [f64; 3],
    dt: f64,
    spacing: [f64; 3],
    steps: u64,
    start: Extremes,
}

/// What the verification compares with.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Extremes {
    low: f64,
    high: f64,
    mean: f64,
}

impl Kernel for Heat3d {
    const NAME: &'static str = "heat3d";
    const ABOUT: &'static str = "heat equation in a box, explicit 7-point stencil";
    const VERIFIES: &'static str = "the exact discrete decay of a sine mode (with --init sine), the conservation of heat \
                                    (insulated and periodic walls) and the maximum principle (always)";
    type Data = Heat;

    fn prepare(&mut self, comm: &Comm) -> Result<()> {
        let Some(input) = &self.input else { return Ok(()) };
        let reader = Reader::open_spec(comm, input)?;
        let spacing = reader.numbers("spacing_mm").and_then(|numbers| numbers.try_into().ok());
        self.found = Some(Found { cells: reader.cells()?, spacing });
        Ok(())
    }

    fn check(&self, _: usize) -> Result<()> {
        if let Some(cells) = self.cells {
            if cells.0.contains(&0) {
                return Err(Error::usage(format!("--cells {cells}: a box without cells"))
                    .help("give one cell or more along each axis"));
            }
            if let Some(found) = self.found.filter(|found| found.cells != cells.0) {
                let found = Triple(found.cells);
                return Err(Error::usage(format!("--cells {cells}, but the input has {found}"))
                    .help("leave --cells out: the input's shape is taken"));
            }
        }
        let positive = |what: &str, value: f64, text: &dyn std::fmt::Display| match value {
            value if value > 0.0 && value.is_finite() => Ok(()),
            _ => Err(Error::usage(format!("--{what} {text}: not a positive number"))
                .help(format!("give a --{what} above zero"))),
        };
        positive("diffusivity", self.diffusivity, &self.diffusivity)?;
        for width in self.spacing() {
            positive("spacing", width, &Triple(self.spacing()))?;
        }
        if !self.wall_value.is_finite() {
            return Err(Error::usage(format!("--wall-value {}: not a temperature", self.wall_value))
                .help("give a finite number"));
        }
        if self.is_mode() && self.walls == Walls::Fixed && self.mode.0.contains(&0) {
            return Err(Error::usage(format!(
                "--mode {}: a mode of no half waves is zero everywhere",
                self.mode
            ))
            .help("give 1 or more with fixed walls"));
        }
        let limit = self.limit();
        match self.dt {
            Some(dt) if dt.is_nan() || dt <= 0.0 => positive("dt", dt, &dt),
            Some(dt) if dt > limit => Err(Error::usage(format!(
                "--dt {dt} is unstable: the limit 1/(2 α Σ 1/h²) is {limit:.6} for diffusivity {} and spacing {}",
                self.diffusivity,
                Triple(self.spacing())
            ))
            .help(format!("give --dt {:.6} or less, or leave it out for 0.9 of the limit", 0.9 * limit))),
            _ => Ok(()),
        }
    }

    fn steps(&self) -> Option<u64> {
        Some(self.steps)
    }

    fn init(&self, comm: &Comm) -> Result<Heat> {
        let walls = match self.walls {
            Walls::Fixed => Wall::Fixed(self.wall_value),
            Walls::Insulated | Walls::Periodic => Wall::Mirror,
        };
        let grid = Grid::over(comm, self.cells()).periodic([self.walls == Walls::Periodic; 3]).build()?;
        let now = match &self.input {
            Some(input) => {
                let mut now = Field::new(&grid, 0.0)?;
                Reader::open_spec(comm, input)?.read_finite(&mut now.slab_mut()?)?;
                now
            }
            None => {
                let own = grid.own();
                let profiles: [Vec<f64>; 3] = std::array::from_fn(|axis| {
                    let cells = own.start[axis]..own.start[axis] + own.shape[axis];
                    cells.map(|i| self.profile(axis, i)).collect()
                });
                let at = |axis: usize, cell: [usize; 3]| profiles[axis][cell[axis] - own.start[axis]];
                Field::from_fn(&grid, |cell| self.wall_value + at(0, cell) * at(1, cell) * at(2, cell))?
            }
        }
        .walls(walls);
        let next = Field::new(&grid, 0.0)?.walls(walls);
        let (spacing, dt) = (self.spacing(), self.dt.unwrap_or(0.9 * self.limit()));
        let r = spacing.map(|h| self.diffusivity * dt / (h * h));
        let wall = if self.walls == Walls::Fixed {
            [self.wall_value; 2]
        } else {
            [f64::INFINITY, f64::NEG_INFINITY]
        };
        let start = Extremes {
            low: now.min()?.min(wall[0]),
            high: now.max()?.max(wall[1]),
            mean: now.sum()? / grid.len() as f64,
        };
        Ok(Heat { now, next, r, dt, spacing, steps: 0, start })
    }

    fn step(&self, _: &Comm, heat: &mut Heat) -> Result<ControlFlow<()>> {
        let [rz, ry, rx] = heat.r;
        heat.next.update_from(&mut heat.now, |out, rows| {
            // Slices of one length, so that the loop below needs no checks and is vectorised.
            let n = out.len();
            let u = &rows.at([0, 0, 0])[..n];
            let (zm, zp) = (&rows.at([-1, 0, 0])[..n], &rows.at([1, 0, 0])[..n]);
            let (ym, yp) = (&rows.at([0, -1, 0])[..n], &rows.at([0, 1, 0])[..n]);
            let (xm, xp) = (&rows.at([0, 0, -1])[..n], &rows.at([0, 0, 1])[..n]);
            for i in 0..n {
                let twice = 2.0 * u[i];
                let z = rz * ((zm[i] + zp[i]) - twice);
                let y = ry * ((ym[i] + yp[i]) - twice);
                let x = rx * ((xm[i] + xp[i]) - twice);
                out[i] = u[i] + ((z + y) + x);
            }
        })?;
        std::mem::swap(&mut heat.now, &mut heat.next);
        heat.steps += 1;
        Ok(ControlFlow::Continue(()))
    }

    fn observe(&self, _: &Comm, heat: &mut Heat, out: &mut Output) -> Result<()> {
        if !out.is_kept() {
            return Ok(());
        }
        out.time(heat.steps as f64 * heat.dt);
        out.spacing(&heat.spacing);
        out.scalar("min", heat.now.min()?)?;
        out.scalar("mean", heat.now.sum()? / heat.now.grid().len() as f64)?;
        out.scalar("max", heat.now.max()?)?;
        out.field("temperature", &heat.now)?;
        out.picture("slices", &heat.now)
    }

    fn persist(&self, heat: &mut Heat, state: &mut State) -> Result<()> {
        state.field("now", &mut heat.now)?;
        state.value("steps", &mut heat.steps)?;
        state.value("start", &mut heat.start)
    }

    fn verify(&self, _: &Comm, heat: &mut Heat) -> Result<Verdict> {
        let start = heat.start;
        let scale = start.low.abs().max(start.high.abs()).max(f64::MIN_POSITIVE);
        // A step rounds by a few units in the last place of the largest temperature and never enlarges an error.
        let rounding = 8.0 * f64::EPSILON * (heat.steps + 4) as f64;
        let (low, high) = (heat.now.min()?, heat.now.max()?);
        let beyond = (start.low - low).max(high - start.high).max(0.0) + 0.0 * (low + high);
        let mut checks = vec![Check::new(
            "maximum principle, excess over the first extremes, relative",
            beyond / scale,
            rounding,
        )];
        if self.walls != Walls::Fixed {
            let mean = heat.now.sum()? / heat.now.grid().len() as f64;
            let drift = (mean - start.mean).abs() / scale;
            checks.push(Check::new("conservation, drift of the mean, relative", drift, rounding));
        }
        if self.is_mode() {
            let error = self.mode_error(heat)?;
            checks.push(Check::new(
                "decay of the mode against the exact factor, relative",
                error / scale,
                rounding,
            ));
        }
        Ok(Verdict::of(checks))
    }

    fn checksum(&self, _: &Comm, heat: &Heat) -> Result<Option<u64>> {
        heat.now.checksum().map(Some)
    }

    fn bytes_per_rank(&self, ranks: usize) -> Option<u64> {
        let [z, y, x] = self.cells().map(|n| n as u128);
        // Cut along the slowest axis as far as that goes: other cuts have smaller faces.
        let slabs = (ranks as u128).min(z);
        let rows = (z.div_ceil(slabs) + 2).saturating_mul(y.div_ceil((ranks as u128).div_ceil(slabs)) + 2);
        let bytes = rows.saturating_mul(x + 2).saturating_mul(16);
        Some(bytes.try_into().unwrap_or(u64::MAX))
    }

    fn work(&self, heat: &Heat) -> Work {
        Work::of(heat.now.grid().len() as f64, "cells").flops_each(13.0).bytes_each(16.0)
    }
}

impl Heat3d {
    fn cells(&self) -> [usize; 3] {
        self.found.map(|found| found.cells).or(self.cells.map(|cells| cells.0)).unwrap_or([64; 3])
    }

    fn spacing(&self) -> [f64; 3] {
        let found = || self.found.and_then(|found| found.spacing);
        self.spacing.map(|spacing| spacing.0).or_else(found).unwrap_or([1.0; 3])
    }

    /// The largest stable time step.
    fn limit(&self) -> f64 {
        let inverse: f64 = self.spacing().iter().map(|h| 1.0 / (h * h)).sum();
        1.0 / (2.0 * self.diffusivity * inverse)
    }

    fn is_mode(&self) -> bool {
        self.input.is_none() && self.init == Initial::Sine
    }

    /// How often the mode waves along an axis: no more than its cells can show.
    fn waves(&self, axis: usize) -> usize {
        let (k, n) = (self.mode.0[axis], self.cells()[axis]);
        match self.walls {
            Walls::Fixed => k.min(n),
            Walls::Insulated => k.min(n - 1),
            Walls::Periodic => k.min(n / 2),
        }
    }

    /// The phase between neighbouring cells of the mode along an axis.
    fn phase(&self, axis: usize) -> f64 {
        let (k, n) = (self.waves(axis) as f64, self.cells()[axis] as f64);
        match self.walls {
            Walls::Fixed => PI * k / (n + 1.0),
            Walls::Insulated => PI * k / n,
            Walls::Periodic => 2.0 * PI * k / n,
        }
    }

    /// The start along one axis at cell `i`.
    fn profile(&self, axis: usize, i: usize) -> f64 {
        let (i, n) = (i as f64, self.cells()[axis] as f64);
        let across = (i + 0.5) / n;
        match (self.init, self.walls) {
            (Initial::Sine, Walls::Fixed) => (self.phase(axis) * (i + 1.0)).sin(),
            (Initial::Sine, Walls::Insulated) => (self.phase(axis) * (i + 0.5)).cos(),
            // A cosine, since a sine of half as many waves as cells would be zero in all of them.
            (Initial::Sine, Walls::Periodic) => (self.phase(axis) * i).cos(),
            (Initial::Gaussian, _) => (-32.0 * (across - 0.5).powi(2)).exp(),
            (Initial::HotCube, _) => f64::from((across - 0.5).abs() <= 1.0 / 6.0),
        }
    }

    /// The largest distance of any cell from where the mode must be. Collective.
    fn mode_error(&self, heat: &Heat) -> Result<f64> {
        let slower: f64 =
            (0..3).map(|axis| 4.0 * heat.r[axis] * (0.5 * self.phase(axis)).sin().powi(2)).sum();
        let amplitude = power(1.0 - slower, heat.steps);
        let own = heat.now.grid().own();
        let profiles: [Vec<f64>; 3] = std::array::from_fn(|axis| {
            (own.start[axis]..own.start[axis] + own.shape[axis]).map(|i| self.profile(axis, i)).collect()
        });
        let mut worst = 0.0f64;
        for (cell, value) in heat.now.iter() {
            let shape: f64 = (0..3).map(|axis| profiles[axis][cell[axis] - own.start[axis]]).product();
            let error = (value - (self.wall_value + amplitude * shape)).abs();
            worst = if error > worst || error.is_nan() { error } else { worst };
        }
        heat.now.grid().comm().allreduce(worst, rankine::op::Max)
    }
}

/// `base` to the power of `exponent`, by squaring.
fn power(mut base: f64, mut exponent: u64) -> f64 {
    let mut product = 1.0;
    while exponent > 0 {
        if exponent % 2 == 1 {
            product *= base;
        }
        base *= base;
        exponent /= 2;
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_where_a_step_stops_being_a_convex_combination() {
        let heat = Heat3d { diffusivity: 2.0, spacing: Some(Triple([1.0, 0.5, 2.0])), ..Heat3d::default() };
        let sum: f64 = heat.spacing().iter().map(|h| 2.0 * heat.diffusivity * heat.limit() / (h * h)).sum();
        assert!((sum - 1.0).abs() < 1e-15);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_flag() {
        let base = Heat3d::default();
        for (heat, flag) in [
            (Heat3d { cells: Some(Triple([0, 4, 4])), ..base.clone() }, "--cells 0,4,4"),
            (Heat3d { diffusivity: -1.0, ..base.clone() }, "--diffusivity -1"),
            (Heat3d { spacing: Some(Triple([1.0, 0.0, 1.0])), ..base.clone() }, "--spacing 1,0,1"),
            (Heat3d { dt: Some(0.0), ..base.clone() }, "--dt 0"),
            (Heat3d { dt: Some(f64::NAN), ..base.clone() }, "--dt NaN"),
            (Heat3d { dt: Some(0.2), ..base.clone() }, "limit 1/(2 α Σ 1/h²) is 0.166667"),
            (Heat3d { wall_value: f64::INFINITY, ..base.clone() }, "--wall-value inf"),
            (Heat3d { mode: Triple([1, 0, 1]), ..base.clone() }, "--mode 1,0,1"),
        ] {
            let error = heat.check(1).unwrap_err();
            assert!(error.what().contains(flag), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
        assert!(Heat3d { dt: Some(1.0 / 6.0), ..base }.check(1).is_ok());
    }

    #[test]
    fn memory_is_two_fields_and_their_halos() {
        let heat = Heat3d { cells: Some(Triple([10, 20, 30])), ..Heat3d::default() };
        assert_eq!(heat.bytes_per_rank(1), Some(16 * 12 * 22 * 32));
        assert_eq!(heat.bytes_per_rank(5), Some(16 * 4 * 22 * 32));
        let huge = Heat3d { cells: Some(Triple([usize::MAX; 3])), ..Heat3d::default() };
        assert_eq!(huge.bytes_per_rank(1), Some(u64::MAX));
    }

    #[test]
    fn powers() {
        assert_eq!((power(2.0, 10), power(-0.5, 3), power(7.0, 0)), (1024.0, -0.125, 1.0));
    }
}
