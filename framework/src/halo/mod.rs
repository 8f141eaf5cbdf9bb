//! Halos: where the cells beyond a block lie in memory, and the messages that bring them from the neighbours.
//!
//! `layout` sees every field as planes of sheets of rows of cells, whatever its number of axes, so that the code around
//! it is written once. `links` says what goes to whom, `exchange` sends one field and `together` several in one
//! message. Ghost cells that a rank fills by itself (walls, periodic axes that are not split) are in `field::walls`;
//! what is computed meanwhile is in `field::update`.

mod exchange;
mod layout;
mod links;
pub(crate) mod together;

pub use together::AnyField;

pub(crate) use exchange::{Buffers, Exchange, Progress, exchange, exchange_around, exchange_beside};
pub(crate) use layout::Layout;
pub(crate) use links::{Links, Which};

/// What is beyond one side of a rank's block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beyond {
    /// Nothing: the edge of the domain.
    Wall,
    /// The rank's own other side, on a periodic axis that is not split.
    Own,
    /// Another rank.
    Rank(usize),
}

impl Beyond {
    pub fn is_rank(self) -> bool {
        matches!(self, Beyond::Rank(_))
    }
}
