//! Scopes, requests and owned buffers.

use super::p2p::{next, previous};
use rankine::op::Sum;
use rankine::{ANY_SOURCE, Comm, Error, Result, Test};

pub fn scope_gives_buffers_back(world: &Comm) -> Result<()> {
    for len in [1usize, 1000, 100_000] {
        let edge = vec![world.rank() as f64; len];
        let mut ghost = vec![-1.0; len];
        world.scope(|s| {
            let r = s.irecv(&mut ghost, previous(world), 1)?;
            let t = s.isend(&edge, next(world), 1)?;
            let (ghost, status) = r.wait()?;
            assert_eq!((ghost[0], status.len), (previous(world) as f64, len));
            ghost[0] = 5.0;
            assert_eq!(t.wait()?.len(), len);
            Ok(())
        })?;
        assert_eq!(ghost[0], 5.0);
    }
    Ok(())
}

pub fn forgotten_handles_complete(world: &Comm) -> Result<()> {
    for len in [1usize, 1000, 100_000] {
        let edge = vec![world.rank() as u32; len];
        let mut ghost = vec![u32::MAX; len];
        world.scope(|s| {
            let _ = s.irecv(&mut ghost, previous(world), 1)?;
            let _ = s.isend(&edge, next(world), 1)?;
            Ok(())
        })?;
        assert!(ghost.iter().all(|&x| x == previous(world) as u32));
    }
    Ok(())
}

pub fn owned_buffers(world: &Comm) -> Result<()> {
    for len in [0usize, 4, 5000, 200_000] {
        let r = world.irecv_owned(Vec::<i16>::with_capacity(len + 3), previous(world), 2)?;
        let t = world.isend_owned(vec![world.rank() as i16; len], next(world), 2)?;
        let (got, status) = r.wait()?;
        assert_eq!((got.len(), status.len), (len, len));
        assert!(got.iter().all(|&x| x == previous(world) as i16));
        assert_eq!(t.wait()?.len(), len);
    }
    Ok(())
}

pub fn many_outstanding(world: &Comm) -> Result<()> {
    const N: usize = 2000;
    let data: Vec<u64> = (0..N as u64).collect();
    let mut got = vec![0u64; N];
    world.scope(|s| {
        let receives: Result<Vec<_>> = got
            .chunks_mut(1)
            .enumerate()
            .map(|(i, part)| s.irecv(part, previous(world), (i % 10) as i32))
            .collect();
        let sends: Result<Vec<_>> =
            data.chunks(1).enumerate().map(|(i, part)| s.isend(part, next(world), (i % 10) as i32)).collect();
        // The other way round than they were started.
        for r in receives?.into_iter().rev() {
            r.wait()?;
        }
        sends?.into_iter().try_for_each(|t| t.wait().map(drop))
    })?;
    assert_eq!(got, data);
    Ok(())
}

pub fn test_until_done(world: &Comm) -> Result<()> {
    let mut got = [0u8; 50_000];
    let data = [3u8; 50_000];
    world.scope(|s| {
        let mut r = s.irecv(&mut got, previous(world), 4)?;
        let mut t = s.isend(&data, next(world), 4)?;
        let status = loop {
            match r.test()? {
                Test::Done((_, status)) => break status,
                Test::Pending(again) => r = again,
            }
            std::thread::yield_now();
        };
        assert_eq!(status.len, 50_000);
        loop {
            match t.test()? {
                Test::Done(_) => return Ok(()),
                Test::Pending(again) => t = again,
            }
            std::thread::yield_now();
        }
    })?;
    assert!(got.iter().all(|&x| x == 3));
    Ok(())
}

/// A scope that fails leaves no receive behind that could write into its buffer later.
pub fn scope_error_takes_back(world: &Comm) -> Result<()> {
    let mut buffer = [1u64];
    let failed: Result<()> = world.scope(|s| {
        let _r = s.irecv(&mut buffer, ANY_SOURCE, 77)?;
        Err(Error::usage("on purpose"))
    });
    assert_eq!(failed.unwrap_err().what(), "on purpose");
    world.barrier()?;
    // The message goes to the receive that comes after.
    let send = world.isend_owned(vec![9u64], next(world), 77)?;
    let mut later = [0u64];
    world.recv(&mut later, previous(world), 77)?;
    send.wait()?;
    assert_eq!((buffer, later), ([1], [9]));
    Ok(())
}

/// Receives that are there before their messages, of every size.
pub fn receiver_posts_first(world: &Comm) -> Result<()> {
    for len in [1usize, 39, 5000, 1_000_000] {
        match world.rank() {
            0 => {
                world.barrier()?;
                world.send(&vec![7u8; len], 1, 1)?;
            }
            1 => {
                let mut got = vec![0u8; len];
                world.scope(|s| {
                    let r = s.irecv(&mut got, 0, 1)?;
                    world.barrier()?;
                    r.wait().map(drop)
                })?;
                assert!(got.iter().all(|&x| x == 7));
            }
            _ => world.barrier()?,
        }
    }
    Ok(())
}

pub fn dropped_owned_receive_is_cancelled(world: &Comm) -> Result<()> {
    if world.rank() == 1 {
        drop(world.irecv_owned::<f64>(Vec::with_capacity(10), 0, 5)?);
        world.barrier()?;
        let mut got = [0.0];
        world.recv(&mut got, 0, 5)?;
        assert_eq!(got, [2.5]);
        return Ok(());
    }
    world.barrier()?;
    if world.rank() == 0 { world.send(&[2.5], 1, 5) } else { Ok(()) }
}

/// Many receives posted before their rank computes; the senders finish their blocking sends in any order.
pub fn computing_receiver_is_served(world: &Comm) -> Result<()> {
    let len = 30_000;
    if world.rank() == 0 {
        let mut got = vec![vec![0u32; len]; world.size()];
        world.scope(|s| {
            let receives: Result<Vec<_>> = got
                .iter_mut()
                .enumerate()
                .skip(1)
                .map(|(rank, part)| s.irecv(&mut part[..], rank, 6))
                .collect();
            world.barrier()?;
            std::thread::sleep(std::time::Duration::from_millis(2));
            receives?.into_iter().try_for_each(|r| r.wait().map(drop))
        })?;
        for (rank, part) in got.iter().enumerate().skip(1) {
            assert!(part.iter().all(|&x| x == rank as u32));
        }
        return Ok(());
    }
    world.barrier()?;
    world.send(&vec![world.rank() as u32; len], 0, 6)
}

/// Several senders at once find the receiver with its receives posted and asleep in a collective call: each is served, also
/// one that meets another in the receiver's inbox just before it goes to sleep itself.
pub fn receiver_elsewhere_serves_all(world: &Comm) -> Result<()> {
    for (round, len) in [1usize, 200, 30_000, 200_000].into_iter().cycle().take(40).enumerate() {
        let receiver = round % world.size();
        let data = vec![round as u64; len];
        if world.rank() == receiver {
            let others = (0..world.size()).filter(|&rank| rank != receiver);
            let receives = others.map(|rank| world.irecv_owned(Vec::<u64>::with_capacity(len), rank, 4));
            let receives = receives.collect::<Result<Vec<_>>>()?;
            assert_eq!(world.allreduce(1u64, Sum)?, world.size() as u64);
            for receive in receives {
                assert_eq!(receive.wait()?.0, data);
            }
        } else {
            world.ssend(&data, receiver, 4)?;
            assert_eq!(world.allreduce(1u64, Sum)?, world.size() as u64);
        }
    }
    Ok(())
}
