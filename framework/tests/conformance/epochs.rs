//! One-sided communication: when epochs begin and when they are over, and what becomes of those that fail.

use super::p2p::{next, previous};
use super::windows::kind;
use rankine::op::{Max, Sum};
use rankine::window::Lock;
use rankine::{ANY_SOURCE, ANY_TAG, Comm, Error, ErrorKind, Result};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

pub fn post_and_start(world: &Comm) -> Result<()> {
    let (n, me) = (world.size(), world.rank());
    let mut window = world.window::<usize>(n)?;
    let (left, right) = (previous(world), next(world));
    for round in 0..20 {
        let mine = [me + 100 * round];
        window.post_start(&[left], &[right], |epoch| epoch.put(&mine, right, me))?;
        assert_eq!(window.local()?[left], left + 100 * round);
    }
    // One gets from all; only it and they take part, without wasting a word on each other.
    let others: Vec<usize> = (1..n).collect();
    if me == 0 {
        let mut got = vec![0; n];
        window.post_start(&[], &others, |epoch| {
            got.chunks_mut(1).enumerate().skip(1).try_for_each(|(rank, x)| epoch.get(x, rank, rank - 1))
        })?;
        assert!((1..n).all(|rank| got[rank] == rank - 1 + 1900), "{got:?}");
    } else {
        window.post_start(&[0], &[], |_| Ok(()))?;
    }
    assert_eq!(kind(window.post_start(&[n], &[], |_| Ok(()))), ErrorKind::Usage);
    assert_eq!(kind(window.post_start(&[], &[0, 0], |_| Ok(()))), ErrorKind::Usage);
    window.local().map(drop)
}

/// Ranks that post early, for a later epoch, are not taken for the one that posts late.
pub fn posts_for_a_later_epoch(world: &Comm) -> Result<()> {
    let (n, me) = (world.size(), world.rank());
    let mut window = world.window::<usize>(1)?;
    let early: Vec<usize> = (2..n).collect();
    for round in 1..=5 {
        let mine = [round];
        match me {
            0 => {
                // Those of the later epoch have long posted.
                let start = Instant::now();
                while start.elapsed() < Duration::from_millis(10) {
                    assert!(world.iprobe::<u8>(ANY_SOURCE, ANY_TAG)?.is_none());
                }
                window.post_start(&[], &[1], |epoch| epoch.put(&mine, 1, 0))?;
                window.post_start(&[], &early, |epoch| {
                    early.iter().try_for_each(|&rank| epoch.put(&mine, rank, 0))
                })?;
            }
            1 => {
                std::thread::sleep(Duration::from_millis(20));
                window.post_start(&[0], &[], |_| Ok(()))?;
            }
            _ => window.post_start(&[0], &[], |_| Ok(()))?,
        }
        assert_eq!(window.local()?, [if me == 0 { 0 } else { round }]);
        world.barrier()?;
    }
    Ok(())
}

/// An epoch is not over before all that was asked for in it is there.
pub fn large_gets_are_there(world: &Comm) -> Result<()> {
    const LEN: usize = 100_000;
    let (me, other) = (world.rank() as u64, next(world));
    let mut window = world.window_over((0..LEN as u64).map(|i| i + 1 + me).collect::<Vec<_>>())?;
    let expected: Vec<u64> = (0..LEN as u64).map(|i| i + 1 + other as u64).collect();
    for round in 0..100 {
        let mut got = vec![0; LEN];
        match round % 4 {
            0 => window.fence(|epoch| epoch.get(&mut got, other, 0))?,
            1 => window.post_start(&[previous(world)], &[other], |epoch| epoch.get(&mut got, other, 0))?,
            2 => window
                .share(|shared| shared.lock(other, Lock::Shared, |locked| locked.get(&mut got, other, 0)))?,
            _ => window.share(|shared| shared.lock_all(|locked| locked.get(&mut got, other, 0)))?,
        }
        assert!(got == expected, "round {round}: {:?}", got.iter().zip(&expected).position(|(a, b)| a != b));
    }
    Ok(())
}

