//! Who measures: the sides that there are, and their turns.

use super::operation::{Operation, Unit};
use super::pinning::{cores, pin, unpin};
use super::report::Line;
use super::{bare, pages};
use rankine::{Comm, Result, op, testing};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// One of the things that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Two threads without messages; nothing can be faster.
    Bare,
    /// The Local engine, in one process.
    Local,
    /// The Mpi engine.
    Mpi,
    /// C over the same MPI library.
    C,
}

impl Side {
    /// In tables and files.
    pub fn name(self) -> &'static str {
        match self {
            Side::Bare => "bare",
            Side::Local => "Local",
            Side::Mpi => "Mpi",
            Side::C => "C",
        }
    }
}

/// The processes and threads that measure.
pub struct Stage<'w> {
    world: Option<&'w Comm>,
    ranks: usize,
}

impl<'w> Stage<'w> {
    /// All processes of the job.
    pub fn under_launcher(world: &'w Comm) -> Stage<'w> {
        pin(world.rank(), world.size());
        Stage { world: Some(world), ranks: world.size() }
    }

    /// This process alone, with that many threads.
    pub fn alone(ranks: usize) -> Stage<'w> {
        cores();
        Stage { world: None, ranks }
    }

    /// Whether this process prints.
    pub fn speaks(&self) -> bool {
        self.world.is_none_or(|world| world.rank() == 0)
    }

    /// The communicator of all processes.
    pub fn world(&self) -> Option<&'w Comm> {
        self.world
    }

    /// How many ranks each side has.
    pub fn ranks(&self) -> usize {
        self.ranks
    }

    /// The sides there are here.
    pub fn sides(&self) -> &'static [Side] {
        match self.world {
            Some(_) => &[Side::Bare, Side::Local, Side::Mpi, Side::C],
            None => &[Side::Bare, Side::Local],
        }
    }

    /// Measures one operation at one size on all sides in turn. Collective over the processes.
    ///
    /// # Errors
    /// Those of the operation.
    pub fn compare(&self, operation: Operation, bytes: usize, turns: usize, turn: f64) -> Result<Line> {
        let sides = self.sides();
        // What a round takes on each side, from a few of them, decides how many make a turn.
        let mut rounds = vec![4; sides.len()];
        for _ in 0..3 {
            for (side, rounds) in sides.iter().zip(&mut rounds) {
                let seconds = self.turn(*side, operation, bytes, *rounds)? * operation.per_round() as f64;
                *rounds = (turn / seconds.max(1e-9)).clamp(2.0, 200_000.0) as usize;
            }
        }
        let mut line = Line::new(operation, bytes, sides);
        for turn in 0..turns {
            // Every other turn the other way round: what one side leaves in the caches, both find.
            for index in 0..sides.len() {
                let index = if turn % 2 == 0 { index } else { sides.len() - 1 - index };
                let value = match operation.unit() {
                    Unit::Percent => self.hidden(sides[index], bytes, rounds[index])?,
                    _ => self.turn(sides[index], operation, bytes, rounds[index])?,
                };
                line.add(index, value);
            }
        }
        Ok(line)
    }

    /// How much of an exchange goes on while its ranks compute, from 0 to 1.
    fn hidden(&self, side: Side, bytes: usize, rounds: usize) -> Result<f64> {
        let pure = self.turn(side, Operation::Overlap, bytes, rounds)?;
        // A step of the chain takes about four cycles; how long it really takes is measured.
        let steps = (pure * 1e9 / 1.5) as u64 + 1;
        let start = std::time::Instant::now();
        (0..rounds).for_each(|_| super::operation::compute(steps));
        let computing = start.elapsed().as_secs_f64() / rounds as f64;
        let both = self.sample(side, Operation::ExchangeComputing, bytes, rounds, steps)?;
        Ok((1.0 - (both - computing) / pure).clamp(0.0, 1.0))
    }

    fn turn(&self, side: Side, operation: Operation, bytes: usize, rounds: usize) -> Result<f64> {
        self.sample(side, operation, bytes, rounds, 0)
    }

    /// Seconds an operation on the slowest rank; every process gets the same number.
    fn sample(
        &self,
        side: Side,
        operation: Operation,
        bytes: usize,
        rounds: usize,
        computing: u64,
    ) -> Result<f64> {
        let mine = match side {
            Side::Bare | Side::Local if !self.speaks() => 0.0,
            Side::Bare => self.bare(operation, bytes, rounds)?,
            Side::Local => self.local(operation, bytes, rounds, computing)?,
            Side::Mpi | Side::C => self.processes(side, operation, bytes, rounds, computing)?,
        };
        let Some(world) = self.world else { return Ok(mine) };
        // The other processes leave their cores alone while one of them runs threads.
        nap_together(world)?;
        world.allreduce(mine, op::Max)
    }

    fn bare(&self, operation: Operation, bytes: usize, rounds: usize) -> Result<f64> {
        if self.ranks != 2 || cores().len() < 2 || operation.unit() == Unit::Percent {
            return Ok(f64::NAN);
        }
        unpin();
        let seconds =
            if operation.of_two() { bare::message(bytes, rounds) } else { Ok(bare::barrier(rounds)) };
        self.back_to_my_core();
        seconds
    }

    fn local(&self, operation: Operation, bytes: usize, rounds: usize, computing: u64) -> Result<f64> {
        let (slowest, ranks) = (Mutex::new(0.0f64), self.ranks);
        // An engine that saw one core would give way at every wait.
        unpin();
        let ran = testing::try_ranks(ranks, false, |comm| {
            pin(comm.rank(), ranks);
            let seconds = pages::with(operation.needs(bytes, ranks), |pages| {
                operation.run(comm, bytes, rounds, computing, pages)
            })?;
            let mut slowest = slowest.lock().unwrap_or_else(PoisonError::into_inner);
            *slowest = slowest.max(seconds);
            Ok(())
        });
        self.back_to_my_core();
        ran?;
        let seconds = slowest.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(seconds / (rounds * operation.per_round()) as f64)
    }

    #[cfg(feature = "mpi")]
    fn processes(
        &self,
        side: Side,
        operation: Operation,
        bytes: usize,
        rounds: usize,
        computing: u64,
    ) -> Result<f64> {
        let Some(world) = self.world else { return Ok(f64::NAN) };
        let seconds = pages::with(operation.needs(bytes, self.ranks), |pages| match side {
            Side::C => Ok(super::twin::run(operation, bytes, rounds, computing, pages, self.ranks)),
            _ => operation.run(world, bytes, rounds, computing, pages),
        })?;
        Ok(seconds / (rounds * operation.per_round()) as f64)
    }

    #[cfg(not(feature = "mpi"))]
    fn processes(&self, _: Side, _: Operation, _: usize, _: usize, _: u64) -> Result<f64> {
        Ok(f64::NAN)
    }

    fn back_to_my_core(&self) {
        if let Some(world) = self.world {
            pin(world.rank(), world.size());
        }
    }
}

/// A barrier that sleeps instead of spinning.
pub fn nap_together(world: &Comm) -> Result<()> {
    let napping = |from: usize| -> Result<()> {
        while world.iprobe::<u8>(from, 1)?.is_none() {
            std::thread::sleep(Duration::from_micros(200));
        }
        world.recv(&mut [0u8], from, 1).map(drop)
    };
    if world.rank() == 0 {
        (1..world.size()).try_for_each(napping)?;
        return (1..world.size()).try_for_each(|rank| world.send(&[0u8], rank, 1));
    }
    world.send(&[0u8], 0, 1)?;
    napping(0)
}
