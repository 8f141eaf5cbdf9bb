//! `SparseMatrix`: compressed rows, dealt to ranks; and what can be seen of it.
//!
//! How it is made is in `assemble`, how it multiplies in `multiply`, Matrix Market files in `market`.

use super::gather::Gather;
use super::{Distribution, Value, Vector};
use crate::Memory;
use crate::error::Result;
use crate::op::Sum;
use std::cell::RefCell;
use std::ops::Range;

/// A sparse matrix whose rows are dealt to ranks.
///
/// A rank has its rows whole, each in ascending order of the columns, in compressed form (CSR) with 32-bit column numbers of its
/// own. Rows that read only the rank's own values of a vector are multiplied while the values that others need of
/// other ranks are on their way. A row is summed in one order whatever the number of ranks, so a product is the same
/// to the bit. Where rows read a vector far and wide, and other rows the same places again, each product first copies it into the
/// order in which it is read.
///
/// A rank holds fewer than 2³² entries and 2³² columns.
pub struct SparseMatrix<T: Value> {
    pub(super) rows: Distribution,
    pub(super) columns: Distribution,
    /// Where each row begins, and the end of the last.
    pub(super) starts: Vec<u32>,
    /// Places in `work`; or, in inner rows of a matrix that is not `packed`, counted from the rank's first column.
    pub(super) numbers: Memory<u32>,
    pub(super) values: Memory<T>,
    /// All rows, in order.
    pub(super) runs: Vec<Run>,
    /// Whether inner rows, too, read from `work`, where their values lie closer together: see `number`.
    pub(super) packed: bool,
    /// The rank's own columns that are read from `work`: ascending, or if packed by their first use.
    pub(super) near: Vec<u32>,
    /// The other ranks' columns that are: by their owners, and within those as `near`.
    pub(super) ghosts: Vec<usize>,
    pub(super) entries: usize,
    pub(super) moving: RefCell<Moving<T>>,
}

/// What changes in a multiplication.
pub(super) struct Moving<T: Value> {
    pub gather: Gather<T>,
    /// The values at `near`, then those at `ghosts`.
    pub work: Memory<T>,
}

/// Consecutive rows of one kind, counted from the rank's first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Run {
    pub rows: Range<usize>,
    /// Whether they read other ranks' columns.
    pub edge: bool,
}

impl<T: Value> SparseMatrix<T> {
    /// How the rows are dealt to ranks: the distribution of a product.
    pub fn rows(&self) -> &Distribution {
        &self.rows
    }

    /// How the columns are: the distribution of vectors that it multiplies.
    pub fn columns(&self) -> &Distribution {
        &self.columns
    }

    /// How many entries are stored, on all ranks. Local.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// How many entries this rank has.
    pub fn local_entries(&self) -> usize {
        self.values.len()
    }

    /// How many values this rank sends to others in a multiplication.
    pub fn sent_values(&self) -> usize {
        self.moving.borrow().gather.sent()
    }

    /// How many of this rank's rows need values of other ranks; the others are multiplied meanwhile.
    pub fn edge_rows(&self) -> usize {
        self.runs.iter().filter(|run| run.edge).map(|run| run.rows.len()).sum()
    }

    /// The columns and values of a row, by its global index, in ascending order of the columns; `None` where another rank
    /// has it. Local.
    pub fn row(&self, row: usize) -> Option<impl Iterator<Item = (usize, T)> + '_> {
        let range = self.rows.range();
        let at = range.contains(&row).then(|| row - range.start)?;
        let run = self.runs.partition_point(|run| run.rows.end <= at);
        Some(self.row_at(at, self.runs.get(run)?.edge))
    }

    /// Row, column and value of every entry of this rank, row after row. Local.
    pub fn iter(&self) -> impl Iterator<Item = (usize, usize, T)> + '_ {
        let first = self.rows.range().start;
        self.runs.iter().flat_map(move |run| {
            run.rows.clone().flat_map(move |at| {
                self.row_at(at, run.edge).map(move |(column, value)| (first + at, column, value))
            })
        })
    }

    /// Gives every entry of this rank the value that `value` makes of its row, column and value. Local: where entries
    /// are stays as it is.
    pub fn map_values(&mut self, mut value: impl FnMut(usize, usize, T) -> T) {
        let first = self.rows.range().start;
        // The columns are looked up in the matrix meanwhile.
        let mut values = std::mem::replace(&mut self.values, Memory::from(Vec::new()));
        for run in &self.runs {
            for at in run.rows.clone() {
                for entry in self.starts[at] as usize..self.starts[at + 1] as usize {
                    let column = self.column(run.edge, self.numbers[entry]);
                    values[entry] = value(first + at, column, values[entry]);
                }
            }
        }
        self.values = values;
    }

    /// The diagonal, with zeros where nothing is stored. Local.
    pub fn diagonal(&self) -> Vector<T> {
        let mut diagonal = Vector::zeros(&self.rows);
        let first = self.rows.range().start;
        for (row, column, value) in self.iter() {
            if row == column {
                diagonal.local_mut()[row - first] = value;
            }
        }
        diagonal
    }

    /// The Frobenius norm. Collective.
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn norm(&self) -> Result<f64> {
        let mine: f64 = self.values.iter().map(|value| value.abs_squared()).sum();
        Ok(self.rows.comm().allreduce(mine, Sum)?.sqrt())
    }

    fn row_at(&self, at: usize, edge: bool) -> impl Iterator<Item = (usize, T)> + '_ {
        let entries = self.starts[at] as usize..self.starts[at + 1] as usize;
        let numbers = self.numbers[entries.clone()].iter();
        numbers.zip(&self.values[entries]).map(move |(&number, &value)| (self.column(edge, number), value))
    }

    /// The global column behind a number.
    fn column(&self, edge: bool, number: u32) -> usize {
        let number = number as usize;
        match edge || self.packed {
            false => self.columns.range().start + number,
            true => match self.near.get(number) {
                Some(&near) => self.columns.range().start + near as usize,
                None => self.ghosts[number - self.near.len()],
            },
        }
    }
}

impl<T: Value> std::fmt::Debug for SparseMatrix<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (rows, columns) = (self.rows.total(), self.columns.total());
        write!(f, "SparseMatrix({rows}x{columns}, {} entries, {} here)", self.entries, self.values.len())
    }
}
