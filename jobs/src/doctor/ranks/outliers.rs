//! Which node is slow, or which link between two, told from the times of all pairs. Nothing is measured here.

use super::super::Finding;
use super::super::finding::Pair;

/// So many times as bad as most pairs is worth a word.
const FACTOR: f64 = 2.5;

/// Shorter differences of latency are the switch's, or the machine's other work.
const JITTER: f64 = 2e-5;

/// Slower than a 1 Gb/s network; where there is nothing to compare with.
const GIGABIT: f64 = 1.1e8;

/// What stands out, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Silence,
    Bandwidth,
    Latency,
}

/// The pairs of a list that stand out among those between nodes.
pub fn outstanding(pairs: &[Pair]) -> Vec<usize> {
    let mut all: Vec<usize> = [By::Silence, By::Bandwidth, By::Latency]
        .into_iter()
        .flat_map(|by| (0..pairs.len()).filter(move |&at| stands_out(by, pairs, at)))
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// What the usual pair reaches: the better ones, since one bad node spoils a good part of all pairs.
fn usual(by: By, pairs: &[Pair]) -> Option<f64> {
    let mut values: Vec<f64> = pairs.iter().filter_map(|pair| value(by, pair)).collect();
    values.sort_by(f64::total_cmp);
    match by {
        By::Bandwidth => values.get((values.len() * 3 / 4).min(values.len().saturating_sub(1))).copied(),
        _ => values.get(values.len() / 4).copied(),
    }
}

fn value(by: By, pair: &Pair) -> Option<f64> {
    match by {
        By::Bandwidth => pair.bandwidth,
        _ => pair.latency,
    }
}

fn stands_out(by: By, pairs: &[Pair], at: usize) -> bool {
    let pair = &pairs[at];
    let Some(usual) = usual(by, pairs) else { return by == By::Silence && pair.latency.is_none() };
    match (by, value(by, pair)) {
        (By::Silence, latency) => latency.is_none(),
        // Long messages that did not arrive in time, though short ones did.
        (By::Bandwidth, None) => pair.latency.is_some(),
        (By::Bandwidth, Some(rate)) => rate * FACTOR < usual,
        (By::Latency, Some(seconds)) => seconds > usual * FACTOR && seconds > usual + JITTER,
        (By::Latency, None) => false,
    }
}

/// Names the nodes and links that stand out among the pairs between nodes.
pub fn judge(pairs: &[Pair]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for by in [By::Silence, By::Bandwidth, By::Latency] {
        let bad: Vec<&Pair> =
            (0..pairs.len()).filter(|&at| stands_out(by, pairs, at)).map(|at| &pairs[at]).collect();
        let (nodes, links) = blame(&bad, pairs);
        findings.extend(nodes.iter().map(|node| of_node(by, node, pairs)));
        findings.extend(links.iter().map(|pair| of_link(by, pair, pairs)));
    }
    if findings.is_empty()
        && let Some(finding) = overall(pairs)
    {
        findings.push(finding);
    }
    findings
}

/// A node most of whose pairs are bad is to blame for them; what is left is between two.
fn blame<'p>(bad: &[&'p Pair], all: &'p [Pair]) -> (Vec<&'p str>, Vec<&'p Pair>) {
    let mut left = bad.to_vec();
    let mut nodes = Vec::new();
    let of = |pairs: &[&Pair], node: &str| {
        pairs.iter().filter(|pair| pair.nodes.iter().any(|n| n == node)).count()
    };
    let all_refs: Vec<&Pair> = all.iter().collect();
    loop {
        let mut names: Vec<&str> =
            left.iter().flat_map(|pair| pair.nodes.iter().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        let worst = names
            .into_iter()
            .map(|node| (of(&left, node), node))
            .filter(|&(bad, node)| bad >= 2 && 2 * bad > of(&all_refs, node))
            .max_by_key(|&(bad, _)| bad);
        let Some((_, node)) = worst else { return (nodes, left) };
        nodes.push(node);
        left.retain(|pair| pair.nodes.iter().all(|n| n != node));
    }
}

fn of_node(by: By, node: &str, pairs: &[Pair]) -> Finding {
    let here: Vec<&Pair> = pairs.iter().filter(|pair| pair.nodes.iter().any(|n| n == node)).collect();
    let best =
        |by, better: fn(f64, f64) -> f64| here.iter().filter_map(|pair| value(by, pair)).reduce(better);
    match by {
        By::Silence => Finding::fault(
            "network",
            format!("{node} does not answer messages of {} other nodes", here.iter().filter(|pair| pair.latency.is_none()).count()),
            format!("see whether it is up and which interfaces it has, or leave it out (srun, sbatch: --exclude={node})"),
        )
        .by(format!("ping -c 3 {node}")),
        By::Bandwidth => Finding::warn(
            "network",
            format!("{node} is slow: {} with any other node, {} usually", rate(best(by, f64::max)), rate(usual(by, pairs))),
            format!("look at its link's speed and errors, or leave it out (srun, sbatch: --exclude={node})"),
        )
        .by(format!("ssh {node} ip -s link")),
        By::Latency => Finding::warn(
            "network",
            format!("{node} answers late: {} with any other node, {} usually", time(best(by, f64::min)), time(usual(by, pairs))),
            format!("look what else runs there, or leave it out (srun, sbatch: --exclude={node})"),
        )
        .by(format!("ssh {node} uptime")),
    }
}

