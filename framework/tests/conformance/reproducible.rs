//! Sums that keep their bits, whatever the number of ranks: the expected ones are written here or found by one rank alone.

use num_complex::Complex;
use rankine::op::{Exact, Sum};
use rankine::{Comm, ErrorKind, Result};

/// The same for every number of ranks: value `i` of a data set that no plain sum gets right.
fn value(i: usize) -> f64 {
    let sign = if i.is_multiple_of(3) { -1.0 } else { 1.0 };
    let scale = 2f64.powi((i * 37 % 161) as i32 - 80);
    sign * scale * (1.0 + (i * 7919 % 1013) as f64 / 1013.0)
}

/// What rank `rank` holds of `0..len`, in one of several ways: blocks, dealt out, backwards, everything on one rank.
fn mine(world: &Comm, len: usize, way: usize) -> Vec<usize> {
    let (rank, size) = (world.rank(), world.size());
    match way {
        0 => (len * rank / size..len * (rank + 1) / size).collect(),
        1 => (rank..len).step_by(size).collect(),
        2 => (rank..len).step_by(size).rev().collect(),
        _ => {
            if rank == way % size {
                (0..len).collect()
            } else {
                Vec::new()
            }
        }
    }
}

pub fn sums_keep_their_bits(world: &Comm) -> Result<()> {
    for len in [0, 1, 2, 10, 1000, 20_000] {
        let all: Exact = (0..len).map(value).collect();
        let every = |i: usize| Complex::new(value(i), -value(i + 1));
        let imaginary: Exact = (0..len).map(|i| -value(i + 1)).collect();
        let single: Exact = (0..len).map(|i| f64::from(value(i) as f32)).collect();
        for way in 0..5 {
            let mine = mine(world, len, way);
            let of = |f: &dyn Fn(usize) -> f64| mine.iter().map(|&i| f(i)).collect::<Vec<_>>();
            let got = world.sum_reproducible(&of(&value))?;
            assert_eq!(got.to_bits(), all.value().to_bits());
            let singles: Vec<f32> = mine.iter().map(|&i| value(i) as f32).collect();
            assert_eq!(world.sum_reproducible(&singles)?.to_bits(), single.value_f32().to_bits());
            let complex: Vec<_> = mine.iter().map(|&i| every(i)).collect();
            let got = world.sum_reproducible(&complex)?;
            assert_eq!(
                (got.re.to_bits(), got.im.to_bits()),
                (all.value().to_bits(), imaginary.value().to_bits())
            );
            // Squares of numbers of 26 bits are exact.
            let root = |i: usize| f64::from(value(i) as f32);
            let squares: Exact = (0..len).map(|i| root(i) * root(i)).collect();
            let roots = of(&root);
            assert_eq!(world.dot_reproducible(&roots, &roots)?.to_bits(), squares.value().to_bits());
        }
    }
    // Found with fractions of whole numbers, in Python.
    let indices = mine(world, 1000, 1);
    let thirds: Vec<f64> = indices.iter().map(|&i| 1.0 / (i as f64 + 1.0)).collect();
    assert_eq!(world.sum_reproducible(&thirds)?.to_bits(), 0x401d_f11f_45f4_e61a);
    Ok(())
}

pub fn sums_of_special_values(world: &Comm) -> Result<()> {
    let last = world.rank() == world.size() - 1;
    let on_last = |x: f64, otherwise: f64| if last { x } else { otherwise };
    assert!(world.sum_reproducible(&[on_last(f64::NAN, 1.0)])?.is_nan());
    assert_eq!(world.sum_reproducible(&[on_last(f64::INFINITY, 1.0)])?, f64::INFINITY);
    assert!(world.sum_reproducible(&[f64::INFINITY, on_last(f64::NEG_INFINITY, 1.0)])?.is_nan());
    assert_eq!(world.sum_reproducible(&[-0.0f64])?.to_bits(), (-0.0f64).to_bits());
    assert_eq!(world.sum_reproducible(&[on_last(0.0, -0.0)])?.to_bits(), 0);
    let nothing: [f64; 0] = [];
    assert_eq!(world.sum_reproducible(&nothing)?.to_bits(), 0);
    let tiny = world.sum_reproducible(&[f64::MAX, 5e-324, -f64::MAX])?;
    assert_eq!(tiny, world.size() as f64 * 5e-324);
    let error = world.dot_reproducible(&[1.0, 2.0], &[1.0]).expect_err("lengths differ");
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("reproducible.rs"), "{error}");
    Ok(())
}

