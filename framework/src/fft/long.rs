//! The transform of a grid of one axis that is cut: no rank ever holds all of it.
//!
//! Four steps (Bailey, FFTs in external or hierarchical memory, J. Supercomputing 4, 1990): the cells are a matrix of
//! n1 rows and n2 columns, whose columns are transformed, turned by twiddle factors, and whose rows are transformed then;
//! the spectrum is in the matrix's transpose. A length without such factors goes through a cyclic convolution with a
//! chirp, whose length is a power of two (Bluestein, IEEE Trans. Audio Electroacoustics 18, 1970).
//! Lines are transformed by `lines`, cells are moved by `crate::redistribute`.

use super::lines::{Line, Lines, Pool, view_mut};
use super::stages::Split;
use super::{block_of, exchange};
use crate::comm::{Comm, Element};
use crate::error::Result;
use crate::field::Field;
use crate::grid::{Block, Grid};
use crate::memory::Memory;
use crate::redistribute::{Arrays, Cut, Ends, Exchange, PIECE, Pieces, Place, place};
use num_complex::Complex;
use rayon::prelude::*;
use rustfft::{FftNum, FftPlanner};
use std::f64::consts::FRAC_PI_2;
use std::rc::Rc;

/// A length without factors is brought to one rank if it is smaller: one message each way instead of four transposes of twice
/// to four times as many cells.
const WORTH_A_CONVOLUTION: usize = 1 << 16;

/// How a length is transformed over ranks; `None` is on one of them. Rows and columns of the matrix.
pub(super) fn shape(n: usize, ranks: usize) -> Option<[usize; 2]> {
    if ranks == 1 {
        return None;
    }
    let nearest = (1..=n.isqrt()).rev().find(|rows| n.is_multiple_of(*rows)).unwrap_or(1);
    if nearest >= ranks {
        return Some([nearest, n / nearest]);
    }
    let bits = n.checked_mul(2)?.checked_next_power_of_two()?.trailing_zeros();
    (n >= WORTH_A_CONVOLUTION).then(|| [1 << (bits / 2), 1 << bits.div_ceil(2)])
}

/// exp(-2πi e/n), of the nearest quarter turn and what is left.
fn root(e: u128, n: u128) -> Complex<f64> {
    let quarters = 4 * (e % n);
    let (turn, rest) = (quarters / n, quarters % n);
    let (sin, cos) = (FRAC_PI_2 * (rest as f64 / n as f64)).sin_cos();
    match turn {
        0 => Complex::new(cos, -sin),
        1 => Complex::new(-sin, -cos),
        2 => Complex::new(-cos, sin),
        _ => Complex::new(sin, cos),
    }
}

fn rounded<R: FftNum>(value: Complex<f64>) -> Complex<R> {
    let of = |part| R::from_f64(part).unwrap_or_else(R::zero);
    Complex::new(of(value.re), of(value.im))
}

/// All roots of unity of one order, from two tables of its square root.
struct Roots {
    fine: Vec<Complex<f64>>,
    coarse: Vec<Complex<f64>>,
    bits: u32,
}

impl Roots {
    fn new(n: usize) -> Roots {
        let bits = (n.ilog2()).div_ceil(2);
        let table = |count: usize, step: usize| {
            (0..count).map(|e| root((e * step) as u128, n as u128)).collect::<Vec<_>>()
        };
        Roots { fine: table(1 << bits, 1), coarse: table((n >> bits) + 1, 1 << bits), bits }
    }

    fn get(&self, e: usize) -> Complex<f64> {
        self.coarse[e >> self.bits] * self.fine[e & ((1 << self.bits) - 1)]
    }
}

/// The matrix: transforms from its rows, which are cells in their order, to rows of its spectrum, which are columns of that.
struct Matrix<R: FftNum + Element>
where
    Complex<R>: Element,
{
    /// Rows, columns; of the whole, and of this rank: which rows, and which columns.
    shape: [usize; 2],
    rows: Block<1>,
    columns: Block<1>,
    /// Forward and inverse, along the columns and along the rows.
    lines: [[Line<R>; 2]; 2],
    roots: Roots,
    to_columns: Exchange<Complex<R>, 2>,
    to_rows: Exchange<Complex<R>, 2>,
    /// This rank's rows, and its columns one after the other.
    by_rows: Memory<Complex<R>>,
    by_columns: Memory<Complex<R>>,
    pool: Pool<R>,
}

