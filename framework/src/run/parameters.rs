//! One struct, three sources: the command line overrides the job file, which overrides the defaults.
//!
//! The struct derives `clap::Args` and serde; a field's name is its flag and its key (`wall_value`, `--wall-value`;
//! `wall-value` in a file will do as well). Which parameters there are is the struct's business alone.

use super::jobfile::JobFile;
use crate::error::{Error, Result};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Args, Command};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ffi::OsString;
use toml::{Table, Value};

/// The parameters `P` out of a parsed command line and a table of a job file.
///
/// # Errors
/// A key of the table that is no parameter, or a value of the wrong type.
pub fn merge<P>(matches: &ArgMatches, file: Option<(&JobFile, &str)>) -> Result<P>
where
    P: Args + Serialize + DeserializeOwned,
{
    let given = P::from_arg_matches(matches).map_err(|error| super::command::usage(&error, "--help"))?;
    let Some((file, section)) = file else { return Ok(given) };
    let Some(keys) = file.table(section) else { return Ok(given) };
    let names = names::<P>();
    let mut merged = table(&given)?;
    for (name, value) in keys {
        if !names.contains(name) {
            return Err(file.unknown(section, name, names.iter().map(String::as_str)));
        }
        let with = |value: &Value| {
            let mut with = merged.clone();
            with.insert(name.clone(), value.clone());
            with.clone().try_into::<P>().map(|_| with)
        };
        let with_this = with(value).or_else(|error| {
            file.others(section, name).iter().find_map(|other| with(other).ok()).ok_or(error)
        });
        let with_this = with_this.map_err(|error| {
            // The key and the file are named already; serde adds "in `key`" on a line of its own.
            let what = error.message().lines().next().unwrap_or_default();
            file.wrong(section, name, what)
                .help(format!("it takes what --{} takes on the command line", name.replace('_', "-")))
        })?;
        if matches.value_source(name) != Some(ValueSource::CommandLine) {
            merged = with_this;
        }
    }
    merged.try_into().map_err(|error| file.wrong("", section, error.message()))
}

/// A struct of parameters as a table; what is `None` is left out.
pub(super) fn table<P: Serialize>(parameters: &P) -> Result<Table> {
    Table::try_from(parameters)
        .map_err(|error| Error::usage(format!("the parameters cannot be written as TOML: {error}")))
}

/// The names of `P`'s parameters.
pub(super) fn names<P: Args>() -> Vec<String> {
    P::augment_args(Command::new("")).get_arguments().map(|arg| arg.get_id().to_string()).collect()
}

/// Adds `P` to a command, under a heading.
pub(super) fn augment<P: Args>(command: Command, heading: &'static str) -> Command {
    let mut command = P::augment_args(command);
    for name in names::<P>() {
        command = command.mut_arg(name, |arg| arg.help_heading(heading));
    }
    command
}

/// Writes `--flag -1,2` as `--flag=-1,2`: what begins like a negative number is a value and no unknown flag.
pub(super) fn joined(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    for word in words {
        let bytes = word.as_encoded_bytes();
        let negative = matches!(bytes, [b'-', b'0'..=b'9' | b'.', ..]);
        match joined.last_mut() {
            Some(flag) if negative && is_long(flag) => {
                flag.push("=");
                flag.push(&word);
            }
            _ => joined.push(word),
        }
    }
    joined
}

fn is_long(word: &OsString) -> bool {
    let bytes = word.as_encoded_bytes();
    bytes.len() > 2 && bytes.starts_with(b"--") && !bytes.contains(&b'=')
}

/// A required flag that the job file gives need not be on the command line: its text becomes the default.
pub(super) fn supplied<P: Args>(command: Command, file: &JobFile, section: &str) -> Command {
    let Some(keys) = file.table(section) else { return command };
    let required: Vec<String> = P::augment_args(Command::new(""))
        .get_arguments()
        .filter(|arg| arg.is_required_set())
        .map(|arg| arg.get_id().to_string())
        .collect();
    keys.iter().fold(command, |command, (name, value)| {
        match text(value).filter(|_| required.contains(name)) {
            Some(text) => command.mut_arg(name, |arg| arg.required(false).default_value(text)),
            None => command,
        }
    })
}

/// A value as one would write it after a flag.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(values) => Some(values.iter().map(text).collect::<Option<Vec<_>>>()?.join(",")),
        Value::Table(_) => None,
        other => Some(other.to_string()),
    }
}

