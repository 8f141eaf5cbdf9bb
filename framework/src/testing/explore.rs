//! A test run once for every order in which its messages could come.
//!
//! Ranks take turns (`engine/local/turns.rs`), so a run depends on nothing but what is decided where several things could
//! happen; `orders` decides. A run that fails is known by its decisions.

use super::Trial;
use super::orders::{Decider, Dice, Guide, Search, Shared, Trail};
use crate::comm::Comm;
use crate::engine::local::{self, Stop};
use crate::error::{Error, ErrorKind, Result};
use crate::launch::{Watched, first_failure, on_rank_thread};
use crate::watch::{self, Lookout};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The most orders that [`Orders::All`] runs.
const ALL: usize = 100_000;

/// Which orders of a test's messages are run; see [`explore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orders {
    /// All. More than 100,000 are an error: then fewer ranks or messages show as much.
    All,
    /// At most so many, depth first.
    AtMost(usize),
    /// As many as `runs`, decided at random; the same for the same seed. An order may come twice.
    Random {
        /// Where the random numbers begin.
        seed: u64,
        /// How many.
        runs: usize,
    },
}

/// What has been explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explored {
    /// How many orders were run, each once but for random ones.
    pub runs: usize,
    /// Whether they are all there are.
    pub complete: bool,
}

/// A run that failed, and the order that led there.
#[derive(Debug)]
pub struct FailingOrder {
    /// What went wrong.
    pub error: Error,
    /// The order, for [`replay`]: which alternative was taken wherever there were several, such as `0.2.1`.
    pub decisions: String,
    /// The same in words: what happened, and what could have happened instead.
    pub words: Vec<String>,
    /// How many runs it took to find it.
    pub runs: usize,
    ranks: usize,
}

impl fmt::Display for FailingOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FailingOrder { error, decisions, words, runs, ranks } = self;
        writeln!(f, "with {ranks} ranks, in run {runs}: {error}")?;
        if words.is_empty() {
            return write!(f, "  nothing had to be decided before: it is so in every order");
        }
        writeln!(f, "  the order that led there: {decisions:?}")?;
        for (number, words) in words.iter().enumerate() {
            writeln!(f, "    {}. {words}", number + 1)?;
        }
        write!(
            f,
            "  again: testing::replay({ranks}, {decisions:?}, ...), or this test alone with RANKINE_REPLAY={decisions}"
        )
    }
}

impl std::error::Error for FailingOrder {}

