//! Lengths that MPI's `int` counts cannot hold: a byte length becomes a count and a datatype.
//!
//! Messages and gathers travel in one piece whatever their length; [`pieces`] is for reductions and broadcasts,
//! which can be cut.

use super::status::check;
use crate::engine::Outcome;
use mpi::ffi;
use std::ffi::c_int;
use std::sync::LazyLock;

/// For tests, in builds with debug assertions: `RANKINE_SMALL_COUNTS=1` makes everything happen early that otherwise
/// takes gigabytes.
static SMALL: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os("RANKINE_SMALL_COUNTS").is_some_and(|set| set == "1"));

#[inline]
fn of_two(real: usize, small: usize) -> usize {
    if cfg!(debug_assertions) && *SMALL { small } else { real }
}

/// The bytes of one block of a derived type, and the most elements that one collective call is given.
#[inline]
pub(super) fn block() -> usize {
    of_two(1 << 30, 1000)
}

/// The longest length that goes as bytes.
#[inline]
fn whole() -> usize {
    of_two(c_int::MAX as usize, 2500)
}

/// The most bytes, or elements, that one call with an int for each rank takes in all.
#[inline]
pub(super) fn limit() -> usize {
    of_two(c_int::MAX as usize, 100)
}

/// How a length is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// So many bytes.
    Whole(c_int),
    /// So many blocks, then so many bytes.
    Blocks { blocks: c_int, rest: c_int },
}

/// `whole`: the longest length that needs no blocks; `block`: the bytes of one.
#[inline]
fn layout(bytes: usize, whole: usize, block: usize) -> Layout {
    if bytes <= whole {
        return Layout::Whole(bytes as c_int);
    }
    // A slice has at most isize::MAX bytes: 2³³ blocks of 2³⁰ bytes. More memory than 2⁶¹ bytes does not exist.
    Layout::Blocks { blocks: (bytes / block) as c_int, rest: (bytes % block) as c_int }
}

/// A length as MPI takes it. A derived type is freed with it, which MPI allows while operations still use the type.
pub(super) struct Extent {
    pub count: c_int,
    pub datatype: ffi::MPI_Datatype,
    derived: bool,
}

impl Extent {
    #[inline]
    pub fn of(bytes: usize, byte: ffi::MPI_Datatype) -> Outcome<Extent> {
        match layout(bytes, whole(), block()) {
            Layout::Whole(count) => Ok(Extent { count, datatype: byte, derived: false }),
            Layout::Blocks { blocks, rest } => Self::derived(blocks, rest, byte),
        }
    }

    #[cold]
    #[inline(never)]
    fn derived(blocks: c_int, rest: c_int, byte: ffi::MPI_Datatype) -> Outcome<Extent> {
        let (mut unit, mut whole) = (byte, byte);
        let lengths = [blocks, rest];
        let places = [0, blocks as ffi::MPI_Aint * block() as ffi::MPI_Aint];
        // SAFETY: the arrays have the two entries that are announced; every handle is live where it is used.
        unsafe {
            check("MPI_Type_contiguous", ffi::MPI_Type_contiguous(block() as c_int, byte, &mut unit))?;
            let types = [unit, byte];
            let made =
                ffi::MPI_Type_create_struct(2, lengths.as_ptr(), places.as_ptr(), types.as_ptr(), &mut whole);
            let freed = ffi::MPI_Type_free(&mut unit);
            check("MPI_Type_create_struct", made)?;
            check("MPI_Type_free", freed)?;
            check("MPI_Type_commit", ffi::MPI_Type_commit(&mut whole))?;
        }
        Ok(Extent { count: 1, datatype: whole, derived: true })
    }
}

impl Drop for Extent {
    #[inline]
    fn drop(&mut self) {
        if self.derived {
            // SAFETY: the type was made by `derived` and nobody else frees it. A failure leaks a small record.
            let _ = unsafe { ffi::MPI_Type_free(&mut self.datatype) };
        }
    }
}

/// Cuts `total` things into ranges of at most `limit`; no things are one empty range, since every rank must call.
pub(super) fn pieces(total: usize, limit: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let count = total.div_ceil(limit).max(1);
    (0..count).map(move |i| i * limit..total.min((i + 1) * limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lengths_are_bytes() {
        assert_eq!(layout(0, 10, 4), Layout::Whole(0));
        assert_eq!(layout(10, 10, 4), Layout::Whole(10));
    }

    #[test]
    fn long_lengths_are_blocks_and_a_rest() {
        assert_eq!(layout(11, 10, 4), Layout::Blocks { blocks: 2, rest: 3 });
        assert_eq!(layout(12, 10, 4), Layout::Blocks { blocks: 3, rest: 0 });
        let real = layout((1 << 31) + 10, c_int::MAX as usize, 1 << 30);
        assert_eq!(real, Layout::Blocks { blocks: 2, rest: 10 });
    }

    #[test]
    fn pieces_cover_everything_once() {
        let ranges = |total, limit| pieces(total, limit).collect::<Vec<_>>();
        assert_eq!(ranges(0, 4), vec![0..0]);
        assert_eq!(ranges(4, 4), vec![0..4]);
        assert_eq!(ranges(9, 4), [0..4, 4..8, 8..9]);
    }
}
