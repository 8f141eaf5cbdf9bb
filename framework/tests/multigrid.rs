//! Levels: transfers against their definitions on the global picture, and Poisson's equation by multigrid at the rate
//! that theory gives, with the same bits on any number of ranks.

use rankine::testing::{ranks, try_ranks};
use rankine::{ErrorKind, Field, Grid, Levels, Norm, Prolongation, Result, Wall};
use std::sync::Mutex;

const RANKS: [usize; 4] = [1, 3, 4, 7];

fn rough<const D: usize>(point: [usize; D]) -> f64 {
    point.iter().fold(0.3, |value, &index| (value * 11.0 + index as f64 * 2.3).sin())
}

/// One axis of a transfer: which points of the other level, and their weights. Indices may be beyond a wall.
type Taps = Vec<(isize, f64)>;

fn down(staggered: bool, coarse: isize) -> Taps {
    match staggered {
        false => vec![(2 * coarse, 0.5), (2 * coarse + 1, 0.5)],
        true => vec![(2 * coarse - 1, 0.25), (2 * coarse, 0.5), (2 * coarse + 1, 0.25)],
    }
}

fn up(staggered: bool, how: Prolongation, fine: isize) -> Taps {
    let (half, odd) = (fine / 2, fine % 2 == 1);
    match (staggered, how) {
        (true, _) if odd => vec![(half, 0.5), (half + 1, 0.5)],
        (true, _) | (false, Prolongation::Constant) => vec![(half, 1.0)],
        _ => vec![(half, 0.75), (half + if odd { 1 } else { -1 }, 0.25)],
    }
}

/// The tensor product of the taps at a point, of a function of the global picture mirrored at walls.
fn product<const D: usize>(
    taps: [Taps; D],
    points: [usize; D],
    staggered: [bool; D],
    periodic: [bool; D],
) -> f64 {
    let mut all = vec![([0isize; D], 1.0)];
    for (axis, taps) in taps.iter().enumerate() {
        all = all
            .iter()
            .flat_map(|&(at, weight)| {
                taps.iter().map(move |&(index, part)| {
                    let mut at = at;
                    at[axis] = index;
                    (at, weight * part)
                })
            })
            .collect();
    }
    let value = |at: [isize; D]| {
        rough::<D>(std::array::from_fn(|axis| {
            let (n, on_edge) = (points[axis] as isize, isize::from(staggered[axis]));
            let inside = match at[axis] {
                index if periodic[axis] => index.rem_euclid(n),
                index if index < 0 => on_edge - 1 - index,
                index if index >= n => 2 * n - 1 - on_edge - index,
                index => index,
            };
            inside as usize
        }))
    };
    all.into_iter().map(|(at, weight)| weight * value(at)).sum()
}

fn transfers<const D: usize>(levels: &Levels<D>, staggered: [bool; D]) -> Result<()> {
    let periodic = levels.fine().periodic();
    let make = |grid: &Grid<D>| -> Result<Field<f64, D>> {
        let mut field = Field::staggered(grid, staggered, 0.0)?;
        field.fill_with(rough);
        Ok(field)
    };
    let near = |got: f64, want: f64| (got - want).abs() < 1e-14;
    let halved = levels.halved();
    let (mut fine, mut coarse) = (make(levels.fine())?, make(levels.coarse())?);
    for how in [Prolongation::Constant, Prolongation::Linear] {
        let (mut set, mut added) = (fine.duplicate()?, fine.duplicate()?);
        levels.prolong(&mut coarse, &mut set, how)?;
        levels.correct(&mut coarse, &mut added, how)?;
        for (point, got) in set.iter() {
            let taps = std::array::from_fn(|axis| match halved[axis] {
                true => up(staggered[axis], how, point[axis] as isize),
                false => vec![(point[axis] as isize, 1.0)],
            });
            let want = product(taps, coarse.points(), staggered, periodic);
            assert!(near(got, want), "{point:?} {how:?} of {levels:?}: {got}, not {want}");
            assert!(near(added.get(point).unwrap(), want + rough(point)));
        }
    }
    levels.restrict(&mut fine, &mut coarse)?;
    for (point, got) in coarse.iter() {
        let taps = std::array::from_fn(|axis| match halved[axis] {
            true => down(staggered[axis], point[axis] as isize),
            false => vec![(point[axis] as isize, 1.0)],
        });
        let want = product(taps, fine.points(), staggered, periodic);
        assert!(near(got, want), "{point:?} of {levels:?}: {got}, not {want}");
    }
    Ok(())
}

fn all_levels<const D: usize>(cells: [usize; D], periodic: [bool; D], halo: usize) {
    for staggered in (0..1usize << D).map(|bits| std::array::from_fn(|axis| bits >> axis & 1 == 1)) {
        ranks(RANKS, |world| {
            let mut grid = Grid::over(world, cells).periodic(periodic).halo(halo).leave_idle().build()?;
            transfers(&grid.refine()?, staggered)?;
            // Fields on faces need a first block wider than the halo.
            while let Some(levels) = grid.coarsen()? {
                transfers(&levels, staggered)?;
                grid = levels.coarse().clone();
            }
            Ok(())
        });
    }
}

