//! `stencil`: stars and compact ones.

use super::{is_too_large, notices, refuses, validates, validates_on};
use crate::prk::stencil::{Shape, Stencil};

const SMALL: Stencil = Stencil { iterations: 4, size: 61, radius: 2, shape: Shape::Star };

#[test]
fn stars_and_squares_of_any_radius_validate() {
    validates(&SMALL);
    validates(&Stencil { size: 203, ..SMALL });
    for (radius, size) in [(1, 37), (3, 50), (4, 40), (6, 45)] {
        for shape in [Shape::Star, Shape::Compact] {
            validates_on(&Stencil { radius, size, shape, ..SMALL }, [1, 3, 4]);
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_ranks() {
    let sums = std::sync::Mutex::new(Vec::new());
    rankine::testing::ranks([1, 2, 4, 6], |world| {
        let summary = rankine::Run::new(Stencil { radius: 3, ..SMALL }).on(world)?;
        sums.lock().unwrap().push(summary.checksum);
        Ok(())
    });
    let sums = sums.into_inner().unwrap();
    assert!(sums[0].is_some() && sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");
}

#[test]
fn one_wrong_point_is_noticed() {
    notices(&SMALL, |grids| {
        let cell = grids.output.own().start.map(|start| start + 3);
        assert!(grids.output.set(cell, 99.0));
    });
}

#[test]
fn what_cannot_be_is_refused() {
    refuses(&Stencil { iterations: 0, ..SMALL }, 1, "--iterations 0");
    refuses(&Stencil { radius: 0, ..SMALL }, 1, "--radius 0");
    refuses(
        &Stencil { size: 4, ..SMALL },
        1,
        "--size 4: smaller than a stencil of --radius 2, 5 points wide",
    );
    refuses(&Stencil { size: 0, ..SMALL }, 1, "--size 0");
    is_too_large(&Stencil { size: 1 << 30, ..SMALL });
    is_too_large(&Stencil { size: usize::MAX, ..SMALL });
}
