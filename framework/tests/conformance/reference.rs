//! Every collective written naively, with sends and receives: slow and obvious. And what the property tests draw.

use super::dice::Dice;
use num_complex::Complex;
use rankine::{Comm, Element, Kind, Op, Result};

const TAG: i32 = 900;

/// Sends `data` to each of these ranks, all at once, so that it works checked, too.
fn send_all<'a, T: Element>(
    comm: &Comm,
    data: impl IntoIterator<Item = (usize, &'a [T])>,
    meanwhile: impl FnOnce() -> Result<Vec<Vec<T>>>,
) -> Result<Vec<Vec<T>>> {
    let sends: Result<Vec<_>> =
        data.into_iter().map(|(to, data)| comm.isend_owned(data.to_vec(), to, TAG)).collect();
    let received = meanwhile()?;
    sends?.into_iter().try_for_each(|send| send.wait().map(drop))?;
    Ok(received)
}

fn receive<T: Element>(comm: &Comm, from: impl IntoIterator<Item = usize>) -> Result<Vec<Vec<T>>> {
    from.into_iter().map(|from| Ok(comm.recv_vec(from, TAG)?.0)).collect()
}

/// The root sends its data to every rank, itself included.
pub fn bcast<T: Element>(comm: &Comm, data: &[T], root: usize) -> Result<Vec<T>> {
    let to = if comm.rank() == root { 0..comm.size() } else { 0..0 };
    Ok(send_all(comm, to.map(|to| (to, data)), || receive(comm, [root]))?.remove(0))
}

/// Every rank sends to the root; `gatherv` too.
pub fn gather<T: Element>(comm: &Comm, send: &[T], root: usize) -> Result<Option<Vec<Vec<T>>>> {
    let from = if comm.rank() == root { 0..comm.size() } else { 0..0 };
    let blocks = send_all(comm, [(root, send)], || receive(comm, from))?;
    Ok((comm.rank() == root).then_some(blocks))
}

/// A gather to every rank; `allgatherv` too.
pub fn allgather<T: Element>(comm: &Comm, send: &[T]) -> Result<Vec<Vec<T>>> {
    let mut mine = Vec::new();
    for root in 0..comm.size() {
        mine = gather(comm, send, root)?.unwrap_or(mine);
    }
    Ok(mine)
}

/// The root sends each rank its block; `scatterv` too.
pub fn scatter<T: Element>(comm: &Comm, blocks: &[Vec<T>], root: usize) -> Result<Vec<T>> {
    let blocks = if comm.rank() == root { blocks } else { &[] };
    let send = blocks.iter().enumerate().map(|(to, block)| (to, &block[..]));
    Ok(send_all(comm, send, || receive(comm, [root]))?.remove(0))
}

/// Every rank sends every rank a block; `alltoallv` too.
pub fn alltoall<T: Element>(comm: &Comm, blocks: &[Vec<T>]) -> Result<Vec<Vec<T>>> {
    let send = blocks.iter().enumerate().map(|(to, block)| (to, &block[..]));
    send_all(comm, send, || receive(comm, 0..comm.size()))
}

/// All ranks' data, combined in rank order from the first to before `end`; nothing if that is none.
fn fold<T: Element, O: Op<T>>(all: &[Vec<T>], op: O, end: usize) -> Option<Vec<T>> {
    let (first, rest) = all[..end].split_first()?;
    let combine = |acc: Vec<T>, x: &Vec<T>| acc.iter().zip(x).map(|(&a, &x)| op.combine(a, x)).collect();
    Some(rest.iter().fold(first.clone(), combine))
}

pub fn allreduce<T: Element, O: Op<T>>(comm: &Comm, send: &[T], op: O) -> Result<Vec<T>> {
    Ok(fold(&allgather(comm, send)?, op, comm.size()).expect("some rank"))
}

pub fn reduce<T: Element, O: Op<T>>(comm: &Comm, send: &[T], op: O, root: usize) -> Result<Option<Vec<T>>> {
    Ok(gather(comm, send, root)?.and_then(|all| fold(&all, op, comm.size())))
}

pub fn scan<T: Element, O: Op<T>>(comm: &Comm, send: &[T], op: O) -> Result<Vec<T>> {
    Ok(fold(&allgather(comm, send)?, op, comm.rank() + 1).expect("this rank"))
}

