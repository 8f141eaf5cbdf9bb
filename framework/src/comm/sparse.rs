//! Sparse exchange: every rank names only those it sends to, and finds out who sends to it.
//!
//! The algorithm is NBX (Hoefler, Siebert, Lumsdaine: Scalable communication protocols for dynamic sparse data exchange,
//! PPoPP 2010). A rank sends synchronously and takes what comes; once all its messages have been taken it enters a
//! nonblocking barrier. When that is over, everybody's have been, and nothing more can come. No rank does anything in
//! proportion to the number of ranks.

use super::backstage::tags;
use super::collective::OwnedCollective;
use super::p2p::{ANY_SOURCE, Status};
use super::request::{OwnedSend, Request, Test};
use super::value::Byte;
use super::watched::Within;
use super::{Comm, Element};
use crate::engine::{Mode, Place};
use crate::error::{Error, Result};
use crate::watch::Name;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::panic::Location;

impl Comm {
    /// Sends each vector to the rank beside it; gives back what came, with who sent it, in the order of the senders (and of
    /// their lists, where one sends several). Ranks that are not named hear nothing. Collective.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3, 5], |world| {
    ///     // Odd ranks write to rank 0.
    ///     let mine = if world.rank() % 2 == 1 { vec![(0, vec![world.rank() as f64])] } else { vec![] };
    ///     let got = world.exchange_sparse(mine)?;
    ///     let odd: Vec<_> = (1..world.size()).step_by(2).map(|r| (r, vec![r as f64])).collect();
    ///     assert_eq!(got, if world.rank() == 0 { odd } else { vec![] });
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// A rank that is not in the communicator: then this rank sends nothing, and the exchange of the others is whole.
    #[track_caller]
    pub fn exchange_sparse<T: Element>(
        &self,
        messages: Vec<(usize, Vec<T>)>,
    ) -> Result<Vec<(usize, Vec<T>)>> {
        let (call, place) = (&"exchange_sparse", Location::caller());
        match self.check_dests(call, messages.iter().map(|message| message.0), place) {
            Ok(()) => self.nbx(call, messages, place),
            Err(error) => self.send_nothing::<T, _>(call, error, place),
        }
    }

    /// As [`Comm::exchange_sparse`], of slices that stay the caller's: nothing has to be copied into vectors first.
    /// Collective, also beside ranks that call the other.
    ///
    /// ```
    /// rankine::testing::ranks([1, 2, 3], |world| {
    ///     // Everybody's cells lie in one buffer; those of the last two go to the last rank.
    ///     let cells = [1.0, 2.0, 3.0, 4.0];
    ///     let last = world.size() - 1;
    ///     let got = world.exchange_sparse_slices([(last, &cells[2..])])?;
    ///     assert_eq!(got.len(), if world.rank() == last { world.size() } else { 0 });
    ///     assert!(got.iter().enumerate().all(|(i, (source, data))| *source == i && data[..] == [3.0, 4.0]));
    ///     Ok(())
    /// });
    /// ```
    ///
    /// # Errors
    /// As for [`Comm::exchange_sparse`].
    #[track_caller]
    pub fn exchange_sparse_slices<'a, T: Element>(
        &self,
        messages: impl IntoIterator<Item = (usize, &'a [T])>,
    ) -> Result<Vec<(usize, Vec<T>)>> {
        let (call, place, me): (Name, _, _) = (&"exchange_sparse_slices", Location::caller(), self.rank());
        let messages: Vec<_> = messages.into_iter().collect();
        if let Err(error) = self.check_dests(call, messages.iter().map(|message| message.0), place) {
            return self.send_nothing::<T, _>(call, error, place);
        }
        let _in = self.inside_sparse(call, place);
        let tag = self.sparse_tag();
        self.backstage().scope(|s| {
            let (to_me, others): (Vec<_>, Vec<_>) = messages.into_iter().partition(|message| message.0 == me);
            let sends = others
                .into_iter()
                .map(|(dest, data)| s.isend_as(call, Mode::Synchronous, data, dest, tag, place))
                .collect::<Result<Vec<_>>>()?;
            let received = to_me.into_iter().map(|(_, data)| (me, data.to_vec())).collect();
            self.take_what_comes(tag, received, sends, Request::test)
        })
    }

    /// As [`Comm::exchange_sparse`], for anything serde can write.
    ///
    /// # Errors
    /// Also a value that cannot be encoded (then, too, this rank sends nothing), and bytes that are no `T`.
    #[track_caller]
    pub fn exchange_sparse_values<T: Serialize + DeserializeOwned>(
        &self,
        messages: Vec<(usize, T)>,
    ) -> Result<Vec<(usize, T)>> {
        self.exchange_values(&"exchange_sparse_values", messages, Location::caller())
    }

