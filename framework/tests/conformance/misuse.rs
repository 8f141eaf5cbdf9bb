//! What collectives say to wrong arguments, and to ranks that disagree; afterwards the communicator still works.

use super::p2p::{next, previous};
use rankine::op::{Max, Sum};
use rankine::{Blocks, Comm, ErrorKind, Result};

/// A usage error that names the call, what is wrong, and this file.
#[track_caller]
fn refused<T>(world: &Comm, call: &str, result: Result<T>, words: &str) {
    let error = result.err().unwrap_or_else(|| panic!("{call} takes {words}"));
    let text = error.to_string();
    assert_eq!((error.kind(), error.rank()), (ErrorKind::Usage, Some(world.rank())), "{text}");
    let start = format!("{call}: ");
    assert!(
        text.contains(&start) && text.contains(words) && text.contains("misuse.rs:"),
        "{call}, {words}: {text}"
    );
}

pub fn roots(world: &Comm) -> Result<()> {
    let (n, mut a, mut b) = (world.size(), [1.0], [0.0]);
    let words = &format!("root {n}: there is no such rank");
    let no = Blocks::none();
    refused(world, "bcast", world.bcast(&mut a, n), words);
    refused(world, "reduce", world.reduce(1, Sum, n), words);
    refused(world, "reduce_into", world.reduce_into(&a, &mut b, Sum, n), words);
    refused(world, "reduce_in_place", world.reduce_in_place(&mut a, Sum, n), words);
    refused(world, "gather", world.gather(&a, n), words);
    refused(world, "gather_in_place", world.gather_in_place(&mut a, n), words);
    refused(world, "gatherv", world.gatherv(&a, n), words);
    refused(world, "gatherv_into", world.gatherv_into(&a, &mut b, no, n), words);
    refused(world, "scatter", world.scatter(&a, n), words);
    refused(world, "scatter_into", world.scatter_into(&a, &mut b, n), words);
    refused(world, "scatterv", world.scatterv(&a, no, n), words);
    refused(world, "scatterv_in_place", world.scatterv_in_place(&mut a, no, n), words);
    refused(world, "ibcast_owned", world.ibcast_owned(vec![1], n).map(drop), words);
    refused(world, "plan_gather", world.plan_gather(vec![1], vec![], n).map(drop), words);
    world.scope(|s| {
        refused(world, "ibcast", s.ibcast(&mut a, n).map(drop), words);
        refused(world, "iscatter", s.iscatter(&[1.0], &mut b, n).map(drop), words);
        Ok(())
    })?;
    still_works(world)
}

pub fn lengths(world: &Comm) -> Result<()> {
    let (n, me) = (world.size(), world.rank());
    let (one, mut two) = ([1.0], [0.0; 2]);
    let words = "recv has 2 elements, 1 are needed";
    refused(world, "allreduce_into", world.allreduce_into(&one, &mut two, Sum), words);
    refused(world, "reduce_into", world.reduce_into(&one, &mut two, Sum, me), words);
    refused(world, "scan_into", world.scan_into(&one, &mut two, Sum), words);
    refused(world, "exscan_into", world.exscan_into(&one, &mut two, Sum), words);
    let mut many = vec![0.0; n + 1];
    let words = &format!("recv has {} elements, {n} are needed", n + 1);
    refused(world, "gather_into", world.gather_into(&one, &mut many, me), words);
    refused(world, "allgather_into", world.allgather_into(&one, &mut many), words);
    let words = &format!("send has {} elements, {n} are needed", n + 1);
    refused(world, "scatter_into", world.scatter_into(&vec![0.0; n + 1], &mut [0.0], me), words);
    let result = world.reduce_scatter_block_into(&vec![0.0; n + 1], &mut [0.0], Sum);
    refused(world, "reduce_scatter_block_into", result, words);
    let words = &format!("recv has {} elements, {n} are needed", n + 1);
    refused(world, "alltoall_into", world.alltoall_into(&vec![0.0; n], &mut many), words);
    world.scope(|s| {
        refused(world, "iallgather", s.iallgather(&one, &mut many).map(drop), words);
        Ok(())
    })?;
    if n > 1 {
        let words = &format!("which {n} ranks cannot share evenly");
        let mut many = vec![0.0; n + 1];
        refused(world, "allgather_in_place", world.allgather_in_place(&mut many), words);
        refused(world, "gather_in_place", world.gather_in_place(&mut many, me), words);
        refused(world, "scatter_in_place", world.scatter_in_place(&mut many, me), words);
        refused(world, "scatter", world.scatter(&many, me), words);
        refused(world, "alltoall", world.alltoall(&many), words);
        refused(world, "alltoall_in_place", world.alltoall_in_place(&mut many), words);
        refused(world, "reduce_scatter_block", world.reduce_scatter_block(&many, Sum), words);
        refused(world, "ialltoall_owned", world.ialltoall_owned(many, vec![]).map(drop), words);
        // More than memory can hold; elements without a size, of which there is no end.
        let nothing = vec![[0.0f64; 0]; usize::MAX];
        refused(world, "allgather", world.allgather(&nothing), "must fit in memory");
        refused(
            world,
            "iallgather_owned",
            world.iallgather_owned(nothing, vec![]).map(drop),
            "must fit in memory",
        );
    }
    still_works(world)
}

