//! The HDF5 library, made safe: files, datasets, attributes, one rank's block in and out. All `unsafe` HDF5 is here.
//!
//! Every call holds the library's lock, since it need not be thread-safe and the ranks of the Local engine are
//! threads. Nothing here decides which rank does what when (that is `writer` and `reader`), and nothing here words
//! errors for people beyond what the library says: an error is a `String`. The library never prints.

use super::partitioned::{Looked, Partitioned, PartitionedMut, Piece};
use super::slab::Format;
use super::storage::Storage;
use super::{Attribute, hdf5::Object::*};
use crate::comm::Comm;
use ::hdf5::sync::sync;
use hdf5_sys::h5::{H5_INDEX_NAME, H5_ITER_INC, H5free_memory, hsize_t};
use hdf5_sys::h5a::*;
use hdf5_sys::h5d::*;
use hdf5_sys::h5e::{H5E_DEFAULT, H5E_WALK_UPWARD, H5E_error2_t, H5Ewalk2};
use hdf5_sys::h5f::*;
use hdf5_sys::h5g::{H5G_info_t, H5Gget_info_by_name};
use hdf5_sys::h5i::{H5I_DATASET, H5I_GROUP, H5Iget_type, hid_t};
use hdf5_sys::h5l::{H5Lexists, H5Lget_name_by_idx};
use hdf5_sys::h5o::{H5Oclose, H5Oopen};
use hdf5_sys::h5p::*;
use hdf5_sys::h5s::*;
use hdf5_sys::h5t::*;
use hdf5_sys::h5z::{H5Z_FILTER_DEFLATE, H5Zfilter_avail};
use std::cell::UnsafeCell;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::path::Path;
use std::ptr;

/// What the library said.
pub(super) type Said<T> = Result<T, String>;

/// Longest text and most numbers that are read from one attribute.
const ATTRIBUTE_LIMIT: usize = 1 << 20;

/// Datasets and groups looked at when a file is listed; a file may be hostile.
const LIST_LIMIT: usize = 1000;

/// Whether this build can use HDF5 at all; the error otherwise.
pub(super) fn available() -> crate::Result<()> {
    Ok(())
}

/// Whether all ranks of `comm` can have one file open together.
pub(super) fn can_share(comm: &Comm) -> bool {
    match comm.engine() {
        #[cfg(feature = "hdf5-parallel")]
        crate::engine::Engine::Mpi(_) => true,
        _ => false,
    }
}

/// Runs one call of the library under its lock; a negative answer is a failure, worded by the library.
fn call<R: Copy + Into<i64>>(f: impl FnOnce() -> R) -> Said<R> {
    sync(|| {
        let answer = f();
        if answer.into() < 0 { Err(last_words()) } else { Ok(answer) }
    })
}

/// The most specific words on the library's error stack. Called under the lock, right after a failure.
fn last_words() -> String {
    unsafe extern "C" fn collect(_: c_uint, error: *const H5E_error2_t, to: *mut c_void) -> c_int {
        // SAFETY: the library passes a record that is valid during this call, and `to` as given below.
        let (error, to) = unsafe { (&*error, &mut *to.cast::<Vec<String>>()) };
        if !error.desc.is_null() {
            // SAFETY: a description is a C string owned by the record.
            to.push(unsafe { CStr::from_ptr(error.desc) }.to_string_lossy().into_owned());
        }
        0
    }
    let mut words: Vec<String> = Vec::new();
    let to: *mut c_void = (&raw mut words).cast();
    sync(|| {
        // SAFETY: `collect` has the type the library wants, and `to` outlives the walk.
        unsafe { H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, Some(collect), to) }
    });
    // The innermost record says why; the outermost repeats which call was made.
    words
        .into_iter()
        .find(|words| !words.is_empty())
        .unwrap_or_else(|| "the HDF5 library gives no reason".into())
}

fn c_string(text: &str) -> Said<CString> {
    CString::new(text).map_err(|_| format!("{text:?} contains a zero byte"))
}

/// An identifier of the library, given back when dropped.
struct Id {
    id: hid_t,
    close: unsafe extern "C" fn(hid_t) -> c_int,
}

impl Id {
    fn new(close: unsafe extern "C" fn(hid_t) -> c_int, make: impl FnOnce() -> hid_t) -> Said<Id> {
        Ok(Id { id: call(make)?, close })
    }

