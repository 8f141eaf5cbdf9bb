//! Whether the ranks of a node fit into its memory, asked before anything is allocated.
//!
//! It compares what the kernel says it needs with what the node says it has; it measures no use of memory.

use super::rate::scaled;
use crate::comm::Comm;
use crate::error::{Error, Result};

/// Refuses a run that needs more memory than a node has; `bytes` is what rank 0 was told a rank needs, and is
/// ignored on the others. Collective.
pub(super) fn check(comm: &Comm, bytes: Option<u64>) -> Result<()> {
    // 0 stands for "not known".
    let mut needed = [bytes.unwrap_or(0)];
    comm.bcast(&mut needed, 0)?;
    if needed[0] == 0 {
        return Ok(());
    }
    let node = comm.node();
    let here =
        super::nodes::of(comm)?.into_iter().find(|(name, _)| *name == node).map_or(1, |(_, ranks)| ranks);
    comm.agree(fits(needed[0], here as u64, available(), &node))
}

fn fits(bytes_per_rank: u64, ranks: u64, available: Option<u64>, node: &str) -> Result<()> {
    let Some(available) = available else { return Ok(()) };
    let needed = bytes_per_rank.saturating_mul(ranks);
    if needed <= available {
        return Ok(());
    }
    Err(Error::usage(format!(
        "the run needs {}B of memory on node {node} ({ranks} x {}B, a rank each), which has {}B available",
        scaled(needed as f64),
        scaled(bytes_per_rank as f64),
        scaled(available as f64),
    ))
    .help("make the problem smaller, or spread it over more nodes"))
}

/// The most memory that the processes of all ranks have held, in bytes; `None` where the system does not say. Collective.
pub(super) fn peak(comm: &Comm) -> Result<Option<u64>> {
    // Ranks that are threads share one process.
    let counts = comm.engine_name() != "local" || comm.rank() == 0;
    let own = if counts { high_water().unwrap_or(0) } else { 0 };
    Ok(Some(comm.allreduce(own, crate::op::Sum)?).filter(|&bytes| bytes > 0))
}

pub(super) fn high_water() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The memory that can be had on this node without swapping, in bytes; `None` where the system does not say.
fn available() -> Option<u64> {
    meminfo(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_figures_are_said() {
        assert!(fits(1 << 30, 4, Some(4 << 30), "n1").is_ok());
        assert!(fits(u64::MAX, 2, None, "n1").is_ok());
        let error = fits(3_000_000_000, 4, Some(8_000_000_000), "n1").unwrap_err().to_string();
        assert!(error.contains("12.0 GB") && error.contains("8.00 GB") && error.contains("n1"), "{error}");
    }

    #[test]
    fn meminfo_is_in_kib() {
        assert_eq!(meminfo("MemTotal: 9 kB\nMemAvailable:   1024 kB\n"), Some(1 << 20));
        assert_eq!(meminfo("nothing"), None);
    }
}
