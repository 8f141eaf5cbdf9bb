//! What a job warns of at its end, and what not.

use rankine::testing::Trial;
use rankine::{ANY_SOURCE, Comm, Result};

/// The warnings of ranks that all return well.
fn warned(ranks: usize, checked: bool, run: fn(&Comm) -> Result<()>) -> Vec<String> {
    let mut warnings = Vec::new();
    Trial::new(ranks).checked(checked).run_and_warn(&mut warnings, run).unwrap();
    warnings
}

#[test]
fn a_send_that_failed_is_no_message() {
    let said = warned(2, true, |world| {
        if world.rank() == 0 {
            // Nobody waits for it, and the ready mode says so.
            assert!(world.rsend(&[1.0], 1, 7).is_err());
        }
        world.barrier()
    });
    assert_eq!(said, [""; 0]);
}

#[test]
fn whatever_was_received_is_not_warned_of() {
    for checked in [false, true] {
        let said = warned(3, checked, |world| {
            let (me, n) = (world.rank(), world.size());
            let send = world.isend_owned(vec![me], (me + 1) % n, 1)?;
            world.recv(&mut [0usize], ANY_SOURCE, 1)?;
            send.wait()?;
            let send = world.isend_owned(vec![me; 100], (me + 1) % n, 2)?;
            drop(world.mprobe::<usize>(ANY_SOURCE, 2)?);
            send.wait()?;
            // Taken back: neither is it a message, nor does a later one seem lost.
            let receive = world.irecv_owned(vec![0u8; 1], (me + 1) % n, 3)?;
            receive.cancel()?;
            world.barrier()?;
            let send = world.isend_owned(vec![1u8], (me + n - 1) % n, 3)?;
            world.recv(&mut [0u8], (me + 1) % n, 3)?;
            send.wait()?;
            world.barrier()
        });
        assert_eq!(said, [""; 0], "checked: {checked}");
    }
}

#[test]
fn messages_that_nobody_takes_are_counted() {
    let said = warned(3, false, |world| {
        if world.rank() == 2 {
            world.send(&[1, 2, 3], 0, 5)?;
            world.send(&[4], 0, 5)?;
        }
        world.barrier()
    });
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("rank 0 has never received 2 messages from rank 2, tag 5 ("), "{said:?}");
}

#[test]
fn forgotten_handles_are_named() {
    let said = warned(2, false, |world| {
        if world.rank() == 1 {
            std::mem::forget(world.irecv_owned(vec![0.0; 1], 0, 9)?);
        }
        let window = world.window::<u8>(1)?;
        if world.rank() == 0 {
            std::mem::forget(window);
        }
        world.barrier()
    });
    let requests: Vec<_> = said.iter().filter(|line| line.contains("a request")).collect();
    assert!(requests.len() == 1 && requests[0].starts_with("rank 1 has never ended a request ("), "{said:?}");
    let windows: Vec<_> = said.iter().filter(|line| line.contains("a window")).collect();
    assert!(windows.len() == 1 && windows[0].starts_with("rank 0 has never ended a window ("), "{said:?}");
}
