//! The halo of a field as the global picture has it, for tests on any engine: every ghost cell after exchanges and updates,
//! after sweeps of stars and of stencils with diagonals, and what the author sets beyond an edge.

use rankine::{Comm, Field, Grid, Result, Side, Span, Stencil, Wall};

#[derive(Clone, Copy, Debug)]
pub struct Case<const D: usize> {
    pub cells: [usize; D],
    pub halo: usize,
    pub periodic: [bool; D],
    pub stencil: Stencil,
    pub dims: Option<[usize; D]>,
}

pub fn case<const D: usize>(cells: [usize; D], halo: usize, periodic: [bool; D]) -> Case<D> {
    Case { cells, halo, periodic, stencil: Stencil::Box, dims: None }
}

impl<const D: usize> Case<D> {
    pub fn grid(&self, world: &Comm) -> Result<Grid<D>> {
        let grid =
            Grid::over(world, self.cells).halo(self.halo).periodic(self.periodic).stencil(self.stencil);
        match self.dims {
            Some(dims) => grid.dims(dims).build(),
            None => grid.leave_idle().build(),
        }
    }
}

/// A value for each point that no other point has.
pub fn value<const D: usize>(point: [usize; D]) -> f64 {
    point.iter().fold(1.0, |value, &index| value * 100.0 + index as f64)
}

fn negated(value: f64) -> f64 {
    -value
}

/// Walls of every kind, others on every axis.
pub fn walls<const D: usize>() -> [[Wall<f64>; 2]; D] {
    std::array::from_fn(|axis| match axis {
        0 => [Wall::Mirror, Wall::Fixed(-3.0)],
        1 => [Wall::Fixed(-4.0), Wall::Mapped(negated)],
        2 => [Wall::Mapped(negated), Wall::Mirror],
        _ => [Wall::Fixed(-5.0), Wall::Fixed(-6.0)],
    })
}

/// What must be at a place, by the global picture: axis by axis, the first one outermost.
fn beyond_ref<const D: usize>(case: &Case<D>, staggered: [bool; D], place: [isize; D]) -> f64 {
    fn at<const D: usize>(
        axis: usize,
        case: &Case<D>,
        staggered: [bool; D],
        place: [isize; D],
        point: &mut [usize; D],
    ) -> f64 {
        if axis == D {
            return value(*point);
        }
        let (n, index) = (case.cells[axis] as isize, place[axis]);
        let on_edge = isize::from(staggered[axis]);
        let count = if case.periodic[axis] { n } else { n + on_edge };
        let mut map: fn(f64) -> f64 = |value| value;
        let inside = if (0..count).contains(&index) {
            index
        } else if case.periodic[axis] {
            index.rem_euclid(n)
        } else {
            match walls::<D>()[axis][usize::from(index >= count)] {
                Wall::Fixed(value) => return value,
                Wall::Mapped(other) => map = other,
                Wall::Mirror => {}
                Wall::Given => unreachable!("not in this test"),
            }
            if index < 0 { on_edge - 1 - index } else { 2 * count - 1 - on_edge - index }
        };
        point[axis] = inside as usize;
        map(at(axis + 1, case, staggered, place, point))
    }
    at(0, case, staggered, place, &mut [0; D])
}

/// Every ghost cell that the stencil has, on this rank.
pub fn check<const D: usize>(case: &Case<D>, field: &Field<f64, D>, what: &str) {
    let (own, padded, halo) = (field.own(), field.padded_shape(), field.halo());
    for (linear, &got) in field.storage().iter().enumerate() {
        let (mut rest, mut place, mut outside, mut ghost) = (linear, [0isize; D], 0, true);
        for axis in (0..D).rev() {
            let local = (rest % padded[axis]) as isize - halo as isize;
            rest /= padded[axis];
            outside += usize::from(local < 0 || local >= own.shape[axis] as isize);
            place[axis] = own.start[axis] as isize + local;
            // Behind the ghosts of a row there may be padding, which holds nothing.
            ghost &= local < (own.shape[axis] + halo) as isize;
        }
        if ghost && (outside <= 1 || case.stencil == Stencil::Box) {
            let want = beyond_ref(case, field.staggering(), place);
            assert_eq!(
                got,
                want,
                "{what}: {place:?} of {case:?}, {:?}, {:?}",
                field.staggering(),
                field.grid()
            );
        }
    }
}

