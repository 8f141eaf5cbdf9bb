//! Anything whose elements are split over ranks, as files see it: a global shape, and the boxes of it that a rank
//! holds.
//!
//! What can say so much of itself can be written, read and kept in a checkpoint. Nothing here communicates and nothing
//! owns data; [`Slab`](super::Slab) and [`Field`](crate::Field) are two such things, and a type of an author's becomes
//! one by these two traits.

use super::slab::Format;
use crate::comm::{Element, Scalar};
use crate::error::{Error, Result};
use std::borrow::Cow;

/// A box of a global array that a rank holds, and where in its memory it does. Row-major (C order).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The global index of its first element.
    pub start: Vec<usize>,
    /// Its elements along each axis; with a zero it is empty.
    pub shape: Vec<usize>,
    /// The storage's element where the array `padded` begins.
    pub base: usize,
    /// Where in `padded` the first element is.
    pub offset: Vec<usize>,
    /// The shape of what is stored, halos and other padding included.
    pub padded: Vec<usize>,
}

impl Piece {
    /// A box without padding, stored from the element `base` on.
    pub fn packed(start: Vec<usize>, shape: Vec<usize>, base: usize) -> Piece {
        let (offset, padded) = (vec![0; shape.len()], shape.clone());
        Piece { start, shape, base, offset, padded }
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the box lies in an array of `global` elements and in a storage of `len`.
    fn check(&self, global: &[usize], len: usize) -> Result<()> {
        let axes = global.len();
        let fits = |start: &[usize], whole: &[usize]| {
            let end = |axis: usize| start[axis].checked_add(self.shape[axis]);
            (0..axes).all(|axis| end(axis).is_some_and(|end| end <= whole[axis]))
        };
        let same =
            [&self.start, &self.shape, &self.offset, &self.padded].iter().all(|list| list.len() == axes);
        if same && self.is_empty() {
            return Ok(());
        }
        let stored = self.padded.iter().try_fold(1usize, |all, &n| all.checked_mul(n));
        let stored = stored.and_then(|stored| stored.checked_add(self.base));
        if same
            && fits(&self.start, global)
            && fits(&self.offset, &self.padded)
            && stored.is_some_and(|end| end <= len)
        {
            return Ok(());
        }
        Err(Error::usage(format!(
            "{self:?} does not lie in an array of {global:?} or not in a storage of {len}"
        ))
        .help("the type's `pieces` must describe its storage"))
    }

    /// The stretches of elements that are contiguous both in the global array and in the storage: the storage's
    /// element, the global one (row-major), and how many.
    pub(super) fn runs<'p>(
        &'p self,
        global: &'p [usize],
    ) -> impl Iterator<Item = (usize, u64, usize)> + use<'p> {
        let axes = global.len();
        // The axes from `inner` on are one stretch.
        let mut inner = axes.saturating_sub(1);
        while inner > 0 && self.shape[inner] == global[inner] && self.shape[inner] == self.padded[inner] {
            inner -= 1;
        }
        let len: usize = self.shape[inner.min(axes)..].iter().product();
        let count = if self.is_empty() { 0 } else { self.shape[..inner].iter().product() };
        (0..count).map(move |run| {
            let (mut rest, mut index) = (run, vec![0; axes]);
            for axis in (0..inner).rev() {
                index[axis] = rest % self.shape[axis];
                rest /= self.shape[axis];
            }
            let (mut stored, mut at) = (0, 0u64);
            for axis in 0..axes {
                stored = stored * self.padded[axis] + self.offset[axis] + index[axis];
                at = at * global[axis] as u64 + (self.start[axis] + index[axis]) as u64;
            }
            (self.base + stored, at, len)
        })
    }
}

