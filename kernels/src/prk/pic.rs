//! `pic`: a cloud of charged particles moves through fixed charges at the vertices of a square grid, as in a particle-in-cell
//! code.
//!
//! The charges of a column of vertices are alike, and opposite to the next column's. Each particle starts at rest in the
//! middle of a cell, with the charge that takes it 2 k + 1 cells along x in each step; along y it drifts by m. Only the four
//! corners of its cell act on it. The domain is periodic. A rank has a tile of cells and what is in it, however many are in
//! others: nobody balances the load.

use super::{at_least_one, bytes, part, share};
use rankine::kernel::{Check, Kernel, Quoted, Timed, Verdict, Work};
use rankine::particles::Columns;
use rankine::{Comm, Error, Grid, Memory, Result, op};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::{ControlFlow, Range};

/// Particles in a grid of charges: the parameters.
#[derive(Clone, Debug, PartialEq, clap::Args, Serialize, Deserialize)]
pub struct Pic {
    /// Timed steps, after one that is not
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub iterations: u64,
    /// Cells along each side; an even number
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub size: usize,
    /// About how many particles are placed
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub particles: u64,
    /// They move 2 K + 1 cells along x in a step
    #[arg(long, value_name = "K", default_value_t = 1)]
    pub k: u64,
    /// They move M cells along y in a step
    #[arg(long, value_name = "M", default_value_t = 2)]
    pub m: u64,
    /// Where they start
    #[arg(long, value_enum, default_value_t)]
    pub init: Placing,
    /// With --init geometric: how many more a column of cells has than the one before it, as a factor
    #[arg(long, value_name = "FACTOR", default_value_t = 0.99)]
    pub rho: f64,
    /// With --init linear: by how much the density falls along x
    #[arg(long, default_value_t = 1.0)]
    pub alpha: f64,
    /// With --init linear: the density at x = 0
    #[arg(long, default_value_t = 3.0)]
    pub beta: f64,
    /// With --init patch: the first and last column, and the first and last row
    #[arg(long, value_name = "LEFT,RIGHT,BOTTOM,TOP", value_parser = four, default_value = "0,200,100,200")]
    pub patch: [usize; 4],
}

/// Where particles start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placing {
    /// Fewer from column to column, by a factor.
    #[default]
    Geometric,
    /// As a squared cosine along x, half a period.
    Sinusoidal,
    /// Fewer along x, in a straight line.
    Linear,
    /// Alike in a rectangle, and nowhere else.
    Patch,
}

fn four(text: &str) -> std::result::Result<[usize; 4], String> {
    let numbers: std::result::Result<Vec<usize>, _> =
        text.split(',').map(|part| part.trim().parse()).collect();
    let numbers = numbers.map_err(|error| format!("{error}: four numbers with commas are needed"))?;
    numbers.try_into().map_err(|_| "four numbers with commas are needed".to_string())
}

/// A rank's tile and particles.
pub struct Cloud {
    grid: Grid<2>,
    tile: Tile,
    /// x, y, velocities, charge; for verification where it started, and its number.
    pub(super) particles: Columns<f64, 8>,
    /// Which of them leave, found by each thread in its part.
    leaving: Vec<Vec<usize>>,
    /// Of all ranks.
    placed: u64,
    done: u64,
}

/// The cells of a rank: columns along x, which are contiguous along y.
struct Tile {
    x: Range<usize>,
    y: Range<usize>,
    /// At the vertices, those of the far edges too.
    charges: Memory<f64>,
    /// Cells of the domain along a side.
    side: f64,
    /// It is the whole domain.
    whole: bool,
}

/// Particles that are advanced together: small enough for the first cache.
const LANES: usize = 64;

/// How far a particle may be from where it should be.
const TOLERANCE: f64 = 1e-6;

