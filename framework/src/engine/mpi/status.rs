//! What MPI calls say: return codes become [`Fault`]s, statuses become [`Envelope`]s.
//!
//! Every MPI call of this folder goes through [`check`]; nothing is decided here about what to do next.

use super::{Constants, Mpi, tag};
use crate::engine::{Envelope, Fault, Outcome};
use mpi::ffi;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;

/// `MPI_SUCCESS`, in every version of the standard.
pub(super) const SUCCESS: c_int = 0;

/// Turns a return code into a fault that says which call failed and the library's words for it.
#[inline]
pub(super) fn check(call: &'static str, code: c_int) -> Outcome<()> {
    if code == SUCCESS { Ok(()) } else { Err(failure(call, code)) }
}

#[cold]
#[inline(never)]
pub(super) fn failure(call: &'static str, code: c_int) -> Fault {
    Fault::Library { call, text: error_string(code) }
}

/// The library's words for an error code.
fn error_string(code: c_int) -> String {
    let capacity = Constants::read().max_error_string.max(1);
    // SAFETY: the buffer has the length MPI asks for.
    let text = text(capacity, |buffer, len| unsafe { ffi::MPI_Error_string(code, buffer, len) });
    text.unwrap_or_else(|| format!("error code {code}"))
}

/// Calls an MPI function that writes a text and its length.
pub(super) fn text(
    capacity: c_int,
    call: impl FnOnce(*mut std::ffi::c_char, *mut c_int) -> c_int,
) -> Option<String> {
    // One byte more than MPI asks for: some count the final zero and some do not.
    let mut buffer = vec![0u8; usize::try_from(capacity).unwrap_or(0) + 1];
    let mut len = 0;
    if call(buffer.as_mut_ptr().cast(), &mut len) != SUCCESS {
        return None;
    }
    buffer.truncate(usize::try_from(len).unwrap_or(0));
    while matches!(buffer.last(), Some(0 | b'\n' | b' ')) {
        buffer.pop();
    }
    Some(String::from_utf8_lossy(&buffer).into_owned())
}

/// The class of an error code.
#[cold]
pub(super) fn class(code: c_int) -> c_int {
    let mut class = code;
    // SAFETY: `class` is valid for a write.
    let _ = unsafe { ffi::MPI_Error_class(code, &mut class) };
    class
}

/// A status that no call has filled yet.
#[inline]
pub(super) fn blank() -> ffi::MPI_Status {
    // SAFETY: MPI_Status is a C struct of integers in every library; all zeroes are valid ones.
    unsafe { MaybeUninit::<ffi::MPI_Status>::zeroed().assume_init() }
}

/// How many bytes a status counts; `None` where the library cannot tell.
#[inline]
pub(super) fn bytes(status: &ffi::MPI_Status, byte: ffi::MPI_Datatype) -> Option<usize> {
    let mut count: c_int = 0;
    // SAFETY: the status was filled by MPI or is all zeroes, and `byte` is MPI_BYTE.
    let code = unsafe { ffi::MPI_Get_count(status, byte, &mut count) };
    // MPI_UNDEFINED, which is negative, stands for what an int cannot hold.
    if code == SUCCESS && count >= 0 { Some(count as usize) } else { many_bytes(status, byte) }
}

/// As [`bytes`], for any number of them; this call takes longer.
#[cold]
fn many_bytes(status: &ffi::MPI_Status, byte: ffi::MPI_Datatype) -> Option<usize> {
    let mut count: ffi::MPI_Count = 0;
    // SAFETY: as above.
    let code = unsafe { ffi::MPI_Get_elements_x(status, byte, &mut count) };
    if code == SUCCESS { usize::try_from(count).ok() } else { None }
}

impl Mpi {
    /// As [`bytes`], without a call where the library keeps the number in plain sight.
    #[inline]
    pub(super) fn length(&self, status: &ffi::MPI_Status) -> Option<usize> {
        match usize::try_from(self.constants().bytes_at) {
            // SAFETY: the shim says that a `size_t` lies there, inside the status.
            Ok(at) => Some(unsafe { ptr::from_ref(status).byte_add(at).cast::<usize>().read() }),
            Err(_) => bytes(status, self.byte),
        }
    }

    /// What a status that MPI filled says of a message.
    #[inline]
    pub(super) fn envelope(&self, status: &ffi::MPI_Status) -> Outcome<Envelope> {
        let Some(bytes) = self.length(status) else { return Err(undefined()) };
        Ok(Envelope {
            source: status.MPI_SOURCE as usize,
            tag: tag::user(status.MPI_TAG),
            kind: tag::kind(status.MPI_TAG),
            bytes,
        })
    }
}

#[cold]
fn undefined() -> Fault {
    Fault::Library { call: "MPI_Get_elements_x", text: "the length is undefined".to_string() }
}
