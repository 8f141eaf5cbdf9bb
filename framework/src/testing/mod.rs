//! Ranks inside an ordinary `cargo test`.
//!
//! The Local engine, started and joined for one closure; jobs start with `launch`. [`explore`] does so once for every
//! order in which the messages could come; random programs are in [`random`].

mod explore;
mod orders;
pub mod random;

pub use explore::{Explored, FailingOrder, Orders, explore, replay};

use crate::comm::Comm;
use crate::engine::local;
use crate::error::Result;
use crate::launch::{Watched, first_failure, on_rank_thread, watch_settings, watch_threads};
use crate::watch::{self, Lookout};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Runs `rank` on worlds of each of these sizes, one after the other, and panics with the first failing rank's
/// error. Sends are checked: they wait for their receive, so programs that only work while messages are small
/// fail here.
///
/// ```
/// rankine::testing::ranks([1, 2, 3, 4], |world| {
///     world.barrier()
/// });
/// ```
#[track_caller]
pub fn ranks(sizes: impl IntoIterator<Item = usize>, rank: impl Fn(&Comm) -> Result<()> + Send + Sync) {
    for size in sizes {
        if let Err(error) = try_ranks(size, true, &rank) {
            panic!("with {size} ranks: {error}");
        }
    }
}

/// Runs `rank` on `size` ranks and gives the first failure back, for tests of failures. `checked` as in
/// [`Launch::checked`](crate::Launch::checked).
///
/// # Errors
/// The first failure of a rank; the other ranks' calls fail once it is known.
pub fn try_ranks(size: usize, checked: bool, rank: impl Fn(&Comm) -> Result<()> + Send + Sync) -> Result<()> {
    Trial::new(size).checked(checked).run(rank)
}

/// Ranks to be run in a test, with what [`try_ranks`] takes for granted.
///
/// ```
/// use std::time::Duration;
/// // Each waits for the other's message first.
/// let trial = rankine::testing::Trial::new(2).patience(Duration::from_millis(50));
/// let error = trial.run(|world| {
///     let other = 1 - world.rank();
///     let (mut theirs, mine) = ([0.0], [1.0]);
///     world.recv(&mut theirs, other, 7)?;
///     world.send(&mine, other, 7)
/// }).unwrap_err();
/// assert_eq!(error.kind(), rankine::ErrorKind::Deadlock);
/// assert!(error.what().starts_with("ranks 0 and 1 wait for each other"), "{error}");
/// ```
#[derive(Clone, Debug)]
pub struct Trial {
    size: usize,
    checked: bool,
    watch: Option<bool>,
    patience: Option<Duration>,
}

impl Trial {
    /// So many ranks, checked and watched.
    pub fn new(size: usize) -> Trial {
        Trial { size: size.max(1), checked: true, watch: None, patience: None }
    }

    /// As [`Launch::checked`](crate::Launch::checked).
    pub fn checked(mut self, checked: bool) -> Trial {
        self.checked = checked;
        self
    }

    /// As [`Launch::watch`](crate::Launch::watch).
    pub fn watch(mut self, watch: bool) -> Trial {
        self.watch = Some(watch);
        self
    }

    /// As [`Launch::patience`](crate::Launch::patience).
    pub fn patience(mut self, patience: Duration) -> Trial {
        self.patience = Some(patience);
        self
    }

    /// Runs `rank` on all of them.
    ///
    /// # Errors
    /// The first failure of a rank, or that they wait for each other.
    pub fn run(&self, rank: impl Fn(&Comm) -> Result<()> + Send + Sync) -> Result<()> {
        self.run_and_warn(&mut Vec::new(), rank)
    }

    /// As [`Trial::run`]; also what a job warns of at its end: messages that nobody has received, requests and windows
    /// that nobody has ended.
    ///
    /// ```
    /// let trial = rankine::testing::Trial::new(2).checked(false);
    /// let mut warnings = Vec::new();
    /// trial.run_and_warn(&mut warnings, |world| match world.rank() {
    ///     0 => world.send(&[1.0], 1, 7),
    ///     _ => Ok(()),
    /// })?;
    /// assert!(warnings[0].starts_with("rank 1 has never received a message from rank 0, tag 7"), "{warnings:?}");
    /// # Ok::<(), rankine::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Trial::run`].
    pub fn run_and_warn(
        &self,
        warnings: &mut Vec<String>,
        rank: impl Fn(&Comm) -> Result<()> + Send + Sync,
    ) -> Result<()> {
        let world = local::World::new(self.size, 1, self.checked);
        let settings = watch_settings(self.watch, self.patience)?;
        let boards = watch::boards(self.size);
        let (stuck, told) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(Vec::new())));
        let hub = {
            let (world, stuck, told) = (world.clone(), stuck.clone(), told.clone());
            let stuck = move |error| {
                *stuck.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                world.abort();
            };
            let told = move |text| told.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            watch_threads(&boards, settings, stuck, told)?
        };
        let rank = &rank;
        let results: Vec<Result<()>> = std::thread::scope(|threads| {
            let handles: Vec<_> = (0..self.size)
                .map(|me| {
                    let lookout = hub.clone().map(Lookout::Hub);
                    let (world, watched) = (world.clone(), Watched { board: boards[me].clone(), lookout });
                    threads.spawn(move || {
                        let result = on_rank_thread(&world, me, 1, watched, |comm| rank(&comm));
                        if result.is_err() {
                            world.abort();
                        }
                        result
                    })
                })
                .collect();
            handles.into_iter().map(|handle| handle.join().expect("panics are caught on the rank")).collect()
        });
        if let Some(hub) = &hub
            && results.iter().all(Result::is_ok)
        {
            // What the ranks have left is told once all have returned.
            hub.wait_for_end();
        }
        drop(hub);
        let told = std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner));
        *warnings = told.iter().flat_map(|text| text.lines()).map(str::to_string).collect();
        match stuck.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => first_failure(results.into_iter()),
        }
    }
}
