//! Copies between arrays of one shape and any strides. No messages here.
//!
//! Long rows that lie one after the other in both go as slices. Everything else is halved along its longest axis until
//! both sides of a part fit in the nearest cache, whatever axis is contiguous in which (a cache-oblivious transpose).

use ndarray::{
    ArrayRef, ArrayView1, ArrayViewD, ArrayViewMut, ArrayViewMut1, ArrayViewMutD, Axis, Dimension, Ix1, Ix2,
    Zip,
};

/// Elements of a part that is copied line by line.
const LEAF: usize = 1024;
/// Rows of fewer elements are not worth a call of memcpy each.
const LONG: usize = 16;

/// The elements of `view` in logical order, the last axis running fastest.
pub(super) fn pack<T: Copy, D: Dimension>(view: &ArrayRef<T, D>, packed: &mut [T]) {
    let into = ArrayViewMut::from_shape(view.raw_dim(), packed).expect("one place an element");
    copy(view.view().into_dyn(), into.into_dyn());
}

/// The other way round.
pub(super) fn unpack<T: Copy, D: Dimension>(packed: &[T], view: &mut ArrayRef<T, D>) {
    let from = ndarray::ArrayView::from_shape(view.raw_dim(), packed).expect("one element a place");
    copy(from.into_dyn(), view.view_mut().into_dyn());
}

/// `into[i] = from[i]` for all indices `i` of the one shape that both have.
fn copy<T: Copy>(from: ArrayViewD<'_, T>, mut into: ArrayViewMutD<'_, T>) {
    if let (Some(from), Some(into)) = (from.as_slice(), into.as_slice_mut()) {
        return into.copy_from_slice(from);
    }
    let last = from.ndim() - 1;
    let in_row = |stride: isize| stride == 1 && from.len_of(Axis(last)) >= LONG;
    // There is but one way to go along a line.
    if last == 0 || (in_row(from.stride_of(Axis(last))) && in_row(into.stride_of(Axis(last)))) {
        lines(from, into);
    } else {
        halve(from, into);
    }
}

fn halve<T: Copy>(mut from: ArrayViewD<'_, T>, mut into: ArrayViewMutD<'_, T>) {
    let axes = (0..from.ndim()).map(Axis);
    let longest = axes.max_by_key(|&axis| from.len_of(axis)).expect("an array without axes is a slice");
    if from.len() <= LEAF {
        let last = from.ndim() - 1;
        from.swap_axes(longest.0, last);
        into.swap_axes(longest.0, last);
        return lines(from, into);
    }
    let middle = from.len_of(longest) / 2;
    let (from, into) = (from.split_at(longest, middle), into.split_at(longest, middle));
    halve(from.0, into.0);
    halve(from.1, into.1);
}

/// Line by line along the last axis. Of the last two axes the number is known when this is compiled, since a line of an array
/// whose number of axes is not costs more than its few elements.
fn lines<T: Copy>(from: ArrayViewD<'_, T>, mut into: ArrayViewMutD<'_, T>) {
    match from.ndim() {
        1 => {
            let (from, into) = (from.into_dimensionality::<Ix1>(), into.into_dimensionality::<Ix1>());
            line(from.expect("one axis"), into.expect("one axis"));
        }
        2 => {
            let (from, into) = (from.into_dimensionality::<Ix2>(), into.into_dimensionality::<Ix2>());
            let (from, mut into) = (from.expect("two axes"), into.expect("two axes"));
            from.outer_iter().zip(into.outer_iter_mut()).for_each(|(from, into)| line(from, into));
        }
        _ => from.outer_iter().zip(into.outer_iter_mut()).for_each(|(from, into)| lines(from, into)),
    }
}

#[inline]
fn line<T: Copy>(from: ArrayView1<'_, T>, mut into: ArrayViewMut1<'_, T>) {
    match (from.to_slice(), into.as_slice_mut()) {
        (Some(from), Some(into)) => into.copy_from_slice(from),
        _ => Zip::from(into).and(from).for_each(|into, from| *into = *from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, Array3, ArrayViewMutD, s};

    /// Element by element, by index.
    fn pack_ref(view: ArrayViewD<'_, u32>) -> Vec<u32> {
        view.indexed_iter().map(|(_, &x)| x).collect()
    }

    fn agree(view: ArrayViewD<'_, u32>) {
        let mut packed = vec![0; view.len()];
        pack(&view, &mut packed);
        assert_eq!(packed, pack_ref(view.view()), "shape {:?}, strides {:?}", view.shape(), view.strides());
    }

    fn come_back(mut view: ArrayViewMutD<'_, u32>) {
        let packed: Vec<u32> = (0..view.len() as u32).map(|i| i * 7 + 1).collect();
        unpack(&packed, &mut view);
        assert_eq!(pack_ref(view.view()), packed);
    }

    #[test]
    fn every_layout_is_packed_in_logical_order() {
        let mut a = Array3::from_shape_fn((23, 70, 41), |(i, j, k)| (i * 10_000 + j * 100 + k) as u32);
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let p = a.view().permuted_axes(order).into_dyn();
            agree(p.view());
            agree(p.slice_each_axis(|axis| {
                (1..axis.len as isize - 2).step_by(axis.axis.index() + 1).into_slice()
            }));
            let mut p = a.view_mut().permuted_axes(order).into_dyn();
            p.invert_axis(Axis(order[0]));
            come_back(p.view_mut());
            agree(p.view());
            come_back(p.slice_each_axis_mut(|_| ndarray::Slice::new(3, Some(-1), -2)));
        }
        for narrow in [s![.., 5..6, ..], s![.., .., 3..7], s![2..3, 1..2, 4..5], s![.., 4..4, ..]] {
            agree(a.slice(narrow).into_dyn());
            come_back(a.slice_mut(narrow).into_dyn());
        }
        agree(a.index_axis(Axis(2), 0).into_dyn());
        agree(Array2::<u32>::zeros((0, 4)).view().into_dyn());
        agree(ndarray::arr0(4u32).view().into_dyn());
    }

    trait IntoSlice {
        fn into_slice(self) -> ndarray::Slice;
    }

    impl IntoSlice for std::iter::StepBy<std::ops::Range<isize>> {
        fn into_slice(self) -> ndarray::Slice {
            let indices: Vec<isize> = self.collect();
            let step = indices.get(1).map_or(1, |second| second - indices[0]);
            ndarray::Slice::new(indices[0], indices.last().map(|last| last + 1), step)
        }
    }
}
