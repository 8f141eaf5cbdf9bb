//! `Partition`: where the blocks of a grid are cut, and which rank owns which.
//!
//! How many ranks stand along each axis is decided in `choose`, or by the author.

use super::Block;

/// Blocks of a box of cells and the ranks that own them.
///
/// Ranks stand in a lattice, row-major. Along each axis one in `step` owns a block: a grid that has become too small
/// for all of them is left to fewer. Ranks beyond the lattice own nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partition<const D: usize> {
    /// For each axis the first cell of every block, and at last the number of cells.
    pub(super) cuts: [Vec<usize>; D],
    lattice: [usize; D],
    pub(super) step: [usize; D],
}

impl<const D: usize> Partition<D> {
    /// Cells dealt evenly; the first blocks of an axis take the remainder.
    pub fn even(cells: [usize; D], dims: [usize; D]) -> Partition<D> {
        let cuts = std::array::from_fn(|axis| {
            let (each, more) = (cells[axis] / dims[axis], cells[axis] % dims[axis]);
            (0..=dims[axis]).map(|block| block * each + block.min(more)).collect()
        });
        Partition { cuts, lattice: dims, step: [1; D] }
    }

    /// Blocks of given sizes along each axis; at least one on each.
    pub fn of_sizes(sizes: &[Vec<usize>; D]) -> Partition<D> {
        let cuts = std::array::from_fn(|axis| {
            let mut cuts = vec![0];
            for size in &sizes[axis] {
                cuts.push(cuts[cuts.len() - 1] + size);
            }
            cuts
        });
        Partition { cuts, lattice: std::array::from_fn(|axis| sizes[axis].len()), step: [1; D] }
    }

    /// Blocks along each axis.
    pub fn dims(&self) -> [usize; D] {
        std::array::from_fn(|axis| self.cuts[axis].len() - 1)
    }

    /// How many ranks own a block.
    pub fn owners(&self) -> usize {
        self.dims().iter().product()
    }

    /// Cells of the whole box.
    pub fn cells(&self) -> [usize; D] {
        std::array::from_fn(|axis| self.cuts[axis][self.cuts[axis].len() - 1])
    }

    /// The place of a rank's block among [`dims`](Partition::dims); `None` if it owns none.
    pub fn coords(&self, mut rank: usize) -> Option<[usize; D]> {
        let mut coords = [0; D];
        for axis in (0..D).rev() {
            let along = rank % self.lattice[axis];
            rank /= self.lattice[axis];
            if !along.is_multiple_of(self.step[axis]) {
                return None;
            }
            coords[axis] = along / self.step[axis];
        }
        (rank == 0).then_some(coords)
    }

    /// The rank whose block is at a place.
    pub fn rank(&self, coords: [usize; D]) -> usize {
        (0..D).fold(0, |rank, axis| rank * self.lattice[axis] + coords[axis] * self.step[axis])
    }

    /// The block at a place.
    pub fn block(&self, coords: [usize; D]) -> Block<D> {
        let ends: [_; D] =
            std::array::from_fn(|axis| (self.cuts[axis][coords[axis]], self.cuts[axis][coords[axis] + 1]));
        Block { start: ends.map(|ends| ends.0), shape: ends.map(|ends| ends.1 - ends.0) }
    }

    /// The place of the block that a cell is in; `None` outside the box.
    pub fn place(&self, cell: [usize; D]) -> Option<[usize; D]> {
        let mut coords = [0; D];
        for axis in 0..D {
            let behind = self.cuts[axis].partition_point(|&cut| cut <= cell[axis]);
            coords[axis] = behind.checked_sub(1).filter(|&block| block < self.cuts[axis].len() - 1)?;
        }
        Some(coords)
    }

    /// The place one block away in each direction that is not 0; `None` beyond an edge that is not periodic.
    pub fn beside(
        &self,
        coords: [usize; D],
        periodic: [bool; D],
        direction: [isize; D],
    ) -> Option<[usize; D]> {
        let mut to = coords;
        for axis in 0..D {
            let blocks = self.cuts[axis].len() - 1;
            to[axis] = match coords[axis].checked_add_signed(direction[axis]) {
                Some(coord) if coord < blocks => coord,
                _ if !periodic[axis] => return None,
                Some(_) => 0,
                None => blocks - 1,
            };
        }
        Some(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_has_the_owner_whose_block_it_is_in() {
        let mut cases = vec![Partition::even([7, 5], [3, 2]), Partition::of_sizes(&[vec![1, 4, 2], vec![5]])];
        cases.push(Partition { cuts: [vec![0, 3, 7], vec![0, 5]], lattice: [4, 3], step: [2, 3] });
        for partition in cases {
            let ranks: usize = partition.lattice.iter().product();
            assert_eq!(partition.cells(), [7, 5]);
            assert_eq!((0..ranks).filter_map(|rank| partition.coords(rank)).count(), partition.owners());
            for cell in (0..35).map(|i| [i / 5, i % 5]) {
                let place = partition.place(cell).unwrap();
                assert!(partition.block(place).contains(cell));
                assert_eq!(partition.coords(partition.rank(place)), Some(place));
            }
            assert_eq!((partition.place([7, 0]), partition.place([0, 5])), (None, None));
            assert_eq!(partition.coords(ranks), None);
        }
    }

    #[test]
    fn neighbors_are_round_the_edge_on_periodic_axes_only() {
        let partition = Partition::even([8, 8], [4, 2]);
        assert_eq!(partition.beside([3, 0], [true, false], [1, 1]), Some([0, 1]));
        assert_eq!(partition.beside([3, 0], [true, false], [1, -1]), None);
        assert_eq!(partition.beside([0, 0], [true, true], [-1, -1]), Some([3, 1]));
    }
}
