//! Orders of messages, explored: what goes wrong in one of them is found and said, and nothing is left out.

use rankine::op::Sum;
use rankine::testing::{Explored, Orders, Trial, explore, replay};
use rankine::window::Lock;
use rankine::{ANY_SOURCE, Comm, ErrorKind, Requests, Result, Test};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// All that rank 0 gives back, whatever the order.
fn outcomes<T: Ord + Debug + Send>(
    trial: &Trial,
    orders: Orders,
    rank: impl Fn(&Comm) -> Result<T> + Send + Sync,
) -> (Explored, BTreeSet<T>) {
    let seen = Mutex::new(BTreeSet::new());
    let explored = trial.explore(orders, |world| {
        let outcome = rank(world)?;
        if world.rank() == 0 {
            seen.lock().unwrap().insert(outcome);
        }
        Ok(())
    });
    (explored.unwrap_or_else(|found| panic!("{found}")), seen.into_inner().unwrap())
}

fn number_from(world: &Comm, source: impl Into<rankine::Source>) -> Result<usize> {
    let mut number = [0];
    world.recv(&mut number, source, 7)?;
    Ok(number[0])
}

/// The line of the comment `@name` in this file.
fn line(name: &str) -> String {
    let mark = format!("// @{name}");
    let at = include_str!("explore.rs").lines().position(|line| line.ends_with(&mark));
    format!("tests/explore.rs:{}:", at.unwrap() + 1)
}

fn race(world: &Comm) -> Result<()> {
    if world.rank() > 0 {
        return world.send(&[world.rank()], 0, 7);
    }
    let first = number_from(world, ANY_SOURCE)?;
    number_from(world, ANY_SOURCE)?;
    assert_eq!(first, 1, "the first is rank 1's");
    Ok(())
}

#[test]
fn a_race_is_found_and_run_again() {
    let found = Trial::new(3).explore(Orders::All, race).unwrap_err();
    assert_eq!((found.error.kind(), found.runs, &found.decisions[..]), (ErrorKind::Panic, 2, "1"));
    let again = Trial::new(3).replay(&found.decisions, race).unwrap_err();
    assert_eq!(again.error.to_string(), found.error.to_string());
    assert_eq!(again.words, found.words);
    assert!(found.words[0].starts_with("rank 0, recv u64 from any rank, tag 7 ("), "{found}");
    assert!(
        found.words[0].ends_with("takes the message of rank 2, not: takes the message of rank 1"),
        "{found}"
    );
    replay(3, "0", race);
}

#[test]
#[should_panic = "testing::replay(3, \"1\", ...)"]
fn a_failure_says_how_to_run_it_again() {
    explore(3, Orders::All, race);
}

fn steals(world: &Comm) -> Result<()> {
    if world.rank() > 0 {
        return world.send(&[world.rank()], 0, 7); // @send
    }
    number_from(world, ANY_SOURCE)?;
    world.recv(&mut [0usize], 2, 7).map(drop) // @named
}

#[test]
fn a_wildcard_that_steals_is_found() {
    let found = Trial::new(3).explore(Orders::All, steals).unwrap_err();
    assert_eq!((found.error.kind(), &found.decisions[..]), (ErrorKind::Deadlock, "1"), "{found}");
    let text = found.to_string();
    assert!(text.contains(&line("named")), "{text}");
    let again = Trial::new(3).replay("1", steals).unwrap_err();
    assert_eq!(again.error.to_string(), found.error.to_string());
}

#[test]
fn every_interleaving_of_messages_comes_once() {
    // Two messages of each of two ranks keep their order: 4! / (2! 2!).
    let (explored, seen) = outcomes(&Trial::new(3), Orders::All, |world| {
        if world.rank() > 0 {
            for i in 0..2 {
                world.send(&[10 * world.rank() + i], 0, 7)?;
            }
            return Ok(Vec::new());
        }
        (0..4).map(|_| number_from(world, ANY_SOURCE)).collect::<Result<Vec<_>>>()
    });
    assert_eq!((explored.runs, explored.complete, seen.len()), (6, true, 6));
    assert!(seen.iter().all(|order| {
        let place = |message| order.iter().position(|&m| m == message);
        place(10) < place(11) && place(20) < place(21)
    }));
}

