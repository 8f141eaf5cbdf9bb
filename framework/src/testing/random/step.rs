//! What a rank of a random program does, step by step, and with whom: words only. `play` does it, `model` thinks it through.

/// Communicators by number; every program has the same ones, made in the same order.
pub(super) const WORLD: usize = 0;
/// A duplicate of the world.
pub(super) const TWIN: usize = 1;
/// The two parts of a split of the world, in which ranks stand in reverse order.
pub(super) const HALVES: [usize; 2] = [2, 3];
/// All ranks in a periodic ring.
pub(super) const RING: usize = 4;
/// A duplicate of the world whose receives take anything.
pub(super) const WILD: usize = 5;
/// The ranks of a window.
pub(super) const WINDOW: usize = 6;
pub(super) const COMMUNICATORS: usize = 7;

/// One side of a message. Ranks are those of the world; `None` is a wildcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Side {
    pub comm: usize,
    pub peer: Option<usize>,
    pub tag: Option<i32>,
    /// Sent, or room for.
    pub bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Standard,
    Synchronous,
    Buffered,
    /// A vector that is given away.
    ByValue,
}

/// How a message is looked for before it is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Not,
    Probe,
    Matched,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Barrier,
    Bcast,
    Reduce,
    Allreduce,
    Gather,
    Allgather,
    Alltoall,
    Scan,
}

impl Call {
    pub fn has_root(self) -> bool {
        matches!(self, Call::Bcast | Call::Reduce | Call::Gather)
    }

    pub fn name(self) -> &'static str {
        match self {
            Call::Barrier => "barrier",
            Call::Bcast => "bcast",
            Call::Reduce => "reduce",
            Call::Allreduce => "allreduce",
            Call::Gather => "gather",
            Call::Allgather => "allgather",
            Call::Alltoall => "alltoall",
            Call::Scan => "scan",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Collective {
    pub comm: usize,
    pub call: Call,
    /// Of the world.
    pub root: usize,
    /// Bytes that a rank gives another.
    pub bytes: usize,
}

/// How several operations are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// One after the other.
    Each,
    All,
    /// One after the other as they come.
    Any,
    Some,
    /// Only until one has come; the others go on under the first's number.
    Once,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Send(Side, Mode),
    Recv(Side, Look),
    /// Started; under a number that is waited for later, and whether by a plan.
    StartSend(Side, Mode, usize, bool),
    StartRecv(Side, usize, bool),
    /// Both in one call.
    Exchange(Side, Side),
    Collect(Collective),
    StartCollect(Collective, usize),
    /// An exchange with both neighbours in the ring.
    Neighbors,
    /// All ranks' fence of the window, in which each writes to the next one's part.
    Fence,
    /// All ranks' share of the window, in which this one locks a part, and for itself alone or not.
    Share(usize, bool),
    Wait(Vec<usize>, How),
    /// So many microseconds without any call; and whether asleep.
    Pause(u64, bool),
}
