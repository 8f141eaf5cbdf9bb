//! Which MPI is linked, which launcher is on PATH, and whether they are of one MPI.

use super::probe::{ask, on_path};
use super::{Finding, Wanted};
use crate::submit::is_root;

/// Looks at both, and at what this launcher is known to stumble over.
pub fn look(wanted: Wanted) -> Vec<Finding> {
    let library = rankine::launch::mpi_library();
    let launcher = on_path("mpirun").map(|path| {
        let said = ask("mpirun", &["--version"]).map(|said| said.text).unwrap_or_default();
        (path.display().to_string(), said)
    });
    let mut findings = vec![linked(library.as_deref()), match_up(library.as_deref(), launcher.as_ref())];
    let open_mpi = launcher.as_ref().is_some_and(|(_, said)| family(said) == Some("Open MPI"));
    if library.is_some() && open_mpi {
        let major = launcher.as_ref().and_then(|(_, said)| version(said)).map_or(4, |(major, _)| major);
        findings.extend(open_mpi_habits(wanted, major, |name| std::env::var_os(name).is_some()));
    }
    findings
}

fn linked(library: Option<&str>) -> Finding {
    match library {
        Some(library) => Finding::ok("MPI", first_line(library)),
        None => Finding::warn(
            "MPI",
            "none: built without MPI, ranks are threads of one process",
            "for mpirun and Slurm build with `make`, or cargo's --features mpi",
        ),
    }
}

fn match_up(library: Option<&str>, launcher: Option<&(String, String)>) -> Finding {
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
    let shown = format!("{path}: {}", first_line(said));
    let (Some(library), Some(theirs)) = (library, family(said)) else { return Finding::ok(WHAT, shown) };
    match family(library) {
        Some(ours) if ours != theirs => Finding::fault(
            WHAT,
            format!("{shown}, but this program is linked with {ours}: it would start N jobs of one rank"),
            format!(
                "put the mpirun of {ours} first on PATH, or build again with the compiler wrapper of {theirs}"
            ),
        ),
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

fn open_mpi_habits(wanted: Wanted, major: u32, set: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let prefix = if major >= 5 { "PRTE" } else { "OMPI" };
    let (allow, confirm) =
        (format!("{prefix}_ALLOW_RUN_AS_ROOT"), format!("{prefix}_ALLOW_RUN_AS_ROOT_CONFIRM"));
    if is_root() && !(set(&allow) && set(&confirm)) {
        findings.push(Finding::warn(
            "root",
            "Open MPI's mpirun refuses to run for root",
            format!("export {allow}=1 {confirm}=1"),
        ));
    }
    let cores = super::machine::cores();
    if wanted.ranks.is_some_and(|ranks| ranks > cores) {
        findings.push(Finding::warn(
            "slots",
            format!("Open MPI's mpirun refuses more ranks than its {cores} cores"),
            "mpirun --oversubscribe",
        ));
    }
    if wanted.threads.is_some_and(|threads| threads > 1) {
        findings.push(Finding::warn(
            "binding",
            "Open MPI binds each of one or two ranks to one core, and all threads of a rank with it",
            "mpirun --bind-to none",
        ));
    }
    findings
}

fn first_line(text: &str) -> &str {
    let line =
        text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it does not say what it is");
    line.split(", package").next().unwrap_or(line)
}

/// Whose MPI it is, from the words of a library or a launcher.
fn family(text: &str) -> Option<&'static str> {
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
fn version(text: &str) -> Option<(u32, u32)> {
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

    fn launcher(said: &str) -> (String, String) {
        ("/usr/bin/mpirun".to_string(), said.to_string())
    }

    #[test]
    fn one_mpi_or_two() {
        let same = match_up(Some(LIBRARY), Some(&launcher("mpirun (Open MPI) 4.1.4\n\nReport bugs to ...")));
        assert_eq!(same.state, State::Ok, "{same:?}");
        assert_eq!(same.found, "/usr/bin/mpirun: mpirun (Open MPI) 4.1.4, of the same MPI");
        let other = match_up(Some(LIBRARY), Some(&launcher("HYDRA build details:\n    Version: 4.0.2")));
        assert_eq!(other.state, State::Fault, "{other:?}");
        let newer = match_up(Some(LIBRARY), Some(&launcher("mpirun (Open MPI) 5.0.11")));
        assert_eq!(newer.state, State::Warn, "{newer:?}");
        assert_eq!(match_up(Some(LIBRARY), None).state, State::Warn);
        assert_eq!(match_up(None, None).state, State::Ok);
        assert_eq!(linked(Some(LIBRARY)).found, "Open MPI v4.1.4");
    }

    #[test]
    fn habits_are_named_when_they_matter() {
        let wanted = Wanted { ranks: Some(100_000), threads: Some(2) };
        let names: Vec<_> = open_mpi_habits(wanted, 4, |_| true).iter().map(|finding| finding.what).collect();
        assert_eq!(names, ["slots", "binding"]);
        let wanted = Wanted { ranks: None, threads: None };
        assert!(open_mpi_habits(wanted, 5, |_| true).is_empty());
    }
}
