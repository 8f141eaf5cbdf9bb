//! `transpose`: tiles of all sizes, uneven blocks.

use super::{is_too_large, notices, refuses, validates, validates_on};
use crate::prk::Transpose;

const SMALL: Transpose = Transpose { iterations: 3, order: 101, tile: 32 };

#[test]
fn it_validates_whatever_the_tiles() {
    validates(&SMALL);
    validates(&Transpose { order: 512, ..SMALL });
    for tile in [0, 1, 3, 8, 1000] {
        validates_on(&Transpose { tile, order: 67, ..SMALL }, [1, 3]);
    }
    validates_on(&Transpose { order: 3, ..SMALL }, [1, 2, 3]);
}

#[test]
fn one_wrong_entry_is_noticed() {
    notices(&SMALL, |matrices| matrices.b[5] += 1e-3);
}

#[test]
fn what_cannot_be_is_refused() {
    refuses(&Transpose { iterations: 0, ..SMALL }, 1, "--iterations 0");
    refuses(&Transpose { order: 2, ..SMALL }, 3, "--order 2: fewer rows than the 3 ranks");
    is_too_large(&Transpose { order: 1 << 30, ..SMALL });
    is_too_large(&Transpose { order: usize::MAX, ..SMALL });
}
