//! Starts ranks for real: does the launcher start them, and do they find each other? Those ranks look around (`ranks`) and
//! their report becomes part of this one. What is written of launchers elsewhere is by their words alone.

use super::mpi::{Mpirun, family, launcher_of};
use super::probe::{Said, hear};
use super::{Doctor, Finding, Report, transport};
use crate::forms::allow_root;
use rankine::{Error, Result};
use std::process::Command;
use std::time::Duration;

/// How long a launcher has at most beyond what the ranks allow themselves.
const STARTING: Duration = Duration::from_secs(10);

/// The ranks of a trial that nobody has asked for in other words.
const FEW: &str = "2";

/// Starts ranks with the words of `--launch`, or two with the mpirun on PATH, and takes over what they find.
///
/// # Errors
/// A `--launch` that names no program.
pub fn look(
    wanted: &Doctor,
    library: Option<&str>,
    mpirun: Option<&Mpirun>,
    report: &mut Report,
) -> Result<()> {
    let words: Vec<String> = match (&wanted.launch, mpirun) {
        (Some(words), _) => words.split_whitespace().map(str::to_string).collect(),
        (None, Some(mpirun)) => vec![mpirun.path.display().to_string(), "-n".into(), FEW.into()],
        (None, None) => return Ok(()),
    };
    if words.is_empty() {
        return Err(
            Error::usage("--launch names no program").help("write for example --launch 'mpirun -n 4'")
        );
    }
    let prefix = mpirun.map_or("OMPI", Mpirun::prefix);
    // Of a launcher that is the wrong one anyway, nobody has to know what else it wants.
    let wrong = library.zip(mpirun).is_some_and(|(library, mpirun)| mpirun.is_of_another(library));
    // What a launcher refuses is found, and allowed, to see what comes after it.
    let (mut as_root, mut oversubscribe) = (false, false);
    let said = loop {
        let patience = wanted.patience() + STARTING.min(wanted.patience());
        let said = start(&words, own_words(wanted)?, as_root, oversubscribe, patience);
        match &said {
            Ok(said) if !as_root && said.text.contains("attempt to run as root") => {
                if !wrong {
                    report.add(refuses_root(prefix));
                }
                as_root = true;
            }
            Ok(said) if !oversubscribe && said.text.contains("not enough slots") => {
                if !wrong {
                    report.add(few_slots(&words.join(" ")));
                }
                oversubscribe = true;
            }
            _ => break said,
        }
    };
    let words = words.join(" ");
    match said {
        Ok(said) => judge(&words, &said, library, report),
        Err(error) => report.add(Finding::fault(
            "start",
            format!("`{words}` cannot be started: {error}"),
            "give --launch a launcher that is installed",
        )),
    }
    if let (None, Some(mpirun), Some(ranks)) = (&wanted.launch, mpirun, wanted.ranks)
        && mpirun.family() == Some("Open MPI")
        && !wrong
    {
        slots(mpirun, ranks, report);
    }
    Ok(())
}

/// This command again, as a rank.
fn own_words(wanted: &Doctor) -> Result<Vec<String>> {
    let program = std::env::current_exe()
        .map_err(|error| Error::io(format!("cannot find this program's own path: {error}")))?;
    let mut words = vec![program.display().to_string(), "doctor".into(), "--json".into(), "--inside".into()];
    words.push(format!("--deadline={}", wanted.deadline));
    words.push(format!("--dir={}", wanted.dir.display()));
    words.extend(wanted.threads.map(|threads| format!("--threads={threads}")));
    Ok(words)
}

fn start(
    words: &[String],
    own: Vec<String>,
    as_root: bool,
    oversubscribe: bool,
    patience: Duration,
) -> std::io::Result<Said> {
    let mut command = Command::new(&words[0]);
    if oversubscribe {
        command.arg("--oversubscribe");
    }
    command.args(&words[1..]).args(own);
    if as_root {
        for name in ["OMPI_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT"] {
            command.env(name, "1").env(format!("{name}_CONFIRM"), "1");
        }
    }
    hear(command, patience)
}

fn refuses_root(prefix: &str) -> Finding {
    Finding::fault("root", "Open MPI's mpirun refuses to run for root", "run as another user, or allow it")
        .by(format!("export {prefix}_ALLOW_RUN_AS_ROOT=1 {prefix}_ALLOW_RUN_AS_ROOT_CONFIRM=1"))
}

