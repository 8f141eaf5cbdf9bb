//! Norms, dot products, extremes with their places, histograms and reproducible sums, against loops over all cells of the
//! global picture.

use num_complex::Complex;
use rankine::testing::{ranks, try_ranks};
use rankine::{Comm, ErrorKind, Field, Grid, Norm, Result};
use std::sync::Mutex;

const RANKS: [usize; 6] = [1, 2, 3, 4, 7, 12];

/// Numbers of many magnitudes and both signs.
fn rough(cell: [usize; 3]) -> f64 {
    let [z, y, x] = cell.map(|index| index as f64);
    (z * 12.9 + y * 78.2 + x * 37.7).sin()
        * 10f64.powi((cell[0] * 7 + cell[1] * 5 + cell[2]) as i32 % 30 - 15)
}

fn all_cells<const D: usize>(points: [usize; D]) -> impl Iterator<Item = [usize; D]> {
    (0..points.iter().product()).map(move |mut linear: usize| {
        let mut cell = [0; D];
        for axis in (0..D).rev() {
            cell[axis] = linear % points[axis];
            linear /= points[axis];
        }
        cell
    })
}

#[test]
fn norms_and_dots_agree_with_a_loop() {
    let points = [7, 6, 5];
    let values: Vec<f64> = all_cells(points).map(rough).collect();
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-13 * b.abs();
    ranks(RANKS, |world| {
        let grid = Grid::new(world, points)?;
        let field = Field::from_fn(&grid, rough)?;
        assert!(near(field.norm(Norm::L1)?, values.iter().map(|value| value.abs()).sum()));
        assert!(near(field.norm(Norm::L2)?, values.iter().map(|value| value * value).sum::<f64>().sqrt()));
        assert_eq!(field.norm(Norm::Max)?, values.iter().fold(0.0f64, |max, value| max.max(value.abs())));
        let other = Field::from_fn(&grid, |[z, y, x]| (z + y + x) as f64)?;
        let want = all_cells(points).map(|cell| rough(cell) * cell.iter().sum::<usize>() as f64).sum();
        assert!(near(field.dot(&other)?, want));

        let turning = Field::from_fn(&grid, |[z, y, x]| Complex::new(z as f64, (y + x) as f64))?;
        let square: f64 = all_cells(points).map(|[z, y, x]| (z * z + (y + x) * (y + x)) as f64).sum();
        assert_eq!(turning.dot(&turning)?, Complex::new(square, 0.0));
        assert_eq!(turning.dot_reproducible(&turning)?, Complex::new(square, 0.0));
        assert!(near(turning.norm(Norm::L2)?, square.sqrt()));

        let whole = Field::from_fn(&grid, |[z, ..]| 3 - z as i32)?;
        assert_eq!((whole.norm(Norm::L1)?, whole.norm(Norm::Max)?), (30.0 * 12.0, 3.0));
        assert_eq!(whole.dot(&whole)?, 30 * 28);
        Ok(())
    });
}

/// Faces count once, in whichever block they are.
#[test]
fn faces_are_counted_once() {
    ranks(RANKS, |world| {
        let grid = Grid::new(world, [14, 8])?;
        let faces = Field::staggered(&grid, [true, true], -2.0)?;
        assert_eq!(faces.norm(Norm::L1)?, 2.0 * 15.0 * 9.0);
        assert_eq!(faces.dot_reproducible(&faces)?, 4.0 * 15.0 * 9.0);
        Ok(())
    });
}

