//! `rankine doctor` on one machine: every fault that can be provoked there is provoked for real, and must be named with what
//! mends it. Mounts are made in a namespace of the test's own; calls are forbidden by a filter as containers have. Linked
//! with Open MPI or MPICH, it needs the launchers of both. Faults between nodes are in `doctor_testbed`.

// It is shared, and not all of it is used here.
#[expect(dead_code, reason = "other tests use more of it")]
mod common;

use common::{Ended, ended, files, rankine};
use seccompiler::{SeccompAction, SeccompFilter, TargetArch};
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A command as a person who is allowed to run MPI would start it.
fn allowed(mut command: Command) -> Command {
    for name in ["OMPI_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT"] {
        command.env(name, "1").env(format!("{name}_CONFIRM"), "1");
    }
    // More ranks than cores: whoever waits gives its core away.
    command.env("OMPI_MCA_mpi_yield_when_idle", "1");
    for name in ["OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK", "SLURM_CONF", "HDF5_USE_FILE_LOCKING"] {
        command.env_remove(name);
    }
    command
}

fn doctor(folder: &Path, words: &[&str]) -> Command {
    let mut command = allowed(rankine(folder));
    command.args(["doctor", "--json"]).args(words);
    command
}

fn program() -> String {
    rankine(Path::new("/")).get_program().to_string_lossy().into_owned()
}

/// Another program that starts the doctor at its end.
fn through(folder: &Path, words: &[&str], doctor: &[&str]) -> Command {
    let mut command = allowed(Command::new(words[0]));
    command.args(&words[1..]).arg(program()).args(["doctor", "--json"]).args(doctor).current_dir(folder);
    command
}

/// The report, and the code that must go with it.
fn report(ended: &Ended) -> Value {
    let lines: Vec<&str> = ended.stdout.lines().filter(|line| line.starts_with('{')).collect();
    assert_eq!(lines.len(), 1, "one report: {}\n{}", ended.stdout, ended.stderr);
    let report: Value = serde_json::from_str(lines[0]).expect("JSON");
    assert_eq!(report["schema"], "rankine-doctor/1");
    let code = if report["faults"].as_u64().expect("a number") > 0 { 3 } else { 0 };
    assert_eq!(ended.code, code, "{report}\n{}", ended.stderr);
    report
}

fn finding(report: &Value, what: &str) -> Value {
    let all = report["findings"].as_array().expect("a list");
    let of = all.iter().filter(|finding| finding["what"] == what);
    // The worst of them.
    let worst =
        of.max_by_key(|finding| ["ok", "warn", "fault"].iter().position(|state| finding["state"] == *state));
    worst.unwrap_or_else(|| panic!("nothing of {what}: {report:#}")).clone()
}

/// What must be found: its state, words of it, and of the fix and its command.
fn found(report: &Value, what: &str, state: &str, says: &[&str]) -> Value {
    let finding = finding(report, what);
    assert_eq!(finding["state"], state, "{what}: {report:#}");
    let text = finding.to_string();
    for part in says {
        assert!(text.contains(part), "{what}: {part:?} is not in {text}");
    }
    if state != "ok" {
        assert!(finding["fix"].is_string(), "{finding}");
    }
    finding
}

fn text<'f>(finding: &'f Value, field: &str) -> &'f str {
    finding[field].as_str().unwrap_or_else(|| panic!("no {field}: {finding}"))
}

fn linked_with_open_mpi(folder: &Path) -> bool {
    let report = report(&ended(doctor(folder, &["--no-launch"])));
    text(&finding(&report, "MPI"), "found").starts_with("Open MPI")
}

/// The launchers of the linked MPI and of the other one.
fn launchers(folder: &Path) -> [PathBuf; 2] {
    let both = ["mpirun.openmpi", "mpirun.mpich"].map(|name| {
        let path = Command::new("sh").args(["-c", &format!("command -v {name}")]).output().expect("sh");
        let path = String::from_utf8_lossy(&path.stdout).trim().to_string();
        assert!(!path.is_empty(), "{name} is not installed");
        PathBuf::from(path)
    });
    let [open, mpich] = both;
    if linked_with_open_mpi(folder) { [open, mpich] } else { [mpich, open] }
}