/// `counts` with the one of `rank` changed.
fn with(mut counts: Vec<usize>, rank: usize, count: usize) -> Vec<usize> {
    counts[rank] = count;
    counts
}

pub fn blocks(world: &Comm) -> Result<()> {
    let (n, me) = (world.size(), world.rank());
    let (ones, starts): (Vec<usize>, Vec<usize>) = (vec![1; n], (0..n).collect());
    let (send, mut recv) = (vec![1u8; n], vec![0u8; n]);
    let short = &starts[1..];
    let words = &format!("recv: {} counts given for {n} ranks", n - 1);
    refused(world, "allgatherv_into", world.allgatherv_into(&[1], &mut recv, &ones[1..]), words);
    refused(world, "gatherv_into", world.gatherv_into(&[1], &mut recv, &ones[1..], me), words);
    let words = &format!("send: {} displacements given for {n} ranks", n - 1);
    refused(world, "alltoallv", world.alltoallv(&send, Blocks::at(&ones, short)), words);
    refused(world, "scatterv", world.scatterv(&send, Blocks::at(&ones, short), me), words);
    refused(world, "reduce_scatter", world.reduce_scatter(&send, short, Sum), "counts given");

    let words = &format!("the block of rank {} is {}..{}, the buffer has {n} elements", n - 1, n - 1, n + 1);
    let long = with(ones.clone(), n - 1, 2);
    refused(world, "scatterv", world.scatterv(&send, &long, me), words);
    refused(world, "alltoallv_into", world.alltoallv_into(&send, &ones, &mut recv, &long), words);
    refused(world, "alltoallv_in_place", world.alltoallv_in_place(&mut recv, &long), words);
    let far = with(starts.clone(), n - 1, usize::MAX);
    let result = world.allgatherv_into(&[1], &mut recv, Blocks::at(&ones, &far));
    refused(world, "allgatherv_into", result, "must fit in memory");
    let huge = with(ones.clone(), n - 1, usize::MAX / 2);
    let result = world.iallgatherv_owned(vec![1.0], vec![], &huge).map(drop);
    refused(world, "iallgatherv_owned", result, "must fit in memory");
    let words = &format!("send has {n} elements, {} are needed", n + 1);
    refused(world, "reduce_scatter_into", world.reduce_scatter_into(&send, &mut [0], &long, Sum), words);
    refused(
        world,
        "ireduce_scatter_owned",
        world.ireduce_scatter_owned(send.clone(), vec![], &long, Sum).map(drop),
        words,
    );

    let own = with(ones.clone(), me, 0);
    let words = "recv has a block of 0 elements for this rank itself, which sends 1";
    refused(world, "allgatherv_into", world.allgatherv_into(&[1], &mut recv, &own), words);
    refused(world, "gatherv_into", world.gatherv_into(&[1], &mut recv, &own, me), words);
    refused(world, "alltoallv_into", world.alltoallv_into(&send, &ones, &mut recv, &own), words);
    refused(
        world,
        "scatterv_into",
        world.scatterv_into(&send, &ones, &mut [0, 0], me),
        "recv has 2 elements, 1 are needed",
    );
    still_works(world)
}

pub fn overlaps(world: &Comm) -> Result<()> {
    let (n, me) = (world.size(), world.rank());
    // The last rank's block lies before the first's and reaches into it.
    let (counts, mut starts): (Vec<usize>, Vec<usize>) = (vec![2; n], (0..n).map(|r| 2 * r + 1).collect());
    starts[n - 1] = 0;
    let blocks = Blocks::at(&counts, &starts);
    let mut recv = vec![0i32; 2 * n + 1];
    let words = &format!("recv: the blocks of rank 0 (1..3) and rank {} (0..2) overlap", n - 1);
    refused(world, "gatherv_into", world.gatherv_into(&[1, 1], &mut recv, blocks, me), words);
    refused(world, "allgatherv_into", world.allgatherv_into(&[1, 1], &mut recv, blocks), words);
    let send = vec![1; 2 * n];
    refused(world, "alltoallv_into", world.alltoallv_into(&send, &counts, &mut recv, blocks), words);
    let result = world.plan_allgatherv(vec![1, 1], vec![0; 2 * n + 1], blocks).map(drop);
    refused(world, "plan_allgatherv", result, words);
    let words = &words.replace("recv:", "data:");
    refused(world, "alltoallv_in_place", world.alltoallv_in_place(&mut recv, blocks), words);
    refused(world, "gatherv_in_place", world.gatherv_in_place(&mut recv, blocks, me), words);
    world.scope(|s| {
        refused(world, "iallgatherv_in_place", s.iallgatherv_in_place(&mut recv, blocks).map(drop), words);
        Ok(())
    })?;
    // What is only read may.
    let all_ones = vec![1i32; n];
    let same = world.alltoallv(&all_ones[..1], Blocks::at(&vec![1; n], &vec![0; n]))?;
    assert_eq!(same, (all_ones, vec![1; n]));
    still_works(world)
}

