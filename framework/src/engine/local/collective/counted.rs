//! Small calls with counts: a rank's blocks travel in its place together with their lengths.
//!
//! Every rank decides that for itself, by what it gives. The others make a part of it again, whose blocks lie in the
//! place, so that comparing and copying are the same as where addresses are shown; but nobody has to be waited for.
//!
//! What is packed: a code for either side, the lengths of what is given and of what is taken, then the blocks given.

use super::part::{Blocks, Part};
use super::small::{SMALL, Small, copy};
use crate::engine::Call;

/// A side that is absent, is one block, or has one for every rank; 0 where addresses are shown.
const ABSENT: u8 = 1;
const ONE: u8 = 2;
const EACH: u8 = 3;

/// Where the lengths begin.
const LENGTHS: usize = 2;

/// Packs what rank `rank` gives in a call of `size` ranks, if it fits; whether it did is said in `small` either way.
///
/// # Safety
/// As [`Blocks::block`], and what the part gives is there to be read.
#[inline]
pub(super) unsafe fn pack(part: &Part, rank: usize, size: usize, small: &mut Small) -> bool {
    // SAFETY: the caller's promise.
    let packed = unsafe { try_to_pack(part, rank, size, &mut small.0) };
    if !packed {
        small.0[0] = 0;
    }
    packed
}

/// # Safety
/// As [`pack`].
#[inline(always)]
unsafe fn try_to_pack(part: &Part, rank: usize, size: usize, to: &mut [u8; SMALL]) -> bool {
    let in_place = part.sent.in_place();
    let (mut sent, mut received) = (part.sent, part.received);
    // SAFETY: the caller's promise, here and below.
    let len = |blocks: Blocks, rank: usize| unsafe { blocks.block(rank) }.len;
    match part.call {
        // Both of a pair swap, so both must work in the buffers.
        Call::Alltoallv if in_place => return false,
        Call::Gatherv | Call::Allgatherv if in_place => sent = Blocks::One(len(received, rank)),
        Call::ReduceScatter if in_place => (sent, received) = (received, Blocks::One(len(received, rank))),
        Call::Scatterv if received.in_place() => received = Blocks::One(len(sent, rank)),
        _ => {}
    }
    let mut at = LENGTHS;
    for (side, blocks) in [sent, received].into_iter().enumerate() {
        let (code, count) = match blocks {
            Blocks::One(_) => (ONE, 1),
            Blocks::Spans(_) => (EACH, size),
            _ => (ABSENT, 0),
        };
        to[side] = code;
        for rank in 0..count {
            let Ok(len) = u16::try_from(len(blocks, rank)) else { return false };
            to[at..at + 2].copy_from_slice(&len.to_ne_bytes());
            at += 2;
        }
    }
    // A root has what it gathers.
    let given = match blocks_of(sent, size) {
        _ if part.call == Call::Gatherv && rank == part.root => 0,
        given => given,
    };
    for block in 0..given {
        // SAFETY: as above.
        let mut span = unsafe { sent.block(block) };
        if part.call == Call::Allgatherv && in_place {
            // SAFETY: as above.
            span = unsafe { part.received.block(rank) };
        }
        if span.len > SMALL - at {
            return false;
        }
        // SAFETY: the caller's promise; there is room.
        unsafe { copy(part.source().add(span.at), to.as_mut_ptr().add(at), span.len) };
        at += span.len;
    }
    true
}

fn blocks_of(blocks: Blocks, size: usize) -> usize {
    match blocks {
        Blocks::One(_) => 1,
        Blocks::Spans(_) => size,
        _ => 0,
    }
}

/// The part of another rank that has packed it in `small`, as long as that stays as it is; nothing is to be received in
/// it. `None` if it shows addresses.
#[inline]
pub(super) fn unpack(call: Call, root: usize, size: usize, small: &Small) -> Option<Part> {
    let mut at = LENGTHS;
    let mut side = |code: u8| {
        let lengths = small.0[at..].as_ptr();
        let (blocks, count) = match code {
            ONE => (Blocks::One(usize::from(u16::from_ne_bytes([small.0[at], small.0[at + 1]]))), 1),
            EACH => (Blocks::Packed(lengths.cast()), size),
            _ => (Blocks::Absent, 0),
        };
        at += 2 * count;
        blocks
    };
    if small.0[0] == 0 {
        return None;
    }
    let (sent, received) = (side(small.0[0]), side(small.0[1]));
    let send = small.0[at..].as_ptr();
    Some(Part { call, root, send, sent, recv: std::ptr::null_mut(), received })
}
