//! One rank's part in a collective, as engines take it: which call, and where the bytes are.
//!
//! The same description serves the blocking, the nonblocking and the persistent form on both engines. Everything
//! typed is gone; lengths, roots and overlaps have been checked in `comm/collective`, as far as one rank can see.

use super::Reduction;
use crate::comm::element::Kind;

/// Which collective; the names are MPI's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Call {
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
}

impl Call {
    /// As the author writes it, without `_into` and the like.
    pub const fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// The name, where it stands for ever.
    #[inline(always)]
    pub const fn name_of(self) -> &'static &'static str {
        &NAMES[self as usize]
    }
}

/// In the order of [`Call`].
static NAMES: [&str; 16] = [
    "barrier",
    "bcast",
    "reduce",
    "allreduce",
    "scan",
    "exscan",
    "reduce_scatter",
    "reduce_scatter_block",
    "gather",
    "gatherv",
    "scatter",
    "scatterv",
    "allgather",
    "allgatherv",
    "alltoall",
    "alltoallv",
];

/// A block of a buffer, in bytes from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub at: usize,
    pub len: usize,
}

/// Where the blocks of a buffer lie, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layout<'a> {
    /// This rank has nothing on this side of the call (such as what a gather receives elsewhere than on the root).
    Absent,
    /// One block of so many bytes at the start.
    One(usize),
    /// A block of so many bytes for every rank, in rank order.
    Each(usize),
    /// A block for every rank, of its own length at its own place. Blocks that are received into do not overlap.
    Spans(&'a [Span]),
    /// MPI_IN_PLACE: what belongs on this side lies in the other side's buffer, where MPI has it.
    InPlace,
}

/// One side of a call: its buffer and the blocks in it.
///
/// Which layouts occur, by call (send side; receive side):
///
/// - `Barrier`: `Absent`; `Absent`. `Bcast`: `Absent`; `One` on every rank, the root's being what is sent.
/// - `Reduce`: `One`, on the root also `InPlace`; `One` on the root, `Absent` elsewhere.
/// - `Allreduce`, `Scan`, `Exscan`: `One` or `InPlace`; `One`. The first rank's `Exscan` leaves its buffer alone.
/// - `ReduceScatterBlock`: `Each` and `One`; or `InPlace` and `Each`, the answer then comes in the first block.
/// - `ReduceScatter`: `Spans`, one after the other from the start, and `One`; or `InPlace` and `Spans`, the answer
///   then comes at the start.
/// - `Gather(v)`: `One`, on the root also `InPlace`; `Each` (`Spans`) on the root, `Absent` elsewhere.
/// - `Scatter(v)`: `Each` (`Spans`) on the root, `Absent` elsewhere; `One`, on the root also `InPlace`.
/// - `Allgather(v)`: `One` or `InPlace`; `Each` (`Spans`).
/// - `Alltoall(v)`: `Each` (`Spans`) or `InPlace`; `Each` (`Spans`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side<'a, P> {
    pub data: P,
    pub layout: Layout<'a>,
}

/// One rank's part. Which promises its buffers need is said where it is handed over.
#[derive(Clone, Copy)]
pub(crate) struct Collective<'a> {
    pub call: Call,
    pub root: Option<usize>,
    /// `None` for a barrier.
    pub kind: Option<Kind>,
    pub send: Side<'a, *const u8>,
    pub recv: Side<'a, *mut u8>,
    pub op: Option<&'a Reduction>,
}

impl Collective<'_> {
    /// The bytes that this rank gives, of `size` ranks.
    pub fn given(&self, rank: usize, size: usize) -> usize {
        match self.send.layout {
            Layout::One(bytes) => bytes,
            Layout::Each(bytes) => bytes * size,
            Layout::Spans(spans) => spans.iter().map(|span| span.len).sum(),
            Layout::InPlace => self.recv.layout.block(rank).len,
            Layout::Absent if self.call == Call::Bcast && self.root == Some(rank) => {
                self.recv.layout.block(rank).len
            }
            Layout::Absent => 0,
        }
    }
}

#[cfg_attr(not(feature = "mpi"), allow(dead_code, reason = "the Local engine asks in its own way"))]
impl Layout<'_> {
    /// How many bytes from the start of the buffer the blocks reach, with `size` ranks.
    pub fn reach(&self, size: usize) -> usize {
        match *self {
            Layout::Absent | Layout::InPlace => 0,
            Layout::One(bytes) => bytes,
            Layout::Each(bytes) => bytes * size,
            Layout::Spans(spans) => spans.iter().map(|span| span.at + span.len).max().unwrap_or(0),
        }
    }

    /// The block of rank `rank`.
    pub fn block(&self, rank: usize) -> Span {
        match *self {
            Layout::Absent | Layout::InPlace => Span::default(),
            Layout::One(len) => Span { at: 0, len },
            Layout::Each(len) => Span { at: rank * len, len },
            Layout::Spans(spans) => spans[rank],
        }
    }
}
