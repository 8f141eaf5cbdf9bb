//! Blocking sends, receives and probes of the Local engine, on top of rings and inboxes.
//!
//! Nonblocking ones are in `request`, matched probes in `matched`.

use super::inbox::{Inbox, Sorted};
use super::letter::{Body, INLINE, Letter, Loan, Want};
use super::ring::Ring;
use super::{Glance, Local};
use crate::comm::element::{Element, Kind};
use crate::engine::{Envelope, Fault, From, Mode, Outcome, Tagged};
use std::any::TypeId;
use std::mem::MaybeUninit;

/// Up to this many bytes a standard send does not insist on its receiver: after a while it leaves a copy and
/// returns. In the checked mode every send insists.
pub(super) const BUFFERED: usize = 64 << 10;

/// Looks without a pause between them.
const TIGHT: u32 = 200;

/// How often a sender looks for its receiver before it leaves a copy: about as long as the copy costs.
fn linger(bytes: usize) -> u32 {
    600 + bytes as u32 / 16
}

impl Local {
    #[inline]
    pub fn send(&self, mode: Mode, data: &[u8], kind: Kind, dest: usize, tag: i32) -> Outcome<()> {
        let to = self.world_rank(dest);
        if self.send_at_once(mode, data, kind, to, tag)? {
            return Ok(());
        }
        let loan = Loan::new(self.me);
        self.lend(to, data.as_ptr(), data.len(), kind, tag, &loan);
        self.reclaim(to, data.len(), self.insists(mode), &loan)
    }