impl<R: FftNum + Element> Matrix<R>
where
    Complex<R>: Element,
{
    #[track_caller]
    fn new(comm: &Rc<Comm>, shape: [usize; 2]) -> Result<Matrix<R>> {
        let (rank, ranks, [n1, n2]) = (comm.rank(), comm.size(), shape);
        let dealt = |n: usize, rank: usize| Split { cells: [n], dims: [ranks] }.block(rank);
        let rows = |rank| {
            let rows = dealt(n1, rank);
            Block { start: [rows.start[0], 0], shape: [rows.shape[0], n2] }
        };
        let columns = |rank| {
            let columns = dealt(n2, rank);
            Block { start: [0, columns.start[0]], shape: [n1, columns.shape[0]] }
        };
        let cells = PIECE / size_of::<Complex<R>>() * rayon::current_num_threads();
        let to_columns = Pieces::new(rank, ranks, rows, columns, Cut { cells, contiguous: 0 });
        let to_rows = Pieces::new(rank, ranks, columns, rows, Cut { cells, contiguous: 1 });
        let mut planner = FftPlanner::new();
        let mut both = |n: usize| [Some(planner.plan_fft_forward(n)), Some(planner.plan_fft_inverse(n))];
        let ([column, inverse_column], [row, inverse_row]) = (both(n1), both(n2));
        Ok(Matrix {
            shape,
            rows: dealt(n1, rank),
            columns: dealt(n2, rank),
            lines: [[column, row], [inverse_column, inverse_row]],
            roots: Roots::new(n1 * n2),
            to_columns: Exchange::new(comm.clone(), to_columns),
            to_rows: Exchange::new(comm.clone(), to_rows),
            by_rows: Memory::zeroed(rows(rank).len())?,
            by_columns: Memory::zeroed(columns(rank).len())?,
            pool: Pool::new(),
        })
    }

    #[track_caller]
    fn turn_to_columns(&mut self) -> Result<()> {
        let [n1, n2] = self.shape;
        self.to_columns.run(&mut Arrays {
            from: self.by_rows.as_slice(),
            at: Place::dense([self.rows.shape[0], n2]),
            at_start: [self.rows.start[0], 0],
            to: self.by_columns.as_mut_slice(),
            into: Place { base: 0, strides: [1, n1] },
            into_start: [0, self.columns.start[0]],
        })
    }

    #[track_caller]
    fn turn_to_rows(&mut self) -> Result<()> {
        let [n1, n2] = self.shape;
        self.to_rows.run(&mut Arrays {
            from: self.by_columns.as_slice(),
            at: Place { base: 0, strides: [1, n1] },
            at_start: [0, self.columns.start[0]],
            to: self.by_rows.as_mut_slice(),
            into: Place::dense([self.rows.shape[0], n2]),
            into_start: [self.rows.start[0], 0],
        })
    }

    fn transform_rows(&mut self, inverse: bool) {
        let shape = [self.rows.shape[0], self.shape[1]];
        let axes = &[None, self.lines[usize::from(inverse)][1].clone()];
        let lines = Lines { axes, outer_first: false, scale: None, pool: &self.pool };
        if let Some(rows) = view_mut(self.by_rows.as_mut_slice(), Place::dense(shape), shape) {
            lines.transform(None, rows);
        }
    }

    fn transform_columns(&mut self, inverse: bool) {
        let shape = [self.columns.shape[0], self.shape[0]];
        let axes = &[None, self.lines[usize::from(inverse)][0].clone()];
        let lines = Lines { axes, outer_first: false, scale: None, pool: &self.pool };
        if let Some(columns) = view_mut(self.by_columns.as_mut_slice(), Place::dense(shape), shape) {
            lines.transform(None, columns);
        }
    }

    fn twiddle(&mut self, inverse: bool) {
        let (n1, first, roots) = (self.shape[0], self.columns.start[0], &self.roots);
        let turn = |(number, column): (usize, &mut [Complex<R>])| {
            for (k, value) in column.iter_mut().enumerate() {
                let root = roots.get((first + number) * k);
                *value = *value * rounded(if inverse { root.conj() } else { root });
            }
        };
        let cells = self.by_columns.as_mut_slice();
        if rayon::current_num_threads() > 1 {
            cells.par_chunks_exact_mut(n1).enumerate().for_each(turn);
        } else {
            cells.chunks_exact_mut(n1).enumerate().for_each(turn);
        }
    }

    #[track_caller]
    fn forward(&mut self) -> Result<()> {
        self.turn_to_columns()?;
        self.transform_columns(false);
        self.twiddle(false);
        self.turn_to_rows()?;
        self.transform_rows(false);
        Ok(())
    }

    /// Back, not divided by the number of cells.
    #[track_caller]
    fn inverse(&mut self) -> Result<()> {
        self.transform_rows(true);
        self.turn_to_columns()?;
        self.twiddle(true);
        self.transform_columns(true);
        self.turn_to_rows()
    }
}

