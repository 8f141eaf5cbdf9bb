//! Particles: owners, ghosts and curves, against a look at all pairs of all particles.

use super::dice::Dice;
use rankine::particles::{Curve, Particle, Particles};
use rankine::{Comm, Element, ErrorKind, Grid, Result};

#[derive(Clone, Copy, Debug, PartialEq, Element)]
#[repr(C)]
struct Ball<const D: usize> {
    x: [f64; D],
    id: u64,
}

impl<const D: usize> Particle<D> for Ball<D> {
    fn id(&self) -> u64 {
        self.id
    }
    fn position(&self) -> [f64; D] {
        self.x
    }
    fn set_position(&mut self, x: [f64; D]) {
        self.x = x;
    }
}

/// In the unit box, most of them in a corner; every rank knows all.
fn balls<const D: usize>(len: u64, seed: u64) -> Vec<Ball<D>> {
    let mut dice = Dice::new(seed);
    (0..len)
        .map(|id| {
            let part = if dice.below(3) == 0 { 1.0 } else { 0.3 };
            Ball {
                x: std::array::from_fn(|_| part * dice.below(1 << 20) as f64 / (1 << 20) as f64),
                id: id * 7 % len,
            }
        })
        .collect()
}

/// Some of them on each rank, whatever their places.
fn dealt<const D: usize>(world: &Comm, all: &[Ball<D>]) -> Vec<Ball<D>> {
    all.iter().filter(|ball| ball.id as usize % world.size() == world.rank()).copied().collect()
}

fn by_id<const D: usize>(mut all: Vec<Ball<D>>) -> Vec<Ball<D>> {
    all.sort_by_key(|ball| ball.id);
    all
}

fn everybodys<const D: usize>(particles: &Particles<Ball<D>, D>) -> Result<Vec<Ball<D>>> {
    Ok(particles.grid().comm().allgatherv(particles.local())?.0)
}

fn moves<const D: usize>(world: &Comm, cells: [usize; D], periodic: [bool; D]) -> Result<()> {
    let grid = Grid::over(world, cells).halo(0).periodic(periodic).build()?;
    let (lower, upper) = ([-1.0; D], [1.0; D]);
    let mut expected = by_id(balls::<D>(200, 3));
    let mut particles = Particles::new(&grid, lower, upper, dealt(world, &expected))?;
    let mut dice = Dice::new(4);
    for step in 0..6 {
        let own = grid.own();
        let mine = particles.local();
        assert!(mine.is_sorted_by_key(|ball| ball.id));
        for ball in mine {
            // The upper edge of a wall belongs to the last cell.
            let cell = std::array::from_fn(|axis| {
                let index = ((ball.x[axis] + 1.0) / 2.0 * cells[axis] as f64) as usize;
                index.min(cells[axis] - 1)
            });
            assert!(own.contains(cell), "{ball:?} is not in {own:?}");
            assert_eq!(particles.owner(ball.x), Some(world.rank()));
        }
        assert_eq!(by_id(everybodys(&particles)?), expected);
        assert_eq!(particles.len()?, expected.len());
        // Small steps, far ones, and some round the box many times.
        let far = [0.1, 1.0, 2.0, 77.0, 1e6, 0.0][step];
        let mut by_id = vec![[0.0; D]; expected.len()];
        for (by, ball) in by_id.iter_mut().zip(&mut expected) {
            for axis in 0..D {
                let by = &mut by[axis];
                *by = far * (dice.below(1001) as f64 / 500.0 - 1.0);
                if !periodic[axis] {
                    *by = (dice.below(1001) as f64 / 500.0 - 1.0) - ball.x[axis];
                }
                ball.x[axis] += *by;
                if periodic[axis] && !(-1.0..1.0).contains(&ball.x[axis]) {
                    ball.x[axis] = -1.0 + (ball.x[axis] + 1.0).rem_euclid(2.0);
                }
            }
        }
        for ball in particles.local_mut() {
            (0..D).for_each(|axis| ball.x[axis] += by_id[ball.id as usize][axis]);
        }
        let checksum = expected.iter().map(|ball| {
            Particles::new(&grid, lower, upper, (world.rank() == 0).then_some(*ball))?.checksum()
        });
        let checksum = checksum.collect::<Result<Vec<_>>>()?.into_iter().fold(0, u64::wrapping_add);
        let moved = particles.migrate()?;
        assert!(moved <= 200 && (world.size() > 1 || moved == 0));
        assert_eq!(particles.checksum()?, checksum);
        assert_eq!(particles.migrate()?, 0);
    }
    Ok(())
}

pub fn particles_move(world: &Comm) -> Result<()> {
    moves(world, [20], [true])?;
    moves(world, [12, 9], [true, false])?;
    moves(world, [8, 8, 8], [true; 3])
}

