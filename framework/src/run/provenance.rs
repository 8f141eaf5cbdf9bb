//! Where a result comes from: which program, on which machine, how it was called, when.
//!
//! It records and decides nothing. Parameters are in `run.toml`.

use super::directory::PROVENANCE;
use super::nodes;
use crate::comm::Comm;
use crate::error::Result;
use crate::output::files::read_json;
use serde::Serialize;
use std::path::Path;

/// What `provenance.json` holds.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Provenance {
    rankine: &'static str,
    /// The commit of the checkout, if the build was told (`RANKINE_COMMIT`).
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'static str>,
    kernel: &'static str,
    engine: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mpi: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hdf5: Option<String>,
    ranks: usize,
    threads: usize,
    /// Cores that each rank may use, at least: the launcher's binding as the rank finds it.
    cores: usize,
    nodes: Vec<Node>,
    cpu: Option<String>,
    command: Vec<String>,
    directory: Option<String>,
    started: String,
    pub ended: Option<String>,
    /// The steps that were done when this job began.
    #[serde(skip_serializing_if = "is_zero")]
    from_step: u64,
    /// What was written here of the jobs that this one goes on from, the first one first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    earlier: Vec<serde_json::Value>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[derive(Clone, Debug, Serialize)]
struct Node {
    name: String,
    ranks: usize,
}

impl Provenance {
    /// What is known when a run begins. Collective.
    /// `goes_on` is the step that the job begins with, and the run's directory.
    pub fn new(
        comm: &Comm,
        kernel: &'static str,
        (threads, cores): (usize, usize),
        started: String,
        (from_step, directory): (u64, &Path),
    ) -> Result<Provenance> {
        let lossy = |word: std::ffi::OsString| word.to_string_lossy().into_owned();
        Ok(Provenance {
            rankine: env!("CARGO_PKG_VERSION"),
            commit: option_env!("RANKINE_COMMIT").filter(|commit| !commit.is_empty()),
            kernel,
            engine: comm.engine_name(),
            mpi: crate::launch::mpi_library().filter(|_| comm.engine_name() == "mpi"),
            hdf5: crate::output::hdf5_library(),
            ranks: comm.size(),
            threads,
            cores,
            nodes: nodes::of(comm)?.into_iter().map(|(name, ranks)| Node { name, ranks }).collect(),
            cpu: cpu(),
            command: std::env::args_os().map(lossy).collect(),
            directory: std::env::current_dir().ok().map(|path| lossy(path.into())),
            started,
            ended: None,
            from_step,
            earlier: if from_step > 0 && comm.rank() == 0 { earlier(directory) } else { Vec::new() },
        })
    }
}

/// What earlier jobs of the run have written; nothing, if it cannot be read.
fn earlier(directory: &Path) -> Vec<serde_json::Value> {
    let Ok(mut last) = read_json::<serde_json::Value>(&directory.join(PROVENANCE)) else { return Vec::new() };
    let before = last.as_object_mut().and_then(|last| last.remove("earlier"));
    let mut all = before.and_then(|before| before.as_array().cloned()).unwrap_or_default();
    all.push(last);
    all
}

/// The moment, UTC, to the second.
pub(super) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The processor's name, where the system tells.
fn cpu() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_string())
}
