//! `rankine submit KERNEL`: the batch script of a run or a sweep, shown, asked about or handed to Slurm. Needs no MPI.
//!
//! It puts a run's words, its directory and its resources together; the script is `rankine-slurm`'s business, and what
//! becomes of a sweep is `sweep`'s.

mod fits;
pub mod place;
mod points;
mod program;
mod template;
mod wanted;

use crate::cli::kernel_of;
use clap::{Args, Command, FromArgMatches};
use place::Place;
use points::Point;
use rankine::run::{Asked, Entry, Job, JobFile, merge, show};
use rankine::{Error, ErrorKind, Result};
use rankine_slurm::{Points, Resources, Slurm};
use std::ffi::OsString;
use std::path::Path;
use wanted::{How, Wanted};

/// Submits, or shows the script.
///
/// # Errors
/// Words or resources that cannot be, parameters that the kernel refuses, and whatever Slurm says.
pub fn submit(words: Vec<OsString>) -> Result<()> {
    if words.iter().any(|word| word == "--show-template") {
        show(&template_text());
        return Ok(());
    }
    let Some((entry, words)) = kernel_of(words, "submit")? else {
        show(
            "Submit a run to Slurm\n\nUsage: rankine submit KERNEL [FLAGS] [--dry-run | --check]\n       rankine submit JOB.toml [FLAGS]\n\n\
             `rankine submit KERNEL --help` shows all flags, `rankine submit --show-template` the frame of the scripts.\n",
        );
        return Ok(());
    };
    let job = match ask(&entry, words.clone())? {
        Asked::Text(text) => {
            show(&text);
            return Ok(());
        }
        Asked::Job(job) => job,
    };
    let wanted: Wanted = merge(job.matches(), job.file().map(|file| (file, "slurm")))?;
    let how = How::from_arg_matches(job.matches())
        .map_err(|error| rankine::run::usage(&error, &format!("rankine submit {} --help", entry.name)))?;
    let points = points::points(&wanted.sweep, wanted.sweep_csv.as_deref())?;
    let slurm = Slurm::new();
    let resources = resources(&job, &wanted)?;
    check(&entry, &words, &job, &resources, &points, &slurm)?;
    let mut place = Place::look(&job, &entry, &wanted, points)?;
    let script = script(&entry, &job, &wanted, &resources, &place, &slurm)?;
    if how.dry_run {
        show(&script);
        return Ok(());
    }
    if how.check {
        show(&format!("{}\n", slurm.test(&script).map_err(self::slurm)?));
        return Ok(());
    }
    place.make(&job, entry.name)?;
    let script = self::script(&entry, &job, &wanted, &resources, &place, &slurm)?;
    let id = place.submit(&script, entry.name, &slurm)?;
    show(&format!("submitted job {id}{}; `squeue -j {id}` shows it, `scancel {id}` ends it\n", place.told()));
    if wanted.requeue && job.options().checkpoint_every.is_none() {
        show("note: without --checkpoint-every, a node that fails costs all since the job's last start\n");
    }
    Ok(())
}

fn ask(entry: &Entry, words: Vec<OsString>) -> Result<Asked> {
    entry.ask(&format!("rankine submit {}", entry.name), words, flags)
}

/// Adds the flags of a submission to a command.
pub fn flags(command: Command) -> Command {
    How::augment_args(Wanted::augment_args(command))
}

/// Whether the table `[slurm]` of a job file is one that can be.
///
/// # Errors
/// An unknown key, or a value that is none.
pub fn check_table(file: Option<&JobFile>) -> Result<()> {
    let bare = Wanted::augment_args(Command::new("submit")).try_get_matches_from(["submit"]);
    let bare = bare.map_err(|error| rankine::run::usage(&error, "rankine submit --help"))?;
    merge::<Wanted>(&bare, file.map(|file| (file, "slurm"))).map(drop)
}

/// What `[slurm]` may hold, as a JSON schema.
pub fn schema() -> serde_json::Value {
    rankine::run::schema_of::<Wanted>()
}

fn resources(job: &Job, wanted: &Wanted) -> Result<Resources> {
    let by_hand = job.matches().value_source("ranks") == Some(clap::parser::ValueSource::CommandLine);
    let resources = wanted.resources((job.options().ranks, by_hand), job.options().threads.unwrap_or(1))?;
    resources.check().map_err(slurm)?;
    Ok(resources)
}

