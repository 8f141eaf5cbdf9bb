//! The folder that runs are written to: can files be made there, written, locked and moved, and is there room? All of it is
//! done with a file of its own, which is removed again.

use super::probe::within;
use super::{Finding, State};
use rustix::fs::{FlockOperation, fcntl_lock, flock};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

const WHAT: &str = "run folder";
const LOCKS: &str = "file locks";

/// Less room than this is worth a word.
const LITTLE: u64 = 1 << 30;

/// What is written, to see whether it can be.
const BYTES: usize = 1 << 20;

/// Looks at it, and does not wait for ever.
pub fn look(dir: &Path) -> Vec<Finding> {
    const PATIENCE: Duration = Duration::from_secs(8);
    let (dir, shown) = (existing(dir), dir.display().to_string());
    within(PATIENCE, move || try_out(&dir)).unwrap_or_else(|| {
        vec![Finding::fault(
            WHAT,
            format!("{shown}: its file system has not answered for {} s", PATIENCE.as_secs()),
            "another folder (--out), until the file server is back",
        )]
    })
}

/// The folder, or the nearest above it that is there: runs make the rest.
pub fn existing(dir: &Path) -> PathBuf {
    let full = std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf());
    full.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/")).to_path_buf()
}

/// A file that goes when this does.
pub struct Passing(pub PathBuf);

