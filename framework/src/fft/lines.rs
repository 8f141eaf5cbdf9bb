//! Transforms along axes of a local array, with the lines of an axis brought together in the cache.
//!
//! Lines of the last axis are transformed where they lie, those of another one in blocks of neighbouring columns, so that
//! cache lines are read and written whole. The transforms themselves are `rustfft`'s and `realfft`'s.

use crate::comm::Element;
use crate::redistribute::Place;
use ndarray::{ArrayView, ArrayViewD, ArrayViewMut, ArrayViewMutD, Axis, Ix1, Ix2, IxDyn, ShapeBuilder};
use num_complex::Complex;
use realfft::{ComplexToReal, RealToComplex};
use rustfft::{Fft, FftNum};
use std::sync::{Arc, Mutex, PoisonError};

/// Columns that are transformed together: four cache lines of doubles a row.
const COLUMNS: usize = 16;

/// Cells between the starts of two columns in the buffer, beyond their length: so they lie in different sets of the cache.
const APART: usize = 4;

/// One axis' transform, in one direction.
pub(super) type Line<R> = Option<Arc<dyn Fft<R>>>;

/// Buffers for the threads, kept from one transform to the next.
pub(super) struct Pool<R>(Mutex<Vec<Vec<Complex<R>>>>);

impl<R: FftNum> Pool<R> {
    pub fn new() -> Pool<R> {
        Pool(Mutex::new(Vec::new()))
    }

    fn with<T>(&self, f: impl FnOnce(&mut Vec<Complex<R>>) -> T) -> T {
        let mut buffer = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let result = f(&mut buffer);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        result
    }
}

/// At least so many elements of a buffer.
fn room<R: FftNum>(buffer: &mut Vec<Complex<R>>, len: usize) -> &mut [Complex<R>] {
    if buffer.len() < len {
        buffer.resize(len, Complex::new(R::zero(), R::zero()));
    }
    &mut buffer[..len]
}

/// A box of cells as an array.
pub(super) fn view<T: Element, const D: usize>(
    data: &[T],
    at: Place<D>,
    shape: [usize; D],
) -> Option<ArrayViewD<'_, T>> {
    let shape = IxDyn(&shape).strides(IxDyn(&at.strides));
    ArrayView::from_shape(shape, data.get(at.base..)?).ok()
}

/// As [`view`], to write.
pub(super) fn view_mut<T: Element, const D: usize>(
    data: &mut [T],
    at: Place<D>,
    shape: [usize; D],
) -> Option<ArrayViewMutD<'_, T>> {
    let shape = IxDyn(&shape).strides(IxDyn(&at.strides));
    ArrayViewMut::from_shape(shape, data.get_mut(at.base..)?).ok()
}

/// How the lines of an array are transformed.
pub(super) struct Lines<'l, R: FftNum> {
    /// For each axis.
    pub axes: &'l [Line<R>],
    /// Whether the first axis comes first; else the last one.
    pub outer_first: bool,
    /// What the values are multiplied by on their way from the source, if it is not 1.
    pub scale: Option<R>,
    pub pool: &'l Pool<R>,
}

