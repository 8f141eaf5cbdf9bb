//! The command `rankine` on the Local engine, as a person uses it. Under mpirun it is tested in `mpi`.

mod common;

use common::{
    bad_input_is_refused, benches_print_their_tables, ended, files, json, rankine, refused,
    research_kernels_validate, runs_agree,
};
use std::path::Path;
use std::process::Command;

fn local(folder: &Path, ranks: usize, words: &[&str]) -> Command {
    let mut command = rankine(folder);
    command.arg("run").args(words);
    if ranks > 1 && !words[0].starts_with("haet") && words[0] != "--steps" {
        command.args(["--ranks", &ranks.to_string()]);
    }
    command
}

/// Runs words that must work and gives what they print.
fn works(folder: &Path, words: &str) -> String {
    let mut command = rankine(folder);
    command.args(words.split(' '));
    let ended = ended(command);
    assert_eq!(ended.code, 0, "{words}\n{}", ended.stderr);
    ended.stdout
}

#[test]
fn bad_input() {
    bad_input_is_refused(&local);
}

#[test]
fn ranks_agree() {
    runs_agree(&local, "local");
}

#[test]
fn the_research_kernels_validate() {
    for ranks in [1, 3, 4] {
        research_kernels_validate(&local, ranks);
    }
    let threads = |folder: &Path, ranks: usize, words: &[&str]| {
        let mut command = local(folder, ranks, words);
        command.args(["--threads", "2"]);
        command
    };
    research_kernels_validate(&threads, 1);
    research_kernels_validate(&threads, 2);
}

#[test]
fn kernels_are_compared_in_all_forms() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let text = works(
        root,
        "compare nstream --workers 2 --turns 1 --seconds 0.01 --sweep length=1000,20000 --out out",
    );
    for word in
        ["length 1000", "length 20000", "2 ranks", "1 rank x 2 threads", "2 ranks x 2 threads", "waiting"]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
    let sentence = text.lines().last().unwrap();
    assert!(sentence.ends_with('.') && sentence.contains("since"), "{sentence}");
    assert!(std::fs::read(root.join("out/compare.png")).unwrap().starts_with(b"\x89PNG"));
    let report = json(root.join("out/compare.json"));
    assert_eq!(report["sizes"].as_array().unwrap().len(), 2);
    assert!(sentence.contains(report["verdict"].as_str().unwrap()));
    // Ranks that exchange halos have sent something, and one alone has not.
    let words = "compare stencil --turns 1 --seconds 0.01 --sweep size=64 --json -- --radius 1";
    let report: serde_json::Value = serde_json::from_str(&works(root, words)).unwrap();
    let forms = report["sizes"][0]["forms"].as_array().unwrap();
    assert!(forms.iter().all(|of| {
        let sent = of["run"]["messages"].as_u64().unwrap();
        (sent > 0) == (of["form"]["ranks"].as_u64().unwrap() > 1)
    }));
    for (words, says) in [
        ("compare stensil", "did you mean stencil?"),
        ("compare nstream --sweep size=1,2", "--sweep size: nstream has no such flag"),
        ("compare nstream --sweep length=2,1", "--sweep length=2,1"),
        ("compare nstream --workers 1", "--workers 1"),
        ("compare nstream --seconds 0", "--seconds 0"),
        ("compare nstream --turns 0", "--turns 0"),
        ("bench prk --only stensil", "--only stensil"),
        ("bench prk --peers nowhere", "--peers nowhere"),
        ("bench prk --turns 0", "--turns 0"),
    ] {
        let mut command = rankine(root);
        command.args(words.split(' '));
        refused(command, words, 2, &[says]);
    }
}

#[test]
fn list_info_and_help() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    assert!(works(root, "list").contains("heat3d"));
    let info = works(root, "info heat3d");
    for word in ["--cells <Z,Y,X>", "[default: 100]", "Verified: the exact discrete decay", "Memory: "] {
        assert!(info.contains(word), "{info}");
    }
    let list: serde_json::Value = serde_json::from_str(&works(root, "list --json")).unwrap();
    assert_eq!(list[0]["kernel"], "heat3d");
    assert!(list.as_array().unwrap().len() > 8);
    let info: serde_json::Value = serde_json::from_str(&works(root, "info heat3d --json")).unwrap();
    assert!(info["bytes_at_defaults"].as_u64().unwrap() > 16 * 64 * 64 * 64);
    for help in ["--help", "run --help", "run heat3d --help", "submit --help", "submit heat3d --help"] {
        assert!(works(root, help).contains("Usage: rankine"), "{help}");
    }
    assert!(works(root, "run heat3d --help").contains("--ranks"));
    assert!(files(root).is_empty());
}

