//! A matrix as a Matrix Market file, written by all ranks together at their own places in it.
//!
//! The file is the same, byte for byte, for any number of ranks, and appears whole or not at all (`output/files`).

use super::read::told;
use crate::error::Result;
use crate::op::Sum;
use crate::output::files::{self, Part};
use crate::sparse::{SparseMatrix, Value};
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

/// Writes a matrix as `coordinate real general` (or `complex`), row after row; numbers read back as the same bits. Collective: every
/// rank gives the same path.
///
/// # Errors
/// What the system says. All ranks get one, and no file has the name then.
#[track_caller]
pub fn write<T: Value>(matrix: &SparseMatrix<T>, path: impl AsRef<Path>) -> Result<()> {
    let (path, comm) = (path.as_ref(), matrix.rows().comm());
    let field = if T::COMPLEX { "complex" } else { "real" };
    let (rows, columns) = (matrix.rows().total(), matrix.columns().total());
    let head =
        format!("%%MatrixMarket matrix coordinate {field} general\n{rows} {columns} {}\n", matrix.entries());
    let mut counter = Counter(0);
    let counted = entries(matrix, &mut counter);
    let at = head.len() as u64 + comm.exscan(counter.0, Sum)?.unwrap_or(0);
    let part = match comm.rank() {
        0 => Part::create(path).map(Some),
        _ => Ok(None),
    };
    let part = told(comm, part)?;
    let wrote = counted.and_then(|()| {
        let mut file =
            File::options().write(true).open(files::part_of(path).map_err(std::io::Error::other)?)?;
        if comm.rank() == 0 {
            file.write_all(head.as_bytes())?;
        }
        file.seek(SeekFrom::Start(at))?;
        let mut file = BufWriter::with_capacity(1 << 18, file);
        entries(matrix, &mut file)?;
        file.flush()?;
        file.get_ref().sync_all()
    });
    told(comm, wrote.map_err(|error| files::failure("write", path, &error)))?;
    told(comm, part.map_or(Ok(()), Part::commit))
}

fn entries<T: Value>(matrix: &SparseMatrix<T>, to: &mut impl Write) -> std::io::Result<()> {
    for (row, column, value) in matrix.iter() {
        // The shortest digits that read back as the same number of T's own precision are fewer, but these are right, too.
        match value.parts() {
            (re, im) if T::COMPLEX => writeln!(to, "{} {} {re:e} {im:e}", row + 1, column + 1)?,
            (re, _) => writeln!(to, "{} {} {re:e}", row + 1, column + 1)?,
        }
    }
    Ok(())
}

/// Counts bytes.
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
