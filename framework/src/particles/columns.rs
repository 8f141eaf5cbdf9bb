//! `Columns`: particles as one slice a quantity, on whichever rank the author says, in no particular order.
//!
//! [`Particles`](super::Particles) are structs in the order of their numbers and know their owners. Here loops run over
//! slices of plain numbers, which compilers vectorise, and bringing particles to other ranks costs what leaves, not what
//! stays.

use crate::comm::{Comm, Element};
use crate::error::{Error, Result};
use crate::memory::Memory;
use std::panic::Location;

/// The framework's tag of rows.
const TAG: i32 = 0x111;

/// Told instead of a number of rows by a rank that was given a mistake.
const MISTAKE: usize = usize::MAX;

/// Bytes after which the sets of a processor's first cache repeat.
const SETS: usize = 4096;

/// By how many bytes more than those each column starts after the one before it, so that one row's numbers do not all
/// want the same set.
const STAGGER: usize = 5 * 64;

/// Rows of `C` numbers, as `C` slices of the same length: one for each coordinate, velocity, charge, number and so on.
///
/// Rows have no order that stays: one that leaves makes room for another.
///
/// ```
/// use rankine::particles::Columns;
/// rankine::testing::ranks([1, 2, 3], |world| {
///     let (me, all) = (world.rank(), world.size());
///     // Positions on a ring as long as there are ranks, and numbers.
///     let mut drops = Columns::<f64, 2>::new();
///     for i in 0..10 {
///         drops.push([me as f64 + 0.1 * i as f64, (10 * me + i) as f64])?;
///     }
///     for _ in 0..20 {
///         let [x, _] = drops.columns_mut();
///         x.iter_mut().for_each(|x| *x = (*x + 0.25) % all as f64);
///         let [x, _] = drops.columns();
///         let left: Vec<usize> = (0..x.len()).filter(|&row| x[row] as usize != me).collect();
///         drops.migrate(world, &left, |[x, _]| *x as usize)?;
///     }
///     assert!(drops.columns()[0].iter().all(|&x| x as usize == me));
///     let numbers = drops.columns()[1].iter().sum::<f64>();
///     assert_eq!(world.allreduce(numbers, rankine::op::Sum)? as usize, 5 * all * (10 * all - 1));
///     Ok(())
/// });
/// ```
pub struct Columns<T, const C: usize> {
    /// Each column begins `stride` after the one before it.
    memory: Memory<T>,
    stride: usize,
    len: usize,
    /// For each rank: the rows that go there, how many they are, and how many come from there.
    out: Vec<Vec<[T; C]>>,
    sent: Vec<usize>,
    coming: Vec<usize>,
    /// The rows that were given away, and those that came.
    holes: Vec<usize>,
    came: Vec<[T; C]>,
}

impl<T: Element, const C: usize> Columns<T, C> {
    /// No rows yet.
    #[expect(clippy::new_without_default, reason = "an array's length has no say in a default")]
    pub fn new() -> Self {
        Columns {
            memory: Memory::from(Vec::new()),
            stride: 0,
            len: 0,
            out: Vec::new(),
            sent: Vec::new(),
            coming: Vec::new(),
            holes: Vec::new(),
            came: Vec::new(),
        }
    }

    /// How many rows this rank has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether this rank has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes room for `more` rows beside those that are there; where they are many, on large pages.
    ///
    /// # Errors
    /// More than the system gives.
    #[track_caller]
    pub fn reserve(&mut self, more: usize) -> Result<()> {
        let rows = self.len.saturating_add(more);
        if rows <= self.stride {
            return Ok(());
        }
        let place = Location::caller();
        let too_large = || {
            Error::usage(format!("{rows} rows of {C} columns on a rank, of {} bytes each", size_of::<T>()))
                .help("take more ranks, or fewer particles")
                .at(place)
        };
        let (sets, stagger) =
            ((SETS / size_of::<T>().max(1)).max(1), STAGGER.div_ceil(size_of::<T>().max(1)));
        let stride = rows.checked_next_multiple_of(sets).and_then(|rows| rows.checked_add(stagger));
        let stride = stride.ok_or_else(too_large)?;
        let mut memory = Memory::zeroed(stride.checked_mul(C).ok_or_else(too_large)?)?;
        for (new, old) in memory.chunks_mut(stride).zip(self.columns()) {
            new[..old.len()].copy_from_slice(old);
        }
        (self.memory, self.stride) = (memory, stride);
        Ok(())
    }