/// What a convolution is made with.
struct Chirp<R> {
    /// exp(-πi j²/n) for this rank's cells `by_rows` below n.
    wave: Vec<Complex<R>>,
    /// The spectrum of its conjugate, by rows, divided by the convolution's length.
    kernel: Memory<Complex<R>>,
}

/// What a field holds: complex numbers, or real ones.
pub(super) trait Cell<R>: Element {
    const REAL: bool;
    fn complex(self) -> Complex<R>;
    fn of(value: Complex<R>) -> Self;
}

impl<R: FftNum + Element> Cell<R> for R {
    const REAL: bool = true;
    fn complex(self) -> Complex<R> {
        Complex::new(self, R::zero())
    }
    fn of(value: Complex<R>) -> R {
        value.re
    }
}

impl<R: FftNum + Element> Cell<R> for Complex<R>
where
    Complex<R>: Element,
{
    const REAL: bool = false;
    fn complex(self) -> Complex<R> {
        self
    }
    fn of(value: Complex<R>) -> Complex<R> {
        value
    }
}

/// The transform of a whole axis, from one decomposition to another. Of a real field, only the first half of the spectrum
/// leaves the matrix.
pub(super) struct Long<R: FftNum + Element, T: Element>
where
    Complex<R>: Element,
{
    n: usize,
    matrix: Matrix<R>,
    /// If the matrix has more than n cells.
    chirp: Option<Chirp<R>>,
    /// The numbers of this rank's cells, by rows, and of its frequencies: by columns, or by rows if there is a chirp.
    cells: Block<1>,
    frequencies: Block<1>,
    /// From fields into the matrix and out of it; of spectra likewise.
    field: [Exchange<T, 1>; 2],
    spectrum: [Exchange<Complex<R>, 1>; 2],
}

