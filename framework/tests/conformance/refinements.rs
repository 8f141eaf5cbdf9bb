//! Refinements: every fine point has what the coarse points around it come to, wherever both are, and nothing is sent that is
//! not needed elsewhere.

use super::dice::Dice;
use rankine::op::{Max, Sum};
use rankine::{Block, Comm, ErrorKind, Field, Grid, Refinement, Result};
use std::collections::BTreeSet;

/// Whole numbers, so that every interpolated value is exact in whichever order it is computed.
fn value<const D: usize>(point: [usize; D], round: usize) -> f64 {
    let hash = point.iter().fold(17 + round, |hash, &index| (hash * 31 + index) * 7919 % 10_007);
    hash as f64
}

/// The coarse points around a fine one that count, and by how much: the definition, a corner at a time.
fn around<const D: usize>(part: &Block<D>, factor: usize, fine: [usize; D]) -> Vec<([usize; D], f64)> {
    let corners = (0..1usize << D).map(|corner| {
        let (mut point, mut weight) = (part.start, 1.0);
        for axis in 0..D {
            let (low, beyond) = (fine[axis] / factor, (fine[axis] % factor) as f64 / factor as f64);
            let high = corner >> axis & 1;
            point[axis] += low + high;
            weight *= if high == 1 { beyond } else { 1.0 - beyond };
        }
        (point, weight)
    });
    corners.filter(|&(_, weight)| weight > 0.0).collect()
}

/// Fills it twice, with other values, and compares every point; then what was sent.
fn fills<const D: usize>(
    world: &Comm,
    coarse: Option<&Grid<D>>,
    refinement: &mut Refinement<f64, D>,
) -> Result<()> {
    let (part, factor) = (refinement.part(), refinement.factor());
    let mut fine = refinement.fine().map(|grid| Field::new(grid, f64::NAN)).transpose()?;
    for round in 0..2 {
        let source = coarse.map(|grid| Field::from_fn(grid, |point| value(point, round))).transpose()?;
        refinement.prolong(source.as_ref(), fine.as_mut())?;
        for (point, found) in fine.iter().flat_map(|fine| fine.iter()) {
            let expected: f64 =
                around(&part, factor, point).iter().map(|&(at, weight)| weight * value(at, round)).sum();
            assert_eq!(found, expected, "{refinement:?}, fine {point:?}");
        }
    }
    let mine = coarse.map_or(Block { start: [0; D], shape: [0; D] }, |grid| grid.own());
    let read = fine.iter().flat_map(|fine| fine.iter()).flat_map(|(point, _)| around(&part, factor, point));
    let elsewhere: BTreeSet<_> = read.map(|(at, _)| at).filter(|&at| !mine.contains(at)).collect();
    let [sent, needed] = world.allreduce([refinement.sent(), elsewhere.len()], Sum)?;
    assert_eq!(sent, needed, "{refinement:?}");
    let points = world.allreduce(fine.map_or(0, |fine| fine.own().len()), Sum)?;
    let expected: usize = part.shape.iter().map(|n| (n - 1) * factor + 1).product();
    assert_eq!(points, expected);
    Ok(())
}

/// In all the ways to place it: where the coarse points are, on all ranks, on the first, on the last ones, and on a
/// grid of a case's own.
fn everywhere<const D: usize>(
    world: &Comm,
    cells: [usize; D],
    halo: usize,
    part: Block<D>,
    level: u32,
) -> Result<()> {
    let p = world.size();
    let coarse = Grid::over(world, cells).halo(halo).leave_idle().build()?;
    let mut in_place = Refinement::in_place(&coarse, part, level)?;
    fills(world, Some(&coarse), &mut in_place)?;
    // A coarse point is where the fine one of its place is, and they have the same coordinates.
    for (point, _) in in_place
        .fine()
        .iter()
        .flat_map(|fine| Field::new(fine, 0u8))
        .flat_map(|field| field.iter().collect::<Vec<_>>())
    {
        if let [(at, _)] = around(&part, in_place.factor(), point)[..] {
            assert!(coarse.own().contains(at), "{in_place:?}: {at:?}");
            assert_eq!(in_place.fine().map(|fine| fine.center(point)), Some(coarse.center(at)));
        }
    }
    for ranks in [0..p, 0..1, p / 2..p] {
        let mut dealt = Refinement::dealt(world, Some(&coarse), part, level, ranks)?;
        fills(world, Some(&coarse), &mut dealt)?;
        migrates(world, &in_place, &dealt)?;
    }
    // The last ranks have the coarse points, in the opposite order, and the first the fine ones.
    let some = world.split((world.rank() >= p / 2).then_some(0), -(world.rank() as i64))?;
    let coarse = some.map(|some| Grid::over(&some, cells).halo(halo).leave_idle().build()).transpose()?;
    let mut apart = Refinement::dealt(world, coarse.as_ref(), part, level, 0..(p / 2).max(1))?;
    fills(world, coarse.as_ref(), &mut apart)?;
    let points = part.shape.map(|n| ((n - 1) << level) + 1);
    let own = Grid::over(world, points).halo(0).leave_idle().build()?;
    fills(world, coarse.as_ref(), &mut Refinement::over(world, coarse.as_ref(), part, level, Some(&own))?)
}

