//! `Group`: an ordered set of ranks, and its algebra; MPI's group.
//!
//! Nothing here communicates, and no communicator is made here: that is in `create`.

use crate::error::{Error, Result};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// An ordered set of world ranks. A rank's position in it is its rank in the group. Plain data: every call is local.
///
/// World ranks are those of the communicator that [`launch`](crate::launch()) gives; [`Comm::group`](crate::Comm::group) is the group of a
/// communicator, and [`Comm::create`](crate::Comm::create) makes a communicator of a group.
///
/// ```
/// use rankine::{Comparison, Group};
/// let (a, b) = (Group::new([0, 1, 2, 3])?, Group::new([5, 3, 1])?);
/// assert_eq!(a.union(&b).ranks(), [0, 1, 2, 3, 5]);
/// assert_eq!(a.intersection(&b).ranks(), [1, 3]);
/// assert_eq!(b.difference(&a).ranks(), [5]);
/// assert_eq!(b.range_incl(&[(2, 0, -1)])?.to_string(), "{1, 3, 5}");
/// assert_eq!(b.compare(&Group::new([1, 3, 5])?), Comparison::Similar);
/// assert_eq!(b.translate([0, 1, 2], &a).collect::<Vec<_>>(), [None, Some(3), Some(1)]);
/// # Ok::<(), rankine::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Group {
    ranks: Arc<[usize]>,
}

/// How alike two groups or two communicators are; MPI's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// Groups: the same ranks in the same order. Communicators: one and the same.
    Identical,
    /// Two communicators of the same ranks in the same order. Groups are never congruent.
    Congruent,
    /// The same ranks in another order.
    Similar,
    /// Not the same ranks.
    Unequal,
}

/// `first`, `first + stride`, … as far as `last`, which is included if a step meets it; for [`Group::range_incl`].
pub type RankRange = (usize, usize, isize);

impl Group {
    /// The group of no ranks.
    pub fn empty() -> Group {
        Group { ranks: Arc::new([]) }
    }

    /// The group of these world ranks, in this order.
    ///
    /// # Errors
    /// A rank that is given twice.
    #[track_caller]
    pub fn new(ranks: impl IntoIterator<Item = usize>) -> Result<Group> {
        let ranks: Arc<[usize]> = ranks.into_iter().collect();
        let mut seen = HashSet::with_capacity(ranks.len());
        match ranks.iter().find(|&&rank| !seen.insert(rank)) {
            Some(twice) => Err(bad("new", format!("rank {twice} is given twice"), "give every rank once")),
            None => Ok(Group { ranks }),
        }
    }

    /// World ranks that are known to be distinct.
    pub(crate) fn of_distinct(ranks: impl IntoIterator<Item = usize>) -> Group {
        Group { ranks: ranks.into_iter().collect() }
    }

    /// How many ranks it has.
    pub fn size(&self) -> usize {
        self.ranks.len()
    }

    /// Whether it has no ranks.
    pub fn is_empty(&self) -> bool {
        self.ranks.is_empty()
    }

    /// The world ranks, in the group's order.
    pub fn ranks(&self) -> &[usize] {
        &self.ranks
    }

