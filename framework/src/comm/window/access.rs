//! What a rank does in an epoch: put, get, accumulate, fetch, compare and swap.
//!
//! Every access names a rank and an index into that rank's part, and both are checked here before the engine. Buffers
//! are borrowed for the whole epoch (or up to the flush), because an access is complete only then. When epochs begin
//! and end is in `epoch`.

use super::conflict::How as Claimed;
use super::merge::{Atomic, Merge, Swap, erased};
use super::{Element, Raw};
use crate::comm::op::Builtin;
use crate::engine::window::How;
use crate::engine::{Outcome, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::timing::Doing;
use std::cell::Cell;
use std::marker::PhantomData;
use std::panic::Location;

/// Accesses in an epoch of a [`Window`](super::Window). They may complete in any order, at the latest when the epoch
/// ends; two that meet at one place leave what one of them brought, number by number, and only accumulates with the
/// same operator all count. The checked mode reports such accesses at the end of a fence or of `post_start`.
///
/// `data` and `result` are borrowed until the epoch ends, so neither can be touched before:
///
/// ```compile_fail,E0503
/// rankine::testing::ranks([1], |world| {
///     let mut window = world.window::<f64>(10)?;
///     let mut got = [0.0];
///     window.fence(|epoch| {
///         epoch.get(&mut got, 0, 0)?;
///         assert_eq!(got[0], 0.0);
///         Ok(())
///     })
/// });
/// ```
///
/// Nor can a buffer be shorter-lived than the epoch, or the epoch leave its closure:
///
/// ```compile_fail,E0597
/// rankine::testing::ranks([1], |world| {
///     let mut window = world.window::<f64>(10)?;
///     window.fence(|epoch| {
///         let data = vec![1.0];
///         epoch.put(&data, 0, 0)
///     })
/// });
/// ```
///
/// ```compile_fail
/// rankine::testing::ranks([1], |world| {
///     let mut window = world.window::<f64>(10)?;
///     let mut kept = None;
///     window.fence(|epoch| { kept = Some(epoch); Ok(()) })?;
///     kept.unwrap().put(&[1.0], 0, 0)
/// });
/// ```
pub struct Access<'scope, 'env: 'scope, T: Element, Kind> {
    pub(super) raw: &'scope Raw,
    reach: Reach<'scope>,
    /// Whether the engine may be using a buffer.
    pending: &'scope Cell<bool>,
    element: PhantomData<(T, Kind)>,
    /// Invariant in both, as those of [`Scope`](crate::Scope).
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// Accesses that complete when the closure ends.
pub type Epoch<'scope, 'env, T> = Access<'scope, 'env, T, Active>;

/// Accesses under a lock, which can be completed one by one.
pub type Locked<'scope, 'env, T> = Access<'scope, 'env, T, Passive>;

/// Marks an [`Epoch`].
pub enum Active {}

/// Marks accesses under a lock, [`Locked`].
pub enum Passive {}

/// The ranks that may be accessed.
#[derive(Clone, Copy)]
pub(super) enum Reach<'a> {
    All,
    One(usize),
    These(&'a [usize]),
}

impl Reach<'_> {
    fn has(self, rank: usize) -> bool {
        match self {
            Reach::All => true,
            Reach::One(only) => rank == only,
            Reach::These(some) => some.contains(&rank),
        }
    }
}

/// Runs `f` with accesses to `reach`, then `end`, which completes them. After a panic, or if `end` fails, buffers that
/// the engine may still use bring the job down.
pub(super) fn within<'env, T: Element, Kind, R>(
    raw: &Raw,
    reach: Reach<'_>,
    f: impl for<'scope> FnOnce(&'scope Access<'scope, 'env, T, Kind>) -> Result<R>,
    end: impl FnOnce() -> Outcome<()>,
) -> (Result<R>, Outcome<()>) {
    let pending = Cell::new(false);
    let guard = Guard { raw, pending: &pending };
    let access =
        Access { raw, reach, pending: &pending, element: PhantomData, scope: PhantomData, env: PhantomData };
    let result = f(&access);
    let ended = {
        let _timed = raw.comm.inner.clock.communicating(Doing::Waiting);
        end()
    };
    if ended.is_ok() {
        pending.set(false);
    }
    drop(guard);
    (result, ended)
}

/// At its end no engine uses a buffer any more.
struct Guard<'a> {
    raw: &'a Raw,
    pending: &'a Cell<bool>,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.pending.get() {
            let (kind, what) = if std::thread::panicking() {
                (ErrorKind::Panic, "panicked with accesses to a window under way")
            } else {
                (ErrorKind::Engine, "accesses to a window could not be completed")
            };
            let comm = &self.raw.comm;
            comm.engine().bring_down(Error::new(kind, what).on_rank(comm.rank()));
        }
    }
}

