//! A real Slurm, end to end: needs root and Debian's Slurm and Open MPI packages, and fails with the line that
//! installs them where they are missing. `cargo test -p rankine-slurm --features testbed-tests`.

use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use rankine_slurm::{Binding, Error, Job, JobState, Launcher, Resources, State, Testbed};

const PATIENCE: Duration = Duration::from_secs(180);

fn run(testbed: &Testbed, program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).envs(testbed.env()).output().unwrap_or_else(|e| panic!("{program}: {e}"))
}

/// Submits the job, waits for it, and gives its end and what it wrote.
fn finish(testbed: &Testbed, mut job: Job) -> (JobState, String) {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("what it wrote.txt");
    job.resources.output = Some(output.to_str().unwrap().to_owned());
    job.as_root = true;
    let slurm = testbed.slurm();
    let mut starts = 0;
    loop {
        let id = slurm.submit(&job.script().unwrap()).unwrap();
        let seen = slurm.wait(id, PATIENCE).unwrap();
        starts += 1;
        let wrote = fs::read_to_string(&output).unwrap();
        if starts == 4 || !Testbed::crashed_at_start(Some(i32::from(seen.exit_code)), &wrote) {
            break (seen, wrote);
        }
        fs::remove_file(&output).unwrap();
    }
}

fn sh(script: &str) -> Job {
    Job::new(["bash", "-c", script])
}

/// The testbed's traces on this machine: namespaces, links, hosts lines, living processes, files.
fn traces() -> Vec<String> {
    let out = Command::new("bash")
        .args([
            "-c",
            "ls /run/netns 2>/dev/null | grep ^rk-; ip -o link | grep -o 'rk-[a-z0-9]*'; grep rk- /etc/hosts
             ls -d /run/rk-testbed 2>/dev/null
             for p in /proc/[0-9]*; do
               if grep -qzxF RK_TESTBED_DIR=/run/rk-testbed $p/environ 2>/dev/null; then
                 grep -q '^State:.[ZX]' $p/status || tr '\\0' ' ' < $p/cmdline
               fi
             done; true",
        ])
        .output()
        .unwrap();
    String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// One test: there is one cluster at a time, and starting it is most of the work.
#[test]
fn four_nodes_from_up_to_down() {
    let hosts_before = fs::read("/etc/hosts").unwrap();
    let testbed = Testbed::up(4, 2).unwrap_or_else(|e| panic!("{e}"));

    let out = run(&testbed, "srun", &["-N4", "hostname"]);
    let mut names: Vec<_> = std::str::from_utf8(&out.stdout).unwrap().lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["rk-n1", "rk-n2", "rk-n3", "rk-n4"], "{out:?}");

    exit_codes_come_through(&testbed);
    arguments_arrive_through_slurm(&testbed);
    ranks_have_the_cpus_of_their_threads(&testbed);
    mpi_crosses_nodes(&testbed);
    refusals_time_limits_and_cancel(&testbed);
    links_can_be_cut_and_slowed(&testbed);

    // A job that runs, and one that would outlive a polite request.
    let mut stubborn = sh("trap '' TERM; sleep 300 & wait; sleep 300");
    stubborn.resources.output = Some("/dev/null".to_owned());
    let id = testbed.slurm().submit(&stubborn.script().unwrap()).unwrap();
    let running = |_| {
        std::thread::sleep(Duration::from_millis(50));
        testbed.slurm().state(id).unwrap().state == State::Running
    };
    assert!((0..400).any(running));
    assert!(!traces().is_empty());
    testbed.down().unwrap();
    assert_eq!(traces(), Vec::<String>::new());
    assert_eq!(fs::read("/etc/hosts").unwrap(), hosts_before);

    // Dropping it is enough, and down without up is no error.
    drop(Testbed::up(1, 1).unwrap());
    assert_eq!(traces(), Vec::<String>::new());
    the_script_by_itself();
}

