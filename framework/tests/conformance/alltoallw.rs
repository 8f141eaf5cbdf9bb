//! Views of another element type for every pair of ranks.

use super::dice::Dice;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};
use num_complex::Complex;
use rankine::{ANY_SOURCE, ANY_TAG, Comm, Element, Error, ErrorKind, Result};

/// A matrix of one of several types.
enum Matrix {
    Bytes(Array2<u8>),
    Triples(Array2<[i32; 3]>),
    Doubles(Array2<f64>),
    Complex(Array2<Complex<f32>>),
}

/// Calls `$f` with the array, whatever its type.
macro_rules! with {
    ($matrix:expr, $array:ident => $f:expr) => {
        match $matrix {
            Matrix::Bytes($array) => $f,
            Matrix::Triples($array) => $f,
            Matrix::Doubles($array) => $f,
            Matrix::Complex($array) => $f,
        }
    };
}

/// How a pair's matrix lies in memory, and how large it is; as both know it.
struct Pair {
    kind: usize,
    shape: (usize, usize),
    seed: usize,
}

impl Pair {
    fn new(round: usize, from: usize, to: usize) -> Pair {
        let seed = round * 10_007 + from * 101 + to;
        let mut dice = Dice::new(seed as u64 + 1);
        dice.below(2);
        let side = |dice: &mut Dice| [0, 1, 3, 40][dice.below(4)];
        Pair { kind: dice.below(4), shape: (side(&mut dice), side(&mut dice)), seed }
    }

    /// An array of twice as many columns, of which every other one is the pair's.
    fn matrix(&self, filled: bool) -> Matrix {
        let shape = (self.shape.0, 2 * self.shape.1);
        let number = |(i, j): (usize, usize)| if filled { self.seed + i * shape.1 + j } else { 0 };
        match self.kind {
            0 => Matrix::Bytes(Array2::from_shape_fn(shape, |at| number(at) as u8)),
            1 => Matrix::Triples(Array2::from_shape_fn(shape, |at| [number(at) as i32; 3])),
            2 => Matrix::Doubles(Array2::from_shape_fn(shape, |at| number(at) as f64)),
            _ => Matrix::Complex(Array2::from_shape_fn(shape, |at| Complex::new(number(at) as f32, 0.0))),
        }
    }
}

fn strided<T>(array: &Array2<T>) -> ArrayView2<'_, T> {
    array.slice(s![.., ..;2])
}

fn strided_mut<T>(array: &mut Array2<T>) -> ArrayViewMut2<'_, T> {
    array.slice_mut(s![.., ..;2])
}

/// Types, shapes and layouts at random, every pair its own, oneself included.
pub fn every_pair_its_type(world: &Comm) -> Result<()> {
    let (size, me) = (world.size(), world.rank());
    for round in 0..30 {
        let mine: Vec<Matrix> = (0..size).map(|to| Pair::new(round, me, to).matrix(true)).collect();
        let wanted: Vec<Matrix> = (0..size).map(|from| Pair::new(round, from, me).matrix(true)).collect();
        let mut got: Vec<Matrix> = (0..size).map(|from| Pair::new(round, from, me).matrix(false)).collect();
        // The author's wildcard receive does not meet it.
        let posted = world.irecv_owned(Vec::<u64>::with_capacity(1), ANY_SOURCE, ANY_TAG)?;
        world.alltoallw(|pairs| {
            for (to, matrix) in mine.iter().enumerate() {
                with!(matrix, array => pairs.send_to(to, strided(array))?);
            }
            for (from, matrix) in got.iter_mut().enumerate() {
                with!(matrix, array => pairs.recv_from(from, strided_mut(array))?);
            }
            Ok(())
        })?;
        for (got, wanted) in got.iter().zip(&wanted) {
            match (got, wanted) {
                (Matrix::Bytes(a), Matrix::Bytes(b)) => check(a, b),
                (Matrix::Triples(a), Matrix::Triples(b)) => check(a, b),
                (Matrix::Doubles(a), Matrix::Doubles(b)) => check(a, b),
                (Matrix::Complex(a), Matrix::Complex(b)) => check(a, b),
                _ => panic!("the types of a pair are its own"),
            }
        }
        let sent = world.isend_owned(vec![5u64], (me + 1) % size, 0)?;
        assert_eq!(posted.wait()?.0, [5]);
        sent.wait()?;
    }
    Ok(())
}

/// The columns that were sent have come, and what lies between them is as it was.
fn check<T: Element + PartialEq + std::fmt::Debug>(got: &Array2<T>, wanted: &Array2<T>) {
    assert_eq!(strided(got), strided(wanted));
    assert!(
        got.columns().into_iter().skip(1).step_by(2).all(|column| column.iter().all(|x| *x == T::zeroed()))
    );
}

