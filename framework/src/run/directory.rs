//! The directory of a run: which one, whether it may be had, and what lies in it.
//!
//! Choosing looks and touches nothing; the directory is made only when the first step is about to begin, so that a
//! run that cannot start leaves nothing behind. Rank 0 does it all; the others are told the path.

use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::output::files::{failure, make_folder};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What a run writes at the top of its directory.
pub(super) const RUN: &str = "run.toml";
pub(super) const PROVENANCE: &str = "provenance.json";
pub(super) const TIMINGS: &str = "timings.json";
pub(super) const RESULT: &str = "result.json";
pub(super) const PROGRESS: &str = "progress.json";
pub(super) const OUT: &str = "out";
pub(super) const CKPT: &str = "ckpt";
/// What the run and its ranks have told; other logs of the job may be there, too.
pub(super) const LOG: &str = "log";
/// In the folder of logs: what the run told, and how far it was when.
pub(super) const RUN_LOG: &str = "run.txt";
pub(super) const PROGRESS_LOG: &str = "progress.csv";
/// Whoever makes it asks the run to save and stop.
pub(super) const STOP: &str = "STOP";
/// Where the running job can be looked at; gone when it has ended well.
pub(super) const WATCH: &str = "watch.json";
const OURS: [&str; 6] = [RUN, PROVENANCE, TIMINGS, RESULT, PROGRESS, WATCH];
/// What whoever submits a job puts there before the run begins.
const BEFORE: [&str; 5] = ["slurm.log", "slurm.json", "job.sh", "job.toml", LOG];

/// The directory a run will have, chosen by rank 0. Collective.
///
/// # Errors
/// A path that holds something else, or cannot be made or written.
pub(super) fn choose(comm: &Comm, asked: Option<&Path>, kernel: &str, overwrite: bool) -> Result<PathBuf> {
    let chosen = match (comm.rank(), asked) {
        (0, Some(asked)) => may_have(asked, overwrite).map(|()| asked.to_path_buf()),
        (0, None) => unused(kernel),
        _ => Ok(PathBuf::new()),
    };
    broadcast(comm, comm.agree(chosen)?)
}

/// The directory of a run that another process will start, `asked` or a new one below `runs/`; with `make`, it is there
/// afterwards, with its folder for logs. For whoever submits a job: no rank calls it.
///
/// # Errors
/// A path that holds something else, or an earlier run without `overwrite`; what the system says.
pub fn reserve(asked: Option<&Path>, kernel: &str, overwrite: bool, make: bool) -> Result<PathBuf> {
    let path = match asked {
        Some(asked) => may_have(asked, overwrite).map(|()| asked.to_path_buf())?,
        None => unused(kernel)?,
    };
    if make {
        if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
            make_folder(above)?;
        }
        // Of two that have chosen the same name in the same second, one finds it taken and takes the next.
        match fs::create_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && asked.is_none() => {
                return reserve(None, kernel, overwrite, make);
            }
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(failure("make the folder", &path, &error));
            }
            _ => {}
        }
    }
    Ok(path)
}

/// The directory of a run that goes on, and whether there is one; without, it is one that a run may have. Collective.
///
/// # Errors
/// As [`choose`]; a directory in which another run is going on.
pub(super) fn resume(comm: &Comm, path: &Path, kernel: &str) -> Result<bool> {
    let there = comm.rank() == 0 && path.join(RUN).is_file();
    let mut there = [u8::from(there)];
    comm.bcast(&mut there, 0)?;
    if there[0] == 1 {
        comm.agree(if comm.rank() == 0 { writable(path) } else { Ok(()) })?;
    } else {
        choose(comm, Some(path), kernel, false)?;
    }
    Ok(there[0] == 1)
}

/// Makes ready what is there already: folders, and nothing half-written. Collective.
///
/// # Errors
/// What the system says.
pub(super) fn reopen(comm: &Comm, path: &Path) -> Result<Made> {
    let reopened = match comm.rank() {
        0 => [OUT, CKPT, LOG].into_iter().try_for_each(|folder| {
            make_folder(&path.join(folder))?;
            sweep(&path.join(folder))
        }),
        _ => Ok(()),
    };
    comm.agree(reopened)?;
    Ok(Made::default())
}

