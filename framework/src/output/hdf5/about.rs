//! What is known of a dataset without reading it, and attributes.

use super::super::Attribute;
use super::super::slab::Format;
use super::transfer::native;
use super::{File, Id, Info, LIST_LIMIT, Said, Space, c_string, call, text_of};
use ::hdf5::sync::sync;
use hdf5_sys::h5::{H5_INDEX_NAME, H5_ITER_INC, H5free_memory, hsize_t};
use hdf5_sys::h5a::*;
use hdf5_sys::h5d::*;
use hdf5_sys::h5i::hid_t;
use hdf5_sys::h5p::*;
use hdf5_sys::h5s::*;
use hdf5_sys::h5t::*;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

/// Longest text and most numbers that are read from one attribute.
const ATTRIBUTE_LIMIT: usize = 1 << 20;

impl File {
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

pub(super) fn shape_of(space: &Id) -> Said<Vec<usize>> {
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
