//! `Stretch`: consecutive elements of an array of one axis, as many on each rank as it has, none included.
//!
//! What sparse matrices, collections and particles write and read. Blocks of arrays on grids are [`Slab`](super::Slab)s.

use super::partitioned::{Partitioned, PartitionedMut, Piece};
use super::reader::Reader;
use crate::comm::{Comm, Element};
use crate::error::Result;
use crate::op::Sum;
use std::borrow::Cow;
use std::ops::Range;

/// A rank's elements `start..start + items.len()` of `total`.
pub(crate) struct Stretch<'a, T: Element> {
    pub total: usize,
    pub start: usize,
    pub items: Cow<'a, [T]>,
}

impl<'a, T: Element> Stretch<'a, T> {
    /// Of all ranks' items, in the order of the ranks. Collective.
    #[track_caller]
    pub fn of(comm: &Comm, items: impl Into<Cow<'a, [T]>>) -> Result<Self> {
        let items = items.into();
        let start = comm.exscan(items.len(), Sum)?.unwrap_or(0);
        Ok(Stretch { total: comm.allreduce(items.len(), Sum)?, start, items })
    }

    /// Elements of a dataset; `range` lies in its first axis. Collective; ranges may overlap.
    ///
    /// # Errors
    /// Those of [`Reader::read_into`].
    pub fn read(input: &Reader, range: Range<usize>) -> Result<Vec<T>> {
        let items = Cow::Owned(vec![T::zeroed(); range.len()]);
        let mut stretch = Stretch { total: input.shape()[0], start: range.start, items };
        input.read_into(&mut stretch)?;
        Ok(stretch.items.into_owned())
    }
}

impl<T: Element> Partitioned for Stretch<'_, T> {
    type Item = T;

    fn global_shape(&self) -> Vec<usize> {
        vec![self.total]
    }

    fn pieces(&self) -> Vec<Piece> {
        vec![Piece::packed(vec![self.start], vec![self.items.len()], 0)]
    }

    fn elements(&self) -> &[T] {
        &self.items
    }
}

impl<T: Element> PartitionedMut for Stretch<'_, T> {
    fn elements_mut(&mut self) -> &mut [T] {
        self.items.to_mut()
    }
}