    /// Sends what need not be lent: small messages, and those that the author wants copied. Whether it did.
    #[inline(always)]
    pub(super) fn send_at_once(
        &self,
        mode: Mode,
        data: &[u8],
        kind: Kind,
        to: usize,
        tag: i32,
    ) -> Outcome<bool> {
        if mode == Mode::Ready && self.world.checked && !self.is_expected(to, tag) {
            return Err(Fault::NotReady);
        }
        if mode == Mode::Buffered {
            self.post_copy(to, kind, tag, data);
        } else if data.len() <= INLINE && !self.insists(mode) {
            self.post_inline(to, kind, tag, data);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Whether a send waits for its receive.
    #[inline(always)]
    pub(super) fn insists(&self, mode: Mode) -> bool {
        self.world.checked || mode == Mode::Synchronous
    }

    /// Whether rank `to` has posted a receive for a message of ours.
    fn is_expected(&self, to: usize, tag: i32) -> bool {
        // Before the lock, which the first use of a link takes too.
        let (inbox, link) = (&self.world.inboxes[to], self.world.link(to, self.me));
        let mut sorted = inbox.lock();
        // What we sent before comes before.
        sorted.drain(&self.world, inbox, link);
        let expected = sorted.expects(self.context, self.rank as u32, tag);
        drop(sorted);
        inbox.tell_owner();
        expected
    }

    /// Sends a copy; nobody waits for it.
    fn post_copy(&self, to: usize, kind: Kind, tag: i32, data: &[u8]) {
        if data.len() <= INLINE {
            return self.post_inline(to, kind, tag, data);
        }
        let body = Body::Moved(Box::new(data.to_vec()));
        let (context, source, kind) = (self.context, self.rank as u32, kind.print());
        self.post_letter(to, Letter { context, source, tag, kind, body });
        self.hand_over(to);
    }

    pub fn send_parcel<T: Element>(&self, data: Vec<T>, dest: usize, tag: i32) -> Outcome<()> {
        if self.world.checked {
            return self.send(Mode::Standard, bytemuck::cast_slice(&data), T::KIND, dest, tag);
        }
        let body = Body::Moved(Box::new(data));
        let (context, source, kind) = (self.context, self.rank as u32, T::KIND.print());
        let to = self.world_rank(dest);
        self.post_letter(to, Letter { context, source, tag, kind, body });
        Ok(())
    }

    /// Puts a letter into the ring to `to`; if it is full, sorts it into the receiver's inbox first.
    #[inline]
    fn post_letter(&self, to: usize, letter: Letter) {
        let link = self.world.link(to, self.me);
        // SAFETY: the ring from this rank is pushed by this rank's thread only.
        if let Err(letter) = unsafe { link.push(letter) } {
            self.post_to_full(to, letter);
        }
        self.world.wake(to);
    }

    /// Writes a small message into the ring to `to`.
    #[inline]
    fn post_inline(&self, to: usize, kind: Kind, tag: i32, data: &[u8]) {
        self.post(to, |slot| Letter::write_inline(slot, self.context, self.rank, tag, kind, data));
    }

    /// Lets `fill` write a whole letter where it will be read, in the ring to `to`.
    #[inline(always)]
    fn post(&self, to: usize, fill: impl Fn(&mut MaybeUninit<Letter>)) {
        let link = self.world.link(to, self.me);
        // SAFETY: the ring from this rank is pushed by this rank's thread only, and `fill` writes the whole letter.
        if !unsafe { link.push_with(&fill) } {
            let mut letter = MaybeUninit::uninit();
            fill(&mut letter);
            // SAFETY: just written.
            self.post_to_full(to, unsafe { letter.assume_init() });
        }
        self.world.wake(to);
    }

    #[cold]
    fn post_to_full(&self, to: usize, mut letter: Letter) {
        let (link, inbox) = (self.world.link(to, self.me), &self.world.inboxes[to]);
        loop {
            inbox.lock().drain(&self.world, inbox, link);
            inbox.tell_owner();
            // SAFETY: as in `post_letter`.
            match unsafe { link.push(letter) } {
                Ok(()) => return,
                Err(back) => letter = back,
            }
        }
    }

    #[inline]
    pub(super) fn lend(&self, to: usize, data: *const u8, len: usize, kind: Kind, tag: i32, loan: &Loan) {
        let (context, source, kind) = (self.context, self.rank as u32, kind.print());
        self.post(to, |slot| {
            slot.write(Letter { context, source, tag, kind, body: Body::Lent { data, len, loan } });
        });
        self.hand_over(to);
    }

    /// If the receiver has posted receives, sorts our letters there: the copy is then done here, without it.
    #[inline]
    pub(super) fn hand_over(&self, to: usize) {
        let inbox: &Inbox = &self.world.inboxes[to];
        if inbox.has_posted()
            && !self.is_explored()
            && let Some(mut sorted) = inbox.try_lock()
        {
            sorted.drain(&self.world, inbox, self.world.link(to, self.me));
            drop(sorted);
            inbox.tell_owner();
        }
    }

    /// As [`Local::hand_over`]. At the last look it waits for whoever holds the inbox now: that may be another sender, which
    /// sorts its own letters only, so that nobody would wake us.
    pub(super) fn offer(&self, to: usize, glance: Glance) {
        let inbox: &Inbox = &self.world.inboxes[to];
        if glance == Glance::Passing {
            self.hand_over(to);
        } else if inbox.posted() != 0 && !self.is_explored() {
            inbox.lock().drain(&self.world, inbox, self.world.link(to, self.me));
            inbox.tell_owner();
        }
    }

    /// Blocks until the lent buffer is given back, or leaves a copy in its place.
    pub(super) fn reclaim(&self, to: usize, bytes: usize, insists: bool, loan: &Loan) -> Outcome<()> {
        let buffered = bytes <= BUFFERED && !insists;
        let mut looks =
            if buffered { linger(bytes).min(self.world.patience.spins) } else { self.world.patience.spins };
        let mut waited = 0;
        while looks > 0 {
            if loan.returned() {
                return Ok(());
            }
            if looks.is_multiple_of(64) {
                self.hand_over(to);
            }
            // A pause costs some of the first nanoseconds, where most waits end.
            if waited > TIGHT {
                std::hint::spin_loop();
            }
            waited += 1;
            looks -= 1;
        }
        if buffered {
            self.leave_copy(to, loan);
            return Ok(());
        }
        // From here on the receiver is told of us by the letter, and tells us by waking.
        let waited = self.world.wait_looking(self.me, |glance| {
            loan.returned() || {
                self.offer(to, glance);
                loan.returned()
            }
        });
        if waited.is_err() {
            self.take_back(to, loan);
        }
        waited
    }

    /// Turns a lent letter into one with its own copy, unless the receiver has it.
    pub(super) fn leave_copy(&self, to: usize, loan: &Loan) {
        self.end_loan(to, loan, Sorted::keep_copy);
    }

    /// Removes a lent letter, unless the receiver has it.
    pub(super) fn take_back(&self, to: usize, loan: &Loan) {
        self.end_loan(to, loan, Sorted::remove_unexpected);
    }

    /// Does `end` to the letter of a loan that nobody has taken yet. After this the buffer is the sender's: a receiver
    /// that has taken the letter copies outside the lock, so until it has finished we wait.
    fn end_loan(&self, to: usize, loan: &Loan, end: impl FnOnce(&mut Sorted, u32)) {
        let inbox: &Inbox = &self.world.inboxes[to];
        let mut sorted = inbox.lock();
        sorted.drain(&self.world, inbox, self.world.link(to, self.me));
        let untaken = sorted.lent(loan);
        if let Some(index) = untaken {
            end(&mut sorted, index);
        }
        drop(sorted);
        inbox.tell_owner();
        if untaken.is_some() {
            loan.end();
        }
        while !loan.returned() {
            std::thread::yield_now();
        }
    }

    #[inline]
    pub fn recv(&self, data: &mut [u8], kind: Kind, from: From, tag: Tagged) -> Outcome<Envelope> {
        let (at, capacity) = (data.as_mut_ptr(), data.len());
        self.await_letter(
            from,
            tag,
            // SAFETY: `data` is borrowed mutably.
            |sorted, want, link| unsafe { sorted.take_front(&self.world, want, link, kind, at, capacity) },
            // SAFETY: as above, so nobody lends it.
            |letter| unsafe { letter.deliver(&self.world, kind, at, capacity) },
        )?
    }

    pub fn recv_parcel<T: Element>(&self, from: From, tag: Tagged) -> Outcome<(Vec<T>, Envelope)> {
        let letter = self.await_letter(from, tag, |_, _, _| None, |letter| letter)?;
        self.open_parcel(letter)
    }

    /// A letter's contents as a vector of their own.
    pub(super) fn open_parcel<T: Element>(&self, letter: Letter) -> Outcome<(Vec<T>, Envelope)> {
        let envelope = letter.envelope();
        let size = size_of::<T>().max(1);
        if envelope.kind == T::KIND.print() {
            if let Body::Moved(parcel) = letter.body {
                if (*parcel).type_id() != TypeId::of::<Vec<T>>() {
                    // Another array shape of the same scalar, or the copy left by a sender that went on.
                    let bytes = parcel.bytes();
                    return match bytes.len().is_multiple_of(size) {
                        true => Ok((bytemuck::pod_collect_to_vec(bytes), envelope)),
                        false => Err(wrong_kind(envelope)),
                    };
                }
                return match parcel.into_any().downcast::<Vec<T>>() {
                    Ok(data) => Ok((*data, envelope)),
                    Err(_) => Err(wrong_kind(envelope)),
                };
            }
            if envelope.bytes.is_multiple_of(size) {
                let mut data = Vec::<T>::with_capacity(envelope.bytes / size);
                // SAFETY: the capacity is that many bytes, and a new allocation overlaps nothing; once all of it is
                // written, any bytes are elements.
                unsafe {
                    letter.deliver(&self.world, T::KIND, data.as_mut_ptr().cast(), envelope.bytes)?;
                    data.set_len(envelope.bytes / size);
                }
                return Ok((data, envelope));
            }
        }
        // SAFETY: nothing is written to no bytes; this serves the sender.
        let _ = unsafe { letter.deliver(&self.world, T::KIND, std::ptr::NonNull::dangling().as_ptr(), 0) };
        Err(wrong_kind(envelope))
    }

    /// Blocks until a letter that matches is there and takes it: by `short` if the ring has it in front and `short`
    /// can, else by `whole`.
    #[inline(always)]
    fn await_letter<R>(
        &self,
        from: From,
        tag: Tagged,
        mut short: impl FnMut(&mut Sorted, &Want, &Ring<Letter>) -> Option<R>,
        whole: impl FnOnce(Letter) -> R,
    ) -> Outcome<R> {
        let want = Want { context: self.context, from, tag };
        let (world, inbox) = (&*self.world, self.inbox());
        let link = match from {
            From::Rank(rank) => Some(&**world.link(self.me, self.world_rank(rank))),
            From::Any => None,
        };
        loop {
            let changes = inbox.changes();
            let mut sorted = inbox.lock();
            if let Some(link) = link
                && let Some(done) = short(&mut sorted, &want, link)
            {
                return Ok(done);
            }
            if let Some(turns) = &world.turns {
                drop(sorted);
                return self.await_in_turn(turns, &want).map(whole);
            }
            let taken = sorted.take(world, inbox, &want, link);
            drop(sorted);
            if let Some(letter) = taken {
                return Ok(whole(letter));
            }
            match link {
                Some(link) => world.wait(self.me, || link.ready() || inbox.changes() != changes)?,
                None => world.wait(self.me, || inbox.any_ready() || inbox.changes() != changes)?,
            }
        }
    }

    pub fn probe(&self, from: From, tag: Tagged) -> Outcome<Envelope> {
        if let Some(turns) = &self.world.turns {
            let found = self.find_in_turn(turns, &Want { context: self.context, from, tag }, true)?;
            let envelope = found.and_then(|index| self.inbox().lock().envelope(index));
            return envelope.ok_or(Fault::Aborted);
        }
        let inbox = self.inbox();
        loop {
            let changes = inbox.changes();
            if let Some(envelope) = self.iprobe(from, tag)? {
                return Ok(envelope);
            }
            self.world.wait(self.me, || inbox.any_ready() || inbox.changes() != changes)?;
        }
    }

    pub fn iprobe(&self, from: From, tag: Tagged) -> Outcome<Option<Envelope>> {
        let want = Want { context: self.context, from, tag };
        let inbox = self.inbox();
        if let Some(turns) = &self.world.turns {
            let found = self.find_in_turn(turns, &want, false)?;
            return Ok(found.and_then(|index| inbox.lock().envelope(index)));
        }
        let found = inbox.lock().find(&self.world, inbox, &want);
        if found.is_none() && self.world.aborted() {
            return Err(Fault::Aborted);
        }
        Ok(found)
    }

    /// Sorts this rank's letters, so that started receives get theirs.
    pub(super) fn sort(&self) {
        let inbox = self.inbox();
        inbox.lock().drain_all(&self.world, inbox);
    }
}

pub(super) fn wrong_kind(envelope: Envelope) -> Fault {
    Fault::WrongKind { source: envelope.source, tag: envelope.tag, sent: envelope.kind }
}
