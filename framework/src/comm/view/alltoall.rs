//! `alltoall_views`: every rank sends every rank a view, of any shape and strides; MPI_Alltoallw's generality.

use super::copy;
use crate::comm::backstage::tags;
use crate::comm::p2p::{Source, Tag};
use crate::comm::{Comm, Element, Status};
use crate::error::Result;
use ndarray::{ArrayView, ArrayViewMut, Dimension};
use std::panic::Location;

impl Comm {
    /// Sends the elements of `send[r]` to rank r and receives into `recv[r]` those of rank r, for every r, each in logical
    /// order. The two views of a pair have as many elements, in whatever shape and strides, or none. Collective.
    ///
    /// A transpose of a matrix whose rows are distributed is one call: the columns that rank r will have, against the
    /// block of the transposed array that comes from it.
    ///
    /// ```
    /// use ndarray::{Array2, s};
    /// rankine::testing::ranks([1, 2, 4], |world| {
    ///     let (p, me, n) = (world.size(), world.rank(), 8);
    ///     let rows = n / p;
    ///     let a = Array2::from_shape_fn((rows, n), |(i, j)| (n * (me * rows + i) + j) as f64);
    ///     let mut b = Array2::zeros((rows, n));
    ///     let send: Vec<_> = (0..p).map(|r| a.slice(s![.., r * rows..(r + 1) * rows])).collect();
    ///     let mut recv: Vec<_> = b.axis_chunks_iter_mut(ndarray::Axis(1), rows).map(|c| c.reversed_axes()).collect();
    ///     world.alltoall_views(&send, &mut recv)?;
    ///     assert!(b.indexed_iter().all(|((i, j), &x)| x == (n * j + me * rows + i) as f64));
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// Another number of views than there are ranks; a message of more or fewer elements than its view, after all the
    /// others have been exchanged.
    #[track_caller]
    pub fn alltoall_views<T: Element, D: Dimension, E: Dimension + 'static>(
        &self,
        send: &[ArrayView<'_, T, D>],
        recv: &mut [ArrayViewMut<'_, T, E>],
    ) -> Result<()> {
        let (call, place, me, size) = ("alltoall_views", Location::caller(), self.rank(), self.size());
        for (what, len) in [("send", send.len()), ("recv", recv.len())] {
            if len != size {
                let what = format!("{what} has {len} views for {size} ranks");
                return Err(self.usage(
                    call,
                    place,
                    what,
                    "give one view for every rank, an empty one where nothing goes",
                ));
            }
        }
        let own = Status { source: me, tag: tags::VIEWS, len: send[me].len() };
        let own = self.fills(call, recv[me].len(), own, place);
        if own.is_ok() {
            match send[me].as_slice() {
                Some(data) => copy::unpack(data, &mut recv[me]),
                None => {
                    let packed = self.packed(&send[me]);
                    copy::unpack(&packed, &mut recv[me]);
                    self.spares().put(packed);
                }
            }
        }
        self.backstage().scope(|s| {
            // Everybody's messages are taken, also after one that does not fit: none may be left for a later call.
            let mut receives = Vec::with_capacity(size - 1);
            for (rank, view) in recv.iter_mut().enumerate().filter(|&(rank, _)| rank != me) {
                receives.push(s.irecv_view_at(
                    view.view_mut(),
                    Source::Rank(rank),
                    Tag::Is(tags::VIEWS),
                    place,
                )?);
            }
            let mut sends = Vec::with_capacity(size - 1);
            for rank in (1..size).map(|step| (me + step) % size) {
                sends.push(s.isend_view_at(send[rank].view(), rank, tags::VIEWS, place)?);
            }
            let received = receives.into_iter().map(|r| r.wait_at(place).map(drop)).fold(Ok(()), Result::and);
            sends.into_iter().try_for_each(|t| t.wait_at(place))?;
            Ok(own.map(drop).and(received))
        })?
    }
}
