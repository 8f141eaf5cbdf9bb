//! How many ranks stand along each axis: the choice that communicates least, or why there is none.
//!
//! It looks at numbers only; where the blocks then lie is in `partition`.

use super::by;
use super::partition::Partition;
use crate::error::{Error, Result};

/// What a cell of a face costs against a cell of axis 0's faces. Those are one contiguous piece, sent from where
/// they lie. Faces of a middle axis are rows that are packed and unpacked. Those of the last axis touch a cache line
/// for each `halo` cells, and no part of a row can be computed well before they are there.
const FACE: f64 = 1.0;
const FACE_OF_ROWS: f64 = 1.2;
const FACE_OF_CELLS: f64 = 4.0;

/// What a cell of a face costs to send and receive against a cell to compute: a handful of memory accesses each.
const SENT: f64 = 3.0;

/// What an author wants of a grid.
#[derive(Clone, Debug)]
pub(super) struct Wanted<const D: usize> {
    pub cells: [usize; D],
    pub halo: usize,
    pub periodic: [bool; D],
    pub dims: Option<[usize; D]>,
    pub blocks: Option<[Vec<usize>; D]>,
    /// Whether ranks may be left without cells.
    pub idle: bool,
}

/// Where the blocks lie, or why they cannot.
pub(super) fn decide<const D: usize>(ranks: usize, wanted: &Wanted<D>) -> Result<Partition<D>> {
    let Wanted { cells, halo, periodic, dims: given, blocks, idle } = wanted;
    let (cells, halo, periodic) = (*cells, *halo, *periodic);
    let shape = by(cells);
    if !(1..=4).contains(&D) {
        return Err(Error::usage(format!("a grid of {D} axes")).help("a grid has 1, 2, 3 or 4 axes"));
    }
    if cells.contains(&0) {
        return Err(
            Error::usage(format!("a grid of {shape} cells")).help("give at least one cell on every axis")
        );
    }
    if cells.iter().try_fold(1usize, |product, &n| product.checked_mul(n)).is_none() {
        return Err(Error::usage(format!("a grid of {shape} cells"))
            .help(format!("their number must be below {}", usize::MAX)));
    }
    if let Some(axis) = (0..D).find(|&axis| cells[axis] < halo) {
        return Err(Error::usage(format!(
            "{shape} cells with a halo of {halo}: axis {axis} has only {} cells",
            cells[axis]
        ))
        .help("give at least as many cells on every axis as the halo is wide"));
    }
    // A block narrower than the halo would need cells of its neighbour's neighbour.
    let most = cells.map(|n| n / halo.max(1));
    if let Some(blocks) = blocks {
        return of_sizes(ranks, cells, halo, blocks);
    }
    if let &Some(dims) = given {
        if dims.iter().try_fold(1usize, |product, &n| product.checked_mul(n)) != Some(ranks) {
            return Err(Error::usage(format!("dims {} on {ranks} ranks", by(dims)))
                .help("the product of the dims is the number of ranks"));
        }
        return match (0..D).find(|&axis| dims[axis] > most[axis]) {
            None => Ok(Partition::even(cells, dims)),
            Some(axis) => Err(Error::usage(format!(
                "{} ranks along axis {axis} of {shape} cells: a block would be narrower than {}",
                dims[axis],
                if halo > 1 { format!("the halo of {halo} cells") } else { "one cell".to_string() }
            ))
            .help(format!("put at most {} ranks along axis {axis}", most[axis]))),
        };
    }
    let fewest = if *idle { 1 } else { ranks };
    (fewest..=ranks)
        .rev()
        .find_map(|ranks| choose(ranks, cells, most, halo, periodic))
        .map(|dims| Partition::even(cells, dims))
        .ok_or_else(|| does_not_fit(ranks, cells, most, halo))
}

