//! Blocking collectives through the gate: the last to arrive looks at all parts, and whoever runs works.
//!
//! A rank waits twice at most: until all have arrived, and until the work is done. It helps with the work in between, so
//! nobody waits for a rank that the system has not given a core.

use super::check::{self, Claim, Misfit};
use super::part::Part;
use super::small::{self, SMALL, Small};
use super::sync::{Padded, UnsafeCell};
use super::tasks::Tasks;
use super::work::{self, Cut, Work};
use crate::engine::local::Local;
use crate::engine::{Fault, Outcome, Reduction};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What a rank brings.
pub(super) struct Card {
    pub claim: Claim,
    part: Part,
    /// What it contributes, if that is little.
    pub small: Small,
}

/// What the last to arrive found.
#[derive(Clone, Copy)]
pub(super) struct Found {
    verdict: Verdict,
    /// A common answer, if that is small.
    answer: Small,
    /// How the work is cut, if it is not small.
    cut: Option<Cut>,
}

#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Agreed,
    Disagreed(Option<Misfit>),
    /// An operator panicked on the rank that made the answer.
    Panicked,
}

impl Found {
    pub fn agreed(&self) -> bool {
        self.verdict == Verdict::Agreed
    }
}

/// What the ranks bring to a meeting, and what comes of it.
pub(super) struct Table {
    cards: Box<[Padded<UnsafeCell<Option<Card>>>]>,
    found: Padded<UnsafeCell<Found>>,
    tasks: Tasks,
}

// SAFETY: a card is written by its rank before it arrives, `found` by the last to arrive, and both are read only after
// the meeting; the gate orders the two. The pointers on a card are followed only until its owner has left the meeting.
unsafe impl Sync for Table {}
// SAFETY: as above.
unsafe impl Send for Table {}

impl Table {
    pub fn new(size: usize) -> Table {
        let found = Found { verdict: Verdict::Agreed, answer: Small::EMPTY, cut: None };
        Table {
            cards: (0..size).map(|_| Padded(UnsafeCell::new(None))).collect(),
            found: Padded(UnsafeCell::new(found)),
            tasks: Tasks::new(),
        }
    }

    /// A rank's card, for those who are in the meeting.
    pub fn card(&self, rank: usize) -> &Card {
        // SAFETY: every rank has arrived, so its card is filled, and none writes it before the meeting after next, which
        // nobody reaches who still reads.
        match self.cards[rank].with(|card| unsafe { (*card).as_ref() }) {
            Some(card) => card,
            None => unreachable!("every rank brings a card"),
        }
    }

    fn found(&self) -> &Found {
        // SAFETY: written before we were let through, and not before the meeting after next.
        self.found.with(|found| unsafe { &*found })
    }

    /// Whether all agree. For the last to arrive.
    pub fn agree(&self, size: usize) -> Found {
        let first = self.card(0);
        let verdict = if (1..size).any(|rank| !check::same(&self.card(rank).claim, &first.claim)) {
            Verdict::Disagreed(None)
        } else {
            // SAFETY: the call and the root are the same, and everybody is in it.
            match unsafe { check::misfit(size, |rank| &self.card(rank).part) } {
                Some(misfit) => Verdict::Disagreed(Some(misfit)),
                None => Verdict::Agreed,
            }
        };
        Found { verdict, answer: Small::EMPTY, cut: None }
    }

    /// Whether all agree, and what there is to do. For the last to arrive.
    fn look(&self, size: usize, op: Option<&Reduction>) -> (Found, Option<Box<dyn Any + Send>>) {
        let first = self.card(0);
        let mut found = self.agree(size);
        if !found.agreed() {
            return (found, None);
        }
        let bytes = first.part.bytes();
        if !first.part.is_small(size, SMALL) {
            let work = Work { size, part: &|rank| &self.card(rank).part, op };
            // SAFETY: everybody is in it.
            let cut = unsafe { work.cut() };
            self.tasks.lay_out(cut.units(), cut.batch());
            found.cut = Some(cut);
        } else if let Some(op) = op
            && small::is_common(first.part.call)
        {
            // A panic of an operator must not keep the others waiting: it is raised again once all are through.
            let made = catch_unwind(AssertUnwindSafe(|| {
                small::fold(&mut found.answer.0[..bytes], size, 0, op, |rank| &self.card(rank).small.0);
            }));
            if let Err(payload) = made {
                found.verdict = Verdict::Panicked;
                return (found, Some(payload));
            }
        }
        (found, None)
    }
}

