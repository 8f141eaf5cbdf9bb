//! All to all for many small messages, in two hops over a grid of ranks.
//!
//! A message from s to d goes to a rank in d's column of a virtual ⌈√p⌉-wide grid and from there along the column, each time
//! together with all others that go the same way (Kalé, Kumar, Varadarajan: A framework for collective personalized
//! communication, IPDPS 2003). It is `alltoallv` otherwise.

use super::backstage::tags;
use super::value::Byte;
use super::{Comm, Element};
use crate::engine::Place;
use crate::error::{Error, ErrorKind, Result};
use std::ops::Range;
use std::panic::Location;

/// Ranks in rows of `width`, the last of which may be short.
struct Grid {
    width: usize,
    ranks: usize,
}

impl Grid {
    fn new(ranks: usize) -> Grid {
        let root = ranks.isqrt();
        Grid { width: if root * root == ranks { root } else { root + 1 }, ranks }
    }

    fn row(&self, rank: usize) -> usize {
        rank / self.width
    }

    fn column(&self, rank: usize) -> usize {
        rank % self.width
    }

    /// The rank through which `source`'s messages to a column go; one in that column.
    fn via(&self, source: usize, column: usize) -> usize {
        let beside = self.row(source) * self.width + column;
        if beside < self.ranks {
            return beside;
        }
        // The last row, where `source` is, does not reach so far: its ranks turn to the full rows in turn.
        let full = self.ranks / self.width;
        (self.column(source) % full) * self.width + column
    }

    /// The ranks of a column, from the top.
    fn down(&self, column: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        (column..self.ranks).step_by(self.width)
    }

    /// Whose messages go through `rank`.
    fn through(&self, rank: usize) -> Vec<usize> {
        let first = self.row(rank) * self.width;
        let beside = first..(first + self.width).min(self.ranks);
        let last: Range<usize> = self.ranks / self.width * self.width..self.ranks;
        let stray = if last.contains(&rank) { 0..0 } else { last };
        beside.chain(stray).filter(|&source| self.via(source, self.column(rank)) == rank).collect()
    }
}

impl Comm {
    /// Sends `messages[r]` to rank r, for every r; gets what came, in the order of the senders. Collective.
    ///
    /// The answer is that of [`Comm::alltoallv`]; the way there is another: a rank sends some 2√p messages instead of p,
    /// but every byte travels twice and is copied twice more. It pays where the time goes to the number of messages: many
    /// ranks and, on average, messages below a kilobyte or so. Above, or on a few ranks, use `alltoallv`; where most
    /// messages are empty, [`Comm::exchange_sparse`].
    ///
    /// ```
    /// rankine::testing::ranks([1, 3, 4, 7], |world| {
    ///     let me = world.rank();
    ///     let got = world.alltoallv_grid(&(0..world.size()).map(|r| vec![me; r]).collect::<Vec<_>>())?;
    ///     assert_eq!(got, (0..world.size()).map(|source| vec![source; me]).collect::<Vec<_>>());
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// Another number of vectors than there are ranks; ranks that send elements of different types.
    #[track_caller]
    pub fn alltoallv_grid<T: Element>(&self, messages: &[impl AsRef<[T]>]) -> Result<Vec<Vec<T>>> {
        let (call, place, me) = ("alltoallv_grid", Location::caller(), self.rank());
        if messages.len() != self.size() {
            let what = format!("{} messages for {} ranks", messages.len(), self.size());
            return Err(self.usage(
                call,
                place,
                what,
                "give one for every rank, an empty one where nothing goes",
            ));
        }
        let _in = self.inner.collective(&"alltoallv_grid", place);
        let grid = Grid::new(self.size());
        let column = grid.column(me);
        let through = grid.through(me);

        // To every column, through one rank in it.
        let outgoing = (0..grid.width).map(|column| {
            let parts = grid.down(column).map(|dest| bytemuck::cast_slice(messages[dest].as_ref()));
            (grid.via(me, column), Bundle::new::<T>(parts))
        });
        let arrived = self.hop(outgoing, &through, tags::GRID, place)?;
        let rows = grid.down(column).count();
        let arrived: Vec<Vec<&[u8]>> = arrived
            .iter()
            .zip(&through)
            .map(|(bundle, &source)| bundle.parts::<T>(rows).ok_or_else(|| self.unlike(call, source, place)))
            .collect::<Result<_>>()?;

        // Down the column, to where they belong.
        let outgoing = grid
            .down(column)
            .enumerate()
            .map(|(row, dest)| (dest, Bundle::new::<T>(arrived.iter().map(|parts| parts[row]))));
        let column: Vec<usize> = grid.down(column).collect();
        let bundles = self.hop(outgoing, &column, tags::GRID + 1, place)?;
        let mut answer = vec![Vec::new(); self.size()];
        for (bundle, &via) in bundles.iter().zip(&column) {
            let sources = grid.through(via);
            let parts = bundle.parts::<T>(sources.len()).ok_or_else(|| self.unlike(call, via, place))?;
            for (source, part) in sources.into_iter().zip(parts) {
                answer[source] = bytemuck::pod_collect_to_vec(part);
            }
        }
        Ok(answer)
    }

