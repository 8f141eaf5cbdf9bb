//! The side that calls: a member of the job, or somebody who wants to see it.

use super::talk::{Order, TO_ANYBODY, Word};
use super::wire::{ANSWER, Secret, Session, greeting, nonce, proof, same};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long a connection and its greeting may take.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) struct Guest {
    stream: TcpStream,
    session: Session,
    input: Vec<u8>,
}

impl Guest {
    /// Calls the first of these addresses where somebody with the secret answers.
    pub fn call(addresses: &[SocketAddr], secret: &Secret) -> Result<Guest> {
        let mut last = Error::new(ErrorKind::AddrNotAvailable, "no address");
        for address in addresses {
            match Guest::call_one(address, secret) {
                Ok(guest) => return Ok(guest),
                Err(error) => last = Error::new(error.kind(), format!("{address}: {error}")),
            }
        }
        Err(last)
    }

    fn call_one(address: &SocketAddr, secret: &Secret) -> Result<Guest> {
        let mut stream = TcpStream::connect_timeout(address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mine = nonce()?;
        stream.write_all(&greeting(&mine))?;
        let mut answer = [0; ANSWER];
        stream.read_exact(&mut answer)?;
        let (theirs, tag) = answer.split_at(32);
        let theirs = theirs.try_into().map_err(Error::other)?;
        if !same(&proof(secret, "host", &mine, &theirs), tag) {
            return Err(Error::new(ErrorKind::PermissionDenied, "who answers there is not of this job"));
        }
        stream.write_all(&proof(secret, "guest", &mine, &theirs))?;
        Ok(Guest { stream, session: Session::new(secret, &mine, &theirs, false), input: Vec::new() })
    }

    pub fn say(&mut self, word: &Word) -> Result<()> {
        let frame = self.session.seal(word)?;
        self.stream.write_all(&frame)
    }

    /// Waits so long for an order, or for a byte from `wake`; `None` if none has come.
    pub fn hear(&mut self, patience: Duration, wake: Option<&UnixStream>) -> Result<Option<Order>> {
        if let Some(order) = self.session.open(&mut self.input, TO_ANYBODY)? {
            return Ok(Some(order));
        }
        let timeout = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: patience.subsec_nanos().into() };
        let mut fds = vec![PollFd::new(&self.stream, PollFlags::IN)];
        fds.extend(wake.map(|wake| PollFd::new(wake, PollFlags::IN)));
        // An interrupted poll is one after which nothing is ready.
        if poll(&mut fds, Some(&timeout)).is_err() || fds[0].revents().is_empty() {
            return Ok(None);
        }
        let mut some = [0; 16 << 10];
        match self.stream.read(&mut some) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                self.input.extend_from_slice(&some[..read]);
                self.session.open(&mut self.input, TO_ANYBODY)
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
