//! What a rank says it is about to do in a collective, and whether all ranks say the same.
//!
//! Text only: how the signatures get to the other ranks is each engine's affair.

use super::Place;
use crate::comm::element::{Kind, Scalar};

/// One rank's call of a collective. Equal when the ranks agree; the place may differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signature {
    /// Such as `"allreduce"`.
    pub call: &'static str,
    pub root: Option<usize>,
    /// The length in bytes of this rank's contribution (for `bcast`: of the message); 0 where there is none.
    pub bytes: usize,
    /// The element type, where the call has one.
    pub kind: Option<Kind>,
    /// The operator's name, where the call has one.
    pub op: Option<&'static str>,
    pub place: Place,
}

impl PartialEq for Signature {
    fn eq(&self, other: &Self) -> bool {
        (self.call, self.root, self.bytes, self.kind, self.op)
            == (other.call, other.root, other.bytes, other.kind, other.op)
    }
}

/// A signature in words, as it may come from another process. Equal when the ranks agree.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    pub call: String,
    pub root: Option<usize>,
    pub bytes: usize,
    /// Mark, name and size in bytes of the number; size 0 for a struct.
    pub kind: Option<(u64, String, usize)>,
    pub op: Option<String>,
    /// `file:line:column`.
    pub place: String,
}

impl From<Signature> for Words {
    fn from(s: Signature) -> Words {
        Words {
            call: s.call.to_string(),
            root: s.root,
            bytes: s.bytes,
            kind: s.kind.map(|kind| (kind.mark(), kind.name().to_string(), size_of_scalar(kind.scalar()))),
            op: s.op.map(str::to_string),
            place: s.place.to_string(),
        }
    }
}

/// What is wrong with rank `mine`'s signature beside those of the `size` ranks, or `None` if all agree. A rank that
/// disagrees with rank 0 is told so; one that agrees with rank 0 is told of the lowest rank that does not.
pub(crate) fn disagreement(mine: usize, all: &dyn Fn(usize) -> Signature, size: usize) -> Option<String> {
    let here = all(mine).into();
    (0..size).filter(|&rank| rank != mine).find_map(|rank| difference(&here, &all(rank).into(), rank))
}

/// The first thing in which `here` and rank `rank`'s signature differ.
pub(crate) fn difference(here: &Words, there: &Words, rank: usize) -> Option<String> {
    let on = format!("on rank {rank} ({})", there.place);
    if here.call != there.call {
        return Some(format!("rank {rank} is in {} ({})", there.call, there.place));
    }
    if here.root != there.root {
        return Some(format!(
            "root {} given, root {} {on}",
            rank_or_none(here.root),
            rank_or_none(there.root)
        ));
    }
    let mark = |kind: &Option<(u64, String, usize)>| kind.as_ref().map(|kind| kind.0);
    if mark(&here.kind) != mark(&there.kind) {
        return Some(format!("elements of {} given, of {} {on}", name(&here.kind), name(&there.kind)));
    }
    if here.bytes != there.bytes {
        let (mine, theirs, unit) = match here.kind {
            Some((_, _, size)) if size > 0 => (here.bytes / size, there.bytes / size, "elements"),
            _ => (here.bytes, there.bytes, "bytes"),
        };
        return Some(format!("{mine} {unit} given, {theirs} {on}"));
    }
    if here.op != there.op {
        let op = |words: &Words| words.op.clone().unwrap_or_else(|| "none".to_string());
        return Some(format!("operator {} given, {} {on}", op(here), op(there)));
    }
    None
}

fn rank_or_none(root: Option<usize>) -> String {
    root.map_or_else(|| "none".to_string(), |rank| rank.to_string())
}

fn name(kind: &Option<(u64, String, usize)>) -> &str {
    kind.as_ref().map_or("nothing", |kind| &kind.1)
}

/// Bytes of one number; 0 for a struct, whose size the scalar does not tell.
pub(crate) fn size_of_scalar(scalar: Scalar) -> usize {
    match scalar {
        Scalar::I8 | Scalar::U8 => 1,
        Scalar::I16 | Scalar::U16 => 2,
        Scalar::I32 | Scalar::U32 | Scalar::F32 => 4,
        Scalar::I64 | Scalar::U64 | Scalar::F64 | Scalar::C32 => 8,
        Scalar::I128 | Scalar::U128 | Scalar::C64 => 16,
        Scalar::Record => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comm::element::Element;
    use std::panic::Location;

    fn allreduce(elements: usize) -> Signature {
        Signature {
            call: "allreduce",
            root: None,
            bytes: 8 * elements,
            kind: Some(f64::KIND),
            op: Some("Sum"),
            place: Location::caller(),
        }
    }

    fn told(mine: usize, all: [Signature; 3]) -> Option<String> {
        disagreement(mine, &|rank| all[rank], 3)
    }

    #[test]
    fn agreement_says_nothing() {
        assert_eq!(told(1, [allreduce(3), allreduce(3), allreduce(3)]), None);
    }

    #[test]
    fn every_rank_is_told() {
        let all = [allreduce(96), allreduce(100), allreduce(96)];
        let text = |mine| told(mine, all).unwrap();
        assert!(text(1).starts_with("100 elements given, 96 on rank 0 ("), "{}", text(1));
        assert!(text(0).starts_with("96 elements given, 100 on rank 1 ("), "{}", text(0));
        assert!(text(2).starts_with("96 elements given, 100 on rank 1 ("), "{}", text(2));
        assert!(text(1).contains("signature.rs:"), "{}", text(1));
    }

    #[test]
    fn the_coarsest_difference_is_named() {
        let mine = allreduce(3);
        let with = |change: fn(&mut Signature)| {
            let mut other = mine;
            change(&mut other);
            told(0, [mine, mine, other]).unwrap()
        };
        assert!(with(|s| s.call = "bcast").starts_with("rank 2 is in bcast ("));
        assert!(with(|s| s.root = Some(1)).starts_with("root none given, root 1 on rank 2 ("));
        assert!(with(|s| s.kind = Some(i32::KIND)).starts_with("elements of f64 given, of i32 on rank 2 ("));
        assert!(with(|s| s.op = Some("Max")).starts_with("operator Sum given, Max on rank 2 ("));
        assert!(with(|s| s.bytes = 8).starts_with("3 elements given, 1 on rank 2 ("));
    }
}
