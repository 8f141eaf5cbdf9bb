//! `branch`: loops with and without branches.

use super::{notices, refuses, validates};
use crate::prk::Branch;
use crate::prk::branch::Branching::{self, InsHeavy, NoVector, VectorGo, VectorStop};
use crate::prk::branch::{FUNCTIONS, Matrices};

const SMALL: Branch = Branch { iterations: 6, length: 101, kind: VectorGo };
const KINDS: [Branching; 4] = [VectorStop, VectorGo, NoVector, InsHeavy];

#[test]
fn each_kind_validates_after_any_number_of_pairs() {
    for kind in KINDS {
        for (iterations, length) in [(2, 1), (4, 8), (6, 101)] {
            validates(&Branch { iterations, length, kind });
        }
    }
    // Several steps, the last one with fewer iterations than the others.
    validates(&Branch { iterations: 262, length: 40_000, ..SMALL });
}

#[test]
fn one_wrong_element_is_noticed() {
    for kind in KINDS {
        notices(&Branch { kind, ..SMALL }, |data| data.vector()[100] += 1);
    }
}

#[test]
fn what_cannot_be_is_refused() {
    refuses(&Branch { iterations: 0, ..SMALL }, 1, "--iterations 0");
    refuses(&Branch { iterations: 7, ..SMALL }, 1, "--iterations 7");
    refuses(&Branch { length: 0, ..SMALL }, 1, "--length 0");
    refuses(&Branch { length: usize::MAX, ..SMALL }, 2, "--length 18446744073709551615");
}

/// Each looks up elements by the generator's formulas, and notices a matrix that is no unit matrix.
#[test]
fn functions_do_what_the_generator_writes() {
    for (version, function) in FUNCTIONS.iter().enumerate() {
        for index in [0, 1, 39, 40, 9999, i32::MAX as u32] {
            let mut matrices = Matrices::new();
            assert_eq!(function(index, &mut matrices), index);
            for (column, row) in (0..100).map(|item| (item % 10, item / 10)) {
                let x1 = (row + column) * 48611 % 8389 + i64::from(index);
                let x2 = (column + 17 + 19 * row) * 29443 % 77029;
                let x3 = (x1 + (version as i64 + 1) * x2) % 10;
                let x1 = x1 + (x2 - x3 + 10) % 10;
                let at = (x1 + 4 * (x2 + (x1 - 5 * x3 + 70) % 10)) % 10;
                matrices.zero = std::array::from_fn(|i| i as i32);
                matrices.one = matrices.zero;
                let found = function(index, &mut matrices);
                assert!(found == 0, "no unit matrix");
                assert_eq!(i64::from(matrices.a[row as usize][column as usize]), at);
            }
        }
    }
}