    /// Sends the bundles and receives one from each of `sources`, in their order.
    fn hop(
        &self,
        outgoing: impl Iterator<Item = (usize, Bundle)>,
        sources: &[usize],
        tag: i32,
        place: Place,
    ) -> Result<Vec<Bundle>> {
        let (comm, me) = (self.backstage(), self.rank());
        let (mut own, mut sends) = (None, Vec::new());
        for (dest, bundle) in outgoing {
            match dest == me {
                true => own = Some(bundle),
                false => sends.push(comm.isend_owned(bundle.0, dest, tag).map_err(|error| error.at(place))?),
            }
        }
        let receive = |&source: &usize| match own.take_if(|_| source == me) {
            Some(bundle) => Ok(bundle),
            None => Ok(Bundle(comm.recv_vec(source, tag)?.0)),
        };
        let bundles = sources.iter().map(receive).collect::<Result<_>>()?;
        sends.into_iter().try_for_each(|send| send.wait_at(place).map(drop))?;
        Ok(bundles)
    }

    #[cold]
    fn unlike(&self, call: &str, rank: usize, place: Place) -> Error {
        let what = format!("{call}: what came from rank {rank} has elements of another type");
        Error::new(ErrorKind::TypeMismatch, what)
            .help("give elements of the same type on every rank")
            .on_rank(self.rank())
            .at(place)
    }
}

/// Messages that go the same way: the mark of their kind and the length of each in bytes, as 64-bit numbers, then their
/// bytes.
struct Bundle(Vec<Byte>);

const WORD: usize = size_of::<u64>();

impl Bundle {
    fn new<'p, T: Element>(parts: impl Iterator<Item = &'p [u8]> + Clone) -> Bundle {
        let mut bytes = Vec::with_capacity(parts.clone().map(|part| WORD + part.len()).sum::<usize>() + WORD);
        bytes.extend(T::KIND.mark().to_ne_bytes());
        parts.clone().for_each(|part| bytes.extend((part.len() as u64).to_ne_bytes()));
        parts.for_each(|part| bytes.extend_from_slice(part));
        Bundle(bytemuck::allocation::cast_vec(bytes))
    }

    /// The `count` messages, unless they are of another type.
    fn parts<T: Element>(&self, count: usize) -> Option<Vec<&[u8]>> {
        let bytes: &[u8] = bytemuck::cast_slice(&self.0);
        let (head, mut rest) = bytes.split_at_checked((count + 1) * WORD)?;
        let mut words = head.chunks_exact(WORD).map(bytemuck::pod_read_unaligned::<u64>);
        if words.next() != Some(T::KIND.mark()) {
            return None;
        }
        words
            .map(|len| {
                let (part, after) = rest.split_at_checked(len as usize)?;
                rest = after;
                part.len().is_multiple_of(size_of::<T>().max(1)).then_some(part)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_goes_through_one_rank_and_few_meet() {
        for ranks in (1..70).chain([97, 100, 101, 1000]) {
            let grid = Grid::new(ranks);
            let mut met = vec![0; ranks];
            for source in 0..ranks {
                for column in 0..grid.width {
                    let via = grid.via(source, column);
                    assert!(via < ranks && grid.column(via) == column);
                    assert!(grid.through(via).contains(&source));
                    met[via] += 1;
                }
            }
            for (rank, &met) in met.iter().enumerate() {
                assert_eq!(grid.through(rank).len(), met);
                assert!(met <= 2 * grid.width + 1, "{ranks}: {met} meet in {rank}");
            }
        }
    }
}
