//! HDF5 files: written by all ranks in every way, read back by others; the same bytes as one rank writes.

use super::scratch::{first, refused, with_folder};
use num_complex::Complex;
use rankine::output::{Attribute, Format, Reader, Storage, Way, Writer};
use rankine::sparse::{Distribution, Vector};
use rankine::{Comm, Element, Field, Grid, Result};
use std::path::Path;

/// The ways this engine and this build have.
pub fn ways(world: &Comm) -> Vec<Way> {
    let mut ways = vec![Way::Direct, Way::InTurn];
    ways.extend(can_share(world).then_some(Way::Together));
    ways
}

fn can_share(world: &Comm) -> bool {
    cfg!(feature = "hdf5-parallel") && world.engine_name() == "mpi"
}

pub fn create(world: &Comm, path: &Path, way: Way) -> Result<Writer> {
    match way {
        Way::Direct => Writer::create(world, path),
        Way::InTurn => Writer::create_in_turn(world, path),
        Way::Together => Writer::create_together(world, path),
    }
}

/// The ranks of one parity.
pub fn others(world: &Comm) -> Result<Comm> {
    let parity = world.rank() as u32 % 2;
    Ok(world.split(Some(parity), 0)?.expect("a part"))
}

/// Blocks as uneven as they can be: along the first axis rank r has twice as many cells as the one before, or so.
fn uneven<const D: usize>(world: &Comm, cells: [usize; D], halo: usize) -> Result<Grid<D>> {
    let (ranks, n) = (world.size(), cells[0]);
    let weights = ranks * (ranks + 1) / 2;
    let fits = n >= 4 * weights;
    if !fits {
        return Grid::over(world, cells).halo(halo).leave_idle().build();
    }
    let mut sizes: Vec<usize> = (1..=ranks).map(|rank| n * rank / weights).collect();
    sizes[ranks - 1] += n - sizes.iter().sum::<usize>();
    let mut blocks: [Vec<usize>; D] = std::array::from_fn(|axis| vec![cells[axis]]);
    blocks[0] = sizes;
    Grid::over(world, cells).halo(halo).blocks(blocks).build()
}

/// The row-major number of a cell.
fn number<const D: usize>(cells: [usize; D], cell: [usize; D]) -> usize {
    (0..D).fold(0, |at, axis| at * cells[axis] + cell[axis])
}

/// Written in every way, looked at through HDF5's own reading on rank 0, and read back on two other decompositions.
fn there_and_back<T, const D: usize>(
    world: &Comm,
    folder: &Path,
    cells: [usize; D],
    value: impl Fn(usize) -> T + Sync + Copy,
    native: impl Fn(&hdf5::Dataset) -> Vec<u8>,
) -> Result<()>
where
    T: Element + PartialEq,
{
    let expected: Vec<T> = (0..cells.iter().product()).map(value).collect();
    let at = |cell: [usize; D]| value(number(cells, cell));
    for way in ways(world) {
        let path = folder.join("a.h5");
        let field = Field::from_fn(&uneven(world, cells, 1)?, at)?;
        let mut file = create(world, &path, way)?;
        assert_eq!(file.way(), way);
        file.write("steps/7/u", &field)?;
        file.finish()?;
        first(world, || {
            let file = hdf5::File::open(&path).expect("HDF5 opens it");
            let found = native(&file.dataset("steps/7/u").expect("the dataset"));
            assert!(found == bytemuck::cast_slice::<T, u8>(&expected), "{way:?} {}", T::KIND.name());
        })?;
        // All of them on an even grid, and each half for itself.
        for comm in [world.dup()?, others(world)?] {
            let input = Reader::open(&comm, &path, Some("steps/7/u"))?;
            let grid = Grid::over(&comm, cells).halo(0).leave_idle().build()?;
            let mut back = Field::new(&grid, T::zeroed())?;
            input.read_into(&mut back)?;
            assert!(back.iter().all(|(cell, found)| found == at(cell)), "{way:?} {}", T::KIND.name());
        }
        world.barrier()?;
    }
    Ok(())
}

