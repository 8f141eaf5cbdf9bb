//! Open MPI writes past the end of a buffer that a long message does not fit into.
//!
//! Seen with 4.1.4 and 5.0.11 in plain C: the transfers of its `ob1` layer in which one side reads or writes the other's
//! memory (vader with CMA, self, tcp; `smsc` in 5) move the whole message and report MPI_ERR_TRUNCATE afterwards. Short
//! messages are cut as they should be. So the checked mode turns those transfers off, which costs bandwidth; and
//! otherwise such a receive ends the job, because memory that is not the buffer's may have been overwritten.

use super::{Mpi, library_version, status};
use crate::engine::{Fault, Outcome};
use crate::error::{Error, ErrorKind};
use std::ffi::c_int;

/// Messages of at most this many bytes are copied through the library's own buffers by every transport (`self` has
/// the lowest limit, 1024 with the header).
const SHORT: usize = 960;

/// Transports of Open MPI 4 and 5 that a single parameter keeps from touching the other side's memory.
const TRANSPORTS: [&str; 6] = ["vader", "sm", "self", "tcp", "openib", "ofi"];

/// The flags of a transport that never touches the other side's memory.
const COPIES_ONLY: &str = "send";

/// Open MPI 5 has moved copies straight from one process's memory into another's out of the transports, and flags no
/// longer keep it from them: without any of these components it copies through shared memory.
const SINGLE_COPY: (&str, &str) = ("OMPI_MCA_smsc", "^cma,xpmem,knem");

/// Before MPI is initialised: prepares the library for the mode. Whether it may overrun buffers.
pub(super) fn prepare(checked: bool) -> bool {
    if !library_version().starts_with("Open MPI") {
        return false;
    }
    let mut safe = true;
    let mut ask = |name: &str, wanted: &str, always: bool| match std::env::var_os(name) {
        // What the user or mpirun has set counts.
        Some(value) => safe &= value == wanted,
        // SAFETY: MPI_Init_thread, which comes next, changes the environment in the same way; whoever may call it
        // may call this.
        None if checked || always => unsafe { std::env::set_var(name, wanted) },
        None => safe = false,
    };
    for transport in TRANSPORTS {
        // Messages to oneself are seldom long, so their transport is always made safe.
        ask(&format!("OMPI_MCA_btl_{transport}_flags"), COPIES_ONLY, transport == "self");
    }
    ask(SINGLE_COPY.0, SINGLE_COPY.1, false);
    !safe
}

impl Mpi {
    /// After a truncated receive: does not return if memory beyond the buffer may have been overwritten.
    #[cold]
    pub(super) fn survive_truncation(&self, source: usize, tag: i32, sent: Option<usize>, capacity: usize) {
        if !self.shared.overruns || sent.is_some_and(|sent| sent <= SHORT) {
            return;
        }
        let length = sent.map_or_else(|| "is longer".to_string(), |bytes| format!("has {bytes} bytes"));
        self.give_up(format!(
            "the message from rank {source}, tag {tag}, {length}; the buffer takes {capacity} bytes"
        ))
    }

    /// The return code of a collective. One that received more than this rank gave room for is treated alike.
    #[inline]
    pub(super) fn check_collective(&self, call: &'static str, code: c_int) -> Outcome<()> {
        status::check(call, code).map_err(|fault| self.collective_failed(code, fault))
    }

    #[cold]
    fn collective_failed(&self, code: c_int, fault: Fault) -> Fault {
        let Fault::Library { call, .. } = &fault else { return fault };
        if status::class(code) != self.constants().err_truncate {
            return fault;
        }
        let text = format!("{call} received more than this rank has room for: the ranks' lengths differ");
        if self.shared.overruns {
            self.give_up(text);
        }
        Fault::Mismatch(text + " (run with RANKINE_CHECKED=1 to see where)")
    }

    fn give_up(&self, what: String) -> ! {
        let error = Error::new(
            ErrorKind::Truncated,
            format!("{what}; this MPI library may have written beyond the buffer, so the job cannot go on"),
        )
        .help("run with RANKINE_CHECKED=1 to see the source line; give all of the message room, or use recv_vec");
        crate::launch::bring_down(&error.on_rank(self.rank))
    }
}