    /// Adds a row.
    ///
    /// # Errors
    /// More than the system gives.
    #[track_caller]
    pub fn push(&mut self, row: [T; C]) -> Result<()> {
        if self.len == self.stride {
            self.reserve((self.len / 2).max(1))?;
        }
        self.len += 1;
        self.set(self.len - 1, row);
        Ok(())
    }

    /// The columns, each as long as there are rows.
    pub fn columns(&self) -> [&[T]; C] {
        let mut columns = self.memory.chunks(self.stride.max(1));
        std::array::from_fn(|_| columns.next().map_or(&[][..], |column| &column[..self.len]))
    }

    /// The columns, to be changed.
    pub fn columns_mut(&mut self) -> [&mut [T]; C] {
        let mut columns = self.memory.chunks_mut(self.stride.max(1));
        std::array::from_fn(|_| columns.next().map_or(&mut [][..], |column| &mut column[..self.len]))
    }

    fn row(&self, row: usize) -> [T; C] {
        std::array::from_fn(|column| self.memory[column * self.stride + row])
    }

    fn set(&mut self, row: usize, values: [T; C]) {
        for (column, value) in values.into_iter().enumerate() {
            self.memory[column * self.stride + row] = value;
        }
    }

    /// Sends each of the rows numbered in `leaving` to the rank that `owner` says of it; one that is this rank's own stays.
    /// What comes takes the places of what left. Gives back how many came. Collective.
    ///
    /// Each rank tells each how many it sends, and sends those that are any straight there. Once it has met the most that
    /// travel in a step, nothing is allocated.
    ///
    /// # Errors
    /// Rows in `leaving` that are not ascending or that there are not; a rank that there is not. Then every rank gets an
    /// error, and nothing has moved. A failure of the engine.
    #[track_caller]
    pub fn migrate(
        &mut self,
        comm: &Comm,
        leaving: &[usize],
        owner: impl FnMut(&[T; C]) -> usize,
    ) -> Result<usize> {
        if comm.size() == 1 && leaving.is_empty() {
            return Ok(0);
        }
        let packed = self.pack(comm, leaving, owner);
        self.sent.clear();
        match packed {
            Ok(()) => self.sent.extend(self.out.iter().map(Vec::len)),
            Err(_) => self.sent.resize(comm.size(), MISTAKE),
        }
        self.coming.resize(comm.size(), 0);
        comm.alltoall_into(&self.sent, &mut self.coming)?;
        if self.coming.contains(&MISTAKE) {
            return comm.agree(packed).map(|()| 0);
        }
        let total = self.coming.iter().sum();
        self.came.resize(total, [T::zeroed(); C]);
        let (mut room, out) = (&mut self.came[..], &self.out);
        comm.backstage().scope(|s| {
            for (from, &rows) in self.coming.iter().enumerate().filter(|(_, rows)| **rows > 0) {
                let (into, rest) = std::mem::take(&mut room).split_at_mut(rows);
                room = rest;
                let _completed_by_the_scope = s.irecv(into, from, TAG)?;
            }
            for (to, rows) in out.iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
                let _completed_by_the_scope = s.isend(&rows[..], to, TAG)?;
            }
            Ok(())
        })?;
        self.settle()?;
        Ok(total)
    }

    /// Copies what leaves to where it is sent from.
    #[track_caller]
    fn pack(
        &mut self,
        comm: &Comm,
        leaving: &[usize],
        mut owner: impl FnMut(&[T; C]) -> usize,
    ) -> Result<()> {
        self.out.resize_with(comm.size(), Vec::new);
        self.out.iter_mut().for_each(Vec::clear);
        self.holes.clear();
        let place = Location::caller();
        let mistake = |what, help| Err(comm.usage("migrate", place, what, help));
        for (i, &row) in leaving.iter().enumerate() {
            if row >= self.len || i > 0 && leaving[i - 1] >= row {
                let what = format!("row {row}, of {}, at {i} of those that leave", self.len);
                return mistake(what, "give the numbers of rows that there are, ascending");
            }
            let values = self.row(row);
            let to = owner(&values);
            if to >= comm.size() {
                let what = format!("rank {to} as the owner of row {row}, of {} ranks", comm.size());
                return mistake(what, "name a rank of the communicator");
            }
            if to != comm.rank() {
                self.out[to].push(values);
                self.holes.push(row);
            }
        }
        Ok(())
    }

    /// Puts what came where something left, then at the end, and rows from the end where something left.
    fn settle(&mut self) -> Result<()> {
        let (came, holes) = (std::mem::take(&mut self.came), std::mem::take(&mut self.holes));
        let filled = came.len().min(holes.len());
        for (&row, &values) in holes.iter().zip(&came) {
            self.set(row, values);
        }
        let more = came.len() - filled;
        if self.len + more > self.stride {
            // A number that grows a little in every step is met with room for more of them.
            self.reserve(more + self.len / 8)?;
        }
        for &values in &came[filled..] {
            self.len += 1;
            self.set(self.len - 1, values);
        }
        // From the last hole on, so that what is at the end is never one itself.
        for &row in holes[filled..].iter().rev() {
            self.len -= 1;
            self.set(row, self.row(self.len));
        }
        (self.came, self.holes) = (came, holes);
        Ok(())
    }
}

