//! `sync_global`: strings that are dealt evenly and not.

use super::{is_too_large, notices, refuses, validates};
use crate::prk::SyncGlobal;

const SMALL: SyncGlobal = SyncGlobal { iterations: 250, length: 840 };

#[test]
fn it_validates_whatever_the_length() {
    validates(&SMALL);
    validates(&SyncGlobal { length: 101, iterations: 3 });
    validates(&SyncGlobal { length: 7, iterations: 99 });
}

#[test]
fn a_wrong_digit_is_noticed() {
    notices(&SMALL, |strings| strings.all[3] ^= 1);
}

#[test]
fn what_cannot_be_is_refused() {
    refuses(&SyncGlobal { iterations: 0, ..SMALL }, 1, "--iterations 0");
    refuses(&SyncGlobal { length: 2, ..SMALL }, 3, "--length 2: fewer characters than the 3 ranks");
    is_too_large(&SyncGlobal { length: 1 << 40, ..SMALL });
}