#[test]
fn transfers_follow_their_definitions() {
    for periodic in [false, true] {
        all_levels([48], [periodic], 1);
        all_levels([96], [periodic], 2);
    }
    for periodic in [[false; 2], [true, false], [true; 2]] {
        all_levels([32, 24], periodic, 1);
    }
    all_levels([16, 10, 24], [false, true, false], 1);
    all_levels([24, 5, 6, 8], [false, true, false, true], 1);
}

#[test]
fn thin_blocks_are_merged_and_spacing_doubles() {
    ranks([7], |world| {
        let grid = Grid::over(world, [64]).spacing([0.5]).build()?;
        let (mut grid, mut owners) = (grid, Vec::new());
        while let Some(levels) = grid.coarsen()? {
            grid = levels.coarse().clone();
            owners.push(grid.dims()[0]);
            let cells = world.allreduce(grid.own().len(), rankine::op::Sum)?;
            assert_eq!(cells, grid.len());
            assert_eq!(grid.spacing()[0] * grid.len() as f64, 32.0);
            assert_eq!(
                grid.team().map(|team| team.size()),
                (!grid.own().is_empty()).then_some(grid.dims()[0])
            );
        }
        // 16 cells are cut at 3, 5, 7, 10, 12, 14: by twos at 5, 10, 14, whose last block is thin, so by fours at 10.
        assert_eq!((owners, grid.len()), (vec![7, 2, 1, 1, 1, 1], 1));
        assert!(Grid::new(world, [7, 9])?.coarsen()?.is_none());
        Ok(())
    });
}

/// One level of multigrid for -Δu = f with u = 0 around the unit square, five points, in nodes or in cells.
struct Level {
    u: Field<f64, 2>,
    f: Field<f64, 2>,
    residual: Field<f64, 2>,
    below: Option<Levels<2>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Values {
    Nodes,
    Cells,
}

fn negated(value: f64) -> f64 {
    -value
}

fn hierarchy(grid: Grid<2>, values: Values) -> Result<Vec<Level>> {
    let (mut levels, mut next) = (Vec::new(), Some(grid));
    while let Some(grid) = next {
        let make = || match values {
            Values::Nodes => Ok(Field::staggered(&grid, [true, true], 0.0)?.walls(Wall::Fixed(0.0))),
            Values::Cells => Ok(Field::new(&grid, 0.0)?.walls(Wall::Mapped(negated))),
        };
        let below = if grid.len() > 4 { grid.coarsen()? } else { None };
        next = below.as_ref().map(|levels| levels.coarse().clone());
        levels.push(Level { u: make()?, f: make()?, residual: make()?, below });
    }
    Ok(levels)
}

/// Calls `each` with the indices of a row's points that are not on the boundary.
fn inner(values: Values, n: [usize; 2], start: [usize; 2], len: usize, mut each: impl FnMut(usize)) {
    let edge = |axis: usize, index: usize| values == Values::Nodes && (index == 0 || index == n[axis]);
    for i in (0..len).filter(|i| !edge(1, start[1] + i) && !edge(0, start[0])) {
        each(i);
    }
}

impl Level {
    /// Damped Jacobi with the weight that smooths best, 4/5.
    fn smooth(&mut self, values: Values, sweeps: usize) -> Result<()> {
        let (n, h) = (self.u.grid().cells(), self.u.grid().spacing()[0]);
        let f = self.f.reader();
        for _ in 0..sweeps {
            self.u.update_with_neighbors(|out, rows| {
                let (c, f) = (rows.at([0, 0]), rows.of(&f));
                let (s, t) = (rows.at([-1, 0]), rows.at([1, 0]));
                let (w, e) = (rows.at([0, -1]), rows.at([0, 1]));
                out.fill(0.0);
                inner(values, n, rows.start(), out.len(), |i| {
                    out[i] = 0.2 * c[i] + 0.2 * (s[i] + t[i] + w[i] + e[i] + h * h * f[i]);
                });
            })?;
        }
        Ok(())
    }

