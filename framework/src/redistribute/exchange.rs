//! The messages of a redistribution: a few pieces under way at a time, in buffers that are used again.
//!
//! What the pieces are is in `pieces`; what is done with them the caller says through [`Ends`].

use super::pieces::Pieces;
use crate::comm::{Comm, Element, OwnedRecv, OwnedSend};
use crate::error::Result;
use crate::grid::Block;
use std::collections::VecDeque;
use std::rc::Rc;

/// Messages under way in each direction.
const WINDOW: usize = 4;

/// So many more messages are sent before one is waited for. Less than the window, so that whoever waits for a send to be
/// received waits for a rank that is behind in the order of all messages.
const LEAD: usize = 2;

const TAG: i32 = 1;

/// The two arrays of a redistribution, and what is done with their cells on the way, for
/// [`Redistribution::run_between`](super::Redistribution::run_between). Blocks are boxes of global indices, in the axes of the
/// source.
pub trait Ends<T, const D: usize> {
    /// Puts the cells of a block into a message to rank `peer`, in an order that `unpack` knows.
    fn pack(&mut self, peer: usize, block: &Block<D>, message: &mut [T]);
    /// Takes the cells of a block out of a message from rank `peer`.
    fn unpack(&mut self, peer: usize, block: &Block<D>, message: &[T]);
    /// Moves the cells of a block that stay on this rank.
    fn keep(&mut self, block: &Block<D>);
}

/// One rank's part in an exchange that is made again and again.
pub(crate) struct Exchange<T: Element, const D: usize> {
    comm: Rc<Comm>,
    pieces: Pieces<D>,
    sends: VecDeque<OwnedSend<T>>,
    recvs: VecDeque<OwnedRecv<T>>,
    spare: Vec<Vec<T>>,
}

impl<T: Element, const D: usize> Exchange<T, D> {
    pub fn new(comm: Rc<Comm>, pieces: Pieces<D>) -> Exchange<T, D> {
        let (sends, recvs) = (pieces.sends.len().min(WINDOW), pieces.recvs.len().min(WINDOW));
        let spare = (0..sends + recvs).map(|_| Vec::with_capacity(pieces.largest)).collect();
        let queues = (VecDeque::with_capacity(WINDOW), VecDeque::with_capacity(WINDOW));
        Exchange { comm, pieces, sends: queues.0, recvs: queues.1, spare }
    }

    pub fn comm(&self) -> &Comm {
        &self.comm
    }

    /// Cells that this rank sends to others.
    pub fn sent(&self) -> usize {
        self.pieces.sends.iter().map(|piece| piece.block.len()).sum()
    }

    /// Sends, receives and copies everything. Every rank calls it.
    #[track_caller]
    pub fn run(&mut self, ends: &mut impl Ends<T, D>) -> Result<()> {
        // Of a run that failed.
        self.sends.clear();
        self.recvs.clear();
        for posted in 0..self.pieces.recvs.len().min(WINDOW) {
            self.post(posted)?;
        }
        let (mut kept, mut received) = (0, 0);
        for number in 0..self.pieces.sends.len() {
            while kept < self.pieces.own.len() && self.pieces.own[kept].0 <= number {
                ends.keep(&self.pieces.own[kept].1);
                kept += 1;
            }
            if self.sends.len() == WINDOW {
                self.sent_first()?;
            }
            let piece = &self.pieces.sends[number];
            let mut message = self.spare.pop().unwrap_or_default();
            message.resize(piece.block.len(), T::zeroed());
            self.comm.clock().constructing(|| ends.pack(piece.peer, &piece.block, &mut message));
            self.sends.push_back(self.comm.isend_owned(message, piece.peer, TAG)?);
            if let Some(before) = number.checked_sub(LEAD) {
                let label = self.pieces.sends[before].label;
                while received < self.pieces.recvs.len() && self.pieces.recvs[received].label < label {
                    self.receive(&mut received, ends)?;
                }
            }
        }
        for (_, block) in &self.pieces.own[kept..] {
            ends.keep(block);
        }
        while received < self.pieces.recvs.len() {
            self.receive(&mut received, ends)?;
        }
        while !self.sends.is_empty() {
            self.sent_first()?;
        }
        Ok(())
    }

    #[track_caller]
    fn post(&mut self, number: usize) -> Result<()> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.reserve(self.pieces.largest);
        self.recvs.push_back(self.comm.irecv_owned(buffer, self.pieces.recvs[number].peer, TAG)?);
        Ok(())
    }

    #[track_caller]
    fn receive(&mut self, received: &mut usize, ends: &mut impl Ends<T, D>) -> Result<()> {
        let Some(request) = self.recvs.pop_front() else { return Ok(()) };
        let (mut message, _) = request.wait()?;
        if size_of::<T>() == 0 {
            // No bytes, so how many came cannot be told.
            message.resize(self.pieces.recvs[*received].block.len(), T::zeroed());
        }
        let piece = &self.pieces.recvs[*received];
        self.comm.clock().constructing(|| ends.unpack(piece.peer, &piece.block, &message));
        self.spare.push(message);
        *received += 1;
        match *received + WINDOW - 1 {
            next if next < self.pieces.recvs.len() => self.post(next),
            _ => Ok(()),
        }
    }

    #[track_caller]
    fn sent_first(&mut self) -> Result<()> {
        if let Some(request) = self.sends.pop_front() {
            self.spare.push(request.wait()?);
        }
        Ok(())
    }
}
