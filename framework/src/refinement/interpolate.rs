//! Multilinear interpolation, an axis at a time: from the coarse points below a block to the block.
//!
//! The last axis comes first, while there are few points; axis 0, which makes the most of them, is whole rows between two
//! rows. It knows of memory only.

use super::part::Part;
use crate::comm::Element;
use crate::error::Result;
use crate::field::{Field, Scaled, in_slabs};
use crate::grid::Block;
use crate::memory::Memory;
use crate::redistribute::{Place, place};

/// The coarse points below a block, and what they become axis by axis.
pub(super) struct Stages<T, const D: usize> {
    part: Part<D>,
    fine: Block<D>,
    below: Block<D>,
    /// Before any axis is interpolated, after the last one, and so on; what comes of axis 0 is the field's.
    between: Vec<Memory<T>>,
}

impl<T: Element, const D: usize> Stages<T, D> {
    pub fn new(part: Part<D>, fine: Block<D>) -> Result<Self> {
        let below = part.below(&fine);
        // What is not refined goes to the field as it is.
        let stages = if part.level == 0 { 0 } else { D };
        let between = (0..stages).map(|done| Memory::zeroed(shape(&below, &fine, done).iter().product()));
        Ok(Stages { part, fine, below, between: between.collect::<Result<_>>()? })
    }

    /// Where the coarse points are to be brought, how they lie there and the first one's index: into the field where they
    /// are not refined, and otherwise in C order before the interpolation.
    pub fn patch<'a>(
        &'a mut self,
        field: Option<&'a mut Field<T, D>>,
    ) -> (&'a mut [T], Place<D>, [usize; D]) {
        match (self.between.first_mut(), field) {
            (Some(patch), _) => (&mut *patch, Place::dense(self.below.shape), self.below.start),
            (None, Some(field)) => {
                let (into, _) = place(field);
                (field.storage_mut(), into, self.below.start)
            }
            (None, None) => (&mut [], Place::dense([0; D]), [0; D]),
        }
    }

    /// Gives every owned point of the field its value.
    pub fn interpolate(&mut self, field: &mut Field<T, D>)
    where
        T: Scaled,
    {
        if self.between.is_empty() || self.fine.is_empty() {
            return;
        }
        for axis in (1..D).rev() {
            let done = D - axis;
            let inner: usize = self.fine.shape[axis + 1..].iter().product();
            let (before, after) = (self.below.shape[axis] * inner, self.fine.shape[axis] * inner);
            let (from, to) = self.between.split_at_mut(done);
            let (from, to) = (from[done - 1].as_slice(), to[0].as_mut_slice());
            let (part, start) = (self.part, self.fine.start[axis]);
            in_slabs(to, after, |first, slab| {
                let from = from[first * before..].chunks_exact(before);
                from.zip(slab.chunks_exact_mut(after))
                    .for_each(|(from, to)| part.points_between(start, from, to, inner));
            });
        }
        let planes = self.between[D - 1].as_slice();
        let (padded, halo) = (field.padded_shape(), field.halo());
        let plane: usize = padded[1..].iter().product();
        let inner: usize = self.fine.shape[1..].iter().product();
        let (rows, row) = match D {
            1 => (1, 1),
            _ => (inner / self.fine.shape[D - 1], self.fine.shape[D - 1]),
        };
        // Where the rows of a plane begin in it.
        let at = Place::dense(padded).at([halo; D]);
        let begin = |mut number: usize| {
            let mut place = [0; D];
            for axis in (1..D.max(2) - 1).rev() {
                place[axis] = number % self.fine.shape[axis];
                number /= self.fine.shape[axis];
            }
            at.at(place).base - halo * plane
        };
        let owned = halo * plane..(halo + self.fine.shape[0]) * plane;
        in_slabs(&mut field.storage_mut()[owned], plane, |first, slab| {
            for (number, out) in (first..).zip(slab.chunks_exact_mut(plane)) {
                let (low, weight) = self.part.between(self.fine.start[0], number);
                for number in 0..rows {
                    let start = if D == 1 { 0 } else { begin(number) };
                    let near = &planes[low * inner + number * row..];
                    let far = &planes[(low * inner + number * row + inner).min(planes.len())..];
                    blend(&mut out[start..start + row], near, far, weight);
                }
            }
        });
    }
}

/// The shape of the points after `done` axes, from the last on, have been interpolated.
fn shape<const D: usize>(below: &Block<D>, fine: &Block<D>, done: usize) -> [usize; D] {
    std::array::from_fn(|axis| if axis + done < D { below.shape[axis] } else { fine.shape[axis] })
}

impl<const D: usize> Part<D> {
    /// The coarse point at or before fine point `start + number`, counted from the first one below a block that begins at
    /// `start`, and how far the fine one is on its way to the next.
    #[inline]
    fn between(&self, start: usize, number: usize) -> (usize, f64) {
        let (factor, point) = (self.factor(), start + number);
        (point / factor - start / factor, (point % factor) as f64 / factor as f64)
    }

    /// Interpolates along one axis: stretches of `inner` values, of which `from` has those of coarse points and `to` gets those
    /// of fine ones from `start` on.
    fn points_between<T: Scaled>(&self, start: usize, from: &[T], to: &mut [T], inner: usize) {
        if inner > 1 {
            for (number, out) in to.chunks_exact_mut(inner).enumerate() {
                let (low, weight) = self.between(start, number);
                let next = ((low + 1) * inner).min(from.len());
                blend(out, &from[low * inner..], &from[next..], weight);
            }
            return;
        }
        for (number, out) in to.iter_mut().enumerate() {
            let (low, weight) = self.between(start, number);
            *out = match weight == 0.0 {
                true => from[low],
                false => from[low].scaled(1.0 - weight).plus(from[low + 1].scaled(weight)),
            };
        }
    }
}

/// What lies between two stretches of values; of the far one nothing is read where the weight is 0.
fn blend<T: Scaled>(out: &mut [T], near: &[T], far: &[T], weight: f64) {
    let near = &near[..out.len()];
    if weight == 0.0 {
        return out.copy_from_slice(near);
    }
    for ((out, &near), &far) in out.iter_mut().zip(near).zip(&far[..near.len()]) {
        *out = near.scaled(1.0 - weight).plus(far.scaled(weight));
    }
}
