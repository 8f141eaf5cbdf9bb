//! Sweeps against a naive serial one, to the bit: shapes, halos, walls, ranks and threads.

#[path = "common/behind.rs"]
mod behind;

use proptest::prelude::*;
use rankine::testing::{ranks, try_ranks};
use rankine::{Comm, Field, Grid, Launch, Result, Rows, Wall};

/// What the sweep of a star does, as one function of the neighbours' values: each has a weight of its own, and the
/// order of the additions is fixed.
fn combined<const D: usize>(halo: usize, mut value: impl FnMut([isize; D]) -> f64) -> f64 {
    let mut sum = 0.37 * value([0; D]);
    for axis in 0..D {
        for k in 1..=halo as isize {
            for (side, offset) in [-k, k].into_iter().enumerate() {
                let mut at = [0; D];
                at[axis] = offset;
                sum += (0.1 / k as f64 + 0.03 * axis as f64 + 0.01 * side as f64) * value(at);
            }
        }
    }
    sum
}

fn start<const D: usize>(cell: [usize; D]) -> f64 {
    cell.iter().fold(0.5, |value, &index| (value * 37.0 + index as f64 * 1.7).sin())
}

#[derive(Clone, Copy, Debug)]
struct Case<const D: usize> {
    cells: [usize; D],
    halo: usize,
    periodic: [bool; D],
    walls: [[Wall<f64>; 2]; D],
}

/// The whole grid in one vector, one cell after the other.
fn sweeps_ref<const D: usize>(case: Case<D>, steps: usize) -> Vec<f64> {
    let Case { cells, halo, periodic, walls } = case;
    let total: usize = cells.iter().product();
    let place = |mut linear: usize| {
        let mut cell = [0; D];
        for axis in (0..D).rev() {
            cell[axis] = linear % cells[axis];
            linear /= cells[axis];
        }
        cell
    };
    let mut now: Vec<f64> = (0..total).map(|linear| start(place(linear))).collect();
    for _ in 0..steps {
        let next = (0..total).map(|linear| {
            let cell = place(linear);
            combined(halo, |offset: [isize; D]| {
                let mut at = 0;
                for axis in 0..D {
                    let n = cells[axis] as isize;
                    let index = cell[axis] as isize + offset[axis];
                    let index = if (0..n).contains(&index) {
                        index
                    } else if periodic[axis] {
                        index.rem_euclid(n)
                    } else {
                        match walls[axis][usize::from(index >= n)] {
                            Wall::Fixed(value) => return value,
                            Wall::Mirror if index < 0 => -1 - index,
                            Wall::Mirror => 2 * n - 1 - index,
                            Wall::Mapped(_) | Wall::Given => unreachable!("not in these tests"),
                        }
                    };
                    at = at * cells[axis] + index as usize;
                }
                now[at]
            })
        });
        now = next.collect();
    }
    now
}

fn stencil<const D: usize>(halo: usize, out: &mut [f64], rows: &Rows<'_, f64, D>) {
    assert_eq!(out.len(), rows.len());
    for (i, out) in out.iter_mut().enumerate() {
        *out = combined(halo, |offset| rows.at(offset)[i]);
    }
}

fn compare<const D: usize>(
    world: &Comm,
    case: Case<D>,
    dims: Option<[usize; D]>,
    want: &[f64],
) -> Result<()> {
    let Case { cells, halo, periodic, walls } = case;
    let mut grid = Grid::over(world, cells).halo(halo).periodic(periodic);
    if let Some(dims) = dims {
        grid = grid.dims(dims);
    }
    let grid = grid.build()?;
    let mut now = Field::from_fn(&grid, start)?.walls(walls);
    let mut next = Field::new(&grid, f64::NAN)?;
    for _ in 0..3 {
        next.update_from(&mut now, |out, rows| stencil(halo, out, rows))?;
        std::mem::swap(&mut now, &mut next);
    }
    for (cell, got) in now.iter() {
        let linear = (0..D).fold(0, |linear, axis| linear * cells[axis] + cell[axis]);
        assert_eq!(got.to_bits(), want[linear].to_bits(), "cell {cell:?} of {case:?} on {grid:?}");
    }
    Ok(())
}

const MIXED: [Wall<f64>; 2] = [Wall::Fixed(0.25), Wall::Mirror];

