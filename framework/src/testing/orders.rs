//! Which order comes next: depth first through all of them, at random, or one that is given.
//!
//! Depth first, orders that differ only in what ranks do that do not meet are run once (sleep sets: Godefroid,
//! "Partial-order methods for the verification of concurrent systems", 1996). What can happen is the engine's business.

use crate::engine::local::{Act, Alternative, Decide, Stop};
use crate::watch::{self, Board};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most that is decided in one run.
const DEEPEST: usize = 20_000;

/// What is wrong with a program that decisions do not determine.
const FICKLE: &str = "run twice in the same order, the program did not do the same: it depends on time, on random \
                      numbers, or on what ranks share besides messages";

/// How decisions are made.
pub(super) enum Guide {
    Search(Search),
    Dice(Dice),
    /// As given, and the first of each that is left.
    Given(Vec<usize>),
}

/// A way through all orders, depth first.
#[derive(Default)]
pub(super) struct Search(Vec<Fork>);

/// Where an order can go on in several ways.
struct Fork {
    alternatives: Vec<Alternative>,
    /// Those that lead to nothing new: what follows has been seen in another order.
    asleep: Vec<Alternative>,
    tried: Vec<usize>,
    chosen: usize,
}

impl Fork {
    fn fresh(&self) -> Option<usize> {
        let fresh =
            |index: &usize| !self.tried.contains(index) && !self.asleep.contains(&self.alternatives[*index]);
        (0..self.alternatives.len()).find(fresh)
    }
}

impl Search {
    fn decide(&mut self, depth: usize, alternatives: &[Alternative], entangled: bool) -> Result<usize, Stop> {
        if let Some(fork) = self.0.get(depth) {
            // Another program than before has other orders.
            return if fork.alternatives == alternatives { Ok(fork.chosen) } else { Err(Stop::Abandoned) };
        }
        let mut asleep = Vec::new();
        if let Some(before) = self.0.last()
            && !entangled
        {
            let now = before.alternatives[before.chosen];
            let seen = before.tried.iter().map(|&tried| before.alternatives[tried]);
            // What one rank decides leaves what others can decide as it was.
            asleep.extend(before.asleep.iter().copied().chain(seen).filter(|other| other.rank != now.rank));
        }
        let mut fork = Fork { alternatives: alternatives.to_vec(), asleep, tried: Vec::new(), chosen: 0 };
        fork.chosen = fork.fresh().ok_or(Stop::Abandoned)?;
        self.0.push(fork);
        Ok(self.0[depth].chosen)
    }

    /// Turns to the next order; whether there is one.
    fn advance(&mut self) -> bool {
        while let Some(fork) = self.0.last_mut() {
            fork.tried.push(fork.chosen);
            if let Some(next) = fork.fresh() {
                fork.chosen = next;
                return true;
            }
            self.0.pop();
        }
        false
    }
}

/// Numbers at random, the same for the same seed on every machine.
pub(super) struct Dice {
    seed: u64,
    state: u64,
}

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice { seed, state: seed }
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

/// One run and how it was decided.
pub(super) struct Trail {
    pub guide: Guide,
    boards: Arc<[Arc<Board>]>,
    depth: usize,
    /// The index that was taken wherever there were several alternatives.
    pub taken: Vec<usize>,
    /// The same in words.
    pub words: Vec<String>,
    /// Why it ended, if not by itself.
    pub stop: Option<Stop>,
    /// What is wrong with the order that was asked for.
    pub wrong: Option<String>,
}

impl Trail {
    pub fn new(guide: Guide) -> Trail {
        let boards: Vec<Arc<Board>> = Vec::new();
        let (taken, words) = (Vec::new(), Vec::new());
        Trail { guide, boards: boards.into(), depth: 0, taken, words, stop: None, wrong: None }
    }

