//! The narrow waist: what an engine must be able to do, in bytes.
//!
//! Everything typed, checked and pleasant stands above, in `comm`; everything about threads or MPI stands
//! below, in `local` and `mpi`. Ranks are those of the communicator; lengths are in bytes; every argument has
//! been checked by the caller. A third engine is one more arm.

use crate::comm::element::{Element, Kind};
use std::any::Any;
use std::panic::Location;
use std::sync::Arc;

pub(crate) mod collective;
pub(crate) mod exchange;
pub(crate) mod local;
pub(crate) mod many;
#[cfg(feature = "mpi")]
pub(crate) mod mpi;
pub(crate) mod reduction;
pub(crate) mod signature;
pub(crate) mod window;

pub(crate) use collective::{Call, Collective, Layout, Side, Span};
pub(crate) use reduction::Reduction;

/// The source line of a call, from `#[track_caller]`.
pub(crate) type Place = &'static Location<'static>;

/// Which sender a receive takes a message from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum From {
    Any,
    Rank(usize),
}

/// Which tag a receive takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Tagged {
    Any,
    Tag(i32),
}

/// When a send is over; MPI's modes. The checked mode makes a standard send a synchronous one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mode {
    /// When the buffer may be reused, which the engine arranges as it likes.
    Standard,
    /// When the receive has begun.
    Synchronous,
    /// At once: the engine keeps a copy.
    Buffered,
    /// As a standard send; the author vouches that the receive has been posted.
    Ready,
}

/// What is known of a message that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub source: usize,
    pub tag: i32,
    /// What the message carries of the sender's [`Kind`]: its print, or under MPI its code.
    pub kind: u32,
    pub bytes: usize,
}

/// Why an engine could not do what it was asked to; `comm` adds rank, call and place.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// `sent` is the message's length in bytes where the engine knows it.
    Truncated { source: usize, tag: i32, sent: Option<usize>, capacity: usize },
    /// The message has elements of another kind than the receive.
    WrongKind { source: usize, tag: i32, sent: u32 },
    /// A ready send found that its receive has not been posted.
    NotReady,
    /// Ranks disagree about a collective; the text names both.
    Mismatch(String),
    /// Another rank failed; the job is going down.
    Aborted,
    /// The library below reported an error.
    #[cfg_attr(not(feature = "mpi"), allow(dead_code))]
    Library { call: &'static str, text: String },
}

pub(crate) type Outcome<T> = Result<T, Fault>;

/// A vector on its way: moved between ranks of one process, copied otherwise.
pub(crate) trait Parcel: Any + Send {
    fn bytes(&self) -> &[u8];
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl<T: Element> Parcel for Vec<T> {
    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(self)
    }
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// A communicator of one of the engines.
pub(crate) enum Engine {
    Local(local::Local),
    #[cfg(feature = "mpi")]
    Mpi(mpi::Mpi),
}

/// A nonblocking operation under way. It must be completed or cancelled before its buffer goes; dropping it does
/// neither (it may leak the engine's record of it, never the safety of the buffer's owner, who must leak too).
pub(crate) enum Request {
    Local(local::Request),
    #[cfg(feature = "mpi")]
    Mpi(mpi::Request),
    /// Several messages; it knows its engine.
    Exchange(Box<exchange::Exchange>),
}

/// What a receive under way has got, as any thread may ask.
pub(crate) enum Catch {
    /// A message of that rank and tag.
    Known(usize, i32),
    /// To be looked at there.
    Shared(Arc<dyn Caught>),
}

pub(crate) trait Caught: Send + Sync {
    /// The rank and the tag of the message, once there is one.
    fn caught(&self) -> Option<(usize, i32)>;
}

impl Caught for Catch {
    fn caught(&self) -> Option<(usize, i32)> {
        match self {
            Catch::Known(source, tag) => Some((*source, *tag)),
            Catch::Shared(there) => there.caught(),
        }
    }
}

impl Request {
    /// Of a receive: what it has got, if this engine can tell while nobody waits for it.
    pub fn catch(&self) -> Option<Catch> {
        match self {
            Request::Local(request) => request.catch(),
            #[cfg(feature = "mpi")]
            Request::Mpi(_) => None,
            Request::Exchange(_) => None,
        }
    }
}

/// A message that has been taken from the queue and not received yet. Dropping it leaves it so for ever; see
/// [`Engine::discard`].
pub(crate) enum Matched {
    Local(local::Matched),
    #[cfg(feature = "mpi")]
    Mpi(mpi::Matched),
}

impl Matched {
    pub fn envelope(&self) -> Envelope {
        match self {
            Matched::Local(matched) => matched.envelope,
            #[cfg(feature = "mpi")]
            Matched::Mpi(matched) => matched.envelope,
        }
    }
}

/// Calls the same method on whichever engine this is.
macro_rules! either {
    ($self:expr, $engine:ident => $body:expr) => {
        match $self {
            Engine::Local($engine) => $body,
            #[cfg(feature = "mpi")]
            Engine::Mpi($engine) => $body,
        }
    };
}

impl Engine {
    pub fn rank(&self) -> usize {
        either!(self, e => e.rank())
    }

