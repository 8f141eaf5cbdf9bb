//! The exchange of one field's halo, and the look at its messages from in between.
//!
//! What goes where is in `links`.

use super::Layout;
use super::links::{Link, Links, Which};
use crate::comm::{Comm, Element, Request, Test};
use crate::error::Result;
use arrayvec::ArrayVec;
use std::ops::Range;

/// The directions of four axes.
pub(super) const MOST: usize = 80;

/// Packed parts of a block, kept by a field so that an exchange allocates nothing: one for each link that is packed.
#[derive(Debug)]
pub(crate) struct Buffers<T> {
    send: Vec<Vec<T>>,
    recv: Vec<Vec<T>>,
}

impl<T> Default for Buffers<T> {
    fn default() -> Self {
        Buffers { send: Vec::new(), recv: Vec::new() }
    }
}

impl<T: Element> Buffers<T> {
    /// Makes room for what the links pack.
    fn fit(&mut self, links: &Links) {
        if self.send.len() == links.packed {
            return;
        }
        let packed = || links.all.iter().filter(|link| link.planes.is_none());
        self.send = packed().map(|link| vec![T::zeroed(); link.send.len()]).collect();
        self.recv = packed().map(|link| vec![T::zeroed(); link.recv.len()]).collect();
    }
}

/// The requests of an exchange under way.
pub(crate) struct Progress<'s, T: Element> {
    recvs: ArrayVec<Request<'s, &'s mut [T]>, MOST>,
    sends: ArrayVec<Request<'s, &'s [T]>, MOST>,
}

impl<T: Element> Progress<'_, T> {
    /// Helps the messages along: MPI libraries move nothing large unless somebody calls them.
    #[track_caller]
    pub fn poll(&mut self) -> Result<()> {
        for at in (0..self.recvs.len()).rev() {
            if let Test::Pending(request) = self.recvs.swap_remove(at).test()? {
                self.recvs.push(request);
            }
        }
        for at in (0..self.sends.len()).rev() {
            if let Test::Pending(request) = self.sends.swap_remove(at).test()? {
                self.sends.push(request);
            }
        }
        Ok(())
    }

    #[track_caller]
    fn finish(&mut self) -> Result<()> {
        for request in self.recvs.drain(..) {
            request.wait()?;
        }
        for request in self.sends.drain(..) {
            request.wait()?;
        }
        Ok(())
    }
}

/// What one exchange is of.
#[derive(Clone, Copy)]
pub(crate) struct Exchange<'a> {
    pub comm: &'a Comm,
    pub layout: &'a Layout,
    pub links: &'a Links,
    pub which: Which,
}

impl Exchange<'_> {
    fn used(&self) -> impl Iterator<Item = &Link> {
        self.links.all.iter().filter(|link| self.which.has(link))
    }

    /// Cells of the ghost planes that come from each side.
    fn coming(&self) -> [usize; 2] {
        let width = self.layout.halo[0] * self.layout.plane();
        [0, 1].map(|side| if self.used().any(|link| link.planes == Some(side)) { width } else { 0 })
    }

    fn pack<T: Element>(&self, storage: &[T], buffers: &mut Buffers<T>) {
        buffers.fit(self.links);
        let packed = self.links.all.iter().filter(|link| link.planes.is_none());
        for (link, packed) in packed.zip(&mut buffers.send).filter(|(link, _)| self.which.has(link)) {
            link.send.pack(self.layout, storage, packed);
        }
    }

    fn unpack<T: Element>(&self, storage: &mut [T], buffers: &Buffers<T>) {
        let packed = self.links.all.iter().filter(|link| link.planes.is_none());
        for (link, packed) in packed.zip(&buffers.recv).filter(|(link, _)| self.which.has(link)) {
            link.recv.unpack(self.layout, storage, packed);
        }
    }

    /// Sends the planes of `edges` and what is packed, receives into the planes of `ghosts` and the buffers, and calls
    /// `meanwhile` while the messages are under way.
    #[track_caller]
    fn run<T: Element>(
        &self,
        edges: [&[T]; 2],
        ghosts: [&mut [T]; 2],
        buffers: &mut Buffers<T>,
        meanwhile: impl FnOnce(&mut Progress<'_, T>) -> Result<()>,
    ) -> Result<()> {
        let Buffers { send, recv } = buffers;
        let send = &*send;
        self.comm.scope(|s| {
            let mut progress = Progress { recvs: ArrayVec::new(), sends: ArrayVec::new() };
            let (mut ghosts, mut recv) = (ghosts.map(Some), recv.iter_mut());
            for link in &self.links.all {
                let into = match link.planes {
                    Some(side) => ghosts[side].take(),
                    None => recv.next().map(|packed| &mut packed[..]),
                };
                if let Some(into) = into.filter(|_| self.which.has(link)) {
                    progress.recvs.push(s.irecv(into, link.rank, link.in_tag)?);
                }
            }
            let mut send = send.iter();
            for link in &self.links.all {
                let from = match link.planes {
                    Some(side) => Some(edges[side]),
                    None => send.next().map(|packed| &packed[..]),
                };
                if let Some(from) = from.filter(|_| self.which.has(link)) {
                    progress.sends.push(s.isend(from, link.rank, link.out_tag)?);
                }
            }
            meanwhile(&mut progress)?;
            progress.finish()
        })
    }
}

