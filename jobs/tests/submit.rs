//! `rankine submit` and `rankine sweep` against stand-ins for Slurm's commands: scripts, directories, refusals. A real
//! Slurm runs what is submitted in `submit_testbed`.

#[expect(dead_code, reason = "other tests use more of it")]
mod common;

use common::{ended, files, json, refused};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

/// A folder for runs, and one with stand-ins for Slurm's commands.
struct Site {
    root: tempfile::TempDir,
    commands: tempfile::TempDir,
}

const SINFO: &str = "echo 'debug*|4|4|8000'; echo 'fat|2|64|1000000'";
const SRUN: &str = "printf 'MPI plugin types are...\\n\\tnone\\n\\tpmi2\\n\\tpmix\\n' >&2";

impl Site {
    fn new() -> Site {
        let site = Site { root: tempfile::tempdir().unwrap(), commands: tempfile::tempdir().unwrap() };
        site.command("sinfo", SINFO);
        site.command("srun", SRUN);
        site.command("sbatch", "printf '%s\\n' \"$@\" >> args; cat > got; echo 17");
        site.command("squeue", "cat queue");
        std::fs::write(site.commands.path().join("queue"), "").unwrap();
        site
    }

    fn command(&self, name: &str, body: &str) {
        let path = self.commands.path().join(name);
        let text = format!("#!/bin/bash\ncd {:?}\n{body}\n", self.commands.path());
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn rankine(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rankine"));
        let path = format!("{}:{}", self.commands.path().display(), std::env::var("PATH").unwrap());
        command.args(words).current_dir(self.root.path()).env("PATH", path).env("SLURM_CONF", "");
        command.env("XDG_CONFIG_HOME", self.root.path().join("config")).env_remove("RANKINE_TEMPLATE");
        command
    }

    fn says(&self, words: &str) -> String {
        let ended = ended(self.rankine(&words.split(' ').collect::<Vec<_>>()));
        assert_eq!(ended.code, 0, "{words}: {}", ended.stderr);
        ended.stdout
    }

    fn refuses(&self, words: &str, says: &[&str]) {
        refused(self.rankine(&words.split(' ').collect::<Vec<_>>()), words, 2, says);
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn got(&self, name: &str) -> String {
        std::fs::read_to_string(self.commands.path().join(name)).unwrap_or_default()
    }
}

fn line<'s>(script: &'s str, head: &str) -> &'s str {
    script
        .lines()
        .map(str::trim_start)
        .find(|line| line.starts_with(head))
        .unwrap_or_else(|| panic!("no {head} in\n{script}"))
}

#[test]
fn every_option_is_a_line_of_the_script() {
    let site = Site::new();
    let words = "submit heat3d --cells 16 --nodes 2 --ranks-per-node 3 --threads 4 --time 1:00:00 --account a --partition fat \
                 --qos q --constraint c&d --mem 5G --after 17 --mail jobs@example.org --requeue --max-requeues 3 --exclusive \
                 --job-name heat --out run --launcher mpirun --checkpoint-every 5 --dry-run";
    let script = site.says(words);
    let folder = site.root.path().display().to_string();
    for expected in [
        "--job-name=heat",
        "--nodes=2",
        "--ntasks=6",
        "--ntasks-per-node=3",
        "--cpus-per-task=4",
        "--time=1:00:00",
        "--account=a",
        "--partition=fat",
        "--qos=q",
        "--constraint=c&d",
        "--mem=5G",
        "--dependency=afterok:17",
        "--mail-user=jobs@example.org",
        "--mail-type=END,FAIL,REQUEUE",
        "--exclusive",
        "--requeue",
        "--signal=B:USR1@120",
        "--open-mode=append",
        "--output=run/slurm.log",
        &format!("--chdir={folder}"),
    ] {
        assert!(script.contains(&format!("#SBATCH {expected}\n")), "{expected}\n{script}");
    }
    assert!(line(&script, "mpirun").contains("--threads=4 --resume=run"), "{script}");
    assert!(script.contains("-lt 3 ]") && script.contains("run/timings.json"), "{script}");
    assert!(files(site.root.path()).is_empty(), "a dry run makes nothing");
    let script =
        site.says("submit heat3d --mem-per-cpu 2G --ranks 2 --extra --gres=gpu:1 --no-output --dry-run");
    assert!(
        script.contains("#SBATCH --mem-per-cpu=2G\n") && script.contains("#SBATCH --gres=gpu:1\n"),
        "{script}"
    );
    let alone = site.says("submit heat3d --nodes 2 --dry-run");
    assert!(alone.contains("#SBATCH --nodes=2\n") && alone.contains("#SBATCH --ntasks=2\n"), "{alone}");
    assert!(script.contains("--output=slurm-%j.log\n") && !script.contains("requeue \"$job\""), "{script}");
}

