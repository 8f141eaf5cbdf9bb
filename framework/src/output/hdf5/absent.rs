//! Stands in for `hdf5` in a build without the HDF5 library: the same names, and a clear error from each.
//!
//! No file can ever be open here, so everything past opening is unreachable by construction.

use super::Attribute;
pub(super) use super::dataset::{Info, Object};
use super::partitioned::{Looked, Partitioned, PartitionedMut};
use super::slab::Format;
use super::storage::Storage;
use crate::comm::Comm;
use crate::error::{Error, Result};
use std::path::Path;

pub(super) type Said<T> = std::result::Result<T, String>;

const ABSENT: &str = "built without HDF5";

/// Whether this build can use HDF5 at all; the error otherwise.
pub(super) fn available() -> Result<()> {
    Err(Error::io(format!("{ABSENT}: HDF5 files can be neither read nor written"))
        .help("build with `make`, or with cargo's --features hdf5 where the HDF5 library is installed"))
}

pub(super) fn can_share(_: &Comm) -> bool {
    false
}

pub(super) fn locked(_: &str) -> bool {
    false
}

/// A file that cannot be.
pub(super) enum File {}

impl File {
    pub fn create(_: &Path, _: Option<&Comm>) -> Said<File> {
        Err(ABSENT.into())
    }

    pub fn open(_: &Path, _: bool, _: Option<&Comm>) -> Said<File> {
        Err(ABSENT.into())
    }

    pub fn close(self) -> Said<()> {
        match self {}
    }

    pub fn object(&self, _: &str) -> Said<Object> {
        match *self {}
    }

    pub fn datasets(&self) -> Said<Vec<String>> {
        match *self {}
    }

    pub fn create_dataset(&self, _: &str, _: Format, _: &[usize], _: &Storage) -> Said<()> {
        match *self {}
    }

    pub fn extent(&self, _: &str) -> Said<Option<(u64, u64)>> {
        match *self {}
    }

    pub fn write<P: Partitioned + ?Sized>(&self, _: &str, _: &P, _: &Looked, _: usize) -> Said<()> {
        match *self {}
    }

    pub fn read<P: PartitionedMut + ?Sized>(
        &self,
        _: &str,
        _: &mut P,
        _: &Looked,
        _: Option<&[usize]>,
    ) -> Said<()> {
        match *self {}
    }

    pub fn info(&self, _: &str) -> Said<Info> {
        match *self {}
    }

    pub fn set_attribute(&self, _: &str, _: &str, _: &Attribute) -> Said<()> {
        match *self {}
    }
}
