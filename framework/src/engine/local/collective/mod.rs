//! Collectives of the Local engine: ranks show each other their parts and then work in each other's buffers.
//!
//! `part` is what a rank shows, `check` whether the ranks agree, `work` what there is to do, `tasks` how it is shared.
//! What is small needs no work in others' buffers: `small`, and `counted` for calls with counts.
//! A blocking call comes to it through `direct` or `gathering`, a nonblocking one (`nonblocking`) through `noted` or `started`; `regroup` makes
//! communicators. Point-to-point messages are in `p2p`.

mod check;
mod counted;
mod direct;
mod exchange;
mod gathering;
mod nonblocking;
mod noted;
mod notices;
mod part;
mod posts;
mod regroup;
mod small;
mod started;
mod tasks;
#[cfg(test)]
mod tests;
mod work;

use super::Local;
use super::gate::Gate;
use super::sync;
use crate::engine::{Call, Collective, Fault, Outcome, Place, Reduction};
use check::Claim;
use direct::Direct;
use part::Part;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use sync::Padded;
use work::Work;

pub(super) use nonblocking::Joined;

/// Where the ranks of one communicator meet.
pub(super) struct Meeting {
    /// Where there are few ranks and a core for each.
    direct: Option<Box<Direct>>,
    /// As `direct`, for nonblocking calls.
    notices: Option<Box<noted::Board>>,
    gate: Gate,
    /// What is brought to even and to odd meetings: see [`Gate`] for why two are enough.
    tables: [gathering::Table; 2],
    started: Mutex<started::Started>,
    /// How many nonblocking collectives each rank has started; written by that rank only.
    counts: Box<[Padded<AtomicU64>]>,
    /// New communicators of a split, by rank; each rank takes its own.
    seats: Mutex<Vec<Option<regroup::Seat>>>,
}

impl Meeting {
    /// `spread` says that every rank of the world has a core.
    pub fn new(size: usize, spread: bool) -> Meeting {
        let few = spread && size <= Direct::MOST;
        Meeting {
            direct: few.then(|| Box::new(Direct::new(size))),
            notices: few.then(|| Box::new(noted::Board::new(size, noted::Note::empty))),
            gate: Gate::new(size as u32),
            tables: [gathering::Table::new(size), gathering::Table::new(size)],
            started: Mutex::new(started::Started::new()),
            counts: (0..size).map(|_| Padded(AtomicU64::new(0))).collect(),
            seats: Mutex::new(Vec::new()),
        }
    }
}

impl Local {
    /// # Safety
    /// As [`Engine::collective`](crate::engine::Engine::collective).
    // On its own: what `comm` compiles for every element type is to stay small.
    #[inline(never)]
    pub unsafe fn collective(&self, call: &Collective<'_>, place: Place) -> Outcome<()> {
        let part = Part::of(call);
        if self.size() == 1 {
            // SAFETY: the caller's promise.
            return unsafe { self.alone(&part, self.claim(&part, call, place), call.op) };
        }
        if let Some(direct) = &self.group.meeting.direct {
            // SAFETY: as above.
            return unsafe { self.exchange_and_work(direct, part, call, place) };
        }
        let claim = self.claim(&part, call, place);
        // SAFETY: as above.
        unsafe { self.gather_and_work(part, claim, call.op) }
    }

    fn claim(&self, part: &Part, call: &Collective<'_>, place: Place) -> Claim {
        Claim {
            signature: part.signature(call.root, call.kind, call.op, place),
            started: self.started_so_far(),
        }
    }

    fn started_so_far(&self) -> u64 {
        self.group.meeting.counts[self.rank].load(Ordering::Relaxed)
    }

    /// Does the work of a communicator of one rank.
    ///
    /// # Safety
    /// As [`Local::collective`].
    unsafe fn alone(&self, part: &Part, claim: Claim, op: Option<&Reduction>) -> Outcome<()> {
        // SAFETY: the spans are there until we return.
        if let Some(misfit) = unsafe { check::misfit(1, |_| part) } {
            return Err(Fault::Mismatch(check::told(0, 1, &|_| claim, Some(misfit))));
        }
        let work = Work { size: 1, part: &|_| part, op };
        // SAFETY: the caller's promise; nobody else is there.
        unsafe {
            let cut = work.cut();
            (0..cut.units()).for_each(|unit| work.unit(&cut, unit));
            work::settle(part, 0);
        }
        Ok(())
    }

    fn wake_members(&self) {
        for &member in &self.group.members {
            if member as usize != self.me {
                self.world.wake(member as usize);
            }
        }
    }
}
