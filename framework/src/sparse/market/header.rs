//! The head of a Matrix Market file: banner, comments, size line.
//!
//! One rank reads it; the entries are in `read`.

use crate::error::{Error, Result};
use crate::output::files;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// The most bytes of a line; the format allows 1024.
pub(super) const LINE: usize = 1 << 16;

/// The shortest entry, `1 1` and the end of its line.
const SHORTEST: u64 = 4;

#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) enum Numbers {
    Real,
    Integer,
    Complex,
    Pattern,
}

#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) enum Symmetry {
    General,
    Symmetric,
    Skew,
    Hermitian,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Header {
    pub numbers: Numbers,
    pub symmetry: Symmetry,
    pub rows: u64,
    pub columns: u64,
    pub entries: u64,
    /// Which line has the sizes; from 1.
    pub size_line: u64,
    /// Where the lines of entries begin and end, in bytes.
    pub begin: u64,
    pub end: u64,
}

/// `path:line: what`
pub(super) fn trouble(path: &Path, line: u64, what: impl std::fmt::Display) -> Error {
    Error::io(format!("{}:{line}: {what}", path.display()))
}

/// A line without its end, and its length with it; `None` at the end of the file.
pub(super) fn line<'b>(
    from: &mut impl BufRead,
    buffer: &'b mut Vec<u8>,
) -> std::io::Result<Option<(&'b [u8], usize)>> {
    buffer.clear();
    let len = from.by_ref().take(LINE as u64 + 1).read_until(b'\n', buffer)?;
    let text = buffer.strip_suffix(b"\n").unwrap_or(buffer);
    Ok((len > 0).then_some((text, len)))
}

pub(super) const TOO_LONG: &str = "the line is longer than a line of a Matrix Market file can be";

impl Header {
    /// # Errors
    /// What the system says; anything that is no head of a coordinate file, with its line.
    pub fn read(path: &Path) -> Result<Header> {
        let words = |error: std::io::Error| files::failure("read", path, &error);
        let about = std::fs::metadata(path).map_err(words)?;
        if !about.is_file() {
            let what = if about.is_dir() { "a folder" } else { "not an ordinary file" };
            return Err(Error::io(format!("cannot read {}: it is {what}", path.display()))
                .help("give the name of a Matrix Market file"));
        }
        let mut file = BufReader::new(File::open(path).map_err(words)?);
        let (mut buffer, mut begin, mut number) = (Vec::new(), 0u64, 0u64);
        let mut kinds = None;
        loop {
            number += 1;
            let Some((text, len)) = line(&mut file, &mut buffer).map_err(words)? else {
                let what =
                    if number == 1 { "the file is empty" } else { "the file ends before its size line" };
                return Err(
                    trouble(path, number, what).help("it is no Matrix Market file, or it was cut short")
                );
            };
            if len > LINE {
                return Err(trouble(path, number, TOO_LONG).help("it is no Matrix Market file"));
            }
            begin += len as u64;
            let text = String::from_utf8_lossy(text);
            let text = text.trim();
            if number == 1 {
                kinds = Some(banner(text).map_err(|what| {
                    trouble(path, 1, what).help(
                        "a file begins with %%MatrixMarket matrix coordinate real general, or other words of that kind",
                    )
                })?);
                continue;
            }
            if text.is_empty() || text.starts_with('%') {
                continue;
            }
            let (numbers, symmetry) = kinds.unwrap_or((Numbers::Real, Symmetry::General));
            let [rows, columns, entries] = sizes(text).map_err(|what| trouble(path, number, what))?;
            let header = Header {
                numbers,
                symmetry,
                rows,
                columns,
                entries,
                size_line: number,
                begin,
                end: about.len(),
            };
            return header.check(path).map(|()| header);
        }
    }

    fn check(&self, path: &Path) -> Result<()> {
        let refuse = |what: String, help: &str| Err(trouble(path, self.size_line, what).help(help));
        let (rows, columns, entries) = (self.rows, self.columns, self.entries);
        if self.symmetry != Symmetry::General && rows != columns {
            return refuse(
                format!("a symmetric matrix of {rows}x{columns}"),
                "symmetric matrices are square: correct the size line or the banner",
            );
        }
        if u128::from(entries) > u128::from(rows) * u128::from(columns) {
            return refuse(
                format!("{entries} entries in a matrix of {rows}x{columns}"),
                "there cannot be more entries than places: correct the size line",
            );
        }
        // The last line need not end.
        if u128::from(entries) * u128::from(SHORTEST) > u128::from(self.end - self.begin) + 1 {
            return refuse(
                format!("{entries} entries said to follow, but only {} bytes do", self.end - self.begin),
                "the file was cut short, or the size line is wrong",
            );
        }
        if usize::try_from(rows.max(columns)).is_err() {
            return refuse(format!("a matrix of {rows}x{columns}"), "this machine cannot count so far");
        }
        Ok(())
    }
}

fn banner(text: &str) -> std::result::Result<(Numbers, Symmetry), String> {
    let words: Vec<String> = text.split_whitespace().take(8).map(str::to_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let shown = |word: &str| word.chars().take(40).collect::<String>().escape_debug().to_string();
    match words[..] {
        ["%%matrixmarket", "matrix", "coordinate", numbers, symmetry] => {
            let numbers = match numbers {
                "real" | "double" => Numbers::Real,
                "integer" => Numbers::Integer,
                "complex" => Numbers::Complex,
                "pattern" => Numbers::Pattern,
                other => return Err(format!("`{}` is no field of a matrix", shown(other))),
            };
            let symmetry = match symmetry {
                "general" => Symmetry::General,
                "symmetric" => Symmetry::Symmetric,
                "skew-symmetric" => Symmetry::Skew,
                "hermitian" => Symmetry::Hermitian,
                other => return Err(format!("`{}` is no symmetry of a matrix", shown(other))),
            };
            match (numbers, symmetry) {
                (Numbers::Pattern, Symmetry::Skew | Symmetry::Hermitian) => {
                    Err("a pattern cannot be skew-symmetric or Hermitian".into())
                }
                kinds => Ok(kinds),
            }
        }
        ["%%matrixmarket", "matrix", "array", ..] => {
            Err("a dense matrix (array); this reads sparse ones".into())
        }
        ["%%matrixmarket", ..] => Err(format!("`{}` is no banner of a sparse matrix", shown(text))),
        _ => Err("no Matrix Market file: its banner is not there".into()),
    }
}

fn sizes(text: &str) -> std::result::Result<[u64; 3], String> {
    let shown = || text.chars().take(60).collect::<String>().escape_debug().to_string();
    let words: Vec<&str> = text.split_whitespace().take(4).collect();
    let numbers: Vec<u64> = words.iter().filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [rows, columns, entries] if words.len() == 3 => Ok([rows, columns, entries]),
        _ => Err(format!("`{}` does not say how many rows, columns and entries there are", shown())),
    }
}
