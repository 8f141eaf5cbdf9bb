//! `FILE.h5:/dataset`, as a person names an input.
//!
//! Text only: whether the file and the dataset are there is `reader`'s business.

use crate::error::{Error, Result};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A file and, if it was named, the dataset in it.
///
/// The text is split at its last `:` that is followed by `/`, so paths may contain colons:
///
/// ```
/// use rankine::output::InputSpec;
/// let spec: InputSpec = "scans/12:30/brain.h5:/t1".parse()?;
/// assert_eq!(spec.file().to_str(), Some("scans/12:30/brain.h5"));
/// assert_eq!(spec.dataset(), Some("/t1"));
/// assert_eq!("brain.h5".parse::<InputSpec>()?.dataset(), None);
/// # Ok::<(), rankine::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InputSpec {
    file: PathBuf,
    dataset: Option<String>,
}

impl InputSpec {
    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The dataset, from the root of the file; without one, the file must have just one.
    pub fn dataset(&self) -> Option<&str> {
        self.dataset.as_deref()
    }
}

impl FromStr for InputSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (file, dataset) = match text.rfind(":/") {
            Some(at) => (&text[..at], Some(text[at + 1..].to_string())),
            None => (text, None),
        };
        let bad = |what: &str| {
            Err(Error::usage(format!("input {text:?}: {what}"))
                .help("write FILE.h5:/dataset, or only FILE.h5"))
        };
        if file.is_empty() {
            return bad("no file is named");
        }
        if text.contains('\0') {
            return bad("a name cannot contain a zero byte");
        }
        if dataset.as_deref().is_some_and(|dataset| dataset.trim_matches('/').is_empty()) {
            return bad("no dataset is named after the colon");
        }
        Ok(InputSpec { file: file.into(), dataset })
    }
}

impl TryFrom<String> for InputSpec {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<InputSpec> for String {
    fn from(spec: InputSpec) -> String {
        spec.to_string()
    }
}

impl fmt::Display for InputSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        match &self.dataset {
            Some(dataset) => write!(f, ":{dataset}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_the_last_colon_before_a_slash() {
        for (text, file, dataset) in [
            ("a.h5", "a.h5", None),
            ("a.h5:/t1", "a.h5", Some("/t1")),
            ("a.h5:/group/t1", "a.h5", Some("/group/t1")),
            ("a:b.h5", "a:b.h5", None),
            ("x:/y/a.h5:/t1", "x:/y/a.h5", Some("/t1")),
            ("/abs/a.h5:/t:1", "/abs/a.h5", Some("/t:1")),
        ] {
            let spec: InputSpec = text.parse().unwrap();
            assert_eq!((spec.file().to_str().unwrap(), spec.dataset()), (file, dataset), "{text}");
            assert_eq!(spec.to_string(), text);
        }
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for text in ["", ":/t1", "a.h5:/", "a.h5://", "a\0.h5"] {
            assert_eq!(text.parse::<InputSpec>().unwrap_err().exit_code(), 2, "{text:?}");
        }
    }
}
