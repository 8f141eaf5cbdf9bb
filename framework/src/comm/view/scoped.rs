//! Nonblocking sends and receives of views, in a scope.
//!
//! A view that must be packed travels in a vector of the operation's own, which the scope keeps: when the scope ends, what
//! has arrived for a forgotten handle is still laid into its view.

use super::copy;
use crate::comm::p2p::{Source, Status, Tag};
use crate::comm::request::{OwnedRecv, OwnedSend, Request, Test};
use crate::comm::{Comm, Element, Scope};
use crate::engine::{Mode, Place};
use crate::error::Result;
use ndarray::{ArrayView, ArrayViewMut, Dimension};
use std::cell::RefCell;
use std::panic::Location;
use std::rc::Rc;

/// The operations of a scope on vectors of their own.
#[derive(Default)]
pub(in crate::comm) struct Deferred<'env> {
    all: RefCell<Vec<Rc<dyn Finish + 'env>>>,
}

trait Finish {
    /// Completes the operation, unless that has been done.
    fn finish(&self, place: Place) -> Result<()>;
    /// Takes it back or leaks its vector, unless it is complete.
    fn abandon(&self);
}

impl Deferred<'_> {
    /// Completes everything that is still under way.
    pub fn finish(&self, place: Place) -> Result<()> {
        if self.all.borrow().is_empty() {
            return Ok(());
        }
        self.all.take().into_iter().map(|one| one.finish(place)).fold(Ok(()), Result::and)
    }
}

/// Only a scope that fails or panics leaves anything to abandon.
impl Drop for Deferred<'_> {
    fn drop(&mut self) {
        self.all.get_mut().drain(..).for_each(|one| one.abandon());
    }
}

/// What a receive into a view gives when it is complete.
type ViewAndStatus<'a, T, D> = (ArrayViewMut<'a, T, D>, Status);

/// A receive into a view under way; from [`Scope::irecv_view`].
#[must_use = "the view comes back from wait()"]
pub struct ViewRecv<'scope, 'env, T: Element, D: Dimension> {
    comm: &'env Comm,
    way: RecvWay<'scope, 'env, T, D>,
}

enum RecvWay<'scope, 'env, T: Element, D: Dimension> {
    /// Straight into the view, of this shape.
    Straight(Request<'scope, &'scope mut [T]>, D),
    Packed(Rc<PackedRecv<'env, T, D>>),
}

struct PackedRecv<'env, T: Element, D> {
    comm: &'env Comm,
    /// `None` once complete.
    under_way: RefCell<Option<UnderWay<'env, T, D>>>,
}

struct UnderWay<'env, T: Element, D> {
    recv: OwnedRecv<T>,
    view: ArrayViewMut<'env, T, D>,
}

impl<'env, T: Element, D: Dimension> PackedRecv<'env, T, D> {
    fn complete(&self, place: Place) -> Result<Option<(ArrayViewMut<'env, T, D>, Status)>> {
        let Some(UnderWay { recv, view }) = self.under_way.take() else { return Ok(None) };
        let (packed, status) = recv.wait_at(place)?;
        self.lay("wait", packed, status, view, place).map(Some)
    }

    /// What [`PackedRecv::complete`] gives, if the message is there.
    #[track_caller]
    fn test(&self) -> Result<Option<(ArrayViewMut<'env, T, D>, Status)>> {
        let Some(UnderWay { recv, view }) = self.under_way.take() else { return Ok(None) };
        match recv.test()? {
            Test::Done((packed, status)) => {
                self.lay("test", packed, status, view, Location::caller()).map(Some)
            }
            Test::Pending(recv) => {
                self.under_way.replace(Some(UnderWay { recv, view }));
                Ok(None)
            }
        }
    }

    /// Lays what came into the view.
    fn lay(
        &self,
        call: &str,
        packed: Vec<T>,
        status: Status,
        mut view: ArrayViewMut<'env, T, D>,
        place: Place,
    ) -> Result<(ArrayViewMut<'env, T, D>, Status)> {
        let filled = self.comm.fills(call, view.len(), status, place);
        if filled.is_ok() {
            copy::unpack(&packed, &mut view);
        }
        self.comm.spares().put(packed);
        Ok((view, filled?))
    }
}