impl<'scope, 'env, T: Element, Kind> Access<'scope, 'env, T, Kind> {
    /// Checks that `len` elements from `at` on exist on `target` and may be reached; the place in bytes.
    fn check(&self, call: &str, target: usize, at: usize, len: usize, place: Place) -> Result<usize> {
        let raw = self.raw;
        let Some(has) = raw.len(target) else {
            let help = format!("this window's ranks are 0 to {}", raw.comm.size() - 1);
            return Err(raw.comm.usage(call, place, format!("rank {target}: there is no such rank"), &help));
        };
        if !self.reach.has(target) {
            return Err(raw.comm.usage(
                call,
                place,
                format!("rank {target} is not one that this epoch or lock reaches"),
                "name it where the epoch begins, or lock it too",
            ));
        }
        if at > has || len > has - at {
            return Err(raw.comm.usage(
                call,
                place,
                format!("{len} elements at {at}: the part of rank {target} has {has}"),
                "stay inside the target's part; every rank's length is that which it gave itself",
            ));
        }
        Ok(at * raw.element.1)
    }

    /// Does an access to `len` bytes of `target` from `at` on, that may use its buffers until it is completed.
    fn access(
        &self,
        (call, place): (&str, Place),
        how: Claimed,
        (target, at, len): (usize, usize, usize),
        f: impl FnOnce() -> Outcome<()>,
    ) -> Result<()> {
        self.raw.note(how, target, at, len, place);
        let _timed = self.raw.comm.inner.clock.communicating(Doing::Sending);
        self.pending.set(self.raw.engine.lends());
        f().map_err(|fault| self.raw.fault(call, place, fault))
    }

    /// Copies `data` to rank `target`, from its element `at` on.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`]: there is no such rank or place, or it is not reached here.
    #[track_caller]
    pub fn put(&'scope self, data: &'scope [T], target: usize, at: usize) -> Result<()> {
        let place = Location::caller();
        let at = self.check("put", target, at, data.len(), place)?;
        if size_of_val(data) == 0 {
            return Ok(());
        }
        // SAFETY: `data` is borrowed until the accesses are complete.
        self.access(("put", place), Claimed::Put, (target, at, size_of_val(data)), || unsafe {
            self.raw.engine.put(data.as_ptr().cast(), size_of_val(data), target, at)
        })
    }

    /// Copies from rank `target`, from its element `at` on, into `data`.
    ///
    /// # Errors
    /// As for [`Access::put`].
    #[track_caller]
    pub fn get(&'scope self, data: &'scope mut [T], target: usize, at: usize) -> Result<()> {
        let place = Location::caller();
        let at = self.check("get", target, at, data.len(), place)?;
        let len = size_of_val(data);
        if len == 0 {
            return Ok(());
        }
        // SAFETY: `data` is borrowed mutably until the accesses are complete.
        self.access(("get", place), Claimed::Get, (target, at, len), || unsafe {
            self.raw.engine.get(data.as_mut_ptr().cast(), len, target, at)
        })
    }

    /// Combines `data` with the elements of rank `target` from `at` on: each number atomically, so that of
    /// accumulates with the same operator none is lost.
    ///
    /// ```
    /// use rankine::op::Sum;
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let mut histogram = world.window::<u64>(if world.rank() == 0 { 3 } else { 0 })?;
    ///     histogram.fence(|epoch| epoch.accumulate(&[1, 0, 2], Sum, 0, 0))?;
    ///     if world.rank() == 0 {
    ///         let n = world.size() as u64;
    ///         assert_eq!(histogram.local()?, [n, 0, 2 * n]);
    ///     }
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// As for [`Access::put`]; or a NaN is given to `Min` or `Max`, of which MPI leaves open what becomes.
    #[track_caller]
    pub fn accumulate<O: Merge<T::Scalar>>(
        &'scope self,
        data: &'scope [T],
        op: O,
        target: usize,
        at: usize,
    ) -> Result<()>
    where
        T: Atomic,
    {
        let place = Location::caller();
        let at = self.check("accumulate", target, at, data.len(), place)?;
        self.check_order::<O>("accumulate", data, place)?;
        if size_of_val(data) == 0 {
            return Ok(());
        }
        let merge = erased::<T, O>(op);
        // SAFETY: `data` is borrowed until the accesses are complete.
        self.access(("accumulate", place), Claimed::of(O::HOW), (target, at, size_of_val(data)), || unsafe {
            self.raw.engine.accumulate(data.as_ptr().cast(), size_of_val(data), &merge, target, at)
        })
    }

