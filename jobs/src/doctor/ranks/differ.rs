//! What each rank is, and what differs between ranks that should be alike: binding to cores, libraries, environment.

use super::super::Finding;
use super::super::finding::shortened;
use super::super::machine::ranges;
use super::super::transport::Offer;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a rank tells of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Facts {
    pub rank: usize,
    pub node: String,
    /// The cores it may use.
    pub cores: Vec<usize>,
    /// The threads it is to have.
    pub threads: usize,
    pub library: Option<String>,
    pub hdf5: Option<String>,
    pub thread_level: Option<String>,
    /// The command's own file and version, with the file's length.
    pub program: String,
    /// Variables that decide what MPI, HDF5 and threads do.
    pub environment: BTreeMap<String, String>,
    /// Memory that a neighbour may try to read.
    pub offer: Offer,
}

impl Facts {
    pub fn of(rank: usize, node: String, threads: usize) -> Facts {
        let program = std::env::current_exe().unwrap_or_default();
        let length = std::fs::metadata(&program).map_or(0, |file| file.len());
        Facts {
            rank,
            node,
            cores: super::super::machine::cores(),
            threads,
            library: rankine::launch::mpi_library(),
            hdf5: rankine::output::hdf5_library(),
            thread_level: rankine::launch::thread_level().map(str::to_string),
            program: format!("{} {} ({length} bytes)", program.display(), env!("CARGO_PKG_VERSION")),
            environment: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
                })
                .filter(|(name, _)| decides(name))
                .collect(),
            offer: Offer::mine(),
        }
    }
}

/// Whether a variable decides what a job does, and is not one that a launcher gives each rank its own of.
fn decides(name: &str) -> bool {
    const STARTS: [&str; 10] =
        ["UCX_", "FI_", "MPICH_", "I_MPI_", "HDF5_", "OMP_", "RANKINE_", "PSM2_", "MALLOC_", "OMPI_MCA_"];
    // Open MPI's launcher sets these by itself.
    const OWN: [&str; 7] = ["ess_", "orte_", "pmix", "initial_wdir", "shmem_", "prte_", "plm_"];
    if let Some(parameter) = name.strip_prefix("OMPI_MCA_") {
        return !OWN.iter().any(|own| parameter.starts_with(own));
    }
    name == "LD_LIBRARY_PATH" || name == "LD_PRELOAD" || STARTS.iter().any(|start| name.starts_with(start))
}

/// What differs between ranks.
pub fn judge(facts: &[Facts]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let same = "start the same binary with the same modules on all nodes; load them in the batch script";
    alike(&mut findings, facts, "MPI", same, |facts| facts.library.clone().unwrap_or_default());
    alike(&mut findings, facts, "HDF5", same, |facts| facts.hdf5.clone().unwrap_or_default());
    alike(&mut findings, facts, "binary", same, |facts| facts.program.clone());
    if let Some(level) = facts.first().and_then(|facts| facts.thread_level.as_deref()) {
        findings.push(Finding::ok("thread level", level));
    }
    let mut names: Vec<&String> = facts.iter().flat_map(|facts| facts.environment.keys()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let value = |facts: &Facts| match facts.environment.get(name) {
            Some(value) => format!("{name}={value}"),
            None => format!("no {name}"),
        };
        let fix =
            "set it in the batch script and pass it on (srun: --export=ALL; Open MPI: -x; MPICH: -genvlist)";
        if let Some(found) = difference(facts, value) {
            findings.push(
                Finding::warn("environment", found, fix)
                    .by(format!("mpirun -x {name} -n N rankine run KERNEL")),
            );
        }
    }
    findings.extend(binding(facts));
    findings
}

fn alike(
    findings: &mut Vec<Finding>,
    facts: &[Facts],
    what: &str,
    fix: &str,
    value: impl Fn(&Facts) -> String,
) {
    if let Some(found) = difference(facts, value) {
        findings.push(Finding::fault(what, found, fix));
    }
}

/// Which ranks have which value, where there are several.
fn difference(facts: &[Facts], value: impl Fn(&Facts) -> String) -> Option<String> {
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for facts in facts {
        let nodes = values.entry(value(facts)).or_default();
        let here = format!("{} (rank {})", facts.node, facts.rank);
        nodes.push(here);
    }
    if values.len() < 2 {
        return None;
    }
    let mut values: Vec<_> = values.into_iter().collect();
    // What most have comes last; the others are to be told.
    values.sort_by_key(|(_, ranks)| ranks.len());
    let shown = values.iter().take(3).map(|(value, ranks)| format!("{value} on {}", shortened(ranks)));
    Some(format!("ranks differ: {}", shown.collect::<Vec<_>>().join("; ")))
}

/// Ranks against the cores that each is bound to, node by node.
fn binding(facts: &[Facts]) -> Vec<Finding> {
    const WHAT: &str = "binding";
    let mut findings = Vec::new();
    let mut nodes: Vec<(&str, Vec<&Facts>)> = Vec::new();
    for facts in facts {
        match nodes.iter_mut().find(|(node, _)| *node == facts.node) {
            Some((_, ranks)) => ranks.push(facts),
            None => nodes.push((&facts.node, vec![facts])),
        }
    }
    for (node, ranks) in nodes {
        let mut finding = of_node(WHAT, &ranks);
        finding.nodes = vec![node.to_string()];
        findings.push(finding);
    }
    findings
}