    pub fn size(&self) -> usize {
        either!(self, e => e.size())
    }

    /// `"local"` or `"mpi"`.
    pub fn name(&self) -> &'static str {
        match self {
            Engine::Local(_) => "local",
            #[cfg(feature = "mpi")]
            Engine::Mpi(_) => "mpi",
        }
    }

    /// The name of the machine's node this rank runs on, as MPI or the system gives it.
    pub fn node(&self) -> String {
        either!(self, e => e.node())
    }

    /// Blocks until the send is over in its mode.
    #[inline]
    pub fn send(&self, mode: Mode, data: &[u8], kind: Kind, dest: usize, tag: i32) -> Outcome<()> {
        either!(self, e => e.send(mode, data, kind, dest, tag))
    }

    /// Whether a send of so many bytes may wait until its receive has begun; if not, it never waits for another rank.
    #[inline(always)]
    pub fn waits_for_receive(&self, mode: Mode, bytes: usize) -> bool {
        match mode {
            Mode::Buffered => false,
            Mode::Synchronous => true,
            Mode::Standard | Mode::Ready => either!(self, e => e.may_wait(bytes)),
        }
    }

    /// As [`Engine::waits_for_receive`], of a vector sent by value.
    #[inline(always)]
    pub fn waits_for_receive_of_parcel(&self, bytes: usize) -> bool {
        match self {
            Engine::Local(e) => e.may_wait_with_parcel(bytes),
            #[cfg(feature = "mpi")]
            Engine::Mpi(e) => e.may_wait(bytes),
        }
    }

    /// Whether ranks take turns, so that all orders of their messages can be explored.
    #[inline(always)]
    pub fn is_explored(&self) -> bool {
        match self {
            Engine::Local(e) => e.is_explored(),
            #[cfg(feature = "mpi")]
            Engine::Mpi(_) => false,
        }
    }

    /// Whether every collective call waits for all ranks.
    #[inline(always)]
    pub fn synchronizes(&self) -> bool {
        match self {
            Engine::Local(_) => true,
            #[cfg(feature = "mpi")]
            Engine::Mpi(e) => e.checked(),
        }
    }

    /// Blocks until a matching message has been copied into `data`.
    #[inline]
    pub fn recv(&self, data: &mut [u8], kind: Kind, from: From, tag: Tagged) -> Outcome<Envelope> {
        either!(self, e => e.recv(data, kind, from, tag))
    }

    /// Sends a vector by value; ranks of one process get the very same allocation.
    pub fn send_parcel<T: Element>(&self, data: Vec<T>, dest: usize, tag: i32) -> Outcome<()> {
        either!(self, e => e.send_parcel(data, dest, tag))
    }

