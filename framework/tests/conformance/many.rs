//! Many requests at once: thousands outstanding, in any order, and each buffer back.

use super::dice::Dice;
use super::p2p::{next, previous};
use rankine::{ANY_SOURCE, ANY_TAG, Comm, ErrorKind, Request, Requests, Result};

const MANY: usize = 10_000;

/// Ten thousand receives with tags of their own, their messages in the opposite order.
pub fn ten_thousand_receives(world: &Comm) -> Result<()> {
    let data: Vec<u64> = (0..MANY as u64).collect();
    let mut got = vec![0u64; MANY];
    world.scope(|s| {
        let receives: Result<Requests<_>> = got
            .chunks_mut(1)
            .enumerate()
            .map(|(tag, part)| s.irecv(part, previous(world), tag as i32))
            .collect();
        let sends: Result<Requests<_>> = data
            .chunks(1)
            .enumerate()
            .rev()
            .map(|(tag, part)| s.isend(part, next(world), tag as i32))
            .collect();
        for (i, (part, status)) in receives?.wait_all()?.into_iter().enumerate() {
            assert_eq!((status.tag as usize, part[0]), (i, i as u64));
        }
        assert_eq!(sends?.wait_all()?.len(), MANY);
        Ok(())
    })?;
    assert_eq!(got, data);
    Ok(())
}

/// Ten thousand messages that nobody has asked for yet, then taken from the last to the first.
pub fn ten_thousand_unexpected(world: &Comm) -> Result<()> {
    for i in 0..MANY {
        world.bsend(&vec![i; 1 + i % 9], next(world), i as i32)?;
    }
    world.barrier()?;
    let mut got = [0usize; 9];
    for i in (0..MANY).rev() {
        assert_eq!(world.recv(&mut got, previous(world), i as i32)?.len, 1 + i % 9);
        assert_eq!(got[0], i);
    }
    Ok(())
}

/// Thousands of sends that are all under way before the first receive; one tag, so in order.
pub fn ten_thousand_sends(world: &Comm) -> Result<()> {
    let data = vec![[world.rank(); 20]; MANY];
    let mut got = vec![[0usize; 20]; MANY];
    world.scope(|s| {
        let sends: Result<Vec<_>> = data.chunks(1).map(|part| s.isend(part, next(world), 1)).collect();
        let receives: Result<Vec<_>> =
            got.chunks_mut(1).map(|part| s.irecv(part, previous(world), 1)).collect();
        rankine::wait_all(sends?)?;
        rankine::wait_all(receives?).map(drop)
    })?;
    assert!(got.iter().all(|part| *part == [previous(world); 20]));
    Ok(())
}

/// Each is given back once, whichever is asked for.
pub fn any_and_some(world: &Comm) -> Result<()> {
    const N: usize = 300;
    let (mut dice, mine) = (Dice::new(world.size() as u64), world.rank());
    let length = |i: usize| [1, 7, 600, 12_000][i % 4];
    for how in 0..4 {
        let mut receives: Requests<_> = (0..N)
            .map(|i| world.irecv_owned(Vec::<usize>::with_capacity(length(i)), previous(world), i as i32))
            .collect::<Result<_>>()?;
        let mut order: Vec<usize> = (0..N).collect();
        (1..N).for_each(|i| order.swap(i, dice.below(i + 1)));
        let mut sends: Requests<_> = order
            .iter()
            .map(|&i| world.isend_owned(vec![mine * N + i; length(i)], next(world), i as i32))
            .collect::<Result<_>>()?;
        let mut seen = [false; N];
        while !receives.is_empty() {
            let before = receives.len();
            let done = match how {
                0 => receives.wait_any()?.into_iter().collect(),
                1 => receives.wait_some()?,
                2 => receives.test_any()?.into_iter().collect(),
                _ => receives.test_some()?,
            };
            assert!(how > 1 || !done.is_empty());
            assert_eq!(receives.len() + done.len(), before);
            for (i, (data, status)) in done {
                assert!(!std::mem::replace(&mut seen[i], true));
                assert_eq!((status.tag, status.len), (i as i32, length(i)));
                assert_eq!(data, vec![previous(world) * N + i; length(i)]);
            }
            // A rank that only tests must leave the others some of the core.
            std::thread::yield_now();
        }
        assert!(receives.wait_any()?.is_none() && receives.wait_some()?.is_empty());
        while sends.test_all()?.is_none_or(|done| done.len() != N) {
            std::thread::yield_now();
        }
        assert_eq!((sends.len(), sends.wait_all()?.len()), (0, 0));
    }
    Ok(())
}

/// Requests of two communicators and of both kinds of collection; a scope completes those whose set was forgotten.
pub fn sets_of_any_kind(world: &Comm) -> Result<()> {
    let other = world.dup()?;
    let mut all = Requests::new();
    for i in 0..20 {
        let comm = [world, &other][i % 2];
        assert_eq!(all.push(comm.irecv_owned(vec![0; 2], previous(world), 1)?), i);
    }
    let mut sends = Requests::default();
    sends.extend((0..10).map(|i| other.isend_owned(vec![i, 1], next(world), 1).unwrap()));
    sends.extend((0..10).map(|i| world.isend_owned(vec![i, 0], next(world), 1).unwrap()));
    for (i, (data, _)) in all.wait_all()?.into_iter().enumerate() {
        assert_eq!(data, [i as i32 / 2, i as i32 % 2]);
    }
    sends.wait_all()?;
    let (mut got, data) = ([[0u8; 100]; 10], [[3u8; 100]; 10]);
    world.scope(|s| {
        let receives: Result<Requests<Request<'_, _>>> =
            got.iter_mut().map(|part| s.irecv(part, previous(world), 2)).collect();
        let sends: Result<Requests<_>> = data.iter().map(|part| s.isend(part, next(world), 2)).collect();
        std::mem::forget(receives?);
        drop(sends?);
        Ok(())
    })?;
    assert_eq!(got, data);
    Ok(())
}

