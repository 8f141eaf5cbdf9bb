//! NumPy's `.npy`: one array in a file, for small things that go to and come from Python.
//!
//! Each rank writes and reads its own bytes. Versions 1 to 3 are read, in either order of axes and of bytes; versions 1
//! and 2 are written, row-major. Elements keep their type: there is no conversion here (`numpy.astype` does it), and no
//! structs, strings or objects. The format: NumPy Enhancement Proposal 1, *A Simple File Format for NumPy Arrays*.

use super::direct;
use super::files::{self, Part};
use super::partitioned::{Looked, Partitioned, PartitionedMut, Piece, Shown};
use super::slab::Format;
use crate::comm::{Comm, Element, Scalar};
use crate::error::{Error, Result};
use bytemuck::cast_slice_mut;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Longer headers are hostile: NumPy itself stops at 10 000 letters.
const LONGEST: usize = 1 << 20;

/// Writes an array as a file that `numpy.load` reads, whole or not at all. Collective.
///
/// ```
/// rankine::testing::ranks([1, 2, 3], |world| {
///     use rankine::{Field, Grid, output::npy};
/// #   let path = std::env::temp_dir().join(format!("rankine-npy-{}-{}.npy", std::process::id(), world.size()));
///     let grid = Grid::new(world, [5, 4])?;
///     let field = Field::from_fn(&grid, |[y, x]| (10 * y + x) as f32)?;
///     npy::write(world, &path, &field)?;
///
///     let input = npy::Input::open(world, &path)?;
///     assert_eq!(input.shape(), [5, 4]);
///     let mut back = Field::new(&grid, 0.0f32)?;
///     input.read_into(&mut back)?;
///     assert!(back.iter().eq(field.iter()));
/// #   world.barrier()?;
/// #   if world.rank() == 0 { let _ = std::fs::remove_file(&path); }
///     Ok(())
/// });
/// ```
///
/// # Errors
/// What the system says; an element type that NumPy does not have. Every rank gets one.
pub fn write<P: Partitioned + ?Sized>(comm: &Comm, path: impl AsRef<Path>, array: &P) -> Result<()> {
    let path = path.as_ref();
    let looked = comm.agree(Looked::at(array))?;
    let header = header::<P::Item>(&looked);
    let prepared = (|| {
        let part = files::part_of(path)?;
        let guard = match comm.rank() {
            0 => {
                let guard = Part::create(path)?;
                let bytes = looked.global.iter().fold(size_of::<P::Item>() as u64, |all, &n| all * n as u64);
                files::reserve(&part, 0, header.len() as u64 + bytes)
                    .and_then(|()| File::options().write(true).open(&part)?.write_all_at(&header, 0))
                    .map_err(|error| files::failure("write", path, &error))?;
                Some(guard)
            }
            _ => None,
        };
        Ok((part, guard))
    })();
    let (part, guard) = comm.agree(prepared)?;
    let written = File::options().write(true).open(&part).and_then(|file| {
        direct::write(&file, header.len() as u64, array, &looked)?;
        // Threads are on one node, and rank 0 brings all of the file to the disk.
        if comm.engine_name() == "local" { Ok(()) } else { file.sync_all() }
    });
    comm.agree(written.map_err(|error| files::failure("write", path, &error)))?;
    comm.agree(guard.map_or(Ok(()), Part::commit))
}

/// What stands before the numbers; its length is a multiple of 64.
fn header<T: Element>(looked: &Looked) -> Vec<u8> {
    let (complex, shape) = match T::KIND.scalar() {
        Scalar::C32 | Scalar::C64 if looked.shown.parts == 2 => (true, looked.global.clone()),
        _ => (false, looked.shape()),
    };
    let axes: String = shape.iter().map(|axis| format!("{axis}, ")).collect();
    let axes =
        if shape.len() == 1 { axes.trim_end().to_string() } else { axes.trim_end_matches(", ").to_string() };
    let descr = descr(looked.shown.format, complex);
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({axes}), }}");
    let mut bytes = MAGIC.to_vec();
    let padded = |before: usize| (before + text.len() + 1).next_multiple_of(64) - before;
    match u16::try_from(padded(10)) {
        Ok(len) => {
            bytes.extend([1, 0]);
            bytes.extend(len.to_le_bytes());
        }
        Err(_) => {
            bytes.extend([2, 0]);
            bytes.extend((padded(12) as u32).to_le_bytes());
        }
    }
    let len = (bytes.len() + text.len() + 1).next_multiple_of(64);
    bytes.extend(text.as_bytes());
    bytes.resize(len - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// NumPy's name of a number as this machine keeps it.
fn descr(format: Format, complex: bool) -> String {
    let order = match format.bytes() {
        1 => '|',
        _ if cfg!(target_endian = "little") => '<',
        _ => '>',
    };
    let kind = match format {
        Format::I8 | Format::I16 | Format::I32 | Format::I64 => 'i',
        Format::U8 | Format::U16 | Format::U32 | Format::U64 => 'u',
        Format::F32 | Format::F64 if complex => 'c',
        Format::F32 | Format::F64 => 'f',
    };
    format!("{order}{kind}{}", format.bytes() * if complex { 2 } else { 1 })
}

/// An `.npy` file to read.
pub struct Input {
    comm: Comm,
    path: PathBuf,
    about: About,
}

/// What the header says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct About {
    format: Format,
    /// Whether two numbers are one element.
    complex: bool,
    /// Whether the bytes of a number are in the other order.
    swapped: bool,
    fortran: bool,
    shape: Vec<usize>,
    /// Where the numbers begin.
    at: u64,
}

