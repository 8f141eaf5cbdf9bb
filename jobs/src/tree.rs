//! The whole command line as one tree, with every kernel below `run` and `submit`: what completions and manuals are made
//! of. Nothing is parsed with it; that is `cli`'s business and each kernel's own.

use crate::cli::Line;
use crate::submit;
use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, CommandFactory};
use rankine::Result;

/// The tree.
///
/// # Errors
/// A kernel with a parameter that has the name of an option of every run.
pub fn tree() -> Result<Command> {
    let all = rankine_kernels::all();
    let mut tree = Line::command().disable_help_subcommand(true);
    for verb in ["info", "compare", "schema"] {
        tree = tree.mut_subcommand(verb, with_kernels);
    }
    let (mut run, mut submit) = (verb(&tree, "run"), with_slurm(verb(&tree, "submit")));
    for entry in &all {
        let command =
            |verb: &str| Ok(entry.command_line(&format!("rankine {verb} {}", entry.name))?.name(entry.name));
        run = run.subcommand(command("run")?);
        submit = submit.subcommand(with_slurm(command("submit")?));
    }
    let replaced = [run, submit];
    Ok(replaced.into_iter().fold(tree, |tree, verb| {
        let name = verb.get_name().to_string();
        tree.mut_subcommand(name, |_| verb)
    }))
}

/// With the flags of a submission. Structs of flags bring the first line of their docs along, which is not wanted.
fn with_slurm(command: Command) -> Command {
    let about = command.get_about().cloned().unwrap_or_default();
    submit::flags(command).about(about)
}

/// A verb whose argument `kernel` is one of those there are.
fn with_kernels(command: Command) -> Command {
    let names = || PossibleValuesParser::new(rankine_kernels::all().iter().map(|entry| entry.name));
    let ids: Vec<_> = command.get_positionals().map(|arg| arg.get_id().clone()).collect();
    // What is changed comes last, and positional arguments go by their order: all of them are.
    ids.into_iter().fold(command, |command, id| {
        let kernel = id == "kernel";
        command.mut_arg(id, |arg| if kernel { arg.value_parser(names()) } else { arg })
    })
}

/// A verb that takes a kernel's words, without those.
fn verb(tree: &Command, name: &'static str) -> Command {
    let about = tree.find_subcommand(name).and_then(Command::get_about).cloned();
    let job =
        Arg::new("job").long("job").value_name("FILE").value_parser(clap::value_parser!(std::path::PathBuf));
    let set = Arg::new("set").long("set").value_name("KEY=VALUE").action(clap::ArgAction::Append);
    let command = Command::new(name)
        .about(about.unwrap_or_default())
        .max_term_width(100)
        .disable_help_subcommand(true)
        .arg(job.help("The job file, which names the kernel; as first word it needs no flag"))
        .arg(set.help("Put a value over the job file's: steps=50, run.every=10, slurm.time=30"));
    command.after_help(format!(
        "A kernel or a job file comes first: rankine {name} heat3d, rankine {name} job.toml. \
         `rankine {name} KERNEL --help` shows the flags of a kernel."
    ))
}
