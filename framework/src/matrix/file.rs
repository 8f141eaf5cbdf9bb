//! A matrix as files see it: row-major, each rank's blocks as boxes of the whole.
//!
//! What is done with the boxes is `crate::output`'s business.

use super::Matrix;
use super::axis::Stretch;
use crate::comm::Element;
use crate::output::{Partitioned, PartitionedMut, Piece};
use crate::redistribute::transpose;
use std::borrow::Cow;

impl<T: Element> Partitioned for Matrix<T> {
    type Item = T;

    fn global_shape(&self) -> Vec<usize> {
        self.shape().to_vec()
    }

    fn pieces(&self) -> Vec<Piece> {
        let (axes, [r, c]) = (self.layout.axes(), self.layout.grid().place());
        let padded = self.local_shape().to_vec();
        let piece = |rows: Stretch, columns: Stretch| Piece {
            start: vec![rows.global, columns.global],
            shape: vec![rows.len, columns.len],
            base: 0,
            offset: vec![rows.local, columns.local],
            padded: padded.clone(),
        };
        let rows = axes[0].stretches(r);
        rows.flat_map(|rows| axes[1].stretches(c).map(move |columns| (rows, columns)))
            .map(|(rows, columns)| piece(rows, columns))
            .collect()
    }

    fn elements(&self) -> &[T] {
        &self.local
    }

    /// Row after row.
    fn ordered(&self) -> Cow<'_, [T]> {
        let [rows, columns] = self.local_shape();
        if rows <= 1 || columns <= 1 {
            return Cow::Borrowed(&self.local);
        }
        Cow::Owned(turned(&self.local, rows, columns))
    }
}

impl<T: Element> PartitionedMut for Matrix<T> {
    fn elements_mut(&mut self) -> &mut [T] {
        &mut self.local
    }

    fn settle(&mut self) {
        let [rows, columns] = self.local_shape();
        if rows > 1 && columns > 1 {
            self.local = turned(&self.local, columns, rows);
        }
    }
}

/// Lines of `len` elements, `count` of them, as so many lines of `count`.
fn turned<T: Element>(from: &[T], len: usize, count: usize) -> Vec<T> {
    let mut to = vec![T::zeroed(); from.len()];
    transpose(from, len, &mut to, count, [len, count]);
    to
}