impl Kernel for Pic {
    const NAME: &'static str = "pic";
    const ABOUT: &'static str = "charged particles in a grid of fixed charges (Parallel Research Kernels)";
    const VERIFIES: &'static str = "each particle's place against its formula, and that all are still there";
    const MAY_CHANGE: &'static [&'static str] = &["iterations"];
    type Data = Cloud;

    fn check(&self, ranks: usize) -> Result<()> {
        at_least_one(self.iterations)?;
        let (size, [_, py]) = (self.size, tiles(ranks));
        let refuse = |what: String, help: &str| Err(Error::usage(what).help(help.to_string()));
        if size == 0 || size % 2 == 1 || i32::try_from(size).is_err() {
            return refuse(format!("--size {size}"), "give an even number from 2 to 2147483646");
        }
        if size < py {
            let what = format!("--size {size}: fewer rows of cells than the {py} that {ranks} ranks need");
            return refuse(what, "give a larger grid, or fewer ranks");
        }
        if self.particles == 0 {
            return refuse("--particles 0: nothing would move".to_string(), "give 1 or more");
        }
        if self.k > size as u64 / 2 || self.m > size as u64 {
            let what = format!("--k {}, --m {}: more than once round the grid", self.k, self.m);
            return refuse(what, &format!("give at most {} and {size}", size / 2));
        }
        let [left, right, bottom, top] = self.patch;
        // Rounding may take the last density of a line below zero by a little, which is none.
        let line = self.init == Placing::Linear && self.beta >= 0.0 && self.beta >= self.alpha;
        let possible = |column| self.mean(column).is_finite() && (self.mean(column) >= 0.0 || line);
        let (what, help) = match self.init {
            Placing::Patch if left >= right || bottom >= top || right.max(top) > size => {
                (format!("--patch {left},{right},{bottom},{top}"), "give ascending numbers, up to --size")
            }
            Placing::Linear if !line || !possible(0) => {
                let what = format!("--alpha {} --beta {}: no densities", self.alpha, self.beta);
                (what, "give a beta above zero that is not less than alpha")
            }
            _ if possible(0) && possible(size - 1) => return Ok(()),
            _ => (format!("--rho {}", self.rho), "give a factor above zero that is not 1, such as 0.99"),
        };
        refuse(what, help)
    }

    fn bytes_per_rank(&self, ranks: usize) -> Option<u64> {
        let [px, py] = tiles(ranks);
        let [width, height] = [px, py].map(|tiles| self.size.div_ceil(tiles) as u128 + 1);
        let charges = 8 * width * height;
        if charges > 1 << 45 {
            return bytes(charges);
        }
        let columns = (0..px).map(|i| part(self.size, i, px));
        let rows = || (0..py).map(|i| part(self.size, i, py));
        let most =
            columns.map(|x| rows().map(|y| self.expected(&x, &y)).fold(0.0, f64::max)).fold(0.0, f64::max);
        bytes(charges + (9.0 / 8.0 * 64.0 * most) as u128)
    }

    fn init(&self, comm: &Comm) -> Result<Cloud> {
        let grid = Grid::over(comm, [self.size; 2]).halo(0).dims(tiles(comm.size())).build()?;
        let own = grid.own();
        let [x, y] = [0, 1].map(|axis| own.start[axis]..own.start[axis] + own.shape[axis]);
        let (rows, side, whole) = (y.len() + 1, self.size as f64, comm.size() == 1);
        let charge = |i: usize| if (x.start + i / rows).is_multiple_of(2) { 1.0 } else { -1.0 };
        let charges = Memory::from_fn((x.len() + 1) * rows, charge)?;
        let particles = self.placed(&x, &y)?;
        let placed = comm.allreduce(particles.len() as u64, op::Sum)?;
        if placed == 0 {
            let what = format!("--particles {}: by chance none is placed", self.particles);
            let none = Error::usage(what).help("give more");
            comm.agree(if comm.rank() == 0 { Err(none) } else { Ok(()) })?;
        }
        let tile = Tile { x, y, charges, side, whole };
        let leaving = vec![Vec::new(); rayon::current_num_threads()];
        let mut cloud = Cloud { grid, tile, particles, leaving, placed, done: 0 };
        let before = comm.exscan(cloud.particles.len() as u64, op::Sum)?.unwrap_or(0);
        let [.., ids] = cloud.particles.columns_mut();
        ids.iter_mut().zip(before + 1..).for_each(|(id, number)| *id = number as f64);
        Ok(cloud)
    }

    fn steps(&self) -> Option<u64> {
        Some(self.iterations + 1)
    }

    fn warm_up(&self) -> u64 {
        1
    }

    fn step(&self, comm: &Comm, cloud: &mut Cloud) -> Result<ControlFlow<()>> {
        let Cloud { grid, tile, particles, leaving, .. } = cloud;
        let share = share(particles.len()).next_multiple_of(LANES);
        leaving.iter_mut().for_each(Vec::clear);
        let [x, y, vx, vy, q, ..] = particles.columns_mut();
        let (x, y) = (x.par_chunks_mut(share), y.par_chunks_mut(share));
        let (vx, vy, q) = (vx.par_chunks_mut(share), vy.par_chunks_mut(share), q.par_chunks(share));
        let parts = x.zip(y).zip(vx).zip(vy).zip(q).zip(&mut *leaving).enumerate();
        parts.for_each(|(part, (((((x, y), vx), vy), q), leaving))| {
            let (x, y) = (x.chunks_mut(LANES), y.chunks_mut(LANES));
            let (vx, vy, q) = (vx.chunks_mut(LANES), vy.chunks_mut(LANES), q.chunks(LANES));
            let (mut first, mut scratch) = (part * share, [[0.0; LANES]; 6]);
            for ((((x, y), vx), vy), q) in x.zip(y).zip(vx).zip(vy).zip(q) {
                tile.advance(x, y, vx, vy, q, &mut scratch);
                if !tile.whole {
                    tile.notice(x, y, first, leaving);
                }
                first += LANES;
            }
        });
        let (all, others) = leaving.split_at_mut(1);
        others.iter().for_each(|rows| all[0].extend(rows));
        let owner = |&[x, y, ..]: &[f64; 8]| grid.owner([x as usize, y as usize]).unwrap_or(comm.rank());
        particles.migrate(comm, &all[0], owner)?;
        cloud.done += 1;
        Ok(ControlFlow::Continue(()))
    }

    fn verify(&self, comm: &Comm, cloud: &mut Cloud) -> Result<Verdict> {
        let (side, done) = (self.size as f64, cloud.done as f64);
        let moved = [done * (2 * self.k + 1) as f64, done * self.m as f64];
        let [x, y, _, _, _, x0, y0, ids] = cloud.particles.columns();
        let near = |x: f64, x0: f64, moved: f64| (x - (x0 + moved) % side).abs() <= TOLERANCE;
        let right = |i: &usize| near(x[*i], x0[*i], moved[0]) && near(y[*i], y0[*i], moved[1]);
        let wrong = (ids.len() - (0..ids.len()).filter(right).count()) as u64;
        let sum = ids.iter().fold(0u64, |sum, &id| sum.wrapping_add(id as u64));
        let [wrong, sum] = comm.allreduce([wrong, sum], op::Sum)?;
        let expected = (u128::from(cloud.placed) * (u128::from(cloud.placed) + 1) / 2) as u64;
        Ok(Verdict::of([
            Check::new("particles more than 1e-6 from where they should be", wrong as f64, 0.0),
            Check::new("sum of the particles' numbers, difference", sum.abs_diff(expected) as f64, 0.0),
        ]))
    }

    fn work(&self, cloud: &Cloud) -> Work {
        Work::of(cloud.placed as f64, "particles").bytes_each(72.0)
    }

    fn quoted(&self, cloud: &Cloud, timed: Timed) -> Vec<Quoted> {
        vec![Quoted::per_step("Mparticles_moved/s", 1e-6 * cloud.placed as f64, timed)]
    }
}

