//! Errors of message passing, by the classes of the MPI Bugs Initiative: those that no other test shows to be found.
//!
//! docs/watch.md has the table of all of them, with the test of each. What does not compile is in the documentation of what
//! refuses it. A comment `@name` marks a line that an error should name.

use rankine::op::{Max, Min, Prod, Sum};
use rankine::testing::Trial;
use rankine::window::{Epoch, NoOp, Replace};
use rankine::{ANY_SOURCE, Comm, Error, ErrorKind, Result};
use std::time::Duration;

/// The place of the line of this file that has that mark.
fn at(mark: &str) -> String {
    let marked = format!("// @{mark}");
    let line = include_str!("classes.rs").lines().position(|line| line.ends_with(&marked));
    format!("classes.rs:{}:", 1 + line.unwrap_or_else(|| panic!("no line is marked {marked}")))
}

fn trial(ranks: usize, checked: bool) -> Trial {
    Trial::new(ranks).checked(checked).patience(Duration::from_millis(100))
}

/// What a job of so many ranks fails with: an error of that kind with all of these words.
#[track_caller]
fn fails(
    ranks: usize,
    checked: bool,
    kind: ErrorKind,
    words: &[&str],
    rank: impl Fn(&Comm) -> Result<()> + Send + Sync,
) -> Error {
    let error = trial(ranks, checked).run(rank).expect_err("it fails");
    assert_eq!(error.kind(), kind, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} is not in\n{error}");
    }
    error
}

/// What a job that ends well warns of.
#[track_caller]
fn warns(ranks: usize, lines: &[&str], rank: impl Fn(&Comm) -> Result<()> + Send + Sync) {
    let mut warnings = Vec::new();
    trial(ranks, false).run_and_warn(&mut warnings, rank).expect("the job ends well");
    assert_eq!(warnings.len(), lines.len(), "{warnings:?}");
    for line in lines {
        let mut parts = line.split('*');
        let (start, rest) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        assert!(
            warnings.iter().any(|told| told.starts_with(start) && told.contains(rest)),
            "{line:?} is not in {warnings:?}"
        );
    }
}

// Resource leak; requests and windows are in `warnings`.

#[test]
fn communicators_that_are_forgotten() {
    let lines = [0, 1].map(|rank| format!("rank {rank} has never ended a communicator (*{}", at("dup")));
    warns(2, &[&lines[0], &lines[1]], |world| {
        let twin = world.dup()?; // @dup
        twin.barrier()?;
        std::mem::forget(twin);
        // Those that are dropped are not spoken of, nor is what the framework makes for itself.
        world.split(Some(0), 0)?.map_or(Ok(()), |half| half.barrier())?;
        world.exchange_sparse(vec![(0, vec![1u8])]).map(drop)
    });
}

// Request lifecycle.

#[test]
fn plans_that_are_forgotten() {
    let line = format!("rank 0 has never ended a plan (*{}", at("plan"));
    let other = format!("rank 0 has never ended a plan (*{}", at("plan_allreduce"));
    warns(2, &[&line, &other], |world| {
        let plan = world.plan_recv(vec![0u8], 1, 1)?; // @plan
        let sum = world.plan_allreduce(vec![0u64], Sum)?; // @plan_allreduce
        if world.rank() == 0 {
            std::mem::forget((plan, sum));
        }
        Ok(())
    });
}

// Parameter matching.

#[test]
fn a_message_that_is_too_long_names_its_sender() {
    let words = ["from rank 0, tag 7, sent at ", &at("long"), &at("short"), "has 3 elements", "takes 2 f64"];
    fails(2, true, ErrorKind::Truncated, &words, |world| match world.rank() {
        0 => world.send(&[1.0; 3], 1, 7),                        // @long
        _ => world.recv(&mut [0.0; 2], ANY_SOURCE, 7).map(drop), // @short
    });
}

