//! What the process of a rank says of it.

use super::super::board::Board;
use super::super::clocks::Clocks;
use super::talk::{Question, Reply};
use std::time::Instant;

/// Answers a question about a rank of this process.
pub(super) fn answer(board: &Board, node: &str, clocks: &Clocks, question: Question) -> Reply {
    match question {
        Question::Look => Reply::Looked(Box::new(board.look(clocks.since(board, Instant::now())))),
        Question::Count(queries) => {
            Reply::Counted(queries.into_iter().map(|query| board.answer(query)).collect())
        }
        Question::Epoch => Reply::Epoch(board.epoch()),
        Question::Totals => Reply::Totals(board.totals(node)),
        Question::Left => Reply::Left(board.left()),
    }
}