    fn close(self) -> Said<()> {
        let (id, close) = (self.id, self.close);
        std::mem::forget(self);
        // SAFETY: `id` is open, this is its only close, and `close` is the function for its class.
        call(|| unsafe { close(id) }).map(drop)
    }
}

impl Drop for Id {
    fn drop(&mut self) {
        // SAFETY: as in `Id::close`.
        sync(|| unsafe { (self.close)(self.id) });
    }
}

/// What a name in a file leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    Missing,
    Dataset,
    Group,
    /// A named type.
    Other,
    /// There is a name, but nothing that can be opened behind it.
    Broken,
}

/// What is known of a dataset without reading it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Info {
    /// Sizes of its axes; none for a scalar.
    pub shape: Vec<usize>,
    /// Its element type in words, such as `u8`, `f16` or `a compound type`.
    pub kind: String,
    /// Whether its elements are integers or floats.
    pub numeric: bool,
    /// The number of this machine that its elements are, bit for bit.
    pub native: Option<Format>,
    /// The byte of the file where its elements begin, if they lie there in one piece, row-major.
    pub at: Option<u64>,
    /// Whether it is compressed or otherwise filtered.
    pub filtered: bool,
    /// Bytes it has in the file.
    pub stored: u64,
    pub attributes: Vec<(String, Attribute)>,
}

/// An open file, of one rank or of all ranks of a communicator together.
pub(super) struct File {
    /// `None` once closed.
    id: Option<Id>,
    together: bool,
}

impl File {
    /// Creates a file, replacing what is there. With a communicator it is open on all its ranks: a collective call,
    /// and so is everything done to it except reading.
    pub fn create(path: &Path, together: Option<&Comm>) -> Said<File> {
        Self::open_or_create(path, H5F_ACC_TRUNC, together)
    }

    /// Opens a file that is there, to add to it if `write`. With a communicator as in [`File::create`].
    pub fn open(path: &Path, write: bool, together: Option<&Comm>) -> Said<File> {
        Self::open_or_create(path, if write { H5F_ACC_RDWR } else { H5F_ACC_RDONLY }, together)
    }