/// The blocks whose sizes the author gave.
fn of_sizes<const D: usize>(
    ranks: usize,
    cells: [usize; D],
    halo: usize,
    sizes: &[Vec<usize>; D],
) -> Result<Partition<D>> {
    let dims: [usize; D] = std::array::from_fn(|axis| sizes[axis].len());
    if dims.iter().try_fold(1usize, |product, &n| product.checked_mul(n)) != Some(ranks) {
        return Err(Error::usage(format!("blocks {} on {ranks} ranks", by(dims)))
            .help("give as many blocks along the axes as their product is ranks"));
    }
    for axis in 0..D {
        let sum = sizes[axis].iter().try_fold(0usize, |sum, &size| sum.checked_add(size));
        if sum != Some(cells[axis]) {
            return Err(Error::usage(format!(
                "blocks of {:?} cells along axis {axis}, which has {}",
                sizes[axis], cells[axis]
            ))
            .help("the sizes of an axis's blocks add up to its cells"));
        }
        if let Some(size) = sizes[axis].iter().find(|&&size| size < halo.max(1)) {
            return Err(Error::usage(format!("a block of {size} cells along axis {axis}")).help(format!(
                "give every block at least {} cells: the halo, and at least one",
                halo.max(1)
            )));
        }
    }
    Ok(Partition::of_sizes(sizes))
}

/// The factorisation of `ranks` that takes the slowest rank the least time, by the model at the top of this file.
fn choose<const D: usize>(
    ranks: usize,
    cells: [usize; D],
    most: [usize; D],
    halo: usize,
    periodic: [bool; D],
) -> Option<[usize; D]> {
    let mut best: Option<(f64, [usize; D])> = None;
    factorisations(ranks, most, |dims| {
        let cost = cost(cells, dims, halo, periodic);
        // Ties go to the earliest axis, which comes last.
        if best.is_none_or(|(least, _)| cost <= least) {
            best = Some((cost, dims));
        }
    });
    best.map(|(_, dims)| dims)
}

fn cost<const D: usize>(cells: [usize; D], dims: [usize; D], halo: usize, periodic: [bool; D]) -> f64 {
    let shape: [f64; D] = std::array::from_fn(|axis| cells[axis].div_ceil(dims[axis]) as f64);
    let volume: f64 = shape.iter().product();
    let faces: f64 = (0..D)
        .map(|axis| {
            let weight = match axis {
                0 => FACE,
                _ if axis == D - 1 => FACE_OF_CELLS,
                _ => FACE_OF_ROWS,
            };
            // An axis that is not split sends nothing, periodic or not.
            let faces = match dims[axis] {
                1 => 0.0,
                2 if !periodic[axis] => 1.0,
                _ => 2.0,
            };
            faces * weight * volume / shape[axis]
        })
        .sum();
    volume + SENT * halo.max(1) as f64 * faces
}

/// Calls `each` with every way to write `ranks` as a product with at most `most` along each axis.
fn factorisations<const D: usize>(ranks: usize, most: [usize; D], mut each: impl FnMut([usize; D])) {
    fn deal<const D: usize>(
        axis: usize,
        left: usize,
        most: &[usize; D],
        dims: &mut [usize; D],
        each: &mut impl FnMut([usize; D]),
    ) {
        if axis + 1 >= D {
            if left <= most[D - 1] {
                dims[D - 1] = left;
                each(*dims);
            }
            return;
        }
        for factor in (1..=left.min(most[axis])).filter(|factor| left.is_multiple_of(*factor)) {
            dims[axis] = factor;
            deal(axis + 1, left / factor, most, dims, each);
        }
    }
    deal(0, ranks, &most, &mut [1; D], &mut each);
}

