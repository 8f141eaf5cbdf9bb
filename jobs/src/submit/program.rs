//! The program that a job runs, and what starts its ranks. Nothing of MPI is called: the program's file tells which MPI
//! it needs, and Slurm which interfaces it has.

use super::wanted::Wanted;
use rankine::{Error, Result};
use rankine_slurm::{Choice, Family, Launcher, Linked, Slurm, choose, linked};
use std::path::{Path, PathBuf};

/// The program's path.
///
/// # Errors
/// One that is not there.
pub fn path(asked: Option<&Path>) -> Result<PathBuf> {
    let Some(asked) = asked else {
        return std::env::current_exe()
            .map_err(|error| Error::io(format!("cannot find this program's own path: {error}")));
    };
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let on_path =
        std::env::split_paths(&folders).map(|folder| folder.join(asked)).find(|file| file.is_file());
    let found =
        if asked.components().count() > 1 { asked.is_file().then(|| asked.to_path_buf()) } else { on_path };
    let found = found.and_then(|found| std::path::absolute(found).ok());
    found.ok_or_else(|| {
        Error::io(format!("--program {}: there is no such file", asked.display()))
            .help("give the path, on this machine, of the `rankine` that the job is to run")
    })
}

/// What starts it, and why; `is_this` says that it is this very program, which can be asked as well.
///
/// # Errors
/// A launcher that is none.
pub fn launcher(
    program: &Path,
    is_this: bool,
    wanted: &Wanted,
    slurm: &Slurm,
) -> Result<(Choice, Option<Linked>)> {
    let wish = wanted.wish()?;
    let linked = mpi_of(program, is_this);
    if let Some(mpi) = &wanted.mpi {
        let launcher = Launcher::Srun { mpi: mpi.clone() };
        return Ok((Choice { launcher, why: format!("--mpi={mpi} was asked for") }, linked));
    }
    let types = slurm.mpi_types().ok();
    Ok((choose(wish, linked.as_ref(), types.as_deref()), linked))
}

fn mpi_of(program: &Path, is_this: bool) -> Option<Linked> {
    let found = linked(program).ok().flatten();
    let own = || rankine::launch::mpi_library().filter(|_| is_this);
    match found {
        // Intel's has MPICH's name, and the standard interface is anybody's: the library itself knows.
        Some(Linked { library, family }) if family != Some(Family::OpenMpi) => {
            let told = own().and_then(|words| Family::of_words(&words));
            Some(Linked { library, family: told.or(family) })
        }
        None => {
            own().map(|words| Linked { library: "built in".to_string(), family: Family::of_words(&words) })
        }
        found => found,
    }
}
