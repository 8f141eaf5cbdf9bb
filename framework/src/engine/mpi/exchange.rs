//! Collectives whose blocks have lengths of their own: gatherv, scatterv, alltoallv, allgatherv.
//!
//! The first three are messages on the shadow communicator, which is what MPI libraries make of them, and have no
//! ints to overflow: each pair of ranks knows its own lengths, and no rank knows all. In an allgatherv every rank knows
//! all of them, so all choose alike between MPI's call and a broadcast of each block. (Those of reductions are in
//! `reduce`.)

use super::collective::{Later, issue, malformed, read, write};
use super::count::{self, Extent, pieces};
use super::status::{SUCCESS, blank, check};
use super::work::{Pending, What, Work};
use super::{Mpi, agree};
use crate::engine::{Call, Collective, Fault, Layout, Outcome, Side, Span};
use mpi::ffi;
use std::ffi::c_int;

/// What rank `me` has for rank `peer`.
#[inline]
pub(super) fn outgoing(part: &Collective<'_>, me: usize, peer: usize) -> Span {
    match (part.call, part.send.layout) {
        (Call::Gatherv, _) if part.root != Some(peer) => Span::default(),
        (Call::Alltoallv, Layout::InPlace) => part.recv.layout.block(peer),
        (Call::Gatherv | Call::Scatterv, Layout::InPlace) if peer == me => incoming(part, me, me),
        _ => part.send.layout.block(peer),
    }
}

/// What rank `me` expects of rank `peer`.
#[inline]
pub(super) fn incoming(part: &Collective<'_>, me: usize, peer: usize) -> Span {
    match (part.call, part.recv.layout) {
        (Call::Scatterv, _) if part.root != Some(peer) => Span::default(),
        (Call::Scatterv, Layout::InPlace) => part.send.layout.block(me),
        _ => part.recv.layout.block(peer),
    }
}

impl Mpi {
    /// A blocking gatherv, scatterv or alltoallv. A rank that exchanges with one other needs no record of it.
    ///
    /// # Safety
    /// As [`Engine::collective`](crate::engine::Engine::collective).
    pub(super) unsafe fn messages_now(&self, part: &Collective<'_>) -> Outcome<()> {
        let me = self.rank;
        let peer = match part.root {
            Some(root) if root != me => root,
            _ if self.size == 2 => 1 - me,
            // SAFETY: the caller's promise is passed on.
            _ => return unsafe { self.at_once(part) },
        };
        let in_place = |layout| matches!(layout, Layout::InPlace);
        let (own, home) = (outgoing(part, me, me), incoming(part, me, me));
        if own.len != home.len || (part.call == Call::Alltoallv && in_place(part.send.layout)) {
            // SAFETY: as above.
            return unsafe { self.at_once(part) };
        }
        let (there, here) = (outgoing(part, me, peer), incoming(part, me, peer));
        let mut raw = self.constants().request_null;
        // SAFETY: all blocks are in the caller's buffers, which do not overlap and stay until this returns; whether with
        // success or error, MPI is done with them then.
        unsafe {
            let into = part.recv.data.wrapping_add(here.at);
            if here.len > 0 && there.len > 0 {
                raw = self.expect(into, here.len, peer, 0)?;
            }
            if there.len > 0
                && let Err(fault) = self.dispatch(part.send.data.add(there.at), there.len, peer, 0, None)
            {
                return Err(self.give_up_work(self.record(part, raw, peer, here.len), fault));
            }
            if own.len > 0 && !in_place(part.send.layout) && !in_place(part.recv.layout) {
                part.send.data.add(own.at).copy_to_nonoverlapping(part.recv.data.add(home.at), own.len);
            }
            if here.len == 0 {
                return Ok(());
            }
            let mut status = blank();
            let code = if there.len > 0 {
                ffi::MPI_Wait(&mut raw, &mut status)
            } else {
                let Extent { count, datatype, .. } = &Extent::of(here.len, self.byte)?;
                let peer = peer as c_int;
                ffi::MPI_Recv(into.cast(), *count, *datatype, peer, 0, self.shadow, &mut status)
            };
            if code == SUCCESS && self.length(&status) == Some(here.len) {
                return Ok(());
            }
            Err(self.message_failed(self.record(part, raw, peer, here.len), raw, code, &status))
        }
    }

