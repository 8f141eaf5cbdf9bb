//! Persistent calls between neighbours: made once, started often, with buffers of their own.
//!
//! The blocking calls are in `neighbor`.

use super::p2p::named;
use super::topology::Topology;
use super::{Comm, Element};
use crate::engine::Place;
use crate::engine::exchange::{Held, Shape};
use crate::error::{Error, Result};
use std::iter::repeat_n;
use std::ops::Range;
use std::panic::Location;

/// A call between neighbours that is made once and started often, on buffers that it owns.
///
/// All ranks of the topology start it, and in the same order as their other calls between neighbours. Drop it under way
/// and it is taken back where the engine can, else its buffers leak: memory that an engine may still write is never freed.
///
/// ```
/// rankine::testing::ranks([1, 2, 3, 4], |world| {
///     let ring = world.cart(&[world.size()], &[true])?.expect("all ranks are in the ring");
///     let mut plan = ring.neighbor_alltoall_plan(vec![0u32; 2], vec![0; 2])?;
///     for step in 0..3 {
///         plan.send()?.copy_from_slice(&[10 * step, 10 * step + 1]);
///         plan.start()?;
///         // work that needs neither buffer
///         assert_eq!(plan.wait()?, [10 * step + 1, 10 * step]);
///     }
///     Ok(())
/// });
/// ```
pub struct NeighborPlan<T: Element> {
    comm: Comm,
    call: &'static str,
    held: Held<T>,
    shape: Shape,
}

impl Topology {
    /// Plans a [`neighbor_allgather_into`](Topology::neighbor_allgather_into) of `send` into `recv`. Local.
    ///
    /// # Errors
    /// Lengths as there.
    #[track_caller]
    pub fn neighbor_allgather_plan<T: Element>(&self, send: Vec<T>, recv: Vec<T>) -> Result<NeighborPlan<T>> {
        let (call, place) = ("neighbor_allgather_plan", Location::caller());
        let len = self.check_blocks(call, recv.len(), self.inlets.len(), send.len(), place)?;
        let ranges = repeat_n(0..len, self.outlets.len()).collect();
        Ok(self.plan(call, (send, ranges), (recv, vec![len; self.inlets.len()])))
    }

    /// As [`Topology::neighbor_allgather_plan`], with blocks of these lengths in `recv`, one after the other.
    ///
    /// # Errors
    /// Not one length for every source, or another sum than `recv` has elements.
    #[track_caller]
    pub fn neighbor_allgatherv_plan<T: Element>(
        &self,
        send: Vec<T>,
        recv: Vec<T>,
        received: &[usize],
    ) -> Result<NeighborPlan<T>> {
        let (call, place) = ("neighbor_allgatherv_plan", Location::caller());
        self.check_lens(call, "recv", recv.len(), received, self.inlets.len(), place)?;
        let ranges = repeat_n(0..send.len(), self.outlets.len()).collect();
        Ok(self.plan(call, (send, ranges), (recv, received.to_vec())))
    }

    /// Plans a [`neighbor_alltoall_into`](Topology::neighbor_alltoall_into) of `send` into `recv`. Local.
    ///
    /// # Errors
    /// Lengths as there.
    #[track_caller]
    pub fn neighbor_alltoall_plan<T: Element>(&self, send: Vec<T>, recv: Vec<T>) -> Result<NeighborPlan<T>> {
        let (call, place) = ("neighbor_alltoall_plan", Location::caller());
        let len = self.check_equal(call, send.len(), recv.len(), place)?;
        let ranges = row(&vec![len; self.outlets.len()]);
        Ok(self.plan(call, (send, ranges), (recv, vec![len; self.inlets.len()])))
    }

    /// As [`Topology::neighbor_alltoall_plan`], with blocks of these lengths in `send` and `recv`, one after the other.
    ///
    /// # Errors
    /// Not one length for every neighbour, or another sum than the buffer has elements.
    #[track_caller]
    pub fn neighbor_alltoallv_plan<T: Element>(
        &self,
        send: Vec<T>,
        sent: &[usize],
        recv: Vec<T>,
        received: &[usize],
    ) -> Result<NeighborPlan<T>> {
        let (call, place) = ("neighbor_alltoallv_plan", Location::caller());
        self.check_lens(call, "send", send.len(), sent, self.outlets.len(), place)?;
        self.check_lens(call, "recv", recv.len(), received, self.inlets.len(), place)?;
        Ok(self.plan(call, (send, row(sent)), (recv, received.to_vec())))
    }

