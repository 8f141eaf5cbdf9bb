//! Levels on both engines: restriction and prolongation of cells and faces, also where blocks are merged on fewer ranks, and a
//! V-cycle at the rate of theory.

#[path = "../common/multilevel.rs"]
mod multilevel;

use multilevel::{Values, poisson, transfers};
use rankine::{Comm, Grid, Result};

/// The grid and the one with twice the cells, and all coarser ones, of the last of which few ranks have any.
fn all_levels<const D: usize>(
    world: &Comm,
    cells: [usize; D],
    periodic: [bool; D],
    halo: usize,
) -> Result<()> {
    for (number, bits) in (0..1usize << D).enumerate() {
        let staggered = std::array::from_fn(|axis| bits >> axis & 1 == 1);
        let mut grid = Grid::over(world, cells).periodic(periodic).halo(halo).leave_idle().build()?;
        if number == 1 {
            transfers(&grid.refine()?, staggered)?;
        }
        while let Some(levels) = grid.coarsen()? {
            transfers(&levels, staggered)?;
            grid = levels.coarse().clone();
        }
    }
    Ok(())
}

pub fn on_one_axis(world: &Comm) -> Result<()> {
    for periodic in [false, true] {
        all_levels(world, [48], [periodic], 1)?;
        all_levels(world, [96], [periodic], 2)?;
    }
    Ok(())
}

pub fn on_two_axes(world: &Comm) -> Result<()> {
    for periodic in [[false; 2], [true, false]] {
        all_levels(world, [32, 24], periodic, 1)?;
    }
    Ok(())
}

pub fn on_three_axes(world: &Comm) -> Result<()> {
    all_levels(world, [16, 5, 8], [false, true, false], 1)
}

pub fn on_four_axes(world: &Comm) -> Result<()> {
    all_levels(world, [8, 3, 4, 4], [false, true, false, true], 1)
}

/// The two-grid factor of one sweep of Jacobi (4/5) before and one after is 0.6² = 0.36 (Trottenberg, Oosterlee and
/// Schüller, 2001, chapter 3), and the bits are those of one rank.
pub fn poisson_by_v_cycles(world: &Comm) -> Result<()> {
    // In cells the transfers near walls are the ones that go wrong first; that their bits are right is all that is asked here.
    let cells = poisson(world, 8, Values::Cells, 1)?;
    assert!(cells.0.iter().all(|&factor| factor < 0.7), "{cells:?}");
    let (factors, error, checksum) = poisson(world, 32, Values::Nodes, 1)?;
    assert!((0.2..0.40).contains(&factors[7]), "{factors:?}");
    // Second order: π² h² / 12 of the solution's largest value, 1.
    assert!(error < 1.2 * 9.87 / 12.0 / 1024.0 + 1e-3 * factors.iter().product::<f64>(), "{error}");
    let alone = world.split(Some(world.rank() as u32), 0)?;
    let alone = alone.map(|comm| poisson(&comm, 32, Values::Nodes, 1)).transpose()?;
    assert_eq!(Some((factors, error, checksum)), alone);
    Ok(())
}
