//! Asks others who may not answer: commands and file systems, with a deadline each.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// What a command said.
#[derive(Clone, Debug)]
pub struct Said {
    /// Whether it ended well.
    pub ok: bool,
    /// Whether it had to be ended at the deadline.
    pub late: bool,
    /// Standard output.
    pub out: String,
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
    let mut command = Command::new(program);
    command.args(args);
    hear(command, PATIENCE).ok().filter(|said| !said.late)
}

/// Runs a command to its end or to the deadline; then it and what it has started are ended.
///
/// # Errors
/// It cannot be started.
pub fn hear(mut command: Command, patience: Duration) -> std::io::Result<Said> {
    // A group of its own, so that all of it can be ended.
    let mut child = command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (out, err) = (listen(child.stdout.take()), listen(child.stderr.take()));
    let deadline = Instant::now() + patience;
    let status = wait(&mut child, deadline);
    let late = status.is_none();
    if late {
        end(&mut child);
    }
    let out = gather(&out);
    let text = format!("{out}{}", gather(&err));
    Ok(Said { ok: status.is_some_and(|status| status.success()), late, out, text })
}

fn wait(child: &mut Child, deadline: Instant) -> Option<std::process::ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
            _ => return None,
        }
    }
}

/// Ends a child and its group: first so that a launcher can tell its ranks, then so that nobody can object.
fn end(child: &mut Child) {
    use rustix::process::{Pid, Signal, kill_process_group};
    let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return };
    for signal in [Signal::TERM, Signal::KILL] {
        // The group may have ended by itself meanwhile.
        let _ = kill_process_group(group, signal);
        if wait(child, Instant::now() + Duration::from_secs(2)).is_some() && signal == Signal::KILL {
            return;
        }
    }
}

/// What comes through a pipe, in pieces: whoever holds its other end open does not hold us.
fn listen(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (said, heard) = channel();
    std::thread::spawn(move || {
        let Some(mut pipe) = pipe else { return };
        let mut piece = [0; 8192];
        while let Ok(len @ 1..) = pipe.read(&mut piece) {
            if said.send(piece[..len].to_vec()).is_err() {
                return;
            }
        }
    });
    heard
}

fn gather(pieces: &Receiver<Vec<u8>>) -> String {
    const MOST: usize = 1 << 20;
    let mut bytes = Vec::new();
    while let Ok(piece) = pieces.recv_timeout(Duration::from_secs(1)) {
        if bytes.len() < MOST {
            bytes.extend(piece);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Does something on a thread of its own, which is left behind if it does not come back in time: a file system that hangs
/// hangs whoever asks it.
pub fn within<T: Send + 'static>(patience: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, finished) = channel();
    std::thread::spawn(move || {
        // Nobody listens any more if it is too late.
        let _ = done.send(work());
    });
    finished.recv_timeout(patience).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_end_is_ended_with_all_that_it_started() {
        let began = Instant::now();
        let mut command = Command::new("sh");
        command.args(["-c", "echo begun; sleep 60 & echo $!; wait"]);
        let said = hear(command, Duration::from_secs(3)).unwrap();
        assert!(said.late && said.out.starts_with("begun\n"), "{said:?}");
        let started = said.out.lines().nth(1).unwrap();
        let gone = |pid: &str| {
            // A zombie is gone too: only its new parent has still to hear of it.
            std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
        };
        while !gone(started) {
            assert!(began.elapsed() < Duration::from_secs(30), "{started} lives");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(within(Duration::from_millis(20), || std::thread::sleep(Duration::from_secs(5))).is_none());
    }
}
