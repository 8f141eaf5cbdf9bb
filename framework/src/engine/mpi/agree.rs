//! The checked mode of collectives: do all ranks make the same call?
//!
//! Every rank votes with its signature. One reduction, with an operator of ours, gives all of them the lowest rank's
//! vote and that of the lowest rank that differs from it. A blocking call votes first, and is not made unless all
//! agree. A nonblocking one cannot wait, so its votes travel beside its data, which then lies in stand-ins of the
//! author's buffers (see `detour`): if the ranks disagree these are abandoned. Where two ranks must agree about the
//! length of what passes between them, they exchange the lengths as well.
//!
//! All of this is on the communicator's shadow. The words for a disagreement are in `engine/signature.rs`.

use super::Mpi;
use super::exchange::{incoming, outgoing};
use super::status::check;
use super::work::{Pending, What, Work};
use crate::comm::element::{Kind, Scalar};
use crate::comm::op::Builtin;
use crate::engine::signature::{Signature, Words, difference, size_of_scalar};
use crate::engine::{Call, Collective, Fault, Layout, Outcome, Place};
use mpi::ffi;
use std::ffi::{c_int, c_void};
use std::hash::{Hash, Hasher};

/// The bytes of a signature on its way.
const RECORD: usize = 256;

/// A rank's signature.
#[derive(Clone, Copy)]
#[repr(C)]
struct Vote {
    /// `u64::MAX` for no vote.
    rank: u64,
    /// Equal on two ranks if, and almost only if, their signatures agree.
    print: u64,
    record: [u8; RECORD],
}

/// The lowest rank's vote, and the lowest one that differs from it.
type Ballot = [Vote; 2];

const NOBODY: Vote = Vote { rank: u64::MAX, print: 0, record: [0; RECORD] };

/// What the ranks have told each other about one call.
#[derive(Default)]
pub(super) struct Agreement {
    /// The reduction's in and out, and this rank's own.
    votes: Option<Box<(Ballot, Vote)>>,
    /// For every rank how many bytes it gets and gives, then what it says.
    lengths: Vec<[u64; 2]>,
}

/// What a vote is made of.
pub(super) fn signature(part: &Collective<'_>, size: usize, place: Place) -> Signature {
    let bytes = match (part.call, part.send.layout, part.recv.layout) {
        (Call::Gatherv | Call::Scatterv | Call::Alltoallv, ..) => 0,
        (Call::Allgatherv, _, all) | (Call::ReduceScatter, Layout::InPlace, all) => all.reach(size),
        (Call::ReduceScatter, all, _) => all.reach(size),
        (_, Layout::One(bytes) | Layout::Each(bytes), _) => bytes,
        (_, _, Layout::One(bytes) | Layout::Each(bytes)) => bytes,
        _ => 0,
    };
    let op = part.op.map(|op| op.name);
    Signature { call: part.call.name(), root: part.root, bytes, kind: part.kind, op, place }
}

impl Mpi {
    /// In the checked mode, an error on every rank unless all ranks of the communicator bring the same signature.
    #[inline]
    pub(super) fn agree(
        &self,
        call: &'static str,
        root: Option<usize>,
        what: Option<(usize, Kind)>,
        op: Option<&'static str>,
        place: Place,
    ) -> Outcome<()> {
        if !self.checks() {
            return Ok(());
        }
        let (bytes, kind) = (what.map_or(0, |what| what.0), what.map(|what| what.1));
        let mut work = self.shared.works.take();
        self.vote(&mut work, &Signature { call, root, bytes, kind, op, place }, 0)?;
        self.complete(work)
    }

    /// Whether there is anybody to agree with, and anything to be checked.
    #[inline]
    pub(super) fn checks(&self) -> bool {
        self.checked && self.size > 1
    }

