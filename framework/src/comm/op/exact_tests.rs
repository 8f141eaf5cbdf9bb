//! Exact sums against whole numbers of any length (`num-bigint`), and in any order and grouping.

use super::{Exact, Op, Sum, Summable};
use num_bigint::BigInt;
use num_complex::Complex;
use proptest::prelude::*;

/// A finite number in units of 2⁻¹⁰⁷⁴, from its sign, exponent and fraction.
fn units(x: f64) -> BigInt {
    let bits = x.to_bits();
    let (exponent, fraction) = ((bits >> 52) & 0x7ff, bits & ((1 << 52) - 1));
    assert!(exponent < 0x7ff);
    let size = match exponent {
        0 => BigInt::from(fraction),
        _ => BigInt::from(fraction + (1 << 52)) << (exponent - 1),
    };
    if x.is_sign_negative() { -size } else { size }
}

fn distance(a: &BigInt, b: &BigInt) -> BigInt {
    BigInt::from((a - b).magnitude().clone())
}

/// Whether `x` is what `sum` rounds to: nearer than its neighbours, or at equal distance and even. An infinity stands for
/// 2ˡⁱᵐⁱᵗ and all beyond.
fn is_rounded(sum: &BigInt, x: f64, [below, above]: [f64; 2], even: bool, limit: u32) -> bool {
    let beyond = BigInt::from(1) << (1074 + limit);
    let at = |x: f64| match x {
        f64::INFINITY => beyond.clone(),
        f64::NEG_INFINITY => -beyond.clone(),
        x => units(x),
    };
    let mine = distance(sum, &at(x));
    let nearer = |other: f64| {
        let theirs = distance(sum, &at(other));
        mine < theirs || mine == theirs && even
    };
    if x.is_infinite() && sum.magnitude() >= beyond.magnitude() {
        return (*sum > BigInt::from(0)) == (x > 0.0);
    }
    // An infinity has one neighbour, which next_down or next_up leaves as it is.
    [below, above].iter().all(|&other| other == x || nearer(other))
}

fn check_f64(sum: &BigInt, x: f64) {
    let even = x.to_bits() & 1 == 0;
    assert!(is_rounded(sum, x, [x.next_down(), x.next_up()], even, 1024), "{x:e}");
}

fn check_f32(sum: &BigInt, x: f32) {
    let even = x.to_bits() & 1 == 0;
    assert!(is_rounded(sum, x.into(), [x.next_down().into(), x.next_up().into()], even, 128), "{x:e}");
}

/// Both ways of adding give the same accumulator, and both roundings are the nearest.
fn check(values: &[f64]) -> Exact {
    let one_by_one: Exact = values.iter().copied().collect();
    let mut at_once = Exact::new();
    at_once.add_all(values);
    assert_eq!(one_by_one, at_once);
    let sum: BigInt = values.iter().map(|&x| units(x)).sum();
    check_f64(&sum, at_once.value());
    check_f32(&sum, at_once.value_f32());
    assert!(values.is_empty() || few(values).to_bits() == at_once.value().to_bits());
    at_once
}

/// The sum of one column, between others.
fn few<T: Summable>(values: &[T]) -> T {
    let rows: Vec<T> = values.iter().flat_map(|&x| [values[0], x, T::zeroed()]).collect();
    let mut sums = [T::zeroed(); 3];
    T::sum_columns(&rows, &mut sums);
    sums[1]
}

/// SplitMix64 (Steele et al. 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    /// In (-1, 1).
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * 2f64.powi(-52) - 1.0
    }
    /// Any finite number, all exponents alike.
    fn any(&mut self) -> f64 {
        let x = f64::from_bits(self.next());
        if x.is_finite() { x } else { 0.0 }
    }
    fn of(&mut self, what: usize) -> f64 {
        match what {
            0 => self.unit(),
            1 => self.any(),
            // Whole blocks of like size, at every place of the range.
            2 => self.unit() * 2f64.powi(-1000),
            3 => f64::from_bits(self.next() & 0x801f_ffff_ffff_ffff),
            4 => self.unit() * f64::MAX,
            5 => self.unit() * 10f64.powi(self.below(40) as i32),
            6 => self.unit() * 2f64.powi(self.below(200) as i32 - 100),
            7 => (self.below(2001) as f64 - 1000.0).powi(3),
            8 => [0.0, -0.0, 1.0, -1.0][self.below(4)],
            // About the sizes at which blocks give up.
            9 => self.unit() * 2f64.powi(1000 + self.below(23) as i32),
            _ => 2f64.powi(self.below(2098) as i32 - 1074) * [1.0, -1.0][self.below(2)],
        }
    }
    fn shuffle(&mut self, values: &mut [f64]) {
        for i in (1..values.len()).rev() {
            values.swap(i, self.below(i + 1));
        }
    }
}