pub fn exscan<T: Element, O: Op<T>>(comm: &Comm, send: &[T], op: O) -> Result<Option<Vec<T>>> {
    Ok(fold(&allgather(comm, send)?, op, comm.rank()))
}

/// A block of the whole answer; `reduce_scatter_block` too.
pub fn reduce_scatter<T: Element, O: Op<T>>(
    comm: &Comm,
    send: &[T],
    counts: &[usize],
    op: O,
) -> Result<Vec<T>> {
    let start: usize = counts[..comm.rank()].iter().sum();
    Ok(allreduce(comm, send, op)?[start..start + counts[comm.rank()]].to_vec())
}

/// What the property tests send: values made from a number, small enough that sums of them are exact.
pub trait Value: Element + PartialEq + std::fmt::Debug {
    fn of(seed: u64) -> Self;
}

macro_rules! values {
    ($($type:ty: $seed:ident => $value:expr;)*) => {$(
        impl Value for $type {
            fn of($seed: u64) -> Self { $value }
        }
    )*};
}

values! {
    f64: seed => (seed % 2001) as f64 - 1000.0;
    i32: seed => seed as i32;
    i64: seed => seed as i64;
    u8: seed => seed as u8;
    Complex<f64>: seed => Complex::new(f64::of(seed), f64::of(seed / 3));
    [f64; 3]: seed => [f64::of(seed), f64::of(seed / 5), f64::of(seed / 7)];
    Record: seed => Record { value: f64::of(seed), rank: seed as u32, flags: [seed as u8; 4] };
    Matrix: seed => Matrix([seed as i64 % 5, 1, seed as i64 / 5 % 7, 2]);
}

#[derive(Clone, Copy, PartialEq, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Record {
    pub value: f64,
    pub rank: u32,
    pub flags: [u8; 4],
}

impl Element for Record {
    const KIND: Kind = Kind::record::<Record>("reference::Record");
}

/// A 2 by 2 matrix of integers that wrap.
#[derive(Clone, Copy, PartialEq, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Matrix([i64; 4]);

impl Element for Matrix {
    const KIND: Kind = Kind::record::<Matrix>("reference::Matrix");
}

/// Associative, not commutative.
pub fn product(a: Matrix, b: Matrix) -> Matrix {
    let entry = |row: usize, column: usize| {
        let term = |k: usize| a.0[2 * row + k].wrapping_mul(b.0[2 * k + column]);
        term(0).wrapping_add(term(1))
    };
    Matrix([entry(0, 0), entry(0, 1), entry(1, 0), entry(1, 1)])
}

/// Associative, not commutative: a reduction gives the lowest rank's value.
pub fn first(a: i32, _: i32) -> i32 {
    a
}

pub fn larger(a: Record, b: Record) -> Record {
    if b.value > a.value { b } else { a }
}

/// A length: nothing, around what fits in a cache line, middling, now and then larger.
pub fn length(dice: &mut Dice) -> usize {
    [0, 1, 1, 2, 5, 8, 9, 40, 300, 2000][dice.below(10)]
}

/// What rank `rank` brings, of the numbers drawn with `seed`.
pub fn brought<T: Value>(seed: usize, rank: usize, len: usize) -> Vec<T> {
    let mut dice = Dice::new((seed * 1000 + rank) as u64);
    (0..len).map(|_| T::of(dice.below(1 << 30) as u64)).collect()
}

/// Displacements for blocks of these lengths, in any order and with gaps, and how long the buffer must be.
pub fn spread(dice: &mut Dice, counts: &[usize]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..counts.len()).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, dice.below(i + 1));
    }
    let (mut displacements, mut next) = (vec![0; counts.len()], dice.below(3));
    for rank in order {
        displacements[rank] = next;
        next += counts[rank] + dice.below(4);
    }
    (displacements, next)
}

/// `buffer` with the ranks' blocks at their places.
pub fn placed<T: Value>(mut buffer: Vec<T>, displacements: &[usize], blocks: &[Vec<T>]) -> Vec<T> {
    for (&at, block) in displacements.iter().zip(blocks) {
        buffer[at..at + block.len()].copy_from_slice(block);
    }
    buffer
}
