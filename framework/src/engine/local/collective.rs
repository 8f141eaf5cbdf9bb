//! Collectives of the Local engine: ranks meet at a gate and read each other's buffers.
//!
//! Every rank brings a card: what it is about to do, its few bytes or the address of its buffer. The last to arrive
//! compares the cards, so a mismatch is an error on every rank before anything moves. Small contributions are combined
//! there and then; for large ones every rank works on its share and all meet again before a buffer goes back to its
//! owner. Point-to-point messages are in `p2p`.

use super::gate::Gate;
use super::sync::{Padded, UnsafeCell};
use super::{Group, Local};
use crate::comm::element::Kind;
use crate::engine::signature::{Signature, disagreement};
use crate::engine::{Fault, Outcome, Place, Reduction};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};

/// The largest contribution that travels on the card.
const SMALL: usize = 64;

/// What a reduction keeps on the stack while it goes over a buffer.
const BLOCK: usize = 4096;

/// What a rank brings to a meeting.
struct Card {
    signature: Signature,
    send: *const u8,
    recv: *mut u8,
    small: Small,
}

#[derive(Clone, Copy)]
#[repr(align(16))]
struct Small([u8; SMALL]);

/// One parity's cells: see [`Gate`] for why two sets are enough.
struct Cells {
    cards: Box<[Padded<UnsafeCell<Option<Card>>>]>,
    result: Padded<UnsafeCell<(bool, Small)>>,
}

/// Where the ranks of one communicator meet.
pub(super) struct Meeting {
    gate: Gate,
    cells: [Cells; 2],
    /// New communicators of a split, by rank; each rank takes its own.
    groups: Mutex<Vec<Option<Seat>>>,
}

/// A communicator and this rank's number in it.
type Seat = (Arc<Group>, usize);

// SAFETY: cells are written by their rank before it arrives, or by the last to arrive, and read only after the
// meeting; the gate orders the two. The pointers on a card are read only between two meetings of their owner.
unsafe impl Sync for Meeting {}
// SAFETY: as above.
unsafe impl Send for Meeting {}

impl Meeting {
    pub fn new(size: usize) -> Meeting {
        let cells = || Cells {
            cards: (0..size).map(|_| Padded(UnsafeCell::new(None))).collect(),
            result: Padded(UnsafeCell::new((false, Small([0; SMALL])))),
        };
        Meeting { gate: Gate::new(size as u32), cells: [cells(), cells()], groups: Mutex::new(Vec::new()) }
    }
}

/// The cards of a meeting that this rank is through and has not left behind.
struct Met<'l> {
    local: &'l Local,
    cells: &'l Cells,
}

impl Met<'_> {
    fn card<R>(&self, rank: usize, f: impl FnOnce(&Card) -> R) -> R {
        look(self.cells, rank, f)
    }

    /// The `len` bytes at `at` of what `rank` sends.
    ///
    /// # Safety
    /// The rank's card names a buffer of at least `at + len` bytes, which nobody writes before the next meeting.
    unsafe fn sent(&self, rank: usize, at: usize, len: usize) -> &[u8] {
        // SAFETY: the caller's promise; the owner stays until the next meeting.
        self.card(rank, |card| unsafe { std::slice::from_raw_parts(card.send.add(at), len) })
    }

    fn result(&self) -> Small {
        // SAFETY: written before we were let through.
        self.cells.result.with(|r| unsafe { (*r).1 })
    }
}

fn look<R>(cells: &Cells, rank: usize, f: impl FnOnce(&Card) -> R) -> R {
    // SAFETY: every rank has arrived, so its card is filled, and none writes it before the meeting after next.
    cells.cards[rank].with(|card| match unsafe { &*card } {
        Some(card) => f(card),
        None => unreachable!("every rank brings a card"),
    })
}