#[cold]
fn does_not_fit<const D: usize>(ranks: usize, cells: [usize; D], most: [usize; D], halo: usize) -> Error {
    let fits = |ranks: usize| {
        let mut found = false;
        factorisations(ranks, most, |_| found = true);
        found
    };
    let limit = most.iter().fold(1usize, |product, &n| product.saturating_mul(n));
    let what = if ranks > limit {
        format!("{ranks} ranks, but {} cells", by(cells))
    } else {
        format!("{ranks} ranks cannot be dealt to {} cells", by(cells))
    };
    let narrow = if halo > 1 { format!(" with a halo of {halo}") } else { String::new() };
    let below = (1..ranks).rev().find(|&fewer| fits(fewer)).unwrap_or(1);
    let above = (ranks + 1..=limit.min(ranks.saturating_mul(4))).find(|&more| fits(more));
    let limit = format!("at most {} ranks along the axes{narrow}", by(most));
    Error::usage(format!("{what}: {limit}")).help(match above {
        Some(above) => format!("use {below} or {above} ranks"),
        None => format!("use {below} ranks"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted<const D: usize>(cells: [usize; D], halo: usize, dims: Option<[usize; D]>) -> Wanted<D> {
        Wanted { cells, halo, periodic: [false; D], dims, blocks: None, idle: false }
    }

    fn dims<const D: usize>(ranks: usize, cells: [usize; D]) -> [usize; D] {
        decide(ranks, &wanted(cells, 1, None)).unwrap().dims()
    }

    #[test]
    fn ranks_may_be_left_idle() {
        let idle =
            |ranks, cells| decide(ranks, &Wanted { idle: true, ..wanted(cells, 1, None) }).unwrap().dims();
        assert_eq!(idle(7, [5, 1]), [5, 1]);
        assert_eq!(idle(7, [5, 5]), [3, 2]);
        assert_eq!(idle(7, [7, 1]), [7, 1]);
    }

    #[test]
    fn a_hypercube_is_cut_along_its_first_axes() {
        assert_eq!(dims(4, [32; 4]), [2, 2, 1, 1]);
        assert_eq!(dims(8, [32; 4]), [2, 2, 2, 1]);
    }

    #[test]
    fn blocks_may_be_given() {
        let of = |ranks, blocks: [Vec<usize>; 2]| {
            decide(ranks, &Wanted { blocks: Some(blocks), ..wanted([6, 4], 2, None) })
        };
        assert_eq!(of(2, [vec![4, 2], vec![4]]).unwrap().block([1, 0]).shape, [2, 4]);
        for (blocks, words) in [
            ([vec![4, 2], vec![2, 2]], "2x2 on 2 ranks"),
            ([vec![4, 3], vec![4]], "which has 6"),
            ([vec![5, 1], vec![4]], "a block of 1 cells"),
        ] {
            let error = of(2, blocks).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn a_cube_is_cut_where_faces_are_cheap() {
        assert_eq!(dims(2, [256, 256, 256]), [2, 1, 1]);
        assert_eq!(dims(4, [256, 256, 256]), [2, 2, 1]);
        assert_eq!(dims(8, [256, 256, 256]), [4, 2, 1]);
        assert_eq!(dims(64, [256, 256, 256]), [8, 4, 2]);
        assert_eq!(dims(7, [64, 64, 64]), [7, 1, 1]);
    }

    #[test]
    fn long_axes_are_cut_first() {
        assert_eq!(dims(4, [4, 1000, 4]), [1, 4, 1]);
        assert_eq!(dims(4, [4, 4, 100_000]), [1, 1, 4]);
        assert_eq!(dims(2, [1, 100]), [1, 2]);
        assert_eq!(dims(5, [10, 3, 3]), [5, 1, 1]);
    }

    #[test]
    fn few_planes_are_not_dealt_unevenly() {
        // Four ranks along axis 0 would leave one with 2 of 5 planes.
        assert_eq!(dims(4, [5, 400, 40]), [1, 4, 1]);
    }

    fn no<const D: usize>(ranks: usize, cells: [usize; D], halo: usize, given: Option<[usize; D]>) -> Error {
        decide(ranks, &wanted(cells, halo, given)).unwrap_err()
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let error = no(7, [1, 2, 3], 1, None);
        assert!(error.to_string().contains("7 ranks, but 1x2x3 cells"), "{error}");
        assert!(error.to_string().contains("use 6 ranks"), "{error}");
        let error = no(7, [5, 5], 1, None);
        assert!(error.to_string().contains("use 6 or 8 ranks"), "{error}");
        let error = no(4, [5, 1], 2, None);
        assert!(error.to_string().contains("axis 1 has only 1 cells"), "{error}");
        let error = no(4, [6, 3], 3, None);
        assert!(error.to_string().contains("with a halo of 3"), "{error}");
        no(1, [usize::MAX, 2], 1, None);
        no(1, [3, 0], 1, None);
        no::<0>(1, [], 1, None);
        no(1, [2; 5], 1, None);
        no(6, [10, 10], 1, Some([2, 2]));
        let error = no(6, [4, 10], 1, Some([6, 1]));
        assert!(error.to_string().contains("at most 4 ranks along axis 0"), "{error}");
    }
}
