//! What a communicator keeps for the framework's own messages: the same ranks in a context of their own.
//!
//! The typed calls of `Comm` work there as everywhere, and meet none of the author's messages, wildcards included.

use super::Comm;
use std::cell::OnceCell;

/// Tags of the framework's own messages.
pub(super) mod tags {
    /// Serialized values on their way through a collective.
    pub const VALUES: i32 = 0x1000;
}

/// Made when it is first needed.
#[derive(Default)]
pub(super) struct Backstage {
    comm: OnceCell<Comm>,
}

impl Comm {
    /// The same ranks, for messages that the framework sends on its own account.
    pub(super) fn backstage(&self) -> &Comm {
        self.inner.backstage.comm.get_or_init(|| {
            let engine = self.inner.engine.private();
            // A private engine has no twin of its own, and nobody asks for it.
            let private = engine.private();
            Comm::of(engine, private, self.inner.clock.clone())
        })
    }
}
