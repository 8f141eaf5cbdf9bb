//! Small collectives: every rank has all contributions at hand and makes its own answer of them.

use super::part::Part;
use crate::engine::{Call, Reduction};

/// The most a rank contributes to a small collective, in bytes.
pub(super) const SMALL: usize = 96;

/// Some bytes.
#[derive(Clone, Copy)]
#[repr(align(8))]
pub(super) struct Small(pub [u8; SMALL]);

impl Small {
    pub const EMPTY: Small = Small([0; SMALL]);
}

/// Combines the contributions of ranks `0..ranks`, from byte `at` on, into `acc`, in rank order.
#[inline]
pub(super) fn fold<'a>(
    acc: &mut [u8],
    ranks: usize,
    at: usize,
    op: &Reduction,
    given: impl Fn(usize) -> &'a [u8; SMALL],
) {
    let len = acc.len();
    let first = &given(0)[at..at + len];
    // SAFETY: as many bytes on both sides.
    unsafe { copy(first.as_ptr(), acc.as_mut_ptr(), len) };
    for rank in 1..ranks {
        op.fold(acc, &given(rank)[at..at + len]);
    }
}

/// Whether all ranks get the same answer of a reduction: then one of them can make it for all.
#[inline]
pub(super) fn is_common(call: Call) -> bool {
    matches!(call, Call::Reduce | Call::Allreduce)
}

/// Makes rank `rank`'s answer out of what all have given.
///
/// # Safety
/// `part` is the rank's own, with buffers as promised to [`Engine::collective`](crate::engine::Engine::collective),
/// and small; `given` are the contributions to a call on which the ranks agree; `op` is there if it reduces.
#[inline]
pub(super) unsafe fn answer<'a>(
    part: &Part,
    rank: usize,
    size: usize,
    op: Option<&Reduction>,
    given: impl Fn(usize) -> &'a [u8; SMALL],
) {
    let bytes = part.bytes();
    // SAFETY: what a rank receives has room for a block at these places, and overlaps no contribution.
    let write = |at: usize, data: &[u8]| unsafe { copy(data.as_ptr(), part.recv.add(at), data.len()) };
    let reduced = |ranks: usize, at: usize| {
        if let Some(op) = op {
            let mut acc = Small::EMPTY;
            fold(&mut acc.0[..bytes], ranks, at, op, &given);
            write(0, &acc.0[..bytes]);
        }
    };
    match part.call {
        Call::Bcast if rank != part.root => write(0, &given(part.root)[..bytes]),
        Call::Reduce if rank == part.root => reduced(size, 0),
        Call::Allreduce => reduced(size, 0),
        Call::Scan => reduced(rank + 1, 0),
        Call::Exscan if rank > 0 => reduced(rank, 0),
        Call::ReduceScatterBlock => reduced(size, rank * bytes),
        Call::Gather if rank == part.root => {
            (0..size).for_each(|sender| write(sender * bytes, &given(sender)[..bytes]));
        }
        Call::Allgather => (0..size).for_each(|sender| write(sender * bytes, &given(sender)[..bytes])),
        Call::Scatter if !part.received.in_place() => {
            write(0, &given(part.root)[rank * bytes..(rank + 1) * bytes]);
        }
        Call::Alltoall => (0..size).for_each(|sender| {
            write(sender * bytes, &given(sender)[rank * bytes..(rank + 1) * bytes]);
        }),
        _ => {}
    }
}

/// Copies a few bytes; one number without a call.
///
/// # Safety
/// As [`std::ptr::copy_nonoverlapping`].
#[inline(always)]
pub(super) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match len {
            8 => to.cast::<[u8; 8]>().write_unaligned(from.cast::<[u8; 8]>().read_unaligned()),
            _ => std::ptr::copy_nonoverlapping(from, to, len),
        }
    }
}