impl<T, const C: usize> std::fmt::Debug for Columns<T, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Columns({C} columns of {} rows here)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_values_as_room_grows() {
        let mut columns = Columns::<u32, 3>::new();
        assert!(columns.is_empty() && columns.columns() == [&[0; 0]; 3]);
        for i in 0..2000 {
            columns.push([i, 10_000 + i, 20_000 + i]).unwrap();
        }
        assert_eq!(columns.len(), 2000);
        let [a, b, c] = columns.columns_mut();
        assert!((0..2000).all(|i| [a[i], b[i], c[i]] == [i as u32, 10_000 + i as u32, 20_000 + i as u32]));
        assert!(Columns::<f64, 8>::new().reserve(usize::MAX - 1).is_err());
        assert!(Columns::<f64, 8>::new().reserve(1 << 58).is_err());
    }

    /// Any rows may leave, those at the end too, while fewer, as many or more come.
    #[test]
    fn what_comes_takes_the_places_of_what_leaves() {
        for holes in [vec![], vec![0], vec![5], vec![4, 5], vec![0, 2, 5], vec![0, 1, 2, 3, 4, 5]] {
            for came in 0..9 {
                let mut columns = Columns::<i64, 2>::new();
                (0..6).for_each(|i| columns.push([i, -i]).unwrap());
                columns.holes = holes.clone();
                columns.came = (0..came).map(|i| [100 + i, -100 - i]).collect();
                columns.settle().unwrap();
                let stay = (0..6).filter(|&i| !holes.contains(&(i as usize)));
                let expected: Vec<i64> = stay.chain(100..100 + came).collect();
                let [a, b] = columns.columns();
                let mut found = a.to_vec();
                found.sort();
                assert_eq!(found, expected, "{holes:?}");
                assert!(a.iter().zip(b).all(|(a, b)| *a == -b));
            }
        }
    }
}
