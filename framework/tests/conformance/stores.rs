//! Sparse matrices, collections and particles in HDF5 files: written by all ranks in every way, read by others, looked at
//! through HDF5's own reading; and files that are none.

use super::files::{create, others, ways};
use super::scratch::{first, refused, with_folder};
use num_complex::Complex;
use rankine::output::{Reader, Way, Writer};
use rankine::particles::{Particle, Particles};
use rankine::sparse::{Distribution, SparseMatrix};
use rankine::{Comm, DistVec, Grid, Result};
use std::path::Path;

/// Where entries of a matrix of 23 rows are, row after row; row 5 has none.
fn columns(row: usize, columns: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..row % 6).map(|k| (row * 7 + k * k * 3) % columns).collect();
    all.sort_unstable();
    all.dedup();
    if row == 5 { Vec::new() } else { all }
}

fn value(row: usize, column: usize) -> f64 {
    row as f64 + column as f64 / 64.0
}

fn some_matrix(comm: &Comm, [m, n]: [usize; 2]) -> Result<SparseMatrix<f64>> {
    let (rows, all) = (Distribution::even(comm, m)?, Distribution::even(comm, n)?);
    let mine = (comm.rank()..m).step_by(comm.size());
    let triplets = mine.flat_map(|row| columns(row, n).into_iter().map(move |c| (row, c, value(row, c))));
    SparseMatrix::from_triplets(&rows, &all, triplets)
}

pub fn matrices(world: &Comm) -> Result<()> {
    let [m, n] = [23, 17];
    let a = some_matrix(world, [m, n])?;
    with_folder(world, |folder| {
        for way in ways(world) {
            let path = folder.join("a.h5");
            let mut file = create(world, &path, way)?;
            a.write(&mut file, "system/a")?;
            file.finish()?;
            first(world, || {
                let file = hdf5::File::open(&path).expect("HDF5 opens it");
                let of = |name: &str| file.dataset(&format!("system/a/{name}")).expect("a dataset");
                let all = || (0..m).flat_map(|row| columns(row, n).into_iter().map(move |c| (row, c)));
                let mut starts = vec![0i64];
                (0..m).for_each(|row| starts.push(starts[row] + columns(row, n).len() as i64));
                assert_eq!(of("shape").read_raw::<i64>().unwrap(), [m as i64, n as i64]);
                assert_eq!(of("indptr").read_raw::<i64>().unwrap(), starts);
                assert_eq!(
                    of("indices").read_raw::<i64>().unwrap(),
                    all().map(|(_, c)| c as i64).collect::<Vec<_>>()
                );
                assert_eq!(
                    of("data").read_raw::<f64>().unwrap(),
                    all().map(|(r, c)| value(r, c)).collect::<Vec<_>>()
                );
            })?;
            // Each half for itself, and rows on the last rank alone, as single precision.
            let dense = a.to_dense()?;
            let some = others(world)?;
            assert_eq!(SparseMatrix::<f64>::read(&some, &path, "system/a")?.to_dense()?, dense);
            let last = |all: usize| if world.rank() + 1 == world.size() { all } else { 0 };
            let rows = Distribution::of_local(world, last(m))?;
            let back =
                SparseMatrix::<f32>::read_over(&rows, &Distribution::even(world, n)?, &path, "system/a")?;
            assert_eq!(back.entries(), a.entries());
            assert!(back.iter().all(|(row, column, found)| f64::from(found) == value(row, column)));
            let words = refused(world, SparseMatrix::<f64>::read_over(&rows, &rows, &path, "system/a"))?;
            assert!(words.starts_with("4 ") && words.contains("23x17"), "{words}");
            world.barrier()?;
        }
        // Complex values, and a matrix of nothing.
        let path = folder.join("b.h5");
        let rows = Distribution::even(world, 4)?;
        let own = rows.range().map(|i| (i, 3 - i, Complex::new(i as f64, -1.0)));
        let b = SparseMatrix::from_triplets(&rows, &rows, own)?;
        let nothing = SparseMatrix::<f64>::from_triplets(&rows, &rows, [])?;
        let mut file = Writer::create(world, &path)?;
        b.write(&mut file, "b")?;
        nothing.write(&mut file, "nothing")?;
        file.finish()?;
        assert_eq!(SparseMatrix::<Complex<f64>>::read(world, &path, "b")?.to_dense()?, b.to_dense()?);
        assert_eq!(SparseMatrix::<f64>::read(world, &path, "nothing")?.entries(), 0);
        Ok(())
    })
}

