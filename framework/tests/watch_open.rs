//! The watch, where receives with a wildcard or collective calls are open: found by random programs.

use rankine::testing::Trial;
use rankine::{ANY_SOURCE, ANY_TAG, Comm, ErrorKind, Result};
use std::time::Duration;

fn report(ranks: usize, run: fn(&Comm) -> Result<()>) -> String {
    let trial = Trial::new(ranks).checked(false).patience(Duration::from_millis(50));
    let error = trial.run(run).expect_err("it hangs");
    assert!(matches!(error.kind(), ErrorKind::Deadlock | ErrorKind::Mismatch), "{error}");
    error.what().to_string()
}

#[test]
fn a_probe_for_what_an_open_receive_has_taken() {
    let text = report(2, |world| {
        if world.rank() == 1 {
            return world.send(&[1u8], 0, 3);
        }
        let open = world.irecv_owned(Vec::<u8>::with_capacity(1), ANY_SOURCE, ANY_TAG)?;
        world.probe::<u8>(ANY_SOURCE, ANY_TAG)?;
        open.wait().map(drop)
    });
    assert!(text.contains("rank 0  probe u8 from any rank, any tag"), "{text}");
}

#[test]
fn a_receive_of_what_an_open_one_has_taken() {
    let text = report(2, |world| {
        if world.rank() == 1 {
            return world.send(&[1u8], 0, 3);
        }
        let open = world.irecv_owned(Vec::<u8>::with_capacity(1), 1, ANY_TAG)?;
        world.recv(&mut [0u8], 1, 3)?;
        open.wait().map(drop)
    });
    assert!(text.contains("rank 0  recv u8 from 1, tag 3"), "{text}");
}

#[test]
fn an_open_receive_takes_one_message_only() {
    let text = report(2, |world| {
        let other = 1 - world.rank();
        if world.rank() == 0 {
            let open = world.irecv_owned(Vec::<u8>::with_capacity(1), ANY_SOURCE, ANY_TAG)?;
            world.recv(&mut [0u8], other, 9)?;
            return open.wait().map(drop);
        }
        world.ssend(&[1u8], other, 3)?;
        world.ssend(&[1u8], other, 3)
    });
    assert!(text.contains("rank 1  ssend u8 to 0, tag 3"), "{text}");
}

#[test]
fn a_blocking_call_is_not_the_one_that_was_started_for_later() {
    let text = report(3, |world| {
        if world.rank() == 2 {
            return world.barrier();
        }
        world.ibarrier_owned()?.wait()?;
        world.barrier()
    });
    assert!(text.contains("rank 2") && text.contains("wait for barrier #1"), "{text}");
}

#[test]
fn what_an_open_receive_has_taken_is_not_taken_by_one_started_later() {
    // The first takes tag 1, so the second goes empty for a while and the third finds tag 2.
    for _ in 0..300 {
        let trial = Trial::new(2).checked(false).patience(Duration::ZERO);
        let ran = trial.run(|world| {
            if world.rank() == 1 {
                world.send(&[1u8], 0, 1)?;
                world.send(&[2u8], 0, 2)?;
                world.recv(&mut [0u8], 0, 5)?;
                return world.send(&[3u8], 0, 1);
            }
            let room = || Vec::<u8>::with_capacity(1);
            let any = world.irecv_owned(room(), 1, ANY_TAG)?;
            let exact = world.irecv_owned(room(), 1, 1)?;
            world.recv(&mut [0u8], 1, ANY_TAG)?;
            world.send(&[0u8], 1, 5)?;
            exact.wait()?;
            any.wait().map(drop)
        });
        ran.expect("it is correct");
    }
}

#[test]
fn who_returns_after_the_look_is_noticed_before_the_next_one() {
    let start = std::time::Instant::now();
    let text = report(2, |world| {
        if world.rank() == 1 {
            // Longer than the patience: the first look finds it computing.
            std::thread::sleep(Duration::from_millis(500));
            return Ok(());
        }
        world.recv(&mut [0u8], 1, 3).map(drop)
    });
    assert!(text.contains("rank 0  recv u8 from 1, tag 3"), "{text}");
    // Looks without a reason come every 20 seconds.
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
}