pub fn elements_keep_their_bits(world: &Comm) -> Result<()> {
    let (rank, size) = (world.rank(), world.size());
    for len in [0, 1, 2, 3, 7, 8, 9, 100, 5003, 40_001] {
        let of = |rank: usize, i: usize| value(rank * 31 + i);
        let expected = |i: usize| (0..size).map(|rank| of(rank, i)).collect::<Exact>();
        let mut values: Vec<f64> = (0..len).map(|i| of(rank, i)).collect();
        world.allreduce_reproducible(&mut values)?;
        assert!(values.iter().enumerate().all(|(i, x)| x.to_bits() == expected(i).value().to_bits()));
        // The ranks the other way round.
        let mut values: Vec<f64> = (0..len).map(|i| of(size - 1 - rank, i)).collect();
        world.allreduce_reproducible(&mut values)?;
        assert!(values.iter().enumerate().all(|(i, x)| x.to_bits() == expected(i).value().to_bits()));
        let mut values: Vec<_> = (0..len).map(|i| Complex::new(of(rank, i) as f32, 1.0f32)).collect();
        world.allreduce_reproducible(&mut values)?;
        for (i, z) in values.iter().enumerate() {
            let exact: Exact = (0..size).map(|rank| f64::from(of(rank, i) as f32)).collect();
            assert_eq!((z.re.to_bits(), z.im), (exact.value_f32().to_bits(), size as f32));
        }
    }
    let mut odd = [f64::NAN, -0.0, f64::MAX, if rank == 0 { f64::INFINITY } else { -1.0 }];
    world.allreduce_reproducible(&mut odd)?;
    assert!(odd[0].is_nan() && odd[1].to_bits() == (-0.0f64).to_bits() && odd[3] == f64::INFINITY);
    assert_eq!(odd[2], if size == 1 { f64::MAX } else { f64::INFINITY });
    Ok(())
}

/// Lengths that give the same shares are told apart all the same, on every rank, and the communicator still works.
pub fn lengths_that_differ(world: &Comm) -> Result<()> {
    let len = if world.rank() == 0 { 5 } else { 6 };
    let error = world.allreduce_reproducible(&mut vec![1.0; len]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    let text = error.to_string();
    assert!(text.contains(&format!("{len} elements given; the ranks give 5 to 6")), "{text}");
    let mut values = [1.0; 5];
    world.allreduce_reproducible(&mut values)?;
    assert_eq!(values, [world.size() as f64; 5]);
    Ok(())
}

pub fn accumulators_merge(world: &Comm) -> Result<()> {
    let sum_of = |ranks: std::ops::Range<usize>| {
        ranks.flat_map(|rank| (0..200).map(move |i| value(rank * 200 + i))).collect::<Exact>()
    };
    let (rank, size) = (world.rank(), world.size());
    let mine = sum_of(rank..rank + 1);
    assert_eq!(world.allreduce(mine, Sum)?, sum_of(0..size));
    let root = size / 2;
    assert_eq!(world.reduce(mine, Sum, root)?, (rank == root).then(|| sum_of(0..size)));
    assert_eq!(world.scan(mine, Sum)?, sum_of(0..rank + 1));
    let mut many = vec![mine; 40];
    world.allreduce_in_place(&mut many, Sum)?;
    assert!(many.iter().all(|sum| *sum == sum_of(0..size)));
    Ok(())
}
