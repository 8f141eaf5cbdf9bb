//! Sends in MPI's other modes: synchronous, buffered, ready. The standard mode is in `p2p`.

use super::p2p::named;
use super::request::OwnedSend;
use super::scope::Scope;
use super::{Comm, Element, Request};
use crate::engine::{Mode, Place};
use crate::error::Result;
use crate::watch::Name;
use std::panic::Location;

impl Comm {
    /// Sends `data` and waits until its receive has begun, whatever the length: MPI's synchronous mode.
    ///
    /// # Errors
    /// As [`Comm::send`].
    #[track_caller]
    pub fn ssend<T: Element>(&self, data: &[T], dest: usize, tag: i32) -> Result<()> {
        self.send_as(&"ssend", Mode::Synchronous, data, dest, tag, Location::caller())
    }

    /// Sends a copy of `data` and returns at once, in the checked mode too: MPI's buffered mode. There is no buffer to
    /// attach and none to run out of; the copies of messages under way are memory of this rank, and the job does not
    /// end before they are received or, under MPI, at least sent.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     // Everybody sends first: with send, nobody would come to the receive.
    ///     world.bsend(&[world.rank()], (world.rank() + 1) % world.size(), 1)?;
    ///     world.recv(&mut [0usize], rankine::ANY_SOURCE, 1).map(drop)
    /// });
    /// ```
    ///
    /// # Errors
    /// As [`Comm::send`].
    #[track_caller]
    pub fn bsend<T: Element>(&self, data: &[T], dest: usize, tag: i32) -> Result<()> {
        self.send_as(&"bsend", Mode::Buffered, data, dest, tag, Location::caller())
    }

    /// As [`Comm::send`], where the receive is known to have been posted: MPI's ready mode, which may save the
    /// library a question.
    ///
    /// ```
    /// rankine::testing::ranks([2], |world| {
    ///     if world.rank() == 0 {
    ///         // Nobody waits for this.
    ///         let error = world.rsend(&[1.0], 1, 7).unwrap_err();
    ///         assert_eq!(error.kind(), rankine::ErrorKind::Mismatch);
    ///         world.barrier()?;
    ///         world.barrier()?;
    ///         world.rsend(&[2.0], 1, 7)
    ///     } else {
    ///         world.barrier()?;
    ///         let receive = world.irecv_owned(vec![0.0], 0, 7)?;
    ///         world.barrier()?;
    ///         assert_eq!(receive.wait()?.0, [2.0]);
    ///         Ok(())
    ///     }
    /// });
    /// ```
    ///
    /// # Errors
    /// As [`Comm::send`]; in the checked mode on the Local engine, that no such receive has been posted. Under MPI it is
    /// a standard send, as MPI allows.
    #[track_caller]
    pub fn rsend<T: Element>(&self, data: &[T], dest: usize, tag: i32) -> Result<()> {
        self.send_as(&"rsend", Mode::Ready, data, dest, tag, Location::caller())
    }

    fn send_as<T: Element>(
        &self,
        call: Name,
        mode: Mode,
        data: &[T],
        dest: usize,
        tag: i32,
        place: Place,
    ) -> Result<()> {
        self.check_dest(call, dest, tag, place)?;
        let trace = self.inner.sending(mode, size_of_val(data), T::KIND, dest, tag, place);
        let _in = self.inner.within(call, place, trace.need());
        self.engine()
            .send(mode, bytemuck::cast_slice(data), T::KIND, dest, tag)
            .inspect_err(|_| self.inner.taken_back(&trace))
            .map_err(|fault| self.fault(call, place, fault, named::<T>()))
    }

    /// As [`Comm::isend_owned`], of a send that is complete when its receive has begun.
    #[track_caller]
    pub fn issend_owned<T: Element>(&self, data: Vec<T>, dest: usize, tag: i32) -> Result<OwnedSend<T>> {
        self.isend_owned_as("issend_owned", Mode::Synchronous, data, dest, tag, Location::caller())
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Starts a send that is complete when its receive has begun; see [`Comm::ssend`].
    #[track_caller]
    pub fn issend<T: Element>(
        &'scope self,
        data: &'scope [T],
        dest: usize,
        tag: i32,
    ) -> Result<Request<'scope, &'scope [T]>> {
        self.isend_as("issend", Mode::Synchronous, data, dest, tag, Location::caller())
    }

    /// Starts a send of a copy, which is complete at once; see [`Comm::bsend`].
    #[track_caller]
    pub fn ibsend<T: Element>(
        &'scope self,
        data: &'scope [T],
        dest: usize,
        tag: i32,
    ) -> Result<Request<'scope, &'scope [T]>> {
        self.isend_as("ibsend", Mode::Buffered, data, dest, tag, Location::caller())
    }

    /// Starts a send whose receive is known to have been posted; see [`Comm::rsend`].
    #[track_caller]
    pub fn irsend<T: Element>(
        &'scope self,
        data: &'scope [T],
        dest: usize,
        tag: i32,
    ) -> Result<Request<'scope, &'scope [T]>> {
        self.isend_as("irsend", Mode::Ready, data, dest, tag, Location::caller())
    }
}
