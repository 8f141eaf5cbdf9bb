//! `Value`: the numbers that matrices and vectors are made of, and the arithmetic that solvers need of them.
//!
//! What may be sent is said in `comm/element`, what has a reproducible sum in `comm/op/summable`.

use crate::comm::Number;
use crate::comm::op::Summable;
use num_complex::Complex;
use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

/// An entry of a matrix or vector: `f32`, `f64`, `Complex<f32>` or `Complex<f64>`.
pub trait Value:
    Number
    + Summable
    + Debug
    + Default
    + PartialEq
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
{
    /// Whether it has an imaginary part.
    const COMPLEX: bool;
    /// From a real and an imaginary part, rounded; a real number drops the latter.
    fn of_parts(re: f64, im: f64) -> Self;
    /// Its real and imaginary part.
    fn parts(self) -> (f64, f64);
    /// The complex conjugate: itself, if it is real.
    fn conj(self) -> Self;

    /// From a real number, rounded.
    fn of(re: f64) -> Self {
        Self::of_parts(re, 0.0)
    }
    /// The square of its absolute value, which may overflow.
    fn abs_squared(self) -> f64 {
        let (re, im) = self.parts();
        re * re + im * im
    }
    /// Its absolute value.
    fn abs(self) -> f64 {
        let (re, im) = self.parts();
        re.hypot(im)
    }
    /// Neither NaN nor infinite.
    fn is_finite(self) -> bool {
        let (re, im) = self.parts();
        re.is_finite() && im.is_finite()
    }
}

macro_rules! values {
    ($($type:ty)*) => {$(
        impl Value for $type {
            const COMPLEX: bool = false;
            fn of_parts(re: f64, _: f64) -> Self {
                re as $type
            }
            #[inline]
            fn parts(self) -> (f64, f64) {
                (f64::from(self), 0.0)
            }
            #[inline]
            fn conj(self) -> Self {
                self
            }
            fn abs(self) -> f64 {
                f64::from(self).abs()
            }
        }
        impl Value for Complex<$type> {
            const COMPLEX: bool = true;
            fn of_parts(re: f64, im: f64) -> Self {
                Complex::new(re as $type, im as $type)
            }
            #[inline]
            fn parts(self) -> (f64, f64) {
                (f64::from(self.re), f64::from(self.im))
            }
            #[inline]
            fn conj(self) -> Self {
                Complex::new(self.re, -self.im)
            }
        }
    )*};
}

values! { f32 f64 }
