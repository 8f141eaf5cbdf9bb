//! Dense block-cyclic matrices: layouts, moves, panels, products, norms and files, against the definitions.

use super::dice::Dice;
use ndarray::Array2;
use num_complex::Complex;
use rankine::matrix::{
    BlockCyclic, Entry, Factor, Form, Matrix, MatrixNorm, ProcessGrid, Product, Rearrangement,
};
use rankine::output::npy;
use rankine::{Comm, ErrorKind, Field, Grid, Result};
use std::ops::Range;

/// Every rectangle of the ranks.
fn grids(world: &Comm) -> Result<Vec<ProcessGrid>> {
    let size = world.size();
    let all = (1..=size).filter(|rows| size.is_multiple_of(*rows));
    all.map(|rows| ProcessGrid::with_shape(world, rows, size / rows)).collect()
}

/// Blocks of several sizes, from several sources.
fn layouts(grid: &ProcessGrid, shape: [usize; 2]) -> Result<Vec<BlockCyclic>> {
    (0..4).map(|which| layout_of(grid, shape, which)).collect()
}

fn layout_of(grid: &ProcessGrid, shape: [usize; 2], which: usize) -> Result<BlockCyclic> {
    let [rows, columns] = grid.shape();
    let (block, source) = [
        ([2, 3], [0, 0]),
        ([1, 1], [rows - 1, columns / 2]),
        ([4, 2], [rows / 2, columns - 1]),
        ([100, 64], [0, 0]),
    ][which];
    BlockCyclic::from_source(grid, shape, block, source)
}

/// A number with few bits, so that sums of products are exact in any order.
fn small<T: Entry>(dice: &mut Dice) -> T {
    let mut part = || dice.below(17) as f64 - 8.0;
    T::of_parts(part(), part())
}

/// The same on every rank.
fn whole<T: Entry>([rows, columns]: [usize; 2], seed: u64) -> Array2<T> {
    let mut dice = Dice::new(seed);
    Array2::from_shape_fn((rows, columns), |_| small(&mut dice))
}

fn spread<T: Entry>(layout: &BlockCyclic, whole: &Array2<T>) -> Result<Matrix<T>> {
    Matrix::from_fn(layout, |[i, j]| whole[[i, j]])
}

/// That a rank has just the entries of `whole`, each where the layout says.
fn is<T: Entry>(matrix: &Matrix<T>, whole: &Array2<T>) {
    assert_eq!(matrix.shape(), [whole.nrows(), whole.ncols()]);
    let mut seen = 0;
    for ((i, j), &value) in whole.indexed_iter() {
        if let Some(local) = matrix.layout().local([i, j]) {
            assert_eq!(
                (matrix.get([i, j]), matrix.local()[local]),
                (Some(value), value),
                "{matrix:?} at ({i}, {j})"
            );
            seen += 1;
        }
    }
    assert_eq!(seen, matrix.storage().len());
}

