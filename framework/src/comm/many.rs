//! Many requests at once: wait for all of them, for any, for some; and each gives its buffer back.
//!
//! Requests of a scope and those that own their buffers are handled alike. How an engine looks at thousands of
//! requests is its own business.

use crate::comm::watched::Trace;
use crate::comm::{Comm, Inner};
use crate::engine::many::{Ended, Enough, Many};
use crate::engine::{self, Engine, Envelope, Fault, Outcome, Place};
use crate::error::Result;
use crate::watch::{Listed, Name, Need, What};
use std::collections::VecDeque;
use std::panic::Location;
use std::rc::Rc;

/// A nonblocking operation under way, of which [`Requests`] holds many: [`Request`](crate::Request),
/// [`OwnedSend`](crate::OwnedSend), [`OwnedRecv`](crate::OwnedRecv), [`OwnedCollective`](crate::OwnedCollective).
pub trait Pending: sealed::Pending {}

impl<R: sealed::Pending> Pending for R {}

pub(crate) mod sealed {
    use super::*;

    /// What the handles of this crate do for [`super::Requests`].
    pub trait Pending: Sized {
        /// What waiting for it gives.
        type Done;
        fn maker(&self) -> Maker;
        /// Shows the engine's request.
        fn look(&mut self, look: Look<'_>);
        /// What waiting for it waits for.
        fn trace(&self) -> Option<Traced>;
        /// After the engine said how it ended.
        fn conclude(self, how: How) -> Result<Self::Done, Failed>;
        fn element() -> (&'static str, usize);
    }

    /// The communicator, the engine's request, how it ended, what it waits for, and what was wrong: unnamed outside.
    pub struct Maker(pub(crate) Rc<Inner>);
    pub struct Look<'a>(pub(crate) &'a mut dyn FnMut(&Engine, &mut engine::Request));
    pub struct How(pub(crate) Outcome<Envelope>);
    pub struct Traced(pub(crate) Trace);
    pub use crate::comm::request::sealed::Failed;
}

/// Requests of one type, to be waited for together. They are numbered in the order they were put in, from 0, and each
/// is given back once, with its number.
///
/// ```
/// rankine::testing::ranks([1, 2, 4], |world| {
///     // Everybody gets a number from everybody, in whatever order they come.
///     let sends = (0..world.size()).map(|rank| world.isend_owned(vec![world.rank()], rank, 1));
///     let sends = sends.collect::<rankine::Result<Vec<_>>>()?;
///     let receives = (0..world.size()).map(|rank| world.irecv_owned(Vec::<usize>::with_capacity(1), rank, 1));
///     let mut receives: rankine::Requests<_> = receives.collect::<rankine::Result<_>>()?;
///     while let Some((number, (data, status))) = receives.wait_any()? {
///         assert_eq!((number, data), (status.source, vec![status.source]));
///     }
///     rankine::wait_all(sends).map(drop)
/// });
/// ```
///
/// An error is that of one request, which is then no longer in the set; what its buffer was is lost with it, and the
/// others can still be waited for. Dropping the set drops the requests in it.
#[must_use = "the buffers come back from wait_all() and the like"]
pub struct Requests<R: Pending> {
    pending: Vec<(usize, R)>,
    /// Complete and not given back yet.
    over: VecDeque<(usize, Result<R::Done>)>,
    ended: Vec<Ended>,
    next: usize,
}

/// One of [`Requests`] that is complete: its number and what waiting for it gives.
type Numbered<R> = (usize, <R as sealed::Pending>::Done);

impl<R: Pending> Requests<R> {
    /// None yet.
    pub fn new() -> Self {
        Requests { pending: Vec::new(), over: VecDeque::new(), ended: Vec::new(), next: 0 }
    }

    /// Puts one in and gives it the next number.
    pub fn push(&mut self, request: R) -> usize {
        self.pending.push((self.next, request));
        self.next += 1;
        self.next - 1
    }

    /// How many have not been given back.
    pub fn len(&self) -> usize {
        self.pending.len() + self.over.len()
    }

    /// Whether all have been given back.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Blocks until all are complete, and gives them back in the order of their numbers.
    ///
    /// # Errors
    /// The first, once all are complete.
    #[track_caller]
    pub fn wait_all(&mut self) -> Result<Vec<R::Done>> {
        let place = Location::caller();
        for (number, mut request) in self.pending.drain(..) {
            let comm = Comm { inner: request.maker().0 };
            let mut outcome = Err(Fault::Aborted);
            let trace = request.trace().map_or(Trace::of_nothing(place), |traced| traced.0);
            let within = comm.inner.waiting(&"wait_all", place, &trace);
            request.look(sealed::Look(&mut |engine, request| outcome = engine.wait(request)));
            drop(within);
            let done = request.conclude(sealed::How(outcome));
            let done = done.map_err(|failed| comm.fault("wait_all", place, failed.0, R::element()));
            self.over.push_back((number, done));
        }
        self.all()
    }

    /// Blocks until one is complete, unless all have been given back: `None`.
    ///
    /// # Errors
    /// If that one failed.
    #[track_caller]
    pub fn wait_any(&mut self) -> Result<Option<(usize, R::Done)>> {
        self.gather(&"wait_any", true, Enough::One, Location::caller())?;
        self.first()
    }

    /// Blocks until one is complete, and gives back all that are. None only if all have been given back.
    ///
    /// # Errors
    /// The first of those that failed; the others are given back by the next call.
    #[track_caller]
    pub fn wait_some(&mut self) -> Result<Vec<(usize, R::Done)>> {
        self.gather(&"wait_some", true, Enough::Some, Location::caller())?;
        self.some()
    }

