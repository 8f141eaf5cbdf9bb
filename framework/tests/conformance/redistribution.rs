//! Redistributions: the value at every global index is what the source had there, whatever the two decompositions.

use super::dice::Dice;
use num_complex::Complex;
use rankine::{ANY_SOURCE, ANY_TAG, Comm, Element, ErrorKind, Field, Grid, Redistribution, Result};

/// All ways to place `ranks` along `D` axes of so many cells.
pub fn placements<const D: usize>(ranks: usize, cells: [usize; D]) -> Vec<[usize; D]> {
    let mut all = Vec::new();
    let total = (0..D).fold(1, |product: usize, _| product * ranks);
    for number in 0..total {
        let mut rest = number;
        let dims: [usize; D] = std::array::from_fn(|_| {
            let dim = rest % ranks + 1;
            rest /= ranks;
            dim
        });
        if dims.iter().product::<usize>() == ranks && (0..D).all(|axis| dims[axis] <= cells[axis]) {
            all.push(dims);
        }
    }
    all
}

fn value<const D: usize>(cell: [usize; D]) -> u64 {
    cell.iter().fold(7, |value, &index| value * 1009 + index as u64)
}

/// Fills `to` from a field on `from`, and compares every cell with what the index says.
fn moves<T: Element + PartialEq + std::fmt::Debug, const D: usize>(
    from: &Grid<D>,
    to: &Grid<D>,
    axes: [usize; D],
    value: impl Fn([usize; D]) -> T + Sync,
) -> Result<()> {
    let source = Field::from_fn(from, &value)?;
    let mut target = Field::new(to, T::zeroed())?;
    let mut plan = Redistribution::permuted(from, to, axes)?;
    plan.run(&source, &mut target)?;
    for (cell, found) in target.iter() {
        let mut index = [0; D];
        (0..D).for_each(|axis| index[axes[axis]] = cell[axis]);
        assert_eq!(found, value(index), "{from:?} to {to:?}, axes {axes:?}, cell {cell:?}");
    }
    Ok(())
}

pub fn every_pair_of_decompositions(world: &Comm) -> Result<()> {
    let p = world.size();
    let line = Grid::over(world, [3 * p + 1]).dims([p]).build()?;
    moves(&line, &Grid::over(world, [3 * p + 1]).halo(2).build()?, [0], value)?;
    let cells = [9, 11, 8];
    let placements = placements(p, cells);
    // All pairs of few, every one with its neighbours where they are many.
    for (number, &from) in placements.iter().enumerate() {
        for &to in placements.iter().cycle().skip(number).take(if p > 4 { 2 } else { placements.len() }) {
            let from = Grid::over(world, cells).halo(number % 2).dims(from).build()?;
            let to = Grid::over(world, cells).halo(1 - number % 2).dims(to).build()?;
            moves(&from, &to, [0, 1, 2], value)?;
        }
    }
    Ok(())
}

pub fn any_element(world: &Comm) -> Result<()> {
    let p = world.size();
    let cells = [p + 2, 2 * p + 1];
    let from = Grid::over(world, cells).dims([p, 1]).build()?;
    let to = Grid::over(world, cells).halo(0).dims([1, p]).build()?;
    moves(&from, &to, [0, 1], |cell| value(cell) as u8)?;
    moves(&from, &to, [0, 1], |cell| value(cell) as f32)?;
    moves(&from, &to, [0, 1], |[y, x]| Complex::new(y as f64, x as f64))?;
    moves(&from, &to, [0, 1], |[y, x]| [y as u16, x as u16, 5])?;
    moves(&from, &to, [0, 1], |_| [0u8; 0])
}

pub fn axes_in_any_order(world: &Comm) -> Result<()> {
    let p = world.size();
    let cells = [2 * p + 1, p + 9, p + 17];
    let from = Grid::over(world, cells).dims([p, 1, 1]).build()?;
    for axes in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for split in 0..3 {
            let mut dims = [1; 3];
            dims[split] = p;
            let to = Grid::over(world, axes.map(|axis| cells[axis])).halo(split).dims(dims);
            moves(&from, &to.build()?, axes, value)?;
        }
    }
    let from = Grid::over(world, [50, 3 * p + 40]).dims([1, p]).build()?;
    let to = Grid::over(world, [3 * p + 40, 50]).dims([1, p]).build();
    match to {
        Ok(to) => moves(&from, &to, [1, 0], value),
        Err(error) => Err(error),
    }
}

pub fn sub_communicators(world: &Comm) -> Result<()> {
    let (me, p) = (world.rank(), world.size());
    let cells = [2 * p, 7];
    // From the even ranks to the lower half, in the opposite order, and back.
    let even = world.split((me % 2 == 0).then_some(0), 0)?;
    let half = world.split((me < p.div_ceil(2)).then_some(0), -(me as i64))?;
    let even = even.map(|comm| Grid::over(&comm, cells).dims([comm.size(), 1]).build()).transpose()?;
    let half = half.map(|comm| Grid::over(&comm, cells).halo(0).build()).transpose()?;
    let source = even.as_ref().map(|grid| Field::from_fn(grid, value)).transpose()?;
    let mut target = half.as_ref().map(|grid| Field::new(grid, 0u64)).transpose()?;
    let mut back = even.as_ref().map(|grid| Field::new(grid, 0u64)).transpose()?;
    Redistribution::over(world, even.as_ref(), half.as_ref(), [0, 1])?
        .run_parts(source.as_ref(), target.as_mut())?;
    for (cell, found) in target.iter().flat_map(|field| field.iter()) {
        assert_eq!(found, value(cell));
    }
    Redistribution::over(world, half.as_ref(), even.as_ref(), [0, 1])?
        .run_parts(target.as_ref(), back.as_mut())?;
    for (cell, found) in back.iter().flat_map(|field| field.iter()) {
        assert_eq!(found, value(cell));
    }
    // A field too many or too few is this rank's own mistake, found before anything is sent.
    let mut plan = Redistribution::over(world, even.as_ref(), half.as_ref(), [0, 1])?;
    if source.is_some() {
        let error = plan.run_parts(None, target.as_mut()).unwrap_err();
        assert_eq!((error.kind(), error.rank()), (ErrorKind::Usage, Some(me)));
        assert!(error.to_string().contains("redistribution.rs:"), "{error}");
    }
    Ok(())
}

