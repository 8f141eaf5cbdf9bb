//! `rankine completions SHELL`: a script that lets a shell complete verbs, kernels and flags.

use crate::tree::tree;
use clap_complete::Shell;
use rankine::Result;
use rankine::run::show;

/// Shows it.
///
/// # Errors
/// Those of the tree.
pub fn completions(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut tree()?, "rankine", &mut script);
    show(&String::from_utf8_lossy(&script));
    Ok(())
}
