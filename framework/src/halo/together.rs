//! The halos of several fields in one message to each neighbour.
//!
//! The fields may hold different types and lie on different points of the grid, so messages are bytes: for each field
//! in turn its part of the link, as `links` says. Large planes are not packed: they follow as messages of their own, from where
//! they lie to where they belong. `exchange` sends one field.

use super::exchange::MOST;
use crate::comm::Comm;
use crate::error::Result;
use crate::grid::Grid;
use arrayvec::ArrayVec;

/// A field of any element type, as [`Grid::exchange_all`](crate::Grid::exchange_all) takes it. Sealed.
pub trait AnyField<const D: usize>: sealed::Part {
    /// The grid the field is on.
    fn on(&self) -> &Grid<D>;
}

/// Bytes of a plane's message from which on it is not packed with those of other fields.
pub(crate) const ALONE: usize = 64 << 10;

pub(crate) mod sealed {
    /// A link, the planes that are sent on it and the ghost planes that come: on each side of the first axis, if they have
    /// messages of their own.
    pub type Planes<'f> = [Option<(usize, &'f [u8], &'f mut [u8])>; 2];

    /// A field's part of messages, of which there is one for each link.
    pub trait Part {
        /// Fills the ghost cells that need no message.
        #[doc(hidden)]
        fn prepare(&mut self);
        #[doc(hidden)]
        fn links(&self) -> usize;
        /// The rank, and the tags out and in.
        #[doc(hidden)]
        fn peer(&self, link: usize) -> (usize, i32, i32);
        /// Bytes out and in.
        #[doc(hidden)]
        fn bytes(&self, link: usize) -> (usize, usize);
        #[doc(hidden)]
        fn pack(&self, link: usize, into: &mut [u8]);
        #[doc(hidden)]
        fn unpack(&mut self, link: usize, from: &[u8]);
        /// The planes that have messages of their own, since to pack them would take longer: those of
        /// [`ALONE`](super::ALONE) bytes or more, on both sides of a message.
        #[doc(hidden)]
        fn planes(&mut self) -> Planes<'_>;
        /// Whether a link's planes are among them.
        #[doc(hidden)]
        fn is_alone(&self, link: usize) -> bool;
    }
}

/// Messages that a grid keeps, so that an exchange allocates nothing once it has been made.
#[derive(Debug, Default)]
pub(crate) struct Parcels {
    send: Vec<Vec<u8>>,
    recv: Vec<Vec<u8>>,
}

/// Brings the halos of all of them up to date; they are on one grid, whose communicator is `comm`.
#[track_caller]
pub(crate) fn exchange_together<const D: usize, const N: usize>(
    comm: &Comm,
    Parcels { send, recv }: &mut Parcels,
    fields: &mut [&mut dyn AnyField<D>; N],
) -> Result<()> {
    let Some(first) = fields.first() else { return Ok(()) };
    let peers: ArrayVec<_, MOST> = (0..first.links()).map(|link| first.peer(link)).collect();
    send.resize_with(peers.len(), Vec::new);
    recv.resize_with(peers.len(), Vec::new);
    fields.iter_mut().for_each(|field| field.prepare());
    for (link, (send, recv)) in send.iter_mut().zip(&mut *recv).enumerate() {
        let packed = || fields.iter().filter(|field| !field.is_alone(link));
        let (out, into) = packed().fold((0, 0), |(out, into), field| {
            let (more_out, more_into) = field.bytes(link);
            (out + more_out, into + more_into)
        });
        send.resize(out, 0);
        recv.resize(into, 0);
        let mut rest = &mut send[..];
        for field in packed() {
            let (part, behind) = rest.split_at_mut(field.bytes(link).0);
            comm.clock().constructing(|| field.pack(link, part));
            rest = behind;
        }
    }
    // Messages of one link are told apart by their order: first what is packed, then the planes of the fields in turn.
    let mut planes: ArrayVec<_, N> = fields.iter_mut().map(|field| field.planes()).collect();
    comm.scope(|s| {
        let mut edges: ArrayVec<ArrayVec<_, 2>, N> = ArrayVec::new();
        for (&(rank, _, tag), recv) in peers.iter().zip(&mut *recv).filter(|(_, recv)| !recv.is_empty()) {
            let _completed_by_the_scope = s.irecv(&mut recv[..], rank, tag)?;
        }
        for sides in &mut planes {
            let mut own = ArrayVec::new();
            for (link, edge, ghost) in sides.iter_mut().flatten() {
                let (rank, out, tag) = peers[*link];
                let _completed_by_the_scope = s.irecv(ghost, rank, tag)?;
                own.push((*edge, rank, out));
            }
            edges.push(own);
        }
        for (&(rank, tag, _), send) in peers.iter().zip(&*send).filter(|(_, send)| !send.is_empty()) {
            let _completed_by_the_scope = s.isend(&send[..], rank, tag)?;
        }
        for (edge, rank, tag) in edges.into_iter().flatten() {
            let _completed_by_the_scope = s.isend(edge, rank, tag)?;
        }
        Ok(())
    })?;
    drop(planes);
    for (link, recv) in recv.iter().enumerate() {
        let mut rest = &recv[..];
        for field in fields.iter_mut().filter(|field| !field.is_alone(link)) {
            let (part, behind) = rest.split_at(field.bytes(link).1);
            comm.clock().constructing(|| field.unpack(link, part));
            rest = behind;
        }
    }
    Ok(())
}
