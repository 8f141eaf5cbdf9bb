//! Where the ranks of a communicator meet: the last to arrive does the work and lets everybody through.
//!
//! The gate orders; what is exchanged stands in `collective`. Whatever a rank wrote before it arrived, the last one
//! may read; whatever the last one wrote, all may read once through. Cells that ranks fill before they arrive are
//! used in turn by even and odd meetings: a rank writes those of a parity again only after a whole meeting of the
//! other one, which nobody enters who still reads.

use super::sync::{AtomicU64, Ordering, Padded};

pub(super) struct Gate {
    size: u32,
    /// How many meetings there have been (high half) and how many ranks have arrived at the next (low half).
    state: Padded<AtomicU64>,
}

impl Gate {
    pub fn new(size: u32) -> Self {
        Gate { size, state: Padded(AtomicU64::new(0)) }
    }

    /// How many meetings there have been; stable for a rank that is not in one.
    #[inline(always)]
    pub fn epoch(&self) -> u32 {
        (self.state.load(Ordering::Acquire) >> 32) as u32
    }

    /// Arrives. Whether this rank was the last: then `work` has been done and everybody is through. If not, the rank
    /// waits until [`Gate::epoch`] has moved on, or leaves.
    #[inline]
    pub fn arrive(&self, work: impl FnOnce()) -> bool {
        let before = self.state.fetch_add(1, Ordering::AcqRel);
        if before as u32 + 1 != self.size {
            return false;
        }
        work();
        let epoch = (before >> 32) as u32;
        self.state.store(u64::from(epoch.wrapping_add(1)) << 32, Ordering::Release);
        true
    }

    /// Leaves the meeting that followed `epoch`, before it took place. If it cannot be left any more it is about to
    /// take place, and the rank must go through.
    pub fn leave(&self, epoch: u32) -> bool {
        let mut state = self.state.load(Ordering::Acquire);
        while (state >> 32) as u32 == epoch && (state as u32) < self.size {
            debug_assert!(state as u32 > 0, "a rank leaves only where it arrived");
            match self.state.compare_exchange(state, state - 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }
}