/// An array whose elements are split over the ranks of a communicator.
///
/// ```
/// use rankine::output::{Partitioned, PartitionedMut, Piece};
/// /// A vector of which every rank has a stretch.
/// struct Stretch { all: usize, first: usize, own: Vec<f64> }
/// impl Partitioned for Stretch {
///     type Item = f64;
///     fn global_shape(&self) -> Vec<usize> { vec![self.all] }
///     fn pieces(&self) -> Vec<Piece> { vec![Piece::packed(vec![self.first], vec![self.own.len()], 0)] }
///     fn elements(&self) -> &[f64] { &self.own }
/// }
/// impl PartitionedMut for Stretch {
///     fn elements_mut(&mut self) -> &mut [f64] { &mut self.own }
/// }
/// # let s = Stretch { all: 4, first: 1, own: vec![1.0, 2.0] };
/// # assert_eq!(s.pieces()[0].len(), 2);
/// ```
pub trait Partitioned {
    /// What it is made of. Numbers are kept as such; complex numbers, arrays of numbers and structs with one axis more,
    /// of their parts.
    type Item: Element;
    /// The elements along each axis of the whole, slowest first; the same on every rank.
    fn global_shape(&self) -> Vec<usize>;
    /// The boxes of this rank, of the whole's number of axes. All ranks' together cover the whole, and no two overlap.
    fn pieces(&self) -> Vec<Piece>;
    /// The storage that the pieces speak of.
    fn elements(&self) -> &[Self::Item];
    /// The elements in the order that the pieces speak of, where that is not the storage's: what is written. A type that
    /// has one order only leaves it as it is. As many as [`elements`](Partitioned::elements).
    fn ordered(&self) -> Cow<'_, [Self::Item]> {
        Cow::Borrowed(self.elements())
    }
}

/// A [`Partitioned`] array that can be read into.
pub trait PartitionedMut: Partitioned {
    /// As [`Partitioned::elements`], to write.
    fn elements_mut(&mut self) -> &mut [Self::Item];
    /// Called when elements have been read into [`elements_mut`](PartitionedMut::elements_mut) in the order that the
    /// pieces speak of, also if not all could be; a type with another [order](Partitioned::ordered) brings them to its own.
    fn settle(&mut self) {}
}

/// How elements of a type are kept in a file: as so many numbers each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub format: Format,
    pub parts: usize,
}

/// How elements of `T` are kept.
fn shown<T: Element>() -> Shown {
    let format = match T::KIND.scalar() {
        Scalar::I8 => Format::I8,
        Scalar::I16 => Format::I16,
        Scalar::I32 => Format::I32,
        Scalar::I64 => Format::I64,
        Scalar::U8 | Scalar::Record => Format::U8,
        Scalar::U16 => Format::U16,
        Scalar::U32 => Format::U32,
        Scalar::U64 | Scalar::I128 | Scalar::U128 => Format::U64,
        Scalar::F32 | Scalar::C32 => Format::F32,
        Scalar::F64 | Scalar::C64 => Format::F64,
    };
    match size_of::<T>() {
        size if size % format.bytes() == 0 => Shown { format, parts: size / format.bytes() },
        size => Shown { format: Format::U8, parts: size },
    }
}

/// A partitioned array that has been looked at: its pieces lie in it and in its storage.
pub(crate) struct Looked {
    pub global: Vec<usize>,
    pub pieces: Vec<Piece>,
    pub shown: Shown,
}

impl Looked {
    /// # Errors
    /// No axes or more than thirty, more elements than can be counted, pieces that lie elsewhere.
    pub fn at<P: Partitioned + ?Sized>(array: &P) -> Result<Looked> {
        let (global, pieces) = (array.global_shape(), array.pieces());
        let bytes = global.iter().try_fold(size_of::<P::Item>() as u64, |all, &n| all.checked_mul(n as u64));
        if !(1..=30).contains(&global.len()) || bytes.is_none_or(|bytes| bytes > i64::MAX as u64) {
            return Err(Error::usage(format!("an array of the shape {global:?}"))
                .help("give 1 to 30 axes, and no more elements than can be counted"));
        }
        for piece in &pieces {
            piece.check(&global, array.elements().len())?;
        }
        Ok(Looked { global, pieces, shown: shown::<P::Item>() })
    }

