//! `Block`, a box of cells by their global indices, and `Side`, an end of an axis.
//!
//! Who owns which block is in `partition`.

/// A box of cells, by global indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block<const D: usize> {
    /// The lowest index on each axis.
    pub start: [usize; D],
    /// How many cells on each axis.
    pub shape: [usize; D],
}

impl<const D: usize> Block<D> {
    /// No cell at all.
    pub(crate) const EMPTY: Block<D> = Block { start: [0; D], shape: [0; D] };

    /// How many cells.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no cell in it.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// Whether the cell is in it.
    pub fn contains(&self, cell: [usize; D]) -> bool {
        (0..D).all(|axis| cell[axis] >= self.start[axis] && cell[axis] - self.start[axis] < self.shape[axis])
    }

    /// Its cells, the last axis fastest.
    ///
    /// ```
    /// let block = rankine::Block { start: [4, 7], shape: [2, 2] };
    /// assert!(block.cells().eq([[4, 7], [4, 8], [5, 7], [5, 8]]));
    /// ```
    pub fn cells(&self) -> impl Iterator<Item = [usize; D]> + use<D> {
        let Block { start, shape } = *self;
        (0..self.len()).map(move |mut rest| {
            let mut cell = start;
            for axis in (0..D).rev() {
                cell[axis] += rest % shape[axis];
                rest /= shape[axis];
            }
            cell
        })
    }

    /// The cells that are in both, if there are any.
    pub fn intersect(&self, other: &Block<D>) -> Option<Block<D>> {
        let mut both = Block { start: [0; D], shape: [0; D] };
        for axis in 0..D {
            let start = self.start[axis].max(other.start[axis]);
            let end = (self.start[axis] + self.shape[axis]).min(other.start[axis] + other.shape[axis]);
            both.start[axis] = start;
            both.shape[axis] = end.checked_sub(start).filter(|&cells| cells > 0)?;
        }
        Some(both)
    }
}

/// One of the two ends of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Towards index 0.
    Low,
    /// Towards the last index.
    High,
}

impl Side {
    /// Both, low first.
    pub const BOTH: [Side; 2] = [Side::Low, Side::High];
}
