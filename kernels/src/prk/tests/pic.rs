//! `pic`: particles in a grid of charges.

use super::{is_too_large, notices, refuses, validates};
use crate::prk::Pic;
use crate::prk::pic::Placing::{self, Geometric, Linear, Patch, Sinusoidal};
use rankine::op::Sum;
use rankine::{Kernel, Run, testing};

const SMALL: Pic = Pic {
    iterations: 7,
    size: 26,
    particles: 3000,
    k: 1,
    m: 2,
    init: Geometric,
    rho: 0.9,
    alpha: 1.0,
    beta: 3.0,
    patch: [3, 12, 5, 20],
};
const ALL: [Placing; 4] = [Geometric, Sinusoidal, Linear, Patch];

#[test]
fn each_start_validates() {
    for init in ALL {
        validates(&Pic { init, ..SMALL });
    }
}

/// Beyond the neighbours, and as far as once round the domain; or along one axis only.
#[test]
fn particles_may_move_any_distance() {
    for (k, m) in [(0, 0), (0, 5), (5, 0), (12, 25), (13, 26), (7, 13)] {
        validates(&Pic { k, m, init: Sinusoidal, ..SMALL });
    }
}

#[test]
fn few_particles_are_all_right_and_none_is_an_error() {
    let none =
        testing::try_ranks(3, true, |world| Run::new(Pic { particles: 1, ..SMALL }).on(world).map(drop));
    let error = none.unwrap_err();
    assert!(error.to_string().contains("--particles 1: by chance none is placed"), "{error}");
    assert_eq!(error.exit_code(), 2);
    // On a line of cells, so that most ranks have none.
    validates(&Pic { particles: 60, init: Patch, patch: [0, 1, 24, 26], ..SMALL });
}

/// What the reference places (it prints how many; the sums of x, y and of n² (100 x + y + 1) over cells with n particles are those
/// of its generator and formulas in C), on any number of ranks.
#[test]
fn the_particles_are_those_of_the_reference() {
    let large = Pic { size: 100, particles: 50_000, ..SMALL };
    let cases = [
        (Pic { rho: 0.97, ..large.clone() }, [49_873, 1_360_208, 2_465_294, 694_695_149]),
        (Pic { particles: 3000, ..large.clone() }, [2995, 26_998, 148_628, 3_508_721]),
        (Pic { init: Sinusoidal, ..large.clone() }, [50_093, 2_461_410, 2_475_111, 1_906_089_682]),
        (Pic { init: Linear, ..large.clone() }, [50_030, 2_310_684, 2_475_607, 1_132_074_941]),
        (
            Pic { init: Linear, alpha: 2.0, beta: 2.0, particles: 4000, ..large.clone() },
            [4112, 134_458, 203_837, 13_653_749],
        ),
        (
            Pic { init: Patch, patch: [10, 70, 20, 100], ..large.clone() },
            [49_298, 1_974_913, 2_934_349, 2_077_493_505],
        ),
        (
            Pic { init: Patch, patch: [0, 99, 0, 99], particles: 2000, ..large },
            [2073, 102_362, 103_730, 10_342_003],
        ),
    ];
    testing::ranks([1, 2, 3, 6], |world| {
        for (pic, expected) in &cases {
            pic.check(world.size())?;
            let cloud = pic.init(world)?;
            let [x, y, ..] = cloud.particles.columns();
            let mut cells = vec![0u64; 100 * 100];
            x.iter().zip(y).for_each(|(x, y)| cells[*x as usize * 100 + *y as usize] += 1);
            let moment = |of: fn(u64, u64, u64) -> u64| {
                let each = cells.iter().enumerate();
                each.map(|(cell, n)| of(*n, cell as u64 / 100, cell as u64 % 100)).sum::<u64>()
            };
            let squares = moment(|n, x, y| n * n * (100 * x + y + 1));
            let found = [moment(|n, _, _| n), moment(|n, x, _| n * x), moment(|n, _, y| n * y), squares];
            assert_eq!(world.allreduce(found, Sum)?, *expected, "{pic:?}");
        }
        Ok(())
    });
}

#[test]
fn one_wrong_particle_is_noticed() {
    let damaged = |column: usize, by: f64| {
        notices(&SMALL, |cloud| cloud.particles.columns_mut()[column][0] += by);
    };
    damaged(0, 2e-6);
    damaged(1, -2e-6);
    damaged(1, f64::NAN);
    // Its number.
    damaged(7, 1.0);
}

#[test]
fn what_cannot_be_is_refused() {
    refuses(&Pic { iterations: 0, ..SMALL }, 1, "--iterations 0");
    for size in [0, 27, usize::MAX] {
        refuses(&Pic { size, ..SMALL }, 2, &format!("--size {size}"));
    }
    refuses(&Pic { size: 2, k: 1, ..SMALL }, 3, "--size 2: fewer rows of cells than the 3");
    refuses(&Pic { particles: 0, ..SMALL }, 1, "--particles 0");
    refuses(&Pic { k: 14, ..SMALL }, 1, "--k 14");
    refuses(&Pic { m: u64::MAX, ..SMALL }, 1, "--m 18446744073709551615");
    for rho in [1.0, -0.5, f64::NAN, f64::INFINITY, 1e300] {
        refuses(&Pic { rho, ..SMALL }, 1, "--rho");
    }
    for (alpha, beta) in [(3.0, 2.0), (-1.0, -0.5), (0.0, 0.0), (f64::NAN, 1.0), (1.0, f64::INFINITY)] {
        refuses(&Pic { init: Linear, alpha, beta, ..SMALL }, 1, "--alpha");
    }
    for patch in [[3, 3, 1, 2], [5, 4, 1, 2], [1, 2, 9, 7], [1, 27, 1, 2], [1, 2, 1, usize::MAX]] {
        refuses(&Pic { init: Patch, patch, ..SMALL }, 1, "--patch");
    }
    is_too_large(&Pic { size: 1 << 30, k: 1, ..SMALL });
    is_too_large(&Pic { particles: u64::MAX, ..SMALL });
}