fn raw<T: hdf5::H5Type + bytemuck::Pod>(dataset: &hdf5::Dataset) -> Vec<u8> {
    let numbers: Vec<T> = dataset.read_raw().expect("its numbers");
    bytemuck::cast_slice(&numbers).to_vec()
}

pub fn every_number(world: &Comm) -> Result<()> {
    with_folder(world, |folder| {
        macro_rules! numbers {
            ($($type:ty: $value:expr;)*) => {$(
                there_and_back::<$type, 2>(world, folder, [17, 5], $value, raw::<$type>)?;
            )*};
        }
        numbers! {
            i8: |n| (n as i8).wrapping_mul(7);
            i16: |n| n as i16 * -300;
            i32: |n| n as i32 * -70_000;
            i64: |n| n as i64 * -(1 << 50);
            u8: |n| n as u8;
            u16: |n| n as u16 * 700;
            u32: |n| n as u32 * 40_000_000;
            u64: |n| n as u64 * (1 << 55);
            f32: |n| n as f32 * 0.1 - 3.0;
            f64: |n| if n == 4 { f64::INFINITY } else { n as f64 * 0.1 };
        }
        // One axis more, of their parts.
        let pair = |n: usize| Complex::new(n as f64, -0.5 * n as f64);
        there_and_back::<Complex<f64>, 2>(world, folder, [6, 5], pair, |dataset| {
            assert_eq!(dataset.shape(), [6, 5, 2]);
            raw::<f64>(dataset)
        })?;
        there_and_back::<u128, 1>(
            world,
            folder,
            [9],
            |n| (n as u128) << 70 | 3,
            |dataset| {
                assert_eq!(dataset.shape(), [9, 2]);
                raw::<u64>(dataset)
            },
        )?;
        there_and_back::<[i16; 3], 1>(
            world,
            folder,
            [11],
            |n| [n as i16, -1, 5],
            |dataset| {
                assert_eq!(dataset.shape(), [11, 3]);
                raw::<i16>(dataset)
            },
        )
    })
}

pub fn one_to_four_axes(world: &Comm) -> Result<()> {
    with_folder(world, |folder| {
        there_and_back::<f64, 1>(world, folder, [301], |n| n as f64, raw::<f64>)?;
        there_and_back::<f32, 3>(world, folder, [120, 3, 4], |n| n as f32, raw::<f32>)?;
        there_and_back::<i32, 3>(world, folder, [2, 3, 40], |n| n as i32, raw::<i32>)?;
        there_and_back::<u16, 4>(world, folder, [9, 4, 5, 6], |n| n as u16, raw::<u16>)
    })
}

/// What all ranks write in one piece is to the byte what one rank writes alone, whatever else is in the file.
pub fn the_same_bytes_as_one_rank(world: &Comm) -> Result<()> {
    with_folder(world, |folder| {
        let write = |comm: &Comm, name: &str, way: Way| -> Result<()> {
            let grid = uneven(comm, [100, 7], 2)?;
            let field = Field::from_fn(&grid, |[y, x]| (y * 7 + x) as f64 * 0.1)?;
            let faces = Field::staggered(&grid, [true, false], 2.5f32)?;
            let mut file = create(comm, &folder.join(name), way)?;
            file.attribute("/", "kernel", "waves")?;
            file.write("g/u", &field)?;
            file.attribute("g/u", "unit", "µm/s")?;
            file.attribute("g/u", "spacing", [0.1, 2.0])?;
            file.write("g/faces", &faces)?;
            file.finish()
        };
        let alone = world.split(Some(world.rank() as u32), 0)?.expect("itself");
        for way in [Way::Direct, Way::InTurn] {
            if world.rank() + 1 == world.size() {
                write(&alone, "one.h5", way)?;
            }
            write(world, "all.h5", way)?;
            first(world, || {
                let read = |name: &str| std::fs::read(folder.join(name)).expect("a file");
                assert!(read("one.h5") == read("all.h5"), "{way:?}");
            })?;
        }
        Ok(())
    })
}