    fn open_or_create(path: &Path, flags: c_uint, together: Option<&Comm>) -> Said<File> {
        use std::os::unix::ffi::OsStrExt;
        let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| "its name contains a zero byte")?;
        // SAFETY: the class is one of the library's own; it is read under the lock, after initialisation.
        let access = Id::new(H5Pclose, || unsafe { H5Pcreate(*H5P_CLS_FILE_ACCESS) })?;
        if let Some(comm) = together {
            share(&access, comm)?;
        }
        let id = Id::new(H5Fclose, || {
            if flags == H5F_ACC_TRUNC {
                // SAFETY: `name` and `access` live through the call.
                unsafe { H5Fcreate(name.as_ptr(), flags, H5P_DEFAULT, access.id) }
            } else {
                // SAFETY: as above.
                unsafe { H5Fopen(name.as_ptr(), flags, access.id) }
            }
        });
        // The library says only at which of its own calls it noticed.
        let gone = |folder: &Path| !folder.as_os_str().is_empty() && !folder.is_dir();
        let id = match path.parent() {
            Some(folder) if id.is_err() && flags == H5F_ACC_TRUNC && gone(folder) => {
                return Err(format!("the folder {} is gone", folder.display()));
            }
            _ => id?,
        };
        Ok(File { id: Some(id), together: together.is_some() })
    }

    fn id(&self) -> hid_t {
        self.id.as_ref().map_or(-1, |id| id.id)
    }

    /// Brings everything to the file and closes it. Collective for a file that is open together.
    pub fn close(mut self) -> Said<()> {
        let Some(id) = self.id.take() else { return Ok(()) };
        // SAFETY: the identifier is open.
        let flushed = call(|| unsafe { H5Fflush(id.id, H5F_SCOPE_GLOBAL) });
        let closed = id.close();
        flushed.and(closed)
    }

    /// What `name` leads to.
    pub fn object(&self, name: &str) -> Said<Object> {
        let mut so_far = String::new();
        for part in name.split('/').filter(|part| !part.is_empty()) {
            so_far.push('/');
            so_far.push_str(part);
            let link = c_string(&so_far)?;
            // SAFETY: the file is open and `link` lives through the call.
            if call(|| unsafe { H5Lexists(self.id(), link.as_ptr(), H5P_DEFAULT) }).unwrap_or(0) == 0 {
                return Ok(Missing);
            }
        }
        if so_far.is_empty() {
            return Ok(Group);
        }
        let Ok(object) = self.open_object(&so_far) else { return Ok(Broken) };
        // SAFETY: the object is open.
        Ok(match sync(|| unsafe { H5Iget_type(object.id) }) {
            H5I_DATASET => Dataset,
            H5I_GROUP => Group,
            _ => Other,
        })
    }

    fn open_object(&self, name: &str) -> Said<Id> {
        let name = c_string(name)?;
        // SAFETY: the file is open and `name` lives through the call.
        Id::new(H5Oclose, || unsafe { H5Oopen(self.id(), name.as_ptr(), H5P_DEFAULT) })
    }

    /// The names of the datasets in the file, from its root, in order; of a very large file only some.
    pub fn datasets(&self) -> Said<Vec<String>> {
        let (mut found, mut groups, mut seen) = (Vec::new(), vec![(String::new(), 0)], 0);
        while let Some((group, depth)) = groups.pop() {
            for name in self.names_in(if group.is_empty() { "/" } else { &group })? {
                seen += 1;
                let name = format!("{group}/{name}");
                match self.object(&name)? {
                    _ if seen > LIST_LIMIT => break,
                    Dataset => found.push(name),
                    // A group may contain itself.
                    Group if depth < 8 => groups.push((name, depth + 1)),
                    _ => {}
                }
            }
        }
        found.sort();
        Ok(found)
    }

    fn names_in(&self, group: &str) -> Said<Vec<String>> {
        let group = c_string(group)?;
        let mut info = H5G_info_t::default();
        // SAFETY: the file is open; `group` and `info` live through the call.
        call(|| unsafe { H5Gget_info_by_name(self.id(), group.as_ptr(), &raw mut info, H5P_DEFAULT) })?;
        let mut names = Vec::new();
        for index in 0..info.nlinks.min(LIST_LIMIT as u64) {
            let mut text = vec![0u8; 1024];
            // SAFETY: the library writes at most `text.len()` bytes, a zero byte included.
            call(|| unsafe {
                H5Lget_name_by_idx(
                    self.id(),
                    group.as_ptr(),
                    H5_INDEX_NAME,
                    H5_ITER_INC,
                    index,
                    text.as_mut_ptr().cast(),
                    text.len(),
                    H5P_DEFAULT,
                ) as i64
            })?;
            names.push(text_of(&text));
        }
        Ok(names)
    }

    /// Makes a dataset of the shape `cells`, and the groups its name goes through. Its numbers are undefined until
    /// every cell has been written.
    pub fn create_dataset(&self, name: &str, format: Format, cells: &[usize], storage: &Storage) -> Said<()> {
        let name = c_string(name)?;
        let space = Space::of(cells)?;
        // SAFETY: the class is one of the library's own.
        let links = Id::new(H5Pclose, || unsafe { H5Pcreate(*H5P_CLS_LINK_CREATE) })?;
        // SAFETY: the list is open and of this class.
        call(|| unsafe { H5Pset_create_intermediate_group(links.id, 1) })?;
        // SAFETY: the class is one of the library's own.
        let how = Id::new(H5Pclose, || unsafe { H5Pcreate(*H5P_CLS_DATASET_CREATE) })?;
        // Ranks write into a file of its final size, and nobody writes zeros there first. Without times the same
        // numbers give the same bytes.
        if storage.chunk.is_none() {
            // SAFETY: the list is open and of this class.
            call(|| unsafe { H5Pset_alloc_time(how.id, H5D_ALLOC_TIME_EARLY) })?;
            // SAFETY: as above.
            call(|| unsafe { H5Pset_fill_time(how.id, H5D_FILL_TIME_NEVER) })?;
        }
        // SAFETY: as above.
        call(|| unsafe { H5Pset_obj_track_times(how.id, 0) })?;
        if let Some(chunk) = &storage.chunk {
            let sizes: Vec<hsize_t> = chunk.iter().map(|&size| size as hsize_t).collect();
            // SAFETY: the list is open, and `sizes` has as many elements as it says.
            call(|| unsafe { H5Pset_chunk(how.id, sizes.len() as c_int, sizes.as_ptr()) })?;
            if storage.shuffle {
                // SAFETY: as above.
                call(|| unsafe { H5Pset_shuffle(how.id) })?;
            }
            if let Some(level) = storage.deflate {
                // SAFETY: no pointers.
                if call(|| unsafe { H5Zfilter_avail(H5Z_FILTER_DEFLATE) })? == 0 {
                    return Err("this HDF5 library was built without compression (deflate)".into());
                }
                // SAFETY: as above.
                call(|| unsafe { H5Pset_deflate(how.id, level.into()) })?;
            }
            if storage.checksums {
                // SAFETY: as above.
                call(|| unsafe { H5Pset_fletcher32(how.id) })?;
            }
        }
        // SAFETY: every identifier is open, and `name` lives through the call.
        let dataset = Id::new(H5Dclose, || unsafe {
            H5Dcreate2(self.id(), name.as_ptr(), native(format), space.id.id, links.id, how.id, H5P_DEFAULT)
        })?;
        dataset.close()
    }

    /// Where in the file the numbers of a dataset lie, and how many bytes they take, if they lie in one piece.
    pub fn extent(&self, name: &str) -> Said<Option<(u64, u64)>> {
        let dataset = self.open_dataset(name)?;
        // SAFETY: the dataset is open.
        let (at, bytes) = sync(|| unsafe { (H5Dget_offset(dataset.id), H5Dget_storage_size(dataset.id)) });
        // The library's word for "nowhere" is the largest number.
        Ok((at != u64::MAX && bytes > 0).then_some((at, bytes)))
    }

    /// Writes this rank's pieces, straight from their storage. A number that the file's type cannot hold is an error.
    /// On a file that is open together every rank calls it, also one without pieces; `rounds` is then the most pieces
    /// that a rank has.
    pub fn write<P: Partitioned + ?Sized>(
        &self,
        name: &str,
        array: &P,
        looked: &Looked,
        rounds: usize,
    ) -> Said<()> {
        let (none, elements) = (nothing(looked), looked.ordered(array));
        let mut failed = Ok(());
        for round in 0..rounds.max(looked.pieces.len()) {
            let piece = looked.pieces.get(round).unwrap_or(&none);
            let transfer = Transfer::new(self, name, looked, piece, None, self.together)?;
            let data: *const c_void = elements[base(piece)..].as_ptr().cast();
            transfer.check()?;
            // SAFETY: the memory space has the shape of what is stored from there on (a piece was compared with its
            // storage when it was looked at), so every selected element is inside it; the type is that of the
            // elements; all identifiers are open, and the record of misfits outlives the call.
            let written = call(|| unsafe {
                H5Dwrite(
                    transfer.dataset.id,
                    native(looked.shown.format),
                    transfer.memory.id.id,
                    transfer.file.id.id,
                    transfer.how.id,
                    data,
                )
            });
            // Every rank goes through all rounds, also after an error.
            failed = failed.and(transfer.misfits(written)).and(transfer.dataset.close());
        }
        failed
    }

    /// Reads this rank's pieces into their storage, converting to their type; what is around them is left as it is. A
    /// number that the type cannot hold is an error. `from` is where in the dataset the array begins, if it is a part
    /// of it. Each rank reads alone.
    pub fn read<P: PartitionedMut + ?Sized>(
        &self,
        name: &str,
        array: &mut P,
        looked: &Looked,
        from: Option<&[usize]>,
    ) -> Said<()> {
        for piece in &looked.pieces {
            let transfer = Transfer::new(self, name, looked, piece, from, false)?;
            let data: *mut c_void = array.elements_mut()[base(piece)..].as_mut_ptr().cast();
            transfer.check()?;
            // SAFETY: as in `write`; the storage is borrowed mutably, and any bytes are an element.
            let read = call(|| unsafe {
                H5Dread(
                    transfer.dataset.id,
                    native(looked.shown.format),
                    transfer.memory.id.id,
                    transfer.file.id.id,
                    transfer.how.id,
                    data,
                )
            });
            transfer.misfits(read)?;
        }
        Ok(())
    }

    /// What is known of the dataset `name`.
    pub fn info(&self, name: &str) -> Said<Info> {
        let dataset = self.open_dataset(name)?;
        // SAFETY: the dataset is open.
        let space = Id::new(H5Sclose, || unsafe { H5Dget_space(dataset.id) })?;
        // SAFETY: the dataset is open.
        let kind = Id::new(H5Tclose, || unsafe { H5Dget_type(dataset.id) })?;
        // SAFETY: the dataset is open.
        let how = Id::new(H5Pclose, || unsafe { H5Dget_create_plist(dataset.id) })?;
        let (words, numeric) = kind_of(&kind);
        Ok(Info {
            shape: shape_of(&space)?,
            kind: words,
            numeric,
            native: native_of(&kind)?,
            at: self.extent(name)?.map(|(at, _)| at),
            // SAFETY: the list is open.
            filtered: call(|| unsafe { H5Pget_nfilters(how.id) })? > 0,
            // SAFETY: the dataset is open.
            stored: sync(|| unsafe { H5Dget_storage_size(dataset.id) }),
            attributes: attributes_of(&dataset)?,
        })
    }

    fn open_dataset(&self, name: &str) -> Said<Id> {
        let name = c_string(name)?;
        // SAFETY: the file is open and `name` lives through the call.
        Id::new(H5Dclose, || unsafe { H5Dopen2(self.id(), name.as_ptr(), H5P_DEFAULT) })
    }

    /// Gives the file (`/`), a group or a dataset an attribute, replacing an older one.
    pub fn set_attribute(&self, object: &str, name: &str, value: &Attribute) -> Said<()> {
        let object = self.open_object(object)?;
        let name = c_string(name)?;
        // SAFETY: the object is open and `name` lives through the call.
        if call(|| unsafe { H5Aexists(object.id, name.as_ptr()) })? > 0 {
            // SAFETY: as above.
            call(|| unsafe { H5Adelete(object.id, name.as_ptr()) })?;
        }
        let (kind, space, data): (Option<Id>, _, *const c_void) = match value {
            Attribute::Text(text) => {
                // SAFETY: a copy of one of the library's own types.
                let kind = Id::new(H5Tclose, || unsafe { H5Tcopy(*H5T_C_S1) })?;
                // SAFETY: the copy is open and ours to change; no string type has size 0.
                call(|| unsafe { H5Tset_size(kind.id, text.len().max(1)) })?;
                // SAFETY: as above.
                call(|| unsafe { H5Tset_strpad(kind.id, H5T_STR_NULLPAD) })?;
                // SAFETY: as above.
                call(|| unsafe { H5Tset_cset(kind.id, H5T_CSET_UTF8) })?;
                let data = if text.is_empty() { c"".as_ptr().cast() } else { text.as_ptr().cast() };
                (Some(kind), Space::scalar()?, data)
            }
            Attribute::Numbers(numbers) if numbers.len() == 1 => {
                (None, Space::scalar()?, numbers.as_ptr().cast())
            }
            Attribute::Numbers(numbers) => (None, Space::of(&[numbers.len()])?, numbers.as_ptr().cast()),
        };
        let id = |kind: &Option<Id>| kind.as_ref().map_or_else(|| native(Format::F64), |kind| kind.id);
        // SAFETY: every identifier is open, and `name` lives through the call.
        let attribute = Id::new(H5Aclose, || unsafe {
            H5Acreate2(object.id, name.as_ptr(), id(&kind), space.id.id, H5P_DEFAULT, H5P_DEFAULT)
        })?;
        // SAFETY: `data` has as many bytes as the type and the space say: the text's or the numbers'.
        call(|| unsafe { H5Awrite(attribute.id, id(&kind), data) })?;
        attribute.close()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // Closing a file that is open together waits for all ranks. A file dropped without `close` is one of a rank
        // that failed, perhaps alone: it is left to the library, which closes it when MPI ends.
        if self.together
            && let Some(id) = self.id.take()
        {
            std::mem::forget(id);
        }
    }
}

