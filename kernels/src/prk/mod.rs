//! The Parallel Research Kernels: twelve small programs that between them do what large ones spend their time on.
//!
//! A file a kernel, from the specification (Van der Wijngaart and Mattson, *The Parallel Research Kernels*, IEEE HPEC 2014;
//! the published reference is the collection `ParRes/Kernels`). Parameters, validation and the quoted rate are the
//! specification's, so the same numbers can be given to both; the restrictions that come from a reference's way of cutting its
//! data (square or even numbers of ranks) are not. The first iteration comes before the clock, as there.

pub mod amr;
pub mod branch;
pub mod dgemm;
pub mod nstream;
pub mod p2p;
pub mod pic;
pub mod random;
pub mod reduce;
pub mod sparse;
pub mod stencil;
pub mod sync_global;
pub mod transpose;

pub use amr::Amr;
pub use branch::Branch;
pub use dgemm::Dgemm;
pub use nstream::Nstream;
pub use p2p::P2p;
pub use pic::Pic;
pub use random::Random;
pub use reduce::Reduce;
pub use sparse::Sparse;
pub use stencil::Stencil;
pub use sync_global::SyncGlobal;
pub use transpose::Transpose;

#[cfg(test)]
mod tests;

use rankine::{Error, Result};

/// Refuses a number of iterations that nothing can be measured by.
fn at_least_one(iterations: u64) -> Result<()> {
    if iterations > 0 {
        return Ok(());
    }
    Err(Error::usage("--iterations 0: there is nothing to measure").help("give 1 or more"))
}

/// How much of `items` each thread of the rank takes, for pieces of a slice.
fn share(items: usize) -> usize {
    items.div_ceil(rayon::current_num_threads()).max(1)
}

/// Which of `items` in a row are this rank's: the first ranks have one more where they cannot be dealt evenly.
fn part(items: usize, rank: usize, ranks: usize) -> std::ops::Range<usize> {
    let (each, more) = (items / ranks, items % ranks);
    let start = rank * each + rank.min(more);
    start..start + each + usize::from(rank < more)
}

/// A size for [`Kernel::bytes_per_rank`](rankine::Kernel::bytes_per_rank), too large for any memory where it is no `u64`.
fn bytes(of: u128) -> Option<u64> {
    Some(of.try_into().unwrap_or(u64::MAX))
}
