//! The points of a sweep, out of what stands after `--sweep` or in a table: names and values, every combination. What a
//! name means is the kernel's business.

use rankine::{Error, Result};
use std::path::Path;

/// A point: names of flags with their values, as text.
pub type Point = Vec<(String, String)>;

/// All points: each `NAME=VALUES` is an axis, and so are the rows of a table; the last axis changes fastest.
///
/// # Errors
/// Values or a table that cannot be; a name that stands twice; more points than an array can have.
pub fn points(sweeps: &[String], table: Option<&Path>) -> Result<Vec<Point>> {
    let mut axes: Vec<Vec<Point>> = table.map(rows).transpose()?.into_iter().collect();
    for sweep in sweeps {
        let Some((name, values)) = sweep.split_once('=') else {
            return Err(Error::usage(format!("--sweep {sweep}: no values"))
                .help("write NAME=VALUES, such as --sweep cells=64,128 or --sweep dt=0.1:0.16:0.02"));
        };
        let name = flag(name);
        axes.push(axis(&name, values)?.into_iter().map(|value| vec![(name.clone(), value)]).collect());
    }
    let mut names: Vec<&str> =
        axes.iter().filter_map(|axis| axis.first()).flatten().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::usage(format!("--sweep: {} is swept twice", twice[0])).help("give it once"));
    }
    const RESERVED: [&str; 6] = ["ranks", "threads", "out", "resume", "overwrite", "job"];
    if let Some(name) = names.iter().find(|name| name.is_empty() || RESERVED.contains(name)) {
        return Err(Error::usage(format!("--sweep: {name:?} is no parameter to sweep"))
            .help("sweep parameters of the kernel; all points have the same ranks and threads"));
    }
    let count = axes.iter().try_fold(1usize, |count, axis| count.checked_mul(axis.len()));
    let most = rankine_slurm::points::MOST;
    match count {
        _ if axes.is_empty() => return Ok(Vec::new()),
        Some(count) if (1..=most).contains(&count) => {}
        _ => {
            let count = count.map_or("too many".to_string(), |count| count.to_string());
            return Err(Error::usage(format!("the sweep has {count} points"))
                .help(format!("an array has 1 to {most} jobs; sweep in parts")));
        }
    }
    Ok(axes.into_iter().fold(vec![Vec::new()], |before, axis| {
        before
            .iter()
            .flat_map(|point: &Point| axis.iter().map(move |more| [point.clone(), more.clone()].concat()))
            .collect()
    }))
}

