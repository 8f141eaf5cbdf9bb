//! Job files: a run written down in TOML.
//!
//! ```toml
//! include = ["base.toml"]  # other job files, relative to this one; what is here overrides them
//! kernel = "heat3d"        # may be left out where the command line says it
//!
//! [parameters]             # the kernel's parameters, named as its flags
//! cells = [64, 48, 32]
//! steps = 300
//!
//! [run]                    # the run's options, named as their flags
//! every = 100
//!
//! [slurm]                  # resources, read by `rankine submit` alone
//! time = "0:30:00"
//! ```
//!
//! Paths of data in it are relative to the working directory, as on the command line. This file reads tables, brings
//! included ones together and remembers where each key stands; what keys mean is `parameters`' business.

use super::nearest::nearest;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

/// What a job file may hold at its top.
const TOP: [&str; 5] = ["include", "kernel", "parameters", "run", "slurm"];

/// How deep files may include files; more is a mistake.
const DEEPEST: usize = 16;

/// A job file that is well-formed TOML with the right tables, with the files that it includes and what `--set` put over it.
#[derive(Clone, Debug)]
pub struct JobFile {
    path: PathBuf,
    content: Table,
    /// By table (nothing for the top) and key.
    origins: BTreeMap<(String, String), Origin>,
}

/// Where a key comes from.
#[derive(Clone, Debug)]
struct Origin {
    /// As it was written there.
    key: String,
    /// `file:line:column` of the key and of its value, or the words of the command line.
    place: String,
    value_place: String,
    /// Other ways to read a value that was not written in TOML.
    others: Vec<Value>,
}

/// Whether a word of a command line names a job file: it ends in `.toml`, or is a file.
pub fn is_job_file(word: &OsStr) -> bool {
    let path = Path::new(word);
    !word.as_encoded_bytes().starts_with(b"-")
        && (path.extension().is_some_and(|extension| extension == "toml") || path.is_file())
}

impl JobFile {
    /// Reads a file and those that it includes.
    ///
    /// # Errors
    /// A file that cannot be read ([`ErrorKind::Io`](crate::ErrorKind::Io)), is no TOML, holds an unknown table, or
    /// includes itself.
    pub fn read(path: &Path) -> Result<JobFile> {
        let text = text_of(path, None)?;
        JobFile::parse(path, &text, &mut vec![Link::to(path, None)])
    }

    /// No file at all, for `--set` to put keys into.
    pub(super) fn none() -> JobFile {
        JobFile { path: PathBuf::new(), content: Table::new(), origins: BTreeMap::new() }
    }

