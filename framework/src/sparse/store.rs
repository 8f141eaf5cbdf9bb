//! Sparse matrices in HDF5 files: a group of four datasets, compressed rows as SciPy and others know them.
//!
//! `shape` (rows, columns), `indptr` (where each row begins, and the end of the last), `indices` (columns, row after row,
//! ascending), `data` (values; complex ones with one axis more). Counts and columns are signed 64-bit numbers. Text files are in
//! `market`.

use super::{Distribution, SparseMatrix, Value};
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::op::Sum;
use crate::output::{Reader, Stretch, Writer};
use std::borrow::Cow;
use std::path::Path;

impl<T: Value> SparseMatrix<T> {
    /// Writes the matrix as the group `name`; `scipy.sparse.csr_matrix((g["data"], g["indices"], g["indptr"]),
    /// shape=g["shape"])` reads it in Python. The same content from any number of ranks. Collective.
    ///
    /// ```
    /// # #[cfg(feature = "hdf5")]
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     use rankine::output::Writer;
    ///     use rankine::sparse::{Distribution, SparseMatrix};
    /// #   let folder = std::env::temp_dir().join(format!("rankine-sparse-{}-{}", std::process::id(), world.size()));
    ///     let path = folder.join("laplacian.h5");
    ///     let rows = Distribution::even(world, 9)?;
    ///     let mine = rows.range().map(|i| (i, i, 2.0));
    ///     let a = SparseMatrix::from_triplets(&rows, &rows, mine)?;
    ///     let mut file = Writer::create(world, &path)?;
    ///     a.write(&mut file, "a")?;
    ///     file.finish()?;
    ///
    ///     let back = SparseMatrix::<f64>::read(world, &path, "a")?;
    ///     assert_eq!(back.to_dense()?, a.to_dense()?);
    /// #   world.barrier()?;
    /// #   if world.rank() == 0 { let _ = std::fs::remove_dir_all(&folder); }
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// Those of [`Writer::write`].
    pub fn write(&self, file: &mut Writer, name: &str) -> Result<()> {
        let (comm, rows) = (self.rows().comm(), self.rows().range());
        let before = comm.exscan(self.local_entries(), Sum)?.unwrap_or(0);
        let starts = match comm.rank() + 1 == comm.size() {
            true => &self.starts[..],
            false => &self.starts[..rows.len()],
        };
        let starts: Vec<i64> = starts.iter().map(|&start| (before + start as usize) as i64).collect();
        let columns: Vec<i64> = self.iter().map(|(_, column, _)| column as i64).collect();
        let shape = match comm.rank() {
            0 => vec![self.rows().total() as i64, self.columns().total() as i64],
            _ => Vec::new(),
        };
        let at = |dataset: &str| format!("{name}/{dataset}");
        file.write(&at("shape"), &Stretch::of(comm, shape)?)?;
        file.write(&at("indptr"), &Stretch::of(comm, starts)?)?;
        file.write(&at("indices"), &Stretch::of(comm, columns)?)?;
        file.write(&at("data"), &Stretch::of(comm, &self.values[..])?)
    }

    /// Reads the group `name`, rows and columns dealt evenly. Collective.
    ///
    /// # Errors
    /// As [`SparseMatrix::read_over`].
    #[track_caller]
    pub fn read(comm: &Comm, path: impl AsRef<Path>, name: &str) -> Result<Self> {
        let [rows, columns] = shape(comm, path.as_ref(), name)?;
        let (rows, columns) = (Distribution::even(comm, rows)?, Distribution::even(comm, columns)?);
        Self::rows_of(&rows, &columns, path.as_ref(), name)
    }