    /// The same of a whole part, before a blocking call.
    #[cold]
    #[inline(never)]
    pub(super) fn agree_on(&self, part: &Collective<'_>, place: Place) -> Outcome<()> {
        let mut work = self.shared.works.take();
        self.vote(&mut work, &signature(part, self.size, place), blocks(part, self.size))?;
        self.complete(work)?;
        if !pairwise(part.call) {
            return Ok(());
        }
        let mut work = self.shared.works.take();
        work.unit = unit(part.kind);
        self.exchange_lengths(&mut work, part)?;
        let mine = self.complete(work);
        // All must know: the call is made by all or by none.
        let mut first = if mine.is_err() { self.rank as i64 } else { i64::MAX };
        let constants = self.constants();
        // SAFETY: one word on every rank.
        check("MPI_Allreduce", unsafe {
            let (word, min) = ((&raw mut first).cast(), constants.op(Builtin::Min));
            ffi::MPI_Allreduce(constants.in_place, word, 1, constants.datatype(Scalar::I64), min, self.shadow)
        })?;
        match mine {
            Ok(()) if first != i64::MAX => {
                Err(Fault::Mismatch(format!("rank {first} and another rank give different lengths")))
            }
            mine => mine,
        }
    }

    /// Starts the agreement on a nonblocking call.
    #[cold]
    #[inline(never)]
    pub(super) fn begin_to_agree(&self, work: &mut Work, part: &Collective<'_>, place: Place) -> Outcome<()> {
        self.vote(work, &signature(part, self.size, place), blocks(part, self.size))?;
        if pairwise(part.call) { self.exchange_lengths(work, part) } else { Ok(()) }
    }

    fn vote(&self, work: &mut Work, signature: &Signature, blocks: u64) -> Outcome<()> {
        let operators = &self.shared.operators;
        let (op, datatype) =
            (operators.of(count, true)?, operators.datatype(size_of::<Ballot>(), self.byte)?);
        let print = fingerprint(signature, blocks);
        let mine = Vote { rank: self.rank as u64, print, record: encode(&Words::from(*signature)) };
        let votes = work.agreement.votes.insert(Box::new(([mine, NOBODY], mine)));
        let ballot: *mut Ballot = &raw mut votes.0;
        let (in_place, mut raw) = (self.constants().in_place, self.constants().request_null);
        // SAFETY: a ballot on every rank, which lives in the work until the request is complete.
        check("MPI_Iallreduce", unsafe {
            ffi::MPI_Iallreduce(in_place, ballot.cast(), 1, datatype, op, self.shadow, &mut raw)
        })?;
        work.pending.push(Pending { raw, what: What::Signatures });
        Ok(())
    }

    fn exchange_lengths(&self, work: &mut Work, part: &Collective<'_>) -> Outcome<()> {
        let told = &mut work.agreement.lengths;
        told.clear();
        told.extend((0..self.size).map(|peer| {
            [outgoing(part, self.rank, peer).len as u64, incoming(part, self.rank, peer).len as u64]
        }));
        told.resize(2 * self.size, [0; 2]);
        let (from, to) = told.split_at_mut(self.size);
        let count = size_of::<[u64; 2]>() as c_int;
        let mut raw = self.constants().request_null;
        // SAFETY: two words for every rank on both sides, which live in the work until the request is complete.
        check("MPI_Ialltoall", unsafe {
            let (from, to): (*const c_void, *mut c_void) = (from.as_ptr().cast(), to.as_mut_ptr().cast());
            ffi::MPI_Ialltoall(from, count, self.byte, to, count, self.byte, self.shadow, &mut raw)
        })?;
        work.pending.push(Pending { raw, what: What::Lengths });
        Ok(())
    }
}

impl Agreement {
    pub fn clear(&mut self) {
        self.votes = None;
        self.lengths.clear();
    }

    /// What this rank is to be told about the ranks' signatures.
    pub fn signatures(&self, rank: usize) -> Outcome<()> {
        let Some(votes) = &self.votes else { return Ok(()) };
        let ([first, other], mine) = &**votes;
        if other.rank == u64::MAX {
            return Ok(());
        }
        let other = if mine.print == first.print { other } else { first };
        debug_assert_ne!(other.rank, rank as u64);
        let (here, there) = (decode(&mine.record), decode(&other.record));
        let text = difference(&here, &there, other.rank as usize).unwrap_or_else(|| {
            format!("rank {} ({}) gives other blocks, or another operator", other.rank, there.place)
        });
        Err(Fault::Mismatch(text))
    }