/// A PATH on which mpirun is that launcher.
fn path_with(folder: &Path, launcher: &Path) -> String {
    let bin = folder.join("bin");
    std::fs::create_dir(&bin).expect("a folder");
    // No link: MPICH's launcher looks for its helpers where it is called from.
    script(&bin, "mpirun", &format!("exec {} \"$@\"", launcher.display()));
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

fn script(folder: &Path, name: &str, lines: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{lines}\n")).expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    path.display().to_string()
}

/// Starts a command whose calls of one kind fail with a number, as under a container's filter.
fn forbidding(call: i64, number: u32, command: Command) -> Ended {
    let filter = SeccompFilter::new(
        BTreeMap::from([(call, Vec::new())]),
        SeccompAction::Allow,
        SeccompAction::Errno(number),
        TargetArch::try_from(std::env::consts::ARCH).expect("an architecture that filters know"),
    );
    let filter: seccompiler::BpfProgram = filter.expect("a filter").try_into().expect("a program");
    // The filter is this thread's and its children's.
    let run = move || {
        seccompiler::apply_filter(&filter).expect("the filter is taken");
        ended(command)
    };
    std::thread::spawn(run).join().expect("no panic")
}

/// The words that run a shell line with mounts of its own, then the doctor.
fn mounted(line: &str) -> [String; 5] {
    ["unshare", "--mount", "sh", "-c", &format!("{line} && exec \"$0\" \"$@\"")].map(str::to_string)
}

fn in_mounts(folder: &Path, line: &str, words: &[&str]) -> Value {
    let start = mounted(line);
    report(&ended(through(folder, &start.each_ref().map(String::as_str), words)))
}

#[test]
fn a_machine_that_is_well_has_no_faults() {
    let folder = tempfile::tempdir().unwrap();
    let [right, _] = launchers(folder.path());
    let mut command = doctor(folder.path(), &[]);
    command.env("PATH", path_with(folder.path(), &right));
    let well = report(&ended(command));
    assert_eq!((&well["faults"], &well["ranks"]), (&0.into(), &2.into()), "{well:#}");
    for what in ["MPI", "launcher", "/dev/shm", "CMA", "run folder", "file locks", "within node", "allreduce"]
    {
        found(&well, what, "ok", &[]);
    }
    found(&well, "thread level", "ok", &["MPI_THREAD_"]);
    assert_eq!(well["nodes"][0]["ranks"], serde_json::json!([0, 1]));
    let pair = &well["pairs"][0];
    for field in ["latency", "bandwidth", "allreduce"] {
        assert!(pair[field].as_f64().is_some_and(|value| value > 0.0), "{pair}");
    }
    assert_eq!(files(folder.path()), ["bin", "bin/mpirun"]);
    // As text, with a line each.
    let mut command = allowed(rankine(folder.path()));
    command.args(["doctor", "--no-launch"]);
    let text = ended(command).stdout;
    assert!(text.contains("\nok     run folder    "), "{text}");
}

#[test]
fn the_other_mpirun_on_path_and_the_command_that_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let [_, wrong] = launchers(folder.path());
    let path = path_with(folder.path(), &wrong);
    let mut command = doctor(folder.path(), &[]);
    command.env("PATH", &path);
    for name in ["OMPI_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT"] {
        command.env_remove(name).env_remove(format!("{name}_CONFIRM"));
    }
    let report_of = report(&ended(command));
    // What else the wrong one wants need not be known.
    assert!(report_of["findings"].as_array().unwrap().iter().all(|finding| finding["what"] != "root"));
    let launcher = found(&report_of, "launcher", "fault", &["linked with", "N jobs of one rank"]);
    // What it tells to do is right, on the same PATH.
    let right = text(&launcher, "command").strip_suffix("rankine doctor").expect("a command");
    let words: Vec<&str> = right.split_whitespace().collect();
    let mut command = through(folder.path(), &words, &[]);
    command.env("PATH", &path);
    assert_eq!(report(&ended(command))["faults"], 0);
}

