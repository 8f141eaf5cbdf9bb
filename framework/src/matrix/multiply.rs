//! C = alpha·op(A)·op(B) + beta·C by SUMMA (van de Geijn and Watts, Concurrency: Practice and Experience 9, 1997).
//!
//! Every rank adds products of panels to its own part of C: some columns of A, sent along the rows of the process grid, and
//! the same rows of B, sent along its columns. The next panels travel while the present ones are multiplied. A factor that is
//! transposed, or whose layout does not fit C's, is first brought to one that does.

use super::axis::{Axis, Run, total};
use super::gemm::{Factor, Form, Panel, multiply};
use super::rearrange::inside;
use super::{BlockCyclic, Entry, Matrix, Rearrangement};
use crate::comm::{Buffer, Request, Test};
use crate::error::{Error, ErrorKind, Result};
use std::panic::Location;

/// Columns of A in a panel, at most: enough that the local product reads and writes C seldom, few enough for the first
/// panels, which nothing overlaps, to be there soon. With 256 the local product is as fast as with any more.
const WIDTH: usize = 256;

/// Columns of C between two looks at the messages under way; the panel of A is packed anew for each such part. From 250 to 4000
/// made no difference (2048 rows and columns, 2 ranks).
const LOOK: usize = 400;

/// The columns of blocks that a moved factor is cut in along the summed axis.
const BLOCK: usize = 64;

/// A product that is planned once, for matrices of given layouts, and run often. It holds the panels, and copies of factors
/// that have to be moved; nothing is allocated from the second run on.
///
/// Of factors that are not moved (plain, with A's rows dealt as C's and B's columns as C's) a run sends every entry of A along
/// a row of the process grid and every one of B along a column.
///
/// ```
/// use rankine::matrix::{BlockCyclic, Form, Matrix, ProcessGrid, Product};
/// rankine::testing::ranks([1, 2, 4], |world| {
///     let layout = BlockCyclic::new(&ProcessGrid::new(world)?, [24, 24], [4, 4])?;
///     let shift = Matrix::from_fn(&layout, |[i, j]| if j == (i + 1) % 24 { 1.0 } else { 0.0 })?;
///     let (mut power, mut next) = (shift.duplicate()?, Matrix::zeros(&layout)?);
///     let mut product = Product::plan((&layout, Form::Plain), (&layout, Form::Plain), &layout)?;
///     for _ in 1..24 {
///         product.run(1.0, &shift, &power, 0.0, &mut next)?;
///         std::mem::swap(&mut power, &mut next);
///     }
///     assert!(power.iter().all(|([i, j], value)| value == f64::from(i == j)));
///     Ok(())
/// });
/// ```
pub struct Product<T: Entry> {
    given: [(BlockCyclic, Form); 2],
    c: BlockCyclic,
    moved: [Option<Moved<T>>; 2],
    steps: Vec<Step>,
    /// The panels of A and of B that are multiplied, and those under way.
    now: [Vec<T>; 2],
    next: [Vec<T>; 2],
}

/// A factor that is brought to another layout first.
struct Moved<T: Entry> {
    plan: Rearrangement<T>,
    matrix: Matrix<T>,
}

/// A pair of panels.
struct Step {
    /// The column of the process grid that has the columns of A, and the row that has the rows of B.
    roots: [usize; 2],
    width: usize,
    /// Where they are, on a rank that has either: local columns of A, local rows of B.
    runs: Vec<Run>,
}

