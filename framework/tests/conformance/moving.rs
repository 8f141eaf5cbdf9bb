//! Property tests of the collectives that move data: every form against its reference.

use super::dice::Dice;
use super::forms::{one, one_owned, two, two_owned};
use super::reference::{self, Matrix, Record, Value, brought, length, placed, spread};
use num_complex::Complex;
use rankine::{Blocks, Comm, Result};

/// Rounds of a case, each with an element type, lengths, displacements and root of its own, the same on all ranks.
macro_rules! rounds {
    ($world:expr, $case:ident, $seed:literal) => {{
        let mut dice = Dice::new($seed * 100 + $world.size() as u64);
        for _ in 0..8 {
            match dice.below(7) {
                0 => $case::<f64>($world, &mut dice)?,
                1 => $case::<i32>($world, &mut dice)?,
                2 => $case::<u8>($world, &mut dice)?,
                3 => $case::<Record>($world, &mut dice)?,
                4 => $case::<Matrix>($world, &mut dice)?,
                5 => $case::<[f64; 3]>($world, &mut dice)?,
                _ => $case::<Complex<f64>>($world, &mut dice)?,
            }
        }
        Ok(())
    }};
}

fn counts(comm: &Comm, dice: &mut Dice) -> Vec<usize> {
    (0..comm.size()).map(|_| length(dice)).collect()
}

/// The ranks' blocks of these lengths out of what `rank` brings.
fn cut<T: Value>(seed: usize, rank: usize, counts: &[usize]) -> Vec<Vec<T>> {
    counts.iter().enumerate().map(|(to, &len)| brought(seed + to + 1, rank, len)).collect()
}

/// What receive buffers hold before: seen again in the gaps.
fn filled<T: Value>(len: usize) -> Vec<T> {
    (0..len).map(|i| T::of(i as u64 + 11)).collect()
}

pub fn bcast(world: &Comm) -> Result<()> {
    fn case<T: Value>(comm: &Comm, dice: &mut Dice) -> Result<()> {
        let (len, root, seed) = (length(dice), dice.below(comm.size()), dice.below(1 << 20));
        let mine: Vec<T> = brought(seed, comm.rank(), len);
        let after = &reference::bcast(comm, &mine, root)?;
        one(comm, (&mine, after), |data| comm.bcast(data, root), |s, data| s.ibcast(data, root))?;
        one_owned((&mine, after), |data| comm.ibcast_owned(data, root), |data| comm.plan_bcast(data, root))
    }
    rounds!(world, case, 1)
}

pub fn gather(world: &Comm) -> Result<()> {
    fn case<T: Value>(comm: &Comm, dice: &mut Dice) -> Result<()> {
        let (len, root, seed) = (length(dice), dice.below(comm.size()), dice.below(1 << 20));
        let mine: Vec<T> = brought(seed, comm.rank(), len);
        let gathered = reference::gather(comm, &mine, root)?.map(|blocks| blocks.concat());
        assert_eq!(comm.gather(&mine, root)?, gathered);
        let after = gathered.clone().unwrap_or_default();
        let before = filled(after.len());
        let buffers = (&mine[..], &before[..], &after[..]);
        two(comm, buffers, |a, b| comm.gather_into(a, b, root), |s, a, b| s.igather(a, b, root))?;
        two_owned(buffers, |a, b| comm.igather_owned(a, b, root), |a, b| comm.plan_gather(a, b, root))?;
        assert_eq!(comm.igather_owned(mine.clone(), Vec::new(), root)?.wait()?.1, after);
        // In place the root's own block is there before; the others' buffers stay as they are.
        let mut before = if gathered.is_some() { before } else { mine.clone() };
        if gathered.is_some() {
            before[root * len..][..len].copy_from_slice(&mine);
        }
        let after = gathered.unwrap_or(mine);
        one(comm, (&before, &after), |a| comm.gather_in_place(a, root), |s, a| s.igather_in_place(a, root))
    }
    rounds!(world, case, 2)
}

pub fn gatherv(world: &Comm) -> Result<()> {
    fn case<T: Value>(comm: &Comm, dice: &mut Dice) -> Result<()> {
        let (counts, root, seed) = (counts(comm, dice), dice.below(comm.size()), dice.below(1 << 20));
        let (starts, len) = spread(dice, &counts);
        let mine: Vec<T> = brought(seed, comm.rank(), counts[comm.rank()]);
        let gathered = reference::gather(comm, &mine, root)?;
        assert_eq!(
            comm.gatherv(&mine, root)?,
            gathered.as_ref().map(|blocks| (blocks.concat(), counts.clone()))
        );
        let (blocks, before) = match gathered {
            Some(_) => (Blocks::at(&counts, &starts), filled(len)),
            None => (Blocks::none(), Vec::new()),
        };
        let after = gathered.as_ref().map_or(Vec::new(), |blocks| placed(before.clone(), &starts, blocks));
        let buffers = (&mine[..], &before[..], &after[..]);
        two(
            comm,
            buffers,
            |a, b| comm.gatherv_into(a, b, blocks, root),
            |s, a, b| s.igatherv(a, b, blocks, root),
        )?;
        two_owned(
            buffers,
            |a, b| comm.igatherv_owned(a, b, blocks, root),
            |a, b| comm.plan_gatherv(a, b, blocks, root),
        )?;
        let (before, after) = match gathered {
            Some(_) => {
                let mut before = before;
                before[starts[root]..][..counts[root]].copy_from_slice(&mine);
                (before, after)
            }
            None => (mine.clone(), mine),
        };
        one(
            comm,
            (&before, &after),
            |a| comm.gatherv_in_place(a, blocks, root),
            |s, a| s.igatherv_in_place(a, blocks, root),
        )
    }
    rounds!(world, case, 3)
}

