//! `rankine bench files`: a field written to HDF5 and brought to the disk, beside a plain file of as many bytes by the same
//! ranks with the same way to the disk.

use rankine::launch::Launcher;
use rankine::op::Max;
use rankine::output::Writer;
use rankine::run::show;
use rankine::{Comm, Error, Field, Grid, Launch, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What is written where.
#[derive(Clone, Debug, clap::Args)]
pub struct Files {
    /// Ranks of the Local engine; under a launcher, its number
    #[arg(long, value_name = "N")]
    ranks: Option<usize>,
    /// Cells along each axis of the cube that is written, 8 bytes each
    #[arg(long, value_name = "N", default_value_t = 256)]
    cells: usize,
    /// How often every side has its turn
    #[arg(long, value_name = "N", default_value_t = 9)]
    turns: usize,
    /// The folder to write in, on the disk that is measured
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// Print JSON instead of the table
    #[arg(long)]
    json: bool,
}

/// Does it.
///
/// # Errors
/// A flag that cannot be; a folder that cannot be written; a build without HDF5.
pub fn bench(wanted: Files) -> Result<()> {
    if !(1..=2048).contains(&wanted.cells) || !(1..=1000).contains(&wanted.turns) {
        return Err(Error::usage(format!("--cells {}, --turns {}", wanted.cells, wanted.turns))
            .help("give 1 to 2048 cells along an axis and 1 to 1000 turns"));
    }
    let mut launch = Launch::new().checked(false);
    let launched =
        Launcher::detect(|name| std::env::var(name).ok())?.is_some_and(|launcher| launcher.ranks > 1);
    if !launched || wanted.ranks.is_some() {
        launch = launch.ranks(wanted.ranks.unwrap_or(2));
    }
    launch.run(move |world| measure(&wanted, &world))
}

/// The sides, in the order of their columns.
const SIDES: [&str; 4] = ["plain", "direct", "together", "in turn"];

fn measure(wanted: &Files, world: &Comm) -> Result<()> {
    let grid = Grid::over(world, [wanted.cells; 3]).build()?;
    let field = Field::from_fn(&grid, |[z, y, x]| (z * y + x) as f64)?;
    let all = grid.len() as u64 * 8;
    let share = |rank: usize| all * rank as u64 / world.size() as u64;
    let bytes = vec![1u8; (share(world.rank() + 1) - share(world.rank())) as usize];
    let path = |side: &str| wanted.folder.join(format!("rankine-bench-{}", side.replace(' ', "-")));
    let together = cfg!(feature = "hdf5-parallel") && world.engine_name() == "mpi";
    let mut turns: Vec<[f64; 4]> = Vec::new();
    // The first turn only warms up.
    for turn in 0..=wanted.turns {
        let mut took = [f64::NAN; 4];
        for n in 0..SIDES.len() {
            let side = (n + turn) % SIDES.len();
            let path = path(SIDES[side]);
            world.barrier()?;
            let began = Instant::now();
            let writer = match side {
                0 => {
                    world.agree(plain(world, &path, share(world.rank()), &bytes))?;
                    None
                }
                1 => Some(Writer::create(world, &path)?),
                2 if together => Some(Writer::create_together(world, &path)?),
                2 => continue,
                _ => Some(Writer::create_in_turn(world, &path)?),
            };
            if let Some(mut writer) = writer {
                writer.write_field("u", &field)?;
                writer.finish()?;
            }
            took[side] = world.allreduce(began.elapsed().as_secs_f64(), Max)?;
            world.agree(if world.rank() == 0 {
                std::fs::remove_file(&path).map_err(cannot(&path))
            } else {
                Ok(())
            })?;
        }
        if turn > 0 {
            turns.push(took);
        }
    }
    if world.rank() == 0 {
        show(&table(wanted, world, all, &turns));
    }
    world.barrier()
}

/// What a writer does, without HDF5: a file beside, every rank its share, all to the disk, the name, the folder.
fn plain(world: &Comm, path: &Path, at: u64, bytes: &[u8]) -> Result<()> {
    let part = path.with_extension("part");
    let made = if world.rank() == 0 { File::create(&part).map(drop) } else { Ok(()) };
    world.agree(made.map_err(cannot(&part)))?;
    let file = File::options().write(true).open(&part);
    let file = file.and_then(|file| file.write_all_at(bytes, at).map(|()| file));
    let file = world.agree(file.map_err(cannot(&part)))?;
    // Threads are on one node: one of them brings all to the disk, as the writers do.
    let syncs = world.rank() == 0 || world.engine_name() != "local";
    world.agree(if syncs { file.sync_all().map_err(cannot(&part)) } else { Ok(()) })?;
    if world.rank() > 0 {
        return Ok(());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::rename(&part, path).and_then(|()| File::open(folder)?.sync_all()).map_err(cannot(path))
}

fn cannot(path: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    move |error| {
        Error::io(format!("cannot write {}: {error}", path.display()))
            .help("name another folder with --folder")
    }
}

fn quantile(mut values: Vec<f64>, q: f64) -> Option<f64> {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    values.get(((values.len() as f64 - 1.0) * q).round() as usize).copied()
}

/// Rates, and the median and quartiles of each side's rate over the plain file's of the same turn.
fn table(wanted: &Files, world: &Comm, bytes: u64, turns: &[[f64; 4]]) -> String {
    let mut rows = Vec::new();
    let mut text = format!(
        "{} engine, {} ranks, {:.1} MB, {} turns\n{:10} {:>8} {:>22}\n",
        world.engine_name(),
        world.size(),
        bytes as f64 / 1e6,
        turns.len(),
        "side",
        "MB/s",
        "over plain (quartiles)"
    );
    for (side, name) in SIDES.iter().enumerate() {
        let rates = turns.iter().map(|turn| bytes as f64 / turn[side] / 1e6).collect();
        let Some(rate) = quantile(rates, 0.5) else { continue };
        let ratios: Vec<f64> = turns.iter().map(|turn| turn[0] / turn[side]).collect();
        let at = |q| quantile(ratios.clone(), q).unwrap_or(f64::NAN);
        text += &format!("{name:10} {rate:>8.0} {:>8.2} ({:.2}, {:.2})\n", at(0.5), at(0.25), at(0.75));
        rows.push(serde_json::json!({
            "side": name, "megabytes_per_second": rate, "over_plain": [at(0.25), at(0.5), at(0.75)],
        }));
    }
    if !wanted.json {
        return text;
    }
    let all = serde_json::json!({
        "engine": world.engine_name(), "ranks": world.size(), "bytes": bytes, "turns": turns.len(), "sides": rows,
    });
    format!("{all}\n")
}