pub fn exchanges<const D: usize>(world: &Comm, case: Case<D>, staggered: [bool; D]) -> Result<()> {
    let grid = case.grid(world)?;
    let make = || -> Result<Field<f64, D>> {
        let mut field = Field::staggered(&grid, staggered, 0.0)?.walls(walls());
        field.fill_with(value);
        Ok(field)
    };
    let mut field = make()?;
    // The second time the buffers have been used.
    for _ in 0..2 {
        field.exchange()?;
        check(&case, &field, "exchange");
    }
    let (mut one, mut two, mut small) = (make()?, Field::from_fn(&grid, value)?, Field::new(&grid, 7u8)?);
    two.set_walls(walls());
    small.set_walls(Wall::Fixed(7));
    for _ in 0..2 {
        grid.exchange_all([&mut one, &mut small, &mut two])?;
        check(&case, &one, "exchange_all");
        check(&case, &two, "exchange_all");
        assert!(small.iter().all(|(_, value)| value == 7));
    }
    // In place, from a former value and another field of the same points.
    let mut updated = make()?;
    updated.each_mut(|_, value| *value -= 2.0);
    let two = Field::staggered(&grid, staggered, 2.0)?;
    for offset in [0.0, 2.0] {
        let twos = two.reader();
        updated.each_mut(|_, value| *value -= offset);
        updated.update(|out: &mut [f64], at: &Span<'_, D>| {
            let two = at.of(&twos);
            (0..out.len()).for_each(|i| out[i] += two[i]);
            let mut point = at.start();
            point[D - 1] += out.len() - 1;
            assert_eq!(out[out.len() - 1], value(point));
        })?;
        check(&case, &updated, "update");
    }
    Ok(())
}

/// The places that a stencil reads: next to it and as far as the halo goes, with diagonals on a grid that has them.
fn offsets<const D: usize>(case: &Case<D>) -> Vec<[isize; D]> {
    let mut all = Vec::new();
    for code in 0..3usize.pow(D as u32) {
        let offset: [isize; D] =
            std::array::from_fn(|axis| (code / 3usize.pow(axis as u32) % 3) as isize - 1);
        let away = offset.iter().filter(|&&step| step != 0).count();
        if away <= 1 || case.stencil == Stencil::Box {
            let far = offset.map(|step| step * case.halo as isize);
            all.extend([offset, far].into_iter().take(if far == offset { 1 } else { 2 }));
        }
    }
    all
}

/// Between mirrors, its weights all different.
fn swept_ref<const D: usize>(case: &Case<D>, now: &dyn Fn([usize; D]) -> f64, at: [usize; D]) -> f64 {
    let mut sum = 0.0;
    for (number, offset) in offsets(case).into_iter().enumerate() {
        let place = std::array::from_fn(|axis| {
            let (n, index) = (case.cells[axis] as isize, at[axis] as isize + offset[axis]);
            let inside = match index {
                index if case.periodic[axis] => index.rem_euclid(n),
                index if index < 0 => -1 - index,
                index if index >= n => 2 * n - 1 - index,
                index => index,
            };
            inside as usize
        });
        sum += (number + 1) as f64 * now(place);
    }
    sum
}

/// Two sweeps of a field from its own neighbours, and two from one field to another, to the bit.
pub fn sweeps<const D: usize>(world: &Comm, case: Case<D>) -> Result<()> {
    let grid = case.grid(world)?;
    let start = |cell: [usize; D]| (value(cell) * 0.37).sin();
    let offsets = offsets(&case);
    let stencil = |out: &mut [f64], rows: &rankine::Rows<'_, f64, D>| {
        out.fill(0.0);
        for (number, &offset) in offsets.iter().enumerate() {
            out.iter_mut().zip(rows.at(offset)).for_each(|(out, value)| *out += (number + 1) as f64 * value);
        }
    };
    let mut field = Field::from_fn(&grid, start)?;
    let (mut other, mut back) = (field.duplicate()?, Field::new(&grid, f64::NAN)?);
    field.update_with_neighbors(stencil)?;
    field.update_with_neighbors(stencil)?;
    back.update_from(&mut other, stencil)?;
    other.update_from(&mut back, stencil)?;
    let once = |cell: [usize; D]| swept_ref(&case, &start, cell);
    for ((cell, got), (_, too)) in field.iter().zip(other.iter()) {
        let want = swept_ref(&case, &once, cell);
        assert_eq!(got.to_bits(), want.to_bits(), "cell {cell:?} of {case:?} on {grid:?}");
        assert_eq!(too.to_bits(), want.to_bits(), "cell {cell:?} of {case:?} on {grid:?}");
    }
    Ok(())
}

/// Ghost cells that the author sets stay as they are, in edges and corners too.
pub fn given_edges(world: &Comm) -> Result<()> {
    let grid = Grid::over(world, [14, 10]).halo(2).stencil(Stencil::Box).build()?;
    let given = [[Wall::Given; 2]; 2];
    let mut field = Field::from_fn(&grid, value)?.walls(given);
    let linear = |place: [isize; 2]| (place[0] * 100 + place[1]) as f64;
    for axis in 0..2 {
        for side in Side::BOTH {
            field.set_edge(axis, side, |place, _| linear(place))?;
        }
    }
    field.exchange()?;
    let (own, padded) = (field.own(), field.padded_shape());
    for y in 0..own.shape[0] + 4 {
        for x in 0..own.shape[1] + 4 {
            let place = [(own.start[0] + y) as isize - 2, (own.start[1] + x) as isize - 2];
            let inside = (0..14).contains(&place[0]) && (0..10).contains(&place[1]);
            let want = if inside { value(place.map(|index| index as usize)) } else { linear(place) };
            assert_eq!(field.storage()[y * padded[1] + x], want, "{place:?}");
        }
    }
    Ok(())
}
