//! Collectives of values: everybody's are encoded first, and all ranks agree that this worked, before anything that
//! another rank would wait for. So a value that cannot be written is an error on every rank, and nobody hangs.
//!
//! The encoded values then travel as messages of their own lengths, out of sight of the author's receives.

use super::{Byte, NAMED};
use crate::comm::backstage::tags;
use crate::comm::element::Element;
use crate::comm::{Comm, Status};
use crate::engine::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::watch::Name;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::panic::Location;

/// In place of a length: there will be no bytes.
const FAILED: usize = usize::MAX;

impl Comm {
    /// Gives every rank the value of `root`, which brings `Some`; what the others bring is dropped. The root's own
    /// value comes back as it is. Collective.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3, 4], |world| {
    ///     let mine = (world.rank() == 0).then(|| vec!["north".to_string(), "south".to_string()]);
    ///     let names = world.bcast_value(mine, 0)?;
    ///     assert_eq!(names, ["north", "south"]);
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// On every rank: a root that brings `None`, or a value that cannot be encoded. On the rank concerned: bytes that
    /// are no `T`.
    #[track_caller]
    pub fn bcast_value<T: Serialize + DeserializeOwned>(&self, value: Option<T>, root: usize) -> Result<T> {
        let (call, place) = (&"bcast_value", Location::caller());
        self.check_values_root(call, root, place)?;
        if self.rank() != root {
            return self.bcast_decoded(call, root, place);
        }
        let value = value.ok_or_else(|| self.rootless(call, root, place));
        let encoded = value.as_ref().map_err(Error::clone).and_then(|value| self.encode(call, value, place));
        self.bcast_bytes(call, Some(encoded), root, place)?;
        value
    }

    /// Brings the value of every rank to `root`, in rank order; the others get `None`. Collective.
    ///
    /// # Errors
    /// On every rank: a value that cannot be encoded. On the root: bytes that are no `T`.
    #[track_caller]
    pub fn gather_values<T: Serialize + DeserializeOwned>(
        &self,
        value: T,
        root: usize,
    ) -> Result<Option<Vec<T>>> {
        let (call, place) = (&"gather_values", Location::caller());
        self.check_values_root(call, root, place)?;
        // The root's own value does not travel.
        let bytes = match self.rank() == root {
            true => Ok(Vec::new()),
            false => self.encode(call, &value, place),
        };
        let bytes = self.agree(bytes)?;
        if self.rank() == root {
            return self.collect_values(call, value, place).map(Some);
        }
        self.post_values(call, bytes, root, place)?;
        Ok(None)
    }

    /// Brings the value of every rank to every rank, in rank order. Collective.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3, 4], |world| {
    ///     let hosts = world.allgather_values(format!("rank {}", world.rank()))?;
    ///     assert_eq!(hosts.len(), world.size());
    ///     assert_eq!(hosts[world.size() - 1], format!("rank {}", world.size() - 1));
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// As [`Comm::gather_values`], on every rank.
    #[track_caller]
    pub fn allgather_values<T: Serialize + DeserializeOwned>(&self, value: T) -> Result<Vec<T>> {
        let (call, place) = (&"allgather_values", Location::caller());
        let encoded = self.encode(call, &value, place);
        let mut lengths = vec![0; self.size()];
        let mine = encoded.as_ref().map_or(FAILED, Vec::len);
        self.allgather_into(&[mine], &mut lengths)?;
        if let Some(rank) = lengths.iter().position(|&length| length == FAILED) {
            return Err(encoded.err().unwrap_or_else(|| self.elsewhere(call, rank, place)));
        }
        let mut all = self.room_values(call, lengths.iter().sum(), place)?;
        self.allgatherv_into(&encoded?, &mut all, &lengths)?;
        let (mut rest, mut own) = (&all[..], Some(value));
        let decoded = lengths.iter().enumerate().map(|(source, &len)| {
            let (bytes, after) = rest.split_at(len);
            rest = after;
            match own.take_if(|_| source == self.rank()) {
                Some(value) => Ok(value),
                None => self.decode(call, bytes, Status { source, tag: tags::VALUES, len }, place),
            }
        });
        decoded.collect()
    }

    /// Gives every rank its own of the values that `root` brings, one for each rank in rank order; what the others
    /// bring is dropped. Collective.
    ///
    /// # Errors
    /// On every rank: a root that brings `None` or another number of values than there are ranks, or one that cannot
    /// be encoded. On the rank concerned: bytes that are no `T`.
    #[track_caller]
    pub fn scatter_values<T: Serialize + DeserializeOwned>(
        &self,
        values: Option<Vec<T>>,
        root: usize,
    ) -> Result<T> {
        let (call, place) = (&"scatter_values", Location::caller());
        self.check_values_root(call, root, place)?;
        if self.rank() != root {
            self.agree(Ok(()))?;
            let (bytes, status) = self.fetch_values(call, root, place)?;
            return self.decode(call, &bytes, status, place);
        }
        let values = values.ok_or_else(|| self.rootless(call, root, place));
        let (mut values, encoded) =
            self.agree(values.and_then(|values| self.encode_each(call, values, place)))?;
        for (rank, bytes) in encoded.into_iter().enumerate().filter(|&(rank, _)| rank != root) {
            self.post_values(call, bytes, rank, place)?;
        }
        Ok(values.swap_remove(root))
    }

