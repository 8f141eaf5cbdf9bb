//! `Z,Y,X`, or one number for all three axes: how people give sizes, spacings and modes of a box.
//!
//! It reads and writes; what the numbers mean is the kernel's business.

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::str::FromStr;

/// Three values, one for each axis, slowest first.
///
/// ```
/// use rankine_kernels::Triple;
/// assert_eq!("64".parse::<Triple<usize>>(), Ok(Triple([64; 3])));
/// assert_eq!("3,4,5".parse::<Triple<usize>>(), Ok(Triple([3, 4, 5])));
/// assert!("3,4".parse::<Triple<usize>>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Triple<T>(pub [T; 3]);

impl<T: Copy + FromStr> FromStr for Triple<T>
where
    T::Err: fmt::Display,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let values = text
            .split(',')
            .map(|part| part.trim().parse::<T>().map_err(|error| format!("{part:?}: {error}")))
            .collect::<Result<Vec<T>, String>>()?;
        Self::from_slice(&values)
    }
}

impl<T: Copy> Triple<T> {
    fn from_slice(values: &[T]) -> Result<Self, String> {
        match values {
            &[all] => Ok(Triple([all; 3])),
            &[z, y, x] => Ok(Triple([z, y, x])),
            other => Err(format!("one value or three with commas are needed, {} are given", other.len())),
        }
    }
}

impl<T: fmt::Display> fmt::Display for Triple<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [z, y, x] = &self.0;
        write!(f, "{z},{y},{x}")
    }
}

impl<'de, T: Copy + FromStr + Deserialize<'de>> Deserialize<'de> for Triple<T>
where
    T::Err: fmt::Display,
{
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected one number, or three in a list")]
        enum Given<T> {
            One(T),
            Three([T; 3]),
            Text(String),
        }
        match Given::<T>::deserialize(from)? {
            Given::One(value) => Ok(Triple([value; 3])),
            Given::Three(values) => Ok(Triple(values)),
            Given::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_triple_is_said() {
        assert!("".parse::<Triple<usize>>().unwrap_err().contains("\"\""));
        assert!("1,-2,3".parse::<Triple<usize>>().unwrap_err().contains("\"-2\""));
        assert!("1,2,3,4".parse::<Triple<f64>>().unwrap_err().contains("4 are given"));
        assert_eq!("0.5, 1,2".parse::<Triple<f64>>().unwrap().to_string(), "0.5,1,2");
    }
}
