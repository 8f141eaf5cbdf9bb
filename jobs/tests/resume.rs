//! Runs that are killed at any instant and resumed on other ranks, as processes, on both engines; and the ways to stop
//! one. What a checkpoint is and what may be wrong with one is tested in the framework (`checkpoint`).
#![cfg(feature = "hdf5")]

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn rankine(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rankine"));
    command.current_dir(folder);
    for name in ["OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK", "SLURM_JOB_ID"] {
        command.env_remove(name);
    }
    command
}

fn json(path: impl AsRef<Path>) -> serde_json::Value {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// In memory where that can be: hundreds of runs bring many files to the disk.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// `rankine run <words>` on threads, or under mpirun in a build with MPI.
fn start(folder: &Path, mpi: bool, ranks: usize, words: &str) -> Command {
    let program = rankine(folder);
    let mut command = if mpi {
        let launcher =
            std::env::var("RANKINE_MPIRUN").unwrap_or_else(|_| "mpirun --oversubscribe".to_string());
        let mut parts = launcher.split_whitespace();
        let mut command = Command::new(parts.next().expect("RANKINE_MPIRUN names a program"));
        command.args(parts).args(["-n", &ranks.to_string()]).arg(program.get_program()).current_dir(folder);
        for name in ["OMPI_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT"] {
            command.env(name, "1").env(format!("{name}_CONFIRM"), "1");
        }
        command.arg("run").args(words.split(' '));
        command
    } else {
        let mut command = program;
        command.arg("run").args(words.split(' ')).args(["--ranks", &ranks.to_string()]);
        command
    };
    for name in ["OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK", "SLURM_JOB_ID"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    command
}

/// The process and all that it has started, by the system's list of processes.
fn family(child: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // "pid (name) state parent …"; the name may hold anything.
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split(' ').nth(2)?.parse::<u32>().ok());
        parents.extend(parent.map(|parent| (pid, parent)));
    }
    let mut found = vec![child];
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found
}

fn kill(pid: u32, signal: rustix::process::Signal) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid as i32) {
        // It may be gone already.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Ends a job as a power cut would, and waits until nothing of it is left.
fn power_cut(mut child: Child) -> bool {
    let all = family(child.id());
    for pid in &all {
        kill(*pid, rustix::process::Signal::KILL);
    }
    let cut = child.wait().unwrap().signal() == Some(9);
    let gone = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z"))
    };
    let began = Instant::now();
    while !all.iter().all(gone) {
        assert!(began.elapsed() < Duration::from_secs(10), "a killed process stays");
        std::thread::sleep(Duration::from_millis(1));
    }
    cut
}

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// The fields of a run, by their file's name: what HDF5's own tool says is in them, and their bytes.
fn fields(run: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> =
        std::fs::read_dir(run.join("out")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "h5"));
    files.sort();
    files.into_iter().map(|file| (file.file_name().unwrap().into(), std::fs::read(&file).unwrap())).collect()
}

const WORDS: &str =
    "heat3d --cells 6,5,7 --steps 400 --every 80 --checkpoint-every 3 --init hot-cube --quiet --resume";

/// Kills a run at a random instant, again and again until it has come to its end; `kills` kills in all, and some during a
/// checkpoint. How long a run is let go on depends on how long one takes here.
fn killed_and_resumed(mpi: &dyn Fn(u64) -> bool, kills: usize, seed: u64) {
    let folder = folder();
    let root = folder.path();
    let began = Instant::now();
    let alone = start(root, mpi(1), 2, &format!("{WORDS} reference")).output().unwrap();
    assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stderr));
    let usual = began.elapsed();
    let reference =
        (json(root.join("reference/result.json"))["checksum"].clone(), fields(&root.join("reference")));
    let (mut state, mut cut, mut runs, mut passed_over, mut during) = (seed, 0, 0, 0, 0);
    while cut < kills || during == 0 {
        assert!(cut < 10 * kills, "none of {cut} kills was during a checkpoint");
        runs += 1;
        let (mut longest, mut in_vain) = (usual, 0);
        let words = format!("{WORDS} run-{runs}");
        let run = root.join(format!("run-{runs}"));
        loop {
            let (ranks, on_mpi) = (1 + random(&mut state) as usize % 4, mpi(random(&mut state)));
            let mut child = start(root, on_mpi, ranks, &words).spawn().unwrap();
            let instant = Duration::from_nanos(random(&mut state) % longest.as_nanos() as u64);
            let began = Instant::now();
            let mut ended = None;
            while ended.is_none() && began.elapsed() < instant {
                ended = child.try_wait().unwrap();
                std::thread::sleep(Duration::from_micros(200));
            }
            if let Some(status) = ended {
                let mut said = String::new();
                std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
                assert!(status.success(), "run {runs} on {ranks} (mpi {on_mpi}): {status}\n{said}");
                passed_over += said.matches("is not used").count();
                break;
            }
            cut += usize::from(power_cut(child));
            // Others may have the machine now.
            in_vain += 1;
            if in_vain % 20 == 0 {
                longest *= 2;
            }
            during +=
                usize::from(run.join("ckpt/.a.h5.part").exists() || run.join("ckpt/.b.h5.part").exists());
        }
        assert_eq!(json(run.join("result.json"))["checksum"], reference.0, "run {runs}");
        assert!(fields(&run) == reference.1, "run {runs}: other fields");
        for name in ["a.h5", "b.h5"] {
            let dumped =
                Command::new("h5dump").arg("-H").arg(run.join("ckpt").join(name)).output().expect("h5dump");
            assert!(dumped.status.success(), "run {runs}: {name}");
        }
        std::fs::remove_dir_all(&run).unwrap();
    }
    // A kill, however it falls, tears no checkpoint that has its name.
    assert_eq!(passed_over, 0, "{cut} kills");
}