#[test]
fn a_submitted_run_has_its_directory_before_it_begins() {
    let site = Site::new();
    let job = "kernel = \"heat3d\"\n[parameters]\ncells = [6, 7, 8]\nsteps = 3\n[slurm]\ntime = \"10\"\nextra = \"--comment='a b'\"\n";
    std::fs::write(site.at("job.toml"), job).unwrap();
    let said = site.says("submit job.toml --ranks 2 --out runs/first");
    assert!(said.contains("submitted job 17: runs/first"), "{said}");
    assert_eq!(
        files(&site.at("runs")),
        ["first", "first/job.sh", "first/job.toml", "first/log", "first/slurm.json"],
        "{said}"
    );
    assert_eq!(json(site.at("runs/first/slurm.json"))["jobs"][0]["id"], 17);
    let script = std::fs::read_to_string(site.at("runs/first/job.sh")).unwrap();
    assert_eq!(script, site.got("got"));
    assert!(
        script.contains("#SBATCH --comment=\"a b\"\n#") || script.contains("#SBATCH --comment=\"a b\"\n"),
        "{script}"
    );
    assert!(
        line(&script, "srun").contains("run heat3d --job=runs/first/job.toml --out=runs/first"),
        "{script}"
    );
    // A job that waits is not given another's.
    std::fs::write(site.at("job.toml"), job.replace("steps = 3", "steps = 4")).unwrap();
    let words = ["submit", "job.toml", "--out", "runs/first"];
    refused(
        site.rankine(&words),
        "another",
        4,
        &["runs/first/job.toml", "another job", "choose another directory"],
    );
    // It was written down as it was, and the run may have what is there already.
    site.says("run --job=runs/first/job.toml --ranks 2 --out=runs/first");
    assert_eq!(json(site.at("runs/first/progress.json"))["steps"], 3);
    assert!(site.at("runs/first/result.json").exists() && site.at("runs/first/job.sh").exists());
    refused(
        site.rankine(&["submit", "job.toml", "--out", "runs/first"]),
        "again",
        4,
        &["holds an earlier run"],
    );
    // A name of its own for each, also of one second.
    for _ in 0..2 {
        site.says("submit job.toml");
    }
    let runs = std::fs::read_dir(site.at("runs")).unwrap().count();
    assert_eq!(runs, 3);
}

#[test]
fn what_slurm_refuses_leaves_nothing() {
    let site = Site::new();
    site.command("sbatch", "echo 'sbatch: error: invalid partition specified: nope' >&2; exit 1");
    for words in ["submit heat3d --partition nope --out new/run", "submit heat3d --sweep steps=1,2 --out new"]
    {
        let words: Vec<&str> = words.split(' ').collect();
        let refused = ended(site.rankine(&words));
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        assert!(refused.stderr.contains("invalid partition specified: nope"), "{}", refused.stderr);
        assert!(files(site.root.path()).is_empty(), "{:?}", files(site.root.path()));
    }
    // A folder that is there stays as it is, with its job file.
    std::fs::create_dir(site.at("there")).unwrap();
    std::fs::write(site.at("j.toml"), "kernel = \"heat3d\"\n[parameters]\nsteps = 3\n").unwrap();
    let words = ["submit", "j.toml", "--out", "there", "--overwrite"];
    for earlier in ["", "# another one\n"] {
        if !earlier.is_empty() {
            std::fs::write(site.at("there/job.toml"), earlier).unwrap();
        }
        assert_eq!(ended(site.rankine(&words)).code, 3);
        let kept = std::fs::read_to_string(site.at("there/job.toml")).unwrap_or_default();
        assert_eq!((kept.as_str(), files(&site.at("there")).len()), (earlier, earlier.len().min(1)));
    }
    site.command("sbatch", "echo \"sbatch: Job 18 to start at now $*\" >&2; cat > /dev/null");
    assert!(site.says("submit heat3d --out other --check").contains("Job 18 to start at now --test-only"));
    assert!(!site.at("other").exists());
}

