//! Mistakes that are reported, and after which the communicator still works.

use super::p2p::{next, previous};
use rankine::op::{Max, Sum};
use rankine::{ANY_SOURCE, ANY_TAG, Comm, Error, ErrorKind, Result, TAG_MAX};

fn kind<T>(result: Result<T>) -> ErrorKind {
    result.err().expect("a mistake is an error").kind()
}

pub fn bad_ranks_tags_and_lengths(world: &Comm) -> Result<()> {
    let n = world.size();
    let mut one = [0.0];
    assert_eq!(kind(world.send(&one, n, 0)), ErrorKind::Usage);
    assert_eq!(kind(world.send(&one, 0, -1)), ErrorKind::Usage);
    assert_eq!(kind(world.send(&one, 0, TAG_MAX + 1)), ErrorKind::Usage);
    assert_eq!(kind(world.recv(&mut one, n, 0)), ErrorKind::Usage);
    assert_eq!(kind(world.recv(&mut one, -1, 0)), ErrorKind::Usage);
    assert_eq!(kind(world.recv(&mut one, ANY_SOURCE, -5)), ErrorKind::Usage);
    assert_eq!(kind(world.probe::<u8>(n, ANY_TAG)), ErrorKind::Usage);
    assert_eq!(kind(world.bcast(&mut one, n)), ErrorKind::Usage);
    assert_eq!(kind(world.allreduce_into(&[1.0, 2.0], &mut one, Sum)), ErrorKind::Usage);
    assert_eq!(kind(world.gather(&one, n)), ErrorKind::Usage);
    assert_eq!(kind(world.allgather_into(&one, &mut vec![0.0; n + 1])), ErrorKind::Usage);
    assert_eq!(kind(world.isend_owned(vec![1u8], n + 5, 0)), ErrorKind::Usage);
    let error = world.send(&one, n, 0).unwrap_err();
    assert_eq!(error.rank(), Some(world.rank()));
    assert!(error.to_string().contains("errors.rs:"), "{error}");
    world.barrier()
}

pub fn agree_names_one(world: &Comm) -> Result<()> {
    assert_eq!(world.agree(Ok(5))?, 5);
    let guilty = world.size() / 2;
    let mine = if world.rank() >= guilty { Err(Error::io("disk full")) } else { Ok(()) };
    let error = world.agree(mine).unwrap_err();
    let expected = if world.rank() == guilty { ErrorKind::Io } else { ErrorKind::Elsewhere };
    assert_eq!((error.kind(), error.rank()), (expected, Some(guilty)));
    Ok(())
}

pub fn truncation(world: &Comm) -> Result<()> {
    truncated(world, &[3, 50])
}

pub fn truncation_of_long_messages(world: &Comm) -> Result<()> {
    truncated(world, &[1000, 100_000])
}

fn truncated(world: &Comm, lengths: &[usize]) -> Result<()> {
    for &len in lengths {
        match world.rank() {
            0 => world.send(&vec![1.0; len], 1, 1)?,
            1 => {
                let mut room = [-1.0, -1.0];
                let error = world.recv(&mut room, 0, 1).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Truncated);
                assert!(error.to_string().contains("from rank 0, tag 1"), "{error}");
                assert!(error.to_string().contains("takes 2 f64"), "{error}");
            }
            _ => {}
        }
    }
    still_works(world)
}

pub fn wrong_type(world: &Comm) -> Result<()> {
    for len in [1usize, 10, 30_000] {
        match world.rank() {
            0 => world.send(&vec![1i32; len], 1, 1)?,
            1 => {
                let mut room = vec![0.5; len];
                let error = world.recv(&mut room, 0, 1).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TypeMismatch, "{error}");
                assert!(error.to_string().contains("of i32"), "{error}");
                assert!(error.to_string().contains("of f64"), "{error}");
                assert!(room.iter().all(|&x| x == 0.5));
            }
            _ => {}
        }
    }
    still_works(world)
}

pub fn wrong_type_nonblocking(world: &Comm) -> Result<()> {
    match world.rank() {
        0 => world.isend_owned(vec![1u8; 3], 1, 1)?.wait().map(drop)?,
        1 => {
            let r = world.irecv_owned::<u16>(Vec::with_capacity(10), 0, 1)?;
            assert_eq!(kind(r.wait()), ErrorKind::TypeMismatch);
        }
        _ => {}
    }
    match world.rank() {
        0 => world.isend_owned(vec![1u8; 3], 1, 1)?.wait().map(drop)?,
        1 => assert_eq!(kind(world.recv_vec::<i64>(0, 1)), ErrorKind::TypeMismatch),
        _ => {}
    }
    still_works(world)
}

/// The receive is there long before the message of the wrong type.
pub fn wrong_type_after_waiting(world: &Comm) -> Result<()> {
    match world.rank() {
        0 => {
            std::thread::sleep(std::time::Duration::from_millis(20));
            world.send(&[1u64], 1, 1)?;
        }
        1 => assert_eq!(kind(world.recv(&mut [0i64], 0, 1)), ErrorKind::TypeMismatch),
        _ => {}
    }
    still_works(world)
}

/// A receiver's mistake is not its sender's.
pub fn sender_survives_receivers_error(world: &Comm) -> Result<()> {
    match world.rank() {
        0 => {
            let send = world.isend_owned(vec![2.0; 200_000], 1, 1)?;
            assert_eq!(send.wait()?.len(), 200_000);
        }
        1 => assert_eq!(kind(world.recv(&mut [0.0], 0, 1)), ErrorKind::Truncated),
        _ => {}
    }
    still_works(world)
}

/// Ranks that disagree about a collective are told so, all of them, before anything moves.
pub fn collectives_that_disagree(world: &Comm) -> Result<()> {
    let me = world.rank();
    let mismatch = |result: Result<()>, word: &str| {
        let error = result.expect_err("ranks disagree");
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        assert!(error.to_string().contains(word) && error.to_string().contains("errors.rs:"), "{error}");
    };
    mismatch(world.bcast(&mut vec![0u8; 1 + me.min(1)], 0), "elements");
    mismatch(world.bcast(&mut [0u8], me.min(1)), "root");
    mismatch(if me == 0 { world.barrier() } else { world.bcast(&mut [0u8], 0) }, "rank");
    mismatch(
        if me == 0 { world.allreduce(1i32, Sum).map(drop) } else { world.allreduce(1u32, Sum).map(drop) },
        "u32",
    );
    mismatch(
        if me == 0 { world.allreduce(1, Sum).map(drop) } else { world.allreduce(1, Max).map(drop) },
        "Max",
    );
    mismatch(world.allreduce_in_place(&mut vec![0.5; 5000 + me.min(1)], Sum), "5000");
    still_works(world)
}

fn still_works(world: &Comm) -> Result<()> {
    let mut got = [usize::MAX];
    world.sendrecv(&[world.rank()], next(world), 9, &mut got, previous(world), 9)?;
    assert_eq!(got[0], previous(world));
    assert_eq!(world.allreduce(1, Sum)? as usize, world.size());
    Ok(())
}
