//! Point to point: blocking sends and receives, and probing.
//!
//! Nonblocking calls are in `scope` (borrowed buffers) and `request` (owned buffers).

use super::{Comm, Element};
use crate::engine::{self, Engine, Envelope, Fault, Mode, Place};
use crate::error::Result;
use crate::watch::Name;
use std::panic::Location;

/// The largest tag: tags are `0..=TAG_MAX` on both engines.
///
/// MPI promises its users 32,767 and real libraries give at least 2²⁸; the bits above ours carry the element type.
pub const TAG_MAX: i32 = (1 << 20) - 1;

/// The sender a receive or probe accepts: a rank, or [`ANY_SOURCE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Whoever sent.
    Any,
    /// This rank of the communicator.
    Rank(usize),
}

/// The tag a receive or probe accepts: a number, or [`ANY_TAG`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tag {
    /// Whatever tag.
    Any,
    /// This one, in `0..=TAG_MAX`.
    Is(i32),
}

/// A receive that takes a message from any rank.
pub const ANY_SOURCE: Source = Source::Any;
/// A receive that takes a message with any tag.
pub const ANY_TAG: Tag = Tag::Any;

impl From<usize> for Source {
    fn from(rank: usize) -> Self {
        Source::Rank(rank)
    }
}

impl From<i32> for Source {
    fn from(rank: i32) -> Self {
        // A negative number is no rank: it becomes one that no communicator has, and the call says so.
        Source::Rank(usize::try_from(rank).unwrap_or(usize::MAX))
    }
}

impl From<i32> for Tag {
    fn from(tag: i32) -> Self {
        Tag::Is(tag)
    }
}

/// What came with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The sender's rank in the communicator.
    pub source: usize,
    /// The tag.
    pub tag: i32,
    /// How many elements came.
    pub len: usize,
}

impl Status {
    pub(crate) fn of<T>(envelope: Envelope) -> Status {
        Status { source: envelope.source, tag: envelope.tag, len: envelope.bytes / size_of::<T>().max(1) }
    }
}

/// The name and size of an element, for error messages.
pub(crate) fn named<T: Element>() -> (&'static str, usize) {
    (std::any::type_name::<T>(), size_of::<T>())
}

impl Comm {
    /// Sends `data` to rank `dest`. Returns when `data` may be reused, which may be before it is received.
    ///
    /// In the checked mode (debug builds, or `RANKINE_CHECKED=1`) it waits for the receive, so that a program
    /// that only works while messages are small fails in tests.
    ///
    /// # Errors
    /// A rank that is not in the communicator, a tag outside `0..=TAG_MAX`, a failure of the engine.
    #[track_caller]
    #[inline]
    pub fn send<T: Element>(&self, data: &[T], dest: usize, tag: i32) -> Result<()> {
        let place = Location::caller();
        self.check_dest("send", dest, tag, place)?;
        let trace = self.inner.sending(Mode::Standard, size_of_val(data), T::KIND, dest, tag, place);
        let _in = self.inner.within(&"send", place, trace.need());
        self.inner
            .engine
            .send(Mode::Standard, bytemuck::cast_slice(data), T::KIND, dest, tag)
            .inspect_err(|_| self.inner.taken_back(&trace))
            .map_err(|fault| self.fault("send", place, fault, named::<T>()))
    }

    /// Sends a vector by value. On the Local engine the receiver's [`recv_vec`](Comm::recv_vec) gets the very same
    /// allocation: the cost does not depend on the length, and the call never waits. On the Mpi engine it is a [`Comm::send`].
    #[track_caller]
    pub fn send_vec<T: Element>(&self, data: Vec<T>, dest: usize, tag: i32) -> Result<()> {
        let place = Location::caller();
        self.check_dest("send_vec", dest, tag, place)?;
        let trace = self.inner.giving(size_of_val(&data[..]), T::KIND, dest, tag, place);
        let _in = self.inner.within(&"send_vec", place, trace.need());
        self.inner
            .engine
            .send_parcel(data, dest, tag)
            .inspect_err(|_| self.inner.taken_back(&trace))
            .map_err(|fault| self.fault("send_vec", place, fault, named::<T>()))
    }

