//! Fields from one level of a multilevel method to the next: restriction and prolongation.
//!
//! Along each axis by itself, so any mixture of cells and faces is transferred. The weights are the textbook's
//! (Trottenberg, Oosterlee and Schüller, *Multigrid*, 2001, §2.3 and §2.8.4). Which rank holds what is in
//! `grid::levels`.

use super::Field;
use crate::comm::{Element, Number};
use crate::error::{Error, Result};
use crate::grid::levels::{Below, Levels};
use crate::grid::{Block, Grid, Stencil};
use crate::halo::Layout;
use num_complex::Complex;
use std::panic::Location;

/// The framework's tags of transfers.
const DOWN: i32 = 0x100;
const UP: i32 = 0x101;

/// What a fine cell gets of the coarse ones. Faces get linear interpolation in any case: the mean of the coarse ones
/// before and behind, or the coarse one that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Prolongation {
    /// The value of the coarse cell that it is in.
    Constant,
    /// Three quarters of that, and a quarter of the coarse cell on its other side: (bi-, tri-)linear.
    Linear,
}

/// Numbers that can be scaled: `f32`, `f64` and complex ones of them.
pub trait Scaled: Number {
    /// The number times a weight.
    fn scaled(self, weight: f64) -> Self;
}

macro_rules! scaled {
    ($($type:ty)*) => {$(
        impl Scaled for $type {
            #[inline]
            fn scaled(self, weight: f64) -> Self {
                self * weight as $type
            }
        }
        impl Scaled for Complex<$type> {
            #[inline]
            fn scaled(self, weight: f64) -> Self {
                self * weight as $type
            }
        }
    )*};
}

scaled! { f32 f64 }

/// What a field keeps from one transfer to the next, so that the next allocates nothing.
pub(super) struct Kept<T> {
    /// Points for each other rank, and this rank's.
    parts: Vec<Vec<T>>,
    part: Vec<T>,
    /// A row that is interpolated along all axes but the last.
    between: Vec<T>,
    stencil: Vec<(isize, f64)>,
    ends: Vec<Sources>,
}

/// Two coarse points of an axis, by their place in the patch, and their weights.
type Sources = [(usize, f64); 2];

impl<T> Default for Kept<T> {
    fn default() -> Self {
        let (parts, part, between) = (Vec::new(), Vec::new(), Vec::new());
        Kept { parts, part, between, stencil: Vec::new(), ends: Vec::new() }
    }
}

impl<const D: usize> Levels<D> {
    /// Restricts a field: coarse cells are the mean of their fine ones, coarse faces (along staggered axes) a half of
    /// the fine face there and a quarter of those on both sides (full weighting). Brings the halo of the fine field up to
    /// date, edges and corners included; what is beyond walls counts. Every rank of the grids calls it.
    ///
    /// # Errors
    /// Fields on other grids than these, or on different points; a failure of the engine, or another rank's.
    #[track_caller]
    pub fn restrict<T: Scaled>(&self, fine: &mut Field<T, D>, coarse: &mut Field<T, D>) -> Result<()> {
        self.check("restrict", fine, coarse)?;
        fine.exchange_as(Stencil::Box)?;
        let (comm, staggered) = (self.fine.comm().backstage(), fine.staggering());
        let (me, below) = (comm.rank(), self.below(staggered));
        let (mut kept, mut came) = (std::mem::take(&mut fine.kept), std::mem::take(&mut coarse.kept));
        if let Some(below) = below {
            self.weighted(fine, below.points, &mut kept);
        }
        let part = &kept.part[..];
        comm.scope(|s| {
            if let Some(Below { holder, points }) = below.filter(|below| !below.points.is_empty()) {
                if holder == me {
                    coarse.put(points, part);
                } else {
                    let _completed_by_the_scope = s.isend(part, holder, DOWN)?;
                }
            }
            for (rank, Below { points, .. }) in self.others(staggered) {
                if !points.is_empty() {
                    came.part.resize(points.len(), T::zeroed());
                    comm.recv(&mut came.part, rank, DOWN)?;
                    coarse.put(points, &came.part);
                }
            }
            Ok(())
        })?;
        (fine.kept, coarse.kept) = (kept, came);
        Ok(())
    }

    /// Gives every fine point the value interpolated from the coarse ones. Brings the halo of the coarse field up to date,
    /// edges and corners included: near a wall what is beyond it counts. Every rank of the grids calls it.
    ///
    /// # Errors
    /// As [`restrict`](Levels::restrict).
    #[track_caller]
    pub fn prolong<T: Scaled>(
        &self,
        coarse: &mut Field<T, D>,
        fine: &mut Field<T, D>,
        how: Prolongation,
    ) -> Result<()> {
        self.interpolate("prolong", coarse, fine, how, |_, value| value)
    }

