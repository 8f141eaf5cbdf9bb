//! The Mpi engine: ranks are processes, and an MPI library carries the messages.
//!
//! All calls of MPI are in this folder, and no others: types, checks of arguments and words of errors are above the
//! waist, in `comm`. Every return code is looked at; MPI's own error handlers are told to return.

mod agree;
mod buffered;
mod collective;
mod constants;
mod count;
mod crowd;
mod detour;
mod diagnose;
mod exchange;
mod family;
mod group;
mod many;
mod matched;
mod operator;
mod overrun;
mod parcel;
mod patience;
mod plan;
mod probe;
mod recv;
mod reduce;
mod request;
mod send;
mod session;
mod status;
mod tag;
mod window;
mod window_faults;
mod work;

use constants::Constants;
use family::Life;
use mpi::ffi;
use status::check;
use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::rc::Rc;

pub(crate) use matched::Matched;
pub(crate) use operator::{UserFunction, user_function};
pub(crate) use request::Request;
pub(crate) use session::{Session, abort, library_version, start, thread_level};
pub(crate) use window::Window;

/// No library sends more bytes at once before it knows that their receive has been posted, unless it was told to.
const EAGER: usize = 64 << 10;

/// A communicator. The fields that every message needs are copied here.
pub(crate) struct Mpi {
    comm: ffi::MPI_Comm,
    /// A duplicate for the framework's own messages; see [`Mpi::private`].
    shadow: ffi::MPI_Comm,
    byte: ffi::MPI_Datatype,
    /// Sends wait for their receive, and collectives compare their signatures.
    checked: bool,
    /// See [`crowd`].
    crowded: bool,
    rank: usize,
    size: usize,
    /// How many nonblocking collectives were started in the checked mode.
    started: Cell<i32>,
    shared: Rc<Shared>,
    life: Rc<Life>,
}

/// What all communicators of a process share.
struct Shared {
    constants: Constants,
    /// See [`send::request_over`].
    over: ffi::MPI_Request,
    checked: bool,
    crowded: bool,
    /// See [`overrun`].
    overruns: bool,
    operators: operator::Operators,
    /// Communicators that were made without their parent's other ranks.
    loners: family::Loners,
    works: work::Pool,
    /// Counts and displacements of a call that blocks.
    ints: RefCell<Vec<c_int>>,
    /// Buffered sends under way.
    kept: buffered::Kept,
    scratch: many::Scratch,
}

impl Mpi {
    /// Takes over a live communicator. Collective over it.
    fn new(shared: Rc<Shared>, comm: ffi::MPI_Comm) -> crate::engine::Outcome<Mpi> {
        let (mut rank, mut size) = (0, 0);
        let mut shadow = shared.constants.comm_null;
        // SAFETY: the communicator is live, and all its ranks come here; the outputs are valid for writes.
        unsafe {
            // Inherited from the parent by the standard; said again because everything here depends on it.
            let code = ffi::MPI_Comm_set_errhandler(comm, shared.constants.errors_return);
            check("MPI_Comm_set_errhandler", code)?;
            check("MPI_Comm_rank", ffi::MPI_Comm_rank(comm, &mut rank))?;
            check("MPI_Comm_size", ffi::MPI_Comm_size(comm, &mut size))?;
            check("MPI_Comm_dup", ffi::MPI_Comm_dup(comm, &mut shadow))?;
        }
        Ok(Mpi {
            comm,
            shadow,
            byte: shared.constants.byte,
            checked: shared.checked,
            crowded: shared.crowded,
            rank: rank as usize,
            size: size as usize,
            started: Cell::new(0),
            life: Rc::new(Life::new(comm, shadow)),
            shared,
        })
    }

    /// See [`Engine::private`](crate::engine::Engine::private). MPI has no contexts but communicators, and making one
    /// is collective, so every communicator has its shadow from the start.
    pub fn private(&self) -> Mpi {
        let null = self.constants().comm_null;
        Mpi {
            comm: self.shadow,
            shadow: self.shadow,
            byte: self.byte,
            checked: self.checked,
            crowded: self.crowded,
            rank: self.rank,
            size: self.size,
            started: Cell::new(0),
            shared: self.shared.clone(),
            life: Rc::new(Life::new(null, null)),
        }
    }

    #[inline]
    pub fn rank(&self) -> usize {
        self.rank
    }

    #[inline]
    pub fn size(&self) -> usize {
        self.size
    }

    pub fn checked(&self) -> bool {
        self.checked
    }

    /// Whether a standard send of so many bytes may wait for its receive, and not only for a slow network.
    #[inline(always)]
    pub fn may_wait(&self, bytes: usize) -> bool {
        self.checked || bytes > EAGER
    }

    /// The name MPI gives the node.
    pub fn node(&self) -> String {
        let capacity = self.shared.constants.max_processor_name;
        // SAFETY: the buffer has the length MPI asks for.
        status::text(capacity, |buffer, len| unsafe { ffi::MPI_Get_processor_name(buffer, len) })
            .unwrap_or_else(|| "unknown".to_string())
    }

    /// The communicator and no hints, for parallel HDF5, which makes its own duplicate.
    #[cfg(feature = "hdf5-parallel")]
    pub fn raw(&self) -> (ffi::MPI_Comm, ffi::MPI_Info) {
        // SAFETY: a constant of the MPI library, set before this communicator was made.
        (self.comm, unsafe { ffi::RSMPI_INFO_NULL })
    }

    #[inline]
    fn constants(&self) -> &Constants {
        &self.shared.constants
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        self.life.end();
    }
}