impl<T: Element, D: Dimension> Finish for PackedRecv<'_, T, D> {
    fn finish(&self, place: Place) -> Result<()> {
        self.complete(place).map(drop)
    }
    fn abandon(&self) {
        self.under_way.take();
    }
}

impl<'scope, 'env: 'scope, T: Element, D: Dimension> ViewRecv<'scope, 'env, T, D> {
    /// Blocks until the message is in the view and gives the view back.
    ///
    /// # Errors
    /// Those of [`Comm::recv_view`].
    #[track_caller]
    pub fn wait(self) -> Result<(ArrayViewMut<'scope, T, D>, Status)> {
        self.wait_at(Location::caller())
    }

    pub(super) fn wait_at(self, place: Place) -> Result<(ArrayViewMut<'scope, T, D>, Status)> {
        match self.way {
            RecvWay::Straight(request, shape) => {
                let (data, status) = request.wait_in(&"wait", place)?;
                self.comm.fills("wait", data.len(), status, place)?;
                Ok((ArrayViewMut::from_shape(shape, data).expect("the slice of such a view"), status))
            }
            RecvWay::Packed(packed) => {
                Ok(packed.complete(place)?.expect("the scope ends after its handles are used"))
            }
        }
    }

    /// Looks whether the message is in the view, and helps it along: the view, or the handle to ask again.
    ///
    /// # Errors
    /// Those of [`Comm::recv_view`].
    #[track_caller]
    pub fn test(self) -> Result<Test<ViewAndStatus<'scope, T, D>, Self>> {
        let (comm, place) = (self.comm, Location::caller());
        match self.way {
            RecvWay::Straight(request, shape) => match request.test()? {
                Test::Pending(request) => {
                    Ok(Test::Pending(ViewRecv { comm, way: RecvWay::Straight(request, shape) }))
                }
                Test::Done((data, status)) => {
                    comm.fills("test", data.len(), status, place)?;
                    let view = ArrayViewMut::from_shape(shape, data).expect("the slice of such a view");
                    Ok(Test::Done((view, status)))
                }
            },
            RecvWay::Packed(packed) => Ok(match packed.test()? {
                Some(done) => Test::Done(done),
                None => Test::Pending(ViewRecv { comm, way: RecvWay::Packed(packed) }),
            }),
        }
    }
}

/// A send of a view under way; from [`Scope::isend_view`].
#[must_use = "the send is complete after wait()"]
pub struct ViewSend<'scope, 'env, T: Element>(SendWay<'scope, 'env, T>);

enum SendWay<'scope, 'env, T: Element> {
    Straight(Request<'scope, &'scope [T]>),
    Packed(Rc<PackedSend<'env, T>>),
}

struct PackedSend<'env, T: Element> {
    comm: &'env Comm,
    /// `None` once complete.
    under_way: RefCell<Option<OwnedSend<T>>>,
}

impl<T: Element> Finish for PackedSend<'_, T> {
    fn finish(&self, place: Place) -> Result<()> {
        if let Some(send) = self.under_way.take() {
            self.comm.spares().put(send.wait_at(place)?);
        }
        Ok(())
    }
    fn abandon(&self) {
        self.under_way.take();
    }
}

impl<T: Element> ViewSend<'_, '_, T> {
    /// Blocks until the message has left.
    #[track_caller]
    pub fn wait(self) -> Result<()> {
        self.wait_at(Location::caller())
    }

    pub(super) fn wait_at(self, place: Place) -> Result<()> {
        match self.0 {
            SendWay::Straight(request) => request.wait_in(&"wait", place).map(drop),
            SendWay::Packed(packed) => packed.finish(place),
        }
    }

