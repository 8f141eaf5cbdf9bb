//! A part's memory as atomics, so that ranks that touch the same bytes at once get some answer, never undefined
//! behaviour.
//!
//! Atomics of different sizes must not overlap either. So every byte belongs to one unit for good: aligned words of
//! eight bytes, and before the first and after the last of them units of the element's alignment. What is smaller than
//! its unit is changed by compare and swap.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// The memory of one rank's part.
pub(super) struct Cells {
    base: *mut u8,
    bytes: usize,
    /// The aligned words lie in `head..tail`.
    head: usize,
    tail: usize,
    /// The size of the units outside.
    small: usize,
}

/// Bytes of a unit; a smaller one has its bytes first.
type Bytes = [u8; 8];

enum Unit<'a> {
    U8(&'a AtomicU8),
    U16(&'a AtomicU16),
    U32(&'a AtomicU32),
    U64(&'a AtomicU64),
}

/// The same for every size of unit: `$a` is the atomic, `$n` its bytes.
macro_rules! every {
    ($unit:expr, $a:ident, $n:ident => $body:expr) => {
        match $unit {
            Unit::U8($a) => {
                const $n: usize = 1;
                $body
            }
            Unit::U16($a) => {
                const $n: usize = 2;
                $body
            }
            Unit::U32($a) => {
                const $n: usize = 4;
                $body
            }
            Unit::U64($a) => {
                const $n: usize = 8;
                $body
            }
        }
    };
}

fn first<const N: usize>(bytes: &Bytes) -> [u8; N] {
    std::array::from_fn(|i| bytes[i])
}

impl Unit<'_> {
    fn load(&self) -> Bytes {
        let mut out = [0; 8];
        every!(self, a, N => out[..N].copy_from_slice(&a.load(Ordering::Acquire).to_ne_bytes()));
        out
    }

    /// Changes the unit by `f`; what it was before. `f` may run more than once.
    fn change(&self, mut f: impl FnMut(&mut Bytes)) -> Bytes {
        let mut old = self.load();
        loop {
            let mut new = old;
            f(&mut new);
            let swapped = every!(self, a, N => {
                let number = |bytes: &Bytes| first::<N>(bytes);
                a.compare_exchange_weak(
                    FromBytes::from(number(&old)),
                    FromBytes::from(number(&new)),
                    Ordering::AcqRel,
                    Ordering::Acquire,
                )
                .map(drop)
                .map_err(|now| old[..N].copy_from_slice(&now.to_ne_bytes()))
            });
            if swapped.is_ok() {
                return old;
            }
        }
    }
}

/// A number from its bytes in memory.
trait FromBytes<const N: usize> {
    fn from(bytes: [u8; N]) -> Self;
}

macro_rules! from_bytes {
    ($($type:ty, $n:literal;)*) => {$(
        impl FromBytes<$n> for $type {
            fn from(bytes: [u8; $n]) -> Self { <$type>::from_ne_bytes(bytes) }
        }
    )*};
}

from_bytes! { u8, 1; u16, 2; u32, 4; u64, 8; }

impl Cells {
    /// `base` is valid for reads and writes of `bytes` bytes as long as this is used, and aligned to `align`, of which
    /// `bytes` is a multiple.
    pub fn new(base: *mut u8, bytes: usize, align: usize) -> Cells {
        let head = (base.addr().wrapping_neg() % 8).min(bytes);
        let tail = head + (bytes - head) / 8 * 8;
        Cells { base, bytes, head, tail, small: align.min(8) }
    }

    pub fn base(&self) -> *mut u8 {
        self.base
    }

    /// The unit that byte `at` is in, where it begins and how long it is.
    ///
    /// # Safety
    /// `at` lies in the part, and its owner lends it out: nobody uses it but through units.
    unsafe fn unit(&self, at: usize) -> (Unit<'_>, usize, usize) {
        debug_assert!(at < self.bytes);
        let (start, len) = if (self.head..self.tail).contains(&at) {
            (at - (at - self.head) % 8, 8)
        } else {
            (at - at % self.small, self.small)
        };
        // SAFETY: a unit lies whole inside the part: lengths of head and tail are multiples of the alignment. It is
        // aligned: the words by the choice of `head`, the others as the base is. All access to it is atomic.
        let unit = unsafe {
            let address = self.base.add(start);
            match len {
                1 => Unit::U8(AtomicU8::from_ptr(address)),
                2 => Unit::U16(AtomicU16::from_ptr(address.cast())),
                4 => Unit::U32(AtomicU32::from_ptr(address.cast())),
                _ => Unit::U64(AtomicU64::from_ptr(address.cast())),
            }
        };
        (unit, start, len)
    }

    /// How many whole words begin at `at`, of `len` bytes.
    #[inline]
    fn words(&self, at: usize, len: usize) -> usize {
        let aligned = at >= self.head && (at - self.head).is_multiple_of(8);
        if aligned { len.min(self.tail.saturating_sub(at)) / 8 } else { 0 }
    }

    /// Copies `len` bytes into the part.
    ///
    /// # Safety
    /// `from` is valid for reads; `at..at + len` lies in the part, which is lent out.
    pub unsafe fn write(&self, mut at: usize, mut from: *const u8, mut len: usize) {
        while len > 0 {
            let words = self.words(at, len);
            // SAFETY: the ranges are those of the caller; whole words are aligned and only used as such.
            let done = unsafe {
                for i in 0..words {
                    let word = from.cast::<u64>().add(i).read_unaligned();
                    AtomicU64::from_ptr(self.base.add(at).cast::<u64>().add(i))
                        .store(word, Ordering::Relaxed);
                }
                if words > 0 {
                    8 * words
                } else {
                    let (unit, start, width) = self.unit(at);
                    let part = len.min(start + width - at);
                    let new = std::slice::from_raw_parts(from, part);
                    unit.change(|bytes| bytes[at - start..][..part].copy_from_slice(new));
                    part
                }
            };
            // SAFETY: `done` is at most `len`.
            from = unsafe { from.add(done) };
            (at, len) = (at + done, len - done);
        }
    }

    /// Copies `len` bytes out of the part.
    ///
    /// # Safety
    /// `to` is valid for writes; `at..at + len` lies in the part, which is lent out.
    pub unsafe fn read(&self, mut at: usize, mut to: *mut u8, mut len: usize) {
        while len > 0 {
            let words = self.words(at, len);
            // SAFETY: as in `write`.
            let done = unsafe {
                for i in 0..words {
                    let word =
                        AtomicU64::from_ptr(self.base.add(at).cast::<u64>().add(i)).load(Ordering::Relaxed);
                    to.cast::<u64>().add(i).write_unaligned(word);
                }
                if words > 0 {
                    8 * words
                } else {
                    let (unit, start, width) = self.unit(at);
                    let part = len.min(start + width - at);
                    std::ptr::copy_nonoverlapping(unit.load()[at - start..].as_ptr(), to, part);
                    part
                }
            };
            // SAFETY: `done` is at most `len`.
            to = unsafe { to.add(done) };
            (at, len) = (at + done, len - done);
        }
    }

    /// The aligned word at `at`, if it is a unit.
    ///
    /// # Safety
    /// `at..at + 8` lies in the part, which is lent out.
    pub unsafe fn word(&self, at: usize) -> Option<&AtomicU64> {
        // SAFETY: a whole word, only used as such.
        (self.words(at, 8) == 1).then(|| unsafe { AtomicU64::from_ptr(self.base.add(at).cast()) })
    }

    /// Changes the `size` bytes at `at` by `f` as one; copies what they were into `old`. `None`: they do not lie in
    /// one unit, and nothing was done. `f` may run more than once.
    ///
    /// # Safety
    /// `at..at + size` lies in the part, which is lent out; `old` has `size` bytes.
    pub unsafe fn update(&self, at: usize, old: &mut [u8], mut f: impl FnMut(&mut [u8])) -> Option<()> {
        let size = old.len();
        // SAFETY: the caller's promise.
        let (unit, start, width) = unsafe { self.unit(at) };
        let inside = at - start..at - start + size;
        if inside.end > width {
            return None;
        }
        let before = unit.change(|bytes| f(&mut bytes[inside.clone()]));
        old.copy_from_slice(&before[inside]);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every range of small parts at every alignment, against a plain copy.
    #[test]
    fn ranges_are_copied_exactly() {
        let mut space = [0u64; 8];
        for align in [1, 2, 4, 8] {
            for shift in (0..8).step_by(align) {
                for bytes in (0..=32).step_by(align) {
                    // SAFETY: within `space`.
                    let base = unsafe { space.as_mut_ptr().cast::<u8>().add(shift) };
                    let cells = Cells::new(base, bytes, align);
                    for (at, end) in (0..=bytes).flat_map(|at| (at..=bytes).map(move |end| (at, end))) {
                        let before: Vec<u8> = (0..64).collect();
                        let new: Vec<u8> = (100..164).collect();
                        let mut after = vec![0; 64];
                        let mut back = vec![0; end - at];
                        // SAFETY: `space` has 64 bytes, used by nobody else; the ranges lie in the part.
                        unsafe {
                            let all = space.as_mut_ptr().cast::<u8>();
                            all.copy_from_nonoverlapping(before.as_ptr(), 64);
                            cells.write(at, new.as_ptr(), end - at);
                            cells.read(at, back.as_mut_ptr(), end - at);
                            after.as_mut_ptr().copy_from_nonoverlapping(all, 64);
                        }
                        let mut expected = before;
                        expected[shift + at..shift + end].copy_from_slice(&new[..end - at]);
                        assert_eq!(
                            after, expected,
                            "align {align}, shift {shift}, {bytes} bytes, {at}..{end}"
                        );
                        assert_eq!(back, &new[..end - at]);
                    }
                }
            }
        }
    }

    #[test]
    fn updates_stay_in_one_unit() {
        let mut space = [0u64; 3];
        let base = space.as_mut_ptr().cast::<u8>();
        // SAFETY: within `space`, used by nobody else.
        unsafe {
            let cells = Cells::new(base.add(4), 16, 4);
            let mut old = [0; 4];
            for at in [0, 4, 8, 12] {
                assert!(cells.update(at, &mut old, |bytes| bytes[0] += 1).is_some());
            }
            // Bytes 4 to 12 of the part are a word; 0 to 8 are not.
            assert!(cells.update(0, &mut [0; 8], |_| unreachable!()).is_none());
            assert!(cells.update(4, &mut [0; 8], |_| ()).is_some());
            assert!(cells.word(4).is_some() && cells.word(0).is_none());
        }
        let bytes: &[u8] = bytemuck::cast_slice(&space);
        assert_eq!(bytes.iter().map(|&b| usize::from(b)).sum::<usize>(), 4);
    }
}