/// Removes what an interrupted run has left half-written.
fn sweep(folder: &Path) -> Result<()> {
    let said = |error| failure("look into", folder, &error);
    for entry in fs::read_dir(folder).map_err(said)? {
        let entry = entry.map_err(said)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') && name.ends_with(".part") {
            fs::remove_file(entry.path()).map_err(|error| failure("remove", &entry.path(), &error))?;
        }
    }
    Ok(())
}

/// Held while a run uses its directory, so that no second one does. On rank 0.
pub(super) struct Claim(#[expect(dead_code, reason = "it is the lock")] Option<fs::File>);

/// Claims the directory for this run. Collective.
///
/// # Errors
/// Another run holds it.
pub(super) fn claim(comm: &Comm, path: &Path) -> Result<Claim> {
    use rustix::fs::{FlockOperation, flock};
    let claimed = match comm.rank() {
        0 => fs::File::open(path).map_err(|error| failure("use the directory", path, &error)).and_then(
            |folder| {
                // Who looks whether a run is going on holds it for a moment.
                let mut tries = 0;
                let claimed = loop {
                    match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
                        Err(rustix::io::Errno::WOULDBLOCK) if tries < 30 => tries += 1,
                        claimed => break claimed,
                    }
                    std::thread::sleep(std::time::Duration::from_millis(10));
                };
                match claimed {
                    Err(rustix::io::Errno::WOULDBLOCK) => {
                        Err(Error::io(format!("another run is going on in {}", path.display())).help(
                            "wait for its end, or stop it: `touch STOP` there; or choose another directory",
                        ))
                    }
                    // Not every file system has locks, and a run does not need them.
                    _ => Ok(Claim(Some(folder))),
                }
            },
        ),
        _ => Ok(Claim(None)),
    };
    comm.agree(claimed)
}

/// Makes the directory on rank 0, without an earlier run's files. A run that has `replaced_at` that time another one does not
/// heed a `STOP` older than that: it was the other's. Collective.
///
/// # Errors
/// What the system says.
pub(super) fn make(comm: &Comm, path: &Path, replaced_at: Option<SystemTime>) -> Result<Made> {
    let make = || {
        if let Some(at) = replaced_at.filter(|_| path.join(RUN).is_file()) {
            unheeded(&path.join(STOP), at)?;
        }
        Made::new(path)
    };
    comm.agree(if comm.rank() == 0 { make() } else { Ok(Made::default()) })
}

/// Removes a `STOP` that was made before `at`.
fn unheeded(stop: &Path, at: SystemTime) -> Result<()> {
    match fs::metadata(stop).and_then(|about| about.modified()) {
        Ok(made) if made < at => fs::remove_file(stop).map_err(|error| failure("remove", stop, &error)),
        _ => Ok(()),
    }
}

/// What was made, to be unmade unless the run begins.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// Folders that were not there, deepest last.
    folders: Vec<PathBuf>,
    path: PathBuf,
    kept: bool,
}

impl Made {
    fn new(path: &Path) -> Result<Made> {
        let mut missing: Vec<PathBuf> = path
            .ancestors()
            .take_while(|above| !above.as_os_str().is_empty() && !above.exists())
            .map(Path::to_path_buf)
            .collect();
        missing.reverse();
        clear(path)?;
        make_folder(&path.join(OUT))?;
        make_folder(&path.join(LOG))?;
        Ok(Made { folders: missing, path: path.to_path_buf(), kept: false })
    }

