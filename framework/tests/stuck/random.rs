//! Random programs with one mistake, each as a job of its own under the launcher: the watch names the right ranks and calls.
//!
//! On the Local engine thousands of them run in `watch_random`; here are some, since a job takes a third of a second.

use super::{job, report_in};
use libtest_mimic::{Failed, Trial};
use rankine::testing::random::{Expected, Fault, Observed, Program, Verdict};
use rankine::{Error, ErrorKind, Launch};
use std::process::ExitCode;
use std::time::Duration;

/// How many programs for each kind of mistake.
const PROGRAMS: usize = 3;

/// Runs the program of that seed and mistake on as many ranks as there are.
pub fn run(name: &str) -> ExitCode {
    let Some((seed, fault)) = name
        .split_once(':')
        .and_then(|(seed, fault)| Some((seed.parse().ok()?, *Fault::ALL.get(fault.parse::<usize>().ok()?)?)))
    else {
        return 2.into();
    };
    let job =
        Launch::new().checked(true).patience(Duration::from_millis(20)).run(move |world| match Program::on(
            world.size(),
            seed,
        )
        .with(fault)
        {
            Some(program) => program.run(&world),
            None => Ok(()),
        });
    rankine::launch::exit(job)
}

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (number, fault) in Fault::ALL.into_iter().enumerate() {
        for ranks in [2, 3, 5] {
            let mut found = 0;
            for seed in 0.. {
                let Some(program) = Program::on(ranks, seed).with(fault) else { continue };
                // What is left to the library is not known to the model, nor what an open wildcard has taken to the watch.
                if !program.is_checked()
                    || program.expected() != Expected::Breaks
                    || program.leaves_wildcards_open()
                {
                    continue;
                }
                let name = format!("mpi::{} in seed {seed}::{ranks}", fault.name());
                trials.push(Trial::test(name, move || judge(&program, &format!("{seed}:{number}"))));
                found += 1;
                if found == PROGRAMS {
                    break;
                }
            }
        }
    }
    trials
}

fn judge(program: &Program, name: &str) -> Result<(), Failed> {
    let output = job(["--random", name], program.ranks())?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() != Some(5) {
        return Err(format!("{}, and said:\n{said}\n{}", output.status, program.describe()).into());
    }
    let Some(report) = report_in(&said) else {
        // A call has found out by itself.
        return match said.contains("error: rank ") {
            true => Ok(()),
            false => Err(format!("no report in:\n{said}\n{}", program.describe()).into()),
        };
    };
    let what = report.trim_start_matches("error[deadlock]: ").trim_end();
    let kind = match what.contains("different collective calls") {
        true => ErrorKind::Mismatch,
        false => ErrorKind::Deadlock,
    };
    match program.judge(&Observed::Failed(Error::new(kind, what))) {
        Verdict::Named => Ok(()),
        verdict => Err(format!("{verdict:?}\n{said}\n{}", program.describe()).into()),
    }
}
