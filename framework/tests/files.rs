//! Files of every kind on threads: numbers converted and checked, parts of datasets, chunks and compression, time series,
//! NumPy's files, profiles.
#![cfg(feature = "hdf5")]

use num_complex::Complex;
use rankine::output::{Format, Layout, Numeric, Reader, Slab, SlabMut, Storage, Writer, npy, plot};
use rankine::testing::{ranks, try_ranks};
use rankine::{Comm, Element, Field, Grid, Result};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by each test: a process that one starts inherits the files that another has open just then, with HDF5's locks.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes numbers as `F`, and reads them as `T`.
fn converted<F: Numeric, T: Numeric>(path: &Path, numbers: &[F]) -> Result<Vec<T>> {
    let out = Mutex::new(Vec::new());
    try_ranks(2, true, |world| {
        let half = numbers.len() / 2;
        let (start, len) = if world.rank() == 0 { (0, half) } else { (half, numbers.len() - half) };
        let layout = Layout::new([numbers.len()], [start], [len], 0)?;
        let mut file = Writer::create(world, path)?;
        file.write("u", &Slab::new(&numbers[start..start + len], layout)?)?;
        file.finish()?;
        let mut back = vec![T::zeroed(); len];
        Reader::open(world, path, None)?.read_into(&mut SlabMut::new(&mut back, layout)?)?;
        if let Some((all, _)) = world.gatherv(&back, 0)? {
            *out.lock().unwrap() = all;
        }
        Ok(())
    })?;
    Ok(out.into_inner().unwrap())
}

#[test]
fn numbers_are_converted_and_what_does_not_fit_is_refused() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    macro_rules! fits {
        ($from:ty => $to:ty: $numbers:expr) => {
            let numbers: Vec<$from> = $numbers.to_vec();
            let wanted: Vec<$to> = numbers.iter().map(|&n| n as $to).collect();
            assert_eq!(converted::<$from, $to>(&path, &numbers).unwrap(), wanted);
        };
    }
    macro_rules! refuses {
        ($from:ty => $to:ty: $numbers:expr, $words:expr) => {
            let numbers: Vec<$from> = $numbers.to_vec();
            let error = converted::<$from, $to>(&path, &numbers).unwrap_err();
            assert!(error.exit_code() == 4 && error.what().contains($words), "{error}");
        };
    }
    fits!(u8 => f64: [0, 1, 255, 7]);
    fits!(i16 => i8: [-128, 127, 0]);
    fits!(f64 => i32: [-3.0, 0.0, 2147483647.0]);
    fits!(f64 => f32: [0.1, -1e30, f64::INFINITY, f64::NEG_INFINITY]);
    fits!(f32 => f64: [0.1, f32::MAX]);
    fits!(i64 => f64: [1 << 53, -(1 << 40), 0]);
    fits!(u64 => u16: [65535, 0, 1]);
    fits!(u32 => i64: [u32::MAX, 0]);
    refuses!(u16 => u8: [255, 256], "too large");
    refuses!(i32 => u32: [0, 1, -1], "too small");
    refuses!(i64 => i32: [i64::MIN, 0], "too small");
    refuses!(f64 => u8: [1.0, 300.0], "too large");
    refuses!(f64 => i16: [0.0, 1.5], "fraction");
    refuses!(f64 => i64: [0.0, f64::NAN], "converted to an integer");
    refuses!(f64 => f32: [1.0, 1e300], "too large");
    refuses!(u64 => f64: [0, u64::MAX - 1], "more digits");
    // As it is written, too.
    for (numbers, fits) in [([1.0, -7.0], true), ([1.0, 128.0], false), ([0.5, 1.0], false)] {
        let written = try_ranks(2, true, |world| {
            let layout = Layout::new([2], [world.rank()], [1], 0)?;
            let mut file = Writer::create(world, &path)?;
            let mine = [numbers[world.rank()]];
            file.write_as("u", &Slab::new(&mine, layout)?, &Storage::new().format(Format::I8))?;
            file.finish()
        });
        assert_eq!(written.is_ok(), fits, "{numbers:?}");
    }
}

fn value([z, y, x]: [usize; 3]) -> f64 {
    (1000 * z + 40 * y) as f64 + x as f64 * 0.5
}