pub fn staggered_fields(world: &Comm) -> Result<()> {
    with_folder(world, |folder| {
        for (periodic, points) in [([false; 3], [8, 5, 7]), ([true, false, true], [7, 5, 6])] {
            let path = folder.join("s.h5");
            let axes = [true, false, true];
            let grid = Grid::over(world, [7, 5, 6]).halo(0).periodic(periodic).leave_idle().build()?;
            let value = |[z, y, x]: [usize; 3]| (z * 100 + y * 10 + x) as f64;
            let mut field = Field::staggered(&grid, axes, -1.0)?;
            field.each_mut(|point, u| *u = value(point));
            let mut file = Writer::create(world, &path)?;
            file.write_field("u", &field)?;
            file.finish()?;
            let input = Reader::open(world, &path, None)?;
            assert_eq!(input.cells::<3>()?, points);
            let mut back = Field::staggered(&grid, axes, 0.0)?;
            input.read_field(&mut back)?;
            assert!(back.iter().all(|(point, u)| u == value(point)));
            // As an array of its own, on a grid of points.
            let plain = Grid::over(world, points).leave_idle().build()?;
            let mut back = Field::new(&plain, 0.0)?;
            input.read_field(&mut back)?;
            assert!(back.iter().all(|(point, u)| u == value(point)));
            world.barrier()?;
        }
        Ok(())
    })
}

/// Parts of a dataset, read by all and by each half of the ranks, in another number type.
pub fn parts_and_attributes(world: &Comm) -> Result<()> {
    with_folder(world, |folder| {
        let path = folder.join("p.h5");
        let value = |[z, y, x]: [usize; 3]| (z * 300 + y * 17 + x) as i32;
        let special = [0.1, f64::NAN, f64::NEG_INFINITY, -0.0];
        for (way, storage) in
            [(Way::Direct, Storage::new()), (Way::InTurn, Storage::new().chunk([4, 3, 5]).deflate(3))]
        {
            let mut file = create(world, &path, way)?;
            let field = Field::from_fn(&uneven(world, [8, 9, 10], 1)?, value)?;
            file.write_as("u", &field, &storage)?;
            file.attribute("u", "note", "first")?;
            file.attribute("u", "note", "°C")?;
            file.attribute("u", "special", special)?;
            file.finish()?;
            for comm in [world.dup()?, others(world)?] {
                let input = Reader::open(&comm, &path, Some("u"))?;
                assert_eq!((input.shape(), input.element()), (&[8, 9, 10][..], "i32"));
                assert_eq!(input.text("note"), Some("°C"));
                let found = input.numbers("special").expect("numbers");
                assert!(found.iter().zip(&special).all(|(a, b)| a.to_bits() == b.to_bits()));
                assert_eq!(input.attributes().count(), 2);
                assert!(input.attributes().any(|(_, value)| matches!(value, Attribute::Text(_))));
                let grid = Grid::over(&comm, [3, 2, 4]).halo(0).leave_idle().build()?;
                for from in [[0, 0, 0], [5, 7, 6], [2, 3, 1]] {
                    let mut part = Field::new(&grid, 0.0f64)?;
                    input.read_region(&from, &mut part)?;
                    let at = |cell: [usize; 3]| value(std::array::from_fn(|axis| cell[axis] + from[axis]));
                    assert!(part.iter().all(|(cell, found)| found == f64::from(at(cell))), "{from:?}");
                }
                let mut part = Field::new(&grid, 0.0f64)?;
                for from in [&[6, 0, 0][..], &[0, 0], &[0, 0, usize::MAX]] {
                    let said = refused(&comm, input.read_region(from, &mut part))?;
                    assert!(said.starts_with("4 ") && said.contains("do not lie in it"), "{said}");
                }
            }
            world.barrier()?;
        }
        Ok(())
    })
}

