//! Which MPI is linked, which launcher is on PATH, and whether they are of one MPI, by their own words. Whether ranks then
//! find each other is tried in `start`.

use super::Finding;
use super::probe::{ask, on_path};
use rankine::launch::short_version;
use std::path::{Path, PathBuf};

/// The launcher on PATH, and what it says of itself.
pub struct Mpirun {
    pub path: PathBuf,
    said: String,
}

impl Mpirun {
    /// The one on PATH, or the one that the words of `--launch` begin with.
    pub fn meant(launch: Option<&str>) -> Option<Mpirun> {
        const NAMES: [&str; 4] = ["mpirun", "mpiexec", "orterun", "prterun"];
        let named = launch.and_then(|words| words.split_whitespace().next()).map(Path::new).filter(|path| {
            let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
            NAMES.iter().any(|known| name.starts_with(known))
        });
        let path = match named {
            Some(path) if path.components().count() > 1 => path.to_path_buf(),
            Some(name) => on_path(&name.to_string_lossy())?,
            None => on_path("mpirun")?,
        };
        Some(Mpirun { said: version_of(&path), path })
    }

    /// Whose it is.
    pub fn family(&self) -> Option<&'static str> {
        family(&self.said)
    }

    /// Whether it is of another MPI than the library, as far as both say so.
    pub fn is_of_another(&self, library: &str) -> bool {
        family(library).zip(self.family()).is_some_and(|(ours, theirs)| ours != theirs)
    }

    /// How Open MPI's variables of a launcher of this version begin.
    pub fn prefix(&self) -> &'static str {
        match version(&self.said) {
            Some((5.., _)) => "PRTE",
            _ => "OMPI",
        }
    }
}

fn version_of(launcher: &Path) -> String {
    ask(&launcher.to_string_lossy(), &["--version"]).map(|said| said.text).unwrap_or_default()
}

/// Compares both.
pub fn look(library: Option<&str>, mpirun: Option<&Mpirun>) -> Vec<Finding> {
    let launcher = mpirun.map(|mpirun| (mpirun.path.display().to_string(), mpirun.said.clone()));
    vec![linked(library), match_up(library, launcher.as_ref(), || launcher_of(library))]
}

/// A launcher of the linked library: beside it, or on PATH under the name that distributions give it.
pub fn launcher_of(library: Option<&str>) -> Option<PathBuf> {
    let ours = family(library?)?;
    // The library's folder is lib of a prefix, or a folder in it.
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let linked = maps.lines().filter_map(|line| line.split_once('/')).map(|(_, path)| format!("/{path}"));
    let linked = linked
        .map(PathBuf::from)
        .find(|path| path.file_name().is_some_and(|name| is_mpi(&name.to_string_lossy())));
    let near = linked.iter().flat_map(|path| path.ancestors().skip(1)).map(|folder| folder.join("bin"));
    let names: &[&str] = match ours {
        "Open MPI" => &["mpirun", "mpirun.openmpi", "orterun", "prterun"],
        _ => &["mpirun", "mpirun.mpich", "mpiexec.hydra"],
    };
    let near = near.flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    near.chain(names.iter().filter_map(|name| on_path(name)))
        .filter(|path| path.is_file())
        .find(|path| family(&version_of(path)) == Some(ours))
}

/// Whether that is the file name of an MPI library.
fn is_mpi(name: &str) -> bool {
    ["libmpi.so", "libmpich.so", "libmpi_abi.so", "libmpi_cray.so"]
        .iter()
        .any(|start| name.starts_with(start))
}

fn linked(library: Option<&str>) -> Finding {
    match library {
        Some(library) => Finding::ok("MPI", short_version(library)),
        None => Finding::warn(
            "MPI",
            "none: built without MPI, ranks are threads of one process",
            "for mpirun and Slurm build with MPI",
        )
        .by("make build"),
    }
}

