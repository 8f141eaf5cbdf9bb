//! Runs that are interrupted from outside, on both engines: Ctrl-C on a terminal, signals, a terminal that goes away, a killed
//! rank, a killed mpirun. Afterwards there is no process of the run, no file half-written under its final name, and the
//! exit code is the documented one (`docs/runs.md`). A full disk is in `resume`.
#![cfg(feature = "hdf5")]

#[expect(dead_code, reason = "other tests use more of it")]
mod common;

use common::{files, json, rankine};
use rustix::process::{Pid, Signal, kill_process};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// In the environment of every process of a run, so that each can be found.
const MARK: &str = "RANKINE_TEST_MARK";
/// Whoever starts these tests in the background has them, and what they start, ignore Ctrl-C.
const HEARING: [&str; 2] = ["env", "--default-signal=INT,HUP"];

/// Seconds that mpirun of Open MPI gives ranks between SIGTERM and SIGKILL; it takes all of them, and twice.
const GRACE: &str = "10";

/// Saves its state; would go on for hours.
const KEPT: &str = "run heat3d --cells 16 --steps 1000000000 --every 100000 --progress 0.05 --out run";
/// Has no state to go on from.
const LOST: &str = "run nstream --length 10000 --iterations 2000000000 --progress 0.05 --out run";

/// A run that goes on in a folder of its own.
struct Going {
    folder: tempfile::TempDir,
    child: Child,
    mark: String,
    terminal: Option<OwnedFd>,
}

impl Drop for Going {
    /// Nothing goes on after a test that has failed.
    fn drop(&mut self) {
        for (pid, _) in self.processes() {
            // It may be gone already.
            let _ = kill_process(Pid::from_raw(pid as i32).expect("a process"), Signal::KILL);
        }
    }
}

/// How to start it.
struct Way {
    mpi: bool,
    terminal: bool,
    /// A program before it, such as nohup.
    before: &'static [&'static str],
}

const ALONE: Way = Way { mpi: false, terminal: false, before: &[] };
#[cfg(feature = "mpi")]
const MPIRUN: Way = Way { mpi: true, terminal: false, before: &[] };

fn words_of(way: &Way, folder: &Path, words: &str) -> Vec<String> {
    let program = rankine(folder).get_program().to_string_lossy().into_owned();
    let mut line: Vec<String> = way.before.iter().map(|word| word.to_string()).collect();
    if way.mpi {
        let launcher =
            std::env::var("RANKINE_MPIRUN").unwrap_or_else(|_| "mpirun --oversubscribe".to_string());
        line.extend(launcher.split_whitespace().map(str::to_string));
        line.extend(["-n".to_string(), "2".to_string(), program]);
        line.extend(words.split(' ').map(str::to_string));
    } else {
        line.push(program);
        line.extend(words.split(' ').map(str::to_string));
        line.extend(["--ranks".to_string(), "2".to_string()]);
    }
    line
}

