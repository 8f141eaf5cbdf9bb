//! What `rankine submit` submits, on a real Slurm cluster of four nodes: launchers and binding, jobs that are started
//! again after a signal or a node's failure, sweeps. Needs root and Slurm; the feature `testbed-tests` says that they
//! are there.

use rankine_slurm::{JobId, JobState, Testbed};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const RANKINE: &str = env!("CARGO_BIN_EXE_rankine");
const PATIENCE: Duration = Duration::from_secs(200);

struct Site {
    testbed: Testbed,
    folder: tempfile::TempDir,
}

impl Site {
    fn run(&self, program: &str, words: &str) -> Output {
        let mut command = Command::new(program);
        command.args(words.split_whitespace()).current_dir(self.folder.path());
        self.testbed.srun(&mut command).unwrap_or_else(|error| panic!("{program}: {error}"))
    }

    fn says(&self, program: &str, words: &str) -> String {
        let output = self.run(program, words);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{words}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    fn submit(&self, words: &str) -> JobId {
        let said = self.says(RANKINE, &format!("submit {words}"));
        let number = said.split(|c: char| !c.is_ascii_digit()).find_map(|word| word.parse().ok());
        JobId(number.unwrap_or_else(|| panic!("no job in {said}")))
    }

    fn wait(&self, job: JobId) -> JobState {
        self.testbed.slurm().wait(job, PATIENCE).unwrap_or_else(|error| panic!("{error}"))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self, run: &str) -> String {
        std::fs::read_to_string(self.at(run).join("slurm.log")).unwrap_or_default()
    }

    fn succeeds(&self, job: JobId, run: &str) -> Value {
        let state = self.wait(job);
        assert!(state.is_success(), "{run}: {state}\n{}", self.log(run));
        json(&self.at(run).join("result.json")).unwrap_or_else(|| panic!("{run} has no result"))
    }

    /// Waits for something that the job does.
    fn until(&self, run: &str, what: &str, mut done: impl FnMut() -> bool) {
        let began = Instant::now();
        while !done() {
            assert!(
                began.elapsed() < PATIENCE,
                "{run}: no {what}\n{}\n{}",
                self.log(run),
                self.says("squeue", "")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// How often the job was started again.
    fn restarts(&self, job: JobId) -> u32 {
        let shown = self.says("scontrol", &format!("show job -o {job}"));
        let word = shown.split_whitespace().find_map(|word| word.strip_prefix("Restarts="));
        word.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no Restarts in {shown}"))
    }

    /// The nodes of a running job: the first has the batch script.
    fn nodes(&self, job: JobId) -> Vec<u32> {
        let list = self.says("squeue", &format!("--noheader --jobs={job} --format=%N"));
        let names = self.says("scontrol", &format!("show hostnames {}", list.trim()));
        names.lines().map(|name| name.trim_start_matches("rk-n").parse().expect("a node")).collect()
    }
}

fn json(path: &Path) -> Option<Value> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

/// The state and step that the run has written last.
fn progress(run: &Path) -> (String, u64) {
    let progress = json(&run.join("progress.json")).unwrap_or_default();
    (progress["state"].as_str().unwrap_or_default().to_string(), progress["step"].as_u64().unwrap_or(0))
}

#[test]
fn submitted_runs_on_four_nodes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let testbed = Testbed::up(4, 2).unwrap_or_else(|error| panic!("{error}"));
    let site = Site { testbed, folder };
    slurm_is_asked(&site);
    ranks_have_their_cores(&site);
    a_sweep_and_its_failed_run(&site);
    std::fs::write(site.at(LONG), JOB).unwrap();
    // Slurm looks at limits twice a minute.
    let limited = site.submit(&format!("{LONG} --nodes 2 --ranks 2 --requeue --time 1 --out limited"));
    three_starts_are_one_run(&site);
    a_limit_is_no_end(&site, limited);
    preempted_jobs_go_on(&site);
    a_node_that_fails_costs_nothing(&site);
    site.testbed.down().unwrap_or_else(|error| panic!("{error}"));
}

fn slurm_is_asked(site: &Site) {
    let said = site.says(RANKINE, "submit heat3d --cells 8 --nodes 4 --ranks-per-node 2 --check");
    assert!(said.contains("to start at") && said.contains("rk-n"), "{said}");
    let refused = site.run(RANKINE, "submit heat3d --cells 8 --nodes 9 --ranks 9 --check");
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    // The testbed's nodes have 4000 MiB.
    let refused = site.run(RANKINE, "submit heat3d --cells 1024 --nodes 2 --ranks 2");
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(
        refused.status.code() == Some(2) && text.contains("4 nodes of partition debug have 3.91 GiB"),
        "{text}"
    );
    assert!(std::fs::read_dir(site.folder.path()).unwrap().next().is_none());
}

fn ranks_have_their_cores(site: &Site) {
    let mut jobs = Vec::new();
    for launcher in ["srun", "mpirun"] {
        for (shape, threads, cores) in
            [("--ranks-per-node 1 --threads 2", 2, 2), ("--ranks-per-node 2 --threads 1", 1, 1)]
        {
            let run = format!("cores-{launcher}-{threads}");
            let words =
                format!("heat3d --cells 8 --steps 3 --nodes 2 {shape} --launcher {launcher} --out {run}");
            jobs.push((site.submit(&words), run, launcher, threads, cores));
        }
    }
    for (job, run, launcher, threads, cores) in jobs {
        site.succeeds(job, &run);
        let provenance = json(&site.at(&run).join("provenance.json")).expect("provenance");
        assert_eq!(provenance["threads"], threads, "{run}");
        // Two ranks under Open MPI's own binding have a core each, or what the allocation has.
        let found = provenance["cores"].as_u64().unwrap();
        assert!(found == cores || (launcher == "mpirun" && found > cores), "{run}: {found} cores");
        assert_eq!(provenance["nodes"].as_array().unwrap().len(), 2, "{run}");
        assert!(!site.log(&run).contains("may use"), "{}", site.log(&run));
        assert!(std::fs::read_to_string(site.at(&run).join("job.sh")).unwrap().contains("libmpi.so.40"));
    }
    // Bound to one core, with two threads.
    let words = format!(
        "-n2 -c1 --cpu-bind=cores --mpi=pmix {RANKINE} run heat3d --cells 8 --steps 2 --threads 2 --no-output"
    );
    let output = site.run("srun", &words);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert_eq!(text.matches("all ranks have 2 threads but may use 1 core only").count(), 1, "{text}");
}

fn a_sweep_and_its_failed_run(site: &Site) {
    site.says(RANKINE, "run heat3d --cells 6,7,8 --steps 2 --out input");
    std::fs::copy(site.at("input/out/fields-000002.h5"), site.at("a.h5")).unwrap();
    let words =
        "heat3d --sweep input=a.h5:/temperature,b.h5:/temperature --sweep steps=2,4 --ranks 2 --out sweep";
    let job = site.submit(words);
    let all =
        |name: &str| (0..4).map(|n| site.at(&format!("sweep/000{n}/{name}")).exists()).collect::<Vec<_>>();
    site.until("sweep/0000", "end of the array", || {
        site.says("squeue", &format!("--noheader --jobs={job}")).trim().is_empty()
    });
    assert_eq!(all("slurm.log"), [true; 4]);
    assert_eq!(all("result.json"), [true, true, false, false], "{}", site.log("sweep/0000"));
    assert!(site.log("sweep/0003").contains("b.h5"), "{}", site.log("sweep/0003"));
    std::fs::copy(site.at("a.h5"), site.at("b.h5")).unwrap();
    let said = site.says(RANKINE, "sweep resubmit sweep");
    assert!(said.contains("of 2 runs: 0002 0003"), "{said}");
    site.until("sweep/0002", "result", || all("result.json") == [true; 4]);
    let table = site.says(RANKINE, "sweep results sweep");
    let sums: Vec<String> = (0..4)
        .map(|n| json(&site.at(&format!("sweep/000{n}/result.json"))).unwrap()["checksum"].to_string())
        .collect();
    assert!(sums[0] == sums[2] && sums[1] == sums[3] && sums[0] != sums[1], "{table}");
}

/// Goes on until somebody says where it ends: no test depends on how fast it is.
const LONG: &str = "long.toml";
const JOB: &str =
    "kernel = \"heat3d\"\n[parameters]\ncells = [29, 31, 23]\nsteps = 1000000000\n[run]\nprogress = 0.1\n";

/// The checksum of as many steps, never interrupted, on threads.
fn uninterrupted(site: &Site, steps: u64) -> Value {
    let out = format!("alone-{steps}");
    if !site.at(&out).exists() {
        site.says(RANKINE, &format!("run {LONG} --steps {steps} --ranks 3 --out {out} --quiet"));
    }
    json(&site.at(&out).join("result.json")).expect("a result")["checksum"].clone()
}

/// Writes down where the run ends, for those of its starts that have not begun.
fn ends_at(run: &Path, steps: u64) {
    let file = run.join("run.toml");
    let text = std::fs::read_to_string(&file).expect("a run that has begun");
    let line = text.lines().find(|line| line.starts_with("steps = ")).expect("its steps");
    std::fs::write(run.join("edited"), text.replace(line, &format!("steps = {steps}"))).unwrap();
    std::fs::rename(run.join("edited"), file).unwrap();
}

fn three_starts_are_one_run(site: &Site) {
    // Slurm's signal before the end goes to the ranks under srun, and to the batch script under mpirun.
    let jobs = [("srun", ""), ("mpirun", "--batch ")].map(|(launcher, to)| {
        let run = format!("long-{launcher}");
        let words =
            format!("{LONG} --nodes 2 --ranks 2 --requeue --time 10 --launcher {launcher} --out {run}");
        (site.submit(&words), run, to)
    });
    for (job, run, to) in &jobs {
        let path = site.at(run);
        let first = stop(site, *job, run, to);
        let second = stop(site, *job, run, to);
        assert!(second > first, "{run}");
        let steps = end_at(site, *job, run, to, second + 40);
        let result = site.succeeds(*job, run);
        assert_eq!(result["checksum"], uninterrupted(site, steps), "{run}: {steps} steps");
        let again = site.restarts(*job) as usize;
        let provenance = json(&path.join("provenance.json")).unwrap();
        assert_eq!(provenance["earlier"].as_array().map(Vec::len), Some(again), "{run}");
        let log = site.log(run);
        assert!(again >= 2 && log.matches("SIGUSR1: saved at step").count() == again, "{again}: {log}");
        assert!(log.contains("verdict   passed"), "{log}");
    }
}

fn a_limit_is_no_end(site: &Site, job: JobId) {
    let run = "limited";
    site.until(run, "second start", || site.restarts(job) >= 1);
    goes_on(site, job, run, stopped_at(&site.at(run)));
}

/// A job that others take the nodes from is saved by the ranks and started again by Slurm, or by the script.
fn preempted_jobs_go_on(site: &Site) {
    let run = "preempted";
    let job = site.submit(&format!("{LONG} --nodes 4 --ranks-per-node 1 --requeue --time 10 --out {run}"));
    site.until(run, "progress", || progress(&site.at(run)).1 > 0);
    site.says("srun", "--partition=urgent --nodes=4 --exclusive --mpi=none true");
    goes_on(site, job, run, stopped_at(&site.at(run)));
}

/// The job was saved at a step and is what one without interruption comes to.
fn goes_on(site: &Site, job: JobId, run: &str, saved: u64) {
    assert!(saved > 0, "{}", site.log(run));
    let steps = end_at(site, job, run, "", saved + 40);
    let result = site.succeeds(job, run);
    assert_eq!(result["checksum"], uninterrupted(site, steps), "{run}: {steps} steps");
    let provenance = json(&site.at(run).join("provenance.json")).unwrap();
    let starts = provenance["earlier"].as_array().map_or(0, Vec::len);
    assert!(starts >= 1 && starts == site.restarts(job) as usize, "{run}: {starts}");
    assert!(site.log(run).matches(": saved at step").count() == starts, "{}", site.log(run));
}

/// Signals the job once it has gone on from where it was stopped before; the step at which it stops now.
fn stop(site: &Site, job: JobId, run: &str, to: &str) -> u64 {
    let path = site.at(run);
    let before = stopped_at(&path);
    site.until(run, "progress", || {
        let (state, step) = progress(&path);
        state == "running" && step > before
    });
    site.says("scancel", &format!("{to}--signal=USR1 {job}"));
    site.until(run, "stop", || stopped_at(&path) > before);
    stopped_at(&path)
}

/// Has the run end at a step that it is about to reach; which one that was.
fn end_at(site: &Site, job: JobId, run: &str, to: &str, mut steps: u64) -> u64 {
    let path = site.at(run);
    let done = || path.join("result.json").exists();
    loop {
        ends_at(&path, steps);
        site.until(run, "end", || done() || progress(&path).0 == "running" && progress(&path).1 > steps);
        if done() {
            return steps;
        }
        // It had begun before it was told.
        steps = stop(site, job, run, to) + 40;
    }
}

/// The step at which the run was last saved and stopped.
fn stopped_at(run: &Path) -> u64 {
    json(&run.join("timings.json")).and_then(|timings| timings["stopped"]["step"].as_u64()).unwrap_or(0)
}

fn a_node_that_fails_costs_nothing(site: &Site) {
    let words = format!("{LONG} --nodes 2 --ranks 2 --requeue --time 10 --checkpoint-every 40");
    // One after the other: a job that starts again may be given a node that another has just lost and Slurm still trusts.
    for (run, launcher) in [("killed", "srun"), ("cut", "srun"), ("killed-mpirun", "mpirun")] {
        let path = site.at(run);
        let job = site.submit(&format!("{words} --launcher {launcher} --out {run}"));
        site.until(run, "checkpoint", || progress(&path).1 > 90);
        let node = *site.nodes(job).last().unwrap();
        match run {
            "cut" => site.testbed.cut(node).unwrap(),
            _ => site.testbed.kill(node).unwrap(),
        }
        // Until its ranks have felt it.
        let mut there = 0;
        site.until(run, "standstill", || {
            std::thread::sleep(Duration::from_secs(1));
            std::mem::replace(&mut there, progress(&path).1) == there
        });
        let steps = end_at(site, job, run, "", there + 2000);
        let result = site.succeeds(job, run);
        assert_eq!(result["checksum"], uninterrupted(site, steps), "{run}: {steps} steps");
        assert!(site.restarts(job) >= 1, "{run}");
        let provenance = json(&path.join("provenance.json")).unwrap();
        assert!(provenance["from_step"].as_u64() >= Some(80), "{run}: {}", provenance["from_step"]);
        match run {
            "cut" => site.testbed.mend(node).unwrap(),
            _ => site.testbed.revive(node).unwrap(),
        }
    }
}
