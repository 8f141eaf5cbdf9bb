//! Nonblocking collectives, whichever way they come together.
//!
//! The n-th start of every rank on a communicator is the same operation. A few ranks with a core each show each other
//! what they start, and what is small needs no more (`noted`). All else has a record that the ranks share (`started`).

use super::noted::Noted;
use super::part::Part;
use super::small::SMALL;
use super::started::Recorded;
use crate::engine::local::Local;
use crate::engine::local::request::Request;
use crate::engine::{Collective, Envelope, Outcome, Place};
use std::sync::atomic::Ordering;

/// A rank's share in an operation, as its request keeps it.
pub(crate) enum Joined {
    Noted(Noted),
    Recorded(Recorded),
}

impl Local {
    /// # Safety
    /// As [`Engine::start`](crate::engine::Engine::start).
    pub unsafe fn start(&self, call: &Collective<'_>, place: Place) -> Outcome<Request> {
        let meeting = &self.group.meeting;
        let part = Part::of(call);
        let mut claim = self.claim(&part, call, place);
        // Its place in the sequence is what pairs it with the others.
        claim.started = 0;
        let number = self.started_so_far() + 1;
        meeting.counts[self.rank].store(number, Ordering::Relaxed);
        if let Some(notices) = &meeting.notices {
            let small = part.is_small(self.size(), SMALL);
            // SAFETY: the caller's promise.
            unsafe { self.note(notices, number, &part, call, claim, small) };
            if small {
                let mut noted = Noted::new(number);
                return Ok(match self.peek_noted(&mut noted) {
                    Some(outcome) => Request::over(outcome),
                    None => Request::collective(Joined::Noted(noted)),
                });
            }
        }
        // SAFETY: the caller's promise.
        let recorded = unsafe { self.join_record(number, part, claim, call) };
        Ok(Request::collective(Joined::Recorded(recorded)))
    }

    /// Helps, and looks whether it is over.
    pub(in super::super) fn peek_collective(&self, joined: &mut Joined) -> Option<Outcome<Envelope>> {
        match joined {
            Joined::Noted(noted) => self.peek_noted(noted),
            Joined::Recorded(recorded) => self.peek_recorded(recorded),
        }
    }

    /// Whether there is something to do for it, or nothing more.
    pub(in super::super) fn stirs(&self, joined: &Joined) -> bool {
        match joined {
            Joined::Noted(noted) => self.all_have_noted(noted),
            Joined::Recorded(recorded) => self.record_stirs(recorded),
        }
    }

    pub(in super::super) fn wait_collective(&self, joined: &mut Joined) -> Outcome<Envelope> {
        match joined {
            Joined::Noted(noted) => self.wait_noted(noted),
            Joined::Recorded(recorded) => self.wait_recorded(recorded),
        }
    }

    /// Ends it for this rank, whatever the others do.
    pub(in super::super) fn cancel_collective(&self, joined: &mut Joined) {
        match joined {
            Joined::Noted(noted) => self.give_up_noted(noted),
            Joined::Recorded(recorded) => self.give_up_recorded(recorded),
        }
    }
}
