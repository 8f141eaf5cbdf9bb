//! `p2p`: lines one by one and in groups, any number of columns a rank.

use super::{is_too_large, notices, refuses, validates, validates_on};
use crate::prk::P2p;

const SMALL: P2p = P2p { iterations: 3, m: 53, n: 75, group: 1 };

#[test]
fn it_validates_whatever_the_group() {
    validates(&SMALL);
    for group in [2, 16, 17, 100, 1 << 40] {
        validates_on(&P2p { group, ..SMALL }, [1, 2, 4]);
    }
    validates_on(&P2p { m: 8, n: 2, ..SMALL }, [1, 3, 7]);
    validates_on(&P2p { m: 8, n: 40, ..SMALL }, [2, 7]);
}

#[test]
fn a_wrong_corner_is_noticed() {
    notices(&SMALL, |segments| {
        let segment = segments.segments.last_mut().unwrap();
        segment.values.iter_mut().for_each(|value| *value *= 1.001);
    });
}

#[test]
fn what_cannot_be_is_refused() {
    refuses(&P2p { iterations: 0, ..SMALL }, 1, "--iterations 0");
    refuses(&P2p { m: 3, ..SMALL }, 3, "--m 3: at least 4 on 3 ranks");
    refuses(&P2p { n: 0, ..SMALL }, 1, "--n 0");
    refuses(&P2p { group: 0, ..SMALL }, 1, "--group 0");
    is_too_large(&P2p { m: 1 << 30, n: 1 << 30, ..SMALL });
    is_too_large(&P2p { m: usize::MAX - 1, n: usize::MAX - 1, ..SMALL });
}
