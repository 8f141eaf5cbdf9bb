//! Which MPI a program is linked with, told from its file alone: nothing is loaded and nothing run, so a login node
//! without that MPI can tell as well. What starts it best is [`choose`](mod@crate::choose)'s business.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// An MPI, as far as starting ranks is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Open MPI and what is made of it (HPC-X, Spectrum MPI).
    OpenMpi,
    /// MPICH and what has its interface: MVAPICH, Cray MPICH, ParaStation.
    Mpich,
    /// Intel MPI, which has MPICH's interface and a launcher of its own.
    Intel,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::OpenMpi => "Open MPI",
            Family::Mpich => "MPICH",
            Family::Intel => "Intel MPI",
        })
    }
}

impl Family {
    /// Out of an MPI library's or launcher's own words.
    #[must_use]
    pub fn of_words(words: &str) -> Option<Family> {
        let known = [
            ("Open MPI", Family::OpenMpi),
            ("OpenRTE", Family::OpenMpi),
            ("Intel(R) MPI", Family::Intel),
            ("MVAPICH", Family::Mpich),
            ("MPICH", Family::Mpich),
        ];
        known.iter().find(|(word, _)| words.contains(word)).map(|(_, family)| *family)
    }
}

/// An MPI library that a program's file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    /// The library's file name, such as `libmpi.so.40`.
    pub library: String,
    /// Whose it is; `None` where the name does not tell (the standard ABI).
    pub family: Option<Family>,
}

/// File names of libraries. `libmpi.so.12` is MPICH's interface, which Intel MPI has too.
const LIBRARIES: [(&str, Option<Family>); 8] = [
    ("libmpi.so.40", Some(Family::OpenMpi)),
    ("libmpi.so.20", Some(Family::OpenMpi)),
    ("libmpi.so.80", Some(Family::OpenMpi)),
    ("libmpich.so.12", Some(Family::Mpich)),
    ("libmpich.so", Some(Family::Mpich)),
    ("libmpi_cray.so.12", Some(Family::Mpich)),
    ("libmpi.so.12", Some(Family::Mpich)),
    ("libmpi_abi.so.1", None),
];

/// The MPI library that the program `path` needs; `None` if it needs none.
///
/// # Errors
/// The file cannot be read.
pub fn linked(path: &Path) -> io::Result<Option<Linked>> {
    // Names of needed libraries stand in the file's string table as they are, each between two NULs.
    const LONGEST: usize = 64;
    let mut file = File::open(path)?;
    let mut found: Option<usize> = None;
    let mut buffer = vec![0; 1 << 20];
    let mut kept = 0;
    loop {
        let read = file.read(&mut buffer[kept..])?;
        if read == 0 {
            break;
        }
        let there = &buffer[..kept + read];
        for (at, _) in there.windows(7).enumerate().filter(|(_, window)| window == b"\0libmpi") {
            let name = there[at + 1..].split(|&byte| byte == 0).next().unwrap_or_default();
            if let Some(place) = LIBRARIES.iter().position(|(library, _)| library.as_bytes() == name) {
                found = Some(found.map_or(place, |before| before.min(place)));
            }
        }
        let keep = there.len().min(LONGEST);
        let from = there.len() - keep;
        buffer.copy_within(from..from + keep, 0);
        kept = keep;
    }
    Ok(found.map(|place| Linked { library: LIBRARIES[place].0.to_owned(), family: LIBRARIES[place].1 }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn names_are_found_wherever_they_stand() {
        for padding in [0, 5, (1 << 20) - 70, (1 << 20) - 9, (1 << 20) - 1, 3 << 20] {
            for (name, family) in LIBRARIES {
                let mut file = tempfile::NamedTempFile::new().unwrap();
                file.write_all(&vec![b'x'; padding]).unwrap();
                file.write_all(b"\0libc.so.6\0").unwrap();
                file.write_all(name.as_bytes()).unwrap();
                file.write_all(b"\0libm.so.6\0").unwrap();
                let seen = linked(file.path()).unwrap();
                assert_eq!(seen, Some(Linked { library: name.to_owned(), family }), "{padding} {name}");
            }
        }
    }

    #[test]
    fn other_names_are_none() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"\0libmpi_usempif08.so.40\0libmpich is fine\0xlibmpi.so.40\0libmpi.so.40").unwrap();
        // The last one has no end: no string of a table.
        let seen = linked(file.path()).unwrap();
        assert!(seen.is_none() || seen.unwrap().library == "libmpi.so.40");
        assert_eq!(linked(Path::new("/bin/sh")).unwrap(), None);
        assert!(linked(Path::new("/no/such/program")).is_err());
    }

    #[test]
    fn words_tell_the_family() {
        assert_eq!(Family::of_words("Open MPI v4.1.4, package: Debian"), Some(Family::OpenMpi));
        assert_eq!(Family::of_words("MPICH Version: 4.0.2"), Some(Family::Mpich));
        assert_eq!(Family::of_words("Intel(R) MPI Library 2021.9"), Some(Family::Intel));
        assert_eq!(Family::of_words("something"), None);
    }
}
