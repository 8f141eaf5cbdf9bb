//! `Graph`: ranks with neighbours of any kind; MPI's distributed graph topology.
//!
//! The calls between neighbours are in the `neighbor_` files.

use super::Comm;
use super::topology::{Pairing, Topology};
use crate::engine::exchange::{Exchange, Outgoing};
use crate::engine::{Fault, From, Place, Tagged};
use crate::error::Result;
use crate::op::Sum;
use crate::watch::Name;
use std::ops::Deref;
use std::panic::Location;

/// The tag of edges on their way, in the framework's own context.
const ROUTE: i32 = 0x1fff;

/// A communicator whose ranks name whom they send to and receive from. Self edges and several edges between the same ranks
/// are allowed; the n-th edge to a rank meets that rank's n-th edge from here.
///
/// It is a [`Topology`] and a [`Comm`].
///
/// ```
/// rankine::testing::ranks([1, 2, 3, 4], |world| {
///     let (me, size) = (world.rank(), world.size());
///     let ring = world.graph_adjacent(&[(me + size - 1) % size], &[(me + 1) % size])?;
///     assert_eq!(ring.neighbor_allgather(&[me])?, [Some(vec![(me + size - 1) % size])]);
///     Ok(())
/// });
/// ```
pub struct Graph {
    topology: Topology,
    source_weights: Option<Vec<u32>>,
    destination_weights: Option<Vec<u32>>,
}

/// An edge: from, to, weight.
type Edge = [u64; 3];

impl Comm {
    /// A graph of which every rank knows its own edges: whom it receives from and whom it sends to, in the order in which
    /// its blocks shall lie. Collective. Ranks keep their numbers.
    ///
    /// # Errors
    /// A rank that there is not; in the checked mode, a rank that sends to another which does not receive from it as often
    /// ([`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch), which names both).
    #[track_caller]
    pub fn graph_adjacent(&self, sources: &[usize], destinations: &[usize]) -> Result<Graph> {
        self.adjacent_at(&"graph_adjacent", sources, destinations, Location::caller())
    }

    /// As [`Comm::graph_adjacent`], with a weight for every edge. Weights are kept for the author; nothing here uses them.
    #[track_caller]
    pub fn graph_adjacent_weighted(
        &self,
        sources: &[(usize, u32)],
        destinations: &[(usize, u32)],
    ) -> Result<Graph> {
        let split = |edges: &[(usize, u32)]| -> (Vec<usize>, Vec<u32>) { edges.iter().copied().unzip() };
        let ((sources, from), (destinations, to)) = (split(sources), split(destinations));
        let place = Location::caller();
        let graph = self.adjacent_at(&"graph_adjacent_weighted", &sources, &destinations, place)?;
        Ok(Graph { source_weights: Some(from), destination_weights: Some(to), ..graph })
    }

    #[track_caller]
    fn adjacent_at(
        &self,
        call: Name,
        sources: &[usize],
        destinations: &[usize],
        place: Place,
    ) -> Result<Graph> {
        for &peer in sources.iter().chain(destinations) {
            self.check_dest(call, peer, 0, place)?;
        }
        let comm = self.dup_at(call, place)?;
        if comm.engine().checked() {
            comm.agree(comm.check_edges(call, sources, destinations, place))?;
        }
        let peers = |ranks: &[usize]| ranks.iter().copied().map(Some).collect();
        let topology = Topology::new(comm, peers(sources), peers(destinations), Pairing::InOrder);
        Ok(Graph { topology, source_weights: None, destination_weights: None })
    }

    /// A graph of edges (from, to), each given by any one rank. Collective. Every rank's neighbours are in the order of
    /// their ranks; several edges between the same two in the order of the ranks that gave them, then as given.
    ///
    /// ```
    /// rankine::testing::ranks([3, 4], |world| {
    ///     // Rank 0 knows them all: a star.
    ///     let star: Vec<_> = (1..world.size()).map(|leaf| (0, leaf)).collect();
    ///     let graph = world.graph(if world.rank() == 0 { &star } else { &[] })?;
    ///     let came = graph.neighbor_allgather(&[world.rank() + 5])?;
    ///     assert_eq!(came, if world.rank() == 0 { vec![] } else { vec![Some(vec![5])] });
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// A rank that there is not.
    #[track_caller]
    pub fn graph(&self, edges: &[(usize, usize)]) -> Result<Graph> {
        let edges: Vec<_> = edges.iter().map(|&(from, to)| (from, to, 0)).collect();
        let graph = self.graph_at(&"graph", &edges, Location::caller())?;
        Ok(Graph { source_weights: None, destination_weights: None, ..graph })
    }

    /// As [`Comm::graph`], with edges (from, to, weight). Weights are kept for the author; nothing here uses them.
    #[track_caller]
    pub fn graph_weighted(&self, edges: &[(usize, usize, u32)]) -> Result<Graph> {
        self.graph_at(&"graph_weighted", edges, Location::caller())
    }

