//! `rankine doctor`: looks for the faults in a set-up that people lose days on, and says how to mend each.
//!
//! It looks and changes nothing. What it looks at is in a file each: `mpi`, `machine`, `slurm`.

mod machine;
mod mpi;
mod probe;
mod slurm;

use rankine::run::show;
use rankine::{Error, ErrorKind, Result};
use serde::Serialize;

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, but not for everything or not as well as it could.
    Warn,
    /// Jobs will fail.
    Fault,
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// How good it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do, where something is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    fn ok(what: &'static str, found: impl Into<String>) -> Finding {
        Finding { what, state: State::Ok, found: found.into(), fix: None }
    }

    fn warn(what: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { what, state: State::Warn, found: found.into(), fix: Some(fix.into()) }
    }

    fn fault(what: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { what, state: State::Fault, found: found.into(), fix: Some(fix.into()) }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    ranks: Option<usize>,
    threads: Option<usize>,
}

/// Looks and tells.
///
/// # Errors
/// [`ErrorKind::Setup`] if there is a fault.
pub fn doctor(as_json: bool, ranks: Option<usize>, threads: Option<usize>) -> Result<()> {
    let wanted = Wanted { ranks, threads };
    let mut findings = mpi::look(wanted);
    findings.extend(machine::look(wanted));
    findings.push(slurm::look());
    if as_json {
        let text = serde_json::to_string(&findings).map_err(|error| Error::io(error.to_string()))?;
        show(&format!("{text}\n"));
    } else {
        show(&findings.iter().map(line).collect::<String>());
    }
    match findings.iter().filter(|finding| finding.state == State::Fault).count() {
        0 => Ok(()),
        faults => {
            Err(Error::new(ErrorKind::Setup, format!("{faults} fault{} in the set-up", plural(faults)))
                .help("each fault above has its fix beside it"))
        }
    }
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

fn line(finding: &Finding) -> String {
    let state = match finding.state {
        State::Ok => "ok   ",
        State::Warn => "warn ",
        State::Fault => "FAULT",
    };
    let fix = finding.fix.as_ref().map(|fix| format!("{:20}fix: {fix}\n", "")).unwrap_or_default();
    format!("{state}  {:11}  {}\n{fix}", finding.what, finding.found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_and_its_fix() {
        assert_eq!(line(&Finding::ok("cores", "2 cores")), "ok     cores        2 cores\n");
        let text = line(&Finding::fault("launcher", "of another MPI", "use the right one"));
        assert_eq!(text, "FAULT  launcher     of another MPI\n                    fix: use the right one\n");
    }
}
