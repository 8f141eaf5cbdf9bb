//! Several messages under one handle: what a neighbourhood collective is made of, on every engine alike.
//!
//! They travel in the framework's own context. Who the neighbours are, and how long the blocks, is decided in `comm`;
//! here every receive knows how many bytes must come, and a neighbour that sends more or fewer is an error.

use super::{Engine, Envelope, Fault, From, Mode, Outcome, Request, Tagged};
use crate::comm::element::{Element, Kind};
use crate::error::{Error, ErrorKind};
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::ptr::NonNull;
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

/// Where the blocks of one buffer lie, in elements, and what must be known of them before they are used.
#[derive(Default)]
pub(crate) struct Places {
    ranges: Vec<Range<usize>>,
    reach: usize,
    overlap: Option<(usize, usize)>,
}

impl Places {
    /// Puts these blocks in place of those that it had.
    pub fn set(&mut self, ranges: impl Iterator<Item = Range<usize>>) {
        self.ranges.clear();
        self.ranges.extend(ranges);
        let blocks = || self.ranges.iter().filter(|range| !range.is_empty());
        self.reach = blocks().map(|range| range.end).max().unwrap_or(0);
        self.overlap = None;
        // Mostly they are in order.
        if !blocks().is_sorted_by(|a, b| a.end <= b.start) {
            let mut order: Vec<usize> = (0..self.ranges.len()).collect();
            order.retain(|&block| !self.ranges[block].is_empty());
            order.sort_unstable_by_key(|&block| self.ranges[block].start);
            let pair = order.windows(2).find(|two| self.ranges[two[0]].end > self.ranges[two[1]].start);
            self.overlap = pair.map(|two| (two[0].min(two[1]), two[0].max(two[1])));
        }
    }

    /// Where the last block ends.
    pub fn reach(&self) -> usize {
        self.reach
    }

    /// Two blocks that share elements: those that are received into must not.
    pub fn overlap(&self) -> Option<(usize, usize)> {
        self.overlap
    }
}

/// Which blocks of two buffers are sent and received.
#[derive(Default)]
pub(crate) struct Shape {
    pub from: Places,
    pub into: Places,
}

/// Where the blocks of a shape go, and where they come from.
#[derive(Clone, Copy)]
pub(crate) struct Ports<'a> {
    pub out: &'a [Port],
    pub into: &'a [Port],
}

