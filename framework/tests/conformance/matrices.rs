//! Sparse matrices: assembly, products, transposes and Matrix Market files, against dense references.

use super::dice::Dice;
use ndarray::{Array1, Array2};
use num_complex::Complex;
use rankine::sparse::{Distribution, SparseMatrix, Value, Vector, market};
use rankine::{Comm, ErrorKind, Result};
use std::path::PathBuf;

/// A number with few bits, so that sums of products are exact in any order.
fn small<T: Value>(dice: &mut Dice) -> T {
    let mut part = || dice.below(17) as f64 - 8.0;
    T::of_parts(part(), part())
}

/// The same on every rank.
fn dense<T: Value>(rows: usize, columns: usize, percent: usize, seed: u64) -> Array2<T> {
    let mut dice = Dice::new(seed);
    Array2::from_shape_fn((rows, columns), |_| {
        let value = small(&mut dice);
        if dice.below(100) < percent { value } else { T::default() }
    })
}

/// Dealt evenly, all on the last rank, or at random with ranks that have nothing.
fn distributions(world: &Comm, total: usize, seed: u64) -> Result<Vec<Distribution>> {
    let mut dice = Dice::new(seed);
    let last = world.rank() + 1 == world.size();
    let mut cuts: Vec<usize> = (1..world.size()).map(|_| dice.below(total + 1)).collect();
    cuts.extend([0, total]);
    cuts.sort();
    Ok(vec![
        Distribution::even(world, total)?,
        Distribution::of_local(world, if last { total } else { 0 })?,
        Distribution::of_local(world, cuts[world.rank() + 1] - cuts[world.rank()])?,
    ])
}

fn products_of<T: Value>(world: &Comm) -> Result<()> {
    for (rows, columns, percent, seed) in [
        (13, 13, 30, 1),
        (1, 9, 100, 2),
        (9, 1, 100, 3),
        (40, 25, 5, 4),
        (0, 5, 0, 5),
        (5, 0, 0, 6),
        (30, 30, 100, 7),
    ] {
        let full = dense::<T>(rows, columns, percent, seed);
        for (r, c) in distributions(world, rows, seed)?.iter().zip(distributions(world, columns, seed + 9)?) {
            let a = SparseMatrix::from_dense(r, &c, full.view())?;
            assert_eq!(a.to_dense()?, full);
            assert_eq!(a.entries(), full.iter().filter(|&&value| value != T::default()).count());
            let mut dice = Dice::new(seed + 20);
            let x = Array1::from_shape_fn(columns, |_| small::<T>(&mut dice));
            let expected: Vec<T> = full.rows().into_iter().map(|row| sum(row.iter().zip(&x))).collect();
            let vector = Vector::from_fn(&c, |i| x[i]);
            let mut y = Vector::filled(r, T::of(77.0));
            for _ in 0..3 {
                a.multiply(&vector, &mut y)?;
                assert_eq!(y.gather()?, expected);
            }
            a.multiply_add(&vector, &mut y)?;
            assert_eq!(y.gather()?, expected.iter().map(|&sum| sum + sum).collect::<Vec<_>>());

            let x = Array1::from_shape_fn(rows, |_| small::<T>(&mut dice));
            let vector = Vector::from_fn(r, |i| x[i]);
            let mut y = Vector::filled(&c, T::of(77.0));
            for _ in 0..2 {
                a.multiply_transposed(&vector, &mut y)?;
                let expected: Vec<T> =
                    full.columns().into_iter().map(|column| sum(column.iter().zip(&x))).collect();
                assert_eq!(y.gather()?, expected);
                a.multiply_adjoint(&vector, &mut y)?;
                let conjugated = full.mapv(T::conj);
                let expected: Vec<T> =
                    conjugated.columns().into_iter().map(|column| sum(column.iter().zip(&x))).collect();
                assert_eq!(y.gather()?, expected);
            }
        }
    }
    Ok(())
}

fn sum<'a, T: Value>(pairs: impl Iterator<Item = (&'a T, &'a T)>) -> T {
    pairs.fold(T::default(), |sum, (&a, &b)| sum + a * b)
}

pub fn products(world: &Comm) -> Result<()> {
    products_of::<f64>(world)?;
    products_of::<f32>(world)?;
    products_of::<Complex<f64>>(world)
}

