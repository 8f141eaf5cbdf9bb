//! Whether Slurm is there, whether it is set up (its commands on PATH do not say so), and whether its srun can start ranks of
//! the linked MPI.

use super::Finding;
use super::mpi::{family, version};
use super::probe::{Said, ask, on_path};

const WHAT: &str = "Slurm";
const PLUGIN: &str = "srun --mpi";

/// Looks for all of it.
pub fn look(library: Option<&str>) -> Vec<Finding> {
    if on_path("sinfo").is_none() {
        return vec![Finding::ok(WHAT, "not on this machine; `rankine submit --dry-run` works all the same")];
    }
    let cluster = judge(ask("sinfo", &["--noheader", "--format=%P %D"]));
    let mut findings = vec![cluster];
    if let (Some(library), true) = (library, on_path("srun").is_some())
        && let Some(list) = ask("srun", &["--mpi=list"]).filter(|said| said.ok)
    {
        let default = ask("scontrol", &["show", "config"]).and_then(|said| default_type(&said.text));
        findings.push(plugin(library, &types(&list.text), default.as_deref()));
    }
    findings
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
            "ask whether the controller is up",
        )
        .by("scontrol ping"),
        None => Finding::warn(
            WHAT,
            "configured, but the controller does not answer",
            "ask whether it is up, and whether this machine reaches it",
        )
        .by("scontrol ping"),
    }
}

/// The types that `srun --mpi=list` names, in whatever words its version says them.
fn types(list: &str) -> Vec<String> {
    let words = list.lines().filter(|line| !line.trim_end().ends_with("..."));
    let words = words.map(|line| line.rsplit(':').next().unwrap_or(line));
    let words = words.flat_map(|line| line.split(|c: char| c.is_whitespace() || c == ','));
    words.filter(|word| !word.is_empty()).map(str::to_string).collect()
}

fn default_type(config: &str) -> Option<String> {
    let line = config.lines().find(|line| line.starts_with("MpiDefault"))?;
    Some(line.split_once('=')?.1.trim().to_string())
}

/// The types by which that library can be started, best first.
fn needed(library: &str) -> &'static [&'static str] {
    match (family(library), version(library)) {
        (Some("Open MPI"), _) => &["pmix"],
        (Some("MPICH" | "MVAPICH"), _) => &["pmi2", "pmix", "cray_shasta"],
        _ => &["pmi2", "pmix"],
    }
}

/// The first of them.
pub fn best(library: &str) -> &'static str {
    needed(library)[0]
}

fn plugin(library: &str, types: &[String], default: Option<&str>) -> Finding {
    let ours = family(library).unwrap_or("this MPI");
    let has =
        |wanted: &str| types.iter().any(|known| known == wanted || known.starts_with(&format!("{wanted}_")));
    let known = types.join(", ");
    let Some(fits) = needed(library).iter().find(|wanted| has(wanted)) else {
        let wants = needed(library)[0];
        let package = if wants == "pmix" {
            "slurm-wlm-basic-plugins or slurm's libpmi/pmix"
        } else {
            "slurm's libpmi2"
        };
        return Finding::fault(
            PLUGIN,
            format!("{ours} needs --mpi={wants}, and srun has only: {known}; it would start N jobs of one rank, or none"),
            format!("start with mpirun inside sbatch, or have the plugin installed ({package})"),
        )
        .by("rankine submit KERNEL --launcher mpirun");
    };
    let found = format!("{ours} is started with --mpi={fits} (srun has: {known})");
    match default {
        Some(default) if !(default == *fits || default.starts_with(&format!("{fits}_"))) => Finding::warn(
            PLUGIN,
            format!("{found}; without it this cluster takes --mpi={default}: N jobs of one rank, or none"),
            "always say it, or export it",
        )
        .by(format!("export SLURM_MPI_TYPE={fits}")),
        _ => Finding::ok(PLUGIN, found),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn on_path_is_not_configured() {
        let said =
            |ok, text: &str| Some(Said { ok, late: false, out: text.to_string(), text: text.to_string() });
        assert_eq!(judge(said(true, "debug* 4\n")).state, State::Ok);
        let error = "sinfo: error: resolve_ctls_from_dns_srv: res_nsearch error: Unknown host\n\
                     sinfo: error: fetch_config: DNS SRV lookup failed\n\
                     sinfo: fatal: Could not establish a configuration source";
        let bare = judge(said(false, error));
        assert!(bare.state == State::Warn && bare.found.contains("no cluster is configured"), "{bare:?}");
        assert!(judge(None).fix.is_some());
    }

    #[test]
    fn the_right_plugin_or_none() {
        let list = "MPI plugin types are...\n\tnone\n\tpmi2\n\tcray_shasta\n\tpmix\nspecific pmix plugin versions available: pmix_v4\n";
        let types = types(list);
        assert_eq!(types, ["none", "pmi2", "cray_shasta", "pmix", "pmix_v4"]);
        let open = "Open MPI v4.1.4, package";
        assert_eq!(plugin(open, &types, Some("pmix_v4")).state, State::Ok);
        let none = plugin(open, &types, Some("none"));
        assert_eq!(none.command.as_deref(), Some("export SLURM_MPI_TYPE=pmix"));
        let missing = plugin(open, &types[..3], None);
        assert!(missing.state == State::Fault && missing.found.contains("--mpi=pmix"), "{missing:?}");
        assert_eq!(plugin("MPICH Version: 4.0.2", &types[..3], Some("pmi2")).state, State::Ok);
        assert_eq!(
            default_type("MaxStepCount = 1\nMpiDefault              = pmix\n").as_deref(),
            Some("pmix")
        );
    }
}
