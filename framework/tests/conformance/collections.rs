//! Distributed collections: against the same operations on one vector, on any number of ranks, however items lie.

use super::dice::Dice;
use rankine::collection::{Serde, ordered};
use rankine::{Comm, DistVec, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Items for all ranks, which every rank knows.
fn items(len: usize, keys: usize, seed: u64) -> Vec<[u64; 2]> {
    let mut dice = Dice::new(seed);
    (0..len).map(|i| [dice.below(keys) as u64, i as u64]).collect()
}

/// A rank's part: even, all on one rank, or a few on the first ones and the rest on the last.
fn part<T: Clone>(world: &Comm, all: &[T], how: usize) -> Vec<T> {
    let (rank, size) = (world.rank(), world.size());
    let cut = |rank: usize| match how {
        0 => all.len() * rank / size,
        1 => {
            if rank > size / 2 {
                all.len()
            } else {
                0
            }
        }
        _ => {
            if rank == size {
                all.len()
            } else {
                rank.min(all.len())
            }
        }
    };
    all[cut(rank)..cut(rank + 1)].to_vec()
}

fn is_balanced<T, W: rankine::collection::Way<T>>(all: &DistVec<T, W>) -> Result<()> {
    let (mine, ranks) = (all.local().len(), all.comm().size());
    let total = all.len()?;
    assert!(mine == total / ranks || mine == total.div_ceil(ranks), "{mine} of {total} on one of {ranks}");
    Ok(())
}

pub fn sorts(world: &Comm) -> Result<()> {
    // Many keys, few, one, sorted ones and reversed ones, fewer items than ranks, none.
    let mut inputs: Vec<Vec<[u64; 2]>> = [(1000, 1 << 30), (1000, 3), (1000, 1), (3, 2), (1, 1), (0, 1)]
        .iter()
        .enumerate()
        .map(|(seed, &(len, keys))| items(len, keys, seed as u64))
        .collect();
    inputs.push((0..700).map(|i| [i, i]).collect());
    inputs.push((0..700).map(|i| [700 - i, i]).collect());
    // Nine of ten have one key.
    inputs.push(items(900, 10, 4).into_iter().map(|[key, i]| [if key == 0 { i } else { 450 }, i]).collect());
    for input in &inputs {
        let mut expected = input.clone();
        expected.sort_by_key(|item| item[0]);
        for how in 0..3 {
            let all = DistVec::new(world, part(world, input, how))?;
            let sorted = all.sort_by_key(|item| item[0])?;
            is_balanced(&sorted)?;
            assert_eq!(sorted.to_vec()?, expected);
            let values = DistVec::of_values(world, part(world, input, how))?.sort_by_key(|item| item[0])?;
            assert_eq!(values.to_vec()?, expected);
        }
    }
    let mut numbers = vec![1.5, -0.0, 0.0, f64::INFINITY, -3.0, f64::NEG_INFINITY, 1e-300, -1e-300];
    let sorted = DistVec::new(world, part(world, &numbers, 0))?.sort_by_key(|x| ordered(*x))?;
    numbers.sort_by(f64::total_cmp);
    assert!(sorted.to_vec()?.iter().zip(&numbers).all(|(a, b)| a.to_bits() == b.to_bits()));
    Ok(())
}

/// Buckets themselves are near an even share before they are balanced: no rank ever holds much more.
pub fn keys_by_key(world: &Comm) -> Result<()> {
    for (seed, keys) in [(1, 1), (2, 2), (3, 50), (4, 100_000)] {
        let input = items(2000, keys, seed);
        let mut sums = BTreeMap::<u64, Vec<u64>>::new();
        input.iter().for_each(|&[key, i]| sums.entry(key).or_default().push(i));
        for how in 0..3 {
            let all = DistVec::new(world, part(world, &input, how))?;
            // Not commutative: the last of all is kept.
            let last = all.clone().reduce_by_key(|item| item[0], |_, b| b)?;
            is_balanced(&last)?;
            let expected: Vec<[u64; 2]> =
                sums.iter().map(|(&key, values)| [key, values[values.len() - 1]]).collect();
            assert_eq!(last.to_vec()?, expected);
            let counted =
                all.clone().map(|[key, _]| [key, 1]).reduce_by_key(|i| i[0], |a, b| [a[0], a[1] + b[1]])?;
            let expected: Vec<[u64; 2]> =
                sums.iter().map(|(&key, values)| [key, values.len() as u64]).collect();
            assert_eq!(counted.to_vec()?, expected);

            let shuffled = all.shuffle_by_key(|item| item[0])?;
            let mut mine = BTreeMap::<u64, Vec<u64>>::new();
            shuffled.local().iter().for_each(|&[key, i]| mine.entry(key).or_default().push(i));
            // Whole groups, in order.
            assert!(mine.iter().all(|(key, values)| sums[key] == *values));
            assert_eq!(shuffled.len()?, input.len());
            assert_eq!(world.allreduce(mine.len(), rankine::op::Sum)?, sums.len());
        }
    }
    Ok(())
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Word {
    text: String,
    pages: Vec<u32>,
}

pub fn words(world: &Comm) -> Result<()> {
    let texts = ["rank", "halo", "", "stencil", "a word that is longer than the others"];
    let word = |i: usize| Word { text: texts[i * i % 5].into(), pages: vec![i as u32; i % 3] };
    let all = DistVec::generate_values(world, 40, word)?;
    let index = all.reduce_by_key(
        |word| word.text.clone(),
        |mut a, mut b| {
            a.pages.append(&mut b.pages);
            a
        },
    )?;
    let mut expected = BTreeMap::<String, Vec<u32>>::new();
    (0..40).map(word).for_each(|mut word| expected.entry(word.text).or_default().append(&mut word.pages));
    let expected: Vec<Word> = expected.into_iter().map(|(text, pages)| Word { text, pages }).collect();
    assert_eq!(index.to_vec()?, expected);
    let root = world.size() - 1;
    let there = index.map(|word| word.pages.len() as u64).gather(root)?;
    let lens: Vec<u64> = expected.iter().map(|word| word.pages.len() as u64).collect();
    assert_eq!(there, (world.rank() == root).then_some(lens));
    Ok(())
}

pub fn chains(world: &Comm) -> Result<()> {
    for how in 0..3 {
        let input: Vec<i64> = (0..500).collect();
        let all = DistVec::new(world, part(world, &input, how))?;
        assert_eq!(world.allreduce(all.local().len(), rankine::op::Sum)?, 500);
        let before = all.start()?;
        assert!(all.local().first().is_none_or(|&first| first as usize == before));
        let few = all.clone().filter(|x| x % 7 == 0).flat_map(|x| [x, -x]).balance()?;
        is_balanced(&few)?;
        let expected: Vec<i64> = (0..500).filter(|x| x % 7 == 0).flat_map(|x| [x, -x]).collect();
        assert_eq!(few.to_vec()?, expected);
        let text = few.map_as::<String, Serde>(|x| x.to_string()).reduce(|a, b| a + "," + &b)?;
        assert_eq!(text, Some(expected.iter().map(i64::to_string).collect::<Vec<_>>().join(",")));
        assert_eq!(all.clone().filter(|_| false).reduce(|a, _| a)?, None);
        assert!(all.clone().gather(world.size()).is_err());

        // The first tenth weighs as much as the rest.
        let weight = |x: &i64| if *x < 50 { 9.0 } else { 1.0 };
        let dealt = all.clone().balance_by_weight(weight)?;
        let mine: f64 = dealt.local().iter().map(weight).sum();
        assert!((mine - 900.0 / world.size() as f64).abs() <= 9.0, "{mine}");
        assert_eq!(dealt.to_vec()?, input);
        assert_eq!(all.clone().balance_by_weight(|_| 0.0)?.to_vec()?, input);
        assert!(all.balance_by_weight(|x| if *x == 300 { f64::NAN } else { 1.0 }).is_err());
    }
    Ok(())
}
