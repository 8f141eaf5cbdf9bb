//! `amr`: refinements that come and go.

use super::{is_too_large, notices, refuses, validates, validates_on};
use crate::prk::Amr;
use crate::prk::amr::{Balance, Hierarchy};

/// Every refinement lives twice, the first one begins a third time.
const SMALL: Amr = Amr {
    iterations: 16,
    size: 23,
    refined_size: 9,
    refine_level: 2,
    period: 2,
    duration: 1,
    sub_iterations: 3,
    balance: Balance::FineGrain,
    spread: None,
    radius: 2,
};

const BALANCES: [Balance; 3] = [Balance::FineGrain, Balance::NoTalk, Balance::HighWater];

#[test]
fn it_validates_in_every_balance() {
    validates(&SMALL);
    validates(&Amr { balance: Balance::NoTalk, ..SMALL });
    validates_on(&Amr { spread: Some(1), ..SMALL }, [1, 2, 5]);
    [3, 4, 7].iter().for_each(|&ranks| validates_few(&Amr { spread: Some(3), ..SMALL }, ranks));
}

#[test]
fn background_and_refinements_on_different_ranks_validate() {
    for (ranks, kernel) in [
        (2, Amr { balance: Balance::HighWater, ..SMALL }),
        (3, Amr { balance: Balance::HighWater, sub_iterations: 20, ..SMALL }),
        (7, Amr { balance: Balance::HighWater, ..SMALL }),
    ] {
        validates_few(&kernel, ranks);
    }
}

#[test]
fn any_radius_level_and_life_validates() {
    for (number, balance) in BALANCES.into_iter().enumerate() {
        for (radius, refine_level) in [(1, 0), (1, 1), (2, 0), (2, 1), (2, 3), (3, 2), (4, 3)] {
            let kernel = Amr { radius, refine_level, balance, size: 30, refined_size: 13, ..SMALL };
            validates_few(&kernel, 2 + number % 2);
        }
        // None is reached but the first, all overlap, all lives are whole periods.
        validates_few(&Amr { iterations: 1, balance, ..SMALL }, 2);
        validates_few(&Amr { refined_size: 23, balance, ..SMALL }, 4);
        validates_few(&Amr { period: 3, duration: 3, iterations: 20, balance, ..SMALL }, 2);
        validates_few(&Amr { period: i64::MAX as u64, balance, ..SMALL }, 2);
    }
}

fn validates_few(kernel: &Amr, ranks: usize) {
    rankine::testing::ranks([ranks], |world| {
        let summary = rankine::Run::new(kernel.clone()).on(world)?;
        assert!(matches!(summary.verdict, rankine::kernel::Verdict::Passed(_)), "{kernel:?}: {summary}");
        Ok(())
    });
}