/// To the ranks of another one and back.
fn migrates<const D: usize>(
    world: &Comm,
    here: &Refinement<f64, D>,
    there: &Refinement<f64, D>,
) -> Result<()> {
    let field = |on: &Refinement<f64, D>, fill: f64| {
        on.fine().map(|grid| Field::from_fn(grid, |point| fill * value(point, 5))).transpose()
    };
    let (source, mut target, mut back) = (field(here, 1.0)?, field(there, 0.0)?, field(here, 0.0)?);
    let (mut go, mut come) = (here.migration(there)?, there.migration(here)?);
    go.run_parts(source.as_ref(), target.as_mut())?;
    come.run_parts(target.as_ref(), back.as_mut())?;
    for (point, found) in target.iter().chain(&back).flat_map(|field| field.iter()) {
        assert_eq!(found, value(point, 5));
    }
    let moved = world.allreduce(go.sent(), Sum)?;
    assert_eq!(moved, world.allreduce(come.sent(), Sum)?);
    Ok(())
}

pub fn on_one_axis(world: &Comm) -> Result<()> {
    let p = world.size();
    let cells = 5 * p + 3;
    for (halo, level) in [(0, 0), (1, 0), (1, 1), (1, 3), (2, 2), (3, 3)] {
        for (start, points) in [(0, cells), (0, 4), (cells - 5, 5), (p, 3 * p + 1)] {
            everywhere(world, [cells], halo, Block { start: [start], shape: [points] }, level)?;
        }
    }
    everywhere(world, [cells], 1, Block { start: [cells - 1], shape: [1] }, 2)
}

pub fn on_two_axes(world: &Comm) -> Result<()> {
    let cells = [11, 13];
    for (halo, level) in [(1, 0), (1, 1), (2, 2), (3, 3)] {
        for (start, shape) in [([0, 0], cells), ([0, 8], [4, 5]), ([3, 2], [5, 7])] {
            everywhere(world, cells, halo, Block { start, shape }, level)?;
        }
    }
    everywhere(world, cells, 1, Block { start: [6, 0], shape: [1, 13] }, 1)
}

pub fn on_three_axes(world: &Comm) -> Result<()> {
    everywhere(world, [7, 6, 8], 1, Block { start: [1, 0, 3], shape: [5, 6, 4] }, 1)?;
    everywhere(world, [7, 6, 8], 2, Block { start: [2, 1, 0], shape: [3, 2, 3] }, 2)
}

pub fn on_four_axes(world: &Comm) -> Result<()> {
    everywhere(world, [8, 3, 4, 3], 1, Block { start: [1, 0, 1, 0], shape: [6, 2, 3, 2] }, 1)
}

/// A part within one rank's block needs nobody else, and one that is cut only the points next to the cut.
pub fn what_is_local_is_not_sent(world: &Comm) -> Result<()> {
    let p = world.size();
    let coarse = Grid::over(world, [8 * p, 9]).dims([p, 1]).build()?;
    for block in 0..p {
        let part = Block { start: [8 * block, 2], shape: [8, 5] };
        let mut within = Refinement::in_place(&coarse, part, 2)?;
        assert_eq!(world.allreduce(within.sent(), Sum)?, 0);
        assert_eq!(within.fine().is_some(), world.rank() == block);
        fills(world, Some(&coarse), &mut within)?;
    }
    let part = Block { start: [0, 2], shape: [8 * p, 5] };
    let cut: Refinement<f64, 2> = Refinement::in_place(&coarse, part, 2)?;
    // A row in each direction over each cut, as fine points are on both sides of the middle.
    assert_eq!(world.allreduce(cut.sent(), Sum)?, 2 * (p - 1) * 5);
    let level: Refinement<f64, 2> = Refinement::in_place(&coarse, part, 0)?;
    assert_eq!(level.sent(), 0);
    Ok(())
}

