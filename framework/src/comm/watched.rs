//! What the watch is told of the calls of a communicator: what they send, what they wait for, what has come.
//!
//! The watch counts messages by communicator, rank and tag; see `watch`. Whoever starts an operation keeps its [`Trace`], so
//! that a later wait can say what it waits for.

use super::{Comm, Inner};
use crate::comm::element::Kind;
use crate::engine::{
    Call, Collective, Envelope, Fault, From, Matched, Mode, Outcome, Place, Request, Tagged,
};
use crate::timing::Doing;
use crate::timing::Section;
use crate::watch::{self, Class, Endpoint, Key, Listed, Listener, Name, Need, What, Who};

/// An operation under way, as the watch knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trace {
    need: Need,
    place: Place,
}

impl Trace {
    /// Of an operation that waits for nobody.
    pub fn of_nothing(place: Place) -> Trace {
        Trace { need: Need::NOTHING, place }
    }

    #[inline(always)]
    pub fn need(&self) -> Need {
        self.need
    }

    /// Where it was started.
    pub fn place(&self) -> Place {
        self.place
    }

    pub fn listed(&self) -> Listed {
        Listed { need: self.need.not_last(), origin: self.place }
    }
}

/// The time in a call: what the clock counts and the watch shows.
#[must_use]
pub(crate) struct Within<'c> {
    _inside: watch::Inside<'c>,
    _timed: Option<Section<'c>>,
}

fn peer(from: From) -> Option<usize> {
    match from {
        From::Any => None,
        From::Rank(rank) => Some(rank),
    }
}

fn tag_of(tagged: Tagged) -> Option<i32> {
    match tagged {
        Tagged::Any => None,
        Tagged::Tag(tag) => Some(tag),
    }
}

impl Comm {
    /// Lets people look at the job, if this process sees all ranks; where they find it.
    pub(crate) fn open_door(&self) -> Option<std::io::Result<Endpoint>> {
        self.inner.watch.open_door()
    }

    /// What this rank has sent so far to each rank of the world, the framework's own included: its number, messages, bytes; sorted.
    /// `None` if nobody counts.
    pub(crate) fn sent_to(&self) -> Option<Vec<(u32, u64, u64)>> {
        let watch = &self.inner.watch;
        watch.is_on().then(|| watch.board().sent_to())
    }

    /// If this process sees all ranks, `listener` is told which rank the others are waiting for, if one computes for long; or
    /// nobody is.
    pub(crate) fn listen_for_late_ranks(&self, listener: Option<Listener>) {
        self.inner.watch.listen_for_late_ranks(listener);
    }

    /// This rank is at that time step.
    pub(crate) fn at_step(&self, step: u64) {
        self.inner.watch.board().set_step(step);
    }
}

