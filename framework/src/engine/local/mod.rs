//! The Local engine: ranks are threads of one process.
//!
//! A small message is one cache line in a ring; a larger one is copied once, straight from the sender's buffer into
//! the receiver's, by whichever side comes second; a vector sent by value is moved. In collectives ranks show each
//! other their parts and work in each other's buffers. README.md beside this file explains the protocol. Nothing here
//! knows of MPI.

mod asymmetric;
mod collective;
mod explored;
mod forming;
mod gate;
mod inbox;
mod letter;
mod matched;
mod p2p;
mod parker;
mod queue;
mod request;
mod ring;
#[cfg(test)]
mod ring_tests;
mod spares;
mod sync;
mod turns;
mod window;

pub(crate) use matched::Matched;
pub(crate) use request::Request;
pub(crate) use turns::{Act, Alternative, Decide, Stop, Turns};
pub(crate) use window::Window;

use collective::Meeting;
use inbox::{Inbox, Link};
use ring::Ring;
use spares::Spares;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use turns::Look;

/// All ranks of a job that runs on threads.
pub(crate) struct World {
    size: usize,
    inboxes: Box<[Inbox]>,
    /// The ring from rank s to rank d at `d * size + s`, made when one of the two first needs it.
    links: Box<[OnceLock<Link>]>,
    /// Letters a ring holds.
    ring_slots: usize,
    checked: bool,
    /// Every rank has a core.
    spread: bool,
    patience: Patience,
    aborted: AtomicBool,
    contexts: AtomicU32,
    forming: forming::Forming,
    everyone: Arc<Group>,
    /// If its orders are explored.
    turns: Option<Turns>,
}

/// How long a waiting rank keeps its core before it gives way, and before it sleeps.
#[derive(Clone, Copy)]
struct Patience {
    spins: u32,
    yields: u32,
    /// Looks after each time that it has given way.
    between: u32,
}

impl Patience {
    /// With a core for each rank, whoever waits may as well watch; but a core may have to be shared with somebody else's
    /// process, or with the very rank that is waited for, until the system moves one of them.
    const SPREAD: Patience = Patience { spins: 2_000, yields: 500, between: 64 };
    /// With fewer cores than ranks, whoever waits stands in the others' way.
    const CROWDED: Patience = Patience { spins: 40, yields: 20, between: 0 };
    /// Where ranks take turns, nothing that one waits for comes while it watches.
    const NONE: Patience = Patience { spins: 0, yields: 0, between: 0 };
}

/// The ranks of a communicator and where they meet; shared by all of them.
struct Group {
    context: u32,
    /// Communicator rank to world rank.
    members: Box<[u32]>,
    meeting: Meeting,
}

/// Whether a context is an author's: the framework's own are the odd ones.
fn is_authors(context: u32) -> bool {
    context.is_multiple_of(2)
}

/// One rank's handle of a communicator.
pub(crate) struct Local {
    world: Arc<World>,
    group: Arc<Group>,
    /// The group's context, or the one above it: the framework's own.
    context: u32,
    /// In the communicator.
    rank: usize,
    /// In the world.
    me: usize,
    /// This rank's, whatever the communicator.
    spares: Rc<Spares>,
}

/// The name of this machine.
pub(crate) fn node() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

impl World {
    pub fn new(size: usize, threads: usize, checked: bool) -> Arc<World> {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let spread = size * threads <= cores;
        let patience = if spread { Patience::SPREAD } else { Patience::CROWDED };
        World::with(size, checked, spread, patience, None)
    }

    /// One whose ranks take turns. Each says at its end that it [`World::leave`]s.
    pub fn in_turns(size: usize, checked: bool, decide: Box<dyn Decide>) -> Arc<World> {
        World::with(size, checked, false, Patience::NONE, Some(Turns::new(size, decide)))
    }

    fn with(
        size: usize,
        checked: bool,
        spread: bool,
        patience: Patience,
        turns: Option<Turns>,
    ) -> Arc<World> {
        asymmetric::prepare_fences();
        let members: Box<[u32]> = (0..size as u32).collect();
        Arc::new(World {
            size,
            inboxes: (0..size).map(|_| Inbox::new()).collect(),
            links: (0..size * size).map(|_| OnceLock::new()).collect(),
            ring_slots: (4096 / size).clamp(4, 64).next_power_of_two(),
            checked,
            patience,
            aborted: AtomicBool::new(false),
            contexts: AtomicU32::new(2),
            forming: Default::default(),
            spread,
            everyone: Arc::new(Group { context: 0, meeting: Meeting::new(size, spread), members }),
            turns,
        })
    }

    /// The current thread is rank `me` from now on.
    pub fn enter(&self, me: usize) {
        self.inboxes[me].parker.enter();
        if let Some(turns) = &self.turns {
            turns.enter(me);
        }
    }

    /// The current thread is through with rank `me`, whether or not it ever was that.
    pub fn leave(&self, me: usize) {
        if let Some(turns) = &self.turns {
            turns.leave(me);
        }
    }

