//! Several messages under one handle: what a neighbourhood collective is made of, on every engine alike.
//!
//! They travel in the framework's own context. Who the neighbours are, and how long the blocks, is decided in `comm`;
//! here every receive knows how many bytes must come, and a neighbour that sends more or fewer is an error.

use super::{Engine, Envelope, Fault, From, Mode, Outcome, Request, Tagged};
use crate::comm::element::{Element, Kind};
use crate::error::{Error, ErrorKind};
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::rc::Rc;

/// Where messages of one block go, or come from: the peer, if there is one, and the tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    pub peer: Option<usize>,
    pub tag: i32,
}

/// A block to send.
pub(crate) struct Outgoing<'a> {
    pub peer: usize,
    pub tag: i32,
    pub kind: Kind,
    pub data: &'a [u8],
}

/// A block to fill.
pub(crate) struct Incoming<'a> {
    pub peer: usize,
    pub tag: i32,
    pub kind: Kind,
    pub data: &'a mut [u8],
}

/// The blocks that have somewhere to go.
#[inline]
pub(crate) fn outgoing<'a, T: Element>(
    ports: &'a [Port],
    blocks: impl IntoIterator<Item = &'a [T]>,
) -> impl Iterator<Item = Outgoing<'a>> {
    ports.iter().zip(blocks).filter_map(|(port, block)| {
        let data = bytemuck::cast_slice(block);
        Some(Outgoing { peer: port.peer?, tag: port.tag, kind: T::KIND, data })
    })
}

/// The blocks that something comes into.
#[inline]
pub(crate) fn incoming<'a, T: Element>(
    ports: &'a [Port],
    blocks: impl IntoIterator<Item = &'a mut [T]>,
) -> impl Iterator<Item = Incoming<'a>> {
    ports.iter().zip(blocks).filter_map(|(port, block)| {
        let data = bytemuck::cast_slice_mut(block);
        Some(Incoming { peer: port.peer?, tag: port.tag, kind: T::KIND, data })
    })
}

/// Blocks of these lengths, one after the other; the lengths have been checked.
#[inline]
pub(crate) fn pieces<T>(mut data: &[T], lens: impl Iterator<Item = usize>) -> impl Iterator<Item = &[T]> {
    lens.map(move |len| data.split_off(..len).expect("blocks inside the buffer"))
}

/// As [`pieces`], to write to.
#[inline]
pub(crate) fn pieces_mut<T>(
    mut data: &mut [T],
    lens: impl Iterator<Item = usize>,
) -> impl Iterator<Item = &mut [T]> {
    lens.map(move |len| data.split_off_mut(..len).expect("blocks inside the buffer"))
}

/// Messages under way, or none.
pub(crate) struct Exchange {
    engine: Rc<Engine>,
    parts: Vec<Part>,
    /// The first that went wrong; the others are completed all the same.
    fault: Option<Fault>,
}

struct Part {
    /// `None` once complete.
    request: Option<Request>,
    /// How many bytes must come; `None` for a send.
    block: Option<usize>,
}

impl Exchange {
    /// `engine` is a private one.
    pub fn new(engine: Rc<Engine>) -> Exchange {
        Exchange { engine, parts: Vec::new(), fault: None }
    }

    /// Exchanges the blocks and returns when that is done; calls `meanwhile` once all has been started.
    pub fn run<'a>(
        &mut self,
        recvs: impl IntoIterator<Item = Incoming<'a>>,
        sends: impl IntoIterator<Item = Outgoing<'a>>,
        meanwhile: impl FnOnce(&Engine) -> Outcome<()>,
    ) -> Outcome<()> {
        let running = Running(self);
        // SAFETY: the borrows outlast this call, and it leaves nothing under way: `Running` sees to that.
        unsafe { running.0.start(recvs, sends) }?;
        if let Err(fault) = meanwhile(&running.0.engine) {
            running.0.fault.get_or_insert(fault);
        }
        running.0.wait()
    }

    /// Starts the messages, receives first. If it fails nothing is under way.
    ///
    /// # Safety
    /// The blocks stay as they are, and nobody touches those to be filled or writes those to be sent, until the
    /// exchange is complete or cancelled.
    pub unsafe fn start<'a>(
        &mut self,
        recvs: impl IntoIterator<Item = Incoming<'a>>,
        sends: impl IntoIterator<Item = Outgoing<'a>>,
    ) -> Outcome<()> {
        debug_assert!(self.parts.is_empty(), "one exchange at a time");
        // SAFETY: the caller's promise is passed on.
        let started = unsafe { self.post(recvs, sends) };
        if started.is_err() {
            self.abandon();
        }
        started
    }

    /// # Safety
    /// As [`Exchange::start`].
    unsafe fn post<'a>(
        &mut self,
        recvs: impl IntoIterator<Item = Incoming<'a>>,
        sends: impl IntoIterator<Item = Outgoing<'a>>,
    ) -> Outcome<()> {
        for Incoming { peer, tag, kind, data } in recvs {
            let (from, tagged) = (From::Rank(peer), Tagged::Tag(tag));
            // SAFETY: the caller's promise.
            let request = unsafe { self.engine.irecv(data.as_mut_ptr(), data.len(), kind, from, tagged) }?;
            self.parts.push(Part { request: Some(request), block: Some(data.len()) });
        }
        for Outgoing { peer, tag, kind, data } in sends {
            let mode = Mode::Standard;
            // SAFETY: the caller's promise.
            let request = unsafe { self.engine.isend(mode, data.as_ptr(), data.len(), kind, peer, tag) }?;
            self.parts.push(Part { request: Some(request), block: None });
        }
        Ok(())
    }

    /// Blocks until all messages are complete; then the blocks are the caller's again, after an error too, except
    /// [`Fault::Aborted`]: then the exchange must still be cancelled.
    pub fn wait(&mut self) -> Outcome<()> {
        for part in &mut self.parts {
            if let Some(request) = &mut part.request {
                let outcome = self.engine.wait(request);
                part.settle(outcome, &mut self.fault)?;
            }
        }
        self.end()
    }

    /// Whether all messages are complete; for errors see [`Exchange::wait`].
    pub fn test(&mut self) -> Outcome<bool> {
        let mut open = false;
        for part in &mut self.parts {
            if let Some(request) = &mut part.request {
                match self.engine.test(request).transpose() {
                    None => open = true,
                    Some(outcome) => part.settle(outcome, &mut self.fault)?,
                }
            }
        }
        if open { Ok(false) } else { self.end().map(|()| true) }
    }

    /// Takes everything back that is still under way. Whether that worked: see [`Engine::cancel`].
    pub fn cancel(&mut self) -> bool {
        let engine = &self.engine;
        self.parts.retain_mut(|part| part.request.as_mut().is_some_and(|request| !engine.cancel(request)));
        self.fault = None;
        self.parts.is_empty()
    }

    fn end(&mut self) -> Outcome<()> {
        self.parts.clear();
        self.fault.take().map_or(Ok(()), Err)
    }

    /// Takes everything back; if the engine cannot, the job goes down, since the blocks are about to go.
    #[cold]
    fn abandon(&mut self) {
        if !self.cancel() {
            let what = "an exchange between neighbours failed with messages under way";
            self.engine.bring_down(Error::new(ErrorKind::Engine, what).on_rank(self.engine.rank()));
        }
    }
}