    /// [`Comm::exchange_sparse_values`] as a call of another name.
    pub(super) fn exchange_values<T: Serialize + DeserializeOwned>(
        &self,
        call: Name,
        messages: Vec<(usize, T)>,
        place: Place,
    ) -> Result<Vec<(usize, T)>> {
        let encoded =
            self.check_dests(call, messages.iter().map(|message| message.0), place).and_then(|()| {
                messages.iter().map(|(dest, value)| Ok((*dest, self.encode(call, value, place)?))).collect()
            });
        let received = match encoded {
            Ok(encoded) => self.nbx::<Byte>(call, encoded, place)?,
            Err(error) => return self.send_nothing::<Byte, _>(call, error, place),
        };
        let decode = |(source, bytes): (usize, Vec<Byte>)| {
            let status = Status { source, tag: tags::SPARSE, len: bytes.len() };
            Ok((source, self.decode(call, &bytes, status, place)?))
        };
        received.into_iter().map(decode).collect()
    }

    /// Goes into an exchange. Vectors meet slices, so to the watch both are one call.
    fn inside_sparse(&self, call: Name, place: Place) -> Within<'_> {
        let name: Name = if *call == "exchange_sparse_slices" { &"exchange_sparse" } else { call };
        let trace = self.inner.entering_all(name, place);
        self.inner.within(call, place, trace.need())
    }

    fn check_dests(&self, call: &str, mut dests: impl Iterator<Item = usize>, place: Place) -> Result<()> {
        dests.try_for_each(|dest| self.check_dest(call, dest, 0, place))
    }

    /// Takes part with no messages, so that the others do not wait for this rank, which has failed.
    #[cold]
    #[track_caller]
    fn send_nothing<T: Element, R>(&self, call: Name, error: Error, place: Place) -> Result<R> {
        self.nbx::<T>(call, Vec::new(), place)?;
        Err(error)
    }

    #[track_caller]
    fn nbx<T: Element>(
        &self,
        call: Name,
        messages: Vec<(usize, Vec<T>)>,
        place: Place,
    ) -> Result<Vec<(usize, Vec<T>)>> {
        let _in = self.inside_sparse(call, place);
        let (comm, me, tag) = (self.backstage(), self.rank(), self.sparse_tag());
        let mut received = Vec::new();
        let mut sends = Vec::with_capacity(messages.len());
        for (dest, data) in messages {
            match dest == me {
                true => received.push((me, data)),
                false => sends.push(comm.isend_owned_as(call, Mode::Synchronous, data, dest, tag, place)?),
            }
        }
        self.take_what_comes(tag, received, sends, OwnedSend::test)
    }

    /// A rank may be in the next exchange while another still looks for messages of this one; no further, since the next
    /// one's barrier waits for both. So two tags keep them apart.
    fn sparse_tag(&self) -> i32 {
        tags::SPARSE + self.next_round()
    }

    /// Adds what the others send to `received`, until all that was sent, here and elsewhere, has been taken.
    #[track_caller]
    fn take_what_comes<T: Element, S, D>(
        &self,
        tag: i32,
        mut received: Vec<(usize, Vec<T>)>,
        sends: Vec<S>,
        test: impl Fn(S) -> Result<Test<D, S>>,
    ) -> Result<Vec<(usize, Vec<T>)>> {
        let comm = self.backstage();
        let mut sends: Vec<Option<S>> = sends.into_iter().map(Some).collect();
        let mut barrier: Option<OwnedCollective<()>> = None;
        loop {
            let mut idle = true;
            while let Some(status) = comm.iprobe::<T>(ANY_SOURCE, tag)? {
                let (data, status) = comm.recv_vec(status.source, tag)?;
                received.push((status.source, data));
                idle = false;
            }
            barrier = match barrier {
                Some(under_way) => match under_way.test()? {
                    Test::Done(()) => break,
                    Test::Pending(again) => Some(again),
                },
                None => {
                    for send in &mut sends {
                        *send = match send.take().map(&test).transpose()? {
                            Some(Test::Pending(again)) => Some(again),
                            Some(Test::Done(_)) | None => None,
                        };
                    }
                    sends.retain(Option::is_some);
                    if sends.is_empty() { Some(comm.ibarrier_owned()?) } else { None }
                }
            };
            if idle {
                std::thread::yield_now();
            }
        }
        received.sort_by_key(|message| message.0);
        Ok(received)
    }
}
