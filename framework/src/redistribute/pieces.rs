//! Which cells go from which rank to which, in pieces that stay in the cache, and in which order.
//!
//! Arithmetic on blocks: no messages and no memory. Both ranks of a message find the same pieces by themselves.

use crate::grid::Block;

/// A box of cells that is sent as one message.
#[derive(Clone, Debug)]
pub(crate) struct Piece<const D: usize> {
    /// The same on both sides, and never twice on one rank among its sends, nor among its receives. Ranks go through
    /// their messages in this order, which is why no circle of waits can close.
    pub label: Label,
    pub peer: usize,
    /// In the axes of the side that it is sent from.
    pub block: Block<D>,
}

/// Round, number within the round. In a round every rank sends to the rank so many further on.
pub(crate) type Label = [usize; 2];

/// What one rank sends, receives and keeps.
#[derive(Debug)]
pub(crate) struct Pieces<const D: usize> {
    pub sends: Vec<Piece<D>>,
    pub recvs: Vec<Piece<D>>,
    /// The cells that stay here, each piece with the number of sends that come before it.
    pub own: Vec<(usize, Block<D>)>,
    /// Cells of the largest message.
    pub largest: usize,
}

/// How the pieces are cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// Cells of a piece, about.
    pub cells: usize,
    /// The axis (of the sending side) that is contiguous at the receiver.
    pub contiguous: usize,
}

impl<const D: usize> Pieces<D> {
    /// Those of rank `me` of `ranks`, when rank r has block `from(r)` before and `to(r)` after, in the same axes.
    pub fn new(
        me: usize,
        ranks: usize,
        from: impl Fn(usize) -> Block<D>,
        to: impl Fn(usize) -> Block<D>,
        cut: Cut,
    ) -> Pieces<D> {
        Self::of(me, ranks, |sender, receiver| from(sender).intersect(&to(receiver)), cut)
    }

    /// Those of rank `me` of `ranks`, when `shared` is what goes from one rank to another, if anything does. It is asked
    /// only for what `me` sends or receives.
    pub fn of(
        me: usize,
        ranks: usize,
        shared: impl Fn(usize, usize) -> Option<Block<D>>,
        cut: Cut,
    ) -> Pieces<D> {
        let message = |sender: usize, receiver: usize, round: usize, pieces: &mut Vec<Piece<D>>, peer| {
            let Some(both) = shared(sender, receiver) else { return };
            split(both, cut, &mut |block, number| {
                pieces.push(Piece { label: [round, number], peer, block });
            });
        };
        let (mut sends, mut recvs, mut own) = (Vec::new(), Vec::new(), Vec::new());
        message(me, me, 0, &mut own, me);
        for round in 1..ranks {
            let (next, before) = ((me + round) % ranks, (me + ranks - round) % ranks);
            message(me, next, round, &mut sends, next);
            message(before, me, round, &mut recvs, before);
        }
        let largest = sends.iter().chain(&recvs).map(|piece| piece.block.len()).max().unwrap_or(0);
        let count = own.len();
        let own = own.into_iter().enumerate().map(|(number, piece)| {
            // Spread evenly: copying gives the messages time.
            let before = number * sends.len() / count;
            (before, piece.block)
        });
        let own = own.collect();
        Pieces { sends, recvs, own, largest }
    }
}

/// Cuts a box into pieces of about `cut.cells`: along the outer axes first, and last along the two that are contiguous on
/// one of the sides.
fn split<const D: usize>(block: Block<D>, cut: Cut, piece: &mut impl FnMut(Block<D>, usize)) {
    let mut each = block.shape;
    let outer = (0..D - 1).filter(|&axis| axis != cut.contiguous);
    let ends = [cut.contiguous, D - 1];
    let ends = if cut.contiguous == D - 1 { &ends[1..] } else { &ends[..] };
    // Ends that are cut keep a few whole cache lines.
    for (axis, least) in outer.map(|axis| (axis, 1)).chain(ends.iter().map(|&axis| (axis, 64))) {
        let cells: usize = each.iter().product();
        if cells <= cut.cells {
            break;
        }
        let others = cells / each[axis];
        each[axis] = (cut.cells / others).clamp(least.min(each[axis]), each[axis]);
        // Of about the same size.
        each[axis] = block.shape[axis].div_ceil(block.shape[axis].div_ceil(each[axis]));
    }
    let counts: [usize; D] = std::array::from_fn(|axis| block.shape[axis].div_ceil(each[axis]));
    for number in 0..counts.iter().product() {
        let (mut rest, mut part) = (number, block);
        for axis in (0..D).rev() {
            let start = rest % counts[axis] * each[axis];
            rest /= counts[axis];
            part.start[axis] += start;
            part.shape[axis] = each[axis].min(block.shape[axis] - start);
        }
        piece(part, number);
    }
}
