//! Copies of boxes of cells between arrays of any strides, also where the order of the axes changes.
//!
//! It knows of memory only: which box goes where is `pieces`' business. Rows that are contiguous on both sides are
//! copied whole. Where the contiguous axes differ, tiles of whole cache lines are transposed, so that no line is fetched
//! or written in parts.

use crate::comm::Element;

/// Where a box lies in a slice: its first cell, and how far apart neighbours on each axis are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<const D: usize> {
    pub base: usize,
    pub strides: [usize; D],
}

impl<const D: usize> Place<D> {
    /// The place of a box that fills a slice, in C order.
    pub fn dense(shape: [usize; D]) -> Place<D> {
        let mut strides = [1; D];
        for axis in (1..D).rev() {
            strides[axis - 1] = strides[axis] * shape[axis];
        }
        Place { base: 0, strides }
    }

    /// The same array seen from a cell that is `offset` further on each axis.
    pub fn at(self, offset: [usize; D]) -> Place<D> {
        let base = (0..D).fold(self.base, |base, axis| base + offset[axis] * self.strides[axis]);
        Place { base, ..self }
    }
}

/// Cells on each side of a tile: its lines are a cache line of eight bytes a cell, or two of sixteen.
const TILE: usize = 8;

/// Bytes that a core's second-level cache holds beside much else.
const NEAR: usize = 256 << 10;

/// Fewer cells are not worth a second thread.
const WORTH_A_THREAD: usize = 1 << 14;

/// One axis of a copy: cells, and the strides on both sides.
#[derive(Clone, Copy, Default)]
struct Axis {
    cells: usize,
    from: usize,
    into: usize,
}

/// Copies a box of `shape` from one array to another, on the rank's threads. Strides are of the same axes on both sides, so
/// strides of `into` that do not fall from axis to axis transpose. Cells of `to` do not overlap.
pub(crate) fn copy<T: Element, const D: usize>(
    from: &[T],
    at: Place<D>,
    to: &mut [T],
    into: Place<D>,
    shape: [usize; D],
) {
    if shape.contains(&0) {
        return;
    }
    let mut axes: [Axis; D] = std::array::from_fn(|axis| Axis {
        cells: shape[axis],
        from: at.strides[axis],
        into: into.strides[axis],
    });
    // In the order in which the target lies in memory.
    axes.sort_unstable_by_key(|axis| std::cmp::Reverse(axis.into));
    let mut count = 0usize;
    for index in 0..D {
        let axis = axes[index];
        if axis.cells == 1 {
            continue;
        }
        match count.checked_sub(1).map(|before| &mut axes[before]) {
            // One run on both sides.
            Some(outer) if outer.from == axis.from * axis.cells && outer.into == axis.into * axis.cells => {
                *outer = Axis { cells: outer.cells * axis.cells, ..axis };
            }
            _ => {
                axes[count] = axis;
                count += 1;
            }
        }
    }
    let axes = &axes[..count];
    let threads =
        if shape.iter().product::<usize>() < 2 * WORTH_A_THREAD { 1 } else { rayon::current_num_threads() };
    divide(&from[at.base..], &mut to[into.base..], axes, threads);
}

/// Gives halves of the target to different threads.
fn divide<T: Element>(from: &[T], to: &mut [T], axes: &[Axis], threads: usize) {
    let Some((outer, inner)) = axes.split_first().filter(|(outer, _)| threads > 1 && outer.cells > 1) else {
        return sequential(from, to, axes);
    };
    let half = outer.cells / 2;
    let (low, high) = to.split_at_mut(half * outer.into);
    let part = |from: &[T], to: &mut [T], cells: usize, threads: usize| {
        let mut axes = [Axis::default(); 8];
        axes[0] = Axis { cells, ..*outer };
        axes[1..=inner.len()].copy_from_slice(inner);
        divide(from, to, &axes[..=inner.len()], threads);
    };
    rayon::join(
        || part(from, low, half, threads / 2),
        || part(&from[half * outer.from..], high, outer.cells - half, threads - threads / 2),
    );
}

fn sequential<T: Element>(from: &[T], to: &mut [T], axes: &[Axis]) {
    let Some((&row, outer)) = axes.split_last() else {
        to[0] = from[0];
        return;
    };
    if row.from == 1 && row.into == 1 {
        return each(outer, 0, 0, &mut |at, into| {
            to[into..][..row.cells].copy_from_slice(&from[at..][..row.cells]);
        });
    }
    let Some(index) = outer.iter().position(|axis| axis.from == 1).filter(|_| row.into == 1) else {
        // Contiguous on neither side together, or on one alone.
        return each(outer, 0, 0, &mut |at, into| {
            for cell in 0..row.cells {
                to[into + cell * row.into] = from[at + cell * row.from];
            }
        });
    };
    let mut rest = [Axis::default(); 8];
    rest[..outer.len()].copy_from_slice(outer);
    rest.copy_within(index + 1.., index);
    each(&rest[..outer.len() - 1], 0, 0, &mut |at, into| {
        transpose(&from[at..], row.from, &mut to[into..], outer[index].into, [outer[index].cells, row.cells]);
    });
}

