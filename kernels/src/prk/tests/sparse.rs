//! `sparse`: products.

use super::{notices, refuses, validates, validates_on};
use crate::prk::Sparse;
use rankine::{Kernel, testing};

const SMALL: Sparse = Sparse { iterations: 3, log2_size: 3, radius: 3 };

#[test]
fn it_validates_on_any_number_of_ranks() {
    validates(&SMALL);
    validates(&Sparse { radius: 0, ..SMALL });
    validates(&Sparse { iterations: 1, log2_size: 6, radius: 2 });
    validates_on(&Sparse { iterations: 1, log2_size: 1, radius: 0 }, [1, 2]);
}

#[test]
fn one_wrong_element_is_noticed() {
    notices(&SMALL, |product| product.result.local_mut()[5] += 1e-3);
}

#[test]
fn columns_are_the_points_with_their_bits_reversed() {
    testing::ranks([1, 3], |world| {
        let product = Sparse { iterations: 1, log2_size: 2, radius: 1 }.init(world)?;
        // Point 9 and its neighbours 10, 8, 13 and 5, in 4 bits: 1001, 1010, 1000, 1101, 0101.
        if let Some(row) = product.matrix.row(9) {
            let entries: Vec<_> = row.collect();
            let expected = [1, 5, 9, 10, 11].map(|column| (column, 1.0 / (column + 1) as f64));
            assert_eq!(entries, expected);
        }
        assert_eq!(product.matrix.entries(), 5 * 16);
        Ok(())
    });
}

#[test]
fn what_cannot_be_is_refused() {
    refuses(&Sparse { iterations: 0, ..SMALL }, 1, "--iterations 0");
    refuses(&Sparse { radius: 4, ..SMALL }, 1, "--radius 4: the stencil overlaps itself on 8 points");
    refuses(&Sparse { radius: usize::MAX, ..SMALL }, 1, "--radius 18446744073709551615");
    refuses(&SMALL, 9, "--log2-size 3: 8 rows of the grid for 9 ranks");
    refuses(&Sparse { log2_size: 31, ..SMALL }, 1, "--log2-size 31");
    refuses(&Sparse { log2_size: 16, ..SMALL }, 2, "2^32 entries on a rank");
}

#[test]
fn memory_is_counted() {
    // 17 entries of 12 bytes, their row's start, both vectors, and a place in the copy with its column.
    let large = Sparse { iterations: 1, log2_size: 10, radius: 4 };
    assert_eq!(large.bytes_per_rank(1), Some((17 * 12 + 40) << 20));
    let more = Sparse { iterations: 1, log2_size: 15, radius: 1 };
    assert!(more.bytes_per_rank(2).unwrap() > 50 << 30 && more.bytes_per_rank(2) < more.bytes_per_rank(1));
}
