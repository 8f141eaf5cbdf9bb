//! The command `rankine`: lists, explains, runs, submits and checks. Each verb is a file beside this one; kernels and
//! runs are not its business.

mod bench;
mod cancel;
mod cli;
mod compare;
mod compare_runs;
mod completions;
mod doctor;
mod forms;
mod info;
mod limits;
mod list;
mod log;
mod man;
mod report;
mod resume;
mod run;
mod runs;
mod schema;
mod status;
mod submit;
mod sweep;
mod top;
mod tree;

fn main() -> std::process::ExitCode {
    rankine::run::once(cli::parse().and_then(cli::Command::execute))
}
