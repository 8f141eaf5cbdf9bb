//! What MPI libraries get wrong about windows, by their versions.

/// What a window does in another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Faults {
    /// Accesses to a small part that MPI_Win_allocate made miss it (MPICH 4.0.2 over UCX, in plain C, with parts of up to
    /// 8 bytes; MPICH's pull request 6140, of later in 2022, mends the address that the other ranks are told). Windows over
    /// given memory are right.
    pub allocates_wrongly: bool,
    /// An epoch is over before a large get is there (MPICH 4.0.2 over UCX 1.13, in plain C: the last pieces of 800 kB, or
    /// all of it, are missing now and then with more ranks than cores). Requests of gets are complete when they say so; that
    /// this MPI takes them in every kind of epoch is its own affair.
    pub loses_gets: bool,
    /// MPI_Win_start counts posts, whoever they are from: ranks that post for a later epoch make it return too early, or
    /// never (every MPICH that was tried, 4.0.2 to 5.0.2, in plain C). With MPI_MODE_NOCHECK it counts none, and who has
    /// posted is said in messages.
    pub counts_posts: bool,
}

impl Faults {
    /// Those of the library with this version.
    pub fn of(version: &str) -> Faults {
        let name = version.lines().next().unwrap_or_default();
        let release = name.split_whitespace().last().unwrap_or_default();
        let old = name.starts_with("MPICH") && release.starts_with("4.0");
        // Many libraries are made from MPICH.
        Faults { allocates_wrongly: old, loses_gets: old, counts_posts: !name.starts_with("Open MPI") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_those_of_the_library() {
        let faults = |version| {
            let Faults { allocates_wrongly, loses_gets, counts_posts } = Faults::of(version);
            [allocates_wrongly, loses_gets, counts_posts]
        };
        assert_eq!(faults("MPICH Version:\t4.0.2\nMPICH Device:\tch4:ucx"), [true, true, true]);
        assert_eq!(faults("MPICH Version:      5.0.2\nMPICH ABI: 18:2:6"), [false, false, true]);
        assert_eq!(faults("Intel(R) MPI Library 2021.14 for Linux* OS"), [false, false, true]);
        assert_eq!(faults("Open MPI v4.1.4, package: Debian OpenMPI"), [false; 3]);
        // Not in another place.
        assert_eq!(faults("MPICH Version:\t3.4.0\nMPICH Release date: 4.0"), [false, false, true]);
    }
}
