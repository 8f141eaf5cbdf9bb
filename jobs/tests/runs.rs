//! Runs as people look after them, on the Local engine and under mpirun: `status`, `log`, `cancel`, `resume`, `report`,
//! `compare RUN RUN`. On Slurm they are tested in `runs_slurm`.
#![cfg(feature = "hdf5")]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn rankine(folder: &Path) -> Command {
    quiet(Command::new(env!("CARGO_BIN_EXE_rankine")), folder)
}

fn quiet(mut command: Command, folder: &Path) -> Command {
    command.current_dir(folder).stdin(Stdio::null());
    for name in ["OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK", "SLURM_JOB_ID"] {
        command.env_remove(name);
    }
    for name in ["OMPI_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT"] {
        command.env(name, "1").env(format!("{name}_CONFIRM"), "1");
    }
    // As `rankine resume` starts it, and the tests do.
    command.env("RANKINE_MPIRUN", launcher());
    command
}

fn launcher() -> String {
    std::env::var("RANKINE_MPIRUN").unwrap_or_else(|_| "mpirun --oversubscribe --bind-to none".to_string())
}

/// `rankine <words>` on threads, or `rankine run …` under mpirun.
fn command(folder: &Path, mpi: bool, words: &str) -> Command {
    let mut command = rankine(folder);
    if mpi {
        let launcher = launcher();
        let mut parts = launcher.split_whitespace();
        let mut under = Command::new(parts.next().expect("a launcher"));
        under.args(parts).args(["-n", "3"]).arg(command.get_program());
        command = quiet(under, folder);
    }
    command.args(words.split(' '));
    if !mpi && words.starts_with("run ") {
        command.args(["--ranks", "3"]);
    }
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What it prints and how it ends.
fn ends(folder: &Path, mpi: bool, words: &str, code: i32) -> String {
    let output = command(folder, mpi, words).output().expect("it can be started");
    assert_eq!(output.status.code(), Some(code), "{words}: {}", said(&output));
    said(&output)
}

fn works(folder: &Path, words: &str) -> String {
    ends(folder, false, words, 0)
}

fn status(folder: &Path, run: &str) -> serde_json::Value {
    let text = works(folder, &format!("status {run} --json"));
    let all: serde_json::Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    all[0].clone()
}

/// Waits for a state.
fn until(folder: &Path, run: &str, state: &str) -> serde_json::Value {
    let began = Instant::now();
    loop {
        let seen = if folder.join(run).join("progress.json").exists() {
            status(folder, run)
        } else {
            ().into_json()
        };
        if seen["state"] == state && (state != "running" || seen["step"].as_u64() > Some(0)) {
            return seen;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{run} is not {state}: {seen}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

trait Nothing {
    fn into_json(self) -> serde_json::Value;
}

impl Nothing for () {
    fn into_json(self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

fn spawn(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it can be started")
}

/// Steps of it take long enough that nothing is over too soon, and are seen at once.
const LONG: &str = "run heat3d --cells 24 --steps 100000000 --progress 0.2";

fn looked_after(mpi: bool) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let going = spawn(command(root, mpi, &format!("{LONG} --out runs/heat-one")));
    let seen = until(root, "runs/heat-one", "running");
    assert_eq!(
        (&seen["kernel"], &seen["ranks"], &seen["saves"]),
        (&"heat3d".into(), &3.into(), &true.into())
    );
    assert!(seen["seconds_left"].as_f64() > Some(1.0) && seen["since"].is_string(), "{seen}");
    let table = works(root, "status");
    assert!(table.contains("runs/heat-one  heat3d  running") && table.contains("/100000000"), "{table}");
    assert!(ends(root, false, "resume heat", 2).contains("is going on: it is running"));

    // Followed to its end, which somebody asks for.
    let follows = spawn(command(root, false, "log -f heat-o"));
    let asked = works(root, "cancel");
    assert!(asked.contains("made runs/heat-one/STOP") && asked.contains("exit code 75"), "{asked}");
    let ended = going.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(75), "{}", said(&ended));
    let followed = said(&follows.wait_with_output().unwrap());
    assert!(
        followed.starts_with("heat3d: begins ") && followed.contains("at step 0 on 3 ranks"),
        "{followed}"
    );
    assert!(followed.contains("stopped   the file STOP"), "{followed}");
    let stopped = status(root, "heat-one");
    assert_eq!((&stopped["state"], &stopped["seconds_left"]), (&"stopped".into(), &().into_json()));
    let step = stopped["step"].as_u64().unwrap();
    let last = works(root, "log heat-one -n 1");
    assert_eq!(last.lines().count(), 1, "{last}");

    // Stopped runs go on, as they were started; here for some steps more.
    let said_by_it = works(root, &format!("resume heat-one --steps {}", step + 50));
    assert!(
        said_by_it.contains("verdict   passed") && said_by_it.contains(&format!("(from {step})")),
        "{said_by_it}"
    );
    let engine = if mpi { "(mpi engine)" } else { "(local engine)" };
    assert!(said_by_it.contains("on 3 ranks") && said_by_it.contains(engine), "{said_by_it}");
    assert_eq!(status(root, "heat-one")["state"], "finished");
    assert!(ends(root, false, "resume heat-one", 2).contains("is done"));
    assert!(ends(root, false, "cancel heat-one", 2).contains("is not going on: it is finished"));
    let log = works(root, "log heat-one");
    assert_eq!(log.matches("heat3d: begins ").count(), 2, "appended\n{log}");
    let points = std::fs::read_to_string(root.join("runs/heat-one/log/progress.csv")).unwrap();
    assert!(points.starts_with("at,step,seconds\n") && points.matches("at,").count() == 1, "{points}");
    assert!(points.lines().last().unwrap().contains(&format!(",{},", step + 50)), "{points}");

    // Ended at once, with every process of it.
    let going = spawn(command(root, mpi, &format!("{LONG} --out runs/heat-two --checkpoint-every 5")));
    until(root, "runs/heat-two", "running");
    while !root.join("runs/heat-two/ckpt/a.h5").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(ends(root, false, "log heat", 2).contains("2 runs begin like this"));
    let ended = works(root, "cancel heat-two --now");
    assert!(ended.contains("ended runs/heat-two (process ") && ended.contains("resume"), "{ended}");
    assert!(!going.wait_with_output().unwrap().status.success());
    assert_eq!(status(root, "heat-two")["state"], "cancelled");
    let table = works(root, "status");
    assert!(table.contains("cancelled") && table.contains("finished"), "{table}");

    // Gone without a word.
    let going = spawn(command(root, mpi, &format!("{LONG} --out runs/heat-three")));
    until(root, "runs/heat-three", "running");
    let progress = std::fs::read_to_string(root.join("runs/heat-three/progress.json")).unwrap();
    let progress: serde_json::Value = serde_json::from_str(&progress).unwrap();
    let pid = progress["process"]["pid"].as_i64().unwrap() as i32;
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    going.wait_with_output().unwrap();
    assert_eq!(status(root, "heat-three")["state"], "died");
    assert!(works(root, "log heat-three -f").starts_with("heat3d: begins "));
    assert!(ends(root, false, "cancel heat-three --now", 2).contains("it is died"));
}

#[test]
fn runs_are_looked_after() {
    looked_after(false);
}

#[cfg(feature = "mpi")]
#[test]
fn runs_are_looked_after_under_mpirun() {
    looked_after(true);
}

#[test]
fn wrong_names_get_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for verb in ["log", "cancel", "resume", "report", "top"] {
        assert!(ends(root, false, verb, 2).contains("no run is named"), "{verb}");
    }
    assert_eq!(works(root, "status"), "there are no runs here\n");
    works(root, "run heat3d --cells 8 --steps 3 --quiet --out runs/heat");
    works(root, "run nstream --length 1000 --iterations 3 --quiet --out elsewhere/deep/nstream");
    for verb in ["status", "log", "cancel", "resume", "report", "top"] {
        let refused = ends(root, false, &format!("{verb} haet"), 2);
        assert!(
            refused.contains("there is no run haet") && refused.contains("did you mean heat?"),
            "{refused}"
        );
    }
    // Another directory of runs, and those of a sweep in it.
    assert!(works(root, "status elsewhere").contains("elsewhere/deep/nstream  nstream  finished"));
    assert!(works(root, "log elsewhere/deep/n").contains("nstream: begins"));
    assert!(ends(root, false, "log heat --rank 1", 2).contains("--log info"));
    assert!(ends(root, false, "report heat -o runs", 2).contains("it is a folder"));
    assert!(ends(root, false, "compare heat3d heta", 2).contains("did you mean heat?"));
}

#[test]
fn a_run_that_keeps_no_state_can_only_be_ended() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let going = spawn(command(
        root,
        false,
        "run nstream --length 20000 --iterations 100000000 --progress 0.2 --out runs/n",
    ));
    assert_eq!(until(root, "runs/n", "running")["saves"], false);
    // It is written anew all the time, and never half.
    for _ in 0..200 {
        let text = std::fs::read_to_string(root.join("runs/n/progress.json")).unwrap();
        let progress: serde_json::Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
        assert_eq!(progress["process"]["saves"], false);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(ends(root, false, "cancel n", 2).contains("its kernel keeps no state"));
    assert!(!root.join("runs/n/STOP").exists());
    assert!(works(root, "cancel n --now").contains("it has no checkpoint"));
    assert!(!going.wait_with_output().unwrap().status.success());
}

#[test]
fn a_terminal_has_a_bar_and_a_log_has_lines() {
    let folder = tempfile::tempdir().unwrap();
    let words = "run heat3d --cells 16 --steps 100000000 --progress 0.3";
    // Stopped once its log has two lines of progress.
    let told = |going: Child, run: &str| {
        let log = folder.path().join(run).join("log/run.txt");
        let lines = || std::fs::read_to_string(&log).unwrap_or_default().matches("heat3d: step ").count();
        let began = Instant::now();
        while lines() < 2 && began.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(20));
        }
        // A run that has not begun has no folder, and then says why.
        let _ = std::fs::write(folder.path().join(run).join("STOP"), "");
        let shown = going.wait_with_output().unwrap();
        assert_eq!(shown.status.code(), Some(75), "{}", said(&shown));
        (said(&shown), began.elapsed())
    };
    // `script` has a terminal for it.
    let line = format!("{} {words} --out bar", env!("CARGO_BIN_EXE_rankine"));
    let mut terminal = quiet(Command::new("script"), folder.path());
    terminal.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm");
    let (text, _) = told(spawn(terminal), "bar");
    assert!(text.contains("heat3d ") && text.contains("cells/s, ") && text.contains(" left"), "{text:?}");
    assert!(text.contains('\u{2588}') || text.contains('\u{2591}') || text.contains("0%"), "{text:?}");
    let (lines, took) = told(spawn(command(folder.path(), false, &format!("{words} --out lines"))), "lines");
    let count =
        lines.lines().filter(|line| line.starts_with("heat3d: step ") && line.contains("cells/s")).count();
    // One at the beginning, one at the end and one an interval.
    assert!((2..=3 + (took.as_secs_f64() / 0.3) as usize).contains(&count), "{count} in {took:?}: {lines}");
    // The file has them, too, and no line of a bar.
    for run in ["bar", "lines"] {
        let log = std::fs::read_to_string(folder.path().join(run).join("log/run.txt")).unwrap();
        assert!(log.matches("heat3d: step ").count() >= 2 && !log.contains('\u{1b}'), "{log}");
    }
}

/// Everything of the page that could load or run something.
fn page(path: &Path) -> String {
    let page = std::fs::read_to_string(path).unwrap();
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let read =
        roxmltree::Document::parse_with_options(&page, options).unwrap_or_else(|error| panic!("{error}"));
    for node in read.descendants().filter(|node| node.is_element()) {
        assert!(!matches!(node.tag_name().name(), "script" | "link" | "iframe" | "object" | "a"));
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            assert!(!name.starts_with("on"), "{name}");
            assert!(
                !matches!(name, "src" | "href") || value.starts_with("data:image/png;base64,"),
                "{value:.80}"
            );
        }
    }
    let count = |name: &str| read.descendants().filter(|node| node.tag_name().name() == name).count();
    assert!(count("svg") >= 3 && count("img") == 1, "{} drawings, {} pictures", count("svg"), count("img"));
    read.descendants().filter(|node| node.is_text()).filter_map(|node| node.text()).collect()
}

