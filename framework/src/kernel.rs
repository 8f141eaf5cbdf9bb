//! `Kernel`: what to compute. One struct is the parameters, one trait the equation; everything around them
//! (command line, job file, output, progress, timing, verification) is `run`'s business and costs no line here.
//!
//! A whole kernel, its parameters included:
//!
//! ```
//! use rankine::kernel::{Check, Verdict, Work};
//! use rankine::{Comm, Field, Grid, Kernel, Result, run::Output};
//! use std::ops::ControlFlow;
//!
//! /// Heat in an insulated plate that starts with a hot diamond in its middle.
//! #[derive(Clone, clap::Args, serde::Serialize, serde::Deserialize)]
//! struct Plate {
//!     /// Cells along each side
//!     #[arg(long, default_value_t = 256)]
//!     cells: usize,
//!     /// Time steps
//!     #[arg(long, default_value_t = 1000)]
//!     steps: u64,
//! }
//!
//! impl Kernel for Plate {
//!     const NAME: &'static str = "plate";
//!     const ABOUT: &'static str = "heat in an insulated plate";
//!     type Data = [Field<f64, 2>; 2];
//!
//!     fn steps(&self) -> Option<u64> {
//!         Some(self.steps)
//!     }
//!     fn init(&self, comm: &Comm) -> Result<Self::Data> {
//!         let (grid, half) = (Grid::new(comm, [self.cells; 2])?, self.cells / 2);
//!         let hot = |[y, x]: [usize; 2]| f64::from(y.abs_diff(half) + x.abs_diff(half) < half / 2);
//!         Ok([Field::from_fn(&grid, hot)?, Field::new(&grid, 0.0)?])
//!     }
//!     fn step(&self, _: &Comm, [now, next]: &mut Self::Data) -> Result<ControlFlow<()>> {
//!         next.update_from(now, |out, rows| {
//!             let (u, n, s) = (rows.at([0, 0]), rows.at([-1, 0]), rows.at([1, 0]));
//!             let (w, e) = (rows.at([0, -1]), rows.at([0, 1]));
//!             for i in 0..out.len() {
//!                 out[i] = u[i] + 0.2 * (n[i] + s[i] + w[i] + e[i] - 4.0 * u[i]);
//!             }
//!         })?;
//!         std::mem::swap(now, next);
//!         Ok(ControlFlow::Continue(()))
//!     }
//!     fn observe(&self, _: &Comm, [now, _]: &mut Self::Data, out: &mut Output) -> Result<()> {
//!         out.field("temperature", now)?;
//!         out.picture("plate", now)
//!     }
//!     fn verify(&self, _: &Comm, [now, _]: &mut Self::Data) -> Result<Verdict> {
//!         let r = (self.cells / 4) as f64;
//!         let diamond = if r > 0.0 { 2.0 * r * (r - 1.0) + 1.0 } else { 0.0 };
//!         Ok(Verdict::of([Check::new("heat lost or gained", (now.sum()? - diamond).abs(), 1e-9 * diamond)]))
//!     }
//!     fn work(&self, _: &Self::Data) -> Work {
//!         Work::of((self.cells * self.cells) as f64, "cells")
//!     }
//! }
//!
//! // In a program of its own: fn main() -> std::process::ExitCode { rankine::main::<Plate>() }
//! rankine::testing::ranks([1, 2, 3, 4], |world| {
//!     let summary = rankine::Run::new(Plate { cells: 21, steps: 50 }).on(world)?;
//!     assert!(matches!(summary.verdict, Verdict::Passed(_)), "{summary}");
//!     Ok(())
//! });
//! ```

use crate::checkpoint::State;
use crate::comm::Comm;
use crate::error::Result;
use crate::run::Output;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::ControlFlow;

