//! The side that calls: a member of the job, or somebody who wants to see it.

use super::talk::{Order, TO_ANYBODY, Word};
use super::wire::{ANSWER, Secret, Session, greeting, nonce, proof, same};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
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

    /// Waits so long for an order; `None` if none has come.
    pub fn hear(&mut self, patience: Duration) -> Result<Option<Order>> {
        if let Some(order) = self.session.open(&mut self.input, TO_ANYBODY)? {
            return Ok(Some(order));
        }
        self.stream.set_read_timeout(Some(patience.max(Duration::from_millis(1))))?;
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

    #[cfg(feature = "mpi")]
    /// Another handle of the connection, to end it from another thread.
    pub fn handle(&self) -> Result<TcpStream> {
        self.stream.try_clone()
    }
}
