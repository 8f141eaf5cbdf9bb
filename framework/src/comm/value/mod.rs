//! Values: anything serde can write, in a message of its own.
//!
//! Encoding and decoding are here; `message` sends one value, `collective` moves a value of every rank. The bytes are
//! postcard's. They travel as elements of a kind of their own, so that a receive of plain elements never takes a value,
//! and the other way round.

mod collective;
mod message;

pub use message::{ValueRecv, ValueSend};

use super::element::{Element, Kind};
use super::{Comm, Status};
use crate::engine::Place;
use crate::error::{Error, ErrorKind, Result};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::any::type_name;

/// A byte of an encoded value.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
pub(super) struct Byte(u8);

impl Element for Byte {
    const KIND: Kind = Kind::value();
}

/// What a receive of values is called in errors, and the size of what it counts.
const NAMED: (&str, usize) = ("serialized values", 1);

impl Comm {
    pub(super) fn encode<T: Serialize + ?Sized>(
        &self,
        call: &str,
        value: &T,
        place: Place,
    ) -> Result<Vec<Byte>> {
        match postcard::to_stdvec(value) {
            Ok(bytes) => Ok(bytemuck::allocation::cast_vec(bytes)),
            Err(error) => Err(self.usage(
                call,
                place,
                format!("a {} cannot be written: {error}", type_name::<T>()),
                "its Serialize failed, or writes a sequence or map of unknown length (such as a flattened field)",
            )),
        }
    }

    /// The one value that `bytes` are, from whoever `status` says.
    pub(super) fn decode<T: DeserializeOwned>(
        &self,
        call: &str,
        bytes: &[Byte],
        status: Status,
        place: Place,
    ) -> Result<T> {
        let wrong = match postcard::take_from_bytes(bytemuck::cast_slice(bytes)) {
            Ok((value, [])) => return Ok(value),
            Ok((_, rest)) => format!("has {} bytes too many", rest.len()),
            Err(error) => format!("is none: {error}"),
        };
        Err(self.undecodable(call, type_name::<T>(), &wrong, status, place))
    }

    #[cold]
    fn undecodable(&self, call: &str, name: &str, wrong: &str, status: Status, place: Place) -> Error {
        let Status { source, tag, len } = status;
        let what = format!(
            "{call}: a {name} was to be read from {len} bytes of rank {source}, tag {tag}: the message {wrong}"
        );
        Error::new(ErrorKind::TypeMismatch, what)
            .help("receive the type that was sent; untagged enums and flattened fields cannot be read back")
            .on_rank(self.rank())
            .at(place)
    }
}
