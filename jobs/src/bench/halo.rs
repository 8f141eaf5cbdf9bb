//! `rankine bench halo`: exchanging a field's halo, beside the bare messages of the same sizes; and how much of it a sweep
//! hides.

use super::line::{Line, median, on_both_engines, tell, timed};
use rankine::run::show;
use rankine::{Comm, Error, Field, Grid, Result, Stencil, op};
use std::time::Instant;

/// How it is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Halo {
    /// Ranks of the Local engine; under a launcher, its number
    #[arg(long, value_name = "N")]
    ranks: Option<usize>,
    /// Cells along each axis of three
    #[arg(long, value_name = "N", default_value_t = 256)]
    cells: usize,
    /// How many cells of its neighbours a rank sees
    #[arg(long, value_name = "N", default_value_t = 1)]
    halo: usize,
    /// How often every side has its turn
    #[arg(long, value_name = "N", default_value_t = 15)]
    turns: usize,
    /// Exchanges, or sweeps, of one turn
    #[arg(long, value_name = "N", default_value_t = 10)]
    each: usize,
}

/// Does it.
///
/// # Errors
/// A flag that cannot be; those of the launcher and of the engines.
pub fn bench(wanted: Halo) -> Result<()> {
    if wanted.turns == 0 || wanted.each == 0 || !(2..=2048).contains(&wanted.cells) || wanted.halo == 0 {
        return Err(Error::usage(
            "bench halo: give one turn or more of one exchange or more, and 2 to 2048 cells",
        ));
    }
    on_both_engines(wanted.ranks, move |comm| {
        let lines = exchanges(comm, &wanted)?;
        let overlap = overlap(comm, &wanted)?;
        tell(comm, &lines);
        if comm.rank() == 0 {
            show(&overlap);
        }
        Ok(())
    })
}

/// The fields' exchanges, a way of cutting after the other; each once the fields have been computed anew.
fn exchanges(comm: &Comm, wanted: &Halo) -> Result<Vec<Line>> {
    let (n, p) = (wanted.cells, comm.size());
    let (myself, mut lines) = (alone(comm)?, Vec::new());
    for (name, dims, stencil, fields) in [
        ("planes (axis 0 cut)", [p, 1, 1], Stencil::Star, 1),
        ("rows (axis 1 cut)", [1, p, 1], Stencil::Star, 1),
        ("ends of rows (axis 2 cut)", [1, 1, p], Stencil::Star, 1),
        ("planes, edges and corners", [p, 1, 1], Stencil::Box, 1),
        ("planes of three fields at once", [p, 1, 1], Stencil::Star, 3),
    ] {
        let cut = dims.iter().position(|&ranks| ranks > 1).unwrap_or(0);
        let grid = Grid::over(comm, [n; 3]).halo(wanted.halo).stencil(stencil).dims(dims).build()?;
        let field = || Field::from_fn(&grid, |[z, y, x]| (z + 2 * y + 3 * x) as f64);
        let (mut a, mut b, mut c) = (field()?, field()?, field()?);
        let face = wanted.halo * n * n * fields;
        let up = (grid.coords()[cut] + 1 < p).then_some(comm.rank() + 1);
        let down = (grid.coords()[cut] > 0).then(|| comm.rank() - 1);
        let peers = [down, up];
        // On pages of the same kind as the field's.
        let plain = Grid::over(&myself, [face]).halo(0).build()?;
        let mut send = [Field::new(&plain, 1.0)?, Field::new(&plain, 1.0)?];
        let mut recv = [Field::new(&plain, 0.0)?, Field::new(&plain, 0.0)?];
        let mut line = Line::new(name, (face * 8) as f64 * 1e-9, "GB/s");
        for turn in 0..=wanted.turns {
            let (mut ours, mut bare) = (0.0, 0.0);
            for _ in 0..wanted.each {
                // What is sent has just been computed, and a sweep's worth of other memory after it.
                send.iter_mut().for_each(|face| face.storage_mut().fill(turn as f64));
                computed(comm, &mut [&mut a, &mut b, &mut c][..fields])?;
                let start = Instant::now();
                // The scope completes them.
                comm.scope(|s| {
                    for (side, (into, peer)) in recv.iter_mut().zip(peers).enumerate() {
                        peer.map(|peer| s.irecv(into.storage_mut(), peer, [1, 0][side]).map(drop))
                            .transpose()?;
                    }
                    for (side, (from, peer)) in send.iter().zip(peers).enumerate() {
                        peer.map(|peer| s.isend(from.storage(), peer, [0, 1][side]).map(drop)).transpose()?;
                    }
                    Ok(())
                })?;
                bare += start.elapsed().as_secs_f64();
                computed(comm, &mut [&mut a, &mut b, &mut c][..fields])?;
                let start = Instant::now();
                if fields == 1 {
                    a.exchange()?;
                } else {
                    grid.exchange_all([&mut a, &mut b, &mut c])?;
                }
                ours += start.elapsed().as_secs_f64();
            }
            if turn > 0 {
                line.ours.push(comm.allreduce(ours, op::Max)? / wanted.each as f64);
                line.measure.push(comm.allreduce(bare, op::Max)? / wanted.each as f64);
            }
        }
        lines.push(line);
    }
    Ok(lines)
}

