//! Property tests of the collectives that reduce: every form against its reference.

use super::dice::Dice;
use super::forms::{one, one_owned, two, two_owned};
use super::reference::{self, Matrix, Record, Value, brought, first, larger, length, product};
use num_complex::Complex;
use rankine::op::{BitXor, Max, Min, Prod, Sum};
use rankine::{Comm, Op, Result};

/// Rounds of a case, each with a type and operator of its own, the same on all ranks.
macro_rules! rounds {
    ($world:expr, $case:ident, $seed:literal) => {{
        let mut dice = Dice::new($seed * 100 + $world.size() as u64);
        for _ in 0..10 {
            match dice.below(10) {
                0 => $case::<f64, _>($world, &mut dice, Sum)?,
                1 => $case::<f64, _>($world, &mut dice, Min)?,
                2 => $case::<i32, _>($world, &mut dice, Max)?,
                3 => $case::<u8, _>($world, &mut dice, Prod)?,
                4 => $case::<Complex<f64>, _>($world, &mut dice, Sum)?,
                5 => $case::<[f64; 3], _>($world, &mut dice, Max)?,
                6 => $case::<i64, _>($world, &mut dice, BitXor)?,
                7 => $case::<Record, _>($world, &mut dice, larger)?,
                8 => $case::<i32, _>($world, &mut dice, first)?,
                _ => $case::<Matrix, _>($world, &mut dice, product)?,
            }
        }
        Ok(())
    }};
}

/// This rank's contribution, and what its receive buffer holds before.
fn drawn<T: Value>(comm: &Comm, dice: &mut Dice, len: usize) -> (Vec<T>, Vec<T>) {
    let seed = dice.below(1 << 20);
    (brought(seed, comm.rank(), len), brought(seed, 777, len))
}

pub fn reduce(world: &Comm) -> Result<()> {
    fn case<T: Value, O: Op<T>>(comm: &Comm, dice: &mut Dice, op: O) -> Result<()> {
        let (len, root) = (length(dice), dice.below(comm.size()));
        let (mine, before) = drawn::<T>(comm, dice, len);
        let answer = reference::reduce(comm, &mine, op, root)?;
        if let Some(&value) = mine.first() {
            assert_eq!(comm.reduce(value, op, root)?, answer.as_ref().map(|answer| answer[0]));
        }
        let after = answer.clone().unwrap_or(before.clone());
        let buffers = (&mine[..], &before[..], &after[..]);
        two(comm, buffers, |a, b| comm.reduce_into(a, b, op, root), |s, a, b| s.ireduce(a, b, op, root))?;
        let buffers = (&mine[..], &answer.unwrap_or(mine.clone())[..]);
        one(comm, buffers, |a| comm.reduce_in_place(a, op, root), |s, a| s.ireduce_in_place(a, op, root))?;
        one_owned(buffers, |a| comm.ireduce_owned(a, op, root), |a| comm.plan_reduce(a, op, root))
    }
    rounds!(world, case, 1)
}

pub fn allreduce(world: &Comm) -> Result<()> {
    fn case<T: Value, O: Op<T>>(comm: &Comm, dice: &mut Dice, op: O) -> Result<()> {
        let len = length(dice);
        let (mine, before) = drawn::<T>(comm, dice, len);
        let after = reference::allreduce(comm, &mine, op)?;
        if let Some(&value) = mine.first() {
            assert_eq!(comm.allreduce(value, op)?, after[0]);
        }
        let buffers = (&mine[..], &before[..], &after[..]);
        two(comm, buffers, |a, b| comm.allreduce_into(a, b, op), |s, a, b| s.iallreduce(a, b, op))?;
        let buffers = (&mine[..], &after[..]);
        one(comm, buffers, |a| comm.allreduce_in_place(a, op), |s, a| s.iallreduce_in_place(a, op))?;
        one_owned(buffers, |a| comm.iallreduce_owned(a, op), |a| comm.plan_allreduce(a, op))
    }
    rounds!(world, case, 2)
}

pub fn scan(world: &Comm) -> Result<()> {
    fn case<T: Value, O: Op<T>>(comm: &Comm, dice: &mut Dice, op: O) -> Result<()> {
        let len = length(dice);
        let (mine, before) = drawn::<T>(comm, dice, len);
        let after = reference::scan(comm, &mine, op)?;
        if let Some(&value) = mine.first() {
            assert_eq!(comm.scan(value, op)?, after[0]);
        }
        let buffers = (&mine[..], &before[..], &after[..]);
        two(comm, buffers, |a, b| comm.scan_into(a, b, op), |s, a, b| s.iscan(a, b, op))?;
        let buffers = (&mine[..], &after[..]);
        one(comm, buffers, |a| comm.scan_in_place(a, op), |s, a| s.iscan_in_place(a, op))?;
        one_owned(buffers, |a| comm.iscan_owned(a, op), |a| comm.plan_scan(a, op))
    }
    rounds!(world, case, 3)
}

