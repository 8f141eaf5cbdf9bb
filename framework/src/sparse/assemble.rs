//! Making a matrix of triplets: to the owners of their rows, into order, duplicates summed, columns numbered.
//!
//! What is read from a file comes through here, too (`market`).

use super::gather::Gather;
use super::matrix::{Moving, Run};
use super::{Distribution, SparseMatrix, Value};
use crate::error::{Error, Result};
use crate::op::Sum;
use std::cell::RefCell;
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
                let shape = format!("{}x{}", rows.total(), columns.total());
                refused = refused.and(Err(Error::usage(format!(
                    "SparseMatrix::from_triplets: entry ({row}, {column}) is outside the {shape} matrix"
                ))
                .help("rows and columns count from 0")
                .at(Location::caller())));
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

    /// Of triplets of own rows.
    #[track_caller]
    pub(super) fn of_own(
        rows: &Distribution,
        columns: &Distribution,
        places: &[[usize; 2]],
        values: &[T],
    ) -> Result<SparseMatrix<T>> {
        let comm = rows.comm();
        let (first, own) = (rows.range().start, columns.range());
        let fits = match places.len().max(own.len()) < u32::MAX as usize && rows.len() < u32::MAX as usize {
            true => Ok(()),
            false => Err(Error::usage(format!(
                "SparseMatrix: {} entries, {} rows and {} columns on one rank",
                places.len(),
                rows.len(),
                own.len()
            ))
            .help("a rank numbers fewer than 2^32 of each: use more ranks")
            .at(Location::caller())),
        };
        comm.agree(fits)?;

        let of_row: Vec<u32> = places.iter().map(|&[row, _]| (row - first) as u32).collect();
        let mut counts = vec![0; rows.len()];
        of_row.iter().for_each(|&row| counts[row as usize] += 1);
        let mut order = counting_order(&of_row, &counts);
        // Global columns and values, row after row, duplicates summed.
        let mut starts = Vec::with_capacity(rows.len() + 1);
        let (mut merged, mut summed): (Vec<usize>, Vec<T>) = (Vec::new(), Vec::new());
        starts.push(0u32);
        let mut rest = &mut order[..];
        for &count in &counts {
            let (row, others) = std::mem::take(&mut rest).split_at_mut(count);
            rest = others;
            let begin = merged.len();
            // A stable sort: duplicates stay in the order in which they came.
            row.sort_by_key(|&at| places[at][1]);
            for &mut at in row {
                let (column, value) = (places[at][1], values[at]);
                match merged[begin..].last() {
                    Some(&last) if last == column => {
                        let last = summed.len() - 1;
                        summed[last] += value;
                    }
                    _ => {
                        merged.push(column);
                        summed.push(value);
                    }
                }
            }
            starts.push(merged.len() as u32);
        }

        let row_of = |at: usize| starts[at] as usize..starts[at + 1] as usize;
        let mut runs: Vec<Run> = Vec::new();
        let (mut near, mut ghosts) = (Vec::new(), Vec::new());
        for at in 0..rows.len() {
            let row = &merged[row_of(at)];
            let edge = row.iter().any(|column| !own.contains(column));
            match runs.last_mut() {
                Some(run) if run.edge == edge => run.rows.end = at + 1,
                _ => runs.push(Run { rows: at..at + 1, edge }),
            }
            if edge {
                let (mine, others): (Vec<usize>, Vec<usize>) =
                    row.iter().partition(|column| own.contains(column));
                near.extend(mine.into_iter().map(|column| (column - own.start) as u32));
                ghosts.extend(others);
            }
        }
        near.sort_unstable();
        near.dedup();
        ghosts.sort_unstable();
        ghosts.dedup();
        let place_of = |column: &usize| -> u32 {
            let place = match own.contains(column) {
                true => near.partition_point(|&near| (near as usize) < column - own.start),
                false => near.len() + ghosts.partition_point(|ghost| ghost < column),
            };
            place as u32
        };
        let numbers = runs.iter().flat_map(|run| {
            let entries = row_of(run.rows.start).start..row_of(run.rows.end - 1).end;
            let (edge, own, place_of) = (run.edge, &own, &place_of);
            merged[entries].iter().map(move |column| match edge {
                false => (column - own.start) as u32,
                true => place_of(column),
            })
        });
        let numbers: Vec<u32> = numbers.collect();
        drop(merged);

        let gather = Gather::new(columns, &ghosts)?;
        let entries = comm.allreduce(summed.len(), Sum)?;
        let work = vec![T::default(); near.len() + ghosts.len()];
        Ok(SparseMatrix {
            rows: rows.clone(),
            columns: columns.clone(),
            starts,
            numbers,
            values: summed,
            runs,
            near,
            ghosts,
            entries,
            moving: RefCell::new(Moving { gather, work }),
        })
    }
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
