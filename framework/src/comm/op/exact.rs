//! `Exact`: a sum of floating-point numbers without any rounding, so that no order can change it.
//!
//! A fixed-point number wide enough for every finite `f64` and 2⁷⁷ of the largest (Kulisch's accumulator; Neal, "Fast
//! exact summation using small and large superaccumulators", 2015, compares the ways to build one). Here it is a plain
//! two's complement number, so equal sums have equal bits. Long slices do not go through it number by number: `blocks`.

use super::{Op, Sum, blocks};
use crate::comm::element::{Element, Kind};

/// Bit 0 of the first limb weighs 2⁻¹⁰⁷⁴; the largest `f64` ends at bit 2097, and 78 bits are left for sums.
const LIMBS: usize = 34;

/// What has been added besides the finite sum. Or-ing keeps it independent of the order.
const ONLY_NEGATIVE_ZEROS: u64 = 1;
const OTHERS: u64 = 2 | ONLY_NEGATIVE_ZEROS;
const NAN: u64 = 4;
const INFINITY: u64 = 8;
const NEGATIVE_INFINITY: u64 = 16;

const FRACTION: u64 = (1 << 52) - 1;

/// The exact sum of any `f64` and `f32`: 280 bytes that can be sent, merged with [`Sum`], and rounded once.
///
/// Two accumulators of the same numbers have the same bits, in whatever order and grouping the numbers came.
/// [`Comm::sum_reproducible`](crate::Comm::sum_reproducible) does all of it for a slice; this is for sums that are
/// gathered over a while, or of several things at once:
///
/// ```
/// use rankine::op::{Exact, Sum};
/// rankine::testing::ranks([1, 2, 3], |world| {
///     let mut mine = [Exact::new(); 2];
///     for i in 0..10 {
///         mine[0].add(0.1 * i as f64);
///         mine[1].add(1e300);
///     }
///     world.allreduce_in_place(&mut mine, Sum)?;
///     assert_eq!(mine[1].value(), 1e300 * 10.0 * world.size() as f64);
///     Ok(())
/// });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Exact {
    limbs: [u64; LIMBS],
    seen: u64,
}

impl Element for Exact {
    const KIND: Kind = Kind::of_fields::<Self>("Exact", &[(u64::KIND, 8 * LIMBS), (u64::KIND, 8)]);
}

impl Op<Exact> for Sum {
    const COMMUTATIVE: bool = true;
    #[inline]
    fn combine(self, mut left: Exact, right: Exact) -> Exact {
        left.merge(&right);
        left
    }
}

impl Default for Exact {
    fn default() -> Self {
        Self::new()
    }
}

impl FromIterator<f64> for Exact {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut sum = Exact::new();
        values.into_iter().for_each(|x| sum.add(x));
        sum
    }
}

impl Exact {
    /// The sum of nothing.
    pub const fn new() -> Self {
        Exact { limbs: [0; LIMBS], seen: 0 }
    }

    /// Adds one number; any, also infinities and NaN.
    #[inline]
    pub fn add(&mut self, x: f64) {
        let bits = x.to_bits();
        let (negative, exponent, fraction) =
            (bits >> 63 == 1, (bits >> 52 & 0x7ff) as usize, bits & FRACTION);
        if exponent == 0x7ff {
            self.seen |= match (fraction, negative) {
                (0, false) => INFINITY,
                (0, true) => NEGATIVE_INFINITY,
                _ => NAN,
            };
            return;
        }
        self.seen |= if bits == (-0.0f64).to_bits() { ONLY_NEGATIVE_ZEROS } else { OTHERS };
        let (mantissa, shift) =
            if exponent == 0 { (fraction, 0) } else { (fraction | (FRACTION + 1), exponent - 1) };
        let wide = u128::from(mantissa) << (shift % 64);
        self.put(shift / 64, [wide as u64, (wide >> 64) as u64], negative);
    }

    /// Adds all numbers of a slice; much faster than one by one.
    pub fn add_all(&mut self, values: &[f64]) {
        blocks::add_all(self, values);
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Exact) {
        let mut carry = false;
        for (limb, &more) in self.limbs.iter_mut().zip(&other.limbs) {
            let (sum, one) = limb.overflowing_add(more);
            let (sum, two) = sum.overflowing_add(u64::from(carry));
            (*limb, carry) = (sum, one | two);
        }
        self.seen |= other.seen;
    }

