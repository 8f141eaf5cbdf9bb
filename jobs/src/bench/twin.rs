//! The door to the C twin, `twin/twin.c`, which `build.rs` compiles with the MPI compiler wrapper.

use super::operation::Operation;
use super::pages::Pages;
use std::ffi::{c_char, c_int, c_long};

unsafe extern "C" {
    fn rankine_twin(
        operation: c_int,
        send: *mut c_char,
        recv: *mut c_char,
        bytes: c_int,
        rounds: c_int,
        computing: c_long,
    ) -> f64;
}

/// Seconds of all rounds on this rank. All ranks of the world call it; `computing` is for the operation that
/// computes meanwhile. Buffers hold what [`Operation::needs`] says.
pub fn run(
    operation: Operation,
    bytes: usize,
    rounds: usize,
    computing: u64,
    pages: &mut Pages,
    ranks: usize,
) -> f64 {
    assert!(pages.send.len().min(pages.recv.len()) >= operation.needs(bytes, ranks));
    // SAFETY: MPI is initialised (only a stage under a launcher comes here), and the buffers have the bytes that
    // the operation moves with so many ranks.
    unsafe {
        rankine_twin(
            operation as c_int,
            pages.send.as_mut_ptr().cast(),
            pages.recv.as_mut_ptr().cast(),
            bytes as c_int,
            rounds as c_int,
            computing as c_long,
        )
    }
}