#[test]
fn what_does_not_meet_is_not_multiplied() {
    // Ranks 0 and 1 each receive from 2 and 3 in either order: 2 × 2, not with all their interleavings.
    let explored = explore(4, Orders::All, |world| {
        if world.rank() > 1 {
            world.send(&[1usize], 0, 7)?;
            return world.send(&[1usize], 1, 7);
        }
        number_from(world, ANY_SOURCE)?;
        number_from(world, ANY_SOURCE).map(drop)
    });
    assert_eq!(explored, Explored { runs: 4, complete: true });
}

#[test]
fn what_one_decision_enables_is_an_alternative() {
    // Rank 1 sends to 0 only after its own wildcard, which may be that of 2 or 3; so 0 may get any of three first.
    let (explored, seen) = outcomes(&Trial::new(4), Orders::All, |world| match world.rank() {
        0 => (0..3).map(|_| number_from(world, ANY_SOURCE)).collect::<Result<Vec<_>>>(),
        1 => {
            let first = number_from(world, ANY_SOURCE)?;
            number_from(world, ANY_SOURCE)?;
            world.send(&[10 + first], 0, 7)?;
            Ok(Vec::new())
        }
        me => {
            world.send(&[me], 1, 7)?;
            world.send(&[me], 0, 7)?;
            Ok(Vec::new())
        }
    });
    assert!(explored.complete);
    // The three in any order, and rank 1's is 12 or 13.
    assert_eq!((explored.runs, seen.len()), (12, 12));
}

#[test]
fn started_receives_are_decided_too() {
    // Two wildcards, then one that names: the first two may leave it nothing.
    let run = |world: &Comm| {
        if world.rank() > 0 {
            return world.send(&[world.rank()], 0, 7).map(|()| Vec::new());
        }
        let any = world.irecv_owned(Vec::<usize>::with_capacity(1), ANY_SOURCE, 7)?;
        let one = world.irecv_owned(Vec::<usize>::with_capacity(1), ANY_SOURCE, 7)?;
        let mut all = vec![one.wait()?.0[0]];
        all.push(any.wait()?.0[0]);
        all.push(number_from(world, ANY_SOURCE)?);
        Ok(all)
    };
    for checked in [true, false] {
        let (explored, seen) = outcomes(&Trial::new(4).checked(checked), Orders::All, run);
        assert_eq!((explored.runs, seen.len()), (6, 6));
    }
}

#[test]
fn a_named_receive_waits_for_an_earlier_wildcard() {
    // The wildcard was first: it takes rank 1's message, or rank 2's, and the named one never comes before it.
    let (explored, seen) = outcomes(&Trial::new(3), Orders::All, |world| {
        if world.rank() > 0 {
            let count = 3 - world.rank();
            (0..count).try_for_each(|i| world.send(&[10 * world.rank() + i], 0, 7))?;
            return Ok((0, 0, 0));
        }
        let any = world.irecv_owned(Vec::<usize>::with_capacity(1), ANY_SOURCE, 7)?;
        let named = number_from(world, 1)?;
        let other = number_from(world, ANY_SOURCE)?;
        Ok((any.wait()?.0[0], named, other))
    });
    let all = [(10, 11, 20), (20, 10, 11)];
    assert_eq!((explored.runs, seen.into_iter().collect::<Vec<_>>()), (2, all.to_vec()));
}

#[test]
fn wait_any_gives_back_in_every_order() {
    let run = |world: &Comm| {
        if world.rank() > 0 {
            return world.send(&[world.rank()], 0, 7).map(|()| Vec::new());
        }
        let receives =
            (1..world.size()).map(|from| world.irecv_owned(Vec::<usize>::with_capacity(1), from, 7));
        let mut receives: Requests<_> = receives.collect::<Result<_>>()?;
        let mut order = Vec::new();
        while let Some((number, _)) = receives.wait_any()? {
            order.push(number);
        }
        Ok(order)
    };
    let (explored, seen) = outcomes(&Trial::new(4), Orders::All, run);
    assert_eq!((explored.runs, seen.len()), (6, 6));
    let found = Trial::new(4).explore(Orders::All, |world| {
        let order = run(world)?;
        assert_ne!(order, [2, 0, 1]);
        Ok(())
    });
    let found = found.unwrap_err();
    assert_eq!(found.words.len(), 2, "{found}");
    assert!(Trial::new(4).replay(&found.decisions, |world| run(world).map(drop)).is_ok());
}

