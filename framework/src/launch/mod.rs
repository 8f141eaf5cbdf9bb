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
use crate::watch::{self, Board, Hub, Life, Outlets, Watch};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "mpi")]
pub(crate) use failure::bring_down;
pub(crate) use failure::warn;
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
    watch: Option<bool>,
    patience: Option<Duration>,
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

    /// Whether the watch looks for ranks that wait for ever. Otherwise `RANKINE_WATCH=0|1`, or yes.
    pub fn watch(mut self, watch: bool) -> Launch {
        self.watch = Some(watch);
        self
    }

    /// How long a rank may be blocked before the watch asks why. Otherwise `RANKINE_PATIENCE` in seconds, or five.
    /// However short it is, a rank that is slow is never taken for one that waits for ever.
    pub fn patience(mut self, patience: Duration) -> Launch {
        self.patience = Some(patience);
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
        let settings = watch_settings(self.watch, self.patience)?;
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
                under_launcher(&launcher, threads, checked, settings, rank)
            }
            _ => on_threads(ranks.unwrap_or(1), threads, checked, settings, rank),
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

/// Name and version, out of the many words that an MPI library or its launcher has for itself: `Open MPI v4.1.4`,
/// `MPICH 4.0.2`.
pub fn short_version(words: &str) -> String {
    let mut lines = words.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or("it does not say what it is");
    let line = first.split(", package").next().unwrap_or(first);
    // MPICH's launcher begins with a heading.
    let line = match (line, lines.next()) {
        ("HYDRA build details:", Some(next)) => next.replacen("Version:", "HYDRA", 1),
        _ => line.replacen("MPICH Version:", "MPICH", 1),
    };
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What MPI allows to threads of this process, such as `MPI_THREAD_FUNNELED`; `None` in a build without MPI, and where MPI
/// is not running: before [`launch`], and under no launcher. Local.
pub fn thread_level() -> Option<&'static str> {
    #[cfg(feature = "mpi")]
    let level = crate::engine::mpi::thread_level();
    #[cfg(not(feature = "mpi"))]
    let level = None;
    level
}

/// How the watch works: as said, or as the environment has it.
pub(crate) fn watch_settings(on: Option<bool>, patience: Option<Duration>) -> Result<watch::Settings> {
    let on = on.or_else(|| by_environment("RANKINE_WATCH")).unwrap_or(true);
    let patience = match (patience, std::env::var("RANKINE_PATIENCE")) {
        (Some(patience), _) => patience,
        (None, Err(_)) => watch::PATIENCE,
        (None, Ok(text)) => seconds(&text).ok_or_else(|| {
            Error::usage(format!("RANKINE_PATIENCE={text:?} is no number of seconds"))
                .help("give the seconds a rank may be blocked before the watch asks why, such as 5 or 0.5")
        })?,
    };
    Ok(watch::Settings { on, patience })
}

