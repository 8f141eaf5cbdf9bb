//! How items travel: in bulk, as the plain elements they are, or one after the other as serde writes them.
//!
//! The messages are `comm`'s.

use crate::comm::{Comm, Element};
use crate::error::Result;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A way for items of type `T`. There are two, [`Plain`] and [`Serde`].
pub trait Way<T>: sealed::Sealed {
    /// Sends each vector to the rank beside it; all that came, in the order of the senders. Collective.
    #[doc(hidden)]
    fn exchange(comm: &Comm, messages: Vec<(usize, Vec<T>)>) -> Result<Vec<T>>;
    /// Everybody's, in the order of the ranks, on every rank. Collective.
    #[doc(hidden)]
    fn allgather(comm: &Comm, mine: Vec<T>) -> Result<Vec<T>>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Plain {}
    impl Sealed for super::Serde {}
}

/// Items that are [`Element`]s: sent from where they lie.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

/// Items that serde can write and read.
#[derive(Clone, Copy, Debug)]
pub struct Serde;

impl<T: Element> Way<T> for Plain {
    #[track_caller]
    fn exchange(comm: &Comm, messages: Vec<(usize, Vec<T>)>) -> Result<Vec<T>> {
        let mut messages = messages;
        messages.retain(|message| !message.1.is_empty());
        let got = comm.exchange_sparse(messages)?;
        Ok(joined(got))
    }

    #[track_caller]
    fn allgather(comm: &Comm, mine: Vec<T>) -> Result<Vec<T>> {
        Ok(comm.allgatherv(&mine)?.0)
    }
}

impl<T: Serialize + DeserializeOwned> Way<T> for Serde {
    #[track_caller]
    fn exchange(comm: &Comm, messages: Vec<(usize, Vec<T>)>) -> Result<Vec<T>> {
        let mut messages = messages;
        messages.retain(|message| !message.1.is_empty());
        // A rank whose items cannot be written sends nothing; all must hear of it.
        let got = comm.exchange_sparse_values(messages);
        Ok(joined(comm.agree(got)?))
    }

    #[track_caller]
    fn allgather(comm: &Comm, mine: Vec<T>) -> Result<Vec<T>> {
        Ok(comm.allgather_values(mine)?.into_iter().flatten().collect())
    }
}

fn joined<T>(mut got: Vec<(usize, Vec<T>)>) -> Vec<T> {
    if got.len() == 1 {
        return got.pop().map(|message| message.1).unwrap_or_default();
    }
    let mut all = Vec::with_capacity(got.iter().map(|message| message.1.len()).sum());
    got.into_iter().for_each(|(_, items)| all.extend(items));
    all
}
