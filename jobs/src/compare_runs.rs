//! `rankine compare RUN RUN`: what differs between two runs: what was asked, where they come from, what came of them, where
//! the time went; and how far their last fields are apart.

use crate::compare::seconds;
use crate::runs::{self, PROGRESS};
use crate::status::columns;
use rankine::output::{Layout, Reader, SlabMut};
use rankine::run::{scaled, show};
use rankine::{Comm, Error, ErrorKind, Launch, Result};
use serde::Serialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Numbers of each field that are in memory at a time.
const AT_ONCE: usize = 1 << 20;

/// One thing that the runs have differently.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Differs {
    what: String,
    a: Value,
    b: Value,
}

/// What was measured of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Measured {
    what: String,
    unit: String,
    a: f64,
    b: f64,
}

/// One field of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Field {
    name: String,
    /// The step after which both were written.
    step: u64,
    /// The largest difference of two numbers at one place; `None`, where they cannot be compared.
    largest: Option<f64>,
    /// Where that is.
    at: Vec<usize>,
    /// How many numbers differ.
    differing: u64,
    /// Why they cannot be compared.
    why: Option<String>,
}

/// Does it.
///
/// # Errors
/// A name that is none of a run.
pub fn compare_runs(a: &Path, b: &Path, as_json: bool) -> Result<()> {
    let (a, b) = (runs::find(Some(a))?, runs::find(Some(b))?);
    let (tables, provenance) = (both(&a, &b, job), both(&a, &b, |run| runs::file(run, "provenance.json")));
    let parameters = differing(&tables[0]["parameters"], &tables[1]["parameters"], &[]);
    let options = differing(&tables[0]["run"], &tables[1]["run"], &[]);
    let origin =
        differing(&provenance[0], &provenance[1], &["started", "ended", "command", "earlier", "kernel"]);
    let outcome = outcome(&a, &b);
    let measured = measured(&both(&a, &b, |run| runs::file(run, "timings.json")));
    let checksums = both(&a, &b, |run| runs::file(run, "result.json")["checksum"].clone());
    let same = match (checksums[0].as_str(), checksums[1].as_str()) {
        (Some(a), Some(b)) => Some(a == b),
        _ => None,
    };
    let fields = fields(&a, &b);
    if as_json {
        let all = json!({
            "runs": [a, b], "bitwise_same": same, "parameters": parameters, "options": options, "provenance": origin,
            "outcome": outcome, "measured": measured, "fields": fields,
        });
        show(&format!("{all:#}\n"));
        return Ok(());
    }
    let mut text = format!("a  {}\nb  {}\n\n", a.display(), b.display());
    text += match same {
        Some(true) => "The answers are the same to the bit: their checksums agree.\n",
        Some(false) => "The answers differ: so do their checksums.\n",
        None => "Whether the answers are the same is not known: not both have a checksum.\n",
    };
    for (title, rows) in
        [("parameters", parameters), ("options", options), ("provenance", origin), ("outcome", outcome)]
    {
        text += &differences(title, &rows);
    }
    text += &figures(&measured);
    text += &of_fields(&fields);
    show(&text);
    Ok(())
}

fn both(a: &Path, b: &Path, of: impl Fn(&Path) -> Value) -> [Value; 2] {
    [of(a), of(b)]
}

/// The run's parameters and options.
fn job(run: &Path) -> Value {
    let text = std::fs::read_to_string(run.join("run.toml")).unwrap_or_default();
    let table: toml::Table = text.parse().unwrap_or_default();
    serde_json::to_value(table).unwrap_or(Value::Null)
}

/// The keys whose values differ; one that is not there is null.
fn differing(a: &Value, b: &Value, without: &[&str]) -> Vec<Differs> {
    let keys =
        |value: &Value| value.as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default();
    let mut all: Vec<String> = keys(a);
    for key in keys(b) {
        if !all.contains(&key) {
            all.push(key);
        }
    }
    all.retain(|key| !without.contains(&key.as_str()) && a[key] != b[key]);
    all.into_iter().map(|key| Differs { a: a[&key].clone(), b: b[&key].clone(), what: key }).collect()
}

