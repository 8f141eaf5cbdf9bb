//! Communicators from communicators: the last to arrive at the meeting sorts the ranks.

use super::gathering::Table;
use super::part::Part;
use super::small::SMALL;
use super::{Claim, Meeting};
use crate::engine::local::{Group, Local};
use crate::engine::signature::Signature;
use crate::engine::{Outcome, Place};
use std::sync::{Arc, PoisonError};

/// A communicator and this rank's number in it.
pub(super) type Seat = (Arc<Group>, usize);

impl Local {
    pub fn split(&self, color: Option<u32>, key: i64, place: Place) -> Outcome<Option<Local>> {
        self.regroup("split", color.map_or(-1, i64::from), key, place)
    }

    pub fn dup(&self, place: Place) -> Outcome<Local> {
        match self.regroup("dup", 0, 0, place)? {
            Some(copy) => Ok(copy),
            None => unreachable!("all ranks of a dup have the same colour"),
        }
    }

    /// All ranks: threads share their memory.
    pub fn split_shared(&self, place: Place) -> Outcome<Local> {
        match self.regroup("split_shared", 0, 0, place)? {
            Some(copy) => Ok(copy),
            None => unreachable!("all ranks have the same colour"),
        }
    }

    fn regroup(&self, call: &'static str, color: i64, key: i64, place: Place) -> Outcome<Option<Local>> {
        let signature = Signature { call, root: None, bytes: 0, kind: None, op: None, place };
        let claim = Claim { signature, started: self.started_so_far() };
        let mut wish = [0; 16];
        wish[..8].copy_from_slice(&color.to_le_bytes());
        wish[8..].copy_from_slice(&key.to_le_bytes());
        let Meeting { seats, direct, .. } = &self.group.meeting;
        if let Some(direct) = direct
            && self.size() > 1
        {
            // So that others who are in a call of another kind hear of it.
            self.agree_directly(direct, claim)?;
        }
        self.meet(Part::nothing(), claim, &wish, |table| {
            let found = table.agree(self.size());
            if found.agreed() {
                *seats.lock().unwrap_or_else(PoisonError::into_inner) = self.assign(table);
            }
            found
        })?;
        let mine = seats.lock().unwrap_or_else(PoisonError::into_inner)[self.rank].take();
        Ok(mine.map(|(group, rank)| Local {
            world: self.world.clone(),
            context: group.context,
            group,
            rank,
            me: self.me,
            spares: self.spares.clone(),
        }))
    }

    /// The new communicator of each rank and its rank there: one for each colour that is not negative, ordered by key,
    /// then by rank.
    fn assign(&self, table: &Table) -> Vec<Option<Seat>> {
        let wish = |rank: usize| {
            let (color, key) = read_wish(&table.card(rank).small.0);
            (color, key, rank)
        };
        let mut wishes: Vec<(i64, i64, usize)> = (0..self.size()).map(wish).collect();
        let mut seats = vec![None; wishes.len()];
        wishes.sort_unstable();
        for part in wishes.chunk_by(|a, b| a.0 == b.0).filter(|part| part[0].0 >= 0) {
            let members: Box<[u32]> = part.iter().map(|&(_, _, rank)| self.group.members[rank]).collect();
            let meeting = self.world.meeting(members.len());
            let group = Arc::new(Group { context: self.world.new_context(), members, meeting });
            for (new, &(_, _, rank)) in part.iter().enumerate() {
                seats[rank] = Some((group.clone(), new));
            }
        }
        seats
    }
}

fn read_wish(small: &[u8; SMALL]) -> (i64, i64) {
    let number = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&small[at..at + 8]);
        i64::from_le_bytes(bytes)
    };
    (number(0), number(8))
}
