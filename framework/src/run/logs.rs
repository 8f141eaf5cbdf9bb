//! What ranks say while they run: a file for each rank, and the warnings of all ranks folded into one.
//!
//! Whoever computes writes `rankine::tracing::info!` and its like, on any rank and on any of its threads. Who does not
//! ask for files pays a comparison for it. What a run tells of itself goes to a [`Reporter`].

use super::directory::LOG;
use super::report::Reporter;
use crate::comm::Comm;
use crate::error::Result;
use crate::output::files::failure;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::dispatcher::{DefaultGuard, Dispatch, set_default};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

/// How much of what ranks say goes to their files, `log/rank-0000.txt` and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing: there are no files.
    Off,
    /// Errors.
    Error,
    /// Warnings, too.
    Warn,
    /// What a person follows a run by.
    Info,
    /// What helps to find a mistake.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    fn filter(self) -> LevelFilter {
        match self {
            LogLevel::Off => LevelFilter::OFF,
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        }
    }
}

/// Different warnings that a rank keeps; more are counted.
const MOST: usize = 100;

/// A rank's warnings since they were last told: how often each.
type Heard = BTreeMap<String, u64>;

/// While it lives, what this rank and its threads say is heard.
pub(super) struct Logs {
    heard: Arc<Mutex<Heard>>,
    /// Whether it listens for files, too.
    twice: bool,
}

thread_local! {
    /// What is listened with on this thread; runs may be nested.
    static LISTENING: RefCell<Vec<DefaultGuard>> = const { RefCell::new(Vec::new()) };
}

/// Does it on every thread of this rank.
fn on_all_threads(work: impl Fn() + Sync) {
    match rayon::current_num_threads() {
        1 => work(),
        _ => drop(rayon::broadcast(|_| work())),
    }
}

fn listen(dispatch: &Dispatch) {
    on_all_threads(|| LISTENING.with_borrow_mut(|all| all.push(set_default(dispatch))));
}

impl Logs {
    /// Begins to listen for warnings. Local.
    pub fn start() -> Logs {
        let logs = Logs { heard: Arc::default(), twice: false };
        listen(&Dispatch::new(Registry::default().with(logs.warnings())));
        logs
    }

    /// The run has a directory: from now on there are files, if they are wanted. Collective.
    ///
    /// # Errors
    /// A file that cannot be made.
    pub fn files(&mut self, comm: &Comm, directory: Option<&Path>, level: Option<LogLevel>) -> Result<()> {
        let level = level.unwrap_or(LogLevel::Off);
        let Some(directory) = directory.filter(|_| level != LogLevel::Off) else { return Ok(()) };
        let file = comm.agree(file_of(directory, comm.rank()))?;
        let to_file = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(Mutex::new(file));
        let to_file = to_file.with_filter(level.filter());
        listen(&Dispatch::new(Registry::default().with(to_file).with(self.warnings())));
        self.twice = true;
        Ok(())
    }

    fn warnings<S: Subscriber + for<'s> LookupSpan<'s>>(&self) -> impl Layer<S> + use<S> {
        Warnings(self.heard.clone()).with_filter(LevelFilter::WARN)
    }

    /// Tells the warnings that have come since, those of all ranks with the same words as one. Collective.
    ///
    /// # Errors
    /// A failure of the engine.
    pub fn fold(&self, comm: &Comm, reporter: &dyn Reporter) -> Result<()> {
        let mine = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        // Mostly there are none.
        if comm.allreduce(mine.len() as u64, crate::op::Sum)? == 0 {
            return Ok(());
        }
        let Some(all) = comm.gather_values(mine, 0)? else { return Ok(()) };
        for warning in folded(&all) {
            reporter.warning(&warning);
        }
        Ok(())
    }

    /// Tells this rank's warnings, where the others cannot be asked any more.
    pub fn own(&self, rank: usize, reporter: &dyn Reporter) {
        let mine = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        for text in mine.keys() {
            reporter.warning(&format!("(rank {rank}): {text}"));
        }
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        let stop = || {
            (0..1 + usize::from(self.twice)).for_each(|_| drop(LISTENING.with_borrow_mut(Vec::pop)));
        };
        // Threads of a rank that panicked go with it.
        if std::thread::panicking() { stop() } else { on_all_threads(stop) }
    }
}

/// The file of a rank, to be gone on with.
fn file_of(directory: &Path, rank: usize) -> Result<File> {
    let path = directory.join(LOG).join(format!("rank-{rank:04}.txt"));
    File::options().append(true).create(true).open(&path).map_err(|error| failure("write", &path, &error))
}

/// What ranks have said, a line for each text.
fn folded(all: &[Heard]) -> Vec<String> {
    let mut texts: BTreeMap<&str, (Vec<usize>, u64)> = BTreeMap::new();
    for (rank, heard) in all.iter().enumerate() {
        for (text, times) in heard {
            let (ranks, total) = texts.entry(text).or_default();
            ranks.push(rank);
            *total += times;
        }
    }
    let said = |(text, (ranks, times)): (&str, (Vec<usize>, u64))| {
        let often = if times > ranks.len() as u64 { format!(" [{times} times]") } else { String::new() };
        format!("({}): {text}{often}", who(&ranks, all.len()))
    };
    texts.into_iter().map(said).collect()
}