impl<R: FftNum + Element, T: Cell<R>> Long<R, T>
where
    Complex<R>: Element,
{
    /// For fields on `grid`, which has one axis, and spectra on `spectrum`, in a matrix that [`shape`] gave. Collective.
    #[track_caller]
    pub fn new<const D: usize>(
        comm: &Rc<Comm>,
        grid: &Grid<D>,
        spectrum: &Grid<D>,
        shape: [usize; 2],
    ) -> Result<Long<R, T>> {
        let (n, rank, ranks, [n1, n2]) = (grid.cells()[0], comm.rank(), comm.size(), shape);
        let mut matrix = Matrix::new(comm, shape)?;
        let chirp = if n1 * n2 == n { None } else { Some(Chirp::new(n, &mut matrix, ranks, rank)?) };
        let cells = |rank| below(n, numbers([n1, n2], ranks, rank));
        let frequencies = |rank| match &chirp {
            None => numbers([n2, n1], ranks, rank),
            Some(_) => cells(rank),
        };
        let on = |grid: &Grid<D>, rank| {
            let block = block_of(grid, rank);
            Block { start: [block.start[0]], shape: [block.shape[0]] }
        };
        let (outside, spectra) = (|rank| on(grid, rank), |rank| on(spectrum, rank));
        Ok(Long {
            n,
            cells: cells(rank),
            frequencies: frequencies(rank),
            field: [exchange(comm, outside, cells), exchange(comm, cells, outside)],
            spectrum: [exchange(comm, spectra, frequencies), exchange(comm, frequencies, spectra)],
            matrix,
            chirp,
        })
    }

    /// The spectrum of a field. Every rank calls it.
    #[track_caller]
    pub fn forward<const D: usize>(
        &mut self,
        field: &Field<T, D>,
        spectrum: &mut Field<Complex<R>, D>,
    ) -> Result<()> {
        let Long { matrix, chirp, cells, frequencies, .. } = self;
        let ((at, start), (into, into_start)) = (place(field), place(spectrum));
        if chirp.is_some() {
            matrix.by_rows.as_mut_slice().fill(Complex::new(R::zero(), R::zero()));
        }
        self.field[0].run(&mut Turned {
            from: &field.storage()[at.base..],
            from_start: start[0],
            to: matrix.by_rows.as_mut_slice(),
            to_start: cells.start[0],
            send: |value: T| value,
            take: T::complex,
        })?;
        match chirp {
            None => {
                matrix.forward()?;
                matrix.turn_to_columns()?;
            }
            Some(chirp) => chirp.convolve(matrix, false)?,
        }
        let from = if chirp.is_some() { &matrix.by_rows } else { &matrix.by_columns };
        self.spectrum[1].run(&mut Turned {
            from: from.as_slice(),
            from_start: frequencies.start[0],
            to: &mut spectrum.storage_mut()[into.base..],
            to_start: into_start[0],
            send: |value| value,
            take: |value| value,
        })
    }

    /// The field of a spectrum. Every rank calls it.
    #[track_caller]
    pub fn inverse<const D: usize>(
        &mut self,
        spectrum: &Field<Complex<R>, D>,
        field: &mut Field<T, D>,
    ) -> Result<()> {
        let Long { n, matrix, chirp, cells, frequencies, .. } = self;
        let ((at, start), (into, into_start)) = (place(spectrum), place(field));
        let to = if chirp.is_some() { &mut matrix.by_rows } else { &mut matrix.by_columns };
        let to = to.as_mut_slice();
        if chirp.is_some() || T::REAL {
            to.fill(Complex::new(R::zero(), R::zero()));
        }
        self.spectrum[0].run(&mut Turned {
            from: &spectrum.storage()[at.base..],
            from_start: start[0],
            to: &mut *to,
            to_start: frequencies.start[0],
            send: |value| value,
            take: |value| value,
        })?;
        if T::REAL {
            // A frequency and its conjugate at the other end add up to twice the real part; those without one count once, and
            // their imaginary parts nothing.
            let numbers = frequencies.start[0]..frequencies.start[0] + frequencies.shape[0];
            for (k, value) in numbers.zip(to).take_while(|(k, _)| *k <= *n / 2) {
                *value =
                    if k == 0 || 2 * k == *n { Complex::new(value.re, R::zero()) } else { *value + *value };
            }
        }
        match chirp {
            None => {
                matrix.turn_to_rows()?;
                matrix.inverse()?;
            }
            Some(chirp) => chirp.convolve(matrix, true)?,
        }
        let scale = R::from_f64(1.0 / *n as f64).unwrap_or_else(R::one);
        self.field[1].run(&mut Turned {
            from: matrix.by_rows.as_slice(),
            from_start: cells.start[0],
            to: &mut field.storage_mut()[into.base..],
            to_start: into_start[0],
            send: |value: Complex<R>| T::of(value * scale),
            take: |value| value,
        })
    }
}

/// Which numbers a rank's cells have where a matrix is dealt by rows.
fn numbers([rows, columns]: [usize; 2], ranks: usize, rank: usize) -> Block<1> {
    let rows = Split { cells: [rows], dims: [ranks] }.block(rank);
    Block { start: [rows.start[0] * columns], shape: [rows.shape[0] * columns] }
}

/// Those of them that are below `n`.
fn below(n: usize, numbers: Block<1>) -> Block<1> {
    let start = numbers.start[0].min(n);
    Block { start: [start], shape: [numbers.shape[0].min(n - start)] }
}

