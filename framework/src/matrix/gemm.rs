//! What can be multiplied, and the product of what is on one rank, on the rank's threads.
//!
//! The arithmetic is the crate `faer`'s. Which panels are multiplied when is in `multiply`.

use super::Matrix;
use crate::field::Magnitude;
use crate::sparse::Value;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use num_complex::Complex;
use rayon::prelude::*;

mod sealed {
    pub trait Sealed {}
}

/// Entries of matrices that can be multiplied: `f32`, `f64`, `Complex<f32>` or `Complex<f64>`. Sealed.
pub trait Entry: Value + Magnitude + sealed::Sealed {
    /// Adds alpha·A·B to C, or puts it there: columns of C, all of one height, below which the rest of it follows.
    #[doc(hidden)]
    fn multiply_into(to: Columns<'_, Self>, add: bool, alpha: Self, a: Panel<'_, Self>, b: Panel<'_, Self>);
}

/// Part of a column-major matrix: so many rows and columns, which are `pitch` elements apart.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Panel<'a, T> {
    pub elements: &'a [T],
    pub shape: [usize; 2],
    pub pitch: usize,
}

/// Whole columns of a column-major matrix without gaps, to be changed.
#[doc(hidden)]
pub struct Columns<'a, T> {
    pub elements: &'a mut [T],
    pub shape: [usize; 2],
}

macro_rules! entries {
    ($($type:ty)*) => {$(
        impl sealed::Sealed for $type {}
        impl Entry for $type {
            fn multiply_into(to: Columns<'_, Self>, add: bool, alpha: Self, a: Panel<'_, Self>, b: Panel<'_, Self>) {
                let [rows, columns] = to.shape;
                let accumulate = if add { Accum::Add } else { Accum::Replace };
                let view = |panel: Panel<'_, Self>| panel.shape;
                debug_assert_eq!((view(a)[0], view(b)[1], view(a)[1]), (rows, columns, view(b)[0]));
                let c = MatMut::from_column_major_slice_mut(to.elements, rows, columns);
                let a = MatRef::from_column_major_slice_with_stride(a.elements, a.shape[0], a.shape[1], a.pitch);
                let b = MatRef::from_column_major_slice_with_stride(b.elements, b.shape[0], b.shape[1], b.pitch);
                matmul(c, accumulate, a, b, alpha, Par::Seq);
            }
        }
    )*};
}

entries! { f32 f64 Complex<f32> Complex<f64> }

impl<'a, T> Panel<'a, T> {
    /// Some of its columns.
    fn columns(self, first: usize, count: usize) -> Panel<'a, T> {
        let elements = self.elements.get(first * self.pitch..).unwrap_or(&[]);
        Panel { elements, shape: [self.shape[0], count], ..self }
    }
}

/// As [`Entry::multiply_into`], with the columns of C dealt to the rank's threads. `columns` of C from `first` on.
pub(super) fn multiply<T: Entry>(
    c: &mut [T],
    height: usize,
    (first, columns): (usize, usize),
    add: bool,
    alpha: T,
    a: Panel<'_, T>,
    b: Panel<'_, T>,
) {
    if height == 0 || columns == 0 {
        return;
    }
    let c = &mut c[first * height..(first + columns) * height];
    let threads = rayon::current_num_threads();
    let part = |first: usize, c: &mut [T]| {
        let count = c.len() / height;
        T::multiply_into(
            Columns { elements: c, shape: [height, count] },
            add,
            alpha,
            a,
            b.columns(first, count),
        );
    };
    if threads == 1 || columns < 2 {
        return part(first, c);
    }
    let each = columns.div_ceil(threads);
    c.par_chunks_mut(each * height).enumerate().for_each(|(n, c)| part(first + n * each, c));
}

/// A matrix in a product: as it is, transposed or conjugated and transposed.
#[derive(Clone, Copy)]
pub struct Factor<'a, T: Entry> {
    pub(super) matrix: &'a Matrix<T>,
    pub(super) form: Form,
}

/// How a factor enters a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Plain,
    /// Transposed.
    Transposed,
    /// Conjugated and transposed; of real numbers the same as transposed.
    Adjoint,
}

impl<'a, T: Entry> From<&'a Matrix<T>> for Factor<'a, T> {
    fn from(matrix: &'a Matrix<T>) -> Self {
        Factor { matrix, form: Form::Plain }
    }
}

impl<T: Entry> Matrix<T> {
    /// The transpose, as a factor of a product. Local.
    pub fn t(&self) -> Factor<'_, T> {
        Factor { matrix: self, form: Form::Transposed }
    }

    /// The conjugate transpose, as a factor of a product. Local.
    pub fn h(&self) -> Factor<'_, T> {
        Factor { matrix: self, form: Form::Adjoint }
    }
}
