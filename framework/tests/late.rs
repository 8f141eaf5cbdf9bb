//! A run whose ranks wait for one that computes: the reporter is told which, and when that is over.

use rankine::kernel::Kernel;
use rankine::op::Sum;
use rankine::run::{Reporter, Run};
use rankine::testing::Trial;
use rankine::{Comm, Result};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Rank 1 computes for longer than the patience in the second of three steps.
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
        if *step == 2 && comm.rank() == 1 {
            std::thread::sleep(Duration::from_millis(800));
        }
        // The third step waits as long as the watch may need to see that all is well again.
        if *step == 3 && comm.rank() == 0 {
            std::thread::sleep(Duration::from_millis(2500));
        }
        comm.allreduce(1u64, Sum)?;
        Ok(ControlFlow::Continue(()))
    }
}

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Option<String>>>>);

impl Reporter for Heard {
    fn late(&self, note: Option<&str>) {
        self.0.lock().unwrap().push(note.map(String::from));
    }
}

#[test]
fn who_is_late_is_told() {
    let heard = Heard::default();
    let trial = Trial::new(3).patience(Duration::from_millis(100));
    trial
        .run(|comm| Run::new(Tardy {}).reporter(Box::new(heard.clone())).on(comm).map(drop))
        .expect("nothing is wrong with it");
    let heard = heard.0.lock().unwrap();
    let first = heard.iter().flatten().next().expect("a note");
    assert!(first.starts_with("rank 1 still computing since 0 s, after "), "{first}");
    assert!(first.contains("late.rs:") && first.ends_with("; ranks 0 and 2 wait for it"), "{first}");
    let last = heard.iter().flatten().next_back().expect("a note");
    assert!(last.starts_with("rank 0 still computing since "), "{last}");
    assert!(last.ends_with("; ranks 1 and 2 wait for it"), "{last}");
}
