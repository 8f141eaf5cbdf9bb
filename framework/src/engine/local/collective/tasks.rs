//! Work that is cut into units, which whoever has time claims.
//!
//! One thread lays the work out before the others are let at it; then everybody claims, works and reports. When the
//! last unit is reported, all that was done is seen by whoever sees that it is over.

use super::sync::{AtomicU32, AtomicU64, Ordering, Padded};

pub(super) struct Tasks {
    next: Padded<AtomicU64>,
    finished: Padded<AtomicU64>,
    total: AtomicU64,
    /// How many units are claimed at once.
    batch: AtomicU64,
    failed: AtomicU32,
}

impl Tasks {
    pub fn new() -> Tasks {
        Tasks {
            next: Padded(AtomicU64::new(0)),
            finished: Padded(AtomicU64::new(0)),
            total: AtomicU64::new(0),
            batch: AtomicU64::new(1),
            failed: AtomicU32::new(0),
        }
    }

    /// New work. Nobody else is at the old or the new until told so.
    pub fn lay_out(&self, total: u64, batch: u64) {
        self.next.store(0, Ordering::Relaxed);
        self.finished.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        self.batch.store(batch.max(1), Ordering::Relaxed);
        self.failed.store(0, Ordering::Relaxed);
    }

    /// Whether there is something left to claim.
    #[inline]
    pub fn any_left(&self) -> bool {
        self.next.load(Ordering::Relaxed) < self.total.load(Ordering::Relaxed)
    }

    /// Units that are now the caller's to do.
    #[inline]
    pub fn claim(&self) -> Option<std::ops::Range<u64>> {
        if !self.any_left() {
            return None;
        }
        let batch = self.batch.load(Ordering::Relaxed);
        let total = self.total.load(Ordering::Relaxed);
        let from = self.next.fetch_add(batch, Ordering::Relaxed);
        (from < total).then(|| from..total.min(from + batch))
    }

    /// Reports units as done. Whether they were the last.
    #[inline]
    pub fn report(&self, units: std::ops::Range<u64>) -> bool {
        let done = units.end - units.start;
        self.finished.fetch_add(done, Ordering::AcqRel) + done == self.total.load(Ordering::Relaxed)
    }

    /// Some unit could not be done: before it is reported.
    pub fn fail(&self) {
        self.failed.store(1, Ordering::Relaxed);
    }

    /// To be asked once it is over.
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed) != 0
    }

    /// Whether every unit has been reported.
    #[inline]
    pub fn over(&self) -> bool {
        self.finished.load(Ordering::Acquire) == self.total.load(Ordering::Relaxed)
    }
}