#[test]
fn the_other_launcher_would_start_copies_of_rank_0() {
    let folder = tempfile::tempdir().unwrap();
    let [_, wrong] = launchers(folder.path());
    let wrong = wrong.to_str().unwrap();
    let direct = report(&ended(through(folder.path(), &[wrong, "-n", "2"], &[])));
    found(
        &direct,
        "launcher",
        "fault",
        &["started 2 ranks", "sees 1", "2 copies of rank 0", "-n 2 rankine doctor"],
    );
    let tried = report(&ended(doctor(folder.path(), &["--launch", &format!("{wrong} -n 2")])));
    found(&tried, "launcher", "fault", &["2 copies of rank 0"]);
    // A launcher that nobody knows, and that tells its processes nothing.
    let blind = script(folder.path(), "blind", "\"$@\" & \"$@\" & wait");
    let copies = report(&ended(doctor(folder.path(), &["--launch", &blind])));
    found(&copies, "start", "fault", &["2 copies of rank 0"]);
}

#[test]
fn launchers_that_fail_hang_or_are_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let try_out = |launcher: &str, words: &[&str]| {
        report(&ended(doctor(folder.path(), &[&["--launch", launcher], words].concat())))
    };
    found(
        &try_out("no-such-launcher -n 2", &[]),
        "start",
        "fault",
        &["no-such-launcher -n 2", "cannot be started"],
    );
    let failing = script(folder.path(), "failing", "echo 'error: no licence left' >&2; exit 1");
    found(&try_out(&failing, &[]), "start", "fault", &["error: no licence left"]);
    let hanging = script(folder.path(), "hanging", "sleep 300");
    found(&try_out(&hanging, &["--deadline", "0.5"]), "start", "fault", &["was ended"]);
}

#[test]
fn a_rank_that_does_not_come_is_no_hang() {
    let folder = tempfile::tempdir().unwrap();
    let [right, _] = launchers(folder.path());
    let stopped = script(
        folder.path(),
        "stopped",
        "[ \"${OMPI_COMM_WORLD_RANK:-$PMI_RANK}\" = 0 ] || kill -STOP $$\nexec \"$@\"",
    );
    let words = [right.to_str().unwrap(), "-n", "2", &stopped];
    let report = report(&ended(through(folder.path(), &words, &["--deadline", "2"])));
    found(&report, "answers", "fault", &["no end in time while MPI starts"]);
}

#[test]
fn fewer_cores_than_threads() {
    let folder = tempfile::tempdir().unwrap();
    let bound =
        report(&ended(through(folder.path(), &["taskset", "-c", "0"], &["--no-launch", "--threads", "2"])));
    found(&bound, "cores", "warn", &["1 of ", "1 x 2 (ranks x threads)", "taskset -cp 0-"]);
    let many = report(&ended(doctor(folder.path(), &["--no-launch", "--ranks", "4096", "--threads", "2"])));
    found(&many, "cores", "warn", &["4096 x 2 (ranks x threads)"]);
}

#[test]
fn ranks_that_are_bound_to_fewer_cores_than_they_have_threads() {
    let folder = tempfile::tempdir().unwrap();
    let [right, _] = launchers(folder.path());
    let narrow = script(folder.path(), "narrow", "exec taskset -c 0 \"$@\"");
    let words = [right.to_str().unwrap(), "-n", "2", &narrow];
    let bound = report(&ended(through(folder.path(), &words, &["--threads", "2"])));
    found(&bound, "binding", "warn", &["rank 0 on cores 0", "2 threads share 1", "--bind-to none"]);
    // Both on one core, though each needs but one.
    let shared = report(&ended(through(folder.path(), &words, &[])));
    found(&shared, "binding", "warn", &["2 ranks with 2 threads in all share 1 cores"]);
}

