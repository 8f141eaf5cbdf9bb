//! Communicators made of communicators.

use super::p2p::{next, previous};
use rankine::op::Sum;
use rankine::{ANY_SOURCE, ANY_TAG, Comm, Comparison, ErrorKind, Group, Result};

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

pub fn groups_of_communicators(world: &Comm) -> Result<()> {
    let (all, size) = (world.group()?, world.size());
    assert_eq!(all.ranks(), (0..size).collect::<Vec<_>>());
    assert_eq!(world.world_rank(world.rank())?, world.rank());
    // Reversed, then every other one of those.
    let turned = world.split(Some(0), -(world.rank() as i64))?.expect("one colour");
    assert_eq!(turned.group()?, all.range_incl(&[(size - 1, 0, -1)])?);
    assert_eq!(turned.world_rank(turned.rank())?, world.rank());
    let half = turned.split(Some((turned.rank() % 2) as u32), 0)?.expect("every rank gave a colour");
    let expected = turned.group()?.range_incl(&[(turned.rank() % 2, size - 1, 2)])?;
    assert_eq!(half.group()?, expected);
    let error = turned.world_rank(size).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    Ok(())
}

pub fn comparisons(world: &Comm) -> Result<()> {
    assert_eq!(world.compare(world)?, Comparison::Identical);
    assert_eq!(world.compare(&world.dup()?)?, Comparison::Congruent);
    let turned = world.split(Some(0), -(world.rank() as i64))?.expect("one colour");
    let alone = world.split(Some(world.rank() as u32), 0)?.expect("every rank gave a colour");
    let expected = match world.size() {
        1 => [Comparison::Congruent; 2],
        _ => [Comparison::Similar, Comparison::Unequal],
    };
    assert_eq!([world.compare(&turned)?, world.compare(&alone)?], expected);
    Ok(())
}

pub fn create_from_groups(world: &Comm) -> Result<()> {
    let (all, size) = (world.group()?, world.size());
    // In the group's order, which is not the communicator's.
    let odd_down = all.incl(&(0..size).rev().filter(|rank| rank % 2 == 1).collect::<Vec<_>>())?;
    let part = world.create(&odd_down)?;
    assert_eq!(part.as_ref().map(Comm::rank), odd_down.rank_of(world.rank()));
    if let Some(part) = part {
        assert_eq!(part.group()?, odd_down);
        assert_eq!(part.allgather(&[world.rank()])?, odd_down.ranks());
    }
    // Nobody.
    assert!(world.create(&Group::empty())?.is_none());
    // Disjoint groups in one call.
    let (low, high) = (all.range_incl(&[(0, size / 2, 1)])?, all.range_excl(&[(0, size / 2, 1)])?);
    let mine = if low.contains(world.rank()) { &low } else { &high };
    let part = world.create(mine)?.expect("every rank is in a group");
    assert_eq!(&part.group()?, mine);
    assert_eq!(part.allreduce(1, Sum)? as usize, mine.size());
    // A rank that there is not.
    let error = world.create(&Group::new([0, size])?).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains(&format!("ranks {{{size}}} are not in this communicator")), "{error}");
    Ok(())
}