#[cfg(feature = "hdf5-parallel")]
fn share(access: &Id, comm: &Comm) -> Said<()> {
    let crate::engine::Engine::Mpi(engine) = comm.engine() else {
        return Err("only the ranks of MPI can have a file open together".into());
    };
    let (comm, hints) = engine.raw();
    // SAFETY: the list is open and of its class, the communicator is alive, and the library makes its own duplicate
    // of it.
    call(|| unsafe { H5Pset_fapl_mpio(access.id, comm, hints) }).map(drop)
}

#[cfg(not(feature = "hdf5-parallel"))]
fn share(_: &Id, _: &Comm) -> Said<()> {
    Err("this build has no parallel HDF5".into())
}

/// A shape, with or without a selection.
struct Space {
    id: Id,
}

impl Space {
    fn of(sizes: &[usize]) -> Said<Space> {
        let sizes: Vec<hsize_t> = sizes.iter().map(|&size| size as hsize_t).collect();
        // SAFETY: `sizes` has as many elements as the rank says.
        let id = Id::new(H5Sclose, || unsafe {
            H5Screate_simple(sizes.len() as c_int, sizes.as_ptr(), ptr::null())
        })?;
        Ok(Space { id })
    }

    fn scalar() -> Said<Space> {
        // SAFETY: no pointers.
        Ok(Space { id: Id::new(H5Sclose, || unsafe { H5Screate(H5S_SCALAR) })? })
    }