const KINDS: usize = 11;

#[test]
fn sums_are_exact_whatever_the_data() {
    let mut random = Random(1);
    for kind in 0..KINDS {
        for len in [0, 1, 2, 3, 7, 31, 32, 33, 100, 1023, 1024, 1025, 2500] {
            let values: Vec<f64> = (0..len).map(|_| random.of(kind)).collect();
            check(&values);
            // All but cancelled: what is left is one of the smaller ones.
            let mut cancelled: Vec<f64> = values.iter().flat_map(|&x| [x, -x]).skip(1).collect();
            random.shuffle(&mut cancelled);
            check(&cancelled);
        }
    }
    let mixed: Vec<f64> = (0..5000).map(|i| random.of(i % KINDS)).collect();
    check(&mixed);
}

#[test]
fn order_and_grouping_change_nothing() {
    let mut random = Random(2);
    for kind in 0..KINDS {
        let mut values: Vec<f64> = (0..2000).map(|_| random.of(kind)).collect();
        if kind == 10 {
            values.extend([f64::INFINITY, f64::NAN, f64::NEG_INFINITY]);
        }
        let mut whole = Exact::new();
        whole.add_all(&values);
        for parts in 1..=8 {
            random.shuffle(&mut values);
            let mut cuts: Vec<usize> = (1..parts).map(|_| random.below(values.len() + 1)).collect();
            cuts.extend([0, values.len()]);
            cuts.sort_unstable();
            let mut sums: Vec<Exact> = cuts
                .windows(2)
                .map(|cut| {
                    let mut sum = Exact::new();
                    sum.add_all(&values[cut[0]..cut[1]]);
                    sum
                })
                .collect();
            while sums.len() > 1 {
                let right = sums.swap_remove(random.below(sums.len()));
                let at = random.below(sums.len());
                sums[at] = if random.below(2) == 0 {
                    Sum.combine(sums[at], right)
                } else {
                    Sum.combine(right, sums[at])
                };
            }
            assert_eq!(sums[0], whole);
        }
    }
}

#[test]
fn adjacent_to_every_tie_it_rounds_the_right_way() {
    for exponent in [-1074, -1073, -1022, -500, -149, -126, 0, 1, 52, 64, 127, 500, 960] {
        let base = 2f64.powi(exponent);
        for last in 0..4 {
            // 2⁵² + last, in units of `base`, and half a unit more, and the smallest number more or less.
            let whole = (2f64.powi(52) + f64::from(last)) * base;
            for half in [0.5 * base, 0.0] {
                for tiny in [0.0, 5e-324, -5e-324] {
                    check(&[whole, half, tiny]);
                    check(&[-whole, -half, tiny]);
                }
            }
            let single = (2f64.powi(23) + f64::from(last)) * base;
            for tiny in [0.0, 5e-324, -5e-324] {
                check(&[single, 0.5 * base, tiny]);
            }
        }
    }
}

fn value(values: &[f64]) -> f64 {
    let mut sum = Exact::new();
    sum.add_all(values);
    let one_by_one: Exact = values.iter().copied().collect();
    assert_eq!(sum, one_by_one);
    let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
    assert!(values.is_empty() || same(few(values), sum.value()));
    sum.value()
}

#[test]
fn what_is_not_a_finite_number_is_defined() {
    const INF: f64 = f64::INFINITY;
    const NINF: f64 = f64::NEG_INFINITY;
    const NAN: f64 = f64::NAN;
    const MAX: f64 = f64::MAX;
    for filler in [0, 100, 2000] {
        let with = |values: &[f64]| {
            let mut all = vec![0.125; filler];
            all.extend(values);
            value(&all)
        };
        assert!(with(&[1.0, NAN]).is_nan() && with(&[NAN, INF]).is_nan() && with(&[INF, 2.0, NINF]).is_nan());
        assert_eq!((with(&[INF, -MAX]), with(&[NINF, MAX, MAX])), (INF, NINF));
        assert_eq!((with(&[MAX, MAX]), with(&[-MAX, -MAX])), (INF, NINF));
        // Too large on the way is not too large.
        assert_eq!(with(&[MAX, MAX, -MAX, -MAX]), 0.125 * filler as f64);
        assert_eq!(with(&[MAX, 2f64.powi(970)]), INF);
        assert_eq!(value(&[MAX, 2f64.powi(969)]), MAX);
    }
    let zero = |values: &[f64]| value(values).to_bits();
    let (plus, minus) = (0f64.to_bits(), (-0f64).to_bits());
    assert_eq!((zero(&[]), zero(&[-0.0]), zero(&[-0.0, 0.0]), zero(&[1.5, -1.5])), (plus, minus, plus, plus));
    assert_eq!((zero(&[-0.0; 2000]), zero(&[0.0; 2000])), (minus, plus));
    let mut sum = Exact::new();
    for _ in 0..5000 {
        sum.add(MAX);
    }
    assert_eq!(sum.value_f32(), f32::INFINITY);
    for _ in 0..5000 {
        sum.add(-MAX);
    }
    assert_eq!(sum.value().to_bits(), plus);
}

