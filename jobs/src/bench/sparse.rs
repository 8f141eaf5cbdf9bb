//! `rankine bench sparse`: products of a sparse matrix and a vector, beside the memory's own rate on the same ranks.
//!
//! Both are taken in turn, since the host moves the cores and shares the memory: what counts is the median of the ratios of
//! neighbours in time.

use super::line::{median, on_both_engines, timed};
use rankine::run::show;
use rankine::sparse::{Distribution, SparseMatrix, Vector, market};
use rankine::{Comm, Error, Result};
use std::path::PathBuf;

/// How it is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Sparse {
    /// Ranks of the Local engine; under a launcher, its number
    #[arg(long, value_name = "N")]
    ranks: Option<usize>,
    /// Points along each axis of three, of a seven-point stencil
    #[arg(long, value_name = "N", default_value_t = 100)]
    cells: usize,
    /// So many entries a row, at random places near the diagonal, instead of the stencil
    #[arg(long, value_name = "N")]
    random: Option<usize>,
    /// How far from the diagonal random entries are
    #[arg(long, value_name = "COLUMNS", default_value_t = 10_000)]
    band: usize,
    /// A square real matrix of a Matrix Market file instead
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How often every side has its turn
    #[arg(long, value_name = "N", default_value_t = 11)]
    turns: usize,
    /// Products in a turn
    #[arg(long, value_name = "N", default_value_t = 20)]
    products: usize,
}

/// Elements of each of the triad's three arrays, on all ranks: more than the caches hold.
const TRIAD: usize = 1 << 24;

/// Does it.
///
/// # Errors
/// A flag that cannot be, a file that cannot be read; those of the launcher and of the engines.
pub fn bench(wanted: Sparse) -> Result<()> {
    if wanted.turns == 0 || wanted.products == 0 || !(2..=2048).contains(&wanted.cells) {
        return Err(Error::usage("bench sparse: give one turn and product or more, and 2 to 2048 cells"));
    }
    if wanted.random.is_some_and(|entries| !(1..=1000).contains(&entries)) || wanted.band == 0 {
        return Err(Error::usage("bench sparse: give 1 to 1000 random entries, in a band of 1 or more"));
    }
    on_both_engines(wanted.ranks, move |comm| {
        let line = measure(comm, &wanted)?;
        tell(comm, &line);
        Ok(())
    })
}

/// Seconds of a product and of a triad, turn after turn.
struct Line {
    rows: usize,
    entries: usize,
    norm: f64,
    product: Vec<f64>,
    triad: Vec<f64>,
}

/// What a product must at least move: values and columns, where rows begin, x once, y there and back.
fn bytes(line: &Line) -> f64 {
    12.0 * line.entries as f64 + 28.0 * line.rows as f64
}

fn tell(comm: &Comm, line: &Line) {
    if comm.rank() > 0 {
        return;
    }
    let (product, triad) = (median(line.product.clone()), median(line.triad.clone()));
    let rate = |seconds: f64| bytes(line) / seconds / 1e9;
    // The triad reads two arrays, and writes one, which is read first.
    let of_triad = |seconds: f64| 32.0 * TRIAD as f64 / seconds / 1e9;
    let ratios = line.product.iter().zip(&line.triad).map(|(&p, &t)| rate(p) / of_triad(t)).collect();
    show(&format!(
        "{} engine, {} ranks: {} rows, {} entries, norm {:.15e}\n  product {:9.3} ms {:7.2} GB/s {:6.2} Gflop/s  triad {:7.2} GB/s  ratio {:.2}\n",
        comm.engine_name(),
        comm.size(),
        line.rows,
        line.entries,
        line.norm,
        product * 1e3,
        rate(product),
        2.0 * line.entries as f64 / product / 1e9,
        of_triad(triad),
        median(ratios)
    ));
}

fn matrix(comm: &Comm, wanted: &Sparse) -> Result<SparseMatrix<f64>> {
    if let Some(file) = &wanted.file {
        return market::read(comm, file);
    }
    let n = wanted.cells;
    let total = n * n * n;
    let rows = Distribution::even(comm, total)?;
    match wanted.random {
        None => {
            let triplets = rows.range().flat_map(|row| {
                let at = [row / (n * n), row / n % n, row % n];
                let strides = [n * n, n, 1];
                let beside = (0..3).flat_map(move |axis| {
                    let low = (at[axis] > 0).then(|| row - strides[axis]);
                    let high = (at[axis] + 1 < n).then(|| row + strides[axis]);
                    low.into_iter().chain(high)
                });
                beside.map(move |column| (row, column, -1.0)).chain([(row, row, 6.0)])
            });
            SparseMatrix::from_triplets(&rows, &rows, triplets)
        }
        Some(entries) => {
            let band = wanted.band.min(total / 2).max(1);
            let triplets = rows.range().flat_map(|row| {
                // Knuth's generator, begun anew by every row, so that the matrix is the same on any number of ranks.
                let mut state = (row as u64).wrapping_mul(2_654_435_761).wrapping_add(12_345);
                let others = (1..entries).map(move |_| {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let far = (state >> 33) as usize % (2 * band + 1);
                    (row, (row + total + far - band) % total, -0.5)
                });
                [(row, row, entries as f64)].into_iter().chain(others)
            });
            SparseMatrix::from_triplets(&rows, &rows, triplets)
        }
    }
}

fn measure(comm: &Comm, wanted: &Sparse) -> Result<Line> {
    let a = matrix(comm, wanted)?;
    let x = Vector::from_fn(a.columns(), |i| (i % 97) as f64 / 97.0);
    let mut y = Vector::zeros(a.rows());
    a.multiply(&x, &mut y)?;
    let norm = y.norm()?;
    let mine = TRIAD / comm.size();
    let (mut to, b, c) = (vec![0.0f64; mine], vec![1.0f64; mine], vec![2.0f64; mine]);
    let mut line = Line {
        rows: a.rows().total(),
        entries: a.entries(),
        norm,
        product: Vec::with_capacity(wanted.turns),
        triad: Vec::with_capacity(wanted.turns),
    };
    for turn in 0..=wanted.turns {
        let product = timed(comm, || (0..wanted.products).try_for_each(|_| a.multiply(&x, &mut y)))?;
        let triad = timed(comm, || {
            to.iter_mut().zip(&b).zip(&c).for_each(|((to, b), c)| *to = b + 3.0 * c);
            std::hint::black_box(&to);
            Ok(())
        })?;
        // The first brings memory and caches to where they stay.
        if turn > 0 {
            line.product.push(product / wanted.products as f64);
            line.triad.push(triad);
        }
    }
    Ok(line)
}