#[test]
fn one_axis() {
    for halo in 1..4 {
        for periodic in [false, true] {
            let case = Case { cells: [31], halo, periodic: [periodic], walls: [MIXED] };
            let want = sweeps_ref(case, 3);
            ranks([1, 2, 3, 4, 7, 8], |world| compare(world, case, None, &want));
        }
    }
}

#[test]
fn two_axes() {
    for halo in 1..4 {
        for periodic in [[false; 2], [true, false], [false, true], [true; 2]] {
            let case = Case { cells: [13, 29], halo, periodic, walls: [MIXED, [MIXED[1], MIXED[0]]] };
            let want = sweeps_ref(case, 3);
            ranks([1, 2, 3, 4, 7, 8], |world| compare(world, case, None, &want));
            ranks([4], |world| compare(world, case, Some([1, 4]), &want));
            ranks([4], |world| compare(world, case, Some([4, 1]), &want));
        }
    }
}

#[test]
fn three_axes() {
    for (halo, cells) in [(1, [7, 11, 13]), (2, [8, 9, 10]), (3, [13, 12, 7])] {
        for periodic in [[false; 3], [true; 3], [true, false, true], [false, true, false]] {
            let case = Case { cells, halo, periodic, walls: [MIXED, [MIXED[1], MIXED[0]], MIXED] };
            let want = sweeps_ref(case, 3);
            ranks([1, 2, 3, 4, 8], |world| compare(world, case, None, &want));
            for dims in [[2, 1, 1], [1, 2, 1], [1, 1, 2]] {
                ranks([2], |world| compare(world, case, Some(dims), &want));
            }
            ranks([8], |world| compare(world, case, Some([2, 2, 2]), &want));
        }
    }
}

#[test]
fn axes_of_one_cell() {
    for cells in [[1, 1, 1], [1, 1, 17], [1, 17, 1], [17, 1, 1], [1, 9, 9], [9, 9, 1]] {
        for periodic in [[false; 3], [true; 3]] {
            let case = Case { cells, halo: 1, periodic, walls: [MIXED; 3] };
            let want = sweeps_ref(case, 3);
            let most = cells.iter().product::<usize>();
            ranks([1, 2, 3, 4].into_iter().filter(|&n| n <= most), |world| compare(world, case, None, &want));
        }
    }
}

/// Longer than a piece that fits the cache, on all axes where that is cut.
#[test]
fn large_blocks_are_swept_in_pieces() {
    let case = Case { cells: [5, 40_009], halo: 1, periodic: [false, true], walls: [MIXED; 2] };
    let want = sweeps_ref(case, 3);
    ranks([1, 2], |world| compare(world, case, None, &want));
    let case = Case { cells: [5, 130, 301], halo: 2, periodic: [true, false, false], walls: [MIXED; 3] };
    let want = sweeps_ref(case, 3);
    ranks([1, 2], |world| compare(world, case, None, &want));
    let case = Case { cells: [300_007], halo: 2, periodic: [false], walls: [MIXED] };
    let want = sweeps_ref(case, 3);
    ranks([1, 2], |world| compare(world, case, None, &want));
}

#[test]
fn what_changes_behind_a_sweep_is_two_sweeps() {
    ranks([1, 2, 3, 4, 6], behind::all);
    for (ranks, threads) in [(1, 2), (2, 3), (1, 5)] {
        let run = Launch::new().ranks(ranks).threads(threads).checked(true);
        run.run(|world| behind::all(&world)).unwrap();
    }
}