    /// The world ranks, in the group's order.
    pub fn iter(&self) -> std::iter::Copied<std::slice::Iter<'_, usize>> {
        self.ranks.iter().copied()
    }

    /// The rank in the group of a world rank, if that is in it.
    pub fn rank_of(&self, world: usize) -> Option<usize> {
        self.iter().position(|rank| rank == world)
    }

    /// Whether a world rank is in the group.
    pub fn contains(&self, world: usize) -> bool {
        self.ranks.contains(&world)
    }

    /// The ranks of this group, then those of the other that are not in this one.
    pub fn union(&self, other: &Group) -> Group {
        let mine = self.set();
        Group::of_distinct(self.iter().chain(other.iter().filter(|rank| !mine.contains(rank))))
    }

    /// The ranks of this group that are in the other, too.
    pub fn intersection(&self, other: &Group) -> Group {
        let theirs = other.set();
        Group::of_distinct(self.iter().filter(|rank| theirs.contains(rank)))
    }

    /// The ranks of this group that are not in the other.
    pub fn difference(&self, other: &Group) -> Group {
        let theirs = other.set();
        Group::of_distinct(self.iter().filter(|rank| !theirs.contains(rank)))
    }

    /// The members with these ranks in the group, in the order given.
    ///
    /// # Errors
    /// A rank that the group does not have, or that is given twice.
    #[track_caller]
    pub fn incl(&self, ranks: &[usize]) -> Result<Group> {
        self.choose("incl", ranks)?;
        Ok(Group::of_distinct(ranks.iter().map(|&rank| self.ranks[rank])))
    }

    /// All members but those with these ranks in the group, in the group's order.
    ///
    /// # Errors
    /// As [`Group::incl`].
    #[track_caller]
    pub fn excl(&self, ranks: &[usize]) -> Result<Group> {
        let out = self.choose("excl", ranks)?;
        let stay = (0..self.size()).filter(|rank| !out.contains(rank));
        Ok(Group::of_distinct(stay.map(|rank| self.ranks[rank])))
    }

    /// As [`Group::incl`], with `(first, last, stride)` of ranks in the group; the stride may be negative.
    ///
    /// ```
    /// use rankine::Group;
    /// let all = Group::new(0..10)?;
    /// assert_eq!(all.range_incl(&[(6, 7, 1), (1, 6, 2), (9, 4, -3)]).unwrap_err().what(), "range_incl: rank 6 is given twice");
    /// assert_eq!(all.range_incl(&[(6, 7, 1), (1, 5, 2), (9, 2, -5)])?.ranks(), [6, 7, 1, 3, 5, 9, 4]);
    /// assert_eq!(all.range_excl(&[(8, 1, -2)])?.to_string(), "{0-1, 3, 5, 7, 9}");
    /// # Ok::<(), rankine::Error>(())
    /// ```
    ///
    /// # Errors
    /// A stride of 0 or away from `last`; else as [`Group::incl`].
    #[track_caller]
    pub fn range_incl(&self, ranges: &[RankRange]) -> Result<Group> {
        let ranks = self.expand("range_incl", ranges)?;
        self.choose("range_incl", &ranks)?;
        Ok(Group::of_distinct(ranks.iter().map(|&rank| self.ranks[rank])))
    }

    /// As [`Group::excl`], with `(first, last, stride)` of ranks in the group; the stride may be negative.
    ///
    /// # Errors
    /// As [`Group::range_incl`].
    #[track_caller]
    pub fn range_excl(&self, ranges: &[RankRange]) -> Result<Group> {
        let ranks = self.expand("range_excl", ranges)?;
        let out = self.choose("range_excl", &ranks)?;
        let stay = (0..self.size()).filter(|rank| !out.contains(rank));
        Ok(Group::of_distinct(stay.map(|rank| self.ranks[rank])))
    }

    /// For each of these ranks in this group, the same rank in the other; `None` where it is not in the other, or
    /// where this group has no such rank.
    pub fn translate(
        &self,
        ranks: impl IntoIterator<Item = usize>,
        to: &Group,
    ) -> impl Iterator<Item = Option<usize>> {
        let there: HashMap<usize, usize> = to.iter().enumerate().map(|(rank, world)| (world, rank)).collect();
        let here = self.ranks.clone();
        ranks.into_iter().map(move |rank| there.get(here.get(rank)?).copied())
    }

    /// Whether the two have the same ranks, in the same order or another.
    pub fn compare(&self, other: &Group) -> Comparison {
        if self.ranks == other.ranks {
            Comparison::Identical
        } else if self.size() == other.size() && self.set() == other.set() {
            Comparison::Similar
        } else {
            Comparison::Unequal
        }
    }

    fn set(&self) -> HashSet<usize> {
        self.iter().collect()
    }

    /// These ranks as a set, if the group has them all and none is there twice.
    #[track_caller]
    fn choose(&self, call: &str, ranks: &[usize]) -> Result<HashSet<usize>> {
        let mut chosen = HashSet::with_capacity(ranks.len());
        for &rank in ranks {
            if rank >= self.size() {
                let help = match self.size() {
                    0 => "the group is empty".to_string(),
                    size => format!("the group has ranks 0 to {}", size - 1),
                };
                return Err(bad(call, format!("there is no rank {rank}"), &help));
            }
            if !chosen.insert(rank) {
                return Err(bad(call, format!("rank {rank} is given twice"), "give every rank once"));
            }
        }
        Ok(chosen)
    }

    /// The ranks of these ranges, at most one more than the group has, so that a wrong range stays small.
    #[track_caller]
    fn expand(&self, call: &str, ranges: &[RankRange]) -> Result<Vec<usize>> {
        let mut ranks = Vec::new();
        for &(first, last, stride) in ranges {
            if stride == 0 || (stride > 0 && first > last) || (stride < 0 && first < last) {
                let what = format!("from {first} one does not come to {last} in steps of {stride}");
                return Err(bad(call, what, "give (first, last, stride) with the stride towards last"));
            }
            let steps = first.abs_diff(last) / stride.unsigned_abs();
            // One of so many would be there twice or missing, which `choose` finds.
            let steps = steps.min(self.size());
            ranks.extend(
                (0..=steps).map(|step| first.wrapping_add_signed((step as isize).wrapping_mul(stride))),
            );
        }
        Ok(ranks)
    }
}