/// What waiting for an exchange reports; nobody looks at it.
pub(crate) const OVER: Envelope = Envelope { source: 0, tag: 0, kind: 0, bytes: 0 };

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
            // One that was over at once is kept all the same: its plan runs until somebody has waited.
            let request = request.unwrap_or_else(|| self.engine.over());
            self.parts.push(Part { request: Some(request), block: None });
        }
        Ok(())
    }

    /// Starts the messages of a shape's blocks. If it fails nothing is under way.
    ///
    /// # Safety
    /// The buffers stay as they are, and nobody touches `recv` or writes to `send`, until the exchange is complete or
    /// cancelled.
    pub unsafe fn start_shape<T: Element>(
        &mut self,
        ports: Ports<'_>,
        shape: &Shape,
        send: &[T],
        recv: (NonNull<T>, usize),
    ) -> Outcome<()> {
        let Shape { from, into } = shape;
        assert!(from.reach <= send.len() && into.reach <= recv.1 && into.overlap.is_none(), "checked above");
        let outlets = outgoing(
            ports.out,
            from.ranges.iter().map(|range| &send[if range.is_empty() { 0..0 } else { range.clone() }]),
        );
        let inlets = incoming(
            ports.into,
            into.ranges.iter().map(|range| {
                let range = if range.is_empty() { 0..0 } else { range.clone() };
                // SAFETY: the range is inside the buffer, shares nothing with the others, and `recv` is the caller's
                // promise.
                unsafe { std::slice::from_raw_parts_mut(recv.0.as_ptr().add(range.start), range.len()) }
            }),
        );
        // SAFETY: the caller's promise is passed on.
        unsafe { self.start(inlets, outlets) }
    }

    /// Exchanges a shape's blocks and returns when that is done.
    pub fn run_shape<T: Element>(
        &mut self,
        ports: Ports<'_>,
        shape: &Shape,
        send: &[T],
        recv: &mut [T],
    ) -> Outcome<()> {
        let running = Running(self);
        // SAFETY: the buffers are borrowed for longer than this call, and it leaves nothing under way: `Running` sees
        // to that.
        unsafe { running.0.start_shape(ports, shape, send, (NonNull::from(&mut *recv).cast(), recv.len())) }?;
        running.0.wait()
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

    /// How it ended, if it has; for one among [`Many`](super::many::Many). An exchange that the end of the job has cut
    /// short has not ended.
    pub fn ended(&mut self) -> Option<Outcome<Envelope>> {
        match self.test() {
            Ok(false) | Err(Fault::Aborted) => None,
            Ok(true) => Some(Ok(OVER)),
            Err(fault) => Some(Err(fault)),
        }
    }

    /// Shows the requests that are still under way.
    pub fn each(&mut self, look: &mut dyn FnMut(&Engine, &mut Request)) {
        for request in self.parts.iter_mut().filter_map(|part| part.request.as_mut()) {
            look(&self.engine, request);
        }
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
    out: Vec<Port>,
    into: Vec<Port>,
    shape: Shape,
    buffers: ManuallyDrop<(Vec<T>, Vec<T>)>,
}

impl<T: Element> Held<T> {
    /// The buffers are the one sent from and the one received into; the shape fits them.
    pub fn new(engine: Rc<Engine>, ports: Ports<'_>, shape: Shape, buffers: (Vec<T>, Vec<T>)) -> Held<T> {
        let (out, into) = (ports.out.to_vec(), ports.into.to_vec());
        let exchange = Exchange::new(engine);
        Held { exchange, out, into, shape, buffers: ManuallyDrop::new(buffers) }
    }

    /// Whether messages are under way: then the buffers cannot be had.
    pub fn is_running(&self) -> bool {
        !self.exchange.parts.is_empty()
    }

    /// Whether there is anybody to send to or to receive from.
    pub fn has_neighbors(&self) -> bool {
        self.out.iter().chain(&self.into).any(|port| port.peer.is_some())
    }

    /// The buffers, unless messages are under way.
    pub fn buffers(&mut self) -> Option<(&mut [T], &mut [T])> {
        let running = self.is_running();
        let (send, recv) = &mut *self.buffers;
        (!running).then_some((send, recv))
    }

    /// Puts other buffers, of the same lengths, in the place of its own, which it gives back; unless messages are under
    /// way.
    pub fn swap(&mut self, buffers: (Vec<T>, Vec<T>)) -> Option<(Vec<T>, Vec<T>)> {
        (!self.is_running()).then(|| std::mem::replace(&mut *self.buffers, buffers))
    }

    /// Starts the exchange; nothing else may be under way.
    pub fn start(&mut self) -> Outcome<()> {
        assert!(!self.is_running(), "one exchange at a time");
        let (send, recv) = &mut *self.buffers;
        let recv = (NonNull::from(&mut recv[..]).cast(), recv.len());
        let ports = Ports { out: &self.out, into: &self.into };
        // SAFETY: the vectors are kept, and nobody gets at them, until the exchange is complete or cancelled, or they
        // leak. What they hold stays where it is when `self` is moved.
        unsafe { self.exchange.start_shape(ports, &self.shape, send, recv) }
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
        self.exchange.cancel().then(|| std::mem::take(&mut *self.buffers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::many::{Enough, Many};

    /// Requests in a row, of one engine.
    struct Row<'e>(&'e Engine, Vec<Option<Request>>);

    impl Many for Row<'_> {
        fn len(&self) -> usize {
            self.1.len()
        }

        fn enough(&self) -> Enough {
            Enough::Some
        }

        fn at(&mut self, index: usize, look: &mut dyn FnMut(&Engine, &mut Request)) {
            if let Some(request) = &mut self.1[index] {
                look(self.0, request);
            }
        }
    }

    #[test]
    fn an_exchange_may_be_one_of_many() {
        for checked in [false, true] {
            let case = |comm: &crate::Comm| {
                let (engine, other) = (comm.engine(), 1 - comm.rank());
                let (sent, mut came, mut alone) = ([7u64; 100], [0u64; 100], [0u64]);
                let mut exchange = Box::new(Exchange::new(comm.inner.private.clone()));
                let port = [Port { peer: Some(other), tag: 3 }];
                if comm.rank() == 1 {
                    // The other one waits by then, asleep.
                    std::thread::sleep(std::time::Duration::from_millis(50));
                }
                // SAFETY: the buffers outlive the loop below, which ends only when all is complete.
                let single = unsafe {
                    let blocks = (incoming(&port, [&mut came[..]]), outgoing(&port, [&sent[..]]));
                    exchange.start(blocks.0, blocks.1).unwrap();
                    let from = From::Rank(other);
                    engine.irecv(alone.as_mut_ptr().cast(), 8, u64::KIND, from, Tagged::Tag(1)).unwrap()
                };
                let mut row = Row(engine, vec![Some(Request::Exchange(exchange)), Some(single)]);
                let (mut ended, mut order) = (Vec::new(), Vec::new());
                while order.len() < 2 {
                    engine.some(&mut row, true, &mut ended).unwrap();
                    for (index, outcome) in ended.drain(..) {
                        outcome.unwrap();
                        row.1[index] = None;
                        order.push(index);
                        if index == 0 {
                            engine
                                .send(Mode::Standard, bytemuck::bytes_of(&9u64), u64::KIND, other, 1)
                                .unwrap();
                        }
                    }
                }
                assert_eq!((order, came, alone), (vec![0, 1], [7; 100], [9]));
                Ok(())
            };
            crate::testing::try_ranks(2, checked, case).unwrap();
        }
    }

    #[test]
    fn places_know_their_reach_and_overlaps() {
        let known = |ranges: &[Range<usize>]| {
            let mut places = Places::default();
            places.set(ranges.iter().cloned());
            (places.reach(), places.overlap())
        };
        assert_eq!(known(&[]), (0, None));
        assert_eq!(known(&[0..2, 2..5, 9..9]), (5, None));
        assert_eq!(known(&[5..7, 0..5]), (7, None));
        assert_eq!(known(&[5..7, 0..6]), (7, Some((0, 1))));
        assert_eq!(known(&[0..9, 20..21, 8..10]), (21, Some((0, 2))));
        assert_eq!(known(&[3..4, 3..4]), (4, Some((0, 1))));
        assert_eq!(known(&[3..4, 3..3, 0..9]), (9, Some((0, 2))));
    }
}
