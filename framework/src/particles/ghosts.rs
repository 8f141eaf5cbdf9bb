//! Ghosts: copies of other ranks' particles that are near a rank's own cells.
//!
//! The owner of a particle works out who is near; nobody asks. A plan keeps who is, and sends the values again.

use super::{Particle, Particles, by_id};
use crate::error::Result;
use std::collections::BTreeMap;
use std::panic::Location;
use std::rc::Rc;

/// Boxes of images on one axis and side, at most.
const MOST_IMAGES: f64 = 16.0;

/// The framework's tag of ghosts.
const TAG: i32 = 0x110;

/// Ghosts that can be brought up to date; from [`Particles::plan_ghosts`].
pub struct Ghosts<P, const D: usize> {
    /// Which set of particles they are of.
    set: Rc<()>,
    out: Vec<Out<P, D>>,
    /// What each rank sends.
    came: Vec<(usize, Vec<P>)>,
    /// The ghosts in their order: message, and number within it.
    order: Vec<(usize, usize)>,
    items: Vec<P>,
}

/// What one rank gets of ours.
struct Out<P, const D: usize> {
    rank: usize,
    /// Which particle, and how often it goes round each axis for its image.
    picks: Vec<(usize, [f64; D])>,
    message: Vec<P>,
}

impl<P: Particle<D>, const D: usize> Out<P, D> {
    fn pack(&mut self, particles: &Particles<P, D>) {
        self.message.clear();
        for &(number, rounds) in &self.picks {
            let mut image = particles.items[number];
            let mut position = image.position();
            for axis in (0..D).filter(|&axis| rounds[axis] != 0.0) {
                position[axis] += rounds[axis] * (particles.upper[axis] - particles.lower[axis]);
            }
            image.set_position(position);
            self.message.push(image);
        }
    }
}

impl<P: Particle<D>, const D: usize> Ghosts<P, D> {
    /// The ghosts, in the order of their numbers, and of the positions that they had when the plan was made.
    pub fn local(&self) -> &[P] {
        &self.items
    }

    /// Brings the ghosts up to date: the same particles, as their owners have them now. Nobody new comes near, so take what
    /// particles may move meanwhile into the radius. Collective.
    ///
    /// # Errors
    /// Particles that were migrated, dealt, added or taken away since, or others than those of the plan: all ranks get an
    /// error. A failure of the engine.
    #[track_caller]
    pub fn refresh(&mut self, particles: &Particles<P, D>) -> Result<()> {
        let comm = particles.comm();
        let checked = match Rc::ptr_eq(&self.set, &particles.set) {
            true => Ok(()),
            false => {
                let what = "the particles are not those that the ghosts were planned for".to_string();
                let help = "call plan_ghosts again after migrate, deal_by_curve, add and retain";
                Err(comm.usage("refresh", Location::caller(), what, help))
            }
        };
        comm.agree(checked)?;
        self.out.iter_mut().for_each(|out| out.pack(particles));
        let (out, came) = (&self.out, &mut self.came);
        let comm = comm.backstage();
        comm.scope(|s| {
            for (rank, into) in came {
                let _completed_by_the_scope = s.irecv(&mut into[..], *rank, TAG)?;
            }
            for out in out {
                let _completed_by_the_scope = s.isend(&out.message[..], out.rank, TAG)?;
            }
            Ok(())
        })?;
        self.collect();
        Ok(())
    }

    fn collect(&mut self) {
        self.items.clear();
        self.items.extend(self.order.iter().map(|&(message, number)| self.came[message].1[number]));
    }
}

