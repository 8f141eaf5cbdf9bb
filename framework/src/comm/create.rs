//! Communicators from communicators, and which ranks they have.
//!
//! The algebra of groups is in `group`; communicators with a topology are in `cartesian` and `graph`.

use super::Comm;
use super::group::{Comparison, Group};
use super::p2p::TAG_MAX;
use crate::engine::{Engine, Fault, Place};
use crate::error::Result;
use crate::watch::{Class, Key, Members, Name, Need, What, Who};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::Location;
use std::rc::Rc;

impl Comm {
    /// Ranks that give the same colour get a communicator together, ordered by `key`, then by their rank here;
    /// `None` gets none. Collective.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3, 4], |world| {
    ///     let half = world.split(Some((world.rank() % 2) as u32), 0)?.unwrap();
    ///     assert_eq!(half.rank(), world.rank() / 2);
    ///     Ok(())
    /// });
    /// ```
    #[track_caller]
    pub fn split(&self, color: Option<u32>, key: i64) -> Result<Option<Comm>> {
        self.split_at(&"split", color, key, Location::caller())
    }

    pub(super) fn split_at(
        &self,
        call: Name,
        color: Option<u32>,
        key: i64,
        place: Place,
    ) -> Result<Option<Comm>> {
        let _in = self.inner.collective(call, place);
        let part = self.engine().split(color, key, place);
        let part = part.map_err(|fault| self.fault(call, place, fault, ("", 1)))?;
        let id = self.child(color.map_or(0, |color| u64::from(color) + 1));
        part.map(|engine| self.sibling(call, engine, id, place)).transpose()
    }

    /// Ranks that can share memory, which are those of one node, get a communicator together, in the order they
    /// have here. Collective. Ranks that are threads all share memory.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let node = world.split_shared()?;
    ///     let leaders = world.split((node.rank() == 0).then_some(0), 0)?;
    ///     assert_eq!(leaders.is_some(), node.rank() == 0);
    ///     Ok(())
    /// });
    /// ```
    #[track_caller]
    pub fn split_shared(&self) -> Result<Comm> {
        let place = Location::caller();
        let call = &"split_shared";
        let _in = self.inner.collective(call, place);
        let node = self.engine().split_shared(place);
        let node = node.map_err(|fault| self.fault(call, place, fault, ("", 1)))?;
        // The nodes' communicators differ in their first rank.
        let first = node.world_ranks().map_err(|fault| self.fault(call, place, fault, ("", 1)))?;
        let id = self.child(first.first().map_or(0, |&rank| rank as u64 + 1));
        self.sibling(call, node, id, place)
    }

    /// The same ranks in a communicator of their own: its messages never meet those of this one. Collective.
    ///
    /// A library that gets a `Comm` from its caller sends on a duplicate.
    #[track_caller]
    pub fn dup(&self) -> Result<Comm> {
        self.dup_at(&"dup", Location::caller())
    }

    pub(super) fn dup_at(&self, call: Name, place: Place) -> Result<Comm> {
        let _in = self.inner.collective(call, place);
        let engine = self.engine().dup(place);
        let engine = engine.map_err(|fault| self.fault(call, place, fault, ("", 1)))?;
        let id = self.child(0);
        let context =
            self.inner.watch.board().add_context(id, self.inner.members(), Some((&"a communicator", place)));
        Ok(Comm::new(engine, self.inner.clock.clone(), self.inner.watch.clone(), context, id))
    }

    /// The ranks of `group` get a communicator, with the ranks they have in the group; the others get `None`.
    /// Collective over this communicator: ranks outside the group call it too, with the same group or any that they
    /// are not in. Ranks of disjoint groups may each give their own, and get one communicator a group.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3, 4], |world| {
    ///     let even = world.group()?.range_incl(&[(0, world.size() - 1, 2)])?;
    ///     let part = world.create(&even)?;
    ///     assert_eq!(part.map(|part| part.rank()), even.rank_of(world.rank()));
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// A rank of the group that is not in this communicator; members that give different groups
    /// ([`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch), on those that can see it).
    #[track_caller]
    pub fn create(&self, group: &Group) -> Result<Option<Comm>> {
        let place = Location::caller();
        let members = self.members("create", group, place)?;
        let me = members.iter().position(|&rank| rank == self.rank());
        // Every member names the group by its first rank, and its own place in it.
        let color = me.map(|_| members[0] as u32);
        let part = self.split_at(&"create", color, me.unwrap_or(0) as i64, place)?;
        let Some(part) = part else { return Ok(None) };
        let came = part.group()?;
        if came != *group {
            let text = format!("this rank gives the group {group}, and {came} came together");
            return Err(self.fault("create", place, Fault::Mismatch(text), ("", 1)));
        }
        Ok(Some(part))
    }

