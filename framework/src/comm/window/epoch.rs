//! When ranks reach into each other's parts: the epochs of a window, as closures.
//!
//! An epoch begins before its closure and ends after it, also when the closure fails; only a panic leaves one without
//! its end, and then the window says so for good. What is done in an epoch is in `access`.

use super::access::{Epoch, Locked, Reach, within};
use super::{Element, Held, Raw, Window};
use crate::engine::window::Step;
use crate::engine::{Outcome, Place};
use crate::error::Result;
use crate::timing::Doing;
use crate::watch::Name;
use std::marker::PhantomData;
use std::panic::Location;

/// How a rank's part is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Nobody else has a lock of it.
    Exclusive,
    /// Others have shared ones as well.
    Shared,
}

/// An epoch in which ranks reach into each other's parts under locks, without the other's help; from
/// [`Window::share`].
pub struct Sharing<'scope, 'env: 'scope, T: Element> {
    raw: &'scope Raw,
    element: PhantomData<T>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

impl<T: Element> Window<T> {
    /// Runs an epoch in which all ranks reach into all parts, and returns when every rank's accesses are complete.
    /// Collective; MPI's fence, before and after.
    ///
    /// If `f` fails the epoch ends all the same, with the others', and the error is returned then.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3, 4], |world| {
    ///     // A field of four cells a rank, with a ghost cell on either side.
    ///     let (n, me) = (world.size(), world.rank());
    ///     let mut field = world.window_over(vec![me as f64; 6])?;
    ///     let edge = [me as f64];
    ///     field.fence(|epoch| {
    ///         epoch.put(&edge, (me + 1) % n, 0)?;
    ///         epoch.put(&edge, (me + n - 1) % n, 5)
    ///     })?;
    ///     assert_eq!(field.local()?[0], ((me + n - 1) % n) as f64);
    ///     assert_eq!(field.local()?[5], ((me + 1) % n) as f64);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// Those of `f`; the ranks do not all begin a fence of this window; an earlier epoch did not come to its end. In the
    /// checked mode also, on the rank whose part it is, two accesses of the epoch that conflict:
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict).
    #[track_caller]
    pub fn fence<'env, R>(
        &mut self,
        f: impl for<'scope> FnOnce(&'scope Epoch<'scope, 'env, T>) -> Result<R>,
    ) -> Result<R> {
        let (raw, place) = (&self.raw, Location::caller());
        raw.begin("fence", place, || raw.step(&"fence", Step::FenceBegins, place))?;
        raw.keep_log();
        let (result, ended) = within(raw, Reach::All, f, || raw.step(&"fence", Step::FenceEnds, place));
        let compared = ended.is_ok().then(|| raw.compare_all(&"fence", place));
        let value = raw.end("fence", place, result, ended)?;
        compared.unwrap_or(Ok(())).map(|()| value)
    }

    /// Runs an epoch with few partners: this rank reaches into the parts of `targets`, and `origins` reach into its
    /// own. Returns when both are complete. Each target must name this rank among its origins in a `post_start` of its
    /// own, and the other way round; no other rank takes part. MPI's post, start, complete and wait.
    ///
    /// ```
    /// rankine::testing::ranks([2, 3, 4], |world| {
    ///     let (n, me) = (world.size(), world.rank());
    ///     let mut window = world.window::<usize>(1)?;
    ///     let (left, right) = ((me + n - 1) % n, (me + 1) % n);
    ///     window.post_start(&[left], &[right], |epoch| epoch.put(std::slice::from_ref(&me), right, 0))?;
    ///     assert_eq!(window.local()?, [left]);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// Those of `f`; a rank that does not exist or is named twice; an earlier epoch did not come to its end; in the checked
    /// mode two accesses that conflict, as for [`Window::fence`].
    ///
    /// # Panics
    /// Only if `f` does. Then this rank's epoch has no end, and partners whose own is still to end wait for it: a panic that is
    /// caught here must have been one of all partners. Their windows are freed at the end of the job.
    #[track_caller]
    pub fn post_start<'env, R>(
        &mut self,
        origins: &[usize],
        targets: &[usize],
        f: impl for<'scope> FnOnce(&'scope Epoch<'scope, 'env, T>) -> Result<R>,
    ) -> Result<R> {
        let (raw, place) = (&self.raw, Location::caller());
        raw.check_partners("origins", origins, place)?;
        raw.check_partners("targets", targets, place)?;
        raw.begin("post_start", place, || {
            let _in = raw.posting(origins, targets, place);
            raw.engine.post_start(origins, targets)
        })?;
        let end = || {
            let _in = raw.completing(origins, targets, place);
            raw.engine.complete_wait(origins, targets)
        };
        raw.keep_log();
        let (result, ended) = within(raw, Reach::These(targets), f, end);
        let compared = ended.is_ok().then(|| raw.compare_with(origins, targets, &"post_start", place));
        let value = raw.end("post_start", place, result, ended)?;
        compared.unwrap_or(Ok(())).map(|()| value)
    }

    /// Runs an epoch in which every part is open to whoever locks it; nobody has to help the rank whose part it is.
    /// Returns when every rank's `f` has. Collective at its beginning and its end.
    ///
    /// A rank's own part, too, is reached under a lock only, [`Sharing::lock_own`].
    ///
    /// If `f` fails the epoch ends all the same, with the others', and the error is returned then.
    ///
    /// # Errors
    /// Those of `f`; the ranks do not all begin a share of this window; an earlier epoch did not come to its end.
    #[track_caller]
    pub fn share<'env, R>(
        &mut self,
        f: impl for<'scope> FnOnce(&'scope Sharing<'scope, 'env, T>) -> Result<R>,
    ) -> Result<R> {
        let (raw, place) = (&self.raw, Location::caller());
        raw.begin("share", place, || raw.step(&"share", Step::ShareBegins, place))?;
        let sharing = Sharing { raw, element: PhantomData, scope: PhantomData, env: PhantomData };
        let result = f(&sharing);
        if raw.held.borrow().any() {
            let help = "a panic or a failure inside a lock leaves it locked: let it end the rank";
            return result.and(Err(raw.comm.usage(
                "share",
                place,
                "a lock was not released".to_string(),
                help,
            )));
        }
        raw.end("share", place, result, raw.step(&"share", Step::ShareEnds, place))
    }
}

