//! What a file says of what is in it, whichever library reads it.

use super::Attribute;
use super::slab::Format;

/// What a name in a file leads to.
#[cfg_attr(not(feature = "hdf5"), expect(dead_code, reason = "nothing can be open there"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    Missing,
    Dataset,
    Group,
    /// A named type.
    Other,
    /// There is a name, but nothing that can be opened behind it.
    Broken,
}

/// What is known of a dataset without reading it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Info {
    /// Sizes of its axes; none for a scalar.
    pub shape: Vec<usize>,
    /// Its element type in words, such as `u8`, `f16` or `a compound type`.
    pub kind: String,
    /// Whether its elements are integers or floats.
    pub numeric: bool,
    /// The number of this machine that its elements are, bit for bit.
    pub native: Option<Format>,
    /// The byte of the file where its elements begin, if they lie there in one piece, row-major.
    pub at: Option<u64>,
    /// Whether it is compressed or otherwise filtered.
    pub filtered: bool,
    /// Bytes it has in the file.
    pub stored: u64,
    pub attributes: Vec<(String, Attribute)>,
}