    fn plan<T: Element>(
        &self,
        call: &'static str,
        (send, ranges): (Vec<T>, Vec<Range<usize>>),
        (recv, lens): (Vec<T>, Vec<usize>),
    ) -> NeighborPlan<T> {
        let shape = Shape { inlets: self.inlets.clone(), lens, outlets: self.outlets.clone(), ranges };
        let comm = Comm { inner: self.comm.inner.clone() };
        NeighborPlan { comm, call, held: Held::new(self.engine.clone(), send, recv), shape }
    }

    fn check_lens(
        &self,
        call: &str,
        what: &str,
        have: usize,
        lens: &[usize],
        neighbors: usize,
        place: Place,
    ) -> Result<()> {
        let total = lens.iter().try_fold(0usize, |a, &b| a.checked_add(b));
        if lens.len() == neighbors && total == Some(have) {
            return Ok(());
        }
        let what = format!("{what} has {have} elements and {} blocks", lens.len());
        let help = format!("give the lengths of {neighbors} blocks that fill it, one for each neighbour");
        Err(self.comm.usage(call, place, what, &help))
    }
}

/// Blocks of these lengths, one after the other.
fn row(lens: &[usize]) -> Vec<Range<usize>> {
    let ends = lens.iter().scan(0, |at, len| {
        *at += len;
        Some(*at)
    });
    ends.zip(lens).map(|(end, len)| end - len..end).collect()
}

impl<T: Element> NeighborPlan<T> {
    /// Starts the exchange; until [`NeighborPlan::wait`] the buffers cannot be had. Never waits for another rank.
    ///
    /// # Errors
    /// It has been started and not waited for.
    #[track_caller]
    pub fn start(&mut self) -> Result<()> {
        let place = Location::caller();
        if self.held.is_running() {
            return Err(self.busy("start", place));
        }
        let _timed = self.comm.inner.clock.communicating();
        self.held.start(&self.shape).map_err(|fault| self.comm.fault(self.call, place, fault, named::<T>()))
    }

    /// Blocks until the exchange is complete and shows what was received. Without a start nothing happens, and what
    /// came last is shown.
    ///
    /// # Errors
    /// A neighbour that sent another length or type; a failure of the engine.
    #[track_caller]
    pub fn wait(&mut self) -> Result<&[T]> {
        let place = Location::caller();
        let timed = self.comm.inner.clock.communicating();
        self.held.wait().map_err(|fault| self.comm.fault(self.call, place, fault, named::<T>()))?;
        drop(timed);
        self.recv().map(|recv| &*recv)
    }

    /// Whether the exchange is complete, so that the buffers can be had; helps it along.
    ///
    /// # Errors
    /// As [`NeighborPlan::wait`].
    #[track_caller]
    pub fn test(&mut self) -> Result<bool> {
        let place = Location::caller();
        self.held.test().map_err(|fault| self.comm.fault(self.call, place, fault, named::<T>()))
    }

    /// The buffer to send from.
    ///
    /// # Errors
    /// The exchange is under way.
    #[track_caller]
    pub fn send(&mut self) -> Result<&mut [T]> {
        self.buffers("send", Location::caller()).map(|buffers| buffers.0)
    }

    /// The buffer received into.
    ///
    /// # Errors
    /// The exchange is under way.
    #[track_caller]
    pub fn recv(&mut self) -> Result<&mut [T]> {
        self.buffers("recv", Location::caller()).map(|buffers| buffers.1)
    }

    /// Ends the plan and gives back both buffers, the one sent from and the one received into.
    ///
    /// # Errors
    /// The exchange is under way.
    #[track_caller]
    pub fn into_buffers(mut self) -> Result<(Vec<T>, Vec<T>)> {
        let place = Location::caller();
        if self.held.is_running() {
            return Err(self.busy("into_buffers", place));
        }
        Ok(self.held.release().unwrap_or_default())
    }

    fn buffers(&mut self, call: &str, place: Place) -> Result<(&mut [T], &mut [T])> {
        if self.held.is_running() {
            return Err(self.busy(call, place));
        }
        match self.held.buffers() {
            Some((send, recv)) => Ok((send, recv)),
            None => unreachable!("nothing is under way"),
        }
    }

    #[cold]
    fn busy(&self, call: &str, place: Place) -> Error {
        let what = "the exchange is under way".to_string();
        self.comm.usage(&format!("{call} of a plan"), place, what, "wait for it first")
    }
}

impl<T: Element> Drop for NeighborPlan<T> {
    fn drop(&mut self) {
        // What cannot be taken back leaks.
        drop(self.held.release());
    }
}