    #[track_caller]
    fn graph_at(&self, call: Name, edges: &[(usize, usize, u32)], place: Place) -> Result<Graph> {
        let mut given = Vec::with_capacity(2 * edges.len());
        for &(from, to, weight) in edges {
            self.check_dest(call, from, 0, place)?;
            self.check_dest(call, to, 0, place)?;
            let edge = [from as u64, to as u64, u64::from(weight)];
            given.push((from, edge));
            if to != from {
                given.push((to, edge));
            }
        }
        let comm = self.dup_at(call, place)?;
        let edges = comm.route(call, given, place)?;
        // The edges that have this rank at one end; the neighbours, at the other, in order.
        let mine = |here: usize, there: usize| {
            let at_me = edges.iter().filter(|edge| edge[here] == comm.rank() as u64);
            let mut links: Vec<_> = at_me.map(|edge| (edge[there] as usize, edge[2] as u32)).collect();
            links.sort_by_key(|link| link.0);
            links.into_iter().map(|(peer, weight)| (Some(peer), weight)).unzip()
        };
        let ((sources, from), (destinations, to)): ((_, Vec<_>), (_, Vec<_>)) = (mine(1, 0), mine(0, 1));
        let topology = Topology::new(comm, sources, destinations, Pairing::InOrder);
        Ok(Graph { topology, source_weights: Some(from), destination_weights: Some(to) })
    }

    /// Whether those who send to this rank are those from whom it receives.
    #[track_caller]
    fn check_edges(&self, call: Name, sources: &[usize], destinations: &[usize], place: Place) -> Result<()> {
        let me = self.rank();
        let given = destinations.iter().map(|&to| (to, [me as u64, to as u64, 0])).collect();
        let mut senders: Vec<usize> =
            self.route(call, given, place)?.iter().map(|edge| edge[0] as usize).collect();
        let mut sources = sources.to_vec();
        senders.sort_unstable();
        sources.sort_unstable();
        if senders == sources {
            return Ok(());
        }
        // The first that the two lists do not have equally often.
        let differs = senders.iter().zip(&sources).position(|(a, b)| a != b);
        let at = differs.unwrap_or(senders.len().min(sources.len()));
        let other = senders.get(at).into_iter().chain(sources.get(at)).min().copied().unwrap_or(0);
        let times = |list: &[usize]| list.iter().filter(|&&rank| rank == other).count();
        let text = format!(
            "rank {other} names rank {me} {} times as a destination, and rank {me} names rank {other} {} times as a source",
            times(&senders),
            times(&sources)
        );
        Err(self.fault(call, place, Fault::Mismatch(text), ("", 1)))
    }

    /// Brings each edge to its rank: first, with one reduction, every rank learns from how many it will hear, then each
    /// sends only to those it has something for. What comes is ordered by the ranks that gave it, then as given.
    /// Collective.
    #[track_caller]
    fn route(&self, call: Name, mut edges: Vec<(usize, Edge)>, place: Place) -> Result<Vec<Edge>> {
        edges.sort_by_key(|edge| edge.0);
        let letters: Vec<(usize, Vec<u64>)> = edges
            .chunk_by(|a, b| a.0 == b.0)
            .map(|chunk| (chunk[0].0, chunk.iter().flat_map(|(_, edge)| *edge).collect()))
            .collect();
        let mut expected = vec![0u32; self.size()];
        for (to, _) in &letters {
            expected[*to] = 1;
        }
        self.allreduce_in_place(&mut expected, Sum)?;
        let sends = letters.iter().map(|(peer, letter)| {
            let (kind, data) = (<u64 as super::Element>::KIND, bytemuck::cast_slice(letter));
            Outgoing { peer: *peer, tag: ROUTE, kind, data }
        });
        let mut came: Vec<(usize, Vec<u64>)> = Vec::new();
        let _in = self.inner.collective(call, place);
        let routed = Exchange::new(self.inner.private.clone()).run([], sends, |engine| {
            for _ in 0..expected[self.rank()] {
                let (letter, envelope) = engine.recv_parcel(From::Any, Tagged::Tag(ROUTE))?;
                came.push((envelope.source, letter));
            }
            Ok(())
        });
        routed.map_err(|fault| self.fault(call, place, fault, ("u64", 8)))?;
        came.sort_by_key(|letter| letter.0);
        Ok(came.iter().flat_map(|(_, letter)| letter.as_chunks().0).copied().collect())
    }
}

impl Graph {
    /// The weights of the edges to this rank, in the order of [`Topology::sources`]; `None` for a graph without weights.
    pub fn source_weights(&self) -> Option<&[u32]> {
        self.source_weights.as_deref()
    }

    /// The weights of the edges from this rank, in the order of [`Topology::destinations`]; `None` for a graph without
    /// weights.
    pub fn destination_weights(&self) -> Option<&[u32]> {
        self.destination_weights.as_deref()
    }
}

impl Deref for Graph {
    type Target = Topology;
    fn deref(&self) -> &Topology {
        &self.topology
    }
}
