//! `rankine info KERNEL`: what it computes, what one can set, how one knows that the answer is right.

use rankine::Result;
use rankine::run::{Entry, show};
use serde_json::json;

/// Shows it.
///
/// # Errors
/// None.
pub fn info(entry: &Entry, as_json: bool) -> Result<()> {
    let (parameters, bytes) = (entry.parameters(), entry.default_bytes());
    if as_json {
        let about = json!({
            "kernel": entry.name,
            "about": entry.about,
            "verifies": entry.verifies,
            "parameters": parameters,
            "bytes_at_defaults": bytes,
        });
        show(&format!("{about}\n"));
        return Ok(());
    }
    let mut text = format!(
        "{}: {}\n\nParameters (flags, and keys of [parameters] in a job file):\n",
        entry.name, entry.about
    );
    let width = parameters.iter().map(|parameter| parameter.flag.len()).max().unwrap_or(0);
    for parameter in &parameters {
        let default =
            parameter.default.as_ref().map(|value| format!(" [default: {value}]")).unwrap_or_default();
        text += &format!("  {:width$}  {}{default}\n", parameter.flag, parameter.help);
    }
    text += &format!("\nVerified: {}.\n", entry.verifies);
    if let Some(bytes) = bytes {
        text += &format!("Memory: {:.1} MB with the defaults on one rank.\n", bytes as f64 / 1e6);
    }
    text += &format!("Run it: rankine run {} (--help shows the options of every run, too).\n", entry.name);
    show(&text);
    Ok(())
}
