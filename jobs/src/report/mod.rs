//! `rankine report`: a run as one HTML page: what was asked, what came of it, how it went, where the time went. The page
//! needs no network and no script; pictures are within it.
//!
//! It reads what the run has written, and says what is not there. What `timings.json` says is `timings`'; drawings are `plot`'s,
//! markup is `html`'s.

mod html;
mod plot;
mod timings;

use crate::runs::{self, Queue, Seen, State};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use html::{escape, pairs, paragraph, section};
use rankine::output::files::write_text;
use rankine::run::{duration, scaled, show};
use rankine::{Error, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Pictures that a page has at most, and their bytes.
const PICTURES: usize = 24;
const BYTES: u64 = 8 << 20;
/// Lines of the log at the end.
const LINES: usize = 40;

/// Writes it.
///
/// # Errors
/// There is no such run, or a page cannot be written there.
pub fn report(run: Option<&Path>, to: Option<PathBuf>) -> Result<()> {
    let run = runs::find(run)?;
    let to = to.unwrap_or_else(|| run.join("report.html"));
    if to.is_dir() {
        return Err(
            Error::usage(format!("-o {}: it is a folder", to.display())).help("give the name of a file")
        );
    }
    write_text(&to, &page_of(&run))?;
    show(&format!("{}\n", to.display()));
    Ok(())
}

/// The page.
fn page_of(run: &Path) -> String {
    let seen = runs::look(run, &Queue::default());
    let (timings, provenance) = (runs::file(run, "timings.json"), runs::file(run, "provenance.json"));
    let job: toml::Table = std::fs::read_to_string(run.join("run.toml"))
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default();
    let name =
        run.file_name().map_or_else(|| run.display().to_string(), |name| name.to_string_lossy().into_owned());
    let body = [
        head(&name, &seen, &provenance),
        section("Result", &result(run, &seen, &timings)),
        section("Parameters", &parameters(&job, "parameters")),
        section("Options of the run", &parameters(&job, "run")),
        section("Provenance", &origin(&provenance)),
        section("Progress over time", &progress(run)),
        section("Time by phase", &timings::phases(&timings)),
        section("Time by rank", &timings::by_rank(&timings)),
        section("Communication", &timings::communication(&timings)),
        section("Memory", &timings::memory(&timings)),
        section("Efficiency of the allocation", &timings::allocation(&timings, &seen)),
        section("Pictures", &pictures(run)),
        section("End of the log", &log(run)),
    ];
    html::page(&format!("{name}: {}", seen.state), &body.concat())
}

fn head(name: &str, seen: &Seen, provenance: &Value) -> String {
    let class = match seen.state {
        State::Finished => "good",
        State::Wrong | State::Failed | State::Died => "bad",
        state if state.is_open() => "going",
        _ => "",
    };
    let on = match (seen.ranks, provenance["threads"].as_u64(), provenance["engine"].as_str()) {
        (Some(ranks), Some(threads), Some(engine)) => {
            let plural = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
            format!(" on {} of {} ({engine} engine)", plural(ranks, "rank"), plural(threads, "thread"))
        }
        _ => String::new(),
    };
    let kernel = seen.kernel.as_deref().unwrap_or("a run");
    format!(
        "<h1>{}</h1>\n<p><span class=\"state {class}\">{}</span> {}</p>\n",
        escape(name),
        seen.state,
        escape(&format!("{kernel}{on}"))
    )
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn result(run: &Path, seen: &Seen, timings: &Value) -> String {
    let result = runs::file(run, "result.json");
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            rows.push((name.to_string(), value));
        }
    };
    row("state", seen.state.to_string());
    row("verdict", text(&result["verdict"]));
    row("why", text(&result["why"]));
    for check in result["checks"].as_array().into_iter().flatten() {
        let number = |key: &str| check[key].as_f64().map(|n| format!("{n:.3e}")).unwrap_or_default();
        row(&text(&check["what"]), format!("{} (within {})", number("figure"), number("limit")));
    }
    row("checksum", text(&result["checksum"]));
    let steps = match (seen.step, seen.steps) {
        (Some(step), Some(steps)) => format!("{step} of {steps}"),
        (Some(step), None) => step.to_string(),
        _ => String::new(),
    };
    row("steps", steps);
    if let Some(left) = seen.seconds_left {
        row("time left", duration(left));
    }
    let rate = if timings["rate"].is_null() { &result["rate"] } else { &timings["rate"] };
    let per_second = |key: &str, unit: &str| {
        rate[key].as_f64().map(|value| format!("{}{unit}/s", scaled(value))).unwrap_or_default()
    };
    row("rate", per_second("units_per_second", rate["unit"].as_str().unwrap_or("")));
    row("floating-point operations", per_second("flops_per_second", "FLOP"));
    row("memory traffic", per_second("bytes_per_second", "B"));
    for quoted in result["quoted"].as_array().into_iter().flatten() {
        row(&text(&quoted["label"]), text(&quoted["rate"]));
    }
    if let Some(total) = timings["seconds"]["total"].as_f64() {
        row("wall time", duration(total));
    }
    pairs(&rows)
}