#[test]
fn what_cannot_fit_is_refused_with_numbers() {
    let site = Site::new();
    site.refuses(
        "submit heat3d --cells 2048 --ranks 4 --nodes 4 --dry-run",
        &["on a node (1 rank of ", "partition debug have 7.81 GiB"],
    );
    site.refuses(
        "submit heat3d --cells 512 --ranks 8 --mem 1G --nodes 2 --dry-run",
        &["on a node (4 ranks of ", "--mem=1G asks for 1.00 GiB", "ask for --mem="],
    );
    site.refuses(
        "submit heat3d --cells 512 --ranks 8 --mem-per-cpu 100M --dry-run",
        &["a rank needs", "--mem-per-cpu=100M gives it 100 MiB"],
    );
    site.refuses("submit heat3d --sweep cells=16,2048 --dry-run", &["partition debug"]);
    site.says("submit heat3d --cells 2048 --ranks 4 --nodes 2 --partition fat --dry-run");
    // Without Slurm nobody knows, and the script is shown all the same.
    site.command("sinfo", "exit 1");
    site.says("submit heat3d --cells 2048 --ranks 4 --nodes 4 --dry-run");
}

#[test]
fn mistakes_are_named() {
    let site = Site::new();
    std::fs::write(site.at("bad.sh"), "#!/bin/bash\n{{directives}}\n{{launch}} {{lunch}}\n").unwrap();
    std::fs::write(site.at("job.toml"), "kernel = \"heat3d\"\n[slurm]\nlauncher = \"aprun\"\n").unwrap();
    std::fs::write(site.at("key.toml"), "kernel = \"heat3d\"\n[slurm]\npartion = \"x\"\n").unwrap();
    for (words, says) in [
        ("submit heat3d --template bad.sh --dry-run", &["bad.sh:3", "{{lunch}}", "directives"][..]),
        ("submit job.toml --dry-run", &["aprun", "mpirun"]),
        ("submit key.toml --dry-run", &["key.toml:3", "did you mean `partition`?"]),
        ("submit heat3d --time soon --dry-run", &["soon"]),
        ("submit heat3d --after x --dry-run", &["after", "afterok:17"]),
        ("submit heat3d --mail a;b --dry-run", &["mail"]),
        ("submit heat3d --extra -n4 --dry-run", &["--ranks"]),
        ("submit heat3d --nodes 2 --ranks-per-node 2 --ranks 5 --dry-run", &["ranks_per_node"]),
        ("submit heat3d --nodes 3 --ranks 2 --dry-run", &["more nodes than ranks (2)"]),
        ("submit heat3d --nodes 0 --dry-run", &["nodes"]),
        ("submit heat3d --requeue --no-output --dry-run", &["--no-output"]),
        ("submit heat3d --requeue --overwrite --dry-run", &["--overwrite"]),
        ("submit heat3d --dt 9 --dry-run", &["unstable"]),
        ("submit heat3d --sweep dt=0.01,9 --dry-run", &["point --dt=9", "unstable"]),
        ("submit heat3d --sweep stesp=1 --dry-run", &["point --stesp=1", "--steps"]),
        ("submit heat3d --sweep ranks=1,2 --dry-run", &["no parameter to sweep"]),
        ("submit heat3d --out a\"b --dry-run", &["output", "quotes"]),
        ("submit heat3d --out a\nb --dry-run", &["output", "control characters"]),
        ("submit heat3d --job-name a$(id) --dry-run", &["job_name"]),
    ] {
        site.refuses(words, says);
    }
    refused(
        site.rankine(&["submit", "heat3d", "--template", "none.sh"]),
        "none.sh",
        4,
        &["none.sh", "--show-template"],
    );
    refused(site.rankine(&["submit", "heat3d", "--program", "./none"]), "none", 4, &["no such file"]);
    refused(site.rankine(&["sweep", "results", "."]), "no sweep", 4, &["no sweep.json"]);
}

