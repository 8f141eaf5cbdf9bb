//! Reads a dataset of an HDF5 file into the blocks of a distributed array.
//!
//! Rank 0 looks at the file and tells the others what it is; then each rank reads its own block and nothing else.
//! What HDF5 is told is in `hdf5`; writing is in `writer`.

use super::hdf5::{self, File, Info, Object};
use super::partitioned::{Looked, PartitionedMut};
use super::slab::{Numeric, Slab, SlabMut};
use super::writer::trouble;
use super::{Attribute, InputSpec, direct, files};
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::field::Field;
use crate::op::{Min, Sum};
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::{Path, PathBuf};

/// A dataset to read; see [`Writer`](super::Writer) for an example.
pub struct Reader {
    comm: Comm,
    path: PathBuf,
    about: About,
}

/// What rank 0 found out.
#[derive(Serialize, Deserialize)]
struct About {
    dataset: String,
    info: Info,
}

/// More bytes a stored byte than any compression gives: such a shape is damage, not data.
const EXPANSION: u64 = 100_000;

impl Reader {
    /// Looks at the dataset of a file: its shape, element type and attributes. Without a name the file must have just
    /// one. Collective; all ranks give the same path and name.
    ///
    /// # Errors
    /// A file that is missing, closed to this user, not HDF5, cut short or damaged; a dataset that is not there (the
    /// error lists those that are), is not an array of numbers, or has no elements; a build without HDF5.
    pub fn open(comm: &Comm, path: impl AsRef<Path>, dataset: Option<&str>) -> Result<Reader> {
        Self::open_by(comm, path.as_ref(), dataset, false)
    }

    /// As [`Reader::open`], also of a dataset without elements. Collective.
    pub(crate) fn open_any(comm: &Comm, path: impl AsRef<Path>, dataset: &str) -> Result<Reader> {
        Self::open_by(comm, path.as_ref(), Some(dataset), true)
    }

    fn open_by(comm: &Comm, path: &Path, dataset: Option<&str>, empty: bool) -> Result<Reader> {
        let comm = comm.dup()?;
        let found = match comm.rank() {
            0 => hdf5::available().and_then(|()| look(path, dataset, empty)).and_then(|about| {
                serde_json::to_vec(&about)
                    .map_err(|error| Error::io(format!("cannot read {}: {error}", path.display())))
            }),
            _ => Ok(Vec::new()),
        };
        let mut text = comm.agree(found)?;
        let mut len = [text.len()];
        comm.bcast(&mut len, 0)?;
        text.resize(len[0], 0);
        comm.bcast(&mut text, 0)?;
        let about = serde_json::from_slice(&text)
            .map_err(|error| Error::io(format!("cannot read {}: {error}", path.display())));
        Ok(Reader { about: comm.agree(about)?, path: path.to_path_buf(), comm })
    }

    /// The names of a file's datasets, those in groups by their paths; sorted. Collective.
    ///
    /// # Errors
    /// A file that is missing, closed to this user, not HDF5 or damaged; a build without HDF5.
    pub fn datasets(comm: &Comm, path: impl AsRef<Path>) -> Result<Vec<String>> {
        let path = path.as_ref();
        let names = match comm.rank() {
            0 => hdf5::available().and_then(|()| readable(path)).and_then(|_| {
                let names = File::open(path, false, None).and_then(|file| {
                    let names = file.datasets()?;
                    file.close()?;
                    Ok(names)
                });
                names.map_err(|said| trouble("read", path, None, &said))
            }),
            _ => Ok(Vec::new()),
        };
        let mut names = comm.agree(names)?;
        names.sort();
        comm.bcast_value((comm.rank() == 0).then_some(names), 0)
    }

    /// As [`Reader::open`], for what a person named. Collective.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_spec(comm: &Comm, spec: &InputSpec) -> Result<Reader> {
        Self::open(comm, spec.file(), spec.dataset())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The dataset's name, from the root of the file.
    pub fn dataset(&self) -> &str {
        &self.about.dataset
    }

