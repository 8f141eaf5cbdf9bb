//! Writes distributed arrays into one HDF5 file.
//!
//! Which rank does what when. What HDF5 is told is in `hdf5`, how elements get to their place without it in `direct`;
//! reading is in `reader`.

use super::files::{self, Part};
use super::hdf5::{self, File, Object, Said};
use super::partitioned::{Looked, Partitioned};
use super::slab::Format;
use super::storage::Storage;
use super::{Attribute, direct};
use crate::comm::{Comm, Element};
use crate::error::{Error, Result};
use crate::field::Field;
use crate::op::Max;
use std::path::{Path, PathBuf};

/// How the ranks get at a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Rank 0 lays the file out, and every rank writes its numbers straight to their place, all at the same time. What
    /// is chunked or converted goes through the library, in turn.
    Direct,
    /// All ranks have it open and write at the same time: parallel HDF5 over MPI.
    Together,
    /// One rank after the other opens it, writes its part and closes it.
    InTurn,
}

/// An HDF5 file being written: it appears under its name when it is [`finish`](Writer::finish)ed, and not at all if
/// the writer is dropped before.
///
/// Every method is collective over the communicator it was created with: all ranks call it, with the same names and
/// attributes. What fails on one rank is an error on all of them. A long run best writes one file for each moment it
/// shows, so that an interrupted run keeps what it has finished.
///
/// ```
/// # #[cfg(feature = "hdf5")]
/// rankine::testing::ranks([1, 2, 3], |world| {
///     use rankine::output::{Layout, Reader, Slab, SlabMut, Writer};
/// #   let folder = std::env::temp_dir().join(format!("rankine-doc-{}-{}", std::process::id(), world.size()));
///     let path = folder.join("fields.h5");
///     // Each rank owns two rows of three cells.
///     let layout = Layout::new([2 * world.size(), 3], [2 * world.rank(), 0], [2, 3], 0)?;
///     let temperature = vec![world.rank() as f64; 6];
///
///     let mut file = Writer::create(world, &path)?;
///     file.attribute("/", "kernel", "heat")?;
///     file.write("temperature", &Slab::new(&temperature, layout)?)?;
///     file.attribute("temperature", "unit", "K")?;
///     file.finish()?;
///
///     let input = Reader::open(world, &path, Some("temperature"))?;
///     assert_eq!(input.shape(), [2 * world.size(), 3]);
///     let mut back = vec![0.0; 6];
///     input.read_into(&mut SlabMut::new(&mut back, layout)?)?;
///     assert_eq!(back, temperature);
/// #   world.barrier()?;
/// #   if world.rank() == 0 { let _ = std::fs::remove_dir_all(&folder); }
///     Ok(())
/// });
/// ```
#[must_use = "the file appears when it is finished"]
pub struct Writer {
    comm: Comm,
    path: PathBuf,
    part: PathBuf,
    /// On rank 0.
    guard: Option<Part>,
    way: Way,
    /// With [`Way::Together`] on every rank, with [`Way::Direct`] on rank 0.
    open: Option<File>,
    /// With [`Way::Direct`].
    raw: Option<std::fs::File>,
}

/// The tag of the token that ranks pass on when they write in turn; on a communicator of the writer's own.
const TURN: i32 = 1;

impl Writer {
    /// Starts the file `path`, of the way [`Way::Direct`]. Makes the folder. Collective.
    ///
    /// # Errors
    /// A file or folder that cannot be made; a build without HDF5.
    pub fn create(comm: &Comm, path: impl AsRef<Path>) -> Result<Writer> {
        Self::create_by(comm, path.as_ref(), Way::Direct, Part::create)
    }

    /// As [`Writer::create`], in a folder that is there. Collective.
    ///
    /// # Errors
    /// As [`Writer::create`]; a folder that is gone.
    pub(crate) fn create_there(comm: &Comm, path: impl AsRef<Path>) -> Result<Writer> {
        Self::create_by(comm, path.as_ref(), Way::Direct, Part::create_there)
    }

