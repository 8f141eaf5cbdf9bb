//! Programs that hang: each the smallest of its kind.
//!
//! A comment `@name` marks a line that a report should name.

use rankine::window::Lock;
use rankine::{ANY_SOURCE, ANY_TAG, Comm, Result};
use std::time::{Duration, Instant};

/// A program and the numbers of ranks it hangs with.
pub struct Case {
    pub name: &'static str,
    pub ranks: &'static [usize],
    /// Whether sends wait for their receives.
    pub checked: bool,
    pub run: fn(&Comm) -> Result<()>,
}

/// A program that ends well, and leaves something behind.
pub const LEFT_BEHIND: Case = Case { name: "left_behind", ranks: &[2], checked: false, run: left_behind };

macro_rules! cases {
    ($($name:ident($($ranks:literal),+; $checked:ident);)*) => {
        pub const CASES: &[Case] = &[$(Case {
            name: stringify!($name),
            ranks: &[$($ranks),+],
            checked: stringify!($checked).len() == "checked".len(),
            run: $name,
        }),*];
    };
}

cases! {
    receives_first(2; unchecked);
    ring_of_receives(3, 7; unchecked);
    synchronous_sends(2; unchecked);
    large_sends(2; unchecked);
    small_sends(2, 4; checked);
    a_send_and_a_barrier(2; unchecked);
    a_receive_and_a_barrier(4; unchecked);
    any_source_of_nobody(3; unchecked);
    wait_all_of_two(3; unchecked);
    wait_any_of_two(3; unchecked);
    a_probe(2; unchecked);
    a_matched_probe(2; unchecked);
    a_plan(2; unchecked);
    a_nonblocking_collective(3; unchecked);
    neighbors(4; unchecked);
    locks_crosswise(2; unchecked);
    a_post_without_a_start(2; unchecked);
    two_while_others_compute(4; unchecked);
    a_rank_that_returned(3; unchecked);
    another_tag(2; unchecked);
    another_communicator(2; unchecked);
    communicators_crosswise(2; unchecked);
    inside_a_half(4; unchecked);
    from_itself(1, 2; unchecked);
    a_group_without_a_member(3; unchecked);
    values(2; unchecked);
    a_scope(2; unchecked);
    a_split_without_a_rank(3; unchecked);
    sparse_without_a_rank(3; unchecked);
    a_window_without_a_rank(2; unchecked);
}

fn receives_first(world: &Comm) -> Result<()> {
    let other = 1 - world.rank();
    let mut theirs = [0.0];
    world.recv(&mut theirs, other, 7)?; // @recv
    world.send(&[1.0], other, 7)
}

fn ring_of_receives(world: &Comm) -> Result<()> {
    let (n, me) = (world.size(), world.rank());
    let mut token = [0u32];
    world.recv(&mut token, (me + n - 1) % n, 1)?; // @recv
    world.send(&token, (me + 1) % n, 1)
}

fn synchronous_sends(world: &Comm) -> Result<()> {
    let other = 1 - world.rank();
    world.ssend(&[1i32], other, 3)?; // @ssend
    world.recv(&mut [0i32], other, 3).map(drop)
}

fn large_sends(world: &Comm) -> Result<()> {
    let other = 1 - world.rank();
    let mut data = vec![world.rank() as f64; 1 << 20];
    world.send(&data, other, 3)?; // @send
    world.recv(&mut data, other, 3).map(drop)
}

fn small_sends(world: &Comm) -> Result<()> {
    let other = world.rank() ^ 1;
    world.send(&[1u8], other, 3)?; // @send
    world.recv(&mut [0u8], other, 3).map(drop)
}

fn a_send_and_a_barrier(world: &Comm) -> Result<()> {
    if world.rank() == 0 {
        world.ssend(&[1.0f32], 1, 5)?; // @ssend
        world.barrier()
    } else {
        world.barrier()?; // @barrier
        world.recv(&mut [0.0f32], 0, 5).map(drop)
    }
}