/// Runs `rank` on so many ranks once for each order in which its messages could come, and panics with the first failure:
/// an error or a panic of a rank, or ranks that wait for each other, which is found at once. The failure says the order that
/// led there; [`replay`] runs it again, and so does the test itself where `RANKINE_REPLAY` says an order.
///
/// Here the first message need not be that of rank 1:
///
/// ```
/// use rankine::testing::{Orders, Trial};
/// use rankine::{ANY_SOURCE, Comm, Result};
/// fn race(world: &Comm) -> Result<()> {
///     if world.rank() > 0 {
///         return world.send(&[world.rank()], 0, 7);
///     }
///     let (mut first, mut second) = ([0usize], [0usize]);
///     world.recv(&mut first, ANY_SOURCE, 7)?;
///     world.recv(&mut second, ANY_SOURCE, 7)?;
///     assert_eq!((first, second), ([1], [2]));
///     Ok(())
/// }
/// let found = Trial::new(3).explore(Orders::All, race).unwrap_err();
/// assert_eq!((found.runs, &found.decisions[..]), (2, "1"));
/// assert!(Trial::new(3).replay("1", race).is_err());
/// assert!(Trial::new(3).replay("0", race).is_ok());
/// ```
///
/// and here that is no matter:
///
/// ```
/// use rankine::testing::{Orders, explore};
/// let explored = explore(4, Orders::All, |world| {
///     let mut sum = world.rank();
///     if world.rank() > 0 {
///         return world.send(&[sum], 0, 7);
///     }
///     for _ in 1..world.size() {
///         let mut part = [0];
///         world.recv(&mut part, rankine::ANY_SOURCE, 7)?;
///         sum += part[0];
///     }
///     assert_eq!(sum, 6);
///     Ok(())
/// });
/// // Three messages in any order.
/// assert_eq!((explored.runs, explored.complete), (6, true));
/// ```
///
/// **What is explored.** Which rank's message a receive or probe takes that takes any rank's, also one that was started
/// before; which complete request [`wait_any`](crate::Requests::wait_any), [`wait_some`](crate::Requests::wait_some) and
/// their tests give back (of `some`, each alone and all together); whether a test or probe that does not wait says yes or
/// not yet, if it could say either (`not yet` once in a row); who gets a window's lock first. Sends wait for their
/// receives; with [`Trial::checked`]`(false)` those up to 64 KiB do not, and that may be other orders. Orders that
/// differ only in what ranks do that do not meet are the same, and run once.
///
/// **What is not.** The order of accesses to a window that no lock keeps apart, and what ranks share besides messages: each
/// runs alone until it waits, so data races do not show, and a rank that waits for another by other means (a mutex, a
/// channel, a flag) waits for ever. A started operation that is taken back is so before its message comes. What the
/// framework does inside its own calls runs in one order. A closure must do the same each time but for the order of messages: no
/// time, no randomness of its own.
///
/// The number of orders grows as a factorial: four messages to one wildcard are 24, ten are millions. So explore with
/// few ranks and few steps, where [`Orders::Random`] is for more.
#[track_caller]
pub fn explore(ranks: usize, orders: Orders, rank: impl Fn(&Comm) -> Result<()> + Send + Sync) -> Explored {
    match Trial::new(ranks).explore(orders, rank) {
        Ok(explored) => explored,
        Err(found) => panic!("{found}"),
    }
}

/// Runs `rank` once, in the order that a failure of [`explore`] has said, and panics if it fails.
///
/// ```should_panic
/// rankine::testing::replay(3, "1", |world| {
///     if world.rank() > 0 {
///         return world.send(&[world.rank()], 0, 7);
///     }
///     let (first, _) = world.recv_vec(rankine::ANY_SOURCE, 7)?;
///     let (second, _) = world.recv_vec(rankine::ANY_SOURCE, 7)?;
///     assert_eq!((first, second), (vec![1], vec![2]));
///     Ok(())
/// });
/// ```
#[track_caller]
pub fn replay(ranks: usize, decisions: &str, rank: impl Fn(&Comm) -> Result<()> + Send + Sync) {
    if let Err(found) = Trial::new(ranks).replay(decisions, rank) {
        panic!("{found}");
    }
}

impl Trial {
    /// As [`explore`], checked or not. Patience does not matter: ranks that wait for each other are found at once.
    ///
    /// # Errors
    /// The first run that fails; with [`Orders::All`], more orders than it runs.
    pub fn explore(
        &self,
        orders: Orders,
        rank: impl Fn(&Comm) -> Result<()> + Send + Sync,
    ) -> Result<Explored, FailingOrder> {
        if let Some(decisions) = std::env::var_os("RANKINE_REPLAY") {
            self.replay(&decisions.to_string_lossy(), rank)?;
            return Ok(Explored { runs: 1, complete: false });
        }
        let (guide, most) = match orders {
            Orders::All => (Guide::Search(Search::default()), ALL),
            Orders::AtMost(most) => (Guide::Search(Search::default()), most),
            Orders::Random { seed, runs } => (Guide::Dice(Dice::new(seed)), runs),
        };
        let trail = Shared::new(Trail::new(guide));
        let mut runs = 0;
        while runs < most {
            // One that has been seen in another order does not count.
            runs += usize::from(self.run_along(&trail, runs, &rank)?);
            if !trail.lock().advance() {
                return Ok(Explored { runs, complete: true });
            }
        }
        if orders == Orders::All {
            let error = Error::new(ErrorKind::Usage, format!("there are more than {ALL} orders"))
                .help("explore fewer ranks or steps, or some of the orders with Orders::Random");
            return Err(self.failing(&trail, error, runs));
        }
        Ok(Explored { runs, complete: false })
    }

