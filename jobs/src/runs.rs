//! The runs there are: which directories are one, which of them a person means, and what state each is in.
//!
//! It reads what runs have written, and asks the system and Slurm whether they are really still there. It changes nothing.

use rankine::output::files::read_json;
use rankine::run::{JobFile, nearest};
use rankine::watch::Endpoint;
use rankine::{Error, Result};
use rankine_slurm::{JobId, Slurm, State as SlurmState};
use serde::Serialize;
use serde_json::Value;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Where runs are unless somebody says otherwise.
pub const RUNS: &str = "runs";
/// The jobs of a run that was submitted, the last one last: `{"jobs": [{"id": 17}]}`; of a task of an array, with its `task`.
pub const SLURM: &str = "slurm.json";
pub const PROGRESS: &str = "progress.json";

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// In Slurm's queue.
    Waiting,
    /// Has its directory, and has not begun with the first step.
    Starting,
    Running,
    /// Done, and the answer is right or was not checked.
    Finished,
    /// Done, and the answer is wrong.
    Wrong,
    /// Saved before it was done: it can go on.
    Stopped,
    Failed,
    /// Ended at once, by `rankine cancel` or by Slurm's own `scancel`.
    Cancelled,
    /// Its process is gone and has not said why.
    Died,
}

impl State {
    /// Whether something more is going to happen by itself.
    pub fn is_open(self) -> bool {
        matches!(self, State::Waiting | State::Starting | State::Running)
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = match self {
            State::Waiting => "waiting",
            State::Starting => "starting",
            State::Running => "running",
            State::Finished => "finished",
            State::Wrong => "wrong",
            State::Stopped => "stopped",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
            State::Died => "died",
        };
        f.pad(word)
    }
}

/// A run as it is now.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    pub run: PathBuf,
    pub kernel: Option<String>,
    pub state: State,
    pub step: Option<u64>,
    pub steps: Option<u64>,
    /// Seconds still to go.
    pub seconds_left: Option<f64>,
    pub units_per_second: Option<f64>,
    pub unit: Option<String>,
    /// When it came into this state, UTC; of one that runs, when it began.
    pub since: Option<String>,
    pub ranks: Option<u64>,
    /// Slurm's number of its job, and what Slurm says of it, if it still knows it.
    pub job: Option<String>,
    pub slurm: Option<String>,
    pub verdict: Option<String>,
    /// Whether it can be asked to be saved and to stop.
    pub saves: Option<bool>,
}

/// Asks Slurm, until it turns out that there is none that answers.
#[derive(Default)]
pub struct Queue {
    away: Cell<bool>,
}

impl Queue {
    /// The state of a job, if Slurm still knows it.
    fn state(&self, job: Job) -> Option<rankine_slurm::JobState> {
        if self.away.get() {
            return None;
        }
        let state = match job.task {
            Some(task) => rankine_slurm::task_state(JobId(job.id), task),
            None => Slurm::new().state(JobId(job.id)),
        };
        match state {
            Ok(state) => Some(state),
            Err(rankine_slurm::Error::UnknownJob { .. }) => None,
            Err(_) => {
                self.away.set(true);
                None
            }
        }
    }
}

/// Whether the directory holds a run, begun or submitted.
pub fn is_run(path: &Path) -> bool {
    ["run.toml", PROGRESS, SLURM].iter().any(|name| path.join(name).is_file())
}

/// The runs in a directory and in its folders, such as those of a sweep; in the order in which they were touched last.
pub fn all(directory: &Path) -> Vec<PathBuf> {
    let folders = |path: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    };
    let mut found = Vec::new();
    for path in folders(directory) {
        if is_run(&path) {
            found.push(path);
        } else {
            found.extend(folders(&path).into_iter().filter(|path| is_run(path)));
        }
    }
    found.sort_by_cached_key(|path| (touched(path), path.clone()));
    found
}

/// When a run has last written.
fn touched(path: &Path) -> Option<SystemTime> {
    ["run.toml", PROGRESS, SLURM, "result.json"]
        .iter()
        .filter_map(|name| std::fs::metadata(path.join(name)).ok()?.modified().ok())
        .max()
}

