//! The memory of a field: a vector, or pages of the large kind where it is big.
//!
//! What lies where in it is `halo::Layout`'s business.

use crate::comm::Element;
use crate::error::{Error, Result};
use memmap2::{Advice, MmapMut};

/// A transparent huge page. From this size on, memory is mapped by itself and the system is asked for such pages.
const HUGE_PAGE: usize = 2 << 20;

const CACHE_LINE: usize = 64;

/// So many elements, zero at first.
pub(crate) enum Storage<T> {
    Small(Vec<T>),
    /// The elements are `bytes[start..start + len]`.
    Large {
        bytes: MmapMut,
        start: usize,
        len: usize,
    },
}

impl<T: Element> Storage<T> {
    /// Where large, the element after the first `lead` starts on a cache line.
    pub fn new(elements: usize, lead: usize) -> Result<Storage<T>> {
        let too_large = || {
            Error::usage(format!("a field of {elements} cells a rank, of {} bytes each", size_of::<T>()))
                .help("this rank's memory does not hold it: give fewer cells or more ranks")
        };
        let len = elements.checked_mul(size_of::<T>()).ok_or_else(too_large)?;
        if len < HUGE_PAGE {
            return Ok(Storage::Small(vec![T::zeroed(); elements]));
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
        Ok(Storage::Large { bytes, start, len })
    }

    pub fn elements(&self) -> &[T] {
        match self {
            Storage::Small(elements) => elements,
            Storage::Large { bytes, start, len } => bytemuck::cast_slice(&bytes[*start..start + len]),
        }
    }

    pub fn elements_mut(&mut self) -> &mut [T] {
        match self {
            Storage::Small(elements) => elements,
            Storage::Large { bytes, start, len } => {
                bytemuck::cast_slice_mut(&mut bytes[*start..*start + *len])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_start_as_zeros_and_keep_values() {
        for elements in [0, 1, 1000, HUGE_PAGE / 8, HUGE_PAGE / 8 + 1] {
            let mut storage = Storage::<f64>::new(elements, 1).unwrap();
            assert_eq!(storage.elements().len(), elements);
            assert!(storage.elements().iter().all(|&value| value == 0.0));
            storage.elements_mut().fill(1.5);
            assert!(storage.elements().iter().all(|&value| value == 1.5));
        }
    }

    #[test]
    fn what_no_memory_holds_is_an_error() {
        assert!(Storage::<f64>::new(usize::MAX / 4, 1).is_err());
        assert!(Storage::<f64>::new(1 << 57, 1).is_err());
    }
}
