//! Collective calls: every rank of the communicator makes them, in the same order. One file a family.
//!
//! Each family has a function that checks one rank's part and describes it ([`raw::Part`]), and its forms, which differ in who
//! holds the buffers:
//!
//! - `x`: takes values or slices and returns values or vectors; counts that a rank cannot know are exchanged first;
//! - `x_into`, `x_in_place`: the author's buffers, nothing is allocated;
//! - `ix`, `ix_in_place` on a [`Scope`](super::Scope): the same, nonblocking;
//! - `ix_owned`: nonblocking without a scope; vectors go in and come back;
//! - `plan_x`: persistent; the plan owns its vectors and is started as often as wanted.
//!
//! What one rank can see of a mistake (lengths, roots, overlaps) is an error here, before anything is sent, on that
//! rank alone. That all ranks agree is checked by the engine: always on Local, in the checked mode on Mpi.

mod allgather;
mod allgatherv;
mod allreduce;
mod alltoall;
mod alltoallv;
mod barrier;
mod bcast;
mod blocks;
mod exscan;
mod gather;
mod gatherv;
mod owned;
mod plan;
mod raw;
mod reduce;
mod reduce_scatter;
mod reduce_scatter_block;
mod scan;
mod scatter;
mod scatterv;

pub use blocks::Blocks;
pub use owned::OwnedCollective;
pub use plan::CollectivePlan;

pub(crate) use blocks::Scratch;
pub use raw::Vectors;

use super::p2p::named;
use super::{Comm, Element};
use crate::engine::Place;
use crate::error::{Error, Result};
use std::panic::Location;

/// Which call of the author's a part belongs to, for errors.
#[derive(Clone, Copy)]
pub(crate) struct Site {
    pub call: &'static str,
    pub place: Place,
}

impl Site {
    #[inline]
    #[track_caller]
    pub fn of(call: &'static str) -> Site {
        Site { call, place: Location::caller() }
    }
}

impl Comm {
    #[cold]
    fn misuse(&self, site: Site, what: String, help: &str) -> Error {
        self.usage(site.call, site.place, what, help)
    }

    /// A buffer for `len` elements of each rank.
    fn room<T: Element>(&self, site: Site, len: usize) -> Result<Vec<T>> {
        Ok(vec![T::zeroed(); self.total::<T>(site, len)?])
    }

    /// Makes `buffer` `len` elements long for each rank.
    fn fit<T: Element>(&self, site: Site, buffer: &mut Vec<T>, len: usize) -> Result<()> {
        buffer.resize(self.total::<T>(site, len)?, T::zeroed());
        Ok(())
    }

    /// How many elements all ranks have together if each has `len`.
    #[inline]
    fn total<T>(&self, site: Site, len: usize) -> Result<usize> {
        match len.checked_mul(self.size()) {
            Some(total) if fits::<T>(total) => Ok(total),
            _ => Err(self.misuse(
                site,
                format!("{len} elements for each of {} ranks", self.size()),
                "the total must fit in memory",
            )),
        }
    }

    #[inline]
    fn check_root(&self, site: Site, root: usize) -> Result<()> {
        if root < self.size() {
            return Ok(());
        }
        let help = format!("this communicator has ranks 0 to {}", self.size() - 1);
        Err(self.misuse(site, format!("root {root}: there is no such rank"), &help))
    }

    #[inline]
    fn check_len(&self, site: Site, what: &str, len: usize, need: usize) -> Result<()> {
        if len == need {
            return Ok(());
        }
        let help = format!("give {what} exactly {need} elements");
        Err(self.misuse(site, format!("{what} has {len} elements, {need} are needed"), &help))
    }

    /// The length of each rank's block in a buffer of `len` elements that has one for every rank.
    #[inline]
    fn share(&self, site: Site, what: &str, len: usize) -> Result<usize> {
        if len.is_multiple_of(self.size()) {
            return Ok(len / self.size());
        }
        Err(self.misuse(
            site,
            format!("{what} has {len} elements, which {} ranks cannot share evenly", self.size()),
            "give every rank's block the same length, or use the call with counts",
        ))
    }
}

/// Whether so many elements may be in memory at all.
fn fits<T>(len: usize) -> bool {
    len.checked_mul(size_of::<T>()).is_some_and(|bytes| bytes <= isize::MAX as usize)
}
