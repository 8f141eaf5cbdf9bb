//! Blocking messages.

use rankine::{ANY_SOURCE, ANY_TAG, Comm, Element, Result};

pub fn next(world: &Comm) -> usize {
    (world.rank() + 1) % world.size()
}

pub fn previous(world: &Comm) -> usize {
    (world.rank() + world.size() - 1) % world.size()
}

/// A token goes round; even ranks send first, so that nobody waits in a circle.
pub fn ring(world: &Comm) -> Result<()> {
    if world.size() == 1 {
        return Ok(());
    }
    let mut token = [0u64];
    if world.rank() == 0 {
        world.send(&[7u64], next(world), 1)?;
        world.recv(&mut token, previous(world), 1)?;
        assert_eq!(token, [7 + world.size() as u64 - 1]);
    } else {
        world.recv(&mut token, previous(world), 1)?;
        world.send(&[token[0] + 1], next(world), 1)?;
    }
    Ok(())
}

pub fn to_self_blocking(world: &Comm) -> Result<()> {
    world.send(&[1.5f32, 2.5], world.rank(), 3)?;
    let mut got = [0.0f32; 2];
    let status = world.recv(&mut got, world.rank(), 3)?;
    assert_eq!((got, status.source, status.len), ([1.5, 2.5], world.rank(), 2));
    Ok(())
}

pub fn to_self_nonblocking(world: &Comm) -> Result<()> {
    let me = world.rank();
    for len in [1, 100, 100_000] {
        let data: Vec<u32> = (0..len).collect();
        let mut got = vec![0u32; len as usize];
        world.scope(|s| {
            let r = s.irecv(&mut got, me, 3)?;
            s.isend(&data, me, 3)?.wait()?;
            r.wait()?;
            Ok(())
        })?;
        assert_eq!(got, data);
    }
    Ok(())
}

pub fn zero_length(world: &Comm) -> Result<()> {
    let mut nothing: [f64; 0] = [];
    let status = world.sendrecv(&[0.0f64; 0], next(world), 1, &mut nothing, previous(world), 1)?;
    assert_eq!(status.len, 0);
    let mut room = [9.0];
    let status = world.sendrecv(&[0.0f64; 0], next(world), 1, &mut room, previous(world), 1)?;
    assert_eq!((status.len, room), (0, [9.0]));
    Ok(())
}

pub fn every_type(world: &Comm) -> Result<()> {
    fn one<T: Element + PartialEq + std::fmt::Debug>(world: &Comm, value: T) -> Result<()> {
        for len in [1, 5, 1000] {
            let data = vec![value; len];
            let mut got = vec![T::zeroed(); len];
            world.sendrecv(&data, next(world), 1, &mut got, previous(world), 1)?;
            assert_eq!(got, data);
        }
        Ok(())
    }
    one(world, -1i8)?;
    one(world, -2i16)?;
    one(world, -3i32)?;
    one(world, -4i64)?;
    one(world, -5i128)?;
    one(world, 1u8)?;
    one(world, 2u16)?;
    one(world, 3u32)?;
    one(world, 4u64)?;
    one(world, 5u128)?;
    one(world, 6usize)?;
    one(world, 1.5f32)?;
    one(world, 2.5f64)?;
    one(world, num_complex::Complex::new(1.0f32, -1.0))?;
    one(world, num_complex::Complex::new(1.0f64, -1.0))?;
    one(world, [1.0f64, 2.0, 3.0])
}

/// Messages between two ranks with one tag arrive in the order they were sent, small and large mixed.
pub fn order_is_kept(world: &Comm) -> Result<()> {
    let length = |i: u64| [1, 4, 5, 39, 500, 9000, 20_000][i as usize % 7];
    let mut got = vec![0u64; 20_000];
    let sends: Result<Vec<_>> =
        (0..40).map(|i| world.isend_owned(vec![i; length(i)], next(world), 5)).collect();
    for i in 0..40 {
        let status = world.recv(&mut got, previous(world), 5)?;
        assert_eq!((status.len, got[0], got[status.len - 1]), (length(i), i, i));
    }
    sends?.into_iter().try_for_each(|send| send.wait().map(drop))
}

pub fn shorter_message(world: &Comm) -> Result<()> {
    let mut room = [-1i32; 100];
    let status = world.sendrecv(&[5i32, 6], next(world), 1, &mut room, previous(world), 1)?;
    assert_eq!(status.len, 2);
    assert_eq!(room[..3], [5, 6, -1]);
    Ok(())
}

pub fn vectors_of_any_length(world: &Comm) -> Result<()> {
    for len in [0usize, 1, 4, 10, 4096, 300_000] {
        let data = vec![world.rank() as f64 + 0.5; len];
        let send = world.isend_owned(data, next(world), 8)?;
        let (got, status) = world.recv_vec::<f64>(previous(world), 8)?;
        assert_eq!((got.len(), status.len, status.source), (len, len, previous(world)));
        assert!(got.iter().all(|&x| x == previous(world) as f64 + 0.5));
        send.wait()?;
    }
    Ok(())
}