fn ghosts_of<const D: usize>(
    world: &Comm,
    cells: [usize; D],
    periodic: [bool; D],
    radii: &[f64],
) -> Result<()> {
    let grid = Grid::over(world, cells).halo(0).periodic(periodic).build()?;
    let all = by_id(balls::<D>(60, 9));
    let particles = Particles::new(&grid, [0.0; D], [1.0; D], dealt(world, &all))?;
    for &radius in radii {
        // All images of all particles, compared with this rank's block.
        let own = grid.own();
        let images = 2 * radius.ceil() as i64 + 3;
        let mut expected = Vec::new();
        for ball in &all {
            for image in 0..images.pow(D as u32) {
                let mut x = ball.x;
                let mut possible = true;
                let mut home = true;
                for axis in 0..D {
                    let shift = image / images.pow(axis as u32) % images - images / 2;
                    possible &= shift == 0 || periodic[axis];
                    home &= shift == 0;
                    x[axis] += shift as f64;
                }
                let mut square = 0.0;
                for axis in 0..D {
                    let width = 1.0 / cells[axis] as f64;
                    let (low, high) =
                        (own.start[axis] as f64 * width, (own.start[axis] + own.shape[axis]) as f64 * width);
                    square += (low - x[axis]).max(x[axis] - high).max(0.0f64).powi(2);
                }
                if possible
                    && square.sqrt() <= radius
                    && !(home && particles.owner(ball.x) == Some(world.rank()))
                {
                    expected.push(Ball { x, id: ball.id });
                }
            }
        }
        expected.sort_by(|a, b| a.id.cmp(&b.id).then(a.x.partial_cmp(&b.x).expect("numbers")));
        assert_eq!(
            particles.ghosts(radius)?,
            expected,
            "radius {radius} on rank {} of {}",
            world.rank(),
            world.size()
        );
    }
    for bad in [-1.0, f64::NAN] {
        assert!(particles.ghosts(bad).is_err());
    }
    Ok(())
}

pub fn ghosts(world: &Comm) -> Result<()> {
    ghosts_of(world, [16], [true], &[0.0, 0.05, 0.4, 1.7])?;
    ghosts_of(world, [16], [false], &[0.05, 0.4, 3.0])?;
    ghosts_of(world, [8, 8], [true, false], &[0.0, 0.1, 0.6])?;
    ghosts_of(world, [8, 8], [true, true], &[0.15, 1.2])?;
    ghosts_of(world, [4, 4, 8], [true, true, false], &[0.2])
}

/// Planned once, brought up to date again and again: what a new search finds, as long as nobody new comes near.
pub fn ghosts_again(world: &Comm) -> Result<()> {
    let grid = Grid::over(world, [8, 8]).halo(0).periodic([true, false]).build()?;
    let all = by_id(balls::<2>(300, 7));
    let mut particles = Particles::new(&grid, [0.0; 2], [1.0; 2], dealt(world, &all))?;
    let mut ghosts = particles.plan_ghosts(0.3)?;
    let before = particles.ghosts(0.3)?;
    assert_eq!(ghosts.local(), before);
    for step in 1..4 {
        // Each its own way, known to all.
        for ball in particles.local_mut() {
            ball.x[1] += 1e-3 * (ball.id % 7) as f64;
        }
        ghosts.refresh(&particles)?;
        let moved = |ball: &Ball<2>| {
            let mut ball = *ball;
            (0..step).for_each(|_| ball.x[1] += 1e-3 * (ball.id % 7) as f64);
            ball
        };
        assert_eq!(ghosts.local(), before.iter().map(moved).collect::<Vec<_>>());
    }
    // One rank alone takes some away: all are told.
    if world.rank() == 0 {
        particles.retain(|_| true);
    }
    assert!(ghosts.refresh(&particles).is_err());
    particles.retain(|ball| ball.x[1] <= 1.0);
    particles.migrate()?;
    assert!(ghosts.refresh(&particles).is_err());
    assert_eq!(particles.plan_ghosts(0.1)?.local(), particles.ghosts(0.1)?);
    Ok(())
}

