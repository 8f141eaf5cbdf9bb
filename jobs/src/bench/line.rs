//! One operation beside its measure, taken in turn on all ranks: what the tables of arrays, halos and sparse products share.

use super::pinning::{cores, pin, unpin};
use super::stage::nap_together;
use rankine::launch::Launcher;
use rankine::run::show;
use rankine::{Comm, Launch, Result, op, testing};
use std::time::Instant;

/// An operation beside its measure: seconds of each, turn after turn.
pub struct Line {
    name: &'static str,
    /// What one time stands for, in the unit's billions.
    amount: f64,
    unit: &'static str,
    pub ours: Vec<f64>,
    pub measure: Vec<f64>,
}

impl Line {
    pub fn new(name: &'static str, amount: f64, unit: &'static str) -> Line {
        Line { name, amount, unit, ours: Vec::new(), measure: Vec::new() }
    }
}

/// Under a launcher: on its ranks, then on as many threads of the first process. Else on threads alone, `ranks` or 2. Each
/// rank has a core of its own if there are enough.
pub fn on_both_engines(
    ranks: Option<usize>,
    work: impl Fn(&Comm) -> Result<()> + Send + Sync + 'static,
) -> Result<()> {
    match Launcher::detect(|name| std::env::var(name).ok())? {
        Some(launcher) if launcher.ranks > 1 => Launch::new().checked(false).run(move |world| {
            pin(world.rank(), world.size());
            work(&world)?;
            // The other processes leave their cores alone while this one runs threads.
            if world.rank() == 0 {
                unpin();
                on_threads(world.size(), &work)?;
            }
            nap_together(&world)
        }),
        _ => on_threads(ranks.unwrap_or(2), &work),
    }
}

fn on_threads(ranks: usize, work: &(impl Fn(&Comm) -> Result<()> + Send + Sync)) -> Result<()> {
    cores();
    testing::Trial::new(ranks).checked(false).run(|comm| {
        pin(comm.rank(), ranks);
        work(comm)
    })
}

/// Seconds of the slowest rank, of a start together.
pub fn timed(comm: &Comm, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    comm.barrier()?;
    let start = Instant::now();
    work()?;
    comm.allreduce(start.elapsed().as_secs_f64(), op::Max)
}

pub fn compare(
    comm: &Comm,
    turns: usize,
    mut line: Line,
    mut ours: impl FnMut() -> Result<()>,
    mut measure: impl FnMut() -> Result<()>,
) -> Result<Line> {
    for turn in 0..=turns {
        let times = [timed(comm, &mut ours)?, timed(comm, &mut measure)?];
        // The first brings memory and caches to where they stay.
        if turn > 0 {
            line.ours.push(times[0]);
            line.measure.push(times[1]);
        }
    }
    Ok(line)
}

/// Rank 0 shows the lines as a table.
pub fn tell(comm: &Comm, lines: &[Line]) {
    if comm.rank() > 0 {
        return;
    }
    show(&format!("{} engine, {} ranks: medians; ratio to the measure\n", comm.engine_name(), comm.size()));
    for line in lines {
        let ratios = line.ours.iter().zip(&line.measure).map(|(ours, measure)| measure / ours).collect();
        let (ours, measure) = (median(line.ours.clone()), median(line.measure.clone()));
        show(&format!(
            "  {:34} {:8.3} ms {:7.2} {}  measure {:7.2}  ratio {:.2}\n",
            line.name,
            ours * 1e3,
            line.amount / ours,
            line.unit,
            line.amount / measure,
            median(ratios)
        ));
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