    /// As [`Writer::create`], through parallel HDF5 and MPI-IO ([`Way::Together`]): for what is chunked, and for file
    /// systems that MPI-IO knows how to write on. Collective.
    ///
    /// # Errors
    /// As [`Writer::create`]; a build without parallel HDF5, or ranks that are not MPI's.
    pub fn create_together(comm: &Comm, path: impl AsRef<Path>) -> Result<Writer> {
        Self::create_by(comm, path.as_ref(), Way::Together, Part::create)
    }

    /// As [`Writer::create`], one rank after the other ([`Way::InTurn`]): for file systems on which several nodes
    /// cannot write into one file. Collective.
    ///
    /// # Errors
    /// As [`Writer::create`].
    pub fn create_in_turn(comm: &Comm, path: impl AsRef<Path>) -> Result<Writer> {
        Self::create_by(comm, path.as_ref(), Way::InTurn, Part::create)
    }

    fn create_by<'p>(
        comm: &Comm,
        path: &'p Path,
        way: Way,
        create: fn(&'p Path) -> Result<Part>,
    ) -> Result<Writer> {
        let comm = comm.dup()?;
        let first = comm.rank() == 0;
        let prepared = hdf5::available().and_then(|()| {
            if way == Way::Together && !hdf5::can_share(&comm) {
                return Err(Error::usage(format!("cannot write {} together", path.display())).help(
                    "that takes the Mpi engine and a build with parallel HDF5; Writer::create does without",
                ));
            }
            let part = files::part_of(path)?;
            let guard = first.then(|| create(path)).transpose()?;
            Ok((part, guard))
        });
        let (part, guard) = comm.agree(prepared)?;
        let open = match way {
            Way::Together => File::create(&part, Some(&comm)).map(Some),
            Way::Direct if first => File::create(&part, None).map(Some),
            Way::InTurn if first => File::create(&part, None).and_then(File::close).map(|()| None),
            _ => Ok(None),
        };
        let open = comm.agree(open.map_err(|said| trouble("create", path, None, &said)))?;
        Ok(Writer { comm, path: path.to_path_buf(), part, guard, way, open, raw: None })
    }

    /// How the ranks get at the file.
    pub fn way(&self) -> Way {
        self.way
    }

    /// The file's final name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes an array as the dataset `name`; a name such as `step-000010/temperature` makes the groups it goes
    /// through. Each rank writes its own part, straight from its storage and without its halo; the parts together
    /// should cover the array, since cells that nobody writes are undefined. Collective.
    ///
    /// # Errors
    /// A name that is there already, a full disk and whatever else HDF5 or the system reports.
    pub fn write<P: Partitioned + ?Sized>(&mut self, name: &str, array: &P) -> Result<()> {
        self.write_as(name, array, &Storage::new())
    }

    /// As [`write`](Writer::write), kept in the file as `storage` says. Collective.
    ///
    /// # Errors
    /// As [`write`](Writer::write); a storage that HDF5 does not have for such an array, or parallel HDF5 (chunks that are
    /// compressed or have checksums, of converted numbers); a number that does not fit its format.
    pub fn write_as<P: Partitioned + ?Sized>(
        &mut self,
        name: &str,
        array: &P,
        storage: &Storage,
    ) -> Result<()> {
        let looked = Looked::at(array).and_then(|looked| {
            storage.check(&looked.shape(), looked.shown.format)?;
            match self.way == Way::Together && storage.is_filtered_and_converted(looked.shown.format) {
                true => Err(Error::usage(format!(
                    "cannot write {name} together: parallel HDF5 does not filter chunks of converted numbers"
                ))
                .help(
                    "convert the array before, leave compression and checksums out, or use Writer::create",
                )),
                false => Ok(looked),
            }
        });
        let looked = self.comm.agree(looked)?;
        match self.way {
            Way::Direct if storage.is_plain(looked.shown.format) => self.write_direct(name, array, &looked),
            Way::Together => self.write_together(name, array, &looked, storage),
            Way::Direct | Way::InTurn => self.write_in_turn(name, array, &looked, storage),
        }
    }

