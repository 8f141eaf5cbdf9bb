//! Ranks that wait, for ever or only for long: `circle`, `slow MIB` or `tardy SECONDS`. Only of the circle there is
//! something to be reported.

use rankine::{Comm, Error, Result};
use std::time::Duration;

/// Runs the ranks of a job.
pub fn run(words: Vec<String>) -> std::process::ExitCode {
    rankine::launch::exit(rankine::launch(move |world| {
        match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["circle"] => circle(&world),
            ["slow", mib] => slow(&world, number(mib)? as usize),
            ["tardy", seconds] => tardy(&world, number(seconds)?),
            _ => Err(Error::usage("give `circle`, `slow MIB` or `tardy SECONDS`")),
        }
    }))
}

fn number(word: &str) -> Result<f64> {
    word.parse().map_err(|_| Error::usage(format!("{word:?} is no number")))
}

/// Every rank waits for the one before it.
fn circle(world: &Comm) -> Result<()> {
    let (n, me) = (world.size(), world.rank());
    let mut token = [0u64];
    world.recv(&mut token, (me + n - 1) % n, 1)?;
    world.send(&token, (me + 1) % n, 1)
}

/// The last rank gets a message that takes its time, and all wait for it.
fn slow(world: &Comm, mib: usize) -> Result<()> {
    let (last, len) = (world.size() - 1, mib << 17);
    if world.rank() == 0 {
        world.send(&vec![1.0; len], last, 1)?;
    }
    if world.rank() == last {
        let mut data = vec![0.0; len];
        world.recv(&mut data, 0, 1)?;
        if data[len - 1] != 1.0 {
            return Err(Error::usage("the message is not the one that was sent"));
        }
    }
    world.barrier()
}

/// Rank 1 writes `pid` and takes its time before it sends what rank 0 waits for, and all wait for rank 0.
fn tardy(world: &Comm, seconds: f64) -> Result<()> {
    if world.rank() == 1 {
        let written = std::fs::write("pid.part", std::process::id().to_string())
            .and_then(|()| std::fs::rename("pid.part", "pid"));
        written.map_err(|error| Error::io(format!("pid: {error}")))?;
        std::thread::sleep(Duration::from_secs_f64(seconds));
        // Whoever stops this process meanwhile says when it is over.
        while std::fs::exists("wait").unwrap_or(false) {
            std::thread::sleep(Duration::from_millis(10));
        }
        world.send(&[1], 0, 1)?;
    }
    if world.rank() == 0 {
        world.recv(&mut [0], 1, 1)?;
    }
    world.barrier()
}