/// A ring in which nobody else is named, and blocks without elements of whatever type.
pub fn pairs_that_are_not_named(world: &Comm) -> Result<()> {
    let (size, me) = (world.size(), world.rank());
    let (next, previous) = ((me + 1) % size, (me + size - 1) % size);
    let whole = Array2::from_elem((3, 2), me as i16);
    let mut came = Array2::from_elem((1, 3), [0i16; 2]);
    let empty = Array2::<f64>::zeros((0, 3));
    let mut nothing = Array2::<u8>::zeros((3, 0));
    world.alltoallw(|pairs| {
        pairs.send_to(next, whole.view())?;
        pairs.recv_from(previous, came.view_mut())
    })?;
    assert_eq!(came, Array2::from_elem((1, 3), [previous as i16; 2]));
    world.alltoallw(|pairs| {
        pairs.send_to(next, empty.view())?;
        if me % 2 == 0 { pairs.recv_from(previous, nothing.view_mut()) } else { Ok(()) }
    })?;
    world.alltoallw(|_| Ok(()))
}

/// Two ranks disagree about type, length, or whether there is anything: both hear of it, and the others' views are whole.
pub fn pairs_that_disagree(world: &Comm) -> Result<()> {
    let (size, me) = (world.size(), world.rank());
    let (doubles, floats) = (Array2::from_elem((4, 2), me as f64), Array2::from_elem((4, 4), me as f32));
    for case in 0..4 {
        let (from, to) = (case % size, (case + 1) % size);
        let mut came = Array2::from_elem((4 * size, 2), -1.0f64);
        let result = world.alltoallw(|pairs| {
            for (rank, place) in came.axis_chunks_iter_mut(ndarray::Axis(0), 4).enumerate() {
                pairs.recv_from(rank, place)?;
            }
            for rank in 0..size {
                match (case, (me, rank) == (from, to)) {
                    (0, true) => pairs.send_to(rank, floats.view())?,
                    (1, true) => pairs.send_to(rank, doubles.slice(s![..3, ..]))?,
                    (2, true) => {}
                    (3, true) => pairs.send_to(rank, doubles.slice(s![..0, ..]))?,
                    _ => pairs.send_to(rank, doubles.view())?,
                }
            }
            Ok(())
        });
        match result {
            Ok(()) => assert!(me != from && me != to),
            Err(error) => {
                let text = error.to_string();
                assert!(me == from || me == to, "{text}");
                let kind = if case == 0 { ErrorKind::TypeMismatch } else { ErrorKind::Mismatch };
                assert_eq!(error.kind(), kind, "{text}");
                let other = if me == from { to } else { from };
                assert!(text.contains(&format!("rank {other} ")) && text.contains("alltoallw.rs:"), "{text}");
                let told = match (me == to, case) {
                    (true, 0) => "sends 64 bytes of f32; this rank receives 8 f64",
                    (true, 1) => "sends 48 bytes of f64; this rank receives 8 f64 (64 bytes)",
                    (true, _) => "sends nothing",
                    (false, 1) => "receives 64 bytes of f64; this rank sends 6 f64 (48 bytes)",
                    (false, 0) => "this rank sends 16 f32",
                    (false, _) => "this rank sends nothing to it",
                };
                assert!(text.contains(told), "{text}");
            }
        }
        for (rank, place) in came.axis_chunks_iter(ndarray::Axis(0), 4).enumerate() {
            let value = if (rank, me) == (from, to) { -1.0 } else { rank as f64 };
            assert!(place.iter().all(|&x| x == value));
        }
    }
    Ok(())
}

/// A rank whose closure fails keeps its error, exchanges nothing, and does not hold the others up.
pub fn refused_and_failed(world: &Comm) -> Result<()> {
    let (size, me) = (world.size(), world.rank());
    let a = Array2::from_elem((2, 2), 1u8);
    let mut b = Array2::from_elem((2, 2), 0u8);
    let refused = |result: Result<()>, word: &str| {
        let error = result.unwrap_err();
        assert!(error.kind() == ErrorKind::Usage && error.to_string().contains(word), "{error}");
        assert!(error.to_string().contains("alltoallw.rs:"), "{error}");
    };
    refused(world.alltoallw(|pairs| pairs.send_to(size, a.view())), "no such rank");
    refused(world.alltoallw(|pairs| pairs.recv_from(size, b.view_mut())), "no such rank");
    let twice = world.alltoallw(|pairs| {
        pairs.send_to(0, a.view())?;
        pairs.send_to(0, a.column(0))
    });
    refused(twice, "named twice");
    let mut first = Array2::zeros((2, 2));
    let result = world.alltoallw(|pairs| {
        if me == 0 {
            return Err(Error::io("disk full"));
        }
        pairs.send_to(size - 1, a.view())?;
        if me == size - 1 {
            for rank in 1..size - 1 {
                pairs.recv_from(rank, Box::leak(Box::new(Array2::<u8>::zeros((2, 2)))).view_mut())?;
            }
            pairs.recv_from(me, first.view_mut())?;
            pairs.recv_from(0, b.view_mut())?;
        }
        Ok(())
    });
    match me {
        0 => assert_eq!(result.unwrap_err().kind(), ErrorKind::Io),
        _ if me == size - 1 => {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Mismatch);
            assert_eq!((&first, &b), (&a, &Array2::zeros((2, 2))));
        }
        _ => result?,
    }
    pairs_that_are_not_named(world)
}
