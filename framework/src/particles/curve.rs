//! Space-filling curves: an order of places in which near ones are mostly near, and particles dealt along it by weight.
//!
//! Hilbert's curve as Skilling computes it (Programming the Hilbert curve, AIP Conf. Proc. 707, 2004); Morton's is the
//! bits of the coordinates, interleaved.

use super::splitters::splitters;
use super::{Particle, Particles, by_id};
use crate::error::Result;
use crate::op::Max;
use std::panic::Location;
use std::rc::Rc;

/// Which curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// Goes from neighbour to neighbour; parts of it are compact.
    Hilbert,
    /// Cheaper to compute; jumps.
    Morton,
}

/// Bits of a coordinate, so that a place on the curve is a `u64`.
const fn bits(axes: usize) -> u32 {
    match axes {
        0 | 1 => 31,
        axes => (63 / axes) as u32,
    }
}

impl Curve {
    /// The place on the curve of a cell of a grid of 2^`bits` cells on each axis; at most 64 bits in all.
    fn place<const D: usize>(self, mut cell: [u64; D], bits: u32) -> u64 {
        if self == Curve::Hilbert && D > 1 && bits > 0 {
            let top = 1 << (bits - 1);
            let mut q: u64 = top;
            while q > 1 {
                let below = q - 1;
                for axis in 0..D {
                    if cell[axis] & q != 0 {
                        cell[0] ^= below;
                    } else {
                        let swap = (cell[0] ^ cell[axis]) & below;
                        cell[0] ^= swap;
                        cell[axis] ^= swap;
                    }
                }
                q >>= 1;
            }
            for axis in 1..D {
                cell[axis] ^= cell[axis - 1];
            }
            let mut turn = 0;
            q = top;
            while q > 1 {
                if cell[D - 1] & q != 0 {
                    turn ^= q - 1;
                }
                q >>= 1;
            }
            cell.iter_mut().for_each(|x| *x ^= turn);
        }
        let mut place = 0;
        for bit in (0..bits).rev() {
            for x in cell {
                place = place << 1 | (x >> bit & 1);
            }
        }
        place
    }
}

/// Where the curve was cut: which rank has which part.
#[derive(Clone, Debug)]
pub struct Cuts<const D: usize> {
    curve: Curve,
    lower: [f64; D],
    upper: [f64; D],
    /// The first place of every rank's part, ascending.
    firsts: Vec<u64>,
}

impl<const D: usize> Cuts<D> {
    /// The rank that has the part of the curve at a position. Positions outside the box count as the nearest inside.
    pub fn owner(&self, position: [f64; D]) -> usize {
        let place = place(self.curve, self.lower, self.upper, position);
        self.firsts.partition_point(|&first| first <= place).saturating_sub(1)
    }
}

fn place<const D: usize>(curve: Curve, lower: [f64; D], upper: [f64; D], position: [f64; D]) -> u64 {
    let bits = bits(D);
    let cell: [u64; D] = std::array::from_fn(|axis| {
        let part = (position[axis] - lower[axis]) / (upper[axis] - lower[axis]);
        // Conversions stop at zero, NaN is zero.
        ((part * (1u64 << bits) as f64) as u64).min((1 << bits) - 1)
    });
    curve.place(cell, bits)
}

