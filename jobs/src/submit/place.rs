//! Where a submitted run is to be: its directory and the folders of its logs, made before Slurm writes there; the script
//! and the job's number, kept there. Of a sweep, a folder with a run for each point. What a run does in its directory is
//! the framework's business.

use super::points::Point;
use super::wanted::Wanted;
use super::{slurm, text};
use rankine::output::files::{make_folder, read_json, write_json, write_text};
use rankine::run::{Entry, Job, reserve};
use rankine::{Error, Result};
use rankine_slurm::{JobId, Points, Slurm};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The script.
pub const SCRIPT: &str = "job.sh";
/// The job file as it was when it was submitted.
const FILE: &str = "job.toml";
/// Numbers of the jobs.
pub const JOBS: &str = "slurm.json";
/// What a sweep is.
pub const SWEEP: &str = "sweep.json";

/// The place of a run or a sweep.
pub struct Place {
    /// The run's directory, or the folder of a sweep; none for a run without files.
    pub path: Option<PathBuf>,
    /// The points of a sweep.
    pub points: Vec<Point>,
    /// Whether the run goes on in a directory that has one.
    resumes: bool,
    /// Folders that were not there, the deepest first.
    made: Vec<PathBuf>,
    /// What stood in the job file of the directory before it was written, if it was.
    replaced: Option<Option<String>>,
}

impl Place {
    /// Chooses it and touches nothing.
    ///
    /// # Errors
    /// A directory that cannot be had; flags that contradict each other.
    pub fn look(job: &Job, entry: &Entry, wanted: &Wanted, points: Vec<Point>) -> Result<Place> {
        let options = job.options();
        let refuse = |what: &str, help: &str| Err(Error::usage(what).help(help));
        if wanted.requeue && options.no_output {
            return refuse("--requeue: a run without files cannot go on", "leave --no-output out");
        }
        if wanted.requeue && options.overwrite {
            return refuse(
                "--requeue and --overwrite contradict each other: every start would begin anew",
                "remove the earlier run, or choose another directory with --out",
            );
        }
        if !points.is_empty() && (options.no_output || options.resume.is_some()) {
            return refuse(
                "a sweep has a new directory for each run",
                "leave --resume and --no-output out; --out says where the folder of the sweep is to be",
            );
        }
        let from_file =
            |name: &str| job.matches().value_source(name) != Some(clap::parser::ValueSource::CommandLine);
        if options.out.is_some() && from_file("out") && (wanted.requeue || !points.is_empty()) {
            return refuse(
                "the job file's `out` would be the directory of every start",
                "take it out of the file and give --out here",
            );
        }
        let resumes = options.resume.is_some();
        let mut place = Place { path: None, points, resumes, made: Vec::new(), replaced: None };
        place.path = match (&options.resume, options.no_output) {
            (Some(run), _) => Some(run.clone()),
            (None, true) => None,
            (None, false) => Some(place.reserve(job, entry.name, false)?),
        };
        if let (Some(path), Some(text)) = (&place.path, frozen(job)?) {
            let there = std::fs::read_to_string(path.join(FILE)).ok();
            if there.is_some_and(|there| there != text) && !options.overwrite {
                let file = path.join(FILE);
                return Err(Error::io(format!("{} belongs to another job for this directory", file.display()))
                    .help("choose another directory with --out; if that job is not in the queue any more, remove the file"));
            }
        }
        Ok(place)
    }

    fn reserve(&self, job: &Job, kernel: &str, make: bool) -> Result<PathBuf> {
        let sweep = format!("sweep-{kernel}");
        let name = if self.points.is_empty() { kernel } else { &sweep };
        reserve(job.options().out.as_deref(), name, job.options().overwrite && self.points.is_empty(), make)
    }

    /// Makes the directory with its folders.
    ///
    /// # Errors
    /// What the system says.
    pub fn make(&mut self, job: &Job, kernel: &str) -> Result<()> {
        let Some(mut path) = self.path.clone() else { return Ok(()) };
        let mut above: Vec<PathBuf> = path.ancestors().skip(1).map(Path::to_path_buf).collect();
        above.retain(|folder| !folder.as_os_str().is_empty() && !folder.exists());
        if !self.resumes {
            let was_there = path.exists();
            path = self.reserve(job, kernel, true)?;
            self.made.extend((!was_there).then(|| path.clone()));
        }
        self.made.extend(above);
        let runs: Vec<PathBuf> = match self.points.len() {
            0 => vec![path.clone()],
            points => (0..points).map(|number| path.join(Points::name(number))).collect(),
        };
        for run in &runs {
            for folder in [run.clone(), run.join("log")] {
                if !folder.exists() {
                    make_folder(&folder)?;
                    self.made.insert(0, folder);
                }
            }
        }
        if let Some(text) = frozen(job)? {
            self.replaced = Some(std::fs::read_to_string(path.join(FILE)).ok());
            write_text(path.join(FILE), &text)?;
        }
        self.path = Some(path);
        Ok(())
    }