impl Local {
    /// Brings a card and waits until all have; the last to arrive runs `work` on the small contributions.
    fn meet(
        &self,
        signature: Signature,
        send: &[u8],
        recv: *mut u8,
        work: impl FnOnce(&Cells, &mut Small),
    ) -> Outcome<Met<'_>> {
        let meeting = &self.group.meeting;
        let epoch = meeting.gate.epoch();
        let cells = &meeting.cells[(epoch & 1) as usize];
        cells.cards[self.rank].with_mut(|card| {
            // SAFETY: this rank's own cell, which nobody reads before it has arrived.
            let card = unsafe { &mut *card };
            let mut small = card.take().map_or(Small([0; SMALL]), |card| card.small);
            if send.len() <= SMALL {
                small.0[..send.len()].copy_from_slice(send);
            }
            *card = Some(Card { signature, send: send.as_ptr(), recv, small });
        });
        let size = self.size();
        let last = meeting.gate.arrive(|| {
            let agreed = (1..size).all(|rank| {
                look(cells, 0, |first| look(cells, rank, |card| same(&card.signature, &first.signature)))
            });
            cells.result.with_mut(|result| {
                // SAFETY: only the last to arrive writes, and nobody reads before it lets them through.
                let result = unsafe { &mut *result };
                result.0 = agreed;
                if agreed {
                    work(cells, &mut result.1);
                }
            });
        });
        if last {
            self.wake_members();
        } else {
            self.await_meeting(epoch, true)?;
        }
        let met = Met { local: self, cells };
        // SAFETY: written before we were let through.
        if cells.result.with(|result| unsafe { (*result).0 }) {
            return Ok(met);
        }
        let all = |rank: usize| met.card(rank, |card| card.signature);
        let text = disagreement(self.rank, &all, size).unwrap_or_else(|| "arguments differ".to_string());
        Err(Fault::Mismatch(text))
    }

    /// Waits until the meeting after `epoch` has taken place, or leaves it when the job goes down.
    fn await_meeting(&self, epoch: u32, may_leave: bool) -> Outcome<()> {
        let gate = &self.group.meeting.gate;
        let met = || gate.epoch() != epoch;
        match self.world.wait(self.me, met) {
            Ok(()) => Ok(()),
            Err(fault) if may_leave && gate.leave(epoch) => Err(fault),
            Err(_) => {
                // All others are in this very call and about to arrive: no user code stands between.
                while !met() {
                    std::thread::yield_now();
                }
                Ok(())
            }
        }
    }

    /// The meeting at the end of a collective: after it, buffers are their owners' again. It cannot be left.
    fn part(&self) {
        let gate = &self.group.meeting.gate;
        let epoch = gate.epoch();
        if gate.arrive(|| ()) {
            self.wake_members();
        } else {
            let _ = self.await_meeting(epoch, false);
        }
    }

    fn wake_members(&self) {
        for &member in &self.group.members {
            if member as usize != self.me {
                self.world.wake(member as usize);
            }
        }
    }

    pub fn barrier(&self, place: Place) -> Outcome<()> {
        let signature = Signature { call: "barrier", root: None, bytes: 0, kind: None, op: None, place };
        self.meet(signature, &[], std::ptr::null_mut(), |_, _| ()).map(drop)
    }

    pub fn bcast(&self, data: &mut [u8], kind: Kind, root: usize, place: Place) -> Outcome<()> {
        let bytes = data.len();
        let signature =
            Signature { call: "bcast", root: Some(root), bytes, kind: Some(kind), op: None, place };
        if bytes <= SMALL {
            let met = self.meet(signature, data, std::ptr::null_mut(), |_, _| ())?;
            met.card(root, |card| data.copy_from_slice(&card.small.0[..bytes]));
            return Ok(());
        }
        let met = self.meet(signature, data, std::ptr::null_mut(), |_, _| ())?;
        if self.rank != root {
            // SAFETY: all agree on the length; the root's buffer is only read until all part.
            data.copy_from_slice(unsafe { met.sent(root, 0, bytes) });
        }
        self.part();
        Ok(())
    }

    pub fn reduce(
        &self,
        send: &[u8],
        recv: Option<&mut [u8]>,
        op: &Reduction,
        root: usize,
        place: Place,
    ) -> Outcome<()> {
        let signature = reduction_signature("reduce", Some(root), send.len(), op, place);
        if send.len() <= SMALL {
            let met = self.meet_small(signature, send, op)?;
            if let Some(recv) = recv {
                recv.copy_from_slice(&met.result().0[..send.len()]);
            }
            return Ok(());
        }
        let met = self.meet(signature, send, std::ptr::null_mut(), |_, _| ())?;
        self.work_and_part(|| {
            if let Some(recv) = recv {
                // SAFETY: a buffer of this rank's own.
                unsafe { met.combine(0, recv.as_mut_ptr(), recv.len(), op) };
            }
        });
        Ok(())
    }

    pub fn allreduce(&self, data: &mut [u8], op: &Reduction, place: Place) -> Outcome<()> {
        let signature = reduction_signature("allreduce", None, data.len(), op, place);
        if data.len() <= SMALL {
            let met = self.meet_small(signature, data, op)?;
            data.copy_from_slice(&met.result().0[..data.len()]);
            return Ok(());
        }
        let (at, len) = (data.as_mut_ptr(), data.len());
        // SAFETY: one buffer, as what is sent and as what is received.
        unsafe { self.allreduce_large(signature, at, at, len, op) }
    }

    pub fn allreduce_into(&self, send: &[u8], recv: &mut [u8], op: &Reduction, place: Place) -> Outcome<()> {
        let signature = reduction_signature("allreduce", None, send.len(), op, place);
        if send.len() <= SMALL {
            let met = self.meet_small(signature, send, op)?;
            recv.copy_from_slice(&met.result().0[..send.len()]);
            return Ok(());
        }
        // SAFETY: two buffers of one length.
        unsafe { self.allreduce_large(signature, send.as_ptr(), recv.as_mut_ptr(), send.len(), op) }
    }

    fn meet_small(&self, signature: Signature, send: &[u8], op: &Reduction) -> Outcome<Met<'_>> {
        let (size, len) = (self.size(), send.len());
        // A panic of a user's operator must not keep the others waiting: it is raised again once all are through.
        let mut panicked = None;
        let met = self.meet(signature, send, std::ptr::null_mut(), |cells, result| {
            let combined = catch_unwind(AssertUnwindSafe(|| {
                look(cells, 0, |card| result.0[..len].copy_from_slice(&card.small.0[..len]));
                for rank in 1..size {
                    look(cells, rank, |card| op.fold(&mut result.0[..len], &card.small.0[..len]));
                }
            }));
            panicked = combined.err();
        })?;
        match panicked {
            None => Ok(met),
            Some(payload) => resume_unwind(payload),
        }
    }

    /// Runs this rank's share of a collective, then parts from the others, also when a user's operator panics.
    fn work_and_part(&self, work: impl FnOnce()) {
        let worked = catch_unwind(AssertUnwindSafe(work));
        self.part();
        if let Err(payload) = worked {
            resume_unwind(payload);
        }
    }

    /// Every rank combines its share of all buffers into its own `recv`; then everybody collects the shares.
    ///
    /// # Safety
    /// `send` is valid for reads and `recv` for writes of `len` bytes; they are equal or do not overlap.
    unsafe fn allreduce_large(
        &self,
        signature: Signature,
        send: *const u8,
        recv: *mut u8,
        len: usize,
        op: &Reduction,
    ) -> Outcome<()> {
        let size = self.size();
        let share = |rank: usize| {
            let elements = len / op.element_size;
            (elements * rank / size * op.element_size, elements * (rank + 1) / size * op.element_size)
        };
        // SAFETY: valid for reads; nothing is written before we have met.
        let met = self.meet(signature, unsafe { std::slice::from_raw_parts(send, len) }, recv, |_, _| ())?;
        let (from, to) = share(self.rank);
        self.work_and_part(|| {
            // SAFETY: this share of `recv` is written by this rank only, and where it is what is sent, read by this
            // rank only.
            unsafe { met.combine(from, recv.add(from), to - from, op) };
        });
        for rank in (0..size).filter(|&rank| rank != self.rank) {
            let (from, to) = share(rank);
            let theirs = met.card(rank, |card| card.recv.cast_const());
            // SAFETY: the owner of a share has written it before we parted and only reads other shares now; here the
            // share of `recv` is ours to write, since its reader has finished.
            unsafe { std::ptr::copy_nonoverlapping(theirs.add(from), recv.add(from), to - from) };
        }
        self.part();
        Ok(())
    }

    pub fn gather(
        &self,
        send: &[u8],
        recv: Option<&mut [u8]>,
        kind: Kind,
        root: usize,
        place: Place,
    ) -> Outcome<()> {
        let bytes = send.len();
        let signature =
            Signature { call: "gather", root: Some(root), bytes, kind: Some(kind), op: None, place };
        self.collect(signature, send, recv)
    }

    pub fn allgather(&self, send: &[u8], recv: &mut [u8], kind: Kind, place: Place) -> Outcome<()> {
        let bytes = send.len();
        let signature = Signature { call: "allgather", root: None, bytes, kind: Some(kind), op: None, place };
        self.collect(signature, send, Some(recv))
    }

    /// Copies what all ranks send into `recv`, one after the other, where there is one.
    fn collect(&self, signature: Signature, send: &[u8], recv: Option<&mut [u8]>) -> Outcome<()> {
        let met = self.meet(signature, send, std::ptr::null_mut(), |_, _| ())?;
        let len = send.len();
        if len == 0 {
            return Ok(());
        }
        if let Some(recv) = recv {
            for (rank, part) in recv.chunks_exact_mut(len).enumerate() {
                if len <= SMALL {
                    met.card(rank, |card| part.copy_from_slice(&card.small.0[..len]));
                } else {
                    // SAFETY: all agree on the length; what is sent is only read until all part.
                    part.copy_from_slice(unsafe { met.sent(rank, 0, len) });
                }
            }
        }
        if len > SMALL {
            self.part();
        }
        Ok(())
    }

    /// # Safety
    /// As [`Engine::collective`](crate::engine::Engine::collective).
    pub unsafe fn collective(&self, part: &crate::engine::Collective<'_>, _place: Place) -> Outcome<()> {
        Err(Fault::Library { call: part.call.name(), text: "not built yet".to_string() })
    }

    /// # Safety
    /// As [`Engine::start`](crate::engine::Engine::start).
    pub unsafe fn start(
        &self,
        part: &crate::engine::Collective<'_>,
        _place: Place,
    ) -> Outcome<super::Request> {
        Err(Fault::Library { call: part.call.name(), text: "not built yet".to_string() })
    }

    pub fn split(&self, color: Option<u32>, key: i64, place: Place) -> Outcome<Option<Local>> {
        let signature = Signature { call: "split", root: None, bytes: 0, kind: None, op: None, place };
        let mut wish = [0; 16];
        wish[..8].copy_from_slice(&color.map_or(-1, i64::from).to_le_bytes());
        wish[8..].copy_from_slice(&key.to_le_bytes());
        self.meet_and_regroup(signature, &wish)
    }

    pub fn dup(&self, place: Place) -> Outcome<Local> {
        let signature = Signature { call: "dup", root: None, bytes: 0, kind: None, op: None, place };
        match self.meet_and_regroup(signature, &[0; 16])? {
            Some(copy) => Ok(copy),
            None => unreachable!("all ranks of a dup have the same colour"),
        }
    }

    /// All ranks: threads share their memory.
    pub fn split_shared(&self, place: Place) -> Outcome<Local> {
        let signature = Signature { call: "split_shared", root: None, bytes: 0, kind: None, op: None, place };
        match self.meet_and_regroup(signature, &[0; 16])? {
            Some(copy) => Ok(copy),
            None => unreachable!("all ranks have the same colour"),
        }
    }

    fn meet_and_regroup(&self, signature: Signature, wish: &[u8; 16]) -> Outcome<Option<Local>> {
        let meeting = &self.group.meeting;
        self.meet(signature, wish, std::ptr::null_mut(), |cells, _| {
            let wishes: Vec<(i64, i64, usize)> = (0..self.size())
                .map(|rank| look(cells, rank, |card| read_wish(&card.small.0, rank)))
                .collect();
            *meeting.groups.lock().unwrap_or_else(PoisonError::into_inner) = self.regroup(wishes);
        })?;
        let mine = meeting.groups.lock().unwrap_or_else(PoisonError::into_inner)[self.rank].take();
        Ok(mine.map(|(group, rank)| Local {
            world: self.world.clone(),
            context: group.context,
            group,
            rank,
            me: self.me,
            spares: self.spares.clone(),
        }))
    }

    /// The new communicator of each rank and its rank there, from colour (negative: none), key and rank.
    fn regroup(&self, mut wishes: Vec<(i64, i64, usize)>) -> Vec<Option<Seat>> {
        let mut groups = vec![None; wishes.len()];
        wishes.sort_unstable();
        for part in wishes.chunk_by(|a, b| a.0 == b.0).filter(|part| part[0].0 >= 0) {
            let members: Box<[u32]> = part.iter().map(|&(_, _, rank)| self.group.members[rank]).collect();
            let meeting = Meeting::new(members.len());
            let group = Arc::new(Group { context: self.world.new_context(), members, meeting });
            for (new, &(_, _, rank)) in part.iter().enumerate() {
                groups[rank] = Some((group.clone(), new));
            }
        }
        groups
    }
}

