//! Collectives, against what each should give by its definition.

use rankine::op::{BitAnd, BitOr, BitXor, Max, Min, Prod, Sum};
use rankine::{Comm, Element, Kind, Op, Result};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Nobody leaves a barrier before everybody has entered it: seen by messages that are already there afterwards.
pub fn barriers_order(world: &Comm) -> Result<()> {
    for round in 0..20 {
        let send = (world.rank() == 0 && world.size() > 1)
            .then(|| world.isend_owned(vec![round], world.size() - 1, 1))
            .transpose()?;
        world.barrier()?;
        if world.size() > 1 && world.rank() == world.size() - 1 {
            let mut got = [-1];
            world.recv(&mut got, 0, 1)?;
            assert_eq!(got, [round]);
        }
        send.map(|send| send.wait()).transpose()?;
    }
    Ok(())
}

pub fn bcast_from_every_root(world: &Comm) -> Result<()> {
    for root in 0..world.size() {
        for len in [0usize, 1, 8, 9, 1000, 200_000] {
            let mut data = vec![if world.rank() == root { root as f64 + 0.25 } else { -1.0 }; len];
            world.bcast(&mut data, root)?;
            assert!(data.iter().all(|&x| x == root as f64 + 0.25));
        }
    }
    Ok(())
}

/// What rank `rank` brings at position `i`; small integers, so that every order of a sum is exact.
fn brought(rank: usize, i: usize) -> i64 {
    ((rank * 7 + i * 3) % 11) as i64 + 1
}

fn check<O: Op<i64>>(world: &Comm, op: O) -> Result<()> {
    for len in [1usize, 5, 8, 9, 700, 5000] {
        let mine: Vec<i64> = (0..len).map(|i| brought(world.rank(), i)).collect();
        let expected: Vec<i64> = (0..len)
            .map(|i| {
                let all: Vec<i64> = (0..world.size()).map(|rank| brought(rank, i)).collect();
                all[1..].iter().fold(all[0], |acc, &x| op.combine(acc, x))
            })
            .collect();
        let mut got = vec![0; len];
        world.allreduce_into(&mine, &mut got, op)?;
        assert_eq!(got, expected);
        let mut in_place = mine.clone();
        world.allreduce_in_place(&mut in_place, op)?;
        assert_eq!(in_place, expected);
        for root in 0..world.size() {
            let mut got = vec![0; if world.rank() == root { len } else { 0 }];
            world.reduce_into(&mine, &mut got, op, root)?;
            assert!(world.rank() != root || got == expected);
        }
        assert_eq!(world.allreduce(mine[0], op)?, expected[0]);
        let root = world.size() - 1;
        let reduced = world.reduce(mine[0], op, root)?;
        assert_eq!(reduced, (world.rank() == root).then_some(expected[0]));
    }
    Ok(())
}

pub fn reductions_agree_with_reference(world: &Comm) -> Result<()> {
    check(world, Sum)?;
    check(world, Prod)?;
    check(world, Min)?;
    check(world, Max)?;
    check(world, BitAnd)?;
    check(world, BitOr)?;
    check(world, BitXor)
}

