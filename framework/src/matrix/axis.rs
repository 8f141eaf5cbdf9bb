//! One axis of a block-cyclic layout: which process has which index, and where.
//!
//! Arithmetic only: blocks of `block` indices are dealt to `ranks` processes in turn, beginning with `source`. The maps are
//! those of the ScaLAPACK Users' Guide (Blackford et al., SIAM 1997, §4.3) and of its tool routines NUMROC, INDXG2P,
//! INDXG2L and INDXL2G, with indices from 0.

use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    pub len: usize,
    pub block: usize,
    /// The process that has the first block.
    pub source: usize,
    pub ranks: usize,
}

/// Indices that follow one another globally and on their process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub global: usize,
    pub local: usize,
    pub len: usize,
}

/// Indices that two processes of two axes share: contiguous on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The local index on the first side.
    pub from: usize,
    /// The local index on the second.
    pub to: usize,
    pub len: usize,
    /// How many shared indices come before.
    pub at: usize,
}

impl Axis {
    /// How many turns after the source a process has its first block.
    fn distance(self, rank: usize) -> usize {
        (self.ranks + rank - self.source) % self.ranks
    }

    /// How many indices a process has (NUMROC).
    pub fn count(self, rank: usize) -> usize {
        self.below(rank, self.len)
    }

    /// How many indices below `index` a process has.
    pub fn below(self, rank: usize, index: usize) -> usize {
        let (blocks, rest) = (index / self.block, index % self.block);
        let (turns, more) = (blocks / self.ranks, blocks % self.ranks);
        let last = match self.distance(rank).cmp(&more) {
            std::cmp::Ordering::Less => self.block,
            std::cmp::Ordering::Equal => rest,
            std::cmp::Ordering::Greater => 0,
        };
        turns * self.block + last
    }

    /// The process that has an index (INDXG2P).
    pub fn owner(self, index: usize) -> usize {
        (self.source + index / self.block % self.ranks) % self.ranks
    }

    /// Where its owner has it (INDXG2L).
    pub fn local(self, index: usize) -> usize {
        index / self.block / self.ranks * self.block + index % self.block
    }

    /// The index that a process has at a place of its own (INDXL2G).
    pub fn global(self, rank: usize, local: usize) -> usize {
        (local / self.block * self.ranks + self.distance(rank)) * self.block + local % self.block
    }

    /// The local places of the indices of a range.
    pub fn within(self, rank: usize, range: Range<usize>) -> Range<usize> {
        self.below(rank, range.start)..self.below(rank, range.end)
    }

    /// The blocks of a process, in order; if it has all of them, as one.
    pub fn stretches(self, rank: usize) -> impl Iterator<Item = Stretch> {
        let count = self.count(rank);
        let each = if self.ranks == 1 { count.max(1) } else { self.block };
        (0..count).step_by(each).map(move |local| Stretch {
            global: self.global(rank, local),
            local,
            len: each.min(count - local),
        })
    }

    /// What `rank` has of this axis and `other_rank` of the other one, which is as long.
    pub fn shared(self, rank: usize, other: Axis, other_rank: usize) -> Vec<Run> {
        let (mut ours, mut theirs) = (self.stretches(rank), other.stretches(other_rank));
        let (mut a, mut b) = (ours.next(), theirs.next());
        let (mut runs, mut at) = (Vec::<Run>::new(), 0);
        while let (Some(x), Some(y)) = (a, b) {
            let start = x.global.max(y.global);
            let (x_end, y_end) = (x.global + x.len, y.global + y.len);
            if let Some(len) = x_end.min(y_end).checked_sub(start).filter(|&len| len > 0) {
                let (from, to) = (x.local + start - x.global, y.local + start - y.global);
                match runs.last_mut() {
                    Some(run) if run.from + run.len == from && run.to + run.len == to => run.len += len,
                    _ => runs.push(Run { from, to, len, at }),
                }
                at += len;
            }
            if x_end <= y_end {
                a = ours.next();
            }
            if y_end <= x_end {
                b = theirs.next();
            }
        }
        runs
    }
}

/// How many indices the runs have together.
pub(super) fn total(runs: &[Run]) -> usize {
    runs.last().map_or(0, |run| run.at + run.len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_has_one_place() {
        for (len, block, ranks) in
            [(0, 3, 2), (1, 5, 3), (17, 3, 4), (24, 4, 3), (7, 1, 7), (100, 8, 5), (9, 9, 1)]
        {
            for source in 0..ranks {
                let axis = Axis { len, block, source, ranks };
                assert_eq!((0..ranks).map(|rank| axis.count(rank)).sum::<usize>(), len);
                let mut seen = vec![0; ranks];
                for index in 0..len {
                    // Dealt block after block, counted by hand.
                    let owner = (source + index / block) % ranks;
                    assert_eq!((axis.owner(index), axis.local(index)), (owner, seen[owner]));
                    assert_eq!(axis.global(owner, seen[owner]), index);
                    seen.iter().enumerate().for_each(|(rank, &n)| assert_eq!(axis.below(rank, index), n));
                    seen[owner] += 1;
                }
                for rank in 0..ranks {
                    let covered: Vec<usize> =
                        axis.stretches(rank).flat_map(|s| s.global..s.global + s.len).collect();
                    assert_eq!(covered, (0..len).filter(|&i| axis.owner(i) == rank).collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn shared_indices_are_those_of_both() {
        for (one, two) in
            [((3, 1, 2), (2, 0, 3)), ((4, 0, 1), (3, 2, 3)), ((8, 1, 2), (4, 0, 2)), ((5, 0, 1), (7, 0, 1))]
        {
            let axis = |(block, source, ranks)| Axis { len: 41, block, source, ranks };
            let (a, b) = (axis(one), axis(two));
            for (rank, other) in (0..a.ranks).flat_map(|r| (0..b.ranks).map(move |o| (r, o))) {
                let runs = a.shared(rank, b, other);
                let found: Vec<[usize; 2]> =
                    runs.iter().flat_map(|run| (0..run.len).map(|i| [run.from + i, run.to + i])).collect();
                let expected: Vec<[usize; 2]> = (0..41)
                    .filter(|&i| a.owner(i) == rank && b.owner(i) == other)
                    .map(|i| [a.local(i), b.local(i)])
                    .collect();
                assert_eq!(found, expected);
                assert_eq!(total(&runs), expected.len());
            }
        }
    }
}