    /// A receive of a blocking call as a work: what goes wrong with it is dealt with there.
    #[cold]
    fn record(&self, part: &Collective<'_>, raw: ffi::MPI_Request, source: usize, len: usize) -> Box<Work> {
        let mut work = self.shared.works.take();
        work.unit = agree::unit(part.kind);
        work.pending.push(Pending { raw, what: What::Message { source, len } });
        work
    }

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
                let raw = unsafe { self.expect(part.recv.data.add(block.at), block.len, peer, work.tag) }?;
                work.pending.push(Pending { raw, what: What::Message { source: peer, len: block.len } });
            }
        }
        // With all receives posted, sends one after the other cannot wait for each other; only where many ranks send to
        // many would they hold each other up.
        let in_turn = now && (size == 2 || part.call != Call::Alltoallv);
        for step in 0..peers {
            let peer = (first + step) % size;
            let block = outgoing(part, me, peer);
            if peer != me && block.len > 0 {
                let later = (!in_turn).then_some(&mut work.pending);
                // SAFETY: as above.
                unsafe { self.dispatch(part.send.data.add(block.at), block.len, peer, work.tag, later) }?;
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
    /// `data` is valid for writes of `len` bytes until the receive is complete or cancelled.
    unsafe fn expect(
        &self,
        data: *mut u8,
        len: usize,
        source: usize,
        tag: c_int,
    ) -> Outcome<ffi::MPI_Request> {
        let Extent { count, datatype, .. } = &Extent::of(len, self.byte)?;
        let mut raw = self.constants().request_null;
        // SAFETY: the caller keeps `data` for MPI; the extent describes it.
        check("MPI_Irecv", unsafe {
            ffi::MPI_Irecv(data.cast(), *count, *datatype, source as c_int, tag, self.shadow, &mut raw)
        })?;
        Ok(raw)
    }

    /// Sends, or with `later` starts sending.
    ///
    /// # Safety
    /// `data` is valid for reads of `len` bytes until this returns or what was started is complete.
    unsafe fn dispatch(
        &self,
        data: *const u8,
        len: usize,
        dest: usize,
        tag: c_int,
        later: Later<'_>,
    ) -> Outcome<()> {
        let Extent { count, datatype, .. } = &Extent::of(len, self.byte)?;
        let Some(pending) = later else {
            // SAFETY: the caller keeps `data` for MPI; the extent describes it.
            return check("MPI_Send", unsafe {
                ffi::MPI_Send(data.cast(), *count, *datatype, dest as c_int, tag, self.shadow)
            });
        };
        let mut raw = self.constants().request_null;
        // SAFETY: the caller keeps `data` for MPI; the extent describes it.
        check("MPI_Isend", unsafe {
            ffi::MPI_Isend(data.cast(), *count, *datatype, dest as c_int, tag, self.shadow, &mut raw)
        })?;
        pending.push(Pending { raw, what: What::Call("MPI_Isend") });
        Ok(())
    }

    /// A blocking allgatherv, mostly one call of MPI's.
    ///
    /// # Safety
    /// As [`Engine::collective`](crate::engine::Engine::collective).
    pub(super) unsafe fn allgatherv_now(&self, part: &Collective<'_>) -> Outcome<()> {
        let Layout::Spans(spans) = part.recv.layout else { return Err(malformed(part)) };
        let mut ints = self.shared.ints.borrow_mut();
        ints.resize(2 * self.size, 0);
        let (counts, displacements) = ints.split_at_mut(self.size);
        let (mut total, mut farthest) = (0, 0);
        for ((count, displacement), span) in counts.iter_mut().zip(&mut *displacements).zip(spans) {
            (*count, *displacement) = (span.len as c_int, span.at as c_int);
            total += span.len;
            farthest = span.at.max(farthest);
        }
        if self.size == 1 || total > count::limit() || farthest > count::limit() {
            // SAFETY: the caller's promise is passed on.
            return unsafe { self.at_once(part) };
        }
        let count = part.send.layout.block(self.rank).len as c_int;
        // SAFETY: the caller's promise; there is a count and a displacement for every rank.
        let code = unsafe {
            ffi::MPI_Allgatherv(
                self.source(part.send),
                count,
                self.byte,
                write(part.recv.data),
                counts.as_ptr(),
                displacements.as_ptr(),
                self.byte,
                self.comm,
            )
        };
        self.check_collective("MPI_Allgatherv", code)
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
        if total > count::limit() {
            // SAFETY: the caller's promise is passed on.
            return unsafe { self.allgatherv_by_blocks(part, work, now) };
        }
        let mut places = Vec::new();
        // How far apart the blocks lie is this rank's own affair, so it must not choose another call for that.
        let recv = match spans.iter().any(|span| span.at > count::limit()) {
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
            for range in pieces(block.len, count::block()) {
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
