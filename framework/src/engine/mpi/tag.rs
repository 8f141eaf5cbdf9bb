//! MPI's tags carry the user's tag and the element type: `mpi_tag = user_tag << 8 | kind_code`.
//!
//! So a receive of `f64` never takes an `i32` message's bytes. What happens when only messages of another kind are
//! there is in `diagnose`.

use crate::comm::TAG_MAX;
use crate::engine::{From, Tagged};
use std::ffi::c_int;

/// The largest tag MPI must take: the kind code has eight bits.
pub(super) const LARGEST: c_int = encode(TAG_MAX, u8::MAX);

/// The tag MPI sees.
#[inline]
pub(super) const fn encode(user: i32, kind: u8) -> c_int {
    (user << 8) | kind as c_int
}

/// The user's tag in a tag of MPI's.
#[inline]
pub(super) const fn user(tag: c_int) -> i32 {
    tag >> 8
}

/// The kind code in a tag of MPI's.
#[inline]
pub(super) const fn kind(tag: c_int) -> u32 {
    (tag & 0xff) as u32
}

/// Every code a [`Kind`](crate::Kind) can have: numbers, the serialized value, then records.
pub(super) fn codes() -> impl Iterator<Item = u8> {
    (1..=15).chain(64..=254)
}

/// What a receive or probe matches, in MPI's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// A rank, or MPI_ANY_SOURCE.
    pub source: c_int,
    /// An encoded tag, or MPI_ANY_TAG.
    pub tag: c_int,
}

impl Pattern {
    /// The messages of one kind, or of any kind where any tag will do: MPI cannot mask tags.
    #[inline]
    pub fn of(from: From, tagged: Tagged, kind: u8, any_source: c_int, any_tag: c_int) -> Pattern {
        let source = match from {
            From::Any => any_source,
            From::Rank(rank) => rank as c_int,
        };
        let tag = match tagged {
            Tagged::Any => any_tag,
            Tagged::Tag(user) => encode(user, kind),
        };
        Pattern { source, tag }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comm::element::{Element, Kind};

    #[test]
    fn a_tag_comes_back_whole() {
        for user_tag in [0, 1, 7, TAG_MAX] {
            for code in codes() {
                let tag = encode(user_tag, code);
                assert!((0..=LARGEST).contains(&tag));
                assert_eq!((user(tag), kind(tag)), (user_tag, code.into()));
            }
        }
        assert_eq!(LARGEST, (1 << 28) - 1);
    }

    #[test]
    fn the_codes_are_all_there() {
        struct Particle;
        let all: Vec<u8> = codes().collect();
        for kind in [
            i8::KIND,
            f64::KIND,
            num_complex::Complex::<f64>::KIND,
            Kind::value(),
            Kind::record::<Particle>("Particle"),
        ] {
            assert!(all.contains(&kind.code()));
        }
        assert_eq!(all.len(), 15 + 191);
    }
}
