//! What starts the ranks inside a job: `srun` with the interface that the program's MPI speaks and this Slurm has, or
//! `mpirun`; and why. It decides and runs nothing.

use crate::{Family, Launcher, Linked};

/// A choice, and the reason in a sentence for the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What starts the ranks.
    pub launcher: Launcher,
    /// Why.
    pub why: String,
}

/// What a person may ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wish {
    /// Whatever works.
    #[default]
    Auto,
    /// srun, and the interface is to be found.
    Srun,
    /// mpirun.
    Mpirun,
}

/// Chooses. `linked` is the program's MPI, `types` what `srun --mpi=list` shows (`None`: nobody could be asked).
///
/// Open MPI is started through PMIx, since its own PMI-2 has to be built in and seldom is; MPICH and its kin through
/// PMI-2, or Cray's or PMIx where that is all there is. Intel MPI finds no PMI library by itself, so its mpirun it is.
#[must_use]
pub fn choose(wish: Wish, linked: Option<&Linked>, types: Option<&[String]>) -> Choice {
    let mpi = match linked {
        Some(Linked { library, family: Some(family) }) => {
            format!("the program is linked with {family} ({library})")
        }
        Some(Linked { library, family: None }) => format!("the program is linked with {library}, of any MPI"),
        None => "the program is linked with no MPI".to_owned(),
    };
    let family = linked.and_then(|linked| linked.family);
    let wanted: &[&str] = match (linked, family) {
        (None, _) => &["none"],
        (_, Some(Family::Mpich)) => &["pmi2", "cray_shasta", "pmix"],
        (_, Some(Family::Intel)) if wish == Wish::Auto => &[],
        (_, Some(Family::Intel)) => &["pmi2"],
        (_, Some(Family::OpenMpi)) => &["pmix"],
        (_, None) => &["pmix", "pmi2"],
    };
    if wish == Wish::Mpirun {
        return Choice { launcher: Launcher::Mpirun, why: format!("{mpi}, and mpirun was asked for") };
    }
    let Some(types) = types else {
        return match wanted.first() {
            Some(first) => Choice {
                launcher: Launcher::Srun { mpi: (*first).to_owned() },
                why: format!("{mpi}; `srun --mpi=list` could not be asked here"),
            },
            None => Choice { launcher: Launcher::Mpirun, why: format!("{mpi}, which has its own launcher") },
        };
    };
    // "pmix" stands for the newest of pmix_v3, pmix_v4, …; a Slurm may have only one of those.
    let there = |name: &str| {
        let versioned = |kind: &&String| kind.strip_prefix(name).is_some_and(|rest| rest.starts_with("_v"));
        let exact = types.iter().find(|kind| *kind == name);
        exact.or_else(|| types.iter().rev().find(versioned)).cloned()
    };
    let list = types.join(", ");
    match wanted.iter().find_map(|name| there(name)) {
        Some(mpi_type) => Choice {
            launcher: Launcher::Srun { mpi: mpi_type },
            why: format!("{mpi}, and `srun --mpi=list` shows {list}"),
        },
        None if wish == Wish::Srun => Choice {
            launcher: Launcher::Srun { mpi: (*wanted.first().unwrap_or(&"pmi2")).to_owned() },
            why: format!("{mpi}, and srun was asked for, though `srun --mpi=list` shows {list} only"),
        },
        None if wanted.is_empty() => {
            Choice { launcher: Launcher::Mpirun, why: format!("{mpi}, which has its own launcher") }
        }
        None => Choice {
            launcher: Launcher::Mpirun,
            why: format!("{mpi}, and `srun --mpi=list` shows {list}, none of which it speaks"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(wish: Wish, library: Option<(&str, Option<Family>)>, types: Option<&str>) -> (String, String) {
        let linked = library.map(|(library, family)| Linked { library: library.to_owned(), family });
        let types: Option<Vec<String>> =
            types.map(|types| types.split_whitespace().map(str::to_owned).collect());
        let choice = choose(wish, linked.as_ref(), types.as_deref());
        let launcher = match choice.launcher {
            Launcher::Srun { mpi } => mpi,
            Launcher::Mpirun => "mpirun".to_owned(),
        };
        (launcher, choice.why)
    }

    #[test]
    fn each_library_gets_what_it_speaks() {
        let open = Some(("libmpi.so.40", Some(Family::OpenMpi)));
        let mpich = Some(("libmpich.so.12", Some(Family::Mpich)));
        let intel = Some(("libmpi.so.12", Some(Family::Intel)));
        let any = Some(("libmpi_abi.so.1", None));
        let debian = Some("none pmi2 pmix pmix_v4");
        for (wish, library, types, expected) in [
            (Wish::Auto, open, debian, "pmix"),
            (Wish::Auto, open, Some("none pmix_v3 pmix_v4"), "pmix_v4"),
            (Wish::Auto, open, Some("none pmi2"), "mpirun"),
            (Wish::Srun, open, Some("none pmi2"), "pmix"),
            (Wish::Auto, open, None, "pmix"),
            (Wish::Auto, mpich, debian, "pmi2"),
            (Wish::Auto, mpich, Some("cray_shasta none"), "cray_shasta"),
            (Wish::Auto, mpich, Some("none"), "mpirun"),
            (Wish::Auto, mpich, None, "pmi2"),
            (Wish::Auto, intel, debian, "mpirun"),
            (Wish::Srun, intel, debian, "pmi2"),
            (Wish::Auto, any, debian, "pmix"),
            (Wish::Auto, any, Some("none pmi2"), "pmi2"),
            (Wish::Auto, None, debian, "none"),
            (Wish::Mpirun, open, debian, "mpirun"),
        ] {
            let (launcher, why) = chosen(wish, library, types);
            assert_eq!(launcher, expected, "{wish:?} {library:?} {types:?}: {why}");
            assert!(why.starts_with("the program is linked with "), "{why}");
        }
        let (_, why) = chosen(Wish::Auto, open, debian);
        assert_eq!(
            why,
            "the program is linked with Open MPI (libmpi.so.40), and `srun --mpi=list` shows none, pmi2, pmix, pmix_v4"
        );
    }
}
