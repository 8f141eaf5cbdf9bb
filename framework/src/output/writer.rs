//! Writes distributed arrays into one HDF5 file, by all ranks together or one after the other.
//!
//! Which rank does what when. What HDF5 is told is in `hdf5`; reading is in `reader`.

use super::files::{self, Part};
use super::hdf5::{self, File, Object, Said};
use super::slab::{Numeric, Slab};
use super::{Attribute, Layout};
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::field::Field;
use std::path::{Path, PathBuf};

/// How the ranks get at a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
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
    /// With [`Way::Together`].
    shared: Option<File>,
}

/// The tag of the token that ranks pass on when they write in turn; on a communicator of the writer's own.
const TURN: i32 = 1;

impl Writer {
    /// Starts the file `path`, with all ranks together where the build and the engine can ([`Way::Together`]), in
    /// turn otherwise. Makes the folder. Collective.
    ///
    /// # Errors
    /// A file or folder that cannot be made; a build without HDF5.
    pub fn create(comm: &Comm, path: impl AsRef<Path>) -> Result<Writer> {
        let way = if hdf5::can_share(comm) { Way::Together } else { Way::InTurn };
        Self::create_by(comm, path.as_ref(), way)
    }

    /// As [`Writer::create`], always in turn: for file systems that MPI-IO does badly on. Collective.
    ///
    /// # Errors
    /// As [`Writer::create`].
    pub fn create_in_turn(comm: &Comm, path: impl AsRef<Path>) -> Result<Writer> {
        Self::create_by(comm, path.as_ref(), Way::InTurn)
    }

    fn create_by(comm: &Comm, path: &Path, way: Way) -> Result<Writer> {
        let comm = comm.dup()?;
        let prepared = hdf5::available().and_then(|()| {
            let part = files::part_of(path)?;
            let guard = (comm.rank() == 0).then(|| Part::create(path)).transpose()?;
            Ok((part, guard))
        });
        let (part, guard) = comm.agree(prepared)?;
        let shared = match way {
            Way::Together => File::create(&part, Some(&comm)).map(Some),
            Way::InTurn if comm.rank() == 0 => File::create(&part, None).and_then(File::close).map(|()| None),
            Way::InTurn => Ok(None),
        };
        let shared = comm.agree(shared.map_err(|said| trouble("create", path, None, &said)))?;
        Ok(Writer { comm, path: path.to_path_buf(), part, guard, shared })
    }

    /// How the ranks get at the file.
    pub fn way(&self) -> Way {
        if self.shared.is_some() { Way::Together } else { Way::InTurn }
    }

    /// The file's final name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes an array as the dataset `name`; a name such as `step-000010/temperature` makes the groups it goes
    /// through. Each rank writes its own block, straight from its storage and without its halo; the blocks together
    /// should cover the array, since cells that nobody writes are undefined. Collective.
    ///
    /// # Errors
    /// A name that is there already, a full disk and whatever else HDF5 reports.
    pub fn write<T: Numeric, const D: usize>(&mut self, name: &str, slab: &Slab<'_, T, D>) -> Result<()> {
        if let Some(file) = &self.shared {
            // MPI libraries are known to hang when the disk fills up under a collective write, so rank 0 claims the
            // space first.
            let made = create_dataset::<T, D>(file, name, slab.layout()).and_then(|()| file.extent(name));
            let claimed = made.map_err(self.words(name)).and_then(|extent| match extent {
                Some((at, bytes)) if self.comm.rank() == 0 => files::reserve(&self.part, at, bytes)
                    .map_err(|error| files::failure("write", &self.path, &error)),
                _ => Ok(()),
            });
            self.comm.agree(claimed)?;
            let written = file.write(name, slab).map_err(self.words(name));
            return self.comm.agree(written);
        }
        let first = self.comm.rank() == 0;
        self.in_turn(name, || {
            if !first && slab.layout().is_empty() {
                return Ok(());
            }
            let file = File::open(&self.part, true, None)?;
            if first {
                create_dataset::<T, D>(&file, name, slab.layout())?;
            }
            if !slab.layout().is_empty() {
                file.write(name, slab)?;
            }
            file.close()
        })
    }

    /// As [`write`](Writer::write), for a field. Collective.
    ///
    /// # Errors
    /// As [`write`](Writer::write).
    pub fn write_field<T: Numeric, const D: usize>(&mut self, name: &str, field: &Field<T, D>) -> Result<()> {
        let slab = self.comm.agree(Slab::of(field))?;
        self.write(name, &slab)
    }

    /// Gives a dataset, or the file itself (`"/"`), an attribute, replacing an older one of that name. Collective.
    ///
    /// # Errors
    /// Whatever HDF5 reports: a name that is not there, a text of more than 64 KiB.
    pub fn attribute(&mut self, object: &str, name: &str, value: impl Into<Attribute>) -> Result<()> {
        let value = value.into();
        let set = match &self.shared {
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
        let closed = match self.shared.take() {
            Some(file) => file.close().map_err(|said| trouble("write", &self.path, None, &said)),
            None => Ok(()),
        };
        self.comm.agree(closed)?;
        // Each rank may be on a node of its own with bytes of the file in its memory.
        let synchronised =
            files::synchronise(&self.part).map_err(|error| files::failure("write", &self.path, &error));
        self.comm.agree(synchronised)?;
        let named = self.guard.take().map_or(Ok(()), Part::commit);
        self.comm.agree(named)
    }

    fn words(&self, dataset: &str) -> impl Fn(String) -> Error {
        let (path, dataset) = (self.path.clone(), dataset.to_string());
        move |said| trouble("write", &path, Some(&dataset), &said)
    }

    /// Runs `f` on one rank after the other, in rank order. After a failure the ranks that follow do nothing, and
    /// every rank gets an error.
    fn in_turn(&self, name: &str, f: impl FnOnce() -> Said<()>) -> Result<()> {
        let (me, last) = (self.comm.rank(), self.comm.size() - 1);
        let mut go_on = [1u8];
        if me > 0 {
            self.comm.recv(&mut go_on, me - 1, TURN)?;
        }
        let mine = if go_on[0] == 1 { f().map_err(self.words(name)) } else { Ok(()) };
        if me < last {
            self.comm.send(&[go_on[0] & u8::from(mine.is_ok())], me + 1, TURN)?;
        }
        self.comm.agree(mine)
    }
}

fn create_dataset<T: Numeric, const D: usize>(file: &File, name: &str, layout: &Layout<D>) -> Said<()> {
    match file.object(name)? {
        Object::Missing => file.create_dataset(name, T::FORMAT, &layout.cells()),
        _ => Err("the file already has something of that name".into()),
    }
}

/// Gives what the library said its place and its remedy.
pub(super) fn trouble(verb: &str, path: &Path, dataset: Option<&str>, said: &str) -> Error {
    let mut place = path.display().to_string();
    if let Some(dataset) = dataset {
        place = format!("{place}:/{}", dataset.trim_start_matches('/'));
    }
    // The library wraps the system's words in much else.
    let system = said.split_once("error message = '").and_then(|(_, rest)| rest.split_once('\''));
    let said = system.map_or(said, |(words, _)| words);
    let error = Error::io(format!("cannot {verb} {place}: {said}"));
    let lower = said.to_lowercase();
    if lower.contains("lock file") {
        error.help("another program has it open, or the file system has no locks: then set HDF5_USE_FILE_LOCKING=FALSE")
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
