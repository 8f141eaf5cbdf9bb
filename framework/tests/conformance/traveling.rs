//! Columns: rows that go wherever they are said to, each to arrive once and whole.

use super::dice::Dice;
use rankine::op::Sum;
use rankine::particles::Columns;
use rankine::{Comm, Element, ErrorKind, Result};

/// What row `id` has beside its number.
fn beside(id: u64) -> [u64; 2] {
    [id.wrapping_mul(0x9e37_79b9_7f4a_7c15), !id]
}

/// Who has row `id` after so many rounds.
fn home(id: u64, round: u64, ranks: usize) -> usize {
    Dice::new(id << 20 ^ round).below(ranks)
}

/// All rows of all ranks, whole, each once.
fn all_there(world: &Comm, rows: &Columns<u64, 3>, total: u64) -> Result<()> {
    let [ids, a, b] = rows.columns();
    assert!((0..rows.len()).all(|row| [a[row], b[row]] == beside(ids[row])));
    let sums = [ids.len() as u64, ids.iter().sum(), ids.iter().map(|id| id * id).sum()];
    let squares = (0..total).map(|id| id * id).sum();
    assert_eq!(world.allreduce(sums, Sum)?, [total, (0..total).sum(), squares]);
    Ok(())
}

/// Every rank has other numbers of rows, some have none.
fn dealt(world: &Comm) -> Result<(Columns<u64, 3>, u64)> {
    let before = |rank: usize| (0..rank as u64).map(|rank| 40 * ((rank + 1) % 3)).sum::<u64>();
    let mut rows = Columns::new();
    for id in before(world.rank())..before(world.rank() + 1) {
        let [a, b] = beside(id);
        rows.push([id, a, b])?;
    }
    Ok((rows, before(world.size())))
}

pub fn rows_go_where_they_are_said(world: &Comm) -> Result<()> {
    let (me, p) = (world.rank(), world.size());
    let (mut rows, total) = dealt(world)?;
    for round in 0..20 {
        let ids = rows.columns()[0];
        // Those that stay are named too, by turns.
        let goes = |row: &usize| round % 2 == 0 || home(ids[*row], round, p) != me;
        let leaving: Vec<usize> = (0..rows.len()).filter(goes).collect();
        let came = rows.migrate(world, &leaving, |row| home(row[0], round, p))?;
        assert!(came <= rows.len());
        assert!(rows.columns()[0].iter().all(|&id| home(id, round, p) == me));
        all_there(world, &rows, total)?;
    }
    Ok(())
}

pub fn all_to_one_and_back(world: &Comm) -> Result<()> {
    let (mut rows, total) = dealt(world)?;
    for host in [0, world.size() - 1, world.size() / 2] {
        let everyone: Vec<usize> = (0..rows.len()).collect();
        let had = rows.len();
        let came = rows.migrate(world, &everyone, |_| host)?;
        let expected = if world.rank() == host { total as usize - had } else { 0 };
        assert_eq!((came, rows.is_empty()), (expected, world.rank() != host));
        assert_eq!(rows.len(), if world.rank() == host { total as usize } else { 0 });
        all_there(world, &rows, total)?;
        let everyone: Vec<usize> = (0..rows.len()).collect();
        rows.migrate(world, &everyone, |row| row[0] as usize % world.size())?;
        all_there(world, &rows, total)?;
    }
    Ok(())
}

pub fn any_type_and_many_rows(world: &Comm) -> Result<()> {
    many(world, |i| i as f32)?;
    many(world, |i| [i as i16, -1])?;
    many(world, |i| i as u8)
}

/// Enough of them for messages of many kilobytes, to the next rank and round the ring.
fn many<T: Element + PartialEq>(world: &Comm, value: impl Fn(usize) -> T) -> Result<()> {
    let next = (world.rank() + 1) % world.size();
    let mut rows = Columns::<T, 1>::new();
    (0..5000).try_for_each(|i| rows.push([value(i)]))?;
    for _ in 0..world.size() {
        let odd: Vec<usize> = (1..rows.len()).step_by(2).collect();
        let came = rows.migrate(world, &odd, |_| next)?;
        assert_eq!(came, if world.size() == 1 { 0 } else { 2500 });
        assert!(rows.columns()[0].iter().enumerate().all(|(i, found)| *found == value(i)));
    }
    Ok(())
}

pub fn mistakes(world: &Comm) -> Result<()> {
    let (mut rows, total) = dealt(world)?;
    for _ in 0..20 {
        let [a, b] = beside(0);
        rows.push([0, a, b])?;
    }
    let before: Vec<Vec<u64>> = rows.columns().map(<[u64]>::to_vec).into();
    let (guilty, p) = (world.size() - 1, world.size());
    let past = format!("migrate: row {}, of {}, at 1 of those that leave", rows.len(), rows.len());
    for (leaving, to, words) in [
        (vec![3, rows.len()], 0, &*past),
        (vec![3, 3], 0, "row 3, of"),
        (vec![4, 3], 0, "at 1 of those that leave"),
        (vec![2], p, &*format!("rank {p} as the owner of row 2, of {p} ranks")),
    ] {
        let mine = world.rank() == guilty;
        let (leaving, to) = if mine { (leaving, to) } else { (vec![0], 0) };
        let error = rows.migrate(world, &leaving, |_| to).unwrap_err();
        assert_eq!(error.kind(), if mine { ErrorKind::Usage } else { ErrorKind::Elsewhere }, "{error}");
        let text = error.to_string();
        assert!(!mine || text.contains(words) && text.contains("traveling.rs:"), "{text}");
        assert_eq!(rows.columns().map(<[u64]>::to_vec).to_vec(), before, "nothing has moved");
    }
    // Afterwards all is well.
    let everyone: Vec<usize> = (0..rows.len()).collect();
    rows.migrate(world, &everyone, |row| row[0] as usize % p)?;
    let here = rows.len() as u64;
    assert_eq!(world.allreduce(here, Sum)?, total + 20 * p as u64);
    Ok(())
}
