//! The two files of a run: which is the newest that is whole, and writing the next.

use super::header::{HEADER, Header, OnFirst, SEAL, VALUES, VERSION, ValueRecord, seal};
use super::state::State;
use crate::comm::Comm;
use crate::error::{Error, ErrorKind, Result};
use crate::output::files::{failure, gone};
use crate::output::{Reader, Writer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The names that are used by turns.
const NAMES: [&str; 2] = ["a.h5", "b.h5"];
/// The value that is the run's own.
const RUN: &str = "/run";

/// A run's checkpoints.
pub(crate) struct Store {
    comm: Comm,
    folder: PathBuf,
    /// The one to be written next.
    next: usize,
    /// What the last save took, and what it is thought to take before there was one.
    cost: Duration,
}

/// What a checkpoint is of, beside the kernel's state.
pub(crate) struct Moment<'m> {
    pub kernel: &'m str,
    /// As TOML.
    pub parameters: &'m str,
    pub step: u64,
    pub broke: bool,
    pub written: String,
}

/// A checkpoint that was restored.
pub(crate) struct Found<V> {
    pub name: PathBuf,
    pub step: u64,
    pub broke: bool,
    /// What the run kept beside the kernel's state.
    pub run: V,
    /// What was wrong with a newer one; only on rank 0.
    pub warnings: Vec<String>,
}

/// Writing it is as fast as this, before anything was measured; and takes as long as this at least.
const GUESSED: f64 = 100e6;
const LEAST: Duration = Duration::from_millis(200);

/// Makes the folder in one that is there.
fn make_last(folder: &Path) -> Result<()> {
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(gone(folder.parent().unwrap_or(folder)))
        }
        made => made.map_err(|error| failure("make the folder", folder, &error)),
    }
}

impl Store {
    /// The checkpoints in `folder`, which need not be there, but is made in one that is. `look` is the kernel's persist. `None` if it keeps nothing.
    /// Collective.
    pub fn open(
        comm: &Comm,
        folder: PathBuf,
        look: impl FnOnce(&mut State) -> Result<()>,
    ) -> Result<Option<Store>> {
        let mut state = State::looking(comm)?;
        look(&mut state)?;
        let (nothing, bytes) = state.seen();
        let cost = LEAST + Duration::try_from_secs_f64(bytes as f64 / GUESSED).unwrap_or(Duration::MAX);
        Ok((!nothing).then_some(Store { comm: comm.dup()?, folder, next: 0, cost }))
    }

    /// What a checkpoint takes.
    pub fn cost(&self) -> Duration {
        self.cost
    }

