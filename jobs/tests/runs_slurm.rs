//! Runs of a real Slurm as people look after them: waiting, running, cancelled in either state, resumed. Needs root and Slurm; the
//! feature `testbed-tests` says that they are there.

use rankine_slurm::{JobId, Testbed};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const RANKINE: &str = env!("CARGO_BIN_EXE_rankine");

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn rankine(testbed: &Testbed, folder: &Path, words: &str, code: i32) -> String {
    let output = Command::new(RANKINE)
        .args(words.split(' '))
        .current_dir(folder)
        .envs(testbed.env())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(code), "{words}: {}", said(&output));
    said(&output)
}

/// Waits until the run is in that state, and has done a step if it runs.
fn until(testbed: &Testbed, folder: &Path, run: &str, state: &str) -> Value {
    let began = Instant::now();
    loop {
        let text = rankine(testbed, folder, &format!("status {run} --json"), 0);
        let seen = serde_json::from_str::<Value>(&text).expect("JSON")[0].clone();
        if seen["state"] == state && (state != "running" || seen["step"].as_u64() > Some(0)) {
            return seen;
        }
        let log = std::fs::read_to_string(folder.join(run).join("slurm.log")).unwrap_or_default();
        assert!(began.elapsed() < Duration::from_secs(120), "{run} is not {state}: {seen}\n{log}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What whoever submits a run leaves in its directory.
fn submit(testbed: &Testbed, folder: &Path, (run, flag): (&str, &str), nodes: u32, words: &str) -> JobId {
    let path = folder.join(run);
    std::fs::create_dir_all(&path).unwrap();
    let log = path.join("slurm.log");
    let script = format!(
        "#!/bin/bash\n#SBATCH --nodes={nodes}\n#SBATCH --ntasks={0}\n#SBATCH --time=10\n#SBATCH --output={1}\n\
         #SBATCH --open-mode=append\n#SBATCH --chdir={2}\n\
         for start in 1 2 3; do code=0; srun --mpi=pmix {RANKINE} run heat3d {words} {flag}={run} || code=$?\n\
         [ $code = 139 ] && grep -q 'failed to TCP connect' {1} || exit $code; done\n",
        2 * nodes,
        log.display(),
        folder.display()
    );
    std::fs::write(path.join("job.sh"), &script).unwrap();
    let id = testbed.slurm().submit(&script).unwrap_or_else(|error| panic!("{error}"));
    std::fs::write(path.join("slurm.json"), json!({"jobs": [{"id": id.0}]}).to_string()).unwrap();
    id
}

#[test]
fn runs_of_slurm_are_looked_after() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path();
    let testbed = Testbed::up(2, 2).unwrap_or_else(|error| panic!("{error}"));
    let words = "--cells 20 --steps 100000000 --progress 0.2 --threads 1 --quiet";
    let first = submit(&testbed, root, ("runs/first", "--out"), 2, words);
    let seen = until(&testbed, root, "runs/first", "running");
    assert_eq!((&seen["job"], &seen["ranks"]), (&first.to_string().into(), &4.into()));
    assert!(seen["slurm"].as_str().unwrap().starts_with("RUNNING"), "{seen}");

    // The next one waits for the nodes, and is taken out of the queue.
    let second = submit(&testbed, root, ("runs/second", "--resume"), 2, words);
    let seen = until(&testbed, root, "runs/second", "waiting");
    assert!(seen["slurm"].as_str().unwrap().starts_with("PENDING"), "{seen}");
    let table = rankine(&testbed, root, "status", 0);
    assert!(table.contains("running") && table.contains("waiting") && table.contains("PENDING"), "{table}");
    assert!(rankine(&testbed, root, "resume second", 2).contains("is going on: it is waiting"));
    let cancelled = rankine(&testbed, root, "cancel second", 0);
    assert!(
        cancelled.contains(&format!("cancelled job {second}")) && cancelled.contains("waiting"),
        "{cancelled}"
    );
    let state = testbed.slurm().wait(second, Duration::from_secs(60)).unwrap();
    assert_eq!(state.state.to_string(), "CANCELLED");
    assert!(!until(&testbed, root, "runs/second", "cancelled")["slurm"].is_null());

    // Saved and stopped; Slurm sees its exit code.
    assert!(rankine(&testbed, root, "cancel first", 0).contains("STOP"));
    let state = testbed.slurm().wait(first, Duration::from_secs(60)).unwrap();
    assert_eq!(state.exit_code, 75, "{state}");
    let stopped = until(&testbed, root, "runs/first", "stopped");
    let step = stopped["step"].as_u64().unwrap();

    // Handed to Slurm again by its own script, from where it was.
    let resumed = rankine(&testbed, root, "resume first", 0);
    assert!(resumed.contains("submitted job ") && resumed.contains("goes on with runs/first"), "{resumed}");
    let seen = until(&testbed, root, "runs/first", "running");
    assert!(seen["job"] != first.to_string() && seen["step"].as_u64() >= Some(step), "{seen}");
    let about = std::fs::read_to_string(root.join("runs/first/slurm.json")).unwrap();
    let about: Value = serde_json::from_str(&about).unwrap();
    assert_eq!((about["jobs"].as_array().unwrap().len(), &about["jobs"][0]), (2, &json!({"id": first.0})));
    assert!(rankine(&testbed, root, "resume first --steps 5", 2).contains("is going on"));
    let ended = rankine(&testbed, root, "cancel first --now", 0);
    assert!(ended.contains("scancel") && ended.contains("which was running"), "{ended}");
    let job = JobId(about["jobs"][1]["id"].as_u64().unwrap());
    testbed.slurm().wait(job, Duration::from_secs(60)).unwrap();
    // Its ranks get SIGTERM first, and save it.
    let text = rankine(&testbed, root, "status first --json", 0);
    let seen = serde_json::from_str::<Value>(&text).expect("JSON")[0].clone();
    assert!(seen["state"] == "stopped" || seen["state"] == "cancelled", "{seen}");

    // A script that would begin anew is not submitted again.
    std::fs::write(root.join("runs/first/job.sh"), "#!/bin/sh\nrankine run heat3d\n").unwrap();
    let refused = rankine(&testbed, root, "resume first", 2);
    assert!(
        refused.contains("begin the run anew") && refused.contains("rankine submit --resume"),
        "{refused}"
    );
    testbed.down().unwrap_or_else(|error| panic!("{error}"));
}
