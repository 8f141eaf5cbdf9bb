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
    /// The rounded sum of a few.
    #[doc(hidden)]
    fn few(values: impl Iterator<Item = Self> + Clone) -> Self;
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

/// The sum in twice the precision, if no step lost anything: it is s + c then.
fn doubled(mut values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let mut s = values.next()?;
    let (mut c, mut exact) = (0.0, true);
    for x in values {
        let (sum, error) = two_sum(s, x);
        s = sum;
        let (sum, lost) = two_sum(c, error);
        c = sum;
        // A NaN, as infinities and overflow leave it here, is not equal.
        exact &= lost == 0.0;
    }
    exact.then_some((s, c))
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

    fn few(values: impl Iterator<Item = f64> + Clone) -> f64 {
        match doubled(values.clone()) {
            // Not s + 0.0: that would lose the sign of -0.0.
            Some((s, 0.0)) if !s.is_nan() => s,
            Some((s, c)) if (s + c).is_finite() => s + c,
            _ => values.collect::<Exact>().value(),
        }
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

    fn few(values: impl Iterator<Item = f32> + Clone) -> f32 {
        match doubled(values.clone().map(f64::from)) {
            Some((s, 0.0)) if !s.is_nan() => s as f32,
            _ => values.map(f64::from).collect::<Exact>().value_f32(),
        }
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

            fn few(values: impl Iterator<Item = Self> + Clone) -> Self {
                let (re, im) = (values.clone().map(|x| x.re), values.map(|x| x.im));
                Complex::new(<$type>::few(re), <$type>::few(im))
            }
        }
    )*};
}

complex! { f32 f64 }