fn a_receive_and_a_barrier(world: &Comm) -> Result<()> {
    if world.rank() == 3 {
        world.recv(&mut [0.0], 0, 9)?; // @recv
    }
    world.barrier()?; // @barrier
    if world.rank() == 0 { world.send(&[1.0], 3, 9) } else { Ok(()) }
}

fn any_source_of_nobody(world: &Comm) -> Result<()> {
    if world.rank() == 0 {
        let mut data = [0i64; 4];
        world.recv(&mut data, ANY_SOURCE, ANY_TAG)?; // @recv
    }
    world.barrier() // @barrier
}

fn wait_all_of_two(world: &Comm) -> Result<()> {
    if world.rank() == 0 {
        let one = world.irecv_owned(Vec::<u16>::with_capacity(1), 1, 1)?; // @one
        let two = world.irecv_owned(Vec::<u16>::with_capacity(1), 2, 1)?; // @two
        rankine::wait_all([one, two])?; // @wait
    }
    if world.rank() == 1 {
        world.send(&[1u16], 0, 1)?;
    }
    world.barrier() // @barrier
}

fn wait_any_of_two(world: &Comm) -> Result<()> {
    if world.rank() == 0 {
        let mut requests = rankine::Requests::new();
        requests.push(world.irecv_owned(Vec::<u16>::with_capacity(1), 1, 1)?); // @one
        requests.push(world.irecv_owned(Vec::<u16>::with_capacity(1), 2, 1)?); // @two
        requests.wait_any()?; // @wait
    }
    world.barrier() // @barrier
}

fn a_probe(world: &Comm) -> Result<()> {
    let other = 1 - world.rank();
    world.probe::<f64>(other, 2)?; // @probe
    world.send(&[1.0], other, 2)
}

fn a_matched_probe(world: &Comm) -> Result<()> {
    let other = 1 - world.rank();
    drop(world.mprobe::<f64>(other, ANY_TAG)?); // @mprobe
    world.send(&[1.0], other, 2)
}

fn a_plan(world: &Comm) -> Result<()> {
    let other = 1 - world.rank();
    let mut plan = world.plan_recv(vec![0.0], other, 2)?;
    plan.start()?; // @start
    plan.wait()?; // @wait
    world.send(&[1.0], other, 2)
}

fn a_nonblocking_collective(world: &Comm) -> Result<()> {
    if world.rank() == 2 {
        return world.recv(&mut [0u8], 0, 1).map(drop); // @recv
    }
    let sum = world.iallreduce_owned(vec![1.0], rankine::op::Sum)?; // @start
    sum.wait().map(drop) // @wait
}

fn neighbors(world: &Comm) -> Result<()> {
    let ring = world.cart(&[world.size()], &[true])?.expect("all ranks are in it");
    if ring.rank() == 0 {
        ring.recv(&mut [0], 1, 1)?; // @recv
    }
    ring.neighbor_allgather(&[ring.rank()]).map(drop) // @neighbor
}

fn locks_crosswise(world: &Comm) -> Result<()> {
    let mut window = world.window::<u64>(1)?;
    let (me, other) = (world.rank(), 1 - world.rank());
    window.share(|shared| {
        shared.lock(me, Lock::Exclusive, |_| {
            world.barrier()?;
            shared.lock(other, Lock::Exclusive, |_| Ok(())) // @lock
        })
    })
}

fn a_post_without_a_start(world: &Comm) -> Result<()> {
    let mut window = world.window::<u64>(1)?;
    let other = 1 - world.rank();
    if world.rank() == 0 {
        window.post_start(&[other], &[other], |epoch| epoch.put(&[1], other, 0))?; // @post
    }
    world.barrier() // @barrier
}

fn two_while_others_compute(world: &Comm) -> Result<()> {
    if world.rank() < 2 {
        return receives_first(world);
    }
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(5));
        world.iprobe::<u8>(ANY_SOURCE, 77)?;
    }
    Ok(())
}

fn a_rank_that_returned(world: &Comm) -> Result<()> {
    if world.rank() == 1 {
        return Ok(());
    }
    if world.rank() == 0 {
        world.recv(&mut [0.0], 1, 7)?; // @recv
    }
    world.barrier() // @barrier
}