fn reported(mpi: bool) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let words = "run heat3d --cells 20 --steps 60 --every 20 --quiet --log info --out runs/one";
    ends(root, mpi, words, 0);
    let made = works(root, "report one");
    assert_eq!(made, "runs/one/report.html\n");
    let text = page(&root.join("runs/one/report.html"));
    for word in [
        "passed",
        "cells",
        "[20, 20, 20]",
        "begins",
        "Load balance",
        "processor efficiency",
        "most that all processes held",
        "imbalance",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    // Neighbours in a row of three have sent each other messages, the ends of it each other none of a halo.
    let timings = std::fs::read_to_string(root.join("runs/one/timings.json")).unwrap();
    let timings: serde_json::Value = serde_json::from_str(&timings).unwrap();
    let bytes = |from: i64, to: i64| {
        let sent = timings["sent"].as_array().unwrap().iter();
        sent.filter(|entry| entry[0] == from && entry[1] == to)
            .map(|entry| entry[3].as_u64().unwrap())
            .sum::<u64>()
    };
    assert!(bytes(0, 1) > 60 * 20 * 20 * 8 && bytes(1, 2) > 60 * 20 * 20 * 8, "{}", timings["sent"]);
    assert!(bytes(0, 2) < bytes(0, 1) / 4, "{}", timings["sent"]);
    let allocation = &timings["allocation"];
    assert_eq!((&allocation["cores"], &allocation["slurm"]), (&3.into(), &false.into()));
    assert!(
        allocation["cpu"].as_f64() > Some(0.0) && allocation["wall"].as_f64() > Some(0.0),
        "{allocation}"
    );
    // What ranks say is in a file each.
    for rank in 0..3 {
        let log = works(root, &format!("log one --rank {rank}"));
        assert!(
            log.contains("INFO rankine::run::execute: begins heat3d")
                && log.contains(&format!("rank={rank} of=3")),
            "{log}"
        );
        assert_eq!(log.matches("observed").count(), 3, "{log}");
    }
    assert!(ends(root, false, "log one --rank 3", 2).contains("--rank 0 to 2"));
    // The page of a run that goes on, elsewhere.
    works(root, "report one -o page.html");
    assert!(root.join("page.html").is_file());
}