impl Input {
    /// Looks at a file. Collective.
    ///
    /// # Errors
    /// A file that cannot be read, is no `.npy` file, is cut short, or holds other things than numbers.
    pub fn open(comm: &Comm, path: impl AsRef<Path>) -> Result<Input> {
        let path = path.as_ref();
        let comm = comm.dup()?;
        let about = comm.agree(if comm.rank() == 0 { look(path).map(Some) } else { Ok(None) })?;
        Ok(Input { about: comm.bcast_value(about, 0)?, path: path.to_path_buf(), comm })
    }

    /// The sizes of the array's axes, as NumPy has them.
    pub fn shape(&self) -> &[usize] {
        &self.about.shape
    }

    /// The element type, as NumPy writes it, such as `f8` or `c16`.
    pub fn element(&self) -> String {
        descr(self.about.format, self.about.complex)[1..].to_string()
    }

    /// Reads this rank's part of an array into its storage. Collective.
    ///
    /// # Errors
    /// An array of another shape or type; a file that has become shorter. Every rank gets one.
    pub fn read_into<P: PartitionedMut + ?Sized>(&self, array: &mut P) -> Result<()> {
        let looked = Looked::at(array).and_then(|looked| self.fits::<P::Item>(&looked).map(|()| looked));
        let looked = self.comm.agree(looked)?;
        let own = looked.pieces.iter().any(|piece| !piece.is_empty());
        let read = if own { self.read(array, &looked) } else { Ok(()) };
        array.settle();
        self.comm.agree(read.map_err(|error| files::failure("read", &self.path, &direct::cut_short(error))))
    }

    fn fits<T: Element>(&self, looked: &Looked) -> Result<()> {
        let complex = matches!(T::KIND.scalar(), Scalar::C32 | Scalar::C64);
        let whole = if complex { &looked.global } else { &looked.shape() };
        if self.about.shape != *whole {
            return Err(Error::io(format!(
                "{} has the shape {:?}; the array to fill has {whole:?}",
                self.path.display(),
                self.about.shape
            )));
        }
        if (self.about.format, self.about.complex) != (looked.shown.format, complex) {
            return Err(Error::io(format!(
                "{} is of {}; the array to fill is of {}",
                self.path.display(),
                self.element(),
                &descr(looked.shown.format, complex)[1..]
            ))
            .help("save it from Python with .astype"));
        }
        Ok(())
    }

    fn read<P: PartitionedMut + ?Sized>(&self, array: &mut P, looked: &Looked) -> io::Result<()> {
        let file = File::open(&self.path)?;
        if self.about.fortran {
            for piece in &looked.pieces {
                read_columns(&file, self.about.at, array.elements_mut(), piece, looked)?;
            }
        } else {
            direct::read(&file, self.about.at, array, looked)?;
        }
        if self.about.swapped {
            for (stored, _, len) in looked.pieces.iter().flat_map(|piece| piece.runs(&looked.global)) {
                let bytes: &mut [u8] = cast_slice_mut(&mut array.elements_mut()[stored..stored + len]);
                bytes.chunks_exact_mut(looked.shown.format.bytes()).for_each(<[u8]>::reverse);
            }
        }
        Ok(())
    }
}

