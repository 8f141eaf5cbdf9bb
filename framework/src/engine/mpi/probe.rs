//! Probing: what message could be received now, without receiving it.
//!
//! A probe matches any element type, and MPI cannot mask a part of the tag; so one probe looks at the front of the
//! queue, and only if something else stands there every type is asked for.

use super::patience::Patience;
use super::status::{blank, check};
use super::{Mpi, tag};
use crate::engine::{Envelope, From, Outcome, Tagged};
use mpi::ffi;
use std::ffi::c_int;

impl Mpi {
    pub fn probe(&self, from: From, tag: Tagged) -> Outcome<Envelope> {
        for _ in 0..self.tight() {
            if let Some(envelope) = self.iprobe(from, tag)? {
                return Ok(envelope);
            }
        }
        let mut patience = Patience::new();
        loop {
            if let Some(envelope) = self.iprobe(from, tag)? {
                return Ok(envelope);
            }
            // There is no diagnosis to make: any element type would have been found.
            patience.is_over();
        }
    }

    pub fn iprobe(&self, from: From, tag: Tagged) -> Outcome<Option<Envelope>> {
        let source = match from {
            From::Any => self.constants().any_source,
            From::Rank(rank) => rank as c_int,
        };
        match tag {
            Tagged::Any => self.probe_once(source, self.constants().any_tag),
            Tagged::Tag(user) => self.find(source, user, |_| true),
        }
    }

    /// A message with a user's tag whose kind code is `wanted`.
    pub(super) fn find(
        &self,
        source: c_int,
        user: i32,
        wanted: impl Fn(u32) -> bool,
    ) -> Outcome<Option<Envelope>> {
        let Some(front) = self.probe_once(source, self.constants().any_tag)? else { return Ok(None) };
        if front.tag == user && wanted(front.kind) {
            return Ok(Some(front));
        }
        for code in tag::codes().filter(|&code| wanted(code.into())) {
            if let Some(envelope) = self.probe_once(source, tag::encode(user, code))? {
                return Ok(Some(envelope));
            }
        }
        Ok(None)
    }

    /// One MPI_Iprobe.
    fn probe_once(&self, source: c_int, tag: c_int) -> Outcome<Option<Envelope>> {
        let (mut status, mut flag) = (blank(), 0);
        // SAFETY: the outputs are valid for writes.
        let code = unsafe { ffi::MPI_Iprobe(source, tag, self.comm, &mut flag, &mut status) };
        check("MPI_Iprobe", code)?;
        if flag == 0 { Ok(None) } else { self.envelope(&status).map(Some) }
    }
}
