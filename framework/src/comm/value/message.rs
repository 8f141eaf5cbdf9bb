//! One value from one rank to another: blocking, nonblocking, and both ways at once.

use super::{Byte, NAMED};
use crate::comm::element::Element;
use crate::comm::p2p::{Source, Status, Tag};
use crate::comm::request::{OwnedSend, Test};
use crate::comm::{Comm, Inner};
use crate::engine::{self, Envelope, Fault, Place};
use crate::error::Result;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::panic::Location;
use std::rc::Rc;

impl Comm {
    /// Sends anything that serde can write to rank `dest`, whose [`Comm::recv_value`] makes a value of it again.
    ///
    /// Waits as [`Comm::send_vec`] does: on the Local engine not at all, the encoded bytes are moved.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// #[derive(Serialize, Deserialize, Debug, PartialEq)]
    /// struct Task { name: String, cells: Vec<u64>, limit: Option<f64> }
    /// rankine::testing::ranks([2], |world| {
    ///     let task = || Task { name: "smooth".into(), cells: vec![3, 14], limit: None };
    ///     if world.rank() == 0 {
    ///         world.send_value(&task(), 1, 7)
    ///     } else {
    ///         let (got, status) = world.recv_value::<Task>(0, 7)?;
    ///         assert_eq!((got, status.source), (task(), 0));
    ///         Ok(())
    ///     }
    /// });
    /// ```
    ///
    /// # Errors
    /// Those of [`Comm::send`]; a value that cannot be encoded, and then nothing is sent.
    #[track_caller]
    pub fn send_value<T: Serialize + ?Sized>(&self, value: &T, dest: usize, tag: i32) -> Result<()> {
        let place = Location::caller();
        self.check_dest("send_value", dest, tag, place)?;
        let bytes = self.encode("send_value", value, place)?;
        let trace = self.inner.giving(bytes.len(), Byte::KIND, dest, tag, place);
        let _in = self.inner.within(&"send_value", place, trace.need());
        self.inner
            .engine
            .send_parcel(bytes, dest, tag)
            .map_err(|fault| self.fault("send_value", place, fault, NAMED))
    }

    /// Receives a value of any size. The status counts bytes.
    ///
    /// The bytes do not say what type was sent: what reads as a `T` to the last byte is taken for one.
    ///
    /// # Errors
    /// A message of plain elements, or of bytes that are no `T` (it is taken and lost); a rank or tag that cannot be.
    #[track_caller]
    pub fn recv_value<T: DeserializeOwned>(
        &self,
        source: impl Into<Source>,
        tag: impl Into<Tag>,
    ) -> Result<(T, Status)> {
        let place = Location::caller();
        let (from, tagged) = self.check_source("recv_value", source.into(), tag.into(), place)?;
        let (bytes, envelope) = {
            let trace = self.inner.receiving(Byte::KIND, from, tagged, place);
            let outcome = {
                let _in = self.inner.within(&"recv_value", place, trace.need());
                self.inner.engine.recv_parcel::<Byte>(from, tagged)
            };
            self.inner.came(&trace, &outcome);
            outcome.map_err(|fault| self.fault("recv_value", place, fault, NAMED))?
        };
        let status = Status::of::<Byte>(envelope);
        Ok((self.decode("recv_value", &bytes, status, place)?, status))
    }