impl<T: Entry> Product<T> {
    /// A product of matrices of these layouts, in these forms. Collective.
    ///
    /// # Errors
    /// Layouts whose shapes do not fit, or on other ranks than C's: on every rank. No memory for the copies of factors that are
    /// moved.
    #[track_caller]
    pub fn plan(a: (&BlockCyclic, Form), b: (&BlockCyclic, Form), c: &BlockCyclic) -> Result<Self> {
        let place = Location::caller();
        let (comm, grid) = (c.grid().comm(), c.grid());
        let shape = |(layout, form): (&BlockCyclic, Form)| match (layout.shape(), form) {
            (shape, Form::Plain) => shape,
            ([m, n], _) => [n, m],
        };
        let (left, right) = (shape(a), shape(b));
        let wrong = |what: String, help| {
            Err(Error::new(ErrorKind::Mismatch, format!("multiply: {what}"))
                .help(help)
                .on_rank(comm.rank())
                .at(place))
        };
        let fits = if [left[0], right[1]] != c.shape() || left[1] != right[0] {
            let by = |[m, n]: [usize; 2]| format!("{m}x{n}");
            let what = format!("{} times {} into {}", by(left), by(right), by(c.shape()));
            wrong(what, "give m x k, k x n and m x n, after transposing")
        } else if !a.0.grid().same_ranks(grid) || !b.0.grid().same_ranks(grid) {
            wrong(
                format!("A is {:?}, B is {:?}, C is {c:?}: other ranks", a.0, b.0),
                "make all process grids of one communicator",
            )
        } else {
            Ok(())
        };
        comm.agree(fits)?;
        let [rows, columns] = c.axes();
        let stays = |(layout, form): (&BlockCyclic, Form), n: usize, axis: Axis| {
            form == Form::Plain && layout.grid().same(grid) && layout.axes()[n] == axis
        };
        let (a_stays, b_stays) = (stays(a, 0, rows), stays(b, 1, columns));
        // The summed axis over the columns and over the rows of the grid.
        let blocks = match (a_stays, b_stays) {
            (true, _) => a.0.axes()[1].block,
            (false, true) => b.0.axes()[0].block,
            (false, false) => BLOCK.min(left[1].max(1)),
        };
        let summed = |n: usize| Axis { len: left[1], block: blocks, source: 0, ranks: grid.shape()[n] };
        let moved = |(layout, form): (&BlockCyclic, Form), to: [Axis; 2]| -> Result<Moved<T>> {
            let to = BlockCyclic::of(grid, to);
            let plan = match form {
                Form::Plain => Rearrangement::new(layout, &to),
                Form::Transposed | Form::Adjoint => Rearrangement::transposing(layout, &to),
            };
            Ok(Moved { plan: plan?, matrix: Matrix::zeros(&to)? })
        };
        let moved = [
            if a_stays { None } else { Some(moved(a, [rows, summed(1)])?) },
            if b_stays { None } else { Some(moved(b, [summed(0), columns])?) },
        ];
        let used = |n: usize, given: &BlockCyclic| match &moved[n] {
            Some(moved) => moved.matrix.layout.axes()[1 - n],
            None => given.axes()[1 - n],
        };
        let steps = steps(used(0, a.0), used(1, b.0), grid.place());
        let width = steps.iter().map(|step| step.width).max().unwrap_or(0);
        let [height, breadth] = c.local_shape();
        let panels = || [Vec::with_capacity(height * width), Vec::with_capacity(width * breadth)];
        Ok(Product {
            given: [a, b].map(|(layout, form)| (layout.clone(), form)),
            c: c.clone(),
            now: panels(),
            next: panels(),
            moved,
            steps,
        })
    }

    /// C = alpha·op(A)·op(B) + beta·C. With a beta of 0 what C holds does not count, not even NaN. The last bits depend on the
    /// layouts. Collective.
    ///
    /// # Errors
    /// Matrices of other layouts than the plan's, on every rank; a failure of the engine.
    #[track_caller]
    pub fn run(&mut self, alpha: T, a: &Matrix<T>, b: &Matrix<T>, beta: T, c: &mut Matrix<T>) -> Result<()> {
        let comm = self.c.grid().comm();
        let same = a.layout.same(&self.given[0].0) && b.layout.same(&self.given[1].0);
        let fits = if same && c.layout.same(&self.c) {
            Ok(())
        } else {
            let what = format!(
                "A is {:?}, B is {:?}, C is {:?}; the plan is {self:?}",
                a.layout, b.layout, c.layout
            );
            Err(comm.usage("Product::run", Location::caller(), what, "give matrices of the plan's layouts"))
        };
        comm.agree(fits)?;
        let mut factors = [a, b];
        for ((moved, factor), given) in self.moved.iter_mut().zip(&mut factors).zip(&self.given) {
            if let Some(Moved { plan, matrix }) = moved {
                plan.run(factor, matrix)?;
                if given.1 == Form::Adjoint && T::COMPLEX {
                    matrix.local.iter_mut().for_each(|value| *value = value.conj());
                }
                *factor = matrix;
            }
        }
        summa(&self.c, &self.steps, [&mut self.now, &mut self.next], alpha, factors, beta, c)
    }
}

