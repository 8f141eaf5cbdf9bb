//! What is measured: each operation as an author of a kernel writes it. Its C twin has the same number.

use super::pages::Pages;
use bytemuck::{cast_slice, cast_slice_mut};
use ndarray::{ArrayView2, ArrayViewMut2, s};
use rankine::op::Sum;
use rankine::{Comm, Result};
use std::time::Instant;

/// Messages in a window of the bandwidth operations.
const WINDOW: usize = 64;
/// Columns of the row-major matrix of doubles whose parts the strided operations send, and those of a sub-block.
const COLUMNS: usize = 64;
const BLOCK: usize = 32;

/// An operation; the order is that of `twin/twin.c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Operation {
    Latency,
    NonblockingLatency,
    PersistentLatency,
    Bandwidth,
    Bidirectional,
    Overlap,
    #[value(skip)]
    ExchangeComputing,
    Column,
    SubBlock,
    Barrier,
    Bcast,
    Reduce,
    Allreduce,
    Scan,
    Exscan,
    ReduceScatter,
    ReduceScatterBlock,
    Gather,
    Gatherv,
    Scatter,
    Scatterv,
    Allgather,
    Allgatherv,
    Alltoall,
    Alltoallv,
    Ibarrier,
    Ibcast,
    Iallreduce,
    Iallgather,
    Ialltoall,
}

use Operation as O;

/// What the seconds of an operation are shown as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds: of one way of a message, or of a call.
    Time,
    /// GB/s, and the message rate beside it.
    Rate,
    /// How much of the exchange computing hides, in percent.
    Percent,
}

impl Operation {
    /// Those that can be asked for.
    pub fn all() -> Vec<Operation> {
        <Operation as clap::ValueEnum>::value_variants().to_vec()
    }

