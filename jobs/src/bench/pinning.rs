//! Which core a thread runs on: one a rank while there are enough of them.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::sync::OnceLock;

/// The cores this process may use, as it found them at first.
pub fn cores() -> &'static [usize] {
    static CORES: OnceLock<Vec<usize>> = OnceLock::new();
    CORES.get_or_init(|| {
        let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
        (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect()
    })
}

/// Puts the current thread on the core of rank `rank`, if each of `ranks` can have one of its own.
pub fn pin(rank: usize, ranks: usize) {
    if ranks <= cores().len() {
        set(&cores()[rank..=rank]);
    }
}

/// Lets the current thread, and those it starts, run on all cores.
pub fn unpin() {
    set(cores());
}

fn set(cores: &[usize]) {
    let mut set = CpuSet::new();
    cores.iter().for_each(|&core| set.set(core));
    // Unpinned, the figures are only noisier.
    let _ = sched_setaffinity(None, &set);
}
