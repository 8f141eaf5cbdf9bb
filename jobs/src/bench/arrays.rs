//! `rankine bench arrays`: what it costs to work on arrays that are spread over ranks, beside what the machine can do.
//!
//! Each operation and its measure are taken in turn, since the host moves the cores and shares the memory: what counts
//! is the median of the ratios of neighbours in time.

use super::line::{Line, compare, on_both_engines, tell};
use num_complex::Complex;
use rankine::matrix::{Entry, Form, Product};
use rankine::{
    BlockCyclic, Comm, Error, Fft, Field, Grid, Matrix, ProcessGrid, RealFft, Redistribution, Result,
};

/// How it is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Arrays {
    /// Ranks of the Local engine; under a launcher, its number
    #[arg(long, value_name = "N")]
    ranks: Option<usize>,
    /// Only these operations [default: all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<Work>,
    /// Cells along each axis of three
    #[arg(long, value_name = "N", default_value_t = 256)]
    cells: usize,
    /// Rows and columns of matrices
    #[arg(long, value_name = "N", default_value_t = 2048)]
    order: usize,
    /// How often every side has its turn
    #[arg(long, value_name = "N", default_value_t = 11)]
    turns: usize,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Work {
    /// Moving doubles between decompositions, beside memcpy of as many on every rank
    Redistribution,
    /// Fourier transforms there and back, beside memcpy of the spectrum on every rank
    Fft,
    /// Products of matrices (SUMMA), beside the local product alone, as large a one on every rank at the same time
    Matrix,
}

/// Does it.
///
/// # Errors
/// A flag that cannot be; those of the launcher and of the engines.
pub fn bench(wanted: Arrays) -> Result<()> {
    if wanted.turns == 0 || !(2..=2048).contains(&wanted.cells) {
        return Err(Error::usage("bench arrays: give one turn or more, and 2 to 2048 cells"));
    }
    if !(1..=65536).contains(&wanted.order) {
        return Err(Error::usage("bench arrays: give matrices of 1 to 65536 rows"));
    }
    on_both_engines(wanted.ranks, move |comm| {
        let lines = measure(comm, &wanted)?;
        tell(comm, &lines);
        Ok(())
    })
}

fn measure(comm: &Comm, wanted: &Arrays) -> Result<Vec<Line>> {
    let all = [Work::Redistribution, Work::Fft, Work::Matrix];
    let mut lines = Vec::new();
    for work in if wanted.only.is_empty() { &all[..] } else { &wanted.only } {
        match work {
            Work::Redistribution => redistributions(comm, wanted, &mut lines)?,
            Work::Fft => transforms(comm, wanted, &mut lines)?,
            Work::Matrix => products(comm, wanted, &mut lines)?,
        }
    }
    Ok(lines)
}

fn redistributions(comm: &Comm, wanted: &Arrays, lines: &mut Vec<Line>) -> Result<()> {
    let (n, p) = (wanted.cells, comm.size());
    let [z, y, x] = [[p, 1, 1], [1, p, 1], [1, 1, p]];
    for (name, from, to, halo, axes) in [
        ("slabs of axis 0 to axis 1", z, y, 0, [0, 1, 2]),
        ("slabs of axis 1 to axis 0", y, z, 0, [0, 1, 2]),
        ("slabs of axis 0 to axis 2", z, x, 0, [0, 1, 2]),
        ("slabs, with halos on one side", z, y, 2, [0, 1, 2]),
        ("slabs, axis 0 contiguous after", z, z, 0, [1, 2, 0]),
        ("slabs, axis 1 contiguous after", z, y, 0, [0, 2, 1]),
    ] {
        let from = Grid::over(comm, [n; 3]).halo(0).dims(from).build()?;
        let to = Grid::over(comm, [n; 3]).halo(halo).dims(to).build()?;
        let a = Field::from_fn(&from, |[z, y, x]| (z + 2 * y + 3 * x) as f64)?;
        let (mut b, mut copy) = (Field::new(&to, 0.0)?, a.duplicate()?);
        let mut plan = Redistribution::permuted(&from, &to, axes)?;
        let amount = from.len() as f64 * 8e-9;
        let line = Line::new(name, amount, "GB/s");
        let memcpy = || {
            copy.storage_mut().copy_from_slice(a.storage());
            std::hint::black_box(copy.storage());
            Ok(())
        };
        lines.push(compare(comm, wanted.turns, line, || plan.run(&a, &mut b), memcpy)?);
    }
    Ok(())
}