    /// The sizes of the dataset's axes, slowest first. None is zero.
    pub fn shape(&self) -> &[usize] {
        &self.about.info.shape
    }

    /// The sizes of the dataset's axes, if there are as many as the caller computes on. Local.
    ///
    /// # Errors
    /// Another number of axes: says what was found and what is needed.
    pub fn cells<const D: usize>(&self) -> Result<[usize; D]> {
        let shape = self.shape();
        shape.try_into().map_err(|_| {
            Error::io(format!("{} has {} axes, {shape:?}; {D} are needed", self.place(), shape.len()))
                .help(format!("choose a dataset of {D} axes (h5ls -r shows them)"))
        })
    }

    /// The element type in the file, as Rust would write it: `u8`, `f16`, `f64`.
    pub fn element(&self) -> &str {
        &self.about.info.kind
    }

    /// The dataset's attributes that are text or numbers, by name.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &Attribute)> {
        self.about.info.attributes.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// A text attribute of the dataset.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.attributes().find_map(|(found, value)| match value {
            Attribute::Text(text) if found == name => Some(text.as_str()),
            _ => None,
        })
    }

    /// An attribute of numbers of the dataset.
    pub fn numbers(&self, name: &str) -> Option<&[f64]> {
        self.attributes().find_map(|(found, value)| match value {
            Attribute::Numbers(numbers) if found == name => Some(numbers.as_slice()),
            _ => None,
        })
    }

    /// Reads this rank's part of an array into its storage, whatever number type the file has; HDF5 converts. What is
    /// around the part, such as a halo, is left as it is. Collective.
    ///
    /// Where the file's numbers are of the array's own type and lie there in one piece, each rank reads them straight
    /// from their place; otherwise through the library, what is its own and nothing else.
    ///
    /// # Errors
    /// An array of another shape than the dataset's; a number that the array's type cannot hold (floats are rounded);
    /// a file that changed or is damaged. Every rank gets one.
    pub fn read_into<P: PartitionedMut + ?Sized>(&self, array: &mut P) -> Result<()> {
        self.read_from(None, array)
    }

    /// As [`read_into`](Reader::read_into), the part of the dataset that begins at index `start` and has the array's
    /// shape. Collective.
    ///
    /// # Errors
    /// As [`read_into`](Reader::read_into); a part that does not lie in the dataset.
    pub fn read_region<P: PartitionedMut + ?Sized>(&self, start: &[usize], array: &mut P) -> Result<()> {
        self.read_from(Some(start), array)
    }

    fn read_from<P: PartitionedMut + ?Sized>(&self, from: Option<&[usize]>, array: &mut P) -> Result<()> {
        let looked = Looked::at(array).and_then(|looked| {
            let (has, wanted) = (self.shape(), looked.shape());
            let inside = |from: &[usize]| {
                let end = |axis: usize| from[axis].checked_add(wanted[axis]);
                from.len() == has.len()
                    && wanted.len() == has.len()
                    && (0..has.len()).all(|axis| end(axis).is_some_and(|end| end <= has[axis]))
            };
            match from {
                None if has == wanted => Ok(looked),
                None => Err(Error::io(format!(
                    "{} has the shape {has:?}; the array to fill has {wanted:?}",
                    self.place()
                ))),
                Some(from) if inside(from) => Ok(looked),
                Some(from) => Err(Error::io(format!(
                    "{} has the shape {has:?}: {wanted:?} elements from {from:?} on do not lie in it",
                    self.place()
                ))),
            }
        });
        let looked = self.comm.agree(looked)?;
        let info = &self.about.info;
        let words = |said: String| trouble("read", &self.path, Some(&self.about.dataset), &said);
        let own = looked.pieces.iter().any(|piece| !piece.is_empty());
        let read = match info.at.filter(|_| info.native == Some(looked.shown.format) && from.is_none()) {
            _ if !own => Ok(()),
            Some(at) => std::fs::File::open(&self.path)
                .and_then(|file| direct::read(&file, at, array, &looked).map_err(direct::cut_short))
                .map_err(|error| words(error.to_string())),
            None => readable(&self.path).and_then(|_| {
                File::open(&self.path, false, None)
                    .and_then(|file| {
                        file.read(&self.about.dataset, array, &looked, from).and_then(|()| file.close())
                    })
                    .map_err(words)
            }),
        };
        array.settle();
        self.comm.agree(read)
    }

    /// As [`read_finite`](Reader::read_finite), into a field. Collective.
    ///
    /// # Errors
    /// As [`read_finite`](Reader::read_finite).
    pub fn read_field<T: Numeric, const D: usize>(&self, field: &mut Field<T, D>) -> Result<()> {
        let mut slab = self.comm.agree(SlabMut::of(field))?;
        self.read_finite(&mut slab)
    }

    /// As [`read_into`](Reader::read_into), and refuses numbers that are not finite; see [`check_finite`]. Collective.
    ///
    /// # Errors
    /// Those of both.
    pub fn read_finite<T: Numeric, const D: usize>(&self, slab: &mut SlabMut<'_, T, D>) -> Result<()> {
        self.read_into(slab)?;
        check_finite(&self.comm, &slab.view(), &self.place())
    }

    fn place(&self) -> String {
        format!("{}:{}", self.path.display(), self.about.dataset)
    }
}