impl Drop for Passing {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn try_out(dir: &Path) -> Vec<Finding> {
    let path = Passing(dir.join(format!(".rankine-doctor-{}", std::process::id())));
    let moved = Passing(path.0.with_extension("moved"));
    let file = match written(&path.0) {
        Ok(file) => file,
        Err(error) => return vec![unwritable(dir, &error)],
    };
    let mut findings = vec![room(dir)];
    let hdf5 = hdf5(dir);
    let refused = hdf5.as_ref().is_some_and(|finding| finding.state == State::Fault);
    findings.push(locks(dir, &file, refused));
    if let Err(error) = std::fs::rename(&path.0, &moved.0) {
        findings.push(Finding::fault(
            WHAT,
            format!(
                "{}: files cannot be renamed there: {error}; no file of a run gets its final name",
                dir.display()
            ),
            "another folder (--out)",
        ));
    }
    findings.extend(hdf5);
    findings
}

/// Writes a file and reads it again.
fn written(path: &Path) -> std::io::Result<File> {
    let bytes: Vec<u8> = (0..BYTES).map(|at| (at % 251) as u8).collect();
    let mut file = File::options().read(true).write(true).create_new(true).open(path)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    let mut again = Vec::new();
    File::open(path)?.read_to_end(&mut again)?;
    if again == bytes { Ok(file) } else { Err(std::io::Error::other("what is read is not what was written")) }
}

fn is(error: &std::io::Error, numbers: &[Errno]) -> bool {
    numbers.iter().any(|number| error.raw_os_error() == Some(number.raw_os_error()))
}

fn unwritable(dir: &Path, error: &std::io::Error) -> Finding {
    let dir = dir.display();
    let other = "write runs elsewhere: --out FOLDER of a file system with room that all nodes see";
    if is(error, &[Errno::NOSPC, Errno::DQUOT]) {
        return Finding::fault(WHAT, format!("{dir}: it is full: {error}"), format!("make room, or {other}"))
            .by(format!("df -h {dir}; du -sh {dir}/* | sort -h | tail"));
    }
    if is(error, &[Errno::ROFS]) {
        return Finding::fault(WHAT, format!("{dir}: the file system is mounted read-only"), other)
            .by("rankine run KERNEL --out $SCRATCH/run");
    }
    if is(error, &[Errno::ACCESS, Errno::PERM]) {
        return Finding::fault(WHAT, format!("{dir}: {error}"), other).by(format!("ls -ld {dir}"));
    }
    Finding::fault(WHAT, format!("{dir}: cannot be written: {error}"), other)
}

fn room(dir: &Path) -> Finding {
    let shown = dir.display();
    let Ok(fs) = rustix::fs::statvfs(dir) else { return Finding::ok(WHAT, format!("{shown}: writable")) };
    let free = fs.f_bavail.saturating_mul(fs.f_frsize);
    let found = format!("{shown}: writable, {:.1} GB free", free as f64 / 1e9);
    // Some file systems do not say.
    if fs.f_blocks > 0 && free < LITTLE {
        return Finding::warn(WHAT, found, "make room before long runs").by(format!("df -h {shown}"));
    }
    Finding::ok(WHAT, found)
}

/// Both kinds of locks: HDF5 takes the one, MPI-IO the other. `refused`: HDF5 could not write there. Some of its versions do
/// without by themselves where there are no locks at all.
fn locks(dir: &Path, file: &File, refused: bool) -> Finding {
    let whole = flock(file, FlockOperation::NonBlockingLockExclusive);
    let ranges = fcntl_lock(file, FlockOperation::NonBlockingLockExclusive);
    let off = std::env::var("HDF5_USE_FILE_LOCKING").is_ok_and(|value| value == "FALSE" || value == "0");
    let why = |errno: Errno| std::io::Error::from(errno).to_string();
    let dir = dir.display();
    match (whole, ranges) {
        (Ok(()), Ok(())) => Finding::ok(LOCKS, "files can be locked (flock, fcntl)"),
        (Err(_), Ok(())) if off => {
            Finding::ok(LOCKS, format!("{dir}: none by flock, and HDF5 is told to do without"))
        }
        (Err(errno), _) if !off => {
            let found = format!("{dir}: files cannot be locked (flock: {})", why(errno));
            let fix = "tell HDF5 to do without, or mount the file system with locks (Lustre: -o flock)";
            let finding = match refused {
                true => Finding::fault(LOCKS, format!("{found}, and HDF5 opens none"), fix),
                false => Finding::warn(LOCKS, format!("{found}; other versions of HDF5 open none then"), fix),
            };
            finding.by("export HDF5_USE_FILE_LOCKING=FALSE")
        }
        (_, Err(errno)) => Finding::warn(
            LOCKS,
            format!("{dir}: no ranges of files can be locked (fcntl: {}): MPI-IO may fail", why(errno)),
            "do not ask for files written together, or mount the file system with locks",
        ),
        _ => Finding::ok(LOCKS, "files can be locked"),
    }
}

/// Whether HDF5, with whatever its environment tells it, writes a file there.
fn hdf5(dir: &Path) -> Option<Finding> {
    use rankine::output::{Layout, Slab, Writer};
    rankine::output::hdf5_library()?;
    if !matches!(rankine::launch::Launcher::detect(|name| std::env::var(name).ok()), Ok(None)) {
        // The ranks write one together.
        return None;
    }
    let path = Passing(dir.join(format!(".rankine-doctor-{}.h5", std::process::id())));
    let target = path.0.clone();
    let result = rankine::Launch::new().ranks(1).watch(false).run(move |world| {
        let mut file = Writer::create(&world, &target)?;
        file.write("numbers", &Slab::new(&[1.0; 12], Layout::whole([3, 4])?)?)?;
        file.finish()
    });
    Some(match result {
        Ok(()) => Finding::ok("HDF5 file", "written and closed"),
        Err(error) => Finding::fault(
            "HDF5 file",
            format!("{}: {}", dir.display(), error.to_string().lines().next().unwrap_or_default()),
            "another folder (--out), or without locks where those are what fails",
        )
        .by("export HDF5_USE_FILE_LOCKING=FALSE"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_tried_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let findings = look(&folder.path().join("runs/of/today"));
        assert!(findings.iter().all(|finding| finding.state != State::Fault), "{findings:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let nowhere = look(Path::new("/proc/runs"));
        assert!(nowhere[0].state == State::Fault && nowhere.len() == 1, "{nowhere:?}");
    }
}