pub fn many_small_pieces_and_large_ones(world: &Comm) -> Result<()> {
    let p = world.size();
    // Beyond the size of one message, with remainders everywhere.
    let cells = [61, 67, 71];
    let from = Grid::over(world, cells).halo(0).dims([p, 1, 1]).build()?;
    moves(&from, &Grid::over(world, cells).dims([1, p, 1]).build()?, [0, 1, 2], value)?;
    moves(&from, &Grid::over(world, cells).dims([1, 1, p]).build()?, [0, 1, 2], value)?;
    moves(&from, &Grid::over(world, [71, 67, 61]).dims([p, 1, 1]).build()?, [2, 1, 0], value)?;
    // One long row, which cannot be cut along another axis.
    let row = Grid::over(world, [p, 100_003]).halo(0).dims([p, 1]).build()?;
    moves(&row, &Grid::over(world, [p, 100_003]).dims([1, p]).build()?, [0, 1], value)
}

pub fn again_and_again(world: &Comm) -> Result<()> {
    let p = world.size();
    let cells = [p + 3, 40, 33];
    let mut dice = Dice::new(5);
    let from = Grid::over(world, cells).dims([p, 1, 1]).build()?;
    let to = Grid::over(world, cells).dims([1, p, 1]).build()?;
    let (mut there, mut back) = (Redistribution::new(&from, &to)?, Redistribution::new(&to, &from)?);
    let (mut a, mut b) = (Field::new(&from, 0u64)?, Field::new(&to, 0u64)?);
    for round in 0..20 {
        // Some ranks are late.
        if dice.below(p) == world.rank() {
            std::thread::sleep(std::time::Duration::from_micros(300));
        }
        a.fill_with(|cell| value(cell) + round);
        there.run(&a, &mut b)?;
        a.fill(0);
        back.run(&b, &mut a)?;
        assert!(a.iter().all(|(cell, found)| found == value(cell) + round));
    }
    let expected =
        if p == 1 { 0 } else { from.own().len() - from.own().intersect(&to.own()).map_or(0, |b| b.len()) };
    assert_eq!(there.sent(), expected);
    Ok(())
}

pub fn keeps_out_of_the_way(world: &Comm) -> Result<()> {
    let (me, p) = (world.rank(), world.size());
    let posted = world.irecv_owned(Vec::<u64>::with_capacity(1), ANY_SOURCE, ANY_TAG)?;
    let from = Grid::over(world, [p, p]).halo(0).dims([p, 1]).build()?;
    moves(&from, &Grid::over(world, [p, p]).halo(0).dims([1, p]).build()?, [0, 1], value)?;
    let send = world.isend_owned(vec![me as u64], (me + 1) % p, 3)?;
    assert_eq!(posted.wait()?.0, [((me + p - 1) % p) as u64]);
    send.wait().map(drop)
}

pub fn plans_that_cannot_be(world: &Comm) -> Result<()> {
    let p = world.size();
    let grid = |cells: [usize; 2]| Grid::over(world, cells).halo(0).dims([p, 1]).build();
    let (a, b) = (grid([p, 3])?, grid([p, 4])?);
    let refused = |plan: Result<Redistribution<f64, 2>>, words: &str| {
        let error = plan.unwrap_err();
        assert_eq!((error.kind(), error.rank()), (ErrorKind::Mismatch, Some(world.rank())));
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().contains("redistribution.rs:"), "{error}");
    };
    refused(Redistribution::new(&a, &b), "cells to");
    refused(Redistribution::permuted(&a, &a, [0, 0]), "are not each of 2 axes once");
    refused(Redistribution::permuted(&a, &a, [7, 0]), "are not each of 2 axes once");
    refused(Redistribution::over(world, Some(&a), None, [0, 1]), "cells to");
    if p > 1 {
        refused(
            Redistribution::over(world, Some(&a).filter(|_| world.rank() > 0), Some(&a), [0, 1]),
            "are not here",
        );
        let axes = if world.rank() == 1 { [1, 0] } else { [0, 1] };
        refused(Redistribution::permuted(&a, &a, axes), "on rank 1");
    }
    let mut plan = Redistribution::new(&a, &a)?;
    let error = plan.run(&Field::new(&b, 0.0)?, &mut Field::new(&a, 0.0)?).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    // Every rank was told before anything was sent, so the plan still works.
    plan.run(&Field::new(&a, 1.0)?, &mut Field::new(&a, 0.0)?)?;
    Ok(())
}
