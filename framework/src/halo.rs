//! Halos: where the cells beyond a block lie in memory, and the messages that bring them from the neighbours.
//!
//! `Layout` sees every field as planes of rows of cells, whatever its number of axes, so that the code below is
//! written once. Ghost cells that a rank fills by itself (walls, periodic axes that are not split) are in
//! `field::walls`; what is computed meanwhile is in `field::update`.

use crate::comm::{Comm, Element, Request, Test};
use crate::error::Result;
use std::ops::Range;

/// Cells of eight bytes in a cache line.
const LINE: usize = 8;

/// Planes of rows of cells, with `halo` ghost cells on both ends of every axis.
///
/// A 1-dimensional block is planes of one cell, so that its edges are sent like any plane; a 2-dimensional one
/// planes of one row. Axes that are not there have one cell and no halo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Owned cells on each axis.
    pub cells: [usize; 3],
    /// Ghost cells on each end of each axis.
    pub halo: [usize; 3],
    /// The shape of the storage: both together, the last axis rounded up.
    pub padded: [usize; 3],
}

impl Layout {
    /// `None` if the cells cannot be counted.
    pub fn new<const D: usize>(shape: [usize; D], width: usize) -> Option<Layout> {
        let (mut cells, mut halo) = ([1; 3], [0; 3]);
        for axis in 0..D {
            cells[Self::axis::<D>(axis)] = shape[axis];
            halo[Self::axis::<D>(axis)] = width;
        }
        let mut padded = [0; 3];
        for axis in 0..3 {
            padded[axis] = halo[axis].checked_mul(2)?.checked_add(cells[axis])?;
        }
        // Rows start on a cache line where they are stored in one (`field::storage`), so they are whole lines apart.
        if D > 1 && width > 0 {
            padded[2] = padded[2].checked_next_multiple_of(LINE)?;
        }
        padded.iter().try_fold(1usize, |product, &n| product.checked_mul(n))?;
        Some(Layout { cells, halo, padded })
    }

    /// Which of the three axes here a field's axis is.
    pub const fn axis<const D: usize>(axis: usize) -> usize {
        if D == 2 && axis == 1 { 2 } else { axis }
    }

    /// Cells from one row to the next: a padded row, and what brings the next one to the start of a cache line.
    pub fn row(&self) -> usize {
        self.padded[2]
    }

    /// Cells of a padded plane.
    pub fn plane(&self) -> usize {
        self.padded[1] * self.padded[2]
    }

    /// Cells of the whole storage.
    pub fn len(&self) -> usize {
        self.padded[0] * self.plane()
    }

    /// The owned cells of a padded row of a padded plane, both counted from the owned ones.
    pub fn cells_of_row(&self, y: usize) -> Range<usize> {
        let start = (self.halo[1] + y) * self.row() + self.halo[2];
        start..start + self.cells[2]
    }

    /// The storage of the owned planes.
    pub fn planes(&self, planes: Range<usize>) -> Range<usize> {
        (self.halo[0] + planes.start) * self.plane()..(self.halo[0] + planes.end) * self.plane()
    }

    /// Cells of a face of axis 1 or 2, as a message has them: of owned planes, rows and cells only.
    fn face(&self, axis: usize) -> usize {
        self.cells[0] * self.halo[axis] * self.cells[3 - axis]
    }
}

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
    pub fn rank(self) -> Option<usize> {
        match self {
            Beyond::Rank(rank) => Some(rank),
            _ => None,
        }
    }
}

/// Packed faces of axes 1 and 2, kept by a field so that an exchange allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Buffers<T> {
    /// By axis (1 and 2) and side.
    send: [[Vec<T>; 2]; 2],
    recv: [[Vec<T>; 2]; 2],
}

impl<T: Element> Buffers<T> {
    pub fn new(layout: &Layout, beyond: &[[Beyond; 2]; 3]) -> Buffers<T> {
        let faces = || {
            [1, 2].map(|axis| {
                [0, 1].map(|side| match beyond[axis][side] {
                    Beyond::Rank(_) => vec![T::zeroed(); layout.face(axis)],
                    _ => Vec::new(),
                })
            })
        };
        Buffers { send: faces(), recv: faces() }
    }
}

/// The requests of an exchange under way: at most one send and one receive for each of six sides.
pub(crate) struct Progress<'s, T: Element> {
    recvs: [Option<Request<'s, &'s mut [T]>>; 6],
    sends: [Option<Request<'s, &'s [T]>>; 6],
}

impl<T: Element> Progress<'_, T> {
    /// Helps the messages along: MPI libraries move nothing large unless somebody calls them.
    #[track_caller]
    pub fn poll(&mut self) -> Result<()> {
        for slot in &mut self.recvs {
            if let Some(request) = slot.take()
                && let Test::Pending(request) = request.test()?
            {
                *slot = Some(request);
            }
        }
        for slot in &mut self.sends {
            if let Some(request) = slot.take()
                && let Test::Pending(request) = request.test()?
            {
                *slot = Some(request);
            }
        }
        Ok(())
    }

    #[track_caller]
    fn finish(self) -> Result<()> {
        for request in self.recvs.into_iter().flatten() {
            request.wait()?;
        }
        for request in self.sends.into_iter().flatten() {
            request.wait()?;
        }
        Ok(())
    }
}

