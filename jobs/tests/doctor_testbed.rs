//! `rankine doctor` on a real Slurm cluster of four nodes: slow and cut links, a node out of reach, a folder that is not
//! shared, srun without the right plugin. Needs root and Slurm; the feature `testbed-tests` says that they are there. Processes
//! of one node are given another time of day by libfaketime, since all nodes are one machine with one clock.

use rankine_slurm::Testbed;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const RANKINE: &str = env!("CARGO_BIN_EXE_rankine");
const SRUN: [&str; 4] = ["srun", "-N4", "-n8", "--mpi=pmix"];

/// Where the testbed keeps the process numbers of its daemons.
const TESTBED: &str = "/run/rk-testbed";

/// Runs words in a folder on the cluster, to their end.
fn run(testbed: &Testbed, folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(folder).stdin(Stdio::null());
    for name in ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] {
        command.env(name, "1");
    }
    command.env("OMPI_MCA_mpi_yield_when_idle", "1");
    testbed.srun(&mut command).unwrap_or_else(|error| panic!("{}: {error}", words[0]))
}

fn done(words: &[&str]) {
    let output = Command::new(words[0]).args(&words[1..]).output().expect(words[0]);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The report that a command has shown.
fn shown(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find(|line| line.starts_with('{'));
    serde_json::from_str(line.unwrap_or_else(|| panic!("no report: {text}{said}"))).expect("JSON")
}

fn report(output: &Output) -> Value {
    let report = shown(output);
    let faulty = report["faults"].as_u64().expect("a number") > 0;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(if faulty { 3 } else { 0 }), "{report:#}\n{said}");
    report
}

/// Every finding of a kind that is not as it should be, in words.
fn bad(report: &Value, what: &str) -> Vec<String> {
    let all = report["findings"].as_array().expect("a list").iter();
    let bad = all.filter(|finding| finding["what"] == what && finding["state"] != "ok");
    bad.map(|finding| finding.to_string()).collect()
}

fn one(report: &Value, what: &str, says: &[&str]) -> String {
    let bad = bad(report, what);
    assert_eq!(bad.len(), 1, "{what}: {report:#}");
    for part in says {
        assert!(bad[0].contains(part), "{part:?} is not in {}", bad[0]);
    }
    assert!(bad[0].contains("\"fix\""), "{}", bad[0]);
    bad[0].clone()
}

