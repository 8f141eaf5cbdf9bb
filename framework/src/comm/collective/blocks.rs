//! Where the ranks' blocks lie in a buffer, as authors say it, and the check of it.
//!
//! In elements here; what engines get is in bytes.

use super::{Comm, Element, Result, Site, fits};
use crate::engine::Span;

/// Where the ranks' blocks lie in a buffer, in elements: counts, and displacements if the blocks are not simply one
/// after the other. MPI's `counts` and `displs`.
///
/// A slice of counts becomes one by itself; `(&counts, &displacements)` too. Blocks may be in any order and leave gaps;
/// those that are received into may not overlap.
///
/// ```
/// use rankine::Blocks;
/// rankine::testing::ranks([3], |world| {
///     let mine = vec![world.rank() as u8; world.rank()];
///     let mut all = [9; 6];
///     world.allgatherv_into(&mine, &mut all, &[0, 1, 2])?;
///     assert_eq!(all, [1, 2, 2, 9, 9, 9]);
///     world.allgatherv_into(&mine, &mut all, Blocks::at(&[0, 1, 2], &[0, 5, 1]))?;
///     assert_eq!(all, [1, 2, 2, 9, 9, 1]);
///     Ok(())
/// });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks<'a> {
    pub(super) counts: &'a [usize],
    starts: Option<&'a [usize]>,
}

impl<'a> Blocks<'a> {
    /// Blocks of these lengths, one after the other.
    pub const fn packed(counts: &'a [usize]) -> Self {
        Blocks { counts, starts: None }
    }

    /// Blocks of these lengths, each beginning at its displacement from the start of the buffer.
    pub const fn at(counts: &'a [usize], displacements: &'a [usize]) -> Self {
        Blocks { counts, starts: Some(displacements) }
    }

    /// The first element and the number of elements of each block; as many blocks as both lists have.
    pub(crate) fn iter(self) -> impl Iterator<Item = (usize, usize)> {
        let mut next = 0;
        let starts = self.starts.map_or(usize::MAX, <[usize]>::len);
        self.counts.iter().take(starts).enumerate().map(move |(block, &count)| {
            let start = self.starts.map_or(next, |starts| starts[block]);
            next = start.saturating_add(count);
            (start, count)
        })
    }

    /// For a rank whose blocks the call does not look at, such as what a gather receives elsewhere than on the root.
    pub const fn none() -> Self {
        Blocks::packed(&[])
    }
}

impl<'a> From<&'a [usize]> for Blocks<'a> {
    fn from(counts: &'a [usize]) -> Self {
        Blocks::packed(counts)
    }
}

impl<'a, const N: usize> From<&'a [usize; N]> for Blocks<'a> {
    fn from(counts: &'a [usize; N]) -> Self {
        Blocks::packed(counts)
    }
}

impl<'a> From<&'a Vec<usize>> for Blocks<'a> {
    fn from(counts: &'a Vec<usize>) -> Self {
        Blocks::packed(counts)
    }
}

impl<'a, C: AsRef<[usize]>, D: AsRef<[usize]>> From<(&'a C, &'a D)> for Blocks<'a> {
    fn from((counts, displacements): (&'a C, &'a D)) -> Self {
        Blocks::at(counts.as_ref(), displacements.as_ref())
    }
}

/// Checked blocks: one a rank, in bytes, none beyond `reach`.
#[derive(Clone, Copy)]
pub(crate) struct Spans<'l> {
    pub(super) spans: &'l [Span],
    pub(super) reach: usize,
}

/// What the calls with counts would otherwise allocate each time; one a communicator. A call made from within another
/// (by an author's operator) finds it in use, and allocates.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(super) send: Vec<Span>,
    pub(super) recv: Vec<Span>,
    pub(super) order: Vec<usize>,
}

/// One buffer and the blocks in it: what it is called in errors, and its length.
#[derive(Clone, Copy)]
pub(super) struct Shelf<'a> {
    pub what: &'a str,
    pub len: usize,
}

impl Comm {
    /// Lends `f` the communicator's scratch.
    #[inline(always)]
    pub(super) fn scratch<R>(&self, f: impl FnOnce(&mut Scratch) -> R) -> R {
        let (mut kept, mut fresh);
        let scratch = match self.inner.scratch.try_borrow_mut() {
            Ok(free) => {
                kept = free;
                &mut *kept
            }
            Err(_) => {
                fresh = Scratch::default();
                &mut fresh
            }
        };
        f(scratch)
    }