    /// Looks whether the message has left, and helps it along: the handle to ask again if it has not.
    #[track_caller]
    pub fn test(self) -> Result<Test<(), Self>> {
        match self.0 {
            SendWay::Straight(request) => Ok(match request.test()? {
                Test::Done(_) => Test::Done(()),
                Test::Pending(request) => Test::Pending(ViewSend(SendWay::Straight(request))),
            }),
            SendWay::Packed(packed) => {
                let Some(send) = packed.under_way.take() else { return Ok(Test::Done(())) };
                match send.test()? {
                    Test::Done(spare) => {
                        packed.comm.spares().put(spare);
                        Ok(Test::Done(()))
                    }
                    Test::Pending(send) => {
                        packed.under_way.replace(Some(send));
                        Ok(Test::Pending(ViewSend(SendWay::Packed(packed))))
                    }
                }
            }
        }
    }
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Starts sending the elements of `view`, in logical order. Its elements stay as they are for the whole scope.
    ///
    /// ```
    /// use ndarray::{Array2, s};
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let (right, left) = ((world.rank() + 1) % world.size(), (world.rank() + world.size() - 1) % world.size());
    ///     let mut a = Array2::from_elem((5, 8), world.rank() as f64);
    ///     // The column inside goes to the right, the ghost column comes from the left.
    ///     let (mut ghost, inner) = a.multi_slice_mut((s![.., 0], s![.., 7]));
    ///     world.scope(|s| {
    ///         let r = s.irecv_view(ghost.view_mut(), left, 1)?;
    ///         s.isend_view(inner.view(), right, 1)?.wait()?;
    ///         let (ghost, status) = r.wait()?;
    ///         assert!(status.len == 5 && ghost.iter().all(|&x| x == left as f64));
    ///         Ok(())
    ///     })
    /// });
    /// ```
    ///
    /// # Errors
    /// Those of [`Comm::send`].
    #[track_caller]
    pub fn isend_view<T: Element, D: Dimension>(
        &'scope self,
        view: ArrayView<'env, T, D>,
        dest: usize,
        tag: i32,
    ) -> Result<ViewSend<'scope, 'env, T>> {
        self.isend_view_at(view, dest, tag, Location::caller())
    }

    /// Starts receiving into `view` a message of as many elements as it has; [`ViewRecv::wait`] gives it back. If the
    /// handle is forgotten, the message is in the view when the scope is over.
    ///
    /// # Errors
    /// Those of [`Comm::recv_view`].
    #[track_caller]
    pub fn irecv_view<T: Element, D: Dimension + 'static>(
        &'scope self,
        view: ArrayViewMut<'env, T, D>,
        source: impl Into<Source>,
        tag: impl Into<Tag>,
    ) -> Result<ViewRecv<'scope, 'env, T, D>> {
        self.irecv_view_at(view, source.into(), tag.into(), Location::caller())
    }

    pub(super) fn isend_view_at<T: Element, D: Dimension>(
        &'scope self,
        view: ArrayView<'env, T, D>,
        dest: usize,
        tag: i32,
        place: Place,
    ) -> Result<ViewSend<'scope, 'env, T>> {
        if let Some(data) = view.to_slice() {
            return Ok(ViewSend(SendWay::Straight(self.isend_as(
                "isend",
                Mode::Standard,
                data,
                dest,
                tag,
                place,
            )?)));
        }
        let comm = self.comm();
        comm.check_dest("isend_view", dest, tag, place)?;
        let send = comm.isend_owned(comm.packed(&view), dest, tag)?;
        let packed = Rc::new(PackedSend { comm, under_way: RefCell::new(Some(send)) });
        self.deferred.all.borrow_mut().push(packed.clone());
        Ok(ViewSend(SendWay::Packed(packed)))
    }

    pub(super) fn irecv_view_at<T: Element, D: Dimension + 'static>(
        &'scope self,
        mut view: ArrayViewMut<'env, T, D>,
        source: Source,
        tag: Tag,
        place: Place,
    ) -> Result<ViewRecv<'scope, 'env, T, D>> {
        let comm = self.comm();
        if view.as_slice_mut().is_some() {
            let shape = view.raw_dim();
            let data = view.into_slice().expect("just seen");
            let request = self.irecv_at(data, source, tag, place)?;
            return Ok(ViewRecv { comm, way: RecvWay::Straight(request, shape) });
        }
        comm.check_source("irecv_view", source, tag, place)?;
        let mut packed = comm.spares().take::<T>();
        packed.clear();
        packed.reserve(view.len());
        let recv = comm.irecv_owned(packed, source, tag)?;
        let packed = Rc::new(PackedRecv { comm, under_way: RefCell::new(Some(UnderWay { recv, view })) });
        self.deferred.all.borrow_mut().push(packed.clone());
        Ok(ViewRecv { comm, way: RecvWay::Packed(packed) })
    }
}