    /// The run has begun: what is there stays there.
    pub fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.kept || self.path.as_os_str().is_empty() {
            return;
        }
        // Best effort: there is an error on its way already.
        let _ = clear(&self.path);
        let _ = fs::remove_dir(self.path.join(OUT));
        let _ = fs::remove_dir(self.path.join(CKPT));
        let _ = fs::remove_dir(self.path.join(LOG));
        for folder in self.folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Removes what an earlier run has left: its own files by name, and the folders `out` and `ckpt`.
fn clear(path: &Path) -> Result<()> {
    for name in OURS {
        let file = path.join(name);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failure("remove", &file, &error));
            }
            _ => {}
        }
    }
    for entry in fs::read_dir(path.join(LOG)).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == RUN_LOG || name == PROGRESS_LOG || name.starts_with("rank-") && name.ends_with(".txt") {
            fs::remove_file(entry.path()).map_err(|error| failure("remove", &entry.path(), &error))?;
        }
    }
    for folder in [OUT, CKPT].map(|name| path.join(name)) {
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failure("remove", &folder, &error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a run may have this directory: it is not there yet, or holds nothing of anybody else's.
fn may_have(path: &Path, overwrite: bool) -> Result<()> {
    let wanted = |error| failure("use the directory", path, &error);
    if path.as_os_str().is_empty() {
        return Err(Error::usage("--out is empty").help("give the path of a directory"));
    }
    match fs::symlink_metadata(path).and_then(|_| fs::metadata(path)) {
        Ok(there) if !there.is_dir() => {
            return Err(Error::io(format!("cannot use the directory {}: it is a file", path.display()))
                .help("choose another directory with --out"));
        }
        Ok(_) => {}
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
        {
            return can_make(path);
        }
        Err(error) => return Err(wanted(error)),
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(wanted)? {
        names.push(entry.map_err(wanted)?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| !BEFORE.contains(&name.as_str()));
    // A run that ended before it could begin has left no more than this, and whoever submits it may be writing.
    let empty = |name: &str| fs::read_dir(path.join(name)).is_ok_and(|mut entries| entries.next().is_none());
    let barely = |name: &str| match name {
        OUT | CKPT => empty(name),
        name => name == STOP || name.starts_with('.') && name.ends_with(".part"),
    };
    if names.iter().all(|name| barely(name)) {
        return writable(path);
    }
    let ours = names.iter().any(|name| name == PROVENANCE || name == RUN);
    if !names.is_empty() && !ours {
        return Err(Error::io(format!("the directory {} holds files of something else", path.display()))
            .help("choose another directory with --out"));
    }
    if ours && !overwrite {
        return Err(Error::io(format!("the directory {} holds an earlier run", path.display()))
            .help("choose another directory with --out, or replace that run with --overwrite"));
    }
    writable(path)
}

/// Whether a directory that is not there could be made.
fn can_make(path: &Path) -> Result<()> {
    let above = path.ancestors().skip(1).find(|above| above.as_os_str().is_empty() || above.exists());
    match above.map(|above| if above.as_os_str().is_empty() { Path::new(".") } else { above }) {
        Some(above) if above.is_dir() => writable(above),
        Some(above) => Err(Error::io(format!(
            "cannot make the directory {}: {} is a file",
            path.display(),
            above.display()
        ))
        .help("choose another directory with --out")),
        None => writable(Path::new(".")),
    }
}

/// Tries it with a file that has no name (or is gone at once): permission bits do not tell about read-only disks.
fn writable(folder: &Path) -> Result<()> {
    use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, accessat, open};
    let refused = |error: rustix::io::Errno| match error {
        // The folder is there, but files in it are not: /proc and its like.
        rustix::io::Errno::NOENT => {
            Error::io(format!("cannot write in {}: it takes no files", folder.display()))
                .help("choose another directory with --out")
        }
        error => failure("write in", folder, &error.into()),
    };
    accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).map_err(refused)?;
    match open(folder, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR) {
        Ok(_) => Ok(()),
        // Not every file system knows nameless files.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::INVAL | rustix::io::Errno::ISDIR) => {
            named(folder)
        }
        Err(error) => Err(refused(error)),
    }
}

fn named(folder: &Path) -> Result<()> {
    let probe = folder.join(format!(".rankine-{}.part", std::process::id()));
    fs::write(&probe, "").map_err(|error| failure("write in", folder, &error))?;
    fs::remove_file(&probe).map_err(|error| failure("write in", folder, &error))
}

/// `runs/<kernel>-<UTC time>`, with a number if that second has a run already.
fn unused(kernel: &str) -> Result<PathBuf> {
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let name = format!("{kernel}-{time}");
    let free = (1..1000)
        .map(|n| Path::new("runs").join(if n == 1 { name.clone() } else { format!("{name}-{n}") }))
        .find(|path| !path.exists())
        .ok_or_else(|| {
            Error::io(format!("runs/{name} and its numbers are taken")).help("choose a directory with --out")
        })?;
    can_make(&free)?;
    Ok(free)
}

/// Rank 0's path, on every rank. Collective.
fn broadcast(comm: &Comm, path: PathBuf) -> Result<PathBuf> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut bytes = path.as_os_str().as_bytes().to_vec();
    let mut length = [bytes.len()];
    comm.bcast(&mut length, 0)?;
    bytes.resize(length[0], 0);
    comm.bcast(&mut bytes, 0)?;
    Ok(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn what_was_made_is_unmade_unless_kept() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        drop(Made::new(&path).unwrap());
        assert!(!root.path().join("a").exists());
        Made::new(&path).unwrap().keep();
        assert!(path.join(OUT).is_dir());
    }

    #[test]
    fn only_our_own_runs_are_replaced() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path();
        assert!(may_have(path, false).is_ok(), "an empty directory is fine");
        fs::write(path.join("slurm.log"), "").unwrap();
        assert!(may_have(path, false).is_ok(), "a log of the job that starts us is fine");
        fs::write(path.join("thesis.tex"), "").unwrap();
        assert!(may_have(path, true).unwrap_err().to_string().contains("something else"));
        fs::write(path.join(RUN), "").unwrap();
        assert!(may_have(path, false).unwrap_err().to_string().contains("--overwrite"));
        assert!(may_have(path, true).is_ok());
        Made::new(path).unwrap().keep();
        assert!(path.join("thesis.tex").exists() && !path.join(RUN).exists());
    }

    #[test]
    fn a_reserved_directory_is_there_and_a_run_may_have_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        assert_eq!(reserve(Some(&path), "k", false, false).unwrap(), path);
        assert!(!root.path().join("a").exists(), "looking makes nothing");
        for _ in 0..2 {
            reserve(Some(&path), "k", false, true).unwrap();
            assert!(path.is_dir());
        }
        fs::write(path.join("slurm.json"), "").unwrap();
        fs::create_dir(path.join("log")).unwrap();
        assert!(may_have(&path, false).is_ok());
        fs::write(path.join(RUN), "").unwrap();
        assert_eq!(reserve(Some(&path), "k", false, true).unwrap_err().exit_code(), 4);
        reserve(Some(&path), "k", true, true).unwrap();
        assert!(path.join(RUN).exists(), "whoever runs replaces what was there");
    }

    #[test]
    fn what_cannot_be_written_is_found_without_touching_it() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below/it"), PathBuf::from("/proc/nothing/here")] {
            let error = may_have(&path, false).unwrap_err();
            assert_eq!(error.exit_code(), 4, "{error}");
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn every_rank_gets_the_path_and_only_one_the_words() {
        let root = tempfile::tempdir().unwrap();
        let (path, seen) = (root.path().join("r"), Mutex::new(Vec::new()));
        crate::testing::ranks([3], |world| {
            let chosen = choose(world, Some(&path), "k", false)?;
            seen.lock().unwrap().push(chosen);
            let bad = choose(world, Some(Path::new("/proc/x")), "k", false).unwrap_err();
            assert_eq!(bad.kind() == crate::ErrorKind::Io, world.rank() == 0);
            Ok(())
        });
        assert_eq!(*seen.lock().unwrap(), vec![path.clone(); 3]);
    }
}
