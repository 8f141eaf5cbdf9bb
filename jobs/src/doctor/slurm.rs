//! Whether Slurm is there, and whether it is set up: its commands on PATH do not say so.

use super::Finding;
use super::probe::{Said, ask, on_path};

const WHAT: &str = "Slurm";

/// Looks for both.
pub fn look() -> Finding {
    if on_path("sbatch").is_none() {
        return Finding::ok(WHAT, "not on this machine; `rankine submit --dry-run` works all the same");
    }
    judge(ask("sinfo", &["--noheader", "--format=%P %D"]))
}

fn judge(said: Option<Said>) -> Finding {
    match said {
        Some(said) if said.ok => {
            let partitions: Vec<&str> =
                said.text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            Finding::ok(WHAT, format!("configured; partitions and nodes: {}", partitions.join(", ")))
        }
        Some(said) if said.text.contains("configuration") || said.text.contains("slurm.conf") => {
            Finding::warn(
                WHAT,
                "its commands are on PATH, but no cluster is configured",
                "submit from a login node, or point SLURM_CONF to the cluster's slurm.conf",
            )
        }
        Some(said) => Finding::warn(
            WHAT,
            format!("configured, but: {}", said.text.lines().next().unwrap_or("no answer")),
            "ask whether the controller is up: scontrol ping",
        ),
        None => Finding::warn(WHAT, "configured, but the controller does not answer", "scontrol ping"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn on_path_is_not_configured() {
        let said = |ok, text: &str| Some(Said { ok, text: text.to_string() });
        assert_eq!(judge(said(true, "debug* 4\n")).state, State::Ok);
        let error = "sinfo: error: resolve_ctls_from_dns_srv: res_nsearch error: Unknown host\n\
                     sinfo: error: fetch_config: DNS SRV lookup failed\n\
                     sinfo: fatal: Could not establish a configuration source";
        let bare = judge(said(false, error));
        assert!(bare.state == State::Warn && bare.found.contains("no cluster is configured"), "{bare:?}");
        assert!(judge(None).fix.is_some());
    }
}
