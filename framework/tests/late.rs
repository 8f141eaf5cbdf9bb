//! A run whose ranks wait for one that computes: the reporter is told which, and when that is over.

use rankine::kernel::Kernel;
use rankine::op::Sum;
use rankine::run::{Reporter, Run};
use rankine::testing::Trial;
use rankine::{Comm, Result};
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Rank 1 computes in the second of three steps until it has been told of, and rank 0 in the third.
#[derive(Clone, clap::Args, serde::Serialize, serde::Deserialize)]
struct Tardy {}

impl Kernel for Tardy {
    const NAME: &'static str = "tardy";
    const ABOUT: &'static str = "one rank computes long";
    type Data = u64;

    fn init(&self, _: &Comm) -> Result<u64> {
        Ok(0)
    }

    fn steps(&self) -> Option<u64> {
        Some(3)
    }

    fn step(&self, comm: &Comm, step: &mut u64) -> Result<ControlFlow<()>> {
        *step += 1;
        match (*step, comm.rank()) {
            (2, 1) => computes_until_told("rank 1 still computing since "),
            (3, 0) => computes_until_told("rank 0 still computing since "),
            _ => {}
        }
        comm.allreduce(1u64, Sum)?;
        Ok(ControlFlow::Continue(()))
    }
}

/// What the reporter was told.
static HEARD: Mutex<Vec<Option<String>>> = Mutex::new(Vec::new());

struct Heard;

impl Reporter for Heard {
    fn late(&self, note: Option<&str>) {
        HEARD.lock().unwrap().push(note.map(String::from));
    }
}

fn computes_until_told(words: &str) {
    let began = Instant::now();
    while !HEARD.lock().unwrap().iter().flatten().any(|note| note.starts_with(words)) {
        assert!(began.elapsed() < Duration::from_secs(300), "nobody says {words}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn who_is_late_is_told() {
    let trial = Trial::new(3).patience(Duration::from_millis(100));
    trial
        .run(|comm| Run::new(Tardy {}).reporter(Box::new(Heard)).on(comm).map(drop))
        .expect("nothing is wrong with it");
    let heard = HEARD.lock().unwrap();
    for (rank, waiting) in [(1, "ranks 0 and 2 wait for it"), (0, "ranks 1 and 2 wait for it")] {
        let words = format!("rank {rank} still computing since ");
        let note = heard.iter().flatten().find(|note| note.starts_with(&words)).expect("a note");
        assert!(
            note.contains(" s, after ") && note.contains("late.rs:") && note.ends_with(waiting),
            "{note}"
        );
    }
}
