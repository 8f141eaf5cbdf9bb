//! Plans: operations with buffers of their own, set up once and started again and again; MPI's persistent requests.
//!
//! [`Core`] is what all plans are made of, collective ones too; the point-to-point plans follow it. Nothing is
//! allocated by starting and completing one.

use super::p2p::{Source, Status, Tag, named, whole};
use super::watched::Trace;
use super::{Comm, Element, Inner, Kind};
use crate::engine::{self, Engine, Envelope, Fault, Mode, Outcome, Place};
use crate::error::Result;
use crate::timing::Doing;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::rc::Rc;

/// An operation and its buffers: the engine's while it is under way, the author's in between. Dropped while under way
/// it is cancelled if the engine can, and leaks its buffers if not; a forgotten one leaks them.
pub(crate) struct Core<B> {
    comm: Rc<Inner>,
    /// `None` once setting it up on other buffers has failed.
    request: Option<engine::Request>,
    buffers: ManuallyDrop<B>,
    running: bool,
    /// What was started last.
    trace: Trace,
    moves: Moves,
    element: (&'static str, usize),
    /// Where the watch keeps that it must be ended.
    open: usize,
}

impl<B> Core<B> {
    /// A plan that `make` sets up on the buffers. `element` is their element's name and size, for error messages.
    ///
    /// # Safety
    /// The request that `make` returns is idle, and when it runs it touches only memory that the buffers own and that
    /// stays where it is when `B` is moved.
    pub unsafe fn new(
        comm: &Comm,
        call: &str,
        place: Place,
        element: (&'static str, usize),
        moves: Moves,
        mut buffers: B,
        make: impl FnOnce(&Engine, &mut B) -> Outcome<engine::Request>,
    ) -> Result<Core<B>> {
        let request =
            make(comm.engine(), &mut buffers).map_err(|fault| comm.fault(call, place, fault, element))?;
        Ok(Core {
            comm: comm.inner.clone(),
            request: Some(request),
            buffers: ManuallyDrop::new(buffers),
            running: false,
            trace: Trace::of_nothing(place),
            moves,
            element,
            open: comm.inner.watch.opened(&"a plan", place),
        })
    }

    /// Gives the plan other buffers, on which `make` sets it up anew; `change` puts them in.
    ///
    /// # Safety
    /// As [`Core::new`], for the buffers as `change` leaves them.
    pub unsafe fn change(
        &mut self,
        call: &str,
        place: Place,
        change: impl FnOnce(&mut B),
        make: impl FnOnce(&Engine, &mut B) -> Outcome<engine::Request>,
    ) -> Result<()> {
        self.check_idle(call, place)?;
        change(&mut self.buffers);
        let made = make(&self.comm.engine, &mut self.buffers);
        // Without a request the plan cannot be started any more, and never touches the new buffers.
        let request = made.map_err(|fault| self.fault(call, place, fault));
        if let Some(before) = self.request.take() {
            self.comm.engine.release(before);
        }
        self.request = Some(request?);
        Ok(())
    }

    pub fn comm(&self) -> Comm {
        Comm { inner: self.comm.clone() }
    }

    pub fn is_under_way(&self) -> bool {
        self.running
    }

    /// The buffers, while the plan is idle.
    pub fn buffers(&self, call: &str, place: Place) -> Result<&B> {
        self.check_idle(call, place)?;
        Ok(&self.buffers)
    }

    /// As [`Core::buffers`]. What they own must stay where it is.
    pub fn buffers_mut(&mut self, call: &str, place: Place) -> Result<&mut B> {
        self.check_idle(call, place)?;
        Ok(&mut self.buffers)
    }

    pub fn start(&mut self, place: Place) -> Result<()> {
        self.check_idle("start", place)?;
        let comm = self.comm.clone();
        let _timed = comm.clock.communicating(Doing::Sending);
        let Some(request) = &mut self.request else {
            let help = "the call that gave it other buffers failed: make a new plan";
            return Err(self.comm().usage(
                "start",
                place,
                "this plan has lost its buffers".to_string(),
                help,
            ));
        };
        self.trace = match self.moves {
            Moves::Out { mode, bytes, kind, dest, tag } => comm.sending(mode, bytes, kind, dest, tag, place),
            Moves::In { kind, from, tag } => comm.receiving(kind, from, tag, place),
        };
        // SAFETY: the plan is idle and its buffers are its own; until the request is complete or cancelled nobody else
        // gets at them, and if it never is they leak.
        let started = unsafe { comm.engine.restart(request) };
        if started.is_ok() {
            comm.left_open(&self.trace, request);
        }
        started.map_err(|fault| self.fault("start", place, fault))?;
        self.running = true;
        Ok(())
    }

    /// Blocks until what was started is complete.
    pub fn wait(&mut self, place: Place) -> Result<Envelope> {
        let comm = self.comm.clone();
        let trace = self.trace;
        let request = self.under_way("wait", place)?;
        let outcome = {
            let _in = comm.waiting(&"wait", place, &trace);
            comm.engine.wait(request)
        };
        self.settle("wait", place, outcome)
    }

    /// Whether what was started is complete; it is idle then.
    pub fn test(&mut self, place: Place) -> Result<Option<Envelope>> {
        let comm = self.comm.clone();
        let request = self.under_way("test", place)?;
        match comm.engine.test(request).transpose() {
            None => Ok(None),
            Some(outcome) => self.settle("test", place, outcome).map(Some),
        }
    }

    /// Takes a receive back; its envelope if it was complete.
    pub fn cancel_recv(&mut self, place: Place) -> Result<Option<Envelope>> {
        let comm = self.comm.clone();
        let request = self.under_way("cancel", place)?;
        match comm.engine.cancel_recv(request).transpose() {
            None => {
                self.running = false;
                comm.taken_back(&self.trace);
                Ok(None)
            }
            Some(outcome) => self.settle("cancel", place, outcome).map(Some),
        }
    }

    fn settle(&mut self, call: &str, place: Place, outcome: Outcome<Envelope>) -> Result<Envelope> {
        // A job that goes down has not given the buffers back.
        self.running = matches!(outcome, Err(Fault::Aborted));
        self.comm.arrived(&self.trace, &outcome);
        outcome.map_err(|fault| self.fault(call, place, fault))
    }

    fn under_way(&mut self, call: &str, place: Place) -> Result<&mut engine::Request> {
        match &mut self.request {
            Some(request) if self.running => Ok(request),
            _ => {
                let help = "start it first";
                let comm = Comm { inner: self.comm.clone() };
                Err(comm.usage(call, place, "this plan has not been started".to_string(), help))
            }
        }
    }

    fn check_idle(&self, call: &str, place: Place) -> Result<()> {
        if !self.running {
            return Ok(());
        }
        let help = "complete it with wait first: meanwhile its buffers are the engine's";
        Err(self.comm().usage(call, place, "this plan is under way".to_string(), help))
    }

    #[cold]
    pub fn fault(&self, call: &str, place: Place, fault: Fault) -> crate::Error {
        self.comm().fault(call, place, fault, self.element)
    }
}

impl<B> Drop for Core<B> {
    fn drop(&mut self) {
        self.comm.watch.ended(self.open);
        if let Some(mut request) = self.request.take() {
            if self.running {
                if !self.comm.engine.cancel(&mut request) {
                    return;
                }
                self.comm.taken_back(&self.trace);
            }
            self.comm.engine.release(request);
        }
        // SAFETY: the engine no longer touches the buffers, and this is their only drop.
        unsafe { ManuallyDrop::drop(&mut self.buffers) };
    }
}

/// What a plan does when it is started.
#[derive(Clone, Copy)]
pub(crate) enum Moves {
    Out { mode: Mode, bytes: usize, kind: Kind, dest: usize, tag: i32 },
    In { kind: Kind, from: engine::From, tag: engine::Tagged },
}

/// An operation that is set up once and started again and again. Sends, receives and collectives have plans, each with
/// calls of its own to wait for it; this is what they have in common, for [`start_all`] and [`finish_all`].
pub trait Plan: sealed::Plan {}

pub(crate) mod sealed {
    use crate::engine::Place;
    use crate::error::Result;