pub fn moved_vectors(world: &Comm) -> Result<()> {
    for len in [0usize, 3, 300] {
        world.send_vec(vec![world.rank() as u16; len], next(world), 8)?;
        let (got, _) = world.recv_vec::<u16>(previous(world), 8)?;
        assert_eq!(got, vec![previous(world) as u16; len]);
        // Also into a buffer, and as arrays of another shape.
        world.send_vec(vec![[1u8, 2, 3]; len], next(world), 9)?;
        let mut room = vec![0u8; 3 * len];
        assert_eq!(world.recv(&mut room, previous(world), 9)?.len, 3 * len);
        assert!(room.chunks(3).all(|c| c == [1, 2, 3]));
        world.send_vec(vec![[1u8, 2, 3]; len], next(world), 9)?;
        assert_eq!(world.recv_vec::<u8>(previous(world), 9)?.0, room);
    }
    Ok(())
}

pub fn moved_large_vector(world: &Comm) -> Result<()> {
    match world.rank() {
        0 => world.send_vec((0..1_000_000u64).collect(), 1, 8),
        1 => {
            let (got, status) = world.recv_vec::<u64>(0, 8)?;
            assert_eq!(status.len, 1_000_000);
            assert!(got.iter().enumerate().all(|(i, &x)| x == i as u64));
            Ok(())
        }
        _ => Ok(()),
    }
}

pub fn sendrecv_shift(world: &Comm) -> Result<()> {
    for len in [1usize, 30, 3000, 200_000] {
        let data = vec![world.rank() as i64; len];
        let mut got = vec![-1i64; len];
        world.sendrecv(&data, next(world), 2, &mut got, previous(world), 2)?;
        assert!(got.iter().all(|&x| x == previous(world) as i64));
    }
    Ok(())
}

pub fn probing(world: &Comm) -> Result<()> {
    assert_eq!(world.iprobe::<f64>(ANY_SOURCE, ANY_TAG)?, None);
    world.barrier()?;
    let send = world.isend_owned(vec![1.0f64, 2.0, 3.0], next(world), 11)?;
    let status = world.probe::<f64>(previous(world), 11)?;
    assert_eq!((status.source, status.tag, status.len), (previous(world), 11, 3));
    // Probing takes nothing away.
    assert_eq!(world.probe::<f64>(ANY_SOURCE, ANY_TAG)?, status);
    assert_eq!(world.iprobe::<f64>(previous(world), 12)?, None);
    let mut got = [0.0; 3];
    world.recv(&mut got, status.source, status.tag)?;
    send.wait()?;
    world.barrier()
}

pub fn buffered_before_received(world: &Comm) -> Result<()> {
    // More than any ring holds, before the first is received: small sends do not wait for their receiver.
    for i in 0..1000i32 {
        world.send(&[i], next(world), i % 7)?;
    }
    for tag in 0..7 {
        let mut got = [0i32];
        for i in (0..1000).filter(|i| i % 7 == tag) {
            world.recv(&mut got, previous(world), tag)?;
            assert_eq!(got, [i]);
        }
    }
    Ok(())
}

pub fn wildcards(world: &Comm) -> Result<()> {
    if world.rank() == 0 {
        let mut seen = vec![0; world.size()];
        for _ in 1..world.size() * 10 - 9 {
            let mut got = [0usize; 2];
            let status = world.recv(&mut got, ANY_SOURCE, ANY_TAG)?;
            assert_eq!(status.source, got[0]);
            assert_eq!(status.tag, got[1] as i32);
            // From each rank in its order.
            assert_eq!(got[1], seen[status.source]);
            seen[status.source] += 1;
        }
        assert!(seen[1..].iter().all(|&n| n == 10));
    } else {
        for i in 0..10 {
            world.send(&[world.rank(), i], 0, i as i32)?;
        }
    }
    Ok(())
}

pub fn large_messages(world: &Comm) -> Result<()> {
    let len = 3 << 20;
    match world.rank() {
        0 => {
            let data: Vec<u64> = (0..len).collect();
            world.send(&data, 1, 1)
        }
        1 => {
            let mut got = vec![0u64; len as usize];
            world.recv(&mut got, 0, 1)?;
            assert!(got.iter().enumerate().all(|(i, &x)| x == i as u64));
            Ok(())
        }
        _ => Ok(()),
    }
}

pub fn tags_select(world: &Comm) -> Result<()> {
    match world.rank() {
        0 => {
            let sends: Result<Vec<_>> = [5, 3, 9, rankine::TAG_MAX, 0]
                .iter()
                .map(|&tag| world.isend_owned(vec![tag], 1, tag))
                .collect();
            sends?.into_iter().try_for_each(|send| send.wait().map(drop))
        }
        1 => {
            for tag in [0, rankine::TAG_MAX, 3, 9, 5] {
                let mut got = [-1];
                assert_eq!(world.recv(&mut got, 0, tag)?.tag, tag);
                assert_eq!(got, [tag]);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Every length around the sizes where an engine changes its way of sending.
pub fn many_sizes(world: &Comm) -> Result<()> {
    let edges = [0usize, 1, 37, 38, 39, 63, 64, 65, 4000, 4096, 4097, 65_535, 65_536, 65_537, 1 << 20];
    for (tag, &len) in edges.iter().enumerate() {
        let pattern = |i: usize| (i * 31 + len) as u8;
        match world.rank() {
            0 => world.send(&(0..len).map(pattern).collect::<Vec<u8>>(), 1, tag as i32)?,
            1 => {
                let mut got = vec![0u8; len];
                assert_eq!(world.recv(&mut got, 0, tag as i32)?.len, len);
                assert!(got.iter().enumerate().all(|(i, &byte)| byte == pattern(i)));
            }
            _ => {}
        }
    }
    Ok(())
}
