//! What one rank shows: in which call it is, what it needs there, what it has sent and received.
//!
//! The rank writes, a store or two a call; the watch of its process reads, without a lock. `epoch` is odd inside a call and
//! moves on at its beginning and its end, so a reader that finds it unchanged has read one call's words. While it stays
//! the same the rank has done nothing: neither sent nor received nor entered anything. So what a call has taken is counted after it.

use super::fixed::Fixed;
use super::key::{CONTEXTS, Key};
use super::need::Need;
use super::tally::Tally;
use crate::engine::{Catch, Caught, Place};
use std::panic::Location;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The name of a call; what it points to lives for ever.
pub(crate) type Name = &'static &'static str;

#[repr(align(128))]
pub(crate) struct Board {
    /// In the world.
    pub rank: usize,
    epoch: AtomicU64,
    name: Fixed<&'static str>,
    place: Fixed<Location<'static>>,
    /// Where what is waited for was started.
    origin: Fixed<Location<'static>>,
    need: [AtomicU64; 3],
    life: AtomicU32,
    step: AtomicU64,
    pub(super) tally: Tally,
    contexts: Mutex<Vec<Context>>,
    list: Mutex<Vec<Listed>>,
    /// Receives with a wildcard that are under way, and what they have got.
    open: Mutex<Vec<(Need, Catch)>>,
    recent: [Memory; REMEMBERED],
    left: Mutex<Vec<String>>,
}

/// Whether a rank is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u32)]
pub enum Life {
    /// It is.
    Running = 0,
    /// Its part is over, well.
    Returned = 1,
    /// It has failed.
    Failed = 2,
    /// Its process is gone.
    Lost = 3,
    /// It could not be asked.
    Unseen = 4,
}

/// A communicator as this rank knows it.
#[derive(Clone, Debug)]
pub(super) struct Context {
    /// The same on all of its ranks.
    pub id: u64,
    pub members: Members,
    /// In a topology: the ranks of the communicator that this one hears from and speaks to.
    pub neighbors: Vec<u32>,
    /// What the author made, and where; `None` for what was there from the start or is the framework's own.
    pub origin: Option<(Name, Place)>,
    pub live: bool,
}

/// The world ranks of a communicator.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Members {
    /// Its ranks are those of the world; so many.
    Same(u32),
    These(Vec<u32>),
}

impl Members {
    pub fn of(ranks: Vec<usize>) -> Members {
        match ranks.iter().enumerate().all(|(here, &there)| here == there) {
            true => Members::Same(ranks.len() as u32),
            false => Members::These(ranks.into_iter().map(|rank| rank as u32).collect()),
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Members::Same(size) => *size as usize,
            Members::These(ranks) => ranks.len(),
        }
    }

    /// The world rank of a rank of the communicator.
    pub fn world(&self, rank: u32) -> Option<u32> {
        match self {
            Members::Same(size) => (rank < *size).then_some(rank),
            Members::These(ranks) => ranks.get(rank as usize).copied(),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        (0..self.len() as u32).filter_map(|rank| Some((rank, self.world(rank)?)))
    }
}

/// One of several things that a rank waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    pub need: Need,
    /// Where it was started.
    pub origin: Place,
}

/// A collective call that was entered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recent {
    pub context: u32,
    /// Among the calls of its communicator, from 1.
    pub number: u64,
    pub name: Name,
    pub place: Place,
}

/// Room for one of them. What is read of it while its rank moves may be of two calls.
struct Memory {
    /// The context above the number.
    which: AtomicU64,
    name: Fixed<&'static str>,
    place: Fixed<Location<'static>>,
}

impl Memory {
    const fn empty() -> Memory {
        Memory { which: AtomicU64::new(0), name: Fixed::new(), place: Fixed::new() }
    }
}

/// How many collective calls are remembered.
const REMEMBERED: usize = 8;

/// What was read of a board at once.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub epoch: u64,
    pub life: Life,
    /// `None` outside of calls.
    pub call: Option<Inside>,
}

#[derive(Clone, Debug)]
pub(super) struct Inside {
    pub name: Name,
    pub place: Place,
    pub origin: Option<Place>,
    pub need: Need,
    pub list: Vec<Listed>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    pub fn new(rank: usize) -> Board {
        Board {
            rank,
            epoch: AtomicU64::new(0),
            name: Fixed::new(),
            place: Fixed::new(),
            origin: Fixed::new(),
            need: [const { AtomicU64::new(0) }; 3],
            life: AtomicU32::new(0),
            step: AtomicU64::new(0),
            tally: Tally::new(),
            contexts: Mutex::default(),
            list: Mutex::default(),
            open: Mutex::default(),
            recent: [const { Memory::empty() }; REMEMBERED],
            left: Mutex::default(),
        }
    }

