//! `reduce`: vectors of more and of less than a piece.

use super::{is_too_large, refuses, validates};
use crate::prk::Reduce;

const SMALL: Reduce = Reduce { iterations: 3, length: 1001 };

#[test]
fn it_validates_in_one_piece_and_in_many() {
    validates(&SMALL);
    validates(&Reduce { length: 1, ..SMALL });
    validates(&Reduce { length: 100_003, ..SMALL });
}

#[test]
fn one_wrong_element_is_noticed() {
    rankine::testing::ranks([1, 2, 3], |world| {
        use rankine::kernel::{Kernel, Verdict};
        let mut vectors = SMALL.init(world)?;
        for _ in 0..4 {
            let _ = SMALL.step(world, &mut vectors)?;
        }
        // The sum is rank 0's alone.
        if world.rank() == 0 {
            vectors.vectors[0][1000] += 1e-6;
        }
        assert!(matches!(SMALL.verify(world, &mut vectors)?, Verdict::Failed(_)));
        Ok(())
    });
}

#[test]
fn what_cannot_be_is_refused() {
    refuses(&Reduce { iterations: 0, ..SMALL }, 1, "--iterations 0");
    refuses(&Reduce { length: 0, ..SMALL }, 3, "--length 0");
    is_too_large(&Reduce { length: 1 << 40, ..SMALL });
    is_too_large(&Reduce { length: usize::MAX, ..SMALL });
}