    fn parse(path: &Path, text: &str, chain: &mut Vec<Link>) -> Result<JobFile> {
        let at = |byte: usize| format!("{}:{}", path.display(), line_and_column(text, byte));
        let broken = |error: toml::de::Error| {
            let place = error.span().map_or_else(|| path.display().to_string(), |span| at(span.start));
            Error::usage(format!("{place}: not TOML: {}", error.message().replace('\n', ", ")))
                .help("keys are `name = value`, text is in quotes, lists in [ ]")
        };
        let content: Table = text.parse().map_err(broken)?;
        let spans = DeTable::parse(text).map_err(broken)?;
        let mut file = JobFile { path: path.to_path_buf(), content: Table::new(), origins: BTreeMap::new() };
        let mut included = JobFile::none();
        let origin = |key: &Spanned<_>, name: &str, value: &Spanned<DeValue<'_>>| Origin {
            key: name.to_string(),
            place: at(key.span().start),
            value_place: at(value.span().start),
            others: Vec::new(),
        };
        for (key, spanned) in spans.get_ref() {
            let name: &str = key.get_ref();
            file.origins.insert((String::new(), name.to_string()), origin(key, name, spanned));
            let Some(value) = content.get(name) else { continue };
            let wrong = |wanted: &str| {
                file.wrong("", name, &format!("expected {wanted}, found {}", value.type_str()))
            };
            match (name, value) {
                ("include", _) => {
                    for (path, byte) in paths(spanned).ok_or_else(|| {
                        wrong("a list of paths in quotes").help("write include = [\"base.toml\"]")
                    })? {
                        included.put_over(include(chain, &file.path, &at(byte), path)?);
                    }
                }
                ("kernel", Value::String(_)) => {
                    file.content.insert(name.to_string(), value.clone());
                }
                ("kernel", _) => return Err(wrong("a name in quotes")),
                (_, Value::Table(keys)) if TOP.contains(&name) => {
                    let mut table = Table::new();
                    for (key, spanned) in spanned.get_ref().as_table().into_iter().flatten() {
                        let written: &str = key.get_ref();
                        let (plain, origin) = (written.replace('-', "_"), origin(key, written, spanned));
                        let Some(value) = keys.get(written) else { continue };
                        let slot = (name.to_string(), plain.clone());
                        if let Some(first) = file.origins.get(&slot) {
                            return Err(Error::usage(format!(
                                "{}: `{written}` is given already, as `{}` at {}",
                                origin.place, first.key, first.place
                            ))
                            .help("- and _ are the same in a key: leave one of them out"));
                        }
                        file.origins.insert(slot, origin);
                        table.insert(plain, value.clone());
                    }
                    file.content.insert(name.to_string(), Value::Table(table));
                }
                _ if TOP.contains(&name) => return Err(wrong("a table")),
                _ => return Err(file.unknown("", name, TOP)),
            }
        }
        included.put_over(file);
        included.path = path.to_path_buf();
        Ok(included)
    }

    /// What is in `other` goes before what is here, key by key.
    fn put_over(&mut self, other: JobFile) {
        for (name, value) in other.content {
            match (self.content.get_mut(&name), value) {
                (Some(Value::Table(here)), Value::Table(there)) => here.extend(there),
                (_, value) => {
                    self.content.insert(name, value);
                }
            }
        }
        self.origins.extend(other.origins);
    }

    /// Puts one `KEY=VALUE` of a command line over what is here. `home` says in which table a key is that names none.
    ///
    /// # Errors
    /// Words that are none, and a key that nothing has.
    pub(super) fn set(
        &mut self,
        words: &str,
        home: impl Fn(&str) -> std::result::Result<&'static str, String>,
    ) -> Result<()> {
        let place = format!("--set {words}");
        let help =
            "write --set KEY=VALUE, such as --set steps=100, --set run.every=10 or --set slurm.time=30";
        let Some((key, value)) = words.split_once('=') else {
            return Err(Error::usage(format!("{place}: there is no = in it")).help(help));
        };
        let (key, value) = (key.trim(), value.trim());
        let (table, written) = match key.split_once('.') {
            Some((table, written)) if TOP[2..].contains(&table) => (table, written),
            Some((table, _)) => {
                let near = nearest(table, TOP[2..].iter().copied());
                let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
                return Err(Error::usage(format!("{place}: there is no table `{table}`"))
                    .help(format!("{near}there are parameters, run and slurm")));
            }
            None if key == "kernel" || key == "include" => {
                return Err(Error::usage(format!("{place}: `{key}` cannot be set"))
                    .help("name the kernel before the flags, and write includes in a job file"));
            }
            None => {
                let home = home(&key.replace('-', "_"));
                let unknown = |help: String| Error::usage(format!("{place}: unknown key `{key}`")).help(help);
                (home.map_err(unknown)?, key)
            }
        };
        if written.is_empty() {
            return Err(Error::usage(format!("{place}: no key is named")).help(help));
        }
        let mut readings = readings(value);
        let plain = written.replace('-', "_");
        let entry = self.content.entry(table.to_string()).or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(keys) = entry {
            keys.insert(plain.clone(), readings.remove(0));
        }
        let origin =
            Origin { key: written.to_string(), place: place.clone(), value_place: place, others: readings };
        self.origins.insert((table.to_string(), plain), origin);
        Ok(())
    }

    /// One file that means the same, without includes.
    ///
    /// # Errors
    /// A value that TOML cannot hold.
    pub fn text(&self) -> Result<String> {
        toml::to_string(&self.content)
            .map_err(|error| Error::usage(format!("{}: {error}", self.path.display())))
    }

    /// The kernel it is for, where it says so.
    pub fn kernel(&self) -> Option<&str> {
        self.content.get("kernel")?.as_str()
    }

    /// The file's path, as it was given; empty where there is none and `--set` alone says what there is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One of its tables; in its keys there is `_` for `-`.
    pub(super) fn table(&self, name: &str) -> Option<&Table> {
        self.content.get(name)?.as_table()
    }

    /// Other ways to read the value of a key, in the order in which they are to be tried.
    pub(super) fn others(&self, table: &str, key: &str) -> &[Value] {
        self.origin(table, key).map_or(&[], |origin| &origin.others)
    }

    /// The error for a key that means nothing here.
    pub(super) fn unknown<'k>(
        &self,
        table: &str,
        key: &str,
        known: impl IntoIterator<Item = &'k str> + Clone,
    ) -> Error {
        let place =
            self.origin(table, key).map_or_else(|| self.path.display().to_string(), |o| o.place.clone());
        let key = self.origin(table, key).map_or(key, |origin| &origin.key);
        let apart = if table.is_empty() { "; parameters of the kernel stand below [parameters]" } else { "" };
        Error::usage(format!("{place}: unknown key `{key}`")).help(meant(key, known) + apart)
    }

    /// The error for a value that is not what the key asks for.
    pub(super) fn wrong(&self, table: &str, key: &str, what: &str) -> Error {
        let origin = self.origin(table, key);
        let place =
            origin.map_or_else(|| self.path.display().to_string(), |origin| origin.value_place.clone());
        let key = origin.map_or(key, |origin| &origin.key);
        Error::usage(format!("{place}: `{key}`: {what}"))
    }

    fn origin(&self, table: &str, key: &str) -> Option<&Origin> {
        self.origins.get(&(table.to_string(), key.to_string()))
    }
}

