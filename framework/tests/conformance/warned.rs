//! What ranks warn of while a kernel runs: the same words of all ranks once, and a file for each rank.

use super::scratch::with_folder;
use rankine::kernel::Kernel;
use rankine::run::{LogLevel, Options, Reporter};
use rankine::{Comm, Result, Run, tracing};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

/// Warns in every step: all ranks, all but the first, the last.
#[derive(Clone, clap::Args, serde::Serialize, serde::Deserialize)]
struct Grumbler {}

impl Kernel for Grumbler {
    const NAME: &'static str = "grumbler";
    const ABOUT: &'static str = "warns";
    type Data = u64;

    fn init(&self, _: &Comm) -> Result<u64> {
        Ok(0)
    }

    fn step(&self, comm: &Comm, step: &mut u64) -> Result<ControlFlow<()>> {
        *step += 1;
        let (rank, last) = (comm.rank(), comm.size() - 1);
        tracing::warn!("there is little to do");
        if rank > 0 {
            tracing::warn!(step = *step, "rather late");
        }
        if rank == last {
            tracing::error!("the last has it all");
            tracing::info!("rank {rank} at step {step}");
        }
        Ok(if *step == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }
}

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Reporter for Told {
    fn warning(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_string());
    }
}

fn ranks(first: usize, size: usize) -> String {
    match (size - first, first) {
        (1, _) => format!("(rank {first})"),
        (_, 0) => format!("(all {size} ranks)"),
        _ => format!("(ranks {first}-{})", size - 1),
    }
}

pub fn once_for_all(world: &Comm) -> Result<()> {
    with_folder(world, |folder| {
        let (told, path, size) = (Told::default(), folder.join("run"), world.size());
        let options = Options { out: Some(path.clone()), log: Some(LogLevel::Info), ..Options::default() };
        let summary = Run::new(Grumbler {}).options(options).reporter(Box::new(told.clone())).on(world)?;
        assert_eq!(summary.steps, 3);
        let told = told.0.lock().unwrap();
        if world.rank() > 0 {
            assert!(told.is_empty(), "{told:?}");
        } else {
            // How often in all: steps may be told one at a time or together, and once for each rank is not said.
            let count = |first: usize, words: &str| {
                let start = format!("{}: {words} (", ranks(first, size));
                let lines = told.iter().filter(|line| line.starts_with(&start));
                let times = |line: &String| match line.rsplit_once('[') {
                    Some((_, times)) => times.trim_end_matches(" times]").parse::<usize>().unwrap(),
                    None => size - first,
                };
                lines.map(times).sum::<usize>()
            };
            assert_eq!(count(0, "there is little to do"), 3 * size, "{told:?}");
            assert_eq!(count(size - 1, "error: the last has it all"), 3, "{told:?}");
            for step in (1..=3).filter(|_| size > 1) {
                assert_eq!(count(1, &format!("rather late step={step}")), size - 1, "{told:?}");
            }
        }
        let file = std::fs::read_to_string(path.join(format!("log/rank-{:04}.txt", world.rank()))).unwrap();
        assert_eq!(file.matches("there is little to do").count(), 3, "{file}");
        assert_eq!(file.contains("at step 3"), world.rank() == size - 1, "{file}");
        Ok(())
    })
}
