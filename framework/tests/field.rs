//! Fields on 1 to 8 ranks: who owns which cells, access, halos, reductions, errors.
//!
//! Sweeps are in `field_update`.

use proptest::prelude::*;
use rankine::op::Sum;
use rankine::testing::{ranks, try_ranks};
use rankine::{Comm, Element, ErrorKind, Field, Grid, Result, Side, Wall};

const RANKS: [usize; 6] = [1, 2, 3, 4, 7, 8];

/// Whether the blocks of a grid cover each of its cells once, by looking at each cell.
fn tiles_ref<const D: usize>(grid: &Grid<D>) -> bool {
    let cells = grid.cells();
    (0..grid.len()).all(|mut linear| {
        let mut cell = [0; D];
        for axis in (0..D).rev() {
            cell[axis] = linear % cells[axis];
            linear /= cells[axis];
        }
        let owners: Vec<usize> =
            (0..grid.comm().size()).filter(|&r| grid.block_of(r).unwrap().contains(cell)).collect();
        owners.len() == 1 && grid.owner(cell) == Some(owners[0])
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn blocks_tile_the_grid(size in 1usize..9, cells in proptest::array::uniform3(1usize..12)) {
        let outcome = try_ranks(size, false, |world| {
            let grid = Grid::new(world, cells)?;
            assert!(tiles_ref(&grid));
            assert_eq!(grid.block_of(size), None);
            assert_eq!(grid.owner(cells), None);
            assert_eq!(grid.own(), grid.block_of(world.rank()).unwrap());
            assert_eq!(world.allreduce(grid.own().len(), Sum)?, grid.len());
            let flat = Grid::over(world, [cells[0] * cells[1], cells[2]]).halo(0).build()?;
            assert!(tiles_ref(&flat));
            Ok(())
        });
        if let Err(error) = outcome {
            prop_assert_eq!(error.kind(), ErrorKind::Usage, "{}", error);
        }
    }
}

#[test]
fn blocks_intersect() {
    let a = rankine::Block { start: [0, 4], shape: [3, 5] };
    let b = rankine::Block { start: [2, 0], shape: [4, 6] };
    assert_eq!(a.intersect(&b), Some(rankine::Block { start: [2, 4], shape: [1, 2] }));
    assert_eq!(a.intersect(&rankine::Block { start: [3, 4], shape: [1, 1] }), None);
    assert_eq!((a.len(), a.contains([2, 8]), a.contains([2, 9])), (15, true, false));
}

#[test]
fn neighbors_are_mutual() {
    ranks(RANKS, |world| {
        let grid = Grid::over(world, [8, 9, 10]).periodic([true, false, true]).build()?;
        for axis in 0..3 {
            for side in Side::BOTH {
                let other = if side == Side::Low { Side::High } else { Side::Low };
                let mine = grid.neighbor(axis, side).map_or(usize::MAX, |rank| rank);
                let all = world.allgather(&[grid.neighbor(axis, other).unwrap_or(usize::MAX)])?;
                if mine != usize::MAX {
                    assert_eq!(all[mine], world.rank());
                } else {
                    assert!(!grid.periodic()[axis]);
                }
            }
        }
        assert_eq!(grid.neighbor(3, Side::Low), None);
        Ok(())
    });
}

/// A value for each cell that no other cell has.
fn value<const D: usize>(cell: [usize; D]) -> f64 {
    cell.iter().fold(1.0, |value, &index| value * 1000.0 + index as f64)
}

/// What must be `k` cells beyond an owned cell, by the global picture.
fn beyond_ref<const D: usize>(
    cells: [usize; D],
    periodic: [bool; D],
    walls: [[Wall<f64>; 2]; D],
    cell: [isize; D],
) -> f64 {
    let mut at = [0; D];
    for axis in 0..D {
        let n = cells[axis] as isize;
        at[axis] = match cell[axis] {
            index if (0..n).contains(&index) => index,
            index if periodic[axis] => index.rem_euclid(n),
            index => match walls[axis][usize::from(index >= n)] {
                Wall::Fixed(value) => return value,
                Wall::Mirror if index < 0 => -1 - index,
                Wall::Mirror => 2 * n - 1 - index,
                Wall::Mapped(_) | Wall::Given => unreachable!("not in these tests"),
            },
        } as usize;
    }
    value(at)
}

/// Every ghost cell of a face, on all ranks, against the global picture.
fn check_halo<const D: usize>(
    world: &Comm,
    cells: [usize; D],
    halo: usize,
    periodic: [bool; D],
    walls: [[Wall<f64>; 2]; D],
) -> Result<()> {
    let grid = Grid::over(world, cells).halo(halo).periodic(periodic).build()?;
    let mut field = Field::from_fn(&grid, value)?.walls(walls);
    // The second time the buffers have been used.
    for _ in 0..2 {
        field.exchange()?;
        let (own, padded) = (grid.own(), field.padded_shape());
        for (linear, &got) in field.storage().iter().enumerate() {
            let (mut rest, mut cell, mut outside, mut ghost) = (linear, [0isize; D], 0, true);
            for axis in (0..D).rev() {
                let local = (rest % padded[axis]) as isize - halo as isize;
                rest /= padded[axis];
                outside += usize::from(local < 0 || local >= own.shape[axis] as isize);
                cell[axis] = own.start[axis] as isize + local;
                // Behind the ghosts of a row there may be padding, which holds nothing.
                ghost &= local < (own.shape[axis] + halo) as isize;
            }
            if ghost && outside <= 1 {
                let want = beyond_ref(cells, periodic, walls, cell);
                assert_eq!(got, want, "cell {cell:?} of {cells:?} on rank {}, {grid:?}", world.rank());
            }
        }
    }
    Ok(())
}

#[test]
fn halos_of_all_widths_1d() {
    for halo in 0..4 {
        for periodic in [false, true] {
            let walls = [[Wall::Fixed(-3.0), Wall::Mirror]];
            ranks(RANKS, |world| check_halo(world, [29], halo, [periodic], walls));
        }
    }
}

#[test]
fn halos_of_all_widths_2d() {
    for halo in 0..4 {
        for periodic in [[false, false], [true, false], [false, true], [true, true]] {
            let walls = [[Wall::Mirror, Wall::Fixed(-3.0)], [Wall::Fixed(-4.0), Wall::Mirror]];
            ranks(RANKS, |world| check_halo(world, [24, 25], halo, periodic, walls));
            ranks([2, 3], |world| check_halo(world, [3, 25], halo, periodic, walls));
        }
    }
}

#[test]
fn halos_of_all_widths_3d() {
    for halo in 0..4 {
        for periodic in [[false; 3], [true; 3], [true, false, false], [false, true, true]] {
            let walls =
                [[Wall::Mirror, Wall::Fixed(-3.0)], [Wall::Fixed(-4.0), Wall::Mirror], [Wall::Mirror; 2]];
            ranks(RANKS, |world| check_halo(world, [8, 9, 22], halo, periodic, walls));
            ranks([2, 3, 4], |world| check_halo(world, [3, 4, 25], halo, periodic, walls));
            ranks([4, 8], |world| check_halo(world, [3, 9, 26], halo, periodic, walls));
        }
    }
}

#[test]
fn every_axis_may_be_split() {
    for dims in [[2, 1, 1], [1, 2, 1], [1, 1, 2]] {
        ranks([2], |world| {
            let grid = Grid::over(world, [4, 4, 4]).dims(dims).periodic([true; 3]).build()?;
            assert_eq!(grid.dims(), dims);
            let mut field = Field::new(&grid, world.rank() as u32)?;
            field.exchange()?;
            let ghosts = field.storage().iter().filter(|&&v| v != world.rank() as u32).count();
            // Two faces came from the other rank.
            assert!(ghosts >= 2 * 16, "{ghosts}");
            Ok(())
        });
    }
}

#[test]
fn cells_are_reached_by_global_indices() {
    ranks(RANKS, |world| {
        let grid = Grid::over(world, [9, 14]).halo(2).build()?;
        let mut field = Field::from_fn(&grid, value)?;
        assert_eq!(field.iter().count(), grid.own().len());
        for (cell, got) in field.iter() {
            assert_eq!((got, field.get(cell)), (value(cell), Some(value(cell))));
        }
        let start = grid.own().start;
        let view = field.view();
        assert_eq!(view.shape(), grid.own().shape);
        for ((y, x), &got) in view.indexed_iter() {
            assert_eq!(got, value([start[0] + y, start[1] + x]));
        }
        assert_eq!(field.get([9, 0]), None);

        let owners = world.allreduce(u32::from(field.set([4, 4], -1.0)), Sum)?;
        assert_eq!(owners, 1);
        assert_eq!(field.min()?, -1.0);

        field.view_mut().mapv_inplace(|value| -value);
        assert_eq!(field.min()?, -value([8, 13]));
        field.each_mut(|[y, _], value| *value = y as f64);
        assert_eq!(field.sum()?, 14.0 * 36.0);
        let copy = field.duplicate()?;
        field.fill(2.0);
        assert_eq!((field.sum()?, copy.sum()?), (252.0, 504.0));
        assert_eq!(field.padded_shape().iter().product::<usize>(), field.storage().len());
        Ok(())
    });
}

#[test]
fn fields_on_large_pages_are_fields() {
    ranks([1, 2], |world| {
        let grid = Grid::new(world, [97, 83, 101])?;
        let mut field = Field::from_fn(&grid, value)?;
        field.exchange()?;
        assert!(field.iter().all(|(cell, got)| got == value(cell)));
        Ok(())
    });
}

#[test]
fn sums_lose_little() {
    ranks(RANKS, |world| {
        let grid = Grid::new(world, [100, 31, 7])?;
        let tenth = Field::new(&grid, 0.1f64)?;
        assert!((tenth.sum()? - 2170.0).abs() < 2170.0 * 4.0 * f64::EPSILON);
        let line = Field::new(&Grid::new(world, [100_003])?, 0.1f64)?;
        assert!((line.sum()? - 10_000.3).abs() < 10_000.3 * 4.0 * f64::EPSILON);
        Ok(())
    });
}

#[test]
fn reductions_see_every_cell_once() {
    ranks(RANKS, |world| {
        let grid = Grid::over(world, [13, 17]).halo(2).build()?;
        let field = Field::from_fn(&grid, |[y, x]| (y * 17 + x) as i64)?;
        assert_eq!(field.sum()?, 221 * 220 / 2);
        assert_eq!((field.min()?, field.max()?), (0, 220));
        assert_eq!(field.reduce(|value| u64::from(value % 2 == 0), Sum)?, 111);
        let widest = field.reduce(|value| value, |a: i64, b: i64| a.max(b))?;
        assert_eq!(widest, 220);
        let mut holed = Field::new(&grid, 1.0)?;
        holed.set([12, 16], f64::NAN);
        assert!(holed.min()?.is_nan() && holed.max()?.is_nan() && holed.sum()?.is_nan());
        Ok(())
    });
}

/// Slow and obvious: the same formula over a global list of cells.
fn checksum_ref(cells: [usize; 3], value: impl Fn([usize; 3]) -> f64) -> u64 {
    fn mix(mut x: u64) -> u64 {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
    let (mut sum, mut index) = (0u64, 0u64);
    for z in 0..cells[0] {
        for y in 0..cells[1] {
            for x in 0..cells[2] {
                let place = mix(index.wrapping_add(0x9e37_79b9_7f4a_7c15));
                sum = sum.wrapping_add(mix(place ^ value([z, y, x]).to_bits()));
                index += 1;
            }
        }
    }
    sum
}

#[test]
fn checksums_do_not_depend_on_the_partition() {
    let cells = [8, 15, 9];
    let want = checksum_ref(cells, value);
    ranks(RANKS, |world| {
        for halo in [0, 1, 2] {
            let mut field = Field::from_fn(&Grid::over(world, cells).halo(halo).build()?, value)?;
            assert_eq!(field.checksum()?, want);
            field.set([3, 3, 3], 0.0);
            assert_ne!(field.checksum()?, want);
        }
        Ok(())
    });
    for dims in [[4, 1, 1], [1, 4, 1], [1, 1, 4], [2, 1, 2], [1, 2, 2]] {
        ranks([4], |world| {
            let grid = Grid::over(world, cells).dims(dims).build()?;
            assert_eq!(Field::from_fn(&grid, value)?.checksum()?, want);
            Ok(())
        });
    }
}

#[test]
fn equal_values_in_other_cells_have_another_checksum() {
    ranks([1, 3], |world| {
        let grid = Grid::new(world, [10])?;
        let of = |[a, b]: [u8; 2]| {
            let mut field = Field::new(&grid, 0u8)?;
            field.set([3], a);
            field.set([4], b);
            field.checksum()
        };
        assert_ne!(of([1, 2])?, of([2, 1])?);
        Ok(())
    });
}

#[test]
fn structs_and_small_types_are_values_too() {
    fn sums<T: Element + PartialEq + std::fmt::Debug>(world: &Comm, value: T) -> Result<()> {
        let grid = Grid::over(world, [12, 12]).periodic([true, true]).build()?;
        let mut field = Field::new(&grid, value)?;
        field.exchange()?;
        assert!(field.iter().all(|(_, got)| got == value));
        Ok(())
    }
    ranks([1, 2, 4], |world| {
        sums(world, 7u8)?;
        sums(world, [1.0f32, 2.0, 3.0])?;
        sums(world, 1u128 << 100)
    });
}

#[test]
fn grids_that_cannot_be_are_errors() {
    let usage = |size: usize, words: &str, make: &(dyn Fn(&Comm) -> Result<()> + Sync)| {
        let error = try_ranks(size, true, make).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    usage(7, "use 6 ranks", &|world| Grid::new(world, [1, 2, 3]).map(drop));
    usage(2, "at least one cell", &|world| Grid::new(world, [4, 0]).map(drop));
    usage(2, "number must be below", &|world| Grid::new(world, [1 << 40, 1 << 40]).map(drop));
    usage(1, "more than memory can hold", &|world| Grid::new(world, [1 << 31, 1 << 31, 3]).map(drop));
    usage(1, "memory does not hold it", &|world| {
        Field::new(&Grid::new(world, [1 << 31, 1 << 30])?, [0u64; 8]).map(drop)
    });
    usage(3, "halo of 3", &|world| Grid::over(world, [7, 3]).halo(3).build().map(drop));
    usage(1, "axis 1 has only 2 cells", &|world| {
        Grid::over(world, [7, 2]).halo(3).periodic([true; 2]).build().map(drop)
    });
    usage(4, "product of the dims", &|world| Grid::over(world, [8, 8]).dims([3, 1]).build().map(drop));
}

#[test]
fn ranks_that_disagree_about_a_grid_are_told() {
    let error = try_ranks(2, true, |world| Grid::new(world, [8, 8 + world.rank()]).map(drop)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
}

#[test]
fn fields_on_other_grids_do_not_mix() {
    let error = try_ranks(2, true, |world| {
        let a = Field::new(&Grid::new(world, [8, 8])?, 0.0)?;
        let mut b = Field::new(&Grid::new(world, [8, 9])?, 0.0)?;
        b.copy_from(&a)
    })
    .unwrap_err();
    assert!(error.to_string().contains("copy_from: the fields are on"), "{error}");
}
