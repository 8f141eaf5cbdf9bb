//! HDF5 in and out on the Local engine: what is written on some ranks reads back the same on others, and what cannot
//! be read is an error with a remedy, on every rank.
//!
//! Damaged files are in `output_damage`; the Mpi engine is tried by the example `output`.
#![cfg(feature = "hdf5")]

use rankine::output::{Attribute, Format, InputSpec, Layout, Numeric, Reader, Slab, SlabMut, Way, Writer};
use rankine::testing::{ranks, try_ranks};
use rankine::{Comm, Error, Field, Grid, Result};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

const CELLS: [usize; 3] = [5, 6, 7];

/// A rank's block of [`CELLS`]: shared out along the first axis (unevenly, some ranks have nothing) or the last.
fn layout(world: &Comm, halo: usize, axis: usize) -> Result<Layout<3>> {
    let (size, rank) = (world.size(), world.rank());
    let at = |rank: usize| CELLS[axis] * rank * rank / (size * size);
    let (mut start, mut shape) = ([0; 3], CELLS);
    (start[axis], shape[axis]) = (at(rank), at(rank + 1) - at(rank));
    Layout::new(CELLS, start, shape, halo)
}

/// Every cell its own number, the halo something else.
fn storage<T: Copy>(layout: &Layout<3>, halo: T, value: impl Fn(usize) -> T) -> Vec<T> {
    let [high, wide, deep] = layout.padded();
    let (offset, start, shape) = (layout.offset(), layout.start(), layout.shape());
    let mut data = vec![halo; high * wide * deep];
    for z in 0..shape[0] {
        for y in 0..shape[1] {
            for x in 0..shape[2] {
                let global = ((z + start[0]) * CELLS[1] + y + start[1]) * CELLS[2] + x + start[2];
                data[((z + offset[0]) * wide + y + offset[1]) * deep + x + offset[2]] = value(global);
            }
        }
    }
    data
}

fn write_and_read<T: Numeric + PartialEq>(
    folder: &Path,
    value: impl Fn(usize) -> T + Send + Sync + Copy,
    halo: T,
) {
    let path = folder.join(format!("{:?}.h5", T::FORMAT));
    ranks([1, 2, 3, 4, 7], |world| {
        let mine = layout(world, 2, world.size() % 3)?;
        let data = storage(&mine, halo, value);
        let mut file = Writer::create(world, &path)?;
        assert_eq!(file.way(), Way::Direct);
        file.write("steps/000010/u", &Slab::new(&data, mine)?)?;
        file.finish()
    });
    ranks([1, 2, 3, 4], |world| {
        let input = Reader::open(world, &path, Some("steps/000010/u"))?;
        let mine = layout(world, 1, (world.size() + 1) % 3)?;
        assert_eq!(input.cells::<3>()?, CELLS);
        let mut data = storage(&mine, halo, |_| halo);
        input.read_into(&mut SlabMut::new(&mut data, mine)?)?;
        assert!(data == storage(&mine, halo, value));
        // The same as numbers for computing.
        let mut data = storage(&mine, -1.5, |_| 0.0);
        input.read_into(&mut SlabMut::new(&mut data, mine)?)?;
        assert_eq!(data, storage(&mine, -1.5, |cell| value(cell).to_f64()));
        Ok(())
    });
}

#[test]
fn what_is_written_reads_back_on_other_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_and_read(folder, |cell| cell as f64 * 0.1, -7.0);
    write_and_read(folder, |cell| cell as f32 * 0.1, 9.0);
    write_and_read(folder, |cell| cell as u8, 255);
    write_and_read(folder, |cell| cell as i8, -128);
    write_and_read(folder, |cell| cell as u16 * 300, 7);
    write_and_read(folder, |cell| -300 * (cell % 100) as i16, 7);
    write_and_read(folder, |cell| cell as u32 * 20_000_000, 7);
    write_and_read(folder, |cell| cell as i32 * -1000, 7);
    write_and_read(folder, |cell| cell as u64 * (1 << 40), 7);
    write_and_read(folder, |cell| cell as i64 * -(1 << 40), 7);
}

