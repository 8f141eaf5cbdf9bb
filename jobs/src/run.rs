//! `rankine run KERNEL`: hands the words to the kernel's entry and its run.

use crate::cli::kernel_of;
use rankine::Result;
use rankine::run::{Asked, show};
use std::ffi::OsString;

/// Runs it.
///
/// # Errors
/// Those of the command line and of the run.
pub fn run(words: Vec<OsString>) -> Result<()> {
    let Some((entry, words)) = kernel_of(words, "run")? else {
        show(&help());
        return Ok(());
    };
    let asked = entry.ask(&format!("rankine run {}", entry.name), words, |command| command)?;
    if let Asked::Job(job) = &asked {
        // Not this verb's, but a mistake in it is better found now than when it is submitted.
        crate::submit::check_table(job.file())?;
    }
    rankine::run::run(asked)
}

fn help() -> String {
    let kernels: String =
        rankine_kernels::all().iter().map(|entry| format!("  {}  {}\n", entry.name, entry.about)).collect();
    format!(
        "Run a kernel\n\nUsage: rankine run KERNEL [FLAGS]\n       rankine run JOB.toml [FLAGS] [--set KEY=VALUE]\n\n\
         `rankine run KERNEL --help` shows the flags of a kernel. Kernels:\n{kernels}"
    )
}
