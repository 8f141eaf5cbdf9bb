//! Particles in HDF5 files: a group, in the order of their numbers.
//!
//! `id` and `position` are for everybody, `record` has their bytes, from which they are read; further columns are the author's.

use super::{Particle, Particles};
use crate::DistVec;
use crate::error::Result;
use crate::grid::Grid;
use crate::output::Writer;
use std::path::Path;

impl<P: Particle<D>, const D: usize> Particles<P, D> {
    /// Writes the group `name`: `id`, `position` (one row a particle) and `record`, the particles' bytes, from which
    /// [`Particles::read`] makes them anew. In the order of their numbers: the same content from any number of ranks.
    /// Collective.
    ///
    /// # Errors
    /// Those of [`Writer::write`].
    #[track_caller]
    pub fn write(&self, file: &mut Writer, name: &str) -> Result<()> {
        let sorted = self.sorted()?;
        sorted.clone().map(|particle| particle.id()).write(file, &format!("{name}/id"))?;
        sorted.clone().map(|particle| particle.position()).write(file, &format!("{name}/position"))?;
        sorted.write(file, &format!("{name}/record"))
    }

    /// What `of` makes of each particle, in the order of their numbers, to be written beside them or computed with:
    /// `balls.column(|ball| ball.v)?.write(&mut file, "balls/velocity")`. Collective.
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn column<U>(&self, of: impl FnMut(P) -> U) -> Result<DistVec<U>>
    where
        crate::collection::Plain: crate::collection::Way<U>,
    {
        Ok(self.sorted()?.map(of))
    }

    /// Reads the group `name` that [`Particles::write`] wrote, with the same type; each goes to the owner of its position in
    /// the box. Collective.
    ///
    /// # Errors
    /// Those of [`DistVec::read`], of particles of another size, and of [`Particles::new`].
    #[track_caller]
    pub fn read(
        grid: &Grid<D>,
        lower: [f64; D],
        upper: [f64; D],
        path: impl AsRef<Path>,
        name: &str,
    ) -> Result<Self> {
        let all = DistVec::<P>::read(grid.comm(), path, &format!("{name}/record"))?;
        Particles::new(grid, lower, upper, all.into_local())
    }

    #[track_caller]
    fn sorted(&self) -> Result<DistVec<P>> {
        DistVec::new(self.comm(), self.items.iter().copied())?.sort_by_key(Particle::id)
    }
}
