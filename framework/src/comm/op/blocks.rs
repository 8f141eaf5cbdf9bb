//! Exact sums of long slices at about the speed of a plain sum.
//!
//! A block's numbers are cut into slices of bits, all at the same places, that add up in ordinary floating point
//! without rounding (the error-free extraction of Rump, Ogita and Oishi, "Accurate floating-point summation", 2008; as
//! in Demmel and Nguyen's reproducible sums). What is cut off is checked, not assumed, to be nothing in the end: the
//! sum is exact whatever the data. Only the few sums of a block go into the accumulator of `exact`.

use super::exact::Exact;

/// Independent sums, for the processor to work on at once.
const LANES: usize = 8;

/// Numbers of a block: [`HEADROOM`] is for as many.
const BLOCK: usize = 1024;

/// Fewer numbers are quicker added one by one.
const FEW: usize = 32;

/// Two slices are cut a round, 86 bits in all; numbers of like size need one round.
const ROUNDS: usize = 3;

/// A lane's sum starts at 1.5·2ᵏ with k larger by this than the exponent of the largest number. A lane takes 128 numbers
/// below 2·2ᵏ⁻¹⁰ in size, so it stays between 2ᵏ and 2·2ᵏ, where all numbers are multiples of 2ᵏ⁻⁵²: what is added to it
/// is cut there. All lanes together take 1024 numbers, less than 2ᵏ⁺¹: a whole multiple below 2⁵³, so exact too.
const HEADROOM: u64 = 10;

/// What is left over is at most half a multiple, 2ᵏ⁻⁵³: its largest has an exponent as much lower than the block's.
const NEXT: u64 = 44;

/// The exponent field beyond which a lane would overflow.
const LARGEST_EXPONENT: u64 = 0x7fe - HEADROOM - 1;

pub(super) fn add_all(sum: &mut Exact, values: &[f64]) {
    let mut space = [0.0; BLOCK];
    for block in values.chunks(BLOCK) {
        let (lanes, few) = block.split_at(block.len() / LANES * LANES);
        let (lanes, few) = if block.len() < FEW { (&[][..], block) } else { (lanes, few) };
        space[..lanes.len()].copy_from_slice(lanes);
        if !add_block(sum, &mut space[..lanes.len()]) {
            lanes.iter().for_each(|&x| sum.add(x));
        }
        few.iter().for_each(|&x| sum.add(x));
    }
}

/// Adds a block of whole groups of lanes and spoils it; or does nothing to `sum` and says no, if there are numbers in
/// it that are not finite or too large.
fn add_block(sum: &mut Exact, block: &mut [f64]) -> bool {
    let mut largest = largest(block);
    for round in 0..ROUNDS {
        if largest == 0.0 {
            return round > 0 || add_zeros(sum, block);
        }
        let exponent = (largest.to_bits() >> 52).max(1);
        if exponent > LARGEST_EXPONENT {
            return false;
        }
        let start = |exponent: u64| 1.5 * f64::from_bits(exponent << 52);
        let second = (exponent + HEADROOM).saturating_sub(NEXT).max(1);
        let (sums, left) = cut(block, start(exponent + HEADROOM), start(second));
        // Only a first round meets NaN, which is not seen among the largest.
        if sums[0].is_nan() {
            return false;
        }
        sums.iter().for_each(|&x| sum.add(x));
        largest = left;
    }
    block.iter().filter(|x| **x != 0.0).for_each(|&x| sum.add(x));
    true
}

/// Adds a block of zeros at once; says no if one is not.
fn add_zeros(sum: &mut Exact, block: &[f64]) -> bool {
    let zeros = block.iter().all(|&x| x == 0.0);
    if zeros && !block.is_empty() {
        sum.add(if block.iter().all(|x| x.is_sign_negative()) { -0.0 } else { 0.0 });
    }
    zeros
}

fn largest(block: &[f64]) -> f64 {
    let mut largest = [0.0; LANES];
    for group in block.as_chunks::<LANES>().0 {
        for lane in 0..LANES {
            largest[lane] = larger(group[lane].abs(), largest[lane]);
        }
    }
    largest.into_iter().fold(0.0, larger)
}

/// One instruction, unlike `f64::max`, which minds NaN.
#[inline]
fn larger(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

/// Cuts two slices of bits off every number; gives the sum of each, and the largest size of what is left.
fn cut(block: &mut [f64], first: f64, second: f64) -> ([f64; 2], f64) {
    let (mut a, mut b, mut largest) = ([first; LANES], [second; LANES], [0.0; LANES]);
    for group in block.as_chunks_mut::<LANES>().0 {
        for lane in 0..LANES {
            let rest = cut_one(group[lane], &mut a[lane]);
            let rest = cut_one(rest, &mut b[lane]);
            largest[lane] = larger(rest.abs(), largest[lane]);
            group[lane] = rest;
        }
    }
    let total = |lanes: [f64; LANES], start: f64| lanes.into_iter().map(|lane| lane - start).sum();
    ([total(a, first), total(b, second)], largest.into_iter().fold(0.0, larger))
}

/// Adds what fits of `x` to a lane and gives what does not; both exactly, since a lane is larger than `x` (Dekker 1971).
#[inline]
fn cut_one(x: f64, lane: &mut f64) -> f64 {
    let sum = *lane + x;
    let fits = sum - *lane;
    *lane = sum;
    x - fits
}
