//! Reductions: what `reduce` and `allreduce` do to two elements.
//!
//! An operator is a zero-sized value: one of the unit structs here, or a plain function or closure that
//! captures nothing. How the ranks' contributions meet is the engines' business.

use super::element::Element;
use num_complex::Complex;

/// A reduction operator on elements of type `T`; associative, and commutative unless it says otherwise.
///
/// Any function `Fn(T, T) -> T` that captures nothing is one (its left argument comes from the lower ranks):
///
/// ```
/// rankine::testing::ranks([1, 2, 3], |world| {
///     let longest = world.allreduce(world.rank() as f64, |a: f64, b: f64| a.hypot(b))?;
///     let squares: f64 = (0..world.size()).map(|r| (r * r) as f64).sum();
///     assert!((longest - squares.sqrt()).abs() < 1e-12);
///     Ok(())
/// });
/// ```
///
/// A closure that captures cannot be handed to MPI, so it does not compile:
///
/// ```compile_fail
/// rankine::testing::ranks([2], |world| {
///     let scale = world.size() as f64;
///     world.allreduce(1.0, move |a: f64, b: f64| scale * (a + b))?;
///     Ok(())
/// });
/// ```
pub trait Op<T: Element>: Copy + Send + Sync + 'static {
    /// Whether the arguments may be swapped. Functions are taken not to be commutative.
    const COMMUTATIVE: bool = false;
    /// The operator that engines may know by heart.
    const BUILTIN: Option<Builtin> = None;
    /// `left` comes from lower ranks than `right`.
    fn combine(self, left: T, right: T) -> T;
}

impl<T: Element, F: Fn(T, T) -> T + Copy + Send + Sync + 'static> Op<T> for F {
    fn combine(self, left: T, right: T) -> T {
        self(left, right)
    }
}

/// The operators that MPI has names for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Builtin {
    Sum,
    Prod,
    Min,
    Max,
    BitAnd,
    BitOr,
    BitXor,
}

/// Elements that can be added and multiplied; integers wrap, arrays go element by element.
pub trait Number: Element {
    /// `self + other`
    fn plus(self, other: Self) -> Self;
    /// `self * other`
    fn times(self, other: Self) -> Self;
}

/// Numbers with an order. A NaN on any rank is the answer on every rank, never hidden.
pub trait Ordered: Number {
    /// The smaller of the two.
    fn smaller(self, other: Self) -> Self;
    /// The larger of the two.
    fn larger(self, other: Self) -> Self;
}

/// Integers, as bits.
pub trait Bits: Number {
    /// `self & other`
    fn and(self, other: Self) -> Self;
    /// `self | other`
    fn or(self, other: Self) -> Self;
    /// `self ^ other`
    fn xor(self, other: Self) -> Self;
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl Number for $type {
            fn plus(self, other: Self) -> Self { self.wrapping_add(other) }
            fn times(self, other: Self) -> Self { self.wrapping_mul(other) }
        }
        impl Ordered for $type {
            fn smaller(self, other: Self) -> Self { self.min(other) }
            fn larger(self, other: Self) -> Self { self.max(other) }
        }
        impl Bits for $type {
            fn and(self, other: Self) -> Self { self & other }
            fn or(self, other: Self) -> Self { self | other }
            fn xor(self, other: Self) -> Self { self ^ other }
        }
    )*};
}

integers! { i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 isize usize }

macro_rules! floats {
    ($($type:ty)*) => {$(
        impl Number for $type {
            fn plus(self, other: Self) -> Self { self + other }
            fn times(self, other: Self) -> Self { self * other }
        }
        impl Ordered for $type {
            fn smaller(self, other: Self) -> Self {
                if self < other || self.is_nan() { self } else { other }
            }
            fn larger(self, other: Self) -> Self {
                if self > other || self.is_nan() { self } else { other }
            }
        }
        impl Number for Complex<$type> {
            fn plus(self, other: Self) -> Self { self + other }
            fn times(self, other: Self) -> Self { self * other }
        }
    )*};
}

floats! { f32 f64 }

fn each<T: Copy, const N: usize>(a: [T; N], b: [T; N], f: impl Fn(T, T) -> T) -> [T; N] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

impl<T: Number, const N: usize> Number for [T; N] {
    fn plus(self, other: Self) -> Self {
        each(self, other, T::plus)
    }
    fn times(self, other: Self) -> Self {
        each(self, other, T::times)
    }
}

impl<T: Ordered, const N: usize> Ordered for [T; N] {
    fn smaller(self, other: Self) -> Self {
        each(self, other, T::smaller)
    }
    fn larger(self, other: Self) -> Self {
        each(self, other, T::larger)
    }
}

impl<T: Bits, const N: usize> Bits for [T; N] {
    fn and(self, other: Self) -> Self {
        each(self, other, T::and)
    }
    fn or(self, other: Self) -> Self {
        each(self, other, T::or)
    }
    fn xor(self, other: Self) -> Self {
        each(self, other, T::xor)
    }
}

macro_rules! operators {
    ($($name:ident, $bound:ident, $method:ident, $doc:literal;)*) => {$(
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name;
        impl<T: $bound> Op<T> for $name {
            const COMMUTATIVE: bool = true;
            const BUILTIN: Option<Builtin> = Some(Builtin::$name);
            fn combine(self, left: T, right: T) -> T { left.$method(right) }
        }
    )*};
}

operators! {
    Sum, Number, plus, "The sum; integers wrap.";
    Prod, Number, times, "The product; integers wrap.";
    Min, Ordered, smaller, "The smallest; NaN if there is one.";
    Max, Ordered, larger, "The largest; NaN if there is one.";
    BitAnd, Bits, and, "Bitwise and.";
    BitOr, Bits, or, "Bitwise or.";
    BitXor, Bits, xor, "Bitwise exclusive or.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nan_is_never_hidden() {
        for (a, b) in [(f64::NAN, 1.0), (1.0, f64::NAN)] {
            assert!(Op::<f64>::combine(Min, a, b).is_nan());
            assert!(Op::<f64>::combine(Max, a, b).is_nan());
        }
    }

    #[test]
    fn arrays_reduce_element_by_element() {
        assert_eq!(Op::<[i8; 2]>::combine(Sum, [100, 1], [100, 2]), [-56, 3]);
        assert_eq!(Op::<[u8; 2]>::combine(BitXor, [6, 1], [3, 1]), [5, 0]);
    }
}