    /// Receives a message of any length.
    pub fn recv_parcel<T: Element>(&self, from: From, tag: Tagged) -> Outcome<(Vec<T>, Envelope)> {
        either!(self, e => e.recv_parcel(from, tag))
    }

    /// Blocks until a matching message could be received at once, and leaves it there.
    pub fn probe(&self, from: From, tag: Tagged) -> Outcome<Envelope> {
        either!(self, e => e.probe(from, tag))
    }

    /// Whether a matching message could be received at once.
    pub fn iprobe(&self, from: From, tag: Tagged) -> Outcome<Option<Envelope>> {
        either!(self, e => e.iprobe(from, tag))
    }

    /// Blocks until a message matches and takes it from the queue, for one of the calls below. A message of
    /// another kind is consumed.
    pub fn mprobe(&self, from: From, tag: Tagged, kind: Kind) -> Outcome<Matched> {
        match self {
            Engine::Local(e) => e.mprobe(from, tag, kind).map(Matched::Local),
            #[cfg(feature = "mpi")]
            Engine::Mpi(e) => e.mprobe(from, tag, kind).map(Matched::Mpi),
        }
    }

    /// As [`Engine::mprobe`], if a message is there.
    pub fn improbe(&self, from: From, tag: Tagged, kind: Kind) -> Outcome<Option<Matched>> {
        match self {
            Engine::Local(e) => Ok(e.improbe(from, tag, kind)?.map(Matched::Local)),
            #[cfg(feature = "mpi")]
            Engine::Mpi(e) => Ok(e.improbe(from, tag, kind)?.map(Matched::Mpi)),
        }
    }

    /// Starts receiving a message that was matched, of elements of that kind and no longer than `len`.
    ///
    /// # Safety
    /// As [`Engine::irecv`].
    pub unsafe fn imrecv(&self, matched: Matched, data: *mut u8, len: usize, kind: Kind) -> Outcome<Request> {
        match (self, matched) {
            (Engine::Local(e), Matched::Local(m)) => {
                // SAFETY: the caller's promise is passed on.
                unsafe { e.imrecv(m, data, len, kind) }.map(Request::Local)
            }
            #[cfg(feature = "mpi")]
            // SAFETY: as above.
            (Engine::Mpi(e), Matched::Mpi(m)) => unsafe { e.imrecv(m, data, len, kind) }.map(Request::Mpi),
            #[cfg(feature = "mpi")]
            _ => unreachable!("a message is received with the engine that matched it"),
        }
    }

    /// Receives a message that was matched, whose elements are `T`, in a vector of its length.
    pub fn mrecv_parcel<T: Element>(&self, matched: Matched) -> Outcome<(Vec<T>, Envelope)> {
        match (self, matched) {
            (Engine::Local(e), Matched::Local(m)) => e.mrecv_parcel(m),
            #[cfg(feature = "mpi")]
            (Engine::Mpi(e), Matched::Mpi(m)) => e.mrecv_parcel(m),
            #[cfg(feature = "mpi")]
            _ => unreachable!("a message is received with the engine that matched it"),
        }
    }

    /// Ends a message that was matched and that nobody will receive.
    pub fn discard(&self, matched: Matched) -> Outcome<()> {
        match (self, matched) {
            (Engine::Local(e), Matched::Local(m)) => {
                e.discard(m);
                Ok(())
            }
            #[cfg(feature = "mpi")]
            (Engine::Mpi(e), Matched::Mpi(m)) => e.discard(m),
            #[cfg(feature = "mpi")]
            _ => unreachable!("a message is ended with the engine that matched it"),
        }
    }

