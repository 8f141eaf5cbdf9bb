//! Buckets: every item reaches its rank, a round later, in order.

use super::dice::Dice;
use rankine::{ANY_SOURCE, ANY_TAG, Buckets, Comm, ErrorKind, Result};

/// What `source` puts in for `dest` in a round, as every rank knows it.
fn items(source: usize, dest: usize, round: usize, most: usize) -> Vec<u64> {
    let mut dice = Dice::new((round * 1009 + source * 17 + dest) as u64);
    dice.below(2);
    let len = [0, 1, most / 2, most][dice.below(4)];
    (0..len).map(|at| (((round * 100 + source) * 100 + dest) * 100_000 + at) as u64).collect()
}

fn put(buckets: &mut Buckets<u64>, world: &Comm, round: usize, most: usize) {
    // By turns, as they come where nobody sorts.
    let all: Vec<_> = (0..world.size()).map(|dest| items(world.rank(), dest, round, most)).collect();
    for at in 0..most {
        for (dest, items) in all.iter().enumerate() {
            items.get(at).into_iter().for_each(|&item| buckets.put(dest, item));
        }
    }
}

fn is_of_round<'a>(
    arrived: impl Iterator<Item = (usize, &'a [u64])>,
    world: &Comm,
    round: usize,
    most: usize,
) {
    let (me, size) = (world.rank(), world.size());
    let sources = (0..size).map(|step| (me + step) % size);
    let expected: Vec<_> = sources.map(|source| (source, items(source, me, round, most))).collect();
    assert_eq!(arrived.map(|(source, items)| (source, items.to_vec())).collect::<Vec<_>>(), expected);
}

pub fn a_round_comes_with_the_next(world: &Comm) -> Result<()> {
    // The author's wildcard receive meets none of it.
    let posted = world.irecv_owned(Vec::<u64>::with_capacity(1), ANY_SOURCE, ANY_TAG)?;
    // Also such as go in two messages, and long ones.
    for most in [1, 60, 496, 497, 992, 1024, 20_000] {
        let mut buckets = world.buckets(most)?;
        assert_eq!(buckets.finish()?.count(), 0);
        for again in 0..2 {
            for round in 0..6 {
                put(&mut buckets, world, again * 10 + round, most);
                let arrived = buckets.exchange()?;
                match round {
                    0 => assert_eq!(arrived.count(), 0),
                    _ => is_of_round(arrived, world, again * 10 + round - 1, most),
                }
            }
            is_of_round(buckets.finish()?, world, again * 10 + 5, most);
            assert_eq!(buckets.finish()?.count(), 0);
        }
    }
    let send = world.isend_owned(vec![5u64], (world.rank() + 1) % world.size(), 0)?;
    assert_eq!(posted.wait()?.0, [5]);
    send.wait().map(drop)
}

/// Two exchanges at once, of which one is dropped in the middle after all have received what was sent.
pub fn two_at_once(world: &Comm) -> Result<()> {
    let (mut one, mut other) = (world.buckets(50)?, world.buckets(50)?);
    for round in 0..4 {
        put(&mut one, world, round, 50);
        put(&mut other, world, 50 + round, 50);
        let first = one.exchange()?;
        let second = other.exchange()?;
        if round > 0 {
            is_of_round(second, world, 49 + round, 50);
            is_of_round(first, world, round - 1, 50);
        }
    }
    is_of_round(one.finish()?, world, 3, 50);
    drop(one);
    is_of_round(other.finish()?, world, 53, 50);
    Ok(())
}

/// What there is no room for is not sent, nobody is cut short, and the same items can be taken by a larger one.
pub fn more_than_there_is_room_for(world: &Comm) -> Result<()> {
    let mut buckets = world.buckets(3)?;
    let last = world.size() - 1;
    (0..4).for_each(|item: u8| buckets.put(last, item));
    let error = match buckets.exchange() {
        Ok(_) => panic!("four items in a bucket for three"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Usage);
    let words = format!("exchange: 4 items for rank {last}, and room for 3 in a round");
    assert!(error.to_string().contains(&words) && error.to_string().contains("buckets.rs:"), "{error}");
    assert_eq!(buckets.finish()?.count(), 0);
    let mut buckets = world.buckets(3)?;
    buckets.put(last + 1, 1.0);
    let error = buckets.exchange().map(drop).unwrap_err();
    let words = format!("an item was put in for rank {} of {}", last + 1, last + 1);
    assert!(error.to_string().contains(&words), "{error}");
    let room = if world.rank() == last { usize::MAX / 16 } else { 1 };
    let error = world.buckets::<f64>(room).map(drop).unwrap_err();
    if world.rank() == last {
        assert!(error.to_string().contains("no memory for"), "{error}");
    }
    if world.size() > 1 {
        let error = world.buckets::<u8>(5 + world.rank()).map(drop).unwrap_err();
        let words = format!("room for {} items here, 5 to {}", 5 + world.rank(), 5 + last);
        assert!(error.to_string().contains(&words), "{error}");
    }
    Ok(())
}