/// Tiles along x and y: the most along x that are not more than along y.
fn tiles(ranks: usize) -> [usize; 2] {
    let along_x = (1..=(ranks + 1).isqrt()).rev().find(|tiles| ranks.is_multiple_of(*tiles)).unwrap_or(1);
    [along_x, ranks / along_x]
}

impl Tile {
    /// Moves up to [`LANES`] particles of this tile by a step of time, which is 1, as their mass is: three loops, of which the
    /// first and the last are vectorised, and the one between them looks up charges.
    ///
    /// The force of a charge q' at (dx, dy) is q q' (dx, dy) / r³. Two charges share a division, as 1 / (a b) is b / (a b) / b; a reference that
    /// divides for each, by r² and by r, differs in the last bits. Nothing comes of it in the middle of a cell, where
    /// particles are: there all r are the same, and what is rounded alike on both sides cancels.
    ///
    /// Not to be inlined: that the slices are apart is known of arguments only.
    #[inline(never)]
    fn advance(
        &self,
        x: &mut [f64],
        y: &mut [f64],
        vx: &mut [f64],
        vy: &mut [f64],
        q: &[f64],
        scratch: &mut [[f64; LANES]; 6],
    ) {
        let n = x.len().min(LANES);
        let (x, y, vx, vy, q) = (&mut x[..n], &mut y[..n], &mut vx[..n], &mut vy[..n], &q[..n]);
        let [dx, dy, sw, nw, se, ne] = scratch.each_mut().map(|lanes| &mut lanes[..n]);
        for i in 0..n {
            [dx[i], dy[i]] = [x[i] - x[i].floor(), y[i] - y[i].floor()];
        }
        let rows = self.y.len() + 1;
        let [left, bottom, height] = [self.x.start, self.y.start, rows].map(|number| number as f64);
        // The corners of cells from their lower left one on, all as long, so that one comparison is enough for the four.
        let cells = self.charges.len() - rows - 1;
        let [at_sw, at_nw, at_se, at_ne] = [0, 1, rows, rows + 1].map(|from| &self.charges[from..][..cells]);
        for i in 0..n {
            let cell = ((x[i] - dx[i] - left) * height + (y[i] - dy[i] - bottom)) as usize;
            [sw[i], nw[i], se[i], ne[i]] = [at_sw[cell], at_nw[cell], at_se[cell], at_ne[cell]];
        }
        let cube = |x: f64, y: f64| {
            let square = x * x + y * y;
            square * square.sqrt()
        };
        for i in 0..n {
            let (dx, dy) = (dx[i], dy[i]);
            let (ex, ey) = (1.0 - dx, 1.0 - dy);
            let [r_sw, r_nw, r_se, r_ne] = [cube(dx, dy), cube(dx, ey), cube(ex, dy), cube(ex, ey)];
            let (west, east) = (q[i] / (r_sw * r_nw), q[i] / (r_se * r_ne));
            let (sw, nw) = (sw[i] * r_nw * west, nw[i] * r_sw * west);
            let (se, ne) = (se[i] * r_ne * east, ne[i] * r_se * east);
            let (ax, ay) = (dx * (sw + nw) - ex * (se + ne), dy * (sw + se) - ey * (nw + ne));
            x[i] = self.wrapped(x[i] + vx[i] + 0.5 * ax);
            y[i] = self.wrapped(y[i] + vy[i] + 0.5 * ay);
            vx[i] += ax;
            vy[i] += ay;
        }
    }

