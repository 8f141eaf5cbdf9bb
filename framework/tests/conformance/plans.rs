//! Plans: sends and receives that are set up once and started again and again.

use super::p2p::{next, previous};
use rankine::{ANY_SOURCE, ANY_TAG, Comm, ErrorKind, Result, finish_all, start_all};

pub fn again_and_again(world: &Comm) -> Result<()> {
    for len in [0usize, 1, 1000, 100_000] {
        let mut out = world.plan_send(vec![0; len], next(world), 1)?;
        let mut into = world.plan_recv(vec![usize::MAX; len], previous(world), 1)?;
        for round in 0..20 {
            out.buffer_mut()?.fill(round * 100 + world.rank());
            if round % 2 == 0 {
                start_all(&mut [&mut into, &mut out])?;
            } else {
                out.start()?;
                into.start()?;
            }
            assert!(out.is_under_way() && into.is_under_way());
            let status = into.wait()?;
            assert_eq!((status.source, status.tag, status.len), (previous(world), 1, len));
            out.wait()?;
            assert!(into.buffer()?.iter().all(|&x| x == round * 100 + previous(world)));
        }
    }
    Ok(())
}

/// Other buffers, of other lengths, between two starts.
pub fn swapped_buffers(world: &Comm) -> Result<()> {
    let mut out = world.plan_ssend(vec![1u8; 10], next(world), 1)?;
    let mut into = world.plan_recv(vec![0u8; 10], ANY_SOURCE, ANY_TAG)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..10u8 {
        ours = vec![round; 100 * usize::from(round)];
        theirs.resize(ours.len() + 5, 99);
        out.swap(&mut ours)?;
        into.swap(&mut theirs)?;
        start_all(&mut [&mut out, &mut into])?;
        assert_eq!(out.swap(&mut ours).unwrap_err().kind(), ErrorKind::Usage);
        while !out.test()? {
            if into.is_under_way() {
                into.test()?;
            }
            std::thread::yield_now();
        }
        if into.is_under_way() {
            into.wait()?;
        }
        let len = 100 * usize::from(round);
        assert_eq!(into.buffer()?[..len], vec![round; len]);
        // Whatever came before is the next round's buffer.
        world.barrier()?;
    }
    assert_eq!(ours.len(), 800);
    Ok(())
}

/// The buffers of a plan under way cannot be had, and one that was not started cannot be waited for.
pub fn misuse(world: &Comm) -> Result<()> {
    let mut into = world.plan_recv(vec![0.0; 2], previous(world), 1)?;
    let usage = |result: Result<()>, words: &str| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().contains(words) && error.to_string().contains("plans.rs:"), "{error}");
    };
    usage(into.wait().map(drop), "has not been started");
    usage(into.test().map(drop), "has not been started");
    usage(into.cancel().map(drop), "has not been started");
    into.start()?;
    usage(into.start(), "is under way");
    usage(into.buffer().map(drop), "is under way");
    usage(into.buffer_mut().map(drop), "is under way");
    usage(into.swap(&mut Vec::new()), "is under way");
    world.bsend(&[1.0, 2.0], next(world), 1)?;
    finish_all(&mut [&mut into])?;
    assert_eq!(into.buffer()?, [1.0, 2.0]);
    Ok(())
}

/// A receive that is taken back leaves its message to the next start.
pub fn cancelled(world: &Comm) -> Result<()> {
    let mut into = world.plan_recv(vec![0; 2], previous(world), 1)?;
    for round in 0..3 {
        into.start()?;
        assert_eq!(into.cancel()?, None);
        assert!(!into.is_under_way());
        world.barrier()?;
        world.bsend(&[round, 7], next(world), 1)?;
        into.start()?;
        assert_eq!(into.wait()?.len, 2);
        assert_eq!(into.buffer()?, [round, 7]);
        world.barrier()?;
    }
    Ok(())
}

/// After a message that does not fit, or is of another type, the plan goes on.
pub fn misfits(world: &Comm) -> Result<()> {
    let mut into = world.plan_recv(vec![0i32; 2], previous(world), 1)?;
    for round in 0..3 {
        let mut send = [Vec::new(), Vec::new(), Vec::new()];
        into.start()?;
        world.bsend(&[round; 9], next(world), 1)?;
        assert_eq!(into.wait().unwrap_err().kind(), ErrorKind::Truncated);
        world.barrier()?;
        into.start()?;
        let wrong = world.isend_owned(vec![0.5], next(world), 1)?;
        assert_eq!(into.wait().unwrap_err().kind(), ErrorKind::TypeMismatch);
        wrong.wait()?;
        world.barrier()?;
        into.start()?;
        send[0] = vec![round; 2];
        world.bsend(&send[0], next(world), 1)?;
        assert_eq!(into.wait()?.len, 2);
        assert_eq!(into.buffer()?, [round, round]);
    }
    Ok(())
}

/// A plan dropped while under way is taken back; one that is forgotten may still be written to.
pub fn dropped_and_forgotten(world: &Comm) -> Result<()> {
    for len in [1usize, 50_000] {
        let mut dropped = world.plan_recv(vec![0u8; len], previous(world), 1)?;
        dropped.start()?;
        drop(dropped);
        let mut forgotten = world.plan_recv(vec![0u8; len], previous(world), 2)?;
        forgotten.start()?;
        std::mem::forget(forgotten);
        world.barrier()?;
        let sends = [1, 2].map(|tag| world.isend_owned(vec![1u8; len], next(world), tag));
        assert_eq!(world.recv_vec::<u8>(previous(world), 1)?.0, vec![1; len]);
        for send in sends {
            send?.wait()?;
        }
        drop(world.plan_send(vec![1u8; len], next(world), 3)?);
    }
    world.barrier()
}

/// Plans of every kind, started and finished together.
pub fn of_every_kind(world: &Comm) -> Result<()> {
    let mut out = world.plan_send(vec![world.rank(); 30], next(world), 1)?;
    let mut into = world.plan_recv(vec![0; 30], previous(world), 1)?;
    let mut sum = world.plan_allreduce(vec![0u64; 3], rankine::op::Sum)?;
    for round in 0..3 {
        sum.buffers()?.fill(round);
        start_all(&mut [&mut into, &mut sum, &mut out])?;
        finish_all(&mut [&mut into, &mut sum, &mut out])?;
        assert_eq!(sum.buffers()?, [round * world.size() as u64; 3]);
        assert_eq!(into.buffer()?, [previous(world); 30]);
    }
    Ok(())
}
