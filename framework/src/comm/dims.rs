//! Balanced grids: MPI_Dims_create.
//!
//! How a [`Grid`](crate::Grid) of cells is cut weighs its faces, too, and is decided in `grid`.

use crate::error::{Error, Result};
use std::panic::Location;

/// The sizes of a grid of `nodes` ranks: entries of `constraints` that are not 0 are kept, and the others chosen as equal
/// as possible, in descending order. Local, and the same on every rank.
///
/// Among all choices it is the one with the smallest largest entry, then the smallest second largest, and so on.
///
/// ```
/// use rankine::dims_create;
/// assert_eq!(dims_create(6, &[0, 0])?, [3, 2]);
/// assert_eq!(dims_create(7, &[0, 0])?, [7, 1]);
/// assert_eq!(dims_create(6, &[0, 3, 0])?, [2, 3, 1]);
/// assert!(dims_create(7, &[0, 3, 0]).is_err());
/// # Ok::<(), rankine::Error>(())
/// ```
///
/// # Errors
/// No grid with these constraints has `nodes` ranks.
#[track_caller]
pub fn dims_create(nodes: usize, constraints: &[usize]) -> Result<Vec<usize>> {
    let fixed = constraints.iter().filter(|&&dim| dim != 0).try_fold(1usize, |a, &b| a.checked_mul(b));
    let free = constraints.iter().filter(|&&dim| dim == 0).count();
    let rest = fixed.filter(|&fixed| nodes > 0 && nodes.is_multiple_of(fixed)).map(|fixed| nodes / fixed);
    let Some(chosen) = rest.and_then(|rest| balanced(rest, free, rest)) else {
        return Err(Error::usage(format!("dims_create: no grid {constraints:?} has {nodes} ranks"))
            .help("the fixed sizes must divide the number of ranks; 0 leaves a size open")
            .at(Location::caller()));
    };
    let mut chosen = chosen.into_iter();
    let fill = |&dim: &usize| if dim == 0 { chosen.next().unwrap_or(1) } else { dim };
    Ok(constraints.iter().map(fill).collect())
}

/// `count` factors of `n`, none above `limit`, descending: the lexicographically smallest.
fn balanced(n: usize, count: usize, limit: usize) -> Option<Vec<usize>> {
    if count <= 1 {
        return match count {
            0 => (n == 1).then(Vec::new),
            _ => (n <= limit).then(|| vec![n]),
        };
    }
    // The largest factor is at least the root.
    let reaches = |d: &usize| d.checked_pow(count as u32).is_none_or(|power| power >= n);
    divisors(n).into_iter().filter(reaches).take_while(|&d| d <= limit).find_map(|d| {
        let mut factors = vec![d];
        factors.extend(balanced(n / d, count - 1, d)?);
        Some(factors)
    })
}

/// In ascending order.
fn divisors(n: usize) -> Vec<usize> {
    let low: Vec<usize> =
        (1..).take_while(|d: &usize| d.saturating_mul(*d) <= n).filter(|d| n.is_multiple_of(*d)).collect();
    let high = low.iter().rev().map(|d| n / d).filter(|d| d.saturating_mul(*d) > n);
    low.iter().copied().chain(high).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let cases: [(usize, &[usize], &[usize]); 16] = [
            (6, &[0, 0], &[3, 2]),
            (7, &[0, 0], &[7, 1]),
            (6, &[0, 3, 0], &[2, 3, 1]),
            (1, &[0, 0, 0], &[1, 1, 1]),
            (8, &[0, 0, 0], &[2, 2, 2]),
            (12, &[0, 0, 0], &[3, 2, 2]),
            (16, &[0, 0, 0], &[4, 2, 2]),
            (36, &[0, 0], &[6, 6]),
            (48, &[0, 0, 0], &[4, 4, 3]),
            // Where taking prime factors one by one goes wrong: 8 × 6 would be 12 × 4.
            (48, &[0, 0], &[8, 6]),
            (72, &[0, 0], &[9, 8]),
            (1024, &[0, 0, 0], &[16, 8, 8]),
            (24, &[2, 0, 0], &[2, 4, 3]),
            (24, &[2, 3, 4], &[2, 3, 4]),
            (1_000_000, &[0, 0, 0], &[100, 100, 100]),
            (1, &[], &[]),
        ];
        for (nodes, constraints, expected) in cases {
            assert_eq!(dims_create(nodes, constraints).unwrap(), expected, "{nodes} {constraints:?}");
        }
    }

    #[test]
    fn impossible_grids() {
        let cases: [(usize, &[usize]); 6] =
            [(7, &[0, 3, 0]), (6, &[4]), (24, &[2, 3, 5]), (2, &[]), (0, &[0]), (5, &[usize::MAX, 2])];
        for (nodes, constraints) in cases {
            let error = dims_create(nodes, constraints).unwrap_err();
            assert!(error.to_string().contains("no grid"), "{nodes} {constraints:?}");
        }
    }

    #[test]
    fn agrees_with_trying_everything() {
        for n in 1..=200usize {
            for count in 1..=4 {
                let mut all = Vec::new();
                every(n, count, n, &mut Vec::new(), &mut all);
                assert_eq!(balanced(n, count, n), all.into_iter().min(), "{n} in {count}");
            }
        }
    }

    /// All descending factorizations.
    fn every(n: usize, count: usize, limit: usize, so_far: &mut Vec<usize>, all: &mut Vec<Vec<usize>>) {
        if count == 0 {
            if n == 1 {
                all.push(so_far.clone());
            }
            return;
        }
        for d in (1..=limit.min(n)).filter(|d| n.is_multiple_of(*d)) {
            so_far.push(d);
            every(n / d, count - 1, d, so_far, all);
            so_far.pop();
        }
    }
}