impl<T: Entry> std::fmt::Debug for Product<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [(a, form_a), (b, form_b)] = &self.given;
        write!(f, "{form_a:?} A of {a:?} times {form_b:?} B of {b:?} into {:?}", self.c)
    }
}

/// The pairs of panels: for every column and row of the process grid what of the summed axis is on both, in parts of
/// [`WIDTH`]. One after the other they come from different ranks.
fn steps(a: Axis, b: Axis, place: [usize; 2]) -> Vec<Step> {
    let shared: Vec<([usize; 2], Vec<Run>)> = (0..a.ranks)
        .flat_map(|column| (0..b.ranks).map(move |row| [column, row]))
        .map(|roots| (roots, a.shared(roots[0], b, roots[1])))
        .collect();
    let parts = shared.iter().map(|(_, runs)| total(runs).div_ceil(WIDTH)).max().unwrap_or(0);
    let mut steps = Vec::new();
    for part in 0..parts {
        for (roots, runs) in &shared {
            let all = total(runs);
            let start = part * WIDTH;
            if start >= all {
                continue;
            }
            let width = WIDTH.min(all - start);
            let mine = roots[0] == place[1] || roots[1] == place[0];
            let runs = if mine { joined(inside(runs, start, width), *roots, place) } else { Vec::new() };
            steps.push(Step { roots: *roots, width, runs });
        }
    }
    steps
}

/// Runs that follow one another on the sides that are here, as one.
fn joined(runs: impl Iterator<Item = Run>, roots: [usize; 2], place: [usize; 2]) -> Vec<Run> {
    let (has_a, has_b) = (roots[0] == place[1], roots[1] == place[0]);
    let mut all = Vec::<Run>::new();
    for run in runs {
        match all.last_mut() {
            Some(last)
                if (!has_a || last.from + last.len == run.from)
                    && (!has_b || last.to + last.len == run.to) =>
            {
                last.len += run.len;
            }
            _ => all.push(run),
        }
    }
    all
}

/// What the steps of a run have in common.
struct Sides<'a, T: Entry> {
    place: [usize; 2],
    /// Ranks in this rank's row and column.
    ranks: [usize; 2],
    /// Rows and columns of this rank's part of C.
    shape: [usize; 2],
    factors: [&'a Matrix<T>; 2],
}

impl<T: Entry> Sides<'_, T> {
    /// Puts this rank's share of a step's panels where they are sent from, and makes room for those that come. What stays
    /// here and is contiguous is left where it is.
    fn pack(&self, step: &Step, [a, b]: &mut [Vec<T>; 2]) {
        let ([height, breadth], [from_a, from_b]) = (self.shape, self.factors);
        // What is in them is overwritten, so nothing is cleared.
        a.resize(height * step.width, T::default());
        b.resize(step.width * breadth, T::default());
        if step.roots[0] == self.place[1] && self.stays_a(step).is_none() {
            let mut rest = &mut a[..];
            for run in &step.runs {
                let (here, after) = rest.split_at_mut(run.len * height);
                here.copy_from_slice(&from_a.local[run.from * height..(run.from + run.len) * height]);
                rest = after;
            }
        }
        if step.roots[1] == self.place[0] && self.stays_b(step).is_none() && step.width > 0 {
            let pitch = from_b.local_shape()[0];
            for (column, mut rest) in from_b.local.chunks_exact(pitch).zip(b.chunks_exact_mut(step.width)) {
                for run in &step.runs {
                    let (here, after) = rest.split_at_mut(run.len);
                    here.copy_from_slice(&column[run.to..run.to + run.len]);
                    rest = after;
                }
            }
        }
    }

    /// Where A's columns begin, if nobody else needs them and they are one stretch.
    fn stays_a(&self, step: &Step) -> Option<usize> {
        let one = step.runs.windows(2).all(|pair| pair[0].from + pair[0].len == pair[1].from);
        step.runs.first().filter(|_| self.ranks[0] == 1 && one).map(|run| run.from)
    }

    /// Where B's rows begin, if nobody else needs them and they are one stretch.
    fn stays_b(&self, step: &Step) -> Option<usize> {
        let one = step.runs.windows(2).all(|pair| pair[0].to + pair[0].len == pair[1].to);
        step.runs.first().filter(|_| self.ranks[1] == 1 && one).map(|run| run.to)
    }

    /// The panels of a step: where they were left, or where they have come.
    fn panels<'p>(&'p self, step: &Step, [a, b]: &'p [Vec<T>; 2]) -> [Panel<'p, T>; 2] {
        let [height, breadth] = self.shape;
        let pitch = self.factors[1].local_shape()[0];
        let a = self.stays_a(step).map_or(&a[..], |at| &self.factors[0].local[at * height..]);
        let b = match self.stays_b(step) {
            None => (&b[..], step.width),
            Some(at) => (self.factors[1].local.get(at..).unwrap_or(&[]), pitch),
        };
        [
            Panel { elements: a, shape: [height, step.width], pitch: height },
            Panel { elements: b.0, shape: [step.width, breadth], pitch: b.1 },
        ]
    }
}

