//! Fourier transforms, against single waves, a slow transform that follows the definition, Parseval's sum and themselves.

use super::redistribution::placements;
use num_complex::Complex;
use rankine::op::Sum;
use rankine::{Comm, ErrorKind, Fft, Field, Grid, RealFft, Redistribution, Result};
use std::f64::consts::TAU;

type C = Complex<f64>;

/// Numbers without pattern.
fn noise<const D: usize>(cell: [usize; D]) -> C {
    let word = cell.iter().fold(0x9e37_79b9_u64, |word, &index| {
        (word ^ index as u64).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(23)
    });
    C::new((word % 1013) as f64 / 1013.0 - 0.5, (word / 1013 % 1009) as f64 / 1009.0 - 0.5)
}

/// The index of a cell by its number.
fn index<const D: usize>(cells: [usize; D], mut number: usize) -> [usize; D] {
    let mut index = [0; D];
    for axis in (0..D).rev() {
        index[axis] = number % cells[axis];
        number /= cells[axis];
    }
    index
}

/// The definition: a sum over all cells that agree along the axes left out.
fn slow<const D: usize>(
    cells: [usize; D],
    axes: [bool; D],
    k: [usize; D],
    value: impl Fn([usize; D]) -> C,
) -> C {
    (0..cells.iter().product())
        .map(|number| index(cells, number))
        .filter(|cell| (0..D).all(|axis| axes[axis] || cell[axis] == k[axis]))
        .map(|cell| {
            let turns: f64 = (0..D)
                .filter(|&axis| axes[axis])
                .map(|axis| (k[axis] * cell[axis] % cells[axis]) as f64 / cells[axis] as f64)
                .sum();
            value(cell) * C::cis(-TAU * turns)
        })
        .sum()
}

/// Forward against the definition, and back.
fn complex<const D: usize>(grid: &Grid<D>, axes: [bool; D]) -> Result<()> {
    let mut fft = Fft::<f64, D>::plan_axes(grid, axes)?;
    let field = Field::from_fn(grid, noise)?;
    let mut spectrum = Field::new(fft.spectrum_grid(), C::default())?;
    let mut back = Field::new(grid, C::default())?;
    // Twice, in the same buffers.
    for _ in 0..2 {
        fft.forward(&field, &mut spectrum)?;
        for (k, found) in spectrum.iter() {
            let expected = slow(grid.cells(), axes, k, noise);
            assert!((found - expected).norm() < 1e-11, "{grid:?}, axes {axes:?}, {k:?}: {found} {expected}");
        }
        back.fill(C::default());
        fft.inverse(&spectrum, &mut back)?;
        for (cell, found) in back.iter() {
            assert!((found - noise(cell)).norm() < 1e-13, "{grid:?}, axes {axes:?}, {cell:?}: {found}");
        }
    }
    Ok(())
}

fn real<const D: usize>(grid: &Grid<D>) -> Result<()> {
    let value = |cell: [usize; D]| noise(cell).re;
    let mut fft = RealFft::<f64, D>::plan(grid)?;
    let field = Field::from_fn(grid, value)?;
    let mut spectrum = Field::new(fft.spectrum_grid(), C::default())?;
    fft.forward(&field, &mut spectrum)?;
    assert_eq!(spectrum.grid().cells()[D - 1], grid.cells()[D - 1] / 2 + 1);
    for (k, found) in spectrum.iter() {
        let expected = slow(grid.cells(), [true; D], k, |cell| value(cell).into());
        assert!((found - expected).norm() < 1e-11, "{grid:?}, {k:?}: {found} {expected}");
    }
    let before: Vec<_> = spectrum.iter().collect();
    let mut back = Field::new(grid, 0.0)?;
    fft.inverse(&spectrum, &mut back)?;
    for (cell, found) in back.iter() {
        assert!((found - value(cell)).abs() < 1e-13, "{grid:?}, {cell:?}: {found}");
    }
    assert!(spectrum.iter().eq(before), "the inverse changed the spectrum");
    Ok(())
}

