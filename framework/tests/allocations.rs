//! The Local engine allocates nothing in the steady state: messages, scopes, plans and many requests use the records of
//! those before them again.
//!
//! Each rank is a thread, so each counts its own allocations.

use rankine::matrix::{BlockCyclic, Form, Matrix, ProcessGrid, Product, Rearrangement};
use rankine::op::{Max, Sum};
use rankine::particles::Columns;
use rankine::{
    Block, Comm, Field, Grid, Redistribution, Refinement, Requests, Result, Stencil, start_all, testing,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: the system's allocator does the work; the counter is a constant-initialised thread-local without a destructor,
// so counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(at, layout, size) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `round` until everything that grows has grown, then counts what a hundred more rounds allocate. A round ends
/// with a barrier, so no rank runs so far ahead that what is under way grows again.
fn nothing_allocated(name: &str, round: impl FnMut(&Comm) -> Result<()>, world: &Comm) -> Result<()> {
    nothing_allocated_in([50, 100], name, round, world)
}

/// As that, with other numbers of rounds.
fn nothing_allocated_in(
    [first, counted]: [usize; 2],
    name: &str,
    mut round: impl FnMut(&Comm) -> Result<()>,
    world: &Comm,
) -> Result<()> {
    let mut one = |late: bool| -> Result<()> {
        if late {
            std::thread::sleep(Duration::from_micros(500));
        }
        round(world)?;
        world.barrier()
    };
    // Each rank is late in its turn: a receive that waits has a record, which one whose message is there does without.
    (0..first).try_for_each(|turn| one(turn % world.size() == world.rank()))?;
    // A rank that the system lets wait at a moment of its own finds more at a time than in all turns above, and keeps room
    // for it: a few records, once. What is allocated anew in a round never ends.
    const RECORDS: usize = 8;
    let mut grown = 0;
    loop {
        let before = ALLOCATIONS.get();
        (0..counted).try_for_each(|_| one(false))?;
        let allocated = ALLOCATIONS.get() - before;
        grown += allocated;
        let rank = world.rank();
        assert!(
            grown <= RECORDS,
            "{name}: {allocated} allocations of rank {rank} in {counted} rounds, {grown} in all"
        );
        if world.allreduce(allocated, Max)? == 0 {
            return Ok(());
        }
    }
}

/// On two ranks, in both modes. Lengths in bytes: inside a letter, and lent. Those in between are left as copies when an
/// unchecked receiver is late, and copies are memory; the checked mode leaves none.
fn on_two_ranks(case: impl Fn(&Comm, usize) -> Result<()> + Send + Sync) {
    for checked in [false, true] {
        for len in [1, 8, 38, 1000, 200_000] {
            if !checked && len == 1000 {
                continue;
            }
            testing::try_ranks(2, checked, |world| case(world, len))
                .unwrap_or_else(|error| panic!("checked: {checked}, {len} bytes: {error}"));
        }
    }
}

#[test]
fn counting_counts() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(vec![1u8; 10]));
    assert_eq!(ALLOCATIONS.get(), before + 1);
}

#[test]
fn blocking_messages() {
    on_two_ranks(|world, len| {
        let (mut buffer, other) = (vec![0u8; len], 1 - world.rank());
        let ping_pong = |world: &Comm| {
            if world.rank() == 0 {
                world.send(&buffer, other, 1)?;
                world.recv(&mut buffer, other, 1)?;
            } else {
                world.recv(&mut buffer, other, 1)?;
                world.ssend(&buffer, other, 1)?;
            }
            Ok(())
        };
        nothing_allocated("send and recv", ping_pong, world)?;
        let (out, mut into) = (vec![0u8; len], vec![0u8; len]);
        let exchange = |world: &Comm| world.sendrecv(&out, other, 1, &mut into, other, 1).map(drop);
        nothing_allocated("sendrecv", exchange, world)
    });
}

