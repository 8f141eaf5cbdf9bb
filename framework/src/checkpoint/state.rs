//! [`State`]: what `persist` names its state to; it saves, restores, or only looks.

use super::header::{ARRAYS, ArrayRecord, Header, ValueRecord};
use crate::comm::{Comm, Element};
use crate::error::{Error, ErrorKind, Result};
use crate::field::Field;
use crate::op::{Max, Sum};
use crate::output::{Looked, PartitionedMut, Reader, Stretch, Writer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Takes or gives back a kernel's state, name by name; see [`Kernel::persist`](crate::Kernel::persist).
///
/// Every method is collective: all ranks name the same things in the same order. While it restores, a name that the
/// checkpoint does not have, or has in another type or shape, is an error.
pub struct State {
    comm: Comm,
    step: u64,
    names: Vec<String>,
    doing: Doing,
}

enum Doing {
    /// Only looks at what there is.
    Looking {
        bytes: u64,
    },
    Saving {
        writer: Box<Writer>,
        arrays: Vec<ArrayRecord>,
        values: Vec<ValueRecord>,
    },
    Restoring {
        path: PathBuf,
        header: Box<Header>,
        values: Vec<ValueRecord>,
        damaged: bool,
    },
}

impl State {
    pub(super) fn looking(comm: &Comm) -> Result<State> {
        Ok(State { comm: comm.dup()?, step: 0, names: Vec::new(), doing: Doing::Looking { bytes: 0 } })
    }

    pub(super) fn saving(comm: &Comm, step: u64, writer: Writer) -> Result<State> {
        let doing = Doing::Saving { writer: Box::new(writer), arrays: Vec::new(), values: Vec::new() };
        Ok(State { comm: comm.dup()?, step, names: Vec::new(), doing })
    }

    pub(super) fn restoring(
        comm: &Comm,
        path: &Path,
        header: Header,
        values: Vec<ValueRecord>,
    ) -> Result<State> {
        let step = header.step;
        let doing =
            Doing::Restoring { path: path.to_path_buf(), header: Box::new(header), values, damaged: false };
        Ok(State { comm: comm.dup()?, step, names: Vec::new(), doing })
    }

    /// The steps done before this moment. Local.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Whether the state is read back, so that what depends on it must be made anew afterwards. Local.
    pub fn is_restoring(&self) -> bool {
        matches!(self.doing, Doing::Restoring { .. })
    }

    /// A field, whose halos are not kept. Collective.
    ///
    /// # Errors
    /// What the system says; while it restores, a field of another shape or type, or numbers that are damaged.
    pub fn field<T: Element, const D: usize>(&mut self, name: &str, field: &mut Field<T, D>) -> Result<()> {
        self.array(name, field)
    }

    /// Anything that is split over the ranks, in whatever way: another run may split it in another. Collective.
    ///
    /// # Errors
    /// As [`State::field`].
    pub fn array<P: PartitionedMut + ?Sized>(&mut self, name: &str, array: &mut P) -> Result<()> {
        self.claim(name)?;
        let looked = self.comm.agree(Looked::at(array))?;
        self.looked_at(name, array, &looked)
    }

    fn looked_at<P: PartitionedMut + ?Sized>(
        &mut self,
        name: &str,
        array: &mut P,
        looked: &Looked,
    ) -> Result<()> {
        let element = (P::Item::KIND.name().to_string(), size_of::<P::Item>());
        let dataset = format!("{ARRAYS}/{name}");
        match &mut self.doing {
            Doing::Looking { bytes } => {
                let all = looked.global.iter().fold(element.1 as u64, |all, &n| all.saturating_mul(n as u64));
                *bytes = bytes.saturating_add(all);
                Ok(())
            }
            Doing::Saving { writer, arrays, .. } => {
                writer.write(&dataset, array)?;
                let sum = self.comm.allreduce(looked.checksum(&looked.ordered(array)), Sum)?;
                let checksum = format!("{sum:016x}");
                arrays.push(ArrayRecord {
                    name: name.into(),
                    shape: looked.global.clone(),
                    element,
                    checksum,
                });
                Ok(())
            }
            Doing::Restoring { path, header, damaged, .. } => {
                let place = format!("{}:/{dataset}", path.display());
                let Some(record) = header.arrays.iter().find(|record| record.name == name) else {
                    let error = Error::io(format!("the checkpoint {} has no array `{name}`", path.display()));
                    return self
                        .comm
                        .agree(Err(error.help("it was written by another version of the kernel")));
                };
                if record.element != element || record.shape != looked.global {
                    let error = Error::io(format!(
                        "{place} is of {:?} {}; the kernel's `{name}` is of {:?} {}",
                        record.shape, record.element.0, looked.global, element.0
                    ));
                    return self
                        .comm
                        .agree(Err(error
                            .help("go on with the parameters and the version of the kernel that wrote it")));
                }
                if looked.is_empty() {
                    return Ok(());
                }
                let read = Reader::open(&self.comm, &*path, Some(&dataset)).and_then(|input| {
                    input.read_into(array)?;
                    let sum = self.comm.allreduce(looked.checksum(&looked.ordered(array)), Sum)?;
                    let found = format!("{sum:016x}");
                    if found == record.checksum {
                        return Ok(());
                    }
                    let error = Error::io(format!(
                        "{place} is damaged: its checksum is {found}, not {}",
                        record.checksum
                    ));
                    self.comm.agree(Err(error))
                });
                *damaged = read.is_err();
                read
            }
        }
    }

    /// A value that is the same on every rank, such as a time, a counter or the state of a generator of random numbers;
    /// anything serde can write and read. Collective.
    ///
    /// # Errors
    /// A value that differs between ranks; while it restores, one of another type.
    pub fn value<V: Serialize + DeserializeOwned>(&mut self, name: &str, value: &mut V) -> Result<()> {
        self.claim(name)?;
        self.keep(name, value)
    }

    /// As [`State::value`], under a name that no author can give.
    pub(super) fn keep<V: Serialize + DeserializeOwned>(&mut self, name: &str, value: &mut V) -> Result<()> {
        let kind = std::any::type_name::<V>();
        match &mut self.doing {
            Doing::Looking { .. } => Ok(()),
            Doing::Saving { values, .. } => {
                let bytes = postcard::to_stdvec(value)
                    .map_err(|error| Error::usage(format!("the value `{name}` cannot be saved: {error}")));
                let bytes = self.comm.agree(bytes)?;
                values.push(ValueRecord { name: name.into(), kind: kind.into(), bytes });
                Ok(())
            }
            Doing::Restoring { path, values, .. } => {
                let found = match values.iter().find(|record| record.name == name) {
                    None => Err(format!("has no value `{name}`")),
                    Some(record) if record.kind != kind => {
                        Err(format!("has `{name}` as {}; the kernel's is {kind}", record.kind))
                    }
                    Some(record) => postcard::from_bytes(&record.bytes)
                        .map_err(|error| format!("has a `{name}` that cannot be read: {error}")),
                };
                let found = found.map_err(|what| {
                    Error::io(format!("the checkpoint {} {what}", path.display()))
                        .help("it was written by another version of the kernel")
                });
                *value = self.comm.agree(found)?;
                Ok(())
            }
        }
    }

    /// A list of which every rank has a part, as long as it likes: particles, for example. The parts are one list, in
    /// the order of the ranks. While it restores, the ranks get equal shares of it, in order; what must lie elsewhere
    /// the kernel then sends there. Collective.
    ///
    /// # Errors
    /// As [`State::field`].
    pub fn list<T: Element>(&mut self, name: &str, list: &mut Vec<T>) -> Result<()> {
        self.claim(name)?;
        let (me, ranks) = (self.comm.rank(), self.comm.size());
        let mut whole = Stretch { total: 0, start: 0, items: Cow::Owned(Vec::new()) };
        if let Doing::Restoring { header, .. } = &self.doing {
            let shape =
                header.arrays.iter().find(|record| record.name == name).map(|record| &record.shape[..]);
            if let Some([all]) = shape {
                let at = |rank: usize| (*all as u128 * rank as u128 / ranks as u128) as usize;
                let items = vec![T::zeroed(); at(me + 1) - at(me)];
                whole = Stretch { total: *all, start: at(me), items: Cow::Owned(items) };
            }
        } else {
            whole = Stretch::of(&self.comm, std::mem::take(list))?;
        }
        let done =
            self.comm.agree(Looked::at(&whole)).and_then(|looked| self.looked_at(name, &mut whole, &looked));
        *list = whole.items.into_owned();
        done
    }

    /// Sees that the name can be one and is new.
    fn claim(&mut self, name: &str) -> Result<()> {
        let taken = self.names.iter().any(|known| known == name);
        let claimed = match name {
            "" | "." | ".." => Err(Error::usage(format!("the state {name:?} has no name"))),
            name if name.contains(['/', '\0']) => {
                Err(Error::usage(format!("the state {name:?} cannot be named so"))
                    .help("give it a name without a slash"))
            }
            name if taken => Err(Error::usage(format!("persist names `{name}` twice"))
                .help("give every part of the state a name of its own")),
            _ => Ok(()),
        };
        self.names.push(name.to_string());
        self.comm.agree(claimed)
    }

    /// Whether nothing was named, and the bytes of what was.
    pub(super) fn seen(&self) -> (bool, u64) {
        let bytes = if let Doing::Looking { bytes } = &self.doing { *bytes } else { 0 };
        (self.names.is_empty(), bytes)
    }

    /// Whether a restore failed because the file is damaged; the same on every rank.
    pub(super) fn is_damaged(&self) -> bool {
        matches!(self.doing, Doing::Restoring { damaged: true, .. })
    }

    /// After a save: the open file and what was said of its contents. Sees that values are the same on all ranks.
    pub(super) fn saved(self) -> Result<(Writer, Vec<ArrayRecord>, Vec<ValueRecord>)> {
        let Doing::Saving { writer, arrays, values } = self.doing else {
            return Err(Error::new(ErrorKind::Usage, "nothing was being saved"));
        };
        let print = |record: &ValueRecord| {
            let hash = blake3::hash(&record.bytes);
            hash.as_bytes()[..8].iter().fold(0u64, |all, &byte| all << 8 | u64::from(byte))
        };
        // A name that begins with a slash is the framework's: of that only rank 0 has all.
        let shared: Vec<&ValueRecord> =
            values.iter().filter(|record| !record.name.starts_with('/')).collect();
        let mut prints: Vec<u64> = shared.iter().flat_map(|record| [print(record), !print(record)]).collect();
        self.comm.allreduce_in_place(&mut prints, Max)?;
        let differs = prints.chunks_exact(2).position(|pair| pair[0] != !pair[1]);
        if let Some(at) = differs {
            return self.comm.agree(Err(Error::usage(format!(
                "the value `{}` is not the same on every rank",
                shared[at].name
            ))
            .help("save what belongs to a rank as an array or a list; a HashMap has no order, a BTreeMap has one")));
        }
        Ok((*writer, arrays, values))
    }

    /// After a restore: an error if the checkpoint has what nobody asked for.
    pub(super) fn restored(&self) -> Result<()> {
        let Doing::Restoring { path, header, values, .. } = &self.doing else { return Ok(()) };
        let arrays = header.arrays.iter().map(|record| &record.name);
        let values = values.iter().map(|record| &record.name).filter(|name| !name.starts_with('/'));
        let left = arrays.chain(values).find(|name| !self.names.contains(name));
        let left = left.map_or(Ok(()), |name| {
            Err(Error::io(format!(
                "the checkpoint {} has `{name}`, which the kernel does not ask for",
                path.display()
            ))
            .help("it was written by another version of the kernel"))
        });
        self.comm.agree(left)
    }
}
