//! `Buckets`: items are put into a bucket for each rank, and exchanged round after round.
//!
//! A round's messages are under way while the round before is worked on, so whoever always has a next round never waits for
//! the network as long as it keeps up. How many items come is the length of a message: no counts travel before them. One
//! exchange without a next is `alltoallv`; items that find their rank by a key are `collection`'s business.

use super::{Comm, Element, OwnedRecv, OwnedSend};
use crate::error::Result;
use std::collections::VecDeque;
use std::panic::Location;

const TAG: i32 = 1;

/// Items on their way to ranks, in rounds; from [`Comm::buckets`].
pub struct Buckets<T: Element> {
    comm: Comm,
    room: usize,
    /// What is put in, by destination.
    filling: Vec<Vec<T>>,
    /// By rounds, the oldest first: at most two of sends, one of receives.
    sends: VecDeque<OwnedSend<T>>,
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
    /// A failure of the engine.
    #[track_caller]
    pub fn buckets<T: Element>(&self, room: usize) -> Result<Buckets<T>> {
        const { assert!(size_of::<T>() > 0, "items without bytes cannot be counted") };
        let size = self.size();
        let bucket = || Vec::with_capacity(room);
        // To others: one set is filled, two are under way, two are received into, of which one is given out.
        let spare = (0..4 * (size - 1) + 2).map(|_| bucket()).collect();
        Ok(Buckets {
            comm: self.dup()?,
            room,
            filling: (0..size).map(|_| bucket()).collect(),
            sends: VecDeque::with_capacity(2 * size),
            receives: VecDeque::with_capacity(2 * size),
            own: None,
            arrived: Vec::with_capacity(size),
            spare,
        })
    }
}

impl<T: Element> Buckets<T> {
    /// Puts an item into the bucket of rank `dest`. Local.
    ///
    /// # Panics
    /// There is no such rank.
    #[inline]
    pub fn put(&mut self, dest: usize, item: T) {
        self.filling[dest].push(item);
    }

    /// Sends what has been put in, and gives what all ranks put in before their previous call of this: each rank with its
    /// items in the order in which they were put in; ranks from this one upwards, and on from rank 0. Nothing the first time.
    /// Allocates nothing. Collective: every rank calls it equally often, whether or not it has items.
    ///
    /// # Errors
    /// More items for one rank than there is room for: then nothing is sent, and the other ranks hear of it when this one
    /// ends. A failure of the engine.
    #[track_caller]
    pub fn exchange(&mut self) -> Result<impl Iterator<Item = (usize, &[T])> + Clone> {
        let (me, size) = (self.comm.rank(), self.comm.size());
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
        while self.sends.len() > size - 1 {
            self.sent()?;
        }
        for source in others(me, size) {
            let buffer = self.spare();
            self.receives.push_back(self.comm.irecv_owned(buffer, source, TAG)?);
        }
        for dest in others(me, size) {
            let empty = self.spare();
            let items = std::mem::replace(&mut self.filling[dest], empty);
            self.sends.push_back(self.comm.isend_owned(items, dest, TAG)?);
        }
        let empty = self.spare();
        let own = std::mem::replace(&mut self.filling[me], empty);
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
        while !self.sends.is_empty() {
            self.sent()?;
        }
        Ok(self.given())
    }

    /// Receives the round whose own items these are.
    #[track_caller]
    fn arrive(&mut self, own: Option<Vec<T>>) -> Result<()> {
        if let Some(own) = own {
            let (me, size) = (self.comm.rank(), self.comm.size());
            self.arrived.push((me, own));
            for source in others(me, size) {
                if let Some(receive) = self.receives.pop_front() {
                    self.arrived.push((source, receive.wait()?.0));
                }
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

    /// Waits for the oldest send.
    #[track_caller]
    fn sent(&mut self) -> Result<()> {
        if let Some(send) = self.sends.pop_front() {
            self.spare.push(send.wait()?);
        }
        Ok(())
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
