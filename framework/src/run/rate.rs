//! Rates and sizes as people read them. It measures nothing.

use crate::kernel::Work;
use serde::Serialize;

/// How fast a run went: work over the time spent in compute and communication, output not counted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// Units a second.
    pub units_per_second: f64,
    /// What is counted.
    pub unit: &'static str,
    /// Floating-point operations a second, where the kernel counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flops_per_second: Option<f64>,
    /// Bytes a second between memory and processor, where the kernel counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<f64>,
}

impl Rate {
    /// `steps` steps of `work` in `seconds`; zero where no time has passed.
    pub(crate) fn new(work: Work, steps: u64, seconds: f64) -> Rate {
        let per_second = |amount: f64| if seconds > 0.0 { amount * steps as f64 / seconds } else { 0.0 };
        let counted = |amount: f64| (amount > 0.0).then(|| per_second(amount));
        Rate {
            units_per_second: per_second(work.units),
            unit: work.unit,
            flops_per_second: counted(work.flops),
            bytes_per_second: counted(work.bytes),
        }
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}/s", scaled(self.units_per_second), self.unit)?;
        if let Some(flops) = self.flops_per_second {
            write!(f, ", {}FLOP/s", scaled(flops))?;
        }
        if let Some(bytes) = self.bytes_per_second {
            write!(f, ", {}B/s", scaled(bytes))?;
        }
        Ok(())
    }
}

/// A number with three figures, a space and a decimal prefix: `1.25 G`.
pub fn scaled(value: f64) -> String {
    const PREFIXES: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    let (mut value, mut at) = (value, 0);
    // 999.5 would be shown as 1000.
    while value.abs() >= 999.5 && at + 1 < PREFIXES.len() {
        value /= 1000.0;
        at += 1;
    }
    let decimals = match value.abs() {
        v if v == 0.0 || v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$} {}", PREFIXES[at])
}

/// A duration as `0.42 s`, `1 min 05 s` or `3 h 20 min`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "unknown".to_string();
    }
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..10 => format!("{seconds:.2} s"),
        10..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_figures_and_a_prefix() {
        for (value, text) in [
            (0.0, "0 "),
            (0.25, "0.25 "),
            (9.999, "10.0 "),
            (999.4, "999 "),
            (999.6, "1.00 k"),
            (1.254e9, "1.25 G"),
            (3e22, "30000 E"),
        ] {
            assert_eq!(scaled(value), text);
        }
    }

    #[test]
    fn durations_in_the_unit_that_fits() {
        assert_eq!(duration(0.4219), "0.42 s");
        assert_eq!(duration(59.4), "59.4 s");
        assert_eq!(duration(65.2), "1 min 05 s");
        assert_eq!(duration(12_000.0), "3 h 20 min");
    }

    #[test]
    fn a_run_without_time_has_rate_zero() {
        let rate = Rate::new(Work::of(1e6, "cells").flops_each(8.0), 10, 0.0);
        assert_eq!(
            (rate.units_per_second, rate.flops_per_second, rate.bytes_per_second),
            (0.0, Some(0.0), None)
        );
        assert_eq!(Rate::new(Work::of(1e6, "cells"), 10, 0.01).to_string(), "1.00 Gcells/s");
    }
}