    /// A coordinate on the other side of the domain, where it is beyond the end: a step is hardly longer than once round.
    #[inline(always)]
    fn wrapped(&self, x: f64) -> f64 {
        let twice = 2.0 * self.side;
        x - if x >= twice {
            twice
        } else if x >= self.side {
            self.side
        } else {
            0.0
        }
    }

    /// Adds those of these particles to `leaving` that have left the tile; the first one's number is `first`.
    #[inline(always)]
    fn notice(&self, x: &[f64], y: &[f64], first: usize, leaving: &mut Vec<usize>) {
        let bounds = |range: &Range<usize>| range.start as f64..range.end as f64;
        let (columns, rows) = (bounds(&self.x), bounds(&self.y));
        let outside =
            |x: f64, y: f64| (x < columns.start) | (x >= columns.end) | (y < rows.start) | (y >= rows.end);
        if x.iter().zip(y).fold(false, |any, (&x, &y)| any | outside(x, y)) {
            let these = x.iter().zip(y).enumerate().filter(|(_, (x, y))| outside(**x, **y));
            leaving.extend(these.map(|(i, _)| first + i));
        }
    }
}

impl Pic {
    /// The mean number of particles in a cell of a column, where there are any.
    fn mean(&self, column: usize) -> f64 {
        let (n, side, x) = (self.particles as f64, self.size as f64, column as f64);
        match self.init {
            Placing::Geometric => {
                let first = n * ((1.0 - self.rho) / (1.0 - self.rho.powf(side))) / side;
                first * self.rho.powf(x)
            }
            Placing::Sinusoidal => {
                let cos = (x * (std::f64::consts::PI / side)).cos();
                2.0 * cos * cos * n / (side * side)
            }
            Placing::Linear => {
                let step = 1.0 / (side - 1.0);
                let all = self.beta * side - self.alpha * 0.5 * step * side * (side - 1.0);
                n * ((self.beta - self.alpha * step * x) / all) / side
            }
            Placing::Patch => {
                let [left, right, bottom, top] = self.patch;
                let cells = |first: usize, last: usize| last as f64 - first as f64 + 1.0;
                n / (cells(left, right) * cells(bottom, top))
            }
        }
    }