impl<R: FftNum + Element> Lines<'_, R>
where
    Complex<R>: Element,
{
    /// Transforms `into`, after filling it from `from` if that is given. An array without cells stays one.
    pub fn transform(&self, from: Option<ArrayViewD<'_, Complex<R>>>, into: ArrayViewMutD<'_, Complex<R>>) {
        if !into.is_empty() {
            let threads = rayon::current_num_threads();
            self.pool.with(|buffer| self.level(from, into, self.axes, threads, buffer));
        }
    }

    fn level(
        &self,
        mut from: Option<ArrayViewD<'_, Complex<R>>>,
        mut into: ArrayViewMutD<'_, Complex<R>>,
        axes: &[Line<R>],
        threads: usize,
        buffer: &mut Vec<Complex<R>>,
    ) {
        let (Some(outer), inner) = (&axes[0], &axes[1..]) else {
            return match axes.len() {
                1 => self.row(from, into, None, buffer),
                _ => self.inner(from, into, &axes[1..], threads, buffer),
            };
        };
        if inner.is_empty() {
            return self.row(from, into, Some(outer), buffer);
        }
        let more = inner.iter().any(Option::is_some);
        if more && !self.outer_first {
            self.inner(from.take(), into.view_mut(), inner, threads, buffer);
        }
        self.columns(from, into.view_mut(), outer, threads, buffer);
        if more && self.outer_first {
            self.inner(None, into, inner, threads, buffer);
        }
    }

    /// Each array of the first axis by itself.
    fn inner(
        &self,
        from: Option<ArrayViewD<'_, Complex<R>>>,
        mut into: ArrayViewMutD<'_, Complex<R>>,
        axes: &[Line<R>],
        threads: usize,
        buffer: &mut Vec<Complex<R>>,
    ) {
        let count = into.len_of(Axis(0));
        if threads > 1 && count > 1 {
            let half = count / 2;
            let (low, high) = into.split_at(Axis(0), half);
            let (below, above) = halves(from, Axis(0), half);
            rayon::join(
                || self.inner(below, low, axes, threads / 2, buffer),
                || self.pool.with(|buffer| self.inner(above, high, axes, threads - threads / 2, buffer)),
            );
            return;
        }
        for index in 0..count {
            let from = from.as_ref().map(|from| from.index_axis(Axis(0), index));
            self.level(from, into.index_axis_mut(Axis(0), index), axes, threads, buffer);
        }
    }

    fn row(
        &self,
        from: Option<ArrayViewD<'_, Complex<R>>>,
        into: ArrayViewMutD<'_, Complex<R>>,
        line: Option<&Arc<dyn Fft<R>>>,
        buffer: &mut Vec<Complex<R>>,
    ) {
        let Some(into) = row_mut(into) else { return };
        match (from.and_then(row), line) {
            (Some(from), None) => into.copy_from_slice(from),
            (Some(from), Some(line)) => {
                let scratch = room(buffer, line.get_immutable_scratch_len());
                line.process_immutable_with_scratch(from, into, scratch);
            }
            (None, Some(line)) => {
                line.process_with_scratch(into, room(buffer, line.get_inplace_scratch_len()));
                return;
            }
            (None, None) => return,
        }
        if let Some(scale) = self.scale {
            into.iter_mut().for_each(|value| *value = *value * scale);
        }
    }

    /// The lines of the first of several axes.
    fn columns(
        &self,
        from: Option<ArrayViewD<'_, Complex<R>>>,
        mut into: ArrayViewMutD<'_, Complex<R>>,
        line: &Arc<dyn Fft<R>>,
        threads: usize,
        buffer: &mut Vec<Complex<R>>,
    ) {
        let count = into.len_of(Axis(1));
        let flat = into.ndim() == 2;
        if threads > 1 && count > if flat { 2 * COLUMNS } else { 1 } {
            let half = if flat { (count / 2).next_multiple_of(COLUMNS) } else { count / 2 };
            let (low, high) = into.split_at(Axis(1), half);
            let (below, above) = halves(from, Axis(1), half);
            rayon::join(
                || self.columns(below, low, line, threads / 2, buffer),
                || self.pool.with(|buffer| self.columns(above, high, line, threads - threads / 2, buffer)),
            );
            return;
        }
        if !flat {
            for index in 0..count {
                let from = from.as_ref().map(|from| from.index_axis(Axis(1), index));
                self.columns(from, into.index_axis_mut(Axis(1), index), line, threads, buffer);
            }
            return;
        }
        let from = from.and_then(|from| from.into_dimensionality::<Ix2>().ok());
        let Ok(mut into) = into.into_dimensionality::<Ix2>() else { return };
        let len = into.nrows();
        let pitch = len + APART;
        let (columns, scratch) =
            room(buffer, COLUMNS * pitch + line.get_inplace_scratch_len()).split_at_mut(COLUMNS * pitch);
        for first in (0..count).step_by(COLUMNS) {
            let wide = COLUMNS.min(count - first);
            for index in 0..len {
                let row = match &from {
                    Some(from) => from.row(index).to_slice(),
                    None => into.row(index).to_slice(),
                };
                let Some(row) = row.and_then(|row| row.get(first..first + wide)) else { return };
                match row.first_chunk::<COLUMNS>() {
                    Some(row) => scatter(row, &mut columns[index..], pitch),
                    None => row.iter().enumerate().for_each(|(k, &value)| columns[k * pitch + index] = value),
                }
            }
            for column in columns.chunks_exact_mut(pitch).take(wide) {
                line.process_with_scratch(&mut column[..len], scratch);
                if let Some(scale) = self.scale.filter(|_| from.is_some()) {
                    column[..len].iter_mut().for_each(|value| *value = *value * scale);
                }
            }
            for (index, mut row) in into.rows_mut().into_iter().enumerate() {
                let Some(row) = row.as_slice_mut().and_then(|row| row.get_mut(first..first + wide)) else {
                    return;
                };
                match row.first_chunk_mut::<COLUMNS>() {
                    Some(row) => gather(&columns[index..], pitch, row),
                    None => {
                        row.iter_mut().enumerate().for_each(|(k, value)| *value = columns[k * pitch + index])
                    }
                }
            }
        }
    }

    /// From real rows to the first half of their spectrum, and then the other axes. All of the last axis is transformed.
    pub fn real_forward(
        &self,
        from: ArrayViewD<'_, R>,
        into: ArrayViewMutD<'_, Complex<R>>,
        rows: &Arc<dyn RealToComplex<R>>,
    ) {
        if !into.is_empty() {
            let threads = rayon::current_num_threads();
            self.pool.with(|buffer| self.real_level(from, into, self.axes, rows, threads, buffer));
        }
    }

    fn real_level(
        &self,
        from: ArrayViewD<'_, R>,
        mut into: ArrayViewMutD<'_, Complex<R>>,
        axes: &[Line<R>],
        rows: &Arc<dyn RealToComplex<R>>,
        threads: usize,
        buffer: &mut Vec<Complex<R>>,
    ) {
        if axes.len() > 1 {
            self.real_inner(from, into.view_mut(), &axes[1..], rows, threads, buffer);
            if let Some(line) = &axes[0] {
                self.columns(None, into, line, threads, buffer);
            }
            return;
        }
        let (Some(from), Some(into)) = (row(from), row_mut(into)) else { return };
        let len = from.len().div_ceil(2);
        let (input, scratch) = room(buffer, len + rows.get_scratch_len()).split_at_mut(len);
        // The input is used up, so it is a copy.
        let input = &mut bytemuck::cast_slice_mut::<Complex<R>, R>(input)[..from.len()];
        input.copy_from_slice(from);
        // Fails for other lengths than the plan's only.
        let _ = rows.process_with_scratch(input, into, scratch);
    }

    fn real_inner(
        &self,
        from: ArrayViewD<'_, R>,
        mut into: ArrayViewMutD<'_, Complex<R>>,
        axes: &[Line<R>],
        rows: &Arc<dyn RealToComplex<R>>,
        threads: usize,
        buffer: &mut Vec<Complex<R>>,
    ) {
        let count = into.len_of(Axis(0));
        if threads > 1 && count > 1 {
            let (below, above) = from.split_at(Axis(0), count / 2);
            let (low, high) = into.split_at(Axis(0), count / 2);
            let rest = threads - threads / 2;
            rayon::join(
                || self.real_inner(below, low, axes, rows, threads / 2, buffer),
                || self.pool.with(|buffer| self.real_inner(above, high, axes, rows, rest, buffer)),
            );
            return;
        }
        for index in 0..count {
            let (from, into) = (from.index_axis(Axis(0), index), into.index_axis_mut(Axis(0), index));
            self.real_level(from, into, axes, rows, threads, buffer);
        }
    }

    /// The other way: the other axes, and then from half a spectrum, which is used up, to real rows.
    pub fn real_inverse(
        &self,
        from: ArrayViewMutD<'_, Complex<R>>,
        into: ArrayViewMutD<'_, R>,
        rows: &Arc<dyn ComplexToReal<R>>,
    ) {
        if !into.is_empty() {
            let threads = rayon::current_num_threads();
            self.pool.with(|buffer| self.to_real(from, into, self.axes, rows, threads, buffer));
        }
    }

    fn to_real(
        &self,
        mut from: ArrayViewMutD<'_, Complex<R>>,
        into: ArrayViewMutD<'_, R>,
        axes: &[Line<R>],
        rows: &Arc<dyn ComplexToReal<R>>,
        threads: usize,
        buffer: &mut Vec<Complex<R>>,
    ) {
        if axes.len() > 1 {
            if let Some(line) = &axes[0] {
                self.columns(None, from.view_mut(), line, threads, buffer);
            }
            return self.to_real_inner(from, into, &axes[1..], rows, threads, buffer);
        }
        let (Some(from), Some(into)) = (row_mut(from), row_mut(into)) else { return };
        // Fails for other lengths than the plan's, and tells of imaginary parts where a real field has none.
        let _ = rows.process_with_scratch(from, into, room(buffer, rows.get_scratch_len()));
    }

    fn to_real_inner(
        &self,
        mut from: ArrayViewMutD<'_, Complex<R>>,
        mut into: ArrayViewMutD<'_, R>,
        axes: &[Line<R>],
        rows: &Arc<dyn ComplexToReal<R>>,
        threads: usize,
        buffer: &mut Vec<Complex<R>>,
    ) {
        let count = into.len_of(Axis(0));
        if threads > 1 && count > 1 {
            let (below, above) = from.split_at(Axis(0), count / 2);
            let (low, high) = into.split_at(Axis(0), count / 2);
            let rest = threads - threads / 2;
            rayon::join(
                || self.to_real_inner(below, low, axes, rows, threads / 2, buffer),
                || self.pool.with(|buffer| self.to_real_inner(above, high, axes, rows, rest, buffer)),
            );
            return;
        }
        for index in 0..count {
            let (from, into) = (from.index_axis_mut(Axis(0), index), into.index_axis_mut(Axis(0), index));
            self.to_real(from, into, axes, rows, threads, buffer);
        }
    }
}

/// One element of each of the columns.
#[inline(always)]
fn scatter<R: Copy>(row: &[Complex<R>; COLUMNS], columns: &mut [Complex<R>], pitch: usize) {
    row.iter().enumerate().for_each(|(k, &value)| columns[k * pitch] = value);
}

#[inline(always)]
fn gather<R: Copy>(columns: &[Complex<R>], pitch: usize, row: &mut [Complex<R>; COLUMNS]) {
    row.iter_mut().enumerate().for_each(|(k, value)| *value = columns[k * pitch]);
}

fn row<T>(from: ArrayViewD<'_, T>) -> Option<&[T]> {
    from.into_dimensionality::<Ix1>().ok()?.to_slice()
}

fn row_mut<T>(into: ArrayViewMutD<'_, T>) -> Option<&mut [T]> {
    into.into_dimensionality::<Ix1>().ok()?.into_slice()
}

fn halves<'a, T>(
    from: Option<ArrayViewD<'a, T>>,
    axis: Axis,
    half: usize,
) -> (Option<ArrayViewD<'a, T>>, Option<ArrayViewD<'a, T>>) {
    match from.map(|from| from.split_at(axis, half)) {
        Some((low, high)) => (Some(low), Some(high)),
        None => (None, None),
    }
}
