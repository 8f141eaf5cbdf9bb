//! `Field::update_behind` against its definition, two sweeps one after the other, for tests on any engine and any number of
//! threads.

use rankine::{Comm, Field, Grid, Result, Stencil, Wall};

fn rough<const D: usize>(cell: [usize; D]) -> f64 {
    cell.iter().fold(0.3, |sum: f64, &index| (sum * 7.7 + index as f64 * 0.61).fract())
}

pub fn is_two_sweeps<const D: usize>(
    world: &Comm,
    cells: [usize; D],
    dims: Option<[usize; D]>,
    halo: usize,
    stencil: Stencil,
    periodic: [bool; D],
) -> Result<()> {
    let grid = Grid::over(world, cells).halo(halo).stencil(stencil).periodic(periodic);
    let grid = match dims {
        Some(dims) => grid.dims(dims).build()?,
        None => grid.leave_idle().build()?,
    };
    let make = || Ok(Field::from_fn(&grid, rough)?.walls([[Wall::Mirror, Wall::Fixed(2.0)]; D]));
    let (mut now, mut sum) = (make()?, Field::new(&grid, 0.0)?);
    let (mut slow, mut slow_sum) = (make()?, Field::new(&grid, 0.0)?);
    let mut offsets = Vec::new();
    for axis in 0..D {
        for far in 1..=halo as isize {
            for sign in [-1, 1] {
                let mut offset = [0; D];
                offset[axis] = sign * far;
                if stencil == Stencil::Box {
                    offset[(axis + 1) % D] = -sign * far;
                }
                offsets.push(offset);
            }
        }
    }
    let changed =
        |value: f64, index: [usize; D], i: usize| 0.9 * value + 0.1 * rough(index) + i as f64 * 0.01;
    for _ in 0..3 {
        now.update_behind(
            &mut sum,
            |out, near| {
                for &offset in &offsets {
                    let from = near.at(offset);
                    (0..out.len()).for_each(|i| out[i] = 0.5 * out[i] + from[i]);
                }
            },
            |row, index| {
                (0..row.len()).for_each(|i| row[i] = changed(row[i], index, i));
            },
        )?;
        slow.exchange()?;
        let from = slow.reader();
        slow_sum.update(|out, at| {
            for &offset in &offsets {
                let from = at.of_at(&from, offset);
                (0..out.len()).for_each(|i| out[i] = 0.5 * out[i] + from[i]);
            }
        })?;
        let (start, shape) = (grid.own().start, grid.own().shape);
        slow.each_mut(|mut cell, value| {
            // The row's first cell and the place in it.
            let i = cell[D - 1] - start[D - 1];
            cell[D - 1] = start[D - 1];
            assert!(i < shape[D - 1]);
            *value = changed(*value, cell, i);
        });
    }
    assert!(sum.iter().eq(slow_sum.iter()) && now.iter().eq(slow.iter()), "{cells:?} {halo} {stencil:?}");
    // What is next sees halos as they must be.
    let mut smooth = Field::new(&grid, 0.0)?;
    let mut slow_smooth = Field::new(&grid, 0.0)?;
    let back = offsets[0];
    smooth.update_from(&mut now, |out, rows| out.copy_from_slice(rows.at(back)))?;
    slow_smooth.update_from(&mut slow, |out, rows| out.copy_from_slice(rows.at(back)))?;
    assert!(smooth.iter().eq(slow_smooth.iter()));
    Ok(())
}

pub fn all(world: &Comm) -> Result<()> {
    let ranks = world.size();
    for (halo, stencil) in [(1, Stencil::Star), (1, Stencil::Box), (2, Stencil::Box), (3, Stencil::Star)] {
        is_two_sweeps(world, [41], None, halo, Stencil::Star, [halo == 2])?;
        // Rows apart: overlapped where blocks are high enough, and else not.
        is_two_sweeps(world, [60, 9], Some([ranks, 1]), halo, stencil, [halo == 3, false])?;
        is_two_sweeps(world, [4 * ranks, 8], Some([ranks, 1]), halo, stencil, [true, halo == 1])?;
        is_two_sweeps(world, [24, 25], None, halo, stencil, [false, true])?;
        is_two_sweeps(world, [9, 28], Some([1, ranks]), halo, stencil, [true, false])?;
        is_two_sweeps(world, [30, 6, 7], Some([ranks, 1, 1]), halo, stencil, [false; 3])?;
        is_two_sweeps(world, [8, 9, 12], None, halo, stencil, [true, false, true])?;
    }
    Ok(())
}
