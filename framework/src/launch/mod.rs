//! One door in: from a process to a rank with a world communicator, and out again with an exit code.
//!
//! This folder chooses the engine, starts ranks and ends the job. It is the only place of the framework that
//! writes to standard error or ends a process, because a job has to go down as one. What a job computes is not
//! its business.

mod failure;
mod launcher;

use crate::comm::Comm;
use crate::engine::{Engine, local};
use crate::error::{Error, ErrorKind, Result};
use crate::timing::Clock;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

#[cfg(feature = "mpi")]
pub(crate) use failure::bring_down;
pub use failure::{is_first_process, report};
pub use launcher::Launcher;

/// How to start ranks; [`launch()`] is this with nothing said.
///
/// ```
/// rankine::Launch::new().ranks(3).run(|world| {
///     assert_eq!(world.size(), 3);
///     world.barrier()
/// })?;
/// # Ok::<(), rankine::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Launch {
    ranks: Option<usize>,
    threads: Option<usize>,
    checked: Option<bool>,
}

/// The most ranks that one process runs as threads; more is a slip of the keyboard.
const MOST_LOCAL_RANKS: usize = 65_536;

impl Launch {
    /// Nothing said: the launcher's number of ranks under `mpirun` or `srun`, one rank otherwise.
    pub fn new() -> Launch {
        Launch::default()
    }

    /// That many ranks as threads of this process. Under a launcher it must agree with the launcher's number.
    pub fn ranks(mut self, ranks: usize) -> Launch {
        self.ranks = Some(ranks);
        self
    }

    /// Threads of each rank, for rayon inside a kernel. Otherwise `SLURM_CPUS_PER_TASK`, `OMP_NUM_THREADS` or 1.
    pub fn threads(mut self, threads: usize) -> Launch {
        self.threads = Some(threads);
        self
    }

    /// Whether standard sends wait for their receive and collectives compare arguments on the Mpi engine too.
    /// Otherwise `RANKINE_CHECKED=0|1`, or yes in debug builds.
    pub fn checked(mut self, checked: bool) -> Launch {
        self.checked = Some(checked);
        self
    }

    /// Runs `rank` on every rank and returns when all are done.
    ///
    /// # Errors
    /// The first failure of a rank. On the Local engine it is returned at once, whatever the other ranks are
    /// doing; on the Mpi engine the job is ended with the failure's exit code, after [`report`].
    pub fn run(self, rank: impl Fn(Comm) -> Result<()> + Send + Sync + 'static) -> Result<()> {
        let found = Launcher::detect(|name| std::env::var(name).ok())?;
        let threads = self.threads_per_rank()?;
        let checked = self.checked.or_else(checked_by_environment).unwrap_or(cfg!(debug_assertions));
        let ranks = self.ranks;
        match found {
            Some(launcher) if launcher.ranks > 1 || cfg!(feature = "mpi") => {
                if let Some(asked) = ranks.filter(|&asked| asked != launcher.ranks) {
                    return Err(Error::usage(format!(
                        "--ranks {asked}, but {} started {} ranks",
                        launcher.name, launcher.ranks
                    ))
                    .help("under a launcher leave --ranks out"));
                }
                under_launcher(&launcher, threads, checked, rank)
            }
            _ => on_threads(ranks.unwrap_or(1), threads, checked, rank),
        }
    }

    fn threads_per_rank(&self) -> Result<usize> {
        let said = |name| std::env::var(name).ok().and_then(|text| text.parse::<usize>().ok());
        match self.threads.or_else(|| said("SLURM_CPUS_PER_TASK")).or_else(|| said("OMP_NUM_THREADS")) {
            Some(threads) if !(1..=4096).contains(&threads) => {
                Err(Error::usage(format!("{threads} threads a rank")).help("give 1 to 4096 threads"))
            }
            threads => Ok(threads.unwrap_or(1)),
        }
    }
}

