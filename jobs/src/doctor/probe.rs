//! Runs a command to hear what it says, and does not wait forever.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a command said.
#[derive(Clone, Debug)]
pub struct Said {
    /// Whether it ended well.
    pub ok: bool,
    /// Standard output, then standard error.
    pub text: String,
}

/// Where a program is on PATH.
pub fn on_path(program: &str) -> Option<std::path::PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// Runs a command; `None` if it cannot be started or does not end within some seconds.
pub fn ask(program: &str, args: &[&str]) -> Option<Said> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().ok()? {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                // It may have ended by itself meanwhile.
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let mut bytes = Vec::new();
    child.stdout.take()?.take(65_536).read_to_end(&mut bytes).ok()?;
    child.stderr.take()?.take(65_536).read_to_end(&mut bytes).ok()?;
    Some(Said { ok: status.success(), text: String::from_utf8_lossy(&bytes).into_owned() })
}
