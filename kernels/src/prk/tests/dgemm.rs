//! `dgemm`: blocks of all sizes.

use super::{is_too_large, notices, refuses, validates, validates_on};
use crate::prk::Dgemm;

const SMALL: Dgemm = Dgemm { iterations: 2, order: 75, block: 0 };

#[test]
fn it_validates_whatever_the_blocks() {
    validates(&SMALL);
    for block in [1, 8, 32, 1000] {
        validates_on(&Dgemm { block, order: 50, ..SMALL }, [1, 2, 6]);
    }
}

#[test]
fn a_wrong_entry_is_noticed() {
    notices(&SMALL, |factors| factors.c.storage_mut()[0] += 1e5);
}

#[test]
fn what_cannot_be_is_refused() {
    refuses(&Dgemm { iterations: 0, ..SMALL }, 1, "--iterations 0");
    refuses(&Dgemm { order: 0, ..SMALL }, 1, "--order 0");
    refuses(&Dgemm { order: 2, ..SMALL }, 3, "--order 2: fewer rows than the 3 ranks");
    is_too_large(&Dgemm { order: 1 << 30, ..SMALL });
    is_too_large(&Dgemm { order: usize::MAX, ..SMALL });
}
