//! Stand-ins for the author's buffers: packed copies that MPI works on instead.
//!
//! The checked mode uses them for nonblocking collectives, since MPI cannot give a buffer back before all ranks have
//! done their part; and they serve where MPI has no way to say what is wanted (a place that an int cannot hold, an
//! exchange in place).

use super::work::{Move, Pad, Work};
use crate::engine::{Collective, Layout, Side, Span};
use std::mem::MaybeUninit;

/// The places of a packed side's blocks, where it has several.
pub(super) type Places = Vec<Span>;

impl Work {
    /// The same part on stand-ins. `places` must live until the part has been handed over.
    ///
    /// # Safety
    /// As [`Engine::start`](crate::engine::Engine::start), until the work is concluded or ended.
    pub unsafe fn detour<'a>(
        &mut self,
        part: &Collective<'a>,
        size: usize,
        places: &'a mut [Places; 2],
    ) -> Collective<'a> {
        let [send_places, recv_places] = places;
        // SAFETY: the caller's promise is passed on.
        unsafe {
            let send = self.copy_of(part.send, size, send_places);
            Collective { send, recv: self.landing(part.recv, size, recv_places), ..*part }
        }
    }

    /// A packed copy of what is sent.
    ///
    /// # Safety
    /// The side is valid for reads of its blocks.
    pub unsafe fn copy_of<'a>(
        &mut self,
        side: Side<'_, *const u8>,
        size: usize,
        places: &'a mut Places,
    ) -> Side<'a, *const u8> {
        let (layout, bytes) = packed(side.layout, size, places);
        let pad = room(&mut self.pads[0], bytes);
        let mut at = 0;
        for block in blocks(side.layout, size) {
            // SAFETY: the caller's promise; the pad has room for all blocks.
            unsafe { pad.add(at).copy_from_nonoverlapping(side.data.add(block.at), block.len) };
            at += block.len;
        }
        Side { data: pad, layout }
    }

    /// A packed copy of where something is received, which comes back at the end: MPI may leave some of it alone.
    ///
    /// # Safety
    /// The side is valid for reads and writes of its blocks until the work is concluded or ended.
    pub unsafe fn landing<'a>(
        &mut self,
        side: Side<'_, *mut u8>,
        size: usize,
        places: &'a mut Places,
    ) -> Side<'a, *mut u8> {
        let (layout, bytes) = packed(side.layout, size, places);
        let pad = room(&mut self.pads[1], bytes);
        let mut at = 0;
        for block in blocks(side.layout, size) {
            // SAFETY: as above.
            let (home, here) = unsafe { (side.data.add(block.at), pad.add(at)) };
            // SAFETY: as above.
            unsafe { here.copy_from_nonoverlapping(home, block.len) };
            self.moves.push(Move { from: here, to: home, len: block.len });
            at += block.len;
        }
        Side { data: pad, layout }
    }
}

/// The blocks that lie in a buffer.
fn blocks(layout: Layout<'_>, size: usize) -> impl Iterator<Item = Span> {
    let count = match layout {
        Layout::Absent | Layout::InPlace => 0,
        Layout::One(_) => 1,
        Layout::Each(_) | Layout::Spans(_) => size,
    };
    (0..count).map(move |rank| layout.block(rank))
}

/// A layout whose blocks lie one after the other, and the bytes of all.
fn packed<'a>(layout: Layout<'_>, size: usize, places: &'a mut Places) -> (Layout<'a>, usize) {
    match layout {
        Layout::Absent => (Layout::Absent, 0),
        Layout::InPlace => (Layout::InPlace, 0),
        Layout::One(len) => (Layout::One(len), len),
        Layout::Each(len) => (Layout::Each(len), len * size),
        Layout::Spans(spans) => {
            let mut at = 0;
            places.clear();
            places.extend(spans.iter().map(|span| {
                let start = at;
                at += span.len;
                Span { at: start, len: span.len }
            }));
            (Layout::Spans(places), at)
        }
    }
}

/// A pad of at least so many bytes.
fn room(pad: &mut Pad, bytes: usize) -> *mut u8 {
    pad.resize(bytes.div_ceil(size_of::<u128>()), MaybeUninit::uninit());
    pad.as_mut_ptr().cast()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comm::element::Element;
    use crate::engine::Call;

    #[test]
    fn blocks_go_out_packed_and_come_home() {
        let given = [1u8, 2, 3, 4, 5, 6];
        let mut got = [9u8; 6];
        let out = [Span { at: 4, len: 2 }, Span { at: 1, len: 1 }];
        let home = [Span { at: 3, len: 1 }, Span { at: 0, len: 2 }];
        let part = Collective {
            call: Call::Alltoallv,
            root: None,
            kind: Some(u8::KIND),
            send: Side { data: given.as_ptr(), layout: Layout::Spans(&out) },
            recv: Side { data: got.as_mut_ptr(), layout: Layout::Spans(&home) },
            op: None,
        };
        let (mut work, mut places) = (Work::default(), Default::default());
        // SAFETY: both buffers hold their blocks.
        let part = unsafe { work.detour(&part, 2, &mut places) };
        // SAFETY: three bytes are packed on each side, all of them written.
        let (sent, landing) = unsafe {
            (std::slice::from_raw_parts(part.send.data, 3), std::slice::from_raw_parts_mut(part.recv.data, 3))
        };
        assert_eq!((sent, &*landing), (&[5, 6, 2][..], &[9, 9, 9][..]));
        assert_eq!((part.recv.layout.block(1), part.recv.layout.reach(2)), (Span { at: 1, len: 2 }, 3));
        landing.copy_from_slice(&[7, 8, 0]);
        for Move { from, to, len } in &work.moves {
            // SAFETY: as above.
            unsafe { from.copy_to(*to, *len) };
        }
        assert_eq!(got, [8, 0, 9, 7, 9, 9]);
    }
}
