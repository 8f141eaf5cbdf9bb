//! Nonblocking collectives: several at once, among messages, forgotten, dropped, long.

use super::p2p::{next, previous};
use rankine::op::{Max, Sum};
use rankine::{ANY_SOURCE, ANY_TAG, Blocks, Comm, Error, ErrorKind, Result, Test};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What `iallreduce` of `rank + i` gives at position i.
fn sum(world: &Comm, i: usize) -> usize {
    world.size() * (world.size() - 1) / 2 + i * world.size()
}

/// Collectives of every kind under way at once with messages, waited for in another order than they were started.
pub fn many_kinds_at_once(world: &Comm) -> Result<()> {
    let (n, me) = (world.size(), world.rank());
    for len in [1usize, 60, 20_000] {
        let mine: Vec<usize> = (0..len).map(|i| me + i).collect();
        let (mut total, mut before) = (vec![0; len], vec![0; len]);
        let (mut all, mut swapped) = (vec![0; n * len], vec![me; n * len]);
        let mut word = vec![if me == n - 1 { 5u8 } else { 0 }; len];
        let mut ghost = vec![0; len];
        world.scope(|s| {
            let r = s.irecv(&mut ghost, ANY_SOURCE, ANY_TAG)?;
            let reduced = s.iallreduce(&mine, &mut total, Sum)?;
            let told = s.ibcast(&mut word, n - 1)?;
            let swap = s.ialltoall_in_place(&mut swapped)?;
            let t = s.isend(&mine, next(world), 3)?;
            let met = s.ibarrier()?;
            let gathered = s.iallgather(&mine, &mut all)?;
            let scanned = s.iexscan(&mine, &mut before, Max)?;
            let highest = world.iallreduce_owned(vec![me], Max)?;
            assert_eq!(highest.wait()?, [n - 1]);
            let (_, before) = scanned.wait()?;
            assert!(me == 0 || before.iter().enumerate().all(|(i, &x)| x == me - 1 + i));
            let (ghost, status) = r.wait()?;
            assert_eq!((ghost[0], status.source, status.tag), (previous(world), previous(world), 3));
            let (_, all) = gathered.wait()?;
            assert!(all.iter().enumerate().all(|(i, &x)| x == i / len + i % len));
            met.wait()?;
            t.wait()?;
            assert!(swap.wait()?.iter().enumerate().all(|(i, &x)| x == i / len));
            assert!(told.wait()?.iter().all(|&x| x == 5));
            let (_, total) = reduced.wait()?;
            assert!(total.iter().enumerate().all(|(i, &x)| x == sum(world, i)));
            Ok(())
        })?;
    }
    Ok(())
}

/// A blocking collective while nonblocking ones are under way, on the same communicator and on another.
pub fn blocking_meanwhile(world: &Comm) -> Result<()> {
    let other = world.dup()?;
    let mut data = vec![world.rank(); 3000];
    world.scope(|s| {
        let reduced = s.iallreduce_in_place(&mut data, Sum)?;
        let mut word = [world.rank()];
        other.bcast(&mut word, world.size() - 1)?;
        assert_eq!(word, [world.size() - 1]);
        assert_eq!(world.allreduce(1, Sum)?, world.size());
        world.barrier()?;
        assert!(reduced.wait()?.iter().all(|&x| x == sum(world, 0)));
        Ok(())
    })
}

pub fn hundreds_outstanding(world: &Comm) -> Result<()> {
    const N: usize = 300;
    let mut data: Vec<usize> = (0..N).map(|i| world.rank() + i).collect();
    world.scope(|s| {
        let started: Result<Vec<_>> =
            data.chunks_mut(1).map(|part| s.iallreduce_in_place(part, Sum)).collect();
        started?.into_iter().rev().try_for_each(|r| r.wait().map(drop))
    })?;
    assert!(data.iter().enumerate().all(|(i, &x)| x == sum(world, i)));
    let barriers: Result<Vec<_>> = (0..N).map(|_| world.ibarrier_owned()).collect();
    barriers?.into_iter().try_for_each(|barrier| barrier.wait())
}

