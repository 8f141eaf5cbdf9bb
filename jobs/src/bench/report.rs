//! What a person and a program read of the measurements.

use super::operation::{Operation, Unit};
use super::stage::{Side, Stage};
use rankine::launch::short_version;
use serde_json::{Value, json};

/// The measurements of one operation at one size.
pub struct Line {
    pub operation: Operation,
    pub bytes: usize,
    sides: &'static [Side],
    /// By side: what every turn gave, in seconds an operation, or the share that was hidden.
    turns: Vec<Vec<f64>>,
}

impl Line {
    pub fn new(operation: Operation, bytes: usize, sides: &'static [Side]) -> Line {
        Line { operation, bytes, sides, turns: vec![Vec::new(); sides.len()] }
    }

    pub fn add(&mut self, side: usize, value: f64) {
        self.turns[side].push(value);
    }

    fn of(&self, side: Side) -> Option<&[f64]> {
        let index = self.sides.iter().position(|&other| other == side)?;
        Some(&self.turns[index])
            .filter(|turns| turns.iter().all(|value| value.is_finite()))
            .map(Vec::as_slice)
    }

    /// The median over the turns.
    pub fn median(&self, side: Side) -> Option<f64> {
        self.of(side).and_then(|turns| quantile(turns.to_vec(), 0.5))
    }

    /// Quartiles of the ratios of two sides' neighbours in time; below 1 the first is faster.
    fn ratio(&self, a: Side, b: Side) -> Option<[f64; 3]> {
        if self.operation.unit() == Unit::Percent {
            return None;
        }
        let ratios: Vec<f64> = self.of(a)?.iter().zip(self.of(b)?).map(|(a, b)| a / b).collect();
        let at = |q| quantile(ratios.clone(), q);
        Some([at(0.25)?, at(0.5)?, at(0.75)?])
    }

    /// A median as the operation's unit has it.
    pub fn shown(&self, seconds: f64) -> f64 {
        match self.operation.unit() {
            Unit::Time => seconds * 1e6,
            Unit::Rate => self.bytes as f64 / seconds / 1e9,
            Unit::Percent => seconds * 100.0,
        }
    }
}

fn quantile(mut values: Vec<f64>, q: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(((values.len() as f64 - 1.0) * q).round() as usize).copied()
}

/// The pairs whose ratios are told.
const PAIRS: [(Side, Side); 3] = [(Side::Local, Side::Bare), (Side::Local, Side::C), (Side::Mpi, Side::C)];

fn pairs(stage: &Stage<'_>) -> impl Iterator<Item = (Side, Side)> {
    let sides = stage.sides();
    PAIRS.into_iter().filter(|(a, b)| sides.contains(a) && sides.contains(b))
}

/// The table's first lines.
pub fn heading(stage: &Stage<'_>) -> String {
    let library = match stage.world() {
        Some(_) => short_version(&rankine::launch::mpi_library().unwrap_or_default()),
        None => "Local engine only; under mpirun, MPI and C too".to_string(),
    };
    let mut text = format!("{} ranks on {} cores; {library}\n", stage.ranks(), super::pinning::cores().len());
    text += &format!("{:<22}{:>9} {:<7}", "operation", "bytes", "unit");
    for side in stage.sides() {
        text += &format!("{:>11}", side.name());
    }
    for (a, b) in pairs(stage) {
        text += &format!("{:>13}", format!("{}/{}", a.name(), b.name()));
    }
    text + "\n"
}

/// A line of the table.
pub fn row(line: &Line) -> String {
    let unit = match line.operation.unit() {
        Unit::Time => "us",
        Unit::Rate => "GB/s",
        Unit::Percent => "hidden%",
    };
    let mut text = format!("{:<22}{:>9} {unit:<7}", line.operation.name(), line.bytes);
    for &side in line.sides {
        match line.median(side) {
            Some(median) => text += &format!("{:>11}", digits(line.shown(median))),
            None => text += &format!("{:>11}", "-"),
        }
    }
    for (a, b) in PAIRS {
        if line.sides.contains(&a) && line.sides.contains(&b) {
            match line.ratio(a, b) {
                Some([_, median, _]) => text += &format!("{median:>13.3}"),
                None => text += &format!("{:>13}", "-"),
            }
        }
    }
    text + "\n"
}

/// Four significant digits.
fn digits(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.1}"),
        v if v >= 10.0 => format!("{value:.2}"),
        v if v >= 1.0 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}

/// Everything, for programs: medians in seconds an operation (shares for overlap), quartiles of the ratios.
pub fn json(stage: &Stage<'_>, lines: &[Line]) -> String {
    let rows: Vec<Value> = lines
        .iter()
        .map(|line| {
            let mut row = json!({ "operation": line.operation.name(), "bytes": line.bytes });
            for &side in line.sides {
                row[side.name()] = json!(line.median(side));
            }
            for (a, b) in pairs(stage) {
                row[format!("{}/{}", a.name(), b.name())] = json!(line.ratio(a, b));
            }
            row
        })
        .collect();
    let all = json!({
        "ranks": stage.ranks(),
        "cores": super::pinning::cores().len(),
        "mpi": stage.world().and_then(|_| rankine::launch::mpi_library()),
        "measurements": rows,
    });
    format!("{all:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios_are_of_neighbours() {
        let sides: &[Side] = &[Side::Mpi, Side::C];
        let mut line = Line::new(Operation::Latency, 8, sides);
        // The machine becomes ten times slower half-way; the ratio stays.
        for slow in [1.0, 1.0, 10.0, 10.0, 10.0] {
            line.add(0, 2e-7 * slow);
            line.add(1, 1e-7 * slow);
        }
        assert!((line.median(Side::Mpi).unwrap() - 2e-6).abs() < 1e-12);
        let [low, median, high] = line.ratio(Side::Mpi, Side::C).unwrap();
        assert!((low - 2.0).abs() + (median - 2.0).abs() + (high - 2.0).abs() < 1e-9);
        assert_eq!(line.median(Side::Local), None);
        assert!((line.shown(2e-6) - 2.0).abs() < 1e-12);
    }

    #[test]
    fn a_side_that_was_not_measured_is_a_dash() {
        let sides: &[Side] = &[Side::Bare, Side::Local];
        let mut line = Line::new(Operation::Bandwidth, 1 << 20, sides);
        line.add(0, f64::NAN);
        line.add(1, 1e-4);
        let row = row(&line);
        assert!(row.contains(" - ") && row.contains("10.49"), "{row}");
    }
}
