//! Ranks inside an ordinary `cargo test`.
//!
//! The Local engine, started and joined for one closure; jobs start with `launch`.

use crate::comm::Comm;
use crate::engine::local;
use crate::error::Result;
use crate::launch::{first_failure, on_rank_thread};

/// Runs `rank` on worlds of each of these sizes, one after the other, and panics with the first failing rank's
/// error. Sends are checked: they wait for their receive, so programs that only work while messages are small
/// fail here.
///
/// ```
/// rankine::testing::ranks([1, 2, 3, 4], |world| {
///     world.barrier()
/// });
/// ```
#[track_caller]
pub fn ranks(sizes: impl IntoIterator<Item = usize>, rank: impl Fn(&Comm) -> Result<()> + Send + Sync) {
    for size in sizes {
        if let Err(error) = try_ranks(size, true, &rank) {
            panic!("with {size} ranks: {error}");
        }
    }
}

/// Runs `rank` on `size` ranks and gives the first failure back, for tests of failures. `checked` as in
/// [`Launch::checked`](crate::Launch::checked).
///
/// # Errors
/// The first failure of a rank; the other ranks' calls fail once it is known.
pub fn try_ranks(size: usize, checked: bool, rank: impl Fn(&Comm) -> Result<()> + Send + Sync) -> Result<()> {
    let world = local::World::new(size.max(1), 1, checked);
    let rank = &rank;
    let results: Vec<Result<()>> = std::thread::scope(|threads| {
        let handles: Vec<_> = (0..size)
            .map(|me| {
                let world = world.clone();
                threads.spawn(move || {
                    let result = on_rank_thread(&world, me, 1, |comm| rank(&comm));
                    if result.is_err() {
                        world.abort();
                    }
                    result
                })
            })
            .collect();
        handles.into_iter().map(|handle| handle.join().expect("panics are caught on the rank")).collect()
    });
    first_failure(results.into_iter())
}