#[test]
fn wait_some_gives_back_each_and_all() {
    let (explored, seen) = outcomes(&Trial::new(3), Orders::All, |world| {
        if world.rank() > 0 {
            return world.send(&[world.rank()], 0, 7).map(|()| Vec::new());
        }
        let receives =
            (1..world.size()).map(|from| world.irecv_owned(Vec::<usize>::with_capacity(1), from, 7));
        let mut receives: Requests<_> = receives.collect::<Result<_>>()?;
        let mut order = Vec::new();
        while !receives.is_empty() {
            order.push(receives.wait_some()?.len());
        }
        Ok(order)
    });
    // One and the other, the other and the one, both.
    assert_eq!((explored.runs, seen.into_iter().collect::<Vec<_>>()), (3, vec![vec![1, 1], vec![2]]));
}

#[test]
fn a_test_may_say_yes_or_not_yet() {
    let (explored, seen) = outcomes(&Trial::new(2), Orders::All, |world| {
        if world.rank() > 0 {
            return world.send(&[1u8], 0, 7).map(|()| 0);
        }
        let mut receive = world.irecv_owned(Vec::<u8>::with_capacity(1), 1, 7)?;
        for refusals in 0.. {
            receive = match receive.test()? {
                Test::Done(_) => return Ok(refusals),
                Test::Pending(receive) => receive,
            };
        }
        unreachable!()
    });
    assert_eq!((explored.runs, seen.into_iter().collect::<Vec<_>>()), (2, vec![0, 1]));
}

#[test]
fn a_probe_and_a_wildcard_may_find_different_messages() {
    let found = Trial::new(3).explore(Orders::All, |world| {
        if world.rank() > 0 {
            return world.send(&vec![0u8; world.rank()], 0, 7);
        }
        let found = world.probe::<u8>(ANY_SOURCE, 7)?;
        let mut room = vec![0u8; found.len];
        // The message that was found is that of `found.source`.
        world.recv(&mut room, ANY_SOURCE, 7)?;
        world.recv_vec::<u8>(ANY_SOURCE, 7).map(drop)
    });
    assert_eq!(found.unwrap_err().error.kind(), ErrorKind::Truncated);
    let explored = explore(3, Orders::All, |world| {
        if world.rank() > 0 {
            return world.send(&vec![0u8; world.rank()], 0, 7);
        }
        for _ in 0..2 {
            let message = world.mprobe::<u8>(ANY_SOURCE, 7)?;
            let mut room = vec![0u8; message.status().len];
            message.recv(&mut room)?;
        }
        Ok(())
    });
    assert_eq!(explored.runs, 2);
}

#[test]
fn tests_of_many_say_what_they_may() {
    let start = |world: &Comm| {
        let receives =
            (1..world.size()).map(|from| world.irecv_owned(Vec::<usize>::with_capacity(1), from, 7));
        receives.collect::<Result<Requests<_>>>()
    };
    let (_, seen) = outcomes(&Trial::new(3), Orders::All, |world| {
        if world.rank() > 0 {
            return world.send(&[world.rank()], 0, 7).map(|()| 0);
        }
        let mut receives = start(world)?;
        let mut refusals = 0;
        while receives.test_all()?.is_none() {
            refusals += 1;
        }
        Ok(refusals)
    });
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1]);
    let (_, seen) = outcomes(&Trial::new(3), Orders::All, |world| {
        if world.rank() > 0 {
            return world.send(&[world.rank()], 0, 7).map(|()| (0, 0));
        }
        let mut receives = start(world)?;
        let told = (receives.test_some()?.len(), receives.test_any()?.map_or(9, |(number, _)| number));
        receives.wait_all()?;
        Ok(told)
    });
    assert!(seen.contains(&(1, 0)) && seen.contains(&(1, 1)) && seen.contains(&(2, 9)), "{seen:?}");
}

#[test]
fn a_loop_that_asks_in_vain_is_found() {
    let found = Trial::new(2).explore(Orders::All, |world| {
        while world.rank() == 0 && world.iprobe::<u8>(1, 7)?.is_none() {}
        Ok(())
    });
    let found = found.unwrap_err();
    assert_eq!(found.error.kind(), ErrorKind::Deadlock);
    assert!(found.error.what().starts_with("ranks ask again and again"), "{found}");
}

