//! Input and output of distributed arrays: HDF5, XDMF for ParaView, NumPy's files, PNG pictures and plots, JSON.
//!
//! This folder knows files and their formats. It knows neither kernels nor when a run writes (that is `run`), and
//! what a checkpoint is (that is `checkpoint`). It works on whatever is [`Partitioned`], such as a [`Slab`], a plain
//! description of a rank's block, so it knows nothing of how fields are kept either. Three things hold everywhere in it:
//!
//! - nothing is ever half-written under its final name ([`files`]);
//! - no rank holds anything whose size grows with the whole array;
//! - a failure on one rank is an error on all of them, never a hang, where the call is collective.
//!
//! ```
//! use rankine::output::{Layout, Slab};
//! // Rank 1 of 2 owns rows 2 and 3 of a 4 x 3 array, with one halo cell on every side.
//! let layout = Layout::new([4, 3], [2, 0], [2, 3], 1)?;
//! let storage = vec![0.0f64; 4 * 5];
//! let slab = Slab::new(&storage, layout)?;
//! assert_eq!(slab.layout().cells(), [4, 3]);
//! # Ok::<(), rankine::Error>(())
//! ```

mod dataset;
mod direct;
pub mod files;
mod font;
#[cfg(feature = "hdf5")]
mod hdf5;
#[cfg(not(feature = "hdf5"))]
#[path = "hdf5/absent.rs"]
mod hdf5;
mod input;
pub mod npy;
mod partitioned;
pub mod picture;
pub mod plot;
mod reader;
mod slab;
mod storage;
mod stretch;
mod writer;
pub mod xdmf;

pub use input::InputSpec;
pub use partitioned::{Partitioned, PartitionedMut, Piece};
pub use reader::{Reader, check_finite};
pub use slab::{Format, Layout, Numeric, Slab, SlabMut};
pub use storage::Storage;
pub use writer::{Way, Writer};

pub(crate) use partitioned::Looked;
pub(crate) use stretch::Stretch;

use serde::{Deserialize, Serialize};

/// The HDF5 library this program is linked with, and whether it is the parallel one; `None` in a build without it.
pub fn hdf5_library() -> Option<String> {
    #[cfg(feature = "hdf5")]
    let library = {
        let (major, minor, patch) = ::hdf5::library_version();
        let kind = if cfg!(feature = "hdf5-parallel") { "parallel" } else { "serial" };
        Some(format!("HDF5 {major}.{minor}.{patch}, {kind}"))
    };
    #[cfg(not(feature = "hdf5"))]
    let library = None;
    library
}

/// What can be said about a file or a dataset beside its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Attribute {
    /// Text, kept as UTF-8.
    Text(String),
    /// Numbers in a row; one number is a row of one. Integers are kept as `f64` too.
    Numbers(#[serde(with = "bits")] Vec<f64>),
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Attribute::Text(text.to_string())
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Attribute::Text(text)
    }
}

impl From<f64> for Attribute {
    fn from(number: f64) -> Self {
        Attribute::Numbers(vec![number])
    }
}

impl From<&[f64]> for Attribute {
    fn from(numbers: &[f64]) -> Self {
        Attribute::Numbers(numbers.to_vec())
    }
}

impl<const N: usize> From<[f64; N]> for Attribute {
    fn from(numbers: [f64; N]) -> Self {
        Attribute::Numbers(numbers.to_vec())
    }
}

/// Numbers as their bits, so that NaN and infinities survive JSON.
mod bits {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(numbers: &[f64], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(numbers.iter().map(|number| number.to_bits()))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
        Ok(Vec::<u64>::deserialize(from)?.into_iter().map(f64::from_bits).collect())
    }
}