impl<P, const D: usize> std::fmt::Debug for Ghosts<P, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ghosts({} here, of {} ranks)", self.items.len(), self.came.len())
    }
}

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
        Ok(self.plan_ghosts(radius)?.items)
    }

    /// As [`ghosts`](Particles::ghosts), kept with who sends what to whom: [`Ghosts::refresh`] brings the same ghosts up to
    /// date again and again, as particles move a little. Collective.
    ///
    /// ```
    /// # use rankine::particles::{Particle, Particles};
    /// # use rankine::Grid;
    /// # #[derive(Clone, Copy, rankine::Element)]
    /// # #[repr(C)]
    /// # struct Ball { x: [f64; 1], id: u64 }
    /// # impl Particle<1> for Ball {
    /// #     fn id(&self) -> u64 { self.id }
    /// #     fn position(&self) -> [f64; 1] { self.x }
    /// #     fn set_position(&mut self, x: [f64; 1]) { self.x = x }
    /// # }
    /// # rankine::testing::ranks([1, 2, 3, 4], |world| {
    /// # let grid = Grid::over(world, [8]).periodic([true]).build()?;
    /// # let all = if world.rank() == 0 { 0..80 } else { 0..0 };
    /// # let balls = all.map(|id| Ball { x: [0.1 * id as f64], id });
    /// let mut balls = Particles::new(&grid, [0.0], [8.0], balls)?;
    /// // What is near, and a little more, so that nobody new comes near for some steps.
    /// let mut ghosts = balls.plan_ghosts(0.25 + 0.1)?;
    /// for _ in 0..10 {
    ///     balls.local_mut().iter_mut().for_each(|ball| ball.x[0] += 0.005);
    ///     ghosts.refresh(&balls)?;
    ///     // Forces of balls.local() and ghosts.local().
    /// }
    /// # let moved = |ball: &Ball| (ball.x[0] - 0.1 * ball.id as f64 - 0.05).rem_euclid(8.0).min(1.0);
    /// # assert!(ghosts.local().iter().all(|ball| moved(ball) < 1e-9 || moved(ball) == 1.0));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`ghosts`](Particles::ghosts).
    #[track_caller]
    pub fn plan_ghosts(&self, radius: f64) -> Result<Ghosts<P, D>> {
        self.check_radius(radius)?;
        let mut out: BTreeMap<usize, Out<P, D>> = BTreeMap::new();
        for (number, particle) in self.items.iter().enumerate() {
            self.images(particle, radius, 0, particle.position(), true, &mut |rank, position| {
                let rounds = std::array::from_fn(|axis| {
                    let length = self.upper[axis] - self.lower[axis];
                    ((position[axis] - particle.position()[axis]) / length).round()
                });
                let out = out.entry(rank).or_insert(Out { rank, picks: Vec::new(), message: Vec::new() });
                out.picks.push((number, rounds));
            });
        }
        let mut out: Vec<Out<P, D>> = out.into_values().collect();
        out.iter_mut().for_each(|out| out.pack(self));
        let messages: Vec<(usize, &[P])> = out.iter().map(|out| (out.rank, &out.message[..])).collect();
        let mut came: Vec<(usize, Vec<P>)> = self.comm().exchange_sparse_slices(messages)?;
        came.sort_unstable_by_key(|(rank, _)| *rank);
        let mut order: Vec<(usize, usize)> = came
            .iter()
            .enumerate()
            .flat_map(|(message, (_, some))| (0..some.len()).map(move |number| (message, number)))
            .collect();
        order.sort_unstable_by(|&a, &b| {
            let (a, b) = (&came[a.0].1[a.1], &came[b.0].1[b.1]);
            let places = a.position().into_iter().zip(b.position());
            let by_place = || places.map(|(a, b)| a.total_cmp(&b)).find(|order| order.is_ne());
            a.id().cmp(&b.id()).then_with(|| by_place().unwrap_or_else(|| by_id(a, b)))
        });
        let mut ghosts = Ghosts { set: self.set.clone(), out, came, order, items: Vec::new() };
        ghosts.collect();
        Ok(ghosts)
    }

    #[track_caller]
    fn check_radius(&self, radius: f64) -> Result<()> {
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
        self.comm().agree(checked)
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
