//! Measures what messages between two ranks take: a ping-pong of a short and of a long message, and an allreduce. Both
//! sides give up at a deadline. What the times mean is in `outliers`.

use rankine::{Comm, Result, Test, op};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// What was measured before an end or the deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Seconds of a short message, one way.
    pub latency: Option<f64>,
    /// Bytes a second of a long message.
    pub bandwidth: Option<f64>,
    /// Seconds of an allreduce of one number.
    pub allreduce: Option<f64>,
}

/// How long two ranks may take.
pub const PATIENCE: Duration = Duration::from_secs(4);

const PING: i32 = 21;
const GROUP: i32 = 22;

/// Short, middling and long: those that fit into some buffer on the way say little of it.
const LENGTHS: [usize; 3] = [8, 1 << 16, 1 << 20];

/// A middling message that takes longer shows enough, and a long one might take too long.
const SLOW: f64 = 0.1;

/// The first byte of a message: whether another follows.
const MORE: u8 = 0;
const LAST: u8 = 1;

/// One rank's side; `first` is the one that measures. A message without an answer leaves what was measured until then.
pub fn measure(world: &Comm, peer: usize, first: bool) -> Result<Times> {
    let deadline = Instant::now() + PATIENCE;
    if first { lead(world, peer, deadline) } else { follow(world, peer, deadline + PATIENCE / 4) }
}

fn lead(world: &Comm, peer: usize, deadline: Instant) -> Result<Times> {
    let mut times = Times::default();
    let [short, middling, long] = LENGTHS;
    let Some(latency) = best_of(world, peer, short, 400, 0.02, deadline)? else { return Ok(times) };
    times.latency = Some(latency);
    let Some(seconds) = best_of(world, peer, middling, 10, 0.01, deadline)? else { return Ok(times) };
    let mut bandwidth = middling as f64 / seconds;
    if seconds < SLOW {
        let Some(seconds) = best_of(world, peer, long, 10, 0.02, deadline)? else { return Ok(times) };
        bandwidth = long as f64 / seconds;
    }
    times.bandwidth = Some(bandwidth);
    if bounce(world, peer, vec![LAST], deadline)?.is_none() {
        return Ok(times);
    }
    times.allreduce = together(world, peer, deadline)?;
    Ok(times)
}

fn follow(world: &Comm, peer: usize, deadline: Instant) -> Result<Times> {
    loop {
        let Some(data) = arrived(world, peer, Vec::with_capacity(LENGTHS[2]), deadline)? else {
            return Ok(Times::default());
        };
        let last = data.first() == Some(&LAST);
        if left(world, peer, data, deadline)?.is_none() {
            return Ok(Times::default());
        }
        if last {
            return Ok(Times { allreduce: together(world, peer, deadline)?, ..Times::default() });
        }
    }
}

/// The least time of one way, over so many rounds or seconds; the first round makes the connection.
fn best_of(
    world: &Comm,
    peer: usize,
    len: usize,
    rounds: usize,
    seconds: f64,
    deadline: Instant,
) -> Result<Option<f64>> {
    let mut data = vec![MORE; len];
    let (began, mut best) = (Instant::now(), f64::INFINITY);
    for _ in 0..rounds {
        let start = Instant::now();
        match bounce(world, peer, data, deadline)? {
            Some(back) => data = back,
            None => return Ok(None),
        }
        best = best.min(start.elapsed().as_secs_f64() / 2.0);
        if began.elapsed().as_secs_f64() > seconds {
            break;
        }
    }
    Ok(Some(best))
}

/// There and back.
fn bounce(world: &Comm, peer: usize, data: Vec<u8>, deadline: Instant) -> Result<Option<Vec<u8>>> {
    let room = Vec::with_capacity(data.len());
    let Some(_) = left(world, peer, data, deadline)? else { return Ok(None) };
    arrived(world, peer, room, deadline)
}

/// Looks again and again; what is given up leaks its buffer, since MPI may still use it.
fn until<D, R>(
    mut request: R,
    test: impl Fn(R) -> Result<Test<D, R>>,
    deadline: Instant,
) -> Result<Option<D>> {
    let mut looks = 0u32;
    loop {
        request = match test(request)? {
            Test::Done(done) => return Ok(Some(done)),
            Test::Pending(request) => request,
        };
        looks += 1;
        if looks.is_multiple_of(64) {
            if Instant::now() > deadline {
                return Ok(None);
            }
            std::thread::yield_now();
        }
    }
}

fn left(world: &Comm, peer: usize, data: Vec<u8>, deadline: Instant) -> Result<Option<Vec<u8>>> {
    until(world.isend_owned(data, peer, PING)?, |request| request.test(), deadline)
}

fn arrived(world: &Comm, peer: usize, room: Vec<u8>, deadline: Instant) -> Result<Option<Vec<u8>>> {
    let arrived = until(world.irecv_owned(room, peer, PING)?, |request| request.test(), deadline)?;
    Ok(arrived.map(|(data, _)| data))
}

/// The least time of an allreduce of the two, in a communicator of theirs.
fn together(world: &Comm, peer: usize, deadline: Instant) -> Result<Option<f64>> {
    const ROUNDS: usize = 20;
    let me = world.rank();
    let pair = world.create_group(&world.group()?.incl(&[me.min(peer), me.max(peer)])?, GROUP)?;
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let sum = until(pair.iallreduce_owned(vec![1.0f64], op::Sum)?, |request| request.test(), deadline)?;
        if sum.is_none() {
            return Ok(None);
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(Some(best))
}

/// Who measures with whom: rounds of disjoint pairs, so that each of `n` meets each other once (the circle method).
pub fn rounds(n: usize) -> Vec<Vec<(usize, usize)>> {
    let others = (n + n % 2).saturating_sub(1);
    let pairs = |round| {
        let across = (1..others.div_ceil(2))
            .map(move |step| ((round + step) % others, (round + others - step) % others));
        // An odd one out meets a seat that nobody has.
        std::iter::once((round, others)).chain(across)
    };
    let ordered = |(a, b): (usize, usize)| (a.min(b), a.max(b));
    (0..others).map(|round| pairs(round).map(ordered).filter(|&(_, b)| b < n).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_meets_each_once_and_nobody_two_at_a_time() {
        for n in 0..14 {
            let mut met = BTreeSet::new();
            for round in rounds(n) {
                let mut busy = BTreeSet::new();
                for (a, b) in round {
                    assert!(a < b && b < n && busy.insert(a) && busy.insert(b), "{n}: {a} {b}");
                    assert!(met.insert((a, b)), "{n}: {a} {b} again");
                }
            }
            assert_eq!(met.len(), n * n.saturating_sub(1) / 2, "{n}");
        }
    }

    #[test]
    fn two_ranks_measure_each_other() {
        rankine::testing::ranks([2, 3], |world| {
            if world.rank() < 2 {
                let times = measure(world, 1 - world.rank(), world.rank() == 0)?;
                assert!(times.allreduce.is_some_and(|seconds| seconds > 0.0), "{times:?}");
                assert_eq!(times.bandwidth.is_some(), world.rank() == 0);
            }
            Ok(())
        });
    }
}