#[test]
fn a_part_of_a_dataset_is_read_as_an_array_of_its_own() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    for storage in [Storage::new(), Storage::new().chunk([2, 3, 4]).deflate(3)] {
        ranks([3], |world| {
            let grid = Grid::over(world, [6, 7, 8]).build()?;
            let mut file = Writer::create(world, &path)?;
            file.write_as("u", &Field::from_fn(&grid, value)?, &storage)?;
            file.finish()
        });
        ranks([1, 2, 3, 4, 6], |world| {
            let input = Reader::open(world, &path, Some("u"))?;
            let grid = Grid::over(world, [3, 4, 5]).build()?;
            let mut part = Field::new(&grid, 0.0)?;
            for from in [[0, 0, 0], [3, 3, 3], [1, 2, 0]] {
                input.read_region(&from, &mut part)?;
                let at = |cell: [usize; 3]| value(std::array::from_fn(|axis| cell[axis] + from[axis]));
                assert!(part.iter().all(|(cell, found)| found == at(cell)), "{from:?}");
            }
            Ok(())
        });
        for from in [&[4, 0, 0][..], &[0, 0], &[usize::MAX, 0, 0]] {
            let error = try_ranks(2, true, |world| {
                let grid = Grid::over(world, [3, 4, 5]).build()?;
                Reader::open(world, &path, Some("u"))?.read_region(from, &mut Field::new(&grid, 0.0)?)
            });
            assert!(error.unwrap_err().what().contains("do not lie in it"), "{from:?}");
        }
    }
}

#[test]
fn chunks_and_compression_hold_the_same_numbers() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let dump = |path: &Path, flags: &[&str]| {
        let out = Command::new("h5dump").args(flags).arg(path).output().expect("h5dump (package hdf5-tools)");
        assert!(out.status.success());
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let mut sizes = Vec::new();
    for (n, storage) in [
        Storage::new(),
        Storage::new().chunk([4, 8, 8]),
        Storage::new().chunk([4, 8, 8]).deflate(6).checksums(),
        Storage::new().chunk([5, 3, 16]).format(Format::F32).deflate(1),
    ]
    .into_iter()
    .enumerate()
    {
        for in_turn in [false, true] {
            let mut before: Option<Vec<u8>> = None;
            for size in [1, 3, 4] {
                let path = folder.path().join(format!("{n}-{in_turn}-{size}.h5"));
                ranks([size], |world| {
                    let grid = Grid::over(world, [16, 16, 16]).build()?;
                    let field = Field::from_fn(&grid, value)?;
                    let mut file = match in_turn {
                        true => Writer::create_in_turn(world, &path)?,
                        false => Writer::create(world, &path)?,
                    };
                    file.write_as("g/u", &field, &storage)?;
                    file.attribute("g/u", "unit", "K")?;
                    file.write("after", &field)?;
                    file.finish()?;
                    let mut back = Field::new(&grid, 0.0)?;
                    for name in ["g/u", "after"] {
                        Reader::open(world, &path, Some(name))?.read_field(&mut back)?;
                        assert!(back.iter().all(|(cell, found)| found == value(cell)));
                    }
                    Ok(())
                });
                let bytes = std::fs::read(&path).unwrap();
                // What is written in one piece is the same to the byte, whoever writes it.
                assert!(n > 0 || before.as_ref().is_none_or(|before| *before == bytes), "{path:?}");
                before = Some(bytes);
                let first = folder.path().join(format!("{n}-false-1.h5"));
                let same = Command::new("h5diff").arg(&first).arg(&path).output().expect("h5diff");
                assert!(same.status.success(), "{path:?}");
            }
        }
        let path = folder.path().join(format!("{n}-false-3.h5"));
        sizes.push(std::fs::metadata(&path).unwrap().len());
        let shown = dump(&path, &["-p", "-H"]);
        assert_eq!(shown.contains("DEFLATE"), n >= 2, "{shown}");
        assert_eq!(shown.contains("FLETCHER32"), n == 2);
        assert_eq!(shown.contains("H5T_IEEE_F32LE"), n == 3);
    }
    assert!(sizes[2] < sizes[0] && sizes[3] < sizes[2], "{sizes:?}");
    let error = try_ranks(2, true, |world| {
        let grid = Grid::over(world, [16, 16, 16]).build()?;
        let mut file = Writer::create(world, folder.path().join("no.h5"))?;
        file.write_as("u", &Field::new(&grid, 0.0)?, &Storage::new().chunk([17, 1, 1]))
    });
    assert!(error.unwrap_err().to_string().contains("no chunk that is longer than its array"));
    let error =
        try_ranks(2, true, |world| Writer::create_together(world, folder.path().join("no.h5")).map(drop));
    assert!(error.unwrap_err().to_string().contains("Mpi engine"));
}

/// A field's name, its shape, and its file and dataset.
type Shown = (String, Vec<usize>, String);

