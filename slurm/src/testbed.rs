//! A real Slurm cluster on this machine for the length of a test. A thin hold on the script
//! `testbed/testbed.sh`, which does the work and can be used by itself; nothing here is for production jobs.

use std::ffi::OsString;
use std::process::{self, Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use crate::command::{Finished, run};
use crate::error::quoted;
use crate::{Error, Slurm};

const SCRIPT: &str = include_str!("../testbed/testbed.sh");
/// The script's exit code when another testbed is up.
const BUSY: i32 = 75;
/// How long to wait for another test's cluster to go.
const TURN: Duration = Duration::from_secs(600);
/// Longer than any wait inside the script.
const DEADLINE: Duration = Duration::from_secs(300);

/// A running cluster. Dropping it takes it down, with all its jobs.
///
/// There is one at a time on a machine: a second `up` waits until the first is gone, and replaces one
/// whose process has died.
#[derive(Debug)]
#[must_use = "dropping it takes the cluster down"]
pub struct Testbed {
    env: Vec<(String, String)>,
    down: bool,
}

impl Testbed {
    /// Starts a cluster of `nodes` nodes with `cpus` CPUs each, named `rk-n1`, `rk-n2` and so on.
    ///
    /// # Errors
    /// [`Error::Testbed`] with the script's words: not root, packages missing (and the line that installs
    /// them), no right to make network namespaces, or another testbed was up for ten minutes.
    pub fn up(nodes: u32, cpus: u32) -> Result<Testbed, Error> {
        let start = Instant::now();
        loop {
            let done = script(&["up", &nodes.to_string(), &cpus.to_string()])?;
            if done.status.success() {
                let env = exports(&done.stdout);
                return Ok(Testbed { env, down: false });
            }
            if done.status.code() != Some(BUSY) || start.elapsed() > TURN {
                return Err(failed(&done));
            }
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// The environment for a command that is to talk to this cluster.
    pub fn env(&self) -> impl Iterator<Item = (&str, &str)> {
        self.env.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Runs `srun` to its end on this cluster. Open MPI 4.1 under srun now and then crashes inside `MPI_Init`, also of a
    /// C program: a peer whose `MPI_Init` is over sends a message to a rank that has not yet told its network what messages
    /// are (seen here about once in a hundred starts on a loaded machine). Such a start is made again, up to three times;
    /// a crash that is not quite like this one is not.
    ///
    /// # Errors
    /// What the system says where srun cannot be started.
    pub fn srun(&self, command: &mut Command) -> std::io::Result<Output> {
        command.envs(self.env());
        let mut output = command.output()?;
        for _ in 0..3 {
            let said = String::from_utf8_lossy(&output.stderr);
            if !output.stdout.is_empty() || !Self::crashed_at_start(output.status.code(), &said) {
                break;
            }
            output = command.output()?;
        }
        Ok(output)
    }

    /// Whether a job or step ended by that crash, from its exit code and what it said: the peers of the rank that is gone
    /// were about to connect to it.
    #[must_use]
    pub fn crashed_at_start(code: Option<i32>, said: &str) -> bool {
        code == Some(128 + 11)
            && said.contains("Segmentation fault")
            && said.contains("Open MPI failed to TCP connect to a peer MPI process")
    }

    /// This cluster, for submitting.
    #[must_use]
    pub fn slurm(&self) -> Slurm {
        self.env().fold(Slurm::new(), |slurm, (key, value)| slurm.env(key, value))
    }

    /// Limits the link of a node (1 is the first) to a rate as `tc` writes it, such as `100mbit`; `none` lifts it.
    ///
    /// # Errors
    /// [`Error::Testbed`] for a node that is not there or a rate `tc` does not know.
    pub fn rate(&self, node: u32, rate: &str) -> Result<(), Error> {
        ok(&script(&["rate", &node.to_string(), rate])?)
    }

    /// Takes the link of a node down, as a broken cable would.
    ///
    /// # Errors
    /// [`Error::Testbed`] for a node that is not there.
    pub fn cut(&self, node: u32) -> Result<(), Error> {
        ok(&script(&["cut", &node.to_string()])?)
    }

    /// Brings the link of a node up again.
    ///
    /// # Errors
    /// [`Error::Testbed`] for a node that is not there.
    pub fn mend(&self, node: u32) -> Result<(), Error> {
        ok(&script(&["mend", &node.to_string()])?)
    }

    /// Ends the slurmd of a node and all that runs there at once, as a power cut would. Its link stays up.
    ///
    /// # Errors
    /// [`Error::Testbed`] for a node that is not there.
    pub fn kill(&self, node: u32) -> Result<(), Error> {
        ok(&script(&["kill", &node.to_string()])?)
    }

    /// Starts the slurmd of a node again after [`kill`](Testbed::kill).
    ///
    /// # Errors
    /// [`Error::Testbed`] for a node that is not there or runs.
    pub fn revive(&self, node: u32) -> Result<(), Error> {
        ok(&script(&["revive", &node.to_string()])?)
    }

    /// Takes the cluster down and says if that failed, which a drop cannot.
    ///
    /// # Errors
    /// [`Error::Testbed`] with the script's words.
    pub fn down(mut self) -> Result<(), Error> {
        self.down = true;
        ok(&script(&["down"])?)
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        if !self.down {
            // Nobody is left to hear of a failure; the next `up` cleans up and says so.
            let _ = script(&["down"]);
        }
    }
}

fn script(args: &[&str]) -> Result<Finished, Error> {
    // As an argument, not a file: nothing of root's lies about for others to change.
    let words: Vec<_> = ["-c", SCRIPT, "testbed.sh"].into_iter().chain(args.iter().copied()).collect();
    let owner = (OsString::from("RK_TESTBED_OWNER"), OsString::from(process::id().to_string()));
    run("bash", &words, "", &[owner], DEADLINE)
}

fn ok(done: &Finished) -> Result<(), Error> {
    if done.status.success() { Ok(()) } else { Err(failed(done)) }
}

fn failed(done: &Finished) -> Error {
    Error::Testbed { status: done.status.to_string(), said: quoted(&done.stderr) }
}

fn exports(stdout: &str) -> Vec<(String, String)> {
    let pairs = stdout.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}