fn match_up(
    library: Option<&str>,
    launcher: Option<&(String, String)>,
    right: impl FnOnce() -> Option<PathBuf>,
) -> Finding {
    const WHAT: &str = "launcher";
    let Some((path, said)) = launcher else {
        return match library {
            Some(_) => Finding::warn(
                WHAT,
                "no mpirun on PATH",
                "load the module of the MPI above, or start with srun",
            ),
            None => Finding::ok(WHAT, "no mpirun on PATH; none is needed without MPI"),
        };
    };
    let shown = format!("{path}: {}", short_version(said));
    let (Some(library), Some(theirs)) = (library, family(said)) else { return Finding::ok(WHAT, shown) };
    match family(library) {
        Some(ours) if ours != theirs => {
            let fault = Finding::fault(
                WHAT,
                format!("{shown}, but this program is linked with {ours}: it would start N jobs of one rank"),
                format!(
                    "start it with the mpirun of {ours}, or build again with the compiler wrapper of {theirs} (MPICC)"
                ),
            );
            match right() {
                Some(right) => fault.by(format!("{} -n 2 rankine doctor", right.display())),
                None => fault,
            }
        }
        Some(_) => match (version(library), version(said)) {
            (Some(ours), Some(theirs)) if ours.0 != theirs.0 => Finding::warn(
                WHAT,
                format!("{shown}, of another major version than the library"),
                "it may work; if ranks do not find each other, use the mpirun of the library",
            ),
            _ => Finding::ok(WHAT, format!("{shown}, of the same MPI")),
        },
        None => Finding::ok(WHAT, shown),
    }
}

/// Whose MPI it is, from the words of a library or a launcher.
pub fn family(text: &str) -> Option<&'static str> {
    let words = [
        ("Open MPI", "Open MPI"),
        ("OpenRTE", "Open MPI"),
        ("PRRTE", "Open MPI"),
        ("Intel(R) MPI", "Intel MPI"),
        ("MVAPICH", "MVAPICH"),
        ("MPICH", "MPICH"),
        ("HYDRA", "MPICH"),
    ];
    words.iter().find(|(word, _)| text.contains(word)).map(|(_, family)| *family)
}

/// The first number of the form `major.minor`.
pub fn version(text: &str) -> Option<(u32, u32)> {
    text.split(|c: char| !(c.is_ascii_digit() || c == '.')).find_map(|word| {
        let mut parts = word.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    const LIBRARY: &str =
        "Open MPI v4.1.4, package: Debian OpenMPI, ident: 4.1.4, repo rev: v4.1.4, May 26, 2022";

    fn judged(library: Option<&str>, said: Option<&str>) -> Finding {
        let launcher = said.map(|said| ("/usr/bin/mpirun".to_string(), said.to_string()));
        match_up(library, launcher.as_ref(), || Some("/opt/bin/mpirun".into()))
    }

    #[test]
    fn one_mpi_or_two() {
        let same = judged(Some(LIBRARY), Some("mpirun (Open MPI) 4.1.4\n\nReport bugs to ..."));
        assert_eq!(same.state, State::Ok, "{same:?}");
        assert_eq!(same.found, "/usr/bin/mpirun: mpirun (Open MPI) 4.1.4, of the same MPI");
        let other = judged(Some(LIBRARY), Some("HYDRA build details:\n    Version: 4.0.2"));
        assert_eq!(other.state, State::Fault, "{other:?}");
        assert_eq!(other.command.as_deref(), Some("/opt/bin/mpirun -n 2 rankine doctor"));
        let newer = judged(Some(LIBRARY), Some("mpirun (Open MPI) 5.0.11"));
        assert_eq!(newer.state, State::Warn, "{newer:?}");
        assert_eq!(judged(Some(LIBRARY), None).state, State::Warn);
        assert_eq!(judged(None, None).state, State::Ok);
        assert_eq!(linked(Some(LIBRARY)).found, "Open MPI v4.1.4");
    }

    #[test]
    fn the_launcher_that_is_meant() {
        let meant = |launch| Mpirun::meant(Some(launch)).map(|mpirun| mpirun.path);
        assert_eq!(meant("/opt/none/bin/mpirun -n 2"), Some("/opt/none/bin/mpirun".into()));
        assert_eq!(meant("mpirun-that-is-not-there -n 2"), None);
        assert_eq!(meant("srun -n 2"), Mpirun::meant(None).map(|mpirun| mpirun.path));
        let said = |said: &str| Mpirun { path: "mpirun".into(), said: said.into() };
        assert!(said("HYDRA build details:").is_of_another(LIBRARY));
        assert!(!said("mpirun (Open MPI) 5.0.1").is_of_another(LIBRARY) && !said("").is_of_another(LIBRARY));
    }
}
