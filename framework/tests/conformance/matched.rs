//! Matched probes, and receives of unknown length that do not block.

use super::p2p::{next, previous};
use rankine::{ANY_SOURCE, ANY_TAG, Comm, ErrorKind, Result, Test};

const LENGTHS: [usize; 5] = [0, 3, 500, 9000, 200_000];

/// What is matched is out of reach of other receives, however long it waits there.
pub fn a_matched_message_is_reserved(world: &Comm) -> Result<()> {
    for len in LENGTHS {
        let sends = [0, 1, 2].map(|i| world.isend_owned(vec![i as u16; len], next(world), 4));
        let first = world.mprobe::<u16>(previous(world), 4)?;
        assert_eq!(
            (first.status().source, first.status().tag, first.status().len),
            (previous(world), 4, len)
        );
        let second = world.mprobe::<u16>(ANY_SOURCE, ANY_TAG)?;
        assert_eq!(world.recv_vec::<u16>(previous(world), 4)?.0, vec![2; len]);
        let mut room = vec![7; len + 1];
        assert_eq!(second.recv(&mut room)?.len, len);
        assert_eq!((&room[..len], room[len]), (&vec![1; len][..], 7));
        let (got, status) = first.recv_vec()?;
        assert_eq!((got, status.len), (vec![0; len], len));
        for send in sends {
            send?.wait()?;
        }
    }
    Ok(())
}

/// A blocking sender of a matched message goes on once it is received, or before.
pub fn a_matched_message_is_late(world: &Comm) -> Result<()> {
    for len in LENGTHS {
        match world.rank() {
            0 => world.send(&vec![1.5; len], 1, 4)?,
            1 => {
                let message = world.mprobe::<f64>(0, 4)?;
                std::thread::sleep(std::time::Duration::from_millis(3));
                assert_eq!(message.recv_vec()?.0, vec![1.5; len]);
            }
            _ => {}
        }
    }
    Ok(())
}

pub fn nonblocking_receives_of_a_message(world: &Comm) -> Result<()> {
    for len in LENGTHS {
        let sends = [5u8, 6].map(|value| world.isend_owned(vec![value; len], next(world), 4));
        let first = world.mprobe::<u8>(previous(world), 4)?;
        let second = world.mprobe::<u8>(previous(world), 4)?;
        let owned = second.irecv_owned(Vec::with_capacity(len))?;
        let mut room = vec![0; len];
        world.scope(|s| {
            let (got, status) = s.irecv_message(first, &mut room)?.wait()?;
            assert_eq!((status.len, got.len()), (len, len));
            Ok(())
        })?;
        assert_eq!(room, vec![5; len]);
        assert_eq!(owned.wait()?.0, vec![6; len]);
        for send in sends {
            send?.wait()?;
        }
    }
    Ok(())
}

/// A dropped one is lost, and its sender is served.
pub fn dropped_messages_are_lost(world: &Comm) -> Result<()> {
    for len in LENGTHS {
        let sends = [0u8, 1].map(|value| world.issend_owned(vec![value; len], next(world), 4));
        drop(world.mprobe::<u8>(previous(world), 4)?);
        assert_eq!(world.recv_vec::<u8>(previous(world), 4)?.0, vec![1; len]);
        for send in sends {
            send?.wait()?;
        }
    }
    Ok(())
}

pub fn forgotten_messages_leave_the_others(world: &Comm) -> Result<()> {
    world.bsend(&[1.0], next(world), 4)?;
    world.bsend(&[2.0], next(world), 4)?;
    std::mem::forget(world.mprobe::<f64>(previous(world), 4)?);
    assert_eq!(world.recv_vec::<f64>(previous(world), 4)?.0, [2.0]);
    world.barrier()
}

/// Too little room and another type are errors; the message is lost, the communicator works.
pub fn misfits(world: &Comm) -> Result<()> {
    for len in [2usize, 5000] {
        let sends = [(); 3].map(|()| world.isend_owned(vec![1u32; len], next(world), 4));
        let error = world.mprobe::<u32>(previous(world), 4)?.recv(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
        assert!(
            error.to_string().contains(&format!("has {len} elements; the buffer takes 1 u32")),
            "{error}"
        );
        let message = world.mprobe::<u32>(previous(world), 4)?;
        let error = message.irecv_owned(Vec::new()).and_then(|r| r.wait()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
        let error = world.mprobe::<f32>(previous(world), 4).err().expect("a type mismatch");
        assert_eq!(error.kind(), ErrorKind::TypeMismatch, "{error}");
        for send in sends {
            send?.wait()?;
        }
        // Of the right numbers, but not whole triples.
        world.bsend(&[1u32; 4], next(world), 4)?;
        let error = world.mprobe::<[u32; 3]>(previous(world), 4).err().expect("no whole elements");
        assert_eq!(error.kind(), ErrorKind::TypeMismatch, "{error}");
    }
    assert!(world.improbe::<u32>(ANY_SOURCE, ANY_TAG)?.is_none());
    world.barrier()
}

pub fn probing_until_it_comes(world: &Comm) -> Result<()> {
    assert!(world.improbe::<u64>(ANY_SOURCE, 4)?.is_none());
    world.barrier()?;
    world.bsend(&[3u64, 4], next(world), 4)?;
    let message = loop {
        if let Some(message) = world.improbe::<u64>(previous(world), 4)? {
            break message;
        }
        std::thread::yield_now();
    };
    assert_eq!(message.recv_vec()?.0, [3, 4]);
    Ok(())
}

/// Nobody but the sender knows the lengths, and nobody blocks.
pub fn unknown_lengths(world: &Comm) -> Result<()> {
    for len in LENGTHS {
        let mut receive = world.irecv_vec::<i32>(previous(world), 4)?;
        assert!(matches!(world.irecv_vec::<i32>(ANY_SOURCE, 5)?.test()?, Test::Pending(_)));
        world.barrier()?;
        let sends = [1, 2].map(|i| world.isend_owned(vec![i; len * i as usize], next(world), 4));
        let (got, status) = loop {
            match receive.test()? {
                Test::Done(done) => break done,
                Test::Pending(again) => receive = again,
            }
            std::thread::yield_now();
        };
        assert_eq!((got, status.len), (vec![1; len], len));
        assert_eq!(world.irecv_vec::<i32>(ANY_SOURCE, 4)?.wait()?.0, vec![2; 2 * len]);
        for send in sends {
            send?.wait()?;
        }
        world.barrier()?;
    }
    Ok(())
}