#[test]
fn a_message_of_another_type_names_its_sender() {
    let words = ["from rank 0, tag 7, sent at ", &at("i32"), &at("f64"), "is of i32", "receive is of f64"];
    fails(3, true, ErrorKind::TypeMismatch, &words, |world| {
        // In a communicator in which ranks have other numbers.
        let turned = world.split(Some(0), -(world.rank() as i64))?.expect("all ranks are in it");
        match turned.rank() {
            0 => turned.send(&[1i32], 1, 7),              // @i32
            1 => turned.recv(&mut [0.0], 0, 7).map(drop), // @f64
            _ => Ok(()),
        }
    });
}

#[test]
fn one_of_several_messages_names_where_the_last_was_sent() {
    let words = ["from rank 0, tag 7, the last of which was sent at ", &at("third")];
    fails(2, false, ErrorKind::Truncated, &words, |world| match world.rank() {
        0 => {
            world.send(&[1u8], 1, 7)?;
            world.send(&[1u8; 2], 1, 7)?;
            world.send(&[1u8], 1, 7)?; // @third
            world.barrier()
        }
        _ => {
            world.barrier()?;
            world.recv(&mut [0u8], 0, 7)?;
            world.recv(&mut [0u8], 0, 7).map(drop)
        }
    });
}

// Call ordering.

#[test]
fn different_collectives_name_both_and_the_one_before() {
    let words = [
        &at("here")[..],
        &at("there"),
        &format!("the last one before was allreduce #2 (framework/tests/{}", at("common")),
    ];
    fails(2, true, ErrorKind::Mismatch, &words, |world| {
        world.barrier()?;
        let sum = world.allreduce(1, Sum)?; // @common
        assert_eq!(sum, 2);
        match world.rank() {
            0 => world.barrier(),            // @here
            _ => world.bcast(&mut [0u8], 0), // @there
        }
    });
}

#[test]
fn the_first_collective_is_said_to_be_the_first() {
    fails(2, true, ErrorKind::Mismatch, &["root", "this is the first one here"], |world| {
        world.bcast(&mut [0u8], world.rank())
    });
}

#[test]
fn a_blocking_collective_never_meets_a_nonblocking_one() {
    let words = ["ranks 0 and 1 make different collective calls", &at("nonblocking"), &at("blocking")];
    fails(2, true, ErrorKind::Mismatch, &words, |world| match world.rank() {
        0 => {
            let sum = world.iallreduce_owned(vec![1], Sum)?;
            sum.wait().map(drop) // @nonblocking
        }
        _ => world.allreduce_in_place(&mut [1], Sum), // @blocking
    });
    // Where the next call is the same one, that one finds it.
    fails(2, true, ErrorKind::Mismatch, &["must come in the same order"], |world| match world.rank() {
        0 => {
            let sum = world.iallreduce_owned(vec![1], Sum)?;
            world.barrier()?;
            sum.wait().map(drop)
        }
        _ => world.barrier(),
    });
}

// Buffering hazard.

#[test]
fn a_program_that_lives_on_buffers_fails_when_it_is_checked() {
    let both_send_first = |world: &Comm| {
        let other = 1 - world.rank();
        world.send(&[1u8], other, 3)?; // @first
        world.recv(&mut [0u8], other, 3).map(drop)
    };
    trial(2, false).run(both_send_first).expect("small messages are buffered");
    let words = ["ranks 0 and 1 wait for each other", &at("first")];
    fails(2, true, ErrorKind::Deadlock, &words, both_send_first);
}

// Global concurrency.

/// Two ranks reach into the part of a third in one fence; what that rank is told.
fn in_one_fence(
    checked: bool,
    one: impl for<'e> Fn(&'e Epoch<'e, 'static, u64>) -> Result<()> + Send + Sync,
    other: impl for<'e> Fn(&'e Epoch<'e, 'static, u64>) -> Result<()> + Send + Sync,
) -> Result<()> {
    let (one, other) = (&one, &other);
    trial(3, checked).run(move |world| {
        let mut window = world.window::<u64>(8)?;
        window.fence(|epoch| match world.rank() {
            0 => one(epoch),
            1 => other(epoch),
            _ => Ok(()),
        })
    })
}