    /// Begins the run of this number, from 0, of ranks with these boards.
    pub fn begin(&mut self, boards: Arc<[Arc<Board>]>, run: usize) {
        (self.boards, self.depth, self.stop) = (boards, 0, None);
        self.taken.clear();
        self.words.clear();
        if let Guide::Dice(dice) = &mut self.guide {
            dice.state = dice.seed ^ (run as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
        }
    }

    /// Whether there is another order to run.
    pub fn advance(&mut self) -> bool {
        match &mut self.guide {
            Guide::Search(search) => search.advance(),
            Guide::Dice(_) => true,
            Guide::Given(_) => false,
        }
    }

    /// The run has come to its end.
    pub fn finish(&mut self) {
        if let Guide::Search(search) = &self.guide
            && self.depth < search.0.len()
        {
            self.wrong = Some(FICKLE.into());
        }
    }

    fn decide(&mut self, alternatives: &[Alternative], entangled: bool) -> Result<usize, Stop> {
        let (depth, count, nth) = (self.depth, alternatives.len(), self.taken.len());
        if depth == DEEPEST {
            return Err(Stop::Polling);
        }
        let index = match &mut self.guide {
            Guide::Search(search) => {
                let known = depth < search.0.len();
                search.decide(depth, alternatives, entangled).inspect_err(|_| {
                    self.wrong = known.then(|| FICKLE.into());
                })?
            }
            _ if count == 1 => 0,
            Guide::Dice(dice) => dice.below(count),
            Guide::Given(given) => match given.get(nth) {
                Some(&index) if index >= count => {
                    self.wrong = Some(format!(
                        "decision {} is {index}, but there are {count} alternatives (from 0): it is of another program",
                        nth + 1
                    ));
                    return Err(Stop::Abandoned);
                }
                given => given.copied().unwrap_or(0),
            },
        };
        self.depth += 1;
        if count > 1 {
            self.taken.push(index);
            self.words.push(self.say(alternatives, index));
        }
        Ok(index)
    }

    /// What was decided, and instead of what.
    fn say(&self, alternatives: &[Alternative], index: usize) -> String {
        let taken = alternatives[index];
        let board = |rank: usize| watch::doing(&self.boards[rank]);
        let others: Vec<String> = alternatives
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index)
            .map(|(_, other)| match other.rank == taken.rank {
                true => act(other.act),
                false => format!("rank {} {}", other.rank, act(other.act)),
            })
            .collect();
        let few = others.iter().take(4).cloned().collect::<Vec<_>>().join("; ");
        let more = if others.len() > 4 { format!("; {} more", others.len() - 4) } else { String::new() };
        format!("rank {}, {}: {}, not: {few}{more}", taken.rank, board(taken.rank), act(taken.act))
    }
}

fn act(act: Act) -> String {
    match act {
        Act::Posted(number, source) => {
            format!("its started receive #{} takes the message of rank {source}", number + 1)
        }
        Act::From(source) => format!("takes the message of rank {source}"),
        Act::Give(index) => format!("gets request {index} of those left"),
        Act::GiveAll => "gets all that are complete".into(),
        Act::Yes => "is told yes".into(),
        Act::No | Act::NotYet => "is told not yet".into(),
        Act::Read => "reads".into(),
        Act::Lock => "gets the lock".into(),
    }
}

/// A trail that the ranks of a run share.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Trail>>);

impl Shared {
    pub fn new(trail: Trail) -> Shared {
        Shared(Arc::new(Mutex::new(trail)))
    }

    pub fn lock(&self) -> MutexGuard<'_, Trail> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Decides for one run, and says why it stopped.
pub(super) struct Decider {
    pub trail: Shared,
    pub stopped: Box<dyn FnMut(Stop) + Send>,
}

impl Decide for Decider {
    fn decide(&mut self, alternatives: &[Alternative], entangled: bool) -> Result<usize, Stop> {
        self.trail.lock().decide(alternatives, entangled)
    }

    fn in_vain(&mut self) -> Result<(), Stop> {
        let boards = self.trail.lock().boards.clone();
        watch::why_stuck(&boards).map_or(Ok(()), |_| Err(Stop::Stuck))
    }

    fn stopped(&mut self, stop: Stop) {
        self.trail.lock().stop = Some(stop);
        (self.stopped)(stop);
    }
}
