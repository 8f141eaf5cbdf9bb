//! `Part`: which fine points a refined box of coarse ones has, and which coarse points lie below a block of them.
//!
//! Arithmetic on blocks: no messages and no memory.

use crate::grid::Block;
use std::ops::Range;

/// A box of coarse points, refined so that each interval between two of them becomes a power of two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Part<const D: usize> {
    /// The coarse points, by their global indices.
    pub coarse: Block<D>,
    pub level: u32,
}

impl<const D: usize> Part<D> {
    /// The fine points along each axis: those of the coarse points and those between them. `None` if they cannot be counted.
    pub fn points(&self) -> Option<[usize; D]> {
        let factor = 1usize.checked_shl(self.level)?;
        let mut points = [0; D];
        for (points, coarse) in points.iter_mut().zip(self.coarse.shape) {
            *points = coarse.checked_sub(1)?.checked_mul(factor)?.checked_add(1)?;
        }
        points.iter().try_fold(1usize, |all, &points| all.checked_mul(points)).map(|_| points)
    }

    /// Fine intervals in a coarse one; only of a part whose points can be counted.
    pub fn factor(&self) -> usize {
        1 << self.level
    }

    /// The coarse points that the points of a fine block lie on or between.
    pub fn below(&self, fine: &Block<D>) -> Block<D> {
        if fine.is_empty() {
            return Block::EMPTY;
        }
        let ends: [_; D] = std::array::from_fn(|axis| {
            let (first, last) = (fine.start[axis], fine.start[axis] + fine.shape[axis] - 1);
            (first / self.factor(), last.div_ceil(self.factor()) + 1)
        });
        Block {
            start: std::array::from_fn(|axis| self.coarse.start[axis] + ends[axis].0),
            shape: ends.map(|(first, end)| end - first),
        }
    }

    /// How many fine points each of some coarse stretches gets along an axis: they are next to one another and cover the
    /// part. Between two stretches the cut is in the middle.
    pub fn pieces(&self, axis: usize, stretches: &[Range<usize>]) -> Vec<usize> {
        let (factor, start) = (self.factor(), self.coarse.start[axis]);
        let last = stretches.len() - 1;
        let cut = |coarse: usize| (coarse - start) * factor - factor / 2;
        let ends = stretches.iter().enumerate().map(|(number, stretch)| {
            let low = if number == 0 { 0 } else { cut(stretch.start) };
            let high = if number == last { (stretch.end - 1 - start) * factor + 1 } else { cut(stretch.end) };
            high - low
        });
        ends.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(start: usize, points: usize, level: u32) -> Part<1> {
        Part { coarse: Block { start: [start], shape: [points] }, level }
    }

    /// Every fine point lies between the coarse ones below its block, and none of those is in vain.
    #[test]
    fn what_is_below_is_what_interpolation_reads() {
        for (points, level) in [(1, 0), (1, 3), (2, 1), (5, 0), (5, 2), (4, 3)] {
            let part = part(7, points, level);
            let [fine] = part.points().unwrap();
            for (start, end) in (0..fine).flat_map(|start| (start + 1..=fine).map(move |end| (start, end))) {
                let mut read: Vec<usize> = Vec::new();
                for point in start..end {
                    read.push(7 + point / part.factor());
                    if !point.is_multiple_of(part.factor()) {
                        read.push(8 + point / part.factor());
                    }
                }
                let below = part.below(&Block { start: [start], shape: [end - start] });
                let (least, most) = (read.iter().min().unwrap(), read.iter().max().unwrap());
                assert_eq!((below.start[0], below.start[0] + below.shape[0] - 1), (*least, *most));
                assert!(*most < 7 + points);
            }
        }
        assert!(part(7, 3, 2).below(&Block::EMPTY).is_empty());
    }

    /// The pieces of NO_TALK in the Parallel Research Kernels' notes on AMR: two, three and two coarse points at level 2.
    #[test]
    fn pieces_end_in_the_middle_between_coarse_points() {
        assert_eq!(part(10, 7, 2).pieces(0, &[10..12, 12..15, 15..17]), [6, 12, 7]);
        assert_eq!(part(10, 7, 0).pieces(0, &[10..12, 12..15, 15..17]), [2, 3, 2]);
        let (whole, halves) = (part(10, 7, 1), [10..16, 16..17]);
        assert_eq!(whole.pieces(0, &halves), [11, 2]);
        assert_eq!(part(0, 2, 3).pieces(0, &[0..1, 1..2]), [4, 5]);
    }

    #[test]
    fn what_cannot_be_counted_is_nothing() {
        assert_eq!(part(0, 0, 1).points(), None);
        assert_eq!(part(0, 2, 64).points(), None);
        assert_eq!(part(0, 3, 63).points(), None);
        assert_eq!(part(0, 1, 63).points(), Some([1]));
    }
}