    /// As the command line has it.
    pub fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self)
            .map_or_else(String::new, |value| value.get_name().to_string())
    }

    /// Whether the number of bytes means nothing to it.
    pub fn sizeless(self) -> bool {
        matches!(self, O::Barrier | O::Ibarrier)
    }

    /// Whether ranks beyond the first two only watch.
    pub fn of_two(self) -> bool {
        (self as usize) < O::Barrier as usize
    }

    /// The bytes that are measured unless the command line says otherwise.
    pub fn sizes(self) -> Vec<usize> {
        match self {
            O::Barrier | O::Ibarrier => vec![0],
            O::Latency => vec![8, 64, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20],
            O::Bandwidth | O::Bidirectional => {
                vec![8, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20]
            }
            O::Overlap => vec![4 << 10, 64 << 10, 1 << 20],
            O::Column | O::SubBlock => vec![256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10],
            _ => vec![8, 1 << 10, 16 << 10, 64 << 10, 1 << 20],
        }
    }

    /// How its seconds are shown.
    pub fn unit(self) -> Unit {
        match self {
            O::Bandwidth | O::Bidirectional => Unit::Rate,
            O::Overlap | O::ExchangeComputing => Unit::Percent,
            _ => Unit::Time,
        }
    }

    /// How many messages or calls one round is.
    pub fn per_round(self) -> usize {
        match self {
            O::Latency | O::NonblockingLatency | O::PersistentLatency | O::Column | O::SubBlock => 2,
            O::Bandwidth => WINDOW,
            O::Bidirectional => 2 * WINDOW,
            _ => 1,
        }
    }

    /// The bytes that its buffers need with so many ranks.
    pub fn needs(self, bytes: usize, ranks: usize) -> usize {
        match self {
            O::Column => bytes * COLUMNS,
            O::SubBlock => bytes * COLUMNS / BLOCK,
            _ if self.of_two() => bytes,
            _ => bytes * ranks,
        }
        .max(8)
    }

    /// Seconds of all rounds on this rank. Collective. `computing` is for the operation that computes meanwhile.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn run(
        self,
        comm: &Comm,
        bytes: usize,
        rounds: usize,
        computing: u64,
        pages: &mut Pages,
    ) -> Result<f64> {
        let needs = self.needs(bytes, comm.size());
        let (send, recv) = (&mut pages.send[..needs], &mut pages.recv[..needs]);
        comm.barrier()?;
        let talks = comm.rank() < 2;
        match self {
            O::Latency if talks => pingpong(comm, &send[..bytes], &mut recv[..bytes], rounds),
            O::NonblockingLatency if talks => nonblocking(comm, &send[..bytes], &mut recv[..bytes], rounds),
            O::PersistentLatency if talks => persistent(comm, bytes, rounds),
            O::Bandwidth | O::Bidirectional if talks => {
                windows(comm, &send[..bytes], &mut recv[..bytes], rounds, self == O::Bidirectional)
            }
            O::Overlap | O::ExchangeComputing if talks => {
                exchange(comm, &send[..bytes], &mut recv[..bytes], rounds, computing)
            }
            O::Column if talks => strided(comm, send, recv, bytes / 8, 1, rounds),
            O::SubBlock if talks => strided(comm, send, recv, bytes / 8 / BLOCK, BLOCK, rounds),
            _ if self.of_two() => Ok(0.0),
            _ => self.collectives(comm, bytes, rounds, send, recv),
        }
    }

    /// One after the other, the root going round, so that no rank can run ahead for long.
    fn collectives(
        self,
        comm: &Comm,
        bytes: usize,
        rounds: usize,
        send: &mut [u8],
        recv: &mut [u8],
    ) -> Result<f64> {
        let ranks = comm.size();
        let share = bytes / 8 / ranks;
        let (counts, shares) = (vec![bytes; ranks], vec![share; ranks]);
        let start = Instant::now();
        for round in 0..rounds {
            let root = round % ranks;
            let (one, all) = (&send[..bytes], &mut recv[..bytes * ranks]);
            match self {
                O::Barrier => comm.barrier()?,
                O::Bcast => comm.bcast(&mut send[..bytes], root)?,
                O::Reduce => comm.reduce_into(numbers(one), numbers_mut(&mut recv[..bytes]), Sum, root)?,
                O::Allreduce => comm.allreduce_into(numbers(one), numbers_mut(&mut recv[..bytes]), Sum)?,
                O::Scan => comm.scan_into(numbers(one), numbers_mut(&mut recv[..bytes]), Sum)?,
                O::Exscan => comm.exscan_into(numbers(one), numbers_mut(&mut recv[..bytes]), Sum)?,
                O::ReduceScatter => {
                    let (from, to) = (&numbers(one)[..share * ranks], &mut numbers_mut(recv)[..share]);
                    comm.reduce_scatter_into(from, to, &shares, Sum)?;
                }
                O::ReduceScatterBlock => {
                    let (from, to) = (&numbers(one)[..share * ranks], &mut numbers_mut(recv)[..share]);
                    comm.reduce_scatter_block_into(from, to, Sum)?;
                }
                O::Gather => comm.gather_into(one, all, root)?,
                O::Gatherv => comm.gatherv_into(one, all, &counts, root)?,
                O::Scatter => comm.scatter_into(&send[..bytes * ranks], &mut recv[..bytes], root)?,
                O::Scatterv => {
                    comm.scatterv_into(&send[..bytes * ranks], &counts, &mut recv[..bytes], root)?
                }
                O::Allgather => comm.allgather_into(one, all)?,
                O::Allgatherv => comm.allgatherv_into(one, all, &counts)?,
                O::Alltoall => comm.alltoall_into(&send[..bytes * ranks], all)?,
                O::Alltoallv => comm.alltoallv_into(&send[..bytes * ranks], &counts, all, &counts)?,
                O::Ibarrier => comm.scope(|s| s.ibarrier()?.wait())?,
                O::Ibcast => comm.scope(|s| s.ibcast(&mut send[..bytes], root)?.wait().map(drop))?,
                O::Iallreduce => comm.scope(|s| {
                    s.iallreduce(numbers(one), numbers_mut(&mut recv[..bytes]), Sum)?.wait().map(drop)
                })?,
                O::Iallgather => comm.scope(|s| s.iallgather(one, all)?.wait().map(drop))?,
                O::Ialltoall => {
                    comm.scope(|s| s.ialltoall(&send[..bytes * ranks], all)?.wait().map(drop))?;
                }
                _ => {}
            }
        }
        Ok(start.elapsed().as_secs_f64())
    }
}

fn numbers(bytes: &[u8]) -> &[f64] {
    cast_slice(&bytes[..bytes.len() / 8 * 8])
}

fn numbers_mut(bytes: &mut [u8]) -> &mut [f64] {
    let whole = bytes.len() / 8 * 8;
    cast_slice_mut(&mut bytes[..whole])
}

