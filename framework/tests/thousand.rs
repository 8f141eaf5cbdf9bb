//! A thousand ranks on the Local engine: they start, meet, reduce and send, and cost little memory.
//!
//! How long that takes is measured in `docs/performance.md`, not here.

use rankine::op::{Max, Sum};
use rankine::{Launch, testing};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

const RANKS: usize = 1024;

/// Memory is counted for the whole process, and the system may not let it have twice as many threads.
static ALONE: Mutex<()> = Mutex::new(());

/// The most memory that this process has had so far, in KiB.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_thousand_ranks_meet_within_their_memory() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    static BEFORE: AtomicU64 = AtomicU64::new(0);
    BEFORE.store(most_memory(), Ordering::SeqCst);
    testing::try_ranks(RANKS, false, |world| {
        let (me, n) = (world.rank(), world.size());
        world.barrier()?;
        assert_eq!(world.allreduce(me, Sum)?, n * (n - 1) / 2);
        assert_eq!(world.allreduce([me as f64; 32], Max)?, [(n - 1) as f64; 32]);
        // A ring, so that every rank has talked to two others.
        let mut got = [usize::MAX];
        world.sendrecv(&[me], (me + 1) % n, 1, &mut got, (me + n - 1) % n, 1)?;
        assert_eq!(got, [(me + n - 1) % n]);
        // All talk to one.
        let all = world.gather(&[me], 7)?;
        assert!(all.is_none_or(|all| all.iter().copied().eq(0..n)));
        let half = world.split(Some((me % 2) as u32), 0)?.expect("every rank has a colour");
        assert_eq!(half.allreduce(1, Sum)?, n / 2);
        world.barrier()
    })
    .unwrap();
    let per_rank = (most_memory() - BEFORE.load(Ordering::SeqCst)) / RANKS as u64;
    assert!(per_rank < 300, "{per_rank} KiB a rank");
}

#[test]
fn a_job_of_a_thousand_ranks() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    Launch::new().ranks(RANKS).checked(true).run(|world| world.barrier()).unwrap();
}
