//! What exact sums cost: numbers a second beside a plain sum, and the reduction of accumulators beside that of numbers.
//!
//! `cargo bench -p rankine --bench exact` prints one line for each.
#![allow(clippy::print_stdout)]

use rankine::op::{Exact, Sum};
use std::hint::black_box;
use std::time::Instant;

fn main() {
    let len = 1_000_000;
    let mut state = 1u64;
    let mut unit = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 11) as f64 * 2f64.powi(-52) - 1.0
    };
    let like: Vec<f64> = (0..len).map(|_| unit()).collect();
    let wide: Vec<f64> = (0..len).map(|_| unit() * 2f64.powi((unit() * 1000.0) as i32)).collect();
    let decades: Vec<f64> = (0..len).map(|_| unit() * 10f64.powi((unit() * 15.0) as i32)).collect();

    let rate = |what: &str, sum: &dyn Fn() -> f64| {
        let best = (0..30).map(|_| {
            let start = Instant::now();
            black_box(sum());
            start.elapsed().as_secs_f64()
        });
        println!("{what:<44} {:7.0} million a second", len as f64 / best.fold(f64::MAX, f64::min) / 1e6);
    };
    let exact = |values: &[f64]| {
        let mut sum = Exact::new();
        sum.add_all(black_box(values));
        sum.value()
    };
    rate("plain sum, in order", &|| black_box(&like).iter().sum());
    rate("plain sum, in eight lanes", &|| {
        let mut lanes = [0.0; 8];
        for group in black_box(&like).as_chunks::<8>().0 {
            lanes.iter_mut().zip(group).for_each(|(lane, x)| *lane += x);
        }
        lanes.iter().sum()
    });
    rate("exact, uniform in (-1, 1)", &|| exact(&like));
    rate("exact, 30 decades", &|| exact(&decades));
    rate("exact, 600 decades", &|| exact(&wide));
    rate("exact, one number at a time", &|| black_box(&like).iter().copied().collect::<Exact>().value());

    for ranks in [1, 2] {
        rankine::testing::ranks([ranks], |world| {
            let values = [1.0 + world.rank() as f64; 8];
            let mut many = vec![0.1; 100_000];
            let time = |what: &str, times: u32, call: &mut dyn FnMut() -> rankine::Result<()>| {
                world.barrier()?;
                let start = Instant::now();
                for _ in 0..times {
                    call()?;
                }
                let each = start.elapsed() / times;
                if world.rank() == 0 {
                    println!("{ranks} ranks: {what:<35} {each:?}");
                }
                rankine::Result::Ok(())
            };
            time("allreduce of an f64", 20_000, &mut || world.allreduce(values[0], Sum).map(drop))?;
            time("sum_reproducible of 8 f64 a rank", 20_000, &mut || {
                world.sum_reproducible(&values).map(drop)
            })?;
            time("allreduce of 100,000 f64", 100, &mut || world.allreduce_in_place(&mut many, Sum))?;
            many.fill(0.1);
            time("allreduce_reproducible of 100,000 f64", 100, &mut || {
                world.allreduce_reproducible(&mut many)
            })
        });
    }
}