#[test]
fn a_field_on_a_grid_of_ranks_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out/field.h5");
    ranks([1, 2, 3, 4, 6], |world| {
        let value = |[y, x]: [usize; 2]| (100 * y + x) as f64;
        let grid = Grid::over(world, [11, 13]).halo(2).build()?;
        let field = Field::from_fn(&grid, value)?;
        let mut file = Writer::create(world, &path)?;
        file.write_field("u", &field)?;
        file.finish()?;
        let mut back = Field::new(&grid, 0.0)?;
        Reader::open(world, &path, None)?.read_field(&mut back)?;
        assert!(back.iter().all(|(cell, found)| found == value(cell)));
        Ok(())
    });
}

#[test]
fn attributes_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let numbers = [1.0, f64::NAN, f64::INFINITY, 0.1];
    ranks([1, 3], |world| {
        let mine = layout(world, 0, 0)?;
        let data = storage(&mine, 0u8, |_| 1);
        let mut file = Writer::create(world, &path)?;
        file.attribute("/", "kernel", "heat")?;
        file.write("u", &Slab::new(&data, mine)?)?;
        file.attribute("u", "unit", "µm/s")?;
        file.attribute("u", "empty", "")?;
        file.attribute("u", "spacing", numbers)?;
        file.attribute("u", "time", 1.0)?;
        file.attribute("u", "time", 2.5)?;
        assert!(
            file.attribute("nowhere", "x", 1.0).unwrap_err().what().contains("nowhere") || world.rank() > 0
        );
        file.finish()?;
        let input = Reader::open(world, &path, None)?;
        assert_eq!((input.dataset(), input.element()), ("/u", "u8"));
        assert_eq!((input.text("unit"), input.text("empty")), (Some("µm/s"), Some("")));
        let found = input.numbers("spacing").unwrap();
        assert!(found.iter().zip(&numbers).all(|(a, b)| a.to_bits() == b.to_bits()));
        assert_eq!(input.numbers("time"), Some(&[2.5][..]));
        assert_eq!((input.text("time"), input.numbers("unit"), input.attributes().count()), (None, None, 4));
        Ok(())
    });
}

#[test]
fn hdf5s_own_tools_open_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    ranks([3], |world| {
        let mine = layout(world, 1, 0)?;
        let data = storage(&mine, 0, |cell| cell as i32);
        let mut file = Writer::create(world, &path)?;
        file.write("group/u", &Slab::new(&data, mine)?)?;
        file.attribute("/", "kernel", "heat")?;
        file.finish()
    });
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let out =
        Command::new("h5dump").arg(&path).output().expect("h5dump must be installed (package hdf5-tools)");
    let shown = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success());
    for words in [
        "\"heat\"",
        "GROUP \"group\"",
        "H5T_STD_I32LE",
        "( 5, 6, 7 )",
        "(4,5,0): 203, 204, 205, 206, 207, 208, 209",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
}

#[test]
fn a_file_that_is_not_finished_does_not_appear() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.h5");
    let names = || std::fs::read_dir(folder.path()).unwrap().count();
    ranks([1, 3], |world| {
        let mut file = Writer::create(world, &path)?;
        let mine = layout(world, 0, 0)?;
        let data = storage(&mine, 0.0, |_| 1.0);
        file.write("u", &Slab::new(&data, mine)?)?;
        // A name that is taken is an error on every rank, and spoils nothing.
        assert!(file.write("u", &Slab::new(&data, mine)?).is_err());
        assert!(file.write("u/v", &Slab::new(&data, mine)?).is_err());
        world.barrier()?;
        assert!(!path.exists());
        Ok(())
    });
    assert_eq!(names(), 0);
    // A rank that fails by itself takes the job down; nothing stays.
    let outcome = try_ranks(3, true, |world| {
        let _file = Writer::create(world, &path)?;
        if world.rank() == 1 { Err(Error::usage("stop")) } else { world.barrier() }
    });
    assert_eq!(outcome.unwrap_err().what(), "stop");
    assert_eq!(names(), 0);
}

