//! How a dataset is kept in its file: as which number, in one piece or in chunks, compressed or not.
//!
//! Choices only; what becomes of them is `hdf5`'s business.

use super::slab::Format;
use crate::error::{Error, Result};

/// How [`Writer::write_as`](super::Writer::write_as) keeps a dataset. Nothing said: numbers as they are, in one piece.
///
/// ```
/// use rankine::output::{Format, Storage};
/// let small = Storage::new().format(Format::F32).chunk([16, 64, 64]).deflate(4);
/// # let _ = small;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "give it to Writer::write_as"]
pub struct Storage {
    pub(super) format: Option<Format>,
    pub(super) chunk: Option<Vec<usize>>,
    pub(super) deflate: Option<u8>,
    pub(super) shuffle: bool,
    pub(super) checksums: bool,
}

impl Storage {
    /// Numbers as they are, in one piece: what is fastest.
    pub fn new() -> Storage {
        Storage::default()
    }

    /// Keeps numbers in this format. Floats are rounded; any other number that does not fit is an error of the write.
    pub fn format(mut self, format: Format) -> Storage {
        self.format = Some(format);
        self
    }

    /// In chunks of that many elements along each axis. They are written through the HDF5 library, all ranks
    /// together where the writer is of that way, one after the other otherwise. Whoever reads a small part later reads
    /// whole chunks.
    pub fn chunk(mut self, elements: impl Into<Vec<usize>>) -> Storage {
        self.chunk = Some(elements.into());
        self
    }

    /// Compresses each chunk, at level 1 (fast) to 9 (small), with the bytes of the numbers shuffled, which makes it
    /// smaller.
    pub fn deflate(mut self, level: u8) -> Storage {
        (self.deflate, self.shuffle) = (Some(level), true);
        self
    }

    /// Gives each chunk a checksum (Fletcher's) that HDF5 compares when the chunk is read.
    pub fn checksums(mut self) -> Storage {
        self.checksums = true;
        self
    }

    /// Whether the ranks can write straight into the file.
    pub(super) fn is_plain(&self, format: Format) -> bool {
        self.chunk.is_none() && self.format.is_none_or(|wanted| wanted == format)
    }

    /// Whether chunks go through a filter and their numbers through a conversion.
    pub(super) fn is_filtered_and_converted(&self, format: Format) -> bool {
        let filtered = self.deflate.is_some() || self.checksums;
        filtered && self.format.is_some_and(|wanted| wanted != format)
    }

    /// Whether an array of `shape` can be kept so.
    pub(super) fn check(&self, shape: &[usize], format: Format) -> Result<()> {
        let bad = |what: String, help: &str| Err(Error::usage(what).help(help));
        let Some(chunk) = &self.chunk else {
            let asked = self.deflate.map(|_| "compression").or(self.checksums.then_some("checksums"));
            return match asked {
                Some(asked) => {
                    bad(format!("{asked} without chunks"), "HDF5 filters chunks: give .chunk([…]), too")
                }
                None => Ok(()),
            };
        };
        if chunk.len() != shape.len() || chunk.contains(&0) {
            let help = "give a chunk's elements along each axis, one or more";
            return bad(format!("chunks of {chunk:?} of an array of {shape:?}"), help);
        }
        if chunk.iter().zip(shape).any(|(chunk, axis)| chunk > axis) {
            let help = "HDF5 allows no chunk that is longer than its array: give fewer elements";
            return bad(format!("chunks of {chunk:?} of an array of {shape:?}"), help);
        }
        let bytes = self.format.unwrap_or(format).bytes() as u64;
        let bytes = chunk.iter().try_fold(bytes, |all, &n| all.checked_mul(n as u64));
        if bytes.is_none_or(|bytes| bytes >= 1 << 32) {
            return bad(format!("chunks of {chunk:?}"), "a chunk of HDF5's has less than 4 GiB");
        }
        match self.deflate {
            Some(level) if !(1..=9).contains(&level) => {
                bad(format!("compression at level {level}"), "give a level from 1 to 9")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hdf5_cannot_do_is_refused() {
        let refused = |storage: Storage| storage.check(&[10, 20], Format::F64).is_err();
        assert!(!refused(Storage::new()) && !refused(Storage::new().chunk([10, 5]).deflate(9).checksums()));
        assert!(refused(Storage::new().deflate(1)) && refused(Storage::new().checksums()));
        assert!(refused(Storage::new().chunk([10])) && refused(Storage::new().chunk([0, 1])));
        assert!(refused(Storage::new().chunk([11, 1])) && refused(Storage::new().chunk([1, 1]).deflate(0)));
        let wide = Storage::new().chunk([1 << 15, 1 << 14]);
        assert!(wide.check(&[1 << 20, 1 << 20], Format::F64).is_err());
        assert!(wide.check(&[1 << 20, 1 << 20], Format::F32).is_ok());
    }
}