    /// What the plans of this crate do.
    pub trait Plan {
        #[doc(hidden)]
        fn start_at(&mut self, place: Place) -> Result<()>;
        #[doc(hidden)]
        fn finish_at(&mut self, place: Place) -> Result<()>;
    }
}

/// Starts all of the plans. Local; see the plans' own `start`.
///
/// # Errors
/// A plan that is under way already. Those before it have been started.
#[track_caller]
pub fn start_all(plans: &mut [&mut dyn Plan]) -> Result<()> {
    let place = Location::caller();
    plans.iter_mut().try_for_each(|plan| plan.start_at(place))
}

/// Blocks until all of the plans, which have been started, are complete.
///
/// # Errors
/// The first, once all are complete.
#[track_caller]
pub fn finish_all(plans: &mut [&mut dyn Plan]) -> Result<()> {
    let place = Location::caller();
    let mut first = Ok(());
    for plan in plans {
        first = first.and(plan.finish_at(place));
    }
    first
}

/// A send with data of its own, from [`Comm::plan_send`].
#[must_use = "a plan does nothing until it is started"]
pub struct SendPlan<T: Element> {
    core: Core<Vec<T>>,
    mode: Mode,
    dest: usize,
    tag: i32,
}

/// A receive with a buffer of its own, from [`Comm::plan_recv`].
#[must_use = "a plan does nothing until it is started"]
pub struct RecvPlan<T: Element> {
    core: Core<Vec<T>>,
    from: engine::From,
    tag: engine::Tagged,
}

impl Comm {
    /// Sets up a send of `data` that can be started again and again. Local: nothing is sent yet.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let (right, left) = ((world.rank() + 1) % world.size(), (world.rank() + world.size() - 1) % world.size());
    ///     let mut edge = world.plan_send(vec![0.0], right, 1)?;
    ///     let mut ghost = world.plan_recv(vec![0.0], left, 1)?;
    ///     for step in 0..3 {
    ///         edge.buffer_mut()?[0] = f64::from(step);
    ///         rankine::start_all(&mut [&mut ghost, &mut edge])?;
    ///         // work that needs neither buffer
    ///         edge.wait()?;
    ///         assert_eq!(ghost.wait()?.len, 1);
    ///         assert_eq!(ghost.buffer()?[0], f64::from(step));
    ///     }
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// A rank that is not in the communicator, a tag outside `0..=TAG_MAX`, a failure of the engine.
    #[track_caller]
    pub fn plan_send<T: Element>(&self, data: Vec<T>, dest: usize, tag: i32) -> Result<SendPlan<T>> {
        self.plan_send_at("plan_send", Mode::Standard, data, dest, tag, Location::caller())
    }