    /// The job is going down: every waiting call ends with `Aborted`.
    pub fn abort(&self) {
        self.aborted.store(true, Ordering::SeqCst);
        for inbox in &self.inboxes {
            inbox.parker.wake();
        }
        if let Some(turns) = &self.turns {
            turns.end();
        }
    }

    fn aborted(&self) -> bool {
        self.aborted.load(Ordering::Acquire)
    }

    #[inline(always)]
    fn wake(&self, rank: usize) {
        self.inboxes[rank].parker.wake();
    }

    /// The ring from `source` to `dest`, world ranks.
    #[inline]
    fn link(&self, dest: usize, source: usize) -> &Link {
        let slot = &self.links[dest * self.size + source];
        match slot.get() {
            Some(link) => link,
            None => self.make_link(slot, dest),
        }
    }

    #[cold]
    fn make_link<'w>(&self, slot: &'w OnceLock<Link>, dest: usize) -> &'w Link {
        slot.get_or_init(|| {
            let link: Link = Arc::new(Ring::new(self.ring_slots));
            self.inboxes[dest].lock().add_link(link.clone());
            link
        })
    }

    /// Where `size` ranks of this world can meet.
    fn meeting(&self, size: usize) -> Meeting {
        Meeting::new(size, self.spread)
    }

    /// The first of two contexts: the author's and the framework's own.
    fn new_context(&self) -> u32 {
        self.contexts.fetch_add(2, Ordering::Relaxed)
    }

    /// Blocks rank `me` until `ready`: watches, gives way, sleeps.
    #[inline]
    fn wait(&self, me: usize, mut ready: impl FnMut() -> bool) -> crate::engine::Outcome<()> {
        self.wait_looking(me, |_| ready())
    }

    /// As [`World::wait`], where `ready` is told which look it is: what may be missed at a glance must not be missed at the
    /// last look.
    #[inline]
    fn wait_looking(&self, me: usize, mut ready: impl FnMut(Glance) -> bool) -> crate::engine::Outcome<()> {
        for spin in 0..self.patience.spins {
            if ready(Glance::Passing) {
                return Ok(());
            }
            // A pause costs some of the first nanoseconds, where most waits end.
            if spin > 200 {
                std::hint::spin_loop();
            }
        }
        self.wait_long(me, &mut ready)
    }

    #[cold]
    fn wait_long(&self, me: usize, ready: &mut dyn FnMut(Glance) -> bool) -> crate::engine::Outcome<()> {
        if let Some(turns) = &self.turns {
            let mut look = || if ready(Glance::Last) { Look::Go } else { Look::Blocked };
            return self.in_turn(turns, me, &mut look).map(drop);
        }
        let mut yields = 0;
        loop {
            if ready(Glance::Passing) {
                return Ok(());
            }
            if self.aborted() {
                // Whoever let us go on may have left the job since the look above: what is complete does not fail.
                return if ready(Glance::Last) { Ok(()) } else { Err(crate::engine::Fault::Aborted) };
            }
            if yields < self.patience.yields {
                yields += 1;
                std::thread::yield_now();
                for _ in 0..self.patience.between {
                    if ready(Glance::Passing) {
                        return Ok(());
                    }
                    std::hint::spin_loop();
                }
            } else {
                self.inboxes[me].parker.park(|| ready(Glance::Last) || self.aborted());
            }
        }
    }
}

/// How closely a rank looks whether it can go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Glance {
    /// It will look again.
    Passing,
    /// It goes to sleep if it finds nothing.
    Last,
}

impl Local {
    /// The communicator of all ranks, for rank `me`.
    pub fn world(world: &Arc<World>, me: usize) -> Local {
        let group = world.everyone.clone();
        Local { world: world.clone(), context: group.context, group, rank: me, me, spares: Rc::default() }
    }

    /// See [`Engine::private`](crate::engine::Engine::private).
    pub fn private(&self) -> Local {
        Local {
            world: self.world.clone(),
            group: self.group.clone(),
            context: self.group.context + 1,
            rank: self.rank,
            me: self.me,
            spares: self.spares.clone(),
        }
    }

    pub fn rank(&self) -> usize {
        self.rank
    }

    pub fn size(&self) -> usize {
        self.group.members.len()
    }

    pub fn node(&self) -> String {
        node()
    }

    pub fn checked(&self) -> bool {
        self.world.checked
    }

    /// Whether its orders are explored.
    #[inline(always)]
    pub fn is_explored(&self) -> bool {
        self.world.turns.is_some()
    }

    /// Whether its calls are an author's, not the framework's own.
    fn is_authors(&self) -> bool {
        is_authors(self.context)
    }

    /// Whether a standard send of so many bytes may wait for its receive.
    #[inline(always)]
    pub fn may_wait(&self, bytes: usize) -> bool {
        self.world.checked || bytes > p2p::BUFFERED
    }

    /// Whether a vector sent by value, of so many bytes, may wait for its receive.
    #[inline(always)]
    pub fn may_wait_with_parcel(&self, _bytes: usize) -> bool {
        self.world.checked
    }

    #[inline(always)]
    fn world_rank(&self, rank: usize) -> usize {
        self.group.members[rank] as usize
    }

    fn inbox(&self) -> &Inbox {
        &self.world.inboxes[self.me]
    }
}