#[test]
fn a_job_file_and_its_override_and_the_same_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let job = "kernel = \"heat3d\"\n[parameters]\ncells = [6, 7, 8]\nsteps = 12\nwalls = \"periodic\"\n\
               wall-value = 1\n[run]\nranks = 2\nevery = 4\n";
    std::fs::write(root.join("job.toml"), job).unwrap();
    works(root, "run --job job.toml --steps 20 --out first");
    let first = json(root.join("first/result.json"));
    assert_eq!(first["steps"], 20);
    assert_eq!(first["parameters"]["walls"], "periodic");
    assert_eq!(json(root.join("first/provenance.json"))["ranks"], 2);
    let scalars = std::fs::read_to_string(root.join("first/out/scalars.csv")).unwrap();
    assert_eq!(scalars.lines().count(), 1 + 6, "{scalars}");
    works(root, "run heat3d --job first/run.toml --ranks 3 --out second");
    let second = json(root.join("second/result.json"));
    assert_eq!(second["checksum"], first["checksum"]);
    assert_eq!(second["parameters"], first["parameters"]);
    works(root, "run --job job.toml --out third");
    assert_ne!(json(root.join("third/result.json"))["checksum"], first["checksum"]);
}

#[test]
fn an_earlier_run_is_replaced_only_if_asked() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let words = "run heat3d --cells 8 --steps 2 --out run";
    works(root, words);
    let again: Vec<&str> = words.split(' ').skip(1).collect();
    refused(local(root, 1, &again), words, 4, &["run holds an earlier run", "--overwrite"]);
    works(root, "run heat3d --cells 8 --steps 3 --out run --overwrite");
    assert_eq!(json(root.join("run/result.json"))["steps"], 3);
}

#[test]
fn without_a_directory_one_is_chosen_and_without_output_none() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    works(root, "run heat3d --cells 8 --steps 2 --no-output --ranks 2");
    assert!(files(root).is_empty());
    works(root, "run heat3d --cells 8 --steps 2");
    works(root, "run heat3d --cells 8 --steps 2");
    let runs = files(&root.join("runs"));
    assert_eq!(runs.iter().filter(|name| name.ends_with("result.json")).count(), 2, "{runs:?}");
}

#[test]
fn the_report_as_json_and_no_report() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let text = works(root, "run heat3d --cells 8 --steps 2 --json --out run");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["checksum"], json(root.join("run/result.json"))["checksum"]);
    assert!(report["verdict"]["passed"].is_array(), "{report}");
    assert_eq!(works(root, "run heat3d --cells 8 --steps 2 --quiet --no-output"), "");
}

#[test]
fn progress_in_a_log_is_lines() {
    let folder = tempfile::tempdir().unwrap();
    let ended = ended(local(folder.path(), 2, &["heat3d", "--cells", "8", "--steps", "5", "--no-output"]));
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.starts_with("heat3d: step 5 of 5 (100%), "), "{}", ended.stderr);
}

#[test]
fn the_example_job_runs() {
    let folder = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/heat3d.toml");
    let words = ["--job", example.to_str().unwrap(), "--steps", "10", "--out", "run"];
    let ended = ended(local(folder.path(), 1, &words));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(json(folder.path().join("run/provenance.json"))["ranks"], 2);
}

#[test]
fn doctor_looks_at_everything() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = rankine(folder.path());
    let ended = ended({
        command.args(["doctor", "--json", "--ranks", "2", "--no-launch"]);
        command
    });
    assert!([0, 3].contains(&ended.code), "{}", ended.stderr);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["schema"], "rankine-doctor/1");
    for what in ["MPI", "launcher", "HDF5", "cores", "/dev/shm", "CMA", "run folder", "file locks", "Slurm"] {
        let found = report["findings"].as_array().unwrap().iter().find(|finding| finding["what"] == what);
        assert!(found.is_some_and(|finding| finding["state"].is_string()), "{what}: {report}");
    }
    assert!(files(folder.path()).is_empty());
    let mut bad = rankine(folder.path());
    bad.args(["doctor", "--deadline", "0"]);
    refused(bad, "deadline", 2, &["--deadline 0"]);
}