#[test]
fn killed_hundreds_of_times_on_threads() {
    killed_and_resumed(&|_| false, 200, 17);
}

#[cfg(feature = "mpi")]
#[test]
fn killed_under_mpirun_and_resumed_on_either_engine() {
    killed_and_resumed(&|n| n % 4 > 0, 15, 23);
}

/// Asks a run to stop and gives its exit code and what it said.
fn stopped(root: &Path, mpi: bool, words: &str, run: &str, ask: impl Fn(&Child, &Path)) -> (i32, String) {
    let mut child = start(root, mpi, 2, words).spawn().unwrap();
    let began = Instant::now();
    let steps = || {
        let text = std::fs::read_to_string(root.join(run).join("progress.json")).ok()?;
        serde_json::from_str::<serde_json::Value>(&text).ok()?["step"].as_u64()
    };
    while steps().is_none_or(|steps| steps == 0) {
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none() && began.elapsed() < Duration::from_secs(60), "it does not begin: {ended:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    ask(&child, &root.join(run));
    let status = child.wait().unwrap();
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    (status.code().unwrap_or(-1), said)
}

#[test]
fn stops_with_75_and_goes_on() {
    let folder = folder();
    let root = folder.path();
    let words = "heat3d --cells 16 --steps 100000000 --quiet --progress 0.05 --resume";
    let signal = |signal| move |child: &Child, _: &Path| kill(child.id(), signal);
    let file = |_: &Child, run: &Path| std::fs::write(run.join("STOP"), "").unwrap();
    type Ask<'a> = &'a dyn Fn(&Child, &Path);
    let (term, usr1) = (signal(rustix::process::Signal::TERM), signal(rustix::process::Signal::USR1));
    let mut cases: Vec<(bool, &str, Ask<'_>)> =
        vec![(false, "term", &term), (false, "usr1", &usr1), (false, "file", &file)];
    if cfg!(feature = "mpi") {
        cases.extend([(true, "mpi-usr1", &usr1 as Ask<'_>), (true, "mpi-file", &file)]);
    }
    for (mpi, name, ask) in cases {
        let (code, said) = stopped(root, mpi, &format!("{words} {name}"), name, ask);
        assert_eq!(code, 75, "{name}: {said}");
        assert!(!said.contains("error:"), "{name}: {said}");
        let run = root.join(name);
        let progress = json(run.join("progress.json"));
        assert_eq!(progress["state"], "stopped");
        let step = progress["step"].as_u64().unwrap();
        assert!(step > 0 && !run.join("result.json").exists());
        // It goes on for a hundred steps more, on other ranks, as one that was never stopped.
        let more = format!("--quiet --steps {} --resume {name}", step + 100);
        let again = start(root, false, 3, &more).output().unwrap();
        assert!(again.status.success(), "{name}: {}", String::from_utf8_lossy(&again.stderr));
        let provenance = json(run.join("provenance.json"));
        assert_eq!(
            (&provenance["from_step"], provenance["earlier"].as_array().unwrap().len()),
            (&step.into(), 1)
        );
        let alone = format!("heat3d --cells 16 --quiet --steps {} --out {name}-alone", step + 100);
        assert!(start(root, false, 1, &alone).output().unwrap().status.success());
        let sum = |run: &str| json(root.join(run).join("result.json"))["checksum"].clone();
        assert_eq!(sum(name), sum(&format!("{name}-alone")));
        std::fs::remove_dir_all(&run).unwrap();
    }
    // Slurm's end, told by the environment.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut command = start(root, false, 2, &format!("{words} slurm"));
    command.env("SLURM_JOB_ID", "1").env("SLURM_JOB_END_TIME", (now + 3).to_string());
    assert_eq!(command.output().unwrap().status.code(), Some(75));
    assert!(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() <= now + 3);
    assert_eq!(json(root.join("slurm/timings.json"))["stopped"]["why"], "time-limit");
}

/// Runs a shell's lines in a mount namespace of its own, with a small disk in memory at `disk`.
/// `$R` starts the command on three ranks, threads or processes.
fn on_a_small_disk(root: &Path, mpi: bool, size: &str, lines: &str) -> (i32, String) {
    std::fs::create_dir_all(root.join("disk")).unwrap();
    let program = rankine(root);
    let lines = format!("mount -t tmpfs -o size={size} none disk || exit 99\n{lines}");
    // As root, or as root of a namespace of one's own.
    let user: &[&str] = if rustix::process::geteuid().is_root() { &[] } else { &["--map-root-user"] };
    let mut command = Command::new("unshare");
    command
        .args(user)
        .args(["--mount", "sh", "-c", &lines])
        .current_dir(root)
        .env("R", three_ranks(program.get_program(), mpi));
    for name in ["OMPI_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT"] {
        command.env(name, "1").env(format!("{name}_CONFIRM"), "1");
    }
    for name in ["OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK", "SLURM_JOB_ID"] {
        command.env_remove(name);
    }
    let out = command.output().expect("unshare (package util-linux)");
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert_ne!(out.status.code(), Some(99), "no disk in memory: {said}");
    (out.status.code().unwrap_or(-1), said)
}

/// The words before those of the command; no path of a build has spaces.
fn three_ranks(program: &std::ffi::OsStr, mpi: bool) -> String {
    let program = program.to_str().expect("a path in UTF-8");
    if !mpi {
        return format!("timeout 120 {program}");
    }
    let launcher = std::env::var("RANKINE_MPIRUN").unwrap_or_else(|_| "mpirun --oversubscribe".to_string());
    format!("timeout 120 {launcher} -n 3 {program}")
}

#[test]
fn a_disk_that_fills_up_or_is_not_to_be_written_leaves_the_checkpoints_whole() {
    disk_faults(false);
}

#[cfg(feature = "mpi")]
#[test]
fn a_disk_that_fills_up_or_is_not_to_be_written_leaves_the_checkpoints_whole_under_mpirun() {
    disk_faults(true);
}

fn disk_faults(mpi: bool) {
    let folder = folder();
    let root = folder.path();
    let ranks = if mpi { "" } else { " --ranks 3" };
    let words = format!(
        "run heat3d --cells 16 --steps 400 --every 20 --checkpoint-every 20 --quiet{ranks} --resume disk/run"
    );
    let alone = "run heat3d --cells 16 --steps 400 --every 20 --quiet --out alone";
    assert!(rankine(root).args(alone.split(' ')).status().unwrap().success());
    let wanted = json(root.join("alone/result.json"))["checksum"].as_str().unwrap().to_string();
    let whole = "for f in a b; do h5dump -H disk/run/ckpt/$f.h5 > dump || exit 98; done\n\
                 test -z \"$(find disk -name '.*.part')\" || exit 97\n";
    // Full: an error that says so, once, and nothing half-written; with more room it goes on.
    let lines = format!(
        "$R {words}; echo code $?\n{whole}mount -o remount,size=32m disk\n$R {words}; echo code $?\ncat disk/run/result.json"
    );
    let (code, said) = on_a_small_disk(root, mpi, "400k", &lines);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("code 4\n") && said.contains("code 0\n"), "{said}");
    assert_eq!(said.matches("error: ").count(), 1, "{said}");
    assert!(said.contains("No space left") && said.contains("free some space"), "{said}");
    assert!(said.contains(&wanted), "{said}");
    // Not to be written any more: the same. Long runs write checkpoints only, or they would fill this disk too.
    let slow = words.replace("--steps 400", "--steps 4000000").replace(" --every 20", "");
    let lines = format!(
        "$R {slow} & p=$!\nwhile [ ! -e disk/run/ckpt/b.h5 ] && kill -0 $p; do sleep 0.01; done\n\
         n=0; until mount -o remount,ro disk 2> /dev/null || [ $n = 3000 ]; do n=$((n+1)); done\n\
         wait $p; echo code $?\nmount -o remount,rw disk\n{}",
        whole.lines().next().unwrap()
    );
    let (code, said) = on_a_small_disk(root, mpi, "64m", &lines);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("code 4\n") && said.matches("error: ").count() == 1, "{said}");
    assert!(said.contains("Read-only file system"), "{said}");
    // Gone: it is not made again behind somebody's back.
    let lines = format!(
        "$R {slow} & p=$!\nwhile [ ! -e disk/run/ckpt/b.h5 ] && kill -0 $p; do sleep 0.01; done\nmv disk/run disk/away\n\
         wait $p; echo code $?\ntest ! -e disk/run || exit 96\n"
    );
    let (code, said) = on_a_small_disk(root, mpi, "64m", &lines);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("code 4\n") && said.matches("error: ").count() == 1, "{said}");
    assert!(said.contains("disk/run"), "{said}");
    assert!(said.contains("is gone") || said.contains("No such file"), "{said}");
}