/// What every number of ranks must give the same bits of.
fn exact_answers(world: &Comm, leave_idle: bool) -> Result<[u64; 4]> {
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

#[test]
fn reproducible_answers_have_the_same_bits_on_any_number_of_ranks() {
    let all = Mutex::new(Vec::new());
    ranks([1, 2, 3, 4, 7, 12, 300], |world| {
        let mine = exact_answers(world, true)?;
        if world.rank() == 0 {
            all.lock().unwrap().push(mine);
        }
        Ok(())
    });
    let threaded = rankine::Launch::new().ranks(2).threads(2).run(|world| {
        assert_eq!(exact_answers(&world, false)?, exact_answers(&world, true)?);
        Ok(())
    });
    threaded.unwrap();
    let all = all.into_inner().unwrap();
    assert!(all.len() == 7 && all.iter().all(|answers| *answers == all[0]), "{all:?}");
    // Against the exact sum of one loop.
    let exact: rankine::op::Exact = all_cells([7, 6, 5]).map(rough).collect();
    assert_eq!(all[0][0], exact.value().to_bits());
}

#[test]
fn ties_go_to_the_lowest_index() {
    ranks(RANKS, |world| {
        let grid = Grid::new(world, [9, 8])?;
        let field = Field::from_fn(&grid, |[y, x]| ((y * 3 + x) % 5) as f32)?;
        let find = |wanted: f32| all_cells([9, 8]).find(|[y, x]| ((y * 3 + x) % 5) as f32 == wanted).unwrap();
        assert_eq!(field.min_at()?, (0.0, find(0.0)));
        assert_eq!(field.max_at()?, (4.0, find(4.0)));
        let mut holed = field.duplicate()?;
        holed.set([8, 7], f32::NAN);
        holed.set([5, 1], f32::NAN);
        let (value, at) = holed.max_at()?;
        assert!(value.is_nan());
        assert_eq!((at, holed.min_at()?.1), ([5, 1], [5, 1]));
        let faces = Field::staggered(&grid, [true, false], 7u8)?;
        assert_eq!(faces.max_at()?, (7, [0, 0]));
        Ok(())
    });
}

#[test]
fn the_last_face_may_have_the_extreme() {
    ranks(RANKS, |world| {
        let mut faces = Field::staggered(&Grid::over(world, [14]).leave_idle().build()?, [true], 0.0)?;
        faces.set([14], -1.0);
        assert_eq!(faces.min_at()?, (-1.0, [14]));
        Ok(())
    });
}

#[test]
fn histograms_count_every_value_once() {
    ranks(RANKS, |world| {
        let grid = Grid::new(world, [7, 6, 5])?;
        let mut field = Field::from_fn(&grid, rough)?;
        field.set([2, 3, 4], f64::NAN);
        let got = field.histogram(-0.5..1.0, 6)?;
        let mut want = [0u64; 9];
        for value in all_cells([7, 6, 5]).filter(|&cell| cell != [2, 3, 4]).map(rough) {
            let bin =
                (0..6).find(|&bin| value >= -0.5 + 0.25 * bin as f64 && value < -0.25 + 0.25 * bin as f64);
            want[bin.unwrap_or(if value < -0.5 { 6 } else { 7 })] += 1;
        }
        assert_eq!((&got.bins[..], got.below, got.above, got.nan), (&want[..6], want[6], want[7], 1));
        assert_eq!(got.bins.iter().sum::<u64>() + got.below + got.above + got.nan, 210);
        Ok(())
    });
}

#[test]
fn what_cannot_be_is_an_error() {
    let kind = |make: &(dyn Fn(&Comm) -> Result<()> + Sync)| try_ranks(2, true, make).unwrap_err().kind();
    let field = |world: &Comm| Field::new(&Grid::new(world, [4])?, 0.0);
    let bins = |range: std::ops::Range<f64>, bins| {
        kind(&move |world| field(world)?.histogram(range.clone(), bins).map(drop))
    };
    assert_eq!(bins(1.0..1.0, 4), ErrorKind::Usage);
    assert_eq!(bins(0.0..f64::NAN, 4), ErrorKind::Usage);
    assert_eq!(bins(-1e308..1e308, 4), ErrorKind::Usage);
    assert_eq!(bins(0.0..1.0, 0), ErrorKind::Usage);
    let other = kind(&|world| field(world)?.histogram(0.0..1.0, 4 + world.rank()).map(drop));
    assert_eq!(other, ErrorKind::Usage);
    let dot =
        kind(&|world| field(world)?.dot(&Field::staggered(&Grid::new(world, [4])?, [true], 0.0)?).map(drop));
    assert_eq!(dot, ErrorKind::Usage);
}