pub fn scatter(world: &Comm) -> Result<()> {
    fn case<T: Value>(comm: &Comm, dice: &mut Dice) -> Result<()> {
        let (len, root, seed) = (length(dice), dice.below(comm.size()), dice.below(1 << 20));
        let at_root = comm.rank() == root;
        let blocks: Vec<Vec<T>> = if at_root { cut(seed, root, &vec![len; comm.size()]) } else { Vec::new() };
        let (send, after) = (blocks.concat(), reference::scatter(comm, &blocks, root)?);
        assert_eq!(comm.scatter(&send, root)?, after);
        let before = filled(len);
        let buffers = (&send[..], &before[..], &after[..]);
        two(comm, buffers, |a, b| comm.scatter_into(a, b, root), |s, a, b| s.iscatter(a, b, root))?;
        two_owned(buffers, |a, b| comm.iscatter_owned(a, b, root), |a, b| comm.plan_scatter(a, b, root))?;
        let (before, after) = if at_root { (&send, &send) } else { (&before, &after) };
        one(comm, (before, after), |a| comm.scatter_in_place(a, root), |s, a| s.iscatter_in_place(a, root))
    }
    rounds!(world, case, 4)
}

pub fn scatterv(world: &Comm) -> Result<()> {
    fn case<T: Value>(comm: &Comm, dice: &mut Dice) -> Result<()> {
        let (counts, root, seed) = (counts(comm, dice), dice.below(comm.size()), dice.below(1 << 20));
        let (starts, len) = spread(dice, &counts);
        let at_root = comm.rank() == root;
        let cut: Vec<Vec<T>> = if at_root { cut(seed, root, &counts) } else { Vec::new() };
        let after = reference::scatter(comm, &cut, root)?;
        let (blocks, send) = match at_root {
            true => (Blocks::at(&counts, &starts), placed(filled(len), &starts, &cut)),
            false => (Blocks::none(), Vec::new()),
        };
        assert_eq!(comm.scatterv(&send, blocks, root)?, after);
        let before = filled(after.len());
        let buffers = (&send[..], &before[..], &after[..]);
        two(
            comm,
            buffers,
            |a, b| comm.scatterv_into(a, blocks, b, root),
            |s, a, b| s.iscatterv(a, blocks, b, root),
        )?;
        two_owned(
            buffers,
            |a, b| comm.iscatterv_owned(a, blocks, b, root),
            |a, b| comm.plan_scatterv(a, blocks, b, root),
        )?;
        let (before, after) = if at_root { (&send, &send) } else { (&before, &after) };
        one(
            comm,
            (before, after),
            |a| comm.scatterv_in_place(a, blocks, root),
            |s, a| s.iscatterv_in_place(a, blocks, root),
        )
    }
    rounds!(world, case, 5)
}

pub fn allgather(world: &Comm) -> Result<()> {
    fn case<T: Value>(comm: &Comm, dice: &mut Dice) -> Result<()> {
        let (len, seed) = (length(dice), dice.below(1 << 20));
        let mine: Vec<T> = brought(seed, comm.rank(), len);
        let after = reference::allgather(comm, &mine)?.concat();
        assert_eq!(comm.allgather(&mine)?, after);
        let mut before = filled(after.len());
        let buffers = (&mine[..], &before[..], &after[..]);
        two(comm, buffers, |a, b| comm.allgather_into(a, b), |s, a, b| s.iallgather(a, b))?;
        two_owned(buffers, |a, b| comm.iallgather_owned(a, b), |a, b| comm.plan_allgather(a, b))?;
        assert_eq!(comm.iallgather_owned(mine.clone(), Vec::new())?.wait()?.1, after);
        before[comm.rank() * len..][..len].copy_from_slice(&mine);
        one(comm, (&before, &after), |a| comm.allgather_in_place(a), |s, a| s.iallgather_in_place(a))
    }
    rounds!(world, case, 6)
}