fn pingpong(comm: &Comm, send: &[u8], recv: &mut [u8], rounds: usize) -> Result<f64> {
    let other = 1 - comm.rank();
    let start = Instant::now();
    for _ in 0..rounds {
        if comm.rank() == 0 {
            comm.send(send, other, 7)?;
            comm.recv(recv, other, 7)?;
        } else {
            comm.recv(recv, other, 7)?;
            comm.send(send, other, 7)?;
        }
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Ping-pong of `rows` rows of `width` columns out of a wider matrix, into the same place of another.
fn strided(
    comm: &Comm,
    send: &[u8],
    recv: &mut [u8],
    rows: usize,
    width: usize,
    rounds: usize,
) -> Result<f64> {
    let (other, len) = (1 - comm.rank(), rows * COLUMNS);
    let shape = |_| rankine::Error::usage("the matrix is larger than its buffer");
    let from = ArrayView2::from_shape((rows, COLUMNS), &numbers(send)[..len]).map_err(shape)?;
    let mut into =
        ArrayViewMut2::from_shape((rows, COLUMNS), &mut numbers_mut(recv)[..len]).map_err(shape)?;
    let (from, mut into) = (from.slice(s![.., 5..5 + width]), into.slice_mut(s![.., 5..5 + width]));
    let start = Instant::now();
    for _ in 0..rounds {
        if comm.rank() == 0 {
            comm.send_view(&from, other, 7)?;
            comm.recv_view(&mut into, other, 7)?;
        } else {
            comm.recv_view(&mut into, other, 7)?;
            comm.send_view(&from, other, 7)?;
        }
    }
    Ok(start.elapsed().as_secs_f64())
}

fn nonblocking(comm: &Comm, send: &[u8], recv: &mut [u8], rounds: usize) -> Result<f64> {
    let other = 1 - comm.rank();
    let start = Instant::now();
    for _ in 0..rounds {
        for leg in 0..2 {
            comm.scope(|s| match leg == comm.rank() {
                true => s.isend(send, other, 7)?.wait().map(drop),
                false => s.irecv(recv, other, 7)?.wait().map(drop),
            })?;
        }
    }
    Ok(start.elapsed().as_secs_f64())
}

fn persistent(comm: &Comm, bytes: usize, rounds: usize) -> Result<f64> {
    let other = 1 - comm.rank();
    let mut outgoing = comm.plan_send(vec![1u8; bytes], other, 7)?;
    let mut incoming = comm.plan_recv(vec![0u8; bytes], other, 7)?;
    let start = Instant::now();
    for _ in 0..rounds {
        for leg in 0..2 {
            if leg == comm.rank() {
                outgoing.start()?;
                outgoing.wait()?;
            } else {
                incoming.start()?;
                incoming.wait()?;
            }
        }
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Windows of messages one way, each window acknowledged; with `both`, the two ways at once.
fn windows(comm: &Comm, send: &[u8], recv: &mut [u8], rounds: usize, both: bool) -> Result<f64> {
    let (me, other) = (comm.rank(), 1 - comm.rank());
    let start = Instant::now();
    for _ in 0..rounds {
        comm.scope(|s| {
            if me == 0 || both {
                for _ in 0..WINDOW {
                    let _completed_by_the_scope = s.isend(send, other, 7)?;
                }
            }
            if me == 1 || both {
                for _ in 0..WINDOW {
                    comm.recv(recv, other, 7)?;
                }
            }
            Ok(())
        })?;
        if me == 0 {
            comm.recv(&mut [0u8], 1, 8)?;
        } else {
            comm.send(&[0u8], 0, 8)?;
        }
    }
    Ok(start.elapsed().as_secs_f64())
}

/// One nonblocking exchange, with computing between start and wait.
fn exchange(comm: &Comm, send: &[u8], recv: &mut [u8], rounds: usize, computing: u64) -> Result<f64> {
    let other = 1 - comm.rank();
    let start = Instant::now();
    for _ in 0..rounds {
        comm.scope(|s| {
            let incoming = s.irecv(recv, other, 7)?;
            let outgoing = s.isend(send, other, 7)?;
            compute(computing);
            incoming.wait()?;
            outgoing.wait().map(drop)
        })?;
    }
    Ok(start.elapsed().as_secs_f64())
}

/// A chain of multiplications that touches no memory to speak of.
pub fn compute(steps: u64) {
    let mut x = 1.0f64;
    for _ in 0..steps {
        x = std::hint::black_box(x * 0.5 + 1.0);
    }
    std::hint::black_box(x);
}
