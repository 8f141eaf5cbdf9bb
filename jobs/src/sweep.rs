//! `rankine sweep`: what came of the runs of a sweep, in one table and one picture, and those that failed once more.
//! Which points there are and how they are submitted is `submit`'s business.

use crate::submit::place::{SCRIPT, SWEEP, note};
use rankine::output::files::{read_json, write_json, write_text};
use rankine::output::plot::Plot;
use rankine::run::show;
use rankine::{Error, Result};
use rankine_slurm::{JobId, Points, Slurm};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What to do with a sweep.
#[derive(Debug, clap::Subcommand)]
pub enum Sweep {
    /// A table of all runs: parameters, state, verdict, checksum, seconds, rates, last scalars
    Results {
        /// The sweep's folder
        folder: PathBuf,
        /// Write the table (CSV) into a file instead of showing it
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Draw two of its columns (PNG, beside the table or as FILE says)
        #[arg(long, value_name = "X,Y")]
        plot: Option<String>,
        /// The picture's file [default: X-Y.png in the sweep's folder]
        #[arg(long, value_name = "FILE", requires = "plot")]
        png: Option<PathBuf>,
    },
    /// Submit again those runs that are neither done nor in the queue
    Resubmit {
        /// The sweep's folder
        folder: PathBuf,
        /// Show which, and submit nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// What `sweep.json` holds.
#[derive(Serialize, Deserialize)]
struct Kept {
    kernel: String,
    jobs: Vec<u64>,
    points: Vec<Point>,
}

#[derive(Serialize, Deserialize)]
struct Point {
    run: String,
    values: Map<String, Value>,
}

/// Does it.
///
/// # Errors
/// A folder without a sweep, columns that are none, and whatever Slurm says.
pub fn sweep(what: Sweep) -> Result<()> {
    match what {
        Sweep::Results { folder, out, plot, png } => results(&folder, out.as_deref(), plot.as_deref(), png),
        Sweep::Resubmit { folder, dry_run } => resubmit(&folder, dry_run),
    }
}

fn open(folder: &Path) -> Result<Kept> {
    let file = folder.join(SWEEP);
    if !file.is_file() {
        return Err(Error::io(format!("{} is no sweep: there is no {SWEEP} in it", folder.display()))
            .help("give the folder that `rankine submit … --sweep` has named"));
    }
    read_json(&file)
}

fn results(folder: &Path, out: Option<&Path>, plot: Option<&str>, png: Option<PathBuf>) -> Result<()> {
    let kept = open(folder)?;
    let table = Table::of(folder, &kept);
    let text = table.csv()?;
    let drawn = match plot {
        Some(columns) => Some((table.plot(&kept.kernel, columns)?, columns)),
        None => None,
    };
    match out {
        Some(out) => write_text(out, &text)?,
        None => show(&text),
    }
    if let Some((plot, columns)) = drawn {
        let name = format!("{}.png", columns.replace(',', "-").replace('/', "_"));
        plot.write(png.unwrap_or_else(|| folder.join(name)))?;
    }
    Ok(())
}

fn resubmit(folder: &Path, dry_run: bool) -> Result<()> {
    let mut kept = open(folder)?;
    let mut left: BTreeSet<usize> = (0..kept.points.len())
        .filter(|&number| state(&folder.join(&kept.points[number].run)) != "passed")
        .filter(|&number| state(&folder.join(&kept.points[number].run)) != "not checked")
        .collect();
    let slurm = Slurm::new();
    for &job in &kept.jobs {
        for queued in slurm.queued_of_array(JobId(job)).map_err(crate::submit::slurm)? {
            left.remove(&queued);
        }
    }
    if left.is_empty() {
        show("nothing to submit: every run is done or in the queue\n");
        return Ok(());
    }
    let runs: Vec<String> = left.iter().map(|&number| Points::name(number)).collect();
    if dry_run {
        show(&format!("{} of {} runs: {}\n", left.len(), kept.points.len(), runs.join(" ")));
        return Ok(());
    }
    let file = folder.join(SCRIPT);
    let script = std::fs::read_to_string(&file)
        .map_err(|error| Error::io(format!("cannot read {}: {error}", file.display())))?;
    let left: Vec<usize> = left.into_iter().collect();
    let id = again(folder, &mut kept, &script, &left)?;
    show(&format!("submitted job {id} of {} runs: {}\n", left.len(), runs.join(" ")));
    Ok(())
}

/// Submits one run of a sweep once more, by a script that goes on with it.
///
/// # Errors
/// What Slurm and the system say.
pub fn one_again(folder: &Path, script: &str, number: usize) -> Result<JobId> {
    again(folder, &mut open(folder)?, script, &[number])
}

/// Submits runs of a sweep once more.
fn again(folder: &Path, kept: &mut Kept, script: &str, runs: &[usize]) -> Result<JobId> {
    // As many at once as in the first place.
    let at_once = script
        .lines()
        .find_map(|line| line.strip_prefix("#SBATCH --array="))
        .and_then(|array| array.split_once('%'))
        .map(|(_, most)| format!("%{most}"))
        .unwrap_or_default();
    let numbers: Vec<String> = runs.iter().map(ToString::to_string).collect();
    let array = format!("--array={}{at_once}", numbers.join(","));
    let id = Slurm::new().submit_with(script, &[&array]).map_err(crate::submit::slurm)?;
    kept.jobs.push(id.0);
    write_json(folder.join(SWEEP), kept)?;
    for &number in runs {
        note(&folder.join(Points::name(number)), id, Some(number))?;
    }
    Ok(id)
}

/// A run's verdict, or what became of it instead.
fn state(run: &Path) -> String {
    let word = |file: &str, key: &str| {
        read_json::<Value>(&run.join(file)).ok().and_then(|json| Some(json[key].as_str()?.to_string()))
    };
    match word("result.json", "verdict") {
        Some(verdict) => match verdict.as_str() {
            "failed" => "wrong".to_string(),
            _ => verdict,
        },
        None => word("progress.json", "state").unwrap_or_else(|| "not begun".to_string()),
    }
}

/// Columns in the order in which they were first seen, and a cell for each row that has one.
#[derive(Default)]
struct Table {
    columns: Vec<String>,
    rows: Vec<Map<String, Value>>,
}

impl Table {
    fn of(folder: &Path, kept: &Kept) -> Table {
        let mut table = Table::default();
        for point in &kept.points {
            let run = folder.join(&point.run);
            let mut row = Map::new();
            row.insert("run".to_string(), point.run.clone().into());
            row.extend(point.values.clone());
            row.insert("state".to_string(), state(&run).into());
            // What is not there leaves cells empty.
            let json = |file: &str| read_json::<Value>(&run.join(file)).unwrap_or_default();
            let (result, timings) = (json("result.json"), json("timings.json"));
            for (name, value) in [
                ("steps", &result["steps"]),
                ("checksum", &result["checksum"]),
                ("seconds", &timings["seconds"]["total"]),
                ("units_per_second", &result["rate"]["units_per_second"]),
                ("flops_per_second", &result["rate"]["flops_per_second"]),
                ("bytes_per_second", &result["rate"]["bytes_per_second"]),
                ("peak_memory", &timings["peak_memory"]),
            ] {
                if !value.is_null() {
                    row.insert(name.to_string(), value.clone());
                }
            }
            for (name, value) in last_scalars(&run.join("out/scalars.csv")) {
                if !row.contains_key(&name) && name != "step" {
                    row.insert(name, value.into());
                }
            }
            for name in row.keys() {
                if !table.columns.contains(name) {
                    table.columns.push(name.clone());
                }
            }
            table.rows.push(row);
        }
        table
    }

    fn csv(&self) -> Result<String> {
        let wrong = |error: String| Error::io(format!("cannot write the table: {error}"));
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&self.columns).map_err(|error| wrong(error.to_string()))?;
        for row in &self.rows {
            let cells = self.columns.iter().map(|name| row.get(name).map(cell).unwrap_or_default());
            writer.write_record(cells).map_err(|error| wrong(error.to_string()))?;
        }
        let bytes = writer.into_inner().map_err(|error| wrong(error.to_string()))?;
        String::from_utf8(bytes).map_err(|error| wrong(error.to_string()))
    }

    /// `X,Y`: a curve for each combination of the other parameters would need a legend of its own; points of one curve
    /// are in the order of X.
    fn plot(&self, kernel: &str, columns: &str) -> Result<Plot> {
        let known = || self.columns.join(", ");
        let Some((x, y)) = columns.split_once(',').map(|(x, y)| (x.trim(), y.trim())) else {
            return Err(Error::usage(format!("--plot {columns}: that is not two columns"))
                .help(format!("write X,Y; columns are {}", known())));
        };
        for name in [x, y] {
            if !self.columns.iter().any(|column| column == name) {
                return Err(Error::usage(format!("--plot {columns}: there is no column {name}"))
                    .help(format!("columns are {}", known())));
            }
        }
        let number = |row: &Map<String, Value>, name: &str| cell(row.get(name)?).parse::<f64>().ok();
        let mut points: Vec<(f64, f64)> =
            self.rows.iter().filter_map(|row| Some((number(row, x)?, number(row, y)?))).collect();
        if points.is_empty() {
            return Err(Error::usage(format!("--plot {columns}: no run has numbers in both"))
                .help("wait for the runs, or choose other columns"));
        }
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(Plot::new(format!("{kernel}: {} of {} runs", points.len(), self.rows.len()), x, y)
            .curve("", points))
    }
}

fn cell(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

/// Names and values of a run's last line of scalars.
fn last_scalars(file: &Path) -> Vec<(String, String)> {
    let Ok(mut reader) = csv::Reader::from_path(file) else { return Vec::new() };
    let names: Vec<String> =
        reader.headers().map(|names| names.iter().map(str::to_string).collect()).unwrap_or_default();
    let last = reader.records().filter_map(std::result::Result::ok).last();
    last.map(|row| names.into_iter().zip(row.iter().map(str::to_string)).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep_of_three() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for run in ["0000/out", "0001", "0002"] {
            std::fs::create_dir_all(at(run)).unwrap();
        }
        let write = |name: &str, text: &str| std::fs::write(at(name), text).unwrap();
        write(
            "sweep.json",
            r#"{"kernel":"k","jobs":[7],"points":[{"run":"0000","values":{"n":"8","dt":"0.1"}},
                {"run":"0001","values":{"n":"16"}},{"run":"0002","values":{"n":"4,5"}}]}"#,
        );
        write(
            "0000/result.json",
            r#"{"verdict":"passed","steps":3,"checksum":"0a","rate":{"units_per_second":2.5}}"#,
        );
        write("0000/timings.json", r#"{"seconds":{"total":1.5},"peak_memory":100}"#);
        write("0000/out/scalars.csv", "step,time,energy\n0,0,9\n3,0.3,7.25\n");
        write("0001/progress.json", r#"{"state":"failed"}"#);
        folder
    }

    #[test]
    fn what_is_there_is_joined() {
        let folder = sweep_of_three();
        let kept = open(folder.path()).unwrap();
        let table = Table::of(folder.path(), &kept);
        assert_eq!(
            table.csv().unwrap(),
            "run,n,dt,state,steps,checksum,seconds,units_per_second,peak_memory,time,energy\n\
             0000,8,0.1,passed,3,0a,1.5,2.5,100,0.3,7.25\n\
             0001,16,,failed,,,,,,,\n\
             0002,\"4,5\",,not begun,,,,,,,\n"
        );
        assert!(table.plot("k", "n,energy").unwrap().png().unwrap().starts_with(b"\x89PNG"));
        for (columns, says) in [
            ("n", "not two columns"),
            ("n,power", "no column power"),
            ("checksum,state", "no run has numbers in both"),
        ] {
            let error = table.plot("k", columns).unwrap_err();
            assert!(error.to_string().contains(says) && error.exit_code() == 2, "{error}");
        }
    }

    #[test]
    fn no_sweep_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(open(folder.path()).err().unwrap().to_string().contains("no sweep.json"));
    }
}
