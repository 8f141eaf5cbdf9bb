//! Iterative solvers: against analytic solutions of Poisson's equation, dense elimination, and each other's number of ranks.

use super::dice::Dice;
use ndarray::{Array1, Array2};
use num_complex::Complex;
use rankine::sparse::{
    Distribution, Identity, Jacobi, MatrixFree, Outcome, Preconditioner, Solution, Solver, SparseMatrix,
    SymmetricGaussSeidel, Value, Vector,
};
use rankine::{Comm, ErrorKind, Field, Grid, Result};
use std::f64::consts::PI;

/// Minus the five-point Laplacian times h², of n x n inner points between walls of zero; point (i, j) is row i·n + j.
fn poisson(rows: &Distribution, n: usize) -> Result<SparseMatrix<f64>> {
    let triplets = rows.range().flat_map(|row| {
        let (i, j) = (row / n, row % n);
        let beside = [
            (i > 0, row.wrapping_sub(n)),
            (i + 1 < n, row + n),
            (j > 0, row.wrapping_sub(1)),
            (j + 1 < n, row + 1),
        ];
        let beside = beside.into_iter().filter(|side| side.0).map(move |(_, column)| (row, column, -1.0));
        beside.chain([(row, row, 4.0)])
    });
    SparseMatrix::from_triplets(rows, rows, triplets)
}

/// sin(πx)·sin(πy) at the points, which the discrete Laplacian multiplies with a number.
fn wave(rows: &Distribution, n: usize) -> (Vector<f64>, f64) {
    let h = 1.0 / (n + 1) as f64;
    let at = |i: usize| (PI * (i + 1) as f64 * h).sin();
    (Vector::from_fn(rows, |row| at(row / n) * at(row % n)), 8.0 * (PI * h / 2.0).sin().powi(2))
}