#[test]
fn a_lock_is_taken_in_every_order() {
    let seen = Mutex::new(BTreeSet::new());
    let explored = explore(3, Orders::All, |world| {
        let mut window = world.window::<u64>(4)?;
        window.share(|shared| {
            shared.lock(0, Lock::Exclusive, |part| {
                let before = part.fetch_op(1, Sum, 0, 0)? as usize;
                part.fetch_op(world.rank() as u64, Sum, 0, 1 + before).map(drop)
            })
        })?;
        if world.rank() == 0 {
            seen.lock().unwrap().insert(window.into_vec()?);
        } else {
            window.close()?;
        }
        Ok(())
    });
    assert_eq!((explored.runs, seen.lock().unwrap().len()), (6, 6));
}

#[test]
fn the_frameworks_own_messages_are_no_decisions() {
    let explored = explore(3, Orders::All, |world| {
        let (me, n) = (world.rank(), world.size());
        let half = world.split(Some(me as u32 % 2), 0)?;
        half.expect("a colour was given").barrier()?;
        assert_eq!(world.allreduce(me, Sum)?, 3);
        let all = world.allgather(&[me])?;
        assert_eq!(all, [0, 1, 2]);
        let sum = world.iallreduce_owned(vec![me], Sum)?;
        let mut there = [me];
        world.sendrecv(&[me], (me + 1) % n, 1, &mut there, (me + n - 1) % n, 1)?;
        assert_eq!(sum.wait()?, [3]);
        // Whoever has something for somebody tells him: probes and tests, inside.
        let came = world.exchange_sparse(vec![((me + 1) % n, vec![me])])?;
        assert_eq!(came, [((me + n - 1) % n, vec![(me + n - 1) % n])]);
        world.barrier()
    });
    assert_eq!(explored, Explored { runs: 1, complete: true });
}

#[test]
fn chance_is_the_same_for_the_same_seed() {
    let orders = |seed| {
        let seen = Mutex::new(Vec::new());
        Trial::new(5)
            .explore(Orders::Random { seed, runs: 20 }, |world| {
                if world.rank() > 0 {
                    return world.send(&[world.rank()], 0, 7);
                }
                let order = (1..5).map(|_| number_from(world, ANY_SOURCE)).collect::<Result<Vec<_>>>()?;
                seen.lock().unwrap().push(order);
                Ok(())
            })
            .unwrap();
        seen.into_inner().unwrap()
    };
    let first = orders(1);
    assert_eq!((first.len(), &first), (20, &orders(1)));
    assert_ne!(first, orders(2));
    let different: BTreeSet<_> = first.into_iter().collect();
    assert!(different.len() > 8, "{different:?}");
    let run = |seed| Trial::new(3).explore(Orders::Random { seed, runs: 100 }, race).unwrap_err();
    assert_eq!((run(7).runs, run(7).decisions), (run(7).runs, "1".to_string()));
}

/// A program made from a number: each of three ranks starts two sends and takes what comes, and passes the first on. What
/// all ranks got, in order, on rank 0.
fn program(world: &Comm, seed: u64) -> Result<Vec<Vec<usize>>> {
    let (me, n) = (world.rank(), world.size());
    let dice = |at: usize| (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (5 * at)) as usize;
    // Three messages of each rank: where they go. The third passes on what came first.
    let dest = |rank: usize, which: usize| (rank + 1 + dice(3 * rank + which) % (n - 1)) % n;
    let count =
        (0..n).flat_map(|rank| (0..3).map(move |which| dest(rank, which))).filter(|&to| to == me).count();
    let comes = |which: &[usize]| (0..n).any(|rank| which.iter().any(|&which| dest(rank, which) == me));
    let mut log = Vec::new();
    let sends = (0..2).map(|which| world.isend_owned(vec![10 * me + which], dest(me, which), 7));
    let sends = sends.collect::<Result<Vec<_>>>()?;
    let started = count > 1 && dice(11) % 2 == 0;
    let pass_on =
        |log: &[usize]| world.isend_owned(vec![100 * (me + 1) + log.first().unwrap_or(&0)], dest(me, 2), 7);
    let mut passed = if comes(&[0, 1]) { None } else { Some(pass_on(&log)?) };
    let started =
        if started { Some(world.irecv_owned(Vec::<usize>::with_capacity(1), ANY_SOURCE, 7)?) } else { None };
    let mut started = started.into_iter();
    for _ in 0..count {
        log.push(match started.next() {
            Some(receive) => receive.wait()?.0[0],
            None => number_from(world, ANY_SOURCE)?,
        });
        if passed.is_none() {
            passed = Some(pass_on(&log)?);
        }
    }
    rankine::wait_all(sends.into_iter().chain(passed))?;
    // Everybody's log, said in messages that leave nothing to decide.
    if me > 0 {
        world.send(&log, 0, 8)?;
        return Ok(Vec::new());
    }
    let others = (1..n).map(|rank| Ok(world.recv_vec(rank, 8)?.0)).collect::<Result<Vec<_>>>()?;
    Ok([vec![log], others].concat())
}

