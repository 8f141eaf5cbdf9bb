//! `rankine top`: what each rank of a running job is doing.
//!
//! The run's directory says where the job can be asked and holds the secret that lets one ask; only its owner can read it.

use crate::runs;
use rankine::output::files::read_json;
use rankine::run::show;
use rankine::watch::{Endpoint, Life, RankView};
use rankine::{Error, ErrorKind, Result};
use std::fmt::Write;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Looks at the job of a run, once or again and again until it has ended.
///
/// # Errors
/// There is no such run, it is not running, or it does not answer.
pub fn top(run: Option<PathBuf>, once: bool, json: bool, every: f64) -> Result<()> {
    let pause = Duration::try_from_secs_f64(every).ok().filter(|pause| !pause.is_zero());
    let Some(pause) = pause else {
        return Err(
            Error::usage(format!("--every {every}: no interval")).help("give a number of seconds above zero")
        );
    };
    let run = match run {
        Some(folder) if folder.is_dir() => folder,
        Some(name) => runs::find(Some(&name))?,
        None => newest()?,
    };
    let mut views = look(&run)?;
    loop {
        match (json, once) {
            (true, _) => {
                let text = serde_json::to_string_pretty(&views);
                let text = text.map_err(|error| Error::new(ErrorKind::Engine, error.to_string()))?;
                show(&format!("{text}\n"));
                return Ok(());
            }
            (false, true) => {
                show(&table(&views));
                return Ok(());
            }
            (false, false) => {
                // The screen begins anew on a terminal; a log gets one table after the other.
                let anew = if std::io::stdout().is_terminal() { "\x1b[2J\x1b[H" } else { "" };
                show(&format!("{anew}{}  {}\n{}\n", run.display(), seconds(every), table(&views)));
            }
        }
        std::thread::sleep(pause);
        match look(&run) {
            Ok(next) => views = next,
            // It was there: it has ended.
            Err(_) => {
                show("the run has ended\n");
                return Ok(());
            }
        }
    }
}

fn seconds(every: f64) -> String {
    format!("every {every} s")
}

fn look(run: &Path) -> Result<Vec<RankView>> {
    let file = run.join("watch.json");
    if !file.exists() {
        return Err(Error::io(format!("{} is not running", run.display())).help(
            "only a job that runs can be looked at; it must write into its directory and be watched (no --no-watch)",
        ));
    }
    let endpoint: Endpoint = read_json(&file)?;
    endpoint.view().map_err(|error| {
        Error::io(format!("the job of {} does not answer: {error}", run.display())).help(
            "it may have ended without removing watch.json; otherwise its first node must be reachable from here",
        )
    })
}

/// The run in `runs/` whose job was started last.
fn newest() -> Result<PathBuf> {
    let none = || {
        Error::usage("no run is named, and none in runs/ is running")
            .help("write `rankine top DIRECTORY` with the directory of a run")
    };
    let runs = std::fs::read_dir("runs").map_err(|_| none())?;
    let started = runs.filter_map(|run| {
        let run = run.ok()?.path();
        let time = std::fs::metadata(run.join("watch.json")).and_then(|file| file.modified()).ok()?;
        Some((time, run))
    });
    started.max().map(|(_, run)| run).ok_or_else(none)
}

/// A line a rank, in columns as wide as they need.
fn table(views: &[RankView]) -> String {
    let mut rows = vec![
        ["rank", "node", "state", "since", "step", "sent", "bytes", "doing", "waits for", "at"]
            .map(String::from),
    ];
    rows.extend(views.iter().map(row));
    let widths: [usize; 10] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, (word, width)) in row.iter().zip(widths).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            // Numbers stand at the right.
            let _ = match column {
                0 | 3..=6 => write!(line, "{gap}{word:>width$}"),
                _ => write!(line, "{gap}{word:width$}"),
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn row(view: &RankView) -> [String; 10] {
    let state = match view.life {
        Life::Running if view.blocked => "blocked",
        Life::Running => "running",
        Life::Returned => "returned",
        Life::Failed => "failed",
        Life::Lost => "lost",
        Life::Unseen => "unseen",
    };
    let few = view.waiting_on.iter().take(4).map(u32::to_string).collect::<Vec<_>>().join(",");
    let more = view.waiting_on.len().saturating_sub(4);
    [
        view.rank.to_string(),
        view.node.clone(),
        state.to_string(),
        format!("{:.1} s", view.since),
        view.step.map(|step| step.to_string()).unwrap_or_default(),
        view.messages.to_string(),
        view.bytes.to_string(),
        view.doing.clone(),
        if more > 0 { format!("{few} and {more} more") } else { few },
        view.place.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let view = |rank: u32, doing: &str, waiting_on: Vec<u32>| RankView {
            rank,
            node: "n1".to_string(),
            life: Life::Running,
            blocked: !waiting_on.is_empty(),
            doing: doing.to_string(),
            place: "src/a.rs:1:2".to_string(),
            since: 1.25,
            waiting_on,
            messages: 3,
            bytes: 24,
            step: Some(7),
        };
        let text = table(&[view(10, "recv f64 from 2, tag 1", vec![2]), view(2, "computing", vec![])]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        let at = |line: &str| line.find("src/a.rs").unwrap();
        assert_eq!(at(lines[1]), at(lines[2]));
        assert!(lines[1].starts_with("  10  n1    blocked"), "{text}");
        assert!(lines[2].contains("computing"), "{text}");
    }
}