impl<R: FftNum + Element> Chirp<R>
where
    Complex<R>: Element,
{
    #[track_caller]
    fn new(n: usize, matrix: &mut Matrix<R>, ranks: usize, rank: usize) -> Result<Chirp<R>> {
        let all = numbers(matrix.shape, ranks, rank);
        let cells: usize = matrix.shape.iter().product();
        let wave = |j: usize| root(j as u128 * j as u128, 2 * n as u128);
        let here = below(n, all);
        let mut kernel = Memory::zeroed(all.shape[0])?;
        for (j, value) in (all.start[0]..).zip(matrix.by_rows.as_mut_slice()) {
            // Of differences, which go round.
            let j = j.min(cells - j);
            *value = if j < n { rounded(wave(j).conj()) } else { Complex::new(R::zero(), R::zero()) };
        }
        matrix.forward()?;
        let scale = R::from_f64(1.0 / cells as f64).unwrap_or_else(R::one);
        for (to, &from) in kernel.as_mut_slice().iter_mut().zip(matrix.by_rows.as_slice()) {
            *to = from * scale;
        }
        let wave = (here.start[0]..here.start[0] + here.shape[0]).map(|j| rounded(wave(j))).collect();
        Ok(Chirp { wave, kernel })
    }

    /// From cells to frequencies `by_rows`, or back as the conjugate of the conjugate's transform. What is beyond n is zero
    /// before, and of no use afterwards.
    #[track_caller]
    fn convolve(&self, matrix: &mut Matrix<R>, inverse: bool) -> Result<()> {
        let conj = |value: Complex<R>| if inverse { value.conj() } else { value };
        let cells = matrix.by_rows.as_mut_slice().iter_mut();
        cells.zip(&self.wave).for_each(|(value, &wave)| *value = conj(*value) * wave);
        matrix.forward()?;
        let cells = matrix.by_rows.as_mut_slice().iter_mut();
        cells.zip(self.kernel.as_slice()).for_each(|(value, &of)| *value = *value * of);
        matrix.inverse()?;
        let cells = matrix.by_rows.as_mut_slice().iter_mut();
        cells.zip(&self.wave).for_each(|(value, &wave)| *value = conj(*value * wave));
        Ok(())
    }
}

/// Cells on their way from one array to another, which holds others: what is sent is made by the sender, what is kept by
/// both.
struct Turned<'a, A, B, S, G> {
    from: &'a [A],
    from_start: usize,
    to: &'a mut [B],
    to_start: usize,
    send: S,
    take: G,
}

impl<A: Copy, T: Element, B, S: Fn(A) -> T, G: Fn(T) -> B> Ends<T, 1> for Turned<'_, A, B, S, G> {
    fn pack(&mut self, _: usize, block: &Block<1>, message: &mut [T]) {
        let from = &self.from[block.start[0] - self.from_start..];
        message.iter_mut().zip(from).for_each(|(to, &from)| *to = (self.send)(from));
    }
    fn unpack(&mut self, _: usize, block: &Block<1>, message: &[T]) {
        let to = &mut self.to[block.start[0] - self.to_start..];
        to.iter_mut().zip(message).for_each(|(to, &from)| *to = (self.take)(from));
    }
    fn keep(&mut self, block: &Block<1>) {
        let from = &self.from[block.start[0] - self.from_start..][..block.shape[0]];
        let to = &mut self.to[block.start[0] - self.to_start..];
        to.iter_mut().zip(from).for_each(|(to, &from)| *to = (self.take)((self.send)(from)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_cut_near_their_root_and_convolved_where_they_cannot_be() {
        assert_eq!(shape(1024, 4), Some([32, 32]));
        assert_eq!(shape(3 * 5 * 7 * 11, 7), Some([33, 35]));
        assert_eq!(shape(12, 3), Some([3, 4]));
        // One rank, too few cells, a prime, a factor that is too small for the ranks.
        assert_eq!([shape(1024, 1), shape(2, 3), shape(97, 2), shape(2 * 97, 3)], [None; 4]);
        assert_eq!(shape(2 * 97, 2), Some([2, 97]));
        assert_eq!(shape(65_537, 2), Some([512, 512]));
        assert_eq!(shape(2 * 65_537, 3), Some([512, 1024]));
    }

    #[test]
    fn roots_are_those_of_the_definition() {
        for n in [1, 2, 3, 8, 97, 1000, 4096] {
            let roots = Roots::new(n);
            for e in 0..n {
                let angle = -std::f64::consts::TAU * e as f64 / n as f64;
                assert!((roots.get(e) - Complex::cis(angle)).norm() < 2e-15, "{e} of {n}");
            }
        }
    }
}