/// The run that a person names by its directory or the unique beginning of its name; the newest, if none is named.
///
/// # Errors
/// There is none of that name, or there are several.
pub fn find(name: Option<&Path>) -> Result<PathBuf> {
    let Some(name) = name else {
        return all(Path::new(RUNS)).pop().ok_or_else(|| {
            Error::usage(format!("no run is named, and there is none in {RUNS}/"))
                .help("give the directory of a run, which `rankine run` prints")
        });
    };
    if is_run(name) {
        return Ok(name.to_path_buf());
    }
    let text = name.display().to_string();
    if name.is_dir() {
        return Err(Error::usage(format!("{text} holds no run"))
            .help(format!("give the directory of a run; `rankine status {text}` shows those in it")));
    }
    // A beginning of a name, in the directory that stands before it.
    let (directory, beginning) = match (name.parent(), name.file_name()) {
        (Some(parent), Some(last)) if !parent.as_os_str().is_empty() => {
            (parent.to_path_buf(), last.to_string_lossy().into_owned())
        }
        _ => (PathBuf::from(RUNS), text.clone()),
    };
    let runs = all(&directory);
    let name_of =
        |run: &PathBuf| -> String { run.strip_prefix(&directory).unwrap_or(run).display().to_string() };
    let names: Vec<String> = runs.iter().map(name_of).collect();
    let fits: Vec<usize> = (0..runs.len()).filter(|&i| names[i].starts_with(&beginning)).collect();
    match fits[..] {
        [one] => Ok(runs[one].clone()),
        [] => {
            let help = match nearest(&beginning, names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {near}? `rankine status` shows all runs"),
                None => format!("`rankine status {}` shows the runs there", directory.display()),
            };
            Err(Error::usage(format!("there is no run {text}")).help(help))
        }
        _ => {
            let some: Vec<&str> = fits.iter().rev().take(5).map(|&i| names[i].as_str()).collect();
            let more = if fits.len() > 5 { format!(" and {} more", fits.len() - 5) } else { String::new() };
            Err(Error::usage(format!("{text}: {} runs begin like this", fits.len()))
                .help(format!("write more of its name: {}{more}", some.join(", "))))
        }
    }
}

/// Whether a run holds its directory, as the lock on it tells.
pub fn is_held(path: &Path) -> bool {
    use rustix::fs::{FlockOperation, flock};
    let Ok(folder) = std::fs::File::open(path) else { return false };
    // Held for a moment, for which a run that begins waits.
    matches!(flock(&folder, FlockOperation::NonBlockingLockShared), Err(rustix::io::Errno::WOULDBLOCK))
}

/// Whether somebody of the job answers: where locks do not reach from node to node.
fn answers(path: &Path) -> bool {
    read_json::<Endpoint>(&path.join("watch.json")).is_ok_and(|endpoint| endpoint.view().is_ok())
}

/// A JSON file of a run; null, if there is none that can be read.
pub fn file(path: &Path, name: &str) -> Value {
    read_json(&path.join(name)).unwrap_or(Value::Null)
}

/// A job of Slurm's, or a task of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    pub id: u64,
    pub task: Option<usize>,
}

impl std::fmt::Display for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.task {
            Some(task) => write!(f, "{}_{task}", self.id),
            None => write!(f, "{}", self.id),
        }
    }
}

/// The last job of a run in Slurm.
pub fn job_of(path: &Path) -> Option<Job> {
    let about = file(path, SLURM);
    let job = about["jobs"].as_array()?.last()?;
    let task = job["task"].as_u64().and_then(|task| usize::try_from(task).ok());
    Some(Job { id: job["id"].as_u64()?, task })
}

/// A run as it is now.
pub fn look(path: &Path, queue: &Queue) -> Seen {
    let (progress, provenance) = (file(path, PROGRESS), file(path, "provenance.json"));
    let text = |value: &Value| value.as_str().map(str::to_string);
    let result = file(path, "result.json");
    let job = job_of(path);
    let said = progress["state"].as_str().unwrap_or("none");
    let held = is_held(path);
    let asks = !held && !matches!(said, "finished" | "cancelled");
    let slurm = job.filter(|_| held || asks).and_then(|job| queue.state(job));
    let of_slurm = slurm.as_ref().map(|slurm| &slurm.state);
    let waits =
        matches!(of_slurm, Some(SlurmState::Pending | SlurmState::Configuring | SlurmState::Suspended));
    let runs = matches!(of_slurm, Some(SlurmState::Running));
    let state = match said {
        // Its steps are done, and it verifies and writes its answer.
        "finished" if held => State::Running,
        "finished" if result["verdict"] == "failed" => State::Wrong,
        "finished" => State::Finished,
        _ if held && said == "running" => State::Running,
        // It has taken its directory again, and has said nothing yet.
        _ if held => State::Starting,
        _ if waits => State::Waiting,
        "running" | "none" if matches!(of_slurm, Some(SlurmState::Cancelled)) => State::Cancelled,
        "none" if file(path, SLURM)["cancelled"] == true => State::Cancelled,
        "running" if runs || answers(path) => State::Running,
        "running" => State::Died,
        "stopped" => State::Stopped,
        "cancelled" => State::Cancelled,
        "failed" => State::Failed,
        _ if runs => State::Starting,
        _ => State::Died,
    };
    let since = match state {
        State::Running | State::Starting => text(&provenance["started"]),
        State::Finished | State::Wrong => text(&provenance["ended"]).or_else(|| text(&progress["at"])),
        _ => text(&progress["at"]),
    };
    let kernel = text(&progress["kernel"]).or_else(|| text(&provenance["kernel"])).or_else(|| {
        let file = JobFile::read(&path.join("run.toml")).ok()?;
        file.kernel().map(str::to_string)
    });
    let left = progress["seconds_left"].as_f64().filter(|_| state == State::Running);
    let age = progress["at"].as_str().and_then(age).unwrap_or(0.0);
    Seen {
        run: path.to_path_buf(),
        kernel,
        state,
        step: progress["step"].as_u64(),
        steps: progress["steps"].as_u64(),
        seconds_left: left.map(|left| (left - age).max(0.0)),
        units_per_second: progress["rate"]["units_per_second"].as_f64(),
        unit: text(&progress["rate"]["unit"]),
        since,
        ranks: provenance["ranks"].as_u64(),
        job: job.map(|job| job.to_string()),
        slurm: slurm.map(|slurm| slurm.to_string()),
        verdict: text(&result["verdict"]),
        saves: progress["process"]["saves"].as_bool(),
    }
}

