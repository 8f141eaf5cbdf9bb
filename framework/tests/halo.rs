//! Halos against the global picture: 1 to 4 axes, stars and boxes, cells and faces, every kind of wall, one field and
//! several in one message, after an exchange and after an update.
//!
//! Sweeps of stars in cells are in `field_update`.

#[path = "common/picture.rs"]
mod picture;

use picture::{Case, case, check, exchanges, given_edges, sweeps, value, walls};
use rankine::testing::{ranks, try_ranks};
use rankine::{Comm, ErrorKind, Field, Grid, Result, Side, Stencil};

const RANKS: [usize; 5] = [1, 2, 3, 4, 7];

fn both<const D: usize>(size: impl IntoIterator<Item = usize> + Clone, case: Case<D>) {
    let staggers = (0..1usize << D).map(|bits| std::array::from_fn(|axis| bits >> axis & 1 == 1));
    for staggered in staggers {
        for stencil in [Stencil::Star, Stencil::Box] {
            ranks(size.clone(), |world| exchanges(world, Case { stencil, ..case }, staggered));
        }
    }
}

#[test]
fn one_axis() {
    for halo in 0..4 {
        for periodic in [false, true] {
            both(RANKS, case([37], halo, [periodic]));
        }
    }
}

#[test]
fn two_axes() {
    for halo in 1..3 {
        for periodic in [[false; 2], [true, false], [false, true], [true; 2]] {
            both(RANKS, case([16, 17], halo, periodic));
            for dims in [[4, 1], [2, 2], [1, 4]] {
                both([4], Case { dims: Some(dims), ..case([13, 14], halo, periodic) });
            }
        }
    }
}

#[test]
fn three_axes() {
    for (halo, periodic) in [(1, [false; 3]), (2, [true, false, true]), (1, [true; 3])] {
        both([1, 3, 4, 8], case([9, 12, 13], halo, periodic));
        for dims in [[2, 2, 2], [1, 1, 8], [1, 4, 2]] {
            both([8], Case { dims: Some(dims), ..case([7, 13, 25], halo, periodic) });
        }
    }
}

#[test]
fn four_axes() {
    for (halo, periodic) in [(1, [false; 4]), (1, [true, false, true, false]), (2, [true; 4])] {
        both([1, 2, 4, 7], case([8, 5, 6, 7], halo, periodic));
        for dims in [[2, 2, 1, 1], [1, 1, 2, 2], [1, 4, 1, 1]] {
            both([4], Case { dims: Some(dims), ..case([6, 12, 6, 6], halo, periodic) });
        }
        both([16], Case { dims: Some([2; 4]), ..case([6; 4], halo, periodic) });
    }
}

#[test]
fn sweeps_with_diagonals() {
    for periodic in [[false; 2], [true, false], [true; 2]] {
        ranks(RANKS, |world| sweeps(world, case([9, 10], 1, periodic)));
        ranks([4], |world| sweeps(world, Case { dims: Some([2, 2]), ..case([5, 6], 1, periodic) }));
        ranks([4], |world| sweeps(world, Case { dims: Some([1, 4]), ..case([5, 9], 1, periodic) }));
    }
    for periodic in [[false; 3], [true, false, true]] {
        ranks([1, 2, 4, 7, 8], |world| sweeps(world, case([7, 4, 5], 1, periodic)));
        ranks([8], |world| sweeps(world, Case { dims: Some([2; 3]), ..case([4, 5, 6], 1, periodic) }));
    }
    ranks([1, 4, 7], |world| sweeps(world, case([7, 3, 3, 4], 1, [false, true, false, true])));
}

/// The reference value of a star on four axes, to the bit, with threads.
#[test]
fn four_axes_on_threads() {
    let run = rankine::Launch::new()
        .ranks(2)
        .threads(2)
        .checked(true)
        .run(|world| sweeps(&world, case([6, 4, 5, 7], 1, [true, false, false, true])));
    run.unwrap();
}

#[test]
fn ranks_without_cells_take_part() {
    ranks([1, 2, 5, 7], |world| {
        let grid = Grid::over(world, [3, 1]).leave_idle().build()?;
        assert_eq!(grid.team().is_some(), world.rank() < 3);
        assert_eq!(grid.own().is_empty(), world.rank() >= 3);
        assert_eq!(grid.block_of(world.rank()), Some(grid.own()));
        let mut field = Field::from_fn(&grid, |[y, _]| y as f64 - 4.0)?;
        field.exchange()?;
        field.update_with_neighbors(|out, rows| out.copy_from_slice(rows.at([1, 0])))?;
        field.update(|out, at| out[0] += at.start()[0] as f64)?;
        assert_eq!((field.sum()?, field.min()?, field.max()?), (-4.0, -3.0, 0.0));
        assert_eq!((field.view().len(), field.iter().count()), (grid.own().len(), grid.own().len()));
        assert_ne!(field.checksum()?, 0);
        Ok(())
    });
}

