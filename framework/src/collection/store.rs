//! Collections in HDF5 files: one dataset, the items in their order.

use super::balance::share;
use super::{DistVec, Plain};
use crate::comm::{Comm, Element};
use crate::error::Result;
use crate::output::{Reader, Stretch, Writer};
use std::path::Path;

impl<T: Element> DistVec<T, Plain> {
    /// Writes the items as the dataset `name`: numbers on one axis, in order; arrays of numbers and complex ones with an axis
    /// more. Structs are written as their bytes, which only the program that wrote them understands; for others, write a
    /// column after the other: `items.clone().map(|item| item.mass).write(&mut file, "mass")`. The same content from any
    /// number of ranks. Collective.
    ///
    /// # Errors
    /// Those of [`Writer::write`].
    pub fn write(&self, file: &mut Writer, name: &str) -> Result<()> {
        file.write(name, &Stretch::of(self.comm(), self.local())?)
    }

    /// Reads a dataset, dealt evenly: numbers of any type that `T` can hold, structs as written. Collective.
    ///
    /// # Errors
    /// Those of [`Reader::open`] and [`Reader::read_into`]; items of another size.
    #[track_caller]
    pub fn read(comm: &Comm, path: impl AsRef<Path>, name: &str) -> Result<Self> {
        let input = Reader::open_any(comm, path, name)?;
        let mine = share(input.shape()[0], comm.size(), comm.rank());
        DistVec::over(comm, Stretch::read(&input, mine)?)
    }
}