#[test]
fn bits_depend_neither_on_the_ranks_nor_on_the_balance() {
    let sums = std::sync::Mutex::new(Vec::new());
    for (ranks, balance) in
        [1, 2, 4, 5].into_iter().flat_map(|ranks| BALANCES.map(|balance| (ranks, balance)))
    {
        if (ranks, balance) == (1, Balance::HighWater) {
            continue;
        }
        rankine::testing::ranks([ranks], |world| {
            let summary =
                rankine::Run::new(Amr { balance, radius: 3, refine_level: 3, ..SMALL }).on(world)?;
            sums.lock().unwrap().push(summary.checksum);
            Ok(())
        });
    }
    let sums = sums.into_inner().unwrap();
    assert!(sums[0].is_some() && sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");
}

/// The operations of the reference's formula, by hand: 19 a point of the background and of a sweep, of 10 and 5 squared points
/// within their grids, and three a point and row for each interpolation.
#[test]
fn the_rate_counts_what_the_reference_counts() {
    let kernel = Amr { iterations: 5, size: 14, refined_size: 3, ..SMALL };
    // After six iterations three refinements have lived for one, in three sweeps each.
    let flops = 19.0 * (5.0 * 100.0 + 25.0 * (9.0 - 1.0)) + 2.0 * 3.0 * 9.0 * (9.0 + 3.0);
    let summary = rankine::testing::try_ranks(1, true, |world| {
        let summary = rankine::Run::new(kernel.clone()).on(world)?;
        let quoted = &summary.quoted[0];
        assert!((1e6 * quoted.rate * quoted.time * 5.0 / flops - 1.0).abs() < 1e-12, "{summary}");
        Ok(())
    });
    summary.unwrap();
}

#[test]
fn one_wrong_point_is_noticed_on_every_grid() {
    let of = |change: fn(&mut Hierarchy)| notices(&SMALL, change);
    of(|all| all.background.as_mut().unwrap().input.each_mut(damage));
    of(|all| all.background.as_mut().unwrap().output.each_mut(damage));
    of(|all| all.refined[2].level.as_mut().unwrap().input.each_mut(damage));
    of(|all| all.refined[3].level.as_mut().unwrap().output.each_mut(damage));
}

/// The last row is on the last of some ranks.
fn damage([y, x]: [usize; 2], value: &mut f64) {
    if (y == 22 || y == 32) && x == 4 {
        *value += 1e-3;
    }
}

#[test]
fn what_cannot_be_is_refused() {
    refuses(&Amr { iterations: 0, ..SMALL }, 1, "--iterations 0");
    refuses(&Amr { size: 1, ..SMALL }, 1, "--size 1");
    refuses(&Amr { refined_size: 1, ..SMALL }, 1, "--refined-size 1");
    refuses(&Amr { refined_size: 24, ..SMALL }, 1, "--refined-size 24: more points than --size 23");
    refuses(&Amr { size: 4, refined_size: 2, ..SMALL }, 1, "wider than a grid of 4");
    refuses(&Amr { radius: 0, ..SMALL }, 1, "--radius 0");
    refuses(&Amr { radius: 12, ..SMALL }, 1, "--radius 12: the stencil is wider than a grid of 23");
    refuses(&Amr { refined_size: 3, refine_level: 0, ..SMALL }, 1, "wider than a grid of 3");
    refuses(&Amr { period: 0, ..SMALL }, 1, "--period 0");
    refuses(&Amr { duration: 0, ..SMALL }, 1, "--duration 0");
    refuses(&Amr { duration: 3, ..SMALL }, 1, "--duration 3: not from 1 to --period 2");
    refuses(&Amr { sub_iterations: 0, ..SMALL }, 1, "--sub-iterations 0");
    refuses(&Amr { refine_level: 64, ..SMALL }, 1, "--refine-level 64");
    refuses(&Amr { refine_level: 40, ..SMALL }, 1, "--refine-level 40");
    refuses(&Amr { balance: Balance::HighWater, ..SMALL }, 1, "high_water on 1 rank");
    refuses(&Amr { spread: Some(0), ..SMALL }, 2, "--spread 0 on 2 ranks");
    refuses(&Amr { spread: Some(3), ..SMALL }, 2, "--spread 3 on 2 ranks");
    refuses(&Amr { spread: Some(1), balance: Balance::NoTalk, ..SMALL }, 2, "--spread 1 without");
    refuses(&Amr { size: 5, refined_size: 5, ..SMALL }, 5, "--size 5 on 5 ranks");
    is_too_large(&Amr { size: 1 << 21, ..SMALL });
    is_too_large(&Amr { refine_level: 22, ..SMALL });
    is_too_large(&Amr { refine_level: 22, balance: Balance::HighWater, ..SMALL });
    is_too_large(&Amr { size: usize::MAX, refined_size: 1 << 20, balance: Balance::NoTalk, ..SMALL });
}

/// A piece next to a cut that has one row, at a level that does not make more of it.
#[test]
fn pieces_that_are_too_narrow_are_refused_on_every_rank() {
    let kernel = Amr { balance: Balance::NoTalk, refine_level: 0, refined_size: 13, ..SMALL };
    let whole: rankine::Result<()> = rankine::testing::try_ranks(2, true, |world| {
        let error = rankine::Run::new(kernel.clone()).on(world).map(drop).unwrap_err();
        assert!(error.to_string().contains("has 1 points, fewer than the halo of 2"), "{error}");
        assert!(error.to_string().contains("--balance fine_grain"), "{error}");
        assert_eq!(error.exit_code(), 2);
        Err(error)
    });
    assert!(whole.is_err());
}