    /// Starts a send; `None`: it was over at once, and there is nothing to wait for.
    ///
    /// # Safety
    /// `data` is valid for reads of `len` bytes, and nobody writes them, until the request is complete or cancelled.
    #[inline]
    pub unsafe fn isend(
        &self,
        mode: Mode,
        data: *const u8,
        len: usize,
        kind: Kind,
        dest: usize,
        tag: i32,
    ) -> Outcome<Option<Request>> {
        match self {
            Engine::Local(e) => {
                // SAFETY: the caller's promise is passed on.
                unsafe { e.isend(mode, data, len, kind, dest, tag) }.map(|r| r.map(Request::Local))
            }
            #[cfg(feature = "mpi")]
            Engine::Mpi(e) => {
                // SAFETY: as above.
                unsafe { e.isend(mode, data, len, kind, dest, tag) }.map(|r| r.map(Request::Mpi))
            }
        }
    }

    /// A request for what was over at once, where one has to be shown.
    pub fn over(&self) -> Request {
        match self {
            Engine::Local(_) => Request::Local(local::Request::sent()),
            #[cfg(feature = "mpi")]
            Engine::Mpi(e) => Request::Mpi(e.sent()),
        }
    }

    /// Starts a receive.
    ///
    /// # Safety
    /// `data` is valid for writes of `len` bytes, and nobody else touches them, until the request is complete or
    /// cancelled.
    #[inline]
    pub unsafe fn irecv(
        &self,
        data: *mut u8,
        len: usize,
        kind: Kind,
        from: From,
        tag: Tagged,
    ) -> Outcome<Request> {
        match self {
            // SAFETY: the caller's promise is passed on.
            Engine::Local(e) => unsafe { e.irecv(data, len, kind, from, tag) }.map(Request::Local),
            #[cfg(feature = "mpi")]
            // SAFETY: as above.
            Engine::Mpi(e) => unsafe { e.irecv(data, len, kind, from, tag) }.map(Request::Mpi),
        }
    }

    /// A send to be started with [`Engine::restart`], as often as wanted; idle until then and in between. It ends with
    /// [`Engine::release`].
    pub fn plan_send(
        &self,
        mode: Mode,
        data: *const u8,
        len: usize,
        kind: Kind,
        dest: usize,
        tag: i32,
    ) -> Outcome<Request> {
        match self {
            Engine::Local(e) => Ok(Request::Local(e.plan_send(mode, data, len, kind, dest, tag))),
            #[cfg(feature = "mpi")]
            Engine::Mpi(e) => e.plan_send(mode, data, len, kind, dest, tag).map(Request::Mpi),
        }
    }

    /// A receive to be started with [`Engine::restart`], as [`Engine::plan_send`].
    pub fn plan_recv(
        &self,
        data: *mut u8,
        len: usize,
        kind: Kind,
        from: From,
        tag: Tagged,
    ) -> Outcome<Request> {
        match self {
            Engine::Local(e) => Ok(Request::Local(e.plan_recv(data, len, kind, from, tag))),
            #[cfg(feature = "mpi")]
            Engine::Mpi(e) => e.plan_recv(data, len, kind, from, tag).map(Request::Mpi),
        }
    }

    /// Starts a plan that is idle: new, or complete since it was started last. Then it is a request like others, but
    /// for being idle again when it is complete or cancelled.
    ///
    /// # Safety
    /// For the buffers that the plan was made with, as [`Engine::isend`], [`Engine::irecv`] or [`Engine::start`].
    pub unsafe fn restart(&self, request: &mut Request) -> Outcome<()> {
        match (self, request) {
            // SAFETY: the caller's promise is passed on.
            (Engine::Local(e), Request::Local(r)) => unsafe { e.restart(r) },
            #[cfg(feature = "mpi")]
            // SAFETY: as above.
            (Engine::Mpi(e), Request::Mpi(r)) => unsafe { e.restart(r) },
            _ => unreachable!("a request is used with the engine that made it"),
        }
    }