/// Reads a piece of a column-major array: elements along the first axis lie side by side in the file.
fn read_columns<T: Element>(
    file: &File,
    at: u64,
    storage: &mut [T],
    piece: &Piece,
    looked: &Looked,
) -> io::Result<()> {
    let Shown { parts, .. } = looked.shown;
    // An element of several numbers has its numbers along a last axis, far apart; a complex number's are one element.
    let several = parts > 1 && !matches!(T::KIND.scalar(), Scalar::C32 | Scalar::C64);
    let (inner, count) = if several { (parts, parts) } else { (1, 1) };
    let bytes = size_of::<T>() / inner;
    if piece.is_empty() {
        return Ok(());
    }
    let axes = looked.global.len();
    let lines: usize = piece.shape[1..].iter().product();
    let mut line = vec![0u8; piece.shape[0] * bytes];
    let step: usize = piece.padded[1..].iter().product();
    for number in 0..lines {
        let (mut rest, mut index) = (number, vec![0; axes]);
        for axis in (1..axes).rev() {
            index[axis] = rest % piece.shape[axis];
            rest /= piece.shape[axis];
        }
        let (mut stored, mut place, mut stride) = (0, 0u64, 1u64);
        for (axis, index) in index.into_iter().enumerate() {
            stored = stored * piece.padded[axis] + piece.offset[axis] + index;
            place += (piece.start[axis] + index) as u64 * stride;
            stride *= looked.global[axis] as u64;
        }
        for part in 0..count {
            file.read_exact_at(&mut line, at + (place + part as u64 * stride) * bytes as u64)?;
            for (cell, found) in line.chunks_exact(bytes).enumerate() {
                let element = &mut storage[piece.base + stored + cell * step];
                bytemuck::bytes_of_mut(element)[part * bytes..][..bytes].copy_from_slice(found);
            }
        }
    }
    Ok(())
}

/// Rank 0's look at a file.
fn look(path: &Path) -> Result<About> {
    let words = |error: io::Error| files::failure("read", path, &direct::cut_short(error));
    let bad = |what: String| {
        Error::io(format!("cannot read {}: {what}", path.display()))
            .help("give a file that numpy.save has made of an array of numbers")
    };
    let about = std::fs::metadata(path).map_err(words)?;
    if !about.is_file() {
        return Err(bad("it is not an ordinary file".into()));
    }
    let mut file = File::open(path).map_err(words)?;
    let mut start = [0u8; 8];
    match file.read_exact(&mut start) {
        Ok(()) if start.starts_with(MAGIC) => {}
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(words(error)),
        _ => return Err(bad("it is not an .npy file".into())),
    }
    let (len, before) = match start[6] {
        1 => {
            let mut len = [0u8; 2];
            file.read_exact(&mut len).map_err(words)?;
            (usize::from(u16::from_le_bytes(len)), 10)
        }
        2 | 3 => {
            let mut len = [0u8; 4];
            file.read_exact(&mut len).map_err(words)?;
            (u32::from_le_bytes(len) as usize, 12)
        }
        version => return Err(bad(format!("it is of version {version}; 1 to 3 are known"))),
    };
    if len > LONGEST {
        return Err(bad(format!("its header claims to have {len} letters")));
    }
    let mut text = vec![0u8; len];
    file.read_exact(&mut text).map_err(words)?;
    let text = String::from_utf8(text).map_err(|_| bad("its header is no text".into()))?;
    let mut found = parse(&text).map_err(|what| bad(format!("its header is {text:?}: {what}")))?;
    found.at = (before + len) as u64;
    let size = (found.format.bytes() * if found.complex { 2 } else { 1 }) as u64;
    let bytes = found.shape.iter().try_fold(size, |all, &n| all.checked_mul(n as u64));
    match bytes.and_then(|bytes| bytes.checked_add(found.at)) {
        Some(end) if end <= about.len() => Ok(found),
        _ => Err(bad(format!(
            "its shape is {:?}, but it has only {} bytes: it is cut short or damaged",
            found.shape,
            about.len()
        ))),
    }
}

/// The dictionary of a header: a Python literal of three known keys.
fn parse(text: &str) -> std::result::Result<About, String> {
    let mut rest = Literal(text);
    let (mut kind, mut fortran, mut shape) = (None, None, None);
    rest.expect("{")?;
    while !rest.take("}") {
        let key = rest.text()?;
        rest.expect(":")?;
        match key {
            "descr" if kind.is_none() => kind = Some(number(rest.text()?)?),
            "fortran_order" if fortran.is_none() => fortran = Some(rest.truth()?),
            "shape" if shape.is_none() => shape = Some(rest.tuple()?),
            key => return Err(format!("the key {key:?} is unknown or there twice")),
        }
        if !rest.take(",") {
            rest.expect("}")?;
            break;
        }
    }
    if !rest.0.trim().is_empty() {
        return Err(format!("{:?} comes after its end", rest.0.trim()));
    }
    match (kind, fortran, shape) {
        (Some((format, complex, swapped)), Some(fortran), Some(shape)) => {
            Ok(About { format, complex, swapped, fortran, shape, at: 0 })
        }
        _ => Err("it must have descr, fortran_order and shape".into()),
    }
}

