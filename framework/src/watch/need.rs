//! What a blocked rank needs before it can go on, in three words that its board can hold.

use super::key::Key;

/// One thing that a rank waits for, in three words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// What is needed, the code of the element kind, whose part in a collective call, two flags, and its root, above each
    /// other.
    first: u64,
    /// The message, the receive, the collective calls of a communicator, the lock.
    pub key: Key,
    /// Which one of those with this key, from 1; 0 if that is not known.
    pub number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub(crate) enum What {
    /// Nothing of another rank's: it goes on by itself.
    Nothing = 0,
    /// A message that a started receive takes.
    Message = 1,
    /// A message that nobody has taken, to look at or to take.
    Probe = 2,
    /// A receive for a message that has been sent.
    Receiver = 3,
    /// That others enter the same collective call.
    Collective = 4,
    /// That this rank's neighbours in a topology do.
    Neighbors = 5,
    /// That locks of a part of a window are released.
    SharedLock = 6,
    ExclusiveLock = 7,
    /// All of a list.
    All = 8,
    /// One of a list.
    Any = 9,
}

impl What {
    fn of(code: u64) -> What {
        [
            What::Nothing,
            What::Message,
            What::Probe,
            What::Receiver,
            What::Collective,
            What::Neighbors,
            What::SharedLock,
            What::ExclusiveLock,
            What::All,
            What::Any,
        ][(code & 0xff) as usize % 10]
    }
}

/// Whose part in a collective call a rank cannot do without, whatever the library below does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub(crate) enum Who {
    /// Nobody's, for sure.
    Nobody = 0,
    All = 1,
    Root = 2,
    /// Those of lower ranks.
    Lower = 3,
}

/// The call itself has started it, after everything else that its rank has started.
const LAST: u64 = 1 << 18;
/// A receive whose message one with a wildcard may have taken.
const RISKED: u64 = 1 << 19;

/// No root.
const NONE: u64 = 0xff_ffff;

impl Need {
    pub const NOTHING: Need = Need { first: NONE << 24, key: Key(0), number: 0 };

    #[inline(always)]
    pub fn new(what: What, key: Key, number: u64) -> Need {
        Need { first: what as u64 | NONE << 24, key, number }
    }

    #[inline(always)]
    pub fn element(self, code: u8) -> Need {
        Need { first: self.first | u64::from(code) << 8, ..self }
    }

    #[inline(always)]
    pub fn who(self, who: Who) -> Need {
        Need { first: self.first & !(0b11 << 16) | (who as u64) << 16, ..self }
    }

    /// Started by the call that waits for it, after everything else that its rank has started.
    #[inline(always)]
    pub fn last(self) -> Need {
        Need { first: self.first | LAST, ..self }
    }

    /// As needed, started some time ago.
    #[inline(always)]
    pub fn not_last(self) -> Need {
        Need { first: self.first & !LAST, ..self }
    }

    pub fn risked(self) -> Need {
        Need { first: self.first | RISKED, ..self }
    }

    #[inline(always)]
    pub fn root(self, root: Option<usize>) -> Need {
        let root = root.map_or(NONE, |root| root as u64 & NONE);
        Need { first: self.first & !(NONE << 24) | root << 24, ..self }
    }

    /// Of a list that the board keeps beside this.
    pub fn list(what: What) -> Need {
        Need::new(what, Key(0), 0)
    }

    /// As needed, of another kind.
    pub fn as_what(self, what: What) -> Need {
        Need { first: self.first & !0xff | what as u64, ..self }
    }

    #[inline(always)]
    pub fn what(&self) -> What {
        What::of(self.first)
    }

    pub(super) fn is_last(&self) -> bool {
        self.first & LAST != 0
    }

    #[inline(always)]
    pub fn is_risked(&self) -> bool {
        self.first & RISKED != 0
    }

    pub(super) fn element_code(&self) -> u8 {
        (self.first >> 8) as u8
    }

    pub(super) fn whom(&self) -> Who {
        [Who::Nobody, Who::All, Who::Root, Who::Lower][(self.first >> 16 & 3) as usize]
    }

    pub(super) fn root_rank(&self) -> Option<u32> {
        let root = self.first >> 24 & NONE;
        (root != NONE).then_some(root as u32)
    }

    #[inline(always)]
    pub(super) fn words(&self) -> [u64; 3] {
        [self.first, self.key.0, self.number]
    }

    pub(super) fn of_words([first, key, number]: [u64; 3]) -> Need {
        Need { first, key: Key(key), number }
    }

    #[inline(always)]
    pub(super) fn is_list(&self) -> bool {
        matches!(self.what(), What::All | What::Any)
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::Class;
    use super::*;

    #[test]
    fn a_need_comes_back_whole() {
        let key = Key::new(Class::Wanted, 3, Some(5), Some(7));
        let message = Need::new(What::Message, key, 9).element(11);
        let reduce = Need::new(What::Collective, key, 88).who(Who::Root).root(Some(6));
        for need in [Need::NOTHING, message, message.last(), reduce.risked(), Need::list(What::Any)] {
            assert_eq!(Need::of_words(need.words()), need);
        }
        assert_eq!((message.what(), message.element_code(), message.root_rank()), (What::Message, 11, None));
        assert_eq!(
            (reduce.what(), reduce.whom(), reduce.root_rank()),
            (What::Collective, Who::Root, Some(6))
        );
        let reduce = reduce.last().risked();
        assert_eq!((reduce.whom(), reduce.root_rank(), reduce.is_last()), (Who::Root, Some(6), true));
        assert!(reduce.is_risked() && !reduce.not_last().is_last() && !message.is_risked());
        assert_eq!(reduce.as_what(What::Neighbors).what(), What::Neighbors);
        assert_eq!((Need::NOTHING.what(), Need::NOTHING.root_rank()), (What::Nothing, None));
    }
}
