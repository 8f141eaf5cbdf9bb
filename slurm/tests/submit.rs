//! Submission against stand-ins for Slurm's commands: what is passed on, and what each failure says.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use rankine_slurm::{Error, JobId, Slurm, State};

/// A PATH of one folder with the given commands, each a bash script. Nothing else is on it.
struct Path(tempfile::TempDir);

impl Path {
    fn with(commands: &[(&str, &str)]) -> Path {
        let dir = tempfile::tempdir().unwrap();
        for (name, body) in commands {
            let script = format!("#!/bin/bash\ncd {:?}\nPATH=/usr/bin:/bin\n{body}\n", dir.path());
            // By another process: a program that is open for writing in this one, or in a child that another test has
            // just started, cannot be run.
            let mut sh = Command::new("/bin/sh")
                .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
                .arg(dir.path().join(name))
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            sh.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
            assert!(sh.wait().unwrap().success());
        }
        Path(dir)
    }

    fn slurm(&self) -> Slurm {
        Slurm::new().env("PATH", self.0.path()).env("SLURM_CONF", "")
    }
}

fn submit_error(body: &str) -> (Error, String) {
    let error = Path::with(&[("sbatch", body)]).slurm().submit("#!/bin/bash\ntrue\n").unwrap_err();
    let text = error.to_string();
    (error, text)
}

#[test]
fn the_script_arrives_whole_on_standard_input() {
    let path = Path::with(&[("sbatch", "cat > got; printf '%s\\n' \"$@\" > args; echo 17")]);
    let script = "#!/bin/bash\n".to_owned() + &"true # ü\n".repeat(50_000);
    assert_eq!(path.slurm().submit(&script).unwrap(), JobId(17));
    assert_eq!(fs::read_to_string(path.0.path().join("got")).unwrap(), script);
    assert_eq!(fs::read_to_string(path.0.path().join("args")).unwrap(), "--parsable\n");
}

#[test]
fn job_numbers() {
    for (said, expected) in [
        ("17", Some(17)),
        ("17;east", Some(17)),
        ("site says hello\n18", Some(18)),
        ("", None),
        ("x", None),
        ("0", None),
    ] {
        let path = Path::with(&[("sbatch", &format!("cat >/dev/null; printf '{said}\\n'"))]);
        match (path.slurm().submit("x"), expected) {
            (Ok(JobId(id)), Some(expected)) => assert_eq!(id, expected),
            (Err(Error::Unreadable { .. }), None) => {}
            other => panic!("{said:?}: {other:?}"),
        }
    }
}

#[test]
fn no_sbatch_on_path() {
    let error = Path::with(&[]).slurm().submit("x").unwrap_err();
    assert!(matches!(error, Error::NoSlurm { .. }), "{error}");
    assert!(error.to_string().contains("sbatch is not on PATH"), "{error}");
}

#[test]
fn sbatch_without_a_cluster() {
    let (error, text) = submit_error(
        "echo 'sbatch: error: resolve_ctls_from_dns_srv: res_nsearch error: Unknown host' >&2
         echo 'sbatch: fatal: Could not establish a configuration source' >&2; exit 1",
    );
    assert!(matches!(error, Error::NotConfigured { .. }), "{text}");
    assert!(text.contains("not configured here") && text.contains("  | sbatch: fatal"), "{text}");
}

#[test]
fn slurm_conf_that_is_not_there_fails_at_once() {
    let path = Path::with(&[("sbatch", "sleep 60")]);
    let error = path.slurm().env("SLURM_CONF", "/nowhere/slurm.conf").submit("x").unwrap_err();
    assert!(matches!(error, Error::NotConfigured { .. }), "{error}");
    assert!(error.to_string().contains("/nowhere/slurm.conf"), "{error}");
}

#[test]
fn the_controller_is_away() {
    let (error, text) = submit_error(
        "echo 'sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)' >&2; exit 1",
    );
    assert!(matches!(error, Error::NoController { .. }), "{text}");
    assert!(text.contains("scontrol ping"), "{text}");
}

#[test]
fn a_refusal_is_quoted_and_cannot_paint_the_terminal() {
    // Without reading its input, and more than a pipe holds: neither may hang or kill the caller.
    let (error, text) = submit_error(
        "echo 'sbatch: error: invalid partition specified: nope' >&2; printf '\\033[2J\\n' >&2
         head -c 300000 /dev/zero | tr '\\0' 'x'; exit 1",
    );
    assert!(matches!(error, Error::Refused { .. }), "{text}");
    assert!(text.contains("  | sbatch: error: invalid partition specified: nope"), "{text}");
    assert!(!text.contains('\u{1b}') && text.len() < 1000, "{text}");
}

const SHOW: &str = "JobId=7 JobName=a JobState=COMPLETED b UserId=root(0) QOS=(null) JobState=";

#[test]
fn wait_polls_until_the_job_has_ended() {
    let path = Path::with(&[(
        "scontrol",
        &format!(
            "[ \"$*\" = 'show job -o 7' ] || exit 9
             echo x >> polls
             case $(wc -l < polls) in
               1) echo '{SHOW}PENDING Reason=Resources ExitCode=0:0' ;;
               2) echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1 ;;
               3) echo '{SHOW}COMPLETING Reason=None ExitCode=3:0' ;;
               *) echo '{SHOW}FAILED Reason=NonZeroExitCode ExitCode=3:0' ;;
             esac"
        ),
    )]);
    let seen = path.slurm().wait(JobId(7), Duration::from_secs(30)).unwrap();
    assert_eq!((seen.state, seen.exit_code), (State::Failed, 3));
    let error = Path::with(&[("scontrol", &format!("echo '{SHOW}RUNNING Reason=None ExitCode=0:0'"))])
        .slurm()
        .wait(JobId(7), Duration::from_millis(300))
        .unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }) && error.to_string().contains("RUNNING"), "{error}");
}

#[test]
fn unknown_jobs_and_unreadable_answers() {
    let path = Path::with(&[
        ("scontrol", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"),
        (
            "scancel",
            "echo 'scancel: error: Kill job error on job id 7: Invalid job id specified' >&2; exit 1",
        ),
    ]);
    let error = path.slurm().wait(JobId(7), Duration::ZERO).unwrap_err();
    assert!(matches!(error, Error::UnknownJob { job: JobId(7) }), "{error}");
    assert!(matches!(path.slurm().cancel(JobId(7)), Err(Error::UnknownJob { .. })));
    let path = Path::with(&[("scontrol", "echo 'JobId=7 nonsense'"), ("scancel", "[ \"$*\" = 7 ]")]);
    let error = path.slurm().state(JobId(7)).unwrap_err();
    assert!(matches!(error, Error::Unreadable { .. }), "{error}");
    path.slurm().cancel(JobId(7)).unwrap();
}
