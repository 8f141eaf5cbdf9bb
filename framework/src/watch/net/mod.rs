//! The watch across processes: one looks at all ranks, every other one knows a rank; and people look from outside.
//!
//! The process of rank 0 is the hub. Every other process calls it once, when the job starts, and then answers its questions;
//! so a process that goes away is noticed, and nothing is sent while nothing is wrong. A viewer (`rankine top`) calls the hub,
//! too. All of it needs the job's secret (`wire`), and none of it needs MPI: the threads sleep on their sockets.

mod answer;
mod guest;
mod host;
mod hub;
#[cfg(feature = "mpi")]
mod member;
mod talk;
#[cfg(all(test, feature = "mpi"))]
mod tests;
mod wire;

pub(crate) use hub::{Hub, Listener, Outlets};
#[cfg(feature = "mpi")]
pub(crate) use member::Member;
pub(crate) use wire::Secret;

use super::view::RankView;
use guest::Guest;
use serde::{Deserialize, Serialize};
use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use talk::{Order, Word};

/// Where a running job can be looked at, and what proves that one may. It is a secret of the job's owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    addresses: Vec<SocketAddr>,
    secret: [u8; 32],
}

impl Endpoint {
    pub(crate) fn new(addresses: Vec<SocketAddr>, secret: &Secret) -> Endpoint {
        Endpoint { addresses, secret: secret.bytes() }
    }

    #[cfg(feature = "mpi")]
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub(crate) fn secret(&self) -> Secret {
        Secret::from_bytes(self.secret)
    }

    /// Asks the job what its ranks are doing: those in trouble first.
    ///
    /// # Errors
    /// Nobody of the job answers within a few seconds.
    pub fn view(&self) -> Result<Vec<RankView>> {
        let mut guest = Guest::call(&self.addresses, &self.secret())?;
        guest.say(&Word::Show)?;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if let Some(Order::Shown(views)) = guest.hear(Duration::from_millis(200), None)? {
                return Ok(views);
            }
        }
        Err(Error::new(ErrorKind::TimedOut, "the job does not answer"))
    }
}

/// The addresses at which the hub of a job listens: this machine only, or those by which other nodes may reach it.
pub(crate) fn own_addresses(one_node: bool) -> Vec<IpAddr> {
    if one_node {
        return vec![Ipv4Addr::LOCALHOST.into()];
    }
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let reachable =
        interfaces.iter().filter(|interface| !interface.is_loopback() && !interface.is_link_local());
    let mut addresses: Vec<IpAddr> = reachable.map(|interface| interface.ip()).collect();
    addresses.sort_by_key(|address| (address.is_ipv6(), *address));
    addresses.dedup();
    addresses.truncate(MOST);
    addresses
}

/// The most addresses that a hub has.
const MOST: usize = 8;
