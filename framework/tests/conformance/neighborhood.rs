//! Collective calls between neighbours, compared with working out who sent what.

use super::topology::{expected_links, grids, random_edges};
use rankine::{ANY_SOURCE, ANY_TAG, Cart, Comm, ErrorKind, Result, Test, Topology};

/// For each source, the rank it is and the number of the block there that comes here.
type Origins = Vec<Option<(usize, usize)>>;

/// On a grid, what comes from below left there upwards.
fn cart_origins(cart: &Cart) -> Origins {
    let neighbor = |slot: usize| {
        let (below, above) = cart.shift(slot / 2, 1).expect("the axis is there");
        if slot.is_multiple_of(2) { below } else { above }
    };
    (0..2 * cart.dims().len()).map(|slot| neighbor(slot).map(|peer| (peer, slot ^ 1))).collect()
}

/// In a graph, the n-th edge from a rank is the n-th that it has to here.
fn graph_origins(edges: &[(usize, usize, usize, u32)], me: usize) -> Origins {
    let sources = expected_links(edges, me, true);
    let origin = |at: usize| {
        let peer = sources[at].0;
        let nth = sources[..at].iter().filter(|source| source.0 == peer).count();
        let there = expected_links(edges, peer, false);
        let mut to_me = (0..there.len()).filter(|&block| there[block].0 == me);
        Some((peer, to_me.nth(nth).expect("as many there as here")))
    };
    (0..sources.len()).map(origin).collect()
}

/// The element `i` of block `block` of rank `rank`, in round `round`.
fn content(rank: usize, block: usize, i: usize, round: usize) -> u64 {
    (rank * 1_000_000 + block * 10_000 + i * 10 + round) as u64
}

/// How many elements a rank puts into one of its blocks where lengths differ.
fn length(rank: usize, block: usize) -> usize {
    (rank * 3 + block * 5) % 7
}

const UNTOUCHED: u64 = u64::MAX;

