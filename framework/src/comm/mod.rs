//! `Comm`: the ranks that talk, and every call they make to each other.
//!
//! This folder is typed and checked: lengths, ranks and tags are looked at here, and errors get their rank and
//! place here. It knows nothing of threads or MPI; that is below the waist, in `engine`.

mod alltoallv_grid;
pub(crate) mod backstage;
mod buckets;
mod cartesian;
mod collective;
mod create;
mod dims;
pub(crate) mod element;
mod graph;
mod group;
pub(crate) mod many;
mod matched;
mod modes;
mod neighbor;
mod neighbor_nonblocking;
mod neighbor_plan;
mod neighbor_shape;
mod notes;
pub(crate) mod op;
mod p2p;
pub(crate) mod plan;
mod reproducible;
mod request;
mod scope;
mod shorthand;
mod sparse;
mod topology;
mod value;
mod view;
mod watched;
pub mod window;

pub use buckets::Buckets;
pub use cartesian::Cart;
pub use collective::{Blocks, CollectivePlan, OwnedCollective, Vectors};
pub use dims::dims_create;
pub use element::{Element, Kind, Scalar};
pub use graph::Graph;
pub use group::{Comparison, Group, RankRange};
pub use many::{Pending, Requests, wait_all};
pub use matched::{Message, VecRecv};
pub use neighbor_plan::NeighborPlan;
pub use op::{Bits, Builtin, Number, Op, Ordered};
pub use p2p::{ANY_SOURCE, ANY_TAG, Source, Status, TAG_MAX, Tag};
pub use plan::{Plan, RecvPlan, SendPlan, finish_all, start_all};
pub use request::{Buffer, Cancel, OwnedRecv, OwnedSend, Request, Test};
pub use scope::Scope;
pub use topology::Topology;
pub use value::{ValueRecv, ValueSend};
pub use view::{Alltoallw, ViewRecv, ViewSend};
pub use window::{SharedWindow, Window};