#[test]
fn places_that_cannot_be_written_are_errors_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    for (path, words) in [
        (folder.path().join("file/x.h5"), "in the way"),
        (folder.path().to_path_buf(), "it is a folder"),
        (Path::new("/proc/none/x.h5").to_path_buf(), "/proc/none"),
    ] {
        for size in [1, 3] {
            let error = try_ranks(size, true, |world| Writer::create(world, &path).map(drop)).unwrap_err();
            assert_eq!((error.exit_code(), error.rank()), (4, Some(0)));
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}

/// Held by who starts a process and by who has a file open that the library does not keep from it.
static ALONE: Mutex<()> = Mutex::new(());

/// A file of things that can and cannot be read, made with HDF5's own interface.
fn zoo(path: &Path) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let file = hdf5::File::create(path).unwrap();
    let numbers: Vec<i16> = (0..210).map(|cell| cell - 100).collect();
    let packed = file.new_dataset::<i16>().shape(CELLS).chunk([2, 3, 4]).shuffle().create("packed").unwrap();
    packed.write_raw(&numbers).unwrap();
    file.create_group("scans/deep").unwrap();
    file.new_dataset::<f64>()
        .shape(4)
        .create("scans/temperature")
        .unwrap()
        .write_raw(&[1.0, 2.0, 3.0, 4.0])
        .unwrap();
    file.new_dataset::<f64>().shape([3, 0]).create("nothing").unwrap();
    file.new_dataset::<f64>().shape(()).create("single").unwrap();
    file.new_dataset::<f64>().shape([1 << 20, 1 << 20]).chunk([1 << 10, 1 << 10]).create("claimed").unwrap();
    let text = file.new_dataset::<hdf5::types::VarLenUnicode>().shape(2).create("text").unwrap();
    text.write_raw(&["a".parse::<hdf5::types::VarLenUnicode>().unwrap(), "b".parse().unwrap()]).unwrap();
    file.new_dataset::<bool>().shape(2).create("flags").unwrap();
    let holes = file.new_dataset::<f64>().shape([2, 3]).create("holes").unwrap();
    holes.write_raw(&[0.0, 1.0, 2.0, 3.0, f64::NAN, f64::INFINITY]).unwrap();
    let title: hdf5::types::VarLenUnicode = "z y x".parse().unwrap();
    packed.new_attr::<hdf5::types::VarLenUnicode>().create("axes").unwrap().write_scalar(&title).unwrap();
    packed.new_attr::<f32>().shape(3).create("spacing_mm").unwrap().write_raw(&[1.0f32, 0.5, 2.0]).unwrap();
    packed.new_attr::<u8>().create("bits").unwrap().write_scalar(&16u8).unwrap();
    file.link_soft("/gone", "dangling").unwrap();
}

#[test]
fn other_programs_files_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zoo.h5");
    zoo(&path);
    ranks([1, 2, 3, 4], |world| {
        let spec: InputSpec = format!("{}:/packed", path.display()).parse()?;
        let input = Reader::open_spec(world, &spec)?;
        assert_eq!((input.shape(), input.element()), (&CELLS[..], "i16"));
        assert_eq!(input.text("axes"), Some("z y x"));
        assert_eq!(input.numbers("spacing_mm"), Some(&[1.0, 0.5, 2.0][..]));
        assert_eq!(
            input.attributes().find(|(name, _)| *name == "bits").unwrap().1,
            &Attribute::Numbers(vec![16.0])
        );
        let mine = layout(world, 1, 2)?;
        let mut data = storage(&mine, 0.25, |_| 0.0);
        input.read_finite(&mut SlabMut::new(&mut data, mine)?)?;
        assert_eq!(data, storage(&mine, 0.25, |cell| cell as f64 - 100.0));
        Ok(())
    });
}

#[test]
fn a_process_started_meanwhile_keeps_no_file_locked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let children = Mutex::new(Vec::new());
    ranks([1, 3], |world| {
        let mine = layout(world, 0, 0)?;
        let data = storage(&mine, 0, |cell| cell as i32);
        let mut file = Writer::create(world, &path)?;
        file.write("u", &Slab::new(&data, mine)?)?;
        if world.rank() == 0 {
            children.lock().unwrap().push(Command::new("sleep").arg("60").spawn().unwrap());
        }
        file.finish()?;
        Reader::open(world, &path, None).map(drop)
    });
    for mut child in children.into_inner().unwrap() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_file_that_is_locked_for_a_moment_is_waited_for() {
    use rustix::fs::{FlockOperation, flock};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zoo.h5");
    zoo(&path);
    let holder = std::fs::File::open(&path).unwrap();
    let open = |world: &Comm| Reader::open(world, &path, Some("packed")).map(drop);
    for size in [1, 3] {
        flock(&holder, FlockOperation::LockExclusive).unwrap();
        let error = try_ranks(size, true, open).unwrap_err();
        assert_eq!((error.exit_code(), error.rank()), (4, Some(0)));
        assert!(error.to_string().contains("another program has it open"), "{error}");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(std::time::Duration::from_millis(200));
                flock(&holder, FlockOperation::Unlock).unwrap();
            });
            try_ranks(size, true, open).unwrap();
        });
    }
}