pub fn allreduce_same_bits_everywhere(world: &Comm) -> Result<()> {
    for len in [1usize, 3, 1000, 40_000] {
        let mut data: Vec<f64> =
            (0..len).map(|i| 1.0 / (1.0 + world.rank() as f64 * 3.7 + i as f64)).collect();
        world.allreduce_in_place(&mut data, Sum)?;
        let mut first = data.clone();
        world.bcast(&mut first, 0)?;
        assert!(data.iter().zip(&first).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
    let nan = if world.rank() == world.size() / 2 { f64::NAN } else { 1.0 };
    assert!(world.allreduce(nan, Max)?.is_nan() && world.allreduce(nan, Min)?.is_nan());
    Ok(())
}

/// Composition of maps x → a·x + b: associative, not commutative.
fn compose(f: [i64; 2], g: [i64; 2]) -> [i64; 2] {
    [f[0].wrapping_mul(g[0]), f[1].wrapping_mul(g[0]).wrapping_add(g[1])]
}

pub fn non_commutative_order(world: &Comm) -> Result<()> {
    let map = |rank: usize, i: usize| [3 + rank as i64 * 2, 1 + rank as i64 + i as i64];
    for len in [1usize, 4, 5, 900] {
        let mine: Vec<[i64; 2]> = (0..len).map(|i| map(world.rank(), i)).collect();
        let mut got = vec![[0; 2]; len];
        world.allreduce_into(&mine, &mut got, compose)?;
        for (i, got) in got.iter().enumerate() {
            let expected = (1..world.size()).fold(map(0, i), |acc, rank| compose(acc, map(rank, i)));
            assert_eq!(*got, expected);
        }
    }
    Ok(())
}

pub fn gathers(world: &Comm) -> Result<()> {
    for len in [0usize, 1, 8, 9, 5000] {
        let mine = vec![world.rank() as u32; len];
        let expected: Vec<u32> = (0..world.size()).flat_map(|rank| vec![rank as u32; len]).collect();
        assert_eq!(world.allgather(&mine)?, expected);
        for root in 0..world.size() {
            let got = world.gather(&mine, root)?;
            assert_eq!(got.is_some(), world.rank() == root);
            assert!(got.is_none_or(|got| got == expected));
        }
        let mut into = vec![0; expected.len()];
        world.allgather_into(&mine, &mut into)?;
        assert_eq!(into, expected);
    }
    Ok(())
}

pub fn zero_lengths(world: &Comm) -> Result<()> {
    let mut nothing: [f32; 0] = [];
    world.bcast(&mut nothing, 0)?;
    world.allreduce_in_place(&mut nothing, Sum)?;
    world.allreduce_into(&[0.0f32; 0], &mut nothing, Sum)?;
    world.reduce_into(&[0.0f32; 0], &mut nothing, Sum, 0)?;
    assert!(world.allgather(&[0.0f32; 0])?.is_empty());
    world.barrier()
}

pub fn arrays_and_functions(world: &Comm) -> Result<()> {
    let n = world.size() as i32;
    assert_eq!(world.allreduce([1i32, -1, 2], Sum)?, [n, -n, 2 * n]);
    assert_eq!(world.allreduce([world.rank() as i8, 3], Max)?, [n as i8 - 1, 3]);
    fn longer(a: f64, b: f64) -> f64 {
        if a.abs() >= b.abs() { a } else { b }
    }
    assert_eq!(world.allreduce(-(world.rank() as f64), longer)?, 1.0 - f64::from(n));
    let c = num_complex::Complex::new(0.0, 1.0);
    assert_eq!(world.allreduce(c, Prod)?, c.powu(n as u32));
    assert_eq!(world.allreduce(1u128 << 100, BitOr)?, 1u128 << 100);
    assert_eq!(world.allreduce(u8::MAX, Sum)?, u8::MAX.wrapping_mul(n as u8));
    Ok(())
}

pub fn large_reductions(world: &Comm) -> Result<()> {
    let len = 300_001;
    let mut data: Vec<u64> = (0..len).map(|i| i * (world.rank() as u64 + 1)).collect();
    world.allreduce_in_place(&mut data, Sum)?;
    let n = world.size() as u64;
    assert!(data.iter().enumerate().all(|(i, &x)| x == i as u64 * n * (n + 1) / 2));
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Extreme {
    value: f64,
    rank: u64,
}

impl Element for Extreme {
    const KIND: Kind = Kind::record::<Extreme>("Extreme");
}

pub fn records(world: &Comm) -> Result<()> {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    fn larger(a: Extreme, b: Extreme) -> Extreme {
        CALLS.fetch_add(1, Ordering::Relaxed);
        if b.value > a.value { b } else { a }
    }
    let mine = Extreme { value: brought(world.rank(), 2) as f64, rank: world.rank() as u64 };
    let got = world.allreduce(mine, larger)?;
    let best = (0..world.size()).map(|rank| brought(rank, 2)).max().unwrap();
    let first = (0..world.size()).find(|&rank| brought(rank, 2) == best).unwrap();
    assert_eq!(got, Extreme { value: best as f64, rank: first as u64 });
    let mut large = vec![mine; 1000];
    world.allreduce_in_place(&mut large, larger)?;
    assert!(large.iter().all(|&x| x == got));
    let all = world.allgather(&[mine])?;
    assert!(all.iter().enumerate().all(|(rank, x)| x.rank == rank as u64));
    Ok(())
}