    /// Sends the value at index r to rank r, for every r; gets the values that came, in the order of their senders.
    /// Collective.
    ///
    /// # Errors
    /// On every rank: one that brings another number of values than there are ranks, or one that cannot be encoded.
    /// On the rank concerned: bytes that are no `T`.
    #[track_caller]
    pub fn alltoall_values<T: Serialize + DeserializeOwned>(&self, values: Vec<T>) -> Result<Vec<T>> {
        let (call, place) = (&"alltoall_values", Location::caller());
        let (mut values, encoded) = self.agree(self.encode_each(call, values, place))?;
        let (me, size) = (self.rank(), self.size());
        let own = values.swap_remove(me);
        drop(values);
        let mut encoded: Vec<_> = encoded.into_iter().map(Some).collect();
        // Everybody begins with its successor, so that nobody is everybody's first.
        let sends: Result<Vec<_>> = (1..size)
            .map(|step| (me + step) % size)
            .filter_map(|rank| encoded[rank].take().map(|bytes| (rank, bytes)))
            .map(|(rank, bytes)| self.backstage().isend_owned(bytes, rank, tags::VALUES))
            .collect();
        let all = self.collect_values(call, own, place);
        sends?.into_iter().try_for_each(|send| send.wait().map(drop))?;
        all
    }

    /// Combines the values of all ranks by `fold`, in rank order (its left argument comes from the lower ranks), along a
    /// binomial tree; `root` gets the answer, the others `None`. Collective.
    ///
    /// Unlike an [`Op`](crate::Op), `fold` may capture, and values may grow:
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// rankine::testing::ranks([1, 2, 3, 4], |world| {
    ///     let mine = BTreeMap::from([(world.rank() % 2, 1u32)]);
    ///     let merged = world.reduce_value(mine, 0, |mut a, b| {
    ///         b.into_iter().for_each(|(key, n)| *a.entry(key).or_insert(0) += n);
    ///         a
    ///     })?;
    ///     if let Some(counts) = merged {
    ///         assert_eq!(counts.values().sum::<u32>() as usize, world.size());
    ///     }
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// On every rank: a value that cannot be encoded or decoded.
    #[track_caller]
    pub fn reduce_value<T: Serialize + DeserializeOwned>(
        &self,
        value: T,
        root: usize,
        fold: impl Fn(T, T) -> T,
    ) -> Result<Option<T>> {
        let (call, place) = (&"reduce_value", Location::caller());
        self.check_values_root(call, root, place)?;
        let answer = self.fold_up(call, value, fold, place);
        if root == 0 {
            return self.agree(answer);
        }
        // Rank 0 has the answer, and passes it on.
        let bytes =
            answer.and_then(|answer| answer.map(|value| self.encode(call, &value, place)).transpose());
        if let Some(bytes) = self.agree(bytes)? {
            self.post_values(call, bytes, root, place)?;
        }
        if self.rank() != root {
            return Ok(None);
        }
        let (bytes, status) = self.fetch_values(call, 0, place)?;
        self.decode(call, &bytes, status, place).map(Some)
    }

    /// As [`Comm::reduce_value`], and every rank gets the answer.
    #[track_caller]
    pub fn allreduce_value<T: Serialize + DeserializeOwned>(
        &self,
        value: T,
        fold: impl Fn(T, T) -> T,
    ) -> Result<T> {
        let (call, place) = (&"allreduce_value", Location::caller());
        match self.agree(self.fold_up(call, value, fold, place))? {
            Some(answer) => {
                self.bcast_bytes(call, Some(self.encode(call, &answer, place)), 0, place)?;
                Ok(answer)
            }
            None => self.bcast_decoded(call, 0, place),
        }
    }

    /// Rank 0 ends with all values folded, the others with `None`; whoever saw a failure, with an error.
    ///
    /// What is passed on is an `Option`: `None` where something failed below, so that nobody waits for more.
    fn fold_up<T: Serialize + DeserializeOwned>(
        &self,
        call: Name,
        value: T,
        fold: impl Fn(T, T) -> T,
        place: Place,
    ) -> Result<Option<T>> {
        let (me, size) = (self.rank(), self.size());
        let mut mine = Ok(value);
        let mut step = 1;
        while step < size && me.is_multiple_of(2 * step) {
            // Ranks me to me + step are in `mine`, the next ones come from their first.
            if me + step < size {
                let (bytes, status) = self.fetch_values(call, me + step, place)?;
                let theirs = self.decode::<Option<T>>(call, &bytes, status, place);
                let theirs =
                    theirs.and_then(|theirs| theirs.ok_or_else(|| self.elsewhere(call, me + step, place)));
                mine = match (mine, theirs) {
                    (Ok(left), Ok(right)) => Ok(fold(left, right)),
                    (Err(error), _) | (_, Err(error)) => Err(error),
                };
            }
            step *= 2;
        }
        if me == 0 {
            return mine.map(Some);
        }
        let encoded = mine.and_then(|value| self.encode(call, &Some(value), place));
        let (bytes, outcome) = match encoded {
            Ok(bytes) => (bytes, Ok(None)),
            Err(error) => (self.encode(call, &None::<()>, place)?, Err(error)),
        };
        self.post_values(call, bytes, me - step, place)?;
        outcome
    }

