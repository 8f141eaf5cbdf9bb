//! Where each rank of a few shows what it starts without waiting: a ring of places, and a queue for when those are full.
//!
//! As in `posts`, a rank fills a place, stamps it with the number of the start, and watches the places of the others.
//! But here it may start again before anybody has looked, and ranks end what they have started in any order. So a place
//! is filled again only when every rank has said that it looks at it no more. It says so on lines of its own, which
//! the place's owner reads when it has run out of places known to be free: once in a round of the ring.
//!
//! A start whose place is still in use goes into the owner's queue, behind a lock; whoever does not find it in its place
//! looks there. So a start never waits, and one that some rank never ends keeps one place, no more.
//!
//! What is shown is never taken back: it holds no addresses.

use super::sync::{AtomicU64, Mutex, MutexGuard, Ordering, Padded, UnsafeCell};
use std::sync::{Arc, PoisonError};

pub(super) struct Notices<T, const PLACES: usize> {
    ranks: Box<[Rank<T, PLACES>]>,
    /// Makes the value of a new place.
    empty: fn() -> T,
}

struct Rank<T, const PLACES: usize> {
    places: [Padded<Place<T>>; PLACES],
    /// The last number that went into the queue.
    queued: Padded<AtomicU64>,
    queue: Mutex<Queue<T>>,
    /// What this rank has ended last, by rank and place looked at.
    ended: Box<[Padded<[AtomicU64; PLACES]>]>,
    own: Padded<UnsafeCell<Own>>,
}

#[repr(C)]
struct Place<T> {
    stamp: AtomicU64,
    value: UnsafeCell<T>,
}

struct Queue<T> {
    /// With the number of ranks that have not ended it yet.
    notices: Vec<(Arc<Place<T>>, usize)>,
    idle: Vec<Arc<Place<T>>>,
}

/// What only the rank's own thread uses.
struct Own {
    /// Places that are known to be free, one a bit.
    free: u64,
    /// What it has given up before all had started it.
    given_up: Vec<u64>,
}

/// No start has this number.
const NEVER: u64 = 0;

// SAFETY: a value is written by its rank before the stamp (or before it goes into the queue), read by others once they
// have seen that, and written again when all have said that they have ended it. `own` is its thread's.
unsafe impl<T: Send + Sync, const PLACES: usize> Sync for Notices<T, PLACES> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync, const PLACES: usize> Send for Notices<T, PLACES> {}

impl<T> Place<T> {
    fn new(value: T) -> Place<T> {
        Place { stamp: AtomicU64::new(NEVER), value: UnsafeCell::new(value) }
    }
}

impl<T, const PLACES: usize> Notices<T, PLACES> {
    pub fn new(size: usize, empty: fn() -> T) -> Notices<T, PLACES> {
        const { assert!(PLACES <= u64::BITS as usize) };
        let numbers = || Padded(std::array::from_fn(|_| AtomicU64::new(NEVER)));
        let rank = |_| Rank {
            places: std::array::from_fn(|_| Padded(Place::new(empty()))),
            queued: Padded(AtomicU64::new(NEVER)),
            queue: Mutex::new(Queue { notices: Vec::new(), idle: Vec::new() }),
            ended: (0..size).map(|_| numbers()).collect(),
            own: Padded(UnsafeCell::new(Own { free: 0, given_up: Vec::new() })),
        };
        Notices { ranks: (0..size).map(rank).collect(), empty }
    }

    #[inline(always)]
    fn index(number: u64) -> usize {
        number as usize % PLACES
    }

    #[inline(always)]
    fn place(&self, rank: usize, number: u64) -> &Place<T> {
        &self.ranks[rank].places[Self::index(number)].0
    }

    fn queue(&self, rank: usize) -> MutexGuard<'_, Queue<T>> {
        self.ranks[rank].queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rank `rank`, which calls, shows what `fill` writes.
    ///
    /// # Safety
    /// Only this thread calls for the rank, with 1 and every number after.
    #[inline(always)]
    pub unsafe fn show(&self, rank: usize, number: u64, fill: impl FnOnce(&mut T)) {
        let bit = 1 << Self::index(number);
        let free = self.ranks[rank].own.with_mut(|own| {
            // SAFETY: this thread's own.
            let own = unsafe { &mut *own };
            if own.free & bit == 0 {
                // SAFETY: the caller's promise.
                unsafe { self.tidy(rank, own) };
            }
            let free = own.free & bit != 0;
            own.free &= !bit;
            free
        });
        if !free {
            return self.put_in_queue(rank, number, fill);
        }
        let place = self.place(rank, number);
        // SAFETY: nobody looks at it any more.
        place.value.with_mut(|value| fill(unsafe { &mut *value }));
        place.stamp.store(number, Ordering::Release);
    }