/// The answer is there when the scope ends, whatever became of the handles.
pub fn forgotten(world: &Comm) -> Result<()> {
    let n = world.size();
    for len in [1usize, 500, 50_000] {
        let mut total = vec![world.rank(); len];
        let mine = vec![world.rank() as u16; len];
        let (mut all, starts) =
            (vec![u16::MAX; n * (len + 1)], (0..n).map(|r| r * (len + 1)).collect::<Vec<_>>());
        world.scope(|s| {
            let _ = s.iallreduce_in_place(&mut total, Sum)?;
            drop(s.iallgatherv(&mine, &mut all, Blocks::at(&vec![len; n], &starts))?);
            let _ = s.ibarrier()?;
            Ok(())
        })?;
        assert!(total.iter().all(|&x| x == sum(world, 0)));
        for (rank, part) in all.chunks(len + 1).enumerate() {
            assert!(part[..len].iter().all(|&x| x == rank as u16) && part[len] == u16::MAX);
        }
    }
    Ok(())
}

/// Vectors of a collective whose handle is dropped stay where the engine can write them, or it never writes them.
pub fn dropped(world: &Comm) -> Result<()> {
    for len in [1usize, 500, 50_000] {
        drop(world.iallreduce_owned(vec![world.rank(); len], Sum)?);
        drop(world.iallgather_owned(vec![world.rank(); len], Vec::new())?);
        std::mem::forget(world.ialltoall_owned(vec![world.rank(); world.size() * len], Vec::new())?);
        let mut plan = world.plan_bcast(vec![world.rank(); len], 0)?;
        plan.start()?;
        drop(plan);
        // Memory that was freed too early would be this.
        let fresh = vec![usize::MAX; len];
        world.barrier()?;
        assert_eq!(world.allreduce(1, Sum)?, world.size());
        assert!(fresh.iter().all(|&x| x == usize::MAX));
    }
    Ok(())
}

/// Messages of the author's with every wildcard meet nothing of a collective.
pub fn wildcards_see_no_collective(world: &Comm) -> Result<()> {
    for len in [1usize, 3000] {
        let mut got = vec![0.0; 1];
        world.scope(|s| {
            let r = s.irecv(&mut got, ANY_SOURCE, ANY_TAG)?;
            let (all, counts) = world.allgatherv(&vec![1.0; len * (world.rank() % 3)])?;
            assert_eq!(all.len(), counts.iter().sum::<usize>());
            world.alltoall(&vec![2.0; world.size() * len])?;
            world.scatter(&vec![3.0; world.size() * len], 0)?;
            world.barrier()?;
            let r = match r.test()? {
                Test::Pending(r) => r,
                Test::Done(_) => panic!("nobody has sent anything"),
            };
            // Nobody sends before everybody has looked.
            world.barrier()?;
            let t = s.isend(&[4.0], next(world), 8)?;
            let (got, status) = r.wait()?;
            assert_eq!((got[0], status.source), (4.0, previous(world)));
            t.wait().map(drop)
        })?;
        assert!(world.iprobe::<f64>(ANY_SOURCE, ANY_TAG)?.is_none());
    }
    Ok(())
}

/// A mebibyte and more through everything.
pub fn large(world: &Comm) -> Result<()> {
    let (n, me) = (world.size(), world.rank());
    let len = 131_072 + 7;
    let mine: Vec<f64> = (0..len).map(|i| (me + i) as f64).collect();
    let mut reduced = vec![0.0; len];
    world.reduce_into(&mine, &mut reduced, Sum, n - 1)?;
    assert!(me != n - 1 || reduced.iter().enumerate().all(|(i, &x)| x == sum(world, i) as f64));
    let mut scanned = mine.clone();
    world.scan_in_place(&mut scanned, Max)?;
    assert_eq!(scanned, mine);
    let mut word = mine.clone();
    world.scope(|s| s.ibcast(&mut word, n / 2)?.wait().map(drop))?;
    assert!(word.iter().enumerate().all(|(i, &x)| x == (n / 2 + i) as f64));
    let (all, counts) = world.allgatherv(&mine[..len - me])?;
    let start: usize = counts[..me].iter().sum();
    assert!(all[start..][..counts[me]] == mine[..len - me]);
    // Each block is a mebibyte at two ranks, less at more.
    let share = len / n;
    let sent: Vec<f64> = (0..n * share).map(|i| (me * n + i / share) as f64).collect();
    let (_, came) = world.ialltoall_owned(sent.clone(), Vec::new())?.wait()?;
    assert!(came.iter().enumerate().all(|(i, &x)| x == (i / share * n + me) as f64));
    let mut in_place = sent;
    world.alltoall_in_place(&mut in_place)?;
    assert_eq!(in_place, came);
    let mine = world.reduce_scatter_block(&vec![1u8; n * len], Sum)?;
    assert!(mine.iter().all(|&x| x == n as u8));
    Ok(())
}