    /// If all are complete, gives them back in the order of their numbers.
    ///
    /// # Errors
    /// As [`Requests::wait_all`].
    #[track_caller]
    pub fn test_all(&mut self) -> Result<Option<Vec<R::Done>>> {
        self.look(&"test_all", false, Enough::All, Location::caller())?;
        if self.pending.is_empty() { self.all().map(Some) } else { Ok(None) }
    }

    /// Gives one back that is complete, if there is one.
    ///
    /// # Errors
    /// If that one failed.
    #[track_caller]
    pub fn test_any(&mut self) -> Result<Option<(usize, R::Done)>> {
        self.gather(&"test_any", false, Enough::One, Location::caller())?;
        self.first()
    }

    /// Gives all back that are complete.
    ///
    /// # Errors
    /// As [`Requests::wait_some`].
    #[track_caller]
    pub fn test_some(&mut self) -> Result<Vec<(usize, R::Done)>> {
        self.gather(&"test_some", false, Enough::Some, Location::caller())?;
        self.some()
    }

    fn all(&mut self) -> Result<Vec<R::Done>> {
        let over = self.over.make_contiguous();
        over.sort_unstable_by_key(|(number, _)| *number);
        self.over.drain(..).map(|(_, done)| done).collect()
    }

    fn first(&mut self) -> Result<Option<Numbered<R>>> {
        self.over.pop_front().map(|(number, done)| done.map(|done| (number, done))).transpose()
    }

    fn some(&mut self) -> Result<Vec<Numbered<R>>> {
        if let Some(failed) = self.over.iter().position(|(_, done)| done.is_err())
            && let Some((_, Err(error))) = self.over.remove(failed)
        {
            return Err(error);
        }
        Ok(self.over.drain(..).filter_map(|(number, done)| Some((number, done.ok()?))).collect())
    }

    /// Looks for complete ones, unless there are some already.
    fn gather(&mut self, call: Name, block: bool, enough: Enough, place: Place) -> Result<()> {
        if self.over.is_empty() { self.look(call, block, enough, place) } else { Ok(()) }
    }

    fn look(&mut self, call: Name, block: bool, enough: Enough, place: Place) -> Result<()> {
        let Some((_, first)) = self.pending.first() else { return Ok(()) };
        let comm = Comm { inner: first.maker().0 };
        let words = |fault| comm.fault(call, place, fault, R::element());
        let within = comm.inner.within(call, place, Need::NOTHING);
        let mut slots = Slots(&mut self.pending, enough);
        // Where orders are explored a call looks once.
        if !block || !comm.engine().is_explored() {
            comm.engine().some(&mut slots, false, &mut self.ended).map_err(words)?;
        }
        if block && self.ended.is_empty() {
            if comm.inner.watch.is_on() {
                let traces = slots.0.iter().filter_map(|(_, request)| request.trace());
                let list: Vec<Listed> = traces.map(|traced| traced.0.listed()).collect();
                comm.inner.watch.needs(What::Any, &list);
            }
            comm.engine().some(&mut slots, true, &mut self.ended).map_err(words)?;
        }
        drop(within);
        // From behind, so that what takes a removed one's place has been looked at.
        self.ended.sort_unstable_by_key(|(index, _)| *index);
        let start = self.over.len();
        for (index, outcome) in self.ended.drain(..).rev() {
            let (number, request) = self.pending.swap_remove(index);
            self.over.push_back((
                number,
                request.conclude(sealed::How(outcome)).map_err(|failed| words(failed.0)),
            ));
        }
        self.over.make_contiguous()[start..].sort_unstable_by_key(|(number, _)| *number);
        Ok(())
    }
}

impl<R: Pending> Default for Requests<R> {
    fn default() -> Self {
        Requests::new()
    }
}

impl<R: Pending> Extend<R> for Requests<R> {
    fn extend<I: IntoIterator<Item = R>>(&mut self, requests: I) {
        for request in requests {
            self.push(request);
        }
    }
}

impl<R: Pending> FromIterator<R> for Requests<R> {
    fn from_iter<I: IntoIterator<Item = R>>(requests: I) -> Self {
        let mut all = Requests::new();
        all.extend(requests);
        all
    }
}

/// Blocks until all of the requests are complete and gives their buffers back, in order; see [`Requests::wait_all`].
///
/// ```
/// rankine::testing::ranks([1, 2, 3], |world| {
///     let (mut got, mine) = ([[0; 2]; 4], [world.rank(); 2]);
///     world.scope(|s| {
///         let left = (world.rank() + world.size() - 1) % world.size();
///         let receives: rankine::Result<Vec<_>> = got.iter_mut().map(|part| s.irecv(part, left, 1)).collect();
///         for _ in 0..4 {
///             let _ = s.isend(&mine, (world.rank() + 1) % world.size(), 1)?;
///         }
///         for (part, status) in rankine::wait_all(receives?)? {
///             assert_eq!((&*part, status.len), (&[left; 2][..], 2));
///         }
///         Ok(())
///     })
/// });
/// ```
///
/// # Errors
/// The first, once all are complete.
#[track_caller]
pub fn wait_all<R: Pending>(requests: impl IntoIterator<Item = R>) -> Result<Vec<R::Done>> {
    requests.into_iter().collect::<Requests<R>>().wait_all()
}

/// The requests as an engine looks at them.
struct Slots<'a, R>(&'a mut Vec<(usize, R)>, Enough);

impl<R: Pending> Many for Slots<'_, R> {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn enough(&self) -> Enough {
        self.1
    }
    fn at(&mut self, index: usize, look: &mut dyn FnMut(&Engine, &mut engine::Request)) {
        self.0[index].1.look(sealed::Look(look));
    }
}
