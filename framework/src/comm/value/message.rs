//! One value from one rank to another: blocking, nonblocking, and both ways at once.

use super::{Byte, NAMED};
use crate::comm::Comm;
use crate::comm::p2p::{Source, Status, Tag};
use crate::comm::request::{OwnedSend, Test};
use crate::error::Result;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::panic::Location;

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
        let _timed = self.inner.clock.communicating();
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
            let _timed = self.inner.clock.communicating();
            self.inner
                .engine
                .recv_parcel::<Byte>(from, tagged)
                .map_err(|fault| self.fault("recv_value", place, fault, NAMED))?
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