    fn write_direct<P: Partitioned + ?Sized>(
        &mut self,
        name: &str,
        array: &P,
        looked: &Looked,
    ) -> Result<()> {
        // Where the numbers begin; nowhere, if there are none.
        const NOWHERE: u64 = u64::MAX;
        let laid = match &self.open {
            Some(file) => create_dataset(file, name, looked, &Storage::new())
                .and_then(|()| file.extent(name))
                .map_err(self.words(name))
                .and_then(|extent| match extent {
                    // The system may refuse the space now, on one rank, rather than later on all.
                    Some((at, bytes)) => files::reserve(&self.part, at, bytes)
                        .map(|()| at)
                        .map_err(|error| files::failure("write", &self.path, &error)),
                    None => Ok(NOWHERE),
                }),
            None => Ok(NOWHERE),
        };
        let mut at = [self.comm.agree(laid)?];
        self.comm.bcast(&mut at, 0)?;
        if at[0] == NOWHERE {
            return Ok(());
        }
        let written = match &mut self.raw {
            Some(raw) => Ok(&*raw),
            none => std::fs::File::options().write(true).open(&self.part).map(|file| &*none.insert(file)),
        };
        let written = written.and_then(|raw| direct::write(raw, at[0], array, looked));
        self.comm.agree(written.map_err(|error| files::failure("write", &self.path, &error)))
    }

    fn write_together<P: Partitioned + ?Sized>(
        &mut self,
        name: &str,
        array: &P,
        looked: &Looked,
        storage: &Storage,
    ) -> Result<()> {
        let Some(file) = &self.open else { return Ok(()) };
        // MPI libraries are known to hang when the disk fills up under a collective write, so rank 0 claims the
        // space first.
        let made = create_dataset(file, name, looked, storage).and_then(|()| file.extent(name));
        let claimed = made.map_err(self.words(name)).and_then(|extent| match extent {
            Some((at, bytes)) if self.comm.rank() == 0 => files::reserve(&self.part, at, bytes)
                .map_err(|error| files::failure("write", &self.path, &error)),
            _ => Ok(()),
        });
        self.comm.agree(claimed)?;
        if looked.is_empty() {
            return Ok(());
        }
        let rounds = self.comm.allreduce(looked.pieces.len(), Max)?;
        let written = file.write(name, array, looked, rounds).map_err(self.words(name));
        self.comm.agree(written)
    }

    fn write_in_turn<P: Partitioned + ?Sized>(
        &mut self,
        name: &str,
        array: &P,
        looked: &Looked,
        storage: &Storage,
    ) -> Result<()> {
        let laid_out = self.open.take();
        let first = self.comm.rank() == 0;
        let own = !looked.is_empty() && looked.pieces.iter().any(|piece| !piece.is_empty());
        let (part, words) = (&self.part, self.words(name));
        let mine = || {
            if let Some(file) = laid_out {
                file.close()?;
            }
            if !first && !own {
                return Ok(());
            }
            let file = File::open(part, true, None)?;
            if first {
                create_dataset(&file, name, looked, storage)?;
            }
            if own {
                file.write(name, array, looked, 0)?;
            }
            file.close()
        };
        let written = self.in_turn(|| mine().map_err(words));
        if self.way == Way::Direct {
            let open = if first { File::open(&self.part, true, None).map(Some) } else { Ok(None) };
            let open = self.comm.agree(open.map_err(|said| trouble("write", &self.path, None, &said)));
            // What went wrong first is the better reason.
            self.open = written.clone().and(open)?;
        }
        written
    }

    /// As [`write`](Writer::write), for a field. Collective.
    ///
    /// # Errors
    /// As [`write`](Writer::write).
    pub fn write_field<T: Element, const D: usize>(&mut self, name: &str, field: &Field<T, D>) -> Result<()> {
        self.write(name, field)
    }

