//! The kernels on many ranks and threads: right answers validate, damaged ones do not, and what cannot be is refused.

mod amr;
mod branch;
mod dgemm;
mod nstream;
mod p2p;
mod pic;
mod random;
mod reduce;
mod sparse;
mod stencil;
mod sync_global;
mod transpose;

use rankine::kernel::{Kernel, Verdict};
use rankine::{Comm, Launch, Result, Run, testing};

const RANKS: [usize; 6] = [1, 2, 3, 4, 5, 7];

/// It validates and quotes a rate on each of `ranks` and on threads.
pub fn validates_on<K: Kernel>(kernel: &K, ranks: impl IntoIterator<Item = usize>) {
    let passes = |world: &Comm| {
        let summary = Run::new(kernel.clone()).on(world)?;
        assert!(matches!(summary.verdict, Verdict::Passed(_)), "{summary}");
        assert!(
            !summary.quoted.is_empty() && summary.quoted.iter().all(|quoted| quoted.rate > 0.0),
            "{summary}"
        );
        Ok(())
    };
    testing::ranks(ranks, passes);
    for (ranks, threads) in [(1, 2), (2, 2), (1, 3)] {
        let kernel = kernel.clone();
        let passed = Launch::new().ranks(ranks).threads(threads).run(move |world| {
            let summary = Run::new(kernel.clone()).on(&world)?;
            assert!(matches!(summary.verdict, Verdict::Passed(_)), "{threads} threads: {summary}");
            Ok(())
        });
        passed.unwrap();
    }
}

/// As [`validates_on`] the usual numbers of ranks.
pub fn validates<K: Kernel>(kernel: &K) {
    validates_on(kernel, RANKS);
}

/// With `damage` done on one rank to the state after the last step, it does not validate, on any rank.
pub fn notices<K: Kernel>(kernel: &K, damage: impl Fn(&mut K::Data) + Sync) {
    testing::ranks([1, 2, 3], |world| {
        let mut data = kernel.init(world)?;
        for _ in 0..kernel.steps().unwrap() {
            let _ = kernel.step(world, &mut data)?;
        }
        if world.rank() == world.size() - 1 {
            damage(&mut data);
        }
        let verdict = kernel.verify(world, &mut data)?;
        assert!(matches!(verdict, Verdict::Failed(_)), "{verdict:?}");
        Ok(())
    });
}

/// It is refused on so many ranks, before anything is made, with these words and exit code 2.
pub fn refuses<K: Kernel>(kernel: &K, ranks: usize, words: &str) {
    let error = kernel.check(ranks).unwrap_err();
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!(error.exit_code(), 2);
    let whole: Result<()> =
        testing::try_ranks(ranks, true, |world| Run::new(kernel.clone()).on(world).map(drop));
    assert!(whole.unwrap_err().to_string().contains(words));
}

/// It is refused for the memory that it would need, and says how much.
pub fn is_too_large<K: Kernel>(kernel: &K) {
    let error =
        testing::try_ranks(2, true, |world| Run::new(kernel.clone()).on(world).map(drop)).unwrap_err();
    assert!(error.to_string().contains("B of memory on node"), "{error}");
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn parts_cover_all_and_differ_by_one() {
    for (items, ranks) in [(0, 1), (1, 3), (7, 3), (9, 3), (100, 7)] {
        let parts: Vec<_> = (0..ranks).map(|rank| super::part(items, rank, ranks)).collect();
        assert!(parts.windows(2).all(|two| two[0].end == two[1].start && two[0].len() >= two[1].len()));
        assert_eq!((parts[0].start, parts[ranks - 1].end), (0, items));
        assert!(parts[0].len() - parts[ranks - 1].len() <= 1);
    }
}
