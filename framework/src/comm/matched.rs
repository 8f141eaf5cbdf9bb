//! Matched probes: finding a message and taking it in one step, to receive it where and when one likes.
//!
//! And the nonblocking receive of a message of unknown length, which is a matched probe that is repeated.

use super::p2p::{Source, Status, Tag, named, whole};
use super::{Comm, Element, Inner};
use crate::engine::{self, Place};
use crate::error::Result;
use crate::timing::Doing;
use std::marker::PhantomData;
use std::panic::Location;
use std::rc::Rc;

/// A message that has been found and that no other receive or probe can find any more; from [`Comm::mprobe`].
///
/// Dropped, the message is consumed and lost. Forgotten ([`std::mem::forget`]), it is never received: its sender
/// waits, if it waits.
#[must_use = "a message that is dropped is lost"]
pub struct Message<T: Element> {
    comm: Rc<Inner>,
    /// `None` once handed on.
    matched: Option<engine::Matched>,
    status: Status,
    element: PhantomData<T>,
}

impl<T: Element> Message<T> {
    fn of(comm: &Comm, call: &str, place: Place, matched: engine::Matched) -> Result<Message<T>> {
        match whole::<T>(matched.envelope()) {
            Ok(envelope) => Ok(Message {
                comm: comm.inner.clone(),
                matched: Some(matched),
                status: Status::of::<T>(envelope),
                element: PhantomData,
            }),
            Err(fault) => {
                let _ = comm.engine().discard(matched);
                Err(comm.fault(call, place, fault, named::<T>()))
            }
        }
    }

    /// Who sent it, with what tag, and how many elements it has.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Receives it into `data`; the rest of `data` is untouched.
    ///
    /// # Errors
    /// `data` is shorter than the message, which is lost then.
    #[track_caller]
    pub fn recv(self, data: &mut [T]) -> Result<Status> {
        let (comm, place) = (self.comm(), Location::caller());
        comm.scope(|s| {
            s.irecv_message_at("recv", self, data, place)?.wait_in(&"recv", place).map(|(_, status)| status)
        })
    }

    /// Receives it in a vector of its length.
    #[track_caller]
    pub fn recv_vec(mut self) -> Result<(Vec<T>, Status)> {
        let place = Location::caller();
        let _timed = self.comm.clock.clone().communicating_owned(Doing::Waiting);
        let matched = self.matched.take().expect("handed on once");
        match self.comm.engine.mrecv_parcel(matched) {
            Ok((data, _)) => Ok((data, self.status)),
            Err(fault) => Err(self.comm().fault("recv_vec", place, fault, named::<T>())),
        }
    }

    pub(crate) fn comm(&self) -> Comm {
        Comm { inner: self.comm.clone() }
    }

    pub(crate) fn hand_on(mut self) -> engine::Matched {
        self.matched.take().expect("handed on once")
    }
}

impl<T: Element> Drop for Message<T> {
    fn drop(&mut self) {
        if let Some(matched) = self.matched.take() {
            // What the library says about a message that nobody wants interests nobody.
            let _ = self.comm.engine.discard(matched);
        }
    }
}

/// A receive under way of a message of any length; from [`Comm::irecv_vec`]. Dropped or forgotten, it leaves the
/// message to others.
#[must_use = "the message comes from wait()"]
pub struct VecRecv<T: Element> {
    comm: Rc<Inner>,
    from: engine::From,
    tag: engine::Tagged,
    element: PhantomData<T>,
}

impl<T: Element> VecRecv<T> {
    /// Blocks until the message is there.
    ///
    /// # Errors
    /// Those of [`Comm::recv_vec`].
    #[track_caller]
    pub fn wait(self) -> Result<(Vec<T>, Status)> {
        let comm = Comm { inner: self.comm };
        comm.recv_vec_at(&"wait", self.from, self.tag, Location::caller())
    }

