//! `rankine resume`: goes on with a run from its last checkpoint, as it was started: on threads, under a launcher, or by Slurm.

use crate::runs::{self, Queue, SLURM, State};
use crate::submit::place::{SCRIPT, note};
use crate::{forms, run, submit, sweep};
use rankine::launch::Launcher;
use rankine::output::files::failure;
use rankine::run::show;
use rankine::{Error, ErrorKind, Result};
use rankine_slurm::Slurm;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const HELP: &str = "Go on with a run from its last checkpoint, with its own parameters\n\n\
    Usage: rankine resume [RUN] [--here] [FLAGS]\n\n\
    RUN is its directory or the beginning of its name in runs/ [default: the newest]. A run that came from Slurm is \
    submitted again, one that ran under mpirun is started by it; --here goes on with threads of this process. Flags are \
    those of `rankine run`: --steps to make it longer, --ranks for another number of threads.\n";

/// Does it.
///
/// # Errors
/// There is no such run, it is going on or done; and those of the run or of Slurm.
pub fn resume(mut words: Vec<OsString>) -> Result<()> {
    if words.iter().any(|word| word == "--help" || word == "-h") {
        show(HELP);
        return Ok(());
    }
    let here = words.iter().any(|word| word == "--here");
    words.retain(|word| word != "--here");
    let named = words.first().is_some_and(|word| !word.as_encoded_bytes().starts_with(b"-"));
    let named = named.then(|| PathBuf::from(words.remove(0)));
    let path = runs::find(named.as_deref())?;
    let mut on: Vec<OsString> = vec!["--resume".into(), path.clone().into()];
    on.extend(words.iter().cloned());
    // Whoever starts it under a launcher has said how it goes on.
    if Launcher::detect(|name| std::env::var(name).ok())?.is_some() {
        return run::run(on);
    }
    may_go_on(&path, words.is_empty())?;
    if here {
        return run::run(on);
    }
    if path.join(SLURM).is_file() {
        return by_slurm(&path, &words);
    }
    match under_mpirun(&path, &on) {
        Some(mut command) => {
            // The launcher takes the place of this process: signals and the exit code are its own.
            let error = command.exec();
            let program = command.get_program().display();
            Err(Error::new(ErrorKind::Setup, format!("cannot start {program}: {error}"))
                .help("put it on PATH or name it in RANKINE_MPIRUN; --here goes on with threads"))
        }
        None => run::run(on),
    }
}

/// Whether there is something to go on with.
fn may_go_on(path: &Path, as_it_is: bool) -> Result<()> {
    let seen = runs::look(path, &Queue::default());
    let name = path.display();
    match seen.state {
        state if state.is_open() => Err(Error::usage(format!("{name} is going on: it is {state}"))
            .help(format!("`rankine log -f {name}` follows it, `rankine cancel {name}` stops it"))),
        State::Finished | State::Wrong if as_it_is => Err(Error::usage(format!("{name} is done"))
            .help("make it longer: --steps and more of them, if it was saved (--checkpoint-every)")),
        _ => Ok(()),
    }
}

/// The same script once more, from where it was submitted.
fn by_slurm(path: &Path, words: &[OsString]) -> Result<()> {
    let name = path.display();
    let anew = format!(
        "`rankine submit --resume {name}` and its flags make a new script; --here goes on without Slurm"
    );
    if !words.is_empty() {
        return Err(
            Error::usage("flags, but the run came from Slurm and goes on by its own script").help(anew)
        );
    }
    let path = path.canonicalize().map_err(|error| failure("find", path, &error))?;
    // A run of a sweep has the script of all of them.
    let task = runs::job_of(&path).and_then(|job| job.task);
    let folder = path.parent().filter(|_| task.is_some()).unwrap_or(&path);
    let script = folder.join(SCRIPT);
    let text = std::fs::read_to_string(&script)
        .map_err(|error| failure("read", &script, &error).help(anew.clone()))?;
    // A script that began it in its directory goes on there.
    let text = match (text.contains("--resume"), task) {
        (false, None) if text.contains("--out=") => {
            text.replace("--out=", "--resume=").replace(" --overwrite", "")
        }
        (false, Some(_)) => text.replace(" --out \"$run\" --overwrite", " --resume \"$run\""),
        _ => text,
    };
    if !text.contains("--resume") {
        return Err(Error::usage(format!("{} would begin the run anew", script.display())).help(anew));
    }
    if let Some(folder) = runs::file(&path, "provenance.json")["directory"].as_str() {
        std::env::set_current_dir(folder).map_err(|error| failure("go to", Path::new(folder), &error))?;
    }
    let id = match task {
        Some(task) => sweep::one_again(folder, &text, task)?,
        None => {
            let id = Slurm::new().submit(&text).map_err(submit::slurm)?;
            note(&path, id, None)?;
            id
        }
    };
    show(&format!(
        "submitted job {id}, which goes on with {name}; `rankine status {name}` shows how it stands\n"
    ));
    Ok(())
}

/// The launcher's line, of a run that was on MPI; `None` if threads do.
fn under_mpirun(path: &Path, on: &[OsString]) -> Option<Command> {
    let provenance = runs::file(path, "provenance.json");
    let number = |key: &str| usize::try_from(provenance[key].as_u64()?).ok();
    let (ranks, threads) = (number("ranks")?, number("threads")?);
    if provenance["engine"] != "mpi" || on.iter().any(|word| word.to_string_lossy().starts_with("--ranks")) {
        return None;
    }
    if !forms::has_mpi() {
        say("it ran under MPI, and there is none here: it goes on with threads\n");
        return None;
    }
    let mut command = forms::launcher(ranks, threads);
    command.arg(std::env::current_exe().ok()?).arg("run").args(on);
    let nodes: Vec<&str> =
        provenance["nodes"].as_array()?.iter().filter_map(|node| node["name"].as_str()).collect();
    if nodes.len() > 1 {
        say(&format!("it ran on {}, and goes on on this node alone\n", nodes.join(", ")));
    }
    Some(command)
}

/// To standard error: standard output is the report's.
#[expect(clippy::print_stderr, reason = "a command's own words")]
fn say(text: &str) {
    eprint!("note: {text}");
}