/// A time that a person wrote in seconds.
fn seconds(text: &str) -> Option<Duration> {
    text.trim().parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

fn checked_by_environment() -> Option<bool> {
    by_environment("RANKINE_CHECKED")
}

fn by_environment(name: &str) -> Option<bool> {
    match std::env::var(name).ok()?.as_str() {
        "1" | "true" | "yes" => Some(true),
        "0" | "false" | "no" => Some(false),
        _ => None,
    }
}

fn on_threads(
    ranks: usize,
    threads: usize,
    checked: bool,
    settings: watch::Settings,
    rank: impl Fn(Comm) -> Result<()> + Send + Sync + 'static,
) -> Result<()> {
    if !(1..=MOST_LOCAL_RANKS).contains(&ranks) {
        return Err(Error::usage(format!("{ranks} ranks"))
            .help(format!("the Local engine runs 1 to {MOST_LOCAL_RANKS} ranks")));
    }
    failure::remember_panics();
    let world = local::World::new(ranks, threads, checked);
    let boards = watch::boards(ranks);
    let rank = Arc::new(rank);
    let (done, finished) = std::sync::mpsc::channel();
    let hub = {
        let (world, done) = (world.clone(), done.clone());
        let stuck = move |stuck| {
            // All ranks' calls fail now; this is why.
            let _ = done.send(Err(stuck));
            world.abort();
        };
        watch_threads(&boards, settings, stuck, |text| warn(&text))?
    };
    for me in 0..ranks {
        let (world, rank, done) = (world.clone(), rank.clone(), done.clone());
        let watch = Watched { board: boards[me].clone(), lookout: hub.clone().map(watch::Lookout::Hub) };
        std::thread::Builder::new()
            .name(format!("rank {me}"))
            .spawn(move || {
                let result = on_rank_thread(&world, me, threads, watch, |comm| rank(comm));
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
    watched: Watched,
    rank: impl FnOnce(Comm) -> Result<()>,
) -> Result<()> {
    let board = watched.board.clone();
    let result = failure::catching(me, || {
        let _pool = rank_pool(threads)?;
        world.enter(me);
        let watch = Rc::new(Watch::new(watched.board, watched.lookout));
        let engine = Engine::Local(local::Local::world(world, me));
        let result = rank(Comm::world(engine, Rc::new(Clock::default()), watch.clone()));
        watch.leave();
        result
    });
    board.set_life(if result.is_ok() { Life::Returned } else { Life::Failed });
    result
}

/// A rank's board, and who looks at it, if anybody does.
pub(crate) struct Watched {
    pub board: Arc<Board>,
    pub lookout: Option<watch::Lookout>,
}

/// The watch of ranks that are threads of this process; `None` if it is off.
pub(crate) fn watch_threads(
    boards: &Arc<[Arc<Board>]>,
    settings: watch::Settings,
    stuck: impl Fn(Error) + Send + 'static,
    told: impl Fn(String) + Send + 'static,
) -> Result<Option<Arc<Hub>>> {
    if !settings.on {
        return Ok(None);
    }
    let outlets = Outlets { stuck: Box::new(stuck), told: Box::new(told) };
    let node = local::node();
    let hub = Hub::start(boards.clone(), boards.len(), node, settings, None, outlets);
    let (hub, _) = hub.map_err(|error| {
        Error::new(ErrorKind::Setup, format!("cannot start the watch: {error}")).help(
            "raise the limits of threads and open files (ulimit -u, -n), or run without it (--no-watch)",
        )
    })?;
    Ok(Some(Arc::new(hub)))
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
    _settings: watch::Settings,
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
    settings: watch::Settings,
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
                short_version(&mpi::library_version()),
                session.world_size()
            ),
        )
        .help(
            "the launcher and the MPI library that this program is linked with are of different MPIs: use the \
             mpirun of that library, or srun with the --mpi type it was built for; `rankine doctor` shows both",
        ));
    }
    let me = session.world_rank();
    let board = Arc::new(Board::new(me));
    let mut watchman = None;
    let result = failure::catching(me, || {
        let _pool = rank_pool(threads)?;
        let found = watch_processes(&session, &board, settings)?;
        let watch = Rc::new(Watch::new(board.clone(), found.as_ref().map(Watchman::look_out)));
        watchman = found;
        let result = rank(Comm::world(Engine::Mpi(session.comm()), Rc::new(Clock::default()), watch.clone()));
        watch.leave();
        result
    });
    if let Err(error) = result {
        board.set_life(Life::Failed);
        bring_down(&error.on_rank(me));
    }
    board.set_life(Life::Returned);
    if let Some(watchman) = &watchman {
        watchman.wake();
    }
    session.settle()?;
    if let Some(Watchman::Hub(hub)) = &watchman {
        // All have come there.
        hub.all_have_returned();
        // What all ranks have left is told while they can still be asked; meanwhile MPI goes on.
        let mut pause = Duration::from_micros(50);
        while !hub.has_ended() {
            session.progress();
            std::thread::sleep(pause);
            pause = (2 * pause).min(Duration::from_millis(5));
        }
    }
    session.finish()
}

