//! Small nonblocking collectives of a few ranks that have a core each: what a rank contributes is in its notice.
//!
//! Whoever sees the notices of all makes its own answer, as in small blocking calls. What is in a notice is a copy, so there
//! is nothing to take back: who gives up looks no more, and the others come to their answers all the same.

use super::check::{self, Claim, Words};
use super::notices::Notices;
use super::part::Part;
use super::small::{self, SMALL, Small};
use crate::engine::local::Local;
use crate::engine::local::request::SENT;
use crate::engine::{Collective, Envelope, Fault, Outcome, Reduction};

/// Notices that a rank has room for before others have ended the first.
const PLACES: usize = 16;

pub(super) type Board = Notices<Note, PLACES>;

/// What a rank shows of an operation it has started.
#[repr(C)]
pub(super) struct Note {
    words: Words,
    /// What it contributes, if that is little.
    small: Small,
    claim: Option<Claim>,
    /// It is small: there is no record of it.
    is_small: bool,
    /// For the rank's own use when it makes its answer.
    part: Part,
    op: Option<Reduction>,
}

// SAFETY: the addresses in the part are followed only by the rank itself, whose buffers they are.
unsafe impl Send for Note {}
// SAFETY: as above.
unsafe impl Sync for Note {}

impl Note {
    pub fn empty() -> Note {
        let (words, small, part) = (Words::NONE, Small::EMPTY, Part::nothing());
        Note { words, small, claim: None, is_small: false, part, op: None }
    }
}

/// A rank's share in a small operation; what it needs for its answer is in its own notice.
pub(crate) struct Noted {
    number: u64,
    /// The ranks below this one have been seen to have started it.
    seen: u32,
    /// This rank is through with it.
    left: bool,
}

impl Noted {
    pub(super) fn new(number: u64) -> Noted {
        Noted { number, seen: 0, left: false }
    }
}

/// All have noted an operation, and this rank looks at their notices.
struct Seen<'b> {
    board: &'b Board,
    rank: usize,
    number: u64,
}

impl<'b> Seen<'b> {
    fn note(&self, rank: usize) -> &'b Note {
        // SAFETY: seen to be shown; ended only by our drop.
        unsafe { self.board.value(rank, self.number, |note| &*note) }
    }

    fn claim(&self, rank: usize) -> Claim {
        match self.note(rank).claim {
            Some(claim) => claim,
            None => unreachable!("noted with a claim"),
        }
    }

    /// Whether all mean the same.
    fn agree(&self, size: usize) -> bool {
        let words = self.note(self.rank).words;
        // They may show different words for it: see `direct`.
        (0..size).all(|rank| self.note(rank).words == words)
            || (1..size).all(|rank| check::same(&self.claim(rank), &self.claim(0)))
    }
}

impl Drop for Seen<'_> {
    fn drop(&mut self) {
        // SAFETY: this thread's rank; made once an operation.
        unsafe { self.board.end(self.rank, self.number) };
    }
}

impl Local {
    /// Shows the others what this rank starts.
    ///
    /// # Safety
    /// As [`Local::start`].
    pub(super) unsafe fn note(
        &self,
        board: &Board,
        number: u64,
        part: &Part,
        call: &Collective<'_>,
        claim: Claim,
        is_small: bool,
    ) {
        let words = Words::of(part, call, 0);
        let (given, len) =
            if is_small { part.contribution(self.rank, self.size()) } else { (std::ptr::null(), 0) };
        // SAFETY: `given` is the send side, or where that is in place the receive side; numbers come in order.
        unsafe {
            board.show(self.rank, number, |note| {
                note.words = words;
                small::copy(given, note.small.0.as_mut_ptr(), len);
                note.claim = Some(claim);
                note.is_small = is_small;
                note.part = *part;
                note.op = call.op.copied();
            });
        }
        self.wake_members();
    }

    fn board(&self) -> &Board {
        match &self.group.meeting.notices {
            Some(board) => board,
            None => unreachable!("noted there"),
        }
    }

    pub(super) fn all_have_noted(&self, noted: &Noted) -> bool {
        (noted.seen as usize..self.size()).all(|rank| self.board().shown(rank, noted.number))
    }

    /// Makes the answer if all have started.
    pub(super) fn peek_noted(&self, noted: &mut Noted) -> Option<Outcome<Envelope>> {
        let (board, size, number) = (self.board(), self.size(), noted.number);
        while (noted.seen as usize) < size {
            if !board.shown(noted.seen as usize, number) {
                return None;
            }
            noted.seen += 1;
        }
        noted.left = true;
        // Ends it also where an operator panics.
        let seen = Seen { board, rank: self.rank, number };
        if !seen.agree(size) {
            let told = check::told(self.rank, size, &|rank| seen.claim(rank), None);
            return Some(Err(Fault::Mismatch(told)));
        }
        let given = |rank: usize| -> &[u8; SMALL] { &seen.note(rank).small.0 };
        let own = seen.note(self.rank);
        // SAFETY: who started it has promised to keep its buffers until it is over; the ranks agree.
        unsafe { small::answer(&own.part, self.rank, size, own.op.as_ref(), given) };
        Some(Ok(SENT))
    }

    pub(super) fn wait_noted(&self, noted: &mut Noted) -> Outcome<Envelope> {
        loop {
            if let Some(outcome) = self.peek_noted(noted) {
                return outcome;
            }
            self.world.wait(self.me, || self.all_have_noted(noted))?;
        }
    }

    /// Looks no more.
    pub(super) fn give_up_noted(&self, noted: &mut Noted) {
        if !std::mem::replace(&mut noted.left, true) {
            // SAFETY: not ended yet.
            unsafe { self.board().give_up(self.rank, noted.number) };
        }
    }

    /// What this rank is told of an operation at whose record it waits, if others have noted a small one: they will
    /// not come there.
    pub(super) fn told_by_notices(&self, number: u64) -> Option<String> {
        let (board, size) = (self.group.meeting.notices.as_ref()?, self.size());
        if !(0..size).all(|rank| board.shown(rank, number)) {
            return None;
        }
        // SAFETY: seen to be shown, and not ended.
        let note = |rank: usize| unsafe { board.value(rank, number, |note: *const Note| &*note) };
        let claim = |rank: usize| match note(rank).claim {
            Some(claim) => claim,
            None => unreachable!("noted with a claim"),
        };
        (0..size).any(|rank| note(rank).is_small).then(|| check::told(self.rank, size, &claim, None))
    }

    /// This rank has come to the end of an operation that has a record.
    pub(super) fn end_notice(&self, number: u64) {
        if let Some(board) = &self.group.meeting.notices {
            // SAFETY: not ended yet.
            unsafe { board.give_up(self.rank, number) };
        }
    }
}