    /// [`Comm::bcast_bytes`] on a rank that brings none.
    #[track_caller]
    fn bcast_decoded<T: DeserializeOwned>(&self, call: Name, root: usize, place: Place) -> Result<T> {
        let bytes = self.bcast_bytes(call, None, root, place)?;
        self.decode(call, &bytes, Status { source: root, tag: tags::VALUES, len: bytes.len() }, place)
    }

    /// The length, then the bytes. The root brings `Some`; its failure is a failure everywhere.
    #[track_caller]
    fn bcast_bytes(
        &self,
        call: Name,
        encoded: Option<Result<Vec<Byte>>>,
        root: usize,
        place: Place,
    ) -> Result<Vec<Byte>> {
        let mut length = [match &encoded {
            Some(Ok(bytes)) => bytes.len(),
            Some(Err(_)) => FAILED,
            None => 0,
        }];
        self.bcast(&mut length, root)?;
        let mut bytes = match encoded {
            Some(encoded) => encoded?,
            None if length == [FAILED] => return Err(self.elsewhere(call, root, place)),
            None => self.room_values(call, length[0], place)?,
        };
        if !bytes.is_empty() {
            self.bcast(&mut bytes, root)?;
        }
        Ok(bytes)
    }

    fn room_values(&self, call: Name, len: usize, place: Place) -> Result<Vec<Byte>> {
        let mut room = Vec::new();
        room.try_reserve_exact(len).map_err(|_| {
            let what = format!("no memory for {len} bytes of other ranks' values");
            self.usage(call, place, what, "send less at once, or use more nodes")
        })?;
        room.resize(len, bytemuck::Zeroable::zeroed());
        Ok(room)
    }

    fn post_values(&self, call: Name, bytes: Vec<Byte>, dest: usize, place: Place) -> Result<()> {
        let backstage = self.backstage();
        let trace = backstage.inner.giving(bytes.len(), Byte::KIND, dest, tags::VALUES, place);
        let _in = self.inner.within(call, place, trace.need());
        backstage
            .engine()
            .send_parcel(bytes, dest, tags::VALUES)
            .map_err(|fault| self.fault(call, place, fault, NAMED))
    }

    fn fetch_values(&self, call: Name, source: usize, place: Place) -> Result<(Vec<Byte>, Status)> {
        let (backstage, from) = (self.backstage(), crate::engine::From::Rank(source));
        let tag = crate::engine::Tagged::Tag(tags::VALUES);
        let trace = backstage.inner.receiving(Byte::KIND, from, tag, place);
        let _in = self.inner.within(call, place, trace.need());
        let outcome = backstage.engine().recv_parcel(from, tag);
        let (bytes, envelope) = outcome.map_err(|fault| self.fault(call, place, fault, NAMED))?;
        Ok((bytes, Status::of::<Byte>(envelope)))
    }

    /// A value of every other rank, with `own` in its place. All are taken, also after one that cannot be decoded.
    fn collect_values<T: DeserializeOwned>(&self, call: Name, own: T, place: Place) -> Result<Vec<T>> {
        let mut own = Some(own);
        let parts: Vec<_> = (0..self.size())
            .map(|source| match own.take_if(|_| source == self.rank()) {
                Some(value) => Ok(value),
                None => self
                    .fetch_values(call, source, place)
                    .and_then(|(bytes, status)| self.decode(call, &bytes, status, place)),
            })
            .collect();
        parts.into_iter().collect()
    }

    fn encode_each<T: Serialize>(
        &self,
        call: Name,
        values: Vec<T>,
        place: Place,
    ) -> Result<(Vec<T>, Vec<Vec<Byte>>)> {
        if values.len() != self.size() {
            let what = format!("{} values for {} ranks", values.len(), self.size());
            return Err(self.usage(call, place, what, "bring one value for every rank"));
        }
        let encoded: Result<_> = values.iter().map(|value| self.encode(call, value, place)).collect();
        Ok((values, encoded?))
    }

    fn check_values_root(&self, call: Name, root: usize, place: Place) -> Result<()> {
        if root < self.size() {
            return Ok(());
        }
        let help = format!("this communicator has ranks 0 to {}", self.size() - 1);
        Err(self.usage(call, place, format!("root {root}: there is no such rank"), &help))
    }

    #[cold]
    fn rootless(&self, call: Name, root: usize, place: Place) -> Error {
        self.usage(
            call,
            place,
            format!("rank {root} is the root and brings nothing"),
            "give Some on the root",
        )
    }

    #[cold]
    fn elsewhere(&self, call: Name, rank: usize, place: Place) -> Error {
        Error::new(ErrorKind::Elsewhere, format!("{call}: rank {rank} failed")).on_rank(rank).at(place)
    }
}