/// One that fails is told, and the others still give their buffers back.
pub fn one_of_them_fails(world: &Comm) -> Result<()> {
    let mut receives: Requests<_> = (0..10)
        .map(|i| world.irecv_owned(Vec::<i16>::with_capacity(if i == 4 { 1 } else { 3 }), previous(world), i))
        .collect::<Result<_>>()?;
    let sends: Vec<_> =
        (0..10).map(|i| world.isend_owned(vec![i as i16; 3], next(world), i)).collect::<Result<_>>()?;
    rankine::wait_all(sends)?;
    let (mut seen, mut errors) = (Vec::new(), Vec::new());
    while !receives.is_empty() {
        match receives.wait_some() {
            Ok(done) => seen.extend(done.into_iter().map(|(i, (data, _))| (i, data.len()))),
            Err(error) => errors.push(error.kind()),
        }
    }
    seen.sort_unstable();
    assert_eq!(errors, [ErrorKind::Truncated]);
    assert_eq!(seen, (0..10).filter(|&i| i != 4).map(|i| (i, 3)).collect::<Vec<_>>());
    Ok(())
}

/// A message of another type is found, also behind receives whose messages are still to come.
pub fn a_wrong_type_among_them(world: &Comm) -> Result<()> {
    let mut receives: Requests<_> = (0..100)
        .map(|i| world.irecv_owned(Vec::<u64>::with_capacity(1), previous(world), i))
        .collect::<Result<_>>()?;
    let wrong = world.isend_owned(vec![1.0], next(world), 70)?;
    let error = receives.wait_any().expect_err("the only message there is is of another type");
    assert_eq!(error.kind(), ErrorKind::TypeMismatch, "{error}");
    wrong.wait()?;
    world.barrier()?;
    for i in (0..100).filter(|&i| i != 70) {
        world.bsend(&[i as u64], next(world), i)?;
    }
    for (i, (data, _)) in receives.wait_all()?.into_iter().enumerate() {
        assert_eq!(data, [if i < 70 { i } else { i + 1 } as u64]);
    }
    Ok(())
}

/// Receives of every degree of wildness are matched in the order they were posted.
pub fn wildcards_take_their_turn(world: &Comm) -> Result<()> {
    let (from, room) = (previous(world), || Vec::<usize>::with_capacity(50));
    for len in [1, 50] {
        let receives = [
            world.irecv_owned(room(), from, 5)?,
            world.irecv_owned(room(), ANY_SOURCE, 5)?,
            world.irecv_owned(room(), from, ANY_TAG)?,
            world.irecv_owned(room(), from, 5)?,
            world.irecv_owned(room(), ANY_SOURCE, ANY_TAG)?,
            world.irecv_owned(room(), ANY_SOURCE, 6)?,
        ];
        world.barrier()?;
        let tags = [5, 5, 6, 5, 6, 6];
        let sends: Vec<_> =
            (0..6).map(|i| world.isend_owned(vec![i; len], next(world), tags[i])).collect::<Result<_>>()?;
        for (i, (data, status)) in rankine::wait_all(receives)?.into_iter().enumerate() {
            assert_eq!((data, status.tag), (vec![i; len], tags[i]), "receive {i}");
        }
        rankine::wait_all(sends)?;
        world.barrier()?;
    }
    Ok(())
}

/// Everybody sends rank 0 messages of every length; it takes them with thousands of wild receives.
pub fn wildcards_under_load(world: &Comm) -> Result<()> {
    const EACH: usize = 600;
    let length = |i: usize| [1, 9, 700, 20_000][i % 4];
    if world.rank() != 0 {
        let sends: Vec<_> = (0..EACH)
            .map(|i| world.isend_owned(vec![world.rank() * EACH + i; length(i)], 0, (i % 5) as i32))
            .collect::<Result<_>>()?;
        return rankine::wait_all(sends).map(drop);
    }
    let total = EACH * (world.size() - 1);
    let mut seen = vec![0; world.size()];
    for start in (0..total).step_by(500) {
        let mut receives: Requests<_> = (start..total.min(start + 500))
            .map(|_| world.irecv_owned(Vec::<usize>::with_capacity(20_000), ANY_SOURCE, ANY_TAG))
            .collect::<Result<_>>()?;
        // In the order posted, so each sender's messages in the order sent.
        for (data, status) in receives.wait_all()? {
            let i = seen[status.source];
            assert_eq!(data, vec![status.source * EACH + i; length(i)]);
            assert_eq!(status.tag, (i % 5) as i32);
            seen[status.source] += 1;
        }
    }
    assert!(seen[1..].iter().all(|&n| n == EACH));
    Ok(())
}
