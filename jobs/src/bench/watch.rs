//! `rankine bench watch`: how often the watch is right, on random programs of the Local engine, correct and with one mistake each.
//!
//! What must come of a program is thought through by a model that knows nothing of the watch; see
//! `rankine::testing::random`.

use rankine::run::show;
use rankine::testing::random::{Expected, Fault, Observed, Program, Verdict};
use rankine::{Error, Result};
use std::time::Duration;

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Watch {
    /// How many random programs: each as it is, and with each kind of mistake
    #[arg(long, value_name = "N", default_value_t = 200)]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    first: u64,
    /// Milliseconds that a rank may be blocked before the watch asks why
    #[arg(long, value_name = "MS", default_value_t = 1.0)]
    patience: f64,
    /// Seconds after which a program is taken to hang
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    limit: f64,
    /// Show each program of which the watch was wrong, on standard output
    #[arg(long)]
    explain: bool,
    /// Print JSON instead of the table
    #[arg(long)]
    json: bool,
}

/// What came of the programs with one kind of mistake.
#[derive(Clone, Debug, Default, serde::Serialize)]
struct Row {
    fault: &'static str,
    programs: u64,
    /// They must wait for ever, or a call must fail.
    must_break: u64,
    /// Of these: reported, with the right ranks and calls.
    named: u64,
    /// Reported otherwise.
    misnamed: u64,
    /// Waited for ever without a report.
    missed: u64,
    /// They must end well.
    harmless: u64,
    /// Of these and the correct ones: reported, or hung.
    false_reports: u64,
    /// The order of events decides; how many of these were reported.
    either: u64,
    either_reported: u64,
}

/// Does it.
///
/// # Errors
/// A flag that cannot be.
pub fn watch(wanted: &Watch) -> Result<()> {
    let time = |name: &str, value: f64| {
        Duration::try_from_secs_f64(value).map_err(|_| Error::usage(format!("--{name}: not a time")))
    };
    let (patience, limit) = (time("patience", wanted.patience / 1e3)?, time("limit", wanted.limit)?);
    let mut rows = vec![Row { fault: "none", ..Row::default() }];
    rows.extend(Fault::ALL.map(|fault| Row { fault: fault.name(), ..Row::default() }));
    for seed in wanted.first..wanted.first.saturating_add(wanted.seeds) {
        let program = Program::new(seed);
        let broken = Fault::ALL.map(|fault| program.with(fault));
        for (row, program) in rows.iter_mut().zip(std::iter::once(Some(program)).chain(broken)) {
            let Some(program) = program else { continue };
            let observed = program.run_on_threads(patience, limit);
            let verdict = row.add(&program, &observed);
            if wanted.explain && !matches!(verdict, Verdict::Finished | Verdict::Named) {
                show(&format!("{} in seed {seed}: {verdict:?}\n{}\n", row.fault, program.describe()));
            }
        }
    }
    show(&if wanted.json { json(wanted, &rows) } else { table(&rows) });
    Ok(())
}

impl Row {
    fn add(&mut self, program: &Program, observed: &Observed) -> Verdict {
        let (expected, verdict) = (program.expected(), program.judge(observed));
        self.programs += 1;
        // What no order has shown that was thought through first.
        let expected = match (expected, &verdict) {
            (Expected::Finishes, Verdict::Named) | (Expected::Breaks, Verdict::Finished) => Expected::Either,
            _ => expected,
        };
        match expected {
            Expected::Finishes => {
                self.harmless += 1;
                self.false_reports += u64::from(verdict != Verdict::Finished);
            }
            Expected::Breaks => self.must_break += 1,
            Expected::Either => {
                self.either += 1;
                self.either_reported += u64::from(matches!(observed, Observed::Failed(_)));
            }
        }
        if expected != Expected::Finishes {
            self.missed += u64::from(matches!(verdict, Verdict::Missed | Verdict::Astonishing));
            self.misnamed += u64::from(matches!(verdict, Verdict::Misnamed(_)));
            self.named += u64::from(expected == Expected::Breaks && verdict == Verdict::Named);
        }
        verdict
    }

    /// Of those that must break, the part that was reported.
    fn recall(&self) -> f64 {
        part(self.named + self.misnamed, self.named + self.misnamed + self.missed)
    }

    /// Of the reports, the part that was right.
    fn precision(&self) -> f64 {
        part(self.named, self.named + self.misnamed + self.false_reports)
    }
}

fn part(some: u64, all: u64) -> f64 {
    if all == 0 { 1.0 } else { some as f64 / all as f64 }
}

fn sum(rows: &[Row]) -> Row {
    rows.iter().fold(Row { fault: "all", ..Row::default() }, |a, b| Row {
        fault: a.fault,
        programs: a.programs + b.programs,
        must_break: a.must_break + b.must_break,
        named: a.named + b.named,
        misnamed: a.misnamed + b.misnamed,
        missed: a.missed + b.missed,
        harmless: a.harmless + b.harmless,
        false_reports: a.false_reports + b.false_reports,
        either: a.either + b.either,
        either_reported: a.either_reported + b.either_reported,
    })
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<23} {:>8} {:>10} {:>6} {:>8} {:>6} {:>8} {:>5} {:>14} {:>7} {:>9}\n",
        "mistake",
        "programs",
        "must break",
        "named",
        "misnamed",
        "missed",
        "harmless",
        "false",
        "either (told)",
        "recall",
        "precision"
    );
    for row in rows.iter().chain([&sum(rows)]) {
        text += &format!(
            "{:<23} {:>8} {:>10} {:>6} {:>8} {:>6} {:>8} {:>5} {:>14} {:>6.2}% {:>8.2}%\n",
            row.fault,
            row.programs,
            row.must_break,
            row.named,
            row.misnamed,
            row.missed,
            row.harmless,
            row.false_reports,
            format!("{} ({})", row.either, row.either_reported),
            100.0 * row.recall(),
            100.0 * row.precision()
        );
    }
    text
}

fn json(wanted: &Watch, rows: &[Row]) -> String {
    let all = sum(rows);
    let object = serde_json::json!({
        "seeds": wanted.seeds,
        "first": wanted.first,
        "patience_ms": wanted.patience,
        "recall": all.recall(),
        "precision": all.precision(),
        "rows": rows,
    });
    format!("{object:#}\n")
}
