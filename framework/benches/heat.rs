//! How near a 7-point heat step comes to what the memory allows: the step and STREAM's triad in turn.
//!
//! Each pair is measured back to back, since the machine's speed drifts; what counts is the median of the pairs'
//! ratios. The triad reads two arrays and writes one (24 B an element counted; the written line is read first, so
//! 32 B move). A step reads one field and writes one, so 24 B move for each cell. The ratio compares bytes that move.
//! `--cells N` (256), `--pairs N` (9), `--steps N` of a pair (10).

// A program for a person to read: its tables go to standard output.
#![allow(clippy::print_stdout)]

use rankine::op::Max;
use rankine::{Comm, Field, Grid, Launch, Result, Wall};
use rayon::prelude::*;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

#[derive(Clone, Copy)]
struct Plan {
    cells: usize,
    pairs: usize,
    steps: usize,
}

fn main() -> ExitCode {
    let said = |name: &str, otherwise| {
        let mut words = std::env::args().skip_while(|word| word != name).skip(1);
        words.next().and_then(|word| word.parse().ok()).unwrap_or(otherwise)
    };
    let plan = Plan { cells: said("--cells", 256), pairs: said("--pairs", 9), steps: said("--steps", 10) };
    println!("{:>5} {:>7}   triad GB/s   heat GB/s   heat/triad (medians; bytes moved)", "ranks", "threads");
    let outcome = [(1, 1), (2, 1), (1, 2)].into_iter().try_for_each(|(ranks, threads)| {
        Launch::new()
            .ranks(ranks)
            .threads(threads)
            .checked(false)
            .run(move |world| compare(&world, plan, threads))
    });
    rankine::launch::exit(outcome)
}

fn compare(world: &Comm, plan: Plan, threads: usize) -> Result<()> {
    let grid = Grid::new(world, [plan.cells; 3])?;
    let hot = Wall::Fixed(1.0);
    let mut now = Field::from_fn(&grid, |[z, y, x]| (z + y + x) as f64)?.walls(hot);
    let mut next = now.duplicate()?;
    let halo_free = Grid::over(world, [plan.cells; 3]).halo(0).build()?;
    let mut a = Field::new(&halo_free, 0.0)?;
    let (b, c) = (Field::new(&halo_free, 1.0)?, Field::new(&halo_free, 2.0)?);

    let (mut triads, mut heats) = (Vec::new(), Vec::new());
    for pair in 0..=plan.pairs {
        let triad = timed(world, || (0..plan.steps).try_for_each(|_| triad(&mut a, &b, &c)))?;
        let heat = timed(world, || {
            for _ in 0..plan.steps {
                step(&mut now, &mut next)?;
                std::mem::swap(&mut now, &mut next);
            }
            Ok(())
        })?;
        // The first pair touches memory for the first time.
        if pair > 0 {
            let cells = (grid.len() * plan.steps) as f64 * 1e-9;
            triads.push(32.0 * cells / triad);
            heats.push(24.0 * cells / heat);
        }
    }
    let ratios = heats.iter().zip(&triads).map(|(heat, triad)| heat / triad).collect();
    if world.rank() == 0 {
        let [triad, heat, ratio] = [triads, heats, ratios].map(median);
        println!("{:>5} {threads:>7} {triad:>12.1} {heat:>11.1} {ratio:>12.3}", world.size());
    }
    Ok(())
}

fn step(now: &mut Field<f64, 3>, next: &mut Field<f64, 3>) -> Result<()> {
    next.update_from(now, |out, rows| {
        let c = rows.at([0, 0, 0]);
        let (u, d) = (rows.at([-1, 0, 0]), rows.at([1, 0, 0]));
        let (n, s) = (rows.at([0, -1, 0]), rows.at([0, 1, 0]));
        let (w, e) = (rows.at([0, 0, -1]), rows.at([0, 0, 1]));
        for i in 0..out.len() {
            out[i] = c[i] + 0.1 * (u[i] + d[i] + n[i] + s[i] + w[i] + e[i] - 6.0 * c[i]);
        }
    })
}

/// On storage without halos, which is plain arrays.
fn triad(a: &mut Field<f64, 3>, b: &Field<f64, 3>, c: &Field<f64, 3>) -> Result<()> {
    let (b, c) = (b.storage(), c.storage());
    let each = b.len().div_ceil(rayon::current_num_threads());
    let add = |a: &mut [f64], b: &[f64], c: &[f64]| {
        for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
            *a = b + 3.0 * c;
        }
    };
    let a = a.storage_mut().par_chunks_mut(each);
    a.zip(b.par_chunks(each)).zip(c.par_chunks(each)).for_each(|((a, b), c)| add(black_box(a), b, c));
    Ok(())
}

/// Seconds until the slowest rank is done.
fn timed(world: &Comm, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    world.barrier()?;
    let since = Instant::now();
    work()?;
    world.allreduce(since.elapsed().as_secs_f64(), Max)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
