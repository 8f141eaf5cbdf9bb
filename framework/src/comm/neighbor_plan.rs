//! Persistent calls between neighbours: made once, started often, with buffers of their own.
//!
//! The blocking calls are in `neighbor`.

use super::collective::{Blocks, Site};
use super::neighbor::NAME;
use super::neighbor_shape::Form;
use super::p2p::named;
use super::plan::{Plan, sealed};
use super::topology::Topology;
use super::watched::Trace;
use super::{Comm, Element};
use crate::engine::exchange::{Held, Shape};
use crate::engine::{Fault, Place};
use crate::error::{Error, Result};
use crate::timing::Doing;

/// A call between neighbours that is made once and started often, on vectors that it owns: the one sent from and the one
/// received into.
///
/// All ranks of the topology start it, and in the same order as their other calls between neighbours. Drop it under way
/// and it is taken back where the engine can, else its vectors leak: memory that an engine may still write is never freed.
///
/// ```
/// rankine::testing::ranks([1, 2, 3, 4], |world| {
///     let ring = world.cart(&[world.size()], &[true])?.expect("all ranks are in the ring");
///     let mut plan = ring.plan_neighbor_alltoall(vec![0u32; 2], vec![0; 2])?;
///     for step in 0..3 {
///         plan.buffers()?.0.copy_from_slice(&[10 * step, 10 * step + 1]);
///         plan.start()?;
///         // work that needs neither buffer
///         let (_, received) = plan.wait()?;
///         assert_eq!(received, [10 * step + 1, 10 * step]);
///     }
///     Ok(())
/// });
/// ```
#[must_use = "a plan does nothing until it is started"]
pub struct NeighborPlan<T: Element> {
    comm: Comm,
    call: &'static str,
    held: Held<T>,
    /// What was started last.
    trace: Trace,
    /// Where the watch keeps that it must be ended.
    open: usize,
}

impl Topology {
    /// As [`Topology::neighbor_allgather_into`], to be started again and again on the plan's own vectors. Making it
    /// communicates nothing.
    #[track_caller]
    pub fn plan_neighbor_allgather<T: Element>(&self, send: Vec<T>, recv: Vec<T>) -> Result<NeighborPlan<T>> {
        self.plan(Site::of("plan_neighbor_allgather"), Form::Allgather, send, recv)
    }

    /// As [`Topology::neighbor_allgatherv_into`], to be started again and again on the plan's own vectors.
    #[track_caller]
    pub fn plan_neighbor_allgatherv<'a, T: Element>(
        &self,
        send: Vec<T>,
        recv: Vec<T>,
        received: impl Into<Blocks<'a>>,
    ) -> Result<NeighborPlan<T>> {
        let form = Form::Allgatherv { received: received.into() };
        self.plan(Site::of("plan_neighbor_allgatherv"), form, send, recv)
    }

    /// As [`Topology::neighbor_alltoall_into`], to be started again and again on the plan's own vectors.
    #[track_caller]
    pub fn plan_neighbor_alltoall<T: Element>(&self, send: Vec<T>, recv: Vec<T>) -> Result<NeighborPlan<T>> {
        self.plan(Site::of("plan_neighbor_alltoall"), Form::Alltoall, send, recv)
    }

    /// As [`Topology::neighbor_alltoallv_into`], to be started again and again on the plan's own vectors.
    #[track_caller]
    pub fn plan_neighbor_alltoallv<'a, 'b, T: Element>(
        &self,
        send: Vec<T>,
        sent: impl Into<Blocks<'a>>,
        recv: Vec<T>,
        received: impl Into<Blocks<'b>>,
    ) -> Result<NeighborPlan<T>> {
        let form = Form::Alltoallv { sent: sent.into(), received: received.into() };
        self.plan(Site::of("plan_neighbor_alltoallv"), form, send, recv)
    }

    fn plan<T: Element>(
        &self,
        site: Site,
        form: Form<'_>,
        send: Vec<T>,
        recv: Vec<T>,
    ) -> Result<NeighborPlan<T>> {
        let mut shape = Shape::default();
        self.shape(site, form, &mut shape, send.len(), recv.len())?;
        let held = Held::new(self.engine.clone(), self.ports(), shape, (send, recv));
        let trace = Trace::of_nothing(site.place);
        let open = self.comm.inner.watch.opened(&"a plan", site.place);
        Ok(NeighborPlan { comm: Comm { inner: self.comm.inner.clone() }, call: site.call, held, trace, open })
    }
}

impl<T: Element> NeighborPlan<T> {
    /// Starts it: every rank must. Never waits for another rank.
    ///
    /// # Errors
    /// It is under way already.
    #[track_caller]
    pub fn start(&mut self) -> Result<()> {
        self.start_in(Site::of(self.call))
    }