    /// Selects the box of `count` from `start`.
    fn select(&self, start: &[usize], count: &[usize]) -> Said<()> {
        if count.contains(&0) {
            // SAFETY: the space is open.
            return call(|| unsafe { H5Sselect_none(self.id.id) }).map(drop);
        }
        let start: Vec<hsize_t> = start.iter().map(|&n| n as hsize_t).collect();
        let count: Vec<hsize_t> = count.iter().map(|&n| n as hsize_t).collect();
        // SAFETY: the space is open; the caller gives as many numbers as it has axes (see `Transfer::new`).
        call(|| unsafe {
            H5Sselect_hyperslab(
                self.id.id,
                H5S_SELECT_SET,
                start.as_ptr(),
                ptr::null(),
                count.as_ptr(),
                ptr::null(),
            )
        })
        .map(drop)
    }
}

/// What one read or write needs beside the data.
struct Transfer {
    dataset: Id,
    memory: Space,
    file: Space,
    how: Id,
    misfit: Box<UnsafeCell<Misfit>>,
}

/// The first number that the type it is converted to cannot hold.
#[derive(Default)]
struct Misfit {
    words: Option<&'static str>,
}

extern "C" fn refuse(
    what: H5T_conv_except_t,
    from: hid_t,
    into: hid_t,
    number: *mut c_void,
    _: *mut c_void,
    to: *mut c_void,
) -> H5T_conv_ret_t {
    // To the library, which holds its lock here, an infinity is a large number also where the other type has one.
    // SAFETY: both types are open during this call.
    let floats = unsafe { H5Tget_class(into) == H5T_FLOAT && H5Tequal(from, *H5T_NATIVE_DOUBLE) > 0 };
    // SAFETY: the library passes the number, of the type `from`, aligned or not.
    if floats && unsafe { number.cast::<f64>().read_unaligned() }.is_infinite() {
        return H5T_CONV_UNHANDLED;
    }
    let words = match what {
        H5T_CONV_EXCEPT_RANGE_HI => "a number is too large for the type it is converted to",
        H5T_CONV_EXCEPT_RANGE_LOW => "a number is too small for the type it is converted to",
        H5T_CONV_EXCEPT_PRECISION => "an integer has more digits than the type it is converted to",
        H5T_CONV_EXCEPT_TRUNCATE => "a number with a fraction is converted to an integer",
        _ => "an infinity or NaN is converted to an integer",
    };
    // SAFETY: `to` is the `Misfit` of the transfer under way (see `Transfer::check`), and nobody else has it.
    let misfit = unsafe { &mut *to.cast::<Misfit>() };
    misfit.words.get_or_insert(words);
    H5T_CONV_ABORT
}

