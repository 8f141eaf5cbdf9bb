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
    Plain(Vec<T>),
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

    /// So many elements of one value. Where the system does not give them the process ends, as with a `Vec`.
    pub(crate) fn filled(elements: usize, value: T) -> Memory<T> {
        match Memory::zeroed(elements) {
            Ok(mut memory) => {
                memory.fill(value);
                memory
            }
            Err(_) => Memory(Kind::Plain(vec![value; elements])),
        }
    }

    /// Where large, the element after the first `lead` starts on a cache line.
    pub(crate) fn aligned(elements: usize, lead: usize) -> Result<Memory<T>> {
        let too_large = || {
            Error::usage(format!("{elements} elements on a rank, of {} bytes each", size_of::<T>()))
                .help("this rank's memory does not hold them: make the problem smaller, or take more ranks")
        };
        let len = elements.checked_mul(size_of::<T>()).ok_or_else(too_large)?;
        if len < HUGE_PAGE {
            return Ok(Memory(Kind::Plain(vec![T::zeroed(); elements])));
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
            Kind::Plain(elements) => elements,
            Kind::Large { bytes, start, len } => bytemuck::cast_slice(&bytes[*start..*start + *len]),
        }
    }

    /// All elements.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        match &mut self.0 {
            Kind::Plain(elements) => elements,
            Kind::Large { bytes, start, len } => bytemuck::cast_slice_mut(&mut bytes[*start..*start + *len]),
        }
    }
}

/// What a vector has, where it has it.
impl<T> From<Vec<T>> for Memory<T> {
    fn from(elements: Vec<T>) -> Memory<T> {
        Memory(Kind::Plain(elements))
    }
}

/// Where the system does not give as much again the process ends, as with a `Vec`.
impl<T: Element> Clone for Memory<T> {
    fn clone(&self) -> Memory<T> {
        match Memory::zeroed(self.len()) {
            Ok(mut memory) => {
                memory.copy_from_slice(self);
                memory
            }
            Err(_) => Memory(Kind::Plain(self.to_vec())),
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

/// Elements that are added one after the other, and are one [`Memory`] in the end: it is made piece by piece, so that no more
/// than a piece is there twice.
pub(crate) struct Growing<T> {
    /// The first `START`.
    start: Vec<T>,
    pieces: Vec<Memory<T>>,
    len: usize,
}

/// So few are one vector.
const START: usize = 1 << 16;
const PIECE: usize = 1 << 20;

impl<T: Element> Growing<T> {
    pub fn new() -> Growing<T> {
        Growing { start: Vec::new(), pieces: Vec::new(), len: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds some.
    ///
    /// # Errors
    /// As [`Memory::zeroed`].
    pub fn extend(&mut self, mut elements: &[T]) -> Result<()> {
        while !elements.is_empty() {
            let taken = match self.len.checked_sub(START) {
                None => {
                    let taken = elements.len().min(START - self.len);
                    self.start.extend_from_slice(&elements[..taken]);
                    taken
                }
                Some(at) => {
                    if at.is_multiple_of(PIECE) {
                        self.pieces.push(Memory::zeroed(PIECE)?);
                    }
                    let (piece, at) = (&mut self.pieces[at / PIECE], at % PIECE);
                    let taken = elements.len().min(PIECE - at);
                    piece[at..at + taken].copy_from_slice(&elements[..taken]);
                    taken
                }
            };
            self.len += taken;
            elements = &elements[taken..];
        }
        Ok(())
    }

    /// All of them.
    ///
    /// # Errors
    /// As [`Memory::zeroed`].
    pub fn join(self) -> Result<Memory<T>> {
        if self.pieces.is_empty() {
            return Ok(Memory::from(self.start));
        }
        let mut all = Memory::zeroed(self.len)?;
        let (start, mut rest) = all.split_at_mut(START);
        start.copy_from_slice(&self.start);
        for piece in self.pieces {
            let (here, after) = rest.split_at_mut(rest.len().min(PIECE));
            here.copy_from_slice(&piece[..here.len()]);
            rest = after;
        }
        Ok(all)
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
    fn growing_keeps_what_was_added() {
        for len in [0, 1, START, START + 1, START + PIECE, START + PIECE + 1, START + 2 * PIECE + 7] {
            let mut growing = Growing::new();
            let elements: Vec<u32> = (0..len as u32).collect();
            elements.chunks(1001).for_each(|some| growing.extend(some).unwrap());
            assert_eq!(growing.len(), len);
            let memory = growing.join().unwrap();
            assert!(memory.iter().copied().eq(0..len as u32));
            assert!(memory.clone()[..] == memory[..]);
        }
    }

    #[test]
    fn what_no_memory_holds_is_an_error() {
        assert!(Memory::<f64>::zeroed(usize::MAX / 4).is_err());
        assert!(Memory::<f64>::zeroed(1 << 57).is_err());
    }
}
