//! Every kind of hang, on both engines and where orders are explored: what the watch says of it, word for word. Random
//! programs with a mistake, as jobs. And what a job warns of that ends well.
//!
//! Alone, this program runs the cases on the Local engine, and each as a job of its own under the launcher that
//! `RANKINE_MPIRUN` names, if it was built with MPI. A job is this same program with `--case`. Reports are compared with
//! `golden/`; `UPDATE_GOLDEN=1` writes them.

mod cases;
mod random;

use cases::{CASES, Case, LEFT_BEHIND};
use libtest_mimic::{Arguments, Failed, Trial};
use rankine::testing::Orders;
use rankine::{ErrorKind, Launch};
use std::path::PathBuf;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_millis(300);

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, name] = &arguments[..]
        && flag == "--case"
    {
        let Some(case) = CASES.iter().chain([&LEFT_BEHIND]).find(|case| case.name == name) else {
            return 2.into();
        };
        let run = case.run;
        let job = Launch::new().checked(case.checked).patience(PATIENCE).run(move |world| run(&world));
        return rankine::launch::exit(job);
    }
    if let [_, flag, name] = &arguments[..]
        && flag == "--random"
    {
        return random::run(name);
    }
    let mut trials = Vec::new();
    for case in CASES {
        for &ranks in case.ranks {
            trials.push(Trial::test(format!("local::{}::{ranks}", case.name), move || local(case, ranks)));
            let name = format!("in_turns::{}::{ranks}", case.name);
            trials.push(Trial::test(name, move || in_turns(case, ranks)));
            if cfg!(feature = "mpi") {
                trials.push(Trial::test(format!("mpi::{}::{ranks}", case.name), move || mpi(case, ranks)));
            }
        }
    }
    // As many threads as nobody has cores for.
    if let Some(ring) = CASES.iter().find(|case| case.name == "ring_of_receives") {
        trials.push(Trial::test("local::ring_of_receives::512", move || local(ring, 512)));
    }
    trials.push(Trial::test("local::left_behind::2", || local_warnings(&LEFT_BEHIND, 2)));
    if cfg!(feature = "mpi") {
        trials.push(Trial::test("mpi::left_behind::2", || mpi_warnings(&LEFT_BEHIND, 2)));
        trials.extend(random::trials());
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn local(case: &'static Case, ranks: usize) -> Result<(), Failed> {
    let trial = rankine::testing::Trial::new(ranks).checked(case.checked).patience(PATIENCE);
    match trial.run(case.run) {
        Ok(()) => Err("it did not hang".into()),
        Err(error) if error.kind() != ErrorKind::Deadlock => Err(format!("another error: {error}").into()),
        Err(error) => compare(case, ranks, "local", &format!("error[deadlock]: {error}\n")),
    }
}

/// Where orders are explored the same is found, at once.
fn in_turns(case: &'static Case, ranks: usize) -> Result<(), Failed> {
    let trial = rankine::testing::Trial::new(ranks).checked(case.checked);
    match trial.explore(Orders::AtMost(10), case.run) {
        Ok(explored) => Err(format!("it did not hang: {explored:?}").into()),
        Err(found) => compare(case, ranks, "local", &format!("error[deadlock]: {}\n", found.error)),
    }
}

fn local_warnings(case: &Case, ranks: usize) -> Result<(), Failed> {
    let mut warnings = Vec::new();
    let trial = rankine::testing::Trial::new(ranks).checked(case.checked).patience(PATIENCE);
    trial.run_and_warn(&mut warnings, case.run).map_err(|error| error.to_string())?;
    let lines: String = warnings.iter().map(|line| format!("warning: {line}\n")).collect();
    compare(case, ranks, "local", &lines)
}

fn mpi_warnings(case: &Case, ranks: usize) -> Result<(), Failed> {
    let output = job(["--case", case.name], ranks)?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{}, and said:\n{said}", output.status).into());
    }
    let lines = said.lines().filter(|line| line.starts_with("warning: "));
    compare(case, ranks, "mpi", &lines.map(|line| format!("{line}\n")).collect::<String>())
}

fn mpi(case: &'static Case, ranks: usize) -> Result<(), Failed> {
    let output = job(["--case", case.name], ranks)?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() != Some(5) {
        return Err(format!("{}, and said:\n{said}", output.status).into());
    }
    match report_in(&said) {
        Some(report) => compare(case, ranks, "mpi", &report),
        None => Err(format!("no report in:\n{said}").into()),
    }
}

/// The watch's report among what a job and its launcher have said.
fn report_in(said: &str) -> Option<String> {
    let start = said.find("error[deadlock]: ")?;
    // What launchers add comes after an empty line or a line of dashes.
    let lines = said[start..].lines().enumerate().take_while(|(i, line)| *i == 0 || line.starts_with("  "));
    Some(lines.map(|(_, line)| format!("{line}\n")).collect())
}

/// Runs this program as a job.
fn job(words_to_it: [&str; 2], ranks: usize) -> Result<std::process::Output, Failed> {
    let launcher = std::env::var("RANKINE_MPIRUN")
        .map_err(|_| "set RANKINE_MPIRUN to a launcher, such as `mpirun --oversubscribe`")?;
    let mut words = launcher.split_whitespace();
    let output = std::process::Command::new(words.next().ok_or("RANKINE_MPIRUN is empty")?)
        .args(words)
        .args(["-n", &ranks.to_string()])
        .arg(std::env::current_exe().map_err(|error| error.to_string())?)
        .args(words_to_it)
        .output()
        .map_err(|error| format!("{launcher}: {error}"))?;
    Ok(output)
}

fn compare(case: &Case, ranks: usize, engine: &str, report: &str) -> Result<(), Failed> {
    let report = neutral(report);
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/stuck/golden");
    // Where the engines differ, each has its own.
    let own = folder.join(format!("{}.{ranks}.{engine}.txt", case.name));
    let golden = if own.exists() { own } else { folder.join(format!("{}.{ranks}.txt", case.name)) };
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return std::fs::write(&golden, report)
            .map_err(|error| format!("{}: {error}", golden.display()).into());
    }
    let expected =
        std::fs::read_to_string(&golden).map_err(|error| format!("{}: {error}", golden.display()))?;
    match report == expected {
        true => Ok(()),
        false => Err(format!("{} says\n{expected}\nthe report is\n{report}", golden.display()).into()),
    }
}

/// The report without times and line numbers: a line of `cases.rs` has the name that its comment gives it.
fn neutral(report: &str) -> String {
    let source: Vec<&str> = include_str!("cases.rs").lines().collect();
    let mut text = String::new();
    let mut rest = report;
    while let Some(at) = rest.find("cases.rs:") {
        // The file's path goes with the line.
        let from = rest[..at].rfind([' ', '(']).map_or(0, |space| space + 1);
        text.push_str(&rest[..from]);
        let after = &rest[at + "cases.rs:".len()..];
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let line: usize = after[..digits].parse().unwrap_or(0);
        let name =
            source.get(line.wrapping_sub(1)).and_then(|line| line.split("// @").nth(1)).unwrap_or("unmarked");
        text.push_str(&format!("@{}", name.trim()));
        rest = after[digits..].trim_start_matches(|c: char| c == ':' || c.is_ascii_digit());
    }
    text.push_str(rest);
    let (Some(start), Some(end)) = (text.find("blocked "), text.find(" s, no message")) else { return text };
    format!("{}blocked T{}", &text[..start], &text[end..])
}