/// They are dealt from wherever they have come to, also out of the box on a periodic axis; beyond a wall nobody moves.
pub fn dealt_after_moving(world: &Comm) -> Result<()> {
    let grid = Grid::over(world, [8, 8]).halo(0).periodic([true, false]).build()?;
    let all = by_id(balls::<2>(200, 3));
    let moved = |particles: &mut Particles<Ball<2>, 2>| {
        particles.local_mut().iter_mut().for_each(|ball| ball.x[0] += 1.25 * (ball.id % 3) as f64);
    };
    let mut particles = Particles::new(&grid, [0.0; 2], [1.0; 2], dealt(world, &all))?;
    let mut at_home = Particles::new(&grid, [0.0; 2], [1.0; 2], dealt(world, &all))?;
    moved(&mut particles);
    moved(&mut at_home);
    at_home.migrate()?;
    particles.deal_by_curve(Curve::Hilbert, |_| 1.0)?;
    at_home.deal_by_curve(Curve::Hilbert, |_| 1.0)?;
    assert_eq!(particles.local(), at_home.local());
    let share = |count: usize| count == 200 / world.size() || count == 200_usize.div_ceil(world.size());
    assert!(share(particles.local().len()), "{}", particles.local().len());
    // Weights that are all zero count alike, and bad ones on a single rank move nobody.
    at_home.deal_by_curve(Curve::Hilbert, |_| 0.0)?;
    assert_eq!(particles.local(), at_home.local());
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        let weight = |ball: &Ball<2>| if ball.id == all[0].id { bad } else { 1.0 };
        let error = at_home.deal_by_curve(Curve::Morton, weight).unwrap_err();
        let spoke = error.kind() == ErrorKind::Usage && error.what().contains("a weight of");
        assert!(spoke || error.kind() == ErrorKind::Elsewhere, "{error}");
        assert_eq!(particles.local(), at_home.local());
    }
    let checksum = particles.checksum()?;
    if let Some(ball) = particles.local_mut().first_mut().filter(|_| world.rank() == 0) {
        ball.x[1] += 5.0;
    }
    let there: Vec<Ball<2>> = particles.local().to_vec();
    assert!(particles.deal_by_curve(Curve::Hilbert, |_| 1.0).is_err());
    assert_eq!(particles.local(), there);
    if let Some(ball) = particles.local_mut().first_mut().filter(|_| world.rank() == 0) {
        ball.x[1] -= 5.0;
    }
    particles.migrate()?;
    assert_eq!(particles.len()?, 200);
    assert_ne!(checksum, 0);
    Ok(())
}

pub fn curves(world: &Comm) -> Result<()> {
    let grid = Grid::over(world, [8, 8]).halo(0).periodic([true, false]).build()?;
    let all = by_id(balls::<2>(300, 5));
    for curve in [Curve::Hilbert, Curve::Morton] {
        let order = |world: &Comm| -> Result<Vec<u64>> {
            let grid = Grid::over(world, [8, 8]).halo(0).build()?;
            let mut particles = Particles::new(&grid, [0.0; 2], [1.0; 2], dealt(world, &all))?;
            particles.deal_by_curve(curve, |_| 1.0)?;
            Ok(everybodys(&particles)?.iter().map(|ball| ball.id).collect())
        };
        let alone = order(&world.split(Some(world.rank() as u32), 0)?.expect("a color was given"))?;
        assert_eq!(order(world)?, alone);

        let weight = |ball: &Ball<2>| if ball.id.is_multiple_of(10) { 20.0 } else { 1.0 };
        let mut particles = Particles::new(&grid, [0.0; 2], [1.0; 2], dealt(world, &all))?;
        let checksum = particles.checksum()?;
        let cuts = particles.deal_by_curve(curve, weight)?;
        let mine: f64 = particles.local().iter().map(weight).sum();
        let total: f64 = all.iter().map(weight).sum();
        assert!((mine - total / world.size() as f64).abs() <= 20.0, "{mine} of {total}");
        assert_eq!(particles.checksum()?, checksum);
        assert!(particles.local().iter().all(|ball| cuts.owner(ball.x) == world.rank()));
        assert!(particles.ghosts(0.1).is_err());
        particles.migrate()?;
        assert_eq!(by_id(everybodys(&particles)?), all);
    }
    Ok(())
}

pub fn lost_particles(world: &Comm) -> Result<()> {
    let grid = Grid::over(world, [8, 8]).halo(0).periodic([true, false]).build()?;
    let all = balls::<2>(50, 5);
    let mut particles = Particles::new(&grid, [0.0; 2], [1.0; 2], dealt(world, &all))?;
    let before = particles.checksum()?;
    for bad in [[0.5, 1.5], [f64::NAN, 0.5], [0.5, f64::NEG_INFINITY], [f64::INFINITY, 0.5]] {
        particles.add((world.rank() + 1 == world.size()).then_some(Ball { x: bad, id: 99 }));
        let error = particles.migrate().unwrap_err();
        let spoke = error.kind() == ErrorKind::Usage && error.what().contains("particle 99 is at");
        assert!(spoke || error.kind() == ErrorKind::Elsewhere, "{error}");
        particles.retain(|ball| ball.id != 99);
        particles.migrate()?;
        assert_eq!(particles.checksum()?, before);
    }
    // The edges belong to the box.
    let edges = [[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1e-300, 0.5]];
    particles.add(edges.iter().take(if world.rank() == 0 { 4 } else { 0 }).map(|&x| Ball { x, id: 99 }));
    particles.migrate()?;
    assert_eq!(particles.len()?, 54);
    assert!(particles.local().iter().all(|ball| (0.0..1.0).contains(&ball.x[0])));
    assert!(Particles::<Ball<2>, 2>::new(&grid, [0.0; 2], [1.0, 0.0], []).is_err());
    particles.retain(|_| false);
    assert!(particles.is_empty()? && particles.ghosts(0.5)?.is_empty());
    particles.deal_by_curve(Curve::Hilbert, |_| 1.0)?;
    assert!(particles.is_empty()?);
    Ok(())
}