fn another_tag(world: &Comm) -> Result<()> {
    if world.rank() == 0 {
        world.send(&[1.0], 1, 8)?; // @send
        world.recv(&mut [0.0], 1, 1)?; // @answer
    } else {
        world.recv(&mut [0.0], 0, 9)?; // @recv
        world.send(&[1.0], 0, 1)?;
    }
    Ok(())
}

fn another_communicator(world: &Comm) -> Result<()> {
    let twin = world.dup()?;
    if world.rank() == 0 {
        twin.send(&[1.0], 1, 8)?; // @send
        world.recv(&mut [0.0], 1, 1)?; // @answer
    } else {
        world.recv(&mut [0.0], 0, 8)?; // @recv
        world.send(&[1.0], 0, 1)?;
    }
    Ok(())
}

fn communicators_crosswise(world: &Comm) -> Result<()> {
    let twin = world.dup()?;
    if world.rank() == 0 {
        world.barrier()?; // @world
        twin.barrier()
    } else {
        twin.barrier()?; // @twin
        world.barrier()
    }
}

fn inside_a_half(world: &Comm) -> Result<()> {
    let half = world.split(Some((world.rank() % 2) as u32), 0)?.expect("every rank has a colour");
    if world.rank() % 2 == 1 {
        half.recv(&mut [0u64], 1 - half.rank(), 4)?; // @recv
    }
    world.barrier() // @barrier
}

fn from_itself(world: &Comm) -> Result<()> {
    let me = world.rank();
    world.recv(&mut [0u8], me, 4).map(drop) // @recv
}

fn a_group_without_a_member(world: &Comm) -> Result<()> {
    let all = world.group()?;
    if world.rank() == 2 {
        return world.recv(&mut [0u8], 0, 4).map(drop); // @recv
    }
    let part = world.create_group(&all, 3)?; // @create
    part.barrier()?; // @barrier
    world.send(&[0u8], 2, 4)
}

fn values(world: &Comm) -> Result<()> {
    let other = 1 - world.rank();
    let (text, _) = world.recv_value::<String>(other, 6)?; // @recv
    world.send_value(&text, other, 6)
}

fn a_scope(world: &Comm) -> Result<()> {
    let other = 1 - world.rank();
    let mut ghost = [0.0];
    world.scope(|s| s.irecv(&mut ghost, other, 6).map(drop))?; // @scope
    world.send(&ghost, other, 6)
}

fn a_split_without_a_rank(world: &Comm) -> Result<()> {
    if world.rank() == 1 {
        world.recv(&mut [0u8], 0, 4)?; // @recv
    }
    world.split(Some(0), 0).map(drop)?; // @split
    if world.rank() == 0 { world.send(&[1u8], 1, 4) } else { Ok(()) }
}

fn sparse_without_a_rank(world: &Comm) -> Result<()> {
    if world.rank() == 1 {
        world.recv(&mut [0u8], 0, 4)?; // @recv
    }
    world.exchange_sparse(vec![(2, vec![1u8])]).map(drop)?; // @sparse
    if world.rank() == 0 { world.send(&[1u8], 1, 4) } else { Ok(()) }
}

fn a_window_without_a_rank(world: &Comm) -> Result<()> {
    let mut window = world.window::<u64>(1)?;
    if world.rank() == 1 {
        world.recv(&mut [0u8], 0, 4)?; // @recv
    }
    window.fence(|_| Ok(()))?; // @fence
    if world.rank() == 0 { world.send(&[1u8], 1, 4) } else { Ok(()) }
}

fn left_behind(world: &Comm) -> Result<()> {
    // So long that every process has called the hub: of one that has not, nothing is known at the end.
    std::thread::sleep(Duration::from_millis(500));
    let twin = world.dup()?; // @dup
    let window = world.window::<u64>(1)?; // @window
    if world.rank() == 0 {
        twin.send(&[1.0], 1, 8)?; // @send
        let request = world.irecv_owned(Vec::<u8>::with_capacity(1), 1, 1)?; // @irecv
        std::mem::forget((twin, window, request));
    }
    Ok(())
}
