//! Where each rank of a few shows the others what it brings: a place of its own, for even and for odd calls.
//!
//! A rank fills its place, stamps it with the number of the call, and watches the places of the others. It fills the
//! same place again two calls later; by then it has seen the stamps of the call between, whose ranks had all done
//! with this one. So nobody writes what another still reads, and no cache line is written by two.
//!
//! A rank may withdraw what it has stamped while it waits for the others. Then each of them either has not looked
//! yet and will not find it, or is seen to have stamped its own place and must be waited for.

use super::sync::{AtomicU64, Ordering, Padded, UnsafeCell, heavy_fence, light_fence};

pub(super) struct Posts<T> {
    places: Box<[[Padded<Place<T>>; 2]]>,
    /// The last call for the end of which each rank has reported.
    done: Box<[Padded<AtomicU64>]>,
}

#[repr(C)]
struct Place<T> {
    stamp: AtomicU64,
    value: UnsafeCell<T>,
}

/// Added to the number of a call that did not end well.
const FAILED: u64 = 1 << 63;

/// The stamp of what has been withdrawn; numbers start at 1.
const WITHDRAWN: u64 = 0;

/// How a rank ended a call, as the others see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    NotYet,
    Well,
    Failed,
    /// It took no part.
    Withdrawn,
}

// SAFETY: a value is written by its rank before the stamp, and read by others once they have seen that; see above for
// when it is written again.
unsafe impl<T: Send + Sync> Sync for Posts<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Send for Posts<T> {}

impl<T> Posts<T> {
    pub fn new(size: usize, empty: impl Fn() -> T) -> Posts<T> {
        let place = || Padded(Place { stamp: AtomicU64::new(WITHDRAWN), value: UnsafeCell::new(empty()) });
        Posts {
            places: (0..size).map(|_| [place(), place()]).collect(),
            done: (0..size).map(|_| Padded(AtomicU64::new(0))).collect(),
        }
    }

    fn place(&self, rank: usize, number: u64) -> &Place<T> {
        &self.places[rank][(number & 1) as usize].0
    }

    /// Rank `rank`, which calls, shows what `fill` writes.
    ///
    /// # Safety
    /// Its last call had the number before and was seen by this rank to be shown by all; only this thread calls for
    /// it.
    #[inline(always)]
    pub unsafe fn show(&self, rank: usize, number: u64, fill: impl FnOnce(&mut T)) {
        let place = self.place(rank, number);
        // SAFETY: the caller's promise, so nobody reads it any more.
        place.value.with_mut(|value| fill(unsafe { &mut *value }));
        place.stamp.store(number, Ordering::Release);
        // Between what we show and what we look at: see `withdraw`.
        light_fence();
    }

    /// Whether `rank` shows something for this call.
    #[inline(always)]
    pub fn shown(&self, rank: usize, number: u64) -> bool {
        self.place(rank, number).stamp.load(Ordering::Acquire) == number
    }

    /// What `rank` shows.
    ///
    /// # Safety
    /// It has been seen to be shown in this call, which the caller has not left.
    #[inline(always)]
    pub unsafe fn value<R>(&self, rank: usize, number: u64, look: impl FnOnce(*const T) -> R) -> R {
        self.place(rank, number).value.with(look)
    }

    /// Takes back what `rank`, which calls, has shown. Those for which `concerned` is then called may have seen it all
    /// the same, and must be waited for until they end.
    pub fn withdraw(&self, rank: usize, number: u64, mut concerned: impl FnMut(usize)) {
        self.place(rank, number).stamp.store(WITHDRAWN, Ordering::Relaxed);
        heavy_fence();
        (0..self.places.len())
            .filter(|&other| other != rank && self.shown(other, number))
            .for_each(&mut concerned);
    }

    /// Reports the end of rank `rank`'s part: it touches nobody's buffers any more.
    #[inline]
    pub fn end(&self, rank: usize, number: u64, well: bool) {
        self.done[rank].store(if well { number } else { number | FAILED }, Ordering::Release);
    }

    /// How `rank` ended its part of a call that all were seen to show.
    #[inline]
    pub fn ended(&self, rank: usize, number: u64) -> End {
        let done = self.done[rank].load(Ordering::Acquire);
        if done == number {
            End::Well
        } else if done == number | FAILED {
            End::Failed
        } else if self.place(rank, number).stamp.load(Ordering::Acquire) == WITHDRAWN {
            End::Withdrawn
        } else {
            End::NotYet
        }
    }
}