#[test]
fn shared_memory_that_is_small_or_read_only() {
    let folder = tempfile::tempdir().unwrap();
    let small = in_mounts(folder.path(), "mount -t tmpfs -o size=1m tmpfs /dev/shm", &["--no-launch"]);
    found(&small, "/dev/shm", "fault", &["free of 1.0 MB", "mount -o remount,size=", "--shm-size"]);
    let read_only = in_mounts(folder.path(), "mount -t tmpfs -o ro tmpfs /dev/shm", &["--no-launch"]);
    found(&read_only, "/dev/shm", "fault", &["cannot be written", "remount,rw"]);
    let enough = in_mounts(folder.path(), "mount -t tmpfs -o size=64m tmpfs /dev/shm", &["--no-launch"]);
    found(&enough, "/dev/shm", "ok", &[]);
}

#[test]
fn memory_that_ranks_may_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let filtered = forbidding(libc::SYS_process_vm_readv, 1, doctor(folder.path(), &["--no-launch"]));
    let open = linked_with_open_mpi(folder.path());
    let settings: &[(&str, &str)] = match open {
        true => &[("OMPI_MCA_btl_vader_single_copy_mechanism", "none")],
        false => &[("UCX_TLS", "^cma"), ("UCX_POSIX_USE_PROC_LINK", "n")],
    };
    let set: Vec<String> = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let command = format!("export {}", set.join(" "));
    found(&report(&filtered), "CMA", "warn", &["filter of system calls", &command, "SYS_PTRACE"]);
    // Ranks in containers of their own.
    let [right, _] = launchers(folder.path());
    let words = [right.to_str().unwrap(), "-n", "2", "unshare", "--user", "--map-root-user"];
    let mut apart = through(folder.path(), &words, &[]);
    apart.envs(settings.iter().copied());
    found(&report(&ended(apart)), "CMA", "warn", &["cannot read each other's memory", &command]);
    if !open {
        // MPICH does not start at all.
        let untold = report(&ended(doctor(folder.path(), &["--launch", &words.join(" ")])));
        found(&untold, "CMA", "fault", &["may not open each other's memory", &command]);
    }
}

#[test]
fn root_that_is_not_allowed_and_slots_that_are_too_few() {
    let folder = tempfile::tempdir().unwrap();
    let open = linked_with_open_mpi(folder.path());
    let [right, _] = launchers(folder.path());
    let path = path_with(folder.path(), &right);
    let mut command = doctor(folder.path(), &["--ranks", "64"]);
    command.env("PATH", &path);
    for name in ["OMPI_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT"] {
        command.env_remove(name).env_remove(format!("{name}_CONFIRM"));
    }
    let report = report(&ended(command));
    // MPICH minds neither.
    let findings = report["findings"].as_array().unwrap();
    let named = |what: &str| findings.iter().any(|finding| finding["what"] == what);
    assert_eq!((named("root"), named("slots")), (open, open), "{report:#}");
    if open {
        let export = "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1";
        found(&report, "root", "fault", &["refuses to run for root", export]);
        let slots = found(&report, "slots", "fault", &["-n 64` is refused"]);
        let more = text(&slots, "command").strip_suffix(" rankine doctor").expect("a command");
        let few = more.replace("-n 64", "-n 5");
        let words: Vec<&str> = few.split_whitespace().collect();
        let mut command = allowed(Command::new(words[0]));
        command.args(&words[1..]).arg("true");
        assert_eq!(ended(command).code, 0, "{few}");
        // Ranks were tried all the same.
        found(&report, "within node", "ok", &[]);
    }
}

