//! What each rank has used and sent: seconds by phase, memory, processor time, bytes to each other rank. Brought together
//! once, at the end, for `timings.json`; what is made of it is the reader's business.

use super::memory;
use super::times::Readings;
use crate::comm::Comm;
use crate::error::Result;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The ranks to which a rank's traffic is told one by one: those that got most. The rest is told as one.
const PEERS: usize = 64;

/// What `timings.json` says of each rank.
#[derive(Clone, Debug)]
pub(super) struct Account {
    /// A list a phase, in seconds, by rank.
    pub by_rank: ByRank,
    /// `[from, to, messages, bytes]`: what was sent from the start of the job to its end, by world ranks, the framework's own included;
    /// `to` is -1 for the rest of the ranks. `None` if nobody counted (`--no-watch`). Collective calls are not in it.
    pub sent: Option<Vec<[i64; 4]>>,
    /// What the run had and what it used.
    pub allocation: Allocation,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct ByRank {
    setup: Vec<f64>,
    compute: Vec<f64>,
    constructing: Vec<f64>,
    sending: Vec<f64>,
    waiting: Vec<f64>,
    output: Vec<f64>,
    verification: Vec<f64>,
    /// The most memory of its process, in bytes; of ranks that share one, only the first has it.
    memory: Vec<Option<u64>>,
    node: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Allocation {
    /// Cores that the job had: Slurm's, or ranks times threads.
    cores: u64,
    /// Whether Slurm said so.
    slurm: bool,
    /// Seconds from the run's beginning to its end.
    wall: f64,
    /// Seconds of processor time of all processes in it.
    cpu: f64,
}

/// One rank's part.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Part {
    times: [f64; 7],
    memory: Option<u64>,
    node: String,
    sent: Option<Vec<(u32, u64, u64)>>,
    cpu: f64,
}

/// The processor time of this process so far.
pub(super) fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Brings it together on rank 0. `cpu` is the processor time of this rank's process, and counts once a process.
/// Collective.
pub(super) fn gather(
    comm: &Comm,
    readings: &Readings,
    wall: Duration,
    cpu: Duration,
) -> Result<Option<Account>> {
    let counts = comm.engine_name() != "local" || comm.rank() == 0;
    let part = Part {
        times: readings.phases().map(|time| time.as_secs_f64()),
        memory: if counts { memory::high_water() } else { None },
        node: comm.node(),
        sent: comm.sent_to(),
        cpu: if counts { cpu.as_secs_f64() } else { 0.0 },
    };
    let threads = rayon::current_num_threads();
    let Some(parts) = comm.gather_values(part, 0)? else { return Ok(None) };
    let column = |phase: usize| parts.iter().map(|part| part.times[phase]).collect();
    let by_rank = ByRank {
        setup: column(0),
        compute: column(1),
        constructing: column(2),
        sending: column(3),
        waiting: column(4),
        output: column(5),
        verification: column(6),
        memory: parts.iter().map(|part| part.memory).collect(),
        node: parts.iter().map(|part| part.node.clone()).collect(),
    };
    let slurm = slurm_cores(&std::env::var("SLURM_JOB_CPUS_PER_NODE").unwrap_or_default());
    let cpu = parts.iter().map(|part| part.cpu).sum();
    let sent = parts.into_iter().enumerate().map(|(rank, part)| Some(most(rank, part.sent?)));
    let sent: Option<Vec<Vec<[i64; 4]>>> = sent.collect();
    Ok(Some(Account {
        by_rank,
        sent: sent.map(|ranks| ranks.concat()),
        allocation: Allocation {
            cores: slurm.unwrap_or((comm.size() * threads) as u64),
            slurm: slurm.is_some(),
            wall: wall.as_secs_f64(),
            cpu,
        },
    }))
}

/// The ranks that got most from this one, and the rest together.
fn most(from: usize, mut sent: Vec<(u32, u64, u64)>) -> Vec<[i64; 4]> {
    let entry = |to: i64, messages: u64, bytes: u64| [from as i64, to, messages as i64, bytes as i64];
    let mut rest = (0, 0);
    if sent.len() > PEERS {
        sent.sort_by_key(|&(to, messages, bytes)| (std::cmp::Reverse((bytes, messages)), to));
        for (_, messages, bytes) in sent.drain(PEERS..) {
            rest = (rest.0 + messages, rest.1 + bytes);
        }
        sent.sort_unstable();
    }
    let mut told: Vec<[i64; 4]> =
        sent.into_iter().map(|(to, n, bytes)| entry(i64::from(to), n, bytes)).collect();
    if rest.0 > 0 {
        told.push(entry(-1, rest.0, rest.1));
    }
    told
}

/// The cores of `72(x2),36`, as Slurm writes them by node.
fn slurm_cores(text: &str) -> Option<u64> {
    let of = |part: &str| -> Option<u64> {
        let (cores, nodes) = match part.split_once("(x") {
            Some((cores, nodes)) => (cores, nodes.strip_suffix(')')?.parse().ok()?),
            None => (part, 1),
        };
        cores.parse::<u64>().ok()?.checked_mul(nodes)
    };
    text.split(',').map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ranks;
    use crate::timing::Spent;

    #[test]
    fn every_rank_is_told_of_once() {
        ranks([1, 2, 3, 4], |world| {
            let (me, size) = (world.rank(), world.size());
            let next = (me + 1) % size;
            // To the next rank three messages of eight bytes; by another communicator, whose ranks are turned round, too.
            let turned = world.split(Some(0), (size - me) as i64)?.expect("a member");
            if size > 1 {
                for _ in 0..3 {
                    let r = world.irecv_owned(vec![0u64], (me + size - 1) % size, 1)?;
                    world.send(&[7u64], next, 1)?;
                    r.wait()?;
                }
                let to = (0..size)
                    .find(|&rank| turned.world_rank(rank).is_ok_and(|there| there == next))
                    .expect("there");
                let from = (0..size)
                    .find(|&rank| turned.world_rank(rank).is_ok_and(|there| there == (me + size - 1) % size))
                    .expect("there");
                let r = turned.irecv_owned(vec![0u8], from, 2)?;
                turned.send(&[1u8], to, 2)?;
                r.wait()?;
            }
            let second = Duration::from_secs;
            let readings = Readings {
                setup: second(me as u64),
                time_loop: second(9),
                spent: Spent { waiting: second(2), output: second(3), ..Spent::default() },
                ..Readings::default()
            };
            let account = gather(world, &readings, second(10), second(5))?;
            assert_eq!(account.is_some(), me == 0);
            let Some(account) = account else { return Ok(()) };
            assert_eq!(account.by_rank.setup, (0..size).map(|rank| rank as f64).collect::<Vec<_>>());
            assert_eq!(account.by_rank.compute, vec![4.0; size]);
            assert_eq!(account.by_rank.waiting, vec![2.0; size]);
            let allocation = &account.allocation;
            assert_eq!((allocation.wall, allocation.cpu), (10.0, 5.0), "one process");
            let Some(sent) = account.sent else { panic!("the watch counts") };
            if size > 1 {
                for from in 0..size {
                    // The framework's own messages come on top of it.
                    let to = (from + 1) % size;
                    let mine = sent.iter().find(|entry| entry[0] == from as i64 && entry[1] == to as i64);
                    let [_, _, messages, bytes] = mine.expect("an entry");
                    assert!(*messages >= 4 && *bytes >= 25, "{sent:?}");
                }
            }
            Ok(())
        });
    }

    #[test]
    fn few_peers_are_told_and_the_rest_is_summed() {
        let sent = (0..PEERS as u32 + 10).map(|to| (to, 2, u64::from(to) + 1)).collect();
        let told = most(5, sent);
        assert_eq!(told.len(), PEERS + 1);
        assert_eq!(told[0], [5, 10, 2, 11]);
        assert_eq!(told[PEERS], [5, -1, 20, 55]);
    }

    #[test]
    fn slurm_writes_cores_by_node() {
        assert_eq!(slurm_cores("72(x2),36"), Some(180));
        assert_eq!(slurm_cores("2"), Some(2));
        assert_eq!(slurm_cores(""), None);
        assert_eq!(slurm_cores("2(x"), None);
    }
}