    /// The rank goes into a call.
    #[inline(always)]
    pub(super) fn enter(&self, name: Name, place: Place, need: &Need) {
        let epoch = self.epoch.load(Ordering::Relaxed);
        // Whoever sees a word of this call sees that the epoch of the one before is over.
        fence(Ordering::Release);
        self.name.set(name);
        self.place.set(place);
        self.write(need);
        self.epoch.store(epoch + 1, Ordering::Release);
    }

    /// The rank goes into a call that waits for what was started there.
    #[inline(always)]
    pub(super) fn enter_wait(&self, name: Name, place: Place, need: &Need, origin: Place) {
        let epoch = self.epoch.load(Ordering::Relaxed);
        fence(Ordering::Release);
        self.origin.set(origin);
        self.name.set(name);
        self.place.set(place);
        self.write(need);
        self.epoch.store(epoch + 1, Ordering::Release);
    }

    /// The rank is out of it.
    #[inline(always)]
    pub(super) fn leave(&self) {
        self.epoch.store(self.epoch.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// Inside a call the rank now needs something else.
    #[inline(always)]
    pub(super) fn change(&self, need: &Need, origin: Option<Place>, list: &[Listed]) {
        let epoch = self.epoch.load(Ordering::Relaxed);
        self.epoch.store(epoch + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        self.write(need);
        if let Some(origin) = origin {
            self.origin.set(origin);
        }
        if need.is_list() {
            let mut own = lock(&self.list);
            own.clear();
            own.extend_from_slice(list);
        }
        self.epoch.store(epoch + 2, Ordering::Release);
    }

    #[inline(always)]
    fn write(&self, need: &Need) {
        for (place, word) in self.need.iter().zip(need.words()) {
            place.store(word, Ordering::Relaxed);
        }
    }

    /// What the rank needs now, as far as the words are of one call.
    pub(super) fn needed(&self) -> Need {
        Need::of_words([0, 1, 2].map(|i| self.need[i].load(Ordering::Relaxed)))
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Whether the rank is in a call, and one that needs others.
    pub(super) fn is_blocked(&self) -> bool {
        self.epoch() & 1 == 1 && self.need[0].load(Ordering::Relaxed) & 0xff != 0
    }

    /// Reads one call's words, from any thread. A rank that moves all the time is running.
    pub(super) fn read(&self) -> Seen {
        let life = self.life();
        for _ in 0..100 {
            let epoch = self.epoch();
            if epoch & 1 == 0 {
                return Seen { epoch, life, call: None };
            }
            let need = self.needed();
            let (name, place, origin) = (self.name.get(), self.place.get(), self.origin.get());
            let list = if need.is_list() { lock(&self.list).clone() } else { Vec::new() };
            fence(Ordering::Acquire);
            if self.epoch.load(Ordering::Relaxed) == epoch {
                let call = name.zip(place).map(|(name, place)| Inside { name, place, origin, need, list });
                return Seen { epoch, life, call };
            }
        }
        Seen { epoch: self.epoch(), life, call: None }
    }

    pub(crate) fn set_life(&self, life: Life) {
        self.life.store(life as u32, Ordering::Release);
    }

    pub(super) fn life(&self) -> Life {
        match self.life.load(Ordering::Acquire) {
            1 => Life::Returned,
            2 => Life::Failed,
            _ => Life::Running,
        }
    }

    /// The rank is at that time step.
    pub(crate) fn set_step(&self, step: u64) {
        self.step.store(step.saturating_add(1), Ordering::Relaxed);
    }

    pub(super) fn step(&self) -> Option<u64> {
        self.step.load(Ordering::Relaxed).checked_sub(1)
    }

    /// The source line of the call that the rank is in or was in last.
    pub(super) fn last_place(&self) -> Option<Place> {
        self.place.get()
    }

    pub(super) fn leave_open(&self, need: Need, catch: Catch) {
        lock(&self.open).push((need, catch));
    }

    pub(super) fn no_longer_open(&self, need: Need) {
        let mut open = lock(&self.open);
        if let Some(at) =
            open.iter().position(|(known, _)| (known.key, known.number) == (need.key, need.number))
        {
            open.swap_remove(at);
        }
    }

    /// The receives with a wildcard that have got a message and that the rank will wait for later, with its source and tag. Not
    /// those that it waits for now: they let it go on, which others would have to see at the same time.
    pub(super) fn caught(&self) -> Vec<(Key, usize, i32)> {
        let open = lock(&self.open);
        if open.is_empty() {
            return Vec::new();
        }
        let now: Vec<Need> = match self.read().call {
            Some(call) if call.need.is_list() => call.list.iter().map(|listed| listed.need).collect(),
            Some(call) => vec![call.need],
            None => return Vec::new(),
        };
        let waits = |need: &Need| now.iter().any(|now| (now.key, now.number) == (need.key, need.number));
        open.iter()
            .filter(|(need, _)| !waits(need))
            .filter_map(|(need, catch)| catch.caught().map(|(source, tag)| (need.key, source, tag)))
            .collect()
    }

    /// What the rank leaves behind at its end.
    pub(super) fn leave_behind(&self, left: Vec<String>) {
        *lock(&self.left) = left;
    }

    pub(super) fn left(&self) -> Vec<String> {
        lock(&self.left).clone()
    }

    /// A communicator or window that this rank has come into; its index in keys.
    pub(crate) fn add_context(&self, id: u64, members: Members, origin: Option<(Name, Place)>) -> u32 {
        let mut contexts = lock(&self.contexts);
        let index = contexts.len() as u32;
        if index >= CONTEXTS {
            return CONTEXTS;
        }
        contexts.push(Context { id, members, neighbors: Vec::new(), origin, live: true });
        index
    }

    pub(crate) fn set_neighbors(&self, index: u32, neighbors: Vec<u32>) {
        if let Some(context) = lock(&self.contexts).get_mut(index as usize) {
            context.neighbors = neighbors;
        }
    }

    /// The communicator or window is gone on this rank.
    pub(crate) fn end_context(&self, index: u32) {
        if let Some(context) = lock(&self.contexts).get_mut(index as usize) {
            context.live = false;
        }
    }

    pub(crate) fn context_members(&self, index: u32) -> Option<Members> {
        lock(&self.contexts).get(index as usize).map(|context| context.members.clone())
    }

    pub(super) fn contexts(&self) -> Vec<Context> {
        lock(&self.contexts).clone()
    }

    /// The rank enters the collective call of that number.
    #[inline(always)]
    pub(super) fn remember(&self, context: u32, number: u64, name: Name, place: Place) {
        let memory = &self.recent[number as usize % REMEMBERED];
        memory.which.store(u64::from(context) << 48 | number & 0xffff_ffff_ffff, Ordering::Relaxed);
        memory.name.set(name);
        memory.place.set(place);
    }

    /// The collective calls that are remembered, in no order.
    pub(super) fn recent(&self) -> Vec<Recent> {
        let read = |memory: &Memory| {
            let which = memory.which.load(Ordering::Relaxed);
            let (context, number) = ((which >> 48) as u32, which & 0xffff_ffff_ffff);
            Some(Recent { context, number, name: memory.name.get()?, place: memory.place.get()? })
        };
        self.recent.iter().filter_map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::{Class, Key};
    use super::super::need::What;
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn nobody_reads_the_words_of_two_calls_together() {
        let (board, stop) = (Arc::new(Board::new(0)), Arc::new(AtomicBool::new(false)));
        let writer = {
            let (board, stop) = (board.clone(), stop.clone());
            std::thread::spawn(move || {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    let (peer, tag) = (number as usize % 1000, number as i32 % 1000);
                    let key = Key::new(Class::Wanted, 0, Some(peer), Some(tag));
                    board.enter(&"recv", Location::caller(), &Need::new(What::Message, key, number % 1000));
                    // Some calls take long enough to be read.
                    (0..number % 3 * 20).for_each(|_| std::hint::spin_loop());
                    board.leave();
                }
            })
        };
        let mut inside = 0;
        while inside < 10_000 {
            if let Some(call) = board.read().call {
                let (peer, tag) = (call.need.key.peer(), call.need.key.tag());
                assert_eq!(
                    (peer.map(u64::from), tag),
                    (Some(call.need.number), Some(call.need.number as i32))
                );
                inside += 1;
            }
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    }
}
