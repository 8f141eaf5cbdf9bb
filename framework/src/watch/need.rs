//! What a blocked rank needs before it can go on, in five words that its board can hold.

use super::key::Key;

/// One thing that a rank waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub what: What,
    /// The code of the element kind; 0 for none.
    pub element: u8,
    /// Whose part in a collective call is needed.
    pub who: Who,
    pub root: Option<usize>,
    /// The message, the receive, the collective calls of a communicator, the lock.
    pub key: Key,
    /// Which one of those with this key, from 1; 0 if that is not known.
    pub number: u64,
    /// Bytes, in a collective call: with `operator`, what ranks must give alike.
    pub bytes: u64,
    pub operator: u32,
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

impl Need {
    pub const NOTHING: Need = Need {
        what: What::Nothing,
        element: 0,
        who: Who::Nobody,
        root: None,
        key: Key(0),
        number: 0,
        bytes: 0,
        operator: 0,
    };

    #[inline(always)]
    pub fn new(what: What, key: Key, number: u64) -> Need {
        Need { what, key, number, ..Need::NOTHING }
    }

    #[inline(always)]
    pub fn element(self, code: u8) -> Need {
        Need { element: code, ..self }
    }

    /// Of a list that the board keeps beside this.
    pub fn list(what: What) -> Need {
        Need { what, ..Need::NOTHING }
    }

    #[inline(always)]
    pub(super) fn pack(&self) -> [u64; 4] {
        // No root is as good as the last one that no communicator has.
        let root = self.root.map_or(0xff_ffff, |root| root as u64 & 0xff_ffff);
        [
            self.what as u64 | u64::from(self.element) << 8 | (self.who as u64) << 16 | root << 24,
            self.key.0,
            self.number << 32 | u64::from(self.operator),
            self.bytes,
        ]
    }

    pub(super) fn unpack([first, key, numbers, bytes]: [u64; 4]) -> Need {
        let who = [Who::Nobody, Who::All, Who::Root, Who::Lower][(first >> 16 & 3) as usize];
        let root = first >> 24 & 0xff_ffff;
        Need {
            what: What::of(first),
            element: (first >> 8) as u8,
            who,
            root: (root != 0xff_ffff).then_some(root as usize),
            key: Key(key),
            number: numbers >> 32,
            operator: numbers as u32,
            bytes,
        }
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.what, What::All | What::Any)
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::Class;
    use super::*;

    #[test]
    fn a_need_comes_back_whole() {
        let key = Key::new(Class::Wanted, 3, Some(5), Some(7));
        let needs = [
            Need::NOTHING,
            Need::new(What::Message, key, 9).element(11),
            Need {
                who: Who::Root,
                root: Some(6),
                bytes: 1 << 40,
                operator: 0xdead_beef,
                ..Need::new(What::Collective, key, 88)
            },
            Need::list(What::Any),
        ];
        for need in needs {
            assert_eq!(Need::unpack(need.pack()), need);
        }
    }
}