/// Seconds since a moment that a run has written down.
pub fn age(moment: &str) -> Option<f64> {
    let then: jiff::Timestamp = moment.parse().ok()?;
    Some(jiff::Timestamp::now().duration_since(then).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn write(path: &Path, name: &str, value: &Value) {
        std::fs::create_dir_all(path).unwrap();
        std::fs::write(path.join(name), value.to_string()).unwrap();
    }

    fn state(path: &Path) -> State {
        look(path, &Queue { away: Cell::new(true) }).state
    }

    #[test]
    fn the_state_is_what_was_said_and_what_is_true() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("a");
        assert!(!is_run(&run));
        let says = |state: &str| {
            write(
                &run,
                PROGRESS,
                &json!({"kernel": "heat3d", "state": state, "step": 3, "at": "2026-01-01T00:00:00Z"}),
            );
        };
        says("running");
        assert!(is_run(&run));
        assert_eq!(state(&run), State::Died);
        for (said, found) in [
            ("stopped", State::Stopped),
            ("failed", State::Failed),
            ("cancelled", State::Cancelled),
            ("finished", State::Finished),
        ] {
            says(said);
            assert_eq!(state(&run), found);
        }
        write(&run, "result.json", &json!({"verdict": "failed"}));
        assert_eq!(state(&run), State::Wrong);
        // Somebody holds it: it runs, or is about to.
        let lock = std::fs::File::open(&run).unwrap();
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
        assert!(is_held(&run) && is_held(&run));
        says("running");
        assert_eq!(state(&run), State::Running);
        says("finished");
        assert_eq!(state(&run), State::Running);
        says("stopped");
        assert_eq!(state(&run), State::Starting);
        drop(lock);
        // A process that another test starts has it for a moment, too.
        while is_held(&run) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(state(&run), State::Stopped);
        let seen = look(&run, &Queue::default());
        assert_eq!((seen.kernel.as_deref(), seen.step, seen.job), (Some("heat3d"), Some(3), None));
        // Submitted, and no Slurm that knows of it.
        write(&folder.path().join("b"), SLURM, &json!({"jobs": [{"id": 9}, {"id": 17, "task": 3}]}));
        assert_eq!(state(&folder.path().join("b")), State::Died);
        let job = job_of(&folder.path().join("b")).unwrap();
        assert_eq!((job.to_string().as_str(), job_of(&run)), ("17_3", None));
    }

    #[test]
    fn runs_are_named_by_the_beginning_of_their_name() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["heat3d-2026", "heat3d-2027", "wave", "sweep/n-64", "sweep/n-128"] {
            write(&root.join(name), PROGRESS, &json!({}));
        }
        std::fs::create_dir(root.join("empty")).unwrap();
        let found = |name: &str| find(Some(&root.join(name)));
        assert_eq!(all(root).len(), 5);
        assert_eq!(found("wave").unwrap(), root.join("wave"));
        assert_eq!(found("w").unwrap(), root.join("wave"));
        assert_eq!(found("heat3d-2027").unwrap(), root.join("heat3d-2027"));
        assert_eq!(found("sweep/n-1").unwrap(), root.join("sweep/n-128"));
        let said = |name: &str| {
            let error = found(name).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            error.to_string()
        };
        assert!(said("heat3d").contains("2 runs begin like this") && said("heat3d").contains("heat3d-2027"));
        assert!(said("wvae").contains("did you mean wave?"), "{}", said("wvae"));
        assert!(said("qqq").contains("there is no run"));
        assert!(said("empty").contains("holds no run"));
    }

    #[test]
    fn moments_have_an_age() {
        assert!(age("2020-01-01T00:00:00Z").unwrap() > 1e8);
        assert!(age(&jiff::Timestamp::now().to_string()).unwrap().abs() < 60.0);
        assert_eq!(age("yesterday"), None);
    }
}
