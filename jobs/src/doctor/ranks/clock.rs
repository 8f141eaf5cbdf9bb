//! How far the clocks of nodes are apart: the other's time against the middle of asking and hearing, from the fastest of several
//! exchanges (as in Cristian, Distributed Computing 3, 1989). Half of that exchange is what it may be wrong by.

use super::super::Finding;
use super::outliers::time;
use rankine::{Comm, Result, Test};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const ROUNDS: usize = 12;
const ASK: i32 = 31;
const PATIENCE: Duration = Duration::from_secs(3);

/// Files of two nodes are in the wrong order beyond this, as make and people see them.
const WORTH: f64 = 0.5;
/// Munge, which says to Slurm who somebody is, takes no credential that is older than this by its own clock.
const REFUSED: f64 = 300.0;

/// Another clock's time less ours, in seconds, and by how much that may be wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Skew {
    pub ahead: f64,
    pub error: f64,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// Of exchanges: when it was asked and heard by our clock, and what theirs said.
fn skew(exchanges: &[(u64, u64, u64)]) -> Option<Skew> {
    let (asked, said, heard) = exchanges.iter().min_by_key(|(asked, _, heard)| heard.abs_diff(*asked))?;
    let middle = i128::from(*asked) + (i128::from(*heard) - i128::from(*asked)) / 2;
    Some(Skew {
        ahead: (i128::from(*said) - middle) as f64 * 1e-9,
        error: heard.abs_diff(*asked) as f64 * 0.5e-9,
    })
}

/// Asks another rank for its time; none if it does not answer.
pub fn ask(world: &Comm, peer: usize) -> Result<Option<Skew>> {
    let deadline = Instant::now() + PATIENCE;
    let mut exchanges = Vec::new();
    for _ in 0..ROUNDS {
        let asked = now();
        let sent = world.isend_owned(vec![asked], peer, ASK)?;
        let Some(said) = arrived(world, peer, deadline)? else { return Ok(None) };
        exchanges.push((asked, said, now()));
        sent.wait()?;
    }
    Ok(skew(&exchanges))
}

/// Tells the time as often as it is asked.
pub fn tell(world: &Comm, peer: usize) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    for _ in 0..ROUNDS {
        let Some(_) = arrived(world, peer, deadline)? else { return Ok(()) };
        // Eight bytes leave at once.
        world.isend_owned(vec![now()], peer, ASK)?.wait()?;
    }
    Ok(())
}

fn arrived(world: &Comm, peer: usize, deadline: Instant) -> Result<Option<u64>> {
    let mut request = world.irecv_owned::<u64>(Vec::with_capacity(1), peer, ASK)?;
    loop {
        request = match request.test()? {
            Test::Done((data, _)) => return Ok(data.first().copied()),
            Test::Pending(request) => request,
        };
        if Instant::now() > deadline {
            return Ok(None);
        }
        std::thread::yield_now();
    }
}

/// What the clocks of all nodes come to, against the first node's.
pub fn judge(first: &str, skews: &[(String, Skew)]) -> Vec<Finding> {
    const WHAT: &str = "clocks";
    let fix = "let all nodes follow one time server";
    let shown = |node: &str, skew: &Skew| {
        let way = if skew.ahead > 0.0 { "ahead of" } else { "behind" };
        format!("{node} is {:.3} s {way} {first} (within {})", skew.ahead.abs(), time(Some(skew.error)))
    };
    let mut findings: Vec<Finding> = skews
        .iter()
        .filter(|(_, skew)| skew.ahead.abs() - skew.error > WORTH)
        .map(|(node, skew)| match skew.ahead.abs() > REFUSED {
            true => Finding::fault(WHAT, format!("{}: Slurm's munge refuses it", shown(node, skew)), fix),
            false => {
                Finding::warn(WHAT, format!("{}: files and logs are out of order", shown(node, skew)), fix)
            }
        })
        .map(|finding| finding.by("chronyc -a makestep"))
        .collect();
    let most = skews.iter().map(|(_, skew)| skew.ahead.abs()).reduce(f64::max);
    if let (Some(most), true) = (most, findings.is_empty()) {
        findings.push(Finding::ok(WHAT, format!("of all nodes within {} of {first}'s", time(Some(most)))));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::super::State;
    use super::*;

    #[test]
    fn the_fastest_exchange_counts() {
        const S: u64 = 1_000_000_000;
        // Asked at 10 s, heard at 10.2 s, and the other is 5 s ahead; a slow exchange says something else.
        let found = skew(&[(10 * S, 15 * S + S / 10, 10 * S + S / 5), (20 * S, 29 * S, 24 * S)]).unwrap();
        assert!((found.ahead - 5.0).abs() < 1e-9 && (found.error - 0.1).abs() < 1e-9, "{found:?}");
        let behind = skew(&[(400 * S, 0, 400 * S)]).unwrap();
        assert!((behind.ahead + 400.0).abs() < 1e-9);
        let all = [("a".to_string(), found), ("b".to_string(), behind)];
        let judged = judge("zero", &all);
        assert_eq!(judged.iter().map(|f| f.state).collect::<Vec<_>>(), [State::Warn, State::Fault]);
        assert!(judged[0].found.contains("a is 5.000 s ahead of zero"), "{judged:?}");
        assert!(judged[1].found.contains("b is 400.000 s behind zero"), "{judged:?}");
        assert_eq!(judge("zero", &[("a".into(), Skew { ahead: 0.4, error: 0.1 })])[0].state, State::Ok);
        assert_eq!(judge("zero", &[]), []);
    }

    #[test]
    fn ranks_of_one_machine_have_one_clock() {
        rankine::testing::ranks([2], |world| {
            if world.rank() == 1 {
                return tell(world, 0);
            }
            let skew = ask(world, 1)?.expect("an answer");
            assert!(skew.ahead.abs() <= skew.error + 1e-6, "{skew:?}");
            Ok(())
        });
    }
}