/// The flags of `P` that stood on the command line, to be written on another one.
pub(super) fn given<P: Args>(matches: &ArgMatches) -> Vec<OsString> {
    let command = P::augment_args(Command::new(""));
    let mut words = Vec::new();
    for arg in command.get_arguments() {
        let id = arg.get_id().as_str();
        if matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        let flag = arg.get_long().map(|long| OsString::from(format!("--{long}")));
        if !arg.get_action().takes_values() {
            let times = if matches!(arg.get_action(), ArgAction::Count) { matches.get_count(id) } else { 1 };
            words.extend((0..times).filter_map(|_| flag.clone()));
            continue;
        }
        for value in matches.get_raw(id).into_iter().flatten() {
            let mut word = flag.clone().unwrap_or_default();
            if flag.is_some() {
                word.push("=");
            }
            word.push(value);
            words.push(word);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::path::{Path, PathBuf};

    #[derive(Clone, Debug, PartialEq, Args, Serialize, Deserialize)]
    struct Sample {
        #[arg(long, default_value_t = 10)]
        steps: u64,
        #[arg(long)]
        wall_value: Option<f64>,
        #[arg(long, value_delimiter = ',', default_value = "1,2")]
        weights: Vec<f64>,
        #[arg(long)]
        quick: bool,
        #[arg(long)]
        input: Option<PathBuf>,
        #[arg(long)]
        name: String,
    }

    fn merged(line: &str, file: &str) -> Result<Sample> {
        merged_with(line, file, &[])
    }

    fn merged_with(line: &str, file: &str, set: &[&str]) -> Result<Sample> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("job.toml");
        std::fs::write(&path, file).unwrap();
        let mut file = JobFile::read(&path)?;
        set.iter().try_for_each(|words| file.set(words, |_| Ok("parameters")))?;
        let command = augment::<Sample>(Command::new("sample"), "Parameters");
        let command = supplied::<Sample>(command, &file, "parameters");
        let matches = command
            .try_get_matches_from(joined(
                ["sample"].into_iter().chain(line.split_whitespace()).map(OsString::from),
            ))
            .unwrap();
        merge(&matches, Some((&file, "parameters")))
    }

    #[test]
    fn the_line_overrides_the_file_overrides_the_default() {
        let file = "[parameters]\nsteps = 20\nwall-value = 1\nweights = [3.0]\nquick = true\nname = \"f\"";
        let found = merged("--steps 30 --weights 7,8", file).unwrap();
        assert_eq!(
            found,
            Sample {
                steps: 30,
                wall_value: Some(1.0),
                weights: vec![7.0, 8.0],
                quick: true,
                input: None,
                name: "f".into()
            }
        );
        let found = merged("--wall-value -2.5 --name l --input x.h5", "[parameters]\nname = \"f\"").unwrap();
        assert_eq!(
            (found.steps, found.wall_value, found.name.as_str(), found.input.as_deref()),
            (10, Some(-2.5), "l", Some(Path::new("x.h5")))
        );
    }

    #[test]
    fn what_is_set_goes_between_the_line_and_the_file() {
        let file = "[parameters]\nsteps = 20\nwall-value = 1\n";
        let set = ["steps=40", "wall_value=2", "weights=7,8", "name=1e3", "quick=true", "input=a,b.h5"];
        let found = merged_with("--wall-value 3", file, &set).unwrap();
        assert_eq!((found.steps, found.wall_value, found.quick), (40, Some(3.0), true));
        assert_eq!((found.weights, found.name.as_str()), (vec![7.0, 8.0], "1e3"));
        assert_eq!(found.input.as_deref(), Some(Path::new("a,b.h5")));
        for (set, expected) in [
            ("steps=many", "--set steps=many: `steps`: invalid type: string \"many\", expected u64"),
            ("steps=-1", "--set steps=-1: `steps`: invalid value: integer `-1`, expected u64"),
            ("stesp=1", "--set stesp=1: unknown key `stesp`\n  help: did you mean `steps`?"),
        ] {
            let error = merged_with("--name n", file, &[set]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_named() {
        for (file, expected) in [
            ("[parameters]\nstep = 3", ":2:1: unknown key `step`\n  help: did you mean `steps`?"),
            (
                "[parameters]\n\nsteps = \"many\"",
                ":3:9: `steps`: invalid type: string \"many\", expected u64",
            ),
            ("[parameters]\nsteps = -1", ":2:9: `steps`: invalid value: integer `-1`, expected u64"),
            ("[parameters]\nweights = 3", ":2:11: `weights`: invalid type"),
        ] {
            let error = merged("--name n", file).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn what_is_merged_can_be_written_and_read_again() {
        let first = merged("--steps 5 --name n", "[parameters]\nwall_value = 0.1").unwrap();
        let text = format!("[parameters]\n{}", toml::to_string(&table(&first).unwrap()).unwrap());
        assert_eq!(merged("", &text).unwrap(), first);
    }

    #[test]
    fn flags_that_were_given_can_be_given_on() {
        let command = augment::<Sample>(Command::new("sample"), "Parameters");
        let line = ["sample", "--name", "a b", "--quick", "--weights", "-1,2"];
        let matches = command.try_get_matches_from(joined(line.map(OsString::from)));
        let words = given::<Sample>(&matches.unwrap_or_else(|error| panic!("{error}")));
        assert_eq!(words, ["--weights=-1", "--weights=2", "--quick", "--name=a b"]);
    }
}
