//! Datasets made, and one rank's block of their numbers in and out.

use super::super::partitioned::{Looked, Partitioned, PartitionedMut, Piece};
use super::super::slab::Format;
use super::super::storage::Storage;
use super::about::shape_of;
use super::{File, Id, Said, Space, c_string, call};
use ::hdf5::sync::sync;
use hdf5_sys::h5::hsize_t;
use hdf5_sys::h5d::*;
use hdf5_sys::h5i::hid_t;
use hdf5_sys::h5p::*;
use hdf5_sys::h5s::*;
use hdf5_sys::h5t::*;
use hdf5_sys::h5z::{H5Z_FILTER_DEFLATE, H5Zfilter_avail};
use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};

impl File {
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
pub(super) fn native(format: Format) -> hid_t {
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
