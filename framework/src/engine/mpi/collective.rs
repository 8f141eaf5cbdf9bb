//! Collectives that move data and compute nothing: barrier, bcast, gather, allgather.
//!
//! Reductions are in `reduce`.

use super::Mpi;
use super::count::{BLOCK, Extent, pieces};
use crate::comm::element::Kind;
use crate::engine::{Outcome, Place};
use mpi::ffi;
use std::ffi::{c_int, c_void};
use std::ptr;

/// Two addresses for buffers without contents: Rust's own is 1 for bytes, which is Open MPI's MPI_IN_PLACE, and null
/// for both would look like one buffer given twice.
static NOTHING: [u8; 2] = [0; 2];

/// The address of a buffer that a collective reads.
#[inline]
pub(super) fn read(data: &[u8]) -> *const c_void {
    if data.is_empty() { (&raw const NOTHING[0]).cast() } else { data.as_ptr().cast() }
}

/// The address of a buffer that a collective writes; nothing is written to one without contents.
#[inline]
pub(super) fn write(data: &mut [u8]) -> *mut c_void {
    if data.is_empty() { (&raw const NOTHING[1]).cast_mut().cast() } else { data.as_mut_ptr().cast() }
}

impl Mpi {
    /// # Safety
    /// As [`Engine::collective`](crate::engine::Engine::collective).
    pub unsafe fn collective(&self, part: &crate::engine::Collective<'_>, _place: Place) -> Outcome<()> {
        Err(crate::engine::Fault::Library { call: part.call.name(), text: "not built yet".to_string() })
    }

    /// # Safety
    /// As [`Engine::start`](crate::engine::Engine::start).
    pub unsafe fn start(
        &self,
        part: &crate::engine::Collective<'_>,
        _place: Place,
    ) -> Outcome<super::Request> {
        Err(crate::engine::Fault::Library { call: part.call.name(), text: "not built yet".to_string() })
    }

    pub fn barrier(&self, place: Place) -> Outcome<()> {
        self.agree("barrier", None, None, None, place)?;
        // SAFETY: the communicator is live.
        self.check_collective("MPI_Barrier", unsafe { ffi::MPI_Barrier(self.comm) })
    }

    pub fn bcast(&self, data: &mut [u8], kind: Kind, root: usize, place: Place) -> Outcome<()> {
        self.agree("bcast", Some(root), Some((data.len(), kind)), None, place)?;
        for range in pieces(data.len(), BLOCK) {
            let part = &mut data[range];
            let count = part.len() as c_int;
            // SAFETY: `part` is valid for reads and writes of `count` bytes.
            self.check_collective("MPI_Bcast", unsafe {
                ffi::MPI_Bcast(write(part), count, self.byte, root as c_int, self.comm)
            })?;
        }
        Ok(())
    }

    pub fn gather(
        &self,
        send: &[u8],
        recv: Option<&mut [u8]>,
        kind: Kind,
        root: usize,
        place: Place,
    ) -> Outcome<()> {
        self.agree("gather", Some(root), Some((send.len(), kind)), None, place)?;
        let Extent { count, datatype, .. } = &Extent::of(send.len(), self.byte)?;
        let recv = recv.map_or(ptr::null_mut(), write);
        // SAFETY: `send` is valid for reads of what the extent describes; on the root `recv` is valid for writes of
        // `size` times as much, elsewhere MPI ignores it.
        self.check_collective("MPI_Gather", unsafe {
            ffi::MPI_Gather(read(send), *count, *datatype, recv, *count, *datatype, root as c_int, self.comm)
        })
    }

    pub fn allgather(&self, send: &[u8], recv: &mut [u8], kind: Kind, place: Place) -> Outcome<()> {
        self.agree("allgather", None, Some((send.len(), kind)), None, place)?;
        let Extent { count, datatype, .. } = &Extent::of(send.len(), self.byte)?;
        // SAFETY: `send` is valid for reads of what the extent describes, `recv` for writes of `size` times as much.
        self.check_collective("MPI_Allgather", unsafe {
            ffi::MPI_Allgather(read(send), *count, *datatype, write(recv), *count, *datatype, self.comm)
        })
    }
}