    /// Sends one value and receives another, in whatever order they can go.
    #[track_caller]
    pub fn sendrecv_value<S: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        send: &S,
        dest: usize,
        send_tag: i32,
        source: impl Into<Source>,
        recv_tag: impl Into<Tag>,
    ) -> Result<(T, Status)> {
        let (source, recv_tag) = (source.into(), recv_tag.into());
        self.check_source("sendrecv_value", source, recv_tag, Location::caller())?;
        let outgoing = self.isend_value(send, dest, send_tag)?;
        let incoming = self.recv_value(source, recv_tag);
        // Whatever came, ours is on its way.
        outgoing.wait().and(incoming)
    }

    /// Starts sending a value; it has been encoded when this returns, so nothing stays borrowed.
    #[track_caller]
    pub fn isend_value<T: Serialize + ?Sized>(&self, value: &T, dest: usize, tag: i32) -> Result<ValueSend> {
        let place = Location::caller();
        self.check_dest("isend_value", dest, tag, place)?;
        let bytes = self.encode("isend_value", value, place)?;
        Ok(ValueSend(self.isend_owned(bytes, dest, tag)?))
    }

    /// Starts receiving a value. How long it is only the sender knows, so the message is matched when the handle is tested or
    /// waited for: of two such receives that could take it, the one that asks first does.
    ///
    /// ```
    /// rankine::testing::ranks([2], |world| {
    ///     let incoming = world.irecv_value::<Vec<String>>(1 - world.rank(), 3)?;
    ///     let outgoing = world.isend_value(&vec!["a", "b"], 1 - world.rank(), 3)?;
    ///     // work that needs neither
    ///     assert_eq!(incoming.wait()?.0, ["a", "b"]);
    ///     outgoing.wait()
    /// });
    /// ```
    #[track_caller]
    pub fn irecv_value<T: DeserializeOwned>(
        &self,
        source: impl Into<Source>,
        tag: impl Into<Tag>,
    ) -> Result<ValueRecv<T>> {
        let (from, tagged) =
            self.check_source("irecv_value", source.into(), tag.into(), Location::caller())?;
        Ok(ValueRecv { comm: self.inner.clone(), from, tagged, value: PhantomData })
    }
}

/// A value on its way; from [`Comm::isend_value`].
#[must_use = "the send is complete after wait()"]
pub struct ValueSend(OwnedSend<Byte>);

impl ValueSend {
    /// Blocks until the message has left.
    #[track_caller]
    pub fn wait(self) -> Result<()> {
        self.0.wait().map(drop)
    }

    /// Looks whether the message has left.
    #[track_caller]
    pub fn test(self) -> Result<Test<(), Self>> {
        Ok(match self.0.test()? {
            Test::Done(_) => Test::Done(()),
            Test::Pending(again) => Test::Pending(ValueSend(again)),
        })
    }
}

/// A value that is to come; from [`Comm::irecv_value`]. Dropped or forgotten, it takes no message.
#[must_use = "the value comes from wait()"]
pub struct ValueRecv<T> {
    comm: Rc<Inner>,
    from: engine::From,
    tagged: engine::Tagged,
    value: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> ValueRecv<T> {
    /// Blocks until a message is there, and makes a value of it.
    ///
    /// # Errors
    /// Those of [`Comm::recv_value`].
    #[track_caller]
    pub fn wait(self) -> Result<(T, Status)> {
        let place = Location::caller();
        let trace = self.comm.receiving(Byte::KIND, self.from, self.tagged, place);
        let outcome = {
            let _in = self.comm.within(&"wait", place, trace.need());
            self.comm.engine.recv_parcel::<Byte>(self.from, self.tagged)
        };
        self.comm.came(&trace, &outcome);
        self.read("wait", outcome, place)
    }

    /// Looks whether a message is there.
    #[track_caller]
    pub fn test(self) -> Result<Test<(T, Status), Self>> {
        let place = Location::caller();
        let engine = &self.comm.engine;
        let found = engine.improbe(self.from, self.tagged, Byte::KIND);
        self.comm.perhaps_matched(&found, place);
        match found {
            Ok(None) => Ok(Test::Pending(self)),
            Ok(Some(matched)) => {
                self.read("test", engine.mrecv_parcel::<Byte>(matched), place).map(Test::Done)
            }
            Err(fault) => self.read("test", Err(fault), place).map(Test::Done),
        }
    }

    fn read(
        &self,
        call: &str,
        came: Result<(Vec<Byte>, Envelope), Fault>,
        place: Place,
    ) -> Result<(T, Status)> {
        let comm = Comm { inner: self.comm.clone() };
        let (bytes, envelope) = came.map_err(|fault| comm.fault(call, place, fault, NAMED))?;
        let status = Status::of::<Byte>(envelope);
        Ok((comm.decode(call, &bytes, status, place)?, status))
    }
}
