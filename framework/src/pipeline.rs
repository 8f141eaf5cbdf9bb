//! `Pipeline`: lines of work that flow through all ranks and their threads, each beginning a line as soon as the one before it has
//! done its part of it.
//!
//! It is for recurrences along an axis that is cut. What is passed on is one value a line; what is computed is the author's.

use crate::comm::{Comm, Element};
use crate::error::{Error, Result};
use crate::timing::Doing;
use std::ops::Range;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Lines that are computed between two looks at the neighbours: few, so that those behind begin soon, and more than one, so
/// that a chain of dependent operations can overlap with those of other lines.
const BLOCK: usize = 16;

const TAG: i32 = 1;

/// Looks at a counter before a thread that waits gives its core away.
const SPINS: usize = 1 << 10;

/// Plans the flow of so many lines through the ranks of a communicator in their order, and within each through its parts, a
/// thread each.
///
/// ```
/// use rankine::Pipeline;
/// // Running sums along rows, whose columns are dealt to ranks: 3 to each.
/// rankine::testing::ranks([1, 2, 3, 4], |world| {
///     let (rows, first) = (50, 3 * world.rank());
///     let mut own: Vec<[f64; 3]> = vec![[1.0; 3]; rows];
///     let mut pipeline = Pipeline::new(world, rows, 1)?;
///     pipeline.run(&mut [&mut own], |own, lines, before, after| {
///         for (i, line) in lines.enumerate() {
///             let mut sum = before.map_or(0.0, |before| before[i]);
///             own[line].iter_mut().for_each(|value| { sum += *value; *value = sum });
///             after[i] = sum;
///         }
///     })?;
///     assert!(own.iter().all(|row| row[2] == (first + 3) as f64));
///     Ok(())
/// });
/// ```
pub struct Pipeline<T> {
    comm: Comm,
    lines: usize,
    per_message: usize,
    block: usize,
    /// What comes from the rank before, for a block of lines.
    before: Vec<T>,
    /// What each part but the last has passed on, and the last one for the next rank.
    passed: Vec<Passed<T>>,
}

/// The values that one part has passed on, by blocks.
struct Passed<T> {
    blocks: Vec<Mutex<Vec<T>>>,
    done: AtomicUsize,
}

impl<T: Element> Pipeline<T> {
    /// For so many lines, of which `per_message` are sent together. Collective.
    ///
    /// # Errors
    /// No line in a message; ranks that disagree.
    #[track_caller]
    pub fn new(comm: &Comm, lines: usize, per_message: usize) -> Result<Pipeline<T>> {
        let place = Location::caller();
        let wrong = || {
            let help = "give every rank the same lines, and at least one to a message";
            Error::usage(format!("pipeline: {lines} lines, {per_message} to a message"))
                .help(help)
                .on_rank(comm.rank())
                .at(place)
        };
        let widest = comm
            .allreduce([lines, usize::MAX - lines, per_message, usize::MAX - per_message], crate::op::Max)?;
        let same = widest[0] == lines && widest[1] == usize::MAX - lines;
        let same = same && widest[2] == per_message && widest[3] == usize::MAX - per_message;
        comm.agree(if same && per_message > 0 { Ok(()) } else { Err(wrong()) })?;
        let block = BLOCK.next_multiple_of(per_message).min(lines.max(1));
        Ok(Pipeline {
            comm: comm.dup()?,
            lines,
            per_message,
            block,
            before: vec![T::zeroed(); block],
            passed: Vec::new(),
        })
    }