/// What somebody probably meant, or what there is.
pub(super) fn meant<'k>(key: &str, known: impl IntoIterator<Item = &'k str> + Clone) -> String {
    match nearest(key, known.clone()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("known are: {}", known.into_iter().collect::<Vec<_>>().join(", ")),
    }
}

/// A file that is being read, and which place of another has asked for it.
struct Link {
    path: PathBuf,
    /// The same file has the same.
    identity: PathBuf,
    asked: Option<String>,
}

impl Link {
    fn to(path: &Path, asked: Option<&str>) -> Link {
        let identity = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        Link { path: path.to_path_buf(), identity, asked: asked.map(str::to_string) }
    }
}

/// Reads a file that `place` in the file `from` includes.
fn include(chain: &mut Vec<Link>, from: &Path, place: &str, path: &str) -> Result<JobFile> {
    let path = from.parent().unwrap_or(Path::new("")).join(path);
    let link = Link::to(&path, Some(place));
    let told = |chain: &[Link], last: &Link| {
        let steps = chain.iter().chain([last]).skip(1);
        let steps: Vec<String> = steps
            .map(|link| format!("{} includes {}", link.asked.as_deref().unwrap_or(""), link.path.display()))
            .collect();
        steps.join(", ")
    };
    if chain.iter().any(|above| above.identity == link.identity) {
        return Err(Error::usage(format!(
            "{place}: {} includes itself: {}",
            path.display(),
            told(chain, &link)
        ))
        .help("take one of these includes out"));
    }
    if chain.len() > DEEPEST {
        return Err(Error::usage(format!(
            "{place}: includes are more than {DEEPEST} files deep: {}",
            told(chain, &link)
        ))
        .help("include the files that count straight"));
    }
    let text = text_of(&path, Some(place))?;
    chain.push(link);
    let file = JobFile::parse(&path, &text, chain);
    chain.pop();
    file
}

fn text_of(path: &Path, place: Option<&str>) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| {
        let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
        Error::io(format!("{place}cannot read the job file {}: {error}", path.display())).help(
            match place.is_empty() {
                true => "give the path of a TOML file; relative paths start at the working directory",
                false => "give the path of a TOML file; in an include, paths start at the file that holds it",
            },
        )
    })
}

