//! What this machine's memory and processors can do at most, measured: what a kernel's share of the limit is a share of.

use rankine::{Memory, Result};
use rayon::prelude::*;
use serde::Serialize;
use std::hint::black_box;
use std::time::Instant;

/// Rates of so many threads together.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Limits {
    /// Bytes between memory and processors a second, read and written, in `a += b + 3 c` on vectors much larger than caches.
    pub bytes: f64,
    /// Floating-point operations a second, multiplications and additions on registers.
    pub flops: f64,
}

/// Elements of each vector of each thread.
const LENGTH: usize = 6 << 20;

/// Numbers that one thread multiplies and adds: enough to hide how long one operation takes.
const NUMBERS: usize = 128;

impl Limits {
    /// Measures them, about half a second each.
    ///
    /// # Errors
    /// No memory for the vectors.
    pub fn of(threads: usize) -> Result<Limits> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|error| {
            rankine::Error::new(
                rankine::ErrorKind::Setup,
                format!("{threads} threads cannot be started: {error}"),
            )
        })?;
        let total = LENGTH * threads;
        let (mut a, b, c) =
            (Memory::zeroed(total)?, Memory::from_fn(total, |_| 2.0)?, Memory::from_fn(total, |_| 2.0)?);
        let bytes = best(32.0 * total as f64, || {
            pool.install(|| {
                let pieces = a.par_chunks_mut(LENGTH).zip(b.par_chunks(LENGTH)).zip(c.par_chunks(LENGTH));
                pieces.for_each(|((a, b), c)| triad(a, b, c));
            });
        });
        const ROUNDS: usize = 1 << 17;
        let flops = best((2 * NUMBERS * ROUNDS * threads) as f64, || {
            pool.install(|| (0..threads).into_par_iter().for_each(|_| multiply_and_add(ROUNDS)));
        });
        Ok(Limits { bytes, flops })
    }

    /// How near to a limit something is that moves so many bytes and does so many operations a second; what both may be.
    pub fn share(&self, bytes: Option<f64>, flops: Option<f64>) -> Option<(f64, &'static str)> {
        let bytes = bytes.map(|rate| (rate / self.bytes, "memory"));
        let flops = flops.map(|rate| (rate / self.flops, "flops"));
        bytes.into_iter().chain(flops).max_by(|a, b| a.0.total_cmp(&b.0))
    }
}

/// The best rate of several runs.
fn best(amount: f64, mut run: impl FnMut()) -> f64 {
    run();
    let times = (0..9).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    });
    amount / times.fold(f64::INFINITY, f64::min)
}

#[inline(never)]
fn triad(a: &mut [f64], b: &[f64], c: &[f64]) {
    for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
        *a += b + 3.0 * c;
    }
}

#[inline(never)]
fn multiply_and_add(rounds: usize) {
    let mut numbers = [1.0f64; NUMBERS];
    let (factor, term) = (black_box(0.999_999), black_box(1e-6));
    for _ in 0..rounds {
        for number in &mut numbers {
            // Without the instruction the function would be called.
            *number = if cfg!(target_feature = "fma") {
                number.mul_add(factor, term)
            } else {
                *number * factor + term
            };
        }
    }
    black_box(numbers);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_limit_is_the_one_that_counts() {
        let limits = Limits { bytes: 100.0, flops: 10.0 };
        assert_eq!(limits.share(Some(50.0), Some(9.0)), Some((0.9, "flops")));
        assert_eq!(limits.share(Some(50.0), None), Some((0.5, "memory")));
        assert_eq!(limits.share(None, None), None);
    }

    #[test]
    fn rates_are_those_of_a_machine() {
        let limits = Limits::of(1).unwrap();
        assert!(limits.bytes > 1e8 && limits.flops > 1e7, "{limits:?}");
    }
}
