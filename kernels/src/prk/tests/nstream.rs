//! `nstream`: the triad.

use super::{is_too_large, notices, refuses, validates};
use crate::prk::Nstream;

const SMALL: Nstream = Nstream { iterations: 3, length: 1001, offset: 0 };

#[test]
fn it_validates_also_with_gaps_between_vectors() {
    validates(&SMALL);
    validates(&Nstream { offset: 5, ..SMALL });
}

#[test]
fn one_wrong_element_is_noticed() {
    notices(&SMALL, |vectors| vectors.memory[0] += 1.0);
}

#[test]
fn what_cannot_be_is_refused() {
    refuses(&Nstream { iterations: 0, ..SMALL }, 1, "--iterations 0");
    refuses(&Nstream { length: 2, ..SMALL }, 3, "--length 2: fewer elements than the 3 ranks");
    refuses(&Nstream { length: 0, ..SMALL }, 1, "--length 0");
    is_too_large(&Nstream { length: 1 << 40, ..SMALL });
    is_too_large(&Nstream { length: usize::MAX, offset: usize::MAX, ..SMALL });
}