    /// Ends a plan that is idle.
    pub fn release(&self, request: Request) {
        match (self, request) {
            (Engine::Local(_), Request::Local(_)) => {}
            #[cfg(feature = "mpi")]
            (Engine::Mpi(e), Request::Mpi(r)) => e.release(r),
            _ => unreachable!("a request is used with the engine that made it"),
        }
    }

    /// Whether the request is complete; once it has said so (or failed), the buffer is the caller's again and
    /// the request must not be used any more.
    #[inline]
    pub fn test(&self, request: &mut Request) -> Outcome<Option<Envelope>> {
        match (self, request) {
            (Engine::Local(e), Request::Local(r)) => e.test(r),
            (_, Request::Exchange(x)) => Ok(x.test()?.then_some(exchange::OVER)),
            #[cfg(feature = "mpi")]
            (Engine::Mpi(e), Request::Mpi(r)) => e.test(r),
            #[cfg(feature = "mpi")]
            _ => unreachable!("a request is used with the engine that made it"),
        }
    }

    /// Blocks until the request is complete. After an error, too, the buffer is the caller's again, except
    /// [`Fault::Aborted`]: then the request must still be cancelled.
    #[inline]
    pub fn wait(&self, request: &mut Request) -> Outcome<Envelope> {
        match (self, request) {
            (Engine::Local(e), Request::Local(r)) => e.wait(r),
            (_, Request::Exchange(x)) => x.wait().map(|()| exchange::OVER),
            #[cfg(feature = "mpi")]
            (Engine::Mpi(e), Request::Mpi(r)) => e.wait(r),
            #[cfg(feature = "mpi")]
            _ => unreachable!("a request is used with the engine that made it"),
        }
    }

    /// Takes an operation back without waiting for another rank. Whether it worked: then the buffer is the caller's
    /// again (the message may have been transferred or not). If not, the engine may still touch the buffer.
    pub fn cancel(&self, request: &mut Request) -> bool {
        match (self, request) {
            (Engine::Local(e), Request::Local(r)) => e.cancel(r),
            (_, Request::Exchange(x)) => x.cancel(),
            #[cfg(feature = "mpi")]
            (Engine::Mpi(e), Request::Mpi(r)) => e.cancel(r),
            #[cfg(feature = "mpi")]
            _ => unreachable!("a request is used with the engine that made it"),
        }
    }

    /// Takes a receive back without waiting for another rank: `None`. If it was complete, its envelope or what was
    /// wrong with it. The buffer is the caller's again, whatever the answer.
    pub fn cancel_recv(&self, request: &mut Request) -> Outcome<Option<Envelope>> {
        match (self, request) {
            (Engine::Local(e), Request::Local(r)) => e.cancel_recv(r),
            #[cfg(feature = "mpi")]
            (Engine::Mpi(e), Request::Mpi(r)) => e.cancel_recv(r),
            _ => unreachable!("a request is used with the engine that made it"),
        }
    }

    /// Adds to `ended`, which is empty, all of the requests that are over; with `block`, waits for one at least.
    /// [`Fault::Aborted`] says nothing of any request.
    pub fn some(&self, many: &mut dyn many::Many, block: bool, ended: &mut Vec<many::Ended>) -> Outcome<()> {
        either!(self, e => e.some(many, block, ended))
    }

    /// Takes part in a collective and returns when this rank's part is done.
    ///
    /// # Safety
    /// Until it returns: the send side is valid for reads and the receive side for writes of the bytes that their
    /// layouts name; nobody else writes the former or touches the latter; the two do not overlap.
    #[inline]
    pub unsafe fn collective(&self, part: &Collective<'_>, place: Place) -> Outcome<()> {
        // SAFETY: the caller's promise is passed on.
        either!(self, e => unsafe { e.collective(part, place) })
    }