/// Whether the kernel accepts its parameters, at every point of a sweep, and the ranks fit into memory.
fn check(
    entry: &Entry,
    words: &[OsString],
    job: &Job,
    resources: &Resources,
    points: &[Point],
    slurm: &Slurm,
) -> Result<()> {
    let ranks = resources.ranks as usize;
    let mut most = 0;
    let mut one = |job: &Job| {
        job.check(ranks)?;
        most = most.max(job.bytes_per_rank(ranks).unwrap_or(0));
        Ok(())
    };
    if points.is_empty() {
        one(job)?;
    }
    for point in points {
        let more = points::words(point);
        let asked = ask(entry, words.iter().cloned().chain(more.iter().map(OsString::from)).collect());
        let checked = match asked {
            Ok(Asked::Job(job)) => one(&job),
            Ok(Asked::Text(_)) => Ok(()),
            Err(error) => Err(error),
        };
        checked.map_err(|error| {
            Error::new(error.kind(), format!("the sweep's point {}: {error}", more.join(" ")))
        })?;
    }
    if most == 0 {
        return Ok(());
    }
    let nodes = if resources.mem_per_cpu.is_none() { slurm.nodes().ok() } else { None };
    fits::check(entry.name, most, resources, nodes.as_deref())
}

/// The batch script.
fn script(
    entry: &Entry,
    job: &Job,
    wanted: &Wanted,
    resources: &Resources,
    place: &Place,
    slurm: &Slurm,
) -> Result<String> {
    let program = program::path(wanted.program.as_deref())?;
    let (choice, linked) = program::launcher(&program, wanted.program.is_none(), wanted, slurm)?;
    let mut why = choice.why;
    if linked.is_none() && resources.ranks > 1 {
        why.push_str(": it runs one rank a process only, so give one that is with --program");
    }
    let mut words = vec![text(program.as_os_str())?, "run".to_string(), entry.name.to_string()];
    // The launcher says how many ranks, and the place where.
    for word in job.given(&["ranks", "threads", "out", "overwrite", "resume", "job"]) {
        words.push(text(&word)?);
    }
    if let Some(file) = place.file(job) {
        words.push(format!("--job={}", text(file.as_os_str())?));
    }
    if job.options().threads.is_some() {
        words.push(format!("--threads={}", resources.threads));
    }
    words.extend(place.words(job, wanted)?);
    let mut batch = rankine_slurm::Job::new(words);
    batch.resources = Resources {
        job_name: Some(wanted.job_name.clone().unwrap_or_else(|| entry.name.to_string())),
        output: Some(place.log(wanted)?),
        chdir: working_directory(),
        ..resources.clone()
    };
    batch.launcher = choice.launcher;
    batch.why = Some(why);
    batch.binding = wanted.binding()?;
    batch.as_root = is_root();
    batch.run = place.path.as_deref().map(|path| text(path.as_os_str())).transpose()?;
    batch.most_requeues = wanted.max_requeues;
    batch.template = template::find(wanted.template.as_deref())?;
    if !place.points.is_empty() {
        batch.points = Some(Points {
            folder: batch.run.clone().unwrap_or_default(),
            words: place.points.iter().map(points::words).collect(),
            at_once: wanted.at_once,
            into: if wanted.requeue { "--resume" } else { "--out" }.to_string(),
        });
    }
    batch.script().map_err(self::slurm)
}

/// The folder from which it is submitted, so that the script means the same wherever it is submitted again; nothing if
/// no script can hold its name.
fn working_directory() -> Option<String> {
    let folder = std::env::current_dir().ok()?.into_os_string().into_string().ok()?;
    let wanted = Resources { chdir: Some(folder), ..Resources::default() };
    wanted.check().is_ok().then_some(wanted.chdir).flatten()
}

/// The built-in frame, with what its places stand for.
fn template_text() -> String {
    let places: String = rankine_slurm::template::PLACES
        .iter()
        .map(|(name, what)| format!("#   {name:<12} {what}\n"))
        .collect();
    let built_in = rankine_slurm::template::DEFAULT;
    format!("{built_in}\n# Names between two braces stand for:\n{places}")
}

pub(crate) fn text(word: &std::ffi::OsStr) -> Result<String> {
    word.to_str().map(str::to_string).ok_or_else(|| {
        Error::usage(format!("{}: not UTF-8, so no batch script can hold it", Path::new(word).display()))
            .help("rename the file")
    })
}

/// Whose process this is, by the owner of its entry in /proc.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

pub(crate) fn slurm(error: rankine_slurm::Error) -> Error {
    let kind = match error {
        rankine_slurm::Error::Invalid { .. } | rankine_slurm::Error::Template { .. } => ErrorKind::Usage,
        _ => ErrorKind::Setup,
    };
    Error::new(kind, error.to_string())
}
