//! What has arrived at one rank and what it has asked for: matching, under the rank's own lock.
//!
//! Letters come through the rings, in order. Whoever holds the lock may sort them: the rank itself whenever it is
//! in a call, or a sender that would otherwise wait for a rank that computes. So whichever side comes second does
//! the copy, and no third party has to run.

use super::letter::{Letter, Loan, Want};
use super::parker::Parker;
use super::queue::{NONE, Queue, UNKEYED, bucket};
use super::ring::Ring;
use super::sync::{AtomicU32, Ordering, Padded, UnsafeCell, light_fence};
use super::turns::Act;
use super::{World, is_authors};
use crate::comm::element::Kind;
use crate::engine::{Caught, Envelope, From, Outcome};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

pub(super) type Link = Arc<Ring<Letter>>;

/// What its rank writes at every call and what senders look at stand on different cache lines: a line in both hands
/// would cost a transfer a message.
pub(super) struct Inbox {
    sorted: Padded<Mutex<Sorted>>,
    /// Moves on when another thread has sorted letters for this rank: something may be there that no ring shows.
    sorted_by_others: Padded<AtomicU32>,
    /// How many receives are posted; a hint to senders that it pays to sort here.
    posted: Padded<AtomicU32>,
    /// Whether the owner waits for its receives and sorts for itself: then it does not pay.
    attended: AtomicU32,
    pub parker: Padded<Parker>,
}

/// The rank's letters and receives, behind its lock.
pub(super) struct Sorted {
    /// Arrived and not yet asked for; those that a matched probe has claimed are kept, but not queued.
    unexpected: Queue<Letter>,
    /// Asked for and not yet arrived.
    posted: Queue<Posted>,
    /// How many receives have been posted ever.
    posts: u64,
    /// The rings of all ranks that have ever sent here.
    links: Vec<Link>,
}

/// A receive that has been started.
struct Posted {
    want: Want,
    /// Its number among all: receives are matched in the order they were posted.
    number: u64,
    kind: Kind,
    data: *mut u8,
    capacity: usize,
    ticket: Arc<Ticket>,
}

// SAFETY: the buffer is the poster's promise to `irecv` to leave alone until the receive is over.
unsafe impl Send for Posted {}

impl Posted {
    /// Whether it may take the messages of several ranks, and an author sees which.
    fn is_open(&self) -> bool {
        self.want.from == From::Any && is_authors(self.want.context)
    }
}

/// How a started receive ended.
pub(super) struct Ticket {
    ended: AtomicU32,
    /// Where the receive stands among the posted; under the inbox's lock.
    place: AtomicU32,
    /// Of the message: one more than its source, and its tag. For whoever looks on; see [`Caught`].
    source: AtomicU32,
    tag: AtomicU32,
    /// Written before `ended` by whoever ends the receive, read after it by the rank that waits.
    outcome: UnsafeCell<Option<Outcome<Envelope>>>,
}

// SAFETY: `ended` hands the outcome over (release, acquire); `end` is called once between `new` or `renew` and `take`.
unsafe impl Sync for Ticket {}
// SAFETY: as above.
unsafe impl Send for Ticket {}

impl Ticket {
    pub fn new() -> Ticket {
        Ticket {
            ended: AtomicU32::new(0),
            place: AtomicU32::new(NONE),
            source: AtomicU32::new(0),
            tag: AtomicU32::new(0),
            outcome: UnsafeCell::new(None),
        }
    }

    /// As new, for another receive. The last one is over: whoever ended it does no more than drop its reference.
    pub fn renew(&self) {
        drop(self.take());
        self.ended.store(0, Ordering::Relaxed);
        self.source.store(0, Ordering::Relaxed);
        self.place.store(NONE, Ordering::Relaxed);
    }

