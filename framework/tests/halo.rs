//! Halos against the global picture: 1 to 4 axes, stars and boxes, cells and faces, every kind of wall, one field and
//! several in one message, after an exchange and after an update.
//!
//! Sweeps of stars in cells are in `field_update`.

use rankine::testing::{ranks, try_ranks};
use rankine::{Comm, ErrorKind, Field, Grid, Result, Side, Span, Stencil, Wall};

const RANKS: [usize; 5] = [1, 2, 3, 4, 7];

#[derive(Clone, Copy, Debug)]
struct Case<const D: usize> {
    cells: [usize; D],
    halo: usize,
    periodic: [bool; D],
    stencil: Stencil,
    dims: Option<[usize; D]>,
}

fn case<const D: usize>(cells: [usize; D], halo: usize, periodic: [bool; D]) -> Case<D> {
    Case { cells, halo, periodic, stencil: Stencil::Box, dims: None }
}

impl<const D: usize> Case<D> {
    fn grid(&self, world: &Comm) -> Result<Grid<D>> {
        let grid =
            Grid::over(world, self.cells).halo(self.halo).periodic(self.periodic).stencil(self.stencil);
        match self.dims {
            Some(dims) => grid.dims(dims).build(),
            None => grid.leave_idle().build(),
        }
    }
}

/// A value for each point that no other point has.
fn value<const D: usize>(point: [usize; D]) -> f64 {
    point.iter().fold(1.0, |value, &index| value * 100.0 + index as f64)
}

fn negated(value: f64) -> f64 {
    -value
}

/// Walls of every kind, others on every axis.
fn walls<const D: usize>() -> [[Wall<f64>; 2]; D] {
    std::array::from_fn(|axis| match axis {
        0 => [Wall::Mirror, Wall::Fixed(-3.0)],
        1 => [Wall::Fixed(-4.0), Wall::Mapped(negated)],
        2 => [Wall::Mapped(negated), Wall::Mirror],
        _ => [Wall::Fixed(-5.0), Wall::Fixed(-6.0)],
    })
}

/// What must be at a place, by the global picture: axis by axis, the first one outermost.
fn beyond_ref<const D: usize>(case: &Case<D>, staggered: [bool; D], place: [isize; D]) -> f64 {
    fn at<const D: usize>(
        axis: usize,
        case: &Case<D>,
        staggered: [bool; D],
        place: [isize; D],
        point: &mut [usize; D],
    ) -> f64 {
        if axis == D {
            return value(*point);
        }
        let (n, index) = (case.cells[axis] as isize, place[axis]);
        let on_edge = isize::from(staggered[axis]);
        let count = if case.periodic[axis] { n } else { n + on_edge };
        let mut map: fn(f64) -> f64 = |value| value;
        let inside = if (0..count).contains(&index) {
            index
        } else if case.periodic[axis] {
            index.rem_euclid(n)
        } else {
            match walls::<D>()[axis][usize::from(index >= count)] {
                Wall::Fixed(value) => return value,
                Wall::Mapped(other) => map = other,
                Wall::Mirror => {}
                Wall::Given => unreachable!("not in this test"),
            }
            if index < 0 { on_edge - 1 - index } else { 2 * count - 1 - on_edge - index }
        };
        point[axis] = inside as usize;
        map(at(axis + 1, case, staggered, place, point))
    }
    at(0, case, staggered, place, &mut [0; D])
}

/// Every ghost cell that the stencil has, on this rank.
fn check<const D: usize>(case: &Case<D>, field: &Field<f64, D>, what: &str) {
    let (own, padded, halo) = (field.own(), field.padded_shape(), field.halo());
    for (linear, &got) in field.storage().iter().enumerate() {
        let (mut rest, mut place, mut outside, mut ghost) = (linear, [0isize; D], 0, true);
        for axis in (0..D).rev() {
            let local = (rest % padded[axis]) as isize - halo as isize;
            rest /= padded[axis];
            outside += usize::from(local < 0 || local >= own.shape[axis] as isize);
            place[axis] = own.start[axis] as isize + local;
            // Behind the ghosts of a row there may be padding, which holds nothing.
            ghost &= local < (own.shape[axis] + halo) as isize;
        }
        if ghost && (outside <= 1 || case.stencil == Stencil::Box) {
            let want = beyond_ref(case, field.staggering(), place);
            assert_eq!(
                got,
                want,
                "{what}: {place:?} of {case:?}, {:?}, {:?}",
                field.staggering(),
                field.grid()
            );
        }
    }
}

