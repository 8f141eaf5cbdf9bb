//! Making a matrix of triplets, which are brought to the owners of their rows, or of rows, each by its owner.
//!
//! What is read from a file comes through here, too (`market`). How rows become a matrix is in `compress`.

use super::compress::Compressed;
use super::{Distribution, SparseMatrix, Value};
use crate::error::{Error, Result};
use std::panic::Location;

impl<T: Value> SparseMatrix<T> {
    /// Of (row, column, value) triplets, by global indices, of which every rank may give any, also of rows that others have. Those
    /// of one place are summed, in the order of the ranks that give them. Entries that are zero are stored. Collective.
    ///
    /// ```
    /// use rankine::sparse::{Distribution, SparseMatrix};
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let (rows, columns) = (Distribution::even(world, 3)?, Distribution::even(world, 2)?);
    ///     // Every rank adds 1 to the same place.
    ///     let a = SparseMatrix::from_triplets(&rows, &columns, [(2, 1, 1.0)])?;
    ///     assert_eq!(a.entries(), 1);
    ///     assert_eq!(a.to_dense()?[[2, 1]], world.size() as f64);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// An index outside the matrix; distributions of other ranks; more than a rank can number; a failure of the engine. All ranks
    /// get one.
    #[track_caller]
    pub fn from_triplets(
        rows: &Distribution,
        columns: &Distribution,
        triplets: impl IntoIterator<Item = (usize, usize, T)>,
    ) -> Result<SparseMatrix<T>> {
        let comm = rows.comm();
        let mut places = Vec::new();
        let mut values = Vec::new();
        let mut refused = check_ranks(rows, columns);
        for (row, column, value) in triplets {
            if row >= rows.total() || column >= columns.total() {
                let error = outside("SparseMatrix::from_triplets", [row, column], rows, columns);
                refused = refused.and(Err(error.at(Location::caller())));
                break;
            }
            places.push([row, column]);
            values.push(value);
        }
        comm.agree(refused)?;

        // Sorted by owner, in the order in which they were given.
        let owners: Vec<u32> =
            places.iter().map(|&[row, _]| rows.owner(row).unwrap_or_default() as u32).collect();
        let mut counts = vec![0; comm.size()];
        owners.iter().for_each(|&owner| counts[owner as usize] += 1);
        let order = counting_order(&owners, &counts);
        let sent: Vec<[usize; 2]> = order.iter().map(|&at| places[at]).collect();
        drop(places);
        let (places, _) = comm.alltoallv(&sent, &counts)?;
        drop(sent);
        let sent: Vec<T> = order.iter().map(|&at| values[at]).collect();
        drop((values, order));
        let (values, _) = comm.alltoallv(&sent, &counts)?;
        drop(sent);
        SparseMatrix::of_own(rows, columns, &places, &values)
    }

    /// Row by row: `row` is called for each of this rank's rows, in order, and puts its columns and values into a list that is
    /// empty before. Columns may come in any order; values of one place are summed as they come. Nothing but the matrix is held,
    /// so this is the way for large ones. Collective.
    ///
    /// ```
    /// use rankine::sparse::{Distribution, SparseMatrix};
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let rows = Distribution::even(world, 5)?;
    ///     // The second difference on a ring.
    ///     let a = SparseMatrix::from_rows(&rows, &rows, |i, entries| {
    ///         entries.extend([(i, 2.0), ((i + 1) % 5, -1.0), ((i + 4) % 5, -1.0)]);
    ///     })?;
    ///     assert_eq!((a.entries(), a.to_dense()?[[4, 0]]), (15, -1.0));
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// As [`SparseMatrix::from_triplets`]; more than this rank's memory holds.
    #[track_caller]
    pub fn from_rows(
        rows: &Distribution,
        columns: &Distribution,
        mut row: impl FnMut(usize, &mut Vec<(usize, T)>),
    ) -> Result<SparseMatrix<T>> {
        rows.comm().agree(check_ranks(rows, columns))?;
        let place = Location::caller();
        let (mut compressed, mut entries) = (Compressed::new(rows, columns), Vec::new());
        let added = rows.range().try_for_each(|index| {
            row(index, &mut entries);
            match entries.iter().find(|&&(column, _)| column >= columns.total()) {
                Some(&(column, _)) => {
                    Err(outside("SparseMatrix::from_rows", [index, column], rows, columns).at(place))
                }
                None => compressed.add(&mut entries),
            }
        });
        compressed.finish(added)
    }

    /// Of triplets of own rows.
    #[track_caller]
    pub(super) fn of_own(
        rows: &Distribution,
        columns: &Distribution,
        places: &[[usize; 2]],
        values: &[T],
    ) -> Result<SparseMatrix<T>> {
        let first = rows.range().start;
        let of_row: Vec<u32> = places.iter().map(|&[row, _]| (row - first) as u32).collect();
        let mut counts = vec![0; rows.len()];
        of_row.iter().for_each(|&row| counts[row as usize] += 1);
        let order = counting_order(&of_row, &counts);
        drop(of_row);
        let (mut compressed, mut rest) = (Compressed::new(rows, columns), &order[..]);
        let (mut row, mut added) = (Vec::new(), Ok(()));
        for &count in &counts {
            let (mine, others) = rest.split_at(count);
            rest = others;
            row.extend(mine.iter().map(|&at| (places[at][1], values[at])));
            added = added.and_then(|()| compressed.add(&mut row));
        }
        drop(order);
        compressed.finish(added)
    }
}

fn outside(call: &str, [row, column]: [usize; 2], rows: &Distribution, columns: &Distribution) -> Error {
    let shape = format!("{}x{}", rows.total(), columns.total());
    Error::usage(format!("{call}: entry ({row}, {column}) is outside the {shape} matrix"))
        .help("rows and columns count from 0")
}

#[track_caller]
fn check_ranks(rows: &Distribution, columns: &Distribution) -> Result<()> {
    let (a, b) = (rows.comm(), columns.comm());
    if (a.rank(), a.size()) == (b.rank(), b.size()) {
        return Ok(());
    }
    Err(Error::usage(format!("SparseMatrix: rows over {} ranks, columns over {}", a.size(), b.size()))
        .help("make both distributions of one communicator")
        .at(Location::caller()))
}

/// The places of `keys` in ascending order of the keys, stable; `counts` has how many there are of each.
fn counting_order(keys: &[u32], counts: &[usize]) -> Vec<usize> {
    let mut next: Vec<usize> = Vec::with_capacity(counts.len());
    let mut sum = 0;
    for &count in counts {
        next.push(sum);
        sum += count;
    }
    let mut order = vec![0; keys.len()];
    for (at, &key) in keys.iter().enumerate() {
        order[next[key as usize]] = at;
        next[key as usize] += 1;
    }
    order
}