/// Every entry is on one rank, in one place; blocks, parts and closures see the same entries.
pub fn layouts_are_bijections(world: &Comm) -> Result<()> {
    for grid in grids(world)? {
        let [rows, columns] = grid.shape();
        assert_eq!((grid.row().size(), grid.column().size()), (columns, rows));
        assert_eq!([grid.column().rank(), grid.row().rank()], grid.place());
        for shape in [[13, 9], [1, 20], [20, 1], [0, 4], [5, 0], [3, 3]] {
            for layout in layouts(&grid, shape)? {
                let ([mb, nb], [sr, sc]) = (layout.block(), layout.source());
                let mut matrix = Matrix::zeros(&layout)?;
                for (i, j) in (0..shape[0]).flat_map(|i| (0..shape[1]).map(move |j| (i, j))) {
                    // Dealt by hand.
                    let owner = grid.rank_of([(sr + i / mb) % rows, (sc + j / nb) % columns]);
                    assert_eq!(layout.owner([i, j]), owner);
                    let local = layout.local([i, j]);
                    assert_eq!(local.is_some(), owner == Some(world.rank()));
                    assert!(local.is_none_or(|local| layout.global(local) == Some([i, j])));
                    assert_eq!(matrix.set([i, j], (100 * i + j) as f64), local.is_some());
                }
                assert_eq!(
                    (layout.owner(shape), layout.local(shape), layout.global([99, 0])),
                    (None, None, None)
                );
                let counts = world.allgather(&layout.local_shape())?;
                assert_eq!(counts.chunks(2).map(|c| c[0] * c[1]).sum::<usize>(), shape[0] * shape[1]);
                for (rank, count) in counts.chunks(2).enumerate() {
                    assert_eq!(layout.local_shape_of(rank), Some([count[0], count[1]]));
                }
                assert!(matrix.iter().all(|([i, j], value)| value == (100 * i + j) as f64));
                let mut entries = 0;
                for (block, view) in matrix.blocks() {
                    assert!(block.shape[0] <= mb && block.shape[1] <= nb && !block.is_empty());
                    assert_eq!((block.start[0] % mb, block.start[1] % nb), (0, 0));
                    for ((i, j), &value) in view.indexed_iter() {
                        assert_eq!(value, (100 * (block.start[0] + i) + block.start[1] + j) as f64);
                        entries += 1;
                    }
                }
                assert_eq!(entries, matrix.storage().len());
                matrix.each_block_mut(|block, mut view| {
                    view.fill((block.start[0] + 7 * block.start[1]) as f64)
                });
                matrix.each_mut(|[i, j], value| *value -= (i / mb * mb + 7 * (j / nb * nb)) as f64);
                assert!(matrix.storage().iter().all(|&value| value == 0.0));
                let (r, c) = (shape[0] / 3..shape[0], 0..shape[1].div_ceil(2));
                matrix.part_mut(r.clone(), c.clone())?.fill(1.0);
                assert!(matrix.iter().all(|([i, j], v)| v == f64::from(r.contains(&i) && c.contains(&j))));
                assert_eq!(matrix.part(r.clone(), c.clone())?.sum(), matrix.storage().iter().sum::<f64>());
                assert_eq!(matrix.sum()?, (r.len() * c.len()) as f64);
                matrix.fill(2.0);
                let copy = Matrix::from_local(&layout, matrix.storage().to_vec())?;
                assert_eq!(copy.sum_reproducible()?, 2.0 * (shape[0] * shape[1]) as f64);
            }
        }
    }
    Ok(())
}

/// Every layout to every other, on every pair of rectangles, as it is and transposed.
pub fn moves(world: &Comm) -> Result<()> {
    let shape = [11, 14];
    let full = whole::<f64>(shape, 1);
    for (from_grid, to_grid) in pairs(&grids(world)?) {
        let (froms, tos) = (layouts(from_grid, shape)?, layouts(to_grid, shape)?);
        for (n, (from, to)) in froms.iter().flat_map(|from| tos.iter().map(move |to| (from, to))).enumerate()
        {
            let a = spread(from, &full)?;
            is(&a.redistribute(to)?, &full);
            if n % tos.len() == 0 {
                is(&a.transpose()?, &full.t().to_owned());
            }
            let turned = BlockCyclic::new(to_grid, [14, 11], to.block())?;
            let mut plan = Rearrangement::transposing(from, &turned)?;
            let mut b = Matrix::zeros(&turned)?;
            for _ in 0..2 {
                b.fill(99.0);
                plan.run(&a, &mut b)?;
                is(&b, &full.t().to_owned());
            }
        }
    }
    // Messages of several pieces.
    let grid = ProcessGrid::new(world)?;
    let (from, to) =
        (BlockCyclic::new(&grid, [300, 500], [7, 30])?, BlockCyclic::new(&grid, [300, 500], [64, 1])?);
    let full = whole::<f64>([300, 500], 2);
    is(&spread(&from, &full)?.redistribute(&to)?, &full);
    is(&spread(&to, &full)?.transpose()?, &full.t().to_owned());
    for shape in [[0, 6], [6, 0], [1, 1]] {
        let full = whole::<Complex<f32>>(shape, 3);
        for layout in layouts(&grid, shape)? {
            is(&spread(&layout, &full)?.transpose()?, &full.t().to_owned());
        }
    }
    Ok(())
}

fn pairs<T>(all: &[T]) -> impl Iterator<Item = (&T, &T)> {
    all.iter().flat_map(move |a| all.iter().map(move |b| (a, b)))
}

