//! Norms, dot products, extremes with their places, histograms, checksums and reproducible sums of fields, against loops over
//! all cells of the global picture.

#[path = "../common/cells.rs"]
pub mod cells;

use cells::{all_cells, exact_answers, rough};
use num_complex::Complex;
use rankine::op::Exact;
use rankine::{Comm, Field, Grid, Norm, Result};

pub fn norms_and_dots_agree_with_a_loop(world: &Comm) -> Result<()> {
    let points = [7, 6, 5];
    let values: Vec<f64> = all_cells(points).map(rough).collect();
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-13 * b.abs();
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
}

/// Faces count once, in whichever block they are.
pub fn faces_are_counted_once(world: &Comm) -> Result<()> {
    let grid = Grid::new(world, [14, 8])?;
    let faces = Field::staggered(&grid, [true, true], -2.0)?;
    assert_eq!(faces.norm(Norm::L1)?, 2.0 * 15.0 * 9.0);
    assert_eq!(faces.dot_reproducible(&faces)?, 4.0 * 15.0 * 9.0);
    Ok(())
}

pub fn ties_go_to_the_lowest_index(world: &Comm) -> Result<()> {
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
}

pub fn the_last_face_may_have_the_extreme(world: &Comm) -> Result<()> {
    let mut faces = Field::staggered(&Grid::over(world, [14]).leave_idle().build()?, [true], 0.0)?;
    faces.set([14], -1.0);
    assert_eq!(faces.min_at()?, (-1.0, [14]));
    Ok(())
}

pub fn histograms_count_every_value_once(world: &Comm) -> Result<()> {
    let grid = Grid::new(world, [7, 6, 5])?;
    let mut field = Field::from_fn(&grid, rough)?;
    field.set([2, 3, 4], f64::NAN);
    let got = field.histogram(-0.5..1.0, 6)?;
    let mut want = [0u64; 9];
    for value in all_cells([7, 6, 5]).filter(|&cell| cell != [2, 3, 4]).map(rough) {
        let bin = (0..6).find(|&bin| value >= -0.5 + 0.25 * bin as f64 && value < -0.25 + 0.25 * bin as f64);
        want[bin.unwrap_or(if value < -0.5 { 6 } else { 7 })] += 1;
    }
    assert_eq!((&got.bins[..], got.below, got.above, got.nan), (&want[..6], want[6], want[7], 1));
    assert_eq!(got.bins.iter().sum::<u64>() + got.below + got.above + got.nan, 210);
    Ok(())
}

/// To the bit: each value, absolute value, square and product in one exact sum.
pub fn reproducible_sums_are_exact_ones(world: &Comm) -> Result<()> {
    let values = || all_cells([7, 6, 5]).map(rough);
    let products = || all_cells([7, 6, 5]).map(|[z, y, x]| (rough([z, y, x]), rough([x, z, y])));
    let exact = |numbers: &mut dyn Iterator<Item = f64>| numbers.collect::<Exact>().value();
    // A product is the sum of its rounded value and of what that is off by.
    let halves = |(a, b): (f64, f64)| [a * b, a.mul_add(b, -(a * b))];
    let want = [
        exact(&mut values()),
        exact(&mut values().map(f64::abs)),
        exact(&mut values().map(|value| value * value)).sqrt(),
        exact(&mut products().flat_map(halves)),
    ];
    assert_eq!(exact_answers(world, true)?, want.map(f64::to_bits));
    Ok(())
}

/// The finaliser of SplitMix64 over index and value, summed up.
pub fn checksums_follow_their_formula(world: &Comm) -> Result<()> {
    let mix = |mut x: u64| {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    let cells = all_cells([7, 6, 5]).zip(0u64..);
    let want = cells
        .map(|(cell, index)| mix(mix(index.wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ rough(cell).to_bits()));
    let field = Field::from_fn(&Grid::over(world, [7, 6, 5]).leave_idle().build()?, rough)?;
    assert_eq!(field.checksum()?, want.fold(0, u64::wrapping_add));
    Ok(())
}