    /// The sum, rounded once, to nearest, ties to even.
    ///
    /// NaN if there was one, or infinities of both signs; an infinity if there was one, or if the sum itself is beyond
    /// the largest number (sums on the way may be); -0.0 if nothing but -0.0 was added; +0.0 for any other sum of
    /// zero, and for nothing.
    pub fn value(&self) -> f64 {
        self.special().unwrap_or_else(|| self.rounded(|kept, half, rest| half && (rest || kept & 1 == 1)))
    }

    /// As [`value`](Exact::value), rounded once to `f32`.
    pub fn value_f32(&self) -> f32 {
        // Rounded to odd first, a number still shows on which side of every f32 (and of every middle) it was.
        self.special().unwrap_or_else(|| self.rounded(|kept, half, rest| (half || rest) && kept & 1 == 0))
            as f32
    }

    /// Adds or subtracts two limbs at limb `at`, at most 32.
    #[inline]
    fn put(&mut self, at: usize, [low, high]: [u64; 2], negative: bool) {
        let step = if negative { u64::overflowing_sub } else { u64::overflowing_add };
        let (first, carry) = step(self.limbs[at], low);
        let (second, one) = step(self.limbs[at + 1], high);
        let (second, two) = step(second, u64::from(carry));
        (self.limbs[at], self.limbs[at + 1]) = (first, second);
        let mut carry = one | two;
        for limb in &mut self.limbs[at + 2..] {
            if !carry {
                break;
            }
            (*limb, carry) = step(*limb, 1);
        }
    }

    /// What is no matter of rounding.
    fn special(&self) -> Option<f64> {
        if self.seen & NAN != 0 || self.seen & (INFINITY | NEGATIVE_INFINITY) == INFINITY | NEGATIVE_INFINITY
        {
            Some(f64::NAN)
        } else if self.seen & INFINITY != 0 {
            Some(f64::INFINITY)
        } else if self.seen & NEGATIVE_INFINITY != 0 {
            Some(f64::NEG_INFINITY)
        } else if self.limbs == [0; LIMBS] {
            Some(if self.seen & OTHERS == ONLY_NEGATIVE_ZEROS { -0.0 } else { 0.0 })
        } else {
            None
        }
    }

    /// The sum, not zero, cut to 53 bits; `up` says from the bits kept, the first bit lost and whether any other lost
    /// bit is set, whether the last bit kept goes up by one.
    fn rounded(&self, up: impl Fn(u64, bool, bool) -> bool) -> f64 {
        let negative = self.limbs[LIMBS - 1] >> 63 == 1;
        let mut size = *self;
        if negative {
            size.limbs = [0; LIMBS];
            for (at, &limb) in self.limbs.iter().enumerate() {
                size.subtract_limb(at, limb);
            }
        }
        let size = &size.limbs;
        let top = size.iter().rposition(|&limb| limb != 0).unwrap_or(0);
        let length = 64 * top + 64 - size[top].leading_zeros() as usize;
        let sign = u64::from(negative) << 63;
        if length <= 53 {
            // Bits of a float that ends at 2⁻¹⁰⁷⁴, with or without the implied one, are this very number.
            return f64::from_bits(sign | size[0]);
        }
        let lost = length - 53;
        let (limb, bit) = (lost / 64, lost % 64);
        let above = if limb + 1 < LIMBS { size[limb + 1] } else { 0 };
        let kept = ((u128::from(above) << 64 | u128::from(size[limb])) >> bit) as u64 & (2 * FRACTION + 1);
        let is_set = |bit: usize| size[bit / 64] >> (bit % 64) & 1 == 1;
        let half = is_set(lost - 1);
        let (whole, part) = ((lost - 1) / 64, (lost - 1) % 64);
        let rest = size[..whole].iter().any(|&limb| limb != 0) || size[whole] & ((1 << part) - 1) != 0;
        // The biased exponent and the fraction as one number, so that a carry of the one moves on the other.
        let bits = ((lost as u64 + 1) << 52) + (kept & FRACTION) + u64::from(up(kept, half, rest));
        f64::from_bits(sign | bits.min(f64::INFINITY.to_bits()))
    }

    fn subtract_limb(&mut self, at: usize, limb: u64) {
        let mut borrow = limb;
        for limb in &mut self.limbs[at..] {
            let (less, more) = limb.overflowing_sub(borrow);
            (*limb, borrow) = (less, u64::from(more));
            if !more {
                break;
            }
        }
    }
}
