//! Damaged HDF5 files: cut short, with changed bytes, or not HDF5 at all. Reading gives the numbers or an error on
//! every rank, in reasonable time, and never brings the process down.
//!
//! The cases are the same on every run.
#![cfg(feature = "hdf5")]

use rankine::output::{Layout, Reader, SlabMut};
use rankine::testing::try_ranks;
use std::path::Path;

const CELLS: [usize; 2] = [40, 30];

/// A small file with what real files have: groups, attributes, chunks and compression's cousin, the shuffle filter.
fn whole(path: &Path) -> Vec<u8> {
    let file = hdf5::File::create(path).unwrap();
    let numbers: Vec<f64> = (0..1200).map(f64::from).collect();
    let packed =
        file.new_dataset::<f64>().shape(CELLS).chunk([16, 16]).shuffle().fletcher32().create("g/u").unwrap();
    packed.write_raw(&numbers).unwrap();
    let text: hdf5::types::VarLenUnicode = "kelvin".parse().unwrap();
    packed.new_attr::<hdf5::types::VarLenUnicode>().create("unit").unwrap().write_scalar(&text).unwrap();
    packed.new_attr::<f64>().shape(2).create("spacing").unwrap().write_raw(&[1.0, 2.0]).unwrap();
    file.new_dataset::<u8>().shape(CELLS).create("plain").unwrap().write_raw(&[7u8; 1200]).unwrap();
    file.close().unwrap();
    std::fs::read(path).unwrap()
}

/// Opens and reads a dataset on two ranks; whether it could be read.
fn read(path: &Path, dataset: Option<&str>) -> bool {
    let outcome = try_ranks(2, false, |world| {
        let input = Reader::open(world, path, dataset)?;
        let cells = input.cells::<2>()?;
        // A changed header may claim any shape; a caller that computes on it takes what it can hold.
        if cells != CELLS {
            return Err(rankine::Error::io("another shape"));
        }
        let layout = Layout::new(CELLS, [20 * world.rank(), 0], [20, 30], 1)?;
        let mut data = vec![0.0; 22 * 32];
        input.read_finite(&mut SlabMut::new(&mut data, layout)?)
    });
    match outcome {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.exit_code(), 4, "{error}");
            false
        }
    }
}

fn both(path: &Path) -> [bool; 2] {
    [read(path, Some("g/u")), read(path, Some("plain"))]
}

/// Numbers that look random and are the same on every run.
fn random(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state as usize
}

#[test]
fn a_file_cut_short_anywhere_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let bytes = whole(&path);
    assert_eq!(both(&path), [true, true]);
    for case in 0..150 {
        let len = bytes.len() * case / 150;
        std::fs::write(&path, &bytes[..len]).unwrap();
        assert_eq!(both(&path), [false, false], "{len} of {} bytes", bytes.len());
    }
}

#[test]
fn bytes_that_are_not_hdf5_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let mut state = 7;
    for case in 0..60 {
        let mut bytes: Vec<u8> = (0..random(&mut state) % 5000).map(|_| random(&mut state) as u8).collect();
        // Some of them claim to be HDF5.
        if case % 2 == 0 && bytes.len() > 8 {
            bytes[..8].copy_from_slice(b"\x89HDF\r\n\x1a\n");
        }
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(both(&path), [false, false], "case {case}");
    }
}

#[test]
fn changed_bytes_are_an_error_or_change_only_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5");
    let bytes = whole(&path);
    let mut state = 11;
    let mut refused = 0;
    // Every byte of the superblock and the first object headers, then places all over the file.
    let places = (8..400).chain(std::iter::repeat_with(|| random(&mut state) % bytes.len()).take(300));
    for place in places.collect::<Vec<_>>() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (random(&mut state) % 8);
        std::fs::write(&path, &damaged).unwrap();
        refused += both(&path).iter().filter(|read| !**read).count();
    }
    assert!(refused > 100, "{refused} refused");
}
