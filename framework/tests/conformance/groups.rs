//! Communicators made of communicators.

use super::p2p::{next, previous};
use rankine::op::Sum;
use rankine::{ANY_SOURCE, ANY_TAG, Comm, Result};

pub fn split_by_parity(world: &Comm) -> Result<()> {
    let color = world.rank() % 2;
    let part = world.split(Some(color as u32), 0)?.expect("every rank gave a colour");
    let size = world.size() / 2 + (world.size() % 2) * (1 - color);
    assert_eq!((part.rank(), part.size()), (world.rank() / 2, size));
    let members = part.allgather(&[world.rank()])?;
    assert_eq!(members, (0..world.size()).filter(|r| r % 2 == color).collect::<Vec<_>>());
    // Ranks in messages are those of the part.
    let mut got = [usize::MAX];
    let status = part.sendrecv(&[part.rank()], next(&part), 1, &mut got, previous(&part), 1)?;
    assert_eq!((got[0], status.source), (previous(&part), previous(&part)));
    // The key turns the order round.
    let turned = world.split(Some(0), -(world.rank() as i64))?.expect("one colour");
    assert_eq!(turned.rank(), world.size() - 1 - world.rank());
    Ok(())
}

pub fn split_with_none(world: &Comm) -> Result<()> {
    let part = world.split((world.rank() == 0).then_some(7), 0)?;
    assert_eq!(part.is_some(), world.rank() == 0);
    if let Some(part) = part {
        assert_eq!(part.size(), 1);
        assert_eq!(part.allreduce(5, Sum)?, 5);
    }
    world.barrier()
}

pub fn dup_keeps_messages_apart(world: &Comm) -> Result<()> {
    let other = world.dup()?;
    assert_eq!((other.rank(), other.size()), (world.rank(), world.size()));
    let first = world.isend_owned(vec![1u8], next(world), 4)?;
    let second = other.isend_owned(vec![2u8], next(world), 4)?;
    let mut got = [0u8];
    other.recv(&mut got, ANY_SOURCE, ANY_TAG)?;
    assert_eq!(got, [2]);
    world.recv(&mut got, ANY_SOURCE, ANY_TAG)?;
    assert_eq!(got, [1]);
    first.wait()?;
    second.wait()?;
    Ok(())
}

pub fn nested_splits(world: &Comm) -> Result<()> {
    let mut part = world.dup()?;
    while part.size() > 1 {
        let upper = part.rank() >= part.size() / 2;
        let half = part.split(Some(u32::from(upper)), 0)?.expect("every rank gave a colour");
        assert_eq!(half.allreduce(1, Sum)? as usize, half.size());
        part = half;
    }
    world.barrier()
}

pub fn many_communicators(world: &Comm) -> Result<()> {
    for i in 0..200 {
        let copy = world.dup()?;
        assert_eq!(copy.allreduce(i, Sum)?, i * copy.size() as i32);
    }
    // Dropped in another order on every rank.
    let mut copies = (0..8).map(|_| world.dup()).collect::<Result<Vec<_>>>()?;
    copies.rotate_left(world.rank() % 8);
    drop(copies);
    world.barrier()
}
