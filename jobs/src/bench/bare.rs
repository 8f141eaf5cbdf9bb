//! The machine without messages: what two threads need for a cache line, or for a flag and one copy.
//!
//! Nothing that carries messages can be faster; it is the measure of the Local engine.

use super::pages;
use super::pinning::pin;
use rankine::Result;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};
use std::time::Instant;

#[repr(align(128))]
#[derive(Default)]
struct Line(AtomicU32);

/// Seconds a message of `bytes` from one thread to the other, one way, going to and fro.
///
/// # Errors
/// No memory.
pub fn message(bytes: usize, rounds: usize) -> Result<f64> {
    pages::with(bytes, |a| {
        pages::with(bytes, |b| {
            let (turns, start) = ([Line::default(), Line::default()], Barrier::new(2));
            let (sends, recvs) = ([&a.send[..bytes], &b.send[..bytes]], [&mut a.recv, &mut b.recv]);
            let seconds = Mutex::new(f64::NAN);
            std::thread::scope(|threads| {
                for (me, recv) in recvs.into_iter().enumerate() {
                    let (turns, start, seconds) = (&turns, &start, &seconds);
                    threads.spawn(move || {
                        pin(me, 2);
                        start.wait();
                        let time = pingpong(turns, me, sends[1 - me], &mut recv[..bytes], rounds);
                        if me == 0 {
                            *seconds.lock().unwrap_or_else(PoisonError::into_inner) = time;
                        }
                    });
                }
            });
            let total = seconds.into_inner().unwrap_or_else(PoisonError::into_inner);
            Ok(total / (2 * rounds) as f64)
        })
    })
}

fn pingpong(turns: &[Line; 2], me: usize, theirs: &[u8], mine: &mut [u8], rounds: usize) -> f64 {
    let start = Instant::now();
    for round in 1..=rounds as u32 {
        for leg in 0..2 {
            if leg == me {
                turns[me].0.store(round, Ordering::Release);
                continue;
            }
            while turns[1 - me].0.load(Ordering::Acquire) != round {
                std::hint::spin_loop();
            }
            // What a cache line holds beside the flag comes with it.
            if mine.len() > 56 {
                mine.copy_from_slice(theirs);
            }
        }
    }
    start.elapsed().as_secs_f64()
}

/// Seconds until two threads know that both are there: the barrier of one flag each.
pub fn barrier(rounds: usize) -> f64 {
    let (flags, start) = ([Line::default(), Line::default()], Barrier::new(2));
    let seconds = Mutex::new(f64::NAN);
    std::thread::scope(|threads| {
        for me in 0..2 {
            let (flags, start, seconds) = (&flags, &start, &seconds);
            threads.spawn(move || {
                pin(me, 2);
                start.wait();
                let begun = Instant::now();
                for round in 1..=rounds as u32 {
                    flags[me].0.store(round, Ordering::Release);
                    while flags[1 - me].0.load(Ordering::Acquire) < round {
                        std::hint::spin_loop();
                    }
                }
                if me == 0 {
                    *seconds.lock().unwrap_or_else(PoisonError::into_inner) = begun.elapsed().as_secs_f64();
                }
            });
        }
    });
    seconds.into_inner().unwrap_or_else(PoisonError::into_inner) / rounds as f64
}
