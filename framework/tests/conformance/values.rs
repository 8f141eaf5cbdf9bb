//! Values that serde writes: messages and collectives of them, and bytes that are not what was asked for.

use super::dice::Dice;
use super::p2p::{next, previous};
use rankine::{ANY_SOURCE, ANY_TAG, Comm, ErrorKind, Result, Test};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::{BTreeMap, HashMap};

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
enum Shape {
    Point,
    Disc { radius: f64 },
    Path(Vec<(i32, i32)>),
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Task {
    name: String,
    owner: Option<usize>,
    shapes: Vec<Shape>,
    limits: BTreeMap<String, u128>,
}

/// Some task of any size, the same wherever the dice are.
fn task(dice: &mut Dice) -> Task {
    let long = [0, 1, 5, 40, 3000][dice.below(5)];
    Task {
        name: "n".repeat(long),
        owner: (dice.below(2) == 0).then(|| dice.below(100)),
        shapes: (0..dice.below(6))
            .map(|i| match i % 3 {
                0 => Shape::Point,
                1 => Shape::Disc { radius: dice.below(50) as f64 / 3.0 },
                _ => Shape::Path(vec![(dice.below(9) as i32 - 4, -1); long]),
            })
            .collect(),
        limits: (0..dice.below(4)).map(|i| (format!("limit {i}"), u128::MAX - i as u128)).collect(),
    }
}

/// The task of a rank in a round, as every rank can work it out.
fn task_of(rank: usize, round: usize) -> Task {
    task(&mut Dice::new((rank * 1000 + round) as u64))
}

/// What cannot be written: a sequence of unknown length.
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_seq(None).map(|_| unreachable!("postcard wants a length"))
    }
}

impl<'de> Deserialize<'de> for Unwritable {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Unwritable)
    }
}

/// Written on most ranks, not on one.
enum Perhaps {
    Fine(u32),
    Not(Unwritable),
}

impl Serialize for Perhaps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Perhaps::Fine(n) => n.serialize(serializer),
            Perhaps::Not(unwritable) => unwritable.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Perhaps {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u32::deserialize(deserializer).map(Perhaps::Fine)
    }
}

pub fn round_trips(world: &Comm) -> Result<()> {
    for round in 0..20 {
        let mine = task_of(world.rank(), round);
        let (got, status) = world.sendrecv_value::<_, Task>(&mine, next(world), 3, previous(world), 3)?;
        assert_eq!((got, status.source, status.tag), (task_of(previous(world), round), previous(world), 3));
        assert!(status.len > 0);
    }
    // Values of no bytes, borrowed ones, and any source and tag.
    let ((), status) = world.sendrecv_value(&(), next(world), 0, ANY_SOURCE, 0)?;
    assert_eq!(status.len, 0);
    let send = world.isend_value("a str", next(world), 9)?;
    let (text, status) = world.recv_value::<String>(previous(world), ANY_TAG)?;
    assert_eq!((text.as_str(), status.tag), ("a str", 9));
    send.wait()
}

pub fn to_self(world: &Comm) -> Result<()> {
    let me = world.rank();
    world.send_value(&vec![1u8; 700], me, 1)?;
    world.send_value(&(1.5, 'x', true), me, 1)?;
    assert_eq!(world.recv_value::<Vec<u8>>(me, 1)?.0.len(), 700);
    assert_eq!(world.recv_value::<(f64, char, bool)>(me, 1)?.0, (1.5, 'x', true));
    Ok(())
}

pub fn sends_are_tested_until_done(world: &Comm) -> Result<()> {
    let mut send = world.isend_value(&vec![7u64; 30_000], next(world), 2)?;
    let mut got = None;
    loop {
        match send.test()? {
            Test::Done(()) => break,
            Test::Pending(again) => send = again,
        }
        if got.is_none() {
            got = Some(world.recv_value::<Vec<u64>>(previous(world), 2)?.0);
        }
    }
    let got = got.map_or_else(|| Ok(world.recv_value(previous(world), 2)?.0), Ok::<_, rankine::Error>)?;
    assert_eq!(got, vec![7; 30_000]);
    Ok(())
}

pub fn receives_are_tested_until_done(world: &Comm) -> Result<()> {
    for wanted in [ANY_SOURCE, previous(world).into()] {
        let mut recv = world.irecv_value::<Task>(wanted, 6)?;
        drop(world.irecv_value::<u8>(wanted, 6)?);
        let send = world.isend_value(&task_of(world.rank(), 77), next(world), 6)?;
        let (got, status) = loop {
            match recv.test()? {
                Test::Done(done) => break done,
                Test::Pending(again) => recv = again,
            }
            std::thread::yield_now();
        };
        assert_eq!((got, status.source), (task_of(previous(world), 77), previous(world)));
        send.wait()?;
    }
    let recv = world.irecv_value::<bool>(previous(world), 6)?;
    let send = world.isend_value(&9u8, next(world), 6)?;
    assert_eq!(recv.wait().unwrap_err().kind(), ErrorKind::TypeMismatch);
    send.wait()
}