#[test]
fn what_cannot_be_read_is_said_clearly() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let path = at("zoo.h5");
    zoo(&path);
    std::fs::write(at("text.h5"), "not HDF5\n".repeat(200)).unwrap();
    std::fs::write(at("empty.h5"), "").unwrap();
    hdf5::File::create(at("bare.h5")).unwrap();
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(at("short.h5"), &whole[..whole.len() / 2]).unwrap();
    let cases: &[(&str, Option<&str>, &[&str])] = &[
        ("missing.h5", None, &["missing.h5", "No such file", "help"]),
        ("", None, &["it is a folder"]),
        ("zoo.h5/x.h5", None, &["Not a directory"]),
        ("text.h5", None, &["not an HDF5 file"]),
        ("empty.h5", None, &["it is empty"]),
        ("short.h5", None, &["cut short", "eof"]),
        ("bare.h5", None, &["no dataset"]),
        ("bare.h5", Some("u"), &["no such dataset", "the file has no datasets"]),
        ("zoo.h5", None, &["several datasets", "name one, as in", "/scans/temperature"]),
        ("zoo.h5", Some("pakced"), &["zoo.h5:/pakced", "did you mean /packed?"]),
        ("zoo.h5", Some("/scans/Temperature"), &["did you mean /scans/temperature?"]),
        ("zoo.h5", Some("/scans/temperature/x"), &["no such dataset"]),
        ("zoo.h5", Some("something quite different"), &["no such dataset", "help: the file has"]),
        ("zoo.h5", Some("scans"), &["is a group", "/scans/temperature"]),
        ("zoo.h5", Some("/"), &["is a group"]),
        ("zoo.h5", Some("text"), &["holds strings"]),
        ("zoo.h5", Some("flags"), &["holds an enumeration"]),
        ("zoo.h5", Some("nothing"), &["no elements", "[3, 0]"]),
        ("zoo.h5", Some("single"), &["single value"]),
        ("zoo.h5", Some("claimed"), &["[1048576, 1048576]", "nobody wrote it"]),
        ("zoo.h5", Some("dangling"), &["a link leads nowhere"]),
    ];
    for (name, dataset, words) in cases {
        for size in [1, 3] {
            let error =
                try_ranks(size, true, |world| Reader::open(world, at(name), *dataset).map(drop)).unwrap_err();
            assert_eq!((error.exit_code(), error.rank()), (4, Some(0)), "{name} {dataset:?}: {error}");
            let said = error.to_string();
            assert!(words.iter().all(|word| said.contains(word)), "{name} {dataset:?}: {said}");
        }
    }
}

#[test]
fn arrays_of_another_shape_and_cells_that_are_not_finite_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zoo.h5");
    zoo(&path);
    for size in [1, 2, 3] {
        let error = try_ranks(size, true, |world| {
            let input = Reader::open(world, &path, Some("holes"))?;
            assert!(input.cells::<3>().unwrap_err().to_string().contains("has 2 axes, [2, 3]; 3 are needed"));
            let grid = Grid::new(world, input.cells::<2>()?)?;
            input.read_field(&mut Field::new(&grid, 0.0)?)
        })
        .unwrap_err();
        assert!(
            error.what().contains("/holes: 2 cells are NaN or infinite, the first at index [1, 1]"),
            "{error}"
        );
        let error = try_ranks(size, true, |world| {
            let grid = Grid::new(world, [3, 2])?;
            Reader::open(world, &path, Some("holes"))?.read_field(&mut Field::new(&grid, 0.0)?)
        })
        .unwrap_err();
        assert!(error.what().contains("[2, 3]") && error.what().contains("[3, 2]"), "{error}");
    }
}

#[test]
fn the_same_numbers_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, size: usize| {
        let path = folder.path().join(name);
        ranks([size], |world| {
            let mine = layout(world, 1, 0)?;
            let data = storage(&mine, f32::NAN, |cell| cell as f32);
            let mut file = Writer::create_in_turn(world, &path)?;
            file.write("u", &Slab::new(&data, mine)?)?;
            file.attribute("u", "time", 0.5)?;
            file.finish()
        });
        std::fs::read(path).unwrap()
    };
    let one = write("one.h5", 1);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert!(one == write("three.h5", 3));
    assert_eq!(Format::F32.bytes(), 4);
}
