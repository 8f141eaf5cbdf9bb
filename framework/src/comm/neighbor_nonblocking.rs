//! Collective calls between neighbours, nonblocking: in a scope on borrowed buffers, or on vectors of their own.
//!
//! The blocking calls are in `neighbor`.

use super::Element;
use super::collective::{Blocks, OwnedCollective, Site};
use super::neighbor::NAME;
use super::neighbor_shape::Form;
use super::p2p::named;
use super::request::{Buffer, Owned, Request};
use super::scope::Scope;
use super::topology::Topology;
use super::watched::Trace;
use crate::engine;
use crate::engine::exchange::{Exchange, Shape};
use crate::error::Result;
use crate::timing::Doing;
use std::ptr::NonNull;

/// The handle of a call between neighbours in a scope; waiting gives back both buffers.
type Pair<'scope, T> = Request<'scope, (&'scope [T], &'scope mut [T])>;

impl<'scope> Scope<'scope, '_> {
    /// As [`Topology::neighbor_allgather_into`], nonblocking; waiting gives the buffers back. The scope may be of any
    /// communicator.
    #[track_caller]
    pub fn ineighbor_allgather<T: Element>(
        &'scope self,
        topology: &'scope Topology,
        send: &'scope [T],
        recv: &'scope mut [T],
    ) -> Result<Pair<'scope, T>> {
        self.between(Site::of("ineighbor_allgather"), topology, Form::Allgather, send, recv)
    }

    /// As [`Topology::neighbor_allgatherv_into`], nonblocking; waiting gives the buffers back.
    #[track_caller]
    pub fn ineighbor_allgatherv<'a, T: Element>(
        &'scope self,
        topology: &'scope Topology,
        send: &'scope [T],
        recv: &'scope mut [T],
        received: impl Into<Blocks<'a>>,
    ) -> Result<Pair<'scope, T>> {
        let form = Form::Allgatherv { received: received.into() };
        self.between(Site::of("ineighbor_allgatherv"), topology, form, send, recv)
    }

    /// As [`Topology::neighbor_alltoall_into`], nonblocking; waiting gives the buffers back.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3, 4], |world| {
    ///     let ring = world.cart(&[world.size()], &[true])?.expect("all ranks are in the ring");
    ///     let (edges, mut ghosts) = ([1.0, 2.0], [0.0; 2]);
    ///     ring.scope(|s| {
    ///         let exchange = s.ineighbor_alltoall(&ring, &edges, &mut ghosts)?;
    ///         // work that needs neither buffer
    ///         let (_, ghosts) = exchange.wait()?;
    ///         assert_eq!(ghosts, [2.0, 1.0]);
    ///         Ok(())
    ///     })
    /// });
    /// ```
    #[track_caller]
    pub fn ineighbor_alltoall<T: Element>(
        &'scope self,
        topology: &'scope Topology,
        send: &'scope [T],
        recv: &'scope mut [T],
    ) -> Result<Pair<'scope, T>> {
        self.between(Site::of("ineighbor_alltoall"), topology, Form::Alltoall, send, recv)
    }

    /// As [`Topology::neighbor_alltoallv_into`], nonblocking; waiting gives the buffers back.
    #[track_caller]
    pub fn ineighbor_alltoallv<'a, 'b, T: Element>(
        &'scope self,
        topology: &'scope Topology,
        send: &'scope [T],
        sent: impl Into<Blocks<'a>>,
        recv: &'scope mut [T],
        received: impl Into<Blocks<'b>>,
    ) -> Result<Pair<'scope, T>> {
        let form = Form::Alltoallv { sent: sent.into(), received: received.into() };
        self.between(Site::of("ineighbor_alltoallv"), topology, form, send, recv)
    }

    fn between<T: Element>(
        &'scope self,
        site: Site,
        topology: &'scope Topology,
        form: Form<'_>,
        send: &'scope [T],
        recv: &'scope mut [T],
    ) -> Result<Pair<'scope, T>> {
        let raw = <(&[T], &mut [T])>::lay_down((send, recv));
        // SAFETY: both buffers are borrowed for all of 'scope, and the scope completes or cancels what it adopts before
        // 'scope ends, whatever becomes of the handle.
        unsafe {
            let request = topology.post(site, form, send, raw[1])?;
            Ok(self.adopt(request, raw, site.place))
        }
    }
}