impl Transfer {
    fn new(
        file: &File,
        name: &str,
        looked: &Looked,
        piece: &Piece,
        from: Option<&[usize]>,
        collective: bool,
    ) -> Said<Transfer> {
        let dataset = file.open_dataset(name)?;
        // SAFETY: the dataset is open.
        let space = Space { id: Id::new(H5Sclose, || unsafe { H5Dget_space(dataset.id) })? };
        let (shape, wanted) = (shape_of(&space.id)?, looked.shape());
        let part = |axis: usize| from.and_then(|from| from.get(axis)).copied().unwrap_or(0);
        let inside = |axis: usize| part(axis).checked_add(wanted[axis]).is_some_and(|end| end <= shape[axis]);
        match from {
            None if shape != wanted => return Err(format!("its shape is {shape:?}, not {wanted:?}")),
            Some(from) if shape.len() != wanted.len() || !(0..wanted.len()).all(inside) => {
                return Err(format!("its shape is {shape:?}: {wanted:?} from {from:?} do not lie in it"));
            }
            _ => {}
        }
        // Elements of several numbers have one axis more.
        let several = looked.shown.parts != 1;
        let with = |list: &[usize], last: usize| -> Vec<usize> {
            list.iter().copied().chain(several.then_some(last)).collect()
        };
        let start: Vec<usize> =
            with(&piece.start, 0).iter().enumerate().map(|(axis, start)| start + part(axis)).collect();
        let count = with(&piece.shape, looked.shown.parts);
        space.select(&start, &count)?;
        // A storage may be empty; a shape without cells is not a shape to every version of the library.
        let padded = with(&piece.padded, looked.shown.parts);
        let memory = Space::of(&padded.iter().map(|&size| size.max(1)).collect::<Vec<_>>())?;
        memory.select(&with(&piece.offset, 0), &count)?;
        // SAFETY: the class is one of the library's own.
        let how = Id::new(H5Pclose, || unsafe { H5Pcreate(*H5P_CLS_DATASET_XFER) })?;
        if collective {
            make_collective(&how)?;
        }
        Ok(Transfer { dataset, memory, file: space, how, misfit: Box::new(UnsafeCell::default()) })
    }

