//! The lock-free parts of the Local engine under loom: every interleaving of two threads, within loom's bounds.
//!
//! The files are compiled here once more, with loom's types in the place of std's. What one thread can see of them is
//! tested beside them; whole programs are in `conformance`.

#![allow(dead_code, clippy::undocumented_unsafe_blocks)]

#[path = "../src/engine/local/gate.rs"]
mod gate;
#[path = "../src/engine/local/collective/notices.rs"]
mod notices;
#[path = "../src/engine/local/parker.rs"]
mod parker;
#[path = "../src/engine/local/collective/posts.rs"]
mod posts;
#[path = "../src/engine/local/ring.rs"]
mod ring;
#[path = "../src/engine/local/collective/tasks.rs"]
mod tasks;

mod sync {
    pub use loom::{
        cell::UnsafeCell,
        sync::atomic::{AtomicU32, AtomicU64, Ordering, fence},
        sync::{Mutex, MutexGuard},
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
use notices::Notices;
use parker::Parker;
use posts::{End, Posts};
use ring::Ring;
use sync::{AtomicU32, Ordering, UnsafeCell};
use tasks::Tasks;

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

/// Two ranks show each other a number, three calls in a row; what one reads the other does not write.
#[test]
fn what_ranks_show_is_seen_whole() {
    explore(3, || {
        let posts = Arc::new(Posts::new(2, || 0));
        let rank = |posts: Arc<Posts<u64>>, me: usize| {
            for number in 1..=3 {
                // SAFETY: in order, and each is seen to be shown by both before the next.
                unsafe { posts.show(me, number, |at| *at = 10 * number + me as u64) };
                while !posts.shown(1 - me, number) {
                    loom::thread::yield_now();
                }
                // SAFETY: seen to be shown.
                let theirs = unsafe { posts.value(1 - me, number, |at| *at) };
                assert_eq!(theirs, 10 * number + 1 - me as u64);
            }
        };
        let there = posts.clone();
        let other = loom::thread::spawn(move || rank(there, 1));
        rank(posts, 0);
        other.join().unwrap();
    });
}

/// A rank that withdraws what it has shown either is not found, or waits until the other has finished with its
/// buffer, which it then writes again.
#[test]
fn who_withdraws_is_not_found_or_waits() {
    explore(3, || {
        let shared = Arc::new((Posts::new(2, || ()), UnsafeCell::new(7)));
        let there = shared.clone();
        let other = loom::thread::spawn(move || {
            let (posts, buffer) = &*there;
            // SAFETY: the first call.
            unsafe { posts.show(1, 1, |()| ()) };
            if posts.shown(0, 1) {
                // What the model checks: nobody writes it now.
                buffer.with(|at| assert_eq!(unsafe { *at }, 7));
                posts.end(1, 1, true);
                // The one that withdrew made no part of our answer, and we know.
                while posts.ended(0, 1) == End::NotYet {
                    loom::thread::yield_now();
                }
                assert_eq!(posts.ended(0, 1), End::Withdrawn);
            } else {
                posts.withdraw(1, 1, |_| {
                    while posts.ended(0, 1) == End::NotYet {
                        loom::thread::yield_now();
                    }
                });
            }
        });
        let (posts, buffer) = &*shared;
        // SAFETY: the first call.
        unsafe { posts.show(0, 1, |()| ()) };
        posts.withdraw(0, 1, |other| {
            while posts.ended(other, 1) == End::NotYet {
                loom::thread::yield_now();
            }
        });
        buffer.with_mut(|at| unsafe { *at = 8 });
        other.join().unwrap();
    });
}

/// Shows numbers up to `starts`, and ends them in order once both have shown them; what is read then is whole.
fn notice_and_end(notices: &Notices<u64, 1>, me: usize, starts: &[u64], ends: &[u64]) {
    let other = 1 - me;
    for &number in starts {
        // SAFETY: in order.
        unsafe { notices.show(me, number, |at| *at = 10 * number + me as u64) };
    }
    for &number in ends {
        while !notices.shown(other, number) {
            loom::thread::yield_now();
        }
        // SAFETY: seen to be shown, and not ended yet.
        unsafe {
            assert_eq!(notices.value(other, number, |at| *at), 10 * number + other as u64);
            assert_eq!(notices.value(me, number, |at| *at), 10 * number + me as u64);
            notices.end(me, number);
        }
    }
}

/// Two ranks start one after the other in the same place, or in the queue if that is not free yet.
#[test]
fn notices_are_seen_whole_in_their_place_or_in_the_queue() {
    explore(2, || {
        let notices = Arc::new(Notices::new(2, || 0));
        let there = notices.clone();
        let other = loom::thread::spawn(move || {
            notice_and_end(&there, 1, &[1], &[1]);
            notice_and_end(&there, 1, &[2], &[2]);
        });
        notice_and_end(&notices, 0, &[1], &[1]);
        notice_and_end(&notices, 0, &[2], &[2]);
        other.join().unwrap();
    });
}

/// One has two under way at once, which the other ends from the last to the first.
#[test]
fn notices_are_ended_in_any_order() {
    explore(2, || {
        let notices = Arc::new(Notices::new(2, || 0));
        let there = notices.clone();
        let other = loom::thread::spawn(move || notice_and_end(&there, 1, &[1, 2], &[2, 1]));
        notice_and_end(&notices, 0, &[1, 2], &[1, 2]);
        other.join().unwrap();
    });
}

/// Two threads share three units; each is done once, and all is seen when it is over.
#[test]
fn every_task_is_done_once() {
    explore(3, || {
        let cell = || UnsafeCell::new(0);
        let shared = Arc::new((Tasks::new(), [cell(), cell(), cell()]));
        shared.0.lay_out(3, 2);
        let help = |shared: &(Tasks, [UnsafeCell<u32>; 3])| {
            while let Some(units) = shared.0.claim() {
                for unit in units.clone() {
                    shared.1[unit as usize].with_mut(|at| unsafe { *at += 1 });
                }
                shared.0.report(units);
            }
            while !shared.0.over() {
                loom::thread::yield_now();
            }
            for cell in &shared.1 {
                cell.with(|at| assert_eq!(unsafe { *at }, 1));
            }
        };
        let there = shared.clone();
        let other = loom::thread::spawn(move || help(&there));
        help(&shared);
        other.join().unwrap();
    });
}
