//! What a collective comes to once all parts are known: copies of blocks and reductions of ranges, which do not depend
//! on each other.
//!
//! The work is cut into units, to be done in any order by anybody. A unit reads and writes straight in the ranks'
//! buffers. Who does which unit, and until when buffers stay, is decided elsewhere.

use super::part::Part;
use crate::engine::{Call, Reduction, Span};
use std::mem::MaybeUninit;

/// What is copied at once.
const PIECE: usize = 128 << 10;

/// What is reduced at once; a rank's own stays in its first-level cache.
const BLOCK: usize = 4096;

/// What is reduced in one unit.
const RANGE: usize = 32 << 10;

/// Units are claimed together until they come to about so much.
const WORTHWHILE: usize = 32 << 10;

/// From this length on a block that a root sends or receives is copied by both ends.
const SHARED: usize = 64 << 10;

/// Bytes of a cache line.
const LINE: usize = 64;

/// All parts of a call on which the ranks agree.
pub(super) struct Work<'a> {
    pub size: usize,
    pub part: &'a (dyn Fn(usize) -> &'a Part + 'a),
    pub op: Option<&'a Reduction>,
}

/// How the work is cut: for every receiver and every sender, so many pieces of so many bytes.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    receivers: usize,
    senders: usize,
    pieces: usize,
    piece: usize,
}

impl Cut {
    pub fn units(&self) -> u64 {
        (self.receivers * self.senders * self.pieces) as u64
    }

    /// How many units to claim at once.
    pub fn batch(&self) -> u64 {
        (WORTHWHILE / self.piece.max(1)).max(1) as u64
    }

    /// Receiver, sender and first byte of a unit.
    #[inline(always)]
    fn unit(&self, index: u64) -> (usize, usize, usize) {
        let index = index as usize;
        let (pair, piece) = (index / self.pieces, index % self.pieces);
        (pair / self.senders, pair % self.senders, piece * self.piece)
    }
}