fn transforms(comm: &Comm, wanted: &Arrays, lines: &mut Vec<Line>) -> Result<()> {
    let (n, p) = (wanted.cells, comm.size());
    let grid = Grid::over(comm, [n; 3]).halo(0).dims([p, 1, 1]).build()?;
    let line = |name, real: f64| {
        let points = grid.len() as f64;
        // The usual count of operations.
        let amount = real * 5.0 * points * points.log2() * 1e-9;
        Line::new(name, amount, "GFlop/s")
    };
    let mut a = Field::from_fn(&grid, |[z, y, x]| Complex::new((z + 2 * y + 3 * x) as f64 * 1e-3, 0.5))?;
    let mut fft = Fft::<f64, 3>::plan(&grid)?;
    let mut b = Field::new(fft.spectrum_grid(), Complex::default())?;
    let mut copy = a.duplicate()?;
    let source = a.duplicate()?;
    let mut memcpy = || {
        copy.storage_mut().copy_from_slice(source.storage());
        std::hint::black_box(copy.storage());
        Ok(())
    };
    lines.push(compare(
        comm,
        wanted.turns,
        line("complex, forward", 1.0),
        || fft.forward(&a, &mut b),
        &mut memcpy,
    )?);
    lines.push(compare(
        comm,
        wanted.turns,
        line("complex, inverse", 1.0),
        || fft.inverse(&b, &mut a),
        &mut memcpy,
    )?);
    drop((a, b, fft));
    let mut a = Field::from_fn(&grid, |[z, y, x]| (z + 2 * y + 3 * x) as f64 * 1e-3)?;
    let mut fft = RealFft::<f64, 3>::plan(&grid)?;
    let mut b = Field::new(fft.spectrum_grid(), Complex::default())?;
    lines.push(compare(
        comm,
        wanted.turns,
        line("real, forward", 0.5),
        || fft.forward(&a, &mut b),
        &mut memcpy,
    )?);
    lines.push(compare(
        comm,
        wanted.turns,
        line("real, inverse", 0.5),
        || fft.inverse(&b, &mut a),
        &mut memcpy,
    )?);
    Ok(())
}

fn products(comm: &Comm, wanted: &Arrays, lines: &mut Vec<Line>) -> Result<()> {
    product::<f64>(comm, wanted, "matrix product, f64", [Form::Plain; 2], lines)?;
    product::<f64>(comm, wanted, "A transposed", [Form::Transposed, Form::Plain], lines)?;
    product::<f64>(comm, wanted, "B transposed", [Form::Plain, Form::Transposed], lines)?;
    product::<f32>(comm, wanted, "matrix product, f32", [Form::Plain; 2], lines)
}

/// Of all ranks together, beside products of each rank's own: squares with as many multiplications as its share.
fn product<T: Entry>(
    comm: &Comm,
    wanted: &Arrays,
    name: &'static str,
    [form_a, form_b]: [Form; 2],
    lines: &mut Vec<Line>,
) -> Result<()> {
    let value = |[i, j]: [usize; 2]| T::of(((i * 7 + j * 3) % 11) as f64 / 11.0 - 0.5);
    let plan = |grid: &ProcessGrid, order: usize, forms: [Form; 2]| {
        let layout = BlockCyclic::new(grid, [order, order], [64, 64])?;
        let product = Product::plan((&layout, forms[0]), (&layout, forms[1]), &layout)?;
        let [a, b] = [Matrix::from_fn(&layout, value)?, Matrix::from_fn(&layout, value)?];
        Ok::<_, Error>((product, a, b, Matrix::zeros(&layout)?))
    };
    let n = wanted.order as f64;
    let small = (n / (comm.size() as f64).cbrt()).round().max(1.0);
    let grid = ProcessGrid::new(comm)?;
    let alone = comm.split(Some(comm.rank() as u32), 0)?.unwrap_or(comm.dup()?);
    let alone = ProcessGrid::new(&alone)?;
    let (mut all, a, b, mut c) = plan(&grid, wanted.order, [form_a, form_b])?;
    let (mut own, d, e, mut f) = plan(&alone, small as usize, [Form::Plain; 2])?;
    let line = Line::new(name, 2e-9 * n.powi(3), "GFlop/s");
    // For as many multiplications as the ranks have together.
    let scale = n.powi(3) / (comm.size() as f64 * small.powi(3));
    let mut line = compare(
        comm,
        wanted.turns,
        line,
        || all.run(T::of(1.0), &a, &b, T::default(), &mut c),
        || own.run(T::of(1.0), &d, &e, T::default(), &mut f),
    )?;
    line.measure.iter_mut().for_each(|time| *time *= scale);
    lines.push(line);
    Ok(())
}