    /// As [`replay`], checked or not.
    ///
    /// # Errors
    /// The failure; decisions that this program does not have.
    pub fn replay(
        &self,
        decisions: &str,
        rank: impl Fn(&Comm) -> Result<()> + Send + Sync,
    ) -> Result<(), FailingOrder> {
        let numbers = decisions.split('.').filter(|number| !number.is_empty());
        let given: Result<Vec<usize>, _> = numbers.map(|number| number.trim().parse()).collect();
        let trail = Shared::new(Trail::new(Guide::Given(given.as_ref().cloned().unwrap_or_default())));
        match given {
            Ok(_) => self.run_along(&trail, 0, &rank).map(drop),
            Err(_) => {
                let error = Error::usage(format!("{decisions:?} is no order"))
                    .help("give what a failure has said, such as 0.2.1");
                Err(self.failing(&trail, error, 0))
            }
        }
    }

    /// Runs once; whether to the end.
    fn run_along(
        &self,
        trail: &Shared,
        runs: usize,
        rank: &(impl Fn(&Comm) -> Result<()> + Send + Sync),
    ) -> Result<bool, FailingOrder> {
        let boards = watch::boards(self.size);
        trail.lock().begin(boards.clone(), runs);
        // The first that fails; others may fail because of it.
        let failed = Arc::new(Mutex::new(None));
        let fail = {
            let failed = failed.clone();
            move |error: Error| {
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        };
        let stopped = {
            let (boards, fail) = (boards.clone(), fail.clone());
            move |stop| fail(reason(stop, &boards))
        };
        let decider = Decider { trail: trail.clone(), stopped: Box::new(stopped) };
        let world = local::World::in_turns(self.size, self.checked, Box::new(decider));
        let results: Vec<Result<()>> = std::thread::scope(|threads| {
            let handles: Vec<_> = (0..self.size)
                .map(|me| {
                    let (world, fail) = (world.clone(), fail.clone());
                    let watched = Watched { board: boards[me].clone(), lookout: Some(Lookout::Elsewhere) };
                    threads.spawn(move || {
                        let result = on_rank_thread(&world, me, 1, watched, |comm| rank(&comm));
                        if let Err(error) = &result {
                            if error.kind() != ErrorKind::Elsewhere {
                                fail(error.clone());
                            }
                            world.abort();
                        }
                        world.leave(me);
                        result
                    })
                })
                .collect();
            handles.into_iter().map(|handle| handle.join().expect("panics are caught on the rank")).collect()
        });
        let (stop, wrong) = {
            let mut trail = trail.lock();
            if results.iter().all(Result::is_ok) {
                trail.finish();
            }
            (trail.stop, trail.wrong.take())
        };
        let failed = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let error = match (stop, wrong) {
            (_, Some(wrong)) => Some(Error::usage(wrong)),
            (Some(Stop::Abandoned), None) => return Ok(false),
            _ => failed.or_else(|| first_failure(results.into_iter()).err()),
        };
        match error {
            Some(error) => Err(self.failing(trail, error, runs + 1)),
            None => Ok(true),
        }
    }

    fn failing(&self, trail: &Shared, error: Error, runs: usize) -> FailingOrder {
        let trail = trail.lock();
        let decisions: Vec<String> = trail.taken.iter().map(usize::to_string).collect();
        let (decisions, words) = (decisions.join("."), trail.words.clone());
        FailingOrder { error, decisions, words, runs, ranks: self.size }
    }
}

/// Why a run stopped.
fn reason(stop: Stop, boards: &[Arc<watch::Board>]) -> Error {
    let all = || {
        let doing = boards.iter().map(|board| format!("\n  rank {}  {}", board.rank, watch::doing(board)));
        doing.collect::<String>()
    };
    match stop {
        Stop::Polling => {
            let what = format!("ranks ask again and again, and nothing else happens{}", all());
            Error::new(ErrorKind::Deadlock, what)
                .help("a loop of tests or probes must end, or do what brings the others on")
        }
        _ => watch::why_stuck(boards)
            .unwrap_or_else(|| Error::new(ErrorKind::Deadlock, format!("no rank can go on{}", all()))),
    }
}