#[test]
fn a_site_has_its_own_template() {
    let site = Site::new();
    let shown = site.says("submit --show-template");
    assert!(shown.starts_with("#!/bin/bash\n{{directives}}\n"), "{shown}");
    std::fs::create_dir_all(site.at("config/rankine")).unwrap();
    let with = |greeting: &str| {
        format!(
            "#!/bin/bash -l\n{{{{directives}}}}\necho {greeting} {{{{run}}}}\n{{{{launch}}}}\nexit $code\n"
        )
    };
    std::fs::write(site.at("config/rankine/submit.sh"), with("user")).unwrap();
    std::fs::write(site.at("site.sh"), with("site")).unwrap();
    assert!(site.says("submit heat3d --out run --dry-run").contains("\necho user run\n"));
    let mut command = site.rankine(&["submit", "heat3d", "--out", "run", "--dry-run"]);
    command.env("RANKINE_TEMPLATE", site.at("site.sh"));
    assert!(ended(command).stdout.contains("\necho site run\n"));
    assert!(site.says("submit heat3d --out run --template site.sh --dry-run").contains("\necho site run\n"));
    // What is shown is a template.
    std::fs::write(site.at("shown.sh"), shown).unwrap();
    site.says("submit heat3d --requeue --template shown.sh --out run --dry-run");
    site.refuses("submit heat3d --requeue --template site.sh --dry-run", &["{{requeue}}"]);
}

