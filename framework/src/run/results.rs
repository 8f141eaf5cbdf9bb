//! What a run leaves in its directory when its steps are over: `timings.json`, the provenance with its end, and of a run that is done
//! `result.json`.

use super::account::Account;
use super::directory;
use super::provenance::{Provenance, now};
use super::report::Summary;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::Verdict;
use crate::output::files::write_json;
use std::path::Path;

/// Writes them, on rank 0.
///
/// # Errors
/// What the system says.
pub(super) fn write(
    path: &Path,
    mut provenance: Provenance,
    summary: &Summary,
    account: Option<&Account>,
) -> Result<()> {
    write_json(
        path.join(directory::TIMINGS),
        &serde_json::json!({
            "kernel": summary.kernel,
            "ranks": summary.ranks,
            "threads": summary.threads,
            "steps": summary.steps,
            "seconds": summary.times,
            "traffic": summary.traffic,
            "peak_memory": summary.peak_memory,
            "rate": summary.rate,
            "stopped": summary.stopped,
            "by_rank": account.map(|account| &account.by_rank),
            "sent": account.map(|account| &account.sent),
            "allocation": account.map(|account| &account.allocation),
        }),
    )?;
    provenance.ended = Some(now());
    write_json(path.join(directory::PROVENANCE), &provenance)?;
    if summary.stopped.is_some() {
        return Ok(());
    }
    write_json(
        path.join(directory::RESULT),
        &serde_json::json!({
            "kernel": summary.kernel,
            "verdict": summary.verdict.word().to_lowercase(),
            "checks": summary.verdict.checks(),
            "why": match &summary.verdict { Verdict::NotChecked(why) => Some(why), _ => None },
            "checksum": summary.checksum,
            "steps": summary.steps,
            "rate": summary.rate,
            "quoted": summary.quoted,
            "parameters": summary.parameters,
        }),
    )
}

impl Summary {
    /// The error of an answer that is wrong ([`ErrorKind::Verification`]), for exit codes; rank 0's alone has words.
    ///
    /// # Errors
    /// If the verdict is [`Verdict::Failed`].
    pub fn verified(&self, rank: usize) -> Result<()> {
        let Verdict::Failed(checks) = &self.verdict else { return Ok(()) };
        if rank != 0 {
            return Err(Error::new(ErrorKind::Elsewhere, "the verification failed"));
        }
        let wrong: Vec<String> =
            checks.iter().filter(|check| !check.holds()).map(ToString::to_string).collect();
        Err(Error::new(
            ErrorKind::Verification,
            format!("{}: the answer is wrong: {}", self.kernel, wrong.join("; ")),
        )
        .help("the files are written; compare them with a run on one rank"))
    }
}
