//! `Buckets`: items are put into a bucket for each rank, and exchanged round after round.
//!
//! A round's messages are under way while the round before is worked on, so whoever always has a next round never waits for
//! the network as long as it keeps up. How many items come is the length of a message: no counts travel before them. One
//! exchange without a next is `alltoallv`; items that find their rank by a key are `collection`'s business.

use super::{Comm, Element, OwnedRecv, OwnedSend};
use crate::error::{Error, ErrorKind, Result};
use crate::op::Max;
use std::collections::VecDeque;
use std::ops::Range;
use std::panic::Location;

/// A bucket, or as much of it as is a `head`.
const HEAD: i32 = 1;
/// What is left of one whose head is full.
const REST: i32 = 2;

/// Libraries copy messages of up to about 4 KiB away at once; for longer ones both sides have to look again. So in buckets
/// with room for little more than that, the little more goes by itself, if there is any.
const AT_ONCE: usize = 3968;

/// Items on their way to ranks, in rounds; from [`Comm::buckets`].
pub struct Buckets<T: Element> {
    comm: Comm,
    room: usize,
    /// The most items in a first message.
    head: usize,
    round: u64,
    /// What is put in, by destination.
    filling: Vec<Vec<T>>,
    /// A rank that there is not, for which an item was given.
    astray: Option<usize>,
    /// With their rounds, the oldest first: at most two rounds of sends, and two of receives.
    sends: VecDeque<(u64, OwnedSend<T>)>,
    receives: VecDeque<OwnedRecv<T>>,
    /// This rank's own items of the round that is under way.
    own: Option<Vec<T>>,
    /// What the last call gave out.
    arrived: Vec<(usize, Vec<T>)>,
    spare: Vec<Vec<T>>,
}

impl Comm {
    /// Buckets for `room` items to each rank in a round. Collective, on a communicator of its own.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     let mut buckets = world.buckets(4)?;
    ///     let mut sum = 0;
    ///     for round in 0..10 {
    ///         for number in 0..4 {
    ///             buckets.put((round + number) % world.size(), number);
    ///         }
    ///         // What was put in a round before; this round's items travel meanwhile.
    ///         sum += buckets.exchange()?.flat_map(|(_, items)| items).sum::<usize>();
    ///     }
    ///     sum += buckets.finish()?.flat_map(|(_, items)| items).sum::<usize>();
    ///     assert_eq!(world.allreduce(sum, rankine::op::Sum)?, 60 * world.size());
    ///     Ok(())
    /// });
    /// ```
    ///
    /// Items without bytes cannot be counted, and do not compile.
    ///
    /// # Errors
    /// More room than there is memory, or not the same on every rank: all of them get an error. A failure of the engine.
    #[track_caller]
    pub fn buckets<T: Element>(&self, room: usize) -> Result<Buckets<T>> {
        const { assert!(size_of::<T>() > 0, "items without bytes cannot be counted") };
        let place = Location::caller();
        let size = self.size();
        let (head, rests) = match room.saturating_mul(size_of::<T>()) {
            bytes if bytes > AT_ONCE && bytes <= 4 * AT_ONCE => (AT_ONCE / size_of::<T>(), 2),
            _ => (room, 0),
        };
        // To others: one set is filled, two are under way, two are received into, of which one is given out.
        let sets = |count: usize| -> Result<Vec<Vec<T>>> {
            let mut buckets = vec![Vec::new(); count];
            for bucket in &mut buckets {
                bucket.try_reserve_exact(room).map_err(|_| {
                    let what = format!("no memory for {count} buckets of {room} items");
                    self.usage("buckets", place, what, "exchange more often, with less room")
                })?;
            }
            Ok(buckets)
        };
        let made = sets(size).and_then(|filling| Ok((filling, sets((4 + rests) * (size - 1) + 2)?)));
        let (filling, spare) = self.agree(made)?;
        let [largest, smallest] = self.allreduce([room as u64, !(room as u64)], Max)?;
        if largest != !smallest {
            let what = format!("room for {room} items here, {} to {largest} on the ranks", !smallest);
            return Err(Error::new(ErrorKind::Mismatch, format!("buckets: {what}"))
                .help("give the same room on every rank")
                .on_rank(self.rank())
                .at(place));
        }
        Ok(Buckets {
            comm: self.dup()?,
            room,
            head,
            round: 0,
            filling,
            astray: None,
            sends: VecDeque::with_capacity(4 * size),
            receives: VecDeque::with_capacity(2 * size),
            own: None,
            arrived: Vec::with_capacity(size),
            spare,
        })
    }
}

impl<T: Element> Buckets<T> {
    /// Puts an item into the bucket of rank `dest`. Local; that there is no such rank is said by [`Buckets::exchange`].
    #[inline]
    pub fn put(&mut self, dest: usize, item: T) {
        match self.filling.get_mut(dest) {
            Some(bucket) => bucket.push(item),
            None => self.astray = Some(dest),
        }
    }