#[test]
fn any_bits_are_an_accumulator() {
    let mut random = Random(3);
    for _ in 0..2000 {
        let mut sum = Exact::new();
        bytemuck::bytes_of_mut(&mut sum).iter_mut().for_each(|byte| *byte = random.next() as u8);
        sum.add(random.any());
        let _ = (sum.value(), sum.value_f32(), Sum.combine(sum, sum));
    }
}

/// conj(a)·b with whole numbers, for products that lose nothing.
#[test]
fn dot_products_are_exact() {
    let mut random = Random(4);
    for len in [0, 1, 5, 40, 1500] {
        let mut number = |scale: i32| random.unit() * 2f64.powi(random.below(60) as i32 + scale);
        let (a, b): (Vec<f64>, Vec<f64>) = (0..len).map(|_| (number(-30), number(-30))).unzip();
        let mut sums = [Exact::new(); 2];
        f64::add_products(&a, &b, &mut sums);
        // Both in units of 2⁻¹⁰⁷⁴, the product so in units of 2⁻²¹⁴⁸; it is a whole number of the former.
        let exact: BigInt = a.iter().zip(&b).map(|(&a, &b)| units(a) * units(b)).sum();
        let sum = &exact >> 1074u32;
        assert_eq!(&sum << 1074u32, exact);
        check_f64(&sum, f64::rounded(&sums));

        let c: Vec<_> = a.iter().zip(&b).map(|(&re, &im)| Complex::new(re as f32, im as f32)).collect();
        let d: Vec<_> = c.iter().rev().map(|z| Complex::new(z.im, -z.re)).collect();
        let mut sums = [Exact::new(); 2];
        Complex::add_products(&c, &d, &mut sums);
        let part = |of: &dyn Fn(Complex<f64>) -> [f64; 2]| -> BigInt {
            let wide = |z: &Complex<f32>| Complex::new(f64::from(z.re), f64::from(z.im));
            c.iter()
                .zip(&d)
                .flat_map(|(c, d)| {
                    let (c, d) = (wide(c), wide(d));
                    of(Complex::new(c.re, d.re))
                        .into_iter()
                        .chain(of(Complex::new(c.im, d.im)))
                        .collect::<Vec<_>>()
                })
                .map(units)
                .sum()
        };
        // re: c.re·d.re + c.im·d.im; every product of two f32 is an f64.
        check_f32(&part(&|pair| [pair.re * pair.im, 0.0]), Complex::rounded(&sums).re);
    }
    let mut sums = [Exact::new(); 2];
    f64::add_products(&[1e200, -1.0], &[1e200, 3.0], &mut sums);
    assert_eq!(f64::rounded(&sums), f64::INFINITY);
}

#[test]
fn a_few_f32_and_complex_are_rounded_once() {
    let mut random = Random(5);
    for len in 1..9 {
        for _ in 0..300 {
            let of = |random: &mut Random| (random.unit() * 2f64.powi(random.below(250) as i32 - 125)) as f32;
            let values: Vec<f32> = (0..len).map(|_| of(&mut random)).collect();
            let sum: BigInt = values.iter().map(|&x| units(x.into())).sum();
            check_f32(&sum, few(&values));
            let z = few(&values.iter().map(|&x| Complex::new(x, -x)).collect::<Vec<_>>());
            assert_eq!(z, Complex::new(few(&values), -few(&values)));
            let mut sums = [Exact::new(); 2];
            f32::add_all(&values, &mut sums);
            assert_eq!(f32::rounded(&sums).to_bits(), z.re.to_bits());
        }
    }
}

proptest! {
    #[test]
    fn any_few_numbers(values in prop::collection::vec(any::<f64>().prop_filter("finite", |x| x.is_finite()), 0..70)) {
        check(&values);
    }
}
