//! Synchronous, buffered and ready sends, and exchanges.

use super::p2p::{next, previous};
use rankine::{ANY_SOURCE, ANY_TAG, Comm, ErrorKind, Result, Test};

/// Messages of lengths around the sizes where engines change their way of sending.
const LENGTHS: [usize; 6] = [0, 1, 10, 1000, 9000, 200_000];

/// A synchronous send is not over before its receive has begun, whatever its length.
pub fn synchronous_sends_wait(world: &Comm) -> Result<()> {
    for len in LENGTHS {
        let mut send = world.issend_owned(vec![world.rank() as u32; len], next(world), 1)?;
        for _ in 0..20 {
            match send.test()? {
                Test::Pending(again) => send = again,
                Test::Done(_) => panic!("nobody has received it"),
            }
        }
        world.barrier()?;
        let (got, _) = world.recv_vec::<u32>(previous(world), 1)?;
        assert_eq!(got, vec![previous(world) as u32; len]);
        assert_eq!(send.wait()?.len(), len);
    }
    Ok(())
}

/// A job ends although buffered messages are left that nobody receives. Seen as a hang at the end of the job.
pub fn nobody_receives(world: &Comm) -> Result<()> {
    let apart = world.dup()?;
    for len in LENGTHS {
        apart.bsend(&vec![3u8; len], next(world), 3)?;
    }
    Ok(())
}

pub fn blocking_synchronous_sends(world: &Comm) -> Result<()> {
    for len in LENGTHS {
        let mut got = vec![0u16; len];
        match world.rank() {
            0 => world.ssend(&vec![9u16; len], 1, 2)?,
            1 => assert_eq!(world.recv(&mut got, 0, 2)?.len, len),
            _ => continue,
        }
        assert!(world.rank() == 0 || got.iter().all(|&x| x == 9));
    }
    Ok(())
}

/// Everybody sends first and receives then, in another order; and the buffer is free at once.
pub fn buffered_sends_never_wait(world: &Comm) -> Result<()> {
    for (tag, &len) in LENGTHS.iter().enumerate() {
        let mut data = vec![world.rank() + 10 * tag; len];
        world.bsend(&data, next(world), tag as i32)?;
        data.fill(usize::MAX);
        world.scope(|s| s.ibsend(&data, next(world), 100)?.wait().map(drop))?;
    }
    for (tag, &len) in LENGTHS.iter().enumerate().rev() {
        let (got, status) = world.recv_vec::<usize>(previous(world), tag as i32)?;
        assert_eq!((status.len, got), (len, vec![previous(world) + 10 * tag; len]));
    }
    for len in LENGTHS {
        assert_eq!(world.recv_vec::<usize>(previous(world), 100)?.0, vec![usize::MAX; len]);
    }
    Ok(())
}

/// Modes do not overtake one another.
pub fn modes_keep_order(world: &Comm) -> Result<()> {
    let data = vec![world.rank(); 3000];
    world.scope(|s| {
        for (i, len) in [1, 3000, 2, 2000, 3, 1000].into_iter().cycle().take(30).enumerate() {
            let part = &data[..len];
            let _ = match i % 3 {
                0 => s.ibsend(part, next(world), 5)?,
                1 => s.issend(part, next(world), 5)?,
                _ => s.isend(part, next(world), 5)?,
            };
        }
        let mut got = vec![0; 3000];
        for len in [1, 3000, 2, 2000, 3, 1000].into_iter().cycle().take(30) {
            assert_eq!(world.recv(&mut got, previous(world), 5)?.len, len);
            assert!(got[..len].iter().all(|&x| x == previous(world)));
        }
        Ok(())
    })
}

/// Receives are posted, everybody knows, and only then are the messages sent.
pub fn ready_sends(world: &Comm) -> Result<()> {
    for len in LENGTHS {
        let exact = world.irecv_owned(Vec::with_capacity(len), previous(world), 3)?;
        let wild = world.irecv_owned(Vec::with_capacity(len), ANY_SOURCE, ANY_TAG)?;
        world.barrier()?;
        let data = vec![world.rank() as u8; len];
        world.rsend(&data, next(world), 3)?;
        world.scope(|s| s.irsend(&data, next(world), 3)?.wait().map(drop))?;
        for (got, status) in [exact.wait()?, wild.wait()?] {
            assert_eq!((status.tag, got), (3, vec![previous(world) as u8; len]));
        }
    }
    Ok(())
}

/// Exchanges in place, all at once, of every length.
pub fn exchanges(world: &Comm) -> Result<()> {
    for len in LENGTHS {
        let mut data = vec![world.rank() as f64; len];
        let status = world.sendrecv_replace(&mut data, next(world), 4, previous(world), 4)?;
        assert_eq!((status.source, status.len), (previous(world), len));
        assert_eq!(data, vec![previous(world) as f64; len]);
        // The length of what comes is its sender's.
        let mine = vec![world.rank() as i64; len + world.rank()];
        let (got, status) = world.sendrecv_vec::<_, i64>(&mine, next(world), 4, previous(world), 4)?;
        assert_eq!(got, vec![previous(world) as i64; len + previous(world)]);
        assert_eq!(status.len, got.len());
    }
    // What is shorter leaves the rest.
    let mut data = [world.rank(), 77];
    let send = world.isend_owned(vec![5usize], next(world), 6)?;
    let rest = world.irecv_owned(vec![0usize; 2], previous(world), 7)?;
    let status = world.sendrecv_replace(&mut data, next(world), 7, previous(world), 6)?;
    assert_eq!((status.len, data), (1, [5, 77]));
    assert_eq!(rest.wait()?.0, [previous(world), 77]);
    send.wait().map(drop)
}

pub fn bad_arguments(world: &Comm) -> Result<()> {
    let n = world.size();
    let kinds = [
        world.ssend(&[1], n, 0).unwrap_err().kind(),
        world.bsend(&[1], 0, -1).unwrap_err().kind(),
        world.rsend(&[1], n, 0).unwrap_err().kind(),
        world.issend_owned(vec![1], n, 0).err().map_or(ErrorKind::Io, |e| e.kind()),
        world.sendrecv_replace(&mut [1], n, 0, 0, 0).unwrap_err().kind(),
        world.sendrecv_vec::<i32, i32>(&[1], 0, 0, n, 0).unwrap_err().kind(),
        world.mprobe::<i32>(n, 0).err().map_or(ErrorKind::Io, |e| e.kind()),
        world.irecv_vec::<i32>(0, -7).err().map_or(ErrorKind::Io, |e| e.kind()),
        world.plan_send(vec![1], n, 0).err().map_or(ErrorKind::Io, |e| e.kind()),
        world.plan_recv(vec![1], 0, -3).err().map_or(ErrorKind::Io, |e| e.kind()),
    ];
    assert_eq!(kinds, [ErrorKind::Usage; 10]);
    world.barrier()
}