/// Block columns and rows come to all ranks that have a share in them.
pub fn panels(world: &Comm) -> Result<()> {
    let full = whole::<f32>([10, 13], 4);
    for grid in grids(world)? {
        for layout in layouts(&grid, [10, 13])? {
            let a = spread(&layout, &full)?;
            let ([mb, nb], mut panel) = (layout.block(), Vec::new());
            for number in 0..13usize.div_ceil(nb) {
                let view = a.block_column(number, &mut panel)?;
                assert_eq!(view.dim(), (a.local_shape()[0], nb.min(13 - number * nb)));
                for ((i, j), &value) in view.indexed_iter() {
                    let row = layout.global([i, 0]).map_or_else(|| row_of(&layout, i), |entry| entry[0]);
                    assert_eq!(value, full[[row, number * nb + j]]);
                }
            }
            for number in 0..10usize.div_ceil(mb) {
                let view = a.block_row(number, &mut panel)?;
                assert_eq!(view.dim(), (mb.min(10 - number * mb), a.local_shape()[1]));
                for ((i, j), &value) in view.indexed_iter() {
                    let column = (0..13).filter(|&c| column_here(&layout, c)).nth(j).expect("it is here");
                    assert_eq!(value, full[[number * mb + i, column]]);
                }
            }
            assert_eq!(a.block_column(13, &mut panel).unwrap_err().kind(), ErrorKind::Usage);
        }
    }
    Ok(())
}

/// The global row of a local one, where a rank has no columns.
fn row_of(layout: &BlockCyclic, local: usize) -> usize {
    let ([r, _], rows) = (layout.grid().place(), layout.grid().shape()[0]);
    let here = |i: &usize| (layout.source()[0] + i / layout.block()[0]) % rows == r;
    (0..layout.shape()[0]).filter(here).nth(local).expect("it is here")
}

fn column_here(layout: &BlockCyclic, column: usize) -> bool {
    let ([_, c], columns) = (layout.grid().place(), layout.grid().shape()[1]);
    (layout.source()[1] + column / layout.block()[1]) % columns == c
}

/// alpha·op(A)·op(B) + beta·C by three loops.
fn by_hand<T: Entry>(
    alpha: T,
    a: (&Array2<T>, Form),
    b: (&Array2<T>, Form),
    beta: T,
    c: &Array2<T>,
) -> Array2<T> {
    let entry = |(matrix, form): (&Array2<T>, Form), i: usize, j: usize| match form {
        Form::Plain => matrix[[i, j]],
        Form::Transposed => matrix[[j, i]],
        Form::Adjoint => matrix[[j, i]].conj(),
    };
    let inner = if a.1 == Form::Plain { a.0.ncols() } else { a.0.nrows() };
    Array2::from_shape_fn(c.dim(), |(i, j)| {
        let mut sum = T::default();
        for k in 0..inner {
            sum += entry(a, i, k) * entry(b, k, j);
        }
        alpha * sum + beta * c[[i, j]]
    })
}

const FORMS: [Form; 3] = [Form::Plain, Form::Transposed, Form::Adjoint];

fn shaped(form: Form, [m, n]: [usize; 2]) -> [usize; 2] {
    if form == Form::Plain { [m, n] } else { [n, m] }
}

fn factor<T: Entry>(matrix: &Matrix<T>, form: Form) -> Factor<'_, T> {
    match form {
        Form::Plain => matrix.into(),
        Form::Transposed => matrix.t(),
        Form::Adjoint => matrix.h(),
    }
}