#[test]
fn scopes() {
    on_two_ranks(|world, len| {
        let other = 1 - world.rank();
        let (out, mut into) = (vec![0u8; 8 * len], vec![0u8; 8 * len]);
        let exchange = |world: &Comm| {
            world.scope(|s| {
                for (tag, part) in into.chunks_mut(len).enumerate() {
                    let _ = s.irecv(part, other, tag as i32)?;
                }
                // Receives that are there first: nobody need leave a copy.
                world.barrier()?;
                for (tag, part) in out.chunks(len).enumerate().rev() {
                    let _ = s.isend(part, other, tag as i32)?;
                }
                Ok(())
            })
        };
        nothing_allocated("isend and irecv", exchange, world)
    });
}

#[test]
fn unexpected_messages() {
    on_two_ranks(|world, len| {
        let other = 1 - world.rank();
        let (out, mut into) = (vec![0u8; len], vec![0u8; len]);
        let reversed = |world: &Comm| {
            world.scope(|s| {
                let sends = [1, 2, 3, 4].map(|tag| s.issend(&out, other, tag));
                for tag in [4, 3, 2, 1] {
                    world.recv(&mut into, other, tag)?;
                }
                sends.into_iter().try_for_each(|send| send?.wait().map(drop))
            })
        };
        nothing_allocated("unexpected", reversed, world)
    });
}

#[test]
fn plans() {
    on_two_ranks(|world, len| {
        let other = 1 - world.rank();
        let mut out = world.plan_ssend(vec![0u8; len], other, 1)?;
        let mut into = world.plan_recv(vec![0u8; len], other, 1)?;
        let mut spare = vec![0u8; len];
        let turn = |_: &Comm| {
            start_all(&mut [&mut into, &mut out])?;
            into.wait()?;
            out.wait()
        };
        nothing_allocated("plans", turn, world)?;
        // Other buffers cost a new plan, and no more than that.
        out.swap(&mut spare)
    });
}

/// A set is made anew each time; that is one allocation for its list and one for what it gives back, however many.
#[test]
fn many_requests() {
    testing::ranks([2], |world| {
        let other = 1 - world.rank();
        let mut into = vec![0u64; 1000];
        let out = vec![1u64; 1000];
        let mut counts = Vec::with_capacity(100);
        for _ in 0..100 {
            let before = ALLOCATIONS.get();
            world.scope(|s| {
                let mut receives = Requests::new();
                for part in into.chunks_mut(1) {
                    receives.push(s.irecv(part, other, 1)?);
                }
                world.barrier()?;
                for part in out.chunks(1) {
                    let _ = s.isend(part, other, 1)?;
                }
                receives.wait_all().map(drop)
            })?;
            world.barrier()?;
            counts.push(ALLOCATIONS.get() - before);
        }
        // Lists double as they grow.
        assert!(counts[50..].iter().all(|&count| count < 30), "{counts:?}");
        Ok(())
    });
}

/// Sweeps, exchanges of one field and of several; faces only, and with edges and corners.
#[test]
fn halos() {
    testing::ranks([1, 2, 4], |world| {
        for stencil in [Stencil::Star, Stencil::Box] {
            let dims = if world.size() == 4 { [2, 2, 1] } else { [world.size(), 1, 1] };
            let grid =
                Grid::over(world, [12, 12, 40]).dims(dims).periodic([true; 3]).stencil(stencil).build()?;
            let (mut a, mut b) = (Field::new(&grid, 0.0)?, Field::new(&grid, 0.0)?);
            let mut faces = Field::staggered(&grid, [true, false, false], 0.0f32)?;
            let round = |_: &Comm| {
                a.exchange()?;
                b.update_from(&mut a, |out, rows| out.copy_from_slice(rows.at([1, 0, 0])))?;
                b.update_with_neighbors(|out, rows| out.copy_from_slice(rows.at([0, 1, 0])))?;
                let of_b = b.reader();
                a.update(|out, at| out.copy_from_slice(at.of(&of_b)))?;
                grid.exchange_all([&mut a, &mut b, &mut faces])
            };
            nothing_allocated("halos", round, world)?;
        }
        Ok(())
    });
}