/// Every form of both calls; `origins` says what must come.
fn every_form(topology: &Topology, origins: &Origins) -> Result<()> {
    let me = topology.rank();
    let (sources, destinations) = (topology.sources().len(), topology.destinations().len());
    for len in [0, 1, 3, 200] {
        let block = |rank: usize, block: usize| (0..len).map(move |i| content(rank, block, i, 0));
        let expected = |one_block: bool| -> Vec<u64> {
            let came = |origin: &Option<(usize, usize)>| match *origin {
                Some((rank, number)) => block(rank, if one_block { 0 } else { number }).collect(),
                None => vec![UNTOUCHED; len],
            };
            origins.iter().flat_map(came).collect()
        };
        let mut recv = vec![UNTOUCHED; sources * len];
        topology.neighbor_allgather_into(&block(me, 0).collect::<Vec<_>>(), &mut recv)?;
        assert_eq!(recv, expected(true));
        let send: Vec<u64> = (0..destinations).flat_map(|number| block(me, number)).collect();
        // Without a destination the block's length comes from the other side, and the other way round.
        recv.fill(UNTOUCHED);
        topology.neighbor_alltoall_into(&send, &mut recv)?;
        assert_eq!(recv, expected(false));
    }

    // Blocks of unequal lengths: known, and not.
    let block = |rank: usize, number: usize| -> Vec<u64> {
        (0..length(rank, number)).map(|i| content(rank, number, i, 1)).collect()
    };
    let room = |one_block: bool| -> Vec<Vec<u64>> {
        let room = |origin: &Option<(usize, usize)>| match *origin {
            Some((rank, number)) => vec![UNTOUCHED; length(rank, if one_block { 0 } else { number })],
            None => vec![UNTOUCHED; 2],
        };
        origins.iter().map(room).collect()
    };
    let expected = |one_block: bool| -> Vec<Option<Vec<u64>>> {
        let came = |&(rank, number): &(usize, usize)| block(rank, if one_block { 0 } else { number });
        origins.iter().map(|origin| origin.as_ref().map(came)).collect()
    };
    let filled = |came: Vec<Option<Vec<u64>>>| -> Vec<Vec<u64>> {
        came.into_iter().map(|block| block.unwrap_or(vec![UNTOUCHED; 2])).collect()
    };
    let send: Vec<Vec<u64>> = (0..destinations).map(|number| block(me, number)).collect();
    assert_eq!(topology.neighbor_allgather(&block(me, 0))?, expected(true));
    assert_eq!(topology.neighbor_alltoall(&send)?, expected(false));
    let mut recv = room(false);
    let slice: Vec<&[u64]> = send.iter().map(|block| &block[..]).collect();
    topology.neighbor_alltoallw_into(
        &slice,
        &mut recv.iter_mut().map(|block| &mut block[..]).collect::<Vec<_>>(),
    )?;
    assert_eq!(recv, filled(expected(false)));

    // In one buffer: one after the other, and backwards with gaps.
    for backwards in [false, true] {
        let (sent, send) = laid_out(&send, backwards);
        for one_block in [true, false] {
            let (received, room) = laid_out(&room(one_block), backwards);
            let (_, expected) = laid_out(&filled(expected(one_block)), backwards);
            let (sent, received) = ((&sent.0, &sent.1), (&received.0, &received.1));
            let mut recv = room.clone();
            let mine = block(me, 0);
            match one_block {
                true => topology.neighbor_allgatherv_into(&mine, &mut recv, received)?,
                false => topology.neighbor_alltoallv_into(&send, sent, &mut recv, received)?,
            }
            assert_eq!(recv, expected);
            recv.copy_from_slice(&room);
            topology.scope(|s| {
                let handle = match one_block {
                    true => s.ineighbor_allgatherv(topology, &mine, &mut recv, received)?,
                    false => s.ineighbor_alltoallv(topology, &send, sent, &mut recv, received)?,
                };
                assert_eq!(handle.wait()?.1, expected);
                Ok(())
            })?;
            let handle = match one_block {
                true => topology.ineighbor_allgatherv_owned(mine, room, received)?,
                false => topology.ineighbor_alltoallv_owned(send.clone(), sent, room, received)?,
            };
            assert_eq!(handle.wait()?.1, expected);
        }
    }

    nonblocking(topology, origins)?;
    planned(topology, origins)
}

/// Blocks put into one buffer, in order or backwards with gaps: their counts and displacements, and the buffer.
fn laid_out(blocks: &[Vec<u64>], backwards: bool) -> ((Vec<usize>, Vec<usize>), Vec<u64>) {
    let gap = usize::from(backwards);
    let total: usize = blocks.iter().map(|block| block.len() + gap).sum();
    let (mut starts, mut buffer, mut next) = (Vec::new(), vec![3; total], 0);
    for block in blocks {
        let start = if backwards { total - next - block.len() } else { next };
        buffer[start..start + block.len()].copy_from_slice(block);
        starts.push(start);
        next += block.len() + gap;
    }
    ((blocks.iter().map(Vec::len).collect(), starts), buffer)
}

/// Equal blocks, nonblocking: several at once, waited for in another order, tested, forgotten.
fn nonblocking(topology: &Topology, origins: &Origins) -> Result<()> {
    let me = topology.rank();
    let (sources, destinations) = (topology.sources().len(), topology.destinations().len());
    let expected = |one_block: bool, round: usize| -> Vec<u64> {
        let came = |origin: &Option<(usize, usize)>| match *origin {
            Some((rank, number)) => content(rank, if one_block { 0 } else { number }, 0, round),
            None => UNTOUCHED,
        };
        origins.iter().map(came).collect()
    };
    let one = |round: usize| vec![content(me, 0, 0, round)];
    let each = |round: usize| (0..destinations).map(|block| content(me, block, 0, round)).collect::<Vec<_>>();
    let (sent, mut received) = ((one(0), each(1), each(2)), [(); 3].map(|()| vec![UNTOUCHED; sources]));
    let [first, second, forgotten] = &mut received;
    topology.scope(|s| {
        let first = s.ineighbor_allgather(topology, &sent.0, first)?;
        let mut second = s.ineighbor_alltoall(topology, &sent.1, second)?;
        let _ = s.ineighbor_alltoall(topology, &sent.2, forgotten)?;
        let owned = topology.ineighbor_alltoall_owned(each(3), vec![UNTOUCHED; sources])?;
        let gathered = topology.ineighbor_allgather_owned(one(4), vec![UNTOUCHED; sources])?;
        let (back, got) = loop {
            match second.test()? {
                Test::Done(done) => break done,
                Test::Pending(again) => second = again,
            }
            std::thread::yield_now();
        };
        assert_eq!((back, &*got), (&sent.1[..], &expected(false, 1)[..]));
        assert_eq!(gathered.wait()?, (one(4), expected(true, 4)));
        assert_eq!(first.wait()?.1, expected(true, 0));
        assert_eq!(owned.wait()?, (each(3), expected(false, 3)));
        Ok(())
    })?;
    assert_eq!(received[2], expected(false, 2));
    Ok(())
}

