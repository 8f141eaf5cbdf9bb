//! `rankine cancel`: asks a run to be saved and to stop, or ends it at once; and says what it did.

use crate::runs::{self, PROGRESS, Queue, SLURM, Seen, State};
use rankine::output::files::{failure, write_json};
use rankine::run::show;
use rankine::{Error, ErrorKind, Result};
use rankine_slurm::{JobId, Slurm};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a process that was ended may take to be gone.
const GONE: Duration = Duration::from_secs(10);

/// Does it.
///
/// # Errors
/// There is no such run, it is not going on, or it cannot be ended from here.
pub fn cancel(run: Option<&Path>, now: bool) -> Result<()> {
    let run = runs::find(run)?;
    let seen = runs::look(&run, &Queue::default());
    let name = run.display();
    if !seen.state.is_open() {
        return Err(Error::usage(format!("{name} is not going on: it is {}", seen.state))
            .help("`rankine status` shows which runs are going on"));
    }
    if seen.state == State::Waiting || (now && seen.slurm.is_some()) {
        return by_slurm(&run, &seen);
    }
    if now {
        return end(&run);
    }
    if seen.state == State::Running && seen.saves == Some(false) {
        return Err(Error::usage(format!("{name} cannot be saved: its kernel keeps no state"))
            .help("let it end by itself, or end it without saving: --now"));
    }
    let stop = run.join("STOP");
    std::fs::write(&stop, "").map_err(|error| failure("make", &stop, &error))?;
    show(&format!(
        "made {}: the run is saved after one of its next steps and ends with exit code 75\n\
         `rankine status {name}` shows when; `rankine resume {name}` goes on with it; --now ends it at once\n",
        stop.display()
    ));
    Ok(())
}

/// Slurm takes the job out of its queue, or ends it.
fn by_slurm(run: &Path, seen: &Seen) -> Result<()> {
    let Some(job) = runs::job_of(run) else {
        return Err(Error::usage(format!("{} has no job in Slurm", run.display())));
    };
    let said = |error: rankine_slurm::Error| Error::new(ErrorKind::Setup, error.to_string());
    match job.task {
        Some(task) => rankine_slurm::cancel_task(JobId(job.id), task),
        None => Slurm::new().cancel(JobId(job.id)),
    }
    .map_err(said)?;
    if seen.state == State::Waiting {
        note(run, SLURM, "cancelled", true.into());
        show(&format!("cancelled job {job} (scancel), which was waiting\n"));
    } else {
        show(&format!(
            "cancelled job {job} (scancel), which was running: it is saved if it can be in the time that Slurm leaves it (KillWait)\n"
        ));
    }
    Ok(())
}

/// Ends the process of rank 0, on this node; the launcher, if there is one, ends the others.
fn end(run: &Path) -> Result<()> {
    let name = run.display();
    let process = runs::file(run, PROGRESS)["process"].clone();
    let here = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let (pid, node) =
        (process["pid"].as_i64().unwrap_or(0), process["node"].as_str().unwrap_or("?").to_string());
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).filter(|&pid| holds(pid, run));
    let Some(pid) = pid else {
        let help = if node == here || node == "?" {
            "end it where it was started".to_string()
        } else {
            format!("log in to {node} and write it there")
        };
        return Err(Error::new(
            ErrorKind::Setup,
            format!("the process that holds {name} is not to be found on {here}; it was started on {node}"),
        )
        .help(help));
    };
    kill_process(pid, Signal::KILL).map_err(|error| {
        Error::new(ErrorKind::Setup, format!("cannot end process {pid:?} of {name}: {error}"))
            .help("it is another person's, or ask the one who started it")
    })?;
    let began = Instant::now();
    while runs::is_held(run) && began.elapsed() < GONE {
        std::thread::sleep(Duration::from_millis(20));
    }
    if runs::is_held(run) {
        return Err(Error::new(
            ErrorKind::Setup,
            format!("ended process {}, but another one still holds {name}", pid.as_raw_nonzero()),
        )
        .help("`rankine status` shows whether it goes on"));
    }
    note(run, PROGRESS, "state", "cancelled".into());
    let saved = ["a.h5", "b.h5"].iter().any(|file| run.join("ckpt").join(file).is_file());
    let then = match saved {
        true => format!("`rankine resume {name}` goes on from its last checkpoint"),
        false => "it has no checkpoint".to_string(),
    };
    show(&format!("ended {name} (process {}, by SIGKILL) without saving it; {then}\n", pid.as_raw_nonzero()));
    Ok(())
}

/// Whether that process has the run's directory open, as one does that runs in it: numbers of processes are used again.
fn holds(pid: Pid, run: &Path) -> bool {
    let Ok(run) = run.canonicalize() else { return false };
    let files = std::fs::read_dir(PathBuf::from(format!("/proc/{}/fd", pid.as_raw_nonzero())));
    files
        .into_iter()
        .flatten()
        .flatten()
        .any(|file| std::fs::read_link(file.path()).is_ok_and(|to| to == run))
}

/// The run cannot say it itself.
fn note(run: &Path, name: &str, key: &str, value: Value) {
    let mut about = runs::file(run, name);
    if let Value::Object(fields) = &mut about {
        fields.insert(key.to_string(), value);
        // It is ended, whether or not that can be written down.
        let _ = write_json(run.join(name), &about);
    }
}