/// Starts the ranks that the environment asks for and runs `rank` on each: under `mpirun` or `srun` on MPI, else
/// one rank in this process. [`Launch`] takes options.
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     rankine::launch::exit(rankine::launch(|world| {
///         let total = world.allreduce(world.rank(), rankine::op::Sum)?;
///         # let _ = total;
///         Ok(())
///     }))
/// }
/// ```
///
/// # Errors
/// As [`Launch::run`].
pub fn launch(rank: impl Fn(Comm) -> Result<()> + Send + Sync + 'static) -> Result<()> {
    Launch::new().run(rank)
}

/// The end of `main`: reports an error once and turns it into the job's exit code.
pub fn exit(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// The MPI library this program is linked with, in its own words; `None` in a build without MPI.
pub fn mpi_library() -> Option<String> {
    #[cfg(feature = "mpi")]
    let library = Some(crate::engine::mpi::library_version());
    #[cfg(not(feature = "mpi"))]
    let library = None;
    library
}

fn checked_by_environment() -> Option<bool> {
    match std::env::var("RANKINE_CHECKED").ok()?.as_str() {
        "1" | "true" | "yes" => Some(true),
        "0" | "false" | "no" => Some(false),
        _ => None,
    }
}

fn on_threads(
    ranks: usize,
    threads: usize,
    checked: bool,
    rank: impl Fn(Comm) -> Result<()> + Send + Sync + 'static,
) -> Result<()> {
    if !(1..=MOST_LOCAL_RANKS).contains(&ranks) {
        return Err(Error::usage(format!("{ranks} ranks"))
            .help(format!("the Local engine runs 1 to {MOST_LOCAL_RANKS} ranks")));
    }
    failure::remember_panics();
    let world = local::World::new(ranks, threads, checked);
    let rank = Arc::new(rank);
    let (done, finished) = std::sync::mpsc::channel();
    for me in 0..ranks {
        let (world, rank, done) = (world.clone(), rank.clone(), done.clone());
        std::thread::Builder::new()
            .name(format!("rank {me}"))
            .spawn(move || {
                let result = on_rank_thread(&world, me, threads, |comm| rank(comm));
                if let Err(error) = &result
                    && error.kind() != ErrorKind::Elsewhere
                {
                    world.abort();
                }
                // The receiver is gone once another rank's failure has been returned.
                let _ = done.send(result);
            })
            .map_err(|error| {
                Error::new(ErrorKind::Setup, format!("cannot start a thread for rank {me}: {error}"))
                    .help("start fewer ranks or raise the limit of processes (ulimit -u)")
            })?;
    }
    drop(done);
    first_failure(finished.iter().take(ranks))
}

/// Runs one rank of `world` on the current thread; a panic becomes an error.
pub(crate) fn on_rank_thread(
    world: &Arc<local::World>,
    me: usize,
    threads: usize,
    rank: impl FnOnce(Comm) -> Result<()>,
) -> Result<()> {
    failure::catching(me, || {
        let _pool = rank_pool(threads)?;
        world.enter(me);
        rank(Comm::new(Engine::Local(local::Local::world(world, me)), Rc::new(Clock::default())))
    })
}

/// rayon inside this rank: the rank's own thread is a member of its own pool, so parallel iterators stay within the
/// rank's threads, for thread ranks too.
fn rank_pool(threads: usize) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread().build().map_err(|error| {
        Error::new(ErrorKind::Setup, format!("cannot start {threads} threads for a rank: {error}"))
            .help("ask for fewer threads a rank")
    })
}

/// The first error that is a cause and not a consequence; waits for all only if there is none.
pub(crate) fn first_failure(results: impl Iterator<Item = Result<()>>) -> Result<()> {
    let mut consequence = Ok(());
    for result in results {
        match result {
            Err(error) if error.kind() != ErrorKind::Elsewhere => return Err(error),
            other => consequence = consequence.and(other),
        }
    }
    consequence
}

#[cfg(not(feature = "mpi"))]
fn under_launcher(
    launcher: &Launcher,
    _threads: usize,
    _checked: bool,
    _rank: impl Fn(Comm) -> Result<()>,
) -> Result<()> {
    Err(Error::new(
        ErrorKind::Setup,
        format!("{} started {} ranks, but this program was built without MPI", launcher.name, launcher.ranks),
    )
    .help("build with `make` (or cargo's `--features mpi`), or run it alone with --ranks for threads"))
}

#[cfg(feature = "mpi")]
fn under_launcher(
    launcher: &Launcher,
    threads: usize,
    checked: bool,
    rank: impl Fn(Comm) -> Result<()>,
) -> Result<()> {
    use crate::engine::mpi;
    failure::remember_panics();
    let session = mpi::start(checked)?;
    if session.world_size() != launcher.ranks {
        return Err(Error::new(
            ErrorKind::Setup,
            format!(
                "{} started {} ranks, but MPI ({}) sees {}",
                launcher.name,
                launcher.ranks,
                mpi::library_version(),
                session.world_size()
            ),
        )
        .help(
            "the launcher and the MPI library that this program is linked with are of different MPIs: use the \
             mpirun of that library, or srun with the --mpi type it was built for; `rankine doctor` shows both",
        ));
    }
    let me = session.world_rank();
    let result = failure::catching(me, || {
        let _pool = rank_pool(threads)?;
        rank(Comm::new(Engine::Mpi(session.comm()), Rc::new(Clock::default())))
    });
    match result {
        Ok(()) => session.finish(),
        Err(error) => bring_down(&error.on_rank(me)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_reported_before_a_consequence() {
        let consequence = || Err(Error::new(ErrorKind::Elsewhere, "rank 1 failed"));
        let results = [consequence(), Ok(()), Err(Error::io("disk full")), consequence()];
        assert_eq!(first_failure(results.into_iter()).unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(
            first_failure([consequence(), Ok(())].into_iter()).unwrap_err().kind(),
            ErrorKind::Elsewhere
        );
    }
}
