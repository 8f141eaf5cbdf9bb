//! The dot products of an iteration: plain or reproducible, several of them in one reduction.

use crate::error::Result;
use crate::op::{Exact, Sum};
use crate::sparse::vector::dot;
use crate::sparse::{Value, Vector};

#[derive(Clone, Copy)]
pub(super) struct Sums {
    pub reproducible: bool,
}

/// Dot products that go into one reduction without an allocation.
const AT_ONCE: usize = 8;

impl Sums {
    /// The dot products of each of `left` (conjugated) with `right`.
    #[track_caller]
    pub fn dots<T: Value>(self, left: &[Vector<T>], right: &Vector<T>, answers: &mut [T]) -> Result<()> {
        let pairs = left.chunks(AT_ONCE).zip(answers.chunks_mut(AT_ONCE));
        if self.reproducible {
            for (left, answers) in pairs {
                let mut sums = [[Exact::new(); 2]; AT_ONCE];
                for (sums, left) in sums.iter_mut().zip(left) {
                    T::add_products(left.local(), right.local(), sums);
                }
                right.rows().comm().allreduce_in_place(sums[..left.len()].as_flattened_mut(), Sum)?;
                answers
                    .iter_mut()
                    .zip(&sums)
                    .for_each(|(answer, sums)| *answer = T::rounded(&sums[..T::PARTS]));
            }
            return Ok(());
        }
        for (answer, left) in answers.iter_mut().zip(left) {
            *answer = dot(left.local(), right.local());
        }
        right.rows().comm().allreduce_in_place(&mut answers[..left.len()], Sum)
    }

    /// The dot products of two or three pairs, of which the first of each is conjugated.
    #[track_caller]
    pub fn pairs<T: Value, const N: usize>(self, pairs: [(&Vector<T>, &Vector<T>); N]) -> Result<[T; N]> {
        let comm = pairs[0].0.rows().comm();
        if self.reproducible {
            let mut sums = [[Exact::new(); 2]; N];
            for (sums, (a, b)) in sums.iter_mut().zip(pairs) {
                T::add_products(a.local(), b.local(), sums);
            }
            comm.allreduce_in_place(sums.as_flattened_mut(), Sum)?;
            return Ok(sums.map(|sums| T::rounded(&sums[..T::PARTS])));
        }
        let mut answers = pairs.map(|(a, b)| dot(a.local(), b.local()));
        comm.allreduce_in_place(&mut answers, Sum)?;
        Ok(answers)
    }

    #[track_caller]
    pub fn norm<T: Value>(self, x: &Vector<T>) -> Result<f64> {
        if self.reproducible { x.norm_reproducible() } else { x.norm() }
    }
}