/// What is left of a Python literal.
struct Literal<'t>(&'t str);

impl<'t> Literal<'t> {
    fn take(&mut self, sign: &str) -> bool {
        match self.0.trim_start().strip_prefix(sign) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, sign: &str) -> std::result::Result<(), String> {
        if self.take(sign) { Ok(()) } else { Err(format!("{sign:?} is missing before {:?}", self.0)) }
    }

    fn text(&mut self) -> std::result::Result<&'t str, String> {
        let quote = ["'", "\""].into_iter().find(|quote| self.take(quote));
        let quote = quote.ok_or("it holds something else than an array of numbers")?;
        let (text, rest) = self.0.split_once(quote).ok_or("a text does not end")?;
        self.0 = rest;
        Ok(text)
    }

    fn truth(&mut self) -> std::result::Result<bool, String> {
        match (self.take("True"), self.take("False")) {
            (true, _) => Ok(true),
            (_, true) => Ok(false),
            _ => Err("fortran_order is neither True nor False".into()),
        }
    }

    fn tuple(&mut self) -> std::result::Result<Vec<usize>, String> {
        self.expect("(")?;
        let mut sizes = Vec::new();
        while !self.take(")") {
            let rest = self.0.trim_start();
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let size = rest[..digits].parse().map_err(|_| "the shape has something else than sizes")?;
            self.0 = &rest[digits..];
            // Python 2 wrote long integers so.
            self.take("L");
            sizes.push(size);
            if sizes.len() > 30 {
                return Err("it has more than 30 axes".into());
            }
            if !self.take(",") {
                self.expect(")")?;
                break;
            }
        }
        if sizes.is_empty() {
            return Err("it is a single value".into());
        }
        Ok(sizes)
    }
}

/// A number by NumPy's name: its format, whether it is complex, and whether its bytes are in the other order.
fn number(descr: &str) -> std::result::Result<(Format, bool, bool), String> {
    let unknown = || format!("elements of {descr:?} cannot be read");
    let (order, kind) = match descr.as_bytes().first() {
        Some(b'<' | b'>' | b'|' | b'=') => (descr.as_bytes()[0], &descr[1..]),
        _ => (b'=', descr),
    };
    let (format, complex) = match kind {
        "i1" => (Format::I8, false),
        "i2" => (Format::I16, false),
        "i4" => (Format::I32, false),
        "i8" => (Format::I64, false),
        "u1" | "b1" => (Format::U8, false),
        "u2" => (Format::U16, false),
        "u4" => (Format::U32, false),
        "u8" => (Format::U64, false),
        "f4" => (Format::F32, false),
        "f8" => (Format::F64, false),
        "c8" => (Format::F32, true),
        "c16" => (Format::F64, true),
        _ => return Err(unknown()),
    };
    if order == b'|' && format.bytes() > 1 {
        return Err(unknown());
    }
    let other = if cfg!(target_endian = "little") { b'>' } else { b'<' };
    Ok((format, complex, order == other && format.bytes() > 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_strictly() {
        let about = parse("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }  \n").unwrap();
        assert_eq!((about.format, about.fortran, &about.shape[..]), (Format::F64, false, &[3, 4][..]));
        let about = parse("{\"shape\":(7L,),\"descr\":\">c8\",\"fortran_order\":True}").unwrap();
        assert!(about.complex && about.swapped && about.fortran && about.shape == [7]);
        for text in [
            "",
            "{",
            "{}",
            "{'descr': '<f8', 'fortran_order': False}",
            "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '|O', 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<U8', 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '|f8', 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<f8', 'fortran_order': 0, 'shape': (3,)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (-3,)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': ()}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': 3}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (3,)} import os",
            "{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<f8, 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '\u{e9}8', 'fortran_order': False, 'shape': (3,)}",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_long_header_is_of_version_2() {
        let looked = |axes: usize| Looked {
            global: vec![1_000_000_000_000; axes],
            pieces: Vec::new(),
            shown: Shown { format: Format::F64, parts: 1 },
        };
        let short = header::<f64>(&looked(2));
        assert_eq!(
            (&short[..8], short.len() % 64, short.last()),
            (&b"\x93NUMPY\x01\x00"[..], 0, Some(&b'\n'))
        );
        let long = header::<f64>(&looked(6000));
        assert_eq!((&long[6..8], long.len() % 64), (&[2, 0][..], 0));
        let len = u32::from_le_bytes(long[8..12].try_into().unwrap()) as usize;
        assert_eq!(len + 12, long.len());
    }
}
