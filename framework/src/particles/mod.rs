//! `Particles`: things with a position, each on the rank whose cells it is in.
//!
//! A [`Grid`] says who owns which part of space. This file brings particles to their owners; `ghosts` shows ranks what
//! is near their part, `curve` deals particles by a space-filling curve instead, which `splitters` cuts. `columns` is another
//! form of them: a slice a quantity, and the author says who owns what. Forces and motion are the author's.

mod columns;
mod curve;
mod ghosts;
mod splitters;
mod store;

pub use columns::Columns;
pub use curve::{Curve, Cuts};
pub use ghosts::Ghosts;

use crate::comm::{Comm, Element};
use crate::error::{Error, ErrorKind, Result};
use crate::grid::Grid;
use crate::op::Sum;
use std::collections::BTreeMap;
use std::panic::Location;
use std::rc::Rc;

/// What particles are made of: a plain struct with a number of its own and a position.
pub trait Particle<const D: usize>: Element {
    /// A number that no other particle has.
    fn id(&self) -> u64;
    /// Where it is.
    fn position(&self) -> [f64; D];
    /// Puts it somewhere.
    fn set_position(&mut self, position: [f64; D]);
}

/// Particles in a box, each on the rank that owns the cell of the grid it is in.
///
/// A rank's particles are in the order of their numbers, so what is computed of them does not depend on where they came from.
///
/// ```
/// use rankine::particles::{Particle, Particles};
/// use rankine::Grid;
/// #[derive(Clone, Copy, rankine::Element)]
/// #[repr(C)]
/// struct Ball { x: [f64; 2], v: [f64; 2], id: u64 }
/// impl Particle<2> for Ball {
///     fn id(&self) -> u64 { self.id }
///     fn position(&self) -> [f64; 2] { self.x }
///     fn set_position(&mut self, x: [f64; 2]) { self.x = x }
/// }
/// rankine::testing::ranks([1, 2, 3, 4], |world| {
///     let grid = Grid::over(world, [8, 8]).periodic([true, true]).build()?;
///     // Rank 0 has all of them at first.
///     let all = if world.rank() == 0 { 0..100 } else { 0..0 };
///     let balls = all.map(|id| Ball { x: [0.01 * id as f64, 0.5], v: [0.3, -2.0], id });
///     let mut balls = Particles::new(&grid, [0.0, 0.0], [1.0, 1.0], balls)?;
///     for _ in 0..10 {
///         balls.local_mut().iter_mut().for_each(|ball| (0..2).for_each(|i| ball.x[i] += 0.1 * ball.v[i]));
///         balls.migrate()?;
///     }
///     assert_eq!(balls.len()?, 100);
///     assert!(balls.local().iter().all(|ball| balls.owner(ball.x) == Some(world.rank())));
///     Ok(())
/// });
/// ```
pub struct Particles<P, const D: usize> {
    grid: Grid<D>,
    lower: [f64; D],
    upper: [f64; D],
    items: Vec<P>,
    /// Whether each is with the owner of its cell.
    at_home: bool,
    /// Another one whenever particles come or go.
    set: Rc<()>,
}

impl<P: Particle<D>, const D: usize> Particles<P, D> {
    /// In the box from `lower` to `upper`, which the cells of the grid divide. Every rank may give any particles; they go to their
    /// owners at once. Collective.
    ///
    /// # Errors
    /// A box without volume; those of [`Particles::migrate`].
    #[track_caller]
    pub fn new(
        grid: &Grid<D>,
        lower: [f64; D],
        upper: [f64; D],
        particles: impl IntoIterator<Item = P>,
    ) -> Result<Self> {
        let volume = (0..D).all(|axis| lower[axis] < upper[axis] && (upper[axis] - lower[axis]).is_finite());
        let checked = match volume {
            true => Ok(()),
            false => Err(Error::usage(format!("Particles::new: a box from {lower:?} to {upper:?}"))
                .help("lower must be below upper on every axis, and both finite")
                .at(Location::caller())),
        };
        grid.comm().agree(checked)?;
        let items = particles.into_iter().collect();
        let mut particles =
            Particles { grid: grid.clone(), lower, upper, items, at_home: false, set: Rc::new(()) };
        particles.migrate()?;
        Ok(particles)
    }

    /// The grid whose cells' owners have the particles.
    pub fn grid(&self) -> &Grid<D> {
        &self.grid
    }

    /// The corners of the box.
    pub fn corners(&self) -> ([f64; D], [f64; D]) {
        (self.lower, self.upper)
    }

    /// This rank's particles, in the order of their numbers.
    pub fn local(&self) -> &[P] {
        &self.items
    }

    /// This rank's particles, to be changed; one that has moved goes to its owner in [`Particles::migrate`].
    pub fn local_mut(&mut self) -> &mut [P] {
        &mut self.items
    }

    /// Takes the particles that `keep` is false for away. A rank may do so alone.
    pub fn retain(&mut self, keep: impl FnMut(&P) -> bool) {
        self.set = Rc::new(());
        self.items.retain(keep);
    }

    /// Adds particles, wherever they are; [`Particles::migrate`] brings them to their owners. A rank may do so alone.
    pub fn add(&mut self, particles: impl IntoIterator<Item = P>) {
        self.set = Rc::new(());
        self.items.extend(particles);
    }

    /// How many particles all ranks have. Collective.
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn len(&self) -> Result<usize> {
        self.comm().allreduce(self.items.len(), Sum)
    }