fn products_of<T: Entry>(world: &Comm) -> Result<()> {
    let grids = grids(world)?;
    for (n, (form_a, form_b)) in pairs(&FORMS).enumerate() {
        for (s, [m, k, p]) in
            [[9, 12, 7], [1, 5, 20], [17, 1, 3], [4, 0, 6], [0, 3, 2]].into_iter().enumerate()
        {
            let grid = &grids[(n + s) % grids.len()];
            let a = whole::<T>(shaped(*form_a, [m, k]), 5);
            let b = whole::<T>(shaped(*form_b, [k, p]), 6);
            let c = whole::<T>([m, p], 7);
            for turn in 0..4 {
                let layout = |of: &Array2<T>, other: usize| -> Result<BlockCyclic> {
                    let grid = if turn == 3 { &grids[other % grids.len()] } else { grid };
                    let which = if turn == 0 { 0 } else { turn + other };
                    layout_of(grid, [of.nrows(), of.ncols()], which % 4)
                };
                let (da, db) = (spread(&layout(&a, 1)?, &a)?, spread(&layout(&b, 2)?, &b)?);
                let mut dc = spread(&layout(&c, 0)?, &c)?;
                let (alpha, beta) =
                    [(T::of(1.0), T::of(1.0)), (T::of_parts(-2.0, 1.0), T::of_parts(0.5, -1.0))][turn % 2];
                // Planned for one product, and for two.
                let mut plan = match turn {
                    0 => None,
                    _ => Some(Product::plan((da.layout(), *form_a), (db.layout(), *form_b), dc.layout())?),
                };
                let mut multiply = |beta: T, dc: &mut Matrix<T>| match &mut plan {
                    None => dc.multiply(alpha, factor(&da, *form_a), factor(&db, *form_b), beta),
                    Some(plan) => plan.run(alpha, &da, &db, beta, dc),
                };
                multiply(beta, &mut dc)?;
                is(&dc, &by_hand(alpha, (&a, *form_a), (&b, *form_b), beta, &c));
                // What is not there does not count.
                dc.fill(T::of(f64::NAN));
                multiply(T::default(), &mut dc)?;
                is(&dc, &by_hand(alpha, (&a, *form_a), (&b, *form_b), T::default(), &c));
            }
        }
    }
    Ok(())
}

pub fn products(world: &Comm) -> Result<()> {
    products_of::<f64>(world)?;
    products_of::<f32>(world)?;
    products_of::<Complex<f64>>(world)?;
    products_of::<Complex<f32>>(world)
}

/// Several panels from every rank, planned once, with the panels of two products in one communicator.
pub fn planned_products(world: &Comm) -> Result<()> {
    let [m, k, n] = [70, 1300, 90];
    // Of two factors, so that the product is known without multiplying.
    let (u, v) = (|i: usize| (i % 7) as f64 - 3.0, |j: usize| (j % 5) as f64 - 2.0);
    let w = |k: usize| (k % 3) as f64;
    let inner: f64 = (0..k).map(|k| w(k) * w(k)).sum();
    for grid in grids(world)? {
        let layout = |shape| BlockCyclic::new(&grid, shape, [16, 32]);
        let (la, lb, lc) = (layout([m, k])?, layout([k, n])?, layout([m, n])?);
        let mut product = Product::plan((&la, Form::Plain), (&lb, Form::Plain), &lc)?;
        let a = Matrix::from_fn(&la, |[i, k]| u(i) * w(k))?;
        let b = Matrix::from_fn(&lb, |[k, j]| w(k) * v(j))?;
        let mut c = Matrix::zeros(&lc)?;
        for times in 1..=3 {
            product.run(1.0, &a, &b, 1.0, &mut c)?;
            assert!(c.iter().all(|([i, j], value)| value == f64::from(times) * inner * u(i) * v(j)));
        }
        let other = Matrix::zeros(&layout([m, n])?)?;
        assert!(product.run(1.0, &other, &b, 1.0, &mut c).is_err());
        product.run(1.0, &a, &b, 0.0, &mut c)?;
        assert!(c.iter().all(|([i, j], value)| value == inner * u(i) * v(j)));
    }
    Ok(())
}

