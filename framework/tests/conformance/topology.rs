//! Grids and graphs: who is whose neighbour, compared with counting it out.

use super::dice::Dice;
use rankine::op::Sum;
use rankine::{Comm, Comparison, ErrorKind, Result, dims_create};

/// Grids for a world of this size; some leave ranks over.
pub fn grids(size: usize) -> Vec<(Vec<usize>, Vec<bool>)> {
    let mut grids = vec![(vec![], vec![]), (vec![1, 1], vec![true, false])];
    for ranks in [size, size.div_ceil(2)] {
        for axes in 1..=3 {
            let dims = dims_create(ranks, &vec![0; axes]).expect("nothing is fixed");
            for periodic in 0..1 << axes {
                grids.push((dims.clone(), (0..axes).map(|axis| periodic >> axis & 1 == 1).collect()));
            }
        }
    }
    grids
}

/// All coordinates in row-major order, counted like an odometer.
fn odometer(dims: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![vec![0; dims.len()]];
    loop {
        let mut next = all[all.len() - 1].clone();
        let Some(axis) = (0..dims.len()).rev().find(|&axis| next[axis] + 1 < dims[axis]) else { return all };
        next[axis] += 1;
        next[axis + 1..].fill(0);
        all.push(next);
    }
}

pub fn grids_and_coordinates(world: &Comm) -> Result<()> {
    for (dims, periodic) in grids(world.size()) {
        let Some(cart) = world.cart(&dims, &periodic)? else { continue };
        let all = odometer(&dims);
        assert_eq!((cart.dims(), cart.periodic(), cart.size()), (&dims[..], &periodic[..], all.len()));
        assert_eq!(cart.rank(), world.rank());
        assert_eq!(cart.coords(), all[cart.rank()]);
        for (rank, coords) in all.iter().enumerate() {
            assert_eq!(cart.coords_of(rank).as_ref(), Some(coords));
            let coords: Vec<isize> = coords.iter().map(|&coord| coord as isize).collect();
            assert_eq!(cart.rank_of(&coords)?, Some(rank));
            for axis in 0..dims.len() {
                let dim = dims[axis] as isize;
                for (round, away) in [(3, false), (-2, false), (1, true)] {
                    let mut other = coords.clone();
                    other[axis] += if away { dim - coords[axis] } else { round * dim };
                    let mut inside = coords.clone();
                    if away {
                        inside[axis] = 0;
                    }
                    let expected = if periodic[axis] { cart.rank_of(&inside)? } else { None };
                    assert_eq!(cart.rank_of(&other)?, expected);
                }
            }
        }
        assert_eq!(cart.coords_of(cart.size()), None);
        // It is a communicator as any other.
        assert_eq!(cart.allreduce(1, Sum)? as usize, cart.size());
    }
    Ok(())
}

pub fn shifts(world: &Comm) -> Result<()> {
    for (dims, periodic) in grids(world.size()) {
        let Some(cart) = world.cart(&dims, &periodic)? else { continue };
        for axis in 0..dims.len() {
            let dim = dims[axis] as isize;
            for displacement in [-3, -1, 0, 1, 2, isize::MAX, isize::MIN] {
                // One step at a time; on a ring whole rounds change nothing.
                let walk = |by: i128| {
                    let mut at = cart.coords()[axis] as i128;
                    at += if periodic[axis] { by % dim as i128 } else { by };
                    if periodic[axis] {
                        at = (at + dim as i128) % dim as i128;
                    }
                    let mut coords = cart.coords().to_vec();
                    coords[axis] = usize::try_from(at).ok().filter(|&at| at < dim as usize)?;
                    odometer(&dims).iter().position(|other| *other == coords)
                };
                let (source, dest) = cart.shift(axis, displacement)?;
                assert_eq!((source, dest), (walk(-(displacement as i128)), walk(displacement as i128)));
            }
            let (below, above) = cart.shift(axis, 1)?;
            assert_eq!(cart.sources()[2 * axis..2 * axis + 2], [below, above]);
        }
        assert_eq!(cart.sources(), cart.destinations());
        assert_eq!(cart.sources().len(), 2 * dims.len());
    }
    Ok(())
}

