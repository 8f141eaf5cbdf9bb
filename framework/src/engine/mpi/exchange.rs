//! Collectives whose blocks have lengths of their own: gatherv, scatterv, alltoallv, allgatherv.
//!
//! The first three are messages on the shadow communicator, which is what MPI libraries make of them, and have no
//! ints to overflow: each pair of ranks knows its own lengths, and no rank knows all. In an allgatherv every rank knows
//! all of them, so all choose alike between MPI's call and a broadcast of each block. (Those of reductions are in
//! `reduce`.)

use super::Mpi;
use super::collective::{issue, malformed, read, write};
use super::count::{BLOCK, Extent, LIMIT, pieces};
use super::status::check;
use super::work::{Pending, What, Work};
use crate::engine::{Call, Collective, Fault, Layout, Outcome, Side, Span};
use mpi::ffi;
use std::ffi::c_int;

/// What rank `me` has for rank `peer`.
pub(super) fn outgoing(part: &Collective<'_>, me: usize, peer: usize) -> Span {
    match (part.call, part.send.layout) {
        (Call::Gatherv, _) if part.root != Some(peer) => Span::default(),
        (Call::Alltoallv, Layout::InPlace) => part.recv.layout.block(peer),
        (Call::Gatherv | Call::Scatterv, Layout::InPlace) if peer == me => incoming(part, me, me),
        _ => part.send.layout.block(peer),
    }
}

/// What rank `me` expects of rank `peer`.
pub(super) fn incoming(part: &Collective<'_>, me: usize, peer: usize) -> Span {
    match (part.call, part.recv.layout) {
        (Call::Scatterv, _) if part.root != Some(peer) => Span::default(),
        (Call::Scatterv, Layout::InPlace) => part.send.layout.block(me),
        _ => part.recv.layout.block(peer),
    }
}

impl Mpi {
    /// Starts the messages of a gatherv, scatterv or alltoallv. A blocking call (`now`) sends without requests where
    /// no circle of ranks can wait for each other.
    ///
    /// # Safety
    /// As [`Engine::start`](crate::engine::Engine::start), until the work is concluded or ended.
    pub(super) unsafe fn messages(&self, part: &Collective<'_>, work: &mut Work, now: bool) -> Outcome<()> {
        let (me, size) = (self.rank, self.size);
        let in_place =
            matches!(part.send.layout, Layout::InPlace) || matches!(part.recv.layout, Layout::InPlace);
        let mut places = Vec::new();
        let packed;
        let part = match (part.call, part.send.layout) {
            (Call::Alltoallv, Layout::InPlace) => {
                let side = Side { data: part.recv.data.cast_const(), layout: part.recv.layout };
                // SAFETY: the caller's promise.
                packed = Collective { send: unsafe { work.copy_of(side, size, &mut places) }, ..*part };
                &packed
            }
            _ => part,
        };
        // Only the root of a gatherv or scatterv talks to all.
        let (first, peers) = match part.root {
            Some(root) if root != me => (root, 1),
            _ => (me, size),
        };
        for step in 0..peers {
            let peer = (first + size - step) % size;
            let block = incoming(part, me, peer);
            if peer != me && block.len > 0 {
                // SAFETY: the block is in the caller's buffer.
                unsafe { self.expect(part.recv.data.add(block.at), block.len, peer, work) }?;
            }
        }
        // With all receives posted, sends one after the other cannot wait for each other; only where many ranks send to
        // many would they hold each other up.
        let in_turn = now && (size == 2 || part.call != Call::Alltoallv);
        for step in 0..peers {
            let peer = (first + step) % size;
            let block = outgoing(part, me, peer);
            if peer != me && block.len > 0 {
                // SAFETY: as above.
                unsafe { self.dispatch(part.send.data.add(block.at), block.len, peer, work, in_turn) }?;
            }
        }
        let (out, home) = (outgoing(part, me, me), incoming(part, me, me));
        if out.len != home.len {
            let text = format!("{} bytes for this rank itself, which expects {}", out.len, home.len);
            return Err(Fault::Mismatch(text));
        }
        if !in_place && out.len > 0 {
            // SAFETY: both blocks are in the caller's buffers, which do not overlap.
            unsafe {
                part.send.data.add(out.at).copy_to_nonoverlapping(part.recv.data.add(home.at), out.len)
            };
        }
        Ok(())
    }

    /// # Safety
    /// `data` is valid for writes of `len` bytes until the work is concluded or ended.
    unsafe fn expect(&self, data: *mut u8, len: usize, source: usize, work: &mut Work) -> Outcome<()> {
        let Extent { count, datatype, .. } = &Extent::of(len, self.byte)?;
        let mut raw = self.constants().request_null;
        // SAFETY: the caller keeps `data` for MPI; the extent describes it.
        check("MPI_Irecv", unsafe {
            ffi::MPI_Irecv(data.cast(), *count, *datatype, source as c_int, work.tag, self.shadow, &mut raw)
        })?;
        work.pending.push(Pending { raw, what: What::Message { source, len } });
        Ok(())
    }

