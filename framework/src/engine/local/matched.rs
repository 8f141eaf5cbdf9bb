//! Matched probes: a message that one call has found and another will receive.
//!
//! The letter stays in the inbox, out of the reach of other receives, so a sender that lends its buffer still finds it
//! there when it must go on without its receiver.

use super::letter::Want;
use super::p2p::wrong_kind;
use super::{Local, Request};
use crate::comm::element::{Element, Kind};
use crate::engine::{Envelope, Fault, From, Outcome, Tagged};

/// A message that has been claimed. Dropping it leaves the message where it is; see [`Local::discard`].
pub(crate) struct Matched {
    index: u32,
    pub envelope: Envelope,
}

impl Local {
    pub fn improbe(&self, from: From, tag: Tagged, kind: Kind) -> Outcome<Option<Matched>> {
        let want = Want { context: self.context, from, tag };
        if let Some(turns) = &self.world.turns {
            return self.claim_in_turn(turns, &want, kind, false);
        }
        let inbox = self.inbox();
        let found = inbox.lock().claim(&self.world, inbox, &want);
        if found.is_none() && self.world.aborted() {
            return Err(Fault::Aborted);
        }
        let Some((index, envelope)) = found else { return Ok(None) };
        self.claimed(index, envelope, kind).map(Some)
    }

    /// What has been claimed, if it is of that kind.
    pub(super) fn claimed(&self, index: u32, envelope: Envelope, kind: Kind) -> Outcome<Matched> {
        let matched = Matched { index, envelope };
        if envelope.kind != kind.print() {
            self.discard(matched);
            return Err(wrong_kind(envelope));
        }
        Ok(matched)
    }

    pub fn mprobe(&self, from: From, tag: Tagged, kind: Kind) -> Outcome<Matched> {
        if let Some(turns) = &self.world.turns {
            let want = Want { context: self.context, from, tag };
            return self.claim_in_turn(turns, &want, kind, true)?.ok_or(Fault::Aborted);
        }
        let inbox = self.inbox();
        loop {
            let changes = inbox.changes();
            if let Some(matched) = self.improbe(from, tag, kind)? {
                return Ok(matched);
            }
            self.world.wait(self.me, || inbox.any_ready() || inbox.changes() != changes)?;
        }
    }

    /// # Safety
    /// `data` is valid for writes of `capacity` bytes.
    pub unsafe fn imrecv(
        &self,
        matched: Matched,
        data: *mut u8,
        capacity: usize,
        kind: Kind,
    ) -> Outcome<Request> {
        let letter = self.inbox().lock().take_claimed(matched.index);
        // SAFETY: the caller's promise; nobody lends what somebody else may write.
        let outcome = letter.map_or(Err(Fault::Aborted), |letter| unsafe {
            letter.deliver(&self.world, kind, data, capacity)
        });
        Ok(Request::over(outcome))
    }

    pub fn mrecv_parcel<T: Element>(&self, matched: Matched) -> Outcome<(Vec<T>, Envelope)> {
        let letter = self.inbox().lock().take_claimed(matched.index);
        letter.map_or(Err(Fault::Aborted), |letter| self.open_parcel(letter))
    }

    /// Ends a claimed message that nobody will receive; its sender is served.
    pub fn discard(&self, matched: Matched) {
        if let Some(letter) = self.inbox().lock().take_claimed(matched.index) {
            let kind = u8::KIND;
            // SAFETY: nothing is written to no bytes.
            let _ = unsafe { letter.deliver(&self.world, kind, std::ptr::NonNull::dangling().as_ptr(), 0) };
        }
    }
}
