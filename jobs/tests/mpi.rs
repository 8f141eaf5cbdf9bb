//! The command `rankine` under mpirun: what `cli` demands of the Local engine, demanded of the Mpi engine. Built only
//! with the feature `mpi`; how to start ranks is in RANKINE_MPIRUN, `mpirun --oversubscribe` without it.

mod common;

use common::{bad_input_is_refused, benches_print_their_tables, ended, rankine, refused, runs_agree};
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
