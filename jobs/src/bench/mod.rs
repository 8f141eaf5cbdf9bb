//! `rankine bench`: what messages cost here, on every engine there is, beside C and the bare machine; what arrays cost
//! that are spread over ranks (`arrays`); and how often the watch is right (`watch`).
//!
//! The sides are measured in turn within one run, since the host moves the cores and shares the memory: what counts
//! is the median of the ratios of neighbours in time. Nothing is asserted; `docs/performance.md` says what came out.

mod arrays;
mod bare;
mod files;
mod halo;
mod line;
mod operation;
mod pages;
mod pinning;
mod plot;
mod prk;
mod report;
mod sparse;
mod stage;
#[cfg(feature = "mpi")]
mod twin;
mod watch;

use operation::Operation;
use rankine::launch::Launcher;
use rankine::run::show;
use rankine::{Comm, Error, Launch, Result};
use stage::Stage;
use std::path::{Path, PathBuf};

/// What can be measured.
#[derive(Debug, clap::Subcommand)]
pub enum Bench {
    /// Latency, bandwidth, message rate, overlap and every collective, by size
    ///
    /// Alone it measures the Local engine (ranks are threads). Under mpirun it measures the Mpi engine against a C
    /// program over the same library, and the Local engine with as many ranks in one of the processes:
    /// mpirun -n 2 --bind-to none rankine bench messaging
    Messaging(Messaging),
    /// Redistributions of arrays, beside memcpy on the same ranks
    ///
    /// Alone it measures the Local engine, under mpirun the Mpi engine, and the Local engine with as many ranks in one of the
    /// processes: mpirun -n 2 --bind-to none rankine bench arrays
    Arrays(arrays::Arrays),
    /// The exchange of a field's halo, beside bare messages of the same sizes, and what a sweep hides of it
    ///
    /// As with arrays: mpirun -n 2 --bind-to none rankine bench halo
    Halo(halo::Halo),
    /// How often the watch is right about random programs: what it finds, misses and names
    Watch(watch::Watch),
    /// Products of a sparse matrix and a vector, beside the memory's own rate
    ///
    /// As with arrays: mpirun -n 2 --bind-to none rankine bench sparse
    Sparse(sparse::Sparse),
    /// A field written to HDF5 and brought to the disk, beside a plain file of as many bytes
    ///
    /// Alone it measures the Local engine, under mpirun the Mpi engine:
    /// mpirun -n 2 rankine bench files --folder /scratch
    Files(files::Files),
    /// The Parallel Research Kernels as ranks, as threads and beside the collection's own programs
    ///
    /// Start it without a launcher: it starts its jobs by itself. rankine bench prk --peers prk/MPI1
    Prk(prk::Prk),
}

/// How it is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Messaging {
    /// Ranks of the Local engine; under a launcher, its number
    #[arg(long, value_name = "N")]
    ranks: Option<usize>,
    /// Only these operations [default: all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<Operation>,
    /// Only these sizes, in bytes: of a message, or of a rank's contribution [default: by operation]
    #[arg(long, value_name = "BYTES,…", value_delimiter = ',')]
    sizes: Vec<usize>,
    /// How often every side has its turn
    #[arg(long, value_name = "N", default_value_t = 11)]
    turns: usize,
    /// Milliseconds of one turn
    #[arg(long, value_name = "MS", default_value_t = 3.0)]
    turn: f64,
    /// Where messaging.json and messaging.png go [default: nowhere]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Print JSON instead of the table
    #[arg(long)]
    json: bool,
}

/// The most bytes of one contribution: buffers of all ranks and sides must fit into memory.
const MOST_BYTES: usize = 64 << 20;