    /// As [`prolong`](Levels::prolong), added to what the fine field holds: the correction of a multigrid cycle.
    ///
    /// # Errors
    /// As [`restrict`](Levels::restrict).
    #[track_caller]
    pub fn correct<T: Scaled>(
        &self,
        coarse: &mut Field<T, D>,
        fine: &mut Field<T, D>,
        how: Prolongation,
    ) -> Result<()> {
        self.interpolate("correct", coarse, fine, how, T::plus)
    }

    #[track_caller]
    fn interpolate<T: Scaled>(
        &self,
        call: &str,
        coarse: &mut Field<T, D>,
        fine: &mut Field<T, D>,
        how: Prolongation,
        combine: impl Fn(T, T) -> T,
    ) -> Result<()> {
        self.check(call, fine, coarse)?;
        coarse.exchange_as(Stencil::Box)?;
        let (comm, staggered) = (self.fine.comm().backstage(), fine.staggering());
        let (mut sent, mut kept) = (std::mem::take(&mut coarse.kept), std::mem::take(&mut fine.kept));
        let mut others = 0;
        for (number, (_, below)) in self.others(staggered).enumerate() {
            if sent.parts.len() == number {
                sent.parts.push(Vec::new());
            }
            coarse.around(below.points, &mut sent.parts[number]);
            others = number + 1;
        }
        let below = self.below(staggered);
        comm.scope(|s| {
            for ((rank, _), part) in self.others(staggered).zip(&sent.parts[..others]) {
                let _completed_by_the_scope = s.isend(&part[..], rank, UP)?;
            }
            match below {
                Some(Below { holder, points }) if holder == comm.rank() => {
                    coarse.around(points, &mut kept.part)
                }
                Some(Below { holder, points }) => {
                    kept.part.resize(points.shape.iter().map(|n| n + 2).product(), T::zeroed());
                    comm.recv(&mut kept.part, holder, UP).map(drop)?;
                }
                None => {}
            }
            Ok(())
        })?;
        if let Some(Below { points, .. }) = below {
            self.spread(fine, &mut kept, points, how, combine);
        }
        (coarse.kept, fine.kept) = (sent, kept);
        Ok(())
    }

    #[track_caller]
    fn check<T: Element>(&self, call: &str, fine: &Field<T, D>, coarse: &Field<T, D>) -> Result<()> {
        let is = |field: &Field<T, D>, grid: &Grid<D>| field.grid().same(grid);
        let what = if !is(fine, &self.fine) {
            format!("the fine field is on {:?}, the levels are {self:?}", fine.grid())
        } else if !is(coarse, &self.coarse) {
            format!("the coarse field is on {:?}, the levels are {self:?}", coarse.grid())
        } else if fine.staggering() != coarse.staggering() {
            format!("fields staggered along {:?} and {:?}", fine.staggering(), coarse.staggering())
        } else {
            return Ok(());
        };
        Err(Error::usage(format!("{call}: {what}"))
            .help("give fields on the same points of the two grids of these levels")
            .on_rank(self.fine.comm().rank())
            .at(Location::caller()))
    }

    /// Makes the restricted values of some coarse points, in C order, `part`.
    fn weighted<T: Scaled>(&self, fine: &Field<T, D>, points: Block<D>, kept: &mut Kept<T>) {
        let (reader, staggered) = (fine.reader(), fine.staggering());
        let taps = |axis: usize| -> &[(isize, f64)] {
            match (self.halved[axis], staggered[axis]) {
                (false, _) => &[(0, 1.0)],
                (true, false) => &[(0, 0.5), (1, 0.5)],
                (true, true) => &[(-1, 0.25), (0, 0.5), (1, 0.25)],
            }
        };
        let Kept { stencil, part: values, .. } = kept;
        stencil.clear();
        stencil.push((0, 1.0));
        for axis in 0..D {
            // Each of them once for every tap, the first in its own place.
            let (stride, [first, more @ ..]) = (reader.strides[axis] as isize, taps(axis)) else { continue };
            let tap =
                |(at, weight): (isize, f64), (step, part): (isize, f64)| (at + step * stride, weight * part);
            for number in 0..stencil.len() {
                let from = stencil[number];
                stencil[number] = tap(from, *first);
                stencil.extend(more.iter().map(|&step| tap(from, step)));
            }
        }
        let every = |axis: usize| if self.halved[axis] { 2 } else { 1 };
        values.clear();
        values.resize(points.len(), T::zeroed());
        let mut rows = values.chunks_exact_mut(points.shape[D - 1].max(1));
        each_row(points.shape, |row| {
            let Some(out) = rows.next() else { return };
            // Counted from the block's first point, which may come after the first of these in no axis.
            let first = (0..D).fold(reader.base as isize, |first, axis| {
                let index = (points.start[axis] + row[axis]) * every(axis);
                first + (index as isize - reader.origin[axis] as isize) * reader.strides[axis] as isize
            });
            for &(at, weight) in stencil.iter() {
                let from = reader.cells[(first + at) as usize..].iter().step_by(every(D - 1));
                for (out, &value) in out.iter_mut().zip(from) {
                    *out = out.plus(value.scaled(weight));
                }
            }
        });
    }

