//! The checked mode of collectives: before the call, do all ranks make the same one?
//!
//! One reduction of two words says whether they do; only if not, the signatures travel in full. The words for a
//! disagreement are in `engine/signature.rs`.

use super::Mpi;
use super::status::check;
use crate::comm::element::{Kind, Scalar};
use crate::comm::op::Builtin;
use crate::engine::signature::{Signature, Words, disagreement_in_words};
use crate::engine::{Fault, Outcome, Place};
use mpi::ffi;
use std::ffi::c_int;
use std::hash::{Hash, Hasher};

/// The bytes of a signature on its way.
const RECORD: usize = 256;

impl Mpi {
    /// In the checked mode, an error on every rank unless all ranks of the communicator bring the same signature.
    #[inline]
    pub(super) fn agree(
        &self,
        call: &'static str,
        root: Option<usize>,
        what: Option<(usize, Kind)>,
        op: Option<&'static str>,
        place: Place,
    ) -> Outcome<()> {
        if !self.checked || self.size == 1 {
            return Ok(());
        }
        let (bytes, kind) = (what.map_or(0, |what| what.0), what.map(|what| what.1));
        self.compare(&Signature { call, root, bytes, kind, op, place })
    }

    #[cold]
    #[inline(never)]
    fn compare(&self, signature: &Signature) -> Outcome<()> {
        let mine = fingerprint(signature);
        // The largest of all, and the complement of the smallest.
        let mut ends = [mine, !mine];
        let constants = self.constants();
        // SAFETY: two words on every rank.
        check("MPI_Allreduce", unsafe {
            ffi::MPI_Allreduce(
                constants.in_place,
                ends.as_mut_ptr().cast(),
                2,
                constants.datatype(Scalar::U64),
                constants.op(Builtin::Max),
                self.comm,
            )
        })?;
        if ends[0] == !ends[1] {
            return Ok(());
        }
        Err(Fault::Mismatch(self.explain(signature)?))
    }

    fn explain(&self, signature: &Signature) -> Outcome<String> {
        let mine = encode(&Words::from(*signature));
        let mut all = vec![0u8; RECORD * self.size];
        // SAFETY: one record a rank, and room for all of them.
        check("MPI_Allgather", unsafe {
            ffi::MPI_Allgather(
                mine.as_ptr().cast(),
                RECORD as c_int,
                self.byte,
                all.as_mut_ptr().cast(),
                RECORD as c_int,
                self.byte,
                self.comm,
            )
        })?;
        let of = |rank: usize| decode(&all[RECORD * rank..][..RECORD]);
        Ok(disagreement_in_words(self.rank, &of, self.size)
            .unwrap_or_else(|| "the ranks give different operators of the same name".to_string()))
    }
}

/// A number that is the same on two ranks if, and almost only if, their signatures agree.
fn fingerprint(signature: &Signature) -> u64 {
    let Signature { call, root, bytes, kind, op, place: _ } = signature;
    // Rust promises this hasher to be the same in all processes of one program.
    let mut hasher = std::hash::DefaultHasher::new();
    (call, root, bytes, kind.map(Kind::code), op).hash(&mut hasher);
    hasher.finish()
}

/// Where each text lies in a record: after root (8 bytes), length (8), kind code and number size (1 each) and two
/// flags (kind, operator given).
const FIELDS: [(usize, usize); 4] = [(20, 24), (44, 32), (76, 80), (156, 100)];

fn encode(words: &Words) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    let root = words.root.map_or(u64::MAX, |root| root as u64);
    record[..8].copy_from_slice(&root.to_le_bytes());
    record[8..16].copy_from_slice(&(words.bytes as u64).to_le_bytes());
    if let Some((code, _, size)) = &words.kind {
        record[16..19].copy_from_slice(&[*code, *size as u8, 1]);
    }
    record[19] = u8::from(words.op.is_some());
    let kind = words.kind.as_ref().map_or("", |kind| &kind.1);
    let texts = [&words.call, kind, words.op.as_deref().unwrap_or(""), &words.place];
    for (text, (start, len)) in texts.into_iter().zip(FIELDS) {
        let tail = tail(text, len);
        record[start..start + tail.len()].copy_from_slice(tail.as_bytes());
    }
    record
}

/// The end of a text, at most `len` bytes of it: what tells paths and types apart.
fn tail(text: &str, len: usize) -> &str {
    (0..text.len()).find_map(|start| text.get(start..).filter(|tail| tail.len() <= len)).unwrap_or("")
}

fn decode(record: &[u8]) -> Words {
    let number = |start: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&record[start..start + 8]);
        u64::from_le_bytes(bytes)
    };
    let text = |field: usize| {
        let (start, len) = FIELDS[field];
        let bytes = &record[start..start + len];
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(len);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    Words {
        call: text(0),
        root: Some(number(0)).filter(|&root| root != u64::MAX).map(|root| root as usize),
        bytes: number(8) as usize,
        kind: (record[18] == 1).then(|| (record[16], text(1), usize::from(record[17]))),
        op: (record[19] == 1).then(|| text(2)),
        place: text(3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comm::element::Element;
    use std::panic::Location;

    #[test]
    fn a_record_comes_back() {
        let place = Location::caller();
        let call = "allreduce";
        let full =
            Signature { call, root: Some(3), bytes: 24, kind: Some(f64::KIND), op: Some("Sum"), place };
        let bare = Signature { call: "barrier", root: None, bytes: 0, kind: None, op: None, place };
        for signature in [full, bare] {
            let words = Words::from(signature);
            assert_eq!(format!("{:?}", decode(&encode(&words))), format!("{words:?}"));
        }
        assert_ne!(fingerprint(&full), fingerprint(&bare));
    }

    #[test]
    fn the_tail_of_a_long_text_is_kept() {
        assert_eq!(tail("kernels/src/cg.rs:88", 8), "cg.rs:88");
        assert_eq!(tail("short", 8), "short");
        assert_eq!(tail("äöü", 3), "ü");
        assert_eq!(tail("", 3), "");
    }
}