    /// # Safety
    /// `data` is valid for reads of `len` bytes until the work is concluded or ended.
    unsafe fn dispatch(
        &self,
        data: *const u8,
        len: usize,
        dest: usize,
        work: &mut Work,
        now: bool,
    ) -> Outcome<()> {
        let Extent { count, datatype, .. } = &Extent::of(len, self.byte)?;
        if now {
            // SAFETY: the caller keeps `data` for MPI; the extent describes it.
            return check("MPI_Send", unsafe {
                ffi::MPI_Send(data.cast(), *count, *datatype, dest as c_int, work.tag, self.shadow)
            });
        }
        let mut raw = self.constants().request_null;
        // SAFETY: the caller keeps `data` for MPI; the extent describes it.
        check("MPI_Isend", unsafe {
            ffi::MPI_Isend(data.cast(), *count, *datatype, dest as c_int, work.tag, self.shadow, &mut raw)
        })?;
        work.pending.push(Pending { raw, what: What::Call("MPI_Isend") });
        Ok(())
    }

    /// Makes or starts an allgatherv.
    ///
    /// # Safety
    /// As [`Engine::start`](crate::engine::Engine::start), until the work is concluded or ended.
    pub(super) unsafe fn allgatherv(&self, part: &Collective<'_>, work: &mut Work, now: bool) -> Outcome<()> {
        let size = self.size;
        let Layout::Spans(spans) = part.recv.layout else { return Err(malformed(part)) };
        if size == 1 {
            // MPICH 4.0.2 forgets the displacement where there is one rank.
            return match part.send.layout {
                // SAFETY: the block is in both of the caller's buffers, which do not overlap.
                Layout::One(len) if len == spans[0].len => unsafe {
                    read(part.send.data)
                        .cast::<u8>()
                        .copy_to_nonoverlapping(write(part.recv.data).cast::<u8>().add(spans[0].at), len);
                    Ok(())
                },
                Layout::One(len) => Err(Fault::Mismatch(format!(
                    "{len} bytes for this rank itself, which expects {}",
                    spans[0].len
                ))),
                _ => Ok(()),
            };
        }
        let total: usize = spans.iter().map(|span| span.len).sum();
        if total > LIMIT {
            // SAFETY: the caller's promise is passed on.
            return unsafe { self.allgatherv_by_blocks(part, work, now) };
        }
        let mut places = Vec::new();
        // How far apart the blocks lie is this rank's own affair, so it must not choose another call for that.
        let recv = match spans.iter().any(|span| span.at > LIMIT) {
            // SAFETY: the caller's promise is passed on.
            true => unsafe { work.landing(part.recv, size, &mut places) },
            false => part.recv,
        };
        let Layout::Spans(spans) = recv.layout else { return Err(malformed(part)) };
        work.counts.extend(spans.iter().map(|span| span.len as c_int));
        work.counts.extend(spans.iter().map(|span| span.at as c_int));
        let (counts, displacements) = work.counts.split_at(size);
        let (counts, displacements) = (counts.as_ptr(), displacements.as_ptr());
        let (from, to) = (self.source(part.send), write(recv.data));
        let count = part.send.layout.block(self.rank).len as c_int;
        let later = (!now).then_some(&mut work.pending);
        // SAFETY: the caller's promise; the counts live in the work.
        unsafe {
            issue!(
                self,
                later,
                MPI_Allgatherv / MPI_Iallgatherv,
                from,
                count,
                self.byte,
                to,
                counts,
                displacements,
                self.byte,
                self.comm
            )
        }
    }

    /// # Safety
    /// As [`Mpi::allgatherv`].
    #[cold]
    unsafe fn allgatherv_by_blocks(&self, part: &Collective<'_>, work: &mut Work, now: bool) -> Outcome<()> {
        let mine = part.recv.layout.block(self.rank);
        if let Layout::One(len) = part.send.layout {
            // SAFETY: the block is in both of the caller's buffers, which do not overlap.
            unsafe {
                read(part.send.data)
                    .cast::<u8>()
                    .copy_to_nonoverlapping(part.recv.data.add(mine.at), len.min(mine.len))
            };
        }
        for root in 0..self.size {
            let block = part.recv.layout.block(root);
            for range in pieces(block.len, BLOCK) {
                let later = (!now).then_some(&mut work.pending);
                // SAFETY: the piece is in the caller's buffer.
                unsafe {
                    let data = write(part.recv.data.add(block.at + range.start));
                    issue!(
                        self,
                        later,
                        MPI_Bcast / MPI_Ibcast,
                        data,
                        range.len() as c_int,
                        self.byte,
                        root as c_int,
                        self.comm
                    )
                }?;
            }
        }
        Ok(())
    }
}
