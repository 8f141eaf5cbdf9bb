//! Communicators that some ranks make without the others: the first to come makes it, the last takes it off the list.
//!
//! Nobody waits and no message is sent. Ranks that make several of the same members under the same tag come to them
//! in the same order, so a rank's next one is the first that it has not been to.

use super::{Group, Local};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What members must give alike: the context of the communicator they are in, the tag, their ranks there.
type Key = (u32, i32, Box<[usize]>);

/// The communicators of a world that members are still to come to.
#[derive(Default)]
pub(super) struct Forming(Mutex<HashMap<Key, Vec<Unfinished>>>);

struct Unfinished {
    group: Arc<Group>,
    /// Who has come, by rank in the group.
    came: Box<[bool]>,
}

impl Local {
    /// These ranks, in this order, of which this one is one.
    pub fn create_group(&self, members: &[usize], tag: i32) -> Local {
        let rank = match members.iter().position(|&member| member == self.rank) {
            Some(rank) => rank,
            None => unreachable!("only members make a group"),
        };
        let mut forming = self.world.forming.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (self.group.context, tag, members.into());
        let same = forming.entry(key).or_default();
        let next = same.iter().position(|unfinished| !unfinished.came[rank]).unwrap_or_else(|| {
            let world: Box<[u32]> = members.iter().map(|&member| self.group.members[member]).collect();
            let meeting = self.world.meeting(world.len());
            let group = Arc::new(Group { context: self.world.new_context(), members: world, meeting });
            same.push(Unfinished { group, came: vec![false; members.len()].into() });
            same.len() - 1
        });
        same[next].came[rank] = true;
        let group = same[next].group.clone();
        if same[next].came.iter().all(|&came| came) {
            same.remove(next);
            forming.retain(|_, same| !same.is_empty());
        }
        let spares = self.spares.clone();
        Local { world: self.world.clone(), context: group.context, group, rank, me: self.me, spares }
    }

    /// See [`Engine::world_ranks`](crate::engine::Engine::world_ranks).
    pub fn world_ranks(&self) -> crate::engine::Outcome<Vec<usize>> {
        Ok(self.group.members.iter().map(|&rank| rank as usize).collect())
    }
}
