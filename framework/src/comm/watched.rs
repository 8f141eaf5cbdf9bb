//! What the watch is told of the calls of a communicator: what they send, what they wait for, what has come.
//!
//! The watch counts messages by communicator, rank and tag; see `watch`. Whoever starts an operation keeps its [`Trace`], so
//! that a later wait can say what it waits for.

use super::{Comm, Inner};
use crate::comm::element::Kind;
use crate::engine::{Call, Collective, Envelope, Fault, From, Matched, Mode, Outcome, Place, Tagged};
use crate::timing::Section;
use crate::watch::{self, Class, Endpoint, Key, Listed, Name, Need, What, Who};

/// An operation under way, as the watch knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trace {
    key: Key,
    place: Place,
    number: u32,
    root: u32,
    what: What,
    element: u8,
    who: Who,
}

/// No root.
const NONE: u32 = u32::MAX;

impl Trace {
    /// Of an operation that waits for nobody.
    pub fn of_nothing(place: Place) -> Trace {
        let (what, who) = (What::Nothing, Who::Nobody);
        Trace { key: Need::NOTHING.key, place, number: 0, root: NONE, what, element: 0, who }
    }

    #[inline(always)]
    fn new(what: What, key: Key, number: u64, element: u8, place: Place) -> Trace {
        Trace { key, place, number: number as u32, root: NONE, what, element, who: Who::Nobody }
    }

    #[inline(always)]
    pub fn need(&self) -> Need {
        Need {
            element: self.element,
            who: self.who,
            root: (self.root != NONE).then_some(self.root as usize),
            ..Need::new(self.what, self.key, self.number.into())
        }
    }

    /// Where it was started.
    pub fn place(&self) -> Place {
        self.place
    }

    pub fn listed(&self) -> Listed {
        Listed { need: self.need(), origin: self.place }
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

    /// This rank is at that time step.
    pub(crate) fn at_step(&self, step: u64) {
        self.inner.watch.board().set_step(step);
    }
}

impl Inner {
    /// Goes into a call that needs `need`, until the answer is dropped.
    #[inline(always)]
    pub fn within(&self, name: Name, place: Place, need: Need) -> Within<'_> {
        Within { _inside: self.watch.enter(name, place, need), _timed: self.clock.communicating() }
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
        self.within(name, place, Need { who: Who::All, ..need })
    }

    /// Goes into a call that waits for an operation started before.
    #[inline(always)]
    pub fn waiting(&self, name: Name, place: Place, trace: &Trace) -> Within<'_> {
        let within = self.within(name, place, trace.need());
        self.watch.started_at(trace.place);
        within
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
        let what = if waits { What::Receiver } else { What::Nothing };
        Trace::new(what, key, number, kind.code(), place)
    }

    /// A receive is started.
    #[inline(always)]
    pub fn receiving(&self, kind: Kind, from: From, tagged: Tagged, place: Place) -> Trace {
        let key = Key::new(Class::Wanted, self.context, peer(from), tag_of(tagged));
        Trace::new(What::Message, key, self.watch.count(key, 0, place), kind.code(), place)
    }

    /// A message is looked for.
    #[inline(always)]
    pub fn probing(&self, kind: Kind, from: From, tagged: Tagged) -> Need {
        let key = Key::new(Class::Wanted, self.context, peer(from), tag_of(tagged));
        Need::new(What::Probe, key, 0).element(kind.code())
    }

    /// What a receive ended with.
    #[inline(always)]
    pub fn arrived(&self, trace: &Trace, outcome: &Outcome<Envelope>) {
        if trace.what == What::Message && (trace.key.peer().is_none() || trace.key.tag().is_none()) {
            self.arrived_wild(trace, outcome);
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
    fn arrived_wild(&self, trace: &Trace, outcome: &Outcome<Envelope>) {
        self.watch.count(trace.key.as_class(Class::Found), 0, trace.place);
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

    /// A message was taken without a receive of its rank and tag.
    pub fn strayed(&self, source: usize, tag: i32, place: Place) {
        self.watch.count(Key::new(Class::Strayed, self.context, Some(source), Some(tag)), 0, place);
    }

    /// What a matched probe ended with: it takes a message, of another kind too.
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
        match trace.key.class() {
            Some(Class::Sent) => self.watch.uncount(trace.key, trace.place),
            Some(Class::Wanted) if trace.key.peer().is_none() || trace.key.tag().is_none() => {
                self.watch.count(trace.key.as_class(Class::Found), 0, trace.place);
            }
            Some(Class::Wanted) => self.watch.uncount(trace.key.as_class(Class::Strayed), trace.place),
            _ => {}
        }
    }

    /// The next collective call of this communicator.
    #[inline(always)]
    pub fn entering(&self, part: &Collective<'_>, place: Place) -> Trace {
        let name = part.call.name_of();
        let key = Key::new(Class::Entered, self.context, None, None);
        let number = self.watch.enter_collective(self.context, name, place);
        let mut trace = Trace::new(What::Collective, key, number, part.kind.map_or(0, Kind::code), place);
        trace.root = part.root.map_or(NONE, |root| root as u32);
        trace.who = self.needed(part.call, part.root);
        trace
    }

    /// The next collective call of this communicator, of all of its ranks: one that is made of others.
    pub fn entering_all(&self, name: Name, place: Place) -> Trace {
        let key = Key::new(Class::Entered, self.context, None, None);
        let number = self.watch.enter_collective(self.context, name, place);
        Trace { who: Who::All, ..Trace::new(What::Collective, key, number, 0, place) }
    }

    /// The next call of this rank's neighbours.
    pub fn entering_neighbors(&self, name: Name, place: Place) -> Trace {
        Trace { what: What::Neighbors, ..self.entering_all(name, place) }
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
