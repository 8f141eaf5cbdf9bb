//! One rank's part as the others see it: addresses and layouts, without lifetimes.
//!
//! Whose promise keeps the addresses valid, and for how long, is said where parts are brought together.

use crate::comm::element::Kind;
use crate::engine::signature::Signature;
use crate::engine::{Call, Collective, Layout, Place, Reduction, Span};

/// As [`Layout`], without its lifetime.
#[derive(Clone, Copy)]
pub(super) enum Blocks {
    Absent,
    One(usize),
    Each(usize),
    /// A span for every rank.
    Spans(*const Span),
    /// One after the other from the start; a length for every rank.
    Packed(*const u16),
    InPlace,
}

#[derive(Clone, Copy)]
pub(super) struct Part {
    pub call: Call,
    /// 0 where the call has none.
    pub root: usize,
    pub send: *const u8,
    pub sent: Blocks,
    pub recv: *mut u8,
    pub received: Blocks,
}

impl Blocks {
    pub fn of(layout: Layout<'_>) -> Blocks {
        match layout {
            Layout::Absent => Blocks::Absent,
            Layout::One(len) => Blocks::One(len),
            Layout::Each(len) => Blocks::Each(len),
            Layout::Spans(spans) => Blocks::Spans(spans.as_ptr()),
            Layout::InPlace => Blocks::InPlace,
        }
    }

    pub fn in_place(self) -> bool {
        matches!(self, Blocks::InPlace)
    }

    /// The block of rank `rank`.
    ///
    /// # Safety
    /// There is such a rank, and the spans or lengths are still there.
    #[inline(always)]
    pub unsafe fn block(self, rank: usize) -> Span {
        match self {
            Blocks::Absent | Blocks::InPlace => Span { at: 0, len: 0 },
            Blocks::One(len) => Span { at: 0, len },
            Blocks::Each(len) => Span { at: rank * len, len },
            // SAFETY: the caller's promise.
            Blocks::Spans(spans) => unsafe { *spans.add(rank) },
            Blocks::Packed(lengths) => {
                // SAFETY: as above.
                let len = |rank: usize| usize::from(unsafe { *lengths.add(rank) });
                Span { at: (0..rank).map(len).sum(), len: len(rank) }
            }
        }
    }

    /// The length of a block where all have the same.
    fn len(self) -> usize {
        match self {
            Blocks::One(len) | Blocks::Each(len) => len,
            Blocks::Absent | Blocks::Spans(_) | Blocks::Packed(_) | Blocks::InPlace => 0,
        }
    }
}

impl Part {
    #[inline]
    pub fn of(part: &Collective<'_>) -> Part {
        Part {
            call: part.call,
            root: part.root.unwrap_or(0),
            send: part.send.data,
            sent: Blocks::of(part.send.layout),
            recv: part.recv.data,
            received: Blocks::of(part.recv.layout),
        }
    }

    /// That of a call with no buffers.
    pub fn nothing() -> Part {
        Part {
            call: Call::Barrier,
            root: 0,
            send: std::ptr::null(),
            sent: Blocks::Absent,
            recv: std::ptr::null_mut(),
            received: Blocks::Absent,
        }
    }

    /// The length of one block, as all ranks must give it; 0 where every block has its own.
    #[inline]
    pub fn bytes(&self) -> usize {
        match (self.call, self.sent) {
            (Call::Gather | Call::Reduce | Call::Allgather, Blocks::One(len)) => len,
            (
                Call::Gatherv | Call::Scatterv | Call::Allgatherv | Call::Alltoallv | Call::ReduceScatter,
                _,
            ) => 0,
            // What a root scatters it need not receive.
            (Call::Scatter, Blocks::Each(len)) => len,
            _ => self.received.len(),
        }
    }

    pub fn signature(
        &self,
        root: Option<usize>,
        kind: Option<Kind>,
        op: Option<&Reduction>,
        place: Place,
    ) -> Signature {
        // Whether an alltoall is in place concerns the other ranks too: both of a pair must swap.
        let call = match (self.call, self.sent) {
            (Call::Alltoall, Blocks::InPlace) => "alltoall in place",
            (Call::Alltoallv, Blocks::InPlace) => "alltoallv in place",
            (call, _) => call.name(),
        };
        Signature { call, root, bytes: self.bytes(), kind, op: op.map(|op| op.name), place }
    }

    /// How many blocks a rank contributes to a call whose blocks are all of one length.
    #[inline]
    fn contributed(&self, size: usize) -> usize {
        match self.call {
            Call::Barrier => 0,
            Call::Scatter | Call::Alltoall | Call::ReduceScatterBlock => size,
            _ => 1,
        }
    }

    /// Whether every block has a length of its own.
    #[inline]
    pub fn is_counted(&self) -> bool {
        matches!(
            self.call,
            Call::Gatherv | Call::Scatterv | Call::Allgatherv | Call::Alltoallv | Call::ReduceScatter
        )
    }

    /// Whether so little is contributed that it travels with the rank's arrival, at most `limit` bytes. All ranks that
    /// agree on the call and its length say the same.
    #[inline]
    pub fn is_small(&self, size: usize, limit: usize) -> bool {
        !self.is_counted() && self.bytes().saturating_mul(self.contributed(size)) <= limit
    }

    /// What rank `rank`, whose part this is, contributes to a small call: where and how many bytes.
    #[inline]
    pub fn contribution(&self, rank: usize, size: usize) -> (*const u8, usize) {
        let bytes = self.bytes();
        match self.call {
            Call::Bcast if rank == self.root => (self.recv, bytes),
            Call::Scatter if rank == self.root => (self.send, bytes * size),
            Call::Barrier | Call::Bcast | Call::Scatter => (std::ptr::null(), 0),
            Call::Gather | Call::Allgather if self.sent.in_place() => {
                (self.recv.wrapping_add(rank * bytes), bytes)
            }
            _ => (self.source(), bytes * self.contributed(size)),
        }
    }

    /// The start of what this rank sends, which in place is what it receives into.
    #[inline(always)]
    pub fn source(&self) -> *const u8 {
        if self.sent.in_place() { self.recv } else { self.send }
    }

    /// The block that this rank sends to `rank`, of a side with a block for every rank.
    ///
    /// # Safety
    /// As [`Blocks::block`].
    #[inline(always)]
    pub unsafe fn source_block(&self, rank: usize) -> Span {
        let blocks = if self.sent.in_place() { self.received } else { self.sent };
        // SAFETY: the caller's promise.
        unsafe { blocks.block(rank) }
    }
}