fn exit_codes_come_through(testbed: &Testbed) {
    let resources = Resources { nodes: Some(4), ranks: 8, ..Resources::default() };
    for launcher in [Launcher::default(), Launcher::Mpirun] {
        for code in [0, 3, 75] {
            let job = sh(&format!("hostname; exit {code}"));
            let job = Job { resources: resources.clone(), launcher: launcher.clone(), ..job };
            let (seen, wrote) = finish(testbed, job);
            let state = if code == 0 { State::Completed } else { State::Failed };
            assert_eq!((seen.state, seen.exit_code, seen.signal), (state, code, 0), "{launcher:?}\n{wrote}");
            // mpirun ends the other ranks at the first that fails.
            if code == 0 {
                for node in ["rk-n1", "rk-n2", "rk-n3", "rk-n4"] {
                    let ranks = wrote.lines().filter(|line| *line == node).count();
                    assert_eq!(ranks, 2, "{launcher:?} {node}\n{wrote}");
                }
            }
        }
        // One rank fails while the others go on for a moment.
        let job = sh("[ ${OMPI_COMM_WORLD_RANK:-$SLURM_PROCID} != 5 ] || exit 3; sleep 1");
        let (seen, wrote) = finish(testbed, Job { resources: resources.clone(), launcher, ..job });
        assert_eq!(seen.exit_code, 3, "{wrote}");
    }
}

fn arguments_arrive_through_slurm(testbed: &Testbed) {
    let words = ["it's", "a\n#SBATCH --comment=evil\nb", "$(id)", "", "\r\n", "ü ✓", "*"];
    for launcher in [Launcher::default(), Launcher::Mpirun] {
        let program = ["bash", "-c", "printf '<%s>' \"$@\"", "bash"];
        let job = Job { launcher, ..Job::new(program.iter().chain(&words).copied()) };
        let (seen, wrote) = finish(testbed, job);
        assert!(seen.is_success(), "{seen}\n{wrote}");
        assert_eq!(wrote, words.map(|word| format!("<{word}>")).concat());
    }
    let job = Job::new(["true"]);
    let named = Resources { job_name: Some("a JobState=FAILED b".into()), ..Resources::default() };
    assert!(finish(testbed, Job { resources: named, ..job }).0.is_success());
}

fn ranks_have_the_cpus_of_their_threads(testbed: &Testbed) {
    // nproc would repeat OMP_NUM_THREADS.
    let cpus = || sh("echo $(env -u OMP_NUM_THREADS nproc) $OMP_NUM_THREADS $RAYON_NUM_THREADS");
    let wanted = |ranks, threads| Resources { nodes: Some(2), ranks, threads, ..Resources::default() };
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!(
        cores >= 2,
        "this test needs two cores: the testbed binds nothing where nodes claim more than there are"
    );
    let launchers = [
        (Launcher::default(), Binding::Auto),
        (Launcher::Mpirun, Binding::Auto),
        (Launcher::Mpirun, Binding::None),
        (Launcher::Mpirun, Binding::Cores),
    ];
    for (launcher, binding) in launchers {
        let hybrid = Job { resources: wanted(2, 2), launcher: launcher.clone(), binding, ..cpus() };
        let (seen, wrote) = finish(testbed, hybrid);
        assert!(seen.is_success(), "{seen}\n{wrote}");
        let lines: Vec<_> = wrote.lines().filter(|line| !line.starts_with("srun: ")).collect();
        assert_eq!(lines, ["2 2 2"; 2], "{launcher:?} {binding:?}");
    }
    // Left set, this variable would squeeze all ranks of a node into the CPUs of one.
    let script = Job {
        resources: wanted(4, 1),
        launcher: Launcher::Mpirun,
        binding: Binding::None,
        as_root: true,
        ..cpus()
    };
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out");
    let script = Job {
        resources: Resources {
            output: Some(output.to_str().unwrap().to_owned()),
            ..script.resources.clone()
        },
        ..script
    };
    let slurm = testbed.slurm().env("SRUN_CPUS_PER_TASK", "1");
    let id = slurm.submit(&script.script().unwrap()).unwrap();
    assert!(slurm.wait(id, PATIENCE).unwrap().is_success());
    let wrote = fs::read_to_string(output).unwrap();
    assert_eq!(wrote.lines().collect::<Vec<_>>(), ["2 1 1"; 4]);
}

