//! What a checkpoint says of itself: a sealed text, and the words for a seal that is broken.

use crate::output::{Partitioned, PartitionedMut, Piece};
use serde::{Deserialize, Serialize};

/// The version of the format; another one is not read.
pub(super) const VERSION: u32 = 2;

/// Everything about a checkpoint but its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// [`VERSION`].
    pub version: u32,
    /// The program's version.
    pub rankine: String,
    pub kernel: String,
    /// As TOML.
    pub parameters: String,
    pub step: u64,
    /// Whether the kernel has said that it is done.
    pub broke: bool,
    /// When, UTC.
    pub written: String,
    pub engine: String,
    pub ranks: usize,
    pub command: Vec<String>,
    pub arrays: Vec<ArrayRecord>,
    /// The length and checksum of the serialized values.
    pub values: (usize, String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ArrayRecord {
    pub name: String,
    pub shape: Vec<usize>,
    /// The element type's name, and the bytes of one.
    pub element: (String, usize),
    /// 16 hexadecimal digits.
    pub checksum: String,
}

/// A value that is the same on every rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ValueRecord {
    pub name: String,
    /// Its type's name.
    pub kind: String,
    /// As postcard writes it.
    pub bytes: Vec<u8>,
}

/// The datasets' names.
pub(super) const HEADER: &str = "header";
pub(super) const VALUES: &str = "values";
pub(super) const ARRAYS: &str = "state";
/// The attribute of [`HEADER`] with its checksum.
pub(super) const SEAL: &str = "seal";

/// The checksum of bytes, in hexadecimal digits.
pub(super) fn seal(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Bytes that rank 0 alone has, as a partitioned array.
pub(super) struct OnFirst {
    pub first: bool,
    pub len: usize,
    /// All of them on rank 0, none elsewhere.
    pub bytes: Vec<u8>,
}

impl Partitioned for OnFirst {
    type Item = u8;

    fn global_shape(&self) -> Vec<usize> {
        vec![self.len]
    }

    fn pieces(&self) -> Vec<Piece> {
        vec![Piece::packed(vec![0], vec![if self.first { self.len } else { 0 }], 0)]
    }

    fn elements(&self) -> &[u8] {
        &self.bytes
    }
}

impl PartitionedMut for OnFirst {
    fn elements_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}
