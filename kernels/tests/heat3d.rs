//! heat3d against what is known exactly, on several numbers of ranks and threads: decay, conservation, extremes, and
//! the same bits everywhere.

use rankine::kernel::{Kernel, Verdict};
use rankine::run::Summary;
use rankine::{Launch, Run, testing};
use rankine_kernels::Triple;
use rankine_kernels::heat3d::{Heat3d, Initial, Walls};
use std::sync::{Arc, Mutex};

const RANKS: [usize; 5] = [1, 2, 3, 4, 7];

/// Runs on every number of ranks and gives the checksum, which must be one and the same.
fn checksum(heat: &Heat3d, checks: usize) -> String {
    let sums = Mutex::new(Vec::new());
    testing::ranks(RANKS, |world| {
        let summary = Run::new(heat.clone()).on(world)?;
        assert!(matches!(summary.verdict, Verdict::Passed(_)), "{heat:?}: {summary}");
        assert_eq!(summary.verdict.checks().len(), checks, "{heat:?}: {summary}");
        sums.lock().unwrap().push(summary.checksum.unwrap_or_default());
        Ok(())
    });
    let sums = sums.into_inner().unwrap();
    assert_eq!(sums.len(), RANKS.iter().sum::<usize>());
    assert!(sums.iter().all(|sum| *sum == sums[0]), "{heat:?}: {sums:?}");
    sums[0].clone()
}

fn heat(cells: [usize; 3], walls: Walls, init: Initial) -> Heat3d {
    Heat3d { cells: Some(Triple(cells)), steps: 40, walls, init, ..Heat3d::default() }
}

#[test]
fn modes_decay_exactly_with_all_walls() {
    for (walls, checks) in [(Walls::Fixed, 2), (Walls::Insulated, 3), (Walls::Periodic, 3)] {
        for mode in [1, 2, 5] {
            let heat = Heat3d { mode: Triple([mode; 3]), ..heat([12, 10, 14], walls, Initial::Sine) };
            checksum(&heat, checks);
        }
    }
}

#[test]
fn awkward_shapes_give_the_same_bits() {
    // Primes; fewer planes than ranks on one axis; pencils and sheets.
    for cells in [[7, 11, 13], [2, 17, 5], [5, 2, 31], [23, 3, 1], [1, 1, 29], [1, 8, 9]] {
        for walls in [Walls::Fixed, Walls::Insulated, Walls::Periodic] {
            let sine = Heat3d { mode: Triple([1, 2, 3]), ..heat(cells, walls, Initial::Sine) };
            checksum(&sine, if walls == Walls::Fixed { 2 } else { 3 });
        }
    }
}

#[test]
fn anisotropic_spacing_and_the_largest_step() {
    let base = heat([9, 8, 7], Walls::Fixed, Initial::Sine);
    let spacing = [0.5, 1.0, 3.0];
    let limit = 1.0 / (2.0 * 0.7 * spacing.iter().map(|h| 1.0 / (h * h)).sum::<f64>());
    let heat = Heat3d {
        spacing: Some(Triple(spacing)),
        diffusivity: 0.7,
        dt: Some(limit),
        wall_value: -3.0,
        ..base
    };
    assert!(heat.check(1).is_ok());
    checksum(&heat, 2);
}

#[test]
fn heat_is_conserved_without_walls_to_lose_it_through() {
    for init in [Initial::Gaussian, Initial::HotCube] {
        for walls in [Walls::Insulated, Walls::Periodic] {
            checksum(&heat([11, 12, 13], walls, init), 2);
        }
        checksum(&heat([11, 12, 13], Walls::Fixed, init), 1);
    }
}

#[test]
fn different_problems_have_different_checksums() {
    let one = heat([8, 8, 8], Walls::Fixed, Initial::Sine);
    let sums = [
        checksum(&one, 2),
        checksum(&Heat3d { steps: 41, ..one.clone() }, 2),
        checksum(&Heat3d { init: Initial::HotCube, ..one.clone() }, 1),
        checksum(&Heat3d { cells: Some(Triple([8, 8, 9])), ..one }, 2),
    ];
    for (n, sum) in sums.iter().enumerate() {
        assert!(!sums[..n].contains(sum), "{sums:?}");
    }
}

#[test]
fn threads_within_a_rank_change_nothing() {
    let heat = heat([13, 40, 50], Walls::Insulated, Initial::Gaussian);
    let expected = checksum(&heat, 2);
    for (ranks, threads) in [(1, 3), (2, 2), (3, 4)] {
        let (heat, found) = (heat.clone(), Arc::new(Mutex::new(None::<Summary>)));
        let keep = found.clone();
        Launch::new()
            .ranks(ranks)
            .threads(threads)
            .run(move |world| {
                let summary = Run::new(heat.clone()).on(&world)?;
                assert_eq!(summary.threads, threads);
                *keep.lock().unwrap() = Some(summary);
                Ok(())
            })
            .unwrap();
        assert_eq!(
            found.lock().unwrap().as_ref().unwrap().checksum,
            Some(expected.clone()),
            "{ranks} x {threads}"
        );
    }
}

/// The obvious way: whole arrays with their surroundings looked up cell by cell, one rank, no halo.
#[test]
fn a_slow_and_obvious_step_agrees_to_the_bit() {
    let [nz, ny, nx] = [5usize, 4, 6];
    let wall = 2.5;
    let heat = Heat3d { steps: 3, wall_value: wall, ..heat([nz, ny, nx], Walls::Fixed, Initial::HotCube) };
    let inside = |i: usize, n: usize| f64::from((((i as f64) + 0.5) / n as f64 - 0.5).abs() <= 1.0 / 6.0);
    let at = |z: usize, y: usize, x: usize| (z * ny + y) * nx + x;
    let mut u = vec![0.0; nz * ny * nx];
    for z in 0..nz {
        for y in 0..ny {
            for x in 0..nx {
                u[at(z, y, x)] = wall + inside(z, nz) * inside(y, ny) * inside(x, nx);
            }
        }
    }
    let r = 0.9 * (1.0 / (2.0 * 1.0 * 3.0));
    for _ in 0..3 {
        let old = u.clone();
        let get = |z: isize, y: isize, x: isize| {
            let within = |i: isize, n: usize| (0..n as isize).contains(&i);
            let here = within(z, nz) && within(y, ny) && within(x, nx);
            if here { old[at(z as usize, y as usize, x as usize)] } else { wall }
        };
        for z in 0..nz as isize {
            for y in 0..ny as isize {
                for x in 0..nx as isize {
                    let c = get(z, y, x);
                    let along_z = r * ((get(z - 1, y, x) + get(z + 1, y, x)) - 2.0 * c);
                    let along_y = r * ((get(z, y - 1, x) + get(z, y + 1, x)) - 2.0 * c);
                    let along_x = r * ((get(z, y, x - 1) + get(z, y, x + 1)) - 2.0 * c);
                    u[at(z as usize, y as usize, x as usize)] = c + ((along_z + along_y) + along_x);
                }
            }
        }
    }
    testing::ranks([1, 2, 3], |world| {
        let grid = rankine::Grid::new(world, [nz, ny, nx])?;
        let slow = rankine::Field::from_fn(&grid, |[z, y, x]| u[at(z, y, x)])?;
        let expected = format!("{:016x}", slow.checksum()?);
        assert_eq!(Run::new(heat.clone()).on(world)?.checksum, Some(expected));
        Ok(())
    });
}
