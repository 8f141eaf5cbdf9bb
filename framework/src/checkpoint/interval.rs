//! How often to make a checkpoint: every so many steps, every so much time, or as often as costs least.

use super::span::Span;
use crate::error::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How often a run is saved: `100` (steps), `10min` (time) or `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// After each so many steps.
    Steps(u64),
    /// Each time so much time has passed.
    Time(Span),
    /// As [`daly`] says, from what a checkpoint was measured to take and the mean time between failures.
    Auto,
}

/// The time between checkpoints that loses least, if one takes `cost` and something fails every `mtbf` on average:
/// the higher-order estimate of Daly, *Future Generation Computer Systems* 22 (2006), equation 37, whose first term is
/// Young's √(2·cost·mtbf) (*Communications of the ACM* 17, 1974). It is the time between the end of one and the
/// beginning of the next.
///
/// ```
/// use std::time::Duration;
/// let interval = rankine::checkpoint::daly(Duration::from_secs(60), Duration::from_secs(86400));
/// // √(2·60·86400) = 3219.94, times 1 + 0.018634/3 + 0.00034722/9, less 60.
/// assert!((interval.as_secs_f64() - 3180.06).abs() < 0.01);
/// ```
pub fn daly(cost: Duration, mtbf: Duration) -> Duration {
    let (cost, mtbf) = (cost.as_secs_f64(), mtbf.as_secs_f64());
    if cost >= 2.0 * mtbf {
        return Duration::try_from_secs_f64(mtbf).unwrap_or(Duration::MAX);
    }
    let ratio = cost / (2.0 * mtbf);
    let seconds = (2.0 * cost * mtbf).sqrt() * (1.0 + ratio.sqrt() / 3.0 + ratio / 9.0) - cost;
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

impl FromStr for Every {
    type Err = Error;

    fn from_str(text: &str) -> Result<Every> {
        match text.trim() {
            "auto" => Ok(Every::Auto),
            number if number.bytes().all(|byte| byte.is_ascii_digit()) && !number.is_empty() => {
                match number.parse() {
                    Ok(steps) if steps > 0 => Ok(Every::Steps(steps)),
                    _ => Err(Error::usage(format!("{text:?}: there is no such interval"))
                        .help("give one step or more")),
                }
            }
            text => text.parse().map(Every::Time).map_err(|_| {
                Error::usage(format!("{text:?} is neither steps nor a time"))
                    .help("write steps (100), a time (90s, 10min, 1.5h), or auto")
            }),
        }
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Every::Steps(steps) => write!(f, "{steps}"),
            Every::Time(span) => write!(f, "{span}"),
            Every::Auto => f.write_str("auto"),
        }
    }
}

impl Serialize for Every {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Every::Steps(steps) => to.serialize_u64(*steps),
            other => to.collect_str(other),
        }
    }
}

impl<'de> Deserialize<'de> for Every {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Every, D::Error> {
        /// Steps as a number, everything as text.
        struct Either;
        impl serde::de::Visitor<'_> for Either {
            type Value = Every;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("steps, a time such as \"10min\", or \"auto\"")
            }
            fn visit_u64<E: serde::de::Error>(self, steps: u64) -> std::result::Result<Every, E> {
                self.visit_str(&steps.to_string())
            }
            fn visit_i64<E: serde::de::Error>(self, steps: i64) -> std::result::Result<Every, E> {
                self.visit_str(&steps.to_string())
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<Every, E> {
                text.parse().map_err(|error: Error| E::custom(error.what()))
            }
        }
        from.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is lost on average, relative to the work: Daly's model (equation 13) with no time to restart.
    fn lost(interval: f64, cost: f64, mtbf: f64) -> f64 {
        mtbf * ((interval + cost) / mtbf).exp_m1() / interval
    }

    #[test]
    fn no_other_interval_loses_noticeably_less() {
        for (cost, mtbf) in [(1.0, 1e4), (60.0, 86400.0), (300.0, 3600.0), (0.01, 1e6)] {
            let best = daly(Duration::from_secs_f64(cost), Duration::from_secs_f64(mtbf)).as_secs_f64();
            let least = (1..4000)
                .map(|n| lost(best * f64::from(n) / 1000.0, cost, mtbf))
                .fold(f64::INFINITY, f64::min);
            assert!(lost(best, cost, mtbf) < least * 1.001, "{cost} {mtbf}: {best}");
        }
        assert_eq!(daly(Duration::from_secs(100), Duration::from_secs(40)), Duration::from_secs(40));
        assert_eq!(daly(Duration::ZERO, Duration::from_secs(40)), Duration::ZERO);
    }

    #[test]
    fn steps_times_and_auto() {
        #[derive(Serialize, Deserialize, PartialEq, Debug)]
        struct File {
            every: Every,
        }
        for (text, every, toml) in [
            ("100", Every::Steps(100), "every = 100\n"),
            ("10min", Every::Time("600s".parse().unwrap()), "every = \"600s\"\n"),
            ("auto", Every::Auto, "every = \"auto\"\n"),
        ] {
            assert_eq!(text.parse::<Every>().unwrap(), every);
            assert_eq!(toml::to_string(&File { every }).unwrap(), toml);
            assert_eq!(toml::from_str::<File>(toml).unwrap(), File { every });
        }
        for text in ["0", "", "ten", "5 parsecs", "99999999999999999999"] {
            assert_eq!(text.parse::<Every>().unwrap_err().exit_code(), 2, "{text}");
        }
        assert!(toml::from_str::<File>("every = -1").is_err());
    }
}
