//! Extremes with their place: `MinLoc` and `MaxLoc`, MPI's MINLOC and MAXLOC for every ordered type.

use super::Op;
use crate::comm::element::{Element, Kind};
use std::cmp::Ordering;

/// A value and where it is: a rank, or an index of any kind.
///
/// Packed, so that there is no padding whatever the value; hence methods rather than fields.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, packed)]
pub struct Located<T> {
    value: T,
    at: u64,
}

impl<T: Element> Located<T> {
    /// `value`, found at `at`.
    pub fn new(value: T, at: usize) -> Self {
        Located { value, at: at as u64 }
    }

    /// The value.
    pub fn value(&self) -> T {
        self.value
    }

    /// Where it is.
    pub fn at(&self) -> usize {
        self.at as usize
    }
}

impl<T: Element> Element for Located<T> {
    const KIND: Kind = Kind::of_fields::<Self>("Located", &[(T::KIND, size_of::<T>()), (u64::KIND, 8)]);
}

impl<T: Element + PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value() == other.value() && self.at() == other.at()
    }
}

impl<T: Element + std::fmt::Debug> std::fmt::Debug for Located<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} at {}", self.value(), self.at())
    }
}

/// The smallest [`Located`] value and its place: the lowest among equals; a NaN goes before all numbers.
///
/// Values are compared as `PartialOrd` says, so arrays compare like words in a dictionary.
///
/// ```
/// use rankine::op::{Located, MinLoc};
/// rankine::testing::ranks([1, 2, 3], |world| {
///     // Rank r owns cells 2r and 2r + 1.
///     let cell = 2 * world.rank() + 1;
///     let coldest = world.allreduce(Located::new(300.0 - cell as f64, cell), MinLoc)?;
///     assert_eq!(coldest, Located::new(301.0 - 2.0 * world.size() as f64, 2 * world.size() - 1));
///     Ok(())
/// });
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct MinLoc;

/// The largest [`Located`] value and its place; as [`MinLoc`].
#[derive(Clone, Copy, Debug, Default)]
pub struct MaxLoc;

impl<T: Element + PartialOrd> Op<Located<T>> for MinLoc {
    const COMMUTATIVE: bool = true;
    #[inline]
    fn combine(self, left: Located<T>, right: Located<T>) -> Located<T> {
        first(left, right, Ordering::Less)
    }
}

impl<T: Element + PartialOrd> Op<Located<T>> for MaxLoc {
    const COMMUTATIVE: bool = true;
    #[inline]
    fn combine(self, left: Located<T>, right: Located<T>) -> Located<T> {
        first(left, right, Ordering::Greater)
    }
}

/// The one whose value is `wanted` than the other's; the same whichever comes first.
#[inline]
fn first<T: Element + PartialOrd>(a: Located<T>, b: Located<T>, wanted: Ordering) -> Located<T> {
    // A value that cannot even be compared with itself has a NaN in it.
    let number = |x: &Located<T>| x.value().partial_cmp(&x.value()).is_some();
    let order = match (number(&a), number(&b)) {
        (true, true) => a.value().partial_cmp(&b.value()).unwrap_or(Ordering::Equal),
        (false, false) => Ordering::Equal,
        (false, true) => wanted,
        (true, false) => wanted.reverse(),
    };
    // At one place even +0.0 and -0.0 must not depend on who comes first.
    let before = match a.at().cmp(&b.at()) {
        Ordering::Equal => bytemuck::bytes_of(&a) <= bytemuck::bytes_of(&b),
        place => place == Ordering::Less,
    };
    if order == wanted || order == Ordering::Equal && before { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(op: impl Op<Located<f64>>, a: (f64, usize), b: (f64, usize)) -> (f64, usize) {
        let (a, b) = (Located::new(a.0, a.1), Located::new(b.0, b.1));
        let (one, other) = (op.combine(a, b), op.combine(b, a));
        assert_eq!((one.value().to_bits(), one.at()), (other.value().to_bits(), other.at()));
        (one.value(), one.at())
    }

    #[test]
    fn ties_go_to_the_lowest_place() {
        assert_eq!(both(MinLoc, (1.0, 5), (1.0, 3)), (1.0, 3));
        assert_eq!(both(MaxLoc, (1.0, 5), (1.0, 3)), (1.0, 3));
        assert_eq!(both(MinLoc, (1.0, 5), (2.0, 3)), (1.0, 5));
        assert_eq!(both(MaxLoc, (1.0, 5), (2.0, 3)), (2.0, 3));
    }

    #[test]
    fn a_nan_comes_first_and_zeros_are_equal() {
        for (value, at) in [both(MinLoc, (f64::NAN, 9), (1.0, 3)), both(MaxLoc, (1.0, 3), (f64::NAN, 9))] {
            assert!(value.is_nan() && at == 9);
        }
        assert_eq!(both(MinLoc, (f64::NAN, 9), (-f64::NAN, 4)).1, 4);
        assert_eq!(both(MaxLoc, (0.0, 1), (-0.0, 0)).1, 0);
        both(MinLoc, (0.0, 1), (-0.0, 1));
    }

    #[test]
    fn there_is_no_padding_for_any_value() {
        assert_eq!(size_of::<Located<u8>>(), 9);
        assert_eq!(size_of::<Located<u128>>(), 24);
        assert_ne!(<Located<f64>>::KIND, <Located<i64>>::KIND);
    }
}