pub fn allgatherv(world: &Comm) -> Result<()> {
    fn case<T: Value>(comm: &Comm, dice: &mut Dice) -> Result<()> {
        let (counts, seed, me) = (counts(comm, dice), dice.below(1 << 20), comm.rank());
        let (starts, len) = spread(dice, &counts);
        let mine: Vec<T> = brought(seed, me, counts[me]);
        let gathered = reference::allgather(comm, &mine)?;
        assert_eq!(comm.allgatherv(&mine)?, (gathered.concat(), counts.clone()));
        let blocks = Blocks::at(&counts, &starts);
        let mut before = filled(len);
        let after = placed(before.clone(), &starts, &gathered);
        let buffers = (&mine[..], &before[..], &after[..]);
        two(comm, buffers, |a, b| comm.allgatherv_into(a, b, blocks), |s, a, b| s.iallgatherv(a, b, blocks))?;
        two_owned(
            buffers,
            |a, b| comm.iallgatherv_owned(a, b, blocks),
            |a, b| comm.plan_allgatherv(a, b, blocks),
        )?;
        let packed = comm.iallgatherv_owned(mine.clone(), Vec::new(), &counts)?.wait()?.1;
        assert_eq!(packed, gathered.concat());
        before[starts[me]..][..counts[me]].copy_from_slice(&mine);
        one(
            comm,
            (&before, &after),
            |a| comm.allgatherv_in_place(a, blocks),
            |s, a| s.iallgatherv_in_place(a, blocks),
        )
    }
    rounds!(world, case, 7)
}

pub fn alltoall(world: &Comm) -> Result<()> {
    fn case<T: Value>(comm: &Comm, dice: &mut Dice) -> Result<()> {
        let (len, seed) = (length(dice), dice.below(1 << 20));
        let blocks: Vec<Vec<T>> = cut(seed, comm.rank(), &vec![len; comm.size()]);
        let (send, after) = (blocks.concat(), reference::alltoall(comm, &blocks)?.concat());
        assert_eq!(comm.alltoall(&send)?, after);
        let before = filled(send.len());
        let buffers = (&send[..], &before[..], &after[..]);
        two(comm, buffers, |a, b| comm.alltoall_into(a, b), |s, a, b| s.ialltoall(a, b))?;
        two_owned(buffers, |a, b| comm.ialltoall_owned(a, b), |a, b| comm.plan_alltoall(a, b))?;
        one(comm, (&send, &after), |a| comm.alltoall_in_place(a), |s, a| s.ialltoall_in_place(a))
    }
    rounds!(world, case, 8)
}

pub fn alltoallv(world: &Comm) -> Result<()> {
    fn case<T: Value>(comm: &Comm, dice: &mut Dice) -> Result<()> {
        let (me, seed) = (comm.rank(), dice.below(1 << 20));
        // How much rank i sends to rank j.
        let table: Vec<Vec<usize>> = (0..comm.size()).map(|_| counts(comm, dice)).collect();
        let (sent, received) = (table[me].clone(), table.iter().map(|row| row[me]).collect::<Vec<_>>());
        let ((from, send_len), (into, recv_len)) = (spread(dice, &sent), spread(dice, &received));
        let cut: Vec<Vec<T>> = cut(seed, me, &sent);
        let came = reference::alltoall(comm, &cut)?;
        let (send, before) = (placed(filled(send_len), &from, &cut), filled(recv_len));
        let after = placed(before.clone(), &into, &came);
        let (from, into) = (Blocks::at(&sent, &from), Blocks::at(&received, &into));
        assert_eq!(comm.alltoallv(&send, from)?, (came.concat(), received.clone()));
        let buffers = (&send[..], &before[..], &after[..]);
        two(
            comm,
            buffers,
            |a, b| comm.alltoallv_into(a, from, b, into),
            |s, a, b| s.ialltoallv(a, from, b, into),
        )?;
        two_owned(
            buffers,
            |a, b| comm.ialltoallv_owned(a, from, b, into),
            |a, b| comm.plan_alltoallv(a, from, b, into),
        )
    }
    rounds!(world, case, 9)
}

pub fn alltoallv_in_place(world: &Comm) -> Result<()> {
    fn case<T: Value>(comm: &Comm, dice: &mut Dice) -> Result<()> {
        let (me, seed) = (comm.rank(), dice.below(1 << 20));
        let table: Vec<Vec<usize>> = (0..comm.size()).map(|_| counts(comm, dice)).collect();
        // Between two ranks both ways have one length.
        let counts: Vec<usize> = (0..comm.size()).map(|rank| table[rank.min(me)][rank.max(me)]).collect();
        let mut own = Dice::new((seed + me) as u64);
        let (starts, len) = spread(&mut own, &counts);
        let cut: Vec<Vec<T>> = cut(seed, me, &counts);
        let came = reference::alltoall(comm, &cut)?;
        let before = placed(filled(len), &starts, &cut);
        let after = placed(before.clone(), &starts, &came);
        let blocks = Blocks::at(&counts, &starts);
        one(
            comm,
            (&before, &after),
            |a| comm.alltoallv_in_place(a, blocks),
            |s, a| s.ialltoallv_in_place(a, blocks),
        )
    }
    rounds!(world, case, 10)
}