    /// Checks blocks that are read: one a rank, all of them in the buffer.
    #[inline]
    pub(super) fn spans<'l, T>(
        &self,
        site: Site,
        shelf: Shelf<'_>,
        blocks: Blocks<'_>,
        spans: &'l mut Vec<Span>,
    ) -> Result<Spans<'l>> {
        let Some(reach) = lay_out::<T>(blocks, self.size(), shelf.len, spans) else {
            return Err(self.misplaced::<T>(site, shelf, blocks));
        };
        Ok(Spans { spans, reach: reach * size_of::<T>() })
    }

    /// What is wrong with blocks that could not be laid out.
    #[cold]
    fn misplaced<T>(&self, site: Site, shelf: Shelf<'_>, blocks: Blocks<'_>) -> crate::Error {
        self.reach::<T>(site, shelf.what, blocks, |span| {
            if span.len > 0 && span.at + span.len > shelf.len { Err(shelf.len) } else { Ok(()) }
        })
        .expect_err("`lay_out` makes the same checks")
    }

    /// Checks blocks that are written: as [`Comm::spans`], and no two overlap.
    #[inline]
    pub(super) fn apart<'l, T>(
        &self,
        site: Site,
        shelf: Shelf<'_>,
        blocks: Blocks<'_>,
        spans: &'l mut Vec<Span>,
        order: &mut Vec<usize>,
    ) -> Result<Spans<'l>> {
        let spans = self.spans::<T>(site, shelf, blocks, spans)?;
        if let Some((a, b)) = overlapping(spans.spans, order) {
            let block = |rank: usize| {
                let span = spans.spans[rank];
                format!("{}..{}", span.at / size_of::<T>(), (span.at + span.len) / size_of::<T>())
            };
            let what = format!(
                "{}: the blocks of rank {a} ({}) and rank {b} ({}) overlap",
                shelf.what,
                block(a),
                block(b)
            );
            return Err(self.misuse(site, what, "blocks that are received into must not share elements"));
        }
        Ok(spans)
    }

    /// Checks that this rank's block has as many elements as the rank brings, or sends itself.
    pub(super) fn check_own<T>(&self, site: Site, what: &str, spans: Spans<'_>, len: usize) -> Result<()> {
        let count = spans.spans[self.rank()].len / size_of::<T>().max(1);
        if count == len || size_of::<T>() == 0 {
            return Ok(());
        }
        Err(self.misuse(
            site,
            format!("{what} has a block of {count} elements for this rank itself, which sends {len}"),
            "a rank's block is as long as what that rank sends",
        ))
    }

    /// How long a buffer must be to hold the blocks.
    pub(super) fn extent<T>(&self, site: Site, what: &str, blocks: Blocks<'_>) -> Result<usize> {
        self.reach::<T>(site, what, blocks, |_| Ok(()))
    }

    /// Makes a buffer long enough for its blocks.
    pub(super) fn grow<T: Element>(&self, site: Site, recv: &mut Vec<T>, blocks: Blocks<'_>) -> Result<()> {
        let len = self.extent::<T>(site, "recv", blocks)?.max(recv.len());
        recv.resize(len, T::zeroed());
        Ok(())
    }

    /// Where the last block ends, in elements. `inside` says for a block that it is not in the buffer, whose length it gives.
    fn reach<T>(
        &self,
        site: Site,
        what: &str,
        blocks: Blocks<'_>,
        inside: impl Fn(Span) -> Result<(), usize>,
    ) -> Result<usize> {
        let size = self.size();
        let each = |list: &[usize], name: &str| match list.len() == size {
            true => Ok(()),
            false => Err(self.misuse(
                site,
                format!("{what}: {} {name} given for {size} ranks", list.len()),
                "give one for every rank of the communicator, in rank order",
            )),
        };
        each(blocks.counts, "counts")?;
        blocks.starts.map_or(Ok(()), |starts| each(starts, "displacements"))?;
        let (mut next, mut reach) = (0usize, 0);
        for (rank, &len) in blocks.counts.iter().enumerate() {
            let at = blocks.starts.map_or(next, |starts| starts[rank]);
            let end = at.checked_add(len).filter(|&end| fits::<T>(end));
            let Some(end) = end else {
                let text = format!("{what}: the block of rank {rank} has {len} elements from {at}");
                return Err(self.misuse(
                    site,
                    text,
                    "counts and displacements are elements, and must fit in memory",
                ));
            };
            if let Err(have) = inside(Span { at, len }) {
                let text = format!(
                    "{what}: the block of rank {rank} is {at}..{end}, the buffer has {have} elements"
                );
                return Err(self.misuse(site, text, "every block must lie inside the buffer"));
            }
            next = end;
            reach = if len > 0 { end.max(reach) } else { reach };
        }
        Ok(reach)
    }
}

