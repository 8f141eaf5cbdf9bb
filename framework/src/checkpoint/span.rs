//! A time as a person writes it: `90s`, `10min`, `1.5h`, `2d`, `1:30:00`, `1-12:00:00`.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A span of time, of flags and job files. Written with a unit (`s`, `min`, `h`, `d`) or as Slurm has it
/// (`minutes:seconds`, `hours:minutes:seconds`, `days-hours:minutes:seconds`).
///
/// ```
/// use rankine::checkpoint::Span;
/// assert_eq!("1.5h".parse::<Span>()?, "1:30:00".parse()?);
/// assert_eq!("90s".parse::<Span>()?.to_string(), "90s");
/// # Ok::<(), rankine::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

const UNITS: [(&str, f64); 10] = [
    ("ms", 1e-3),
    ("seconds", 1.0),
    ("sec", 1.0),
    ("minutes", 60.0),
    ("min", 60.0),
    ("hours", 3600.0),
    ("days", 86400.0),
    ("s", 1.0),
    ("h", 3600.0),
    ("d", 86400.0),
];

impl Span {
    /// The time itself.
    pub fn duration(self) -> Duration {
        self.0
    }
}

/// Seconds of `[days-]hours:minutes:seconds` or `minutes:seconds`.
fn clock(text: &str) -> Option<f64> {
    let (days, rest) = match text.split_once('-') {
        Some((days, rest)) => (days.parse::<u32>().ok()?, rest),
        None => (0, text),
    };
    let parts: Vec<u32> = rest.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let seconds = match parts[..] {
        [hours, minutes, seconds] => {
            3600.0 * f64::from(hours) + 60.0 * f64::from(minutes) + f64::from(seconds)
        }
        // After days Slurm reads hours and minutes.
        [hours, minutes] if text.contains('-') => 3600.0 * f64::from(hours) + 60.0 * f64::from(minutes),
        [hours] if text.contains('-') => 3600.0 * f64::from(hours),
        [minutes, seconds] => 60.0 * f64::from(minutes) + f64::from(seconds),
        _ => return None,
    };
    Some(86400.0 * f64::from(days) + seconds)
}

impl FromStr for Span {
    type Err = Error;

    fn from_str(text: &str) -> Result<Span> {
        let text = text.trim();
        let with_unit = UNITS.iter().find_map(|(unit, seconds)| {
            let number = text.strip_suffix(unit)?.trim().parse::<f64>().ok()?;
            Some(number * seconds)
        });
        let seconds = with_unit.or_else(|| clock(text).filter(|_| text.contains([':', '-'])));
        let span = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        span.filter(|span| !span.is_zero()).map(Span).ok_or_else(|| {
            Error::usage(format!("{text:?} is no span of time"))
                .help("write a number and its unit, such as 90s, 10min, 1.5h or 2d, or hours:minutes:seconds")
        })
    }
}

impl TryFrom<String> for Span {
    type Error = Error;

    fn try_from(text: String) -> Result<Span> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> String {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_and_slurm_write_them() {
        for (text, seconds) in [
            ("90s", 90.0),
            ("250ms", 0.25),
            ("10min", 600.0),
            ("1.5 h", 5400.0),
            ("2d", 172_800.0),
            ("1:30", 90.0),
            ("1:30:00", 5400.0),
            ("1-0:0:1", 86401.0),
            ("2-12", 216_000.0),
            ("1-02:30", 95400.0),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.0.as_secs_f64(), seconds, "{text}");
            assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
        }
        for text in ["", "10", "-5s", "s", "1:2:3:4", "nan s", "inf h", "1e30d", "0s", "ten min", "1:-2"] {
            assert_eq!(text.parse::<Span>().unwrap_err().exit_code(), 2, "{text}");
        }
    }
}
