//! Which nodes the ranks are on, and how many on each.

use crate::comm::Comm;
use crate::error::Result;

/// Node names with their number of ranks, in the order of their first rank; the same on every rank. Names are cut
/// at 64 bytes. Collective.
pub(super) fn of(comm: &Comm) -> Result<Vec<(String, usize)>> {
    const LENGTH: usize = 64;
    let mut name = comm.node().into_bytes();
    name.resize(LENGTH, 0);
    let mut nodes: Vec<(String, usize)> = Vec::new();
    for name in comm.allgather(&name)?.chunks_exact(LENGTH) {
        let name = String::from_utf8_lossy(name).trim_end_matches('\0').to_string();
        match nodes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, ranks)) => *ranks += 1,
            None => nodes.push((name, 1)),
        }
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn threads_share_one_node() {
        crate::testing::ranks([1, 3], |world| {
            let nodes = super::of(world)?;
            assert_eq!((nodes.len(), nodes[0].1), (1, world.size()));
            Ok(())
        });
    }
}