#[test]
fn threads_inside_a_rank() {
    for threads in [2, 3] {
        let case = Case { cells: [23, 12, 9], halo: 2, periodic: [true, false, false], walls: [MIXED; 3] };
        let flat = Case { cells: [31, 17], halo: 1, periodic: [false; 2], walls: [MIXED; 2] };
        let line = Case { cells: [300_007], halo: 1, periodic: [false], walls: [MIXED] };
        let want = (sweeps_ref(case, 3), sweeps_ref(flat, 3), sweeps_ref(line, 3));
        for size in [1, 2, 4] {
            let want = want.clone();
            let run = Launch::new().ranks(size).threads(threads).checked(true).run(move |world| {
                assert_eq!(rayon::current_num_threads(), threads);
                compare(&world, case, None, &want.0)?;
                compare(&world, flat, None, &want.1)?;
                compare(&world, line, None, &want.2)
            });
            run.unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn any_shape(
        size in 1usize..9,
        cells in proptest::array::uniform3(1usize..14),
        halo in 1usize..4,
        periodic in proptest::array::uniform3(any::<bool>()),
    ) {
        let case = Case { cells, halo, periodic, walls: [MIXED, [MIXED[1], MIXED[0]], MIXED] };
        let want = sweeps_ref(case, if cells.iter().all(|&n| n >= halo) { 3 } else { 0 });
        if let Err(error) = try_ranks(size, true, |world| compare(world, case, None, &want)) {
            prop_assert_eq!(error.kind(), rankine::ErrorKind::Usage, "{}", error);
        }
    }
}

/// A write on one rank alone must reach its neighbours' halos: nobody may trust that theirs are up to date.
#[test]
fn a_write_on_one_rank_is_seen_by_its_neighbors() {
    ranks([1, 2, 3, 4, 7], |world| {
        let grid = Grid::over(world, [14]).periodic([true]).build()?;
        let (mut now, mut next) = (Field::new(&grid, 0.0)?, Field::new(&grid, 0.0)?);
        let shift = |out: &mut [f64], rows: &Rows<'_, f64, 1>| out.copy_from_slice(rows.at([-1]));
        next.update_from(&mut now, shift)?;
        if grid.own().contains([0]) {
            next.set([0], 5.0);
        }
        for step in 1..30 {
            std::mem::swap(&mut now, &mut next);
            next.update_from(&mut now, shift)?;
            if let Some(got) = next.get([step % 14]) {
                assert_eq!(got, 5.0);
            }
        }
        assert_eq!(next.sum()?, 5.0);
        Ok(())
    });
}

/// The wave equation needs the values before last: they are in the cells that are to be overwritten. And a speed
/// of its own in each cell, from another field.
#[test]
fn former_values_and_other_fields_can_be_read() {
    ranks([1, 2, 4], |world| {
        let grid = Grid::over(world, [10, 12]).periodic([true, true]).build()?;
        let mut now = Field::from_fn(&grid, |[y, x]| (y * 12 + x) as f64)?;
        let mut next = Field::new(&grid, 3.0)?;
        let mut speed = Field::from_fn(&grid, |[y, x]| (x * 10 + y) as f64)?;
        speed.exchange()?;
        let speed = speed.reader();
        next.update_from(&mut now, |out, rows| {
            let (here, above, [y, x]) = (rows.of(&speed), rows.of_at(&speed, [-1, 0]), rows.start());
            for i in 0..out.len() {
                assert_eq!((out[i], here[i]), (3.0, ((x + i) * 10 + y) as f64));
                assert_eq!(above[i], ((x + i) * 10 + (y + 9) % 10) as f64);
                out[i] = 2.0 * rows.at([0, 0])[i] - out[i];
            }
        })?;
        assert_eq!(next.get([9, 11]).unwrap_or(235.0), 2.0 * 119.0 - 3.0);
        Ok(())
    });
}

#[test]
fn walls_may_change_between_sweeps() {
    ranks([1, 2, 3], |world| {
        let grid = Grid::new(world, [6])?;
        let (mut now, mut next) = (Field::new(&grid, 0.0)?, Field::new(&grid, 0.0)?);
        for time in 1..4 {
            now.set_walls(Wall::Fixed(f64::from(time)));
            next.update_from(&mut now, |out, rows| {
                let (w, e) = (rows.at([-1]), rows.at([1]));
                (0..out.len()).for_each(|i| out[i] = w[i].max(e[i]));
            })?;
            std::mem::swap(&mut now, &mut next);
            assert_eq!(now.get([0]).unwrap_or(f64::from(time)), f64::from(time));
        }
        Ok(())
    });
}

#[test]
fn sweeps_on_other_grids_and_too_far_offsets_are_refused() {
    let error = try_ranks(2, true, |world| {
        let mut now = Field::new(&Grid::over(world, [8, 8]).halo(2).build()?, 0.0)?;
        Field::new(&Grid::new(world, [8, 8])?, 0.0)?.update_from(&mut now, |_, _| ())
    })
    .unwrap_err();
    assert!(error.to_string().contains("make both fields on the same grid"), "{error}");
    for offset in [[-2, 0], [0, 2], [1, -1]] {
        let error = try_ranks(1, true, |world| {
            let grid = Grid::new(world, [8, 8])?;
            let mut now = Field::new(&grid, 0.0)?;
            Field::new(&grid, 0.0)?.update_from(&mut now, |out, rows| out[0] = rows.at(offset)[0])
        })
        .unwrap_err();
        assert!(error.to_string().contains("no row at offset"), "{error}");
    }
}