/// Calls `f` with both offsets of every index of the axes.
fn each(axes: &[Axis], at: usize, into: usize, f: &mut impl FnMut(usize, usize)) {
    let Some((axis, inner)) = axes.split_first() else { return f(at, into) };
    for cell in 0..axis.cells {
        each(inner, at + cell * axis.from, into + cell * axis.into, f);
    }
}

/// Transposes: `to[a * pitch_to + b] = from[b * pitch_from + a]` for `[a, b]` below `[wide, high]`.
pub(crate) fn transpose<T: Copy>(
    from: &[T],
    pitch_from: usize,
    to: &mut [T],
    pitch_to: usize,
    [wide, high]: [usize; 2],
) {
    let (whole_a, whole_b) = (wide - wide % TILE, high - high % TILE);
    let mut block = |a: usize, b: usize| {
        tile(&from[b * pitch_from + a..], pitch_from, &mut to[a * pitch_to + b..], pitch_to);
    };
    if high * pitch_from * size_of::<T>() <= NEAR {
        // Read from the cache: then it is the rows written that should follow one another.
        (0..whole_a).step_by(TILE).for_each(|a| (0..whole_b).step_by(TILE).for_each(|b| block(a, b)));
    } else {
        // A few rows are read from end to end, which the processor sees coming; the other way round takes twice the time.
        (0..whole_b).step_by(TILE).for_each(|b| (0..whole_a).step_by(TILE).for_each(|a| block(a, b)));
    }
    for b in 0..high {
        for a in if b < whole_b { whole_a..wide } else { 0..wide } {
            to[a * pitch_to + b] = from[b * pitch_from + a];
        }
    }
}

#[inline(always)]
fn tile<T: Copy>(from: &[T], pitch_from: usize, to: &mut [T], pitch_to: usize) {
    let rows: [&[T; TILE]; TILE] =
        std::array::from_fn(|b| from[b * pitch_from..].first_chunk().expect("a tile is inside the box"));
    for a in 0..TILE {
        let out: &mut [T; TILE] = to[a * pitch_to..].first_chunk_mut().expect("a tile is inside the box");
        for b in 0..TILE {
            out[b] = rows[b][a];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every order of four axes on the far side, boxes inside larger arrays, sizes that are no multiple of a tile.
    #[test]
    fn any_order_of_axes_and_any_box() {
        let orders = (0..256usize).map(|n| [n & 3, n >> 2 & 3, n >> 4 & 3, n >> 6]);
        let orders = orders.filter(|order| (0..4).all(|axis| order.contains(&axis)));
        for (number, order) in orders.enumerate() {
            for shape in [[3, 17, 2, 9], [1, 8, 16, 1], [20, 1, 1, 33], [2, 3, 0, 5], [1, 1, 1, 1]] {
                let wide = shape.map(|n| n + number % 3);
                let from: Vec<u32> = (0..wide.iter().product::<usize>() as u32).collect();
                let at = Place::dense(wide).at(wide.map(|n| usize::from(n > 12 && number % 3 > 0)));
                // The far array has axis `order[i]` as its i-th.
                let far = Place::dense(order.map(|axis| wide[axis]));
                let mut into = Place { base: 0, strides: [0; 4] };
                order.iter().zip(far.strides).for_each(|(&axis, stride)| into.strides[axis] = stride);
                let mut to = vec![u32::MAX; from.len()];
                copy(&from, at, &mut to, into, shape);
                let mut expected = vec![u32::MAX; from.len()];
                for index in 0..shape.iter().product::<usize>() {
                    let mut rest = index;
                    let cell: [usize; 4] = std::array::from_fn(|axis| {
                        let below: usize = shape[axis + 1..].iter().product();
                        let here = rest / below;
                        rest %= below;
                        here
                    });
                    expected[into.at(cell).base] = from[at.at(cell).base];
                }
                assert_eq!(to, expected, "{order:?} {shape:?}");
            }
        }
    }

    #[test]
    fn threads_copy_what_one_does() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let shape = [37, 41, 43];
        let from: Vec<u64> = (0..37 * 41 * 43).collect();
        let into = Place { base: 0, strides: [1, 37, 37 * 41] };
        let (mut one, mut three) = (vec![0; from.len()], vec![0; from.len()]);
        copy(&from, Place::dense(shape), &mut one, into, shape);
        pool.install(|| copy(&from, Place::dense(shape), &mut three, into, shape));
        assert_eq!(one[5 + 37 * (7 + 41 * 11)], (5 * 41 + 7) * 43 + 11);
        assert_eq!(one, three);
    }
}