    /// Whether each rank sends what is expected of it.
    pub fn lengths(&self, size: usize, unit: usize) -> Outcome<()> {
        let (here, there) = self.lengths.split_at(size);
        for (rank, ([out, inward], [theirs_out, theirs_in])) in here.iter().zip(there).enumerate() {
            let amount = |bytes: &u64| amount(*bytes as usize, unit);
            if inward != theirs_out {
                let (sent, expected) = (amount(theirs_out), amount(inward));
                return Err(Fault::Mismatch(format!("rank {rank} sends {sent}, {expected} expected here")));
            }
            if out != theirs_in {
                let (sent, expected) = (amount(out), amount(theirs_in));
                return Err(Fault::Mismatch(format!("{sent} for rank {rank}, which expects {expected}")));
            }
        }
        Ok(())
    }
}

/// The calls in which every two ranks have a length of their own.
fn pairwise(call: Call) -> bool {
    matches!(call, Call::Gatherv | Call::Scatterv | Call::Alltoallv)
}

/// A length in words.
pub(super) fn amount(bytes: usize, unit: usize) -> String {
    match bytes.checked_div(unit) {
        Some(1) => "1 element".to_string(),
        Some(elements) => format!("{elements} elements"),
        None => format!("{bytes} bytes"),
    }
}

/// Bytes of an element, where its kind tells.
pub(super) fn unit(kind: Option<Kind>) -> usize {
    kind.map_or(0, |kind| size_of_scalar(kind.scalar()))
}

/// The lengths of blocks that all ranks must know alike, as a number; their places are each rank's own affair.
fn blocks(part: &Collective<'_>, size: usize) -> u64 {
    let layout = match (part.call, part.send.layout) {
        (Call::Allgatherv, _) | (Call::ReduceScatter, Layout::InPlace) => part.recv.layout,
        (Call::ReduceScatter, layout) => layout,
        _ => return 0,
    };
    let mut hasher = std::hash::DefaultHasher::new();
    (0..size).for_each(|rank| layout.block(rank).len.hash(&mut hasher));
    hasher.finish()
}

fn fingerprint(signature: &Signature, blocks: u64) -> u64 {
    let Signature { call, root, bytes, kind, op, place: _ } = signature;
    // Rust promises this hasher to be the same in all processes of one program.
    let mut hasher = std::hash::DefaultHasher::new();
    (call, root, bytes, kind.map(Kind::mark), op, blocks).hash(&mut hasher);
    hasher.finish()
}

/// Two ballots in one; neither the order nor the grouping matters.
fn merge(a: &Ballot, b: &Ballot) -> Ballot {
    let (low, high) = if a[0].rank <= b[0].rank { (a, b) } else { (b, a) };
    let differs = high.iter().find(|vote| vote.rank != u64::MAX && vote.print != low[0].print);
    let other = match differs {
        Some(vote) if vote.rank < low[1].rank => *vote,
        _ => low[1],
    };
    [low[0], other]
}

/// [`merge`] as MPI calls it.
///
/// # Safety
/// MPI calls it with two buffers of `*len` ballots each that do not overlap.
unsafe extern "C" fn count(x: *mut c_void, acc: *mut c_void, len: *mut c_int, _: *mut ffi::MPI_Datatype) {
    let (x, acc) = (x.cast::<Ballot>(), acc.cast::<Ballot>());
    // SAFETY: MPI's promise; any bytes are a ballot, and MPI's buffers need not be aligned.
    unsafe {
        for i in 0..usize::try_from(*len).unwrap_or(0) {
            let merged = merge(&x.add(i).read_unaligned(), &acc.add(i).read_unaligned());
            acc.add(i).write_unaligned(merged);
        }
    }
}

/// Where each text lies in a record: after root, length and the kind's mark (8 bytes each), number size, and two flags
/// (kind, operator given).
const FIELDS: [(usize, usize); 4] = [(28, 24), (52, 32), (84, 80), (164, 92)];

fn encode(words: &Words) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    let root = words.root.map_or(u64::MAX, |root| root as u64);
    record[..8].copy_from_slice(&root.to_le_bytes());
    record[8..16].copy_from_slice(&(words.bytes as u64).to_le_bytes());
    if let Some((mark, _, size)) = &words.kind {
        record[16..24].copy_from_slice(&mark.to_le_bytes());
        record[24..26].copy_from_slice(&[*size as u8, 1]);
    }
    record[26] = u8::from(words.op.is_some());
    let kind = words.kind.as_ref().map_or("", |kind| &kind.1);
    let texts = [&words.call, kind, words.op.as_deref().unwrap_or(""), &words.place];
    for (text, (start, len)) in texts.into_iter().zip(FIELDS) {
        let tail = tail(text, len);
        record[start..start + tail.len()].copy_from_slice(tail.as_bytes());
    }
    record
}

