//! Latency of two ranks: a bare cache line between two threads, the Local engine, the Mpi engine and its C twin, in
//! turn in one run, so that all have the same two cores. To be started as `mpirun -n 2 --bind-to none`.
//!
//! `latency [ROUNDS] [ALTERNATIONS]`. What is compared is the median of the ratios, not of the times.

#![allow(clippy::print_stdout)]

use rankine::op::Sum;
use rankine::{Comm, Result, testing};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

unsafe extern "C" {
    fn rankine_twin_pingpong(buffer: *mut u8, bytes: i32, rounds: i32) -> f64;
    fn rankine_twin_allreduce(rounds: i32) -> f64;
}

fn main() -> std::process::ExitCode {
    let mut numbers = std::env::args().skip(1).filter_map(|text| text.parse::<usize>().ok());
    let (rounds, alternations) = (numbers.next().unwrap_or(20_000), numbers.next().unwrap_or(21));
    rankine::launch::exit(rankine::Launch::new().checked(false).run(move |world| {
        if world.size() != 2 {
            return Err(
                rankine::Error::usage(format!("{} ranks", world.size())).help("mpirun -n 2 --bind-to none")
            );
        }
        pin(world.rank()..=world.rank());
        for bytes in [8, 1024, 4096, 65_536, 1 << 20] {
            let rounds = (rounds * 8 / bytes.max(8)).clamp(200, rounds);
            compare(&world, &format!("ping-pong {bytes} B"), alternations, &|side| match side {
                Side::Bare => on_two_threads(&|me| bare(me, rounds)) / 2.0,
                Side::Local => on_two_ranks(&|comm| pingpong(comm, bytes, rounds)) / 2.0,
                Side::Mpi => pingpong(&world, bytes, rounds).map_or(f64::NAN, |t| t / 2.0),
                Side::Twin => {
                    let mut buffer = vec![0u8; bytes];
                    // SAFETY: the buffer has that many bytes, and MPI is initialised.
                    let seconds =
                        unsafe { rankine_twin_pingpong(buffer.as_mut_ptr(), bytes as i32, rounds as i32) };
                    seconds / (2 * rounds) as f64
                }
            })?;
        }
        compare(&world, "allreduce 8 B", alternations, &|side| match side {
            Side::Bare => on_two_threads(&|me| bare(me, rounds)) / 2.0,
            Side::Local => on_two_ranks(&|comm| allreduce(comm, rounds)),
            Side::Mpi => allreduce(&world, rounds).unwrap_or(f64::NAN),
            Side::Twin => {
                // SAFETY: MPI is initialised.
                let seconds = unsafe { rankine_twin_allreduce(rounds as i32) };
                seconds / rounds as f64
            }
        })
    }))
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Bare,
    Local,
    Mpi,
    Twin,
}

