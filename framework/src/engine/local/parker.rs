//! Sleeping without missing the call: one a rank.
//!
//! Who waits says so, looks once more, and sleeps; who brings something looks whether anybody sleeps. The fences on
//! either side (`asymmetric`) make sure that one of them sees the other.

use super::sync::{AtomicU32, Ordering, Thread, heavy_fence, light_fence, thread};
use std::sync::OnceLock;

pub(super) struct Parker {
    asleep: AtomicU32,
    thread: OnceLock<Thread>,
}

impl Parker {
    pub fn new() -> Self {
        Parker { asleep: AtomicU32::new(0), thread: OnceLock::new() }
    }

    /// The current thread is the one that will sleep here.
    pub fn enter(&self) {
        let _ = self.thread.set(thread::current());
    }

    /// Sleeps until woken, unless `ready`. May return early; the caller looks again.
    pub fn park(&self, ready: impl FnOnce() -> bool) {
        self.asleep.store(1, Ordering::Relaxed);
        heavy_fence();
        if !ready() {
            thread::park();
        }
        self.asleep.store(0, Ordering::Relaxed);
    }

    /// Wakes the sleeper, if there is one. What it waits for has been stored before.
    #[inline(always)]
    pub fn wake(&self) {
        light_fence();
        if self.asleep.load(Ordering::Relaxed) != 0 {
            self.wake_sleeper();
        }
    }

    #[cold]
    fn wake_sleeper(&self) {
        if self.asleep.swap(0, Ordering::AcqRel) != 0
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}
