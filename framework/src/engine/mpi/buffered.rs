//! Buffered sends: a copy and a nonblocking send of it, so there is no buffer to attach and none to run out of.
//!
//! The copies are kept until MPI has sent them; later buffered sends free them, and the end of the job waits for the
//! rest, as long as there is anybody who might receive them.

use super::Mpi;
use super::count::Extent;
use super::status::{blank, check};
use crate::engine::Outcome;
use mpi::ffi;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::c_int;
use std::mem::ManuallyDrop;
use std::time::{Duration, Instant};

/// How many of the copies one call looks at: more than it adds, so they do not pile up.
const LOOKS: usize = 4;

/// How long copies have to arrive once every rank is at its end.
const GRACE: Duration = Duration::from_secs(1);

/// A copy under way. MPI may read it, so it leaks unless its send is known to be complete.
struct Copy {
    raw: ffi::MPI_Request,
    data: ManuallyDrop<Vec<u8>>,
}

impl Copy {
    fn free(self) {
        drop(ManuallyDrop::into_inner(self.data));
    }
}

#[derive(Default)]
pub(super) struct Kept(RefCell<VecDeque<Copy>>);

impl Kept {
    /// Frees some of the copies that have been sent.
    fn reap(&self) -> Outcome<()> {
        let mut kept = self.0.borrow_mut();
        for _ in 0..LOOKS.min(kept.len()) {
            let Some(mut copy) = kept.pop_front() else { break };
            let (mut status, mut flag) = (blank(), 0);
            // SAFETY: the request is of MPI_Isend or MPI_Issend and not complete.
            let code = unsafe { ffi::MPI_Test(&mut copy.raw, &mut flag, &mut status) };
            // A send that failed is over too; what MPI still does with its copy then, nobody knows.
            check("MPI_Test", code)?;
            if flag != 0 {
                copy.free();
            } else {
                kept.push_back(copy);
            }
        }
        Ok(())
    }

    /// Waits until all copies have been sent. Once every rank is here, what nobody has received nobody will: it gets a
    /// while to arrive, and then it is given up. Collective over `comm`.
    pub fn complete(&self, comm: ffi::MPI_Comm, null: ffi::MPI_Request) -> Outcome<()> {
        let (mut raw, mut everybody) = (null, 0);
        // SAFETY: the communicator is live, and all its ranks come here.
        check("MPI_Ibarrier", unsafe { ffi::MPI_Ibarrier(comm, &mut raw) })?;
        let mut over: Option<Instant> = None;
        loop {
            if everybody == 0 {
                let mut status = blank();
                // SAFETY: the request is the barrier's, and not complete.
                check("MPI_Test", unsafe { ffi::MPI_Test(&mut raw, &mut everybody, &mut status) })?;
            } else if self.0.borrow().is_empty() || over.get_or_insert_with(Instant::now).elapsed() > GRACE {
                return Ok(());
            }
            self.reap()?;
            std::thread::yield_now();
        }
    }
}

impl Mpi {
    /// Sends a copy of `data`, without waiting; the tag is MPI's.
    pub(super) fn send_copy(&self, data: &[u8], tag: c_int, dest: usize) -> Outcome<()> {
        self.shared.kept.reap()?;
        let extent = Extent::of(data.len(), self.byte)?;
        let mut copy = Copy { raw: self.constants().request_null, data: ManuallyDrop::new(data.to_vec()) };
        let (buffer, to) = (copy.data.as_ptr().cast(), dest as c_int);
        // To oneself in the synchronous mode, as in `isend`.
        let (call, code) = if dest == self.rank {
            // SAFETY: the copy stays where it is until the request is complete.
            ("MPI_Issend", unsafe {
                ffi::MPI_Issend(buffer, extent.count, extent.datatype, to, tag, self.comm, &mut copy.raw)
            })
        } else {
            // SAFETY: as above.
            ("MPI_Isend", unsafe {
                ffi::MPI_Isend(buffer, extent.count, extent.datatype, to, tag, self.comm, &mut copy.raw)
            })
        };
        check(call, code)?;
        self.shared.kept.0.borrow_mut().push_back(copy);
        Ok(())
    }
}