impl Raw {
    fn check_partners(&self, what: &str, ranks: &[usize], place: Place) -> Result<()> {
        let wrong = ranks.iter().enumerate().find_map(|(i, &rank)| {
            if rank >= self.comm.size() {
                Some(format!("{what}: rank {rank}: there is no such rank"))
            } else if ranks[..i].contains(&rank) {
                Some(format!("{what}: rank {rank} is named twice"))
            } else {
                None
            }
        });
        match wrong {
            None => Ok(()),
            Some(text) => {
                let help = format!("this window's ranks are 0 to {}", self.comm.size() - 1);
                Err(self.comm.usage("post_start", place, text, &help))
            }
        }
    }
}

impl Held {
    fn any(&self) -> bool {
        self.all || !self.targets.is_empty()
    }

    fn has(&self, rank: usize) -> bool {
        self.all || self.targets.contains(&rank)
    }
}

impl<'scope, T: Element> Sharing<'scope, '_, T> {
    /// Runs `f` with rank `target`'s part locked, and returns when its accesses are complete there.
    ///
    /// # Errors
    /// Those of `f`; there is no such rank; this rank has locked it already.
    #[track_caller]
    pub fn lock<'env, R>(
        &self,
        target: usize,
        lock: Lock,
        f: impl for<'lock> FnOnce(&'lock Locked<'lock, 'env, T>) -> Result<R>,
    ) -> Result<R> {
        let place = Location::caller();
        self.acquire(&"lock", target, lock, place)?;
        let raw = self.raw;
        let (result, released) = within(raw, Reach::One(target), f, || raw.engine.unlock(target));
        self.released("lock", Some(target), result, released, place)
    }

    /// Runs `f` with every part locked for sharing, and returns when its accesses are complete.
    ///
    /// # Errors
    /// Those of `f`; this rank has locked a part already.
    #[track_caller]
    pub fn lock_all<'env, R>(
        &self,
        f: impl for<'lock> FnOnce(&'lock Locked<'lock, 'env, T>) -> Result<R>,
    ) -> Result<R> {
        let (raw, place) = (self.raw, Location::caller());
        if raw.held.borrow().any() {
            return Err(self.locked_already("lock_all", "a part", place));
        }
        {
            let _in = raw.locking_all(place);
            raw.engine.lock_all().map_err(|fault| raw.fault("lock_all", place, fault))?;
        }
        (0..raw.comm.size()).for_each(|target| raw.locked(target, false, place));
        raw.held.borrow_mut().all = true;
        let (result, released) = within(raw, Reach::All, f, || raw.engine.unlock_all());
        self.released("lock_all", None, result, released, place)
    }

    /// Runs `f` on this rank's own part, which nobody else can reach meanwhile.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let mut window = world.window::<i32>(2)?;
    ///     window.share(|shared| {
    ///         shared.lock_own(|mine| {
    ///             mine.copy_from_slice(&[1, 2]);
    ///             Ok(())
    ///         })
    ///     })?;
    ///     assert_eq!(window.local()?, [1, 2]);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// Those of `f`; this rank has locked its part already.
    #[track_caller]
    pub fn lock_own<R>(&self, f: impl FnOnce(&mut [T]) -> Result<R>) -> Result<R> {
        let (raw, place) = (self.raw, Location::caller());
        let own = raw.comm.rank();
        self.acquire(&"lock_own", own, Lock::Exclusive, place)?;
        // SAFETY: in a share others need a lock to reach into the part, and so does this rank; this one excludes them
        // and is released after the closure, which the slice cannot leave.
        let result = f(unsafe { raw.slice_mut() });
        let released = self.timed(|| raw.engine.unlock(own));
        self.released("lock_own", Some(own), result, released, place)
    }

    fn timed<R>(&self, f: impl FnOnce() -> R) -> R {
        let _timed = self.raw.comm.inner.clock.communicating(Doing::Waiting);
        f()
    }

    fn acquire(&self, call: Name, target: usize, lock: Lock, place: Place) -> Result<()> {
        let raw = self.raw;
        if target >= raw.comm.size() {
            let help = format!("this window's ranks are 0 to {}", raw.comm.size() - 1);
            return Err(raw.comm.usage(call, place, format!("rank {target}: there is no such rank"), &help));
        }
        if raw.held.borrow().has(target) {
            return Err(self.locked_already(call, &format!("the part of rank {target}"), place));
        }
        let exclusive = lock == Lock::Exclusive;
        {
            let _in = raw.locking(call, target, exclusive, place);
            raw.engine.lock(target, exclusive).map_err(|fault| raw.fault(call, place, fault))?;
        }
        raw.locked(target, exclusive, place);
        raw.held.borrow_mut().targets.push(target);
        Ok(())
    }

    #[cold]
    fn locked_already(&self, call: &str, what: &str, place: Place) -> crate::Error {
        let help = "locks of one part do not nest: use the one that is held";
        self.raw.comm.usage(call, place, format!("this rank has locked {what} already"), help)
    }

    /// After the closure of a lock: `target` is free again, or all are.
    fn released<R>(
        &self,
        call: &str,
        target: Option<usize>,
        result: Result<R>,
        released: Outcome<()>,
        place: Place,
    ) -> Result<R> {
        if let Err(fault) = released {
            return result.and(Err(self.raw.fault(call, place, fault)));
        }
        self.raw.unlocked(target, place);
        let mut held = self.raw.held.borrow_mut();
        match target {
            None => held.all = false,
            Some(target) => held.targets.retain(|&other| other != target),
        }
        result
    }
}