impl<P: Particle<D>, const D: usize> Particles<P, D> {
    /// Deals the particles to ranks along a space-filling curve, so that all have about as much weight, whatever the owners of the cells.
    /// Each rank has them in the order of the curve (and of their numbers at one place), which is one order over all ranks, the same on
    /// any number of them. [`Particles::migrate`] brings them to the owners of their cells again. Collective.
    ///
    /// The cuts are found first, so each particle travels once, straight to its rank. Weights must not be negative; where all are
    /// zero, all particles count alike.
    ///
    /// # Errors
    /// As [`Particles::migrate`]; a weight that is negative, NaN or infinite: then none has moved.
    #[track_caller]
    pub fn deal_by_curve(&mut self, curve: Curve, weight: impl FnMut(&P) -> f64) -> Result<Cuts<D>> {
        // They go from where they are: not to the owners of their cells first.
        self.bring_inside("deal_by_curve")?;
        let mut weights = self.checked_weights(weight)?;
        let heaviest = self.comm().allreduce(weights.iter().copied().fold(0.0, f64::max), Max)?;
        if heaviest == 0.0 {
            weights.fill(1.0);
        }
        let (lower, upper) = (self.lower, self.upper);
        let place_of = |particle: &P| place(curve, lower, upper, particle.position());
        // The places in their order, and at one place the numbers.
        let most = self.items.iter().map(Particle::id).max().unwrap_or(0);
        let numbers = u128::from(self.comm().allreduce(most, Max)?) + 1;
        let key = |particle: &P| u128::from(place_of(particle)) * numbers + u128::from(particle.id());
        let mut order: Vec<(u128, f64, P)> = std::mem::take(&mut self.items)
            .into_iter()
            .zip(weights)
            .map(|(particle, weight)| (key(&particle), weight, particle))
            .collect();
        self.set = Rc::new(());
        order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| by_id(&a.2, &b.2)));
        let keys: Vec<u128> = order.iter().map(|item| item.0).collect();
        let weights: Vec<f64> = order.iter().map(|item| item.1).collect();
        let places = 1u128 << (bits(D) * D as u32);
        let firsts = splitters(self.comm(), &keys, &weights, places * numbers)?;
        let mut messages: Vec<(usize, Vec<P>)> = Vec::new();
        for (key, _, particle) in order {
            let to = firsts.partition_point(|&first| first <= key);
            match messages.last_mut() {
                Some((rank, some)) if *rank == to => some.push(particle),
                _ => messages.push((to, vec![particle])),
            }
        }
        let came = self.comm().exchange_sparse(messages)?;
        let mut items: Vec<(u128, P)> = came
            .into_iter()
            .flat_map(|message| message.1)
            .map(|particle| (key(&particle), particle))
            .collect();
        items.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| by_id(&a.1, &b.1)));
        self.items = items.into_iter().map(|item| item.1).collect();
        self.at_home = false;
        let mut firsts = self.comm().allgather(&[self.items.first().map_or(u64::MAX, place_of)])?;
        // A rank with none begins where the next one does.
        for rank in (0..firsts.len().saturating_sub(1)).rev() {
            firsts[rank] = firsts[rank].min(firsts[rank + 1]);
        }
        Ok(Cuts { curve, lower, upper, firsts })
    }

    #[track_caller]
    fn checked_weights(&self, weight: impl FnMut(&P) -> f64) -> Result<Vec<f64>> {
        let weights: Vec<f64> = self.items.iter().map(weight).collect();
        let sum: f64 = weights.iter().sum();
        let bad = weights.iter().copied().find(|weight| !(*weight >= 0.0 && weight.is_finite()));
        let checked = match bad.or((!sum.is_finite()).then_some(sum)) {
            None => Ok(()),
            Some(bad) => Err(self.comm().usage(
                "deal_by_curve",
                Location::caller(),
                format!("a weight of {bad}"),
                "give weights that are not negative and not infinite",
            )),
        };
        self.comm().agree(checked)?;
        Ok(weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All cells of a small grid, by their place.
    fn cells<const D: usize>(curve: Curve, bits: u32) -> Vec<[u64; D]> {
        let side = 1u64 << bits;
        let mut all: Vec<(u64, [u64; D])> = (0..side.pow(D as u32))
            .map(|i| std::array::from_fn(|axis| i / side.pow(axis as u32) % side))
            .map(|cell| (curve.place(cell, bits), cell))
            .collect();
        all.sort();
        assert!(all.iter().enumerate().all(|(i, entry)| entry.0 == i as u64), "every place once");
        all.into_iter().map(|entry| entry.1).collect()
    }

    fn goes_from_neighbor_to_neighbor<const D: usize>(bits: u32) {
        let all = cells::<D>(Curve::Hilbert, bits);
        let steps =
            all.windows(2).map(|pair| (0..D).map(|axis| pair[0][axis].abs_diff(pair[1][axis])).sum::<u64>());
        assert!(steps.into_iter().all(|step| step == 1));
    }

    #[test]
    fn hilbert_curves_are_continuous() {
        goes_from_neighbor_to_neighbor::<1>(5);
        goes_from_neighbor_to_neighbor::<2>(1);
        goes_from_neighbor_to_neighbor::<2>(5);
        goes_from_neighbor_to_neighbor::<3>(3);
    }

    #[test]
    fn morton_interleaves() {
        cells::<2>(Curve::Morton, 4);
        cells::<3>(Curve::Morton, 3);
        assert_eq!(Curve::Morton.place([0b10, 0b01], 2), 0b1001);
    }
}