pub fn shift_exchanges(world: &Comm) -> Result<()> {
    for (dims, periodic) in grids(world.size()) {
        let Some(cart) = world.cart(&dims, &periodic)? else { continue };
        for axis in 0..dims.len() {
            for displacement in [-1, 1, 2] {
                let mut got = [usize::MAX; 3];
                let sent = [cart.rank(), axis];
                let status = cart.shift_exchange(axis, displacement, &sent, &mut got, 9)?;
                let source = cart.shift(axis, displacement)?.0;
                assert_eq!(
                    status.map(|status| (status.source, status.len)),
                    source.map(|source| (source, 2))
                );
                let expected = source.map_or([usize::MAX; 3], |source| [source, axis, usize::MAX]);
                assert_eq!(got, expected);
            }
        }
    }
    Ok(())
}

pub fn sub_grids(world: &Comm) -> Result<()> {
    for (dims, periodic) in grids(world.size()) {
        let Some(cart) = world.cart(&dims, &periodic)? else { continue };
        for mask in 0..1 << dims.len() {
            let keep: Vec<bool> = (0..dims.len()).map(|axis| mask >> axis & 1 == 1).collect();
            let sub = cart.sub(&keep)?;
            let kept = |axis: &usize| keep[*axis];
            let axes: Vec<usize> = (0..dims.len()).filter(kept).collect();
            assert_eq!(sub.dims(), axes.iter().map(|&axis| dims[axis]).collect::<Vec<_>>());
            assert_eq!(sub.periodic(), axes.iter().map(|&axis| periodic[axis]).collect::<Vec<_>>());
            assert_eq!(sub.coords(), axes.iter().map(|&axis| cart.coords()[axis]).collect::<Vec<_>>());
            // Those who stand where this rank stands on all other axes, in their order.
            let together = |coords: &Vec<usize>| {
                (0..dims.len()).all(|axis| keep[axis] || coords[axis] == cart.coords()[axis])
            };
            let all = odometer(&dims);
            let expected: Vec<usize> = (0..all.len()).filter(|&rank| together(&all[rank])).collect();
            assert_eq!(sub.allgather(&[cart.rank()])?, expected);
        }
    }
    Ok(())
}

pub fn ranks_left_over(world: &Comm) -> Result<()> {
    let cart = world.cart(&[1], &[true])?;
    assert_eq!(cart.is_some(), world.rank() == 0);
    if let Some(cart) = cart {
        assert_eq!((cart.sources(), cart.coords()), (&[Some(0); 2][..], &[0][..]));
    }
    world.barrier()
}

/// A random graph that every rank knows: who gives each edge, from, to, weight.
pub fn random_edges(size: usize, seed: u64) -> Vec<(usize, usize, usize, u32)> {
    let mut dice = Dice::new(seed + size as u64);
    let count = dice.below(4 * size + 1);
    let mut edge = || (dice.below(size), dice.below(size), dice.below(size), dice.below(1000) as u32);
    (0..count).map(|_| edge()).collect()
}

/// What the neighbours at one end of a rank's edges must be: by rank, then by who gave the edge, then as given.
pub fn expected_links(edges: &[(usize, usize, usize, u32)], me: usize, incoming: bool) -> Vec<(usize, u32)> {
    let ends = |edge: &(usize, usize, usize, u32)| if incoming { (edge.2, edge.1) } else { (edge.1, edge.2) };
    let mut links: Vec<(usize, usize, usize, u32)> = edges
        .iter()
        .enumerate()
        .filter(|(_, edge)| ends(edge).0 == me)
        .map(|(at, edge)| (ends(edge).1, edge.0, at, edge.3))
        .collect();
    links.sort_unstable();
    links.into_iter().map(|(peer, _, _, weight)| (peer, weight)).collect()
}