/// State, verdict and what comes with it.
fn outcome(a: &Path, b: &Path) -> Vec<Differs> {
    let of = |run: &Path| {
        let (result, progress) = (runs::file(run, "result.json"), runs::file(run, PROGRESS));
        let mut all = json!({
            "kernel": progress["kernel"], "state": progress["state"], "step": progress["step"],
            "verdict": result["verdict"], "checksum": result["checksum"],
        });
        for check in result["checks"].as_array().into_iter().flatten() {
            if let Some(what) = check["what"].as_str() {
                all[what] = check["figure"].clone();
            }
        }
        all
    };
    differing(&of(a), &of(b), &[])
}

/// Seconds by phase, the rate, memory, messages.
fn measured(timings: &[Value; 2]) -> Vec<Measured> {
    let mut rows = Vec::new();
    let mut row = |what: &str, unit: &str, of: &dyn Fn(&Value) -> Option<f64>| {
        if let (Some(a), Some(b)) = (of(&timings[0]), of(&timings[1])) {
            rows.push(Measured { what: what.to_string(), unit: unit.to_string(), a, b });
        }
    };
    row("total", "s", &|t| t["seconds"]["total"].as_f64());
    for phase in ["setup", "compute", "constructing", "sending", "waiting", "output", "verification"] {
        row(phase, "s", &|t| t["seconds"][phase]["mean"].as_f64());
    }
    let unit = timings[0]["rate"]["unit"].as_str().unwrap_or("").to_string();
    if timings[1]["rate"]["unit"] == unit.as_str() {
        row("rate", &format!("{unit}/s"), &|t| t["rate"]["units_per_second"].as_f64());
    }
    row("memory", "B", &|t| t["peak_memory"].as_f64());
    row("messages", "", &|t| t["traffic"]["messages"].as_f64());
    row("bytes sent", "B", &|t| t["traffic"]["bytes"].as_f64());
    row("processor time", "s", &|t| t["allocation"]["cpu"].as_f64());
    rows
}

fn differences(title: &str, rows: &[Differs]) -> String {
    if rows.is_empty() {
        return format!("\n{title}: the same\n");
    }
    let word = |value: &Value| match value {
        Value::Null => "none".to_string(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let rows: Vec<[String; 3]> =
        rows.iter().map(|row| [format!("  {}", row.what), word(&row.a), word(&row.b)]).collect();
    format!(
        "\n{}",
        columns(&[&[[title.to_string(), "a".to_string(), "b".to_string()]], &rows[..]].concat(), &[])
    )
}

fn figures(rows: &[Measured]) -> String {
    if rows.is_empty() {
        return "\nmeasured: not both runs have timings\n".to_string();
    }
    let figure = |value: f64, unit: &str| match unit {
        "s" => seconds(value),
        "" => value.to_string(),
        unit => format!("{}{unit}", scaled(value)),
    };
    let row = |row: &Measured| {
        let ratio = if row.a > 0.0 { format!("{:.2}", row.b / row.a) } else { String::new() };
        [format!("  {}", row.what), figure(row.a, &row.unit), figure(row.b, &row.unit), ratio]
    };
    let head = ["measured", "a", "b", "b/a"].map(String::from);
    let rows: Vec<_> = [head].into_iter().chain(rows.iter().map(row)).collect();
    format!("\n{}", columns(&rows, &[1, 2, 3]))
}

fn of_fields(fields: &[Field]) -> String {
    if fields.is_empty() {
        return "\nfields: the runs have none of the same step\n".to_string();
    }
    let row = |field: &Field| {
        let said = match (field.largest, &field.why) {
            (_, Some(why)) => format!("not compared: {why}"),
            (Some(0.0), _) if field.differing == 0 => "the same".to_string(),
            (Some(largest), _) => {
                format!("up to {largest:.3e}, at {:?}; {} numbers differ", field.at, field.differing)
            }
            (None, None) => String::new(),
        };
        [format!("  {}", field.name.trim_start_matches('/')), said]
    };
    let head = [format!("fields after step {}", fields[0].step), String::new()];
    let rows: Vec<_> = [head].into_iter().chain(fields.iter().map(row)).collect();
    format!("\n{}", columns(&rows, &[]))
}

/// The last fields that both have written after the same step.
fn fields(a: &Path, b: &Path) -> Vec<Field> {
    let Some(step) = steps(a).into_iter().rev().find(|step| steps(b).contains(step)) else {
        return Vec::new();
    };
    let files = [a, b].map(|run| run.join(format!("out/fields-{step:06}.h5")));
    let alone = |why: String| {
        vec![Field {
            name: "all".to_string(),
            step,
            largest: None,
            at: Vec::new(),
            differing: 0,
            why: Some(why),
        }]
    };
    let found = Arc::new(Mutex::new(Vec::new()));
    let put = found.clone();
    // One rank of this process reads.
    let done = Launch::new().ranks(1).watch(false).run(move |comm| {
        let compared = compare_files(&comm, &files, step)?;
        *put.lock().unwrap_or_else(PoisonError::into_inner) = compared;
        Ok(())
    });
    match done {
        Ok(()) => std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner)),
        Err(error) => alone(error.what().to_string()),
    }
}