fn exchanges<const D: usize>(world: &Comm, case: Case<D>, staggered: [bool; D]) -> Result<()> {
    let grid = case.grid(world)?;
    let make = || -> Result<Field<f64, D>> {
        let mut field = Field::staggered(&grid, staggered, 0.0)?.walls(walls());
        field.fill_with(value);
        Ok(field)
    };
    let mut field = make()?;
    // The second time the buffers have been used.
    for _ in 0..2 {
        field.exchange()?;
        check(&case, &field, "exchange");
    }
    let (mut one, mut two, mut small) = (make()?, Field::from_fn(&grid, value)?, Field::new(&grid, 7u8)?);
    two.set_walls(walls());
    small.set_walls(Wall::Fixed(7));
    for _ in 0..2 {
        grid.exchange_all([&mut one, &mut small, &mut two])?;
        check(&case, &one, "exchange_all");
        check(&case, &two, "exchange_all");
        assert!(small.iter().all(|(_, value)| value == 7));
    }
    // In place, from a former value and another field of the same points.
    let mut updated = make()?;
    updated.each_mut(|_, value| *value -= 2.0);
    let two = Field::staggered(&grid, staggered, 2.0)?;
    for offset in [0.0, 2.0] {
        let twos = two.reader();
        updated.each_mut(|_, value| *value -= offset);
        updated.update(|out: &mut [f64], at: &Span<'_, D>| {
            let two = at.of(&twos);
            (0..out.len()).for_each(|i| out[i] += two[i]);
            let mut point = at.start();
            point[D - 1] += out.len() - 1;
            assert_eq!(out[out.len() - 1], value(point));
        })?;
        check(&case, &updated, "update");
    }
    Ok(())
}

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

/// A stencil with diagonals, its weights all different.
fn box_ref<const D: usize>(case: &Case<D>, now: &dyn Fn([isize; D]) -> f64, at: [usize; D]) -> f64 {
    let mut sum = 0.0;
    for code in 0..3usize.pow(D as u32) {
        let offset = offset::<D>(code);
        let place = std::array::from_fn(|axis| {
            let (n, index) = (case.cells[axis] as isize, at[axis] as isize + offset[axis]);
            if case.periodic[axis] {
                index.rem_euclid(n)
            } else if index < 0 {
                -1 - index
            } else if index >= n {
                2 * n - 1 - index
            } else {
                index
            }
        });
        sum += (code + 1) as f64 * now(place);
    }
    sum
}

fn offset<const D: usize>(code: usize) -> [isize; D] {
    std::array::from_fn(|axis| (code / 3usize.pow(axis as u32) % 3) as isize - 1)
}

fn sweeps<const D: usize>(world: &Comm, case: Case<D>) -> Result<()> {
    let grid = case.grid(world)?;
    let start = |cell: [usize; D]| (value(cell) * 0.37).sin();
    let mut field = Field::from_fn(&grid, start)?;
    let stencil = |out: &mut [f64], rows: &rankine::Rows<'_, f64, D>| {
        for (i, out) in out.iter_mut().enumerate() {
            *out = (0..3usize.pow(D as u32)).map(|code| (code + 1) as f64 * rows.at(offset(code))[i]).sum();
        }
    };
    field.update_with_neighbors(stencil)?;
    field.update_with_neighbors(stencil)?;
    let once = |place: [isize; D]| {
        box_ref(&case, &|place| start(place.map(|index| index as usize)), place.map(|index| index as usize))
    };
    for (cell, got) in field.iter() {
        let want = box_ref(&case, &once, cell);
        assert_eq!(got.to_bits(), want.to_bits(), "cell {cell:?} of {case:?} on {grid:?}");
    }
    Ok(())
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
    ranks(RANKS, |world| {
        let grid = Grid::over(world, [14, 10]).halo(2).stencil(Stencil::Box).build()?;
        let given = [[Wall::Given; 2]; 2];
        let mut field = Field::from_fn(&grid, value)?.walls(given);
        let linear = |place: [isize; 2]| (place[0] * 100 + place[1]) as f64;
        for axis in 0..2 {
            for side in Side::BOTH {
                field.set_edge(axis, side, |place, _| linear(place))?;
            }
        }
        field.exchange()?;
        let (own, padded) = (field.own(), field.padded_shape());
        for y in 0..own.shape[0] + 4 {
            for x in 0..own.shape[1] + 4 {
                let place = [(own.start[0] + y) as isize - 2, (own.start[1] + x) as isize - 2];
                let inside = (0..14).contains(&place[0]) && (0..10).contains(&place[1]);
                let want = if inside { value(place.map(|index| index as usize)) } else { linear(place) };
                assert_eq!(field.storage()[y * padded[1] + x], want, "{place:?}");
            }
        }
        Ok(())
    });
}
