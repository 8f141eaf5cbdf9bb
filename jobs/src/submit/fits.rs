//! Whether the ranks fit into the memory that is asked for, or that the cluster's nodes have, by the kernel's own
//! estimate. It counts before anything is submitted; the run looks again at what a node really has.

use rankine::{Error, Result};
use rankine_slurm::{Nodes, Resources};

/// Refuses what cannot fit: `bytes` for each rank of `wanted`. `nodes` is what the cluster has, where it could be asked.
///
/// # Errors
/// The memory a rank and a node need, what they would get, and what to ask for.
pub fn check(kernel: &str, bytes: u64, wanted: &Resources, nodes: Option<&[Nodes]>) -> Result<()> {
    let (per_cpu, per_node) = wanted.memory().map_err(super::slurm)?;
    let ranks = u64::from(wanted.ranks);
    let threads = u64::from(wanted.threads.max(1));
    let kinds = nodes.map(|nodes| of_partitions(nodes, wanted.partition.as_deref())).unwrap_or_default();
    // Without a number of nodes Slurm fills one after the other.
    let on = |kind: Option<&Nodes>| match (wanted.most_on_a_node(), kind) {
        (Some(most), _) => u64::from(most).min(ranks),
        (None, Some(kind)) => (u64::from(kind.cpus) / threads).clamp(1, ranks),
        (None, None) => 1,
    };
    if let Some(each) = per_cpu {
        let rank = each.saturating_mul(threads);
        if bytes <= rank {
            return Ok(());
        }
        let what = format!(
            "{} of memory, as {kernel} estimates, but --mem-per-cpu={} gives it {} ({threads} {})",
            size(bytes),
            wanted.mem_per_cpu.as_deref().unwrap_or_default(),
            size(rank),
            if threads == 1 { "CPU" } else { "CPUs" },
        );
        return Err(Error::usage(format!("a rank needs {what}")).help(format!(
            "ask for --mem-per-cpu={} or more, spread the problem over more ranks, or make it smaller",
            ask(bytes.div_ceil(threads))
        )));
    }
    if let Some(memory) = per_node {
        let smallest = kinds.iter().min_by_key(|kind| on(Some(kind)));
        let there = on(smallest.copied());
        let needed = bytes.saturating_mul(there);
        if needed <= memory {
            return Ok(());
        }
        let said = wanted.mem_per_node.as_deref().unwrap_or_default();
        return Err(Error::usage(format!(
            "{}, but --mem={said} asks for {}",
            needs(kernel, bytes, there),
            size(memory)
        ))
        .help(format!(
            "ask for --mem={} or more{}",
            ask(needed),
            spread(bytes, memory, ranks, there)
        )));
    }
    let fits = |kind: &&Nodes| bytes.saturating_mul(on(Some(kind))) <= kind.memory;
    let Some(best) = kinds.iter().copied().max_by_key(|kind| kind.memory / on(Some(kind)).max(1)) else {
        return Ok(());
    };
    if kinds.iter().any(fits) {
        return Ok(());
    }
    let there = on(Some(best));
    Err(Error::usage(format!(
        "{}, but the {} of partition {} have {} each",
        needs(kernel, bytes, there),
        if best.count == 1 { "node".to_string() } else { format!("{} nodes", best.count) },
        best.partition,
        size(best.memory)
    ))
    .help(format!("choose another --partition{}", spread(bytes, best.memory, ranks, there))))
}

fn needs(kernel: &str, bytes: u64, ranks: u64) -> String {
    let all = size(bytes.saturating_mul(ranks));
    let ranks = if ranks == 1 { "1 rank".to_string() } else { format!("{ranks} ranks") };
    format!("the run needs {all} of memory on a node ({ranks} of {}, as {kernel} estimates)", size(bytes))
}

/// The words for fewer ranks on each node, where that helps.
fn spread(bytes: u64, memory: u64, ranks: u64, there: u64) -> String {
    match memory / bytes.max(1) {
        0 => ", spread the problem over more ranks, or make it smaller".to_string(),
        most if most < there => format!(
            ", spread the ranks: --ranks-per-node {most} --nodes {}, or make the problem smaller",
            ranks.div_ceil(most)
        ),
        _ => ", or make the problem smaller".to_string(),
    }
}

