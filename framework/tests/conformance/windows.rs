//! One-sided communication: windows, their epochs and locks, and what they refuse.

use super::p2p::{next, previous};
use num_complex::Complex;
use rankine::op::{And, BitAnd, BitOr, BitXor, Max, Min, Or, Prod, Sum, Xor};
use rankine::window::{Atomic, Lock, Merge, NoOp, Replace, Swap};
use rankine::{Comm, Element, Error, ErrorKind, Op, Result};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What rank `rank` has at index `i`: small numbers, so that all types hold them.
fn number(rank: usize, i: usize) -> u8 {
    ((7 * rank + 3 * i) % 100 + 1) as u8
}

pub fn kind<T>(result: Result<T>) -> ErrorKind {
    result.err().expect("a mistake is an error").kind()
}

/// Everybody puts into and gets from everybody, elements of type `T`.
fn all_to_all<T: Element + PartialEq + std::fmt::Debug>(world: &Comm, of: fn(u8) -> T) -> Result<()> {
    let (n, me) = (world.size(), world.rank());
    for len in [1, 3, 1000] {
        let mut window = world.window::<T>(n * len)?;
        assert!(window.local()?.iter().all(|&x| x == T::zeroed()));
        let mine: Vec<T> = (0..len).map(|i| of(number(me, i))).collect();
        window.fence(|epoch| (0..n).try_for_each(|rank| epoch.put(&mine, rank, me * len)))?;
        let expected = |i: usize| of(number(i / len, i % len));
        for (i, &x) in window.local()?.iter().enumerate() {
            assert_eq!(x, expected(i), "{} at {i}", std::any::type_name::<T>());
        }
        let mut got = vec![T::zeroed(); n];
        window.fence(|epoch| {
            got.chunks_mut(1).enumerate().try_for_each(|(rank, x)| epoch.get(x, rank, rank * len + len - 1))
        })?;
        for (rank, &x) in got.iter().enumerate() {
            assert_eq!(x, of(number(rank, len - 1)));
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Cell {
    a: u32,
    b: [u16; 2],
}

impl Element for Cell {
    const KIND: rankine::Kind = rankine::Kind::record::<Cell>("Cell");
}

pub fn put_and_get_every_type(world: &Comm) -> Result<()> {
    all_to_all::<u8>(world, |x| x)?;
    all_to_all::<i8>(world, |x| x as i8)?;
    all_to_all::<u16>(world, u16::from)?;
    all_to_all::<i16>(world, i16::from)?;
    all_to_all::<u32>(world, u32::from)?;
    all_to_all::<i32>(world, i32::from)?;
    all_to_all::<u64>(world, u64::from)?;
    all_to_all::<i64>(world, i64::from)?;
    all_to_all::<u128>(world, u128::from)?;
    all_to_all::<usize>(world, usize::from)?;
    all_to_all::<f32>(world, f32::from)?;
    all_to_all::<f64>(world, f64::from)?;
    all_to_all::<Complex<f32>>(world, |x| Complex::new(f32::from(x), -1.0))?;
    all_to_all::<Complex<f64>>(world, |x| Complex::new(1.0, f64::from(x)))?;
    all_to_all::<[u8; 3]>(world, |x| [x, 1, x])?;
    all_to_all::<[f64; 3]>(world, |x| [f64::from(x), 0.5, 1.0])?;
    all_to_all::<Cell>(world, |x| Cell { a: u32::from(x), b: [1, u16::from(x)] })
}

/// Everybody accumulates into everybody with `op`; the answer is that of a fold in any order.
fn accumulates<T, O>(world: &Comm, op: O, start: T, of: fn(u8) -> T) -> Result<()>
where
    T: Atomic<Scalar = T> + PartialEq + std::fmt::Debug,
    O: Merge<T> + Op<T>,
{
    let (n, me) = (world.size(), world.rank());
    let mut window = world.window_over(vec![start; 5])?;
    let mine: [T; 3] = std::array::from_fn(|i| of(number(me, i)));
    let mut before = vec![T::zeroed(); 3 * n];
    // One by one at index 0, as a whole from 1 on; and then what is there, without changing it.
    window.fence(|epoch| {
        for rank in 0..n {
            epoch.accumulate(&mine[..1], op, rank, 0)?;
            epoch.accumulate(&mine, op, rank, 1)?;
        }
        Ok(())
    })?;
    window.fence(|epoch| {
        before
            .chunks_mut(3)
            .enumerate()
            .try_for_each(|(rank, part)| epoch.get_accumulate(&mine, part, NoOp, rank, 1))
    })?;
    let folded = |i: usize| (0..n).fold(start, |acc, rank| op.combine(acc, of(number(rank, i))));
    let expected = [folded(0), folded(0), folded(1), folded(2), start];
    assert_eq!(window.local()?, expected, "{}", std::any::type_name::<(T, O)>());
    assert!(before.chunks(3).all(|part| part == &expected[1..4]));
    // With what was there before, in a chain of atomic steps: some order of the ranks explains all answers.
    window.local_mut()?.fill(start);
    let mut seen = T::zeroed();
    window.fence(|epoch| epoch.fetch_op_into(&mine[0], &mut seen, op, 0, 0))?;
    let seen = world.allgather(&[seen])?;
    assert!(seen.contains(&start));
    if me == 0 {
        assert_eq!(window.local()?[0], folded(0));
    }
    window.fence(|epoch| epoch.accumulate(&mine[..1], Replace, me, 4))?;
    assert_eq!(window.local()?[4], mine[0]);
    Ok(())
}

fn accumulates_integers<T>(world: &Comm, of: fn(u8) -> T) -> Result<()>
where
    T: Atomic<Scalar = T> + rankine::Bits + rankine::Ordered + PartialEq + std::fmt::Debug,
{
    accumulates(world, Sum, of(5), of)?;
    accumulates(world, Prod, of(1), of)?;
    accumulates(world, Min, of(90), of)?;
    accumulates(world, Max, of(2), of)?;
    accumulates(world, BitAnd, of(127), of)?;
    accumulates(world, BitOr, of(64), of)?;
    accumulates(world, BitXor, of(3), of)?;
    accumulates(world, And, of(5), of)?;
    accumulates(world, Or, of(0), of)?;
    accumulates(world, Xor, of(1), of)
}

pub fn accumulate_every_type(world: &Comm) -> Result<()> {
    accumulates_integers::<u8>(world, |x| x)?;
    accumulates_integers::<i8>(world, |x| x as i8)?;
    accumulates_integers::<u16>(world, u16::from)?;
    accumulates_integers::<i16>(world, i16::from)?;
    accumulates_integers::<u32>(world, u32::from)?;
    accumulates_integers::<i32>(world, i32::from)?;
    accumulates_integers::<u64>(world, u64::from)?;
    accumulates_integers::<i64>(world, i64::from)?;
    accumulates_integers::<usize>(world, usize::from)?;
    accumulates(world, Sum, 0.5f32, f32::from)?;
    accumulates(world, Min, 50.0f32, f32::from)?;
    accumulates(world, Sum, 0.25, f64::from)?;
    // Powers of two, so that products are exact in any order.
    accumulates(world, Prod, 1.0, |x| f64::from(1u8 << (x % 4)))?;
    accumulates(world, Max, 50.0, f64::from)?;
    accumulates(world, Sum, Complex::new(1.0f32, 0.0), |x| Complex::new(f32::from(x), 1.0))?;
    accumulates(world, Sum, Complex::new(1.0, 0.5), |x| Complex::new(f64::from(x), -f64::from(x)))?;
    // Arrays go number by number.
    let mut window = world.window::<[u16; 3]>(2)?;
    window.fence(|epoch| epoch.accumulate(&[[1, 2, 3]], Sum, world.size() - 1, 1))?;
    let n = if world.rank() + 1 == world.size() { world.size() as u16 } else { 0 };
    assert_eq!(window.local()?, [[0, 0, 0], [n, 2 * n, 3 * n]]);
    Ok(())
}

/// All ranks take tickets from one counter: none twice, none missing, each rank's rising.
fn tickets<T>(world: &Comm, of: fn(usize) -> T, to: fn(T) -> usize) -> Result<()>
where
    T: Atomic<Scalar = T> + rankine::Number,
{
    let (n, owner) = (world.size(), world.size() / 2);
    const EACH: usize = 30 / 2;
    for way in 0..3 {
        let mut counter = world.window::<T>(3)?;
        let mut mine = Vec::new();
        counter.share(|shared| match way {
            0 => shared.lock_all(|all| {
                for _ in 0..EACH {
                    mine.push(to(all.fetch_op(of(1), Sum, owner, 1)?));
                }
                Ok(())
            }),
            _ => {
                let lock = if way == 1 { Lock::Shared } else { Lock::Exclusive };
                for _ in 0..EACH {
                    let ticket = shared.lock(owner, lock, |locked| locked.fetch_op(of(1), Sum, owner, 1))?;
                    mine.push(to(ticket));
                }
                Ok(())
            }
        })?;
        assert!(mine.is_sorted(), "{mine:?}");
        let mut all = world.allgather(&mine)?;
        all.sort();
        assert_eq!(all, (0..EACH * n).collect::<Vec<_>>(), "{}, way {way}", std::any::type_name::<T>());
        let local = counter.local()?;
        let expected = if world.rank() == owner { EACH * n } else { 0 };
        assert_eq!([local[0], local[1], local[2]].map(to), [0, expected, 0]);
    }
    Ok(())
}

pub fn tickets_under_contention(world: &Comm) -> Result<()> {
    tickets::<u64>(world, |x| x as u64, |x| x as usize)?;
    tickets::<i32>(world, |x| x as i32, |x| x as usize)?;
    tickets::<u8>(world, |x| x as u8, |x| x as usize)?;
    tickets::<f64>(world, |x| x as f64, |x| x as usize)?;
    tickets::<f32>(world, |x| x as f32, |x| x as usize)
}

fn swaps<T: Swap + rankine::Number + PartialEq + std::fmt::Debug>(
    world: &Comm,
    of: fn(usize) -> T,
) -> Result<()> {
    const EACH: usize = 10;
    let (n, me) = (world.size(), world.rank());
    let mut window = world.window::<T>(3)?;
    // A counter by compare and swap alone.
    window.share(|shared| {
        shared.lock_all(|all| {
            let mut guess = of(0);
            let mut done = 0;
            while done < EACH {
                let found = all.compare_swap(guess, guess.plus(of(1)), 0, 1)?;
                done += usize::from(found == guess);
                guess = if found == guess { guess.plus(of(1)) } else { found };
            }
            Ok(())
        })
    })?;
    if me == 0 {
        assert_eq!(window.local()?, [of(0), of(EACH * n), of(0)]);
    }
    // In a fence: only one rank wins.
    let (empty, mine) = (of(0), of(me + 1));
    let mut found = of(99);
    window.fence(|epoch| epoch.compare_swap_into(&empty, &mine, &mut found, n - 1, 2))?;
    let winners = world.allreduce(usize::from(found == empty), Sum)?;
    assert_eq!(winners, 1, "{}", std::any::type_name::<T>());
    Ok(())
}

pub fn compare_and_swap(world: &Comm) -> Result<()> {
    swaps::<u8>(world, |x| x as u8)?;
    swaps::<i16>(world, |x| x as i16)?;
    swaps::<u32>(world, |x| x as u32)?;
    swaps::<i32>(world, |x| x as i32)?;
    swaps::<u64>(world, |x| x as u64)?;
    swaps::<i64>(world, |x| x as i64)?;
    swaps::<usize>(world, |x| x)
}

/// Get, add and put back: only a lock makes that count.
pub fn exclusive_locks_exclude(world: &Comm) -> Result<()> {
    const EACH: u64 = 20;
    let owner = world.size() - 1;
    for owned in [false, true] {
        let mut window = if owned { world.window_over(vec![0u64; 2])? } else { world.window::<u64>(2)? };
        window.share(|shared| {
            for _ in 0..EACH {
                // The owner uses its part as memory, the others theirs from afar.
                if world.rank() == owner {
                    shared.lock_own(|mine| {
                        let old = mine[0];
                        std::thread::yield_now();
                        mine[0] = old + 1;
                        mine[1] = old + 1;
                        Ok(())
                    })?;
                } else {
                    shared.lock(owner, Lock::Exclusive, |locked| {
                        let mut both = [0; 2];
                        locked.flush(|batch| batch.get(&mut both, owner, 0))?;
                        assert_eq!(both[0], both[1]);
                        std::thread::yield_now();
                        both.iter_mut().for_each(|x| *x += 1);
                        locked.flush(|batch| batch.put(&both, owner, 0))
                    })?;
                }
            }
            Ok(())
        })?;
        if world.rank() == owner {
            let total = EACH * world.size() as u64;
            assert_eq!(window.local()?, [total, total]);
        }
    }
    Ok(())
}

/// Readers that share see whole writes of those that do not.
pub fn readers_and_writers(world: &Comm) -> Result<()> {
    const LEN: usize = 500;
    let mut window = world.window::<u32>(LEN)?;
    window.share(|shared| {
        for round in 0..10 {
            if (world.rank() + round).is_multiple_of(3) {
                let new = vec![(world.rank() * 100 + round) as u32; LEN];
                shared.lock(0, Lock::Exclusive, |locked| locked.flush(|batch| batch.put(&new, 0, 0)))?;
            } else {
                let mut got = vec![0; LEN];
                shared
                    .lock(0, Lock::Shared, |locked| locked.flush_local(|batch| batch.get(&mut got, 0, 0)))?;
                assert!(got.iter().all(|&x| x == got[0]), "torn: {got:?}");
            }
        }
        Ok(())
    })
}

/// The halo of a fence is that of sendrecv.
pub fn halo_as_by_messages(world: &Comm) -> Result<()> {
    const WIDTH: usize = 200;
    let (left, right) = (previous(world), next(world));
    let cells = |round: usize| -> Vec<f64> {
        (0..3 * WIDTH).map(|i| (world.rank() * 1000 + i) as f64 + round as f64 / 8.0).collect()
    };
    let mut window = world.window::<f64>(5 * WIDTH)?;
    for round in 0..5 {
        let inner = cells(round);
        window.local_mut()?[WIDTH..4 * WIDTH].copy_from_slice(&inner);
        window.fence(|epoch| {
            epoch.put(&inner[2 * WIDTH..], right, 0)?;
            epoch.put(&inner[..WIDTH], left, 4 * WIDTH)
        })?;
        let mut expected = vec![0.0; 5 * WIDTH];
        expected[WIDTH..4 * WIDTH].copy_from_slice(&inner);
        world.sendrecv(&inner[2 * WIDTH..], right, 1, &mut expected[..WIDTH], left, 1)?;
        world.sendrecv(&inner[..WIDTH], left, 2, &mut expected[4 * WIDTH..], right, 2)?;
        assert_eq!(window.local()?, expected);
    }
    Ok(())
}

/// Everybody appends to rank 0's queue, which rank 0 empties while they do.
pub fn passive_queue(world: &Comm) -> Result<()> {
    const EACH: u64 = 25;
    let n = world.size() as u64;
    // Slot 0 counts places given away; a slot is written after it was zero.
    let mut queue = world.window::<u64>(if world.rank() == 0 { 1 + (n * EACH) as usize } else { 0 })?;
    let mut taken = Vec::new();
    queue.share(|shared| {
        shared.lock_all(|all| {
            for i in 0..EACH {
                let place = all.fetch_op(1, Sum, 0, 0)?;
                let item = [1 + world.rank() as u64 * EACH + i];
                all.flush(|batch| batch.accumulate(&item, Replace, 0, 1 + place as usize))?;
            }
            if world.rank() == 0 {
                for place in 0..(n * EACH) as usize {
                    loop {
                        let item = all.fetch_op(0, NoOp, 0, 1 + place)?;
                        if item != 0 {
                            taken.push(item);
                            break;
                        }
                    }
                }
            }
            Ok(())
        })
    })?;
    if world.rank() == 0 {
        for rank in 0..n {
            let of_rank: Vec<u64> = taken.iter().copied().filter(|item| (item - 1) / EACH == rank).collect();
            assert_eq!(of_rank, (1 + rank * EACH..=(rank + 1) * EACH).collect::<Vec<_>>());
        }
    }
    Ok(())
}

pub fn several_locks_at_once(world: &Comm) -> Result<()> {
    let (n, me) = (world.size(), world.rank());
    let mut window = world.window::<i64>(n)?;
    window.share(|shared| {
        // In ascending order, so that nobody waits in a circle.
        let (low, high) = (me.min(next(world)), me.max(next(world)));
        shared.lock(low, Lock::Exclusive, |first| {
            first.put(&[1], low, me)?;
            if low == high {
                return Ok(());
            }
            shared.lock(high, Lock::Exclusive, |second| {
                second.put(&[2], high, me)?;
                assert_eq!(kind(second.put(&[2], low, me)), ErrorKind::Usage);
                Ok(())
            })
        })
    })?;
    let got = window.local()?;
    let expected: Vec<i64> = (0..n)
        .map(|rank| {
            let other = (rank + 1) % n;
            if rank.min(other) == me {
                1
            } else if rank.max(other) == me {
                2
            } else {
                0
            }
        })
        .collect();
    assert_eq!(got, expected);
    Ok(())
}

pub fn vectors_come_back(world: &Comm) -> Result<()> {
    let me = world.rank();
    let mut data = Vec::with_capacity(100);
    data.extend((0..10 + me).map(|i| i as f32));
    let address = data.as_ptr();
    let mut window = world.window_over(data)?;
    for rank in 0..world.size() {
        assert_eq!(window.len(rank), Some(10 + rank));
    }
    assert_eq!(window.len(world.size()), None);
    window.local_mut()?[1] = -1.0;
    let mine = [me as f32];
    window.fence(|epoch| epoch.put(&mine, next(world), 9 + next(world)))?;
    let data = window.into_vec()?;
    assert_eq!((data.as_ptr(), data.len(), data.capacity()), (address, 10 + me, 100));
    assert_eq!((data[0], data[1], data[9 + me]), (0.0, -1.0, previous(world) as f32));
    let mut window = world.window::<u16>(3)?;
    window.local_mut()?[2] = 7;
    assert_eq!(window.into_vec()?, [0, 0, 7]);
    world.window::<u16>(3)?.close()
}

pub fn uneven_and_empty(world: &Comm) -> Result<()> {
    let (n, me) = (world.size(), world.rank());
    // Nothing anywhere.
    let mut window = world.window::<f64>(0)?;
    window.fence(|epoch| epoch.put(&[], next(world), 0))?;
    window.share(|shared| {
        shared.lock(next(world), Lock::Shared, |locked| locked.get(&mut [], next(world), 0))
    })?;
    assert!(window.local()?.is_empty());
    window.close()?;
    assert!(world.window_over(Vec::<i32>::new())?.into_vec()?.is_empty());
    // Elements without bytes.
    let mut window = world.window::<[f64; 0]>(4)?;
    window.fence(|epoch| epoch.put(&[[]; 2], me, 2))?;
    assert_eq!(window.local()?.len(), 4);
    // Rank r has r elements.
    let mut window = world.window::<u16>(me)?;
    let ones = vec![me as u16 + 1; n];
    window.fence(|epoch| epoch.put(&ones[..next(world)], next(world), 0))?;
    assert!(window.local()?.iter().all(|&x| usize::from(x) == previous(world) + 1));
    Ok(())
}

pub fn large_accesses(world: &Comm) -> Result<()> {
    const LEN: usize = 300_001;
    let me = world.rank();
    for owned in [false, true] {
        let mut window =
            if owned { world.window_over(vec![0u64; LEN + 1])? } else { world.window(LEN + 1)? };
        let data: Vec<u64> = (0..LEN as u64).map(|i| i * 3 + me as u64).collect();
        window.fence(|epoch| epoch.put(&data, next(world), 1))?;
        let from = previous(world) as u64;
        assert!(window.local()?[1..].iter().enumerate().all(|(i, &x)| x == i as u64 * 3 + from));
        let mut got = vec![0; LEN];
        window.fence(|epoch| epoch.get(&mut got, next(world), 1))?;
        assert_eq!(got, data);
        window.fence(|epoch| epoch.accumulate(&data, Sum, me, 1))?;
        assert!(window.local()?[1..].iter().enumerate().all(|(i, &x)| x == i as u64 * 6 + from + me as u64));
        let mut before = vec![0; LEN];
        window.share(|shared| {
            shared
                .lock(me, Lock::Exclusive, |locked| locked.get_accumulate(&data, &mut before, Replace, me, 1))
        })?;
        assert!(before.iter().enumerate().all(|(i, &x)| x == i as u64 * 6 + from + me as u64));
        assert_eq!(window.local()?[1..], data);
    }
    Ok(())
}

/// Windows made and dropped in any order, with communicators between them.
pub fn many_windows(world: &Comm) -> Result<()> {
    let me = world.rank();
    for i in 0..60 {
        let mut window = if i % 2 == 0 { world.window(3)? } else { world.window_over(vec![0; 3])? };
        let mine = [i];
        window.fence(|epoch| epoch.put(&mine, next(world), 1))?;
        assert_eq!(window.local()?, [0, i, 0]);
        if i % 7 == 0 {
            let part = world.split(Some((me % 2) as u32), 0)?.expect("a colour");
            let mut inner = part.window_over(vec![i; 2])?;
            let mine = [me as i32];
            inner.fence(|epoch| epoch.put(&mine, (part.rank() + 1) % part.size(), 0))?;
            // The window outlives the handle of its communicator.
            drop(part);
            assert_eq!(inner.local()?[1], i);
        }
    }
    let mut windows = (0..6).map(|i| world.window_over(vec![i; 2])).collect::<Result<Vec<_>>>()?;
    windows.rotate_left(me % 6);
    windows.truncate(3);
    // One that is never dropped.
    std::mem::forget(world.window_over(vec![1u8; 10])?);
    let mut last = world.window::<u8>(1)?;
    last.fence(|epoch| epoch.put(&[1], me, 0))?;
    drop(windows);
    world.barrier()
}

pub fn shared_memory(node: &Comm) -> Result<()> {
    let (n, me) = (node.size(), node.rank());
    let mut table = node.shared_window::<u64>(2 * me + 1)?;
    assert!(table.local()?.iter().all(|&x| x == 0));
    for round in 0..10 {
        for (i, x) in table.local_mut()?.iter_mut().enumerate() {
            *x = (round * 1000 + me * 100 + i) as u64;
        }
        let sum = table.read(|parts| {
            for rank in 0..n {
                let part = parts.of(rank);
                assert_eq!((table_len(rank), part.len()), (part.len(), 2 * rank + 1));
                assert!(part.iter().enumerate().all(|(i, &x)| x == (round * 1000 + rank * 100 + i) as u64));
            }
            assert!(parts.of(n).is_empty());
            Ok((0..n).map(|rank| parts.of(rank)[0]).sum::<u64>())
        })?;
        assert_eq!(sum, (0..n).map(|rank| (round * 1000 + rank * 100) as u64).sum::<u64>());
    }
    assert_eq!(table.len(n - 1), Some(2 * n - 1));
    // A failing reader does not keep the others.
    let failed = table.read(|_| if me == 0 { Err(Error::io("no")) } else { Ok(()) });
    assert_eq!(failed.is_err(), me == 0);
    table.local_mut()?[0] = 1;
    table.close()?;
    let mut empty = node.shared_window::<u128>(usize::from(me == 0))?;
    empty.local_mut()?.fill(5);
    assert_eq!(empty.read(|parts| Ok(parts.of(0)[0]))?, 5);
    let broken =
        catch_unwind(AssertUnwindSafe(|| empty.read(|_| -> Result<()> { resume_unwind(Box::new(0)) })));
    assert!(broken.is_err());
    assert_eq!(kind(empty.local_mut()), ErrorKind::Usage);
    Ok(())
}

fn table_len(rank: usize) -> usize {
    2 * rank + 1
}

pub fn mistakes_are_reported(world: &Comm) -> Result<()> {
    let (n, me) = (world.size(), world.rank());
    let mut window = world.window::<f64>(4 + me)?;
    let target = n - 1;
    let mut room = [0.0; 2];
    let mut one = 0.0;
    window.fence(|epoch| {
        let usage = |result: Result<()>, word: &str| {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            let text = error.to_string();
            assert!(text.contains(word) && text.contains("windows.rs:"), "{text}");
        };
        usage(epoch.put(&[1.0], n, 0), "no such rank");
        usage(epoch.put(&[1.0], target, 4 + target), "1 elements at");
        usage(epoch.put(&[1.0; 3], 0, 2), "the part of rank 0 has 4");
        usage(epoch.put(&[1.0], 0, usize::MAX), "has 4");
        usage(epoch.put(&[], 0, 5), "0 elements at 5");
        usage(epoch.accumulate(&[1.0; 5], Sum, 0, 0), "has 4");
        usage(epoch.accumulate(&[1.0, f64::NAN], Min, 0, 0), "NaN");
        usage(epoch.get_accumulate(&[1.0], &mut room, Sum, 0, 0), "result has 2");
        usage(epoch.fetch_op_into(&1.0, &mut one, Sum, 0, 4), "has 4");
        epoch.put(&[], 0, 4)
    })?;
    window.share(|shared| {
        assert_eq!(kind(shared.lock(n, Lock::Shared, |_| Ok(()))), ErrorKind::Usage);
        shared.lock(me, Lock::Shared, |locked| {
            assert_eq!(kind(shared.lock(me, Lock::Shared, |_| Ok(()))), ErrorKind::Usage);
            assert_eq!(kind(shared.lock_own(|_| Ok(()))), ErrorKind::Usage);
            assert_eq!(kind(shared.lock_all(|_| Ok(()))), ErrorKind::Usage);
            if n > 1 {
                assert_eq!(kind(locked.put(&[1.0], next(world), 0)), ErrorKind::Usage);
                assert_eq!(kind(locked.fetch_op(1.0, Sum, next(world), 0)), ErrorKind::Usage);
            }
            assert_eq!(kind(locked.fetch_op(1.0, Sum, n, 0)), ErrorKind::Usage);
            Ok(())
        })?;
        shared.lock_all(|_| {
            assert_eq!(kind(shared.lock(0, Lock::Shared, |_| Ok(()))), ErrorKind::Usage);
            Ok(())
        })
    })?;
    assert!(window.local()?.iter().all(|&x| x == 0.0));
    // After the mistakes the window works.
    window.fence(|epoch| epoch.put(&[1.0], next(world), 3))?;
    assert_eq!(window.local()?[3], 1.0);
    assert!(kind(world.window::<u64>(usize::MAX)) != ErrorKind::Usage || n == 0);
    world.barrier()
}

pub fn types_must_agree(world: &Comm) -> Result<()> {
    let result = if world.rank() == 0 {
        world.window::<f64>(3).map(drop)
    } else {
        world.window::<[f32; 2]>(3).map(drop)
    };
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
    assert!(error.to_string().contains("f64") && error.to_string().contains("f32"), "{error}");
    world.window::<u8>(1)?.close()
}

/// Windows of communicators that only their own ranks know of, and of children of a communicator that has gone: dropped,
/// forgotten, and left in an epoch. The end of the job frees what is left of them, or would wait for ever.
pub fn windows_of_groups(world: &Comm) -> Result<()> {
    let (n, me) = (world.size(), world.rank());
    let all = world.group()?;
    // Overlapping groups, each of which its ranks alone know.
    for (tag, range) in [(1, 0..n), (2, 0..n - 1), (3, 1..n)] {
        let group = all.incl(&range.collect::<Vec<_>>())?;
        if !group.contains(me) {
            continue;
        }
        for _ in 0..2 {
            let part = world.create_group(&group, tag)?;
            let (m, rank) = (part.size(), part.rank());
            let mut dropped = part.window_over(vec![0u32; 3])?;
            dropped.fence(|epoch| epoch.put(&[7], (rank + 1) % m, 2))?;
            assert_eq!(dropped.local()?, [0, 0, 7]);
            std::mem::forget(part.window_over(vec![1u16; 5])?);
            let mut left = part.window_over(vec![0u64; 2])?;
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                left.post_start(&[(rank + m - 1) % m], &[(rank + 1) % m], |_| -> Result<()> {
                    resume_unwind(Box::new("on purpose"))
                })
            }));
            assert!(panicked.is_err());
            std::mem::forget(part.dup()?.window_over(vec![1.0; 4])?);
        }
    }
    let mut grandchild = world.dup()?.dup()?.window_over(vec![0u8; 2])?;
    // The making of another lets go of the first.
    drop(world.dup()?);
    grandchild.fence(|epoch| epoch.put(&[1], next(world), 0))?;
    assert_eq!(grandchild.local()?, [1, 0]);
    std::mem::forget(grandchild);
    world.barrier()
}

/// Ranks that are in different windows learn it before they touch anything.
pub fn windows_that_disagree(world: &Comm) -> Result<()> {
    let mut windows = [world.window::<u8>(1)?, world.window::<u8>(1)?];
    let mine = usize::from(world.rank() == 0);
    let error = windows[mine].share(|_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
    assert!(error.to_string().contains("of another window"), "{error}");
    for window in &mut windows {
        window.fence(|epoch| epoch.put(&[1], next(world), 0))?;
        assert_eq!(window.local()?, [1]);
    }
    Ok(())
}

pub fn phases_that_disagree(world: &Comm) -> Result<()> {
    let mut window = world.window::<u8>(1)?;
    let result = if world.rank() == 0 { window.fence(|_| Ok(())) } else { window.share(|_| Ok(())) };
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
    assert!(error.to_string().contains("beginning a"), "{error}");
    window.fence(|epoch| epoch.put(&[1], next(world), 0))?;
    assert_eq!(window.local()?, [1]);
    window.close()
}
