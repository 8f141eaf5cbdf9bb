//! What ranks say to each other here, with a deadline for every answer: nothing waits for a rank that is out of reach.

use rankine::{Comm, Error, ErrorKind, OwnedSend, Result, Test};
use serde::{Serialize, de::DeserializeOwned};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// A communicator whose messages nobody waits for without end.
pub struct Line {
    pub world: Comm,
    /// Sends that were not complete when they were looked at.
    under_way: RefCell<Vec<OwnedSend<u8>>>,
}

impl Line {
    pub fn new(world: Comm) -> Line {
        Line { world, under_way: RefCell::default() }
    }

    /// Starts a message and goes on.
    pub fn send<T: Serialize>(&self, value: &T, to: usize, tag: i32) -> Result<()> {
        let bytes = serde_json::to_vec(value).map_err(|error| unreadable(&error))?;
        let sent = self.world.isend_owned(bytes, to, tag)?;
        self.under_way.borrow_mut().push(sent);
        self.settle()
    }

    /// Looks after the messages under way.
    fn settle(&self) -> Result<()> {
        let sends = std::mem::take(&mut *self.under_way.borrow_mut());
        for send in sends {
            if let Test::Pending(send) = send.test()? {
                self.under_way.borrow_mut().push(send);
            }
        }
        Ok(())
    }

    /// Whether all that was sent is on its way, at the latest after so long.
    pub fn settled(&self, patience: Duration) -> Result<bool> {
        let deadline = Instant::now() + patience;
        loop {
            self.settle()?;
            if self.under_way.borrow().is_empty() {
                return Ok(true);
            }
            if Instant::now() > deadline {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The next message from a rank with a tag; none if it does not come in time.
    pub fn recv<T: DeserializeOwned>(&self, from: usize, tag: i32, deadline: Instant) -> Result<Option<T>> {
        let mut pause = Duration::from_micros(20);
        loop {
            self.settle()?;
            if self.world.iprobe::<u8>(from, tag)?.is_some() {
                let (bytes, _) = self.world.recv_vec::<u8>(from, tag)?;
                return serde_json::from_slice(&bytes).map(Some).map_err(|error| unreadable(&error));
            }
            if Instant::now() > deadline {
                return Ok(None);
            }
            // There may be more ranks than cores, and others measure.
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(1));
        }
    }
}

fn unreadable(error: &serde_json::Error) -> Error {
    Error::new(ErrorKind::Engine, format!("ranks do not understand each other: {error}"))
        .help("start the same binary on all nodes")
}