/// A group as some other program may have left it.
fn group(world: &Comm, path: &Path, parts: [&[i64]; 3], data: usize) -> Result<()> {
    let mut file = Writer::create(world, path)?;
    let here = |all: &[i64]| if world.rank() == 0 { all.to_vec() } else { Vec::new() };
    for (name, all) in ["shape", "indptr", "indices"].into_iter().zip(parts) {
        DistVec::new(world, here(all))?.write(&mut file, &format!("a/{name}"))?;
    }
    DistVec::generate(world, data, |at| at as f64)?.write(&mut file, "a/data")?;
    file.finish()
}

pub fn matrices_that_are_none(world: &Comm) -> Result<()> {
    with_folder(world, |folder| {
        let path = folder.join("a.h5");
        let starts: &[i64] = &[0, 2, 2, 3];
        let columns: &[i64] = &[0, 1, 3];
        group(world, &path, [&[3, 4], starts, columns], 3)?;
        assert_eq!(SparseMatrix::<f64>::read(world, &path, "a")?.entries(), 3);
        let huge = i64::MAX;
        for (parts, data, said) in [
            ([&[3, 4][..], &[0, 2, 1, 3], columns], 3, "row 1 ends before it begins"),
            ([&[3, 4], &[0, 2, huge, 3], columns], 3, "is no sparse matrix"),
            ([&[3, 4], &[1, 2, 2, 3], columns], 3, "do not divide the 3 entries"),
            ([&[3, 4], &[0, 2, 2, 2], columns], 3, "do not divide the 3 entries"),
            ([&[3, 4], &[-1, 2, 2, 3], columns], 3, "do not divide the 3 entries"),
            ([&[3, 4], &[0, 2, 3], columns], 3, "indptr has 3 elements, not 4"),
            ([&[3, 4], starts, &[0, 1, 4]], 3, "column 4 of 4"),
            ([&[3, 4], starts, &[0, -1, 3]], 3, "column -1 of 4"),
            ([&[3, 4], starts, columns], 4, "data has 4 elements, not 3"),
            ([&[3], starts, columns], 3, "has the shape [1]"),
            ([&[-3, 4], starts, columns], 3, "its shape is [-3, 4]"),
            ([&[huge, 4], starts, columns], 3, "indptr has 4 elements"),
        ] {
            group(world, &path, parts, data)?;
            let words = refused(world, SparseMatrix::<f64>::read(world, &path, "a"))?;
            assert!(words.starts_with("4 ") && words.contains(said), "{said:?} in {words}");
            world.barrier()?;
        }
        let words = refused(world, SparseMatrix::<f64>::read(world, &path, "b"))?;
        assert!(words.contains("there is no such dataset"), "{words}");
        Ok(())
    })
}

/// A thing of several kinds of numbers.
#[derive(Clone, Copy, Debug, PartialEq, rankine::Element)]
#[repr(C)]
struct Ball {
    x: [f64; 2],
    mass: f32,
    number: u32,
}

impl Ball {
    fn new(at: usize) -> Ball {
        // Scattered over a box of 4 x 4.
        let x = [(at * 7 % 40) as f64 / 10.0, (at * 11 % 40) as f64 / 10.0];
        Ball { x, mass: at as f32 / 4.0, number: at as u32 }
    }
}

impl Particle<2> for Ball {
    fn id(&self) -> u64 {
        u64::from(self.number)
    }
    fn position(&self) -> [f64; 2] {
        self.x
    }
    fn set_position(&mut self, x: [f64; 2]) {
        self.x = x;
    }
}