pub fn again_and_again(world: &Comm) -> Result<()> {
    let p = world.size();
    let (coarse, mut dice) = (Grid::over(world, [3 * p + 20, 30]).halo(2).build()?, Dice::new(11));
    let part = Block { start: [p, 4], shape: [2 * p + 10, 21] };
    let mut there = Refinement::dealt(world, Some(&coarse), part, 2, 0..p)?;
    let mut here = Refinement::in_place(&coarse, part, 2)?;
    let mut moves = here.migration(&there)?;
    let mut field = Field::new(&coarse, 0.0)?;
    let zeros = |on: &Refinement<f64, 2>| on.fine().map(|grid| Field::new(grid, 0.0)).transpose();
    let (mut fine, mut moved, mut dealt) = (zeros(&here)?, zeros(&there)?, zeros(&there)?);
    for round in 0..20 {
        // Some ranks are late.
        if dice.below(p) == world.rank() {
            std::thread::sleep(std::time::Duration::from_micros(300));
        }
        field.fill_with(|point| value(point, round));
        here.prolong(Some(&field), fine.as_mut())?;
        there.prolong(Some(&field), dealt.as_mut())?;
        moves.run_parts(fine.as_ref(), moved.as_mut())?;
        for (moved, dealt) in moved.iter().zip(&dealt) {
            assert!(moved.iter().eq(dealt.iter()), "round {round}");
            assert!(
                moved.iter().all(|(_, value)| value >= 0.0) && moved.iter().any(|(_, value)| value > 0.0)
            );
        }
    }
    Ok(())
}

pub fn what_cannot_be_is_refused(world: &Comm) -> Result<()> {
    let (me, p) = (world.rank(), world.size());
    let coarse = Grid::over(world, [4 * p, 9]).halo(2).dims([p, 1]).build()?;
    let part = Block { start: [1, 2], shape: [2, 5] };
    let refused = |made: Result<Refinement<f64, 2>>, kind: ErrorKind, words: &str| {
        let error = made.unwrap_err();
        assert_eq!((error.kind(), error.rank()), (kind, Some(me)), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().contains("refinements.rs:"), "{error}");
    };
    let dealt = |part, level, to| Refinement::dealt(world, Some(&coarse), part, level, to);
    refused(dealt(Block { start: [1, 2], shape: [0, 5] }, 1, 0..p), ErrorKind::Usage, "0x5 points");
    refused(dealt(Block { start: [1, 5], shape: [2, 5] }, 1, 0..p), ErrorKind::Usage, "from [1, 5] of");
    let far = Block { start: [usize::MAX, 0], shape: [2, 5] };
    refused(dealt(far, 1, 0..p), ErrorKind::Usage, "from [18446744073709551615, 0] of");
    refused(dealt(part, 64, 0..p), ErrorKind::Usage, "level 64: the fine points cannot be counted");
    refused(dealt(part, 40, 0..p), ErrorKind::Usage, "level 40: the fine points cannot be counted");
    refused(dealt(part, 1, 0..p + 1), ErrorKind::Usage, "dealt to ranks");
    refused(dealt(part, 1, 1..1), ErrorKind::Usage, "dealt to ranks 1..1");
    refused(
        Refinement::over(world, Some(&coarse), part, 1, None),
        ErrorKind::Mismatch,
        "no rank has a fine grid",
    );
    refused(Refinement::over(world, None, part, 1, None), ErrorKind::Mismatch, "no rank has a coarse grid");
    refused(
        Refinement::over(world, Some(&coarse), part, 1, Some(&coarse)),
        ErrorKind::Usage,
        "3x9 fine points",
    );
    if p > 1 {
        let other = Block { start: [me.min(1), 2], shape: [1, 5] };
        refused(dealt(other, 1, 0..p), ErrorKind::Mismatch, "rank 1 refines other points");
        refused(dealt(part, me.min(1) as u32, 0..p), ErrorKind::Mismatch, "rank 1 refines other points");
        let absent = Refinement::over(world, Some(&coarse).filter(|_| me > 0), part, 1, None);
        refused(absent, ErrorKind::Mismatch, "cells of a coarse grid");
        // A piece of one row, next to a cut.
        let narrow = Block { start: [3, 0], shape: [3, 9] };
        refused(
            Refinement::in_place(&coarse, narrow, 0),
            ErrorKind::Usage,
            "has 1 points, fewer than the halo of 2",
        );
    }
    // A fine grid narrower than its halo is found where it is made; one rank has its words and the others hear of it.
    let error = dealt(Block { start: [0, 0], shape: [1, 5] }, 1, 0..1).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Usage | ErrorKind::Elsewhere), "{error}");
    assert_eq!(world.allreduce(u8::from(error.to_string().contains("a halo of 2")), Max)?, 1);

    let mut plan = dealt(part, 1, 0..p)?;
    let field = Field::new(&coarse, 1.0)?;
    let mut fine = plan.fine().map(|grid| Field::new(grid, 0.0)).transpose()?;
    let other = Field::new(&Grid::over(world, [4 * p, 8]).halo(0).build()?, 0.0)?;
    for error in [
        plan.prolong(None, fine.as_mut()).unwrap_err(),
        plan.prolong(Some(&other), fine.as_mut()).unwrap_err(),
        plan.prolong(Some(&field), None).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.rank()), (ErrorKind::Usage, Some(me)));
        assert!(error.to_string().contains("refinements.rs:"), "{error}");
    }
    // Nothing was sent, so the plan still works.
    plan.prolong(Some(&field), fine.as_mut())
}
