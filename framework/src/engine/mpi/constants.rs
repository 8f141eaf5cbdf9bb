//! What the MPI library calls its constants: read once through the C shim, then plain fields.
//!
//! bindgen cannot see most of them, because they are macros with casts. No calls that communicate are here.

use crate::comm::element::Scalar;
use crate::comm::op::Builtin;
use mpi::ffi;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;

/// The field order is that of `struct rankine_constants` in `shim.c`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Constants {
    pub comm_world: ffi::MPI_Comm,
    pub comm_self: ffi::MPI_Comm,
    pub comm_null: ffi::MPI_Comm,
    pub errors_return: ffi::MPI_Errhandler,
    pub request_null: ffi::MPI_Request,
    pub byte: ffi::MPI_Datatype,
    scalars: [ffi::MPI_Datatype; 14],
    ops: [ffi::MPI_Op; 10],
    pub replace: ffi::MPI_Op,
    pub no_op: ffi::MPI_Op,
    pub info_null: ffi::MPI_Info,
    pub win_null: ffi::MPI_Win,
    pub in_place: *mut c_void,
    pub any_source: c_int,
    pub any_tag: c_int,
    pub proc_null: c_int,
    pub undefined: c_int,
    pub comm_type_shared: c_int,
    pub lock_exclusive: c_int,
    pub lock_shared: c_int,
    pub mode_nosucceed: c_int,
    pub mode_nocheck: c_int,
    pub thread_funneled: c_int,
    pub thread_serialized: c_int,
    pub thread_multiple: c_int,
    pub tag_ub: c_int,
    pub err_truncate: c_int,
    pub err_in_status: c_int,
    pub max_error_string: c_int,
    pub max_processor_name: c_int,
    pub max_library_version_string: c_int,
    /// Where in a status the number of bytes is, as a `usize`; negative where it has to be asked for.
    pub bytes_at: c_int,
}

// The shim lists as many scalars as the datatypes index.
const _: () = assert!(Scalar::C64 as usize == 13 && Builtin::Xor as usize == 9);

unsafe extern "C" {
    fn rankine_mpi_constants(out: *mut Constants);
}

impl Constants {
    /// Callable at any time, before `MPI_Init` too.
    pub fn read() -> Constants {
        let mut out = MaybeUninit::uninit();
        // SAFETY: the shim fills every field of a struct of the same layout; MPI's handles are valid constants
        // before MPI_Init.
        unsafe {
            rankine_mpi_constants(out.as_mut_ptr());
            out.assume_init()
        }
    }

    /// MPI's datatype for a number; the null datatype where it has none ([`Reduction`](crate::engine::Reduction)
    /// never asks for those).
    pub fn datatype(&self, scalar: Scalar) -> ffi::MPI_Datatype {
        self.scalars.get(scalar as usize).copied().unwrap_or(self.byte)
    }

    pub fn op(&self, builtin: Builtin) -> ffi::MPI_Op {
        self.ops[builtin as usize]
    }
}
