//! Numeric kernels, one file each, written against rankine's public interface and nothing else: none of them knows
//! which engine carries its messages. [`all`] is the list that the command `rankine` offers.

#![forbid(unsafe_code)]

pub mod heat3d;
pub mod prk;
pub mod triple;

pub use heat3d::Heat3d;
pub use triple::Triple;

use rankine::run::Entry;

/// All kernels, by name.
pub const fn all() -> [Entry; 13] {
    [
        Entry::of::<Heat3d>(),
        Entry::of::<prk::Amr>(),
        Entry::of::<prk::Branch>(),
        Entry::of::<prk::Dgemm>(),
        Entry::of::<prk::Nstream>(),
        Entry::of::<prk::P2p>(),
        Entry::of::<prk::Pic>(),
        Entry::of::<prk::Random>(),
        Entry::of::<prk::Reduce>(),
        Entry::of::<prk::Sparse>(),
        Entry::of::<prk::Stencil>(),
        Entry::of::<prk::SyncGlobal>(),
        Entry::of::<prk::Transpose>(),
    ]
}