#[test]
fn no_outcome_is_left_out_and_none_comes_twice() {
    let runs = AtomicU64::new(0);
    let mut most = 0;
    for seed in 1..=12 {
        for checked in [true, false] {
            let trial = Trial::new(3).checked(checked);
            let (explored, all) = outcomes(&trial, Orders::All, |world| program(world, seed));
            assert_eq!((explored.complete, explored.runs), (true, all.len()), "program {seed}");
            let (_, some) = outcomes(&trial, Orders::Random { seed, runs: 60 }, |world| program(world, seed));
            assert!(some.is_subset(&all), "program {seed}: {:?}", some.difference(&all));
            most = most.max(all.len());
            // Where time decides there may be no others.
            for _ in 0..40 {
                let seen = Mutex::new(Vec::new());
                let rank = |world: &Comm| {
                    let dawdle =
                        runs.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57;
                    std::thread::sleep(Duration::from_micros(dawdle));
                    let outcome = program(world, seed)?;
                    if world.rank() == 0 {
                        *seen.lock().unwrap() = outcome;
                    }
                    Ok(())
                };
                trial.run(rank).unwrap();
                let seen = seen.into_inner().unwrap();
                assert!(all.contains(&seen), "program {seed}, checked {checked}: {seen:?}");
            }
        }
    }
    assert!(most > 30, "{most}");
}

#[test]
fn a_bound_is_kept_and_said() {
    let run = |world: &Comm| {
        if world.rank() > 0 {
            return world.send(&[world.rank()], 0, 7);
        }
        (1..4).try_for_each(|_| number_from(world, ANY_SOURCE).map(drop))
    };
    assert_eq!(explore(4, Orders::AtMost(4), run), Explored { runs: 4, complete: false });
    assert_eq!(explore(4, Orders::AtMost(60), run), Explored { runs: 6, complete: true });
}

#[test]
fn an_order_of_another_program_is_refused() {
    for decisions in ["7", "no"] {
        let found = Trial::new(3).replay(decisions, race).unwrap_err();
        assert_eq!(found.error.kind(), ErrorKind::Usage, "{found}");
    }
    let runs = Mutex::new(0);
    let found = Trial::new(3).explore(Orders::All, |world| {
        if world.rank() > 0 {
            return world.send(&[0], 0, 7);
        }
        *runs.lock().unwrap() += 1;
        let first = *runs.lock().unwrap() == 1;
        for _ in 0..2 {
            world.recv(&mut [0], if first { ANY_SOURCE } else { 1.into() }, 7)?;
            if !first {
                world.recv(&mut [0], 2, 7)?;
                break;
            }
        }
        Ok(())
    });
    let found = found.unwrap_err();
    assert!(found.error.what().starts_with("run twice in the same order"), "{found}");
}

#[test]
fn the_environment_can_say_the_order() {
    if std::env::var_os("RANKINE_REPLAY").is_some() {
        // This is the process that is started below.
        explore(3, Orders::All, race);
        return;
    }
    let run = |order: &str| {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        let command = command.args(["--exact", "the_environment_can_say_the_order"]);
        command.env("RANKINE_REPLAY", order).output().unwrap()
    };
    assert!(run("0").status.success());
    let failed = run("1");
    assert!(!failed.status.success());
    let text =
        String::from_utf8_lossy(&failed.stdout).into_owned() + &String::from_utf8_lossy(&failed.stderr);
    assert!(text.contains("in run 1: rank 0: panicked"), "{text}");
}