    /// As [`Access::accumulate`], and `result` gets what was there before: each number in one atomic step.
    ///
    /// # Errors
    /// As for [`Access::accumulate`], or `result` is not as long as `data`.
    #[track_caller]
    pub fn get_accumulate<O: Merge<T::Scalar>>(
        &'scope self,
        data: &'scope [T],
        result: &'scope mut [T],
        op: O,
        target: usize,
        at: usize,
    ) -> Result<()>
    where
        T: Atomic,
    {
        self.get_accumulate_at("get_accumulate", data, result, op, target, at, Location::caller())
    }

    /// As [`Access::get_accumulate`], of one element.
    ///
    /// # Errors
    /// As for [`Access::accumulate`].
    #[track_caller]
    pub fn fetch_op_into<O: Merge<T::Scalar>>(
        &'scope self,
        value: &'scope T,
        result: &'scope mut T,
        op: O,
        target: usize,
        at: usize,
    ) -> Result<()>
    where
        T: Atomic,
    {
        let (value, result) = (std::slice::from_ref(value), std::slice::from_mut(result));
        self.get_accumulate_at("fetch_op_into", value, result, op, target, at, Location::caller())
    }

    #[allow(clippy::too_many_arguments, reason = "MPI's arguments, the call's name and its place")]
    fn get_accumulate_at<O: Merge<T::Scalar>>(
        &'scope self,
        call: &str,
        data: &'scope [T],
        result: &'scope mut [T],
        op: O,
        target: usize,
        at: usize,
        place: Place,
    ) -> Result<()>
    where
        T: Atomic,
    {
        let at = self.check(call, target, at, data.len(), place)?;
        self.check_order::<O>(call, data, place)?;
        if result.len() != data.len() {
            let what = format!("result has {} elements, data has {}", result.len(), data.len());
            return Err(self.raw.comm.usage(call, place, what, "give both the same length"));
        }
        if size_of_val(data) == 0 {
            return Ok(());
        }
        let merge = erased::<T, O>(op);
        let (from, to, len) = (data.as_ptr().cast(), result.as_mut_ptr().cast(), size_of_val(data));
        // SAFETY: both are borrowed until the accesses are complete, `result` mutably.
        self.access((call, place), Claimed::of(O::HOW), (target, at, len), || unsafe {
            self.raw.engine.get_accumulate(from, to, len, &merge, target, at)
        })
    }

    /// Puts `value` in the place of rank `target`'s element `at` if that is `compare`; `result` gets what was there
    /// before.
    ///
    /// # Errors
    /// As for [`Access::put`].
    #[track_caller]
    pub fn compare_swap_into(
        &'scope self,
        compare: &'scope T,
        value: &'scope T,
        result: &'scope mut T,
        target: usize,
        at: usize,
    ) -> Result<()>
    where
        T: Swap,
    {
        self.compare_swap_at("compare_swap_into", [compare, value], result, target, at, Location::caller())
    }