#[test]
fn collectives_into_buffers() {
    on_two_ranks(|world, len| {
        let n = len.div_ceil(8);
        let (one, each) = (vec![1.0f64; n], vec![1.0f64; 2 * n]);
        let (mut got, mut all, counts) = (vec![0.0; n], vec![0.0; 2 * n], [n, n]);
        let round = |world: &Comm| {
            world.bcast(&mut got, 1)?;
            world.reduce_into(&one, &mut got, Sum, 0)?;
            world.allreduce_into(&one, &mut got, Sum)?;
            world.allreduce_in_place(&mut got, |a: f64, b: f64| a.max(b))?;
            world.scan_into(&one, &mut got, Sum)?;
            world.exscan_into(&one, &mut got, Sum)?;
            world.reduce_scatter_block_into(&each, &mut got, Sum)?;
            world.reduce_scatter_into(&each, &mut got, &counts, Sum)?;
            world.gather_into(&one, &mut all, 0)?;
            world.gatherv_into(&one, &mut all, &counts, 1)?;
            world.scatter_into(&each, &mut got, 0)?;
            world.scatterv_into(&each, &counts, &mut got, 1)?;
            world.allgather_into(&one, &mut all)?;
            world.allgatherv_into(&one, &mut all, &counts)?;
            world.alltoall_into(&each, &mut all)?;
            world.alltoallv_into(&each, &counts, &mut all, &counts)
        };
        nothing_allocated("collectives into buffers", round, world)
    });
}

#[test]
fn nonblocking_and_persistent_collectives() {
    on_two_ranks(|world, len| {
        let n = len.div_ceil(8);
        let (one, mut got, mut all) = (vec![1.0f64; n], vec![0.0; n], vec![0.0; 2 * n]);
        let mut plan = world.plan_allreduce(vec![1.0f64; n], Sum)?;
        let round = |world: &Comm| {
            world.scope(|s| {
                let sum = s.iallreduce(&one, &mut got, Sum)?;
                let everything = s.iallgather(&one, &mut all)?;
                everything.wait()?;
                sum.wait().map(drop)
            })?;
            plan.start()?;
            plan.wait().map(drop)
        };
        nothing_allocated("nonblocking and persistent collectives", round, world)
    });
}

#[test]
fn redistributions() {
    for ranks in [1, 2, 3] {
        testing::try_ranks(ranks, true, |world| {
            let p = world.size();
            let slabs = Grid::over(world, [31, 64, 65]).dims([p, 1, 1]).build()?;
            let turned = Grid::over(world, [65, 31, 64]).halo(0).dims([1, p, 1]).build()?;
            let (a, mut b) = (Field::new(&slabs, 1.5)?, Field::new(&turned, 0.0)?);
            let mut plan = Redistribution::permuted(&slabs, &turned, [2, 0, 1])?;
            nothing_allocated("a redistribution", |_| plan.run(&a, &mut b), world)
        })
        .unwrap_or_else(|error| panic!("{ranks} ranks: {error}"));
    }
}

/// Rounds of buckets of all lengths, filled and given out.
#[test]
fn buckets() {
    for (ranks, room) in [(1, 10), (2, 5), (2, 30_000), (3, 4)] {
        testing::try_ranks(ranks, true, |world| {
            let mut buckets = world.buckets(room)?;
            let mut round = 0;
            let rounds = |world: &Comm| {
                for _ in 0..3 {
                    for dest in 0..world.size() {
                        (0..room >> (round % 3)).for_each(|item| buckets.put(dest, item as u64));
                    }
                    round += 1;
                    assert!(buckets.exchange()?.all(|(_, items)| items.len() <= room));
                }
                buckets.finish().map(drop)
            };
            nothing_allocated("buckets", rounds, world)
        })
        .unwrap_or_else(|error| panic!("{ranks} ranks, {room} items: {error}"));
    }
}

