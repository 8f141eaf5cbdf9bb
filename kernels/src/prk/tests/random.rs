//! `random`: updates of a table.

use super::{is_too_large, notices, refuses, validates};
use crate::prk::Random;
use crate::prk::random::{PERIOD, SEED, cut, next, power};
use rankine::{Kernel, testing};

const SMALL: Random = Random { update_ratio: 4, log2_size: 13 };

#[test]
fn it_validates_on_any_number_of_ranks() {
    validates(&SMALL);
    // Fewer numbers than streams in a round.
    validates(&Random { update_ratio: 1, log2_size: 13 });
}

#[test]
fn one_wrong_element_is_noticed() {
    notices(&SMALL, |table| table.elements[5] ^= 1 << 63);
}

#[test]
fn what_cannot_be_is_refused() {
    refuses(&Random { update_ratio: 3, ..SMALL }, 1, "--update-ratio 3: no power of two");
    refuses(&Random { update_ratio: 0, ..SMALL }, 1, "--update-ratio 0");
    refuses(&Random { log2_size: 0, ..SMALL }, 1, "--log2-size 0");
    refuses(&Random { log2_size: u32::MAX, update_ratio: 1 << 63 }, 1, "--log2-size 4294967295");
    refuses(
        &Random { log2_size: 8, ..SMALL },
        2,
        "--log2-size 8: 1024 updates, fewer than 1024 for each of the 2 ranks",
    );
    is_too_large(&Random { log2_size: 50, ..SMALL });
}

#[test]
fn powers_are_repeated_products_and_return() {
    let naive = |times: u64| (0..times).fold(1, |number, _| next(number));
    for exponent in [0, 1, 63, 64, 65, 1000, 12_345] {
        assert_eq!(power(exponent), naive(exponent));
        assert_eq!(power(SEED + exponent), (0..exponent).fold(power(SEED), |number, _| next(number)));
    }
    // x^64 = x^2 + x + 1.
    assert_eq!((power(63), power(64), power(PERIOD)), (1 << 63, 7, 1));
    assert_ne!(power(PERIOD / 7), 1);
}

#[test]
fn cuts_cover_all_and_owners_are_those_of_the_cut() {
    for (of, ranks) in [(1u64, 3), (8, 3), (1 << 10, 7), (1 << 10, 4)] {
        let of_ranks: Vec<u64> =
            (0..ranks).flat_map(|rank| cut(of, rank, ranks).map(move |_| rank as u64)).collect();
        let owners: Vec<u64> = (0..of).map(|index| index * ranks as u64 / of).collect();
        assert_eq!(of_ranks, owners);
    }
}

/// The first round against the specification, one update after the other.
#[test]
fn one_round_is_that_of_the_specification() {
    let (size, ratio) = (1u64 << 13, 4);
    for ranks in [1usize, 2, 4] {
        let mut expected: Vec<u64> = (0..size).collect();
        let updates = ratio * size / ranks as u64;
        for rank in 0..ranks as u64 {
            for stream in 0..1024 {
                let mut number = power(SEED + updates / 1024 * stream + size / ranks as u64 * rank);
                for _ in 0..updates / 2048 {
                    number = next(number);
                    expected[(number % size) as usize] ^= number;
                }
            }
        }
        testing::ranks([ranks], |world| {
            let mut table = SMALL.init(world)?;
            let _ = SMALL.step(world, &mut table)?;
            let first = cut(size, world.rank(), ranks).start;
            if let Some(buckets) = &mut table.buckets {
                for (_, numbers) in buckets.finish()? {
                    numbers.iter().for_each(|n| table.elements[(n % size - first) as usize] ^= n);
                }
            }
            let of_rank = &expected[first as usize..][..table.elements.len()];
            assert!(table.elements[..] == *of_rank, "rank {} of {ranks}", world.rank());
            Ok(())
        });
    }
}