/// The words that ask for a point.
pub fn words(point: &Point) -> Vec<String> {
    point.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

fn flag(name: &str) -> String {
    name.trim().trim_start_matches("--").replace('_', "-")
}

/// `64,128`, `0.1:0.16:0.02`, both mixed; with semicolons between values, commas belong to them.
fn axis(name: &str, values: &str) -> Result<Vec<String>> {
    let between = if values.contains(';') { ';' } else { ',' };
    let mut all = Vec::new();
    for value in values.split(between).map(str::trim) {
        if value.is_empty() {
            return Err(Error::usage(format!("--sweep {name}={values}: a value is empty"))
                .help("write values with commas between them, or FROM:TO:STEP"));
        }
        match range(value) {
            Some(range) => all.extend(range.map_err(|what| {
                Error::usage(format!("--sweep {name}={values}: {value}: {what}"))
                    .help("write FROM:TO:STEP, such as 0.1:0.16:0.02; both ends belong to it")
            })?),
            None => all.push(value.to_string()),
        }
    }
    Ok(all)
}

/// `FROM:TO:STEP` or `FROM:TO` as values with the decimals that were written; `None` for what is no range of numbers.
fn range(text: &str) -> Option<Result<Vec<String>, String>> {
    let parts: Vec<&str> = text.split(':').collect();
    let (from, to, step) = match parts.as_slice() {
        [from, to] => (*from, *to, "1"),
        [from, to, step] => (*from, *to, *step),
        _ => return None,
    };
    let number = |text: &str| text.parse::<f64>().ok().filter(|value| value.is_finite());
    let (a, b, s) = (number(from)?, number(to)?, number(step)?);
    if s == 0.0 || (b - a) * s < 0.0 {
        return Some(Err("the step does not lead from the first to the last".to_string()));
    }
    // The last one is there although it is not quite met.
    let steps = ((b - a) / s + 1e-9).floor();
    if steps > 1e5 {
        return Some(Err("more than 100000 values".to_string()));
    }
    let plain = [from, to, step].iter().all(|text| !text.contains(['e', 'E']));
    let decimals = [from, step].map(|text| text.split_once('.').map_or(0, |(_, after)| after.len()));
    let decimals = decimals.into_iter().max().unwrap_or(0);
    let value = |i: f64| a + i * s;
    Some(Ok((0..=steps as u64)
        .map(
            |i| {
                if plain {
                    format!("{:.decimals$}", value(i as f64))
                } else {
                    format!("{:e}", value(i as f64))
                }
            },
        )
        .collect()))
}

/// The rows of a table with a line of names.
fn rows(path: &Path) -> Result<Vec<Point>> {
    let wrong = |error: csv::Error| {
        let line = error.position().map(|position| format!(":{}", position.line())).unwrap_or_default();
        Error::io(format!("cannot read the sweep {}{line}: {error}", path.display()))
            .help("a table of values with commas between them, the first line being names of parameters")
    };
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_path(path).map_err(wrong)?;
    let names: Vec<String> = reader.headers().map_err(wrong)?.iter().map(flag).collect();
    let mut all = Vec::new();
    for row in reader.records() {
        let row = row.map_err(wrong)?;
        // An empty cell leaves the parameter at its default.
        let cells = names.iter().cloned().zip(row.iter().map(str::to_string));
        all.push(cells.filter(|(_, value)| !value.is_empty()).collect());
    }
    if all.is_empty() {
        return Err(Error::io(format!("the sweep {} has no rows", path.display()))
            .help("a line of names, then a line for each point"));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swept(sweeps: &[&str]) -> Result<Vec<String>> {
        let sweeps: Vec<String> = sweeps.iter().map(|sweep| sweep.to_string()).collect();
        Ok(points(&sweeps, None)?.iter().map(|point| words(point).join(" ")).collect())
    }

    #[test]
    fn every_combination_in_order() {
        assert_eq!(
            swept(&["n=64,128", "wall_value=0.1:0.16:0.02"]).unwrap(),
            [
                "--n=64 --wall-value=0.10",
                "--n=64 --wall-value=0.12",
                "--n=64 --wall-value=0.14",
                "--n=64 --wall-value=0.16",
                "--n=128 --wall-value=0.10",
                "--n=128 --wall-value=0.12",
                "--n=128 --wall-value=0.14",
                "--n=128 --wall-value=0.16",
            ]
        );
        assert_eq!(swept(&["--n=3:1:-1,7"]).unwrap(), ["--n=3", "--n=2", "--n=1", "--n=7"]);
        assert_eq!(swept(&["n=1:3"]).unwrap(), ["--n=1", "--n=2", "--n=3"]);
        assert_eq!(swept(&["x=-0.2:0.2:0.2"]).unwrap(), ["--x=-0.2", "--x=0.0", "--x=0.2"]);
        assert_eq!(swept(&["x=1e-3:2e-3:5e-4"]).unwrap(), ["--x=1e-3", "--x=1.5e-3", "--x=2e-3"]);
        assert_eq!(swept(&["cells=8,9,7;64"]).unwrap(), ["--cells=8,9,7", "--cells=64"]);
        assert_eq!(
            swept(&["input=scan.h5:/t1,b.h5:/t2"]).unwrap(),
            ["--input=scan.h5:/t1", "--input=b.h5:/t2"]
        );
        assert!(swept(&[]).unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (sweeps, says) in [
            (&["n"][..], "--sweep n: no values"),
            (&["n="], "a value is empty"),
            (&["n=1,,2"], "a value is empty"),
            (&["n=1:2:-1"], "the step does not lead"),
            (&["n=1:2:0"], "the step does not lead"),
            (&["n=0:1e9:1"], "more than 100000"),
            (&["n=1,2", "n=3"], "n is swept twice"),
            (&["ranks=1,2"], "no parameter to sweep"),
            (&["=1,2"], "no parameter to sweep"),
            (&["n=1:200", "m=1:200"], "the sweep has 40000 points"),
        ] {
            let error = swept(sweeps).unwrap_err();
            assert!(error.to_string().contains(says) && error.exit_code() == 2, "{sweeps:?}: {error}");
        }
    }

    #[test]
    fn a_table_is_an_axis() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sweep.csv");
        std::fs::write(&path, "n, wall_value\n# both\n64, 0.5\n\"8,9\",\n").unwrap();
        let all = points(&["x=1,2".to_string()], Some(&path)).unwrap();
        let all: Vec<String> = all.iter().map(|point| words(point).join(" ")).collect();
        assert_eq!(
            all,
            [
                "--n=64 --wall-value=0.5 --x=1",
                "--n=64 --wall-value=0.5 --x=2",
                "--n=8,9 --x=1",
                "--n=8,9 --x=2"
            ]
        );
        std::fs::write(&path, "n,m\n1,2\n3\n").unwrap();
        let error = points(&[], Some(&path)).unwrap_err().to_string();
        assert!(error.contains("sweep.csv:3"), "{error}");
        std::fs::write(&path, "n,m\n").unwrap();
        assert!(points(&[], Some(&path)).unwrap_err().to_string().contains("no rows"));
        assert_eq!(points(&[], Some(Path::new("/no/such.csv"))).unwrap_err().exit_code(), 4);
    }
}