    /// As [`Comm::plan_send`], of a send that is complete only when its receive has begun.
    #[track_caller]
    pub fn plan_ssend<T: Element>(&self, data: Vec<T>, dest: usize, tag: i32) -> Result<SendPlan<T>> {
        self.plan_send_at("plan_ssend", Mode::Synchronous, data, dest, tag, Location::caller())
    }

    fn plan_send_at<T: Element>(
        &self,
        call: &str,
        mode: Mode,
        data: Vec<T>,
        dest: usize,
        tag: i32,
        place: Place,
    ) -> Result<SendPlan<T>> {
        self.check_dest(call, dest, tag, place)?;
        // SAFETY: the request reads what the vector holds, which stays where it is when the vector is moved.
        let core = unsafe {
            let moves = Moves::Out { mode, bytes: size_of_val(&data[..]), kind: T::KIND, dest, tag };
            Core::new(self, call, place, named::<T>(), moves, data, sending(mode, dest, tag))
        }?;
        Ok(SendPlan { core, mode, dest, tag })
    }

    /// Sets up a receive of messages of at most `buffer.len()` elements that can be started again and again. Local.
    ///
    /// # Errors
    /// A rank or tag that cannot be, a failure of the engine.
    #[track_caller]
    pub fn plan_recv<T: Element>(
        &self,
        buffer: Vec<T>,
        source: impl Into<Source>,
        tag: impl Into<Tag>,
    ) -> Result<RecvPlan<T>> {
        let place = Location::caller();
        let (from, tag) = self.check_source("plan_recv", source.into(), tag.into(), place)?;
        let (call, element) = ("plan_recv", named::<T>());
        // SAFETY: the request writes what the vector holds, which stays where it is when the vector is moved.
        let core = unsafe {
            let moves = Moves::In { kind: T::KIND, from, tag };
            Core::new(self, call, place, element, moves, buffer, receiving(from, tag))
        }?;
        Ok(RecvPlan { core, from, tag })
    }
}

fn sending<T: Element>(
    mode: Mode,
    dest: usize,
    tag: i32,
) -> impl FnOnce(&Engine, &mut Vec<T>) -> Outcome<engine::Request> {
    move |engine, data| {
        engine.plan_send(mode, data.as_ptr().cast(), size_of_val(&data[..]), T::KIND, dest, tag)
    }
}

fn receiving<T: Element>(
    from: engine::From,
    tag: engine::Tagged,
) -> impl FnOnce(&Engine, &mut Vec<T>) -> Outcome<engine::Request> {
    move |engine, buffer| {
        engine.plan_recv(buffer.as_mut_ptr().cast(), size_of_val(&buffer[..]), T::KIND, from, tag)
    }
}

/// The calls that plans on one vector share.
macro_rules! vector_plan {
    ($plan:ident) => {
        impl<T: Element> $plan<T> {
            /// Starts it: until it is complete its buffer cannot be had. Local.
            ///
            /// # Errors
            /// It is under way already.
            #[track_caller]
            pub fn start(&mut self) -> Result<()> {
                self.core.start(Location::caller())
            }

            /// Whether it has been started and not yet completed by `wait` or `test`.
            pub fn is_under_way(&self) -> bool {
                self.core.is_under_way()
            }

            /// The buffer.
            ///
            /// # Errors
            /// It is under way, and the buffer the engine's.
            #[track_caller]
            pub fn buffer(&self) -> Result<&[T]> {
                Ok(&self.core.buffers("buffer", Location::caller())?[..])
            }

            /// The buffer, to be changed.
            ///
            /// # Errors
            /// As [`Self::buffer`].
            #[track_caller]
            pub fn buffer_mut(&mut self) -> Result<&mut [T]> {
                Ok(&mut self.core.buffers_mut("buffer_mut", Location::caller())?[..])
            }
        }

        impl<T: Element> Plan for $plan<T> {}

        impl<T: Element> sealed::Plan for $plan<T> {
            fn start_at(&mut self, place: Place) -> Result<()> {
                self.core.start(place)
            }
            fn finish_at(&mut self, place: Place) -> Result<()> {
                self.core.wait(place).map(drop)
            }
        }
    };
}

vector_plan!(SendPlan);
vector_plan!(RecvPlan);

impl<T: Element> SendPlan<T> {
    /// Blocks until the send that was started is complete: its buffer may be changed again.
    ///
    /// # Errors
    /// It has not been started; those of [`Comm::send`].
    #[track_caller]
    pub fn wait(&mut self) -> Result<()> {
        self.core.wait(Location::caller()).map(drop)
    }

