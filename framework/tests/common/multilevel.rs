//! Transfers between levels as their definitions have them on the global picture, and multigrid for Poisson's equation, for
//! tests on any engine.

use rankine::{Field, Grid, Levels, Norm, Prolongation, Result, Wall};

/// Numbers without a pattern, cheap to make.
fn rough<const D: usize>(point: [usize; D]) -> f64 {
    let mixed = point.iter().fold(0x9e37_79b9u64, |mixed, &index| {
        let mixed = (mixed ^ index as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 29)
    });
    (mixed >> 32) as f64 / (1u64 << 31) as f64 - 1.0
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
    fn sum<const D: usize>(
        taps: &[Taps; D],
        axis: usize,
        at: &mut [isize; D],
        value: &impl Fn([isize; D]) -> f64,
    ) -> f64 {
        let Some(here) = taps.get(axis) else { return value(*at) };
        let mut total = 0.0;
        for &(index, weight) in here {
            at[axis] = index;
            total += weight * sum(taps, axis + 1, at, value);
        }
        total
    }
    sum(&taps, 0, &mut [0; D], &value)
}

pub fn transfers<const D: usize>(levels: &Levels<D>, staggered: [bool; D]) -> Result<()> {
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

/// One level of multigrid for -Δu = f with u = 0 around the unit square, five points, in nodes or in cells.
struct Level {
    u: Field<f64, 2>,
    f: Field<f64, 2>,
    residual: Field<f64, 2>,
    below: Option<Levels<2>>,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Values {
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
        // Jacobi on what little is left: by 0.6 a sweep at worst.
        return fine.smooth(values, 16);
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

/// On n·n cells: the factors by which eight cycles reduce the residual, the error against sin πx sin πy, and the answer's checksum.
pub fn poisson(
    world: &rankine::Comm,
    n: usize,
    values: Values,
    again: usize,
) -> Result<(Vec<f64>, f64, u64)> {
    use std::f64::consts::PI;
    let grid = Grid::over(world, [n; 2]).spacing([1.0 / n as f64; 2]).build()?;
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
    let of_u = u.reader();
    error.update(|out, at| {
        let u = at.of(&of_u);
        (0..out.len()).for_each(|i| out[i] = u[i] - exact(at.coordinates(i)));
    })?;
    Ok((factors, error.norm(Norm::Max)?, u.checksum()?))
}
