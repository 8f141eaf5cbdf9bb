//! `rankine log`: what a run has told so far, and what it tells from now on.
//!
//! A run keeps `log/run.txt`; of one that was submitted, `slurm.log` has the words of the launcher, too. What each rank says
//! is in a file each, where the run was started with `--log`.

use crate::runs::{self, Queue};
use rankine::output::files::failure;
use rankine::run::show;
use rankine::{Error, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What of it is shown.
#[derive(Clone, Debug, clap::Args)]
pub struct Log {
    /// The run's directory, or the beginning of its name in runs/ [default: the newest]
    run: Option<PathBuf>,
    /// Go on until the run has ended
    #[arg(short, long)]
    follow: bool,
    /// What this rank says, of a run with --log
    #[arg(long, value_name = "N")]
    rank: Option<usize>,
    /// Only the last lines
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
}

/// Between two looks at a log that is followed, and at whether its run still goes on.
const LOOK: Duration = Duration::from_millis(100);
const ALIVE: Duration = Duration::from_secs(1);

/// Shows it.
///
/// # Errors
/// There is no such run, or it has no such log.
pub fn log(wanted: &Log) -> Result<()> {
    let run = runs::find(wanted.run.as_deref())?;
    let queue = Queue::default();
    let mut asked = Instant::now();
    let mut open = !wanted.follow || runs::look(&run, &queue).state.is_open();
    // A job that waits in the queue has no log yet.
    let path = loop {
        match file_of(&run, wanted.rank) {
            Ok(path) => break path,
            Err(error) if !wanted.follow || !open => return Err(error),
            Err(_) => std::thread::sleep(LOOK),
        }
        again(&mut asked, &mut open, &run, &queue);
    };
    let mut tail = Tail::open(path)?;
    show(&last(tail.more()?, wanted.lines));
    if !wanted.follow {
        return Ok(());
    }
    loop {
        let more = tail.more()?;
        if more.is_empty() {
            if !open {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        show(&more);
        again(&mut asked, &mut open, &run, &queue);
    }
}

/// Looks now and then whether the run goes on; its last words are read after that.
fn again(asked: &mut Instant, open: &mut bool, run: &Path, queue: &Queue) {
    if asked.elapsed() >= ALIVE {
        *asked = Instant::now();
        *open = runs::look(run, queue).state.is_open();
    }
}

/// The log of a rank, or the one that was written last.
fn file_of(run: &Path, rank: Option<usize>) -> Result<PathBuf> {
    let log = run.join("log");
    if let Some(rank) = rank {
        let path = log.join(format!("rank-{rank:04}.txt"));
        if path.is_file() {
            return Ok(path);
        }
        let names = std::fs::read_dir(&log).into_iter().flatten().flatten();
        let ranks = names.filter(|entry| entry.file_name().to_string_lossy().starts_with("rank-")).count();
        let help = match ranks {
            0 => "ranks have logs if the run is started with --log info".to_string(),
            n => format!("give --rank 0 to {}", n - 1),
        };
        return Err(Error::usage(format!("{} has no log of rank {rank}", run.display())).help(help));
    }
    let written = |path: &PathBuf| Some((std::fs::metadata(path).ok()?.modified().ok()?, path.clone()));
    let both = [log.join("run.txt"), run.join("slurm.log")];
    let found = both.iter().filter_map(written).max().map(|(_, path)| path);
    found.ok_or_else(|| {
        Error::io(format!("{} has no log yet", run.display())).help(
            "it is there when the run has begun; --follow waits for it, `rankine status` says how it stands",
        )
    })
}

/// The last lines of a text.
fn last(text: String, lines: Option<usize>) -> String {
    let Some(lines) = lines else { return text };
    let ends: Vec<usize> =
        text.trim_end_matches('\n').rmatch_indices('\n').map(|(at, _)| at).take(lines).collect();
    match lines {
        0 => String::new(),
        _ if ends.len() < lines => text,
        _ => text[ends[lines - 1] + 1..].to_string(),
    }
}

/// A file that grows.
struct Tail {
    path: PathBuf,
    file: File,
    at: u64,
    /// Bytes of a character that is not whole yet.
    rest: Vec<u8>,
}

impl Tail {
    fn open(path: PathBuf) -> Result<Tail> {
        let file = File::open(&path).map_err(|error| failure("read", &path, &error))?;
        Ok(Tail { path, file, at: 0, rest: Vec::new() })
    }

    /// What has come since; of a file that was begun anew, all of it.
    fn more(&mut self) -> Result<String> {
        let failed = |error| failure("read", &self.path, &error);
        let mut bytes = std::mem::take(&mut self.rest);
        self.file.seek(SeekFrom::Start(self.at)).map_err(failed)?;
        self.at += self.file.read_to_end(&mut bytes).map_err(failed)? as u64;
        let mine = self.file.metadata().map_err(failed)?;
        if let Ok(now) = std::fs::metadata(&self.path)
            && (now.ino() != mine.ino() || mine.len() < self.at)
        {
            self.file = File::open(&self.path).map_err(failed)?;
            self.at = self.file.read_to_end(&mut bytes).map_err(failed)? as u64;
        }
        if let Err(error) = std::str::from_utf8(&bytes)
            && error.error_len().is_none()
        {
            self.rest = bytes.split_off(error.valid_up_to());
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_file_that_grows_or_begins_anew_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "one\ntwo é").unwrap();
        let mut tail = Tail::open(path.clone()).unwrap();
        assert_eq!(tail.more().unwrap(), "one\ntwo é");
        assert_eq!(tail.more().unwrap(), "");
        let mut more = File::options().append(true).open(&path).unwrap();
        // Half a character waits for its other half.
        more.write_all(b"three \xc3").unwrap();
        assert_eq!(tail.more().unwrap(), "three ");
        more.write_all(b"\xa9\n").unwrap();
        assert_eq!(tail.more().unwrap(), "é\n");
        std::fs::write(&path, "new").unwrap();
        assert_eq!(tail.more().unwrap(), "new");
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        std::fs::write(&path, "another file").unwrap();
        assert_eq!(tail.more().unwrap(), "another file");
    }

    #[test]
    fn the_last_lines_are_cut_out() {
        let cut = |lines| last("a\nb\nc\n".to_string(), lines);
        assert_eq!(cut(None), "a\nb\nc\n");
        assert_eq!(cut(Some(1)), "c\n");
        assert_eq!(cut(Some(2)), "b\nc\n");
        assert_eq!(cut(Some(3)), "a\nb\nc\n");
        assert_eq!(cut(Some(9)), "a\nb\nc\n");
        assert_eq!(cut(Some(0)), "");
    }
}