/// The steps after which fields were written, in their order.
fn steps(run: &Path) -> Vec<u64> {
    let entries = std::fs::read_dir(run.join("out")).into_iter().flatten().flatten();
    let step = |name: &str| name.strip_prefix("fields-")?.strip_suffix(".h5")?.parse().ok();
    let mut steps: Vec<u64> =
        entries.filter_map(|entry| step(&entry.file_name().to_string_lossy())).collect();
    steps.sort_unstable();
    steps
}

fn compare_files(comm: &Comm, files: &[PathBuf; 2], step: u64) -> Result<Vec<Field>> {
    let names = [Reader::datasets(comm, &files[0])?, Reader::datasets(comm, &files[1])?];
    let mut all = names[0].clone();
    all.extend(names[1].iter().filter(|name| !names[0].contains(name)).cloned());
    let field = |name: String| {
        let cannot = |why: String| Field {
            name: name.clone(),
            step,
            largest: None,
            at: Vec::new(),
            differing: 0,
            why: Some(why),
        };
        if let Some(i) = (0..2).find(|&i| !names[i].contains(&name)) {
            return cannot(format!("only {} has it", ["b", "a"][i]));
        }
        let open = |file: &Path| Reader::open(comm, file, Some(&name));
        match open(&files[0]).and_then(|a| Ok((a, open(&files[1])?))) {
            Err(error) => cannot(error.what().to_string()),
            Ok((a, b)) if a.shape() != b.shape() => {
                cannot(format!("shapes {:?} and {:?}", a.shape(), b.shape()))
            }
            Ok((a, b)) => match apart(&a, &b) {
                Err(error) => cannot(error.what().to_string()),
                Ok((largest, at, differing)) => {
                    Field { name: name.clone(), step, largest: Some(largest), at, differing, why: None }
                }
            },
        }
    };
    Ok(all.into_iter().map(field).collect())
}

/// The largest difference of two arrays of one shape, where it is, and how many numbers differ.
fn apart(a: &Reader, b: &Reader) -> Result<(f64, Vec<usize>, u64)> {
    match a.shape().len() {
        1 => apart_in::<1>(a, b),
        2 => apart_in::<2>(a, b),
        3 => apart_in::<3>(a, b),
        4 => apart_in::<4>(a, b),
        5 => apart_in::<5>(a, b),
        axes => Err(Error::new(ErrorKind::Usage, format!("{axes} axes"))),
    }
}