/// Refuses an array with NaN or infinities in it: says how many cells have one, and which is the first. `what` names
/// the array in the error. Collective.
///
/// # Errors
/// One on every rank if any cell of any rank is not finite.
pub fn check_finite<T: Numeric, const D: usize>(
    comm: &Comm,
    slab: &Slab<'_, T, D>,
    what: &str,
) -> Result<()> {
    let cells = slab.layout().cells();
    let (mut bad, mut first) = (0u64, u64::MAX);
    for (global, row) in slab.layout().rows() {
        let at = global.iter().zip(&cells).fold(0, |at, (index, size)| at * *size as u64 + *index as u64);
        for (step, value) in slab.storage()[row].iter().enumerate() {
            if !value.to_f64().is_finite() {
                bad += 1;
                first = first.min(at + step as u64);
            }
        }
    }
    let all = comm.allreduce(bad, Sum)?;
    if all == 0 {
        return Ok(());
    }
    let mut rest = comm.allreduce(first, Min)?;
    let mut index = [0; D];
    for axis in (0..D).rev() {
        index[axis] = (rest % cells[axis] as u64) as usize;
        rest /= cells[axis] as u64;
    }
    let cells = if all == 1 { "one cell is".to_string() } else { format!("{all} cells are") };
    comm.agree(Err(Error::io(format!("{what}: {cells} NaN or infinite, the first at index {index:?}"))
        .help("replace them in the file; they would spread over the whole array")))
}