/// A 7-point sweep with its exchange, beside the sweep of the same block without neighbours and the exchange by itself.
fn overlap(comm: &Comm, wanted: &Halo) -> Result<String> {
    let (n, p) = (wanted.cells, comm.size());
    let grid = Grid::over(comm, [n; 3]).halo(wanted.halo).dims([p, 1, 1]).build()?;
    let myself = alone(comm)?;
    let own = Grid::over(&myself, grid.own().shape).halo(wanted.halo).build()?;
    let (mut field, mut block) = (Field::new(&grid, 1.0)?, Field::new(&own, 1.0)?);
    let (mut both, mut sweeps, mut exchanges, mut gains) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for turn in 0..=wanted.turns {
        let each = || 0..wanted.each;
        let together = timed(comm, || each().try_for_each(|_| sweep(&mut field)))?;
        let sweep = timed(comm, || each().try_for_each(|_| sweep(&mut block)))?;
        let exchange = timed(comm, || each().try_for_each(|_| field.exchange()))?;
        if turn > 0 {
            both.push(together);
            sweeps.push(sweep);
            exchanges.push(exchange);
            gains.push((sweep + exchange) / together);
        }
    }
    let ms = |times| median(times) / wanted.each as f64 * 1e3;
    Ok(format!(
        "  a sweep with its exchange {:.3} ms; without neighbours {:.3} ms, the exchange alone {:.3} ms: one after the \
         other takes {:.2} times as long\n",
        ms(both),
        ms(sweeps),
        ms(exchanges),
        median(gains)
    ))
}

/// Sweeps of all the fields, and all ranks there.
fn computed(comm: &Comm, fields: &mut [&mut Field<f64, 3>]) -> Result<()> {
    fields.iter_mut().try_for_each(|field| sweep(field))?;
    comm.barrier()
}

/// A communicator of this rank by itself.
fn alone(comm: &Comm) -> Result<Comm> {
    comm.split(Some(comm.rank() as u32), 0)?.ok_or_else(|| Error::usage("no communicator of one rank"))
}

fn sweep(u: &mut Field<f64, 3>) -> Result<()> {
    u.update_with_neighbors(|out, rows| {
        let c = rows.at([0, 0, 0]);
        let (u, d) = (rows.at([-1, 0, 0]), rows.at([1, 0, 0]));
        let (n, s) = (rows.at([0, -1, 0]), rows.at([0, 1, 0]));
        let (w, e) = (rows.at([0, 0, -1]), rows.at([0, 0, 1]));
        for i in 0..out.len() {
            out[i] = c[i] + 0.1 * (u[i] + d[i] + n[i] + s[i] + w[i] + e[i] - 6.0 * c[i]);
        }
    })
}