impl Work<'_> {
    /// # Safety
    /// The parts and their spans are there.
    pub unsafe fn cut(&self) -> Cut {
        let first = (self.part)(0);
        let (receivers, senders) = match first.call {
            Call::Barrier => (0, 1),
            Call::Reduce | Call::Allreduce | Call::Scan | Call::Exscan => (1, 1),
            Call::Gather | Call::Gatherv => (1, self.size),
            Call::Bcast | Call::Scatter | Call::Scatterv | Call::ReduceScatter | Call::ReduceScatterBlock => {
                (self.size, 1)
            }
            Call::Allgather | Call::Allgatherv | Call::Alltoall | Call::Alltoallv => (self.size, self.size),
        };
        // SAFETY: the caller's promise.
        let longest = unsafe { self.longest() };
        let most = match self.op {
            Some(op) => (RANGE / op.element_size.max(1)).max(1) * op.element_size.max(1),
            None => PIECE,
        };
        Cut { receivers, senders, pieces: longest.div_ceil(most), piece: most.min(longest) }
    }

    /// The length of the longest block.
    ///
    /// # Safety
    /// As [`Work::cut`].
    unsafe fn longest(&self) -> usize {
        let first = (self.part)(0);
        // SAFETY: the caller's promise.
        let received = |rank: usize, from: usize| unsafe { (self.part)(rank).received.block(from).len };
        // SAFETY: as above.
        let sent = |rank: usize, to: usize| unsafe { (self.part)(rank).source_block(to).len };
        let all = 0..self.size;
        match first.call {
            Call::Gatherv => all.map(|s| received(first.root, s)).max(),
            Call::Scatterv => all.map(|r| sent(first.root, r)).max(),
            Call::Allgatherv => all.map(|s| received(0, s)).max(),
            Call::Alltoallv => all.map(|r| (0..self.size).map(|s| received(r, s)).max().unwrap_or(0)).max(),
            Call::ReduceScatter => all.map(|r| sent(0, r)).max(),
            _ => Some(first.bytes()),
        }
        .unwrap_or(0)
    }

    /// Does one unit.
    ///
    /// # Safety
    /// All buffers are as promised to [`Engine::collective`](crate::engine::Engine::collective), nobody else does this
    /// unit, and nobody settles before all units are done.
    pub unsafe fn unit(&self, cut: &Cut, index: u64) {
        let (receiver, sender, from) = cut.unit(index);
        let call = (self.part)(0).call;
        match call {
            // SAFETY: the caller's promise.
            _ if self.op.is_some() => unsafe { self.reduce(receiver, from, cut.piece) },
            Call::Gather | Call::Gatherv => {
                // SAFETY: as above.
                unsafe { self.copy((self.part)(0).root, sender, from, cut.piece) }
            }
            Call::Bcast | Call::Scatter | Call::Scatterv => {
                // SAFETY: as above.
                unsafe { self.copy(receiver, (self.part)(0).root, from, cut.piece) }
            }
            // SAFETY: as above.
            _ => unsafe { self.copy(receiver, sender, from, cut.piece) },
        }
    }

    /// Whether both ends of a block copy a part of it, in a call with a root.
    pub fn is_shared(part: &Part) -> bool {
        part.bytes() >= SHARED
    }

    /// Does the share of rank `me`, where every rank does one.
    ///
    /// # Safety
    /// As [`Work::unit`]; the shares of different ranks do not touch.
    pub unsafe fn share(&self, me: usize) {
        let (size, first) = (self.size, (self.part)(0));
        let (root, bytes) = (first.root, first.bytes());
        let all = usize::MAX;
        // SAFETY: the caller's promise, here and below.
        unsafe {
            match first.call {
                Call::Barrier => {}
                Call::ReduceScatter | Call::ReduceScatterBlock => self.reduce(me, 0, all),
                Call::Reduce | Call::Allreduce | Call::Scan | Call::Exscan => {
                    let (from, to) = self.range(me, bytes);
                    self.reduce(0, from, to - from);
                }
                Call::Bcast | Call::Scatter | Call::Gather if Work::is_shared(first) => {
                    // The root does as much as everybody else: of every block, one of as many parts as there are ranks.
                    let cut = bytes / size / LINE * LINE;
                    for other in (0..size).filter(|&other| other != root && (me == root || me == other)) {
                        let (to, of) = if first.call == Call::Gather { (root, other) } else { (other, root) };
                        match me == root {
                            true => self.copy(to, of, 0, cut),
                            false => self.copy(to, of, cut, all),
                        }
                    }
                    if me == root && first.call != Call::Bcast {
                        self.copy(root, root, 0, all);
                    }
                }
                Call::Bcast | Call::Scatter | Call::Scatterv => self.copy(me, root, 0, all),
                Call::Gather | Call::Gatherv => {
                    if me == root {
                        (0..size).for_each(|sender| self.copy(root, sender, 0, all));
                    }
                }
                Call::Alltoall | Call::Alltoallv if first.sent.in_place() => {
                    for other in (0..size).filter(|&other| other != me) {
                        // Each of the two swaps one half.
                        let (low, high) = (me.min(other), me.max(other));
                        let half = (self.part)(low).received.block(high).len / 2;
                        match me == low {
                            true => self.copy(low, high, 0, half),
                            false => self.copy(low, high, half, all),
                        }
                    }
                }
                Call::Allgather | Call::Allgatherv | Call::Alltoall | Call::Alltoallv => {
                    // Not all from the same rank at the same time.
                    (0..size).for_each(|turn| self.copy(me, (me + turn) % size, 0, all));
                }
            }
        }
    }

    /// Rank `me`'s range of a reduction, in bytes; they meet at cache lines where elements do.
    fn range(&self, me: usize, bytes: usize) -> (usize, usize) {
        let element = self.op.map_or(1, |op| op.element_size.max(1));
        let grain = (LINE / element).max(1) * element;
        let bound = |rank: usize| match rank == self.size {
            true => bytes,
            false => bytes / grain * rank / self.size * grain,
        };
        (bound(me), bound(me + 1))
    }

    /// Copies at most `most` bytes, from byte `from` on, of the block that `receiver` gets from `sender`.
    ///
    /// # Safety
    /// As [`Work::unit`].
    pub unsafe fn copy(&self, receiver: usize, sender: usize, from: usize, most: usize) {
        let (to, of) = ((self.part)(receiver), (self.part)(sender));
        // SAFETY: the caller's promise.
        let (source, target) = unsafe {
            match to.call {
                Call::Bcast if receiver == sender => return,
                Call::Bcast => (of.recv.cast_const(), Span { at: 0, len: to.bytes() }),
                Call::Gather | Call::Gatherv | Call::Allgather | Call::Allgatherv => {
                    let target = to.received.block(sender);
                    match of.sent.in_place() {
                        true if receiver == sender => return,
                        true => (of.recv.cast_const().add(of.received.block(sender).at), target),
                        false => (of.send, target),
                    }
                }
                Call::Scatter | Call::Scatterv if to.received.in_place() => return,
                Call::Scatter | Call::Scatterv => {
                    (of.send.add(of.sent.block(receiver).at), to.received.block(receiver))
                }
                _ if of.sent.in_place() => {
                    if receiver < sender {
                        let (here, there) = (to.received.block(sender), of.received.block(receiver));
                        let len = here.len.saturating_sub(from).min(most);
                        let (here, there) = (to.recv.add(here.at + from), of.recv.add(there.at + from));
                        std::ptr::swap_nonoverlapping(here, there, len);
                    }
                    return;
                }
                _ => (of.send.add(of.sent.block(receiver).at), to.received.block(sender)),
            }
        };
        let len = target.len.saturating_sub(from).min(most);
        if len > 0 {
            // SAFETY: both blocks have this length, as the ranks agree; what is received into overlaps nothing.
            unsafe { std::ptr::copy_nonoverlapping(source.add(from), to.recv.add(target.at + from), len) };
        }
    }

    /// Reduces at most `most` bytes, from byte `from` on: of the block that `receiver` gets in a reduce_scatter, of
    /// the only one there is in the other calls.
    ///
    /// # Safety
    /// As [`Work::unit`].
    pub unsafe fn reduce(&self, receiver: usize, from: usize, most: usize) {
        let Some(op) = self.op else { return };
        let element = op.element_size.max(1);
        let step = (BLOCK / element).max(1) * element;
        let mut stack = Scratch::new();
        let mut heap = Vec::new();
        let (near, far) = stack.halves(&mut heap, step);
        let call = (self.part)(0).call;
        let scattered = matches!(call, Call::ReduceScatter | Call::ReduceScatterBlock);
        let total = match scattered {
            // SAFETY: the caller's promise.
            true => unsafe { self.scattered_len(receiver) },
            false => (self.part)(0).bytes(),
        };
        let end = total.min(from.saturating_add(most));
        let mut at = from;
        while at < end {
            let len = step.min(end - at);
            // SAFETY: a range of the block in question, which nobody else works on; a rank's contribution to a range
            // is read before its answer is written there.
            unsafe {
                match call {
                    Call::Scan | Call::Exscan => self.scan(op, at, near, far, len),
                    _ => {
                        let acc = self.fold(op, receiver, scattered, at, near, len);
                        self.deliver(call, receiver, at, acc);
                    }
                }
            }
            at += len;
        }
    }

    /// # Safety
    /// As [`Work::cut`].
    unsafe fn scattered_len(&self, receiver: usize) -> usize {
        // SAFETY: the caller's promise.
        unsafe { (self.part)(receiver).source_block(receiver).len }
    }

    /// What `rank` contributes at `at`.
    ///
    /// # Safety
    /// As [`Work::unit`]; the range is one of the block in question.
    unsafe fn given(&self, rank: usize, receiver: usize, scattered: bool, at: usize, len: usize) -> &[u8] {
        let of = (self.part)(rank);
        // SAFETY: the caller's promise.
        unsafe {
            let start = if scattered { of.source_block(receiver).at } else { 0 };
            std::slice::from_raw_parts(of.source().add(start + at), len)
        }
    }

    /// Combines all contributions in rank order.
    ///
    /// # Safety
    /// As [`Work::given`].
    unsafe fn fold<'s>(
        &self,
        op: &Reduction,
        receiver: usize,
        scattered: bool,
        at: usize,
        space: &'s mut [MaybeUninit<u8>],
        len: usize,
    ) -> &'s [u8] {
        // SAFETY: the caller's promise.
        let acc = fill(space, unsafe { self.given(0, receiver, scattered, at, len) });
        for rank in 1..self.size {
            // SAFETY: as above.
            op.fold(acc, unsafe { self.given(rank, receiver, scattered, at, len) });
        }
        acc
    }

    /// Writes a reduced range to those who get it.
    ///
    /// # Safety
    /// As [`Work::unit`].
    unsafe fn deliver(&self, call: Call, receiver: usize, at: usize, range: &[u8]) {
        // SAFETY: the caller's promise.
        let write = |to: &Part, start: usize| unsafe {
            std::ptr::copy_nonoverlapping(range.as_ptr(), to.recv.add(start + at), range.len());
        };
        match call {
            Call::Reduce => write((self.part)((self.part)(0).root), 0),
            Call::Allreduce => (0..self.size).for_each(|rank| write((self.part)(rank), 0)),
            _ => {
                let to = (self.part)(receiver);
                // In place the answer first takes the place of the rank's own contribution; see `settle`.
                // SAFETY: the caller's promise.
                let start = if to.sent.in_place() { unsafe { to.received.block(receiver).at } } else { 0 };
                write(to, start);
            }
        }
    }

    /// The prefix reductions of one range.
    ///
    /// # Safety
    /// As [`Work::given`].
    unsafe fn scan<'s>(
        &self,
        op: &Reduction,
        at: usize,
        mut acc: &'s mut [MaybeUninit<u8>],
        mut spare: &'s mut [MaybeUninit<u8>],
        len: usize,
    ) {
        let exclusive = (self.part)(0).call == Call::Exscan;
        // SAFETY: the caller's promise, here and below.
        fill(acc, unsafe { self.given(0, 0, false, at, len) });
        for rank in 0..self.size {
            let to = (self.part)(rank);
            // SAFETY: filled so far at the start, or by the turn before.
            let before = unsafe { filled(&mut acc[..len]) };
            if rank == 0 {
                if !exclusive {
                    // SAFETY: as above.
                    unsafe { to.recv.add(at).copy_from_nonoverlapping(before.as_ptr(), len) };
                }
                continue;
            }
            let after = fill(spare, before);
            if !exclusive || rank + 1 < self.size {
                // SAFETY: as above.
                op.fold(after, unsafe { self.given(rank, 0, false, at, len) });
            }
            let answer = if exclusive { &*before } else { &*after };
            // SAFETY: as above.
            unsafe { to.recv.add(at).copy_from_nonoverlapping(answer.as_ptr(), len) };
            std::mem::swap(&mut acc, &mut spare);
        }
    }
}