/// A scope that fails with collectives under way on every rank.
pub fn failed_scope(world: &Comm) -> Result<()> {
    if world.engine_name() == "mpi" {
        // MPI cannot take a collective back, and the job ends; see `Comm::scope`.
        return Ok(());
    }
    let mut data = [world.rank()];
    let failed: Result<()> = world.scope(|s| {
        let _r = s.iallreduce_in_place(&mut data, Sum)?;
        Err(Error::usage("on purpose"))
    });
    assert_eq!(failed.unwrap_err().what(), "on purpose");
    world.barrier()?;
    assert_eq!(world.allreduce(1, Sum)?, world.size());
    Ok(())
}

/// Plans say what they cannot do.
pub fn plans_out_of_turn(world: &Comm) -> Result<()> {
    fn refused<T>(result: Result<T>, word: &str) {
        let error = result.err().expect("out of turn");
        assert_eq!(error.kind(), ErrorKind::Usage);
        let text = error.to_string();
        assert!(
            text.contains(word) && text.contains("plan_allreduce: ") && text.contains("under_way.rs:"),
            "{text}"
        );
    }
    let mut plan = world.plan_allreduce(vec![1u64; 3], Sum)?;
    refused(plan.wait().map(drop), "not been started");
    refused(plan.test().map(drop), "not been started");
    plan.start()?;
    assert!(plan.is_under_way());
    refused(plan.start(), "under way");
    refused(plan.buffers().map(drop), "under way");
    refused(plan.swap(vec![2; 3]).map(drop), "under way");
    assert_eq!(plan.wait()?, [world.size() as u64; 3]);
    refused(plan.swap(vec![2; 4]).map(drop), "4 elements, 3 are needed");
    assert_eq!(plan.swap(vec![2; 3])?, [world.size() as u64; 3]);
    plan.start()?;
    assert_eq!(plan.into_buffers()?, [2 * world.size() as u64; 3]);
    let mut barrier = world.plan_barrier()?;
    for _ in 0..5 {
        barrier.start()?;
        barrier.wait()?;
    }
    Ok(())
}

/// An operator that panics does so in the call that needs the answer, on some rank; nobody hangs, and no memory is
/// lost or written later.
pub fn panicking_operator(world: &Comm) -> Result<()> {
    fn bad(_: u64, _: u64) -> u64 {
        // A panic without a word from the hook.
        resume_unwind(Box::new("on purpose, in an operator"))
    }
    let somewhere = |outcome: std::thread::Result<Result<()>>| -> Result<()> {
        // Where it did not panic, the call may have failed or not.
        let panicked = outcome.err().map(|payload| *payload.downcast::<&str>().expect("its own words"));
        assert!(panicked.is_none_or(|words| words == "on purpose, in an operator"));
        assert_eq!(world.allreduce(u8::from(panicked.is_some()), Max)?, 1);
        Ok(())
    };
    let caught = |f: &dyn Fn() -> Result<()>| catch_unwind(AssertUnwindSafe(f));
    for len in [1usize, 3000] {
        somewhere(caught(&|| world.allreduce_in_place(&mut vec![1; len], bad)))?;
        somewhere(caught(&|| world.reduce_scatter_block(&vec![1; len * world.size()], bad).map(drop)))?;
        somewhere(caught(&|| world.iscan_owned(vec![1; len], bad)?.wait().map(drop)))?;
        somewhere(caught(&|| {
            let mut data = vec![1; len];
            world.scope(|s| s.iallreduce_in_place(&mut data, bad)?.wait().map(drop))
        }))?;
        somewhere(caught(&|| {
            let mut plan = world.plan_reduce(vec![1; len], bad, 0)?;
            plan.start()?;
            plan.wait().map(drop)
        }))?;
    }
    Ok(())
}
