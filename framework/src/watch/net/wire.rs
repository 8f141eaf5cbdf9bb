//! Frames between processes of a job, and from those who look at it: whole, in order, and from somebody who has the
//! job's secret.
//!
//! Both sides bring a number of their own; from these and the secret come two keys, one for each direction. A frame is its
//! length, its payload, and 32 bytes that only who has the key can make of its number and payload. What does not fit is
//! the end of the connection.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{Error, ErrorKind, Result};

/// What all who belong to a job know. Whoever has it can look at the job; nobody else can.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(super) [u8; 32]);

impl Secret {
    pub fn random() -> Result<Secret> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| Error::other(error.to_string()))?;
        Ok(Secret(bytes))
    }

    pub fn from_bytes(bytes: [u8; 32]) -> Secret {
        Secret(bytes)
    }

    pub fn bytes(&self) -> [u8; 32] {
        self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// A number that one side brings to a connection.
pub(super) type Nonce = [u8; 32];

/// What a connection begins with, in the order in which it is sent: the guest's greeting, the host's answer, the guest's
/// proof.
pub(super) const GREETING: usize = 8 + 32;
pub(super) const ANSWER: usize = 32 + 32;
pub(super) const PROOF: usize = 32;

const MAGIC: &[u8; 8] = b"rankine1";

pub(super) fn nonce() -> Result<Nonce> {
    Secret::random().map(|secret| secret.0)
}

pub(super) fn greeting(guest: &Nonce) -> Vec<u8> {
    [&MAGIC[..], guest].concat()
}

pub(super) fn read_greeting(bytes: &[u8]) -> Option<Nonce> {
    let rest = bytes.strip_prefix(MAGIC)?;
    rest.try_into().ok()
}

/// The tag that only those with the secret can make, for one of the two sides.
pub(super) fn proof(secret: &Secret, side: &str, guest: &Nonce, host: &Nonce) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(&secret.0);
    hasher.update(side.as_bytes()).update(guest).update(host);
    *hasher.finalize().as_bytes()
}

/// Whether two tags are the same; takes as long if they are not.
pub(super) fn same(a: &[u8; 32], b: &[u8]) -> bool {
    <[u8; 32]>::try_from(b).is_ok_and(|b| blake3::Hash::from(*a) == blake3::Hash::from(b))
}

/// An authenticated connection's state.
pub(super) struct Session {
    out: [u8; 32],
    into: [u8; 32],
    sent: u64,
    received: u64,
}

const LENGTH: usize = 4;
const TAG: usize = 32;

impl Session {
    pub fn new(secret: &Secret, guest: &Nonce, host: &Nonce, is_host: bool) -> Session {
        let (from_guest, from_host) =
            (proof(secret, "from guest", guest, host), proof(secret, "from host", guest, host));
        let (out, into) = if is_host { (from_host, from_guest) } else { (from_guest, from_host) };
        Session { out, into, sent: 0, received: 0 }
    }

    /// A message, as bytes to be sent.
    pub fn seal(&mut self, message: &impl Serialize) -> Result<Vec<u8>> {
        let payload =
            postcard::to_stdvec(message).map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
        let length =
            u32::try_from(payload.len()).map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
        let mut frame = Vec::with_capacity(LENGTH + payload.len() + TAG);
        frame.extend(length.to_le_bytes());
        frame.extend(&payload);
        frame.extend(tag(&self.out, self.sent, &payload));
        self.sent += 1;
        Ok(frame)
    }

    /// Takes the next message of at most `most` bytes from the front of what has come, if it is whole.
    ///
    /// # Errors
    /// What came is not of the other side's making.
    pub fn open<M: DeserializeOwned>(&mut self, input: &mut Vec<u8>, most: usize) -> Result<Option<M>> {
        let bad = |what: &str| Error::new(ErrorKind::InvalidData, what);
        let Some((length, rest)) = input.split_first_chunk::<LENGTH>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > most {
            return Err(bad("a frame that is too long"));
        }
        if rest.len() < length + TAG {
            return Ok(None);
        }
        let (payload, rest) = rest.split_at(length);
        if !same(&tag(&self.into, self.received, payload), &rest[..TAG]) {
            return Err(bad("a frame that nobody of the job has made"));
        }
        let message =
            postcard::from_bytes(payload).map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
        self.received += 1;
        input.drain(..LENGTH + length + TAG);
        Ok(Some(message))
    }
}

fn tag(key: &[u8; 32], number: u64, payload: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&number.to_le_bytes()).update(payload);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Session, Session) {
        let (secret, guest, host) = (Secret([7; 32]), [1; 32], [2; 32]);
        (Session::new(&secret, &guest, &host, false), Session::new(&secret, &guest, &host, true))
    }

    #[test]
    fn messages_come_whole_and_in_order() {
        let (mut guest, mut host) = pair();
        let mut wire = Vec::new();
        for number in 0..3u64 {
            wire.extend(guest.seal(&(number, "text")).unwrap());
        }
        let mut input = Vec::new();
        let mut came = Vec::new();
        for byte in wire {
            input.push(byte);
            came.extend(host.open::<(u64, String)>(&mut input, 100).unwrap());
        }
        assert_eq!(came, (0..3).map(|number| (number, "text".to_string())).collect::<Vec<_>>());
        assert!(input.is_empty());
    }

    #[test]
    fn whatever_is_changed_is_refused() {
        let (mut guest, _) = pair();
        let frame = guest.seal(&[1u8, 2, 3, 4]).unwrap();
        for at in 0..frame.len() {
            let mut changed = frame.clone();
            changed[at] ^= 1;
            let (_, mut host) = pair();
            let opened = host.open::<[u8; 4]>(&mut changed, 100);
            // A shorter length makes it whole earlier, a longer one waits for more.
            assert!(!matches!(opened, Ok(Some(_))), "byte {at}");
        }
    }

    #[test]
    fn nothing_comes_twice_or_back() {
        let (mut guest, mut host) = pair();
        let frame = guest.seal(&1u8).unwrap();
        assert_eq!(host.open::<u8>(&mut frame.clone(), 100).unwrap(), Some(1));
        assert!(host.open::<u8>(&mut frame.clone(), 100).is_err());
        assert!(guest.open::<u8>(&mut frame.clone(), 100).is_err());
    }

    #[test]
    fn a_frame_that_claims_to_be_huge_is_refused_at_once() {
        let (_, mut host) = pair();
        assert!(host.open::<Vec<u8>>(&mut u32::MAX.to_le_bytes().to_vec(), 1 << 20).is_err());
    }
}