impl Going {
    /// Starts it and waits until it has made steps.
    fn start(way: &Way, words: &str) -> Going {
        // In memory where that can be: what is measured in time here is not the disk's.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mark = folder.path().display().to_string();
        let line = words_of(way, folder.path(), words);
        let mut command;
        let mut terminal = None;
        if way.terminal {
            let (master, slave) = pseudo_terminal();
            // It leads a session whose terminal is this one, as a login shell's jobs do.
            command = Command::new("setsid");
            command.arg("--ctty").args(HEARING).args(&line).stdin(slave.try_clone().unwrap());
            command.stdout(slave.try_clone().unwrap()).stderr(slave);
            command.env("TERM", "xterm");
            terminal = Some(master);
        } else {
            command = Command::new(HEARING[0]);
            command
                .args(&HEARING[1..])
                .args(&line)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped());
            command.process_group(0);
        }
        command.current_dir(folder.path()).env(MARK, &mark);
        for name in ["OMPI_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT"] {
            command.env(name, "1").env(format!("{name}_CONFIRM"), "1");
        }
        command.env("OMPI_MCA_mpi_yield_when_idle", "1");
        // Time to save, also where others have the cores and the disk.
        command.env("OMPI_MCA_odls_base_sigkill_timeout", GRACE);
        for name in ["OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK", "SLURM_JOB_ID"] {
            command.env_remove(name);
        }
        let child = command.spawn().expect("the command can be started");
        // Its own copies of the terminal would keep that open.
        drop(command);
        let mut going = Going { folder, child, mark, terminal };
        let began = Instant::now();
        while going.steps().is_none_or(|steps| steps == 0) {
            going.drain();
            let ended = going.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {ended:?} {}", going.said());
            assert!(began.elapsed() < Duration::from_secs(60), "it does not begin");
            std::thread::sleep(Duration::from_millis(5));
        }
        going
    }

    fn run(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    fn steps(&self) -> Option<u64> {
        let text = std::fs::read_to_string(self.run().join("progress.json")).ok()?;
        serde_json::from_str::<serde_json::Value>(&text).expect("never half-written")["step"].as_u64()
    }

    /// Reads what the terminal shows, so that nobody waits to write there.
    fn drain(&self) {
        let mut shown = [0; 4096];
        while let Some(terminal) = &self.terminal
            && rustix::io::read(terminal, &mut shown).is_ok_and(|length| length > 0)
        {}
    }

    fn signal(&self, pid: u32, signal: Signal) {
        kill_process(Pid::from_raw(pid as i32).expect("a process"), signal).expect("it is there");
    }

    /// Presses a key.
    fn press(&self, key: u8) {
        rustix::io::write(self.terminal.as_ref().expect("a terminal"), &[key]).expect("it takes keys");
    }

    /// Its processes that are still there, with their names.
    fn processes(&self) -> Vec<(u32, String)> {
        let wanted = format!("{MARK}={}", self.mark);
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // A zombie has no environment any more.
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            if environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes()) {
                let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                found.push((pid, name.trim().to_string()));
            }
        }
        found
    }

    #[cfg(feature = "mpi")]
    fn ranks(&self) -> Vec<u32> {
        self.processes().into_iter().filter(|(_, name)| name == "rankine").map(|(pid, _)| pid).collect()
    }

    fn said(&mut self) -> String {
        let mut said = Vec::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            // Whoever still holds it is an orphan, which is looked for first.
            let _ = stderr.read_to_end(&mut said);
        }
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Waits for its end, and for that of all its processes.
    fn end(&mut self) -> ExitStatus {
        let began = Instant::now();
        let status = loop {
            self.drain();
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < Duration::from_secs(80), "it goes on: {:?}", self.processes());
            std::thread::sleep(Duration::from_millis(5));
        };
        let began = Instant::now();
        while !self.processes().is_empty() {
            assert!(began.elapsed() < Duration::from_secs(20), "orphans: {:?}", self.processes());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.whole();
        status
    }

    /// Every file that has its final name is whole, and there is no result of a run that is not done.
    fn whole(&self) {
        let run = self.run();
        assert!(!run.join("result.json").exists());
        for name in files(&run) {
            let path = run.join(&name);
            let last = path.file_name().unwrap().as_bytes();
            if path.is_dir() || last.starts_with(b".") {
                continue;
            }
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => drop(json(&path)),
                Some("toml") => {
                    let text = std::fs::read_to_string(&path).unwrap();
                    text.parse::<toml::Table>().unwrap_or_else(|error| panic!("{name}: {error}"));
                }
                Some("h5") => {
                    let dumped = Command::new("h5dump").arg("-H").arg(&path).output().expect("h5dump");
                    assert!(dumped.status.success(), "{name} is half-written");
                }
                _ => {}
            }
        }
    }

    /// It was saved, says so, and goes on from there.
    fn saved(&self) {
        let progress = json(self.run().join("progress.json"));
        assert_eq!(progress["state"], "stopped");
        let step = progress["step"].as_u64().unwrap();
        let more = format!("run --resume run --steps {} --quiet", step + 10);
        let again = rankine(self.folder.path()).args(more.split(' ')).output().unwrap();
        assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
        assert_eq!(json(self.run().join("provenance.json"))["from_step"], step);
    }
}

/// A terminal's two ends: what a person sees and types, and what programs are given.
fn pseudo_terminal() -> (OwnedFd, OwnedFd) {
    use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&master).expect("ours");
    unlockpt(&master).expect("to be opened");
    fcntl_setfl(&master, OFlags::NONBLOCK).expect("not to wait");
    let name = ptsname(&master, Vec::new()).expect("a name");
    let slave = open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).expect("its end");
    (master, slave)
}

const CTRL_C: u8 = 3;

/// What is done to a run.
#[derive(Clone, Copy, Debug)]
enum Interruption {
    CtrlC,
    TerminalGone,
    Sent(Signal),
}

