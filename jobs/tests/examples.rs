//! Every job file in `jobs/examples`: it is started as the comment on its top says, line by line, made smaller where it would
//! take long. A file that is added there is run here.

#[expect(dead_code, reason = "other tests use more of it")]
mod common;

use common::{ended, files};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What makes a file small enough for a test; others are run as they are.
const SMALLER: [(&str, &str); 10] = [
    ("fine", "--set cells=12,16,20 --set steps=30 --set run.every=10"),
    ("heat3d", "--set cells=12,16,20"),
    ("study", "--set cells=12"),
    ("hybrid", "--set cells=16"),
    ("checkpoint", "--set cells=8"),
    ("pictures", "--set cells=8,16,16"),
    ("brain", "--set steps=2"),
    ("benchmark", "--set size=200 --set iterations=5"),
    ("slurm-small", "--set cells=16 --set steps=50"),
    ("slurm-large", "--set cells=16 --set steps=50 --set ranks=2 --set threads=1"),
];

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    assert!(found.len() >= 10 && found.iter().all(|path| path.extension().is_some_and(|e| e == "toml")));
    found
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

fn smaller(path: &Path) -> &'static str {
    SMALLER.iter().find(|(of, _)| *of == name(path)).map_or("", |(_, words)| words)
}

/// Whether this build can do what a file wants.
fn can(path: &Path, line: &str) -> bool {
    let needs_hdf5 = ["brain", "checkpoint"].contains(&name(path).as_str()) || line.contains("--resume");
    (cfg!(feature = "hdf5") || !needs_hdf5 || line.contains("submit"))
        && (cfg!(feature = "mpi") || !line.contains("mpirun"))
}

/// A folder that looks like the project's root, with a `rankine` in `bin` that makes runs small and submits nothing.
fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for folder in ["jobs", "data"] {
        symlink(project.join(folder), root.path().join(folder)).unwrap();
    }
    std::fs::create_dir(root.path().join("bin")).unwrap();
    let script = format!(
        "#!/bin/sh\nverb=$1\nshift\ncase $verb in\nsubmit) set -- \"$@\" --dry-run; SMALLER= ;;\nesac\n\
         exec {} $verb \"$@\" $SMALLER\n",
        env!("CARGO_BIN_EXE_rankine")
    );
    let path = root.path().join("bin/rankine");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    root
}

fn shell(root: &Path, path: &Path, line: &str) -> common::Ended {
    let mut command = Command::new("sh");
    let bin = root.join("bin").display().to_string();
    command.args(["-ec", line]).current_dir(root).env("SMALLER", smaller(path));
    command.env("PATH", format!("{bin}:{}", std::env::var("PATH").unwrap_or_default()));
    // As root, and with fewer cores than the file asks for.
    for name in ["OMPI_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT"] {
        command.env(name, "1").env(format!("{name}_CONFIRM"), "1");
    }
    command
        .env("OMPI_MCA_rmaps_base_oversubscribe", "1")
        .env("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe");
    for name in ["OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK", "SLURM_JOB_ID"] {
        command.env_remove(name);
    }
    ended(command)
}

#[test]
fn every_line_of_every_comment_works() {
    for path in examples() {
        let text = std::fs::read_to_string(&path).unwrap();
        let comment = text.lines().take_while(|line| line.starts_with('#'));
        let lines: Vec<&str> = comment.filter_map(|line| line.strip_prefix("#     ")).collect();
        let itself = format!("jobs/examples/{}", path.file_name().unwrap().to_string_lossy());
        assert!(
            lines.first().is_some_and(|line| line.contains("rankine ") && line.contains(&itself)),
            "{itself}: the comment on its top does not say how it is started"
        );
        let root = root();
        for line in lines.into_iter().filter(|line| can(&path, line)) {
            let ended = shell(root.path(), &path, line);
            assert_eq!(ended.code, 0, "{itself}: {line}\n{}", ended.stderr);
            if line.contains("rankine submit") {
                assert!(ended.stdout.starts_with("#!/bin/"), "{line}: {}", ended.stdout);
            } else if line.contains("rankine run") && !line.contains("--json") {
                let passed = ended.stdout.matches("verdict   passed").count();
                assert!(passed >= 1, "{itself}: {line}\n{}", ended.stdout);
            }
        }
    }
}

/// Also those that are meant for Slurm.
#[test]
fn every_file_runs_and_verifies() {
    for path in examples().into_iter().filter(|path| can(path, "")) {
        let root = root();
        let file = format!("jobs/examples/{}.toml", name(&path));
        let ended = shell(root.path(), &path, &format!("rankine run {file} --quiet --json"));
        assert_eq!(ended.code, 0, "{file}: {}", ended.stderr);
        let report: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
        assert!(report["verdict"]["passed"].is_array(), "{file}: {report}");
        let runs = files(root.path()).into_iter().filter(|name| name.ends_with("result.json")).count();
        assert_eq!(runs, usize::from(name(&path) != "benchmark"), "{file}");
    }
}

/// The one that includes another has that one's keys and its own.
#[test]
fn an_include_is_overridden_key_by_key() {
    let root = root();
    let path = PathBuf::from("fine.toml");
    let ended = shell(root.path(), &path, "rankine run jobs/examples/fine.toml --out run --quiet");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let run: toml::Table =
        std::fs::read_to_string(root.path().join("run/run.toml")).unwrap().parse().unwrap();
    let value = |table: &str, key: &str| run[table][key].to_string();
    assert_eq!(value("parameters", "walls"), "\"insulated\"");
    assert_eq!(value("parameters", "init"), "\"hot-cube\"");
    assert_eq!((value("parameters", "steps"), value("run", "every")), ("30".into(), "10".into()));
    assert_eq!(value("run", "ranks"), "2");
}