/// A receive of elements never takes a value, nor a receive of a value elements, whatever their lengths.
pub fn never_mixed_with_elements(world: &Comm) -> Result<()> {
    if world.rank() == 0 {
        world.send_value(&vec![1u8, 2, 3], 1, 1)?;
        world.send(&[1u8, 2, 3], 1, 2)?;
    } else if world.rank() == 1 {
        let mut room = [9u8; 8];
        let error = world.recv(&mut room, 0, 1).unwrap_err();
        assert_eq!((error.kind(), room), (ErrorKind::TypeMismatch, [9; 8]), "{error}");
        assert!(error.to_string().contains("of a serialized value"), "{error}");
        let error = world.recv_value::<Vec<u8>>(0, 2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TypeMismatch, "{error}");
        assert!(error.to_string().contains("is of u8"), "{error}");
    }
    world.barrier()
}

fn misread<S: Serialize, T: serde::de::DeserializeOwned>(world: &Comm, sent: &S) -> Result<()> {
    let result = world.sendrecv_value::<_, T>(sent, next(world), 4, previous(world), 4);
    let error = result.err().expect("these bytes are none");
    assert_eq!((error.kind(), error.rank()), (ErrorKind::TypeMismatch, Some(world.rank())), "{error}");
    let text = error.to_string();
    assert!(text.contains(&format!("rank {}, tag 4", previous(world))), "{text}");
    assert!(text.contains("values.rs:") && text.contains("help:"), "{text}");
    Ok(())
}

/// Bytes that are no such value: cut short, too long, lengths that no memory holds, wrong discriminants and text.
pub fn hostile_bytes(world: &Comm) -> Result<()> {
    misread::<_, u64>(world, &())?;
    misread::<_, (u8, u8)>(world, &1u8)?;
    misread::<_, u8>(world, &(1u8, 2u8))?;
    misread::<_, bool>(world, &7u8)?;
    misread::<_, Option<u8>>(world, &7u8)?;
    misread::<_, Shape>(world, &77u32)?;
    misread::<_, char>(world, &vec![0xffu8, 0xff])?;
    misread::<_, String>(world, &(2u8, 0xffu8, 0xfeu8))?;
    misread::<_, u8>(world, &[0xffu8; 30])?;
    // A length of 2^63 and no elements.
    for length in [u64::MAX / 2, u64::MAX, 1 << 40] {
        misread::<_, Vec<u8>>(world, &length)?;
        misread::<_, Vec<[f64; 8]>>(world, &length)?;
        misread::<_, String>(world, &length)?;
        misread::<_, HashMap<String, Task>>(world, &length)?;
        misread::<_, Vec<Vec<Task>>>(world, &(length, length, length))?;
    }
    world.barrier()
}

/// Random bytes are read or refused.
pub fn random_bytes(world: &Comm) -> Result<()> {
    let mut dice = Dice::new(5);
    for _ in 0..300 {
        let bytes: Vec<u8> = (0..dice.below(60)).map(|_| dice.below(256) as u8).collect();
        // As a tuple of bytes, so that no length stands before them.
        let send = match bytes.len() {
            n if n < 8 => world.isend_value(&bytes, next(world), 1)?,
            _ => world.isend_value(&<[u8; 8]>::try_from(&bytes[..8]).expect("eight"), next(world), 1)?,
        };
        if let Err(error) = world.recv_value::<Task>(previous(world), 1) {
            assert_eq!(error.kind(), ErrorKind::TypeMismatch);
        }
        send.wait()?;
    }
    Ok(())
}

pub fn unwritable_values_are_not_sent(world: &Comm) -> Result<()> {
    let me = world.rank();
    let error = world.send_value(&Unwritable, me, 1).unwrap_err();
    assert_eq!((error.kind(), error.rank()), (ErrorKind::Usage, Some(me)));
    assert!(error.to_string().contains("Unwritable") && error.to_string().contains("values.rs:"), "{error}");
    assert_eq!(world.isend_value(&Unwritable, me, 1).err().expect("no send").kind(), ErrorKind::Usage);
    assert!(world.iprobe::<u8>(me, 1)?.is_none());
    let bad = [
        world.send_value(&1, world.size(), 1).unwrap_err(),
        world.send_value(&1, me, -1).unwrap_err(),
        world.recv_value::<u8>(world.size(), 1).unwrap_err(),
        world.sendrecv_value::<_, u8>(&1, me, 1, world.size(), 1).unwrap_err(),
        world.bcast_value(Some(1), world.size()).unwrap_err(),
        world.gather_values(1, world.size()).unwrap_err(),
        world.scatter_values::<u8>(None, world.size()).unwrap_err(),
        world.reduce_value(1, world.size(), |a, b| a + b).unwrap_err(),
    ];
    assert!(bad.iter().all(|error| error.kind() == ErrorKind::Usage));
    Ok(())
}