fn parameters(job: &toml::Table, section: &str) -> String {
    let Some(toml::Value::Table(table)) = job.get(section) else { return String::new() };
    let value = |value: &toml::Value| match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    pairs(&table.iter().map(|(key, this)| (key.clone(), value(this))).collect::<Vec<_>>())
}

fn origin(provenance: &Value) -> String {
    let mut rows = Vec::new();
    for (key, value) in provenance.as_object().into_iter().flatten() {
        let said = match (key.as_str(), value) {
            ("earlier", _) => continue,
            ("command", Value::Array(words)) => words.iter().map(text).collect::<Vec<_>>().join(" "),
            ("nodes", Value::Array(nodes)) => {
                let node = |node: &Value| format!("{} ({} ranks)", text(&node["name"]), text(&node["ranks"]));
                nodes.iter().map(node).collect::<Vec<_>>().join(", ")
            }
            (_, value) => text(value),
        };
        if !said.is_empty() {
            rows.push((key.replace('_', " "), said));
        }
    }
    for (i, job) in provenance["earlier"].as_array().into_iter().flatten().enumerate() {
        let from = job["from_step"].as_u64().unwrap_or(0);
        let said = format!(
            "from step {from}, on {} ranks ({}), begun {}",
            text(&job["ranks"]),
            text(&job["engine"]),
            text(&job["started"])
        );
        rows.push((format!("job {} of it", i + 1), said));
    }
    pairs(&rows)
}

/// The curve of steps, a piece a job.
fn progress(run: &Path) -> String {
    let table = std::fs::read_to_string(run.join("log/progress.csv")).unwrap_or_default();
    let pieces = points(&table);
    let svg = plot::curve("steps done over time", ["seconds since the beginning", "steps done"], &pieces);
    if svg.is_empty() {
        return String::new();
    }
    let note = match pieces.len() {
        1 => String::new(),
        jobs => paragraph(&format!("{jobs} jobs, each begun from the last checkpoint of the one before it.")),
    };
    svg + &note
}

/// Seconds since the first moment, and steps; a new piece where the clock of a job begins anew.
fn points(table: &str) -> Vec<Vec<(f64, f64)>> {
    let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut first = None;
    let mut last = f64::INFINITY;
    for line in table.lines().skip(1) {
        // A job that was killed may have left half a line.
        let numbers: Vec<f64> = line.split(',').map_while(|word| word.parse().ok()).collect();
        let &[at, step, seconds] = &numbers[..] else { continue };
        let first = *first.get_or_insert(at);
        if seconds < last {
            pieces.push(Vec::new());
        }
        last = seconds;
        if let Some(piece) = pieces.last_mut() {
            piece.push(((at - first).max(0.0), step));
        }
    }
    pieces
}

fn pictures(run: &Path) -> String {
    let entries = std::fs::read_dir(run.join("out")).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "png") && path.is_file())
        .collect();
    files.sort();
    let (mut page, mut left_out) = (String::new(), 0);
    for path in &files {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let small = std::fs::metadata(path).is_ok_and(|about| about.len() <= BYTES);
        let bytes =
            if small && page.matches("<img").count() < PICTURES { std::fs::read(path).ok() } else { None };
        let Some(bytes) = bytes.filter(|bytes| bytes.starts_with(b"\x89PNG")) else {
            left_out += 1;
            continue;
        };
        page += &format!(
            "<figure><img alt=\"{0}\" src=\"data:image/png;base64,{1}\" /><figcaption>{0}</figcaption></figure>\n",
            escape(&name),
            STANDARD.encode(bytes)
        );
    }
    if left_out > 0 {
        page += &paragraph(&format!("{left_out} more in out/, too many or too large for this page."));
    }
    page
}

