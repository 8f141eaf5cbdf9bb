//! Reductions of fields on threads and on many ranks, and what they refuse.
//!
//! Their answers on both engines are compared with loops in `conformance::measures`.

#[path = "common/cells.rs"]
mod cells;

use cells::{all_cells, exact_answers, rough};
use rankine::testing::{ranks, try_ranks};
use rankine::{Comm, ErrorKind, Field, Grid, Result};
use std::sync::Mutex;

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