/// Measures the sides in turn and prints medians and ratios of neighbours in time.
fn compare(world: &Comm, what: &str, alternations: usize, measure: &dyn Fn(Side) -> f64) -> Result<()> {
    let sides = [Side::Bare, Side::Local, Side::Mpi, Side::Twin];
    let mut times = [const { Vec::new() }; 4];
    for turn in 0..=alternations {
        for (side, times) in sides.iter().zip(&mut times) {
            let seconds = match side {
                Side::Bare | Side::Local if world.rank() == 0 => measure(*side),
                Side::Bare | Side::Local => f64::NAN,
                _ => measure(*side),
            };
            // The other process leaves its core alone while this one runs two threads.
            nap_together(world)?;
            // The first turn warms up.
            if turn > 0 {
                times.push(seconds * 1e9);
            }
        }
    }
    if world.rank() == 0 {
        let ratio = |a: usize, b: usize| {
            median(times[a].iter().zip(&times[b]).map(|(a, b)| a / b).collect::<Vec<_>>())
        };
        println!(
            "{what:>18}: bare {:8.1} ns  Local {:9.1} ns  Mpi {:9.1} ns  C {:9.1} ns   \
             Local/bare {:.2}  Local/C {:.3}  Mpi/C {:.3}",
            median(times[0].clone()),
            median(times[1].clone()),
            median(times[2].clone()),
            median(times[3].clone()),
            ratio(1, 0),
            ratio(1, 3),
            ratio(2, 3),
        );
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A barrier that sleeps instead of spinning.
fn nap_together(world: &Comm) -> Result<()> {
    let other = 1 - world.rank();
    world.send(&[0u8], other, 1)?;
    while world.iprobe::<u8>(other, 1)?.is_none() {
        std::thread::sleep(Duration::from_micros(200));
    }
    world.recv(&mut [0u8], other, 1).map(drop)
}

/// Puts the current thread on one of the two first cores it may use, or on both.
fn pin(which: std::ops::RangeInclusive<usize>) {
    static ALLOWED: std::sync::OnceLock<Vec<usize>> = std::sync::OnceLock::new();
    let allowed = ALLOWED.get_or_init(|| {
        let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
        (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()
    });
    if let Some(cpus) = allowed.get(which) {
        let mut set = CpuSet::new();
        cpus.iter().for_each(|&cpu| set.set(cpu));
        // Unpinned, the figures are only noisier.
        let _ = sched_setaffinity(None, &set);
    }
}

fn on_two_threads(work: &(dyn Fn(usize) -> f64 + Sync)) -> f64 {
    std::thread::scope(|threads| {
        let other = threads.spawn(|| {
            pin(1..=1);
            work(1)
        });
        let here = threads.spawn(|| {
            pin(0..=0);
            work(0)
        });
        let _ = other.join();
        here.join().unwrap_or(f64::NAN)
    })
}

fn on_two_ranks(work: &(dyn Fn(&Comm) -> Result<f64> + Sync)) -> f64 {
    let seconds = Mutex::new(f64::NAN);
    // An engine that saw one core would give way at every wait.
    pin(0..=1);
    let ran = testing::try_ranks(2, false, |comm| {
        pin(comm.rank()..=comm.rank());
        comm.barrier()?;
        let time = work(comm)?;
        if comm.rank() == 0
            && let Ok(mut seconds) = seconds.lock()
        {
            *seconds = time;
        }
        Ok(())
    });
    pin(0..=0);
    ran.map_or(f64::NAN, |()| seconds.lock().map_or(f64::NAN, |seconds| *seconds))
}

/// Two cores, one cache line each way: nothing that carries messages can be faster.
fn bare(me: usize, rounds: usize) -> f64 {
    #[repr(align(128))]
    struct Line(AtomicU32);
    static LINES: [Line; 2] = [Line(AtomicU32::new(0)), Line(AtomicU32::new(0))];
    static START: std::sync::Barrier = std::sync::Barrier::new(2);
    LINES[me].0.store(0, Ordering::SeqCst);
    START.wait();
    let start = Instant::now();
    for i in 1..=rounds as u32 {
        if me == 0 {
            LINES[0].0.store(i, Ordering::Release);
        }
        while LINES[1 - me].0.load(Ordering::Acquire) != i {
            std::hint::spin_loop();
        }
        if me == 1 {
            LINES[1].0.store(i, Ordering::Release);
        }
    }
    let time = start.elapsed().as_secs_f64() / rounds as f64;
    START.wait();
    time
}

/// Seconds a ping-pong of `bytes`.
fn pingpong(comm: &Comm, bytes: usize, rounds: usize) -> Result<f64> {
    let mut buffer = vec![0u8; bytes];
    comm.barrier()?;
    let start = Instant::now();
    for _ in 0..rounds {
        if comm.rank() == 0 {
            comm.send(&buffer, 1, 7)?;
            comm.recv(&mut buffer, 1, 7)?;
        } else {
            comm.recv(&mut buffer, 0, 7)?;
            comm.send(&buffer, 0, 7)?;
        }
    }
    Ok(start.elapsed().as_secs_f64() / rounds as f64)
}

/// Seconds an allreduce of one number.
fn allreduce(comm: &Comm, rounds: usize) -> Result<f64> {
    comm.barrier()?;
    let start = Instant::now();
    for _ in 0..rounds {
        std::hint::black_box(comm.allreduce(std::hint::black_box(1.0), Sum)?);
    }
    Ok(start.elapsed().as_secs_f64() / rounds as f64)
}