/// Primes, one, powers of two; more ranks than planes; every placement, so also every axis cut.
pub fn against_the_definition(world: &Comm) -> Result<()> {
    let p = world.size();
    for cells in [[p.max(7)], [3 * p + 1]] {
        let grid = Grid::over(world, cells).halo(0).build()?;
        complex(&grid, [true])?;
        real(&grid)?;
    }
    for cells in [[7, 11], [8, 9], [13, 1], [2, 8]] {
        for dims in placements(p, cells) {
            let grid = Grid::over(world, cells).halo(usize::from(cells[1] > p)).dims(dims).build();
            // A halo that does not fit has no grid.
            let Ok(grid) = grid else { continue };
            complex(&grid, [true; 2])?;
            real(&grid)?;
        }
    }
    for (number, cells) in [[7, 3, 2], [2, 5, 8], [4, 4, 6]].into_iter().enumerate() {
        for dims in placements(p, cells).into_iter().skip(number % 2).step_by(2) {
            let grid = Grid::over(world, cells).halo(0).dims(dims).build()?;
            complex(&grid, [true; 3])?;
            real(&grid)?;
        }
    }
    Ok(())
}

/// Blocks of any size, ranks without cells, four axes.
pub fn uneven_grids(world: &Comm) -> Result<()> {
    let p = world.size();
    let sizes: Vec<usize> = (0..p).map(|block| 1 + (5 * block + 2) % 4).collect();
    for axis in 0..2 {
        let mut cells = [6, 5];
        cells[axis] = sizes.iter().sum();
        let mut blocks = cells.map(|n| vec![n]);
        blocks[axis] = sizes.clone();
        let grid = Grid::over(world, cells).blocks(blocks).build()?;
        complex(&grid, [true; 2])?;
        real(&grid)?;
    }
    let few = Grid::over(world, [2, 3]).halo(0).leave_idle().build()?;
    complex(&few, [true; 2])?;
    real(&few)?;
    let four = Grid::over(world, [3, 4, 2, p + 1]).halo(0).build()?;
    complex(&four, [true; 4])?;
    real(&four)
}

pub fn some_axes(world: &Comm) -> Result<()> {
    let p = world.size();
    let grid = Grid::over(world, [p + 1, 5, 4]).dims([p, 1, 1]).build()?;
    for number in 0..8 {
        complex(&grid, [number & 1 > 0, number & 2 > 0, number & 4 > 0])?;
    }
    Ok(())
}

pub fn single_waves(world: &Comm) -> Result<()> {
    let cells = [16, 10, 18];
    let grid = Grid::over(world, cells).build()?;
    let mut fft = Fft::<f64, 3>::plan(&grid)?;
    let mut spectrum = Field::new(fft.spectrum_grid(), C::default())?;
    for k in [[0, 0, 0], [1, 0, 0], [3, 9, 17], [8, 5, 9]] {
        let turns = |cell: [usize; 3]| (0..3).map(|a| (k[a] * cell[a]) as f64 / cells[a] as f64).sum::<f64>();
        let wave = Field::from_fn(&grid, |cell| C::cis(TAU * turns(cell)))?;
        fft.forward(&wave, &mut spectrum)?;
        for (found_at, found) in spectrum.iter() {
            let expected = if found_at == k { 16.0 * 10.0 * 18.0 } else { 0.0 };
            assert!((found - expected).norm() < 1e-9, "{k:?} {found_at:?}: {found}");
        }
        // And back from a spectrum of one line.
        let line = Field::from_fn(fft.spectrum_grid(), |at| C::from(f64::from(at == k)))?;
        let mut back = Field::new(&grid, C::default())?;
        fft.inverse(&line, &mut back)?;
        for (cell, found) in back.iter() {
            let expected = C::cis(TAU * turns(cell)) / 2880.0;
            assert!((found - expected).norm() < 1e-15);
        }
    }
    Ok(())
}

/// Parseval on sizes that are sent in many pieces, and the derivative of a wave.
pub fn large(world: &Comm) -> Result<()> {
    let p = world.size();
    let cells = [64, 49, 60];
    let grid = Grid::over(world, cells).dims([p, 1, 1]).build()?;
    let mut fft = Fft::<f64, 3>::plan(&grid)?;
    let field = Field::from_fn(&grid, noise)?;
    let mut spectrum = Field::new(fft.spectrum_grid(), C::default())?;
    fft.forward(&field, &mut spectrum)?;
    let energy = world.allreduce(field.iter().map(|(_, v)| v.norm_sqr()).sum::<f64>(), Sum)?;
    let spectral = world.allreduce(spectrum.iter().map(|(_, v)| v.norm_sqr()).sum::<f64>(), Sum)?;
    assert!((spectral / grid.len() as f64 / energy - 1.0).abs() < 1e-13);

    let mut fft = RealFft::<f64, 3>::plan(&grid)?;
    let angle =
        |[z, y, x]: [usize; 3]| TAU * (z as f64 / 64.0 + 3.0 * y as f64 / 49.0 + 2.0 * x as f64 / 60.0);
    let field = Field::from_fn(&grid, |cell| angle(cell).sin())?;
    let mut spectrum = Field::new(fft.spectrum_grid(), C::default())?;
    fft.forward(&field, &mut spectrum)?;
    // Along axis 1, whose frequencies above half are negative.
    spectrum.each_mut(|[_, ky, _], value| {
        let k = if ky > 24 { ky as f64 - 49.0 } else { ky as f64 };
        *value *= C::new(0.0, TAU * k);
    });
    let mut slope = Field::new(&grid, 0.0)?;
    fft.inverse(&spectrum, &mut slope)?;
    for (cell, found) in slope.iter() {
        assert!((found - 3.0 * TAU * angle(cell).cos()).abs() < 1e-11, "{cell:?}");
    }
    Ok(())
}

