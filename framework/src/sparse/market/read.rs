//! The entries of a Matrix Market file: every rank reads the lines that begin in its part of the bytes.
//!
//! What is wrong with a file is found on the rank that has the line, and told with the line's number in the whole file.

use super::header::{Header, LINE, Numbers, Symmetry, TOO_LONG, line, trouble};
use crate::comm::Comm;
use crate::error::{Error, ErrorKind, Result};
use crate::op::Sum;
use crate::output::files;
use crate::sparse::{Distribution, SparseMatrix, Value};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Reads a matrix; its rows and columns are dealt evenly. Entries of one place are summed; those that a symmetry leaves
/// out are added; a pattern's are ones. No rank holds more than its part of the file and of the matrix. Collective: every rank
/// gives the same path.
///
/// ```
/// use rankine::sparse::market;
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("a.mtx");
/// std::fs::write(&path, "%%MatrixMarket matrix coordinate real symmetric\n3 3 3\n1 1 2.0\n3 1 -1\n2 2 4e0\n").unwrap();
/// rankine::testing::ranks([1, 2, 3, 4], |world| {
///     let a = market::read::<f64>(world, &path)?;
///     let expected = ndarray::array![[2.0, 0.0, -1.0], [0.0, 4.0, 0.0], [-1.0, 0.0, 0.0]];
///     assert_eq!(a.to_dense()?, expected);
///     Ok(())
/// });
/// ```
///
/// # Errors
/// What the system says; a file that is no coordinate matrix, was cut short, has other than the promised number of entries, an index
/// outside the matrix, a number that is none or too large for a double, an entry that its symmetry forbids; complex entries for a real
/// `T`. All ranks get an error with file and line, and the lowest that found one tells it.
#[track_caller]
pub fn read<T: Value>(comm: &Comm, path: impl AsRef<Path>) -> Result<SparseMatrix<T>> {
    let path = path.as_ref();
    let head = match comm.rank() {
        // Before anything is read or allocated for it: a size line may say what it likes.
        0 => Header::read(path).and_then(|head| {
            fits::<T>(path, &head)?;
            room(path, &head, comm.size())?;
            Ok(Some(head))
        }),
        _ => Ok(None),
    };
    let head = comm.bcast_value(told(comm, head)?, 0)?;
    let (mine, lines, found) = part::<T>(comm, path, &head);
    // Lines before this rank's.
    let before = head.size_line + comm.exscan(lines, Sum)?.unwrap_or(0);
    told(comm, found.map_err(|(line, what)| trouble(path, before + line, what).help(HELP)))?;
    let counted = comm.allreduce(mine.lines, Sum)?;
    let counts = match counted == head.entries {
        true => Ok(()),
        false => Err(trouble(
            path,
            head.size_line,
            format!("{} entries promised, the file has {counted}", head.entries),
        )
        .help("the file was cut short or is damaged, or the size line is wrong")),
    };
    told(comm, counts)?;
    let rows = Distribution::even(comm, head.rows as usize)?;
    let columns = if head.rows == head.columns {
        rows.clone()
    } else {
        Distribution::even(comm, head.columns as usize)?
    };
    SparseMatrix::from_triplets(&rows, &columns, mine.triplets)
}

const HELP: &str = "the file is damaged, or no Matrix Market file";

/// As [`Comm::agree`], and the words of the rank that speaks are in the errors of the others, too.
#[track_caller]
pub(super) fn told<T>(comm: &Comm, mine: Result<T>) -> Result<T> {
    let what = mine.as_ref().err().map(|error| error.what().to_string());
    match comm.agree(mine) {
        Ok(value) => Ok(value),
        Err(error) => {
            let speaker = error.rank().unwrap_or(comm.rank());
            let words = comm.bcast_value(what.filter(|_| comm.rank() == speaker), speaker)?;
            match error.kind() {
                ErrorKind::Elsewhere => Err(Error::new(ErrorKind::Elsewhere, words).on_rank(speaker)),
                _ => Err(error),
            }
        }
    }
}

fn fits<T: Value>(path: &Path, head: &Header) -> Result<()> {
    if head.numbers == Numbers::Complex && !T::COMPLEX {
        return Err(trouble(path, 1, format!("complex numbers, to be read as {}", T::KIND.name()))
            .help("read it as Complex<f64>"));
    }
    Ok(())
}

/// Whether memory has room for what every rank keeps of its rows.
fn room(path: &Path, head: &Header, ranks: usize) -> Result<()> {
    let rows = (head.rows.max(head.columns) as usize).div_ceil(ranks);
    let mut trial: Vec<[u64; 4]> = Vec::new();
    match rows < u32::MAX as usize && trial.try_reserve_exact(rows).is_ok() {
        true => Ok(()),
        false => Err(trouble(path, head.size_line, format!("{rows} rows or columns for every rank"))
            .help("that is more than a rank can hold: the size line is wrong, or use more ranks")),
    }
}

/// What a rank read.
struct Mine<T> {
    triplets: Vec<(usize, usize, T)>,
    /// Entries as the file has them.
    lines: u64,
}

/// What is wrong, and in which line after the first of this part's; from 1.
type Wrong = (u64, String);

