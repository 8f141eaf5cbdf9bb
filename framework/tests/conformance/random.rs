//! Random correct programs: all kinds of messages and collective calls at once. Faults in them, and an impatient watch, are in
//! `watch_random`.

use rankine::testing::random::Program;
use rankine::{Comm, Result};

pub fn correct_programs(world: &Comm) -> Result<()> {
    for seed in 0..60 {
        // Those of more ranks are other programs.
        Program::on(world.size(), seed).run(world)?;
    }
    Ok(())
}
