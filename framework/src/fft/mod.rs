//! Fourier transforms of fields: `Fft` of complex values, `RealFft` of real ones.
//!
//! This file is what an author calls: plans, arrays and the order of the steps. In which decomposition which axis is
//! transformed is in `stages`, what is done to local lines in `lines`; a grid of one axis, which no decomposition makes whole
//! without giving it to one rank, is `long`'s. Cells move by `crate::redistribute`.

mod lines;
mod long;
mod stages;

use crate::comm::{Comm, Element};
use crate::error::{Error, Result};
use crate::field::Field;
use crate::grid::{Block, Grid};
use crate::memory::Memory;
use crate::redistribute::{Arrays, Cut, Exchange, PIECE, Pieces, Place, place};
use lines::{Line, Lines, Pool, view, view_mut};
use long::Long;
use num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{FftNum, FftPlanner};
use stages::{Split, stages};
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

/// The discrete Fourier transform of a complex field over some or all of its axes, planned once.
///
/// Forward, `S[k] = Σ f[x] exp(-2πi Σ k x / n)` over the transformed axes; inverse with the other sign and divided by the number of
/// cells along these axes, so that the inverse of the forward transform is the field again (numpy's and mpi4py-fft's default).
/// Frequencies are in the usual order: 0, 1, …, then the negative ones.
///
/// Each axis is transformed where it is whole on a rank. In between the cells are redistributed: once for slabs, twice for
/// pencils. The spectrum stays in the last decomposition, [`spectrum_grid`](Fft::spectrum_grid); a [`Redistribution`](crate::Redistribution) brings it
/// elsewhere. Slabs along axis 0 (`dims([p, 1, 1])`) are the fastest start: their spectrum is cut along axis 1.
/// Lengths need not be powers of two, nor divide evenly. Where
/// there are fewer lines or frequencies than ranks, some ranks have none.
///
/// A grid of one axis is transformed by all ranks in four steps (Bailey 1990), and its spectrum is cut as the grid is dealt
/// evenly. Its n cells are seen as a matrix, with the divisor of n nearest to its square root for rows; each rank holds its
/// part twice, and sends most of it three times. Where that divisor is less than the number of ranks (a prime; a small number times one),
/// n below 65536 is transformed on one rank, and n from there on as a convolution over 2n to 4n cells (Bluestein 1970) by all ranks,
/// which takes four transposes of these and a few more roundings.
///
/// ```
/// use num_complex::Complex;
/// use rankine::{Fft, Field, Grid};
/// rankine::testing::ranks([1, 2, 3], |world| {
///     let grid = Grid::over(world, [8, 6]).dims([world.size(), 1]).build()?;
///     let mut fft = Fft::plan(&grid)?;
///     // One wave: three periods along axis 0, one along axis 1.
///     let wave = Field::from_fn(&grid, |[y, x]| {
///         let angle = std::f64::consts::TAU * (3.0 * y as f64 / 8.0 + x as f64 / 6.0);
///         Complex::new(angle.cos(), angle.sin())
///     })?;
///     let mut spectrum = Field::new(fft.spectrum_grid(), Complex::default())?;
///     fft.forward(&wave, &mut spectrum)?;
///     for ([ky, kx], value) in spectrum.iter() {
///         let expected = if [ky, kx] == [3, 1] { 48.0 } else { 0.0 };
///         assert!((value - expected).norm() < 1e-12);
///     }
///     let mut back = Field::new(&grid, Complex::default())?;
///     fft.inverse(&spectrum, &mut back)?;
///     assert!(back.iter().zip(wave.iter()).all(|(a, b)| (a.1 - b.1).norm() < 1e-14));
///     Ok(())
/// });
/// ```
pub struct Fft<R: FftNum + Element, const D: usize>
where
    Complex<R>: Element,
{
    grid: Grid<D>,
    steps: Steps<R, D>,
    /// Instead of the steps.
    long: Option<Long<R, Complex<R>>>,
}

