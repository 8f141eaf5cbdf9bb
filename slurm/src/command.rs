//! Runs one of Slurm's commands with a deadline and tells apart the ways it can fail before Slurm has judged
//! the request. Not a general process library: output is text, and small.

use std::ffi::OsString;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Error;
use crate::error::quoted;

/// What a command that could be run wrote, and how it ended.
pub(crate) struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// Its words, quoted: what it complained of, else what it wrote.
    pub fn said(&self) -> String {
        quoted(if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr })
    }
}

/// Runs `program` with `args`, `input` on its standard input and `env` over this process's environment.
pub(crate) fn run(
    program: &str,
    args: &[&str],
    input: &str,
    env: &[(OsString, OsString)],
    deadline: Duration,
) -> Result<Finished, Error> {
    let failed = |source| Error::Run { command: program.to_owned(), source };
    let mut child = Command::new(program)
        .args(args)
        .envs(env.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let input = input.to_owned();
    // Threads of their own: a child that reads nothing, or writes much, must not hold us past the deadline.
    thread::spawn(move || {
        // A child that ends without reading says why on its standard error.
        let _ = stdin.map(|mut pipe| pipe.write_all(input.as_bytes()));
    });
    let stdout = thread::spawn(move || text(stdout));
    let stderr = thread::spawn(move || text(stderr));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        if start.elapsed() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Error::NoAnswer { command: program.to_owned(), after: deadline });
        }
        thread::sleep(Duration::from_millis(5));
    };
    // A thread that reads a pipe has nothing that could panic.
    Ok(Finished {
        status,
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    })
}

/// As [`run`], for a command of Slurm's: it has to be configured, and its controller has to answer.
pub(crate) fn slurm(
    program: &str,
    args: &[&str],
    input: &str,
    env: &[(OsString, OsString)],
    deadline: Duration,
) -> Result<Finished, Error> {
    // Slurm's own commands look for a missing SLURM_CONF for a minute before they say so.
    let conf = env.iter().rev().find(|(key, _)| key == "SLURM_CONF").map(|(_, value)| value.clone());
    if let Some(conf) = conf.or_else(|| std::env::var_os("SLURM_CONF"))
        && !conf.is_empty()
        && !Path::new(&conf).is_file()
    {
        let said = quoted(&format!("SLURM_CONF is {conf:?}, and there is no such file"));
        return Err(Error::NotConfigured { command: program.to_owned(), said });
    }
    let finished = run(program, args, input, env, deadline).map_err(|error| match error {
        Error::Run { command, source } if source.kind() == ErrorKind::NotFound => Error::NoSlurm { command },
        error => error,
    })?;
    if finished.status.success() {
        return Ok(finished);
    }
    const UNCONFIGURED: [&str; 6] = [
        "Could not establish a configuration source",
        "DNS SRV lookup failed",
        "failed to fetch config",
        "Unable to process configuration file",
        "ClusterName needs to be specified",
        "Unable to establish controller machine",
    ];
    const UNREACHED: [&str; 4] = [
        "Unable to contact slurm controller",
        "Unable to contact Slurm controller",
        "Connection refused",
        "Socket timed out",
    ];
    let has = |marks: &[&str]| marks.iter().any(|mark| finished.stderr.contains(mark));
    let (command, said) = (program.to_owned(), finished.said());
    if has(&UNCONFIGURED) {
        return Err(Error::NotConfigured { command, said });
    }
    if has(&UNREACHED) {
        return Err(Error::NoController { command, said });
    }
    Ok(finished)
}

fn text(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    // What arrived before a broken pipe is still worth showing.
    let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}