/// The persistent forms, each several times.
fn planned(topology: &Topology, origins: &Origins) -> Result<()> {
    let me = topology.rank();
    let (sources, destinations) = (topology.sources().len(), topology.destinations().len());
    let untouched = |len: usize| vec![UNTOUCHED; len];
    let mut gather = topology.plan_neighbor_allgather(vec![0u64; 2], untouched(2 * sources))?;
    let mut all = topology.plan_neighbor_alltoall(vec![0u64; 2 * destinations], untouched(2 * sources))?;
    let sent: Vec<usize> = (0..destinations).map(|number| length(me, number)).collect();
    let came = |block: &Option<(usize, usize)>| block.map_or(1, |(rank, number)| length(rank, number));
    let received: Vec<usize> = origins.iter().map(came).collect();
    let (out, room) = (vec![0u64; sent.iter().sum()], untouched(received.iter().sum()));
    let mut each = topology.plan_neighbor_alltoallv(out, &sent, room, &received)?;
    let one = |block: &Option<(usize, usize)>| block.map_or(1, |(rank, _)| length(rank, 0));
    let lens: Vec<usize> = origins.iter().map(one).collect();
    let (out, room) = (vec![0u64; length(me, 0)], untouched(lens.iter().sum()));
    let mut every = topology.plan_neighbor_allgatherv(out, room, &lens)?;
    for round in 0..3 {
        let block = |number: usize, len: usize| (0..len).map(move |i| content(me, number, i, round));
        fill(gather.buffers()?.0, block(0, 2));
        fill(all.buffers()?.0, (0..destinations).flat_map(|number| block(number, 2)));
        fill(each.buffers()?.0, (0..destinations).flat_map(|number| block(number, length(me, number))));
        fill(every.buffers()?.0, block(0, length(me, 0)));
        // All under way at once.
        gather.start()?;
        all.start()?;
        each.start()?;
        every.start()?;
        while all.test()?.is_none() {
            std::thread::yield_now();
        }
        let expected = |one: bool, len: &dyn Fn(usize, usize) -> usize, none: usize| -> Vec<u64> {
            let came = |origin: &Option<(usize, usize)>| match *origin {
                Some((rank, number)) => {
                    let number = if one { 0 } else { number };
                    (0..len(rank, number)).map(|i| content(rank, number, i, round)).collect()
                }
                None => untouched(none),
            };
            origins.iter().flat_map(came).collect()
        };
        assert_eq!(every.wait()?.1, expected(true, &length, 1));
        assert_eq!(each.wait()?.1, expected(false, &length, 1));
        assert_eq!(gather.wait()?.1, expected(true, &|_, _| 2, 2));
        assert_eq!(all.buffers()?.1, expected(false, &|_, _| 2, 2));
    }
    all.start()?;
    let (sent, received) = all.into_buffers()?;
    assert_eq!((sent.len(), received.len()), (2 * destinations, 2 * sources));
    Ok(())
}

fn fill(into: &mut [u64], with: impl Iterator<Item = u64>) {
    into.iter_mut().zip(with).for_each(|(into, with)| *into = with);
}

