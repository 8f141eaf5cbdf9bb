//! `Memory`: so many elements in a row, on pages of the large kind where they are many.
//!
//! What lies where in it is its owner's business; whether a run fits into a node is `run::memory`'s.

use crate::comm::Element;
use crate::error::{Error, Result};
use memmap2::{Advice, MmapMut};
use std::ops::{Deref, DerefMut};

/// A transparent huge page. From this size on, memory is mapped by itself and the system is asked for such pages.
const HUGE_PAGE: usize = 2 << 20;

const CACHE_LINE: usize = 64;

/// A slice of elements that owns them. From 2 MiB on the system is asked for large pages, which spare the processor most of
/// its look-ups of addresses: what is read in no particular order gains most, and messages too.
///
/// ```
/// let mut table = rankine::Memory::zeroed(1 << 20)?;
/// table[7] = 1.5;
/// assert_eq!(table.iter().sum::<f64>(), 1.5);
/// # Ok::<(), rankine::Error>(())
/// ```
pub struct Memory<T>(Kind<T>);

enum Kind<T> {
    Small(Vec<T>),
    /// The elements are `bytes[start..start + len]`.
    Large {
        bytes: MmapMut,
        start: usize,
        len: usize,
    },
}

impl<T: Element> Memory<T> {
    /// So many elements, all zero.
    ///
    /// # Errors
    /// More than the system gives.
    pub fn zeroed(elements: usize) -> Result<Memory<T>> {
        Memory::aligned(elements, 0)
    }

    /// So many elements, each from its index.
    ///
    /// # Errors
    /// As [`Memory::zeroed`].
    pub fn from_fn(elements: usize, mut value: impl FnMut(usize) -> T) -> Result<Memory<T>> {
        let mut memory = Memory::zeroed(elements)?;
        memory.iter_mut().enumerate().for_each(|(index, element)| *element = value(index));
        Ok(memory)
    }

    /// Where large, the element after the first `lead` starts on a cache line.
    pub(crate) fn aligned(elements: usize, lead: usize) -> Result<Memory<T>> {
        let too_large = || {
            Error::usage(format!("{elements} elements on a rank, of {} bytes each", size_of::<T>()))
                .help("this rank's memory does not hold them: make the problem smaller, or take more ranks")
        };
        let len = elements.checked_mul(size_of::<T>()).ok_or_else(too_large)?;
        if len < HUGE_PAGE {
            return Ok(Memory(Kind::Small(vec![T::zeroed(); elements])));
        }
        let bytes = MmapMut::map_anon(len.checked_add(HUGE_PAGE + CACHE_LINE).ok_or_else(too_large)?)
            .map_err(|error| too_large().help(error.to_string()))?;
        // A system without huge pages works, only slower.
        #[cfg(target_os = "linux")]
        let _ = bytes.advise(Advice::HugePage);
        // The mapping may start anywhere; the elements start on a huge page, but for the shift.
        let page = bytes.as_ptr().addr().next_multiple_of(HUGE_PAGE) - bytes.as_ptr().addr();
        let lead = lead * size_of::<T>();
        let shift = lead.next_multiple_of(CACHE_LINE) - lead;
        let start = if shift.is_multiple_of(align_of::<T>()) { page + shift } else { page };
        Ok(Memory(Kind::Large { bytes, start, len }))
    }

    /// All elements.
    pub fn as_slice(&self) -> &[T] {
        match &self.0 {
            Kind::Small(elements) => elements,
            Kind::Large { bytes, start, len } => bytemuck::cast_slice(&bytes[*start..*start + *len]),
        }
    }

    /// All elements.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        match &mut self.0 {
            Kind::Small(elements) => elements,
            Kind::Large { bytes, start, len } => bytemuck::cast_slice_mut(&mut bytes[*start..*start + *len]),
        }
    }
}

impl<T: Element> Deref for Memory<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.as_slice()
    }
}

impl<T: Element> DerefMut for Memory<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.as_mut_slice()
    }
}

impl<T: Element + std::fmt::Debug> std::fmt::Debug for Memory<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.deref().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_start_as_zeros_and_keep_values() {
        for elements in [0, 1, 1000, HUGE_PAGE / 8, HUGE_PAGE / 8 + 1] {
            let mut memory = Memory::<f64>::aligned(elements, 1).unwrap();
            assert_eq!(memory.len(), elements);
            assert!(memory.iter().all(|&value| value == 0.0));
            memory.fill(1.5);
            assert!(memory.iter().all(|&value| value == 1.5));
        }
    }

    #[test]
    fn what_no_memory_holds_is_an_error() {
        assert!(Memory::<f64>::zeroed(usize::MAX / 4).is_err());
        assert!(Memory::<f64>::zeroed(1 << 57).is_err());
    }
}
