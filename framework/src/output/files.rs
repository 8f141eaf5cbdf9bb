//! Files that appear whole or not at all, and the words for what the system refuses.
//!
//! A file is written as `.<name>.part` in its own folder, synchronised to the disk and renamed. Nothing here is
//! collective: one rank calls it. The formats are in the files beside this one.

use crate::error::{Error, Result};
use serde::Serialize;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A file under way: removed when dropped, unless [`commit`](Part::commit) has given it its name.
#[derive(Debug)]
#[must_use = "dropping it removes the file"]
pub struct Part {
    part: PathBuf,
    path: PathBuf,
    committed: bool,
}

impl Part {
    /// Prepares to write `path`: makes its folder and sees that a file can be created there. What an earlier,
    /// interrupted job left as a part is replaced.
    ///
    /// # Errors
    /// A path without a file name, a folder that cannot be made or written.
    pub fn create(path: impl Into<PathBuf>) -> Result<Part> {
        let path = path.into();
        make_folder_of(&path)?;
        Part::create_there(path)
    }

    /// As [`Part::create`], in a folder that is there: one that somebody has taken away is not made again behind
    /// their back.
    ///
    /// # Errors
    /// A path without a file name, a folder that is not there or cannot be written.
    pub fn create_there(path: impl Into<PathBuf>) -> Result<Part> {
        let path = path.into();
        Part::create_as(part_of(&path)?, path)
    }

    /// `part`, to become `path`.
    fn create_as(part: PathBuf, path: PathBuf) -> Result<Part> {
        if path.is_dir() {
            return Err(Error::io(format!("cannot write {}: it is a folder", path.display()))
                .help("give the name of a file"));
        }
        File::create(&part).map_err(|error| match path.parent() {
            Some(folder) if error.kind() == ErrorKind::NotFound => gone(folder),
            _ => failure("create", &path, &error),
        })?;
        Ok(Part { part, path, committed: false })
    }

    /// Where to write before the commit.
    pub fn part(&self) -> &Path {
        &self.part
    }

    /// The final name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Brings what was written to the disk and gives the file its final name, replacing an older file.
    ///
    /// # Errors
    /// What the system says; the part is removed then.
    pub fn commit(mut self) -> Result<()> {
        synchronise(&self.part).map_err(|error| failure("write", &self.path, &error))?;
        fs::rename(&self.part, &self.path).map_err(|error| failure("write", &self.path, &error))?;
        self.committed = true;
        // The name is safe once its folder is on the disk. Not every file system can do that; then the file is
        // whole all the same.
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.committed {
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// The name under which `path` is written before it is whole: `.<name>.part` in the same folder.
///
/// # Errors
/// A path without a file name.
pub fn part_of(path: &Path) -> Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return Err(Error::io(format!("cannot write {}: it names no file", path.display()))
            .help("give the name of a file"));
    };
    let mut part = std::ffi::OsString::from(".");
    part.push(name);
    part.push(".part");
    Ok(path.with_file_name(part))
}

/// Makes the folder of a file.
pub(super) fn make_folder_of(path: &Path) -> Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => make_folder(folder),
        _ => Ok(()),
    }
}

/// The words for a folder that was there when it was chosen.
pub(crate) fn gone(folder: &Path) -> Error {
    Error::io(format!("the folder {} is gone", folder.display()))
        .help("somebody has moved or removed it, or never made it (mkdir -p); a run goes on from wherever it is with --resume")
}

/// Waits until a file's bytes are on the disk.
pub(super) fn synchronise(path: &Path) -> io::Result<()> {
    File::options().write(true).open(path)?.sync_all()
}

/// Claims space on the disk for bytes of a file that are about to be written, where the file system can.
pub(super) fn reserve(path: &Path, at: u64, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    let file = File::options().write(true).open(path)?;
    match fallocate(&file, FallocateFlags::KEEP_SIZE, at, bytes).map_err(io::Error::from) {
        Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => Err(error),
        // Not every file system can claim space, and none has to.
        _ => Ok(()),
    }
}

/// Makes a folder and those above it; one that is there already is fine.
///
/// # Errors
/// What the system says, with the folder's name.
pub fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            Error::io(format!("cannot make the folder {}: a file is in the way", folder.display()))
                .help("remove or rename that file, or choose another folder")
        }
        _ => failure("make the folder", folder, &error),
    })
}

/// Writes a file of bytes into a folder that is there, whole or not at all.
///
/// # Errors
/// What the system says, with the path.
pub fn write_bytes(path: impl Into<PathBuf>, bytes: &[u8]) -> Result<()> {
    fill(Part::create_there(path)?, bytes)
}

fn fill(part: Part, bytes: &[u8]) -> Result<()> {
    File::options()
        .write(true)
        .open(part.part())
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|error| failure("write", part.path(), &error))?;
    part.commit()
}

/// As [`write_json`], a file that only its owner can read.
///
/// # Errors
/// As [`write_json`].
pub fn write_secret(path: impl Into<PathBuf>, value: &impl Serialize) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let path = path.into();
    let text = json(&path, value)?;
    let part = Part::create_there(path)?;
    fs::set_permissions(part.part(), fs::Permissions::from_mode(0o600))
        .map_err(|error| failure("write", part.path(), &error))?;
    fill(part, text.as_bytes())
}