/// A little reader of XDMF: every moment's time, and the datasets it shows with their shapes.
fn moments(xdmf: &str) -> Vec<(f64, Vec<Shown>)> {
    let within = |text: &str, from: &str, to: &str| -> String {
        let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("{from} in {text}"));
        rest.split_once(to).expect("it ends").0.to_string()
    };
    let grids = xdmf.split("GridType=\"Uniform\"").skip(1);
    grids
        .map(|grid| {
            let time = within(grid, "<Time Value=\"", "\"").parse().unwrap();
            let fields = grid.split("<Attribute ").skip(1).map(|field| {
                let item = within(field, "<DataItem ", "</DataItem>");
                let dims = within(&item, "Dimensions=\"", "\"");
                let dims = dims.split(' ').map(|n| n.parse().unwrap()).collect();
                (within(field, "Name=\"", "\""), dims, item.split_once('>').unwrap().1.to_string())
            });
            (time, fields.collect())
        })
        .collect()
}

/// Heat in a rod, and a second field on another grid.
#[derive(Clone, clap::Args, serde::Serialize, serde::Deserialize)]
struct Rod {
    #[arg(long)]
    steps: u64,
}

impl rankine::Kernel for Rod {
    const NAME: &'static str = "rod";
    const ABOUT: &'static str = "a rod";
    type Data = (Field<f64, 1>, Field<f32, 2>, u64);
    fn steps(&self) -> Option<u64> {
        Some(self.steps)
    }
    fn init(&self, comm: &Comm) -> Result<Self::Data> {
        let (rod, plate) = (Grid::new(comm, [50])?, Grid::new(comm, [8, 9])?);
        Ok((Field::from_fn(&rod, |[x]| x as f64)?, Field::from_fn(&plate, |[y, x]| (y * x) as f32)?, 0))
    }
    fn step(&self, _: &Comm, data: &mut Self::Data) -> Result<std::ops::ControlFlow<()>> {
        data.0.each_mut(|_, u| *u *= 0.5);
        data.2 += 1;
        Ok(std::ops::ControlFlow::Continue(()))
    }
    fn observe(&self, _: &Comm, data: &mut Self::Data, out: &mut rankine::run::Output) -> Result<()> {
        out.time(data.2 as f64 * 0.25);
        out.field("rod", &data.0)?;
        out.field("plate", &data.1)?;
        out.profile("rod", ["place, m", "temperature, K"], &data.0)
    }
    fn persist(&self, data: &mut Self::Data, s: &mut rankine::checkpoint::State) -> Result<()> {
        s.field("rod", &mut data.0)?;
        s.value("steps", &mut data.2)
    }
}

#[test]
fn one_xdmf_shows_all_moments_also_of_a_run_that_went_on() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let every = rankine::checkpoint::Every::Steps(2);
    ranks([3], |world| {
        rankine::Run::new(Rod { steps: 5 })
            .directory(&path)
            .every(2)
            .checkpoint_every(every)
            .on(world)
            .map(drop)
    });
    ranks([2], |world| rankine::Run::new(Rod { steps: 9 }).resume(&path).every(2).on(world).map(drop));
    for (name, field, cells) in
        [("fields.xdmf", "rod", vec![1, 1, 50]), ("fields-2.xdmf", "plate", vec![1, 8, 9])]
    {
        let text = std::fs::read_to_string(path.join("out").join(name)).unwrap();
        let found = moments(&text);
        let times: Vec<f64> = found.iter().map(|moment| moment.0).collect();
        assert_eq!(times, [0.0, 0.5, 1.0, 1.5, 2.0, 2.25], "{name}");
        for (time, fields) in &found {
            let [(shown, dims, place)] = &fields[..] else { panic!("{fields:?}") };
            assert_eq!((shown.as_str(), dims), (field, &cells));
            let (file, dataset) = place.split_once(":/").unwrap();
            let numbers: Vec<f64> = hdf5::File::open(path.join("out").join(file))
                .unwrap()
                .dataset(dataset)
                .unwrap()
                .read_raw()
                .unwrap();
            assert_eq!(numbers.len(), cells.iter().product::<usize>());
            if field == "rod" {
                let factor = 0.5f64.powi((time * 4.0) as i32);
                assert!(numbers.iter().enumerate().all(|(x, &u)| u == x as f64 * factor), "{place}");
            }
        }
    }
    assert!(std::fs::read(path.join("out/rod.png")).unwrap().starts_with(b"\x89PNG"));
}

/// A field of four axes.
#[derive(Clone, clap::Args, serde::Serialize, serde::Deserialize)]
struct Phases {}

