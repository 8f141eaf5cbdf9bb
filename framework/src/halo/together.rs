//! The halos of several fields in one message to each neighbour.
//!
//! The fields may hold different types and lie on different points of the grid, so messages are bytes: for each field
//! in turn its part of the link, as `links` says. `exchange` sends one field, without packing its planes.

use crate::comm::Comm;
use crate::error::Result;
use crate::grid::Grid;

/// A field of any element type, as [`Grid::exchange_all`](crate::Grid::exchange_all) takes it. Sealed.
pub trait AnyField<const D: usize>: sealed::Part {
    /// The grid the field is on.
    fn on(&self) -> &Grid<D>;
}

pub(crate) mod sealed {
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
        /// Whether its messages are so large that packing them with others costs more than messages of its own: the same
        /// on all ranks.
        #[doc(hidden)]
        fn large(&self) -> bool;
        /// Exchanges it by itself.
        #[doc(hidden)]
        fn exchange_alone(&mut self) -> crate::Result<()>;
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
pub(crate) fn exchange_together<const D: usize>(
    comm: &Comm,
    Parcels { send, recv }: &mut Parcels,
    fields: &mut [&mut dyn AnyField<D>],
) -> Result<()> {
    let Some(first) = fields.first() else { return Ok(()) };
    let links = first.links();
    send.resize_with(links, Vec::new);
    recv.resize_with(links, Vec::new);
    fields.iter_mut().for_each(|field| field.prepare());
    for (link, (send, recv)) in send.iter_mut().zip(&mut *recv).enumerate() {
        let (out, into) = fields.iter().fold((0, 0), |(out, into), field| {
            let (more_out, more_into) = field.bytes(link);
            (out + more_out, into + more_into)
        });
        send.resize(out, 0);
        recv.resize(into, 0);
        let mut rest = &mut send[..];
        for field in &*fields {
            let (part, behind) = rest.split_at_mut(field.bytes(link).0);
            field.pack(link, part);
            rest = behind;
        }
    }
    let peer = |link| fields[0].peer(link);
    comm.scope(|s| {
        for (link, recv) in recv.iter_mut().enumerate() {
            let (rank, _, tag) = peer(link);
            let _completed_by_the_scope = s.irecv(&mut recv[..], rank, tag)?;
        }
        for (link, send) in send.iter().enumerate() {
            let (rank, tag, _) = peer(link);
            let _completed_by_the_scope = s.isend(&send[..], rank, tag)?;
        }
        Ok(())
    })?;
    for (link, recv) in recv.iter().enumerate() {
        let mut rest = &recv[..];
        for field in fields.iter_mut() {
            let (part, behind) = rest.split_at(field.bytes(link).1);
            field.unpack(link, part);
            rest = behind;
        }
    }
    Ok(())
}