/// Does it.
///
/// # Errors
/// A flag that cannot be; those of the launcher and of the engines; a folder that cannot be written.
pub fn bench(bench: Bench) -> Result<()> {
    match bench {
        Bench::Messaging(wanted) => messaging(wanted),
        Bench::Arrays(wanted) => arrays::bench(wanted),
        Bench::Halo(wanted) => halo::bench(wanted),
        Bench::Sparse(wanted) => sparse::bench(wanted),
        Bench::Watch(wanted) => watch::watch(&wanted),
        Bench::Files(wanted) => files::bench(wanted),
        Bench::Prk(wanted) => prk::bench(&wanted),
    }
}

fn messaging(wanted: Messaging) -> Result<()> {
    check(&wanted)?;
    match Launcher::detect(|name| std::env::var(name).ok())? {
        Some(launcher) if launcher.ranks > 1 => {
            if wanted.ranks.is_some_and(|ranks| ranks != launcher.ranks) {
                return Err(Error::usage("--ranks differs from the launcher's number").help("leave it out"));
            }
            Launch::new().checked(false).run(move |world| measure(&wanted, &Stage::under_launcher(&world)))
        }
        _ => measure(&wanted, &Stage::alone(wanted.ranks.unwrap_or(2))),
    }
}

fn check(wanted: &Messaging) -> Result<()> {
    if wanted.turns == 0 || wanted.turns > 10_000 {
        return Err(Error::usage(format!("--turns {}", wanted.turns)).help("give 1 to 10000"));
    }
    if !(0.01..=10_000.0).contains(&wanted.turn) {
        return Err(Error::usage(format!("--turn {}", wanted.turn)).help("give 0.01 to 10000 milliseconds"));
    }
    if wanted.ranks.is_some_and(|ranks| !(2..=1024).contains(&ranks)) {
        return Err(Error::usage("--ranks: messages need 2 to 1024 ranks"));
    }
    match wanted.sizes.iter().find(|&&size| size > MOST_BYTES) {
        Some(size) => {
            Err(Error::usage(format!("--sizes {size}")).help(format!("at most {MOST_BYTES} bytes")))
        }
        None => Ok(()),
    }
}

fn measure(wanted: &Messaging, stage: &Stage<'_>) -> Result<()> {
    // Before anything is measured: a folder that cannot be must not cost a minute first.
    let folder = match &wanted.out {
        Some(folder) if stage.speaks() => {
            std::fs::create_dir_all(folder).map_err(|error| cannot(folder, "cannot be made", &error))
        }
        _ => Ok(()),
    };
    match stage.world() {
        Some(world) => world.agree(folder)?,
        None => folder?,
    }
    let operations = if wanted.only.is_empty() { Operation::all() } else { wanted.only.clone() };
    let mut lines = Vec::new();
    for operation in operations {
        let sizes = if wanted.sizes.is_empty() { operation.sizes() } else { wanted.sizes.clone() };
        for bytes in sizes.into_iter().take(if operation.sizeless() { 1 } else { usize::MAX }) {
            let line = stage.compare(operation, bytes, wanted.turns, wanted.turn / 1e3)?;
            if stage.speaks() && !wanted.json {
                if lines.is_empty() {
                    show(&report::heading(stage));
                }
                show(&report::row(&line));
            }
            lines.push(line);
        }
    }
    if !stage.speaks() {
        return stage.world().map_or(Ok(()), Comm::barrier);
    }
    let json = report::json(stage, &lines);
    if wanted.json {
        show(&json);
    }
    if let Some(folder) = &wanted.out {
        write(folder, &json, &lines, stage)?;
    }
    stage.world().map_or(Ok(()), Comm::barrier)
}

fn write(folder: &Path, json: &str, lines: &[report::Line], stage: &Stage<'_>) -> Result<()> {
    std::fs::write(folder.join("messaging.json"), json)
        .map_err(|error| cannot(folder, "messaging.json", &error))?;
    plot::plot(&folder.join("messaging.png"), lines, stage)
        .map_err(|error| cannot(folder, "messaging.png", &error))
}

fn cannot(folder: &Path, what: &str, error: &dyn std::fmt::Display) -> Error {
    Error::io(format!("{}: {what}: {error}", folder.display())).help("name another folder with --out")
}