pub fn cart_against_reference(world: &Comm) -> Result<()> {
    for (dims, periodic) in grids(world.size()) {
        if let Some(cart) = world.cart(&dims, &periodic)? {
            every_form(&cart, &cart_origins(&cart))?;
        }
    }
    Ok(())
}

pub fn graph_against_reference(world: &Comm) -> Result<()> {
    let me = world.rank();
    for seed in 100..112 {
        let edges = random_edges(world.size(), seed);
        let origins = graph_origins(&edges, me);
        let given: Vec<_> = edges.iter().filter(|edge| edge.0 == me).map(|edge| (edge.1, edge.2)).collect();
        every_form(&*world.graph(&given)?, &origins)?;
        let ranks = |links: Vec<(usize, u32)>| links.into_iter().map(|link| link.0).collect::<Vec<_>>();
        let (sources, destinations) =
            (ranks(expected_links(&edges, me, true)), ranks(expected_links(&edges, me, false)));
        every_form(&*world.graph_adjacent(&sources, &destinations)?, &origins)?;
    }
    Ok(())
}

pub fn edges_leave_blocks_alone(world: &Comm) -> Result<()> {
    let line = world.cart(&[world.size()], &[false])?.expect("all ranks are in the line");
    let (me, last) = (line.rank(), line.size() - 1);
    let mut ghosts = [-1i16; 2];
    line.neighbor_allgather_into(&[me as i16], &mut ghosts)?;
    let expected = [if me == 0 { -1 } else { me as i16 - 1 }, if me == last { -1 } else { me as i16 + 1 }];
    assert_eq!(ghosts, expected);
    let came = line.neighbor_allgather(&[0u8; 0])?;
    assert_eq!([came[0].is_some(), came[1].is_some()], [me > 0, me < last]);
    Ok(())
}

pub fn two_ranks_in_a_ring(world: &Comm) -> Result<()> {
    // Both neighbours are the same rank, which on one rank is this one.
    let pairs = world.split(Some((world.rank() / 2) as u32), 0)?.expect("every rank gave a colour");
    let ring = pairs.cart(&[pairs.size()], &[true])?.expect("all ranks are in the ring");
    let mut got = [""; 2].map(|_| [0u8; 2]);
    ring.neighbor_alltoall_into(&[*b"dn", *b"up"], &mut got)?;
    assert_eq!(got, [*b"up", *b"dn"]);
    // In a graph the order decides.
    let other = (pairs.rank() + 1) % pairs.size();
    let graph = pairs.graph_adjacent(&[other; 2], &[other; 2])?;
    graph.neighbor_alltoall_into(&[*b"dn", *b"up"], &mut got)?;
    assert_eq!(got, [*b"dn", *b"up"]);
    Ok(())
}

pub fn one_way_edges(world: &Comm) -> Result<()> {
    // Rank 0 only sends, all others only receive.
    let others: Vec<usize> = (1..world.size()).collect();
    let graph = match world.rank() {
        0 => world.graph_adjacent(&[], &others)?,
        _ => world.graph_adjacent(&[0], &[])?,
    };
    let send: Vec<u32> = graph.destinations().iter().flat_map(|_| [3, 4, 5]).collect();
    let mut recv = vec![0; 3 * graph.sources().len()];
    graph.neighbor_alltoall_into(&send, &mut recv)?;
    assert_eq!(recv, if world.rank() == 0 { vec![] } else { vec![3, 4, 5] });
    Ok(())
}

pub fn large_blocks(world: &Comm) -> Result<()> {
    let ring = world.cart(&[world.size()], &[true])?.expect("all ranks are in the ring");
    let (below, above) = ring.shift(0, 1)?;
    let len = 200_000;
    let block = |rank: usize, end: usize| (0..len).map(move |i| (rank * 10 + end + 100 * i) as u64);
    let send: Vec<u64> = block(ring.rank(), 0).chain(block(ring.rank(), 1)).collect();
    let mut recv = vec![0; 2 * len];
    ring.neighbor_alltoall_into(&send, &mut recv)?;
    let expected = block(below.expect("a ring"), 1).chain(block(above.expect("a ring"), 0));
    assert!(recv.iter().copied().eq(expected.clone()));
    let came = ring.neighbor_alltoall(&[&send[..len], &send[len..]])?;
    assert!(came.into_iter().flatten().flatten().eq(expected));
    Ok(())
}