fn of_link(by: By, pair: &Pair, pairs: &[Pair]) -> Finding {
    let [a, b] = &pair.nodes;
    match by {
        By::Silence => Finding::fault(
            "network",
            format!("no message arrives between {a} and {b}, but others reach both"),
            "see whether they reach each other by the network that MPI chose (Open MPI: --mca btl_tcp_if_include)",
        )
        .by(format!("ssh {a} ping -c 3 {b}")),
        By::Bandwidth => Finding::warn(
            "network",
            format!("slow between {a} and {b}: {}, {} usually", rate(pair.bandwidth), rate(usual(by, pairs))),
            "look at the switches between them",
        )
        .by(format!("ssh {a} ip -s link")),
        By::Latency => Finding::warn(
            "network",
            format!("late between {a} and {b}: {}, {} usually", time(pair.latency), time(usual(by, pairs))),
            "look at the switches between them, and at what else runs there",
        )
        .by(format!("ssh {a} ping -c 3 {b}")),
    }
}

/// What all pairs come to, where none stands out.
fn overall(pairs: &[Pair]) -> Option<Finding> {
    let bandwidth = pairs.iter().filter_map(|pair| pair.bandwidth).reduce(f64::min)?;
    let latency = pairs.iter().filter_map(|pair| pair.latency).reduce(f64::max)?;
    let reduced = pairs.iter().filter_map(|pair| pair.allreduce).reduce(f64::max);
    let found = format!(
        "{} pair{} of nodes: at most {}, at least {}; allreduce of two at most {}",
        pairs.len(),
        super::super::plural(pairs.len()),
        time(Some(latency)),
        rate(Some(bandwidth)),
        time(reduced)
    );
    if bandwidth < GIGABIT {
        let fix = "see which network MPI has chosen (Open MPI: --mca btl_tcp_if_include, UCX_NET_DEVICES)";
        return Some(Finding::warn("network", format!("{found}: slower than 1 Gb/s"), fix).by("ip -br link"));
    }
    Some(Finding::ok("network", found))
}

pub fn time(seconds: Option<f64>) -> String {
    match seconds {
        Some(seconds) if seconds < 1e-3 => format!("{:.1} us", seconds * 1e6),
        Some(seconds) => format!("{:.1} ms", seconds * 1e3),
        None => "no answer".to_string(),
    }
}

pub fn rate(bytes: Option<f64>) -> String {
    match bytes {
        Some(bytes) if bytes >= 1e9 => format!("{:.1} GB/s", bytes / 1e9),
        Some(bytes) => format!("{:.1} MB/s", bytes / 1e6),
        None => "nothing in time".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::State;
    use super::*;

    /// All pairs of so many nodes, with what `times` gives to a pair.
    fn pairs(n: usize, times: impl Fn(usize, usize) -> (Option<f64>, Option<f64>)) -> Vec<Pair> {
        let all = (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b)));
        all.map(|(a, b)| {
            let (latency, bandwidth) = times(a, b);
            Pair {
                nodes: [format!("n{a}"), format!("n{b}")],
                ranks: [a, b],
                latency,
                bandwidth,
                allreduce: None,
            }
        })
        .collect()
    }

    fn found(pairs: &[Pair]) -> Vec<String> {
        judge(pairs).into_iter().map(|finding| finding.found).collect()
    }

    #[test]
    fn one_slow_node_is_named_among_three_and_more() {
        for n in 3..9 {
            for slow in 0..n {
                let all = pairs(n, |a, b| (Some(2e-6), Some(if a == slow || b == slow { 1e8 } else { 1e9 })));
                let found = found(&all);
                assert_eq!(
                    found,
                    [format!("n{slow} is slow: 100.0 MB/s with any other node, 1.0 GB/s usually")]
                );
                let late =
                    pairs(n, |a, b| (Some(if a == slow || b == slow { 1e-3 } else { 2e-6 }), Some(1e9)));
                assert!(judge(&late)[0].found.starts_with(&format!("n{slow} answers late: 1.0 ms")));
            }
        }
    }

    #[test]
    fn a_bad_link_is_one_between_two() {
        let all = pairs(4, |a, b| (Some(2e-6), Some(if (a, b) == (1, 3) { 1e8 } else { 1e9 })));
        assert_eq!(found(&all), ["slow between n1 and n3: 100.0 MB/s, 1.0 GB/s usually"]);
        let cut = pairs(4, |a, b| if (a, b) == (1, 2) { (None, None) } else { (Some(2e-6), Some(1e9)) });
        assert_eq!(found(&cut), ["no message arrives between n1 and n2, but others reach both"]);
        assert_eq!(judge(&cut)[0].state, State::Fault);
        let away = pairs(4, |a, _| if a == 0 { (None, None) } else { (Some(2e-6), Some(1e9)) });
        assert_eq!(found(&away), ["n0 does not answer messages of 3 other nodes"]);
    }

    #[test]
    fn noise_is_no_finding() {
        let all = pairs(5, |a, b| (Some(2e-6 * (1 + a + b) as f64), Some(1e9 * (1.0 + 0.1 * a as f64))));
        let judged = judge(&all);
        assert!(judged.len() == 1 && judged[0].state == State::Ok, "{judged:?}");
        assert_eq!(judge(&pairs(1, |_, _| (None, None))), []);
        // Two nodes have nothing to be compared with but what networks do.
        let two = judge(&pairs(2, |_, _| (Some(1e-4), Some(1e7))));
        assert!(two[0].state == State::Warn && two[0].found.contains("slower than 1 Gb/s"), "{two:?}");
    }
}