#[test]
fn faults_between_nodes_are_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path();
    let testbed = Testbed::up(4, 2).unwrap_or_else(|error| panic!("{error}"));
    let look_by = |words: &[&str]| report(&run(&testbed, root, &[&SRUN[..], words].concat()));
    let look =
        |words: &[&str]| look_by(&[&[RANKINE, "doctor", "--json", "--deadline", "200"], words].concat());

    // A cluster that is well.
    let well = look(&[]);
    assert_eq!((&well["faults"], &well["ranks"]), (&0.into(), &8.into()), "{well:#}");
    let names: Vec<&str> =
        well["nodes"].as_array().unwrap().iter().map(|n| n["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["rk-n1", "rk-n2", "rk-n3", "rk-n4"]);
    let pairs = well["pairs"].as_array().unwrap();
    let between = pairs.iter().filter(|pair| pair["nodes"][0] != pair["nodes"][1]);
    assert_eq!((pairs.len(), between.count()), (6 + 4, 6), "{well:#}");
    for pair in pairs {
        for field in ["latency", "bandwidth", "allreduce"] {
            assert!(pair[field].as_f64().is_some_and(|value| value > 0.0), "{pair}");
        }
    }
    for what in ["clocks", "shared folder", "CMA", "MPI", "answers"] {
        assert_eq!(bad(&well, what), [""; 0], "{well:#}");
    }

    // A slow link is its node's.
    testbed.rate(2, "100mbit").unwrap();
    let slow = look(&[]);
    one(&slow, "network", &["rk-n2 is slow", "usually", "--exclude=rk-n2"]);
    testbed.rate(2, "none").unwrap();

    // Two nodes that do not reach each other, though all others do: each takes the other for somebody who is not there.
    let neighbour = |verb: &[&str], node: &str, other: &str| {
        done(&[&["ip", "-n", node, "neigh"], verb, &[other, "dev", "eth0"]].concat());
    };
    for (node, other) in [("rk-n2", "10.77.0.13"), ("rk-n3", "10.77.0.12")] {
        done(&[
            "ip",
            "-n",
            node,
            "neigh",
            "replace",
            other,
            "lladdr",
            "02:00:00:00:00:99",
            "dev",
            "eth0",
            "nud",
            "permanent",
        ]);
    }
    let words = ["srun", "-N4", "-n4", "--mpi=pmix", RANKINE, "doctor", "--json", "--deadline", "40"];
    let output = run(&testbed, root, &words);
    // srun's code is the worst of its tasks', and it kills those that are left.
    assert_ne!(output.status.code(), Some(0));
    let cut = shown(&output);
    // Where MPI itself needs that link to start, nobody can be asked, and the deadline says so.
    let silent = [bad(&cut, "network"), bad(&cut, "answers")].concat().join("\n");
    let named =
        silent.contains("between rk-n2 and rk-n3") || silent.contains("no end in time while MPI starts");
    assert!(named && cut["faults"].as_u64() > Some(0), "{cut:#}");
    neighbour(&["del"], "rk-n2", "10.77.0.13");
    neighbour(&["del"], "rk-n3", "10.77.0.12");

    // A node whose clock is late.
    let late = "case $SLURMD_NODENAME in rk-n4) \
        export LD_PRELOAD=$(ls /usr/lib/*/faketime/libfaketimeMT.so.1) FAKETIME=-90 FAKETIME_DONT_FAKE_MONOTONIC=1 ;; \
        esac; exec \"$0\" \"$@\"";
    let late = look_by(&["sh", "-c", late, RANKINE, "doctor", "--json"]);
    one(&late, "clocks", &["rk-n4 is ", "behind rk-n1", "out of order", "chronyc"]);

    // A folder that one node has for itself.
    let pid = std::fs::read_to_string(format!("{TESTBED}/rk-n3.pid")).unwrap();
    let inside = ["nsenter", "-t", pid.trim(), "-m"];
    done(&[&inside[..], &["mount", "-t", "tmpfs", "tmpfs", root.to_str().unwrap()]].concat());
    let blind = look(&[]);
    one(&blind, "shared folder", &["is not seen on rk-n3"]);
    done(&[&inside[..], &["umount", root.to_str().unwrap()]].concat());

    // srun without an interface for MPI, and without the plugin for it.
    let copies =
        report(&run(&testbed, root, &["srun", "-N2", "-n2", "--mpi=none", RANKINE, "doctor", "--json"]));
    one(&copies, "launcher", &["2 copies of rank 0", "--mpi=none", "srun --mpi=pmix -n 2"]);
    missing_plugin(&testbed, root);

    // Alone on a node of the cluster, with words to start the ranks elsewhere.
    let launch = ["--launch", "srun -N2 -n2 --mpi=pmix"];
    let started = report(&run(&testbed, root, &[&[RANKINE, "doctor", "--json"], &launch[..]].concat()));
    assert_eq!((&started["faults"], &started["ranks"]), (&0.into(), &2.into()), "{started:#}");

    // A node that is not there any more when the ranks are started.
    testbed.cut(2).unwrap();
    let gone = report(&run(
        &testbed,
        root,
        &[RANKINE, "doctor", "--json", "--deadline", "6", "--launch", "srun -N4 -n4 --mpi=pmix"],
    ));
    assert!(gone["faults"].as_u64() > Some(0), "{gone:#}");
    assert!([bad(&gone, "start"), bad(&gone, "answers")].concat().len() == 1, "{gone:#}");
    testbed.mend(2).unwrap();
    testbed.down().unwrap_or_else(|error| panic!("{error}"));
}

/// The cluster's configuration with a folder of plugins that has none of PMIx.
fn missing_plugin(testbed: &Testbed, root: &Path) {
    let plugins = root.join("plugins");
    std::fs::create_dir(&plugins).unwrap();
    let installed =
        Command::new("sh").args(["-c", "ls -d /usr/lib*/slurm* /usr/lib/*/slurm*"]).output().unwrap();
    let installed = String::from_utf8_lossy(&installed.stdout);
    for folder in installed.lines().filter(|folder| Path::new(folder).is_dir()) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.ends_with(".so") && !name.starts_with("mpi_pmix") {
                let _ = std::os::unix::fs::symlink(&path, plugins.join(&name));
            }
        }
    }
    let conf = testbed.env().find(|(name, _)| *name == "SLURM_CONF").expect("SLURM_CONF").1.to_string();
    let text = std::fs::read_to_string(&conf).unwrap() + &format!("PluginDir={}\n", plugins.display());
    let ours = root.join("slurm.conf");
    std::fs::write(&ours, text).unwrap();
    let set = format!("SLURM_CONF={}", ours.display());
    let missing = report(&run(testbed, root, &["env", &set, RANKINE, "doctor", "--json", "--no-launch"]));
    one(&missing, "srun --mpi", &["needs --mpi=pmix", "pmi2", "rankine submit KERNEL --launcher mpirun"]);
    let there = report(&run(testbed, root, &[RANKINE, "doctor", "--json", "--no-launch"]));
    assert_eq!(bad(&there, "srun --mpi"), [""; 0], "{there:#}");
    std::fs::remove_file(ours).unwrap();
}