    fn compare_swap_at(
        &'scope self,
        call: &str,
        [compare, value]: [&'scope T; 2],
        result: &'scope mut T,
        target: usize,
        at: usize,
        place: Place,
    ) -> Result<()>
    where
        T: Swap,
    {
        let at = self.check(call, target, at, 1, place)?;
        let [compare, value] = [compare, value].map(|one| std::ptr::from_ref(one).cast());
        let result = std::ptr::from_mut(result).cast();
        // SAFETY: all three are borrowed until the accesses are complete, `result` mutably.
        self.access((call, place), Claimed::Swap, (target, at, size_of::<T>()), || unsafe {
            self.raw.engine.compare_swap(compare, value, result, T::KIND.scalar(), target, at)
        })
    }

    /// An error for a NaN that would be given to an operator that compares.
    fn check_order<O: Merge<T::Scalar>>(&self, call: &str, data: &[T], place: Place) -> Result<()>
    where
        T: Atomic,
    {
        let compares = matches!(O::HOW, How::Op(Builtin::Min | Builtin::Max));
        if compares && let Some(i) = data.iter().position(T::has_nan) {
            let what = format!("element {i} is NaN, which has no order");
            return Err(self.raw.comm.usage(call, place, what, "give Min and Max numbers only"));
        }
        Ok(())
    }
}

impl<'scope, T: Element> Locked<'scope, '_, T> {
    /// Runs `f`, then completes its accesses and those of this lock before it, at the targets too: what comes after is
    /// seen after them.
    ///
    /// ```
    /// use rankine::window::Lock;
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let mut window = world.window_over(vec![world.rank(); 2])?;
    ///     window.share(|shared| {
    ///         let next = (world.rank() + 1) % world.size();
    ///         shared.lock(next, Lock::Shared, |locked| {
    ///             let mut got = [0; 2];
    ///             locked.flush(|batch| batch.get(&mut got, next, 0))?;
    ///             assert_eq!(got, [next; 2]);
    ///             Ok(())
    ///         })
    ///     })
    /// });
    /// ```
    ///
    /// # Errors
    /// Those of `f`.
    #[track_caller]
    pub fn flush<'env, R>(
        &self,
        f: impl for<'batch> FnOnce(&'batch Epoch<'batch, 'env, T>) -> Result<R>,
    ) -> Result<R> {
        self.batch("flush", false, f, Location::caller())
    }

    /// As [`Locked::flush`], but completes them on this rank only: buffers may be reused, and what was got is there,
    /// but others may not see what was put yet.
    ///
    /// # Errors
    /// Those of `f`.
    #[track_caller]
    pub fn flush_local<'env, R>(
        &self,
        f: impl for<'batch> FnOnce(&'batch Epoch<'batch, 'env, T>) -> Result<R>,
    ) -> Result<R> {
        self.batch("flush_local", true, f, Location::caller())
    }

    fn batch<'env, R>(
        &self,
        call: &str,
        local: bool,
        f: impl for<'batch> FnOnce(&'batch Epoch<'batch, 'env, T>) -> Result<R>,
        place: Place,
    ) -> Result<R> {
        let target = match self.reach {
            Reach::One(target) => Some(target),
            Reach::All | Reach::These(_) => None,
        };
        self.flushed(call, target, local, f, place)
    }

    fn flushed<'env, R>(
        &self,
        call: &str,
        target: Option<usize>,
        local: bool,
        f: impl for<'batch> FnOnce(&'batch Epoch<'batch, 'env, T>) -> Result<R>,
        place: Place,
    ) -> Result<R> {
        let raw = self.raw;
        let (result, flushed) = within(raw, self.reach, f, || raw.engine.flush(target, local));
        match flushed {
            Ok(()) => result,
            Err(fault) => result.and(Err(raw.fault(call, place, fault))),
        }
    }

    /// Combines `value` with rank `target`'s element `at` and returns what was there before, in one atomic step for
    /// each number. Waits for the answer.
    ///
    /// ```
    /// use rankine::op::Sum;
    /// rankine::testing::ranks([1, 2, 3, 4], |world| {
    ///     let mut counter = world.window::<u64>(1)?;
    ///     let ticket = counter.share(|shared| shared.lock_all(|locked| locked.fetch_op(1, Sum, 0, 0)))?;
    ///     let mut tickets = world.allgather(&[ticket])?;
    ///     tickets.sort();
    ///     assert_eq!(tickets, (0..world.size() as u64).collect::<Vec<_>>());
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// As for [`Access::accumulate`].
    #[track_caller]
    pub fn fetch_op<O: Merge<T::Scalar>>(&self, value: T, op: O, target: usize, at: usize) -> Result<T>
    where
        T: Atomic,
    {
        let place = Location::caller();
        self.check("fetch_op", target, at, 1, place)?;
        let mut before = T::zeroed();
        let (from, to) = (std::slice::from_ref(&value), std::slice::from_mut(&mut before));
        self.flushed(
            "fetch_op",
            Some(target),
            false,
            |batch| batch.get_accumulate_at("fetch_op", from, to, op, target, at, place),
            place,
        )?;
        Ok(before)
    }

    /// Puts `value` in the place of rank `target`'s element `at` if that is `compare`, and returns what was there
    /// before, in one atomic step. Waits for the answer.
    ///
    /// # Errors
    /// As for [`Access::put`].
    #[track_caller]
    pub fn compare_swap(&self, compare: T, value: T, target: usize, at: usize) -> Result<T>
    where
        T: Swap,
    {
        let place = Location::caller();
        self.check("compare_swap", target, at, 1, place)?;
        let mut before = T::zeroed();
        let (given, result) = ([&compare, &value], &mut before);
        self.flushed(
            "compare_swap",
            Some(target),
            false,
            |batch| batch.compare_swap_at("compare_swap", given, result, target, at, place),
            place,
        )?;
        Ok(before)
    }
}
