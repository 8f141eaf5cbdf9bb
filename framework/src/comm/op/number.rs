//! Arithmetic on elements: what the operators that come with the framework need of a type.
//!
//! The operators themselves are beside this file, in `op`; structs get these traits field by field from
//! `rankine-derive`.

use crate::comm::element::Element;
use num_complex::Complex;

/// Elements that can be added and multiplied; integers wrap, arrays go element by element, and structs field by field:
///
/// ```
/// use rankine::op::{Max, Sum};
/// #[derive(Clone, Copy, PartialEq, Debug, rankine::Element, rankine::Number)]
/// #[repr(C)]
/// struct Totals { energy: f64, particles: i64, momentum: [f64; 3] }
/// rankine::testing::ranks([1, 2, 3], |world| {
///     let n = world.size() as i64;
///     let mine = Totals { energy: 0.5, particles: 10, momentum: [1.0, 0.0, -1.0] };
///     let all = world.allreduce(mine, Sum)?;
///     let f = n as f64;
///     assert_eq!(all, Totals { energy: 0.5 * f, particles: 10 * n, momentum: [f, 0.0, -f] });
///     Ok(())
/// });
/// ```
///
/// A struct with a field that has no arithmetic has none:
///
/// ```compile_fail
/// #[derive(Clone, Copy, rankine::Element)]
/// #[repr(C)]
/// struct Name([u8; 8]);
/// #[derive(Clone, Copy, rankine::Element, rankine::Number)]
/// #[repr(C)]
/// struct Entry { name: Name, count: u64 }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be added and multiplied in a reduction",
    note = "a struct gets `Sum` and `Prod` field by field with #[derive(rankine::Number)]; any function \
            `fn(T, T) -> T` is an operator too"
)]
pub trait Number: Element {
    /// `self + other`
    fn plus(self, other: Self) -> Self;
    /// `self * other`
    fn times(self, other: Self) -> Self;
}

/// Numbers with an order. A NaN on any rank is the answer on every rank, never hidden. Arrays go element by element, and
/// structs field by field with `#[derive(rankine::Ordered)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no smaller and larger in a reduction",
    note = "a struct gets `Min` and `Max` field by field with #[derive(rankine::Ordered)]; `MinLoc` and `MaxLoc` find \
            which rank has the extreme"
)]
pub trait Ordered: Number {
    /// The smaller of the two.
    fn smaller(self, other: Self) -> Self;
    /// The larger of the two.
    fn larger(self, other: Self) -> Self;
}

/// Integers, as bits and as truth values. Arrays go element by element, and structs field by field with
/// `#[derive(rankine::Bits)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no bitwise or logical operators in a reduction",
    note = "integers have; a struct of integers gets them field by field with #[derive(rankine::Bits)]; for one `bool` \
            a rank there are `comm.all` and `comm.any`"
)]
pub trait Bits: Number {
    /// `self & other`
    fn and(self, other: Self) -> Self;
    /// `self | other`
    fn or(self, other: Self) -> Self;
    /// `self ^ other`
    fn xor(self, other: Self) -> Self;
    /// 1 where `self` is not 0, else 0.
    fn truth(self) -> Self;
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
            fn truth(self) -> Self { Self::from(self != 0) }
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
    fn truth(self) -> Self {
        self.map(T::truth)
    }
}
