//! Receives of messages whose length only the sender knows: match first, then allocate, then receive.
//!
//! MPI's matched probe keeps the message for us meanwhile.

use super::Mpi;
use super::count::Extent;
use super::patience::Patience;
use super::status::{blank, check};
use super::tag::Pattern;
use crate::comm::element::Element;
use crate::engine::{Envelope, Fault, From, Outcome, Tagged};
use mpi::ffi;
use std::mem::MaybeUninit;

/// A message that is taken from the queue and not received yet.
pub(super) struct Arrived {
    pub message: ffi::MPI_Message,
    pub envelope: Envelope,
}

impl Mpi {
    pub fn recv_parcel<T: Element>(&self, from: From, tag: Tagged) -> Outcome<(Vec<T>, Envelope)> {
        let arrived = self.take(self.pattern(from, tag, T::KIND))?;
        let envelope = arrived.envelope;
        let whole = size_of::<T>() == 0 || envelope.bytes.is_multiple_of(size_of::<T>());
        if !T::KIND.is(envelope.kind) || !whole {
            return Err(self.reject(arrived)?);
        }
        Ok((self.unpack(arrived)?, envelope))
    }

    /// Blocks until a message matches.
    pub(super) fn take(&self, pattern: Pattern) -> Outcome<Arrived> {
        for _ in 0..self.tight() {
            if let Some(arrived) = self.take_next(pattern)? {
                return Ok(arrived);
            }
        }
        let mut patience = Patience::new();
        loop {
            if let Some(arrived) = self.take_next(pattern)? {
                return Ok(arrived);
            }
            if patience.is_over() && self.stranger(pattern)?.is_some() {
                // Probing let MPI make progress, so our message may have come meanwhile: then it counts.
                if let Some(arrived) = self.take_next(pattern)? {
                    return Ok(arrived);
                }
                if let Some(fault) = self.turn_away(pattern)? {
                    return Err(fault);
                }
            }
        }
    }

    /// One MPI_Improbe.
    #[inline]
    pub(super) fn take_next(&self, pattern: Pattern) -> Outcome<Option<Arrived>> {
        let (mut status, mut flag) = (blank(), 0);
        let mut message = MaybeUninit::uninit();
        // SAFETY: the outputs are valid for writes.
        let code = unsafe {
            ffi::MPI_Improbe(
                pattern.source,
                pattern.tag,
                self.comm,
                &mut flag,
                message.as_mut_ptr(),
                &mut status,
            )
        };
        check("MPI_Improbe", code)?;
        if flag == 0 {
            return Ok(None);
        }
        let envelope = self.envelope(&status)?;
        // SAFETY: the flag says that MPI stored a message.
        Ok(Some(Arrived { message: unsafe { message.assume_init() }, envelope }))
    }

    /// Receives a matched message, whose length is a multiple of `T`'s size.
    pub(super) fn unpack<T: Element>(&self, mut arrived: Arrived) -> Outcome<Vec<T>> {
        let bytes = arrived.envelope.bytes;
        let len = bytes.checked_div(size_of::<T>()).unwrap_or(0);
        let mut data: Vec<T> = Vec::new();
        data.try_reserve_exact(len).map_err(|_| Fault::Library {
            call: "the allocation of the message",
            text: format!("no memory for {bytes} bytes"),
        })?;
        let extent = Extent::of(bytes, self.byte)?;
        let mut status = blank();
        // SAFETY: the vector's capacity is `bytes` long and uninitialised, which MPI may write; the message was
        // matched and not received yet.
        let code = unsafe {
            ffi::MPI_Mrecv(
                data.as_mut_ptr().cast(),
                extent.count,
                extent.datatype,
                &mut arrived.message,
                &mut status,
            )
        };
        check("MPI_Mrecv", code)?;
        // SAFETY: MPI wrote all the bytes that the probe counted, and any bytes are a `T`.
        unsafe { data.set_len(len) };
        Ok(data)
    }
}