/// The end of a text, at most `len` bytes of it: what tells paths and types apart.
fn tail(text: &str, len: usize) -> &str {
    (0..text.len()).find_map(|start| text.get(start..).filter(|tail| tail.len() <= len)).unwrap_or("")
}

fn decode(record: &[u8]) -> Words {
    let number = |start: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&record[start..start + 8]);
        u64::from_le_bytes(bytes)
    };
    let text = |field: usize| {
        let (start, len) = FIELDS[field];
        let bytes = &record[start..start + len];
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(len);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    Words {
        call: text(0),
        root: Some(number(0)).filter(|&root| root != u64::MAX).map(|root| root as usize),
        bytes: number(8) as usize,
        kind: (record[25] == 1).then(|| (number(16), text(1), usize::from(record[24]))),
        op: (record[26] == 1).then(|| text(2)),
        place: text(3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comm::element::Element;
    use std::panic::Location;

    #[test]
    fn a_record_comes_back() {
        let place = Location::caller();
        let call = "allreduce";
        let full =
            Signature { call, root: Some(3), bytes: 24, kind: Some(f64::KIND), op: Some("Sum"), place };
        let bare = Signature { call: "barrier", root: None, bytes: 0, kind: None, op: None, place };
        for signature in [full, bare] {
            let words = Words::from(signature);
            assert_eq!(format!("{:?}", decode(&encode(&words))), format!("{words:?}"));
        }
        assert_ne!(fingerprint(&full, 0), fingerprint(&bare, 0));
        assert_ne!(fingerprint(&full, 0), fingerprint(&full, 1));
    }

    #[test]
    fn the_tail_of_a_long_text_is_kept() {
        assert_eq!(tail("kernels/src/cg.rs:88", 8), "cg.rs:88");
        assert_eq!(tail("short", 8), "short");
        assert_eq!(tail("äöü", 3), "ü");
        assert_eq!(tail("", 3), "");
    }

    #[test]
    fn the_lowest_rank_and_the_lowest_that_differs_win() {
        let vote = |rank: u64, print| [Vote { rank, print, record: [0; RECORD] }, NOBODY];
        let count = |prints: [u64; 4], order: [usize; 4]| {
            let ballots = order.map(|i| vote(i as u64, prints[i]));
            let [one, two, three, four] = &ballots;
            let left = merge(&merge(&merge(one, two), three), four);
            let halves = merge(&merge(one, two), &merge(three, four));
            let ends = |ballot: Ballot| ballot.map(|vote| vote.rank);
            assert_eq!(ends(left), ends(halves));
            ends(left)
        };
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
            assert_eq!(count([5, 5, 5, 5], order), [0, u64::MAX]);
            assert_eq!(count([5, 5, 6, 7], order), [0, 2]);
            assert_eq!(count([4, 5, 5, 5], order), [0, 1]);
            assert_eq!(count([5, 5, 5, 4], order), [0, 3]);
            assert_eq!(count([5, 6, 5, 6], order), [0, 1]);
        }
    }

    #[test]
    fn lengths_are_told_in_elements() {
        let told = |lengths: [[u64; 2]; 4]| {
            let agreement = Agreement { votes: None, lengths: lengths.to_vec() };
            match agreement.lengths(2, 8) {
                Err(Fault::Mismatch(text)) => text,
                other => format!("{other:?}"),
            }
        };
        assert_eq!(told([[0, 0], [8, 16], [0, 0], [16, 8]]), "Ok(())");
        assert_eq!(
            told([[0, 0], [8, 16], [0, 0], [8, 8]]),
            "rank 1 sends 1 element, 2 elements expected here"
        );
        assert_eq!(
            told([[0, 0], [8, 16], [0, 0], [16, 0]]),
            "1 element for rank 1, which expects 0 elements"
        );
    }
}