/// Messages that go towards `side` of `axis` have a tag of their own, since both neighbours may be one rank.
fn tag(axis: usize, side: usize) -> i32 {
    (2 * axis + side) as i32
}

/// Exchanges the faces of `axes` with the neighbouring ranks, and calls `meanwhile` while the messages are under
/// way, with the storage but for the ghost planes (of axis 0) that come. All ghost cells that other ranks send on
/// these axes are up to date when it returns. Every rank of the grid calls it.
///
/// Faces of axis 0 are sent and received where they lie, whole padded planes of them.
#[track_caller]
pub(crate) fn exchange<T: Element>(
    comm: &Comm,
    layout: &Layout,
    beyond: &[[Beyond; 2]; 3],
    axes: [bool; 3],
    storage: &mut [T],
    buffers: &mut Buffers<T>,
    meanwhile: impl FnOnce(&[T], &mut Progress<'_, T>) -> Result<()>,
) -> Result<()> {
    let rank =
        |axis: usize, side: usize| beyond[axis][side].rank().filter(|_| axes[axis] && layout.halo[axis] > 0);
    for axis in [1, 2] {
        for side in [0, 1].into_iter().filter(|&side| rank(axis, side).is_some()) {
            pack(layout, axis, side, storage, &mut buffers.send[axis - 1][side]);
        }
    }
    let width = layout.halo[0] * layout.plane();
    // Ghost planes that no message comes for can be read meanwhile.
    let coming = |side: usize| if rank(0, side).is_some() { width } else { 0 };
    let (low, rest) = storage.split_at_mut(coming(0));
    let (quiet, high) = rest.split_at_mut(rest.len() - coming(1));
    let quiet = &*quiet;
    let [recv_1, recv_2] = &mut buffers.recv;
    let ghosts: [(&mut [T], usize, usize); 6] = {
        let [a, b] = recv_1;
        let [c, d] = recv_2;
        [(low, 0, 0), (high, 0, 1), (a, 1, 0), (b, 1, 1), (c, 2, 0), (d, 2, 1)]
    };
    let send = &buffers.send;
    comm.scope(|s| {
        let mut progress = Progress { recvs: Default::default(), sends: Default::default() };
        for (slot, (ghost, axis, side)) in progress.recvs.iter_mut().zip(ghosts) {
            if let Some(rank) = rank(axis, side) {
                // What comes from the low side was sent towards the high one.
                *slot = Some(s.irecv(ghost, rank, tag(axis, 1 - side))?);
            }
        }
        for (index, slot) in progress.sends.iter_mut().enumerate() {
            let (axis, side) = (index / 2, index % 2);
            if let Some(rank) = rank(axis, side) {
                let face = match (axis, side) {
                    (0, 0) => &quiet[..width],
                    (0, _) => &quiet[quiet.len() - width..],
                    _ => &send[axis - 1][side][..],
                };
                *slot = Some(s.isend(face, rank, tag(axis, side))?);
            }
        }
        meanwhile(quiet, &mut progress)?;
        progress.finish()
    })?;
    for axis in [1, 2] {
        for side in [0, 1].into_iter().filter(|&side| rank(axis, side).is_some()) {
            unpack(layout, axis, side, storage, &buffers.recv[axis - 1][side]);
        }
    }
    Ok(())
}

/// The cells of one padded plane, from `start` on `axis`, in the order of a message; axis 1 or 2.
fn face_of_plane(layout: &Layout, axis: usize, start: usize) -> (Range<usize>, Range<usize>) {
    let [_, wy, wx] = layout.halo;
    match axis {
        1 => (start..start + wy, wx..wx + layout.cells[2]),
        _ => (wy..wy + layout.cells[1], start..start + wx),
    }
}

fn pack<T: Element>(layout: &Layout, axis: usize, side: usize, storage: &[T], face: &mut [T]) {
    let start = if side == 0 { layout.halo[axis] } else { layout.cells[axis] };
    let (rows, cells) = face_of_plane(layout, axis, start);
    let mut pieces = face.chunks_exact_mut(cells.len());
    for plane in storage[layout.planes(0..layout.cells[0])].chunks_exact(layout.plane()) {
        for (row, piece) in
            plane.chunks_exact(layout.row()).skip(rows.start).take(rows.len()).zip(&mut pieces)
        {
            piece.copy_from_slice(&row[cells.clone()]);
        }
    }
}

fn unpack<T: Element>(layout: &Layout, axis: usize, side: usize, storage: &mut [T], face: &[T]) {
    let start = if side == 0 { 0 } else { layout.halo[axis] + layout.cells[axis] };
    let (rows, cells) = face_of_plane(layout, axis, start);
    let mut pieces = face.chunks_exact(cells.len());
    for plane in storage[layout.planes(0..layout.cells[0])].chunks_exact_mut(layout.plane()) {
        let rows = plane.chunks_exact_mut(layout.row()).skip(rows.start).take(rows.len());
        for (row, piece) in rows.zip(&mut pieces) {
            row[cells.clone()].copy_from_slice(piece);
        }
    }
}