#[test]
fn run_folders_that_are_read_only_full_or_without_locks() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("disk");
    std::fs::create_dir(&dir).unwrap();
    let at = dir.to_str().unwrap();
    let words = ["--no-launch", "--dir", at];
    let read_only = in_mounts(folder.path(), &format!("mount -t tmpfs -o ro tmpfs {at}"), &words);
    found(&read_only, "run folder", "fault", &["mounted read-only", "--out"]);
    let full = in_mounts(folder.path(), &format!("mount -t tmpfs -o size=64k tmpfs {at}"), &words);
    found(&full, "run folder", "fault", &["it is full", "df -h"]);
    let little = in_mounts(folder.path(), &format!("mount -t tmpfs -o size=16m tmpfs {at}"), &words);
    found(&little, "run folder", "warn", &["0.0 GB free"]);
    // As on NFS whose lock daemon is not there, and on Lustre without -o flock, which some versions of HDF5 accept.
    let without =
        |number: i32, command: Command| report(&forbidding(libc::SYS_flock, number as u32, command));
    let fix = "export HDF5_USE_FILE_LOCKING=FALSE";
    let parallel = finding(&without(libc::ENOSYS, doctor(folder.path(), &words)), "HDF5")["state"] == "ok";
    if parallel {
        let locks = without(libc::ENOLCK, doctor(folder.path(), &words));
        found(&locks, "file locks", "fault", &["cannot be locked", "HDF5 opens none", fix]);
        found(&locks, "HDF5 file", "fault", &[fix]);
        // And it is mended by that.
        let mut command = doctor(folder.path(), &words);
        command.env("HDF5_USE_FILE_LOCKING", "FALSE");
        let mended = without(libc::ENOLCK, command);
        found(&mended, "file locks", "ok", &["told to do without"]);
        found(&mended, "HDF5 file", "ok", &[]);
    } else {
        let locks = without(libc::ENOSYS, doctor(folder.path(), &words));
        found(&locks, "file locks", "warn", &["cannot be locked", fix]);
    }
    let below = report(&ended(doctor(folder.path(), &["--no-launch", "--dir", "/proc/runs"])));
    found(&below, "run folder", "fault", &["/proc"]);
    assert_eq!(files(&dir), [""; 0]);
}

#[test]
fn an_mpi_that_allows_no_threads() {
    let folder = tempfile::tempdir().unwrap();
    let source = "#include <mpi.h>\nint MPI_Init_thread(int *c, char ***v, int wanted, int *given) {\n\
                  (void)wanted; int code = PMPI_Init(c, v); *given = MPI_THREAD_SINGLE; return code; }\n";
    std::fs::write(folder.path().join("single.c"), source).unwrap();
    let wrapper = if linked_with_open_mpi(folder.path()) { "mpicc.openmpi" } else { "mpicc.mpich" };
    let mut build = Command::new(wrapper);
    build.args(["-shared", "-fPIC", "-o", "single.so", "single.c"]).current_dir(folder.path());
    assert_eq!(ended(build).code, 0);
    let [right, _] = launchers(folder.path());
    let preload = format!("LD_PRELOAD={}", folder.path().join("single.so").display());
    let words = [right.to_str().unwrap(), "-n", "2", "env", &preload];
    let report = report(&ended(through(folder.path(), &words, &[])));
    found(&report, "thread level", "fault", &["does not allow other threads", "MPI_THREAD_FUNNELED"]);
}

#[test]
fn ranks_with_another_binary_or_environment() {
    let folder = tempfile::tempdir().unwrap();
    let [right, _] = launchers(folder.path());
    let copy = folder.path().join("copy");
    std::fs::copy(program(), &copy).unwrap();
    let lines = format!(
        "if [ \"${{OMPI_COMM_WORLD_RANK:-$PMI_RANK}}\" = 1 ]; then shift; export UCX_TLS=tcp; exec {} \"$@\"; fi\nexec \"$@\"",
        copy.display()
    );
    let differing = script(folder.path(), "differing", &lines);
    let words = [right.to_str().unwrap(), "-n", "2", &differing];
    let report = report(&ended(through(folder.path(), &words, &[])));
    found(&report, "binary", "fault", &["ranks differ", "copy", "(rank 1)"]);
    found(&report, "environment", "warn", &["UCX_TLS=tcp", "(rank 1)", "mpirun -x UCX_TLS"]);
}