fn few_slots(words: &str) -> Finding {
    let mut parts = words.splitn(2, ' ');
    let (program, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    Finding::fault(
        "slots",
        format!("`{words}` is refused: not so many slots (one a core, unless a hostfile or the batch system says otherwise)"),
        "ask for fewer ranks or more nodes, or let ranks share cores: right, but slow",
    )
    .by(format!("{program} --oversubscribe {rest} rankine doctor"))
}

/// Whether mpirun would start that many ranks; what it starts does nothing.
fn slots(mpirun: &Mpirun, ranks: usize, report: &mut Report) {
    let mut command = Command::new(&mpirun.path);
    command.args(["-n", &ranks.to_string(), "true"]);
    allow_root(&mut command);
    let words = format!("{} -n {ranks}", mpirun.path.display());
    report.add(match hear(command, STARTING) {
        Ok(said) if said.text.contains("not enough slots") => few_slots(&words),
        Ok(said) if said.ok => Finding::ok("slots", format!("`{words}` is not refused")),
        Ok(said) => Finding::warn(
            "slots",
            format!("`{words}` starts nothing: {}", telling(&said)),
            "try it by hand, with hostname for a program",
        ),
        Err(error) => Finding::warn("slots", format!("`{words}`: {error}"), "try it by hand"),
    });
}

/// What the start came to.
fn judge(words: &str, said: &Said, library: Option<&str>, report: &mut Report) {
    let reports: Vec<Report> =
        said.out.lines().filter_map(|line| serde_json::from_str(line.trim()).ok()).collect();
    let fault = |found: String, fix: &str| {
        let fault = Finding::fault("start", format!("`{words}` {found}"), fix);
        match launcher_of(library) {
            Some(right) => fault.by(format!("{} -n {FEW} rankine doctor", right.display())),
            None => fault,
        }
    };
    let ours = library.and_then(family).unwrap_or("the linked MPI");
    match reports.len() {
        1 => {
            let Some(theirs) = reports.into_iter().next() else { return };
            report.nodes = theirs.nodes;
            report.pairs = theirs.pairs;
            report.ranks = theirs.ranks;
            let one = report.nodes.len() < 2;
            // Of one node it need not be said.
            report.extend(theirs.findings.into_iter().map(|finding| match one {
                true => Finding { nodes: Vec::new(), ..finding },
                false => finding,
            }));
        }
        0 if said.late => report.add(Finding::fault(
            "start",
            format!("`{words}` was ended: it started no ranks that answered in time; it said: {}", telling(said)),
            "see whether all its nodes are up and can be reached, and try it by hand with hostname for a program",
        )),
        0 if ["mm_posix.c", "cma_ep.c"].iter().any(|place| said.text.contains(place)) => report.add(
            Finding::fault(
                "CMA",
                format!("ranks of a node may not open each other's memory, and MPI ends them: {}", telling(said)),
                "start the ranks as one user in one container, or tell MPI to do without",
            )
            .by(transport::do_without()),
        ),
        0 => report.add(fault(
            format!("starts no ranks that answer; it said: {}", telling(said)),
            &format!("mend what it says, or use the mpirun of {ours}"),
        )),
        copies => report.add(fault(
            format!("starts {copies} programs that know nothing of each other: {copies} copies of rank 0"),
            &format!("use the mpirun of {ours}, or srun with the --mpi type it was built for (srun --mpi=list)"),
        )),
    }
}

/// The line of much that says most.
fn telling(said: &Said) -> String {
    let lines: Vec<&str> = said
        .text
        .lines()
        .map(str::trim)
        .filter(|line| line.len() > 3 && !line.chars().all(|c| "-=*#".contains(c)))
        .collect();
    let words = ["error", "Error", "fatal", "not ", "fail", "cannot", "refused"];
    let line = lines.iter().find(|line| words.iter().any(|word| line.contains(word))).or(lines.first());
    line.map_or("nothing", |line| line).chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    fn judged(out: &str, text: &str, late: bool) -> Report {
        let said = Said { ok: false, late, out: out.into(), text: format!("{out}{text}") };
        let mut report = Report::new(0);
        judge("mpirun -n 2", &said, None, &mut report);
        report
    }

    #[test]
    fn copies_silence_and_an_answer() {
        let line = Report::new(2).shown(true);
        assert_eq!(judged(&line, "", false).findings, []);
        let copies = judged(&format!("{line}{line}"), "", false);
        assert!(copies.findings[0].found.contains("2 copies of rank 0"), "{copies:?}");
        let silent = judged("", "-----\nsome words\nerror: no such host", false);
        assert!(silent.findings[0].found.ends_with("it said: error: no such host"), "{silent:?}");
        assert_eq!(judged("", "", true).findings[0].state, State::Fault);
    }
}
