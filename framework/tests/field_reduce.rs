//! Reductions of fields on threads and on many ranks, and what they refuse.
//!
//! Their answers on both engines are compared with loops in `conformance::measures`, which runs here on more ranks.

#[path = "conformance/measures.rs"]
mod measures;

use measures::cells::{all_cells, exact_answers, rough};
use rankine::testing::{ranks, try_ranks};
use rankine::{Comm, ErrorKind, Field, Grid, Norm, Result};
use std::sync::Mutex;

#[test]
fn they_agree_with_loops_on_more_ranks_than_some_fields_have_rows() {
    use measures::*;
    let cases: [fn(&Comm) -> Result<()>; 7] = [
        norms_and_dots_agree_with_a_loop,
        faces_are_counted_once,
        ties_go_to_the_lowest_index,
        the_last_face_may_have_the_extreme,
        histograms_count_every_value_once,
        reproducible_sums_are_exact_ones,
        checksums_follow_their_formula,
    ];
    ranks([12], |world| cases.iter().try_for_each(|case| case(world)));
}

#[test]
fn reproducible_answers_have_the_same_bits_on_any_number_of_ranks() {
    let all = Mutex::new(Vec::new());
    ranks([1, 2, 3, 4, 7, 12, 300], |world| {
        let mine = exact_answers(world, true)?;
        if world.rank() == 0 {
            all.lock().unwrap().push(mine);
        }
        Ok(())
    });
    let threaded = rankine::Launch::new().ranks(2).threads(2).run(|world| {
        assert_eq!(exact_answers(&world, false)?, exact_answers(&world, true)?);
        Ok(())
    });
    threaded.unwrap();
    let all = all.into_inner().unwrap();
    assert!(all.len() == 7 && all.iter().all(|answers| *answers == all[0]), "{all:?}");
    // Against the exact sum of one loop.
    let exact: rankine::op::Exact = all_cells([7, 6, 5]).map(rough).collect();
    assert_eq!(all[0][0], exact.value().to_bits());
}

#[test]
fn what_cannot_be_is_an_error() {
    let kind = |make: &(dyn Fn(&Comm) -> Result<()> + Sync)| try_ranks(2, true, make).unwrap_err().kind();
    let field = |world: &Comm| Field::new(&Grid::new(world, [4])?, 0.0);
    let bins = |range: std::ops::Range<f64>, bins| {
        kind(&move |world| field(world)?.histogram(range.clone(), bins).map(drop))
    };
    assert_eq!(bins(1.0..1.0, 4), ErrorKind::Usage);
    assert_eq!(bins(0.0..f64::NAN, 4), ErrorKind::Usage);
    assert_eq!(bins(-1e308..1e308, 4), ErrorKind::Usage);
    assert_eq!(bins(0.0..1.0, 0), ErrorKind::Usage);
    let other = kind(&|world| field(world)?.histogram(0.0..1.0, 4 + world.rank()).map(drop));
    assert_eq!(other, ErrorKind::Usage);
    let dot =
        kind(&|world| field(world)?.dot(&Field::staggered(&Grid::new(world, [4])?, [true], 0.0)?).map(drop));
    assert_eq!(dot, ErrorKind::Usage);
}

/// The bits of everything that is reduced, on one axis, on three, and where the first axis is short.
fn bits_on_threads(world: &Comm) -> Result<Vec<u64>> {
    let mut bits = Vec::new();
    let line = |[x]: [usize; 1]| rough([x / 1000, x / 10 % 100, x % 10]);
    bits.extend(bits_of(world, [50_003], line)?);
    bits.extend(bits_of(world, [31, 30, 29], rough)?);
    bits.extend(bits_of(world, [2, 123, 101], rough)?);
    Ok(bits)
}

fn bits_of<const D: usize>(
    world: &Comm,
    cells: [usize; D],
    value: impl Fn([usize; D]) -> f64 + Sync,
) -> Result<Vec<u64>> {
    let grid = Grid::new(world, cells)?;
    let field = Field::from_fn(&grid, &value)?;
    let other = Field::from_fn(&grid, |cell| value(cell).abs().sqrt())?;
    let (low, at) = field.min_at()?;
    let (high, above) = field.max_at()?;
    let histogram = field.histogram(-1.0..1.0, 7)?;
    // Not commutative: the order of cells counts.
    let first = field.reduce(|value| value, |a: f64, _: f64| a)?;
    let mut numbers = vec![low, high, first, field.sum()?, field.dot(&other)?];
    for norm in [Norm::L1, Norm::L2, Norm::Max] {
        numbers.extend([field.norm(norm)?, field.norm_reproducible(norm)?]);
    }
    numbers.extend([field.sum_reproducible()?, field.dot_reproducible(&other)?]);
    let places = at.into_iter().chain(above).map(|index| index as u64);
    let counts = histogram.bins.into_iter().chain([histogram.below, histogram.above, field.checksum()?]);
    Ok(numbers.into_iter().map(f64::to_bits).chain(places).chain(counts).collect())
}

#[test]
fn no_answer_depends_on_the_number_of_threads() {
    let mut all = Vec::new();
    for threads in [1, 2, 3, 5] {
        let answers = std::sync::Arc::new(Mutex::new(Vec::new()));
        let found = answers.clone();
        let run = rankine::Launch::new().ranks(2).threads(threads).run(move |world| {
            assert_eq!(rayon::current_num_threads(), threads);
            *found.lock().unwrap() = bits_on_threads(&world)?;
            Ok(())
        });
        run.unwrap();
        all.push(answers.lock().unwrap().clone());
    }
    assert!(all.iter().all(|answers| *answers == all[0] && answers.len() > 60), "{all:?}");
}
