//! Random programs under an impatient watch: of correct ones it says nothing, and of one with a mistake that must break
//! it, it names the right ranks and calls. More seeds: RANKINE_SEEDS=20000; one alone: RANKINE_FIRST=1234 RANKINE_SEEDS=1.

use rankine::testing::random::{Expected, Fault, Observed, Program, Verdict};
use std::time::Duration;

/// How long a program may take before it is taken to hang.
const LIMIT: Duration = Duration::from_secs(15);

/// The seeds to try: so many, unless another number is asked for.
fn seeds(many: u64) -> std::ops::Range<u64> {
    let said = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let first = said("RANKINE_FIRST").unwrap_or(0);
    first..first + said("RANKINE_SEEDS").unwrap_or(many)
}

#[test]
fn nothing_is_said_of_correct_programs() {
    for seed in seeds(1000) {
        let program = Program::new(seed);
        assert_eq!(program.expected(), Expected::Finishes, "{}", program.describe());
        let patience = Duration::from_micros(500 * (seed % 3));
        match program.run_on_threads(patience, LIMIT) {
            Observed::Finished => {}
            other => panic!("{other:?}\n{}", program.describe()),
        }
    }
}

#[test]
fn what_must_break_is_named_and_what_need_not_is_left_alone() {
    let mut wrong = Vec::new();
    for seed in seeds(150) {
        for fault in Fault::ALL {
            let Some(program) = Program::new(seed).with(fault) else { continue };
            let observed = program.run_on_threads(Duration::from_millis(1), LIMIT);
            match program.judge(&observed) {
                Verdict::Finished | Verdict::Named => {}
                verdict => wrong.push(format!(
                    "{} in seed {seed}: {verdict:?}\n{}",
                    fault.name(),
                    program.describe()
                )),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