/// Refinements where the coarse points are and elsewhere, and fields that move from one to the other and back.
#[test]
fn refinements() {
    for ranks in [1, 2, 3] {
        testing::try_ranks(ranks, true, |world| {
            let p = world.size();
            let coarse = Grid::over(world, [30, 40]).halo(2).dims([p, 1]).build()?;
            let part = Block { start: [4, 10], shape: [20, 30] };
            let mut here = Refinement::in_place(&coarse, part, 2)?;
            let mut there = Refinement::dealt(world, Some(&coarse), part, 2, p - 1..p)?;
            let (mut go, mut come) = (here.migration(&there)?, there.migration(&here)?);
            let field = Field::new(&coarse, 1.5)?;
            let mut mine = here.fine().map(|grid| Field::new(grid, 0.0)).transpose()?;
            let mut dealt = there.fine().map(|grid| Field::new(grid, 0.0)).transpose()?;
            let round = |_: &Comm| {
                here.prolong(Some(&field), mine.as_mut())?;
                there.prolong(Some(&field), dealt.as_mut())?;
                go.run_parts(mine.as_ref(), dealt.as_mut())?;
                come.run_parts(dealt.as_ref(), mine.as_mut())
            };
            nothing_allocated("refinements", round, world)
        })
        .unwrap_or_else(|error| panic!("{ranks} ranks: {error}"));
    }
}

/// A product's messages, buffers and ghosts are those of the one before, on any engine's terms: values inside a letter, and lent.
#[test]
fn sparse_products() {
    use rankine::sparse::{Distribution, SparseMatrix, Vector};
    for n in [8, 60_000] {
        for checked in [false, true] {
            let case = |world: &Comm| {
                let rows = Distribution::even(world, n)?;
                // Each row reads its mirror image, which the other rank has.
                let triplets = rows.range().flat_map(|i| [(i, i, 2.0), (i, n - 1 - i, 1.0)]);
                let a = SparseMatrix::from_triplets(&rows, &rows, triplets)?;
                let (x, mut y) = (Vector::filled(&rows, 1.0), Vector::zeros(&rows));
                nothing_allocated("sparse products", |_| a.multiply(&x, &mut y), world)?;
                assert!(y.local().iter().all(|&y| y == 3.0));
                nothing_allocated("transposed products", |_| a.multiply_transposed(&x, &mut y), world)?;
                assert!(y.local().iter().all(|&y| y == 3.0));
                Ok(())
            };
            testing::try_ranks(2, checked, case)
                .unwrap_or_else(|error| panic!("checked: {checked}: {error}"));
        }
    }
}

/// Panels of several steps, a factor that is moved first, and moves alone.
#[test]
fn products_of_matrices() {
    for checked in [false, true] {
        testing::try_ranks(2, checked, |world| {
            let layout = BlockCyclic::new(&ProcessGrid::new(world)?, [300, 300], [32, 32])?;
            let a = Matrix::from_fn(&layout, |[i, j]| (i + j) as f64)?;
            let (b, mut c) = (a.duplicate()?, Matrix::zeros(&layout)?);
            let mut product = Product::plan((&layout, Form::Transposed), (&layout, Form::Plain), &layout)?;
            nothing_allocated("a product", |_| product.run(1.0, &a, &b, 0.0, &mut c), world)?;
            let mut turn = Rearrangement::transposing(&layout, &layout.transposed())?;
            let mut t = Matrix::zeros(&layout.transposed())?;
            nothing_allocated("a transpose", |_| turn.run(&a, &mut t), world)
        })
        .unwrap_or_else(|error| panic!("checked: {checked}: {error}"));
    }
}

