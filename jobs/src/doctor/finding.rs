//! What a finding is, and the report they make together: its schema is a promise to whoever reads `--json`.

use serde::{Deserialize, Serialize};

/// The version of the report's schema. It changes when a field goes or means something else; new ones may come.
pub const SCHEMA: &str = "rankine-doctor/1";

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at: a word of `docs/doctor.md`.
    pub what: String,
    /// How good it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do, where something is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The command that does it, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The nodes it was found on, where several were asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
}

impl Finding {
    fn new(what: &str, state: State, found: impl Into<String>, fix: Option<String>) -> Finding {
        Finding { what: what.to_string(), state, found: found.into(), fix, command: None, nodes: Vec::new() }
    }

    pub fn ok(what: &str, found: impl Into<String>) -> Finding {
        Finding::new(what, State::Ok, found, None)
    }

    pub fn warn(what: &str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding::new(what, State::Warn, found, Some(fix.into()))
    }

    pub fn fault(what: &str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding::new(what, State::Fault, found, Some(fix.into()))
    }

    /// With the command that mends it.
    pub fn by(mut self, command: impl Into<String>) -> Finding {
        self.command = Some(command.into());
        self
    }

    /// As a person reads it, in lines.
    fn text(&self) -> String {
        const MARGIN: &str = "                     ";
        let state = match self.state {
            State::Ok => "ok   ",
            State::Warn => "warn ",
            State::Fault => "FAULT",
        };
        let nodes =
            if self.nodes.is_empty() { String::new() } else { format!("{}: ", shortened(&self.nodes)) };
        let mut text = format!("{state}  {:12}  {nodes}{}\n", self.what, self.found.replace('\n', "\n   "));
        if let Some(fix) = &self.fix {
            text += &format!("{MARGIN}fix: {fix}\n");
        }
        if let Some(command) = &self.command {
            text += &format!("{MARGIN}  $ {command}\n");
        }
        text
    }
}

/// The first few of a list of names.
pub fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 6;
    match names.len() {
        0..=SHOWN => names.join(", "),
        many => format!("{} and {} more", names[..SHOWN].join(", "), many - SHOWN),
    }
}

/// A node, and the ranks on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub name: String,
    pub ranks: Vec<usize>,
}

/// What messages between two nodes took at best; of one node, between two of its ranks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    pub nodes: [String; 2],
    pub ranks: [usize; 2],
    /// Seconds that 8 bytes take one way; none if there was no answer.
    pub latency: Option<f64>,
    /// Bytes a second of long messages, one way.
    pub bandwidth: Option<f64>,
    /// Seconds of an allreduce of one number between the two.
    pub allreduce: Option<f64>,
}

/// All of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub schema: String,
    /// This command's version.
    pub rankine: String,
    /// The ranks that took part; 0 where no launcher started this command.
    pub ranks: usize,
    pub faults: usize,
    pub warnings: usize,
    pub findings: Vec<Finding>,
    #[serde(default)]
    pub nodes: Vec<Node>,
    #[serde(default)]
    pub pairs: Vec<Pair>,
}

impl Report {
    pub fn new(ranks: usize) -> Report {
        Report {
            schema: SCHEMA.to_string(),
            rankine: env!("CARGO_PKG_VERSION").to_string(),
            ranks,
            faults: 0,
            warnings: 0,
            findings: Vec::new(),
            nodes: Vec::new(),
            pairs: Vec::new(),
        }
    }

    /// Adds a finding, or its nodes to one that is the same.
    pub fn add(&mut self, finding: Finding) {
        let same = self.findings.iter_mut().find(|known| {
            (&known.what, known.state, &known.found, &known.fix)
                == (&finding.what, finding.state, &finding.found, &finding.fix)
        });
        match same {
            Some(known) => {
                for node in finding.nodes {
                    if !known.nodes.contains(&node) {
                        known.nodes.push(node);
                    }
                }
            }
            None => self.findings.push(finding),
        }
    }

    pub fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.add(finding));
    }

    /// As it is shown: counted, as text or as one line of JSON.
    pub fn shown(&mut self, as_json: bool) -> String {
        let count = |state| self.findings.iter().filter(|finding| finding.state == state).count();
        (self.faults, self.warnings) = (count(State::Fault), count(State::Warn));
        if as_json {
            // Strings and numbers only: they can always be written.
            return serde_json::to_string(self).unwrap_or_default() + "\n";
        }
        self.findings.iter().map(Finding::text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_its_fix_and_its_command() {
        assert_eq!(Finding::ok("cores", "2 cores").text(), "ok     cores         2 cores\n");
        let fault = Finding::fault("launcher", "of another MPI", "use the right one").by("mpirun.openmpi");
        assert_eq!(
            fault.text(),
            "FAULT  launcher      of another MPI\n                     fix: use the right one\n                       $ mpirun.openmpi\n"
        );
    }

    #[test]
    fn the_same_on_two_nodes_is_one_finding() {
        let mut report = Report::new(2);
        let on =
            |node: &str| Finding { nodes: vec![node.to_string()], ..Finding::warn("cores", "1", "more") };
        report.extend([on("a"), Finding::ok("MPI", "some"), on("b"), on("b")]);
        assert!(report.shown(false).contains("cores         a, b: 1\n"));
        assert_eq!((report.faults, report.warnings, report.findings.len()), (0, 1, 2));
        let again: Report = serde_json::from_str(&report.shown(true)).unwrap();
        assert_eq!((again.findings, again.schema.as_str()), (report.findings, SCHEMA));
    }
}