    fn start_in(&mut self, site: Site) -> Result<()> {
        if self.held.is_running() {
            return Err(self.busy(site));
        }
        let _timed = self.comm.inner.clock.communicating(Doing::Sending);
        self.trace = self.comm.inner.entering_neighbors(NAME, site.place);
        self.held.start().map_err(|fault| self.fault(site, fault))
    }

    /// Blocks until this rank's part is done, and shows the vectors.
    ///
    /// # Errors
    /// It has not been started; a neighbour sent another length or type; a failure of the engine.
    #[track_caller]
    pub fn wait(&mut self) -> Result<(&mut [T], &mut [T])> {
        let site = Site::of(self.call);
        self.wait_in(site)?;
        self.lend(site)
    }

    fn wait_in(&mut self, site: Site) -> Result<()> {
        self.check_started(site)?;
        let trace = self.trace;
        let _in = self.comm.inner.waiting(&"wait", site.place, &trace);
        self.held.wait().map_err(|fault| self.fault(site, fault)).map(drop)
    }

    /// Whether this rank's part is done, and helps it along. `Some` shows the vectors; then it may be started again.
    ///
    /// # Errors
    /// As [`NeighborPlan::wait`].
    #[track_caller]
    pub fn test(&mut self) -> Result<Option<(&mut [T], &mut [T])>> {
        let site = Site::of(self.call);
        self.check_started(site)?;
        match self.held.test().map_err(|fault| self.fault(site, fault))? {
            true => self.lend(site).map(Some),
            false => Ok(None),
        }
    }

    /// Whether it has been started and not been waited for.
    pub fn is_under_way(&self) -> bool {
        self.held.is_running()
    }

    /// The elements of the vector sent from and of the one received into.
    ///
    /// # Errors
    /// It is under way.
    #[track_caller]
    pub fn buffers(&mut self) -> Result<(&mut [T], &mut [T])> {
        self.lend(Site::of(self.call))
    }

    /// Puts other vectors of the same lengths in the place of its own, which it gives back.
    ///
    /// # Errors
    /// It is under way, or a length differs.
    #[track_caller]
    pub fn swap(&mut self, other: (Vec<T>, Vec<T>)) -> Result<(Vec<T>, Vec<T>)> {
        let site = Site::of(self.call);
        let (send, recv) = self.lend(site)?;
        let (have, need) = ([other.0.len(), other.1.len()], [send.len(), recv.len()]);
        if have != need {
            let what = format!("the new vectors have {have:?} elements, {need:?} are needed");
            return Err(self.comm.usage(site.call, site.place, what, "give vectors of the same lengths"));
        }
        self.held.swap(other).ok_or_else(|| self.busy(site))
    }

    /// Waits if it is under way, and gives the vectors back.
    #[track_caller]
    pub fn into_buffers(mut self) -> Result<(Vec<T>, Vec<T>)> {
        if self.is_under_way() {
            self.wait()?;
        }
        let site = Site::of(self.call);
        self.held.release().ok_or_else(|| self.busy(site))
    }

    fn lend(&mut self, site: Site) -> Result<(&mut [T], &mut [T])> {
        let busy = self.held.is_running().then(|| self.busy(site));
        match self.held.buffers() {
            Some(buffers) => Ok(buffers),
            None => Err(busy.unwrap_or_else(|| unreachable!("it is under way"))),
        }
    }

    /// An exchange without any neighbour is over as soon as it is started, and nobody can tell.
    fn check_started(&self, site: Site) -> Result<()> {
        if self.is_under_way() || !self.held.has_neighbors() {
            return Ok(());
        }
        let what = "the plan has not been started".to_string();
        Err(self.comm.usage(site.call, site.place, what, "start it before waiting"))
    }

    #[cold]
    fn busy(&self, site: Site) -> Error {
        self.comm.usage(site.call, site.place, "the plan is under way".to_string(), "wait for it first")
    }

    #[cold]
    fn fault(&self, site: Site, fault: Fault) -> Error {
        self.comm.fault(site.call, site.place, fault, named::<T>())
    }
}

impl<T: Element> Drop for NeighborPlan<T> {
    fn drop(&mut self) {
        self.comm.inner.watch.ended(self.open);
        // What cannot be taken back leaks.
        drop(self.held.release());
    }
}

impl<T: Element> Plan for NeighborPlan<T> {}

impl<T: Element> sealed::Plan for NeighborPlan<T> {
    fn start_at(&mut self, place: Place) -> Result<()> {
        self.start_in(Site { call: self.call, place })
    }
    fn finish_at(&mut self, place: Place) -> Result<()> {
        self.wait_in(Site { call: self.call, place })
    }
}