/// As [`Fft`], of a real field: the spectrum has the first `n / 2 + 1` frequencies of the last axis, the others being their
/// conjugates.
///
/// All axes are transformed. A field that is cut along its last axis is first brought where that axis is whole; of a grid of one
/// axis, all ranks make the complex transform of [`Fft`] instead, and keep half of it.
///
/// ```
/// use num_complex::Complex;
/// use rankine::{Field, Grid, RealFft};
/// rankine::testing::ranks([1, 2, 4], |world| {
///     let grid = Grid::over(world, [8, 6, 5]).build()?;
///     let mut fft = RealFft::plan(&grid)?;
///     assert_eq!(fft.spectrum_grid().cells(), [8, 6, 3]);
///     let field = Field::from_fn(&grid, |[z, y, x]| (z * y + x) as f64)?;
///     let mut spectrum = Field::new(fft.spectrum_grid(), Complex::default())?;
///     fft.forward(&field, &mut spectrum)?;
///     let mut back = Field::new(&grid, 0.0)?;
///     fft.inverse(&spectrum, &mut back)?;
///     assert!(back.iter().zip(field.iter()).all(|(a, b)| (a.1 - b.1).abs() < 1e-12));
///     Ok(())
/// });
/// ```
pub struct RealFft<R: FftNum + Element, const D: usize>
where
    Complex<R>: Element,
{
    grid: Grid<D>,
    steps: Steps<R, D>,
    rows: Rows<R, D>,
}

/// How a real field is transformed along its last axis.
enum Rows<R: FftNum + Element, const D: usize>
where
    Complex<R>: Element,
{
    Whole(Box<Whole<R, D>>),
    /// By all ranks, and there are no steps.
    Long(Box<Long<R, R>>),
}

/// Where that axis is whole.
struct Whole<R: FftNum + Element, const D: usize>
where
    Complex<R>: Element,
{
    /// Brings real cells to where the last axis is whole, and back; `None` if it is.
    gather: Option<[Exchange<R, D>; 2]>,
    /// Real cells in the first decomposition.
    block: Block<D>,
    real: Memory<R>,
    to_complex: Arc<dyn RealToComplex<R>>,
    to_real: Arc<dyn ComplexToReal<R>>,
}

impl<R: FftNum + Element, const D: usize> Fft<R, D>
where
    Complex<R>: Element,
{
    /// A plan for all axes of the fields on `grid`. Collective.
    ///
    /// # Errors
    /// More than memory can hold; a failure of the engine.
    #[track_caller]
    pub fn plan(grid: &Grid<D>) -> Result<Self> {
        Self::plan_axes(grid, [true; D])
    }

    /// As [`plan`](Fft::plan), for some axes only; along the others every line is by itself.
    ///
    /// # Errors
    /// As [`plan`](Fft::plan).
    #[track_caller]
    pub fn plan_axes(grid: &Grid<D>, axes: [bool; D]) -> Result<Self> {
        let shape = if axes == [true; D] { shape(grid) } else { None };
        let uneven = !Split::of(grid).deals(grid);
        let steps = Steps::new(grid, Split::of(grid), axes, axes, uneven, shape.is_some())?;
        let long = shape.map(|shape| Long::new(&steps.comm, grid, &steps.grid, shape)).transpose()?;
        Ok(Fft { grid: grid.clone(), steps, long })
    }

    /// The grid of the spectrum: the same cells, in the decomposition in which they are after the last transform.
    pub fn spectrum_grid(&self) -> &Grid<D> {
        &self.steps.grid
    }

    /// The spectrum of a field. Every rank calls it.
    ///
    /// # Errors
    /// Fields on other grids than the plan's; a failure of the engine, or another rank's.
    #[track_caller]
    pub fn forward(
        &mut self,
        field: &Field<Complex<R>, D>,
        spectrum: &mut Field<Complex<R>, D>,
    ) -> Result<()> {
        self.steps.check("forward", field, &self.grid)?;
        self.steps.check("forward", spectrum, &self.steps.grid)?;
        if let Some(long) = &mut self.long {
            return long.forward(field, spectrum);
        }
        let from = Source::new(field);
        self.steps.forward(spectrum, |lines, into| lines.transform(from.view(), into))
    }

    /// The field of a spectrum, which stays as it is. Every rank calls it.
    ///
    /// # Errors
    /// As [`forward`](Fft::forward).
    #[track_caller]
    pub fn inverse(
        &mut self,
        spectrum: &Field<Complex<R>, D>,
        field: &mut Field<Complex<R>, D>,
    ) -> Result<()> {
        self.steps.check("inverse", field, &self.grid)?;
        self.steps.check("inverse", spectrum, &self.steps.grid)?;
        if let Some(long) = &mut self.long {
            return long.inverse(spectrum, field);
        }
        self.steps.inverse(spectrum)?;
        let (at, _) = place(field);
        let shape = field.grid().own().shape;
        let Steps { stages, pool, work, .. } = &mut self.steps;
        // What is left: the axes of the first stage, if the spectrum was in another one.
        let into = view_mut(field.storage_mut(), at, shape);
        let from = view(work[0].as_slice(), Place::dense(shape), shape);
        if let Some(into) = into {
            let none = [const { None }; D];
            let axes = if stages.len() > 1 { &stages[0].inverse } else { &none };
            Lines { axes, outer_first: true, scale: None, pool }.transform(from, into);
        }
        Ok(())
    }
}

