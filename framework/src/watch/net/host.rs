//! The side that is called: connections, from the greeting to whole messages; nobody can make it wait.
//!
//! Whoever has not shown that it knows the secret gets little: two seconds, forty bytes, and one of a few places. Beyond a
//! number of callers a second nobody is let in for a moment, so that a flood costs the job next to nothing.

use super::talk::{FROM_MEMBER, FROM_VIEWER, Order, Word};
use super::wire::{GREETING, Nonce, PROOF, Secret, Session, nonce, proof, read_greeting, same};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Result, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long a caller has to show that it knows the secret.
const PATIENCE: Duration = Duration::from_secs(2);

/// Callers at a time that have not.
const STRANGERS: usize = 16;

/// Callers a second before nobody is let in for a while, and that while.
const CALLS: u32 = 2000;
const PAUSE: Duration = Duration::from_millis(200);

/// The most that is kept for a caller that does not read.
const BACKLOG: usize = 64 << 20;

pub(super) struct Host {
    secret: Secret,
    listeners: Vec<TcpListener>,
    peers: HashMap<u64, Peer>,
    next: u64,
    /// Calls in the second that began then.
    calls: (Instant, u32),
    closed_until: Option<Instant>,
}

struct Peer {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    since: Instant,
    state: State,
}

enum State {
    Stranger,
    Greeted(Nonce, Nonce),
    Known { session: Session, member: bool },
}

/// What has happened at a connection.
pub(super) enum Event {
    Said(u64, Word),
    Gone(u64),
}