impl Met<'_> {
    /// Combines the bytes from `at` on of what all ranks send, in rank order, into `into`, block by block: a block is
    /// read whole before it is written.
    ///
    /// # Safety
    /// `into` is valid for writes of `total` bytes. It may be part of a buffer that is sent: then no other rank reads
    /// that part.
    unsafe fn combine(&self, at: usize, into: *mut u8, total: usize, op: &Reduction) {
        let size = self.local.size();
        let step = (BLOCK / op.element_size).max(1) * op.element_size;
        let mut space = [0u128; BLOCK / 16];
        let mut large = Vec::new();
        let block: &mut [u8] = if step <= BLOCK {
            bytemuck::cast_slice_mut(&mut space)
        } else {
            large.resize(step, 0);
            &mut large
        };
        let mut done = 0;
        while done < total {
            let len = step.min(total - done);
            let acc = &mut block[..len];
            for rank in 0..size {
                // SAFETY: all agree on the length, of which this is a part; nobody writes it now.
                let theirs = unsafe { self.sent(rank, at + done, len) };
                if rank == 0 {
                    acc.copy_from_slice(theirs);
                } else {
                    op.fold(acc, theirs);
                }
            }
            // SAFETY: the caller's promise; `block` is memory of its own.
            unsafe { std::ptr::copy_nonoverlapping(acc.as_ptr(), into.add(done), len) };
            done += len;
        }
    }
}

fn reduction_signature(
    call: &'static str,
    root: Option<usize>,
    bytes: usize,
    op: &Reduction,
    place: Place,
) -> Signature {
    Signature { call, root, bytes, kind: Some(op.kind), op: Some(op.name), place }
}

/// Whether two ranks agree; names are compared by address first, since they nearly always are the same text.
#[inline]
fn same(a: &Signature, b: &Signature) -> bool {
    let text = |a: &str, b: &str| std::ptr::eq(a, b) || a == b;
    a.bytes == b.bytes
        && a.root == b.root
        && a.kind == b.kind
        && text(a.call, b.call)
        && match (a.op, b.op) {
            (None, None) => true,
            (Some(a), Some(b)) => text(a, b),
            _ => false,
        }
}

fn read_wish(small: &[u8; SMALL], rank: usize) -> (i64, i64, usize) {
    let number = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&small[at..at + 8]);
        i64::from_le_bytes(bytes)
    };
    (number(0), number(8), rank)
}