fn largest(a: &Vector<f64>, b: &Vector<f64>) -> Result<f64> {
    let mine = a.local().iter().zip(b.local()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    a.rows().comm().allreduce(mine, rankine::op::Max)
}

type Solve<'a> = &'a dyn Fn(&Solver, &SparseMatrix<f64>, &Vector<f64>, &mut Vector<f64>) -> Result<Solution>;

/// Every method with every preconditioner.
fn everything(run: &mut dyn FnMut(&str, Solve<'_>) -> Result<()>) -> Result<()> {
    fn with<M: Preconditioner<f64>>(
        name: &str,
        run: &mut dyn FnMut(&str, Solve<'_>) -> Result<()>,
        m: impl Fn(&SparseMatrix<f64>) -> Result<M>,
    ) -> Result<()> {
        run(&format!("cg, {name}"), &|s, a, b, x| s.cg(a, &m(a)?, b, x))?;
        run(&format!("bicgstab, {name}"), &|s, a, b, x| s.bicgstab(a, &m(a)?, b, x))?;
        run(&format!("gmres(25), {name}"), &|s, a, b, x| s.gmres(25, a, &m(a)?, b, x))
    }
    with("nothing", run, |_| Ok(Identity))?;
    with("jacobi", run, |a| Jacobi::new(a))?;
    with("gauss-seidel", run, |a| SymmetricGaussSeidel::new(a))
}

pub fn poisson_in_two_dimensions(world: &Comm) -> Result<()> {
    let n = 14;
    for rows in [
        Distribution::even(world, n * n)?,
        Distribution::of_local(world, if world.rank() == 0 { n * n } else { 0 })?,
    ] {
        let a = poisson(&rows, n)?;
        let (exact, factor) = wave(&rows, n);
        // Of two waves, so that no method is done in one step.
        let mut exact = exact;
        let (h, m) = (1.0 / (n + 1) as f64, 3.0);
        let other = Vector::from_fn(&rows, |row| {
            (m * PI * (row / n + 1) as f64 * h).sin() * (PI * (row % n + 1) as f64 * h).sin()
        });
        let second = 4.0 * (m * PI * h / 2.0).sin().powi(2) + 4.0 * (PI * h / 2.0).sin().powi(2);
        let mut b = exact.clone();
        b.scale(factor);
        b.axpy(0.5 * second, &other)?;
        exact.axpy(0.5, &other)?;
        everything(&mut |name, solve| {
            let mut x = Vector::from_fn(&rows, |row| (row % 7) as f64 / 50.0);
            let solution = solve(&Solver::new().relative(1e-11), &a, &b, &mut x)?.converged()?;
            let history = solution.history();
            assert_eq!(history.len(), solution.iterations() + 1);
            assert!(
                solution.iterations() > 2 && solution.iterations() < 120,
                "{name}: {}",
                solution.iterations()
            );
            assert!(solution.residual() <= 2.0 * solution.target(), "{name}: {solution:?}");
            assert!(history[history.len() - 1] <= solution.target());
            // The smallest eigenvalue is some 0.09.
            assert!(largest(&x, &exact)? < 1e-9, "{name}: {}", largest(&x, &exact)?);
            if name.starts_with("gmres") {
                assert!(
                    history.windows(2).all(|pair| pair[1] <= pair[0] * (1.0 + 1e-12)),
                    "{name}: {history:?}"
                );
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// By elimination with pivots.
fn eliminated<T: Value>(mut a: Array2<T>, mut b: Array1<T>) -> Array1<T> {
    let n = b.len();
    for column in 0..n {
        let size = |row: &usize| (a[[*row, column]].abs() * 1e6) as u64;
        let pivot = (column..n).max_by_key(size).expect("there are rows left");
        for k in 0..n {
            a.swap([column, k], [pivot, k]);
        }
        b.swap(column, pivot);
        for row in column + 1..n {
            let factor = a[[row, column]] / a[[column, column]];
            for k in column..n {
                let above = a[[column, k]];
                a[[row, k]] -= factor * above;
            }
            let above = b[column];
            b[row] -= factor * above;
        }
    }
    for row in (0..n).rev() {
        for k in row + 1..n {
            let (factor, known) = (a[[row, k]], b[k]);
            b[row] -= factor * known;
        }
        b[row] = b[row] / a[[row, row]];
    }
    b
}

fn against_elimination<T: Value>(world: &Comm, tolerance: f64, close: f64) -> Result<()> {
    let n = 31;
    let mut dice = Dice::new(8);
    let mut part = || dice.below(2001) as f64 / 1000.0 - 1.0;
    let any = Array2::from_shape_fn((n, n), |(i, j)| {
        let value = T::of_parts(part(), part());
        if i == j {
            value + T::of(6.0)
        } else if (i * 7 + j * 3) % 4 == 0 {
            value
        } else {
            T::default()
        }
    });
    let b = Array1::from_shape_fn(n, |_| T::of_parts(part(), part()));
    let rows = Distribution::even(world, n)?;
    let right = Vector::from_fn(&rows, |i| b[i]);
    let solver = Solver::new().relative(tolerance);
    let check = |name: &str, x: &Vector<T>, expected: &Array1<T>| -> Result<()> {
        for (i, (x, &expected)) in x.gather()?.into_iter().zip(expected).enumerate() {
            assert!((x - expected).abs() < close, "{name}, row {i}: {x:?}, not {expected:?}");
        }
        Ok(())
    };
    let a = SparseMatrix::from_dense(&rows, &rows, any.view())?;
    let expected = eliminated(any.clone(), b.clone());
    let mut x = Vector::zeros(&rows);
    solver.bicgstab(&a, &Jacobi::new(&a)?, &right, &mut x)?.converged()?;
    check("bicgstab", &x, &expected)?;
    for restart in [1, 5, 40] {
        x.fill(T::of(1.0));
        solver.gmres(restart, &a, &SymmetricGaussSeidel::new(&a)?, &right, &mut x)?.converged()?;
        check("gmres", &x, &expected)?;
    }
    // A + Aᴴ is Hermitian, and positive definite since its diagonal dominates.
    let hermitian = Array2::from_shape_fn((n, n), |(i, j)| {
        let both = any[[i, j]] + any[[j, i]].conj();
        if i == j { both + T::of(14.0) } else { both }
    });
    let a = SparseMatrix::from_dense(&rows, &rows, hermitian.view())?;
    let expected = eliminated(hermitian, b.clone());
    x.fill(T::default());
    solver.cg(&a, &SymmetricGaussSeidel::new(&a)?, &right, &mut x)?.converged()?;
    check("cg", &x, &expected)
}

pub fn dense_references(world: &Comm) -> Result<()> {
    against_elimination::<f64>(world, 1e-12, 1e-10)?;
    against_elimination::<Complex<f64>>(world, 1e-12, 1e-10)?;
    against_elimination::<f32>(world, 1e-5, 1e-4)
}

/// A stencil over a field is the matrix it stands for: the same iteration, on any split of the grid.
pub fn a_stencil_without_a_matrix(world: &Comm) -> Result<()> {
    let n = 12;
    let grid = Grid::new(world, [n, n])?;
    let cells = Distribution::of_grid(&grid)?;
    let (mut now, mut next) =
        (Field::new(&grid, 0.0)?.walls(rankine::Wall::Fixed(0.0)), Field::new(&grid, 0.0)?);
    let mut stencil = MatrixFree::new(&cells, |x: &Vector<f64>, y: &mut Vector<f64>| {
        x.copy_to_field(&mut now)?;
        next.update_from(&mut now, |out, rows| {
            let (u, n, s) = (rows.at([0, 0]), rows.at([-1, 0]), rows.at([1, 0]));
            let (w, e) = (rows.at([0, -1]), rows.at([0, 1]));
            for i in 0..out.len() {
                out[i] = 4.0 * u[i] - n[i] - w[i] - e[i] - s[i];
            }
        })?;
        y.copy_from_field(&next)
    });
    let value = |[i, j]: [usize; 2]| ((3 * i + j) % 5) as f64;
    let mut b = Vector::zeros(&cells);
    b.copy_from_field(&Field::from_fn(&grid, value)?)?;
    let (mut x, jacobi) = (Vector::zeros(&cells), Jacobi::of_diagonal(Vector::filled(&cells, 4.0))?);
    let solver = Solver::new().relative(1e-12).reproducible(true);
    let free = solver.cg(&mut stencil, &jacobi, &b, &mut x)?.converged()?;

    let rows = Distribution::even(world, n * n)?;
    let a = poisson(&rows, n)?;
    let mut y = Vector::zeros(&rows);
    let b = Vector::from_fn(&rows, |row| value([row / n, row % n]));
    let matrix = solver.cg(&a, &Jacobi::new(&a)?, &b, &mut y)?.converged()?;
    assert_eq!(free.iterations(), matrix.iterations());
    let mut field = Field::new(&grid, 0.0)?;
    x.copy_to_field(&mut field)?;
    let y = y.gather()?;
    for ([i, j], x) in field.iter() {
        assert!((x - y[i * n + j]).abs() < 1e-9);
    }
    Ok(())
}

/// With reproducible dot products an iteration has the bits that it has on one rank.
pub fn iterations_keep_their_bits(world: &Comm) -> Result<()> {
    let n = 9;
    let run = |world: &Comm| -> Result<Vec<Vec<u64>>> {
        let rows = Distribution::even(world, n * n)?;
        let a = poisson(&rows, n)?;
        let b = Vector::from_fn(&rows, |row| ((row * row) as f64).sin());
        let (solver, jacobi) = (Solver::new().reproducible(true).relative(1e-10), Jacobi::new(&a)?);
        let mut all = Vec::new();
        for method in 0..3 {
            let mut x = Vector::zeros(&rows);
            let solution = match method {
                0 => solver.cg(&a, &jacobi, &b, &mut x)?,
                1 => solver.bicgstab(&a, &jacobi, &b, &mut x)?,
                _ => solver.gmres(12, &a, &jacobi, &b, &mut x)?,
            };
            let solution = solution.converged()?;
            all.push(solution.history().iter().chain(&x.gather()?).map(|value| value.to_bits()).collect());
        }
        Ok(all)
    };
    let alone = run(&world.split(Some(world.rank() as u32), 0)?.expect("a color was given"))?;
    assert_eq!(run(world)?, alone);
    Ok(())
}

/// Gauss–Seidel works on blocks: exact on one rank, and it needs fewer iterations than Jacobi on any number.
pub fn gauss_seidel_by_blocks(world: &Comm) -> Result<()> {
    let n = 24;
    let rows = Distribution::even(world, n * n)?;
    let a = poisson(&rows, n)?;
    let b = Vector::from_fn(&rows, |row| ((row * row) as f64).sin());
    let mut iterations = Vec::new();
    for sweeps in [true, false] {
        let mut x = Vector::zeros(&rows);
        let solution = match sweeps {
            true => Solver::new().cg(&a, &SymmetricGaussSeidel::new(&a)?, &b, &mut x)?,
            false => Solver::new().cg(&a, &Jacobi::new(&a)?, &b, &mut x)?,
        };
        iterations.push(solution.converged()?.iterations());
    }
    assert!(iterations[0] < iterations[1], "{iterations:?}");
    // (D + L)·D⁻¹·(D + U)·z is r where all is one block.
    let mut z = Vector::zeros(&rows);
    SymmetricGaussSeidel::new(&a)?.apply(&b, &mut z)?;
    let own = rows.range();
    let upper = |row: usize, z: &dyn Fn(usize) -> f64| -> f64 {
        a.row(row)
            .into_iter()
            .flatten()
            .filter(|e| e.0 > row && own.contains(&e.0))
            .map(|(c, v)| v * z(c))
            .sum()
    };
    let middle: Vec<f64> = own
        .clone()
        .map(|row| 4.0 * z.local()[row - own.start] + upper(row, &|c| z.local()[c - own.start]))
        .collect();
    for row in own.clone() {
        let lower = a.row(row).into_iter().flatten().filter(|e| e.0 < row && own.contains(&e.0));
        let sum: f64 = lower.map(|(c, v)| v * middle[c - own.start] / 4.0).sum();
        assert!((middle[row - own.start] + sum - b.local()[row - own.start]).abs() < 1e-12);
    }
    Ok(())
}

pub fn ends_that_are_not_solutions(world: &Comm) -> Result<()> {
    let n = 10;
    let rows = Distribution::even(world, n)?;
    let of = |value: &dyn Fn(usize) -> f64| {
        SparseMatrix::from_triplets(&rows, &rows, rows.range().map(|i| (i, i, value(i))))
    };
    let ones = Vector::filled(&rows, 1.0);
    let varied = Vector::from_fn(&rows, |i| 1.0 + i as f64);
    let solver = Solver::new();

    // Nothing to do, and a right-hand side of nothing.
    let identity = of(&|_| 1.0)?;
    everything(&mut |name, solve| {
        let mut x = ones.clone();
        let solution = solve(&solver, &identity, &ones, &mut x)?;
        assert_eq!((solution.outcome(), solution.iterations()), (Outcome::Converged, 0), "{name}");
        let solution = solve(&solver, &identity, &Vector::zeros(&rows), &mut x)?;
        assert_eq!(
            (solution.outcome(), solution.iterations(), x.norm()?),
            (Outcome::Converged, 0, 0.0),
            "{name}"
        );
        let mut x = Vector::zeros(&rows);
        let solution = solve(&solver, &identity, &varied, &mut x)?.converged()?;
        assert!(solution.iterations() <= 1, "{name}");
        assert!(largest(&x, &varied)? < 1e-12);
        Ok(())
    })?;

    // Too few iterations, and what is said of it.
    let spread = of(&|i| 1.0 + (i * i) as f64)?;
    everything(&mut |name, solve| {
        if name.ends_with("nothing") {
            let mut x = Vector::zeros(&rows);
            let solution = solve(&solver.limit(2), &spread, &varied, &mut x)?;
            assert_eq!((solution.outcome(), solution.iterations()), (Outcome::Limit, 2), "{name}");
            let error = solution.converged().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Verification);
            assert!(error.to_string().contains("the limit of iterations after 2 iterations"), "{error}");
            x.fill(0.0);
            let solution = solve(&solver.absolute(1e9), &spread, &varied, &mut x)?;
            assert_eq!((solution.outcome(), solution.iterations()), (Outcome::Converged, 0));
        }
        Ok(())
    })?;

    // NaN and infinity, wherever they come from.
    let last = |bad: f64| Vector::from_fn(&rows, move |i| if i + 1 == n { bad } else { 1.0 });
    for bad in [f64::NAN, f64::INFINITY] {
        everything(&mut |name, solve| {
            let mut x = Vector::zeros(&rows);
            let solution = solve(&solver, &spread, &last(bad), &mut x)?;
            assert_eq!(solution.outcome(), Outcome::NotFinite, "{name}, b");
            let mut x = last(bad);
            assert_eq!(solve(&solver, &spread, &ones, &mut x)?.outcome(), Outcome::NotFinite, "{name}, x");
            Ok(())
        })?;
    }
    let mut calls = 0;
    let mut later = MatrixFree::new(&rows, |x: &Vector<f64>, y: &mut Vector<f64>| {
        calls += 1;
        spread.multiply(x, y)?;
        y.local_mut().iter_mut().for_each(|y| *y *= if calls > 3 { f64::NAN } else { 1.0 });
        Ok(())
    });
    let solution = solver.gmres(5, &mut later, &Identity, &varied, &mut Vector::zeros(&rows))?;
    assert_eq!(solution.outcome(), Outcome::NotFinite);
    assert!(solution.history()[1].is_finite());

    // Breakdowns.
    let indefinite = of(&|i| if i % 2 == 0 { 1.0 } else { -1.0 })?;
    let broken = solver.cg(&indefinite, &Identity, &ones, &mut Vector::zeros(&rows))?;
    assert_eq!(broken.outcome(), Outcome::Breakdown("the operator is not positive definite"));
    assert!(broken.converged().unwrap_err().to_string().contains("not positive definite"));
    let broken = solver.cg(&identity, &Jacobi::new(&of(&|_| -1.0)?)?, &ones, &mut Vector::zeros(&rows))?;
    assert_eq!(broken.outcome(), Outcome::Breakdown("the preconditioner is not positive definite"));
    let singular = of(&|i| if i == 3 { 0.0 } else { 1.0 })?;
    let broken = solver.gmres(5, &singular, &Identity, &ones, &mut Vector::zeros(&rows))?;
    assert!(matches!(broken.outcome(), Outcome::Breakdown(_)), "{broken:?}");
    // A quarter turn: the shadow residual is orthogonal to A·r at once.
    let turn = SparseMatrix::from_triplets(
        &rows,
        &rows,
        rows.range().map(|i| (i, i ^ 1, if i % 2 == 0 { 1.0 } else { -1.0 })),
    )?;
    let broken = solver.bicgstab(&turn, &Identity, &ones, &mut Vector::zeros(&rows))?;
    assert!(matches!(broken.outcome(), Outcome::Breakdown(_)), "{broken:?}");
    let mut x = Vector::zeros(&rows);
    solver.gmres(5, &turn, &Identity, &ones, &mut x)?.converged()?;
    assert!(largest(&x, &Vector::from_fn(&rows, |i| if i % 2 == 0 { -1.0 } else { 1.0 }))? < 1e-12);

    // What is refused.
    let refused = |result: Result<Jacobi<f64>>| {
        let error = result.unwrap_err();
        let spoke =
            error.kind() == ErrorKind::Usage && error.what().contains("row 3 has 0.0 on the diagonal");
        assert!(spoke || error.kind() == ErrorKind::Elsewhere, "{error}");
    };
    refused(Jacobi::new(&singular));
    assert!(solver.gmres(0, &identity, &Identity, &ones, &mut x).is_err());
    assert!(solver.relative(-1.0).cg(&identity, &Identity, &ones, &mut x).is_err());
    assert!(solver.relative(f64::NAN).cg(&identity, &Identity, &ones, &mut x).is_err());
    let others = Distribution::even(world, n + 1)?;
    assert!(solver.cg(&identity, &Identity, &Vector::zeros(&others), &mut x).is_err());
    Ok(())
}