    /// Whether particles are placed in a cell.
    fn has(&self, column: usize, row: usize) -> bool {
        let [left, right, bottom, top] = self.patch;
        self.init != Placing::Patch || (left..=right).contains(&column) && (bottom..=top).contains(&row)
    }

    /// About how many particles start in a tile.
    fn expected(&self, x: &Range<usize>, y: &Range<usize>) -> f64 {
        let [left, right, bottom, top] = self.patch;
        let within =
            |range: &Range<usize>, first, last: usize| range.start.max(first)..range.end.min(last + 1);
        let (x, y) = match self.init {
            Placing::Patch => (within(x, left, right), within(y, bottom, top)),
            _ => (x.clone(), y.clone()),
        };
        x.map(|column| self.mean(column)).sum::<f64>() * y.len() as f64
    }

    /// The particles of a tile at their start, without numbers. Every column draws from its own place in the one sequence of random
    /// numbers, two for each cell, so the particles are the same ones however the domain is cut.
    fn placed(&self, x: &Range<usize>, y: &Range<usize>) -> Result<Columns<f64, 8>> {
        let mut particles = Columns::new();
        particles.reserve((9.0 / 8.0 * self.expected(x, y)) as usize)?;
        // In the middle of a cell, all corners are as far.
        let (square, cos) = (0.5f64, 0.5 / 0.5f64.sqrt());
        let charge = (2 * self.k + 1) as f64 * (1.0 / (cos / square + cos / square));
        for column in x.clone() {
            let mut dice = Dice::after(2 * (column as u64 * self.size as u64 + y.start as u64));
            let mean = self.mean(column);
            let q = if column.is_multiple_of(2) { charge } else { -charge };
            for row in y.clone() {
                let drawn = dice.draw(mean);
                let (x, y) = (column as f64 + 0.5, row as f64 + 0.5);
                for _ in 0..if self.has(column, row) { drawn } else { 0 } {
                    particles.push([x, y, 0.0, self.m as f64, q, x, y, 0.0])?;
                }
            }
        }
        Ok(particles)
    }
}

/// Knuth's linear congruential generator of period 2⁶⁴.
pub(super) struct Dice(u64);

impl Dice {
    /// The state that follows so many numbers after the seed: maps x → a x + c are composed by squaring.
    pub(super) fn after(mut numbers: u64) -> Dice {
        let mut state = 27_182_818_285u64;
        let (mut a, mut c) = (6_364_136_223_846_793_005u64, 1_442_695_040_888_963_407u64);
        while numbers > 0 {
            if !numbers.is_multiple_of(2) {
                state = a.wrapping_mul(state).wrapping_add(c);
            }
            (a, c) = (a.wrapping_mul(a), a.wrapping_mul(c).wrapping_add(c));
            numbers /= 2;
        }
        Dice(state)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 % bound
    }

    /// A number of particles with this mean, by two random numbers: one or none where the mean is below 1, else normally distributed
    /// (Box and Muller) with a deviation of 15 % of the mean.
    pub(super) fn draw(&mut self, mean: f64) -> u64 {
        if mean >= 1.0 {
            let [u, v] = [(); 2].map(|()| self.below(u64::MAX) as f64 * (1.0 / u64::MAX as f64));
            let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
            (normal * (mean * 0.15) + mean + 0.5) as u64
        } else {
            let bound = u64::from(u32::MAX);
            let [_, second] = [(); 2].map(|()| self.below(bound));
            u64::from(second <= (mean * bound as f64) as u64)
        }
    }
}
