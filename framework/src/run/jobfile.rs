//! Job files: a run written down in TOML.
//!
//! ```toml
//! kernel = "heat3d"      # may be left out where the command line says it
//!
//! [parameters]           # the kernel's parameters, named as its flags
//! cells = [64, 48, 32]
//! steps = 300
//!
//! [run]                  # the run's options, named as their flags
//! every = 100
//!
//! [slurm]                # resources, read by `rankine submit` alone
//! time = "0:30:00"
//! ```
//!
//! Paths in it are relative to the working directory, as on the command line. This file reads tables; what their
//! keys mean is `parameters`' business.

use super::nearest::nearest;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// What a job file may hold at its top.
const TOP: [&str; 4] = ["kernel", "parameters", "run", "slurm"];

/// A job file that is well-formed TOML with the right tables.
#[derive(Clone, Debug)]
pub struct JobFile {
    path: PathBuf,
    text: String,
    content: Table,
}

impl JobFile {
    /// Reads a file.
    ///
    /// # Errors
    /// A file that cannot be read ([`ErrorKind::Io`](crate::ErrorKind::Io)), is no TOML, or holds an unknown table.
    pub fn read(path: &Path) -> Result<JobFile> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::io(format!("cannot read the job file {}: {error}", path.display()))
                .help("give the path of a TOML file; relative paths start at the working directory")
        })?;
        JobFile::parse(path, text)
    }

    fn parse(path: &Path, text: String) -> Result<JobFile> {
        let content: Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map(|span| text[..span.start.min(text.len())].lines().count().max(1));
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
            Error::usage(format!(
                "{}{line}: not TOML: {}",
                path.display(),
                error.message().replace('\n', ", ")
            ))
            .help("keys are `name = value`, text is in quotes, lists in [ ]")
        })?;
        let file = JobFile { path: path.to_path_buf(), text, content };
        for (key, value) in &file.content {
            let wanted = if key == "kernel" { "a name in quotes" } else { "a table" };
            match value {
                _ if !TOP.contains(&key.as_str()) => return Err(file.unknown(key, TOP)),
                Value::String(_) if key == "kernel" => {}
                Value::Table(_) if key != "kernel" => {}
                _ => return Err(file.wrong(key, &format!("expected {wanted}, found {}", value.type_str()))),
            }
        }
        Ok(file)
    }

    /// The kernel it is for, where it says so.
    pub fn kernel(&self) -> Option<&str> {
        self.content.get("kernel")?.as_str()
    }

    /// The file's path, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One of its tables.
    pub(super) fn table(&self, name: &str) -> Option<&Table> {
        self.content.get(name)?.as_table()
    }

    /// The error for a key that means nothing here.
    pub(super) fn unknown<'k>(&self, key: &str, known: impl IntoIterator<Item = &'k str> + Clone) -> Error {
        let help = match nearest(key, known.clone()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("known are: {}", known.into_iter().collect::<Vec<_>>().join(", ")),
        };
        Error::usage(format!("{}: unknown key `{key}`", self.place(key))).help(help)
    }

    /// The error for a value that is not what the key asks for.
    pub(super) fn wrong(&self, key: &str, what: &str) -> Error {
        Error::usage(format!("{}: `{key}`: {what}", self.place(key)))
    }

    /// `path:line` of the first line that sets `key`, as far as a look at the text can tell.
    fn place(&self, key: &str) -> String {
        let sets = |line: &str| {
            let line = line.trim_start().trim_start_matches(['[', '"']);
            let rest = line.strip_prefix(key)?.trim_start_matches(['"', ' ', '\t']);
            (rest.starts_with('=') || rest.starts_with(']')).then_some(())
        };
        let path = self.path.display();
        match self.text.lines().position(|line| sets(line).is_some()) {
            Some(line) => format!("{path}:{}", line + 1),
            None => path.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<JobFile> {
        JobFile::parse(Path::new("job.toml"), text.to_string())
    }

    #[test]
    fn tables_and_kernel() {
        let file = parse("kernel = \"heat3d\"\n[run]\nevery = 3\n").unwrap();
        assert_eq!(file.kernel(), Some("heat3d"));
        assert_eq!(file.table("run").unwrap()["every"].as_integer(), Some(3));
        assert!(file.table("parameters").is_none());
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, expected) in [
            ("kernel = \"a\"\n[paramters]\n", "job.toml:2: unknown key `paramters`"),
            ("kernel = 3", "job.toml:1: `kernel`: expected a name in quotes, found integer"),
            ("\nrun = 3", "job.toml:2: `run`: expected a table, found integer"),
            ("a = 1\nb = = 2", "job.toml:2: not TOML"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.what().starts_with(expected), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
        assert!(parse("[paramters]").unwrap_err().to_string().contains("did you mean `parameters`?"));
    }

    #[test]
    fn a_missing_file_is_an_error_of_input() {
        assert_eq!(JobFile::read(Path::new("/no/such/file.toml")).unwrap_err().exit_code(), 4);
    }
}