    /// Looks whether the send that was started is complete.
    #[track_caller]
    pub fn test(&mut self) -> Result<bool> {
        Ok(self.core.test(Location::caller())?.is_some())
    }

    /// Exchanges the plan's data for other data, of any length. Local; the plan is set up anew.
    ///
    /// # Errors
    /// It is under way: then nothing is exchanged.
    #[track_caller]
    pub fn swap(&mut self, data: &mut Vec<T>) -> Result<()> {
        let make = sending(self.mode, self.dest, self.tag);
        // SAFETY: as in `plan_send_at`.
        unsafe { self.core.change("swap", Location::caller(), |mine| std::mem::swap(mine, data), make) }
    }
}

impl<T: Element> RecvPlan<T> {
    /// Blocks until a message is there; it stands at the start of the buffer, and the rest is untouched.
    ///
    /// # Errors
    /// It has not been started; those of [`Comm::recv`].
    #[track_caller]
    pub fn wait(&mut self) -> Result<Status> {
        let place = Location::caller();
        let envelope = self.core.wait(place)?;
        self.status("wait", place, envelope)
    }

    /// Looks whether the message is there.
    #[track_caller]
    pub fn test(&mut self) -> Result<Option<Status>> {
        let place = Location::caller();
        let envelope = self.core.test(place)?;
        envelope.map(|envelope| self.status("test", place, envelope)).transpose()
    }

    /// Takes the receive that was started back: the plan is idle. If it was complete already, its status.
    #[track_caller]
    pub fn cancel(&mut self) -> Result<Option<Status>> {
        let place = Location::caller();
        let envelope = self.core.cancel_recv(place)?;
        envelope.map(|envelope| self.status("cancel", place, envelope)).transpose()
    }

    /// Exchanges the plan's buffer for another one, of any length. Local; the plan is set up anew.
    ///
    /// # Errors
    /// It is under way: then nothing is exchanged.
    #[track_caller]
    pub fn swap(&mut self, buffer: &mut Vec<T>) -> Result<()> {
        let make = receiving(self.from, self.tag);
        // SAFETY: as in `plan_recv`.
        unsafe { self.core.change("swap", Location::caller(), |mine| std::mem::swap(mine, buffer), make) }
    }

    fn status(&self, call: &str, place: Place, envelope: Envelope) -> Result<Status> {
        whole::<T>(envelope).map(Status::of::<T>).map_err(|fault| self.core.fault(call, place, fault))
    }
}