    fn residue(&mut self, values: Values) -> Result<()> {
        let (n, h) = (self.u.grid().cells(), self.u.grid().spacing()[0]);
        let f = self.f.reader();
        let walls = match values {
            Values::Nodes => Wall::Fixed(0.0),
            Values::Cells => Wall::Mapped(negated),
        };
        self.residual.update_from(&mut self.u, |out, rows| {
            let (c, f) = (rows.at([0, 0]), rows.of(&f));
            let (s, t) = (rows.at([-1, 0]), rows.at([1, 0]));
            let (w, e) = (rows.at([0, -1]), rows.at([0, 1]));
            out.fill(0.0);
            inner(values, n, rows.start(), out.len(), |i| {
                out[i] = f[i] - (4.0 * c[i] - s[i] - t[i] - w[i] - e[i]) / (h * h);
            });
        })?;
        self.residual.set_walls(walls);
        Ok(())
    }
}

/// `again`: cycles on each coarser level; 1 is a V-cycle, more come close to solving the coarse problem.
fn cycle(levels: &mut [Level], values: Values, again: usize) -> Result<()> {
    let Some((fine, rest)) = levels.split_first_mut() else { return Ok(()) };
    let Some((coarse, below)) = rest.first_mut().zip(fine.below.take()) else {
        return fine.smooth(values, 60);
    };
    fine.smooth(values, 1)?;
    fine.residue(values)?;
    below.restrict(&mut fine.residual, &mut coarse.f)?;
    coarse.u.fill(0.0);
    for _ in 0..again {
        cycle(rest, values, again)?;
    }
    below.correct(&mut rest[0].u, &mut fine.u, Prolongation::Linear)?;
    fine.below = Some(below);
    fine.smooth(values, 1)
}

/// The factors by which eight cycles reduce the residual, the error against sin πx sin πy, and the answer's checksum.
fn poisson(world: &rankine::Comm, values: Values, again: usize) -> Result<(Vec<f64>, f64, u64)> {
    use std::f64::consts::PI;
    let grid = Grid::over(world, [64, 64]).spacing([1.0 / 64.0; 2]).build()?;
    let mut levels = hierarchy(grid, values)?;
    let exact = |[y, x]: [f64; 2]| (PI * y).sin() * (PI * x).sin();
    levels[0].f.fill_at(|place| 2.0 * PI * PI * exact(place));
    let mut factors = Vec::new();
    levels[0].residue(values)?;
    let mut before = levels[0].residual.norm_reproducible(Norm::L2)?;
    for _ in 0..8 {
        cycle(&mut levels, values, again)?;
        levels[0].residue(values)?;
        let after = levels[0].residual.norm_reproducible(Norm::L2)?;
        factors.push(after / before);
        before = after;
    }
    let u = &levels[0].u;
    let mut error = u.duplicate()?;
    let (of_u, grid) = (u.reader(), u.grid().clone());
    error.update(|out, at| {
        let u = at.of(&of_u);
        (0..out.len()).for_each(|i| out[i] = u[i] - exact(at.coordinates(i)));
    })?;
    assert_eq!(grid.len(), 64 * 64);
    Ok((factors, error.norm(Norm::Max)?, u.checksum()?))
}

/// With one sweep of Jacobi (4/5) before and one after, full weighting and bilinear interpolation, the two-grid factor in
/// nodes is that of the smoothing itself, 0.6² = 0.36 (Trottenberg, Oosterlee and Schüller, 2001, chapter 3).
#[test]
fn poisson_converges_at_the_rate_of_theory() {
    for (values, again) in [(Values::Nodes, 1), (Values::Nodes, 3), (Values::Cells, 2)] {
        let all = Mutex::new(Vec::new());
        ranks([1, 2, 3, 4, 7], |world| {
            let answer = poisson(world, values, again)?;
            if world.rank() == 0 {
                all.lock().unwrap().push(answer);
            }
            Ok(())
        });
        let all = all.into_inner().unwrap();
        let (factors, error, _) = &all[0];
        let last = factors[7];
        assert!((0.2..0.40).contains(&last), "{again}: {factors:?}");
        // Second order: π² h² / 12 of the solution's largest value, 1.
        assert!(*error < 1.2 * 9.87 / 12.0 / 4096.0 + 1e-3 * factors.iter().product::<f64>(), "{error}");
        assert!(all.iter().all(|answer| *answer == all[0]), "{all:?}");
    }
}

#[test]
fn what_cannot_be_is_an_error() {
    let usage = |words: &str, make: &(dyn Fn(&Levels<1>) -> Result<()> + Sync)| {
        let error = try_ranks(2, true, |world| make(&Grid::new(world, [8])?.refine()?)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    let cells = |grid: &Grid<1>| Field::new(grid, 0.0);
    usage("the fine field is on", &|levels| {
        levels.restrict(&mut cells(levels.coarse())?, &mut cells(levels.coarse())?)
    });
    usage("the coarse field is on", &|levels| {
        levels.restrict(&mut cells(levels.fine())?, &mut cells(levels.fine())?)
    });
    usage("staggered along", &|levels| {
        let mut faces = Field::staggered(levels.fine(), [true], 0.0)?;
        levels.correct(&mut cells(levels.coarse())?, &mut faces, Prolongation::Linear)
    });
    let error = try_ranks(2, true, |world| Grid::over(world, [8]).halo(0).build()?.coarsen().map(drop));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Usage);
}