/// What to compute; the type itself is the parameters.
///
/// A field of the struct is a flag, a key of a job file and a line of the help, all of its name
/// (`#[arg(long, …)]`; an `Option` may be left out of the file, everything else has a default or is asked for).
/// The module's page shows a whole kernel.
///
/// The runner calls `prepare`, `check`, `bytes_per_rank`, `init`, `observe`, then `step` with an `observe` at each interval
/// (and `persist` to save), `observe` at the end, `verify` and `checksum`; a run that is resumed calls `persist` after
/// `init`. Every rank must call what it calls of `comm` in the same order.
pub trait Kernel: clap::Args + Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The name on the command line, in lower case.
    const NAME: &'static str;
    /// One line for lists and help.
    const ABOUT: &'static str;
    /// What [`Kernel::verify`] compares with, for people who must decide whether to trust it.
    const VERIFIES: &'static str = "nothing: the kernel does not say";
    /// The parameters that may be other ones when a run is resumed, by the names of their fields.
    const MAY_CHANGE: &'static [&'static str] = &["steps"];
    /// What a rank holds while the kernel runs.
    type Data;

    /// Looks up what the parameters leave open, such as the shape of an input file; what it finds may be kept in fields
    /// marked `#[arg(skip)]` and `#[serde(skip)]`, which are neither flags nor keys. Called once, before everything
    /// else. Collective.
    ///
    /// # Errors
    /// What cannot be found.
    fn prepare(&mut self, comm: &Comm) -> Result<()> {
        let _ = comm;
        Ok(())
    }

    /// Refuses parameters that cannot be, before anything is allocated. Called on rank 0 only, and
    /// by tools that run nothing, without [`Kernel::prepare`] before it.
    ///
    /// # Errors
    /// What is wrong with the parameters, and which would do.
    fn check(&self, ranks: usize) -> Result<()> {
        let _ = ranks;
        Ok(())
    }

    /// The state before the first step. Collective.
    ///
    /// # Errors
    /// Where one rank may fail and others not, [`Comm::agree`] before the next communication.
    fn init(&self, comm: &Comm) -> Result<Self::Data>;

    /// One step; `Break` ends the run before the planned number of steps and must be said by all ranks alike.
    /// Collective.
    ///
    /// # Errors
    /// Any error ends the job.
    fn step(&self, comm: &Comm, data: &mut Self::Data) -> Result<ControlFlow<()>>;

    /// How many steps are planned; `None` goes on until `step` breaks.
    fn steps(&self) -> Option<u64> {
        None
    }

    /// How many of the steps come before the clock: they bring memory and caches to where they stay, and count as setup.
    /// All ranks begin the next one together.
    fn warm_up(&self) -> u64 {
        0
    }

    /// Hands scalars, fields and pictures to `out`: before the first step, after every interval, and at the end.
    /// It may use `data` for scratch but must leave the coming steps as they would be without it. Collective.
    ///
    /// # Errors
    /// Any error ends the job.
    fn observe(&self, comm: &Comm, data: &mut Self::Data, out: &mut Output) -> Result<()> {
        let _ = (comm, data, out);
        Ok(())
    }

    /// Names everything that the coming steps depend on and `init` does not make the same again; this is all a kernel
    /// needs to be saved and resumed, on any number of ranks. One body does both: it is called after some step to save
    /// `data`, and on what `init` has made to restore it; once before the first step only to look. Collective.
    ///
    /// Without it a run has no checkpoints, and a signal or a time limit ends it where it is. [`crate::checkpoint`] has an
    /// example.
    ///
    /// # Errors
    /// Those of `state`'s methods.
    fn persist(&self, data: &mut Self::Data, state: &mut State) -> Result<()> {
        let _ = (data, state);
        Ok(())
    }

    /// Compares the answer with an analytic or published one; the same verdict on every rank. Collective.
    ///
    /// # Errors
    /// A wrong answer is no error but [`Verdict::Failed`].
    fn verify(&self, comm: &Comm, data: &mut Self::Data) -> Result<Verdict> {
        let _ = (comm, data);
        Ok(Verdict::NotChecked("this kernel has no verification".to_string()))
    }

    /// A number that is the same for the same answer, whatever the number of ranks; `None` where there is none.
    /// Collective.
    ///
    /// # Errors
    /// Those of its communication.
    fn checksum(&self, comm: &Comm, data: &Self::Data) -> Result<Option<u64>> {
        let _ = (comm, data);
        Ok(None)
    }

    /// The memory the largest rank of `ranks` needs, so that too much is refused instead of killed halfway.
    /// Called on rank 0 only, after [`Kernel::check`].
    fn bytes_per_rank(&self, ranks: usize) -> Option<u64> {
        let _ = ranks;
        None
    }

    /// The work of one step over all ranks, for the rate. Local.
    fn work(&self, data: &Self::Data) -> Work {
        let _ = data;
        Work::default()
    }

    /// The rates that the kernel's specification asks for, by its own formula and in its own words, for people who compare
    /// with other programs of it; none where there is no such thing. Asked only of a run that verifies. Local.
    fn quoted(&self, data: &Self::Data, timed: Timed) -> Vec<Quoted> {
        let _ = (data, timed);
        Vec::new()
    }
}