    #[inline(always)]
    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire) != 0
    }

    /// The outcome, once.
    pub fn take(&self) -> Option<Outcome<Envelope>> {
        if !self.ended() {
            return None;
        }
        // SAFETY: it has ended, so nobody writes any more, and only the rank that waits comes here.
        self.outcome.with_mut(|outcome| unsafe { (*outcome).take() })
    }

    fn end(&self, outcome: Outcome<Envelope>) {
        if let Ok(Envelope { source, tag, .. }) = &outcome {
            self.tag.store(*tag as u32, Ordering::Relaxed);
            self.source.store(*source as u32 + 1, Ordering::Release);
        }
        // SAFETY: it has not ended, so nobody reads, and a posted receive is ended once.
        self.outcome.with_mut(|place| unsafe { *place = Some(outcome) });
        self.ended.store(1, Ordering::Release);
    }
}

impl Caught for Ticket {
    fn caught(&self) -> Option<(usize, i32)> {
        let source = self.source.load(Ordering::Acquire).checked_sub(1)?;
        Some((source as usize, self.tag.load(Ordering::Relaxed) as i32))
    }
}

impl Inbox {
    pub fn new() -> Inbox {
        let sorted = Sorted { unexpected: Queue::new(), posted: Queue::new(), posts: 0, links: Vec::new() };
        Inbox {
            sorted: Padded(Mutex::new(sorted)),
            sorted_by_others: Padded(AtomicU32::new(0)),
            posted: Padded(AtomicU32::new(0)),
            attended: AtomicU32::new(0),
            parker: Padded(Parker::new()),
        }
    }

    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, Sorted> {
        self.sorted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn try_lock(&self) -> Option<MutexGuard<'_, Sorted>> {
        match self.sorted.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// A number that moves on when others have sorted here.
    #[inline(always)]
    pub fn changes(&self) -> u32 {
        self.sorted_by_others.load(Ordering::Acquire)
    }

    /// Whether any ring has a letter.
    pub fn any_ready(&self) -> bool {
        self.lock().links.iter().any(|link| link.ready())
    }

    /// Another rank has sorted here: the owner should look, also if it sleeps.
    pub fn tell_owner(&self) {
        self.sorted_by_others.fetch_add(1, Ordering::AcqRel);
        self.parker.wake();
    }

    /// Whether a sender should try to hand its letter over itself. To be asked after the letter is in the ring.
    #[inline(always)]
    pub fn has_posted(&self) -> bool {
        self.posted.load(Ordering::Relaxed) != 0 && self.attended.load(Ordering::Relaxed) == 0
    }

    /// How many receives are posted.
    pub fn posted(&self) -> u32 {
        self.posted.load(Ordering::Relaxed)
    }

    /// Whether the owner is here and sorts for itself.
    #[inline(always)]
    pub fn attend(&self, here: bool) {
        self.attended.store(u32::from(here), Ordering::Relaxed);
    }
}

impl Sorted {
    pub fn add_link(&mut self, link: Link) {
        self.links.push(link);
    }

    /// The first posted receive that takes a message of that context, source and tag.
    fn receive_for(&self, context: u32, source: u32, tag: i32) -> Option<u32> {
        let accepts = |posted: &Posted| posted.want.takes(context, source, tag);
        let exact = self.posted.find_in(bucket(context, source, tag), accepts);
        let wild = self.posted.find_in(UNKEYED, accepts);
        let number =
            |index: Option<u32>| index.and_then(|i| self.posted.get(i)).map_or(u64::MAX, |p| p.number);
        if number(exact) < number(wild) { exact } else { wild }
    }

    /// Whether a receive is posted that takes a message of that context, source and tag.
    pub fn expects(&self, context: u32, source: u32, tag: i32) -> bool {
        self.receive_for(context, source, tag).is_some()
    }

    /// Hands a letter to the first posted receive that wants it; gives it back if none does.
    fn match_posted(&mut self, world: &World, inbox: &Inbox, letter: Letter) -> Option<Letter> {
        if self.posted.is_empty() || world.turns.is_some() {
            return Some(letter);
        }
        let index = self.receive_for(letter.context, letter.source, letter.tag);
        let Some(index) = index else { return Some(letter) };
        self.give(world, inbox, index, letter);
        None
    }

