//! Sparse exchange: who is sent to, and only they, hear of it.

use super::dice::Dice;
use rankine::{ANY_SOURCE, ANY_TAG, Comm, ErrorKind, Result};

type Message = (usize, Vec<u32>);

/// What every rank sends, as every rank knows it; against what arrives.
fn exchanged(world: &Comm, from: &dyn Fn(usize) -> Vec<Message>) -> Result<()> {
    let me = world.rank();
    let expected: Vec<Message> = (0..world.size())
        .flat_map(|source| from(source).into_iter().map(move |message| (source, message)))
        .filter(|(_, (dest, _))| *dest == me)
        .map(|(source, (_, data))| (source, data))
        .collect();
    assert_eq!(world.exchange_sparse(from(me))?, expected);
    Ok(())
}

pub fn patterns(world: &Comm) -> Result<()> {
    let size = world.size();
    // The author's wildcard receive meets none of it.
    let posted = world.irecv_owned(Vec::<u32>::with_capacity(1), ANY_SOURCE, ANY_TAG)?;
    exchanged(world, &|_| vec![])?;
    exchanged(world, &|rank| vec![(rank, vec![rank as u32; 3])])?;
    exchanged(world, &|rank| vec![(0, vec![rank as u32; rank * 1000])])?;
    exchanged(world, &|rank| (0..size).map(|dest| (dest, vec![rank as u32])).collect())?;
    exchanged(world, &|rank| {
        if rank == size - 1 { vec![(0, vec![]), (0, vec![1]), (0, vec![])] } else { vec![] }
    })?;
    let send = world.isend_owned(vec![5u32], (world.rank() + 1) % size, 0)?;
    assert_eq!(posted.wait()?.0, [5]);
    send.wait().map(drop)
}

/// Exchanges that follow each other at once, of ranks that are ahead and behind, do not mix.
pub fn random_graphs_one_after_the_other(world: &Comm) -> Result<()> {
    let size = world.size();
    for round in 0..60 {
        exchanged(world, &|rank| {
            let mut dice = Dice::new((round * 1009 + rank * 17) as u64);
            dice.below(2);
            (0..dice.below(2 * size + 1))
                .map(|_| {
                    let len = [0, 1, 8, 200, 9000][dice.below(5)];
                    (dice.below(size), vec![(round * 100 + rank) as u32; len])
                })
                .collect()
        })?;
    }
    Ok(())
}

/// A rank that names one that is not there gets an error; the exchange of the others is whole.
pub fn a_rank_that_errs_is_alone(world: &Comm) -> Result<()> {
    let (me, size) = (world.rank(), world.size());
    let dest = if me == 0 { size } else { me - 1 };
    let result = world.exchange_sparse(vec![(dest, vec![me as u8])]);
    let heard = if me + 1 < size { vec![(me + 1, vec![me as u8 + 1])] } else { vec![] };
    match me {
        0 => {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().contains("sparse.rs:"), "{error}");
        }
        _ => assert_eq!(result?, heard),
    }
    exchanged(world, &|rank| vec![((rank + 1) % size, vec![7])])
}

/// Slices of one buffer, some to oneself and some to one rank twice, beside ranks that send vectors.
pub fn slices_from_anywhere(world: &Comm) -> Result<()> {
    let (me, size) = (world.rank(), world.size());
    for len in [0, 1, 3000] {
        let whole = |rank: usize| (0..4 * len as u32).map(|i| i + 7 * rank as u32).collect::<Vec<_>>();
        let part = |rank: usize, part: usize| whole(rank)[part * len..(part + 1) * len].to_vec();
        let dests = |rank: usize| [0, (rank + 1) % size, rank, 0];
        let mine = whole(me);
        let got = match me % 2 {
            0 => world
                .exchange_sparse_slices(dests(me).into_iter().zip(mine.chunks_exact(len.max(1))).take(4))?,
            _ if len == 0 => world.exchange_sparse::<u32>(vec![])?,
            _ => world
                .exchange_sparse(dests(me).into_iter().zip(0..4).map(|(d, i)| (d, part(me, i))).collect())?,
        };
        let expected: Vec<Message> = (0..if len == 0 { 0 } else { size })
            .flat_map(|source| (0..4).map(move |i| (source, i)))
            .filter(|&(source, i)| dests(source)[i] == me)
            .map(|(source, i)| (source, part(source, i)))
            .collect();
        assert_eq!(got, expected);
    }
    let nothing: [u32; 0] = [];
    let got = world.exchange_sparse_slices([(0, &nothing[..])])?;
    assert_eq!(got.len(), if me == 0 { size } else { 0 });
    // One that names a rank that is not there sends nothing, and hears the others.
    let dest = if me == 0 { size } else { 0 };
    let result = world.exchange_sparse_slices([(dest, &[me as u8][..])]);
    match me {
        0 => assert!(result.is_err_and(|error| error.to_string().contains("sparse.rs:"))),
        _ => assert_eq!(result?, []),
    }
    exchanged(world, &|rank| vec![((rank + 1) % size, vec![7])])
}

pub fn sparse_values(world: &Comm) -> Result<()> {
    let (me, size) = (world.rank(), world.size());
    let text = |rank: usize| "x".repeat(rank * 50);
    let got = world.exchange_sparse_values(vec![((me + 1) % size, text(me)), (0, "to 0".to_string())])?;
    let previous = (me + size - 1) % size;
    let mut expected = Vec::new();
    for source in 0..size {
        if source == previous {
            expected.push((source, text(source)));
        }
        if me == 0 {
            expected.push((source, "to 0".to_string()));
        }
    }
    assert_eq!(got, expected);
    Ok(())
}