#[test]
fn a_run_is_reported_as_one_page() {
    reported(false);
}

#[cfg(feature = "mpi")]
#[test]
fn a_run_is_reported_as_one_page_under_mpirun() {
    reported(true);
}

#[test]
fn runs_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let make = |words: &str| works(root, &format!("run heat3d --cells 12 --quiet {words}"));
    make("--steps 20 --every 10 --out runs/a");
    make("--steps 20 --every 10 --threads 2 --out runs/same");
    make("--steps 30 --every 10 --dt 0.05 --out runs/other");
    let same = works(root, "compare a same");
    assert!(same.contains("the same to the bit") && same.contains("parameters: the same"), "{same}");
    assert!(
        same.contains("fields after step 20")
            && same.lines().any(|line| line.split_whitespace().eq(["temperature", "the", "same"])),
        "{same}"
    );
    assert!(same.lines().any(|line| line.split_whitespace().eq(["threads", "1", "2"])), "{same}");
    let other = works(root, "compare a other");
    assert!(other.contains("The answers differ") && other.contains("numbers differ"), "{other}");
    assert!(other.lines().any(|line| line.split_whitespace().eq(["steps", "20", "30"])), "{other}");
    let all: serde_json::Value = serde_json::from_str(&works(root, "compare a other --json")).unwrap();
    assert_eq!((&all["bitwise_same"], &all["fields"][0]["step"]), (&false.into(), &20.into()));
    let changed: Vec<&str> =
        all["parameters"].as_array().unwrap().iter().filter_map(|row| row["what"].as_str()).collect();
    assert!(
        changed.contains(&"dt") && changed.contains(&"steps") && !changed.contains(&"cells"),
        "{changed:?}"
    );
    // The largest difference, by the files themselves.
    assert!(all["fields"][0]["largest"].as_f64() > Some(0.0), "{all}");
    assert!(all["measured"].as_array().unwrap().iter().any(|row| row["what"] == "compute"), "{all}");
}
