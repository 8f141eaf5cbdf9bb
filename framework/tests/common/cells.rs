//! Cells of the global picture and numbers in them, for tests of reductions on any engine.

use rankine::{Comm, Field, Grid, Norm, Result};

/// Numbers of many magnitudes and both signs.
pub fn rough(cell: [usize; 3]) -> f64 {
    let [z, y, x] = cell.map(|index| index as f64);
    (z * 12.9 + y * 78.2 + x * 37.7).sin()
        * 10f64.powi((cell[0] * 7 + cell[1] * 5 + cell[2]) as i32 % 30 - 15)
}

pub fn all_cells<const D: usize>(points: [usize; D]) -> impl Iterator<Item = [usize; D]> {
    (0..points.iter().product()).map(move |mut linear: usize| {
        let mut cell = [0; D];
        for axis in (0..D).rev() {
            cell[axis] = linear % points[axis];
            linear /= points[axis];
        }
        cell
    })
}

/// What every number of ranks must give the same bits of.
pub fn exact_answers(world: &Comm, leave_idle: bool) -> Result<[u64; 4]> {
    let grid = Grid::over(world, [7, 6, 5]);
    let grid = if leave_idle { grid.leave_idle().build()? } else { grid.build()? };
    let field = Field::from_fn(&grid, rough)?;
    let other = Field::from_fn(&grid, |[z, y, x]| rough([x, z, y]))?;
    let answers = [
        field.sum_reproducible()?,
        field.norm_reproducible(Norm::L1)?,
        field.norm_reproducible(Norm::L2)?,
        field.dot_reproducible(&other)?,
    ];
    Ok(answers.map(f64::to_bits))
}
