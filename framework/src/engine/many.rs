//! Many requests at once: how an engine is shown them, wherever their handles keep them.

use super::{Engine, Envelope, Outcome, Request};

/// Requests that are waited for together. They may be of different communicators of one rank.
pub(crate) trait Many {
    fn len(&self) -> usize;

    /// What is enough for who waits.
    fn enough(&self) -> Enough;

    /// Shows the request of an index below [`Many::len`], with the engine it was made by.
    fn at(&mut self, index: usize, look: &mut dyn FnMut(&Engine, &mut Request));
}

/// Which of the requests that are over are wanted, at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Enough {
    One,
    Some,
    All,
}

/// The index of a request that is over, and how it ended.
pub(crate) type Ended = (usize, Outcome<Envelope>);