pub fn single_precision_and_bringing_it_back(world: &Comm) -> Result<()> {
    let p = world.size();
    let grid = Grid::over(world, [p + 6, p + 3]).dims([p, 1]).build()?;
    let mut fft = Fft::<f32, 2>::plan(&grid)?;
    let field = Field::from_fn(&grid, |cell| Complex::new(noise(cell).re as f32, noise(cell).im as f32))?;
    let mut spectrum = Field::new(fft.spectrum_grid(), Complex::default())?;
    fft.forward(&field, &mut spectrum)?;
    let mut here = Field::new(&grid, Complex::default())?;
    Redistribution::new(fft.spectrum_grid(), &grid)?.run(&spectrum, &mut here)?;
    for (k, found) in here.iter() {
        let expected = slow(grid.cells(), [true; 2], k, noise);
        assert!((C::new(found.re.into(), found.im.into()) - expected).norm() < 1e-4);
    }
    let mut real = RealFft::<f32, 2>::plan(&grid)?;
    let field = Field::from_fn(&grid, |cell| noise(cell).re as f32)?;
    let mut half = Field::new(real.spectrum_grid(), Complex::default())?;
    let mut back = Field::new(&grid, 0f32)?;
    real.forward(&field, &mut half)?;
    real.inverse(&half, &mut back)?;
    assert!(back.iter().zip(field.iter()).all(|(a, b)| (a.1 - b.1).abs() < 1e-5));
    Ok(())
}

pub fn fields_on_other_grids(world: &Comm) -> Result<()> {
    let p = world.size();
    let grid = Grid::over(world, [p + 1, p + 1]).halo(0).dims([p, 1]).build()?;
    let other = Grid::over(world, [p + 2, p + 1]).halo(0).dims([p, 1]).build()?;
    let mut fft = Fft::<f64, 2>::plan(&grid)?;
    let (field, mut wrong) = (Field::new(&grid, C::default())?, Field::new(&other, C::default())?);
    for error in [
        fft.forward(&field, &mut wrong).unwrap_err(),
        fft.inverse(&wrong, &mut field.duplicate()?).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.rank()), (ErrorKind::Usage, Some(world.rank())));
        assert!(error.to_string().contains("fft.rs:"), "{error}");
    }
    Ok(())
}