    /// Receives into `data` a message of at most its length; the status says how many elements came, and the rest of
    /// `data` is untouched. Blocks until the message is there.
    ///
    /// ```
    /// rankine::testing::ranks([2], |world| {
    ///     if world.rank() == 0 {
    ///         world.send(&[1.0, 2.0], 1, 7)
    ///     } else {
    ///         let mut data = [0.0; 4];
    ///         let status = world.recv(&mut data, 0, 7)?;
    ///         assert_eq!((status.len, data), (2, [1.0, 2.0, 0.0, 0.0]));
    ///         Ok(())
    ///     }
    /// });
    /// ```
    ///
    /// # Errors
    /// A longer message or one of another element type (it is taken and lost), a rank or tag that cannot be.
    #[track_caller]
    #[inline]
    pub fn recv<T: Element>(
        &self,
        data: &mut [T],
        source: impl Into<Source>,
        tag: impl Into<Tag>,
    ) -> Result<Status> {
        let place = Location::caller();
        let (from, tagged) = self.check_source("recv", source.into(), tag.into(), place)?;
        let trace = self.inner.receiving(T::KIND, from, tagged, place);
        let outcome = {
            let _in = self.inner.within(&"recv", place, trace.need());
            self.inner.engine.recv(bytemuck::cast_slice_mut(data), T::KIND, from, tagged)
        };
        self.inner.arrived(&trace, &outcome);
        let envelope = outcome
            .and_then(|envelope| whole::<T>(envelope))
            .map_err(|fault| self.fault("recv", place, fault, named::<T>()))?;
        Ok(Status::of::<T>(envelope))
    }

    /// Receives a message whose length only the sender knows.
    #[track_caller]
    pub fn recv_vec<T: Element>(
        &self,
        source: impl Into<Source>,
        tag: impl Into<Tag>,
    ) -> Result<(Vec<T>, Status)> {
        let place = Location::caller();
        let (from, tagged) = self.check_source("recv_vec", source.into(), tag.into(), place)?;
        self.recv_vec_at(&"recv_vec", from, tagged, place)
    }

    pub(crate) fn recv_vec_at<T: Element>(
        &self,
        call: Name,
        from: engine::From,
        tagged: engine::Tagged,
        place: Place,
    ) -> Result<(Vec<T>, Status)> {
        let trace = self.inner.receiving(T::KIND, from, tagged, place);
        let outcome = {
            let _in = self.inner.within(call, place, trace.need());
            self.inner.engine.recv_parcel(from, tagged)
        };
        self.inner.came(&trace, &outcome);
        let (data, envelope) = outcome.map_err(|fault| self.fault(call, place, fault, named::<T>()))?;
        Ok((data, Status::of::<T>(envelope)))
    }

    /// Sends one message and receives another, in whatever order they can go: what a shift along a ring needs,
    /// where sends and receives one after the other would wait in a circle.
    #[track_caller]
    pub fn sendrecv<T: Element, U: Element>(
        &self,
        send: &[T],
        dest: usize,
        send_tag: i32,
        recv: &mut [U],
        source: impl Into<Source>,
        recv_tag: impl Into<Tag>,
    ) -> Result<Status> {
        let (source, recv_tag) = (source.into(), recv_tag.into());
        let place = Location::caller();
        self.check_dest("sendrecv", dest, send_tag, place)?;
        self.check_source("sendrecv", source, recv_tag, place)?;
        self.scope(|s| {
            let incoming = s.irecv_at(recv, source, recv_tag, place)?;
            let outgoing = s.isend_as("sendrecv", Mode::Standard, send, dest, send_tag, place)?;
            let (_, status) = incoming.wait_in(&"sendrecv", place)?;
            outgoing.wait_in(&"sendrecv", place)?;
            Ok(status)
        })
    }

    /// Sends `data` and receives another message in its place, as [`Comm::sendrecv`]. A shorter message leaves the rest
    /// of `data` as it was. It takes a copy of what is sent.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let (right, left) = ((world.rank() + 1) % world.size(), (world.rank() + world.size() - 1) % world.size());
    ///     let mut token = [world.rank()];
    ///     world.sendrecv_replace(&mut token, right, 1, left, 1)?;
    ///     assert_eq!(token, [left]);
    ///     Ok(())
    /// });
    /// ```
    #[track_caller]
    pub fn sendrecv_replace<T: Element>(
        &self,
        data: &mut [T],
        dest: usize,
        send_tag: i32,
        source: impl Into<Source>,
        recv_tag: impl Into<Tag>,
    ) -> Result<Status> {
        let outgoing = data.to_vec();
        self.sendrecv(&outgoing, dest, send_tag, data, source, recv_tag)
    }

