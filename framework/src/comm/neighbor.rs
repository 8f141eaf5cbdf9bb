//! Collective calls between neighbours, blocking: MPI's neighbourhood collectives.
//!
//! Nonblocking ones are in `neighbor_nonblocking`, persistent ones in `neighbor_plan`. They are sends and receives in the
//! framework's own context, as they are inside MPI libraries, so both engines share them; a neighbour that sends another
//! length is an error.

use super::Element;
use super::collective::{Blocks, Site};
use super::neighbor_shape::Form;
use super::p2p::named;
use super::topology::Topology;
use crate::engine::exchange::{Exchange, Port, Shape, incoming, outgoing};
use crate::engine::{Engine, From, Tagged};
use crate::error::Result;
use crate::watch::Name;
use std::iter::repeat_n;

/// What the watch calls all calls between neighbours.
pub(super) const NAME: Name = &"neighbor exchange";

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
        self.unknown(Site::of("neighbor_allgather"), repeat_n(send, self.outlets.len()))
    }

    /// As [`Topology::neighbor_allgather`], into `recv`: a block of `send.len()` elements for every source, and every
    /// neighbour sends as many. Blocks of missing sources are untouched. Allocates nothing after the first call.
    #[track_caller]
    pub fn neighbor_allgather_into<T: Element>(&self, send: &[T], recv: &mut [T]) -> Result<()> {
        self.flat(Site::of("neighbor_allgather_into"), Form::Allgather, send, recv)
    }

    /// As [`Topology::neighbor_allgather`], into the blocks `received` of `recv`: one for every source, of the length that
    /// this source sends. Blocks of missing sources, and what lies between blocks, are untouched.
    #[track_caller]
    pub fn neighbor_allgatherv_into<'a, T: Element>(
        &self,
        send: &[T],
        recv: &mut [T],
        received: impl Into<Blocks<'a>>,
    ) -> Result<()> {
        let form = Form::Allgatherv { received: received.into() };
        self.flat(Site::of("neighbor_allgatherv_into"), form, send, recv)
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
        let site = Site::of("neighbor_alltoall");
        self.check_blocks(site, "send", send.len(), self.outlets.len())?;
        self.unknown(site, send.iter().map(AsRef::as_ref))
    }

    /// As [`Topology::neighbor_alltoall`], from equal blocks in `send`, one for every destination, into equal blocks in
    /// `recv`, one for every source; all ranks use the same length. Blocks of missing sources are untouched. Allocates
    /// nothing after the first call.
    #[track_caller]
    pub fn neighbor_alltoall_into<T: Element>(&self, send: &[T], recv: &mut [T]) -> Result<()> {
        self.flat(Site::of("neighbor_alltoall_into"), Form::Alltoall, send, recv)
    }

    /// As [`Topology::neighbor_alltoall`], from the blocks `sent` of `send` into the blocks `received` of `recv`, each as
    /// long as what this source sends. Blocks of missing sources, and what lies between blocks, are untouched.
    #[track_caller]
    pub fn neighbor_alltoallv_into<'a, 'b, T: Element>(
        &self,
        send: &[T],
        sent: impl Into<Blocks<'a>>,
        recv: &mut [T],
        received: impl Into<Blocks<'b>>,
    ) -> Result<()> {
        let form = Form::Alltoallv { sent: sent.into(), received: received.into() };
        self.flat(Site::of("neighbor_alltoallv_into"), form, send, recv)
    }

    /// As [`Topology::neighbor_alltoall`], from and into slices that lie anywhere: one for every destination, and one for
    /// every source, as long as what this source sends. Those of missing sources are untouched.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let ring = world.cart(&[world.size()], &[true])?.expect("all ranks are in the ring");
    ///     // A row with a halo: its ends go to the neighbours' halos, straight from and into their places.
    ///     let mut row = [0, 10, 11, 12, 0];
    ///     let (low, rest) = row.split_at_mut(1);
    ///     let (inside, high) = rest.split_at_mut(3);
    ///     ring.neighbor_alltoallw_into(&[&inside[..1], &inside[2..]], &mut [low, high])?;
    ///     assert_eq!(row, [12, 10, 11, 12, 10]);
    ///     Ok(())
    /// });
    /// ```
    #[track_caller]
    pub fn neighbor_alltoallw_into<T: Element>(&self, send: &[&[T]], recv: &mut [&mut [T]]) -> Result<()> {
        let site = Site::of("neighbor_alltoallw_into");
        self.check_blocks(site, "send", send.len(), self.outlets.len())?;
        self.check_blocks(site, "recv", recv.len(), self.inlets.len())?;
        let into = incoming(&self.inlets, recv.iter_mut().map(|block| &mut **block));
        let from = outgoing(&self.outlets, send.iter().copied());
        self.spare(site, |exchange, _| {
            let outcome = exchange.run(into, from, |_| Ok(()));
            outcome.map_err(|fault| self.comm.fault(site.call, site.place, fault, named::<T>()))
        })
    }

    fn flat<T: Element>(&self, site: Site, form: Form<'_>, send: &[T], recv: &mut [T]) -> Result<()> {
        self.spare(site, |exchange, shape| {
            self.shape(site, form, shape, send.len(), recv.len())?;
            let outcome = exchange.run_shape(self.ports(), shape, send, recv);
            outcome.map_err(|fault| self.comm.fault(site.call, site.place, fault, named::<T>()))
        })
    }

    fn unknown<'a, T: Element>(
        &'a self,
        site: Site,
        send: impl IntoIterator<Item = &'a [T]>,
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
        self.spare(site, |exchange, _| {
            let outcome = exchange.run([], outgoing(&self.outlets, send), receive);
            outcome.map_err(|fault| self.comm.fault(site.call, site.place, fault, named::<T>()))
        })?;
        Ok(came)
    }

    /// Lends `f` what blocking calls would otherwise allocate each time.
    fn spare<R>(&self, site: Site, f: impl FnOnce(&mut Exchange, &mut Shape) -> R) -> R {
        let trace = self.comm.inner.entering_neighbors(NAME, site.place);
        let _in = self.comm.inner.within(NAME, site.place, trace.need());
        let spare = self.spare.take();
        let (mut exchange, mut shape) =
            spare.unwrap_or_else(|| (Exchange::new(self.engine.clone()), Shape::default()));
        let answer = f(&mut exchange, &mut shape);
        self.spare.set(Some((exchange, shape)));
        answer
    }
}