const HELLO: &str = r#"
#include <mpi.h>
#include <stdio.h>
#include <string.h>
static char a[1 << 20], b[1 << 20];
int main(int argc, char **argv) {
    int rank, size, len, sum;
    char host[MPI_MAX_PROCESSOR_NAME];
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Get_processor_name(host, &len);
    MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    memset(a, rank, sizeof a);
    MPI_Sendrecv(a, sizeof a, MPI_CHAR, (rank + 1) % size, 0, b, sizeof b, MPI_CHAR, (rank + size - 1) % size, 0,
                 MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    printf("%d/%d %s %d %d\n", rank, size, host, sum, b[99] == (rank + size - 1) % size);
    fflush(stdout);
    if (argc > 1) MPI_Barrier(MPI_COMM_WORLD);
    if (argc > 1 && rank == 1) MPI_Abort(MPI_COMM_WORLD, 3);
    if (argc > 1) MPI_Barrier(MPI_COMM_WORLD);
    MPI_Finalize();
    return 0;
}
"#;

fn mpi_crosses_nodes(testbed: &Testbed) {
    let dir = tempfile::tempdir().unwrap();
    let (source, program) = (dir.path().join("hello.c"), dir.path().join("hello"));
    fs::write(&source, HELLO).unwrap();
    let mpicc = Command::new("mpicc").arg(&source).arg("-o").arg(&program).output();
    let built = mpicc.unwrap_or_else(|e| panic!("mpicc: {e}; apt-get install -y openmpi-bin libopenmpi-dev"));
    assert!(built.status.success(), "{built:?}");
    let sent = || -> u64 {
        fs::read_to_string("/sys/class/net/rk-ve2/statistics/tx_bytes").unwrap().trim().parse().unwrap()
    };
    for launcher in [Launcher::default(), Launcher::Mpirun] {
        let before = sent();
        let resources = Resources { nodes: Some(4), ranks: 8, ..Resources::default() };
        let job = Job { resources, launcher: launcher.clone(), ..Job::new([program.to_str().unwrap()]) };
        let (seen, wrote) = finish(testbed, job.clone());
        assert!(seen.is_success(), "{launcher:?}: {seen}\n{wrote}");
        for rank in 0..8 {
            let line = format!("{rank}/8 rk-n{} 28 1", rank / 2 + 1);
            assert!(wrote.lines().any(|l| l == line), "{launcher:?}: no {line:?} in\n{wrote}");
        }
        assert!(sent() - before > 1 << 20, "a message of a MiB to node 2 must cross its link");

        let mut aborting = job;
        aborting.program.push("abort".to_owned());
        let (seen, wrote) = finish(testbed, aborting);
        assert_eq!((seen.state, seen.exit_code), (State::Failed, 3), "{launcher:?}\n{wrote}");
    }
}

fn refusals_time_limits_and_cancel(testbed: &Testbed) {
    let slurm = testbed.slurm();
    let elsewhere = Resources { partition: Some("nope".into()), ..Resources::default() };
    let error = slurm.submit(&Job { resources: elsewhere, ..sh("true") }.script().unwrap()).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert!(error.to_string().contains("invalid partition specified: nope"), "{error}");

    let dir = tempfile::tempdir().unwrap();
    let output = Some(dir.path().join("out").to_str().unwrap().to_owned());
    let sleeper = Job { resources: Resources { output, ..Resources::default() }, ..sh("sleep 300") };
    let id = slurm.submit(&sleeper.script().unwrap()).unwrap();
    let error = slurm.wait(id, Duration::from_secs(1)).unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    slurm.cancel(id).unwrap();
    assert_eq!(slurm.wait(id, PATIENCE).unwrap().state, State::Cancelled);
    slurm.cancel(id).unwrap();
    let error = slurm.state(rankine_slurm::JobId(999_999)).unwrap_err();
    assert!(matches!(error, Error::UnknownJob { .. }), "{error}");
}

fn links_can_be_cut_and_slowed(testbed: &Testbed) {
    let ping = || run(testbed, "ping", &["-c1", "-W1", "10.77.0.12"]).status.success();
    if Command::new("ping").arg("-V").output().is_ok() {
        assert!(ping());
        testbed.cut(2).unwrap();
        assert!(!ping());
        testbed.mend(2).unwrap();
        // The first may be lost while the nodes find each other again.
        assert!((0..3).any(|_| ping()));
    }
    testbed.cut(2).unwrap();
    let state = || fs::read_to_string("/sys/class/net/rk-ve2/operstate").unwrap();
    assert_eq!(state().trim(), "down");
    testbed.mend(2).unwrap();
    testbed.rate(3, "100mbit").unwrap();
    let queue = || String::from_utf8(run(testbed, "tc", &["qdisc", "show", "dev", "rk-ve3"]).stdout).unwrap();
    assert!(queue().contains("tbf") && queue().contains("100Mbit"), "{}", queue());
    testbed.rate(3, "none").unwrap();
    assert!(!queue().contains("tbf"));
    let error = testbed.cut(5).unwrap_err().to_string();
    assert!(error.contains("no node '5'") && error.contains("rk-n4"), "{error}");
    assert!(testbed.rate(1, "fast").is_err());
}

fn the_script_by_itself() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testbed/testbed.sh");
    let bash = |command: &str| {
        Command::new("timeout")
            .args(["300", "bash", "-c", command, path])
            .env_remove("SLURM_CONF")
            .output()
            .unwrap()
    };
    // `output` reads to the end of both pipes: a daemon that kept one would hold this up for ever.
    let up = bash("$0 up 2 1 | cat; exit ${PIPESTATUS[0]}");
    assert!(up.status.success(), "{up:?}");
    assert_eq!(bash("$0 env").stdout, up.stdout);
    let again = bash("$0 up");
    assert_eq!(again.status.code(), Some(75), "{again:?}");
    let hosts = bash("eval \"$($0 env)\"; srun -N2 sh -c 'grep -c rk- /etc/hosts'");
    assert_eq!(String::from_utf8(hosts.stdout).unwrap(), "3\n3\n");
    assert!(bash("$0 down").status.success());
    assert!(bash("$0 down").status.success(), "down is idempotent");
    assert_eq!(traces(), Vec::<String>::new());
    assert_eq!(bash("$0 env").status.code(), Some(1));
    for usage in ["", "nonsense", "up 0", "up x", "up 1 0", "up 1 1 1", "rate 1"] {
        let out = bash(&format!("$0 {usage}"));
        assert_eq!(out.status.code(), Some(2), "{usage}: {out:?}");
    }

    // A namespace that is somebody else's stops `up` and survives it.
    let foreign =
        bash("ip netns add rk-n2 && { $0 up 3 1; code=$?; ls /run/netns; ip netns del rk-n2; exit $code; }");
    assert_eq!(foreign.status.code(), Some(1), "{foreign:?}");
    assert_eq!(String::from_utf8(foreign.stdout).unwrap(), "rk-n2\n");
    assert_eq!(traces(), Vec::<String>::new());

    // A cluster whose owner has died is replaced.
    let orphan =
        bash("sleep 1000 & RK_TESTBED_OWNER=$! $0 up 1 1 >&2; kill $!; wait $!; $0 up 2 1 && $0 down");
    assert!(orphan.status.success(), "{orphan:?}");
    assert_eq!(traces(), Vec::<String>::new());

    let not_root = bash("setpriv --reuid=65534 --regid=65534 --clear-groups bash -s up < $0");
    assert_eq!(not_root.status.code(), Some(3), "{not_root:?}");
    assert!(String::from_utf8(not_root.stderr).unwrap().contains("needs root"));
    // A PATH with everything but Slurm and munge.
    let missing = bash(
        "d=$(mktemp -d); for c in bash id cat ip tc nsenter unshare flock setsid hostname timeout; do ln -s $(command -v $c) $d; done
         sed 's|^PATH=.*||' $0 | PATH=$d bash -s up; code=$?; rm -r $d; exit $code",
    );
    assert_eq!(missing.status.code(), Some(3), "{missing:?}");
    let said = String::from_utf8(missing.stderr).unwrap();
    assert!(said.contains("apt-get install -y slurmctld slurmd slurm-client munge\n"), "{said}");
}
