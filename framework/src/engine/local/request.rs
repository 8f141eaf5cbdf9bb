//! Nonblocking operations of the Local engine: started, tested, waited for, taken back; and plans of them.
//!
//! How letters travel is in `p2p`; who matches them, in `inbox`.

use super::collective::Joined;
use super::inbox::Ticket;
use super::letter::{Loan, Want};
use super::p2p::BUFFERED;
use super::{Glance, Local};
use crate::comm::element::Kind;
use crate::engine::many::{Ended, Many};
use crate::engine::{self, Catch, Engine, Envelope, Fault, From, Mode, Outcome, Tagged};
use std::sync::Arc;

/// A nonblocking operation of this engine.
pub(crate) struct Request(State);

enum State {
    /// Over when it was started; or not started (`None`).
    Over(Option<Outcome<Envelope>>),
    /// From one rank of the world, or any.
    Receive(Arc<Ticket>, Option<usize>),
    Send(Lending),
    Collective(Joined),
    Plan(Box<Plan>),
}

// It is moved a few times on its way to its scope's table.
const _: () = assert!(size_of::<Request>() <= 48);

/// A send whose receiver has not copied yet.
struct Lending {
    loan: Box<Loan>,
    /// In the world.
    dest: usize,
    bytes: usize,
    insists: bool,
}

/// An operation that is started again and again.
struct Plan {
    part: Part,
    /// What was started last.
    now: State,
}

/// The arguments of [`Local::isend`] or [`Local::irecv`].
#[derive(Clone, Copy)]
enum Part {
    Send { mode: Mode, data: *const u8, len: usize, kind: Kind, dest: usize, tag: i32 },
    Receive { data: *mut u8, len: usize, kind: Kind, from: From, tag: Tagged },
}

/// What a complete send or collective reports; nobody looks at it.
pub(super) const SENT: Envelope = Envelope { source: 0, tag: 0, kind: 0, bytes: 0 };

/// Rounds over many requests before sends go on without their receivers, or this rank watches and sleeps.
const ROUNDS: u32 = 16;

impl Request {
    /// One that was over at once.
    pub(super) fn over(outcome: Outcome<Envelope>) -> Request {
        Request(State::Over(Some(outcome)))
    }

    /// A send that was over when it was started.
    pub fn sent() -> Request {
        Request::over(Ok(SENT))
    }

    /// One on a collective that has been started.
    pub(super) fn collective(joined: Joined) -> Request {
        Request(State::Collective(joined))
    }

    /// Is over with this outcome, for whoever asks next.
    pub(super) fn end(&mut self, outcome: Outcome<Envelope>) {
        *self.state() = State::Over(Some(outcome));
    }

    /// The state of what runs.
    #[inline]
    fn state(&mut self) -> &mut State {
        match &mut self.0 {
            State::Plan(plan) => &mut plan.now,
            state => state,
        }
    }
}