/// The same numbers in every layout, and those of a field.
pub fn norms(world: &Comm) -> Result<()> {
    let value = |[i, j]: [usize; 2]| ((7 * i + j * j) as f64).sin() / 3.0;
    let field = Field::from_fn(&Grid::over(world, [12, 10]).halo(0).build()?, value)?;
    let all: Vec<f64> = (0..120).map(|at| value([at / 10, at % 10])).collect();
    let column = |j: usize| (0..12).map(|i| value([i, j]).abs()).sum::<f64>();
    let row = |i: usize| (0..10).map(|j| value([i, j]).abs()).sum::<f64>();
    let expected = [
        (MatrixNorm::Max, all.iter().fold(0.0f64, |most, v| most.max(v.abs()))),
        (MatrixNorm::One, (0..10).map(column).fold(0.0, f64::max)),
        (MatrixNorm::Infinity, (0..12).map(row).fold(0.0, f64::max)),
        (MatrixNorm::Frobenius, all.iter().map(|v| v * v).sum::<f64>().sqrt()),
    ];
    let alone = ProcessGrid::new(&world.split(Some(world.rank() as u32), 0)?.expect("a color was given"))?;
    let one = Matrix::from_fn(&BlockCyclic::new(&alone, [12, 10], [3, 3])?, value)?;
    for grid in grids(world)? {
        for layout in layouts(&grid, [12, 10])? {
            let mut a = Matrix::from_fn(&layout, value)?;
            assert_eq!(a.checksum()?, field.checksum()?);
            for (norm, exact) in expected {
                let (plain, same) = (a.norm(norm)?, a.norm_reproducible(norm)?);
                assert!((plain - exact).abs() < 1e-14 && (same - exact).abs() < 1e-14, "{norm:?}");
                assert_eq!(same.to_bits(), one.norm_reproducible(norm)?.to_bits());
            }
            assert_eq!(a.sum_reproducible()?.to_bits(), one.sum_reproducible()?.to_bits());
            assert!((a.sum()? - all.iter().sum::<f64>()).abs() < 1e-13);
            a.set([5, 5], f64::NAN);
            for (norm, _) in expected {
                assert!(a.norm(norm)?.is_nan() && a.norm_reproducible(norm)?.is_nan(), "{norm:?}");
            }
        }
        let none = Matrix::<f64>::zeros(&BlockCyclic::new(&grid, [0, 3], [2, 2])?)?;
        for (norm, _) in expected {
            assert_eq!(none.norm(norm)?, 0.0);
        }
    }
    Ok(())
}

/// Row-major in files, the same bytes from any layout; read back into any other.
pub fn files(world: &Comm) -> Result<()> {
    let (_guard, folder) = super::matrices::folder(world)?;
    let full = Array2::from_shape_fn((9, 14), |(i, j)| (100 * i + j) as f64);
    let grids = grids(world)?;
    let mut files = 0;
    for (n, grid) in grids.iter().enumerate() {
        for layout in layouts(grid, [9, 14])? {
            let a = spread(&layout, &full)?;
            let path = folder.join(format!("a{files}.npy"));
            files += 1;
            npy::write(world, &path, &a)?;
            let bytes = std::fs::read(&path).expect("it was written");
            let numbers: &[u8] = bytemuck::cast_slice(full.as_slice().expect("row-major"));
            assert_eq!(&bytes[bytes.len() - numbers.len()..], numbers);
            for other in layouts(&grids[(n + 1) % grids.len()], [9, 14])? {
                let mut b = Matrix::<f64>::zeros(&other)?;
                npy::Input::open(world, &path)?.read_into(&mut b)?;
                is(&b, &full);
            }
            let mut wrong = Matrix::<f64>::zeros(&BlockCyclic::new(grid, [14, 9], [2, 2])?)?;
            assert!(npy::Input::open(world, &path)?.read_into(&mut wrong).is_err());
            #[cfg(feature = "hdf5")]
            hdf5(world, &folder.join("a.h5"), &a, &full)?;
            world.barrier()?;
        }
    }
    Ok(())
}

/// Written straight and by the library, compressed; read back straight and by the library, transposed blocks and all.
#[cfg(feature = "hdf5")]
fn hdf5(world: &Comm, path: &std::path::Path, a: &Matrix<f64>, full: &Array2<f64>) -> Result<()> {
    use rankine::output::{Reader, Storage, Writer};
    let mut file = Writer::create(world, path)?;
    file.write("deep/a", a)?;
    file.write_as("small", a, &Storage::new().chunk([4, 5]).deflate(1))?;
    file.finish()?;
    for dataset in ["deep/a", "small"] {
        let mut b = Matrix::zeros(&BlockCyclic::new(a.layout().grid(), [9, 14], [5, 3])?)?;
        let input = Reader::open(world, path, Some(dataset))?;
        assert_eq!(input.shape(), [9, 14]);
        input.read_into(&mut b)?;
        is(&b, full);
    }
    world.barrier()
}