pub fn collections(world: &Comm) -> Result<()> {
    with_folder(world, |folder| {
        for way in ways(world) {
            let path = folder.join("c.h5");
            // Nothing on the first rank, most on the last.
            let share = |rank: usize| 41 * rank * rank / (world.size() * world.size());
            let mine = match world.size() {
                1 => 0..41,
                _ => {
                    share(world.rank())..if world.rank() + 1 == world.size() {
                        41
                    } else {
                        share(world.rank() + 1)
                    }
                }
            };
            let balls = DistVec::new(world, mine.map(Ball::new))?;
            let mut file = create(world, &path, way)?;
            balls.write(&mut file, "balls")?;
            balls.clone().map(|ball| ball.mass).write(&mut file, "mass")?;
            balls.clone().map(|ball| ball.x).write(&mut file, "x")?;
            balls.clone().filter(|_| false).write(&mut file, "none")?;
            file.finish()?;
            first(world, || {
                let file = hdf5::File::open(&path).expect("HDF5 opens it");
                let x = file.dataset("x").expect("a dataset");
                assert_eq!(x.shape(), [41, 2]);
                assert_eq!(
                    x.read_raw::<f64>().unwrap(),
                    (0..41).flat_map(|at| Ball::new(at).x).collect::<Vec<_>>()
                );
            })?;
            let some = others(world)?;
            let all: Vec<Ball> = (0..41).map(Ball::new).collect();
            let back = DistVec::<Ball>::read(&some, &path, "balls")?;
            assert_eq!(back.to_vec()?, all);
            assert!(back.local().len().abs_diff(41 / some.size()) <= 1);
            let masses = DistVec::<f64>::read(world, &path, "mass")?.to_vec()?;
            assert!(masses.iter().zip(&all).all(|(&mass, ball)| mass == f64::from(ball.mass)));
            assert_eq!(DistVec::<Ball>::read(world, &path, "none")?.len()?, 0);
            let words = refused(world, DistVec::<[f64; 3]>::read(world, &path, "x"))?;
            assert!(words.starts_with("4 ") && words.contains("[41, 2]"), "{words}");
            let words = refused(world, DistVec::<i32>::read(world, &path, "mass"))?;
            assert!(words.starts_with("4 "), "{words}");
            world.barrier()?;
        }
        Ok(())
    })
}

pub fn crowds(world: &Comm) -> Result<()> {
    with_folder(world, |folder| {
        let make = |comm: &Comm| -> Result<Particles<Ball, 2>> {
            let grid = Grid::over(comm, [8, 8]).leave_idle().build()?;
            let mine = (comm.rank()..60).step_by(comm.size()).map(Ball::new);
            Particles::new(&grid, [0.0; 2], [4.0; 2], mine)
        };
        let write = |comm: &Comm, path: &Path, way: Way| -> Result<()> {
            let balls = make(comm)?;
            let mut file = create(comm, path, way)?;
            balls.write(&mut file, "balls")?;
            balls.column(|ball| ball.mass)?.write(&mut file, "balls/mass")?;
            file.finish()
        };
        for way in ways(world) {
            let path = folder.join("p.h5");
            write(world, &path, way)?;
            first(world, || {
                let file = hdf5::File::open(&path).expect("HDF5 opens it");
                let of = |name: &str| file.dataset(&format!("balls/{name}")).expect("a dataset");
                assert_eq!(of("id").read_raw::<u64>().unwrap(), (0..60).collect::<Vec<u64>>());
                let x: Vec<f64> = (0..60).flat_map(|at| Ball::new(at).x).collect();
                assert_eq!(of("position").read_raw::<f64>().unwrap(), x);
                let mass: Vec<f32> = (0..60).map(|at| at as f32 / 4.0).collect();
                assert_eq!(of("mass").read_raw::<f32>().unwrap(), mass);
            })?;
            let some = others(world)?;
            let grid = Grid::over(&some, [5, 9]).leave_idle().build()?;
            let back = Particles::<Ball, 2>::read(&grid, [0.0; 2], [4.0; 2], &path, "balls")?;
            assert_eq!(back.checksum()?, make(world)?.checksum()?);
            // A box that not all of them are in.
            let words =
                refused(world, Particles::<Ball, 2>::read(&grid, [0.0; 2], [2.0; 2], &path, "balls"))?;
            assert!(words.contains("outside the box"), "{words}");
            world.barrier()?;
        }
        // One rank writes the same bytes.
        let alone = world.split(Some(world.rank() as u32), 0)?.expect("a color was given");
        let (all, one) = (folder.join("all.h5"), folder.join(format!("{}.h5", world.rank())));
        write(world, &all, Way::Direct)?;
        write(&alone, &one, Way::Direct)?;
        world.barrier()?;
        assert!(std::fs::read(&all).ok() == std::fs::read(&one).ok() && all.exists());
        assert_eq!(Reader::open(world, &all, Some("balls/position"))?.shape(), [60, 2]);
        world.barrier()
    })
}
