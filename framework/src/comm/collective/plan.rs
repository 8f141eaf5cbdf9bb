//! Persistent collectives: described and checked once, started as often as wanted, on vectors of their own.
//!
//! What makes one is in the file of each family.

use super::raw::{Slice, Stored, Vectors};
use super::{Comm, Result, Site, named};
use crate::comm::Inner;
use crate::comm::plan::{Plan, sealed};
use crate::comm::watched::Trace;
use crate::engine::{Envelope, Fault, Outcome, Place, Request};
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::rc::Rc;

/// A collective that is started again and again on the same vectors, which it owns; from calls like
/// [`Comm::plan_allreduce`].
///
/// Making one checks it and communicates nothing; [`start`](CollectivePlan::start) is collective. Between a start and
/// its wait the vectors cannot be reached; otherwise they can be read, filled, and swapped for others of the same
/// lengths.
///
/// ```
/// rankine::testing::ranks([1, 2, 3], |world| {
///     let mut plan = world.plan_allreduce(vec![0; 2], rankine::op::Sum)?;
///     for step in 0..3 {
///         plan.buffers()?.copy_from_slice(&[step, 1]);
///         plan.start()?;
///         // work that does not need the sum
///         assert_eq!(plan.wait()?, [step * world.size(), world.size()]);
///     }
///     Ok(())
/// });
/// ```
///
/// On both engines a start is the nonblocking call with the arguments kept: MPI 4's `MPI_Allreduce_init` and the like
/// are not in the libraries of today's clusters (Open MPI 4.1 has them in an extension).
///
/// A plan that is dropped while it is under way is taken back where the engine can; else its vectors leak.
#[must_use = "a plan does nothing until it is started"]
pub struct CollectivePlan<B: Vectors> {
    comm: Rc<Inner>,
    call: &'static str,
    stored: Stored<B::Item>,
    /// While it is under way.
    request: Option<(Request, Trace)>,
    /// Where the watch keeps that it must be ended.
    open: usize,
    /// `None` only while being dropped.
    data: Option<ManuallyDrop<B>>,
}

impl Comm {
    pub(super) fn plan<B: Vectors>(
        &self,
        Site { call, place }: Site,
        stored: Stored<B::Item>,
        data: B,
    ) -> CollectivePlan<B> {
        let (data, open) = (Some(ManuallyDrop::new(data)), self.inner.watch.opened(&"a plan", place));
        CollectivePlan { comm: self.inner.clone(), call, stored, request: None, open, data }
    }
}

impl<B: Vectors> CollectivePlan<B> {
    /// Starts it: every rank must.
    ///
    /// # Errors
    /// If it is under way already; those of the call.
    #[track_caller]
    pub fn start(&mut self) -> Result<()> {
        self.start_in(Site::of(self.call))
    }

    /// Blocks until this rank's part is done, and shows the vectors.
    ///
    /// # Errors
    /// If it has not been started; those of the call.
    #[track_caller]
    pub fn wait(&mut self) -> Result<B::Lent<'_>> {
        self.wait_at(Location::caller())?;
        Ok(self.data().lend())
    }

    /// Whether this rank's part is done, and helps it along. `Some` shows the vectors; then it may be started again.
    ///
    /// # Errors
    /// As [`CollectivePlan::wait`].
    #[track_caller]
    pub fn test(&mut self) -> Result<Option<B::Lent<'_>>> {
        let place = Location::caller();
        let Some((request, _)) = &mut self.request else {
            return Err(self.not_started(place));
        };
        let outcome = self.comm.engine.test(request);
        Ok(self.over(outcome, place)?.then(|| self.data().lend()))
    }

    /// Whether it has been started and not been waited for.
    pub fn is_under_way(&self) -> bool {
        self.request.is_some()
    }

    /// The vectors' elements, to read or to fill: `&mut [T]`, or those of the vector sent from and of the one received
    /// into.
    ///
    /// # Errors
    /// If it is under way.
    #[track_caller]
    pub fn buffers(&mut self) -> Result<B::Lent<'_>> {
        self.idle(Site::of(self.call))?;
        Ok(self.data().lend())
    }

    /// Puts other vectors of the same lengths in the place of its own, which it gives back.
    ///
    /// # Errors
    /// If it is under way, or a length differs.
    #[track_caller]
    pub fn swap(&mut self, mut other: B) -> Result<B> {
        let site = Site::of(self.call);
        self.idle(site)?;
        let lengths = |slices: [Slice<B::Item>; 2]| slices.map(|slice| slice.1);
        let (have, need) = (lengths(other.raw()), lengths(self.data().raw()));
        for (have, need) in have.into_iter().zip(need) {
            self.comm().check_len(site, "the new vector", have, need)?;
        }
        Ok(std::mem::replace(self.data(), other))
    }

    /// Waits if it is under way, and gives the vectors back.
    #[track_caller]
    pub fn into_buffers(mut self) -> Result<B> {
        if self.is_under_way() {
            self.wait()?;
        }
        Ok(ManuallyDrop::into_inner(self.data.take().expect("taken once")))
    }

    fn data(&mut self) -> &mut B {
        self.data.as_mut().expect("there until it is dropped")
    }

    fn comm(&self) -> Comm {
        Comm { inner: self.comm.clone() }
    }

    fn start_in(&mut self, site: Site) -> Result<()> {
        self.idle(site)?;
        let slices = self.data().raw();
        // SAFETY: the vectors are the plan's, have the lengths that were checked, and are reached by nobody before the
        // operation is complete, cancelled or leaked.
        self.request = Some(unsafe { self.comm().restart(site, &self.stored, slices) }?);
        Ok(())
    }

    fn wait_at(&mut self, place: Place) -> Result<()> {
        let Some((request, trace)) = &mut self.request else {
            return Err(self.not_started(place));
        };
        let outcome = {
            let _in = self.comm.waiting(&"wait", place, trace);
            self.comm.engine.wait(request)
        };
        self.over(outcome.map(Some), place).map(drop)
    }

    fn idle(&self, site: Site) -> Result<()> {
        match self.request {
            None => Ok(()),
            Some(_) => {
                Err(self.comm().misuse(site, "the plan is under way".to_string(), "wait for it first"))
            }
        }
    }

    #[cold]
    fn not_started(&self, place: Place) -> crate::Error {
        let site = Site { call: self.call, place };
        self.comm().misuse(site, "the plan has not been started".to_string(), "start it before waiting")
    }

    /// Takes note of an outcome; whether the plan is idle again.
    fn over(&mut self, outcome: Outcome<Option<Envelope>>, place: Place) -> Result<bool> {
        if matches!(outcome, Ok(None)) {
            return Ok(false);
        }
        if !matches!(outcome, Err(Fault::Aborted)) {
            self.request = None;
        }
        outcome.map(|_| true).map_err(|fault| self.comm().fault(self.call, place, fault, named::<B::Item>()))
    }
}

impl<B: Vectors> Plan for CollectivePlan<B> {}

impl<B: Vectors> sealed::Plan for CollectivePlan<B> {
    fn start_at(&mut self, place: Place) -> Result<()> {
        self.start_in(Site { call: self.call, place })
    }
    fn finish_at(&mut self, place: Place) -> Result<()> {
        self.wait_at(place)
    }
}

impl<B: Vectors> Drop for CollectivePlan<B> {
    fn drop(&mut self) {
        self.comm.watch.ended(self.open);
        let idle = match &mut self.request {
            None => true,
            Some((request, _)) => self.comm.engine.cancel(request),
        };
        if idle {
            // The engine no longer touches them.
            self.data.take().map(ManuallyDrop::into_inner);
        }
    }
}