impl rankine::Kernel for Phases {
    const NAME: &'static str = "phases";
    const ABOUT: &'static str = "four axes";
    type Data = Field<f64, 4>;
    fn steps(&self) -> Option<u64> {
        Some(2)
    }
    fn init(&self, comm: &Comm) -> Result<Self::Data> {
        Field::new(&Grid::over(comm, [6, 3, 4, 5]).build()?, 1.5)
    }
    fn step(&self, _: &Comm, _: &mut Self::Data) -> Result<std::ops::ControlFlow<()>> {
        Ok(std::ops::ControlFlow::Continue(()))
    }
    fn observe(&self, _: &Comm, data: &mut Self::Data, out: &mut rankine::run::Output) -> Result<()> {
        out.field("density", data)
    }
}

#[test]
fn four_axes_are_in_the_files_and_a_note_says_that_no_xdmf_shows_them() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    ranks([3], |world| {
        let summary = rankine::Run::new(Phases {}).directory(&path).every(1).on(world)?;
        let told = summary.notes.iter().filter(|note| note.starts_with("density has 4 axes")).count();
        assert_eq!(told, 1, "{:?}", summary.notes);
        Ok(())
    });
    for step in 0..3 {
        let file = hdf5::File::open(path.join(format!("out/fields-{step:06}.h5"))).unwrap();
        assert_eq!(file.dataset("density").unwrap().shape(), [6, 3, 4, 5]);
    }
    assert!(!path.join("out/fields.xdmf").exists());
}

#[test]
fn a_profile_is_that_of_the_whole_field() {
    let _alone = alone();
    ranks([1, 2, 3, 4, 7], |world| {
        let grid = Grid::new(world, [5000])?;
        let field = Field::from_fn(&grid, |[x]| x as f64)?;
        let found = plot::profile(world, &field.slab()?, 0.5)?;
        assert_eq!(found.is_some(), world.rank() == 0);
        for (place, value) in found.into_iter().flatten() {
            assert_eq!(place, (value + 0.5) * 0.5);
        }
        Ok(())
    });
}

fn round_trip<T: Element + PartialEq>(
    folder: &Path,
    name: &str,
    value: impl Fn(usize) -> T + Sync + Send + Copy,
) {
    let path = folder.join(format!("{name}.npy"));
    let mut before: Option<Vec<u8>> = None;
    for size in [1, 2, 3, 4, 7] {
        ranks([size], |world| {
            let grid = Grid::over(world, [9, 10]).build()?;
            let field = Field::from_fn(&grid, |[y, x]| value(10 * y + x))?;
            npy::write(world, &path, &field)?;
            let input = npy::Input::open(world, &path)?;
            assert_eq!((input.shape(), input.element().as_str()), (&[9, 10][..], name));
            let mut back = Field::new(&grid, T::zeroed())?;
            input.read_into(&mut back)?;
            assert!(back.iter().all(|([y, x], found)| found == value(10 * y + x)));
            Ok(())
        });
        let bytes = std::fs::read(&path).unwrap();
        assert!(before.as_ref().is_none_or(|before| *before == bytes), "{size} ranks write other bytes");
        before = Some(bytes);
    }
}

#[test]
fn numpys_files_come_back_on_any_ranks() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    round_trip(folder, "f8", |n| n as f64 * 0.1);
    round_trip(folder, "f4", |n| n as f32 * 0.1);
    round_trip(folder, "u1", |n| n as u8);
    round_trip(folder, "i2", |n| n as i16 * -300);
    round_trip(folder, "u8", |n| n as u64 * (1 << 50));
    round_trip(folder, "c8", |n| Complex::new(n as f32, -0.5));
    round_trip(folder, "c16", |n| Complex::new(0.1, n as f64));
    // To the byte what NumPy writes.
    let bytes = std::fs::read(folder.join("u1.npy")).unwrap();
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (9, 10), }";
    assert_eq!(&bytes[..10], b"\x93NUMPY\x01\x00\x76\x00");
    assert_eq!(std::str::from_utf8(&bytes[10..128]).unwrap(), format!("{header:<117}\n"));
    assert_eq!(bytes.len(), 128 + 90);
}