use crate::engine::{Engine, Fault, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::timing::Clock;
use crate::watch::{Members, Watch};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// A group of ranks that can send to each other; MPI's communicator.
///
/// A `Comm` belongs to the thread of its rank: it is neither `Send` nor `Sync`, so calling it from inside a rayon
/// closure does not compile. When it is dropped its context ends; that is a local act on both engines.
///
/// ```compile_fail
/// use rayon::prelude::*;
/// rankine::testing::ranks([2], |world| {
///     (0..4).into_par_iter().for_each(|_| world.barrier().unwrap());
///     Ok(())
/// });
/// ```
///
/// Nor does using one that is gone:
///
/// ```compile_fail,E0382
/// rankine::testing::ranks([1], |world| {
///     let twin = world.dup()?;
///     drop(twin);
///     twin.barrier()
/// });
/// ```
pub struct Comm {
    pub(crate) inner: Rc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    /// The same ranks, for messages that the framework sends on its own account.
    pub(crate) private: Rc<Engine>,
    pub(crate) rank: usize,
    pub(crate) size: usize,
    /// One a rank, shared by all its communicators.
    pub(crate) clock: Rc<Clock>,
    /// One a rank, too.
    pub(crate) watch: Rc<Watch>,
    /// Where the watch has this communicator.
    pub(crate) context: u32,
    /// The same on all of its ranks, and another one for every communicator.
    id: u64,
    /// How many communicators all ranks have made of this one together.
    children: Cell<u64>,
    /// How often a group of its ranks has made one, by what they have in common.
    groups: RefCell<Vec<(u64, u64)>>,
    /// For the scopes to come.
    tables: scope::Spares,
    notes: notes::Notes,
    /// For the collectives with counts.
    pub(crate) scratch: RefCell<collective::Scratch>,
    backstage: backstage::Backstage,
    /// How many receives with a wildcard are open.
    wild: Cell<u32>,
}

impl Comm {
    /// The communicator of all ranks.
    pub(crate) fn world(engine: Engine, clock: Rc<Clock>, watch: Rc<Watch>) -> Comm {
        let members = Members::Same(engine.size() as u32);
        let context = watch.board().add_context(WORLD, members, None);
        Comm::new(engine, clock, watch, context, WORLD)
    }

    pub(crate) fn new(engine: Engine, clock: Rc<Clock>, watch: Rc<Watch>, context: u32, id: u64) -> Comm {
        let private = engine.private();
        Comm::of(engine, private, clock, watch, context, id)
    }

    fn of(
        engine: Engine,
        private: Engine,
        clock: Rc<Clock>,
        watch: Rc<Watch>,
        context: u32,
        id: u64,
    ) -> Comm {
        Comm {
            inner: Rc::new(Inner {
                rank: engine.rank(),
                size: engine.size(),
                engine,
                private: Rc::new(private),
                clock,
                watch,
                context,
                id,
                children: Cell::new(0),
                groups: RefCell::default(),
                tables: Default::default(),
                notes: Default::default(),
                scratch: RefCell::default(),
                backstage: Default::default(),
                wild: Cell::default(),
            }),
        }
    }

    /// This rank's number in the communicator, from 0. Local.
    pub fn rank(&self) -> usize {
        self.inner.rank
    }

    /// How many ranks the communicator has. Local.
    pub fn size(&self) -> usize {
        self.inner.size
    }

    /// The engine that carries the messages: `"local"` (ranks are threads) or `"mpi"`. For reports only.
    pub fn engine_name(&self) -> &'static str {
        self.inner.engine.name()
    }

    /// The name of the node this rank runs on. Local.
    pub fn node(&self) -> String {
        self.inner.engine.node()
    }

    /// Where this rank's time went; see [`Clock`]. Local.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Agrees on success: if any rank brings an error, every rank gets one, and only the lowest of those ranks
    /// keeps its own words; the others get [`ErrorKind::Elsewhere`], which nobody prints. Collective.
    ///
    /// Use it after work that may fail on one rank and not on another, before the next communication:
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let mine = if world.rank() == 0 { Err(rankine::Error::usage("no such file")) } else { Ok(()) };
    ///     let agreed = world.agree(mine).unwrap_err();
    ///     assert_eq!(agreed.kind() == rankine::ErrorKind::Usage, world.rank() == 0);
    ///     Ok(())
    /// });
    /// ```
    #[track_caller]
    pub fn agree<T>(&self, mine: Result<T>) -> Result<T> {
        // A consequence that an earlier agreement left here must not outrank its cause on a higher rank.
        let failed = match &mine {
            Ok(_) => usize::MAX,
            Err(error) if error.kind() == ErrorKind::Elsewhere => self.size(),
            Err(_) => self.rank(),
        };
        let first = match self.allreduce(failed, crate::op::Min) {
            Ok(first) => first,
            // Another rank that has failed too has heard of it already, and the job goes down: whoever has a cause tells it.
            Err(stopped) => {
                return Err(mine
                    .err()
                    .filter(|_| failed < self.size())
                    .map_or(stopped, |error| error.on_rank(failed)));
            }
        };
        match mine {
            value if first == usize::MAX => value,
            Err(error) if first == self.rank() => Err(error.on_rank(self.rank())),
            Err(error) if first == self.size() => Err(error),
            _ if first == self.size() => Err(Error::new(ErrorKind::Elsewhere, "another rank failed")),
            _ => Err(Error::new(ErrorKind::Elsewhere, format!("rank {first} failed")).on_rank(first)),
        }
    }

    #[cold]
    pub(crate) fn usage(&self, call: &str, place: Place, what: String, help: &str) -> Error {
        let call = self.spoken(call);
        Error::usage(format!("{call}: {what}")).help(help).on_rank(self.rank()).at(place)
    }

    /// Gives an engine's fault its words. `element` is the receiver's element name and size.
    #[cold]
    pub(crate) fn fault(&self, call: &str, place: Place, fault: Fault, element: (&str, usize)) -> Error {
        self.fault_in(self.inner.context, call, place, fault, element)
    }

    /// As [`Comm::fault`], of a call of a communicator or window that the watch has there.
    #[cold]
    pub(crate) fn fault_in(
        &self,
        context: u32,
        call: &str,
        place: Place,
        fault: Fault,
        element: (&str, usize),
    ) -> Error {
        let watch = &self.inner.watch;
        let sent_at = |source, tag| {
            let known = watch.sent_at(context, source, self.rank(), tag);
            known.map(|words| format!(", {words}")).unwrap_or_default()
        };
        let (name, size) = (element.0, element.1.max(1));
        let call = &*self.spoken(call);
        let error = match fault {
            Fault::Truncated { source, tag, sent, capacity } => {
                let sent = match sent {
                    Some(bytes) => format!("has {} elements", bytes / size),
                    None => "is longer".to_string(),
                };
                Error::new(
                    ErrorKind::Truncated,
                    format!(
                        "{call}: the message from rank {source}, tag {tag}{}, {sent}; the buffer takes {} {name}",
                        sent_at(source, tag),
                        capacity / size
                    ),
                )
                .help("give a larger buffer, or recv_vec where the length is not known")
            }
            Fault::WrongKind { source, tag, sent } => Error::new(
                ErrorKind::TypeMismatch,
                format!(
                    "{call}: the message from rank {source}, tag {tag}{}, is of {}; this receive is of {name}",
                    sent_at(source, tag),
                    Kind::name_of(sent)
                ),
            )
            .help("send and receive the same element type"),
            Fault::NotReady => {
                Error::new(ErrorKind::Mismatch, format!("{call}: no receive has been posted for it"))
                    .help("post the receive and let the sender know, or use send")
            }
            Fault::Mismatch(text) => {
                let before =
                    watch.call_before(context, place).map(|words| format!("; {words}")).unwrap_or_default();
                Error::new(ErrorKind::Mismatch, format!("{call}: {text}")).help(format!(
                    "every rank of the communicator must make the same collective calls in the same order{before}"
                ))
            }
            Fault::Aborted => {
                return Error::new(ErrorKind::Elsewhere, format!("{call}: the job is going down")).at(place);
            }
            Fault::Library { call: library, text } => {
                Error::new(ErrorKind::Engine, format!("{call}: {library} failed: {text}"))
            }
        };
        error.on_rank(self.rank()).at(place)
    }
}

/// The number of the communicator of all ranks.
const WORLD: u64 = 1;

impl Inner {
    /// The world ranks of its members, for the watch.
    fn members(&self) -> Members {
        match self.watch.board().context_members(self.context) {
            Some(members) => members,
            None => Members::Same(self.size as u32),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.watch.board().end_context(self.context);
    }
}

impl std::fmt::Debug for Comm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Comm(rank {} of {}, {})", self.rank(), self.size(), self.engine_name())
    }
}