fn interrupt(mpi: bool, words: &str, by: Interruption) -> (Going, ExitStatus) {
    let terminal = !matches!(by, Interruption::Sent(_));
    let mut going = Going::start(&Way { mpi, terminal, before: &[] }, words);
    match by {
        Interruption::CtrlC => going.press(CTRL_C),
        Interruption::TerminalGone => drop(going.terminal.take()),
        Interruption::Sent(signal) => going.signal(going.child.id(), signal),
    }
    let status = going.end();
    (going, status)
}

const ALL: [(Interruption, i32); 5] = [
    (Interruption::CtrlC, 2),
    (Interruption::Sent(Signal::INT), 2),
    (Interruption::Sent(Signal::TERM), 15),
    (Interruption::Sent(Signal::HUP), 1),
    (Interruption::TerminalGone, 1),
];

#[test]
fn what_can_be_saved_is_saved_and_ends_with_75() {
    for (by, _) in ALL {
        let (going, status) = interrupt(false, KEPT, by);
        assert_eq!(status.code(), Some(75), "{by:?}");
        going.saved();
    }
}

/// A shell calls that 130, 143 and 129.
#[test]
fn what_cannot_be_saved_ends_by_the_signal() {
    for (by, signal) in ALL {
        let (_, status) = interrupt(false, LOST, by);
        assert_eq!(status.signal(), Some(signal), "{by:?}: {status}");
    }
}

#[test]
fn a_second_ctrl_c_ends_a_run_that_is_being_saved() {
    let words = KEPT.replace("--cells 16", "--cells 200").replace("--every 100000 ", "");
    let mut going = Going::start(&Way { terminal: true, ..ALONE }, &words);
    // Two that come before the run is on a core again are one.
    for _ in 0..1000 {
        going.press(CTRL_C);
        std::thread::sleep(Duration::from_millis(2));
        if going.child.try_wait().unwrap().is_some() {
            break;
        }
    }
    assert_eq!(going.end().signal(), Some(2));
}

/// Who starts a run may want it to outlive the terminal.
#[test]
fn nohup_counts() {
    let mut going = Going::start(&Way { before: &["nohup"], ..ALONE }, KEPT);
    let pid = going.child.id();
    going.signal(pid, Signal::HUP);
    let there = going.steps().unwrap();
    let began = Instant::now();
    while going.steps().unwrap() <= there + 100 {
        assert!(going.child.try_wait().unwrap().is_none(), "it ended");
        assert!(began.elapsed() < Duration::from_secs(30), "it makes no steps");
        std::thread::sleep(Duration::from_millis(5));
    }
    going.signal(pid, Signal::TERM);
    assert_eq!(going.end().code(), Some(75));
}

/// mpirun passes none of these on: it sends the ranks SIGTERM, and SIGKILL after a time that can be set. The exit code is
/// mpirun's own.
#[cfg(feature = "mpi")]
#[test]
fn under_mpirun_what_can_be_saved_is_saved() {
    std::thread::scope(|all| {
        for (by, _) in ALL {
            all.spawn(move || {
                let (going, status) = interrupt(true, KEPT, by);
                assert!(!status.success(), "{by:?}");
                going.saved();
            });
        }
    });
}

#[cfg(feature = "mpi")]
#[test]
fn under_mpirun_nothing_is_left_of_what_cannot_be_saved() {
    std::thread::scope(|all| {
        for (by, _) in ALL {
            all.spawn(move || {
                let (_, status) = interrupt(true, LOST, by);
                assert!(!status.success(), "{by:?}");
            });
        }
    });
}

#[cfg(feature = "mpi")]
#[test]
fn a_killed_rank_takes_the_job_with_it() {
    for victim in [0, 1] {
        let mut going = Going::start(&MPIRUN, KEPT);
        let ranks = going.ranks();
        assert_eq!(ranks.len(), 2);
        going.signal(ranks[victim], Signal::KILL);
        let status = going.end();
        // mpirun says which rank, and by what.
        assert_eq!(status.code(), Some(128 + 9), "{status}");
        let said = going.said();
        assert!(said.contains("signal 9"), "{said}");
    }
}

#[cfg(feature = "mpi")]
#[test]
fn a_killed_mpirun_leaves_no_rank() {
    for words in [KEPT, LOST, "run heat3d --cells 200 --steps 1000000 --progress 0.05 --out run"] {
        let mut going = Going::start(&MPIRUN, words);
        let mpirun = going.child.id();
        going.signal(mpirun, Signal::KILL);
        assert_eq!(going.end().signal(), Some(9));
    }
}