#[test]
fn bench_measures_messages_on_threads() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let quick = "bench messaging --turns 1 --turn 0.05";
    let table =
        works(root, &format!("{quick} --ranks 3 --only latency,alltoallv,iallreduce --sizes 8,24 --out o"));
    assert_eq!(table.lines().count(), 2 + 6, "{table}");
    assert!(table.contains("alltoallv") && table.contains("Local"), "{table}");
    let rows = json(root.join("o/messaging.json"))["measurements"].clone();
    assert!(rows.as_array().unwrap().iter().all(|row| row["Local"].as_f64().unwrap() > 0.0), "{rows}");
    let picture = std::fs::read(root.join("o/messaging.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 5000);
    // Every operation there is, once.
    let all: serde_json::Value =
        serde_json::from_str(&works(root, &format!("{quick} --sizes 64 --json"))).unwrap();
    assert!(all["measurements"].as_array().unwrap().len() > 20);
    let bad = |words: &str| {
        let mut command = rankine(root);
        command.args(["bench", "messaging"]).args(words.split(' '));
        command
    };
    refused(bad("--only latenzy"), "only", 2, &["latenzy"]);
    refused(bad("--ranks 1"), "ranks", 2, &["2 to 1024"]);
    refused(bad("--turns 0"), "turns", 2, &["--turns 0"]);
    refused(bad("--turn -1"), "turn", 2, &["-1"]);
    refused(bad("--sizes 999999999999"), "sizes", 2, &["--sizes 999999999999"]);
    refused(bad("--turns 1 --turn 0.05 --only latency --sizes 8,16 --out /proc/x"), "out", 4, &["/proc/x"]);
}

#[test]
fn bench_measures_arrays_products_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let measure = |words: &[&str]| {
        let mut command = rankine(folder.path());
        command.args(words).args(["--ranks", "2"]);
        command
    };
    benches_print_their_tables(&measure, 2, &["local"]);
}

#[test]
fn submit_shows_the_script() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::write(root.join("job.toml"), "kernel = \"heat3d\"\n[slurm]\ntime = \"1:00:00\"\nnodes = 2\n")
        .unwrap();
    let script = works(root, "submit --job job.toml --ranks 8 --threads 2 --nodes 4 --cells 32 --dry-run");
    for line in [
        "#SBATCH --job-name=heat3d",
        "#SBATCH --time=1:00:00",
        "#SBATCH --nodes=4",
        "#SBATCH --ntasks=8",
        "#SBATCH --cpus-per-task=2",
        "run heat3d --cells=32 --job=runs/heat3d-",
    ] {
        assert!(script.contains(line), "{line}\n{script}");
    }
    assert!(!script.contains("--ranks"), "{script}");
    let bad = |words: &str| {
        let mut command = rankine(root);
        command.arg("submit").args(words.split(' '));
        command
    };
    refused(bad("heat3d --ranks 2 --nodes 4 --dry-run"), "nodes", 2, &["nodes"]);
    refused(bad("heat3d --dt 9 --dry-run"), "dt", 2, &["unstable"]);
    refused(bad("heat3d --time soon --dry-run"), "time", 2, &["soon"]);
    assert_eq!(files(root), ["job.toml"]);
}

#[cfg(feature = "hdf5")]
#[test]
fn a_file_is_the_start_of_another_run() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    works(root, "run heat3d --cells 9,8,7 --steps 6 --every 3 --spacing 2,1,1 --out first");
    let input = "first/out/fields-000003.h5:/temperature";
    // Half of the way from the file, the other half as before: the same end.
    let words = format!("run heat3d --input {input} --spacing 2,1,1 --steps 3 --ranks 3 --out second");
    works(root, &words);
    let sum = |run: &str| json(root.join(run).join("result.json"))["checksum"].clone();
    assert_eq!(sum("first"), sum("second"));
    let before = files(root);
    for (words, code, says) in [
        ("heat3d --input first/out/fields-000003.h5:/nothing --out x", 4, &["nothing"][..]),
        (
            "heat3d --cells 9,8,8 --input first/out/fields-000003.h5:/temperature --out x",
            2,
            &["9,8,8", "9,8,7"][..],
        ),
    ] {
        refused(local(root, 3, &words.split(' ').collect::<Vec<_>>()), words, code, says);
        assert_eq!(files(root), before, "{words}");
    }
}
