//! Where a run's time went: each phase over the ranks, in seconds. `timing` is the clock; this is its account.

use super::rate::duration;
use crate::comm::Comm;
use crate::error::Result;
use crate::op::{Max, Min, Sum};
use crate::timing::Spent;
use serde::Serialize;
use std::time::Duration;

/// Seconds of one phase over the ranks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// The rank with the least.
    pub min: f64,
    /// Over all ranks.
    pub mean: f64,
    /// The rank with the most.
    pub max: f64,
}

/// The account of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Times {
    /// From the first look at the parameters to the verdict, on the slowest rank.
    pub total: f64,
    /// Checking, allocating, reading input, and steps before the clock.
    pub setup: Spread,
    /// Computing in the time loop.
    pub compute: Spread,
    /// Communicating, and waiting for others, in the time loop: the three below together.
    pub communication: Spread,
    /// Of it, putting messages together and taking them apart.
    pub constructing: Spread,
    /// Of it, in calls that send, or start something.
    pub sending: Spread,
    /// Of it, in calls that receive, wait or need other ranks.
    pub waiting: Spread,
    /// Writing output, communication for it included.
    pub output: Spread,
    /// Verification and checksum.
    pub verification: Spread,
    /// Computing and communicating, on the slowest rank: what the rate is taken over.
    pub steps: f64,
}

/// One rank's stopwatch readings.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Readings {
    pub setup: Duration,
    /// Steps and the output between them.
    pub time_loop: Duration,
    /// Counted by the clock during `time_loop`.
    pub spent: Spent,
    pub verification: Duration,
    /// The processor time of this process before the run.
    pub cpu_before: Duration,
    /// Steps that are counted as setup.
    pub warm_up: u64,
}

impl Readings {
    /// Setup, compute, constructing, sending, waiting, output, verification: what adds up to the whole.
    pub fn phases(&self) -> [Duration; 7] {
        let compute =
            self.time_loop.saturating_sub(self.spent.output).saturating_sub(self.spent.communication());
        let Spent { constructing, sending, waiting, output, .. } = self.spent;
        [self.setup, compute, constructing, sending, waiting, output, self.verification]
    }

    /// The account over all ranks. Collective.
    pub fn account(&self, comm: &Comm) -> Result<Times> {
        let busy = self.time_loop.saturating_sub(self.spent.output);
        let compute = busy.saturating_sub(self.spent.communication());
        let mine = [
            self.setup,
            compute,
            self.spent.communication(),
            self.spent.output,
            self.verification,
            busy,
            self.setup + self.time_loop + self.verification,
            self.spent.constructing,
            self.spent.sending,
            self.spent.waiting,
        ]
        .map(|time| time.as_secs_f64());
        let (min, max) = (comm.allreduce(mine, Min)?, comm.allreduce(mine, Max)?);
        let sum = comm.allreduce(mine, Sum)?;
        let spread = |i: usize| Spread { min: min[i], mean: sum[i] / comm.size() as f64, max: max[i] };
        Ok(Times {
            total: max[6],
            setup: spread(0),
            compute: spread(1),
            communication: spread(2),
            constructing: spread(7),
            sending: spread(8),
            waiting: spread(9),
            output: spread(3),
            verification: spread(4),
            steps: max[5],
        })
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let phases = [
            ("setup", self.setup),
            ("compute", self.compute),
            ("communication", self.communication),
            ("output", self.output),
            ("verification", self.verification),
        ];
        let words: Vec<String> =
            phases.iter().map(|(name, spread)| format!("{name} {}", duration(spread.mean))).collect();
        write!(f, "{} (means over ranks)", words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_add_up_and_the_slowest_rank_counts() {
        crate::testing::ranks([1, 2, 3], |world| {
            let second = Duration::from_secs;
            let rank = world.rank() as u64;
            let readings = Readings {
                setup: second(1),
                time_loop: second(10 + rank),
                spent: Spent { waiting: second(2), output: second(3), ..Spent::default() },
                verification: second(1),
                ..Readings::default()
            };
            let times = readings.account(world)?;
            let slowest = world.size() as f64 - 1.0;
            assert_eq!((times.total, times.steps), (12.0 + slowest, 7.0 + slowest));
            assert_eq!(times.compute, Spread { min: 5.0, mean: 5.0 + slowest / 2.0, max: 5.0 + slowest });
            Ok(())
        });
    }
}
