//! Two fences that meet: one that costs nothing where it stands on every message's way, and one that pays for both
//! where a rank goes to sleep.
//!
//! Who has stored something for a rank and then looks whether it sleeps needs its store to be seen before it looks; a
//! fence for that waits until the store has its cache line, once a message. Linux can run a full fence on all threads
//! of the process at the sleeper's request (`membarrier`, as in RCU), so the waker only keeps the compiler from
//! reordering. Where the system cannot, both are ordinary fences.

use rustix::thread::{MembarrierCommand, membarrier, membarrier_query};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering, compiler_fence, fence};
use std::time::Duration;

static ASYMMETRIC: AtomicBool = AtomicBool::new(false);

/// Asks the system, once a process. To be called before the threads that wake each other start: a thread that saw
/// the answer change under way would use one kind of fence with somebody who uses the other.
pub(in crate::engine) fn prepare_fences() {
    static ASKED: Once = Once::new();
    ASKED.call_once(|| {
        let known = membarrier_query();
        let able = [MembarrierCommand::RegisterPrivateExpedited, MembarrierCommand::PrivateExpedited]
            .into_iter()
            .all(|command| known.contains_command(command));
        if able && !cfg!(miri) && membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok() {
            ASYMMETRIC.store(true, Ordering::SeqCst);
        }
    });
}

/// Between a store that a sleeper waits for and the look whether somebody sleeps.
#[inline(always)]
pub(super) fn light_fence() {
    if ASYMMETRIC.load(Ordering::Relaxed) {
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// Between saying that one is about to sleep and the last look.
#[cold]
pub(super) fn heavy_fence() {
    if ASYMMETRIC.load(Ordering::Relaxed) && membarrier(MembarrierCommand::PrivateExpedited).is_err() {
        // Registered, so only a filter set up since then can refuse the call. No processor keeps a store to itself for
        // as long as this.
        std::thread::sleep(Duration::from_millis(1));
    }
    fence(Ordering::SeqCst);
}