    /// Sends what has been put in, and gives what all ranks put in before their previous call of this: each rank with its
    /// items in the order in which they were put in; ranks from this one upwards, and on from rank 0. Nothing the first time.
    /// Allocates nothing. Collective: every rank calls it equally often, whether or not it has items.
    ///
    /// # Errors
    /// More items for one rank than there is room for, or one for a rank that there is not: then nothing is sent, and the other
    /// ranks hear of it when this one ends. A failure of the engine.
    #[track_caller]
    pub fn exchange(&mut self) -> Result<impl Iterator<Item = (usize, &[T])> + Clone> {
        let (me, size) = (self.comm.rank(), self.comm.size());
        if let Some(dest) = self.astray {
            let what = format!("an item was put in for rank {dest} of {size}");
            return Err(self.comm.usage("exchange", Location::caller(), what, "ranks count from 0"));
        }
        if let Some(dest) = self.filling.iter().position(|items| items.len() > self.room) {
            let what = format!(
                "{} items for rank {dest}, and room for {} in a round",
                self.filling[dest].len(),
                self.room
            );
            let help = "exchange more often, or make the buckets with more room";
            return Err(self.comm.usage("exchange", Location::caller(), what, help));
        }
        self.take_back();
        self.round += 1;
        self.sent(self.round - 1)?;
        for source in others(me, size) {
            let buffer = self.spare();
            self.receives.push_back(self.comm.irecv_owned(buffer, source, HEAD)?);
        }
        for dest in others(me, size) {
            let first = self.filling[dest].len().min(self.head);
            let head = self.message(dest, 0..first);
            let rest = self.has_rest(&head).then(|| self.message(dest, first..self.filling[dest].len()));
            self.sends.push_back((self.round, self.comm.isend_owned(head, dest, HEAD)?));
            if let Some(rest) = rest {
                self.sends.push_back((self.round, self.comm.isend_owned(rest, dest, REST)?));
            }
        }
        let own = self.message(me, 0..self.filling[me].len());
        self.filling.iter_mut().for_each(Vec::clear);
        let before = self.own.replace(own);
        self.arrive(before)?;
        Ok(self.given())
    }

    /// Gives what all ranks put in before their last [`Buckets::exchange`], and ends the exchange; it may begin again. What
    /// has been put in since stays for then. Collective.
    ///
    /// # Errors
    /// A failure of the engine.
    #[track_caller]
    pub fn finish(&mut self) -> Result<impl Iterator<Item = (usize, &[T])> + Clone> {
        self.take_back();
        let last = self.own.take();
        self.arrive(last)?;
        self.sent(u64::MAX)?;
        Ok(self.given())
    }

    /// Receives the round whose own items these are.
    #[track_caller]
    fn arrive(&mut self, own: Option<Vec<T>>) -> Result<()> {
        if let Some(own) = own {
            let (me, size) = (self.comm.rank(), self.comm.size());
            self.arrived.push((me, own));
            for source in others(me, size) {
                let Some(receive) = self.receives.pop_front() else { continue };
                let (mut items, _) = receive.wait()?;
                if self.has_rest(&items) {
                    let buffer = self.spare();
                    let (rest, _) = self.comm.irecv_owned(buffer, source, REST)?.wait()?;
                    items.extend_from_slice(&rest);
                    self.spare.push(rest);
                }
                self.arrived.push((source, items));
            }
        }
        Ok(())
    }

    /// What was given out is not looked at any more.
    fn take_back(&mut self) {
        self.spare.extend(self.arrived.drain(..).map(|(_, items)| items));
    }

    fn given(&self) -> impl Iterator<Item = (usize, &[T])> + Clone {
        self.arrived.iter().map(|(source, items)| (*source, &items[..]))
    }

    /// Whether a full head is all of the bucket cannot be seen, so something follows it, if only nothing.
    fn has_rest(&self, items: &[T]) -> bool {
        self.head < self.room && items.len() >= self.head
    }

    /// Waits for the sends of the rounds before that one.
    #[track_caller]
    fn sent(&mut self, before: u64) -> Result<()> {
        while self.sends.front().is_some_and(|(round, _)| *round < before) {
            if let Some((_, send)) = self.sends.pop_front() {
                self.spare.push(send.wait()?);
            }
        }
        Ok(())
    }

    /// A copy of what has been put in. What one rank writes and another reads is slow to write again, all the more item by item;
    /// so buckets stay here.
    fn message(&mut self, dest: usize, range: Range<usize>) -> Vec<T> {
        let mut message = self.spare();
        message.extend_from_slice(&self.filling[dest][range]);
        message
    }

    /// A bucket with nothing in it.
    fn spare(&mut self) -> Vec<T> {
        let mut items = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(self.room));
        items.clear();
        items
    }
}

/// The ranks after this one, and on from rank 0.
fn others(me: usize, size: usize) -> impl Iterator<Item = usize> {
    (1..size).map(move |step| (me + step) % size)
}
