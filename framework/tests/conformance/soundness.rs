//! What is forgotten, dropped early, or left behind by a panic: nothing is written that is no buffer any more.

use super::p2p::{next, previous};
use rankine::{ANY_SOURCE, ANY_TAG, Cancel, Comm, Error, ErrorKind, Requests, Result};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

const LENGTHS: [usize; 3] = [1, 3000, 100_000];

pub fn forgotten_receives_leak(world: &Comm) -> Result<()> {
    for len in LENGTHS {
        std::mem::forget(world.irecv_owned(Vec::<u8>::with_capacity(len), previous(world), 1)?);
        let mut set = Requests::new();
        set.push(world.irecv_owned(Vec::<u8>::with_capacity(len), previous(world), 2)?);
        std::mem::forget(set);
        world.barrier()?;
        // Memory that is allocated now is not what those receives write to.
        let other = vec![7u8; len];
        let sends = [1, 2].map(|tag| world.isend_owned(vec![1u8; len], next(world), tag));
        for send in sends {
            send?.wait()?;
        }
        world.barrier()?;
        assert!(other.iter().all(|&x| x == 7));
    }
    Ok(())
}

/// A forgotten send's vector is never freed, so what arrives is what was sent.
pub fn forgotten_sends_arrive(world: &Comm) -> Result<()> {
    for len in LENGTHS {
        std::mem::forget(world.isend_owned(vec![5u32; len], next(world), 1)?);
        let _churn: Vec<Vec<u32>> = (0..20).map(|_| vec![6; len]).collect();
        world.barrier()?;
        assert_eq!(world.recv_vec::<u32>(previous(world), 1)?.0, vec![5; len]);
    }
    world.barrier()
}

/// Sets of requests that are dropped take their receives back.
pub fn dropped_sets_are_cancelled(world: &Comm) -> Result<()> {
    for len in LENGTHS {
        let receives: Result<Requests<_>> = (0..50)
            .map(|_| world.irecv_owned(Vec::<u16>::with_capacity(len), previous(world), ANY_TAG))
            .collect();
        drop(receives?);
        world.barrier()?;
        let mut got = vec![0u16; len];
        world.sendrecv(&vec![4u16; len], next(world), 1, &mut got, previous(world), 1)?;
        assert_eq!(got, vec![4; len]);
        world.barrier()?;
    }
    Ok(())
}

/// A receive that is taken back gives its buffer back; one whose message is there, that too.
pub fn cancelled_receives(world: &Comm) -> Result<()> {
    for len in LENGTHS {
        let mut buffer = vec![9u64; len];
        let early = world.irecv_owned(Vec::<u64>::with_capacity(len), previous(world), 1)?;
        world.scope(|s| match s.irecv(&mut buffer, ANY_SOURCE, 1)?.cancel()? {
            Cancel::Cancelled(part) => {
                part.fill(10);
                Ok(())
            }
            Cancel::Done(..) => panic!("nothing has been sent"),
        })?;
        let Cancel::Cancelled(vector) = early.cancel()? else { panic!("nothing has been sent") };
        assert!(vector.is_empty() && vector.capacity() >= len);
        assert_eq!(buffer, vec![10; len]);
        world.barrier()?;
        let late = world.irecv_owned(vector, previous(world), 1)?;
        world.isend_owned(vec![3u64; len], next(world), 1)?.wait()?;
        world.barrier()?;
        // On either engine the message may still be on its way, but its receive has begun: it counts.
        match late.cancel()? {
            Cancel::Done(data, status) => {
                assert_eq!((data, status.len), (vec![3; len], len));
            }
            Cancel::Cancelled(_) => {
                assert_eq!(world.recv_vec::<u64>(previous(world), 1)?.0, vec![3; len]);
            }
        }
        world.barrier()?;
    }
    Ok(())
}

/// A panic between start and wait: the receives are taken back, and what comes later goes to others.
pub fn panic_in_a_scope(world: &Comm) -> Result<()> {
    for len in LENGTHS {
        let mut buffer = vec![1u8; len];
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            world.scope(|s| -> Result<()> {
                let _r = s.irecv(&mut buffer, previous(world), ANY_TAG)?;
                resume_unwind(Box::new("on purpose"))
            })
        }));
        assert!(panicked.is_err());
        world.barrier()?;
        let send = world.isend_owned(vec![2u8; len], next(world), 1)?;
        assert_eq!(world.recv_vec::<u8>(previous(world), 1)?.0, vec![2; len]);
        send.wait()?;
        assert_eq!(buffer, vec![1; len]);
        world.barrier()?;
    }
    Ok(())
}

/// Of several receives in a scope one does not fit: the others are complete, and the communicator works.
pub fn wrong_lengths_in_a_scope(world: &Comm) -> Result<()> {
    let mut got = [[0u32; 4]; 5];
    let sends: Vec<_> =
        (0..5).map(|i| world.isend_owned(vec![i as u32; 4], next(world), i)).collect::<Result<_>>()?;
    let failed = world.scope(|s| {
        for (i, part) in got.iter_mut().enumerate() {
            let room = if i == 2 { 3 } else { 4 };
            let _ = s.irecv(&mut part[..room], previous(world), i as i32)?;
        }
        Ok(())
    });
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Truncated);
    rankine::wait_all(sends)?;
    assert_eq!([got[0], got[1], got[3], got[4]], [[0; 4], [1; 4], [3; 4], [4; 4]]);
    assert_eq!(got[2][3], 0, "beyond the buffer");
    world.barrier()
}

/// Nested scopes, one failing inside the other: what the outer one started is untouched.
pub fn nested_scopes(world: &Comm) -> Result<()> {
    let (mut outer, mut inner) = ([0u8; 1000], [0u8; 1000]);
    let data = [8u8; 1000];
    world.scope(|s| {
        let r = s.irecv(&mut outer, previous(world), 1)?;
        let failed: Result<()> = world.scope(|t| {
            let _ = t.irecv(&mut inner, previous(world), 2)?;
            Err(Error::usage("on purpose"))
        });
        assert!(failed.is_err());
        let t = s.isend(&data, next(world), 1)?;
        r.wait()?;
        t.wait().map(drop)
    })?;
    assert_eq!((outer, inner), (data, [0; 1000]));
    Ok(())
}