    /// Whether no rank has any. Collective.
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// A number that depends on the bytes of all particles and on nothing else: not on their order, nor on who has them.
    /// Collective.
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn checksum(&self) -> Result<u64> {
        let sum = self.items.iter().map(hash).fold(0, u64::wrapping_add);
        self.comm().allreduce(sum, Sum)
    }

    /// The rank that owns the cell at a position inside the box; periodic axes go round. `None` beyond a wall, or of NaN.
    pub fn owner(&self, position: [f64; D]) -> Option<usize> {
        self.grid.owner(self.cell(self.wrapped(position)?))
    }

    /// Brings every particle to the owner of its position, however far that is, and into the order of the numbers. Positions on
    /// periodic axes are brought into the box first. Gives back how many changed ranks. Collective.
    ///
    /// That none was lost or doubled is checked: their number and the sum of the numbers they have.
    ///
    /// # Errors
    /// A particle beyond a wall (an axis that is not periodic), or whose position is NaN: then none has moved. A failure of
    /// the engine.
    #[track_caller]
    pub fn migrate(&mut self) -> Result<usize> {
        self.bring_inside("migrate")?;
        self.set = Rc::new(());
        let me = self.comm().rank();
        let before = (self.items.len(), sum_of_ids(&self.items));
        let mut leaving: BTreeMap<usize, Vec<P>> = BTreeMap::new();
        let mut staying = Vec::with_capacity(self.items.len());
        for particle in std::mem::take(&mut self.items) {
            match self.grid.owner(self.cell(particle.position())) {
                Some(owner) if owner != me => leaving.entry(owner).or_default().push(particle),
                _ => staying.push(particle),
            }
        }
        let left: usize = leaving.values().map(Vec::len).sum();
        for (_, some) in self.comm().exchange_sparse(leaving.into_iter().collect())? {
            staying.extend(some);
        }
        staying.sort_unstable_by(by_id);
        self.items = staying;
        self.at_home = true;
        let after = (self.items.len(), sum_of_ids(&self.items));
        let sums = [before.0 as u64, after.0 as u64, before.1, after.1, left as u64];
        let [before, after, ids_before, ids_after, moved] = self.comm().allreduce(sums, Sum)?;
        if (before, ids_before) != (after, ids_after) {
            let what = format!("migrate: {before} particles before, {after} afterwards, or others");
            return Err(Error::new(ErrorKind::Engine, what).on_rank(me).at(Location::caller()));
        }
        Ok(moved as usize)
    }

    /// Brings all positions on periodic axes into the box. Every rank finds whether one is beyond a wall, and then none is
    /// changed. Collective.
    #[track_caller]
    fn bring_inside(&mut self, call: &str) -> Result<()> {
        let lost = self.items.iter().find(|particle| self.wrapped(particle.position()).is_none());
        let checked = match lost {
            None => Ok(()),
            Some(lost) => Err(self.comm().usage(
                call,
                Location::caller(),
                format!(
                    "particle {} is at {:?}, outside the box to {:?}",
                    lost.id(),
                    lost.position(),
                    self.upper
                ),
                "reflect it at the wall, take it away with retain, or make the axis periodic",
            )),
        };
        self.comm().agree(checked)?;
        let mut items = std::mem::take(&mut self.items);
        for particle in &mut items {
            let position = particle.position();
            if let Some(inside) = self.wrapped(position).filter(|inside| *inside != position) {
                particle.set_position(inside);
            }
        }
        self.items = items;
        Ok(())
    }

    fn comm(&self) -> &Comm {
        self.grid.comm()
    }

    /// The position in the box; `None` if there is none.
    fn wrapped(&self, position: [f64; D]) -> Option<[f64; D]> {
        let periodic = self.grid.periodic();
        let mut inside = position;
        for axis in 0..D {
            let (x, low, high) = (position[axis], self.lower[axis], self.upper[axis]);
            if periodic[axis] && !(low..high).contains(&x) {
                let round = low + (x - low).rem_euclid(high - low);
                // Rounding may end on the upper side, which is the lower one.
                inside[axis] = if round >= high { low } else { round };
            }
            // Not so of NaN.
            if !(low..=high).contains(&inside[axis]) {
                return None;
            }
        }
        Some(inside)
    }

    /// The width of a cell.
    fn width(&self, axis: usize) -> f64 {
        (self.upper[axis] - self.lower[axis]) / self.grid.cells()[axis] as f64
    }

    /// The cell of one axis that is at or nearest to `x`.
    fn cell_of(&self, axis: usize, x: f64) -> usize {
        // A conversion of what is below zero is zero.
        (((x - self.lower[axis]) / self.width(axis)) as usize).min(self.grid.cells()[axis] - 1)
    }

    fn cell(&self, position: [f64; D]) -> [usize; D] {
        std::array::from_fn(|axis| self.cell_of(axis, position[axis]))
    }
}

/// By number, and by bytes where somebody gave one number twice.
fn by_id<P: Particle<D>, const D: usize>(a: &P, b: &P) -> std::cmp::Ordering {
    a.id().cmp(&b.id()).then_with(|| bytemuck::bytes_of(a).cmp(bytemuck::bytes_of(b)))
}

fn sum_of_ids<P: Particle<D>, const D: usize>(particles: &[P]) -> u64 {
    particles.iter().map(Particle::id).fold(0, u64::wrapping_add)
}

/// FNV-1a over the bytes, and a finaliser, so that sums of hashes do not cancel.
fn hash<P: Element>(particle: &P) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for &byte in bytemuck::bytes_of(particle) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

impl<P, const D: usize> std::fmt::Debug for Particles<P, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Particles({} here, on {:?})", self.items.len(), self.grid)
    }
}