impl Local {
    /// # Safety
    /// As [`Local::collective`].
    pub(super) unsafe fn gather_and_work(
        &self,
        part: Part,
        claim: Claim,
        op: Option<&Reduction>,
    ) -> Outcome<()> {
        let size = self.size();
        let (given, len) = match part.is_small(size, SMALL) {
            true => part.contribution(self.rank, size),
            false => (std::ptr::null(), 0),
        };
        // SAFETY: the caller's promise: this is the send side, or where that is in place the receive side.
        let given = if len == 0 { &[] } else { unsafe { std::slice::from_raw_parts(given, len) } };
        let mut panicked = None;
        let table = self.meet(part, claim, given, |table| {
            let (found, payload) = table.look(size, op);
            panicked = payload;
            found
        })?;
        let found = table.found();
        if let Some(payload) = panicked {
            resume_unwind(payload);
        }
        if found.verdict == Verdict::Panicked {
            return Err(Fault::Aborted);
        }
        let Some(cut) = found.cut else {
            // SAFETY: the caller's promise; a small call on which the ranks agree.
            unsafe {
                match small::is_common(part.call) {
                    true if part.call == crate::engine::Call::Reduce && self.rank != part.root => {}
                    true => part.recv.copy_from_nonoverlapping(found.answer.0.as_ptr(), part.bytes()),
                    false => small::answer(&part, self.rank, size, op, |rank| &table.card(rank).small.0),
                }
            }
            return Ok(());
        };
        let work = Work { size, part: &|rank| &table.card(rank).part, op };
        // SAFETY: everybody stays until the tasks are over.
        let worked = unsafe { self.help(&table.tasks, &work, &cut) };
        // Nobody can leave now, and nobody need: no user code stands between but a reduction's.
        while !table.tasks.over() {
            if self.world.wait(self.me, || table.tasks.over()).is_err() {
                std::thread::yield_now();
            }
        }
        if let Err(payload) = worked {
            resume_unwind(payload);
        }
        if table.tasks.failed() {
            return Err(Fault::Aborted);
        }
        // SAFETY: all units are done.
        unsafe { work::settle(&part, self.rank) };
        Ok(())
    }

    /// Does units of work until there are none left to claim. A panic of an operator is given back; the work still
    /// comes to its end.
    ///
    /// # Safety
    /// As [`Work::unit`], until the tasks are over.
    pub(super) unsafe fn help(&self, tasks: &Tasks, work: &Work<'_>, cut: &Cut) -> std::thread::Result<()> {
        let mut outcome = Ok(());
        while let Some(units) = tasks.claim() {
            if !tasks.failed() {
                let done = catch_unwind(AssertUnwindSafe(|| {
                    for unit in units.clone() {
                        // SAFETY: claimed by us; the rest is the caller's promise.
                        unsafe { work.unit(cut, unit) };
                    }
                }));
                if let Err(payload) = done {
                    tasks.fail();
                    outcome = Err(payload);
                }
            }
            if tasks.report(units) {
                self.wake_members();
            }
        }
        outcome
    }

    /// Brings a card and waits until all have; the last to arrive looks at them.
    pub(super) fn meet(
        &self,
        part: Part,
        claim: Claim,
        given: &[u8],
        look: impl FnOnce(&Table) -> Found,
    ) -> Outcome<&Table> {
        let meeting = &self.group.meeting;
        let epoch = meeting.gate.epoch();
        let table = &meeting.tables[(epoch & 1) as usize];
        table.cards[self.rank].with_mut(|card| {
            // SAFETY: this rank's own card, which nobody reads before it has arrived.
            let card = unsafe { &mut *card };
            match card {
                Some(card) => (card.claim, card.part) = (claim, part),
                None => *card = Some(Card { claim, part, small: Small::EMPTY }),
            }
            if let Some(card) = card {
                card.small.0[..given.len()].copy_from_slice(given);
            }
        });
        let last = meeting.gate.arrive(|| {
            let found = look(table);
            // SAFETY: only the last to arrive writes, and nobody reads before it lets them through.
            table.found.with_mut(|at| unsafe { *at = found });
        });
        if last {
            self.wake_members();
        } else {
            self.await_meeting(epoch)?;
        }
        match table.found().verdict {
            Verdict::Disagreed(misfit) => {
                let claim = |rank: usize| table.card(rank).claim;
                Err(Fault::Mismatch(check::told(self.rank, self.size(), &claim, misfit)))
            }
            Verdict::Agreed | Verdict::Panicked => Ok(table),
        }
    }

    /// Waits until the meeting after `epoch` has taken place, or leaves it when the job goes down.
    fn await_meeting(&self, epoch: u32) -> Outcome<()> {
        let gate = &self.group.meeting.gate;
        let met = || gate.epoch() != epoch;
        match self.world.wait(self.me, met) {
            Ok(()) => Ok(()),
            Err(fault) if gate.leave(epoch) => Err(fault),
            Err(_) => {
                // All others are in this very call and about to arrive: no user code stands between.
                while !met() {
                    std::thread::yield_now();
                }
                Ok(())
            }
        }
    }
}