fn log(run: &Path) -> String {
    let Ok(bytes) = std::fs::read(run.join("log/run.txt")) else { return String::new() };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    if last.is_empty() { String::new() } else { format!("<pre>{}</pre>\n", escape(&last.join("\n"))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::PROGRESS;
    use serde_json::json;

    /// A run whose every text is out to break the page.
    fn hostile() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let bad =
            "</td></table><script>alert(1)</script><img src=\"http://example.com/x\" onerror='x'>&\u{1}";
        let write = |name: &str, value: &Value| {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, value.to_string()).unwrap();
        };
        write(
            PROGRESS,
            &json!({"kernel": bad, "state": "finished", "step": 5, "steps": 5, "at": bad, "rate": {"unit": bad, "units_per_second": 1.0}}),
        );
        write(
            "provenance.json",
            &json!({"kernel": bad, "command": [bad, "x"], "nodes": [{"name": bad, "ranks": 3}], "ranks": 3, "threads": 2,
            "engine": "mpi", "earlier": [{"engine": bad}], bad: bad}),
        );
        write(
            "result.json",
            &json!({"verdict": bad, "why": bad, "checksum": bad, "checks": [{"what": bad, "figure": 1.0, "limit": 2.0}],
            "quoted": [{"label": bad, "rate": 3.0}]}),
        );
        let phase = json!({"min": 1.0, "mean": 2.0, "max": 3.0});
        let mut seconds =
            serde_json::Map::from_iter(timings::PHASES.map(|name| (name.to_string(), phase.clone())));
        seconds.insert("total".to_string(), 20.0.into());
        let mut by_rank = serde_json::Map::from_iter(
            timings::PHASES.map(|name| (name.to_string(), json!([1.0, 2.0, 3.0]))),
        );
        by_rank.insert("memory".to_string(), json!([1e6, 2e6, 3e6]));
        write(
            "timings.json",
            &json!({"ranks": 3, "threads": 2, "seconds": seconds, "by_rank": by_rank, "peak_memory": 6_000_000,
            "traffic": {"messages": 5, "collectives": 6, "bytes": 7_000}, "sent": [[0, 1, 3, 1024], [1, 2, 1, 0], [2, -1, 4, 50], [7, 1, 1, 1]],
            "allocation": {"cores": 8, "slurm": true, "wall": 10.0, "cpu": 20.0}, "rate": {"unit": bad, "units_per_second": 2.5e9}}),
        );
        let quoted = toml::Value::String(bad.to_string());
        std::fs::write(
            root.join("run.toml"),
            format!(
                "kernel = \"x\"\n[parameters]\ninput = {quoted}\n{quoted} = {quoted}\n[run]\nranks = 3\n"
            ),
        )
        .unwrap();
        std::fs::create_dir_all(root.join("log")).unwrap();
        std::fs::write(root.join("log/run.txt"), format!("{bad}\n\x1b[31mred\nlast line")).unwrap();
        std::fs::write(
            root.join("log/progress.csv"),
            "at,step,seconds\n100.0,0,0.0\n101.5,4,1.5\n110,3,0\n112,5,2\n113,",
        )
        .unwrap();
        std::fs::create_dir_all(root.join("out")).unwrap();
        std::fs::write(root.join("out/<b>.png"), b"\x89PNG rest").unwrap();
        std::fs::write(root.join("out/none.png"), b"no picture").unwrap();
        folder
    }

    #[test]
    fn a_page_is_well_formed_whatever_the_run_is_called() {
        let folder = hostile();
        let page = page_of(folder.path());
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let read = roxmltree::Document::parse_with_options(&page, options)
            .unwrap_or_else(|error| panic!("{error}\n{page}"));
        for node in read.descendants().filter(|node| node.is_element()) {
            let name = node.tag_name().name();
            assert!(!matches!(name, "script" | "link" | "iframe" | "object" | "a"), "{name}");
            for attribute in node.attributes() {
                assert!(!attribute.name().starts_with("on"), "{name} {}", attribute.name());
                if attribute.name() == "src" {
                    assert!(attribute.value().starts_with("data:image/png;base64,"), "{}", attribute.value());
                }
            }
        }
        let headings: Vec<&str> = read
            .descendants()
            .filter(|node| node.tag_name().name() == "h2")
            .filter_map(|node| node.text())
            .collect();
        assert_eq!(
            headings,
            [
                "Result",
                "Parameters",
                "Options of the run",
                "Provenance",
                "Progress over time",
                "Time by phase",
                "Time by rank",
                "Communication",
                "Memory",
                "Efficiency of the allocation",
                "Pictures",
                "End of the log"
            ]
        );
        // The text is all there, as text.
        let texts: String =
            read.descendants().filter(|node| node.is_text()).filter_map(|node| node.text()).collect();
        assert!(texts.contains("</td></table><script>alert(1)</script>"), "{texts}");
        for said in [
            "25.0%",
            "1.02 kB",
            "job 1 of it",
            "2 jobs, each begun",
            "To further ranks",
            "imbalance 1.50",
            "last line",
            "1 more in out/",
        ] {
            assert!(texts.contains(said), "{said}: {texts}");
        }
        let count = |name: &str| read.descendants().filter(|node| node.tag_name().name() == name).count();
        assert_eq!((count("img"), count("svg"), count("polyline")), (1, 4, 2));
    }

    #[test]
    fn what_is_not_there_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let page = page_of(folder.path());
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let read = roxmltree::Document::parse_with_options(&page, options).unwrap();
        assert_eq!(read.descendants().filter(|node| node.tag_name().name() == "h2").count(), 1);
    }
}