    /// Brings all lines through all parts: `work` is given a part, the lines, what the part before passed on for each of
    /// them (nothing on the very first), and where to put what is passed on. A rank's parts are worked on by a thread
    /// each, so it may have as many as threads; every rank has at least one. Every rank calls it.
    ///
    /// # Errors
    /// No part, or more than threads; a failure of the engine, or another rank's.
    #[track_caller]
    pub fn run<P: Send>(
        &mut self,
        parts: &mut [P],
        work: impl Fn(&mut P, Range<usize>, Option<&[T]>, &mut [T]) + Sync,
    ) -> Result<()> {
        let threads = rayon::current_num_threads();
        if parts.is_empty() || parts.len() > threads {
            let what = format!("pipeline: {} parts for {threads} threads", parts.len());
            let error =
                Error::usage(what).help("give each rank one part, or up to as many as it has threads");
            return Err(error.on_rank(self.comm.rank()).at(Location::caller()));
        }
        self.fit(parts.len());
        let Pipeline { comm, passed, before, .. } = self;
        let line = Line { comm, lines: self.lines, per_message: self.per_message, block: self.block, passed };
        let [first, others @ ..] = parts else { return Ok(()) };
        if others.is_empty() {
            return line.alone(first, before, &work);
        }
        let broken = AtomicBool::new(false);
        rayon::in_place_scope(|scope| {
            let _alarm = Alarm(&broken);
            for (number, part) in (1..).zip(others) {
                let (passed, broken, work) = (line.passed, &broken, &work);
                let (lines, block) = (line.lines, line.block);
                scope.spawn(move |_| {
                    let _alarm = Alarm(broken);
                    for (at, range) in blocks(lines, block).enumerate() {
                        if !passed[number - 1].wait(at, broken) {
                            return;
                        }
                        let before = passed[number - 1].values(at);
                        let mut after = passed[number].values(at);
                        work(part, range.clone(), Some(&before[..range.len()]), &mut after[..range.len()]);
                        drop(after);
                        passed[number].done.store(at + 1, Ordering::Release);
                    }
                });
            }
            let done = line.first_of_many(first, before, &work, &broken);
            if done.is_err() {
                // Without its messages the others' waiting has no end.
                broken.store(true, Ordering::Release);
            }
            done
        })
    }

    /// Makes room for what so many parts pass on.
    fn fit(&mut self, parts: usize) {
        let blocks = if parts == 1 { 1 } else { self.lines.div_ceil(self.block) };
        if self.passed.len() != parts {
            let room = || Mutex::new(vec![T::zeroed(); self.block]);
            let passed =
                || Passed { blocks: (0..blocks).map(|_| room()).collect(), done: AtomicUsize::new(0) };
            self.passed = (0..parts).map(|_| passed()).collect();
        }
        self.passed.iter().for_each(|passed| passed.done.store(0, Ordering::Relaxed));
    }
}

/// Ends the waiting of all threads where one panics.
struct Alarm<'a>(&'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Release);
        }
    }
}

fn blocks(lines: usize, block: usize) -> impl Iterator<Item = Range<usize>> {
    (0..lines).step_by(block.max(1)).map(move |start| start..(start + block).min(lines))
}

impl<T> Passed<T> {
    fn values(&self, block: usize) -> MutexGuard<'_, Vec<T>> {
        self.blocks[block].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a block has been passed on; whether it has.
    fn wait(&self, block: usize, broken: &AtomicBool) -> bool {
        let mut looks = 0;
        while self.done.load(Ordering::Acquire) <= block {
            if broken.load(Ordering::Acquire) {
                return false;
            }
            looks += 1;
            if looks % SPINS == 0 {
                std::thread::yield_now();
            }
            std::hint::spin_loop();
        }
        true
    }
}

/// What the rank's own thread needs, which alone communicates.
struct Line<'a, T> {
    comm: &'a Comm,
    lines: usize,
    per_message: usize,
    block: usize,
    passed: &'a [Passed<T>],
}