pub fn graphs_from_edges_anywhere(world: &Comm) -> Result<()> {
    let me = world.rank();
    for seed in 0..12 {
        let edges = random_edges(world.size(), seed);
        let given: Vec<_> = edges.iter().filter(|edge| edge.0 == me).map(|&(_, a, b, w)| (a, b, w)).collect();
        let graph = world.graph_weighted(&given)?;
        assert_eq!(graph.compare(world)?, Comparison::Congruent);
        for incoming in [true, false] {
            let (peers, weights) = match incoming {
                true => (graph.sources(), graph.source_weights()),
                false => (graph.destinations(), graph.destination_weights()),
            };
            let (expected, heavy): (Vec<_>, Vec<_>) =
                expected_links(&edges, me, incoming).into_iter().map(|(peer, w)| (Some(peer), w)).unzip();
            assert_eq!((peers, weights), (&expected[..], Some(&heavy[..])));
        }
        let plain: Vec<_> = given.iter().map(|&(a, b, _)| (a, b)).collect();
        let unweighted = world.graph(&plain)?;
        assert_eq!(unweighted.sources(), graph.sources());
        assert_eq!((unweighted.source_weights(), unweighted.destination_weights()), (None, None));
    }
    Ok(())
}

pub fn adjacent_graphs(world: &Comm) -> Result<()> {
    let me = world.rank();
    for seed in 20..30 {
        let edges = random_edges(world.size(), seed);
        let (mut sources, destinations) =
            (expected_links(&edges, me, true), expected_links(&edges, me, false));
        // Any order will do, and stays.
        sources.reverse();
        let graph = world.graph_adjacent_weighted(&sources, &destinations)?;
        let (peers, weights): (Vec<_>, Vec<_>) = sources.iter().map(|&(peer, w)| (Some(peer), w)).unzip();
        assert_eq!((graph.sources(), graph.source_weights()), (&peers[..], Some(&weights[..])));
        assert_eq!(graph.destinations().len(), destinations.len());
    }
    // Nobody has neighbours.
    let empty = world.graph_adjacent(&[], &[])?;
    assert!(empty.sources().is_empty() && empty.neighbor_allgather(&[1])?.is_empty());
    empty.barrier()
}

pub fn bad_topologies(world: &Comm) -> Result<()> {
    let size = world.size();
    let usage = |text: &str, error: Option<rankine::Error>| {
        let error = error.expect("refused");
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().contains(text), "{error}");
    };
    usage("a grid", world.cart(&[size + 1], &[true]).err());
    usage("a grid", world.cart(&[size, 0], &[true, true]).err());
    usage("a grid", world.cart(&[usize::MAX, 4], &[true, true]).err());
    usage("for every axis", world.cart(&[size], &[]).err());
    usage("no rank", world.graph(&[(0, size)]).err());
    usage("no rank", world.graph_adjacent(&[size], &[]).err());
    let cart = world.cart(&[size], &[false])?.expect("all ranks are on the grid");
    usage("no such axis", cart.shift(1, 1).err());
    usage("this grid has 1 axes", cart.rank_of(&[0, 0]).err());
    usage("this grid has 1 axes", cart.sub(&[]).err());
    usage("no such axis", cart.shift_exchange(1, 1, &[0u8], &mut [0u8], 0).err());
    Ok(())
}

pub fn disagreeing_topologies(world: &Comm) -> Result<()> {
    let (me, size) = (world.rank(), world.size());
    let last = me + 1 == size;
    let error = world.cart(&[size], &[last]).err().expect("the ranks disagree");
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    assert!(error.to_string().contains(&format!("ranks 0 and {} give different grids", size - 1)), "{error}");
    // The last rank does not say that it receives from the first.
    let sources: &[usize] = if last { &[0] } else { &[] };
    let destinations: &[usize] = if me == 0 { &[size - 1, size - 1] } else { &[] };
    let error = world.graph_adjacent(sources, destinations).err().expect("the ranks disagree");
    if last {
        let text = format!(
            "rank 0 names rank {me} 2 times as a destination, and rank {me} names rank 0 1 times as a source"
        );
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        assert!(error.to_string().contains(&text), "{error}");
    } else {
        assert_eq!(error.kind(), ErrorKind::Elsewhere);
    }
    world.barrier()
}