/// Exchanges what the links say with the neighbouring ranks, and calls `meanwhile` while the messages are under way,
/// with the storage but for the ghost planes that come. All ghost cells that other ranks send on these links are up to
/// date when it returns. Every rank of the grid calls it.
#[track_caller]
pub(crate) fn exchange<T: Element>(
    exchange: Exchange<'_>,
    storage: &mut [T],
    buffers: &mut Buffers<T>,
    meanwhile: impl FnOnce(&[T], &mut Progress<'_, T>) -> Result<()>,
) -> Result<()> {
    exchange.comm.clock().constructing(|| exchange.pack(storage, buffers));
    let [low, high] = exchange.coming();
    // Ghost planes that no message comes for can be read meanwhile.
    let (below, rest) = storage.split_at_mut(low);
    let (quiet, above) = rest.split_at_mut(rest.len() - high);
    let quiet = &*quiet;
    let edges = [&quiet[..low], &quiet[quiet.len() - high..]];
    exchange.run(edges, [below, above], buffers, |progress| meanwhile(quiet, progress))?;
    exchange.comm.clock().constructing(|| exchange.unpack(storage, buffers));
    Ok(())
}

/// As [`exchange`], but `meanwhile` may write: it gets the owned planes that are not being sent, and the number of the
/// first of them.
#[track_caller]
pub(crate) fn exchange_around<T: Element>(
    exchange: Exchange<'_>,
    storage: &mut [T],
    buffers: &mut Buffers<T>,
    meanwhile: impl FnOnce(&mut [T], usize, &mut Progress<'_, T>) -> Result<()>,
) -> Result<()> {
    exchange.comm.clock().constructing(|| exchange.pack(storage, buffers));
    let ([low, high], layout) = (exchange.coming(), exchange.layout);
    let (below, rest) = storage.split_at_mut(low);
    let (owned, above) = rest.split_at_mut(rest.len() - high);
    if low + high > owned.len() {
        // What is sent down is sent up, too, and nothing is left between.
        let owned = &*owned;
        let edges = [&owned[..low], &owned[owned.len() - high..]];
        exchange.run(edges, [below, above], buffers, |progress| meanwhile(&mut [], 0, progress))?;
    } else {
        let (first, rest) = owned.split_at_mut(low);
        let (between, last) = rest.split_at_mut(rest.len() - high);
        // Where no message goes, the ghost planes are still before the owned ones.
        let margin = |coming: usize| if coming > 0 { 0 } else { layout.halo[0] * layout.plane() };
        let end = between.len() - margin(high);
        let between = &mut between[margin(low)..end];
        exchange.run([&*first, &*last], [below, above], buffers, |progress| {
            meanwhile(between, low / layout.plane().max(1), progress)
        })?;
    }
    exchange.comm.clock().constructing(|| exchange.unpack(storage, buffers));
    Ok(())
}

/// As [`exchange`], but `meanwhile` gets the planes in three parts: those that it may only read, since they are sent or next
/// to planes that are, those in the middle, and again those that it may only read. Of `core`, the planes that need none that
/// come, the outer parts hold as many planes on both sides of each end as the halo is wide. Faces of other axes are not
/// exchanged, and the core is at least as long as two halos.
#[track_caller]
pub(crate) fn exchange_beside<T: Element>(
    exchange: Exchange<'_>,
    storage: &mut [T],
    buffers: &mut Buffers<T>,
    core: Range<usize>,
    meanwhile: impl FnOnce([&[T]; 2], &mut [T], &mut Progress<'_, T>) -> Result<()>,
) -> Result<()> {
    let ([low, high], layout) = (exchange.coming(), exchange.layout);
    let (width, inner) = (layout.halo[0] * layout.plane(), core.len() * layout.plane());
    let (below, rest) = storage.split_at_mut(low);
    let (quiet, above) = rest.split_at_mut(rest.len() - high);
    let (first, rest) = quiet.split_at_mut(2 * width);
    let (middle, last) = rest.split_at_mut(inner - 2 * width);
    let (first, last) = (&*first, &*last);
    exchange.run([&first[..width], &last[last.len() - width..]], [below, above], buffers, |progress| {
        meanwhile([first, last], middle, progress)
    })
}
