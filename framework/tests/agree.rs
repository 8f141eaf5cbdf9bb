//! What ranks agree on survives that the first of them to hear of it goes down at once.

use rankine::testing::try_ranks;
use rankine::{Error, ErrorKind};

#[test]
fn the_cause_is_told_whoever_returns_first() {
    for round in 0..3000 {
        let outcome = try_ranks(2 + round % 7, false, |world| {
            // All have the same error; the one that tells it may still be in the call when another has left the job.
            world.agree(Err::<(), _>(Error::io("no such file")))
        });
        let error = outcome.expect_err("all ranks fail");
        assert_eq!(error.kind(), ErrorKind::Io, "round {round}: {error}");
        assert_eq!(error.what(), "no such file");
    }
}
