//! Accesses of one epoch that meet at one place, where what comes of it is left open: MPI calls such a program
//! erroneous.
//!
//! In the checked mode every rank keeps a list of its accesses of a fence or of `post_start`. When the epoch has ended, each
//! sends each target those to its part, and the target looks for two that conflict. Epochs under locks are not compared:
//! there ranks may come one after the other.

use super::Raw;
use crate::comm::backstage::tags;
use crate::engine::Place;
use crate::engine::window::How as Combined;
use crate::error::{Error, ErrorKind, Result};
use crate::watch::{Name, Need};
use serde::{Deserialize, Serialize};

/// What an access does to an element at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum How {
    Put,
    Get,
    /// Atomically, with the operator of this number.
    Combine(u8),
    Swap,
    /// Atomically reads.
    Look,
}

impl How {
    pub fn of(how: Combined) -> How {
        match how {
            Combined::Keep => How::Look,
            Combined::Replace => How::Combine(u8::MAX),
            Combined::Op(builtin) => How::Combine(builtin as u8),
        }
    }

    /// Whether the outcome of two on one element is left open. `same` says that one rank made both: its atomic accesses
    /// stay in their order.
    fn conflicts(self, other: How, same: bool) -> bool {
        match (self, other) {
            (How::Get | How::Look, How::Get | How::Look) => false,
            (How::Put | How::Get, _) | (_, How::Put | How::Get) => true,
            (How::Look, _) | (_, How::Look) => false,
            (one, other) => one != other && !same,
        }
    }

    fn verb(self) -> &'static str {
        match self {
            How::Put => "puts",
            How::Get => "gets",
            How::Combine(_) => "accumulates",
            How::Swap => "swaps",
            How::Look => "reads",
        }
    }
}

/// An access of this rank.
pub(super) struct Entry {
    target: usize,
    how: How,
    at: usize,
    len: usize,
    place: Place,
}

/// An access as its target hears of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Claim {
    how: How,
    /// Elements of the target's part.
    at: usize,
    len: usize,
    place: String,
}

impl Raw {
    /// An epoch begins whose accesses are compared in the checked mode.
    pub(super) fn keep_log(&self) {
        if self.comm.engine().checked() {
            *self.log.borrow_mut() = Some(Vec::new());
        }
    }

    /// This rank makes an access to `len` bytes from `at` on.
    #[inline]
    pub(super) fn note(&self, how: How, target: usize, at: usize, len: usize, place: Place) {
        if let Some(log) = &mut *self.log.borrow_mut() {
            let size = self.element.1.max(1);
            log.push(Entry { target, how, at: at / size, len: len / size, place });
        }
    }

    /// The accesses of the epoch that has ended, by target. `None` where nobody compares.
    fn claims(&self) -> Option<Vec<(usize, Vec<Claim>)>> {
        let log = self.log.take()?;
        let mut claims: Vec<(usize, Vec<Claim>)> = Vec::new();
        for Entry { target, how, at, len, place } in log {
            let claim = Claim { how, at, len, place: place.to_string() };
            match claims.iter_mut().find(|(known, _)| *known == target) {
                Some((_, some)) => some.push(claim),
                None => claims.push((target, vec![claim])),
            }
        }
        Some(claims)
    }

    /// After a fence: an error on the rank to whose part conflicting accesses were made. Collective in the checked mode.
    pub(super) fn compare_all(&self, call: Name, place: Place) -> Result<()> {
        let Some(claims) = self.claims() else { return Ok(()) };
        let heard = self.comm.exchange_values(call, claims, place)?;
        self.compare(call, place, heard)
    }

