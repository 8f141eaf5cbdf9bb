//! `Topology`: a communicator whose ranks have neighbours.
//!
//! Who they are is decided in `cartesian` and `graph`; the calls between them are in the `neighbor_` files.
//!
//! Ranks are never reordered: rank r of the topology is rank r of the communicator it was made of. By the time a topology
//! is made, ranks have read, computed and allocated what belongs to their number, and it would have to move with them;
//! which rank runs where is the launcher's business. MPI's `reorder` is a permission only, so this is MPI's behaviour, too.

use super::Comm;
use crate::engine::Engine;
use crate::engine::exchange::{Exchange, Port, Ports, Shape};
use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;

/// Tags of the blocks between neighbours, in the framework's own context.
const TAGS: i32 = 0x2000;

/// A communicator whose ranks have neighbours: what a [`Cart`](super::Cart) and a [`Graph`](super::Graph) have in common.
///
/// It is a [`Comm`], too: it has a context of its own.
pub struct Topology {
    pub(super) comm: Comm,
    sources: Vec<Option<usize>>,
    destinations: Vec<Option<usize>>,
    pub(super) inlets: Vec<Port>,
    pub(super) outlets: Vec<Port>,
    /// The communicator's private engine.
    pub(super) engine: Rc<Engine>,
    /// Of the last blocking call, for the next one.
    pub(super) spare: Cell<Option<(Exchange, Shape)>>,
}

/// How blocks of the same two ranks are told apart.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Pairing {
    /// In order: the n-th block to a rank meets its n-th block from here.
    InOrder,
    /// By the ends of an axis: what leaves downwards arrives from above. Blocks come in such pairs.
    OppositeEnds,
}

impl Topology {
    pub(super) fn new(
        comm: Comm,
        sources: Vec<Option<usize>>,
        destinations: Vec<Option<usize>>,
        pairing: Pairing,
    ) -> Topology {
        let ports = |peers: &[Option<usize>], flip: i32| {
            let tag = |slot: usize| match pairing {
                Pairing::InOrder => TAGS,
                Pairing::OppositeEnds => TAGS + (slot as i32 ^ flip),
            };
            peers.iter().enumerate().map(|(slot, &peer)| Port { peer, tag: tag(slot) }).collect()
        };
        let engine = comm.inner.private.clone();
        // In the checked mode sends wait, too.
        let whom =
            if engine.checked() { [&sources[..], &destinations[..]].concat() } else { sources.clone() };
        let whom = whom.iter().flatten().map(|&rank| rank as u32).collect();
        comm.inner.watch.board().set_neighbors(comm.inner.context, whom);
        Topology {
            inlets: ports(&sources, 1),
            outlets: ports(&destinations, 0),
            comm,
            sources,
            destinations,
            engine,
            spare: Cell::new(None),
        }
    }

    pub(super) fn ports(&self) -> Ports<'_> {
        Ports { out: &self.outlets, into: &self.inlets }
    }

    /// The neighbours that this rank receives from, in the order of their blocks; `None` where there is none, beyond the
    /// edge of a grid. Local.
    pub fn sources(&self) -> &[Option<usize>] {
        &self.sources
    }

    /// The neighbours that this rank sends to, in the order of their blocks; `None` where there is none. Local.
    pub fn destinations(&self) -> &[Option<usize>] {
        &self.destinations
    }
}

impl Deref for Topology {
    type Target = Comm;
    fn deref(&self) -> &Comm {
        &self.comm
    }
}
