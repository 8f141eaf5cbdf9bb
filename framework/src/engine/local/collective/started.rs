//! Nonblocking collectives with a record: the last to start makes it happen, and whoever waits or tests helps.
//!
//! The record of an operation is made by the first to come, and every rank puts its part there under the
//! communicator's lock. The last one compares the parts and lays the work
//! out as tasks; no rank has to run for it to come to its end but those that have claimed some. No user code runs
//! under the lock.

use super::check::{self, Claim, Misfit};
use super::part::{Blocks, Part};
use super::sync::{AtomicU32, Ordering, UnsafeCell};
use super::tasks::Tasks;
use super::work::{self, Cut, Work};
use crate::engine::local::Local;
use crate::engine::local::request::SENT;
use crate::engine::{Collective, Envelope, Fault, Layout, Outcome, Reduction, Span};
use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::sync::{Arc, MutexGuard, PoisonError};

/// Records of operations kept for use again.
const KEPT: usize = 8;

/// The operations that some rank has not started yet, with their numbers and in the order of those.
pub(super) struct Started {
    operations: VecDeque<(u64, Arc<Operation>)>,
    idle: Vec<Arc<Operation>>,
}

impl Started {
    pub fn new() -> Started {
        Started { operations: VecDeque::new(), idle: Vec::new() }
    }

    fn find(&self, number: u64) -> Result<usize, usize> {
        self.operations.binary_search_by_key(&number, |operation| operation.0)
    }

    /// The record of operation `number`, which the caller has not started before.
    fn operation(&mut self, number: u64, size: usize) -> Arc<Operation> {
        let index = self.find(number).unwrap_or_else(|index| {
            let operation = self.idle.pop().unwrap_or_else(|| Arc::new(Operation::new(size)));
            self.operations.insert(index, (number, operation));
            index
        });
        self.operations[index].1.clone()
    }

    /// No more rank will come to it.
    fn remove(&mut self, number: u64) {
        if let Ok(index) = self.find(number) {
            self.operations.remove(index);
        }
    }
}

/// What a rank brings.
struct Card {
    claim: Claim,
    part: Part,
    /// The part's spans: those of what is sent, then of what is received.
    spans: Vec<Span>,
    op: Option<Reduction>,
}

/// What the last to start found.
enum Found {
    Work(Cut),
    Misfit(Option<Misfit>),
}

/// One operation. `state` says who may look at what.
struct Operation {
    state: AtomicU32,
    /// How many ranks have started it; under the lock.
    arrived: AtomicU32,
    /// How many ranks are through with it.
    left: AtomicU32,
    cards: Box<[UnsafeCell<Option<Card>>]>,
    found: UnsafeCell<Found>,
    tasks: Tasks,
}

/// Ranks put their cards there, under the lock.
const GATHERING: u32 = 0;
/// All have started it: cards and `found` are only read; there may be tasks.
const UNDER_WAY: u32 = 1;
/// A rank has taken its part back before all had started: nobody looks at cards. The rank's number is added.
const DEAD: u32 = 2;

// SAFETY: cards are written under the lock while the state is GATHERING, `found` by the last to arrive, and both are
// read only once the state is UNDER_WAY. The pointers on the cards are followed only by units of the tasks, and no owner is
// through before those are over.
unsafe impl Sync for Operation {}
// SAFETY: as above.
unsafe impl Send for Operation {}

impl Operation {
    fn new(size: usize) -> Operation {
        Operation {
            state: AtomicU32::new(GATHERING),
            arrived: AtomicU32::new(0),
            left: AtomicU32::new(0),
            cards: (0..size).map(|_| UnsafeCell::new(None)).collect(),
            found: UnsafeCell::new(Found::Misfit(None)),
            tasks: Tasks::new(),
        }
    }

    fn state(&self) -> u32 {
        self.state.load(Ordering::Acquire)
    }

    /// A rank's card, once the operation is under way.
    fn card(&self, rank: usize) -> &Card {
        // SAFETY: nobody writes it now.
        match self.cards[rank].with(|card| unsafe { (*card).as_ref() }) {
            Some(card) => card,
            None => unreachable!("every rank has brought a card"),
        }
    }

    /// What the last to start found, once the operation is under way.
    fn found(&self) -> &Found {
        // SAFETY: nobody writes it now.
        self.found.with(|found| unsafe { &*found })
    }

    /// Whether there is nothing more to wait for.
    fn over(&self) -> bool {
        match self.state() {
            GATHERING => false,
            UNDER_WAY => self.tasks.over(),
            _ => true,
        }
    }

    /// Whether a rank that waits has something to do.
    fn stirs(&self) -> bool {
        match self.state() {
            GATHERING => false,
            UNDER_WAY => self.tasks.over() || self.tasks.any_left(),
            _ => true,
        }
    }
}