    /// As [`Raw::compare_all`], after an epoch with few partners.
    pub(super) fn compare_with(
        &self,
        origins: &[usize],
        targets: &[usize],
        call: Name,
        place: Place,
    ) -> Result<()> {
        let Some(mut claims) = self.claims() else { return Ok(()) };
        let _in = self.comm.inner.within(call, place, Need::NOTHING);
        let backstage = self.comm.backstage();
        let sends = targets
            .iter()
            .map(|&target| {
                let at = claims.iter().position(|(known, _)| *known == target);
                let mine = at.map(|at| claims.swap_remove(at).1).unwrap_or_default();
                backstage.isend_value(&mine, target, tags::CLAIMS)
            })
            .collect::<Result<Vec<_>>>()?;
        let heard = origins
            .iter()
            .map(|&origin| Ok((origin, backstage.recv_value::<Vec<Claim>>(origin, tags::CLAIMS)?.0)))
            .collect::<Result<Vec<_>>>()?;
        sends.into_iter().try_for_each(|send| send.wait())?;
        self.compare(call, place, heard)
    }

    fn compare(&self, call: Name, place: Place, heard: Vec<(usize, Vec<Claim>)>) -> Result<()> {
        let all =
            heard.into_iter().flat_map(|(rank, claims)| claims.into_iter().map(move |claim| (rank, claim)));
        let Some([(first, one), (second, other)]) = conflict(all.collect()) else { return Ok(()) };
        let range = |claim: &Claim| match claim.len {
            1 => format!("element {}", claim.at),
            len => format!("elements {} to {}", claim.at, claim.at + len - 1),
        };
        let text = format!(
            "{call}: rank {first} {} {} of this rank's part ({}), and rank {second} {} {} ({}), in the same epoch: \
             what comes of it is left open",
            one.how.verb(),
            range(&one),
            one.place,
            other.how.verb(),
            range(&other),
            other.place,
        );
        Err(Error::new(ErrorKind::Conflict, text)
            .help("end the epoch between the two, or let both accumulate with the same operator")
            .on_rank(self.comm.rank())
            .at(place))
    }
}

/// Two that conflict, the one at the lower place first.
fn conflict(mut all: Vec<(usize, Claim)>) -> Option<[(usize, Claim); 2]> {
    all.sort_by_key(|(rank, claim)| (claim.at, *rank));
    // Those that reach beyond the beginning of the one looked at.
    let mut reaching: Vec<&(usize, Claim)> = Vec::new();
    for next in &all {
        reaching.retain(|(_, claim)| claim.at + claim.len > next.1.at);
        let meets = reaching.iter().find(|one| one.1.how.conflicts(next.1.how, one.0 == next.0));
        if let Some(one) = meets {
            return Some([(*one).clone(), next.clone()]);
        }
        reaching.push(next);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(rank: usize, how: How, at: usize, len: usize) -> (usize, Claim) {
        (rank, Claim { how, at, len, place: String::new() })
    }

    #[test]
    fn only_what_meets_conflicts() {
        use How::{Combine, Get, Look, Put, Swap};
        let meet = |a: How, b: How| conflict(vec![claim(0, a, 0, 4), claim(1, b, 3, 1)]).is_some();
        for (a, b) in
            [(Put, Put), (Put, Get), (Get, Combine(1)), (Put, Swap), (Put, Look), (Combine(1), Combine(2))]
        {
            assert!(meet(a, b) && meet(b, a), "{a:?} {b:?}");
        }
        for (a, b) in [(Get, Get), (Get, Look), (Combine(1), Combine(1)), (Swap, Swap), (Look, Combine(1))] {
            assert!(!meet(a, b) && !meet(b, a), "{a:?} {b:?}");
        }
        // Beside each other, and by one rank, whose atomic accesses have an order.
        assert!(conflict(vec![claim(0, Put, 0, 4), claim(1, Put, 4, 1)]).is_none());
        assert!(conflict(vec![claim(0, Combine(1), 0, 4), claim(0, Combine(2), 0, 4)]).is_none());
        assert!(conflict(vec![claim(0, Put, 0, 4), claim(0, Put, 3, 1)]).is_some());
    }

    #[test]
    fn a_long_access_meets_one_far_behind_it() {
        let all = vec![claim(1, How::Get, 90, 2), claim(0, How::Put, 0, 100), claim(2, How::Get, 101, 1)];
        let [first, second] = conflict(all).unwrap();
        assert_eq!((first.0, second.0), (0, 1));
    }
}
