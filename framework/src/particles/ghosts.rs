//! Ghosts: copies of other ranks' particles that are near a rank's own cells.
//!
//! The owner of a particle works out who is near; nobody asks.

use super::{Particle, Particles, by_id};
use crate::error::Result;
use std::collections::BTreeMap;
use std::panic::Location;

/// Boxes of images on one axis and side, at most.
const MOST_IMAGES: f64 = 16.0;

impl<P: Particle<D>, const D: usize> Particles<P, D> {
    /// Copies of all particles that are not this rank's own and within `radius` of its block of cells, however many ranks away their
    /// owners are. On periodic axes their images too, also images of the rank's own: their positions are
    /// those of the image, outside the box perhaps. In the order of their numbers, and of their positions where one comes in several
    /// images. Collective.
    ///
    /// The particles have been brought to their owners and not moved since; no further than what was taken off `radius` for that.
    ///
    /// # Errors
    /// A radius that is negative, NaN or more than 16 times the box on a periodic axis; particles that
    /// [`Particles::deal_by_curve`] has dealt otherwise; a failure of the engine.
    #[track_caller]
    pub fn ghosts(&self, radius: f64) -> Result<Vec<P>> {
        let periodic = self.grid.periodic();
        let widest = (0..D)
            .filter(|&axis| periodic[axis])
            .map(|axis| radius / (self.upper[axis] - self.lower[axis]))
            .fold(0.0, f64::max);
        let fits = radius >= 0.0 && widest <= MOST_IMAGES;
        let checked = match (fits, self.at_home) {
            (true, true) => Ok(()),
            (false, _) => {
                let help = "give a radius that is not negative and not many times the periodic box";
                Err(self.comm().usage("ghosts", Location::caller(), format!("a radius of {radius}"), help))
            }
            _ => {
                let what = "the particles were dealt by a curve".to_string();
                Err(self.comm().usage("ghosts", Location::caller(), what, "call migrate first"))
            }
        };
        self.comm().agree(checked)?;
        let mut messages: BTreeMap<usize, Vec<P>> = BTreeMap::new();
        for particle in &self.items {
            self.images(particle, radius, 0, particle.position(), true, &mut |rank, position| {
                let mut image = *particle;
                image.set_position(position);
                messages.entry(rank).or_default().push(image);
            });
        }
        let came = self.comm().exchange_sparse(messages.into_iter().collect())?;
        let mut ghosts: Vec<P> = came.into_iter().flat_map(|(_, some)| some).collect();
        ghosts.sort_unstable_by(|a, b| {
            let places = a.position().into_iter().zip(b.position());
            let by_place = || places.map(|(a, b)| a.total_cmp(&b)).find(|order| order.is_ne());
            a.id().cmp(&b.id()).then_with(|| by_place().unwrap_or_else(|| by_id(a, b)))
        });
        Ok(ghosts)
    }

    /// All images of a particle that differ from `position` on the axes from `axis` on, given to the ranks that are near.
    /// `itself` as long as no axis was shifted.
    fn images(
        &self,
        particle: &P,
        radius: f64,
        axis: usize,
        position: [f64; D],
        itself: bool,
        found: &mut impl FnMut(usize, [f64; D]),
    ) {
        if axis == D {
            return self.near(radius, position, itself, found);
        }
        if !self.grid.periodic()[axis] {
            return self.images(particle, radius, axis + 1, position, itself, found);
        }
        let (low, high, x) = (self.lower[axis], self.upper[axis], particle.position()[axis]);
        let length = high - low;
        let (first, last) = (((low - radius - x) / length).ceil(), ((high + radius - x) / length).floor());
        for shift in first.min(0.0) as i64..=last.max(0.0) as i64 {
            let mut image = position;
            image[axis] = x + shift as f64 * length;
            self.images(particle, radius, axis + 1, image, itself && shift == 0, found);
        }
    }

    /// The ranks whose blocks are within `radius` of a position.
    fn near(&self, radius: f64, position: [f64; D], itself: bool, found: &mut impl FnMut(usize, [f64; D])) {
        let me = self.comm().rank();
        // One cell of every block that may be near, the last axis first, as an odometer runs.
        let lasts: [usize; D] = std::array::from_fn(|axis| self.cell_of(axis, position[axis] + radius));
        let firsts: [usize; D] = std::array::from_fn(|axis| self.cell_of(axis, position[axis] - radius));
        let mut cell = firsts;
        loop {
            let rank = self.grid.owner(cell).unwrap_or(me);
            if !(itself && rank == me) && self.distance(rank, position) <= radius {
                found(rank, position);
            }
            let block = self.grid.block_of(rank).unwrap_or(self.grid.own());
            let next = |axis: usize| block.start[axis] + block.shape[axis].max(1);
            let Some(axis) = (0..D).rev().find(|&axis| next(axis) <= lasts[axis]) else { return };
            cell[axis] = next(axis);
            cell[axis + 1..].copy_from_slice(&firsts[axis + 1..]);
        }
    }

    /// From a position to the nearest point of a rank's block.
    fn distance(&self, rank: usize, position: [f64; D]) -> f64 {
        let Some(block) = self.grid.block_of(rank) else { return f64::INFINITY };
        let of_axis = |axis: usize| {
            let edge = |cell: usize| self.lower[axis] + cell as f64 * self.width(axis);
            let (low, high) = (edge(block.start[axis]), edge(block.start[axis] + block.shape[axis]));
            (low - position[axis]).max(position[axis] - high).max(0.0)
        };
        (0..D).map(|axis| of_axis(axis).powi(2)).sum::<f64>().sqrt()
    }
}