pub fn exscan(world: &Comm) -> Result<()> {
    fn case<T: Value, O: Op<T>>(comm: &Comm, dice: &mut Dice, op: O) -> Result<()> {
        let len = length(dice);
        let (mine, before) = drawn::<T>(comm, dice, len);
        let answer = reference::exscan(comm, &mine, op)?;
        if let Some(&value) = mine.first() {
            assert_eq!(comm.exscan(value, op)?, answer.as_ref().map(|answer| answer[0]));
        }
        // The first rank's buffer is left alone.
        let after = answer.clone().unwrap_or(before.clone());
        let buffers = (&mine[..], &before[..], &after[..]);
        two(comm, buffers, |a, b| comm.exscan_into(a, b, op), |s, a, b| s.iexscan(a, b, op))?;
        let buffers = (&mine[..], &answer.unwrap_or(mine.clone())[..]);
        one(comm, buffers, |a| comm.exscan_in_place(a, op), |s, a| s.iexscan_in_place(a, op))?;
        one_owned(buffers, |a| comm.iexscan_owned(a, op), |a| comm.plan_exscan(a, op))
    }
    rounds!(world, case, 4)
}

pub fn reduce_scatter(world: &Comm) -> Result<()> {
    fn case<T: Value, O: Op<T>>(comm: &Comm, dice: &mut Dice, op: O) -> Result<()> {
        let counts: Vec<usize> = (0..comm.size()).map(|_| length(dice)).collect();
        let own = counts[comm.rank()];
        let (mine, mut before) = drawn::<T>(comm, dice, counts.iter().sum());
        before.truncate(own);
        let after = reference::reduce_scatter(comm, &mine, &counts, op)?;
        assert_eq!(comm.reduce_scatter(&mine, &counts, op)?, after);
        let buffers = (&mine[..], &before[..], &after[..]);
        two(
            comm,
            buffers,
            |a, b| comm.reduce_scatter_into(a, b, &counts, op),
            |s, a, b| s.ireduce_scatter(a, b, &counts, op),
        )?;
        two_owned(
            buffers,
            |a, b| comm.ireduce_scatter_owned(a, b, &counts, op),
            |a, b| comm.plan_reduce_scatter(a, b, &counts, op),
        )?;
        let mut data = mine.clone();
        comm.reduce_scatter_in_place(&mut data, &counts, op)?;
        assert_eq!(data[..own], after);
        let mut data = mine;
        comm.scope(|s| {
            let data = s.ireduce_scatter_in_place(&mut data, &counts, op)?.wait()?;
            assert_eq!(data[..own], after);
            Ok(())
        })
    }
    rounds!(world, case, 5)
}

pub fn reduce_scatter_block(world: &Comm) -> Result<()> {
    fn case<T: Value, O: Op<T>>(comm: &Comm, dice: &mut Dice, op: O) -> Result<()> {
        let own = length(dice);
        let (mine, mut before) = drawn::<T>(comm, dice, own * comm.size());
        before.truncate(own);
        let after = reference::reduce_scatter(comm, &mine, &vec![own; comm.size()], op)?;
        assert_eq!(comm.reduce_scatter_block(&mine, op)?, after);
        let buffers = (&mine[..], &before[..], &after[..]);
        two(
            comm,
            buffers,
            |a, b| comm.reduce_scatter_block_into(a, b, op),
            |s, a, b| s.ireduce_scatter_block(a, b, op),
        )?;
        two_owned(
            buffers,
            |a, b| comm.ireduce_scatter_block_owned(a, b, op),
            |a, b| comm.plan_reduce_scatter_block(a, b, op),
        )?;
        let mut data = mine.clone();
        comm.reduce_scatter_block_in_place(&mut data, op)?;
        assert_eq!(data[..own], after);
        let mut data = mine;
        comm.scope(|s| {
            let data = s.ireduce_scatter_block_in_place(&mut data, op)?.wait()?;
            assert_eq!(data[..own], after);
            Ok(())
        })
    }
    rounds!(world, case, 6)
}