fn of_node(what: &str, ranks: &[&Facts]) -> Finding {
    let mut all: Vec<usize> = ranks.iter().flat_map(|facts| facts.cores.iter().copied()).collect();
    all.sort_unstable();
    all.dedup();
    let wanted: usize = ranks.iter().map(|facts| facts.threads).sum();
    let bound = |facts: &Facts| format!("rank {} on cores {}", facts.rank, ranges(&facts.cores));
    let threads = ranks.first().map_or(1, |facts| facts.threads);
    let launcher = format!(
        "mpirun --bind-to none, or mpirun --map-by slot:PE={threads}, or srun --cpus-per-task={threads} --cpu-bind=cores"
    );
    // First the rank that cannot have its threads, though the node has cores for all.
    if let Some(narrow) = ranks.iter().find(|facts| facts.cores.len() < facts.threads)
        && wanted > ranks.len()
    {
        return Finding::warn(
            what,
            format!("{}: {} threads share {} of them", bound(narrow), narrow.threads, narrow.cores.len()),
            format!("bind each rank to as many cores as it has threads: {launcher}"),
        )
        .by("mpirun --bind-to none -n N rankine run KERNEL");
    }
    if wanted > all.len() {
        return Finding::warn(
            what,
            format!(
                "{} ranks with {wanted} threads in all share {} cores: right, but slow",
                ranks.len(),
                all.len()
            ),
            "fewer ranks or threads on a node, or more nodes",
        );
    }
    let meet = ranks.iter().enumerate().find_map(|(at, one)| {
        let other = ranks[at + 1..].iter().find(|other| {
            let shared = one.cores.iter().filter(|core| other.cores.contains(core)).count();
            // Ranks that may use all of the same cores are sorted out by the system, if there are enough.
            let room = one.cores.len().max(other.cores.len());
            shared > 0 && room < one.threads + other.threads
        })?;
        Some((one, other))
    });
    if let Some((one, other)) = meet {
        return Finding::warn(
            what,
            format!("{} and {}: they share cores while others are idle", bound(one), bound(other)),
            format!("give each rank cores of its own: {launcher}"),
        )
        .by("mpirun --bind-to core -n N rankine run KERNEL");
    }
    let few: Vec<String> = ranks.iter().take(4).map(|facts| bound(facts)).collect();
    let rest = if ranks.len() > few.len() { ", and so on" } else { "" };
    Finding::ok(what, format!("{}{rest}", few.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::super::super::State;
    use super::*;

    fn rank(rank: usize, node: &str, cores: &[usize], threads: usize) -> Facts {
        Facts {
            cores: cores.to_vec(),
            library: Some("Open MPI v4.1.4".into()),
            environment: BTreeMap::new(),
            ..Facts::of(rank, node.to_string(), threads)
        }
    }

    fn bound(ranks: &[Facts]) -> Finding {
        of_node("binding", &ranks.iter().collect::<Vec<_>>())
    }

    #[test]
    fn how_ranks_are_bound() {
        let ok = bound(&[rank(0, "a", &[0, 1], 2), rank(1, "a", &[2, 3], 2)]);
        assert!(ok.state == State::Ok && ok.found == "rank 0 on cores 0-1, rank 1 on cores 2-3", "{ok:?}");
        assert_eq!(bound(&[rank(0, "a", &[0, 1], 1), rank(1, "a", &[0, 1], 1)]).state, State::Ok);
        let narrow = bound(&[rank(0, "a", &[0], 2), rank(1, "a", &[1], 2)]);
        assert!(narrow.found.contains("rank 0 on cores 0: 2 threads share 1"), "{narrow:?}");
        let many = bound(&[rank(0, "a", &[0, 1], 2), rank(1, "a", &[0, 1], 2)]);
        assert!(many.found.contains("2 ranks with 4 threads in all share 2 cores"), "{many:?}");
        let met = bound(&[rank(0, "a", &[0], 1), rank(1, "a", &[0], 1), rank(2, "a", &[1, 2], 1)]);
        assert!(met.found.contains("rank 0 on cores 0 and rank 1 on cores 0: they share"), "{met:?}");
    }

    #[test]
    fn what_differs_is_told_with_who() {
        let mut ranks = [rank(0, "a", &[0], 1), rank(1, "b", &[0], 1), rank(2, "c", &[0], 1)];
        assert!(judge(&ranks).iter().all(|finding| finding.state == State::Ok));
        ranks[1].library = Some("Open MPI v5.0.11".into());
        ranks[2].environment.insert("UCX_TLS".into(), "tcp".into());
        let findings = judge(&ranks);
        let library = findings.iter().find(|finding| finding.what == "MPI").unwrap();
        assert!(library.found.starts_with("ranks differ: Open MPI v5.0.11 on b (rank 1); "), "{library:?}");
        let variable = findings.iter().find(|finding| finding.what == "environment").unwrap();
        assert!(variable.found.contains("UCX_TLS=tcp on c (rank 2)"), "{variable:?}");
        assert!(decides("OMPI_MCA_btl") && !decides("OMPI_MCA_ess_base_vpid") && !decides("PATH"));
    }
}