pub fn collectives(world: &Comm) -> Result<()> {
    let (me, size) = (world.rank(), world.size());
    for round in 0..6 {
        let everyones: Vec<Task> = (0..size).map(|rank| task_of(rank, round)).collect();
        let root = round % size;
        let brought = (me == root || round % 2 == 1).then(|| task_of(me, round));
        assert_eq!(world.bcast_value(brought, root)?, everyones[root]);
        let gathered = world.gather_values(task_of(me, round), root)?;
        assert_eq!(gathered, (me == root).then(|| everyones.clone()));
        assert_eq!(world.allgather_values(task_of(me, round))?, everyones);
        let brought = (me == root).then(|| everyones.clone());
        assert_eq!(world.scatter_values(brought, root)?, everyones[me]);
        let outgoing = (0..size).map(|dest| task_of(me * size + dest, round)).collect();
        let incoming: Vec<Task> = (0..size).map(|source| task_of(source * size + me, round)).collect();
        assert_eq!(world.alltoall_values(outgoing)?, incoming);
    }
    // Values of no bytes.
    assert_eq!(world.allgather_values(())?.len(), size);
    world.bcast_value(Some(()), 0)
}

/// Strings joined along the tree stand in rank order, for an operator that captures and does not commute.
pub fn folds_keep_rank_order(world: &Comm) -> Result<()> {
    let (me, size) = (world.rank(), world.size());
    let comma = ",".to_string();
    let join = |a: String, b: String| a + &comma + &b;
    let expected = (0..size).map(|rank| rank.to_string()).collect::<Vec<_>>().join(",");
    for root in 0..size {
        let answer = world.reduce_value(me.to_string(), root, join)?;
        assert_eq!(answer, (me == root).then(|| expected.clone()));
    }
    assert_eq!(world.allreduce_value(me.to_string(), join)?, expected);
    Ok(())
}

/// One rank's value cannot be written: every rank gets an error, that rank its own, and all go on.
pub fn one_failure_is_everybodys(world: &Comm) -> Result<()> {
    let (me, size) = (world.rank(), world.size());
    for guilty in 0..size {
        let value = |own: usize| match own == guilty {
            true => Perhaps::Not(Unwritable),
            false => Perhaps::Fine(5),
        };
        let checked = |error: Option<rankine::Error>| {
            let error = error.expect("one rank failed");
            let expected = if me == guilty { ErrorKind::Usage } else { ErrorKind::Elsewhere };
            assert_eq!((error.kind(), error.rank()), (expected, Some(guilty)), "{error}");
        };
        checked(world.bcast_value(Some(value(me)), guilty).err());
        checked(world.allgather_values(value(me)).err());
        checked(world.alltoall_values((0..size).map(|_| value(me)).collect()).err());
        checked(world.scatter_values(Some((0..size).map(|_| value(me)).collect()), guilty).err());
        if size > 1 {
            // The root's own value need not be written.
            checked(world.gather_values(value(me), (guilty + 1) % size).err());
        }
        checked(world.bcast_value::<u8>(None, guilty).err());
        checked(world.scatter_values::<u8>(None, guilty).err());
        checked(world.scatter_values(Some(vec![1; size + 1]), guilty).err());
        checked(world.alltoall_values(vec![1; if me == guilty { size + 1 } else { size }]).err());
        if guilty != 0 {
            // In a tree the first to know is the guilty rank.
            checked(world.allreduce_value(value(me), |a, _| a).err());
            checked(world.reduce_value(value(me), size - 1, |a, _| a).err());
        }
        assert_eq!(world.allgather_values(me)?, (0..size).collect::<Vec<_>>());
    }
    Ok(())
}

/// Collectives of values do not meet the author's receives, wildcards included.
pub fn collectives_keep_out_of_the_way(world: &Comm) -> Result<()> {
    let posted = world.irecv_owned(Vec::<u8>::with_capacity(4), ANY_SOURCE, ANY_TAG)?;
    world.alltoall_values(vec![vec![1u8; 3]; world.size()])?;
    world.gather_values("x".to_string(), 0)?;
    let send = world.isend_owned(vec![8u8], next(world), 1)?;
    assert_eq!(posted.wait()?.0, [8]);
    send.wait().map(drop)
}
