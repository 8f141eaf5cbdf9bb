//! `Links`: which parts of a block go to which neighbours, and where what they send belongs.
//!
//! A direction has -1, 0 or 1 for each axis, and a link is a direction in which another rank stands. Along an axis where
//! the direction is 0 a link of `Stencil::Box` also carries the ghost cells that both ranks fill by themselves, so
//! that edges and corners beyond a wall come with those before it.

use super::{Beyond, Layout};
use crate::comm::Element;
use crate::grid::Stencil;

/// All that an exchange of one field sends and receives.
#[derive(Debug)]
pub(crate) struct Links {
    pub all: Vec<Link>,
    /// How many of them are packed.
    pub packed: usize,
}

/// One neighbour's part.
#[derive(Debug)]
pub(crate) struct Link {
    pub rank: usize,
    /// Messages in one direction have a tag of their own, since several neighbours may be one rank.
    pub out_tag: i32,
    pub in_tag: i32,
    pub send: Region,
    pub recv: Region,
    /// Whole planes are sent and received where they lie: of the low side or of the high one. All else is packed.
    pub planes: Option<usize>,
    /// Whether the direction has a part along the last axis.
    pub across: bool,
}

/// A box of padded cells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    start: [usize; 4],
    shape: [usize; 4],
}

/// Which links are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    All,
    /// Those with a part along the last axis.
    Across,
    /// The others.
    Along,
}

impl Which {
    pub fn has(self, link: &Link) -> bool {
        match self {
            Which::All => true,
            Which::Across => link.across,
            Which::Along => !link.across,
        }
    }
}

impl Links {
    /// `rank` gives the rank in a direction by the axes of a field.
    pub fn new<const D: usize>(
        layout: &Layout,
        beyond: &[[Beyond; 2]; 4],
        stencil: Stencil,
        rank: impl Fn([isize; D]) -> Option<usize>,
    ) -> Links {
        let mut all = Vec::new();
        if layout.halo[0] > 0 {
            // Every direction is a number of D digits to the base 3.
            for code in 0..3usize.pow(D as u32) {
                let direction: [isize; D] =
                    std::array::from_fn(|axis| (code / 3usize.pow(axis as u32) % 3) as isize - 1);
                let away = direction.iter().filter(|&&step| step != 0).count();
                let other = (0..D).all(|axis| {
                    let sides = &beyond[Layout::axis::<D>(axis)];
                    match direction[axis] {
                        0 => true,
                        step => sides[usize::from(step > 0)].is_rank(),
                    }
                });
                if away == 0 || !other || away > 1 && stencil == Stencil::Star {
                    continue;
                }
                let Some(rank) = rank(direction) else { continue };
                let region = |sent: bool| Region::new(layout, beyond, stencil, direction, sent);
                let opposite = 3usize.pow(D as u32) - 1 - code;
                let link = Link {
                    rank,
                    out_tag: code as i32,
                    in_tag: opposite as i32,
                    send: region(true),
                    recv: region(false),
                    planes: (away == 1 && direction[0] != 0).then_some(usize::from(direction[0] > 0)),
                    across: D > 1 && direction[D - 1] != 0,
                };
                all.push((away, link));
            }
        }
        // Faces first, then edges and corners; for all fields on a grid in one order.
        all.sort_by_key(|(away, _)| *away);
        let all: Vec<Link> = all.into_iter().map(|(_, link)| link).collect();
        let packed = all.iter().filter(|link| link.planes.is_none()).count();
        Links { all, packed }
    }
}

impl Region {
    fn new<const D: usize>(
        layout: &Layout,
        beyond: &[[Beyond; 2]; 4],
        stencil: Stencil,
        direction: [isize; D],
        sent: bool,
    ) -> Region {
        let (mut start, mut shape) = ([0; 4], [1; 4]);
        for (axis, step) in direction.into_iter().enumerate() {
            let to = Layout::axis::<D>(axis);
            let (n, width) = (layout.cells[to], layout.halo[to]);
            (start[to], shape[to]) = match step {
                0 => {
                    let ghosts = |side: usize| match beyond[to][side].is_rank() || stencil == Stencil::Star {
                        true => 0,
                        false => width,
                    };
                    (width - ghosts(0), n + ghosts(0) + ghosts(1))
                }
                step => (
                    match (step > 0, sent) {
                        (false, true) => width,
                        (false, false) => 0,
                        (true, true) => n,
                        (true, false) => width + n,
                    },
                    width,
                ),
            };
        }
        Region { start, shape }
    }

    /// How many cells.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Copies the region out of a field's storage.
    pub fn pack<T: Element>(&self, layout: &Layout, storage: &[T], packed: &mut [T]) {
        let mut packed = packed.chunks_exact_mut(self.shape[3].max(1));
        self.rows(layout, |at| {
            if let Some(piece) = packed.next() {
                copy(&storage[at..at + piece.len()], piece);
            }
        });
    }

    /// Copies the region into a field's storage.
    pub fn unpack<T: Element>(&self, layout: &Layout, storage: &mut [T], packed: &[T]) {
        let mut packed = packed.chunks_exact(self.shape[3].max(1));
        self.rows(layout, |at| {
            if let Some(piece) = packed.next() {
                copy(piece, &mut storage[at..at + piece.len()]);
            }
        });
    }

    /// As [`pack`](Region::pack), into bytes of any alignment.
    pub fn pack_bytes<T: Element>(&self, layout: &Layout, storage: &[T], packed: &mut [u8]) {
        let bytes = self.shape[3] * size_of::<T>();
        let mut packed = packed.chunks_exact_mut(bytes.max(1));
        self.rows(layout, |at| {
            if let Some(piece) = packed.next() {
                piece.copy_from_slice(bytemuck::cast_slice(&storage[at..at + self.shape[3]]));
            }
        });
    }

    /// As [`unpack`](Region::unpack), from bytes of any alignment.
    pub fn unpack_bytes<T: Element>(&self, layout: &Layout, storage: &mut [T], packed: &[u8]) {
        let bytes = self.shape[3] * size_of::<T>();
        let mut packed = packed.chunks_exact(bytes.max(1));
        self.rows(layout, |at| {
            if let Some(piece) = packed.next() {
                bytemuck::cast_slice_mut(&mut storage[at..at + self.shape[3]]).copy_from_slice(piece);
            }
        });
    }

    /// Calls `each` with where each row begins in storage.
    #[inline(always)]
    fn rows(&self, layout: &Layout, mut each: impl FnMut(usize)) {
        let ([z, w, y, x], [planes, sheets, rows, _]) = (self.start, self.shape);
        for plane in z..z + planes {
            for sheet in w..w + sheets {
                let first = plane * layout.plane() + sheet * layout.sheet() + y * layout.row() + x;
                for row in 0..rows {
                    each(first + row * layout.row());
                }
            }
        }
    }
}

/// A row, or the few cells of one end of it, for which a call to the system's copy would take longer.
#[inline(always)]
fn copy<T: Copy>(from: &[T], to: &mut [T]) {
    if to.len() <= 4 {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = from;
        }
    } else {
        to.copy_from_slice(from);
    }
}