/// Ranks that disagree are told so, all of them, before anything moves.
pub fn disagreements(world: &Comm) -> Result<()> {
    let (n, me) = (world.size(), world.rank());
    // The last rank is the one that differs.
    let odd = usize::from(me == n - 1);
    let mismatch = |call: &str, result: Result<()>, word: &str| {
        let error = result.err().unwrap_or_else(|| panic!("{call}: ranks disagree"));
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{call}: {error}");
        let text = error.to_string();
        assert!(text.contains(word) && text.contains("misuse.rs:") && text.contains(call), "{call}: {text}");
    };
    mismatch("gather", world.gather(&vec![1.0; 4 + odd], 0).map(drop), "5");
    mismatch("allgather", world.allgather(&vec![1u8; 40 + odd]).map(drop), "41");
    mismatch("scatter", world.scatter_into(&vec![1; 4 * n], &mut vec![0; 4 + odd], 0), "5");
    mismatch("alltoall", world.alltoall(&vec![1; n * (2 + odd)]).map(drop), "elements");
    mismatch("scan", world.scan_in_place(&mut vec![1; 3 + odd], Sum), "4");
    let scanned = if odd == 1 { world.scan(1, Max) } else { world.scan(1, Sum) };
    mismatch("scan", scanned.map(drop), "Max");
    let reduced = if odd == 1 { world.exscan(1u8, Sum).map(drop) } else { world.exscan(1i8, Sum).map(drop) };
    mismatch("exscan", reduced, "u8");
    mismatch(
        "reduce_scatter_block",
        world.reduce_scatter_block(&vec![1; n * (2 + odd)], Sum).map(drop),
        "elements",
    );
    mismatch("reduce", world.reduce(1, Sum, n - 1 - odd).map(drop), "root");
    let entered = if odd == 1 { world.barrier() } else { world.alltoall_in_place(&mut vec![0; n]) };
    mismatch(if odd == 1 { "barrier" } else { "alltoall" }, entered, "rank");
    still_works(world)
}

/// Counts that do not fit the other ranks': what one rank sends another is not what that one receives.
pub fn counts_that_disagree(world: &Comm) -> Result<()> {
    let (n, me) = (world.size(), world.rank());
    let odd = usize::from(me == n - 1);
    let mismatch = |call: &str, result: Result<()>| {
        let error = result.err().unwrap_or_else(|| panic!("{call}: ranks disagree"));
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{call}: {error}");
        assert!(error.to_string().contains("misuse.rs:") && error.to_string().contains(call), "{error}");
    };
    let ones = vec![1; n];
    // The last rank sends two elements where the others expect one.
    let own = with(ones.clone(), n - 1, 1 + odd);
    let mut recv = vec![0; n + 1];
    mismatch("allgatherv", world.allgatherv_into(&vec![1; 1 + odd], &mut recv, &own));
    mismatch("gatherv", world.gatherv_into(&vec![1; 1 + odd], &mut recv, &ones, 0));
    mismatch("scatterv", world.scatterv_into(&vec![1; n], &ones, &mut vec![0; 1 + odd], 0));
    mismatch("reduce_scatter", {
        // The counts differ, their sum and this rank's own does not.
        let counts =
            if odd == 1 { with(with(ones.clone(), 0, 2), n - 1, 1) } else { with(ones.clone(), n - 1, 2) };
        world.reduce_scatter(&vec![1; n + 1], &counts, Sum).map(drop)
    });
    let sent = if odd == 1 { with(ones.clone(), 0, 2) } else { ones.clone() };
    mismatch("alltoallv", world.alltoallv_into(&vec![1; n + 1], &sent, &mut recv, &ones));
    still_works(world)
}

/// Nonblocking collectives that disagree are told so where they start or where they are waited for.
pub fn nonblocking_disagreements(world: &Comm) -> Result<()> {
    let odd = usize::from(world.rank() == world.size() - 1);
    let error = world.iallreduce_owned(vec![1; 3 + odd], Sum).and_then(|r| r.wait()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
    let mut data = [0.5];
    let error = world.scope(|s| s.ibcast(&mut data, odd)?.wait().map(drop)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
    still_works(world)
}

fn still_works(world: &Comm) -> Result<()> {
    let mut got = [usize::MAX];
    world.sendrecv(&[world.rank()], next(world), 9, &mut got, previous(world), 9)?;
    assert_eq!(got[0], previous(world));
    let (all, _) = world.allgatherv(&[world.rank()])?;
    assert_eq!(all, (0..world.size()).collect::<Vec<_>>());
    Ok(())
}
