//! Jobs on a real Slurm cluster of four nodes: ranks on several nodes, by `srun` and by `sbatch`, with the answer that
//! threads give. Needs root and Slurm; the feature `testbed-tests` says that they are there.

use rankine_slurm::{Job, JobId, JobState, Launcher, Resources, Testbed};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const RANKINE: &str = env!("CARGO_BIN_EXE_rankine");

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The arguments of one job: primes, so that no two ranks have the same block.
fn arguments(out: &Path) -> Vec<String> {
    ["run", "heat3d", "--cells", "29,31,23", "--steps", "40", "--every", "20", "--threads", "1", "--out"]
        .into_iter()
        .map(String::from)
        .chain([out.display().to_string()])
        .collect()
}

fn checksum(run: &Path) -> String {
    let result = json(&run.join("result.json"));
    result["checksum"].as_str().unwrap_or_else(|| panic!("no checksum in {result}")).to_string()
}

/// How many nodes had ranks.
fn nodes(run: &Path) -> usize {
    let provenance = json(&run.join("provenance.json"));
    let nodes = provenance["nodes"].as_array().expect("a list of nodes");
    nodes.iter().map(|node| node["name"].as_str().expect("a name")).collect::<BTreeSet<_>>().len()
}

fn check(run: &Path, expected: &str) {
    assert_eq!(checksum(run), expected);
    assert_eq!(nodes(run), 4, "{}", run.display());
    let listed = Command::new("h5ls").arg("-r").arg(run.join("out/fields-000040.h5")).output().expect("h5ls");
    let text = String::from_utf8_lossy(&listed.stdout);
    assert!(listed.status.success() && text.contains("{29, 31, 23}"), "{text}");
    for name in ["out/fields.xdmf", "out/slices.png", "timings.json", "run.toml"] {
        assert!(run.join(name).metadata().is_ok_and(|file| file.len() > 0), "{name} in {}", run.display());
    }
}

/// Submits it and waits for its end, and what it wrote; again where Open MPI has crashed in its start (see `Testbed::srun`).
fn ended(testbed: &Testbed, job: &Job) -> (JobState, String) {
    let output = job.resources.output.as_ref().expect("a log");
    let slurm = testbed.slurm();
    let mut starts = 0;
    loop {
        let id = slurm.submit(&job.script().unwrap()).unwrap_or_else(|error| panic!("{error}"));
        let state = slurm.wait(id, Duration::from_secs(240)).unwrap_or_else(|error| panic!("{error}"));
        starts += 1;
        let log = std::fs::read_to_string(output).unwrap_or_default();
        if starts == 4 || !Testbed::crashed_at_start(Some(i32::from(state.exit_code)), &log) {
            return (state, log);
        }
        std::fs::remove_file(output).unwrap();
    }
}

#[test]
fn heat_on_four_nodes_is_heat_on_threads() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);

    let alone =
        Command::new(RANKINE).args(arguments(&at("threads"))).args(["--ranks", "3"]).output().unwrap();
    assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stderr));
    let expected = checksum(&at("threads"));

    let testbed = Testbed::up(4, 2).unwrap_or_else(|error| panic!("{error}"));

    // srun, directly.
    let mut command = Command::new("srun");
    command.args(["-N4", "-n8", "--mpi=pmix", RANKINE]).args(arguments(&at("srun")));
    let output = testbed.srun(&mut command).expect("srun");
    assert!(output.status.success(), "srun: {}", String::from_utf8_lossy(&output.stderr));
    check(&at("srun"), &expected);

    // sbatch, with either launcher, as `rankine submit` writes it.
    for (name, launcher) in [("batch-srun", Launcher::default()), ("batch-mpirun", Launcher::Mpirun)] {
        let mut job = Job::new([RANKINE.to_string()].into_iter().chain(arguments(&at(name))));
        job.launcher = launcher;
        job.as_root = true;
        job.resources = Resources {
            ranks: 8,
            nodes: Some(4),
            time: Some("5".into()),
            output: Some(at(&format!("{name}.log")).display().to_string()),
            ..Resources::default()
        };
        let (state, log) = ended(&testbed, &job);
        assert!(state.is_success(), "{name}: {state}\n{log}");
        check(&at(name), &expected);
    }

    // An error is one report and its exit code, also across nodes.
    for (name, launcher) in [("bad-srun", Launcher::default()), ("bad-mpirun", Launcher::Mpirun)] {
        let argv = [RANKINE, "run", "heat3d", "--input", "/nowhere/scan.h5:/t1", "--out"].map(String::from);
        let mut job = Job::new(argv.into_iter().chain([at(name).display().to_string()]));
        job.launcher = launcher;
        job.as_root = true;
        job.resources = Resources {
            ranks: 8,
            nodes: Some(4),
            output: Some(at(&format!("{name}.log")).display().to_string()),
            ..Resources::default()
        };
        let (state, log) = ended(&testbed, &job);
        assert_eq!(state.exit_code, 4, "{name}: {state}\n{log}");
        assert_eq!(log.matches("error: rank").count(), 1, "{log}");
        assert!(!at(name).exists(), "{name} left a directory");
    }

    // `rankine submit` does all of it.
    let output = Command::new(RANKINE)
        .args(["submit", "heat3d", "--nodes", "4", "--ranks", "8", "--time", "5"])
        .args(&arguments(&at("submitted"))[2..])
        .current_dir(folder.path())
        .envs(testbed.env())
        .output()
        .unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    let id = text
        .split_whitespace()
        .find_map(|word| word.trim_end_matches([':', ';']).parse().ok())
        .map(JobId)
        .expect(&text);
    let state = testbed.slurm().wait(id, Duration::from_secs(240)).unwrap_or_else(|error| panic!("{error}"));
    assert!(state.is_success(), "{state}");
    check(&at("submitted"), &expected);
    testbed.down().unwrap_or_else(|error| panic!("{error}"));
}
