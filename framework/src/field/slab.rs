//! A field as files see it: its block, where it lies in the whole, and the storage it is in.
//!
//! Reading and writing are `crate::output`'s business.

use super::Field;
use crate::comm::Element;
use crate::error::Result;
use crate::output::{Layout, Partitioned, PartitionedMut, Piece, Slab, SlabMut};

impl<T: Element, const D: usize> Partitioned for Field<T, D> {
    type Item = T;

    fn global_shape(&self) -> Vec<usize> {
        self.points().to_vec()
    }

    fn pieces(&self) -> Vec<Piece> {
        let own = self.own();
        vec![Piece {
            start: own.start.to_vec(),
            shape: own.shape.to_vec(),
            base: 0,
            offset: vec![self.halo(); D],
            padded: self.padded_shape().to_vec(),
        }]
    }

    fn elements(&self) -> &[T] {
        self.storage()
    }
}

impl<T: Element, const D: usize> PartitionedMut for Field<T, D> {
    fn elements_mut(&mut self) -> &mut [T] {
        self.storage_mut()
    }
}

impl<T: Element, const D: usize> Field<T, D> {
    /// This rank's block, to write to a file or to show. Local.
    ///
    /// # Errors
    /// None for a field of one to four axes.
    pub fn slab(&self) -> Result<Slab<'_, T, D>> {
        Slab::new(self.storage(), self.file_layout()?)
    }

    /// This rank's block, to read into from a file. Local.
    ///
    /// # Errors
    /// As [`Field::slab`].
    pub fn slab_mut(&mut self) -> Result<SlabMut<'_, T, D>> {
        let layout = self.file_layout()?;
        SlabMut::new(self.storage_mut(), layout)
    }

    fn file_layout(&self) -> Result<Layout<D>> {
        let own = self.own();
        Layout::with_storage(self.points(), own.start, own.shape, [self.halo(); D], self.padded_shape())
    }
}