/// The kinds of nodes of the partitions asked for, or of the default one.
fn of_partitions<'n>(nodes: &'n [Nodes], asked: Option<&str>) -> Vec<&'n Nodes> {
    let wanted = |node: &&Nodes| match asked {
        Some(asked) => asked.split(',').any(|name| name == node.partition),
        None => node.is_default,
    };
    nodes.iter().filter(wanted).collect()
}

/// As people read it: `1.50 GiB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = if unit == 0 || value >= 100.0 { 0 } else { 1 + usize::from(value < 10.0) };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// As Slurm reads it, no less than `bytes`.
fn ask(bytes: u64) -> String {
    match bytes.div_ceil(1 << 20) {
        mebi if mebi >= 10 << 10 => format!("{}G", mebi.div_ceil(1 << 10)),
        mebi => format!("{}M", mebi.max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn node(partition: &str, is_default: bool, cpus: u32, memory: u64) -> Nodes {
        Nodes { partition: partition.to_string(), is_default, count: 4, cpus, memory }
    }

    fn said(bytes: u64, wanted: &Resources, nodes: Option<&[Nodes]>) -> String {
        let error = check("heat3d", bytes, wanted, nodes).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    }

    #[test]
    fn memory_for_each_cpu() {
        let wanted =
            Resources { ranks: 8, threads: 2, mem_per_cpu: Some("1G".into()), ..Resources::default() };
        assert!(check("k", 2 * GIB, &wanted, None).is_ok());
        let text = said(2 * GIB + 1, &wanted, None);
        assert!(text.contains("a rank needs 2.00 GiB of memory, as heat3d estimates"), "{text}");
        assert!(text.contains("--mem-per-cpu=1G gives it 2.00 GiB (2 CPUs)"), "{text}");
        assert!(text.contains("--mem-per-cpu=1025M or more"), "{text}");
    }

    #[test]
    fn memory_on_each_node() {
        let wanted =
            |nodes| Resources { ranks: 8, nodes, mem_per_node: Some("8G".into()), ..Resources::default() };
        assert!(check("k", 4 * GIB, &wanted(Some(4)), None).is_ok());
        let text = said(3 * GIB, &wanted(Some(2)), None);
        assert!(
            text.contains("12.0 GiB of memory on a node (4 ranks of 3.00 GiB, as heat3d estimates)"),
            "{text}"
        );
        assert!(text.contains("--mem=8G asks for 8.00 GiB"), "{text}");
        assert!(text.contains("--mem=12G or more, spread the ranks: --ranks-per-node 2 --nodes 4"), "{text}");
        // Nobody knows how many ranks a node will have; one has to fit.
        assert!(check("k", 8 * GIB, &wanted(None), None).is_ok());
        assert!(said(9 * GIB, &wanted(None), None).contains("over more ranks"));
        let small = [node("p", true, 4, 64 * GIB)];
        assert!(said(3 * GIB, &wanted(None), Some(&small)).contains("4 ranks of 3.00 GiB"));
    }

    #[test]
    fn memory_of_the_partitions_nodes() {
        let nodes = [
            node("debug", true, 4, 8 * GIB),
            node("fat", false, 64, 1024 * GIB),
            node("mixed", false, 4, 8 * GIB),
            node("mixed", false, 4, 64 * GIB),
        ];
        let wanted = |partition: &str, nodes| Resources {
            ranks: 8,
            nodes,
            partition: (!partition.is_empty()).then(|| partition.to_string()),
            ..Resources::default()
        };
        let check = |bytes, wanted: &Resources| check("k", bytes, wanted, Some(&nodes));
        assert!(check(2 * GIB, &wanted("", None)).is_ok());
        let text = said(3 * GIB, &wanted("", None), Some(&nodes));
        assert!(
            text.contains("4 ranks of 3.00 GiB") && text.contains("4 nodes of partition debug have 8.00 GiB"),
            "{text}"
        );
        assert!(text.contains("--ranks-per-node 2 --nodes 4"), "{text}");
        assert!(check(3 * GIB, &wanted("", Some(4))).is_ok());
        assert!(check(3 * GIB, &wanted("fat", None)).is_ok());
        assert!(check(3 * GIB, &wanted("debug,fat", None)).is_ok());
        assert!(check(16 * GIB, &wanted("mixed", Some(4))).is_ok());
        assert!(check(33 * GIB, &wanted("mixed", Some(4))).is_err());
        assert!(check(1 << 60, &wanted("unheard-of", None)).is_ok(), "Slurm will say that");
        assert!(check(u64::MAX, &wanted("", None)).is_err());
    }
}