    /// From now on a number that cannot be converted ends the transfer.
    fn check(&self) -> Said<()> {
        let to: *mut c_void = self.misfit.get().cast();
        // SAFETY: the list is open; `refuse` has the type the library wants; `to` lives as long as the list.
        call(|| unsafe { H5Pset_type_conv_cb(self.how.id, Some(refuse), to) }).map(drop)
    }

    /// The end of the transfer: which number ended it, or what the library said.
    fn misfits<R>(&self, said: Said<R>) -> Said<()> {
        // SAFETY: the transfer is over, and nobody but the library writes there.
        match (unsafe { &*self.misfit.get() }.words, said) {
            (Some(words), _) => Err(words.into()),
            (None, said) => said.map(drop),
        }
    }
}

/// An empty piece of an array, for ranks that have none left.
fn nothing(looked: &Looked) -> Piece {
    let axes = looked.global.len();
    Piece::packed(vec![0; axes], vec![0; axes], 0)
}

/// Where a piece's storage begins; an empty one's nowhere.
fn base(piece: &Piece) -> usize {
    if piece.is_empty() { 0 } else { piece.base }
}

#[cfg(feature = "hdf5-parallel")]
fn make_collective(how: &Id) -> Said<()> {
    // SAFETY: the list is open and of this class.
    call(|| unsafe { H5Pset_dxpl_mpio(how.id, H5FD_mpio_xfer_t::H5FD_MPIO_COLLECTIVE) }).map(drop)
}

#[cfg(not(feature = "hdf5-parallel"))]
fn make_collective(_: &Id) -> Said<()> {
    Err("this build has no parallel HDF5".into())
}

/// The library's name for a number as this machine keeps it. Called under the lock.
fn native(format: Format) -> hid_t {
    sync(|| match format {
        Format::I8 => *H5T_NATIVE_INT8,
        Format::I16 => *H5T_NATIVE_INT16,
        Format::I32 => *H5T_NATIVE_INT32,
        Format::I64 => *H5T_NATIVE_INT64,
        Format::U8 => *H5T_NATIVE_UINT8,
        Format::U16 => *H5T_NATIVE_UINT16,
        Format::U32 => *H5T_NATIVE_UINT32,
        Format::U64 => *H5T_NATIVE_UINT64,
        Format::F32 => *H5T_NATIVE_FLOAT,
        Format::F64 => *H5T_NATIVE_DOUBLE,
    })
}

/// The number of this machine that a type is, bit for bit.
fn native_of(kind: &Id) -> Said<Option<Format>> {
    for format in Format::ALL {
        // SAFETY: both types are open.
        if call(|| unsafe { H5Tequal(kind.id, native(format)) })? > 0 {
            return Ok(Some(format));
        }
    }
    Ok(None)
}

/// A type in words, and whether it is a number.
fn kind_of(kind: &Id) -> (String, bool) {
    // SAFETY: the type is open.
    let (class, bits, sign) = sync(|| unsafe {
        (H5Tget_class(kind.id), H5Tget_size(kind.id).saturating_mul(8), H5Tget_sign(kind.id))
    });
    match class {
        H5T_INTEGER if sign == H5T_SGN_NONE => (format!("u{bits}"), true),
        H5T_INTEGER => (format!("i{bits}"), true),
        H5T_FLOAT => (format!("f{bits}"), true),
        H5T_STRING => ("strings".into(), false),
        H5T_COMPOUND => ("a compound type".into(), false),
        H5T_ENUM => ("an enumeration".into(), false),
        H5T_ARRAY => ("small arrays".into(), false),
        H5T_VLEN => ("lists of varying length".into(), false),
        H5T_REFERENCE => ("references".into(), false),
        H5T_BITFIELD => ("bit fields".into(), false),
        H5T_OPAQUE => ("opaque bytes".into(), false),
        _ => ("an unknown type".into(), false),
    }
}

