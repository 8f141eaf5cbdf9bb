//! All to all in two hops: the answer of the direct one, on any number of ranks.

use super::dice::Dice;
use rankine::{ANY_SOURCE, ANY_TAG, Comm, ErrorKind, Result};

/// How many elements go from one rank to another in a round.
fn length(round: usize, from: usize, to: usize) -> usize {
    let mut dice = Dice::new((round * 10_007 + from * 101 + to) as u64);
    dice.below(3);
    [0, 0, 1, 3, 17, 2000][dice.below(6)]
}

pub fn agrees_with_alltoallv(world: &Comm) -> Result<()> {
    let (me, size) = (world.rank(), world.size());
    let posted = world.irecv_owned(Vec::<u8>::with_capacity(1), ANY_SOURCE, ANY_TAG)?;
    for round in 0..12 {
        let lengths: Vec<usize> = (0..size).map(|to| length(round, me, to)).collect();
        let messages: Vec<Vec<[u16; 3]>> = lengths
            .iter()
            .enumerate()
            .map(|(to, &len)| (0..len).map(|i| [me as u16, to as u16, i as u16]).collect())
            .collect();
        let got = world.alltoallv_grid(&messages)?;
        let (flat, counts) = world.alltoallv(&messages.concat(), &lengths)?;
        assert_eq!(got.iter().map(Vec::len).collect::<Vec<_>>(), counts);
        assert_eq!(got.concat(), flat);
        assert!(counts.iter().enumerate().all(|(from, &count)| count == length(round, from, me)));
    }
    let to_all_nothing = vec![Vec::<f64>::new(); size];
    assert_eq!(world.alltoallv_grid(&to_all_nothing)?, to_all_nothing);
    // The author's wildcard receive met none of it.
    let send = world.isend_owned(vec![1u8], (me + 1) % size, 0)?;
    assert_eq!(posted.wait()?.0, [1]);
    send.wait().map(drop)
}

pub fn wrong_number_of_messages(world: &Comm) -> Result<()> {
    let error = world.alltoallv_grid(&vec![vec![1u8]; world.size() + 1]).unwrap_err();
    assert_eq!((error.kind(), error.rank()), (ErrorKind::Usage, Some(world.rank())));
    assert!(error.to_string().contains("grid_alltoall.rs:"), "{error}");
    Ok(())
}
