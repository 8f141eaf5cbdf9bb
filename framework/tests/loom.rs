//! The lock-free parts of the Local engine under loom: every interleaving of two threads, within loom's bounds.
//!
//! The files are compiled here once more, with loom's types in the place of std's. What one thread can see of them is
//! tested beside them; whole programs are in `conformance`.

#![allow(dead_code, clippy::undocumented_unsafe_blocks)]

#[path = "../src/engine/local/gate.rs"]
mod gate;
#[path = "../src/engine/local/parker.rs"]
mod parker;
#[path = "../src/engine/local/ring.rs"]
mod ring;

mod sync {
    pub use loom::{
        cell::UnsafeCell,
        sync::atomic::{AtomicU32, AtomicU64, Ordering, fence},
        thread::{self, Thread},
    };

    // What `asymmetric` is equivalent to.
    pub fn light_fence() {
        fence(Ordering::SeqCst);
    }
    pub fn heavy_fence() {
        fence(Ordering::SeqCst);
    }

    pub struct Padded<T>(pub T);

    impl<T> std::ops::Deref for Padded<T> {
        type Target = T;
        fn deref(&self) -> &T {
            &self.0
        }
    }
}

use gate::Gate;
use loom::sync::Arc;
use parker::Parker;
use ring::Ring;
use sync::{AtomicU32, Ordering, UnsafeCell};

/// Explores with at most so many preemptions; loom's authors found two or three to catch nearly everything.
fn explore(preemptions: usize, program: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(program);
}

#[test]
fn order_and_no_race_over_a_full_ring() {
    explore(3, || {
        let ring = Arc::new(Ring::new(2));
        let there = ring.clone();
        let producer = loom::thread::spawn(move || {
            for i in 0..3 {
                let mut letter = i;
                // SAFETY: the only producer.
                while let Err(back) = unsafe { there.push(letter) } {
                    letter = back;
                    loom::thread::yield_now();
                }
            }
        });
        for i in 0..3 {
            while !ring.ready() {
                loom::thread::yield_now();
            }
            // SAFETY: the only consumer.
            assert_eq!(unsafe { ring.pop() }, Some(i));
        }
        producer.join().unwrap();
    });
}

#[test]
fn no_wake_is_lost() {
    explore(3, || {
        let shared = Arc::new((Parker::new(), AtomicU32::new(0)));
        shared.0.enter();
        let there = shared.clone();
        let waker = loom::thread::spawn(move || {
            there.1.store(1, Ordering::Release);
            there.0.wake();
        });
        let ready = || shared.1.load(Ordering::Acquire) == 1;
        while !ready() {
            // A lost wake would leave this thread parked for ever, which loom reports as a deadlock.
            shared.0.park(ready);
        }
        waker.join().unwrap();
    });
}

/// Two ranks add up what both brought, three meetings in a row, with cells by parity as `collective` uses them.
#[test]
fn what_ranks_bring_is_seen_by_all() {
    explore(3, || {
        struct Shared {
            gate: Gate,
            brought: [[UnsafeCell<u32>; 2]; 2],
            sum: [UnsafeCell<u32>; 2],
        }
        let cell = || UnsafeCell::new(0);
        let shared = Arc::new(Shared {
            gate: Gate::new(2),
            brought: [[cell(), cell()], [cell(), cell()]],
            sum: [cell(), cell()],
        });
        let rank = |shared: Arc<Shared>, me: usize| {
            for round in 0..3 {
                let epoch = shared.gate.epoch();
                let parity = (epoch & 1) as usize;
                // SAFETY (and what the model checks): nobody else is at these cells now.
                shared.brought[parity][me].with_mut(|v| unsafe { *v = round + me as u32 });
                let last = shared.gate.arrive(|| {
                    let sum = (0..2).map(|r| shared.brought[parity][r].with(|v| unsafe { *v })).sum();
                    shared.sum[parity].with_mut(|v| unsafe { *v = sum });
                });
                while !last && shared.gate.epoch() == epoch {
                    loom::thread::yield_now();
                }
                shared.sum[parity].with(|v| assert_eq!(unsafe { *v }, 2 * round + 1));
            }
        };
        let there = shared.clone();
        let other = loom::thread::spawn(move || rank(there, 1));
        rank(shared, 0);
        other.join().unwrap();
    });
}

/// A rank that leaves before the meeting takes no part in it; one that cannot leave gets through.
#[test]
fn leaving_or_meeting_but_not_both() {
    explore(3, || {
        let gate = Arc::new(Gate::new(2));
        let there = gate.clone();
        let other = loom::thread::spawn(move || {
            let epoch = there.epoch();
            !there.arrive(|| ()) && there.leave(epoch)
        });
        let epoch = gate.epoch();
        let left = !gate.arrive(|| ()) && gate.leave(epoch);
        let other_left = other.join().unwrap();
        let met = gate.epoch() == epoch + 1;
        assert_eq!(met, !left || !other_left);
    });
}