/// Rank 0's look at the file.
fn look(path: &Path, dataset: Option<&str>, empty: bool) -> Result<About> {
    let size = readable(path)?;
    let words = |said: String| {
        let said = match said.contains("truncated file") {
            true => format!("it is cut short ({said})"),
            false => said,
        };
        trouble("read", path, None, &said)
    };
    let file = File::open(path, false, None).map_err(words)?;
    let dataset = match dataset {
        Some(name) => format!("/{}", name.trim_matches('/')),
        None => only_dataset(&file, path)?,
    };
    let place = format!("{}:{dataset}", path.display());
    let refuse = |what: &str, help: String| Err(Error::io(format!("{place} {what}")).help(help));
    let here = || listed(&file.datasets().unwrap_or_default());
    match file.object(&dataset).map_err(words)? {
        Object::Dataset => {}
        Object::Missing => return Err(missing(&place, &dataset, &file.datasets().unwrap_or_default())),
        Object::Group => return refuse("is a group, not a dataset", here()),
        Object::Other => return refuse("is a named type, not a dataset", here()),
        Object::Broken => {
            return refuse("cannot be opened: the file is damaged, or a link leads nowhere", here());
        }
    }
    let info = file
        .info(&dataset)
        .map_err(|said| trouble("read", path, Some(&dataset), &format!("the file is damaged: {said}")))?;
    if !info.numeric {
        return refuse(&format!("holds {}, not numbers", info.kind), here());
    }
    if info.shape.is_empty() {
        return refuse("is a single value or empty, not an array", here());
    }
    if info.shape.contains(&0) {
        if empty {
            return Ok(About { dataset, info });
        }
        return refuse(&format!("has no elements: its shape is {:?}", info.shape), here());
    }
    let elements = super::slab::product(&info.shape).map(|elements| elements as u64);
    let possible = info.stored.min(size).saturating_mul(EXPANSION);
    if info.stored == 0 || elements.is_none_or(|elements| elements > possible) {
        return refuse(
            &format!(
                "has the shape {:?}, but the file holds {} bytes for it: nobody wrote it, or the file is damaged",
                info.shape, info.stored
            ),
            "write the file again; h5dump -p -H shows what it says of itself".into(),
        );
    }
    Ok(About { dataset, info })
}

/// Whether the file is there, may be read and is HDF5; its size.
pub(super) fn readable(path: &Path) -> Result<u64> {
    let words = |error: std::io::Error| files::failure("read", path, &error);
    let about = std::fs::metadata(path).map_err(words)?;
    let place = path.display();
    if !about.is_file() {
        let what = if about.is_dir() { "a folder" } else { "not an ordinary file" };
        return Err(
            Error::io(format!("cannot read {place}: it is {what}")).help("give the name of an HDF5 file")
        );
    }
    let mut file = std::fs::File::open(path).map_err(words)?;
    if about.len() == 0 {
        return Err(
            Error::io(format!("cannot read {place}: it is empty")).help("give the name of an HDF5 file")
        );
    }
    // The signature is at the start, or at 512, 1024, 2048 … bytes after a block of the user's own.
    let mut at = 0u64;
    while at < about.len() {
        use std::io::Seek;
        let mut signature = [0u8; 8];
        file.seek(std::io::SeekFrom::Start(at)).map_err(words)?;
        if file.read_exact(&mut signature).is_ok() && &signature == b"\x89HDF\r\n\x1a\n" {
            return Ok(about.len());
        }
        at = if at == 0 { 512 } else { at * 2 };
    }
    Err(Error::io(format!("cannot read {place}: it is not an HDF5 file"))
        .help("give the name of an HDF5 file"))
}

fn only_dataset(file: &File, path: &Path) -> Result<String> {
    let mut all = file.datasets().map_err(|said| trouble("read", path, None, &said))?;
    if all.len() == 1 {
        return Ok(all.remove(0));
    }
    let what = if all.is_empty() { "no dataset" } else { "several datasets" };
    Err(Error::io(format!("{} has {what}", path.display())).help(match all.first() {
        None => "choose another file".into(),
        Some(first) => format!("name one, as in {}:{first}; {}", path.display(), listed(&all)),
    }))
}

fn missing(place: &str, dataset: &str, all: &[String]) -> Error {
    let nearest = all
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&name.to_lowercase(), &dataset.to_lowercase()), name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 3);
    let help = match nearest {
        Some((_, name)) => format!("did you mean {name}? {}", listed(all)),
        None => listed(all),
    };
    Error::io(format!("{place}: there is no such dataset")).help(help)
}

fn listed(all: &[String]) -> String {
    const SHOWN: usize = 20;
    match all.len() {
        0 => "the file has no datasets".into(),
        n if n <= SHOWN => format!("the file has {}", all.join(", ")),
        n => format!("the file has {} and {} more", all[..SHOWN].join(", "), n - SHOWN),
    }
}