/// What the clock has seen of a run, on its slowest rank: without warm-up and output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timed {
    /// Steps.
    pub steps: u64,
    /// Their seconds.
    pub seconds: f64,
}

/// A rate in the words of a specification. It is written `Rate (MFlops/s): 1234.500000  Avg time (s): 0.016203`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quoted {
    /// What is before the figure.
    pub label: String,
    /// The rate, in the label's unit.
    pub rate: f64,
    /// What is before the time.
    pub time_label: &'static str,
    /// Seconds: of a step, or of all of them.
    pub time: f64,
}

impl Quoted {
    /// `amount` of `unit` a step, with the mean time of one.
    pub fn per_step(unit: &str, amount: f64, timed: Timed) -> Quoted {
        let time = timed.seconds / timed.steps as f64;
        Quoted { label: format!("Rate ({unit})"), rate: amount / time, time_label: "Avg time (s)", time }
    }

    /// `amount` of `unit` in all, with the time of it.
    pub fn in_all(unit: &str, amount: f64, seconds: f64) -> Quoted {
        Quoted {
            label: format!("Rate ({unit})"),
            rate: amount / seconds,
            time_label: "Time (s)",
            time: seconds,
        }
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:.6}  {}: {:.6}", self.label, self.rate, self.time_label, self.time)
    }
}

/// The work of one step, over all ranks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Work {
    /// Things done, in `unit`s.
    pub units: f64,
    /// What is counted, as a plural: `cells`, `particles`; `steps` if nothing better is known.
    pub unit: &'static str,
    /// Floating-point operations, zero where nobody counted.
    pub flops: f64,
    /// Bytes that must pass between memory and processor, zero where nobody counted.
    pub bytes: f64,
}

impl Default for Work {
    fn default() -> Self {
        Work::of(1.0, "steps")
    }
}

impl Work {
    /// That many of `unit` a step.
    pub const fn of(units: f64, unit: &'static str) -> Work {
        Work { units, unit, flops: 0.0, bytes: 0.0 }
    }

    /// Adds the floating-point operations of one unit.
    pub const fn flops_each(mut self, flops: f64) -> Work {
        self.flops = flops * self.units;
        self
    }

    /// Adds the memory traffic of one unit, in bytes.
    pub const fn bytes_each(mut self, bytes: f64) -> Work {
        self.bytes = bytes * self.units;
        self
    }
}

/// Whether the answer is right, and how one knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[must_use]
pub enum Verdict {
    /// Every comparison is within its tolerance.
    Passed(Vec<Check>),
    /// At least one is not.
    Failed(Vec<Check>),
    /// There was nothing to compare with, and why.
    NotChecked(String),
}

impl Verdict {
    /// Passed if all checks hold; not checked if there are none.
    pub fn of(checks: impl IntoIterator<Item = Check>) -> Verdict {
        let checks: Vec<Check> = checks.into_iter().collect();
        if checks.is_empty() {
            Verdict::NotChecked("nothing to compare with".to_string())
        } else if checks.iter().all(Check::holds) {
            Verdict::Passed(checks)
        } else {
            Verdict::Failed(checks)
        }
    }

    /// `passed`, `FAILED` or `not checked`.
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Passed(_) => "passed",
            Verdict::Failed(_) => "FAILED",
            Verdict::NotChecked(_) => "not checked",
        }
    }

    /// The comparisons made.
    pub fn checks(&self) -> &[Check] {
        match self {
            Verdict::Passed(checks) | Verdict::Failed(checks) => checks,
            Verdict::NotChecked(_) => &[],
        }
    }
}

/// One comparison: a figure that must not exceed a limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What the figure is.
    pub what: String,
    /// What was found.
    pub figure: f64,
    /// The largest figure that is right.
    pub limit: f64,
}

impl Check {
    /// Right if `figure` is at most `limit`.
    pub fn new(what: impl Into<String>, figure: f64, limit: f64) -> Check {
        Check { what: what.into(), figure, limit }
    }

    /// Whether it is right; never with a NaN.
    pub fn holds(&self) -> bool {
        self.figure <= self.limit
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let relation = if self.holds() { "within" } else { "NOT within" };
        write!(f, "{}: {:.3e}, {relation} {:.3e}", self.what, self.figure, self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_is_no_number_fails() {
        assert!(matches!(Verdict::of([Check::new("error", f64::NAN, 1.0)]), Verdict::Failed(_)));
        assert!(matches!(Verdict::of([Check::new("error", 0.0, 0.0)]), Verdict::Passed(_)));
        assert!(matches!(Verdict::of([]), Verdict::NotChecked(_)));
    }
}