fn shape_of(space: &Id) -> Said<Vec<usize>> {
    // SAFETY: the space is open.
    let axes = call(|| unsafe { H5Sget_simple_extent_ndims(space.id) })?;
    let mut sizes = vec![0 as hsize_t; axes as usize];
    // SAFETY: `sizes` has room for as many axes as the library has just counted.
    call(|| unsafe { H5Sget_simple_extent_dims(space.id, sizes.as_mut_ptr(), ptr::null_mut()) })?;
    sizes.into_iter().map(|n| usize::try_from(n).map_err(|_| format!("an axis of {n} cells"))).collect()
}

/// The attributes that are text or numbers; others are left out.
fn attributes_of(object: &Id) -> Said<Vec<(String, Attribute)>> {
    unsafe extern "C" fn collect(
        _: hid_t,
        name: *const c_char,
        _: *const H5A_info_t,
        to: *mut c_void,
    ) -> c_int {
        // SAFETY: the library passes a C string, and `to` as given below.
        let (name, to) = unsafe { (CStr::from_ptr(name), &mut *to.cast::<Vec<CString>>()) };
        to.push(name.to_owned());
        c_int::from(to.len() >= LIST_LIMIT)
    }
    let mut names: Vec<CString> = Vec::new();
    let (mut from, to): (hsize_t, *mut c_void) = (0, (&raw mut names).cast());
    // SAFETY: the object is open, `collect` has the type the library wants, and `to` outlives the call.
    call(|| unsafe { H5Aiterate2(object.id, H5_INDEX_NAME, H5_ITER_INC, &raw mut from, Some(collect), to) })?;
    let mut all = Vec::new();
    for name in names {
        // SAFETY: the object is open and `name` lives through the call.
        let attribute = Id::new(H5Aclose, || unsafe { H5Aopen(object.id, name.as_ptr(), H5P_DEFAULT) })?;
        if let Some(value) = value_of(&attribute)? {
            all.push((name.to_string_lossy().into_owned(), value));
        }
    }
    Ok(all)
}

fn value_of(attribute: &Id) -> Said<Option<Attribute>> {
    // SAFETY: the attribute is open.
    let kind = Id::new(H5Tclose, || unsafe { H5Aget_type(attribute.id) })?;
    // SAFETY: the attribute is open.
    let space = Id::new(H5Sclose, || unsafe { H5Aget_space(attribute.id) })?;
    // SAFETY: the space is open.
    let count = call(|| unsafe { H5Sget_simple_extent_npoints(space.id) })? as usize;
    // SAFETY: the type is open.
    let class = sync(|| unsafe { H5Tget_class(kind.id) });
    match class {
        H5T_INTEGER | H5T_FLOAT if (1..=ATTRIBUTE_LIMIT / 8).contains(&count) => {
            let mut numbers = vec![0.0f64; count];
            // SAFETY: there is room for `count` numbers of this type.
            call(|| unsafe { H5Aread(attribute.id, native(Format::F64), numbers.as_mut_ptr().cast()) })?;
            Ok(Some(Attribute::Numbers(numbers)))
        }
        // SAFETY: the type is open.
        H5T_STRING if count == 1 => match call(|| unsafe { H5Tis_variable_str(kind.id) })? {
            0 => {
                // SAFETY: the type is open.
                let size = sync(|| unsafe { H5Tget_size(kind.id) });
                if size == 0 || size > ATTRIBUTE_LIMIT {
                    return Ok(None);
                }
                let mut text = vec![0u8; size];
                // SAFETY: there is room for one string of this type.
                call(|| unsafe { H5Aread(attribute.id, kind.id, text.as_mut_ptr().cast()) })?;
                Ok(Some(Attribute::Text(text_of(&text))))
            }
            _ => {
                let mut text: *mut c_char = ptr::null_mut();
                // SAFETY: one string of varying length is one pointer, allocated by the library.
                call(|| unsafe { H5Aread(attribute.id, kind.id, (&raw mut text).cast()) })?;
                if text.is_null() {
                    return Ok(Some(Attribute::Text(String::new())));
                }
                // SAFETY: the library ends such a string with a zero byte.
                let copy = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
                // SAFETY: the library allocated it, nobody else frees it.
                sync(|| unsafe { H5free_memory(text.cast()) });
                Ok(Some(Attribute::Text(copy)))
            }
        },
        _ => Ok(None),
    }
}

/// The text up to the first zero byte, without the spaces that pad it.
fn text_of(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim_end_matches(' ').to_string()
}