impl<R: FftNum + Element, const D: usize> RealFft<R, D>
where
    Complex<R>: Element,
{
    /// A plan for the real fields on `grid`. Collective.
    ///
    /// # Errors
    /// As [`Fft::plan`].
    #[track_caller]
    pub fn plan(grid: &Grid<D>) -> Result<Self> {
        let (comm, given) = (grid.comm(), Split::of(grid));
        let mut last = [false; D];
        last[D - 1] = true;
        let whole = if given.dims[D - 1] > 1 { given.next(last).unwrap_or(given) } else { given };
        let mut half = whole;
        half.cells[D - 1] = whole.cells[D - 1] / 2 + 1;
        let mut others = [true; D];
        others[D - 1] = false;
        let shape = shape(grid);
        let steps = Steps::new(grid, half, others, [true; D], false, shape.is_some())?;
        if let Some(shape) = shape {
            let rows = Rows::Long(Box::new(Long::new(&steps.comm, grid, &steps.grid, shape)?));
            return Ok(RealFft { grid: grid.clone(), steps, rows });
        }
        let gather = (whole != given || !given.deals(grid)).then(|| {
            let (outside, inside) = (|rank| block_of(grid, rank), |rank| whole.block(rank));
            [exchange(&steps.comm, outside, inside), exchange(&steps.comm, inside, outside)]
        });
        let block = whole.block(comm.rank());
        let real = Memory::zeroed(if gather.is_some() { block.len() } else { 0 })?;
        let mut planner = RealFftPlanner::new();
        let n = given.cells[D - 1];
        let (to_complex, to_real) = (planner.plan_fft_forward(n), planner.plan_fft_inverse(n));
        let rows = Rows::Whole(Box::new(Whole { gather, block, real, to_complex, to_real }));
        Ok(RealFft { grid: grid.clone(), steps, rows })
    }

    /// The grid of the spectrum: `n / 2 + 1` cells along the last axis, in the decomposition in which they are after the last transform.
    pub fn spectrum_grid(&self) -> &Grid<D> {
        &self.steps.grid
    }

    /// The first half of the spectrum of a field. Every rank calls it.
    ///
    /// # Errors
    /// As [`Fft::forward`].
    #[track_caller]
    pub fn forward(&mut self, field: &Field<R, D>, spectrum: &mut Field<Complex<R>, D>) -> Result<()> {
        self.steps.check("forward", field, &self.grid)?;
        self.steps.check("forward", spectrum, &self.steps.grid)?;
        let whole = match &mut self.rows {
            Rows::Whole(whole) => whole,
            Rows::Long(long) => return long.forward(field, spectrum),
        };
        let (mut at, start) = place(field);
        let mut storage = field.storage();
        if let Some([there, _]) = &mut whole.gather {
            there.run(&mut Arrays {
                from: storage,
                at,
                at_start: start,
                to: whole.real.as_mut_slice(),
                into: Place::dense(whole.block.shape),
                into_start: whole.block.start,
            })?;
            (storage, at) = (whole.real.as_slice(), Place::dense(whole.block.shape));
        }
        let (shape, rows) = (whole.block.shape, &whole.to_complex);
        self.steps.forward(spectrum, |lines, into| {
            if let Some(from) = view(storage, at, shape) {
                lines.real_forward(from, into, rows);
            }
        })
    }

    /// The field of half a spectrum, which stays as it is. What it has beside the spectrum of a real field (imaginary parts
    /// of the frequency 0, and of n/2 if n is even, on lines along the last axis) is left out. Every rank calls it.
    ///
    /// # Errors
    /// As [`Fft::forward`].
    #[track_caller]
    pub fn inverse(&mut self, spectrum: &Field<Complex<R>, D>, field: &mut Field<R, D>) -> Result<()> {
        self.steps.check("inverse", field, &self.grid)?;
        self.steps.check("inverse", spectrum, &self.steps.grid)?;
        let whole = match &mut self.rows {
            Rows::Whole(whole) => whole,
            Rows::Long(long) => return long.inverse(spectrum, field),
        };
        self.steps.inverse(spectrum)?;
        let (at, start) = place(field);
        let Steps { stages, pool, work, .. } = &mut self.steps;
        let shape = stages[0].block.shape;
        let none = [const { None }; D];
        let axes = if stages.len() > 1 { &stages[0].inverse } else { &none };
        let lines = Lines { axes, outer_first: true, scale: None, pool };
        let from = view_mut(work[0].as_mut_slice(), Place::dense(shape), shape);
        let to = match &whole.gather {
            None => view_mut(field.storage_mut(), at, whole.block.shape),
            Some(_) => {
                view_mut(whole.real.as_mut_slice(), Place::dense(whole.block.shape), whole.block.shape)
            }
        };
        if let (Some(from), Some(to)) = (from, to) {
            lines.real_inverse(from, to, &whole.to_real);
        }
        if let Some([_, back]) = &mut whole.gather {
            back.run(&mut Arrays {
                from: whole.real.as_slice(),
                at: Place::dense(whole.block.shape),
                at_start: whole.block.start,
                to: field.storage_mut(),
                into: at,
                into_start: start,
            })?;
        }
        Ok(())
    }
}

