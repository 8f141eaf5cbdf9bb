//! What can be combined at the target of a window: which elements, by which operators.
//!
//! Both traits are closed: MPI combines at the target only what it knows by heart. What the operators compute is in
//! `op`; two more make sense only here.

use crate::comm::element::Element;
use crate::comm::op::{
    And, BitAnd, BitOr, BitXor, Bits, Builtin, Max, Min, Number, Op, Or, Ordered, Prod, Sum, Xor,
};
use crate::engine::Reduction;
use crate::engine::window::{How, Merge as Engines};
use num_complex::Complex;

mod sealed {
    pub trait Sealed {}
}

/// Elements that accumulate can combine at the target: integers up to 64 bits, floats, complex numbers, and arrays of
/// them. Each number is combined atomically, an array's one by one.
///
/// A struct is not one, nor is a 128-bit integer, which MPI does not have:
///
/// ```compile_fail,E0277
/// use rankine::op::Sum;
/// rankine::testing::ranks([1], |world| {
///     let mut window = world.window::<i128>(1)?;
///     window.fence(|epoch| epoch.accumulate(&[1], Sum, 0, 0))
/// });
/// ```
pub trait Atomic: Element + sealed::Sealed {
    /// The number that is combined.
    type Scalar: Element;
    /// Whether one of the numbers is NaN.
    #[doc(hidden)]
    fn has_nan(&self) -> bool;
}

/// Integers up to 64 bits, which can be compared and swapped.
pub trait Swap: Atomic {}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl sealed::Sealed for $type {}
        impl Atomic for $type {
            type Scalar = $type;
            fn has_nan(&self) -> bool { false }
        }
        impl Swap for $type {}
    )*};
}

integers! { i8 i16 i32 i64 u8 u16 u32 u64 }
#[cfg(target_pointer_width = "64")]
integers! { isize usize }

macro_rules! floats {
    ($($type:ty)*) => {$(
        impl sealed::Sealed for $type {}
        impl Atomic for $type {
            type Scalar = $type;
            fn has_nan(&self) -> bool { self.is_nan() }
        }
        impl sealed::Sealed for Complex<$type> {}
        impl Atomic for Complex<$type> {
            type Scalar = Complex<$type>;
            fn has_nan(&self) -> bool { self.re.is_nan() || self.im.is_nan() }
        }
    )*};
}

floats! { f32 f64 }

impl<T: Atomic, const N: usize> sealed::Sealed for [T; N] {}
impl<T: Atomic, const N: usize> Atomic for [T; N] {
    type Scalar = T::Scalar;
    fn has_nan(&self) -> bool {
        self.iter().any(T::has_nan)
    }
}

/// An operator of accumulate: the sums, extremes and bits of [`op`](crate::op), [`Replace`] and [`NoOp`].
///
/// MPI promises atomicity among accesses with the same operator, and between those and [`NoOp`]: on one element, use
/// one operator at a time.
///
/// A function of your own is not one, because MPI cannot run it at the target:
///
/// ```compile_fail,E0277
/// rankine::testing::ranks([1], |world| {
///     let mut window = world.window::<i64>(1)?;
///     window.fence(|epoch| epoch.accumulate(&[1], |a: i64, b: i64| a + b, 0, 0))
/// });
/// ```
pub trait Merge<T: Element>: Op<T> + sealed::Sealed {
    #[doc(hidden)]
    const HOW: How;
}

macro_rules! operators {
    ($($name:ident, $bound:ident;)*) => {$(
        impl sealed::Sealed for $name {}
        impl<T: $bound> Merge<T> for $name {
            const HOW: How = How::Op(Builtin::$name);
        }
    )*};
}

operators! {
    Sum, Number;
    Prod, Number;
    Min, Ordered;
    Max, Ordered;
    BitAnd, Bits;
    BitOr, Bits;
    BitXor, Bits;
    And, Bits;
    Or, Bits;
    Xor, Bits;
}

/// What is sent takes the place of what is there: an atomic put.
#[derive(Clone, Copy, Debug, Default)]
pub struct Replace;

/// What is there stays: with `get_accumulate` or `fetch_op` an atomic get.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoOp;

impl<T: Element> Op<T> for Replace {
    fn combine(self, _left: T, right: T) -> T {
        right
    }
}

impl<T: Element> Op<T> for NoOp {
    fn combine(self, left: T, _right: T) -> T {
        left
    }
}

impl sealed::Sealed for Replace {}
impl<T: Element> Merge<T> for Replace {
    const HOW: How = How::Replace;
}

impl sealed::Sealed for NoOp {}
impl<T: Element> Merge<T> for NoOp {
    const HOW: How = How::Keep;
}

/// The operator as engines take it.
pub(super) fn erased<T: Atomic, O: Merge<T::Scalar>>(op: O) -> Engines {
    Engines { how: O::HOW, reduction: Reduction::of::<T::Scalar, O>(op) }
}