/// A rank's share in an operation.
pub(crate) struct Recorded {
    number: u64,
    operation: Arc<Operation>,
    /// Whether this rank is through with it.
    left: bool,
}

impl Local {
    /// Puts this rank's part on the record of the operation.
    ///
    /// # Safety
    /// As [`Local::start`].
    pub(super) unsafe fn join_record(
        &self,
        number: u64,
        part: Part,
        claim: Claim,
        call: &Collective<'_>,
    ) -> Recorded {
        let size = self.size();
        let mut started = self.started();
        let operation = started.operation(number, size);
        if operation.state() == GATHERING {
            operation.cards[self.rank].with_mut(|card| {
                // SAFETY: under the lock, in this state.
                let card = unsafe { &mut *card };
                let mut spans = card.take().map_or(Vec::new(), |card| card.spans);
                let part = keep_spans(part, call, &mut spans);
                *card = Some(Card { claim, part, spans, op: call.op.copied() });
            });
        }
        let arrived = operation.arrived.load(Ordering::Relaxed) + 1;
        operation.arrived.store(arrived, Ordering::Relaxed);
        let last = arrived as usize == size;
        if last {
            started.remove(number);
        }
        drop(started);
        let mut recorded = Recorded { number, operation, left: false };
        if last && recorded.operation.state() == GATHERING {
            self.set_under_way(&recorded);
            // SAFETY: the caller's promise, and that of all who started it.
            if let Err(payload) = unsafe { self.help_along(&recorded) } {
                self.see_over(&recorded);
                self.leave(&mut recorded);
                resume_unwind(payload);
            }
        }
        recorded
    }

    fn started(&self) -> MutexGuard<'_, Started> {
        self.group.meeting.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compares the parts and lays out the work. By the last to start, when nobody can take back any more.
    fn set_under_way(&self, recorded: &Recorded) {
        let (operation, size) = (&*recorded.operation, self.size());
        // Nobody but us looks at cards between the last arrival and the new state.
        let first = operation.card(0);
        let found = if (1..size).any(|rank| !check::same(&operation.card(rank).claim, &first.claim)) {
            Found::Misfit(None)
        } else {
            // SAFETY: one call with one root; the spans are on the cards.
            match unsafe { check::misfit(size, |rank| &operation.card(rank).part) } {
                Some(misfit) => Found::Misfit(Some(misfit)),
                None => {
                    let part = |rank: usize| &operation.card(rank).part;
                    // SAFETY: as above.
                    Found::Work(unsafe {
                        Work { size, part: &part, op: operation.card(self.rank).op.as_ref() }.cut()
                    })
                }
            }
        };
        let units = match &found {
            Found::Work(cut) => {
                operation.tasks.lay_out(cut.units(), cut.batch());
                cut.units()
            }
            Found::Misfit(_) => {
                operation.tasks.lay_out(0, 1);
                0
            }
        };
        // SAFETY: nobody reads it before the new state.
        operation.found.with_mut(|at| unsafe { *at = found });
        operation.state.store(UNDER_WAY, Ordering::Release);
        let alone = matches!(operation.found(), Found::Work(cut) if units <= cut.batch());
        if units == 0 || !alone {
            self.wake_members();
        }
    }

    /// Does what there is to do.
    ///
    /// # Safety
    /// Every rank that started it keeps its promise until it is through.
    unsafe fn help_along(&self, recorded: &Recorded) -> std::thread::Result<()> {
        let operation = &*recorded.operation;
        if operation.state() != UNDER_WAY {
            return Ok(());
        }
        let Found::Work(cut) = operation.found() else { return Ok(()) };
        let part = |rank: usize| &operation.card(rank).part;
        let work = Work { size: self.size(), part: &part, op: operation.card(self.rank).op.as_ref() };
        // SAFETY: the caller's promise.
        unsafe { self.help(&operation.tasks, &work, cut) }
    }

    /// Waits until the operation, which is under way, is over: no user code stands between but a reduction's.
    fn see_over(&self, recorded: &Recorded) {
        while !recorded.operation.over() {
            if self.world.wait(self.me, || recorded.operation.over()).is_err() {
                std::thread::yield_now();
            }
        }
    }

    /// Whether there is something to do for it, or nothing more.
    pub(super) fn record_stirs(&self, recorded: &Recorded) -> bool {
        recorded.operation.stirs() || self.unmet(recorded).is_some()
    }

    /// What this rank is told if others do not come to the record, because to them it is a small operation.
    fn unmet(&self, recorded: &Recorded) -> Option<String> {
        match recorded.operation.state() {
            UNDER_WAY => None,
            _ => self.told_by_notices(recorded.number),
        }
    }

