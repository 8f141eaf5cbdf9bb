//! `Summable`: the numbers that have a reproducible sum, and how each goes in and out of `Exact`.
//!
//! The calls are in `comm/reproducible`.

use super::Exact;
use crate::comm::element::Element;
use num_complex::Complex;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
    impl Sealed for num_complex::Complex<f32> {}
    impl Sealed for num_complex::Complex<f64> {}
}

/// Numbers with an exact sum: `f32`, `f64` and complex ones of them, part by part.
pub trait Summable: Element + sealed::Sealed {
    /// Accumulators for one sum, of which the first [`PARTS`](Summable::PARTS) are used.
    #[doc(hidden)]
    const PARTS: usize;
    #[doc(hidden)]
    fn add_all(values: &[Self], sums: &mut [Exact]);
    /// Adds conj(a)·b of all pairs.
    #[doc(hidden)]
    fn add_products(a: &[Self], b: &[Self], sums: &mut [Exact]);
    #[doc(hidden)]
    fn rounded(sums: &[Exact]) -> Self;
    /// The rounded sum of every column of a table with at least one row, given row after row.
    #[doc(hidden)]
    fn sum_columns(rows: &[Self], sums: &mut [Self]);
}

/// Numbers that are converted at a time, on the stack.
const CHUNK: usize = 1024;

/// Adds what `of` makes of the chunks of `0..len`.
fn add_mapped(len: usize, sum: &mut Exact, mut of: impl FnMut(usize) -> f64) {
    let mut space = [0.0; CHUNK];
    for start in (0..len).step_by(CHUNK) {
        let space = &mut space[..CHUNK.min(len - start)];
        for (i, x) in (start..).zip(&mut *space) {
            *x = of(i);
        }
        sum.add_all(space);
    }
}

/// Adds a·b of all pairs: the rounded products, and what rounding took, which is a number too unless the product is
/// near the smallest ones. It depends on the pair alone in any case.
fn add_products(len: usize, sum: &mut Exact, pair: impl Fn(usize) -> (f64, f64)) {
    add_mapped(len, sum, |i| pair(i).0 * pair(i).1);
    add_mapped(len, sum, |i| {
        let (a, b) = pair(i);
        let product = a * b;
        let rest = a.mul_add(b, -product);
        // Nothing is left of a product that is not finite; and no zero may hide the sign of another.
        if product.is_finite() && rest != 0.0 { rest } else { -0.0 }
    });
}

/// Columns that are added at once.
const WIDTH: usize = 64;

/// [`Summable::sum_columns`]. Each sum is kept in twice the precision, s + c; where a step lost something (which is seen),
/// or `of_two` cannot round it, the column is added again exactly.
fn sum_columns<T: Copy + Into<f64>>(
    rows: &[T],
    sums: &mut [T],
    of_two: impl Fn(f64, f64) -> Option<T>,
    of_exact: impl Fn(&Exact) -> T,
) {
    let len = sums.len();
    for (start, sums) in (0..len).step_by(WIDTH).zip(sums.chunks_mut(WIDTH)) {
        let (mut s, mut c, mut lost) = ([0.0; WIDTH], [0.0; WIDTH], [0.0; WIDTH]);
        for (s, &x) in s.iter_mut().zip(&rows[start..start + sums.len()]) {
            *s = x.into();
        }
        for row in rows[len..].chunks_exact(len) {
            let row = &row[start..start + sums.len()];
            for (((s, c), lost), &x) in s.iter_mut().zip(&mut c).zip(&mut lost).zip(row) {
                let (sum, error) = two_sum(*s, x.into());
                *s = sum;
                let (sum, error) = two_sum(*c, error);
                *c = sum;
                // NaN, as infinities and overflow leave it here, is not zero either.
                *lost += error.abs();
            }
        }
        for (i, sum) in sums.iter_mut().enumerate() {
            let two = if lost[i] == 0.0 { of_two(s[i], c[i]) } else { None };
            *sum = two.unwrap_or_else(|| {
                of_exact(&rows[start + i..].iter().step_by(len).map(|&x| x.into()).collect())
            });
        }
    }
}

/// A sum and its rounding error (Knuth).
#[inline]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let of_b = sum - a;
    (sum, (a - (sum - of_b)) + (b - of_b))
}

impl Summable for f64 {
    const PARTS: usize = 1;

    fn add_all(values: &[f64], sums: &mut [Exact]) {
        sums[0].add_all(values);
    }

    fn add_products(a: &[f64], b: &[f64], sums: &mut [Exact]) {
        add_products(a.len(), &mut sums[0], |i| (a[i], b[i]));
    }

    fn rounded(sums: &[Exact]) -> f64 {
        sums[0].value()
    }

    fn sum_columns(rows: &[f64], sums: &mut [f64]) {
        // Not s + 0.0: that would lose the sign of -0.0.
        let of_two = |s: f64, c: f64| Some(if c == 0.0 { s } else { s + c }).filter(|sum| sum.is_finite());
        sum_columns(rows, sums, of_two, Exact::value);
    }
}

impl Summable for f32 {
    const PARTS: usize = 1;

    fn add_all(values: &[f32], sums: &mut [Exact]) {
        add_mapped(values.len(), &mut sums[0], |i| f64::from(values[i]));
    }

    fn add_products(a: &[f32], b: &[f32], sums: &mut [Exact]) {
        // 24 by 24 bits: exact in 53.
        add_mapped(a.len(), &mut sums[0], |i| f64::from(a[i]) * f64::from(b[i]));
    }

    fn rounded(sums: &[Exact]) -> f32 {
        sums[0].value_f32()
    }

    fn sum_columns(rows: &[f32], sums: &mut [f32]) {
        // One rounding, not two.
        let of_two = |s: f64, c: f64| (c == 0.0 && s.is_finite()).then_some(s as f32);
        sum_columns(rows, sums, of_two, Exact::value_f32);
    }
}

macro_rules! complex {
    ($($type:ty)*) => {$(
        impl Summable for Complex<$type> {
            const PARTS: usize = 2;

            fn add_all(values: &[Self], sums: &mut [Exact]) {
                add_mapped(values.len(), &mut sums[0], |i| f64::from(values[i].re));
                add_mapped(values.len(), &mut sums[1], |i| f64::from(values[i].im));
            }

            fn add_products(a: &[Self], b: &[Self], sums: &mut [Exact]) {
                let (len, [re, im, ..]) = (a.len(), sums) else { return };
                let real = |x: &Self| f64::from(x.re);
                let imaginary = |x: &Self| f64::from(x.im);
                add_products(len, re, |i| (real(&a[i]), real(&b[i])));
                add_products(len, re, |i| (imaginary(&a[i]), imaginary(&b[i])));
                add_products(len, im, |i| (real(&a[i]), imaginary(&b[i])));
                add_products(len, im, |i| (-imaginary(&a[i]), real(&b[i])));
            }

            fn rounded(sums: &[Exact]) -> Self {
                Complex::new(<$type>::rounded(sums), <$type>::rounded(&sums[1..]))
            }

            fn sum_columns(rows: &[Self], sums: &mut [Self]) {
                <$type>::sum_columns(bytemuck::cast_slice(rows), bytemuck::cast_slice_mut(sums));
            }
        }
    )*};
}

complex! { f32 f64 }
