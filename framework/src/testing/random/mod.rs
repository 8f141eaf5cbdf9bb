//! Random programs, correct by construction or with one mistake: how the watch is measured.
//!
//! `draw` makes a program, `fault` breaks it, `model` thinks through what must come of it, `play` runs it and `judge` compares.
//! A program is a list of steps for each rank (`step`), the same for the same seed on every machine.
//!
//! ```
//! use rankine::testing::random::{Expected, Fault, Program, Verdict};
//! use std::time::Duration;
//! let program = Program::new(7);
//! let (patience, limit) = (Duration::from_millis(1), Duration::from_secs(60));
//! assert_eq!(program.expected(), Expected::Finishes);
//! assert_eq!(program.judge(&program.run_on_threads(patience, limit)), Verdict::Finished);
//!
//! let broken = program.with(Fault::EarlyReturn).expect("it has steps");
//! if broken.expected() == Expected::Breaks {
//!     assert_eq!(broken.judge(&broken.run_on_threads(patience, limit)), Verdict::Named);
//! }
//! ```

mod dice;
mod draw;
mod fault;
mod judge;
mod model;
mod play;
mod step;

pub use fault::Fault;
pub use judge::Verdict;

use super::Trial;
use crate::error::Error;
use crate::{Comm, Result};
use dice::Dice;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use step::Step;

/// A program for some ranks.
#[derive(Clone, Debug)]
pub struct Program {
    seed: u64,
    checked: bool,
    /// The world ranks of each communicator.
    members: Vec<Vec<usize>>,
    steps: Vec<Vec<Step>>,
    /// What is wrong with it.
    fault: Option<String>,
}

/// What must come of a program, whatever the order in which its ranks have their turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It ends well.
    Finishes,
    /// Ranks wait for ever, or a call fails.
    Breaks,
    /// The order decides.
    Either,
}

/// What came of a program.
#[derive(Clone, Debug)]
pub enum Observed {
    /// It ended well.
    Finished,
    /// It failed: a call, or the watch that found ranks waiting for each other.
    Failed(Error),
    /// It had done neither when the time was over.
    Hung,
}

/// How many orders of turns are thought through.
const ORDERS: u64 = 16;

/// How many at most, where none of these is what was reported.
const MOST_ORDERS: u64 = 2000;

impl Program {
    /// The correct program of that seed, for 2 to 8 ranks.
    pub fn new(seed: u64) -> Program {
        let ranks = 2 + Dice::new(seed).roll(7);
        Program::on(ranks, seed)
    }

    /// The correct program of that seed for so many ranks: two at least.
    pub fn on(ranks: usize, seed: u64) -> Program {
        let mut dice = Dice::new(seed.wrapping_mul(0x1_0001).wrapping_add(ranks as u64));
        let checked = dice.one_in(2);
        let members = draw::members(&mut dice, ranks.max(2));
        let steps = draw::steps(&mut dice, &members);
        Program { seed, checked, members, steps, fault: None }
    }

    /// The same with one mistake of that kind at a random place; `None` if it has no place for it.
    pub fn with(&self, fault: Fault) -> Option<Program> {
        let mut dice = Dice::new(self.seed ^ 0x5eed_0f00 ^ ((fault as u64) << 48));
        let (program, said) = fault::inject(self, fault, &mut dice)?;
        Some(Program { fault: Some(said), ..program })
    }

    /// How many ranks it is for.
    pub fn ranks(&self) -> usize {
        self.steps.len()
    }

    /// Whether its sends are to wait for their receives, as [`Trial::checked`].
    pub fn is_checked(&self) -> bool {
        self.checked
    }

    /// Whether a rank starts a receive with a wildcard and waits for it later. What such a receive has taken is not known
    /// before it is waited for, and the watch says nothing that it cannot prove.
    pub fn leaves_wildcards_open(&self) -> bool {
        let wild = |step: &Step| matches!(step, Step::StartRecv(side, ..) if side.peer.is_none() || side.tag.is_none());
        self.steps.iter().flatten().any(wild)
    }

