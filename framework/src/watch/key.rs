//! What a rank counts messages by: a communicator, another rank of it, a tag, and what is counted, in 64 bits.

/// What is counted under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub(crate) enum Class {
    /// Messages sent to the rank.
    Sent = 1,
    /// Receives of the rank's messages that have been started; with a wildcard, receives with that wildcard.
    Wanted = 2,
    /// Messages of the rank that a receive with a wildcard has taken, less the receives that were taken back.
    Strayed = 3,
    /// Receives with that wildcard that are over.
    Found = 4,
    /// Collective calls entered; of no rank.
    Entered = 5,
    /// Locks of the rank's part of a window that are held now.
    Held = 6,
    /// Of the collective calls entered, those that were started for later, which never meet blocking ones; of no rank.
    Started = 7,
    /// Receives without a wildcard whose message one with a wildcard, started before and still open, may have taken; of no rank.
    Risked = 8,
}

impl Class {
    fn of(bits: u64) -> Option<Class> {
        Some(match bits {
            1 => Class::Sent,
            2 => Class::Wanted,
            3 => Class::Strayed,
            4 => Class::Found,
            5 => Class::Entered,
            6 => Class::Held,
            7 => Class::Started,
            8 => Class::Risked,
            _ => return None,
        })
    }
}

const TAG_BITS: u32 = 21;
const PEER_BITS: u32 = 23;
const CONTEXT_BITS: u32 = 16;

const TAG: u64 = (1 << TAG_BITS) - 1;
const PEER: u64 = (1 << PEER_BITS) - 1;

/// The last context that has keys; this one and those after it are not counted.
pub(super) const CONTEXTS: u32 = (1 << CONTEXT_BITS) - 1;

/// `None` of a peer or a tag is a wildcard. Ranks are those of the communicator; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(pub(super) u64);

impl Key {
    #[inline(always)]
    pub fn new(class: Class, context: u32, peer: Option<usize>, tag: Option<i32>) -> Key {
        let peer = peer.map_or(PEER, |peer| peer as u64 & PEER);
        let tag = tag.map_or(TAG, |tag| tag as u64 & TAG);
        Key(((class as u64) << CONTEXT_BITS | u64::from(context)) << (PEER_BITS + TAG_BITS)
            | peer << TAG_BITS
            | tag)
    }

    /// Of one collective call that was started for later: which one of these it is, in the place of a rank and a tag.
    #[inline(always)]
    pub fn of_started(context: u32, nth: u64) -> Key {
        let number = nth & ((1 << (PEER_BITS + TAG_BITS)) - 1);
        Key(((Class::Started as u64) << CONTEXT_BITS | u64::from(context)) << (PEER_BITS + TAG_BITS) | number)
    }

    /// Which one, of a collective call that was started for later.
    pub fn nth(self) -> Option<u64> {
        (self.class() == Some(Class::Started)).then_some(self.0 & ((1 << (PEER_BITS + TAG_BITS)) - 1))
    }

    pub fn class(self) -> Option<Class> {
        Class::of(self.0 >> (CONTEXT_BITS + PEER_BITS + TAG_BITS))
    }

    pub fn context(self) -> u32 {
        (self.0 >> (PEER_BITS + TAG_BITS)) as u32 & CONTEXTS
    }

    pub fn peer(self) -> Option<u32> {
        let peer = self.0 >> TAG_BITS & PEER;
        (peer != PEER).then_some(peer as u32)
    }

    pub fn tag(self) -> Option<i32> {
        let tag = self.0 & TAG;
        (tag != TAG).then_some(tag as i32)
    }

    /// Whether it stands for several ranks or tags.
    #[inline(always)]
    pub fn is_wild(self) -> bool {
        self.0 & TAG == TAG || self.0 >> TAG_BITS & PEER == PEER
    }

    /// The same context, rank and tag, and another class.
    #[inline(always)]
    pub fn as_class(self, class: Class) -> Key {
        let shift = CONTEXT_BITS + PEER_BITS + TAG_BITS;
        Key(self.0 & ((1 << shift) - 1) | (class as u64) << shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comm::TAG_MAX;

    #[test]
    fn a_key_comes_back_whole() {
        let classes = (1..=8).map(|bits| Class::of(bits).expect("a class"));
        for class in classes {
            for context in [0, 1, CONTEXTS] {
                for peer in [None, Some(0), Some(7), Some((PEER - 1) as usize)] {
                    for tag in [None, Some(0), Some(TAG_MAX)] {
                        let key = Key::new(class, context, peer, tag);
                        assert_eq!((key.class(), key.context()), (Some(class), context));
                        assert_eq!((key.peer().map(|p| p as usize), key.tag()), (peer, tag));
                        assert_eq!(key.as_class(Class::Held), Key::new(Class::Held, context, peer, tag));
                        assert_ne!(key.0, 0);
                    }
                }
            }
        }
        let started = Key::of_started(CONTEXTS, 1 << 40);
        assert_eq!((started.context(), started.nth()), (CONTEXTS, Some(1 << 40)));
        assert_eq!(Key::new(Class::Sent, 1, None, None).nth(), None);
    }
}
