//! The command `rankine` under mpirun: what `cli` demands of the Local engine, demanded of the Mpi engine. Built only
//! with the feature `mpi`; how to start ranks is in RANKINE_MPIRUN, `mpirun --oversubscribe` without it.

mod common;

use common::{
    bad_input_is_refused, benches_print_their_tables, ended, rankine, refused, research_kernels_validate,
    runs_agree,
};
use std::path::Path;
use std::process::Command;

fn mpirun(folder: &Path, ranks: usize, words: &[&str]) -> Command {
    started(folder, ranks, &[&["run"], words].concat())
}

fn started(folder: &Path, ranks: usize, words: &[&str]) -> Command {
    let launcher = std::env::var("RANKINE_MPIRUN").unwrap_or_else(|_| "mpirun --oversubscribe".to_string());
    let mut parts = launcher.split_whitespace();
    let program = rankine(folder);
    let mut command = Command::new(parts.next().expect("RANKINE_MPIRUN names a program"));
    command.args(parts).args(["-n", &ranks.to_string()]).arg(program.get_program()).args(words);
    command.current_dir(folder);
    // mpirun for root, in Open MPI 4 and 5; others do not mind.
    for name in ["OMPI_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT"] {
        command.env(name, "1").env(format!("{name}_CONFIRM"), "1");
    }
    for name in ["OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"] {
        command.env_remove(name);
    }
    command
}

#[test]
fn bad_input() {
    bad_input_is_refused(&mpirun);
}

#[test]
fn the_research_kernels_validate() {
    for ranks in [1, 2, 3, 4, 7] {
        research_kernels_validate(&mpirun, ranks);
    }
}

#[test]
fn research_kernels_are_measured_beside_other_programs_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let peers = folder.path().join("peers/Nstream");
    std::fs::create_dir_all(&peers).unwrap();
    let program = "#!/bin/sh\necho \"Rate (MB/s): 123.5 Avg time (s): 0.1\"\n";
    std::fs::write(peers.join("nstream"), program).unwrap();
    let made = Command::new("chmod").arg("+x").arg(peers.join("nstream")).status().unwrap();
    assert!(made.success());
    let words = "bench prk --brief --turns 1 --ranks 2 --only nstream --peers peers";
    let run = |words: &str| {
        let mut command = rankine(folder.path());
        command.args(words.split(' '));
        for name in ["OMPI_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT"] {
            command.env(name, "1").env(format!("{name}_CONFIRM"), "1");
        }
        ended(command)
    };
    let text = run(words);
    assert_eq!(text.code, 0, "{}", text.stderr);
    for word in ["2 ranks, MPI", "1 rank x 2 threads", "MB/s", "memory", "to the peer", "geometric mean"] {
        assert!(text.stdout.contains(word), "{word}: {}", text.stdout);
    }
    let report: serde_json::Value = serde_json::from_str(&run(&format!("{words} --json")).stdout).unwrap();
    let forms = report["kernels"][0]["forms"].as_array().unwrap();
    assert_eq!(forms.len(), 4);
    let rate = |of: &serde_json::Value| of["rate"].as_f64().unwrap();
    assert!(
        forms.iter().all(|of| (of["to_peer"].as_f64().unwrap() - rate(of) / 123.5).abs() < 1e-9 * rate(of))
    );
    let missing = run("bench prk --brief --only dgemm --peers peers");
    assert!(missing.code == 2 && missing.stderr.contains("there is no dgemm in it"), "{}", missing.stderr);
    let inside = ended(started(folder.path(), 2, &["compare", "nstream"]));
    assert!(inside.code == 2 && inside.stderr.contains("without mpirun"), "{}", inside.stderr);
}

#[test]
fn ranks_agree() {
    runs_agree(&mpirun, "mpi");
}

#[test]
fn bench_measures_all_sides() {
    let folder = tempfile::tempdir().unwrap();
    for ranks in [2, 3] {
        let words = "bench messaging --turns 2 --turn 0.1 --sizes 8,2000 --json";
        let ended = ended(started(folder.path(), ranks, &words.split(' ').collect::<Vec<_>>()));
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let all: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(all["ranks"], ranks);
        let rows = all["measurements"].as_array().unwrap();
        assert!(rows.len() > 40);
        for row in rows.iter().filter(|row| row["operation"] != "overlap") {
            for side in ["Local", "Mpi", "C"] {
                assert!(row[side].as_f64().is_some_and(|seconds| seconds > 0.0), "{side}: {row}");
            }
        }
    }
    refused(started(folder.path(), 2, &["bench", "messaging", "--ranks", "3"]), "ranks", 2, &["launcher"]);
}

#[test]
fn bench_measures_arrays_products_and_files() {
    let folder = tempfile::tempdir().unwrap();
    benches_print_their_tables(&|words| started(folder.path(), 2, words), 2, &["mpi", "local"]);
}