/// What cannot be is an error on every rank, with nothing left under way.
pub fn misuse(world: &Comm) -> Result<()> {
    let p = world.size();
    let refused = |error: rankine::Error, kind: ErrorKind, words: &str| {
        // What all have agreed on is told by the first.
        if error.kind() == ErrorKind::Elsewhere && world.rank() > 0 {
            return;
        }
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.what().contains(words), "{error}");
        assert!(error.to_string().contains("dense.rs:"), "{error}");
    };
    refused(ProcessGrid::with_shape(world, p, 2).unwrap_err(), ErrorKind::Usage, "2 columns for");
    refused(ProcessGrid::with_shape(world, usize::MAX, 2).unwrap_err(), ErrorKind::Usage, "rows and");
    refused(ProcessGrid::with_shape(world, 0, 0).unwrap_err(), ErrorKind::Usage, "0 rows");
    let grid = ProcessGrid::new(world)?;
    for (shape, block, source, words) in [
        ([4, 4], [0, 2], [0, 0], "blocks of 0x2"),
        ([4, 4], [2, 2], [0, p], "the source [0,"),
        ([usize::MAX, 2], [2, 2], [0, 0], "entries"),
        ([usize::MAX, 0], [2, 2], [0, 0], "entries"),
        ([1 << 40, 1 << 40], [1, 1], [0, 0], "entries"),
    ] {
        refused(BlockCyclic::from_source(&grid, shape, block, source).unwrap_err(), ErrorKind::Usage, words);
    }
    if p > 1 {
        let mine = if world.rank() == 1 { [1, 2] } else { [2, 2] };
        refused(BlockCyclic::new(&grid, [4, 4], mine).unwrap_err(), ErrorKind::Mismatch, "on another rank");
        let rows = if world.rank() == 0 { 1 } else { p };
        refused(
            ProcessGrid::with_shape(world, rows, p / rows).unwrap_err(),
            ErrorKind::Mismatch,
            "on another rank",
        );
    }
    let huge = BlockCyclic::new(&grid, [1 << 28, 1 << 28], [64, 64])?;
    refused(Matrix::<f64>::zeros(&huge).unwrap_err(), ErrorKind::Usage, "no memory for");
    let square = BlockCyclic::new(&grid, [6, 6], [2, 2])?;
    let tall = BlockCyclic::new(&grid, [7, 6], [2, 2])?;
    let (a, b, mut c) = (Matrix::zeros(&square)?, Matrix::zeros(&tall)?, Matrix::<f64>::zeros(&square)?);
    let error = c.multiply(1.0, &a, &b, 0.0).unwrap_err();
    refused(error, ErrorKind::Mismatch, "6x6 times 7x6 into 6x6");
    refused(b.redistribute(&square).unwrap_err(), ErrorKind::Mismatch, "from 7x6");
    // One rank alone gives another matrix: all hear of it.
    let mut product = Product::plan((&square, Form::Plain), (&square, Form::Plain), &square)?;
    let odd = if world.rank() + 1 == p { &b } else { &a };
    let error = product.run(1.0, odd, &a, 0.0, &mut c).unwrap_err();
    assert_eq!(error.kind(), if world.rank() + 1 == p { ErrorKind::Usage } else { ErrorKind::Elsewhere });
    product.run(1.0, &a, &a, 0.0, &mut c)?;
    let short = if world.rank() == 0 { vec![0.0; 99] } else { vec![0.0; c.storage().len()] };
    assert!(Matrix::from_local(&square, short).is_err());
    assert!(a.part(0..7, 0..1).is_err() && a.part(Range { start: 2, end: 1 }, 0..1).is_err());
    let alone = ProcessGrid::new(&world.split(Some(world.rank() as u32), 0)?.expect("a color was given"))?;
    if p > 1 {
        let elsewhere = BlockCyclic::new(&alone, [6, 6], [2, 2])?;
        refused(a.redistribute(&elsewhere).unwrap_err(), ErrorKind::Mismatch, "on other ranks");
    }
    Ok(())
}
