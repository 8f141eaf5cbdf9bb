//! What errors want to know of the past: where a message was sent, and which collective call came before.
//!
//! Only what boards of this process say: of messages from other processes nothing is known here.

use super::Watch;
use super::board::Board;
use super::key::{Class, Key};
use super::tally::Count;
use crate::engine::Place;

impl Watch {
    /// Where rank `source` of a communicator has sent rank `me` of it, this one, a message with that tag that has come: in
    /// words, if it is known.
    pub fn sent_at(&self, context: u32, source: usize, me: usize, tag: i32) -> Option<String> {
        let contexts = self.board.contexts();
        let context = contexts.get(context as usize)?;
        let world = context.members.world(u32::try_from(source).ok()?)?;
        let board = match world as usize == self.board.rank {
            true => &*self.board,
            false => self.hub.as_ref()?.board(world)?,
        };
        let sent = board.sent(context.id, me, tag)?;
        match (sent.count, sent.place?) {
            (1, place) => Some(format!("sent at {place}")),
            // The one that has come may be an earlier one.
            (_, place) => Some(format!("the last of which was sent at {place}")),
        }
    }

    /// The collective call that this rank made on a communicator or window before that at `place`: in words, if it is
    /// remembered.
    pub fn call_before(&self, context: u32, place: Place) -> Option<String> {
        let mut calls: Vec<_> = self
            .board
            .recent()
            .into_iter()
            .filter(|call| call.context == context && call.number > 0)
            .collect();
        calls.sort_by_key(|call| std::cmp::Reverse(call.number));
        let last = calls.first()?;
        let before = match last.place == place {
            true if last.number == 1 => return Some("this is the first one here".to_string()),
            true => calls.get(1).filter(|call| call.number + 1 == last.number)?,
            false => last,
        };
        Some(format!("the last one before was {} #{} ({})", before.name, before.number, before.place))
    }
}

impl Board {
    /// What this rank has counted of its messages with that tag to a rank of the communicator of that number.
    fn sent(&self, id: u64, to: usize, tag: i32) -> Option<Count> {
        let index = self.contexts().iter().position(|context| context.id == id)?;
        let key = Key::new(Class::Sent, u32::try_from(index).ok()?, Some(to), Some(tag));
        self.tally.all().find(|count| count.key == key)
    }
}