    /// Interpolates all owned points of the fine field from coarse ones: those of `points` and one around them, which
    /// are `part`.
    fn spread<T: Scaled>(
        &self,
        fine: &mut Field<T, D>,
        kept: &mut Kept<T>,
        points: Block<D>,
        how: Prolongation,
        combine: impl Fn(T, T) -> T,
    ) {
        let (own, staggered) = (fine.own(), fine.staggering());
        let sources = |axis: usize, index: usize| -> Sources {
            let place = |coarse: usize, step: usize| (coarse + step - points.start[axis], 1.0);
            if !self.halved[axis] {
                return [place(index, 1), (0, 0.0)];
            }
            let (half, odd) = (index / 2, index % 2 == 1);
            let at = |step: usize, weight: f64| (half + step - points.start[axis], weight);
            match (staggered[axis], how, odd) {
                (true, _, false) | (false, Prolongation::Constant, _) => [at(1, 1.0), (0, 0.0)],
                (true, _, true) => [at(1, 0.5), at(2, 0.5)],
                (false, Prolongation::Linear, false) => [at(1, 0.75), at(0, 0.25)],
                (false, Prolongation::Linear, true) => [at(1, 0.75), at(2, 0.25)],
            }
        };
        let length = points.shape[D - 1] + 2;
        let Kept { part: patch, between, ends, .. } = kept;
        ends.clear();
        ends.extend((0..own.shape[D - 1]).map(|x| sources(D - 1, own.start[D - 1] + x)));
        between.resize(length, T::zeroed());
        let base = fine.reader().base;
        let strides = fine.reader().strides;
        let storage = fine.storage_mut();
        each_row(own.shape, |row| {
            between.fill(T::zeroed());
            for code in 0..1usize << (D - 1) {
                let (mut at, mut weight) = (0, 1.0);
                for (axis, &index) in row[..D - 1].iter().enumerate() {
                    let (place, part) = sources(axis, own.start[axis] + index)[code >> axis & 1];
                    at = at * (points.shape[axis] + 2) + place;
                    weight *= part;
                }
                if weight != 0.0 {
                    for (between, &value) in between.iter_mut().zip(&patch[at * length..]) {
                        *between = between.plus(value.scaled(weight));
                    }
                }
            }
            let first = (0..D).fold(base, |first, axis| first + row[axis] * strides[axis]);
            for (out, [one, other]) in storage[first..].iter_mut().zip(ends.iter()) {
                let mut value = between[one.0].scaled(one.1);
                if other.1 != 0.0 {
                    value = value.plus(between[other.0].scaled(other.1));
                }
                *out = combine(*out, value);
            }
        });
    }
}

impl<T: Element, const D: usize> Field<T, D> {
    /// Sets some owned points to values in C order.
    fn put(&mut self, points: Block<D>, values: &[T]) {
        let (first, strides) = self.place_of(points.start, 0);
        let mut rows = values.chunks_exact(points.shape[D - 1].max(1));
        let storage = self.storage_mut();
        each_row(points.shape, |row| {
            let at = (0..D).fold(first, |at, axis| at + row[axis] * strides[axis]);
            if let Some(row) = rows.next() {
                storage[at..at + row.len()].copy_from_slice(row);
            }
        });
    }

    /// Some owned points and one more on all sides, from the halo where they are not owned, in C order.
    fn around(&self, points: Block<D>, values: &mut Vec<T>) {
        let (first, strides) = self.place_of(points.start, 1);
        let shape = points.shape.map(|n| n + 2);
        values.clear();
        values.reserve(shape.iter().product());
        each_row(shape, |row| {
            let at = (0..D).fold(first, |at, axis| at + row[axis] * strides[axis]);
            values.extend_from_slice(&self.storage()[at..at + shape[D - 1]]);
        });
    }

    /// Where in storage the point is that lies `before` before an owned one on all axes, or before one just behind them.
    fn place_of(&self, point: [usize; D], before: usize) -> (usize, [usize; D]) {
        let (layout, own) = (&self.points.layout, self.own());
        let strides: [usize; D] = std::array::from_fn(|axis| layout.strides()[Layout::axis::<D>(axis)]);
        let at = |axis: usize| (point[axis] - own.start[axis] + self.halo() - before) * strides[axis];
        ((0..D).map(at).sum(), strides)
    }
}

/// Calls `each` with the first place of every row of a box, in C order.
fn each_row<const D: usize>(shape: [usize; D], mut each: impl FnMut([usize; D])) {
    if shape.contains(&0) {
        return;
    }
    let rows = shape[..D - 1].iter().product();
    for mut row in 0..rows {
        let mut place = [0; D];
        for axis in (0..D - 1).rev() {
            place[axis] = row % shape[axis];
            row /= shape[axis];
        }
        each(place);
    }
}