/// Any rank gives any triplets, many of one place.
pub fn triplets_from_anywhere(world: &Comm) -> Result<()> {
    let (rows, columns) = (17, 11);
    let mut expected = Array2::<f64>::zeros((rows, columns));
    let mut mine = Vec::new();
    let mut dice = Dice::new(5);
    for i in 0..600 {
        let (row, column, value) = (dice.below(rows), dice.below(columns / 2), small::<f64>(&mut dice));
        expected[[row, column]] += value;
        if i % world.size() == world.rank() {
            mine.push((row, column, value));
        }
    }
    let rows = Distribution::even(world, rows)?;
    let columns = Distribution::even(world, columns)?;
    let a = SparseMatrix::from_triplets(&rows, &columns, mine)?;
    assert_eq!(a.to_dense()?, expected);
    for row in 0..rows.total() {
        assert_eq!(a.row(row).is_some(), rows.range().contains(&row));
        let entries: Vec<(usize, f64)> = a.row(row).into_iter().flatten().collect();
        assert!(entries.is_sorted_by(|a, b| a.0 < b.0));
        assert!(entries.iter().all(|&(column, value)| expected[[row, column]] == value));
    }
    assert_eq!(
        a.diagonal().gather()?,
        (0..17).map(|i| if i < 11 { expected[[i, i]] } else { 0.0 }).collect::<Vec<_>>()
    );
    // The same by rows, the columns of each backwards.
    let by_rows = SparseMatrix::from_rows(&rows, &columns, |row, entries| {
        entries.extend(expected.row(row).iter().copied().enumerate().rev().filter(|entry| entry.1 != 0.0));
        entries.extend(entries.first().copied().map(|(column, _)| (column, 1.0)));
        entries.extend(entries.first().copied().map(|(column, _)| (column, -1.0)));
    })?;
    assert_eq!(by_rows.to_dense()?, expected);
    let mut doubled = a;
    doubled.map_values(|row, column, value| value + expected[[row, column]]);
    assert_eq!(doubled.to_dense()?, 2.0 * expected);
    Ok(())
}

