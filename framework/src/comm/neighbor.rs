//! Collective calls between neighbours, blocking: MPI's neighbourhood collectives.
//!
//! Persistent ones are in `neighbor_plan`. They are sends and receives in the framework's own context, as they are
//! inside MPI libraries, so both engines share them; a neighbour that sends another length is an error.

use super::Element;
use super::p2p::named;
use super::topology::Topology;
use crate::engine::exchange::{Exchange, Incoming, Outgoing, Port, incoming, outgoing, pieces, pieces_mut};
use crate::engine::{Engine, From, Outcome, Place, Tagged};
use crate::error::Result;
use std::iter::repeat_n;
use std::panic::Location;

impl Topology {
    /// Sends `send` to every destination and gives back what came from each source, `None` where there is none. The
    /// ranks may send different lengths: nobody needs to know them. Collective over the topology.
    ///
    /// ```
    /// rankine::testing::ranks([3], |world| {
    ///     let line = world.cart(&[3], &[false])?.expect("all ranks are in the line");
    ///     let came = line.neighbor_allgather(&vec![7u8; line.rank()])?;
    ///     assert_eq!(came[0], [None, Some(vec![]), Some(vec![7])][line.rank()]);
    ///     Ok(())
    /// });
    /// ```
    #[track_caller]
    pub fn neighbor_allgather<T: Element>(&self, send: &[T]) -> Result<Vec<Option<Vec<T>>>> {
        let blocks = repeat_n(send, self.outlets.len());
        self.exchange_unknown("neighbor_allgather", blocks, Location::caller())
    }

    /// As [`Topology::neighbor_allgather`], into `recv`: a block of `send.len()` elements for every source, and every
    /// neighbour sends as many. Blocks of missing sources are untouched. Allocates nothing after the first call.
    #[track_caller]
    pub fn neighbor_allgather_into<T: Element>(&self, send: &[T], recv: &mut [T]) -> Result<()> {
        let (call, place) = ("neighbor_allgather_into", Location::caller());
        let len = self.check_blocks(call, recv.len(), self.inlets.len(), send.len(), place)?;
        let into = pieces_mut(recv, repeat_n(len, self.inlets.len()));
        self.exchange(call, into, repeat_n(send, self.outlets.len()), place)
    }

    /// As [`Topology::neighbor_allgather`], into `recv`: one buffer for every source, of the length that this source
    /// sends. Those of missing sources are untouched.
    #[track_caller]
    pub fn neighbor_allgatherv_into<T: Element>(&self, send: &[T], recv: &mut [&mut [T]]) -> Result<()> {
        let (call, place) = ("neighbor_allgatherv_into", Location::caller());
        self.check_count(call, "recv", recv.len(), self.inlets.len(), place)?;
        let into = recv.iter_mut().map(|block| &mut **block);
        self.exchange(call, into, repeat_n(send, self.outlets.len()), place)
    }

    /// Sends each destination its block of `send`, of any length, and gives back what came from each source, `None`
    /// where there is none. Blocks for missing destinations are ignored. Collective over the topology.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3, 4], |world| {
    ///     let ring = world.cart(&[world.size()], &[true])?.expect("all ranks are in the ring");
    ///     // What goes down arrives from above, also where both neighbours are the same rank.
    ///     let came = ring.neighbor_alltoall(&[vec!['d' as u32], vec!['u' as u32; 2]])?;
    ///     assert_eq!(came, [Some(vec!['u' as u32; 2]), Some(vec!['d' as u32])]);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// Not one block for every destination.
    #[track_caller]
    pub fn neighbor_alltoall<T: Element, B: AsRef<[T]>>(&self, send: &[B]) -> Result<Vec<Option<Vec<T>>>> {
        let (call, place) = ("neighbor_alltoall", Location::caller());
        self.check_count(call, "send", send.len(), self.outlets.len(), place)?;
        self.exchange_unknown(call, send.iter().map(AsRef::as_ref), place)
    }

    /// As [`Topology::neighbor_alltoall`], from equal blocks in `send`, one for every destination, into equal blocks in
    /// `recv`, one for every source; all ranks use the same length. Blocks of missing sources are untouched. Allocates
    /// nothing after the first call.
    #[track_caller]
    pub fn neighbor_alltoall_into<T: Element>(&self, send: &[T], recv: &mut [T]) -> Result<()> {
        let (call, place) = ("neighbor_alltoall_into", Location::caller());
        let len = self.check_equal(call, send.len(), recv.len(), place)?;
        let into = pieces_mut(recv, repeat_n(len, self.inlets.len()));
        self.exchange(call, into, pieces(send, repeat_n(len, self.outlets.len())), place)
    }