    /// The elements as the pieces speak of them. A type whose two orders are not of one length is taken by its storage, with
    /// which the pieces were compared.
    pub fn ordered<'a, P: Partitioned + ?Sized>(&self, array: &'a P) -> Cow<'a, [P::Item]> {
        let ordered = array.ordered();
        if ordered.len() == array.elements().len() { ordered } else { Cow::Borrowed(array.elements()) }
    }

    /// The shape in a file.
    pub fn shape(&self) -> Vec<usize> {
        let mut shape = self.global.clone();
        shape.extend((self.shown.parts != 1).then_some(self.shown.parts));
        shape
    }

    /// Whether the whole has no elements.
    pub fn is_empty(&self) -> bool {
        self.global.contains(&0) || self.shown.parts == 0
    }

    /// This rank's part of the checksum that [`Field::checksum`](crate::Field::checksum) is, too: the sum over all ranks
    /// depends on every element's bits and place, and on nothing else.
    pub fn checksum<T: Element>(&self, elements: &[T]) -> u64 {
        let mut sum = 0u64;
        for (stored, at, len) in self.pieces.iter().flat_map(|piece| piece.runs(&self.global)) {
            for (index, value) in (at..).zip(&elements[stored..stored + len]) {
                sum = sum.wrapping_add(crate::field::mixed(index, bytemuck::bytes_of(value)));
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_as_long_as_both_sides_allow() {
        let whole = Piece::packed(vec![0, 0, 0], vec![2, 3, 4], 0);
        assert_eq!(whole.runs(&[2, 3, 4]).collect::<Vec<_>>(), [(0, 0, 24)]);
        let planes = Piece::packed(vec![1, 0, 0], vec![2, 3, 4], 5);
        assert_eq!(planes.runs(&[4, 3, 4]).collect::<Vec<_>>(), [(5, 12, 24)]);
        let rows = Piece::packed(vec![0, 1, 0], vec![2, 2, 4], 0);
        assert_eq!(rows.runs(&[2, 3, 4]).collect::<Vec<_>>(), [(0, 4, 8), (8, 16, 8)]);
        let halo =
            Piece { start: vec![1, 2], shape: vec![2, 2], base: 1, offset: vec![1, 1], padded: vec![4, 4] };
        assert_eq!(halo.runs(&[3, 4]).collect::<Vec<_>>(), [(6, 6, 2), (10, 10, 2)]);
        assert_eq!(Piece::packed(vec![0, 0], vec![0, 4], 0).runs(&[3, 4]).count(), 0);
        assert_eq!(Piece::packed(vec![2], vec![3], 0).runs(&[9]).collect::<Vec<_>>(), [(0, 2, 3)]);
    }

    #[test]
    fn pieces_that_lie_elsewhere_are_refused() {
        let ok = |piece: Piece| piece.check(&[4, 4], 16).is_ok();
        assert!(ok(Piece::packed(vec![0, 0], vec![4, 4], 0)));
        assert!(!ok(Piece::packed(vec![1, 0], vec![4, 4], 0)));
        assert!(!ok(Piece::packed(vec![0, 0], vec![4, 4], 1)));
        assert!(!ok(Piece::packed(vec![0], vec![4], 0)));
        assert!(!ok(Piece::packed(vec![usize::MAX, 0], vec![1, 4], 0)));
        let mut wide = Piece::packed(vec![0, 0], vec![2, 2], 0);
        wide.padded = vec![usize::MAX, 4];
        assert!(!ok(wide));
        assert!(ok(Piece::packed(vec![9, 9], vec![0, 4], 99)));
    }

    #[test]
    fn elements_are_kept_as_their_numbers() {
        use num_complex::Complex;
        assert_eq!(shown::<f64>(), Shown { format: Format::F64, parts: 1 });
        assert_eq!(shown::<Complex<f32>>(), Shown { format: Format::F32, parts: 2 });
        assert_eq!(shown::<u128>(), Shown { format: Format::U64, parts: 2 });
    }
}
