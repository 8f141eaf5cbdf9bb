//! Matrix Market files (Boisvert, Pozo, Remington 1996), read and written by all ranks together.
//!
//! `header` is what rank 0 reads for all, `read` what each rank makes of its part of the lines, `write` the way back. Coordinate
//! files of every field and symmetry are read; dense ("array") ones are not.

mod header;
mod read;
mod write;

pub use read::read;
pub use write::write;
