//! More ranks than cores: who waits must give its core away, or whom it waits for does not run.
//!
//! Open MPI does so by itself where its launcher knows. MPICH does not: a call that blocks keeps its core until the system takes
//! it, milliseconds later. On a crowded node blocking calls are therefore started and looked at, with the core given away in
//! between (`Mpi::at_once`, `Mpi::complete`, `Mpi::send`, [`Mpi::tight`]).

use super::patience::TIGHT;
use super::status::check;
use super::{Constants, Mpi, library_version};
use crate::comm::element::Scalar;
use crate::comm::op::Builtin;
use crate::engine::Outcome;
use mpi::ffi;
use rustix::thread::{CpuSet, sched_getaffinity};
use std::ffi::c_int;

/// Polls before the first look up where cores are shared.
const FEW: u32 = 16;

/// The cores of a node that are told apart.
const CORES: usize = 1024;

/// Whether some node of the job has more ranks than cores that they may use, and the library needs help with it. The same on all
/// ranks, since a blocking collective of one does not meet a nonblocking one of another. Collective over `world`.
pub(super) fn is_crowded(constants: &Constants, world: ffi::MPI_Comm) -> Outcome<bool> {
    if library_version().starts_with("Open MPI") {
        return Ok(false);
    }
    let (mut node, mut ranks) = (constants.comm_null, 0);
    let mut cores = own_cores();
    let words = cores.len() as c_int;
    // SAFETY: the communicators are live, and all their ranks come here; the words are valid for reads and writes.
    unsafe {
        let kind = constants.comm_type_shared;
        let code = ffi::MPI_Comm_split_type(world, kind, 0, ffi::RSMPI_INFO_NULL, &mut node);
        check("MPI_Comm_split_type", code)?;
        check("MPI_Comm_size", ffi::MPI_Comm_size(node, &mut ranks))?;
        let (bits, op) = (constants.datatype(Scalar::U64), constants.op(Builtin::BitOr));
        let into = cores.as_mut_ptr().cast();
        check("MPI_Allreduce", ffi::MPI_Allreduce(constants.in_place, into, words, bits, op, node))?;
        check("MPI_Comm_free", ffi::MPI_Comm_free(&mut node))?;
    }
    let all: u32 = cores.iter().map(|word| word.count_ones()).sum();
    let mut crowded = i64::from(all > 0 && ranks as u32 > all);
    // SAFETY: as above, of one word.
    check("MPI_Allreduce", unsafe {
        let (word, max) = ((&raw mut crowded).cast(), constants.op(Builtin::Max));
        ffi::MPI_Allreduce(constants.in_place, word, 1, constants.datatype(Scalar::I64), max, world)
    })?;
    Ok(crowded != 0)
}

/// The cores that this process may use, a bit for each; none if the system does not say.
fn own_cores() -> [u64; CORES / 64] {
    let mut cores = [0; CORES / 64];
    let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    for core in (0..CORES.min(CpuSet::MAX_CPU)).filter(|&core| set.is_set(core)) {
        cores[core / 64] |= 1 << (core % 64);
    }
    cores
}

impl Mpi {
    /// Polls before a waiting call looks up for the first time.
    #[inline(always)]
    pub(super) fn tight(&self) -> u32 {
        if self.crowded { FEW } else { TIGHT }
    }
}