pub fn chunks_and_compression(world: &Comm) -> Result<()> {
    with_folder(world, |folder| {
        let path = folder.join("c.h5");
        let value = |[y, x]: [usize; 2]| (y / 3 + x) as f64;
        for way in ways(world) {
            for storage in [
                Storage::new().chunk([7, 8]),
                Storage::new().chunk([10, 3]).deflate(6),
                Storage::new().chunk([10, 3]).deflate(1).checksums().format(Format::F32),
                Storage::new().format(Format::U16),
            ] {
                let mut file = create(world, &path, way)?;
                let field = Field::from_fn(&uneven(world, [90, 20], 1)?, value)?;
                let written = file.write_as("u", &field, &storage);
                let converted = Storage::new().chunk([10, 3]).deflate(1).checksums().format(Format::F32);
                if way == Way::Together && storage == converted {
                    // Parallel HDF5 cannot; everybody hears of it, and of the way out.
                    let said = refused(world, written)?;
                    assert!(said.starts_with("2 ") && said.contains("or use Writer::create"), "{said}");
                    continue;
                }
                written?;
                file.write("after", &field)?;
                file.finish()?;
                first(world, || {
                    let file = hdf5::File::open(&path).expect("HDF5 opens it");
                    let found: Vec<f64> = file.dataset("u").expect("u").read_raw().expect("numbers");
                    let expected = (0..1800).map(|n| value([n / 20, n % 20]));
                    assert!(expected.eq(found), "{way:?} {storage:?}");
                })?;
                let comm = others(world)?;
                for name in ["u", "after"] {
                    let grid = Grid::over(&comm, [90, 20]).leave_idle().build()?;
                    let mut back = Field::new(&grid, 0.0)?;
                    Reader::open(&comm, &path, Some(name))?.read_field(&mut back)?;
                    assert!(back.iter().all(|(cell, found)| found == value(cell)), "{way:?} {storage:?}");
                }
                world.barrier()?;
            }
            // What cannot be is refused on all ranks, before anything is written, and the file goes on.
            let mut file = create(world, &path, way)?;
            let field = Field::from_fn(&uneven(world, [90, 20], 1)?, value)?;
            for (storage, says) in [
                (Storage::new().deflate(3), "compression without chunks"),
                (Storage::new().chunk([91, 1]), "longer than its array"),
                (Storage::new().chunk([3]), "chunks of [3]"),
                (Storage::new().chunk([9, 9]).deflate(10), "level 10"),
            ] {
                let said = refused(world, file.write_as("u", &field, &storage))?;
                assert!(said.starts_with("2 ") && said.contains(says), "{said}");
            }
            file.write("u", &field)?;
            file.finish()?;
        }
        Ok(())
    })
}

/// Mistakes and damage: an error on every rank, and nothing left behind.
pub fn mistakes(world: &Comm) -> Result<()> {
    with_folder(world, |folder| {
        let path = folder.join("m.h5");
        let field = Field::from_fn(&uneven(world, [20, 3], 1)?, |[y, x]| (y + x) as f64)?;
        if !can_share(world) {
            let said = refused(world, Writer::create_together(world, &path).map(drop))?;
            assert!(said.starts_with("2 ") && said.contains("Writer::create does without"), "{said}");
        }
        for way in ways(world) {
            let mut file = create(world, &path, way)?;
            file.write("u", &field)?;
            let said = refused(world, file.write("u", &field))?;
            assert!(said.starts_with("4 ") && said.contains("already has something of that name"), "{said}");
            let said = refused(world, file.write("u/v", &field))?;
            assert!(said.starts_with("4 ") && said.contains("m.h5:/u/v"), "{said}");
            let said = refused(world, file.attribute("nowhere", "a", 1.0))?;
            assert!(said.starts_with("4 ") && said.contains("nowhere"), "{said}");
            // Not finished: no file, and no part of one.
            drop(file);
            first(world, || {
                assert_eq!(std::fs::read_dir(folder).expect("the folder").count(), 0, "{way:?}")
            })?;
        }
        first(world, || std::fs::write(folder.join("file"), "in the way").expect("a file"))?;
        for way in ways(world) {
            let said = refused(world, create(world, &folder.join("file/x.h5"), way).map(drop))?;
            assert!(said.starts_with("4 ") && said.contains("in the way"), "{said}");
            let said = refused(world, create(world, folder, way).map(drop))?;
            assert!(said.starts_with("4 ") && said.contains("it is a folder"), "{said}");
        }
        let mut file = Writer::create(world, &path)?;
        file.write("u", &field)?;
        file.write("v", &field)?;
        file.finish()?;
        let said = refused(world, Reader::open(world, &path, None).map(drop))?;
        assert!(said.contains("several datasets") && said.contains("/u, /v"), "{said}");
        let said = refused(world, Reader::open(world, &path, Some("w")).map(drop))?;
        assert!(said.starts_with("4 ") && said.contains("did you mean"), "{said}");
        let input = Reader::open(world, &path, Some("u"))?;
        let grid = Grid::over(world, [3, 20]).leave_idle().build()?;
        let said = refused(world, input.read_into(&mut Field::new(&grid, 0.0)?))?;
        assert!(said.contains("[20, 3]") && said.contains("[3, 20]"), "{said}");
        let mut bytes = Field::new(field.grid(), 0u8)?;
        input.read_into(&mut bytes)?;
        // Only the last rank's number does not fit.
        let large = Field::from_fn(field.grid(), |[y, x]| if (y, x) == (19, 2) { 256.0 } else { 1.0 })?;
        let mut file = Writer::create(world, &path)?;
        file.write("u", &large)?;
        file.finish()?;
        let said = refused(world, Reader::open(world, &path, None)?.read_into(&mut bytes))?;
        assert!(said.starts_with("4 ") && said.contains("too large"), "{said}");
        // Cut short, and after it was looked at, too.
        let input = Reader::open(world, &path, None)?;
        first(world, || {
            let whole = std::fs::read(&path).expect("the file");
            std::fs::write(&path, &whole[..whole.len() - 40]).expect("a shorter one");
        })?;
        let said = refused(world, input.read_into(&mut Field::new(field.grid(), 0.0)?))?;
        assert!(said.starts_with("4 ") && said.contains("cut short"), "{said}");
        let said = refused(world, Reader::open(world, &path, None).map(drop))?;
        assert!(said.starts_with("4 ") && said.contains("cut short"), "{said}");
        Ok(())
    })
}