/// Leaves nothing under way, whatever happens.
struct Running<'e>(&'e mut Exchange);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.0.parts.is_empty() {
            self.0.abandon();
        }
    }
}

impl Part {
    /// Notes that the message is complete, and how. An error only if it is not complete.
    fn settle(&mut self, outcome: Outcome<Envelope>, first: &mut Option<Fault>) -> Outcome<()> {
        let fault = match outcome {
            Err(Fault::Aborted) => return Err(Fault::Aborted),
            Err(Fault::Truncated { source, sent, capacity, .. }) => Some(unequal(source, sent, capacity)),
            Err(fault) => Some(fault),
            Ok(envelope) => self
                .block
                .filter(|&block| block != envelope.bytes)
                .map(|block| unequal(envelope.source, Some(envelope.bytes), block)),
        };
        self.request = None;
        if let Some(fault) = fault {
            first.get_or_insert(fault);
        }
        Ok(())
    }
}

#[cold]
fn unequal(source: usize, sent: Option<usize>, block: usize) -> Fault {
    let sent = sent.map_or("more".to_string(), |bytes| format!("{bytes} bytes"));
    Fault::Mismatch(format!("rank {source} sends {sent} for a block that takes {block} bytes here"))
}

/// An exchange that owns its buffers. A forgotten or dropped one leaks them; [`Held::release`] frees them where it can.
pub(crate) struct Held<T: Element> {
    exchange: Exchange,
    send: ManuallyDrop<Vec<T>>,
    recv: ManuallyDrop<Vec<T>>,
}

/// Which blocks of its buffers a [`Held`] exchanges.
pub(crate) struct Shape {
    /// Where blocks come from, and their lengths: they lie one after the other.
    pub inlets: Vec<Port>,
    pub lens: Vec<usize>,
    /// Where blocks go, and where they lie.
    pub outlets: Vec<Port>,
    pub ranges: Vec<Range<usize>>,
}

impl<T: Element> Held<T> {
    pub fn new(engine: Rc<Engine>, send: Vec<T>, recv: Vec<T>) -> Held<T> {
        let exchange = Exchange::new(engine);
        Held { exchange, send: ManuallyDrop::new(send), recv: ManuallyDrop::new(recv) }
    }

    /// Whether messages are under way: then the buffers cannot be had.
    pub fn is_running(&self) -> bool {
        !self.exchange.parts.is_empty()
    }

    /// The buffers, sent from and received into, unless messages are under way.
    pub fn buffers(&mut self) -> Option<(&mut [T], &mut [T])> {
        if self.is_running() { None } else { Some((&mut self.send, &mut self.recv)) }
    }

    /// Starts the exchange; nothing else may be under way.
    pub fn start(&mut self, shape: &Shape) -> Outcome<()> {
        assert!(!self.is_running(), "one exchange at a time");
        let into = incoming(&shape.inlets, pieces_mut(&mut self.recv[..], shape.lens.iter().copied()));
        let from = outgoing(&shape.outlets, shape.ranges.iter().map(|range| &self.send[range.clone()]));
        // SAFETY: the vectors are kept, and nobody gets at them, until the exchange is complete or cancelled, or they
        // leak. What they hold stays where it is when `self` is moved.
        unsafe { self.exchange.start(into, from) }
    }

    /// See [`Exchange::wait`]; with nothing under way, nothing happens.
    pub fn wait(&mut self) -> Outcome<()> {
        self.exchange.wait()
    }

    /// See [`Exchange::test`].
    pub fn test(&mut self) -> Outcome<bool> {
        self.exchange.test()
    }

    /// Takes the exchange back and the buffers out; `None` if that is not possible: then they leak.
    pub fn release(&mut self) -> Option<(Vec<T>, Vec<T>)> {
        if !self.exchange.cancel() {
            return None;
        }
        let take = |data: &mut ManuallyDrop<Vec<T>>| {
            ManuallyDrop::into_inner(std::mem::replace(data, ManuallyDrop::new(Vec::new())))
        };
        Some((take(&mut self.send), take(&mut self.recv)))
    }
}