pub fn apart_from_other_messages(world: &Comm) -> Result<()> {
    // The author's wildcards do not see the exchange, and the exchange not the author's messages, whatever their tag.
    let ring = world.cart(&[world.size()], &[true])?.expect("all ranks are in the ring");
    let (below, above) = ring.shift(0, 1)?;
    let (below, above) = (below.expect("a ring"), above.expect("a ring"));
    let mut mine = [0u64];
    let receive = ring.irecv_owned(Vec::<u64>::with_capacity(1), ANY_SOURCE, ANY_TAG)?;
    let mut plan = ring.plan_neighbor_alltoall(vec![1u64, 2], vec![0; 2])?;
    plan.start()?;
    let send = ring.isend_owned(vec![77u64], above, 0x2000)?;
    ring.neighbor_allgather_into(&[5u64], &mut [0; 2])?;
    let (got, status) = receive.wait()?;
    assert_eq!((&got[..], status.source, status.tag), (&[77][..], below, 0x2000));
    mine.copy_from_slice(&send.wait()?);
    assert_eq!(plan.wait()?.1, [2, 1]);
    Ok(())
}

pub fn plans_keep_their_buffers(world: &Comm) -> Result<()> {
    let ring = world.cart(&[world.size()], &[true])?.expect("all ranks are in the ring");
    let mut plan = ring.plan_neighbor_allgather(vec![ring.rank()], vec![0; 2])?;
    usage("the plan has not been started", plan.wait().map(drop).err());
    plan.start()?;
    assert!(plan.is_under_way());
    usage("the plan is under way", plan.start().err());
    usage("the plan is under way", plan.buffers().map(drop).err());
    usage("the plan is under way", plan.swap((vec![], vec![])).map(drop).err());
    // The topology may go first.
    let expected: Vec<usize> = ring.sources().iter().copied().flatten().collect();
    drop(ring);
    assert_eq!(plan.wait()?.1, expected);
    usage("the new vectors have", plan.swap((vec![1], vec![0; 3])).map(drop).err());
    let (_, received) = plan.swap((vec![100 + world.rank()], vec![0; 2]))?;
    assert_eq!(received, expected);
    plan.start()?;
    assert_eq!(plan.wait()?.1, [100 + expected[0], 100 + expected[1]]);
    // Forgotten ones leak, and their messages still reach the others.
    let ring = world.cart(&[world.size()], &[true])?.expect("all ranks are in the ring");
    let mut forgotten = ring.plan_neighbor_allgather(vec![7u8], vec![0; 2])?;
    forgotten.start()?;
    std::mem::forget(forgotten);
    std::mem::forget(ring.ineighbor_allgather_owned(vec![7u8], vec![0; 2])?);
    let mut got = [0u8; 2];
    ring.neighbor_allgather_into(&[8u8], &mut got)?;
    assert_eq!(got, [8; 2]);
    world.barrier()
}

#[track_caller]
fn usage(text: &str, error: Option<rankine::Error>) {
    let error = error.expect("refused");
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains(text), "{error}");
}