#[test]
fn every_point_of_a_staggered_field_has_one_owner() {
    ranks(RANKS, |world| {
        for periodic in [[false, false], [true, false]] {
            let grid = Grid::over(world, [14, 9]).periodic(periodic).build()?;
            let field = Field::staggered(&grid, [true, true], 1i64)?;
            let points = field.points();
            assert_eq!(points, [if periodic[0] { 14 } else { 15 }, 10]);
            for point in (0..points[0] * points[1]).map(|i| [i / points[1], i % points[1]]) {
                let owners: Vec<usize> = (0..world.size())
                    .filter(|&rank| field.block_of(rank).is_some_and(|block| block.contains(point)))
                    .collect();
                assert_eq!((owners.len(), field.owner(point)), (1, Some(owners[0])));
            }
            assert_eq!(field.owner(points), None);
            assert_eq!(field.sum()? as usize, points[0] * points[1]);
        }
        Ok(())
    });
}

#[test]
fn checksums_of_staggered_fields_do_not_depend_on_the_partition() {
    let mut sums = Vec::new();
    for dims in [[1, 1, 1], [4, 1, 1], [1, 4, 1], [2, 1, 2]] {
        let sum = std::sync::Mutex::new(0);
        ranks([dims.iter().product()], |world| {
            let grid = Grid::over(world, [8, 9, 10]).dims(dims).build()?;
            let mut field = Field::staggered(&grid, [true, false, true], 0.0)?;
            field.fill_with(value);
            *sum.lock().unwrap() = field.checksum()?;
            Ok(())
        });
        sums.push(sum.into_inner().unwrap());
    }
    assert!(sums.iter().all(|&sum| sum == sums[0] && sum != 0), "{sums:?}");
}

#[test]
fn coordinates_are_those_of_middles_and_faces() {
    ranks([1, 3], |world| {
        let grid = Grid::over(world, [4, 6]).origin([1.0, -3.0]).spacing([0.5, 2.0]).build()?;
        assert_eq!(grid.center([3, 0]), [2.75, -2.0]);
        let mut field = Field::staggered(&grid, [true, false], [0.0; 2])?;
        field.fill_at(|place| place);
        for (point, got) in field.iter() {
            assert_eq!(got, [1.0 + 0.5 * point[0] as f64, -2.0 + 2.0 * point[1] as f64]);
            assert_eq!(got, field.coordinates(point));
        }
        field.update(|out, at| (0..out.len()).for_each(|i| assert_eq!(out[i], at.coordinates(i))))
    });
}

#[test]
fn uneven_blocks() {
    ranks([6], |world| {
        let grid =
            Grid::over(world, [10, 7]).blocks([vec![1, 7, 2], vec![3, 4]]).stencil(Stencil::Box).build()?;
        let mut field = Field::from_fn(&grid, value)?.walls(walls());
        field.exchange()?;
        check(&case([10, 7], 1, [false; 2]), &field, "uneven");
        assert_eq!(grid.owner([8, 2]), Some(4));
        Ok(())
    });
}

#[test]
fn what_cannot_be_is_an_error() {
    let usage = |size: usize, words: &str, make: &(dyn Fn(&Comm) -> Result<()> + Sync)| {
        let error = try_ranks(size, true, make).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    usage(2, "needs one cell more", &|world| {
        Field::staggered(&Grid::over(world, [4]).halo(2).build()?, [true], 0.0).map(drop)
    });
    usage(2, "widths above zero", &|world| Grid::over(world, [4]).spacing([-1.0]).build().map(drop));
    usage(2, "blocks 1 on 2 ranks", &|world| Grid::over(world, [4]).blocks([vec![4]]).build().map(drop));
    usage(2, "exchange_all on", &|world| {
        let (grid, other) = (Grid::new(world, [4])?, Grid::new(world, [5])?);
        grid.exchange_all([&mut Field::new(&other, 0.0)?])
    });
    usage(2, "same points of the grid", &|world| {
        let grid = Grid::new(world, [4])?;
        Field::staggered(&grid, [true], 0.0)?.copy_from(&Field::new(&grid, 0.0)?)
    });
    usage(1, "axis 2 of a field of 1", &|world| {
        Field::new(&Grid::new(world, [4])?, 0.0)?.set_edge(2, Side::Low, |_, inside| inside)
    });
    usage(1, "is not the author's", &|world| {
        Field::new(&Grid::new(world, [4])?, 0.0)?.set_edge(0, Side::Low, |_, inside| inside)
    });
    usage(1, "is periodic", &|world| {
        let grid = Grid::over(world, [4]).periodic([true]).build()?;
        Field::new(&grid, 0.0)?.set_edge(0, Side::Low, |_, inside| inside)
    });
    let error = try_ranks(2, true, |world| {
        let stencil = if world.rank() == 0 { Stencil::Star } else { Stencil::Box };
        Grid::over(world, [8, 8]).stencil(stencil).build().map(drop)
    });
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Mismatch);
}

#[test]
fn given_edges_are_the_authors() {
    ranks(RANKS, given_edges);
}