fn apart_in<const D: usize>(a: &Reader, b: &Reader) -> Result<(f64, Vec<usize>, u64)> {
    let cells = a.cells::<D>()?;
    let layer: usize = cells[1..].iter().product();
    let layers = (AT_ONCE / layer.max(1)).clamp(1, cells[0]);
    let (mut largest, mut at, mut differing) = (0.0f64, vec![0; D], 0);
    let mut both = [Vec::new(), Vec::new()];
    for first in (0..cells[0]).step_by(layers) {
        let mut part = cells;
        part[0] = layers.min(cells[0] - first);
        let mut start = [0; D];
        start[0] = first;
        for (reader, numbers) in [a, b].into_iter().zip(&mut both) {
            numbers.clear();
            numbers.resize(part.iter().product(), 0.0f64);
            reader.read_region(&start, &mut SlabMut::new(numbers, Layout::whole(part)?)?)?;
        }
        for (i, (x, y)) in both[0].iter().zip(&both[1]).enumerate() {
            if x.to_bits() == y.to_bits() {
                continue;
            }
            differing += 1;
            // A number beside none is as far as can be.
            let far = if x.is_nan() || y.is_nan() { f64::INFINITY } else { (x - y).abs() };
            if far > largest {
                largest = far;
                let mut rest = i;
                for axis in (0..D).rev() {
                    at[axis] = rest % part[axis];
                    rest /= part[axis];
                }
                at[0] += first;
            }
        }
    }
    Ok((largest, at, differing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_and_what_is_not_there_is_null() {
        let (a, b) =
            (json!({"n": 1, "same": 2, "only": 3, "started": 1}), json!({"n": 4, "same": 2, "new": [1]}));
        let found = differing(&a, &b, &["started"]);
        let differs = |what: &str, a: Value, b: Value| Differs { what: what.to_string(), a, b };
        assert_eq!(
            found,
            [
                differs("n", 1.into(), 4.into()),
                differs("only", 3.into(), Value::Null),
                differs("new", Value::Null, json!([1]))
            ]
        );
        assert_eq!(
            differences("x", &found),
            "\nx       a     b\n  n     1     4\n  only  3     none\n  new   none  [1]\n"
        );
        assert_eq!(differences("x", &[]), "\nx: the same\n");
    }

    #[cfg(feature = "hdf5")]
    #[test]
    fn fields_are_compared_number_by_number() {
        use rankine::output::{Slab, Writer};
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_path_buf();
        let write = |run: &str, step: u64, change: f64| {
            let out = root.join(run).join("out");
            std::fs::create_dir_all(&out).unwrap();
            rankine::testing::ranks([1], |world| {
                let mut file = Writer::create(world, out.join(format!("fields-{step:06}.h5")))?;
                // More than is read at once.
                let mut cells: Vec<f64> = (0..1200 * 1000).map(f64::from).collect();
                cells[1_100_007] += change;
                cells[3] += change / 2.0;
                file.write("u", &Slab::new(&cells, Layout::whole([1200, 1000])?)?)?;
                file.write("shape", &Slab::new(&cells[..3 + run.len()], Layout::whole([3 + run.len()])?)?)?;
                file.finish()
            });
        };
        write("a", 3, 0.0);
        write("a", 9, 0.0);
        write("bb", 3, -0.5);
        write("bb", 7, 0.0);
        let found = fields(&root.join("a"), &root.join("bb"));
        assert_eq!(found.len(), 2, "{found:?}");
        let u = found.iter().find(|field| field.name.contains('u')).unwrap();
        assert_eq!((u.step, u.largest, &u.at[..], u.differing), (3, Some(0.5), &[1100, 7][..], 2));
        let other = found.iter().find(|field| field.name.contains("shape")).unwrap();
        assert!(other.why.as_ref().unwrap().contains("[4] and [5]"), "{other:?}");
        let same = fields(&root.join("a"), &root.join("a"));
        assert!(same.iter().all(|field| field.largest == Some(0.0) && field.differing == 0), "{same:?}");
        assert!(fields(&root.join("a"), &root.join("none")).is_empty());
    }
}