impl Request {
    /// See [`engine::Request::catch`].
    pub fn catch(&self) -> Option<Catch> {
        match &self.0 {
            State::Over(Some(Ok(envelope))) => Some(Catch::Known(envelope.source, envelope.tag)),
            State::Receive(ticket, _) => Some(Catch::Shared(ticket.clone())),
            State::Plan(plan) => match &plan.now {
                State::Over(Some(Ok(envelope))) => Some(Catch::Known(envelope.source, envelope.tag)),
                State::Receive(ticket, _) => Some(Catch::Shared(ticket.clone())),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Local {
    /// # Safety
    /// As [`Engine::isend`](crate::engine::Engine::isend).
    pub unsafe fn isend(
        &self,
        mode: Mode,
        data: *const u8,
        len: usize,
        kind: Kind,
        dest: usize,
        tag: i32,
    ) -> Outcome<Option<Request>> {
        let to = self.world_rank(dest);
        // SAFETY: the caller's promise.
        let bytes = unsafe { std::slice::from_raw_parts(data, len) };
        if self.send_at_once(mode, bytes, kind, to, tag)? {
            return Ok(None);
        }
        let insists = self.insists(mode);
        let lending = Lending { loan: self.spares.loan(self.me), dest: to, bytes: len, insists };
        self.lend(to, data, len, kind, tag, &lending.loan);
        Ok(Some(Request(State::Send(lending))))
    }

    /// # Safety
    /// As [`Engine::irecv`](crate::engine::Engine::irecv).
    pub unsafe fn irecv(
        &self,
        data: *mut u8,
        len: usize,
        kind: Kind,
        from: From,
        tag: Tagged,
    ) -> Outcome<Request> {
        let want = Want { context: self.context, from, tag };
        let inbox = self.inbox();
        let ticket = || self.spares.ticket();
        // Also where the letter is in the ring already: the records are then there from the first receive on.
        // SAFETY: the caller's promise.
        let posted = unsafe { inbox.lock().post(&self.world, inbox, want, kind, data, len, ticket) };
        Ok(Request(match posted {
            Ok(outcome) => State::Over(Some(outcome)),
            Err(ticket) => State::Receive(
                ticket,
                match from {
                    From::Any => None,
                    From::Rank(rank) => Some(self.world_rank(rank)),
                },
            ),
        }))
    }

    /// A send to be started later, as often as wanted.
    pub fn plan_send(
        &self,
        mode: Mode,
        data: *const u8,
        len: usize,
        kind: Kind,
        dest: usize,
        tag: i32,
    ) -> Request {
        self.plan(Part::Send { mode, data, len, kind, dest, tag })
    }

    /// A receive to be started later, as often as wanted.
    pub fn plan_recv(&self, data: *mut u8, len: usize, kind: Kind, from: From, tag: Tagged) -> Request {
        self.plan(Part::Receive { data, len, kind, from, tag })
    }

    fn plan(&self, part: Part) -> Request {
        Request(State::Plan(Box::new(Plan { part, now: State::Over(None) })))
    }

    /// # Safety
    /// As [`Engine::restart`](crate::engine::Engine::restart).
    pub unsafe fn restart(&self, request: &mut Request) -> Outcome<()> {
        let State::Plan(plan) = &mut request.0 else { return Ok(()) };
        // SAFETY: the caller's promise.
        let started = unsafe {
            match plan.part {
                Part::Send { mode, data, len, kind, dest, tag } => {
                    self.isend(mode, data, len, kind, dest, tag)?.unwrap_or_else(Request::sent)
                }
                Part::Receive { data, len, kind, from, tag } => self.irecv(data, len, kind, from, tag)?,
            }
        };
        plan.now = started.0;
        Ok(())
    }

    pub fn test(&self, request: &mut Request) -> Outcome<Option<Envelope>> {
        if !matches!(request.state(), State::Over(_)) {
            if let Some(turns) = &self.world.turns
                && !turns.is_looking()
                && !self.is_over_in_turn(turns, request)?
            {
                return Ok(None);
            }
            self.sort();
        }
        match self.peek(request) {
            Some(outcome) => outcome.map(Some),
            None if self.world.aborted() => Err(Fault::Aborted),
            None => Ok(None),
        }
    }

    /// Whether it is over, as far as letters have been sorted.
    pub(super) fn peek(&self, request: &mut Request) -> Option<Outcome<Envelope>> {
        let state = request.state();
        let over = match state {
            State::Over(outcome) => return outcome.take(),
            State::Receive(ticket, _) => ticket.ended(),
            State::Send(lending) => self.is_back(lending, Glance::Passing),
            State::Collective(joined) => {
                let outcome = self.peek_collective(joined)?;
                *state = State::Over(None);
                return Some(outcome);
            }
            State::Plan(_) => false,
        };
        over.then(|| self.retire(state))
    }

    /// Whether a send's receiver has copied; if it asks for the letter, the copy is made here.
    fn is_back(&self, lending: &Lending, glance: Glance) -> bool {
        lending.loan.returned() || {
            self.offer(lending.dest, glance);
            lending.loan.returned()
        }
    }

    /// The outcome of what is over, and its record for the next operation.
    fn retire(&self, state: &mut State) -> Outcome<Envelope> {
        match std::mem::replace(state, State::Over(None)) {
            State::Receive(ticket, _) => {
                let outcome = ticket.take().unwrap_or(Err(Fault::Aborted));
                self.spares.return_ticket(ticket);
                outcome
            }
            State::Send(lending) => {
                self.spares.return_loan(lending.loan);
                Ok(SENT)
            }
            State::Over(outcome) => outcome.unwrap_or(Err(Fault::Aborted)),
            State::Collective(_) | State::Plan(_) => Err(Fault::Aborted),
        }
    }

    pub fn wait(&self, request: &mut Request) -> Outcome<Envelope> {
        let state = request.state();
        match state {
            State::Send(lending) if !lending.loan.returned() => {
                // While we wait for our receiver it may wait for us to sort what it lends.
                self.sort();
                self.reclaim(lending.dest, lending.bytes, lending.insists, &lending.loan)?;
            }
            State::Receive(ticket, source) => self.await_ticket(ticket, *source)?,
            State::Collective(joined) => return self.wait_collective(joined),
            _ => {}
        }
        self.retire(state)
    }

    fn await_ticket(&self, ticket: &Ticket, source: Option<usize>) -> Outcome<()> {
        if ticket.ended() {
            return Ok(());
        }
        let inbox = self.inbox();
        // A sender that did our work now would only get in our way.
        inbox.attend(true);
        let outcome = self.sort_until_ended(ticket, source);
        inbox.attend(false);
        outcome
    }

    fn sort_until_ended(&self, ticket: &Ticket, source: Option<usize>) -> Outcome<()> {
        let inbox = self.inbox();
        let link = source.map(|source| &**self.world.link(self.me, source));
        loop {
            let changes = inbox.changes();
            self.sort();
            if ticket.ended() {
                return Ok(());
            }
            let changed = || ticket.ended() || inbox.changes() != changes;
            // Senders to other receives of ours count on us meanwhile.
            match link.filter(|_| inbox.posted() == 1) {
                Some(link) => {
                    self.world.wait(self.me, || changed() || link.ready())?;
                    if inbox.lock().serve_front(&self.world, inbox, ticket, link) {
                        return Ok(());
                    }
                }
                None => self.world.wait(self.me, || changed() || inbox.any_ready())?,
            }
        }
    }

    /// Takes the operation back; on this engine that always works.
    pub fn cancel(&self, request: &mut Request) -> bool {
        let state = request.state();
        match state {
            State::Receive(ticket, _) => {
                let inbox = self.inbox();
                inbox.lock().withdraw(inbox, ticket);
            }
            State::Send(lending) if !lending.loan.returned() => {
                self.take_back(lending.dest, &lending.loan);
            }
            State::Collective(joined) => self.cancel_collective(joined),
            _ => {}
        }
        let _ = self.retire(state);
        true
    }

    /// Takes a receive back; its envelope if it was complete.
    pub fn cancel_recv(&self, request: &mut Request) -> Outcome<Option<Envelope>> {
        let state = request.state();
        if let State::Receive(ticket, _) = state {
            let inbox = self.inbox();
            if inbox.lock().withdraw(inbox, ticket) {
                let _ = self.retire(state);
                return Ok(None);
            }
        }
        self.retire(state).map(Some)
    }

    /// See [`Engine::some`](crate::engine::Engine::some).
    pub fn some(&self, many: &mut dyn Many, block: bool, ended: &mut Vec<Ended>) -> Outcome<()> {
        if let Some(turns) = &self.world.turns {
            return self.some_in_turn(turns, many, block, ended);
        }
        let inbox = self.inbox();
        let mut rounds = 0;
        loop {
            let changes = inbox.changes();
            self.sort();
            harvest(many, ended, Local::peek);
            if !ended.is_empty() {
                return Ok(());
            }
            if self.world.aborted() {
                return Err(Fault::Aborted);
            }
            if !block {
                return Ok(());
            }
            rounds += 1;
            if rounds < ROUNDS {
                std::hint::spin_loop();
                continue;
            }
            harvest(many, ended, Local::let_go);
            if !ended.is_empty() {
                return Ok(());
            }
            self.world.wait_looking(self.me, |glance| {
                inbox.any_ready() || inbox.changes() != changes || any_back(many, glance)
            })?;
        }
    }

    /// Ends a send that need not wait for its receiver: leaves a copy in its place.
    pub(super) fn let_go(&self, request: &mut Request) -> Option<Outcome<Envelope>> {
        let state = request.state();
        match state {
            State::Send(lending) if lending.bytes <= BUFFERED && !lending.insists => {
                self.leave_copy(lending.dest, &lending.loan);
                Some(self.retire(state))
            }
            _ => None,
        }
    }
}

/// Adds all the requests that `over` has an outcome of.
fn harvest(
    many: &mut dyn Many,
    ended: &mut Vec<Ended>,
    over: fn(&Local, &mut Request) -> Option<Outcome<Envelope>>,
) {
    for index in 0..many.len() {
        many.at(index, &mut |engine, request| {
            let outcome = match (engine, request) {
                (Engine::Local(local), engine::Request::Local(request)) => over(local, request),
                (_, engine::Request::Exchange(exchange)) => exchange.ended(),
                #[cfg(feature = "mpi")]
                _ => None,
            };
            ended.extend(outcome.map(|outcome| (index, outcome)));
        });
    }
}

/// Whether the receiver of any of the sends has copied, or there is something to do for a collective.
fn any_back(many: &mut dyn Many, glance: Glance) -> bool {
    let mut back = false;
    let mut look = |engine: &Engine, request: &mut engine::Request| {
        if let (Engine::Local(local), engine::Request::Local(request)) = (engine, request) {
            back |= match request.state() {
                State::Send(lending) => local.is_back(lending, glance),
                State::Collective(joined) => local.stirs(joined),
                _ => false,
            };
        }
    };
    for index in 0..many.len() {
        many.at(index, &mut |engine, request| match request {
            engine::Request::Exchange(exchange) => exchange.each(&mut look),
            request => look(engine, request),
        });
    }
    back
}
