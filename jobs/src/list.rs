//! `rankine list`: the kernels and a line about each.

use rankine::Result;
use rankine::run::show;
use serde_json::{Value, json};

/// Shows them.
///
/// # Errors
/// None.
pub fn list(as_json: bool) -> Result<()> {
    let all = rankine_kernels::all();
    if as_json {
        let kernels: Vec<Value> =
            all.iter().map(|entry| json!({ "kernel": entry.name, "about": entry.about })).collect();
        show(&format!("{}\n", Value::from(kernels)));
        return Ok(());
    }
    let width = all.iter().map(|entry| entry.name.len()).max().unwrap_or(0);
    let lines: String = all.iter().map(|entry| format!("{:width$}  {}\n", entry.name, entry.about)).collect();
    show(&lines);
    Ok(())
}