/// Of one axis over all ranks: in four steps, and as a convolution.
#[test]
fn transforms_of_one_axis() {
    use num_complex::Complex;
    use rankine::{Fft, RealFft};
    for (n, rounds) in [(1155, [50, 100]), (65_537, [4, 6])] {
        testing::try_ranks(3, true, |world| {
            let grid = Grid::over(world, [n]).build()?;
            let (mut field, mut real) = (Field::new(&grid, Complex::new(1.0, 2.0))?, Field::new(&grid, 1.0)?);
            let (mut fft, mut real_fft) = (Fft::plan(&grid)?, RealFft::plan(&grid)?);
            let mut spectrum = Field::new(fft.spectrum_grid(), Complex::default())?;
            let mut half = Field::new(real_fft.spectrum_grid(), Complex::default())?;
            let round = |_: &Comm| {
                fft.forward(&field, &mut spectrum)?;
                fft.inverse(&spectrum, &mut field)?;
                real_fft.forward(&real, &mut half)?;
                real_fft.inverse(&half, &mut real)
            };
            nothing_allocated_in(rounds, "transforms of one axis", round, world)
        })
        .unwrap_or_else(|error| panic!("{n} cells: {error}"));
    }
}

/// Between levels, with a part of the ranks on the coarse one and with all; on cells and on faces.
#[test]
fn transfers_between_levels() {
    use rankine::Prolongation;
    for (cells, ranks) in [([16, 24], 2), ([16, 8], 4), ([64, 64], 3)] {
        testing::try_ranks(ranks, true, |world| {
            let levels = Grid::new(world, cells)?.coarsen()?.expect("even numbers of cells");
            for staggered in [[false; 2], [true, false]] {
                let mut fine = Field::staggered(levels.fine(), staggered, 1.0)?;
                let mut coarse = Field::staggered(levels.coarse(), staggered, 1.0)?;
                let round = |_: &Comm| {
                    levels.restrict(&mut fine, &mut coarse)?;
                    levels.prolong(&mut coarse, &mut fine, Prolongation::Linear)?;
                    levels.correct(&mut coarse, &mut fine, Prolongation::Constant)
                };
                nothing_allocated("transfers", round, world)?;
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{cells:?} on {ranks} ranks: {error}"));
    }
}

#[test]
fn ghosts_brought_up_to_date() {
    use rankine::particles::{Particle, Particles};
    #[derive(Clone, Copy, rankine::Element)]
    #[repr(C)]
    struct Ball {
        x: [f64; 2],
        id: u64,
    }
    impl Particle<2> for Ball {
        fn id(&self) -> u64 {
            self.id
        }
        fn position(&self) -> [f64; 2] {
            self.x
        }
        fn set_position(&mut self, x: [f64; 2]) {
            self.x = x;
        }
    }
    testing::try_ranks(3, true, |world| {
        let grid = Grid::over(world, [12, 12]).periodic([true, true]).build()?;
        let all = if world.rank() == 0 { 0..1000 } else { 0..0 };
        let balls = all.map(|id| Ball { x: [(id % 37) as f64 / 37.0, (id % 41) as f64 / 41.0], id });
        let mut balls = Particles::new(&grid, [0.0; 2], [1.0; 2], balls)?;
        let mut ghosts = balls.plan_ghosts(0.1)?;
        assert!(!ghosts.local().is_empty());
        let round = |_: &Comm| {
            balls.local_mut().iter_mut().for_each(|ball| ball.x[0] += 1e-6);
            ghosts.refresh(&balls)
        };
        nothing_allocated("ghosts", round, world)
    })
    .unwrap();
}

#[test]
fn rows_of_columns_that_travel() {
    testing::ranks([1, 2, 3], |world| {
        let next = (world.rank() + 1) % world.size();
        let mut rows = Columns::<f64, 3>::new();
        (0..1000).try_for_each(|i| rows.push([f64::from(i); 3]))?;
        let leaving: Vec<usize> = (0..1000).step_by(3).collect();
        let round = |world: &Comm| rows.migrate(world, &leaving, |_| next).map(drop);
        nothing_allocated("rows", round, world)
    });
}
