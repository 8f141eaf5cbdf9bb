//! Random programs whose answer is known, from a seed that every rank has.

use super::dice::Dice;
use rankine::op::Sum;
use rankine::{ANY_SOURCE, Comm, Result};

/// Random matched messages of random lengths; receives are posted before, between and after the sends.
pub fn random_traffic(world: &Comm) -> Result<()> {
    let mut dice = Dice::new(42 + world.size() as u64);
    for round in 0..30 {
        let messages: Vec<(usize, usize, usize, i32)> = (0..dice.below(12) + 1)
            .map(|_| {
                let length = [0, 1, 4, 5, 100, 5000, 40_000][dice.below(7)];
                (dice.below(world.size()), dice.below(world.size()), length, dice.below(3) as i32)
            })
            .collect();
        let early = dice.below(2) == 0;
        let content = |index: usize, i: usize| (round * 1000 + index * 17 + i) as u32;
        let mut receives = Vec::new();
        let mut sends = Vec::new();
        let post = |receives: &mut Vec<_>| -> Result<()> {
            for (index, &(from, to, length, tag)) in messages.iter().enumerate() {
                if to == world.rank() {
                    receives.push((index, world.irecv_owned(Vec::<u32>::with_capacity(length), from, tag)?));
                }
            }
            Ok(())
        };
        if early {
            post(&mut receives)?;
        }
        for (index, &(from, to, length, tag)) in messages.iter().enumerate() {
            if from == world.rank() {
                let data = (0..length).map(|i| content(index, i)).collect();
                sends.push(world.isend_owned(data, to, tag)?);
            }
        }
        if !early {
            post(&mut receives)?;
        }
        // Messages of one pair and tag keep their order, so each receive gets the message of its own index.
        for (index, receive) in receives {
            let (data, status) = receive.wait()?;
            assert_eq!((status.source, status.len), (messages[index].0, messages[index].2));
            assert!(data.iter().enumerate().all(|(i, &x)| x == content(index, i)));
        }
        sends.into_iter().try_for_each(|send| send.wait().map(drop))?;
    }
    Ok(())
}

/// Random collectives of random lengths on random communicators.
pub fn random_collectives(world: &Comm) -> Result<()> {
    let mut dice = Dice::new(7 * world.size() as u64);
    let comms = [world.dup()?, world.dup()?];
    for _ in 0..200 {
        let comm = &comms[dice.below(2)];
        let (len, root) = ([1, 3, 8, 9, 600, 4000][dice.below(6)], dice.below(comm.size()));
        let n = comm.size() as u64;
        match dice.below(5) {
            0 => comm.barrier()?,
            1 => {
                let mut data = vec![if comm.rank() == root { 5u64 } else { 0 }; len];
                comm.bcast(&mut data, root)?;
                assert!(data.iter().all(|&x| x == 5));
            }
            2 => {
                let mut data = vec![comm.rank() as u64; len];
                comm.allreduce_in_place(&mut data, Sum)?;
                assert!(data.iter().all(|&x| x == n * (n - 1) / 2));
            }
            3 => {
                let all = comm.allgather(&vec![comm.rank(); len])?;
                assert!(all.iter().enumerate().all(|(i, &x)| x == i / len));
            }
            _ => {
                let mut sum = vec![0; len];
                comm.reduce_into(&vec![1u64; len], &mut sum, Sum, root)?;
                assert!(comm.rank() != root || sum.iter().all(|&x| x == n));
            }
        }
    }
    Ok(())
}

/// Every rank sends to rank 0 at once, which takes from anybody, and answers each.
pub fn hammer_one_receiver(world: &Comm) -> Result<()> {
    const N: usize = 300;
    if world.rank() == 0 {
        let mut got = vec![0usize; 3000];
        for _ in 0..N * (world.size() - 1) {
            let status = world.recv(&mut got, ANY_SOURCE, 1)?;
            world.send(&[got[0] + 1], status.source, 2)?;
        }
    } else {
        for i in 0..N {
            let len = [1, 20, 3000][i % 3];
            world.send(&vec![i; len], 0, 1)?;
            let mut answer = [0];
            world.recv(&mut answer, 0, 2)?;
            assert_eq!(answer[0], i + 1);
        }
    }
    Ok(())
}

/// Blocking messages of middling size back and forth: each sender's patience runs out now and then, just as its receiver
/// takes the letter. Whatever wins, the buffer is the sender's again when it returns.
pub fn patience_races_with_the_receiver(world: &Comm) -> Result<()> {
    if world.rank() > 1 {
        return Ok(());
    }
    let other = 1 - world.rank();
    for round in 0..3000usize {
        let len = [40, 1024, 4096][round % 3];
        let mut buffer = vec![round as u8; len];
        if world.rank() == 0 {
            world.send(&buffer, other, 7)?;
            buffer.fill(0xee);
            world.recv(&mut buffer, other, 7)?;
            assert!(buffer.iter().all(|&byte| byte == !(round as u8)));
        } else {
            world.recv(&mut buffer, other, 7)?;
            assert!(buffer.iter().all(|&byte| byte == round as u8));
            // A pause of random length, now and then longer than the sender waits.
            for _ in 0..(round * 7919) % 400 {
                std::hint::spin_loop();
            }
            buffer.fill(!(round as u8));
            world.send(&buffer, other, 7)?;
            buffer.fill(0xdd);
        }
    }
    Ok(())
}