pub fn create_group_without_the_others(world: &Comm) -> Result<()> {
    let (all, size, me) = (world.group()?, world.size(), world.rank());
    // Every rank with each of its neighbours in turn; nobody else is asked. Even ranks come to their right one first,
    // and all meet without waiting in a circle.
    let pair = |left: usize| all.incl(&[left + 1, left]);
    let mut lefts = vec![(me + 1 < size).then_some(me), me.checked_sub(1)];
    if me % 2 == 1 {
        lefts.reverse();
    }
    for left in lefts.into_iter().flatten() {
        for round in 0..3 {
            let part = world.create_group(&pair(left)?, 5)?;
            assert_eq!((part.rank(), part.size()), (left + 1 - me, 2));
            assert_eq!(part.allgather(&[10 * me + round])?, [10 * (left + 1) + round, 10 * left + round]);
        }
    }
    // One of a part of the world, by its own ranks; it makes children as any other does.
    if me > 0 {
        let rest = world.create_group(&all.excl(&[0])?, 1)?;
        let halves = rest.split(Some((rest.rank() % 2) as u32), 0)?.expect("every rank gave a colour");
        assert_eq!(halves.rank(), rest.rank() / 2);
        let again = rest.create_group(&rest.group()?, 1)?;
        assert_eq!(again.compare(&rest)?, Comparison::Congruent);
    } else {
        let alone = world.create_group(&all.incl(&[0])?, 1)?;
        assert_eq!(alone.allreduce(7, Sum)?, 7);
        let others = all.excl(&[0])?;
        assert_eq!(world.create_group(&others, 1).unwrap_err().kind(), ErrorKind::Usage);
        assert_eq!(world.create_group(&all, -1).unwrap_err().kind(), ErrorKind::Usage);
        assert_eq!(world.create_group(&Group::new([0, size])?, 1).unwrap_err().kind(), ErrorKind::Usage);
    }
    world.barrier()
}

pub fn many_groups_are_freed(world: &Comm) -> Result<()> {
    let all = world.group()?;
    let mut kept = Vec::new();
    // More than any MPI has contexts for at once, were they never freed.
    for i in 0..1200 {
        let copy = world.create_group(&all, 0)?;
        if i % 500 == world.rank() {
            // Kept by one rank only, so not to be freed.
            kept.push(copy);
        }
    }
    let last = world.create_group(&all, 0)?;
    assert_eq!(last.allreduce(1, Sum)? as usize, world.size());
    world.barrier()
}

pub fn shared_memory(world: &Comm) -> Result<()> {
    let node = world.split_shared()?;
    // All cases run on one machine.
    assert_eq!(node.compare(world)?, Comparison::Congruent);
    assert_eq!(node.allreduce(1, Sum)? as usize, node.size());
    Ok(())
}

pub fn names_and_attached_values(world: &Comm) -> Result<()> {
    let comm = world.dup()?;
    assert_eq!(comm.name(), None);
    comm.set_name("halo")?;
    comm.set_name(
        "a name\0 with a zero and längere Wörter, which is more than any MPI keeps of it: "
            .repeat(9)
            .as_str(),
    )?;
    comm.set_name("halo x")?;
    assert_eq!(comm.name().as_deref(), Some("halo x"));
    let error = comm.send(&[0u8], comm.size(), 1).unwrap_err();
    assert!(error.to_string().contains("send on halo x: there is no rank"), "{error}");

    struct Cache(Vec<usize>);
    assert!(comm.attached::<Cache>().is_none());
    assert!(comm.attach(Cache(vec![1])).is_none());
    assert!(comm.attach(5u8).is_none());
    assert_eq!(comm.attach(Cache(vec![2, 3])).map(|cache| cache.0.clone()), Some(vec![1]));
    assert_eq!(comm.attached::<Cache>().map(|cache| cache.0.len()), Some(2));
    // Copies start without either.
    let copy = comm.dup()?;
    assert!(copy.name().is_none() && copy.attached::<Cache>().is_none());
    assert_eq!(comm.detach::<u8>().as_deref(), Some(&5));
    assert!(comm.detach::<u8>().is_none());
    // Gone with the communicator.
    let value = std::rc::Rc::new(());
    comm.attach(value.clone());
    drop(comm);
    assert_eq!(std::rc::Rc::strong_count(&value), 1);
    Ok(())
}

pub fn members_that_disagree(world: &Comm) -> Result<()> {
    // Rank 1 leaves itself out of what rank 0 counts on.
    let all = world.group()?;
    let pair = all.incl(&[0, 1])?;
    let mine = if world.rank() == 1 { Group::empty() } else { pair };
    let part = world.create(&mine);
    match world.rank() {
        0 => {
            let error = part.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Mismatch);
            assert!(
                error.to_string().contains("this rank gives the group {0-1}, and {0} came together"),
                "{error}"
            );
        }
        _ => assert!(part?.is_none()),
    }
    world.barrier()
}