#[test]
fn the_launcher_is_the_programs() {
    let site = Site::new();
    let program = |name: &str, library: &str| {
        std::fs::write(site.at(name), format!("\0libc.so.6\0{library}\0")).unwrap();
    };
    program("open", "libmpi.so.40");
    program("mpich", "libmpich.so.12");
    let launch = |words: &str| {
        let script = site.says(&format!("submit heat3d --ranks 2 --out run --dry-run {words}"));
        let at = script
            .lines()
            .position(|line| line.starts_with("# srun:") || line.starts_with("# mpirun:"))
            .expect("why");
        let lines: Vec<&str> = script.lines().skip(at).take(3).collect();
        (lines[0].to_string(), lines[2].split(' ').take(2).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(
        launch("--program ./open"),
        (
            "# srun: the program is linked with Open MPI (libmpi.so.40), and `srun --mpi=list` shows none, pmi2, pmix.".to_string(),
            "srun --mpi=pmix".to_string()
        )
    );
    assert_eq!(launch("--program ./mpich").1, "srun --mpi=pmi2");
    assert_eq!(launch("--program ./open --launcher mpirun").1, "mpirun -n");
    assert_eq!(launch("--program ./open --mpi pmix_v4").1, "srun --mpi=pmix_v4");
    site.command("srun", "printf 'MPI plugin types are...\\n\\tnone\\n\\tpmi2\\n'");
    assert_eq!(launch("--program ./open").1, "mpirun -n");
    assert_eq!(launch("--program ./mpich").1, "srun --mpi=pmi2");
    site.command("srun", "exit 1");
    assert_eq!(launch("--program ./mpich").1, "srun --mpi=pmi2");
    assert!(launch("--program ./mpich").0.contains("could not be asked"));
}

/// Runs the script of a sweep as Slurm would run one of its jobs, without a launcher.
fn run_point(site: &Site, folder: &str, number: usize) {
    site.command(
        "srun",
        "exec 3>&1; while [ \"${1#--}\" != \"$1\" ]; do shift; done; cd \"$OLDPWD\"; exec \"$@\" --ranks 2",
    );
    let script = std::fs::read_to_string(site.at(folder).join("job.sh")).unwrap();
    let path = format!("{}:{}", site.commands.path().display(), std::env::var("PATH").unwrap());
    let ended = Command::new("bash")
        .args(["-c", &script])
        .env("PATH", path)
        .env("SLURM_ARRAY_TASK_ID", number.to_string())
        .env_remove("SLURM_JOB_ID")
        .current_dir(site.root.path())
        .output()
        .unwrap();
    assert!(ended.status.success(), "{ended:?}");
    site.command("srun", SRUN);
}

#[test]
fn a_sweep_is_an_array_with_a_run_for_each_point() {
    let site = Site::new();
    let said = site.says("submit heat3d --cells 8 --sweep steps=2,4 --sweep wall-value=0.5:1:0.5 --at-once 3 --ranks 2 --out sweep");
    assert!(said.contains("submitted job 17 of 4 runs: sweep"), "{said}");
    let script = site.got("got");
    assert!(
        script.contains("#SBATCH --array=0-3%3\n")
            && script.contains("#SBATCH --output=sweep/%4a/slurm.log\n"),
        "{script}"
    );
    assert!(script.contains("  2) point=(--steps=4 --wall-value=0.5) ;;"), "{script}");
    for run in ["0000", "0003"] {
        assert!(site.at("sweep").join(run).join("log").is_dir());
    }
    assert_eq!(json(site.at("sweep/0003/slurm.json"))["jobs"][0], serde_json::json!({"id": 17, "task": 3}));

    run_point(&site, "sweep", 1);
    run_point(&site, "sweep", 2);
    // One that failed, one that was never begun, which is in the queue.
    std::fs::write(site.at("sweep/0000/run.toml"), "kernel = \"heat3d\"\n").unwrap();
    std::fs::write(site.at("sweep/0000/progress.json"), "{\"state\": \"failed\"}").unwrap();
    let table = site.says("sweep results sweep");
    let rows: Vec<Vec<&str>> = table.lines().map(|row| row.split(',').collect()).collect();
    assert_eq!(rows[0][..4], ["run", "steps", "wall-value", "state"], "{table}");
    let states: Vec<&str> = rows[1..].iter().map(|row| row[3]).collect();
    assert_eq!(states[0], "failed");
    assert_eq!(states[3], "not begun");
    assert_eq!(rows[2][..3], ["0001", "2", "1.0"]);
    let sum = json(site.at("sweep/0001/result.json"))["checksum"].as_str().unwrap().to_string();
    assert!(table.lines().nth(2).unwrap().contains(&sum), "{table}");

    site.says("sweep results sweep --out table.csv --plot steps,seconds");
    assert_eq!(std::fs::read_to_string(site.at("table.csv")).unwrap(), table);
    assert!(std::fs::read(site.at("sweep/steps-seconds.png")).unwrap().starts_with(b"\x89PNG"));
    site.refuses("sweep results sweep --plot steps,power", &["no column power", "wall-value"]);

    // One run alone goes on, with its number.
    site.command("scontrol", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1");
    site.command("sbatch", "printf '%s\\n' \"$@\" > args; cat > got; echo 19");
    site.says("resume sweep/0000");
    assert_eq!(site.got("args"), "--parsable\n--array=0%3\n");
    assert_eq!(site.got("got"), script.replace("--out \"$run\" --overwrite", "--resume \"$run\""));
    assert_eq!(json(site.at("sweep/sweep.json"))["jobs"], serde_json::json!([17, 19]));
    assert_eq!(json(site.at("sweep/0000/slurm.json"))["jobs"][1], serde_json::json!({"id": 19, "task": 0}));

    std::fs::write(site.commands.path().join("queue"), "3\n").unwrap();
    assert_eq!(site.says("sweep resubmit sweep --dry-run"), "1 of 4 runs: 0000\n");
    site.command("sbatch", "printf '%s\\n' \"$@\" > args; cat > got; echo 18");
    site.says("sweep resubmit sweep");
    assert_eq!(site.got("args"), "--parsable\n--array=0%3\n");
    assert_eq!(site.got("got"), script);
    assert_eq!(json(site.at("sweep/sweep.json"))["jobs"], serde_json::json!([17, 19, 18]));
    assert_eq!(json(site.at("sweep/0000/slurm.json"))["jobs"][2]["id"], 18);
    run_point(&site, "sweep", 0);
    run_point(&site, "sweep", 3);
    std::fs::write(site.commands.path().join("queue"), "").unwrap();
    assert!(site.says("sweep resubmit sweep").contains("nothing to submit"));
    let sums: Vec<String> = (0..4)
        .map(|n| json(site.at("sweep").join(format!("{n:04}/result.json")))["checksum"].to_string())
        .collect();
    assert!(sums[0] != sums[2], "{sums:?}");
}

#[test]
fn a_table_is_a_sweep() {
    let site = Site::new();
    std::fs::write(site.at("points.csv"), "steps,cells\n2,\"4,5,6\"\n3,7\n").unwrap();
    let script = site.says("submit heat3d --sweep-csv points.csv --requeue --out s --dry-run");
    assert!(script.contains("  0) point=(--steps=2 --cells=4,5,6) ;;"), "{script}");
    assert!(script.contains("\"${point[@]}\" --resume \"$run\" || code=$?"), "{script}");
    assert!(script.contains("\"$run\"/timings.json"), "{script}");
}