    /// Ends the posted receive at `index` with a letter.
    fn give(&mut self, world: &World, inbox: &Inbox, index: u32, letter: Letter) {
        let Some(posted) = self.posted.remove(index) else { return };
        inbox.posted.store(self.posted.len() as u32, Ordering::Relaxed);
        // SAFETY: the buffer is valid and untouched until the ticket has ended or the receive is taken back under
        // this lock.
        let outcome = unsafe { letter.deliver(world, posted.kind, posted.data, posted.capacity) };
        posted.ticket.end(outcome);
    }

    fn push_unexpected(&mut self, letter: Letter) {
        let index = self.unexpected.push(bucket(letter.context, letter.source, letter.tag), letter);
        if let Some(letter) = self.unexpected.get(index) {
            letter.note_place(index);
        }
    }

    /// Sorts all letters of one ring.
    pub fn drain(&mut self, world: &World, inbox: &Inbox, link: &Ring<Letter>) {
        // SAFETY: only the holder of the inbox's lock pops its rings.
        while let Some(letter) = unsafe { link.pop() } {
            if let Some(letter) = self.match_posted(world, inbox, letter) {
                self.push_unexpected(letter);
            }
        }
        if world.turns.is_some() {
            self.settle(world, inbox);
        }
    }

    /// Sorts all letters there are.
    pub fn drain_all(&mut self, world: &World, inbox: &Inbox) {
        let links = std::mem::take(&mut self.links);
        for link in &links {
            self.drain(world, inbox, link);
        }
        self.links = links;
    }

    /// Takes the first letter that `want` accepts from what has been sorted.
    #[inline]
    pub fn take_unexpected(&mut self, want: &Want) -> Option<Letter> {
        if self.unexpected.is_empty() {
            return None;
        }
        let index = self.find_unexpected(want)?;
        self.unexpected.remove(index)
    }

    fn find_unexpected(&self, want: &Want) -> Option<u32> {
        match want.bucket() {
            Some(bucket) => self.unexpected.find_in(bucket, |letter| want.accepts(letter)),
            None => self.unexpected.find(|letter| want.accepts(letter)),
        }
    }

    /// Takes the first letter that `want` accepts, sorting those of `link` (or of all rings) on the way.
    #[inline]
    pub fn take(
        &mut self,
        world: &World,
        inbox: &Inbox,
        want: &Want,
        link: Option<&Ring<Letter>>,
    ) -> Option<Letter> {
        if let Some(letter) = self.take_unexpected(want) {
            return Some(letter);
        }
        let Some(link) = link else {
            self.drain_all(world, inbox);
            return self.take_unexpected(want);
        };
        // SAFETY: only the holder of the inbox's lock pops its rings.
        while let Some(letter) = unsafe { link.pop() } {
            let letter = if self.posted.is_empty() {
                letter
            } else {
                match self.match_posted(world, inbox, letter) {
                    Some(letter) => letter,
                    None => continue,
                }
            };
            if want.accepts(&letter) {
                return Some(letter);
            }
            self.push_unexpected(letter);
        }
        None
    }

    /// The short way for the commonest case: the next letter of `link` is the one wanted and holds or lends not too
    /// much, and nothing that came or was asked for before stands in between. `None` says nothing about what there is.
    ///
    /// # Safety
    /// `data` is valid for writes of `capacity` bytes, and nobody lends it.
    #[inline(always)]
    pub unsafe fn take_front(
        &mut self,
        world: &World,
        want: &Want,
        link: &Ring<Letter>,
        kind: Kind,
        data: *mut u8,
        capacity: usize,
    ) -> Option<Outcome<Envelope>> {
        if !self.unexpected.is_empty() || !self.posted.is_empty() {
            return None;
        }
        // SAFETY: only the holder of the inbox's lock pops its rings; what `read_front` answers for has nothing left to
        // drop; the rest is the caller's promise.
        unsafe {
            link.pop_with(|letter| match want.accepts(letter) {
                true => letter.read_front(world, kind, data, capacity),
                false => None,
            })
        }
    }

