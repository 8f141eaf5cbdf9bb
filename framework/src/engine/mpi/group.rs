//! Communicators from communicators: split and dup.
//!
//! When they are freed is in `family`.

use super::Mpi;
use super::status::check;
use crate::engine::{Outcome, Place};
use mpi::ffi;
use std::ffi::c_int;

impl Mpi {
    /// Ranks of one colour, ordered by key, then by rank. Collective.
    pub fn split(&self, color: Option<u32>, key: i64, place: Place) -> Outcome<Option<Mpi>> {
        self.agree("split", None, None, None, place)?;
        self.reap()?;
        // MPI's colours and keys are ints and ours are wider, so each rank tells all others its own; where it
        // stands among them is an int.
        let mine = [color.map_or(-1, i64::from), key];
        let mut all = vec![[0i64; 2]; self.size];
        let len = size_of_val(&mine) as c_int;
        // SAFETY: `mine` has `len` bytes and `all` has that many for every rank.
        check("MPI_Allgather", unsafe {
            let (from, to) = (mine.as_ptr().cast(), all.as_mut_ptr().cast());
            ffi::MPI_Allgather(from, len, self.byte, to, len, self.byte, self.comm)
        })?;
        let (color, key) = match color {
            None => (self.constants().undefined, 0),
            Some(_) => standing(&all, self.rank),
        };
        let mut part = self.constants().comm_null;
        // SAFETY: the communicator is live; the output is valid for a write.
        check("MPI_Comm_split", unsafe { ffi::MPI_Comm_split(self.comm, color, key, &mut part) })?;
        self.adopt(part)
    }

    /// The same ranks again. Collective.
    pub fn dup(&self, place: Place) -> Outcome<Mpi> {
        self.agree("dup", None, None, None, place)?;
        self.reap()?;
        let mut twin = self.constants().comm_null;
        // SAFETY: the communicator is live; the output is valid for a write.
        check("MPI_Comm_dup", unsafe { ffi::MPI_Comm_dup(self.comm, &mut twin) })?;
        self.adopt_live(twin)
    }
}

/// The lowest rank of the same colour, which stands for the colour, and how many of it come before `rank`.
fn standing(all: &[[i64; 2]], rank: usize) -> (c_int, c_int) {
    let [color, key] = all[rank];
    let same = || all.iter().enumerate().filter(|(_, other)| other[0] == color);
    let first = same().next().map_or(rank, |(first, _)| first);
    let before = same().filter(|(other, [_, theirs])| (*theirs, *other) < (key, rank)).count();
    (first as c_int, before as c_int)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_keys_of_any_size_become_ints() {
        let big = i64::from(u32::MAX);
        let all = [[big, i64::MAX], [-1, 0], [0, 5], [big, i64::MIN], [0, 5]];
        let standings = [0, 2, 3, 4].map(|rank| standing(&all, rank));
        assert_eq!(standings, [(0, 1), (2, 0), (0, 0), (2, 1)]);
    }
}