impl Host {
    /// Listens at these addresses of this machine; at least one must be free.
    pub fn new(secret: Secret, addresses: &[IpAddr]) -> Result<Host> {
        let mut listeners = Vec::new();
        let mut failed = None;
        for address in addresses {
            match TcpListener::bind((*address, 0))
                .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            {
                Ok(listener) => listeners.push(listener),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if listeners.is_empty() => Err(error),
            _ => Ok(Host {
                secret,
                listeners,
                peers: HashMap::new(),
                next: 0,
                calls: (Instant::now(), 0),
                closed_until: None,
            }),
        }
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Sends an order, as soon as the other side takes it.
    pub fn order(&mut self, to: u64, order: &Order) -> Result<()> {
        let Some(peer) = self.peers.get_mut(&to) else { return Err(ErrorKind::NotConnected.into()) };
        let State::Known { session, .. } = &mut peer.state else {
            return Err(ErrorKind::NotConnected.into());
        };
        let frame = session.seal(order)?;
        peer.output.extend(frame);
        peer.flush()
    }

    /// From now on it may say more.
    pub fn is_member(&mut self, who: u64) {
        if let Some(Peer { state: State::Known { member, .. }, .. }) = self.peers.get_mut(&who) {
            *member = true;
        }
    }

    /// Waits so long for something to happen, or for a byte from `wake`.
    pub fn pump(&mut self, wake: &impl AsFd, patience: Duration, events: &mut Vec<Event>) {
        let now = Instant::now();
        let open = self.closed_until.is_none_or(|until| now >= until);
        let order: Vec<u64> = self.peers.keys().copied().collect();
        let ready: Vec<bool> = {
            let mut fds = vec![PollFd::new(wake, PollFlags::IN)];
            if open {
                fds.extend(self.listeners.iter().map(|listener| PollFd::new(listener, PollFlags::IN)));
            }
            let first = fds.len();
            for id in &order {
                let peer = &self.peers[id];
                let flags =
                    if peer.output.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
                fds.push(PollFd::new(&peer.stream, flags));
            }
            let timeout =
                Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: patience.subsec_nanos().into() };
            // An interrupted poll is one after which nothing is ready.
            if poll(&mut fds, Some(&timeout)).is_err() {
                return;
            }
            fds[first..].iter().map(|fd| !fd.revents().is_empty()).collect()
        };
        for (id, ready) in order.into_iter().zip(ready) {
            if ready {
                self.attend(id, events);
            }
        }
        if open {
            self.let_in();
        }
        self.send_away(events);
    }

    fn let_in(&mut self) {
        for listener in &self.listeners {
            loop {
                let now = Instant::now();
                if now - self.calls.0 > Duration::from_secs(1) {
                    self.calls = (now, 0);
                }
                if self.calls.1 >= CALLS {
                    // Whoever calls now waits in the system's queue.
                    self.closed_until = Some(now + PAUSE);
                    return;
                }
                let Ok((stream, _)) = listener.accept() else { break };
                self.calls.1 += 1;
                if stream.set_nonblocking(true).is_err() || stream.set_nodelay(true).is_err() {
                    continue;
                }
                let (input, output) = (Vec::new(), Vec::new());
                self.peers
                    .insert(self.next, Peer { stream, input, output, since: now, state: State::Stranger });
                self.next += 1;
            }
        }
    }

    /// Ends connections of strangers that take too long, or are too many: the oldest go first.
    fn send_away(&mut self, events: &mut Vec<Event>) {
        let strangers = |peer: &Peer| !matches!(peer.state, State::Known { .. });
        let mut ids: Vec<u64> =
            self.peers.iter().filter(|(_, peer)| strangers(peer)).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        let too_many = ids.len().saturating_sub(STRANGERS);
        for (at, id) in ids.into_iter().enumerate() {
            if at < too_many || self.peers[&id].since.elapsed() > PATIENCE {
                self.peers.remove(&id);
            }
        }
        let full: Vec<u64> =
            self.peers.iter().filter(|(_, peer)| peer.output.len() > BACKLOG).map(|(id, _)| *id).collect();
        for id in full {
            self.peers.remove(&id);
            events.push(Event::Gone(id));
        }
    }

    fn attend(&mut self, id: u64, events: &mut Vec<Event>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let outcome = peer.attend(&self.secret, |word| events.push(Event::Said(id, word)));
        if outcome.is_err() {
            let known = matches!(peer.state, State::Known { .. });
            self.peers.remove(&id);
            if known {
                events.push(Event::Gone(id));
            }
        }
    }
}

impl Peer {
    /// Reads what has come and sends what waits. An error is the end of the connection.
    fn attend(&mut self, secret: &Secret, mut said: impl FnMut(Word)) -> Result<()> {
        self.flush()?;
        let mut some = [0; 16 << 10];
        // So much at a time, so that one who never stops talking does not keep others waiting.
        for _ in 0..16 {
            match self.stream.read(&mut some) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.input.extend_from_slice(&some[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            self.digest(secret, &mut said)?;
        }
        Ok(())
    }

    fn digest(&mut self, secret: &Secret, said: &mut impl FnMut(Word)) -> Result<()> {
        loop {
            match &mut self.state {
                State::Stranger => {
                    if self.input.len() < GREETING {
                        return Ok(());
                    }
                    let theirs = read_greeting(&self.input[..GREETING]).ok_or(ErrorKind::InvalidData)?;
                    let mine = nonce()?;
                    self.input.drain(..GREETING);
                    self.output.extend(mine);
                    self.output.extend(proof(secret, "host", &theirs, &mine));
                    self.state = State::Greeted(theirs, mine);
                    self.flush()?;
                }
                State::Greeted(theirs, mine) => {
                    if self.input.len() < PROOF {
                        return Ok(());
                    }
                    if !same(&proof(secret, "guest", theirs, mine), &self.input[..PROOF]) {
                        return Err(ErrorKind::PermissionDenied.into());
                    }
                    let session = Session::new(secret, theirs, mine, true);
                    self.input.drain(..PROOF);
                    self.state = State::Known { session, member: false };
                }
                State::Known { session, member } => {
                    let most = if *member { FROM_MEMBER } else { FROM_VIEWER };
                    match session.open(&mut self.input, most)? {
                        Some(word) => said(word),
                        None => return Ok(()),
                    }
                }
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => drop(self.output.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