    /// Helps, and looks whether it is over.
    pub(super) fn peek_recorded(&self, recorded: &mut Recorded) -> Option<Outcome<Envelope>> {
        // SAFETY: who started it has promised to keep its buffers until it is through.
        let helped = unsafe { self.help_along(recorded) };
        if let Err(payload) = helped {
            self.see_over(recorded);
            self.leave(recorded);
            resume_unwind(payload);
        }
        if let Some(told) = self.unmet(recorded) {
            self.leave_unmet(recorded);
            return Some(Err(Fault::Mismatch(told)));
        }
        recorded.operation.over().then(|| self.conclude(recorded))
    }

    pub(super) fn wait_recorded(&self, recorded: &mut Recorded) -> Outcome<Envelope> {
        loop {
            if let Some(outcome) = self.peek_recorded(recorded) {
                return outcome;
            }
            let operation = &*recorded.operation;
            if let Err(fault) = self.world.wait(self.me, || self.record_stirs(recorded)) {
                if operation.state() == GATHERING {
                    return Err(fault);
                }
                std::thread::yield_now();
            }
        }
    }

    /// Takes this rank's part back, or sees the operation over if all have started it.
    pub(super) fn give_up_recorded(&self, recorded: &mut Recorded) {
        if recorded.left {
            return;
        }
        let started = self.started();
        let operation = &*recorded.operation;
        let gathering = (operation.arrived.load(Ordering::Relaxed) as usize) < self.size();
        if gathering {
            if operation.state() == GATHERING {
                operation.state.store(DEAD + self.rank as u32, Ordering::Release);
            }
            drop(started);
            self.wake_members();
        } else {
            drop(started);
            // The last to arrive is about to set it under way.
            while operation.state() == GATHERING {
                std::thread::yield_now();
            }
            self.see_over(recorded);
        }
        self.leave(recorded);
    }

    /// How an operation ended that is over.
    fn conclude(&self, recorded: &mut Recorded) -> Outcome<Envelope> {
        let operation = &*recorded.operation;
        let outcome = match operation.state() {
            UNDER_WAY => match operation.found() {
                Found::Misfit(misfit) => {
                    let claim = |rank: usize| operation.card(rank).claim;
                    Err(Fault::Mismatch(check::told(self.rank, self.size(), &claim, *misfit)))
                }
                // An operator panicked on another rank.
                Found::Work(_) if operation.tasks.failed() => Err(Fault::Aborted),
                Found::Work(_) => {
                    // SAFETY: all units are done, and the buffers are promised until we are through.
                    unsafe { work::settle(&operation.card(self.rank).part, self.rank) };
                    Ok(SENT)
                }
            },
            dead => Err(self.given_up_by(dead - DEAD)),
        };
        self.leave(recorded);
        outcome
    }

    /// Why there is no answer: a rank has taken back its part, mostly because it failed, and then its failure is what
    /// should be heard of.
    fn given_up_by(&self, rank: u32) -> Fault {
        for _ in 0..50 {
            if self.world.aborted() {
                return Fault::Aborted;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        Fault::Mismatch(format!("rank {rank} has taken back its part"))
    }

    /// This rank leaves a record to which not all will come. Whoever still comes is told the same.
    fn leave_unmet(&self, recorded: &mut Recorded) {
        recorded.left = true;
        self.end_notice(recorded.number);
        let mut started = self.started();
        let operation = &recorded.operation;
        operation.state.store(DEAD + self.rank as u32, Ordering::Release);
        let left = operation.left.fetch_add(1, Ordering::AcqRel) + 1;
        if left == operation.arrived.load(Ordering::Relaxed) {
            started.remove(recorded.number);
        }
    }

    /// This rank is through; the last to leave puts the record aside.
    fn leave(&self, recorded: &mut Recorded) {
        recorded.left = true;
        self.end_notice(recorded.number);
        let operation = &recorded.operation;
        let left = operation.left.fetch_add(1, Ordering::AcqRel) + 1;
        if left as usize == self.size() {
            let mut started = self.started();
            if started.idle.len() < KEPT {
                operation.arrived.store(0, Ordering::Relaxed);
                operation.left.store(0, Ordering::Relaxed);
                operation.state.store(GATHERING, Ordering::Relaxed);
                started.idle.push(operation.clone());
            }
        }
    }
}

/// The part with its spans copied to `spans`.
fn keep_spans(mut part: Part, call: &Collective<'_>, spans: &mut Vec<Span>) -> Part {
    spans.clear();
    for layout in [call.send.layout, call.recv.layout] {
        if let Layout::Spans(of) = layout {
            spans.extend_from_slice(of);
        }
    }
    let mut rest = spans.as_ptr();
    for (layout, blocks) in [(call.send.layout, &mut part.sent), (call.recv.layout, &mut part.received)] {
        if let Layout::Spans(of) = layout {
            *blocks = Blocks::Spans(rest);
            rest = rest.wrapping_add(of.len());
        }
    }
    part
}