    /// The job file that the job reads: what happens to the one that was submitted does not matter.
    pub fn file(&self, job: &Job) -> Option<PathBuf> {
        let named = job.named()?;
        Some(self.path.as_ref().map_or_else(|| named.path().to_path_buf(), |path| path.join(FILE)))
    }

    /// Submits the script and keeps it beside the job's number. A job that Slurm refuses leaves nothing behind.
    ///
    /// # Errors
    /// What the system and Slurm say.
    pub fn submit(&self, script: &str, kernel: &str, slurm: &Slurm) -> Result<JobId> {
        let Some(path) = &self.path else { return slurm.submit(script).map_err(self::slurm) };
        let id = match slurm.submit(script) {
            Ok(id) => id,
            Err(error) => {
                // Best effort: there is an error on its way already.
                match &self.replaced {
                    Some(Some(earlier)) => drop(write_text(path.join(FILE), earlier)),
                    Some(None) => drop(std::fs::remove_file(path.join(FILE))),
                    None => {}
                }
                for folder in &self.made {
                    let _ = std::fs::remove_dir(folder);
                }
                return Err(self::slurm(error));
            }
        };
        write_text(path.join(SCRIPT), script)?;
        if self.points.is_empty() {
            note(path, id, None)?;
        } else {
            let points: Vec<Value> = self
                .points
                .iter()
                .enumerate()
                .map(|(number, point)| {
                    let values: serde_json::Map<String, Value> =
                        point.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
                    json!({ "run": Points::name(number), "values": values })
                })
                .collect();
            let kept = json!({ "kernel": kernel, "jobs": [id.0], "points": points });
            write_json(path.join(SWEEP), &kept)?;
            for number in 0..self.points.len() {
                note(&path.join(Points::name(number)), id, Some(number))?;
            }
        }
        Ok(id)
    }

    /// The words that say where the run is to be.
    ///
    /// # Errors
    /// A path that no script can hold.
    pub fn words(&self, job: &Job, wanted: &Wanted) -> Result<Vec<String>> {
        let Some(path) = self.path.as_deref().filter(|_| self.points.is_empty()) else {
            return Ok(Vec::new());
        };
        let flag = if wanted.requeue || self.resumes { "--resume" } else { "--out" };
        let mut words = vec![format!("{flag}={}", text(path.as_os_str())?)];
        if job.options().overwrite && flag == "--out" {
            words.push("--overwrite".to_string());
        }
        Ok(words)
    }

    /// The file for what the job writes to its terminal, as Slurm reads it.
    ///
    /// # Errors
    /// A path that no script can hold.
    pub fn log(&self, wanted: &Wanted) -> Result<String> {
        if let Some(log) = &wanted.job_log {
            return Ok(log.clone());
        }
        let Some(path) = &self.path else { return Ok("slurm-%j.log".to_string()) };
        // A percent sign in a name is no pattern.
        let folder = text(path.as_os_str())?.replace('%', "%%");
        Ok(match self.points.is_empty() {
            true => format!("{folder}/slurm.log"),
            false => format!("{folder}/{}/slurm.log", Points::NAME_OF_ARRAY),
        })
    }

    /// What to say of it.
    pub fn told(&self) -> String {
        match (&self.path, self.points.len()) {
            (None, _) => String::new(),
            (Some(path), 0) => format!(": {}, where slurm.log is what it says", path.display()),
            (Some(path), points) => {
                format!(" of {points} runs: {}; `rankine sweep results` there joins them", path.display())
            }
        }
    }
}

/// The job file as it is now, for the job to read; none where there is none, or a run that goes on has its own.
fn frozen(job: &Job) -> Result<Option<String>> {
    let about = "# The job file as it was submitted. Once the run has begun, run.toml counts.\n";
    job.named().map(|file| Ok(format!("{about}{}", file.text()?))).transpose()
}

/// Adds a job to those of a run.
pub fn note(run: &Path, id: JobId, task: Option<usize>) -> Result<()> {
    let file = run.join(JOBS);
    let before: Option<Value> = if file.exists() { read_json(&file).ok() } else { None };
    let mut jobs = before.and_then(|kept| kept["jobs"].as_array().cloned()).unwrap_or_default();
    let mut job = json!({ "id": id.0 });
    if let Some(task) = task {
        job["task"] = task.into();
    }
    jobs.push(job);
    write_json(file, &json!({ "jobs": jobs }))
}