/// Numbers whose sums depend on their order: the product has the bits of a sum in the order of the columns.
pub fn products_keep_their_bits(world: &Comm) -> Result<()> {
    for (n, percent) in [(60, 25), (60, 90)] {
        let mut dice = Dice::new(3);
        let full = Array2::from_shape_fn((n, n), |_| match dice.below(100) < percent {
            true => (dice.below(1000) as f64).exp2().ln() / 7.0,
            false => 0.0,
        });
        let x: Vec<f64> = (0..n).map(|i| ((i * i) as f64).sin()).collect();
        let one = |world: &Comm| -> Result<Vec<f64>> {
            let rows = Distribution::even(world, n)?;
            let a = SparseMatrix::from_dense(&rows, &rows, full.view())?;
            let mut y = Vector::zeros(&rows);
            a.multiply(&Vector::from_fn(&rows, |i| x[i]), &mut y)?;
            y.gather()
        };
        let alone = one(&world.split(Some(world.rank() as u32), 0)?.expect("a color was given"))?;
        assert!(one(world)?.iter().zip(&alone).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
    Ok(())
}

/// Rows that read a large vector far and wide, and again what rows before them read: of values whose order matters, and of whole
/// ones the transpose. The reference is a loop.
pub fn scattered_columns(world: &Comm) -> Result<()> {
    let n = 200_000;
    let column = |row: usize, k: usize| (row + 5000 * k) % n * 30_011 % n;
    let value = |row: usize, column: usize| 1.0 / (1 + (row + 7 * column) % 1000) as f64;
    let (rows, x) = (Distribution::even(world, n)?, |column: usize| 1.0 / (3 + column % 77) as f64);
    let mut a = SparseMatrix::from_rows(&rows, &rows, |row, entries| {
        entries.extend((0..6).map(|k| (column(row, k), value(row, column(row, k)))));
    })?;
    let (vector, mut y) = (Vector::from_fn(&rows, x), Vector::filled(&rows, 77.0));
    for _ in 0..2 {
        a.multiply(&vector, &mut y)?;
    }
    for (row, sum) in rows.range().zip(y.local()) {
        let mut columns: Vec<usize> = (0..6).map(|k| column(row, k)).collect();
        columns.sort();
        let expected = columns.iter().fold(0.0, |sum, &column| sum + value(row, column) * x(column));
        assert_eq!(sum.to_bits(), expected.to_bits(), "row {row}");
        assert!(a.row(row).expect("its own").map(|entry| entry.0).eq(columns));
    }
    a.map_values(|row, column, _| ((row + column) % 5) as f64);
    a.multiply_transposed(&Vector::from_fn(&rows, |row| (row % 3) as f64), &mut y)?;
    let mut expected = vec![0; n];
    for row in 0..n {
        (0..6).for_each(|k| expected[column(row, k)] += (row + column(row, k)) % 5 * (row % 3));
    }
    assert!(rows.range().zip(y.local()).all(|(column, &sum)| sum == expected[column] as f64));
    Ok(())
}

/// What a matrix and a vector of the wrong kind say, on every rank, with nothing left under way.
pub fn misuse(world: &Comm) -> Result<()> {
    let (rows, others) = (Distribution::even(world, 6)?, Distribution::even(world, 7)?);
    let mine =
        if world.rank() + 1 == world.size() { vec![(0, 0, 1.0), (2, 6, 1.0)] } else { vec![(1, 1, 1.0)] };
    let error = SparseMatrix::from_triplets(&rows, &rows, mine).unwrap_err();
    let speaks = world.rank() + 1 == world.size();
    assert_eq!(error.kind(), if speaks { ErrorKind::Usage } else { ErrorKind::Elsewhere });
    assert!(!speaks || error.what().contains("(2, 6) is outside the 6x6"), "{error}");
    let error =
        SparseMatrix::from_rows(&rows, &rows, |row, entries| entries.push((row + row / 5, 1.0))).unwrap_err();
    let speaks = rows.range().contains(&5);
    assert!(!speaks || error.to_string().contains("from_rows: entry (5, 6) is outside the 6x6"), "{error}");
    let a = SparseMatrix::from_triplets(&rows, &others, [(0, 0, 1.0)])?;
    let (x, mut y) = (Vector::zeros(&rows), Vector::zeros(&rows));
    let error = a.multiply(&x, &mut y).unwrap_err();
    assert!(error.to_string().contains("matrices.rs:"), "{error}");
    assert!(Vector::from_local(&rows, vec![0.0; 99]).is_err());
    assert!(y.axpy(1.0, &Vector::zeros(&others)).is_err());
    a.multiply(&Vector::filled(&others, 2.0), &mut y)?;
    assert_eq!(y.gather()?[0], 2.0 * world.size() as f64);
    Ok(())
}

pub fn folder(world: &Comm) -> Result<(Option<tempfile::TempDir>, PathBuf)> {
    let folder = (world.rank() == 0).then(|| tempfile::tempdir().expect("a folder for temporary files"));
    let path = folder.as_ref().map(|folder| folder.path().to_string_lossy().into_owned());
    Ok((folder, PathBuf::from(world.bcast_value(path, 0)?)))
}

/// Writes it on rank 0; all go on when it is there.
fn put(world: &Comm, path: &PathBuf, text: &[u8]) -> Result<()> {
    if world.rank() == 0 {
        std::fs::write(path, text).expect("the folder is ours");
    }
    world.barrier()
}

pub fn files_of_every_kind(world: &Comm) -> Result<()> {
    let (_guard, folder) = folder(world)?;
    let path = folder.join("a.mtx");
    let read = |text: &str| -> Result<Array2<Complex<f64>>> {
        put(world, &path, text.as_bytes())?;
        let dense = market::read::<Complex<f64>>(world, &path)?.to_dense()?;
        world.barrier()?;
        Ok(dense)
    };
    let c = Complex::new;
    let real = |rows: [[f64; 3]; 2]| Array2::from_shape_fn((2, 3), |(i, j)| c(rows[i][j], 0.0));
    let text = "%%MatrixMarket matrix coordinate real general\n% a comment\n%\n\n 2 3 4 \n1 1 1.5\n2 3 -2e-1\n\n% more\n1 3 +.5\n1 1 1D1";
    assert_eq!(read(text)?, real([[11.5, 0.0, 0.5], [0.0, 0.0, -0.2]]));
    assert_eq!(read(&text.replace('\n', "\r\n"))?, real([[11.5, 0.0, 0.5], [0.0, 0.0, -0.2]]));
    let text = "%%matrixmarket MATRIX Coordinate Integer General\n2 3 2\n1 2 -7\n2 1 9";
    assert_eq!(read(text)?, real([[0.0, -7.0, 0.0], [9.0, 0.0, 0.0]]));
    let text = "%%MatrixMarket matrix coordinate pattern general\n2 3 2\n1 2\n2 1\n";
    assert_eq!(read(text)?, real([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]));
    let two = |a: [Complex<f64>; 4]| Array2::from_shape_fn((2, 2), |(i, j)| a[2 * i + j]);
    let text = "%%MatrixMarket matrix coordinate complex hermitian\n2 2 2\n1 1 3 0\n2 1 1 -2\n";
    assert_eq!(read(text)?, two([c(3.0, 0.0), c(1.0, 2.0), c(1.0, -2.0), c(0.0, 0.0)]));
    let text = "%%MatrixMarket matrix coordinate complex symmetric\n2 2 1\n2 1 1 -2\n";
    assert_eq!(read(text)?, two([c(0.0, 0.0), c(1.0, -2.0), c(1.0, -2.0), c(0.0, 0.0)]));
    let text = "%%MatrixMarket matrix coordinate real skew-symmetric\n2 2 1\n2 1 4\n";
    assert_eq!(read(text)?, two([c(0.0, 0.0), c(-4.0, 0.0), c(4.0, 0.0), c(0.0, 0.0)]));
    assert_eq!(read("%%MatrixMarket matrix coordinate real general\n2 2 0\n")?, two([c(0.0, 0.0); 4]));
    assert_eq!(read("%%MatrixMarket matrix coordinate real general\n0 0 0")?.dim(), (0, 0));
    Ok(())
}

pub fn files_come_back(world: &Comm) -> Result<()> {
    let (_guard, folder) = folder(world)?;
    let mut dice = Dice::new(11);
    let mut number = || f64::from_bits((dice.below(1 << 31) as u64) << 33 | dice.below(1 << 31) as u64);
    let mut number = move || loop {
        let x = number();
        if x.is_finite() {
            return x;
        }
    };
    let full = Array2::from_shape_fn((37, 23), |(i, j)| if (i * j) % 5 == 1 { number() } else { 0.0 });
    let (rows, columns) = (Distribution::even(world, 37)?, Distribution::even(world, 23)?);
    let a = SparseMatrix::from_dense(&rows, &columns, full.view())?;
    let path = folder.join("deep/er/b.mtx");
    market::write(&a, &path)?;
    let text = std::fs::read_to_string(&path).expect("it was written");
    let mut expected = format!("%%MatrixMarket matrix coordinate real general\n37 23 {}\n", a.entries());
    for ((i, j), value) in full.indexed_iter().filter(|entry| *entry.1 != 0.0) {
        expected += &format!("{} {} {value:e}\n", i + 1, j + 1);
    }
    assert_eq!(text, expected);
    assert_eq!(market::read::<f64>(world, &path)?.to_dense()?, full);
    let complex = Array2::from_shape_fn((5, 5), |(i, j)| Complex::new(i as f64 / 3.0, -(j as f64)));
    let rows = Distribution::even(world, 5)?;
    let b = SparseMatrix::from_dense(&rows, &rows, complex.view())?;
    world.barrier()?;
    market::write(&b, &path)?;
    assert_eq!(market::read::<Complex<f64>>(world, &path)?.to_dense()?, complex);
    let error = market::write(&b, folder.join("deep")).unwrap_err();
    assert!(error.what().contains("it is a folder"), "{error}");
    world.barrier()
}

/// Every way in which a file can be wrong: an error with file and line on every rank, and no rank waits.
pub fn hostile_files(world: &Comm) -> Result<()> {
    let (_guard, folder) = folder(world)?;
    let path = folder.join("c.mtx");
    let general = "%%MatrixMarket matrix coordinate real general\n";
    let many: String = (1..=400).map(|i| format!("{i} {i} 1.25\n")).collect();
    let cases: Vec<(String, &str)> = vec![
        (String::new(), "c.mtx:1: the file is empty"),
        ("hello\n".into(), "c.mtx:1: no Matrix Market file"),
        (general.into(), "c.mtx:2: the file ends before"),
        ("%%MatrixMarket matrix array real general\n2 2\n1\n2\n3\n4\n".into(), "c.mtx:1: a dense matrix"),
        ("%%MatrixMarket matrix coordinate quaternion general\n1 1 0\n".into(), "c.mtx:1: `quaternion`"),
        ("%%MatrixMarket matrix coordinate pattern hermitian\n1 1 0\n".into(), "c.mtx:1: a pattern"),
        (format!("{general}2 2\n1 1 1\n"), "c.mtx:2: `2 2` does not say"),
        (format!("{general}2 2 -1\n1 1 1\n"), "c.mtx:2: `2 2 -1` does not say"),
        (format!("{general}2 2 99999999999999999999999\n1 1 1\n"), "c.mtx:2: "),
        (format!("{general}2 2 5\n"), "c.mtx:2: 5 entries in a matrix of 2x2"),
        (format!("{general}9 9 50\n1 1 1\n"), "c.mtx:2: 50 entries said to follow, but only 6 bytes do"),
        (format!("{general}%\n2 2 2\n1 1 1.00\n"), "c.mtx:3: 2 entries promised, the file has 1"),
        (format!("{general}2 2 1\n1 1 1\n2 2 2\n"), "c.mtx:2: 1 entries promised, the file has 2"),
        (
            format!("{general}400 400 400\n{}", many.replace("\n200 ", "\n401 ")),
            "c.mtx:202: row 401 is outside 1 to 400",
        ),
        (
            format!("{general}400 400 400\n{}", many.replace(" 333 ", " 0 ")),
            "c.mtx:335: column 0 is outside 1 to 400",
        ),
        (format!("{general}400 400 400\n{}", many.replace("\n77 ", "\n77.5 ")), "c.mtx:79: `77.5` is no row"),
        (format!("{general}400 400 400\n{}", &many[..many.len() - 6]), "c.mtx:402: `400 400` has no value"),
        (
            format!("{general}400 400 400\n{}", many.replace("\n9 9 1.25", "\n9 9 1e999")),
            "c.mtx:11: `1e999` is not finite",
        ),
        (
            format!("{general}400 400 400\n{}", many.replace("\n9 9 1.25", "\n9 9 nan")),
            "c.mtx:11: `nan` is not finite",
        ),
        (
            format!("{general}400 400 400\n{}", many.replace("\n9 9 1.25", "\n9 9 1.25 7")),
            "c.mtx:11: `9 9 1.25 7` has more",
        ),
        (
            format!("{general}400 400 400\n{}", many.replace("\n9 9 1.25", "\n9 9 one")),
            "c.mtx:11: `one` is no number",
        ),
        (format!("{general}{0} {0} 1\n1 1 1\n", u64::MAX), "c.mtx:2: "),
        (
            format!("{general}{0} {0} {0}\n1 1 1\n", 10u64.pow(18)),
            "entries said to follow, but only 6 bytes do",
        ),
        (
            format!("{general}{0} {0} {1}\n1 1 1\n", 10u64.pow(18), u64::MAX),
            "entries said to follow, but only 6",
        ),
        // The size line is judged before the line that is no entry.
        (format!("{general}{0} 3 1\nhello\n", 10u64.pow(18)), "rows or columns for every rank"),
        (format!("{general}3 {0} 1\n1 {0} 1\n", 10u64.pow(18)), "rows or columns for every rank"),
        (format!("{general}1 1 1\n1 1 {}\n", "1".repeat(100_000)), "c.mtx:3: the line is longer"),
        (
            "%%MatrixMarket matrix coordinate real symmetric\n2 2 1\n1 2 1\n".into(),
            "c.mtx:3: entry (1, 2) is above",
        ),
        (
            "%%MatrixMarket matrix coordinate real symmetric\n2 3 1\n1 1 1\n".into(),
            "c.mtx:2: a symmetric matrix of 2x3",
        ),
        (
            "%%MatrixMarket matrix coordinate real skew-symmetric\n2 2 1\n1 1 1\n".into(),
            "c.mtx:3: entry (1, 1) of a skew",
        ),
        (
            "%%MatrixMarket matrix coordinate complex general\n2 2 1\n1 1 1 1\n".into(),
            "c.mtx:1: complex numbers",
        ),
        (
            "%%MatrixMarket matrix coordinate integer general\n2 2 1\n1 1 1.5\n".into(),
            "c.mtx:3: `1.5` is no number",
        ),
    ];
    let said = |expected: &str| -> Result<()> {
        let error = market::read::<f64>(world, &path).unwrap_err();
        assert!(error.what().contains(expected), "{expected:?} expected on rank {}: {error:?}", world.rank());
        let spoke = error.kind() == ErrorKind::Io;
        assert!(spoke || error.kind() == ErrorKind::Elsewhere);
        let speakers = world.allreduce(usize::from(spoke), rankine::op::Sum)?;
        assert_eq!(speakers, 1);
        Ok(())
    };
    for (text, expected) in &cases {
        put(world, &path, text.as_bytes())?;
        said(expected)?;
    }
    let mut junk = format!("{general}400 400 400\n{many}").into_bytes();
    let at = junk.windows(9).position(|bytes| bytes == b"\n300 300 ").expect("it is there");
    junk[at + 1] = 0xff;
    put(world, &path, &junk)?;
    said("c.mtx:302: the line is not text")?;
    let mut dice = Dice::new(1);
    let noise: Vec<u8> = (0..200_000).map(|_| dice.below(256) as u8).collect();
    put(world, &path, &noise)?;
    said("c.mtx:1: ")?;
    put(world, &path, &[format!("{general}9000 9000 9000\n").as_bytes(), &noise].concat())?;
    said("c.mtx:")?;
    if world.rank() == 0 {
        std::fs::remove_file(&path).expect("it is there");
    }
    world.barrier()?;
    said("c.mtx")
}
