//! What this cluster has, in Slurm's own words: nodes by partition, and interfaces that `srun` can start ranks by. It
//! asks and reads; what fits is the caller's business.

use std::time::Duration;

use crate::command::slurm;
use crate::submit::refused;
use crate::{Error, Slurm};

/// A question whose answer only makes a check sharper is not waited for longer than this.
const PATIENCE: Duration = Duration::from_secs(20);

/// Nodes of one kind in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nodes {
    /// The partition.
    pub partition: String,
    /// Whether it is the cluster's default.
    pub is_default: bool,
    /// How many there are.
    pub count: u32,
    /// CPUs of each.
    pub cpus: u32,
    /// Memory of each, in bytes, as Slurm has it.
    pub memory: u64,
}

impl Slurm {
    /// All nodes that are not out of order for good, by partition and kind.
    ///
    /// # Errors
    /// As [`submit`](Slurm::submit).
    pub fn nodes(&self) -> Result<Vec<Nodes>, Error> {
        let arguments = ["--noheader", "--exact", "--format=%P|%D|%c|%m"];
        let done = slurm("sinfo", &arguments, "", self.environment(), PATIENCE)?;
        if !done.status.success() {
            return Err(refused("sinfo", &done));
        }
        Ok(done.stdout.lines().filter_map(Nodes::parse).collect())
    }

    /// The names that `srun --mpi=` takes here.
    ///
    /// # Errors
    /// As [`submit`](Slurm::submit).
    pub fn mpi_types(&self) -> Result<Vec<String>, Error> {
        let done = slurm("srun", &["--mpi=list"], "", self.environment(), PATIENCE)?;
        if !done.status.success() {
            return Err(refused("srun --mpi=list", &done));
        }
        // Some versions write it to standard error.
        Ok(mpi_types(&format!("{}\n{}", done.stdout, done.stderr)))
    }
}

impl Nodes {
    fn parse(line: &str) -> Option<Nodes> {
        let mut fields = line.split('|').map(str::trim);
        let partition = fields.next()?;
        // A plus sign means "at least".
        let mut number = || fields.next()?.trim_end_matches('+').parse::<u64>().ok();
        let (count, cpus, mebibytes) = (number()?, number()?, number()?);
        Some(Nodes {
            is_default: partition.ends_with('*'),
            partition: partition.trim_end_matches('*').to_owned(),
            count: u32::try_from(count).ok()?,
            cpus: u32::try_from(cpus).ok()?,
            memory: mebibytes.checked_mul(1 << 20)?,
        })
    }
}

fn mpi_types(said: &str) -> Vec<String> {
    let mut types: Vec<String> = Vec::new();
    for line in said.lines() {
        // "MPI plugin types are...", a name a line; "specific pmix plugin versions available: pmix_v3,pmix_v4"; older:
        // "srun: pmix".
        let line = line.trim().trim_start_matches("srun:").trim();
        let (head, rest) = line.split_once(':').unwrap_or(("", line));
        if rest.contains("...") || head.contains("error") {
            continue;
        }
        let names = rest.split([',', ' ']).map(str::trim).filter(|name| !name.is_empty());
        let names: Vec<&str> = names.collect();
        let is_name =
            |name: &&str| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if names.iter().all(is_name) && (names.len() == 1 || !head.is_empty()) {
            types.extend(names.into_iter().map(str::to_owned));
        }
    }
    types.dedup();
    types
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_several_versions() {
        let new = "MPI plugin types are...\n\tnone\n\tpmi2\n\tpmix\nspecific pmix plugin versions available: pmix_v3,pmix_v4\n";
        assert_eq!(mpi_types(new), ["none", "pmi2", "pmix", "pmix_v3", "pmix_v4"]);
        let old = "srun: MPI types are...\nsrun: none\nsrun: openmpi\nsrun: pmix_v3\nsrun: pmi2\n";
        assert_eq!(mpi_types(old), ["none", "openmpi", "pmix_v3", "pmi2"]);
        assert_eq!(mpi_types("srun: error: something is wrong here\n"), Vec::<String>::new());
    }

    #[test]
    fn nodes_of_a_partition() {
        let nodes = Nodes::parse("debug*|4|2|4000").unwrap();
        assert!(nodes.is_default && nodes.partition == "debug");
        assert_eq!((nodes.count, nodes.cpus, nodes.memory), (4, 2, 4000 << 20));
        assert_eq!(Nodes::parse("long|1|64+|257000+").unwrap().cpus, 64);
        assert_eq!(Nodes::parse("a site says hello"), None);
    }
}