    /// As [`Sorted::take_front`], for the receive that has this ticket, if no other is posted. Whether it has ended.
    pub fn serve_front(
        &mut self,
        world: &World,
        inbox: &Inbox,
        ticket: &Ticket,
        link: &Ring<Letter>,
    ) -> bool {
        let index = ticket.place.load(Ordering::Relaxed);
        let Some(posted) = self.posted.get(index).filter(|posted| std::ptr::eq(&*posted.ticket, ticket))
        else {
            return ticket.ended();
        };
        if self.posted.len() > 1 {
            return false;
        }
        // SAFETY: only the holder of the inbox's lock pops its rings; what `read_front` answers for has nothing left to
        // drop; the buffer is the receive's until it ends, under this lock.
        let outcome = unsafe {
            link.pop_with(|letter| match posted.want.accepts(letter) {
                true => letter.read_front(world, posted.kind, posted.data, posted.capacity),
                false => None,
            })
        };
        let Some(outcome) = outcome else { return false };
        self.posted.remove(index);
        inbox.posted.store(self.posted.len() as u32, Ordering::Relaxed);
        ticket.end(outcome);
        true
    }

    /// The envelope of the first letter that `want` accepts.
    pub fn find(&mut self, world: &World, inbox: &Inbox, want: &Want) -> Option<Envelope> {
        self.drain_all(world, inbox);
        let index = self.find_unexpected(want)?;
        self.unexpected.get(index).map(Letter::envelope)
    }

    /// Claims the first letter that `want` accepts: from now on only [`Sorted::take_claimed`] finds it.
    pub fn claim(&mut self, world: &World, inbox: &Inbox, want: &Want) -> Option<(u32, Envelope)> {
        self.drain_all(world, inbox);
        let index = self.find_unexpected(want)?;
        self.unexpected.keep(index);
        self.unexpected.get(index).map(|letter| (index, letter.envelope()))
    }

    pub fn take_claimed(&mut self, index: u32) -> Option<Letter> {
        self.unexpected.remove(index)
    }

    /// The letter with which a sender lends its buffer, if it has not been delivered.
    pub fn lent(&mut self, loan: &Loan) -> Option<u32> {
        let index = loan.place();
        self.unexpected.get(index).filter(|letter| letter.is_lent_as(loan)).map(|_| index)
    }

    /// Gives a lent letter that [`Sorted::lent`] found a copy of its own.
    pub fn keep_copy(&mut self, index: u32) {
        if let Some(letter) = self.unexpected.get_mut(index) {
            // SAFETY: it stands among the undelivered, and nobody takes it from there without the lock that we hold.
            unsafe { letter.keep_copy() };
        }
    }

    /// Takes such a letter away. One that is claimed stays, with a copy: the claim counts on it.
    pub fn remove_unexpected(&mut self, index: u32) {
        if self.unexpected.is_queued(index) {
            self.unexpected.remove(index);
        } else {
            self.keep_copy(index);
        }
    }

    /// Starts a receive, unless its letter is there already: then that is its outcome. `ticket` is a new one.
    ///
    /// # Safety
    /// `data` is valid for writes of `capacity` bytes, and left alone, until the ticket has ended or
    /// [`Sorted::withdraw`] has taken it back.
    #[allow(clippy::too_many_arguments, reason = "an MPI_Irecv, and where it is posted")]
    pub unsafe fn post(
        &mut self,
        world: &World,
        inbox: &Inbox,
        want: Want,
        kind: Kind,
        data: *mut u8,
        capacity: usize,
        ticket: impl FnOnce() -> Arc<Ticket>,
    ) -> Result<Outcome<Envelope>, Arc<Ticket>> {
        if world.turns.is_none()
            && let Some(letter) = self.take_unexpected(&want)
        {
            // SAFETY: the caller's promise.
            return Ok(unsafe { letter.deliver(world, kind, data, capacity) });
        }
        let (ticket, number) = (ticket(), self.posts);
        self.posts += 1;
        let posted = Posted { want, number, kind, data, capacity, ticket: ticket.clone() };
        let index = self.posted.push(want.bucket().unwrap_or(UNKEYED), posted);
        ticket.place.store(index, Ordering::Relaxed);
        inbox.posted.store(self.posted.len() as u32, Ordering::Relaxed);
        // A sender looks at `posted` after its letter is in the ring, we look into the rings after `posted` is stored.
        // At the same instant both may miss each other: then whoever waits first looks again, and before it sleeps
        // behind a fence for both, which meets this one.
        light_fence();
        self.drain_all(world, inbox);
        if world.turns.is_some() {
            self.settle(world, inbox);
        }
        Err(ticket)
    }