    /// Saves: `persist` is the kernel's, `run` what the run keeps beside it, of which rank 0's counts. Gives the file's
    /// name in the folder. Collective.
    ///
    /// # Errors
    /// What the system says; the checkpoint before is untouched then.
    pub fn save<V: Serialize + DeserializeOwned>(
        &mut self,
        moment: &Moment<'_>,
        run: &mut V,
        persist: impl FnOnce(&mut State) -> Result<()>,
    ) -> Result<&'static str> {
        let began = Instant::now();
        let (comm, first) = (&self.comm, self.comm.rank() == 0);
        let name = NAMES[self.next];
        comm.agree(if first { make_last(&self.folder) } else { Ok(()) })?;
        let writer = Writer::create_there(comm, self.folder.join(name))?;
        let mut state = State::saving(comm, moment.step, writer)?;
        comm.agree(persist(&mut state))?;
        state.keep(RUN, run)?;
        let (mut writer, arrays, values) = state.saved()?;
        let values = comm.agree(
            postcard::to_stdvec(&values)
                .map_err(|error| Error::io(format!("the values cannot be serialized: {error}"))),
        )?;
        let header = Header {
            version: VERSION,
            rankine: env!("CARGO_PKG_VERSION").into(),
            kernel: moment.kernel.into(),
            parameters: moment.parameters.into(),
            step: moment.step,
            broke: moment.broke,
            written: moment.written.clone(),
            engine: comm.engine_name().into(),
            ranks: comm.size(),
            command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            arrays,
            values: (values.len(), seal(&values)),
        };
        let text = comm.agree(
            serde_json::to_vec_pretty(&header)
                .map_err(|error| Error::io(format!("the checkpoint cannot be described: {error}"))),
        )?;
        let sealed = seal(&text);
        for (name, bytes) in [(VALUES, values), (HEADER, text)] {
            let mut len = [bytes.len()];
            comm.bcast(&mut len, 0)?;
            let bytes = if first { bytes } else { Vec::new() };
            writer.write(name, &OnFirst { first, len: len[0], bytes })?;
        }
        writer.attribute(HEADER, SEAL, sealed)?;
        writer.attribute("/", "kernel", moment.kernel)?;
        writer.attribute("/", "step", moment.step as f64)?;
        writer.finish()?;
        self.next = 1 - self.next;
        self.cost = began.elapsed();
        Ok(name)
    }

    /// Restores the newest checkpoint that is whole; `None` if there is none at all. `fresh` makes the state anew where
    /// an attempt may have spoilt it, `accept` is asked before a checkpoint is used. Collective.
    ///
    /// # Errors
    /// Checkpoints of which none is whole; one of another kernel, version or shape; one that is not accepted.
    pub fn restore<D, V: Serialize + DeserializeOwned + Default>(
        &mut self,
        kernel: &str,
        data: &mut D,
        fresh: impl Fn() -> Result<D>,
        accept: impl Fn(&Header) -> Result<()>,
        persist: impl Fn(&mut D, &mut State) -> Result<()>,
    ) -> Result<Option<Found<V>>> {
        let mut warnings = Vec::new();
        let (mut whole, mut seen) = (Vec::new(), 0);
        for (slot, name) in NAMES.into_iter().enumerate() {
            let path = self.folder.join(name);
            let there = self.comm.rank() == 0 && std::fs::symlink_metadata(&path).is_ok();
            let mut there = [u8::from(there)];
            self.comm.bcast(&mut there, 0)?;
            if there[0] == 0 {
                continue;
            }
            seen += 1;
            match self.inspect(&path) {
                Ok((header, values)) => whole.push((slot, path, header, values)),
                Err(error) => self.warn(&path, &error, &mut warnings)?,
            }
        }
        // The newest first.
        whole.sort_by_key(|(_, _, header, _)| std::cmp::Reverse(header.step));
        for (attempt, (slot, path, header, values)) in whole.into_iter().enumerate() {
            let fits = self.fits(kernel, &path, &header).and_then(|()| accept(&header));
            self.comm.agree(fits)?;
            if attempt > 0 {
                *data = self.comm.agree(fresh())?;
            }
            let (step, broke) = (header.step, header.broke);
            let mut state = State::restoring(&self.comm, &path, header, values)?;
            let mut run = V::default();
            let restored = persist(data, &mut state);
            let damaged = state.is_damaged();
            let restored = self.comm.agree(restored);
            match restored {
                Ok(()) => {
                    state.restored()?;
                    state.keep(RUN, &mut run)?;
                    self.next = 1 - slot;
                    let name = PathBuf::from(NAMES[slot]);
                    return Ok(Some(Found { name, step, broke, run, warnings }));
                }
                Err(error) if damaged => self.warn(&path, &error, &mut warnings)?,
                Err(error) => return Err(error),
            }
        }
        if seen == 0 {
            return Ok(None);
        }
        self.comm.agree(match self.comm.rank() {
            0 => Err(Error::io(format!(
                "no checkpoint in {} is whole: {}",
                self.folder.display(),
                warnings.join("; ")
            ))
            .help("begin again with --overwrite, or put back a copy of the checkpoint")),
            _ => Ok(None),
        })
    }

    /// Tells rank 0 what is wrong with a file, whoever found out.
    fn warn(&self, path: &Path, error: &Error, warnings: &mut Vec<String>) -> Result<()> {
        let mine = (error.kind() != ErrorKind::Elsewhere).then(|| error.what().to_string());
        let told = self.comm.gather_values(mine, 0)?;
        if let Some(told) = told {
            let why = told.into_iter().flatten().next().unwrap_or_else(|| "it cannot be read".to_string());
            let name = path.file_name().unwrap_or_default().display();
            warnings.push(format!("the checkpoint {name} is not used: {why}"));
        }
        Ok(())
    }

    /// What the file says of itself, if that is whole, on every rank. Collective.
    fn inspect(&self, path: &Path) -> Result<(Header, Vec<ValueRecord>)> {
        let damaged = |what: &str| Error::io(format!("{} is damaged: {what}", path.display()));
        let (text, sealed) = self.read(path, HEADER)?;
        let header = self.comm.agree(match self.comm.rank() {
            0 if sealed != Some(seal(&text)) => {
                Err(damaged("what it says of itself is not what was written"))
            }
            0 => serde_json::from_slice::<Header>(&text).map(Some).map_err(|error| {
                // The seal is right, so that is what was written.
                let other = serde_json::from_slice::<serde_json::Value>(&text).ok();
                let version = other.and_then(|other| other["version"].as_u64());
                match version.filter(|version| *version != u64::from(VERSION)) {
                    Some(version) => Error::io(format!(
                        "{} is a checkpoint of version {version}; this program reads version {VERSION}",
                        path.display()
                    )),
                    None => damaged(&error.to_string()),
                }
            }),
            _ => Ok(None),
        })?;
        let header = self.comm.bcast_value(header, 0)?;
        let (bytes, _) = self.read(path, VALUES)?;
        let values = self.comm.agree(match self.comm.rank() {
            0 if header.values != (bytes.len(), seal(&bytes)) => {
                Err(damaged("its values are not what was written"))
            }
            0 => postcard::from_bytes::<Vec<ValueRecord>>(&bytes)
                .map(Some)
                .map_err(|error| damaged(&error.to_string())),
            _ => Ok(None),
        })?;
        let values = self.comm.bcast_value(values, 0)?;
        Ok((header, values))
    }

    /// A dataset of bytes on rank 0, and its seal. Collective.
    fn read(&self, path: &Path, dataset: &str) -> Result<(Vec<u8>, Option<String>)> {
        let first = self.comm.rank() == 0;
        let input = Reader::open(&self.comm, path, Some(dataset))?;
        let [len] = input.cells::<1>()?;
        let size = std::fs::metadata(path).map_or(0, |about| about.len());
        let fits = match first && len as u64 > size {
            true => {
                Err(Error::io(format!("{}:/{dataset} claims to be longer than its file", path.display())))
            }
            false => Ok(()),
        };
        self.comm.agree(fits)?;
        let mut into = OnFirst { first, len, bytes: vec![0; if first { len } else { 0 }] };
        input.read_into(&mut into)?;
        Ok((into.bytes, input.text(SEAL).map(str::to_string)))
    }

    /// Whether it is a checkpoint of this kernel, as this program writes them.
    fn fits(&self, kernel: &str, path: &Path, header: &Header) -> Result<()> {
        let path = path.display();
        if header.version != VERSION {
            return Err(Error::io(format!(
                "{path} is a checkpoint of version {}; this program reads version {VERSION}",
                header.version
            ))
            .help("go on with the program that wrote it"));
        }
        if header.kernel != kernel {
            return Err(Error::io(format!(
                "{path} is a checkpoint of the kernel {}, not {kernel}",
                header.kernel
            ))
            .help(format!("go on with {}, or choose another directory", header.kernel)));
        }
        Ok(())
    }
}
