//! Fields on both engines: halos of faces and of corners, several in one message, faces and edges, sweeps.
//!
//! Against the global picture, which `halo` has for more shapes on the Local engine.

#[path = "../common/behind.rs"]
mod behind;
#[path = "../common/picture.rs"]
mod picture;

pub use picture::given_edges;

use picture::{Case, case, exchanges, sweeps, value};
use rankine::{Comm, Field, Grid, Result, Stencil};

/// All kinds of points, one after the other as it is called.
fn staggers<const D: usize>() -> impl FnMut() -> [bool; D] {
    let mut next = 0usize;
    move || {
        next += 1;
        std::array::from_fn(|axis| next >> axis & 1 == 1)
    }
}

fn both<const D: usize>(world: &Comm, case: Case<D>, mut points: impl FnMut() -> [bool; D]) -> Result<()> {
    for stencil in [Stencil::Star, Stencil::Box] {
        let case = Case { stencil, ..case };
        exchanges(world, case, points())?;
        sweeps(world, case)?;
    }
    Ok(())
}

/// Halos of 1 to 3 cells, with walls of every kind or none.
pub fn on_one_axis(world: &Comm) -> Result<()> {
    let mut points = staggers();
    for halo in 1..4 {
        for periodic in [false, true] {
            both(world, case([37], halo, [periodic]), &mut points)?;
            both(world, case([33], halo, [periodic]), &mut points)?;
        }
    }
    Ok(())
}

pub fn on_two_axes(world: &Comm) -> Result<()> {
    let mut points = staggers();
    for halo in 1..4 {
        for periodic in [[false; 2], [true, false], [false, true], [true; 2]] {
            both(world, case([17, 19], halo, periodic), &mut points)?;
        }
    }
    // The last axis split alone, the first one alone.
    let p = world.size();
    for dims in [[1, p], [p, 1]] {
        both(world, Case { dims: Some(dims), ..case([24, 25], 1, [false, true]) }, &mut points)?;
    }
    Ok(())
}

pub fn on_three_axes(world: &Comm) -> Result<()> {
    let mut points = staggers();
    for (halo, periodic) in [(1, [false; 3]), (2, [true, false, true]), (3, [false, true, false])] {
        both(world, case([10, 8, 10], halo, periodic), &mut points)?;
    }
    both(world, Case { dims: Some([1, 1, world.size()]), ..case([3, 3, 18], 1, [true; 3]) }, &mut points)
}

pub fn on_four_axes(world: &Comm) -> Result<()> {
    let mut points = staggers();
    for (halo, periodic) in [(1, [false, true, false, true]), (2, [true, false, true, false])] {
        both(world, case([6, 5, 4, 5], halo, periodic), &mut points)?;
    }
    Ok(())
}

/// All neighbours of a cell on a torus, diagonal ones too, against the global picture.
pub fn corners_on_a_torus(world: &Comm) -> Result<()> {
    let cells = [14, 9, 8];
    let grid = Grid::over(world, cells).periodic([true; 3]).stencil(Stencil::Box).leave_idle().build()?;
    let mut field = Field::from_fn(&grid, value)?;
    for offset in [[0, 0, 1], [-1, 0, 0], [1, 1, 0], [-1, 1, 1], [1, -1, -1]] {
        let mut moved = Field::new(&grid, 0.0)?;
        moved.update_from(&mut field, |out, rows| out.copy_from_slice(rows.at(offset)))?;
        for (cell, got) in moved.iter() {
            let from: [usize; 3] = std::array::from_fn(|axis| {
                (cell[axis] as isize + offset[axis]).rem_euclid(cells[axis] as isize) as usize
            });
            assert_eq!(got, value(from), "{cell:?} from {offset:?}");
        }
    }
    Ok(())
}

/// One field from another's neighbours, which changes behind the sweep.
pub fn changed_behind(world: &Comm) -> Result<()> {
    behind::all(world)
}

/// Large enough that messages do not fit a buffer of an engine.
pub fn several_in_one_message(world: &Comm) -> Result<()> {
    let grid = Grid::over(world, [4 * world.size(), 90, 110]).periodic([true, false, true]);
    let grid = grid.stencil(Stencil::Box).build()?;
    let (mut a, mut b) = (Field::from_fn(&grid, value)?, Field::new(&grid, [3u8; 3])?);
    let mut c = Field::staggered(&grid, [true, true, false], 0.0f32)?;
    c.fill_with(|[z, y, x]| (z + y + x) as f32);
    for _ in 0..3 {
        grid.exchange_all([&mut a, &mut b, &mut c])?;
    }
    let (mut alone, mut flat) = (a.duplicate()?, c.duplicate()?);
    alone.exchange()?;
    flat.exchange()?;
    assert!(alone.storage() == a.storage() && flat.storage() == c.storage());
    Ok(())
}

/// Sound in a closed box on staggered points: what is in it stays in it, and the bits are those of one rank.
pub fn staggered_waves(world: &Comm) -> Result<()> {
    let run = |comm: &Comm| -> Result<u64> {
        let grid = Grid::over(comm, [24, 10]).leave_idle().build()?;
        let mut p = Field::from_fn(&grid, |[y, x]| f64::from(y < 6 && x > 3))?;
        let mut v = Field::staggered(&grid, [true, false], 0.0)?;
        let mut u = Field::staggered(&grid, [false, true], 0.0)?;
        p.exchange()?;
        for _ in 0..30 {
            let pressure = p.reader();
            for (field, back) in [(&mut v, [-1, 0]), (&mut u, [0, -1])] {
                field.update(|out, at| {
                    let (low, high) = (at.of_at(&pressure, back), at.of(&pressure));
                    (0..out.len()).for_each(|i| out[i] -= 0.4 * (high[i] - low[i]));
                })?;
            }
            let (v, u) = (v.reader(), u.reader());
            p.update(|out, at| {
                let (south, north) = (at.of(&v), at.of_at(&v, [1, 0]));
                let (west, east) = (at.of(&u), at.of_at(&u, [0, 1]));
                (0..out.len()).for_each(|i| out[i] -= 0.4 * (north[i] - south[i] + east[i] - west[i]));
            })?;
        }
        assert!((p.sum()? - 36.0).abs() < 1e-12);
        Ok(p.checksum()? ^ u.checksum()?)
    };
    let alone = world.split(Some(world.rank() as u32), 0)?.map(|comm| run(&comm)).transpose()?;
    assert_eq!(Some(run(world)?), alone);
    Ok(())
}