    /// Takes a started receive back. If it is not there any more (`false`), it has ended.
    pub fn withdraw(&mut self, inbox: &Inbox, ticket: &Arc<Ticket>) -> bool {
        let index = ticket.place.load(Ordering::Relaxed);
        let there = self.posted.get(index).is_some_and(|posted| Arc::ptr_eq(&posted.ticket, ticket));
        if there {
            self.posted.remove(index);
            inbox.posted.store(self.posted.len() as u32, Ordering::Relaxed);
        }
        there
    }
}

/// Where ranks take turns, letters wait until it is decided who gets them.
impl Sorted {
    /// For each sender the letter that `want`, posted as the one of this number, would take of it, and where it stands, in
    /// the order of the senders. None of a sender whose letter an earlier receive may take yet.
    pub fn free(&self, want: &Want, number: u64) -> Vec<(u32, u32)> {
        let (mut seen, mut free) = (Vec::new(), Vec::new());
        for (index, letter) in self.unexpected.each().filter(|(_, letter)| want.accepts(letter)) {
            if seen.contains(&letter.source) {
                continue;
            }
            seen.push(letter.source);
            let earlier = |posted: &Posted| posted.number < number && posted.want.accepts(letter);
            if !self.posted.each().any(|(_, posted)| earlier(posted)) {
                free.push((letter.source, index));
            }
        }
        free.sort_unstable();
        free
    }

    /// What the envelope of a free letter is.
    pub fn envelope(&self, index: u32) -> Option<Envelope> {
        self.unexpected.get(index).map(Letter::envelope)
    }

    /// Claims a free letter, as [`Sorted::claim`].
    pub fn claim_free(&mut self, index: u32) -> Option<Envelope> {
        self.unexpected.keep(index);
        self.envelope(index)
    }

    /// Takes a free letter.
    pub fn take_free(&mut self, index: u32) -> Option<Letter> {
        self.unexpected.remove(index)
    }

    /// Hands out the letters about which there is nothing to decide.
    fn settle(&mut self, world: &World, inbox: &Inbox) {
        let certain = |sorted: &Sorted| {
            sorted.posted.each().filter(|(_, posted)| !posted.is_open()).find_map(|(index, posted)| {
                sorted.free(&posted.want, posted.number).first().map(|&(_, letter)| (index, letter))
            })
        };
        while let Some((index, letter)) = certain(self)
            && let Some(letter) = self.unexpected.remove(letter)
        {
            self.give(world, inbox, index, letter);
            if let Some(turns) = &world.turns {
                turns.stir();
            }
        }
    }

    /// What the started receives could take about which somebody must decide.
    pub fn undecided(&self) -> Vec<Act> {
        let open = self.posted.each().filter(|(_, posted)| posted.is_open());
        open.flat_map(|(_, posted)| {
            let free = self.free(&posted.want, posted.number).into_iter();
            free.map(|(source, _)| Act::Posted(posted.number, source))
        })
        .collect()
    }

    /// It is decided that the receive of this number takes the letter of `source`.
    pub fn fill(&mut self, world: &World, inbox: &Inbox, number: u64, source: u32) {
        let found = self.posted.each().find(|(_, posted)| posted.number == number);
        let Some((index, want)) = found.map(|(index, posted)| (index, posted.want)) else { return };
        let free = self.free(&want, number);
        if let Some((_, letter)) = free.into_iter().find(|(free, _)| *free == source)
            && let Some(letter) = self.unexpected.remove(letter)
        {
            self.give(world, inbox, index, letter);
            self.settle(world, inbox);
        }
    }
}
