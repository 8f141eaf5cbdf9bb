//! The watch on jobs as people start them: what it must report, and what it must not.
//!
//! On the testbed with four nodes and links that can be slowed; without it, under mpirun on this machine. The jobs are this
//! same program with `--job`.

mod program;

use libtest_mimic::{Arguments, Trial};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some((flag, words)) = words.split_first()
        && flag == "--job"
    {
        return program::run(words.to_vec());
    }
    let mut trials: Vec<Trial> = Vec::new();
    let mut add = |name: &str, test: fn()| {
        trials.push(Trial::test(name, move || {
            test();
            Ok(())
        }));
    };
    add("a_rank_that_is_stopped_and_continued_is_not_reported", stopped_and_continued);
    add("a_rank_that_takes_long_is_not_reported", takes_long);
    add("a_job_without_its_watch_runs", without_its_watch);
    #[cfg(feature = "testbed-tests")]
    add("four_nodes_with_slow_links", four_nodes_with_slow_links);
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn program() -> PathBuf {
    std::env::current_exe().expect("this test's own path")
}

fn mpirun(ranks: usize, folder: &Path, words: &[&str]) -> Command {
    let launcher = std::env::var("RANKINE_MPIRUN").expect("RANKINE_MPIRUN, such as `mpirun --oversubscribe`");
    let mut parts = launcher.split_whitespace();
    let mut command = Command::new(parts.next().expect("a launcher"));
    command
        .args(parts)
        .args(["-n", &ranks.to_string()])
        .arg(program())
        .arg("--job")
        .args(words)
        .current_dir(folder);
    command
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// It ended well, and the watch had nothing to say.
fn quiet(output: &Output) {
    let said = said(output);
    assert!(output.status.success() && !said.contains("rank "), "{}\n{said}", output.status);
}

fn signal(pid: &str, name: &str) {
    let done = Command::new("kill").args([&format!("-{name}"), pid]).status().expect("kill");
    assert!(done.success(), "kill -{name} {pid}");
}

fn pid_in(folder: &Path, job: &mut Child) -> String {
    let start = Instant::now();
    loop {
        if let Ok(pid) = std::fs::read_to_string(folder.join("pid")) {
            return pid;
        }
        let ended = job.try_wait().expect("the job's state");
        assert!(ended.is_none() && start.elapsed() < Duration::from_secs(60), "no rank 1: {ended:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn stopped_and_continued() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("wait"), "").unwrap();
    let mut command = mpirun(4, folder.path(), &["tardy", "0"]);
    command.env("RANKINE_PATIENCE", "0.1").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut job = command.spawn().unwrap();
    let pid = pid_in(folder.path(), &mut job);
    signal(&pid, "STOP");
    std::thread::sleep(Duration::from_secs(3));
    signal(&pid, "CONT");
    std::fs::remove_file(folder.path().join("wait")).unwrap();
    let output = job.wait_with_output().unwrap();
    let text = said(&output);
    // That it could not be asked may be said, and nothing else.
    assert!(output.status.success() && !text.contains("error"), "{}\n{text}", output.status);
}

fn takes_long() {
    let folder = tempfile::tempdir().unwrap();
    let output = mpirun(4, folder.path(), &["tardy", "2"]).env("RANKINE_PATIENCE", "0.05").output().unwrap();
    quiet(&output);
}

fn without_its_watch() {
    let folder = tempfile::tempdir().unwrap();
    let output = mpirun(3, folder.path(), &["slow", "1"]).env("RANKINE_WATCH", "0").output().unwrap();
    quiet(&output);
}

#[cfg(feature = "testbed-tests")]
fn four_nodes_with_slow_links() {
    let testbed = rankine_slurm::Testbed::up(4, 2).unwrap_or_else(|error| panic!("{error}"));
    let folder = tempfile::tempdir().unwrap();
    let srun = |words: &[&str], patience: &str| {
        let mut command = Command::new("srun");
        command.args(["-N4", "-n8", "--mpi=pmix"]).arg(program()).arg("--job").args(words);
        command.current_dir(folder.path()).env("RANKINE_PATIENCE", patience);
        testbed.srun(&mut command).expect("srun")
    };

    // A circle over all nodes is found and brought down.
    let output = srun(&["circle"], "0.5");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(5), "{text}");
    assert!(text.contains("error[deadlock]: ranks 0-7 wait for each other in a circle"), "{text}");
    assert!(text.contains("rank 5  recv u64 from 4, tag 1"), "{text}");
    assert_eq!(text.matches("error[deadlock]").count(), 1, "{text}");

    // A message that is under way for seconds is not.
    testbed.rate(4, "20mbit").unwrap_or_else(|error| panic!("{error}"));
    quiet(&srun(&["slow", "8"], "0.2"));
    testbed.down().unwrap_or_else(|error| panic!("{error}"));
}