    /// Reads the group `name`, rows and columns dealt as the distributions say. Each rank reads its own rows. Collective.
    ///
    /// # Errors
    /// Those of [`Reader::open`] and [`Reader::read_into`]; a matrix of another shape than the distributions'; rows that begin
    /// before those above them, columns outside the matrix, lengths that do not fit together. Every rank gets one.
    #[track_caller]
    pub fn read_over(
        rows: &Distribution,
        columns: &Distribution,
        path: impl AsRef<Path>,
        name: &str,
    ) -> Result<Self> {
        let path = path.as_ref();
        let found = shape(rows.comm(), path, name)?;
        let wanted = [rows.total(), columns.total()];
        let fits = match found == wanted {
            true => Ok(()),
            false => Err(Error::io(format!(
                "{}:{name} is a {}x{} matrix; the distributions have {} rows and {} columns",
                path.display(),
                found[0],
                found[1],
                wanted[0],
                wanted[1]
            ))
            .help("SparseMatrix::read deals what the file has")),
        };
        rows.comm().agree(fits)?;
        Self::rows_of(rows, columns, path, name)
    }

    #[track_caller]
    fn rows_of(rows: &Distribution, columns: &Distribution, path: &Path, name: &str) -> Result<Self> {
        let comm = rows.comm();
        let open = |dataset: &str| Reader::open_any(comm, path, &format!("{name}/{dataset}"));
        let damaged = |what: String| {
            Error::io(format!("{}:{name} is no sparse matrix: {what}", path.display()))
                .help("write it again; SparseMatrix::write says what it consists of")
        };
        let (starts, indices, data) = (open("indptr")?, open("indices")?, open("data")?);
        let entries = indices.shape()[0];
        let long = |input: &Reader, wanted: usize, of: &str| match input.shape()[0] == wanted {
            true => Ok(()),
            false => Err(damaged(format!(
                "{} has {} elements, not {wanted}: {of}",
                input.dataset(),
                input.shape()[0]
            ))),
        };
        let fits = long(&starts, rows.total().saturating_add(1), "one a row and one more");
        comm.agree(fits.and_then(|()| long(&data, entries, "one for each of the indices")))?;

        let range = rows.range();
        let starts: Vec<i64> = Stretch::read(&starts, range.start..range.end + 1)?;
        let ends = (range.start == 0)
            .then_some((starts[0], 0))
            .into_iter()
            .chain((range.end == rows.total()).then_some((starts[starts.len() - 1], entries as i64)));
        let whole = ends.into_iter().all(|(found, wanted)| found == wanted);
        let rising = starts.windows(2).position(|pair| pair[1] < pair[0]);
        let inside = starts.iter().all(|start| (0..=entries as i64).contains(start));
        let checked = match (rising, whole && inside) {
            (Some(at), _) => Err(damaged(format!("row {} ends before it begins", range.start + at))),
            (_, false) => Err(damaged(format!("its rows do not divide the {entries} entries"))),
            _ => Ok(()),
        };
        comm.agree(checked)?;

        let mine = starts[0] as usize..starts[starts.len() - 1] as usize;
        let numbers: Vec<i64> = Stretch::read(&indices, mine.clone())?;
        let outside = numbers.iter().find(|&&column| column < 0 || column as u64 >= columns.total() as u64);
        let checked = match outside {
            Some(column) => Err(damaged(format!("column {column} of {}", columns.total()))),
            None => Ok(()),
        };
        comm.agree(checked)?;
        let values: Vec<T> = Stretch::read(&data, mine.clone())?;
        let mut places = Vec::with_capacity(numbers.len());
        for (row, pair) in range.zip(starts.windows(2)) {
            let own = pair[0] as usize - mine.start..pair[1] as usize - mine.start;
            places.extend(numbers[own].iter().map(|&column| [row, column as usize]));
        }
        SparseMatrix::of_own(rows, columns, &places, &values)
    }
}

/// Rows and columns, as the file says.
#[track_caller]
fn shape(comm: &Comm, path: &Path, name: &str) -> Result<[usize; 2]> {
    let input = Reader::open(comm, path, Some(&format!("{name}/shape")))?;
    let mut shape = Stretch { total: 2, start: 0, items: Cow::Owned(vec![0i64; 2]) };
    input.read_into(&mut shape)?;
    let sizes: Vec<usize> = shape.items.iter().filter_map(|&n| usize::try_from(n).ok()).collect();
    let sizes = <[usize; 2]>::try_from(sizes).map_err(|_| {
        Error::io(format!("{}:{name} is no sparse matrix: its shape is {:?}", path.display(), shape.items))
            .help("the dataset `shape` has the numbers of rows and columns")
    });
    comm.agree(sizes)
}