/// As [`write_json`], for a file that other ranks may be writing, too: each has its own half-written one, and the last
/// to finish wins.
///
/// # Errors
/// As [`write_json`].
pub fn write_json_beside(path: impl Into<PathBuf>, rank: usize, value: &impl Serialize) -> Result<()> {
    let path = path.into();
    let text = json(&path, value)?;
    let part = part_of(&path)?.with_extension(format!("{rank}.part"));
    fill(Part::create_as(part, path)?, text.as_bytes())
}

/// Writes a text file into a folder that is there, whole or not at all.
///
/// # Errors
/// What the system says, with the path.
pub fn write_text(path: impl Into<PathBuf>, text: &str) -> Result<()> {
    write_bytes(path, text.as_bytes())
}

/// Writes a value as JSON for people to read into a folder that is there, whole or not at all. Every finite `f64` reads back as the same bits;
/// JSON has no NaN or infinity, they become `null`.
///
/// # Errors
/// What the system says, with the path; a value that JSON cannot hold.
pub fn write_json(path: impl Into<PathBuf>, value: &impl Serialize) -> Result<()> {
    let path = path.into();
    let text = json(&path, value)?;
    write_text(path, &text)
}

fn json(path: &Path, value: &impl Serialize) -> Result<String> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::io(format!("cannot write {} as JSON: {error}", path.display())))?;
    text.push('\n');
    Ok(text)
}

/// Reads a JSON file.
///
/// # Errors
/// What the system says, or where the text is not what was expected.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).map_err(|error| failure("read", path, &error))?;
    serde_json::from_str(&text).map_err(|error| Error::io(format!("cannot read {}: {error}", path.display())))
}

/// The words for what the system refused: `cannot <verb> <path>: <why>`, and what to do.
pub fn failure(verb: &str, path: &Path, error: &io::Error) -> Error {
    let said = Error::io(format!("cannot {verb} {}: {error}", path.display()));
    match error.kind() {
        ErrorKind::NotFound => said.help("check the path; a relative one starts where the job was started"),
        ErrorKind::PermissionDenied => {
            said.help("check the owner and mode of the file and its folder (ls -ld), or choose another")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            said.help("free some space or choose a folder on another disk (df -h, quota)")
        }
        ErrorKind::ReadOnlyFilesystem => said.help("choose a folder on a disk that can be written"),
        ErrorKind::IsADirectory => said.help("give the name of a file"),
        ErrorKind::NotADirectory => said.help("a part of the path is a file, not a folder"),
        _ => said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/text.txt");
        drop(Part::create(&path).unwrap());
        write_text(&path, "old").unwrap();
        let part = Part::create(&path).unwrap();
        fs::write(part.part(), "half").unwrap();
        assert_eq!(names(path.parent().unwrap()), [".text.txt.part", "text.txt"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        drop(part);
        assert_eq!(names(path.parent().unwrap()), ["text.txt"]);
        write_text(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(path.parent().unwrap()), ["text.txt"]);
    }

    #[test]
    fn failures_say_where_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        write_text(folder.path().join("file"), "").unwrap();
        let error = Part::create(folder.path().join("file/below")).unwrap_err().to_string();
        assert!(error.contains("file") && error.contains("in the way") && error.contains("help"), "{error}");
        let error = write_text(folder.path(), "").unwrap_err();
        assert!(error.to_string().contains("it is a folder"), "{error}");
        assert_eq!(error.exit_code(), 4);
        assert!(write_text("", "").is_err());
        assert!(write_text("/", "").is_err());
        let denied = failure("write", Path::new("a/b"), &io::Error::from(ErrorKind::PermissionDenied));
        assert!(denied.to_string().contains("cannot write a/b: permission denied"), "{denied}");
        let full = failure("write", Path::new("a/b"), &io::Error::from_raw_os_error(28));
        assert!(full.to_string().contains("free some space"), "{full}");
    }

    #[test]
    fn a_folder_that_is_gone_is_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone/text.txt");
        for error in [write_text(&path, "").unwrap_err(), write_json(&path, &1).unwrap_err()] {
            assert!(error.to_string().contains("gone is gone") && error.exit_code() == 4, "{error}");
        }
        assert!(write_secret(&path, &1).is_err());
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_full_disk_leaves_nothing() {
        // Every write to /dev/full fails with "no space left".
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full");
        let part = Part::create(&path).unwrap();
        fs::remove_file(part.part()).unwrap();
        std::os::unix::fs::symlink("/dev/full", part.part()).unwrap();
        let wrote = File::options().write(true).open(part.part()).and_then(|mut file| file.write_all(b"x"));
        assert_eq!(wrote.unwrap_err().kind(), ErrorKind::StorageFull);
        drop(part);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn floats_come_back_from_json_as_the_same_bits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers.json");
        let mut numbers = vec![0.1, 1.0 / 3.0, f64::MIN_POSITIVE, f64::MAX, -0.0, 5e-324];
        let mut state = 1u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            numbers.push(f64::from_bits(state));
        }
        numbers.retain(|number| number.is_finite());
        write_json(&path, &numbers).unwrap();
        let back: Vec<f64> = read_json(&path).unwrap();
        assert!(numbers.iter().zip(&back).all(|(a, b)| a.to_bits() == b.to_bits()));
        write_text(&path, "[1, 2").unwrap();
        assert!(read_json::<Vec<f64>>(&path).unwrap_err().to_string().contains("numbers.json"));
    }
}