/// Random puts to places of each rank's own, gets and sums, against plain arithmetic.
pub fn random_epochs(world: &Comm) -> Result<()> {
    const LEN: usize = 64;
    let (n, me) = (world.size(), world.rank());
    let mut seed = 12345u64;
    let mut random = |limit: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % limit
    };
    let mut window = world.window::<u16>(n * LEN)?;
    // All ranks play all ranks' parts in a model, and do their own.
    let mut model = vec![vec![0u16; n * LEN]; n];
    for round in 0..30u16 {
        let sums = random(2) == 0;
        let mut todo = Vec::new();
        for origin in 0..n {
            for _ in 0..random(4) {
                let (target, at) = (random(n), random(LEN));
                let len = random(LEN - at + 1);
                let data: Vec<u16> = (0..len).map(|i| round * 100 + i as u16).collect();
                // Puts of one epoch must not meet; sums may.
                let at = if sums { at } else { origin * LEN + at };
                for (i, &x) in data.iter().enumerate() {
                    let cell = &mut model[target][at + i];
                    *cell = if sums { cell.wrapping_add(x) } else { x };
                }
                if origin == me {
                    todo.push((target, at, data));
                }
            }
        }
        // Two puts of one rank to the same place have no order: their later fence settles it.
        if sums {
            window.fence(|epoch| {
                todo.iter().try_for_each(|(target, at, data)| epoch.accumulate(data, Sum, *target, *at))
            })?;
        } else {
            let most = world.allreduce(todo.len(), Max)?;
            for i in 0..most {
                window.fence(|epoch| match todo.get(i) {
                    Some((target, at, data)) => epoch.put(data, *target, *at),
                    None => Ok(()),
                })?;
            }
        }
        assert_eq!(window.local()?, model[me]);
        let (target, at) = ((me + usize::from(round)) % n, usize::from(round));
        let mut got = [0; 7];
        window.fence(|epoch| epoch.get(&mut got, target, at))?;
        assert_eq!(got, model[target][at..at + 7]);
    }
    Ok(())
}

/// A closure's error comes out, and the window stays as it should be.
pub fn epochs_that_fail(world: &Comm) -> Result<()> {
    let me = world.rank();
    let mut window = world.window::<u32>(1)?;
    for turn in 0..world.size() {
        let result = window.fence(|epoch| {
            epoch.accumulate(&[1], Sum, 0, 0)?;
            if me == turn { Err(Error::io("disk full")) } else { Ok(()) }
        });
        assert_eq!(result.is_err(), me == turn);
        let result = window.share(|shared| {
            shared.lock(0, Lock::Shared, |locked| {
                locked.accumulate(&[1], Sum, 0, 0)?;
                if me == turn { Err(Error::io("disk full")) } else { Ok(()) }
            })
        });
        assert_eq!(result.is_err(), me == turn);
    }
    let expected = if me == 0 { 2 * (world.size() as u32).pow(2) } else { 0 };
    assert_eq!(window.local()?, [expected]);
    Ok(())
}

/// After a panic in an epoch nobody gets at the window's memory, which stays where it is.
pub fn panics_in_epochs(world: &Comm) -> Result<()> {
    fn panicking<R>(f: impl FnOnce() -> R) {
        assert!(catch_unwind(AssertUnwindSafe(f)).is_err());
    }
    let panic = || -> Result<()> { resume_unwind(Box::new("on purpose")) };
    for way in 0..7 {
        let mut window =
            if way % 2 == 0 { world.window::<u64>(100)? } else { world.window_over(vec![1u64; 100])? };
        panicking(|| match way {
            0 | 1 => window.fence(|_| panic()),
            2 => window.share(|shared| shared.lock(world.rank(), Lock::Exclusive, |_| panic())),
            3 => window.share(|shared| shared.lock_own(|_| panic())),
            4 | 5 => window.post_start(&[previous(world)], &[next(world)], |_| panic()),
            _ => window.share(|_| panic()),
        });
        let usage = ErrorKind::Usage;
        assert_eq!(kind(window.local()), usage);
        assert_eq!(kind(window.local_mut()), usage);
        assert_eq!(kind(window.fence(|_| Ok(()))), usage);
        assert_eq!(kind(window.share(|_| Ok(()))), usage);
        assert_eq!(kind(window.post_start(&[], &[], |_| Ok(()))), usage);
        match way {
            0 => assert_eq!(kind(window.close()), usage),
            1 => assert_eq!(kind(window.into_vec()), usage),
            _ => drop(window),
        }
    }
    // A caught panic inside a lock is found when the share ends.
    if world.size() == 1 {
        let mut window = world.window::<u64>(100)?;
        let result = window.share(|shared| {
            panicking(|| shared.lock_own(|_| panic()));
            Ok(())
        });
        assert_eq!(kind(result), ErrorKind::Usage);
        assert_eq!(kind(window.local()), ErrorKind::Usage);
    }
    // New windows work.
    let mut window = world.window::<u64>(1)?;
    window.fence(|epoch| epoch.put(&[3], next(world), 0))?;
    assert_eq!(window.local()?, [3]);
    Ok(())
}
