//! A look at all ranks of one process at once, by one of them: for worlds that no thread watches.

use super::board::Board;
use super::look::{Answer, Finding, Panel, Query, RankLook, examine};
use super::report;
use crate::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// The boards of all ranks, in order.
struct Near<'b>(&'b [Arc<Board>]);

impl Panel for Near<'_> {
    fn looks(&mut self) -> Vec<RankLook> {
        self.0.iter().map(|board| board.look(Duration::ZERO)).collect()
    }

    fn ask(&mut self, queries: &[(u32, Query)]) -> Vec<Answer> {
        queries.iter().map(|&(rank, query)| self.0[rank as usize].answer(query)).collect()
    }

    fn epochs(&mut self, ranks: &[u32]) -> Vec<Option<u64>> {
        ranks.iter().map(|&rank| Some(self.0[rank as usize].epoch())).collect()
    }

    fn left(&mut self) -> Vec<Vec<String>> {
        self.0.iter().map(|board| board.left()).collect()
    }
}

/// Why the ranks wait for ever, if they do.
pub(crate) fn why_stuck(boards: &[Arc<Board>]) -> Option<Error> {
    match examine(&mut Near(boards)) {
        Finding::Stuck(found) => Some(report::deadlock(&found)),
        Finding::Nothing { .. } | Finding::Moving => None,
    }
}

/// What a rank is doing, in a few words, and at which source line.
pub(crate) fn doing(board: &Board) -> String {
    let look = board.look(Duration::ZERO);
    let place = match report::place(&look) {
        "" => board.last_place().map(|place| format!(" (after {place})")).unwrap_or_default(),
        place => format!(" ({place})"),
    };
    format!("{}{place}", report::doing(&look))
}
