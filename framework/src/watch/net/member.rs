//! The thread of a process that knows one rank: it answers the hub, and calls when its rank is blocked for too long.

use super::super::Settings;
use super::super::board::{Board, Life};
use super::super::clocks::{Clocks, pace};
use super::super::report::doing;
use super::Endpoint;
use super::answer::answer;
use super::guest::Guest;
use super::talk::{Order, Word};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub(crate) struct Member {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    wake: UnixStream,
}

impl Member {
    /// Starts answering for a rank. `told` gets what a person should know if the hub cannot be reached.
    pub fn start(
        board: Arc<Board>,
        node: String,
        settings: Settings,
        hub: Option<Endpoint>,
        told: impl Fn(String) + Send + 'static,
    ) -> std::io::Result<Member> {
        let (wake, woken) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let told_to_stop = stop.clone();
        let body = move || {
            Body { board: [board], node, settings, stop: told_to_stop, woken }.run(hub.as_ref(), &told)
        };
        let thread = std::thread::Builder::new().name("watch".to_string()).spawn(body)?;
        Ok(Member { thread: Some(thread), stop, wake })
    }

    /// Looks at the rank now: it has returned.
    pub fn wake(&self) {
        // A thread that is gone needs no waking.
        let _ = (&self.wake).write_all(&[0]);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// How often a hub that does not answer is called, again after a connection that was lost.
const CALLS: u32 = 5;

struct Body {
    board: [Arc<Board>; 1],
    node: String,
    settings: Settings,
    stop: Arc<AtomicBool>,
    woken: UnixStream,
}

impl Body {
    fn run(&self, hub: Option<&Endpoint>, told: &dyn Fn(String)) {
        let mut clocks = Clocks::new(&self.board);
        let mut why = String::new();
        let Some(hub) = hub else {
            return self.alone(&mut clocks, "it cannot open a socket there", told);
        };
        let (mut call, mut answered) = (0, false);
        while call < CALLS {
            match self.serve(hub, &mut clocks) {
                // The hub is through, or gone, or the connection was cut and can be made again.
                Ok(()) => (call, answered) = (0, true),
                Err(error) => why = error.to_string(),
            }
            std::thread::park_timeout(Duration::from_millis(200 << call));
            if self.stopped() {
                return;
            }
            call += 1;
        }
        // Where there was a hub, the job is about to end.
        if !answered {
            self.alone(&mut clocks, &why, told);
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Answers the hub until the end. An error says that it could not be reached in the first place.
    fn serve(&self, hub: &Endpoint, clocks: &mut Clocks) -> std::io::Result<()> {
        let mut guest = Guest::call(hub.addresses(), &hub.secret())?;
        guest.say(&Word::Here(self.board[0].rank as u32))?;
        let _ = self.talk(&mut guest, clocks);
        Ok(())
    }

    fn talk(&self, guest: &mut Guest, clocks: &mut Clocks) -> std::io::Result<()> {
        // What the hub takes for granted: a short rank may be through before it is heard of.
        let mut told = Life::Running;
        while !self.stopped() {
            let order = guest.hear(pace(self.settings.patience), Some(&self.woken))?;
            // Only a waker writes, and only to wake.
            let _ = (&self.woken).read(&mut [0; 64]);
            if clocks.tick(&self.board, self.settings.patience).blocked {
                guest.say(&Word::Blocked)?;
            }
            if self.board[0].life() != told {
                told = self.board[0].life();
                guest.say(&Word::Ended(told))?;
            }
            if let Some(Order::Answer(number, question)) = order {
                let reply = answer(&self.board[0], &self.node, clocks, question);
                guest.say(&Word::Reply(number, reply))?;
            }
        }
        Ok(())
    }

    /// Without a hub: says once if its rank is blocked for long.
    fn alone(&self, clocks: &mut Clocks, why: &str, told: &dyn Fn(String)) {
        loop {
            std::thread::park_timeout(pace(self.settings.patience));
            if self.stopped() {
                return;
            }
            if clocks.tick(&self.board, self.settings.patience).blocked {
                let look = self.board[0].look(clocks.since(&self.board[0], Instant::now()));
                let place = look.call.as_ref().map_or("", |call| &call.place);
                let (rank, since) = (self.board[0].rank, look.since.as_secs_f64());
                return told(format!(
                    "rank {rank} has been blocked for {since:.1} s in {} ({place})\n  the watch cannot reach rank 0 to find out why: {why}",
                    doing(&look)
                ));
            }
        }
    }
}
