//! The rendered command line, run by a real bash: the program must get exactly the arguments it was given,
//! and nothing else may run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use rankine_slurm::quote::quote;
use rankine_slurm::{Job, Launcher, Points};

const HOSTILE: [&str; 42] = [
    "",
    " ",
    "a b",
    "'",
    "\"",
    "it's",
    "'\\''",
    "\\",
    "\\\\",
    "\\'",
    "$HOME",
    "${HOME}",
    "$(touch pwned)",
    "`touch pwned`",
    ";",
    "; touch pwned",
    "&& touch pwned",
    "| touch pwned",
    "> pwned",
    "< /etc/passwd",
    "&",
    "(",
    ")",
    "{a,b}",
    "*",
    "?",
    "[a-z]",
    "~",
    "~root",
    "#",
    "!",
    "!!",
    "=ls",
    "A=1",
    "\n",
    "a\nb",
    "\r\n",
    "\n#SBATCH --uid=0\n",
    "\t\u{1}\u{7f}\u{1b}[31m",
    "é ü ✓ 日本 \u{202e}",
    "$'\\n'",
    "\u{85}\u{2028}\u{feff}1",
];

/// A folder with `srun` and `mpirun` that write their arguments to the file `argv`, NUL after each, and exit 3.
fn fake_launchers() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["srun", "mpirun"] {
        let path = dir.path().join(name);
        fs::write(&path, "#!/bin/bash\nprintf '%s\\0' \"$@\" > argv\nexit 3\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    dir
}

/// What the launcher was given when bash ran the whole script in an empty folder.
fn argv_seen(job: &Job, launchers: &Path) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let script = job.script().unwrap();
    let path = format!("{}:{}", launchers.display(), std::env::var("PATH").unwrap());
    let run = Command::new("bash")
        .args(["-c", &script])
        .env("PATH", path)
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(3), "the script ends as its program did: {run:?}\n{script}");
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["argv"], "{script}");
    let bytes = fs::read_to_string(dir.path().join("argv")).unwrap();
    bytes.strip_suffix('\0').unwrap().split('\0').map(str::to_owned).collect()
}

#[test]
fn the_program_gets_its_arguments_unchanged() {
    let launchers = fake_launchers();
    for launcher in [Launcher::default(), Launcher::Mpirun] {
        let program: Vec<_> = ["/opt/my prog/rankine"].iter().chain(&HOSTILE).copied().collect();
        let job = Job { launcher, ..Job::new(program.iter().copied()) };
        let seen = argv_seen(&job, launchers.path());
        assert_eq!(&seen[seen.len() - program.len()..], program);
    }
}

#[test]
fn a_point_of_a_sweep_gets_its_own_words_unchanged() {
    let launchers = fake_launchers();
    let words: Vec<Vec<String>> =
        HOSTILE.iter().map(|word| vec![format!("--x={word}"), word.to_string()]).collect();
    let points =
        Points { folder: "it's $(id)".into(), words: words.clone(), at_once: None, into: "--out".into() };
    let job = Job { points: Some(points), ..Job::new(["prog", "--a"]) };
    for (number, words) in words.iter().enumerate().step_by(5) {
        let number = number.to_string();
        let script = format!("SLURM_ARRAY_TASK_ID={number}\n{}", job.script().unwrap());
        let dir = tempfile::tempdir().unwrap();
        let path = format!("{}:{}", launchers.path().display(), std::env::var("PATH").unwrap());
        let run = Command::new("bash")
            .args(["-c", &script])
            .env("PATH", path)
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert_eq!(run.status.code(), Some(3), "{run:?}");
        let seen = fs::read_to_string(dir.path().join("argv")).unwrap();
        let folder = format!("it's $(id)/{number:0>4}");
        let expected: Vec<&str> = ["prog", "--a"]
            .into_iter()
            .chain(words.iter().map(String::as_str))
            .chain(["--out", &folder, "--overwrite"])
            .collect();
        assert!(seen.ends_with(&format!("{}\0", expected.join("\0"))), "{seen:?}");
    }
    let unknown = format!("SLURM_ARRAY_TASK_ID=9999\n{}", job.script().unwrap());
    assert_eq!(Command::new("bash").args(["-c", &unknown]).output().unwrap().status.code(), Some(2));
}

#[test]
fn any_character_survives_in_any_company() {
    let launchers = fake_launchers();
    let mut words: Vec<String> = (1..=0x17f).filter_map(char::from_u32).map(String::from).collect();
    // Digits behind an escape must not become part of it.
    words.extend(words.clone().iter().map(|c| format!("{c}7\n'{c}")));
    // Every pair of the characters that mean something to a shell, in a fixed order.
    let special = "'\"\\$`!*?[]{}()<>|&;~#=\n\r\t -0aé";
    words.extend(special.chars().flat_map(|a| special.chars().map(move |b| format!("{a}{b}"))));
    let job = Job::new(["prog".to_owned()].into_iter().chain(words.clone()));
    let seen = argv_seen(&job, launchers.path());
    assert_eq!(&seen[seen.len() - words.len()..], words);
}

#[test]
fn every_script_has_one_launch_line_and_no_line_from_an_argument() {
    let job = Job::new(["prog"].iter().chain(&HOSTILE).copied());
    let script = job.script().unwrap();
    let line = format!("{} || code=$?", job.launch().unwrap());
    assert_eq!(script.lines().filter(|shown| **shown == line).count(), 1);
    assert_eq!(script.lines().count(), Job::new(["prog"]).script().unwrap().lines().count());
    assert!(!script.contains('\r'));
}

#[test]
fn plain_words_stay_readable() {
    for word in ["heat3d", "--steps=100", "/opt/x-1.0/bin", "a:b,c", "1e-6", "out_%j.log"] {
        assert_eq!(quote(word), word);
    }
    assert_eq!(quote(""), "''");
}