/// The entries of the lines that begin in this rank's part, and how many line ends it has.
fn part<T: Value>(comm: &Comm, path: &Path, head: &Header) -> (Mine<T>, u64, std::result::Result<(), Wrong>) {
    let mut mine = Mine { triplets: Vec::new(), lines: 0 };
    let mut lines = 0;
    let (rank, size) = (comm.rank() as u128, comm.size() as u128);
    let bytes = u128::from(head.end - head.begin);
    let at = |rank: u128| head.begin + (bytes * rank / size) as u64;
    let found = entries(path, head, at(rank)..at(rank + 1), &mut mine, &mut lines);
    (mine, lines, found)
}

fn entries<T: Value>(
    path: &Path,
    head: &Header,
    part: std::ops::Range<u64>,
    mine: &mut Mine<T>,
    lines: &mut u64,
) -> std::result::Result<(), Wrong> {
    let words =
        |line: u64, error: std::io::Error| (line, files::failure("read", path, &error).what().to_string());
    let mut file = File::open(path).map_err(|error| words(0, error))?;
    let mut buffer = Vec::new();
    let mut at = part.start;
    // From the byte before: if it ends a line, the next one begins here.
    let back = u64::from(part.start > head.begin);
    file.seek(SeekFrom::Start(at - back)).map_err(|error| words(0, error))?;
    let mut file = BufReader::with_capacity(1 << 18, file);
    if back == 1 && part.start < part.end {
        loop {
            buffer.clear();
            let read = file.by_ref().take(LINE as u64).read_until(b'\n', &mut buffer);
            let len = read.map_err(|error| words(0, error))?;
            at += len as u64;
            let ended = buffer.last() == Some(&b'\n');
            if ended || len == 0 || at > part.end {
                // The line end at the byte before is the part's before this one.
                *lines += u64::from(ended && at - 1 > part.start && at <= part.end + 1);
                break;
            }
        }
        at -= 1;
    }
    while at < part.end {
        let Some((text, len)) = line(&mut file, &mut buffer).map_err(|error| words(*lines + 1, error))?
        else {
            break;
        };
        let number = *lines + 1;
        if len > LINE {
            return Err((number, TOO_LONG.into()));
        }
        at += len as u64;
        // A line that ends in the next part is counted there.
        *lines += u64::from(at <= part.end && text.len() < len);
        let Ok(text) = std::str::from_utf8(text) else {
            return Err((number, "the line is not text".into()));
        };
        let text = text.trim();
        if text.is_empty() || text.starts_with('%') {
            continue;
        }
        mine.lines += 1;
        entry(text, head, &mut mine.triplets).map_err(|what| (number, what))?;
    }
    Ok(())
}

fn entry<T: Value>(
    text: &str,
    head: &Header,
    triplets: &mut Vec<(usize, usize, T)>,
) -> std::result::Result<(), String> {
    let shown = |text: &str| text.chars().take(60).collect::<String>().escape_debug().to_string();
    let mut words = text.split_ascii_whitespace();
    let mut index = |what: &str, most: u64| -> std::result::Result<usize, String> {
        let Some(word) = words.next() else { return Err(format!("`{}` has no {what}", shown(text))) };
        match word.parse::<u64>() {
            Ok(index) if (1..=most).contains(&index) => Ok(index as usize - 1),
            Ok(index) => Err(format!("{what} {index} is outside 1 to {most}")),
            Err(_) => Err(format!("`{}` is no {what}", shown(word))),
        }
    };
    let (row, column) = (index("row", head.rows)?, index("column", head.columns)?);
    let mut number = || -> std::result::Result<f64, String> {
        let Some(word) = words.next() else { return Err(format!("`{}` has no value", shown(text))) };
        let value = match head.numbers {
            Numbers::Integer => word.parse::<i64>().ok().map(|value| value as f64),
            // Fortran's exponents, too.
            _ => word.parse().ok().or_else(|| word.replace(['D', 'd'], "e").parse::<f64>().ok()),
        };
        match value {
            Some(value) if value.is_finite() => Ok(value),
            Some(_) => Err(format!("`{}` is not finite, or too large for a double", shown(word))),
            None => Err(format!("`{}` is no number that can be", shown(word))),
        }
    };
    let value = match head.numbers {
        Numbers::Pattern => T::of(1.0),
        Numbers::Real | Numbers::Integer => T::of(number()?),
        Numbers::Complex => T::of_parts(number()?, number()?),
    };
    if !value.is_finite() {
        return Err(format!("`{}` is too large for {}", shown(text), T::KIND.name()));
    }
    if words.next().is_some() {
        return Err(format!("`{}` has more than an entry", shown(text)));
    }
    if head.symmetry != Symmetry::General && column > row {
        return Err(format!(
            "entry ({}, {}) is above the diagonal of a symmetric matrix",
            row + 1,
            column + 1
        ));
    }
    let mirrored = match head.symmetry {
        Symmetry::General => None,
        Symmetry::Symmetric => Some(value),
        Symmetry::Skew if row == column && value != T::default() => {
            return Err(format!("entry ({0}, {0}) of a skew-symmetric matrix is not zero", row + 1));
        }
        Symmetry::Skew => Some(-value),
        Symmetry::Hermitian if row == column && value.parts().1 != 0.0 => {
            return Err(format!("entry ({0}, {0}) of a Hermitian matrix is not real", row + 1));
        }
        Symmetry::Hermitian => Some(value.conj()),
    };
    triplets.push((row, column, value));
    if let Some(mirrored) = mirrored.filter(|_| row != column) {
        triplets.push((column, row, mirrored));
    }
    Ok(())
}