impl Topology {
    /// As [`Topology::neighbor_allgather_into`], nonblocking, on vectors that [`OwnedCollective::wait`] gives back.
    #[track_caller]
    pub fn ineighbor_allgather_owned<T: Element>(
        &self,
        send: Vec<T>,
        recv: Vec<T>,
    ) -> Result<OwnedCollective<(Vec<T>, Vec<T>)>> {
        self.post_owned(Site::of("ineighbor_allgather_owned"), Form::Allgather, send, recv)
    }

    /// As [`Topology::neighbor_allgatherv_into`], nonblocking, on vectors that [`OwnedCollective::wait`] gives back.
    #[track_caller]
    pub fn ineighbor_allgatherv_owned<'a, T: Element>(
        &self,
        send: Vec<T>,
        recv: Vec<T>,
        received: impl Into<Blocks<'a>>,
    ) -> Result<OwnedCollective<(Vec<T>, Vec<T>)>> {
        let form = Form::Allgatherv { received: received.into() };
        self.post_owned(Site::of("ineighbor_allgatherv_owned"), form, send, recv)
    }

    /// As [`Topology::neighbor_alltoall_into`], nonblocking, on vectors that [`OwnedCollective::wait`] gives back.
    #[track_caller]
    pub fn ineighbor_alltoall_owned<T: Element>(
        &self,
        send: Vec<T>,
        recv: Vec<T>,
    ) -> Result<OwnedCollective<(Vec<T>, Vec<T>)>> {
        self.post_owned(Site::of("ineighbor_alltoall_owned"), Form::Alltoall, send, recv)
    }

    /// As [`Topology::neighbor_alltoallv_into`], nonblocking, on vectors that [`OwnedCollective::wait`] gives back.
    #[track_caller]
    pub fn ineighbor_alltoallv_owned<'a, 'b, T: Element>(
        &self,
        send: Vec<T>,
        sent: impl Into<Blocks<'a>>,
        recv: Vec<T>,
        received: impl Into<Blocks<'b>>,
    ) -> Result<OwnedCollective<(Vec<T>, Vec<T>)>> {
        let form = Form::Alltoallv { sent: sent.into(), received: received.into() };
        self.post_owned(Site::of("ineighbor_alltoallv_owned"), form, send, recv)
    }

    fn post_owned<T: Element>(
        &self,
        site: Site,
        form: Form<'_>,
        send: Vec<T>,
        mut recv: Vec<T>,
    ) -> Result<OwnedCollective<(Vec<T>, Vec<T>)>> {
        let into = (NonNull::from(&mut recv[..]).cast(), recv.len());
        // SAFETY: what the vectors hold stays where it is and untouched in `Owned`, until the exchange is complete,
        // cancelled or leaked.
        let request = unsafe { self.post(site, form, &send, into) }?;
        Ok(OwnedCollective::new(Owned::new(self.comm.inner.clone(), request, (send, recv))))
    }

    /// Starts a call.
    ///
    /// # Safety
    /// The buffers stay as they are, and nobody touches `recv` or writes to `send`, until the request is complete or
    /// cancelled.
    unsafe fn post<T: Element>(
        &self,
        site: Site,
        form: Form<'_>,
        send: &[T],
        recv: (NonNull<T>, usize),
    ) -> Result<(engine::Request, Trace)> {
        let _timed = self.comm.inner.clock.communicating(Doing::Sending);
        let mut shape = Shape::default();
        self.shape(site, form, &mut shape, send.len(), recv.1)?;
        let mut exchange = Box::new(Exchange::new(self.engine.clone()));
        // SAFETY: the caller's promise is passed on.
        unsafe { exchange.start_shape(self.ports(), &shape, send, recv) }
            .map_err(|fault| self.comm.fault(site.call, site.place, fault, named::<T>()))?;
        let trace = self.comm.inner.entering_neighbors(NAME, site.place);
        Ok((engine::Request::Exchange(exchange), trace))
    }
}
