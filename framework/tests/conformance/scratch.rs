//! A folder for the files of one case, the same on every rank; gone when the last rank is through with it.

use rankine::{Comm, Result};
use std::path::Path;

/// Runs `case` with a new folder, in memory where there is one: bringing small files to a disk takes its time.
pub fn with_folder(world: &Comm, case: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = (world.rank() == 0).then(|| {
        tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder for files")
    });
    let path = folder.as_ref().map(|folder| folder.path().to_string_lossy().into_owned());
    let path = world.bcast_value(path, 0)?;
    let done = case(Path::new(&path));
    let done = world.agree(done);
    drop(folder);
    done
}

/// What only rank 0 does, while the others wait.
#[cfg(feature = "hdf5")]
pub fn first<T>(world: &Comm, act: impl FnOnce() -> T) -> Result<()> {
    if world.rank() == 0 {
        act();
    }
    world.barrier()
}

/// That every rank got an error, and what the one that has the words says, on every rank.
#[cfg(feature = "hdf5")]
pub fn refused<T>(world: &Comm, outcome: Result<T>) -> Result<String> {
    let error = outcome.err().expect("it cannot be");
    let words =
        (error.kind() != rankine::ErrorKind::Elsewhere).then(|| (error.exit_code(), error.to_string()));
    let told: Vec<(u8, String)> = world.allgather_values(words)?.into_iter().flatten().collect();
    assert!(!told.is_empty(), "nobody says what is wrong");
    Ok(format!("{} {}", told[0].0, told[0].1))
}
