//! Views of arrays, of any shape and strides, sent and received with no packing in the author's code.
//!
//! The message is the view's elements in logical order (the last axis fastest), so a column may be received as a row
//! or as a slice. A view whose elements lie one after the other in that order goes as it is; others are packed (`copy`)
//! into vectors that the communicator keeps. Here is what blocks; `scoped` has the nonblocking calls, `alltoall` and
//! `alltoallw` the exchange of views with every rank.

mod alltoall;
mod alltoallw;
mod copy;
mod scoped;

pub use alltoallw::Alltoallw;
pub(super) use scoped::Deferred;
pub use scoped::{ViewRecv, ViewSend};

use super::p2p::{Source, Status, Tag, named, whole};
use super::{Comm, Element};
use crate::engine::{Mode, Place};
use crate::error::{Error, ErrorKind, Result};
use ndarray::{ArrayRef, Dimension};
use std::panic::Location;

impl Comm {
    /// Sends the elements of `view` to rank `dest`, in logical order. Otherwise as [`Comm::send`], whose message it is:
    /// a receive of a slice takes it, too.
    ///
    /// ```
    /// use ndarray::{Array2, s};
    /// rankine::testing::ranks([2], |world| {
    ///     let mut a = Array2::from_shape_fn((4, 6), |(i, j)| (10 * i + j) as f64);
    ///     if world.rank() == 0 {
    ///         world.send_view(&a.column(5), 1, 7)
    ///     } else {
    ///         // The upper half of the first two columns, the last row first.
    ///         world.recv_view(&mut a.slice_mut(s![..2;-1, ..2]), 0, 7)?;
    ///         assert_eq!(a.slice(s![..2, ..3]), ndarray::arr2(&[[25.0, 35.0, 2.0], [5.0, 15.0, 12.0]]));
    ///         Ok(())
    ///     }
    /// });
    /// ```
    ///
    /// # Errors
    /// Those of [`Comm::send`].
    #[track_caller]
    pub fn send_view<T: Element, D: Dimension>(
        &self,
        view: &ArrayRef<T, D>,
        dest: usize,
        tag: i32,
    ) -> Result<()> {
        let place = Location::caller();
        self.check_dest("send_view", dest, tag, place)?;
        let bytes = view.len() * size_of::<T>();
        let trace = self.inner.sending(Mode::Standard, bytes, T::KIND, dest, tag, place);
        let _in = self.inner.within(&"send_view", place, trace.need());
        let send = |data: &[T]| {
            let data = bytemuck::cast_slice(data);
            self.inner.engine.send(Mode::Standard, data, T::KIND, dest, tag)
        };
        let sent = match view.as_slice() {
            Some(data) => send(data),
            None => {
                let packed = self.packed(view);
                let sent = send(&packed);
                self.spares().put(packed);
                sent
            }
        };
        sent.map_err(|fault| self.fault("send_view", place, fault, named::<T>()))
    }

    /// Receives into `view` a message of as many elements as it has, in logical order. What lies between its elements is
    /// untouched.
    ///
    /// # Errors
    /// A message of more or fewer elements (it is taken and lost, and the view's contents are anything), and those of
    /// [`Comm::recv`].
    #[track_caller]
    pub fn recv_view<T: Element, D: Dimension>(
        &self,
        view: &mut ArrayRef<T, D>,
        source: impl Into<Source>,
        tag: impl Into<Tag>,
    ) -> Result<Status> {
        let place = Location::caller();
        let (from, tagged) = self.check_source("recv_view", source.into(), tag.into(), place)?;
        let trace = self.inner.receiving(T::KIND, from, tagged, place);
        let recv = |data: &mut [T]| {
            let outcome = {
                let _in = self.inner.within(&"recv_view", place, trace.need());
                self.inner.engine.recv(bytemuck::cast_slice_mut(data), T::KIND, from, tagged)
            };
            self.inner.arrived(&trace, &outcome);
            outcome
                .and_then(whole::<T>)
                .map_err(|fault| self.fault("recv_view", place, fault, named::<T>()))
                .map(Status::of::<T>)
        };
        let len = view.len();
        if let Some(data) = view.as_slice_mut() {
            return self.fills("recv_view", len, recv(data)?, place);
        }
        let mut packed = self.spares().take::<T>();
        packed.resize(len, T::zeroed());
        let received = recv(&mut packed).and_then(|status| self.fills("recv_view", len, status, place));
        if received.is_ok() {
            copy::unpack(&packed, view);
        }
        self.spares().put(packed);
        received
    }

    /// Sends one view and receives into another, in whatever order they can go.
    #[track_caller]
    pub fn sendrecv_view<T: Element, D: Dimension, U: Element, E: Dimension + 'static>(
        &self,
        send: &ArrayRef<T, D>,
        dest: usize,
        send_tag: i32,
        recv: &mut ArrayRef<U, E>,
        source: impl Into<Source>,
        recv_tag: impl Into<Tag>,
    ) -> Result<Status> {
        let (source, recv_tag) = (source.into(), recv_tag.into());
        let place = Location::caller();
        self.check_dest("sendrecv_view", dest, send_tag, place)?;
        self.check_source("sendrecv_view", source, recv_tag, place)?;
        self.scope(|s| {
            let incoming = s.irecv_view_at(recv.view_mut(), source, recv_tag, place)?;
            let outgoing = s.isend_view_at(send.view(), dest, send_tag, place)?;
            let received = incoming.wait_at(place);
            // Whatever came, ours is on its way.
            outgoing.wait_at(place)?;
            Ok(received.map(|(_, status)| status))
        })?
    }

    /// Copies the elements of `view` of rank `root` into `view` of all others, in logical order; every rank's has the same
    /// number of elements, in any shape and strides. Collective.
    #[track_caller]
    pub fn bcast_view<T: Element, D: Dimension>(&self, view: &mut ArrayRef<T, D>, root: usize) -> Result<()> {
        if let Some(data) = view.as_slice_mut() {
            return self.bcast(data, root);
        }
        let mut packed = self.spares().take::<T>();
        packed.resize(view.len(), T::zeroed());
        if self.rank() == root {
            copy::pack(view, &mut packed);
        }
        let done = self.bcast(&mut packed, root);
        if done.is_ok() && self.rank() != root {
            copy::unpack(&packed, view);
        }
        self.spares().put(packed);
        done
    }

    /// The elements in logical order, in a vector to be put back.
    fn packed<T: Element, D: Dimension>(&self, view: &ArrayRef<T, D>) -> Vec<T> {
        let mut packed = self.spares().take::<T>();
        packed.resize(view.len(), T::zeroed());
        copy::pack(view, &mut packed);
        packed
    }

    /// A message fills its view, or it is an error.
    fn fills(&self, call: &str, len: usize, status: Status, place: Place) -> Result<Status> {
        if status.len == len {
            return Ok(status);
        }
        Err(self.unfilled(call, len, status, place))
    }

    #[cold]
    fn unfilled(&self, call: &str, len: usize, status: Status, place: Place) -> Error {
        let Status { source, tag, len: sent } = status;
        let what = format!(
            "{call}: the message from rank {source}, tag {tag}, has {sent} elements; the view has {len}"
        );
        Error::new(ErrorKind::Mismatch, what)
            .help("send and receive views of as many elements")
            .on_rank(self.rank())
            .at(place)
    }
}
