//! Whether the ranks agree about a collective, and what each is told if they do not.

use super::part::{Blocks, Part};
use crate::comm::element::Kind;
use crate::engine::signature::{Signature, disagreement, size_of_scalar};
use crate::engine::{Call, Collective};

/// What a rank says of its call: compared, and quoted in errors.
#[derive(Clone, Copy)]
pub(super) struct Claim {
    pub signature: Signature,
    /// How many nonblocking collectives the rank had started on this communicator.
    pub started: u64,
}

/// What ranks that agree show alike; where they differ, the claims are compared.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Words {
    pub call: Call,
    pub in_place: bool,
    /// The kind's code, or 0.
    pub kind: u8,
    /// A communicator of so many ranks is not used this way.
    pub root: u8,
    /// The kind's print and how many nonblocking collectives have been started, in one number as far as it fits.
    pub mix: u32,
    pub bytes: usize,
    /// Where the operator's name is, or where the caller has made up its own words.
    pub name: usize,
}

impl Words {
    pub const NONE: Words =
        Words { call: Call::Barrier, in_place: false, kind: 0, root: 0, mix: 0, bytes: 0, name: 0 };

    #[inline(always)]
    pub fn of(part: &Part, call: &Collective<'_>, started: u64) -> Words {
        Words {
            call: part.call,
            // What matters to the others: both of a pair must swap.
            in_place: matches!(part.call, Call::Alltoall | Call::Alltoallv) && part.sent.in_place(),
            kind: call.kind.map_or(0, |kind| kind.code()),
            root: part.root as u8,
            mix: call.kind.map_or(0, Kind::print).wrapping_add(started as u32),
            bytes: part.bytes(),
            name: call.op.map_or(0, |op| op.name.as_ptr() as usize),
        }
    }
}

/// Whether two ranks agree, before the counts of single blocks; names are compared by address first, since they
/// nearly always are the same text.
#[inline]
pub(super) fn same(a: &Claim, b: &Claim) -> bool {
    let text = |a: &str, b: &str| std::ptr::eq(a, b) || a == b;
    let (x, y) = (&a.signature, &b.signature);
    x.bytes == y.bytes
        && x.root == y.root
        && x.kind == y.kind
        && a.started == b.started
        && text(x.call, y.call)
        && match (x.op, y.op) {
            (None, None) => true,
            (Some(a), Some(b)) => text(a, b),
            _ => false,
        }
}

/// A block whose sender and receiver have different lengths in mind.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Misfit {
    from: usize,
    to: usize,
    sent: usize,
    taken: usize,
}

/// The first block that does not fit, of those whose lengths the signatures do not tell.
///
/// # Safety
/// The parts are those of one call with one root, and their spans are there.
pub(super) unsafe fn misfit<'a>(size: usize, part: impl Fn(usize) -> &'a Part) -> Option<Misfit> {
    let first = part(0);
    let root = first.root;
    let found = |from: usize, to: usize, sent: usize, taken: usize| {
        (sent != taken).then_some(Misfit { from, to, sent, taken })
    };
    // SAFETY: ranks below `size`; the rest is the caller's promise.
    let block = |blocks: Blocks, rank: usize| unsafe { blocks.block(rank) }.len;
    // SAFETY: as above.
    let sent_by = |part: &Part, rank: usize| unsafe { part.source_block(rank) }.len;
    let own = |part: &Part, rank: usize| match part.sent {
        Blocks::InPlace => block(part.received, rank),
        sent => block(sent, rank),
    };
    match first.call {
        Call::Gatherv => {
            let at_root = part(root);
            (0..size).find_map(|s| found(s, root, own(part(s), s), block(at_root.received, s)))
        }
        Call::Scatterv => {
            let at_root = part(root);
            (0..size)
                .filter(|&r| !part(r).received.in_place())
                .find_map(|r| found(root, r, block(at_root.sent, r), block(part(r).received, r)))
        }
        Call::Allgatherv => (0..size).find_map(|r| {
            let to = part(r);
            (0..size).find_map(|s| found(s, r, own(part(s), s), block(to.received, s)))
        }),
        Call::Alltoallv => (0..size).find_map(|r| {
            let to = part(r);
            (0..size).find_map(|s| found(s, r, sent_by(part(s), r), block(to.received, s)))
        }),
        Call::ReduceScatter => (0..size).find_map(|r| {
            // In place the answer has the length of the rank's own block.
            let to = part(r);
            let taken = if to.sent.in_place() { sent_by(to, r) } else { block(to.received, r) };
            (0..size).find_map(|s| found(s, r, sent_by(part(s), r), taken))
        }),
        _ => None,
    }
}

/// What rank `mine` is told, when ranks do not agree or a block does not fit.
pub(super) fn told(
    mine: usize,
    size: usize,
    claim: &dyn Fn(usize) -> Claim,
    misfit: Option<Misfit>,
) -> String {
    if let Some(text) = disagreement(mine, &|rank| claim(rank).signature, size) {
        return text;
    }
    let here = claim(mine);
    if let Some(rank) = (0..size).find(|&rank| claim(rank).started != here.started) {
        let there = claim(rank);
        return format!(
            "{} nonblocking collectives started before, {} on rank {rank} ({}): blocking and nonblocking ones must \
             come in the same order",
            here.started, there.started, there.signature.place
        );
    }
    let Some(Misfit { from, to, sent, taken }) = misfit else {
        return "arguments differ".to_string();
    };
    let scalar = here.signature.kind.map_or(0, |kind| size_of_scalar(kind.scalar()));
    let (unit, name) = if scalar > 0 { (scalar, "elements") } else { (1, "bytes") };
    format!(
        "rank {from} gives {} {name} for rank {to} ({}), which takes {} ({})",
        sent / unit,
        claim(from).signature.place,
        taken / unit,
        claim(to).signature.place
    )
}