/// What is left for rank `rank` to do in its own buffer when all units are done.
///
/// # Safety
/// All units are done, and the buffers are still as promised.
pub(super) unsafe fn settle(part: &Part, rank: usize) {
    let scattered = matches!(part.call, Call::ReduceScatter | Call::ReduceScatterBlock);
    if scattered && part.sent.in_place() {
        // SAFETY: the caller's promise.
        unsafe {
            let own = part.received.block(rank);
            std::ptr::copy(part.recv.add(own.at), part.recv, own.len);
        }
    }
}

/// Room for two blocks, which costs nothing until it is used.
#[repr(align(64))]
struct Scratch([MaybeUninit<u8>; 2 * BLOCK]);

impl Scratch {
    fn new() -> Scratch {
        Scratch([MaybeUninit::uninit(); 2 * BLOCK])
    }

    /// Two stretches of `step` bytes, on the heap if elements are larger than a block.
    fn halves<'s>(
        &'s mut self,
        heap: &'s mut Vec<MaybeUninit<u8>>,
        step: usize,
    ) -> (&'s mut [MaybeUninit<u8>], &'s mut [MaybeUninit<u8>]) {
        if step <= BLOCK {
            return self.0.split_at_mut(BLOCK);
        }
        heap.resize(2 * step, MaybeUninit::uninit());
        heap.split_at_mut(step)
    }
}

/// Copies `data` to the start of `space`.
fn fill<'s>(space: &'s mut [MaybeUninit<u8>], data: &[u8]) -> &'s mut [u8] {
    let space = &mut space[..data.len()];
    // SAFETY: bytes may be seen as bytes that may be uninitialised.
    space.copy_from_slice(unsafe { &*(std::ptr::from_ref(data) as *const [MaybeUninit<u8>]) });
    // SAFETY: just written.
    unsafe { filled(space) }
}

/// # Safety
/// All of `space` has been written.
unsafe fn filled(space: &mut [MaybeUninit<u8>]) -> &mut [u8] {
    // SAFETY: the caller's promise.
    unsafe { &mut *(std::ptr::from_mut(space) as *mut [u8]) }
}