    /// As [`Comm::sendrecv`], of a message whose length only its sender knows.
    #[track_caller]
    pub fn sendrecv_vec<T: Element, U: Element>(
        &self,
        send: &[T],
        dest: usize,
        send_tag: i32,
        source: impl Into<Source>,
        recv_tag: impl Into<Tag>,
    ) -> Result<(Vec<U>, Status)> {
        let place = Location::caller();
        self.check_dest("sendrecv_vec", dest, send_tag, place)?;
        let (from, tagged) = self.check_source("sendrecv_vec", source.into(), recv_tag.into(), place)?;
        self.scope(|s| {
            let outgoing = s.isend_as("sendrecv_vec", Mode::Standard, send, dest, send_tag, place)?;
            let received = self.recv_vec_at(&"sendrecv_vec", from, tagged, place)?;
            outgoing.wait_in(&"sendrecv_vec", place)?;
            Ok(received)
        })
    }

    /// Waits until a message that matches could be received, and leaves it there. The status counts its elements
    /// as `T`.
    #[track_caller]
    pub fn probe<T: Element>(&self, source: impl Into<Source>, tag: impl Into<Tag>) -> Result<Status> {
        let place = Location::caller();
        let (from, tagged) = self.check_source("probe", source.into(), tag.into(), place)?;
        let _in = self.inner.within(&"probe", place, self.inner.probing(T::KIND, from, tagged));
        let envelope = self
            .inner
            .engine
            .probe(from, tagged)
            .and_then(|envelope| expect::<T>(envelope))
            .map_err(|fault| self.fault("probe", place, fault, named::<T>()))?;
        Ok(Status::of::<T>(envelope))
    }

    /// Whether a message that matches could be received now. Never blocks.
    #[track_caller]
    pub fn iprobe<T: Element>(
        &self,
        source: impl Into<Source>,
        tag: impl Into<Tag>,
    ) -> Result<Option<Status>> {
        let place = Location::caller();
        let (from, tagged) = self.check_source("iprobe", source.into(), tag.into(), place)?;
        let envelope = self
            .inner
            .engine
            .iprobe(from, tagged)
            .and_then(|found| found.map(|envelope| expect::<T>(envelope)).transpose())
            .map_err(|fault| self.fault("iprobe", place, fault, named::<T>()))?;
        Ok(envelope.map(Status::of::<T>))
    }

    #[inline]
    pub(crate) fn check_dest(&self, call: &str, dest: usize, tag: i32, place: Place) -> Result<()> {
        if dest < self.size() && (0..=TAG_MAX).contains(&tag) {
            return Ok(());
        }
        Err(self.bad_peer(call, dest, tag, place))
    }

    #[inline]
    pub(crate) fn check_source(
        &self,
        call: &str,
        source: Source,
        tag: Tag,
        place: Place,
    ) -> Result<(engine::From, engine::Tagged)> {
        let from = match source {
            Source::Any => engine::From::Any,
            Source::Rank(rank) if rank < self.size() => engine::From::Rank(rank),
            Source::Rank(rank) => return Err(self.bad_peer(call, rank, 0, place)),
        };
        let tagged = match tag {
            Tag::Any => engine::Tagged::Any,
            Tag::Is(tag) if (0..=TAG_MAX).contains(&tag) => engine::Tagged::Tag(tag),
            Tag::Is(tag) => return Err(self.bad_peer(call, 0, tag, place)),
        };
        Ok((from, tagged))
    }

    #[cold]
    fn bad_peer(&self, call: &str, peer: usize, tag: i32, place: Place) -> crate::Error {
        if peer >= self.size() {
            let what = match peer {
                usize::MAX => "a negative rank".to_string(),
                peer => format!("there is no rank {peer}"),
            };
            let help = format!("this communicator has ranks 0 to {}", self.size() - 1);
            self.usage(call, place, what, &help)
        } else {
            self.usage(call, place, format!("tag {tag}"), &format!("tags are 0 to {TAG_MAX}"))
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }
}

/// A message of `T` has whole elements; one of another size of array may not.
pub(crate) fn whole<T: Element>(envelope: Envelope) -> Result<Envelope, Fault> {
    let size = size_of::<T>();
    if size != 0 && !envelope.bytes.is_multiple_of(size) {
        let Envelope { source, tag, kind, .. } = envelope;
        return Err(Fault::WrongKind { source, tag, sent: kind });
    }
    Ok(envelope)
}

fn expect<T: Element>(envelope: Envelope) -> Result<Envelope, Fault> {
    if !T::KIND.is(envelope.kind) {
        let Envelope { source, tag, kind, .. } = envelope;
        return Err(Fault::WrongKind { source, tag, sent: kind });
    }
    whole::<T>(envelope)
}
