//! `Compressed`: rows that are given one after the other become a matrix.
//!
//! Each is sorted and its duplicates summed at once, and of its columns only 32-bit codes are kept: an own column counted from
//! the rank's first, another rank's by when it was met first. How the codes become the numbers that a product reads by is in
//! `number`.

use super::gather::Gather;
use super::matrix::{Moving, Run};
use super::number::{Numbering, number};
use super::{Distribution, SparseMatrix, Value};
use crate::Memory;
use crate::error::{Error, Result};
use crate::memory::Growing;
use crate::op::Sum;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;
use std::panic::Location;

/// Rows so far.
pub(super) struct Compressed<T: Value> {
    rows: Distribution,
    columns: Distribution,
    own: Range<usize>,
    starts: Vec<u32>,
    codes: Growing<u32>,
    values: Growing<T>,
    runs: Vec<Run>,
    /// Other ranks' columns as they were met, and when each was.
    met: Vec<usize>,
    codes_of: HashMap<usize, u32, BuildHasherDefault<Spread>>,
    /// Of one row.
    row: (Vec<u32>, Vec<T>),
}

impl<T: Value> Compressed<T> {
    pub fn new(rows: &Distribution, columns: &Distribution) -> Compressed<T> {
        let mut starts = Vec::with_capacity(rows.len() + 1);
        starts.push(0);
        Compressed {
            rows: rows.clone(),
            columns: columns.clone(),
            own: columns.range(),
            starts,
            codes: Growing::new(),
            values: Growing::new(),
            runs: Vec::new(),
            met: Vec::new(),
            codes_of: HashMap::default(),
            row: (Vec::new(), Vec::new()),
        }
    }

    /// Adds the next row, of columns that there are, and empties the list.
    ///
    /// # Errors
    /// More than a rank can number, or its memory hold.
    #[track_caller]
    pub fn add(&mut self, entries: &mut Vec<(usize, T)>) -> Result<()> {
        if !entries.is_sorted_by(|a, b| a.0 < b.0) {
            // Stable: duplicates stay in the order in which they came.
            entries.sort_by_key(|&(column, _)| column);
            entries.dedup_by(|next, kept| {
                let same = next.0 == kept.0;
                if same {
                    kept.1 += next.1;
                }
                same
            });
        }
        let (codes, values) = &mut self.row;
        codes.clear();
        values.clear();
        let mut edge = false;
        for (column, value) in entries.drain(..) {
            let code = if self.own.contains(&column) {
                column - self.own.start
            } else {
                edge = true;
                let met = &mut self.met;
                let code = *self.codes_of.entry(column).or_insert_with(|| {
                    met.push(column);
                    (met.len() - 1) as u32
                });
                self.own.len() + code as usize
            };
            codes.push(code as u32);
            values.push(value);
        }
        let (at, end) = (self.starts.len() - 1, self.codes.len() + codes.len());
        let columns = self.own.len() + self.met.len();
        // A column may take an eighth more, see `number`.
        if [at + 1, end, columns + columns / 8].into_iter().any(|count| count >= u32::MAX as usize) {
            let what =
                format!("SparseMatrix: {end} entries, {} rows and {columns} columns on one rank", at + 1);
            return Err(Error::usage(what)
                .help("a rank numbers fewer than 2^32 of each: use more ranks")
                .at(Location::caller()));
        }
        self.codes.extend(codes)?;
        self.values.extend(values)?;
        self.starts.push(end as u32);
        match self.runs.last_mut() {
            Some(run) if run.edge == edge => run.rows.end = at + 1,
            _ => self.runs.push(Run { rows: at..at + 1, edge }),
        }
        Ok(())
    }

    /// The matrix of all rows, unless one could not be added, here or elsewhere. Collective.
    #[track_caller]
    pub fn finish(self, added: Result<()>) -> Result<SparseMatrix<T>> {
        let Compressed { rows, columns, starts, runs, codes, values, met, own, codes_of, .. } = self;
        drop(codes_of);
        let comm = rows.comm();
        let joined = added.and_then(|()| Ok((codes.join()?, values.join()?)));
        let (mut numbers, values) = comm.agree(joined)?;
        let Numbering { packed, near, ghosts } =
            number::<T>(&mut numbers, &starts, &runs, own.len(), &met, &columns);
        let gather = Gather::new(&columns, &ghosts)?;
        let entries = comm.allreduce(values.len(), Sum)?;
        let work = Memory::filled(near.len() + ghosts.len(), T::default());
        let moving = RefCell::new(Moving { gather, work });
        Ok(SparseMatrix {
            rows,
            columns,
            starts,
            numbers,
            values,
            runs,
            packed,
            near,
            ghosts,
            entries,
            moving,
        })
    }
}

/// Spreads indices over a table: they come from no enemy, and are looked up once an entry.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_usize(byte.into()));
    }
    fn write_usize(&mut self, index: usize) {
        // The odd number next to 2^64 over the golden ratio; the table looks at both ends of the product.
        let product = u128::from(self.0 ^ index as u64) * 0x9E37_79B9_7F4A_7C15;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}
