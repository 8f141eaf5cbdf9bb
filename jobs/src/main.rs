//! The command `rankine`: lists, explains, runs, submits and checks. Each verb is a file beside this one; kernels and
//! runs are not its business.

mod bench;
mod cli;
mod compare;
mod doctor;
mod forms;
mod info;
mod limits;
mod list;
mod run;
mod submit;
mod sweep;
mod top;

fn main() -> std::process::ExitCode {
    rankine::run::once(cli::parse().and_then(cli::Command::execute))
}
