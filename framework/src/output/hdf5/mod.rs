//! The HDF5 library, made safe: files, datasets, attributes, one rank's block in and out. All `unsafe` HDF5 is here.
//!
//! Every call holds the library's lock, since it need not be thread-safe and the ranks of the Local engine are
//! threads. Nothing here decides which rank does what when (that is `writer` and `reader`), and nothing here words
//! errors for people beyond what the library says: an error is a `String`. The library never prints.

mod about;
mod lock;
mod transfer;

pub(super) use super::dataset::{Info, Object};
use crate::comm::Comm;
use ::hdf5::sync::sync;
use Object::*;
use hdf5_sys::h5::{H5_INDEX_NAME, H5_ITER_INC, hsize_t};
use hdf5_sys::h5d::{H5Dclose, H5Dopen2};
use hdf5_sys::h5e::{H5E_DEFAULT, H5E_WALK_UPWARD, H5E_error2_t, H5Ewalk2};
use hdf5_sys::h5f::*;
use hdf5_sys::h5g::{H5G_info_t, H5Gget_info_by_name};
use hdf5_sys::h5i::{H5I_DATASET, H5I_GROUP, H5Iget_type, hid_t};
use hdf5_sys::h5l::{H5Lexists, H5Lget_name_by_idx};
use hdf5_sys::h5o::{H5Oclose, H5Oopen};
use hdf5_sys::h5p::*;
use hdf5_sys::h5s::*;
pub(super) use lock::locked;
use std::ffi::{CStr, CString, c_int, c_uint, c_void};
use std::path::Path;
use std::ptr;

/// What the library said.
pub(super) type Said<T> = Result<T, String>;

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
        let open = || {
            if flags == H5F_ACC_TRUNC {
                // SAFETY: `name` and `access` live through the call.
                unsafe { H5Fcreate(name.as_ptr(), flags, H5P_DEFAULT, access.id) }
            } else {
                // SAFETY: as above.
                unsafe { H5Fopen(name.as_ptr(), flags, access.id) }
            }
        };
        let open = || Id::new(H5Fclose, open);
        // All ranks make the same calls to one that is open together, and MPI-IO takes no such lock.
        let id = if together.is_some() { open() } else { lock::patiently(open) };
        // The library says only at which of its own calls it noticed.
        let gone = |folder: &Path| !folder.as_os_str().is_empty() && !folder.is_dir();
        let id = match path.parent() {
            Some(folder) if id.is_err() && flags == H5F_ACC_TRUNC && gone(folder) => {
                return Err(format!("the folder {} is gone", folder.display()));
            }
            _ => id?,
        };
        let file = File { id: Some(id), together: together.is_some() };
        if together.is_none() {
            file.keep_from_children()?;
        }
        Ok(file)
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

    fn open_dataset(&self, name: &str) -> Said<Id> {
        let name = c_string(name)?;
        // SAFETY: the file is open and `name` lives through the call.
        Id::new(H5Dclose, || unsafe { H5Dopen2(self.id(), name.as_ptr(), H5P_DEFAULT) })
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

/// The text up to the first zero byte, without the spaces that pad it.
fn text_of(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim_end_matches(' ').to_string()
}