/// Vectors, however their indices are dealt to those who write and to those who read.
pub fn vectors(world: &Comm) -> Result<()> {
    with_folder(world, |folder| {
        let path = folder.join("v.h5");
        let last = world.rank() + 1 == world.size();
        let all = Distribution::of_local(world, if last { 41 } else { 0 })?;
        let steps = Distribution::of_local(world, 3 * world.rank() + 1)?;
        for rows in [Distribution::even(world, 41)?, all, steps] {
            let total = rows.total();
            let real = Vector::from_fn(&rows, |i| i as f64 * 0.1);
            let complex = Vector::from_fn(&rows, |i| Complex::new(i as f32, -1.0));
            let mut file = Writer::create(world, &path)?;
            file.write("real", &real)?;
            file.write("complex", &complex)?;
            file.finish()?;
            first(world, || {
                let file = hdf5::File::open(&path).expect("HDF5 opens it");
                let found: Vec<f64> = file.dataset("real").expect("real").read_raw().expect("numbers");
                assert!((0..total).map(|i| i as f64 * 0.1).eq(found));
                assert_eq!(file.dataset("complex").expect("complex").shape(), [total, 2]);
            })?;
            let comm = others(world)?;
            let even = Distribution::even(&comm, total)?;
            let mut back = Vector::<f64>::zeros(&even);
            Reader::open(&comm, &path, Some("real"))?.read_into(&mut back)?;
            assert!(even.range().zip(back.local()).all(|(i, &x)| x == i as f64 * 0.1));
            let mut back = Vector::<Complex<f32>>::zeros(&even);
            Reader::open(&comm, &path, Some("complex"))?.read_into(&mut back)?;
            assert!(even.range().zip(back.local()).all(|(i, &z)| z == Complex::new(i as f32, -1.0)));
            let mut short = Vector::<f64>::zeros(&Distribution::even(&comm, total + 1)?);
            let said = refused(&comm, Reader::open(&comm, &path, Some("real"))?.read_into(&mut short))?;
            assert!(said.starts_with("4 ") && said.contains(&format!("[{}]", total + 1)), "{said}");
            let real = Reader::open(&comm, &path, Some("real"))?;
            let said = refused(&comm, real.read_into(&mut Vector::<Complex<f64>>::zeros(&even)))?;
            assert!(said.starts_with("4 ") && said.contains("array to fill has"), "{said}");
            world.barrier()?;
        }
        Ok(())
    })
}