/// This process's side of the watch.
#[cfg(feature = "mpi")]
enum Watchman {
    Hub(Arc<Hub>),
    Member(watch::Member),
}

#[cfg(feature = "mpi")]
impl Watchman {
    /// The rank has returned.
    fn wake(&self) {
        match self {
            Watchman::Hub(hub) => hub.wake(),
            Watchman::Member(member) => member.wake(),
        }
    }

    fn look_out(&self) -> watch::Lookout {
        match self {
            Watchman::Hub(hub) => watch::Lookout::Hub(hub.clone()),
            Watchman::Member(_) => watch::Lookout::Elsewhere,
        }
    }
}

/// Starts the watch of ranks that are processes: rank 0 is the hub. Collective over the job.
#[cfg(feature = "mpi")]
fn watch_processes(
    session: &crate::engine::mpi::Session,
    board: &Arc<Board>,
    settings: watch::Settings,
) -> Result<Option<Watchman>> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    if !settings.on {
        return Ok(None);
    }
    // Nobody watches this.
    let silent = Rc::new(Watch::new(Arc::new(Board::new(board.rank)), None));
    let world = Comm::world(Engine::Mpi(session.comm()), Rc::new(Clock::default()), silent);
    let mut hasher = DefaultHasher::new();
    let node = world.node();
    node.hash(&mut hasher);
    let name = hasher.finish();
    let mut extremes = [name, !name];
    world.allreduce_in_place(&mut extremes, crate::op::Min)?;
    let one_node = extremes[0] == !extremes[1];
    if world.rank() == 0 {
        let start = |host| {
            let boards: Arc<[Arc<Board>]> = [board.clone()].into();
            let outlets =
                Outlets { stuck: Box::new(|stuck| bring_down(&stuck)), told: Box::new(|text| warn(&text)) };
            Hub::start(boards, world.size(), node.clone(), settings, host, outlets)
        };
        let listening =
            watch::Secret::random().and_then(|secret| start(Some((secret, watch::own_addresses(one_node)))));
        // Without sockets the job runs all the same, and its ranks say what they can.
        let (hub, endpoint) = listening.or_else(|_| start(None)).map_err(|error| {
            Error::new(ErrorKind::Setup, format!("cannot start the watch: {error}")).help(
                "raise the limits of threads and open files (ulimit -u, -n), or run without it (--no-watch)",
            )
        })?;
        world.bcast_value(Some(endpoint), 0)?;
        return Ok(Some(Watchman::Hub(Arc::new(hub))));
    }
    let endpoint = world.bcast_value::<Option<watch::Endpoint>>(None, 0)?;
    let member = watch::Member::start(board.clone(), node, settings, endpoint, |text| warn(&text));
    let member = member.map_err(|error| {
        Error::new(ErrorKind::Setup, format!("cannot start the watch: {error}"))
            .help("raise the limit of threads (ulimit -u), or run without it (--no-watch)")
    })?;
    Ok(Some(Watchman::Member(member)))
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

    #[test]
    fn libraries_of_many_words_are_named_by_a_few() {
        let mpich = "MPICH Version:\t4.0.2\nMPICH Release date:\tThu Apr  7 12:34:45 CDT 2022\n";
        assert_eq!(short_version(mpich), "MPICH 4.0.2");
        let open = "Open MPI v4.1.4, package: Debian OpenMPI, ident: 4.1.4, repo rev: v4.1.4, May 26, 2022";
        assert_eq!(short_version(open), "Open MPI v4.1.4");
        assert_eq!(short_version("\nmpirun (Open MPI) 4.1.4\n\nReport bugs to …"), "mpirun (Open MPI) 4.1.4");
        let hydra = "HYDRA build details:\n    Version:          4.0.2\n    Release Date: Thu\n";
        assert_eq!(short_version(hydra), "HYDRA 4.0.2");
        assert_eq!(short_version(" \n"), "it does not say what it is");
    }
}