/// A file as NumPy would write it.
fn numpy(path: &Path, version: u8, descr: &str, fortran: &str, shape: &str, numbers: &[u8]) {
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
    let before = if version == 1 { 10 } else { 12 };
    while (before + text.len() + 1) % 64 != 0 {
        text.push(' ');
    }
    text.push('\n');
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    match version {
        1 => bytes.extend((text.len() as u16).to_le_bytes()),
        _ => bytes.extend((text.len() as u32).to_le_bytes()),
    }
    bytes.extend(text.as_bytes());
    bytes.extend(numbers);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn either_order_of_axes_and_bytes_is_read() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let cells = [5usize, 4, 6];
    let at = |[z, y, x]: [usize; 3]| (100 * z + 10 * y + x) as i32;
    for (fortran, big, version) in [(true, false, 1), (true, true, 2), (false, true, 3), (false, false, 2)] {
        let mut numbers = Vec::new();
        for n in 0..cells.iter().product() {
            let cell = match fortran {
                true => [n % 5, n / 5 % 4, n / 20],
                false => [n / 24, n / 6 % 4, n % 6],
            };
            let number = at(cell);
            numbers.extend(if big { number.to_be_bytes() } else { number.to_le_bytes() });
        }
        let (descr, order) = (if big { ">i4" } else { "<i4" }, if fortran { "True" } else { "False" });
        numpy(&path, version, descr, order, "(5, 4, 6)", &numbers);
        ranks([1, 2, 3, 4, 6], |world| {
            let grid = Grid::over(world, cells).build()?;
            let mut field = Field::new(&grid, 0i32)?;
            npy::Input::open(world, &path)?.read_into(&mut field)?;
            assert!(field.iter().all(|(cell, found)| found == at(cell)), "{descr} {order}");
            Ok(())
        });
    }
    // Complex numbers, column by column.
    let numbers: Vec<u8> = (0..12).flat_map(|n| [f64::from(n), 0.5]).flat_map(f64::to_le_bytes).collect();
    numpy(&path, 1, "<c16", "True", "(3, 4)", &numbers);
    ranks([1, 3], |world| {
        let grid = Grid::over(world, [3, 4]).build()?;
        let mut field = Field::new(&grid, Complex::new(0.0, 0.0))?;
        npy::Input::open(world, &path)?.read_into(&mut field)?;
        assert!(field.iter().all(|([y, x], z)| z == Complex::new((y + 3 * x) as f64, 0.5)));
        Ok(())
    });
}

#[test]
fn hostile_npy_files_are_errors_on_every_rank() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let read = |words: &str| {
        for size in [1, 3] {
            let read = try_ranks(size, true, |world| {
                let grid = Grid::over(world, [4, 3]).build()?;
                npy::Input::open(world, &path)?.read_into(&mut Field::new(&grid, 0.0f64)?)
            });
            let error = read.unwrap_err();
            assert!(error.exit_code() == 4 && error.to_string().contains(words), "{words}: {error}");
        }
    };
    read("No such file");
    for (bytes, words) in [
        (&b""[..], "it is not an .npy file"),
        (b"\x93NUMPY", "it is not an .npy file"),
        (b"not NumPy's at all", "it is not an .npy file"),
        (b"\x93NUMPY\x09\x00\x76\x00", "of version 9"),
        (b"\x93NUMPY\x01\x00\x76\x00{'descr'", "cut short"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}", "claims to have 4294967295"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        read(words);
    }
    let twelve = [0u8; 96];
    for (descr, shape, len, words) in [
        ("<f8", "(4, 3)", 95, "cut short or damaged"),
        ("<f8", "(4294967296, 4294967296)", 96, "cut short or damaged"),
        ("<f8", "(18446744073709551615, 2)", 96, "cut short or damaged"),
        ("<f8", "(3, 4)", 96, "the array to fill has [4, 3]"),
        ("<f8", "(12,)", 96, "the array to fill has [4, 3]"),
        ("<f4", "(4, 3)", 96, "is of f4; the array to fill is of f8"),
        ("|O", "(4, 3)", 96, "cannot be read"),
        ("<f8", "(4, -3)", 96, "something else than sizes"),
    ] {
        numpy(&path, 1, descr, "False", shape, &twelve[..len]);
        read(words);
    }
    // Changed letters of a header are an error, or change nothing that matters; never more.
    numpy(&path, 1, "<f8", "False", "(4, 3)", &twelve);
    let whole = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for place in 0..128 {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[place] ^= 1 << bit;
            std::fs::write(&path, &damaged).unwrap();
            let read = try_ranks(1, true, |world| {
                let grid = Grid::over(world, [4, 3]).build()?;
                npy::Input::open(world, &path)?.read_into(&mut Field::new(&grid, 0.0f64)?)
            });
            refused += usize::from(read.is_err_and(|error| error.exit_code() == 4));
        }
    }
    assert!(refused > 400, "{refused}");
}