/// Checks blocks and turns them into bytes in one pass: where the last one ends, in elements. `None`: something is wrong.
#[inline]
fn lay_out<T>(blocks: Blocks<'_>, size: usize, len: usize, spans: &mut Vec<Span>) -> Option<usize> {
    let starts = blocks.starts;
    if blocks.counts.len() != size || starts.is_some_and(|starts| starts.len() != size) {
        return None;
    }
    spans.resize(size, Span::default());
    let (mut next, mut reach) = (0usize, 0);
    for (rank, (span, &count)) in spans.iter_mut().zip(blocks.counts).enumerate() {
        let start = starts.map_or(next, |starts| starts[rank]);
        next = start.checked_add(count)?;
        // What ends inside the buffer fits in memory. An empty block may be said to lie anywhere that does.
        let (inside, at) = if count > 0 { (next <= len, start) } else { (fits::<T>(next), 0) };
        if !inside {
            return None;
        }
        reach = if count > 0 { next.max(reach) } else { reach };
        *span = Span { at: at * size_of::<T>(), len: count * size_of::<T>() };
    }
    Some(reach)
}

/// Two blocks that share bytes.
#[inline]
fn overlapping(spans: &[Span], order: &mut Vec<usize>) -> Option<(usize, usize)> {
    let mut end = 0;
    // Mostly they are in rank order.
    let sorted = spans.iter().filter(|span| span.len > 0).all(|span| {
        let after = span.at >= end;
        end = span.at + span.len;
        after
    });
    if sorted {
        return None;
    }
    order.clear();
    order.extend((0..spans.len()).filter(|&rank| spans[rank].len > 0));
    order.sort_unstable_by_key(|&rank| spans[rank].at);
    let pair = order.windows(2).find(|pair| spans[pair[0]].at + spans[pair[0]].len > spans[pair[1]].at)?;
    Some((pair[0].min(pair[1]), pair[0].max(pair[1])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_laid_out_in_bytes() {
        let laid = |blocks: Blocks<'_>, len| {
            let mut spans = vec![Span { at: 7, len: 7 }; 5];
            lay_out::<u32>(blocks, 2, len, &mut spans)
                .map(|reach| (reach, spans.iter().map(|span| (span.at, span.len)).collect::<Vec<_>>()))
        };
        assert_eq!(laid(Blocks::packed(&[1, 2]), 3), Some((3, vec![(0, 4), (4, 8)])));
        assert_eq!(laid(Blocks::at(&[1, 2], &[4, 0]), 5), Some((5, vec![(16, 4), (0, 8)])));
        assert_eq!(laid(Blocks::at(&[0, 2], &[99, 0]), 2), Some((2, vec![(0, 0), (0, 8)])));
        for (wrong, len) in [
            (Blocks::packed(&[1, 2]), 2),
            (Blocks::packed(&[1]), 9),
            (Blocks::packed(&[usize::MAX, 2]), 9),
            (Blocks::at(&[1, 2], &[0]), 9),
            (Blocks::at(&[0, 2], &[usize::MAX / 4, 0]), 9),
        ] {
            assert_eq!(laid(wrong, len), None);
        }
    }

    #[test]
    fn overlaps_are_found_in_any_order() {
        let spans = |blocks: &[(usize, usize)]| -> Vec<Span> {
            blocks.iter().map(|&(at, len)| Span { at, len }).collect()
        };
        let found = |blocks: &[(usize, usize)]| overlapping(&spans(blocks), &mut Vec::new());
        assert_eq!(found(&[(0, 2), (2, 3), (5, 0)]), None);
        assert_eq!(found(&[(5, 2), (0, 5), (9, 1)]), None);
        assert_eq!(found(&[(5, 2), (0, 6), (9, 1)]), Some((0, 1)));
        assert_eq!(found(&[(0, 9), (20, 1), (8, 2)]), Some((0, 2)));
        assert_eq!(found(&[(3, 1), (3, 1)]), Some((0, 1)));
        assert_eq!(found(&[(3, 1), (3, 0), (0, 9)]), Some((0, 2)));
    }
}
