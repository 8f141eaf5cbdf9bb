//! A rank's counters, by [`Key`]: one thread counts, others look.
//!
//! Segments of slots, each larger than the one before, made when they are needed and never moved, so that whoever looks
//! needs no lock. A key stands in the first segment in which one of its few slots was free when it came; it is never
//! removed, so a free slot says that the key is in no later segment.

use super::fixed::Fixed;
use super::key::Key;
use crate::engine::Place;
use std::panic::Location;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The slots of the first segment; the next ones have four times as many each.
const FIRST: usize = 32;
/// The later segments.
const SEGMENTS: usize = 6;

/// The slots of a segment in which a key may stand.
const REACH: usize = 8;

pub(super) struct Tally {
    /// The first segment.
    first: [Slot; FIRST],
    /// The later ones.
    segments: [OnceLock<Box<[Slot]>>; SEGMENTS],
    /// Whether keys have been left out because all of their slots were taken.
    full: AtomicBool,
}

pub(super) struct Slot {
    key: AtomicU64,
    count: AtomicU64,
    bytes: AtomicU64,
    place: Fixed<Location<'static>>,
}

/// What stands under a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    pub key: Key,
    pub count: u64,
    pub bytes: u64,
    /// The source line of the last one.
    pub place: Option<Place>,
}

impl Slot {
    const fn empty() -> Slot {
        Slot {
            key: AtomicU64::new(0),
            count: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            place: Fixed::new(),
        }
    }

    #[inline(always)]
    fn add(&self, by: u64, bytes: u64, place: Place) -> u64 {
        add(&self.bytes, bytes);
        let now = add(&self.count, by);
        // After the count: who reads the place first never finds that of a later one with this count.
        self.place.set(place);
        now
    }

    fn read(&self) -> Option<Count> {
        let key = self.key.load(Ordering::Acquire);
        (key != 0).then(|| {
            let place = self.place.get();
            Count {
                key: Key(key),
                count: self.count.load(Ordering::Relaxed),
                bytes: self.bytes.load(Ordering::Relaxed),
                place,
            }
        })
    }
}

/// Adds to a counter that only this thread writes.
#[inline(always)]
fn add(counter: &AtomicU64, by: u64) -> u64 {
    let now = counter.load(Ordering::Relaxed).wrapping_add(by);
    counter.store(now, Ordering::Relaxed);
    now
}

/// Where the search for a key begins.
#[inline(always)]
fn start(key: Key) -> usize {
    (key.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize
}

fn slots(segment: &[Slot], key: Key) -> impl Iterator<Item = &Slot> {
    let mask = segment.len() - 1;
    (0..REACH).map(move |i| &segment[(start(key) + i) & mask])
}

impl Tally {
    pub fn new() -> Tally {
        Tally {
            first: [const { Slot::empty() }; FIRST],
            segments: [const { OnceLock::new() }; SEGMENTS],
            full: AtomicBool::new(false),
        }
    }

    /// Adds to the counter of a key and says what it is now; 0 if there was no room for the key. By the owner only.
    #[inline(always)]
    pub fn add(&self, key: Key, by: u64, bytes: u64, place: Place) -> u64 {
        let slot = &self.first[start(key) % FIRST];
        if slot.key.load(Ordering::Relaxed) != key.0 {
            return self.add_beyond(key, by, bytes, place);
        }
        slot.add(by, bytes, place)
    }

    #[inline(never)]
    fn add_beyond(&self, key: Key, by: u64, bytes: u64, place: Place) -> u64 {
        let later = self.segments.iter().enumerate().map(|(index, segment)| {
            let new = || (0..FIRST << (2 * (index + 1))).map(|_| Slot::empty()).collect();
            &**segment.get_or_init(new)
        });
        for segment in std::iter::once(&self.first[..]).chain(later) {
            for slot in slots(segment, key) {
                let there = slot.key.load(Ordering::Relaxed);
                if there == 0 || there == key.0 {
                    let now = slot.add(by, bytes, place);
                    slot.key.store(key.0, Ordering::Release);
                    return now;
                }
            }
        }
        self.full.store(true, Ordering::Relaxed);
        0
    }

    /// All counters. From any thread.
    pub fn all(&self) -> impl Iterator<Item = Count> {
        let later = self.segments.iter().filter_map(OnceLock::get).flat_map(|segment| segment.iter());
        self.first.iter().chain(later).filter_map(Slot::read)
    }

    /// Whether there are keys that were not counted.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::Class;
    use super::*;

    #[test]
    fn thousands_of_keys_count_each_for_itself() {
        let tally = Tally::new();
        let here = Location::caller();
        let key = |peer: usize, tag: i32| Key::new(Class::Sent, 3, Some(peer), Some(tag));
        for round in 1..=3 {
            for peer in 0..20 {
                for tag in 0..100 {
                    assert_eq!(tally.add(key(peer, tag), 1, 8, here), round);
                }
            }
        }
        assert_eq!(tally.all().count(), 2000);
        assert!(tally.all().all(|count| count.count == 3 && count.bytes == 24));
        assert!(!tally.is_full());
    }

    #[test]
    fn what_has_no_room_is_known_to_be_unknown() {
        let tally = Tally::new();
        let here = Location::caller();
        let key = |tag: i32| Key::new(Class::Sent, 3, Some(0), Some(tag));
        let room = (0..=SEGMENTS).map(|index| FIRST << (2 * index)).sum::<usize>() as i32;
        for tag in 0..=room {
            tally.add(key(tag), 1, 0, here);
        }
        assert!(tally.is_full());
    }
}
