//! Reductions: what `reduce` and `allreduce` do to two elements.
//!
//! An operator is a zero-sized value: one of the unit structs here, or a plain function or closure that
//! captures nothing. How the ranks' contributions meet is the engines' business.

mod blocks;
mod exact;
#[cfg(test)]
mod exact_tests;
mod located;
mod number;
mod summable;

pub use exact::Exact;
pub use located::{Located, MaxLoc, MinLoc};
pub use number::{Bits, Number, Ordered};
pub use summable::Summable;

use super::element::Element;

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
    And,
    Or,
    Xor,
}

macro_rules! operators {
    ($($name:ident, $bound:ident, |$left:ident, $right:ident| $answer:expr, $doc:literal;)*) => {$(
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name;
        impl<T: $bound> Op<T> for $name {
            const COMMUTATIVE: bool = true;
            const BUILTIN: Option<Builtin> = Some(Builtin::$name);
            #[inline]
            fn combine(self, $left: T, $right: T) -> T { $answer }
        }
    )*};
}

operators! {
    Sum, Number, |a, b| a.plus(b), "The sum; integers wrap.";
    Prod, Number, |a, b| a.times(b), "The product; integers wrap.";
    Min, Ordered, |a, b| a.smaller(b), "The smallest; NaN if there is one.";
    Max, Ordered, |a, b| a.larger(b), "The largest; NaN if there is one.";
    BitAnd, Bits, |a, b| a.and(b), "Bitwise and.";
    BitOr, Bits, |a, b| a.or(b), "Bitwise or.";
    BitXor, Bits, |a, b| a.xor(b), "Bitwise exclusive or.";
    And, Bits, |a, b| a.truth().and(b.truth()), "Logical and of integers: 1 if none is 0, else 0. As everywhere, what \
        a single rank brings comes back as it is; [`Comm::all`](crate::Comm::all) is the one for a `bool`.";
    Or, Bits, |a, b| a.or(b).truth(), "Logical or of integers: 1 if any is not 0, else 0. As everywhere, what \
        a single rank brings comes back as it is; [`Comm::any`](crate::Comm::any) is the one for a `bool`.";
    Xor, Bits, |a, b| a.truth().xor(b.truth()), "Logical exclusive or of integers: 1 if an odd number of them are not 0.";
}

/// The element of the lowest rank. Not commutative.
#[derive(Clone, Copy, Debug, Default)]
pub struct First;

impl<T: Element> Op<T> for First {
    #[inline]
    fn combine(self, left: T, _right: T) -> T {
        left
    }
}

/// The element of the highest rank. Not commutative.
#[derive(Clone, Copy, Debug, Default)]
pub struct Last;

impl<T: Element> Op<T> for Last {
    #[inline]
    fn combine(self, _left: T, right: T) -> T {
        right
    }
}

/// A function that may be given its arguments in any order; see [`commutative`].
#[derive(Clone, Copy, Debug)]
pub struct Commutative<F>(F);

/// Declares that `f(a, b)` is `f(b, a)`, which gives engines more freedom. The answer is undefined if it is not so.
///
/// ```
/// use rankine::op::commutative;
/// rankine::testing::ranks([1, 2, 3], |world| {
///     let length = world.allreduce(1.0, commutative(f64::hypot))?;
///     assert!((length - (world.size() as f64).sqrt()).abs() < 1e-15);
///     Ok(())
/// });
/// ```
pub const fn commutative<T, F>(f: F) -> Commutative<F>
where
    T: Element,
    F: Fn(T, T) -> T + Copy + Send + Sync + 'static,
{
    Commutative(f)
}

impl<T, F> Op<T> for Commutative<F>
where
    T: Element,
    F: Fn(T, T) -> T + Copy + Send + Sync + 'static,
{
    const COMMUTATIVE: bool = true;
    #[inline]
    fn combine(self, left: T, right: T) -> T {
        (self.0)(left, right)
    }
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
        assert_eq!(Op::<[u8; 3]>::combine(And, [6, 1, 0], [9, 0, 0]), [1, 0, 0]);
        assert_eq!(Op::<[u8; 3]>::combine(Or, [6, 1, 0], [9, 0, 0]), [1, 1, 0]);
        assert_eq!(Op::<[u8; 3]>::combine(Xor, [6, 1, 0], [9, 0, 0]), [0, 1, 0]);
    }

    #[test]
    fn a_function_commutes_only_when_it_is_said_to() {
        fn commutes<O: Op<f64>>(_: O) -> bool {
            O::COMMUTATIVE
        }
        assert!(commutes(commutative(f64::max)) && !commutes(f64::max) && !commutes(Last));
        assert_eq!(commutative(f64::hypot).combine(3.0, 4.0), 5.0);
    }
}