    /// How many steps its ranks have.
    pub fn len(&self) -> usize {
        self.steps.iter().map(Vec::len).sum()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What must come of it on the Local engine, thought through without running it.
    pub fn expected(&self) -> Expected {
        let well = self.outcomes(0..ORDERS).iter().filter(|outcome| outcome.is_well()).count();
        match well as u64 {
            ORDERS => Expected::Finishes,
            0 => Expected::Breaks,
            _ => Expected::Either,
        }
    }

    /// Whether a rank returns without waiting for a collective call that it has started: the others' may fail then.
    fn forgets_a_collective(&self) -> bool {
        self.steps.iter().any(|steps| {
            let waits =
                |step: &Step, number| matches!(step, Step::Wait(numbers, _) if numbers.contains(number));
            let mut started = steps.iter().enumerate().filter_map(|(at, step)| match step {
                Step::StartCollect(_, number) => Some((at, number)),
                _ => None,
            });
            started.any(|(at, number)| !steps[at..].iter().any(|step| waits(step, number)))
        })
    }

    fn may_finish(&self, mut orders: Range<u64>) -> bool {
        orders.any(|order| model::outcome(self, order).is_well())
    }

    fn outcomes(&self, orders: Range<u64>) -> Vec<model::Outcome> {
        orders.map(|order| model::outcome(self, order)).collect()
    }

    /// Does this rank's part. Collective over `world`, which has [`Program::ranks`] ranks.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn run(&self, world: &Comm) -> Result<()> {
        play::play(self, world)
    }

    /// Runs it on the Local engine with a watch of that patience, for so long at most. Threads of a program that hangs
    /// stay behind.
    pub fn run_on_threads(&self, patience: Duration, limit: Duration) -> Observed {
        let program = Arc::new(self.clone());
        let (done, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let trial = Trial::new(program.ranks()).checked(program.checked).watch(true).patience(patience);
            // Whoever asked may have stopped waiting.
            let _ = done.send(trial.run(|world| program.run(world)));
        });
        match ended.recv_timeout(limit) {
            Ok(Ok(())) => Observed::Finished,
            Ok(Err(error)) => Observed::Failed(error),
            Err(_) => Observed::Hung,
        }
    }

    /// What there is to say of what came of it.
    pub fn judge(&self, observed: &Observed) -> Verdict {
        // The model knows no calls that fail because of that.
        if let Observed::Failed(error) = observed
            && error.what().contains("has taken back its part")
            && self.forgets_a_collective()
        {
            return Verdict::Named;
        }
        let expected = self.expected();
        let judge =
            |expected, orders| judge::judge(expected, &self.members, &self.outcomes(orders), observed);
        match judge(expected, 0..ORDERS) {
            Verdict::Misnamed(_) => judge(expected, ORDERS..MOST_ORDERS),
            // Whatever comes of some order may come.
            wrong @ (Verdict::False(_) | Verdict::Astonishing) => {
                match judge(Expected::Either, ORDERS..MOST_ORDERS) {
                    Verdict::Named => Verdict::Named,
                    Verdict::Finished if self.may_finish(ORDERS..MOST_ORDERS) => Verdict::Finished,
                    _ => wrong,
                }
            }
            verdict => verdict,
        }
    }

    /// What it does, and what is wrong with it: for people who look for a fault in the watch.
    pub fn describe(&self) -> String {
        let mut text = format!("seed {}, {} ranks, checked {}", self.seed, self.ranks(), self.checked);
        if let Some(fault) = &self.fault {
            text += &format!("\n{fault}");
        }
        for (comm, members) in self.members.iter().enumerate() {
            text += &format!("\ncommunicator {comm}: {members:?}");
        }
        for (rank, steps) in self.steps.iter().enumerate() {
            for (at, step) in steps.iter().enumerate() {
                text += &format!("\nrank {rank} step {at}: {step:?}");
            }
        }
        for order in 0..3 {
            text += &format!("\norder {order}: {:?}", model::outcome(self, order).ends);
        }
        text
    }
}
