//! A rank's elements straight to and from their place in a file, without the library that laid the file out.
//!
//! Contiguous datasets are plain stretches of bytes in row-major order, so each rank can write and read its own with
//! ordinary calls, all at the same time, and an error of one is an error and no hang. Where the stretch begins is
//! found out by `hdf5` or `npy`; who does what when is decided there and in `writer`.

use super::partitioned::{Looked, Partitioned, PartitionedMut};
use bytemuck::{cast_slice, cast_slice_mut};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

/// Shorter stretches are gathered up to this many bytes before they are written, and read this many at a time.
const GATHERED: usize = 4 << 20;
/// Stretches from this many bytes on are written from where they lie.
const LONG: usize = 256 << 10;

/// Writes this rank's elements; the array begins `at` that byte of the file.
pub(super) fn write<P: Partitioned + ?Sized>(
    file: &File,
    at: u64,
    array: &P,
    looked: &Looked,
) -> io::Result<()> {
    let (size, elements) = (size_of::<P::Item>(), looked.ordered(array));
    let mut gathered: Vec<u8> = Vec::new();
    let mut place = 0;
    let flush = |gathered: &mut Vec<u8>, place: u64| {
        let done = if gathered.is_empty() { Ok(()) } else { file.write_all_at(gathered, place) };
        gathered.clear();
        done
    };
    for (stored, index, len) in looked.pieces.iter().flat_map(|piece| piece.runs(&looked.global)) {
        let bytes: &[u8] = cast_slice(&elements[stored..stored + len]);
        let to = at + index * size as u64;
        if place + gathered.len() as u64 != to || gathered.len() + bytes.len() > GATHERED {
            flush(&mut gathered, place)?;
        }
        if gathered.is_empty() && bytes.len() >= LONG {
            file.write_all_at(bytes, to)?;
            continue;
        }
        if gathered.is_empty() {
            place = to;
        }
        gathered.extend_from_slice(bytes);
    }
    flush(&mut gathered, place)
}

/// Reads this rank's elements; the array begins `at` that byte of the file.
pub(super) fn read<P: PartitionedMut + ?Sized>(
    file: &File,
    at: u64,
    array: &mut P,
    looked: &Looked,
) -> io::Result<()> {
    let size = size_of::<P::Item>();
    let storage = array.elements_mut();
    let mut stretch: Vec<(usize, usize)> = Vec::new();
    let (mut bytes, mut place, mut end) = (Vec::new(), 0, 0);
    let mut fetch = |stretch: &mut Vec<(usize, usize)>, place: u64, end: u64, storage: &mut [P::Item]| {
        bytes.resize((end - place) as usize, 0u8);
        file.read_exact_at(&mut bytes, place)?;
        let mut rest = &bytes[..];
        for (stored, len) in stretch.drain(..) {
            let (mine, others) = rest.split_at(len * size);
            cast_slice_mut(&mut storage[stored..stored + len]).copy_from_slice(mine);
            rest = others;
        }
        io::Result::Ok(())
    };
    for (stored, index, len) in looked.pieces.iter().flat_map(|piece| piece.runs(&looked.global)) {
        let from = at + index * size as u64;
        if !stretch.is_empty() && (end != from || (end - place) as usize + len * size > GATHERED) {
            fetch(&mut stretch, place, end, storage)?;
        }
        if stretch.is_empty() && len * size >= LONG {
            file.read_exact_at(cast_slice_mut(&mut storage[stored..stored + len]), from)?;
            continue;
        }
        if stretch.is_empty() {
            place = from;
        }
        stretch.push((stored, len));
        end = from + (len * size) as u64;
    }
    if stretch.is_empty() { Ok(()) } else { fetch(&mut stretch, place, end, storage) }
}

/// The words for a file that ends too early.
pub(super) fn cut_short(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => io::Error::new(ErrorKind::InvalidData, "the file is cut short"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Layout, Slab, SlabMut};
    use super::*;

    #[test]
    fn any_box_comes_back_and_nothing_else_is_touched() {
        let file = tempfile::tempfile().unwrap();
        let cells = [9, 40, 50];
        let size: usize = cells.iter().product();
        file.write_all_at(&vec![0xee; 8 * size + 14], 0).unwrap();
        for (start, shape, halo) in [
            ([0, 0, 0], [9, 40, 50], 0),
            ([2, 0, 0], [3, 40, 50], 1),
            ([2, 5, 0], [3, 30, 50], 2),
            ([1, 2, 3], [7, 6, 5], 1),
            ([8, 39, 49], [1, 1, 1], 0),
            ([3, 3, 3], [0, 2, 2], 1),
        ] {
            let layout = Layout::new(cells, start, shape, halo).unwrap();
            let len = layout.padded().iter().product();
            let data: Vec<f64> = (0..len).map(|n| n as f64).collect();
            let slab = Slab::new(&data, layout).unwrap();
            write(&file, 7, &slab, &Looked::at(&slab).unwrap()).unwrap();
            let mut back = vec![-1.0; len];
            let mut into = SlabMut::new(&mut back, layout).unwrap();
            let looked = Looked::at(&into).unwrap();
            read(&file, 7, &mut into, &looked).unwrap();
            let owned: usize = shape.iter().product();
            assert_eq!(back.iter().zip(&data).filter(|(a, b)| a == b).count(), owned);
            assert_eq!(back.iter().filter(|value| **value == -1.0).count(), len - owned);
        }
        let mut edge = [0; 14];
        file.read_exact_at(&mut edge[..7], 0).unwrap();
        file.read_exact_at(&mut edge[7..], 8 * size as u64 + 7).unwrap();
        assert_eq!(edge, [0xee; 14]);
        let layout = Layout::whole([9, 40, 51]).unwrap();
        let mut back = vec![0.0f64; 9 * 40 * 51];
        let mut into = SlabMut::new(&mut back, layout).unwrap();
        let looked = Looked::at(&into).unwrap();
        let error = cut_short(read(&file, 7, &mut into, &looked).unwrap_err());
        assert!(error.to_string().contains("cut short"), "{error}");
    }
}