    /// Looks whether the message is there.
    ///
    /// # Errors
    /// Those of [`Comm::recv_vec`].
    #[track_caller]
    pub fn test(self) -> Result<super::Test<(Vec<T>, Status), Self>> {
        let (comm, place) = (Comm { inner: self.comm.clone() }, Location::caller());
        match comm.improbe_at::<T>("test", self.from, self.tag, place)? {
            None => Ok(super::Test::Pending(self)),
            Some(message) => message.recv_vec().map(super::Test::Done),
        }
    }
}

impl Comm {
    /// Waits until a message is there that matches, and takes it: no other receive or probe finds it any more. So a
    /// program can look at its length, make room, and be sure to receive that very message.
    ///
    /// ```
    /// rankine::testing::ranks([2], |world| {
    ///     if world.rank() == 0 {
    ///         return world.send(&[1.0, 2.0], 1, 7);
    ///     }
    ///     let message = world.mprobe::<f64>(rankine::ANY_SOURCE, rankine::ANY_TAG)?;
    ///     assert_eq!((message.status().source, message.status().tag), (0, 7));
    ///     let mut room = vec![0.0; message.status().len];
    ///     message.recv(&mut room)?;
    ///     assert_eq!(room, [1.0, 2.0]);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// A message of another element type (it is taken and lost), a rank or tag that cannot be.
    #[track_caller]
    pub fn mprobe<T: Element>(&self, source: impl Into<Source>, tag: impl Into<Tag>) -> Result<Message<T>> {
        let place = Location::caller();
        let (from, tagged) = self.check_source("mprobe", source.into(), tag.into(), place)?;
        let matched = {
            let _in = self.inner.within(&"mprobe", place, self.inner.probing(T::KIND, from, tagged));
            self.engine().mprobe(from, tagged, T::KIND)
        };
        self.inner.matched(&matched, place);
        let matched = matched.map_err(|fault| self.fault("mprobe", place, fault, named::<T>()))?;
        Message::of(self, "mprobe", place, matched)
    }

    /// As [`Comm::mprobe`], if such a message is there. Never waits for one.
    #[track_caller]
    pub fn improbe<T: Element>(
        &self,
        source: impl Into<Source>,
        tag: impl Into<Tag>,
    ) -> Result<Option<Message<T>>> {
        let place = Location::caller();
        let (from, tagged) = self.check_source("improbe", source.into(), tag.into(), place)?;
        self.improbe_at("improbe", from, tagged, place)
    }

    fn improbe_at<T: Element>(
        &self,
        call: &str,
        from: engine::From,
        tag: engine::Tagged,
        place: Place,
    ) -> Result<Option<Message<T>>> {
        let found = self.engine().improbe(from, tag, T::KIND);
        self.inner.perhaps_matched(&found, place);
        let found = found.map_err(|fault| self.fault(call, place, fault, named::<T>()))?;
        found.map(|matched| Message::of(self, call, place, matched)).transpose()
    }

    /// Starts receiving a message whose length only the sender knows. There is no buffer to receive into before the
    /// length is known, so the message is matched when the handle is waited for or tested: until then a send that waits
    /// for its receive waits, and a receive of the same kind may come first.
    ///
    /// ```
    /// rankine::testing::ranks([2], |world| {
    ///     if world.rank() == 0 {
    ///         return world.send(&[1u8, 2, 3], 1, 7);
    ///     }
    ///     let r = world.irecv_vec::<u8>(0, 7)?;
    ///     // work
    ///     assert_eq!(r.wait()?.0, [1, 2, 3]);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// A rank or tag that cannot be.
    #[track_caller]
    pub fn irecv_vec<T: Element>(
        &self,
        source: impl Into<Source>,
        tag: impl Into<Tag>,
    ) -> Result<VecRecv<T>> {
        let place = Location::caller();
        let (from, tag) = self.check_source("irecv_vec", source.into(), tag.into(), place)?;
        Ok(VecRecv { comm: self.inner.clone(), from, tag, element: PhantomData })
    }
}