    /// Starts a collective. Its layouts and operator are copied as far as they are needed later; its envelope says
    /// nothing.
    ///
    /// # Safety
    /// As [`Engine::collective`], until the request is complete or cancelled.
    pub unsafe fn start(&self, part: &Collective<'_>, place: Place) -> Outcome<Request> {
        match self {
            // SAFETY: the caller's promise is passed on.
            Engine::Local(e) => unsafe { e.start(part, place) }.map(Request::Local),
            #[cfg(feature = "mpi")]
            // SAFETY: as above.
            Engine::Mpi(e) => unsafe { e.start(part, place) }.map(Request::Mpi),
        }
    }

    /// The same ranks in a context of the framework's own: messages on it never meet those of the author, wildcards
    /// included. Local: it exists from the start. It has no private twin of its own, and makes no communicators.
    pub fn private(&self) -> Engine {
        match self {
            Engine::Local(e) => Engine::Local(e.private()),
            #[cfg(feature = "mpi")]
            Engine::Mpi(e) => Engine::Mpi(e.private()),
        }
    }

    /// Ranks of one colour make a communicator, ordered by key, then by rank; `None` is in no communicator.
    pub fn split(&self, color: Option<u32>, key: i64, place: Place) -> Outcome<Option<Engine>> {
        match self {
            Engine::Local(e) => Ok(e.split(color, key, place)?.map(Engine::Local)),
            #[cfg(feature = "mpi")]
            Engine::Mpi(e) => Ok(e.split(color, key, place)?.map(Engine::Mpi)),
        }
    }

    /// The same ranks in a communicator of their own: its messages meet no others.
    pub fn dup(&self, place: Place) -> Outcome<Engine> {
        match self {
            Engine::Local(e) => Ok(Engine::Local(e.dup(place)?)),
            #[cfg(feature = "mpi")]
            Engine::Mpi(e) => Ok(Engine::Mpi(e.dup(place)?)),
        }
    }

    /// Ranks that can share memory make a communicator, in the order they have here.
    pub fn split_shared(&self, place: Place) -> Outcome<Engine> {
        match self {
            Engine::Local(e) => Ok(Engine::Local(e.split_shared(place)?)),
            #[cfg(feature = "mpi")]
            Engine::Mpi(e) => Ok(Engine::Mpi(e.split_shared(place)?)),
        }
    }

    /// These ranks make a communicator, in this order; only they call. This rank is one of them.
    #[cfg_attr(not(feature = "mpi"), allow(unused_variables, reason = "only MPI asks"))]
    pub fn create_group(&self, members: &[usize], tag: i32, place: Place) -> Outcome<Engine> {
        match self {
            Engine::Local(e) => Ok(Engine::Local(e.create_group(members, tag))),
            #[cfg(feature = "mpi")]
            Engine::Mpi(e) => Ok(Engine::Mpi(e.create_group(members, tag, place)?)),
        }
    }

    /// The world rank of each rank. Local.
    pub fn world_ranks(&self) -> Outcome<Vec<usize>> {
        either!(self, e => e.world_ranks())
    }

    /// Tells whoever looks at the library from outside what the communicator is called. Local.
    #[cfg_attr(not(feature = "mpi"), allow(unused_variables, reason = "only MPI asks"))]
    pub fn set_name(&self, name: &str) -> Outcome<()> {
        match self {
            Engine::Local(_) => Ok(()),
            #[cfg(feature = "mpi")]
            Engine::Mpi(e) => e.set_name(name),
        }
    }

    /// Whether this is the checked mode, in which ranks compare what they must give alike.
    pub fn checked(&self) -> bool {
        either!(self, e => e.checked())
    }

    /// The rank cannot go on and cannot give back memory that the engine may still write: reports and ends the job.
    /// Only the Mpi engine ever needs it; the Local engine can cancel everything.
    pub fn bring_down(&self, error: crate::Error) -> ! {
        match self {
            Engine::Local(_) => unreachable!("the local engine cancels every request: {error}"),
            #[cfg(feature = "mpi")]
            Engine::Mpi(_) => crate::launch::bring_down(&error),
        }
    }
}