#[cold]
#[track_caller]
fn bad(call: &str, what: String, help: &str) -> Error {
    Error::usage(format!("{call}: {what}")).help(help).at(Location::caller())
}

impl<'a> IntoIterator for &'a Group {
    type Item = usize;
    type IntoIter = std::iter::Copied<std::slice::Iter<'a, usize>>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// `{0-3, 7}`: runs of ranks that follow each other are drawn together.
impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, run) in self.ranks.chunk_by(|a, b| a + 1 == *b).enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            match run {
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                [one] => write!(f, "{comma}{one}")?,
                [] => {}
            }
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn groups() -> impl Strategy<Value = Group> {
        prop::collection::vec(0usize..24, 0..16).prop_map(|mut ranks| {
            let mut seen = BTreeSet::new();
            ranks.retain(|rank| seen.insert(*rank));
            Group::new(ranks).unwrap()
        })
    }

    fn set(group: &Group) -> BTreeSet<usize> {
        group.iter().collect()
    }

    /// Whether `part` has its ranks in the order in which `whole` has them.
    fn in_order_of(part: &Group, whole: &Group) -> bool {
        let mut rest = whole.iter();
        part.iter().all(|rank| rest.any(|other| other == rank))
    }

    proptest! {
        #[test]
        fn algebra_agrees_with_sets(a in groups(), b in groups()) {
            let (sa, sb) = (set(&a), set(&b));
            let (union, both, rest) = (a.union(&b), a.intersection(&b), a.difference(&b));
            prop_assert_eq!(set(&union), &sa | &sb);
            prop_assert_eq!(set(&both), &sa & &sb);
            prop_assert_eq!(set(&rest), &sa - &sb);
            // MPI's orders: the first group's, then the second's.
            prop_assert_eq!(&union.ranks()[..a.size()], a.ranks());
            let new = b.difference(&a);
            prop_assert_eq!(&union.ranks()[a.size()..], new.ranks());
            prop_assert!(in_order_of(&both, &a) && in_order_of(&rest, &a));
            prop_assert_eq!(both.size() + rest.size(), a.size());
            for group in [union, both, rest] {
                prop_assert_eq!(set(&group).len(), group.size());
            }
        }

        #[test]
        fn incl_and_excl_are_complements(a in groups(), pick in prop::collection::vec(any::<bool>(), 16)) {
            let chosen: Vec<usize> = (0..a.size()).filter(|&rank| pick[rank]).collect();
            let (inside, outside) = (a.incl(&chosen).unwrap(), a.excl(&chosen).unwrap());
            prop_assert_eq!(inside.ranks().to_vec(), chosen.iter().map(|&r| a.ranks()[r]).collect::<Vec<_>>());
            prop_assert_eq!(&a.difference(&inside), &outside);
            prop_assert_eq!(inside.union(&outside).compare(&a) == Comparison::Unequal, false);
        }

        #[test]
        fn ranges_agree_with_counting(size in 1usize..20, first in 0usize..20, last in 0usize..20, stride in -4isize..5) {
            let all = Group::new((0..size).map(|rank| 3 * rank)).unwrap();
            let mut expected = Vec::new();
            let mut at = first as isize;
            while stride != 0 && (if stride > 0 { at <= last as isize } else { at >= last as isize }) {
                expected.push(at as usize);
                at += stride;
            }
            let valid = !expected.is_empty() && expected.iter().all(|&rank| rank < size);
            let (inside, outside) = (all.range_incl(&[(first, last, stride)]), all.range_excl(&[(first, last, stride)]));
            prop_assert_eq!(inside.is_ok(), valid);
            prop_assert_eq!(outside.is_ok(), valid);
            if valid {
                prop_assert_eq!(inside.unwrap(), all.incl(&expected).unwrap());
                prop_assert_eq!(outside.unwrap(), all.excl(&expected).unwrap());
            }
        }

        #[test]
        fn translation_goes_back(a in groups(), b in groups()) {
            for (rank, there) in a.translate(0..a.size() + 2, &b).enumerate() {
                prop_assert_eq!(there, a.ranks().get(rank).and_then(|&world| b.rank_of(world)));
                if let Some(there) = there {
                    prop_assert_eq!(b.translate([there], &a).next(), Some(Some(rank)));
                }
            }
        }
    }

    #[test]
    fn comparisons() {
        let group = |ranks: &[usize]| Group::new(ranks.iter().copied()).unwrap();
        assert_eq!(group(&[1, 2]).compare(&group(&[1, 2])), Comparison::Identical);
        assert_eq!(group(&[1, 2]).compare(&group(&[2, 1])), Comparison::Similar);
        assert_eq!(group(&[1, 2]).compare(&group(&[1, 3])), Comparison::Unequal);
        assert_eq!(group(&[1, 2]).compare(&group(&[1])), Comparison::Unequal);
        assert_eq!(Group::empty().compare(&group(&[])), Comparison::Identical);
    }

    #[test]
    fn what_a_group_cannot_be() {
        let all = Group::new(0..4).unwrap();
        assert!(Group::new([1, 2, 1]).unwrap_err().to_string().contains("rank 1 is given twice"));
        assert!(all.incl(&[4]).unwrap_err().to_string().contains("the group has ranks 0 to 3"));
        assert!(all.excl(&[2, 2]).is_err());
        assert!(Group::empty().incl(&[0]).is_err());
        // Huge ranges are refused without being written out.
        assert!(all.range_incl(&[(0, usize::MAX, 1)]).is_err());
        assert!(all.range_incl(&[(usize::MAX, 0, isize::MIN)]).is_err());
        assert!(all.range_excl(&[(0, usize::MAX, isize::MAX)]).is_err());
    }

    #[test]
    fn in_words() {
        let words = |ranks: &[usize]| Group::new(ranks.iter().copied()).unwrap().to_string();
        assert_eq!(words(&[]), "{}");
        assert_eq!(words(&[3]), "{3}");
        assert_eq!(words(&[0, 1, 2, 5, 4, 6, 7]), "{0-2, 5, 4, 6-7}");
        assert_eq!(format!("{:?}", Group::new([2, 3]).unwrap()), "Group{2-3}");
    }
}