    /// As [`Topology::neighbor_alltoall`], into `recv`: one buffer for every source, of the length that this source
    /// sends. Those of missing sources are untouched.
    ///
    /// The slices may lie anywhere, so they are MPI's counts and displacements, too.
    #[track_caller]
    pub fn neighbor_alltoallv_into<T: Element>(&self, send: &[&[T]], recv: &mut [&mut [T]]) -> Result<()> {
        let (call, place) = ("neighbor_alltoallv_into", Location::caller());
        self.check_count(call, "send", send.len(), self.outlets.len(), place)?;
        self.check_count(call, "recv", recv.len(), self.inlets.len(), place)?;
        self.exchange(call, recv.iter_mut().map(|block| &mut **block), send.iter().copied(), place)
    }

    fn exchange<'a, T: Element>(
        &'a self,
        call: &str,
        recv: impl IntoIterator<Item = &'a mut [T]>,
        send: impl IntoIterator<Item = &'a [T]>,
        place: Place,
    ) -> Result<()> {
        self.run::<T>(call, incoming(&self.inlets, recv), outgoing(&self.outlets, send), |_| Ok(()), place)
    }

    fn exchange_unknown<'a, T: Element>(
        &'a self,
        call: &str,
        send: impl IntoIterator<Item = &'a [T]>,
        place: Place,
    ) -> Result<Vec<Option<Vec<T>>>> {
        let mut came = Vec::with_capacity(self.inlets.len());
        let receive = |engine: &Engine| {
            let mut first = Ok(());
            for &Port { peer, tag } in &self.inlets {
                let block = peer.map(|peer| engine.recv_parcel(From::Rank(peer), Tagged::Tag(tag)));
                // After an error the others are received all the same, so that nobody waits for us.
                match block.transpose() {
                    Ok(block) => came.push(block.map(|(data, _)| data)),
                    Err(fault) => first = first.and(Err(fault)),
                }
            }
            first
        };
        self.run::<T>(call, [], outgoing(&self.outlets, send), receive, place)?;
        Ok(came)
    }

    fn run<'a, T: Element>(
        &'a self,
        call: &str,
        recvs: impl IntoIterator<Item = Incoming<'a>>,
        sends: impl IntoIterator<Item = Outgoing<'a>>,
        meanwhile: impl FnOnce(&Engine) -> Outcome<()>,
        place: Place,
    ) -> Result<()> {
        let _timed = self.comm.inner.clock.communicating();
        let mut exchange = self.spare.take().unwrap_or_else(|| Exchange::new(self.engine.clone()));
        let outcome = exchange.run(recvs, sends, meanwhile);
        self.spare.set(Some(exchange));
        outcome.map_err(|fault| self.comm.fault(call, place, fault, named::<T>()))
    }

    /// The length of equal blocks on both sides.
    pub(super) fn check_equal(&self, call: &str, send: usize, recv: usize, place: Place) -> Result<usize> {
        let (sides, sources) = (self.outlets.len(), self.inlets.len());
        let len = match (sides, sources) {
            (0, 0) => 0,
            (0, _) => recv / sources,
            _ => send / sides,
        };
        if send != len * sides {
            let what = format!("send has {send} elements for {sides} destinations");
            return Err(self.comm.usage(call, place, what, "give a block of the same length for each"));
        }
        self.check_blocks(call, recv, sources, len, place)
    }

    /// Whether `recv` has a block of `len` elements for each of so many sources.
    pub(super) fn check_blocks(
        &self,
        call: &str,
        recv: usize,
        sources: usize,
        len: usize,
        place: Place,
    ) -> Result<usize> {
        if len.checked_mul(sources) == Some(recv) {
            return Ok(len);
        }
        let what = format!("recv has {recv} elements for {sources} sources");
        let help = format!("give recv {len} elements for each");
        Err(self.comm.usage(call, place, what, &help))
    }

    fn check_count(&self, call: &str, what: &str, given: usize, need: usize, place: Place) -> Result<()> {
        if given == need {
            return Ok(());
        }
        let (what, help) =
            (format!("{what} has {given} blocks"), format!("give {need}, one for each neighbour"));
        Err(self.comm.usage(call, place, what, &help))
    }
}
