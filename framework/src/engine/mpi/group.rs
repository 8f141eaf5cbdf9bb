//! Communicators from communicators, and the ranks they have.
//!
//! When they are freed is in `family`.

use super::Mpi;
use super::status::check;
use crate::engine::{Outcome, Place};
use mpi::ffi;
use std::ffi::c_int;
use std::mem::MaybeUninit;

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

    /// The ranks of this node, in their order here. Collective.
    pub fn split_shared(&self, place: Place) -> Outcome<Mpi> {
        self.agree("split_shared", None, None, None, place)?;
        self.reap()?;
        let mut node = self.constants().comm_null;
        // SAFETY: the communicator is live; the info is a constant of the library; the output is valid for a write.
        check("MPI_Comm_split_type", unsafe {
            let (kind, info) = (self.constants().comm_type_shared, ffi::RSMPI_INFO_NULL);
            ffi::MPI_Comm_split_type(self.comm, kind, self.rank as c_int, info, &mut node)
        })?;
        self.adopt_live(node)
    }

    /// These ranks, in this order, of which this one is one. Collective over them.
    pub fn create_group(&self, members: &[usize], tag: i32, _: Place) -> Outcome<Mpi> {
        let ranks: Vec<c_int> = members.iter().map(|&rank| rank as c_int).collect();
        let all = Handle::of(self.comm)?;
        let some = all.incl(&ranks)?;
        let mut comm = self.constants().comm_null;
        // SAFETY: the communicator and the group are live; the output is valid for a write.
        check("MPI_Comm_create_group", unsafe {
            ffi::MPI_Comm_create_group(self.comm, some.0, tag, &mut comm)
        })?;
        let world = all.translate(&ranks, &Handle::of(self.constants().comm_world)?)?;
        self.adopt_loner(comm, world)
    }

    /// See [`Engine::world_ranks`](crate::engine::Engine::world_ranks).
    pub fn world_ranks(&self) -> Outcome<Vec<usize>> {
        let ranks: Vec<c_int> = (0..self.size as c_int).collect();
        Handle::of(self.comm)?.translate(&ranks, &Handle::of(self.constants().comm_world)?)
    }

    /// For debuggers. MPI cuts what is too long for it.
    pub fn set_name(&self, name: &str) -> Outcome<()> {
        let name: Vec<u8> = name.bytes().filter(|&byte| byte != 0).chain([0]).collect();
        // SAFETY: the communicator is live; the text ends with a zero, and MPI copies it.
        check("MPI_Comm_set_name", unsafe { ffi::MPI_Comm_set_name(self.comm, name.as_ptr().cast()) })
    }
}

/// An MPI group, freed when it is dropped.
struct Handle(ffi::MPI_Group);

impl Handle {
    /// The group of a live communicator.
    fn of(comm: ffi::MPI_Comm) -> Outcome<Handle> {
        let mut group = MaybeUninit::uninit();
        // SAFETY: the communicator is live; the output is valid for a write.
        check("MPI_Comm_group", unsafe { ffi::MPI_Comm_group(comm, group.as_mut_ptr()) })?;
        // SAFETY: the call succeeded, so MPI stored a group.
        Ok(Handle(unsafe { group.assume_init() }))
    }

    /// The members with these ranks in it.
    fn incl(&self, ranks: &[c_int]) -> Outcome<Handle> {
        let mut group = MaybeUninit::uninit();
        // SAFETY: the group is live and has these ranks, each named once; the output is valid for a write.
        check("MPI_Group_incl", unsafe {
            ffi::MPI_Group_incl(self.0, ranks.len() as c_int, ranks.as_ptr(), group.as_mut_ptr())
        })?;
        // SAFETY: the call succeeded, so MPI stored a group.
        Ok(Handle(unsafe { group.assume_init() }))
    }

    /// The ranks in a larger group of these ranks in this one.
    fn translate(&self, ranks: &[c_int], to: &Handle) -> Outcome<Vec<usize>> {
        let mut there = vec![0; ranks.len()];
        // SAFETY: both groups are live, this one has these ranks, and there is room for as many.
        check("MPI_Group_translate_ranks", unsafe {
            let (len, from) = (ranks.len() as c_int, ranks.as_ptr());
            ffi::MPI_Group_translate_ranks(self.0, len, from, to.0, there.as_mut_ptr())
        })?;
        Ok(there.into_iter().map(|rank| rank as usize).collect())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the group is live and nobody else has it. A group that is not freed is memory of the library's, and
        // no reason to fail.
        let _ = unsafe { ffi::MPI_Group_free(&mut self.0) };
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