pub fn bad_lengths(world: &Comm) -> Result<()> {
    let ring = world.cart(&[world.size()], &[true])?.expect("all ranks are in the ring");
    usage("recv has 3 elements for 2 neighbours", ring.neighbor_allgather_into(&[1, 2], &mut [0; 3]).err());
    usage("send has 3 elements for 2 neighbours", ring.neighbor_alltoall_into(&[1, 2, 3], &mut [0; 2]).err());
    usage("recv has 4 elements for 2 neighbours", ring.neighbor_alltoall_into(&[1, 2], &mut [0; 4]).err());
    usage("send has 1 blocks", ring.neighbor_alltoall(&[[1u8]]).err());
    usage("recv has 1 blocks", ring.neighbor_alltoallw_into(&[&[1u8], &[]], &mut [&mut [0]]).err());
    usage("recv has 1 blocks", ring.neighbor_allgatherv_into(&[1u8], &mut [0], &[1]).err());
    usage("send has 3 blocks", ring.neighbor_alltoallv_into(&[1], &[0, 1, 0], &mut [0], &[1, 0]).err());
    let outcome = ring.neighbor_allgatherv_into(&[1u8], &mut [0; 2], &[1, 2]);
    usage("recv has 2 elements, and its blocks end at 3", outcome.err());
    let outcome = ring.neighbor_allgatherv_into(&[1u8], &mut [0; 2], (&[1, 1], &[0, usize::MAX]));
    usage("recv has 2 elements, and its blocks end at", outcome.err());
    let outcome = ring.neighbor_allgatherv_into(&[1u8], &mut [0; 3], (&[2, 2], &[1, 0]));
    usage("recv: blocks 0 and 1 overlap", outcome.err());
    usage("recv has 3 elements", ring.plan_neighbor_alltoall(vec![1u8; 2], vec![0; 3]).err());
    let plan = ring.plan_neighbor_alltoallv(vec![1u8; 2], &[1, 1], vec![0; 2], &[usize::MAX, 3]);
    usage("recv has 2 elements, and its blocks end at", plan.err());
    usage("recv has 0 elements", ring.ineighbor_alltoall_owned(vec![1u8; 2], vec![]).err());
    let mut three = [0u8; 3];
    ring.scope(|s| {
        usage("recv has 3 elements", s.ineighbor_allgather(&ring, &[1], &mut three).err());
        Ok(())
    })?;
    // Nothing has been sent, so all is well. Blocks that are sent may overlap.
    let mut got = [0u8; 4];
    ring.neighbor_alltoallv_into(&[9, 8, 7], (&[2, 2], &[0, 1]), &mut got, &[2, 2])?;
    assert_eq!(got, [8, 7, 9, 8]);
    Ok(())
}

pub fn neighbors_that_disagree(world: &Comm) -> Result<()> {
    let ring = world.cart(&[world.size()], &[true])?.expect("all ranks are in the ring");
    // Rank 0 sends one element less, or one more, or another type.
    let me = ring.rank();
    let neighbor = me != 0 && ring.sources().contains(&Some(0));
    for theirs in [2, 4, 400] {
        let len = if me == 0 { theirs } else { 3 };
        let mut recv = vec![0f64; 2 * len];
        let outcome = ring.neighbor_allgather_into(&vec![1.0; len], &mut recv);
        if neighbor {
            let text = format!("rank 0 sends {} bytes for a block that takes 24 bytes here", 8 * theirs);
            let error = outcome.expect_err("another length");
            assert_eq!(error.kind(), ErrorKind::Mismatch);
            // Not every MPI library says how long a message is that does not fit.
            let unknown = "rank 0 sends more for a block that takes 24 bytes here";
            let said = error.to_string();
            assert!(said.contains(&text) || (theirs > 3 && said.contains(unknown)), "{error}");
        } else if me == 0 {
            assert_eq!(outcome.expect_err("another length").kind(), ErrorKind::Mismatch);
        } else {
            outcome?;
        }
    }
    // The next call finds everything in order.
    let mut got = [0u8; 2];
    ring.neighbor_allgather_into(&[9], &mut got)?;
    assert_eq!(got, [9; 2]);
    world.barrier()
}

pub fn neighbors_of_other_types(world: &Comm) -> Result<()> {
    let ring = world.cart(&[world.size()], &[true])?.expect("all ranks are in the ring");
    let me = ring.rank();
    let outcome = match me {
        0 => ring.neighbor_allgather(&[1u32]).map(drop),
        _ => ring.neighbor_allgather(&[1f32]).map(drop),
    };
    let disagrees = me == 0 || ring.sources().contains(&Some(0));
    assert_eq!(outcome.err().map(|error| error.kind()), disagrees.then_some(ErrorKind::TypeMismatch));
    world.barrier()
}