/// A field's cells, to be seen as an array.
struct Source<'f, T: Element, const D: usize>(&'f Field<T, D>);

impl<'f, T: Element, const D: usize> Source<'f, T, D> {
    fn new(field: &'f Field<T, D>) -> Self {
        Source(field)
    }

    fn view(&self) -> Option<ndarray::ArrayViewD<'f, T>> {
        view(self.0.storage(), place(self.0).0, self.0.grid().own().shape)
    }
}

/// One decomposition on the way, on this rank.
struct Stage<R: FftNum, const D: usize> {
    block: Block<D>,
    /// The axes that are transformed in it.
    forward: [Line<R>; D],
    inverse: [Line<R>; D],
}

/// The complex part of a transform: stages, and the exchanges between them.
struct Steps<R: FftNum + Element, const D: usize>
where
    Complex<R>: Element,
{
    comm: Rc<Comm>,
    grid: Grid<D>,
    stages: Vec<Stage<R, D>>,
    /// From each stage to the next, and back.
    there: Vec<Exchange<Complex<R>, D>>,
    back: Vec<Exchange<Complex<R>, D>>,
    /// Cells of the even and of the odd stages. The last stage's are in the spectrum when going there.
    work: [Memory<Complex<R>>; 2],
    pool: Pool<R>,
    /// One over the number of cells along the transformed axes.
    scale: R,
}

