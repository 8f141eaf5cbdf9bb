//! Levels: transfers against their definitions on the global picture, and Poisson's equation by multigrid at the rate
//! that theory gives, with the same bits on any number of ranks.

#[path = "common/multilevel.rs"]
mod multilevel;

use multilevel::{Values, poisson, transfers};
use rankine::testing::{ranks, try_ranks};
use rankine::{ErrorKind, Field, Grid, Levels, Prolongation, Result};
use std::sync::Mutex;

const RANKS: [usize; 4] = [1, 3, 4, 7];

fn all_levels<const D: usize>(cells: [usize; D], periodic: [bool; D], halo: usize) {
    for staggered in (0..1usize << D).map(|bits| std::array::from_fn(|axis| bits >> axis & 1 == 1)) {
        ranks(RANKS, |world| {
            let mut grid = Grid::over(world, cells).periodic(periodic).halo(halo).leave_idle().build()?;
            transfers(&grid.refine()?, staggered)?;
            // Fields on faces need a first block wider than the halo.
            while let Some(levels) = grid.coarsen()? {
                transfers(&levels, staggered)?;
                grid = levels.coarse().clone();
            }
            Ok(())
        });
    }
}

#[test]
fn transfers_follow_their_definitions() {
    for periodic in [false, true] {
        all_levels([48], [periodic], 1);
        all_levels([96], [periodic], 2);
    }
    for periodic in [[false; 2], [true, false], [true; 2]] {
        all_levels([32, 24], periodic, 1);
    }
    all_levels([16, 10, 24], [false, true, false], 1);
    all_levels([24, 5, 6, 8], [false, true, false, true], 1);
}

#[test]
fn thin_blocks_are_merged_and_spacing_doubles() {
    ranks([7], |world| {
        let grid = Grid::over(world, [64]).spacing([0.5]).build()?;
        let (mut grid, mut owners) = (grid, Vec::new());
        while let Some(levels) = grid.coarsen()? {
            grid = levels.coarse().clone();
            owners.push(grid.dims()[0]);
            let cells = world.allreduce(grid.own().len(), rankine::op::Sum)?;
            assert_eq!(cells, grid.len());
            assert_eq!(grid.spacing()[0] * grid.len() as f64, 32.0);
            assert_eq!(
                grid.team().map(|team| team.size()),
                (!grid.own().is_empty()).then_some(grid.dims()[0])
            );
        }
        // 16 cells are cut at 3, 5, 7, 10, 12, 14: by twos at 5, 10, 14, whose last block is thin, so by fours at 10.
        assert_eq!((owners, grid.len()), (vec![7, 2, 1, 1, 1, 1], 1));
        assert!(Grid::new(world, [7, 9])?.coarsen()?.is_none());
        Ok(())
    });
}

/// With one sweep of Jacobi (4/5) before and one after, full weighting and bilinear interpolation, the two-grid factor in
/// nodes is that of the smoothing itself, 0.6² = 0.36 (Trottenberg, Oosterlee and Schüller, 2001, chapter 3).
#[test]
fn poisson_converges_at_the_rate_of_theory() {
    // Where the coarse problem is nearly solved, many small grids are visited: from fewer cells.
    for (n, values, again) in [(64, Values::Nodes, 1), (32, Values::Nodes, 3), (32, Values::Cells, 2)] {
        let all = Mutex::new(Vec::new());
        ranks([1, 2, 3, 4, 7], |world| {
            let answer = poisson(world, n, values, again)?;
            if world.rank() == 0 {
                all.lock().unwrap().push(answer);
            }
            Ok(())
        });
        let all = all.into_inner().unwrap();
        let (factors, error, _) = &all[0];
        let last = factors[7];
        assert!((0.2..0.40).contains(&last), "{again}: {factors:?}");
        // Second order: π² h² / 12 of the solution's largest value, 1.
        assert!(
            *error < 1.2 * 9.87 / 12.0 / (n * n) as f64 + 1e-3 * factors.iter().product::<f64>(),
            "{error}"
        );
        assert!(all.iter().all(|answer| *answer == all[0]), "{all:?}");
    }
}

#[test]
fn what_cannot_be_is_an_error() {
    let usage = |words: &str, make: &(dyn Fn(&Levels<1>) -> Result<()> + Sync)| {
        let error = try_ranks(2, true, |world| make(&Grid::new(world, [8])?.refine()?)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    let cells = |grid: &Grid<1>| Field::new(grid, 0.0);
    usage("the fine field is on", &|levels| {
        levels.restrict(&mut cells(levels.coarse())?, &mut cells(levels.coarse())?)
    });
    usage("the coarse field is on", &|levels| {
        levels.restrict(&mut cells(levels.fine())?, &mut cells(levels.fine())?)
    });
    usage("staggered along", &|levels| {
        let mut faces = Field::staggered(levels.fine(), [true], 0.0)?;
        levels.correct(&mut cells(levels.coarse())?, &mut faces, Prolongation::Linear)
    });
    let error = try_ranks(2, true, |world| Grid::over(world, [8]).halo(0).build()?.coarsen().map(drop));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Usage);
}