impl<T: Element> Line<'_, T> {
    fn alone<P>(
        &self,
        part: &mut P,
        before: &mut [T],
        work: &impl Fn(&mut P, Range<usize>, Option<&[T]>, &mut [T]),
    ) -> Result<()> {
        let mut after = self.passed[0].values(0);
        for lines in blocks(self.lines, self.block) {
            let before = self.receive(&mut before[..lines.len()])?;
            let after = &mut after[..lines.len()];
            work(part, lines, before, after);
            self.send(after)?;
        }
        Ok(())
    }

    /// The first of several parts; between its blocks what the last part has passed on is sent.
    fn first_of_many<P>(
        &self,
        part: &mut P,
        before: &mut [T],
        work: &impl Fn(&mut P, Range<usize>, Option<&[T]>, &mut [T]),
        broken: &AtomicBool,
    ) -> Result<()> {
        let last = &self.passed[self.passed.len() - 1];
        let mut sent = blocks(self.lines, self.block).enumerate();
        let send = |(at, lines): (usize, Range<usize>)| self.send(&last.values(at)[..lines.len()]);
        let mut next = sent.next();
        for (at, lines) in blocks(self.lines, self.block).enumerate() {
            let before = self.receive(&mut before[..lines.len()])?;
            work(part, lines.clone(), before, &mut self.passed[0].values(at)[..lines.len()]);
            self.passed[0].done.store(at + 1, Ordering::Release);
            while let Some(block) = next.take_if(|next| last.done.load(Ordering::Acquire) > next.0) {
                send(block)?;
                next = sent.next();
            }
        }
        while let Some(block) = next.take() {
            if !last.wait(block.0, broken) {
                // A thread that panicked: the scope passes its panic on.
                return Ok(());
            }
            send(block)?;
            next = sent.next();
        }
        Ok(())
    }

    fn receive<'b>(&self, before: &'b mut [T]) -> Result<Option<&'b [T]>> {
        let Some(from) = self.comm.rank().checked_sub(1) else { return Ok(None) };
        // One section of the clock for all: a line may take less time than looking at it.
        let _timed = self.comm.clock().communicating(Doing::Waiting);
        for message in before.chunks_mut(self.per_message) {
            self.comm.recv(message, from, TAG)?;
        }
        Ok(Some(before))
    }

    fn send(&self, after: &[T]) -> Result<()> {
        let to = self.comm.rank() + 1;
        if to == self.comm.size() {
            return Ok(());
        }
        let _timed = self.comm.clock().communicating(Doing::Sending);
        after.chunks(self.per_message).try_for_each(|message| self.comm.send(message, to, TAG))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ranks, try_ranks};

    /// Each part multiplies by a prime of its own and adds the line.
    fn flows(comm: &Comm, parts: usize, lines: usize, per_message: usize) -> Result<()> {
        let mut own: Vec<(usize, Vec<u64>)> =
            (0..parts).map(|part| (comm.rank() * parts + part, Vec::new())).collect();
        let mut pipeline = Pipeline::new(comm, lines, per_message)?;
        for _ in 0..3 {
            own.iter_mut().for_each(|part| part.1.clear());
            pipeline.run(&mut own, |(number, seen), lines, before, after| {
                for (i, line) in lines.enumerate() {
                    assert_eq!(before.is_none(), *number == 0);
                    let value = before.map_or(1, |before| before[i]);
                    seen.push(value);
                    after[i] = value * 3 + *number as u64 + line as u64;
                }
            })?;
            for (number, seen) in &own {
                let expected = (0..lines)
                    .map(|line| (0..*number).fold(1u64, |value, part| value * 3 + part as u64 + line as u64));
                assert!(expected.eq(seen.iter().copied()), "part {number} of {parts} a rank");
            }
        }
        Ok(())
    }

    #[test]
    fn lines_flow_through_ranks_and_threads_in_order() {
        for (lines, per_message) in [(0, 1), (1, 1), (15, 1), (16, 4), (100, 7), (100, 1000), (333, 1)] {
            ranks([1, 2, 3, 5], |world| flows(world, 1, lines, per_message));
            for (ranks, threads) in [(1, 2), (2, 2), (3, 3)] {
                let run = crate::Launch::new().ranks(ranks).threads(threads).checked(true);
                run.run(move |world| flows(&world, threads, lines, per_message)).unwrap();
            }
        }
    }

    #[test]
    fn what_cannot_be_is_an_error_on_every_rank() {
        let none = try_ranks(3, true, |world| Pipeline::<f64>::new(world, 5, 0).map(drop)).unwrap_err();
        assert!(none.to_string().contains("5 lines, 0 to a message"), "{none}");
        let other = try_ranks(3, true, |world| Pipeline::<f64>::new(world, 5 + world.rank(), 1).map(drop));
        assert!(other.unwrap_err().to_string().contains("same lines"));
        let parts = try_ranks(2, true, |world| {
            Pipeline::<f64>::new(world, 5, 1)?.run(&mut [(), ()], |_, _, _, _| ())
        });
        assert!(parts.unwrap_err().to_string().contains("2 parts for 1 threads"));
    }

    #[test]
    fn a_thread_that_panics_ends_all_others() {
        for panics in [0, 1, 2] {
            let run = crate::Launch::new().ranks(2).threads(3).run(move |world| {
                let first = world.rank() == 0;
                Pipeline::<f64>::new(&world, 100, 1)?.run(&mut [0, 1, 2], |part, lines, _, _| {
                    assert!(!first || *part != panics || lines.start < 50, "on purpose");
                })
            });
            let error = run.unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Panic, "{error}");
        }
    }
}