/// `rank 3`, `ranks 0-3, 7`, `all 8 ranks`.
fn who(ranks: &[usize], of: usize) -> String {
    match ranks {
        [rank] => return format!("rank {rank}"),
        ranks if ranks.len() == of => return format!("all {of} ranks"),
        _ => {}
    }
    let runs = ranks.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [one] => one.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    });
    format!("ranks {}", runs.collect::<Vec<_>>().join(", "))
}

/// Keeps warnings and errors.
struct Warnings(Arc<Mutex<Heard>>);

impl<S: Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let about = event.metadata();
        let mut text = Text(String::new());
        event.record(&mut text);
        if *about.level() == Level::ERROR {
            text.0.insert_str(0, "error: ");
        }
        if let (Some(file), Some(line)) = (about.file(), about.line()) {
            // Writing to a String cannot fail.
            let _ = write!(text.0, " ({file}:{line})");
        }
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() >= MOST && !heard.contains_key(&text.0) {
            text.0 = format!("more than {MOST} different warnings; --log warn keeps all in log/");
        }
        *heard.entry(text.0).or_default() += 1;
    }
}

/// The message, and what else was recorded behind it.
struct Text(String);

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.0.insert_str(0, value),
            name => drop(write!(self.0, " {name}={value}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "message" => self.0.insert_str(0, &format!("{value:?}")),
            name => drop(write!(self.0, " {name}={value:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ranks;

    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);

    impl Reporter for Told {
        fn warning(&self, text: &str) {
            self.0.lock().unwrap().push(text.to_string());
        }
    }

    #[test]
    fn ranks_are_said_in_runs() {
        assert_eq!(who(&[3], 8), "rank 3");
        assert_eq!(who(&[0, 1, 2, 3, 7], 9), "ranks 0-3, 7");
        assert_eq!(who(&[0, 1, 4], 9), "ranks 0-1, 4");
        assert_eq!(who(&[0, 1], 2), "all 2 ranks");
    }

    #[test]
    fn warnings_of_all_ranks_are_one_and_every_rank_has_a_file() {
        let folder = tempfile::tempdir().unwrap();
        ranks([1, 2, 3, 4], |world| {
            let run = folder.path().join(world.size().to_string());
            if world.rank() == 0 {
                std::fs::create_dir_all(run.join(LOG)).unwrap();
            }
            world.barrier()?;
            let told = Told::default();
            let mut logs = Logs::start();
            logs.files(world, Some(&run), Some(LogLevel::Info))?;
            logs.fold(world, &told)?;
            assert!(told.0.lock().unwrap().is_empty());
            tracing::warn!(cells = 3, "too few cells");
            tracing::info!("rank {} has begun", world.rank());
            tracing::debug!("nobody wants to know");
            if world.rank() == 0 {
                (0..2).for_each(|_| tracing::error!("only here"));
            }
            logs.fold(world, &told)?;
            logs.fold(world, &told)?;
            drop(logs);
            tracing::warn!("nobody listens any more");
            let told = told.0.into_inner().unwrap();
            if world.rank() > 0 {
                assert!(told.is_empty());
            } else {
                let all = match world.size() {
                    1 => "rank 0".to_string(),
                    n => format!("all {n} ranks"),
                };
                assert_eq!(told.len(), 2, "{told:?}");
                assert!(
                    told[0].starts_with("(rank 0): error: only here (framework/src/run/logs.rs:"),
                    "{told:?}"
                );
                assert!(told[0].ends_with(" [2 times]"), "{told:?}");
                assert!(told[1].starts_with(&format!("({all}): too few cells cells=3 (")), "{told:?}");
            }
            let file =
                std::fs::read_to_string(run.join(format!("log/rank-{:04}.txt", world.rank()))).unwrap();
            assert!(
                file.contains(&format!("INFO rankine::run::logs::tests: rank {} has begun", world.rank())),
                "{file}"
            );
            assert!(file.contains("WARN") && !file.contains("nobody"), "{file}");
            Ok(())
        });
    }

    #[test]
    fn threads_of_a_rank_are_heard_too() {
        let told = Arc::new(Told::default());
        let hears = told.clone();
        crate::Launch::new()
            .ranks(2)
            .threads(3)
            .run(move |world| {
                let logs = Logs::start();
                rayon::broadcast(|_| tracing::warn!("from a thread"));
                logs.fold(&world, &*hears)
            })
            .unwrap();
        let told = told.0.lock().unwrap();
        assert!(told.len() == 1 && told[0].ends_with("[6 times]"), "{told:?}");
    }

    #[test]
    fn different_warnings_have_an_end() {
        ranks([2], |world| {
            let logs = Logs::start();
            for step in 0..1000 {
                tracing::warn!("step {step}");
            }
            let told = Told::default();
            logs.fold(world, &told)?;
            let told = told.0.into_inner().unwrap();
            assert!(told.len() <= MOST + 1, "{}", told.len());
            assert!(world.rank() > 0 || told.iter().any(|text| text.contains("more than 100")), "{told:?}");
            Ok(())
        });
    }
}
