//! The wait-for graph, and its reduction: whom can nothing release any more?
//!
//! A rank waits for all or for one of several things, nested as they are (the AND/OR model of Barbosa, "Blocking versus
//! nonblocking interprocess communication", 1990, and of Hilbrich et al., "MPI runtime error detection with MUST", 2012). What
//! is under way counts as there. Where the waits come from is `look`'s business.

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

/// What must happen before a rank goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nothing: it is there or under way, or nobody knows better.
    Nothing,
    /// An act of this rank of the world.
    For(u32),
    All(Vec<Wait>),
    /// One of these; of none, it will never happen.
    Any(Vec<Wait>),
}

/// What is known of a rank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// It may do anything yet.
    Live,
    Waiting(Wait),
    /// It does nothing any more.
    Gone,
}

impl Wait {
    fn can_end(&self, live: &[bool]) -> bool {
        match self {
            Wait::Nothing => true,
            // A rank that nobody has heard of may do anything.
            Wait::For(rank) => live.get(*rank as usize).copied().unwrap_or(true),
            Wait::All(waits) => waits.iter().all(|wait| wait.can_end(live)),
            Wait::Any(waits) => waits.iter().any(|wait| wait.can_end(live)),
        }
    }

    /// The ranks it names.
    pub fn ranks(&self, into: &mut Vec<u32>) {
        match self {
            Wait::Nothing => {}
            Wait::For(rank) => into.push(*rank),
            Wait::All(waits) | Wait::Any(waits) => waits.iter().for_each(|wait| wait.ranks(into)),
        }
    }
}

/// The ranks that wait for ever, in order.
pub(crate) fn stuck(nodes: &[Node]) -> Vec<u32> {
    let mut live: Vec<bool> = nodes.iter().map(|node| matches!(node, Node::Live)).collect();
    let mut waiting: Vec<usize> =
        (0..nodes.len()).filter(|&rank| matches!(nodes[rank], Node::Waiting(_))).collect();
    loop {
        let before = waiting.len();
        waiting.retain(|&rank| {
            let Node::Waiting(wait) = &nodes[rank] else { return false };
            live[rank] = wait.can_end(&live);
            !live[rank]
        });
        if waiting.len() == before {
            return waiting.into_iter().map(|rank| rank as u32).collect();
        }
    }
}

/// The edges of a rank that are looked at: enough to find a circle.
const EDGES: usize = 64;

/// Those of the stuck ranks whom the others wait for: circles of ranks that wait for each other, and ranks that wait for none
/// of the stuck. Each group in order; the groups by their first rank.
pub(crate) fn cores(nodes: &[Node], stuck: &[u32]) -> Vec<Vec<u32>> {
    let mut graph = DiGraph::<u32, ()>::new();
    let indices: Vec<NodeIndex> = stuck.iter().map(|&rank| graph.add_node(rank)).collect();
    for (at, &rank) in stuck.iter().enumerate() {
        let Node::Waiting(wait) = &nodes[rank as usize] else { continue };
        let mut targets = Vec::new();
        wait.ranks(&mut targets);
        let among = targets.iter().filter_map(|target| stuck.binary_search(target).ok());
        for to in among.take(EDGES) {
            graph.update_edge(indices[at], indices[to], ());
        }
    }
    let mut cores = Vec::new();
    for component in kosaraju_scc(&graph) {
        let leaves = |&node: &NodeIndex| graph.neighbors(node).any(|to| !component.contains(&to));
        if !component.iter().any(leaves) {
            let mut ranks: Vec<u32> = component.iter().map(|&node| graph[node]).collect();
            ranks.sort_unstable();
            cores.push(ranks);
        }
    }
    cores.sort();
    cores
}

#[cfg(test)]
mod tests {
    use super::*;
    use Node::{Gone, Live, Waiting};
    use Wait::{All, Any, For, Nothing};

    #[test]
    fn a_circle_is_stuck_and_so_is_who_waits_for_it() {
        let nodes =
            [Waiting(For(1)), Waiting(For(2)), Waiting(For(0)), Waiting(For(1)), Live, Waiting(For(4))];
        assert_eq!(stuck(&nodes), [0, 1, 2, 3]);
        assert_eq!(cores(&nodes, &stuck(&nodes)), [[0, 1, 2]]);
    }

    #[test]
    fn all_needs_everybody_and_any_needs_one() {
        let needs = |wait| stuck(&[Waiting(For(0)), Live, Waiting(wait)]);
        assert_eq!(needs(All(vec![For(0), For(1)])), [0, 2]);
        assert_eq!(needs(Any(vec![For(0), For(1)])), [0]);
        assert_eq!(needs(Any(vec![For(0), Nothing])), [0]);
        assert_eq!(needs(All(vec![Nothing, For(1)])), [0]);
        assert_eq!(needs(Any(vec![])), [0, 2]);
        assert_eq!(needs(All(vec![])), [0]);
        assert_eq!(needs(All(vec![Any(vec![For(0), For(2)]), For(1)])), [0, 2]);
    }

    #[test]
    fn a_chain_ends_where_somebody_runs() {
        let nodes = [Waiting(For(1)), Waiting(For(2)), Waiting(For(3)), Live];
        assert_eq!(stuck(&nodes), [0u32; 0]);
    }

    #[test]
    fn who_is_gone_releases_nobody() {
        let nodes = [Waiting(For(1)), Gone, Waiting(For(0))];
        assert_eq!(stuck(&nodes), [0, 2]);
        assert_eq!(cores(&nodes, &[0, 2]), [[0]]);
    }

    #[test]
    fn two_circles_are_two_cores() {
        let nodes = [
            Waiting(For(3)),
            Waiting(For(2)),
            Waiting(For(1)),
            Waiting(For(0)),
            Waiting(All(vec![For(0), For(1)])),
        ];
        assert_eq!(cores(&nodes, &stuck(&nodes)), [vec![0, 3], vec![1, 2]]);
    }
}