/// Largest error of a one-dimensional transform beside the largest expected value, at every `stride`-th frequency.
fn of_one_axis(grid: &Grid<1>, stride: usize) -> Result<()> {
    let [n] = grid.cells();
    // The norm of the spectrum of noise is the square root of n; a few roundings for each doubling of n.
    let roundings = 4.0 * (n as f64).log2().max(1.0);
    let size = (n as f64).sqrt();
    let mut fft = Fft::<f64, 1>::plan(grid)?;
    let field = Field::from_fn(grid, noise)?;
    let mut spectrum = Field::new(fft.spectrum_grid(), C::default())?;
    fft.forward(&field, &mut spectrum)?;
    let few = |k: usize| k.is_multiple_of(stride);
    for ([k], found) in spectrum.iter().filter(|([k], _)| few(*k)) {
        let error = (found - slow([n], [true], [k], noise)).norm();
        assert!(error < roundings * size * f64::EPSILON, "{grid:?}, {k}: {error}");
    }
    let mut back = Field::new(grid, C::default())?;
    fft.inverse(&spectrum, &mut back)?;
    for (cell, found) in back.iter() {
        assert!((found - noise(cell)).norm() < roundings * f64::EPSILON, "{grid:?}, {cell:?}: {found}");
    }
    // A single cell, and a single frequency, which need not be near either end.
    for at in [0, n / 3, n - 1] {
        let turn = |k: usize| TAU * (at as u128 * k as u128 % n as u128) as f64 / n as f64;
        let delta = Field::from_fn(grid, |[cell]| C::from(f64::from(cell == at)))?;
        fft.forward(&delta, &mut spectrum)?;
        for ([k], found) in spectrum.iter() {
            assert!(
                (found - C::cis(-turn(k))).norm() < roundings * f64::EPSILON,
                "{grid:?} {at} {k}: {found}"
            );
        }
        let line = Field::from_fn(fft.spectrum_grid(), |[k]| C::from(f64::from(k == at)))?;
        fft.inverse(&line, &mut back)?;
        for ([cell], found) in back.iter() {
            let expected = C::cis(turn(cell)) / n as f64;
            assert!(
                (found - expected).norm() * (n as f64) < roundings * f64::EPSILON,
                "{at} {cell}: {found}"
            );
        }
    }
    let value = |cell: [usize; 1]| noise(cell).re;
    let mut fft = RealFft::<f64, 1>::plan(grid)?;
    let field = Field::from_fn(grid, value)?;
    let mut half = Field::new(fft.spectrum_grid(), C::default())?;
    assert_eq!(half.grid().cells(), [n / 2 + 1]);
    fft.forward(&field, &mut half)?;
    for ([k], found) in half.iter().filter(|([k], _)| few(*k)) {
        let error = (found - slow([n], [true], [k], |cell| value(cell).into())).norm();
        assert!(error < roundings * size * f64::EPSILON, "{grid:?}, real, {k}: {error}");
    }
    // What no real field has is left out.
    half.each_mut(|[k], found| {
        if k == 0 || 2 * k == n {
            found.im = 5.0;
        }
    });
    let mut back = Field::new(grid, 0.0)?;
    fft.inverse(&half, &mut back)?;
    for (cell, found) in back.iter() {
        let error = (found - value(cell)).abs();
        assert!(error < roundings * f64::EPSILON, "{grid:?}, real, {cell:?}: {error}");
    }
    // In single precision, beside double.
    let mut single = Fft::<f32, 1>::plan(grid)?;
    let value = |cell: [usize; 1]| Complex::new(noise(cell).re as f32, noise(cell).im as f32);
    let field = Field::from_fn(grid, value)?;
    let mut short = Field::new(single.spectrum_grid(), Complex::default())?;
    let mut again = Field::new(grid, Complex::default())?;
    single.forward(&field, &mut short)?;
    let epsilon = f64::from(f32::EPSILON);
    let mut fft = Fft::<f64, 1>::plan(grid)?;
    let wide = |value: Complex<f32>| C::new(value.re.into(), value.im.into());
    let exact = Field::from_fn(grid, |cell| wide(value(cell)))?;
    fft.forward(&exact, &mut spectrum)?;
    for ((_, found), (k, expected)) in short.iter().zip(spectrum.iter()) {
        let error = (wide(found) - expected).norm();
        assert!(error < roundings * size * epsilon, "{grid:?}, single, {k:?}: {error}");
    }
    single.inverse(&short, &mut again)?;
    for ((cell, found), (_, expected)) in again.iter().zip(field.iter()) {
        assert!(f64::from((found - expected).norm()) < roundings * epsilon, "{grid:?}, single, {cell:?}");
    }
    Ok(())
}

/// Lengths with factors, without, and with too small ones; none, some and all ranks with cells; walls beyond a halo.
pub fn one_axis_over_all_ranks(world: &Comm) -> Result<()> {
    let p = world.size();
    for n in [1, 2, 12, 97, 2 * 97, 1024, 3 * 5 * 7 * 11, 64 * 81] {
        let grid = Grid::over(world, [n]).halo(0);
        let grid = if n < p { grid.leave_idle() } else { grid }.build()?;
        of_one_axis(&grid, if n > 2000 { 7 } else { 1 })?;
    }
    // Blocks of any size, and a halo around them.
    let sizes: Vec<usize> = (0..p).map(|block| 36 + 12 * (block % 3)).collect();
    let n = sizes.iter().sum();
    of_one_axis(&Grid::over(world, [n]).blocks([sizes]).halo(2).build()?, 1)
}

/// A prime from which on no rank gathers all.
pub fn a_long_prime(world: &Comm) -> Result<()> {
    of_one_axis(&Grid::over(world, [65_537]).halo(0).build()?, 16_381)
}