#[track_caller]
fn summa<T: Entry>(
    layout: &BlockCyclic,
    steps: &[Step],
    [now, next]: [&mut [Vec<T>; 2]; 2],
    alpha: T,
    factors: [&Matrix<T>; 2],
    beta: T,
    c: &mut Matrix<T>,
) -> Result<()> {
    let (grid, place, [height, breadth]) = (layout.grid(), layout.grid().place(), layout.local_shape());
    let (row, column) = (grid.row(), grid.column());
    let mut add = beta != T::default();
    if add && beta != T::of(1.0) {
        c.local.iter_mut().for_each(|value| *value = beta * *value);
    }
    let Some(first) = steps.first() else {
        if !add {
            c.local.fill(T::default());
        }
        return Ok(());
    };
    let sides = Sides { place, ranks: [row.size(), column.size()], shape: [height, breadth], factors };
    sides.pack(first, now);
    row.bcast(&mut now[0], first.roots[0])?;
    column.bcast(&mut now[1], first.roots[1])?;
    let parts = (breadth / LOOK).max(1);
    for (number, step) in steps.iter().enumerate() {
        let [a, b] = sides.panels(step, now);
        match steps.get(number + 1) {
            None => multiply(&mut c.local, height, (0, breadth), add, alpha, a, b),
            Some(after) => {
                sides.pack(after, next);
                let [a_next, b_next] = &mut *next;
                row.scope(|along| {
                    column.scope(|down| {
                        let mut sent_a = match row.size() {
                            1 => None,
                            _ => Some(along.ibcast(&mut a_next[..], after.roots[0])?),
                        };
                        let mut sent_b = match column.size() {
                            1 => None,
                            _ => Some(down.ibcast(&mut b_next[..], after.roots[1])?),
                        };
                        let mut done = 0;
                        while done < breadth {
                            sent_a = look(sent_a)?;
                            sent_b = look(sent_b)?;
                            let rest = breadth - done;
                            let under_way = sent_a.is_some() || sent_b.is_some();
                            let columns = if under_way { breadth.div_ceil(parts).min(rest) } else { rest };
                            multiply(&mut c.local, height, (done, columns), add, alpha, a, b);
                            done += columns;
                        }
                        sent_a.map(|sent| sent.wait().map(drop)).transpose()?;
                        sent_b.map(|sent| sent.wait().map(drop)).transpose()?;
                        Ok(())
                    })
                })?;
            }
        }
        std::mem::swap(now, next);
        add = true;
    }
    Ok(())
}

/// Helps a message along; `None` when it has come.
fn look<'s, B: Buffer>(sent: Option<Request<'s, B>>) -> Result<Option<Request<'s, B>>> {
    Ok(match sent.map(Request::test).transpose()? {
        Some(Test::Pending(sent)) => Some(sent),
        Some(Test::Done(_)) | None => None,
    })
}

impl<T: Entry> Matrix<T> {
    /// Makes this matrix alpha·A·B + beta times itself, by a [`Product`] that is planned for it alone. A factor is a matrix
    /// or its [`t`](Matrix::t) or [`h`](Matrix::h). Collective.
    ///
    /// # Errors
    /// As [`Product::plan`] and [`Product::run`].
    #[track_caller]
    pub fn multiply<'a>(
        &mut self,
        alpha: T,
        a: impl Into<Factor<'a, T>>,
        b: impl Into<Factor<'a, T>>,
        beta: T,
    ) -> Result<()>
    where
        T: 'a,
    {
        let (a, b) = (a.into(), b.into());
        let mut product =
            Product::plan((&a.matrix.layout, a.form), (&b.matrix.layout, b.form), &self.layout)?;
        product.run(alpha, a.matrix, b.matrix, beta, self)
    }
}
