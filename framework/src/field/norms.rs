//! Norms, dot products and reproducible sums of fields.
//!
//! How cells are combined is in `reduce`, what a reproducible sum is in `comm::op::exact`.

use super::Field;
use super::reduce::{Halves, RUN};
use crate::comm::{Element, Number, Op};
use crate::error::Result;
use crate::op::{Exact, Max, Sum, Summable};
use num_complex::Complex;

/// How a field is measured; cells count alike, however wide they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Norm {
    /// The sum of the absolute values.
    L1,
    /// The root of the sum of their squares.
    L2,
    /// The largest absolute value; NaN if there is one.
    Max,
}

mod sealed {
    pub trait Sealed {}
}

/// Numbers with an absolute value: `f32`, `f64`, complex ones of them, and integers of up to 64 bits. Sealed.
pub trait Magnitude: Number + sealed::Sealed {
    /// The absolute value.
    #[doc(hidden)]
    fn magnitude(self) -> f64;
    /// Its square.
    #[doc(hidden)]
    fn square(self) -> f64;
    #[doc(hidden)]
    fn conjugate(self) -> Self;
}

macro_rules! real {
    ($($type:ty)*) => {$(
        impl sealed::Sealed for $type {}
        impl Magnitude for $type {
            #[inline]
            fn magnitude(self) -> f64 {
                (self as f64).abs()
            }
            #[inline]
            fn square(self) -> f64 {
                self as f64 * self as f64
            }
            #[inline]
            fn conjugate(self) -> Self {
                self
            }
        }
    )*};
}

real! { f32 f64 i8 i16 i32 i64 u8 u16 u32 u64 isize usize }

macro_rules! complex {
    ($($type:ty)*) => {$(
        impl sealed::Sealed for Complex<$type> {}
        impl Magnitude for Complex<$type> {
            #[inline]
            fn magnitude(self) -> f64 {
                f64::from(self.re).hypot(f64::from(self.im))
            }
            #[inline]
            fn square(self) -> f64 {
                f64::from(self.re) * f64::from(self.re) + f64::from(self.im) * f64::from(self.im)
            }
            #[inline]
            fn conjugate(self) -> Self {
                self.conj()
            }
        }
    )*};
}

complex! { f32 f64 }

impl<T: Element, const D: usize> Field<T, D> {
    /// The norm of all values, in double precision; every rank gets the same answer. Collective.
    ///
    /// Squares beyond the range of a double are not caught. The bits depend on the number of ranks, but for
    /// [`Norm::Max`]; see [`norm_reproducible`](Field::norm_reproducible).
    ///
    /// ```
    /// # use rankine::{Field, Grid, Norm};
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let field = Field::from_fn(&Grid::new(world, [3, 4])?, |[y, x]| if y == x { -2.0 } else { 0.0 })?;
    ///     assert_eq!(field.norm(Norm::L1)?, 6.0);
    ///     assert_eq!(field.norm(Norm::L2)?, 12.0f64.sqrt());
    ///     assert_eq!(field.norm(Norm::Max)?, 2.0);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// As [`Field::reduce`].
    #[track_caller]
    pub fn norm(&self, norm: Norm) -> Result<f64>
    where
        T: Magnitude,
    {
        match norm {
            Norm::L1 => self.reduce(T::magnitude, Sum),
            Norm::L2 => self.reduce(T::square, Sum).map(f64::sqrt),
            Norm::Max => self.reduce(T::magnitude, Max),
        }
    }

    /// As [`norm`](Field::norm), with the same bits for any number of ranks and threads: each absolute value or square
    /// is rounded by itself, and their exact sum once. Collective.
    ///
    /// # Errors
    /// As [`Field::reduce`].
    #[track_caller]
    pub fn norm_reproducible(&self, norm: Norm) -> Result<f64>
    where
        T: Magnitude,
    {
        match norm {
            Norm::L1 => self.exact(T::magnitude),
            Norm::L2 => self.exact(T::square).map(f64::sqrt),
            Norm::Max => self.norm(norm),
        }
    }

    /// The sum of all values with the same bits for any number of ranks and threads: the exact sum, rounded once.
    /// Collective.
    ///
    /// # Errors
    /// As [`Field::reduce`].
    #[track_caller]
    pub fn sum_reproducible(&self) -> Result<T>
    where
        T: Summable,
    {
        let owned = self.owned();
        let add = |sums: &mut [Exact; 2], planes| owned.rows(planes, |_, row| T::add_all(row, sums));
        let mut sums = owned.in_any_order(none, add, merged);
        self.grid().comm().allreduce_in_place(&mut sums[..T::PARTS], Sum)?;
        Ok(T::rounded(&sums))
    }

    /// The sum of `a* b` over all points of this field (`a`, conjugated if complex) and another. Collective. The bits are
    /// the same for any number of threads, and depend on the number of ranks.
    ///
    /// # Errors
    /// A field on other points; else as [`Field::reduce`].
    #[track_caller]
    pub fn dot(&self, other: &Field<T, D>) -> Result<T>
    where
        T: Magnitude,
    {
        self.check_points("dot", other)?;
        let (mine, others) = (self.owned(), other.owned());
        let of_piece = |planes| {
            let mut halves = Halves::new(Sum);
            mine.pairs(&others, planes, |a, b| {
                for (a, b) in a.chunks(RUN).zip(b.chunks(RUN)) {
                    let pairs = a.iter().zip(b).map(|(&a, &b)| a.conjugate().times(b));
                    halves.push(pairs.fold(T::zeroed(), T::plus));
                }
            });
            halves.finish()
        };
        let mut halves = Halves::new(Sum);
        mine.in_order(of_piece, |value| halves.push(value));
        self.grid().allreduce(halves.finish(), Sum)
    }

    /// As [`dot`](Field::dot), with the same bits for any number of ranks; as
    /// [`Comm::dot_reproducible`](crate::Comm::dot_reproducible). Collective.
    ///
    /// # Errors
    /// As [`dot`](Field::dot).
    #[track_caller]
    pub fn dot_reproducible(&self, other: &Field<T, D>) -> Result<T>
    where
        T: Summable,
    {
        self.check_points("dot_reproducible", other)?;
        let (mine, others) = (self.owned(), other.owned());
        let add =
            |sums: &mut [Exact; 2], planes| mine.pairs(&others, planes, |a, b| T::add_products(a, b, sums));
        let mut sums = mine.in_any_order(none, add, merged);
        self.grid().comm().allreduce_in_place(&mut sums[..T::PARTS], Sum)?;
        Ok(T::rounded(&sums))
    }

    /// The exact sum of what `map` makes of all values, rounded once.
    #[track_caller]
    fn exact(&self, map: impl Fn(T) -> f64 + Sync) -> Result<f64> {
        let owned = self.owned();
        let add = |[sum, _]: &mut [Exact; 2], planes| {
            let mut numbers = [0.0; 8 * RUN];
            owned.rows(planes, |_, row| {
                for run in row.chunks(numbers.len()) {
                    numbers.iter_mut().zip(run).for_each(|(number, &value)| *number = map(value));
                    sum.add_all(&numbers[..run.len()]);
                }
            });
        };
        let [sum, _] = owned.in_any_order(none, add, merged);
        self.grid().comm().allreduce(sum, Sum).map(|sum| sum.value())
    }
}

/// Exact sums of nothing.
fn none() -> [Exact; 2] {
    [Exact::new(); 2]
}

fn merged(a: [Exact; 2], b: [Exact; 2]) -> [Exact; 2] {
    [Sum.combine(a[0], b[0]), Sum.combine(a[1], b[1])]
}