impl Inner {
    /// Goes into a call that needs `need`, until the answer is dropped.
    #[inline(always)]
    pub fn within(&self, name: Name, place: Place, need: Need) -> Within<'_> {
        let doing = if need.key.class() == Some(Class::Sent) { Doing::Sending } else { Doing::Waiting };
        Within { _inside: self.watch.enter(name, place, need), _timed: self.clock.communicating(doing) }
    }

    /// Goes into a collective call of all ranks that is made of others or makes something.
    pub fn collective(&self, name: Name, place: Place) -> Within<'_> {
        let trace = self.entering_all(name, place);
        self.within(name, place, trace.need())
    }

    /// As [`Inner::collective`], of the ranks of a window.
    pub fn collective_in(&self, context: u32, name: Name, place: Place) -> Within<'_> {
        let number = self.watch.enter_collective(context, name, place);
        let need = Need::new(What::Collective, Key::new(Class::Entered, context, None, None), number);
        self.within(name, place, need.who(Who::All))
    }

    /// The last such call was none: its ranks have learned that they disagree.
    #[cold]
    pub fn not_entered(&self, context: u32, place: Place) {
        self.watch.uncount(Key::new(Class::Entered, context, None, None), place);
    }

    /// Goes into a call that waits for an operation started before.
    #[inline(always)]
    pub fn waiting(&self, name: Name, place: Place, trace: &Trace) -> Within<'_> {
        Within {
            _inside: self.watch.enter_wait(name, place, trace.need.not_last(), trace.place),
            _timed: self.clock.communicating(Doing::Waiting),
        }
    }

    /// A message goes to rank `dest`.
    #[inline(always)]
    pub fn sending(
        &self,
        mode: Mode,
        bytes: usize,
        kind: Kind,
        dest: usize,
        tag: i32,
        place: Place,
    ) -> Trace {
        let waits = self.engine.waits_for_receive(mode, bytes);
        self.outgoing(waits, bytes, kind, dest, tag, place)
    }

    /// As [`Inner::sending`], of a vector by value.
    #[inline(always)]
    pub fn giving(&self, bytes: usize, kind: Kind, dest: usize, tag: i32, place: Place) -> Trace {
        let waits = self.engine.waits_for_receive_of_parcel(bytes);
        self.outgoing(waits, bytes, kind, dest, tag, place)
    }

    #[inline(always)]
    fn outgoing(&self, waits: bool, bytes: usize, kind: Kind, dest: usize, tag: i32, place: Place) -> Trace {
        let key = Key::new(Class::Sent, self.context, Some(dest), Some(tag));
        let number = self.watch.count(key, bytes, place);
        self.clock.message(bytes);
        let what = if waits { What::Receiver } else { What::Nothing };
        Trace { need: Need::new(what, key, number).element(kind.code()), place }
    }

    /// A receive is started.
    #[inline(always)]
    pub fn receiving(&self, kind: Kind, from: From, tagged: Tagged, place: Place) -> Trace {
        let key = Key::new(Class::Wanted, self.context, peer(from), tag_of(tagged));
        let number = self.watch.count(key, 0, place);
        let mut need = Need::new(What::Message, key, number).element(kind.code()).last();
        if key.is_wild() || self.wild.get() > 0 {
            need = self.beside_wild(need, place);
        }
        Trace { need, place }
    }

    /// A receive has been started and may be waited for later: one with a wildcard may be looked at meanwhile.
    #[inline(always)]
    pub fn left_open(&self, trace: &Trace, request: &Request) {
        if trace.need.key.is_wild() {
            self.watch.leave_open(trace.need, request.catch());
        }
    }

    /// A message is looked for.
    #[inline(always)]
    pub fn probing(&self, kind: Kind, from: From, tagged: Tagged) -> Need {
        let key = Key::new(Class::Wanted, self.context, peer(from), tag_of(tagged));
        Need::new(What::Probe, key, 0).element(kind.code())
    }

    /// What a receive ended with; after its call. Within, the message would be counted as taken while its rank is still
    /// shown to need it: who looks just then sees a rank that waits for what never comes.
    #[inline(always)]
    pub fn arrived(&self, trace: &Trace, outcome: &Outcome<Envelope>) {
        if trace.need.what() == What::Message && (trace.need.key.is_wild() || trace.need.is_risked()) {
            self.arrived_unusual(trace, outcome);
        }
    }

    /// As [`Inner::arrived`], of a vector.
    pub fn came<T>(&self, trace: &Trace, outcome: &Outcome<(Vec<T>, Envelope)>) {
        match outcome {
            Ok((_, envelope)) => self.arrived(trace, &Ok(*envelope)),
            Err(fault) => self.arrived(trace, &Err(fault.clone())),
        }
    }

    #[cold]
    fn arrived_unusual(&self, trace: &Trace, outcome: &Outcome<Envelope>) {
        self.unusual_is_over(trace);
        if trace.need.is_risked() {
            return;
        }
        let came = match outcome {
            Ok(envelope) => Some((envelope.source, envelope.tag)),
            Err(Fault::Truncated { source, tag, .. } | Fault::WrongKind { source, tag, .. }) => {
                Some((*source, *tag))
            }
            Err(_) => None,
        };
        if let Some((source, tag)) = came {
            self.strayed(source, tag, trace.place);
        }
    }

    /// A receive with a wildcard is started, or one without while one with is open: that has a risk.
    #[cold]
    fn beside_wild(&self, need: Need, place: Place) -> Need {
        if need.key.is_wild() {
            self.wild.set(self.wild.get() + 1);
            return need;
        }
        self.watch.count(self.risks(), 0, place);
        need.risked()
    }

    fn risks(&self) -> Key {
        Key::new(Class::Risked, self.context, None, None)
    }

    /// A receive with a wildcard, or one that had a risk, is over: what it has taken is known now.
    #[cold]
    fn unusual_is_over(&self, trace: &Trace) {
        if trace.need.is_risked() {
            self.watch.uncount(self.risks(), trace.place);
        } else {
            self.watch.count(trace.need.key.as_class(Class::Found), 0, trace.place);
            self.wild.set(self.wild.get().saturating_sub(1));
            self.watch.no_longer_open(trace.need);
        }
    }

    /// A message was taken without a receive of its rank and tag.
    pub fn strayed(&self, source: usize, tag: i32, place: Place) {
        self.watch.count(Key::new(Class::Strayed, self.context, Some(source), Some(tag)), 0, place);
    }

    /// What a matched probe ended with: it takes a message, of another kind too. After its call, as [`Inner::arrived`].
    pub fn matched(&self, outcome: &Outcome<Matched>, place: Place) {
        match outcome {
            Ok(matched) => self.strayed(matched.envelope().source, matched.envelope().tag, place),
            Err(Fault::WrongKind { source, tag, .. }) => self.strayed(*source, *tag, place),
            Err(_) => {}
        }
    }

    /// As [`Inner::matched`], of one that does not wait.
    pub fn perhaps_matched(&self, outcome: &Outcome<Option<Matched>>, place: Place) {
        match outcome {
            Ok(Some(matched)) => self.strayed(matched.envelope().source, matched.envelope().tag, place),
            Err(Fault::WrongKind { source, tag, .. }) => self.strayed(*source, *tag, place),
            _ => {}
        }
    }

    /// An operation that was not complete has been taken back.
    #[cold]
    pub fn taken_back(&self, trace: &Trace) {
        match trace.need.key.class() {
            Some(Class::Sent) => self.watch.uncount(trace.need.key, trace.place),
            Some(Class::Wanted) if trace.need.key.is_wild() => self.unusual_is_over(trace),
            Some(Class::Wanted) => {
                self.watch.uncount(trace.need.key.as_class(Class::Strayed), trace.place);
                if trace.need.is_risked() {
                    self.unusual_is_over(trace);
                }
            }
            _ => {}
        }
    }

    /// The next collective call of this communicator.
    #[inline(always)]
    pub fn entering(&self, part: &Collective<'_>, place: Place) -> Trace {
        let key = Key::new(Class::Entered, self.context, None, None);
        let number = self.watch.enter_collective(self.context, part.call.name_of(), place);
        self.clock.collective(part.given(self.rank, self.size));
        let need = Need::new(What::Collective, key, number).element(part.kind.map_or(0, Kind::code));
        Trace { need: need.root(part.root).who(self.needed(part.call, part.root)), place }
    }

    /// As [`Inner::entering`], of a call that is started: it never meets one that blocks.
    pub fn starting(&self, part: &Collective<'_>, place: Place) -> Trace {
        let mut trace = self.entering(part, place);
        let nth = self.watch.count(Key::new(Class::Started, self.context, None, None), 0, place);
        trace.need.key = Key::of_started(self.context, nth);
        trace
    }

    /// The next collective call of this communicator, of all of its ranks: one that is made of others.
    pub fn entering_all(&self, name: Name, place: Place) -> Trace {
        let key = Key::new(Class::Entered, self.context, None, None);
        let number = self.watch.enter_collective(self.context, name, place);
        Trace { need: Need::new(What::Collective, key, number).who(Who::All), place }
    }

    /// The next call of this rank's neighbours.
    pub fn entering_neighbors(&self, name: Name, place: Place) -> Trace {
        let Trace { need, place } = self.entering_all(name, place);
        Trace { need: need.as_what(What::Neighbors), place }
    }

    /// Without whom a call cannot end on this rank.
    #[inline(always)]
    fn needed(&self, call: Call, root: Option<usize>) -> Who {
        if self.engine.synchronizes() {
            return Who::All;
        }
        let is_root = root == Some(self.rank);
        match call {
            Call::Barrier
            | Call::Allreduce
            | Call::Allgather
            | Call::Allgatherv
            | Call::Alltoall
            | Call::ReduceScatter
            | Call::ReduceScatterBlock => Who::All,
            Call::Bcast | Call::Scatter | Call::Scatterv => {
                if is_root {
                    Who::Nobody
                } else {
                    Who::Root
                }
            }
            Call::Reduce | Call::Gather | Call::Gatherv => {
                if is_root {
                    Who::All
                } else {
                    Who::Nobody
                }
            }
            Call::Scan | Call::Exscan => Who::Lower,
            // A block without elements need not be waited for.
            Call::Alltoallv => Who::Nobody,
        }
    }
}