impl<R: FftNum + Element, const D: usize> Steps<R, D>
where
    Complex<R>: Element,
{
    /// Of the cells of `first`, over the axes `complex`. `all` are those whose lengths (of the grid) the inverse divides by.
    /// If the grid is `uneven`, its own blocks come first and are dealt evenly from then on. If they are done by `long`, there are
    /// none: only the spectrum's grid.
    #[track_caller]
    fn new(
        grid: &Grid<D>,
        first: Split<D>,
        complex: [bool; D],
        all: [bool; D],
        uneven: bool,
        long: bool,
    ) -> Result<Steps<R, D>> {
        let place = Location::caller();
        let (rank, ranks) = (grid.comm().rank(), grid.comm().size());
        let comm = Rc::new(grid.comm().dup()?);
        let mut route = stages(first, complex);
        if uneven {
            route.insert(0, (first, [false; D]));
        }
        // Where no grid can have the last decomposition, the spectrum is brought to one that can.
        let (end, given) = (route[route.len() - 1].0, Split { dims: grid.dims(), ..first });
        let spectrum = Grid::over(&comm, first.cells).halo(0);
        let spectrum = match [end, given].into_iter().find(|split| split.is_grid(ranks)) {
            Some(split) => spectrum.dims(split.dims),
            None => spectrum.leave_idle(),
        };
        let spectrum = spectrum.build().map_err(|error| error.at(place))?;
        if !end.is_grid(ranks) {
            route.push((given, [false; D]));
        }
        if long {
            route.clear();
        }
        let block = |stage: usize, rank: usize| match stage {
            0 if uneven => block_of(grid, rank),
            last if last + 1 == route.len() => block_of(&spectrum, rank),
            _ => route[stage].0.block(rank),
        };
        let mut planner = FftPlanner::new();
        let mut stages = Vec::with_capacity(route.len());
        for (number, (split, axes)) in route.iter().enumerate() {
            let mut line = |axis: usize, forward: bool| {
                let n = split.cells[axis];
                axes[axis]
                    .then(|| if forward { planner.plan_fft_forward(n) } else { planner.plan_fft_inverse(n) })
            };
            let forward = std::array::from_fn(|axis| line(axis, true));
            let inverse = std::array::from_fn(|axis| line(axis, false));
            stages.push(Stage { block: block(number, rank), forward, inverse });
        }
        let (mut there, mut back) = (Vec::new(), Vec::new());
        for stage in 1..route.len() {
            let (a, b) = (|rank| block(stage - 1, rank), |rank| block(stage, rank));
            there.push(exchange(&comm, a, b));
            back.push(exchange(&comm, b, a));
        }
        let most =
            |odd: usize| stages.iter().skip(odd).step_by(2).map(|stage| stage.block.len()).max().unwrap_or(0);
        let work = [Memory::zeroed(most(0))?, Memory::zeroed(most(1))?];
        let count: f64 = (0..D).filter(|&axis| all[axis]).map(|axis| grid.cells()[axis] as f64).product();
        let scale = R::from_f64(1.0 / count).unwrap_or_else(R::one);
        Ok(Steps { comm, grid: spectrum, stages, there, back, work, pool: Pool::new(), scale })
    }

    /// All stages; the first one's cells come from `fill`.
    #[track_caller]
    fn forward(
        &mut self,
        spectrum: &mut Field<Complex<R>, D>,
        fill: impl FnOnce(&Lines<'_, R>, ndarray::ArrayViewMutD<'_, Complex<R>>),
    ) -> Result<()> {
        let (at, _) = place(spectrum);
        let last = self.stages.len() - 1;
        let Steps { stages, there, work, pool, .. } = self;
        let mut fill = Some(fill);
        for (number, stage) in stages.iter().enumerate() {
            let [even, odd] = work;
            let (here, before) = if number % 2 == 0 { (even, odd) } else { (odd, even) };
            let (here, into) = if number == last {
                (spectrum.storage_mut(), at)
            } else {
                (here.as_mut_slice(), Place::dense(stage.block.shape))
            };
            let lines = Lines { axes: &stage.forward, outer_first: false, scale: None, pool };
            match number.checked_sub(1) {
                None => {
                    if let (Some(fill), Some(into)) = (fill.take(), view_mut(here, into, stage.block.shape)) {
                        fill(&lines, into);
                    }
                }
                Some(previous) => {
                    there[previous].run(&mut Arrays {
                        from: before.as_slice(),
                        at: Place::dense(stages[previous].block.shape),
                        at_start: stages[previous].block.start,
                        to: here,
                        into,
                        into_start: stage.block.start,
                    })?;
                    if let Some(here) = view_mut(here, into, stage.block.shape) {
                        lines.transform(None, here);
                    }
                }
            }
        }
        Ok(())
    }

    /// All stages from the last to the first, whose cells are then in `work[0]`; its own axes are left to do unless
    /// it is also the last.
    #[track_caller]
    fn inverse(&mut self, spectrum: &Field<Complex<R>, D>) -> Result<()> {
        let (at, _) = place(spectrum);
        let Steps { stages, back, work, pool, scale, .. } = self;
        for (number, stage) in stages.iter().enumerate().rev() {
            let [even, odd] = &mut *work;
            let (here, before) = if number % 2 == 0 { (even, odd) } else { (odd, even) };
            let (here, dense) = (here.as_mut_slice(), Place::dense(stage.block.shape));
            let mut lines = Lines { axes: &stage.inverse, outer_first: true, scale: None, pool };
            if number + 1 == stages.len() {
                lines.scale = Some(*scale);
                if let Some(here) = view_mut(here, dense, stage.block.shape) {
                    lines.transform(view(spectrum.storage(), at, stage.block.shape), here);
                }
                continue;
            }
            let next = &stages[number + 1];
            back[number].run(&mut Arrays {
                from: before.as_slice(),
                at: Place::dense(next.block.shape),
                at_start: next.block.start,
                to: here,
                into: dense,
                into_start: stage.block.start,
            })?;
            if number > 0
                && let Some(here) = view_mut(here, dense, stage.block.shape)
            {
                lines.transform(None, here);
            }
        }
        Ok(())
    }

    #[track_caller]
    fn check<T: Element>(&self, call: &str, field: &Field<T, D>, planned: &Grid<D>) -> Result<()> {
        let (place, given) = (Location::caller(), field.grid());
        if given.same(planned) && field.staggering() == [false; D] {
            return Ok(());
        }
        if given.same(planned) {
            return Err(Error::usage(format!("{call}: a field lies on faces"))
                .help("a transform is of values in the middle of cells")
                .on_rank(self.comm.rank())
                .at(place));
        }
        Err(Error::usage(format!("{call}: a field is on {given:?}, the plan has {planned:?} there"))
            .help("make the field on the plan's grid, and the spectrum on its spectrum_grid()")
            .on_rank(self.comm.rank())
            .at(place))
    }
}

/// The matrix in which a grid of one axis is transformed by all ranks; `None` if it is not.
fn shape<const D: usize>(grid: &Grid<D>) -> Option<[usize; 2]> {
    if D == 1 { long::shape(grid.cells()[0], grid.comm().size()) } else { None }
}

/// The cells of a rank, which may have none.
fn block_of<const D: usize>(grid: &Grid<D>, rank: usize) -> Block<D> {
    grid.block_of(rank).unwrap_or(Block { start: [0; D], shape: [0; D] })
}

/// The exchange between two decompositions.
fn exchange<T: Element, const D: usize>(
    comm: &Rc<Comm>,
    from: impl Fn(usize) -> Block<D>,
    to: impl Fn(usize) -> Block<D>,
) -> Exchange<T, D> {
    let cells = PIECE / size_of::<T>().max(1) * rayon::current_num_threads();
    let cut = Cut { cells, contiguous: D - 1 };
    Exchange::new(comm.clone(), Pieces::new(comm.rank(), comm.size(), from, to, cut))
}