    /// Gives a dataset, or the file itself (`"/"`), an attribute, replacing an older one of that name. Collective.
    ///
    /// # Errors
    /// Whatever HDF5 reports: a name that is not there, a text of more than 64 KiB.
    pub fn attribute(&mut self, object: &str, name: &str, value: impl Into<Attribute>) -> Result<()> {
        let value = value.into();
        let set = match &self.open {
            Some(file) => file.set_attribute(object, name, &value),
            None if self.comm.rank() == 0 => File::open(&self.part, true, None)
                .and_then(|file| file.set_attribute(object, name, &value).and_then(|()| file.close())),
            None => Ok(()),
        };
        let set = set.map_err(|said| {
            trouble("write", &self.path, Some(object), &format!("attribute {name:?}: {said}"))
        });
        self.comm.agree(set)
    }

    /// Closes the file, brings it to the disk and gives it its name. Collective.
    ///
    /// # Errors
    /// What the last bytes met on their way to the disk; the file does not appear then.
    pub fn finish(mut self) -> Result<()> {
        let closed = match self.open.take() {
            Some(file) => file.close().map_err(|said| trouble("write", &self.path, None, &said)),
            None => Ok(()),
        };
        self.comm.agree(closed)?;
        // Each rank may be on a node of its own with bytes of the file in its memory; threads are on one.
        let synchronised = match &self.raw {
            _ if self.comm.engine_name() == "local" => Ok(()),
            Some(raw) => raw.sync_all(),
            None => files::synchronise(&self.part),
        };
        self.raw = None;
        self.comm.agree(synchronised.map_err(|error| files::failure("write", &self.path, &error)))?;
        let named = self.guard.take().map_or(Ok(()), Part::commit);
        self.comm.agree(named)
    }

    fn words(&self, dataset: &str) -> impl Fn(String) -> Error {
        let (path, dataset) = (self.path.clone(), dataset.to_string());
        move |said| trouble("write", &path, Some(&dataset), &said)
    }

    /// Runs `f` on one rank after the other, in rank order. After a failure the ranks that follow do nothing, and
    /// every rank gets an error.
    fn in_turn(&self, f: impl FnOnce() -> Result<()>) -> Result<()> {
        let (me, last) = (self.comm.rank(), self.comm.size() - 1);
        let mut go_on = [1u8];
        if me > 0 {
            self.comm.recv(&mut go_on, me - 1, TURN)?;
        }
        let mine = if go_on[0] == 1 { f() } else { Ok(()) };
        if me < last {
            self.comm.send(&[go_on[0] & u8::from(mine.is_ok())], me + 1, TURN)?;
        }
        self.comm.agree(mine)
    }
}

fn create_dataset(file: &File, name: &str, looked: &Looked, storage: &Storage) -> Said<()> {
    match file.object(name)? {
        Object::Missing => {
            let format: Format = storage.format.unwrap_or(looked.shown.format);
            file.create_dataset(name, format, &looked.shape(), storage)
        }
        _ => Err("the file already has something of that name".into()),
    }
}

/// Gives what the library said its place and its remedy.
pub(super) fn trouble(verb: &str, path: &Path, dataset: Option<&str>, said: &str) -> Error {
    let mut place = path.display().to_string();
    if let Some(dataset) = dataset {
        place = format!("{place}:/{}", dataset.trim_start_matches('/'));
    }
    let (locked, unlockable) = (hdf5::locked(said), said.contains("lock file"));
    // The library wraps the system's words in much else.
    let system = said.split_once("error message = '").and_then(|(_, rest)| rest.split_once('\''));
    let said = system.map_or(said, |(words, _)| words);
    let error = Error::io(format!("cannot {verb} {place}: {said}"));
    let lower = said.to_lowercase();
    if locked {
        error.help("another program has it open: wait for its end, or stop it (lsof FILE names it)")
    } else if unlockable {
        error.help("the file system has no locks: set HDF5_USE_FILE_LOCKING=FALSE")
    } else if lower.contains("no space left") || lower.contains("quota") {
        error.help("free some space or choose a folder on another disk (df -h, quota)")
    } else if lower.contains("permission denied") {
        error.help("check the owner and mode of the file and its folder (ls -ld), or choose another")
    } else if verb == "read" {
        error.help("the file may be damaged or cut short; h5dump -H shows what can still be read")
    } else {
        error
    }
}
