//! Job files as people write them: named first, with includes and `--set`; their schema against the reader itself; and what
//! shells and `man` know of the command line.

#[expect(dead_code, reason = "other tests use more of it")]
mod common;

use common::{ended, json, rankine, refused};
use jsonschema::{Validator, validator_for};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn command(folder: &Path, words: &str) -> Command {
    let mut command = rankine(folder);
    command.args(words.split(' '));
    command
}

fn works(folder: &Path, words: &str) -> String {
    let ended = ended(command(folder, words));
    assert_eq!(ended.code, 0, "{words}\n{}", ended.stderr);
    ended.stdout
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

const BASE: &str =
    "kernel = \"heat3d\"\n[parameters]\ncells = 6\nsteps = 9\nwall-value = 1\n[run]\nevery = 3\n";

#[test]
fn a_job_file_is_named_first_and_overridden_from_the_line() {
    let folder = folder(&[
        ("base.toml", BASE),
        ("deep/job.toml", "include = [\"../base.toml\"]\n[parameters]\nsteps = 4\nwall_value = 2\n"),
        ("plain", BASE),
        ("heat3d", "not a job file, and the kernel's name counts"),
    ]);
    let root = folder.path();
    let parameters = |run: &str| json(root.join(run).join("result.json"))["parameters"].clone();
    works(root, "run deep/job.toml --set cells=5,6,7 --set run.every=2 --quiet --out a");
    let a = parameters("a");
    assert_eq!(
        (&a["cells"], &a["steps"], &a["wall_value"]),
        (&serde_json::json!([5, 6, 7]), &4.into(), &2.0.into())
    );
    assert!(std::fs::read_to_string(root.join("a/run.toml")).unwrap().contains("every = 2"));
    // Without the ending; a flag goes before --set, wherever it stands, and what is set last counts.
    works(root, "run plain --steps 3 --set steps=5 --set wall-value=3 --set wall-value=4 --quiet --out b");
    assert_eq!((&parameters("b")["steps"], &parameters("b")["wall_value"]), (&3.into(), &4.0.into()));
    // Without a file, with the kernel first, and with the flag.
    works(root, "run heat3d --set cells=5 --set steps=2 --quiet --out c");
    assert_eq!(parameters("c")["steps"], 2);
    works(root, "run heat3d --job base.toml --set steps=1 --quiet --out d");
    assert_eq!(parameters("d")["steps"], 1);
    // What a run leaves makes the same run again, without any include.
    works(root, "run a/run.toml --quiet --out e");
    assert_eq!(parameters("e"), a);
    // Batch jobs get the same words, and the file as it is then.
    let script = works(root, "submit deep/job.toml --set slurm.time=30 --set steps=7 --dry-run");
    for part in ["--time=30", "/job.toml --out=runs/heat3d-", "--set=steps=7"] {
        assert!(script.contains(part), "{part}: {script}");
    }
}

#[cfg(feature = "hdf5")]
#[test]
fn one_line_with_a_job_file_begins_and_goes_on() {
    let folder = folder(&[("job.toml", BASE)]);
    let root = folder.path();
    let line = "run job.toml --resume run --checkpoint-every 2 --quiet";
    works(root, line);
    works(root, &format!("{line} --set steps=20"));
    assert_eq!(json(root.join("run/provenance.json"))["from_step"], 9);
    assert_eq!(json(root.join("run/result.json"))["steps"], 20);
    refused(command(root, &format!("{line} --set cells=7")), "cells", 2, &["--cells is", "was begun with"]);
}

#[test]
fn mistakes_are_told_with_their_place() {
    let folder = folder(&[
        ("base.toml", "[parameters]\nstesp = 3\n"),
        ("unknown.toml", "kernel = \"heat3d\"\ninclude = \"base.toml\"\n"),
        ("type.toml", "kernel = \"heat3d\"\n[run]\n  every = \"often\"\n"),
        ("choice.toml", "kernel = \"heat3d\"\n[parameters]\nwalls = \"insulted\"\n"),
        ("slurm.toml", "kernel = \"heat3d\"\n[slurm]\ntime = 30\n"),
        ("slrum.toml", "kernel = \"heat3d\"\n[slurm]\n\ntiem = '30'\n"),
        ("a.toml", "include = [\"b.toml\"]\n"),
        ("b.toml", "include = [\"a.toml\"]\n"),
        ("none.toml", "kernel = \"heat3d\"\ninclude = [\"nowhere.toml\"]\n"),
        ("empty.toml", ""),
        ("fine.toml", BASE),
    ]);
    let root = folder.path();
    let table: [(&str, i32, &[&str]); 15] = [
        ("run unknown.toml", 2, &["base.toml:2:1: unknown key `stesp`", "did you mean `steps`?"]),
        ("run type.toml", 2, &["type.toml:3:11: `every`: invalid type: string \"often\", expected u64"]),
        ("run choice.toml", 2, &["choice.toml:3:9: `walls`: unknown variant `insulted`", "`insulated`"]),
        ("run slurm.toml", 2, &["slurm.toml:3:8: `time`: invalid type: integer `30`, expected a string"]),
        ("run slrum.toml", 2, &["slrum.toml:4:1: unknown key `tiem`", "did you mean `time`?"]),
        ("submit slrum.toml --dry-run", 2, &["slrum.toml:4:1: unknown key `tiem`"]),
        ("run a.toml", 2, &["includes itself: a.toml:1:12 includes b.toml, b.toml:1:12 includes a.toml"]),
        ("run none.toml", 4, &["none.toml:2:12: cannot read the job file nowhere.toml"]),
        ("run empty.toml", 2, &["empty.toml names no kernel", "run KERNEL --job empty.toml"]),
        ("run gone.toml", 4, &["cannot read the job file gone.toml"]),
        ("run fine.toml --set stesp=3", 2, &["--set stesp=3: unknown key `stesp`", "did you mean `steps`?"]),
        (
            "run fine.toml --set steps=x",
            2,
            &["--set steps=x: `steps`: invalid type: string \"x\", expected u64"],
        ),
        ("run fine.toml --set slurm.tiem=3", 2, &["--set slurm.tiem=3: unknown key `tiem`"]),
        ("run fine.toml --set steps", 2, &["--set steps: there is no ="]),
        ("run fine.toml --job type.toml", 2, &["fine.toml, and another one with --job"]),
    ];
    for (words, code, says) in table {
        refused(command(root, words), words, code, says);
    }
}

fn schema(words: &str) -> (Value, Validator) {
    let text = works(Path::new("."), words);
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    assert!(jsonschema::meta::is_valid(&schema), "{words}: no schema");
    let validator = validator_for(&schema).expect("a schema");
    (schema, validator)
}

fn as_json(toml: &str) -> Value {
    serde_json::to_value(toml.parse::<toml::Table>().expect("TOML")).expect("JSON")
}

#[test]
fn the_schema_holds_for_every_example() {
    let (_, all) = schema("schema");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let job = as_json(&std::fs::read_to_string(&path).unwrap());
        let errors: Vec<String> =
            all.iter_errors(&job).map(|error| format!("{error} at {}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", path.display());
        if let Some(kernel) = job["kernel"].as_str() {
            let (_, one) = schema(&format!("info {kernel} --schema"));
            assert!(one.is_valid(&job), "{}", path.display());
        }
        seen += 1;
    }
    assert!(seen >= 10);
}

/// Whatever the reader says of a file, the schema says.
#[test]
fn the_schema_and_the_reader_agree() {
    let (_, all) = schema("schema");
    let (_, heat) = schema("info heat3d --schema");
    let top = |text: &str| format!("kernel = \"heat3d\"\n{text}");
    let parameters = |text: &str| top(&format!("[parameters]\n{text}"));
    let run = |text: &str| top(&format!("[run]\n{text}"));
    let slurm = |text: &str| top(&format!("[slurm]\n{text}"));
    let table: Vec<(bool, String)> = [
        (true, top("")),
        (false, "kernel = \"heat2d\"".to_string()),
        (false, top("[paramters]")),
        (false, top("run = 3")),
        (true, parameters("cells = 6")),
        (true, parameters("cells = [5, 6, 7]")),
        (true, parameters("cells = \"5,6,7\"")),
        (false, parameters("cells = [5, 6]")),
        (false, parameters("cells = [5, 6, 7, 8]")),
        (false, parameters("cells = -6")),
        (false, parameters("cells = 0.5")),
        (false, parameters("cells = true")),
        (true, parameters("spacing = 0.5")),
        (false, parameters("steps = \"many\"")),
        (false, parameters("steps = -1")),
        (false, parameters("steps = 1.5")),
        (false, parameters("stesp = 1")),
        (true, parameters("wall_value = 1")),
        (true, parameters("wall-value = -1.5")),
        (false, parameters("wall-value = \"warm\"")),
        (true, parameters("walls = \"insulated\"\ninit = \"hot-cube\"")),
        (false, parameters("walls = \"insulted\"")),
        (true, parameters("input = \"x.h5:/x\"")),
        (false, parameters("found = 3")),
        (true, run("every = 3\nranks = 1\nthreads = 1")),
        (true, run("checkpoint_every = 3")),
        (true, run("checkpoint-every = \"10min\"")),
        (false, run("checkpoint-every = 0")),
        (false, run("checkpoint-every = 0.5")),
        (false, run("ranks = \"two\"")),
        (true, run("no_output = true")),
        (false, run("no_output = \"yes\"")),
        (true, run("time_limit = \"1h\"\nprogress = 2")),
        (false, run("time_limit = 3600")),
        (false, run("job = \"x\"")),
        (true, slurm("time = \"30\"\nnodes = 2\nexclusive = false")),
        (false, slurm("time = 30")),
        (false, slurm("tiem = \"30\"")),
        (false, slurm("nodes = \"two\"")),
        (false, slurm("launcher = 3")),
    ]
    .into();
    for (fine, text) in table {
        let job = as_json(&text);
        assert_eq!(all.is_valid(&job), fine, "schema:\n{text}");
        assert_eq!(heat.is_valid(&job), fine, "schema of heat3d:\n{text}");
        let folder = folder(&[("job.toml", &text)]);
        // Refused for what it says, or for the file that is not there; the words that are the reader's are known.
        let said = ended(command(folder.path(), "submit job.toml --dry-run")).stderr;
        let refused = said.contains("job.toml:") || said.contains("no kernel \"heat2d\"");
        assert_eq!(!refused, fine, "reader:\n{text}\n{said}");
    }
    let (_, other) = schema("info stencil --schema");
    assert!(!other.is_valid(&as_json(&top(""))));
    // Without a kernel, any parameters may be meant.
    assert!(all.is_valid(&as_json("include = [\"a.toml\"]\n[parameters]\nx = 1")));
}

#[test]
fn every_parameter_of_every_kernel_has_its_kind() {
    let (all, _) = schema("schema");
    let kernels: Value = serde_json::from_str(&works(Path::new("."), "list --json")).unwrap();
    assert_eq!(all["definitions"].as_object().unwrap().len(), kernels.as_array().unwrap().len());
    let tables = all["definitions"].as_object().unwrap().iter();
    let tables = tables.map(|(name, table)| (name.as_str(), table));
    let others = ["run", "slurm"].map(|name| (name, &all["properties"][name]));
    for (name, table) in tables.chain(others) {
        assert_eq!(table["additionalProperties"], false, "{name}");
        for (key, value) in table["properties"].as_object().unwrap() {
            let known = value["type"].is_string() || value["anyOf"].is_array();
            assert!(known && value["description"].is_string(), "{name}.{key}: {value}");
        }
    }
}

fn output(program: &str, words: &[&str], input: Stdio) -> Output {
    Command::new(program).args(words).stdin(input).output().unwrap_or_else(|error| {
        panic!("{program}: {error}; `sh tools/install.sh test` installs what tests need")
    })
}

#[test]
fn shells_take_the_completions_and_complete_with_them() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = works(folder.path(), &format!("completions {shell}"));
        let path = folder.path().join(shell);
        std::fs::write(&path, &script).unwrap();
        let checked = output(shell, &["-n", path.to_str().unwrap()], Stdio::null());
        assert!(checked.status.success() && checked.stderr.is_empty(), "{shell}: {checked:?}");
        for word in ["heat3d", "sync_global", "wall-value", "checkpoint-every", "exclusive", "dry-run"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    // What bash would offer.
    let offered = |line: &str| {
        let words: Vec<String> = line.split(' ').map(|word| format!("'{word}'")).collect();
        let script = format!(
            "source {}; COMP_WORDS=({}); COMP_CWORD={}; _rankine rankine \"${{COMP_WORDS[COMP_CWORD]}}\" \
             \"${{COMP_WORDS[COMP_CWORD-1]}}\"; echo \"${{COMPREPLY[@]}}\"",
            folder.path().join("bash").display(),
            words.join(" "),
            words.len() - 1
        );
        let said = output("bash", &["--norc", "-c", &script], Stdio::null());
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let mut offered: Vec<String> = said.split_whitespace().map(str::to_string).collect();
        offered.sort();
        offered
    };
    assert_eq!(offered("rankine comp"), ["compare", "completions"]);
    assert_eq!(offered("rankine run heat"), ["heat3d"]);
    assert_eq!(offered("rankine info st"), ["stencil"]);
    assert_eq!(offered("rankine run heat3d --wal"), ["--wall-value", "--walls"]);
    assert_eq!(offered("rankine run heat3d --walls "), ["fixed", "insulated", "periodic"]);
    assert_eq!(offered("rankine submit stencil --excl"), ["--exclusive"]);
}

#[test]
fn manual_pages_are_whole_and_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let said = works(root, "man --out pages/man1");
    let mut pages: Vec<PathBuf> =
        std::fs::read_dir(root.join("pages/man1")).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    assert!(said.starts_with(&format!("{} pages", pages.len())), "{said}");
    let names: Vec<_> = pages.iter().map(|page| page.file_stem().unwrap().to_str().unwrap()).collect();
    let kernels: Value = serde_json::from_str(&works(root, "list --json")).unwrap();
    let kernels = kernels.as_array().unwrap().iter().map(|kernel| kernel["kernel"].as_str().unwrap());
    let mut wanted: Vec<String> = kernels.map(|kernel| format!("rankine-run-{kernel}")).collect();
    let verbs =
        ["list", "info", "run", "submit", "bench", "bench-messaging", "compare", "top", "doctor", "man"];
    wanted.extend(verbs.map(|verb| format!("rankine-{verb}")));
    wanted.push("rankine".to_string());
    for name in &wanted {
        assert!(names.contains(&name.as_str()), "{name}: {names:?}");
    }
    for page in &pages {
        let path = page.to_str().unwrap();
        let groff = output("groff", &["-man", "-ww", "-z", "-Tutf8", path], Stdio::null());
        assert!(groff.status.success() && groff.stderr.is_empty(), "{path}: {groff:?}");
        // The pages have no date: that of the day would make each build another one.
        let lint = output("mandoc", &["-Tlint", "-Wwarning", path], Stdio::null());
        let lines = String::from_utf8_lossy(&lint.stdout).into_owned();
        let lines: Vec<&str> = lines.lines().filter(|line| !line.contains("missing date")).collect();
        assert!(lines.is_empty(), "{path}: {lines:?}");
    }
    let shown =
        output("man", &["-l", root.join("pages/man1/rankine-run-heat3d.1").to_str().unwrap()], Stdio::null());
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for part in [
        "rankine-run-heat3d(1)",
        "--wall-value",
        "--checkpoint-every",
        "Time steps",
        "Verified",
        "heat equation in a box",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(works(root, "run heat3d --help").starts_with("heat equation in a box"));
    assert!(works(root, "man submit").contains("\\-\\-exclusive"));
    refused(
        command(root, "man run heat4d"),
        "man",
        2,
        &["no manual page of `heat4d`", "did you mean heat3d?"],
    );
}