    /// As [`Comm::create`], but only the ranks of the group call it: collective over the group. `tag`, in
    /// `0..=TAG_MAX`, tells apart groups that are made at the same time; it does not meet the tags of messages. It
    /// need not wait for the other members.
    ///
    /// ```
    /// rankine::testing::ranks([2, 3, 4], |world| {
    ///     let first = world.group()?.incl(&[1, 0])?;
    ///     if first.contains(world.rank()) {
    ///         let pair = world.create_group(&first, 7)?;
    ///         assert_eq!(pair.rank(), 1 - world.rank());
    ///         pair.barrier()?;
    ///     }
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// A group without this rank, or with ranks that are not in this communicator; a tag that cannot be.
    #[track_caller]
    pub fn create_group(&self, group: &Group, tag: i32) -> Result<Comm> {
        let place = Location::caller();
        let call = &"create_group";
        if !(0..=TAG_MAX).contains(&tag) {
            let help = format!("tags are 0 to {TAG_MAX}");
            return Err(self.usage(call, place, format!("tag {tag}"), &help));
        }
        let members = self.members(call, group, place)?;
        if !members.contains(&self.rank()) {
            let what = format!("this rank is not in the group {group}");
            return Err(self.usage(call, place, what, "only the ranks of the group call it; or use create"));
        }
        // The members meet in the communicator that they make.
        let (id, world) = (self.group_child(&members, tag), self.group()?);
        let members_there = Members::of(members.iter().map(|&rank| world.ranks()[rank]).collect());
        let context =
            self.inner.watch.board().add_context(id, members_there, Some((&"a communicator", place)));
        let number = self.inner.watch.enter_collective(context, call, place);
        let need = Need::new(What::Collective, Key::new(Class::Entered, context, None, None), number);
        let _in = self.inner.within(call, place, need.who(Who::All));
        let engine = self.engine().create_group(&members, tag, place);
        let engine = engine.map_err(|fault| self.fault(call, place, fault, ("", 1)))?;
        Ok(Comm::new(engine, self.inner.clock.clone(), self.inner.watch.clone(), context, id))
    }

    /// The ranks of this communicator, in its order. Local.
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn group(&self) -> Result<Group> {
        let known = &self.inner.notes.group;
        if known.get().is_none() {
            let place = Location::caller();
            let ranks = self.engine().world_ranks();
            let ranks = ranks.map_err(|fault| self.fault("group", place, fault, ("", 1)))?;
            let _ = known.set(Group::of_distinct(ranks));
        }
        Ok(known.get().cloned().unwrap_or_else(Group::empty))
    }

    /// The world rank of a rank of this communicator. Local.
    ///
    /// # Errors
    /// A rank that is not in the communicator.
    #[track_caller]
    pub fn world_rank(&self, rank: usize) -> Result<usize> {
        self.check_dest("world_rank", rank, 0, Location::caller())?;
        Ok(self.group()?.ranks()[rank])
    }

    /// How this communicator and another differ: in nothing, in their messages ([`Comparison::Congruent`]), in their
    /// order, in their ranks. Local.
    ///
    /// ```
    /// use rankine::Comparison;
    /// rankine::testing::ranks([2, 3], |world| {
    ///     assert_eq!(world.compare(world)?, Comparison::Identical);
    ///     assert_eq!(world.compare(&world.dup()?)?, Comparison::Congruent);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// As [`Comm::group`].
    #[track_caller]
    pub fn compare(&self, other: &Comm) -> Result<Comparison> {
        if Rc::ptr_eq(&self.inner, &other.inner) {
            return Ok(Comparison::Identical);
        }
        Ok(match self.group()?.compare(&other.group()?) {
            Comparison::Identical => Comparison::Congruent,
            other => other,
        })
    }

    /// The ranks here of the group's members.
    fn members(&self, call: &str, group: &Group, place: Place) -> Result<Vec<usize>> {
        let mine = self.group()?;
        let here: Option<Vec<usize>> = group.translate(0..group.size(), &mine).collect();
        here.ok_or_else(|| {
            let what = format!("ranks {} are not in this communicator", group.difference(&mine));
            self.usage(call, place, what, &format!("it has the world's ranks {mine}"))
        })
    }

    /// A communicator that this one's rank has come into.
    fn sibling(&self, call: Name, engine: Engine, id: u64, place: Place) -> Result<Comm> {
        let world = engine.world_ranks().map_err(|fault| self.fault(call, place, fault, ("", 1)))?;
        let context =
            self.inner.watch.board().add_context(id, Members::of(world), Some((&"a communicator", place)));
        Ok(Comm::new(engine, self.inner.clock.clone(), self.inner.watch.clone(), context, id))
    }

    /// The number of a communicator that all ranks of this one make now; with `part` it is one of several.
    fn child(&self, part: u64) -> u64 {
        self.inner.children.set(self.inner.children.get() + 1);
        fingerprint(&(self.inner.id, self.inner.children.get(), part))
    }

    /// A number that only what all ranks make now has.
    pub(super) fn next_child(&self) -> u64 {
        self.child(0)
    }

    /// The number of a communicator that these ranks of this one make now, with that tag.
    fn group_child(&self, members: &[usize], tag: i32) -> u64 {
        let group = fingerprint(&(self.inner.id, members, tag));
        let mut groups = self.inner.groups.borrow_mut();
        let times = match groups.iter_mut().find(|(known, _)| *known == group) {
            Some((_, times)) => {
                *times += 1;
                *times
            }
            None => {
                groups.push((group, 1));
                1
            }
        };
        fingerprint(&(group, times))
    }

    /// Compares on every rank a number that stands for what the ranks must give alike; in the checked mode only.
    /// Collective then.
    #[track_caller]
    pub(super) fn agree_on(&self, call: &str, what: &str, fingerprint: u64) -> Result<()> {
        if !self.engine().checked() {
            return Ok(());
        }
        let place = Location::caller();
        let all = self.allgather(&[fingerprint])?;
        match all.iter().position(|&other| other != all[0]) {
            None => Ok(()),
            Some(other) => {
                let text = format!("ranks 0 and {other} give different {what}");
                Err(self.fault(call, place, Fault::Mismatch(text), ("", 1)))
            }
        }
    }
}

/// The same on every rank for the same words. Nothing but chance makes it the same for others.
pub(super) fn fingerprint(words: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    words.hash(&mut hasher);
    hasher.finish()
}
