//! `rankine status`: a table of the runs there are: what each is doing, how far it is, how long it still takes.

use crate::runs::{self, Queue, Seen};
use rankine::run::{duration, scaled, show};
use rankine::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// Shows the runs that are named, or all in directories that are named; without any, those in `runs/`.
///
/// # Errors
/// A name that is none of a run.
pub fn status(named: &[PathBuf], json: bool) -> Result<()> {
    let mut paths = Vec::new();
    for name in named {
        if !runs::is_run(name) && name.is_dir() {
            paths.extend(runs::all(name));
        } else {
            paths.push(runs::find(Some(name))?);
        }
    }
    if named.is_empty() {
        paths = runs::all(Path::new(runs::RUNS));
    }
    let queue = Queue::default();
    let seen: Vec<Seen> = paths.iter().map(|path| runs::look(path, &queue)).collect();
    if json {
        let text = serde_json::to_string_pretty(&seen);
        let text = text.map_err(|error| Error::new(ErrorKind::Engine, error.to_string()))?;
        show(&format!("{text}\n"));
    } else if seen.is_empty() {
        show("there are no runs here\n");
    } else {
        show(&table(&seen));
    }
    Ok(())
}

const HEAD: [&str; 9] = ["run", "kernel", "state", "step", "done", "rate", "left", "since (UTC)", "job"];

fn table(seen: &[Seen]) -> String {
    let mut rows = vec![HEAD.map(String::from)];
    rows.extend(seen.iter().map(row));
    columns(&rows, &[3, 4, 5, 6])
}

/// Rows in columns as wide as they need; those of numbers stand at the right. A last column in which nothing stands takes no room.
pub fn columns<const N: usize>(rows: &[[String; N]], right: &[usize]) -> String {
    let widths: [usize; N] =
        std::array::from_fn(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for row in rows {
        let words: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(i, word)| match right.contains(&i) {
                true => format!("{word:>width$}", width = widths[i]),
                false => format!("{word:width$}", width = widths[i]),
            })
            .collect();
        text += words.join("  ").trim_end();
        text.push('\n');
    }
    text
}

fn row(seen: &Seen) -> [String; 9] {
    let step = match (seen.step, seen.steps) {
        (Some(step), Some(steps)) => format!("{step}/{steps}"),
        (Some(step), None) => step.to_string(),
        _ => String::new(),
    };
    let done = match (seen.step, seen.steps) {
        (Some(step), Some(steps)) if steps > 0 => {
            format!("{:.0}%", (100.0 * step as f64 / steps as f64).floor())
        }
        _ => String::new(),
    };
    let rate = match (seen.units_per_second, &seen.unit) {
        (Some(rate), Some(unit)) if rate > 0.0 => format!("{}{unit}/s", scaled(rate)),
        _ => String::new(),
    };
    let job = match (&seen.job, &seen.slurm) {
        (Some(job), Some(state)) => format!("{job} {state}"),
        (Some(job), None) => job.clone(),
        _ => String::new(),
    };
    [
        seen.run.display().to_string(),
        seen.kernel.clone().unwrap_or_default(),
        seen.state.to_string(),
        step,
        done,
        rate,
        seen.seconds_left.map(duration).unwrap_or_default(),
        seen.since.as_deref().map(moment).unwrap_or_default(),
        job,
    ]
}

/// `2026-11-28 10:41:53` of `2026-11-28T10:41:53Z`.
fn moment(text: &str) -> String {
    text.trim_end_matches('Z').replacen('T', " ", 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::State;

    #[test]
    fn a_row_says_how_far_it_is() {
        let seen = Seen {
            run: "runs/a".into(),
            kernel: Some("heat3d".to_string()),
            state: State::Running,
            step: Some(299),
            steps: Some(300),
            seconds_left: Some(65.2),
            units_per_second: Some(1.25e9),
            unit: Some("cells".to_string()),
            since: Some("2026-11-28T10:41:53Z".to_string()),
            ranks: Some(4),
            job: Some("17".to_string()),
            slurm: Some("RUNNING".to_string()),
            verdict: None,
            saves: Some(true),
        };
        let unknown = Seen {
            kernel: None,
            steps: Some(0),
            step: Some(0),
            seconds_left: None,
            job: None,
            ..seen.clone()
        };
        let text = table(&[seen, unknown]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1],
            "runs/a  heat3d  running  299/300   99%  1.25 Gcells/s  1 min 05 s  2026-11-28 10:41:53  17 RUNNING"
        );
        assert_eq!(lines.len(), 3);
        assert!(lines[2].contains("    0/0 "), "{text}");
    }
}