#[test]
fn puts_that_meet() {
    let puts = |checked| {
        in_one_fence(
            checked,
            |epoch| epoch.put(&[1; 4], 2, 0), // @put
            |epoch| epoch.put(&[2; 2], 2, 3), // @other_put
        )
    };
    puts(false).expect("nobody compares");
    let error = puts(true).unwrap_err();
    assert_eq!((error.kind(), error.rank()), (ErrorKind::Conflict, Some(2)), "{error}");
    let text = error.to_string();
    for words in ["rank 0 puts elements 0 to 3", "rank 1 puts elements 3 to 4", &at("put"), &at("other_put")]
    {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
}

#[test]
fn a_put_that_meets_an_accumulate() {
    let error = in_one_fence(true, |e| e.put(&[1], 2, 5), |e| e.accumulate(&[1], Sum, 2, 5)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
}

#[test]
fn accumulates_with_different_operators_that_meet() {
    let error = in_one_fence(true, |e| e.accumulate(&[1], Max, 2, 5), |e| e.accumulate(&[1; 8], Prod, 2, 0));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Conflict);
    in_one_fence(true, |e| e.accumulate(&[1], Min, 2, 5), |e| e.accumulate(&[1; 8], Min, 2, 0))
        .expect("one operator");
    in_one_fence(true, |e| e.accumulate(&[1], Replace, 2, 5), |e| e.accumulate(&[1], NoOp, 2, 5))
        .expect("one that only looks");
}

#[test]
fn a_get_that_meets_a_put() {
    let error = trial(3, true).run(|world| {
        let mut window = world.window::<u64>(8)?;
        let mut got = [0; 2];
        window.fence(|epoch| match world.rank() {
            0 => epoch.get(&mut got, 1, 0),
            2 => epoch.put(&[1], 1, 1),
            _ => Ok(()),
        })
    });
    let error = error.unwrap_err();
    assert_eq!((error.kind(), error.rank()), (ErrorKind::Conflict, Some(1)), "{error}");
    assert!(error.what().contains("rank 0 gets elements 0 to 1"), "{error}");
    // In two epochs they do not meet.
    trial(3, true)
        .run(|world| {
            let mut window = world.window::<u64>(8)?;
            let (mut got, me) = ([0; 2], world.rank());
            window.fence(|epoch| if me == 2 { epoch.put(&[1], 1, 1) } else { Ok(()) })?;
            window.fence(|epoch| if me == 0 { epoch.get(&mut got, 1, 0) } else { Ok(()) })?;
            assert_eq!(got, [0, u64::from(me == 0)]);
            Ok(())
        })
        .expect("nothing meets");
}

#[test]
fn puts_that_meet_between_few_partners() {
    let words = ["post_start: rank 1 puts elements 2 to 3", "rank 0 puts element 3"];
    let run = |world: &Comm| {
        let mut window = world.window::<u64>(8)?;
        let (origins, targets): (&[usize], &[usize]) =
            if world.rank() == 2 { (&[0, 1], &[]) } else { (&[], &[2]) };
        window.post_start(origins, targets, |epoch| match world.rank() {
            0 => epoch.put(&[1], 2, 3),
            1 => epoch.put(&[1; 2], 2, 2),
            _ => Ok(()),
        })
    };
    let error = trial(3, true).run(run).unwrap_err();
    assert_eq!((error.kind(), error.rank()), (ErrorKind::Conflict, Some(2)), "{error}");
    assert!(words.iter().all(|word| error.what().contains(word)), "{error}");
    trial(3, false).run(run).expect("nobody compares");
}