    /// Ends what was given up, and finds out which places are free.
    ///
    /// # Safety
    /// As [`Notices::end`].
    #[inline(never)]
    unsafe fn tidy(&self, rank: usize, own: &mut Own) {
        own.given_up.retain(|&number| {
            // SAFETY: given up, so nobody looks for this rank.
            !unsafe { self.end_if_shown(rank, number) }
        });
        for (index, place) in self.ranks[rank].places.iter().enumerate() {
            let stamp = place.stamp.load(Ordering::Relaxed);
            let ended = |other: &Rank<T, PLACES>| other.ended[rank][index].load(Ordering::Acquire) == stamp;
            if self.ranks.iter().all(ended) {
                own.free |= 1 << index;
            }
        }
    }

    #[cold]
    fn put_in_queue(&self, rank: usize, number: u64, fill: impl FnOnce(&mut T)) {
        let mut queue = self.queue(rank);
        let place = queue.idle.pop().unwrap_or_else(|| Arc::new(Place::new((self.empty)())));
        // SAFETY: it is in no queue yet, so nobody else knows of it.
        place.value.with_mut(|value| fill(unsafe { &mut *value }));
        place.stamp.store(number, Ordering::Relaxed);
        queue.notices.push((place, self.ranks.len()));
        self.ranks[rank].queued.store(number, Ordering::Release);
    }

    /// Where `rank` shows this start.
    #[inline(always)]
    fn find(&self, rank: usize, number: u64) -> Option<*const Place<T>> {
        let place = self.place(rank, number);
        if place.stamp.load(Ordering::Acquire) == number {
            return Some(place);
        }
        match self.ranks[rank].queued.load(Ordering::Acquire) >= number {
            true => self.find_in_queue(rank, number),
            false => None,
        }
    }

    #[cold]
    fn find_in_queue(&self, rank: usize, number: u64) -> Option<*const Place<T>> {
        let queue = self.queue(rank);
        let is_it = |(place, _): &&(Arc<Place<T>>, usize)| place.stamp.load(Ordering::Relaxed) == number;
        queue.notices.iter().find(is_it).map(|(place, _)| Arc::as_ptr(place))
    }

    /// Whether `rank` shows this start, which the caller has not ended.
    #[inline(always)]
    pub fn shown(&self, rank: usize, number: u64) -> bool {
        self.find(rank, number).is_some()
    }

    /// What `rank` shows.
    ///
    /// # Safety
    /// It has been seen to be shown, and the caller has not ended it.
    #[inline(always)]
    pub unsafe fn value<R>(&self, rank: usize, number: u64, look: impl FnOnce(*const T) -> R) -> R {
        match self.find(rank, number) {
            // SAFETY: it stays in its place or in the queue until the caller has ended it.
            Some(place) => unsafe { (*place).value.with(look) },
            None => unreachable!("seen to be shown"),
        }
    }

    /// Rank `rank`, which calls, looks at nothing of this number any more.
    ///
    /// # Safety
    /// Only this thread calls for the rank, once a number, which it has seen to be shown by all.
    #[inline(always)]
    pub unsafe fn end(&self, rank: usize, number: u64) {
        let index = Self::index(number);
        for other in 0..self.ranks.len() {
            if self.place(other, number).stamp.load(Ordering::Relaxed) == number {
                self.ranks[rank].ended[other][index].store(number, Ordering::Release);
            } else {
                self.end_in_queue(other, number);
            }
        }
    }

    #[cold]
    fn end_in_queue(&self, rank: usize, number: u64) {
        let mut queue = self.queue(rank);
        let is_it = |(place, _): &(Arc<Place<T>>, usize)| place.stamp.load(Ordering::Relaxed) == number;
        if let Some(at) = queue.notices.iter().position(is_it) {
            queue.notices[at].1 -= 1;
            if queue.notices[at].1 == 0 {
                let (place, _) = queue.notices.swap_remove(at);
                if queue.idle.len() < PLACES {
                    queue.idle.push(place);
                }
            }
        }
    }

    /// As [`Notices::end`], also of what has not been shown by all yet: that is ended at a later start.
    ///
    /// # Safety
    /// Only this thread calls for the rank, once a number and instead of ending it.
    pub unsafe fn give_up(&self, rank: usize, number: u64) {
        // SAFETY: the caller's promise.
        if !unsafe { self.end_if_shown(rank, number) } {
            // SAFETY: this thread's own.
            self.ranks[rank].own.with_mut(|own| unsafe { (*own).given_up.push(number) });
        }
    }

    /// # Safety
    /// As [`Notices::end`], but that it need not have been shown.
    unsafe fn end_if_shown(&self, rank: usize, number: u64) -> bool {
        let all = (0..self.ranks.len()).all(|other| self.shown(other, number));
        if all {
            // SAFETY: the caller's promise.
            unsafe { self.end(rank, number) };
        }
        all
    }
}