/// The paths of an include, and at which byte each begins.
fn paths<'t>(value: &'t Spanned<DeValue<'_>>) -> Option<Vec<(&'t str, usize)>> {
    let one = |value: &'t Spanned<DeValue<'_>>| Some((value.get_ref().as_str()?, value.span().start));
    match value.get_ref().as_array() {
        Some(list) => list.iter().map(one).collect(),
        None => Some(vec![one(value)?]),
    }
}

/// `line:column`, both from one, columns in characters.
fn line_and_column(text: &str, byte: usize) -> String {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    let before = &text[..byte];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{line}:{column}")
}

/// What a value of a command line may be: as in TOML, else as a list without brackets or as text without quotes.
fn readings(text: &str) -> Vec<Value> {
    let toml = |text: &str| {
        let mut table: Table = format!("value = {text}").parse().ok()?;
        let value = table.remove("value")?;
        table.is_empty().then_some(value)
    };
    let plain = Value::String(text.to_string());
    let mut readings: Vec<Value> = toml(text).into_iter().filter(|value| *value != plain).collect();
    readings.push(plain);
    if text.contains(',') && readings.len() == 1 {
        let words = || Value::Array(text.split(',').map(|part| Value::String(part.trim().into())).collect());
        readings.push(toml(&format!("[{text}]")).unwrap_or_else(words));
    }
    readings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<JobFile> {
        let path = Path::new("job.toml");
        JobFile::parse(path, text, &mut vec![Link::to(path, None)])
    }

    #[test]
    fn tables_and_kernel() {
        let file = parse("kernel = \"heat3d\"\n[run]\nevery = 3\n").unwrap();
        assert_eq!(file.kernel(), Some("heat3d"));
        assert_eq!(file.table("run").unwrap()["every"].as_integer(), Some(3));
        assert!(file.table("parameters").is_none());
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (text, expected) in [
            ("kernel = \"a\"\n[paramters]\n", "job.toml:2:2: unknown key `paramters`"),
            ("kernel = 3", "job.toml:1:10: `kernel`: expected a name in quotes, found integer"),
            ("\n run = 3", "job.toml:2:8: `run`: expected a table, found integer"),
            ("a = 1\nb = = 2", "job.toml:2:5: not TOML"),
            ("# ä\n'ä' = 1", "job.toml:2:1: unknown key `ä`"),
            ("include = 3", "job.toml:1:11: `include`: expected a list of paths in quotes, found integer"),
            ("include = [\"a\", 3]", "job.toml:1:11: `include`: expected a list"),
            (
                "[run]\ncheckpoint-every = 3\ncheckpoint_every = 4",
                "job.toml:3:1: `checkpoint_every` is given already, as `checkpoint-every` at job.toml:2:1",
            ),
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

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn files_override_what_they_include_and_later_ones_earlier_ones() {
        let folder = folder(&[
            ("job.toml", "include = ['deep/a.toml', 'b.toml']\n[parameters]\nx = 1\n[slurm]\ntime = '1'"),
            ("deep/a.toml", "include = '../c.toml'\nkernel = 'k'\n[parameters]\nx = 2\ny_y = 2\nz = 2"),
            ("b.toml", "[parameters]\ny-y = 3\n[run]\nevery = 3"),
            ("c.toml", "kernel = 'other'\n[parameters]\nz = 4\nw = 4"),
        ]);
        let file = JobFile::read(&folder.path().join("job.toml")).unwrap();
        assert_eq!(file.kernel(), Some("k"));
        let number = |key: &str| file.table("parameters").unwrap()[key].as_integer().unwrap();
        assert_eq!((number("x"), number("y_y"), number("z"), number("w")), (1, 3, 2, 4));
        assert_eq!(file.table("run").unwrap()["every"].as_integer(), Some(3));
        // Each key is known by the file that it is from, as it is written there.
        let error = file.unknown("parameters", "y_y", ["yy"]).to_string();
        assert!(error.contains("b.toml:2:1: unknown key `y-y`"), "{error}");
        let error = file.wrong("parameters", "w", "no").to_string();
        assert!(error.contains("deep/../c.toml:4:5: `w`: no"), "{error}");
    }

    #[test]
    fn cycles_depth_and_missing_files_are_refused_with_the_way_there() {
        let ring =
            [("a.toml", "include = ['b.toml']"), ("b.toml", "\ninclude = ['./c/../a.toml']"), ("c/x", "")];
        let ring = folder(&ring);
        let at = |name: &str| ring.path().join(name).display().to_string();
        let error = JobFile::read(&ring.path().join("a.toml")).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        for part in [
            format!("{}:1:12 includes {}", at("a.toml"), at("b.toml")),
            format!("{}:2:12 includes {}", at("b.toml"), at("./c/../a.toml")),
            "includes itself".to_string(),
        ] {
            assert!(error.what().contains(&part), "{part}: {error}");
        }
        let stairs: Vec<(String, String)> =
            (0..40).map(|n| (format!("{n}.toml"), format!("include = ['{}.toml']", n + 1))).collect();
        let stairs: Vec<(&str, &str)> = stairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let stairs = folder(&stairs);
        let error = JobFile::read(&stairs.path().join("0.toml")).unwrap_err();
        assert!(
            error.what().contains("more than 16 files deep") && error.what().contains("3.toml:1:12 includes")
        );
        let error = JobFile::read(&stairs.path().join("39.toml")).unwrap_err();
        assert_eq!(error.exit_code(), 4);
        assert!(error.what().contains("39.toml:1:12: cannot read the job file"), "{error}");
        // Twice is no cycle.
        let twice = folder(&[
            ("a.toml", "include = ['b.toml', 'c.toml']"),
            ("b.toml", "include = ['c.toml']"),
            ("c.toml", "kernel = 'k'"),
        ]);
        assert_eq!(JobFile::read(&twice.path().join("a.toml")).unwrap().kernel(), Some("k"));
    }

    #[test]
    fn what_is_set_goes_before_the_file() {
        let mut file = parse("[parameters]\nwall-value = 1\n[slurm]\ntime = '5'").unwrap();
        let home = |key: &str| match key {
            "every" => Ok("run"),
            "steps" | "wall_value" => Ok("parameters"),
            _ => Err("did you mean `steps`?".to_string()),
        };
        for words in ["wall_value=2", "every=7", "slurm.time=30", "parameters.steps = 1_000"] {
            file.set(words, home).unwrap();
        }
        let number = |table: &str, key: &str| file.table(table).unwrap()[key].as_integer();
        assert_eq!(number("parameters", "wall_value"), Some(2));
        assert_eq!(number("parameters", "steps"), Some(1000));
        assert_eq!(number("run", "every"), Some(7));
        assert_eq!((number("slurm", "time"), file.others("slurm", "time")), (Some(30), &["30".into()][..]));
        assert_eq!(file.table("parameters").unwrap().len(), 2);
        let wrong = file.wrong("slurm", "time", "no").to_string();
        assert!(wrong.starts_with("--set slurm.time=30: `time`: no"), "{wrong}");
        for (words, says) in [
            ("steps", "--set steps: there is no = in it"),
            ("stesp=3", "--set stesp=3: unknown key `stesp`\n  help: did you mean `steps`?"),
            ("slrum.time=3", "there is no table `slrum`\n  help: did you mean `slurm`?"),
            ("kernel=heat", "`kernel` cannot be set"),
            ("run.=3", "no key is named"),
            ("=3", "unknown key ``"),
        ] {
            let error = file.set(words, home).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }

    #[test]
    fn values_are_read_in_every_way_that_they_may_be_meant() {
        let list = |numbers: &[i64]| Value::Array(numbers.iter().map(|n| Value::Integer(*n)).collect());
        assert_eq!(readings("3"), [Value::Integer(3), "3".into()]);
        assert_eq!(readings("many"), ["many".into()]);
        assert_eq!(readings("[1,2]"), [list(&[1, 2]), "[1,2]".into()]);
        assert_eq!(readings("1, 2"), ["1, 2".into(), list(&[1, 2])]);
        assert_eq!(readings("a,b"), ["a,b".into(), Value::Array(vec!["a".into(), "b".into()])]);
        assert_eq!(readings("1\nx = 2"), ["1\nx = 2".into()]);
        assert_eq!(readings(""), ["".into()]);
    }
}
