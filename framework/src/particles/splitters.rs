//! Where a weighted order is cut so that all ranks get the same, found before anything travels.
//!
//! Keys are halved in thought, not items: each round sums the weights below some keys on all ranks (histogram sort: Solomonik
//! and Kalé, *Highly scalable parallel sorting*, IPDPS 2010). Who sends what is the caller's.

use crate::comm::Comm;
use crate::error::Result;
use crate::op::Sum;

/// Parts that a range of keys is cut into in a round: bits of their number.
const BITS: u32 = 4;

/// The first key of every rank but the first, ascending and the same on every rank: an item belongs to the rank in whose share of the
/// weight its middle is. `keys` are this rank's, ascending and below `end`; `weights` are theirs, and their sum over
/// all ranks is more than 0 if there are any. Collective.
#[track_caller]
pub(super) fn splitters(comm: &Comm, keys: &[u128], weights: &[f64], end: u128) -> Result<Vec<u128>> {
    let mut sums = Vec::with_capacity(keys.len() + 1);
    sums.push(0.0);
    for weight in weights {
        sums.push(sums[sums.len() - 1] + weight);
    }
    let ranks = comm.size();
    let total = comm.allreduce(sums[keys.len()], Sum)?;
    let aims: Vec<f64> = (1..ranks).map(|rank| total * (rank as f64 / ranks as f64)).collect();
    // What is below the first key is no more than the aim, what is below the second one is more: the weights, too.
    let mut ranges = vec![((0u128, 0.0), (end.max(1), total)); aims.len()];
    let mut below: Vec<f64> = Vec::new();
    // All ranks see the same sums, so they stop in the same round.
    while let Some(widest) = ranges.iter().map(|(low, high)| high.0 - low.0).max().filter(|&most| most > 1) {
        let parts = 1usize << BITS.min(widest.ilog2() + 1);
        let probe = |low: u128, high: u128, part: usize| {
            let (each, more) = ((high - low) / parts as u128, (high - low) % parts as u128);
            low + each * part as u128 + more * part as u128 / parts as u128
        };
        below.clear();
        for &((low, _), (high, _)) in &ranges {
            let probes = (1..parts).map(|part| probe(low, high, part));
            below.extend(probes.map(|probe| sums[keys.partition_point(|&key| key < probe)]));
        }
        comm.allreduce_in_place(&mut below, Sum)?;
        for ((range, aim), below) in ranges.iter_mut().zip(&aims).zip(below.chunks_exact(parts - 1)) {
            let (low, high) = (range.0.0, range.1.0);
            for (part, &weight) in below.iter().enumerate() {
                let key = probe(low, high, part + 1);
                if weight > *aim {
                    range.1 = (key, weight);
                    break;
                }
                range.0 = (key, weight);
            }
        }
    }
    // The item at the first key has the aim inside it: its middle decides. Rounding must not turn the order round.
    let mut last = 0;
    let mut cuts = Vec::with_capacity(ranges.len());
    for (&((low, below), (high, up_to)), aim) in ranges.iter().zip(&aims) {
        let first = if 0.5 * (below + up_to) >= *aim { low } else { high };
        last = first.max(last);
        cuts.push(last);
    }
    Ok(cuts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of items 0, 1, …, of which rank r has every p-th and which are keyed by `key`, how much each rank gets.
    fn shares(
        world: &Comm,
        n: usize,
        key: impl Fn(usize) -> u128,
        weight: impl Fn(usize) -> f64,
    ) -> Vec<f64> {
        let mine = (world.rank()..n).step_by(world.size());
        let mut items: Vec<(u128, f64)> = mine.map(|item| (key(item), weight(item))).collect();
        items.sort_by_key(|item| item.0);
        let (keys, weights): (Vec<_>, Vec<_>) = items.iter().copied().unzip();
        let cuts = splitters(world, &keys, &weights, 1 << 100).unwrap();
        assert!(cuts.len() + 1 == world.size() && cuts.is_sorted());
        let mut shares = vec![0.0; world.size()];
        for (key, weight) in items {
            shares[cuts.partition_point(|&cut| cut <= key)] += weight;
        }
        world.allreduce_in_place(&mut shares, Sum).unwrap();
        shares
    }

    #[test]
    fn every_rank_gets_its_share() {
        crate::testing::ranks([1, 2, 3, 5, 8], |world| {
            let p = world.size();
            // Scattered over a wide range, and one beside the other at its end.
            let scattered =
                |item: usize| (item as u128 * 0x9_e377_9b97_f4a7_c15f_39cc_0605) % ((1 << 100) - 159);
            let crowded = |item: usize| (1 << 100) - 1 - item as u128;
            for n in [0, p, 7 * p, 1000 * p] {
                assert_eq!(shares(world, n, scattered, |_| 1.0), vec![(n / p) as f64; p]);
                assert_eq!(shares(world, n, crowded, |_| 1.0), vec![(n / p) as f64; p]);
            }
            // The middle rank has a single one.
            let single = (0..p).map(|rank| f64::from(u8::from(rank == p / 2)));
            assert!(shares(world, 1, scattered, |_| 1.0).into_iter().eq(single));
            // No share is further from the mean than the weight of an item.
            let heavy = |item: usize| (item % 7) as f64;
            let found = shares(world, 500, scattered, heavy);
            let mean = found.iter().sum::<f64>() / p as f64;
            assert_eq!(found.iter().sum::<f64>(), (0..500).map(heavy).sum::<f64>());
            assert!(found.iter().all(|share| (share - mean).abs() <= 6.0), "{found:?}");
            Ok(())
        });
    }
}
